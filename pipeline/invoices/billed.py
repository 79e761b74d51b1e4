"""What was billed, as it is shown: an invoice with all that belongs to it, a statement; amounts in picodollars.

The views of sinks/migrations hold the same in dollars; reading.py brings it here. Source: docs/rules.md R39, R40;
"Billing, in full".
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

from schemas.invoices import TokenKind

State = Literal["open", "draft", "finalized"]
"""The month runs; it ended, and late usage is still added; what was issued, and is never changed."""

STATES: tuple[State, ...] = ("open", "draft", "finalized")


class Line(NamedTuple):
    """A line. Of what is no usage, `carried` or `debt`, product, price id and kind are empty, quantity and rate 0."""

    number: int
    kind: Literal["usage", "carried", "debt"]
    usage_month: str
    product: str
    model: str
    price_id: str
    token_kind: TokenKind | Literal[""]
    quantity: int
    rate_picousd: int
    exact_picousd: int
    amount_picousd: int


class CreditNote(NamedTuple):
    """What was taken back of an invoice."""

    number: int
    invoice_number: int
    amount_picousd: int
    note: str
    at_micros: int


class Payment(NamedTuple):
    """What a customer paid of an invoice."""

    payment_id: str
    invoice_number: int
    amount_picousd: int
    at_micros: int


@dataclass(frozen=True, slots=True)
class Group:
    """Lines of one usage month, product and price id, which follow each other; all three empty for what is no usage."""

    usage_month: str
    product: str
    price_id: str
    lines: tuple[Line, ...]

    @property
    def amount_picousd(self) -> int:
        return sum(line.amount_picousd for line in self.lines)


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice or what may become one.

    Attributes:
        part: counts the invoices of the month; `number` those of the organisation, None where it has none.
        at_micros: when it was finalised or drafted; None while the month runs.
        exact_picousd: what its usage costs.
        credited_picousd, paid_picousd: of what is due, taken back by credit notes, and paid by the customer.
        lines, credit_notes, payments: empty where only invoices are listed.
    """

    org_id: str
    month: str
    part: int
    state: State
    number: int | None
    reason: str
    at_micros: int | None
    exact_picousd: int
    total_picousd: int
    carried_picousd: int
    offset_picousd: int
    due_picousd: int
    credited_picousd: int = 0
    paid_picousd: int = 0
    lines: tuple[Line, ...] = ()
    credit_notes: tuple[CreditNote, ...] = ()
    payments: tuple[Payment, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        if self.number is not None:
            return f"invoice {self.number}"
        return "no invoice: nothing to pay" if self.state == "finalized" else "draft"

    @property
    def sum_picousd(self) -> int:
        """What the lines come to, in cents: the total, or what is carried on."""
        return self.total_picousd + self.carried_picousd

    @property
    def rounding_picousd(self) -> int:
        """What was rounded, once, on the sum."""
        return self.sum_picousd - sum(line.exact_picousd for line in self.lines)

    @property
    def open_picousd(self) -> int:
        """What is left to pay; below zero the customer has a credit."""
        return self.due_picousd - self.credited_picousd - self.paid_picousd

    @property
    def is_settled(self) -> bool:
        """Something was paid or taken back of it."""
        return bool(self.credited_picousd or self.paid_picousd)

    def is_prior(self, group: Group) -> bool:
        """Usage of a month whose books were closed when it came (R19)."""
        return group.usage_month not in ("", self.month)

    def groups(self) -> list[Group]:
        """Its lines in their order, those of one product and price id together."""
        found = groupby(self.lines, key=lambda line: (line.usage_month, line.product, line.price_id))
        return [Group(*key, tuple(lines)) for key, lines in found]


class Statement(NamedTuple):
    """What a wallet did in a month; `closing_picousd` is `opening_picousd` and all in between."""

    org_id: str
    month: str
    at_micros: int
    opening_picousd: int
    purchase_picousd: int
    grant_picousd: int
    burn_picousd: int
    refund_picousd: int
    adjust_picousd: int
    offset_picousd: int
    expiry_picousd: int
    closing_picousd: int


class UsageOfLine(NamedTuple):
    """What one event, or the reverse of a corrected one, is on a line."""

    occurred_at_micros: int
    user_id: str
    event_id: str
    source: str
    corrects: str
    quantity: int
    exact_picousd: int


class UsageSum(NamedTuple):
    """What all events of a line come to."""

    events: int
    quantity: int
    exact_picousd: int
