-- Analysts' questions of usage and what it costs (docs/rules.md R8, R15, R18-R20, R42; docs/analysts.md).
--
-- Inner queries are answered by a projection of priced_usage, outer ones add up its few rows. Spend is what limits
-- count, as in month_to_date_by_member: credits, in their own month. US dollars are exact, and never an average.

CREATE OR REPLACE VIEW ledger_time
(
    at      DateTime64(6, 'UTC')    COMMENT 'ledger time: all input that arrived before it is applied, in every partition (R44)',
    month   String                  COMMENT 'the month that runs then, like 2026-02',
    log_id  String                  COMMENT 'the Kafka log of which it is: the one accepted last'
)
AS SELECT assumeNotNull(min(as_of)) AS at, formatDateTime(at, '%Y-%m') AS month, toString(credit_status.log_id) AS log_id
FROM credit_status FINAL
WHERE credit_status.org_id = '' AND credit_status.kind = 'clock'
    AND credit_status.log_id = (SELECT argMax(kafka_logs.log_id, accepted_at) FROM kafka_logs)
GROUP BY credit_status.log_id
COMMENT 'What "now" is to the views: the ledger''s clock, not the server''s, so the same data gives the same answer on any day. No row before the first clock is stored';

CREATE OR REPLACE VIEW spend_by_model
(
    month               LowCardinality(String)    COMMENT 'charge month, like 2026-02',
    org_id              String                    COMMENT 'organisation',
    model               LowCardinality(String)    COMMENT 'the name its prices go by',
    spend_usd           Decimal(38, 12)           COMMENT 'US dollars: credits used in the month',
    share_percent       Nullable(Decimal(18, 2))  COMMENT 'percent of the organisation''s spend in the month, cut to two decimals; null where there is none',
    prior_period_usd    Decimal(38, 12)           COMMENT 'US dollars: credits used in an earlier month, charged in this one (R19)',
    included_value_usd  Decimal(38, 12)           COMMENT 'US dollars: what included usage would have cost (R8)',
    events              Int64                     COMMENT 'usage events, included ones too'
)
AS SELECT
    month, org_id, model,
    sumIf(usd, funding = 'credits' AND usage_month = month)                         AS spend_usd,
    toDecimal64(spend_usd * 100 / nullIf(sum(spend_usd) OVER (PARTITION BY month, org_id), toDecimal128(0, 12)), 2) AS share_percent,
    sumIf(usd, funding = 'credits' AND usage_month != month)                        AS prior_period_usd,
    sumIf(usd, funding = 'included')                                                AS included_value_usd,
    sum(n)                                                                          AS events
FROM
(
    SELECT charge_month AS month, org_id, model, funding, usage_month, sum(cost_usd) AS usd, sum(priced_usage.events) AS n
    FROM priced_usage
    GROUP BY charge_month, org_id, model, funding, usage_month
)
GROUP BY month, org_id, model
COMMENT 'Top models. SELECT model, spend_usd FROM spend_by_model WHERE org_id = ''acme'' AND month = ''2026-02'' ORDER BY spend_usd DESC LIMIT 5';

CREATE OR REPLACE VIEW spend_by_product
(
    month               LowCardinality(String)    COMMENT 'charge month, like 2026-02',
    org_id              String                    COMMENT 'organisation',
    product             LowCardinality(String)    COMMENT 'where it was used: chat, claude-code, …',
    spend_usd           Decimal(38, 12)           COMMENT 'US dollars: credits used in the month',
    share_percent       Nullable(Decimal(18, 2))  COMMENT 'percent of the organisation''s spend in the month, cut to two decimals; null where there is none',
    prior_period_usd    Decimal(38, 12)           COMMENT 'US dollars: credits used in an earlier month, charged in this one (R19)',
    included_value_usd  Decimal(38, 12)           COMMENT 'US dollars: what included usage would have cost (R8)',
    events              Int64                     COMMENT 'usage events, included ones too'
)
AS SELECT
    month, org_id, product,
    sumIf(usd, funding = 'credits' AND usage_month = month)                         AS spend_usd,
    toDecimal64(spend_usd * 100 / nullIf(sum(spend_usd) OVER (PARTITION BY month, org_id), toDecimal128(0, 12)), 2) AS share_percent,
    sumIf(usd, funding = 'credits' AND usage_month != month)                        AS prior_period_usd,
    sumIf(usd, funding = 'included')                                                AS included_value_usd,
    sum(n)                                                                          AS events
