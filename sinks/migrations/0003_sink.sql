-- What the sink remembers of itself: whose turn it is, and which Kafka log it stores (docs/decisions/0005).

-- Small and append-only: the holder of a partition is whoever wrote the largest (epoch, claim).
CREATE TABLE IF NOT EXISTS sink_epochs
(
    log_id      LowCardinality(String) COMMENT 'the Kafka log',
    topic       LowCardinality(String) COMMENT 'the topic in it',
    partition   UInt32                 COMMENT 'the partition of the topic',
    epoch       UInt64                 COMMENT 'one more than the largest before',
    claim       String                 COMMENT 'random name of this claim; the log_comment of its inserts',
    claimed_at  DateTime64(6, 'UTC')   DEFAULT now64(6, 'UTC') COMMENT 'by the server''s clock; for people, nothing depends on it'
)
ENGINE = MergeTree
ORDER BY (log_id, topic, partition, epoch, claim)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Which sink may insert for which partition: the largest (epoch, claim)';

-- One row in the life of a database. Two would mix the positions, and perhaps the money, of two logs.
CREATE TABLE IF NOT EXISTS kafka_logs
(
    log_id       String               COMMENT 'id of the Kafka log, made when its topics were made',
    accepted_at  DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'when this database began to store it'
)
ENGINE = MergeTree
ORDER BY log_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The Kafka logs whose rows this database takes; normally one';
