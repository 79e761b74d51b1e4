"""What the proof's tests stand on: a month that a real ledger and a real sink worked through, and damaged copies of it.

A copy has topics of its own, with what lay in the original's, in the same order; of usage also at the same offsets.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import product
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from pipeline.demo.reading import read_topics
from pipeline.engine.records import TICK_TYPE, TYPE_HEADER
from pipeline.proof.outcome import Proof
from pipeline.proof.prove import Prover
from pipeline.settings import Settings
from pipeline.topics import (
    LEDGER_OUTPUTS,
    LEDGER_STATE,
    LOG_ID,
    USAGE_EVENTS,
)
from pipeline.topics_admin import create_topics, read_log_id
from sinks.clickhouse import ClickHouse
from sinks.event_table import EventTable
from sinks.migrate import migrate
from sinks.sink import TABLES, SinkConfig, run_sink
from tests.support.sink_tables import claim_of, store
from tests.support.sink_world import KafkaRecord

COPIED = (USAGE_EVENTS, *LEDGER_OUTPUTS, LEDGER_STATE)


class Original(NamedTuple):
    """What a run left: how to reach it, and all it wrote."""

    settings: Settings
    written: Mapping[str, list[Any]]

    @classmethod
    async def of(cls, settings: Settings) -> "Original":
        return cls(settings, await read_topics(settings, COPIED))


class Copied(NamedTuple):
    """A record as it is written again."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes]]


Damage = Callable[[list[Copied]], None]
"""Changes the records of one partition, in place."""


async def proved(settings: Settings, wait_seconds: float = 1.0) -> Proof:
    """Prove once; ClickHouse, which nobody writes to meanwhile, is not waited for."""
    return await Prover(settings, wait_seconds).prove()


@asynccontextmanager
async def running_sink(settings: Settings) -> AsyncIterator[None]:
    """A sink in this process, stopped in order at the end."""
    config = SinkConfig(
        kafka=settings.kafka(),
        topic_prefix=settings.topic_prefix,
        group_id=settings.topic_prefix + "sink",
        clickhouse_url=settings.clickhouse_url,
        database=settings.clickhouse_database,
        log_id=await read_log_id(settings),
        block_seconds=0.1,
        session_timeout_ms=6_000,
    )
    stop = asyncio.Event()
    sink = asyncio.create_task(run_sink(config, stop))
    try:
        yield
    finally:
        stop.set()
        await sink


async def copy_of(original: Original, prefix: str, damages: Mapping[tuple[str, int], Damage]) -> Settings:
    """The same log under another prefix, but for what is done to some partitions of topics.

    Its database has the original's rows, and the entries and invoices of the copy, which lie at other offsets.
    """
    settings = await copy_of_database(original.settings, prefix.rstrip("."), ["priced_usage"])
    settings = settings.model_copy(update={"topic_prefix": prefix})
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database)
    await create_topics(settings)
    async with _producer(settings) as producer:
        log_id = (await read_log_id(original.settings)).encode()
        # What the database remembers is of the original's log: the copy's own id is void.
        await producer.send(prefix + LOG_ID.name, None, (await read_log_id(settings)).encode(), partition=0)
        await producer.send(prefix + LOG_ID.name, log_id, log_id, partition=0)
        for topic, partition in product(COPIED, range(settings.partitions)):
            here = [record for record in original.written[topic.name] if record.partition == partition]
            copied = _at_their_offsets(here) if topic is USAGE_EVENTS else list(map(_copied, here))
            damages.get((topic.name, partition), lambda _: None)(copied)
            if isinstance(table := TABLES.get(topic.name), EventTable):
                claim = await claim_of(clickhouse, partition, topic=prefix + topic.name, log_id=log_id.decode())
                events = [KafkaRecord(at, record.value, partition) for at, record in enumerate(copied)]
                await store(clickhouse, claim, *events, table=table)
            for record in copied:
                await producer.send(
                    prefix + topic.name,
                    record.value,
                    record.key,
                    partition=partition,
                    timestamp_ms=record.timestamp,
                    headers=record.headers,
                )
    await clickhouse.close()
    return settings


async def copy_of_database(settings: Settings, name: str, tables: Iterable[str], *changes: str) -> Settings:
    """Another database with the same rows in these tables; then statements change some of them."""
    clickhouse = ClickHouse(settings.clickhouse_url, name)
    try:
        await migrate(clickhouse)
        for table in tables:
            await clickhouse.run(f"INSERT INTO {table} SELECT * FROM {settings.clickhouse_database}.{table}")
        for statement in changes:
            await clickhouse.run(statement)
    finally:
        await clickhouse.close()
    return settings.model_copy(update={"clickhouse_database": name})


def change(record: Copied, **fields: Any) -> Copied:
    """A record whose JSON says something else."""
    return record._replace(value=msgspec.json.encode(msgspec.json.decode(record.value or b"") | fields))


def _copied(record: Any) -> Copied:
    return Copied(record.key, record.value, record.timestamp, list(record.headers))


def _at_their_offsets(records: list[Any]) -> list[Copied]:
    """With a tick, which is no event, wherever a transaction's marker took an offset."""
    tick = Copied(None, b"{}", 0, [(TYPE_HEADER, TICK_TYPE)])
    placed: list[Copied] = []
    for record in records:
        placed += [tick] * (record.offset - len(placed))
        placed.append(_copied(record))
    return [*placed, tick]  # what the ledger read last may have been a marker too


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**settings.kafka(), acks="all", enable_idempotence=True, max_request_size=2_000_000)
    await producer.start()
    try:
        yield producer
        await producer.flush()
    finally:
        await producer.stop()
