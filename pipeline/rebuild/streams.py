"""Partitions of topics read side by side, each once from its beginning: places and ends in, records one by one out."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.engine.clients import close_consumer
from pipeline.settings import Settings

_POLL_MILLIS = 200
_AT_ONCE = 2_000

Record = Any
"""aiokafka's ConsumerRecord."""

Kept = tuple[int, int]
"""The first offset that is kept, and the one after the last that is to be read."""


class Stream:
    """The committed records of one partition up to an end.

    Attributes:
        position: the offset from which on nothing was handed out; at first, the beginning of what is kept.
    """

    def __init__(self, settings: Settings, place: TopicPartition, kept: Kept) -> None:
        self.place = place
        self.position, self.end = kept
        self._fetched_to = self.position
        self._waiting: deque[Record] = deque()
        # Its own, so that one that waits does not hold up the others.
        self._consumer = AIOKafkaConsumer(
            **settings.kafka(),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=_POLL_MILLIS // 2,
        )

    async def open(self) -> None:
        """Take up reading; where nothing is kept, there is nothing to ask."""
        if self.position < self.end:
            await self._consumer.start()
            self._consumer.assign([self.place])
            self._consumer.seek(self.place, self.position)

    async def close(self) -> None:
        await close_consumer(self._consumer, "a stream")

    async def next(self, before: int | None = None) -> Record | None:
        """The next record; None at the end, or where the next one lies at this offset or behind it."""
        end = self.end if before is None else min(before, self.end)
        # The consumer's position, not the last record's offset: markers of transactions take offsets too.
        while not self._waiting and self._fetched_to < end:
            found = await self._consumer.getmany(self.place, timeout_ms=_POLL_MILLIS, max_records=_AT_ONCE)
            self._waiting += found.get(self.place, ())
            self._fetched_to = await self._consumer.position(self.place)
        if not self._waiting or self._waiting[0].offset >= end:
            return None
        record = self._waiting.popleft()
        self.position = record.offset + 1
        return record

    async def before(self, offset: int) -> list[Record]:
        """All records up to this offset that were not read yet."""
        records = []
        while (record := await self.next(offset)) is not None:
            records.append(record)
        return records


@asynccontextmanager
async def open_streams(
    settings: Settings, kept: Mapping[TopicPartition, Kept]
) -> AsyncIterator[dict[TopicPartition, Stream]]:
    """A stream for each place."""
    streams = {place: Stream(settings, place, span) for place, span in kept.items()}
    try:
        await asyncio.gather(*(stream.open() for stream in streams.values()))
        yield streams
    finally:
        await asyncio.gather(*(stream.close() for stream in streams.values()))
