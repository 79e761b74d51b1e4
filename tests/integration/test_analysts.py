"""What analysts ask, on a real engine, of what a real ledger said (R42): docs/analysts.md, exports, who may look."""

import asyncio
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import clickhouse_connect
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from schemas.money import PICOUSD_PER_USD
from sinks.clickhouse import ClickHouse
from sinks.event_table import EventTable
from tests.support.analysed_world import NOON, analysed, in_clickhouse
from tests.support.builders import micros, register, set_credits
from tests.support.documents import commands
from tests.support.ledger import LedgerInMemory
from tests.support.sink_tables import claim_of, store
from tests.support.sink_world import KafkaRecord

pytestmark = pytest.mark.clickhouse

ROOT = Path(__file__).parents[2]
ASKED = re.compile(r"(\.venv/bin/)?usage-credits (query|export) (?!.*var/demo)")
"""Of the page's commands; the others are run by test_documented_commands.py."""


@pytest.fixture(scope="session")
def ledger() -> LedgerInMemory:
    return analysed()


@pytest.fixture(scope="session")
async def world(
    ledger: LedgerInMemory, clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]
) -> AsyncIterator[ClickHouse]:
    """All that the ledger said, stored; tests only read it."""
    database = await in_clickhouse(ledger, clickhouse.url, fresh_name("analysts"))
    yield database
    await database.close()


@pytest.fixture(autouse=True)
def commands_look_at_it(world: ClickHouse, clickhouse: EmbeddedClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", clickhouse.reader_url)
    monkeypatch.setenv("CLICKHOUSE_DATABASE", world.database)


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, list(arguments))


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def usd(picousd: int) -> Decimal:
    return Decimal(picousd) / PICOUSD_PER_USD


async def test_each_question_of_the_documentation_has_the_answer_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # exports write files
    asked = [one for one in commands("docs/analysts.md") if ASKED.match(one.text)]
    assert len([one for one in asked if one.printed]) >= 20
    for one in asked:
        result = await run(*shlex.split(one.text)[1:])
        assert result.exit_code == 0, f"{one.text}\n{result.output}"
        if one.printed:
            assert [line.split() for line in result.stdout.splitlines() if line.split()] == [
                line.split() for line in one.printed.splitlines() if line.split()
            ], f"{one.text}\n{result.stdout}"


async def test_the_documentation_names_every_view(world: ClickHouse) -> None:
    document = read_text(ROOT / "docs" / "analysts.md")
    here = f"database = '{world.database}' AND engine = 'View'"
    views = await world.rows(f"SELECT name FROM system.tables WHERE {here}")
    named = set(re.findall(r"`(\w+)`", document)) | {"month_to_date_by_tier", "month_to_date_by_organization"}
    assert {name for (name,) in views} - named == set()


async def test_every_view_can_be_read(world: ClickHouse) -> None:
    views = await world.rows(f"SELECT name FROM system.tables WHERE database = '{world.database}' AND engine = 'View'")
    empty = {name for (name,) in views if await world.rows(f"SELECT count() FROM (SELECT * FROM {name})") == [(0,)]}
    assert empty == {"credit_notes", "invoice_payments"}


async def test_spend_by_model_product_day_and_hour_is_the_month_to_date(
    world: ClickHouse, ledger: LedgerInMemory
) -> None:
    spent: dict[tuple[str, str], int] = defaultdict(int)
    for row in ledger.rows:
        if row.funding == "credits" and row.usage_month == row.charge_month:
            spent[str(row.charge_month), row.org_id] += row.cost_picousd
    expected = sorted((month, org_id, usd(cost)) for (month, org_id), cost in spent.items())
    for by in ("model", "product", "day", "hour"):
        found = await world.rows(
            f"SELECT month, org_id, sum(spend_usd) AS usd FROM spend_by_{by} GROUP BY month, org_id "
            "HAVING usd != 0 ORDER BY ALL"
        )
        assert found == expected, by


