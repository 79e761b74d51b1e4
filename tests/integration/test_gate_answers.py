"""Where commands wait for the ledger's answers, on a real Kafka: a record that is no answer leaves nobody waiting."""

import asyncio
import json
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.gate import answers
from pipeline.gate.answers import AnswerDesk
from schemas.events import CommandApplied

pytestmark = pytest.mark.kafka


async def test_after_a_record_that_is_no_event_answers_are_heard(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_AGAIN_SECONDS", 0.0)
    topic, to_kafka = fresh_name("answers"), {"bootstrap_servers": kafka.bootstrap_servers}
    admin = AIOKafkaAdminClient(**to_kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    desk = AnswerDesk(to_kafka, topic)
    await desk.start()
    try:
        async with asyncio.timeout(30), AIOKafkaProducer(**to_kafka) as producer:
            while not desk.is_listening:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            answer = desk.ask("acme", "c-1")
            said = {"type": CommandApplied.TYPE, "data": {"org_id": "acme", "command_id": "c-1"}}
            for value in (b"no JSON", b"[]", json.dumps(said).encode()):
                await producer.send_and_wait(topic, value)
            assert (await answer).data == said["data"]
    finally:
        await desk.stop()
