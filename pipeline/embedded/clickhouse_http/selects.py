"""Every statement that brings no rows along: its text in, an HTTP response out, streamed where the format allows it."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from pipeline.embedded.clickhouse_http.answers import STREAMED_FORMATS, Summary, content_type
from pipeline.embedded.clickhouse_http.calls import Calls
from pipeline.embedded.clickhouse_http.compression import Encoder
from pipeline.embedded.clickhouse_http.errors import as_clickhouse_error
from pipeline.embedded.clickhouse_http.request import Request
from pipeline.embedded.clickhouse_http.statements import first_word, output_format, without_format

_SELECTING_WORDS = frozenset({b"SELECT", b"WITH", b"("})


async def answer(
    raw: web.Request, handle: Any, request: Request, sql: bytes, headers: Mapping[str, str], calls: Calls, version: str
) -> web.StreamResponse:
    """Run the statement and answer with its result.

    Raises:
        RuntimeError: what the engine says before the first bytes went out.
    """
    summary = Summary()
    text, name = sql.decode(), output_format(sql) or request.default_format
    encoder = Encoder(request.accepted_encodings)
    headers = {**headers, "X-ClickHouse-Format": name, "Content-Type": content_type(name)}
    if encoder.name:
        headers["Content-Encoding"] = encoder.name
    selects = first_word(sql) in _SELECTING_WORDS
    if selects and name in STREAMED_FORMATS and not request.waits_for_end:
        return await _streamed(raw, handle, text, name, headers | summary.header(), encoder, calls, version)
    result = await calls(handle.query, text, name)
    done = Summary(
        result.storage_rows_read(),
        result.storage_bytes_read(),
        result.rows_written(),
        result.bytes_written(),
        result.size(),
        begun=summary.begun,
    )
    data = result.bytes()
    if selects and name == "Native" and not data:
        data = await calls(_native_head, handle, sql)
    return web.Response(body=encoder.feed(data) + encoder.end(), headers=headers | done.header())


async def _streamed(
    raw: web.Request,
    handle: Any,
    text: str,
    name: str,
    headers: Mapping[str, str],
    encoder: Encoder,
    calls: Calls,
    version: str,
) -> web.StreamResponse:
    stream = await calls(handle.send_query, text, name)
    try:
        # The first chunk comes before the headers go out, so an early failure still gets its status.
        chunk = await calls(stream.fetch)
        if chunk is None and name == "Native":
            data = await calls(_native_head, handle, text.encode())
            return web.Response(body=encoder.feed(data) + encoder.end(), headers=headers)
        tag = uuid.uuid4().hex[:16]
        response = web.StreamResponse(headers={**headers, "X-ClickHouse-Exception-Tag": tag})
        await response.prepare(raw)
        while chunk is not None:
            await response.write(encoder.feed(chunk.bytes()))
            try:
                chunk = await calls(stream.fetch)
            except Exception as error:
                await response.write(encoder.feed(_exception_block(error, tag, version)))
                break
        await response.write(encoder.end())
        # aiohttp sends the end when the handler is done: by then the session is free for the client's next request.
        return response
    finally:
        await calls(stream.close)


def _exception_block(error: Exception, tag: str, version: str) -> bytes:
    """How a failure after the headers is told: framed by a tag that the headers announced."""
    text = f"{as_clickhouse_error(error)} (version {version})\n".encode()
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (tag.encode(), text, len(text), tag.encode())


def _native_head(handle: Any, sql: bytes) -> bytes:
    """The block of names and types that a server sends for no rows at all; the engine sends nothing."""
    described = handle.query(f"DESCRIBE ({without_format(sql).decode()})", "JSONCompactEachRow").bytes()
    columns = [json.loads(line)[:2] for line in described.splitlines()]
    words = b"".join(_length(len(word)) + word for column in columns for word in map(str.encode, column))
    return _length(len(columns)) + _length(0) + words


def _length(number: int) -> bytes:
    """An unsigned LEB128 number."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _length(rest) if rest else bytes([low])
