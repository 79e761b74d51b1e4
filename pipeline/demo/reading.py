"""Kafka as the demo reads it: topics in, what was committed to them out; and when the ledger has read everything."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LEDGER_JOURNAL, USAGE_EVENTS, Topic

_POLL_MILLIS = 200

Record = Any
"""aiokafka's ConsumerRecord."""


async def read_topics(settings: Settings, topics: Iterable[Topic]) -> dict[str, list[Record]]:
    """Every committed record of each topic (by its name without the prefix), partition by partition, in order."""
    records: dict[str, list[Record]] = {}
    async with _consumer(settings, "read_committed") as consumer:
        for topic in topics:
            places = _places(settings, topic)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            found: list[Record] = []
            while not await _has_reached(consumer, ends):
                for batch in (await consumer.getmany(timeout_ms=_POLL_MILLIS)).values():
                    found += batch
            records[topic.name] = sorted(found, key=lambda record: (record.partition, record.offset))
    return records


async def ledger_has_read_everything(
    settings: Settings, on_progress: Callable[[int, int], None], check: Callable[[], None]
) -> None:
    """Wait until the journal covers every record of both inputs, forwarded ones included.

    Args:
        on_progress: hears (records read by the ledger, records there).
        check: called twice a second or more often; raises if it makes no sense to wait on.
    """
    inputs = {"usage": USAGE_EVENTS, "commands": ACCOUNT_COMMANDS}
    input_of = {settings.topic_prefix + topic.name: name for name, topic in inputs.items()}
    places = [place for topic in inputs.values() for place in _places(settings, topic)]
    behind: dict[tuple[str, int], int] = {}  # one past the last record of an input's partition
    read_to: dict[tuple[str, int], int] = {}  # how far the journal says the ledger has read it
    async with _consumer(settings, "read_committed") as consumer, _consumer(settings, "read_uncommitted") as raw:
        consumer.assign([*places, *_places(settings, LEDGER_JOURNAL)])
        raw.assign(places)
        await consumer.seek_to_beginning()
        while True:
            batches = await consumer.getmany(timeout_ms=_POLL_MILLIS)
            for place, records in batches.items():
                if name := input_of.get(place.topic):
                    behind[name, place.partition] = records[-1].offset + 1
                else:
                    line = json.loads(records[-1].value)
                    read_to |= {(name, place.partition): line[name][1] for name in inputs}
            on_progress(sum(min(read_to.get(key, 0), end) for key, end in behind.items()), sum(behind.values()))
            check()
            is_read = all(read_to.get(key, 0) >= end for key, end in behind.items())
            # A forward becomes readable a moment after the journal line of its transaction, but it lies there before:
            # so the end to reach is that of everything written, committed or not.
            if behind and is_read and not batches and await _has_reached(consumer, await raw.end_offsets(places)):
                return


async def _has_reached(consumer: Any, ends: dict[TopicPartition, int]) -> bool:
    for place, end in ends.items():
        if await consumer.position(place) < end:
            return False
    return True


def _places(settings: Settings, topic: Topic) -> list[TopicPartition]:
    return [TopicPartition(settings.topic_prefix + topic.name, number) for number in range(settings.partitions)]


@asynccontextmanager
async def _consumer(settings: Settings, isolation_level: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **settings.kafka(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=isolation_level,
        fetch_max_wait_ms=_POLL_MILLIS // 2,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
