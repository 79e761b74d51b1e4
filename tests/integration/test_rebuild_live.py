"""A live ledger rebuilt along its journal on a real Kafka: while it runs, after its state was lost, and when it cannot.

Tests share one history; those that damage it for good have one of their own.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.demo.reading import ledger_has_read_everything, read_topics
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.identity import unpack
from pipeline.engine.partitioning import partition_of
from pipeline.errors import Mendable
from pipeline.publisher import Outgoing, publish
from pipeline.rebuild.command import rebuild_all
from pipeline.rebuild.rebuilding import Rebuilt
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LEDGER_STATE, PRICED_USAGE, SEEN_IDS, USAGE_EVENTS
from pipeline.topics_admin import create_topics
from schemas.instants import format_instant
from tests.integration.test_topics import delete
from tests.support.builders import Wire, add_member, as_json, cloud_event, register, searches, set_credits
from tests.support.ledger_cluster import PATIENCE_SECONDS, Worker, worker

pytestmark = pytest.mark.kafka

PARTITIONS = 2
ORGANIZATIONS = ("acme", "globex")
"""One in each partition."""


class Story:
    """What is sent to a ledger that runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._events = 0

    async def begins(self) -> None:
        for org_id in ORGANIZATIONS:
            await self._send(
                ACCOUNT_COMMANDS.name, org_id, register(org_id), set_credits(org_id=org_id), add_member(org_id=org_id)
            )

    async def goes_on(self) -> None:
        """Good, twice, wrong, corrected, and in the wrong partition."""
        for org_id in ORGANIZATIONS:
            wrong, good, misplaced = (self._event(org_id, cents) for cents in (30, 40, 50))
            original = {name: said for name, said in wrong.items() if name not in ("org_id", "event_id", "source")}
            right = self._event(org_id, 25) | {"occurred_at": wrong["occurred_at"]}
            right["corrects"] = {"event_id": wrong["event_id"], "original": original}
            await self._send(USAGE_EVENTS.name, org_id, wrong, good, cloud_event(good), self._event(org_id, -1), right)
            await self._send(USAGE_EVENTS.name, org_id, misplaced, misplaced=True)

    async def is_read(self, running: Worker) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ledger_has_read_everything(self.settings, lambda _read, _there: None, running.check)

    def _event(self, org_id: str, cents: int) -> Wire:
        self._events += 1
        return searches(f"e-{self._events}", cents, org_id=org_id, source="chat", occurred_at=format_instant(_now()))

    async def _send(self, topic: str, org_id: str, *wires: Wire, misplaced: bool = False) -> None:
        partition = (partition_of(org_id.encode(), PARTITIONS) + misplaced) % PARTITIONS
        await publish(self.settings, [Outgoing(topic, org_id.encode(), as_json(wire), 0, partition) for wire in wires])


def _now() -> int:
    return time.time_ns() // 1_000


async def goes_on(story: Story, running: Worker) -> None:
    await story.goes_on()
    await story.is_read(running)


async def begun(kafka: EmbeddedKafka, name: str, data_dir: Path) -> Story:
    settings = Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=name + ".",
        partitions=PARTITIONS,
        session_timeout_ms=2_000,
        data_dir=data_dir,
    )
    await create_topics(settings)
    told = Story(settings)
    await told.begins()
    with worker(settings) as first:  # killed in the end
        await goes_on(told, first)
    return told


