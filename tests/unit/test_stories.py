"""Stories of spend limits, as people tell them: an organisation, some usage, who may go on (R3, R15-R31, R34).

A web search costs a cent, so `searches("e", 300)` is 3 dollars.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from pipeline.domain.reviews import SLICE_MEMBERS
from pipeline.domain.status import HELD_BACK_MICROS, TOLD_AT_ONCE
from pipeline.engine.contract import Effects
from schemas.admission import Decision, DenialReason
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CreditsPaused,
    CreditsResumed,
    LimitBreached,
    LimitResumed,
    MemberScope,
    OrganizationScope,
    TierScope,
)
from schemas.month import Month
from schemas.notifications import ThresholdReached
from tests.support.builders import (
    BILLING,
    NOON,
    Wire,
    add_member,
    correction,
    later,
    micros,
    register,
    searches,
    set_credits,
    set_limit,
    user,
)
from tests.support.builders import CENT_PICOUSD as CENT
from tests.support.builders import DOLLAR_PICOUSD as DOLLAR
from tests.support.builders import command as said
from tests.support.ledger import LedgerInMemory, acme

MAY_BEGINS = "2026-05-01T00:00:00Z"
JUNE_BEGINS = "2026-06-01T00:00:00Z"
LAST_OF_MAY = "2026-05-31T23:59:59Z"
MAY_CLOSES = "2026-06-04T00:00:00Z"
MAY, JUNE = Month(2026, 5), Month(2026, 6)


def user_limit(usd: str | None, who: str = "ann", **how: Any) -> Wire:
    return said("set_user_limit", **{"command_id": f"user-{who}-{usd}", "user_id": who, "limit_usd": usd} | how)


def tier_limit(usd: str | None, tier: str = "standard", basis: str = "each_member", **how: Any) -> Wire:
    ours: Wire = {"command_id": f"tier-{tier}-{usd}-{basis}", "seat_tier": tier, "limit_usd": usd, "basis": basis}
    return said("set_tier_limit", **ours | how)


def seat(tier: str, who: str = "ann", **how: Any) -> Wire:
    return said("assign_seat", **{"command_id": f"seat-{who}-{tier}", "user_id": who, "seat_tier": tier} | how)


def limited(*commands: Wire) -> LedgerInMemory:
    """`acme` with `ann` and `bob` on Standard seats and `pam` on a Premium one, and what owners set."""
    ledger = acme()
    ledger.commands(add_member("bob"), add_member("pam", seat_tier="premium"), *commands, at=MAY_BEGINS)
    assert all(isinstance(answer, CommandApplied) for answer in ledger.answers)
    return ledger


def asks(ledger: LedgerInMemory, who: str = "ann", at: str = NOON) -> Decision:
    """What a product is told that asks at an instant, which has come."""
    ledger.wait_until(at)
    return ledger.decision_from_status("acme", who, micros(at))


def denied(ledger: LedgerInMemory, *who: str, at: str = NOON) -> dict[str, tuple[DenialReason, ...]]:
    """Why not, by member."""
    return {one: asks(ledger, one, at).reasons for one in who}


def after_pause(ledger: LedgerInMemory) -> dict[str, bool]:
    return {row.event_id: row.after_pause for row in ledger.rows}


def spend_cents(ledger: LedgerInMemory, *key: str) -> int:
    return ledger.spend_picousd(*key) // CENT


# A user and their limit.


def test_a_user_reaches_their_limit_and_is_paused_until_the_months_end() -> None:
    ledger = limited(user_limit("5"))
    ledger.usage(searches("a", 300), searches("b", 200), searches("c", 1))  # 3.00 + 2.00 = 5.00
    (breach,) = ledger.breaches
    assert (breach.scope, breach.cause) == (MemberScope(user_id="ann"), "usage")
    assert (breach.spend_picousd, breach.limit_picousd, breach.overshoot_picousd) == (5 * DOLLAR, 5 * DOLLAR, 0)
    assert breach.paused_until_micros == micros(JUNE_BEGINS)
    assert asks(ledger) == Decision(False, ("user_limit",), 0, micros(JUNE_BEGINS))
    assert asks(ledger, "bob").allowed
    assert asks(ledger, at=LAST_OF_MAY).reasons == ("user_limit",)
    assert asks(ledger, at=JUNE_BEGINS) == Decision(True, (), 5 * DOLLAR, None)
    ledger.usage(searches("d", 1, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert after_pause(ledger) == {"a": False, "b": False, "c": True, "d": False}
    assert ledger.resumes == []  # the month's end was in the breach


def test_the_owner_raises_it_and_they_go_on_at_once() -> None:
    ledger = limited(user_limit("5"))
    ledger.usage(searches("a", 500), searches("b", 1))
    ledger.commands(user_limit("8"))
    assert asks(ledger) == Decision(True, (), (800 - 501) * CENT, None)
    (resumed,) = ledger.resumes
    assert (resumed.scope, resumed.cause) == (MemberScope(user_id="ann"), "limit_changed")
    assert (resumed.limit_picousd, resumed.spend_picousd) == (8 * DOLLAR, 501 * CENT)
    ledger.usage(searches("c", 1))
    assert after_pause(ledger) == {"a": False, "b": True, "c": False}


def test_raised_but_not_above_what_was_spent_they_stay_paused() -> None:
    ledger = limited(user_limit("5"))
    ledger.usage(searches("a", 800))
    ledger.commands(user_limit("8"))
    assert (ledger.resumes, asks(ledger).reasons) == ([], ("user_limit",))
    ledger.commands(user_limit("8.01"))
    assert (len(ledger.resumes), asks(ledger).headroom_picousd) == (1, CENT)


def test_an_unlimited_user_spends_up_to_the_organisations_limit() -> None:
    ledger = limited(tier_limit("2"), seat("premium"), user_limit(None), set_limit("10"))
    ledger.usage(searches("a", 900), searches("b", 99, user_id="bob"))
    assert asks(ledger).headroom_picousd == (1_000 - 999) * CENT
    ledger.usage(searches("c", 1))  # 9.00 + 0.99 + 0.01 = 10.00
    (breach,) = ledger.breaches
    assert (breach.scope, breach.overshoot_picousd) == (OrganizationScope(), 0)
    assert denied(ledger, "ann", "bob", "pam") == dict.fromkeys(("ann", "bob", "pam"), ("org_limit",))


def test_a_users_limit_takes_the_place_of_their_tiers_in_both_directions() -> None:
    ledger = limited(tier_limit("5"), user_limit("3"), user_limit("8", "bob"))
    ledger.usage(searches("a", 300), searches("b", 500, user_id="bob"))
    assert denied(ledger, "ann", "bob") == {"ann": ("user_limit",), "bob": ()}
    ledger.commands(user_limit(None), user_limit(None, "bob"))
    assert denied(ledger, "ann", "bob") == {"ann": (), "bob": ("tier_limit",)}
    first, *others = ledger.limit_events
    assert first.scope == MemberScope(user_id="ann")
    assert [(type(event), event.scope) for event in others] == [
        (LimitResumed, MemberScope(user_id="ann")),
        (LimitBreached, MemberScope(user_id="bob", seat_tier="standard")),
    ]


def test_a_raise_for_this_month_only_falls_back_at_the_months_end() -> None:
    ledger = limited(user_limit("5"))
    ledger.usage(searches("a", 500))
    ledger.commands(user_limit("8", this_month_only=True))
    assert asks(ledger).headroom_picousd == (800 - 500) * CENT
    ledger.usage(searches("b", 299))
    assert asks(ledger, at=LAST_OF_MAY).headroom_picousd == (800 - 799) * CENT
    assert asks(ledger, at=JUNE_BEGINS).headroom_picousd == 5 * DOLLAR
    ledger.usage(searches("c", 500, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert [(breach.month, breach.limit_picousd) for breach in ledger.breaches] == [
        (MAY, 5 * DOLLAR),
        (JUNE, 5 * DOLLAR),
    ]


def test_a_limit_taken_away_while_it_is_lifted_for_this_month_leaves_the_seats_limit_in_the_next_one() -> None:
    """In May the seat's limit binds before and after; in June, of which a clock ahead spent some, it comes to bind."""
    ledger = limited(tier_limit("20"), user_limit("10"))
    nearly = later(JUNE_BEGINS, minutes=-1)
    ledger.commands(user_limit(None, command_id="lift", this_month_only=True), at=nearly)
    ledger.usage(searches("a", 2_500, occurred_at=JUNE_BEGINS), at=nearly)
    ledger.commands(user_limit(None), at=nearly)
    own, seats = MemberScope(user_id="ann"), MemberScope(user_id="ann", seat_tier="standard")
    assert [(type(told), told.scope, told.month) for told in ledger.limit_events] == [
        (LimitBreached, own, JUNE),
        (LimitBreached, seats, JUNE),
        (LimitResumed, own, JUNE),
    ]
    ledger.usage(searches("b", 1, occurred_at=JUNE_BEGINS), at=JUNE_BEGINS)
    assert after_pause(ledger)["b"] is True


