"""The ledger's figures: what happens in the engine comes in, once a chunk; Prometheus' metrics go out.

Figures of a partition are there while this worker has it, so the sum over workers is right after each rebalance.
"""

import time
from collections.abc import Callable
from functools import partial

from prometheus_client import Counter, Gauge, Histogram

from pipeline.dead_letters.storm import PoisonAlarm, Threshold
from pipeline.engine.contract import Input, Place
from pipeline.engine.observer import Committed, Waiting
from schemas.dead_letters import Reason
from schemas.events import LimitBreached

EVENTS = Counter("ledger_events", "Usage events read, by what became of them (R41)", ["outcome"])
COMMANDS = Counter("ledger_commands", "Commands read, by what became of them", ["outcome"])
DEAD_LETTERS = Counter("ledger_dead_letters", "Usage events that could not be processed, by reason", ["reason"])
ROWS = Counter("ledger_rows", "Priced rows written to priced-usage")
PUBLISHED = Counter(
    "ledger_published", "Events published, by their type; usage-credits.limit.breached are the breaches", ["type"]
)
COMMIT_SECONDS = Histogram(
    "ledger_commit_seconds",
    "One Kafka transaction, from its first record to the answer to its commit",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
CHUNK_RECORDS = Histogram(
    "ledger_chunk_records",
    "Records of a transaction that has any: what arrived while the last one committed",
    buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000),
)
STAGE_SECONDS = Counter(
    "ledger_stage_seconds", "Where a chunk's time goes; fetch and commit wait for Kafka, the others compute", ["stage"]
)
LAG_RECORDS = Gauge("ledger_lag_records", "Records of an input not processed yet", ["partition", "input"])
LAG_SECONDS = Gauge("ledger_lag_seconds", "How long the oldest of them has waited", ["partition", "input"])
AS_OF = Gauge(
    "ledger_as_of_timestamp_seconds",
    "Ledger time up to which all input of a partition is applied (R33), as a Unix time",
    ["partition"],
)
PARTITIONS = Gauge("ledger_partitions", "How many there are: each should be some worker's")
HALTED = Gauge(
    "ledger_partition_halted", "1: nothing of the partition is processed until somebody looks", ["partition"]
)
RESTORE_SECONDS = Gauge("ledger_restore_seconds", "How long the last claim of a partition took to read", ["partition"])
RESTORED_CELLS = Gauge("ledger_restored_cells", "Cells of its state that were read", ["partition"])
FAILED = Counter("ledger_failed_transactions", "Transactions after which a partition was claimed again")
SET_ASIDE = Counter("ledger_set_aside", "Events set aside because of a bug (internal_error)")
STORM = Gauge("ledger_poison_storm", "1: too large a share of the latest usage events are dead letters")

_OF_PARTITION = (LAG_RECORDS, LAG_SECONDS, AS_OF, HALTED, RESTORE_SECONDS, RESTORED_CELLS)
_OUTCOMES = ("accepted", "duplicates", "dead_letters", "forwarded")
_COMMAND_OUTCOMES = ("applied", "refused", "repeated", "forwarded", "unreadable")
_INPUTS: tuple[Input, ...] = ("usage", "commands")


class LedgerMetrics(PoisonAlarm):
    """Counts what a worker does, beside the alarm of a poison storm."""

    def __init__(self, threshold: Threshold, partitions: int, clock: Callable[[], float] = time.time) -> None:
        """`partitions`: of every topic; `clock`: by which lag is told."""
        super().__init__(threshold)
        PARTITIONS.set(partitions)
        self._now = clock
        self._waiting: dict[tuple[int, str], Waiting] = {}
        # Made now, so that they are there, as 0, before anything happened: alerts look at how they grow.
        self._events = {outcome: EVENTS.labels(outcome) for outcome in _OUTCOMES}
        self._commands = {f"commands_{outcome}": COMMANDS.labels(outcome) for outcome in _COMMAND_OUTCOMES}
        self._stages = {stage: STAGE_SECONDS.labels(stage) for stage in ("fetch", "decode", "dedup", "rules", "encode")}
        self._stages["commit"] = STAGE_SECONDS.labels("commit")
        PUBLISHED.labels(LimitBreached.TYPE)
        for reason in Reason:
            DEAD_LETTERS.labels(reason)

    def claimed(self, partition: int, cells: int, seconds: float) -> None:
        """The partition is ours, and its memory read back."""
        super().claimed(partition, cells, seconds)
        label = str(partition)
        RESTORE_SECONDS.labels(label).set(seconds)
        RESTORED_CELLS.labels(label).set(cells)
        HALTED.labels(label).set(0)
        for name in _INPUTS:
            LAG_SECONDS.labels(label, name).set_function(partial(self._lag_seconds, (partition, name)))

    def committed(self, committed: Committed) -> None:
        """Count one transaction."""
        super().committed(committed)
        counts = committed.counts
        for counters in (self._events, self._commands):
            for name in counters.keys() & counts.keys():
                counters[name].inc(counts[name])
        if rows := counts.get("rows"):
            ROWS.inc(rows)
        for reason, rejections in committed.rejected.items():
            DEAD_LETTERS.labels(reason).inc(rejections.events)
        for kind, count in committed.published.items():
            PUBLISHED.labels(kind).inc(count)
        for stage, seconds in committed.stages.items():
            self._stages[stage].inc(seconds)
        COMMIT_SECONDS.observe(committed.seconds)
        if committed.records:
            CHUNK_RECORDS.observe(committed.records)
        label = str(committed.partition)
        AS_OF.labels(label).set(committed.now_micros / 1_000_000)
        for name, waiting in committed.waiting.items():
            self._waiting[committed.partition, name] = waiting
            LAG_RECORDS.labels(label, name).set(waiting.records)
        STORM.set(self.is_storm)

    def failed(self, partition: int, error: BaseException, in_a_row: int) -> None:
        """A transaction failed."""
        super().failed(partition, error, in_a_row)
        FAILED.inc()

    def quarantined(self, partition: int, place: Place, error: BaseException) -> None:
        """An event is set aside."""
        super().quarantined(partition, place, error)
        SET_ASIDE.inc()

    def halted(self, partition: int, reason: BaseException) -> None:
        """The partition waits for somebody; it was released before, and is no less ours."""
        super().halted(partition, reason)
        HALTED.labels(str(partition)).set(1)

    def released(self, partition: int) -> None:
        """What is known of the partition, its next owner tells."""
        super().released(partition)
        label = str(partition)
        for name in _INPUTS:
            self._waiting.pop((partition, name), None)
        for gauge in _OF_PARTITION:
            gauge.remove_by_labels({"partition": label})

    def _lag_seconds(self, key: tuple[int, str]) -> float:
        waiting = self._waiting.get(key)
        return max(0.0, self._now() - waiting.since_micros / 1_000_000) if waiting and waiting.since_micros else 0.0
