"""Usage over HTTP comes in; usage-events in Kafka, acknowledged, and what was wrong with which event, go out.

Bare events and CloudEvents (structured, batched, binary), judged by the very code the ledger judges with. What is
refused here is told to the caller and becomes no dead letter. Source: docs/rules.md R9, R14, R14a, R17, R43.
"""

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Query, Request
from prometheus_client import Counter
from pydantic import Field

from pipeline.agents.decoding import MAX_EVENTS_PER_RECORD, BadEvent, decode_event
from pipeline.domain.compiled import Usage
from pipeline.gate.access import needs_scope
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, answered, documented
from pipeline.gate.turns import in_turns
from pipeline.sending import KafkaAway
from pipeline.topics import USAGE_EVENTS
from schemas.base import Model
from schemas.dead_letters import MAX_RECORD_BYTES, Reason
from schemas.instants import MICROS_PER_DAY, MICROS_PER_MINUTE

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
PLAIN = "application/json"

_AHEAD_MICROS = 5 * MICROS_PER_MINUTE
_RECORD_BYTES = 900_000
_RECORD_EVENTS = 500
_AT_ONCE = 250

EVENTS = Counter("gate_events", "Usage events sent to the gate", ["outcome"])
_TAKEN = EVENTS.labels("taken")

router = APIRouter(tags=["ingest"])
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class EventProblem(Model):
    """One event that was not taken."""

    index: int = Field(description="where it stands in the request, from 0")
    code: str = Field(examples=["count_too_large"])
    detail: str


class Taken(Model):
    """What became of the events; those taken lie in Kafka."""

    taken: int
    problems: list[EventProblem]


_EVENT = {
    "org_id": "northwind",
    "user_id": "ada",
    "event_id": "req-1",
    "product": "chat",
    "model": "claude-sonnet-4-6",
    "occurred_at": "2026-05-10T12:00:00Z",
    "funding": "credits",
    "input_tokens": 1_000,
    "output_tokens": 200,
}
_CLOUD_EVENT = {
    "specversion": "1.0",
    "type": "usage-credits.usage.v1",
    "id": "req-1",
    "source": "chat",
    "time": "2026-05-10T12:00:00Z",
    "data": {name: value for name, value in _EVENT.items() if name not in ("event_id", "occurred_at")},
}
_OBJECT: dict[str, Any] = {"type": "object"}
_BODY = {
    "required": True,
    "content": {
        PLAIN: {
            "schema": {"oneOf": [_OBJECT, {"type": "array", "items": _OBJECT, "maxItems": MAX_EVENTS_PER_RECORD}]},
            "examples": {
                "one": {"summary": "A bare event", "value": _EVENT},
                "many": {"summary": "Several", "value": [_EVENT]},
            },
        },
        STRUCTURED: {"schema": _OBJECT, "example": _CLOUD_EVENT},
        BATCHED: {
            "schema": {"type": "array", "items": _OBJECT, "maxItems": MAX_EVENTS_PER_RECORD},
            "example": [_CLOUD_EVENT],
        },
    },
}


