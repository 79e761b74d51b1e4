"""`usage-credits invoice` and `statement` on a real ClickHouse, of what a real ledger billed (R39, R40)."""

import asyncio
import csv
import io
import json
import shlex
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.replay import read_event
from pipeline.topics import INVOICES
from schemas.invoices import InvoiceFinalized, StatementIssued
from sinks.clickhouse import ClickHouse
from tests.support.billed_world import MILLION, a_story, migrated, stored
from tests.support.builders import BILLING, add_member, command, event, register, set_credits
from tests.support.documents import commands
from tests.support.ledger import LedgerInMemory

pytestmark = pytest.mark.clickhouse


@pytest.fixture
async def database(
    clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClickHouse]:
    """A migrated database, which is the one that commands look at."""
    made = await migrated(clickhouse.url, fresh_name("invoices"))
    monkeypatch.setenv("CLICKHOUSE_URL", clickhouse.url)
    monkeypatch.setenv("CLICKHOUSE_DATABASE", made.database)
    yield made
    await made.close()


@pytest.fixture
async def billed(database: ClickHouse) -> list[Any]:
    """The story lies in ClickHouse; what the ledger published of invoices."""
    ledger = a_story()
    events = [read_event(value) for value in ledger.outputs[INVOICES.name]]
    await stored(ledger, database)
    return events


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, list(arguments))


async def text(*arguments: str) -> str:
    result = await run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


async def words(*arguments: str) -> str:
    """What it says, whatever the width of its columns."""
    return " ".join((await text(*arguments)).split())


async def answer(*arguments: str) -> Any:
    return json.loads(await text(*arguments, "--json"))


def picousd(usd: str) -> int:
    return int(Decimal(usd).scaleb(12))


@pytest.mark.usefixtures("billed")
async def test_money_that_is_asked_for_as_json_is_a_plain_decimal() -> None:
    sql = "SELECT toDecimal128('0.000000000001', 12) AS least_usd, toDecimal128(0, 12) AS no_usd"
    (row,) = json.loads(await text("query", "--json", sql))
    assert row == {"least_usd": "0.000000000001", "no_usd": "0.000000000000"}


async def test_a_list_has_every_invoice_and_what_may_become_one(billed: list[Any]) -> None:
    found = [
        tuple(one[name] for name in ("org_id", "month", "number", "state", "total_usd", "due_usd", "open_usd"))
        for one in await answer("invoice", "list")
    ]
    assert found == [
        ("acme", "2026-04", 1, "finalized", "0.02", "0.02", "0.00"),  # 0.01 taken back, 0.01 paid
        ("acme", "2026-05", 2, "finalized", "55.60", "55.60", "25.60"),
        ("acme", "2026-06", None, "open", "15.00", "15.00", "15.00"),
        ("globex", "2026-04", 1, "finalized", "30.00", "30.00", "30.00"),
        ("globex", "2026-05", 2, "finalized", "0.00", "0.00", "0.00"),
        ("lumen", "2026-05", 1, "finalized", "30.00", "10.00", "0.00"),  # 20.00 of it the wallet paid
    ]
    assert len(await answer("invoice", "list", "--org", "acme", "--org", "lumen", "--month", "2026-05")) == 2
    assert [one["month"] for one in await answer("invoice", "list", "--state", "open")] == ["2026-06"]
    assert "no invoice, no draft of hooli" in await text("invoice", "list", "--org", "hooli")


async def test_an_invoice_is_shown_as_the_ledger_published_it(billed: list[Any]) -> None:
    published = [one for one in billed if isinstance(one, InvoiceFinalized)]
    assert len(published) == 5
    for invoice in published:
        shown = await answer("invoice", "show", invoice.org_id, str(invoice.number))
        assert (shown["month"], shown["part"], shown["reason"]) == (str(invoice.month), invoice.part, invoice.reason)
        for name in ("exact", "total", "carried", "offset", "due"):
            assert picousd(shown[f"{name}_usd"]) == getattr(invoice, f"{name}_picousd")
        assert len(shown["lines"]) == invoice.line_count
        for number, (line, told) in enumerate(zip(invoice.lines, shown["lines"], strict=True), start=1):
            assert (told["line"], told["kind"], told["price_id"]) == (number, line.kind, getattr(line, "price_id", ""))
            assert picousd(told["exact_usd"]) == line.exact_picousd
            assert picousd(told["amount_usd"]) == line.amount_picousd


