"""All contenders and ours in turn on one Kafka: sizes and runs come in, docs/benchmarks.md goes out."""

import asyncio
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.report import Outcome, write
from benchmarks.contenders.running import OURS, Failed, run_contender, run_ours, versions
from benchmarks.job import Job
from benchmarks.stand import Measured, fill, in_process
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings

BARE = "bare"
# Every second organisation passes it in the small job too.
LIMIT_USD = "20.00"


def compare(
    events: int, slow_events: int, runs: int, organizations: int, members: int, only: Iterable[str], into: Path
) -> None:
    """Run everything, print each figure as it comes, and write the page.

    Args:
        slow_events: of those contenders that are known to be slow.
        only: names; all, if empty.
        into: the folder of the page.
    """
    found = versions()
    outcomes = {
        name: Outcome(slow_events if name in CONTENDERS and CONTENDERS[name].slow else events)
        for name in (OURS, BARE, *CONTENDERS)
        if not only or name in only
    }
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        for run in range(1, runs + 1):
            jobs: dict[int, tuple[Settings, Job]] = {}
            # Whoever came first in one run comes last in the next.
            names = list(outcomes)[:: 1 if run % 2 else -1]
            for name in names:
                outcome = outcomes[name]
                if name in found and found[name] is None:
                    outcome.failure = f"not installed in {CONTENDERS[name].environment}"
                    continue
                if outcome.failure:
                    continue
                if outcome.events not in jobs:
                    settings = Settings(
                        kafka_bootstrap_servers=kafka.bootstrap_servers,
                        topic_prefix=f"bench{run}-{outcome.events}.",
                        data_dir=Path(folder),
                    )
                    now_micros = time.time_ns() // 1_000_000 * 1_000
                    job = Job(
                        outcome.events, organizations, members, seed=run, now_micros=now_micros, limit_usd=LIMIT_USD
                    )
                    asyncio.run(fill(settings, job))
                    jobs[outcome.events] = settings, job
                try:
                    measured = _run(name, *jobs[outcome.events])
                except Failed as error:
                    outcome.failure = str(error)
                    print(f"run {run}: {name}: {error}", flush=True)
                else:
                    outcome.per_second.append(measured.per_second)
                    print(f"run {run}: {name:24} {measured.per_second:9,.0f} events/s", flush=True)
    write(into, outcomes, found, runs, organizations, members)
    print(f"written: {into}/benchmarks.md")


def _run(name: str, settings: Settings, job: Job) -> Measured:
    if name == OURS:
        return run_ours(settings, job)
    if name == BARE:
        return in_process("bare", settings, job.events)
    return run_contender(name, settings, job)
