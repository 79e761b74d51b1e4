"""Limits reached come in, from `limit-breaches`; a book of them goes out, in which each stands once.

usage: python examples/breaches.py [BOOK]      (KAFKA_BOOTSTRAP_SERVERS says where; the book is a file of SQLite)

A stand-in for what billing does when credits pause or go on. The place up to which the topic is read lies in the same
file as the book, and both are written in one transaction: killed at any moment and started again, it leaves nothing out
and does nothing twice. Where what you do cannot share a transaction with the place, a call or a mail, send the event's
`id` along as its idempotency key, and note the place afterwards: an event has the same id for ever.
"""

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer

TOPIC = os.environ.get("TOPIC_PREFIX", "") + "limit-breaches"
TABLES = """
    CREATE TABLE IF NOT EXISTS places (
        topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
    );
    CREATE TABLE IF NOT EXISTS breaches (id TEXT PRIMARY KEY, at TEXT, org_id TEXT, type TEXT, data TEXT);
"""


def enter(book: sqlite3.Connection, record: Any) -> None:
    """One event into the book. Here your own tables would be written, by the same connection."""
    event = json.loads(record.value)
    row = (event["id"], event["time"], event["data"]["org_id"], event["type"], json.dumps(event["data"]))
    entered = book.execute("INSERT INTO breaches VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount
    print(f"{row[1]}  {row[2]}: {row[3]}" + ("" if entered else ", which the book has already"), flush=True)


async def keep(book: sqlite3.Connection, servers: str) -> None:
    # In no group: every partition is ours, and where we are is not Kafka's to remember.
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=servers,
        isolation_level="read_committed",  # without it you act upon what the ledger never said
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        for place in consumer.assignment():
            known = book.execute("SELECT next_offset FROM places WHERE (topic, partition) = (?, ?)", place).fetchone()
            if known:
                consumer.seek(place, known[0])
        while True:
            for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
                with book:  # one transaction: what they mean, and that they are read
                    for record in records:
                        enter(book, record)
                    book.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", (*place, records[-1].offset + 1))


if __name__ == "__main__":
    with contextlib.closing(sqlite3.connect(sys.argv[1] if sys.argv[1:] else "breaches.db")) as book:
        book.executescript(TABLES)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(keep(book, os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")))
