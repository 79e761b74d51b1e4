"""An organisation and the members on somebody's screen come in; what moves of them goes out, as it moves.

Server-sent events from the copy of credit-status: each carries what the query of the same thing answers. Where nothing
moved, one number is looked at a few times a second; who is no longer allowed to look on is told nothing more. However
many look on, most connections and most of the loop's time are left to products that ask for admission.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from pipeline.gate.access import may_read
from pipeline.gate.admission import OrgId
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, documented, least
from pipeline.gate.queries import member_answer, money_of, month_of, organization_answer
from schemas.base import Identifier
from schemas.commands import Actor
from schemas.organization import ROLES, SEAT_TIERS

router = APIRouter(tags=["queries"])

LOOK_SECONDS = 0.2
LONGEST_SECONDS = 900
"""Then the browser comes again, and shows once more who it is."""
MOST_STREAMS = 2_000
MOST_OF_ONE = 20
"""A stream is a tab."""
_SHARE = 0.2
"""Of the loop's time, what all streams together may take."""


async def _watching(org_id: OrgId, caller: Caller, gate: Parts) -> AsyncIterator[Actor]:
    """Who looks on, counted as long as the stream is open."""
    may_read(gate, caller, org_id, least="member")
    streams = gate.streams
    if streams.total() >= MOST_STREAMS or streams[caller.id] >= MOST_OF_ONE:
        detail = f"too many streams are open; one person may have {MOST_OF_ONE}"
        raise Problem(429, "too_many_streams", detail, headers={"retry-after": "5"})
    streams[caller.id] += 1
    try:
        yield caller
    finally:
        streams[caller.id] -= 1
        if not streams[caller.id]:
            del streams[caller.id]


@router.get(
    "/v1/organizations/{org_id}/live",
    response_class=EventSourceResponse,
    responses=documented(401, 403, 422, 429, 503),
    operation_id="watchOrganization",
    openapi_extra=least("member"),
)
async def live(
    org_id: OrgId,
    caller: Annotated[Actor, Depends(_watching)],
    gate: Parts,
    watch: Annotated[list[Identifier], Query(max_length=100, description="members to be told of, for admins")] = [],  # noqa: B006
) -> AsyncIterator[ServerSentEvent]:
    """Events `organization`, `member` (oneself and whom one watches), `seat_tier` and `requests`, first all of them."""
    told: dict[str, str] = {}
    watched = list(dict.fromkeys([caller.id, *watch]))
    loop = asyncio.get_running_loop()
    until = loop.time() + LONGEST_SECONDS
    seen: tuple[int, str] | None = None
    while not gate.is_stopping and loop.time() < until:
        try:
            may_read(gate, caller, org_id, least="member")
        except Problem:
            return
        rest_seconds = LOOK_SECONDS
        now = (gate.copy.moves(org_id), month_of(gate))
        if now != seen:
            seen = now
            began = time.perf_counter()
            facts = list(_facts(gate, org_id, caller.id, watched))
            rest_seconds = max(rest_seconds, (time.perf_counter() - began) * gate.streams.total() / _SHARE)
            for name, key, wire in facts:
                if told.get(key) != wire:
                    told[key] = wire
                    yield ServerSentEvent(event=name, raw_data=wire)
        await asyncio.sleep(rest_seconds)


def _facts(gate: Gate, org_id: str, caller_id: str, watched: list[str]) -> Iterator[tuple[str, str, str]]:
    """What the caller may see now: the event's name, what it is about, and what there is to say, as JSON."""
    me, organization = gate.copy.member(org_id, caller_id), gate.copy.organization(org_id)
    if me is None or organization is None:
        return
    yield "organization", "organization", organization_answer(gate, organization).model_dump_json(exclude={"as_of"})
    is_admin = ROLES.index(me.role) >= ROLES.index("admin")
    for user_id in watched if is_admin else (caller_id,):
        member = gate.copy.member(org_id, user_id)
        if member is not None:
            yield "member", f"member {user_id}", member_answer(gate, member).model_dump_json()
    if is_admin:
        month = month_of(gate)
        for name in SEAT_TIERS:
            tier = gate.copy.tier(org_id, name)
            if tier is not None:
                yield "seat_tier", name, json.dumps({"seat_tier": name, "basis": tier.basis} | money_of(tier, month))
        # The last one tells a request asked from one answered where both happened between two looks.
        asking = {"total": gate.copy.count_asking(org_id), "last": gate.copy.heard_last(org_id)}
        yield "requests", "requests", json.dumps(asking)
