"""The topic mails: what became of each mail goes in; which ones have ended comes out, so that none is sent twice."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline.reading import open_reader, places
from pipeline.settings import Settings
from pipeline.topics import MAILS
from schemas.mails import MailOutcome

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class Memory:
    """What is remembered of mails; of an organisation in the partition in which its notices lie."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._ended: set[str] = set()

    def has(self, mail_id: str) -> bool:
        """Whether this mail has ended."""
        return mail_id in self._ended

    async def read(self, partitions: Iterable[int]) -> None:
        """Know what anybody remembered until now, in these partitions.

        Raises:
            KafkaError
        """
        ended: set[str] = set()
        async with open_reader(self._settings) as reader:
            ends = await reader.stable_ends(places(self._settings, [MAILS.name], partitions))
            async for records in reader.from_beginning(ends):
                ended.update(record.key.decode() for record in records)
        self._ended = ended

    async def remember(self, partition: int, outcome: MailOutcome) -> None:
        """Have Kafka remember it, however long that takes: until then no other mail may go."""
        topic = self._settings.topic_prefix + MAILS.name
        while True:
            try:
                producer = await self._started()
                value = outcome.model_dump_json().encode()
                await producer.send_and_wait(topic, value, outcome.mail_id.encode(), partition=partition)
            except KafkaError as error:
                logger.warning("mail %s is sent, but not remembered yet: %r", outcome.mail_id, error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._ended.add(outcome.mail_id)
                return

    async def close(self) -> None:
        """Close its connection."""
        if self._producer is not None:
            await self._producer.stop()

    async def _started(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(**self._settings.kafka(), acks="all", enable_idempotence=True)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer
