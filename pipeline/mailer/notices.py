"""Events of the ledger come in; what is to be mailed, and whom it concerns, goes out (R37, R37a)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from schemas.events import LedgerEvent, LimitBreached, MemberScope, event_id
from schemas.mails import MailKind
from schemas.notifications import AutoReloadSuspended, BalanceLow, RequestsDigest, ThresholdReached
from schemas.organization import ROLES, Role
from schemas.status_copy import StatusCopy

Switch = Literal["digest", "breaches", "thresholds", "balance"]
"""The field of schemas.contacts.Notices that switches it off."""

_MAILED: dict[str, tuple[type[LedgerEvent], MailKind, Switch, Role]] = {
    RequestsDigest.TYPE: (RequestsDigest, "digest", "digest", "admin"),
    LimitBreached.TYPE: (LimitBreached, "breach", "breaches", "admin"),
    ThresholdReached.TYPE: (ThresholdReached, "threshold", "thresholds", "admin"),
    BalanceLow.TYPE: (BalanceLow, "balance_low", "balance", "owner"),
    AutoReloadSuspended.TYPE: (AutoReloadSuspended, "auto_reload_suspended", "balance", "owner"),
}
"""Type of an event → its model, what the mail is called, what switches it off, the lowest role it goes to."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell: of a limit of their own to one member, else to a role and those above it."""

    notice_id: str
    event: LedgerEvent
    kind: MailKind
    switch: Switch
    least: Role

    def mail_id(self, user_id: str) -> str:
        """The same for the same event and member, whoever asks."""
        return event_id("mail", self.notice_id, user_id)

    def readers(self, copy: StatusCopy) -> list[str]:
        """The members it concerns, as things stand now."""
        event = self.event
        if isinstance(event, LimitBreached | ThresholdReached) and isinstance(event.scope, MemberScope):
            member = copy.member(event.org_id, event.scope.user_id)
            return [] if member is None or member.removed else [member.user_id]
        least = ROLES.index(self.least)
        members = copy.members(event.org_id)
        return sorted(one.user_id for one in members if not one.removed and ROLES.index(one.role) >= least)


def notice_of(wire: dict[str, Any]) -> Notice | None:
    """What an event in its envelope says to people; None where it is not mailed.

    A limit that is reached is told as a breach; that 100 % of it are passed is not told beside it.

    Raises:
        ValueError: it is no such event.
    """
    mailed = _MAILED.get(wire["type"])
    if mailed is None:
        return None
    model, kind, switch, least = mailed
    event = model.model_validate(wire["data"])
    if isinstance(event, ThresholdReached) and event.percent >= 100:
        return None
    return Notice(wire["id"], event, kind, switch, least)


def whole_digest(parts: Sequence[Notice]) -> Notice | None:
    """The one digest of a day, from all its parts in order; None while some have not come."""
    first = parts[0].event
    assert isinstance(first, RequestsDigest)
    if len(parts) < first.parts:
        return None
    requests = tuple(request for part in parts for request in getattr(part.event, "requests", ()))
    whole = first.model_copy(update={"requests": requests, "parts": 1})
    return Notice(parts[0].notice_id, whole, "digest", "digest", parts[0].least)
