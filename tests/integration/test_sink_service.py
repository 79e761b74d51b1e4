"""The sink service between a real Kafka and a real engine: rows flow, a stop is orderly, a start doubles nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.topics import TOPICS
from sinks.clickhouse import ClickHouse
from sinks.errors import Away, Broken
from sinks.event_table import EventTable
from sinks.sink import TABLES, SinkConfig, run_sink
from tests.support.sink_world import (
    PARTITIONS,
    Producer,
    json_lines,
    priced_row,
    rows_stored,
    stored_exactly,
    until,
)


@pytest.fixture
def config(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, topic_prefix: str, fresh_name: Callable[[str], str]
) -> SinkConfig:
    """A sink of one test's own topics and database."""
    return SinkConfig(
        kafka={"bootstrap_servers": kafka.bootstrap_servers},
        topic_prefix=topic_prefix,
        group_id=topic_prefix + "sink",
        clickhouse_url=clickhouse.url,
        database=fresh_name("sink"),
        log_id="log-1",
        block_seconds=0.2,
        session_timeout_ms=2_000,
    )


@pytest.fixture
async def database(config: SinkConfig) -> AsyncIterator[ClickHouse]:
    """The same database, for looking."""
    store = ClickHouse(config.clickhouse_url, config.database)
    await store.create_database()
    yield store
    await store.close()


@pytest.fixture
async def producer(kafka: EmbeddedKafka, topic_prefix: str) -> AsyncIterator[Producer]:
    async with Producer(kafka.bootstrap_servers, topic_prefix, seed=1) as made:
        yield made


@contextlib.asynccontextmanager
async def running(config: SinkConfig) -> AsyncIterator[None]:
    """A sink in this process, stopped in order at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_sink(config, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def holds(database: ClickHouse, table: str, rows: int) -> bool:
    """Whether a table, which may not be there yet, has so many rows."""
    with contextlib.suppress(Away, Broken):
        return await database.rows(f"SELECT count() FROM {table}") == [(rows,)]
    return False


async def test_committed_rows_arrive_once_and_aborted_ones_never(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    async with running(config):
        await producer.some_chunks(20, rows=30)
        await stored_exactly(database, producer)


async def test_events_arrive_with_the_position_they_had(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    money = {"amount_picousd": "1", "balance_after_picousd": "1"}
    event = msgspec.json.encode({"data": {"org_id": "acme", "at": "2026-02-01T00:00:00Z", **money}})
    tables = {topic: table.name for topic, table in TABLES.items() if isinstance(table, EventTable)}
    async with running(config):
        for topic in tables:
            await producer.event(topic, 2, event)
        await producer.chunk(0, 1)
        await stored_exactly(database, producer)
        for table in tables.values():
            await until(partial(holds, database, table, 1), f"the event is in {table}")
    for table in tables.values():
        rows = await database.rows(f"SELECT log_id, log_partition, log_offset, event FROM {table}")
        assert rows == [("log-1", 2, 0, event.decode())]


def test_what_flows_into_a_table_is_a_topic_that_the_sink_reads() -> None:
    assert TABLES.keys() <= {topic.name for topic in TOPICS if "sink" in topic.readers}


async def test_an_orderly_stop_stores_what_is_in_hand_and_a_start_doubles_nothing(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    for _ in range(2):
        async with running(config):
            await producer.some_chunks(8, rows=10)
            await stored_exactly(database, producer)
    async with running(config):
        await producer.chunk(1, 5)
        await stored_exactly(database, producer)


async def test_a_full_block_does_not_wait(config: SinkConfig, database: ClickHouse, producer: Producer) -> None:
    for _ in range(10):
        await producer.chunk(0, 40, months=("2026-02",))

    async def most_are_stored() -> bool:
        return await rows_stored(database) >= producer.rows - 99

    # Blocks of 100 rows that would otherwise wait for a minute and a half, longer than this test does.
    async with running(replace(config, block_rows=100, block_seconds=100)):
        await until(most_are_stored, "all but the last block are stored")
    await stored_exactly(database, producer)  # the last one by the orderly stop


async def test_group_offsets_say_how_far_it_is(config: SinkConfig, database: ClickHouse, producer: Producer) -> None:
    async with running(config):
        await producer.chunk(3, 5)
        await stored_exactly(database, producer)
    consumer = AIOKafkaConsumer(**config.kafka, group_id=config.group_id, enable_auto_commit=False)
    await consumer.start()
    committed = await consumer.committed(TopicPartition(config.topic_prefix + "priced-usage", 3))
    await consumer.stop()
    assert committed == 2  # behind the marker of the transaction


async def test_a_database_that_was_dropped_is_built_anew_from_kafka(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    """That is how ClickHouse is restored: the group's offsets, which are at the end, do not keep rows out."""
    async with running(config):
        await producer.some_chunks(10, rows=20)
        await producer.event(
            "limit-breaches", 2, msgspec.json.encode({"type": "usage-credits.limit.breached", "data": {}})
        )
        await stored_exactly(database, producer)
        await until(lambda: holds(database, "limit_events", 1), "the breach is stored")
    await database.run(f"DROP DATABASE {config.database} SYNC")
    async with running(config):
        await until(lambda: holds(database, "priced_usage", producer.rows), "all rows are there again")
        await until(lambda: holds(database, "limit_events", 1), "the breach is there again")
    await stored_exactly(database, producer)


