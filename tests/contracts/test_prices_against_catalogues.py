"""Every name and rate of three public catalogues beside ours, on the day they were read.

tests/data/catalogue_prices.json has what they list; REASONS and DISAGREEMENTS say where we hold otherwise, and why.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.domain.pricing import PriceBlock, Rates
from pipeline.price_book import load_price_book
from schemas.instants import parse_instant

BOOK = load_price_book()
CATALOGUES = json.loads((Path(__file__).parents[1] / "data" / "catalogue_prices.json").read_text())
READ_MICROS = parse_instant("2026-11-24T00:00:00Z")
KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")

UNKNOWN_NAMES = {  # each names a speed: as an alias it would be priced as standard
    "claude-opus-4-6-fast",
    "claude-opus-4-7-fast",
    "claude-opus-4-8-fast",
}

RESELLER = "a reseller's rate; ours is Anthropic's (R9)"
DISAGREEMENTS = {
    ("models-dev", "claude-3-sonnet-20240229", "cache_write_5m"): "the rate of reads, mistaken for that of writes",
    **{
        ("models-dev", name, kind): RESELLER
        for name in (
            "claude-4-5-sonnet",
            "claude-4-6-sonnet",
            "claude-opus-4-5-20251101:thinking",
            "claude-opus4-5",
            "claude-opus4-6",
            "claude-opus4-7",
            "claude-opus4-8",
            *(f"claude-opus-4{v}-thinking{n}" for v in ("", "-1") for n in ("", ":1024", ":8192", ":32000", ":32768")),
            *(f"claude-sonnet-4-thinking{budget}" for budget in ("", ":1024", ":8192", ":32768", ":64000")),
        )
        for kind in ("input", "output")
    },
    **{
        ("models-dev", name, kind): RESELLER
        for name in ("claude-opus4-7", "claude-opus4-8")
        for kind in ("cache_read", "cache_write_5m")
    },
}


class Listed(NamedTuple):
    catalogue: str
    name: str
    kind: str
    usd_per_mtok: Decimal
    ours: int | None


def last_priced_block(name: str) -> PriceBlock:
    """In force on the day the catalogues were read; of a retired model, its last rates."""
    prices = BOOK.find(name)
    assert prices is not None, name
    return next(block for block in reversed(prices.blocks) if not block.retired and block.from_micros <= READ_MICROS)


def listed() -> Iterator[Listed]:
    for catalogue, entries in CATALOGUES.items():
        for entry in entries:
            for name in entry["names"]:
                if name not in UNKNOWN_NAMES:
                    yield from rates_listed(catalogue, name, entry, last_priced_block(name))


def rates_listed(catalogue: str, name: str, entry: dict[str, Any], block: PriceBlock) -> Iterator[Listed]:
    by_suffix = {"": entry, "+batch": entry.get("batch"), "+long": entry.get("long"), "+fast": entry.get("fast_rates")}
    for suffix, rates in by_suffix.items():
        for kind in KINDS:
            if rates and kind in rates:
                ours: Rates = block.variants[suffix]
                yield Listed(catalogue, name, kind + suffix, Decimal(rates[kind]), getattr(ours, kind))
    for factor, suffix in (("us", "+us"), ("fast", "+fast")):
        if factor in entry:
            usd = Decimal(entry["input"]) * Decimal(entry[factor])
            yield Listed(catalogue, name, "input" + suffix, usd, block.variants[suffix].input)


def agrees(rate: Listed) -> bool:
    # A nano-dollar per million tokens is below any price: it absorbs the floats of models.dev.
    return rate.ours is not None and abs(rate.usd_per_mtok * 10**6 - rate.ours) < Decimal("0.001")


def test_every_name_of_every_catalogue_is_known_or_refused_for_a_reason() -> None:
    names = {name for entries in CATALOGUES.values() for entry in entries for name in entry["names"]}
    assert {name for name in names if BOOK.find(name) is None} == UNKNOWN_NAMES
    assert len(names) > 750


def test_every_rate_agrees_or_the_reason_is_known() -> None:
    unexplained = [rate for rate in listed() if not agrees(rate) and rate[:3] not in DISAGREEMENTS]
    assert unexplained == []


@pytest.mark.parametrize("key", DISAGREEMENTS, ids=" ".join)
def test_each_known_disagreement_is_still_one(key: tuple[str, str, str]) -> None:
    rates = [rate for rate in listed() if rate[:3] == key]
    assert rates, "the catalogue does not list this; take the entry out"
    assert not any(agrees(rate) for rate in rates), "agrees by now; take the entry out"
