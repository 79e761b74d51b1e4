"""`usage-credits simulate --month` on a real ClickHouse: what a month would have cost by another price book (R12)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.price_book import PACKAGED
from pipeline.topics import PRICED_USAGE
from sinks.claims import take_over
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate
from sinks.priced_usage import PricedUsage
from tests.support.builders import add_member, event, register, set_credits
from tests.support.ledger import LedgerInMemory
from tests.support.sink_world import KafkaRecord

pytestmark = pytest.mark.clickhouse

MILLION = 1_000_000
FIGURES = ("was_usd", "would_be_usd", "difference_usd")


@pytest.fixture
async def stored(
    clickhouse: EmbeddedClickHouse, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClickHouse]:
    """A migrated database, which is the one that commands look at."""
    store = ClickHouse(clickhouse.url, fresh_name("repricing"))
    await migrate(store)
    monkeypatch.setenv("CLICKHOUSE_URL", clickhouse.url)
    monkeypatch.setenv("CLICKHOUSE_DATABASE", store.database)
    yield store
    await store.close()


def a_ledger() -> LedgerInMemory:
    ledger = LedgerInMemory()
    ledger.commands(register(), set_credits(), add_member())
    ledger.commands(register("globex"), set_credits(org_id="globex"), add_member("bob", org_id="globex"))
    return ledger


async def store_rows_of(ledger: LedgerInMemory, stored: ClickHouse) -> None:
    """What it published goes the way of the sink."""
    values = ledger.take_outputs()[PRICED_USAGE.name]
    claim = await take_over(stored, "log-1", "priced-usage", [0])
    progress = await PricedUsage().progress(stored, claim)
    for insert in progress.inserts(claim, [KafkaRecord(offset, value) for offset, value in enumerate(values)]):
        await stored.insert(insert.statement, insert.body, log_comment=claim.name)


def other_book(tmp_path: Path, old: str, new: str) -> Path:
    """The packaged book with one word of Sonnet 4.6's prices put otherwise."""
    before, model, rest = PACKAGED.read_text().partition("  - model: claude-sonnet-4-6\n")
    prices, next_model, after = rest.partition("  - model: ")
    assert old in prices
    file = tmp_path / "other.yaml"
    file.write_text(before + model + prices.replace(old, new) + next_model + after)
    return file


def dearer_output(tmp_path: Path) -> Path:
    """A million tokens cost $15.00002 in place of $15."""
    return other_book(tmp_path, 'output: "15"', 'output: "15.00002"')


async def run(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, ["simulate", *map(str, arguments)])


async def answer(*arguments: object) -> Any:
    result = await run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def figures(of: dict[str, Any]) -> tuple[str, ...]:
    return tuple(of[name] for name in FIGURES)


