"""Everything that is remembered of an organisation: nothing but lists of what happened and what was last said."""

from dataclasses import dataclass, field

from tests.support.auditor.basics import Wire, month_of
from tests.support.auditor.outputs import (
    Breach,
    CreditNoteIssued,
    Entry,
    InvoiceFinalized,
    PaymentReceived,
    Resume,
    Row,
    Scope,
    StatementIssued,
    Told,
)

HORIZON_DAYS = 35
RANKS = ("member", "admin", "owner", "primary_owner")
SEAT_TIERS = ("standard", "premium")


@dataclass
class Limit:
    """A limit and how often it was changed; `raised` is (month, amount) of a raise for one month only."""

    amount: int | None = None
    version: int = 0
    raised: tuple[str, int | None] | None = None
    basis: str = "each_member"  # of a seat tier's

    def holds(self, month: str) -> int | None:
        return self.raised[1] if self.raised and self.raised[0] == month else self.amount

    def is_raised(self, month: str) -> bool:
        return self.raised is not None and self.raised[0] == month

    def set(self, amount: int | None, this_month: str, basis: str = "each_member") -> bool:
        """For good, ending a raise; whether that changed anything."""
        if (amount, basis) == (self.amount, self.basis) and not self.is_raised(this_month):
            return False
        self.amount, self.basis, self.raised = amount, basis, None
        self.version += 1
        return True

    def raise_for(self, month: str, amount: int | None) -> None:
        self.raised = (month, amount)
        self.version += 1


@dataclass
class Member:
    role: str
    seat_tier: str
    removed: bool = False
    credits_on: bool | None = None
    limit: Limit = field(default_factory=Limit)


@dataclass
class Lot:
    number: int
    promotional: bool
    expires_at: int | None
    rest: int
    payment_id: str | None = None  # a paid one, which can be refunded

    @property
    def burn_order(self) -> tuple[bool, int, bool, int]:
        """Earliest expiry; promotional before paid; earliest added (R38b)."""
        return (self.expires_at is None, self.expires_at or 0, not self.promotional, self.number)


@dataclass
class Reload:
    reload_id: str
    amount: int
    asked_at: int
    status: str = "pending"  # pending | unanswered | paid | failed


@dataclass
class AutoReload:
    enabled: bool = False
    suspended: bool = False
    threshold: int = 0
    amount: int = 0
    monthly_maximum: int | None = None


@dataclass
class Request:
    request_id: str
    user_id: str
    kind: str
    asked_at: int
    status: str = "pending"  # pending | approved | denied | closed


@dataclass
class Taken:
    """An accepted event: what it said, its rows, and whether it was corrected."""

    facts: Wire
    rows: list[Row]
    corrected: bool = False


@dataclass
class Charge:
    """What a row adds to a draft: counts by kind, below 0 where a correction takes them back."""

    usage_month: str
    product: str
    price_id: str
    counts: dict[str, int]


