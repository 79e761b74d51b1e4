"""NDJSON usage events in, priced NDJSON and rejected lines out: what `usage-credits price` does; nothing need run.

It prices history, so no event is too old for it; it knows no organisations, only events and the price book.
Source: docs/rules.md R9-R17.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from pipeline.domain.pricing import NoPrice, PriceBook, PricedEvent, price_usage
from schemas.dead_letters import MAX_RECORD_BYTES, Reason
from schemas.money import usd_from_picousd
from schemas.usage import InvalidEvent, UsageEvent, read_event


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that has no price: its number, counted from 1, and why."""

    line: int
    reason: Reason
    detail: str

    def json(self) -> dict[str, Any]:
        return {"line": self.line, "reason": self.reason, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line's event with its price."""

    line: int
    priced: PricedEvent

    def json(self) -> dict[str, Any]:
        """The event in its bare form, then the names of `priced-usage`: money as digits of picodollars (R13)."""
        cost_picousd = self.priced.cost_picousd
        parts = self.priced.parts._asdict()
        return {
            **self.priced.usage.model_dump(mode="json", exclude_defaults=True),
            "price_id": self.priced.rates.price_id,
            "cost_picousd": str(cost_picousd),
            "cost_usd": usd_from_picousd(cost_picousd),
            **{f"{kind}_picousd": str(picousd) for kind, picousd in parts.items()},
        }


@dataclass(slots=True)
class Summary:
    """What a run came to."""

    priced: int = 0
    rejected: int = 0
    cost_picousd: int = 0


def price_lines(lines: Iterable[bytes], book: PriceBook) -> Iterator[PricedLine | RejectedLine]:
    """Each line that is not blank, priced or rejected, in order; a bad line never keeps the next from its price."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield PricedLine(number, price_usage(_event(line), book))
        except (_Rejected, NoPrice) as error:
            yield RejectedLine(number, error.reason, str(error))


def write_priced(lines: Iterable[bytes], book: PriceBook, out: BinaryIO, rejects: BinaryIO) -> Summary:
    """Price lines as they come; `out` gets the priced ones, `rejects` the others, both as NDJSON."""
    summary = Summary()
    for outcome in price_lines(lines, book):
        if isinstance(outcome, PricedLine):
            summary.priced += 1
            summary.cost_picousd += outcome.priced.cost_picousd
            out.write(_ndjson(outcome.json()))
        else:
            summary.rejected += 1
            rejects.write(_ndjson(outcome.json()))
    return summary


class _Rejected(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _event(line: bytes) -> UsageEvent:
    if len(line) > MAX_RECORD_BYTES:
        raise _Rejected(Reason.TOO_LARGE, f"{len(line):,} bytes; a line may have {MAX_RECORD_BYTES:,}")
    try:
        wire = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _Rejected(Reason.MALFORMED, f"not JSON: {error}") from None
    if not isinstance(wire, dict):
        raise _Rejected(Reason.MALFORMED, "not a JSON object; write one event per line")
    try:
        return read_event(wire)
    except InvalidEvent as error:
        raise _Rejected(_reason(error), str(error)) from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _reason(error: InvalidEvent) -> Reason:
    kinds = {kind for _, kind, _ in error.problems}
    if kinds == {"extra_forbidden"}:
        return Reason.UNKNOWN_FIELD
    if kinds == {"less_than_equal"}:
        return Reason.COUNT_TOO_LARGE
    return Reason.INVALID


def _ndjson(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
