"""Usage goes in, as NDJSON or as Claude Code's logs; one event each, with its arrival, comes out, in order of time.

Arrival is when the event occurred, as in replay mode. What cannot be read has no time: it arrives with its neighbour,
and so does what claims to be of another century; the ledger says what is wrong with it.
Source: docs/rules.md R14a, R44.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline.agents.decoding import BadEvent, decode_record, raw_event
from pipeline.importers.claude_code import CLAUDE_CODE
from pipeline.importers.importing import find, outgoing
from pipeline.importers.readings import Told
from pipeline.simulate.words import EARLIEST, LATEST


@dataclass(frozen=True, slots=True)
class Arriving:
    """One event, or what was meant to be one; `place` tells people where it was read."""

    at_micros: int
    value: bytes
    place: str


@dataclass(slots=True)
class Usage:
    """Everything there is, by arrival; `skipped` counts lines of logs that hold no usable delivery."""

    events: list[Arriving] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def read_usage(files: Iterable[BinaryIO], logs: tuple[Path, ...], whose: Told) -> Usage:
    """All usage of NDJSON files and of Claude Code's logs.

    Raises:
        FileNotFoundError: a folder of logs holds none.
    """
    usage = Usage()
    for file in files:
        usage.events += _of_lines(file, getattr(file, "name", "<stdin>"))
    if logs:
        usage.events += _of_logs(logs, whose, usage.skipped)
    first = min((event.at_micros for event in usage.events if event.at_micros), default=0)
    usage.events = [event if event.at_micros else Arriving(first, event.value, event.place) for event in usage.events]
    usage.events.sort(key=lambda event: event.at_micros)  # stable: at the same time, as they were read
    return usage


def _of_lines(lines: Iterable[bytes], name: str) -> Iterator[Arriving]:
    """Each event of each line; 0 is the time of what comes before anything that has one."""
    at_micros = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        decoded = decode_record(line)
        for index, event in enumerate(decoded):
            if isinstance(event, BadEvent):
                yield Arriving(at_micros, event.raw, f"{name}:{number}")
                continue
            if EARLIEST <= event.occurred_at_micros < LATEST:
                at_micros = event.occurred_at_micros
            yield Arriving(at_micros, raw_event(line, index), f"{name}:{number}")


def _of_logs(paths: tuple[Path, ...], whose: Told, skipped: Counter[str]) -> Iterator[Arriving]:
    with find(CLAUDE_CODE, paths, whose) as found:
        for _, event in found.events():
            yield Arriving(event.occurred_at_micros, outgoing(event).value, f"request {event.event_id}")
    skipped.update(found.skipped)
