"""The faults: a world and chance come in; something is killed, stopped, cut or slowed, and mended after a while."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from random import Random

from tests.chaos.world import SESSION_SECONDS, World

Fault = Callable[[World, Random], Awaitable[None]]


def _killed(name: str) -> Fault:
    async def fault(world: World, chance: Random) -> None:
        process = world.processes[name]
        process.end(signal.SIGKILL)
        await asyncio.sleep(chance.choice((0.0, 0.5, 2.0)))
        process.start()

    return fault


def _told_to_end(name: str) -> Fault:
    async def fault(world: World, chance: Random) -> None:
        process = world.processes[name]
        code = await asyncio.to_thread(process.end, signal.SIGTERM)
        # Told before it has begun to listen, it ends as any program does.
        assert code in (0, -signal.SIGTERM), f"{name} ended with {code} when told to:\n{process.last_words()}"
        await asyncio.sleep(chance.choice((0.0, 1.0)))
        process.start()

    return fault


def _a_zombie(name: str) -> Fault:
    """Stopped beyond its session, so that another takes over; then it wakes and goes on where it was."""

    async def fault(world: World, chance: Random) -> None:
        process = world.processes[name]
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(SESSION_SECONDS + chance.uniform(0.5, 3.0))
        process.signal(signal.SIGCONT)

    return fault


async def _broker_killed(world: World, chance: Random) -> None:
    world.kafka.kill()
    await asyncio.sleep(chance.choice((0.0, 1.0, 4.0)))
    await asyncio.to_thread(world.kafka.start)


async def _clickhouse_killed(world: World, chance: Random) -> None:
    world.clickhouse.kill()
    await asyncio.sleep(chance.choice((0.0, 1.0, 4.0)))
    await asyncio.to_thread(world.clickhouse.start)


async def _network_cut(world: World, chance: Random) -> None:
    await world.proxy.cut()
    await asyncio.sleep(chance.choice((0.2, 1.0, SESSION_SECONDS + 2.0)))
    await world.proxy.open()


async def _network_slow(world: World, chance: Random) -> None:
    world.proxy.delay_seconds = chance.choice((0.02, 0.1, 0.4))
    await asyncio.sleep(chance.uniform(1.0, 4.0))
    world.proxy.delay_seconds = 0.0


FAULTS: dict[str, Fault] = {
    "worker killed": _killed("ledger-1"),
    "worker behind the proxy killed": _killed("ledger-2"),
    "worker told to end": _told_to_end("ledger-1"),
    "worker a zombie": _a_zombie("ledger-1"),
    "sink killed": _killed("sink"),
    "sink told to end": _told_to_end("sink"),
    "sink a zombie": _a_zombie("sink"),
    "broker killed": _broker_killed,
    "ClickHouse killed": _clickhouse_killed,
    "network cut": _network_cut,
    "network slow": _network_slow,
}

TOGETHER = (
    ("worker killed", "worker behind the proxy killed"),
    ("broker killed", "ClickHouse killed"),
    ("network cut", "worker killed"),
    ("sink killed", "broker killed"),
)
"""Some of them at once."""


def choose(chance: Random, count: int) -> list[tuple[str, ...]]:
    """So many occasions, every kind of fault before one comes again; now and then two faults at once."""
    found: list[tuple[str, ...]] = []
    while len(found) < count:
        kinds = list(FAULTS)
        chance.shuffle(kinds)
        found += [chance.choice(TOGETHER) if chance.random() < 0.15 else (kind,) for kind in kinds]
    return found[:count]
