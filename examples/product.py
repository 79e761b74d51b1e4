"""Requests of one member come in; each is served while the member may spend, and what it used goes out as usage.

usage: python examples/product.py [ORG_ID USER_ID]      (KAFKA_BOOTSTRAP_SERVERS says where)

Whether the member may is asked before every request, of a copy of `credit-status` in this process: from memory,
whatever else is away. A copy that is a minute behind cannot tell, and then the answer is no. Ends with the first
request that is denied; of an organisation without a limit, with Ctrl-C.
"""

import asyncio
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from client.admission import Admission, LocalCopy
from schemas.money import headroom_for_people


def answer(org_id: str, user_id: str) -> dict[str, Any]:
    """What a request used. Here the model would be called; this one wrote for three dollars."""
    return {
        "org_id": org_id,
        "user_id": user_id,
        "event_id": str(uuid.uuid4()),
        "source": "chat",
        "occurred_at": datetime.now(UTC).isoformat(),
        "product": "chat",
        "model": "claude-sonnet-4-6",
        "funding": "credits",
        "output_tokens": 200_000,
    }


def words(admission: Admission) -> str:
    """What to tell the member."""
    if admission.allowed:
        left = admission.headroom_picousd
        return "unlimited" if left is None else f"{headroom_for_people(left)} left"
    until = admission.ends_at_micros
    when = (
        "until somebody changes it" if until is None else f"until {datetime.fromtimestamp(until / 1e6, UTC):%F %R} UTC"
    )
    return f"{', '.join(admission.reasons)}, {when}"


async def serve(org_id: str, user_id: str) -> None:
    kafka = {"bootstrap_servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")}
    producer = AIOKafkaProducer(**kafka, acks="all", enable_idempotence=True)
    async with producer, LocalCopy(kafka) as copy:
        await copy.follower.whole()
        while (admission := copy.admission(org_id, user_id)).allowed:
            print(f"served: {words(admission)}", flush=True)
            usage = answer(org_id, user_id)
            await producer.send_and_wait("usage-events", json.dumps(usage).encode(), key=org_id.encode())
            await asyncio.sleep(0.5)  # the member reads; by the next request the ledger has said what this one cost
        print(f"denied: {words(admission)}")


if __name__ == "__main__":
    asyncio.run(serve(*(sys.argv[1:] or ("northwind", "bruno"))))
