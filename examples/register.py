"""Register an organisation, as billing would: a command on `account-commands`; its answer on `account-events`.

usage: python examples/register.py ORG_ID team|enterprise PRIMARY_OWNER      (KAFKA_BOOTSTRAP_SERVERS says where)
"""

import asyncio
import json
import os
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


async def register(org_id: str, plan: str, primary_owner: str) -> str | None:
    """Why it was refused; None if it was not."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    command = {
        "command": "register_organization",
        "command_id": f"register-{org_id}",  # sent again with the same id, it is applied once
        "org_id": org_id,
        "actor": {"kind": "service", "id": "billing", "scopes": ["billing:write"]},
        "plan": plan,
        "primary_owner": primary_owner,
    }
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    answers = AIOKafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    async with producer, answers:
        answers.assign([TopicPartition("account-events", at) for at in await producer.partitions_for("account-events")])
        await answers.seek_to_end()
        await producer.send_and_wait("account-commands", json.dumps(command).encode(), key=org_id.encode())
        async for record in answers:
            answer = json.loads(record.value)
            if answer["data"]["org_id"] == org_id and answer["data"]["command_id"] == command["command_id"]:
                print(f"{org_id}: {answer['type']}")
                return answer["data"].get("detail")
    return "nobody answered"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(asyncio.run(register(*sys.argv[1:])))
