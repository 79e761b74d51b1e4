"""The auditor bills: stories short enough to work out by hand; a web search costs one cent."""

from typing import Any

import pytest

from tests.support.auditor.invoicing import summed
from tests.support.auditor.outputs import (
    CreditNoteIssued,
    Entry,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    Line,
    PaymentReceived,
    StatementIssued,
)
from tests.support.auditor_story import Story, correcting, usd
from tests.support.builders import event, micros

LAST_OF_MAY, MAY_ENDS = "2026-05-31T23:59:59.999999Z", "2026-06-01T00:00:00Z"
BEFORE_MAY_CLOSES, MAY_CLOSES = "2026-06-03T23:59:59.999Z", "2026-06-04T00:00:00Z"
JUNE_CLOSES = "2026-07-04T00:00:00Z"
FIFTH_OF_A_CENT = {"model": "claude-haiku-4-5", "input_tokens": 2_000}  # $1 a million

Bill = InvoiceDrafted | InvoiceFinalized | InvoiceContinued


def bills(story: Story) -> list[Any]:
    return [told for told in story.told() if isinstance(told, Bill)]


def invoice(story: Story) -> InvoiceFinalized:
    """The one there is since it was last asked."""
    (found,) = [told for told in story.told() if isinstance(told, InvoiceFinalized)]
    return found


def statements(story: Story) -> list[StatementIssued]:
    return [told for told in story.told() if isinstance(told, StatementIssued)]


def amounts(invoice: InvoiceFinalized) -> list[tuple[str, int]]:
    """Of each line: the month of its usage, or what else it is, and what it costs."""
    return [(line.usage_month or line.kind, line.amount) for line in invoice.lines]


def entries(story: Story) -> list[tuple[str, str, int]]:
    """By what was billed."""
    return [(one.account, one.type, one.amount) for one in story.told() if isinstance(one, Entry)]


def balances(story: Story) -> dict[str, int]:
    acme = story.auditor.organizations["acme"]
    return {account: acme.sum_of(account) for account in ("unbilled", "wallet", "receivable")}


# Months.


def test_a_month_is_drafted_when_it_ends_and_finalised_when_it_closes() -> None:
    story = Story()
    story.cents("e-1", 150)
    story.at = LAST_OF_MAY
    story.cents("e-2", 50)
    assert bills(story) == []
    story.at = MAY_ENDS
    story.cents("e-3", 7)  # June's
    may = Line("usage", usd(200), usd(200), "2026-05", "chat", *SEARCHES, 200, usd(1))
    assert bills(story) == [InvoiceDrafted(micros(MAY_ENDS), "2026-05", 1, usd(200), usd(200), 1, (may,))]
    story.at = BEFORE_MAY_CLOSES
    assert bills(story) == []
    story.at = MAY_CLOSES
    assert invoice(story) == InvoiceFinalized(
        micros(MAY_CLOSES), "2026-05", 1, 1, "month_closed", usd(200), usd(200), 0, 0, usd(200), 1, (may,)
    )


SEARCHES = ("claude-sonnet-4-6", "claude-sonnet-4-6@2026-03-13", "web_search_requests")


def test_late_usage_is_on_its_months_invoice_until_the_instant_of_the_close() -> None:
    story = Story()
    story.cents("e-1", 100)
    story.at = BEFORE_MAY_CLOSES
    story.cents("e-2", 10, occurred_at=LAST_OF_MAY)
    story.at = MAY_CLOSES
    story.cents("e-3", 1, occurred_at=LAST_OF_MAY)
    story.cents("e-4", 20)
    assert amounts(invoice(story)) == [("2026-05", usd(110))]
    story.at = JUNE_CLOSES
    # The month's own line comes first.
    assert amounts(invoice(story)) == [("2026-06", usd(20)), ("2026-05", usd(1))]


def test_late_usage_alone_opens_a_draft_that_is_first_seen_when_it_is_finalised() -> None:
    story = Story()
    story.at = "2026-06-02T12:00:00Z"
    story.cents("e-1", 100, occurred_at=LAST_OF_MAY)
    story.at = MAY_CLOSES
    assert [type(bill) for bill in bills(story)] == [InvoiceFinalized]
    story.at = JUNE_CLOSES
    assert bills(story) == []


