"""Dead letters: records that cannot be processed, with the reason, where they lay and what they said (R16, R17)."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.base import Count, Model
from schemas.instants import Instant

KEPT_BYTES = 65_536
"""A dead letter holds at most this much of its record; redrive reads the rest at the origin."""

MAX_RECORD_BYTES = 1_000_000


class Reason(StrEnum):
    """Why; each names what would mend it."""

    MALFORMED = "malformed"  # not JSON, not an object, or empty
    TOO_LARGE = "too_large"  # over 1 MB a record, or an array of more than 10,000 events
    INVALID = "invalid"  # a field is missing, of the wrong type, negative, or no identifier
    UNKNOWN_FIELD = "unknown_field"
    COUNT_TOO_LARGE = "count_too_large"
    IN_THE_FUTURE = "in_the_future"  # more than 5 minutes ahead of its arrival
    TOO_OLD = "too_old"  # older than horizon_days at its first arrival
    UNKNOWN_ORGANIZATION = "unknown_organization"
    ORGANIZATION_CLOSED = "organization_closed"
    UNKNOWN_MEMBER = "unknown_member"
    UNKNOWN_MODEL = "unknown_model"
    UNPRICED = "unpriced"  # the model's price block does not list this combination
    CONFLICT = "conflict"  # the same identity with another payload
    UNKNOWN_ORIGINAL = "unknown_original"
    CORRECTION_MISMATCH = "correction_mismatch"
    ALREADY_CORRECTED = "already_corrected"
    INTERNAL_ERROR = "internal_error"  # a bug of ours


class Origin(Model):
    """Where an event first lay."""

    topic: str
    partition: Count
    offset: Count
    index: Count


class DeadLetter(Model):
    """One event, or one record that could not be taken apart. Bytes are base64."""

    dead_letter_id: str
    reason: Reason
    detail: str
    origin: Origin
    arrived_at_micros: Instant = Field(alias="arrived_at")
    org_id: str | None
    user_id: str | None
    event_id: str | None
    model: str | None
    tokens: Count
    length_bytes: Count
    sha256: str
    payload: str


class DeadLetterDecision(Model):
    """What an operator decided of a dead letter, once: written again to its input, or not to be taken at all (R16)."""

    dead_letter_id: str
    decision: Literal["redriven", "discarded"]
    by: str
    why: str | None
    at_micros: Instant = Field(alias="at")
