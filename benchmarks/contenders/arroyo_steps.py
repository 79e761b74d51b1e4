"""sentry-arroyo: usage passes three steps, charge, produce, commit; breaches go aside; memory is a dict."""

from collections.abc import Mapping
from typing import Any

from arroyo.backends.kafka import (
    KafkaConsumer,
    KafkaPayload,
    KafkaProducer,
    build_kafka_consumer_configuration,
    build_kafka_producer_configuration,
)
from arroyo.processing.processor import StreamProcessor
from arroyo.processing.strategies import (
    BatchStep,
    CommitOffsets,
    FilterStep,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    Produce,
    RunTask,
)
from arroyo.types import Commit, Message, Partition, Topic

from benchmarks.contenders.charging import Charged, in_lines
from benchmarks.contenders.world import World


def events(world: World) -> None:
    """A record for each row."""
    _run(world, _EachEvent(world))


def batches(world: World) -> None:
    """A thousand events at a time, their rows as lines."""
    _run(world, _Batches(world))


class _Steps(ProcessingStrategyFactory[KafkaPayload]):
    """What both have in common."""

    def __init__(self, world: World) -> None:
        self.producer = KafkaProducer(
            build_kafka_producer_configuration({}, bootstrap_servers=[world.bootstrap_servers])
        )
        self.priced, self._breaches = Topic(world.priced_usage), Topic(world.limit_breaches)
        self._world = world
        self._seen: dict[str, int] = {}
        self._months: dict[str, int] = {}

    def charge(self, value: bytes) -> Charged | None:
        charged = self._world.charging.charge(value, self._seen, self._months)
        if charged is not None and charged.breach is not None:
            payload = KafkaPayload(charged.org_id.encode(), charged.breach, [])
            self.producer.produce(self._breaches, payload).result()
        return charged


class _EachEvent(_Steps):
    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        produce = Produce(self.producer, self.priced, CommitOffsets(commit))
        return RunTask(self._row, FilterStep(lambda message: message.payload is not None, produce))

    def _row(self, message: Message[KafkaPayload]) -> KafkaPayload | None:
        charged = self.charge(message.payload.value)
        return charged and KafkaPayload(charged.org_id.encode(), charged.row, [])


class _Batches(_Steps):
    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        produce = Produce(self.producer, self.priced, CommitOffsets(commit))
        return BatchStep(1_000, 0.1, RunTask(self._lines, produce))

    def _lines(self, message: Message[Any]) -> KafkaPayload:
        charged = [c for value in message.payload if (c := self.charge(value.payload.value))]
        return KafkaPayload(None, b"".join(in_lines(charged)), [])


def _run(world: World, steps: _Steps) -> None:
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {}, group_id=world.group, auto_offset_reset="earliest", bootstrap_servers=[world.bootstrap_servers]
        )
    )
    StreamProcessor(consumer, Topic(world.usage_events), steps).run()
