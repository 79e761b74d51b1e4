-- Ledger entries and what is billed, as published (docs/rules.md R38-R40; docs/rules.md "Billing, in full").
--
-- Like limit_events: exactly once by Kafka's own position, the event kept as it came, columns read out of it. An amount
-- that cannot be read stops the sink: money is never taken for 0.
CREATE TABLE IF NOT EXISTS ledger_entries
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of ledger-entries',
    log_offset         UInt64                 COMMENT 'offset in ledger-entries; the mark',
    event              String                 COMMENT 'the CloudEvent as published, JSON' CODEC(ZSTD),
    id                 String                 DEFAULT JSONExtractString(event, 'id') COMMENT 'deterministic id of the entry',
    org_id             String                 DEFAULT JSONExtractString(event, 'data', 'org_id') COMMENT 'organisation',
    org_seq            UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'org_seq') COMMENT 'rises with every output of the organisation (R29); of a burn: that of the last row in it (R38a)',
    at                 DateTime64(6, 'UTC')   DEFAULT parseDateTime64BestEffort(JSONExtractString(event, 'data', 'at'), 6, 'UTC') COMMENT 'arrival of the record that caused it, or the instant it was due (R44)',
    type               LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'type') COMMENT 'purchase | grant | burn | refund | adjust | invoice | offset | expiry | payment | rounding (R38)',
    account            LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'account') COMMENT 'wallet | unbilled | receivable (R38)',
    amount_usd         Decimal(38, 12)        DEFAULT toDecimal128(JSONExtractString(event, 'data', 'amount_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, exact; what came into the account is positive',
    balance_after_usd  Decimal(38, 12)        DEFAULT toDecimal128(JSONExtractString(event, 'data', 'balance_after_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, of this account after this entry',
    charge_month       LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'charge_month') COMMENT 'month it counts in, like 2026-02: of a burn that of its usage, of an invoice its own, else the one that ran',
    lot_id             String                 DEFAULT JSONExtractString(event, 'data', 'lot_id') COMMENT 'the lot it moved; empty where it moved none: unbilled usage, receivables, debt',
    cause_kind         LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'cause', 'kind') COMMENT 'usage | command | invoice | expiry | reload',
    cause_id           String                 DEFAULT JSONExtractString(event, 'data', 'cause', 'id') COMMENT 'its id among its kind; of an invoice <month>.<part>',
    -- How far each partition is stored, read at every claim without touching the rows.
    PROJECTION marks (SELECT log_id, log_partition, max(log_offset) GROUP BY log_id, log_partition)
)
ENGINE = MergeTree
-- An organisation's month, in the order in which it happened.
ORDER BY (org_id, charge_month, org_seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Entries of the ledger, one row each, never changed; the balance of an account is their sum (R38)';

CREATE TABLE IF NOT EXISTS billing_events
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of invoices',
    log_offset         UInt64                 COMMENT 'offset in invoices; the mark',
    event              String                 COMMENT 'the CloudEvent as published, JSON; an invoice''s lines are in it' CODEC(ZSTD),
    id                 String                 DEFAULT JSONExtractString(event, 'id') COMMENT 'deterministic id of the CloudEvent',
    type               LowCardinality(String) DEFAULT JSONExtractString(event, 'type') COMMENT 'usage-credits.invoice.drafted | .invoice.finalized | .invoice.continued | .credit_note.issued | .statement.issued',
    org_id             String                 DEFAULT JSONExtractString(event, 'data', 'org_id') COMMENT 'organisation',
    org_seq            UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'org_seq') COMMENT 'rises with every output of the organisation (R29)',
    at                 DateTime64(6, 'UTC')   DEFAULT parseDateTime64BestEffortOrZero(JSONExtractString(event, 'data', 'at'), 6, 'UTC') COMMENT 'the instant it was due, or arrival of the command that caused it',
    month              LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'month') COMMENT 'charge month of an invoice, month of a statement, like 2026-02; empty: a credit note',
    part               UInt32                 DEFAULT JSONExtractUInt(event, 'data', 'part') COMMENT 'counts the invoices of the month, from 1; 0: no invoice',
    number             Nullable(UInt64)       DEFAULT JSONExtract(event, 'data', 'number', 'Nullable(UInt64)') COMMENT 'of an invoice or of a credit note, each counted per organisation; null: none (a draft, a suppressed zero invoice, a statement)',
    invoice_number     Nullable(UInt64)       DEFAULT JSONExtract(event, 'data', 'invoice_number', 'Nullable(UInt64)') COMMENT 'the invoice that a credit note takes back, in part or whole',
    reason             LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'reason') COMMENT 'why it was finalised: month_closed | plan_changed | organization_closed; else empty',
    line_count         UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'line_count') COMMENT 'lines of the draft or invoice, those of .invoice.continued included',
    exact_usd          Decimal(38, 12)        DEFAULT toDecimal128(ifNull(nullIf(JSONExtractString(event, 'data', 'exact_picousd'), ''), '0'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, exact: what the usage on the invoice costs; the burn that it clears',
    total_usd          Decimal(38, 12)        DEFAULT toDecimal128(ifNull(nullIf(JSONExtractString(event, 'data', 'total_picousd'), ''), '0'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, whole cents: all lines, or 0 where that is below zero (R39)',
    carried_usd        Decimal(38, 12)        DEFAULT toDecimal128(ifNull(nullIf(JSONExtractString(event, 'data', 'carried_picousd'), ''), '0'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, whole cents, 0 or below: a line of the next invoice; 0: a draft',
    offset_usd         Decimal(38, 12)        DEFAULT toDecimal128(ifNull(nullIf(JSONExtractString(event, 'data', 'offset_picousd'), ''), '0'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars: of an invoice''s total what the wallet paid (0: a draft); of a statement the sum of its offsets',
    due_usd            Decimal(38, 12)        DEFAULT toDecimal128(ifNull(nullIf(JSONExtractString(event, 'data', 'due_picousd'), ''), '0'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, of an invoice: total less offset; 0: a draft',
    amount_usd         Decimal(38, 12)        DEFAULT toDecimal128(ifNull(nullIf(JSONExtractString(event, 'data', 'amount_picousd'), ''), '0'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, whole cents: of a credit note, else 0',
    PROJECTION marks (SELECT log_id, log_partition, max(log_offset) GROUP BY log_id, log_partition)
)
ENGINE = MergeTree
-- By organisation and month, as they are read; there are few of them.
ORDER BY (org_id, month, part, org_seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Drafts, invoices, credit notes and statements as published, one row an event (R39, R40)';
