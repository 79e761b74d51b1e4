"""An organisation and a member come in; whether the member may spend now goes out, from memory (R32, R33)."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Response
from prometheus_client import Counter
from pydantic import Field

from pipeline.gate.access import may_read_member, needs_scope
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, answered, documented, least
from pipeline.gate.turns import in_turns
from schemas.base import Identifier, Model
from schemas.instants import Instant, format_instant
from schemas.money import PICOUSD_PER_CENT, Picousd, usd_from_picousd
from schemas.status_copy import Answer, CannotTell

MOST_QUERIES = 1_000
_AT_ONCE = 200

DECISIONS = Counter("gate_admissions", "Answers about admission", ["answer"])
_ALLOWED, _DENIED, _CANNOT_TELL = (DECISIONS.labels(answer) for answer in ("allowed", "denied", "cannot_tell"))

router = APIRouter(tags=["admission"])

OrgId = Annotated[Identifier, Path(description="the organisation", examples=["northwind"])]
UserId = Annotated[Identifier, Path(description="the member", examples=["ada"])]


class AdmissionQuery(Model):
    """Who is asked about."""

    org_id: Identifier
    user_id: Identifier


class AdmissionQueries(Model):
    """Up to a thousand questions."""

    queries: Annotated[list[AdmissionQuery], Field(min_length=1, max_length=MOST_QUERIES)]


class AdmissionAnswer(Model):
    """Whether a member may spend credits now; null: it cannot be told (batch alone)."""

    org_id: Identifier
    user_id: Identifier
    allowed: bool | None = Field(examples=[False])
    reason: str | None = Field(description="the one to show first", examples=["user_limit"])
    reasons: list[str] = Field(examples=[["user_limit"]])
    headroom_picousd: Picousd | None = Field(description="what limits and balance leave, exactly; null: unbounded")
    headroom_usd: str | None = Field(description="the same, rounded down to cents", examples=["0.00"])
    ends_at_micros: Instant | None = Field(alias="ends_at", description="when a denial may end by itself")
    as_of_micros: Instant | None = Field(alias="as_of", description="ledger time it stands on")


class AdmissionAnswers(Model):
    """In the order of the questions."""

    answers: list[AdmissionAnswer]


_EXAMPLE = {
    "org_id": "northwind",
    "user_id": "ada",
    "allowed": False,
    "reason": "user_limit",
    "reasons": ["user_limit"],
    "headroom_picousd": "0",
    "headroom_usd": "0.00",
    "ends_at": "2026-06-01T00:00:00Z",
    "as_of": "2026-05-10T12:00:00Z",
}
_ANSWERED = answered(200, AdmissionAnswer, _EXAMPLE) | documented(401, 403, 422, 429, 503)
_encode = msgspec.json.Encoder().encode

PATH = "/v1/organizations/{org_id}/members/{user_id}/admission"


@router.get(
    PATH,
    responses=_ANSWERED,
    operation_id="getAdmission",
    openapi_extra=least("admin"),
)
async def admission(org_id: OrgId, user_id: UserId, caller: Caller, gate: Parts) -> Response:
    """May this member spend credits now? For products (`admission:read`), the member, and admins."""
    return _answer_one(gate, caller, org_id, user_id)


@router.post(
    PATH,
    responses=_ANSWERED,
    operation_id="askAdmission",
    openapi_extra=least("admin"),
)
async def ask_admission(org_id: OrgId, user_id: UserId, caller: Caller, gate: Parts) -> Response:
    """The same, for callers behind caches that cannot be told not to keep an answer."""
    return _answer_one(gate, caller, org_id, user_id)


@router.post(
    "/v1/admission",
    responses=answered(200, AdmissionAnswers, {"answers": [_EXAMPLE]}) | documented(401, 403, 413, 422, 429, 503),
    operation_id="askAdmissions",
)
async def admissions(asked: AdmissionQueries, caller: Caller, gate: Parts) -> Response:
    """Many at once, for products; 503 only where nothing can be told of anybody."""
    needs_scope(caller, "admission:read")
    if not gate.copy.is_whole:
        raise cannot_tell(CannotTell("the copy of credit-status is not whole yet"))
    answers = [_one_of_many(gate, query) async for query in in_turns(asked.queries, _AT_ONCE)]
    return _json(_encode({"answers": answers}))


def _answer_one(gate: Gate, caller: Caller, org_id: str, user_id: str) -> Response:
    if "admission:read" not in caller.scopes:
        may_read_member(gate, caller, org_id, user_id)
    return _json(answer_body(gate, org_id, user_id))


def answer_body(gate: Gate, org_id: str, user_id: str) -> bytes:
    """An AdmissionAnswer as JSON, to somebody who may ask.

    Raises:
        Problem: 503
    """
    try:
        return _encode(_wire(org_id, user_id, _look(gate, org_id, user_id)))
    except CannotTell as error:
        raise cannot_tell(error) from None


def _one_of_many(gate: Gate, query: AdmissionQuery) -> dict[str, Any]:
    try:
        return _wire(query.org_id, query.user_id, _look(gate, query.org_id, query.user_id))
    except CannotTell:
        names = ("reason", "headroom_picousd", "headroom_usd", "ends_at", "as_of")
        who = {"org_id": query.org_id, "user_id": query.user_id}
        return who | dict.fromkeys(names) | {"allowed": None, "reason": "cannot_tell", "reasons": ["cannot_tell"]}


def _look(gate: Gate, org_id: str, user_id: str) -> Answer:
    try:
        bound_micros = int(gate.settings.gate_as_of_seconds * 1_000_000)
        answer = gate.copy.admission(org_id, user_id, gate.now_micros(), bound_micros)
    except CannotTell:
        _CANNOT_TELL.inc()
        raise
    (_ALLOWED if answer.decision.allowed else _DENIED).inc()
    return answer


def _wire(org_id: str, user_id: str, answer: Answer) -> dict[str, Any]:
    allowed, reasons, headroom_picousd, ends_at_micros = answer.decision
    has_bound = headroom_picousd is not None
    return {
        "org_id": org_id,
        "user_id": user_id,
        "allowed": allowed,
        "reason": reasons[0] if reasons else None,
        "reasons": reasons,
        "headroom_picousd": str(headroom_picousd) if has_bound else None,
        "headroom_usd": in_cents(headroom_picousd) if headroom_picousd is not None else None,
        "ends_at": None if ends_at_micros is None else format_instant(ends_at_micros),
        "as_of": format_instant(answer.as_of_micros),
    }


def in_cents(picousd: int) -> str:
    """Dollars with two decimals, rounded down (R13)."""
    return usd_from_picousd(picousd // PICOUSD_PER_CENT * PICOUSD_PER_CENT)


def cannot_tell(error: CannotTell) -> Problem:
    """It does not allow by default (R33)."""
    return Problem(503, "cannot_tell", str(error), headers={"retry-after": "2"})


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
