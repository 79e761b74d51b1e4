"""One sender for a process's life: what Kafka refuses, or cannot take now, harms nothing that is sent after it."""

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.sending import KafkaAway, Sender

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(kafka: EmbeddedKafka, fresh_name: Callable[[str], str]) -> str:
    """Takes no more than 1,000 bytes at once."""
    name = fresh_name("small")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs={"max.message.bytes": "1000"})])
    await admin.close()
    return name


async def test_after_a_batch_that_failed_the_next_is_taken(kafka: EmbeddedKafka, topic: str) -> None:
    sender = Sender({"bootstrap_servers": kafka.bootstrap_servers}, 10)
    try:
        (first,) = await sender.send(topic, b"acme", [b"first"], partition=1)
        for _ in range(2):
            with pytest.raises(KafkaAway):
                await sender.send(topic, b"acme", [b"too large" * 1_000], partition=1)
        second, third = await sender.send(topic, b"acme", [b"second", b"third"], partition=1)
    finally:
        await sender.stop()
    assert (first.partition, first.offset, second.offset, third.offset) == (1, 0, 1, 2)


async def test_a_batch_that_fails_when_nobody_waits_any_longer_harms_none_that_follows(
    kafka: EmbeddedKafka, topic: str
) -> None:
    sender = Sender({"bootstrap_servers": kafka.bootstrap_servers}, 10)
    try:
        await sender.send(topic, b"acme", [b"first"], partition=1)
        producer = sender._producer
        overtaken = asyncio.create_task(sender.send(topic, b"acme", [b"too large" * 1_000], partition=1))
        await asyncio.sleep(0)  # its producer has it, and Kafka cannot have answered yet
        overtaken.cancel()
        await asyncio.wait({overtaken})
        assert overtaken.cancelled()
        await producer.flush()
        (second,) = await sender.send(topic, b"acme", [b"second"], partition=1)
    finally:
        await sender.stop()
    assert second.offset == 1


async def test_without_kafka_it_says_so_in_time(unused_tcp_port: int) -> None:
    sender = Sender({"bootstrap_servers": f"127.0.0.1:{unused_tcp_port}"}, 0.5)
    for _ in range(2):
        with pytest.raises(KafkaAway):
            await sender.send("any", b"acme", [b"value"])
    await sender.stop()
