"""The stand: a broker comes in; topics filled with a job go out, and what a contender made of them is read back."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from urllib.request import urlopen

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.job import Job
from pipeline.embedded.ports import free_port
from pipeline.engine.partitioning import partition_of
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LEDGER_JOURNAL, LEDGER_STATE, USAGE_EVENTS
from pipeline.topics_admin import create_topics
from sinks.clickhouse import ClickHouse
from sinks.errors import Away, Broken

_BATCH_BYTES = 200_000
_STALLS = re.compile(r'^event_loop_stall_seconds_bucket\{le="(\S+)"\} (\S+)$', re.MULTILINE)
_STAGES = re.compile(
    r'^(?:ledger_stage_seconds_total\{stage="(\w+)"\}|sink_(insert)_seconds_sum\{.*\}) (\S+)$', re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: events of the measured span, how long that took, and when it began, in seconds on the wall.

    Attributes:
        stages: microseconds an event, of each stage, by the processes' own account; fetch and commit wait for Kafka.
    """

    events: int
    seconds: float
    began: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


async def fill(settings: Settings, job: Job) -> None:
    """Create the topics and preload the job."""
    await create_topics(settings)
    await produce(settings, ACCOUNT_COMMANDS.name, job.commands())
    await produce(settings, USAGE_EVENTS.name, job.records())


async def produce(
    settings: Settings, topic: str, records: Iterable[tuple[str, bytes]], at_micros: int | None = None
) -> None:
    """Send all, in large batches, each to its organisation's partition; in replay mode all arrive at one instant."""
    at_ms = None if at_micros is None else at_micros // 1_000
    producer = AIOKafkaProducer(**settings.kafka(), acks="all", max_batch_size=2 * _BATCH_BYTES)
    await producer.start()
    batches = {number: producer.create_batch() for number in range(settings.partitions)}
    sizes = dict.fromkeys(batches, 0)
    homes: dict[str, int] = {}

    async def send(number: int) -> None:
        if batches[number].record_count():
            await (await producer.send_batch(batches[number], settings.topic_prefix + topic, partition=number))
        batches[number], sizes[number] = producer.create_batch(), 0

    try:
        for org_id, value in records:
            number = homes.get(org_id)
            if number is None:
                number = homes[org_id] = partition_of(org_id.encode(), settings.partitions)
            batches[number].append(key=org_id.encode(), value=value, timestamp=at_ms)
            sizes[number] += len(value)
            if sizes[number] > _BATCH_BYTES:
                await send(number)
        for number in batches:
            await send(number)
    finally:
        await producer.stop()


