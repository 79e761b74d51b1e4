"""Requests for credits or a Premium seat: who may ask, what a review needs, what the digest says (R31, R35-R37)."""

import json
from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import pytest

from pipeline.domain import requests as rules
from pipeline.domain.refusals import Refused
from pipeline.domain.request_state import Request, Requests, RequestStatus
from pipeline.domain.state import Member, MemberMonth, Organization, State
from schemas.base import SeatTier
from schemas.notifications import PendingRequest, RequestsDigest
from schemas.organization import RequestKind
from tests.support.builders import NOON, later, micros
from tests.support.wallets import usd

EIGHT = "2026-05-10T08:00:00Z"


class Desk:
    """`acme` on Enterprise with credits on; `ann` and `bob` on Standard seats, `ada` reviews."""

    def __init__(self, *, plan: str = "enterprise", enabled: bool = True) -> None:
        self.state = State()
        self.state.calendar.month = "2026-05"
        self.organization = Organization(org_id="acme", plan=plan, credits_enabled=True)
        for user_id, role in (("ann", "member"), ("bob", "member"), ("ada", "admin")):
            member = Member(org_id="acme", user_id=user_id, role=role, seat_tier="standard")
            self.organization.members[user_id] = member
        self.organization.requests_enabled = enabled
        self.requests = self.organization.requests
        self.asked = 0

    def ask(self, user_id: str = "ann", kind: RequestKind = "credits", at: str = NOON) -> Request:
        member = self.organization.members[user_id]
        self.asked += 1
        return rules.ask(self.state, self.organization, member, kind, f"c-{self.asked}", micros(at))

    def approve(self, request_id: str, *, by: str = "ada", limit: str | int | None = None) -> Request:
        amount = None if limit is None else usd(limit)
        return rules.approve(self.state, self.organization, request_id, by, amount, micros(NOON))

    def deny(self, request_id: str, *, by: str = "ada") -> Request:
        return rules.deny(self.state, self.organization, request_id, by, micros(NOON))

    def close(self, user_id: str = "ann", because: rules.ClosedBecause = "seat_given") -> Request | None:
        before = self.requests.pending.get(user_id)
        rules.close(self.state, self.organization, user_id, because, micros(NOON))
        return before

    def spent(self, dollars: str | int, user_id: str = "ann", month: str = "2026-05") -> None:
        own = MemberMonth(org_id="acme", user_id=user_id, month=month, spend_picousd=usd(dollars))
        self.organization.members[user_id].months[month] = own

    def seat(self, seat_tier: SeatTier, user_id: str = "ann") -> None:
        self.organization.members[user_id].seat_tier = seat_tier

    def digest(self, at: str = EIGHT) -> list[RequestsDigest]:
        return rules.digest(self.state, self.organization, micros(at))


def refused(reason: str, act: Callable[..., Any], *what: Any, **how: Any) -> None:
    with pytest.raises(Refused) as refusal:
        act(*what, **how)
    assert (refusal.value.reason, bool(str(refusal.value))) == (reason, True)


# Asking.


def test_a_request_says_who_asked_for_what_and_when() -> None:
    request = Desk().ask("ann", "premium_seat")
    assert (request.user_id, request.kind, request.asked_at_micros, request.status) == (
        "ann",
        "premium_seat",
        micros(NOON),
        "pending",
    )


@pytest.mark.parametrize("again", get_args(RequestKind))
def test_asking_again_returns_the_first_request_with_its_first_time_and_kind(again: RequestKind) -> None:
    desk = Desk()
    first = desk.ask("ann", "credits")
    assert desk.ask("ann", again, later(NOON, hours=1)) is first
    assert (first.kind, first.asked_at_micros) == ("credits", micros(NOON))


def test_each_member_has_a_request_of_their_own() -> None:
    desk = Desk()
    assert desk.ask("ann").request_id != desk.ask("bob").request_id


def test_a_premium_seat_is_for_those_who_have_none() -> None:
    desk = Desk()
    desk.seat("premium")
    refused("already_on_premium", desk.ask, "ann", "premium_seat")
    assert desk.ask("ann", "credits").status == "pending"