async def test_caching_saved_what_the_rates_say(world: ClickHouse, ledger: LedgerInMemory) -> None:
    cached = [row for row in ledger.rows if row.cache_read_tokens and str(row.charge_month) == "2026-09"]
    uncached_picousd = sum(
        (row.input_tokens + row.cache_read_tokens + row.cache_write_5m_tokens + row.cache_write_1h_tokens)
        * row.rates_picousd[0]
        + row.output_tokens * row.rates_picousd[1]
        for row in cached
    )
    saved = await world.rows(
        "SELECT sum(saved_usd) FROM cache_savings WHERE org_id = 'acme' AND month = '2026-09' AND cache_read_tokens > 0"
    )
    assert saved == [(usd(uncached_picousd - sum(row.cost_picousd for row in cached)),)]


async def test_a_forecast_is_the_same_days_of_the_last_four_weeks(world: ClickHouse, ledger: LedgerInMemory) -> None:
    """Recomputed day by day, in the plainest way."""
    today, last = date(2026, 9, 18), date(2026, 9, 30)
    spent: dict[date, int] = defaultdict(int)
    for row in ledger.rows:
        if row.org_id == "acme" and row.funding == "credits" and row.usage_month == row.charge_month:
            spent[date(1970, 1, 1) + timedelta(microseconds=row.occurred_at_micros)] += row.cost_picousd
    to_come = [today + timedelta(days=n) for n in range((last - today).days + 1)]
    before_today = sum(cost for day, cost in spent.items() if date(2026, 9, 1) <= day < today)
    ends = []
    for week in (1, 2, 3, 4):
        same_days = [today - timedelta(days=7 * week - n % 7) for n in range(len(to_come))]
        assert [day.weekday() for day in same_days] == [day.weekday() for day in to_come]
        ends.append(before_today + sum(spent[day] for day in same_days))
    found = await world.rows(
        "SELECT spend_usd, days_left, weeks, low_usd, forecast_usd, high_usd FROM month_forecast WHERE org_id = 'acme'"
    )
    september = before_today + spent[today]
    assert found == [(usd(september), 13, 4, usd(min(ends)), usd(sum(ends)) / 4, usd(max(ends)))]


async def test_who_is_paused_is_who_admission_denies(world: ClickHouse, ledger: LedgerInMemory) -> None:
    denied = {}
    for org_id, user_id in await world.rows("SELECT org_id, user_id FROM members WHERE NOT removed"):
        decision = ledger.decision_from_status(org_id, user_id, micros(NOON))
        if not decision.allowed:
            denied[org_id, user_id] = (list(decision.reasons), decision.ends_at_micros)
    found = await world.rows(
        "SELECT org_id, user_id, reasons, toUnixTimestamp64Micro(paused_until) FROM paused_members ORDER BY ALL"
    )
    assert {(org_id, user_id): (reasons, until) for org_id, user_id, reasons, until in found} == denied
    assert len(denied) == 4


async def test_who_never_bought_credits_has_a_low_balance(
    clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str]
) -> None:
    ledger = LedgerInMemory()
    ledger.commands(register("lumen", plan="team"), set_credits(org_id="lumen"), at=NOON)
    ledger.idle(micros("2026-09-18T12:01:00Z"))
    database = await in_clickhouse(ledger, clickhouse.url, fresh_name("never_bought"))
    try:
        assert await database.rows("SELECT org_id FROM paused_members WHERE reason = 'balance'") == [("lumen",)]
        low = "SELECT org_id, balance_usd, burnt_usd, days_left FROM balance_runway WHERE balance_usd <= 0"
        assert await database.rows(low) == [("lumen", Decimal(0), Decimal(0), None)]
    finally:
        await database.close()