@router.post(
    "/v1/events",
    status_code=202,
    response_model=Taken,
    responses=answered(202, Taken, {"taken": 1, "problems": []}) | documented(400, 401, 403, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": _BODY},
    operation_id="postEvents",
)
async def events(
    request: Request,
    caller: Caller,
    gate: Parts,
    atomic: Annotated[
        Literal["true", "false"], Query(description="true: all of them, or, if one is wrong, none")
    ] = "false",
) -> Taken:
    """Usage events of any organisations, from products (`usage:write`). Up to 10,000, or 5 MB.

    202 when Kafka has acknowledged those that were taken. Sending an event again is harmless: its identity is
    (`org_id`, `source`, `event_id`). 400 if none could be taken.
    """
    needs_scope(caller, "usage:write")
    raws = events_of(request, await request.body())
    good, problems = await _judged(raws, gate.now_micros(), gate.settings.horizon_days * MICROS_PER_DAY)
    for problem in problems:
        EVENTS.labels(problem.code).inc()
    if problems and (atomic == "true" or not good):
        found = [problem.model_dump() for problem in problems]
        detail = f"event {problems[0].index}: {problems[0].detail}"
        raise Problem(400, "invalid_events", detail, taken=0, problems=found)
    await _send(gate, good)
    _TAKEN.inc(len(good))
    return Taken(taken=len(good), problems=problems)


def events_of(request: Request, body: bytes) -> list[bytes]:
    """The bytes of each event of a request.

    Raises:
        Problem: 400, 413 or 415: the request holds no events at all.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == STRUCTURED:
        return [body]
    if media_type not in (PLAIN, BATCHED):
        raise Problem(415, "unknown_media_type", f"{media_type or 'none'}: send {PLAIN}, {STRUCTURED} or {BATCHED}")
    if media_type == PLAIN and "ce-specversion" in request.headers:
        return [_from_headers(request, body)]
    if body.lstrip(b" \t\r\n")[:1] != b"[":
        if media_type == BATCHED:
            raise Problem(400, "malformed", "a batch is a JSON array")
        return [body]
    try:
        raws = _split(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"not JSON: {error}") from None
    if len(raws) > MAX_EVENTS_PER_RECORD:
        raise Problem(413, "too_large", f"{len(raws):,} events; {MAX_EVENTS_PER_RECORD:,} are allowed")
    return list(map(bytes, raws))


def _from_headers(request: Request, body: bytes) -> bytes:
    """A binary CloudEvent, put together."""
    # Other attributes and extensions mean nothing here (R14a).
    attributes = {
        name: unquote(request.headers[f"ce-{name}"])
        for name in ("specversion", "id", "source", "type", "time")
        if f"ce-{name}" in request.headers
    }
    try:
        return _encode(attributes | {"data": msgspec.json.decode(body, type=msgspec.Raw)})
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"not JSON: {error}") from None


async def _judged(
    raws: list[bytes], now_micros: int, horizon_micros: int
) -> tuple[list[tuple[str, bytes]], list[EventProblem]]:
    good: list[tuple[str, bytes]] = []
    problems: list[EventProblem] = []
    async for index, raw in in_turns(enumerate(raws), _AT_ONCE):
        event = decode_event(raw) if len(raw) <= MAX_RECORD_BYTES else None
        if event is None:
            wrong: tuple[Reason, str] | None = (Reason.TOO_LARGE, f"{len(raw):,} bytes")
        elif isinstance(event, BadEvent):
            wrong = (event.reason, event.detail)
        else:
            wrong = _out_of_time(event, now_micros, horizon_micros)
            if wrong is None:
                good.append((event.org_id, raw))
                continue
        assert wrong is not None
        problems.append(EventProblem(index=index, code=wrong[0].value, detail=wrong[1]))
    return good, problems


def _out_of_time(event: Usage, now_micros: int, horizon_micros: int) -> tuple[Reason, str] | None:
    late_micros = now_micros - event.occurred_at_micros
    if late_micros < -_AHEAD_MICROS:
        return Reason.IN_THE_FUTURE, f"occurred_at {event.occurred_at} is more than 5 minutes ahead"
    if late_micros > horizon_micros:
        return (
            Reason.TOO_OLD,
            f"occurred_at {event.occurred_at} is more than {horizon_micros // MICROS_PER_DAY} days ago",
        )
    return None


async def _send(gate: Gate, good: list[tuple[str, bytes]]) -> None:
    by_organization: dict[str, list[bytes]] = {}
    for org_id, raw in good:
        by_organization.setdefault(org_id, []).append(raw)
    topic = gate.settings.topic_prefix + USAGE_EVENTS.name
    try:
        await asyncio.gather(
            *(gate.sender.send(topic, org_id.encode(), records(raws)) for org_id, raws in by_organization.items())
        )
    except KafkaAway as away:
        detail = "Kafka has not acknowledged all of them; send them again: none counts twice"
        raise Problem(503, "kafka_away", detail, headers={"retry-after": "2"}, cause=str(away)) from None


def records(raws: list[bytes]) -> list[bytes]:
    """Events of one organisation as few records, in order: one each, or arrays that Kafka takes (R17)."""
    found: list[bytes] = []
    begin = size = 0
    for index, raw in enumerate(raws):
        if index > begin and (size + len(raw) > _RECORD_BYTES or index - begin == _RECORD_EVENTS):
            found.append(_record(raws[begin:index]))
            begin, size = index, 0
        size += len(raw) + 1
    return [*found, _record(raws[begin:])]


def _record(raws: list[bytes]) -> bytes:
    # An event alone stays as it came: in an array the longest would be too long.
    return raws[0] if len(raws) == 1 else b"[" + b",".join(raws) + b"]"