async def test_a_kafka_that_was_restored_from_an_older_backup_is_refused(
    config: SinkConfig, database: ClickHouse, producer: Producer, kafka: EmbeddedKafka, fresh_name: Callable[[str], str]
) -> None:
    async with running(config):
        for _ in range(3):
            await producer.chunk(0, 5)
        await stored_exactly(database, producer)
    # The same log, as its id says, with less in it.
    prefix = fresh_name("older") + "."
    async with Producer(kafka.bootstrap_servers, prefix, seed=1) as older:
        await older.chunk(0, 5)
        restored = replace(config, topic_prefix=prefix, group_id=prefix + "sink")
        with pytest.raises(
            Broken, match=r"ClickHouse is ahead of Kafka: it stores .* up to offset \d+, but Kafka ends at"
        ):
            await run_sink(restored, asyncio.Event())


async def test_a_kafka_made_anew_is_refused(config: SinkConfig, database: ClickHouse, producer: Producer) -> None:
    async with running(config):
        await producer.chunk(0, 1)
        await stored_exactly(database, producer)
    with pytest.raises(Broken, match="stores the Kafka log log-1, but this Kafka is log-2"):
        await run_sink(replace(config, log_id="log-2"), asyncio.Event())


async def test_a_clickhouse_ahead_of_kafka_is_refused(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    async with running(config):
        await producer.chunk(0, 1)
        await stored_exactly(database, producer)
    # As after a restore of Kafka: the same log, but it ends before what is stored.
    await database.run("ALTER TABLE priced_usage UPDATE block_to = 99 WHERE true SETTINGS mutations_sync = 1")
    with pytest.raises(Broken, match=r"ClickHouse is ahead of Kafka: it stores \S+priced-usage\[0\] up to offset 99"):
        await run_sink(config, asyncio.Event())


async def test_a_line_that_only_the_ledger_may_write_stops_the_sink_with_its_place(
    config: SinkConfig, producer: Producer
) -> None:
    async with producer._producer.transaction():
        await producer._producer.send_and_wait(config.topic_prefix + "priced-usage", b"{}\n", partition=2)
    with pytest.raises(Broken, match=r"priced-usage\[2\] offset 0 holds a line without a charge_month"):
        await run_sink(config, asyncio.Event())


async def test_two_sinks_share_the_partitions(config: SinkConfig, database: ClickHouse, producer: Producer) -> None:

    async def both_hold_some() -> bool:
        claims = await database.rows(
            "SELECT max((epoch, claim)).2 AS holder FROM sink_epochs "
            f"WHERE topic = '{config.topic_prefix}priced-usage' GROUP BY partition"
        )
        return len(claims) == PARTITIONS and len(set(claims)) == 2

    async with running(config), running(config):
        await producer.chunk(0, 1)
        await stored_exactly(database, producer)
        await until(both_hold_some, "each of the two sinks holds some partitions")
        await producer.some_chunks(20, rows=20)
        await stored_exactly(database, producer)
    assert await rows_stored(database) == producer.rows


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"clickhouse_url": "http://default:secret@127.0.0.1:1"}, "CLICKHOUSE_URL is http://127.0.0.1:1"),
        ({"kafka": {"bootstrap_servers": "127.0.0.1:1"}}, "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
async def test_a_sink_that_cannot_start_names_the_setting_and_tries_again(
    config: SinkConfig, wrong: dict[str, Any], names: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def has_tried_twice() -> bool:
        return caplog.text.count(names) >= 2

    async with running(replace(config, **wrong)):
        await until(has_tried_twice, f"it has said {names} twice")
    assert "trying again in 1 s" in caplog.text
    assert "trying again in 2 s" in caplog.text
    assert "secret" not in caplog.text


async def delete_records(config: SinkConfig, topic: str, partition: int, before_offset: int) -> None:
    """As retention does; -1: all, and the markers of their transactions."""
    admin = AIOKafkaAdminClient(**config.kafka)
    await admin.start()
    try:
        place = TopicPartition(config.topic_prefix + topic, partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=before_offset)})
    finally:
        await admin.close()


async def test_a_partition_of_which_all_is_stored_may_be_gone_from_kafka(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    """As that of a dead letter once every few years: what is behind it begins after the marker of its transaction."""
    event = msgspec.json.encode({"data": {"org_id": "acme", "at": "2026-02-01T00:00:00Z"}})
    async with running(config):
        await producer.event("dead-letters", 2, event)
        await producer.chunk(0, 1)
        await stored_exactly(database, producer)
        await until(lambda: holds(database, "dead_letters", 1), "the dead letter is stored")
    await delete_records(config, "dead-letters", 2, -1)
    async with running(config):
        await producer.event("dead-letters", 2, event)
        await until(lambda: holds(database, "dead_letters", 2), "the next one is stored")


async def test_what_kafka_deletes_before_a_running_sink_has_read_it_is_said(
    config: SinkConfig, database: ClickHouse, producer: Producer
) -> None:
    """A reader that went on with the first record left would lose rows without a word."""
    sink = asyncio.create_task(run_sink(config, asyncio.Event()))
    await producer.chunk(0, 5)
    await stored_exactly(database, producer)
    topic = config.topic_prefix + "priced-usage"
    async with producer._producer.transaction():  # which hides the record from the sink until it is gone
        await producer._producer.send_and_wait(topic, json_lines([priced_row(input_offset=9)]), partition=0)
        await delete_records(config, "priced-usage", 0, 3)
    with pytest.raises(Broken, match=r"Kafka deleted \S+priced-usage\[0\] offsets \d-2, not all of which are known"):
        await asyncio.wait_for(sink, 60)
