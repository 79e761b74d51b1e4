"""`python -m benchmarks footprint`: a steady load comes in; what an event leaves where, and what a transaction costs.

Bytes are those of the brokers' segments and of ClickHouse's parts. Latency of an event is from its arrival at the
broker to the transaction that has it, by the broker's clock; processor time is the worker's own.
"""

import asyncio
import json
import multiprocessing
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate import cpu_seconds
from benchmarks.job import Job
from benchmarks.latency import Load, fill, generate
from benchmarks.stand import Worker, percentile, run_path
from pipeline.demo.reading import ledger_has_read_everything
from pipeline.reading import consumer, places
from pipeline.settings import Settings
from pipeline.topics import LEDGER_JOURNAL, TOPICS, USAGE_EVENTS
from sinks.clickhouse import ClickHouse


@dataclass(frozen=True, slots=True)
class Cost:
    """What a worker did in a run."""

    events: int
    transactions: int
    cpu_seconds: float
    latencies_ms: list[int]


def sizes(settings: Settings, job: Job) -> None:
    """Print what the events of a job leave, read as fast as they can be: the largest chunks there are."""
    run_path(settings, job)
    for topic, size in _on_topics(settings):
        print(f"  {topic:24} {size / job.events:8.1f} bytes an event")
    asyncio.run(_in_clickhouse(settings, job.events))


async def transactions(settings: Settings, load: Load) -> None:
    """Print what a steady load costs in this many partitions, and what it leaves."""
    await fill(settings, load, {})
    worker = Worker(settings)
    try:
        await ledger_has_read_everything(settings, lambda _read, _there: None, worker.check)
        before = dict(_on_topics(settings))
        began, cpu_began = time.time(), cpu_seconds(worker.process.pid)
        generator = multiprocessing.get_context("spawn").Process(target=generate, args=(settings, load))
        generator.start()
        await asyncio.to_thread(generator.join)
        await ledger_has_read_everything(settings, lambda _read, _there: None, worker.check)
        cost = await _cost(settings, cpu_seconds(worker.process.pid) - cpu_began, began)
    finally:
        worker.stop()
    ordered = sorted(cost.latencies_ms)
    p50, p99 = percentile(ordered, 50), percentile(ordered, 99)
    print(
        f"{settings.partitions:3} partitions, {load.rate:,} events/s: {cost.events / cost.transactions:6.1f} events a "
        f"transaction, {cost.transactions / load.seconds:6.0f} transactions/s, "
        f"{cost.cpu_seconds / load.seconds:5.2f} cores, p50 {p50} ms, p99 {p99} ms",
        flush=True,
    )
    left = {topic: size - before[topic] for topic, size in _on_topics(settings)}
    print("    bytes an event: " + ", ".join(f"{name} {size / cost.events:.0f}" for name, size in left.items() if size))


async def _cost(settings: Settings, cpu: float, began: float) -> Cost:
    """Of what the journal says of the time since."""
    arrivals: dict[int, dict[int, int]] = defaultdict(dict)
    chunks: list[tuple[int, int, int, int]] = []
    async with consumer(settings, "read_committed") as reader:
        for topic in (USAGE_EVENTS.name, LEDGER_JOURNAL.name):
            at = places(settings, [topic], range(settings.partitions))
            reader.assign(at)
            await reader.seek_to_beginning(*at)
            ends = await reader.end_offsets(at)
            while any([await reader.position(place) < ends[place] for place in at]):
                for place, records in (await reader.getmany(timeout_ms=200)).items():
                    for record in records:
                        if topic == USAGE_EVENTS.name:
                            arrivals[place.partition][record.offset] = record.timestamp
                        elif record.timestamp >= began * 1_000:
                            chunks.append((place.partition, *json.loads(record.value)["usage"], record.timestamp))
    latencies = [
        written - arrivals[partition][offset]
        for partition, begin, end, written in chunks
        for offset in range(begin, end)
    ]
    return Cost(len(latencies), sum(end > begin for _, begin, end, _ in chunks), cpu, latencies)


def _on_topics(settings: Settings) -> Iterator[tuple[str, int]]:
    """Topic → bytes of its segments, all partitions, on the only broker."""
    log = settings.data_dir / "log"
    for topic in TOPICS:
        name = re.escape(settings.topic_prefix + topic.name)
        folders = [folder for folder in log.iterdir() if re.fullmatch(rf"{name}-\d+", folder.name)]
        yield topic.name, sum(_size(file) for folder in folders for file in folder.glob("*.log"))


def _size(file: Path) -> int:
    return file.stat().st_size


async def _in_clickhouse(settings: Settings, events: int) -> None:
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database)
    parts = (
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"
    )
    try:
        await clickhouse.run("OPTIMIZE TABLE priced_usage FINAL")
        for table, rows, size in await clickhouse.rows(parts):
            print(f"  {table:24} {size / events:8.1f} bytes an event, {size / rows:8.1f} a row of {rows:,}")
    finally:
        await clickhouse.close()