@pytest.mark.parametrize(("at", "may", "june"), [(BEFORE_MAY_CLOSES, [40], []), (MAY_CLOSES, [100], [-60])])
def test_a_correction_of_last_month_is_on_its_invoice_or_on_the_next(at: str, may: list[int], june: list[int]) -> None:
    story = Story()
    wrong = event("e-1", web_search_requests=100, occurred_at=story.at)
    story.use(wrong)
    story.at = at
    story.use(correcting(wrong, "e-2", 40))
    story.at = MAY_CLOSES
    assert amounts(invoice(story)) == [("2026-05", usd(cents)) for cents in may]
    story.at = JUNE_CLOSES
    assert [line.amount for bill in bills(story) for line in bill.lines if bill.lines] == [
        usd(cents) for cents in june for _ in ("drafted", "finalised")
    ]


# Lines.


def test_lines_go_by_product_price_and_kind_and_take_the_models_own_name() -> None:
    story = Story()
    for number, (product, model) in enumerate(
        (("code", "claude-sonnet-4-6"), ("chat", "claude-sonnet-4-6"), ("chat", "claude-haiku-4-5-20251001"))
    ):
        counts = {"web_search_requests": 2, "output_tokens": 20_000, "input_tokens": 10_000}
        story.use(event(f"e-{number}", product=product, model=model, **counts))
    story.use(event("e-9", model="claude-haiku-4-5", output_tokens=30_000))
    story.at = MAY_CLOSES
    lines = invoice(story).lines
    assert [(line.product, line.model, line.token_kind, line.quantity, line.amount) for line in lines] == [
        ("chat", "claude-haiku-4-5", "input_tokens", 10_000, usd(1)),
        ("chat", "claude-haiku-4-5", "output_tokens", 50_000, usd(25)),
        ("chat", "claude-haiku-4-5", "web_search_requests", 2, usd(2)),
        ("chat", "claude-sonnet-4-6", "input_tokens", 10_000, usd(3)),
        ("chat", "claude-sonnet-4-6", "output_tokens", 20_000, usd(30)),
        ("chat", "claude-sonnet-4-6", "web_search_requests", 2, usd(2)),
        ("code", "claude-sonnet-4-6", "input_tokens", 10_000, usd(3)),
        ("code", "claude-sonnet-4-6", "output_tokens", 20_000, usd(30)),
        ("code", "claude-sonnet-4-6", "web_search_requests", 2, usd(2)),
    ]


def test_a_thousand_lines_of_less_than_half_a_cent_add_up_to_their_sum() -> None:
    story = Story()
    for number in range(1_000):
        story.use(event(f"e-{number}", product=f"p-{number:04}", model="claude-haiku-4-5", input_tokens=4_000))
    story.at = MAY_CLOSES
    found = invoice(story)
    # 1,000 × $0.004; each is 0 rounded down, and the first 400 have a cent of the $4.00 each.
    assert (found.total, found.line_count) == (usd(400), 1_000)
    assert [line.amount for line in found.lines] == [usd(1)] * 400 + [0] * 600


def test_what_is_beyond_a_thousand_lines_follows() -> None:
    story = Story()
    for number in range(2_001):
        story.cents(f"e-{number}", 1, product=f"p-{number:04}")
    story.at = MAY_CLOSES
    first, *drafted = bills(story)[:3]
    assert (first.line_count, len(first.lines)) == (2_001, 1_000)
    stretches = [(more.of, more.first_line, len(more.lines)) for more in drafted]
    assert stretches == [("draft", 1_000, 1_000), ("draft", 2_000, 1)]


CENT = usd(1)


