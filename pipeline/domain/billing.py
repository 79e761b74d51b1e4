"""What a month's end or close brings: a calendar that went on comes in; drafts, invoices and statements go out.

Ten thousand organisations must not hold up usage. So the calendar only notes who is to be billed; each is billed before
the next thing that happens to it, or when it is its turn, some with every chunk, and all before the calendar goes on
again. Every output bears the instant it is due to, so nobody can tell when it was made.
Source: docs/rules.md R39, R40; readings 40, 41, 50, 51.
"""

from pipeline.domain.booking import Booking
from pipeline.domain.invoicing import announce, close_month
from pipeline.domain.rules import Rules
from pipeline.domain.state import Organization, State
from pipeline.domain.wallet_state import Wallet, WalletMonth
from schemas.events import LedgerEvent
from schemas.invoices import StatementIssued
from schemas.month import Month


def note(state: State) -> None:
    """A month ended or closed, or the state was restored: note who is to be billed."""
    state.billing = {
        org_id: None for org_id in sorted(state.organizations) if _is_owed(state, state.organizations[org_id])
    }


def bill(state: State, organization: Organization, rules: Rules) -> list[LedgerEvent]:
    """Make what one organisation is owed."""
    del state.billing[organization.org_id]
    running, closed = state.calendar.month, state.calendar.closed_through
    events: list[LedgerEvent] = []
    for name in sorted(organization.months):
        month = organization.months[name]
        if month.lines and not month.is_drafted and name < running:
            events += announce(state, organization, month)
    events += close_month(state, organization, closed, rules)
    if _is_statement_owed(organization, closed):
        events += _statement(state, organization, closed, rules)
    return events


def bill_next(state: State, rules: Rules) -> list[LedgerEvent]:
    """Make what the next organisation is owed."""
    return bill(state, state.organizations[next(iter(state.billing))], rules)


def _is_owed(state: State, organization: Organization) -> bool:
    running, closed = state.calendar.month, state.calendar.closed_through
    return _is_statement_owed(organization, closed) or any(
        month.lines and (name <= closed or (name < running and not month.is_drafted))
        for name, month in organization.months.items()
    )


def _is_statement_owed(organization: Organization, closed: str) -> bool:
    wallet = organization.wallet
    on_team = organization.plan == "team" and organization.status != "closed"
    return closed in wallet.months or (closed > wallet.stated_through and (on_team or wallet.stated_picousd != 0))


def _statement(state: State, organization: Organization, closed: str, rules: Rules) -> list[LedgerEvent]:
    wallet: Wallet = organization.wallet
    moved = wallet.months.pop(closed, None) or WalletMonth(org_id=wallet.org_id, month=closed)
    moved.is_stated = True
    state.touch(moved)
    opening_picousd, sums = wallet.stated_picousd, moved.sums()
    wallet.stated_picousd += sum(sums.values())
    wallet.stated_through = max(wallet.stated_through, closed)
    state.touch(wallet)
    month = Month.parse(closed)
    booking = Booking(state, organization, wallet, month.end_micros + rules.grace_micros)
    return [
        StatementIssued.trusted(
            **booking.stamp(),
            month=month,
            opening_picousd=opening_picousd,
            **sums,
            closing_picousd=wallet.stated_picousd,
        )
    ]
