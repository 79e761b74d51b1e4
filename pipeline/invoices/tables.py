"""Invoices and statements go in; tables for a person come out, a hundred columns wide.

Amounts that are billed are whole cents; what is meant exactly shows every digit it has.
"""

from collections.abc import Iterator, Sequence

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.invoices.billed import Invoice, Line, Statement, UsageOfLine, UsageSum
from pipeline.invoices.words import BALANCE_NAMES, KIND_NAMES, minute, quantity_of, rate_of, state_of
from pipeline.screen import WIDTH, apart, table, title
from schemas.money import exact_for_people
from schemas.money import spend_for_people as cents

_STATEMENT = {
    "opening_picousd": "opening balance",
    "purchase_picousd": "purchases",
    "grant_picousd": "grants",
    "burn_picousd": "used",
    "refund_picousd": "refunds",
    "adjust_picousd": "adjustments",
    "offset_picousd": "set against invoices",
    "expiry_picousd": "expired",
    "closing_picousd": "closing balance",
}
_MONTHS_ABREAST = 4


def list_of(invoices: Sequence[Invoice]) -> RenderableType:
    """A line each."""
    made = table("organisation", "month", "number", "state", "exact", "total", "due", "open", right=(2, 4, 5, 6, 7))
    exact = exact_for_people(invoice.exact_picousd for invoice in invoices)
    for invoice, exact_usd in zip(invoices, exact, strict=True):
        month = invoice.month if invoice.part == 1 else f"{invoice.month}.{invoice.part}"
        number = "–" if invoice.number is None else str(invoice.number)
        amounts = (cents(invoice.total_picousd), cents(invoice.due_picousd), _open(invoice))
        made.add_row(invoice.org_id, month, number, invoice.state, exact_usd, *amounts)
    return apart(made)


def _open(invoice: Invoice) -> str:
    """Nothing is to be paid of what is no invoice yet, or has no number."""
    return "–" if invoice.number is None else cents(invoice.open_picousd)


# One invoice.


def page_of(invoice: Invoice) -> RenderableType:
    """All of it: lines, how they come to what is due and open, credit notes, payments."""
    part = f", part {invoice.part}" if invoice.part > 1 else ""
    return Stack(
        title(f"{invoice.org_id}: {invoice.name}", f"{invoice.month}{part}, {state_of(invoice)}"),
        _lines(invoice),
        _sums(invoice),
        *_credit_notes(invoice),
        *_payments(invoice),
    )


def _lines(invoice: Invoice) -> RenderableType:
    """Lines below the product and price id that they share; by hand, since a table's heading cannot span columns."""
    exact = exact_for_people(line.exact_picousd for line in invoice.lines)
    cells = [
        (str(line.number), _name(line), quantity_of(line), rate_of(line), exact_usd, cents(line.amount_picousd))
        for line, exact_usd in zip(invoice.lines, exact, strict=True)
    ]
    heads = ("line", "", "quantity", "rate", "exact", "amount")
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    widths[1] += max(0, WIDTH - sum(widths) - 2 * len(widths) + 2)
    shown = [Text(_row(heads, widths), "bold"), Text("─" * (sum(widths) + 2 * len(widths) - 2))]
    rows = iter(cells)
    for group in invoice.groups():
        amount = cents(group.amount_picousd)
        if group.price_id:
            name = f"{group.product}  {group.price_id}"
            late = f"  used in {group.usage_month}, which was closed" if invoice.is_prior(group) else ""
            space = " " * max(2, len(shown[1]) - widths[0] - 2 - len(name) - len(late) - len(amount))
            shown.append(
                Text.assemble(" " * (widths[0] + 2), (name, "bold"), (late, "yellow"), space, (amount, "bold"))
            )
        shown += [Text(_row(next(rows), widths)) for _ in group.lines]
    return apart(Stack(*shown))


