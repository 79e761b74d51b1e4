"""The wallet of an organisation: payments, grants, usage, owners' wishes and due instants in; entries and events out.

Usage takes its cost from `balance_picousd` and calls `wallet_fell` where that falls to `watch_picousd`; which lots it
burnt is settled by `burn`, at the end of a chunk or before anything else here is called. Everything else ends by
looking at the balance: pause, reload, notice, each once. Source: docs/rules.md R3-R7, R9b, R37a, R38-R38b.
"""

from collections.abc import Mapping
from heapq import heappush
from typing import Literal

from pipeline.domain import reloads
from pipeline.domain.booking import Booking, check_settled, credit, debit, debit_lot, take_out
from pipeline.domain.refusals import Refused
from pipeline.domain.state import Organization, State
from pipeline.domain.wallet_state import Lot, Payment, PaymentKind, Wallet
from schemas.commands import Actor
from schemas.events import CreditsPaused, CreditsResumed, Crossing, LedgerEvent, event_id
from schemas.instants import format_instant
from schemas.ledger import EntryCause, PurchaseRequested
from schemas.money import usd_from_picousd
from schemas.month import Month
from schemas.notifications import BalanceLow

NEVER_PICOUSD = -(10**39)
"""A watch no balance falls to: nothing needs to be looked at."""

BOUGHT = ("purchase", "reload")
"""Payments that bought credits, and so have a lot."""

# Usage.


def wallet_fell(
    state: State,
    organization: Organization,
    wallet: Wallet,
    at_micros: int,
    crossing: Crossing | None,
    clock_micros: int = 0,
) -> list[LedgerEvent]:
    """What follows from a balance that fell to its watch, for the very event that did it; and the next watch."""
    booking = Booking(state, organization, wallet, at_micros, clock_micros=clock_micros, crossing=crossing)
    _look(booking)
    return booking.events


def burn(booking: Booking, picousd_by_month: Mapping[str, int]) -> list[LedgerEvent]:
    """Settle usage the balance has lost already: which lots it burnt, an entry per charge month and lot (R38a).

    It publishes entries alone: pauses and notices came with the events, so they do not depend on where chunks end.
    """
    wallet = booking.wallet
    balance = wallet.balance_picousd + sum(picousd_by_month.values())
    check_settled(wallet, balance)
    for month in sorted(picousd_by_month):
        for lot_id, piece_picousd in take_out(booking, picousd_by_month[month]):
            balance -= piece_picousd
            booking.enter("burn", -piece_picousd, lot_id, balance, month)
    booking.state.touch(wallet)
    set_watch(booking.state, booking.organization, wallet)
    return booking.events


def correct(booking: Booking, amount_picousd: int, charge_month: str) -> list[LedgerEvent]:
    """Give back what a correction charged less: a lot of its own that cannot be refunded (R15, R38b)."""
    credit(booking, "burn", "correction", amount_picousd, charge_month=charge_month)
    return _looked(booking)


# Money in and out.


def request_purchase(booking: Booking, amount_picousd: int, command_id: str, actor: Actor) -> list[LedgerEvent]:
    """An owner wants to buy credits: billing is asked; nothing is credited before the payment is confirmed."""
    _on_team(booking)
    _not_zero(amount_picousd)
    purchase_id = event_id("purchase", booking.wallet.org_id, command_id)
    booking.events.append(
        PurchaseRequested(**booking.stamp(), purchase_id=purchase_id, amount_picousd=amount_picousd, actor=actor)
    )
    return booking.events


def purchase(booking: Booking, payment_id: str, amount_picousd: int) -> list[LedgerEvent]:
    """A payment is in: it is credited, and auto-reload that was suspended goes on. On any plan: the money is ours."""
    _not_zero(amount_picousd)
    refuse_used_payment(booking.wallet, payment_id)
    lot = credit(booking, "purchase", "paid", amount_picousd)
    remember_payment(booking, payment_id, "purchase", amount_picousd, lot.lot_id)
    booking.wallet.reload_suspended = False
    return _looked(booking)


def grant(booking: Booking, amount_picousd: int, expires_at_micros: int | None) -> list[LedgerEvent]:
    """Promotional credits, which may expire."""
    _not_zero(amount_picousd)
    if expires_at_micros is not None and expires_at_micros <= booking.now_micros:
        raise Refused("already_expired", f"{format_instant(expires_at_micros)} is over")
    credit(booking, "grant", "promotional", amount_picousd, expires_at_micros=expires_at_micros)
    return _looked(booking)


def refund(booking: Booking, payment_id: str, purchase_payment_id: str, amount_picousd: int) -> list[LedgerEvent]:
    """Money goes back for a purchase or reload, at most its unburnt rest."""
    _not_zero(amount_picousd)
    refuse_used_payment(booking.wallet, payment_id)
    wallet = booking.wallet
    bought = wallet.payments.get(purchase_payment_id)
    if bought is None or bought.kind not in BOUGHT:
        raise Refused("unknown_payment", f"no purchase was paid by {purchase_payment_id}")
    lot = wallet.lots.get(bought.lot_id)
    rest = lot.rest_picousd if lot is not None else 0
    if lot is None or amount_picousd > rest:
        raise Refused("more_than_unburnt", f"of this purchase {usd_from_picousd(rest)} USD are unburnt")
    debit_lot(booking, "refund", lot, amount_picousd)
    bought.refunded_picousd += amount_picousd
    booking.state.touch(bought)
    remember_payment(booking, payment_id, "refund", amount_picousd, lot.lot_id)
    return _looked(booking)