@pytest.mark.parametrize("end", ["approve", "deny", "close"])
def test_after_an_end_a_new_request_may_be_made(end: str) -> None:
    desk = Desk()
    first = desk.ask()
    ended(desk, first, end)
    second = desk.ask(at=later(NOON, hours=1))
    assert second.request_id != first.request_id
    assert (second.status, second.asked_at_micros) == ("pending", micros(NOON) + 3_600_000_000)


# Reviewing.


@pytest.mark.parametrize(("limit", "fits"), [("9.99", False), (10, False), ("10.01", True)])
def test_a_limit_that_is_given_lies_above_the_month_to_date(limit: str | int, fits: bool) -> None:
    desk = Desk()
    desk.spent(10)
    desk.spent(99, month="2026-04")
    request = desk.ask()
    if fits:
        desk.approve(request.request_id, limit=limit)
    else:
        refused("limit_not_above_spend", desk.approve, request.request_id, limit=limit)
    assert request.status == ("approved" if fits else "pending")


def test_a_limit_of_0_lets_nobody_go_on() -> None:
    desk = Desk()
    refused("limit_not_above_spend", desk.approve, desk.ask().request_id, limit=0)


def test_nobody_approves_their_own() -> None:
    desk = Desk()
    request = desk.ask("ada")
    refused("own_request", desk.approve, request.request_id, limit=10)
    assert desk.approve(request.request_id, by="owner", limit=10).status == "approved"


def test_a_request_nobody_made() -> None:
    desk = Desk()
    refused("unknown_request", desk.approve, "r-1", limit=10)
    refused("unknown_request", desk.deny, "r-1")


def test_closing_ends_the_pending_request_of_that_member_alone() -> None:
    desk = Desk()
    anns, bobs = desk.ask("ann"), desk.ask("bob")
    assert desk.close("ann", "member_removed") is anns
    assert (anns.status, anns.ended_by, bobs.status) == ("closed", "member_removed", "pending")
    assert desk.close("ann") is None


def ended(desk: Desk, request: Request, action: str) -> None:
    if action == "approve":
        desk.approve(request.request_id, limit=10)
    elif action == "deny":
        desk.deny(request.request_id)
    else:
        desk.close(request.user_id)


@pytest.mark.parametrize(("status", "action"), [*product(get_args(RequestStatus), get_args(rules.Action))])
def test_every_action_on_every_status(status: RequestStatus, action: rules.Action) -> None:
    desk = Desk()
    request = desk.ask()
    if status != "pending":
        ended(desk, request, {"approved": "approve", "denied": "deny", "closed": "close"}[status])
    after = {"approve": "approved", "deny": "denied", "close": "closed"}[action]
    assert rules.TRANSITIONS.get((status, action)) == (after if status == "pending" else None)
    if status == "pending":
        ended(desk, request, action)
        assert request.status == after
    elif action == "close":
        assert desk.close() is None
        assert request.status == status
    else:
        refused("request_closed", ended, desk, request, action)
        assert request.status == status


# What reviewers see.


def test_the_digest_holds_all_outstanding_requests_in_the_order_asked() -> None:
    desk = Desk()
    bobs, anns = desk.ask("bob", "premium_seat"), desk.ask("ann")
    desk.spent("12.34")
    desk.deny(desk.ask("ada").request_id)
    (digest,) = desk.digest()
    assert digest == RequestsDigest(
        org_id="acme",
        org_seq=1,
        at_micros=micros(EIGHT),
        day="2026-05-10",
        requests=(
            PendingRequest(
                request_id=bobs.request_id,
                user_id="bob",
                kind="premium_seat",
                seat_tier="standard",
                asked_at_micros=micros(NOON),
                spend_picousd=0,
            ),
            PendingRequest(
                request_id=anns.request_id,
                user_id="ann",
                kind="credits",
                seat_tier="standard",
                asked_at_micros=micros(NOON),
                spend_picousd=usd("12.34"),
            ),
        ),
    )
    assert RequestsDigest.model_validate_json(digest.model_dump_json()) == digest


