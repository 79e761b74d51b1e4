"""Partitions of topics read side by side, each once from its beginning: places and ends in, records one by one out."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.settings import Settings

_POLL_MILLIS = 200
_AT_ONCE = 2_000

Record = Any
"""aiokafka's ConsumerRecord."""


class Stream:
    """The committed records of one partition up to an end.

    Attributes:
        position: the offset from which on nothing was handed out; at first, the beginning of what is kept.
    """

    def __init__(self, consumer: AIOKafkaConsumer, place: TopicPartition, beginning: int, end: int) -> None:
        self.place = place
        self.position = beginning
        self.end = end
        self._consumer = consumer
        self._waiting: deque[Record] = deque()
        self._fetched_to = beginning

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
    settings: Settings, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[dict[TopicPartition, Stream]]:
    """A stream for each place; each has a consumer of its own, so that one that waits does not hold up the others."""
    async with AsyncExitStack() as stack:
        streams = {}
        for place, end in ends.items():
            consumer = AIOKafkaConsumer(
                **settings.kafka(),
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                fetch_max_wait_ms=_POLL_MILLIS // 2,
            )
            stack.push_async_callback(consumer.stop)
            await consumer.start()
            consumer.assign([place])
            beginning = (await consumer.beginning_offsets([place]))[place]
            consumer.seek(place, beginning)
            streams[place] = Stream(consumer, place, beginning, end)
        yield streams