@pytest.mark.parametrize(
    ("usd", "outcome"), [("4.99", CommandRefused), ("5", CommandRefused), ("5.01", CommandApplied)]
)
def test_for_this_month_only_a_limit_can_be_raised_and_nothing_else(usd: str, outcome: type[Any]) -> None:
    ledger = limited(user_limit("5"))
    ledger.commands(user_limit(usd, command_id="raise", this_month_only=True))
    assert isinstance(ledger.answers[-1], outcome)


# Tiers.


@pytest.mark.parametrize("basis", ["each_member", "whole_tier"])
def test_a_premium_tiers_limit_does_not_touch_standard(basis: str) -> None:
    ledger = limited(tier_limit("5", "premium", basis))
    ledger.usage(searches("a", 900), searches("p", 500, user_id="pam"), searches("b", 900, user_id="bob"))
    (breach,) = ledger.breaches
    each, pooled = MemberScope(user_id="pam", seat_tier="premium"), TierScope(seat_tier="premium")
    assert breach.scope == (each if basis == "each_member" else pooled)
    assert denied(ledger, "ann", "bob", "pam") == {"ann": (), "bob": (), "pam": ("tier_limit",)}
    ledger.usage(searches("a-2", 1), searches("p-2", 1, user_id="pam"))
    assert (after_pause(ledger)["a-2"], after_pause(ledger)["p-2"]) == (False, True)


