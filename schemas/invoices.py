"""What the ledger bills: drafts, invoices, credit notes, payments and statements, as CloudEvents on `invoices`.

An invoice's amounts are those of its lines: exact ones are quantity times rate, rounded ones add up to the total to the
cent. What is published is never changed. Source: docs/rules.md R6, R7, R39, R40; "Billing, in full".
"""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Count, Identifier, Model
from schemas.commands import Remark
from schemas.events import LedgerEvent
from schemas.money import Picousd
from schemas.month import MonthText

TokenKind = Literal[
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_search_requests",
]
"""What is counted, named as in the usage event, in the order of a price id's rates."""

InvoiceReason = Literal["month_closed", "plan_changed", "organization_closed"]
"""Why it was finalised; all but the first are interim invoices, without a grace period (R7, R9b)."""

LINES_AT_ONCE = 1_000
"""Lines an event holds at most; what is beyond follows in `invoice.continued`, so that no record becomes too large."""


class UsageLine(Model):
    """Usage of one product, price id and token kind; of an earlier month where that was closed already (R19).

    `exact_picousd` is quantity times rate; `amount_picousd` whole cents, so that all lines add up to the invoice's sum.
    """

    kind: Literal["usage"] = "usage"
    usage_month: MonthText
    product: Identifier
    model: Identifier
    price_id: str
    token_kind: TokenKind
    quantity: int = Field(description="negative where corrections took back more than was used")
    rate_picousd: Picousd
    exact_picousd: Picousd
    amount_picousd: Picousd


class BalanceLine(Model):
    """What is no usage: `carried` from an invoice whose sum was below zero, `debt` of a wallet (R7)."""

    kind: Literal["carried", "debt"]
    exact_picousd: Picousd
    amount_picousd: Picousd


InvoiceLine = UsageLine | BalanceLine


class _Invoice(LedgerEvent):
    """What a draft and an invoice say.

    Attributes:
        month: the charge month. `part` counts its invoices, from 1; more than one come of a changed plan.
        exact_picousd: what its usage costs; the burn that it clears.
        total_picousd: the rounded sum of all lines, or 0 where that is below zero.
        lines: in the order of docs/rules.md; the first LINES_AT_ONCE of `line_count`.
    """

    month: MonthText
    part: int = Field(ge=1)
    exact_picousd: Picousd
    total_picousd: Picousd
    line_count: Count
    lines: tuple[InvoiceLine, ...] = Field(strict=False)

    def identity(self) -> tuple[object, ...]:
        """One per part of a month."""
        return (self.month, self.part)


class InvoiceDrafted(_Invoice):
    """A month ended: what will be invoiced for it, as far as it is known; late usage is still added (R39)."""

    TYPE: ClassVar[str] = "usage-credits.invoice.drafted"


class InvoiceFinalized(_Invoice):
    """An invoice, once and for ever.

    Attributes:
        number: counts the organisation's invoices without gaps; null: nothing to pay, suppressed.
        carried_picousd: what the sum is below zero; it is a line of the next invoice.
        offset_picousd: of the total, what the wallet paid (R7); `due_picousd` is the rest.
    """

    TYPE: ClassVar[str] = "usage-credits.invoice.finalized"

    number: int | None = Field(ge=1)
    reason: InvoiceReason
    carried_picousd: Picousd
    offset_picousd: Picousd
    due_picousd: Picousd


class InvoiceContinued(LedgerEvent):
    """Further lines of the draft or invoice published just before."""

    TYPE: ClassVar[str] = "usage-credits.invoice.continued"

    month: MonthText
    part: int = Field(ge=1)
    of: Literal["draft", "invoice"]
    first_line: Count
    lines: tuple[InvoiceLine, ...] = Field(strict=False)

    def identity(self) -> tuple[object, ...]:
        """One per stretch of lines."""
        return (self.month, self.part, self.of, self.first_line)


class CreditNoteIssued(LedgerEvent):
    """Part of an invoice, or all of it, is taken back; `number` counts the organisation's credit notes."""

    TYPE: ClassVar[str] = "usage-credits.credit_note.issued"

    number: int = Field(ge=1)
    invoice_number: int = Field(ge=1)
    amount_picousd: Picousd
    note: Remark

    def identity(self) -> tuple[object, ...]:
        """One per number."""
        return (self.number,)


class PaymentReceived(LedgerEvent):
    """An invoice was paid, in part or whole.

    Attributes:
        open_picousd: what is then left to pay of it; below zero where credit notes took back more than was left.
    """

    TYPE: ClassVar[str] = "usage-credits.payment.received"

    payment_id: Identifier
    invoice_number: int = Field(ge=1)
    amount_picousd: Picousd
    open_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """One per payment."""
        return (self.payment_id,)


class StatementIssued(LedgerEvent):
    """What a wallet did in a month: the sums, signed, of its entries of that charge month (R40).

    `closing_picousd` is `opening_picousd` plus all others, and the opening of the next statement.
    """

    TYPE: ClassVar[str] = "usage-credits.statement.issued"

    month: MonthText
    opening_picousd: Picousd
    purchase_picousd: Picousd
    grant_picousd: Picousd
    burn_picousd: Picousd
    refund_picousd: Picousd
    adjust_picousd: Picousd
    offset_picousd: Picousd
    expiry_picousd: Picousd
    closing_picousd: Picousd

    def identity(self) -> tuple[object, ...]:
        """One per month."""
        return (self.month,)
