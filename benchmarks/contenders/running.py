"""Running contenders: a Kafka, a name and a job come in; events per second, checked by the oracle, go out.

All are measured from outside and alike, ours too: from the first rows in the output topic to the last, by the broker's
clock. Nothing is read while they work; only the ends of the topic are asked for.
"""

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from benchmarks.contenders import CONTENDERS
from benchmarks.job import Job
from benchmarks.stand import Measured, Worker, check_ledger
from pipeline.settings import Settings
from pipeline.topics import LIMIT_BREACHES, PRICED_USAGE, Topic

ROOT = Path(__file__).parents[2]
OURS = "usage-credits"
_POLL_SECONDS = 0.25
_QUIET_SECONDS = 2.0
_PATIENCE_SECONDS = 90.0
_decode = msgspec.json.Decoder().decode


class Failed(Exception):
    """A contender ended, stood still or gave a wrong answer; the message says which."""


@dataclass(slots=True)
class Answer:
    """What lies in a contender's output topics.

    Attributes:
        totals: month to date as rows state it, by scope; empty if rows do not.
        breaches: (org_id, event that reached the limit), how often.
        at_ms: how many rows came at each millisecond of the broker's clock.
    """

    rows: int = 0
    spend_picousd: Counter[str] = field(default_factory=Counter)
    totals: dict[Any, int] = field(default_factory=dict)
    breaches: Counter[tuple[str, str]] = field(default_factory=Counter)
    at_ms: Counter[int] = field(default_factory=Counter)


def python_of(name: str) -> Path:
    """The interpreter that has the contender's framework."""
    return ROOT / CONTENDERS[name].environment / "bin" / "python"


def run_contender(name: str, settings: Settings, job: Job) -> Measured:
    """One contender on a topic that is filled.

    Raises:
        Failed: see there.
    """
    output = f"{settings.topic_prefix}{name}."
    log = settings.data_dir / f"{output}log"
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "TOPIC_PREFIX": settings.topic_prefix,
        "PARTITIONS": str(settings.partitions),
        "DATA_DIR": str(settings.data_dir / output),
        "OUTPUT_PREFIX": output,
    }
    (settings.data_dir / output).mkdir()
    asyncio.run(_create(settings, output))
    command = [str(python_of(name)), "-m", "benchmarks.contenders", name]
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    try:
        answer = asyncio.run(_answer(settings, output, job, process))
    except Failed as error:
        raise Failed(f"{name}: {error}; it said: {log.read_text()[-1500:]}") from None
    finally:
        _stop(process)
    _check(name, answer, job)
    return _measured(answer)


def run_ours(settings: Settings, job: Job) -> Measured:
    """The ledger on the same topic, measured in the same way.

    Raises:
        Failed: see there.
    """
    worker = Worker(settings)
    try:
        answer = asyncio.run(_answer(settings, settings.topic_prefix, job, worker.process))
    finally:
        worker.stop()
    _check(OURS, answer, job)
    asyncio.run(check_ledger(settings, job))
    return _measured(answer)


async def _create(settings: Settings, output: str) -> None:
    """Output topics, as ours are."""
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(output + topic.name, settings.partitions, 1, topic_configs=topic.config("live"))
                for topic in (PRICED_USAGE, LIMIT_BREACHES)
            ]
        )
    finally:
        await admin.close()


async def _answer(settings: Settings, output: str, job: Job, process: subprocess.Popen[bytes]) -> Answer:
    """Wait until rows come no more and all are there."""
    ended, looked_at, moved_at = 0, 0, time.monotonic()
    # Uncommitted rows count as movement, so that nothing is read while a transaction is long.
    async with _reader(settings, output + PRICED_USAGE.name, "read_uncommitted") as (consumer, places):
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            end = sum((await consumer.end_offsets(places)).values())
            quiet = time.monotonic() - moved_at
            if end != ended:
                ended, moved_at = end, time.monotonic()
            elif ended != looked_at and quiet >= _QUIET_SECONDS:
                looked_at = ended
                answer = await _read(settings, output)
                if answer.rows >= job.accepted:
                    return answer
            elif quiet > _PATIENCE_SECONDS:
                rows = (await _read(settings, output)).rows
                raise Failed(f"{rows} rows after {_PATIENCE_SECONDS:.0f} quiet seconds, {job.accepted} are right")
            elif process.poll() is not None:
                raise Failed(f"it ended with {process.returncode}")


async def _read(settings: Settings, output: str) -> Answer:
    answer = Answer()
    await _read_topic(settings, output, PRICED_USAGE, lambda record: _note_rows(answer, record))
    await _read_topic(settings, output, LIMIT_BREACHES, lambda record: _note_breach(answer, record))
    return answer


def _note_rows(answer: Answer, record: ConsumerRecord) -> None:
    for line in record.value.splitlines():
        row = _decode(line)
        org_id = row["org_id"]
        answer.rows += 1
        answer.spend_picousd[org_id] += int(row["cost_picousd"])
        answer.at_ms[record.timestamp] += 1
        if stated := row.get("month_to_date_picousd"):
            scopes = (org_id, (org_id, row["seat_tier"]), row["user_id"])
            for scope, total in zip(scopes, map(int, stated), strict=True):
                answer.totals[scope] = max(total, answer.totals.get(scope, 0))


def _note_breach(answer: Answer, record: ConsumerRecord) -> None:
    event = _decode(record.value)
    if event.get("type", "usage-credits.limit.breached") == "usage-credits.limit.breached":
        data = event.get("data", event)
        answer.breaches[data["org_id"], data["crossing"]["event_id"]] += 1


async def _read_topic(settings: Settings, output: str, topic: Topic, note: Callable[[ConsumerRecord], None]) -> None:
    async with _reader(settings, output + topic.name) as (consumer, places):
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    note(record)


@asynccontextmanager
async def _reader(
    settings: Settings, topic: str, isolation_level: str = "read_committed"
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    consumer = AIOKafkaConsumer(**settings.kafka(), isolation_level=isolation_level, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(places)
        yield consumer, places
    finally:
        await consumer.stop()


def _check(name: str, answer: Answer, job: Job) -> None:
    """Hold an answer against the oracle."""
    for what, found, right in (
        ("accepted", answer.rows, job.accepted),
        ("spend", dict(answer.spend_picousd), job.spend_picousd),
        ("breaches", answer.breaches, Counter(job.breaches.items())),
    ):
        if found != right:
            raise Failed(f"{name}: {what}: {found!r:.300}, right is {right!r:.300}")
    right_totals: dict[Any, int] = {**job.spend_picousd, **job.tier_spend_picousd, **job.member_spend_picousd}
    if answer.totals and answer.totals != right_totals:
        wrong = next(scope for scope, right in right_totals.items() if answer.totals.get(scope) != right)
        raise Failed(f"{name}: {wrong}: {answer.totals.get(wrong)} picodollars, {right_totals[wrong]} are right")


def _measured(answer: Answer) -> Measured:
    """Rows after the first ones (they opened the span), and how long they took."""
    first_ms, last_ms = min(answer.at_ms), max(answer.at_ms)
    return Measured(answer.rows - answer.at_ms[first_ms], max(last_ms - first_ms, 1) / 1_000)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Killed: none is asked what it would do in an orderly end."""
    process.kill()
    process.wait(timeout=30)


def versions() -> dict[str, str | None]:
    """Of each contender's package in its own environment; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name, contender in CONTENDERS.items():
        script = f"from importlib.metadata import version; print(version({contender.distribution!r}))"
        try:
            done = subprocess.run([python_of(name), "-c", script], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            found[name] = None
        else:
            found[name] = done.stdout.strip()
    return found
