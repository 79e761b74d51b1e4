"""`python -m benchmarks WHAT`, one of `WHAT`: what to measure in, figures out."""

import argparse
import asyncio
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import (
    analysts,
    footprint,
    gate,
    identities,
    latency,
    loop,
    members,
    month_end,
    recovery,
    scale_page,
    soak,
)
from benchmarks.contenders.comparison import compare
from benchmarks.job import Job
from benchmarks.plots import curves
from benchmarks.stand import Measured, run_ledger, run_once, run_path
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings

WHAT = (
    "ledger",
    "path",
    "workers",
    "limits",
    "latency",
    "loop",
    "soak",
    "members",
    "identities",
    "recovery",
    "month-end",
    "gate",
    "page",
    "footprint",
    "scale",
    "analysts",
    "all",
)

PARTITIONS = (4, 16, 64)
"""Of footprint."""


def main() -> None:
    """Run what was asked for, a few times in turn, and print medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=WHAT, default="ledger")
    parser.add_argument("--events", type=int, default=300_000, help="preloaded, of about 300 bytes (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each side, in turn (%(default)s)")
    parser.add_argument(
        "--members", type=int, help="1,000; month-end, gate 1,000,000; page, footprint 10,000; analysts, loop 100,000"
    )
    parser.add_argument("--organizations", type=int, help="40; of month-end 10,000; of analysts, footprint 1,000")
    parser.add_argument("--rows", type=int, default=100_000_000, help="of analysts (%(default)s)")
    parser.add_argument(
        "--rate", type=int, default=2_000, help="latency, loop, soak, month-end: events a second (%(default)s)"
    )
    parser.add_argument("--seconds", type=int, help="30; of soak 3,600")
    parser.add_argument("--hot", type=int, default=0, metavar="PERCENT", help="of latency: one organisation's share")
    parser.add_argument("--identities", type=int, default=10_000_000, help="in the store (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="of identities, analysts: on the disk to be measured (a temporary one)"
    )
    parser.add_argument(
        "--slow-events", type=int, default=30_000, help="all: for contenders that are slow (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="all: these sides alone")
    parser.add_argument("--into", type=Path, default=Path("docs"), help="folder of pages and plots (%(default)s)")
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of every new topic's first moments
    if arguments.what == "members":
        members.main(arguments.into)
    elif arguments.what == "identities":
        identities.main(arguments.identities, arguments.folder)
    elif arguments.what == "analysts":
        made = analysts.Size(arguments.rows, arguments.organizations or 1_000, arguments.members or 100_000)
        analysts.main(made, arguments.runs, arguments.folder)
    elif arguments.what == "all":
        compare(
            arguments.events,
            arguments.slow_events,
            arguments.runs,
            arguments.organizations or 40,
            arguments.members or 1_000,
            arguments.only,
            arguments.into,
        )
    elif arguments.what == "limits":
        _limits(arguments)
    elif arguments.what == "path":
        _path(arguments)
    elif arguments.what == "workers":
        _workers(arguments)
    elif arguments.what == "latency":
        _latency(arguments)
    elif arguments.what == "loop":
        for _, settings in _on_kafka(1):
            asyncio.run(loop.measure(settings, _load(arguments, members=100_000)))
    elif arguments.what == "soak":
        for _, settings in _with_clickhouse(1):
            asyncio.run(soak.measure(settings, _load(arguments, 3_600), arguments.into))
    elif arguments.what == "recovery":
        for _, settings in _on_kafka(1):
            asyncio.run(recovery.measure(settings, arguments.runs))
    elif arguments.what == "gate":
        for _, settings in _on_kafka(1):
            gate.main(settings, arguments.members or 1_000_000, arguments.runs)
    elif arguments.what == "scale":
        scale_page.main()
    elif arguments.what == "footprint":
        _footprint(arguments)
    elif arguments.what == "page":
        from benchmarks import page

        asyncio.run(page.measure(arguments.members or 10_000))
    elif arguments.what == "month-end":
        size = month_end.Size(arguments.organizations or 10_000, arguments.members or 1_000_000, arguments.rate)
        for _, settings in _on_kafka(1):
            asyncio.run(month_end.measure(settings.model_copy(update={"mode": "replay"}), size))
    else:
        _ledger(arguments)


def _ledger(arguments: argparse.Namespace) -> None:
    """The ledger path against the least any consumer does: fetch and decode."""
    floors, ledgers, stages = [], [], []
    for run, settings in _on_kafka(arguments.runs):
        job = _job(arguments, run)
        bare_run, ledger_run = run_once(settings, job)
        floors.append(bare_run.per_second)
        ledgers.append(ledger_run.per_second)
        stages.append(ledger_run.stages)
        print(
            f"run {run}: bare fetch and decode {floors[-1]:9,.0f} events/s   "
            f"ledger {ledgers[-1]:9,.0f} events/s   ratio {ledgers[-1] / floors[-1]:.2f}   "
            f"{job.accepted:,} accepted, spend agrees to the picodollar",
            flush=True,
        )
    ratio = statistics.median(ledger / floor for floor, ledger in zip(floors, ledgers, strict=True))
    floor, ledger = statistics.median(floors), statistics.median(ledgers)
    print(f"median: bare {floor:,.0f}, ledger {ledger:,.0f} events/s, ratio {ratio:.2f}")
    _print_stages(stages)


def _path(arguments: argparse.Namespace) -> None:
    """The whole path: ledger and sink side by side, until all rows are in ClickHouse."""
    rates, stages = [], []
    for run, settings in _with_clickhouse(arguments.runs):
        priced, stored = run_path(settings, _job(arguments, run))
        rates.append(stored.per_second)
        stages.append(stored.stages)
        print(
            f"run {run}: priced {priced.per_second:9,.0f} events/s   in ClickHouse {stored.per_second:9,.0f} events/s, "
            "spend agrees to the picodollar",
            flush=True,
        )
    print(f"median: {statistics.median(rates):,.0f} events/s until they are in ClickHouse")
    _print_stages(stages)


def _print_stages(runs: list[dict[str, float]]) -> None:
    """Where an event's time goes, by the account the processes keep of themselves."""
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    print("µs of an event: " + "   ".join(f"{stage} {micros:.2f}" for stage, micros in medians.items()))


