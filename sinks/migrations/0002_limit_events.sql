-- What happened to spend limits: breaches and resumes, as published (docs/rules.md R24-R29).
--
-- Plain MergeTree, exactly once by Kafka's own position, like priced_usage: no FINAL in anybody's query.
-- The event is kept as it came; columns are read out of it, so a type that this table does not know loses nothing.
CREATE TABLE IF NOT EXISTS limit_events
(
    log_id             LowCardinality(String) COMMENT 'the Kafka log it came from',
    log_partition      UInt32                 COMMENT 'partition of limit-breaches',
    log_offset         UInt64                 COMMENT 'offset in limit-breaches; the mark',
    event              String                 COMMENT 'the CloudEvent as published, JSON' CODEC(ZSTD),
    id                 String                 DEFAULT JSONExtractString(event, 'id') COMMENT 'deterministic id of the CloudEvent',
    type               LowCardinality(String) DEFAULT JSONExtractString(event, 'type') COMMENT 'usage-credits.limit.breached | .limit.resumed | .credits.paused | .credits.resumed',
    org_id             String                 DEFAULT JSONExtractString(event, 'data', 'org_id') COMMENT 'organisation',
    org_seq            UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'org_seq') COMMENT 'rises with every output of the organisation (R29)',
    at                 DateTime64(6, 'UTC')   DEFAULT parseDateTime64BestEffortOrZero(JSONExtractString(event, 'data', 'at'), 6, 'UTC') COMMENT 'arrival of the record that caused it (R44)',
    scope_kind         LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'scope', 'kind') COMMENT 'organization | tier | member',
    seat_tier          LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'scope', 'seat_tier') COMMENT 'the tier, or the tier whose each_member limit it is; else empty',
    user_id            String                 DEFAULT JSONExtractString(event, 'data', 'scope', 'user_id') COMMENT 'the member, else empty',
    month              LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'month') COMMENT 'like 2026-02',
    limit_version      UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'limit_version') COMMENT 'grows with each change of the limit (R29)',
    episode            UInt64                 DEFAULT JSONExtractUInt(event, 'data', 'episode') COMMENT 'grows with each resume (R29)',
    limit_usd          Nullable(Decimal(38, 12)) DEFAULT toDecimal128OrNull(JSONExtractString(event, 'data', 'limit_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars; null is unlimited',
    spend_usd          Decimal(38, 12)        DEFAULT toDecimal128OrZero(JSONExtractString(event, 'data', 'spend_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars, spend of the scope in the month at that moment',
    overshoot_usd      Decimal(38, 12)        DEFAULT toDecimal128OrZero(JSONExtractString(event, 'data', 'overshoot_picousd'), 0) * toDecimal128('0.000000000001', 12) COMMENT 'US dollars over the limit at the crossing (R25)',
    cause              LowCardinality(String) DEFAULT JSONExtractString(event, 'data', 'cause') COMMENT 'usage | correction | limit_changed | seat_changed | plan_changed (R27, R28)',
    crossing_event_id  String                 DEFAULT JSONExtractString(event, 'data', 'crossing', 'event_id') COMMENT 'the usage event that crossed, empty if a command did',
    crossing_source    String                 DEFAULT JSONExtractString(event, 'data', 'crossing', 'source') COMMENT 'its source',
    paused_from        Nullable(DateTime64(6, 'UTC')) DEFAULT parseDateTime64BestEffortOrNull(JSONExtractString(event, 'data', 'paused_from'), 6, 'UTC') COMMENT 'the pause begins (R19)',
    paused_until       Nullable(DateTime64(6, 'UTC')) DEFAULT parseDateTime64BestEffortOrNull(JSONExtractString(event, 'data', 'paused_until'), 6, 'UTC') COMMENT 'the pause ends at the latest: the end of the month (R27)'
)
ENGINE = MergeTree
-- By organisation and time, the order in which they are read; there are few of them.
ORDER BY (org_id, at, org_seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Breaches and resumes of spend limits, one row each (R24-R29)';