def test_a_whole_tier_is_paused_by_what_its_members_spend_together() -> None:
    ledger = limited(tier_limit("5", basis="whole_tier"))
    ledger.usage(searches("a", 300), searches("b", 199, user_id="bob"), searches("p", 900, user_id="pam"))
    assert denied(ledger, "ann", "bob", "pam") == {"ann": (), "bob": (), "pam": ()}
    ledger.usage(searches("b-2", 1, user_id="bob"))  # 3.00 + 1.99 + 0.01 = 5.00
    assert [breach.scope for breach in ledger.breaches] == [TierScope(seat_tier="standard")]
    assert denied(ledger, "ann", "bob", "pam") == {"ann": ("tier_limit",), "bob": ("tier_limit",), "pam": ()}


def test_a_seat_change_moves_no_spend() -> None:
    ledger = limited(tier_limit("9", basis="whole_tier"), tier_limit("9", "premium", "whole_tier"))
    ledger.usage(searches("a", 300))
    ledger.commands(seat("premium"))
    ledger.usage(searches("b", 200))
    assert spend_cents(ledger, "tier_month", "acme", "2026-05", "standard") == 300
    assert spend_cents(ledger, "tier_month", "acme", "2026-05", "premium") == 200
    assert spend_cents(ledger, "member_month", "acme", "ann", "2026-05") == 300 + 200
    assert spend_cents(ledger, "organization_month", "acme", "2026-05") == 300 + 200
    assert asks(ledger).headroom_picousd == (900 - 200) * CENT


def test_a_seat_change_holds_a_member_to_the_new_seats_limit_at_once() -> None:
    ledger = limited(tier_limit("3"), tier_limit("5", "premium"))
    ledger.usage(searches("a", 300))
    ledger.commands(seat("premium"))
    assert asks(ledger).headroom_picousd == (500 - 300) * CENT
    ledger.commands(seat("standard"))
    assert asks(ledger).reasons == ("tier_limit",)
    assert [(type(event), event.cause) for event in ledger.limit_events] == [
        (LimitBreached, "usage"),
        (LimitResumed, "seat_changed"),
        (LimitBreached, "seat_changed"),
    ]


