"""What a request costs: every kind of token, every variant, both sides of every boundary (R9-R13)."""

from typing import Any

import pytest

from pipeline.domain.pricing import CompiledPrices, PricedEvent, UnknownModel, UnpricedUsage, price_usage
from pipeline.price_book import load_price_book
from schemas.usage import UsageEvent

BOOK = load_price_book()

LAST_MOMENT_BEFORE_MARCH_13 = "2026-03-12T23:59:59.999999Z"
FIRST_MOMENT_OF_MARCH_13 = "2026-03-13T00:00:00Z"


def priced(model: str, at: str = "2026-02-20T12:00:00Z", **fields: Any) -> PricedEvent:
    event = {"org_id": "o", "user_id": "u", "event_id": "e", "product": "chat", "funding": "credits"}
    return price_usage(UsageEvent.model_validate({**event, "model": model, "occurred_at": at, **fields}), BOOK)


def mtok(usd: str, tokens: int) -> int:
    """Picodollars of tokens at a rate in dollars per million: 1 dollar per million tokens is 10**6 picodollars each."""
    whole, _, decimals = usd.partition(".")
    return int(whole + decimals.ljust(6, "0")) * tokens


def test_each_kind_of_token_costs_its_own_rate() -> None:
    price = priced(
        "claude-sonnet-4-5",
        input_tokens=1_000,
        output_tokens=200,
        cache_read_tokens=50_000,
        cache_write_5m_tokens=4_000,
        cache_write_1h_tokens=3_000,
    )
    assert price.parts.input == mtok("3", 1_000)
    assert price.parts.output == mtok("15", 200)
    assert price.parts.cache_read == mtok("0.3", 50_000)
    assert price.parts.cache_write_5m == mtok("3.75", 4_000)
    assert price.parts.cache_write_1h == mtok("6", 3_000)
    assert price.cost_picousd == 3_000_000_000 + 3_000_000_000 + 15_000_000_000 + 15_000_000_000 + 18_000_000_000
    assert price.rates.price_id == "claude-sonnet-4-5@2025-09-29"


def test_a_thousand_web_searches_cost_ten_dollars() -> None:
    assert priced("claude-sonnet-4-5", web_search_requests=1_000).parts.web_search == 10 * 10**12


def test_nothing_used_costs_nothing() -> None:
    assert priced("claude-opus-4-6").cost_picousd == 0


@pytest.mark.parametrize(
    ("model", "at", "input_usd", "cache_read_usd"),
    [
        ("claude-sonnet-4-6", "2026-03-01T00:00:00Z", "3", "0.3"),  # a tenth of input
        ("claude-opus-5-5", "2026-10-01T00:00:00Z", "4", "0.2"),  # a twentieth
        ("claude-sonnet-5-5", "2026-11-01T00:00:00Z", "2", "0.1"),  # a twentieth
        ("claude-fable-5-1", "2026-10-01T00:00:00Z", "10", "0.25"),  # a fortieth
        ("claude-mythos-5-2", "2026-11-20T00:00:00Z", "8", "0.2"),  # a fortieth
    ],
)
def test_cache_reads_have_a_rate_of_their_own(model: str, at: str, input_usd: str, cache_read_usd: str) -> None:
    price = priced(model, at, input_tokens=10, cache_read_tokens=10)
    assert price.parts[:3] == (mtok(input_usd, 10), 0, mtok(cache_read_usd, 10))


@pytest.mark.parametrize(
    ("model", "at", "threshold", "normal", "long"),
    [
        ("claude-sonnet-4-5", "2026-02-20T00:00:00Z", 200_000, "3", "6"),
        ("claude-sonnet-4-5", "2026-11-29T23:59:59.999999Z", 200_000, "3", "6"),  # the offer had ended on April 30
        ("claude-opus-4-6", LAST_MOMENT_BEFORE_MARCH_13, 200_000, "5", "10"),
        ("claude-opus-4-6", FIRST_MOMENT_OF_MARCH_13, 200_000, "5", "5"),
        ("claude-sonnet-4-6", LAST_MOMENT_BEFORE_MARCH_13, 200_000, "3", "6"),
        ("claude-sonnet-4-6", FIRST_MOMENT_OF_MARCH_13, 200_000, "3", "3"),
        ("claude-haiku-5-5", "2026-11-01T00:00:00Z", 100_000, "0.1", "0.5"),
        ("claude-opus-5", "2026-08-01T00:00:00Z", 200_000, "5", "5"),
    ],
)
def test_the_threshold_itself_is_normal_and_one_token_more_makes_every_token_long(
    model: str, at: str, threshold: int, normal: str, long: str
) -> None:
    assert priced(model, at, input_tokens=threshold).cost_picousd == mtok(normal, threshold)
    assert priced(model, at, input_tokens=threshold + 1).cost_picousd == mtok(long, threshold + 1)


