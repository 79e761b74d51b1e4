"""A claimed partition at work: what has arrived goes to the machine, and what the machine wants written to Kafka."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from msgspec.structs import replace

from pipeline.engine.contract import Chunk, Effects, EventFailed, InvariantBroken, Machine, Place, Run
from pipeline.engine.identity import IdentityStore
from pipeline.engine.inputs import Inputs
from pipeline.engine.journal import EngineCell, Kind
from pipeline.engine.observer import Committed, Observer
from pipeline.engine.order import Order, order_of
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import Transactions
from pipeline.engine.writes import writes_of

Submit = Callable[[Chunk], Awaitable[None]]
"""Hands a chunk to the agent, which sets its result; waits while the agent has enough to do."""


@dataclass(slots=True)
class Ownership:
    """The memory of one claim: true until a transaction fails, and then dropped whole.

    Attributes:
        cell: where the last committed transaction left the partition.
        quarantined: places at which the machine failed; it makes dead letters of them.
        in_transaction: something is being written that should not be interrupted.
        now_micros: ledger time; may be ahead of the cell's while nothing depends on it.
    """

    number: int
    settings: EngineSettings
    transactions: Transactions
    inputs: Inputs
    identities: IdentityStore
    machine: Machine
    cell: EngineCell
    quarantined: frozenset[Place]
    submit: Submit
    observer: Observer
    in_transaction: bool = False
    now_micros: int = field(init=False)
    _order: Order = field(init=False)
    _fetch_seconds: float = field(init=False, default=0.0)  # since the last commit
    # After a claim the buffers are empty because nothing was fetched yet: that is no quiet moment.
    _idle_at: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.now_micros = self.cell.now_micros
        self._order = order_of(self.settings.mode, self.inputs.usage, self.inputs.commands)

    @property
    def positions(self) -> tuple[int, int]:
        return self.inputs.usage.position, self.inputs.commands.position

    async def step(self) -> None:
        """Fetch what has come, and make one transaction of it.

        If there is nothing, the machine may say what it held back, and a short wait is over.
        """
        started = time.monotonic()
        await self.inputs.fetch(0)
        if self.settings.mode == "live":
            await self.inputs.check_drained()
        self._fetch_seconds += time.monotonic() - started
        self.now_micros = self._order.time_micros(self.now_micros)
        due_micros = self._next_due()
        if due_micros is not None and due_micros <= self.now_micros:
            await self._advance(due_micros)
        elif self._order.skip_ticks(self.now_micros):
            return
        elif runs := self._order.runs(due_micros):
            await self._process(runs)
        elif self.machine.is_behind:
            await self._advance(None)
        elif self.positions != (self.cell.usage, self.cell.commands):
            await self._commit("chunk", Effects())  # ticks alone: the journal tells how far they moved the clock
        else:
            await self._idle()
            await self.inputs.fetch(self.settings.idle_wait_seconds)

    async def _advance(self, due_micros: int | None) -> None:
        with machine_at_work():
            effects = self.machine.advance(self.now_micros, self.settings.advance_budget)
        if effects.taken:
            raise InvariantBroken(f"advance() consumed {effects.taken} records; it has none")
        if effects:
            await self._commit("due", effects)
        elif due_micros is None or self._next_due() == due_micros:
            raise InvariantBroken(f"advance() left undone what was due at {due_micros}")

    async def _process(self, runs: Sequence[Run]) -> None:
        offered = sum(len(run.records) for run in runs)
        result: asyncio.Future[Effects] = asyncio.get_running_loop().create_future()
        await self.submit(Chunk(self.machine, self.now_micros, runs, self.quarantined, result))
        with machine_at_work():
            effects = await result
        if not 0 < effects.taken <= offered:
            raise InvariantBroken(f"the machine took {effects.taken} of {offered} records")
        self._order.consume(runs, effects.taken)
        await self._commit("chunk", effects)

    async def _idle(self) -> None:
        """Let the machine write what waited for a quiet moment, once in a while."""
        now = time.monotonic()
        if now < self._idle_at + self.settings.idle_seconds:
            return
        self._idle_at = now
        with machine_at_work():
            effects = self.machine.idle(self.now_micros)
        if effects.taken:
            raise InvariantBroken(f"idle() consumed {effects.taken} records; it has none")
        if effects:
            await self._commit("idle", effects)

    async def _commit(self, kind: Kind, effects: Effects) -> None:
        usage, commands = self.inputs.usage, self.inputs.commands
        after = replace(
            self.cell,
            usage=usage.position,
            commands=commands.position,
            usage_arrival_micros=usage.floor_micros,
            commands_arrival_micros=commands.floor_micros,
            now_micros=self.now_micros,
            seq=self.cell.seq + 1,
        )
        passed = {place for place in self.quarantined if place.offset < getattr(after, place.input)}
        began = time.monotonic()
        writes = writes_of(self.settings, self.number, kind, effects, self.cell, after, passed, self.machine.versions)
        journal = TopicPartition(self.settings.topic(self.settings.ledger_journal), self.number)
        started = time.monotonic()
        self.in_transaction = True
        try:
            clock = journal if self.settings.mode == "live" else None
            ends = await self.transactions.commit(writes, clock, self.inputs.believed_micros // 1_000)
        finally:
            self.in_transaction = False
        seconds = time.monotonic() - started
        seen_to = ends.get(TopicPartition(self.settings.topic(self.settings.seen_ids), self.number))
        self.cell = after if seen_to is None else replace(after, seen_to=seen_to)
        self.quarantined -= passed
        self.identities.add(effects.identities, after.identified_micros, seen_to)
        self.observer.committed(
            Committed(
                self.number,
                after.seq,
                after.usage,
                after.commands,
                self.now_micros,
                effects.taken,
                seconds,
                effects.counts,
                effects.rejected,
                effects.published,
                self._stages(effects, started - began, seconds),
                await self.inputs.waiting(),
            )
        )

    def _stages(self, effects: Effects, writing_seconds: float, commit_seconds: float) -> dict[str, float]:
        """Where the time since the last commit went, without what was spent waiting for input."""
        fetch_seconds, self._fetch_seconds = self._fetch_seconds, 0.0
        encode_seconds = effects.seconds.get("encode", 0.0) + writing_seconds
        return {**effects.seconds, "encode": encode_seconds, "fetch": fetch_seconds, "commit": commit_seconds}

    def _next_due(self) -> int | None:
        with machine_at_work():
            return self.machine.next_due_micros()


@contextmanager
def machine_at_work() -> Iterator[None]:
    """Whatever a machine raises, other than what it may, is an invariant broken: no retry would mend it."""
    try:
        yield
    except (EventFailed, InvariantBroken):
        raise
    except Exception as error:
        raise InvariantBroken(f"the machine raised {type(error).__name__}: {error}") from error
