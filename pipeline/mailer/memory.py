"""The topic mails: what became of each mail goes in; which ones have ended comes out, so that none is sent twice."""

import asyncio
import logging
from collections.abc import Iterable

from pipeline.reading import open_reader, places
from pipeline.sending import KafkaAway, Sender
from pipeline.settings import Settings
from pipeline.topics import MAILS
from schemas.mails import MailOutcome

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 10.0
_AGAIN_SECONDS = 1.0


class Memory:
    """What is remembered of mails; of an organisation in the partition in which its notices lie."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sender = Sender(settings.kafka(), _ANSWER_SECONDS)
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
                value = outcome.model_dump_json().encode()
                await self._sender.send(topic, outcome.mail_id.encode(), [value], partition=partition)
            except KafkaAway as away:
                logger.warning("mail %s is sent, but not remembered yet: %s", outcome.mail_id, away)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._ended.add(outcome.mail_id)
                return

    async def close(self) -> None:
        """Close its connection."""
        await self._sender.stop()
