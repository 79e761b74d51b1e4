-- What the ledger holds now, and what it could not process (docs/rules.md R16, R17, R34, R42).
--
-- Like limit_events: exactly once by Kafka's own position, the record kept as it came, columns read out of it.

-- The one table that keeps the newest record of each key alone, as its topic does: ask it with FINAL, of one log_id.
-- The largest offset of a partition is always the newest of its key, so it is the mark here too.
CREATE TABLE IF NOT EXISTS credit_status
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of credit-status',
    log_offset         UInt64                 COMMENT 'offset in credit-status; the mark, and of two records of a key the newer',
    key                String                 COMMENT 'key of the record: kind and identity, JSON (R34)',
    event              String                 COMMENT 'the record as published, JSON without what equals its default' CODEC(ZSTD),
    kind               LowCardinality(String) DEFAULT JSONExtractString(key, 1) COMMENT 'org | tier | member | clock',
    org_id             String                 DEFAULT JSONExtractString(event, 'org_id') COMMENT 'organisation; empty: a clock',
    user_id            String                 DEFAULT JSONExtractString(event, 'user_id') COMMENT 'of a member, else empty',
    seat_tier          LowCardinality(String) DEFAULT if(kind IN ('tier', 'member'), ifNull(nullIf(JSONExtractString(event, 'seat_tier'), ''), 'standard'), '') COMMENT 'of a tier, or the seat a member has: standard | premium; else empty',
    role               LowCardinality(String) DEFAULT if(kind = 'member', ifNull(nullIf(JSONExtractString(event, 'role'), ''), 'member'), '') COMMENT 'of a member: member | admin | owner | primary_owner; else empty',
    removed            Bool                   DEFAULT JSONExtractBool(event, 'removed') COMMENT 'a member who was removed (R31)',
    plan               LowCardinality(String) DEFAULT JSONExtractString(event, 'plan') COMMENT 'of an organisation: team | enterprise; else empty',
    status             LowCardinality(String) DEFAULT if(kind = 'org', ifNull(nullIf(JSONExtractString(event, 'status'), ''), 'active'), '') COMMENT 'of an organisation: active | suspended | closed (R9b); else empty',
    credits_enabled    Nullable(Bool)         DEFAULT if(kind = 'org', JSONExtractBool(event, 'credits_enabled'), JSONExtract(event, 'credits_enabled', 'Nullable(Bool)')) COMMENT 'the switch of the organisation, or of the member; null: the member has none, member_default decides (R9a)',
    member_default     Bool                   DEFAULT ifNull(JSONExtract(event, 'member_default', 'Nullable(Bool)'), true) COMMENT 'of an organisation: the switch of members who have none (R9a)',
    requests_enabled   Bool                   DEFAULT ifNull(JSONExtract(event, 'requests_enabled', 'Nullable(Bool)'), true) COMMENT 'of an organisation: whether members may ask (R35)',
    basis              LowCardinality(String) DEFAULT if(kind = 'tier', ifNull(nullIf(JSONExtractString(event, 'basis'), ''), 'each_member'), '') COMMENT 'of a tier: each_member | whole_tier (R22); else empty',
    limit_usd          Nullable(Decimal(38, 12)) DEFAULT toDecimal128OrNull(JSONExtractString(event, 'limit_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars a month; null is unlimited',
    limit_version      UInt64                 DEFAULT JSONExtractUInt(event, 'limit_version') COMMENT 'grows with each change of the limit (R29)',
    raise_usd          Nullable(Decimal(38, 12)) DEFAULT toDecimal128OrNull(JSONExtractString(event, 'raise_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, in place of limit_usd in raise_month; null is unlimited (R23)',
    raise_month        LowCardinality(String) DEFAULT JSONExtractString(event, 'raise_month') COMMENT 'the month of the raise, like 2026-02; empty: none',
    as_of              Nullable(DateTime64(6, 'UTC')) DEFAULT parseDateTime64BestEffortOrNull(JSONExtractString(event, 'as_of'), 6, 'UTC') COMMENT 'of a clock: ledger time up to which the partition has applied all its input (R33)'
)
ENGINE = ReplacingMergeTree(log_offset)
ORDER BY (org_id, kind, key, log_id)
-- Rows are long and most questions are of one organisation: small granules read little beside it.
SETTINGS index_granularity = 512, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Credit status: the newest record of each organisation, seat tier, member and clock (R34). Its spend and balance are told late, so they are no columns: priced_usage and ledger_entries have them exactly';

CREATE TABLE IF NOT EXISTS dead_letters
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of dead-letters',
    log_offset         UInt64                 COMMENT 'offset in dead-letters; the mark',
    event              String                 COMMENT 'the dead letter as published, JSON; its payload is base64, at most the first 64 KiB (R17)' CODEC(ZSTD),
    dead_letter_id     String                 DEFAULT JSONExtractString(event, 'dead_letter_id') COMMENT 'what redrive and discard name',
    reason             LowCardinality(String) DEFAULT JSONExtractString(event, 'reason') COMMENT 'why, like unknown_model (R16, R17)',
    detail             String                 DEFAULT JSONExtractString(event, 'detail') COMMENT 'which value, in words',
    org_id             String                 DEFAULT JSONExtractString(event, 'org_id') COMMENT 'organisation; empty where the record does not say',
    user_id            String                 DEFAULT JSONExtractString(event, 'user_id') COMMENT 'member; empty where the record does not say',
    event_id           String                 DEFAULT JSONExtractString(event, 'event_id') COMMENT 'of the usage event; empty where the record does not say',
    model              LowCardinality(String) DEFAULT JSONExtractString(event, 'model') COMMENT 'as the product sent it; empty where the record does not say',
    tokens             UInt64                 DEFAULT JSONExtractUInt(event, 'tokens') COMMENT 'tokens of all kinds together, as far as the record says',
    length_bytes       UInt64                 DEFAULT JSONExtractUInt(event, 'length_bytes') COMMENT 'bytes of the record',
    arrived_at         DateTime64(6, 'UTC')   DEFAULT parseDateTime64BestEffortOrZero(JSONExtractString(event, 'arrived_at'), 6, 'UTC') COMMENT 'when it first arrived (R44)',
    origin_topic       LowCardinality(String) DEFAULT JSONExtractString(event, 'origin', 'topic') COMMENT 'where it first lay (R43)',
    origin_partition   UInt32                 DEFAULT JSONExtractUInt(event, 'origin', 'partition') COMMENT 'partition of origin_topic',
    origin_offset      UInt64                 DEFAULT JSONExtractUInt(event, 'origin', 'offset') COMMENT 'offset in origin_topic',
    origin_index       UInt32                 DEFAULT JSONExtractUInt(event, 'origin', 'index') COMMENT 'index in that record'
)
ENGINE = MergeTree
ORDER BY (org_id, arrived_at, log_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What could not be processed, one row each (R16, R17)';

CREATE TABLE IF NOT EXISTS dead_letter_decisions
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of dead-letter-decisions',
    log_offset         UInt64                 COMMENT 'offset in dead-letter-decisions; the mark',
    event              String                 COMMENT 'the decision as published, JSON',
    dead_letter_id     String                 DEFAULT JSONExtractString(event, 'dead_letter_id') COMMENT 'which',
    decision           LowCardinality(String) DEFAULT JSONExtractString(event, 'decision') COMMENT 'redriven | discarded, once (R16)',
    decided_by         String                 DEFAULT JSONExtractString(event, 'by') COMMENT 'the operator',
    why                String                 DEFAULT JSONExtractString(event, 'why') COMMENT 'in words; empty where nothing was said',
    at                 DateTime64(6, 'UTC')   DEFAULT parseDateTime64BestEffortOrZero(JSONExtractString(event, 'at'), 6, 'UTC') COMMENT 'when'
)
ENGINE = MergeTree
ORDER BY dead_letter_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What operators decided of dead letters, one row each (R16)';
