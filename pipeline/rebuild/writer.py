"""What a rebuild writes: records of many of the journal's transactions in, a few large ones of Kafka's out."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import TopicPartition

from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import Transactions, Write

_COMMIT_BYTES = 4 << 20


class Writer:
    """Writes to one partition of the ledger's topics, as nobody else can meanwhile."""

    def __init__(self, settings: EngineSettings, number: int, transactions: Transactions) -> None:
        self.records = 0
        self._settings = settings
        self._number = number
        self._transactions = transactions
        self._waiting: dict[TopicPartition, list[Write]] = {}
        self._bytes = 0

    async def add(self, topic: str, writes: Iterable[Write]) -> None:
        """Have these written to a topic, by its name without the prefix."""
        place = TopicPartition(self._settings.topic(topic), self._number)
        for write in writes:
            self._waiting.setdefault(place, []).append(write)
            self._bytes += len(write.key or b"") + len(write.value or b"")
            self.records += 1
            if self._bytes > _COMMIT_BYTES:
                await self.commit()

    async def commit(self) -> None:
        """Have all that was added so far committed."""
        if self._waiting:
            await self._transactions.commit(self._waiting, None)
        self._waiting = {}
        self._bytes = 0


@asynccontextmanager
async def claimed(settings: EngineSettings, number: int) -> AsyncIterator[Writer]:
    """Claim the partition as a worker does: one that has it now is fenced."""
    transactions = Transactions(settings, number)
    try:
        await transactions.claim()
        yield Writer(settings, number, transactions)
    finally:
        await transactions.close()
