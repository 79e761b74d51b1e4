"""A copy that follows a topic on a real Kafka: what breaks its reading does not take it back in time (R33)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from client import following
from client.following import TopicFollower
from pipeline.embedded.kafka import EmbeddedKafka

pytestmark = pytest.mark.kafka


class Fragile(TopicFollower):
    """Notes what it takes; the first time that it meets `broken` its connection is lost."""

    def __init__(self, kafka: dict[str, Any], topic: str) -> None:
        super().__init__(kafka, topic)
        self.values: list[str] = []
        self.breaks = 1
        self.on_break: Callable[[], None] = lambda: None

    def take(self, record: Any) -> None:
        if record.value == b"broken" and self.breaks:
            self.breaks -= 1
            self.on_break()
            raise ConnectionError("lost")
        self.values.append(record.value.decode())


async def make_topic(to_kafka: dict[str, Any], topic: str) -> None:
    admin = AIOKafkaAdminClient(**to_kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()


async def test_a_new_connection_goes_on_where_the_last_one_was(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AGAIN_SECONDS", 0.0)
    topic, to_kafka = fresh_name("followed"), {"bootstrap_servers": kafka.bootstrap_servers}
    await make_topic(to_kafka, topic)
    async with AIOKafkaProducer(**to_kafka) as producer:
        for value in (b"limit 5", b"limit 2"):
            last = await producer.send_and_wait(topic, value)
        async with Fragile(to_kafka, topic) as follower:
            await follower.whole()
            for value in (b"broken", b"limit 9"):
                last = await producer.send_and_wait(topic, value)
            await follower.taken(last.partition, last.offset)
            assert follower.breaks == 0
            assert follower.values == ["limit 5", "limit 2", "broken", "limit 9"]


async def test_a_broker_that_goes_away_with_the_connection_ends_no_following(
    server_dir: Path, fresh_name: Callable[[str], str]
) -> None:
    """aiokafka ends the stop of a consumer as if we were cancelled where a fetch waits to be tried again."""
    with EmbeddedKafka(server_dir / fresh_name("followed")) as broker:
        to_kafka = {"bootstrap_servers": broker.bootstrap_servers}
        await make_topic(to_kafka, "followed")
        # It waits for no answer: the broker may be gone before it gave one.
        async with AIOKafkaProducer(**to_kafka, acks=0) as producer:
            await producer.send_and_wait("followed", b"limit 5")
            async with Fragile(to_kafka, "followed") as follower:
                await follower.whole()
                lost, follower.on_break = follower._consumer, broker.kill
                await producer.send_and_wait("followed", b"broken")
                async with asyncio.timeout(30):
                    while follower._consumer is lost and follower.is_running:  # noqa: ASYNC110  # nobody tells
                        await asyncio.sleep(0.05)
                assert follower.is_running


async def test_up_to_now_waits_for_what_is_committed_elsewhere_and_here_not_yet(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str]
) -> None:
    topic, to_kafka = fresh_name("followed"), {"bootstrap_servers": kafka.bootstrap_servers}
    await make_topic(to_kafka, topic)
    async with (
        Fragile(to_kafka, topic) as follower,
        AIOKafkaProducer(**to_kafka, transactional_id=fresh_name("writer")) as producer,
    ):
        await follower.whole()
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"limit 5")
        waiting = asyncio.create_task(follower.up_to_now())
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await producer.commit_transaction()
        await waiting
        assert follower.values == ["limit 5"]
