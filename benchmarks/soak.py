"""`python -m benchmarks soak`: steady usage for an hour comes in; the memory of ledger and sink goes out.

Every identity is new, limits are reached all along, and rows go into ClickHouse: what grows here grows in production.
At the end all usage is counted, in the ledger and in ClickHouse.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.latency import Curve, Load, fill, generate
from benchmarks.plots import curves
from benchmarks.stand import Worker
from pipeline.demo.reading import ledger_has_read_everything
from pipeline.settings import Settings
from sinks.clickhouse import ClickHouse

_SAMPLE_SECONDS = 10.0
_SETTLE_SECONDS = 600.0
_PLOT = "benchmarks-memory.svg"


async def measure(settings: Settings, load: Load, into: Path) -> None:
    """Run ledger and sink; print their memory at each tenth of the run, and draw it.

    Raises:
        AssertionError: not every event is in ClickHouse, once.
    """
    await fill(settings, load, load.crossings())
    workers = [Worker(settings, name=name) for name in ("ledger", "sink")]
    curve: dict[str, Curve] = {worker.name: [] for worker in workers}
    try:
        await ledger_has_read_everything(settings, lambda _read, _there: None, lambda: _check(workers))
        generator = multiprocessing.get_context("spawn").Process(target=generate, args=(settings, load))
        generator.start()
        began = time.monotonic()
        while generator.is_alive():
            _check(workers)
            minutes = (time.monotonic() - began) / 60
            for worker in workers:
                curve[worker.name].append((minutes, _memory_mb(worker.process.pid)))
            await asyncio.sleep(_SAMPLE_SECONDS)
        generator.join()
        await _all_stored(settings, load, workers)
    finally:
        for worker in workers:
            worker.stop()
    _print(load, curve)
    (into / _PLOT).write_text(curves("minutes", "MB in memory", curve))


def _print(load: Load, curve: dict[str, Curve]) -> None:
    print(f"{load.events:,} events at {load.rate:,} a second, each in ClickHouse once; MB in memory")
    length = len(next(iter(curve.values())))
    shown = [round(tenth * (length - 1) / 10) for tenth in range(11)]
    for name, line in {"minute": [(0.0, minute) for minute, _ in next(iter(curve.values()))], **curve}.items():
        print(f"  {name:8}" + "".join(f"{line[number][1]:7,.0f}" for number in shown), flush=True)


async def _all_stored(settings: Settings, load: Load, workers: Sequence[Worker]) -> None:
    clickhouse = ClickHouse(settings.clickhouse_url, settings.clickhouse_database)
    until = time.monotonic() + _SETTLE_SECONDS
    counted: list[tuple[int, int]] = []
    try:
        while counted != [(load.events, load.events)] and time.monotonic() < until:
            _check(workers)
            await asyncio.sleep(1)
            counted = await clickhouse.rows("SELECT count(), uniqExact(event_id) FROM priced_usage")
    finally:
        await clickhouse.close()
    assert counted == [(load.events, load.events)], f"rows, and different events: {counted}; {load.events:,} are right"


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _check(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.check()
