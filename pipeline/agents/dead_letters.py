"""Dead letters: bytes that cannot be processed and the reason in; the record for `dead-letters` out (R16, R17)."""

import base64
import hashlib
from typing import Any, NamedTuple

from pipeline.agents.decoding import BadEvent
from pipeline.domain.compiled import Usage
from schemas.dead_letters import KEPT_BYTES, DeadLetter, Origin, Reason
from schemas.events import event_id
from schemas.usage import TOKEN_KINDS


class Found(NamedTuple):
    """Where and when the ledger came upon something it cannot process; origin and arrival are the first ones (R43)."""

    letter_id: str
    origin: Origin
    arrived_at_micros: int


def letter_id(topic: str, partition: int, offset: int, index: int) -> str:
    """The id of the dead letter of what lay there when it was judged, wherever it first lay.

    So what is redriven and refused again is another dead letter, and no header can give two of them the same id (R16).
    """
    return event_id("dead-letter", topic, partition, offset, index)


def of_usage(usage: Usage, raw: bytes, reason: Reason, detail: str, found: Found) -> DeadLetter:
    """The dead letter of an event that could be read."""
    tokens = sum(getattr(usage, f"{kind}_tokens") for kind in TOKEN_KINDS)
    facts = {"org_id": usage.org_id, "user_id": usage.user_id, "event_id": usage.event_id, "model": usage.model}
    return _dead_letter(raw, reason, detail, found, tokens, facts)


def of_bad_event(bad: BadEvent, found: Found) -> DeadLetter:
    """The dead letter of bytes that are no event, with what could still be read of them."""
    wire = bad.wire
    data = wire.get("data") if "specversion" in wire else wire
    fields: dict[str, Any] = data if isinstance(data, dict) else {}
    counts = (fields.get(f"{kind}_tokens") for kind in TOKEN_KINDS)
    tokens = sum(count for count in counts if type(count) is int and 0 < count < 2**53)
    facts = {
        "org_id": fields.get("org_id"),
        "user_id": fields.get("user_id"),
        "event_id": wire.get("id") if "specversion" in wire else fields.get("event_id"),
        "model": fields.get("model"),
    }
    return _dead_letter(bad.raw, bad.reason, bad.detail, found, tokens, facts)


def of_command(raw: bytes, reason: Reason, detail: str, found: Found) -> DeadLetter:
    """The dead letter of a command that cannot be read at all."""
    return _dead_letter(raw, reason, detail, found, 0, {})


def _dead_letter(
    raw: bytes, reason: Reason, detail: str, found: Found, tokens: int, facts: dict[str, Any]
) -> DeadLetter:
    def text(name: str) -> str | None:
        value = facts.get(name)
        return value[:128] if isinstance(value, str) else None

    return DeadLetter(
        dead_letter_id=found.letter_id,
        reason=reason,
        detail=detail[:1000],
        origin=found.origin,
        arrived_at_micros=found.arrived_at_micros,
        org_id=text("org_id"),
        user_id=text("user_id"),
        event_id=text("event_id"),
        model=text("model"),
        tokens=tokens,
        length_bytes=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        payload=base64.b64encode(raw[:KEPT_BYTES]).decode(),
    )