@pytest.fixture(scope="module")
async def story(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Story:
    """For tests that leave it as good as it was: they may run in any order."""
    return await begun(kafka, fresh_name("rebuild"), tmp_path_factory.mktemp("rebuild"))


@pytest.fixture
async def spoilt_story(kafka: EmbeddedKafka, fresh_name: Callable[[str], str], tmp_path: Path) -> Story:
    """For a test that damages it for good."""
    return await begun(kafka, fresh_name("rebuild"), tmp_path)


def outputs_amiss(rebuilt: list[Rebuilt]) -> list[str]:
    return [sentence for one in rebuilt for sentence in one.outputs_amiss]


def memory_amiss(rebuilt: list[Rebuilt]) -> list[str]:
    return [sentence for one in rebuilt for sentence in one.memory_amiss]


async def write(settings: Settings, topic: str, value: bytes, key: bytes | None = None) -> None:
    async with AIOKafkaProducer(**settings.kafka()) as producer:
        await producer.send_and_wait(settings.topic_prefix + topic, value, key, partition=0)


async def test_a_ledger_is_rebuilt_while_it_runs_and_after_one_that_was_killed(story: Story) -> None:
    with worker(story.settings) as running:
        await goes_on(story, running)
        rebuilt = await rebuild_all(story.settings)
    assert [(one.outputs_amiss, one.memory_amiss) for one in rebuilt] == [([], [])] * PARTITIONS
    assert all(one.transactions and one.compared for one in rebuilt)


async def test_a_lost_state_halts_the_worker_is_told_mended_and_gone_on_from(story: Story) -> None:
    settings = story.settings
    await delete(settings, LEDGER_STATE.name)
    await create_topics(settings)
    with worker(settings) as halted:
        await until_it_says(halted, "ledger-state is lost: it says nothing, and ledger-journal ends with transaction")
    lost = await rebuild_all(settings)
    assert outputs_amiss(lost) == []
    assert all("ledger-state holds no position of this partition" in sentence for sentence in memory_amiss(lost))
    mended = await rebuild_all(settings, mend=True)
    assert all(one.written for one in mended)
    with worker(settings) as running:
        await goes_on(story, running)
    assert all(one.is_same for one in await rebuild_all(settings))


async def test_lost_identities_halt_the_worker_are_told_and_written_again(story: Story) -> None:
    settings = story.settings
    taken = await identities(settings)
    await delete(settings, SEEN_IDS.name)
    await create_topics(settings)
    with worker(settings) as halted:
        await until_it_says(halted, "seen-ids ends at offset 0, the ledger wrote up to")
    lost = await rebuild_all(settings, mend=True)
    assert [one.outputs_amiss for one in lost] == [[]] * PARTITIONS
    assert all("seen-ids" in sentence and "ends before what transaction" in sentence for sentence in memory_amiss(lost))
    assert await identities(settings) == taken
    assert all(one.is_same for one in await rebuild_all(settings))


async def test_a_cell_that_was_damaged_is_named_and_mended(story: Story) -> None:
    settings = story.settings
    month, value = await a_member_month(settings)
    damaged = msgspec.json.encode(msgspec.json.decode(value) | {"spend_picousd": "7"})
    await write(settings, LEDGER_STATE.name, damaged, month)
    (difference,) = memory_amiss(await rebuild_all(settings))
    assert f"cell {month.decode()!r} is " in difference
    assert '"spend_picousd":"7"' in difference
    await rebuild_all(settings, mend=True)
    assert all(one.is_same for one in await rebuild_all(settings))


async def test_rows_that_no_transaction_wrote_are_told_and_nothing_is_mended_over_them(
    spoilt_story: Story,
) -> None:
    settings = spoilt_story.settings
    month, _ = await a_member_month(settings)
    await write(settings, PRICED_USAGE.name, b'{"org_id":"acme"}\n')
    await write(settings, LEDGER_STATE.name, b"\x00", month)
    rebuilt = await rebuild_all(settings, mend=True)
    (difference,) = outputs_amiss(rebuilt)
    assert "priced-usage[0] offset" in difference
    assert 'was written by no transaction: {"org_id":"acme"}' in difference
    assert [one.written for one in rebuilt] == [0, 0]
    assert memory_amiss(rebuilt)


async def test_a_ledger_whose_first_input_is_gone_cannot_be_rebuilt_and_it_is_said(
    spoilt_story: Story,
) -> None:
    settings = spoilt_story.settings
    usage = TopicPartition(settings.topic_prefix + USAGE_EVENTS.name, 0)
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await admin.delete_records({usage: RecordsToDelete(before_offset=1)})
    finally:
        await admin.close()
    with pytest.raises(Mendable, match=r"usage-events\[0\] begins at offset 1, and transaction \d+ .* read from 0:"):
        await rebuild_all(settings)


async def identities(settings: Settings) -> dict[bytes, bytes]:
    """All of them, as `seen-ids` has them."""
    records = (await read_topics(settings, [SEEN_IDS]))[SEEN_IDS.name]
    return {key: value for record in records for key, value in unpack(record.value)[1].items()}


async def a_member_month(settings: Settings) -> tuple[bytes, bytes]:
    """A cell of partition 0, key and value."""
    records = (await read_topics(settings, [LEDGER_STATE]))[LEDGER_STATE.name]
    latest = {record.key: record.value for record in records if record.partition == 0}
    return next((key, value) for key, value in latest.items() if key.startswith(b'["member_month"'))


async def until_it_says(running: Worker, words: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in running.last_words():
            running.check()
            await asyncio.sleep(0.1)
