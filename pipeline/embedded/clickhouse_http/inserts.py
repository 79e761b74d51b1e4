"""INSERTs that bring their rows along: a statement and a body in, rows in the table and their number out.

Plain ones stream into the engine as they come. INSERT … SELECT … FROM input(…) is gathered in a nameless file first,
because the engine cannot stream into a SELECT (and takes an inline body for no rows at all, without a word): the
statement then runs once over file(…), after the last byte has come, as one block, so it is one part per partition, all
or nothing.
"""

import os
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO, Any

from pipeline.embedded.clickhouse_http.answers import Summary
from pipeline.embedded.clickhouse_http.calls import Calls
from pipeline.embedded.clickhouse_http.errors import refusal
from pipeline.embedded.clickhouse_http.request import Body
from pipeline.embedded.clickhouse_http.statements import Insert

_CHUNK_BYTES = 1 << 20
# The engine holds these formats whole while it parses them (240 MB of Arrow took 1.55 GB), and any that input() reads.
HELD_WHOLE_BYTES = 512 * 1024 * 1024
_HELD_WHOLE_FORMATS = frozenset({"ARROW", "ARROWSTREAM", "PARQUET", "ORC"})
# A block is cut into parts at a number of rows or bytes, 0 for no bound: at no number of either.
_ONE_BLOCK = f"min_insert_block_size_rows = {1 << 40}, min_insert_block_size_bytes = 0, max_insert_threads = 1"

Pour = Callable[[bytes], Awaitable[Any]]


async def insert_streamed(handle: Any, plan: Insert, first: bytes, body: Body, calls: Calls) -> Summary:
    """Feed the rows to the engine as they come: `first`, then the body.

    Raises:
        ClickHouseError: the body is cut off or too large; nothing is stored.
        RuntimeError: what the engine says.
    """
    begun = Summary().begun
    rows = await calls(handle.send_insert, plan.statement.decode(), plan.format)
    limit = HELD_WHOLE_BYTES if plan.format.upper() in _HELD_WHOLE_FORMATS else None
    try:
        await pour(first, body, lambda data: calls(rows.append, data), limit)
        done = await calls(rows.finish)
    except BaseException:
        await calls(rows.cancel)
        raise
    return Summary(done.rows_written, done.bytes_written, done.rows_written, done.bytes_written, begun=begun)


async def insert_gathered(handle: Any, plan: Insert, first: bytes, body: Body, calls: Calls) -> Summary:
    """Gather the rows, then run the statement once over all of them.

    Raises:
        ClickHouseError: the body is cut off or too large; the statement was not run.
        RuntimeError: what the engine says.
    """
    begun = Summary().begun
    with _spool() as spool:
        await pour(first, body, lambda data: calls(spool.write, data), HELD_WHOLE_BYTES)
        spool.flush()
        spool.seek(0)
        await calls(handle.query, f"SET {_ONE_BLOCK}")
        done = await calls(handle.query, plan.reading_from(f"/dev/fd/{spool.fileno()}").decode())
    read_rows, read_bytes = done.storage_rows_read(), done.storage_bytes_read()
    return Summary(read_rows, read_bytes, done.rows_written(), done.bytes_written(), begun=begun)


def _spool() -> IO[bytes]:
    """A file without a name, so that nothing is left of it however this process ends; in memory where there is such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("clickhouse-insert"), "w+b")
    return tempfile.TemporaryFile()


async def pour(first: bytes, body: Body, pour: Pour, limit_bytes: int | None) -> None:
    """Hand `first` and the body on in pieces of about a megabyte.

    Raises:
        ClickHouseError: together they are larger than the limit, if there is one.
    """
    pieces, gathered, total = [first], len(first), len(first)
    while data := await body.read():
        pieces.append(data)
        gathered += len(data)
        total += len(data)
        if limit_bytes is not None and total > limit_bytes:
            text = f"The body is larger than {limit_bytes} bytes, which is all that is taken at once here"
            raise refusal(307, "TOO_MANY_BYTES", text)
        if gathered >= _CHUNK_BYTES:
            await pour(b"".join(pieces))
            pieces, gathered = [], 0
    if gathered:
        await pour(b"".join(pieces))