def _workers(arguments: argparse.Namespace) -> None:
    """Two workers against one, the broker beside them on the same cores."""
    ratios = []
    for run, settings in _on_kafka(arguments.runs):
        one, two = (
            run_ledger(
                settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}{workers}."}),
                _job(arguments, run),
                workers,
            )
            for workers in (1, 2)
        )
        ratios.append(two.per_second / one.per_second)
        print(
            f"run {run}: one worker {one.per_second:9,.0f} events/s   two {two.per_second:9,.0f} events/s   "
            f"{ratios[-1]:.2f} times",
            flush=True,
        )
    print(f"median: {statistics.median(ratios):.2f} times as many events/s")


def _latency(arguments: argparse.Namespace) -> None:
    """Until breaches are readable and local copies deny; then beside a sink, also until rows are in ClickHouse."""
    load = _load(arguments)
    drawn: dict[str, latency.Curve] = {}
    for _, settings in _on_kafka(1):
        drawn["ledger alone"] = asyncio.run(latency.measure(settings, load))
    for _, settings in _with_clickhouse(1):
        drawn["beside a sink"] = asyncio.run(latency.measure(settings, load, with_sink=True))
    plot = arguments.into / f"benchmarks-latency-{load.rate}.svg"
    plot.write_text(curves("percent of breaches", f"ms until readable, at {load.rate:,} events/s", drawn))


def _load(
    arguments: argparse.Namespace, seconds: int = 30, organizations: int = 40, members: int = 1_000
) -> latency.Load:
    return latency.Load(
        arguments.rate,
        arguments.seconds or seconds,
        arguments.organizations or organizations,
        arguments.members or members,
        arguments.hot,
    )


def _footprint(arguments: argparse.Namespace) -> None:
    """Bytes an event leaves, read in large chunks; then what small ones cost, by the number of partitions."""
    for _, settings in _with_clickhouse(1):
        footprint.sizes(settings, _job(arguments, 1))
    load = _load(arguments, organizations=1_000, members=10_000)
    for partitions in PARTITIONS:
        for _, settings in _on_kafka(1):
            asyncio.run(footprint.transactions(settings.model_copy(update={"partitions": partitions}), load))


def _limits(arguments: argparse.Namespace) -> None:
    """Limits at all three scopes against organisation limits alone."""
    ratios = []
    for run, settings in _on_kafka(arguments.runs):
        alone, all_scopes = (
            _one_side(settings, _job(arguments, run, all_scopes=which), which) for which in (False, True)
        )
        ratios.append(alone.per_second / all_scopes.per_second)
        print(
            f"run {run}: organisation limits alone {alone.per_second:9,.0f} events/s   "
            f"all three scopes {all_scopes.per_second:9,.0f} events/s   {ratios[-1]:.2f} times as long per event",
            flush=True,
        )
    print(f"median: {statistics.median(ratios):.2f} times as long per event")


def _one_side(settings: Settings, job: Job, which: bool) -> Measured:
    own = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}{int(which)}."})
    return run_ledger(own, job)


def _job(arguments: argparse.Namespace, run: int, *, all_scopes: bool = False) -> Job:
    return Job(
        arguments.events,
        arguments.organizations or 40,
        arguments.members or 1_000,
        seed=run,
        now_micros=time.time_ns() // 1_000_000 * 1_000,
        all_scopes=all_scopes,
    )


def _with_clickhouse(runs: int) -> Iterator[tuple[int, Settings]]:
    for run, settings in _on_kafka(runs):
        with (
            tempfile.TemporaryDirectory() as folder,
            EmbeddedClickHouse(Path(folder)) as clickhouse,
        ):
            yield run, settings.model_copy(update={"clickhouse_url": clickhouse.url})


def _on_kafka(runs: int) -> Iterator[tuple[int, Settings]]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        for run in range(1, runs + 1):
            yield (
                run,
                Settings(
                    kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=f"bench{run}.", data_dir=Path(folder)
                ),
            )


if __name__ == "__main__":
    main()
