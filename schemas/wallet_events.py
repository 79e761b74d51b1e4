"""What the ledger tells of a Team balance: pauses and resumes for products, notices for owners (R3, R5, R37a)."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Identifier
from schemas.events import Crossing, LedgerEvent
from schemas.money import Picousd


class CreditsPaused(LedgerEvent):
    """The balance is used up: everybody's credits pause until it is above 0; no `crossing` where no usage did it."""

    TYPE: ClassVar[str] = "usage-credits.credits.paused"

    reason: Literal["balance"]
    pause_number: int = Field(ge=1, description="counts the pauses of the organisation")
    balance_picousd: Picousd
    crossing: Crossing | None = None

    def identity(self) -> tuple[object, ...]:
        """One per pause."""
        return (self.pause_number,)


class CreditsResumed(LedgerEvent):
    """The pause of that number is over."""

    TYPE: ClassVar[str] = "usage-credits.credits.resumed"

    pause_number: int = Field(ge=1)
    balance_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """One per pause."""
        return (self.pause_number,)


class BalanceLow(LedgerEvent):
    """The balance fell to the threshold owners set; told once until it has been above it again."""

    TYPE: ClassVar[str] = "usage-credits.balance.low"

    balance_picousd: Picousd
    threshold_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """Notices have no number of their own."""
        return (self.org_seq,)


class AutoReloadSuspended(LedgerEvent):
    """A reload failed or was not answered: no other is asked for until owners switch it on again, or buy credits."""

    TYPE: ClassVar[str] = "usage-credits.auto_reload.suspended"

    reason: Literal["failed", "unanswered"]
    reload_id: Identifier

    def identity(self) -> tuple[object, ...]:
        """A reload suspends once."""
        return (self.reload_id, self.reason)