async def test_what_limits_leave_is_headroom_of_admission(world: ClickHouse, ledger: LedgerInMemory) -> None:
    found = await world.rows(
        "SELECT user_id, min(left_usd) FROM (SELECT members.user_id AS user_id, left_usd FROM members "
        "INNER JOIN limits ON members.org_id = limits.org_id WHERE members.org_id = 'acme' AND NOT removed AND "
        "(scope_kind = 'organization' OR (scope_kind = 'tier' AND members.seat_tier = limits.seat_tier) OR "
        "members.user_id = limits.user_id)) GROUP BY user_id ORDER BY user_id"
    )
    headroom = [
        (user_id, usd(ledger.decision_from_status("acme", user_id, micros(NOON)).headroom_picousd or 0))
        for user_id in ("ann", "ben", "owner", "pia")
    ]
    assert found == headroom


async def test_a_dead_letter_that_was_decided_is_no_unbilled_usage(world: ClickHouse, ledger: LedgerInMemory) -> None:
    unbilled = "SELECT reason, model, events, tokens FROM unbilled_usage WHERE org_id = 'acme' ORDER BY ALL"
    both = [("unknown_member", "claude-sonnet-4-6", 1, 1_000), ("unknown_model", "claude-unheard-of", 1, 12_345)]
    assert await world.rows(unbilled) == both
    letter = ledger.dead_letters[0]
    decision = b'{"dead_letter_id":"%s","decision":"discarded","by":"olga","at":"2026-09-18T12:30:00Z"}'
    claim = await claim_of(world, 0, topic="dead-letter-decisions", log_id="analysts")
    record = KafkaRecord(0, decision % letter.dead_letter_id.encode())
    await store(world, claim, record, table=EventTable("dead_letter_decisions"))
    assert await world.rows(unbilled) == [row for row in both if row[0] != letter.reason]
    await world.run("TRUNCATE TABLE dead_letter_decisions")


async def test_only_the_newest_status_of_a_key_counts(world: ClickHouse, ledger: LedgerInMemory) -> None:
    """Stored again with another limit, then as it was: twice the same key, merged or not."""
    table = EventTable("credit_status", has_key=True)
    key, value = next((k, v) for k, v in ledger.latest["credit-status"].items() if k == b'["member","acme","ben"]')
    limit = "SELECT limit_usd FROM members WHERE org_id = 'acme' AND user_id = 'ben'"
    for offset, (record, expected) in enumerate(
        [(value.replace(b'"12000000000000"', b'"13000000000000"'), Decimal(13)), (value, Decimal(12))], start=1_000
    ):
        claim = await claim_of(world, 0, topic="credit-status", log_id="analysts")
        assert await store(world, claim, KafkaRecord(offset, record, key=key), table=table) == [1]
        assert await world.rows(limit) == [(expected,)]


# Exports.


async def exported(*arguments: str, tmp_path: Path) -> bytes:
    output = tmp_path / "export"
    result = await run("export", *arguments, "--output", str(output))
    assert result.exit_code == 0, result.output
    return output.read_bytes()


async def test_csv_is_what_the_view_says(world: ClickHouse, tmp_path: Path) -> None:
    text = await exported("spend_by_day", "--organization", "acme", "--month", "2026-09", tmp_path=tmp_path)
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    expected = await world.rows(
        "SELECT toString(day), spend_usd FROM spend_by_day WHERE org_id = 'acme' AND month = '2026-09' ORDER BY day"
    )
    found = sorted((row["day"], Decimal(row["spend_usd"])) for row in rows)
    assert (found, {row["org_id"] for row in rows}) == (expected, {"acme"})


async def test_parquet_holds_money_as_decimals(world: ClickHouse, tmp_path: Path) -> None:
    file = await exported("priced_usage", "--format", "parquet", "--organization", "lumen", tmp_path=tmp_path)
    table = parquet.read_table(io.BytesIO(file))
    assert str(table.schema.field("cost_usd").type) == "decimal128(38, 12)"
    ((rows, cost),) = await world.rows("SELECT count(), sum(cost_usd) FROM priced_usage WHERE org_id = 'lumen'")
    assert (table.num_rows, sum(table["cost_usd"].to_pylist())) == (rows, cost)


