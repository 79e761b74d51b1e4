"""`python -m benchmarks latency`: usage at a steady rate comes in; how long it takes to have its effects goes out.

Every member has a spend limit that one of their events reaches, known beforehand: so breaches and refusals are spread
over the whole run, and each is checked. Latencies run from the moment an event is handed to its producer. The producer
is a process of its own; who watches reads committed records only.
"""

import asyncio
import itertools
import json
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.job import Job
from benchmarks.stand import Worker, percentile, produce
from client.admission import LocalCopy
from pipeline.demo.reading import ledger_has_read_everything
from pipeline.engine.partitioning import partition_of
from pipeline.reading import consumer, places
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, CREDIT_STATUS, LIMIT_BREACHES, USAGE_EVENTS
from pipeline.topics_admin import create_topics
from schemas.instants import MICROS_PER_SECOND, format_instant
from schemas.status_copy import StatusCopy
from sinks.clickhouse import ClickHouse

_BATCH_SECONDS = 0.005
_WARM_UP_SECONDS = 5.0
_SETTLE_SECONDS = 8.0
_LOOK_AT_ROWS_SECONDS = 0.1
_ROWS_STEP_MICROS = 10_000
_CENT_TOKENS = 10_000  # of Haiku 4.5's input: one cent
_HOT = 0
"""The organisation that may have most of the load."""

_ARRIVED = """
SELECT input_partition, toUnixTimestamp64Micro(max(arrived_at)) FROM priced_usage GROUP BY input_partition
"""


Curve = list[tuple[float, float]]


class Load(NamedTuple):
    """How much usage of whom; `hot_percent` of it is one organisation's, the rest anybody's."""

    rate: int
    seconds: int
    organizations: int
    members: int
    hot_percent: int = 0

    @property
    def events(self) -> int:
        return self.rate * self.seconds

    def whose(self) -> Iterator[int]:
        """The member of each event, the same for all who ask."""
        chance = random.Random(1)
        hot = self.hot_percent / 100
        for _ in range(self.events):
            if chance.random() < hot:
                yield chance.randrange(_HOT, self.members, self.organizations)
            else:
                yield chance.randrange(self.members)

    def crossings(self) -> dict[int, int]:
        """Of every member who uses something, which of their events reaches their limit, from 1."""
        chance = random.Random(2)
        return {member: chance.randint(1, count) for member, count in sorted(Counter(self.whose()).items())}

    def org_id(self, member: int) -> str:
        """Where a member belongs, as Job has it."""
        return f"org-{member % self.organizations:05d}"


@dataclass(slots=True)
class Seen:
    """When what became known, in seconds on the wall.

    Attributes:
        breaches: by user, when it was readable, and the event that crossed.
        denied: by user, when the local copy first said no.
        rows: how old usage was when it was first found in ClickHouse, in seconds, in equal steps of arrivals.
    """

    breaches: dict[str, tuple[float, str]] = field(default_factory=dict)
    denied: dict[str, float] = field(default_factory=dict)
    rows: list[float] = field(default_factory=list)


