"""`python -m tests.chaos`: seeds and a number of faults in; a line per fault, and a table of recovery times, out."""

import argparse
import asyncio
import statistics
import sys
from collections import defaultdict

from pipeline.demo.system import stop_in_order_on_signals
from pipeline.errors import quiet_libraries
from tests.chaos.run import Struck, run


def main() -> None:
    """Run seed after seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--faults", type=int, default=10, help="occasions in each (%(default)s)")
    arguments = parser.parse_args()
    quiet_libraries()
    stop_in_order_on_signals()
    struck: list[Struck] = []
    wrong: list[int] = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        try:
            struck += asyncio.run(run(seed, arguments.faults, lambda line: print(line, flush=True)))
        except (AssertionError, TimeoutError) as error:
            wrong.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    _report(struck)
    print(f"{arguments.seeds} seeds, {len(struck)} occasions, {sum(len(one.faults) for one in struck)} faults")
    if wrong:
        sys.exit(f"not as nobody disturbed would have said, or not in time: seeds {', '.join(map(str, wrong))}")


def _report(struck: list[Struck]) -> None:
    by_kind: dict[str, list[float]] = defaultdict(list)
    for one in struck:
        by_kind[" and ".join(one.faults)].append(one.recovered_seconds)
    print("| fault | times | recovered after, median | at most |\n|---|---|---|---|")
    for kind, seconds in sorted(by_kind.items()):
        print(f"| {kind} | {len(seconds)} | {statistics.median(seconds):.1f} s | {max(seconds):.1f} s |")


if __name__ == "__main__":
    main()
