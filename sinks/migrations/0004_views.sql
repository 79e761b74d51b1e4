-- The usual questions as one-liners (docs/rules.md R8, R18-R20, R24-R28, R42).
--
-- Spend is what limits count: credits, in their own month. Prior-period lines are charged in the month but count
-- toward no limit (R19); included usage is valued, never charged (R8). The inner query is answered by the projection
-- month_to_date, the outer one adds up its few rows.
CREATE OR REPLACE VIEW month_to_date_by_member AS
SELECT
    month, org_id, user_id,
    sumIf(usd, funding = 'credits' AND usage_month = month)                     AS spend_usd,
    sumIf(usd, funding = 'included')                                            AS included_value_usd,
    sumIf(usd, funding = 'credits' AND usage_month != month)                    AS prior_period_usd,
    sumIf(usd, funding = 'credits' AND usage_month = month AND after_pause)     AS after_pause_usd,
    sumIf(n, funding = 'credits' AND usage_month = month)                       AS credits_events,
    sumIf(n, funding = 'included')                                              AS included_events,
    max(last)                                                                   AS last_used_at
FROM
(
    SELECT
        charge_month AS month, org_id, user_id, funding, usage_month, after_pause,
        sum(cost_usd) AS usd, sum(events) AS n, max(occurred_at) AS last
    FROM priced_usage
    GROUP BY charge_month, org_id, user_id, funding, usage_month, after_pause
)
GROUP BY month, org_id, user_id;

-- What was spent in a tier stays in it when a member changes seats (R30).
CREATE OR REPLACE VIEW month_to_date_by_tier AS
SELECT
    month, org_id, seat_tier,
    sumIf(usd, funding = 'credits' AND usage_month = month)                     AS spend_usd,
    sumIf(usd, funding = 'included')                                            AS included_value_usd,
    sumIf(usd, funding = 'credits' AND usage_month != month)                    AS prior_period_usd,
    sumIf(usd, funding = 'credits' AND usage_month = month AND after_pause)     AS after_pause_usd,
    sumIf(n, funding = 'credits' AND usage_month = month)                       AS credits_events,
    sumIf(n, funding = 'included')                                              AS included_events,
    max(last)                                                                   AS last_used_at
FROM
(
    SELECT
        charge_month AS month, org_id, seat_tier, funding, usage_month, after_pause,
        sum(cost_usd) AS usd, sum(events) AS n, max(occurred_at) AS last
    FROM priced_usage
    GROUP BY charge_month, org_id, seat_tier, funding, usage_month, after_pause
)
GROUP BY month, org_id, seat_tier;

CREATE OR REPLACE VIEW month_to_date_by_organization AS
SELECT
    month, org_id,
    sumIf(usd, funding = 'credits' AND usage_month = month)                     AS spend_usd,
    sumIf(usd, funding = 'included')                                            AS included_value_usd,
    sumIf(usd, funding = 'credits' AND usage_month != month)                    AS prior_period_usd,
    sumIf(usd, funding = 'credits' AND usage_month = month AND after_pause)     AS after_pause_usd,
    sumIf(n, funding = 'credits' AND usage_month = month)                       AS credits_events,
    sumIf(n, funding = 'included')                                              AS included_events,
    max(last)                                                                   AS last_used_at
FROM
(
    SELECT
        charge_month AS month, org_id, funding, usage_month, after_pause,
        sum(cost_usd) AS usd, sum(events) AS n, max(occurred_at) AS last
    FROM priced_usage
    GROUP BY charge_month, org_id, funding, usage_month, after_pause
)
GROUP BY month, org_id;

-- Each breach, and when its pause ended before its time, if it did (R24-R28).
CREATE OR REPLACE VIEW breaches AS
SELECT
    breached.id AS id, breached.at AS at, breached.org_id AS org_id, breached.org_seq AS org_seq,
    breached.scope_kind AS scope_kind, breached.seat_tier AS seat_tier, breached.user_id AS user_id,
    breached.month AS month, breached.limit_version AS limit_version, breached.episode AS episode,
    breached.limit_usd AS limit_usd, breached.spend_usd AS spend_usd, breached.overshoot_usd AS overshoot_usd,
    breached.cause AS cause, breached.crossing_event_id AS crossing_event_id,
    breached.crossing_source AS crossing_source,
    breached.paused_from AS paused_from, breached.paused_until AS paused_until,
    resumed.resumed_at AS resumed_at
FROM (SELECT * FROM limit_events WHERE type = 'usage-credits.limit.breached') AS breached
LEFT JOIN
(
    SELECT org_id, scope_kind, seat_tier, user_id, month, episode, toNullable(min(at)) AS resumed_at
    FROM limit_events
    WHERE type = 'usage-credits.limit.resumed'
    GROUP BY org_id, scope_kind, seat_tier, user_id, month, episode
) AS resumed
USING (org_id, scope_kind, seat_tier, user_id, month, episode);
