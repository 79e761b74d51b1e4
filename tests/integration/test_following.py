"""A copy that follows a topic on a real Kafka: what breaks its reading does not take it back in time (R33)."""

from collections.abc import Callable
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

    def take(self, record: Any) -> None:
        if record.value == b"broken" and self.breaks:
            self.breaks -= 1
            raise ConnectionError("lost")
        self.values.append(record.value.decode())


async def test_a_new_connection_goes_on_where_the_last_one_was(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AGAIN_SECONDS", 0.0)
    topic, to_kafka = fresh_name("followed"), {"bootstrap_servers": kafka.bootstrap_servers}
    admin = AIOKafkaAdminClient(**to_kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
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