def test_nothing_outstanding_no_mail_and_no_number_taken() -> None:
    desk = Desk()
    desk.deny(desk.ask().request_id)
    assert desk.digest() == []
    assert desk.organization.org_seq == 0


@pytest.mark.parametrize(
    ("now", "last", "following"),
    [
        ("2026-05-10T07:59:59.999999Z", "2026-05-09T08:00:00Z", "2026-05-10T08:00:00Z"),
        ("2026-05-10T08:00:00Z", "2026-05-10T08:00:00Z", "2026-05-11T08:00:00Z"),
        ("2026-05-31T23:00:00Z", "2026-05-31T08:00:00Z", "2026-06-01T08:00:00Z"),
    ],
)
def test_the_set_hour_comes_once_a_day(now: str, last: str, following: str) -> None:
    assert rules.last_set_hour_micros(8, micros(now)) == micros(last)
    assert rules.next_set_hour_micros(8, micros(now)) == micros(following)


# Cells.


def _restored(request: Request) -> Request:
    value = request.value()
    assert value is not None
    fields = json.loads(value)
    assert fields.pop("cell") == "request"
    restored = Request.restored(fields)
    assert isinstance(restored, Request)
    return restored


def test_where_requests_are_off_nobody_asks_and_pending_ones_are_reviewed() -> None:
    desk = Desk()
    pending = desk.ask("ann")
    desk.organization.requests_enabled = False
    refused("requests_disabled", desk.ask, "bob")
    assert desk.approve(pending.request_id, limit=10).status == "approved"


def test_approving_notes_who_did_and_when() -> None:
    desk = Desk()
    request = desk.ask("ann", "premium_seat")
    assert desk.approve(request.request_id, limit=25) is request  # either may be granted, whichever was asked for
    assert (request.status, request.ended_by, request.ended_at_micros) == ("approved", "ada", micros(NOON))


def test_approving_never_switches_the_organisation_on() -> None:
    desk = Desk()
    request = desk.ask()
    desk.organization.credits_enabled = False
    refused("credits_disabled", desk.approve, request.request_id, limit=10)
    assert request.status == "pending"


def test_a_move_to_team_closes_all() -> None:
    desk = Desk()
    asked = [desk.ask("bob"), desk.ask("ann")]
    rules.close_all(desk.state, desk.organization, "plan_changed", micros(NOON))
    assert [(request.status, request.ended_by) for request in asked] == [("closed", "plan_changed")] * 2
    assert desk.requests.outstanding() == []


def test_requests_are_restored_in_any_order() -> None:
    desk = Desk()
    anns, bobs = desk.ask("ann"), desk.ask("bob")
    desk.deny(anns.request_id)
    again = Requests()
    for request in reversed(list(desk.requests.by_id.values())):
        fields = json.loads(request.value() or b"")
        del fields["cell"]
        again.add(Request.restored(fields))
    assert [request.request_id for request in again.outstanding()] == [bobs.request_id]
    assert again.by_id[anns.request_id].value() == anns.value()


def test_many_requests_make_a_digest_in_parts_that_fit_a_record() -> None:
    desk = Desk()
    people = [f"{number:0128d}" for number in range(rules.PART_REQUESTS + 1)]
    for user_id in people:
        desk.organization.members[user_id] = Member(org_id="acme", user_id=user_id, role="member", seat_tier="standard")
        desk.ask(user_id)
    first, second = desk.digest()
    assert [(part.part, part.parts, len(part.requests)) for part in (first, second)] == [(1, 2, 1_000), (2, 2, 1)]
    assert {request.user_id for part in (first, second) for request in part.requests} == set(people)
    assert max(len(part.model_dump_json()) for part in (first, second)) < 900_000
    assert first.identity() != second.identity()


def test_a_command_id_from_long_ago_cannot_ask_again() -> None:
    desk = Desk()
    first = desk.ask()
    desk.deny(first.request_id)
    desk.asked = 0
    with pytest.raises(Refused, match="ids are used once"):
        desk.ask(at=later(NOON, hours=24 * 40))
    assert desk.requests.by_id == {first.request_id: first}
