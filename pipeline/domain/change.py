"""A command at work: what it may look at and change comes in; before, after, and the events that follow go out."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.domain.booking import Booking
from pipeline.domain.limits import Occasion
from pipeline.domain.refusals import Refused
from pipeline.domain.rules import Rules
from pipeline.domain.settling import settle
from pipeline.domain.state import Member, Organization, State
from schemas.events import Cause, LedgerEvent
from schemas.ledger import EntryCause
from schemas.money import usd_from_picousd


@dataclass(slots=True)
class Change:
    """One command at work.

    Attributes:
        at_micros: its arrival; `clock_micros` is its record's own stamp, later where it came by a detour.
        before, after: what it changed, for the audit log.
        events: what follows from it, in order of `org_seq`.
    """

    state: State
    organization: Organization
    rules: Rules
    command_id: str
    at_micros: int
    clock_micros: int
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    events: list[LedgerEvent] = field(default_factory=list)

    @property
    def month(self) -> str:
        """The month that runs."""
        return self.state.calendar.month

    def member(self, user_id: str) -> Member:
        """Who is a member now.

        Raises:
            Refused: nobody by that name, or removed.
        """
        member = self.organization.members.get(user_id)
        if member is None or member.removed:
            raise Refused("unknown_member", f"{user_id} is no member of {self.organization.org_id}")
        return member

    def booking(self) -> Booking:
        """An occasion to move money; what usage burnt so far is settled before."""
        self.settle()
        return Booking(
            self.state,
            self.organization,
            self.organization.wallet,
            self.at_micros,
            cause=EntryCause(kind="command", id=self.command_id),
            clock_micros=self.clock_micros,
        )

    def settle(self) -> None:
        """Book what usage was charged so far, under the plan it was charged on."""
        self.events += settle(self.state, self.organization, self.at_micros)

    def occasion(self, cause: Cause) -> Occasion:
        """Why limits are looked at."""
        return Occasion(self.state, self.organization, self.at_micros, cause)

    def review(self, cause: Cause, keys: tuple[str, ...] = ()) -> None:
        """Have every member looked at, in slices, before the next record is taken (pipeline/domain/reviews.py).

        Args:
            keys: as limits.review_member has them; none: the percents changed, nothing but notices is looked at.
        """
        self.organization.review = {"cause": cause, "at_micros": self.at_micros, "keys": list(keys), "after": ""}
        self.state.reviews[self.organization.org_id] = None


def usd_or_none(picousd: int | None) -> str | None:
    """An amount for the audit log."""
    return None if picousd is None else usd_from_picousd(picousd)
