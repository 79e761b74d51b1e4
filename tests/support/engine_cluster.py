"""Topics of one engine test on a real Kafka: records go in; what was committed comes out, and is recomputed."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.engine.clients import close_consumer, close_producer
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import arrival_micros
from pipeline.engine.settings import EngineSettings, Mode
from tests.support.toy_ledger import CLOCK, OUT, OUTPUTS

PARTITIONS = 4
PATIENCE_SECONDS = 90.0


def engine_settings(bootstrap_servers: str, prefix: str, **changes: Any) -> EngineSettings:
    """Short sessions and waits, so that faults are over soon."""
    quick: dict[str, Any] = {"session_timeout_seconds": 6.0, "idle_wait_seconds": 0.05, "drained_check_seconds": 0.1}
    return EngineSettings(
        kafka={"bootstrap_servers": bootstrap_servers}, prefix=prefix, outputs=OUTPUTS, **(quick | changes)
    )


class Cluster:
    """The topics of one test, and all that was committed to them, followed by a read_committed consumer."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.records: dict[tuple[str, int], list[Any]] = defaultdict(list)
        self._sent: dict[tuple[str, int], int] = {}
        self._consumer = AIOKafkaConsumer(
            **settings.kafka, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self._asker = AIOKafkaConsumer(**settings.kafka, isolation_level="read_uncommitted", enable_auto_commit=False)
        self._producer = AIOKafkaProducer(**settings.kafka)

    async def start(self, partitions: int = PARTITIONS, configs: Mapping[str, Mapping[str, str]] | None = None) -> None:
        await make_topics(self.settings, partitions, configs or {})
        await self._producer.start()
        await self._consumer.start()
        await self._asker.start()
        self._consumer.assign(
            [TopicPartition(topic, number) for topic in self.settings.all_topics for number in range(partitions)]
        )

    async def stop(self) -> None:
        # Not by their own stop(): without a broker it ends as if cancelled, and hides what the test failed with.
        await close_producer(self._producer, "the test's producer")
        await close_consumer(self._consumer, "the test's reader")
        await close_consumer(self._asker, "the test's asker")

    async def send(
        self, lines: Iterable[str], topic: str = "usage-events", partition: int | None = None, at_ms: int | None = None
    ) -> None:
        """Each line is one record, keyed by its first word, unless a partition is given."""
        sent = []
        for line in lines:
            key = line.split()[0].encode()
            target = partition_of(key, PARTITIONS) if partition is None else partition
            sent.append(
                await self._producer.send(self.settings.topic(topic), line.encode(), key, target, timestamp_ms=at_ms)
            )
        for metadata in await asyncio.gather(*sent):
            place = metadata.topic, metadata.partition
            self._sent[place] = max(metadata.offset, self._sent.get(place, -1))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Follow the topics until this holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {PATIENCE_SECONDS:g} s; {len(self.lines())} lines came out")
            await self.pull(200)

    async def pull(self, timeout_ms: int) -> None:
        for tp, records in (await self._consumer.getmany(timeout_ms=timeout_ms)).items():
            self.records[tp.topic, tp.partition] += records

    async def settle(self) -> None:
        """Wait until the journal covers every record of both inputs, forwarded ones included."""
        await self.until(lambda: not self._unread())
        await self.catch_up()
        while self._unread():  # a forward came into sight
            await self.until(lambda: not self._unread())
            await self.catch_up()

    async def catch_up(self) -> None:
        """Read all that is committed by now; a commit is acknowledged a little before it can be read everywhere."""
        ends = await self._asker.end_offsets(self._consumer.assignment())
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            await self.pull(100)

    def of(self, topic: str, partition: int) -> list[Any]:
        return self.records[self.settings.topic(topic), partition]

    def partition_lines(self, partition: int) -> list[str]:
        return [record.value.decode().rstrip() for record in self.of(OUT, partition)]

    def clocks(self, partition: int) -> list[int]:
        """Every published one, microseconds."""
        return [int(record.value) for record in self.of(CLOCK, partition)]

    def lines(self) -> list[str]:
        return [line for number in range(PARTITIONS) for line in self.partition_lines(number)]

    def journal(self, partition: int) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.of("ledger-journal", partition)]

    def cells(self, partition: int) -> dict[str, str]:
        """The live cells of the machine."""
        cells: dict[str, str] = {}
        for record in self.of("ledger-state", partition):
            if record.value is None:
                cells.pop(record.key.decode(), None)
            elif not record.key.startswith(b"\x00"):
                cells[record.key.decode()] = record.value.decode()
        return cells

    def _unread(self) -> bool:
        for number in range(PARTITIONS):
            journal = self.of("ledger-journal", number)
            last = json.loads(journal[-1].value) if journal else {"usage": [0, 0], "commands": [0, 0]}
            for name, topic in (("usage", "usage-events"), ("commands", "account-commands")):
                place = self.settings.topic(topic), number
                seen = [record.offset for record in self.records[place][-1:]]
                if max([*seen, self._sent.get(place, -1)]) >= last[name][1]:
                    return True
        return False

    # What must have come out.

    def check(self, *, period_micros: int = 0) -> None:
        """Everything that came out is what a plain recomputation along the journal gives, once each and in order."""
        for number in range(PARTITIONS):
            self._check_journal(number)
            self._check_clocks(number)
            lines, totals = self._recomputed(number, period_micros)
            assert self.partition_lines(number) == lines
            in_state = {k.removeprefix("total/"): int(v) for k, v in self.cells(number).items() if k[:6] == "total/"}
            assert in_state == totals

    def check_without_journal(self) -> None:
        """The same where neither commands nor time matter: the log of usage alone decides."""
        for number in range(PARTITIONS):
            naive = Naive(number)
            for record in self.of("usage-events", number):
                naive.usage(record)
            assert self.partition_lines(number) == naive.lines

    def merged_lines(self, number: int, period_micros: int, end_micros: int) -> list[str]:
        """What replay must give, from the two inputs alone: merged by arrival, a command before usage (R44)."""
        naive = Naive(number, period_micros)
        records = [*self.of("account-commands", number), *self.of("usage-events", number)]
        for record in sorted((record for record in records if record.value), key=arrival_micros):
            naive.advance(arrival_micros(record))
            (naive.usage if record.topic.endswith("usage-events") else naive.command)(record)
        naive.advance(end_micros)
        return naive.lines

    def _check_journal(self, number: int) -> None:
        """Without a gap, without an overlap, never back in time."""
        before: dict[str, Any] = {"seq": 0, "usage": [0, 0], "commands": [0, 0], "now_micros": 0}
        for entry in self.journal(number):
            assert entry["seq"] == before["seq"] + 1
            assert entry["usage"][0] == before["usage"][1] <= entry["usage"][1]
            assert entry["commands"][0] == before["commands"][1] <= entry["commands"][1]
            assert entry["now_micros"] >= before["now_micros"]
            if entry["kind"] == "idle":
                assert (entry["usage"][1], entry["commands"][1]) == (before["usage"][1], before["commands"][1])
            before = entry

    def _check_clocks(self, number: int) -> None:
        """Each is there once and rises; the last ones may not be in sight on both topics yet."""
        clocks = self.clocks(number)
        told = [entry["now_micros"] for entry in self.journal(number) if entry["kind"] == "idle"]
        both = min(len(clocks), len(told))
        assert clocks[:both] == told[:both]
        assert clocks == sorted(set(clocks))

    def _recomputed(self, number: int, period_micros: int) -> tuple[list[str], dict[str, int]]:
        naive = Naive(number, period_micros)
        for entry in self.journal(number):
            naive.quarantined = {tuple(place) for place in entry["quarantined"]}
            taken = [
                (name, record)
                for name, topic in (("commands", "account-commands"), ("usage", "usage-events"))
                for record in self.of(topic, number)
                if entry[name][0] <= record.offset < entry[name][1]
            ]
            if self.settings.mode == "replay":
                taken.sort(key=lambda pair: arrival_micros(pair[1]))  # stable: a command before usage, then offset
            if entry["kind"] == "due":
                assert not any(record.value for _, record in taken)  # ticks at most
                naive.advance(entry["now_micros"])
            for name, record in taken:
                (naive.command if name == "commands" else naive.usage)(record)
        return naive.lines, naive.totals


