-- Who is paused from credit_status alone, as admission decides, and half as much to plan (docs/performance.md, "Analysts").
-- Spend in credit_status is told late where nothing follows from it; what reaches a limit is told at once (R34).

-- As schemas/admission.py decides, from the same records; since when, from what was published.
CREATE OR REPLACE VIEW paused_members
(
    org_id        String                           COMMENT 'organisation',
    user_id       String                           COMMENT 'member',
    seat_tier     LowCardinality(String)           COMMENT 'standard | premium',
    reason        String                           COMMENT 'the one shown first (R32)',
    reasons       Array(String)                    COMMENT 'all that hold, in this order: suspended | disabled | balance | org_limit | tier_limit | user_limit',
    paused_since  Nullable(DateTime64(6, 'UTC'))   COMMENT 'since the first of them holds; null where nothing that is stored says',
    paused_hours  Nullable(Int64)                  COMMENT 'whole hours since then, until ledger time',
    paused_until  Nullable(DateTime64(6, 'UTC'))   COMMENT 'when it ends by itself, if nobody does anything; null: it does not (R24, R27)'
)
AS WITH (SELECT tuple(at, month, log_id) FROM ledger_time) AS now
SELECT
    org_id, user_id, seat_tier, reasons[1] AS reason, reasons,
    -- A limit of 0 that nothing was charged to was reached as the month began, without a breach.
    nullIf(arrayMin(arrayFilter(at -> at > toDateTime64(0, 6, 'UTC'), arrayMap(
        why -> if(endsWith(why, '_limit') AND NOT mapContains(since, why), month_began, since[why]), reasons))), toDateTime64(0, 6, 'UTC')) AS paused_since,
    age('hour', paused_since, now.1) AS paused_hours,
    if(is_reached_next OR hasAny(reasons, ['suspended', 'disabled', 'balance']), NULL, addMonths(month_began, 1)) AS paused_until
FROM
(
    SELECT
        org_id, user_id, seat_tier, reasons, is_reached_next,
        toDateTime64(toStartOfMonth(assumeNotNull(now.1)), 6, 'UTC') AS month_began,
        maxMap(map(multiIf(
            fact IN ('suspend_organization', 'close_organization'), 'suspended',
            fact IN multiIf(
                NOT org_on, ['set_credits', 'register_organization'],
                own_on IS NULL, ['set_member_default', 'register_organization'],
                ['set_member_credits']), 'disabled',
            fact), at)) AS since
    FROM
    (
        -- Each member thrice, for the three scopes that cover them.
        SELECT
            org_id, user_id, seat_tier, own_on, org_on, covers,
            arrayFilter(why -> why != '', [
                if(status != 'active', 'suspended', ''),
                if(org_on AND ifNull(own_on, member_default), '', 'disabled'),
                if(plan = 'team' AND balance <= 0, 'balance', ''),
                if(org_reached, 'org_limit', ''),
                -- Limits of seat tiers are inert on Team (R22).
                if(plan = 'enterprise' AND if(is_pool, tier_reached, own IS NULL AND ifNull(spent >= tier, false)), 'tier_limit', ''),
                if(reached, 'user_limit', '')]) AS reasons,
            org_reached_next OR reached_next
                OR (plan = 'enterprise' AND tier_reached_next AND (is_pool OR own_next IS NULL)) AS is_reached_next
        FROM
        (
            SELECT
                org_id, kind, user_id, seat_tier, removed, credits_enabled AS own_on,
                if(raise_month >= now.2, raise_usd, credit_status.limit_usd) AS own,
                if(raise_month > now.2, raise_usd, credit_status.limit_usd)  AS own_next,
                if(
                    JSONExtractString(event, 'month') >= now.2,
                    toDecimal128OrZero(JSONExtractString(event, 'spend_picousd'), 0) * toDecimal128('0.000000000001', 12),
                    toDecimal128(0, 12)) AS spent,
                ifNull(spent >= own, false)  AS reached,
                ifNull(own_next <= 0, false) AS reached_next,
                anyIf(credit_status.plan, kind = 'org') OVER of_org                                                 AS plan,
                anyIf(credit_status.status, kind = 'org') OVER of_org                                               AS status,
                anyIf(ifNull(credits_enabled, false), kind = 'org') OVER of_org                                     AS org_on,
                anyIf(credit_status.member_default, kind = 'org') OVER of_org                                       AS member_default,
                anyIf(toInt128OrZero(JSONExtractString(event, 'balance_picousd')), kind = 'org') OVER of_org        AS balance,
                anyIf(reached, kind = 'org') OVER of_org                                                            AS org_reached,
                anyIf(reached_next, kind = 'org') OVER of_org                                                       AS org_reached_next,
                anyIf(basis = 'whole_tier', kind = 'tier') OVER of_tier                                             AS is_pool,
                anyIf(own, kind = 'tier') OVER of_tier                                                              AS tier,
                anyIf(reached, kind = 'tier') OVER of_tier                                                          AS tier_reached,
                anyIf(reached_next, kind = 'tier') OVER of_tier                                                     AS tier_reached_next
            FROM credit_status FINAL
            WHERE kind IN ('org', 'tier', 'member') AND log_id = now.3
            WINDOW of_org AS (PARTITION BY org_id), of_tier AS (PARTITION BY org_id, seat_tier)
        )
        ARRAY JOIN ['', concat('tier ', seat_tier), concat('member ', user_id)] AS covers
        WHERE kind = 'member' AND NOT removed AND plan != '' AND notEmpty(reasons)
    ) AS people
    LEFT JOIN
    (
        -- The pauses that stand, of limits in this month and of the balance, and what switches were set.
        SELECT
            org_id,
            multiIf(scope_kind = 'tier', concat('tier ', seat_tier), scope_kind = 'member', concat('member ', user_id), '') AS covers,
            multiIf(
                scope_kind = '', 'balance',
                scope_kind = 'organization', 'org_limit',
                scope_kind = 'member' AND seat_tier = '', 'user_limit',
                'tier_limit') AS fact,
            if(fact = 'balance', max(limit_events.at), assumeNotNull(min(paused_from))) AS at
        FROM limit_events
        WHERE (type IN ('usage-credits.limit.breached', 'usage-credits.limit.resumed') AND limit_events.month = now.2)
            OR type IN ('usage-credits.credits.paused', 'usage-credits.credits.resumed')
        GROUP BY org_id, scope_kind, seat_tier, user_id, episode
        HAVING argMax(type, org_seq) IN ('usage-credits.limit.breached', 'usage-credits.credits.paused')
        UNION ALL
        SELECT
            org_id, if(command = 'set_member_credits', concat('member ', JSONExtractString(event, 'data', 'before', 'user_id')), '') AS covers,
            toString(command), max(account_events.at)
        FROM account_events
        WHERE type = 'usage-credits.command.applied' AND command IN
            ('suspend_organization', 'close_organization', 'set_credits', 'register_organization', 'set_member_default', 'set_member_credits')
        GROUP BY org_id, covers, command
    ) AS facts USING (org_id, covers)
    GROUP BY org_id, user_id, seat_tier, own_on, org_on, reasons, is_reached_next
)
COMMENT 'Who may not spend credits now, why, since when and until when. SELECT user_id, reasons, paused_hours FROM paused_members WHERE org_id = ''acme''';
