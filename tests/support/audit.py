"""The long run: seeds come in by number; how many months agree with the auditor, and every one that does not, goes out.

    python -m tests.support.audit --seeds 50000 --first 0

All cores work; a line tells how far it is. Ctrl-C ends it early and tells what was covered.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from tests.support.shrinking import disagreement_of, report_of

AT_ONCE = 5
"""Seeds a process does before it tells of them."""
SHRUNK = 20
"""So many disagreements are shrunk; who has more has one defect, not so many."""
SHRINKING_SECONDS = 60
TELL_EVERY_SECONDS = 60


@dataclass
class Audit:
    """What is known so far; `wrong` has what the seeds that disagree do so in."""

    first: int
    seeds: int
    done: set[int] = field(default_factory=set)
    wrong: dict[int, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    told_at: float = field(default_factory=time.monotonic)

    def progress(self) -> str:
        rate = len(self.done) / (time.monotonic() - self.began)
        left = _duration((self.seeds - len(self.done)) / rate) if rate else "who knows"
        done = f"{len(self.done):,} of {self.seeds:,} months, {rate:.1f} a second"
        return f"{done}, {left} to go, {len(self.wrong)} disagree"

    def summary(self) -> str:
        took = _duration(time.monotonic() - self.began)
        lines = [f"{len(self.done):,} months compared in {took}, {len(self.wrong)} disagree"]
        if len(self.done) < self.seeds:
            after = next(seed for seed in range(self.first, self.first + self.seeds) if seed not in self.done)
            before = after - self.first
            lines.append(f"covered are all {before:,} before seed {after}, and {len(self.done) - before:,} after it")
            lines.append(f"go on with: make audit FIRST={after} SEEDS={self.seeds - before}")
        lines += [f"  seed {seed}: {what}" for seed, what in sorted(self.wrong.items())]
        return "\n".join(lines)

    def run(self, pool: ProcessPoolExecutor, jobs: int) -> None:
        """Two batches a process are handed out in advance: none waits, and little is lost when it is interrupted."""
        end = self.first + self.seeds
        batches = iter(range(self.first, end, AT_ONCE))
        comparing: set[Future[dict[int, str | None]]] = set()
        shrinking: set[Future[str]] = set()
        while True:
            while len(comparing) < 2 * jobs and (begin := next(batches, None)) is not None:
                comparing.add(pool.submit(_compare, range(begin, min(begin + AT_ONCE, end))))
            under_way: set[Future[Any]] = {*comparing, *shrinking}
            if not under_way:
                return
            finished, _ = wait(under_way, timeout=1, return_when=FIRST_COMPLETED)
            for shrunk in finished & shrinking:
                self.say(shrunk.result())
            for compared in finished & comparing:
                for seed, what in compared.result().items():
                    self.done.add(seed)
                    if what is not None:
                        self.say(f"seed {seed} disagrees: {what}")
                        self.wrong[seed] = what.partition("\n")[0]
                        if len(self.wrong) <= SHRUNK:
                            shrinking.add(pool.submit(_shrink, seed))
            comparing -= finished
            shrinking -= finished
            self.tell()

    def tell(self) -> None:
        """On a terminal one line, written over; elsewhere nothing would wipe it away, so a line now and then."""
        if sys.stderr.isatty():
            print(f"\r\033[K{self.progress()}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.told_at > TELL_EVERY_SECONDS:
            self.told_at = time.monotonic()
            print(self.progress(), file=sys.stderr, flush=True)

    def say(self, what: str) -> None:
        """In place of the line of progress."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(f"{what}\n", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 if any month disagrees or could not be compared, 130 if it was interrupted before any did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50_000, help="how many months")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; one a core if not given")
    chosen = parser.parse_args(arguments)
    # Also where it runs in the background, or is told to end by whoever started it.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    audit, status = Audit(chosen.first, chosen.seeds), 0
    pool = ProcessPoolExecutor(chosen.jobs, initializer=_leave_interrupts_to_the_parent)
    try:
        audit.run(pool, chosen.jobs)
    except KeyboardInterrupt:
        status = 130
    except BrokenProcessPool as broken:
        audit.say(str(broken))
        status = 1
    if status:
        for worker in multiprocessing.active_children():
            worker.terminate()
    pool.shutdown(wait=not status, cancel_futures=True)
    audit.say(audit.summary())
    return 1 if audit.wrong else status


def _compare(seeds: Sequence[int]) -> dict[int, str | None]:
    found = {seed: disagreement_of(seed) for seed in seeds}
    return {seed: None if what is None else str(what) for seed, what in found.items()}


def _shrink(seed: int) -> str:
    return str(report_of(seed, SHRINKING_SECONDS) or f"seed {seed} disagrees no longer: did the code change meanwhile?")


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


if __name__ == "__main__":
    sys.exit(main())
