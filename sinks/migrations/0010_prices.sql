-- What the price book says, for views to reckon with (docs/rules.md R9-R12). Each start of a sink writes the book that
-- comes with it; no block ever changes, so the same row again replaces itself. Ask with FINAL.
CREATE TABLE IF NOT EXISTS price_ids
(
    price_id             String                    COMMENT 'model@first day of its price block, and variants (R12)',
    model                LowCardinality(String)    COMMENT 'the name its prices go by',
    input_usd            Nullable(Decimal(38, 12)) COMMENT 'US dollars per uncached input token; null: the book has no such rate, here and below',
    output_usd           Nullable(Decimal(38, 12)) COMMENT 'US dollars per output token',
    cache_read_usd       Nullable(Decimal(38, 12)) COMMENT 'US dollars per token read from a cache',
    cache_write_5m_usd   Nullable(Decimal(38, 12)) COMMENT 'US dollars per token written to a cache for 5 minutes',
    cache_write_1h_usd   Nullable(Decimal(38, 12)) COMMENT 'US dollars per token written to a cache for 1 hour',
    web_search_usd       Nullable(Decimal(38, 12)) COMMENT 'US dollars per web search'
)
ENGINE = ReplacingMergeTree
ORDER BY price_id
COMMENT 'Rates of every price id of the price book (R12)';

CREATE TABLE IF NOT EXISTS seat_prices
(
    plan                 LowCardinality(String)    COMMENT 'team | enterprise',
    seat_tier            LowCardinality(String)    COMMENT 'standard | premium',
    first_day            Date                      COMMENT 'from when it is known to hold, UTC; until the next row of the same seat',
    usd_per_month        Nullable(Decimal(38, 12)) COMMENT 'US dollars a seat and month, billed monthly, without tax; null: not published'
)
ENGINE = ReplacingMergeTree
ORDER BY (plan, seat_tier, first_day)
COMMENT 'List prices of seats, dated; what is not here is not known';
