"""Invoices: charges, month ends and commands come in; drafts, invoices, credit notes, payments go out (R39)."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.support.auditor.basics import COUNTED, Wire, month_of, price_id_of, rates_of
from tests.support.auditor.outputs import (
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    Line,
    PaymentReceived,
)
from tests.support.auditor.state import Charge, Organization
from tests.support.auditor.wallet import Cause, debit, enter

CENT = 10**10
LINES_AT_ONCE = 1_000


class Sum(NamedTuple):
    """Lines and what they come to: `exact` is the usage's, `rounded` that of all lines."""

    lines: tuple[Line, ...]
    exact: int
    rounded: int


# Lines.


def usage_lines(month: str, charges: Sequence[Charge]) -> list[Line]:
    """Everything summed up anew, in the order in which an invoice of the month has it; amounts not rounded yet."""
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for charge in charges:
        counts.setdefault((charge.usage_month, charge.product, charge.price_id), Counter()).update(charge.counts)
    lines = []
    for usage_month, product, price_id in sorted(counts, key=lambda key: (key[0] != month, *key)):
        model, of_key = price_id.partition("@")[0], counts[usage_month, product, price_id]
        for kind, rate in rates_of(price_id).items():
            if quantity := of_key[kind]:
                exact = quantity * rate
                lines.append(Line("usage", exact, exact, usage_month, product, model, price_id, kind, quantity, rate))
    return lines


def summed(lines: Sequence[Line]) -> Sum:
    """All lines down to the cent; the cents that are missing to the sum go to the largest remainders."""
    exact = sum(line.exact for line in lines)
    rounded = (abs(exact) + CENT // 2) // CENT * CENT * (-1 if exact < 0 else 1)
    down = [line.exact // CENT * CENT for line in lines]
    missing = (rounded - sum(down)) // CENT
    by_remainder = sorted(range(len(lines)), key=lambda index: (down[index] - lines[index].exact, index))
    for index in by_remainder[:missing]:
        down[index] += CENT
    whole = tuple(line._replace(amount=amount) for line, amount in zip(lines, down, strict=True))
    return Sum(whole, sum(line.exact for line in lines if line.kind == "usage"), rounded)


# Drafts.


def add(org: Organization, charge_month: str, usage_month: str, facts: Wire, sign: int) -> None:
    counts = {kind: sign * facts[kind] for kind in COUNTED}
    charge = Charge(usage_month, facts["product"], price_id_of(facts), counts)
    org.drafts.setdefault(charge_month, []).append(charge)


def publish_draft(org: Organization, at: int, month: str) -> None:
    if month in org.drafts:
        whole, part = summed(usage_lines(month, org.drafts[month])), _part(org, month)
        first, count = whole.lines[:LINES_AT_ONCE], len(whole.lines)
        org.published.append(InvoiceDrafted(at, month, part, whole.exact, max(0, whole.rounded), count, first))
        _continue(org, month, part, "draft", whole.lines)


def _part(org: Organization, month: str) -> int:
    return 1 + sum(invoice.month == month for invoice in org.invoices)


def _continue(org: Organization, month: str, part: int, of: str, lines: tuple[Line, ...]) -> None:
    for first in range(LINES_AT_ONCE, len(lines), LINES_AT_ONCE):
        org.published.append(InvoiceContinued(month, part, of, first, lines[first : first + LINES_AT_ONCE]))


# Invoices.


def finalize_all(org: Organization, at: int, reason: str) -> None:
    for month in sorted(org.drafts):
        finalize(org, at, month, reason)


def finalize(org: Organization, at: int, month: str, reason: str) -> None:
    if month not in org.drafts:
        return
    carried = org.invoices[-1].carried if org.invoices else 0
    debt = max(0, -org.balance)
    of_balances = [Line(kind, exact, exact) for kind, exact in (("carried", carried), ("debt", debt)) if exact]
    whole = summed([*usage_lines(month, org.drafts.pop(month)), *of_balances])
    total, part = max(0, whole.rounded), _part(org, month)
    offset = min(total, max(0, org.balance) // CENT * CENT)
    number = None
    if whole.rounded or of_balances or not org.suppresses_zero_invoices:
        number = 1 + sum(invoice.number is not None for invoice in org.invoices)
    invoice = InvoiceFinalized(
        at,
        month,
        part,
        number,
        reason,
        whole.exact,
        total,
        min(0, whole.rounded),
        offset,
        total - offset,
        len(whole.lines),
        whole.lines[:LINES_AT_ONCE],
    )
    org.invoices.append(invoice)
    org.published.append(invoice)
    _continue(org, month, part, "invoice", whole.lines)
    _book(org, invoice, whole.rounded - sum(line.exact for line in whole.lines), debt)


def _book(org: Organization, invoice: InvoiceFinalized, rounding: int, debt: int) -> None:
    """The wallet's entries bear the month that runs, the others the invoice's."""
    at, month, cause = invoice.at, invoice.month, ("invoice", f"{invoice.month}.{invoice.part}")

    def receive(type_: str, amount: int) -> None:
        if amount:
            enter(org, at, type_, amount, None, cause, account="receivable", month=month)

    if invoice.exact:
        enter(org, at, "invoice", invoice.exact, None, cause, account="unbilled", month=month)
    receive("invoice", invoice.exact)
    receive("rounding", rounding)
    if debt:
        enter(org, at, "offset", debt, None, cause)
    else:
        debit(org, at, "offset", invoice.offset, cause)
    receive("offset", debt - invoice.offset)


# Credit notes and payments.


def credit_invoice(org: Organization, now: int, invoice_number: int, amount: int, note: str, cause: Cause) -> None:
    issued = CreditNoteIssued(len(org.credit_notes) + 1, invoice_number, amount, note)
    org.credit_notes.append(issued)
    org.published.append(issued)
    enter(org, now, "adjust", -amount, None, cause, account="receivable", month=month_of(now))


def pay_invoice(org: Organization, now: int, invoice_number: int, amount: int, payment_id: str, cause: Cause) -> None:
    """What is open is counted anew, of the invoice and all that came after it."""
    invoice = org.invoice(invoice_number)
    assert invoice is not None, "refused before"
    org.payment_ids.add(payment_id)
    open_before = invoice.due - org.credited(invoice_number) - org.paid(invoice_number)
    received = PaymentReceived(payment_id, invoice_number, amount, open_before - amount)
    org.invoice_payments.append(received)
    org.published.append(received)
    enter(org, now, "payment", -amount, None, cause, account="receivable", month=month_of(now))
