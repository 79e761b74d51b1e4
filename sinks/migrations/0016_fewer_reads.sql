-- The same views with fewer reads (docs/performance.md, "Analysts"): what a question of one organisation costs is planning,
-- a millisecond or two for each read and join, so a view reads each table once and looks at neighbours with a window.

CREATE OR REPLACE VIEW breaches
(
    id                 String                            COMMENT 'id of the CloudEvent',
    at                 DateTime64(6, 'UTC')              COMMENT 'arrival of the record that caused it (R44)',
    org_id             String                            COMMENT 'organisation',
    org_seq            UInt64                            COMMENT 'rises with every output of the organisation (R29)',
    scope_kind         LowCardinality(String)            COMMENT 'organization | tier | member',
    seat_tier          LowCardinality(String)            COMMENT 'the tier, or the tier whose each_member limit it is; else empty',
    user_id            String                            COMMENT 'the member, else empty',
    month              LowCardinality(String)            COMMENT 'like 2026-02',
    limit_version      UInt64                            COMMENT 'grows with each change of the limit (R29)',
    episode            UInt64                            COMMENT 'grows with each resume (R29)',
    limit_usd          Nullable(Decimal(38, 12))         COMMENT 'US dollars',
    spend_usd          Decimal(38, 12)                   COMMENT 'US dollars, spend of the scope in the month at that moment',
    overshoot_usd      Decimal(38, 12)                   COMMENT 'US dollars over the limit at the crossing (R25)',
    cause              LowCardinality(String)            COMMENT 'usage | correction | limit_changed | seat_changed | plan_changed (R27, R28)',
    crossing_event_id  String                            COMMENT 'the usage event that crossed, empty if a command did',
    crossing_source    String                            COMMENT 'its source',
    paused_from        Nullable(DateTime64(6, 'UTC'))    COMMENT 'the pause begins (R19)',
    paused_until       Nullable(DateTime64(6, 'UTC'))    COMMENT 'the pause ends at the latest: the end of the month (R27)',
    resumed_at         Nullable(DateTime64(6, 'UTC'))    COMMENT 'when it ended before that; null: it did not'
)
AS SELECT
    id, at, org_id, org_seq, scope_kind, seat_tier, user_id, month, limit_version, episode, limit_usd, spend_usd,
    overshoot_usd, cause, crossing_event_id, crossing_source, paused_from, paused_until, resumed_at
FROM
(
    SELECT
        *,
        minOrNullIf(at, type = 'usage-credits.limit.resumed')
            OVER (PARTITION BY org_id, scope_kind, seat_tier, user_id, month, episode) AS resumed_at
    FROM limit_events
    WHERE type IN ('usage-credits.limit.breached', 'usage-credits.limit.resumed')
)
WHERE type = 'usage-credits.limit.breached'
COMMENT 'Each breach of a spend limit, and when its pause ended before its time, if it did (R24-R28)';

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
AS WITH (SELECT tuple(at, month, log_id) FROM ledger_time) AS now
SELECT
    assumeNotNull(now.2) AS month,
    org_id, scope_kind, seat_tier, user_id,
    multiIf(scope_kind = 'organization', 'org_limit', scope_kind = 'tier' OR own IS NULL, 'tier_limit', 'user_limit') AS binds,
    assumeNotNull(amount) AS limit_usd, spent AS spend_usd,
    greatest(limit_usd - spend_usd, toDecimal128(0, 12))                                        AS left_usd,
    if(limit_usd = 0, NULL, toUInt64(greatest(spend_usd, toDecimal128(0, 12)) * 100 / limit_usd)) AS used_percent
