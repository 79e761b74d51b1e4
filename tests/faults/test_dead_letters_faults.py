"""Redriving that is killed, stands still or meets another run: no dead letter is lost, none goes twice (R16)."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.dead_letters import deciding, desk
from pipeline.dead_letters.deciding import Verdict, decide
from pipeline.dead_letters.desk import Desk
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.errors import Mendable
from pipeline.settings import Settings
from pipeline.topics_admin import create_topics
from schemas.dead_letters import DeadLetter
from tests.support.dead_letter_desk import (
    PATIENCE_SECONDS,
    Death,
    decisions_of,
    file_some,
    redrive_and_die,
    redriven_records,
)

pytestmark = [pytest.mark.kafka, pytest.mark.faults]


@pytest.fixture
async def settings(kafka: EmbeddedKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(deciding, "BATCH_LETTERS", 1)
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, partitions=2)
    await create_topics(settings)
    return settings


async def assert_each_once(settings: Settings, letters: list[DeadLetter]) -> None:
    origins = [dict(record.headers)["usage-credits.origin"].decode() for record in await redriven_records(settings)]
    assert Counter(origins) == Counter(f"usage-events/{one.origin.partition}/{one.origin.offset}/0" for one in letters)
    decided = [decision.dead_letter_id for decision in await decisions_of(settings)]
    assert sorted(decided) == sorted(one.dead_letter_id for one in letters)


async def test_killed_at_any_point_it_loses_nothing_and_doubles_nothing(settings: Settings) -> None:
    letters = await file_some(settings, 4)
    for death in (
        Death("send", 1, "after"),  # the event is in Kafka, its decision not yet
        Death("commit_transaction", 1, "before"),
        Death("commit_transaction", 1, "after"),
        Death("commit_transaction", 2, "before"),  # of the three that are left the second
    ):
        await redrive_and_die(settings, death)
    ids = {one.dead_letter_id for one in letters}
    outcome = await decide(settings, ids, Verdict("redriven", "olga"))
    assert (outcome.decided, outcome.decided_before) == (2, 2)
    await assert_each_once(settings, letters)


async def test_of_two_at_once_the_second_takes_over(settings: Settings) -> None:
    letters = await file_some(settings, 8)
    ids = {one.dead_letter_id for one in letters}
    both = (decide(settings, ids, Verdict("redriven", name)) for name in ("olga", "otto"))
    told = await asyncio.gather(*both, return_exceptions=True)
    for error in (one for one in told if isinstance(one, BaseException)):
        assert isinstance(error, Mendable)
        assert "another run" in str(error)
    await decide(settings, ids, Verdict("redriven", "oscar"))
    await assert_each_once(settings, letters)


async def test_one_that_has_stood_still_since_its_claim_writes_nothing_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = await file_some(settings, 4)
    ids = {one.dead_letter_id for one in letters}
    stands_still, goes_on = asyncio.Event(), asyncio.Event()
    commit = Desk.commit

    async def commit_and_stand_still(theirs: Any, batch: Any) -> None:
        await commit(theirs, batch)
        if batch[0].decision.by == "olga":
            stands_still.set()
            await goes_on.wait()

    monkeypatch.setattr(Desk, "commit", commit_and_stand_still)
    olga = asyncio.create_task(decide(settings, ids, Verdict("redriven", "olga")))
    await stands_still.wait()
    outcome = await decide(settings, ids, Verdict("redriven", "otto"))
    assert (outcome.decided, outcome.decided_before) == (3, 1)
    goes_on.set()
    with pytest.raises(Mendable, match="another run of `usage-credits dead-letters` has begun"):
        await olga
    await assert_each_once(settings, letters)


async def readable_usage(settings: Settings) -> int:
    """How many records of `usage-events` no open transaction hides."""
    inputs = [TopicPartition(f"{settings.topic_prefix}usage-events", number) for number in range(2)]
    consumer = AIOKafkaConsumer(**settings.kafka(), isolation_level="read_committed")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(inputs)
    finally:
        await consumer.stop()
    return sum(ends.values())


async def test_one_that_is_interrupted_keeps_nobody_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = await file_some(settings, 1)
    commit = AIOKafkaProducer.commit_transaction

    async def interrupted(producer: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", interrupted)
    monkeypatch.setattr(desk, "_TRANSACTION_MILLIS", 600_000)  # Kafka itself ends none while this test lasts
    ids = {one.dead_letter_id for one in letters}
    with pytest.raises(asyncio.CancelledError):
        await decide(settings, ids, Verdict("redriven", "olga"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await readable_usage(settings) < 2:  # the event, and the marker that says it does not count
            pass
    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", commit)
    await decide(settings, ids, Verdict("redriven", "olga"))
    await assert_each_once(settings, letters)
