-- Who stands where now: limits, pauses, requests, balances, unbilled usage (docs/rules.md R3, R16, R20-R27, R32, R35-R38,
-- R42; docs/analysts.md). "Now" is ledger time. What is set comes from credit_status, what was spent and paid from
-- priced_usage and ledger_entries, which have it exactly and at once.

CREATE OR REPLACE VIEW organizations
(
    org_id            String                     COMMENT 'organisation',
    plan              LowCardinality(String)     COMMENT 'team | enterprise',
    status            LowCardinality(String)     COMMENT 'active | suspended | closed (R9b)',
    credits_enabled   Bool                       COMMENT 'the organisation''s switch (R9a)',
    member_default    Bool                       COMMENT 'the switch of members who have none of their own (R9a)',
    requests_enabled  Bool                       COMMENT 'whether members may ask for credits (R35)',
    limit_usd         Nullable(Decimal(38, 12))  COMMENT 'US dollars: its spend limit this month; null is unlimited (R21)'
)
AS SELECT
    org_id, plan, status, ifNull(credit_status.credits_enabled, false) AS credits_enabled, member_default, requests_enabled,
    if(raise_month >= (SELECT ledger_time.month FROM ledger_time), raise_usd, credit_status.limit_usd) AS limit_usd
FROM credit_status FINAL
WHERE kind = 'org' AND log_id = (SELECT ledger_time.log_id FROM ledger_time)
COMMENT 'Every organisation as the ledger holds it now';

CREATE OR REPLACE VIEW seat_tiers
(
    org_id     String                     COMMENT 'organisation',
    seat_tier  LowCardinality(String)     COMMENT 'standard | premium',
    basis      LowCardinality(String)     COMMENT 'each_member: every member''s own limit; whole_tier: one for all of them (R22)',
    limit_usd  Nullable(Decimal(38, 12))  COMMENT 'US dollars: its spend limit this month; null is unlimited; inert on Team (R22)'
)
AS SELECT
    org_id, seat_tier, basis,
    if(raise_month >= (SELECT ledger_time.month FROM ledger_time), raise_usd, credit_status.limit_usd) AS limit_usd
FROM credit_status FINAL
WHERE kind = 'tier' AND log_id = (SELECT ledger_time.log_id FROM ledger_time)
COMMENT 'The limit of every seat tier as the ledger holds it now';

CREATE OR REPLACE VIEW members
(
    org_id           String                     COMMENT 'organisation',
    user_id          String                     COMMENT 'member',
    role             LowCardinality(String)     COMMENT 'member | admin | owner | primary_owner',
    seat_tier        LowCardinality(String)     COMMENT 'standard | premium',
    removed          Bool                       COMMENT 'was removed; what they spent stays (R31)',
    credits_enabled  Nullable(Bool)             COMMENT 'the member''s own switch; null: member_default of the organisation decides (R9a)',
    limit_usd        Nullable(Decimal(38, 12))  COMMENT 'US dollars: the member''s own spend limit this month; null: that of the seat tier applies (R23)'
)
AS SELECT
    org_id, user_id, role, seat_tier, removed, credits_enabled,
    if(raise_month >= (SELECT ledger_time.month FROM ledger_time), raise_usd, credit_status.limit_usd) AS limit_usd
FROM credit_status FINAL
WHERE kind = 'member' AND log_id = (SELECT ledger_time.log_id FROM ledger_time)
COMMENT 'Every member as the ledger holds them now, removed ones too';

CREATE OR REPLACE VIEW limits
(
    month         String                  COMMENT 'the month that runs, like 2026-02',
    org_id        String                  COMMENT 'organisation',
    scope_kind    LowCardinality(String)  COMMENT 'organization | tier | member: whose spend is compared',
    seat_tier     LowCardinality(String)  COMMENT 'the tier, or the member''s seat; else empty',
    user_id       String                  COMMENT 'the member, else empty',
    binds         LowCardinality(String)  COMMENT 'org_limit | tier_limit | user_limit: which limit it is, as admission names it (R32)',
    limit_usd     Decimal(38, 12)         COMMENT 'US dollars a month',
    spend_usd     Decimal(38, 12)         COMMENT 'US dollars, month to date',
    left_usd      Decimal(38, 12)         COMMENT 'US dollars; 0 where it is reached',
    used_percent  Nullable(UInt64)        COMMENT 'whole percents of the limit, rounded down as notices are (R29a); null: the limit is 0'
)
AS SELECT
    assumeNotNull((SELECT ledger_time.month FROM ledger_time)) AS month,
    org_id, scope_kind, seat_tier, user_id, binds, assumeNotNull(amount) AS limit_usd, spent AS spend_usd,
    greatest(limit_usd - spend_usd, toDecimal128(0, 12))                                        AS left_usd,
    if(limit_usd = 0, NULL, toUInt64(greatest(spend_usd, toDecimal128(0, 12)) * 100 / limit_usd)) AS used_percent
