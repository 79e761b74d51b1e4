"""Who stands in for billing: what the ledger asks for is answered in time, between the records it belongs between."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from pipeline import replay
from pipeline.engine.contract import Effects, Output, Run
from pipeline.engine.records import arrival_micros
from pipeline.price_book import load_price_book
from pipeline.simulate.accounts_shape import Billing
from pipeline.simulate.billing import answer_of
from pipeline.simulate.limits_in_force import limits_in_force
from pipeline.simulate.run import Scenario, Timed, simulate
from pipeline.simulate.spend import Who
from pipeline.simulate.usage import Arriving
from schemas.commands import COMMANDS
from schemas.events import envelope
from schemas.instants import MICROS_PER_SECOND
from schemas.ledger import PurchaseRequested, ReloadRequested
from schemas.organization import Plan
from schemas.status import LimitedStatus, MemberStatus, OrganizationStatus, TierStatus
from tests.support.builders import DOLLAR_PICOUSD, command, micros, user
from tests.support.ledger import LedgerInMemory

BEGIN = micros("2026-02-10T12:00:00Z")
RELOADS_ON = command("set_auto_reload", enabled=True, threshold_usd="1", amount_usd="5", monthly_maximum_usd=None)


class Asking:
    """A machine that asks for a reload at every usage that says `ask`, and at 100 s; it notes what it is given."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.given: list[tuple[int, str]] = []
        self._due: list[int] = [BEGIN + 100 * MICROS_PER_SECOND]
        self._asked = 0
        self._effects = Effects()

    def restore(self, cells: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
        return iter(())

    is_behind = False

    def next_due_micros(self) -> int | None:
        return self._due[0] if self._due else None

    def advance(self, now_micros: int, budget: int) -> Effects:
        self._effects = Effects()
        self._ask(self._due.pop())
        return self._effects

    def begin(self, now_micros: int, quarantined: object) -> None:
        self._effects = Effects()

    def take(self, run: Run) -> bool:
        for record in run.records:
            wire = json.loads(record.value or b"")
            second = (arrival_micros(record) - BEGIN) // MICROS_PER_SECOND
            self.given.append((second, wire if run.input == "usage" else wire["command"]))
            if wire == "ask":
                self._ask(arrival_micros(record))
            self._effects.taken += 1
        return True

    def finish(self) -> Effects:
        return self._effects

    def _ask(self, at_micros: int) -> None:
        self._asked += 1
        asked = ReloadRequested(
            org_id="acme",
            org_seq=self._asked,
            at_micros=at_micros,
            reload_id=f"r-{self._asked}",
            number=self._asked,
            amount_picousd=5 * DOLLAR_PICOUSD,
            balance_picousd=0,
        )
        self._effects.outputs.setdefault("reload-requests", []).append(
            Output(b"acme", json.dumps(envelope(asked)).encode())
        )


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    machine = Asking()
    monkeypatch.setattr(replay, "LedgerMachine", lambda *_, **__: machine)
    return machine


def run(billing: Billing, *usage: tuple[int, str]) -> None:
    events = [Arriving(BEGIN + second * MICROS_PER_SECOND, json.dumps(said).encode(), "") for second, said in usage]
    simulate(
        Scenario(
            from_micros=BEGIN,
            commands=[Timed(BEGIN, COMMANDS.validate_python(RELOADS_ON))],
            usage=events,
            books=[(0, load_price_book())],
            until_micros=BEGIN + 1_000 * MICROS_PER_SECOND,
            billing=billing,
        )
    )


def test_a_reload_is_paid_a_minute_later_before_the_usage_of_that_instant(asking: Asking) -> None:
    run(Billing(), (1, "ask"), (60, "before"), (61, "same"), (62, "after"))
    assert asking.given == [
        (0, "set_auto_reload"),
        (1, "ask"),
        (60, "before"),
        (61, "report_reload_paid"),
        (61, "same"),
        (62, "after"),
        (160, "report_reload_paid"),  # asked for when time came to 100 s
    ]


def test_what_is_asked_for_between_records_is_answered_between_them(asking: Asking) -> None:
    run(Billing(answers="failed", after_seconds=10), (99, "before"), (105, "between"), (300, "after"))
    assert asking.given[1:] == [(99, "before"), (105, "between"), (110, "report_reload_failed"), (300, "after")]


def test_billing_may_say_nothing(asking: Asking) -> None:
    run(Billing(answers="nothing"), (1, "ask"), (200, "after"))
    assert [said for _, said in asking.given] == ["set_auto_reload", "ask", "after"]


def test_a_purchase_that_an_owner_asks_for_is_paid() -> None:
    asked = PurchaseRequested(
        org_id="acme",
        org_seq=1,
        at_micros=BEGIN,
        purchase_id="p-1",
        amount_picousd=20 * DOLLAR_PICOUSD,
        actor=COMMANDS.validate_python(command("set_credits", user("olga"), enabled=True)).actor,
    )
    answer = answer_of(asked, Billing())
    assert answer is not None
    assert answer.model_dump(mode="json", exclude={"actor"}) == {
        "command": "confirm_payment",
        "command_id": "paid-p-1",
        "org_id": "acme",
        "purchase_id": "p-1",
        "invoice_number": None,
        "payment_id": "payment-p-1",
        "amount_usd": "20.00",
    }
    assert answer_of(asked, Billing(answers="failed")) is None


def test_a_members_limit_is_their_own_else_that_of_each_member_of_their_tier() -> None:
    ledger = LedgerInMemory(now_micros=BEGIN)
    statuses: list[LimitedStatus] = [
        OrganizationStatus(
            org_id="acme", org_seq=1, plan="enterprise", limit_picousd=1, raise_picousd=2, raise_month="2026-02"
        ),
        TierStatus(org_id="acme", org_seq=2, seat_tier="standard", limit_picousd=3),
        TierStatus(org_id="acme", org_seq=3, seat_tier="premium", limit_picousd=4, basis="whole_tier"),
        MemberStatus(org_id="acme", org_seq=4, user_id="ann"),
        MemberStatus(org_id="acme", org_seq=5, user_id="bob", limit_picousd=5),
        MemberStatus(org_id="acme", org_seq=6, user_id="cem", seat_tier="premium"),
    ]
    ledger.latest["credit-status"] = {status.key(): status.value() for status in statuses}
    limits = limits_in_force(ledger)
    found = {who: limit and limit.limit_picousd for who in limits.seats for limit in [limits.of(who)]}
    assert found == {Who("acme", user_id="ann"): 3, Who("acme", user_id="bob"): 5, Who("acme", user_id="cem"): None}
    assert limits.of(Who("acme")) == limits.by_who[Who("acme")]
    assert limits.by_who[Who("acme")].limit_picousd == 2  # raised for this month


@pytest.mark.parametrize(("plan", "limit"), [("enterprise", 3), ("team", None)])
def test_a_tiers_limit_is_none_on_team_where_it_is_inert(plan: Plan, limit: int | None) -> None:
    ledger = LedgerInMemory(now_micros=BEGIN)
    statuses: list[LimitedStatus] = [
        TierStatus(org_id="acme", org_seq=2, seat_tier="standard", limit_picousd=3),
        MemberStatus(org_id="acme", org_seq=4, user_id="ann"),
        OrganizationStatus(org_id="acme", org_seq=5, plan=plan),
    ]
    ledger.latest["credit-status"] = {status.key(): status.value() for status in statuses}
    found = limits_in_force(ledger).of(Who("acme", user_id="ann"))
    assert (found and found.limit_picousd) == limit
