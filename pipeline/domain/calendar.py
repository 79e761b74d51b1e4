"""What falls due in a partition: ledger time in; months turned and closed, lots expired, digests told, out (R44).

Everything happens in the order of its instant, between chunks, never while events are charged; at one instant the month
turns first, wallets follow in order of org_id, then the digest. A review under way comes before all else, at any time.
Drafts, invoices and statements follow a month's end or close little by little (billing.py), but before the next one.
Source: docs/rules.md R5, R18, R19, R37, R38b.
"""

from heapq import heappop, heappush

from pipeline.domain import billing, requests, reviews, wallet
from pipeline.domain.requests import last_set_hour_micros, next_set_hour_micros
from pipeline.domain.rules import Rules
from pipeline.domain.state import State
from schemas.events import LedgerEvent
from schemas.month import Month

AT_ONCE_MICROS = 1
"""A calendar not opened yet, and a review, are due at any time, before anything else."""

DIGESTS_AT_ONCE = 20


def next_due_micros(state: State, rules: Rules) -> int:
    """The next instant at which something falls due."""
    calendar = state.calendar
    if not calendar.month or state.reviews:
        return AT_ONCE_MICROS
    digest = calendar.digesting_micros or next_set_hour_micros(rules.digest_hour, calendar.digested_micros)
    return min(_turns_micros(state), _closes_micros(state, rules), wallet_due_micros(state), digest)


def advance(state: State, rules: Rules, now_micros: int) -> list[LedgerEvent] | None:
    """Do the next thing due at or before now; None when nothing is."""
    calendar = state.calendar
    if state.reviews:
        return reviews.advance(state)
    if not calendar.month:
        _open(state, rules, now_micros)
        return []
    digest = calendar.digesting_micros or last_set_hour_micros(rules.digest_hour, now_micros)
    if digest <= calendar.digested_micros:
        digest = next_set_hour_micros(rules.digest_hour, calendar.digested_micros)
    turns, closes, of_wallet = _turns_micros(state), _closes_micros(state, rules), wallet_due_micros(state)
    due = min(turns, closes, of_wallet, digest)
    if due > now_micros:
        return None
    if due in (turns, closes):
        if state.billing:
            return billing.bill_next(state, rules)
        if turns == due:
            calendar.month = str(Month.parse(calendar.month).next())
        else:
            calendar.closed_through = str(Month.parse(calendar.closed_through).next())
            state.forget_months()
        state.touch(calendar)
        billing.note(state)
        return []
    return _wallet_due(state, rules) if of_wallet == due else _digest(state, rules, digest)


def wallet_due_micros(state: State) -> int:
    """When the next wallet falls due. The heap may hold instants that are no longer true; those are dropped here."""
    heap = state.wallets_due
    while heap:
        due, org_id = heap[0]
        if state.organizations[org_id].wallet.due_micros == due:
            return due
        heappop(heap)
    return 2**63 - 1


def _wallet_due(state: State, rules: Rules) -> list[LedgerEvent]:
    due, org_id = heappop(state.wallets_due)
    organization = state.organizations[org_id]
    if org_id in state.billing:
        heappush(state.wallets_due, (due, org_id))  # an invoice may use up the very lot that is due
        return billing.bill(state, organization, rules)
    events = wallet.fall_due(state, organization, organization.wallet)
    organization.note_stops()
    state.tell(organization)
    if organization.wallet.due_micros == due:
        heappush(state.wallets_due, (due, org_id))  # more is due at the same instant
    return events


def _digest(state: State, rules: Rules, digest_micros: int) -> list[LedgerEvent]:
    """The digests of some organisations; the calendar remembers the last one served."""
    calendar = state.calendar
    waiting = [org_id for org_id, organization in state.organizations.items() if organization.requests.pending]
    waiting = sorted(org_id for org_id in waiting if org_id > calendar.digested_org)[:DIGESTS_AT_ONCE]
    events: list[LedgerEvent] = []
    for org_id in waiting:
        if org_id in state.billing:
            events += billing.bill(state, state.organizations[org_id], rules)
        events += requests.digest(state, state.organizations[org_id], digest_micros)
    if len(waiting) == DIGESTS_AT_ONCE:
        calendar.digesting_micros, calendar.digested_org = digest_micros, waiting[-1]
    else:
        calendar.digesting_micros, calendar.digested_org, calendar.digested_micros = 0, "", digest_micros
    state.touch(calendar)
    return events


def _open(state: State, rules: Rules, now_micros: int) -> None:
    """Open the calendar at the first ledger time ever seen; months whose grace is over by then are closed."""
    closed = Month.containing(now_micros).previous()
    while closed.end_micros + rules.grace_micros > now_micros:
        closed = closed.previous()
    state.calendar.month = str(Month.containing(now_micros))
    state.calendar.closed_through = str(closed)
    state.calendar.digested_micros = last_set_hour_micros(rules.digest_hour, now_micros)
    state.touch(state.calendar)


def _turns_micros(state: State) -> int:
    return Month.parse(state.calendar.month).end_micros


def _closes_micros(state: State, rules: Rules) -> int:
    return Month.parse(state.calendar.closed_through).next().end_micros + rules.grace_micros
