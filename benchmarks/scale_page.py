"""`python -m benchmarks scale`: measured figures and assumptions come in; the tables of docs/scale.md, and its picture.

Nothing is measured here: scale.py adds up, chunks.py simulates. A test holds the page to what they say.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from benchmarks.chunks import Simulated, simulate
from benchmarks.scale import COSTS, RATES, Assumed, Measured, bill, cpu_micros, ends, events_a_month, plan

PARTITIONS = (1, 4, 16, 64)
LOADS = (200, 2_000, 20_000, 45_000)
DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "scale.md", DOCS / "operations.md")
_COLOURS = ("#8a9bb0", "#c2562e", "#3f7d58", "#7a5c99")
_BUSY = (20, 35, 50, 65, 80)


def fill(page: str, measured: Measured, assumed: Assumed) -> str:
    """A page with those of the tables that it has, as they are reckoned now; the prose between them stays."""
    tables = {
        "sizes": sizes(measured, assumed),
        "cores": cores(measured),
        "bills": bills(measured, assumed),
        "ends": ended(measured, assumed),
        "chunks": chunks(),
        "catching up": catching_up(measured),
        "measured": inputs(measured),
        "assumed": inputs(assumed),
    }
    for name, made in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(begin)
        page = page if not found else before + begin + made + "\n" + end + rest.partition(end)[2]
    return page


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Of Markdown; all columns but the first to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rounded(figure: float) -> str:
    """Two figures: nobody knows more."""
    if figure <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(figure))
    return f"{round(figure, digits):,.{max(0, digits)}f}"


def size(count: float) -> str:
    """Bytes, in decimal units."""
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{rounded(count / unit)} {name}"
    return f"{rounded(count)} B"


def sizes(measured: Measured, assumed: Assumed) -> str:
    heads = (
        "events/s",
        "partitions",
        "workers",
        "memory each",
        "sinks",
        "cores: gate, ledger, Kafka, sink and ClickHouse",
        "Kafka writes",
        "Kafka's disks",
        "identities' disks",
        "ClickHouse's disk",
    )
    rows = []
    for rate in RATES:
        one = plan(rate, measured, assumed)
        cores = ", ".join(f"{math.ceil(part)}" for part in (one.gate_cores, one.ledger_cores, one.kafka_cores))
        rows.append(
            (
                f"{rate:,}",
                f"{one.partitions}",
                f"{one.workers}",
                size(one.worker_memory_bytes),
                f"{one.sinks}",
                f"{cores}, {math.ceil(one.store_cores)}",
                f"{size(one.written_bytes_per_second)}/s",
                size(one.kafka_bytes),
                size(one.identity_bytes),
                size(one.clickhouse_bytes),
            )
        )
    return table(heads, rows)


def bills(measured: Measured, assumed: Assumed) -> str:
    heads = (
        "events/s",
        "billions a month",
        "cores, memory",
        "between zones",
        "Kafka's disks",
        "other disks",
        "**a billion events**",
        "**with tiered storage**",
        "a month of that",
    )
    rows = []
    for rate in RATES:
        billed = bill(plan(rate, measured, assumed), measured, assumed)
        billions = events_a_month(rate, assumed) / 1e9
        parts = (billed.compute, billed.zones, billed.kafka_disks, billed.other_disks)
        rows.append(
            (
                f"{rate:,}",
                rounded(billions),
                *(rounded(part / billions) for part in parts),
                f"**{rounded(billed.total / billions)}**",
                f"**{rounded(billed.tiered_total / billions)}**",
                rounded(billed.tiered_total),
            )
        )
    return table(heads, rows)


def ended(measured: Measured, assumed: Assumed) -> str:
    lines = ["| at a peak of | ends | why | then |", "|---:|---|---|---|"]
    lines += [f"| {rounded(one.peak)} | {one.what} | {one.why} | {one.then} |" for one in ends(measured, assumed)]
    return "\n".join(lines)


def _run(load: float, partitions: int) -> Simulated:
    return simulate(load, partitions, COSTS, seconds=max(1.0, min(20.0, 20_000 / load)))


def chunks() -> str:
    rows = []
    for load in LOADS:
        row = [f"{load:,} events/s"]
        for partitions in PARTITIONS:
            one = _run(load, partitions)
            row.append(
                f"{rounded(one.p50_ms)}, {rounded(one.p99_ms)} ms; {rounded(one.events_a_transaction)}; {one.cores:.0%}"
            )
        rows.append(row)
    heads = ("p50, p99; events a transaction; busy", *(f"{n} partition{'s' * (n > 1)}" for n in PARTITIONS))
    return table(heads, rows)


def catching_up(measured: Measured) -> str:
    """A backlog of T seconds at the share ρ of what a worker can do is worked off in T·ρ/(1−ρ)."""
    rows = [(f"{busy} %", f"{measured.outage_seconds * busy / (100 - busy):.0f} s") for busy in _BUSY]
    return table(("busy before", "worked off after"), rows)


def picture(measured: Measured) -> str:
    """p99 by load, a line for each number of partitions; both axes are logarithmic."""
    width, height, left, bottom = 760, 330, 60, 40
    loads = [round(100 * 10 ** (step / 4)) for step in range(12)]
    loads = [load for load in loads if load < measured.ledger_per_second * 0.85]

    def x(load: float) -> float:
        return left + (width - left - 110) * math.log10(load / 100) / math.log10(measured.ledger_per_second / 100)

    def y(millis: float) -> float:
        return height - bottom - (height - bottom - 20) * math.log10(max(1.0, millis)) / 3

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">',
        '<rect width="100%" height="100%" fill="white"/><g font-family="sans-serif" font-size="13" fill="#222">',
    ]
    for millis in (1, 10, 100, 1_000):
        at = y(millis)
        parts.append(f'<line x1="{left}" x2="{width - 110}" y1="{at:.0f}" y2="{at:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.0f}" text-anchor="end">{millis:,} ms</text>')
    parts += [
        f'<text x="{x(load):.0f}" y="{height - 18}" text-anchor="middle">{load:,}</text>'
        for load in (100, 1_000, 10_000)
    ]
    parts.append(
        f'<text x="{width - 110}" y="{height - 4}" text-anchor="end">events a second, of one worker; p99</text>'
    )
    for partitions, colour in zip(PARTITIONS, _COLOURS, strict=True):
        points = [(x(load), y(_run(load, partitions).p99_ms)) for load in loads]
        line = " ".join(f"{across:.0f},{down:.0f}" for across, down in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        across, down = points[-1]
        words = f"{partitions} partition{'s' * (partitions > 1)}"
        parts.append(f'<text x="{across + 8:.0f}" y="{down + 4:.0f}" fill="{colour}">{words}</text>')
    return "\n".join([*parts, "</g></svg>"]) + "\n"


def cores(measured: Measured) -> str:
    cpu = cpu_micros(measured)
    rows = [
        ("gate, if it comes over HTTP", f"{cpu.gate:.1f}", "measured"),
        ("ledger", f"{cpu.ledger:.1f}", "one core, one worker"),
        ("Kafka, one copy", f"{cpu.broker:.1f}", "two cores, two workers and their broker, less those"),
        ("sink and ClickHouse", f"{cpu.store:.1f}", "two cores, the whole path, less all that"),
    ]
    return table(("part", "µs an event", "from"), rows)


def inputs(of: Measured | Assumed) -> str:
    """Every figure, with what it is and where it is from."""
    lines = ["| figure | | from |", "|---:|---|---|"]
    for one in fields(of):
        figure = getattr(of, one.name)
        text = f"{figure:,.4g}" if figure < 1_000 else f"{figure:,.0f}"
        lines.append(f"| {text} | {one.metadata['what']} | {one.metadata['source']} |")
    return "\n".join(lines)


def main() -> None:
    """Write the pages' tables anew, and its picture."""
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8"), Measured(), Assumed()), encoding="utf-8")
    (DOCS / "scale-latency.svg").write_text(picture(Measured()), encoding="utf-8")
