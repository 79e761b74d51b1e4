"""The packaged book: what it covers, how its names expand, and that nothing published is ever edited (R12)."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.domain.pricing import PriceBlock, PriceBook
from pipeline.price_book import content_of, expand, load_price_book

BOOK = load_price_book()
PUBLISHED = Path(__file__).parents[1] / "data" / "published_price_blocks.txt"


def published_line(block: PriceBlock) -> str:
    return f"{block.block_id} {hashlib.sha256(content_of(block).encode()).hexdigest()[:16]}"


def test_no_published_block_was_edited_or_removed_and_none_is_unpublished() -> None:
    lines = [published_line(block) for prices in BOOK.models.values() for block in prices.blocks]
    assert sorted(lines) == sorted(PUBLISHED.read_text().splitlines()), (
        "a line that is only in the file: a block was edited or removed, put it back and append another; "
        "a line that is only in the book: append it to the file"
    )


def test_an_earlier_book_is_smaller() -> None:
    """By which a worker with an older book is known: nothing is ever taken out."""
    *others, last = BOOK.models.values()
    without_the_last_block = replace(last, blocks=last.blocks[:-1])
    without_a_name = replace(last, names=last.names[1:])
    for earlier in (without_the_last_block, without_a_name):
        assert PriceBook("earlier", [*others, earlier]).size == BOOK.size - 1


def test_every_rate_of_every_variant_is_a_whole_number_of_picodollars() -> None:
    rates = [
        rate
        for prices in BOOK.models.values()
        for block in prices.blocks
        for variant in block.variants.values()
        for rate in (variant.input, variant.output, variant.cache_read, variant.cache_write_5m, variant.cache_write_1h)
    ]
    assert {type(rate) for rate in rates} == {int, type(None)}
    assert min(rate for rate in rates if rate is not None) == 5_000  # Haiku 5.5, cache read, batch: $0.005 per million


def test_a_price_id_is_model_block_and_variant_and_names_one_set_of_rates() -> None:
    ids = [
        rates.price_id
        for prices in BOOK.models.values()
        for block in prices.blocks
        for rates in block.variants.values()
    ]
    assert len(ids) == len(set(ids))
    assert {"claude-opus-4-6@2026-02-05+long+fast+us", "claude-haiku-5-5@2026-10-07+long+batch+us"} <= set(ids)


def test_fast_is_never_listed_with_batch() -> None:
    suffixes = {s for prices in BOOK.models.values() for block in prices.blocks for s in block.variants}
    assert not [suffix for suffix in suffixes if "+batch" in suffix and "+fast" in suffix]


def test_us_is_listed_for_4_6_and_later_only() -> None:
    with_us = {m for m, prices in BOOK.models.items() if any("+us" in block.variants for block in prices.blocks)}
    before = {m for m in BOOK.models if m.startswith(("claude-1", "claude-2", "claude-instant", "claude-3"))}
    before |= {f"claude-{name}" for name in ("sonnet-4", "opus-4", "opus-4-1", "sonnet-4-5", "haiku-4-5", "opus-4-5")}
    assert with_us == BOOK.models.keys() - before


def test_only_the_models_of_r10_have_a_threshold() -> None:
    thresholds = {
        block.block_id: block.long_over_tokens
        for prices in BOOK.models.values()
        for block in prices.blocks
        if block.long_over_tokens
    }
    assert thresholds == {
        "claude-sonnet-4-5@2025-09-29": 200_000,
        "claude-opus-4-6@2026-02-05": 200_000,
        "claude-sonnet-4-6@2026-02-17": 200_000,
        "claude-haiku-5-5@2026-10-07": 100_000,
    }


def test_a_block_ends_where_the_next_begins() -> None:
    for prices in BOOK.models.values():
        ends = [block.until_micros for block in prices.blocks[:-1]]
        assert ends == [block.from_micros for block in prices.blocks[1:]]


def test_braces_stand_for_each_of_their_choices() -> None:
    assert list(expand("a{b,c}{,[1m]}")) == ["ab", "ab[1m]", "ac", "ac[1m]"]
    assert list(expand("plain")) == ["plain"]


def test_no_name_means_two_models() -> None:
    names = Counter(name for prices in BOOK.models.values() for name in prices.names)
    assert [name for name, times in names.items() if times > 1] == []
    assert len(names) == len(dict(BOOK.names())) > 10_000


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514[1m]", "claude-sonnet-4"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("claude-3.7-sonnet", "claude-3-7-sonnet"),
        ("anthropic/claude-3-7-sonnet-20250219", "claude-3-7-sonnet"),
        ("openrouter/anthropic/claude-3.7-sonnet", "claude-3-7-sonnet"),
        ("anthropic/claude-3.7-sonnet:thinking", "claude-3-7-sonnet"),
        ("anthropic/claude-sonnet-4.5:beta", "claude-sonnet-4-5"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
        ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", "claude-3-5-sonnet"),
        ("bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0", "claude-3-5-haiku"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0[1m]", "claude-sonnet-4-5"),
        ("eu.anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1"),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        ("jp.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("au.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5"),
        ("us-gov.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("anthropic.claude-v2:1", "claude-2"),
        ("anthropic.claude-instant-v1", "claude-instant-1"),
        ("claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet"),
        ("claude-opus-4@20250514", "claude-opus-4"),
        ("vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-opus-4-8@default", "claude-opus-4-8"),
        ("claude-opus-4-1-thinking:32768", "claude-opus-4-1"),
        ("claude-opus4-7", "claude-opus-4-7"),
        ("claude-fable-5.2", "claude-fable-5-2"),
    ],
)
def test_names_as_products_send_them_are_known(name: str, model: str) -> None:
    prices = BOOK.find(name)
    assert prices is not None
    assert prices.model == model


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-4-6-fast",  # names a speed: as an alias it would be priced at a sixth
        "anthropic/claude-opus-5-fast",
        "anthropic/claude-sonnet-5:batch",  # names a kind of processing
        "~anthropic/claude-opus-latest",  # means another model by and by
        "claude-sonnet-latest",
        "Claude-Sonnet-4-5",  # names are compared byte for byte
        " claude-sonnet-4-5",
        "claude-sonnet-4-5-20250930",
        "regional.anthropic.claude-opus-4-6-v1:0",
    ],
)
def test_names_that_would_misprice_are_unknown(name: str) -> None:
    assert BOOK.find(name) is None
