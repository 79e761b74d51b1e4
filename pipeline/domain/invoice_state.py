"""Cells of billing: what a draft has summed up so far, and what is remembered of an invoice for ever (R39).

Cells of `ledger-state` in at a restore, changed cells out. Lines hang on their charge month, invoices on their
organisation.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar

from pipeline.domain.cell import Cell
from schemas.base import quoted


class DraftLine(Cell):
    """Usage of one month, product and price id that waits for its invoice: quantities, and the price id's rates."""

    QUANTITIES = (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "web_search_requests",
    )
    __slots__ = ("is_invoiced", "month", "org_id", "price_id", "product", "rates", "usage_month", *QUANTITIES)
    KIND = "draft_line"
    IDENTITY = ("org_id", "month", "usage_month", "product", "price_id")
    FIELDS = ("rates", *QUANTITIES)
    DEFAULTS: ClassVar[dict[str, Any]] = dict.fromkeys(QUANTITIES, 0)

    org_id: str
    month: str
    usage_month: str
    product: str
    price_id: str
    rates: tuple[int, ...]
    """Picodollars of each, in the order of QUANTITIES."""
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    web_search_requests: int
    is_invoiced: bool
    """Then it is forgotten; not remembered itself."""

    def __init__(self, **fields: Any) -> None:
        self.is_invoiced = False
        super().__init__(**fields)

    # A chunk of usage writes one of these for each product and price: by hand, where nothing unusual is in it.

    def key(self) -> bytes:
        """As Cell.key."""
        return (
            f'["draft_line",{quoted(self.org_id)},"{self.month}","{self.usage_month}"'
            f",{quoted(self.product)},{quoted(self.price_id)}]"
        ).encode()

    def value(self) -> bytes | None:
        """As Cell.value."""
        if self.is_invoiced:
            return None
        if self.unknown:
            return super().value()
        used = "".join(
            [f',"{name}":{count}' for name, count in zip(self.QUANTITIES, self.quantities, strict=True) if count]
        )
        return (
            f'{{"cell":"draft_line","org_id":{quoted(self.org_id)},"month":"{self.month}"'
            f',"usage_month":"{self.usage_month}","product":{quoted(self.product)},"price_id":{quoted(self.price_id)}'
            f',"rates":[{",".join(map(str, self.rates))}]{used}}}'
        ).encode()

    @property
    def quantities(self) -> tuple[int, ...]:
        """In the order of QUANTITIES."""
        all_of_them: tuple[int, ...] = _quantities(self)
        return all_of_them

    def add(self, quantities: Sequence[int], sign: int) -> None:
        """Add what was used, or take it off."""
        for name, quantity in zip(self.QUANTITIES, quantities, strict=True):
            setattr(self, name, getattr(self, name) + sign * quantity)


_quantities = attrgetter(*DraftLine.QUANTITIES)


class Invoice(Cell):
    """A finalised invoice that has a number: what credit notes and payments refer to."""

    __slots__ = (
        "credited_picousd",
        "month",
        "number",
        "offset_picousd",
        "org_id",
        "paid_picousd",
        "part",
        "total_picousd",
    )
    KIND = "invoice"
    IDENTITY = ("org_id", "number")
    FIELDS = ("month", "part", "total_picousd", "offset_picousd", "credited_picousd", "paid_picousd")
    DEFAULTS: ClassVar[dict[str, Any]] = {"offset_picousd": 0, "credited_picousd": 0, "paid_picousd": 0}

    org_id: str
    number: int
    month: str
    part: int
    total_picousd: int
    offset_picousd: int
    """What the wallet paid when it was finalised."""
    credited_picousd: int
    paid_picousd: int

    @property
    def open_picousd(self) -> int:
        """What is left to pay; below zero where credit notes took back what was paid (reading 53)."""
        return self.total_picousd - self.offset_picousd - self.credited_picousd - self.paid_picousd