class Naive:
    """The toy's rules once more, as plainly as can be."""

    def __init__(self, number: int, period_micros: int = 0) -> None:
        self.number = number
        self.period_micros = period_micros
        self.lines: list[str] = []
        self.totals: dict[str, int] = {}
        self.multipliers: dict[str, int] = {}
        self.seen: set[str] = set()
        self.period: tuple[int, int] | None = None
        self.quarantined: set[tuple[Any, ...]] = set()

    def command(self, record: Any) -> None:
        for line in record.value.decode().splitlines():
            key, multiplier = line.split()
            if partition_of(key.encode(), PARTITIONS) == self.number:
                self.multipliers[key] = int(multiplier)

    def usage(self, record: Any) -> None:
        for index, line in enumerate(record.value.decode().splitlines()):
            key, name, amount = line.split()
            if partition_of(key.encode(), PARTITIONS) != self.number:
                continue
            if ("usage", record.offset, index) in self.quarantined:
                self.lines.append(f"internal_error {line}")
            elif name not in self.seen:
                self.seen.add(name)
                self.totals[key] = self.totals.get(key, 0) + int(amount) * self.multipliers.get(key, 1)
                self.lines.append(f"{key} {name} {self.totals[key]}")
                self._count(arrival_micros(record))

    def advance(self, now_micros: int) -> None:
        if self.period and self.period[0] <= now_micros:
            self.lines.append(f"closed {self.period[0]} {self.period[1]}")
            self.period = None

    def _count(self, arrived_micros: int) -> None:
        if self.period_micros:
            end, count = self.period or ((arrived_micros // self.period_micros + 1) * self.period_micros, 0)
            self.period = (end, count + 1)


async def make_topics(settings: EngineSettings, partitions: int, configs: Mapping[str, Mapping[str, str]]) -> None:
    timestamps = "LogAppendTime" if settings.mode == "live" else "CreateTime"
    admin = AIOKafkaAdminClient(**settings.kafka)
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(
                    topic,
                    partitions,
                    1,
                    topic_configs=_config(settings.mode, timestamps)
                    | dict(configs.get(topic.removeprefix(settings.prefix), {})),
                )
                for topic in settings.all_topics
            ]
        )
        while not set(settings.all_topics) <= set(await admin.list_topics()):  # noqa: ASYNC110  # only Kafka knows
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def _config(mode: Mode, timestamps: str) -> dict[str, str]:
    config = {"message.timestamp.type": timestamps, "retention.ms": "-1", "compression.type": "uncompressed"}
    if mode == "replay":
        config |= {f"message.timestamp.{side}.max.ms": str(2**63 - 1) for side in ("before", "after")}
    return config


@asynccontextmanager
async def cluster(
    settings: EngineSettings, configs: Mapping[str, Mapping[str, str]] | None = None
) -> AsyncIterator[Cluster]:
    made = Cluster(settings)
    try:
        await made.start(configs=configs)
        yield made
    finally:
        await made.stop()
