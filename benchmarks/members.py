"""`python -m benchmarks members`: what one event costs the ledger as members grow; sizes in, a table out, no Kafka.

Each size runs in a process of its own: members are restored from cells, then usage is charged, of members taken at
random (nearly every event changes another member's cells) and of a thousand busy ones.
"""

import ctypes
import gc
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.plots import curves
from pipeline.agents.ledger_machine import LedgerMachine
from pipeline.domain.cell import Cell
from pipeline.domain.pricing import CompiledPrices
from pipeline.domain.rules import Rules
from pipeline.domain.state import Calendar, Member, Organization, State, TierLimit
from pipeline.engine.contract import Run
from pipeline.engine.identity import MemoryIdentities
from pipeline.engine.restore import taken_out
from pipeline.price_book import load_price_book
from pipeline.replay import Record
from schemas.instants import format_instant, parse_instant
from schemas.organization import SEAT_TIERS

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NOW_MICROS = parse_instant("2026-05-15T12:00:00Z")
_MONTH = "2026-05"
_ORGANIZATIONS = 40
_MOST_BUSY = 1_000
_EVENTS = 60_000
_CHUNK_RECORDS = 3_000
_SLICE_RECORDS = 250
_ENOUGH_PICOUSD = 10**18
_PLOT = "benchmarks-members.svg"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one size; times are processor time."""

    members: int
    cells: int
    restore_seconds: float
    longest_step_ms: float
    random_micros: float
    busy_micros: float
    rss_mb: int
    peak_mb: int


def main(into: Path, sizes: tuple[int, ...] = SIZES) -> None:
    """Print the table, a line as each size is done; draw it."""
    costs: list[Cost] = []
    print("  members      cells  restored in  longest step  any member  busy members  memory, at most")
    for members in sizes:
        script = f"from benchmarks.members import measure; measure({members})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        cost = Cost(**json.loads(done.stdout))
        costs.append(cost)
        print(
            f"{cost.members:9,} {cost.cells:10,} {cost.restore_seconds:10.2f} s {cost.longest_step_ms:10.1f} ms "
            f"{cost.random_micros:8.1f} µs {cost.busy_micros:10.1f} µs {cost.rss_mb:5,} {cost.peak_mb:5,} MB",
            flush=True,
        )
    drawn = {
        "any member": [(cost.members, cost.random_micros) for cost in costs],
        "a thousand busy members": [(cost.members, cost.busy_micros) for cost in costs],
    }
    (into / _PLOT).write_text(curves("members", "µs of processor time per event", drawn, log_across=True))


def measure(members: int) -> None:
    """One size, as JSON on standard output."""
    machine = LedgerMachine(
        0, MemoryIdentities(35), partitions=1, prices=CompiledPrices(load_price_book()), rules=Rules()
    )
    cells = dict(_cells(members))
    count = len(cells)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak, from here on
    gc.disable()
    steps, began = [], time.process_time()
    last = time.perf_counter()
    for _ in machine.restore(taken_out(cells)):
        now = time.perf_counter()
        steps.append(now - last)
        last = now
    restored = time.process_time() - began
    gc.freeze()
    for member in range(0, members, _CHUNK_RECORDS):  # once each: the first event after a restore sets a watch
        _charge(machine, [_record((member + i) % members, 10**9 + member + i) for i in range(_CHUNK_RECORDS)])
    any_member = min(_micros_per_event(machine, members, seed) for seed in range(3))
    busy = min(_micros_per_event(machine, min(members, _MOST_BUSY), seed) for seed in range(3, 6))
    memory = _memory_mb("VmRSS"), _memory_mb("VmHWM")
    cost = Cost(members, count, restored, max(steps) * 1_000, any_member, busy, *memory)
    print(json.dumps(asdict(cost)))


def _cells(members: int) -> Iterator[tuple[bytes, bytes]]:
    """Organisations with limits at all three scopes, and members who have used something this month."""
    state = State()
    state.calendar = Calendar(month=_MONTH, closed_through="2026-03")
    limit = {"limit_picousd": _ENOUGH_PICOUSD, "limit_version": 1}
    cells: list[Cell] = [state.calendar, state.counters]
    for number in range(_ORGANIZATIONS):
        org_id = _org(number)
        organization = Organization(org_id=org_id, plan="enterprise", credits_enabled=True, **limit)
        state.organizations[org_id] = organization
        cells += [organization, state.month_of(organization, _MONTH)]
        for seat_tier in SEAT_TIERS:
            basis = "each_member" if seat_tier == "standard" else "whole_tier"
            cells += [
                TierLimit(org_id=org_id, seat_tier=seat_tier, basis=basis, **limit),
                state.month_of_tier(organization, _MONTH, seat_tier),
            ]
    for number in range(members):
        organization = state.organizations[_org_of(number)]
        seat_tier = SEAT_TIERS[number % 2]
        own_limit = limit if number % 10 == 0 else {}
        member = Member(
            org_id=organization.org_id, user_id=_user(number), role="member", seat_tier=seat_tier, **own_limit
        )
        month = state.month_of_member(organization, member, _MONTH)
        for cell in (month, month.tier, month.of_organization):
            cell.spend_picousd += 10**10
            cell.told_picousd = cell.spend_picousd
        cells += [member, month]
    return ((cell.key(), cell.value() or b"") for cell in cells)


def _memory_mb(what: str) -> int:
    ctypes.CDLL(None).malloc_trim(0)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) // 1024


def _micros_per_event(machine: LedgerMachine, members: int, seed: int) -> float:
    chance = random.Random(seed)
    records = [_record(chance.randrange(members), seed * _EVENTS + number) for number in range(_EVENTS)]
    began = time.process_time()
    for start in range(0, len(records), _CHUNK_RECORDS):
        _charge(machine, records[start : start + _CHUNK_RECORDS])
    return (time.process_time() - began) / len(records) * 1e6


def _charge(machine: LedgerMachine, chunk: list[Record]) -> None:
    machine.begin(NOW_MICROS, frozenset())
    for first in range(0, len(chunk), _SLICE_RECORDS):
        machine.take(Run("usage", chunk[first : first + _SLICE_RECORDS]))
    machine.finish()


def _record(member: int, number: int) -> Record:
    event = {
        "org_id": _org_of(member),
        "user_id": _user(member),
        "event_id": f"req_{number:023d}",
        "source": "claude-code",
        "product": "claude_code",
        "model": "claude-sonnet-4-6",
        "occurred_at": format_instant(NOW_MICROS - number % 60_000 * 1_000),
        "funding": "credits",
        "input_tokens": number % 4_000,
        "output_tokens": number % 2_000,
        "cache_read_tokens": number % 90_000,
    }
    return Record("usage", number, NOW_MICROS // 1_000, json.dumps(event).encode())


def _org(number: int) -> str:
    return f"org-{number:05d}"


def _org_of(member: int) -> str:
    """Organisations are of different sizes: from one member in 1,600 to 79."""
    return _org(math.isqrt(member % _ORGANIZATIONS**2))


def _user(number: int) -> str:
    return f"user-{number:07d}"
