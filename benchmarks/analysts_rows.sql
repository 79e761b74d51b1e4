-- Rows for `python -m benchmarks analysts`; names after a dollar sign are sizes. The first statement is run for each month, in pieces.
INSERT INTO priced_usage
WITH
    -- Token rates in picodollars: output costs five times as much as input, a cache read a tenth, a write a quarter more.
    ['claude-sonnet-4-6@2026-03-13', 'claude-haiku-4-5@2025-10-01', 'claude-opus-4-7@2026-04-16',
     'claude-sonnet-4-6@2026-03-13+batch', 'claude-haiku-4-5@2025-10-01+batch', 'claude-sonnet-4-6@2026-03-13+us'] AS prices,
    [3000000, 1000000, 5000000, 1500000, 500000, 3300000] AS rates,
    toDecimal128('0.000000000001', 12) AS picousd
SELECT
    concat('org-', leftPad(toString(o), 5, '0'))                    AS org_id,
    number                                                          AS org_seq,
    concat('user-', toString(o), '-', toString(m))                  AS user_id,
    if(m % 4 = 0, 'premium', 'standard')                            AS seat_tier,
    lower(hex(cityHash64(number, 'id')))                            AS event_id,
    'gateway'                                                       AS source,
    ['chat', 'claude-code', 'cowork'][1 + cityHash64(number, 'product') % 3] AS product,
    splitByChar('@', price_id)[1]                                   AS model,
    model                                                           AS model_as_sent,
    prices[p]                                                       AS price_id,
    addMicroseconds(toDateTime64('$month-01 00:00:00', 6, 'UTC'), cityHash64(number, 'when') % ($days * 86400000000)) AS occurred_at,
    addSeconds(occurred_at, if(cityHash64(number, 'late') % 100 = 0, 100000, 2)) AS arrived_at,
    '$month'                                                        AS usage_month,
    '$month'                                                        AS charge_month,
    if(cityHash64(number, 'funding') % 3 = 0, 'included', 'credits') AS funding,
    funding = 'credits' AND m % 20 = 7 AND cityHash64(number, 'paused') % 25 = 0 AS after_pause,
    if(price_id LIKE '%batch', 'batch', 'standard')                 AS processing,
    'standard'                                                      AS speed,
    if(price_id LIKE '%us', 'us', '')                               AS inference_geo,
    1                                                               AS events,
    toInt64(cityHash64(number, 'input') % 4000)                     AS input_tokens,
    toInt64(cityHash64(number, 'output') % 2000)                    AS output_tokens,
    toInt64(cityHash64(number, 'read') % 90000)                     AS cache_read_tokens,
    toInt64(cityHash64(number, 'write') % 5000)                     AS cache_write_5m_tokens,
    0                                                               AS cache_write_1h_tokens,
    toInt64(cityHash64(number, 'search') % 50 = 0)                  AS web_search_requests,
    input_usd + output_usd + cache_read_usd + cache_write_5m_usd + web_search_usd AS cost_usd,
    input_tokens * rates[p] * picousd                               AS input_usd,
    output_tokens * 5 * rates[p] * picousd                          AS output_usd,
    intDiv(cache_read_tokens * rates[p], 10) * picousd              AS cache_read_usd,
    intDiv(cache_write_5m_tokens * 5 * rates[p], 4) * picousd       AS cache_write_5m_usd,
    0                                                               AS cache_write_1h_usd,
    web_search_requests * 10000000000 * picousd                     AS web_search_usd,
    '' AS corrects, 0 AS leg,
    o % 4 AS input_partition, number AS input_offset, 0 AS input_index,
    'usage-events' AS origin_topic, o % 4 AS origin_partition, number AS origin_offset, 0 AS origin_index,
    'log' AS log_id, 0 AS block_from, number AS block_to
