"""Who asks comes in; where they belong, the seat tiers and the requests that wait go out, from the copy."""

import asyncio
from collections import Counter

from fastapi import APIRouter, Request, Response
from pydantic import Field

from pipeline.gate.access import may_read
from pipeline.gate.admission import OrgId
from pipeline.gate.member_pages import runs_of
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, documented, least
from pipeline.gate.queries import Money, money_of, month_of
from pipeline.gate.standing import spend_of
from schemas.base import Model
from schemas.money import usd_from_picousd
from schemas.organization import SEAT_TIERS
from schemas.status_copy import TierRecord

router = APIRouter(tags=["queries"])


class Membership(Model):
    """Somebody in one organisation."""

    org_id: str
    role: str


class Me(Model):
    """Who asks."""

    user_id: str
    memberships: list[Membership]
    csrf_token: str | None = Field(description="of a session: what changes must bring as X-CSRF-Token")


class TierAnswer(Money):
    """A seat tier as it is now."""

    seat_tier: str
    members: int
    basis: str = Field(description="each_member: the limit is every member's own; whole_tier: it pools them")


class TiersAnswer(Model):
    """Both tiers."""

    seat_tiers: list[TierAnswer]


class PendingAnswer(Model):
    """A request as its reviewers see it (R36)."""

    request_id: str
    user_id: str
    display_name: str | None = Field(description="where one is known")
    kind: str | None
    seat_tier: str
    asked_at: str
    spend_usd: str


class PendingsAnswer(Model):
    """Those that wait, the longest waiting first."""

    requests: list[PendingAnswer]
    total: int


@router.get("/v1/me", responses=documented(401, 403, 429, 503), operation_id="getMe")
async def me(request: Request, response: Response, caller: Caller, gate: Parts) -> Me:
    """Who am I, and where? By session this renews it: the answer brings another cookie."""
    if caller.kind != "user":
        raise Problem(403, "not_allowed", "a service belongs nowhere")
    if not gate.copy.is_whole:
        raise Problem(503, "not_ready", "the copy of credit-status is not whole yet", headers={"retry-after": "2"})
    session = None if "authorization" in request.headers else gate.sessions.read(request, gate.now())
    if session is not None:
        gate.sessions.renew(response, session, gate.now())
    found = await asyncio.to_thread(gate.copy.memberships, caller.id)
    return Me(
        user_id=caller.id,
        memberships=[Membership(org_id=member.org_id, role=member.role) for member in found],
        csrf_token=gate.sessions.csrf_token(session) if session is not None else None,
    )


_MONEY = documented(401, 403, 404, 422, 429, 503)


@router.get(
    "/v1/organizations/{org_id}/seat-tiers",
    responses=_MONEY,
    operation_id="listSeatTiers",
    openapi_extra=least("admin"),
)
async def seat_tiers(org_id: OrgId, caller: Caller, gate: Parts) -> TiersAnswer:
    """Standard and Premium: members, spend, limit and what it means; for admins and above."""
    may_read(gate, caller, org_id, least="admin", scope="billing:write")
    counted = await asyncio.to_thread(_count, gate, org_id)
    return TiersAnswer(seat_tiers=tiers_of(gate, org_id, counted))


def tiers_of(gate: Gate, org_id: str, counted: Counter[str]) -> list[TierAnswer]:
    """Both tiers, also where nothing was ever set or spent."""
    month = month_of(gate)
    found = [
        gate.copy.tier(org_id, name) or TierRecord(org_id=org_id, org_seq=0, seat_tier=name) for name in SEAT_TIERS
    ]
    return [
        TierAnswer(**money_of(tier, month), seat_tier=tier.seat_tier, members=counted[tier.seat_tier], basis=tier.basis)
        for tier in found
    ]


def _count(gate: Gate, org_id: str) -> Counter[str]:
    runs = runs_of(gate.copy.members(org_id))
    return Counter(member.seat_tier for run in runs for member in run if not member.removed)


@router.get(
    "/v1/organizations/{org_id}/credit-requests/pending",
    responses=_MONEY,
    operation_id="listPendingCreditRequests",
    openapi_extra=least("admin"),
)
async def pending(org_id: OrgId, caller: Caller, gate: Parts) -> PendingsAnswer:
    """The requests that wait for a review, at most a thousand; for admins and above."""
    may_read(gate, caller, org_id, least="admin")
    month = month_of(gate)
    asking = gate.copy.asking(org_id)
    shown = [
        PendingAnswer(
            request_id=member.request_id,
            user_id=member.user_id,
            display_name=gate.contacts.copy.display_name(org_id, member.user_id),
            kind=member.request_kind,
            seat_tier=member.seat_tier,
            asked_at=member.asked_at,
            spend_usd=usd_from_picousd(spend_of(member, month)),
        )
        for member in asking[:1_000]
    ]
    return PendingsAnswer(requests=shown, total=len(asking))
