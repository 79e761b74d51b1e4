"""What the ledger publishes besides priced rows: CloudEvents on `limit-breaches` and `account-events`.

Ids are deterministic, made of what each event's `identity()` says: a consumer that sees one twice can tell. Every
event carries `org_seq`, rising per organisation. Source: docs/rules.md R1, R3, R24-R29; R14a for the envelope.
"""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import xxhash
from pydantic import Field

from schemas.base import Count, Identifier, Model, SeatTier
from schemas.commands import Actor
from schemas.instants import Instant, format_instant
from schemas.money import Picousd
from schemas.month import MonthText

ResumeCause = Literal["limit_changed", "seat_changed", "plan_changed", "correction"]
"""Besides a command about the limit, what may make it bind or pass: another seat (R30), another plan (R7), coming back
after a removal (R31), a correction (R15)."""

Cause = Literal["usage", ResumeCause]


class OrganizationScope(Model):
    """Everybody in the organisation."""

    kind: Literal["organization"] = "organization"


class TierScope(Model):
    """The members of one seat tier, pooled."""

    kind: Literal["tier"] = "tier"
    seat_tier: SeatTier


class MemberScope(Model):
    """One member; `seat_tier` is set where the limit is the tier's `each_member` one."""

    kind: Literal["member"] = "member"
    user_id: Identifier
    seat_tier: SeatTier | None = None


LimitScope = Annotated[OrganizationScope | TierScope | MemberScope, Field(discriminator="kind")]


class Crossing(Model):
    """The event whose charge reached the limit, and where the ledger processed it."""

    event_id: Identifier
    source: str
    input_partition: Count
    input_offset: Count
    input_index: Count


class LedgerEvent(Model):
    """What every event of the ledger says; `at_micros` is the arrival of the record that caused it."""

    TYPE: ClassVar[str]

    org_id: Identifier
    org_seq: Count
    at_micros: Instant = Field(alias="at")

    @abstractmethod
    def identity(self) -> tuple[object, ...]:
        """What makes it this one and no other, among those of its type in its organisation."""


class LimitBreached(LedgerEvent):
    """Spend reached a limit: those it covers are paused until `paused_until`, or until every limit passes again."""

    TYPE: ClassVar[str] = "usage-credits.limit.breached"

    scope: LimitScope
    month: MonthText
    limit_version: Count
    episode: Count
    limit_picousd: Picousd
    spend_picousd: Picousd
    overshoot_picousd: Picousd
    cause: Cause
    crossing: Crossing | None
    paused_from_micros: Instant = Field(alias="paused_from")
    paused_until_micros: Instant = Field(alias="paused_until")

    def identity(self) -> tuple[object, ...]:
        """Once per scope, month, version and episode (R29)."""
        return (self.scope.model_dump_json(), self.month, self.limit_version, self.episode)


class LimitResumed(LedgerEvent):
    """The limit passes again, or binds no longer, before the month ended; `episode` is the one that ended."""

    TYPE: ClassVar[str] = "usage-credits.limit.resumed"

    scope: LimitScope
    month: MonthText
    limit_version: Count
    episode: Count
    limit_picousd: Picousd | None
    spend_picousd: Picousd
    cause: ResumeCause

    def identity(self) -> tuple[object, ...]:
        """Once per scope, month, version and episode (R29)."""
        return (self.scope.model_dump_json(), self.month, self.limit_version, self.episode)


class CreditsPaused(LedgerEvent):
    """Every member's credits pause: the balance is used up. `crossing` is None where no usage did it (R3)."""

    TYPE: ClassVar[str] = "usage-credits.credits.paused"

    reason: Literal["balance"]
    pause_number: Count
    balance_picousd: Picousd
    crossing: Crossing | None = None

    def identity(self) -> tuple[object, ...]:
        """Pauses are numbered per organisation."""
        return (self.pause_number,)


class CreditsResumed(LedgerEvent):
    """A pause is over: the balance is above 0, or the plan has none any more (R3, R7)."""

    TYPE: ClassVar[str] = "usage-credits.credits.resumed"

    pause_number: Count
    balance_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """The pause that ended."""
        return (self.pause_number,)


class CommandApplied(LedgerEvent):
    """A command took effect: what it changed, before and after; the audit log."""

    TYPE: ClassVar[str] = "usage-credits.command.applied"

    command_id: Identifier
    command: str
    actor: Actor
    before: dict[str, Any]
    after: dict[str, Any]

    def identity(self) -> tuple[object, ...]:
        """A command is applied once, as long as its id is remembered."""
        return (self.command_id, self.org_seq)


class CommandRefused(LedgerEvent):
    """A command changed nothing, and why (R1)."""

    TYPE: ClassVar[str] = "usage-credits.command.refused"

    command_id: Identifier
    command: str
    actor: Actor
    reason: str
    detail: str

    def identity(self) -> tuple[object, ...]:
        """One refused without being remembered may be refused again; of an unknown organisation for the same reason."""
        return (self.command_id, self.reason, self.org_seq)


class CommandRepeated(LedgerEvent):
    """A command that was answered before came again: the first answer, and nothing else happened."""

    TYPE: ClassVar[str] = "usage-credits.command.repeated"

    command_id: Identifier
    answer: dict[str, Any] = Field(description="`type` and `data` of the first answer")

    def identity(self) -> tuple[object, ...]:
        """It may be repeated any number of times."""
        return (self.command_id, self.org_seq)


def event_id(*parts: object) -> str:
    """The deterministic id of an output: 128 bits over what identifies it."""
    return xxhash.xxh3_128_hexdigest("\n".join(map(str, parts)).encode())


def envelope(event: LedgerEvent) -> dict[str, Any]:
    """The event as a CloudEvent."""
    return {
        "specversion": "1.0",
        "type": event.TYPE,
        "id": event_id(event.TYPE, event.org_id, *event.identity()),
        "source": "usage-credits",
        "subject": event.org_id,
        "time": format_instant(event.at_micros),
        "datacontenttype": "application/json",
        "data": event.model_dump(mode="json"),
    }