FROM
(
    SELECT org_id, 'organization' AS scope_kind, '' AS seat_tier, '' AS user_id, 'org_limit' AS binds, limit_usd AS amount, spent
    FROM organizations
    LEFT JOIN (SELECT org_id, spend_usd AS spent FROM month_to_date_by_organization WHERE month = (SELECT ledger_time.month FROM ledger_time)) AS used USING (org_id)
    UNION ALL
    SELECT org_id, 'tier', seat_tier, '', 'tier_limit', limit_usd, spent
    FROM (SELECT org_id, seat_tier, limit_usd FROM seat_tiers WHERE basis = 'whole_tier') AS pools
    INNER JOIN (SELECT org_id FROM organizations WHERE plan = 'enterprise') AS owners USING (org_id)
    LEFT JOIN (SELECT org_id, seat_tier, spend_usd AS spent FROM month_to_date_by_tier WHERE month = (SELECT ledger_time.month FROM ledger_time)) AS used USING (org_id, seat_tier)
    UNION ALL
    SELECT org_id, 'member', seat_tier, user_id, if(own IS NULL, 'tier_limit', 'user_limit'), coalesce(own, each) AS amount, spent
    FROM (SELECT org_id, seat_tier, user_id, limit_usd AS own FROM members WHERE NOT removed) AS people
    LEFT JOIN
    (
        SELECT org_id, seat_tier, limit_usd AS each
        FROM (SELECT org_id, seat_tier, limit_usd FROM seat_tiers WHERE basis = 'each_member') AS seats
        INNER JOIN (SELECT org_id FROM organizations WHERE plan = 'enterprise') AS owners USING (org_id)
    ) AS tiers USING (org_id, seat_tier)
    LEFT JOIN (SELECT org_id, user_id, spend_usd AS spent FROM month_to_date_by_member WHERE month = (SELECT ledger_time.month FROM ledger_time)) AS used USING (org_id, user_id)
)
WHERE amount IS NOT NULL
COMMENT 'Every spend limit that binds this month, and how far it is used. Who is near one: SELECT user_id, used_percent, left_usd FROM limits WHERE org_id = ''acme'' AND scope_kind = ''member'' AND used_percent >= 80';

CREATE OR REPLACE VIEW balance_pauses
(
    org_id         String                            COMMENT 'organisation',
    pause_number   UInt64                            COMMENT 'counts the organisation''s pauses (R3)',
    paused_at      DateTime64(6, 'UTC')              COMMENT 'when the balance was used up',
    balance_usd    Decimal(38, 12)                   COMMENT 'US dollars, then; below 0 by the requests in flight (R4)',
    resumed_at     Nullable(DateTime64(6, 'UTC'))    COMMENT 'when it was above 0 again; null: not yet'
)
AS SELECT
    org_id, JSONExtractUInt(event, 'data', 'pause_number') AS pause_number,
    minIf(at, type = 'usage-credits.credits.paused') AS paused_at,
    anyIf(toDecimal128OrZero(JSONExtractString(event, 'data', 'balance_picousd'), 0), type = 'usage-credits.credits.paused') * toDecimal128('0.000000000001', 12) AS balance_usd,
    minOrNullIf(at, type = 'usage-credits.credits.resumed') AS resumed_at
FROM limit_events
WHERE type IN ('usage-credits.credits.paused', 'usage-credits.credits.resumed')
GROUP BY org_id, pause_number
COMMENT 'When a balance of 0 or less paused everybody, and for how long (R3)';

CREATE OR REPLACE VIEW reached_limits
(
    org_id        String                         COMMENT 'organisation',
    scope_kind    LowCardinality(String)         COMMENT 'organization | tier | member',
    seat_tier     LowCardinality(String)         COMMENT 'the tier, or the member''s seat; else empty',
    user_id       String                         COMMENT 'the member, else empty',
    binds         LowCardinality(String)         COMMENT 'org_limit | tier_limit | user_limit (R32)',
    limit_usd     Decimal(38, 12)                COMMENT 'US dollars a month',
    spend_usd     Decimal(38, 12)                COMMENT 'US dollars, month to date',
    paused_since  DateTime64(6, 'UTC')           COMMENT 'when it was reached; of a limit of 0 that nothing was charged to, the month''s first instant',
    paused_until  Nullable(DateTime64(6, 'UTC')) COMMENT 'the month''s end (R27); null: a limit of 0, which is reached next month too (R24)'
)
AS SELECT
    org_id, scope_kind, seat_tier, user_id, binds, limit_usd, spend_usd,
    assumeNotNull(coalesce(breached_at, toDateTime64(toStartOfMonth((SELECT ledger_time.at FROM ledger_time)), 6, 'UTC'))) AS paused_since,
    if(limit_usd = 0, NULL, toDateTime64(addMonths(toStartOfMonth((SELECT ledger_time.at FROM ledger_time)), 1), 6, 'UTC')) AS paused_until
