"""Kafka for who only looks on: partitions and ends in, committed records out; and a moment when nothing is open."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.engine.clients import close_consumer
from pipeline.errors import Mendable
from pipeline.settings import Settings

_POLL_MILLIS = 200
_LOOK_AGAIN_SECONDS = 0.003
_STILL_SECONDS = 60.0

Record = Any
"""aiokafka's ConsumerRecord."""

Ends = Mapping[TopicPartition, int]


class NeverStill(Mendable):
    """Some transaction was open whenever it was looked: one hangs, or they leave no moment between them."""


class Reader:
    """Three consumers: one reads; two are only asked, since an answer waits behind what a connection still fetches."""

    def __init__(self, reading: Any, decided: Any, written: Any) -> None:
        self._reading = reading
        self._decided = decided
        self._written = written

    async def stable_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where what is decided ends, committed or aborted."""
        ends: dict[TopicPartition, int] = await self._decided.end_offsets(list(places))
        return ends

    async def written_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where all that was written ends, open transactions included."""
        ends: dict[TopicPartition, int] = await self._written.end_offsets(list(places))
        return ends

    async def beginnings(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offsets that are still kept."""
        beginnings: dict[TopicPartition, int] = await self._decided.beginning_offsets(list(places))
        return beginnings

    async def still_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where these end at one moment between two transactions: each transaction lies before it whole, or behind.

        First it is asked how far all is decided, then how far anything is written. Neither goes back; so where the two
        are the same everywhere, nothing was open anywhere at the moment between the two questions.

        Raises:
            NeverStill: there was no such moment within a minute.
        """
        deadline = time.monotonic() + _STILL_SECONDS
        while True:
            stable = await self.stable_ends(places)
            written = await self.written_ends(places)
            if stable == written:
                return stable
            if time.monotonic() > deadline:
                still_open = ", ".join(f"{p.topic}[{p.partition}]" for p in places if stable[p] < written[p])
                raise NeverStill(
                    f"no moment without an open transaction within {_STILL_SECONDS:.0f} s, last in {still_open}; see "
                    "docs/operations.md, hanging transactions"
                )
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def from_beginning(self, ends: Ends) -> AsyncIterator[Sequence[Record]]:
        """Every committed record up to the ends, partition by partition in order, a batch at a time."""
        self._reading.assign(list(ends))
        await self._reading.seek_to_beginning(*ends)
        async for records in self.further(ends):
            yield records

    async def further(self, ends: Ends) -> AsyncIterator[Sequence[Record]]:
        """As `from_beginning`, from where the last reading of the same partitions ended."""
        left = set(ends)
        while True:
            for place in list(left):
                # The position, not the last record's offset: markers of transactions take offsets too.
                if await self._reading.position(place) >= ends[place]:
                    left.discard(place)
                    self._reading.pause(place)
            if not left:
                self._reading.resume(*ends)
                return
            for place, records in (await self._reading.getmany(*left, timeout_ms=_POLL_MILLIS)).items():
                wanted = records
                if records[-1].offset >= ends[place]:
                    # Back, also where nothing of it is wanted: what lies behind the end is for the next reading.
                    self._reading.seek(place, ends[place])
                    wanted = [record for record in records if record.offset < ends[place]]
                if wanted:
                    yield wanted

    async def record_at(self, place: TopicPartition, offset: int) -> Record | None:
        """The record that lies there; None where there is none, or none any more."""
        end = (await self.stable_ends([place]))[place]
        if not (await self.beginnings([place]))[place] <= offset < end:
            return None
        self._reading.assign([place])
        self._reading.seek(place, offset)
        while await self._reading.position(place) <= offset:
            for record in (await self._reading.getmany(place, timeout_ms=_POLL_MILLIS, max_records=1)).get(place, ()):
                return record if record.offset == offset else None
        return None


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Reader]:
    """A reader, closed at the end."""
    async with (
        consumer(settings, "read_committed") as reading,
        consumer(settings, "read_committed") as decided,
        consumer(settings, "read_uncommitted") as written,
    ):
        yield Reader(reading, decided, written)


@asynccontextmanager
async def consumer(settings: Settings, isolation_level: str) -> AsyncIterator[Any]:
    """A consumer in no group."""
    started = AIOKafkaConsumer(
        **settings.kafka(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=isolation_level,
        fetch_max_wait_ms=_POLL_MILLIS // 2,
    )
    try:
        await started.start()
        yield started
    finally:
        await close_consumer(started, "a reader")


def places(settings: Settings, topic_names: Iterable[str], partitions: Iterable[int]) -> list[TopicPartition]:
    """These partitions of these topics, as the cluster names them."""
    numbers = list(partitions)
    return [TopicPartition(settings.topic_prefix + name, number) for name in topic_names for number in numbers]
