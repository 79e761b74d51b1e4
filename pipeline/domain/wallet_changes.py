"""What commands change of money: payments, reloads, refunds, grants, adjustments, credit notes, notices.

Source: docs/rules.md R3-R5, R37a, R38b, R39.
"""

from pipeline.domain import wallet
from pipeline.domain.change import Change, usd_or_none
from pipeline.domain.invoicing import credit_note, pay
from schemas.commands import (
    Actor,
    Adjust,
    BuyCredits,
    ConfirmPayment,
    GrantCredits,
    IssueCreditNote,
    RefundPurchase,
    ReportReloadFailed,
    ReportReloadPaid,
    SetAutoReload,
    SetBalanceNotice,
)
from schemas.money import usd_from_picousd


def buy_credits(change: Change, command: BuyCredits, actor: Actor) -> None:
    """Billing is asked; the credits come with its confirmation."""
    change.events += wallet.request_purchase(change.booking(), command.amount_usd, command.command_id, actor)
    change.after = {"amount_usd": usd_from_picousd(command.amount_usd)}


def confirm_payment(change: Change, command: ConfirmPayment) -> None:
    """Money is in: for credits, or for an invoice (R38)."""
    if command.invoice_number is not None:
        _pay_invoice(change, command, command.invoice_number)
        return
    _before(change)
    change.events += wallet.purchase(change.booking(), command.payment_id, command.amount_usd)
    _after(change, payment_id=command.payment_id, amount_usd=usd_from_picousd(command.amount_usd))


def _pay_invoice(change: Change, command: ConfirmPayment, invoice_number: int) -> None:
    change.events += pay(change.booking(), invoice_number, command.payment_id, command.amount_usd)
    change.after = {
        "payment_id": command.payment_id,
        "invoice_number": invoice_number,
        "amount_usd": usd_from_picousd(command.amount_usd),
        "open_usd": usd_from_picousd(change.organization.invoices[invoice_number].open_picousd),
    }


def report_reload_paid(change: Change, command: ReportReloadPaid) -> None:
    """Credits once, however late (R5)."""
    _before(change)
    booking = change.booking()
    change.events += wallet.reload_paid(booking, command.reload_id, command.payment_id, command.amount_usd)
    _after(change, reload_id=command.reload_id, amount_usd=usd_from_picousd(command.amount_usd))


def report_reload_failed(change: Change, command: ReportReloadFailed) -> None:
    """Auto-reload is suspended (R5)."""
    change.events += wallet.reload_failed(change.booking(), command.reload_id)
    change.after = {"reload_id": command.reload_id, "suspended": change.organization.wallet.reload_suspended}


def refund_purchase(change: Change, command: RefundPurchase) -> None:
    """At most the unburnt rest of the purchase (R38b)."""
    _before(change)
    change.events += wallet.refund(
        change.booking(), command.payment_id, command.purchase_payment_id, command.amount_usd
    )
    _after(change, payment_id=command.payment_id, amount_usd=usd_from_picousd(command.amount_usd))


def grant_credits(change: Change, command: GrantCredits) -> None:
    """Promotional credits (R38b)."""
    _before(change)
    change.events += wallet.grant(change.booking(), command.amount_usd, command.expires_at_micros)
    _after(change, amount_usd=usd_from_picousd(command.amount_usd))


def adjust(change: Change, command: Adjust) -> None:
    """Something is put right by hand (R12, R38b)."""
    _before(change)
    change.events += wallet.adjust(change.booking(), command.direction, command.amount_usd)
    _after(change, direction=command.direction, amount_usd=usd_from_picousd(command.amount_usd), note=command.note)


def issue_credit_note(change: Change, command: IssueCreditNote) -> None:
    """Part of an invoice is taken back (R39)."""
    change.events += credit_note(change.booking(), command.invoice_number, command.amount_usd, command.note)
    change.after = {
        "credit_note": change.organization.credit_note_number,
        "invoice_number": command.invoice_number,
        "amount_usd": usd_from_picousd(command.amount_usd),
        "note": command.note,
    }


def set_auto_reload(change: Change, command: SetAutoReload) -> None:
    """Looks at the balance at once (R5)."""
    change.before = _reload_settings(change)
    change.events += wallet.set_auto_reload(
        change.booking(),
        command.enabled,
        command.threshold_usd,
        command.amount_usd,
        command.monthly_maximum_usd,
    )
    change.after = _reload_settings(change)


def set_balance_notice(change: Change, command: SetBalanceNotice) -> None:
    """When owners are told that the balance is low (R37a)."""
    change.before = {"threshold_usd": usd_or_none(change.organization.wallet.notice_picousd)}
    change.events += wallet.set_notice(change.booking(), command.threshold_usd)
    change.after = {"threshold_usd": usd_or_none(command.threshold_usd)}


def _before(change: Change) -> None:
    change.before = {"balance_usd": usd_from_picousd(change.organization.wallet.balance_picousd)}


def _after(change: Change, **said: str) -> None:
    change.after = {**said, "balance_usd": usd_from_picousd(change.organization.wallet.balance_picousd)}


def _reload_settings(change: Change) -> dict[str, object]:
    held = change.organization.wallet
    return {
        "enabled": held.reload_enabled,
        "threshold_usd": usd_from_picousd(held.reload_threshold_picousd),
        "amount_usd": usd_from_picousd(held.reload_amount_picousd),
        "monthly_maximum_usd": usd_or_none(held.reload_maximum_picousd),
    }