def adjust(booking: Booking, direction: Literal["credit", "debit"], amount_picousd: int) -> list[LedgerEvent]:
    """Put something right by hand, on any plan; a debit (a chargeback, say) may take the balance below zero."""
    _not_zero(amount_picousd)
    if direction == "credit":
        credit(booking, "adjust", "correction", amount_picousd)
    else:
        debit(booking, "adjust", amount_picousd)
    return _looked(booking)


def offset_invoice(booking: Booking, amount_picousd: int) -> list[LedgerEvent]:
    """Pay so much of an invoice, at most the balance; a debt moves onto the invoice whole (R7)."""
    wallet = booking.wallet
    check_settled(wallet, wallet.balance_picousd)
    if wallet.balance_picousd < 0:
        # No credit: nothing may be left over, and a lot that never held anything would be one too many.
        booking.number()
        moved, wallet.balance_picousd = -wallet.balance_picousd, 0
        booking.enter("offset", moved, None, 0, booking.month)
    elif amount_picousd > 0:
        debit(booking, "offset", min(amount_picousd, wallet.balance_picousd))
    return _looked(booking)


def close(booking: Booking) -> list[LedgerEvent]:
    """The organisation is closed: no more reloads, and what is paid and unburnt goes back (R9b)."""
    wallet = booking.wallet
    wallet.reload_enabled = wallet.reload_suspended = False
    bought = {payment.lot_id: payment for payment in wallet.payments.values() if payment.kind in BOUGHT}
    for lot in sorted(wallet.lots.values(), key=Lot.burns):
        if lot.kind == "paid":
            payment = bought[lot.lot_id]
            payment.refunded_picousd += lot.rest_picousd
            booking.state.touch(payment)
            debit_lot(booking, "refund", lot, lot.rest_picousd)
    return _looked(booking)


# Reloads.


def set_auto_reload(
    booking: Booking, enabled: bool, threshold_picousd: int, amount_picousd: int, maximum_picousd: int | None
) -> list[LedgerEvent]:
    """Owners switch auto-reload on or off; switched on, it looks at the balance at once (R5)."""
    _on_team(booking)
    reloads.set_up(booking, enabled, threshold_picousd, amount_picousd, maximum_picousd)
    return _looked(booking)


def reload_paid(booking: Booking, reload_id: str, payment_id: str, amount_picousd: int) -> list[LedgerEvent]:
    """Billing answers: paid. It is credited once, however late, and the balance is looked at again."""
    _not_zero(amount_picousd)
    reload = reloads.to_answer(booking.wallet, reload_id, "paid")
    refuse_used_payment(booking.wallet, payment_id)
    reloads.take_answer(booking, reload, "paid", amount_picousd)
    cause = EntryCause(kind="reload", id=reload_id)
    lot = credit(booking, "purchase", "paid", amount_picousd, cause=cause)
    remember_payment(booking, payment_id, "reload", amount_picousd, lot.lot_id)
    booking.wallet.reload_suspended = False
    return _looked(booking)


def reload_failed(booking: Booking, reload_id: str) -> list[LedgerEvent]:
    """Billing answers: failed. Auto-reload is suspended, and owners are told."""
    reload = reloads.to_answer(booking.wallet, reload_id, "failed")
    reloads.take_answer(booking, reload, "failed")
    return _looked(booking)


# What owners and billing set.


def set_notice(booking: Booking, threshold_picousd: int | None) -> list[LedgerEvent]:
    """Owners want to be told when the balance falls so low; where it is that low already, they know."""
    _on_team(booking)
    wallet = booking.wallet
    if wallet.notice_picousd != threshold_picousd:
        wallet.notice_picousd = threshold_picousd
        wallet.notice_told = threshold_picousd is not None and wallet.balance_picousd <= threshold_picousd
    return _looked(booking)


def plan_changed(booking: Booking) -> list[LedgerEvent]:
    """The organisation has the plan it now has: just registered, or changed (R7).

    On Team a balance of 0 or less pauses at once. On Enterprise there is no pause by balance and no reload; what the
    wallet holds stays and offsets invoices, and is there when the organisation comes back.
    """
    wallet = booking.wallet
    if booking.organization.plan != "team":
        wallet.reload_enabled = wallet.reload_suspended = False
        if wallet.paused:
            _resume(booking)
    elif wallet.notice_picousd is not None:
        wallet.notice_told = wallet.balance_picousd <= wallet.notice_picousd
    return _looked(booking)


# Due instants.


