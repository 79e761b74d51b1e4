"""`python -m benchmarks month-end`: many organisations billed at once while usage goes on; a size in, seconds out.

Records bear times of our own (replay mode), so that a month's end and the end of its days of grace can be crossed;
between the two time jumps, else it goes as fast as on the wall. Usage comes in small batches, and ticks ten times a
second: a record waits for the next tick, up to 100 ms, which live usage does not. What the drafts and invoices say is
added up anew from the usage that was sent.
"""

import asyncio
import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.job import PRICES, Job
from benchmarks.stand import Worker, percentile, produce
from pipeline.demo.reading import ledger_has_read_everything
from pipeline.domain.rules import Rules
from pipeline.engine.partitioning import partition_of
from pipeline.engine.ticks import write_ticks
from pipeline.reading import consumer, places
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, INPUTS, INVOICES, PRICED_USAGE, USAGE_EVENTS
from pipeline.topics_admin import create_topics
from schemas.instants import MICROS_PER_SECOND, format_instant, parse_instant

_ENDS_MICROS = parse_instant("2026-06-01T00:00:00Z")
_CLOSES_MICROS = _ENDS_MICROS + Rules().grace_micros
_BEGINS_MICROS = parse_instant("2026-05-31T12:00:00Z")
_WARM_UP_SECONDS = 5.0
_BEFORE_SECONDS = 25.0
_AFTER_SECONDS = 10.0
_PATIENCE_SECONDS = 300.0
_BATCH_SECONDS = 0.02
_BATCHES_A_TICK = 5
_LATE_SHARE = 0.02
_PRODUCTS = ("chat", "claude_code", "cowork", "excel")
_MIXES = list(itertools.product(_PRODUCTS, PRICES.items()))
_FEWEST, _MOST = 3, 10
"""Pairs of product and model that an organisation uses: four lines of its invoice each."""

_ARRIVED = re.compile(rb'"arrived_at":"([^"]+)"')


class Size(NamedTuple):
    """How much there is of what; events a second."""

    organizations: int
    members: int
    rate: int


@dataclass(slots=True)
class Usage:
    """Makes usage events, and knows what each organisation's draft and invoice of the month are to say."""

    size: Size
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    drafted_picousd: Counter[str] = field(default_factory=Counter)
    invoiced_picousd: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def event(self, organization: int, mix: int, occurred_micros: int, arrives_micros: int) -> tuple[str, bytes]:
        """One of a member taken at random."""
        self.events += 1
        each = self.size.members // self.size.organizations
        org_id = f"org-{organization:05d}"
        user_id = f"user-{organization + self.chance.randrange(each) * self.size.organizations:07d}"
        product, (model, rates) = _MIXES[(organization + mix) % len(_MIXES)]
        tokens = [self.chance.randrange(1, most) for most in (4_000, 2_000, 90_000, 9_000)]
        if occurred_micros < _ENDS_MICROS:
            picousd = sum(map(int.__mul__, tokens, rates))
            self.invoiced_picousd[org_id] += picousd
            if arrives_micros < _ENDS_MICROS:
                self.drafted_picousd[org_id] += picousd
        value = (
            f'{{"org_id":"{org_id}","user_id":"{user_id}","event_id":"req_{self.events:023d}","source":"claude-code",'
            f'"product":"{product}","model":"{model}","occurred_at":"{format_instant(occurred_micros)}",'
            f'"funding":"credits","input_tokens":{tokens[0]},"output_tokens":{tokens[1]},'
            f'"cache_read_tokens":{tokens[2]},"cache_write_5m_tokens":{tokens[3]}}}'
        )
        return org_id, value.encode()

    def of_the_month(self, at_micros: int) -> Iterator[tuple[str, bytes]]:
        """Something of everything that an organisation uses, for all of them."""
        for organization in range(self.size.organizations):
            for mix in range(_mixes_of(organization)):
                yield self.event(organization, mix, at_micros - mix * MICROS_PER_SECOND, at_micros)

    def now(self, now_micros: int) -> tuple[str, bytes]:
        """One more, of anybody; in the days of grace some was used before the month's end."""
        organization = self.chance.randrange(self.size.organizations)
        mix = self.chance.randrange(_mixes_of(organization))
        occurred_micros = now_micros
        if _ENDS_MICROS <= now_micros < _CLOSES_MICROS and self.chance.random() < _LATE_SHARE:
            occurred_micros = _ENDS_MICROS - MICROS_PER_SECOND
        return self.event(organization, mix, occurred_micros, now_micros)


