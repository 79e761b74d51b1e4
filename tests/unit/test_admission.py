"""Admission: every reason with both sides of its boundary, their order, the end of a month (R32)."""

from itertools import combinations
from timeit import repeat
from typing import Any

import pytest

from schemas.admission import Decision, DenialReason, decide
from schemas.organization import SEAT_TIERS
from schemas.status import MemberStatus, OrganizationStatus, TierStatus
from tests.support.builders import CENT_PICOUSD, DOLLAR_PICOUSD, NOON, micros

AT = micros(NOON)
MAY, JUNE = "2026-05", "2026-06"
END_OF_MAY, END_OF_JUNE = micros("2026-06-01T00:00:00Z"), micros("2026-07-01T00:00:00Z")
USD = DOLLAR_PICOUSD


def organization(**fields: Any) -> OrganizationStatus:
    usual: dict[str, Any] = {"org_id": "acme", "org_seq": 1, "plan": "enterprise", "credits_enabled": True}
    return OrganizationStatus(**usual | {"month": MAY} | fields)


def team(balance_picousd: int = 100 * USD, **fields: Any) -> OrganizationStatus:
    return organization(plan="team", balance_picousd=balance_picousd, **fields)


def tier(**fields: Any) -> TierStatus:
    return TierStatus(**{"org_id": "acme", "org_seq": 1, "seat_tier": SEAT_TIERS[0], "month": MAY} | fields)


def member(**fields: Any) -> MemberStatus:
    return MemberStatus(**{"org_id": "acme", "org_seq": 1, "user_id": "ann", "month": MAY} | fields)


def reasons(*of: Any, at: int = AT) -> tuple[DenialReason, ...]:
    return decide(*of, at).reasons


def test_nothing_bounds_whom_nothing_bounds() -> None:
    assert decide(organization(), tier(), member(), AT) == Decision(True, (), None, None)
    assert decide(organization(), None, member(), AT) == Decision(True, (), None, None)
    assert decide(organization(), None, member(), AT).reason is None


# One reason at a time.

ONE: list[tuple[Any, Any, Any, tuple[DenialReason, ...]]] = [
    # What billing and owners switch.
    (organization(status="suspended"), None, member(), ("suspended",)),
    (organization(status="closed"), None, member(), ("suspended",)),
    (organization(credits_enabled=False), None, member(), ("disabled",)),
    (organization(credits_enabled=False), None, member(credits_enabled=True), ("disabled",)),
    (organization(), None, member(credits_enabled=False), ("disabled",)),
    (organization(), None, member(credits_enabled=True), ()),
    (organization(member_default=False), None, member(), ("disabled",)),
    (organization(member_default=False), None, member(credits_enabled=True), ()),
    (organization(member_default=False), None, member(credits_enabled=False), ("disabled",)),
    # Who is no member.
    (None, None, None, ("not_a_member",)),
    (None, tier(), member(), ("not_a_member",)),
    (organization(), None, None, ("not_a_member",)),
    (organization(), None, member(removed=True), ("not_a_member",)),
    (organization(member_default=False), None, None, ("not_a_member",)),
    (organization(), None, member(removed=True, credits_enabled=False), ("not_a_member",)),
    (organization(), None, member(removed=True, limit_picousd=0), ("not_a_member",)),
    (organization(), tier(limit_picousd=0, basis="whole_tier"), member(removed=True), ("not_a_member",)),
    # The balance, on Team alone.
    (team(1), None, member(), ()),
    (team(0), None, member(), ("balance",)),
    (team(-1), None, member(), ("balance",)),
    (organization(balance_picousd=-1), None, member(), ()),
    # The organisation's limit.
    (organization(spend_picousd=5 * USD - 1, limit_picousd=5 * USD), None, member(), ()),
    (organization(spend_picousd=5 * USD, limit_picousd=5 * USD), None, member(), ("org_limit",)),
    (organization(spend_picousd=0, limit_picousd=0), None, member(), ("org_limit",)),
    (team(spend_picousd=5 * USD, limit_picousd=5 * USD), None, member(), ("org_limit",)),
    # The tier's limit on each member: compared with the member's spend, whatever the tier's.
    (organization(), tier(limit_picousd=5, spend_picousd=9), member(spend_picousd=4), ()),
    (organization(), tier(limit_picousd=5, spend_picousd=9), member(spend_picousd=5), ("tier_limit",)),
    (organization(), tier(limit_picousd=0), member(), ("tier_limit",)),
    (team(), tier(limit_picousd=0), member(), ()),
    # The tier's limit on all together: compared with what was spent in the tier.
    (organization(), tier(limit_picousd=5, spend_picousd=4, basis="whole_tier"), member(spend_picousd=9), ()),
    (organization(), tier(limit_picousd=5, spend_picousd=5, basis="whole_tier"), member(), ("tier_limit",)),
    (team(), tier(limit_picousd=5, spend_picousd=5, basis="whole_tier"), member(), ()),
    # The member's own limit: in place of the tier's on each member, beside the one on all.
    (organization(), None, member(limit_picousd=5, spend_picousd=4), ()),
    (organization(), None, member(limit_picousd=5, spend_picousd=5), ("user_limit",)),
    (team(), None, member(limit_picousd=5, spend_picousd=5), ("user_limit",)),
    (organization(), tier(limit_picousd=3), member(limit_picousd=5, spend_picousd=4), ()),
    (organization(), tier(limit_picousd=3), member(limit_picousd=5, spend_picousd=5), ("user_limit",)),
    (organization(), tier(limit_picousd=9), member(limit_picousd=5, spend_picousd=5), ("user_limit",)),
    (organization(), tier(limit_picousd=0, basis="whole_tier"), member(limit_picousd=5), ("tier_limit",)),
]


