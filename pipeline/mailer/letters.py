"""A notice comes in; the words of its letter go out: a subject, sentences, a table; neither HTML nor a mail yet."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.mailer.notices import Notice
from schemas.events import LedgerEvent, LimitBreached, LimitScope, MemberScope, TierScope
from schemas.instants import datetime_from_micros
from schemas.money import headroom_for_people, spend_for_people
from schemas.month import Month
from schemas.notifications import AutoReloadSuspended, BalanceLow, PendingRequest, RequestsDigest, ThresholdReached

NameOf = Callable[[str], str | None]
"""What a member of the organisation is called; None: nobody knows."""

_ASKED = {"credits": "Usage credits", "premium_seat": "Premium seat"}


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says; columns of `numbers` are right-aligned."""

    subject: str
    sentences: tuple[str, ...]
    table: tuple[tuple[str, ...], ...] = ()
    numbers: frozenset[int] = frozenset()
    foot: str = ""


def letter_of(notice: Notice, name_of: NameOf) -> Letter:
    """The words of a notice."""
    event = notice.event
    match event:
        case RequestsDigest():
            return _digest(event, name_of)
        case LimitBreached():
            return _breach(event)
        case ThresholdReached():
            return _threshold(event)
        case BalanceLow():
            return _balance_low(event)
        case AutoReloadSuspended():
            return _auto_reload_suspended(event)
    raise ValueError(f"{event.TYPE} is not mailed")


def _digest(event: RequestsDigest, name_of: NameOf) -> Letter:
    count = len(event.requests)
    waiting = "1 request is waiting" if count == 1 else f"{count:,} requests are waiting"

    def row(request: PendingRequest) -> tuple[str, ...]:
        name = name_of(request.user_id)
        return (
            f"{name} ({request.user_id})" if name else request.user_id,
            _ASKED[request.kind],
            request.seat_tier.title(),
            _minute(request.asked_at_micros),
            spend_for_people(request.spend_picousd),
        )

    return Letter(
        subject=f"{event.org_id}: {waiting} for review",
        sentences=("An admin or owner can approve or deny each one. Those waiting longest come first.",),
        table=(("Requester", "Asks for", "Seat", "Asked (UTC)", "Month to date"), *map(row, event.requests)),
        numbers=frozenset({4}),
        foot=_because(event, "an admin or owner"),
    )


def _breach(event: LimitBreached) -> Letter:
    subject, paused = _reached(event.org_id, event.scope)
    return Letter(
        subject=subject,
        sentences=(
            _spent(event) + ".",
            f"{paused} until {_minute(event.paused_until_micros)} UTC or until an owner raises the limit.",
            "Usage that is included with a seat is not affected.",
        ),
        foot=_because(event, _reader(event.scope)),
    )


def _threshold(event: ThresholdReached) -> Letter:
    return Letter(
        subject=f"{event.percent}% of {_limit_of(event.org_id, event.scope)} has been used",
        sentences=(
            _spent(event) + ".",
            "When all of it is used, usage credits are paused until the month ends or an owner raises the limit.",
        ),
        foot=_because(event, _reader(event.scope)),
    )


def _balance_low(event: BalanceLow) -> Letter:
    balance, threshold = headroom_for_people(event.balance_picousd), headroom_for_people(event.threshold_picousd)
    return Letter(
        subject=f"The balance of {event.org_id} is low: {balance}",
        sentences=(
            f"The balance is {balance}; you asked to be told at {threshold}.",
            "At $0.00 usage credits are paused for all members until credits are bought.",
        ),
        foot=_because(event, "an owner"),
    )


def _auto_reload_suspended(event: AutoReloadSuspended) -> Letter:
    why = "could not be paid" if event.reason == "failed" else "was not paid within 24 hours"
    return Letter(
        subject=f"Auto-reload of {event.org_id} is suspended",
        sentences=(
            f"The last reload {why}.",
            "There will be no other until an owner buys credits or switches auto-reload on again.",
            "At a balance of $0.00 usage credits are paused for all members.",
        ),
        foot=_because(event, "an owner"),
    )


def _reached(org_id: str, scope: LimitScope) -> tuple[str, str]:
    """That a limit is reached, and who is paused by it."""
    match scope:
        case MemberScope():
            return f"You have reached your spend limit in {org_id}", "Your usage credits are paused"
        case TierScope(seat_tier=seat_tier):
            seats = f"{seat_tier.title()} seats"
            reached = f"The {seats} of {org_id} have reached their spend limit"
            return reached, f"The usage credits of all members with {seats} are paused"
        case _:
            return f"{org_id} has reached its spend limit", "The usage credits of all members are paused"


def _limit_of(org_id: str, scope: LimitScope) -> str:
    match scope:
        case MemberScope():
            return f"your spend limit in {org_id}"
        case TierScope(seat_tier=seat_tier):
            return f"the spend limit of {org_id}'s {seat_tier.title()} seats"
        case _:
            return f"the spend limit of {org_id}"


def _reader(scope: LimitScope) -> str:
    return "a member" if isinstance(scope, MemberScope) else "an admin or owner"


def _spent(event: LimitBreached | ThresholdReached) -> str:
    spend, limit = spend_for_people(event.spend_picousd), spend_for_people(event.limit_picousd)
    return f"{spend} of {limit} was spent in {_month(event.month)}"


def _because(event: LedgerEvent, reader: str) -> str:
    return (
        f"You receive this email as {reader} of {event.org_id}. You can choose which emails you get on the Usage page."
    )


def _month(month: Month) -> str:
    return f"{datetime_from_micros(month.start_micros):%B %Y}"


def _minute(micros: int) -> str:
    at = datetime_from_micros(micros)
    return f"{at.day} {at:%B %Y, %H:%M}"
