"""`usage-credits import litellm` and its like: files come in; events go to Kafka or stdout, or a summary does.

A run that was cut is taken up again: how many events Kafka has is noted in DATA_DIR after each batch, under what the
files held. Were the note wrong, nothing would be charged twice: identities are the records' own (R14).
"""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.domain.pricing import NoPrice, price_usage
from pipeline.importers.command import outgoing, progress_bar
from pipeline.importers.readings import Reader, Told, usage_events
from pipeline.price_book import load_price_book
from pipeline.publisher import publish
from pipeline.screen import console, table
from pipeline.settings import Settings
from pipeline.topics_admin import check_topics
from schemas.instants import MICROS_PER_DAY, format_instant
from schemas.money import usd_from_picousd
from schemas.usage import UsageEvent

BATCH_EVENTS = 5_000


@dataclass(frozen=True, slots=True)
class Found:
    """What files hold: events in the order of time, and how many records are none, by reason."""

    events: list[UsageEvent]
    skipped: Counter[str]
    digest: str


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
        too_old: events that a ledger which is live would refuse, being older than its horizon (R17).
        unpriced: why events have no price, and how many.
    """

    sums: dict[tuple[str, str], Sum] = field(default_factory=lambda: defaultdict(Sum))
    unpriced: Counter[str] = field(default_factory=Counter)
    too_old: int = 0

    @property
    def cost_picousd(self) -> int:
        return sum(each.cost_picousd for each in self.sums.values())


def find(reader: Reader, paths: Iterable[Path], told: Told) -> Found:
    """Read all files.

    Raises:
        ValueError, OSError: a file cannot be read; says which.
    """
    skipped: Counter[str] = Counter()
    digest = sha256(repr(astuple(told)).encode())
    events: list[UsageEvent] = []
    with progress_bar() as progress:
        files = sorted(paths)
        task = progress.add_task("reading files", total=len(files))
        for path in files:
            digest.update(path.read_bytes())
            events += usage_events(reader(path), told, skipped)
            progress.advance(task)
    events.sort(key=lambda event: (event.occurred_at_micros, event.event_id))
    return Found(events, skipped, digest.hexdigest())


def summarize(found: Found, horizon_days: int) -> Summary:
    """What is there, priced by the packaged price book."""
    book, summary = load_price_book(), Summary()
    oldest_micros = time.time_ns() // 1_000 - horizon_days * MICROS_PER_DAY
    for event in found.events:
        of_model = summary.sums[event.org_id, event.model]
        of_model.events += 1
        of_model.tokens += sum(getattr(event, name) for name in UsageEvent.model_fields if name.endswith("_tokens"))
        summary.too_old += event.occurred_at_micros < oldest_micros
        try:
            of_model.cost_picousd += price_usage(event, book).cost_picousd
        except NoPrice as error:
            of_model.unpriced += 1
            summary.unpriced[str(error).split(" at ")[0]] += 1
    return summary


def send(found: Found, *, again: bool) -> dict[str, Any]:
    """Everything that Kafka does not have yet, in batches; returns what happened, for people."""
    settings = Settings()
    note = settings.data_dir / "imports" / f"{found.digest}.json"
    before = 0 if again or not note.exists() else int(json.loads(note.read_text())["sent"])
    with progress_bar() as progress:
        task = progress.add_task("sending events", total=len(found.events), completed=before)
        asyncio.run(_send(settings, found.events[before:], before, note, lambda n: progress.advance(task, n)))
    return {
        "events": len(found.events),
        "sent": len(found.events) - before,
        "sent_before": before,
        "skipped": dict(found.skipped),
    }


async def _send(
    settings: Settings, events: list[UsageEvent], sent: int, note: Path, on_sent: Callable[[int], None]
) -> None:
    await check_topics(settings)
    note.parent.mkdir(parents=True, exist_ok=True)
    for begin in range(0, len(events), BATCH_EVENTS):
        batch = events[begin : begin + BATCH_EVENTS]
        is_last = begin + len(batch) == len(events)
        # In replay mode only what a later record or a tick lies behind is processed.
        ticks_at = batch[-1].occurred_at_micros // 1_000 * 1_000 if is_last and settings.mode == "replay" else None
        await publish(settings, map(outgoing, batch), on_sent, ticks_at_micros=ticks_at)
        sent += len(batch)
        unfinished = note.with_suffix(".new")
        unfinished.write_text(json.dumps({"sent": sent}))
        unfinished.replace(note)


def write(found: Found, out: BinaryIO) -> None:
    """The events as NDJSON."""
    out.writelines(outgoing(event).value + b"\n" for event in found.events)
    out.flush()


def document_of(found: Found, summary: Summary, vendor_picousd: int | None) -> dict[str, Any]:
    """The summary, for programs."""
    return {
        "events": len(found.events),
        "first": format_instant(found.events[0].occurred_at_micros) if found.events else None,
        "last": format_instant(found.events[-1].occurred_at_micros) if found.events else None,
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
        "skipped": dict(found.skipped),
    }


def show(found: Found, summary: Summary, vendor_picousd: int | None, horizon_days: int) -> None:
    """The summary, for people: what would be sent, and what is wrong with it."""
    said = document_of(found, summary, vendor_picousd)
    all_of_them = {"org_id": "", "model": "all", "events": said["events"], "cost_usd": said["cost_usd"]}
    all_of_them["tokens"] = sum(one["tokens"] for one in said["models"])
    made = table("organisation", "model", "events", "tokens", "at API rates", right=(2, 3, 4))
    for one in [*said["models"], all_of_them]:
        made.add_row(one["org_id"], one["model"], f"{one['events']:,}", f"{one['tokens']:,}", f"${one['cost_usd']}")
    screen = console(markup=False)
    screen.print(f"{said['events']:,} events, {said['first'] or '–'} to {said['last'] or '–'}; nothing was sent\n")
    screen.print(made)
    if vendor_picousd is not None:
        more = vendor_picousd - summary.cost_picousd
        off = f"${usd_from_picousd(abs(more))} {'more' if more > 0 else 'less'} than" if more else "the same as"
        screen.print(f"\nthe cost report says ${said['vendor_cost_usd']}: {off} these events")
    problems = [
        *((count, f"a dead letter: {why}") for why, count in summary.unpriced.items()),
        *((count, f"no event: {why}") for why, count in found.skipped.items()),
    ]
    if summary.too_old:
        problems.append((summary.too_old, f"older than {horizon_days} days: a ledger that is live refuses it"))
    for count, problem in problems:
        screen.print(f"{count:,} × {problem}")
