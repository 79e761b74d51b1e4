"""The views over random months of whole accounts: they say what the ledger's invoices, drafts and admission say."""

import json
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from sinks.clickhouse import ClickHouse
from tests.support.analysed_world import in_clickhouse
from tests.support.histories import Histories
from tests.support.ledger import LedgerInMemory

SEEDS = (0, 1, 3, 4, 6)  # all of them see months close
KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_search_requests",
)


@pytest.fixture(scope="module", params=SEEDS)
def ledger(request: pytest.FixtureRequest) -> LedgerInMemory:
    """One that worked through a history, a few records at a time."""
    histories = Histories(request.param)
    sizes = histories.random
    made = LedgerInMemory(chunk_sizes=lambda: sizes.choice((1, 2, 5, 40)))
    history = list(histories)
    made.process([made.record("commands" if kind == "command" else "usage", body, at) for at, kind, body in history])
    made.move_to(histories.auditor.now)
    return made


@pytest.fixture(scope="module")
async def database(
    ledger: LedgerInMemory, clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]
) -> AsyncIterator[ClickHouse]:
    """What it published, stored."""
    found = await in_clickhouse(ledger, clickhouse.url, fresh_name("history"))
    yield found
    await found.close()


async def differences(database: ClickHouse, one: str, other: str) -> Sequence[tuple[object, ...]]:
    """What only one of two queries gives."""
    return await database.rows(f"({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})")


async def test_usage_under_a_line_adds_up_to_it(database: ClickHouse) -> None:
    place = "org_id, month, part, line_number"
    lines = f"SELECT {place}, quantity, exact_usd FROM invoice_lines WHERE state = 'finalized' AND kind = 'usage'"
    events = f"SELECT {place}, sum(quantity), sum(exact_usd) FROM invoice_line_events GROUP BY {place}"
    assert await database.rows(lines)
    assert await differences(database, lines, events) == []


async def test_drafts_hold_what_the_ledger_would_invoice(ledger: LedgerInMemory, database: ClickHouse) -> None:
    cells = [json.loads(value) for value in ledger.cells.values() if b'"cell":"draft_line"' in value]
    remembered = {
        (*(cell[name] for name in ("org_id", "month", "usage_month", "product", "price_id")), kind, cell.get(kind, 0))
        for cell in cells
        for kind in KINDS
        if cell.get(kind)
    }
    found = await database.rows(
        "SELECT org_id, month, usage_month, product, price_id, token_kind, quantity FROM draft_lines"
    )
    assert set(found) == remembered


async def test_lines_add_up_to_their_invoice(database: ClickHouse) -> None:
    invoices = "SELECT org_id, month, part, total_usd + carried_usd, exact_usd, line_count FROM invoices"
    lines = (
        "SELECT org_id, month, part, sum(amount_usd), sumIf(exact_usd, kind = 'usage'), count() FROM invoice_lines "
        "WHERE state = 'finalized' GROUP BY org_id, month, part"
    )
    assert await differences(database, f"{invoices} WHERE state = 'finalized'", lines) == []


async def test_debits_are_credits_and_every_offset_has_two_ends(database: ClickHouse) -> None:
    usd = "sum(debit_usd - credit_usd) AS off FROM double_entry"
    months = f"SELECT org_id, charge_month, {usd} GROUP BY ALL HAVING off != 0"
    between = f"SELECT org_id, {usd} WHERE account IN ('offsets', 'unknown') GROUP BY ALL HAVING off != 0"
    assert await database.rows(months) == []
    assert await database.rows(between) == []


async def test_receivables_are_what_is_due_less_credit_notes_and_payments_and_what_is_carried(
    database: ClickHouse,
) -> None:
    booked = "SELECT org_id, sum(amount_usd) FROM ledger_entries WHERE account = 'receivable' GROUP BY org_id"
    billed = await database.rows(
        """
        SELECT org_id, sum(usd) FROM
        (
            SELECT org_id, due_usd AS usd FROM invoices WHERE state = 'finalized'
            UNION ALL
            SELECT org_id, argMax(carried_usd, org_seq) FROM invoices WHERE state = 'finalized' GROUP BY org_id
            UNION ALL SELECT org_id, -amount_usd FROM credit_notes
            UNION ALL SELECT org_id, -amount_usd FROM invoice_payments
        )
        GROUP BY org_id
        """
    )
    assert {row for row in billed if row[1]} == {row for row in await database.rows(booked) if row[1]}


async def test_what_is_open_of_every_invoice_is_what_the_ledger_remembers(
    ledger: LedgerInMemory, database: ClickHouse
) -> None:
    cells = [json.loads(value) for value in ledger.cells.values() if value.startswith(b'{"cell":"invoice"')]
    settled = ("offset_picousd", "credited_picousd", "paid_picousd")
    remembered = {
        (cell["org_id"], cell["number"], int(cell["total_picousd"]) - sum(int(cell.get(name, "0")) for name in settled))
        for cell in cells
    }
    found = await database.rows("SELECT org_id, number, toInt128(open_usd * 1000000000000) FROM open_invoices")
    assert set(found) == remembered


async def test_a_statement_opens_with_what_the_last_one_closed_with(database: ClickHouse) -> None:
    opened = await database.rows(
        "SELECT opening_usd, lagInFrame(closing_usd) OVER (PARTITION BY org_id ORDER BY org_seq) FROM statements"
    )
    assert [row for row in opened if row[0] != row[1]] == []


async def test_who_is_paused_is_who_admission_denies(ledger: LedgerInMemory, database: ClickHouse) -> None:
    ((now,),) = await database.rows("SELECT toUnixTimestamp64Micro(at) FROM ledger_time")
    denied = set()
    for org_id, user_id in await database.rows("SELECT org_id, user_id FROM members WHERE NOT removed"):
        decision = ledger.decision_from_status(org_id, user_id, now)
        if not decision.allowed:
            denied.add((org_id, user_id, decision.reasons, decision.ends_at_micros))
    found = await database.rows(
        "SELECT org_id, user_id, reasons, toUnixTimestamp64Micro(paused_until) FROM paused_members"
    )
    assert {(org_id, user_id, tuple(reasons), until) for org_id, user_id, reasons, until in found} == denied
    assert denied
