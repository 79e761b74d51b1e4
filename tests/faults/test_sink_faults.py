"""Sinks killed, stopped, woken, cut off from ClickHouse: afterwards each row is there once, to the picodollar."""

import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from sinks.clickhouse import ClickHouse
from sinks.errors import SinkError
from tests.support.sink_world import Producer, SinkProcess, rows_stored, stored_exactly, until

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.clickhouse]


@pytest.fixture
async def producer(kafka: EmbeddedKafka, topic_prefix: str) -> AsyncIterator[Producer]:
    async with Producer(kafka.bootstrap_servers, topic_prefix, seed=7) as made:
        yield made


@pytest.fixture
async def database(clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]) -> AsyncIterator[ClickHouse]:
    store = ClickHouse(clickhouse.url, fresh_name("sink"))
    await store.create_database()
    yield store
    await store.close()


@pytest.fixture
def make_sink(
    kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse, database: ClickHouse, topic_prefix: str, tmp_path: Path
) -> Iterator[Callable[..., SinkProcess]]:
    """Starts sinks on the test's topics and database; none outlives the test."""
    made: list[SinkProcess] = []

    def start(group: str = "sink") -> SinkProcess:
        log_file = tmp_path / f"sink-{len(made)}.log"
        group_id = topic_prefix + group
        servers = kafka.bootstrap_servers, clickhouse.url
        sink = SinkProcess(*servers, database.database, topic_prefix, log_file, group_id=group_id)
        sink.start()
        made.append(sink)
        return sink

    yield start
    for sink in made:
        sink.kill()


async def has_stored_more_than(database: ClickHouse, rows: int) -> None:
    async def more() -> bool:
        return await rows_stored(database) > rows

    await until(more, f"more than {rows} rows are stored")


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_sink_killed_again_and_again_loses_and_doubles_nothing(
    make_sink: Callable[..., SinkProcess], database: ClickHouse, producer: Producer, seed: int
) -> None:
    moments = random.Random(seed)
    for _ in range(3):
        sink = make_sink()
        # Wait until it works, then feed it for a random while: the kill falls anywhere between two inserts, inside
        # one, between the two months of a block, or while it claims.
        before = await rows_stored(database)
        await producer.some_chunks(moments.randint(3, 6), rows=200)
        if moments.random() < 0.75:
            await has_stored_more_than(database, before)
        await producer.some_chunks(moments.randint(1, 10), rows=200)
        sink.kill()
    make_sink()
    await stored_exactly(database, producer)


async def test_a_sink_stopped_and_woken_after_its_successor_took_over_inserts_nothing(
    make_sink: Callable[..., SinkProcess], database: ClickHouse, producer: Producer
) -> None:
    first = make_sink()
    await producer.some_chunks(8, rows=100)
    await stored_exactly(database, producer)
    # A backlog arrives and the sink is stopped before it can have inserted all of it: it wakes with rows in hand.
    await producer.some_chunks(12, rows=300)
    first.signal(signal.SIGSTOP)
    second = make_sink()
    await producer.some_chunks(8, rows=100)
    await stored_exactly(database, producer)
    first.signal(signal.SIGCONT)
    await producer.some_chunks(8, rows=100)
    await stored_exactly(database, producer)

    async def back_in_the_group() -> bool:
        return first.said("holding") >= 2

    await until(back_in_the_group, "the woken sink holds partitions again")
    await producer.some_chunks(8, rows=100)
    await stored_exactly(database, producer)
    assert (first.terminate(), second.terminate()) == (0, 0)
    await stored_exactly(database, producer)


async def test_two_groups_that_both_think_they_hold_everything_double_nothing(
    make_sink: Callable[..., SinkProcess], database: ClickHouse, producer: Producer
) -> None:
    """Kafka's group is of no help here: marks and fence alone keep it exact, in whatever turns they insert."""
    one, other = make_sink("one"), make_sink("other")
    for _ in range(2):
        await producer.some_chunks(10, rows=50)
        await stored_exactly(database, producer)
    assert one.is_running
    assert other.is_running


async def test_clickhouse_stopped_in_the_middle_and_back_again(
    kafka: EmbeddedKafka, producer: Producer, topic_prefix: str, tmp_path: Path
) -> None:
    with EmbeddedClickHouse(tmp_path / "clickhouse") as engine:
        store = ClickHouse(engine.url, "away")
        sink = SinkProcess(kafka.bootstrap_servers, engine.url, "away", topic_prefix, tmp_path / "sink.log")
        sink.start()
        try:
            await producer.some_chunks(5, rows=100)
            await stored_when_there(store, producer)
            engine.stop()
            await producer.some_chunks(10, rows=100)
            await until(lambda: said(sink, "rows not stored ("), "the sink says what it could not store")
            assert "CLICKHOUSE_URL" in sink.log_file.read_text()
            assert "default:" not in sink.log_file.read_text()
            engine.start()
            await producer.some_chunks(3, rows=100)
            await stored_when_there(store, producer)
            assert sink.terminate() == 0
        finally:
            sink.kill()
            await store.close()


async def test_clickhouse_killed_while_it_inserts(
    kafka: EmbeddedKafka, producer: Producer, topic_prefix: str, tmp_path: Path
) -> None:
    moments = random.Random(3)
    with EmbeddedClickHouse(tmp_path / "clickhouse") as engine:
        store = ClickHouse(engine.url, "killed")
        sink = SinkProcess(kafka.bootstrap_servers, engine.url, "killed", topic_prefix, tmp_path / "sink.log")
        sink.start()
        try:
            await producer.some_chunks(5, rows=100)
            await stored_when_there(store, producer)
            for _ in range(3):
                before = await rows_stored(store)
                await producer.some_chunks(moments.randint(4, 12), rows=300)
                if moments.random() < 0.5:
                    await has_stored_more_than(store, before)
                engine.kill()
                await producer.some_chunks(2, rows=300)
                engine.start()
                await stored_when_there(store, producer)
            assert sink.is_running
        finally:
            sink.kill()
            await store.close()


async def test_kafka_killed_and_back_again(
    clickhouse: EmbeddedClickHouse, database: ClickHouse, tmp_path: Path
) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        names = broker.bootstrap_servers, clickhouse.url, database.database, "p."
        old = SinkProcess(*names, tmp_path / "old.log")
        new = SinkProcess(*names, tmp_path / "new.log")
        async with Producer(broker.bootstrap_servers, "p.", seed=5) as producer:
            old.start()
            try:
                await producer.some_chunks(10, rows=100)
                await stored_exactly(database, producer)
                broker.kill()
                broker.start()
                # One that lived through it and one that comes: neither takes a Kafka that wakes for one that lost rows.
                new.start()
                await producer.some_chunks(10, rows=100)
                await stored_exactly(database, producer)
                await until(lambda: said(new, "holding"), "the one that came has its partitions")
                assert (old.terminate(), new.terminate()) == (0, 0)
            finally:
                old.kill()
                new.kill()


async def said(sink: SinkProcess, text: str) -> bool:
    return sink.said(text) > 0


async def stored_when_there(store: ClickHouse, producer: Producer) -> None:
    """As stored_exactly, for a ClickHouse that may still be on its way."""

    async def enough() -> bool:
        with suppress(SinkError):
            return await rows_stored(store) >= producer.rows
        return False

    await until(enough, f"{producer.rows} rows are stored")
    await stored_exactly(store, producer)
