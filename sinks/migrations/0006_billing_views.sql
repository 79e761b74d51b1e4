-- What is billed, for analysts and for billing (docs/rules.md R38-R42; docs/rules.md "Billing, in full").

-- A draft is published when its month ends, and is replaced by the invoice when that is finalised.
CREATE OR REPLACE VIEW invoices AS
SELECT
    org_id, month, part,
    if(type = 'usage-credits.invoice.finalized', 'finalized', 'draft') AS state,
    number, reason, at, org_seq, line_count, exact_usd, total_usd, carried_usd, offset_usd, due_usd
FROM billing_events
WHERE type IN ('usage-credits.invoice.drafted', 'usage-credits.invoice.finalized')
ORDER BY org_seq DESC
LIMIT 1 BY org_id, month, part
COMMENT 'Drafts and finalised invoices: the newest state of each organisation, charge month and part; US dollars. A finalised one without a number is a suppressed zero invoice (R39). SELECT * FROM invoices WHERE org_id = ''acme'' ORDER BY month, part';

CREATE OR REPLACE VIEW invoice_lines AS
SELECT
    org_id, month, part, state, number,
    first_line + position                                                   AS line_number,
    line.kind AS kind, line.usage_month AS usage_month, line.product AS product, line.model AS model,
    line.price_id AS price_id, line.token_kind AS token_kind, line.quantity AS quantity,
    toDecimal128(if(kind = 'usage', line.rate_picousd, '0'), 0) * toDecimal128('0.000000000001', 12) AS rate_usd,
    toDecimal128(line.exact_picousd, 0) * toDecimal128('0.000000000001', 12)  AS exact_usd,
    toDecimal128(line.amount_picousd, 0) * toDecimal128('0.000000000001', 12) AS amount_usd
FROM
(
    SELECT
        org_id, month, part,
        if(type = 'usage-credits.invoice.drafted' OR JSONExtractString(event, 'data', 'of') = 'draft', 'draft', 'finalized') AS state,
        JSONExtractUInt(event, 'data', 'first_line') AS first_line,
        JSONExtract(event, 'data', 'lines', 'Array(Tuple(kind String, usage_month String, product String, model String, price_id String, token_kind String, quantity Int64, rate_picousd String, exact_picousd String, amount_picousd String))') AS lines
    FROM billing_events
    WHERE type IN ('usage-credits.invoice.drafted', 'usage-credits.invoice.finalized', 'usage-credits.invoice.continued')
) AS published
ARRAY JOIN lines AS line, arrayEnumerate(lines) AS position
INNER JOIN (SELECT org_id, month, part, state, number FROM invoices) AS newest USING (org_id, month, part, state)
COMMENT 'Lines of drafts and invoices as published, numbered from 1 in their order; US dollars: exact_usd is quantity times rate_usd, amount_usd whole cents that add up to the invoice (R39). kind is usage, or carried or debt, which have no product, price or quantity. usage_month differs from month on prior-period lines (R19)';

-- No row says whether its organisation was on Enterprise then. The burn does: its org_seq is that of the last row in it,
-- so a row belongs to the next burn of its charge month. Usage that came to 0 together has no burn, and goes by the one
-- after it. The part is that of the first invoice of the month finalised after the row.
CREATE OR REPLACE VIEW charged_usage AS
SELECT
    usage.org_id AS org_id, usage.charge_month AS charge_month, usage.usage_month AS usage_month,
    usage.user_id AS user_id, usage.event_id AS event_id, usage.source AS source, usage.occurred_at AS occurred_at,
    usage.corrects AS corrects, usage.leg AS leg, usage.org_seq AS org_seq,
    usage.product AS product, usage.model AS model, usage.price_id AS price_id,
    used.1 AS token_kind, used.2 AS quantity, used.3 AS exact_usd,
    ifNull(burns.account, '') AS account, ifNull(finalized.part, 0) AS part
FROM (SELECT * FROM priced_usage WHERE funding = 'credits') AS usage
ASOF LEFT JOIN (SELECT org_id, charge_month, org_seq, account FROM ledger_entries WHERE type = 'burn') AS burns
    ON usage.org_id = burns.org_id AND usage.charge_month = burns.charge_month AND usage.org_seq <= burns.org_seq
