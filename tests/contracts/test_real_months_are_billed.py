"""Real usage of many months comes in, its invoices are held line by line against the raw logs and a price table.

Everything expected is worked out here, from the files as they are: nothing of the domain is used for it. Where a
developer's tool said what a call cost, the months are compared with that too.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.importers import claude_code
from pipeline.replay import read_event
from schemas.instants import parse_instant
from schemas.invoices import InvoiceDrafted, InvoiceFinalized
from schemas.usage import cloud_event
from tests.support.builders import Wire, as_json
from tests.support.imports import imported
from tests.support.ledger import LedgerInMemory, acme

ROOT = Path(__file__).parents[2]
AIDER, PI = ROOT / "tests/data/aider_months.csv", ROOT / "tests/data/pi_session_excerpt.jsonl"
CLAUDE_CODE = ROOT / "examples/claude_code"
REQUESTS_INCLUDED_IN_THE_SEAT = 25
"""Of each session in Claude Code's logs: the example's fixed rule (examples/README.md)."""

KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
LONG_ABOVE_TOKENS = 200_000

# From that day on, picodollars a token, in the order of KINDS; None: no long context beyond 200,000 tokens then.
Rates = tuple[int, int, int, int, int]
PRICES: dict[str, list[tuple[str, Rates, Rates | None]]] = {
    "claude-3-5-sonnet": [("2024-06-20", (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000), None)],
    "claude-3-5-haiku": [
        ("2024-10-22", (1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000), None),
        ("2024-12-03", (800_000, 4_000_000, 80_000, 1_000_000, 1_600_000), None),
    ],
    "claude-3-7-sonnet": [("2025-02-19", (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000), None)],
    "claude-opus-4-5": [("2025-11-01", (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000), None)],
    "claude-sonnet-4-5": [
        (
            "2025-09-29",
            (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000),
            (6_000_000, 22_500_000, 600_000, 7_500_000, 12_000_000),
        )
    ],
    "claude-haiku-4-5": [("2025-10-01", (1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000), None)],
    "claude-opus-4-6": [
        (
            "2026-02-05",
            (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000),
            (10_000_000, 37_500_000, 1_000_000, 12_500_000, 20_000_000),
        )
    ],
}
NAMES = {
    "claude-3-5-sonnet-20240620": "claude-3-5-sonnet",
    "claude-3-5-sonnet-20241022": "claude-3-5-sonnet",
    "openrouter/anthropic/claude-3.5-sonnet": "claude-3-5-sonnet",
    "claude-3-5-haiku-20241022": "claude-3-5-haiku",
    "openrouter/anthropic/claude-3-5-haiku-20241022": "claude-3-5-haiku",
    "bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0": "claude-3-5-haiku",
    "anthropic/claude-3-7-sonnet-20250219": "claude-3-7-sonnet",
    "openrouter/anthropic/claude-3.7-sonnet": "claude-3-7-sonnet",
    "claude-sonnet-4-5-20250929": "claude-sonnet-4-5",
    "claude-haiku-4-5-20251001": "claude-haiku-4-5",
}

PICOUSD_PER_NANOUSD = 1_000


# The raw logs, each file as it is.


class Call(NamedTuple):
    """One paid request: when, of which product and model, tokens in the order of KINDS, what its tool said it cost."""

    occurred_at: str
    product: str
    model: str
    tokens: tuple[int, ...]
    reported_picousd: int | None = None

    @property
    def month(self) -> str:
        return self.occurred_at[:7]


def aider_calls() -> list[Call]:
    """Seven months of one developer; how much of the input came out of a cache was not recorded."""
    with AIDER.open(newline="") as lines:
        return [
            Call(
                row["occurred_at"],
                "aider",
                row["model"],
                (int(row["input_tokens"]), int(row["output_tokens"]), 0, 0, 0),
                round(Decimal(row["reported_cost_usd"]) * 10**12),
            )
            for row in csv.DictReader(lines)
        ]


def pi_calls() -> list[Call]:
    """A coding session in December 2025."""
    calls = []
    for row in map(json.loads, PI.read_text().splitlines()):
        used = row["usage"]
        tokens = (used["input"], used["output"], used["cacheRead"], used["cacheWrite"], 0)
        reported = round(Decimal(used["cost"]["total"]) * 10**12)
        calls.append(Call(row["timestamp"], "pi", row["model"], tokens, reported))
    return calls


def claude_code_calls() -> list[Call]:
    """The last delivery of each request, but for the first ones of each session, which are included in the seat."""
    deliveries = [json.loads(line) for file in CLAUDE_CODE.rglob("*.jsonl") for line in file.read_text().splitlines()]
    deliveries.sort(key=lambda delivery: delivery["timestamp"])
    last = {(delivery["message"]["id"], delivery["requestId"]): delivery for delivery in deliveries}
    sessions: dict[str, list[Call]] = defaultdict(list)
    in_order = sorted(last.items(), key=lambda item: (item[1]["timestamp"], ":".join(item[0])))
    for _, delivery in in_order:
        used = delivery["message"]["usage"]
        by_duration = used["cache_creation"]
        tokens = (
            used["input_tokens"],
            used["output_tokens"],
            used["cache_read_input_tokens"],
            by_duration["ephemeral_5m_input_tokens"],
            by_duration["ephemeral_1h_input_tokens"],
        )
        call = Call(delivery["timestamp"], "claude-code", delivery["message"]["model"], tokens)
        sessions[delivery["sessionId"]].append(call)
    return [call for calls in sessions.values() for call in calls[REQUESTS_INCLUDED_IN_THE_SEAT:]]


CALLS = [*aider_calls(), *pi_calls(), *claude_code_calls()]
MONTHS = sorted({call.month for call in CALLS})


# What they cost, worked out anew.


def price_of(call: Call) -> tuple[str, Rates]:
    """Price id and rates."""
    model = NAMES.get(call.model, call.model)
    day, rates, long_rates = [block for block in PRICES[model] if block[0] <= call.occurred_at][-1]
    uncached, _, *cached = call.tokens
    is_long = long_rates is not None and uncached + sum(cached) > LONG_ABOVE_TOKENS
    return (f"{model}@{day}+long", long_rates) if is_long and long_rates else (f"{model}@{day}", rates)


def cost_picousd(call: Call) -> int:
    _, rates = price_of(call)
    return sum(tokens * rate for tokens, rate in zip(call.tokens, rates, strict=True))


class Line(NamedTuple):
    """Of an invoice: amounts in dollars, exact and rounded."""

    product: str
    price_id: str
    kind: str
    quantity: int
    rate: Decimal
    exact: Decimal
    rounded: Decimal


def dollars(picousd: int) -> Decimal:
    return Decimal(picousd).scaleb(-12)


CENT = Decimal("0.01")


def lines_of(month: str) -> list[Line]:
    """The invoice as it has to be: a line per product, price and kind, in that order; the cents missing to the sum go
    one each to the lines that lost most by being rounded down, the first of equals first."""
    quantities: Counter[tuple[str, str, int]] = Counter()
    rates: dict[tuple[str, str, int], int] = {}
    for call in CALLS:
        if call.month == month:
            price_id, rates_of_call = price_of(call)
            for number, tokens in enumerate(call.tokens):
                place = (call.product, price_id, number)
                quantities[place] += tokens
                rates[place] = rates_of_call[number]
    places = sorted(place for place, quantity in quantities.items() if quantity)
    exact = [dollars(quantities[place] * rates[place]) for place in places]
    down = [amount - amount % CENT for amount in exact]
    total = sum(exact, Decimal()).quantize(CENT, ROUND_HALF_UP)
    lost = sorted(range(len(places)), key=lambda n: (down[n] - exact[n], n))
    for number in lost[: int((total - sum(down)) / CENT)]:
        down[number] += CENT
    return [
        Line(product, price_id, KINDS[kind], quantities[place], dollars(rates[place]), amount, rounded)
        for place, amount, rounded in zip(places, exact, down, strict=True)
        for product, price_id, kind in [place]
    ]


# What the ledger makes of it.


def wires() -> list[Wire]:
    """All of it as products send it; Claude Code's logs by the importer, with what is included in the seat."""
    sent = []
    for number, call in enumerate([*aider_calls(), *pi_calls()]):
        tokens = dict(zip(KINDS, call.tokens, strict=True))
        sent.append(
            {"org_id": "acme", "user_id": "ann", "event_id": f"e-{number}", "product": call.product}
            | {"model": call.model, "occurred_at": call.occurred_at, "funding": "credits"}
            | tokens
        )
    logged = imported(claude_code.CLAUDE_CODE, CLAUDE_CODE)
    return [*sent, *(cloud_event(event.model_copy(update={"org_id": "acme", "user_id": "ann"})) for event in logged)]


