"""Whoever only looks on reads every committed record once, up to an end and then on from it."""

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.reading import open_reader, places
from pipeline.settings import Settings
from pipeline.topics import LEDGER_STATE
from pipeline.topics_admin import create_topics

pytestmark = pytest.mark.kafka

# A batch of which the marker behind it no longer fits into the same fetch of aiokafka's 1,048,576 bytes.
_A_WHOLE_FETCH = 1_048_450


async def test_what_comes_behind_an_end_is_there_for_the_next_reading(kafka: EmbeddedKafka, topic_prefix: str) -> None:
    """The fetch that shows the marker before the end also brings what was written since."""
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, partitions=1)
    await create_topics(settings)
    (place,) = places(settings, [LEDGER_STATE.name], [0])
    producer = AIOKafkaProducer(
        **settings.kafka(),
        transactional_id=topic_prefix + "ledger",
        max_request_size=2_000_000,
        max_batch_size=2_000_000,
    )
    await producer.start()
    try:
        async with open_reader(settings) as reader:
            async with producer.transaction():
                await producer.send_and_wait(place.topic, b"x" * _A_WHOLE_FETCH, key=b"large", partition=0)
            ends = await reader.stable_ends([place])
            async with producer.transaction():
                await producer.send_and_wait(place.topic, b"1", key=b"next", partition=0)
            first = [record.key async for batch in reader.from_beginning(ends) for record in batch]
            further = await reader.stable_ends([place])
            then = [record.key async for batch in reader.further(further) for record in batch]
    finally:
        await producer.stop()
    assert (first, then) == ([b"large"], [b"next"])
