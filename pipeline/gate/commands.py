"""A command over HTTP comes in; it goes to the ledger through Kafka, and the ledger's answer goes out.

The ledger alone decides, with its own roles (R1). An answer is given once the copy here has caught up with it: a caller
reads what they wrote. With the same `Idempotency-Key` a command is applied once, however often it is sent.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Header, Request, Response
from prometheus_client import Counter
from pydantic import Field, ValidationError

from pipeline.domain.permissions import PERMISSIONS
from pipeline.gate.access import is_member
from pipeline.gate.answers import LedgerAnswer
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, answered, documented, invalid, not_allowed
from pipeline.gate.resources import RESOURCES, Resource
from pipeline.logs import fields
from pipeline.sending import KafkaAway
from pipeline.topics import ACCOUNT_COMMANDS
from schemas.base import Identifier, Model
from schemas.commands import Actor, Command
from schemas.events import CommandApplied, CommandRefused, CommandRepeated
from schemas.instants import Instant

log = logging.getLogger(__name__)

COMMANDS = Counter("gate_commands", "Commands and what became of them", ["command", "outcome"])

router = APIRouter(tags=["commands"])
_NOT_OF_THE_BODY = {"command", "command_id", "org_id", "actor"}
_STATUS = {"not_allowed": 403, "amount_is_zero": 422, "internal_error": 503}
_SAID_TO_STRANGERS = {"unknown_organization", "not_allowed"}
_PARAMETER = re.compile(r"{(\w+)}")

IdempotencyKey = Annotated[
    Identifier | None,
    Header(description="Sent again with the same key and body, it is answered as the first time", examples=["k-1"]),
]


class Applied(Model):
    """The ledger applied it."""

    command_id: Identifier
    command: str
    org_id: Identifier
    org_seq: int = Field(description="rises with everything that happens in the organisation")
    at_micros: Instant = Field(alias="at")
    before: dict[str, Any] = Field(description="what it changed, as it was")
    after: dict[str, Any] = Field(description="and as it is now")
    repeated: bool = Field(description="this is the answer of the first time; nothing else happened")


async def applied(
    gate: Gate, caller: Actor, model: type[Command], given: dict[str, Any], key: str | None
) -> dict[str, Any]:
    """Give a command to the ledger; what it says when it has applied it, as JSON.

    Raises:
        Problem: 403, 404, 409, 422 if the ledger refuses; 503 and 504, with the command's id, if it does not answer.
    """
    command_id = _command_id(caller, key)
    name: str = model.model_fields["command"].default
    try:
        command = model.model_validate(
            given | {"command": name, "command_id": command_id, "actor": caller.model_dump()}
        )
    except ValidationError as error:
        raise invalid(error.errors()) from None
    why_not_ready = gate.why_not_ready()
    if why_not_ready is not None:
        raise Problem(503, "not_ready", why_not_ready, headers={"retry-after": "2"})
    until = asyncio.get_running_loop().time() + gate.settings.gate_answer_seconds
    answer = await _asked(gate, command, until)
    data = answer.data
    repeated = answer.type == CommandRepeated.TYPE
    said: dict[str, Any] = data["answer"] if repeated else {"type": answer.type, "data": data}
    outcome = said["data"]
    outcome_is = said["type"].rpartition(".")[2]
    COMMANDS.labels(name, outcome_is).inc()
    log.info(
        "command answered",
        extra=fields(**_who(command), answer=outcome_is, reason=outcome.get("reason"), org_seq=data["org_seq"]),
    )
    if said["type"] == CommandRefused.TYPE:
        raise _refused(gate, caller, command, outcome)
    assert said["type"] == CommandApplied.TYPE
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await gate.follower.reached(command.org_id, answer.partition, outcome["org_seq"])
    names = ("command", "org_id", "org_seq", "at", "before", "after")
    return {"command_id": command_id, **{field: outcome[field] for field in names}, "repeated": repeated}


async def _asked(gate: Gate, command: Command, until: float) -> LedgerAnswer:
    topic = gate.settings.topic_prefix + ACCOUNT_COMMANDS.name
    waiting = gate.desk.ask(command.org_id, command.command_id)
    try:
        await gate.sender.send(topic, command.org_id.encode(), [command.model_dump_json().encode()])
        async with asyncio.timeout_at(until):
            return await waiting
    except KafkaAway as away:
        log.warning("command not acknowledged by Kafka: %s", away, extra=fields(**_who(command)))
        detail = "Kafka has not acknowledged the command; send it again with the same Idempotency-Key"
        raise Problem(503, "kafka_away", detail, command_id=command.command_id, cause=str(away)) from None
    except TimeoutError:
        log.warning("command not answered by the ledger yet", extra=fields(**_who(command)))
        detail = "the ledger has not answered yet and still may; send it again with the same Idempotency-Key"
        raise Problem(504, "no_answer_yet", detail, command_id=command.command_id) from None
    finally:
        waiting.cancel()


def _who(command: Command) -> dict[str, str]:
    actor = command.actor
    return {
        "command_id": command.command_id,
        "command": command.command,
        "org_id": command.org_id,
        "actor": f"{actor.kind}:{actor.id}",
    }


def _command_id(caller: Actor, key: str | None) -> str:
    """Of one caller and one key always the same; no key of somebody else's makes it."""
    if key is None:
        return uuid4().hex
    return hashlib.sha256(f"{caller.kind} {caller.id} {key}".encode()).hexdigest()[:32]