# One event.


def test_the_request_that_crosses_is_charged_whole() -> None:
    ledger = limited(user_limit("1"))
    ledger.usage(searches("a", 90), searches("b", 25), searches("c", 5))
    assert [row.cost_picousd for row in ledger.rows] == [90 * CENT, 25 * CENT, 5 * CENT]
    assert after_pause(ledger) == {"a": False, "b": False, "c": True}
    (breach,) = ledger.breaches
    assert breach.crossing is not None
    assert breach.crossing.event_id == "b"
    assert breach.overshoot_picousd == (90 + 25 - 100) * CENT
    assert spend_cents(ledger, "member_month", "acme", "ann", "2026-05") == 90 + 25 + 5


def test_one_event_that_crosses_three_scopes_publishes_user_tier_organisation_in_this_order() -> None:
    ledger = limited(set_limit("5"), tier_limit("5", basis="whole_tier"), user_limit("5"))
    ledger.usage(searches("a", 499), searches("b", 2), searches("c", 1))  # 4.99 + 0.02 = 5.01
    assert [breach.scope for breach in ledger.breaches] == [
        MemberScope(user_id="ann"),
        TierScope(seat_tier="standard"),
        OrganizationScope(),
    ]
    assert {breach.overshoot_picousd for breach in ledger.breaches} == {CENT}
    crossing, following = ledger.rows[1].org_seq, ledger.rows[2].org_seq
    first = [breach.org_seq for breach in ledger.breaches]
    assert first == [crossing + 1, crossing + 2, crossing + 3]
    assert first[-1] < following
    assert asks(ledger).reasons == ("org_limit", "tier_limit", "user_limit")


def test_one_event_that_jumps_over_several_thresholds_tells_each_once() -> None:
    ledger = limited(user_limit("10"))
    ledger.usage(searches("a", 499), searches("b", 302), searches("c", 1))  # 4.99, then 8.01 of 10.00
    assert told_percents(ledger) == [(50, 801 * CENT), (80, 801 * CENT)]
    ledger.usage(searches("d", 198), searches("e", 900))  # 8.02 + 1.98 = 10.00
    assert told_percents(ledger) == [(50, 801 * CENT), (80, 801 * CENT), (100, 1_000 * CENT)]


def told_percents(ledger: LedgerInMemory) -> list[tuple[int, int]]:
    told = [found for found in ledger.published("acme") if isinstance(found, ThresholdReached)]
    return [(notice.percent, notice.spend_picousd) for notice in told]


# Balance and switches.


def test_a_team_without_a_balance_is_paused_until_it_buys() -> None:
    ledger = LedgerInMemory()
    ledger.commands(register(plan="team"), set_credits(), add_member("ann"), at=MAY_BEGINS)
    assert asks(ledger) == Decision(False, ("balance",), 0, None)
    ledger.usage(searches("a", 200))  # it was consumed, so it is charged
    ledger.commands(said("confirm_payment", BILLING, command_id="pay", payment_id="p-1", amount_usd="5"))
    assert asks(ledger) == Decision(True, (), (500 - 200) * CENT, None)
    ledger.usage(searches("b", 299))
    assert asks(ledger).headroom_picousd == CENT
    ledger.usage(searches("c", 3), searches("d", 1))  # 0.01 - 0.03 = -0.02, and a cent more
    assert asks(ledger, at=JUNE_BEGINS) == Decision(False, ("balance",), 0, None)  # month end does not end it
    assert after_pause(ledger) == {"a": True, "b": False, "c": False, "d": True}
    pauses = [found for found in ledger.published("acme") if isinstance(found, CreditsPaused | CreditsResumed)]
    assert [(type(found), found.pause_number, found.balance_picousd) for found in pauses] == [
        (CreditsPaused, 1, 0),
        (CreditsResumed, 1, 300 * CENT),
        (CreditsPaused, 2, -2 * CENT),
    ]


