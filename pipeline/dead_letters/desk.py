"""Decisions, and the records they give to the ledger again: both in one Kafka transaction, or neither.

Whoever claims fences whoever claimed before, so there is one who decides: between reading what is decided and deciding,
nobody else can. Killed at any point, a run leaves whole transactions behind; the next one goes on with what is open.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced

from pipeline.dead_letters.redriving import Redriven
from pipeline.engine.clients import close_producer, start_client
from pipeline.engine.observer import describe
from pipeline.errors import Mendable
from pipeline.settings import Settings
from pipeline.topics import DEAD_LETTER_DECISIONS
from schemas.dead_letters import MAX_RECORD_BYTES, DeadLetterDecision

# Short: the ledger reads nothing behind an open transaction, and that of a run that was killed is open for so long, and
# up to 10 s more until Kafka looks; or until the next run claims the desk.
_TRANSACTION_MILLIS = 10_000
_PATIENCE_SECONDS = 10
_ABORT_SECONDS = 2

# As aiokafka tells of a failed transaction; it does not always say that it was fenced, but sometimes what follows.
_FAILURES = (KafkaError, IllegalOperation, AssertionError, TimeoutError)


class Decided(NamedTuple):
    """A decision, the partition of its dead letter, and the record that goes with it if it is to redrive."""

    decision: DeadLetterDecision
    partition: int
    record: Redriven | None


class Desk:
    """Where decisions are written, by one run at a time."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer

    async def commit(self, batch: Sequence[Decided]) -> None:
        """Write all of these, or nothing.

        Raises:
            Mendable: another run has claimed the desk, or Kafka does not take it; nothing is known to be written.
        """
        producer = self._producer
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await producer.begin_transaction()
                await self._send_all(batch)
                await producer.commit_transaction()
        except (ProducerFenced, InvalidProducerEpoch):
            raise Mendable(
                "another run of `usage-credits dead-letters` has begun, and ended this one; what it had decided stays "
                "decided, see `usage-credits dead-letters list`"
            ) from None
        except _FAILURES as error:
            raise Mendable(
                f"Kafka did not take the last decisions ({describe(error)}), perhaps because another run of "
                "`usage-credits dead-letters` has begun; what was decided before stays decided, see "
                "`usage-credits dead-letters list`, and run it again"
            ) from error

    async def _send_all(self, batch: Sequence[Decided]) -> None:
        """Send, and wait for each: aiokafka commits although one of the produces failed."""
        sent: list[asyncio.Future[object]] = []
        try:
            for decided in batch:
                await self._send(decided, sent)
        except _FAILURES:
            await asyncio.gather(*sent)  # where one of these has failed meanwhile, that is the cause
            raise
        await asyncio.gather(*sent)

    async def _send(self, decided: Decided, sent: list[asyncio.Future[object]]) -> None:
        decision, partition, record = decided
        prefix, producer = self._settings.topic_prefix, self._producer
        if record is not None:
            sent.append(
                await producer.send(
                    prefix + record.topic,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_millis,
                    headers=record.headers,
                )
            )
        sent.append(
            await producer.send(
                prefix + DEAD_LETTER_DECISIONS.name,
                decision.model_dump_json().encode(),
                key=decision.dead_letter_id.encode(),
                partition=partition,  # a dead letter's own, so that what is decided of it lies in one place
            )
        )


@asynccontextmanager
async def claim_desk(settings: Settings) -> AsyncIterator[Desk]:
    """The desk while the block lasts, or until another run claims it."""
    producer = AIOKafkaProducer(
        **settings.kafka(),
        transactional_id=settings.topic_prefix + "dead-letters",
        transaction_timeout_ms=_TRANSACTION_MILLIS,
        acks="all",
        max_request_size=2 * MAX_RECORD_BYTES,
    )
    await start_client(producer)
    try:
        yield Desk(settings, producer)
    finally:
        # Whatever ended the block, Ctrl-C for example, may have left one open.
        with suppress(Exception):
            async with asyncio.timeout(_ABORT_SECONDS):
                await producer.abort_transaction()
        await close_producer(producer, "the desk")
