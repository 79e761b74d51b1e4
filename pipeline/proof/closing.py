"""Closed months: what was published comes in; that each has its statement and its invoice, per organisation, goes out.

A statement is owed where the wallet moved, held something, or the organisation was on Team when the month closed; an
invoice where something was burnt on Enterprise (readings 41, 50). Which plan it was on, `account-events` tells.
"""

from collections.abc import Iterator

from pipeline.proof.equation import Equation, Found
from pipeline.proof.sums import OrganizationMonth
from pipeline.topics import INVOICES
from schemas.month import Month

OWED = "owed"


def of_closed_months(found: Found) -> Iterator[Equation]:
    """Per organisation and closed month that owes one: its statement, its invoice."""
    billing, memory = found.published.billing, found.remembered
    closed, stated, drafted = memory.closed_through, memory.stated_through, memory.drafted
    # Of these the turn may not have come: they are made with one of the next transactions.
    closing = closed if memory.is_closing else ""
    for org_id, month in _statements_owed(found, closed):
        if month != closing or stated.get(org_id, "") >= month:
            yield _closed("statement of a closed month", billing.stated[org_id, month], org_id, month)
    for key, org_seq in sorted(found.published.entries.unbilled.items()):
        org_id, month = key
        if month <= closed and (month != closing or key not in drafted):
            invoiced = int(billing.finalized.get(key, 0) > org_seq)
            yield _closed("invoice of a closed month", invoiced, org_id, month)


def _closed(name: str, published: int, org_id: str, month: str) -> Equation:
    return Equation(name, {OWED: 1, INVOICES.name: published}, org_id=org_id, month=month)


def _statements_owed(found: Found, closed: str) -> Iterator[OrganizationMonth]:
    """By organisation and month, from the first month in which there is anything of it."""
    billing, plans = found.published.billing, found.published.plans
    moved: dict[str, set[str]] = {}
    for org_id, month, account, _ in found.published.entries.sums:
        if account == "wallet":
            moved.setdefault(org_id, set()).add(month)
    for org_id in sorted(plans.changes.keys() | moved.keys()):
        months = moved.get(org_id, set())
        began = [str(Month.containing(at)) for at, _ in plans.changes.get(org_id, ())[:1]]
        month, closing = min([*began, *months]), 0
        while month <= closed:
            statement = billing.statements.get((org_id, month))
            if statement or month in months or closing or _on_team(found, org_id, month):
                yield org_id, month
            closing = statement.closing_picousd if statement else closing
            month = str(Month.parse(month).next())


def _on_team(found: Found, org_id: str, month: str) -> bool:
    """When the month closed; nobody having a statement of it, whoever was when it ended and is still."""
    plans, ends = found.published.plans, Month.parse(month).end_micros
    closed_at = found.published.billing.closes.get(month)
    if closed_at is not None:
        return plans.on_team(org_id, closed_at)
    return plans.on_team(org_id, ends) and plans.changes[org_id][-1][0] < ends
