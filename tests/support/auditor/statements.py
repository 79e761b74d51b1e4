"""Statements: a month that closes comes in; what the wallet did in it goes out, where a statement is due (R40)."""

from tests.support.auditor.basics import month_of
from tests.support.auditor.outputs import StatementIssued
from tests.support.auditor.state import Organization

TYPES = ("purchase", "grant", "burn", "refund", "adjust", "offset", "expiry")


def issue(org: Organization, at: int, month: str) -> None:
    opening = org.statements[-1].closing if org.statements else 0
    moved = [entry for entry in org.entries if (entry.account, entry.charge_month) == ("wallet", month)]
    has_wallet = (org.plan == "team" and org.status != "closed") or opening != 0
    if not moved and not (has_wallet and month >= month_of(org.registered_at)):
        return
    sums = {type_: sum(entry.amount for entry in moved if entry.type == type_) for type_ in TYPES}
    statement = StatementIssued(at, month, opening, **sums, closing=opening + sum(entry.amount for entry in moved))
    org.statements.append(statement)
    org.published.append(statement)