class WatchedCopy(StatusCopy):
    """A local copy that notes when it first denies a member."""

    def __init__(self, denied: dict[str, float]) -> None:
        super().__init__()
        self._denied = denied

    def take(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take one record in; ask about the member it is of, as a product would."""
        super().take(partition, key, value)
        if key.startswith(b'["member"'):
            _, org_id, user_id = json.loads(key)
            if user_id not in self._denied:
                now = time.time()
                if not self.decide(org_id, user_id, int(now * MICROS_PER_SECOND)).allowed:
                    self._denied[user_id] = now


async def measure(settings: Settings, load: Load, *, with_sink: bool = False) -> Curve:
    """Print latencies of one run; with a sink, also until rows are in ClickHouse.

    Returns:
        Of breaches, milliseconds by percentile.

    Raises:
        AssertionError: a breach is missing, or was caused by another event.
    """
    crossings = load.crossings()
    await fill(settings, load, crossings)
    workers = [Worker(settings, name=name) for name in (("ledger", "sink") if with_sink else ("ledger",))]
    seen = Seen()
    try:
        await ledger_has_read_everything(settings, lambda _read, _there: None, lambda: _check_run(workers))
        async with _watched(settings, seen, with_rows=with_sink):
            generator = multiprocessing.get_context("spawn").Process(target=generate, args=(settings, load))
            generator.start()
            await asyncio.to_thread(generator.join)
            await asyncio.sleep(_SETTLE_SECONDS)
            _check_run(workers)
    finally:
        for worker in workers:
            worker.stop()
    _check(seen, crossings)
    return _print(seen, load, with_rows=with_sink)


# What is used.


async def fill(settings: Settings, load: Load, crossings: dict[int, int]) -> None:
    """Create the topics; organisations, and members whose limits lie where their usage will cross them."""
    await create_topics(settings)
    job = Job(0, load.organizations, load.members)
    commands = ((org_id, value) for org_id, value in job.commands() if b"set_organization_limit" not in value)
    limits = ((load.org_id(member), _limit(load, member, cents)) for member, cents in crossings.items())
    await produce(settings, ACCOUNT_COMMANDS.name, itertools.chain(commands, limits))


def _limit(load: Load, member: int, cents: int) -> bytes:
    command = {
        "command_id": f"limit-{member}",
        "org_id": load.org_id(member),
        "command": "set_user_limit",
        "user_id": f"user-{member:07d}",
        "limit_usd": f"{cents // 100}.{cents % 100:02d}",
        "actor": {"kind": "user", "id": f"owner-{member % load.organizations:05d}", "scopes": []},
    }
    return json.dumps(command).encode()


def generate(settings: Settings, load: Load) -> None:
    """Produce all usage, each event at its time; to be run in a process of its own."""
    asyncio.run(_send(settings, load))


async def _send(settings: Settings, load: Load) -> None:
    """Produce all events, each at its time; what is late is sent at once. An event's id says when it was produced."""
    topic = settings.topic_prefix + USAGE_EVENTS.name
    members = list(load.whose())
    homes = [partition_of(load.org_id(n).encode(), settings.partitions) for n in range(load.organizations)]
    producer = AIOKafkaProducer(**settings.kafka(), acks="all", enable_idempotence=True)
    await producer.start()
    sent: list[Any] = []
    try:
        began, number = time.time(), 0
        while number < load.events:
            now = time.time()
            due = min(load.events, int((now - began) * load.rate))
            batches: dict[int, Any] = {}
            while number < due:
                member = members[number]
                home = homes[member % load.organizations]
                batch = batches.get(home)
                if batch is None:
                    batch = batches[home] = producer.create_batch()
                key = load.org_id(member).encode()
                value = _event(load, member, f"{number}-{int(now * MICROS_PER_SECOND)}", now)
                if batch.append(key=key, value=value, timestamp=None) is None:
                    break  # it is full; this one is the first of the next
                number += 1
            sent += [await producer.send_batch(batch, topic, partition=home) for home, batch in batches.items()]
            await asyncio.sleep(_BATCH_SECONDS)
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _event(load: Load, member: int, event_id: str, now: float) -> bytes:
    return (
        f'{{"org_id":"{load.org_id(member)}","user_id":"user-{member:07d}","event_id":"{event_id}",'
        f'"source":"claude-code","product":"claude_code","model":"claude-haiku-4-5",'
        f'"occurred_at":"{format_instant(int(now * MICROS_PER_SECOND))}","funding":"credits",'
        f'"input_tokens":{_CENT_TOKENS},"output_tokens":0,"cache_read_tokens":0,"cache_write_5m_tokens":0}}'
    ).encode()


# What is seen.


@asynccontextmanager
async def _watched(settings: Settings, seen: Seen, *, with_rows: bool) -> AsyncIterator[None]:
    local = LocalCopy(settings.kafka(), settings.topic_prefix + CREDIT_STATUS.name)
    local.follower.copy = WatchedCopy(seen.denied)
    async with local:
        await local.follower.whole()
        tasks = [asyncio.create_task(_see_breaches(settings, seen))]
        if with_rows:
            tasks.append(asyncio.create_task(_see_rows(settings, seen)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for problem in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(problem, Exception):
                    raise problem


async def _see_breaches(settings: Settings, seen: Seen) -> None:
    async with consumer(settings, "read_committed") as reader:
        reader.assign(places(settings, [LIMIT_BREACHES.name], range(settings.partitions)))
        while True:
            for records in (await reader.getmany(timeout_ms=1_000)).values():
                now = time.time()
                for record in records:
                    said = json.loads(record.value)["data"]
                    seen.breaches[said["scope"]["user_id"]] = now, said["crossing"]["event_id"]


async def _see_rows(settings: Settings, seen: Seen) -> None:
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database)
    found: dict[int, int] = {}
    try:
        while True:
            rows = await clickhouse.rows(_ARRIVED)
            now = time.time()
            for partition, arrived_micros in rows:
                before = found.get(partition, arrived_micros)
                seen.rows += [now - at / MICROS_PER_SECOND for at in range(arrived_micros, before, -_ROWS_STEP_MICROS)]
                found[partition] = arrived_micros
            await asyncio.sleep(_LOOK_AT_ROWS_SECONDS)
    finally:
        await clickhouse.close()


# What it says.


def _check(seen: Seen, crossings: dict[int, int]) -> None:
    users = {f"user-{member:07d}" for member in crossings}
    assert set(seen.breaches) == users, f"{len(seen.breaches):,} breaches, {len(users):,} are right"
    assert set(seen.denied) >= users, f"{len(seen.denied):,} are denied, {len(users):,} are right"


def _print(seen: Seen, load: Load, *, with_rows: bool) -> Curve:
    crossing = load.crossings()
    used: Counter[int] = Counter()
    right = {}
    for number, member in enumerate(load.whose()):
        used[member] += 1
        if used[member] == crossing[member]:
            right[f"user-{member:07d}"] = number
    breach: dict[bool, list[float]] = {True: [], False: []}
    decision: dict[bool, list[float]] = {True: [], False: []}
    for user_id, (readable, event_id) in seen.breaches.items():
        number, produced_micros = map(int, event_id.split("-"))
        assert number == right[user_id], f"{user_id}: event {number} crossed, {right[user_id]} is right"
        if number < _WARM_UP_SECONDS * load.rate:
            continue
        is_hot = bool(load.hot_percent) and int(user_id[5:]) % load.organizations == _HOT
        breach[is_hot].append(readable - produced_micros / MICROS_PER_SECOND)
        decision[is_hot].append(seen.denied[user_id] - produced_micros / MICROS_PER_SECOND)
    print(f"{load.rate:,} events/s for {load.seconds} s, {len(right):,} breaches, each by the right event", flush=True)
    whose = {False: "", True: f" (organisation with {load.hot_percent} % of the load)"}
    for is_hot in (False, True)[: 1 + bool(load.hot_percent)]:
        _line(f"breach readable{whose[is_hot]}", breach[is_hot])
        _line(f"denied by a local copy{whose[is_hot]}", decision[is_hot])
    if with_rows:
        _line("row in ClickHouse", seen.rows)
    ordered = sorted(1_000 * one for one in itertools.chain(*breach.values()))
    return [(percent, percentile(ordered, percent)) for percent in range(100)]


def _line(what: str, seconds: Sequence[float]) -> None:
    ordered = sorted(1_000 * one for one in seconds)
    p50, p99 = percentile(ordered, 50), percentile(ordered, 99)
    print(f"  {what:64} p50 {p50:6.0f} ms   p99 {p99:6.0f} ms   longest {ordered[-1]:6.0f} ms", flush=True)


def _check_run(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.check()