FROM
(
    SELECT
        org_id, if(kind = 'org', 'organization', toString(kind)) AS scope_kind, seat_tier, user_id, own,
        if(kind = 'tier', toString(seat_tier), '') AS pool,
        -- Limits of seat tiers are inert on Team (R22).
        multiIf(
            kind = 'org', own,
            kind = 'tier', if(enterprise AND basis = 'whole_tier', own, NULL),
            coalesce(own, if(enterprise, each, NULL))) AS amount
    FROM
    (
        SELECT
            org_id, kind, seat_tier, user_id, removed, basis,
            if(raise_month >= now.2, raise_usd, credit_status.limit_usd) AS own,
            max(plan = 'enterprise') OVER (PARTITION BY org_id)                                        AS enterprise,
            maxIf(own, kind = 'tier' AND basis = 'each_member') OVER (PARTITION BY org_id, seat_tier)  AS each
        FROM credit_status FINAL
        WHERE kind IN ('org', 'tier', 'member') AND log_id = now.3
    )
    WHERE NOT removed AND amount IS NOT NULL
) AS bounds
LEFT JOIN
(
    SELECT org_id, scope.1 AS scope_kind, scope.2 AS pool, scope.3 AS user_id, sum(usd) AS spent
    FROM
    (
        SELECT org_id, toString(priced_usage.seat_tier) AS tier, priced_usage.user_id AS person, sum(cost_usd) AS usd
        FROM priced_usage
        WHERE funding = 'credits' AND usage_month = charge_month AND charge_month = now.2
        GROUP BY org_id, priced_usage.seat_tier, priced_usage.user_id
    )
    ARRAY JOIN [('organization', '', ''), ('tier', tier, ''), ('member', '', person)] AS scope
    GROUP BY org_id, scope_kind, pool, user_id
) AS used USING (org_id, scope_kind, pool, user_id)
COMMENT 'Every spend limit that binds this month, and how far it is used. Who is near one: SELECT user_id, used_percent, left_usd FROM limits WHERE org_id = ''acme'' AND scope_kind = ''member'' AND used_percent >= 80';

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
AS WITH (SELECT tuple(at, month, log_id) FROM ledger_time) AS now
SELECT
    org_id, scope_kind, seat_tier, user_id, binds, limit_usd, spend_usd,
    assumeNotNull(coalesce(breached_at, month_began)) AS paused_since,
    if(limit_usd = 0, NULL, addMonths(month_began, 1)) AS paused_until
