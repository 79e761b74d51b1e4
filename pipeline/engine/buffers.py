"""Records of one input wait here, in the order of their offsets, between the fetch and the chunk that consumes them."""

from bisect import bisect_left
from collections.abc import Sequence

from pipeline.engine.contract import Input, InputRecord, InvariantBroken
from pipeline.engine.records import arrival_micros, is_tick


class InputBuffer:
    """Fetched and not yet consumed records of one input.

    Attributes:
        position: the next offset to consume.
        floor_micros: no unread record arrived earlier: the last one consumed did not, or Kafka said that none came.
        records: in the order of their offsets, ticks among them.
        behind: records from before the claim are still to be fetched.
    """

    def __init__(self, name: Input, position: int, floor_micros: int = 0) -> None:
        self.name = name
        self.position = position
        self.floor_micros = floor_micros
        self.records: list[InputRecord] = []
        self.behind = False
        self._tick_offsets: list[int] = []

    def extend(self, records: Sequence[InputRecord]) -> None:
        expected = self.records[-1].offset + 1 if self.records else self.position
        if records[0].offset < expected:
            raise InvariantBroken(f"{self.name}: offset {records[0].offset} came although {expected} was to be read")
        self._tick_offsets += [record.offset for record in records if record.headers and is_tick(record)]
        self.records += records

    @property
    def size_bytes(self) -> int:
        """Of the values of all records."""
        return sum([len(record.value or b"") for record in self.records])

    @property
    def tick_is_next(self) -> bool:
        return bool(self._tick_offsets) and self._tick_offsets[0] == self.records[0].offset

    @property
    def records_before_tick(self) -> int:
        if not self._tick_offsets:
            return len(self.records)
        return bisect_left(self.records, self._tick_offsets[0], key=lambda record: record.offset)

    def consume(self, count: int, latest_arrival_micros: int) -> None:
        """Drop the first `count` records, of which the latest arrived at this instant."""
        if count:
            self.position = self.records[count - 1].offset + 1
            self.floor_micros = max(self.floor_micros, latest_arrival_micros)
            del self.records[:count]

    def consume_tick(self, *, moves_time: bool) -> None:
        del self._tick_offsets[0]
        self.consume(1, arrival_micros(self.records[0]) if moves_time else self.floor_micros)
