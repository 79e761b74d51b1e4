"""What may be processed next, and what time it is: two buffers and a due instant go in, runs of records come out.

Pure: no Kafka, no wall clock. Source: docs/rules.md R20a, R44; docs/decisions/0006-ledger-time-and-journal.md
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.engine.buffers import InputBuffer
from pipeline.engine.contract import InputRecord, Run
from pipeline.engine.records import arrival_micros
from pipeline.engine.settings import Mode


class Order(Protocol):
    """How the two inputs of a partition become one sequence, and where ledger time stands in it."""

    def skip_ticks(self, now_micros: int) -> bool:
        """Consume the ticks that are next and whose time has come; whether there were any."""

    def time_micros(self, now_micros: int) -> int:
        """Ledger time before the next chunk; never earlier than now."""

    def runs(self, due_micros: int | None) -> list[Run]:
        """What the next chunk may hold: all before the first record that arrived at or after the due instant."""

    def consume(self, runs: Sequence[Run], taken: int) -> None:
        """Drop the first `taken` records of these runs from the buffers."""


def order_of(mode: Mode, usage: InputBuffer, commands: InputBuffer) -> Order:
    return LiveOrder(usage, commands) if mode == "live" else ReplayOrder(usage, commands)


class LiveOrder:
    """Commands, then usage, each by offset; ledger time is the arrival of the earliest unread record (R44)."""

    def __init__(self, usage: InputBuffer, commands: InputBuffer) -> None:
        self._usage, self._commands = usage, commands

    def skip_ticks(self, now_micros: int) -> bool:
        skipped = False
        for buffer in (self._usage, self._commands):
            while buffer.tick_is_next:
                buffer.consume_tick(moves_time=False)
                skipped = True
        return skipped

    def time_micros(self, now_micros: int) -> int:
        return max(now_micros, min(_earliest_unread(self._usage), _earliest_unread(self._commands)))

    def runs(self, due_micros: int | None) -> list[Run]:
        usage, commands = self._usage, self._commands
        runs = [Run(buffer.name, buffer.records[: _live_cut(buffer, due_micros)]) for buffer in (commands, usage)]
        if commands.behind:
            # After a time away: accounts first, lest usage be judged by accounts that are not yet known.
            if runs[0].records:
                return runs[:1]
            if not commands.records:
                return []
        return [run for run in runs if run.records]

    def consume(self, runs: Sequence[Run], taken: int) -> None:
        for buffer, records in _taken(runs, taken, self._usage, self._commands):
            # The broker's own stamp, not the arrival: a forwarded record's is older than its neighbours'.
            buffer.consume(len(records), records[-1].timestamp * 1_000)


class ReplayOrder:
    """Both inputs merged by (arrival, command before usage, offset), the same whatever the timing (R44).

    Usage that arrived at t waits until the commands are known beyond t, a command until usage is known up to it. A
    tick takes its place as a record would, but one in usage need not wait beyond its own instant.
    """

    def __init__(self, usage: InputBuffer, commands: InputBuffer) -> None:
        self._usage, self._commands = usage, commands

    def skip_ticks(self, now_micros: int) -> bool:
        skipped = False
        while (cursor := self._next()) and cursor.is_tick and cursor.known_micros <= now_micros:
            cursor.buffer.consume_tick(moves_time=True)
            skipped = True
        return skipped

    def time_micros(self, now_micros: int) -> int:
        cursor = self._next()
        return max(now_micros, cursor.known_micros) if cursor else now_micros

    def runs(self, due_micros: int | None) -> list[Run]:
        usage, commands = _Cursor(self._usage), _Cursor(self._commands)
        runs: list[Run] = []
        while (cursor := _first(usage, commands)) and not cursor.is_tick:
            if due_micros is not None and cursor.known_micros >= due_micros:
                break
            if not runs or runs[-1].input != cursor.buffer.name:
                runs.append(Run(cursor.buffer.name, records := []))
            records.append(cursor.step())
        return runs

    def consume(self, runs: Sequence[Run], taken: int) -> None:
        for buffer, records in _taken(runs, taken, self._usage, self._commands):
            buffer.consume(len(records), max(map(arrival_micros, records)))

    def _next(self) -> "_Cursor | None":
        return _first(_Cursor(self._usage), _Cursor(self._commands))


class _Cursor:
    """Walks a buffer without consuming it.

    Attributes:
        known_micros: when the record at hand arrived; past the last one, the latest arrival there was.
    """

    __slots__ = ("_index", "_tick_index", "buffer", "known_micros")

    def __init__(self, buffer: InputBuffer) -> None:
        self.buffer = buffer
        self._tick_index = buffer.records_before_tick
        self._go_to(0)

    @property
    def has_record(self) -> bool:
        return self._index < len(self.buffer.records)

    @property
    def is_tick(self) -> bool:
        return self.has_record and self._index == self._tick_index

    def step(self) -> InputRecord:
        record = self.buffer.records[self._index]
        self._go_to(self._index + 1)
        return record

    def _go_to(self, index: int) -> None:
        self._index = index
        records = self.buffer.records
        if index < len(records):
            self.known_micros = arrival_micros(records[index])
        else:
            self.known_micros = max(self.buffer.floor_micros, *map(arrival_micros, records), 0)


def _first(usage: _Cursor, commands: _Cursor) -> _Cursor | None:
    """Whose record is next in the merged sequence; None while that cannot be known."""
    if commands.has_record and commands.known_micros <= usage.known_micros:
        return commands
    beyond = commands.known_micros - usage.known_micros
    if usage.has_record and (beyond > 0 or (beyond == 0 and usage.is_tick)):
        return usage
    return None


def _earliest_unread(buffer: InputBuffer) -> int:
    return arrival_micros(buffer.records[0]) if buffer.records else buffer.floor_micros


def _live_cut(buffer: InputBuffer, due_micros: int | None) -> int:
    """How many records come before the due instant; looks at few of them, since the broker stamps them in order."""
    end = buffer.records_before_tick
    records = buffer.records
    if due_micros is None or not end or records[end - 1].timestamp * 1_000 < due_micros:
        return end
    cut = bisect_left(records, due_micros, hi=end, key=lambda record: record.timestamp * 1_000)
    while cut < end and arrival_micros(records[cut]) < due_micros:
        cut += 1
    return cut


def _taken(
    runs: Sequence[Run], taken: int, usage: InputBuffer, commands: InputBuffer
) -> Iterator[tuple[InputBuffer, Sequence[InputRecord]]]:
    for run in runs:
        records = run.records[:taken]
        if not records:
            return
        taken -= len(records)
        yield (usage if run.input == "usage" else commands), records
