"""Invoices, credit notes and statements, a sentence each (R6, R7, R39, R40; "Billing, in full")."""

from typing import Any

import pytest

from pipeline.domain.invoicing import rounded
from pipeline.domain.rules import Rules
from schemas.events import CommandRefused
from schemas.invoices import (
    LINES_AT_ONCE,
    BalanceLine,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    PaymentReceived,
    StatementIssued,
    UsageLine,
)
from schemas.ledger import LedgerEntry
from schemas.money import PICOUSD_PER_CENT as CENT
from tests.support.builders import (
    BILLING,
    DOLLAR_PICOUSD,
    Wire,
    add_member,
    command,
    correction,
    event,
    later,
    micros,
    register,
    searches,
    set_credits,
)
from tests.support.ledger import LedgerInMemory, acme

MAY = "2026-05-10T12:00:00Z"
JUNE = "2026-06-01T00:00:00Z"
MAY_CLOSES = "2026-06-04T00:00:00Z"
JUNE_CLOSES = "2026-07-04T00:00:00Z"
END = "2026-08-10T00:00:00Z"


def billed(ledger: LedgerInMemory, org_id: str = "acme") -> list[Any]:
    kinds = InvoiceDrafted | InvoiceFinalized | InvoiceContinued | StatementIssued
    return [found for found in ledger.published(org_id) if isinstance(found, kinds)]


def invoices(ledger: LedgerInMemory) -> list[InvoiceFinalized]:
    return [found for found in billed(ledger) if isinstance(found, InvoiceFinalized)]


def entries(ledger: LedgerInMemory, *accounts: str) -> list[tuple[str, str, int]]:
    found = [entry for entry in ledger.published("acme") if isinstance(entry, LedgerEntry)]
    return [(e.account, e.type, e.amount_picousd) for e in found if e.account in accounts]


def cents(invoice: InvoiceDrafted | InvoiceFinalized) -> list[int]:
    return [line.amount_picousd // CENT for line in invoice.lines]


def haiku(event_id: str, *, input_tokens: int, **fields: Any) -> Wire:
    """A picodollar is as little as a millionth of one of its input tokens."""
    return event(event_id, model="claude-haiku-4-5", input_tokens=input_tokens, output_tokens=0, **fields)


def change_plan(plan: str, command_id: str) -> Wire:
    return command("change_plan", BILLING, command_id=command_id, plan=plan)


@pytest.fixture
def ledger() -> LedgerInMemory:
    return acme()


# Drafts.


def test_at_the_months_end_there_is_a_draft_which_late_usage_still_joins(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 150))
    ledger.wait_until(JUNE)
    (draft,) = billed(ledger)
    assert (type(draft), draft.at_micros, draft.total_picousd) == (InvoiceDrafted, micros(JUNE), 150 * CENT)
    ledger.usage(searches("late", 50, occurred_at="2026-05-31T23:59:59.999999Z"), at=later(MAY_CLOSES, seconds=-1))
    ledger.wait_until(MAY_CLOSES)
    _, invoice = billed(ledger)
    assert (invoice.at_micros, invoice.reason, invoice.number) == (micros(MAY_CLOSES), "month_closed", 1)
    assert (invoice.total_picousd, invoice.due_picousd) == (200 * CENT, 200 * CENT)


