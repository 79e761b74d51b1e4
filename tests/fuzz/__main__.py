"""`python -m tests.fuzz`: a number of records and a seed in; progress, and how many came to what, out.

With `--worker` a running ledger on a Kafka of its own is given them; without, ledgers in memory are, and every decoded
event is held against the models as well. Ends with 1, telling seed, number and bytes, at the first that must not be.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter

from pipeline.errors import quiet_libraries
from tests.fuzz.in_memory import ROUND_RECORDS, Found, play
from tests.fuzz.shrinking import smallest
from tests.fuzz.worker import run


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", action="store_true", help="a running worker on a Kafka")
    parser.add_argument("--round", type=int, help="this round alone, in memory")
    arguments = parser.parse_args()
    quiet_libraries()
    began = time.monotonic()
    try:
        if arguments.worker:
            outcomes = asyncio.run(run(arguments.seed, arguments.records, _say))
        else:
            outcomes = _rounds(arguments.seed, arguments.records, arguments.round)
    except Found as found:
        _say("")
        sys.exit(_told(found))
    except AssertionError as error:
        _say("")
        sys.exit(f"seed {arguments.seed}: {error}")
    _say("")
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:>12,}  {outcome}")
    print(f"seed {arguments.seed}, {time.monotonic() - began:.0f} s; every record accounted for")


def _rounds(seed: int, records: int, only: int | None) -> Counter[str]:
    if only is not None:
        return play(seed, only)
    outcomes: Counter[str] = Counter()
    for number in range(-(-records // ROUND_RECORDS)):
        outcomes += play(seed, number, min(ROUND_RECORDS, records - number * ROUND_RECORDS))
        _say(f"seed {seed}: {outcomes['records']:,} of {records:,} records, {outcomes['accepted']:,} events accepted")
    return outcomes


def _say(line: str) -> None:
    """A line that goes on where there is a screen, and now and then one where there is none."""
    if sys.stdout.isatty():
        print(f"\r{line:<100}", end="\n" if not line else "", flush=True)
    elif line and time.monotonic() - _say.__dict__.get("at", 0.0) > 10:
        _say.__dict__["at"] = time.monotonic()
        print(line, flush=True)


def _told(found: Found) -> str:
    lines = [f"{found}", f"again: python -m tests.fuzz --seed {found.seed} --round {found.round_number}"]
    if found.record is not None:
        value = found.record.value or b""
        lines.append(f"record {found.record.number}, {found.record.input}, headers {found.record.headers}: {value!r}")
        if (less := smallest(value)) is not None:
            lines.append(f"of it suffices: {less!r}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
