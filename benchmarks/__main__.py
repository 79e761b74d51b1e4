"""`python -m benchmarks`: the ledger path on a real Kafka, events per second, with its result checked."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.job import Job
from benchmarks.stand import run_once
from pipeline.embedded.kafka import EmbeddedKafka
from pipeline.settings import Settings


def main() -> None:
    """Run the job a few times and print medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="preloaded, of about 300 bytes (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="bare and ledger in turn (%(default)s)")
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--organizations", type=int, default=40)
    arguments = parser.parse_args()
    floors, ledgers = [], []
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        for run in range(arguments.runs):
            settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=f"bench{run}.")
            job = Job(
                arguments.events,
                arguments.organizations,
                arguments.members,
                seed=run + 1,
                now_micros=time.time_ns() // 1_000_000 * 1_000,
            )
            bare_run, ledger_run = run_once(settings, job)
            floors.append(bare_run.per_second)
            ledgers.append(ledger_run.per_second)
            print(
                f"run {run + 1}: bare fetch and decode {floors[-1]:9,.0f} events/s   "
                f"ledger {ledgers[-1]:9,.0f} events/s   ratio {ledgers[-1] / floors[-1]:.2f}   "
                f"{job.accepted:,} accepted, spend agrees to the picodollar",
                flush=True,
            )
    ratio = statistics.median(ledger / floor for floor, ledger in zip(floors, ledgers, strict=True))
    floor, ledger = statistics.median(floors), statistics.median(ledgers)
    print(f"median: bare {floor:,.0f}, ledger {ledger:,.0f} events/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