@pytest.fixture(scope="module")
def ledger() -> LedgerInMemory:
    """One developer at an Enterprise organisation; each call arrives within a millisecond."""
    ledger = acme("2024-08-01T00:00:00Z")
    arriving = sorted(
        (parse_instant(wire.get("occurred_at") or wire["time"]), n, wire) for n, wire in enumerate(wires())
    )
    ledger.process([ledger.record("usage", as_json(wire), -(-at // 1_000) * 1_000) for at, _, wire in arriving])
    ledger.wait_until("2026-03-05T00:00:00Z")
    return ledger


@pytest.fixture(scope="module")
def invoices(ledger: LedgerInMemory) -> dict[str, InvoiceFinalized]:
    events = map(read_event, ledger.outputs["invoices"])
    return {str(event.month): event for event in events if isinstance(event, InvoiceFinalized)}


def test_everything_was_taken_and_each_month_with_usage_has_an_invoice(
    ledger: LedgerInMemory, invoices: dict[str, InvoiceFinalized]
) -> None:
    assert ledger.dead_letters == []
    assert [row.funding for row in ledger.rows].count("credits") == len(CALLS) == 1_700 + 50 + 739
    months = ["2024-08", "2024-10", "2024-11", "2024-12", "2025-01", "2025-02", "2025-12", "2026-02"]
    assert list(invoices) == MONTHS == months
    assert [invoice.number for invoice in invoices.values()] == list(range(1, 9))


@pytest.mark.parametrize("month", MONTHS)
def test_every_line_is_what_the_logs_say_times_its_price(month: str, invoices: dict[str, InvoiceFinalized]) -> None:
    expected = lines_of(month)
    found = [
        Line(
            line.product,
            line.price_id,
            line.token_kind,
            line.quantity,
            dollars(line.rate_picousd),
            dollars(line.exact_picousd),
            dollars(line.amount_picousd),
        )
        for line in invoices[month].lines
        if line.kind == "usage"
    ]
    assert found == expected
    assert len(found) == invoices[month].line_count, "and nothing else is on it"
    assert dollars(invoices[month].exact_picousd) == sum(line.exact for line in expected)
    assert dollars(invoices[month].due_picousd) == sum(line.rounded for line in expected)


def test_drafts_said_the_same_at_each_months_end(ledger: LedgerInMemory, invoices: dict[str, InvoiceFinalized]) -> None:
    drafts = [event for event in map(read_event, ledger.outputs["invoices"]) if isinstance(event, InvoiceDrafted)]
    assert [(str(draft.month), draft.lines) for draft in drafts] == [
        (month, invoice.lines) for month, invoice in invoices.items()
    ]


# What their tools said.


def is_after_the_price_cut(call: Call) -> bool:
    """Aider went on with Claude 3.5 Haiku's first price when it was lowered by a fifth."""
    return "haiku" in call.model and call.occurred_at >= "2024-12-03"


def cut_picousd(call: Call) -> int:
    """By how much the call had become cheaper: 0.20 and 1 dollar per million tokens."""
    return call.tokens[0] * 200_000 + call.tokens[1] * 1_000_000 if is_after_the_price_cut(call) else 0


def off_picousd(call: Call) -> int:
    """How much more the tool said, at the price it knew."""
    assert call.reported_picousd is not None
    known = (
        sum(map(int.__mul__, call.tokens, PRICES["claude-3-5-haiku"][0][1])) if is_after_the_price_cut(call) else None
    )
    off = call.reported_picousd - (cost_picousd(call) if known is None else known)
    return 0 if abs(off) < PICOUSD_PER_NANOUSD else off


def is_cached(call: Call) -> bool:
    """Whether some cached tokens explain the difference: written ones cost a quarter more than input, read ones a
    tenth of it."""
    _, rates = price_of(call)
    uncached = PRICES["claude-3-5-haiku"][0][1][0] if is_after_the_price_cut(call) else rates[0]
    written, read = uncached // 4, uncached * 9 // 10
    off = round(off_picousd(call), -3)
    return any(
        (off + read * tokens) % written == 0 and 0 <= (off + read * tokens) // written <= call.tokens[0] - tokens
        for tokens in range(call.tokens[0] + 1)
    )


TOOLS = sorted([call for call in CALLS if call.reported_picousd is not None], key=attrgetter("month"))


def by_month() -> Iterator[tuple[str, list[Call]]]:
    for month, calls in groupby(TOOLS, key=attrgetter("month")):
        yield month, list(calls)


@pytest.mark.parametrize(("month", "calls"), [pytest.param(*item, id=item[0]) for item in by_month()])
def test_a_month_costs_what_was_reported_but_for_what_is_known(
    month: str, calls: list[Call], invoices: dict[str, InvoiceFinalized]
) -> None:
    """Two things are: the price cut that aider did not know, and what it cached, which it paid for but did not log."""
    reported = sum(call.reported_picousd or 0 for call in calls)
    cut = sum(map(cut_picousd, calls))
    cached = sum(map(off_picousd, calls))
    assert abs(invoices[month].exact_picousd + cut + cached - reported) < PICOUSD_PER_NANOUSD * len(calls)
    assert bool(cut) == (month in ("2024-12", "2025-01", "2025-02"))
    assert bool(cached) == (month in ("2024-11", "2024-12", "2025-02"))


def test_only_calls_with_cached_input_differ_by_more_than_the_price_cut() -> None:
    differing: list[Any] = [call for call in TOOLS if off_picousd(call)]
    assert len(differing) == 22
    assert [call for call in differing if not is_cached(call)] == []
