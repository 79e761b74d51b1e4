"""A toy machine, simple enough to recompute by hand, and a worker process that runs it on the real engine.

A usage record holds lines `key id amount`; each adds amount × the key's multiplier to the key's total and writes one
line to `toy-out`. A command is one line `key multiplier`. With a period, the number of events is written down at every
period's end: something that falls due. Idle, it publishes its clock on `toy-clock`, if that has moved. Some amounts
are words: `boom` is a bug, `halt` a broken invariant, `huge` an
output that no topic takes.

    python -m tests.support.toy_ledger '{"kafka": {"bootstrap_servers": "…"}, "prefix": "t1-"}'
"""

import hashlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaProducer

from pipeline.engine.contract import (
    Effects,
    EventFailed,
    Forward,
    Identities,
    Input,
    InputRecord,
    InvariantBroken,
    Output,
    Place,
    Run,
)
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import arrival_micros
from tests.support.wrong_clock import set_the_clock

OUT = "toy-out"
CLOCK = "toy-clock"
OUTPUTS = (OUT, CLOCK)
HUGE_BYTES = 950_000


@dataclass
class Toy:
    """The machine; `slow_seconds` per slice holds it up, so that faults find it in the middle."""

    partition: int
    identities: Identities
    partitions: int
    period_micros: int = 0
    most_records: int = 100_000
    slow_seconds: float = 0.0
    versions: dict[str, str | int] = field(default_factory=lambda: {"toy": 1})
    totals: dict[str, int] = field(default_factory=dict)
    multipliers: dict[str, int] = field(default_factory=dict)
    period: dict[str, int] = field(default_factory=dict)  # end, count
    clock: dict[str, int] = field(default_factory=dict)  # published: the last one

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
        kinds = {"total": self.totals, "multiplier": self.multipliers, "period": self.period, "clock": self.clock}
        for key, value in cells:
            kind, name = key.decode().split("/", 1)
            kinds[kind][name] = int(value)
            yield

    is_behind = False

    def next_due_micros(self) -> int | None:
        return self.period.get("end")

    def advance(self, now_micros: int, budget: int) -> Effects:
        effects = Effects()
        if "end" in self.period and self.period["end"] <= now_micros:
            line = f"closed {self.period.pop('end')} {self.period.pop('count')}"
            effects.outputs[OUT] = [Output(None, line.encode())]
            effects.cells = {b"period/end": None, b"period/count": None}
        return effects

    def begin(self, now_micros: int, quarantined: frozenset[Place]) -> None:
        self.effects = Effects(outputs={OUT: []})
        self.quarantined = quarantined
        self.fresh: dict[bytes, bytes] = {}

    def take(self, run: Run) -> bool:
        time.sleep(self.slow_seconds)
        for record in run.records:
            if self.effects.taken >= self.most_records or self._falls_due_before(record):
                return False
            self.effects.taken += 1
            for index, line in enumerate((record.value or b"").decode().splitlines()):
                self._event(run.input, record, index, line)
        return True

    def finish(self) -> Effects:
        self.effects.identities = self.fresh
        return self.effects

    def idle(self, now_micros: int) -> Effects:
        if now_micros <= self.clock.get("published", 0):
            return Effects()
        self.clock["published"] = now_micros
        value = str(now_micros).encode()
        return Effects(outputs={CLOCK: [Output(None, value)]}, cells={b"clock/published": value})

    def _falls_due_before(self, record: InputRecord) -> bool:
        """What this chunk itself made due must come before later records, however chunks are cut."""
        end = self.period.get("end")
        return end is not None and end <= arrival_micros(record)

    def _event(self, name: Input, record: InputRecord, index: int, line: str) -> None:
        place = Place(name, record.offset, index)
        effects = self.effects
        key, *rest = line.split()
        if partition_of(key.encode(), self.partitions) != self.partition:
            effects.forwards.append(Forward(name, key.encode(), line.encode(), record, index))
        elif place in self.quarantined:
            effects.outputs[OUT].append(Output(None, f"internal_error {line}".encode()))
        elif name == "commands":
            self.multipliers[key] = int(rest[0])
            effects.cells[f"multiplier/{key}".encode()] = rest[0].encode()
        else:
            try:
                self._usage(record, key, *rest)
            except InvariantBroken:
                raise
            except Exception as error:
                raise EventFailed(place, error) from error

    def _usage(self, record: InputRecord, key: str, name: str, amount: str) -> None:
        effects = self.effects
        if amount == "halt":
            raise InvariantBroken(f"{key} {name}: told to halt")
        identity = hashlib.md5(name.encode()).digest()
        if identity in self.fresh or self.identities.look_up([identity])[0] is not None:
            effects.counts["duplicates"] = effects.counts.get("duplicates", 0) + 1
            return
        value = 0 if amount == "huge" else int(amount)
        self.fresh[identity] = bytes(12)
        total = self.totals[key] = self.totals.get(key, 0) + value * self.multipliers.get(key, 1)
        effects.cells[f"total/{key}".encode()] = str(total).encode()
        padding = " " * HUGE_BYTES if amount == "huge" else ""
        effects.outputs[OUT].append(Output(key.encode(), f"{key} {name} {total}{padding}".encode()))
        if self.period_micros:
            self._count(arrival_micros(record))

    def _count(self, arrived_micros: int) -> None:
        if not self.period:
            self.period.update(end=(arrived_micros // self.period_micros + 1) * self.period_micros, count=0)
            self.effects.cells[b"period/end"] = str(self.period["end"]).encode()
        self.period["count"] += 1
        self.effects.cells[b"period/count"] = str(self.period["count"]).encode()


def signal_itself_in_transaction(transaction: int = 0, name: str = "SIGKILL") -> None:
    """Send this process a signal when all of its n-th transaction is written, and nothing of it committed."""
    commit = AIOKafkaProducer.commit_transaction
    counted = itertools.count(1)

    async def commit_or_fall(producer: AIOKafkaProducer) -> None:
        if next(counted) == transaction:
            os.kill(os.getpid(), signal.Signals[name])
        await commit(producer)

    AIOKafkaProducer.commit_transaction = commit_or_fall


def main(options_json: str) -> None:
    import faust

    from pipeline.engine.faust_app import faust_app
    from pipeline.engine.settings import EngineSettings
    from pipeline.engine.work import answer

    options = json.loads(options_json)
    if off_seconds := options.pop("clock_off_seconds"):
        set_the_clock(off_seconds)
    partitions, data_dir = options.pop("partitions"), Path(options.pop("data_dir"))
    toy = options.pop("toy", {})
    signal_itself_in_transaction(**options.pop("fault", {}))
    settings = EngineSettings(outputs=OUTPUTS, identities_dir=Path(options.pop("identities_dir")), **options)
    app, chunks = faust_app(settings, lambda number, ids: Toy(number, ids, partitions, **toy), data_dir=data_dir)

    @app.agent(chunks)
    async def ledger(stream):  # type: ignore[no-untyped-def]
        async for chunk in stream:
            await answer(chunk)

    faust.Worker(app, loglevel="INFO", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1])