FROM
(
    SELECT charge_month AS month, org_id, product, funding, usage_month, sum(cost_usd) AS usd, sum(priced_usage.events) AS n
    FROM priced_usage
    GROUP BY charge_month, org_id, product, funding, usage_month
)
GROUP BY month, org_id, product
COMMENT 'Top products and their shares. SELECT product, share_percent FROM spend_by_product WHERE org_id = ''acme'' AND month = ''2026-02'' ORDER BY spend_usd DESC';

CREATE OR REPLACE VIEW spend_by_hour
(
    month               LowCardinality(String)    COMMENT 'charge month, like 2026-02; later than that of the hour exactly on prior-period rows (R19)',
    org_id              String                    COMMENT 'organisation',
    hour                DateTime('UTC')           COMMENT 'first instant of the hour in which it was used',
    spend_usd           Decimal(38, 12)           COMMENT 'US dollars: credits used in the hour, charged in its own month',
    prior_period_usd    Decimal(38, 12)           COMMENT 'US dollars: credits used in the hour, charged in a later month (R19)',
    included_value_usd  Decimal(38, 12)           COMMENT 'US dollars: what included usage would have cost (R8)',
    events              Int64                     COMMENT 'usage events, included ones too'
)
AS SELECT
    month, org_id, hour,
    sumIf(usd, funding = 'credits' AND usage_month = month)     AS spend_usd,
    sumIf(usd, funding = 'credits' AND usage_month != month)    AS prior_period_usd,
    sumIf(usd, funding = 'included')                            AS included_value_usd,
    sum(n)                                                      AS events
FROM
(
    SELECT
        charge_month AS month, org_id, toStartOfHour(occurred_at) AS hour, funding, usage_month,
        sum(cost_usd) AS usd, sum(priced_usage.events) AS n
    FROM priced_usage
    GROUP BY charge_month, org_id, toStartOfHour(occurred_at), funding, usage_month
)
GROUP BY month, org_id, hour
COMMENT 'Spend per hour, UTC; hours without usage have no row. SELECT hour, spend_usd FROM spend_by_hour WHERE org_id = ''acme'' AND month = ''2026-02'' ORDER BY hour';

CREATE OR REPLACE VIEW spend_by_day
(
    month               LowCardinality(String)    COMMENT 'charge month, like 2026-02; later than that of the day exactly on prior-period rows (R19)',
    org_id              String                    COMMENT 'organisation',
    day                 Date                      COMMENT 'day in which it was used, UTC',
    spend_usd           Decimal(38, 12)           COMMENT 'US dollars: credits used on the day, charged in its own month',
    prior_period_usd    Decimal(38, 12)           COMMENT 'US dollars: credits used on the day, charged in a later month (R19)',
    included_value_usd  Decimal(38, 12)           COMMENT 'US dollars: what included usage would have cost (R8)',
    events              Int64                     COMMENT 'usage events, included ones too'
)
AS SELECT
    month, org_id, toDate(hour) AS day,
    sum(spend_by_hour.spend_usd)            AS spend_usd,
    sum(spend_by_hour.prior_period_usd)     AS prior_period_usd,
    sum(spend_by_hour.included_value_usd)   AS included_value_usd,
    sum(spend_by_hour.events)               AS events
FROM spend_by_hour
GROUP BY month, org_id, day
COMMENT 'Spend per day, UTC; days without usage have no row. SELECT day, spend_usd FROM spend_by_day WHERE org_id = ''acme'' AND month = ''2026-02'' ORDER BY day';

CREATE OR REPLACE VIEW cache_savings
(
    month               LowCardinality(String)      COMMENT 'charge month, like 2026-02',
    org_id              String                      COMMENT 'organisation',
    model               LowCardinality(String)      COMMENT 'the name its prices go by',
    funding             LowCardinality(String)      COMMENT 'included | credits (R8)',
    cache_read_tokens   Int64                       COMMENT 'tokens read from a cache',
    cache_write_tokens  Int64                       COMMENT 'tokens written to a cache, for 5 minutes or 1 hour',
    cost_usd            Decimal(38, 12)             COMMENT 'US dollars: what it cost, output and searches too',
    uncached_usd        Nullable(Decimal(38, 12))   COMMENT 'US dollars: what the same tokens would have cost if all input had been uncached; null where price_ids lacks a rate',
    saved_usd           Nullable(Decimal(38, 12))   COMMENT 'US dollars: uncached_usd less cost_usd; below zero where more was written than was worth it'
)
AS SELECT
    month, org_id, model, funding,
    sum(read)                                                           AS cache_read_tokens,
    sum(written)                                                        AS cache_write_tokens,
    sum(cost)                                                           AS cost_usd,
    if(countIf(rate IS NULL) > 0, NULL, sum((input + read + written) * rate + uncacheable)) AS uncached_usd,
    uncached_usd - cost_usd                                             AS saved_usd
