"""What the ledger owes: one small record per thing published, in plain values (picodollars, microseconds)."""

from dataclasses import dataclass
from typing import NamedTuple


class Scope(NamedTuple):
    """What a limit covers. `member` with a seat tier: the tier's each_member limit; without: the member's own."""

    kind: str  # organization | tier | member
    seat_tier: str | None = None
    user_id: str | None = None


ORGANIZATION = Scope("organization")


@dataclass(frozen=True, slots=True)
class Applied:
    command_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    command_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Repeated:
    command_id: str


@dataclass(frozen=True, slots=True)
class Row:
    """A priced row. `leg` is `usage`, or of a correction `reversal` and `replacement`."""

    source: str
    event_id: str
    leg: str
    user_id: str
    seat_tier: str
    model: str
    cost: int
    usage_month: str
    charge_month: str
    funding: str
    after_pause: bool

    @property
    def counts(self) -> bool:
        """Toward spend and limits (R8, R19)."""
        return self.funding == "credits" and self.usage_month == self.charge_month


@dataclass(frozen=True, slots=True)
class Breach:
    """`crossing` is (source, event_id) of the event that reached the limit."""

    scope: Scope
    month: str
    version: int
    episode: int
    cause: str  # usage | correction | limit_changed | seat_changed | plan_changed
    limit: int
    spend: int
    overshoot: int
    crossing: tuple[str, str] | None
    paused_from: int
    paused_until: int


@dataclass(frozen=True, slots=True)
class Resume:
    """`limit` is what the scope is held to now, None where it no longer binds."""

    scope: Scope
    month: str
    version: int
    episode: int
    cause: str  # correction | limit_changed | seat_changed | plan_changed
    limit: int | None
    spend: int


@dataclass(frozen=True, slots=True)
class Threshold:
    scope: Scope
    month: str
    version: int
    percent: int
    spend: int
    limit: int


@dataclass(frozen=True, slots=True)
class CreditsPaused:
    pause_number: int


@dataclass(frozen=True, slots=True)
class CreditsResumed:
    pause_number: int


@dataclass(frozen=True, slots=True)
class BalanceLow:
    balance: int
    threshold: int


@dataclass(frozen=True, slots=True)
class ReloadRequested:
    reload_id: str
    number: int
    amount: int
    balance: int


@dataclass(frozen=True, slots=True)
class AutoReloadSuspended:
    reason: str  # failed | unanswered
    reload_id: str


@dataclass(frozen=True, slots=True)
class PurchaseRequested:
    purchase_id: str
    amount: int
    actor: str


@dataclass(frozen=True, slots=True)
class Outstanding:
    request_id: str
    user_id: str
    kind: str
    asked_at: int
    seat_tier: str
    spend: int


@dataclass(frozen=True, slots=True)
class Digest:
    day: str
    requests: tuple[Outstanding, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry; `cause` is (kind, id), `lot` the lot's number in its organisation."""

    at: int
    type: str
    account: str
    amount: int
    balance_after: int
    charge_month: str
    lot: int | None
    cause: tuple[str, str]


class Line(NamedTuple):
    """Of an invoice: usage, or what is `carried` or a wallet's `debt`, of which nothing is known but the amounts."""

    kind: str  # usage | carried | debt
    exact: int
    amount: int  # whole cents
    usage_month: str | None = None
    product: str | None = None
    model: str | None = None
    price_id: str | None = None
    token_kind: str | None = None
    quantity: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True)
class InvoiceDrafted:
    """`lines` are the first of `line_count`."""

    at: int
    month: str
    part: int
    exact: int
    total: int
    line_count: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class InvoiceFinalized:
    """`number` is None where there is nothing to pay."""

    at: int
    month: str
    part: int
    number: int | None
    reason: str  # month_closed | plan_changed | organization_closed
    exact: int
    total: int
    carried: int
    offset: int
    due: int
    line_count: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class InvoiceContinued:
    month: str
    part: int
    of: str  # draft | invoice
    first_line: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class CreditNoteIssued:
    number: int
    invoice_number: int
    amount: int
    note: str


@dataclass(frozen=True, slots=True)
class PaymentReceived:
    """`open` is what is left to pay of the invoice."""

    payment_id: str
    invoice_number: int
    amount: int
    open: int


@dataclass(frozen=True, slots=True)
class StatementIssued:
    at: int
    month: str
    opening: int
    purchase: int
    grant: int
    burn: int
    refund: int
    adjust: int
    offset: int
    expiry: int
    closing: int


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reasons: tuple[str, ...]
    headroom: int | None
    ends_at: int | None


Told = (
    Applied
    | Refused
    | Repeated
    | Row
    | Breach
    | Resume
    | Threshold
    | CreditsPaused
    | CreditsResumed
    | BalanceLow
    | ReloadRequested
    | AutoReloadSuspended
    | PurchaseRequested
    | Digest
    | Entry
    | InvoiceDrafted
    | InvoiceFinalized
    | InvoiceContinued
    | CreditNoteIssued
    | PaymentReceived
    | StatementIssued
)
