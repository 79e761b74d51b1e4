"""The dated price list in YAML comes in; a PriceBook goes out, every variant's exact rate and every name spelled out.

What the file must hold: README.md beside it. Source: docs/rules.md R9-R12.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import combinations, pairwise, product
from math import prod
from pathlib import Path

import xxhash
import yaml
from pydantic import ValidationError

from pipeline.domain.pricing import END_OF_TIME_MICROS, CostParts, ModelPrices, PriceBlock, PriceBook, Rates
from pipeline.price_book.shape import Block, Book, Model, Seats, Spellings, TokenRates
from schemas.instants import micros_from_datetime
from schemas.money import PICOUSD_PER_USD

PACKAGED = Path(__file__).with_name("anthropic.yaml")

TOKENS_OF_A_RATE = 1_000_000
SEARCHES_OF_A_RATE = 1_000
NEVER = {"+batch", "+fast"}


class PriceBookError(Exception):
    """The price book cannot be used: which file, which model, which value, what next."""


class _Contradiction(Exception):
    pass


def load_price_book(path: Path | None = None) -> PriceBook:
    """The price book of a YAML file; without one, the book that comes with the package.

    Raises:
        PriceBookError: the file cannot be read, is not of a price book's shape, or contradicts itself.
    """
    file = path or PACKAGED
    try:
        # BaseLoader leaves every value the text it is, so no rate passes through a float.
        book = Book.model_validate(yaml.load(file.read_bytes(), Loader=yaml.BaseLoader))
        models = [_model_prices(entry, book) for entry in book.models]
        _refuse_doubles("the model", (prices.model for prices in models))
        _refuse_doubles("the name", (name for prices in models for name in prices.names))
        _refuse_doubles("the tag of a block", (block.tag for prices in models for block in prices.blocks))
    except OSError as error:
        raise PriceBookError(f"price book {file}: {error.strerror}; name a file that can be read") from error
    except yaml.YAMLError as error:
        raise PriceBookError(f"price book {file}: not YAML: {error}") from error
    except ValidationError as error:
        raise PriceBookError(f"price book {file}: {_first_problem(error)}") from None
    except _Contradiction as error:
        raise PriceBookError(f"price book {file}: {error}") from None
    return PriceBook(_version(models), models)


def packaged_seats() -> list[Seats]:
    """What seats cost, as the book that comes with the package says; load_price_book() checks all else of it."""
    return Book.model_validate(yaml.load(PACKAGED.read_bytes(), Loader=yaml.BaseLoader)).seats


def expand(pattern: str) -> Iterator[str]:
    """Every text a pattern stands for: `a{b,c}` is `ab` and `ac`."""
    parts = re.split(r"\{([^{}]*)\}", pattern)  # literal, choice, literal, choice, …, literal
    choices = (part.split(",") if index % 2 else [part] for index, part in enumerate(parts))
    return ("".join(chosen) for chosen in product(*choices))


def _names(entry: Model, spellings: Spellings) -> Iterator[str]:
    for spelling, patterns in (
        (spellings.names, entry.names),
        (spellings.bedrock, entry.bedrock),
        (spellings.vertex, entry.vertex),
    ):
        for pattern in patterns:
            for name in expand(pattern):
                yield from expand(spelling.replace("NAME", name))


def _model_prices(entry: Model, book: Book) -> ModelPrices:
    names = tuple(_names(entry, book.spellings))
    if entry.model not in names:
        raise _Contradiction(f"model {entry.model}: that name is none of its own `names`; add it there")
    for earlier, later in pairwise(entry.blocks):
        if later.first_day <= earlier.first_day:
            raise _Contradiction(
                f"model {entry.model}: block {later.first_day} stands after {earlier.first_day}; append blocks by date"
            )
    ends_micros = [_first_instant_micros(block.first_day) for block in entry.blocks[1:]] + [END_OF_TIME_MICROS]
    return ModelPrices(
        entry.model,
        names,
        tuple(
            _price_block(entry.model, block, until_micros, book)
            for block, until_micros in zip(entry.blocks, ends_micros, strict=True)
        ),
    )


def _price_block(model: str, block: Block, until_micros: int, book: Book) -> PriceBlock:
    block_id = f"{model}@{block.first_day}"
    for name in block.source:
        if name not in book.sources:
            raise _Contradiction(f"block {block_id}: source {name!r} is not described; add it to `sources`")
    listed = block.model_dump(exclude_none=True, exclude={"first_day", "source", "retired"})
    if block.retired and listed:
        raise _Contradiction(f"block {block_id}: retired, yet it lists {', '.join(listed)}; take one of them out")
    if not block.retired and block.rates is None:
        raise _Contradiction(f"block {block_id}: no rates; give it `rates`, or `retired: true`")
    tag = xxhash.xxh32_intdigest(block_id.encode()) >> 8  # 24 bits, to lie beside an identity (R15)
    return PriceBlock(
        block_id=block_id,
        tag=tag,
        from_micros=_first_instant_micros(block.first_day),
        until_micros=until_micros,
        long_over_tokens=block.long.over if block.long else None,
        variants={
            suffix: _rates(model, block_id + suffix, tag, token_rates, factor, block.web_search)
            for suffix, token_rates, factor in _variants(block)
        },
    )


def _variants(block: Block) -> Iterator[tuple[str, TokenRates, Decimal]]:
    """(price id suffix, token rates, factor) of every combination of what the block lists; fast never with batch."""
    lengths = {"": block.rates, "+long": block.long.rates if block.long else None}
    factors = {"+batch": block.batch, "+fast": block.fast, "+us": block.us}
    listed = {suffix: factor for suffix, factor in factors.items() if factor is not None}
    combined = [chosen for size in range(4) for chosen in combinations(listed, size) if not {*chosen} >= NEVER]
    for (length, rates), chosen in product(lengths.items(), combined):
        if rates is not None:
            yield length + "".join(chosen), rates, prod((listed[suffix] for suffix in chosen), start=Decimal(1))


def _rates(
    model: str, price_id: str, tag: int, usd: TokenRates, factor: Decimal, usd_per_thousand_searches: Decimal | None
) -> Rates:
    def per_token(kind: str, usd_per_mtok: Decimal | None) -> int | None:
        return _whole_picousd(price_id, kind, usd_per_mtok, factor, TOKENS_OF_A_RATE)

    each = (
        per_token("input", usd.input),
        per_token("output", usd.output),
        per_token("cache_read", usd.cache_read),
        per_token("cache_write_5m", usd.cache_write_5m),
        per_token("cache_write_1h", usd.cache_write_1h),
        _whole_picousd(price_id, "web_search", usd_per_thousand_searches, Decimal(1), SEARCHES_OF_A_RATE),
    )
    known = [rate for rate in each if rate is not None]
    return Rates(price_id, model, tag, *each, complete=CostParts(*known) if len(known) == len(each) else None)


def _whole_picousd(price_id: str, kind: str, usd: Decimal | None, factor: Decimal, units: int) -> int | None:
    if usd is None:
        return None
    picousd = usd * factor * PICOUSD_PER_USD / units
    if picousd != int(picousd):
        raise _Contradiction(
            f"{price_id}: {kind} at {usd:f} x {factor:f} USD per {units:,} is {picousd.normalize():f} picodollars, "
            "not a whole number; correct the rate or the factor (R12)"
        )
    return int(picousd)


def _first_instant_micros(day: date) -> int:
    return micros_from_datetime(datetime.combine(day, time(), UTC))


def _refuse_doubles(what: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise _Contradiction(f"{what} {value!r} is there twice; it must mean one thing only")
        seen.add(value)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in problem["loc"]) or "the file"
    return f"{where}: {problem['msg']}; it says {problem['input']!r:.200}"


def content_of(block: PriceBlock) -> str:
    """All a block says, as text that changes only if that does; its end is not of its own saying."""
    each = [
        f"{r.price_id} {r.input} {r.output} {r.cache_read} {r.cache_write_5m} {r.cache_write_1h} {r.web_search}"
        for r in block.variants.values()
    ]
    return "\n".join([f"{block.block_id} {block.from_micros} {block.long_over_tokens}", *sorted(each)])


def _version(models: Iterable[ModelPrices]) -> str:
    """Twelve hex digits over all that decides a price: names, dates, thresholds, rates; not comments or sources."""
    digest = hashlib.sha256()
    for prices in models:
        digest.update("\n".join([*sorted(prices.names), *map(content_of, prices.blocks)]).encode())
    return digest.hexdigest()[:12]