def _refused(gate: Gate, caller: Actor, command: Command, outcome: dict[str, Any]) -> Problem:
    reason = outcome["reason"]
    if caller.kind == "user" and reason in _SAID_TO_STRANGERS and not is_member(gate, caller, command.org_id):
        # The same whether the organisation exists or not: by asking nobody learns which do.
        if PERMISSIONS[type(command)].role is None:
            return not_allowed("no member may do this")
        return not_allowed(f"{caller.id} is not a member of {command.org_id}")
    status = _STATUS.get(reason, 404 if reason.startswith("unknown_") else 409)
    return Problem(status, reason, outcome["detail"], command_id=command.command_id)


Endpoint = Callable[..., Coroutine[Any, Any, Response]]


def _endpoint(resource: Resource) -> Endpoint:
    in_path = _PARAMETER.findall(resource.path)
    numbers = {name for name in in_path if resource.command.model_fields[name].annotation is int}

    async def endpoint(
        request: Request, caller: Caller, gate: Parts, idempotency_key: IdempotencyKey = None
    ) -> Response:
        body = await _json_object(request)
        known = {field.alias or name for name, field in resource.command.model_fields.items()}
        extra = [name for name in body if name not in known or name in _NOT_OF_THE_BODY or name in in_path]
        if extra:
            raise Problem(422, "invalid", f"{extra[0]}: no field of this body")
        path: dict[str, Any] = dict(request.path_params)
        for name in numbers:
            if not path[name].isascii() or not path[name].isdigit() or len(path[name]) > 9:
                raise Problem(422, "invalid", f"{name}: not a whole number")
            path[name] = int(path[name])
        wire = await applied(gate, caller, resource.command, body | path, idempotency_key)
        return Response(msgspec.json.encode(wire), media_type="application/json")

    endpoint.__name__ = resource.command.__name__
    return endpoint


async def _json_object(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Problem(400, "malformed", "a JSON object is expected")
    return body


def _described(resource: Resource) -> dict[str, Any]:
    """What OpenAPI says of the path's parameters and the body."""
    schema = resource.command.model_json_schema(ref_template="#/components/schemas/{model}")
    in_path = _PARAMETER.findall(resource.path)
    fields = {n: s for n, s in schema["properties"].items() if n not in _NOT_OF_THE_BODY and n not in in_path}
    described: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema["properties"][name]} for name in in_path
        ]
    }
    allowed = PERMISSIONS[resource.command]
    described |= {"x-least-role": allowed.role} if allowed.role else {"x-scope": allowed.scope}
    if fields:
        required = [name for name in schema.get("required", ()) if name in fields]
        body: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
        content = {
            "application/json": {
                "schema": body | {"required": required},
            }
        }
        described["requestBody"] = {"required": bool(required), "content": content}
    return described


def _add_routes() -> None:
    for resource in RESOURCES:
        name: str = resource.command.model_fields["command"].default
        example = {
            "command_id": "9f2c",
            "command": name,
            "org_id": "northwind",
            "org_seq": 17,
            "at": "2026-05-10T12:00:00Z",
            "before": {},
            "after": {},
            "repeated": False,
        }
        router.add_api_route(
            resource.path,
            _endpoint(resource),
            methods=[resource.method],
            summary=name.replace("_", " ").capitalize(),
            description=resource.command.__doc__ or "",
            responses=answered(200, Applied, example) | documented(400, 401, 403, 404, 409, 413, 422, 429, 503, 504),
            openapi_extra=_described(resource),
            operation_id=name,
        )


_add_routes()