@pytest.mark.parametrize(("of", "of_tier", "of_member", "expected"), ONE)
def test_what_holds_is_named(of: Any, of_tier: Any, of_member: Any, expected: tuple[DenialReason, ...]) -> None:
    decision = decide(of, of_tier, of_member, AT)
    assert decision.reasons == expected
    assert decision.allowed is (expected == ())
    assert decision.reason == (expected[0] if expected else None)


# All together, in their order.

HOLDS: dict[DenialReason, tuple[str, dict[str, Any]]] = {
    "suspended": ("organization", {"status": "suspended"}),
    "disabled": ("organization", {"credits_enabled": False}),
    "org_limit": ("organization", {"limit_picousd": 1, "spend_picousd": 1}),
    "tier_limit": ("tier", {"limit_picousd": 1, "spend_picousd": 1, "basis": "whole_tier"}),
    "user_limit": ("member", {"limit_picousd": 1, "spend_picousd": 1}),
}


@pytest.mark.parametrize("held", [held for n in range(1, 6) for held in combinations(HOLDS, n)], ids="+".join)
def test_every_reason_that_holds_is_named_in_order_on_enterprise(held: tuple[DenialReason, ...]) -> None:
    fields: dict[str, dict[str, Any]] = {"organization": {}, "tier": {}, "member": {}}
    for reason in held:
        of, which = HOLDS[reason]
        fields[of] |= which
    of_all = organization(**fields["organization"]), tier(**fields["tier"]), member(**fields["member"])
    assert reasons(*of_all) == held


def test_every_reason_that_holds_is_named_in_order_on_team() -> None:
    of = team(0, status="suspended", credits_enabled=False, limit_picousd=1, spend_picousd=1)
    assert reasons(of, None, member(limit_picousd=0)) == ("suspended", "disabled", "balance", "org_limit", "user_limit")
    assert reasons(of, None, None) == ("suspended", "disabled", "not_a_member", "balance", "org_limit")


# The end of a month.


@pytest.mark.parametrize(
    ("of", "of_tier", "of_member"),
    [
        (organization(limit_picousd=5, spend_picousd=5), None, member()),
        (organization(), tier(limit_picousd=5, spend_picousd=5, basis="whole_tier"), member()),
        (organization(), tier(limit_picousd=5), member(spend_picousd=5)),
        (organization(), None, member(limit_picousd=5, spend_picousd=5)),
    ],
    ids=["organization", "whole tier", "each member", "member"],
)
def test_with_the_month_ends_what_was_spent_in_it(of: Any, of_tier: Any, of_member: Any) -> None:
    last = decide(of, of_tier, of_member, END_OF_MAY - 1)
    assert (last.allowed, last.headroom_picousd, last.ends_at_micros) == (False, 0, END_OF_MAY)
    assert decide(of, of_tier, of_member, END_OF_MAY) == Decision(True, (), 5, None)


@pytest.mark.parametrize(
    ("of", "of_tier", "of_member"),
    [
        (organization(limit_picousd=5, raise_picousd=8, raise_month=MAY, spend_picousd=7), None, member()),
        (organization(), tier(limit_picousd=5, raise_picousd=8, raise_month=MAY), member(spend_picousd=7)),
        (organization(), None, member(limit_picousd=5, raise_picousd=8, raise_month=MAY, spend_picousd=7)),
        # A raise of one's own stands in for the tier's limit, and gives way to it.
        (organization(), tier(limit_picousd=5), member(raise_picousd=8, raise_month=MAY, spend_picousd=7)),
    ],
    ids=["organization", "each member", "member", "member over tier"],
)
def test_with_the_month_a_raise_falls_back(of: Any, of_tier: Any, of_member: Any) -> None:
    assert decide(of, of_tier, of_member, END_OF_MAY - 1) == Decision(True, (), 8 - 7, None)
    assert decide(of, of_tier, of_member, END_OF_MAY) == Decision(True, (), 5, None)
    once_more = [record and record.model_copy(update={"month": JUNE}) for record in (of, of_tier, of_member)]
    assert not decide(once_more[0], once_more[1], once_more[2], END_OF_MAY).allowed  # 7 spent of 5