FROM
(
    -- The square of an even chance: the first organisation of a thousand has a thirtieth of all, the median one 1/1,400.
    SELECT
        number,
        toUInt32($organizations * pow(cityHash64(number, 'org') % 1000003 / 1000003, 2)) AS o,
        toUInt32($members / $organizations * pow(cityHash64(number, 'member') % 1000003 / 1000003, 2)) AS m,
        1 + toUInt8(6 * pow(cityHash64(number, 'price') % 1000003 / 1000003, 2)) AS p
    FROM numbers($start, $count)
);

CREATE OR REPLACE VIEW made_organizations AS
SELECT number AS o, concat('org-', leftPad(toString(o), 5, '0')) AS org_id, if(o % 3 = 0, 'team', 'enterprise') AS plan
FROM numbers($organizations);

CREATE OR REPLACE VIEW made_members AS
SELECT
    number AS n, n % $organizations AS o, intDiv(n, $organizations) AS m, concat('org-', leftPad(toString(o), 5, '0')) AS org_id,
    concat('user-', toString(o), '-', toString(m)) AS user_id, if(m % 4 = 0, 'premium', 'standard') AS seat_tier
FROM numbers($members);

INSERT INTO credit_status (log_id, log_offset, key, event, kind, org_id, seat_tier, basis, limit_usd)
SELECT 'log', o, concat('tier ', org_id, tier), '', 'tier', org_id, tier, 'each_member', 30
FROM made_organizations ARRAY JOIN ['standard', 'premium'] AS tier;

INSERT INTO credit_status (log_id, log_offset, key, event, kind, org_id, user_id, seat_tier, role, limit_usd)
SELECT
    'log', n, concat('member ', org_id, user_id),
    concat('{"month":"2026-09","spend_picousd":"', toString(toInt128(spend_usd * 1000000000000)), '"}'),
    'member', org_id, user_id, seat_tier, 'member', if(m % 9 = 0, 8, NULL)
FROM made_members
LEFT JOIN (SELECT org_id, user_id, spend_usd FROM month_to_date_by_member WHERE month = '2026-09') AS used USING (org_id, user_id);

INSERT INTO credit_status (log_id, log_partition, log_offset, key, event, kind, as_of)
SELECT 'log', number, number, concat('clock ', toString(number)), '', 'clock', toDateTime64('2026-09-18 12:00:00', 6, 'UTC')
FROM numbers(4);

INSERT INTO limit_events (log_id, log_offset, event, id, type, org_id, org_seq, at, scope_kind, seat_tier, user_id, month, limit_version, episode, limit_usd, spend_usd, overshoot_usd, cause, paused_from)
SELECT
    'log', n, '', hex(cityHash64(user_id, month)), 'usage-credits.limit.breached', org_id, 1, addDays(toDateTime64(concat(month, '-01 00:00:00'), 6, 'UTC'), 11) AS at,
    'member', seat_tier, user_id, month, 1, 1, 30, 30.1, 0.1, 'usage', at
FROM made_members ARRAY JOIN ['2026-07', '2026-08', '2026-09'] AS month
WHERE m % 20 = 7;

INSERT INTO ledger_entries (log_id, log_offset, event, id, org_id, org_seq, at, type, account, amount_usd, balance_after_usd, charge_month, lot_id, cause_kind, cause_id)
SELECT
    'log', number, '', hex(number), concat('org-', leftPad(toString(o), 5, '0')), number * 50,
    addSeconds(toDateTime64('2026-07-01 00:00:00', 6, 'UTC'), intDiv(number * 6868800, $burns)) AS at, 'burn',
    if(o % 3 = 0, 'wallet', 'unbilled'), -0.5, 0, formatDateTime(at, '%Y-%m'), '', 'usage', ''
FROM (SELECT number, toUInt32($organizations * pow(cityHash64(number, 'burn') % 1000003 / 1000003, 2)) AS o FROM numbers($burns));

