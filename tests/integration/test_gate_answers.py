"""Where commands wait for the ledger's answers, on a real Kafka: what lies there from before, or is no
answer, leaves nobody waiting and answers nobody."""

import asyncio
import json
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.gate.answers import AnswerDesk
from schemas.events import CommandApplied

pytestmark = pytest.mark.kafka


async def test_after_a_record_that_is_no_event_answers_are_heard(
    kafka: EmbeddedKafka, fresh_name: Callable[[str], str]
) -> None:
    topic, to_kafka = fresh_name("answers"), {"bootstrap_servers": kafka.bootstrap_servers}
    admin = AIOKafkaAdminClient(**to_kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    before, said = (
        {"type": CommandApplied.TYPE, "data": {"org_id": "acme", "command_id": "c-1", "org_seq": seq}} for seq in (1, 2)
    )
    async with asyncio.timeout(30), AIOKafkaProducer(**to_kafka) as producer:
        await producer.send_and_wait(topic, json.dumps(before).encode())
        async with AnswerDesk(to_kafka, topic) as desk:
            answer = desk.ask("acme", "c-1")
            await desk.whole()
            for value in (b"no JSON", b"[]", json.dumps(said).encode()):
                await producer.send_and_wait(topic, value)
            assert (await answer).data == said["data"]
