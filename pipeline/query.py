"""`usage-credits query`: SQL in, a table or JSON out; from CLICKHOUSE_URL, or from the data directory of a demo."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.clickhouse import open_clickhouse
from schemas.money import picousd_from_usd, usd_from_picousd

_FILE_WIDTH = 1_000


def run_query(sql: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Run one SELECT and print its rows.

    Raises:
        Mendable, EmbeddedError, ClickHouseError: see open_clickhouse; or the query was refused.
    """
    with open_clickhouse(data_dir) as client:
        result = client.query(sql)
    if as_json:
        rows = [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
        print(json.dumps(rows, indent=2, default=_json))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in result.column_names:
        table.add_column(name, overflow="fold")
    for row in result.result_rows:
        table.add_row(*map(_text, row))
    screen = Console()
    width = screen.width if screen.is_terminal else _FILE_WIDTH
    # Brackets and colons are what somebody's name is made of, and nothing else.
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)


def _json(value: Any) -> str:
    """Money with all its digits: as text, Decimal writes 1E-12 (R13)."""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return usd_from_picousd(picousd_from_usd(f"{value:f}")) if value.as_tuple().exponent == -12 else f"{value:f}"
    return "" if value is None else str(value)
