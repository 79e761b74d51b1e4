"""Auto-reload: a balance and what owners set come in; whether a reload is asked for, and what its answer means, go out.

One reload at a time: the next one may be asked for once it was paid or failed, or 24 hours went by. The balance is
credited in wallet.py, which calls this. Source: docs/rules.md R5.
"""

from typing import Literal

from pipeline.domain.booking import Booking
from pipeline.domain.refusals import Refused
from pipeline.domain.wallet_state import Reload, ReloadStatus, Wallet
from schemas.events import event_id
from schemas.instants import MICROS_PER_HOUR
from schemas.ledger import ReloadRequested
from schemas.notifications import AutoReloadSuspended

ANSWER_MICROS = 24 * MICROS_PER_HOUR
"""How long billing has to answer."""

Answer = Literal["paid", "failed", "no_answer"]

TRANSITIONS: dict[tuple[ReloadStatus, Answer], ReloadStatus] = {
    ("requested", "paid"): "paid",
    ("requested", "failed"): "failed",
    ("requested", "no_answer"): "unanswered",
    # Money that came in late is credited; a late failure is only noted, owners were told already.
    ("failed", "paid"): "paid",
    ("unanswered", "paid"): "paid",
    ("unanswered", "failed"): "failed",
}


def reload_id(org_id: str, number: int) -> str:
    """The id of an organisation's n-th reload."""
    return event_id("reload", org_id, number)


def may_ask(wallet: Wallet, month: str) -> bool:
    """Whether a reload would be asked for, were the balance low."""
    return is_on(wallet) and wallet.pending_reload_id is None and not exceeds_maximum(wallet, month)


def waits_for_month(wallet: Wallet, month: str) -> bool:
    """Whether nothing but the monthly maximum holds a reload back: then the next month is to be looked at."""
    return is_on(wallet) and wallet.pending_reload_id is None and exceeds_maximum(wallet, month)


def is_on(wallet: Wallet) -> bool:
    """Switched on, and not suspended."""
    return wallet.reload_enabled and not wallet.reload_suspended


def exceeds_maximum(wallet: Wallet, month: str) -> bool:
    """Whether one more reload would take this month beyond the maximum; a reload is never cut to fit."""
    if wallet.reload_maximum_picousd is None:
        return False
    reloaded = wallet.reloaded_picousd if wallet.reloaded_month == month else 0
    return reloaded + wallet.reload_amount_picousd > wallet.reload_maximum_picousd


def ask_if_low(booking: Booking) -> None:
    """Ask for a reload where the balance is at the threshold or below, and nothing holds it back."""
    wallet, month = booking.wallet, booking.month
    if wallet.balance_picousd > wallet.reload_threshold_picousd or not may_ask(wallet, month):
        return
    if wallet.reloaded_month != month:
        wallet.reloaded_month, wallet.reloaded_picousd = month, 0
    wallet.reload_number += 1
    asked = Reload(
        org_id=wallet.org_id,
        reload_id=reload_id(wallet.org_id, wallet.reload_number),
        number=wallet.reload_number,
        amount_picousd=wallet.reload_amount_picousd,
        since_micros=booking.now_micros,
        month=month,
    )
    wallet.reloads[asked.reload_id] = asked
    wallet.pending_reload_id = asked.reload_id
    wallet.reloaded_picousd += asked.counted_picousd
    booking.state.touch(asked)
    booking.events.append(
        ReloadRequested(
            **booking.stamp(),
            reload_id=asked.reload_id,
            number=asked.number,
            amount_picousd=asked.amount_picousd,
            balance_picousd=wallet.balance_picousd,
        )
    )


def to_answer(wallet: Wallet, asked_id: str, answer: Answer) -> Reload:
    """The reload an answer is about.

    Raises:
        Refused: there is none of that id, or it has its answer.
    """
    reload = wallet.reloads.get(asked_id)
    if reload is None:
        raise Refused("unknown_reload", f"no reload {asked_id} was asked for")
    if (reload.status, answer) not in TRANSITIONS:
        raise Refused("reload_answered", f"reload {asked_id} is {reload.status}; it cannot be {answer} now")
    return reload


def take_answer(booking: Booking, reload: Reload, answer: Answer, paid_picousd: int = 0) -> None:
    """Note an answer, or that none came; where auto-reload ran into it, suspend it and tell owners."""
    wallet = booking.wallet
    counted_before = reload.counted_picousd
    reload.status = TRANSITIONS[reload.status, answer]
    if answer == "paid":
        reload.amount_picousd = paid_picousd
    if reload.month == wallet.reloaded_month:
        wallet.reloaded_picousd += reload.counted_picousd - counted_before
    booking.state.touch(reload)
    booking.state.touch(wallet)
    if reload.reload_id != wallet.pending_reload_id:
        return
    wallet.pending_reload_id = None
    if answer != "paid" and is_on(wallet):
        wallet.reload_suspended = True
        reason: Literal["failed", "unanswered"] = "failed" if answer == "failed" else "unanswered"
        booking.events.append(AutoReloadSuspended(**booking.stamp(), reason=reason, reload_id=reload.reload_id))


def answer_due_micros(wallet: Wallet) -> int | None:
    """When the pending reload counts as unanswered."""
    pending = wallet.pending_reload
    return None if pending is None else pending.since_micros + ANSWER_MICROS


def set_up(booking: Booking, enabled: bool, threshold_picousd: int, amount_picousd: int, maximum: int | None) -> None:
    """Switch auto-reload on or off; either way what suspended it is over. One under way keeps its amount.

    Raises:
        Refused: the amount would not lift the balance above the threshold, or never fit into a month.
    """
    if enabled and amount_picousd <= threshold_picousd:
        raise Refused("amount_not_above_threshold", "the amount of a reload must exceed its threshold")
    if enabled and maximum is not None and maximum < amount_picousd:
        raise Refused("maximum_below_amount", "a month's maximum must have room for one reload")
    wallet = booking.wallet
    wallet.reload_enabled = enabled
    wallet.reload_threshold_picousd = threshold_picousd
    wallet.reload_amount_picousd = amount_picousd
    wallet.reload_maximum_picousd = maximum
    wallet.reload_suspended = False
    booking.state.touch(wallet)