class Flow:
    """Usage that arrives all the time, and a clock for it."""

    def __init__(self, settings: Settings, usage: Usage) -> None:
        self._settings = settings
        self._usage = usage
        self._ahead = 0.0
        self._latest_ms = 0  # the last arrival
        self._homes = {
            f"org-{number:05d}": partition_of(f"org-{number:05d}".encode(), settings.partitions)
            for number in range(usage.size.organizations)
        }

    def wall_of(self, micros: int) -> float:
        """When it is, or was, that instant on the wall."""
        return micros / 1e6 - self._ahead

    @asynccontextmanager
    async def during(self, begins_micros: int) -> AsyncIterator[None]:
        """It is this instant now; usage begins."""
        self._ahead = begins_micros / 1e6 - time.time()
        task = asyncio.create_task(self._send())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.tick(self._latest_ms + 1)

    async def tick(self, at_ms: int) -> None:
        """Nothing that arrived earlier will come."""
        producer = AIOKafkaProducer(**self._settings.kafka(), acks="all")
        await producer.start()
        try:
            inputs = [self._settings.topic_prefix + topic.name for topic in INPUTS]
            await write_ticks(producer, inputs, self._settings.partitions, at_ms * 1_000)
        finally:
            await producer.stop()

    async def _send(self) -> None:
        settings = self._settings
        topic, ticks = (settings.topic_prefix + name for name in (USAGE_EVENTS.name, ACCOUNT_COMMANDS.name))
        producer = AIOKafkaProducer(**settings.kafka(), acks="all", enable_idempotence=True, linger_ms=2)
        await producer.start()
        count = round(self._usage.size.rate * _BATCH_SECONDS)
        try:
            began = time.time()
            for batch in itertools.count(1):
                await asyncio.sleep(max(0.0, began + batch * _BATCH_SECONDS - time.time()))
                self._latest_ms = int((time.time() + self._ahead) * 1e3)
                for _ in range(count):
                    org_id, value = self._usage.now(self._latest_ms * 1_000)
                    await producer.send(
                        topic,
                        value,
                        key=org_id.encode(),
                        partition=self._homes[org_id],
                        timestamp_ms=self._latest_ms,
                    )
                if batch % _BATCHES_A_TICK == 0:
                    await write_ticks(producer, [ticks], settings.partitions, (self._latest_ms + 1) * 1_000)
        finally:
            await producer.stop()


