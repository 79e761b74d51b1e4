"""What is billed, in ClickHouse on a real engine: entries and invoices as published, and the views over them."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from schemas.events import LedgerEvent
from schemas.invoices import (
    BalanceLine,
    CreditNoteIssued,
    InvoiceContinued,
    InvoiceDrafted,
    InvoiceFinalized,
    PaymentReceived,
    StatementIssued,
    UsageLine,
)
from schemas.ledger import EntryCause, LedgerEntry
from schemas.month import Month
from sinks.clickhouse import ClickHouse
from sinks.errors import Broken
from sinks.event_table import EventTable
from sinks.migrate import migrate
from tests.support.sink_tables import claim_of, projections, store, store_events, store_rows
from tests.support.sink_world import KafkaRecord, priced_row

USD = 10**12
CENT = 10**10


@pytest.fixture
async def database(clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]) -> AsyncIterator[ClickHouse]:
    """A migrated database of its own."""
    found = ClickHouse(clickhouse.url, fresh_name("billing"))
    await migrate(found)
    yield found
    await found.close()


def month(text: str) -> Month:
    return Month.parse(text)


def entry(**fields: Any) -> LedgerEntry:
    usual: dict[str, Any] = {
        "org_id": "acme",
        "org_seq": 5,
        "at_micros": 1_770_000_000_000_001,
        "type": "burn",
        "account": "unbilled",
        "amount_picousd": -USD,
        "balance_after_picousd": -USD,
        "charge_month": month("2026-02"),
        "cause": EntryCause(kind="usage", id="5"),
    }
    return LedgerEntry(**(usual | fields))


def line(**fields: Any) -> UsageLine:
    usual: dict[str, Any] = {
        "usage_month": month("2026-02"),
        "product": "chat",
        "model": "claude-sonnet-4-5",
        "price_id": "claude-sonnet-4-5@2025-09-29",
        "token_kind": "input_tokens",
        "quantity": 1,
        "rate_picousd": USD,
        "exact_picousd": USD,
        "amount_picousd": USD,
    }
    return UsageLine(**(usual | fields))


def drafted(*lines: Any, **fields: Any) -> InvoiceDrafted:
    return InvoiceDrafted(**_invoice(lines, fields))


def finalized(*lines: Any, **fields: Any) -> InvoiceFinalized:
    usual = {"number": 1, "reason": "month_closed", "carried_picousd": 0, "offset_picousd": 0, "due_picousd": 0}
    return InvoiceFinalized(**(usual | _invoice(lines, fields)))


def _invoice(lines: tuple[Any, ...], fields: dict[str, Any]) -> dict[str, Any]:
    usual = {
        "org_id": "acme",
        "org_seq": 90,
        "at_micros": 1_772_323_200_000_000,
        "month": month("2026-02"),
        "part": 1,
        "exact_picousd": 0,
        "total_picousd": 0,
        "line_count": len(lines),
        "lines": lines,
    }
    return usual | fields


async def store_billing(database: ClickHouse, *events: LedgerEvent) -> None:
    claim = await claim_of(database, 0, topic="invoices")
    assert await store_events(database, "billing_events", claim, events) == len(events)


async def store_entries(database: ClickHouse, *entries: LedgerEntry) -> None:
    claim = await claim_of(database, 0, topic="ledger-entries")
    assert await store_events(database, "ledger_entries", claim, entries) == len(entries)


async def test_an_entry_comes_out_as_it_was_published(database: ClickHouse) -> None:
    made = entry(type="purchase", account="wallet", amount_picousd=25 * USD + 1, lot_id="lot-1", charge_month="2026-01")
    await store_entries(database, made)
    (row,) = await database.rows(
        "SELECT id, org_id, org_seq, toString(at), type, account, toString(amount_usd), toString(balance_after_usd), "
        "charge_month, lot_id, cause_kind, cause_id FROM ledger_entries"
    )
    assert row == (
        *(made.entry_id, "acme", 5, "2026-02-02 02:40:00.000001", "purchase", "wallet"),
        *("25.000000000001", "-1", "2026-01", "lot-1", "usage", "5"),
    )


async def test_an_entry_is_stored_once(database: ClickHouse) -> None:
    claim = await claim_of(database, 0, topic="ledger-entries")
    entries = [entry(org_seq=seq) for seq in range(3)]
    assert await store_events(database, "ledger_entries", claim, entries[:2]) == 2
    assert await store_events(database, "ledger_entries", claim, entries) == 1
    assert await database.rows("SELECT org_seq FROM ledger_entries ORDER BY org_seq") == [(0,), (1,), (2,)]


@pytest.mark.parametrize("table", ["ledger_entries", "billing_events"])
async def test_an_amount_that_cannot_be_read_stops_the_sink(database: ClickHouse, table: str) -> None:
    event = b'{"data":{"at":"2026-02-01T00:00:00Z","balance_after_picousd":"1","amount_picousd":"1.5x"}}'
    with pytest.raises(Broken):
        await store(database, await claim_of(database, 0), KafkaRecord(0, event), table=EventTable(table))


@pytest.mark.parametrize("table", ["ledger_entries", "billing_events"])
async def test_marks_of_events_are_read_from_a_projection(database: ClickHouse, table: str) -> None:
    claim = await claim_of(database, 0)
    event = b'{"data":{"at":"2026-02-01T00:00:00Z","balance_after_picousd":"1","amount_picousd":"1"}}'
    records = [KafkaRecord(offset, event) for offset in range(10)]
    await store(database, claim, *records, table=EventTable(table))
    plan = await database.rows(
        f"EXPLAIN SELECT log_partition, max(log_offset) + 1 FROM {table} "
        "WHERE log_id = 'log-1' AND log_partition IN [0] GROUP BY log_id, log_partition"
    )
    assert any("(marks)" in text for (text,) in plan)


async def test_an_invoice_takes_the_place_of_its_draft(database: ClickHouse) -> None:
    await store_billing(
        database,
        drafted(line(quantity=2), org_seq=80, exact_picousd=2 * USD, total_picousd=2 * USD),
        drafted(line(quantity=7), org_seq=81, part=2, exact_picousd=7 * USD, total_picousd=7 * USD),
        finalized(
            line(quantity=3, exact_picousd=3 * USD),
            BalanceLine(kind="debt", exact_picousd=USD // 2, amount_picousd=USD // 2),
            number=4,
            exact_picousd=3 * USD,
            total_picousd=7 * USD // 2,
            offset_picousd=USD,
            due_picousd=5 * USD // 2,
        ),
    )
    invoices = await database.rows(
        "SELECT part, state, number, reason, exact_usd, total_usd, offset_usd, due_usd FROM invoices ORDER BY part"
    )
    lines = await database.rows(
        "SELECT part, state, number, line_number, kind, quantity, exact_usd FROM invoice_lines ORDER BY ALL"
    )
    assert invoices == [
        (1, "finalized", 4, "month_closed", Decimal(3), Decimal("3.5"), Decimal(1), Decimal("2.5")),
        (2, "draft", None, "", Decimal(7), Decimal(7), 0, 0),
    ]
    assert lines == [
        (1, "finalized", 4, 1, "usage", 3, Decimal(3)),
        (1, "finalized", 4, 2, "debt", 0, Decimal("0.5")),
        (2, "draft", None, 1, "usage", 7, Decimal(1)),
    ]


async def test_lines_of_an_invoice_go_on_where_the_last_event_stopped(database: ClickHouse) -> None:
    def continued(of: str, seq: int, first: int, *quantities: int) -> InvoiceContinued:
        lines = tuple(line(quantity=quantity) for quantity in quantities)
        stamp: dict[str, Any] = {"org_id": "acme", "org_seq": seq, "at_micros": 1}
        return InvoiceContinued(**stamp, month="2026-02", part=1, of=of, first_line=first, lines=lines)

    await store_billing(
        database,
        drafted(line(quantity=90), line(quantity=90), org_seq=80, line_count=3),
        continued("draft", 81, 2, 90),
        finalized(line(quantity=1), line(quantity=2), org_seq=90, line_count=5),
        continued("invoice", 91, 2, 3, 4),
        continued("invoice", 92, 4, 5),
    )
    lines = await database.rows("SELECT line_number, quantity FROM invoice_lines ORDER BY line_number")
    assert lines == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]


async def test_a_line_says_all_that_it_said(database: ClickHouse) -> None:
    said = line(token_kind="web_search_requests", quantity=-3, rate_picousd=7, exact_picousd=-21, amount_picousd=-CENT)
    await store_billing(database, finalized(said))
    (row,) = await database.rows(
        "SELECT org_id, month, usage_month, product, model, price_id, token_kind, quantity, toString(rate_usd), "
        "toString(exact_usd), toString(amount_usd) FROM invoice_lines"
    )
    assert row == (
        *("acme", "2026-02", "2026-02", "chat", "claude-sonnet-4-5", "claude-sonnet-4-5@2025-09-29"),
        *("web_search_requests", -3, "0.000000000007", "-0.000000000021", "-0.01"),
    )


def used(org_seq: int, cost_picousd: int, **fields: Any) -> Any:
    return priced_row(org_seq=org_seq, event_id=f"e-{org_seq}", cost_picousd=cost_picousd, **fields)


async def test_a_draft_holds_what_was_charged_to_unbilled_since_the_last_invoice(database: ClickHouse) -> None:
    await store_rows(
        database,
        used(1, 5 * USD),  # while on Team
        used(3, 5 * USD),  # on Enterprise, invoiced as part 1
        used(20, 5 * USD),  # on Enterprise again: three rows and a correction, of part 2
        used(21, 5 * USD),
        used(22, -5 * USD, corrects="e-21"),
        used(23, 7 * USD, product="cowork"),
        used(24, 5 * USD, usage_month="2026-01"),  # a prior-period line (R19)
        used(25, 5 * USD, funding="included"),
        used(30, 5 * USD),  # its burn is not stored yet
    )
    await store_entries(
        database,
        entry(org_seq=2, account="wallet", lot_id="lot-1"),
        entry(org_seq=4),
        entry(org_seq=22),
        entry(org_seq=24),
    )
    await store_billing(database, finalized(line(), org_seq=10, reason="plan_changed"))
    drafts = await database.rows(
        "SELECT month, usage_month, product, price_id, token_kind, quantity, rate_usd, exact_usd FROM draft_lines "
        "ORDER BY ALL"
    )
    price = ("claude-sonnet-4-5@2025-09-29", "input_tokens")
    assert drafts == [
        ("2026-02", "2026-01", "chat", *price, 1, Decimal(5), Decimal(5)),
        ("2026-02", "2026-02", "chat", *price, 1 + 1 - 1, Decimal(5), Decimal(5 + 5 - 5)),
        ("2026-02", "2026-02", "cowork", *price, 1, Decimal(7), Decimal(7)),
    ]


@pytest.mark.parametrize("burnt_to", [4, 3, 1])
async def test_a_draft_is_the_same_from_the_projection_and_from_rows(database: ClickHouse, burnt_to: int) -> None:
    """All burns are stored, or the last is under way: what is drafted ends at the last that is stored."""
    await store_rows(database, *(used(seq, 5 * USD) for seq in (1, 2, 3)), used(4, 7 * USD, product="cowork"))
    await store_entries(database, entry(org_seq=burnt_to))
    drafted = await database.rows("SELECT product, exact_usd FROM draft_lines WHERE org_id = 'acme' ORDER BY ALL")
    chat = ("chat", Decimal(5 * min(burnt_to, 3)))
    assert drafted == ([chat, ("cowork", Decimal(7))] if burnt_to == 4 else [chat])
    assert await database.rows("SELECT whole FROM draft_spans") == [(burnt_to == 4,)]


async def test_drafts_and_balances_read_projections(database: ClickHouse) -> None:
    await store_rows(database, used(1, 5 * USD))
    await store_entries(database, entry(org_seq=1), entry(org_seq=2, account="wallet", lot_id="lot-1"))
    lines = await projections(database, "SELECT * FROM draft_lines WHERE org_id = 'acme' AND month = '2026-02'")
    assert {"by_line", "extent", "by_account"} <= set(lines)
    assert await projections(database, "SELECT * FROM wallet_balances WHERE org_id = 'acme'") == ["by_account"]


async def test_an_invoice_line_leads_to_its_usage(database: ClickHouse) -> None:
    await store_rows(
        database,
        used(3, 5 * USD, user_id="bob"),
        used(4, -5 * USD, corrects="e-3"),
        used(5, 5 * USD),
        used(6, 5 * USD, product="cowork"),  # another line
        used(7, 5 * USD, org_id="other"),  # another's
        used(20, 5 * USD),  # the next part
        used(30, 5 * USD),  # still a draft
    )
    entries = [entry(org_seq=seq) for seq in (6, 20, 30)]
    await store_entries(database, *entries, entry(org_seq=7, org_id="other"))
    await store_billing(
        database,
        finalized(line(product="chat"), line(product="cowork"), org_seq=10, number=1),
        finalized(line(), org_seq=22, number=2, part=2),
        finalized(line(), org_seq=11, number=1, org_id="other"),
    )
    found = await database.rows(
        "SELECT number, line_number, event_id, user_id, corrects, quantity, exact_usd FROM invoice_line_events "
        "WHERE org_id = 'acme' ORDER BY ALL"
    )
    assert found == [
        (1, 1, "e-3", "bob", "", 1, Decimal(5)),
        (1, 1, "e-4", "ada", "e-3", -1, Decimal(-5)),
        (1, 1, "e-5", "ada", "", 1, Decimal(5)),
        (1, 2, "e-6", "ada", "", 1, Decimal(5)),
        (2, 1, "e-20", "ada", "", 1, Decimal(5)),
    ]


async def test_credit_notes_and_statements_come_out_as_they_were_published(database: ClickHouse) -> None:
    stamp: dict[str, Any] = {"org_id": "acme", "org_seq": 95, "at_micros": 1}
    sums = ("opening", "purchase", "grant", "burn", "refund", "adjust", "offset", "expiry", "closing")
    amounts: dict[str, Any] = {f"{name}_picousd": (n + 1) * USD for n, name in enumerate(sums)}
    await store_billing(
        database,
        CreditNoteIssued(**stamp, number=2, invoice_number=7, amount_picousd=5 * USD, note="as agreed"),
        StatementIssued(**stamp, month="2026-02", **amounts),
    )
    notes = await database.rows("SELECT org_id, number, invoice_number, amount_usd, note FROM credit_notes")
    columns = ", ".join(f"{name}_usd" for name in sums)
    statements = await database.rows(f"SELECT month, {columns} FROM statements")
    assert notes == [("acme", 2, 7, Decimal(5), "as agreed")]
    assert statements == [("2026-02", *(Decimal(n + 1) for n in range(9)))]
    assert await database.rows("SELECT * FROM invoices") == []


async def test_what_is_open_of_an_invoice_is_what_is_due_less_credit_notes_and_payments(database: ClickHouse) -> None:
    stamp: dict[str, Any] = {"org_id": "acme", "org_seq": 95, "at_micros": 1_770_000_000_000_000}
    of_invoice = {"invoice_number": 7, "open_picousd": 0}
    await store_billing(
        database,
        finalized(line(), number=7, total_picousd=50 * USD, due_picousd=40 * USD),
        finalized(line(), number=8, part=2, total_picousd=9 * USD, due_picousd=9 * USD),
        finalized(number=None, part=3, total_picousd=0, due_picousd=0),
        drafted(line(), part=4),
        CreditNoteIssued(**stamp, number=2, invoice_number=7, amount_picousd=5 * USD, note="as agreed"),
        PaymentReceived(**stamp, **of_invoice, payment_id="p-1", amount_picousd=6 * USD),
        PaymentReceived(**stamp, **of_invoice, payment_id="p-2", amount_picousd=7 * USD),
        PaymentReceived(**stamp | {"org_id": "other"}, **of_invoice, payment_id="p-2", amount_picousd=USD),
    )
    opened = await database.rows(
        "SELECT number, due_usd, credited_usd, paid_usd, open_usd, paid_at IS NULL FROM open_invoices ORDER BY number"
    )
    assert opened == [(7, 40, 5, 13, 22, 0), (8, 9, 0, 0, 9, 1)]
    payments = "SELECT invoice_number, payment_id, amount_usd FROM invoice_payments WHERE org_id = 'acme' ORDER BY ALL"
    assert await database.rows(payments) == [(7, "p-1", 6), (7, "p-2", 7)]


async def test_a_balance_is_the_sum_of_the_wallets_entries(database: ClickHouse) -> None:
    await store_entries(
        database,
        entry(org_seq=1, account="wallet", type="purchase", amount_picousd=10 * USD),
        entry(org_seq=2, account="wallet", amount_picousd=-13 * USD),
        entry(org_seq=3, account="receivable", type="adjust", amount_picousd=50 * USD),
    )
    assert await database.rows("SELECT org_id, balance_usd FROM wallet_balances") == [("acme", Decimal(10 - 13))]


POSTINGS = {
    ("wallet", "purchase", 3): [("cash", 3), ("customer_credits", -3)],
    ("wallet", "refund", -3): [("customer_credits", 3), ("cash", -3)],
    ("wallet", "grant", 3): [("promotions", 3), ("customer_credits", -3)],
    ("wallet", "expiry", -3): [("customer_credits", 3), ("promotions", -3)],
    ("wallet", "burn", -3): [("customer_credits", 3), ("revenue", -3)],
    ("wallet", "burn", 3): [("revenue", 3), ("customer_credits", -3)],  # a correction gave back
    ("wallet", "adjust", -3): [("customer_credits", 3), ("adjustments", -3)],
    ("wallet", "offset", -3): [("customer_credits", 3), ("offsets", -3)],
    ("unbilled", "burn", -3): [("unbilled", 3), ("revenue", -3)],
    ("unbilled", "invoice", 3): [("unbilled", -3)],
    ("receivable", "invoice", 3): [("receivables", 3)],
    ("receivable", "rounding", -3): [("rounding", 3), ("receivables", -3)],
    ("receivable", "offset", -3): [("offsets", 3), ("receivables", -3)],
    ("receivable", "adjust", -3): [("credit_notes", 3), ("receivables", -3)],
    ("receivable", "payment", -3): [("cash", 3), ("receivables", -3)],
    ("receivable", "grant", 3): [("receivables", 3), ("unknown", -3)],  # nothing books this
}
"""Account, type and amount of an entry, and its postings: debits above 0, credits below."""


async def test_every_entry_is_posted_to_its_accounts(database: ClickHouse) -> None:
    numbers = count(1)
    await store_entries(
        database,
        *(
            entry(org_seq=next(numbers), account=account, type=kind, amount_picousd=usd * USD)
            for account, kind, usd in POSTINGS
        ),
    )
    posted = await database.rows(
        "SELECT account, debit_usd - credit_usd FROM double_entry WHERE debit_usd >= 0 AND credit_usd >= 0 "
        "ORDER BY org_seq, credit_usd"
    )
    assert posted == [posting for postings in POSTINGS.values() for posting in postings]


async def test_debits_are_credits_in_every_month_and_offsets_meet(database: ClickHouse) -> None:
    """January: 2.345 to be invoiced, invoiced as 2.35 in February, of which the wallet pays 1.00."""
    january = {"charge_month": "2026-01"}
    await store_entries(
        database,
        entry(org_seq=1, type="purchase", account="wallet", amount_picousd=USD),
        entry(org_seq=2, amount_picousd=-2_345 * USD // 1000, **january),
        entry(org_seq=3, type="invoice", amount_picousd=2_345 * USD // 1000, **january),
        entry(org_seq=4, type="invoice", account="receivable", amount_picousd=2_345 * USD // 1000, **january),
        entry(org_seq=5, type="rounding", account="receivable", amount_picousd=5 * USD // 1000, **january),
        entry(org_seq=6, type="offset", account="wallet", amount_picousd=-USD),
        entry(org_seq=7, type="offset", account="receivable", amount_picousd=-USD, **january),
    )
    off = await database.rows(
        "SELECT org_id, charge_month, sum(debit_usd) - sum(credit_usd) AS off FROM double_entry GROUP BY ALL"
    )
    trial = dict(
        await database.rows("SELECT account, sum(debit_usd) - sum(credit_usd) FROM double_entry GROUP BY account")
    )
    assert sorted(off) == [("acme", "2026-01", 0), ("acme", "2026-02", 0)]
    assert trial == {
        "cash": 1,
        "customer_credits": 0,
        "unbilled": 0,
        "receivables": Decimal("1.35"),
        "revenue": Decimal("-2.345"),
        "rounding": Decimal("-0.005"),
        "offsets": 0,
    }
