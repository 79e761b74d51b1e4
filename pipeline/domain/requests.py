"""Requests for credits or a Premium seat: asking and reviewing come in; what to set, and the daily digest, go out.

A member has one pending request at most. Approving answers what the approver gave; the caller sets it, and switches
the member's credits on. Source: docs/rules.md R31, R35-R37.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pipeline.domain.refusals import Refused
from pipeline.domain.state import Cell, Member, Organization, State
from schemas.base import SeatTier
from schemas.events import event_id
from schemas.instants import MICROS_PER_DAY, MICROS_PER_HOUR, format_instant
from schemas.money import spend_for_people
from schemas.notifications import PendingRequest, RequestsDigest
from schemas.organization import RequestKind

RequestStatus = Literal["pending", "approved", "denied", "closed"]
Action = Literal["approve", "deny", "close"]
ClosedBecause = Literal["plan_changed", "seat_given", "limit_given", "member_removed"]

TRANSITIONS: dict[tuple[RequestStatus, Action], RequestStatus] = {
    ("pending", "approve"): "approved",
    ("pending", "deny"): "denied",
    ("pending", "close"): "closed",
}


class Request(Cell):
    """A member's request and what became of it; `ended_by` is who reviewed it, or why it was closed."""

    __slots__ = (
        "asked_at_micros",
        "ended_at_micros",
        "ended_by",
        "kind",
        "number",
        "org_id",
        "request_id",
        "status",
        "user_id",
    )
    KIND = "request"
    IDENTITY = ("org_id", "request_id")
    FIELDS = ("number", "user_id", "kind", "asked_at_micros", "status", "ended_at_micros", "ended_by")
    DEFAULTS: ClassVar[dict[str, Any]] = {"status": "pending", "ended_at_micros": None, "ended_by": None}

    org_id: str
    request_id: str
    number: int
    user_id: str
    kind: RequestKind
    asked_at_micros: int
    status: RequestStatus
    ended_at_micros: int | None
    ended_by: str | None


class Requests:
    """All requests of one organisation, and the pending one of each member."""

    def __init__(self, restored: Iterable[Request] = ()) -> None:
        self.by_id = {request.request_id: request for request in restored}
        self.pending = {request.user_id: request for request in self.by_id.values() if request.status == "pending"}

    def outstanding(self) -> list[Request]:
        """Those pending, in the order they were asked."""
        return sorted(self.pending.values(), key=lambda request: request.number)


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approver gave: a user limit or a seat; the member's credits are switched on either way."""

    request: Request
    limit_picousd: int | None
    seat_tier: SeatTier | None


def ask(
    state: State,
    organization: Organization,
    requests: Requests,
    member: Member,
    kind: RequestKind,
    at_micros: int,
    *,
    enabled: bool,
) -> Request:
    """A member asks; one who asked before gets that request, with its own time and kind (R35).

    Raises:
        Refused: requests are switched off, the plan has none, or the seat asked for is the one they have.
    """
    if organization.plan != "enterprise":
        raise Refused("not_on_enterprise", "on Team there is nothing to ask for: credits are bought by owners")
    if not enabled:
        raise Refused("requests_disabled", f"{organization.org_id} takes no requests")
    pending = requests.pending.get(member.user_id)
    if pending is not None:
        return pending
    if kind == "premium_seat" and member.seat_tier == "premium":
        raise Refused("already_on_premium", f"{member.user_id} has a Premium seat")
    number = len(requests.by_id) + 1
    request = Request(
        org_id=organization.org_id,
        request_id=event_id("usage-credits.request", organization.org_id, number),
        number=number,
        user_id=member.user_id,
        kind=kind,
        asked_at_micros=at_micros,
    )
    requests.by_id[request.request_id] = requests.pending[request.user_id] = request
    state.touch(request)
    return request


def approve(
    state: State,
    organization: Organization,
    requests: Requests,
    request_id: str,
    approver_id: str,
    at_micros: int,
    *,
    limit_picousd: int | None = None,
    seat_tier: SeatTier | None = None,
) -> Approved:
    """An approver gives a user limit or a Premium seat, whichever was asked for (R36).

    Raises:
        Refused: it is not pending, the approver's own, or would not let the member go on.
    """
    assert (limit_picousd is None) != (seat_tier is None), "a request is granted by one thing"
    request = _to_end(requests, request_id, "approve")
    if request.user_id == approver_id:
        raise Refused("own_request", "nobody approves their own request")
    if not organization.credits_enabled:
        raise Refused("credits_disabled", f"credits of {organization.org_id} are off; an owner switches them on")
    member = organization.members[request.user_id]
    if seat_tier == "standard":
        raise Refused("not_a_premium_seat", "a request is granted by a limit or by a Premium seat")
    if seat_tier == "premium" and member.seat_tier == "premium":
        raise Refused("already_on_premium", f"{request.user_id} has a Premium seat")
    spend = _spend_picousd(state, member)
    if limit_picousd is not None and limit_picousd <= spend:
        raise Refused("limit_not_above_spend", f"{request.user_id} has spent {spend_for_people(spend)} this month")
    _end(state, requests, request, "approve", approver_id, at_micros)
    return Approved(request, limit_picousd, seat_tier)


def deny(state: State, requests: Requests, request_id: str, reviewer_id: str, at_micros: int) -> Request:
    """A reviewer says no; the member may ask again (R35).

    Raises:
        Refused: it is not pending.
    """
    request = _to_end(requests, request_id, "deny")
    _end(state, requests, request, "deny", reviewer_id, at_micros)
    return request


def close(state: State, requests: Requests, user_id: str, because: ClosedBecause, at_micros: int) -> Request | None:
    """A member's pending request has become pointless; the one that was closed, if there was one (R31, R35)."""
    request = requests.pending.get(user_id)
    if request is not None:
        _end(state, requests, request, "close", because, at_micros)
    return request


def close_all(state: State, requests: Requests, because: ClosedBecause, at_micros: int) -> list[Request]:
    """Every pending request has become pointless: the organisation went to Team (R35)."""
    closed = requests.outstanding()
    for request in closed:
        _end(state, requests, request, "close", because, at_micros)
    return closed


# The digest.


def outstanding(state: State, organization: Organization, requests: Requests) -> list[PendingRequest]:
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
        for request in requests.outstanding()
    ]


def digest(state: State, organization: Organization, requests: Requests, set_hour_micros: int) -> RequestsDigest | None:
    """The mail of the day whose set hour this is; none where nothing is outstanding (R37)."""
    waiting = outstanding(state, organization, requests)
    if not waiting:
        return None
    state.touch(organization)
    return RequestsDigest(
        org_id=organization.org_id,
        org_seq=organization.next_seq(),
        at_micros=set_hour_micros,
        day=format_instant(set_hour_micros)[:10],
        requests=tuple(waiting),
    )


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


def _to_end(requests: Requests, request_id: str, action: Action) -> Request:
    request = requests.by_id.get(request_id)
    if request is None:
        raise Refused("unknown_request", f"there is no request {request_id}")
    if (request.status, action) not in TRANSITIONS:
        raise Refused("request_closed", f"request {request_id} is {request.status} already")
    return request


def _end(state: State, requests: Requests, request: Request, action: Action, by: str, at_micros: int) -> None:
    request.status = TRANSITIONS[request.status, action]
    request.ended_at_micros = at_micros
    request.ended_by = by
    del requests.pending[request.user_id]
    state.touch(request)
