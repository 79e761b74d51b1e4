"""`python -m tests.chaos`: seeds and a number of faults in; a line per fault, and two tables in Markdown, out."""

import argparse
import asyncio
import statistics
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable

from pipeline.demo.system import stop_in_order_on_signals
from pipeline.errors import quiet_libraries
from tests.chaos.run import Outcome, Struck, brokers_of, run


def main() -> None:
    """Run seed after seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--faults", type=int, default=10, help="occasions in each (%(default)s)")
    parser.add_argument("--brokers", type=int, choices=(1, 3), help="else three for every third seed")
    arguments = parser.parse_args()
    quiet_libraries()
    stop_in_order_on_signals()
    outcomes: list[Outcome] = []
    wrong: list[int] = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        brokers = arguments.brokers or brokers_of(seed)
        try:
            outcomes.append(asyncio.run(run(seed, arguments.faults, lambda line: print(line, flush=True), brokers)))
        except Exception:  # the other seeds still tell something
            wrong.append(seed)
            print(f"seed {seed}: {traceback.format_exc()}", flush=True)
    print("\n".join(["", *_by_seed(outcomes), "", *_by_fault(outcomes)]))
    if wrong:
        sys.exit(f"not as nobody disturbed would have said, or not in time: seeds {', '.join(map(str, wrong))}")


def _by_seed(outcomes: list[Outcome]) -> Iterable[str]:
    yield "| seed | brokers | faults | recovered after, median | at most | sent | written | rows stored |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for one in outcomes:
        counts = f"{one.sent:,} | {one.written:,} | {one.rows:,}"
        yield f"| {one.seed} | {one.brokers} | {_faults(one.struck)} | {_recovered(one.struck)} | {counts} |"
    sums = " | ".join(f"{sum(getattr(one, name) for one in outcomes):,}" for name in ("sent", "written", "rows"))
    every = [struck for one in outcomes for struck in one.struck]
    if every:
        yield f"| **all** | | {_faults(every)} | {_recovered(every)} | {sums} |"


def _by_fault(outcomes: list[Outcome]) -> Iterable[str]:
    by_kind: dict[str, list[Struck]] = defaultdict(list)
    for struck in (struck for one in outcomes for struck in one.struck):
        by_kind[" and ".join(struck.faults)].append(struck)
    yield "| fault | times | recovered after, median | at most |"
    yield "|---|---:|---:|---:|"
    for kind, all_of_it in sorted(by_kind.items()):
        yield f"| {kind} | {len(all_of_it)} | {_recovered(all_of_it)} |"


def _faults(struck: list[Struck]) -> int:
    return sum(len(one.faults) for one in struck)


def _recovered(struck: list[Struck]) -> str:
    seconds = [one.recovered_seconds for one in struck]
    return f"{statistics.median(seconds):.1f} s | {max(seconds):.1f} s"


if __name__ == "__main__":
    main()
