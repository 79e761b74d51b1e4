"""Records go in, in the order of their times; they come out on Kafka, keyed so that Kafka's own partition is theirs."""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from pipeline.engine.ticks import write_ticks
from pipeline.settings import Settings
from pipeline.topics import INPUTS
from schemas.dead_letters import MAX_RECORD_BYTES

_IN_FLIGHT = 2_000


class Outgoing(NamedTuple):
    """One record; `arrival_micros` is its timestamp, which counts in replay mode alone (R44)."""

    topic: str
    key: bytes | None
    value: bytes
    arrival_micros: int
    partition: int | None = None  # None: where Kafka's partitioner puts the key (R43)


async def publish(
    settings: Settings,
    records: Iterable[Outgoing],
    on_sent: Callable[[int], None] = lambda count: None,
    ticks_at_micros: int | None = None,
) -> int:
    """Send all and wait until Kafka has them; returns how many.

    Args:
        on_sent: hears how many more are there.
        ticks_at_micros: for replay mode: when all are sent, say that nothing earlier will come (R44).

    Raises:
        KafkaError: no broker, or one that refused a record.
    """
    producer = AIOKafkaProducer(
        **settings.kafka(),
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_request_size=2 * MAX_RECORD_BYTES,
    )
    sent = 0
    waiting: list[Awaitable[object]] = []
    try:
        await producer.start()
        for record in records:
            waiting.append(
                await producer.send(
                    settings.topic_prefix + record.topic,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    timestamp_ms=record.arrival_micros // 1_000,
                )
            )
            sent += 1
            if len(waiting) == _IN_FLIGHT:
                await _all(waiting, on_sent)
        await _all(waiting, on_sent)
        if ticks_at_micros is not None:
            inputs = [settings.topic_prefix + topic.name for topic in INPUTS]
            await write_ticks(producer, inputs, settings.partitions, ticks_at_micros)
    finally:
        await producer.stop()
    return sent


async def _all(waiting: list[Awaitable[object]], on_sent: Callable[[int], None]) -> None:
    for future in waiting:
        await future
    on_sent(len(waiting))
    waiting.clear()
