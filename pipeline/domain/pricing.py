"""A usage event and a price book come in; what each part of it costs, exactly, and the price id go out (R9-R13).

`rates_in_force` is the rule in plain words; `CompiledPrices` is the same for the hot path; tests hold them together.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar, NamedTuple

from schemas.dead_letters import Reason
from schemas.instants import format_instant
from schemas.usage import UsageEvent

END_OF_TIME_MICROS = 2**63 - 1
_NO_THRESHOLD_TOKENS = 2**63 - 1

# What each value of the event's three variant fields adds to a price id; any other value is unpriced (R11).
PROCESSING = {None: "", "standard": "", "batch": "+batch"}
SPEED = {None: "", "standard": "", "fast": "+fast"}
INFERENCE_GEO = {None: "", "": "", "not_available": "", "global": "", "us": "+us"}


class NoPrice(Exception):
    """This usage has no price: a dead letter, never priced at zero (R16). `reason` is the dead letter's."""

    reason: ClassVar[Reason]


class UnknownModel(NoPrice):
    reason = Reason.UNKNOWN_MODEL


class UnpricedUsage(NoPrice):
    reason = Reason.UNPRICED


class CostParts(NamedTuple):
    """Picodollars by what was used; also the rates: picodollars per token, and per web search."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    web_search: int


@dataclass(frozen=True, slots=True)
class Rates:
    """One block's rates in one variant, picodollars per token and per web search; None: the book has no such rate."""

    price_id: str
    model: str
    block_tag: int
    input: int | None
    output: int | None
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    web_search: int | None
    complete: CostParts | None
    """All six if none is missing: then cost is quantity times rate, without a look at each."""

    in_rows: str = field(init=False)
    """What the rows priced at these rates have in common."""
    tag_bytes: bytes = field(init=False)

    def __post_init__(self) -> None:
        each = (self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.web_search)
        digits = ",".join(f'"{rate or 0}"' for rate in each)
        object.__setattr__(self, "tag_bytes", self.block_tag.to_bytes(3, "big"))
        object.__setattr__(self, "in_rows", f',"price_id":"{self.price_id}","rates_picousd":[{digits}]')


@dataclass(frozen=True, slots=True)
class PriceBlock:
    """A model's prices from its first instant to its last, exclusive. `variants` maps price id suffixes to rates."""

    block_id: str
    tag: int
    from_micros: int
    until_micros: int
    long_over_tokens: int | None
    variants: Mapping[str, Rates]

    @property
    def retired(self) -> bool:
        return not self.variants


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """One model under its canonical name: every name it goes by, and its blocks, oldest first."""

    model: str
    names: tuple[str, ...]
    blocks: tuple[PriceBlock, ...]

    def block_at(self, occurred_at_micros: int) -> PriceBlock | None:
        """The block in force, or None before the first one."""
        in_force = (b for b in self.blocks if b.from_micros <= occurred_at_micros < b.until_micros)
        return next(in_force, None)


class PriceBook:
    """Every model and every name for it. `version` is a short hash of the content; it goes into the journal (R44)."""

    def __init__(self, version: str, models: Iterable[ModelPrices]) -> None:
        self.version = version
        self.models = {prices.model: prices for prices in models}
        self._by_name = {name: prices for prices in self.models.values() for name in prices.names}
        self._by_tag = {block.tag: block for prices in self.models.values() for block in prices.blocks}

    @property
    def size(self) -> int:
        """Names and blocks: more in every later book, since nothing is ever taken out (R12)."""
        return len(self._by_name) + len(self._by_tag)

    def find(self, model: str) -> ModelPrices | None:
        """The prices of exactly this name or alias; never of a similar one."""
        return self._by_name.get(model)

    def block(self, block_tag: int) -> PriceBlock | None:
        """The block a row was priced from; tags outlive books, since no block is ever removed (R12, R15)."""
        return self._by_tag.get(block_tag)

    def names(self) -> Iterator[tuple[str, str]]:
        """(name as a product may send it, canonical model), all of them."""
        return ((name, prices.model) for name, prices in self._by_name.items())


@dataclass(frozen=True, slots=True)
class PricedEvent:
    """An event with its exact cost, in picodollars."""

    usage: UsageEvent
    rates: Rates
    parts: CostParts

    @property
    def cost_picousd(self) -> int:
        return sum(self.parts)


def price_usage(usage: UsageEvent, book: PriceBook) -> PricedEvent:
    """Price one event at the API rates in force when it occurred.

    Args:
        usage: whole tokens of five disjoint kinds; input_tokens excludes cache reads and writes.
        book: dated rates.

    Raises:
        UnknownModel: the book does not know the model's name.
        UnpricedUsage: it has no rate for this instant, this combination, or a kind that was used.

    Source: docs/rules.md R9-R13; docs/decisions/0003-price-book.md
    """
    rates = rates_in_force(
        book,
        usage.model,
        usage.occurred_at_micros,
        prompt_tokens(usage),
        usage.processing,
        usage.speed,
        usage.inference_geo,
    )
    return PricedEvent(usage, rates, cost_parts(rates, *quantities(usage)))


def prompt_tokens(usage: UsageEvent) -> int:
    """What the long-context threshold is compared with (R10)."""
    return usage.input_tokens + usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens


def quantities(usage: UsageEvent) -> tuple[int, int, int, int, int, int]:
    """What was used, in the order of CostParts."""
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.web_search_requests,
    )


