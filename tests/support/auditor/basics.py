"""Money, months, prices and ids of the auditor's own: texts and counts come in, exact integers and names go out."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache, lru_cache
from math import prod
from typing import Any

import xxhash

Wire = dict[str, Any]

PICO = 10**12
SECOND = 10**6
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
AHEAD = 5 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")

# List prices in picodollars per token, in the order of TOKENS, from 2026-03-13 on; batch, fast and US are factors.
PRICES = {
    "claude-opus-4-6": (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000),
    "claude-haiku-4-5": (1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000),
    "claude-sonnet-4-6": (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000),
}
SEARCH = 10 * PICO // 1_000
FACTORS = {"batch": Fraction(1, 2), "fast": Fraction(6), "us": Fraction(11, 10)}
# Their blocks by the first day, and which factors each lists (R11).
BLOCKS = {
    "claude-opus-4-6": {"2026-03-13": {"batch", "fast", "us"}, "2026-06-29": {"batch", "us"}},
    "claude-haiku-4-5": {"2025-10-01": {"batch"}},
    "claude-sonnet-4-6": {"2026-03-13": {"batch", "us"}},
}
ALIASES = {"anthropic/claude-opus-4-6": "claude-opus-4-6", "claude-haiku-4-5-20251001": "claude-haiku-4-5"}

BILLED = ("user_id", "product", "model", "occurred_at", "funding")
COUNTED = (*TOKENS, "web_search_requests")
VARIANT = {"processing": "standard", "speed": "standard", "inference_geo": ""}


def picousd(usd: str) -> int:
    amount = Fraction(usd) * PICO
    assert amount.denominator == 1
    return int(amount)


@lru_cache(maxsize=8_192)
def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def text_of(at: int) -> str:
    """RFC 3339 in UTC, with all decimals."""
    return (EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def month_of(at: int) -> str:
    return _month_of_day(at // DAY)


@cache
def _month_of_day(day: int) -> str:
    return (EPOCH + timedelta(days=day)).strftime("%Y-%m")


@cache
def first_instant(month: str) -> int:
    return micros(f"{month}-01T00:00:00Z")


@cache
def end_of(month: str) -> int:
    return first_instant(month_of(first_instant(month) + 32 * DAY))


def cost(facts: Wire) -> int | str:
    """Picodollars, or why there is no price."""
    if model_of(facts) not in PRICES:
        return "unknown_model"
    variant = variant_of(facts)
    if not {*variant} <= BLOCKS[model_of(facts)][block_of(facts)] or {*variant} >= {"batch", "fast"}:
        return "unpriced"
    return sum(facts[kind] * rate for kind, rate in rates_of(price_id_of(facts)).items())


def model_of(facts: Wire) -> str:
    return ALIASES.get(facts["model"], facts["model"])


def block_of(facts: Wire) -> str:
    day = text_of(facts["occurred_at"])[:10]
    return max(first for first in BLOCKS[model_of(facts)] if first <= day)


def variant_of(facts: Wire) -> list[str]:
    """What is not as usual, in the order of a price id."""
    return [facts[name] for name, usual in VARIANT.items() if facts[name] != usual]


def price_id_of(facts: Wire) -> str:
    """R12."""
    return "+".join([f"{model_of(facts)}@{block_of(facts)}", *variant_of(facts)])


@cache
def rates_of(price_id: str) -> dict[str, int]:
    """Picodollars by what is counted, in the order of R9; a factor is one of tokens alone."""
    block, *variant = price_id.split("+")
    rates = [rate * prod(map(FACTORS.__getitem__, variant)) for rate in PRICES[block.partition("@")[0]]]
    assert all(Fraction(rate).denominator == 1 for rate in rates), price_id
    return dict(zip(COUNTED, (*map(int, rates), SEARCH), strict=True))


def billing_facts(wire: Wire) -> Wire:
    """What decides price, month and whom it is charged to, however it was written (R11, R14)."""
    facts = {name: wire[name] for name in BILLED} | {name: wire.get(name, 0) for name in COUNTED}
    facts["occurred_at"] = micros(wire["occurred_at"])
    for name, usual in VARIANT.items():
        said = wire.get(name) or usual
        facts[name] = usual if said in ("global", "not_available") else said
    return facts


def facts_of(wire: Wire) -> Wire:
    """A whole bare event, defaults written out."""
    corrects = wire.get("corrects")
    return {
        **billing_facts(wire),
        "org_id": wire["org_id"],
        "event_id": wire["event_id"],
        "source": wire.get("source", ""),
        "corrects": corrects and (corrects["event_id"], billing_facts(corrects["original"])),
    }


def reload_id(org_id: str, number: int) -> str:
    return _hash("reload", org_id, number)


def purchase_id(org_id: str, command_id: str) -> str:
    return _hash("purchase", org_id, command_id)


def request_id(org_id: str, command_id: str) -> str:
    return _hash("request", org_id, command_id)


def _hash(*parts: object) -> str:
    return xxhash.xxh3_128_hexdigest("\n".join(map(str, parts)).encode())
