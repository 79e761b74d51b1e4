-- What the views below read in place of rows: sums kept with every part (docs/analysts.md, "How it is fast").
-- A projection is part of its part, so it cannot differ from the rows: exactly once for both, or neither.
ALTER TABLE priced_usage ADD PROJECTION IF NOT EXISTS by_hour
(
    SELECT
        charge_month, org_id, toStartOfHour(occurred_at), usage_month, funding,
        sum(cost_usd), sum(events)
    GROUP BY charge_month, org_id, toStartOfHour(occurred_at), usage_month, funding
),
ADD PROJECTION IF NOT EXISTS by_price
(
    SELECT
        charge_month, org_id, usage_month, funding, product, model, price_id, corrects != '', leg,
        toStartOfMonth(arrived_at) > toStartOfMonth(occurred_at),
        sum(cost_usd), sum(events), sum(output_usd), sum(web_search_usd),
        sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens),
        sum(cache_write_1h_tokens), sum(web_search_requests)
    GROUP BY
        charge_month, org_id, usage_month, funding, product, model, price_id, corrects != '', leg,
        toStartOfMonth(arrived_at) > toStartOfMonth(occurred_at)
);

-- In the background, part by part; until then the views read the rows.
ALTER TABLE priced_usage MATERIALIZE PROJECTION by_hour, MATERIALIZE PROJECTION by_price;
