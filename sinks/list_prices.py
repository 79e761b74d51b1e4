"""What the price book says: its rows in, the tables `price_ids` and `seat_prices` out, for views to reckon with.

A price that was published never changes, so the same rows again replace themselves. Source: docs/rules.md R12, R42.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sinks.clickhouse import ClickHouse

Row = Mapping[str, str | None]
"""Column → text; amounts are decimal strings of US dollars, null where the book has none."""


@dataclass(frozen=True, slots=True)
class ListPrices:
    """Rows of `price_ids` and `seat_prices`, as migrations/0010_prices.sql has them."""

    price_ids: Sequence[Row] = ()
    seats: Sequence[Row] = ()


async def store_prices(clickhouse: ClickHouse, prices: ListPrices) -> None:
    """Have the tables hold these rows, beside those of earlier books.

    Raises:
        Away, Broken
    """
    for table, rows in (("price_ids", prices.price_ids), ("seat_prices", prices.seats)):
        if rows:
            columns = ", ".join(rows[0])
            lines = [msgspec.json.encode(row) + b"\n" for row in rows]
            statement = f"INSERT INTO {table} ({columns}) FORMAT JSONEachRow"
            await clickhouse.insert(statement, lines, log_comment="list prices")
