"""Requests for credits or a Premium seat: asking and reviewing come in; what to set, and the daily digest, go out.

A member has one pending request at most. What an approver gives the caller sets, and switches the member's credits on.
Source: docs/rules.md R31, R35-R37.
"""

from typing import Literal

from pipeline.domain.refusals import Refused
from pipeline.domain.request_state import Request, RequestStatus
from pipeline.domain.state import Member, Organization, State
from schemas.events import event_id
from schemas.instants import MICROS_PER_DAY, MICROS_PER_HOUR, format_instant
from schemas.money import spend_for_people
from schemas.notifications import PendingRequest, RequestsDigest
from schemas.organization import RequestKind

Action = Literal["approve", "deny", "close"]
ClosedBecause = Literal["plan_changed", "seat_given", "limit_given", "member_removed", "organization_closed"]

PART_REQUESTS = 1_000
"""At most some 500 bytes each: a record of them stays below 900 kB."""

TRANSITIONS: dict[tuple[RequestStatus, Action], RequestStatus] = {
    ("pending", "approve"): "approved",
    ("pending", "deny"): "denied",
    ("pending", "close"): "closed",
}


def ask(
    state: State, organization: Organization, member: Member, kind: RequestKind, command_id: str, at_micros: int
) -> Request:
    """A member asks; one who asked before gets that request, with its own time and kind (R35).

    Raises:
        Refused: requests are switched off, the seat asked for is the one they have, or a command of this id asked long
            ago.
    """
    if not organization.requests_enabled:
        raise Refused("requests_disabled", f"{organization.org_id} takes no requests")
    pending = organization.requests.pending.get(member.user_id)
    if pending is not None:
        return pending
    if kind == "premium_seat" and member.seat_tier == "premium":
        raise Refused("already_on_premium", f"{member.user_id} has a Premium seat")
    request_id = event_id("request", organization.org_id, command_id)
    if request_id in organization.requests.by_id:
        raise Refused("command_id_reused", f"command {command_id} asked for something before; ids are used once")
    request = Request(
        org_id=organization.org_id,
        request_id=request_id,
        user_id=member.user_id,
        kind=kind,
        asked_at_micros=at_micros,
    )
    organization.requests.add(request)
    state.touch(request)
    state.tell(member)
    return request


def approve(
    state: State,
    organization: Organization,
    request_id: str,
    approver_id: str,
    limit_picousd: int | None,
    at_micros: int,
) -> Request:
    """An approver gives a user limit, or a seat where that is None; the caller sets it (R36).

    Raises:
        Refused: it is not pending, the approver's own, or would not let the member go on.
    """
    request = _to_end(organization, request_id, "approve")
    if request.user_id == approver_id:
        raise Refused("own_request", "nobody approves their own request")
    if not organization.credits_enabled:
        raise Refused("credits_disabled", f"credits of {organization.org_id} are off; an owner switches them on")
    spend = _spend_picousd(state, organization.members[request.user_id])
    if limit_picousd is not None and limit_picousd <= spend:
        raise Refused("limit_not_above_spend", f"{request.user_id} has spent {spend_for_people(spend)} this month")
    _end(state, organization, request, "approve", approver_id, at_micros)
    return request


def deny(state: State, organization: Organization, request_id: str, reviewer_id: str, at_micros: int) -> Request:
    """A reviewer says no; the member may ask again (R35).

    Raises:
        Refused: it is not pending.
    """
    request = _to_end(organization, request_id, "deny")
    _end(state, organization, request, "deny", reviewer_id, at_micros)
    return request


def close(state: State, organization: Organization, user_id: str, because: ClosedBecause, at_micros: int) -> None:
    """A member's pending request, if there is one, has become pointless (R31, R35)."""
    request = organization.requests.pending.get(user_id)
    if request is not None:
        _end(state, organization, request, "close", because, at_micros)


def close_all(state: State, organization: Organization, because: ClosedBecause, at_micros: int) -> None:
    """Every pending request has become pointless (R35)."""
    for request in organization.requests.outstanding():
        _end(state, organization, request, "close", because, at_micros)


# The digest.


def outstanding(state: State, organization: Organization) -> list[PendingRequest]:
    """What reviewers see: requester, seat, time asked, month to date, in the order asked (R36)."""
    return [
        PendingRequest(
            request_id=request.request_id,
            user_id=request.user_id,
            kind=request.kind,
            seat_tier=organization.members[request.user_id].seat_tier,
            asked_at_micros=request.asked_at_micros,
            spend_picousd=_spend_picousd(state, organization.members[request.user_id]),
        )
        for request in organization.requests.outstanding()
    ]


def digest(state: State, organization: Organization, set_hour_micros: int) -> list[RequestsDigest]:
    """The notices of the day whose set hour this is, in parts that fit a record; none where nothing waits (R37)."""
    waiting = outstanding(state, organization)
    if waiting:
        state.touch(organization)
    begins = range(0, len(waiting), PART_REQUESTS)
    return [
        RequestsDigest(
            org_id=organization.org_id,
            org_seq=organization.next_seq(),
            at_micros=set_hour_micros,
            day=format_instant(set_hour_micros)[:10],
            part=part,
            parts=len(begins),
            requests=tuple(waiting[begin : begin + PART_REQUESTS]),
        )
        for part, begin in enumerate(begins, start=1)
    ]


def last_set_hour_micros(hour: int, now_micros: int) -> int:
    """The last instant at or before now when it was this hour, UTC: days missed before it are not made up (R37)."""
    offset = hour * MICROS_PER_HOUR
    return (now_micros - offset) // MICROS_PER_DAY * MICROS_PER_DAY + offset


def next_set_hour_micros(hour: int, after_micros: int) -> int:
    """The first instant after that one when it is this hour, UTC."""
    return last_set_hour_micros(hour, after_micros) + MICROS_PER_DAY


def _spend_picousd(state: State, member: Member) -> int:
    month = member.months.get(state.calendar.month)
    return month.spend_picousd if month is not None else 0


def _to_end(organization: Organization, request_id: str, action: Action) -> Request:
    request = organization.requests.by_id.get(request_id)
    if request is None:
        raise Refused("unknown_request", f"there is no request {request_id}")
    if (request.status, action) not in TRANSITIONS:
        raise Refused("request_closed", f"request {request_id} is {request.status} already")
    return request


def _end(state: State, organization: Organization, request: Request, action: Action, by: str, at_micros: int) -> None:
    request.status = TRANSITIONS[request.status, action]
    request.ended_at_micros = at_micros
    request.ended_by = by
    del organization.requests.pending[request.user_id]
    state.touch(request)
    state.tell(organization.members[request.user_id])