@pytest.mark.parametrize(
    "kind", ["input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"]
)
def test_every_token_of_the_prompt_counts_toward_the_threshold(kind: str) -> None:
    base = {"cache_read_tokens": 100_000, "cache_write_5m_tokens": 50_000, "cache_write_1h_tokens": 50_000}
    assert priced("claude-sonnet-4-5", **base).rates.price_id == "claude-sonnet-4-5@2025-09-29"
    over = {**base, kind: base.get(kind, 0) + 1}
    assert priced("claude-sonnet-4-5", **over).rates.price_id == "claude-sonnet-4-5@2025-09-29+long"


def test_output_and_searches_do_not_count_toward_the_threshold() -> None:
    price = priced("claude-sonnet-4-5", input_tokens=200_000, output_tokens=64_000, web_search_requests=5)
    assert price.rates.price_id == "claude-sonnet-4-5@2025-09-29"


def test_long_context_takes_its_own_rate_for_each_kind_and_leaves_searches_alone() -> None:
    price = priced(
        "claude-opus-4-6",
        input_tokens=200_000,
        output_tokens=100,
        cache_read_tokens=1_000,
        cache_write_5m_tokens=100,
        cache_write_1h_tokens=100,
        web_search_requests=1,
    )
    assert price.rates.price_id == "claude-opus-4-6@2026-02-05+long"
    assert price.parts == (
        mtok("10", 200_000),
        mtok("37.5", 100),
        mtok("1", 1_000),
        mtok("12.5", 100),
        mtok("20", 100),
        10_000_000_000,
    )


USED = {"input_tokens": 1_000, "output_tokens": 100, "cache_read_tokens": 10, "web_search_requests": 3}
SEARCHES_PICOUSD = 3 * 10_000_000_000


@pytest.mark.parametrize(
    ("variant", "suffix", "times"),
    [
        ({}, "", "1"),
        ({"processing": "batch"}, "+batch", "0.5"),
        ({"speed": "fast"}, "+fast", "6"),
        ({"inference_geo": "us"}, "+us", "1.1"),
        ({"processing": "batch", "inference_geo": "us"}, "+batch+us", "0.55"),
        ({"speed": "fast", "inference_geo": "us"}, "+fast+us", "6.6"),
    ],
)
def test_a_variant_multiplies_every_token_rate_and_no_search(variant: dict[str, str], suffix: str, times: str) -> None:
    tokens_picousd = mtok("5", 1_000) + mtok("25", 100) + mtok("0.5", 10)  # 5 000 000 000 + 2 500 000 000 + 5 000 000
    price = priced("claude-opus-4-6", **USED, **variant)
    assert price.rates.price_id == "claude-opus-4-6@2026-02-05" + suffix
    assert price.cost_picousd == mtok(times, tokens_picousd) // 10**6 + SEARCHES_PICOUSD

    price = priced("claude-opus-4-6", **{**USED, "input_tokens": 200_000}, **variant)
    tokens_picousd = mtok("10", 200_000) + mtok("37.5", 100) + mtok("1", 10)
    assert price.rates.price_id == "claude-opus-4-6@2026-02-05+long" + suffix
    assert price.cost_picousd == mtok(times, tokens_picousd) // 10**6 + SEARCHES_PICOUSD


@pytest.mark.parametrize(
    ("model", "last_fast", "first_without", "times"),
    [
        ("claude-opus-4-6", "2026-06-28T23:59:59.999999Z", "2026-06-29T00:00:00Z", 6),
        ("claude-opus-4-7", "2026-07-23T23:59:59.999999Z", "2026-07-24T00:00:00Z", 6),
        ("claude-opus-4-8", "2026-11-29T23:59:59.999999Z", "2026-11-30T00:00:00Z", 2),
    ],
)
def test_fast_ends_with_the_block_that_lists_it(model: str, last_fast: str, first_without: str, times: int) -> None:
    assert priced(model, last_fast, input_tokens=1, speed="fast").cost_picousd == times * mtok("5", 1)
    with pytest.raises(UnpricedUsage, match=r"does not list \+fast"):
        priced(model, first_without, input_tokens=1, speed="fast")
    assert priced(model, first_without, input_tokens=1).cost_picousd == mtok("5", 1)


@pytest.mark.parametrize("model", ["claude-opus-5", "claude-opus-5-5", "claude-fable-5-2", "claude-mythos-5-2"])
def test_newer_models_are_fast_at_twice_the_rate(model: str) -> None:
    at = "2026-11-15T00:00:00Z"
    normal, fast = (priced(model, at, output_tokens=7, speed=speed).cost_picousd for speed in ("standard", "fast"))
    assert fast == 2 * normal


@pytest.mark.parametrize("absent", [None, "standard"])
def test_absent_and_null_are_standard(absent: str | None) -> None:
    price = priced("claude-opus-4-6", input_tokens=1, processing=absent, speed=absent)
    assert price.rates.price_id == "claude-opus-4-6@2026-02-05"