async def test_people_read_lines_late_usage_and_how_exact_becomes_due(billed: list[Any]) -> None:
    page = await words("invoice", "show", "acme", "2026-05")
    for said in (
        "acme: invoice 2 2026-05, finalised 2026-06-04 00:00: the month closed",
        "claude-code claude-sonnet-4-6@2026-03-13 $45.17",
        "6 cache reads 81,234,567 $0.30 / million $24.37037010 $24.37",
        "3 web searches 1,037 $10.00 / 1,000 $10.37000000 $10.37",
        "cowork claude-sonnet-4-6@2026-03-13 used in 2026-04, which was closed $0.06",
        "all lines, exact $55.59942035 rounded, once $0.00057965 total $55.60",
    ):
        assert said in page
    assert "carried to the next invoice $30.00" in await words("invoice", "show", "globex", "2")
    assert "paid from the wallet -$20.00" in await words("invoice", "show", "lumen", "1")
    assert "Outage on 28 April <b>& refund</b> -$0.01" in await words("invoice", "show", "acme", "1")


async def test_what_was_paid_is_shown_with_what_is_open(billed: list[Any]) -> None:
    page = await words("invoice", "show", "acme", "2")
    assert "due $55.60 paid -$30.00 open $25.60" in page
    assert "bank-2 2026-06-08 09:00 $30.00" in page
    shown = await answer("invoice", "show", "acme", "2")
    assert shown["payments"] == [
        {"payment_id": "bank-2", "invoice_number": 2, "amount_usd": "30.00", "at": "2026-06-08T09:00:00Z"}
    ]
    page = await text("invoice", "export", "acme", "1")
    for cells in ('Taken back by credit notes</td><td class="n">-$0.01', 'Open</td><td class="n">$0.00', "bank-1"):
        assert cells in page
    entry = (
        "SELECT debit_usd, credit_usd FROM double_entry WHERE org_id = 'lumen' AND type = 'payment' ORDER BY account"
    )
    booked = json.loads(await text("query", "--json", entry))
    assert [[Decimal(one[name]) for name in ("debit_usd", "credit_usd")] for one in booked] == [[10, 0], [0, 10]]


async def test_every_line_leads_down_to_events_that_add_up_to_it(billed: list[Any]) -> None:
    for invoice in await answer("invoice", "list"):
        which = (invoice["org_id"], str(invoice["number"] or invoice["month"]))
        for line in (await answer("invoice", "show", *which))["lines"]:
            if line["kind"] != "usage":
                continue
            found = await answer("invoice", "show", *which, "--why", str(line["line"]))
            assert found["line"] == line
            assert found["all"]["events"] == len(found["usage"])
            for name in ("quantity", "exact_usd"):
                together = sum((Decimal(one[name]) for one in found["usage"]), Decimal())
                assert together == Decimal(line[name]) == Decimal(found["all"][name])


async def test_why_shows_a_correction_and_the_query_that_found_it(billed: list[Any]) -> None:
    page = await text("invoice", "show", "acme", "2", "--why", "5")
    lines = [line.split() for line in page.splitlines() if line.startswith("2026-05-10")]
    assert [line[-2:] for line in lines] == [
        ["7,777,777", "$116.666655"],
        ["-7,777,777", "-$116.666655"],
        ["777,777", "$11.666655"],
    ]
    assert "✓ 777,777 at $15.00 / million are $11.666655" in page
    sql = page[page.index("SELECT") :]
    assert len(json.loads(await text("query", "--json", sql))) == 3
    few = await text("invoice", "show", "acme", "2", "--why", "5", "--limit", "1")
    assert "and 2 more" in few
    assert "✓" in few


async def test_the_rows_of_a_csv_add_up_to_the_invoices(billed: list[Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(await text("invoice", "export", "--month", "2026-05", "--format", "csv"))))
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["org_id"]] += Decimal(row["amount_usd"])
        assert Decimal(row["quantity"]) * Decimal(row["rate_usd"]) == Decimal(row["exact_usd"])
    assert sums == {"acme": Decimal("55.60"), "globex": Decimal("-30.00"), "lumen": Decimal("30.00")}


async def test_a_page_to_print_holds_nothing_from_elsewhere_and_escapes_what_others_wrote(billed: list[Any]) -> None:
    page = await text("invoice", "export", "acme", "1")
    assert "Outage on 28 April &lt;b&gt;&amp; refund&lt;/b&gt;" in page
    assert not [word for word in ("<b>& ", "http", "url(", "@import", "<script", "<link", "src=") if word in page]
    assert page.count("<article") == 1
    assert (await text("invoice", "export", "--month", "2026-05")).count("<article") == 3


