"""Raw aiokafka: batches of `getmany` come in, rows and breaches go out, the position is committed; memory is a dict."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.contenders.charging import Charged, in_lines
from benchmarks.contenders.world import World


def events(world: World) -> None:
    """A record for each row; the position is committed when all are written."""
    asyncio.run(_loop(world, as_lines=False))


def lines(world: World) -> None:
    """Rows as lines."""
    asyncio.run(_loop(world, as_lines=True))


def transactions(world: World) -> None:
    """Rows as lines; rows, breaches and position are one transaction."""
    asyncio.run(_transactions(world))


async def _loop(world: World, *, as_lines: bool) -> None:
    seen: dict[str, int] = {}
    months: dict[str, int] = {}
    async with _consumer(world) as consumer, _producer(world, acks="all") as producer:
        while True:
            for records in (await consumer.getmany(timeout_ms=100, max_records=5_000)).values():
                charged = [c for r in records if (c := world.charging.charge(r.value, seen, months))]
                await asyncio.gather(*await _send(world, producer, charged, as_lines))
                await consumer.commit()


async def _transactions(world: World) -> None:
    seen: dict[str, int] = {}
    months: dict[str, int] = {}
    async with (
        _consumer(world, isolation_level="read_committed") as consumer,
        _producer(world, transactional_id=world.group) as producer,
    ):
        while True:
            for place, records in (await consumer.getmany(timeout_ms=100, max_records=5_000)).items():
                charged = [c for r in records if (c := world.charging.charge(r.value, seen, months))]
                async with producer.transaction():
                    await _send(world, producer, charged, as_lines=True)
                    await producer.send_offsets_to_transaction({place: records[-1].offset + 1}, world.group)


async def _send(world: World, producer: AIOKafkaProducer, charged: Iterable[Charged], as_lines: bool) -> list[Any]:
    """Hand over rows and breaches; the futures of their delivery come back."""
    charged = list(charged)
    if as_lines:
        sent = [await producer.send(world.priced_usage, record) for record in in_lines(charged)]
    else:
        sent = [await producer.send(world.priced_usage, one.row, one.org_id.encode()) for one in charged]
    sent += [
        await producer.send(world.limit_breaches, one.breach, one.org_id.encode())
        for one in charged
        if one.breach is not None
    ]
    return sent


def _consumer(world: World, **more: Any) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        world.usage_events,
        bootstrap_servers=world.bootstrap_servers,
        group_id=world.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **more,
    )


def _producer(world: World, **more: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=world.bootstrap_servers, linger_ms=5, max_batch_size=256 << 10, **more)