async def test_each_event_is_priced_once_more_and_the_difference_is_exact(stored: ClickHouse, tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.usage(
        event("e-1", input_tokens=7, output_tokens=1_001),
        event("e-2", product="claude-code", model="claude-haiku-4-5", output_tokens=3),
        event("e-3", output_tokens=5 * MILLION, funding="included"),  # nobody pays for it
        event("e-4", org_id="globex", user_id="bob", output_tokens=MILLION),
    )
    await store_rows_of(ledger, stored)
    said = await answer("--month", "2026-05", "--price-book", dearer_output(tmp_path))
    acme, globex = said["organizations"]
    haiku, sonnet = acme["models"]
    # 7 x $3 + 1,001 x $15 per million, then 1,001 x $0.00002 more; Haiku's three tokens cost $5 per million in both.
    assert figures(sonnet) == ("0.015036", "0.01503602002", "0.00000002002")
    assert figures(haiku) == ("0.000015", "0.000015", "0.00")
    assert figures(acme) == ("0.015051", "0.01505102002", "0.00000002002")
    assert figures(globex) == ("15.00", "15.00002", "0.00002")
    assert figures(said) == ("15.015051", "15.01507102002", "0.00002002002")
    assert (said["events"], acme["events"], sonnet["model"]) == (3, 2, "claude-sonnet-4-6")


async def test_by_the_same_book_everything_costs_the_same(stored: ClickHouse) -> None:
    ledger = a_ledger()
    variants = [{}, {"processing": "batch"}, {"inference_geo": "us"}, {"processing": "batch", "inference_geo": "us"}]
    ledger.usage(*(event(f"e-{n}", input_tokens=n, web_search_requests=1, **v) for n, v in enumerate(variants, 1)))
    await store_rows_of(ledger, stored)
    said = await answer("--month", "2026-05", "--price-book", PACKAGED)
    assert said["would_be_usd"] == said["was_usd"]
    assert said["events"] == 4


async def test_of_a_corrected_event_only_what_is_right_counts(stored: ClickHouse, tmp_path: Path) -> None:
    ledger = a_ledger()
    wrong = event("e-1", output_tokens=MILLION)
    said = {name: value for name, value in wrong.items() if name not in ("org_id", "event_id")}
    ledger.usage(wrong)
    ledger.usage(wrong | {"event_id": "e-2", "output_tokens": 4, "corrects": {"event_id": "e-1", "original": said}})
    await store_rows_of(ledger, stored)
    answered = await answer("--month", "2026-05", "--price-book", dearer_output(tmp_path))
    assert figures(answered) == ("0.00006", "0.00006000008", "0.00000000008")  # four tokens, one event
    assert answered["events"] == 1


@pytest.mark.parametrize(("prompt_tokens", "would_be_usd"), [(1_000, "0.003"), (1_001, "0.006006")])
async def test_each_event_meets_the_other_books_own_threshold(
    stored: ClickHouse, tmp_path: Path, prompt_tokens: int, would_be_usd: str
) -> None:
    ledger = a_ledger()
    ledger.usage(event("e-1", input_tokens=prompt_tokens))
    await store_rows_of(ledger, stored)
    rates = 'input: "6", output: "1", cache_read: "1", cache_write_5m: "1", cache_write_1h: "1"'
    long = f"long: {{over: 1000, rates: {{{rates}}}}}"
    book = other_book(tmp_path, "  - from: 2026-03-13\n", f"  - from: 2026-03-13\n        {long}\n")
    assert (await answer("--month", "2026-05", "--price-book", book))["would_be_usd"] == would_be_usd


async def test_what_the_other_book_has_no_price_for_is_told_apart(stored: ClickHouse, tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.usage(event("e-1", output_tokens=1), event("e-2", output_tokens=2, processing="batch"))
    await store_rows_of(ledger, stored)
    book = other_book(tmp_path, '        batch: "0.5"\n', "")
    said = await answer("--month", "2026-05", "--price-book", book)
    (acme,) = said["organizations"]
    assert figures(acme) == ("0.000015", "0.000015", "0.00")
    (apart,) = acme["unpriced"]
    assert (apart["model"], apart["reason"], apart["was_usd"]) == ("claude-sonnet-4-6", "unpriced", "0.000015")
    assert (await run("--month", "2026-05", "--price-book", book, "--strict")).exit_code == 1


async def test_late_usage_counts_in_the_month_in_which_it_was_charged(stored: ClickHouse, tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.usage(event("e-1", output_tokens=MILLION, occurred_at="2026-04-20T00:00:00Z"))  # April is closed
    await store_rows_of(ledger, stored)
    said = await answer("--month", "2026-05", "--price-book", dearer_output(tmp_path))
    assert figures(said) == ("15.00", "15.00002", "0.00002")


async def test_people_read_a_table_of_one_organization_or_of_all(stored: ClickHouse, tmp_path: Path) -> None:
    ledger = a_ledger()
    ledger.usage(*(event(f"e-{n}", output_tokens=100 * MILLION) for n in range(3)))
    ledger.usage(event("e-9", org_id="globex", user_id="bob", output_tokens=1))
    await store_rows_of(ledger, stored)
    book = dearer_output(tmp_path)
    all_of_them = (await run("--month", "2026-05", "--price-book", book)).stdout
    assert [line.split() for line in all_of_them.splitlines() if line.startswith(("acme", "globex", "all"))] == [
        ["acme", "3", "$4,500.00000000000", "$4,500.00600000000", "+$0.00600000000"],
        ["globex", "1", "$0.00001500000", "$0.00001500002", "+$0.00000000002"],
        ["all", "4", "$4,500.00001500000", "$4,500.00601500002", "+$0.00600000002"],
    ]
    one = (await run("--month", "2026-05", "--price-book", book, "--org", "globex")).stdout
    assert "acme" not in one
    nobody = await run("--month", "2026-05", "--price-book", book, "--org", "hooli")
    assert nobody.exit_code == 1
    assert "nothing was charged to hooli in 2026-05" in nobody.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--month", "2026-05"),
        ("--month", "May", "--price-book", PACKAGED),
        ("--month", "2026-05", "--price-book", PACKAGED, "--set-limit", "acme=1.00"),
        ("--org", "acme", PACKAGED, "-"),
        (),
    ],
)
async def test_wrong_usage_exits_with_2(arguments: tuple[object, ...]) -> None:
    assert (await run(*arguments)).exit_code == 2
