"""confluent-kafka: batches of `consume` come in, rows, breaches and position go out; memory is a dict."""

from typing import Any

from confluent_kafka import Consumer, Message, Producer

from benchmarks.contenders.charging import Charged, in_lines
from benchmarks.contenders.world import World

_BATCH = 5_000


def events(world: World) -> None:
    """A record for each row; the position is committed when all are written."""
    _loop(world, as_lines=False)


def lines(world: World) -> None:
    """Rows as lines."""
    _loop(world, as_lines=True)


def transactions(world: World) -> None:
    """Rows as lines; rows, breaches and position are one transaction."""
    consumer, memory = _consumer(world), _Memory(world)
    producer = Producer({"bootstrap.servers": world.bootstrap_servers, "transactional.id": world.group})
    producer.init_transactions()
    while True:
        charged = memory.charge(consumer.consume(_BATCH, timeout=0.1))
        if not charged:
            continue
        producer.begin_transaction()
        _send(world, producer, charged, as_lines=True)
        positions = [place for place in consumer.position(consumer.assignment()) if place.offset >= 0]
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
        producer.commit_transaction()


def _loop(world: World, *, as_lines: bool) -> None:
    consumer, memory = _consumer(world), _Memory(world)
    producer = Producer({"bootstrap.servers": world.bootstrap_servers, "queue.buffering.max.messages": 1_000_000})
    while True:
        charged = memory.charge(consumer.consume(_BATCH, timeout=0.1))
        if charged:
            _send(world, producer, charged, as_lines)
            producer.flush()
            consumer.commit(asynchronous=False)


class _Memory:
    def __init__(self, world: World) -> None:
        self._charge = world.charging.charge
        self._seen: dict[str, int] = {}
        self._months: dict[str, int] = {}

    def charge(self, messages: list[Message]) -> list[Charged]:
        """What came of the messages.

        Raises:
            RuntimeError: one of them says that something is wrong.
        """
        charged = []
        for message in messages:
            if error := message.error():
                raise RuntimeError(error)
            if one := self._charge(message.value(), self._seen, self._months):
                charged.append(one)
        return charged


def _send(world: World, producer: Producer, charged: list[Charged], as_lines: bool) -> None:
    if as_lines:
        for record in in_lines(charged):
            producer.produce(world.priced_usage, record)
    else:
        for one in charged:
            producer.produce(world.priced_usage, one.row, one.org_id)
    for one in charged:
        if one.breach is not None:
            producer.produce(world.limit_breaches, one.breach, one.org_id)


def _consumer(world: World) -> Consumer:
    settings: dict[str, Any] = {
        "bootstrap.servers": world.bootstrap_servers,
        "group.id": world.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(settings)
    consumer.subscribe([world.usage_events])
    return consumer
