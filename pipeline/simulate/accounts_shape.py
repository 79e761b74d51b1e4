"""The shape of an accounts file: what may stand in it, by key; commands beside `at`, `by` and `actor` are not here.

Values that go into a command are left as they are written: its own model judges them (schemas/commands.py).
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.simulate.words import EARLIEST, LATEST
from schemas.base import Identifier, SeatTier
from schemas.instants import parse_instant
from schemas.organization import Basis, Plan, Role

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def instant_or_day(text: object) -> int:
    """UTC microseconds of an RFC 3339 instant, or of a day's first instant.

    Raises:
        ValueError: anything else.
    """
    try:
        micros = parse_instant(f"{text}T00:00:00Z" if _DAY.fullmatch(str(text)) else str(text))
    except (ValueError, OverflowError):
        raise ValueError("write an instant such as 2026-02-11T22:40:00Z, or a day such as 2026-02-11") from None
    if not EARLIEST <= micros < LATEST:
        raise ValueError("write a year from 2000 to 2099")
    return micros


def _unlimited(value: object) -> object:
    return None if value == "unlimited" else value


InstantOrDay = Annotated[int, BeforeValidator(instant_or_day)]
Written = str
"""An amount, as the command takes it."""
Limit = Annotated[str | None, BeforeValidator(_unlimited)]
"""An amount, or null or `unlimited`."""


class Entry(BaseModel):
    """Part of the file: no key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=False, validate_by_alias=True)


class MemberEntry(Entry):
    """A member beside the primary owner; the primary owner too, where they have a limit or a switch of their own."""

    user_id: Identifier
    seat_tier: SeatTier | None = None
    role: Role | None = None
    credits: bool | None = None
    limit_usd: Limit = None


class TierLimitEntry(Entry):
    """A seat tier's limit."""

    seat_tier: SeatTier
    limit_usd: Limit
    basis: Basis = "each_member"


class PurchaseEntry(Entry):
    """Credits that were bought and paid."""

    amount_usd: Written
    payment_id: Identifier | None = None


class GrantEntry(Entry):
    """Promotional credits."""

    amount_usd: Written
    expires_at: str | None = None


class AutoReloadEntry(Entry):
    """Auto-reload, switched on."""

    threshold_usd: Written
    amount_usd: Written
    monthly_maximum_usd: Limit = None


class OrganizationEntry(Entry):
    """An organisation as it is from the first instant on."""

    org_id: Identifier
    plan: Plan
    primary_owner: Identifier
    seat_tier: SeatTier = "standard"
    credits: bool = True
    member_default: bool | None = None
    requests_enabled: bool | None = None
    limit_usd: Limit = None
    tier_limits: list[TierLimitEntry] = []
    thresholds: list[str] | None = None
    balance_notice_usd: Limit = None
    purchases: list[PurchaseEntry] = []
    grants: list[GrantEntry] = []
    auto_reload: AutoReloadEntry | None = None
    members: list[MemberEntry] = []


class CommandEntry(BaseModel):
    """A dated command: what says when, whose and who; its own fields lie beside them, and its model judges those."""

    model_config = ConfigDict(extra="allow", frozen=True)

    at: str | None = None
    by: str | None = None
    actor: dict[str, Any] | None = None
    org_id: str | None = None
    command: str | None = None
    command_id: str | None = None

    def own(self) -> dict[str, Any]:
        """Its own fields."""
        return {
            name: None if value == "unlimited" and name.endswith("_usd") else value
            for name, value in (self.model_extra or {}).items()
        }


class Billing(Entry):
    """Who stands in for billing: what it answers to auto-reload and to purchases that owners ask for, and how fast."""

    answers: Literal["paid", "failed", "nothing"] = "paid"
    after_seconds: Annotated[int, Field(ge=1, le=86_400 * 31)] = 60


class AccountsFile(Entry):
    """The whole file; the keys of a command are its own."""

    from_micros: InstantOrDay | None = Field(default=None, alias="from")
    billing: Billing = Billing()
    organizations: list[OrganizationEntry] = []
    commands: list[CommandEntry] = []
