"""`usage-credits invoice` and `statement`: what is wanted comes in; tables, JSON, CSV or a page to print go out."""

import json
import re
from pathlib import Path
from typing import Any, Literal

from rich.console import RenderableType

from pipeline.clickhouse import open_clickhouse
from pipeline.errors import Mendable
from pipeline.invoices import files, tables
from pipeline.invoices.billed import Invoice, Line
from pipeline.invoices.page import page_of
from pipeline.invoices.reading import Wanted, in_full, invoices, sql_of_usage, statements, usage_of_line
from pipeline.invoices.words import BALANCE_NAMES
from pipeline.screen import apart, console
from pipeline.whole_files import opened

Format = Literal["json", "csv", "html"]

_MONTH_AND_PART = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))(?:\.(\d{1,9}))?", re.ASCII)


def run_list(wanted: Wanted, data_dir: Path | None, *, as_json: bool) -> None:
    """Print drafts and invoices, a line each."""
    with open_clickhouse(data_dir) as client:
        found = invoices(client, wanted)
    if as_json:
        _print_json([files.head_of(invoice) for invoice in found])
    else:
        of = f" of {', '.join(wanted.org_ids)}" if wanted.org_ids else ""
        _print(tables.list_of(found) if found else f"no invoice, no draft{of}")


def run_show(org_id: str, which: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Print an invoice with its lines; of a month, all there are.

    Raises:
        Mendable: there is none.
    """
    found = _found(wanted_of(org_id, which), data_dir)
    if as_json:
        documents = [files.document_of(invoice) for invoice in found]
        _print_json(documents[0] if len(documents) == 1 else documents)
        return
    _print(*map(tables.page_of, found))
    hint = f"From a line down to its usage: usage-credits invoice show {org_id} {which} --why LINE"
    _print(apart(hint))


def run_why(org_id: str, which: str, number: int, limit: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Print what a line is made of.

    Raises:
        Mendable: there is no such invoice, or line, or it is of no usage.
    """
    with open_clickhouse(data_dir) as client:
        invoice = _one(client, wanted_of(org_id, which))
        line = _line(invoice, number)
        usage, all_of_it = usage_of_line(client, invoice, line, limit)
    if as_json:
        _print_json(files.document_of_usage(line, usage, all_of_it))
        return
    _print(tables.why(line, usage, all_of_it), apart("By this query; `usage-credits query` runs it:"))
    print(sql_of_usage(invoice, line))


def run_export(wanted: Wanted, as_format: Format, output: Path | None, data_dir: Path | None) -> None:
    """Write invoices, with their lines, to a file or to stdout.

    Raises:
        Mendable: there is none, or no folder for the file.
    """
    found = _found(wanted, data_dir)
    match as_format:
        case "json":
            text = json.dumps([files.document_of(invoice) for invoice in found], indent=2) + "\n"
        case "csv":
            text = files.csv_of(found)
        case "html":
            text = page_of(found)
    with opened(output) as out:
        out.write(text.encode())


def run_statement(org_id: str, month: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Print an organisation's statements, a month each, or the one of a month.

    Raises:
        Mendable: there is none.
    """
    with open_clickhouse(data_dir) as client:
        found = statements(client, org_id, month or "")
    if not found:
        of_month = f" for {month}" if month else ""
        raise Mendable(f"{org_id} has no statement{of_month}; the first is issued when a month with a wallet closes")
    if as_json:
        _print_json([files.document_of_statement(statement) for statement in found])
    else:
        _print(tables.statement_of(org_id, found))


def wanted_of(org_id: str, which: str) -> Wanted:
    """Which invoice people mean: `7` by its number, `2026-02` by its month, `2026-02.2` by month and part.

    Raises:
        Mendable: neither.
    """
    if which.isascii() and which.isdigit() and 0 < int(which) < 2**63:
        return Wanted((org_id,), number=int(which))
    match = _MONTH_AND_PART.fullmatch(which)
    if match is None:
        raise Mendable(f"{which!r} is no invoice; write its number, such as 7, or its month, such as 2026-02")
    return Wanted((org_id,), month=match[1], part=int(match[2] or 0))


def _found(wanted: Wanted, data_dir: Path | None) -> list[Invoice]:
    with open_clickhouse(data_dir) as client:
        found = [in_full(client, invoice) for invoice in invoices(client, wanted)]
    if not found:
        raise Mendable(_none(wanted))
    return found


def _one(client: Any, wanted: Wanted) -> Invoice:
    found = invoices(client, wanted)
    if not found:
        raise Mendable(_none(wanted))
    if len(found) > 1:
        parts = ", ".join(f"{invoice.month}.{invoice.part}" for invoice in found)
        raise Mendable(f"there are {len(found)} invoices of that month; name one: {parts}")
    return in_full(client, found[0])


def _none(wanted: Wanted) -> str:
    whose = f"{', '.join(wanted.org_ids)} has" if wanted.org_ids else "there is"
    which = f"invoice {wanted.number}" if wanted.number else f"invoice and no draft for {wanted.month or 'any month'}"
    return f"{whose} no {which}; `usage-credits invoice list` shows those there are"


def _line(invoice: Invoice, number: int) -> Line:
    line = next((line for line in invoice.lines if line.number == number), None)
    if line is None:
        raise Mendable(f"{invoice.name} has lines 1 to {len(invoice.lines)}; there is no line {number}")
    if line.kind != "usage":
        raise Mendable(f"line {number} is no usage: it is {BALANCE_NAMES[line.kind]}")
    return line


def _print(*parts: RenderableType) -> None:
    console(markup=False).print(*parts, sep="\n")


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2))
