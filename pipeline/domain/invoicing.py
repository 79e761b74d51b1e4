"""Invoices: what was charged to `unbilled` comes in; drafts, invoices, credit notes, payments and entries go out.

A draft is the lines of a charge month; charging adds to them and nothing else does. Finalised, they become an invoice
and are forgotten. Source: docs/rules.md R6, R7, R9b, R38, R39; readings 38-49, 52, 53.
"""

from collections.abc import Sequence
from typing import Literal

from pipeline.domain.booking import Booking
from pipeline.domain.invoice_state import DraftLine, Invoice
from pipeline.domain.pricing import Rates
from pipeline.domain.refusals import Refused
from pipeline.domain.rules import Rules
from pipeline.domain.state import Organization, OrganizationMonth, State
from pipeline.domain.wallet import offset_invoice, refuse_used_payment, remember_payment
from schemas.events import LedgerEvent
from schemas.invoices import (
    LINES_AT_ONCE,
    BalanceLine,
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    InvoiceLine,
    InvoiceReason,
    PaymentReceived,
    UsageLine,
)
from schemas.ledger import EntryCause
from schemas.money import PICOUSD_PER_CENT, usd_from_picousd
from schemas.month import Month

# Drafts.


def draft_line(state: State, month: OrganizationMonth, usage_month: str, product: str, rates: Rates) -> DraftLine:
    """The line of a charge month that a charge belongs to, made if it is new; the first one opens the draft."""
    key = (usage_month, product, rates.price_id)
    line = month.lines.get(key)
    if line is None:
        if not month.lines:
            month.is_drafted = month.month < state.calendar.month  # over already: nothing is left to announce
            state.touch(month)
        each = (
            rates.input,
            rates.output,
            rates.cache_read,
            rates.cache_write_5m,
            rates.cache_write_1h,
            rates.web_search,
        )
        line = month.lines[key] = DraftLine(
            org_id=month.org_id,
            month=month.month,
            usage_month=usage_month,
            product=product,
            price_id=rates.price_id,
            rates=tuple(rate or 0 for rate in each),
        )
    state.touch(line)
    return line


def announce(state: State, organization: Organization, month: OrganizationMonth) -> list[LedgerEvent]:
    """The month ended: publish the draft as it is, at that instant."""
    booking = Booking(state, organization, organization.wallet, Month.parse(month.month).end_micros)
    exact, lines = _lines(month, ())
    month.is_drafted = True
    state.touch(month)
    total_picousd = sum(line.amount_picousd for line in lines)
    draft = InvoiceDrafted.trusted(
        **booking.stamp(),
        month=Month.parse(month.month),
        part=month.invoices + 1,
        exact_picousd=exact,
        total_picousd=max(total_picousd, 0),
        line_count=len(lines),
        lines=lines[:LINES_AT_ONCE],
    )
    return [draft, *_continued(booking, month, "draft", lines)]


# Invoices.


def close_month(state: State, organization: Organization, month: str, rules: Rules) -> list[LedgerEvent]:
    """The grace period is over: what was drafted becomes an invoice, at that instant."""
    draft = organization.months.get(month)
    if draft is None or not draft.lines:
        return []
    at_micros = Month.parse(month).end_micros + rules.grace_micros
    return _finalize(state, organization, draft, "month_closed", at_micros, rules)


def finalize_all(
    state: State, organization: Organization, reason: InvoiceReason, at_micros: int, rules: Rules
) -> list[LedgerEvent]:
    """Make invoices of all drafts at once, without grace: the plan changes to Team, or the organisation is closed."""
    drafts = [organization.months[month] for month in sorted(organization.months) if organization.months[month].lines]
    return [event for draft in drafts for event in _finalize(state, organization, draft, reason, at_micros, rules)]


