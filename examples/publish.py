"""Publish one usage event, as a product would: a CloudEvent on `usage-events`, keyed by the organisation.

usage: python examples/publish.py [ORG_ID USER_ID [OUTPUT_TOKENS]]      (KAFKA_BOOTSTRAP_SERVERS says where)
"""

import asyncio
import json
import os
import sys
import uuid
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer


async def publish(org_id: str, user_id: str, output_tokens: str = "800") -> None:
    event = {
        "specversion": "1.0",
        "type": "usage-credits.usage.v1",
        "id": str(uuid.uuid4()),  # sent again with the same id, it is counted once
        "source": "chat",
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "org_id": org_id,
            "user_id": user_id,
            "product": "chat",
            "model": "claude-sonnet-4-6",
            "funding": "credits",
            "input_tokens": 1_200,
            "output_tokens": int(output_tokens),
            "cache_read_tokens": 45_000,
        },
    }
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
        acks="all",
        enable_idempotence=True,
    )
    await producer.start()
    try:
        # The key decides the partition; everything about one organisation happens in one.
        sent = await producer.send_and_wait("usage-events", json.dumps(event).encode(), key=org_id.encode())
        print(f"{event['id']} is in {sent.topic}[{sent.partition}] at offset {sent.offset}")
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(publish(*(sys.argv[1:] or ("northwind", "nadia"))))
