"""NDJSON usage events in, priced NDJSON and rejected lines out: what `usage-credits price` does; nothing need run.

A line is what a record of `usage-events` may be: an event, bare or a CloudEvent, or an array of them. It prices
history, so no event is too old for it; it knows no organisations, only events and the price book.
Source: docs/rules.md R9-R17.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from pipeline.agents.decoding import BadEvent, decode_record
from pipeline.domain.pricing import NoPrice, PriceBook, PricedEvent, price_usage
from schemas.dead_letters import Reason
from schemas.instants import format_instant
from schemas.money import usd_from_picousd


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line's event with its price. Lines are counted from 1."""

    line: int
    priced: PricedEvent

    def to_json(self) -> dict[str, Any]:
        """The event in its bare form, then its price by the names of `priced-usage`: picodollars as digits (R13)."""
        usage, rates, cost_picousd = self.priced.usage, self.priced.rates, self.priced.cost_picousd
        return {
            **msgspec.to_builtins(usage),
            "occurred_at": format_instant(usage.occurred_at_micros),
            "price_id": rates.price_id,
            "cost_picousd": str(cost_picousd),
            "cost_usd": usd_from_picousd(cost_picousd),
            **{f"{kind}_picousd": str(picousd) for kind, picousd in self.priced.parts._asdict().items()},
        }


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line, or one event of it, that has no price, and why."""

    line: int
    reason: Reason
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"line": self.line, "reason": self.reason, "detail": self.detail}


@dataclass(slots=True)
class Summary:
    """What a run came to."""

    priced: int = 0
    rejected: int = 0
    cost_picousd: int = 0


def price_lines(lines: Iterable[bytes], book: PriceBook) -> Iterator[PricedLine | RejectedLine]:
    """Every event, priced or rejected, in order; a bad line never keeps the next from its price. Blank lines pass."""
    for number, line in enumerate(lines, start=1):
        for event in decode_record(line) if line.strip() else ():
            if isinstance(event, BadEvent):
                yield RejectedLine(number, event.reason, event.detail)
                continue
            try:
                yield PricedLine(number, price_usage(event, book))
            except NoPrice as error:
                yield RejectedLine(number, error.reason, str(error))


def write_priced(lines: Iterable[bytes], book: PriceBook, out: BinaryIO, rejects: BinaryIO) -> Summary:
    """Price lines as they come; `out` gets the priced ones, `rejects` the others, both as NDJSON."""
    summary = Summary()
    for outcome in price_lines(lines, book):
        if isinstance(outcome, PricedLine):
            summary.priced += 1
            summary.cost_picousd += outcome.priced.cost_picousd
            out.write(msgspec.json.encode(outcome.to_json()) + b"\n")
        else:
            summary.rejected += 1
            rejects.write(msgspec.json.encode(outcome.to_json()) + b"\n")
    return summary