FROM
(
    SELECT
        charge_month AS month, org_id, model, funding, toString(price_id) AS price_id, sum(cost_usd) AS cost,
        sum(input_tokens) AS input, sum(priced_usage.cache_read_tokens) AS read,
        sum(cache_write_5m_tokens) + sum(cache_write_1h_tokens) AS written, sum(output_usd) + sum(web_search_usd) AS uncacheable
    FROM priced_usage
    GROUP BY charge_month, org_id, model, funding, priced_usage.price_id
) AS used
LEFT JOIN (SELECT price_id, input_usd AS rate FROM price_ids FINAL) AS prices USING (price_id)
GROUP BY month, org_id, model, funding
COMMENT 'What caching saved: the same tokens at the input rate of the same price id. SELECT sum(saved_usd) FROM cache_savings WHERE org_id = ''acme'' AND month = ''2026-02''';

CREATE OR REPLACE VIEW included_usage
(
    month       LowCardinality(String)  COMMENT 'charge month, like 2026-02',
    org_id      String                  COMMENT 'organisation',
    seat_tier   LowCardinality(String)  COMMENT 'standard | premium, as held when it was used (R20a)',
    members     UInt64                  COMMENT 'how many members used any',
    events      Int64                   COMMENT 'usage events',
    value_usd   Decimal(38, 12)         COMMENT 'US dollars: what it would have cost with credits (R8)'
)
AS SELECT month, org_id, seat_tier, count() AS members, sum(n) AS events, sum(usd) AS value_usd
FROM
(
    SELECT charge_month AS month, org_id, seat_tier, user_id, sum(cost_usd) AS usd, sum(priced_usage.events) AS n
    FROM priced_usage
    WHERE funding = 'included'
    GROUP BY charge_month, org_id, seat_tier, user_id
)
GROUP BY month, org_id, seat_tier
COMMENT 'The value of included usage: what seats gave. SELECT seat_tier, members, value_usd FROM included_usage WHERE org_id = ''acme'' AND month = ''2026-02''';

CREATE OR REPLACE VIEW usage_after_pause
(
    month       LowCardinality(String)  COMMENT 'charge month, like 2026-02',
    org_id      String                  COMMENT 'organisation',
    user_id     String                  COMMENT 'member',
    events      Int64                   COMMENT 'usage events',
    usd         Decimal(38, 12)         COMMENT 'US dollars charged'
)
AS SELECT charge_month AS month, org_id, user_id, sum(priced_usage.events) AS events, sum(cost_usd) AS usd
FROM priced_usage
WHERE funding = 'credits' AND after_pause
GROUP BY charge_month, org_id, user_id
COMMENT 'What was used while credits were paused or disabled: it was consumed, so it is charged (R20)';

CREATE OR REPLACE VIEW late_and_corrected_usage
(
    month                LowCardinality(String)  COMMENT 'charge month, like 2026-02',
    org_id               String                  COMMENT 'organisation',
    late_events          Int64                   COMMENT 'usage events that arrived after the month of their use had ended',
    late_usd             Decimal(38, 12)         COMMENT 'US dollars charged for them',
    prior_period_usd     Decimal(38, 12)         COMMENT 'US dollars charged in this month for usage of an earlier one, which was closed; corrections too (R19)',
    corrections          Int64                   COMMENT 'corrections, by the month in which they are booked (R15)',
    taken_back_usd       Decimal(38, 12)         COMMENT 'US dollars, below zero: what the corrected events had cost',
    booked_again_usd     Decimal(38, 12)         COMMENT 'US dollars: what they cost now',
    corrected_usd        Decimal(38, 12)         COMMENT 'US dollars: what the corrections added, or below zero took away'
)
AS SELECT
    month, org_id,
    sumIf(n, late AND NOT corrected)                AS late_events,
    sumIf(usd, late AND NOT corrected)              AS late_usd,
    sumIf(usd, usage_month != month)                AS prior_period_usd,
    sumIf(n, corrected AND leg = 1)                 AS corrections,
    sumIf(usd, corrected AND leg = 0)               AS taken_back_usd,
    sumIf(usd, corrected AND leg = 1)               AS booked_again_usd,
    taken_back_usd + booked_again_usd               AS corrected_usd
