"""Our prices beside those of genai-prices: every model, kind of token, variant and edge of a block.

Where the two differ, DISAGREEMENTS says why we hold otherwise. An entry must explain every case it claims, and every
case it claims must still be a disagreement: once genai-prices comes round, the entry has to go.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ClauseEquals, ClauseOr

from pipeline.domain.pricing import NoPrice, cost_parts, rates_in_force
from pipeline.price_book import load_price_book
from schemas.instants import datetime_from_micros, format_instant, parse_instant

BOOK = load_price_book()
PICOUSD_PER_USD = 10**12

# What is used, in the order of CostParts.
KINDS = {
    "input": (1_000, 0, 0, 0, 0, 0),
    "output": (0, 1_000, 0, 0, 0, 0),
    "cache_read": (0, 0, 1_000, 0, 0, 0),
    "cache_write_5m": (0, 0, 0, 1_000, 0, 0),
    "cache_write_1h": (0, 0, 0, 0, 1_000, 0),
    "web_search": (0, 0, 0, 0, 0, 1_000),
    "100k": (100_000, 0, 0, 0, 0, 0),
    "over 100k": (100_000, 1, 0, 1, 0, 0),
    "200k": (200_000, 0, 0, 0, 0, 0),
    "over 200k": (200_000, 1, 1, 0, 0, 0),
}
CACHE_KINDS = {"cache_read", "cache_write_5m", "cache_write_1h", "over 100k", "over 200k"}
VARIANTS = ("standard", "batch", "fast")


@dataclass(frozen=True)
class Case:
    model: str
    at: str
    kind: str
    variant: str
    ours_picousd: int | None
    theirs_picousd: int | None

    @property
    def retired(self) -> bool:
        block = BOOK.models[self.model].block_at(parse_instant(self.at))
        return block is not None and block.retired


@cache
def cases() -> tuple[Case, ...]:
    return tuple(
        Case(model, format_instant(at), kind, variant, ours(model, at, kind, variant), theirs(model, at, kind, variant))
        for model in BOOK.models
        for at in edges_of_blocks(model)
        for kind in KINDS
        for variant in VARIANTS
    )


def edges_of_blocks(model: str) -> Iterator[int]:
    end = parse_instant("2027-01-01T00:00:00Z")
    for block in BOOK.models[model].blocks:
        yield block.from_micros
        yield min(block.until_micros, end) - 1


def ours(model: str, at_micros: int, kind: str, variant: str) -> int | None:
    used = KINDS[kind]
    batch, fast = (variant if variant == name else "standard" for name in ("batch", "fast"))
    try:
        rates = rates_in_force(BOOK, model, at_micros, used[0] + sum(used[2:5]), batch, fast, None)
        return sum(cost_parts(rates, *used))
    except NoPrice:
        return None


def theirs(model: str, at_micros: int, kind: str, variant: str) -> int | None:
    context = {"batch": {"processing": "batch"}, "fast": {"speed": "fast"}}.get(variant)
    fresh, out, read, write_5m, write_1h, searches = KINDS[kind]
    usage = Usage(
        input_tokens=fresh + read + write_5m + write_1h,  # theirs includes what was cached
        output_tokens=out,
        cache_read_tokens=read,
        cache_write_tokens=write_5m + write_1h,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        web_searches=searches,
    )
    try:
        price = calc_price(
            usage,
            model,
            provider_id="anthropic",
            genai_request_timestamp=datetime_from_micros(at_micros),
            price_context=context,
        )
    except LookupError:
        return None
    picousd = price.total_price * PICOUSD_PER_USD
    assert picousd == int(picousd)
    return int(picousd)


def six_times(case: Case) -> bool:
    ends = {"claude-opus-4-6": "2026-06-29", "claude-opus-4-7": "2026-07-24"}
    return case.variant == "fast" and case.kind != "web_search" and case.at < ends.get(case.model, "")


def batches_before_they_are_dated(case: Case) -> bool:
    if case.model == "claude-sonnet-5-5" and case.kind == "cache_read" and case.at < "2026-10-07":
        return False  # half of 0.20 is 0.10: two disagreements cancel
    priced = case.ours_picousd is not None and case.kind != "web_search"
    return case.variant == "batch" and priced and case.at < "2026-10-14"


# Why we hold otherwise, and for which cases; the first that claims a case explains it.
DISAGREEMENTS: dict[str, Callable[[Case], bool]] = {
    "genai-prices does not list the model; litellm or langfuse does": lambda c: (
        c.ours_picousd is not None
        and c.model
        in ("claude-1", "claude-instant-1", "claude-mythos-preview", "claude-mythos-5", "claude-mythos-5-1")
    ),
    "R12: a retirement is appended, nothing later has a price; genai-prices keeps the last price": lambda c: (
        c.retired and c.theirs_picousd is not None
    ),
    "R11: a rate that is missing is unpriced; genai-prices takes searches for free where it has no rate": lambda c: (
        c.kind == "web_search" and c.model in ("claude-2", "claude-3-opus", "claude-3-sonnet", "claude-3-haiku")
    ),
    "R9: no rate is derived from another; genai-prices takes input's where it has none for caching": lambda c: (
        c.kind in CACHE_KINDS and c.model == "claude-2"
    ),
    "R11: fast is unpriced where the block does not list it; genai-prices prices it as standard": lambda c: (
        c.variant == "fast" and c.ours_picousd is None and c.theirs_picousd is not None
    ),
    "R11: fast is 6 times for Opus 4.6 and 4.7; genai-prices dropped it when it ended": six_times,
    "R11: no batch is listed for the model; genai-prices prices it as standard": lambda c: (
        c.variant == "batch" and c.model in ("claude-2", "claude-3-sonnet")
    ),
    "R11: a batch is half of every token rate; genai-prices has no batches before the day it read them": (
        batches_before_they_are_dated
    ),
    "R9: Haiku 3.5 cost 1 and 5 dollars until 2024-12-03; genai-prices has the later price alone": lambda c: (
        c.model == "claude-3-5-haiku" and c.at < "2024-12-03" and c.kind != "web_search" and c.variant == "standard"
    ),
    "R9: Sonnet 5.5 cache reads cost 0.20 until 2026-10-07; genai-prices has the later price alone": lambda c: (
        c.model == "claude-sonnet-5-5" and c.at < "2026-10-07" and c.kind in ("cache_read", "over 200k")
        and c.variant == "standard"
    ),
}  # fmt: skip


def explanation(case: Case) -> str | None:
    return next((reason for reason, claims in DISAGREEMENTS.items() if claims(case)), None)


def test_every_price_agrees_or_the_reason_is_known() -> None:
    unexplained = [c for c in cases() if c.ours_picousd != c.theirs_picousd and explanation(c) is None]
    assert unexplained == []


@pytest.mark.parametrize("reason", DISAGREEMENTS)
def test_each_known_disagreement_is_still_one(reason: str) -> None:
    claimed = [case for case in cases() if explanation(case) == reason]
    assert claimed, "explains nothing any more; take the entry out"
    settled = [case for case in claimed if case.ours_picousd == case.theirs_picousd]
    assert settled == [], "agrees by now; narrow the entry, or take it out"


def test_most_of_what_both_know_agrees() -> None:
    both = [c for c in cases() if c.variant == "standard" and c.ours_picousd is not None and c.theirs_picousd]
    assert sum(c.ours_picousd == c.theirs_picousd for c in both) / len(both) > 0.95


def names_listed() -> Iterator[str]:
    """Every id and every exact spelling that genai-prices gives a Claude model, at whichever provider."""
    for provider in get_snapshot().providers:
        for model in provider.models:
            if "claude" in model.id:
                yield model.id
                clauses = model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]
                yield from (clause.equals for clause in clauses if isinstance(clause, ClauseEquals))


@pytest.mark.parametrize("name", sorted(set(names_listed())))
def test_every_name_is_known_unless_it_says_more_than_the_model(name: str) -> None:
    says_more = name.endswith(("-fast", ":batch")) or name.startswith("~")
    made_up = name.startswith("regional.")  # genai-prices' own word for "any region but global"
    assert (BOOK.find(name) is None) == (says_more or made_up)
