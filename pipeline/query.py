"""`usage-credits query`: SQL in, a table or JSON out; from CLICKHOUSE_URL, or from the data directory of a demo."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.errors import Mendable
from pipeline.settings import Settings
from schemas.money import picousd_from_usd, usd_from_picousd

_FILE_WIDTH = 1_000


def run_query(sql: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Run one SELECT and print its rows.

    Args:
        data_dir: of `demo` or `up`, when nothing runs on it any more: its ClickHouse is started for this query alone.

    Raises:
        Mendable: the directory holds no ClickHouse.
        EmbeddedError, ClickHouseError: it could not be started, or refused the query.
    """
    settings = Settings()
    with _url(settings, data_dir) as url:
        client = clickhouse_connect.get_client(dsn=url, database=settings.clickhouse_database)
        result = client.query(sql)
        client.close()
    if as_json:
        rows = [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
        print(json.dumps(rows, indent=2, default=str))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in result.column_names:
        table.add_column(name, overflow="fold")
    for row in result.result_rows:
        table.add_row(*map(_text, row))
    screen = Console(highlight=False)
    Console(highlight=False, width=screen.width if screen.is_terminal else _FILE_WIDTH).print(table)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return usd_from_picousd(picousd_from_usd(f"{value:f}")) if value.as_tuple().exponent == -12 else f"{value:f}"
    return "" if value is None else str(value)


@contextmanager
def _url(settings: Settings, data_dir: Path | None) -> Iterator[str]:
    if data_dir is None:
        yield settings.clickhouse_url
        return
    directory = data_dir / "clickhouse"
    if not directory.is_dir():
        raise Mendable(f"{data_dir} holds no ClickHouse; run `usage-credits demo` first, or leave --data-dir out")
    # Imported here: where there is a server, the embedded parts need not be installed.
    from pipeline.embedded.clickhouse import EmbeddedClickHouse

    with EmbeddedClickHouse(directory) as clickhouse:
        yield clickhouse.reader_url
