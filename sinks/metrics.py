"""The sink's figures: blocks stored and tries that failed come in; Prometheus' metrics go out."""

import time

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("sink_rows", "Rows inserted into ClickHouse; none twice", ["table"])
DELAY_SECONDS = Histogram(
    "sink_delay_seconds",
    "From when Kafka had the oldest record of a block to when ClickHouse had it",
    ["table"],
    buckets=(0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1_800, 3_600),
)
INSERT_SECONDS = Histogram(
    "sink_insert_seconds",
    "One block: all its inserts",
    ["table"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
BLOCK_ROWS = Histogram(
    "sink_block_rows", "Rows of a block", ["table"], buckets=(1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000)
)
LAG_RECORDS = Gauge("sink_lag_records", "Records of a topic's partition not stored yet", ["topic", "partition"])
FAILURES = Counter(
    "sink_failures", "Tries after which the sink claimed its partitions again, by whose it was", ["what"]
)
HOLDING = Gauge("sink_holding", "1: partitions are claimed and stored; 0: it waits, or has none")

for _what in ("Away", "Fenced", "Kafka"):
    FAILURES.labels(_what)  # there before the first one: alerts look at how they grow


def stored(table: str, rows: int, oldest_ms: int, seconds: float) -> None:
    """Count a block.

    Args:
        rows: in the block; those that were stored before are not inserted again.
        oldest_ms: Kafka's stamp of its first record.
        seconds: that its inserts took.
    """
    BLOCK_ROWS.labels(table).observe(rows)
    INSERT_SECONDS.labels(table).observe(seconds)
    DELAY_SECONDS.labels(table).observe(max(0.0, time.time() - oldest_ms / 1_000))