@pytest.mark.parametrize(
    ("exact", "rounded", "lines"),
    [
        ([1], 0, [0]),
        ([CENT // 2 - 1], 0, [0]),
        ([CENT // 2], CENT, [CENT]),
        ([-CENT // 2 + 1], 0, [0]),  # down to -1 cent, and one back
        ([-CENT // 2], -CENT, [-CENT]),  # away from zero
        ([CENT // 2, CENT // 2], CENT, [CENT, 0]),  # the line that sorts first
        ([CENT * 3 // 10, CENT * 4 // 10], CENT, [0, CENT]),  # the largest remainder
        ([CENT * 4 // 10, -CENT * 7 // 10], 0, [CENT, -CENT]),  # remainders 0.4 and 0.3 of a cent
        ([], 0, []),
    ],
)
def test_the_sum_is_rounded_once_and_its_lines_add_up(exact: list[int], rounded: int, lines: list[int]) -> None:
    whole = summed([Line("usage", picousd, picousd) for picousd in exact])
    assert (whole.exact, whole.rounded) == (sum(exact), rounded)
    assert [line.amount for line in whole.lines] == lines


# Plans.


def test_two_changes_of_plan_in_a_month_make_two_parts_and_what_team_used_is_on_none() -> None:
    story = Story()
    story.cents("e-1", 100)
    story.do("change_plan", plan="team")
    part_1 = invoice(story)
    story.do("confirm_payment", payment_id="p-1", amount_usd="10.00")
    story.cents("e-2", 200)
    story.do("change_plan", plan="enterprise")
    story.cents("e-3", 400)
    assert [type(bill) for bill in bills(story)] == []
    story.at = MAY_CLOSES
    part_2 = invoice(story)
    assert [(one.part, one.number, one.reason, one.exact) for one in (part_1, part_2)] == [
        (1, 1, "plan_changed", usd(100)),
        (2, 2, "month_closed", usd(400)),
    ]
    # What is left of the $10.00 pays the second.
    assert (part_2.offset, part_2.due, story.auditor.balance("acme")) == (usd(400), 0, usd(1_000 - 200 - 400))


def test_a_change_to_team_finalises_a_month_not_begun_too_the_earliest_first() -> None:
    story = Story(at=LAST_OF_MAY)
    story.cents("e-1", 2, occurred_at=MAY_ENDS)
    story.cents("e-2", 1)
    story.do("change_plan", plan="team")
    assert [(bill.month, bill.exact) for bill in bills(story)] == [("2026-05", usd(1)), ("2026-06", usd(2))]


def test_a_correction_takes_off_the_draft_what_team_has_burnt() -> None:
    """Plan and account are those of now (readings 23, 39)."""
    story = Story("team")
    wrong = event("e-1", web_search_requests=100, occurred_at=story.at)
    story.use(wrong)
    story.do("change_plan", plan="enterprise")
    story.use(correcting(wrong, "e-2", 30))
    story.at = MAY_CLOSES
    found = invoice(story)
    # -100 + 30; and the wallet went 100 below zero.
    assert amounts(found) == [("2026-05", usd(-70)), ("debt", usd(100))]
    assert (found.exact, found.total, found.carried) == (usd(-70), usd(30), 0)


def test_closing_invoices_and_gives_back_what_the_invoice_left() -> None:
    story = Story()
    story.do("confirm_payment", payment_id="p-1", amount_usd="3.00")
    story.cents("e-1", 100)
    story.told()
    story.do("close_organization")
    found, *others = story.told()
    assert (found.reason, found.offset, found.due) == ("organization_closed", usd(100), 0)
    assert [(one.account, one.type, one.amount) for one in others] == [
        ("unbilled", "invoice", usd(100)),
        ("receivable", "invoice", usd(100)),
        ("wallet", "offset", usd(-100)),
        ("receivable", "offset", usd(-100)),
        ("wallet", "refund", usd(-200)),
    ]


# What is carried, owed and paid.


def test_the_smallest_usage_is_a_zero_invoice_without_a_number_and_its_burn_is_cleared() -> None:
    for suppress, number in ((True, None), (False, 1)):
        story = Story(suppress_zero_invoices=suppress)
        story.use(event("e-1", model="claude-haiku-4-5", cache_read_tokens=1))  # 100,000 picodollars
        story.at = MAY_CLOSES
        found, *booked = [told for told in story.told() if isinstance(told, InvoiceFinalized | Entry)]
        assert (found.number, found.exact, found.total, found.line_count) == (number, 100_000, 0, 1)
        assert [(one.account, one.type, one.amount, one.balance_after) for one in booked] == [
            ("unbilled", "invoice", 100_000, 0),
            ("receivable", "invoice", 100_000, 100_000),
            ("receivable", "rounding", -100_000, 0),
        ]
        assert {(one.charge_month, one.cause) for one in booked} == {("2026-05", ("invoice", "2026-05.1"))}


def test_a_sum_below_zero_is_carried_until_an_invoice_takes_it_up() -> None:
    story = Story()
    wrong = event("e-1", web_search_requests=1_000, occurred_at=story.at)
    story.use(wrong)
    story.at = MAY_CLOSES
    story.use(correcting(wrong, "e-2", 100))
    story.cents("e-3", 200)
    story.told()
    story.at = JUNE_CLOSES
    june = invoice(story)
    # 200 - 900
    assert amounts(june) == [("2026-06", usd(200)), ("2026-05", usd(-900))]
    assert (june.number, june.total, june.carried, june.due) == (2, 0, usd(-700), 0)
    story.cents("e-4", 600)
    story.at = "2026-08-04T00:00:00Z"
    july = invoice(story)
    assert amounts(july) == [("2026-07", usd(600)), ("carried", usd(-700))]
    assert (july.exact, july.total, july.carried) == (usd(600), 0, usd(-100))
    story.cents("e-5", 100)
    story.at = "2026-09-04T00:00:00Z"
    august = invoice(story)
    # Nothing is to be paid, and yet it has a number: something carried is on it.
    assert (august.number, august.total, august.carried) == (4, 0, 0)
    # Invoiced were 1,000 in May alone.
    assert balances(story) == {"unbilled": 0, "wallet": 0, "receivable": usd(1_000)}


def test_a_debt_is_a_line_and_rounded_with_the_rest() -> None:
    story = Story("team")
    story.use(event("e-1", **FIFTH_OF_A_CENT))
    story.do("change_plan", plan="enterprise")
    story.use(event("e-2", **{**FIFTH_OF_A_CENT, "input_tokens": 4_000}))
    story.at = BEFORE_MAY_CLOSES
    story.told()
    story.at = MAY_CLOSES
    told = story.told()
    found = told[0]
    # 0.4 + 0.2 of a cent make one, which the larger remainder has.
    assert [(line.kind, line.exact, line.amount) for line in found.lines] == [
        ("usage", CENT * 4 // 10, CENT),
        ("debt", CENT * 2 // 10, 0),
    ]
    assert (found.total, found.offset, found.due) == (CENT, 0, CENT)
    assert [(one.account, one.type, one.amount, one.charge_month) for one in told if isinstance(one, Entry)] == [
        ("unbilled", "invoice", CENT * 4 // 10, "2026-05"),
        ("receivable", "invoice", CENT * 4 // 10, "2026-05"),
        ("receivable", "rounding", CENT * 4 // 10, "2026-05"),
        ("wallet", "offset", CENT * 2 // 10, "2026-06"),
        ("receivable", "offset", CENT * 2 // 10, "2026-05"),
    ]
    assert balances(story) == {"unbilled": 0, "wallet": 0, "receivable": CENT}


def test_the_wallet_pays_lot_by_lot_and_what_it_cannot_is_due() -> None:
    story = Story()
    story.do("confirm_payment", payment_id="p-1", amount_usd="1.00")
    story.do("grant_credits", amount_usd="0.50", expires_at=None)
    story.cents("e-1", 160)
    story.at = MAY_CLOSES
    told = story.told()
    (found,) = [one for one in told if isinstance(one, InvoiceFinalized)]
    assert (found.total, found.offset, found.due) == (usd(160), usd(150), usd(10))
    paid = [(one.account, one.lot, one.amount) for one in told if isinstance(one, Entry) and one.type == "offset"]
    # What was promised is spent before what was paid.
    assert paid == [("wallet", 2, usd(-50)), ("wallet", 1, usd(-100)), ("receivable", None, usd(-150))]


def test_a_lot_that_expires_as_the_month_closes_still_pays() -> None:
    story = Story()
    story.do("grant_credits", amount_usd="1.00", expires_at=MAY_CLOSES)
    story.cents("e-1", 30)
    story.at = MAY_CLOSES
    assert ("wallet", "expiry", usd(-70)) in entries(story)


# Credit notes.


def test_credit_notes_take_back_an_invoice_and_no_more() -> None:
    story = Story()
    story.cents("e-1", 100)
    story.at = MAY_CLOSES

    def takes_back(amount: str, number: int = 1) -> str:
        said = {"invoice_number": number, "amount_usd": amount, "note": "an outage"}
        return story.do("issue_credit_note", **said)

    assert takes_back("1.00", number=2) == "unknown_invoice"
    assert takes_back("0") == "amount_is_zero"
    assert takes_back("1.01") == "more_than_invoiced"
    assert takes_back("0.60") == "applied"
    assert takes_back("0.41") == "more_than_invoiced"
    assert takes_back("0.40") == "applied"
    notes = [told for told in story.told() if isinstance(told, CreditNoteIssued)]
    assert notes == [
        CreditNoteIssued(1, 1, usd(60), "an outage"),
        CreditNoteIssued(2, 1, usd(40), "an outage"),
    ]
    last = story.auditor.entries("acme")[-1]
    assert (last.account, last.type, last.amount, last.charge_month) == ("receivable", "adjust", usd(-40), "2026-06")
    assert last.cause == ("command", f"c-{story.number}")
    assert balances(story)["receivable"] == 0


# Payments.


def test_an_invoice_is_paid_up_to_what_is_open_of_it_and_after_closing_too() -> None:
    story = Story()
    story.cents("e-1", 100)

    def pays(amount: str, payment_id: str, number: int = 1) -> str:
        return story.do("confirm_payment", invoice_number=number, payment_id=payment_id, amount_usd=amount)

    story.do("confirm_payment", payment_id="p-0", amount_usd="0.10")  # the wallet pays so much of it
    story.do("close_organization")
    assert pays("0.90", "p-0") == "payment_id_used"
    assert pays("0.90", "p-1", number=2) == "unknown_invoice"
    assert pays("0.91", "p-1") == "more_than_due"
    assert pays("0.50", "p-1") == "applied"
    assert story.do("issue_credit_note", invoice_number=1, amount_usd="0.60", note="an outage") == "applied"
    assert pays("0.01", "p-2") == "more_than_due"
    assert story.do("confirm_payment", payment_id="p-2", amount_usd="1.00") == "organization_closed"
    payments = [told for told in story.told() if isinstance(told, PaymentReceived)]
    assert payments == [PaymentReceived("p-1", 1, usd(50), usd(40))]
    assert balances(story) == {"unbilled": 0, "wallet": 0, "receivable": usd(100 - 10 - 50 - 60)}


# Statements.


def test_a_statement_goes_on_where_the_last_one_ended() -> None:
    story = Story("team")
    story.do("confirm_payment", payment_id="p-1", amount_usd="5.00")
    story.cents("e-1", 100)
    story.at = BEFORE_MAY_CLOSES
    story.cents("e-2", 10, occurred_at=LAST_OF_MAY)  # May's
    story.do("grant_credits", amount_usd="2.00", expires_at=None)  # June's
    story.at = MAY_CLOSES
    story.cents("e-3", 20, occurred_at=LAST_OF_MAY)  # June's by now
    story.do("adjust", direction="debit", amount_usd="3.00", note="chargeback")
    (may,) = statements(story)
    assert may == StatementIssued(
        micros(MAY_CLOSES), "2026-05", 0, usd(500), 0, usd(-110), 0, 0, 0, 0, closing=usd(390)
    )
    story.at = JUNE_CLOSES
    (june,) = statements(story)
    assert (june.opening, june.grant, june.burn, june.adjust) == (usd(390), usd(200), usd(-20), usd(-300))
    assert june.closing == story.auditor.balance("acme") == usd(270)


def test_on_enterprise_a_statement_is_due_while_the_wallet_moves_or_holds_something() -> None:
    story = Story()
    assert statements_of(story, MAY_CLOSES) == []
    story.do("grant_credits", amount_usd="1.00", expires_at="2026-07-20T00:00:00Z")
    assert statements_of(story, JUNE_CLOSES) == [("2026-06", 0, usd(100))]
    # It expires in July, which is thus the last that moves it.
    assert statements_of(story, "2026-12-31T00:00:00Z") == [("2026-07", usd(100), 0)]


def statements_of(story: Story, until: str) -> list[tuple[str, int, int]]:
    story.at = until
    return [(one.month, one.opening, one.closing) for one in statements(story)]


def test_the_first_statement_is_of_the_month_of_registration_or_of_late_usage_before_it() -> None:
    story = Story("team", at="2026-06-02T12:00:00Z")
    assert statements_of(story, MAY_CLOSES) == []
    assert statements_of(story, JUNE_CLOSES) == [("2026-06", 0, 0)]
    story = Story("team", at="2026-06-02T12:00:00Z")
    story.cents("e-1", 5, occurred_at=LAST_OF_MAY)
    assert statements_of(story, MAY_CLOSES) == [("2026-05", 0, usd(-5))]


def test_who_is_closed_has_statements_until_the_wallet_is_empty() -> None:
    story = Story("team")
    story.do("grant_credits", amount_usd="1.00", expires_at="2026-06-20T00:00:00Z")
    story.do("close_organization")
    assert statements_of(story, "2026-12-31T00:00:00Z") == [("2026-05", 0, usd(100)), ("2026-06", usd(100), 0)]
