"""A change of a member's contact comes in; the ledger hears which fields change, then the contact is written (R37a).

The ledger's number of the command goes with each field, and the latest holds. So a change that was allowed, but not
written since a gate ended in between, is written when it is sent again with its Idempotency-Key; one that was
overtaken, or erased, meanwhile stays so. Nothing here is logged.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body

from pipeline.contacts import encoded
from pipeline.gate.access import may_read
from pipeline.gate.admission import OrgId, UserId
from pipeline.gate.commands import IdempotencyKey, applied
from pipeline.gate.parts import Caller, Gate, Parts
from pipeline.gate.problems import Problem, documented, least
from pipeline.sending import KafkaAway
from pipeline.topics import MEMBER_CONTACTS
from schemas.base import Model
from schemas.commands import ContactField, SetContact
from schemas.contacts import FIELDS, Contact, DisplayName, EmailAddress, Notices, contact_key

router = APIRouter(tags=["contacts"])

PATH = "/v1/organizations/{org_id}/members/{user_id}/contact"
_WRITTEN = documented(400, 401, 403, 404, 409, 413, 422, 429, 503, 504)


class ContactChange(Model):
    """What is to change; null takes it away, what is not named stays, `notices` is set as a whole."""

    email: EmailAddress | None = None
    display_name: DisplayName | None = None
    notices: Notices | None = None


class ContactAnswer(Model):
    """A member's contact as it is now."""

    org_id: str
    user_id: str
    email: str | None
    display_name: str | None
    notices: Notices


_EXAMPLE = {"email": "mia@example.com", "display_name": "Mia Ilves", "notices": {"thresholds": False}}


@router.get(
    PATH, responses=documented(401, 403, 404, 422, 429, 503), operation_id="getContact", openapi_extra=least("owner")
)
async def contact(org_id: OrgId, user_id: UserId, caller: Caller, gate: Parts) -> ContactAnswer:
    """How a member is reached; for themselves and owners."""
    is_self = caller.kind == "user" and caller.id == user_id
    may_read(gate, caller, org_id, least="member" if is_self else "owner")
    _ready(gate)
    if gate.copy.member(org_id, user_id) is None:
        raise Problem(404, "unknown_member", f"{user_id} was never a member of {org_id}")
    return _answer(org_id, user_id, gate.contacts.copy.contact(org_id, user_id))


@router.patch(PATH, responses=_WRITTEN, operation_id="set_contact", openapi_extra=least("owner"))
async def change_contact(
    org_id: OrgId,
    user_id: UserId,
    caller: Caller,
    gate: Parts,
    asked: Annotated[ContactChange, Body(openapi_examples={"change": {"value": _EXAMPLE}})],
    idempotency_key: IdempotencyKey = None,
) -> ContactAnswer:
    """Change what is named; of oneself, or of others by owners."""
    said = {name: getattr(asked, name) for name in FIELDS if name in asked.model_fields_set}
    if not said:
        raise Problem(422, "invalid", f"the body names none of {', '.join(FIELDS)}")
    if asked.notices is None and "notices" in said:
        said["notices"] = Notices()
    return await _set(gate, caller, org_id, user_id, said, idempotency_key)


@router.delete(PATH, responses=_WRITTEN, operation_id="erase_contact", openapi_extra=least("owner"))
async def erase_contact(
    org_id: OrgId, user_id: UserId, caller: Caller, gate: Parts, idempotency_key: IdempotencyKey = None
) -> ContactAnswer:
    """Forget all of it; of oneself, or of others by owners, of removed members too."""
    nothing = Contact()
    said = {name: getattr(nothing, name) for name in FIELDS}
    return await _set(gate, caller, org_id, user_id, said, idempotency_key)


async def _set(
    gate: Gate, caller: Caller, org_id: str, user_id: str, said: dict[ContactField, Any], key: str | None
) -> ContactAnswer:
    _ready(gate)
    given = {"org_id": org_id, "user_id": user_id, "fields": list(said)}
    outcome = await applied(gate, caller, SetContact, given, key)
    org_seq: int = outcome["org_seq"]
    update: dict[str, Any] = {"changed": dict.fromkeys(said, org_seq), **{name: said[name] for name in said}}
    change = Contact().model_copy(update=update)
    held = gate.contacts.copy.contact(org_id, user_id)
    for name, value in said.items():
        if held.changed.get(name) == org_seq and getattr(held, name) != value:
            raise Problem(409, "command_id_reused", f"with this Idempotency-Key {name} was set to something else")
    try:
        async with asyncio.timeout(gate.settings.gate_answer_seconds):
            return _answer(org_id, user_id, await _written(gate, org_id, user_id, change))
    except (KafkaAway, TimeoutError):
        detail = "it is allowed, but not known to be written; send it again with the same Idempotency-Key"
        raise Problem(503, "kafka_away", detail, command_id=outcome["command_id"]) from None


async def _written(gate: Gate, org_id: str, user_id: str, change: Contact) -> Contact:
    """Write until the last record says all that any record says: another gate may write at the same time."""
    copy, topic = gate.contacts.copy, gate.settings.topic_prefix + MEMBER_CONTACTS.name
    while True:
        held = copy.contact(org_id, user_id)
        wanted = held.merged(change)
        if wanted == held and not copy.is_overtaken(org_id, user_id):
            return held
        value, headers = encoded(wanted)
        (at,) = await gate.sender.send(topic, contact_key(org_id, user_id), [value], headers)
        await gate.contacts.taken(at.partition, at.offset)


def _ready(gate: Gate) -> None:
    if not gate.contacts.is_whole:
        raise Problem(503, "not_ready", "the copy of member-contacts is not whole yet", headers={"retry-after": "2"})


def _answer(org_id: str, user_id: str, held: Contact) -> ContactAnswer:
    return ContactAnswer(
        org_id=org_id, user_id=user_id, email=held.email, display_name=held.display_name, notices=held.notices
    )