FROM
(
    SELECT
        charge_month AS month, org_id, usage_month, corrects != '' AS corrected, leg,
        toStartOfMonth(arrived_at) > toStartOfMonth(occurred_at) AS late,
        sum(cost_usd) AS usd, sum(priced_usage.events) AS n
    FROM priced_usage
    WHERE funding = 'credits'
    GROUP BY charge_month, org_id, usage_month, corrects != '', leg, toStartOfMonth(arrived_at) > toStartOfMonth(occurred_at)
)
GROUP BY month, org_id
HAVING late_events != 0 OR prior_period_usd != 0 OR corrections != 0
COMMENT 'Credits that came late or were put right (R15, R19); months without any have no row';

-- A day of the rest of the month is taken to cost what the same day of the week did one, two, three and four weeks ago:
-- four months' ends that really were, so the spread needs no assumption of how spend is distributed.
CREATE OR REPLACE VIEW month_forecast
(
    month         String                      COMMENT 'the month that runs, like 2026-02',
    org_id        String                      COMMENT 'organisation',
    spend_usd     Decimal(38, 12)             COMMENT 'US dollars: month to date',
    days_left     UInt8                       COMMENT 'days to come, the one that runs included',
    weeks         UInt8                       COMMENT 'how many whole weeks of usage there are to go by, at most 4; 0: no forecast',
    low_usd       Nullable(Decimal(38, 12))   COMMENT 'US dollars for the whole month, if its rest goes like the cheapest of those weeks',
    forecast_usd  Nullable(Decimal(38, 12))   COMMENT 'US dollars for the whole month, if its rest goes like all of them together',
    high_usd      Nullable(Decimal(38, 12))   COMMENT 'US dollars for the whole month, if its rest goes like the dearest of them'
)
AS WITH (SELECT toDate(at) FROM ledger_time) AS today
SELECT
    month, org_id, spend_usd, days_left, weeks,
    if(weeks = 0, NULL, greatest(spend_usd, whole_days_usd + arrayMin(rests)))          AS low_usd,
    if(weeks = 0, NULL, greatest(spend_usd, whole_days_usd + arraySum(rests) / weeks))  AS forecast_usd,
    if(weeks = 0, NULL, greatest(spend_usd, whole_days_usd + arrayMax(rests)))          AS high_usd
FROM
(
    SELECT
        formatDateTime(assumeNotNull(today), '%Y-%m')                   AS month,
        org_id,
        sumIf(usd, ago <= dayOfMonth(today) - 1)                        AS spend_usd,
        sumIf(usd, ago BETWEEN 1 AND dayOfMonth(today) - 1)             AS whole_days_usd,
        any(days_to_come)                                               AS days_left,
        toUInt8(least(4, intDiv(max(ago), 7)))                          AS weeks,
        arraySlice([
            sumIf(usd * times, week = 1), sumIf(usd * times, week = 2),
            sumIf(usd * times, week = 3), sumIf(usd * times, week = 4)
        ], 1, weeks)                                                    AS rests
    FROM
    (
        SELECT
            org_id, usd, assumeNotNull(toInt32(today - day)) AS ago,
            assumeNotNull(toUInt8(toLastDayOfMonth(today) - today + 1)) AS days_to_come,
            -- 1 to 4 for the weeks before today, 0 for today; times is for how many days to come this one stands.
            intDiv(ago + 6, 7)                                          AS week,
            intDiv(days_to_come - (week * 7 - ago) + 6, 7)              AS times
        FROM
        (
            SELECT org_id, toDate(toStartOfHour(occurred_at)) AS day, sum(cost_usd) AS usd
            FROM priced_usage
            WHERE funding = 'credits' AND usage_month = charge_month
                AND charge_month >= formatDateTime(assumeNotNull(today) - 31, '%Y-%m')
                AND toDate(toStartOfHour(occurred_at)) BETWEEN assumeNotNull(today) - 31 AND assumeNotNull(today)
            GROUP BY org_id, toDate(toStartOfHour(occurred_at))
        )
    )
    GROUP BY org_id
)
COMMENT 'Where spend will be at the end of the month, and between what. The day that runs counts as one to come';
