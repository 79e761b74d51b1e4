"""Fetches both inputs of one partition into their buffers; what is buffered is never fetched again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from pipeline.engine.buffers import InputBuffer
from pipeline.engine.contract import Input, InvariantBroken
from pipeline.engine.journal import EngineCell
from pipeline.engine.observer import Waiting
from pipeline.engine.settings import EngineSettings

Ends = Callable[[Sequence[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]
"""Asks the brokers where partitions end, records of open transactions included (the high watermark)."""

# aiokafka decodes records while it hands them over: so many take a few milliseconds of the loop.
_STRIDE_RECORDS = 1_000


class Inputs:
    """Both inputs of a partition, read by `assign()`, so that no rebalance can disturb a fetch.

    A buffer that is full is not asked for more: that is the back-pressure.

    Attributes:
        believed_micros: the latest that our clock said and a buffer's floor was raised to.
    """

    def __init__(self, settings: EngineSettings, partition: int, consumer: AIOKafkaConsumer, ends: Ends) -> None:
        self._settings = settings
        self._consumer = consumer
        self._ends = ends
        self._tps: dict[Input, TopicPartition] = {
            name: TopicPartition(topic, partition) for name, topic in settings.inputs.items()
        }
        self._drained_checked = float("-inf")
        self._ends_at_claim: Mapping[TopicPartition, int] = {}
        self.believed_micros = 0
        self.usage = InputBuffer("usage", 0)
        self.commands = InputBuffer("commands", 0)

    @property
    def buffers(self) -> tuple[InputBuffer, InputBuffer]:
        return self.usage, self.commands

    async def open(self, cell: EngineCell | None) -> None:
        """Take up reading where the state says; a partition never begun, from what Kafka still has."""
        tps = list(self._tps.values())
        self._consumer.assign(tps)
        self._ends_at_claim = await self._consumer.end_offsets(tps)
        first = await self._consumer.beginning_offsets(tps)
        usage, commands = self._tps["usage"], self._tps["commands"]
        self.usage = InputBuffer(
            "usage", cell.usage if cell else first[usage], cell.usage_arrival_micros if cell else 0
        )
        self.commands = InputBuffer(
            "commands", cell.commands if cell else first[commands], cell.commands_arrival_micros if cell else 0
        )
        for buffer in self.buffers:
            self._consumer.seek(self._tps[buffer.name], buffer.position)
        await self._look_behind()

    async def fetch(self, wait_seconds: float) -> None:
        """Add what has come to the buffers; wait for it no longer than this.

        Raises:
            InvariantBroken: Kafka does not have what is to be read next.
        """
        try:
            await self._fetch(wait_seconds)
        except OffsetOutOfRangeError as error:
            if not (gone := await self._what_is_gone()):
                raise
            raise InvariantBroken(
                f"{gone}: Kafka deleted what was not read yet, or lost its end, or is another one; to go on would lose "
                "usage without a word. See docs/operations.md, When it does not start"
            ) from error
        if self.commands.behind:
            await self._look_behind()

    async def _fetch(self, wait_seconds: float) -> None:
        most = self._settings.max_records
        # What is left of earlier fetches counts in bytes too: where much waits, a record may be an array of a megabyte.
        hungry = [buffer for buffer in self.buffers if buffer.size_bytes < self._settings.fetch_bytes]
        timeout_ms = int(wait_seconds * 1_000)
        while wanted := [self._tps[buffer.name] for buffer in hungry if len(buffer.records) < most]:
            fetched = await self._consumer.getmany(*wanted, timeout_ms=timeout_ms, max_records=_STRIDE_RECORDS)
            for buffer in self.buffers:
                if records := fetched.get(self._tps[buffer.name]):
                    buffer.extend(records)
            if not fetched:
                break
            timeout_ms = 0
            await asyncio.sleep(0)

    async def _what_is_gone(self) -> str:
        tps = list(self._tps.values())
        first, end = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
        gone = []
        for tp in tps:
            position = await self._consumer.position(tp)
            if position < first[tp]:
                gone.append(f"{tp.topic}-{tp.partition} was read up to {position} and begins at {first[tp]}")
            elif position > end[tp]:
                gone.append(f"{tp.topic}-{tp.partition} was read up to {position} and ends at {end[tp]}")
        return " and ".join(gone)

    async def check_drained(self) -> None:
        """Find out, about once a second, whether an empty buffer means that all is read up to this instant.

        The clock is read before the brokers are asked, so a record that arrived before that instant has been counted.
        A record hidden by somebody's open transaction counts too: the input is not drained.
        """
        empty = [buffer for buffer in self.buffers if not buffer.records]
        started = time.monotonic()
        if not empty or started < self._drained_checked + self._settings.drained_check_seconds:
            return
        self._drained_checked = started
        asked_micros = time.time_ns() // 1_000
        ends = await self._ends([self._tps[buffer.name] for buffer in empty])
        for buffer in empty:
            tp = self._tps[buffer.name]
            if await self._consumer.position(tp) >= ends[tp]:
                buffer.floor_micros = max(buffer.floor_micros, asked_micros)
                self.believed_micros = max(self.believed_micros, asked_micros)

    async def waiting(self) -> dict[Input, Waiting]:
        """What is not processed yet, as far as the last fetch told; asks no broker."""
        found: dict[Input, Waiting] = {}
        for buffer in self.buffers:
            tp = self._tps[buffer.name]
            # Without records the consumer's position: markers of transactions take offsets too.
            position = buffer.position if buffer.records else await self._consumer.position(tp)
            end = self._consumer.highwater(tp)
            since = buffer.records[0].timestamp * 1_000 if buffer.records else None
            found[buffer.name] = Waiting(max(0, end - position) if end is not None else 0, since)
        return found

    async def _look_behind(self) -> None:
        tp = self._tps["commands"]
        # The position, not the last record's offset: markers of transactions take offsets too.
        self.commands.behind = await self._consumer.position(tp) < self._ends_at_claim[tp]
