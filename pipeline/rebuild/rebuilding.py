"""A partition rebuilt: its journal is followed; what comes of it is held against Kafka, or written where one asks.

1. Read `ledger-state` and `credit-status` to a moment between two transactions: the ends at that moment are the cut.
2. Follow the journal from its first line to the cut; hold each output against the records that lie in Kafka.
3. Hold the state that came of it against the state that was read.

A ledger may go on meanwhile, but for mending. What must be equal: sameness.py.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from pipeline.engine.contract import Input, InputRecord, InvariantBroken
from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.journal import ENGINE_CELL, JournalLine, Range, decode_journal, encode_cell
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import Write
from pipeline.errors import Mendable
from pipeline.reading import open_reader, places
from pipeline.rebuild.follower import Diverged, Follower, MachineFor
from pipeline.rebuild.sameness import Cells, OutputCheck, changes, first_cell_amiss, first_status_amiss
from pipeline.rebuild.streams import Kept, Stream, open_streams
from pipeline.rebuild.writer import Writer
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS, LEDGER_JOURNAL, LEDGER_OUTPUTS, LEDGER_STATE, SEEN_IDS, Topic

_COMPARED = (*(topic for topic in LEDGER_OUTPUTS if topic is not CREDIT_STATUS), SEEN_IDS)
"""Record by record."""

_SAY_EVERY = 1_000


@dataclass(slots=True)
class Rebuilt:
    """What came of a partition.

    Attributes:
        transactions: of the journal, followed.
        compared: records that are the same.
        cells: that were rebuilt.
        outputs_amiss, memory_amiss: first differences, a sentence each, of each topic.
        written: records, elsewhere or to mend.
    """

    partition: int
    transactions: int = 0
    compared: int = 0
    cells: int = 0
    outputs_amiss: list[str] = field(default_factory=list)
    memory_amiss: list[str] = field(default_factory=list)
    written: int = 0

    @property
    def is_same(self) -> bool:
        return not (self.outputs_amiss or self.memory_amiss)

    def note(self, checks: Collection[OutputCheck], seen: OutputCheck) -> None:
        """What was found of the outputs, and of the identities: what is lost of those can be written again."""
        self.compared = sum(check.compared for check in checks)
        for check in checks:
            if check.difference is not None:
                is_lost = check is seen and check.ends_early
                (self.memory_amiss if is_lost else self.outputs_amiss).append(check.difference)


@dataclass(frozen=True, slots=True)
class _Memory:
    """What lies last under each key of `ledger-state`, the engine's own among them, and of `credit-status`."""

    cells: Cells
    status: Cells


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """What a rebuild needs.

    Attributes:
        engine: as the ledger's own.
        say: hears how far it is.
    """

    settings: Settings
    engine: EngineSettings
    machine_for: MachineFor
    say: Callable[[str], None] = lambda _: None

    async def rebuild(self, number: int, *, copy: Writer | None = None, mend: Writer | None = None) -> Rebuilt:
        """Follow one partition's journal.

        Args:
            copy: takes all that is rebuilt, under its own topics' names; they are empty.
            mend: makes the memory what it should be, if every output is.

        Raises:
            Mendable: input is gone, or was worked through with a program or a price book that is not at hand.
        """
        found, kept = await self._as_it_lies(number)
        rebuilt = Rebuilt(number)
        async with open_streams(self.settings, kept) as streams:
            topics = {self._place(topic, number): topic for topic in _COMPARED}
            checks = {at: OutputCheck(streams[at], of_identities=topic is SEEN_IDS) for at, topic in topics.items()}
            seen = checks[self._place(SEEN_IDS, number)]
            try:
                made = await self._follow(number, streams, checks, rebuilt, copy)
            except Diverged as error:
                rebuilt.note(checks.values(), seen)
                rebuilt.outputs_amiss.append(f"partition {number}, transaction {rebuilt.transactions + 1}: {error}")
                return rebuilt
        rebuilt.note(checks.values(), seen)
        rebuilt.cells = len(made.cells)
        amiss = (
            first_cell_amiss(found.cells, made.cells, self.settings.horizon_days),
            first_status_amiss(found.status, made.status),
        )
        rebuilt.memory_amiss += [f"partition {number}: {what}" for what in amiss if what]
        if mend is not None and rebuilt.memory_amiss and not rebuilt.outputs_amiss:
            await self._mend(mend, number, found, made, self._lost_identities(number, kept, seen))
        rebuilt.written = sum(writer.records for writer in (copy, mend) if writer is not None)
        return rebuilt

    async def _as_it_lies(self, number: int) -> tuple[_Memory, dict[TopicPartition, Kept]]:
        """The memory at a moment between two transactions; what is kept of all topics then, of the inputs some more."""
        state, status = self._place(LEDGER_STATE, number), self._place(CREDIT_STATUS, number)
        latest: dict[TopicPartition, dict[bytes, bytes]] = {state: {}, status: {}}
        written = places(
            self.settings, [topic.name for topic in (*_COMPARED, CREDIT_STATUS, LEDGER_STATE, LEDGER_JOURNAL)], [number]
        )
        async with open_reader(self.settings) as reader:
            # Long, and to no end yet: so that from the moment on little is left to read.
            async for records in reader.from_beginning(await reader.stable_ends([state, status])):
                _keep_latest(latest, records)
            ends = await reader.still_ends(written)
            async for records in reader.further({place: ends[place] for place in latest}):
                _keep_latest(latest, records)
            inputs = places(self.settings, [self.engine.usage_events, self.engine.account_commands], [number])
            ends |= await reader.stable_ends(inputs)
            beginnings = await reader.beginnings(list(ends))
        kept = {place: (beginnings[place], end) for place, end in ends.items() if place not in latest}
        return _Memory(latest[state], latest[status]), kept

    async def _follow(
        self,
        number: int,
        streams: Mapping[TopicPartition, Stream],
        checks: Mapping[TopicPartition, OutputCheck],
        rebuilt: Rebuilt,
        copy: Writer | None,
    ) -> _Memory:
        told = self._place(CREDIT_STATUS, number)
        status: dict[bytes, bytes] = {}
        with self._follower(number) as follower:
            async for line, records in self._lines(streams, number):
                writes = await follower.follow(line, records)
                rebuilt.transactions += 1
                for place, check in checks.items():
                    await check.hold(line.seq, writes.get(place, []))
                status.update((write.key or b"", write.value or b"") for write in writes.get(told, []))
                if copy is not None:
                    await self._copy(copy, writes)
                if not line.seq % _SAY_EVERY:
                    self.say(f"partition {number}: transaction {line.seq:,}")
        for check in checks.values():
            await check.end()
        if copy is not None:
            await copy.commit()
        position = {ENGINE_CELL: encode_cell(follower.cell)} if follower.cell else {}
        return _Memory(follower.cells | position, status)

    async def _lines(
        self, streams: Mapping[TopicPartition, Stream], number: int
    ) -> AsyncIterator[tuple[JournalLine, Mapping[Input, list[InputRecord]]]]:
        """Each line of the journal with the records of its ranges."""
        journal = streams[self._place(LEDGER_JOURNAL, number)]
        inputs = {name: streams[TopicPartition(topic, number)] for name, topic in self.engine.inputs.items()}
        while (record := await journal.next()) is not None:
            try:
                line = decode_journal(record.value)
            except InvariantBroken as error:
                raise Mendable(f"{journal.place.topic}[{number}] offset {record.offset}: {error}") from error
            ranges: Mapping[Input, Range] = {"usage": line.usage, "commands": line.commands}
            for name, stream in inputs.items():
                _check_is_there(stream, line.seq, ranges[name])
            yield line, {name: await stream.before(ranges[name][1]) for name, stream in inputs.items()}

    async def _copy(self, copy: Writer, writes: Mapping[TopicPartition, list[Write]]) -> None:
        for place, records in writes.items():
            if place.topic not in self._inputs:  # what was forwarded is input, and stays where it is
                await copy.add(place.topic.removeprefix(self.settings.topic_prefix), records)

    async def _mend(
        self, mend: Writer, number: int, found: _Memory, made: _Memory, identities: AsyncIterator[list[Write]]
    ) -> None:
        """The position goes first and comes last: meanwhile no worker takes the partition up."""
        await mend.add(LEDGER_STATE.name, [Write(ENGINE_CELL, None)])
        await mend.commit()
        async for lost in identities:
            await mend.add(SEEN_IDS.name, lost)
        for topic, here, there in ((CREDIT_STATUS, found.status, made.status), (LEDGER_STATE, found.cells, made.cells)):
            for key, value in changes(here, there):
                if key != ENGINE_CELL:
                    await mend.add(topic.name, [Write(key, value)])
        await mend.add(LEDGER_STATE.name, [Write(ENGINE_CELL, made.cells.get(ENGINE_CELL))])
        await mend.commit()

    async def _lost_identities(
        self, number: int, kept: Mapping[TopicPartition, Kept], seen: OutputCheck
    ) -> AsyncIterator[list[Write]]:
        """The journal followed once more, for the records of `seen-ids` behind those that are kept."""
        if not seen.ends_early:
            return
        there = seen.held
        place, journal = self._place(SEEN_IDS, number), self._place(LEDGER_JOURNAL, number)
        read = {at: span for at, span in kept.items() if at == journal or at.topic in self._inputs}
        async with open_streams(self.settings, read) as streams:
            with self._follower(number) as follower:
                async for line, records in self._lines(streams, number):
                    identities = (await follower.follow(line, records)).get(place, [])
                    yield identities[there:]
                    there = max(0, there - len(identities))

    @contextmanager
    def _follower(self, number: int) -> Iterator[Follower]:
        """One with empty memory; its identities, perhaps hundreds of millions, lie on disk while the block lasts."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="rebuild-", dir=self.settings.data_dir) as folder:
            store = DiskIdentities(Path(folder), self.settings.horizon_days)
            try:
                yield Follower(self.engine, self.settings.partitions, number, store, self.machine_for)
            finally:
                store.close()

    @property
    def _inputs(self) -> Collection[str]:
        return self.engine.inputs.values()

    def _place(self, topic: Topic, number: int) -> TopicPartition:
        return TopicPartition(self.settings.topic_prefix + topic.name, number)


def _keep_latest(latest: Mapping[TopicPartition, dict[bytes, bytes]], records: Sequence[Any]) -> None:
    for record in records:
        cells = latest[TopicPartition(record.topic, record.partition)]
        if record.value is None:
            cells.pop(record.key, None)
        else:
            cells[record.key] = record.value


def _check_is_there(stream: Stream, seq: int, read: Range) -> None:
    """See that Kafka still has the records of a range, or ever had.

    Raises:
        Mendable: it has not.
    """
    name = f"{stream.place.topic}[{stream.place.partition}]"
    if stream.position > read[0]:
        raise Mendable(
            f"{name} begins at offset {stream.position}, and transaction {seq} of the journal read from {read[0]}: "
            "what came before is gone, so the ledger cannot be rebuilt from its inputs. It reaches back as far as "
            "usage-events are kept: docs/operations.md, Backup"
        )
    if stream.end < read[1]:
        raise Mendable(
            f"{name} ends at offset {stream.end}, but transaction {seq} of the journal read up to {read[1]}: "
            "the two are not of the same log, or not of the same age"
        )
