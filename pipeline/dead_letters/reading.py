"""Dead letters, decisions and the records they came from, as they lie in Kafka: settings in, models and bytes out."""

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.engine.contract import InvariantBroken
from pipeline.engine.restore import check_all_ended
from pipeline.errors import Mendable
from pipeline.settings import Settings
from pipeline.topics import DEAD_LETTER_DECISIONS, DEAD_LETTERS, Topic
from schemas.dead_letters import DeadLetter, DeadLetterDecision, Origin

_POLL_MILLIS = 200
_ENDED_SECONDS = 20


class Filed(NamedTuple):
    """A dead letter and where it lies: the partition is that in which the ledger judged the event."""

    letter: DeadLetter
    partition: int
    written_millis: int


class Reader:
    """Reads what was committed. One topic at a time: each call seeks."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._consumer = consumer

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
        async with _consumer(self._settings, "read_uncommitted") as asker:
            places = _places(self._settings, DEAD_LETTER_DECISIONS)
            try:
                await check_all_ended(self._consumer, places, asker.end_offsets, _ENDED_SECONDS)
            except InvariantBroken as error:
                raise Mendable(str(error)) from error
        return await self.decisions()

    async def record_at(self, origin: Origin) -> bytes | None:
        """The whole record that lies there; None where there is none, or none any more."""
        if origin.partition >= self._settings.partitions:
            return None
        place = TopicPartition(self._settings.topic_prefix + origin.topic, origin.partition)
        consumer = self._consumer
        consumer.assign([place])
        first = (await consumer.beginning_offsets([place]))[place]
        end = (await consumer.end_offsets([place]))[place]
        if not first <= origin.offset < end:
            return None
        consumer.seek(place, origin.offset)
        while await consumer.position(place) <= origin.offset:
            for record in (await consumer.getmany(place, timeout_ms=_POLL_MILLIS, max_records=1)).get(place, ()):
                return (record.value or b"") if record.offset == origin.offset else None
        return None

    async def _records(self, topic: Topic) -> AsyncIterator[Any]:
        consumer = self._consumer
        for place in _places(self._settings, topic):
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end = (await consumer.end_offsets([place]))[place]
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(place, timeout_ms=_POLL_MILLIS)).get(place, ()):
                    yield record


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Reader]:
    """A reader while the block lasts."""
    async with _consumer(settings, "read_committed") as consumer:
        yield Reader(settings, consumer)


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
