"""Records go to Kafka one after another, for as long as a process lives; each is acknowledged, or Kafka is away."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.dead_letters import MAX_RECORD_BYTES

_STOP_SECONDS = 5.0


class KafkaAway(Exception):
    """Kafka did not acknowledge in time; the records may lie there all the same."""


class Sender:
    """Sends records, and says when Kafka has them."""

    def __init__(self, kafka: Mapping[str, Any], answer_seconds: float) -> None:
        self._kafka = dict(kafka)
        self._answer_seconds = answer_seconds
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()

    async def send(
        self,
        topic: str,
        key: bytes,
        values: Sequence[bytes | None],
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> list[Any]:
        """Send values under one key, in order, and wait until Kafka has them all; says where each of them lies.

        Args:
            partition: unset: the key's.

        Raises:
            KafkaAway
        """
        try:
            async with asyncio.timeout(self._answer_seconds):
                producer = await self._started()
                try:
                    waiting = []
                    for value in values:
                        delivery = await producer.send(topic, value, key, partition, headers=list(headers))
                        delivery.add_done_callback(partial(self._settled, producer))
                        waiting.append(delivery)
                    await asyncio.wait(waiting)  # which leaves them alone when the time is over
                    return [delivery.result() for delivery in waiting]
                except KafkaError:
                    self._retire(producer)
                    raise
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaAway(str(error) or type(error).__name__) from error

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._kafka,
                    acks="all",
                    enable_idempotence=True,
                    max_request_size=2 * MAX_RECORD_BYTES,
                    max_batch_size=256 << 10,
                    request_timeout_ms=int(self._answer_seconds * 1_000),
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def _settled(self, producer: Any, delivery: "asyncio.Future[Any]") -> None:
        """Hear of a failure even when whoever sent it waits no longer."""
        if delivery.exception() is not None:
            self._retire(producer)

    def _retire(self, producer: Any) -> None:
        """Begin anew: a batch that failed leaves a gap in its producer's numbers, and Kafka refuses all that follow."""
        if self._producer is producer:
            self._producer = None
            stopping = asyncio.create_task(producer.stop())
            self._retired.add(stopping)
            stopping.add_done_callback(self._retired.discard)

    async def stop(self) -> None:
        """Send what is in hand, but not for ever."""
        stopping = set(self._retired)
        if self._producer is not None:
            stopping.add(asyncio.create_task(self._producer.stop()))
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(asyncio.gather(*stopping), _STOP_SECONDS)
