"""What people are told of: events on `notifications`, from which mails are written; no address is in them.

Source: docs/rules.md R5, R29a, R36, R37, R37a.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from schemas.base import Count, Identifier, Model, SeatTier
from schemas.events import LedgerEvent, LimitScope
from schemas.instants import Instant
from schemas.money import Picousd
from schemas.month import MonthText
from schemas.organization import RequestKind

Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
"""A day of the calendar, UTC, like `2026-01-31`; text as it sorts by time."""


class ThresholdReached(LedgerEvent):
    """Spend passed a percent of a limit, for the first time in this month and version (R29a)."""

    TYPE: ClassVar[str] = "usage-credits.threshold.reached"

    scope: LimitScope
    month: MonthText
    limit_version: Count
    percent: Count
    spend_picousd: Picousd
    limit_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """Once per scope, month, version and percent (R29a)."""
        return (self.scope.model_dump_json(), self.month, self.limit_version, self.percent)


class BalanceLow(LedgerEvent):
    """The balance fell to the threshold that owners set, or below (R37a)."""

    TYPE: ClassVar[str] = "usage-credits.balance.low"

    balance_picousd: Picousd
    threshold_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """It may fall any number of times."""
        return (self.org_seq,)


class AutoReloadSuspended(LedgerEvent):
    """No reload is asked for until an owner switches auto-reload on again or credits are bought (R5)."""

    TYPE: ClassVar[str] = "usage-credits.auto_reload.suspended"

    reason: Literal["failed", "unanswered"]
    reload_id: Identifier

    def identity(self) -> tuple[object, ...]:
        """A reload that was not answered may still fail later, when auto-reload is on again."""
        return (self.reload_id, self.reason)


class PendingRequest(Model):
    """One request as its reviewers see it (R36)."""

    request_id: Identifier
    user_id: Identifier
    kind: RequestKind
    seat_tier: SeatTier
    asked_at_micros: Instant = Field(alias="asked_at")
    spend_picousd: Picousd


class RequestsDigest(LedgerEvent):
    """All outstanding requests of an organisation on one day, the longest waiting first; never none (R37)."""

    TYPE: ClassVar[str] = "usage-credits.requests.digest"

    day: Day
    part: Count = Field(default=1, description="of many requests each notice holds some, the first part is 1")
    parts: Count = 1
    requests: tuple[PendingRequest, ...] = Field(strict=False, min_length=1)

    def identity(self) -> tuple[object, ...]:
        """One a day and part."""
        return (self.day, self.part)