-- A burn stands at the last row it covers; each month's last one at its last row, so that none is under way.
INSERT INTO ledger_entries (log_id, log_offset, event, id, org_id, org_seq, at, type, account, amount_usd, balance_after_usd, charge_month, lot_id, cause_kind, cause_id)
SELECT
    'log', $burns + o * 4 + days % 4, '', concat(org_id, last), org_id, intDiv($rows * days, 80), toDateTime64(last, 6, 'UTC'), 'burn',
    if(plan = 'team', 'wallet', 'unbilled'), -0.5, 0, left(last, 7), '', 'usage', ''
FROM made_organizations ARRAY JOIN ['2026-07-31 23:59:59', '2026-08-31 23:59:59', '2026-09-18 11:59:59'] AS last, [31, 62, 80] AS days;

INSERT INTO ledger_entries (log_id, log_offset, event, id, org_id, org_seq, at, type, account, amount_usd, balance_after_usd, charge_month, lot_id, cause_kind, cause_id)
SELECT 'log', $burns + o * 4 + 1, '', org_id, org_id, 0, toDateTime64('2026-07-01 00:00:00', 6, 'UTC'), 'purchase', 'wallet', 2000, 2000, '2026-07', 'lot', 'command', 'pay'
FROM made_organizations WHERE plan = 'team';

INSERT INTO credit_status (log_id, log_offset, key, event, kind, org_id, plan, status, credits_enabled, limit_usd)
SELECT
    'log', o, concat('org ', org_id),
    concat(
        '{"balance_picousd":"', toString(toInt128(balance_usd * 1000000000000)),
        '","month":"2026-09","spend_picousd":"', toString(toInt128(spend_usd * 1000000000000)), '"}'),
    'org', org_id, plan, 'active', true, 900
FROM made_organizations
LEFT JOIN wallet_balances USING (org_id)
LEFT JOIN (SELECT org_id, spend_usd FROM month_to_date_by_organization WHERE month = '2026-09') AS used USING (org_id);

INSERT INTO account_events (log_id, log_offset, id, type, org_id, org_seq, at, command_id, command, actor_kind, actor_id, reason, event)
SELECT
    'log', n, '', 'usage-credits.command.applied', org_id, n * 10 + step.2, addHours(toDateTime64('2026-09-01 08:00:00', 6, 'UTC'), n % 300 + step.2), 'c', step.1,
    'user', if(step.2 = 2, 'owner', user_id), '', concat('{"data":{"before":{},"after":{"request_id":"', hex(n), '","kind":"credits","status":"pending"}}}')
FROM made_members ARRAY JOIN [('add_member', 0), ('request_credits', 1), ('approve_request', 2)] AS step
WHERE step.2 = 0 OR m % 5 = 0;

INSERT INTO dead_letters (log_id, log_offset, event, dead_letter_id, reason, detail, org_id, user_id, event_id, model, tokens, length_bytes, arrived_at, origin_topic, origin_partition, origin_offset, origin_index)
SELECT 'log', n, '', hex(n), 'unknown_model', '', org_id, user_id, '', 'claude-next', 1000, 300, toDateTime64('2026-09-18 10:00:00', 6, 'UTC'), 'usage-events', 0, n, 0
FROM made_members WHERE m % 10 = 0;

INSERT INTO billing_events (log_id, log_offset, id, type, org_id, org_seq, at, month, part, number, reason, line_count, event)
SELECT
    'log', o, hex(cityHash64(org_id, month)), 'usage-credits.invoice.finalized', org_id, $rows, addDays(toDateTime64(concat(month, '-01 00:00:00'), 6, 'UTC'), 34), month, 1, toUInt64(right(month, 1)), 'month_closed', 90,
    concat('{"data":{"first_line":0,"lines":[', arrayStringConcat(arrayMap(k -> concat('{"kind":"usage","usage_month":"', month, '","product":"chat","model":"claude-haiku-4-5","price_id":"claude-haiku-4-5@2025-10-01","token_kind":"output_tokens","quantity":', toString(k), ',"rate_picousd":"5000000","exact_picousd":"5000000","amount_picousd":"0"}'), range(90)), ','), ']}}')
FROM made_organizations ARRAY JOIN ['2026-07', '2026-08'] AS month
WHERE plan = 'enterprise';
