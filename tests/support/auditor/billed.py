"""What must hold of bills, whatever came in: what was written of one organisation comes in; what is wrong goes out.

Drafts are made anew of the rows, by the plan that the answers to commands say, so no invoice is asked whether it is
right. As the other invariants it knows the ledger's words.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.events import CommandApplied
from schemas.invoices import (
    BalanceLine,
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    InvoiceLine,
    PaymentReceived,
    StatementIssued,
    UsageLine,
)
from schemas.ledger import LedgerEntry
from schemas.money import PICOUSD_PER_CENT
from schemas.priced import PricedUsage
from tests.support.auditor.basics import COUNTED

STATEMENT_TYPES = ("purchase", "grant", "burn", "refund", "adjust", "offset", "expiry")


class OfLine(NamedTuple):
    usage_month: str
    product: str
    price_id: str
    token_kind: str
    rate: int


Used = Counter[OfLine]


@dataclass
class Bill:
    """A draft or an invoice, all its lines, what was used for it, and what the invoice before it carried."""

    said: InvoiceDrafted | InvoiceFinalized
    lines: list[InvoiceLine]
    used: Used
    carried: int

    @property
    def usage(self) -> list[UsageLine]:
        return [line for line in self.lines if isinstance(line, UsageLine)]

    def of_balances(self, kind: str) -> int:
        return sum(line.exact_picousd for line in self.lines if isinstance(line, BalanceLine) and line.kind == kind)


@dataclass
class Billed:
    """What was billed to an organisation.

    Attributes:
        used: by charge month, what Enterprise's rows come to since it was last invoiced.
        moved: entries by account, charge month and type.
        bills: drafts and invoices, in order; `invoices` are those of them that are final.
        open: what is left to pay, by the invoice's number.
        wrong: payments of more than that, or that leave something else.
    """

    plan: str = ""
    used: dict[str, Used] = field(default_factory=lambda: defaultdict(Counter))
    moved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    bills: list[Bill] = field(default_factory=list)
    invoices: list[Bill] = field(default_factory=list)
    notes: list[CreditNoteIssued] = field(default_factory=list)
    payments: list[PaymentReceived] = field(default_factory=list)
    open: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    statements: list[StatementIssued] = field(default_factory=list)

    def take_entry(self, entry: LedgerEntry) -> None:
        self.moved[entry.account, str(entry.charge_month), entry.type] += entry.amount_picousd

    def take(self, what: object) -> None:
        if isinstance(what, CommandApplied):
            self.plan = what.after.get("plan", self.plan)
        elif isinstance(what, PricedUsage):
            self._take_row(what)
        elif isinstance(what, InvoiceDrafted | InvoiceFinalized):
            self._take_bill(what)
        elif isinstance(what, InvoiceContinued):
            self.bills[-1].lines += what.lines
        elif isinstance(what, CreditNoteIssued):
            self.notes.append(what)
            self.open[what.invoice_number] -= what.amount_picousd
        elif isinstance(what, PaymentReceived):
            self._take_payment(what)
        elif isinstance(what, StatementIssued):
            self.statements.append(what)

    def _take_row(self, row: PricedUsage) -> None:
        if row.funding == "credits" and self.plan == "enterprise":
            used = self.used[str(row.charge_month)]
            for kind, rate in zip(COUNTED, row.rates_picousd, strict=True):
                used[OfLine(str(row.usage_month), row.product, row.price_id, kind, rate)] += getattr(row, kind)

    def _take_bill(self, said: InvoiceDrafted | InvoiceFinalized) -> None:
        month = str(said.month)
        is_final = isinstance(said, InvoiceFinalized)
        used = self.used.pop(month, Counter()) if is_final else Counter(self.used[month])
        bill = Bill(said, list(said.lines), used, self.carried)
        self.bills.append(bill)
        if isinstance(said, InvoiceFinalized):
            self.invoices.append(bill)
            if said.number is not None:
                self.open[said.number] += said.due_picousd

    def _take_payment(self, payment: PaymentReceived) -> None:
        self.payments.append(payment)
        self.open[payment.invoice_number] -= payment.amount_picousd
        left = self.open[payment.invoice_number]
        if payment.open_picousd != left or left < 0 or payment.amount_picousd <= 0:
            self.wrong.append(f"open are {left} after {payment}")

    @property
    def carried(self) -> int:
        return self.invoices[-1].said.carried_picousd if self.invoices else 0

    def sum_of(self, account: str, month: str | None = None, type_: str | None = None) -> int:
        return sum(
            amount
            for (of, charge_month, kind), amount in self.moved.items()
            if of == account and month in (None, charge_month) and type_ in (None, kind)
        )


# The invariants. Each looks at an organisation's bills after a transaction, and says what is wrong.


def what_is_burnt_is_invoiced(billed: Billed, closed: str) -> Iterator[str]:
    """R41, to the last picodollar, by month: rows, lines and entries."""
    for bill in billed.bills:
        lines = {
            OfLine(
                str(line.usage_month), line.product, line.price_id, line.token_kind, line.rate_picousd
            ): line.quantity
            for line in bill.usage
        }
        if lines != {of: quantity for of, quantity in bill.used.items() if quantity}:
            yield f"used were {bill.used}, and it says {bill}"
        exact = [line.quantity * line.rate_picousd for line in bill.usage]
        if [line.exact_picousd for line in bill.usage] != exact or bill.said.exact_picousd != sum(exact):
            yield f"quantities times rates are {exact}, and it says {bill}"
    invoiced = Counter[str]()
    for bill in billed.invoices:
        invoiced[str(bill.said.month)] += bill.said.exact_picousd
    for month in {month for _, month, _ in billed.moved} | invoiced.keys() | billed.used.keys():
        cleared = [billed.sum_of(account, month, "invoice") for account in ("unbilled", "receivable")]
        if cleared != [invoiced[month]] * 2:
            yield f"of {month} invoiced are {invoiced[month]}, entered {cleared}"
        left = sum(quantity * of.rate for of, quantity in billed.used[month].items())
        if billed.sum_of("unbilled", month) != -left:
            yield f"of {month} not invoiced yet are {left}, the entries sum to {billed.sum_of('unbilled', month)}"


def what_is_over_is_invoiced(billed: Billed, closed: str) -> Iterator[str]:
    """R7, R9b, R39: a month that closed, a plan that was left."""
    for month, used in billed.used.items():
        if used and (month <= closed or billed.plan != "enterprise"):
            yield f"on {billed.plan}, closed through {closed}, not invoiced of {month} are {used}"


def rounded_lines_add_up(billed: Billed, closed: str) -> Iterator[str]:
    """R39."""
    for bill in billed.bills:
        said, exact = bill.said, sum(line.exact_picousd for line in bill.lines)
        rounded = _to_the_cent(exact)
        if rounded != sum(line.amount_picousd for line in bill.lines):
            yield f"the sum is {rounded}, and it says {bill}"
        if said.total_picousd != max(0, rounded) or said.line_count != len(bill.lines):
            yield f"{len(bill.lines)} lines come to {rounded}, and it says {said}"
        for line in bill.lines:
            error = abs(line.amount_picousd - line.exact_picousd)
            if line.amount_picousd % PICOUSD_PER_CENT or error >= PICOUSD_PER_CENT:
                yield f"by less than a cent, and to a whole one, was not rounded {line}"
        if isinstance(said, InvoiceFinalized) and said.carried_picousd != min(0, rounded):
            yield f"of {rounded} it carries {said.carried_picousd}: {said}"


def _to_the_cent(picousd: int) -> int:
    """Half away from zero."""
    cents = (2 * abs(picousd) + PICOUSD_PER_CENT) // (2 * PICOUSD_PER_CENT)
    return (cents if picousd > 0 else -cents) * PICOUSD_PER_CENT


def numbers_have_no_gaps(billed: Billed, closed: str) -> Iterator[str]:
    """R39; of invoices, of the parts of a month, of credit notes."""
    finalized = [bill.said for bill in billed.invoices]
    numbers = [said.number for said in finalized if said.number is not None]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"invoices are numbered {numbers}"
    for month in {said.month for said in finalized}:
        parts = [said.part for said in finalized if said.month == month]
        if parts != list(range(1, len(parts) + 1)):
            yield f"the parts of {month} are {parts}"
    if [note.number for note in billed.notes] != list(range(1, len(billed.notes) + 1)):
        yield f"credit notes are {billed.notes}"


def what_is_due_is_receivable(billed: Billed, closed: str) -> Iterator[str]:
    """Readings 44-49, 52, 53; what the wallet paid and what its debts were, it says as well."""
    due = debts = paid = 0
    for bill in billed.invoices:
        said, debt = bill.said, bill.of_balances("debt")
        due, debts, paid = due + said.due_picousd, debts + debt, paid + said.offset_picousd
        if (
            said.due_picousd + said.offset_picousd != said.total_picousd
            or min(said.due_picousd, said.offset_picousd) < 0
        ):
            yield f"due and offset are not its total: {said}"
        if bill.of_balances("carried") != bill.carried or (debt and said.offset_picousd):
            yield f"carried were {bill.carried}, and it says {bill}"
    credited = Counter[int]()
    for note in billed.notes:
        credited[note.invoice_number] += note.amount_picousd
    totals = {bill.said.number: bill.said.total_picousd for bill in billed.invoices}
    if any(amount > totals.get(number, 0) for number, amount in credited.items()):
        yield f"credited are {credited}, invoiced were {totals}"
    yield from billed.wrong
    received = sum(payment.amount_picousd for payment in billed.payments)
    if billed.sum_of("receivable", type_="payment") != -received:
        yield f"paid were {received}, entered are {billed.sum_of('receivable', type_='payment')}"
    ids = [payment.payment_id for payment in billed.payments]
    if len(set(ids)) < len(ids):
        yield f"payments are {ids}"
    receivable = due - credited.total() - received + billed.carried
    if billed.sum_of("receivable") != receivable:
        yield f"receivable is {receivable}, the entries sum to {billed.sum_of('receivable')}"
    if billed.sum_of("wallet", type_="offset") != debts - paid:
        yield f"the wallet paid {paid} and owed {debts}, entered are {billed.sum_of('wallet', type_='offset')}"


def statements_go_on_where_the_last_one_ended(billed: Billed, closed: str) -> Iterator[str]:
    """R40; none is missing that says what moved in a month that is closed, and nothing moves in it afterwards."""
    closing, months = 0, []
    for statement in billed.statements:
        sums = {type_: getattr(statement, f"{type_}_picousd") for type_ in STATEMENT_TYPES}
        moved = {type_: billed.sum_of("wallet", str(statement.month), type_) for type_ in STATEMENT_TYPES}
        if sums != moved or statement.opening_picousd != closing:
            yield f"after {closing} moved {moved}, and it says {statement}"
        closing = statement.closing_picousd
        if closing != statement.opening_picousd + sum(sums.values()):
            yield f"it does not add up: {statement}"
        months.append(str(statement.month))
    if months != sorted(set(months)):
        yield f"statements are of {months}"
    moved_in = {month for account, month, _ in billed.moved if account == "wallet" and month <= closed}
    if not moved_in <= set(months):
        yield f"closed through {closed}, the wallet moved in {sorted(moved_in)}, statements are of {months}"


CHECKS = (
    what_is_burnt_is_invoiced,
    what_is_over_is_invoiced,
    rounded_lines_add_up,
    numbers_have_no_gaps,
    what_is_due_is_receivable,
    statements_go_on_where_the_last_one_ended,
)
