"""Dead letters, decisions and the records they came from, as they lie in Kafka: settings in, models and bytes out."""

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import TopicPartition

from pipeline import reading
from pipeline.settings import Settings
from pipeline.topics import DEAD_LETTER_DECISIONS, DEAD_LETTERS, Topic
from schemas.dead_letters import DeadLetter, DeadLetterDecision, Origin


class Filed(NamedTuple):
    """A dead letter and where it lies: the partition is that in which the ledger judged the event."""

    letter: DeadLetter
    partition: int
    written_millis: int


class Reader:
    """Reads what was committed. One topic at a time: each call seeks."""

    def __init__(self, settings: Settings, reader: reading.Reader) -> None:
        self._settings = settings
        self._reader = reader

    async def letters(self, only: Set[str] | None = None) -> AsyncIterator[Filed]:
        """Dead letters, partition by partition, in the order in which the ledger wrote them.

        Args:
            only: the ids of those wanted; None: all.
        """
        async for record in self._records(DEAD_LETTERS):
            if only is None or record.key.decode() in only:
                yield Filed(DeadLetter.model_validate_json(record.value), record.partition, record.timestamp)

    async def decisions(self) -> dict[str, DeadLetterDecision]:
        """What was decided, by the dead letter's id."""
        found = [
            DeadLetterDecision.model_validate_json(record.value)
            async for record in self._records(DEAD_LETTER_DECISIONS)
        ]
        return {decision.dead_letter_id: decision for decision in found}

    async def decisions_after_claim(self) -> dict[str, DeadLetterDecision]:
        """The same, once nobody else can decide any more; and none of theirs is still on its way.

        Raises:
            Mendable: a transaction of an earlier run has not ended.
        """
        await self._reader.still_ends(self._places(DEAD_LETTER_DECISIONS))
        return await self.decisions()

    async def record_at(self, origin: Origin) -> bytes | None:
        """The whole record that lies there; None where there is none, or none any more."""
        if origin.partition >= self._settings.partitions:
            return None
        place = TopicPartition(self._settings.topic_prefix + origin.topic, origin.partition)
        record = await self._reader.record_at(place, origin.offset)
        return None if record is None else record.value or b""

    async def _records(self, topic: Topic) -> AsyncIterator[reading.Record]:
        for place in self._places(topic):
            async for records in self._reader.from_beginning(await self._reader.stable_ends([place])):
                for record in records:
                    yield record

    def _places(self, topic: Topic) -> list[TopicPartition]:
        return reading.places(self._settings, [topic.name], range(self._settings.partitions))


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Reader]:
    """A reader while the block lasts."""
    async with reading.open_reader(settings) as reader:
        yield Reader(settings, reader)
