"""The faults: a world and chance come in; something is killed, stopped, cut or slowed, and mended after a while."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from random import Random

from tests.chaos.world import SESSION_SECONDS, World, ledger

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


async def _clock_off(world: World, chance: Random) -> None:
    """It stays off until the next start. In replay nothing goes by it; live, such a worker ends (tests/faults)."""
    process = world.processes["ledger-1"]
    process.end(signal.SIGKILL)
    process.start(ledger(clock_off_seconds=chance.choice((-3_600, 3_600))))


async def _disk_full(world: World, chance: Random) -> None:
    world.disk.fill()
    await asyncio.sleep(chance.uniform(1.0, 2 * SESSION_SECONDS))
    world.disk.make_room()


async def _broker_killed(world: World, chance: Random) -> None:
    broker = chance.choice(world.brokers.nodes)
    broker.kill()
    await asyncio.sleep(chance.choice((0.0, 1.0, 4.0, 8.0)))
    await asyncio.to_thread(broker.start)


async def _broker_stopped(world: World, chance: Random) -> None:
    """Of three also beyond its own session: it wakes as one that leads no more."""
    broker = chance.choice(world.brokers.nodes)
    os.kill(broker.pid, signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(0.5, SESSION_SECONDS - 0.5 if len(world.brokers.nodes) == 1 else 8.0))
    os.kill(broker.pid, signal.SIGCONT)


async def _broker_slow(world: World, chance: Random) -> None:
    """It has every tenth to third of the time."""
    broker, share = chance.choice(world.brokers.nodes), chance.uniform(0.1, 0.3)
    for _ in range(30):
        os.kill(broker.pid, signal.SIGSTOP)
        await asyncio.sleep(0.15 * (1 - share))
        os.kill(broker.pid, signal.SIGCONT)
        await asyncio.sleep(0.15 * share)


async def _clickhouse_killed(world: World, chance: Random) -> None:
    world.clickhouse.kill()
    await asyncio.sleep(chance.choice((0.0, 1.0, 4.0)))
    await asyncio.to_thread(world.clickhouse.start)


async def _network_cut(world: World, chance: Random) -> None:
    await asyncio.gather(*(proxy.cut() for proxy in world.brokers.proxies))
    await asyncio.sleep(chance.choice((0.2, 1.0, SESSION_SECONDS + 2.0)))
    for proxy in world.brokers.proxies:
        await proxy.open()


async def _network_slow(world: World, chance: Random) -> None:
    delay_seconds = chance.choice((0.02, 0.1, 0.4))
    for proxy in world.brokers.proxies:
        proxy.delay_seconds = delay_seconds
    await asyncio.sleep(chance.uniform(1.0, 4.0))
    for proxy in world.brokers.proxies:
        proxy.delay_seconds = 0.0


_ANYWHERE: dict[str, Fault] = {
    "worker killed": _killed("ledger-1"),
    "worker behind the proxy killed": _killed("ledger-2"),
    "worker told to end": _told_to_end("ledger-1"),
    "worker a zombie": _a_zombie("ledger-1"),
    "worker's clock an hour off": _clock_off,
    "sink killed": _killed("sink"),
    "sink told to end": _told_to_end("sink"),
    "sink a zombie": _a_zombie("sink"),
    "ClickHouse killed": _clickhouse_killed,
    "network cut": _network_cut,
    "network slow": _network_slow,
    "worker's disk full": _disk_full,
}
_BROKERS: dict[str, Fault] = {"killed": _broker_killed, "stopped": _broker_stopped, "slow": _broker_slow}

_TOGETHER = (
    ("worker killed", "worker behind the proxy killed"),
    ("BROKER killed", "ClickHouse killed"),
    ("network cut", "worker killed"),
    ("sink killed", "BROKER killed"),
    ("BROKER killed", "worker a zombie"),
)
"""Some of them at once."""


def faults_of(world: World) -> dict[str, Fault]:
    """What can be done to it, by name."""
    return _ANYWHERE | {f"{_broker(world)} {name}": fault for name, fault in _BROKERS.items()}


def choose(world: World, chance: Random, count: int) -> list[tuple[str, ...]]:
    """So many occasions, every kind of fault before one comes again; now and then two faults at once."""
    found: list[tuple[str, ...]] = []
    while len(found) < count:
        kinds = list(faults_of(world))
        chance.shuffle(kinds)
        found += [_together(world, chance) if chance.random() < 0.15 else (kind,) for kind in kinds]
    return found[:count]


def _together(world: World, chance: Random) -> tuple[str, ...]:
    return tuple(name.replace("BROKER", _broker(world)) for name in chance.choice(_TOGETHER))


def _broker(world: World) -> str:
    return "broker" if len(world.brokers.nodes) == 1 else "one of three brokers"
