"""The ledger does what the auditor says: random histories of whole accounts, in random transactions, with restarts.

After every transaction the invariants are looked at as well; here each is broken once by hand, so that we know they
would be seen. A long run over many more seeds is `make audit`.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pipeline.engine.contract import Effects, Output
from tests.support.auditor import Auditor, Said, billed
from tests.support.auditor.comparison import Disagreement, WatchedLedger, Way, compare, way_of
from tests.support.auditor.invariants import CHECKS, Broken
from tests.support.auditor.outputs import InvoiceContinued
from tests.support.auditor_story import correcting
from tests.support.builders import (
    BILLING,
    CENT_PICOUSD,
    NOON,
    Wire,
    add_member,
    command,
    event,
    micros,
    register,
    searches,
    set_credits,
    set_limit,
)
from tests.support.shrinking import disagreement_of, history_of, report_of

SEEDS = range(int(os.environ.get("AUDITOR_SEEDS", "40")))
FIRST_SEED = int(os.environ.get("AUDITOR_FIRST_SEED", "0"))
SHRINKING_SECONDS = 100
"""Of ten seeds together."""


@pytest.mark.parametrize("tens", range(0, len(SEEDS), 10))
def test_random_accounts_come_to_what_the_auditor_says(tens: int) -> None:
    seeds = [FIRST_SEED + seed for seed in SEEDS[tens : tens + 10]]
    wrong = [seed for seed in seeds if disagreement_of(seed) is not None]
    reports = [str(report_of(seed, SHRINKING_SECONDS / len(wrong))) for seed in wrong]
    assert not wrong, "\n\n".join([f"seeds {wrong} disagree", *reports])


def test_absurd_counts_are_no_event_to_either() -> None:
    """R17; seed 13181 had corrections of corrections that tripled them."""
    at = micros(NOON)
    usage = [searches("most", 100_000), searches("too many", 100_001), event("most", input_tokens=100_000_001)]
    history = [Said(at, "command", register(owner="ann")), *(Said(at, "usage", wire) for wire in usage)]
    auditor = Auditor().take_all(history)
    assert auditor.outcomes == ["applied", "row", "count_too_large", "count_too_large"]
    compare(history, way_of(0), auditor)


def test_more_lines_than_an_event_may_hold_are_the_same_to_both() -> None:
    at = micros(NOON)
    usage = [searches(f"e-{number}", 1, product=f"p-{number:04}") for number in range(2_001)]
    history = [Said(at, "command", register(owner="ann")), *(Said(at, "usage", wire) for wire in usage)]
    history.append(Said(micros("2026-06-04T00:00:00Z"), "tick", {}))
    auditor = Auditor().take_all(history)
    assert [told.first_line for told in auditor.published("acme") if isinstance(told, InvoiceContinued)] == [
        *(1_000, 2_000),  # the draft's
        *(1_000, 2_000),
    ]
    compare(history, Way((300,), False), auditor)


@pytest.mark.parametrize(
    "expiries",
    [
        ("2026-06-04T00:00:00Z",),
        ("2026-06-04T01:00:00Z",),
        ("2026-06-04T01:00:00Z", "2026-06-20T00:00:00Z"),
    ],
)
@pytest.mark.parametrize("hurried", [False, True])
def test_a_lot_that_an_invoice_used_up_just_before_it_expires_does_not_expire(
    expiries: tuple[str, ...], hurried: bool
) -> None:
    """Seeds 1296 and 1616: May closes at 2026-06-04T00:00:00Z, and its invoice is $1.00."""
    at = micros(NOON)
    grants = [
        command("grant_credits", BILLING, command_id=f"grant-{expires}", amount_usd="1.00", expires_at=expires)
        for expires in expiries
    ]
    commands = [register(), add_member("ann"), *grants]
    history = [*(Said(at, "command", wire) for wire in commands), Said(at, "usage", searches("e-1", 100))]
    compare([*history, Said(micros("2026-06-04T01:00:00Z"), "tick", {})], Way((1,), False, hurried=hurried))


# That a disagreement would be seen.


def test_an_auditor_that_took_another_history_disagrees() -> None:
    """Whatever kind of record one of them did not get."""
    history, histories = history_of(7)
    outcomes = histories.auditor.outcomes
    for outcome in ("applied", "row"):
        last = max(number for number, found in enumerate(outcomes) if found == outcome)
        without = [*history[:last], Said(history[last].at, "tick", {}), *history[last + 1 :]]
        compare(without, way_of(7))
        with pytest.raises(Disagreement):
            compare(without, way_of(7), histories.auditor)


# That an invariant which does not hold would be seen.

Tamper = Callable[[Effects], Effects]


@dataclass(kw_only=True)
class TamperedLedger(WatchedLedger):
    """What it writes is tampered with before anybody sees it."""

    tamper: Tamper

    def _commit(self, effects: Effects, last_arrival_micros: int = 0) -> None:
        super()._commit(self.tamper(effects), last_arrival_micros)


def in_cells(kind: str, **fields: object) -> Tamper:
    """Fields of every cell of a kind are something else; None: the cell is lost."""

    def tamper(effects: Effects) -> Effects:
        cells = {
            key: json.dumps({**json.loads(value), **fields}).encode()
            if value is not None and json.loads(key)[0] == kind
            else value
            for key, value in effects.cells.items()
        }
        return dataclasses.replace(effects, cells=cells)

    return tamper


def in_outputs(topic: str, change: Callable[[Wire], Wire | None]) -> Tamper:
    """Values of a topic are something else, or are lost where the change makes None of them."""

    def tamper(effects: Effects) -> Effects:
        changed = [
            Output(output.key, json.dumps(value).encode() + b"\n", output.headers)
            for output in effects.outputs.get(topic, ())
            if (value := change(json.loads(output.value))) is not None
        ]
        return dataclasses.replace(effects, outputs={**effects.outputs, topic: changed})

    return tamper


def of_type(ending: str, **data: object) -> Callable[[Wire], Wire | None]:
    """Events of a type say something else; nothing given: they are lost."""

    def change(envelope: Wire) -> Wire | None:
        if not envelope["type"].endswith(ending):
            return envelope
        return {**envelope, "data": {**envelope["data"], **data}} if data else None

    return change


def without(type_: str) -> Callable[[Wire], Wire | None]:
    """Entries of a type are lost."""
    return lambda envelope: None if envelope["data"]["type"] == type_ else envelope


def tell(ledger: WatchedLedger) -> None:
    """One organisation of each plan: its limit of $1 is reached, raised, lowered again; the wallet is empty once."""
    for plan, org_id in (("enterprise", "acme"), ("team", "globex")):
        ledger.commands(
            register(org_id=org_id, plan=plan), set_credits(org_id=org_id), add_member("ann", org_id=org_id)
        )
        if plan == "team":
            pays = {"payment_id": "p", "amount_usd": "3.00"}
            ledger.commands(command("confirm_payment", BILLING, org_id=org_id, command_id="pay", **pays))
        ledger.commands(set_limit("1.00", org_id=org_id))
        ledger.usage(searches("e-1", 60, org_id=org_id))
        ledger.usage(searches("e-2", 60, org_id=org_id))
        ledger.commands(set_limit("5.00", org_id=org_id))
        ledger.usage(searches("e-3", 200, org_id=org_id))
        ledger.commands(set_limit("2.00", org_id=org_id))
        if plan == "team":
            again = {"payment_id": "p-2", "amount_usd": "3.00"}
            ledger.commands(command("confirm_payment", BILLING, org_id=org_id, command_id="pay again", **again))


def bill(ledger: WatchedLedger) -> None:
    """Four months: invoiced, partly taken back and paid, below zero, with a debt, and with what the wallet pays."""
    tell(ledger)
    note = {"invoice_number": 1, "amount_usd": "1.00", "note": "an outage"}
    ledger.commands(command("issue_credit_note", BILLING, command_id="note", **note), at="2026-06-04T12:00:00Z")
    of_invoice = {"payment_id": "p-0", "invoice_number": 1, "amount_usd": "2.00"}
    ledger.commands(command("confirm_payment", BILLING, command_id="pays", **of_invoice), at="2026-06-04T12:00:00Z")
    taken_back = [correcting(searches(f"e-{number}", cents), f"c-{number}", 0) for number, cents in ((1, 60), (3, 200))]
    ledger.usage(*taken_back, at="2026-06-04T12:00:00Z")
    charged_back = {"direction": "debit", "amount_usd": "0.70", "note": "chargeback"}
    july, august = "2026-07-10T12:00:00Z", "2026-08-10T12:00:00Z"
    ledger.commands(command("adjust", BILLING, command_id="debit", **charged_back), at=july)
    ledger.usage(searches("e-4", 500, occurred_at=july), at=july)
    pays = {"payment_id": "p", "amount_usd": "3.00"}
    ledger.commands(command("confirm_payment", BILLING, command_id="pay", **pays), at=august)
    ledger.usage(searches("e-5", 500, occurred_at=august), at=august)
    ledger.usage(event("e-6", model="claude-haiku-4-5", input_tokens=1_501, occurred_at=august), at=august)
    ledger.wait_until("2026-09-04T00:00:00Z")


BALANCE = "the_balance_is_the_sum_of_the_entries"
TOTALS = "member_totals_sum_to_the_organizations"
OWNER = "there_is_exactly_one_primary_owner"
ADMITTED = "nobody_is_both_breached_and_admitted"
FOUNDED = "no_breach_without_a_crossing_event_or_a_limit_change"
PAUSES = "every_pause_has_an_end_or_a_reason_that_holds"

INVOICED = "what_is_burnt_is_invoiced"
OVER = "what_is_over_is_invoiced"
ROUNDED = "rounded_lines_add_up"
NUMBERS = "numbers_have_no_gaps"
RECEIVABLE = "what_is_due_is_receivable"
STATEMENTS = "statements_go_on_where_the_last_one_ended"

BREACHES, ENTRIES, ROWS, STATUS = "limit-breaches", "ledger-entries", "priced-usage", "credit-status"
OTHER_EVENT = {"event_id": "e-1", "source": "", "input_partition": 0, "input_offset": 0, "input_index": 0}
NO_CROSSING: Wire = {"crossing": None}
BY_CHANGE: Wire = {"cause": "limit_changed", **NO_CROSSING}


def in_breaches(**data: object) -> Tamper:
    return in_outputs(BREACHES, of_type("limit.breached", **data))


def in_entries(**data: object) -> Tamper:
    return in_outputs(ENTRIES, of_type("ledger.entry", **data))


def in_bills(ending: str, **data: object) -> Tamper:
    return in_outputs("invoices", of_type(ending, **data))


def in_lines(kind: str, **fields: object) -> Tamper:
    """Lines of a kind are something else."""

    def change(envelope: Wire) -> Wire:
        data = envelope["data"]
        lines = [{**line, **fields} if line["kind"] == kind else line for line in data.get("lines", ())]
        return {**envelope, "data": {**data, "lines": lines}} if lines else envelope

    return in_outputs("invoices", change)


def in_status(of: str, **fields: object) -> Tamper:
    """Of the records that have such a field."""
    return in_outputs(STATUS, lambda status: {**status, **fields} if of in status else status)


BROKEN: list[tuple[str, str, Tamper]] = [
    (BALANCE, "a balance is not remembered", in_cells("wallet", balance_picousd="0")),
    (BALANCE, "entries are lost", in_entries()),
    (BALANCE, "entries have another amount", in_entries(amount_picousd="7")),
    (BALANCE, "entries say another balance", in_entries(balance_after_picousd="7")),
    (BALANCE, "a lot has another rest", in_cells("lot", rest_picousd="7")),
    (BALANCE, "something else is unbilled", in_cells("organization", unbilled_picousd="7")),
    (TOTALS, "a member's total", in_cells("member_month", spend_picousd="7")),
    (TOTALS, "a tier's total", in_cells("tier_month", spend_picousd="7")),
    (TOTALS, "the organisation's total", in_cells("organization_month", spend_picousd="7")),
    (TOTALS, "a row of somebody else", in_outputs(ROWS, lambda row: {**row, "user_id": "owner"})),
    (OWNER, "there is none", in_cells("member", role="owner")),
    (OWNER, "there are two", in_cells("member", role="primary_owner")),
    (OWNER, "nobody is told of them", in_status("role", role="owner")),
    (ADMITTED, "a limit is not published", in_status("limit_picousd", limit_picousd=None)),
    (ADMITTED, "spend is not published", in_status("plan", spend_picousd="0")),
    (ADMITTED, "an empty wallet is not published", in_status("balance_picousd", balance_picousd="7")),
    (FOUNDED, "no event crosses", in_breaches(**NO_CROSSING)),
    (FOUNDED, "another event crosses", in_breaches(crossing=OTHER_EVENT)),
    (FOUNDED, "no limit was changed", in_breaches(**BY_CHANGE)),
    (FOUNDED, "spend had not reached the limit", in_breaches(limit_picousd="9000000000000")),
    (FOUNDED, "spend had reached the limit before", in_breaches(limit_picousd="1")),
    (PAUSES, "a resume is lost", in_outputs(BREACHES, of_type("limit.resumed"))),
    (PAUSES, "a breach is lost", in_breaches()),
    (PAUSES, "a resume is of another episode", in_outputs(BREACHES, of_type("limit.resumed", episode=7))),
    (PAUSES, "a breach has no length", in_breaches(paused_until="2026-05-01T00:00:00Z")),
    (PAUSES, "a balance's pause is not told", in_outputs(BREACHES, of_type("credits.paused"))),
    (PAUSES, "a balance's pause does not end", in_outputs(BREACHES, of_type("credits.resumed"))),
]

BROKEN_BILLS: list[tuple[str, str, Tamper]] = [
    (INVOICED, "a line of more than was used", in_lines("usage", quantity=7)),
    (INVOICED, "a line at another rate", in_lines("usage", rate_picousd="7")),
    (INVOICED, "a line of another month", in_lines("usage", usage_month="2026-02")),
    (INVOICED, "an exact amount of its own", in_lines("usage", exact_picousd="7")),
    (INVOICED, "an exact sum of its own", in_bills("invoice.finalized", exact_picousd="7")),
    (INVOICED, "what is burnt is not cleared", in_outputs(ENTRIES, without("invoice"))),
    (OVER, "an invoice is lost", in_bills("invoice.finalized")),
    (ROUNDED, "a line that is not whole cents", in_lines("usage", amount_picousd="7")),
    (ROUNDED, "a line that is a dollar off", in_lines("usage", amount_picousd="1000000000000")),
    (ROUNDED, "another total", in_bills("invoice.finalized", total_picousd="7")),
    (ROUNDED, "a draft's total", in_bills("invoice.drafted", total_picousd="7")),
    (ROUNDED, "another count of lines", in_bills("invoice.finalized", line_count=7)),
    (ROUNDED, "nothing is carried", in_bills("invoice.finalized", carried_picousd="0")),
    (NUMBERS, "an invoice's number", in_bills("invoice.finalized", number=7)),
    (NUMBERS, "a part's number", in_bills("invoice.finalized", part=7)),
    (NUMBERS, "a credit note's number", in_bills("credit_note.issued", number=7)),
    (RECEIVABLE, "more is due", in_bills("invoice.finalized", due_picousd="7")),
    (RECEIVABLE, "less is paid", in_bills("invoice.finalized", offset_picousd="0")),
    (RECEIVABLE, "another amount is taken up", in_lines("carried", exact_picousd="7")),
    (RECEIVABLE, "a debt is another", in_lines("debt", exact_picousd="7")),
    (RECEIVABLE, "a credit note is lost", in_bills("credit_note.issued")),
    (RECEIVABLE, "a credit note of another invoice", in_bills("credit_note.issued", invoice_number=2)),
    (RECEIVABLE, "a payment is lost", in_bills("payment.received")),
    (RECEIVABLE, "a payment of more than is due", in_bills("payment.received", amount_picousd="9000000000000")),
    (RECEIVABLE, "a payment of another invoice", in_bills("payment.received", invoice_number=2)),
    (RECEIVABLE, "a payment that leaves something else", in_bills("payment.received", open_picousd="7")),
    (RECEIVABLE, "a payment is not entered", in_outputs(ENTRIES, without("payment"))),
    (RECEIVABLE, "rounding is not entered", in_outputs(ENTRIES, without("rounding"))),
    (RECEIVABLE, "what is paid is not entered", in_outputs(ENTRIES, without("offset"))),
    (STATEMENTS, "it begins elsewhere", in_bills("statement.issued", opening_picousd="7")),
    (STATEMENTS, "it ends elsewhere", in_bills("statement.issued", closing_picousd="7")),
    (STATEMENTS, "it burnt something else", in_bills("statement.issued", burn_picousd="7")),
    (STATEMENTS, "a statement is lost", in_bills("statement.issued")),
    (STATEMENTS, "of the same month again", in_bills("statement.issued", month="2026-05")),
]


def test_the_story_itself_breaks_nothing() -> None:
    ledger = TamperedLedger(tamper=lambda effects: effects)
    tell(ledger)
    assert ledger.invariants.steps > 15
    said = {json.loads(value)["type"].removeprefix("usage-credits.") for value in ledger.outputs[BREACHES]}
    assert said == {"limit.breached", "limit.resumed", "credits.paused", "credits.resumed"}


def test_the_story_of_bills_breaks_nothing() -> None:
    ledger = TamperedLedger(tamper=lambda effects: effects)
    bill(ledger)
    bills = [said["data"] | {"type": said["type"]} for said in ledger.envelopes("invoices")]
    assert {said["type"].removeprefix("usage-credits.") for said in bills} == {
        "invoice.drafted",
        "invoice.finalized",
        "credit_note.issued",
        "payment.received",
        "statement.issued",
    }
    # 320; 0 - 260; 500 - 260 + 70; 500 and less than half a cent, of which the wallet pays 300.
    final = [said for said in bills if said["type"].endswith("invoice.finalized")]
    assert [(said["total_picousd"], said["carried_picousd"], said["due_picousd"]) for said in final] == [
        (str(total * CENT_PICOUSD), str(carried * CENT_PICOUSD), str(due * CENT_PICOUSD))
        for total, carried, due in ((320, 0, 320), (0, -260, 0), (310, 0, 310), (500, 0, 200))
    ]


@pytest.mark.parametrize(("name", "how", "tamper"), BROKEN, ids=[how for _, how, _ in BROKEN])
def test_an_invariant_that_does_not_hold_is_seen(name: str, how: str, tamper: Tamper) -> None:
    with pytest.raises(Broken) as broken:
        tell(TamperedLedger(tamper=tamper))
    assert name in broken.value.names, broken.value


@pytest.mark.parametrize(("name", "how", "tamper"), BROKEN_BILLS, ids=[how for _, how, _ in BROKEN_BILLS])
def test_an_invariant_of_bills_that_does_not_hold_is_seen(name: str, how: str, tamper: Tamper) -> None:
    with pytest.raises(Broken) as broken:
        bill(TamperedLedger(tamper=tamper))
    assert name in broken.value.names, broken.value


def test_every_invariant_is_broken_above() -> None:
    broken = {name for name, _, _ in [*BROKEN, *BROKEN_BILLS]}
    assert broken == {*(check.__name__ for check in (*CHECKS, *billed.CHECKS)), FOUNDED}