async def test_several_organizations_and_stdout(world: ClickHouse) -> None:
    result = await run("export", "organizations", "--organization", "lumen", "--organization", "volta")
    assert [row["plan"] for row in csv.DictReader(io.StringIO(result.stdout))] == ["team", "team"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no_such_view",), "there is no view 'no_such_view'; there are balance_pauses, "),
        (("wallet_balances", "--month", "2026-09"), "wallet_balances has no month: leave --month out; it has org_id, "),
        (("ledger_time", "--organization", "acme"), "ledger_time has no org_id: leave --organization out"),
        (("priced_usage; DROP TABLE priced_usage",), "there is no view"),
    ],
)
async def test_what_cannot_be_exported_is_a_sentence(arguments: tuple[str, ...], says: str) -> None:
    result = await run("export", *arguments)
    assert (result.exit_code, says in result.stderr) == (1, True), result.stderr


async def test_names_are_bound_and_find_nothing_but_themselves() -> None:
    result = await run("export", "organizations", "--organization", "acme' OR '1' = '1")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)


async def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("from yesterday")
    result = await run("export", "no_such_view", "--output", str(kept))
    assert (result.exit_code, read_text(kept), os.listdir(tmp_path)) == (1, "from yesterday", ["kept.csv"])


# Who may look.


def rights() -> list[str]:
    """The statements of deploy/clickhouse-analyst.sql."""
    text = re.sub(r"^--.*$", "", read_text(ROOT / "deploy" / "clickhouse-analyst.sql"), flags=re.MULTILINE)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def policies() -> dict[str, str]:
    """Table → condition of each row policy of analysts."""
    found = {}
    for statement in rights():
        if match := re.search(r"own_organizations\s+ON(.*?)FOR SELECT\s+USING(.*)TO analyst", statement, re.DOTALL):
            found |= dict.fromkeys(re.findall(r"usage_credits\.(\w+)", match[1]), match[2].strip())
    return found


async def test_the_analysts_rights_are_read_by_the_engine_and_every_organizations_rows_have_a_policy(
    world: ClickHouse,
) -> None:
    assert len(rights()) == 13
    for statement in rights():  # parsed as a server parses them
        await world.rows("SELECT formatQuery({statement:String})", {"statement": statement.partition("('")[0]})
    tables = await world.rows(
        f"SELECT table FROM system.columns WHERE database = '{world.database}' AND name = 'org_id' AND table IN "
        f"(SELECT name FROM system.tables WHERE database = '{world.database}' AND engine != 'View')"
    )
    expected = {name for (name,) in tables} | {"analyst_organizations"}
    everybody_else = next(statement for statement in rights() if "everybody_else" in statement)
    assert policies().keys() == set(re.findall(r"usage_credits\.(\w+)", everybody_else)) == expected


async def test_an_analyst_sees_one_organization_through_every_view(world: ClickHouse, tmp_path: Path) -> None:
    """The policies' own conditions, on a real engine: as much of them as it can put into force."""
    client = clickhouse_connect.get_client(dsn=os.environ["CLICKHOUSE_URL"], database=world.database)
    with closing(client):
        for table in [*(policies().keys() - {"analyst_organizations"}), "kafka_logs", "price_ids", "seat_prices"]:
            rows = client.raw_query(f"SELECT * FROM {table}", fmt="JSONEachRow")
            (tmp_path / f"{table}.jsonl").write_bytes(rows)
    (tmp_path / "policies.json").write_text(json.dumps(policies()), encoding="utf-8")
    (tmp_path / "table.json").write_text(json.dumps(rights()[0]), encoding="utf-8")
    command = [sys.executable, "-m", "tests.support.row_policies", str(tmp_path)]
    ran = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    nothing_of_acme = {
        "balance_pauses",
        "balance_runway",
        "credit_notes",
        "invoice_payments",
        "statements",
        "wallet_balances",
    }
    assert shown == {view: [] if view in nothing_of_acme else ["acme"] for view in shown}
    assert len(shown) > 30
