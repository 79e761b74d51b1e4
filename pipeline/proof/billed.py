"""What was billed: records of `invoices` in; sums of invoices, their lines, credit notes, payments and statements out.

Plain additions, as in published.py. Source: docs/rules.md R39-R41; "Billing, in full", readings 42-54.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from pipeline.proof.records import at, read
from pipeline.proof.sums import OrganizationMonth
from pipeline.reading import Record
from schemas.instants import parse_instant

_MOVED = ("purchase", "grant", "burn", "refund", "adjust", "offset", "expiry")
"""What a statement says between opening and closing."""


class _Line(msgspec.Struct, gc=False):
    kind: str
    exact_picousd: str
    amount_picousd: str


class _Data(msgspec.Struct, gc=False):
    """All that the six types say, as far as it is added up here."""

    org_id: str
    org_seq: int = 0
    at: str = ""
    month: str = ""
    part: int = 0
    number: int | None = None
    invoice_number: int = 0
    reason: str = ""
    of: str = ""
    line_count: int = 0
    lines: list[_Line] = []
    exact_picousd: str = "0"
    total_picousd: str = "0"
    carried_picousd: str = "0"
    due_picousd: str = "0"
    amount_picousd: str = "0"
    open_picousd: str = "0"
    opening_picousd: str = "0"
    purchase_picousd: str = "0"
    grant_picousd: str = "0"
    burn_picousd: str = "0"
    refund_picousd: str = "0"
    adjust_picousd: str = "0"
    offset_picousd: str = "0"
    expiry_picousd: str = "0"
    closing_picousd: str = "0"


class _Envelope(msgspec.Struct, gc=False):
    type: str
    data: _Data


_decode: Any = msgspec.json.Decoder(_Envelope).decode


@dataclass(slots=True)
class InvoicedMonth:
    """The finalised invoices of one organisation and charge month.

    Attributes:
        exact_picousd, sum_picousd: as they say: what their usage costs; total and what is carried.
        usage_picousd, balances_picousd: exact, of their usage lines; of their lines carried and debt.
        amounts_picousd: of all their lines, in whole cents.
    """

    exact_picousd: int = 0
    sum_picousd: int = 0
    usage_picousd: int = 0
    balances_picousd: int = 0
    amounts_picousd: int = 0


class Statement(NamedTuple):
    """What a statement says, and what the one before it closed with (0 if it is the first); and where it lies."""

    place: str
    before_picousd: int
    opening_picousd: int
    moved_picousd: int
    closing_picousd: int


@dataclass(slots=True)
class _Open:
    """An invoice of which not all lines were read yet: where it lies, and what is left of its lines and sums."""

    place: str
    lines: int
    exact_picousd: int
    sum_picousd: int


@dataclass(slots=True)
class Billing:
    """What the invoices of one partition add up to.

    Attributes:
        due: by organisation, what is due less credit notes and payments; `paid` is the payments alone.
        open: the same of each invoice, by its number.
        said_open, left_open: by organisation, what payments say is open after each of them, and what was.
        carried: by organisation, what its last invoice carried on.
        offsets: by organisation, debts that invoices took over, less what wallets paid.
        invoices: all that were finalised, by organisation and `<month>.<part>`.
        finalized: the number of the last one of an organisation and charge month; `stated`: how many statements.
        closes: when each month closed, where anything was published of that.
        breaks: of each organisation, the first event that does not go on from those before it.
    """

    count: int = 0
    last_offset: int = -1
    months: defaultdict[OrganizationMonth, InvoicedMonth] = field(default_factory=lambda: defaultdict(InvoicedMonth))
    statements: dict[OrganizationMonth, Statement] = field(default_factory=dict)
    due: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    open: Counter[tuple[str, int]] = field(default_factory=Counter)
    said_open: Counter[str] = field(default_factory=Counter)
    left_open: Counter[str] = field(default_factory=Counter)
    carried: dict[str, int] = field(default_factory=dict)
    offsets: Counter[str] = field(default_factory=Counter)
    invoices: set[tuple[str, str]] = field(default_factory=set)
    finalized: dict[OrganizationMonth, int] = field(default_factory=dict)
    stated: Counter[OrganizationMonth] = field(default_factory=Counter)
    closes: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _closings: dict[str, int] = field(default_factory=dict)
    _open: dict[str, _Open] = field(default_factory=dict)

    def receivable(self, org_id: str) -> int:
        """What an organisation has to pay (reading 48)."""
        return self.due[org_id] + self.carried.get(org_id, 0)

    def take(self, records: Sequence[Record]) -> None:
        """Records in order."""
        self.count += len(records)
        self.last_offset = records[-1].offset
        for record in records:
            envelope: _Envelope = read(_decode, record)
            said = envelope.data
            match envelope.type:
                case "usage-credits.invoice.finalized":
                    self._finalized(record, said)
                case "usage-credits.invoice.continued" if said.of == "invoice":
                    self._lines(at(record), said)
                case "usage-credits.credit_note.issued":
                    self._settled(said)
                case "usage-credits.payment.received":
                    self._payment(record, said)
                case "usage-credits.statement.issued":
                    self._statement(record, said)

    def _finalized(self, record: Record, said: _Data) -> None:
        org_id, place = said.org_id, f"{at(record)}: invoice {said.month}.{said.part}"
        exact, total = int(said.exact_picousd), int(said.total_picousd)
        month = self.months[org_id, said.month]
        month.exact_picousd += exact
        month.sum_picousd += total + int(said.carried_picousd)
        self.due[org_id] += int(said.due_picousd)
        self.carried[org_id] = int(said.carried_picousd)
        self.offsets[org_id] -= int(said.offset_picousd)
        self.invoices.add((org_id, f"{said.month}.{said.part}"))
        self.finalized[org_id, said.month] = said.org_seq
        if said.reason == "month_closed":
            self.closes[said.month] = parse_instant(said.at)
        if said.number is not None:
            self.open[org_id, said.number] = int(said.due_picousd)
            last = self._numbers.get(org_id, 0)
            if said.number != last + 1:
                self._break(org_id, f"{place} has number {said.number}, the one before it {last}")
            self._numbers[org_id] = said.number
        if unfinished := self._open.pop(org_id, None):
            self._break(org_id, f"{unfinished.place} lacks {unfinished.lines} lines")
        self._open[org_id] = _Open(place, said.line_count, exact, total + int(said.carried_picousd))
        self._lines(place, said)

    def _lines(self, place: str, said: _Data) -> None:
        """The next lines of the invoice that is open."""
        month = self.months[said.org_id, said.month]
        invoice = self._open.get(said.org_id)
        if invoice is None:
            self._break(said.org_id, f"{place} continues no invoice")
            invoice = _Open(place, 0, 0, 0)
        for line in said.lines:
            exact, amount = int(line.exact_picousd), int(line.amount_picousd)
            month.amounts_picousd += amount
            invoice.sum_picousd -= amount
            if line.kind == "usage":
                month.usage_picousd += exact
                invoice.exact_picousd -= exact
            else:
                month.balances_picousd += exact
            if line.kind == "debt":
                self.offsets[said.org_id] += exact
        invoice.lines -= len(said.lines)
        if invoice.lines <= 0:
            self._open.pop(said.org_id, None)
            if invoice.exact_picousd or invoice.sum_picousd:
                self._break(
                    said.org_id,
                    f"{invoice.place} is more than its lines by {invoice.exact_picousd} exact and "
                    f"{invoice.sum_picousd} rounded picodollars",
                )

    def _settled(self, said: _Data) -> int:
        """A credit note or payment: what of its invoice is open after it."""
        amount, invoice = int(said.amount_picousd), (said.org_id, said.invoice_number)
        self.due[said.org_id] -= amount
        self.open[invoice] -= amount
        return self.open[invoice]

    def _payment(self, record: Record, said: _Data) -> None:
        self.paid[said.org_id] += int(said.amount_picousd)
        left = self._settled(said)
        self.said_open[said.org_id] += int(said.open_picousd)
        self.left_open[said.org_id] += left
        if left != int(said.open_picousd) or left < 0:
            place = f"{at(record)}: a payment of invoice {said.invoice_number}"
            self._break(said.org_id, f"{place} leaves {said.open_picousd} picodollars open, not {left}")

    def _statement(self, record: Record, said: _Data) -> None:
        org_id, opening = said.org_id, int(said.opening_picousd)
        before = self._closings.get(org_id, 0)
        moved = sum(int(getattr(said, f"{name}_picousd")) for name in _MOVED)
        place = f"{at(record)}: the statement of {said.month}"
        self.statements[org_id, said.month] = Statement(place, before, opening, moved, int(said.closing_picousd))
        self.stated[org_id, said.month] += 1
        self.closes[said.month] = parse_instant(said.at)
        self._closings[org_id] = int(said.closing_picousd)
        if opening != before:
            self._break(org_id, f"{place} opens with {opening} picodollars, the one before it closed with {before}")
        if opening + moved != int(said.closing_picousd):
            self._break(org_id, f"{place} closes with {said.closing_picousd} picodollars, not {opening + moved}")

    def _break(self, org_id: str, what: str) -> None:
        self.breaks.setdefault(org_id, what)
