-- Who is paused with fewer reads still (docs/performance.md, "Analysts"): whether a balance is left is what admission was
-- told, in credit_status, and since when it is not is in limit_events.
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
            (3, if(plan = 'team' AND balance <= 0, 'balance', ''), maxIf(since, fact = 'empty'), never)
        ]), groupArrayIf((indexOf(['org_limit', 'tier_limit', 'user_limit'], fact) + 3, fact, since, until), fact LIKE '%_limit'))) AS found
    FROM
    (
        -- Each member thrice, for the three scopes that cover them.
        SELECT org_id, user_id, seat_tier, credits_enabled AS own_on, plan, status, org_on, member_default, balance, covers
        FROM
        (
            SELECT
                org_id, user_id, seat_tier, kind, removed, credits_enabled,
                max(credit_status.plan) OVER (PARTITION BY org_id)                                      AS plan,
                max(credit_status.status) OVER (PARTITION BY org_id)                                    AS status,
                maxIf(ifNull(credits_enabled, false), kind = 'org') OVER (PARTITION BY org_id)          AS org_on,
                maxIf(credit_status.member_default, kind = 'org') OVER (PARTITION BY org_id)            AS member_default,
                maxIf(toInt128OrZero(JSONExtractString(event, 'balance_picousd')), kind = 'org') OVER (PARTITION BY org_id) AS balance
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
            toString(binds) AS fact, toNullable(paused_since) AS since, paused_until AS until
        FROM reached_limits
        UNION ALL
        SELECT
            org_id, if(command = 'set_member_credits', concat('member ', JSONExtractString(event, 'data', 'before', 'user_id')), '') AS covers,
            toString(command), max(at), NULL
        FROM account_events
        WHERE type = 'usage-credits.command.applied' AND command IN
            ('suspend_organization', 'close_organization', 'set_credits', 'register_organization', 'set_member_default', 'set_member_credits')
        GROUP BY org_id, covers, command
        UNION ALL
        SELECT org_id, '', 'empty', max(at), NULL
        FROM limit_events
        WHERE type IN ('usage-credits.credits.paused', 'usage-credits.credits.resumed')
        GROUP BY org_id
        HAVING argMax(type, org_seq) = 'usage-credits.credits.paused'
    ) AS facts USING (org_id, covers)
    GROUP BY org_id, user_id, seat_tier, own_on, plan, status, org_on, member_default, balance
)
WHERE notEmpty(found)
COMMENT 'Who may not spend credits now, why, since when and until when. SELECT user_id, reasons, paused_hours FROM paused_members WHERE org_id = ''acme''';