def fall_due(state: State, organization: Organization, wallet: Wallet) -> list[LedgerEvent]:
    """Do what falls due at `wallet.due_micros`; outputs bear that instant. A month that ends then has turned before.

    Lots expire (R38b), a reload was not answered for 24 hours, or a new month has room for one (R5).
    """
    due = wallet.due_micros
    assert due is not None, f"nothing falls due for {wallet.org_id}"
    assert Month.parse(state.calendar.month).end_micros > due, "the calendar turns before wallets are looked at"
    booking = Booking(state, organization, wallet, due)
    expired = [lot for lot in wallet.lots.values() if (lot.expires_at_micros or due + 1) <= due]
    if expired:
        # One at a time: each may lead to a pause or a reload of its own.
        lot = min(expired, key=lambda lot: lot.added_seq)
        debit_lot(booking, "expiry", lot, lot.rest_picousd, cause=EntryCause(kind="expiry", id=lot.lot_id))
        return _looked(booking)
    pending, answer_due = wallet.pending_reload, reloads.answer_due_micros(wallet)
    if pending is not None and answer_due is not None and answer_due <= due:
        reloads.take_answer(booking, pending, "no_answer")
    return _looked(booking)


def set_watch(state: State, organization: Organization, wallet: Wallet) -> None:
    """Say at which balance, and when, the wallet is to be looked at next; after a restore too, calendar first.

    Source: R3, R5, R37a.
    """
    month = state.calendar.month
    on_team = organization.plan == "team" and organization.status != "closed"
    watched = [NEVER_PICOUSD]
    due = [reloads.answer_due_micros(wallet)] if organization.status != "closed" else []
    if on_team and not wallet.paused:
        watched.append(0)
    if on_team and reloads.may_ask(wallet, month):
        watched.append(wallet.reload_threshold_picousd)
    if on_team and wallet.notice_picousd is not None and not wallet.notice_told:
        watched.append(wallet.notice_picousd)
    if on_team and reloads.waits_for_month(wallet, month):
        due.append(Month.parse(month).end_micros)
    due += [lot.expires_at_micros for lot in wallet.lots.values()]
    wallet.watch_picousd = max(watched)
    due_micros = min((at for at in due if at is not None), default=None)
    if due_micros is not None and due_micros != wallet.due_micros:
        heappush(state.wallets_due, (due_micros, organization.org_id))
    wallet.due_micros = due_micros


def _looked(booking: Booking) -> list[LedgerEvent]:
    _look(booking)
    return booking.events


def _look(booking: Booking) -> None:
    """Pause or resume, ask for a reload, tell that the balance is low: what is true now and was not told."""
    wallet = booking.wallet
    if booking.organization.plan == "team" and booking.organization.status != "closed":
        if wallet.balance_picousd <= 0 and not wallet.paused:
            wallet.paused = True
            wallet.pause_number += 1
            booking.events.append(
                CreditsPaused(
                    **booking.stamp(),
                    reason="balance",
                    pause_number=wallet.pause_number,
                    balance_picousd=wallet.balance_picousd,
                    crossing=booking.crossing,
                )
            )
        elif wallet.balance_picousd > 0 and wallet.paused:
            _resume(booking)
        _tell_if_low(booking)
        reloads.ask_if_low(booking)
    booking.state.touch(wallet)
    set_watch(booking.state, booking.organization, wallet)


def _resume(booking: Booking) -> None:
    wallet = booking.wallet
    wallet.paused = False
    booking.events.append(
        CreditsResumed(**booking.stamp(), pause_number=wallet.pause_number, balance_picousd=wallet.balance_picousd)
    )


def _tell_if_low(booking: Booking) -> None:
    wallet = booking.wallet
    if wallet.notice_picousd is None or wallet.balance_picousd > wallet.notice_picousd:
        wallet.notice_told = False
    elif not wallet.notice_told:
        wallet.notice_told = True
        booking.events.append(
            BalanceLow(
                **booking.stamp(),
                balance_picousd=wallet.balance_picousd,
                threshold_picousd=wallet.notice_picousd,
            )
        )


# Reasons to refuse; nothing has changed yet where one of these is asked.


def _on_team(booking: Booking) -> None:
    if booking.organization.plan != "team":
        raise Refused(
            "not_on_enterprise", f"{booking.organization.org_id} is on Enterprise, which has no balance to buy"
        )


def _not_zero(amount_picousd: int) -> None:
    if not amount_picousd:
        raise Refused("amount_is_zero", "an amount of 0 moves nothing")


def refuse_used_payment(wallet: Wallet, payment_id: str) -> None:
    """A payment id is used once, for ever (R38b).

    Raises:
        Refused: it was.
    """
    used = wallet.payments.get(payment_id)
    if used is not None:
        raise Refused("payment_id_used", f"payment {payment_id} was taken before: {used.kind}")


# Payments.


def remember_payment(
    booking: Booking, payment_id: str, kind: PaymentKind, amount_picousd: int, lot_id: str = ""
) -> None:
    """Its id is used from now on, and what it moved known."""
    wallet = booking.wallet
    payment = Payment(
        org_id=wallet.org_id, payment_id=payment_id, kind=kind, amount_picousd=amount_picousd, lot_id=lot_id
    )
    wallet.payments[payment_id] = payment
    booking.state.touch(payment)
