"""ClickHouse over HTTP: statements and bodies of bytes in, rows and counts out, errors sorted by what to do next."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import clickhouse_connect
from aiohttp import ClientError
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from sinks.errors import Away, Broken, Fenced

FENCED = "the fence"
"""How the text of a fence's error begins, in ClickHouse's answer."""

_THROW_IF = 395
# What would fail again however often it is sent: rows or statements that ClickHouse cannot read.
_HOPELESS = frozenset({6, 16, 26, 27, 38, 41, 43, 47, 53, 60, 62, 69, 72, 117, 407})

# What ClickHouse says, without where in its pipeline it said it.
_SAID = re.compile(r"DB::Exception: (.*?)(?:: while executing .*|\. \([A-Z_]+\).*)?$", re.DOTALL)

# Money must not depend on what a server's profile says.
_SETTINGS: Mapping[str, str | int] = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    # The answer, good or bad, is given when all is done; no header of progress goes before it.
    "wait_end_of_query": 1,
    "send_progress_in_http_headers": 0,
}
_INSERT_SETTINGS: Mapping[str, str | int] = {
    "date_time_input_format": "best_effort",
    "input_format_defaults_for_omitted_fields": 1,
    # A column that this version does not know must not vanish.
    "input_format_skip_unknown_fields": 0,
    # One block of rows, hence one part: all of them or none.
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 1_000_000,
    "min_insert_block_size_rows": 1_000_000,
    "min_insert_block_size_bytes": 0,
}


class ClickHouse:
    """One database of one server; connects when first used, and again after a failure."""

    def __init__(self, url: str, database: str, *, answer_seconds: float = 60.0) -> None:
        """`url` has user and password in it; an answer that takes longer than `answer_seconds` counts as none."""
        self.database = database
        self._url = url
        self._answer_seconds = answer_seconds
        self._client: AsyncClient | None = None

    async def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT; `parameters` are bound by the server, where it says `{name:Type}`.

        Raises:
            Away, Broken
        """
        try:
            bound = dict(parameters) if parameters else None
            client = await self._connected()
            return list((await client.query(query, parameters=bound, settings=dict(_SETTINGS))).result_rows)
        except (ClickHouseError, ClientError, OSError, TimeoutError) as error:
            raise self._sorted(error) from error

    async def run(self, statement: str) -> None:
        """A statement without rows.

        Raises:
            Away, Broken
        """
        try:
            await (await self._connected()).command(statement, settings=dict(_SETTINGS))
        except (ClickHouseError, ClientError, OSError, TimeoutError) as error:
            raise self._sorted(error) from error

    async def insert(self, statement: str, body: Iterable[bytes], *, log_comment: str) -> int:
        """Send an INSERT with its rows; the number of rows written. It is sent once: only the caller may try again.

        Args:
            statement: ends with its FORMAT.
            body: the rows in that format, cut anywhere.
            log_comment: how to find the running insert in system.processes.

        Raises:
            Away: also when it may have been done, and the answer was lost.
            Fenced, Broken: nothing was done.
        """

        # A body that cannot be read twice is never sent twice by the client.
        async def once() -> AsyncIterator[bytes]:
            yield statement.encode() + b"\n"
            for piece in body:
                yield piece

        settings = {**_SETTINGS, **_INSERT_SETTINGS, "log_comment": log_comment}
        try:
            summary = await (await self._connected()).raw_insert(insert_block=once(), settings=settings)
        except (ClickHouseError, ClientError, OSError, TimeoutError) as error:
            raise self._sorted(error) from error
        written = summary.summary.get("written_rows")
        if written is None:
            raise Away("ClickHouse did not say how many rows it wrote")
        return int(written)

    async def create_database(self) -> None:
        """Make the database, if it is not there yet.

        Raises:
            Away, Broken
        """
        try:
            await (await self._connected()).command(
                f"CREATE DATABASE IF NOT EXISTS `{self.database}` ENGINE = Atomic", use_database=False
            )
        except (ClickHouseError, ClientError, OSError, TimeoutError) as error:
            raise self._sorted(error) from error

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            client = await clickhouse_connect.create_async_client(
                **connection(self._url), compress=False, send_receive_timeout=self._answer_seconds, connect_timeout=5
            )
            # Not given when connecting: it may not be there before the first migration.
            client.database = self.database
            self._client = client
        return self._client

    def _sorted(self, error: Exception) -> Exception:
        code = getattr(error, "code", None)
        text = str(error).strip() or type(error).__name__
        if said := _SAID.search(text):
            text = f"{said[1]} (code {code})"
        if code == _THROW_IF:
            return Fenced(text) if text.startswith(FENCED) else Broken(text)
        if code in _HOPELESS:
            return Broken(text)
        if code is None:
            text = f"{text} (CLICKHOUSE_URL is {without_password(self._url)})"
        return Away(text)


def connection(url: str) -> dict[str, Any]:
    """What every clickhouse_connect client takes to reach this URL; its own `dsn` sees https:// on port 8443 alone."""
    return {"dsn": url, "interface": "https" if url.startswith("https:") else "http"}


def literal(text: str) -> str:
    """`text` as a string of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def numbers(values: Iterable[int]) -> str:
    """Whole numbers as an array of SQL, which also serves behind IN."""
    return f"[{', '.join(map(str, values))}]"


def without_password(url: str) -> str:
    """The URL as one may show it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
