"""Anthropic's usage report (Admin API): time buckets in, readings out; and what its cost report adds up to.

A bucket is a sum over requests, so it becomes as many readings as leave each on the right side of its model's
long-context threshold (R10): what lies below is cut into prompts below it. The report must be grouped by model, and,
for models with such a threshold, by context_window.
Format: https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, BinaryIO

from pipeline.domain.pricing import PriceBook
from pipeline.importers.readings import Format, NoUsage, Reading, each, identity, instant, records
from pipeline.price_book import load_price_book
from schemas.money import PICOUSD_PER_CENT

SOURCE = "anthropic-usage-report"
MOST_TOKENS, MOST_SEARCHES = 100_000_000, 100_000
"""Of a kind in one event (R17)."""

BELOW = {"0-200k": 200_000}
"""Windows whose requests all have prompts of at most so many tokens."""

_PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_GROUPS = (
    "account_id",
    "api_key_id",
    "workspace_id",
    "model",
    "service_tier",
    "context_window",
    "inference_geo",
    "speed",
)


def read(file: BinaryIO) -> Iterator[Reading | NoUsage]:
    """The results of all buckets of one answer, or of one page a line."""
    results = each(records(file, "data"), _results, "no bucket of a usage report")
    return each(results, _readings, "no result of a usage report")


ANTHROPIC_USAGE = Format("*.json*", read)


def cost_picousd(file: BinaryIO) -> int:
    """What a cost report (cost_report of the same API) adds up to; its amounts are cents, with decimals.

    Raises:
        ValueError: it is none.
    """
    try:
        cents = sum(Decimal(result["amount"]) for bucket in records(file, "data") for result in bucket["results"])
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"no cost report: {type(error).__name__} {error}") from None
    return int(cents * PICOUSD_PER_CENT)


def _results(bucket: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each result, with the time at which its bucket begins."""
    for result in bucket["results"]:
        yield bucket["starting_at"], result


def _readings(one: tuple[str, dict[str, Any]]) -> Iterator[Reading]:
    starting_at, result = one
    if not result.get("model"):
        raise NoUsage("not grouped by model: export the report again with group_by[]=model")
    written = result.get("cache_creation") or {}
    counts = {
        "input_tokens": result["uncached_input_tokens"],
        "output_tokens": result["output_tokens"],
        "cache_read_tokens": result["cache_read_input_tokens"],
        "cache_write_5m_tokens": written.get("ephemeral_5m_input_tokens", 0),
        "cache_write_1h_tokens": written.get("ephemeral_1h_input_tokens", 0),
        "web_search_requests": (result.get("server_tool_use") or {}).get("web_search_requests", 0),
    }
    occurred_at = instant(starting_at)
    most = {kind: MOST_SEARCHES if kind == "web_search_requests" else MOST_TOKENS for kind in counts}
    pieces = max(1, *(-(-count // most[kind]) for kind, count in counts.items()))
    threshold = _threshold(result["model"], occurred_at)
    prompt = sum(counts[kind] for kind in _PROMPT)
    if threshold is not None and prompt > threshold:
        window = result.get("context_window")
        if window is None:
            raise NoUsage("not grouped by context_window, on which this model's price depends: group by it too")
        if (below := BELOW.get(window)) is not None:
            if below > threshold:
                raise NoUsage(
                    f"window {window} lies on both sides of this model's {threshold:,} tokens: not told apart"
                )
            # Shares of a kind differ by one at most, so four of them by four.
            pieces = max(pieces, -(-prompt // (threshold - len(_PROMPT))))
    groups = [result.get(name) for name in _GROUPS]
    if service_account_id := result.get("service_account_id"):  # elsewhere identities stay what they were
        groups.append(service_account_id)
    for number in range(pieces):
        yield {
            "event_id": identity(starting_at, groups, number),
            "source": SOURCE,
            "user_id": result.get("account_id") or result.get("api_key_id") or service_account_id,
            "model": result["model"],
            "occurred_at_micros": occurred_at,
            "processing": result.get("service_tier"),
            "speed": result.get("speed"),
            "inference_geo": result.get("inference_geo"),
            **{kind: (count + number) // pieces for kind, count in counts.items()},
        }


@cache
def _book() -> PriceBook:
    return load_price_book()


def _threshold(model: str, at_micros: int) -> int | None:
    prices = _book().find(model)
    blocks = prices.blocks if prices is not None else ()
    in_force = (block for block in blocks if block.from_micros <= at_micros < block.until_micros)
    return next((block.long_over_tokens for block in in_force), None)