def rates_in_force(
    book: PriceBook,
    model: str,
    occurred_at_micros: int,
    prompt_tokens: int,
    processing: str | None,
    speed: str | None,
    inference_geo: str | None,
) -> Rates:
    """The rates of one request: name, then block, then variant.

    Raises:
        UnknownModel, UnpricedUsage: see price_usage.
    """
    prices = book.find(model)
    if prices is None:
        raise UnknownModel(f"no prices for model {model!r}; if it is a model's name, add it to the price book")
    block = prices.block_at(occurred_at_micros)
    if block is None:
        raise UnpricedUsage(
            f"no rate for model {model!r} at {format_instant(occurred_at_micros)}: "
            f"its first price block is {prices.blocks[0].block_id}"
        )
    return rates_in_block(block, prompt_tokens, processing, speed, inference_geo)


def rates_in_block(
    block: PriceBlock,
    prompt_tokens: int,
    processing: str | None,
    speed: str | None,
    inference_geo: str | None,
) -> Rates:
    """The rates of one request, of this block whatever the date: also what a correction is priced from (R15).

    Raises:
        UnpricedUsage: the block ended the model's prices, or does not list this combination.
    """
    if block.retired:
        raise UnpricedUsage(f"the model is retired since {block.block_id}; nothing later has a price")
    suffix = variant_suffix(processing, speed, inference_geo)
    if block.long_over_tokens is not None and prompt_tokens > block.long_over_tokens:
        suffix = "+long" + suffix
    rates = block.variants.get(suffix)
    if rates is None:
        raise UnpricedUsage(f"price block {block.block_id} does not list {suffix}")
    return rates


def variant_suffix(processing: str | None, speed: str | None, inference_geo: str | None) -> str:
    """`+batch`, `+fast`, `+us` as far as the request has them, in the order of a price id (R12).

    Raises:
        UnpricedUsage: a value that no rule names.
    """
    parts = []
    for name, value, suffixes in (
        ("processing", processing, PROCESSING),
        ("speed", speed, SPEED),
        ("inference_geo", inference_geo, INFERENCE_GEO),
    ):
        if value not in suffixes:
            raise UnpricedUsage(f"{name} {value!r} has no price; known are {', '.join(filter(None, suffixes))}")
        parts.append(suffixes[value])
    return "".join(parts)


def cost_parts(
    rates: Rates,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int,
    cache_write_5m_tokens: int,
    cache_write_1h_tokens: int,
    web_search_requests: int,
) -> CostParts:
    """Quantity times rate, part by part.

    Raises:
        UnpricedUsage: see rates_for.
    """
    used = CostParts(
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_5m_tokens,
        cache_write_1h_tokens,
        web_search_requests,
    )
    return CostParts(*(quantity * rate for quantity, rate in zip(used, rates_for(rates, used), strict=True)))


def rates_for(rates: Rates, used: tuple[int, int, int, int, int, int]) -> CostParts:
    """All six rates; 0 for what the book has no rate for, if none of it was used.

    Raises:
        UnpricedUsage: something was used that the book has no rate for (R11: a missing rate matters only then).
    """
    if rates.complete is not None:
        return rates.complete
    each = (rates.input, rates.output, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h, rates.web_search)
    for kind, rate, quantity in zip(CostParts._fields, each, used, strict=True):
        if rate is None and quantity:
            raise UnpricedUsage(f"{rates.price_id} has no rate for {kind}, of which {quantity} were used")
    return CostParts(*(rate or 0 for rate in each))


Variant = tuple[str | None, str | None, str | None]
_Window = tuple[int, int, int, Rates, Rates]


class CompiledPrices:
    """The price book as the hot path reads it: two dictionary look-ups, then usually one comparison of dates.

    Attributes:
        windows: name → (processing, speed, inference_geo) → each block that lists the variant, newest first: from,
            until, the longest prompt at normal rates, normal rates, long-context rates.
    """

    def __init__(self, book: PriceBook) -> None:
        self.book = book
        of_model = {model: _windows(prices) for model, prices in book.models.items()}
        self.windows = {name: of_model[model] for name, model in book.names()}

    def rates(
        self,
        model: str,
        occurred_at_micros: int,
        prompt_tokens: int,
        processing: str | None,
        speed: str | None,
        inference_geo: str | None,
    ) -> Rates:
        """As rates_in_force, and with its errors."""
        try:
            for begin, end, over, normal, long in self.windows[model][processing, speed, inference_geo]:
                if begin <= occurred_at_micros < end:
                    return normal if prompt_tokens <= over else long
        except KeyError:
            pass
        # Nothing listed: the plain rule says why.
        return rates_in_force(self.book, model, occurred_at_micros, prompt_tokens, processing, speed, inference_geo)

    def rates_of_block(
        self,
        block_tag: int,
        prompt_tokens: int,
        processing: str | None,
        speed: str | None,
        inference_geo: str | None,
    ) -> Rates:
        """The rates of a correction, from the block its original was priced from (R15).

        Raises:
            KeyError: no book ever had this tag, so the caller's state is broken.
            UnpricedUsage: the block does not list this combination.
        """
        block = self.book.block(block_tag)
        if block is None:
            raise KeyError(f"price book {self.book.version} has no block with tag {block_tag:#08x}")
        return rates_in_block(block, prompt_tokens, processing, speed, inference_geo)


def _windows(prices: ModelPrices) -> dict[Variant, list[_Window]]:
    """Every way to write a variant, with the blocks that list it, newest first: most events are recent."""
    table: dict[Variant, list[_Window]] = {}
    for variant in product(PROCESSING, SPEED, INFERENCE_GEO):
        suffix = variant_suffix(*variant)
        table[variant] = [
            (
                block.from_micros,
                block.until_micros,
                _NO_THRESHOLD_TOKENS if block.long_over_tokens is None else block.long_over_tokens,
                block.variants[suffix],
                block.variants.get("+long" + suffix, block.variants[suffix]),
            )
            for block in reversed(prices.blocks)
            if suffix in block.variants
        ]
    return table
