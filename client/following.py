"""The topic credit-status comes in; a copy of it that stays up to date goes out (R33, R34).

All partitions are read from their beginning, committed records alone. The copy is whole once everything that lay there
at the start is taken in; after that it follows.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError

from schemas.status_copy import StatusCopy

logger = logging.getLogger(__name__)

_AT_A_TIME = 500
"""Records: a millisecond of the loop, in which nobody is answered."""
_AGAIN_SECONDS = 1.0


class StatusFollower:
    """Keeps a copy up to date, in a task of its own."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        """`kafka` is what every aiokafka client takes to reach the brokers."""
        self.copy = StatusCopy()
        self._kafka = dict(kafka)
        self._topic = topic
        self._task: asyncio.Task[None] | None = None
        self._is_level: dict[int, bool] = {}
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "StatusFollower":
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

    async def whole(self) -> None:
        """Wait until the copy is whole."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.copy.is_whole)

    async def reached(self, org_id: str, partition: int, org_seq: int) -> None:
        """Wait until what the ledger committed with this number of an organisation is in the copy, all of it."""

        def has_it() -> bool:
            organization = self.copy.organization(org_id)
            # One transaction may lie in several batches: it is there whole when nothing committed is left to read.
            return organization is not None and organization.org_seq >= org_seq and self._is_level.get(partition, False)

        async with self._changed:
            await self._changed.wait_for(has_it)

    async def _follow(self) -> None:
        while True:
            # In no group: all partitions are ours.
            consumer = AIOKafkaConsumer(
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
                logger.warning("credit-status: %s; again in %.0f s", error or type(error).__name__, _AGAIN_SECONDS)
                await asyncio.sleep(_AGAIN_SECONDS)
            finally:
                await consumer.stop()

    async def _read(self, consumer: Any) -> None:
        places = sorted(consumer.assignment())
        if not places:
            raise UnknownTopicOrPartitionError(f"{self._topic} is not there yet")
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        left = set(places)
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=_AT_A_TIME)
            for place, records in batches.items():
                await self._take(place.partition, records)
                stable = consumer.last_stable_offset(place)
                self._is_level[place.partition] = stable is None or await consumer.position(place) >= stable
            for place in list(left):
                if await consumer.position(place) >= ends[place]:
                    left.discard(place)
            if batches or not self.copy.is_whole:
                async with self._changed:
                    self.copy.is_whole = self.copy.is_whole or not left
                    self._changed.notify_all()

    async def _take(self, partition: int, records: Any) -> None:
        take = self.copy.take
        for begin in range(0, len(records), _AT_A_TIME):
            for record in records[begin : begin + _AT_A_TIME]:
                try:
                    take(partition, record.key, record.value)
                except (ValueError, TypeError, KeyError, IndexError) as error:
                    logger.error("credit-status[%d] offset %d is no status: %s", partition, record.offset, error)
            await asyncio.sleep(0)  # whoever asks meanwhile is answered
