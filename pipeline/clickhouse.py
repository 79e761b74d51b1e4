"""Where ClickHouse is comes in, CLICKHOUSE_URL or the data directory of a demo; a client of it goes out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect

from pipeline.errors import Mendable
from pipeline.settings import Settings
from sinks.clickhouse import connection


@contextmanager
def open_clickhouse(data_dir: Path | None) -> Iterator[Any]:
    """A client, closed at the end.

    Args:
        data_dir: of `demo` or `up`, when nothing runs on it any more: its ClickHouse is started for this alone.

    Raises:
        Mendable: the directory holds no ClickHouse.
        EmbeddedError, ClickHouseError: it could not be started or reached.
    """
    settings = Settings()
    with _url(settings, data_dir) as url:
        client = clickhouse_connect.get_client(**connection(url), database=settings.clickhouse_database)
        try:
            yield client
        finally:
            client.close()


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