def test_in_a_disabled_organisation_nobody_spends_and_what_comes_is_charged() -> None:
    ledger = limited(set_credits(False, command_id="off"))
    assert denied(ledger, "ann", "pam", "owner") == dict.fromkeys(("ann", "pam", "owner"), ("disabled",))
    ledger.usage(searches("a", 5), searches("included", 5, funding="included"))
    ledger.commands(set_credits(True, command_id="on"))
    assert asks(ledger).allowed
    ledger.usage(searches("b", 5))
    assert after_pause(ledger) == {"a": True, "included": False, "b": False}
    assert spend_cents(ledger, "organization_month", "acme", "2026-05") == 5 + 5
    assert ledger.limit_events == []


def test_a_removed_members_late_usage_is_charged_after_pause_and_breaches_nothing_of_theirs() -> None:
    ledger = limited(user_limit("5"))
    ledger.usage(searches("a", 400))
    ledger.commands(said("remove_member", command_id="bye", user_id="ann"))
    ledger.usage(searches("b", 300))
    assert after_pause(ledger) == {"a": False, "b": True}
    assert ledger.breaches == []
    assert asks(ledger).reasons == ("not_a_member",)
    assert spend_cents(ledger, "organization_month", "acme", "2026-05") == 400 + 300


# Requests.


def test_a_request_is_asked_reviewed_and_the_limit_grows() -> None:
    ledger = limited(add_member("ada", role="admin"), user_limit("5"))
    ledger.usage(searches("a", 500))
    assert asks(ledger).reasons == ("user_limit",)
    ledger.commands(said("request_credits", user("ann"), command_id="ask", kind="credits"))
    request_id = applied(ledger)["request_id"]
    ledger.commands(approval(request_id, "ada", "5", command_id="too-little"))
    refused = ledger.answers[-1]
    assert isinstance(refused, CommandRefused)
    assert refused.reason == "limit_not_above_spend"
    ledger.commands(approval(request_id, "ada", "8"))
    assert applied(ledger)["limit_usd"] == "8.00"
    assert applied(ledger)["still_denied_by"] == []
    assert asks(ledger).headroom_picousd == (800 - 500) * CENT
    assert [(resumed.cause, resumed.limit_picousd) for resumed in ledger.resumes] == [("limit_changed", 8 * DOLLAR)]
    ledger.usage(searches("b", 1))
    assert after_pause(ledger)["b"] is False


def test_an_approval_says_what_still_holds_the_member_back() -> None:
    ledger = limited(add_member("ada", role="admin"), user_limit("5"), set_limit("4"))
    ledger.usage(searches("a", 500))
    ledger.commands(said("request_credits", user("ann"), command_id="ask", kind="credits"))
    ledger.commands(approval(applied(ledger)["request_id"], "ada", "8"))
    assert applied(ledger)["still_denied_by"] == ["org_limit"]
    assert asks(ledger).reasons == ("org_limit",)


def approval(request_id: str, by: str, usd: str, command_id: str = "approve") -> Wire:
    return said("approve_request", user(by), command_id=command_id, request_id=request_id, limit_usd=usd)


def applied(ledger: LedgerInMemory) -> dict[str, Any]:
    """What the last command says it left."""
    answer = ledger.answers[-1]
    assert isinstance(answer, CommandApplied)
    return answer.after


# Corrections.


def test_a_correction_resumes_a_pause() -> None:
    ledger = limited(user_limit("5"))
    wrong = searches("a", 500)
    ledger.usage(wrong, searches("b", 1))
    assert asks(ledger).reasons == ("user_limit",)
    ledger.usage(correction("a-right", 200, wrong))  # 5.01 - 5.00 + 2.00 = 2.01
    assert [(row.event_id, row.cost_picousd) for row in ledger.rows[-2:]] == [
        ("a-right", -500 * CENT),
        ("a-right", 200 * CENT),
    ]
    (resumed,) = ledger.resumes
    assert (resumed.cause, resumed.spend_picousd) == ("correction", 201 * CENT)
    assert asks(ledger).headroom_picousd == (500 - 201) * CENT
    ledger.usage(searches("c", 1))
    assert after_pause(ledger)["c"] is False


