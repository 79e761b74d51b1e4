"""The ledger without Kafka: records in the order of their arrival come in, everything it would have written goes out.

Chunks are made as the engine makes them: the clock moves between them, and one ends before the first record that
arrived at or after the next due instant (R44). Where else they are cut is up to the test.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any

from pipeline.agents.ledger_machine import LedgerMachine
from pipeline.domain.pricing import CompiledPrices
from pipeline.domain.rules import Rules
from pipeline.engine.contract import Effects, Forward, Input, Place, Run
from pipeline.engine.identity import MemoryIdentities
from pipeline.engine.records import arrival_micros
from pipeline.price_book import load_price_book
from schemas import export
from schemas.dead_letters import DeadLetter
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    LimitBreached,
    LimitResumed,
)
from schemas.priced import PricedUsage
from tests.support.builders import NOON, Wire, add_member, as_json, micros, register, set_credits

EVENTS = {model.TYPE: model for model in export.EVENTS}


@cache
def packaged_prices() -> CompiledPrices:
    return CompiledPrices(load_price_book())


@dataclass(frozen=True, slots=True)
class Record:
    """A record of an input; `timestamp` is in milliseconds, as Kafka has it."""

    input: Input
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    key: bytes | None = None


@dataclass
class LedgerInMemory:
    """One partition's ledger. `chunk_sizes` says how many records the next chunk may have; None: all there are.

    With `reborn` it is restored from its cells before every chunk, as by a worker that has just taken over.
    """

    partition: int = 0
    partitions: int = 1
    rules: Rules = field(default_factory=Rules)
    chunk_sizes: Callable[[], int] | None = None
    reborn: bool = False
    quarantined: frozenset[Place] = frozenset()

    outputs: dict[str, list[bytes]] = field(default_factory=dict)
    cells: dict[bytes, bytes] = field(default_factory=dict)
    identities: dict[bytes, bytes] = field(default_factory=dict)
    forwards: list[Forward] = field(default_factory=list)
    now_micros: int = 0
    chunks: int = 0

    def __post_init__(self) -> None:
        self.seen = MemoryIdentities(self.rules.horizon_days)
        self._offsets = {"usage": 0, "commands": 0}
        self.restart()

    # What goes in.

    def usage(self, *wires: object, at: str = NOON, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """A record per object; bytes are sent as they are."""
        self.process([self.record("usage", wire, micros(at), headers) for wire in wires])

    def commands(self, *wires: object, at: str = NOON, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self.process([self.record("commands", wire, micros(at), headers) for wire in wires])

    def record(
        self, to: Input, wire: object, arrived_at_micros: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Record:
        """The next record of an input."""
        value = wire if isinstance(wire, bytes | None) else as_json(wire)
        assert arrived_at_micros % 1000 == 0, "Kafka's clock has milliseconds"
        offset = self._offsets[to]
        self._offsets[to] += 1
        return Record(to, offset, arrived_at_micros // 1000, value, headers)

    def process(self, records: Sequence[Record]) -> None:
        """Work the records through, in this order."""
        done = 0
        while done < len(records):
            self.now_micros = max(self.now_micros, arrival_micros(records[done]))
            due_micros = self._catch_up()
            size = self.chunk_sizes() if self.chunk_sizes else len(records)
            chunk: list[Record] = []
            for record in records[done : done + size]:
                if due_micros is not None and arrival_micros(record) >= due_micros:
                    break
                chunk.append(record)
            done += self._chunk(chunk)

    def wait_until(self, instant: str) -> None:
        """Nothing comes until then."""
        self.now_micros = max(self.now_micros, micros(instant))
        self._catch_up()

    def restart(self) -> None:
        """Drop the memory and take over from the cells."""
        self.machine = LedgerMachine(
            self.partition, self.seen, partitions=self.partitions, prices=packaged_prices(), rules=self.rules
        )
        self.machine.restore(self.cells.items())

    def _catch_up(self) -> int | None:
        while (due_micros := self.machine.next_due_micros()) is not None and due_micros <= self.now_micros:
            self._commit(self.machine.advance(self.now_micros, budget=3))
        return due_micros

    def _chunk(self, records: Sequence[Record]) -> int:
        """How many were taken. Their identities are kept from the last arrival on, as the engine has it."""
        if self.reborn:
            self.restart()
        self.machine.begin(self.now_micros, self.quarantined)
        for to, run in groupby(records, key=lambda record: record.input):
            if not self.machine.take(Run(to, list(run))):
                break
        effects = self.machine.finish()
        assert 0 < effects.taken <= len(records)
        self.chunks += 1
        self._commit(effects, max(map(arrival_micros, records[: effects.taken])))
        return effects.taken

    def _commit(self, effects: Effects, last_arrival_micros: int = 0) -> None:
        for topic, outputs in effects.outputs.items():
            self.outputs.setdefault(topic, []).extend(output.value for output in outputs)
        for key, value in effects.cells.items():
            if value is None:
                self.cells.pop(key, None)
            else:
                self.cells[key] = value
        self.seen.add(effects.identities, max(self.now_micros, last_arrival_micros))
        self.identities |= effects.identities
        self.forwards += effects.forwards

    # What comes out.

    @property
    def rows(self) -> list[PricedUsage]:
        return [PricedUsage.model_validate_json(line) for line in self.row_lines]

    @property
    def row_lines(self) -> list[bytes]:
        return b"".join(self.outputs.get("priced-usage", ())).splitlines()

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return [DeadLetter.model_validate_json(value) for value in self.outputs.get("dead-letters", ())]

    @property
    def limit_events(self) -> list[LimitBreached | LimitResumed]:
        return self._events("limit-breaches")

    @property
    def breaches(self) -> list[LimitBreached]:
        return [found for found in self.limit_events if isinstance(found, LimitBreached)]

    @property
    def resumes(self) -> list[LimitResumed]:
        return [found for found in self.limit_events if isinstance(found, LimitResumed)]

    @property
    def answers(self) -> list[CommandApplied | CommandRefused | CommandRepeated]:
        return self._events("account-events")

    def _events(self, topic: str) -> list[Any]:
        envelopes = map(json.loads, self.outputs.get(topic, ()))
        return [EVENTS[envelope["type"]].model_validate_json(json.dumps(envelope["data"])) for envelope in envelopes]

    def envelopes(self, topic: str) -> list[Wire]:
        return [json.loads(value) for value in self.outputs.get(topic, ())]

    def cell(self, *key: str) -> Wire:
        """A state cell by its key: kind, then identity."""
        found: Wire = json.loads(self.cells[json.dumps(key, separators=(",", ":")).encode()])
        return found

    def spend_picousd(self, *key: str) -> int:
        """Month to date of a cell; 0 where there is none yet."""
        raw = self.cells.get(json.dumps(key, separators=(",", ":")).encode())
        return int(json.loads(raw).get("spend_picousd", "0")) if raw else 0

    @property
    def counters(self) -> dict[str, int]:
        return {name: count for name, count in self.cell("counters").items() if name != "cell"}


def acme(**how: Any) -> LedgerInMemory:
    """A ledger that knows the organisation `acme`, its primary owner and the member `ann`, credits on, no limit."""
    ledger = LedgerInMemory(**how)
    ledger.commands(register(), set_credits(), add_member("ann"), at="2026-05-01T00:00:00Z")
    return ledger
