"""The equations of billing: what was found of a partition comes in; what must be equal, by place, comes out.

Source: docs/rules.md R38-R41; "Billing, in full", readings 38, 41, 43-54.
"""

from collections import Counter
from collections.abc import Iterator

from pipeline.proof.closing import of_closed_months
from pipeline.proof.equation import CLICKHOUSE, Equation, Found
from pipeline.topics import INVOICES, LEDGER_ENTRIES, LEDGER_STATE

LINES = "their lines"


def of_billing(found: Found) -> Iterator[Equation]:
    """All of them; none where nothing was billed."""
    for topic, count in (
        (LEDGER_ENTRIES.name, found.published.entries.count),
        (INVOICES.name, found.published.billing.count),
    ):
        name = "ledger entries" if topic == LEDGER_ENTRIES.name else "drafts, invoices, statements"
        yield Equation(name, {topic: count, CLICKHOUSE: found.billed.counts[topic]})
    for equation in (
        *_of_invoices(found),
        *_of_offsets(found),
        *_of_payments(found),
        *_of_statements(found),
        *of_closed_months(found),
        *_of_double_entry(found),
    ):
        if any(equation.values.values()):
            yield equation


def _of_invoices(found: Found) -> Iterator[Equation]:
    """Per organisation and charge month: what was burnt on Enterprise is invoiced or drafted, exactly, and in cents."""
    billing, stored, entries = found.published.billing, found.billed, found.published.entries.sums
    burnt, drafted = found.published.entries.burnt("unbilled"), found.remembered.drafted
    for key in sorted(burnt.keys() | billing.months.keys() | drafted.keys() | stored.exact.keys()):
        org_id, month = key
        invoiced = billing.months[key]
        to_invoice = {
            f"{LEDGER_ENTRIES.name}, unbilled": burnt[key],
            "invoices + drafts": invoiced.usage_picousd + drafted[key],
        }
        exact = {
            INVOICES.name: invoiced.exact_picousd,
            LINES: invoiced.usage_picousd,
            f"{LEDGER_ENTRIES.name}, unbilled": entries[*key, "unbilled", "invoice"],
            "receivable": entries[*key, "receivable", "invoice"],
            CLICKHOUSE: stored.exact[key],
        }
        rounding = entries[*key, "receivable", "rounding"]
        cents = {
            INVOICES.name: invoiced.sum_picousd,
            LINES: invoiced.amounts_picousd,
            "exact lines + rounding": invoiced.usage_picousd + invoiced.balances_picousd + rounding,
            CLICKHOUSE: stored.sums[key],
        }
        for name, values in (("to be invoiced", to_invoice), ("invoiced", exact), ("in whole cents", cents)):
            yield Equation(name, values, is_money=True, org_id=org_id, month=month)


def _of_offsets(found: Found) -> Iterator[Equation]:
    """Per organisation: what wallets paid of invoices, or owed and invoices took over, is in both accounts (R7)."""
    moved: Counter[tuple[str, str]] = Counter()
    for (org_id, _, account, kind), amount in found.published.entries.sums.items():
        if kind == "offset":
            moved[org_id, account] += amount
    billed = found.published.billing.offsets
    for org_id in sorted({org_id for org_id, _ in moved} | billed.keys()):
        values = {
            INVOICES.name: billed[org_id],
            "wallet": moved[org_id, "wallet"],
            "receivable": moved[org_id, "receivable"],
        }
        yield Equation("set against invoices", values, is_money=True, org_id=org_id)


def _of_payments(found: Found) -> Iterator[Equation]:
    """Per organisation: what customers paid of invoices, and what of them is open (reading 52)."""
    billing, memory, entered = found.published.billing, found.remembered.invoices, Counter[str]()
    for (org_id, _, account, kind), amount in found.published.entries.sums.items():
        if (account, kind) == ("receivable", "payment"):
            entered[org_id] -= amount
    opened, left, paid = Counter[str](), Counter[str](), Counter[str]()
    for (org_id, _), open_picousd in billing.open.items():
        opened[org_id] += open_picousd
    for invoice in memory:
        left[invoice.org_id] += invoice.open_picousd
        paid[invoice.org_id] += int(invoice.paid_picousd)
    for org_id in sorted(billing.paid.keys() | entered.keys() | paid.keys()):
        values = {INVOICES.name: billing.paid[org_id], "receivable": entered[org_id], LEDGER_STATE.name: paid[org_id]}
        yield Equation("paid of invoices", values, is_money=True, org_id=org_id)
        after = {INVOICES.name: billing.said_open[org_id], "what was due": billing.left_open[org_id]}
        yield Equation("open after payments", after, is_money=True, org_id=org_id)
    for org_id in sorted(opened.keys() | left.keys()):
        values = {INVOICES.name: opened[org_id], LEDGER_STATE.name: left[org_id]}
        yield Equation("open of invoices", values, is_money=True, org_id=org_id)


def _of_statements(found: Found) -> Iterator[Equation]:
    """Per statement: it goes on from the one before, and closes with the wallet's entries up to its month (R40)."""
    months: dict[str, list[tuple[str, int]]] = {}
    for (org_id, month, account, _), amount in found.published.entries.sums.items():
        if account == "wallet":
            months.setdefault(org_id, []).append((month, amount))
    for (org_id, month), statement in sorted(found.published.billing.statements.items()):
        opening = {"the one before": statement.before_picousd, "the statement": statement.opening_picousd}
        closing = {
            "the statement": statement.closing_picousd,
            "its sums": statement.opening_picousd + statement.moved_picousd,
            LEDGER_ENTRIES.name: sum(amount for moved_in, amount in months.get(org_id, ()) if moved_in <= month),
        }
        yield Equation("statement's opening", opening, is_money=True, org_id=org_id, month=month)
        yield Equation("statement's closing", closing, is_money=True, org_id=org_id, month=month)


def _of_double_entry(found: Found) -> Iterator[Equation]:
    """Per organisation and charge month, in the view that shows it."""
    sums = found.billed
    for org_id, month in sorted(sums.debits.keys() | sums.credits.keys()):
        values = {"debits": sums.debits[org_id, month], "credits": sums.credits[org_id, month]}
        yield Equation("double entry", values, is_money=True, org_id=org_id, month=month)