def test_a_limit_lifted_for_a_month_binds_again_after_it() -> None:
    lifted = organization(limit_picousd=5, raise_picousd=None, raise_month=MAY, spend_picousd=7)
    assert decide(lifted, None, member(), AT).headroom_picousd is None
    assert decide(lifted, None, member(), END_OF_MAY).headroom_picousd == 5


def test_a_raise_without_spend_in_its_month_holds() -> None:
    raised = member(month="2026-04", spend_picousd=9, limit_picousd=5, raise_picousd=8, raise_month=MAY)
    assert decide(organization(), None, raised, AT).headroom_picousd == 8


def test_an_asker_whose_clock_is_a_moment_behind_is_told_what_holds_now() -> None:
    in_june = member(month=JUNE, limit_picousd=5, spend_picousd=5)
    assert reasons(organization(), None, in_june, at=END_OF_MAY - 1) == ("user_limit",)
    raised = member(month=JUNE, limit_picousd=5, raise_picousd=8, raise_month=JUNE, spend_picousd=5)
    assert decide(organization(), None, raised, END_OF_MAY - 1).headroom_picousd == 8 - 5


def test_who_never_spent_has_spent_nothing() -> None:
    assert decide(organization(), None, member(month="", limit_picousd=5), AT).headroom_picousd == 5


# When it may end.

ENDS: list[tuple[Any, Any, Any, int | None]] = [
    (organization(limit_picousd=5, spend_picousd=5), None, member(limit_picousd=1, spend_picousd=1), END_OF_MAY),
    (organization(limit_picousd=5, spend_picousd=5, status="suspended"), None, member(), None),
    (organization(limit_picousd=5, spend_picousd=5, credits_enabled=False), None, member(), None),
    (organization(limit_picousd=5, spend_picousd=5), None, None, None),
    (team(0, limit_picousd=5, spend_picousd=5), None, member(), None),
    (team(0), None, member(), None),
    (None, None, None, None),
    # A limit of 0 is reached in the next month, too.
    (organization(limit_picousd=0), None, member(), None),
    (organization(limit_picousd=0, raise_picousd=5, raise_month=MAY, spend_picousd=5), None, member(), None),
    (organization(limit_picousd=5, spend_picousd=5), None, member(limit_picousd=0), None),
    (organization(), tier(limit_picousd=0), member(raise_picousd=5, raise_month=MAY, spend_picousd=5), None),
]


@pytest.mark.parametrize(("of", "of_tier", "of_member", "ends_at_micros"), ENDS)
def test_it_may_end_with_the_month_where_only_limits_hold(
    of: Any, of_tier: Any, of_member: Any, ends_at_micros: int | None
) -> None:
    decision = decide(of, of_tier, of_member, AT)
    assert (decision.allowed, decision.ends_at_micros) == (False, ends_at_micros)


def test_it_ends_with_the_month_in_which_it_is_asked() -> None:
    spent = organization(limit_picousd=5, spend_picousd=5, month=JUNE)
    assert decide(spent, None, member(), END_OF_MAY).ends_at_micros == END_OF_JUNE


# Headroom.

HEADROOM: list[tuple[Any, Any, Any, int | None]] = [
    (organization(limit_picousd=9 * USD, spend_picousd=2 * USD), None, member(), (9 - 2) * USD),
    (team(CENT_PICOUSD), None, member(), CENT_PICOUSD),
    (team(3, limit_picousd=9, spend_picousd=2), None, member(limit_picousd=8, spend_picousd=1), 3),
    (team(9, limit_picousd=8, spend_picousd=2), None, member(limit_picousd=8, spend_picousd=3), 8 - 3),
    (organization(limit_picousd=9), tier(limit_picousd=4, basis="whole_tier"), member(limit_picousd=5), 4),
    (organization(limit_picousd=9), tier(limit_picousd=4), member(limit_picousd=5), 5),
    (organization(limit_picousd=5, spend_picousd=7), None, member(), 0),
    (team(-3), None, member(), 0),
    (organization(credits_enabled=False, limit_picousd=5), None, member(), 5),  # once they are switched on
    (organization(credits_enabled=False), None, member(), None),
    (organization(limit_picousd=5), None, None, 0),
    (team(), None, member(removed=True), 0),
    (None, None, None, 0),
]


@pytest.mark.parametrize(("of", "of_tier", "of_member", "headroom_picousd"), HEADROOM)
def test_headroom_is_the_least_that_limits_and_balance_leave(
    of: Any, of_tier: Any, of_member: Any, headroom_picousd: int | None
) -> None:
    assert decide(of, of_tier, of_member, AT).headroom_picousd == headroom_picousd


@pytest.mark.parametrize("limit_picousd", [9, 1], ids=["allowed", "denied"])
def test_a_decision_takes_microseconds(limit_picousd: int) -> None:
    of = organization(limit_picousd=limit_picousd, spend_picousd=2), tier(limit_picousd=5), member(spend_picousd=1)
    best_seconds = min(repeat(lambda: decide(*of, AT), number=1_000, repeat=20)) / 1_000
    assert best_seconds < 25e-6  # 2 to 5 µs where nothing else runs; building a model in it would be seen
