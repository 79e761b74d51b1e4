"""Credit status: what the ledger holds of an organisation, a seat tier, a member; a record each on `credit-status`.

A product keeps its own copy and answers admission from it (schemas/admission.py). Values are plain JSON without what
equals its default; money is digits, months are text that sorts by time. Source: docs/rules.md R33, R34.
"""

import json
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from schemas.base import Count, Identifier, Model, OptionalIdentifier, SeatTier, quoted
from schemas.instants import Instant
from schemas.money import Picousd
from schemas.organization import Basis, OrganizationState, Plan, RequestKind, Role

MonthOrNone = Annotated[str, StringConstraints(pattern=r"^(\d{4}-(0[1-9]|1[0-2]))?$")]
"""`2026-01`, or empty, which sorts before every month."""

InstantOrNone = Annotated[str, StringConstraints(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z)?$")]
"""`2026-01-31T12:00:00Z`, or empty."""


class StatusRecord(Model):
    """One thing's status; its key is its kind and its identity."""

    KIND: ClassVar[str]
    IDENTITY: ClassVar[tuple[str, ...]]

    def key(self) -> bytes:
        """The key under which the topic keeps the latest."""
        return status_key(self.KIND, *(getattr(self, name) for name in self.IDENTITY))

    def value(self) -> bytes:
        """The record as JSON."""
        return self.model_dump_json(exclude_defaults=True).encode()


class LimitedStatus(StatusRecord):
    """What is spent, and up to what.

    `spend_picousd` is that of `month`, the last month in which there was any; later months have none yet.
    In `raise_month` `raise_picousd` stands in for `limit_picousd` (R23); null is unlimited, for both.
    """

    org_id: Identifier
    org_seq: Count
    month: MonthOrNone = ""
    spend_picousd: Picousd = 0
    limit_picousd: Picousd | None = None
    limit_version: Count = 0
    raise_picousd: Picousd | None = None
    raise_month: MonthOrNone = ""


class OrganizationStatus(LimitedStatus):
    """An organisation; the balance counts on Team alone."""

    KIND: ClassVar[str] = "org"
    IDENTITY: ClassVar[tuple[str, ...]] = ("org_id",)

    plan: Plan
    status: OrganizationState = "active"
    credits_enabled: bool = False
    member_default: bool = True
    requests_enabled: bool = True
    balance_picousd: Picousd = 0


class TierStatus(LimitedStatus):
    """A seat tier: what was spent in it, and its limit, which `basis` explains (R22)."""

    KIND: ClassVar[str] = "tier"
    IDENTITY: ClassVar[tuple[str, ...]] = ("org_id", "seat_tier")

    seat_tier: SeatTier
    basis: Basis = "each_member"


class MemberStatus(LimitedStatus):
    """A member, removed ones too; where `credits_enabled` is null the organisation's `member_default` decides.

    `request_id`, `request_kind` and `asked_at` are of the request that is pending, if one is (R35).
    """

    KIND: ClassVar[str] = "member"
    IDENTITY: ClassVar[tuple[str, ...]] = ("org_id", "user_id")

    user_id: Identifier
    role: Role = "member"
    seat_tier: SeatTier = "standard"
    removed: bool = False
    credits_enabled: bool | None = None
    request_id: OptionalIdentifier = ""
    request_kind: RequestKind | None = None
    asked_at: InstantOrNone = ""


class ClockStatus(StatusRecord):
    """The ledger time up to which a partition has applied all its input (R33)."""

    KIND: ClassVar[str] = "clock"
    IDENTITY: ClassVar[tuple[str, ...]] = ("partition",)

    partition: Count
    as_of_micros: Instant = Field(alias="as_of")


STATUS_RECORDS: dict[str, type[StatusRecord]] = {
    model.KIND: model for model in (OrganizationStatus, TierStatus, MemberStatus, ClockStatus)
}


def status_key(kind: str, *identity: str | int) -> bytes:
    """The key of a record: `["org",o]`, `["tier",o,t]`, `["member",o,u]` or `["clock",p]`."""
    return f'["{kind}",{",".join(quoted(part) if isinstance(part, str) else str(part) for part in identity)}]'.encode()


def read_status(key: bytes, value: bytes) -> StatusRecord:
    """The record that lay under a key.

    Raises:
        ValueError: no such kind, or the value is no record of it.
    """
    parts: Any = json.loads(key)
    model = STATUS_RECORDS.get(parts[0]) if isinstance(parts, list) and parts and isinstance(parts[0], str) else None
    if model is None:
        raise ValueError(f"{key[:64]!r} is no key of credit status; known kinds are {', '.join(STATUS_RECORDS)}")
    return model.model_validate_json(value)