async def test_the_commands_of_the_documentation_print_what_it_shows(
    billed: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # one of them writes a page
    shown = commands("docs/billing.md")
    assert len([one for one in shown if one.printed]) == 5
    for one in shown:
        said = await text(*shlex.split(one.text)[1:])
        assert not one.printed or said.split() == one.printed.split(), one.text


async def test_a_draft_is_shown_as_it_stands_now(database: ClickHouse) -> None:
    ledger = LedgerInMemory()
    ledger.commands(register(), set_credits(), add_member())
    ledger.usage(event("e-1", output_tokens=MILLION))
    ledger.wait_until("2026-06-01T00:00:00Z")
    late = event("e-2", output_tokens=1_001, product="api", occurred_at="2026-05-31T23:59:59Z")
    ledger.usage(late, at="2026-06-01T10:00:00Z")
    await stored(ledger, database)
    draft = await answer("invoice", "show", "acme", "2026-05")
    assert (draft["state"], draft["at"], draft["number"]) == ("draft", "2026-06-01T00:00:00Z", None)
    assert (draft["exact_usd"], draft["total_usd"]) == ("15.015015", "15.02")
    assert [line["product"] for line in draft["lines"]] == ["api", "chat"]
    ledger.wait_until("2026-06-05T00:00:00Z")
    await stored(ledger, database)
    invoice = await answer("invoice", "show", "acme", "1")
    assert (invoice["state"], invoice["total_usd"]) == ("finalized", "15.02")
    assert invoice["lines"] == draft["lines"]


async def test_parts_of_a_month_are_told_apart(database: ClickHouse) -> None:
    ledger = LedgerInMemory()
    ledger.commands(register(), set_credits(), add_member())
    ledger.usage(event("e-1", output_tokens=MILLION))
    for number, plan in enumerate(("team", "enterprise")):
        ledger.commands(command("change_plan", BILLING, command_id=f"to-{number}", plan=plan))
    ledger.usage(event("e-2", output_tokens=2 * MILLION))
    await stored(ledger, database)
    both = await answer("invoice", "show", "acme", "2026-05")
    assert [(one["part"], one["state"], one["total_usd"]) for one in both] == [
        (1, "finalized", "15.00"),
        (2, "open", "30.00"),
    ]
    assert (await answer("invoice", "show", "acme", "2026-05.2"))["total_usd"] == "30.00"
    why = await run("invoice", "show", "acme", "2026-05", "--why", "1")
    assert (why.exit_code, "name one: 2026-05.1, 2026-05.2" in why.stderr) == (1, True)
    assert (await answer("invoice", "show", "acme", "2026-05.2", "--why", "1"))["all"]["quantity"] == 2 * MILLION


async def test_statements_go_on_where_the_last_one_closed(billed: list[Any]) -> None:
    april, may = await answer("statement", "show", "lumen")
    assert (april["opening_usd"], april["purchase_usd"], april["burn_usd"]) == ("0.00", "50.00", "-15.00")
    assert april["closing_usd"] == may["opening_usd"] == "35.00"
    published = [one for one in billed if isinstance(one, StatementIssued)]
    assert [picousd(one["closing_usd"]) for one in (april, may)] == [one.closing_picousd for one in published]
    assert "used -$15.00" in await words("statement", "show", "lumen", "2026-05")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("invoice", "show", "acme", "9"), 1, "acme has no invoice 9"),
        (("invoice", "show", "acme", "2020-01"), 1, "no draft for 2020-01"),
        (("invoice", "show", "acme", "May"), 1, "write its number, such as 7, or its month, such as 2026-02"),
        (("invoice", "show", "acme", "2", "--why", "99"), 1, "invoice 2 has lines 1 to 9; there is no line 99"),
        (("statement", "show", "acme"), 1, "acme has no statement"),
        (("invoice", "export"), 2, "name an organisation, or a --month"),
        (("invoice", "list", "--month", "2026-13"), 2, "is not a month"),
    ],
)
async def test_what_is_not_there_is_a_sentence(
    billed: list[Any], arguments: tuple[str, ...], exit_code: int, says: str
) -> None:
    result = await run(*arguments)
    assert (result.exit_code, says in result.stderr) == (exit_code, True), result.stderr
