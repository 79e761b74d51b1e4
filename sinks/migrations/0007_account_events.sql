-- What was asked of the ledger and what it said: the audit log (docs/rules.md R1).
--
-- Like limit_events: exactly once by Kafka's own position, the event kept as it came.
CREATE TABLE IF NOT EXISTS account_events
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of account-events',
    log_offset         UInt64                 COMMENT 'offset in account-events; the mark',
    event              String                 COMMENT 'the CloudEvent as published, JSON' CODEC(ZSTD),
    id                 String                 DEFAULT JSONExtractString(event, 'id') COMMENT 'deterministic id of the CloudEvent',
    type               LowCardinality(String) DEFAULT JSONExtractString(event, 'type') COMMENT 'usage-credits.command.applied | .refused | .repeated',
    org_id             String                 DEFAULT JSONExtractString(event, 'data', 'org_id') COMMENT 'organisation',
    org_seq            UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'org_seq') COMMENT 'rises with every output of the organisation (R29); 0: it is not known',
    at                 DateTime64(6, 'UTC')   DEFAULT parseDateTime64BestEffortOrZero(JSONExtractString(event, 'data', 'at'), 6, 'UTC') COMMENT 'arrival of the command',
    command_id         String                 DEFAULT JSONExtractString(event, 'data', 'command_id') COMMENT 'of one command always the same',
    command            LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'command') COMMENT 'its name; empty where it was repeated',
    actor_kind         LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'actor', 'kind') COMMENT 'user | service | operator',
    actor_id           String                 DEFAULT JSONExtractString(event, 'data', 'actor', 'id') COMMENT 'who gave it',
    reason             LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'reason') COMMENT 'why it was refused, else empty'
)
ENGINE = MergeTree
ORDER BY (org_id, at, org_seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Commands, applied and refused: the audit log (R1)';
