"""A price book in, rows to read out: every price id with its rates, or every name a model goes by.

What `usage-credits prices` shows. Source: docs/rules.md R12.
"""

from collections.abc import Iterable, Iterator

from pipeline.domain.pricing import END_OF_TIME_MICROS, ModelPrices, PriceBook
from schemas.instants import format_instant
from schemas.money import usd_from_picousd
from schemas.usage import TOKEN_KINDS

Row = dict[str, str | int | None]


def price_rows(book: PriceBook, name: str | None = None) -> Iterator[Row]:
    """One row for each price id, of every model or of the one that goes by `name`; a retired block has no rates.

    Rates are exact decimal strings of US dollars; None where there is no price.
    """
    for prices in _models(book, name):
        for block in prices.blocks:
            until = None if block.until_micros == END_OF_TIME_MICROS else format_instant(block.until_micros)
            span: Row = {"model": prices.model, "from": format_instant(block.from_micros), "until": until}
            if block.retired:
                yield {"price_id": None, **span}
            for suffix, rates in block.variants.items():
                row: Row = {"price_id": rates.price_id, **span}
                row["prompt_over_tokens"] = block.long_over_tokens if suffix.startswith("+long") else None
                for kind in TOKEN_KINDS:
                    row[f"{kind}_usd_per_mtok"] = _usd(getattr(rates, kind), 1_000_000)
                row["web_search_usd_per_thousand"] = _usd(rates.web_search, 1_000)
                yield row


def name_rows(book: PriceBook, name: str | None = None) -> Iterator[Row]:
    """One row for each name that has a price, of every model or of the one that goes by `name`."""
    for prices in _models(book, name):
        for known in prices.names:
            yield {"name": known, "model": prices.model}


def _models(book: PriceBook, name: str | None) -> Iterable[ModelPrices]:
    if name is None:
        return book.models.values()
    prices = book.find(name)
    return [] if prices is None else [prices]


def _usd(picousd_each: int | None, units: int) -> str | None:
    return None if picousd_each is None else usd_from_picousd(picousd_each * units)