class Worker:
    """A ledger worker, or another of our processes, as a process of its own."""

    def __init__(self, settings: Settings, log: Path | None = None, name: str = "ledger") -> None:
        self.name = name
        self._metrics_port = free_port()
        environment = os.environ | {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "TOPIC_PREFIX": settings.topic_prefix,
            "PARTITIONS": str(settings.partitions),
            "DATA_DIR": str(settings.data_dir),
            "MODE": settings.mode,
            "CLICKHOUSE_URL": settings.clickhouse_url,
            "CLICKHOUSE_DATABASE": settings.clickhouse_database,
            "METRICS_PORT": str(self._metrics_port),
        }
        with (log or Path(os.devnull)).open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", name],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def check(self) -> None:
        """Nothing, while it runs.

        Raises:
            RuntimeError: it has ended.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"the {self.name} ended with {self.process.returncode}")

    def stages(self) -> dict[str, float]:
        """Where its time went until now, in seconds."""
        spent: dict[str, float] = {}
        for ledger_stage, sink_stage, seconds in _STAGES.findall(self._metrics()):
            stage = ledger_stage or sink_stage
            spent[stage] = spent.get(stage, 0.0) + float(seconds)
        return spent

    def stalls(self) -> dict[float, int]:
        """How often its event loop was looked at that came round at most so many seconds late."""
        return {float(seconds): int(float(count)) for seconds, count in _STALLS.findall(self._metrics())}

    def _metrics(self) -> str:
        with urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics") as answer:
            said: str = answer.read().decode()
        return said

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


async def watch_ledger(settings: Settings, events: int, *workers: Worker) -> Measured:
    """Wait until the journal says that so many usage records are read.

    The span runs from the first transaction with usage (its events do not count) to the last, by the broker's clock.
    """
    consumer = AIOKafkaConsumer(**settings.kafka(), isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    try:
        topic = settings.topic_prefix + LEDGER_JOURNAL.name
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        read = first_events = 0
        first_ms = last_ms = 0
        while read < events:
            for worker in workers:
                worker.check()
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    begin, end = json.loads(record.value)["usage"]
                    if end == begin:
                        continue
                    read += end - begin
                    if not first_ms or record.timestamp < first_ms:
                        first_ms, first_events = record.timestamp, end - begin
                    last_ms = max(last_ms, record.timestamp)
        return Measured(events - first_events, (last_ms - first_ms) / 1_000, first_ms / 1_000)
    finally:
        await consumer.stop()


async def check_ledger(settings: Settings, job: Job) -> None:
    """Hold the ledger's cells against the oracle.

    Raises:
        AssertionError: naming the first difference.
    """
    consumer = AIOKafkaConsumer(**settings.kafka(), isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    spend: dict[str, int] = {}
    accepted: dict[int, int] = {}
    try:
        places = [
            TopicPartition(settings.topic_prefix + LEDGER_STATE.name, number) for number in range(settings.partitions)
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    if record.key.startswith(b"\x00"):
                        continue
                    cell = json.loads(record.value)
                    if cell["cell"] == "organization_month":
                        spend[cell["org_id"]] = int(cell.get("spend_picousd", "0"))
                    elif cell["cell"] == "counters":
                        accepted[place.partition] = cell.get("accepted", 0)
    finally:
        await consumer.stop()
    assert sum(accepted.values()) == job.accepted, f"{sum(accepted.values())} accepted, {job.accepted} are right"
    for org_id, right in job.spend_picousd.items():
        assert spend.get(org_id) == right, f"{org_id}: {spend.get(org_id)} picodollars, {right} are right"


async def bare(settings: Settings, events: int) -> Measured:
    """The least any consumer does: fetch with aiokafka's getmany, decode to a typed struct; nothing is kept."""
    from pipeline.agents.decoding import decode_typed

    consumer = AIOKafkaConsumer(
        **settings.kafka(),
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=512 << 10,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        topic = settings.topic_prefix + USAGE_EVENTS.name
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        read, started = 0, 0.0
        while read < events:
            for records in (await consumer.getmany(timeout_ms=200, max_records=5_000)).values():
                started = started or time.perf_counter()
                for record in records:
                    decode_typed(record.value)
                read += len(records)
        return Measured(read, time.perf_counter() - started)
    finally:
        await consumer.stop()


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Of values that are sorted; there is at least one."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def in_process(coroutine: str, settings: Settings, events: int) -> Measured:
    """Run a contender of this module in a process of its own, as a worker is."""
    script = (
        f"import asyncio; from benchmarks import stand; from pipeline.settings import Settings; "
        f"m = asyncio.run(stand.{coroutine}(Settings(), {events})); print(m.events, m.seconds)"
    )
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "TOPIC_PREFIX": settings.topic_prefix,
        "PARTITIONS": str(settings.partitions),
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    measured, seconds = done.stdout.split()
    return Measured(int(measured), float(seconds))


def run_once(settings: Settings, job: Job) -> tuple[Measured, Measured]:
    """One interleaved run on fresh topics: bare fetch and decode, then the ledger, its result checked."""
    asyncio.run(fill(settings, job))
    return in_process("bare", settings, job.events), _ledger(settings, job)


def run_ledger(settings: Settings, job: Job, workers: int = 1) -> Measured:
    """The ledger alone on fresh topics, its result checked."""
    asyncio.run(fill(settings, job))
    return _ledger(settings, job, workers)


def run_path(settings: Settings, job: Job) -> tuple[Measured, Measured]:
    """Ledger and sink side by side on fresh topics, checked: until all is priced, and until all rows are stored."""
    asyncio.run(fill(settings, job))
    running = [Worker(settings, name=name) for name in ("sink", "ledger")]
    try:
        priced, stored_at = asyncio.run(_watch_path(settings, job, running))
        stages = _stages(running, job)
    finally:
        for worker in running:
            worker.stop()
    asyncio.run(check_ledger(settings, job))
    return priced, Measured(priced.events, stored_at - priced.began, stages=stages)


async def _watch_path(settings: Settings, job: Job, running: Sequence[Worker]) -> tuple[Measured, float]:
    priced, stored_at = await asyncio.gather(
        watch_ledger(settings, job.events, *running), _watch_rows(settings, job, running)
    )
    return priced, stored_at


async def _watch_rows(settings: Settings, job: Job, running: Sequence[Worker]) -> float:
    """When all rows were there; their sum is right."""
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database)
    try:
        while True:
            for worker in running:
                worker.check()
            with suppress(Away, Broken):  # no database, no table yet
                if await clickhouse.rows("SELECT count() FROM priced_usage") >= [(job.accepted,)]:
                    break
            await asyncio.sleep(0.05)
        now = time.time()
        spend = dict(await clickhouse.rows("SELECT org_id, sum(cost_usd) FROM priced_usage GROUP BY org_id"))
    finally:
        await clickhouse.close()
    right = {org_id: Decimal(picousd).scaleb(-12) for org_id, picousd in job.spend_picousd.items()}
    assert spend == right, "ClickHouse does not hold what was used"
    return now


def _ledger(settings: Settings, job: Job, workers: int = 1) -> Measured:
    running = [Worker(settings) for _ in range(workers)]
    try:
        measured = asyncio.run(watch_ledger(settings, job.events, *running))
        stages = _stages(running, job)
    finally:
        for worker in running:
            worker.stop()
    asyncio.run(check_ledger(settings, job))
    return replace(measured, stages=stages)


def _stages(running: Sequence[Worker], job: Job) -> dict[str, float]:
    spent: dict[str, float] = {}
    for worker in running:
        for stage, seconds in worker.stages().items():
            spent[stage] = spent.get(stage, 0.0) + seconds / job.events * 1e6
    return spent