def test_the_first_instant_of_a_month_is_that_months(ledger: LedgerInMemory) -> None:
    ledger.usage(
        searches("may", 100, occurred_at=later(JUNE, micros=-1)), searches("june", 10, occurred_at=JUNE), at=JUNE
    )
    ledger.wait_until(END)
    assert [(str(i.month), i.total_picousd // CENT) for i in invoices(ledger)] == [("2026-05", 100), ("2026-06", 10)]


def test_usage_one_instant_after_the_close_is_a_prior_period_line_of_the_next_invoice(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 150))
    ledger.usage(searches("late", 50, occurred_at="2026-05-20T00:00:00Z"), at=MAY_CLOSES)
    ledger.usage(searches("b", 10, occurred_at="2026-06-05T00:00:00Z"), at="2026-06-05T00:00:01Z")
    ledger.wait_until(END)
    may, june = invoices(ledger)
    assert may.total_picousd == 150 * CENT
    assert [(str(line.usage_month), line.amount_picousd // CENT) for line in june.lines] == [
        ("2026-06", 10),
        ("2026-05", 50),
    ]


def test_an_organisation_without_usage_gets_no_invoice(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 150, funding="included"))
    ledger.wait_until(END)
    assert billed(ledger) == []


# Lines.


def test_a_line_per_product_price_and_kind_in_order(ledger: LedgerInMemory) -> None:
    ledger.usage(
        event("a", model="claude-sonnet-4-6", product="cowork", input_tokens=10, output_tokens=1),
        event("b", model="claude-sonnet-4-6", product="chat", input_tokens=10, output_tokens=2, cache_read_tokens=5),
        event("c", model="claude-haiku-4-5", product="chat", input_tokens=7, output_tokens=0, web_search_requests=3),
        event("d", model="claude-haiku-4-5", product="chat", input_tokens=1, output_tokens=0, processing="batch"),
        event("e", model="anthropic/claude-haiku-4-5", product="chat", input_tokens=2, output_tokens=0),
    )
    ledger.wait_until(JUNE)
    (draft,) = billed(ledger)
    assert [(line.product, line.price_id, line.token_kind, line.quantity) for line in draft.lines] == [
        ("chat", "claude-haiku-4-5@2025-10-01", "input_tokens", 9),
        ("chat", "claude-haiku-4-5@2025-10-01", "web_search_requests", 3),
        ("chat", "claude-haiku-4-5@2025-10-01+batch", "input_tokens", 1),
        ("chat", "claude-sonnet-4-6@2026-03-13", "input_tokens", 10),
        ("chat", "claude-sonnet-4-6@2026-03-13", "output_tokens", 2),
        ("chat", "claude-sonnet-4-6@2026-03-13", "cache_read_tokens", 5),
        ("cowork", "claude-sonnet-4-6@2026-03-13", "input_tokens", 10),
        ("cowork", "claude-sonnet-4-6@2026-03-13", "output_tokens", 1),
    ]
    assert draft.exact_picousd == sum(line.quantity * line.rate_picousd for line in draft.lines)
    assert draft.exact_picousd == sum(row.cost_picousd for row in ledger.rows)


@pytest.mark.parametrize(
    ("exact", "lines"),
    [
        ([], []),
        ([1], [0]),
        ([CENT // 2], [1]),  # half away from zero
        ([CENT // 2 - 1], [0]),
        ([-CENT // 2], [-1]),
        ([-CENT // 2 + 1], [0]),
        ([4 * CENT // 10] * 5, [1, 1, 0, 0, 0]),  # ties go to the first
        ([3 * CENT // 10, 3 * CENT // 10, 4 * CENT // 10], [0, 0, 1]),
        ([CENT, CENT // 2, -CENT // 2], [1, 1, -1]),
        ([10 * CENT + 1, -10 * CENT], [10, -10]),
    ],
)
def test_line_amounts_are_rounded_by_largest_remainder_and_add_up(exact: list[int], lines: list[int]) -> None:
    assert [amount // CENT for amount in rounded(exact)] == lines


def test_a_thousand_lines_of_0_004_dollars_are_four_dollars(ledger: LedgerInMemory) -> None:
    count = LINES_AT_ONCE + 500
    ledger.usage(*(haiku(f"e-{n}", input_tokens=4_000, product=f"product-{n:04}") for n in range(count)))
    ledger.wait_until(MAY_CLOSES)
    draft, more_of_draft, invoice, more = billed(ledger)
    lines = [*invoice.lines, *more.lines]
    assert (draft.line_count, len(draft.lines), len(more_of_draft.lines)) == (count, LINES_AT_ONCE, 500)
    assert (invoice.total_picousd, len(lines), more.first_line) == (600 * CENT, count, LINES_AT_ONCE)
    assert sum(line.amount_picousd for line in lines) == invoice.total_picousd
    assert [line.amount_picousd // CENT for line in lines] == [1] * 600 + [0] * 900


def test_an_invoice_of_next_to_nothing_is_published_and_booked_but_takes_no_number(ledger: LedgerInMemory) -> None:
    ledger.usage(haiku("tiny", input_tokens=1))
    ledger.wait_until(MAY_CLOSES)
    (invoice,) = invoices(ledger)
    assert (invoice.number, invoice.exact_picousd, invoice.total_picousd) == (None, 1_000_000, 0)
    assert entries(ledger, "unbilled", "receivable") == [
        ("unbilled", "burn", -1_000_000),
        ("unbilled", "invoice", 1_000_000),
        ("receivable", "invoice", 1_000_000),
        ("receivable", "rounding", -1_000_000),
    ]


def test_it_takes_one_where_zero_invoices_are_wanted() -> None:
    ledger = acme(rules=Rules(suppress_zero_invoices=False))
    ledger.usage(haiku("tiny", input_tokens=1))
    ledger.wait_until(MAY_CLOSES)
    assert [invoice.number for invoice in invoices(ledger)] == [1]


def test_two_price_ids_of_one_model_are_two_lines_after_a_price_change(ledger: LedgerInMemory) -> None:
    march = "2026-03-12T23:00:00Z", "2026-03-13T01:00:00Z"
    earlier = acme(at="2026-03-01T00:00:00Z")
    for n, at in enumerate(march):
        earlier.usage(
            event(f"e-{n}", model="claude-sonnet-4-6", input_tokens=300_000, output_tokens=0, occurred_at=at), at=at
        )
    earlier.wait_until("2026-04-10T00:00:00Z")
    (invoice,) = invoices(earlier)
    assert [line.price_id for line in invoice.lines] == [
        "claude-sonnet-4-6@2026-02-17+long",
        "claude-sonnet-4-6@2026-03-13",
    ]


# Corrections.


def test_a_correction_takes_its_quantities_off_the_line(ledger: LedgerInMemory) -> None:
    wrong = searches("a", 150)
    ledger.usage(wrong, correction("fix", 100, wrong))
    ledger.wait_until(MAY_CLOSES)
    (invoice,) = invoices(ledger)
    assert [(line.quantity, line.amount_picousd) for line in invoice.lines] == [(100, 100 * CENT)]


def test_what_a_correction_takes_back_of_a_closed_month_lowers_the_next_invoice_and_the_rest_is_carried(
    ledger: LedgerInMemory,
) -> None:
    wrong = searches("a", 150)
    ledger.usage(wrong)
    ledger.usage(
        correction("fix", 100, wrong), searches("b", 20, occurred_at=MAY_CLOSES), at=later(MAY_CLOSES, hours=1)
    )
    ledger.usage(searches("c", 90, occurred_at="2026-07-05T00:00:00Z"), at="2026-07-05T00:00:01Z")
    ledger.wait_until(END)
    may, june, july = invoices(ledger)
    assert [may.number, june.number, july.number] == [1, 2, 3]
    assert cents(june) == [20, -50]
    assert (june.total_picousd, june.carried_picousd) == (0, -30 * CENT)
    assert [type(line) for line in july.lines] == [UsageLine, BalanceLine]
    assert (cents(july), july.total_picousd) == ([90, -30], 60 * CENT)
    receivable = sum(amount for _, _, amount in entries(ledger, "receivable"))
    assert receivable == may.due_picousd + july.due_picousd


# Plans.


def test_a_change_to_team_makes_an_invoice_at_once_and_one_more_follows_a_change_back(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 100))
    ledger.commands(change_plan("team", "to-team"), at="2026-05-11T00:00:00Z")
    ledger.usage(searches("b", 10), at="2026-05-12T00:00:00Z")
    ledger.commands(
        command("confirm_payment", BILLING, command_id="pay", payment_id="p", amount_usd="5"), at="2026-05-13T00:00:00Z"
    )
    ledger.commands(change_plan("enterprise", "back"), at="2026-05-14T00:00:00Z")
    ledger.usage(searches("c", 40), at="2026-05-15T00:00:00Z")
    ledger.commands(change_plan("team", "again"), at="2026-05-16T00:00:00Z")
    ledger.wait_until(MAY_CLOSES)
    first, second = invoices(ledger)
    assert (first.reason, first.part, first.number, first.due_picousd) == ("plan_changed", 1, 1, 100 * CENT)
    assert (second.part, second.number, second.total_picousd) == (2, 2, 40 * CENT)
    assert (second.offset_picousd, second.due_picousd) == (40 * CENT, 0)
    (statement,) = [found for found in billed(ledger) if isinstance(found, StatementIssued)]
    assert (statement.purchase_picousd, statement.burn_picousd) == (5 * DOLLAR_PICOUSD, -10 * CENT)
    assert (statement.offset_picousd, statement.closing_picousd) == (-40 * CENT, 450 * CENT)


def test_a_wallets_debt_is_a_line_of_the_invoice(ledger: LedgerInMemory) -> None:
    ledger.commands(change_plan("team", "to-team"))
    ledger.usage(searches("debt", 25))
    ledger.commands(change_plan("enterprise", "back"))
    ledger.usage(searches("a", 100))
    ledger.wait_until(MAY_CLOSES)
    (invoice,) = invoices(ledger)
    assert (cents(invoice), invoice.total_picousd) == ([100, 25], 125 * CENT)
    assert entries(ledger, "wallet", "receivable")[1:] == [
        ("receivable", "invoice", 100 * CENT),
        ("wallet", "offset", 25 * CENT),
        ("receivable", "offset", 25 * CENT),
    ]


def test_a_closed_organisation_gets_its_last_invoice_at_once(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 100))
    ledger.wait_until(JUNE)
    ledger.usage(searches("b", 10, occurred_at=JUNE), at=JUNE)
    ledger.commands(command("close_organization", BILLING, command_id="close"), at="2026-06-02T00:00:00Z")
    ledger.wait_until(END)
    assert [(str(i.month), i.reason, i.number) for i in invoices(ledger)] == [
        ("2026-05", "organization_closed", 1),
        ("2026-06", "organization_closed", 2),
    ]


# Credit notes.


def test_a_credit_note_takes_back_at_most_what_was_invoiced(ledger: LedgerInMemory) -> None:
    def note(command_id: str, usd: str, number: int = 1) -> Wire:
        fields = {"invoice_number": number, "amount_usd": usd, "note": "agreed"}
        return command("issue_credit_note", BILLING, command_id=command_id, **fields)

    ledger.usage(searches("a", 100))
    ledger.commands(note("1", "0.60"), at=later(MAY_CLOSES, micros=-1000))
    ledger.commands(note("2", "0.60"), note("3", "0.50"), note("4", "0.40"), note("5", "1", 2), at=MAY_CLOSES)
    reasons = [answer.reason for answer in ledger.answers if isinstance(answer, CommandRefused)]
    assert reasons == ["unknown_invoice", "more_than_invoiced", "unknown_invoice"]
    assert [amount for _, kind, amount in entries(ledger, "receivable") if kind == "adjust"] == [-60 * CENT, -40 * CENT]


# Payments.


def note(usd: str, number: int = 1) -> Wire:
    fields = {"invoice_number": number, "amount_usd": usd, "note": "agreed"}
    return command("issue_credit_note", BILLING, command_id=f"note-{usd}", **fields)


def payment(usd: str, payment_id: str, number: int | None = 1, **fields: Any) -> Wire:
    said = {"invoice_number": number, "amount_usd": usd, "payment_id": payment_id} | fields
    return command("confirm_payment", BILLING, command_id=f"pays-{payment_id}-{usd}-{number}", **said)


def refusals(ledger: LedgerInMemory) -> list[str]:
    return [answer.reason for answer in ledger.answers if isinstance(answer, CommandRefused)]


def left_open(ledger: LedgerInMemory) -> list[int]:
    return [paid.open_picousd // CENT for paid in ledger.published("acme") if isinstance(paid, PaymentReceived)]


def test_a_payment_of_an_invoice_lowers_what_is_owed_and_leaves_the_wallet_alone(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 100))
    ledger.commands(payment("0.40", "early"), at=later(MAY_CLOSES, micros=-1000))
    ledger.commands(payment("0.40", "p-1"), payment("0", "p-0"), payment("0.61", "p-2"), at=MAY_CLOSES)
    ledger.commands(payment("0.10", "p-1"), payment("0.10", "p-1", None), payment("0.60", "p-3"), at=MAY_CLOSES)
    ledger.commands(payment("0.01", "p-4"), payment("0.01", "p-5", 2), at=MAY_CLOSES)
    given = {"payment_id": "r-1", "purchase_payment_id": "p-1", "amount_usd": "0.10"}
    ledger.commands(command("refund_purchase", BILLING, command_id="back", **given), at=MAY_CLOSES)
    assert refusals(ledger) == [
        "unknown_invoice",
        "amount_is_zero",
        "more_than_due",
        "payment_id_used",
        "payment_id_used",
        "more_than_due",
        "unknown_invoice",
        "unknown_payment",
    ]
    assert left_open(ledger) == [60, 0]
    paid = [entry for entry in entries(ledger, "receivable", "wallet") if entry[1] in ("payment", "purchase")]
    assert paid == [("receivable", "payment", -40 * CENT), ("receivable", "payment", -60 * CENT)]
    assert sum(amount for _, _, amount in entries(ledger, "receivable")) == 0


def test_an_invoice_that_the_wallet_paid_in_part_is_due_for_the_rest(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 100))
    ledger.commands(payment("0.30", "credits", None), at=MAY)
    ledger.commands(payment("0.71", "p-1"), payment("0.70", "p-2"), at=MAY_CLOSES)
    assert (refusals(ledger), left_open(ledger)) == (["more_than_due"], [0])


def test_a_credit_note_of_a_paid_invoice_leaves_a_credit_that_takes_no_more_payments(ledger: LedgerInMemory) -> None:
    ledger.usage(searches("a", 100))
    ledger.commands(payment("0.90", "p-1"), note("0.60"), payment("0.01", "p-2"), note("0.41"), at=MAY_CLOSES)
    assert refusals(ledger) == ["more_than_due", "more_than_invoiced"]
    assert sum(amount for _, _, amount in entries(ledger, "receivable")) == (100 - 90 - 60) * CENT


@pytest.mark.parametrize("reborn", [False, True])
def test_what_is_owed_when_an_organisation_is_closed_is_still_paid_and_taken_back(reborn: bool) -> None:
    ledger = LedgerInMemory(reborn=reborn)
    ledger.commands(register(), set_credits(), add_member())
    ledger.usage(searches("a", 100))
    ledger.commands(command("close_organization", BILLING, command_id="close"), at=MAY)
    ledger.commands(payment("0.30", "p-1"), note("0.20"), payment("0.50", "p-2"), at=JUNE_CLOSES)
    ledger.commands(payment("1", "p-3", None), payment("1", "p-4", None, purchase_id="asked"), at=JUNE_CLOSES)
    assert refusals(ledger) == ["organization_closed", "organization_closed"]
    assert left_open(ledger) == [70, 0]
    assert entries(ledger, "receivable")[-3:] == [
        ("receivable", "payment", -30 * CENT),
        ("receivable", "adjust", -20 * CENT),
        ("receivable", "payment", -50 * CENT),
    ]


# Statements.


def test_a_statements_opening_is_the_closing_of_the_one_before_and_late_usage_is_in_its_own_month() -> None:
    ledger = LedgerInMemory()
    ledger.commands(register(plan="team"), set_credits(), add_member(), at="2026-05-02T00:00:00Z")
    ledger.commands(command("confirm_payment", BILLING, command_id="pay", payment_id="p", amount_usd="10"), at=MAY)
    ledger.usage(searches("a", 100))
    ledger.usage(
        searches("late", 50, occurred_at="2026-05-31T00:00:00Z"), searches("june", 30, occurred_at=JUNE), at=JUNE
    )
    ledger.wait_until(END)
    statements = [found for found in billed(ledger) if isinstance(found, StatementIssued)]
    assert [(str(s.month), s.at_micros) for s in statements[:2]] == [
        ("2026-05", micros(MAY_CLOSES)),
        ("2026-06", micros(JUNE_CLOSES)),
    ]
    assert [(s.opening_picousd // CENT, s.burn_picousd // CENT, s.closing_picousd // CENT) for s in statements] == [
        (0, -150, 850),
        (850, -30, 820),
        (820, 0, 820),
    ]


def test_months_that_closed_before_an_organisation_came_to_team_have_no_statement(ledger: LedgerInMemory) -> None:
    ledger.commands(change_plan("team", "to-team"), at=MAY_CLOSES)
    ledger.wait_until(JUNE_CLOSES)
    assert [str(found.month) for found in billed(ledger)] == ["2026-06"]


# However it is made.


@pytest.mark.parametrize(("chunk", "reborn"), [(None, False), (1, False), (1, True)])
def test_what_comes_after_an_instant_never_gets_ahead_of_what_the_instant_brought(
    chunk: int | None, reborn: bool
) -> None:
    """Of many organisations, some are billed only when something else happens to them."""
    ledger = LedgerInMemory(chunk_sizes=(lambda: chunk) if chunk else None, reborn=reborn, patient=False)
    orgs = [f"org-{n}" for n in range(12)]
    for org_id in orgs:
        ours = {"org_id": org_id}
        ledger.commands(register(**ours), set_credits(**ours), add_member(**ours))
        ledger.usage(*(searches(f"p-{n}", 5, product=f"product-{n}", **ours) for n in range(10)))
    for org_id in reversed(orgs):
        ledger.usage(searches("june", 1, occurred_at=JUNE, org_id=org_id), at=JUNE)
    for org_id in reversed(orgs):
        ledger.usage(searches("later", 1, occurred_at=MAY_CLOSES, org_id=org_id), at=MAY_CLOSES)
    for org_id in orgs:
        told = [type(found).__name__ for found in ledger.published(org_id) if not isinstance(found, LedgerEntry)]
        assert told[-4:] == ["InvoiceDrafted", "PricedUsage", "InvoiceFinalized", "PricedUsage"]
        assert {invoice.total_picousd for invoice in billed(ledger, org_id)} == {50 * CENT}