def _finalize(
    state: State,
    organization: Organization,
    draft: OrganizationMonth,
    reason: InvoiceReason,
    at_micros: int,
    rules: Rules,
) -> list[LedgerEvent]:
    wallet = organization.wallet
    carried_picousd, debt_picousd = organization.carried_picousd, max(0, -wallet.balance_picousd)
    exact, lines = _lines(draft, (("carried", carried_picousd), ("debt", debt_picousd)))
    sum_picousd = sum(line.amount_picousd for line in lines)
    total_picousd = max(sum_picousd, 0)
    offset_picousd = max(0, min(total_picousd, wallet.balance_picousd // PICOUSD_PER_CENT * PICOUSD_PER_CENT))
    draft.invoices += 1
    organization.carried_picousd = min(sum_picousd, 0)
    is_zero = not (sum_picousd or carried_picousd or debt_picousd)
    is_numbered = not (is_zero and rules.suppress_zero_invoices)
    number = _number(state, organization, draft, total_picousd, offset_picousd) if is_numbered else None
    cause = EntryCause(kind="invoice", id=f"{draft.month}.{draft.invoices}")
    booking = Booking(state, organization, wallet, at_micros, cause=cause)
    booking.events += [
        InvoiceFinalized.trusted(
            **booking.stamp(),
            month=Month.parse(draft.month),
            part=draft.invoices,
            exact_picousd=exact,
            total_picousd=total_picousd,
            line_count=len(lines),
            lines=lines[:LINES_AT_ONCE],
            number=number,
            reason=reason,
            carried_picousd=organization.carried_picousd,
            offset_picousd=offset_picousd,
            due_picousd=total_picousd - offset_picousd,
        ),
        *_continued(booking, draft, "invoice", lines),
    ]
    for line in draft.lines.values():
        line.is_invoiced = True
        state.touch(line)
    draft.lines.clear()
    draft.is_drafted = False
    state.touch(draft)
    booking.enter_unbilled("invoice", exact, draft.month)
    booking.enter_receivable("invoice", exact, draft.month)
    booking.enter_receivable("rounding", sum_picousd - exact - carried_picousd - debt_picousd, draft.month)
    offset_invoice(booking, offset_picousd)
    booking.enter_receivable("offset", debt_picousd - offset_picousd, draft.month)
    return booking.events


def _number(
    state: State, organization: Organization, draft: OrganizationMonth, total_picousd: int, offset_picousd: int
) -> int:
    organization.invoice_number += 1
    invoice = Invoice(
        org_id=organization.org_id,
        number=organization.invoice_number,
        month=draft.month,
        part=draft.invoices,
        total_picousd=total_picousd,
        offset_picousd=offset_picousd,
    )
    organization.invoices[invoice.number] = invoice
    state.touch(invoice)
    return invoice.number


# Lines.


def _lines(
    draft: OrganizationMonth, balances: Sequence[tuple[Literal["carried", "debt"], int]]
) -> tuple[int, tuple[InvoiceLine, ...]]:
    """What the usage costs exactly, and all lines in order, rounded so that they add up (reading 42, 43)."""
    used = [
        (line, kind, quantity, rate)
        for line in sorted(draft.lines.values(), key=_order)
        for kind, quantity, rate in zip(DraftLine.QUANTITIES, line.quantities, line.rates, strict=True)
        if quantity
    ]
    balances = [(kind, picousd) for kind, picousd in balances if picousd]
    exact = [quantity * rate for _, _, quantity, rate in used]
    amounts = rounded([*exact, *(picousd for _, picousd in balances)])
    lines: list[InvoiceLine] = [
        UsageLine.trusted(
            kind="usage",
            usage_month=Month.parse(line.usage_month),
            product=line.product,
            model=line.price_id.partition("@")[0],
            price_id=line.price_id,
            token_kind=kind,
            quantity=quantity,
            rate_picousd=rate,
            exact_picousd=quantity * rate,
            amount_picousd=amount,
        )
        for (line, kind, quantity, rate), amount in zip(used, amounts, strict=False)
    ]
    lines += [
        BalanceLine.trusted(kind=kind, exact_picousd=picousd, amount_picousd=amount)
        for (kind, picousd), amount in zip(balances, amounts[len(used) :], strict=True)
    ]
    return sum(exact), tuple(lines)


def _order(line: DraftLine) -> tuple[bool, str, str, str]:
    """The invoice's own month first, then earlier ones."""
    return (line.usage_month != line.month, line.usage_month, line.product, line.price_id)


def rounded(exact_picousd: Sequence[int]) -> list[int]:
    """Whole cents of each amount, which add up to the sum rounded half away from zero: by largest remainder (R39)."""
    exact_sum = sum(exact_picousd)
    cents = (2 * abs(exact_sum) + PICOUSD_PER_CENT) // (2 * PICOUSD_PER_CENT)
    down = [picousd // PICOUSD_PER_CENT for picousd in exact_picousd]
    missing = (cents if exact_sum >= 0 else -cents) - sum(down)
    by_remainder = sorted(range(len(down)), key=lambda i: -(exact_picousd[i] % PICOUSD_PER_CENT))
    for i in by_remainder[:missing]:
        down[i] += 1
    return [cents * PICOUSD_PER_CENT for cents in down]


def _continued(
    booking: Booking, draft: OrganizationMonth, of: Literal["draft", "invoice"], lines: tuple[InvoiceLine, ...]
) -> list[LedgerEvent]:
    """What does not fit into the event itself, so that no record becomes too large."""
    return [
        InvoiceContinued.trusted(
            **booking.stamp(),
            month=Month.parse(draft.month),
            part=draft.invoices + (of == "draft"),
            of=of,
            first_line=first,
            lines=lines[first : first + LINES_AT_ONCE],
        )
        for first in range(LINES_AT_ONCE, len(lines), LINES_AT_ONCE)
    ]


# Credit notes and payments.


def credit_note(booking: Booking, invoice_number: int, amount_picousd: int, note: str) -> list[LedgerEvent]:
    """Take back part of an invoice, at most what is left of it.

    Raises:
        Refused: there is no such invoice, or not as much of it is left.
    """
    organization = booking.organization
    invoice = _invoice(organization, invoice_number)
    left_picousd = invoice.total_picousd - invoice.credited_picousd
    if amount_picousd > left_picousd:
        raise Refused(
            "more_than_invoiced", f"of invoice {invoice_number} {usd_from_picousd(left_picousd)} USD are left"
        )
    invoice.credited_picousd += amount_picousd
    booking.state.touch(invoice)
    organization.credit_note_number += 1
    booking.events.append(
        CreditNoteIssued.trusted(
            **booking.stamp(),
            number=organization.credit_note_number,
            invoice_number=invoice_number,
            amount_picousd=amount_picousd,
            note=note,
        )
    )
    booking.enter_receivable("adjust", -amount_picousd, booking.month)
    return booking.events


def pay(booking: Booking, invoice_number: int, payment_id: str, amount_picousd: int) -> list[LedgerEvent]:
    """A customer paid an invoice, in part or whole: nothing goes to the wallet.

    Raises:
        Refused: the payment was taken before, there is no such invoice, or not as much of it is open.
    """
    organization = booking.organization
    refuse_used_payment(booking.wallet, payment_id)
    invoice = _invoice(organization, invoice_number)
    if amount_picousd > invoice.open_picousd:
        open_usd = usd_from_picousd(max(0, invoice.open_picousd))
        raise Refused("more_than_due", f"of invoice {invoice_number} {open_usd} USD are open")
    invoice.paid_picousd += amount_picousd
    booking.state.touch(invoice)
    remember_payment(booking, payment_id, "invoice", amount_picousd)
    booking.events.append(
        PaymentReceived.trusted(
            **booking.stamp(),
            payment_id=payment_id,
            invoice_number=invoice_number,
            amount_picousd=amount_picousd,
            open_picousd=invoice.open_picousd,
        )
    )
    booking.enter_receivable("payment", -amount_picousd, booking.month)
    return booking.events


def _invoice(organization: Organization, invoice_number: int) -> Invoice:
    invoice = organization.invoices.get(invoice_number)
    if invoice is None:
        raise Refused("unknown_invoice", f"{organization.org_id} has no invoice {invoice_number}")
    return invoice
