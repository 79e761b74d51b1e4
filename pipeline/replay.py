"""The ledger without Kafka: records in the order of their arrival come in, everything it would have written goes out.

It is the engine's loop in memory around the very machine that runs on Kafka: the clock moves between chunks, and a
chunk ends before the first record that arrived at or after the next due instant. Source: docs/rules.md R44.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pipeline.agents.ledger_machine import LedgerMachine
from pipeline.domain.pricing import CompiledPrices
from pipeline.domain.rules import Rules
from pipeline.engine.contract import Effects, Input, Place, Run
from pipeline.engine.identity import MemoryIdentities
from pipeline.engine.records import arrival_micros
from pipeline.topics import TOPICS
from schemas import export
from schemas.events import LedgerEvent

EVENTS: Mapping[str, type[LedgerEvent]] = {model.TYPE: model for model in export.EVENTS}
"""Everything the ledger publishes as a CloudEvent, by its type."""

_COMPACTED = {topic.name for topic in TOPICS if topic.compacted}


def read_event(value: bytes) -> LedgerEvent:
    """The event in its envelope."""
    found: dict[str, Any] = json.loads(value)
    return EVENTS[found["type"]].model_validate_json(json.dumps(found["data"]))


@dataclass(slots=True)
class Record:
    """A record of an input; `timestamp` is in milliseconds, as Kafka has it."""

    input: Input
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    key: bytes | None = None


@dataclass(kw_only=True)
class LedgerInMemory:
    """One partition's ledger.

    Attributes:
        advance_budget: how many due things one step of the calendar may do.
        outputs: topic → values of its records, in order.
        latest: compacted topic → the last value of each key.
        counts: what happened, as the engine's metrics count it.
        cells: the state as it lies in `ledger-state`.
        now_micros: ledger time.
    """

    prices: CompiledPrices
    partition: int = 0
    partitions: int = 1
    rules: Rules = field(default_factory=Rules)
    quarantined: frozenset[Place] = frozenset()
    advance_budget: int = 100

    outputs: dict[str, list[bytes]] = field(default_factory=dict)
    latest: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    cells: dict[bytes, bytes] = field(default_factory=dict)
    now_micros: int = 0

    def __post_init__(self) -> None:
        self.seen = MemoryIdentities(self.rules.horizon_days)
        self._offsets: dict[Input, int] = {"usage": 0, "commands": 0}
        self.restart()

    def record(
        self, to: Input, value: bytes | None, arrived_at_micros: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Record:
        """The next record of an input; Kafka's clock has milliseconds, what is finer is cut off."""
        offset = self._offsets[to]
        self._offsets[to] += 1
        return Record(to, offset, arrived_at_micros // 1_000, value, headers)

    def process(self, records: Sequence[Record], chunk_size: Callable[[], int] | None = None) -> None:
        """Work the records through, in this order.

        Args:
            chunk_size: how many records the next chunk may have; None: all there are.
        """
        done = 0
        while done < len(records):
            self.now_micros = max(self.now_micros, arrival_micros(records[done]))
            due_micros = self._catch_up()
            size = chunk_size() if chunk_size else len(records)
            chunk: list[Record] = []
            for record in records[done : done + size]:
                if due_micros is not None and arrival_micros(record) >= due_micros:
                    break
                chunk.append(record)
            done += self._chunk(chunk)

    def move_to(self, at_micros: int) -> None:
        """Nothing comes until then: do what falls due."""
        self.now_micros = max(self.now_micros, at_micros)
        self._catch_up()

    def idle(self, at_micros: int) -> None:
        """Nothing came until then either: what may wait for a quiet moment is written."""
        self.move_to(at_micros)
        self._commit(self.machine.idle(self.now_micros))

    def restart(self) -> None:
        """Drop the memory and take over from the cells, as a worker does."""
        self.machine = LedgerMachine(
            self.partition, self.seen, partitions=self.partitions, prices=self.prices, rules=self.rules
        )
        for _ in self.machine.restore(self.cells.items()):
            pass

    def take_outputs(self) -> dict[str, list[bytes]]:
        """What was written since the last call, by topic; it is not kept here any longer."""
        taken, self.outputs = self.outputs, {}
        return taken

    def _catch_up(self) -> int | None:
        while (due_micros := self.machine.next_due_micros()) is not None and due_micros <= self.now_micros:
            self._commit(self.machine.advance(self.now_micros, budget=self.advance_budget))
        self._catch_up_with_the_rest()
        return due_micros

    def _catch_up_with_the_rest(self) -> None:
        while self.machine.is_behind:
            self._commit(self.machine.advance(self.now_micros, budget=self.advance_budget))

    def _chunk(self, records: Sequence[Record]) -> int:
        """How many were taken. Their identities are kept from the last arrival on, as the engine has it."""
        self.machine.begin(self.now_micros, self.quarantined)
        for to, run in groupby(records, key=lambda record: record.input):
            if not self.machine.take(Run(to, list(run))):
                break
        effects = self.machine.finish()
        assert 0 < effects.taken <= len(records)
        self._commit(effects, max(map(arrival_micros, records[: effects.taken])))
        return effects.taken

    def _commit(self, effects: Effects, last_arrival_micros: int = 0) -> None:
        for topic, outputs in effects.outputs.items():
            self.outputs.setdefault(topic, []).extend(output.value for output in outputs)
            if topic in _COMPACTED:
                self.latest.setdefault(topic, {}).update((output.key or b"", output.value) for output in outputs)
        for key, value in effects.cells.items():
            if value is None:
                self.cells.pop(key, None)
            else:
                self.cells[key] = value
        self.counts.update(effects.counts)
        self.seen.add(effects.identities, max(self.now_micros, last_arrival_micros))