FROM
(
    SELECT
        org_id, scope_kind, seat_tier, user_id, binds, limit_usd, spend_usd,
        toDateTime64(concat(month, '-01 00:00:00'), 6, 'UTC') AS month_began,
        if(scope_kind = 'tier', toString(seat_tier), '') AS pool
    FROM limits
    WHERE left_usd = 0
) AS reached
LEFT JOIN
(
    SELECT
        org_id, scope_kind, if(scope_kind = 'tier', toString(seat_tier), '') AS pool, user_id,
        multiIf(scope_kind = 'organization', 'org_limit', seat_tier = '', 'user_limit', 'tier_limit') AS binds,
        toNullable(min(began)) AS breached_at
    FROM
    (
        SELECT org_id, scope_kind, seat_tier, user_id, min(paused_from) AS began
        FROM limit_events
        WHERE type IN ('usage-credits.limit.breached', 'usage-credits.limit.resumed')
            AND limit_events.month = now.2
        GROUP BY org_id, scope_kind, seat_tier, user_id, episode
        HAVING countIf(type = 'usage-credits.limit.resumed') = 0
    )
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
AS WITH (SELECT tuple(at, month, log_id) FROM ledger_time) AS now
SELECT
    org_id, user_id, seat_tier, reasons[1] AS reason, arrayMap(why -> why.2, found) AS reasons,
    nullIf(arrayMin(arrayMap(why -> assumeNotNull(why.3), arrayFilter(why -> why.3 IS NOT NULL, found))), toDateTime64(0, 6, 'UTC')) AS paused_since,
    age('hour', paused_since, now.1) AS paused_hours,
    if(arrayAll(why -> why.4 IS NOT NULL, found), found[1].4, NULL) AS paused_until
FROM
(
    SELECT
        org_id, user_id, seat_tier, CAST(NULL AS Nullable(DateTime64(6, 'UTC'))) AS never,
        org_on AND ifNull(own_on, member_default) AS enabled,
        arraySort(arrayConcat(arrayFilter(why -> why.2 != '', [
            (1, if(status != 'active', 'suspended', ''), maxIf(since, fact IN ('suspend_organization', 'close_organization')), never),
            (2, if(enabled, '', 'disabled'), multiIf(
                NOT org_on, maxIf(since, fact IN ('set_credits', 'register_organization')),
                own_on IS NULL, maxIf(since, fact IN ('set_member_default', 'register_organization')),
                maxIf(since, fact = 'set_member_credits')), never),
            (3, if(plan = 'team' AND sum(balance) <= 0, 'balance', ''), maxIf(since, fact = 'empty'), never)
        ]), groupArrayIf((indexOf(['org_limit', 'tier_limit', 'user_limit'], fact) + 3, fact, since, until), fact LIKE '%_limit'))) AS found
    FROM
    (
        -- Each member thrice, for the three scopes that cover them.
        SELECT org_id, user_id, seat_tier, credits_enabled AS own_on, plan, status, org_on, member_default, covers
        FROM
        (
            SELECT
                org_id, user_id, seat_tier, kind, removed, credits_enabled,
                max(credit_status.plan) OVER (PARTITION BY org_id)                                      AS plan,
                max(credit_status.status) OVER (PARTITION BY org_id)                                    AS status,
                maxIf(ifNull(credits_enabled, false), kind = 'org') OVER (PARTITION BY org_id)          AS org_on,
                maxIf(credit_status.member_default, kind = 'org') OVER (PARTITION BY org_id)            AS member_default
            FROM credit_status FINAL
            WHERE kind IN ('org', 'member') AND log_id = now.3
        )
        ARRAY JOIN ['', concat('tier ', seat_tier), concat('member ', user_id)] AS covers
        WHERE kind = 'member' AND NOT removed AND plan != ''
    ) AS people
    LEFT JOIN
    (
        SELECT
            org_id, multiIf(scope_kind = 'tier', concat('tier ', seat_tier), scope_kind = 'member', concat('member ', user_id), '') AS covers,
            toString(binds) AS fact, toNullable(paused_since) AS since, paused_until AS until, toDecimal128(0, 12) AS balance
        FROM reached_limits
        UNION ALL
        SELECT
            org_id, if(command = 'set_member_credits', concat('member ', JSONExtractString(event, 'data', 'before', 'user_id')), '') AS covers,
            toString(command), max(at), NULL, toDecimal128(0, 12)
        FROM account_events
        WHERE type = 'usage-credits.command.applied' AND command IN
            ('suspend_organization', 'close_organization', 'set_credits', 'register_organization', 'set_member_default', 'set_member_credits')
        GROUP BY org_id, covers, command
        UNION ALL
        SELECT org_id, '', 'balance', NULL, NULL, balance_usd FROM wallet_balances
        UNION ALL
        SELECT org_id, '', 'empty', paused_at, NULL, toDecimal128(0, 12) FROM balance_pauses WHERE resumed_at IS NULL
    ) AS facts USING (org_id, covers)
    GROUP BY org_id, user_id, seat_tier, own_on, plan, status, org_on, member_default
)
WHERE notEmpty(found)
COMMENT 'Who may not spend credits now, why, since when and until when. SELECT user_id, reasons, paused_hours FROM paused_members WHERE org_id = ''acme''';

-- A row used after a pause belongs to the last breach or resume before it of each scope that covers it.
CREATE OR REPLACE VIEW overshoots
(
    org_id               String                          COMMENT 'organisation',
    month                LowCardinality(String)          COMMENT 'like 2026-02',
    scope_kind           LowCardinality(String)          COMMENT 'organization | tier | member',
    seat_tier            LowCardinality(String)          COMMENT 'the tier, or the tier whose each_member limit it is; else empty',
    user_id              String                          COMMENT 'the member, else empty',
    breached_at          DateTime64(6, 'UTC')            COMMENT 'when the limit was reached',
    resumed_at           Nullable(DateTime64(6, 'UTC'))  COMMENT 'when it passed again before the month ended; null: it did not',
    limit_usd            Decimal(38, 12)                 COMMENT 'US dollars',
    overshoot_usd        Decimal(38, 12)                 COMMENT 'US dollars over the limit at the crossing (R25)',
    overshoot_final_usd  Decimal(38, 12)                 COMMENT 'US dollars: with what was used after the pause, until the next breach or resume of the same limit (R25)',
    after_pause_events   Int64                           COMMENT 'usage events after the pause',
    breach_id            String                          COMMENT 'id of the CloudEvent'
)
AS SELECT
    org_id, month, scope_kind, seat_tier, user_id,
    began.3 AS breached_at, began.4 AS resumed_at, assumeNotNull(began.5) AS limit_usd, began.6 AS overshoot_usd,
    overshoot_usd + sum(cost) AS overshoot_final_usd, sum(count) AS after_pause_events, began.1 AS breach_id,
    anyIf((id, type, at, resumed, amount, over), id != '') AS began
FROM
(
    SELECT
        *,
        minOrNullIf(at, type = 'usage-credits.limit.resumed')
            OVER (PARTITION BY org_id, month, scope_kind, seat_tier, user_id, episode) AS resumed,
        -- A breach or resume has an id, usage has none: it goes first where both have one org_seq.
        countIf(id != '') OVER
        (
            PARTITION BY org_id, month, scope_kind, seat_tier, user_id ORDER BY org_seq, id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS stretch
    FROM
    (
        SELECT
            org_id, month, scope_kind, seat_tier, user_id, org_seq, id, type, at, episode, limit_events.limit_usd AS amount,
            limit_events.overshoot_usd AS over, toDecimal128(0, 12) AS cost, toInt64(0) AS count
        FROM limit_events
        WHERE type IN ('usage-credits.limit.breached', 'usage-credits.limit.resumed')
        UNION ALL
        SELECT
            org_id, charge_month, scope.1, scope.2, scope.3, org_seq, '', '', toDateTime64(0, 6, 'UTC'), 0, NULL,
            toDecimal128(0, 12), cost_usd, toInt64(events)
        FROM
        (
            SELECT
                org_id, charge_month, toString(priced_usage.seat_tier) AS tier, priced_usage.user_id AS person, org_seq,
                cost_usd, events
            FROM priced_usage
            WHERE funding = 'credits' AND after_pause AND usage_month = charge_month
        )
        ARRAY JOIN [('organization', '', ''), ('tier', tier, ''), ('member', '', person), ('member', tier, person)] AS scope
    )
)
GROUP BY org_id, month, scope_kind, seat_tier, user_id, stretch
HAVING began.2 = 'usage-credits.limit.breached'
COMMENT 'How far each breach went over its limit, at the crossing and in the end (R25). SELECT breached_at, scope_kind, overshoot_usd, overshoot_final_usd FROM overshoots WHERE org_id = ''acme'' ORDER BY breached_at';

-- In place of by_price: what a line of an invoice holds. And how far a month of an organisation goes.
ALTER TABLE priced_usage ADD PROJECTION IF NOT EXISTS by_line
(
    SELECT
        charge_month, org_id, usage_month, funding, product, model, price_id, corrects != '', leg,
        toStartOfMonth(arrived_at) > toStartOfMonth(occurred_at),
        sum(cost_usd), sum(events),
        sum(input_usd), sum(output_usd), sum(cache_read_usd), sum(cache_write_5m_usd), sum(cache_write_1h_usd), sum(web_search_usd),
        sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens),
        sum(cache_write_1h_tokens), sum(web_search_requests)
    GROUP BY
        charge_month, org_id, usage_month, funding, product, model, price_id, corrects != '', leg,
        toStartOfMonth(arrived_at) > toStartOfMonth(occurred_at)
),
ADD PROJECTION IF NOT EXISTS extent
(
    SELECT charge_month, org_id, funding, min(org_seq), max(org_seq)
    GROUP BY charge_month, org_id, funding
);

ALTER TABLE ledger_entries ADD PROJECTION IF NOT EXISTS by_account
(
    SELECT org_id, charge_month, account, type, sum(amount_usd), max(org_seq), max(at)
    GROUP BY org_id, charge_month, account, type
);

-- In the background, part by part: of a full database that takes minutes. Until then the views read the rows.
ALTER TABLE priced_usage MATERIALIZE PROJECTION by_line, MATERIALIZE PROJECTION extent SETTINGS mutations_sync = 0;

ALTER TABLE ledger_entries MATERIALIZE PROJECTION by_account SETTINGS mutations_sync = 0;

ALTER TABLE priced_usage DROP PROJECTION IF EXISTS by_price SETTINGS mutations_sync = 0, alter_sync = 0;

-- An organisation that leaves Enterprise is invoiced at once (R39), so what an invoice would hold now is one span of its
-- outputs: from the last invoice and the last burn of a wallet to the last burn of unbilled.
CREATE OR REPLACE VIEW draft_spans
(
    org_id      String                  COMMENT 'organisation',
    month       LowCardinality(String)  COMMENT 'charge month, like 2026-02',
    first_seq   UInt64                  COMMENT 'org_seq from which on its credits in priced_usage are on no invoice, and unbilled (R29)',
    last_seq    UInt64                  COMMENT 'org_seq up to which their burns are stored',
    whole       Bool                    COMMENT 'whether all credits of the month lie between them'
)
AS SELECT
    org_id, month, max(begins) AS first_seq, max(ends) AS last_seq,
    toBool(ifNull(min(first) >= first_seq AND max(last) <= last_seq, false)) AS whole
FROM
(
    SELECT
        org_id, charge_month AS month, if(account = 'unbilled', 0, max(org_seq) + 1) AS begins,
        if(account = 'unbilled', max(org_seq), 0) AS ends, NULL AS first, NULL AS last
    FROM ledger_entries
    WHERE type = 'burn'
    GROUP BY org_id, charge_month, account
    UNION ALL
    SELECT org_id, billing_events.month, max(org_seq), 0, NULL, NULL
    FROM billing_events
    WHERE type = 'usage-credits.invoice.finalized'
    GROUP BY org_id, billing_events.month
    UNION ALL
    SELECT org_id, charge_month, 0, 0, min(org_seq), max(org_seq)
    FROM priced_usage
    WHERE funding = 'credits'
    GROUP BY org_id, charge_month
)
GROUP BY org_id, month
HAVING first_seq <= last_seq
COMMENT 'Which of an Enterprise organisation''s usage an invoice would bill if it were finalised now';

-- Sums of the projection where the span is the whole month; rows where an invoice, or a burn under way, cuts it.
CREATE OR REPLACE VIEW draft_lines
(
    org_id       String                  COMMENT 'organisation',
    month        LowCardinality(String)  COMMENT 'charge month, like 2026-02',
    usage_month  LowCardinality(String)  COMMENT 'month it was used in',
    product      LowCardinality(String)  COMMENT 'where it was used',
    model        LowCardinality(String)  COMMENT 'the name its prices go by',
    price_id     LowCardinality(String)  COMMENT 'model@first day of its price block, and variants (R12)',
    token_kind   String                  COMMENT 'what is counted, such as output_tokens',
    quantity     Int64                   COMMENT 'tokens or searches',
    rate_usd     Decimal(38, 12)         COMMENT 'US dollars each',
    exact_usd    Decimal(38, 12)         COMMENT 'US dollars, exact: quantity times rate_usd'
)
AS SELECT
    org_id, month, usage_month, product, model, price_id,
    counted.1 AS token_kind, counted.2 AS quantity, counted.3 / counted.2 AS rate_usd, counted.3 AS exact_usd
FROM
(
    SELECT
        org_id, month, usage_month, product, model, price_id,
        [
            ('input_tokens', sum(input), sum(input_cost)),
            ('output_tokens', sum(output), sum(output_cost)),
            ('cache_read_tokens', sum(read), sum(read_cost)),
            ('cache_write_5m_tokens', sum(write_5m), sum(write_5m_cost)),
            ('cache_write_1h_tokens', sum(write_1h), sum(write_1h_cost)),
            ('web_search_requests', sum(searches), sum(searches_cost))
        ] AS kinds
    FROM
    (
        SELECT
            true AS added_up, 0 AS seq, org_id, charge_month AS month, usage_month, product, model, price_id,
            sum(input_tokens) AS input, sum(input_usd) AS input_cost, sum(output_tokens) AS output, sum(output_usd) AS output_cost,
            sum(cache_read_tokens) AS read, sum(cache_read_usd) AS read_cost,
            sum(cache_write_5m_tokens) AS write_5m, sum(cache_write_5m_usd) AS write_5m_cost,
            sum(cache_write_1h_tokens) AS write_1h, sum(cache_write_1h_usd) AS write_1h_cost,
            sum(web_search_requests) AS searches, sum(web_search_usd) AS searches_cost
        FROM priced_usage
        WHERE funding = 'credits'
        GROUP BY org_id, charge_month, usage_month, product, model, price_id
        UNION ALL
        SELECT
            false, org_seq, org_id, charge_month, usage_month, product, model, price_id,
            input_tokens, input_usd, output_tokens, output_usd, cache_read_tokens, cache_read_usd, cache_write_5m_tokens,
            cache_write_5m_usd, cache_write_1h_tokens, cache_write_1h_usd, web_search_requests, web_search_usd
        FROM priced_usage
        WHERE funding = 'credits' AND (org_id, charge_month) IN (SELECT org_id, month FROM draft_spans WHERE NOT whole)
    ) AS used
    INNER JOIN draft_spans USING (org_id, month)
    WHERE if(whole, added_up, NOT added_up AND seq BETWEEN first_seq AND last_seq)
    GROUP BY org_id, month, usage_month, product, model, price_id
)
ARRAY JOIN kinds AS counted
WHERE quantity != 0
COMMENT 'Usage lines that an Enterprise invoice would hold if it were finalised now; US dollars, exact. From priced usage whose burn is stored; lines carried and debt, and whole cents, come with the invoice';
