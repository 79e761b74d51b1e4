"""Invoices and statements go in; JSON and CSV for other programs come out, amounts as exact decimal dollars (R13)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.invoices.billed import Invoice, Line, Statement, UsageOfLine, UsageSum
from schemas.instants import format_instant
from schemas.money import usd_from_picousd

COLUMNS = (
    "org_id", "month", "part", "number", "state",
    "line", "kind", "usage_month", "product", "model", "price_id", "token_kind",
    "quantity", "rate_usd", "exact_usd", "amount_usd",
)  # fmt: skip

_FORMULA = ("=", "+", "-", "@")


def document_of(invoice: Invoice) -> dict[str, Any]:
    """All there is of one."""
    return {
        **head_of(invoice),
        "rounding_usd": usd_from_picousd(invoice.rounding_picousd),
        "lines": [_line(line) for line in invoice.lines],
        "credit_notes": [_dollars(note._asdict()) for note in invoice.credit_notes],
        "payments": [_dollars(payment._asdict()) for payment in invoice.payments],
    }


def head_of(invoice: Invoice) -> dict[str, Any]:
    """One without its lines, as `list` has it."""
    names = ("org_id", "month", "part", "state", "number", "reason", "at_micros")
    amounts = ("exact", "total", "carried", "offset", "due", "credited", "paid", "open")
    return _dollars({name: getattr(invoice, name) for name in (*names, *(f"{amount}_picousd" for amount in amounts))})


def document_of_statement(statement: Statement) -> dict[str, Any]:
    """All there is of one."""
    return _dollars(statement._asdict())


def document_of_usage(line: Line, usage: Iterable[UsageOfLine], all_of_it: UsageSum) -> dict[str, Any]:
    """A line, what all of its events come to, and those that were asked for."""
    return {
        "line": _line(line),
        "all": _dollars(all_of_it._asdict()),
        "usage": [_dollars(one._asdict()) for one in usage],
    }


def csv_of(invoices: Sequence[Invoice]) -> str:
    """A row per line. The amounts of an invoice's rows add up to its total, or to what it carries on."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for invoice in invoices:
        head = (invoice.org_id, invoice.month, invoice.part, invoice.number, invoice.state)
        for line in invoice.lines:
            told = _line(line)
            rows.writerow(_text(value) for value in (*head, *told.values()))
    return text.getvalue()


def _line(line: Line) -> dict[str, Any]:
    told = _dollars(line._asdict())
    return {"line": told.pop("number"), **told}


def _text(value: object) -> object:
    """A name that a spreadsheet would take for a formula is marked as text."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    return value if value[1:].replace(".", "").isdigit() else f"'{value}"


def _dollars(values: dict[str, Any]) -> dict[str, Any]:
    """`*_picousd` as `*_usd`, `at_micros` as an instant."""
    told: dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith("_picousd"):
            told[name.replace("_picousd", "_usd")] = usd_from_picousd(value)
        elif name.endswith("_micros"):
            told[name.removesuffix("_micros")] = None if value is None else format_instant(value)
        else:
            told[name] = value
    return told
