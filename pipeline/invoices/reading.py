"""Whom and which month comes in; invoices, drafts and statements out of ClickHouse's views go out.

What is finalised is read as it was published. What is not is read as it stands now: the account `unbilled` says how
much, `draft_lines` for what. Source: docs/rules.md R39, R40, R42.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from pipeline.domain.invoicing import rounded
from pipeline.invoices.billed import CreditNote, Invoice, Line, Payment, State, Statement, UsageOfLine, UsageSum
from schemas.instants import micros_from_datetime
from schemas.invoices import TokenKind
from schemas.money import picousd_from_usd
from sinks.clickhouse import literal

KINDS: tuple[TokenKind, ...] = get_args(TokenKind)

_WANTED = """
    (empty({orgs:Array(String)}) OR has({orgs:Array(String)}, org_id))
    AND ({month:String} = '' OR month = {month:String})
"""

_FINALIZED = f"""
SELECT
    org_id, month, part, state, number, reason, at,
    exact_usd, total_usd, carried_usd, offset_usd, due_usd,
    ifNull(credited_usd, toDecimal128(0, 12)), ifNull(paid_usd, toDecimal128(0, 12))
FROM invoices
LEFT JOIN (SELECT org_id, month, part, credited_usd, paid_usd FROM open_invoices) AS settled USING (org_id, month, part)
WHERE state = 'finalized' AND {_WANTED} AND ({{number:UInt64}} = 0 OR number = {{number:UInt64}})
ORDER BY org_id, month, part
"""

# A draft is what `unbilled` still holds of its month; the part is that of the next invoice.
_NOT_YET = f"""
SELECT org_id, month, 1 + max(parts) AS next_part, max(drafted_at), sum(exact)
FROM
(
    SELECT org_id, charge_month AS month, 0 AS parts, NULL AS drafted_at, -sum(amount_usd) AS exact
    FROM ledger_entries WHERE account = 'unbilled' GROUP BY org_id, charge_month
    UNION ALL
    SELECT
        org_id, month, if(state = 'draft', part - 1, part), if(state = 'draft', at, NULL),
        toDecimal128(0, 12)
    FROM invoices
)
WHERE {_WANTED}
GROUP BY org_id, month
HAVING sum(exact) != 0 OR max(drafted_at) IS NOT NULL
ORDER BY org_id, month
"""

_LINES = """
SELECT
    line_number, kind, usage_month, product, model, price_id, token_kind, quantity, rate_usd, exact_usd, amount_usd
FROM invoice_lines
WHERE org_id = {org:String} AND month = {month:String} AND part = {part:UInt32} AND state = 'finalized'
ORDER BY line_number
"""

_DRAFT_LINES = """
SELECT usage_month, product, model, price_id, token_kind, quantity, rate_usd, exact_usd
FROM draft_lines
WHERE org_id = {org:String} AND month = {month:String}
"""

_CREDIT_NOTES = """
SELECT number, invoice_number, amount_usd, note, at
FROM credit_notes
WHERE org_id = {org:String} AND invoice_number = {number:UInt64}
ORDER BY number
"""

_PAYMENTS = """
SELECT payment_id, invoice_number, amount_usd, at
FROM invoice_payments
WHERE org_id = {org:String} AND invoice_number = {number:UInt64}
ORDER BY org_seq
"""

_STATEMENTS = """
SELECT
    org_id, month, at,
    opening_usd, purchase_usd, grant_usd, burn_usd, refund_usd, adjust_usd, offset_usd, expiry_usd, closing_usd
FROM statements
WHERE org_id = {org:String} AND ({month:String} = '' OR month = {month:String})
ORDER BY month
"""

# From a line down to its usage: a row per event, and the reverse of one that was corrected apart.
_USAGE = """
FROM charged_usage
WHERE account = 'unbilled' AND org_id = {org} AND charge_month = {month} AND part = {part}
    AND usage_month = {usage_month} AND product = {product} AND price_id = {price_id} AND token_kind = {token_kind}"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which invoices; empty: of all organisations, of all months. A `number` leaves drafts out; 0: any."""

    org_ids: tuple[str, ...] = ()
    month: str = ""
    part: int = 0
    number: int = 0
    states: tuple[State, ...] = ()


