"""The price book comes in; rows of rates and of seat prices go out, as ClickHouse keeps them (R12, R42)."""

from collections.abc import Iterator

from pipeline.price_book import load_price_book, packaged_seats
from schemas.money import usd_from_picousd
from schemas.usage import TOKEN_KINDS
from sinks.list_prices import ListPrices, Row


def list_prices() -> ListPrices:
    """What the book that comes with the package says.

    Raises:
        PriceBookError: see load_price_book.
    """
    return ListPrices(price_ids=list(_price_ids()), seats=list(_seats()))


def _price_ids() -> Iterator[Row]:
    for prices in load_price_book().models.values():
        for block in prices.blocks:
            for rates in block.variants.values():
                each = {f"{kind}_usd": _usd(getattr(rates, kind)) for kind in (*TOKEN_KINDS, "web_search")}
                yield {"price_id": rates.price_id, "model": prices.model, **each}


def _seats() -> Iterator[Row]:
    for seats in packaged_seats():
        for block in seats.blocks:
            for seat_tier, usd in (("standard", block.standard), ("premium", block.premium)):
                yield {
                    "plan": seats.plan,
                    "seat_tier": seat_tier,
                    "first_day": block.first_day.isoformat(),
                    "usd_per_month": None if usd is None else f"{usd:f}",
                }


def _usd(picousd: int | None) -> str | None:
    return None if picousd is None else usd_from_picousd(picousd)
