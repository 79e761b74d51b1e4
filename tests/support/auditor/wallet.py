"""The wallet: charges, payments and time come in; entries, pauses, reloads and notices go out (R3-R5, R38-R38b)."""

from tests.support.auditor.basics import DAY, month_of, reload_id
from tests.support.auditor.outputs import (
    AutoReloadSuspended,
    BalanceLow,
    CreditsPaused,
    CreditsResumed,
    Entry,
    ReloadRequested,
)
from tests.support.auditor.state import Lot, Organization, Reload

Cause = tuple[str, str]
ANSWER_WITHIN = DAY


def enter(
    org: Organization,
    now: int,
    type_: str,
    amount: int,
    lot: int | None,
    cause: Cause,
    *,
    account: str = "wallet",
    month: str | None = None,
) -> None:
    """A burn is compared by its sums, and has no place of its own among the published."""
    after = org.sum_of(account) + amount
    entry = Entry(now, type_, account, amount, after, month or month_of(now), lot, cause)
    org.entries.append(entry)
    if type_ != "burn":
        org.published.append(entry)


def add_lot(
    org: Organization,
    amount: int,
    *,
    promotional: bool = False,
    expires_at: int | None = None,
    payment_id: str | None = None,
) -> int:
    """Its number. Debt is netted first; asked before the entry is made."""
    debt = max(0, -org.balance)
    lot = Lot(len(org.lots) + 1, promotional, expires_at, max(0, amount - debt), payment_id)
    org.lots.append(lot)
    return lot.number


def credit(org: Organization, now: int, type_: str, amount: int, cause: Cause, **of_lot: object) -> None:
    lot = add_lot(org, amount, **of_lot)  # type: ignore[arg-type]
    enter(org, now, type_, amount, lot, cause)
    check(org)


def _take(org: Organization, amount: int) -> list[tuple[int | None, int]]:
    """Which lots give how much; what none gives is debt."""
    parts: list[tuple[int | None, int]] = []
    for lot in sorted(org.lots, key=lambda lot: lot.burn_order):
        part = min(amount, lot.rest)
        if part > 0:
            lot.rest -= part
            amount -= part
            parts.append((lot.number, part))
    return [*parts, (None, amount)] if amount else parts


def burn(org: Organization, now: int, month: str, amount: int, cause: Cause) -> None:
    """A charge, or below zero a correction's credit, which becomes a lot of its own."""
    if org.plan == "enterprise":
        if amount:
            enter(org, now, "burn", -amount, None, cause, account="unbilled", month=month)
        return
    if amount < 0:
        lot = add_lot(org, -amount)
        enter(org, now, "burn", -amount, lot, cause, month=month)
    for lot_number, part in _take(org, amount) if amount > 0 else []:
        enter(org, now, "burn", -part, lot_number, cause, month=month)
    check(org)


def debit(org: Organization, now: int, type_: str, amount: int, cause: Cause) -> None:
    """A chargeback, or what pays an invoice: takes from the lots as a burn would, an entry each; the rest is debt."""
    for lot_number, part in _take(org, amount):
        enter(org, now, type_, -part, lot_number, cause)
    check(org)


def give_back(org: Organization, now: int, lot: Lot, amount: int, cause: Cause) -> None:
    lot.rest -= amount
    enter(org, now, "refund", -amount, lot.number, cause)
    check(org)


def expire(org: Organization, now: int, lot: Lot) -> None:
    amount, lot.rest = lot.rest, 0
    if amount:
        enter(org, now, "expiry", -amount, lot.number, ("expiry", str(lot.number)))
        check(org)
        look(org, now)
    lot.expires_at = None  # done


def check(org: Organization) -> None:
    rests = sum(lot.rest for lot in org.lots)
    assert rests == max(0, org.balance), f"lots hold {rests}, the balance is {org.balance}"


def look(org: Organization, now: int) -> None:
    """After every movement of the wallet: pause or resume, then the notice, then the reload."""
    if org.plan != "team" or org.status == "closed":
        return
    balance = org.balance
    if balance <= 0 and not org.is_paused:
        org.is_paused = True
        org.pause_number += 1
        org.published.append(CreditsPaused(org.pause_number))
    elif balance > 0:
        end_pause(org)
    if org.notice is not None:
        if balance <= org.notice and org.notice_is_due:
            org.published.append(BalanceLow(balance, org.notice))
        org.notice_is_due = balance > org.notice
    _reload(org, now, balance)


def end_pause(org: Organization) -> None:
    if org.is_paused:
        org.is_paused = False
        org.published.append(CreditsResumed(org.pause_number))


def set_notice(org: Organization, threshold: int | None) -> None:
    """A balance that is low already is not told again: whoever sets the notice sees it."""
    org.notice = threshold
    org.notice_is_due = threshold is not None and org.balance > threshold


def _reload(org: Organization, now: int, balance: int) -> None:
    auto = org.auto
    if not auto.enabled or auto.suspended or balance > auto.threshold:
        return
    if any(one.status == "pending" for one in org.reloads):
        return
    if auto.monthly_maximum is not None and org.reloads_of_month(now) + auto.amount > auto.monthly_maximum:
        return
    number = len(org.reloads) + 1
    one = Reload(reload_id(org.org_id, number), auto.amount, now)
    org.reloads.append(one)
    org.published.append(ReloadRequested(one.reload_id, number, auto.amount, balance))


def fail(org: Organization, one: Reload, reason: str) -> None:
    """`failed`, or `unanswered` for a day. Who has switched it off meanwhile is told nothing."""
    was_pending, one.status = one.status == "pending", reason
    if was_pending and org.auto.enabled and not org.auto.suspended:
        org.auto.suspended = True
        org.published.append(AutoReloadSuspended(reason, one.reload_id))


def purchased(org: Organization, now: int, amount: int, payment_id: str, cause: Cause) -> None:
    """Money is in: it ends a suspended auto-reload (R5)."""
    org.payment_ids.add(payment_id)
    org.auto.suspended = False
    credit(org, now, "purchase", amount, cause, payment_id=payment_id)
    look(org, now)