def invoices(client: Any, wanted: Wanted) -> list[Invoice]:
    """Those wanted, by organisation, month and part, without their lines."""
    named: dict[str, Any] = {"orgs": list(wanted.org_ids), "month": wanted.month, "number": wanted.number}
    found = [Invoice(*row) for row in _rows(client, _FINALIZED, named)]
    if not wanted.number:
        found += [_not_yet(*row) for row in _rows(client, _NOT_YET, named)]
    return sorted(
        (
            invoice
            for invoice in found
            if (not wanted.part or invoice.part == wanted.part)
            and (not wanted.states or invoice.state in wanted.states)
        ),
        key=lambda invoice: (invoice.org_id, invoice.month, invoice.part),
    )


def in_full(client: Any, invoice: Invoice) -> Invoice:
    """The same with its lines, credit notes and payments."""
    named = {"org": invoice.org_id, "month": invoice.month, "part": invoice.part}
    if invoice.state != "finalized":
        return replace(invoice, lines=tuple(_draft_lines(invoice.month, _rows(client, _DRAFT_LINES, named))))
    lines = tuple(Line._make(row) for row in _rows(client, _LINES, named))
    if invoice.number is None:
        return replace(invoice, lines=lines)
    number = {"org": invoice.org_id, "number": invoice.number}
    notes = tuple(CreditNote._make(row) for row in _rows(client, _CREDIT_NOTES, number))
    payments = tuple(Payment._make(row) for row in _rows(client, _PAYMENTS, number))
    return replace(invoice, lines=lines, credit_notes=notes, payments=payments)


def statements(client: Any, org_id: str, month: str) -> list[Statement]:
    """Of one organisation, of a month or of all, by month."""
    return [Statement._make(row) for row in _rows(client, _STATEMENTS, {"org": org_id, "month": month})]


def usage_of_line(client: Any, invoice: Invoice, line: Line, limit: int) -> tuple[list[UsageOfLine], UsageSum]:
    """What a line of usage is made of: the dearest events, and what all of them come to."""
    sums = f"SELECT count(), sum(quantity), sum(exact_usd){_usage(invoice, line)}"
    ((events, quantity, exact_picousd),) = _rows(client, sums, {})
    found = _rows(client, f"{sql_of_usage(invoice, line)} LIMIT {limit}", {})
    return [UsageOfLine._make(row) for row in found], UsageSum(events, quantity, exact_picousd or 0)


def sql_of_usage(invoice: Invoice, line: Line) -> str:
    """The query that leads from a line to its events, dearest first, as anybody may repeat it."""
    return (
        "SELECT occurred_at, user_id, event_id, source, corrects, quantity, exact_usd"
        f"{_usage(invoice, line)}\nORDER BY abs(exact_usd) DESC, occurred_at, event_id, leg"
    )


def _usage(invoice: Invoice, line: Line) -> str:
    return _USAGE.format(
        org=literal(invoice.org_id),
        month=literal(invoice.month),
        part=invoice.part if invoice.state == "finalized" else 0,
        **{name: literal(getattr(line, name)) for name in ("usage_month", "product", "price_id", "token_kind")},
    )


def _not_yet(org_id: str, month: str, part: int, drafted_at: int | None, exact_picousd: int) -> Invoice:
    """As it would be finalised now; what is carried or owed comes with the invoice."""
    state: State = "open" if drafted_at is None else "draft"
    (sum_picousd,) = rounded([exact_picousd])
    total, carried = max(sum_picousd, 0), min(sum_picousd, 0)
    return Invoice(org_id, month, part, state, None, "", drafted_at, exact_picousd, total, carried, 0, total)


def _draft_lines(month: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[Line]:
    """In the order of an invoice, rounded as they would be (readings 42, 43)."""
    order = sorted(rows, key=lambda row: (row[0] != month, row[0], row[1], row[3], KINDS.index(row[4])))
    amounts = rounded([row[-1] for row in order])
    for number, (row, amount_picousd) in enumerate(zip(order, amounts, strict=True), start=1):
        yield Line._make((number, "usage", *row, amount_picousd))


def _rows(client: Any, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows with dollars as picodollars, and instants as microseconds."""
    return [tuple(map(_cell, row)) for row in client.query(sql, parameters=parameters).result_rows]


def _cell(value: Any) -> Any:
    match value:
        case Decimal():
            return picousd_from_usd(f"{value:f}")
        case datetime():
            return micros_from_datetime(value.replace(tzinfo=UTC))
    return value
