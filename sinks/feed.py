"""One topic into one table: records in, blocks of them inserted under a claim.

A block is 50,000 rows, or what came in the second since the last one began to be inserted; small blocks cost ten times
as much a row. After a slow insert or a quiet time, what comes next gathers for a quarter of that.
"""

import logging
from collections.abc import Collection, Mapping
from time import monotonic

from sinks import metrics
from sinks.claims import Claim, take_over
from sinks.clickhouse import ClickHouse
from sinks.errors import Away, Broken, Fenced, SinkError
from sinks.tables import Progress, Record, Stored, Table, count_lines

logger = logging.getLogger(__name__)

# Kafka's records are at most 1 MB, so a block stays far below what ClickHouse takes in one piece.
_BLOCK_BYTES = 64 << 20
_LEAST_SHARE = 0.25


class Feed:
    """The state between Kafka and one table; it remembers nothing that is not read back at the next claim.

    Attributes:
        first_offsets: of the block in hand, by partition.
    """

    def __init__(self, topic: str, table: Table, *, log_id: str, block_rows: int, block_seconds: float) -> None:
        self.topic = topic
        self._table = table
        self._log_id = log_id
        self._block_rows = block_rows
        self._block_seconds = block_seconds
        self._claim: Claim | None = None
        self._progress: Progress | None = None
        self._began = float("-inf")
        self._forget_block()

    async def take_over(self, clickhouse: ClickHouse, partitions: Collection[int]) -> Mapping[int, Stored]:
        """Claim the partitions and read how far each is stored.

        Raises:
            Away: nothing is known; take over again.
        """
        self.let_go()
        claim = await take_over(clickhouse, self._log_id, self.topic, partitions)
        self._progress = await self._table.progress(clickhouse, claim)
        self._claim = claim
        return self._progress.stored

    def let_go(self) -> None:
        """Forget claim and block: whoever claims next reads the block again."""
        self._claim = self._progress = None
        self._forget_block()

    def add(self, record: Record) -> None:
        """Put a record into the block."""
        if not self._block:
            least = monotonic() + _LEAST_SHARE * self._block_seconds
            self._due = max(least, self._began + self._block_seconds)
        self._block.append(record)
        self.first_offsets.setdefault(record.partition, record.offset)
        self._rows += count_lines(record.value or b"")
        self._bytes += len(record.value or b"")

    @property
    def seconds_until_due(self) -> float:
        """How long the block may still wait; infinite while it is empty, 0 when it is full."""
        if not self._block:
            return float("inf")
        if self._rows >= self._block_rows or self._bytes >= _BLOCK_BYTES:
            return 0
        return max(0.0, self._due - monotonic())

    async def flush(self, clickhouse: ClickHouse) -> None:
        """Insert the block. The steps: sinks/README.md.

        Raises:
            Away: part of it may be stored: take over again, and read from what is then stored.
            Fenced: as Away, but nothing of the last insert is stored, and the partition may be another's.
            Broken: stop.
        """
        claim, progress, block = self._claim, self._progress, self._block
        if not block or claim is None or progress is None:
            return
        # Where nothing was stored before, each row must be written; elsewhere those beyond the mark are.
        all_new = all(record.offset >= progress.stored[record.partition].seen_to for record in block)
        rows, started = self._rows, monotonic()
        self._began = started
        try:
            for insert in progress.inserts(claim, block):
                written = await clickhouse.insert(insert.statement, insert.body, log_comment=claim.name)
                metrics.ROWS.labels(self._table.name).inc(written)
                if all_new and written < insert.rows:
                    raise Broken(
                        f"ClickHouse wrote {written} of {insert.rows} rows, though none was stored before: positions "
                        "in Kafka do not rise, or Kafka lost records that ClickHouse has; compare the two before "
                        "going on"
                    )
        except (Away, Fenced, Broken) as error:
            raise type(error)(self._what_failed(block, error)) from error
        metrics.stored(self._table.name, rows, min(record.timestamp for record in block), monotonic() - started)
        if self._block is block:  # not if a rebalance took it away meanwhile
            self._forget_block()

    def _forget_block(self) -> None:
        self._block: list[Record] = []
        self.first_offsets: dict[int, int] = {}
        self._rows = 0
        self._bytes = 0
        self._due = float("inf")

    def _what_failed(self, block: list[Record], error: SinkError) -> str:
        offsets: dict[int, list[int]] = {}
        for record in block:
            offsets.setdefault(record.partition, []).append(record.offset)
        places = ", ".join(f"{self.topic}[{p}] offsets {min(o)}-{max(o)}" for p, o in sorted(offsets.items()))
        rows = sum(count_lines(record.value or b"") for record in block)
        return f"{self._table.name}: {rows} rows not stored ({places}): {error}"
