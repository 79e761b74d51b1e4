"""Every point at which a sink can fall silent, one by one, on a real engine: whoever comes next does the rest.

No Kafka and no processes here: a log in memory, and sinks that lose an answer, die, or stand still before a chosen
step. What they have in hand is a feed alone, as in the service, and nothing survives but what ClickHouse holds.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from sinks.clickhouse import ClickHouse
from sinks.errors import Away, Fenced
from sinks.event_table import EventTable
from sinks.feed import Feed
from sinks.migrate import migrate
from sinks.priced_usage import PricedUsage
from sinks.tables import Table
from tests.support.sink_world import KafkaRecord, json_lines, priced_row

pytestmark = [pytest.mark.faults, pytest.mark.clickhouse]

PARTITIONS = (0, 1)
RECORDS = 6
T = TypeVar("T")


def log_record(partition: int, offset: int) -> KafkaRecord:
    """Three rows, of two months in turns; a transaction marker takes every second offset, as in Kafka."""
    places = [(3 * offset + number, month) for number, month in enumerate(("2026-01", "2026-02", "2026-01"))]
    rows = [
        priced_row(input_partition=partition, input_offset=place, charge_month=month, cost_picousd=place + 1)
        for place, month in places
    ]
    return KafkaRecord(2 * offset, json_lines(rows), partition)


def entry_record(partition: int, offset: int) -> KafkaRecord:
    """One ledger entry, at the same offsets."""
    amount = {"amount_picousd": str(offset + 1), "balance_after_picousd": "0", "at": "2026-02-01T00:00:00Z"}
    return KafkaRecord(2 * offset, msgspec.json.encode({"data": amount}), partition)


@dataclass(frozen=True)
class Log:
    """What is in one topic; of `rows` rows in all, `costs_picousd` in each partition, stored in so many steps."""

    topic: str
    table: Table
    records: list[KafkaRecord]
    block_rows: int
    rows: int
    costs_picousd: int
    steps: int
    look: str


_PLACES = [(partition, offset) for offset in range(RECORDS // 2) for partition in PARTITIONS]
# Steps of an undisturbed run: 4 to take over, then 3 blocks, of rows with 2 months each.
USAGE = Log(
    "priced-usage",
    PricedUsage(),
    [log_record(*place) for place in _PLACES],
    block_rows=6,
    rows=3 * RECORDS,
    costs_picousd=sum(range(1, 10)),
    steps=4 + 3 * 2,
    look="uniqExact(input_partition, input_offset), toString(reinterpret(sum(cost_usd), 'Int128')) FROM priced_usage",
)
ENTRIES = Log(
    "ledger-entries",
    EventTable("ledger_entries"),
    [entry_record(*place) for place in _PLACES],
    block_rows=2,
    rows=RECORDS,
    costs_picousd=sum(range(1, 4)),
    steps=4 + 3,
    look="uniqExact(log_partition, log_offset), toString(reinterpret(sum(amount_usd), 'Int128')) FROM ledger_entries",
)
LOGS = pytest.mark.parametrize("log", [USAGE, ENTRIES], ids=lambda log: log.topic)
STEPS = pytest.mark.parametrize(
    ("log", "step"),
    [
        pytest.param(log, step, id=f"{log.topic}, {step}")
        for log in (USAGE, ENTRIES)
        for step in range(1, log.steps + 1)
    ],
)


class DisturbedClickHouse(ClickHouse):
    """Asks before and after each statement; what the question raises is what the sink gets instead of an answer."""

    async def before(self, step: int) -> None: ...

    async def after(self, step: int) -> None: ...

    def __init__(self, url: str, database: str) -> None:
        super().__init__(url, database)
        self.steps = 0

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await self._disturbed(super().rows(query))

    async def run(self, statement: str) -> None:
        await self._disturbed(super().run(statement))

    async def insert(self, statement: str, body: Iterable[bytes], *, log_comment: str) -> int:
        return await self._disturbed(super().insert(statement, body, log_comment=log_comment))

    async def _disturbed(self, statement: Coroutine[Any, Any, T]) -> T:
        self.steps += 1
        step = self.steps
        try:
            await self.before(step)
        except BaseException:
            statement.close()
            raise
        answer = await statement
        await self.after(step)
        return answer


@pytest.fixture(scope="module")
async def database(clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]) -> AsyncIterator[ClickHouse]:
    """One for all tests here: each has a Kafka log of its own in it."""
    store = ClickHouse(clickhouse.url, fresh_name("sink"))
    await migrate(store)
    yield store
    await store.close()


@pytest.fixture
async def disturbed(clickhouse: EmbeddedClickHouse, database: ClickHouse) -> AsyncIterator[DisturbedClickHouse]:
    store = DisturbedClickHouse(clickhouse.url, database.database)
    yield store
    await store.close()


async def store_the_log(clickhouse: ClickHouse, log: Log, log_id: str) -> None:
    """What the service does, once: take over, go on from what is stored, in blocks of two records."""
    feed = Feed(log.topic, log.table, log_id=log_id, block_rows=log.block_rows, block_seconds=1000)
    stored = await feed.take_over(clickhouse, PARTITIONS)
    for record in log.records:
        if record.offset >= stored[record.partition].resume:
            feed.add(record)
            if feed.seconds_until_due == 0:
                await feed.flush(clickhouse)
    await feed.flush(clickhouse)


async def assert_stored_once(database: ClickHouse, log: Log, log_id: str) -> None:
    ((rows, places, picousd),) = await database.rows(f"SELECT count(), {log.look} WHERE log_id = '{log_id}'")
    assert (rows, places, int(picousd)) == (log.rows, log.rows, len(PARTITIONS) * log.costs_picousd)


@LOGS
async def test_an_undisturbed_sink_takes_the_steps_that_the_others_are_disturbed_at(
    disturbed: DisturbedClickHouse, database: ClickHouse, log: Log
) -> None:
    await store_the_log(disturbed, log, "undisturbed")
    await assert_stored_once(database, log, "undisturbed")
    assert disturbed.steps == log.steps


async def test_a_block_gathers_from_when_the_last_one_was_begun_but_at_least_a_quarter_of_its_time(
    database: ClickHouse,
) -> None:
    feed = Feed(ENTRIES.topic, ENTRIES.table, log_id="gathers", block_rows=100, block_seconds=1_000)
    await feed.take_over(database, PARTITIONS)
    feed.add(ENTRIES.records[0])
    assert feed.seconds_until_due <= 250
    await feed.flush(database)
    feed.add(ENTRIES.records[1])
    assert 250 < feed.seconds_until_due <= 1_000


@STEPS
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done but the answer lost"])
async def test_a_sink_dies_at_any_step_and_the_next_one_does_the_rest(
    disturbed: DisturbedClickHouse, database: ClickHouse, log: Log, step: int, done: bool
) -> None:
    log_id = f"dies-{step}-{done}"

    async def die(number: int) -> None:
        if number == step:
            raise Away("no answer")

    if done:
        disturbed.after = die
    else:
        disturbed.before = die
    with pytest.raises(Away):
        await store_the_log(disturbed, log, log_id)
    await store_the_log(database, log, log_id)
    await assert_stored_once(database, log, log_id)


@STEPS
async def test_a_sink_stands_still_at_any_step_and_wakes_when_its_successor_is_done(
    disturbed: DisturbedClickHouse, database: ClickHouse, log: Log, step: int
) -> None:
    log_id = f"sleeps-{step}"

    async def sleep_while_the_successor_works(number: int) -> None:
        if number == step:
            await store_the_log(database, log, log_id)

    disturbed.before = sleep_while_the_successor_works
    # Asleep before it wrote its own epoch it is the successor's successor, and finds nothing left to do.
    with contextlib.suppress(Fenced):
        await store_the_log(disturbed, log, log_id)
    await assert_stored_once(database, log, log_id)


@LOGS
@pytest.mark.parametrize("seed", range(6))
async def test_sinks_that_take_turns_at_random_store_each_row_once(
    clickhouse: EmbeddedClickHouse, database: ClickHouse, log: Log, seed: int
) -> None:
    """Three sinks that all believe the partitions theirs; whoever is fenced or loses an answer begins anew."""
    log_id = f"turns-{seed}"
    chance = random.Random(seed)
    sinks = [DisturbedClickHouse(clickhouse.url, database.database) for _ in range(3)]
    turn = 0
    changed = asyncio.Condition()

    def disturb(sink: DisturbedClickHouse, me: int) -> None:
        async def my_turn(_: int) -> None:
            async with changed:
                await changed.wait_for(lambda: turn == me)

        async def next_turn(_: int) -> None:
            nonlocal turn
            async with changed:
                # Mostly one goes on, so that something gets done; now and then it is another's turn.
                turn = turn if chance.random() < 0.8 else chance.choice(sorted(set(range(len(sinks))) - done))
                changed.notify_all()
            if chance.random() < 0.05:
                raise Away("no answer")

        sink.before, sink.after = my_turn, next_turn

    async def go_on_until_done(sink: DisturbedClickHouse, me: int) -> None:
        nonlocal turn
        while True:
            try:
                await store_the_log(sink, log, log_id)
                break
            except (Away, Fenced):
                continue
        async with changed:
            others = [other for other in range(len(sinks)) if other not in done and other != me]
            done.add(me)
            turn = others[0] if others else me
            changed.notify_all()

    done: set[int] = set()
    for number, sink in enumerate(sinks):
        disturb(sink, number)
    await asyncio.gather(*(go_on_until_done(sink, number) for number, sink in enumerate(sinks)))
    for sink in sinks:
        await sink.close()
    await assert_stored_once(database, log, log_id)
