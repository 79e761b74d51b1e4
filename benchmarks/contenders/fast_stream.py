"""FastStream: a batch subscriber takes lists of usage; rows and breaches are published; memory is a dict."""

import asyncio
from typing import Any

from faststream import AckPolicy, FastStream

from benchmarks.contenders.charging import in_lines
from benchmarks.contenders.world import World

_BATCH = 1_000
# publish_batch makes one Kafka batch and refuses rows that do not fit; these fit a thousand.
_BATCH_BYTES = 1_000_000


def on_aiokafka(world: World) -> None:
    """A record for each row, by `publish_batch`."""
    from faststream.kafka import KafkaBroker

    _run(
        world,
        KafkaBroker(world.bootstrap_servers, acks="all", max_batch_size=_BATCH_BYTES),
        as_lines=False,
        batch_timeout_ms=100,
    )


def on_aiokafka_lines(world: World) -> None:
    """Rows as lines."""
    from faststream.kafka import KafkaBroker

    _run(world, KafkaBroker(world.bootstrap_servers, acks="all"), as_lines=True, batch_timeout_ms=100)


def on_confluent_lines(world: World) -> None:
    """Rows as lines, with librdkafka below."""
    from faststream.confluent import KafkaBroker

    _run(world, KafkaBroker(world.bootstrap_servers, acks="all"), as_lines=True, polling_interval=0.1)


def _run(world: World, broker: Any, *, as_lines: bool, **waiting: Any) -> None:
    seen: dict[str, int] = {}
    months: dict[str, int] = {}

    async def as_it_is(message: Any) -> list[bytes]:
        return list(message.body)

    @broker.subscriber(
        world.usage_events,
        group_id=world.group,
        auto_offset_reset="earliest",
        batch=True,
        max_records=_BATCH,
        decoder=as_it_is,
        ack_policy=AckPolicy.REJECT_ON_ERROR,
        **waiting,
    )
    async def charge(values: list[bytes]) -> None:
        charged = [c for value in values if (c := world.charging.charge(value, seen, months))]
        rows = in_lines(charged) if as_lines else (one.row for one in charged)
        await broker.publish_batch(*rows, topic=world.priced_usage)
        for one in charged:
            if one.breach is not None:
                await broker.publish(one.breach, topic=world.limit_breaches, key=one.org_id.encode())

    asyncio.run(FastStream(broker).run())