FROM
(
    SELECT
        org_id, scope_kind, seat_tier, user_id, binds, limit_usd, spend_usd,
        if(scope_kind = 'tier', toString(seat_tier), '') AS pool
    FROM limits
    WHERE left_usd = 0
) AS reached
LEFT JOIN
(
    SELECT
        org_id, scope_kind, if(scope_kind = 'tier', toString(seat_tier), '') AS pool, user_id,
        multiIf(scope_kind = 'organization', 'org_limit', seat_tier = '', 'user_limit', 'tier_limit') AS binds,
        toNullable(min(paused_from)) AS breached_at
    FROM breaches
    WHERE resumed_at IS NULL AND month = (SELECT ledger_time.month FROM ledger_time)
    GROUP BY org_id, scope_kind, pool, user_id, binds
) AS breached USING (org_id, scope_kind, pool, user_id, binds)
COMMENT 'Spend limits that are reached now, and since when';

-- As schemas/admission.py decides, from the same facts; since when, from what was published.
CREATE OR REPLACE VIEW paused_members
(
    org_id        String                           COMMENT 'organisation',
    user_id       String                           COMMENT 'member',
    seat_tier     LowCardinality(String)           COMMENT 'standard | premium',
    reason        String                           COMMENT 'the one shown first (R32)',
    reasons       Array(String)                    COMMENT 'all that hold, in this order: suspended | disabled | balance | org_limit | tier_limit | user_limit',
    paused_since  Nullable(DateTime64(6, 'UTC'))   COMMENT 'since the first of them holds; null where nothing that is stored says',
    paused_hours  Nullable(Int64)                  COMMENT 'whole hours since then, until ledger time',
    paused_until  Nullable(DateTime64(6, 'UTC'))   COMMENT 'when it ends by itself, if nobody does anything; null: it does not (R27)'
)
AS SELECT
    org_id, user_id, seat_tier, reasons[1] AS reason, arrayMap(why -> why.2, found) AS reasons,
    nullIf(arrayMin(arrayMap(why -> assumeNotNull(why.3), arrayFilter(why -> why.3 IS NOT NULL, found))), toDateTime64(0, 6, 'UTC')) AS paused_since,
    age('hour', paused_since, (SELECT ledger_time.at FROM ledger_time)) AS paused_hours,
    if(arrayAll(why -> why.4 IS NOT NULL, found), found[1].4, NULL) AS paused_until
FROM
(
    SELECT
        org_id, user_id, seat_tier,
        arraySort(arrayConcat(arrayFilter(why -> why.2 != '', any([
            (1, if(status != 'active', 'suspended', ''), suspended_at, never),
            (2, if(org_on AND ifNull(own_on, member_default), '', 'disabled'), multiIf(NOT org_on, off_at, own_on IS NULL, default_at, own_at), never),
            (3, if(plan = 'team' AND balance <= 0, 'balance', ''), empty_at, never)
        ])), groupArrayIf((transform(binds, ['org_limit', 'tier_limit'], [4, 5], 6), binds, since, until), binds != ''))) AS found
    FROM
    (
        -- Each member thrice, for the three scopes that cover them.
        SELECT org_id, user_id, seat_tier, credits_enabled AS own_on, CAST(NULL AS Nullable(DateTime64(6, 'UTC'))) AS never, covers
        FROM members
        ARRAY JOIN ['', concat('tier ', seat_tier), concat('member ', user_id)] AS covers
        WHERE NOT removed
    ) AS people
    INNER JOIN (SELECT org_id, plan, status, credits_enabled AS org_on, member_default FROM organizations) AS owners USING (org_id)
    LEFT JOIN
    (
        SELECT
            org_id, multiIf(scope_kind = 'tier', concat('tier ', seat_tier), scope_kind = 'member', concat('member ', user_id), '') AS covers,
            toString(reached_limits.binds) AS binds, toNullable(paused_since) AS since, paused_until AS until
        FROM reached_limits
    ) AS reached USING (org_id, covers)
    LEFT JOIN
    (
        SELECT
            org_id,
            maxOrNullIf(at, command IN ('suspend_organization', 'close_organization'))  AS suspended_at,
            maxOrNullIf(at, command IN ('set_credits', 'register_organization'))        AS off_at,
            maxOrNullIf(at, command IN ('set_member_default', 'register_organization')) AS default_at
        FROM account_events
        WHERE type = 'usage-credits.command.applied'
        GROUP BY org_id
    ) AS switches USING (org_id)
    LEFT JOIN
    (
        SELECT org_id, JSONExtractString(event, 'data', 'before', 'user_id') AS user_id, toNullable(max(at)) AS own_at
        FROM account_events
        WHERE type = 'usage-credits.command.applied' AND command = 'set_member_credits'
        GROUP BY org_id, user_id
    ) AS own_switches USING (org_id, user_id)
    LEFT JOIN (SELECT org_id, balance_usd AS balance FROM wallet_balances) AS wallets USING (org_id)
    LEFT JOIN (SELECT org_id, toNullable(max(paused_at)) AS empty_at FROM balance_pauses WHERE resumed_at IS NULL GROUP BY org_id) AS emptied USING (org_id)
    GROUP BY org_id, user_id, seat_tier
)
WHERE notEmpty(found)
COMMENT 'Who may not spend credits now, why, since when and until when. SELECT user_id, reasons, paused_hours FROM paused_members WHERE org_id = ''acme''';
