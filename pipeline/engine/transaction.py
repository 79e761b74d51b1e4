"""One partition's transactional producer: effects go in, one committed Kafka transaction comes out, or an exception.

Starting the producer *claims* the partition: Kafka raises the epoch of its transactional id, aborts what an earlier
owner left open, and refuses everything that owner may still send.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition

from pipeline.engine.clients import close_producer, start_client
from pipeline.engine.contract import InvariantBroken
from pipeline.engine.preflight import Refused
from pipeline.engine.records import FORWARD_MAX_BYTES
from pipeline.engine.settings import MAX_BATCH_BYTES, EngineSettings

# Begun sooner after the last commit than this, a transaction meets the last one's markers and is put off by 20 ms.
_REST_SECONDS = 0.004
_ABORT_SECONDS = 5
_NO_HEADERS: list[tuple[str, bytes]] = []


class Write(NamedTuple):
    """One record to be written."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = _NO_HEADERS  # aiokafka wants a list
    timestamp_ms: int | None = None


class _Stored(NamedTuple):
    next_offset: int
    stamp_ms: int  # the broker's; -1 where the topic takes the producer's time


Writes = Mapping[TopicPartition, Sequence[Write]]


class Transactions:
    """The transactions of one partition, one after the other."""

    def __init__(self, settings: EngineSettings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._committed = float("-inf")
        self._producer = AIOKafkaProducer(
            **settings.kafka,
            transactional_id=settings.transactional_id(partition),
            transaction_timeout_ms=int(settings.transaction_timeout_seconds * 1_000),
            acks="all",
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=1_000_000,
        )

    async def claim(self) -> None:
        """Fence whoever held the partition, and learn where its topics lie."""
        async with asyncio.timeout(self._settings.transaction_timeout_seconds):
            await start_client(self._producer)
            for topic in self._settings.all_topics:
                await self._producer.partitions_for(topic)

    async def commit(
        self, writes: Writes, clock: TopicPartition | None, believed_ms: int = 0
    ) -> dict[TopicPartition, int]:
        """Write everything or nothing.

        Args:
            clock: the partition (of a topic that takes the broker's time) by whose stamp our clock is checked.
            believed_ms: the latest that our clock said and ledger time may rest on; it may have been set back since.

        Returns:
            The offset after the last record, of each partition written to.

        Raises:
            KafkaError, TimeoutError: nothing is known to be committed; drop the memory and claim again.
            InvariantBroken: a record that cannot be written.
            ClockRefused: our clock is not the broker's.
        """
        for tp, items in writes.items():
            _check_sizes(tp, items, self._settings)
        await asyncio.sleep(max(0.0, self._committed + _REST_SECONDS - time.monotonic()))
        await self._producer.begin_transaction()
        try:
            async with asyncio.timeout(self._settings.transaction_timeout_seconds):
                sent_ms = max(believed_ms, time.time_ns() // 1_000_000)
                # Each result is awaited before the commit: aiokafka commits although one of the produces failed.
                stored = await asyncio.gather(*(self._send(tp, items) for tp, items in writes.items()))
                if clock is not None:
                    check_clock(
                        sent_ms,
                        stored[list(writes).index(clock)].stamp_ms,
                        time.time_ns() // 1_000_000,
                        self._settings.clock_tolerance_seconds,
                    )
                await self._producer.commit_transaction()
        except BaseException:
            await self._abort()
            raise
        self._committed = time.monotonic()
        return {tp: place.next_offset for tp, place in zip(writes, stored, strict=True)}

    async def close(self) -> None:
        """Stop the producer; what it leaves open is aborted by the next claim."""
        await close_producer(self._producer, f"partition {self._partition}: its producer")

    async def _send(self, tp: TopicPartition, items: Sequence[Write]) -> "_Stored":
        producer = self._producer
        sent = []
        batch = producer.create_batch()
        for key, value, headers, timestamp_ms in items:
            if batch.append(key=key, value=value, headers=headers, timestamp=timestamp_ms) is None:
                sent.append(await producer.send_batch(batch, tp.topic, partition=tp.partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, headers=headers, timestamp=timestamp_ms)
        batch.close()
        sent.append(await producer.send_batch(batch, tp.topic, partition=tp.partition))
        last = (await asyncio.gather(*sent))[-1]
        return _Stored(last.offset + batch.record_count(), last.timestamp)

    async def _abort(self) -> None:
        """Abort at once, so that nobody's later records stay hidden behind an open transaction; best effort."""
        with suppress(Exception):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._producer.abort_transaction()


class ClockRefused(Refused):
    """This machine's clock cannot be trusted with ledger time (R44)."""


def check_clock(sent_ms: int, stamp_ms: int, received_ms: int, tolerance_seconds: float) -> None:
    """Compare our clock with the broker's, which stamped a record between our sending it and our hearing of it.

    Raises:
        ClockRefused: they differ by more than the tolerance, however long the record was under way.
    """
    off_ms = min(0, received_ms - stamp_ms) or max(0, sent_ms - stamp_ms)
    if abs(off_ms) > tolerance_seconds * 1_000:
        raise ClockRefused(
            f"this machine's clock is {off_ms / 1_000:+.1f} s off the broker's, more than {tolerance_seconds:g} s; "
            "set it right (NTP) and start the worker again"
        )


def _check_sizes(tp: TopicPartition, items: Sequence[Write], settings: EngineSettings) -> None:
    most = FORWARD_MAX_BYTES if tp.topic in settings.inputs.values() else MAX_BATCH_BYTES
    for item in items:
        if item.value is not None and len(item.value) > most:
            raise InvariantBroken(f"{tp.topic}: a record of {len(item.value)} bytes, {most} are the most")