def test_a_correction_of_a_correction_takes_back_the_right_row_of_the_first() -> None:
    ledger = limited(user_limit("5"))
    first = searches("a", 500)
    second = correction("a-2", 200, first)
    ledger.usage(first, second, correction("a-3", 600, second))
    assert [row.cost_picousd // CENT for row in ledger.rows] == [500, -500, 200, -200, 600]
    assert spend_cents(ledger, "member_month", "acme", "ann", "2026-05") == 500 - 500 + 200 - 200 + 600
    assert [(type(event), event.cause, event.episode) for event in ledger.limit_events] == [
        (LimitBreached, "usage", 1),
        (LimitResumed, "correction", 1),
        (LimitBreached, "correction", 2),
    ]
    ledger.usage(correction("a-4", 1, first))  # it was corrected before
    assert [letter.reason.value for letter in ledger.dead_letters] == ["already_corrected"]


# Months.


def test_prior_period_usage_counts_toward_no_limit() -> None:
    ledger = limited(user_limit("5"), tier_limit("5", basis="whole_tier"), set_limit("5"))
    ledger.wait_until(MAY_CLOSES)
    ledger.usage(searches("late", 9_900), searches("now", 499, occurred_at=MAY_CLOSES), at=MAY_CLOSES)
    assert [(row.usage_month, row.charge_month) for row in ledger.rows] == [(MAY, JUNE), (JUNE, JUNE)]
    assert ledger.limit_events == []
    assert asks(ledger, at=MAY_CLOSES).headroom_picousd == (500 - 499) * CENT
    assert ledger.cell("organization_month", "acme", "2026-06")["prior_period_picousd"] == str(9_900 * CENT)


# Many members.


@dataclass(kw_only=True)
class Watched(LedgerInMemory):
    """A ledger that notes how many breaches each transaction published; `on_commit` is called after each."""

    breaches_by_commit: list[int] = field(default_factory=list)
    dies_each_time: bool = False

    def _commit(self, effects: Effects, last_arrival_micros: int = 0) -> None:
        super()._commit(effects, last_arrival_micros)
        self.breaches_by_commit.append(len(effects.outputs.get("limit-breaches", ())))
        if self.dies_each_time:
            self.restart()


@pytest.mark.parametrize("dies", [False, True], ids=["in one life", "a new worker after each slice"])
def test_a_tiers_limit_for_1_000_members_is_looked_at_in_slices_before_the_next_record(dies: bool) -> None:
    people = [f"m-{number:04}" for number in range(1_000)]
    ledger = Watched()
    ledger.commands(register(), set_credits(), *map(add_member, people), at=MAY_BEGINS)
    ledger.usage([searches(f"e-{who}", 100, user_id=who) for who in people])
    for _ in range(1_000 // TOLD_AT_ONCE):
        ledger.idle(micros(NOON) + HELD_BACK_MICROS)  # so much spend is told a share at a time
    statuses = len(ledger.outputs["credit-status"])
    ledger.breaches_by_commit.clear()

    ledger.commands(tier_limit("1"))
    # The tier's own record denies everybody at once; the breaches are still to come.
    assert len(ledger.outputs["credit-status"]) - statuses <= 2
    for who in (people[0], people[-1]):
        assert ledger.decision_from_status("acme", who, micros(NOON)).reasons == ("tier_limit",)
    assert ledger.decision_from_status("acme", "owner", micros(NOON)).allowed  # spent nothing
    assert ledger.breaches_by_commit == [0]

    ledger.dies_each_time = dies
    ledger.usage(searches("next", 1, user_id=people[-1]))
    slices = [count for count in ledger.breaches_by_commit if count]
    assert slices == [SLICE_MEMBERS] * (1_000 // SLICE_MEMBERS)
    assert [breach.scope for breach in ledger.breaches] == [
        MemberScope(user_id=who, seat_tier="standard") for who in people
    ]
    assert {breach.at_micros for breach in ledger.breaches} == {micros(NOON)}
    row = ledger.rows[-1]
    assert (row.event_id, row.after_pause) == ("next", True)
    assert row.org_seq > max(breach.org_seq for breach in ledger.breaches)


def test_no_cell_is_larger_with_1_000_members_than_with_10() -> None:
    assert largest_cells(10) == largest_cells(1_000)


def largest_cells(members: int) -> dict[str, int]:
    """The bytes of the largest cell of each kind, after everybody spent, asked, and was limited, with a review open."""
    ledger = LedgerInMemory()
    org_id, people = "o" * 128, [f"{number:0128}" for number in range(members)]
    ours: Wire = {"org_id": org_id}
    ledger.commands(
        register(**ours),
        set_credits(**ours),
        *(add_member(who, command_id=f"add-{number:06}", **ours) for number, who in enumerate(people)),
        at=MAY_BEGINS,
    )
    ledger.usage(*(searches(f"e-{number:06}", 100, user_id=who, **ours) for number, who in enumerate(people)))
    assert ledger.dead_letters == []
    ledger.commands(
        *(
            wire
            for number, who in enumerate(people)
            for wire in (
                said("request_credits", user(who), command_id=f"ask-{number:06}", kind="credits", **ours),
                user_limit("0.50", who, command_id=f"own-{number:06}", **ours),
            )
        ),
        tier_limit("1", **ours),
    )
    largest: Counter[str] = Counter()
    for value in ledger.cells.values():
        cell = json.loads(value)
        for name, text in cell.items():
            # Numbers of more digits are no larger things: an answer's org_seq, a sum of money.
            if name in ("org_seq", "rows", "web_search_requests") or name.endswith("_picousd"):
                cell[name] = ""
            elif name == "answer":
                text["data"] = {**text["data"], "org_seq": 0}
        if cell["cell"] != "counters":
            largest[cell["cell"]] = max(largest[cell["cell"]], len(json.dumps(cell)))
    return dict(largest)


# Both ways of being told.


@pytest.mark.parametrize("seed", range(12))
def test_nobody_is_both_breached_and_admitted_nor_denied_for_a_limit_and_not_breached(seed: int) -> None:
    """What products are told by status, and what everybody is told by breaches and resumes, is the same."""
    chance, people = Random(seed), ("ann", "bob", "pam", "owner")
    ledger = limited(user_limit("4"), tier_limit("6"), tier_limit("6", "premium", "whole_tier"), set_limit("15"))
    seats = dict.fromkeys(people, "standard") | {"pam": "premium"}
    used: list[Wire] = []
    at, decisions = NOON, Counter[bool]()
    for step in range(150):
        at = later(at, hours=chance.randint(0, 9))[:-8] + "Z"
        who, cents = chance.choice(people), chance.choice((20, 90, 200))
        if chance.random() < 0.5:
            used.append(searches(f"e-{step}", cents, user_id=who, occurred_at=at))
            ledger.usage(used[-1], at=at)
        elif used and chance.random() < 0.3:
            wrong = used.pop(chance.randrange(len(used)))
            ledger.usage(correction(f"e-{step}", cents, wrong), at=at)
        else:
            usd, tier = chance.choice(("0.50", "2", "4", "8", "15", None)), chance.choice(("standard", "premium"))
            how: Wire = {"command_id": f"c-{step}", "this_month_only": chance.random() < 0.4}
            commands = [
                user_limit(usd, who, **how),
                tier_limit(usd, tier, chance.choice(("each_member", "whole_tier")), **how),
                set_limit(usd, **how),
                seat(tier, who, command_id=f"c-{step}"),
            ]
            ledger.commands(chosen := chance.choice(commands), at=at)
            if chosen["command"] == "assign_seat":
                seats[who] = tier
        ledger.wait_until(at)
        breached = standing_breaches(ledger, Month.containing(micros(at)))
        for one in people:
            mine = {"organization", f"tier {seats[one]}", f"member {one}"} & breached
            decision = ledger.decision_from_status("acme", one, micros(at))
            assert decision.allowed is not bool(mine), (seed, step, one, mine, decision)
            decisions[decision.allowed] += 1
    assert ledger.dead_letters == []
    assert min(decisions[True], decisions[False]) > 20


def standing_breaches(ledger: LedgerInMemory, month: Month) -> set[str]:
    """Who is paused in a month by what was published: breached and not resumed."""
    standing: dict[str, str] = {}
    for event in ledger.limit_events:
        scope = event.scope
        if event.month != month:
            continue
        if isinstance(event, LimitResumed):
            standing.pop(scope.model_dump_json(), None)
        elif isinstance(scope, MemberScope):
            standing[scope.model_dump_json()] = f"member {scope.user_id}"
        else:
            standing[scope.model_dump_json()] = (
                f"tier {scope.seat_tier}" if isinstance(scope, TierScope) else "organization"
            )
    return set(standing.values())
