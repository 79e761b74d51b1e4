"""What producers choose beside the bytes of a record costs neither that record nor those beside it (R17)."""

from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, USAGE_EVENTS
from pipeline.topics_admin import create_topics
from tests.support import header_names
from tests.support.builders import add_member, as_json, register, searches, set_credits
from tests.support.dead_letter_desk import ledger, letters_of, now, rows_of, send_commands, settled

pytestmark = pytest.mark.kafka

Headers = Sequence[tuple[str, bytes]]


@pytest.fixture
async def settings(kafka: EmbeddedKafka, topic_prefix: str) -> Settings:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=topic_prefix, partitions=1)
    await create_topics(settings)
    return settings


async def test_a_headers_name_need_not_be_text(settings: Settings) -> None:
    bad: Headers = [(header_names.Name(b"\xff\xfe"), b"x")]
    commands = [(as_json(register()), bad), (as_json(set_credits()), []), (as_json(add_member()), bad)]
    usage = [
        (as_json(searches(f"e-{number}", 1, occurred_at=now())), bad if number % 3 == 1 else []) for number in range(9)
    ]
    async with ledger(settings):
        with header_names.written():
            await _send(settings, ACCOUNT_COMMANDS.name, commands)
            await _send(settings, USAGE_EVENTS.name, usage)
        await settled(settings)
    assert [row.event_id for row in await rows_of(settings)] == [f"e-{number}" for number in range(9)]
    assert await letters_of(settings) == []


async def _send(settings: Settings, topic: str, records: Sequence[tuple[bytes, Headers]]) -> None:
    producer = AIOKafkaProducer(**settings.kafka(), linger_ms=20)
    await producer.start()
    try:
        for sent in [
            await producer.send(settings.topic_prefix + topic, value, headers=headers) for value, headers in records
        ]:
            await sent
    finally:
        await producer.stop()


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_any_codec_will_do(settings: Settings, codec: str) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "compression.type": codec, "linger.ms": 50}
    )
    async with ledger(settings):
        await send_commands(settings, register(), set_credits(), add_member())
        for number in range(50):
            value = as_json(searches(f"e-{number}", 1, occurred_at=now()))
            producer.produce(settings.topic_prefix + USAGE_EVENTS.name, value, key=b"acme")
        assert producer.flush(30) == 0
        await settled(settings)
    assert len(await rows_of(settings)) == 50
