"""What is to be collected comes in, from `reload-requests` and `invoices`; what became of it goes out, as commands.

A stand-in for your payment service: it charges nobody, and says that everything was paid, or a share of it.

usage: python examples/payments.py [--fail PERCENT]      (KAFKA_BOOTSTRAP_SERVERS says where)

It may be killed at any moment and started again. A request is answered before it is noted as read, so none is left
out; and the ids in an answer are made of the request's own, so answering twice credits once.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
from decimal import Decimal
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

COLLECTED = (
    "usage-credits.reload.requested",
    "usage-credits.purchase.requested",
    "usage-credits.invoice.finalized",
)
BILLING = {"kind": "service", "id": "billing", "scopes": ["billing:write"]}


def collect(payment_id: str, org_id: str, amount_usd: str, fail_percent: int) -> bool:
    """Whether the customer paid. Here your own service would be called, with `payment_id` as its idempotency key."""
    return hashlib.sha256(f"{org_id} {payment_id} {amount_usd}".encode()).digest()[0] * 100 // 256 >= fail_percent


def answer(request: dict[str, Any], fail_percent: int) -> dict[str, Any] | None:
    """The command that answers a request or an invoice, if there is anything to say."""
    if request["type"] == "usage-credits.invoice.finalized":
        return _pay_invoice(request["data"], fail_percent)
    data = request["data"]
    is_reload = request["type"] == "usage-credits.reload.requested"
    asked = {"reload_id": data["reload_id"]} if is_reload else {"purchase_id": data["purchase_id"]}
    (asked_id,) = asked.values()
    payment_id = f"payment-{asked_id}"
    amount_usd = _usd(data["amount_picousd"])
    common = {"org_id": data["org_id"], "actor": BILLING, **asked}
    if collect(payment_id, data["org_id"], amount_usd, fail_percent):
        return {
            "command": "report_reload_paid" if is_reload else "confirm_payment",
            "command_id": f"paid-{asked_id}",
            "payment_id": payment_id,
            "amount_usd": amount_usd,
            **common,
        }
    if is_reload:
        detail = "the card was declined"
        return {"command": "report_reload_failed", "command_id": f"failed-{asked_id}", "detail": detail, **common}
    return None  # a purchase that was not paid: the owner hears of it from you, the ledger need not


def _pay_invoice(invoice: dict[str, Any], fail_percent: int) -> dict[str, Any] | None:
    """All that is due of it, at once."""
    org_id, number, amount_usd = invoice["org_id"], invoice["number"], _usd(invoice["due_picousd"])
    payment_id = f"payment-invoice-{number}"
    if not collect(payment_id, org_id, amount_usd, fail_percent):
        return None
    return {
        "command": "confirm_payment",
        "command_id": f"paid-invoice-{number}",
        "org_id": org_id,
        "actor": BILLING,
        "payment_id": payment_id,
        "invoice_number": number,
        "amount_usd": amount_usd,
    }


def _usd(picousd: str) -> str:
    return f"{Decimal(picousd).scaleb(-12):.2f}"


async def serve(servers: str, topic_prefix: str, group: str, fail_percent: int) -> None:
    consumer = AIOKafkaConsumer(
        topic_prefix + "reload-requests",
        topic_prefix + "invoices",
        bootstrap_servers=servers,
        group_id=topic_prefix + group,
        isolation_level="read_committed",  # without it you collect what the ledger never said
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    async with consumer, producer:
        async for record in consumer:
            request = json.loads(record.value)
            if request["type"] not in COLLECTED or request["data"].get("due_picousd") == "0":
                continue
            command = answer(request, fail_percent)
            said = command["command"] if command else "not paid"
            print(f"{request['data']['org_id']}: {request['type']} -> {said}", flush=True)
            if command:
                topic, key = topic_prefix + "account-commands", command["org_id"].encode()
                await producer.send_and_wait(topic, json.dumps(command).encode(), key=key)
            await consumer.commit()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answer what the ledger asks billing to collect, until Ctrl-C.")
    parser.add_argument("--fail", type=int, default=0, metavar="PERCENT", help="so many of a hundred are not paid")
    parser.add_argument("--group", default="payments", help="another name reads all from the beginning")
    options = parser.parse_args()
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(servers, os.environ.get("TOPIC_PREFIX", ""), options.group, options.fail))