@dataclass
class Organization:
    org_id: str
    plan: str
    members: dict[str, Member]
    registered_at: int
    suppresses_zero_invoices: bool = True
    status: str = "active"  # active | suspended | closed
    credits_on: bool = False
    member_default: bool = True
    limit: Limit = field(default_factory=Limit)
    tiers: dict[str, Limit] = field(default_factory=lambda: {tier: Limit() for tier in SEAT_TIERS})
    percents: tuple[int, ...] = (50, 80, 100)
    passed: dict[tuple[Scope, str, int], int] = field(default_factory=dict)  # (scope, month, version): percent

    taken: dict[tuple[str, str], Taken] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    counted: dict[str, list[Row]] = field(default_factory=dict)  # the rows that count, by month
    limit_events: dict[tuple[Scope, str], list[Breach | Resume]] = field(default_factory=dict)
    answers: dict[str, tuple[int, Wire]] = field(default_factory=dict)  # command id: when, and what was asked
    published: list[Told] = field(default_factory=list)

    entries: list[Entry] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    payment_ids: set[str] = field(default_factory=set)
    is_paused: bool = False  # for its balance
    pause_number: int = 0
    notice: int | None = None
    notice_is_due: bool = False
    auto: AutoReload = field(default_factory=AutoReload)
    reloads: list[Reload] = field(default_factory=list)

    drafts: dict[str, list[Charge]] = field(default_factory=dict)  # those that are open, by charge month
    invoices: list[InvoiceFinalized] = field(default_factory=list)
    credit_notes: list[CreditNoteIssued] = field(default_factory=list)
    invoice_payments: list[PaymentReceived] = field(default_factory=list)
    statements: list[StatementIssued] = field(default_factory=list)

    requests_on: bool = True
    requests: list[Request] = field(default_factory=list)

    # Sums, always from the beginning.

    def spend(self, scope: Scope, month: str) -> int:
        """Month to date: the member's whole, what was spent in the tier, or everybody's (R21-R23, R30)."""
        rows = self.counted.get(month, ())
        if scope.kind == "member":
            return sum(row.cost for row in rows if row.user_id == scope.user_id)
        if scope.kind == "tier":
            return sum(row.cost for row in rows if row.seat_tier == scope.seat_tier)
        return sum(row.cost for row in rows)

    def sum_of(self, account: str) -> int:
        return sum(entry.amount for entry in self.entries if entry.account == account)

    @property
    def balance(self) -> int:
        return self.sum_of("wallet")

    def book(self, row: Row) -> None:
        self.rows.append(row)
        self.published.append(row)
        if row.counts:
            self.counted.setdefault(row.charge_month, []).append(row)

    # Members and switches.

    def member(self, user_id: str) -> Member | None:
        """Who is one now."""
        found = self.members.get(user_id)
        return found if found is not None and not found.removed else None

    def may_spend(self, member: Member) -> bool:
        own = member.credits_on if member.credits_on is not None else self.member_default
        return self.credits_on and own

    def binding(self, user_id: str, month: str) -> list[Scope]:
        """The limits that bind a member in a month: at most the member's, the tier's and the organisation's."""
        scopes = []
        member = self.member(user_id)
        if member is not None:
            tier = self.tiers[member.seat_tier]
            tier_binds = self.plan == "enterprise" and tier.holds(month) is not None
            if member.limit.holds(month) is not None:
                scopes.append(Scope("member", None, user_id))
            elif tier_binds and tier.basis == "each_member":
                scopes.append(Scope("member", member.seat_tier, user_id))
            if tier_binds and tier.basis == "whole_tier":
                scopes.append(Scope("tier", member.seat_tier))
        if self.limit.holds(month) is not None:
            scopes.append(Scope("organization"))
        return scopes

    def limit_of(self, scope: Scope) -> Limit:
        if scope.kind == "organization":
            return self.limit
        if scope.seat_tier is not None:
            return self.tiers[scope.seat_tier]
        return self.members[str(scope.user_id)].limit

    # Invoices.

    def invoice(self, number: int) -> InvoiceFinalized | None:
        return next((found for found in self.invoices if found.number == number), None)

    def credited(self, invoice_number: int) -> int:
        return sum(note.amount for note in self.credit_notes if note.invoice_number == invoice_number)

    def paid(self, invoice_number: int) -> int:
        return sum(payment.amount for payment in self.invoice_payments if payment.invoice_number == invoice_number)

    # Requests.

    def request(self, request_id: str) -> Request | None:
        return next((found for found in self.requests if found.request_id == request_id), None)

    def pending(self) -> list[Request]:
        return [found for found in self.requests if found.status == "pending"]

    def close_requests(self, user_id: str | None = None) -> None:
        for found in self.pending():
            if user_id in (None, found.user_id):
                found.status = "closed"

    def reloads_of_month(self, at: int) -> int:
        """What was asked for this month and has not failed, or was paid (R5)."""
        return sum(
            one.amount for one in self.reloads if month_of(one.asked_at) == month_of(at) and one.status != "failed"
        )
