"""Records as the parser made them are those that any consumer gets."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.engine.fetching import reader
from tests.support.engine_cluster import cluster, engine_settings

pytestmark = pytest.mark.kafka


async def test_a_reader_gets_what_every_consumer_gets(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    settings = engine_settings(kafka.bootstrap_servers, topic_prefix)
    place = TopicPartition(settings.topic("usage-events"), 1)
    async with cluster(settings) as topics:
        await topics.send([f"org-{number} e{number} 1" for number in range(50)], partition=1)
        await topics._producer.send_and_wait(
            place.topic, b"x", None, place.partition, headers=[("type", b"a"), ("b", b"")]
        )
        found = []
        for consumer in (reader(**settings.kafka), AIOKafkaConsumer(**settings.kafka)):
            await consumer.start()
            try:
                consumer.assign([place])
                consumer.seek(place, 0)
                records = []
                while len(records) < 51:
                    records += (await consumer.getmany(timeout_ms=200)).get(place, [])
                position = await consumer.position(place)
            finally:
                await consumer.stop()
            found.append(
                (position, [(one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) for one in records])
            )
    ours, theirs = found
    assert ours == theirs