class Seen:
    """What became readable, and when; looked at afterwards, so that looking takes nothing from who is measured."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, bytes]] = []
        self.invoices: list[tuple[float, bytes]] = []

    @asynccontextmanager
    async def of(self, settings: Settings) -> AsyncIterator[None]:
        """Follow what is committed."""
        followed = ((PRICED_USAGE.name, self.rows), (INVOICES.name, self.invoices))
        tasks = [asyncio.create_task(_follow(settings, name, to)) for name, to in followed]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def latencies_ms(self, begins: float, ends: float, flow: Flow) -> list[float]:
        """Of the usage that was produced in it, sorted: until its row was readable."""
        found = []
        for seen, lines in self.rows:
            for arrived in _ARRIVED.findall(lines):
                produced = flow.wall_of(parse_instant(arrived.decode()))
                if begins <= produced < ends:
                    found.append((seen - produced) * 1e3)
        return sorted(found)


async def measure(settings: Settings, size: Size) -> None:
    """Print what a month's end and the end of its grace took.

    Raises:
        AssertionError: something that was billed is not right.
    """
    usage, seen = Usage(size), Seen()
    flow = Flow(settings, usage)
    log = settings.data_dir / "worker.log"
    await _fill(settings, usage)
    worker = Worker(settings, log)
    try:
        began = time.monotonic()
        await flow.tick(_BEGINS_MICROS // 1_000 + 2)
        await _all_is_read(settings, worker)
        print(
            f"{size.organizations:,} organisations and {size.members:,} members with {usage.events:,} events, read in "
            f"{time.monotonic() - began:.0f} s; from now on {size.rate:,} events a second",
            flush=True,
        )
        async with seen.of(settings):
            drafts = await _cross(settings, flow, seen, _ENDS_MICROS, "drafted", worker, size)
            _check(drafts, usage.drafted_picousd)
            invoices = await _cross(settings, flow, seen, _CLOSES_MICROS, "finalized", worker, size)
            _check(invoices, usage.invoiced_picousd)
    finally:
        worker.stop()
    lines = sum(invoice["line_count"] for invoice in invoices)
    print(f"{len(drafts):,} drafts, {len(invoices):,} invoices of {lines:,} lines agree to the picodollar")


async def _fill(settings: Settings, usage: Usage) -> None:
    """Accounts, and usage of everything that each will have on its invoice."""
    job = Job(0, usage.size.organizations, usage.size.members)
    await create_topics(settings)
    commands = ((org_id, value) for org_id, value in job.commands() if b"set_organization_limit" not in value)
    await produce(settings, ACCOUNT_COMMANDS.name, commands, _BEGINS_MICROS)
    at_micros = _BEGINS_MICROS + 1_000
    await produce(settings, USAGE_EVENTS.name, usage.of_the_month(at_micros), at_micros)


async def _cross(
    settings: Settings, flow: Flow, seen: Seen, at_micros: int, what: str, worker: Worker, size: Size
) -> list[dict[str, Any]]:
    """Let usage flow before, across and after this instant; returns what was billed at it."""
    already = len(seen.invoices)
    async with flow.during(at_micros - round(_BEFORE_SECONDS * MICROS_PER_SECOND)):
        crossed = flow.wall_of(at_micros)
        async with asyncio.timeout(_BEFORE_SECONDS + _PATIENCE_SECONDS):
            while len(seen.invoices) < already + size.organizations:
                worker.check()
                await asyncio.sleep(0.1)
        done = seen.invoices[already + size.organizations - 1][0]
        await asyncio.sleep(_AFTER_SECONDS)
    await _all_is_read(settings, worker)
    print(f"all invoices {what} {done - crossed:.1f} s after the instant", flush=True)
    for name, begins, ends in (
        ("before", crossed - _BEFORE_SECONDS + _WARM_UP_SECONDS, crossed),
        ("meanwhile", crossed, done),
        ("after", done, done + _AFTER_SECONDS - 1.0),
    ):
        found = seen.latencies_ms(begins, ends, flow)
        print(
            f"  usage {name:9} {len(found):9,} events   p50 {percentile(found, 50):5.0f} ms   "
            f"p99 {percentile(found, 99):5.0f} ms   longest {found[-1]:5.0f} ms",
            flush=True,
        )
    return [json.loads(value)["data"] for _, value in seen.invoices[already:]]


async def _all_is_read(settings: Settings, worker: Worker) -> None:
    await ledger_has_read_everything(settings, lambda _read, _there: None, worker.check)


def _check(billed: list[dict[str, Any]], right_picousd: Counter[str]) -> None:
    found = {one["org_id"]: int(one["exact_picousd"]) for one in billed}
    assert len(billed) == len(found) == len(right_picousd), f"{len(billed)} of {len(found)}, {len(right_picousd)} owe"
    assert found == right_picousd, "what was billed is not what was used"
    for one in billed:
        amounts = sum(int(line["amount_picousd"]) for line in one["lines"])
        exact = sum(line["quantity"] * int(line["rate_picousd"]) for line in one["lines"])
        assert (exact, amounts) == (int(one["exact_picousd"]), int(one["total_picousd"])), one["org_id"]


async def _follow(settings: Settings, topic: str, to: list[tuple[float, bytes]]) -> None:
    async with consumer(settings, "read_committed") as reader:
        topics = places(settings, [topic], range(settings.partitions))
        reader.assign(topics)
        await reader.seek_to_end(*topics)
        while True:
            batches = await reader.getmany(timeout_ms=100)
            now = time.time()
            to += [(now, record.value) for records in batches.values() for record in records]


def _mixes_of(organization: int) -> int:
    return _FEWEST + organization % (_MOST - _FEWEST + 1)
