-- Every priced usage event, as the ledger published it (docs/rules.md R12, R13, R42).
--
-- Plain MergeTree: what makes a row appear once is the position it carries, not a key (docs/decisions/0005).
-- One partition a charge month, so that one INSERT is one part: all of it or nothing.
-- The sort key answers the common questions, "this organisation" and "this member, over time", by reading neighbours;
-- it also puts like beside like, so the long text columns compress well. It is not unique and needs not be.
-- fsync: an insert that was acknowledged survives a loss of power; costs nothing noticeable at 50,000 rows a part.
CREATE TABLE IF NOT EXISTS priced_usage
(
    org_id                 String                 COMMENT 'organisation',
    org_seq                UInt64                 COMMENT 'rises with every output of the organisation (R29)',
    user_id                String                 COMMENT 'member',
    seat_tier              LowCardinality(String) COMMENT 'standard | premium, as held when processed (R20a)',
    event_id               String                 COMMENT 'with org_id and source the identity of the event (R14)',
    source                 String                 COMMENT 'empty if the event had none (R14)',
    product                LowCardinality(String) COMMENT 'where it was used: chat, claude-code, …',
    model                  LowCardinality(String) COMMENT 'the name its prices go by, whatever alias the product sent',
    model_as_sent          LowCardinality(String) COMMENT 'the alias by which the product called it',
    price_id               LowCardinality(String) COMMENT 'model@first day of its price block, and variants (R12)',
    occurred_at            DateTime64(6, 'UTC')   COMMENT 'when the request happened; decides price and usage month',
    arrived_at             DateTime64(6, 'UTC')   COMMENT 'when the event first arrived in Kafka (R44)',
    usage_month            LowCardinality(String) COMMENT 'month of occurred_at, like 2026-02 (R18)',
    charge_month           LowCardinality(String) COMMENT 'month it is charged in; differs from usage_month exactly on prior-period rows (R19)',
    funding                LowCardinality(String) COMMENT 'included | credits; only credits are spend (R8)',
    after_pause            Bool                   COMMENT 'arrived while credits were paused or disabled (R20)',
    processing             LowCardinality(String) COMMENT 'standard | batch (R11)',
    speed                  LowCardinality(String) COMMENT 'standard | fast (R11)',
    inference_geo          LowCardinality(String) COMMENT 'us, or empty (R11)',
    events                 Int8                   COMMENT '1; -1 on the reverse of a corrected event: sum it to count events (R15)',
    input_tokens           Int64                  COMMENT 'tokens, uncached input only; negative on a reverse',
    output_tokens          Int64                  COMMENT 'tokens',
    cache_read_tokens      Int64                  COMMENT 'tokens',
    cache_write_5m_tokens  Int64                  COMMENT 'tokens',
    cache_write_1h_tokens  Int64                  COMMENT 'tokens',
    web_search_requests    Int64                  COMMENT 'searches',
    cost_usd               Decimal(38, 12)        COMMENT 'US dollars, exact: the sum of the six parts (R13)',
    input_usd              Decimal(38, 12)        COMMENT 'US dollars: input_tokens times the rate of price_id',
    output_usd             Decimal(38, 12)        COMMENT 'US dollars',
    cache_read_usd         Decimal(38, 12)        COMMENT 'US dollars',
    cache_write_5m_usd     Decimal(38, 12)        COMMENT 'US dollars',
    cache_write_1h_usd     Decimal(38, 12)        COMMENT 'US dollars',
    web_search_usd         Decimal(38, 12)        COMMENT 'US dollars',
    corrects               String                 COMMENT 'event_id that this row corrects, or empty (R15)',
    leg                    UInt8                  COMMENT '0: the row, or the reverse of a correction; 1: its rebooking (R15)',
    input_partition        UInt32                 COMMENT 'partition of usage-events, and of priced-usage',
    input_offset           UInt64                 COMMENT 'where the ledger processed the event in usage-events',
    input_index            UInt32                 COMMENT 'index of the event in that record',
    origin_topic           LowCardinality(String) COMMENT 'where the event first lay (R43)',
    origin_partition       UInt32                 COMMENT 'partition of origin_topic',
    origin_offset          UInt64                 COMMENT 'offset in origin_topic',
    origin_index           UInt32                 COMMENT 'index of the event in that record',
    log_id                 LowCardinality(String) COMMENT 'the Kafka log it came from; positions of two logs do not compare',
    block_from             UInt64                 COMMENT 'offset in priced-usage where the block that brought this row begins; all before it is stored',
    block_to               UInt64                 COMMENT 'offset in priced-usage just behind that block',

    -- The marks: how far each month of each partition is stored, read at every claim without touching the rows.
    PROJECTION marks
    (
        SELECT
            log_id, input_partition, charge_month,
            max((input_offset, input_index, leg)), max(block_from), max(block_to)
        GROUP BY log_id, input_partition, charge_month
    ),
    -- Month to date of a member; of a tier and an organisation by adding up members: a part has few of them.
    PROJECTION month_to_date
    (
        SELECT
            charge_month, org_id, seat_tier, user_id, funding, usage_month, after_pause,
            sum(cost_usd), sum(events), max(occurred_at)
        GROUP BY charge_month, org_id, seat_tier, user_id, funding, usage_month, after_pause
    )
)
ENGINE = MergeTree
PARTITION BY charge_month
ORDER BY (org_id, user_id, occurred_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Every priced usage event, one row each; a correction is two (R12, R15, R42)';
