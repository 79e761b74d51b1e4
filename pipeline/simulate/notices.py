"""Events that tell somebody something go in; whom they are about and what they say come out, in words."""

from collections.abc import Iterable, Iterator

from pipeline.simulate.words import scope_for_people
from schemas.events import (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEvent,
    LimitBreached,
    LimitResumed,
)
from schemas.invoices import InvoiceFinalized, StatementIssued
from schemas.ledger import LedgerEntry, PurchaseRequested, ReloadRequested
from schemas.money import headroom_for_people, spend_for_people
from schemas.notifications import AutoReloadSuspended, BalanceLow, RequestsDigest, ThresholdReached

_SHOWN_ELSEWHERE = (
    CommandApplied,
    CommandRefused,
    CommandRepeated,
    CreditsPaused,
    CreditsResumed,
    LedgerEntry,
    LimitBreached,
    LimitResumed,
    InvoiceFinalized,
    StatementIssued,
)


def notices(events: Iterable[LedgerEvent]) -> Iterator[tuple[LedgerEvent, str, str]]:
    """Everything that no other table shows; of a kind that is new here, its type."""
    for event in events:
        if not isinstance(event, _SHOWN_ELSEWHERE):
            yield event, _who(event), _what(event)


def _who(event: LedgerEvent) -> str:
    return scope_for_people(event.org_id, event.scope) if isinstance(event, ThresholdReached) else event.org_id


def _what(event: LedgerEvent) -> str:
    match event:
        case ThresholdReached():
            spend, limit = spend_for_people(event.spend_picousd), spend_for_people(event.limit_picousd)
            return f"{event.percent} % of the limit: {spend} of {limit}"
        case BalanceLow():
            balance = headroom_for_people(event.balance_picousd)
            return f"balance {balance} is at {spend_for_people(event.threshold_picousd)} or below"
        case AutoReloadSuspended():
            return f"auto-reload is suspended: {event.reason}"
        case RequestsDigest():
            people = ", ".join(request.user_id for request in event.requests)
            return f"requests waiting on {event.day}: {people}"
        case ReloadRequested():
            balance = headroom_for_people(event.balance_picousd)
            amount = spend_for_people(event.amount_picousd)
            return f"reload {event.number}: billing is asked for {amount}, balance {balance}"
        case PurchaseRequested():
            return f"{event.actor.id} buys credits: billing is asked for {spend_for_people(event.amount_picousd)}"
    return event.TYPE.removeprefix("usage-credits.")
