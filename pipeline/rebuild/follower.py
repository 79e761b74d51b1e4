"""One partition's ledger along its journal: a line and the records it names go in, what its transaction wrote out.

The journal says what was read together and at which ledger time, so nothing is decided here: each call of the machine
is made once more. Nothing but the state is kept in memory. Source: docs/rules.md R44; docs/decisions/0006.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from msgspec.structs import replace

from pipeline.engine.buffers import InputBuffer
from pipeline.engine.contract import (
    Chunk,
    Effects,
    EventFailed,
    Identities,
    Input,
    InputRecord,
    InvariantBroken,
    Machine,
    Run,
)
from pipeline.engine.identity import IdentityStore
from pipeline.engine.journal import EngineCell, JournalLine
from pipeline.engine.order import order_of
from pipeline.engine.records import arrival_micros, is_tick
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import Write
from pipeline.engine.work import work
from pipeline.engine.writes import writes_of

Versions = Mapping[str, str | int]

MachineFor = Callable[[Versions, int, Identities], Machine]
"""(versions of a line, partition, identities) → a machine of just those versions, with empty memory."""

_ALL_KNOWN_MICROS = 2**63 - 1


class Diverged(Exception):
    """The journal cannot be followed any further; the sentence says why."""


@dataclass(slots=True)
class Follower:
    """The memory of one partition, from its first transaction on.

    Attributes:
        identities: an empty store.
        cell: where the last line left the partition; None before the first.
        cells: the state as it lies in `ledger-state`.
    """

    settings: EngineSettings
    partitions: int
    number: int
    identities: IdentityStore
    machine_for: MachineFor
    cell: EngineCell | None = None
    cells: dict[bytes, bytes] = field(default_factory=dict)
    _machine: Machine | None = None
    _versions: Versions = field(default_factory=dict)

    async def follow(
        self, line: JournalLine, records: Mapping[Input, Sequence[InputRecord]]
    ) -> dict[TopicPartition, list[Write]]:
        """What the transaction of this line wrote.

        Args:
            records: all of the line's ranges.

        Raises:
            Diverged: the line does not go on from the last one, or the machine did something else.
        """
        before = self._before(line)
        machine = self._machine_of(line)
        try:
            effects = await self._effects(machine, line, records)
        except (EventFailed, InvariantBroken) as error:
            raise Diverged(f"the ledger went on, the rebuild fails with: {error}") from error
        after = replace(
            before,
            usage=line.usage[1],
            commands=line.commands[1],
            usage_arrival_micros=self._arrived(before.usage_arrival_micros, records["usage"]),
            commands_arrival_micros=self._arrived(before.commands_arrival_micros, records["commands"]),
            now_micros=line.now_micros,
            seq=line.seq,
        )
        self.cell = after
        self.identities.add(effects.identities, after.identified_micros)
        await self.identities.catch_up()
        for key, value in effects.cells.items():
            if value is None:
                self.cells.pop(key, None)
            else:
                self.cells[key] = value
        return writes_of(self.settings, self.number, line.kind, effects, before, after, line.places, line.versions)

    def _before(self, line: JournalLine) -> EngineCell:
        """Where the partition stood.

        Raises:
            Diverged: somewhere else than this line says.
        """
        cell = self.cell
        if cell is None:
            cell = EngineCell(
                mode=self.settings.mode, partitions=self.partitions, usage=line.usage[0], commands=line.commands[0]
            )
        stands = (cell.seq + 1, cell.usage, cell.commands)
        says = (line.seq, line.usage[0], line.commands[0])
        if stands != says:
            raise Diverged(
                "the journal has a gap: transaction {}, with usage from {} and commands from {}, should come next; "
                "it goes on with transaction {}, usage from {}, commands from {}".format(*stands, *says)
            )
        return cell

    def _machine_of(self, line: JournalLine) -> Machine:
        """The machine; of other versions than before, as then, by a worker that takes over from the cells."""
        if self._machine is None or line.versions != self._versions:
            self._machine = self.machine_for(line.versions, self.number, self.identities)
            self._versions = line.versions
            for _ in self._machine.restore(self.cells.items()):
                pass
        return self._machine

    async def _effects(
        self, machine: Machine, line: JournalLine, records: Mapping[Input, Sequence[InputRecord]]
    ) -> Effects:
        runs = self._runs(records)
        offered = sum(len(run.records) for run in runs)
        if line.kind == "due":
            effects = machine.advance(line.now_micros, self.settings.advance_budget)
        elif line.kind == "idle":
            effects = machine.idle(line.now_micros)
        elif runs:
            result = asyncio.get_running_loop().create_future()
            effects = await work(Chunk(machine, line.now_micros, runs, line.places, result))
        else:
            effects = Effects()  # ticks alone
        if effects.taken != offered:
            raise Diverged(f"the ledger took {offered} records, the rebuild {effects.taken} of them")
        return effects

    def _runs(self, records: Mapping[Input, Sequence[InputRecord]]) -> list[Run]:
        """The records in the order in which they were processed; a chunk's ticks lie before all of them."""
        buffers: list[InputBuffer] = []
        for name in ("usage", "commands"):
            found = [record for record in records[name] if not is_tick(record)]
            buffers.append(buffer := InputBuffer(name, 0, _ALL_KNOWN_MICROS))
            if found:
                buffer.extend(found)
        return order_of(self.settings.mode, *buffers).runs(None)

    def _arrived(self, latest_micros: int, records: Sequence[InputRecord]) -> int:
        """The latest arrival read, as the buffers note it; what an empty input was known to be is in no journal."""
        if self.settings.mode == "replay":
            return max([latest_micros, *map(arrival_micros, records)])
        return max([latest_micros, *(record.timestamp * 1_000 for record in records if not is_tick(record))])
