"""`python -m benchmarks loop`: how long the ledger's event loop is held; steady usage in, a histogram's shares out.

One organisation has all members. While they use something, limits that reach every one of them change all the time: the
organisation's, and that of each Standard seat.
"""

import asyncio
import json
import multiprocessing

from aiokafka import AIOKafkaProducer

from benchmarks.latency import Load, fill, generate
from benchmarks.stand import Worker
from pipeline.demo.reading import ledger_has_read_everything
from pipeline.engine.partitioning import partition_of
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS

_CHANGE_SECONDS = 0.5
_SHOWN_SECONDS = (0.005, 0.01, 0.025, 0.05)


async def measure(settings: Settings, load: Load) -> None:
    """Print how often the loop came round late, first with usage alone."""
    load = load._replace(organizations=1)
    await fill(settings, load, {})
    worker = Worker(settings)
    try:
        await ledger_has_read_everything(settings, lambda _read, _there: None, worker.check)
        for changes in (False, True):
            before = worker.stalls()
            generator = multiprocessing.get_context("spawn").Process(target=generate, args=(settings, load))
            generator.start()
            changing = asyncio.create_task(_change(settings, load) if changes else asyncio.sleep(0))
            await asyncio.to_thread(generator.join)
            changing.cancel()
            await ledger_has_read_everything(settings, lambda _read, _there: None, worker.check)
            _print(before, worker.stalls(), "limits of all change" if changes else "usage alone")
    finally:
        worker.stop()


async def _change(settings: Settings, load: Load) -> None:
    org_id = load.org_id(0)
    owner = {"kind": "user", "id": "owner-00000", "scopes": []}
    producer = AIOKafkaProducer(**settings.kafka())
    await producer.start()
    try:
        number = 0
        while True:
            number += 1
            changes = (
                {"command": "set_organization_limit", "limit_usd": str(1_000_000 + number)},
                {
                    "command": "set_tier_limit",
                    "seat_tier": "standard",
                    "basis": "each_member",
                    "limit_usd": str(100_000 + number),
                },
            )
            for change in changes:
                head = {"command_id": f"{change['command']}-{number}", "org_id": org_id, "actor": owner}
                await producer.send(
                    settings.topic_prefix + ACCOUNT_COMMANDS.name,
                    json.dumps(head | change).encode(),
                    key=org_id.encode(),
                    partition=partition_of(org_id.encode(), settings.partitions),
                )
            await asyncio.sleep(_CHANGE_SECONDS)
    finally:
        await producer.stop()


def _print(before: dict[float, int], after: dict[float, int], what: str) -> None:
    looks = after[float("inf")] - before[float("inf")]
    late = {seconds: looks - (after[seconds] - before[seconds]) for seconds in _SHOWN_SECONDS}
    shares = "   ".join(f"> {seconds * 1_000:.0f} ms: {count / looks:.2%}" for seconds, count in late.items())
    print(f"{what:24} {looks:,} looks   {shares}", flush=True)