def _name(line: Line) -> str:
    return f"  {KIND_NAMES[line.token_kind]}" if line.kind == "usage" else BALANCE_NAMES[line.kind]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell.ljust(width) if at == 1 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _sums(invoice: Invoice) -> RenderableType:
    exact, rounding = exact_for_people((sum(line.exact_picousd for line in invoice.lines), invoice.rounding_picousd))
    made = table("in all", "", right=(1,))
    made.expand = False
    made.add_row("all lines, exact", exact)
    made.add_row("rounded, once", rounding)
    if invoice.carried_picousd:
        made.add_row("below zero: carried to the next invoice", cents(-invoice.carried_picousd))
    made.add_row(Text("total", "bold"), Text(cents(invoice.total_picousd), "bold"))
    if invoice.state == "finalized":
        made.add_row("paid from the wallet", cents(-invoice.offset_picousd))
        made.add_row(Text("due", "bold"), Text(cents(invoice.due_picousd), "bold"))
        if invoice.is_settled:
            if invoice.credited_picousd:
                made.add_row("taken back by credit notes", cents(-invoice.credited_picousd))
            if invoice.paid_picousd:
                made.add_row("paid", cents(-invoice.paid_picousd))
            made.add_row(Text("open", "bold"), Text(cents(invoice.open_picousd), "bold"))
    return apart(made)


def _credit_notes(invoice: Invoice) -> Iterator[RenderableType]:
    if not invoice.credit_notes:
        return
    made = table("credit note", "issued", "why", "amount", right=(0, 3))
    for note in invoice.credit_notes:
        made.add_row(str(note.number), minute(note.at_micros), Text(note.note), cents(-note.amount_picousd))
    made.add_section()
    made.add_row("", "", "total, credit notes taken off", cents(invoice.total_picousd - invoice.credited_picousd))
    yield apart(made)


def _payments(invoice: Invoice) -> Iterator[RenderableType]:
    if not invoice.payments:
        return
    made = table("payment", "received", "amount", right=(2,))
    for payment in invoice.payments:
        made.add_row(Text(payment.payment_id), minute(payment.at_micros), cents(payment.amount_picousd))
    yield apart(made)


# Down to the usage.


def why(line: Line, usage: Sequence[UsageOfLine], all_of_it: UsageSum) -> RenderableType:
    """What a line is made of: its dearest events, and the check that all of them come to it."""
    made = table("occurred", "member", "event", "quantity", "exact", right=(3, 4))
    *exact, line_exact, sum_exact = exact_for_people(
        [*(one.exact_picousd for one in usage), line.exact_picousd, all_of_it.exact_picousd]
    )
    for one, exact_usd in zip(usage, exact, strict=True):
        event = f"{one.event_id}, corrects {one.corrects}" if one.corrects else one.event_id
        made.add_row(minute(one.occurred_at_micros), one.user_id, event, f"{one.quantity:,}", exact_usd)
    if more := all_of_it.events - len(usage):
        made.add_row("", "", f"and {more:,} more; --limit shows them", "", "")
    made.add_section()
    made.add_row("", "", f"all {all_of_it.events:,}", f"{all_of_it.quantity:,}", sum_exact)
    agrees = (all_of_it.quantity, all_of_it.exact_picousd) == (line.quantity, line.exact_picousd)
    verdict = (
        Text(f"✓ {line.quantity:,} at {rate_of(line)} are {line_exact}: the line, and all of its events", "green")
        if agrees
        else Text(f"✗ the line says {line.quantity:,} at {rate_of(line)}: {line_exact}", "bold red")
    )
    return Stack(
        title(f"Line {line.number}", f"{line.product}, {line.price_id}, {KIND_NAMES[line.token_kind]}"),
        apart(made),
        apart(verdict),
    )


# Statements.


def statement_of(org_id: str, statements: Sequence[Statement]) -> RenderableType:
    """A column a month, up to four at once, what came in and went out between opening and closing balance."""
    return Stack(
        title(f"{org_id}: statement", "of the wallet; exact"),
        *(_months(statements[first : first + _MONTHS_ABREAST]) for first in range(0, len(statements), _MONTHS_ABREAST)),
    )


def _months(statements: Sequence[Statement]) -> RenderableType:
    made: Table = table("", *(one.month for one in statements), right=range(1, len(statements) + 1))
    made.expand = False
    for name, label in _STATEMENT.items():
        amounts = exact_for_people(getattr(one, name) for one in statements)
        style = "bold" if name in ("opening_picousd", "closing_picousd") else ""
        made.add_row(Text(label, style), *(Text(amount, style) for amount in amounts))
    return apart(made)