ASOF LEFT JOIN
(
    SELECT org_id, month, org_seq, part FROM billing_events WHERE type = 'usage-credits.invoice.finalized'
) AS finalized
    ON usage.org_id = finalized.org_id AND usage.charge_month = finalized.month AND usage.org_seq < finalized.org_seq
ARRAY JOIN arrayFilter(kind -> kind.2 != 0, [
    ('input_tokens', usage.input_tokens, usage.input_usd),
    ('output_tokens', usage.output_tokens, usage.output_usd),
    ('cache_read_tokens', usage.cache_read_tokens, usage.cache_read_usd),
    ('cache_write_5m_tokens', usage.cache_write_5m_tokens, usage.cache_write_5m_usd),
    ('cache_write_1h_tokens', usage.cache_write_1h_tokens, usage.cache_write_1h_usd),
    ('web_search_requests', usage.web_search_requests, usage.web_search_usd)
]) AS used
COMMENT 'Usage that costs credits, a row per event and token kind, and where it was charged: account is wallet (Team) or unbilled (Enterprise), empty while its burn is not stored yet; part is that of the invoice it is on, 0 while there is none. US dollars, exact; negative where a correction took back';

CREATE OR REPLACE VIEW draft_lines AS
SELECT
    org_id, charge_month AS month, usage_month, product, model, price_id, token_kind,
    sum(charged_usage.quantity)                        AS quantity,
    any(charged_usage.exact_usd / charged_usage.quantity) AS rate_usd,
    sum(charged_usage.exact_usd)                       AS exact_usd
FROM charged_usage
WHERE account = 'unbilled' AND part = 0
GROUP BY org_id, charge_month, usage_month, product, model, price_id, token_kind
HAVING quantity != 0
COMMENT 'Usage lines that an Enterprise invoice would hold if it were finalised now; US dollars, exact. From priced usage whose burn is stored; lines carried and debt, and whole cents, come with the invoice';

CREATE OR REPLACE VIEW invoice_line_events AS
SELECT
    lines.org_id AS org_id, lines.month AS month, lines.part AS part, lines.number AS number,
    lines.line_number AS line_number, lines.usage_month AS usage_month, lines.product AS product,
    lines.price_id AS price_id, lines.token_kind AS token_kind, lines.rate_usd AS rate_usd,
    usage.user_id AS user_id, usage.event_id AS event_id, usage.source AS source, usage.occurred_at AS occurred_at,
    usage.corrects AS corrects, usage.leg AS leg, usage.quantity AS quantity, usage.exact_usd AS exact_usd
FROM (SELECT * FROM invoice_lines WHERE state = 'finalized' AND kind = 'usage') AS lines
INNER JOIN (SELECT *, charge_month AS month FROM charged_usage WHERE account = 'unbilled') AS usage
    USING (org_id, month, part, usage_month, product, price_id, token_kind)
COMMENT 'From a line of a finalised invoice down to its usage, a row per event: quantity and exact_usd add up to the line''s. SELECT event_id, user_id, occurred_at, quantity, exact_usd FROM invoice_line_events WHERE org_id = ''acme'' AND number = 3 AND line_number = 1 ORDER BY occurred_at';

CREATE OR REPLACE VIEW credit_notes AS
SELECT
    org_id, number, invoice_number, amount_usd, JSONExtractString(event, 'data', 'note') AS note, at, org_seq
FROM billing_events
WHERE type = 'usage-credits.credit_note.issued'
COMMENT 'What was taken back of invoices; US dollars. number counts the organisation''s credit notes, invoice_number names the invoice';

