"""The topic credit-status comes in; a copy of it that stays up to date goes out (R33, R34).

All partitions are read from their beginning, committed records alone. The copy is whole once everything that lay there
at the start is taken in; after that it follows. A new connection goes on where the last one was: read anew, what was
true a while ago would pass for what is. Other compacted topics are followed the same way.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NoBrokersAvailable, UnknownTopicOrPartitionError

from schemas.status_copy import StatusCopy

logger = logging.getLogger(__name__)

_AT_A_TIME = 500
"""Records: a millisecond of the loop, in which nobody is answered."""
_AGAIN_SECONDS = 1.0


class TopicFollower(ABC):
    """Takes in all that lies in a topic, and then what comes, in a task of its own."""

    def __init__(self, kafka: Mapping[str, Any], topic: str, *, only_new: bool = False) -> None:
        """`kafka` is what every aiokafka client takes to reach the brokers; `only_new` passes over what lies there."""
        self._kafka = dict(kafka)
        self._topic = topic
        self._only_new = only_new
        self._task: asyncio.Task[None] | None = None
        self._consumer: Any = None
        self._taken: dict[int, int] = {}  # per partition, the offset up to which all is taken in
        self._is_level: dict[int, bool] = {}
        self._is_whole = False
        self._changed = asyncio.Condition()

    @abstractmethod
    def take(self, record: Any) -> None:
        """Take one record in; what it cannot be raises a ValueError or the like, and is passed over."""

    def on_whole(self) -> None:
        """All that lay there at the start is taken in."""
        self._is_whole = True

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_running(self) -> bool:
        """Whether records are still taken in; if not, the copy grows old and says so."""
        return self._task is not None and not self._task.done()

    @property
    def is_whole(self) -> bool:
        """Whether all that lay there at the start is taken in."""
        return self._is_whole

    async def whole(self) -> None:
        """Wait until the copy is whole."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_whole)

    async def taken(self, partition: int, offset: int) -> None:
        """Wait until this record is taken in."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._taken.get(partition, 0) > offset)

    async def up_to_now(self) -> None:
        """Wait until all that is committed by now is taken in.

        That a transaction is committed comes to its partitions one by one. What one of them shows already may here
        still be open: so this waits for whatever was written by now, open transactions included.

        Raises:
            KafkaError: it cannot be told how much that is.
        """
        await self.whole()
        places = self._consumer.assignment()
        if not places:
            raise NoBrokersAvailable(f"{self._topic} is not read now")
        async with AIOKafkaConsumer(**self._kafka, isolation_level="read_uncommitted") as looking:
            ends = await looking.end_offsets(places)
        for place, end in ends.items():
            await self.taken(place.partition, end - 1)

    async def _follow(self) -> None:
        while True:
            # In no group: all partitions are ours.
            consumer = self._consumer = AIOKafkaConsumer(
                self._topic,
                **self._kafka,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=4 << 20,
            )
            try:
                await consumer.start()
                await self._read(consumer)
            except Exception as error:  # whatever it was: a copy that stands still only grows old
                again = f"again in {_AGAIN_SECONDS:.0f} s"
                logger.warning("%s: %s; %s", self._topic, error or type(error).__name__, again)
                await asyncio.sleep(_AGAIN_SECONDS)
            finally:
                await _stop(consumer)

    async def _read(self, consumer: Any) -> None:
        places = sorted(consumer.assignment())
        if not places:
            raise UnknownTopicOrPartitionError(f"{self._topic} is not there yet")
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        for place in places:
            if place.partition in self._taken:
                consumer.seek(place, self._taken[place.partition])
            elif self._only_new:
                consumer.seek(place, ends[place])
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=_AT_A_TIME)
            for place, records in batches.items():
                await self._take_all(records)
                stable = consumer.last_stable_offset(place)
                self._is_level[place.partition] = stable is None or await consumer.position(place) >= stable
            for place in places:
                # The position, not the last record's offset: markers of transactions take offsets too.
                self._taken[place.partition] = await consumer.position(place)
            if not self._is_whole and all(self._taken[place.partition] >= end for place, end in ends.items()):
                self.on_whole()
            async with self._changed:
                self._changed.notify_all()

    async def _take_all(self, records: Any) -> None:
        for begin in range(0, len(records), _AT_A_TIME):
            for record in records[begin : begin + _AT_A_TIME]:
                try:
                    self.take(record)
                except (ValueError, TypeError, LookupError, RecursionError) as error:
                    where = f"{self._topic}[{record.partition}] offset {record.offset}"
                    logger.error("%s is passed over: %s", where, error)
            await asyncio.sleep(0)  # whoever asks meanwhile is answered


async def _stop(consumer: Any) -> None:
    # A task of its own: where a fetch waits to be tried again, aiokafka ends this as if we were cancelled.
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait({stopping})
    if stopping.cancelled() or stopping.exception() is not None:
        await consumer._client.close()  # and leaves this open


class StatusFollower(TopicFollower):
    """Keeps a copy of credit-status up to date."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        """`kafka` is what every aiokafka client takes to reach the brokers."""
        super().__init__(kafka, topic)
        self.copy = StatusCopy()

    def take(self, record: Any) -> None:
        """One record of credit-status."""
        self.copy.take(record.partition, record.key, record.value)

    def on_whole(self) -> None:
        """Admission may be answered."""
        super().on_whole()
        self.copy.is_whole = True

    async def reached(self, org_id: str, partition: int, org_seq: int) -> None:
        """Wait until what the ledger committed with this number of an organisation is in the copy, all of it."""

        def has_it() -> bool:
            organization = self.copy.organization(org_id)
            # One transaction may lie in several batches: it is there whole when nothing committed is left to read.
            return organization is not None and organization.org_seq >= org_seq and self._is_level.get(partition, False)

        async with self._changed:
            await self._changed.wait_for(has_it)
