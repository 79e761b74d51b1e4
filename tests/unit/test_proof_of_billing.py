"""The proof of billing: its equations hold over random months, and each notices what does not add up (R39-R41)."""

import json
from typing import Any

import pytest

from pipeline.proof.billed import Billing
from pipeline.proof.billing_equations import of_billing
from pipeline.proof.equation import CLICKHOUSE, Equation, Found
from pipeline.proof.equations import equations
from pipeline.proof.published import Published
from pipeline.proof.remembered import Remembered
from pipeline.proof.sums import Sums
from pipeline.topics import ACCOUNT_EVENTS, DEAD_LETTERS, INVOICES, LEDGER_ENTRIES, PRICED_USAGE
from tests.support.found import Record
from tests.support.histories import Histories
from tests.support.ledger import LedgerInMemory

CENT = 10**10
AT = "2026-07-04T00:00:00Z"


def months(seed: int) -> LedgerInMemory:
    """A ledger that worked through a random history."""
    histories = Histories(seed)
    ledger = LedgerInMemory()
    said = list(histories)
    ledger.process([ledger.record("commands" if kind == "command" else "usage", body, at) for at, kind, body in said])
    ledger.move_to(histories.auditor.now)
    return ledger


def without_clickhouse(ledger: LedgerInMemory, bills: list[bytes] | None = None) -> Found:
    """What it remembers and published; other `bills` than it did."""
    remembered = Remembered()
    remembered.take([Record(value, key) for key, value in ledger.cells.items()])
    published = Published(remembered.closed_through)
    for topic, part in (
        (PRICED_USAGE, published.rows),
        (LEDGER_ENTRIES, published.entries),
        (INVOICES, published.billing),
        (ACCOUNT_EVENTS, published.plans),
        (DEAD_LETTERS, published.letters),
    ):
        values = bills if topic is INVOICES and bills is not None else ledger.outputs.get(topic.name)
        if values:
            part.take([Record(value, offset=at, topic=topic.name) for at, value in enumerate(values)])
    return Found(0, remembered, published, Sums())


def differing(equation: Equation) -> bool:
    """But for ClickHouse, which is not there; and usage, which is not read."""
    values = {value for place, value in equation.values.items() if place not in (CLICKHOUSE, "usage-events")}
    return len(values) > 1


@pytest.mark.parametrize("tens", range(0, 20, 10))
def test_all_that_is_billed_adds_up_over_random_months(tens: int) -> None:
    compared: set[str] = set()
    for seed in range(tens, tens + 10):
        found = without_clickhouse(months(seed))
        assert [equation for equation in equations(found) if differing(equation)] == [], seed
        assert found.published.billing.breaks == {}
        compared |= {equation.name for equation in of_billing(found)}
    assert {"to be invoiced", "invoiced", "in whole cents", "statement's opening", "statement's closing"} <= compared
    assert {"set against invoices", "paid of invoices", "open of invoices"} <= compared
    assert {"statement of a closed month", "invoice of a closed month"} <= compared


def line(exact: int, amount: int, kind: str = "usage") -> dict[str, Any]:
    return {"kind": kind, "exact_picousd": str(exact), "amount_picousd": str(amount)}


def invoice(number: int | None = 1, *, exact: int, total: int, lines: list[dict[str, Any]], **data: Any) -> bytes:
    usual = {
        "at": AT,
        "reason": "month_closed",
        "month": "2026-05",
        "part": 1,
        "number": number,
        "line_count": len(lines),
        "lines": lines,
    }
    money = {"exact_picousd": str(exact), "total_picousd": str(total), "due_picousd": str(total)}
    return said("invoice.finalized", **usual | money | data)


def statement(month: str, opening: int, burn: int, closing: int) -> bytes:
    money = {"opening_picousd": str(opening), "burn_picousd": str(burn), "closing_picousd": str(closing)}
    return said("statement.issued", at=AT, month=month, **money)


def said(kind: str, **data: Any) -> bytes:
    return json.dumps({"type": f"usage-credits.{kind}", "data": {"org_id": "acme", **data}}).encode()


def billed(*values: bytes) -> Billing:
    billing = Billing()
    for at, value in enumerate(values):
        billing.take([Record(value, offset=at, topic="invoices")])
    return billing


TWO = [line(CENT + 1, CENT), line(CENT - 1, CENT)]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([invoice(exact=2 * CENT, total=2 * CENT, lines=TWO)], None),
        (
            [
                invoice(exact=2 * CENT, total=2 * CENT, lines=TWO[:1], line_count=2),
                said("invoice.continued", month="2026-05", of="invoice", lines=TWO[1:]),
            ],
            None,
        ),
        (
            [
                invoice(exact=CENT + 1, total=2 * CENT, lines=TWO[:1], line_count=2),
                said("invoice.continued", month="2026-05", of="draft", lines=TWO[1:]),
                invoice(2, exact=0, total=0, lines=[], part=2),
            ],
            "offset 0: invoice 2026-05.1 lacks 1 lines",
        ),
        ([said("invoice.continued", month="2026-05", of="invoice", lines=TWO)], "offset 0 continues no invoice"),
        ([invoice(exact=2 * CENT + 1, total=2 * CENT, lines=TWO)], "more than its lines by 1 exact and 0 rounded"),
        ([invoice(exact=2 * CENT, total=CENT, lines=TWO)], f"more than its lines by 0 exact and {-CENT} rounded"),
        (
            [invoice(exact=0, total=0, lines=[]), invoice(3, exact=0, total=0, lines=[])],
            "offset 1: invoice 2026-05.1 has number 3, the one before it 1",
        ),
        ([invoice(None, exact=0, total=0, lines=[]), invoice(1, exact=0, total=0, lines=[])], None),
        ([statement("2026-05", 0, 5, 5), statement("2026-06", 5, -5, 0)], None),
        ([statement("2026-05", 0, 5, 5), statement("2026-06", 4, 0, 4)], "2026-06 opens with 4 picodollars"),
        (
            [
                invoice(exact=2 * CENT, total=2 * CENT, lines=TWO),
                said("payment.received", invoice_number=1, amount_picousd="5", open_picousd="7"),
            ],
            f"offset 1: a payment of invoice 1 leaves 7 picodollars open, not {2 * CENT - 5}",
        ),
        ([statement("2026-05", 0, 5, 6)], "2026-05 closes with 6 picodollars, not 5"),
    ],
)
def test_the_event_that_does_not_go_on_from_those_before_it_is_named(values: list[bytes], what: str | None) -> None:
    breaks = billed(*values).breaks
    assert (what in breaks["acme"]) if what else breaks == {}


def test_what_an_organisation_owes_is_what_is_due_less_credit_notes_and_payments_and_what_is_carried() -> None:
    billing = billed(
        invoice(exact=9, total=700, lines=[], due_picousd="500", offset_picousd="200", carried_picousd="0"),
        said("credit_note.issued", invoice_number=1, amount_picousd="80"),
        said("payment.received", invoice_number=1, amount_picousd="400", open_picousd="20"),
        invoice(2, exact=9, total=0, lines=[line(-20, -20, "carried"), line(3, 0, "debt")], carried_picousd="-20"),
    )
    assert billing.receivable("acme") == 500 - 80 - 400 + 0 - 20
    assert billing.open == {("acme", 1): 500 - 80 - 400, ("acme", 2): 0}
    assert billing.offsets["acme"] == 3 - 200