CREATE OR REPLACE VIEW statements AS
SELECT
    org_id, month,
    toDecimal128(JSONExtractString(event, 'data', 'opening_picousd'), 0) * toDecimal128('0.000000000001', 12)  AS opening_usd,
    toDecimal128(JSONExtractString(event, 'data', 'purchase_picousd'), 0) * toDecimal128('0.000000000001', 12) AS purchase_usd,
    toDecimal128(JSONExtractString(event, 'data', 'grant_picousd'), 0) * toDecimal128('0.000000000001', 12)    AS grant_usd,
    toDecimal128(JSONExtractString(event, 'data', 'burn_picousd'), 0) * toDecimal128('0.000000000001', 12)     AS burn_usd,
    toDecimal128(JSONExtractString(event, 'data', 'refund_picousd'), 0) * toDecimal128('0.000000000001', 12)   AS refund_usd,
    toDecimal128(JSONExtractString(event, 'data', 'adjust_picousd'), 0) * toDecimal128('0.000000000001', 12)   AS adjust_usd,
    offset_usd,
    toDecimal128(JSONExtractString(event, 'data', 'expiry_picousd'), 0) * toDecimal128('0.000000000001', 12)   AS expiry_usd,
    toDecimal128(JSONExtractString(event, 'data', 'closing_picousd'), 0) * toDecimal128('0.000000000001', 12)  AS closing_usd,
    at, org_seq
FROM billing_events
WHERE type = 'usage-credits.statement.issued'
COMMENT 'What each wallet did in a month; US dollars, exact and signed: closing is opening plus all others, and the next opening (R40)';

CREATE OR REPLACE VIEW wallet_balances AS
SELECT org_id, sum(amount_usd) AS balance_usd, max(ledger_entries.at) AS moved_at
FROM ledger_entries
WHERE account = 'wallet'
GROUP BY org_id
COMMENT 'What each wallet holds now: the sum of its entries; US dollars, exact, below 0 where more was used than bought (R4, R38)';

-- An entry on wallet, unbilled or receivable is one posting, and its counterpart here the other:
--
--   wallet (customer_credits, what we owe)          unbilled (what is used and not invoiced)
--     purchase, refund    cash                        burn       revenue
--     grant, expiry       promotions                  invoice    its entry on receivable
--     burn                revenue                   receivable (receivables, what is invoiced and not paid)
--     adjust              adjustments                 invoice    its entry on unbilled
--     offset              offsets                     rounding   rounding
--                                                     offset     offsets
--                                                     adjust     credit_notes
--                                                     payment    cash
--
-- The two entries of an offset may lie in two months, that of the invoice and the one that ran: `offsets` joins them,
-- and is 0 per organisation. Only the two of an invoice have no counterpart but each other.
CREATE OR REPLACE VIEW double_entry AS
SELECT
    org_id, charge_month, entry_id, org_seq, at, type,
    posting.1                                                   AS account,
    if(posting.2 > 0, posting.2, toDecimal128(0, 12))           AS debit_usd,
    if(posting.2 < 0, -posting.2, toDecimal128(0, 12))          AS credit_usd
FROM
(
    SELECT
        org_id, charge_month, id AS entry_id, org_seq, at, type,
        if(account = 'receivable', amount_usd, -amount_usd) AS debited_usd,
        transform(account, ['wallet', 'unbilled', 'receivable'], ['customer_credits', 'unbilled', 'receivables'], 'unknown') AS own,
        transform(
            concat(account, ' ', type),
            ['wallet purchase', 'wallet refund', 'wallet grant', 'wallet expiry', 'wallet burn', 'wallet adjust', 'wallet offset',
             'unbilled burn', 'unbilled invoice', 'receivable invoice', 'receivable rounding', 'receivable offset', 'receivable adjust', 'receivable payment'],
            ['cash', 'cash', 'promotions', 'promotions', 'revenue', 'adjustments', 'offsets',
             'revenue', '', '', 'rounding', 'offsets', 'credit_notes', 'cash'],
            'unknown'
        ) AS counterpart
    FROM ledger_entries
)
ARRAY JOIN arrayFilter(posting -> posting.1 != '', [(own, debited_usd), (counterpart, -debited_usd)]) AS posting
COMMENT 'Ledger entries as double-entry postings, one row each; US dollars, exact. Debits are credits for every organisation and month: SELECT org_id, charge_month, sum(debit_usd) - sum(credit_usd) AS off FROM double_entry GROUP BY ALL HAVING off != 0';
