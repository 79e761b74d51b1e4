"""Real calls whose cost somebody else computed, priced by us: the same to a billionth of a dollar."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.pricing import PricedEvent, price_usage
from pipeline.price_book import load_price_book
from schemas.usage import UsageEvent

BOOK = load_price_book()
DATA = Path(__file__).parents[1] / "data"
PICOUSD_PER_NANOUSD = 1_000


def rows(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / file).read_text().splitlines()]


def priced(model: str, occurred_at: str, **tokens: int) -> PricedEvent:
    who = {"org_id": "o", "user_id": "u", "event_id": "e", "product": "claude-code", "funding": "credits"}
    return price_usage(UsageEvent.model_validate({**who, "model": model, "occurred_at": occurred_at, **tokens}), BOOK)


def is_nanousd(picousd: int, usd: float) -> bool:
    return abs(picousd - round(usd * 10**12)) < PICOUSD_PER_NANOUSD


@pytest.mark.parametrize("row", rows("pi_session_excerpt.jsonl"), ids=lambda row: row["timestamp"])
def test_each_part_of_a_coding_session_costs_what_its_client_computed(row: dict[str, Any]) -> None:
    used, cost = row["usage"], row["usage"]["cost"]
    price = priced(
        row["model"],
        row["timestamp"],
        input_tokens=used["input"],
        output_tokens=used["output"],
        cache_read_tokens=used["cacheRead"],
        cache_write_5m_tokens=used["cacheWrite"],
    )
    assert is_nanousd(price.parts.input, cost["input"])
    assert is_nanousd(price.parts.output, cost["output"])
    assert is_nanousd(price.parts.cache_read, cost["cacheRead"])
    assert is_nanousd(price.parts.cache_write_5m, cost["cacheWrite"])
    assert is_nanousd(price.cost_picousd, cost["total"])


def aider_cost(row: dict[str, Any]) -> int:
    used = {"input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"]}
    return priced(row["model"], row["occurred_at"], **used).cost_picousd


def is_late_haiku(row: dict[str, Any]) -> bool:
    return "haiku" in row["model"] and row["occurred_at"] >= "2024-12-03"


def test_calls_of_seven_months_cost_what_was_reported() -> None:
    known = [row for row in rows("aider_exact.jsonl") if not is_late_haiku(row)]
    assert {row["model"] for row in known} >= {
        "claude-3-5-sonnet-20240620",
        "claude-3-5-haiku-20241022",
        "anthropic/claude-3-7-sonnet-20250219",
        "openrouter/anthropic/claude-3.5-sonnet",
    }
    assert [row for row in known if not is_nanousd(aider_cost(row), row["reported_cost_usd"])] == []


def test_after_the_price_cut_of_haiku_3_5_aider_still_reported_the_old_price() -> None:
    late = [row for row in rows("aider_exact.jsonl") if is_late_haiku(row)]
    assert late
    for row in late:
        assert aider_cost(row) == 800_000 * row["input_tokens"] + 4_000_000 * row["output_tokens"]
        assert is_nanousd(1_000_000 * row["input_tokens"] + 5_000_000 * row["output_tokens"], row["reported_cost_usd"])