@pytest.mark.parametrize("geo", [None, "", "not_available", "global"])
def test_only_us_inference_takes_a_factor(geo: str | None) -> None:
    assert priced("claude-opus-4-6", input_tokens=1, inference_geo=geo).cost_picousd == mtok("5", 1)
    assert priced("claude-opus-4-6", input_tokens=1, inference_geo="us").cost_picousd == mtok("5.5", 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"inference_geo": "eu"}, "inference_geo 'eu'"),
        ({"inference_geo": "US"}, "inference_geo 'US'"),
        ({"processing": "priority"}, "processing 'priority'"),
        ({"speed": "turbo"}, "speed 'turbo'"),
        ({"processing": "batch", "speed": "fast"}, r"does not list \+batch\+fast"),
    ],
)
def test_what_the_block_does_not_list_is_unpriced(fields: dict[str, str], said: str) -> None:
    with pytest.raises(UnpricedUsage, match=said):
        priced("claude-opus-4-6", input_tokens=1, **fields)


@pytest.mark.parametrize("variant", [{"inference_geo": "us"}, {"speed": "fast"}])
def test_models_before_4_6_have_no_us_rate_and_no_fast_one(variant: dict[str, str]) -> None:
    with pytest.raises(UnpricedUsage, match=r"claude-sonnet-4-5@2025-09-29 does not list"):
        priced("claude-sonnet-4-5", input_tokens=1, **variant)


def test_a_missing_rate_matters_only_where_its_count_is_not_zero() -> None:
    at = "2025-01-01T00:00:00Z"
    assert priced("claude-2.1", at, input_tokens=10, output_tokens=1).cost_picousd == mtok("8", 10) + mtok("24", 1)
    with pytest.raises(UnpricedUsage, match="no rate for cache_read, of which 1 were used"):
        priced("claude-2.1", at, input_tokens=10, cache_read_tokens=1)
    with pytest.raises(UnpricedUsage, match="no rate for web_search"):
        priced("claude-2.1", at, web_search_requests=1)


def test_before_its_first_day_a_model_has_no_price() -> None:
    with pytest.raises(UnpricedUsage, match=r"at 2025-09-28T23:59:59.999999Z: its first price block is claude-sonnet"):
        priced("claude-sonnet-4-5", "2025-09-28T23:59:59.999999Z")
    assert priced("claude-sonnet-4-5", "2025-09-29T00:00:00Z").rates.price_id == "claude-sonnet-4-5@2025-09-29"


def test_a_retired_model_has_no_price_from_that_day_on() -> None:
    last = priced("claude-3-5-sonnet-20241022", "2025-10-27T23:59:59.999999Z", input_tokens=1)
    assert last.cost_picousd == mtok("3", 1)
    with pytest.raises(UnpricedUsage, match="retired since claude-3-5-sonnet@2025-10-28"):
        priced("claude-3-5-sonnet-20241022", "2025-10-28T00:00:00Z", input_tokens=1)


@pytest.mark.parametrize(
    ("model", "day", "before", "after"),
    [("claude-3-5-haiku-20241022", "2024-12-03", "0.1", "0.08"), ("claude-sonnet-5-5", "2026-10-07", "0.2", "0.1")],
)
def test_a_price_cut_acts_from_the_first_instant_of_its_day(model: str, day: str, before: str, after: str) -> None:
    year_and_month, last = day[:8], int(day[8:]) - 1
    eve = f"{year_and_month}{last:02d}T23:59:59.999999Z"
    assert priced(model, eve, cache_read_tokens=1).cost_picousd == mtok(before, 1)
    assert priced(model, f"{day}T00:00:00Z", cache_read_tokens=1).cost_picousd == mtok(after, 1)


@pytest.mark.parametrize("name", ["claude", "claude-sonnet", "claude-sonnet-4-5-2025", "claude-sonnet-4-55", ""])
def test_a_name_that_is_not_exactly_known_is_unknown(name: str) -> None:
    with pytest.raises(UnknownModel, match="no prices for model"):
        CompiledPrices(BOOK).rates(name, 1_770_000_000_000_000, 1, "standard", "standard", "")


def test_a_correction_is_priced_from_the_block_of_its_original() -> None:
    prices = CompiledPrices(BOOK)
    original = priced("claude-opus-4-6", LAST_MOMENT_BEFORE_MARCH_13, input_tokens=1).rates
    again = prices.rates_of_block(original.block_tag, 200_001, "batch", "standard", "us")
    assert again.price_id == "claude-opus-4-6@2026-02-05+long+batch+us"
    assert again.input == mtok("10", 1) * 55 // 100
    with pytest.raises(UnpricedUsage, match="does not list"):
        prices.rates_of_block(original.block_tag, 1, "batch", "fast", "")
    with pytest.raises(KeyError, match="no block with tag"):
        prices.rates_of_block(0, 1, "standard", "standard", "")
