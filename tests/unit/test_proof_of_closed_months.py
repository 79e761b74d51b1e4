"""The proof misses what a closed month should have: every statement, every invoice, of whoever it is (R39, R40)."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pipeline.proof.closing import of_closed_months
from pipeline.topics import INVOICES
from tests.support.builders import BILLING, Wire, add_member, command, register, searches, set_credits
from tests.support.ledger import LedgerInMemory
from tests.unit.test_proof_of_billing import months, without_clickhouse

MAY, JUNE = "2026-05-10T12:00:00Z", "2026-06-02T00:00:00Z"
MAY_CLOSED, JUNE_CLOSED = "2026-06-05T00:00:00Z", "2026-07-05T00:00:00Z"
STATEMENT, INVOICE = "statement of a closed month", "invoice of a closed month"


def missed(ledger: LedgerInMemory, bills: list[bytes] | None = None) -> list[tuple[str, str, str]]:
    """What the proof misses, if these are the bills."""
    found = of_closed_months(without_clickhouse(ledger, bills))
    return [(one.name, one.org_id, one.month) for one in found if not one.agrees]


def owed(ledger: LedgerInMemory) -> list[tuple[str, str, str]]:
    return [(one.name, one.org_id, one.month) for one in of_closed_months(without_clickhouse(ledger))]


def without(ledger: LedgerInMemory, ending: str, **data: Any) -> list[bytes]:
    """The bills but for those that say so."""
    said = [(value, json.loads(value)) for value in ledger.outputs.get(INVOICES.name, ())]
    return [
        value
        for value, one in said
        if not (one["type"].endswith(ending) and all(one["data"][name] == fact for name, fact in data.items()))
    ]


def test_over_random_months_each_one_that_is_lost_is_missed() -> None:
    lost: Counter[str] = Counter()
    for seed in (0, 1, 3):
        ledger = months(seed)
        for value in ledger.outputs[INVOICES.name]:
            data, ending = json.loads(value)["data"], json.loads(value)["type"].removeprefix("usage-credits.")
            of = {"org_id": data["org_id"], "month": data["month"]} if "month" in data else {}
            if ending == "statement.issued":
                expected = (STATEMENT, data["org_id"], data["month"])
            elif data.get("reason") == "month_closed" and data["exact_picousd"] != "0":
                expected = (INVOICE, data["org_id"], data["month"])
            else:
                continue
            lost[ending] += 1
            assert expected in missed(ledger, without(ledger, ending, **of)), seed
    assert min(lost["statement.issued"], lost["invoice.finalized"]) > 3


def ledger_of(*plans: str) -> LedgerInMemory:
    """An organisation on each of these plans, of which nobody uses anything."""
    ledger = LedgerInMemory()
    for number, plan in enumerate(plans):
        ledger.commands(register(f"org-{number}", plan=plan), at=MAY)
    return ledger


@pytest.mark.parametrize("plans", [("team",), ("team", "team")])
def test_team_has_a_statement_although_nothing_ever_moved(plans: tuple[str, ...]) -> None:
    """Whether or not anybody else's says when the month closed."""
    ledger = ledger_of(*plans)
    ledger.wait_until(JUNE_CLOSED)
    assert missed(ledger) == []
    assert len(owed(ledger)) == 2 * len(plans)
    assert missed(ledger, without(ledger, "statement.issued", org_id="org-0", month="2026-06")) == [
        (STATEMENT, "org-0", "2026-06")
    ]


def changes_plan(plan: str) -> Wire:
    return command("change_plan", BILLING, org_id="org-0", command_id=f"to-{plan}", plan=plan)


@pytest.mark.parametrize("others", [(), ("team",)])
@pytest.mark.parametrize(
    ("plan", "said", "months"),
    [
        ("team", changes_plan("enterprise"), []),
        ("team", command("close_organization", BILLING, org_id="org-0", command_id="close"), []),
        ("enterprise", changes_plan("team"), ["2026-05", "2026-06"]),
    ],
)
def test_who_is_on_team_when_a_month_closes_has_one(
    plan: str, said: Wire, months: list[str], others: tuple[str, ...]
) -> None:
    """It changed within the days of grace. Without a statement of anybody, what the close was is not known."""
    ledger = ledger_of(plan, *others)
    ledger.commands(said, at=JUNE)
    ledger.wait_until(JUNE_CLOSED)
    assert missed(ledger) == []
    assert [month for _, org_id, month in owed(ledger) if org_id == "org-0"] == months


def on_enterprise() -> LedgerInMemory:
    ledger = LedgerInMemory()
    ledger.commands(register(), set_credits(), add_member(), at=MAY)
    return ledger


@pytest.mark.parametrize("cents", [1, 100])
def test_an_invoice_counts_if_it_came_after_the_last_usage_of_its_month(cents: int) -> None:
    """The suppressed zero invoice too."""
    ledger = on_enterprise()
    ledger.usage(searches("a", 100), at=MAY)
    ledger.commands(command("change_plan", BILLING, command_id="team", plan="team"), at=MAY)
    ledger.commands(command("change_plan", BILLING, command_id="back", plan="enterprise"), at=MAY)
    ledger.usage(searches("b", cents) | ({"web_search_requests": 0, "input_tokens": 1} if cents == 1 else {}), at=MAY)
    ledger.wait_until(MAY_CLOSED)
    assert (INVOICE, "acme", "2026-05") in owed(ledger)
    assert missed(ledger) == []
    assert missed(ledger, without(ledger, "invoice.finalized", part=2)) == [(INVOICE, "acme", "2026-05")]


def test_whose_turn_has_not_come_is_missed_once_the_calendar_has_gone_on() -> None:
    """The ledger's memory says that it is still to be made; or that it was."""
    ledger = ledger_of("team", "team")
    ledger.wait_until(MAY_CLOSED)
    bills = without(ledger, "statement.issued", org_id="org-1")
    assert missed(ledger, bills) == [(STATEMENT, "org-1", "2026-05")]
    key = b'["wallet","org-1"]'
    cell = json.loads(ledger.cells[key])
    pending = replace(ledger, cells={**ledger.cells, key: json.dumps(cell | {"stated_through": "2026-04"}).encode()})
    assert missed(pending, bills) == []
    calendar = json.loads(pending.cells[b'["calendar"]']) | {"month": "2026-07"}
    pending.cells[b'["calendar"]'] = json.dumps(calendar).encode()
    assert missed(pending, bills) == [(STATEMENT, "org-1", "2026-05")]
