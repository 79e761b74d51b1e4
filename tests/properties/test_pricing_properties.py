"""What holds of prices whatever the request (R9-R13)."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.pricing import (
    END_OF_TIME_MICROS,
    INFERENCE_GEO,
    PROCESSING,
    SPEED,
    CompiledPrices,
    NoPrice,
    PriceBlock,
    Rates,
    cost_parts,
    rates_in_force,
)
from pipeline.price_book import load_price_book
from schemas.instants import parse_instant

BOOK = load_price_book()
PRICES = CompiledPrices(BOOK)
NAMES = sorted(name for name, _ in BOOK.names())
BLOCKS = [block for prices in BOOK.models.values() for block in prices.blocks if not block.retired]
EDGES = sorted({edge for b in BLOCKS for edge in (b.from_micros - 1, b.from_micros, b.until_micros - 1)})

blocks = st.sampled_from(BLOCKS)
quantities = st.tuples(*[st.integers(0, 100_000_000)] * 5, st.integers(0, 100_000))
instants = st.sampled_from([edge for edge in EDGES if edge < END_OF_TIME_MICROS - 1]) | st.integers(
    parse_instant("2023-01-01T00:00:00Z"), parse_instant("2028-01-01T00:00:00Z")
)
prompts = st.sampled_from([0, 1, 100_000, 100_001, 200_000, 200_001, 500_000_000])
values = st.sampled_from(["eu", "", "fast", "batch", "us"])


def priced_or_refused(rates: Rates, used: tuple[int, ...]) -> tuple[int, ...] | str:
    try:
        return cost_parts(rates, *used)
    except NoPrice as refusal:
        return refusal.reason


@given(
    name=st.sampled_from(NAMES) | st.text(max_size=12),
    at=instants,
    prompt=prompts,
    processing=st.sampled_from(list(PROCESSING)) | values,
    speed=st.sampled_from(list(SPEED)) | values,
    geo=st.sampled_from(list(INFERENCE_GEO)) | values,
)
def test_compiled_prices_say_what_the_plain_rule_says(
    name: str, at: int, prompt: int, processing: str | None, speed: str | None, geo: str | None
) -> None:
    def told(source: str) -> Rates | tuple[type[NoPrice], str]:
        try:
            if source == "compiled":
                return PRICES.rates(name, at, prompt, processing, speed, geo)
            return rates_in_force(BOOK, name, at, prompt, processing, speed, geo)
        except NoPrice as refusal:
            return type(refusal), str(refusal)

    assert told("compiled") == told("plain")


@given(block=blocks, one=quantities, other=quantities, variant=st.data())
def test_a_price_is_additive_within_one_set_of_rates(
    block: PriceBlock, one: tuple[int, ...], other: tuple[int, ...], variant: st.DataObject
) -> None:
    rates = block.variants[variant.draw(st.sampled_from(sorted(block.variants)))]
    both = tuple(a + b for a, b in zip(one, other, strict=True))
    together = priced_or_refused(rates, both)
    apart = [priced_or_refused(rates, one), priced_or_refused(rates, other)]
    if isinstance(together, str):
        assert together in apart
    else:
        assert [sum(parts) for parts in zip(*apart, strict=True)] == list(together)


@given(block=blocks, used=quantities)
def test_variant_factors_are_exact(block: PriceBlock, used: tuple[int, ...]) -> None:
    tokens_only = (*used[:5], 0)
    for suffix, factor in (("+batch", "0.5"), ("+us", "1.1"), ("+batch+us", "0.55")):
        for length in ("", "+long"):
            if length in block.variants and length + suffix in block.variants:
                plain = priced_or_refused(block.variants[length], tokens_only)
                varied = priced_or_refused(block.variants[length + suffix], tokens_only)
                if isinstance(plain, str):
                    assert varied == plain
                else:
                    assert [Decimal(part) * Decimal(factor) for part in plain] == list(varied)


@given(block=blocks, used=quantities)
def test_web_searches_cost_the_same_in_every_variant(block: PriceBlock, used: tuple[int, ...]) -> None:
    assert len({rates.web_search for rates in block.variants.values()}) == 1


@given(block=blocks, used=quantities)
def test_a_part_divided_by_its_quantity_is_its_rate(block: PriceBlock, used: tuple[int, ...]) -> None:
    for rates in block.variants.values():
        parts = priced_or_refused(rates, used)
        if not isinstance(parts, str):
            each = (rates.input, rates.output, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
            for quantity, part, rate in zip(used, parts, (*each, rates.web_search), strict=True):
                assert part == (quantity * rate if rate is not None else 0)


@given(block=blocks)
def test_a_block_is_found_again_by_its_tag(block: PriceBlock) -> None:
    assert BOOK.block(block.tag) is block
    assert 0 <= block.tag < 2**24
    for suffix, rates in block.variants.items():
        assert (rates.block_tag, rates.price_id) == (block.tag, block.block_id + suffix)
