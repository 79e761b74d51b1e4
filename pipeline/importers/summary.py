"""`usage-credits import … --dry-run`: what files hold goes in; what would be sent comes out, and what it costs."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from pipeline.domain.pricing import NoPrice, price_usage
from pipeline.importers.importing import Found
from pipeline.price_book import load_price_book
from pipeline.screen import console, table
from schemas.instants import MICROS_PER_DAY, format_instant
from schemas.money import usd_from_picousd
from schemas.usage import TOKEN_KINDS

_MOST_PROBLEMS = 20
"""So many are shown; a file that is not what it was taken for has one for each of its lines."""


@dataclass(slots=True)
class Sum:
    """Of one organisation and model."""

    events: int = 0
    tokens: int = 0
    cost_picousd: int = 0
    unpriced: int = 0


@dataclass(slots=True)
class Summary:
    """What an import would send, and what it costs at API rates.

    Attributes:
        records: how many records were read as usage; of those that came again only the last becomes an event.
        too_old: events that a ledger which is live would refuse, being older than its horizon (R17).
        unpriced: why events have no price, and how many.
        skipped: why records are no events, and how many.
    """

    records: int
    sums: dict[tuple[str, str], Sum] = field(default_factory=lambda: defaultdict(Sum))
    first_micros: int | None = None
    last_micros: int | None = None
    unpriced: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    too_old: int = 0

    @property
    def events(self) -> int:
        """How many would be sent."""
        return sum(each.events for each in self.sums.values())

    @property
    def cost_picousd(self) -> int:
        """Of those that have a price."""
        return sum(each.cost_picousd for each in self.sums.values())


def summarize(found: Found, horizon_days: int) -> Summary:
    """What is there, priced by the packaged price book."""
    book, summary = load_price_book(), Summary(found.records)
    oldest_micros = time.time_ns() // 1_000 - horizon_days * MICROS_PER_DAY
    for event in found.watched_events("adding up, records"):
        at_micros = event.occurred_at_micros
        summary.first_micros = at_micros if summary.first_micros is None else summary.first_micros
        summary.last_micros = at_micros
        of_model = summary.sums[event.org_id, event.model]
        of_model.events += 1
        of_model.tokens += sum(getattr(event, f"{kind}_tokens") for kind in TOKEN_KINDS)
        summary.too_old += at_micros < oldest_micros
        try:
            of_model.cost_picousd += price_usage(event, book).cost_picousd
        except NoPrice as error:
            of_model.unpriced += 1
            summary.unpriced[str(error).split(" at ")[0]] += 1
    summary.skipped = found.skipped
    return summary


def document_of(summary: Summary, vendor_picousd: int | None) -> dict[str, Any]:
    """The summary, for programs."""
    return {
        "records": summary.records,
        "events": summary.events,
        "first": None if summary.first_micros is None else format_instant(summary.first_micros),
        "last": None if summary.last_micros is None else format_instant(summary.last_micros),
        "cost_usd": usd_from_picousd(summary.cost_picousd),
        "vendor_cost_usd": None if vendor_picousd is None else usd_from_picousd(vendor_picousd),
        "models": [
            {
                "org_id": org_id,
                "model": model,
                "events": each.events,
                "tokens": each.tokens,
                "cost_usd": usd_from_picousd(each.cost_picousd),
                "unpriced": each.unpriced,
            }
            for (org_id, model), each in sorted(summary.sums.items())
        ],
        "too_old": summary.too_old,
        "unpriced": dict(summary.unpriced),
        "skipped": dict(summary.skipped),
    }


def show(summary: Summary, vendor_picousd: int | None, horizon_days: int) -> None:
    """The summary, for people: what would be sent, and what is wrong with it."""
    said = document_of(summary, vendor_picousd)
    all_of_them = {"org_id": "", "model": "all", "events": said["events"], "cost_usd": said["cost_usd"]}
    all_of_them["tokens"] = sum(one["tokens"] for one in said["models"])
    made = table("organisation", "model", "events", "tokens", "at API rates", right=(2, 3, 4))
    for one in [*said["models"], all_of_them]:
        made.add_row(one["org_id"], one["model"], f"{one['events']:,}", f"{one['tokens']:,}", f"${one['cost_usd']}")
    screen = console(markup=False)
    when = f", {said['first']} to {said['last']}" if said["events"] else ""
    screen.print(f"{said['events']:,} events of {said['records']:,} records{when}; nothing was sent\n")
    screen.print(made)
    if vendor_picousd is not None:
        more = vendor_picousd - summary.cost_picousd
        off = f"${usd_from_picousd(abs(more))} {'more' if more > 0 else 'less'} than" if more else "the same as"
        screen.print(f"\nthe cost report says ${said['vendor_cost_usd']}: {off} these events")
    problems = [
        *((count, f"a dead letter: {why}") for why, count in summary.unpriced.items()),
        *((count, f"no event: {why}") for why, count in summary.skipped.items()),
    ]
    if summary.too_old:
        problems.append((summary.too_old, f"older than {horizon_days} days: a ledger that is live refuses it"))
    problems.sort(key=lambda each: -each[0])
    for count, problem in problems[:_MOST_PROBLEMS]:
        screen.print(f"{count:,} × {problem}")
    if rest := problems[_MOST_PROBLEMS:]:
        screen.print(f"{sum(count for count, _ in rest):,} × {len(rest):,} other reasons; --json lists them all")
