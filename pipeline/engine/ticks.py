"""Ticks, for importers and tests in replay mode: "nothing that arrived earlier will come", to every partition (R44)."""

import asyncio
from collections.abc import Iterable
from typing import Any

from pipeline.engine.records import TICK_TYPE, TYPE_HEADER


async def write_ticks(producer: Any, topics: Iterable[str], partitions: int, at_micros: int) -> None:
    """Write a tick to every partition of these topics: both inputs, under their full names.

    Args:
        producer: a started AIOKafkaProducer.
        at_micros: a whole millisecond, since that is what a record's timestamp holds; no earlier than what was written.
    """
    if at_micros % 1_000:
        raise ValueError(f"a tick is at a whole millisecond, {at_micros} µs is not")
    sent = [
        await producer.send(
            topic,
            value=b"",
            partition=partition,
            timestamp_ms=at_micros // 1_000,
            headers=[(TYPE_HEADER, TICK_TYPE)],
        )
        for topic in topics
        for partition in range(partitions)
    ]
    await asyncio.gather(*sent)
