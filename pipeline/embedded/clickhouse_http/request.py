"""One HTTP request as the engine needs it: an aiohttp request in; statement, settings, parameters, body out."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import BodyPartReader, web

from pipeline.embedded.clickhouse_http.compression import Decoder
from pipeline.embedded.clickhouse_http.errors import refusal
from pipeline.embedded.clickhouse_http.statements import identifier
from pipeline.embedded.clickhouse_http.users import User

# Parameters of the interface itself, which are no settings of the engine.
# fmt: off
_NOT_SETTINGS = frozenset({
    "query", "query_id", "database", "user", "password", "role", "quota_key", "default_format", "stacktrace",
    "session_id", "session_timeout", "session_check", "close_session", "wait_end_of_query", "buffer_size",
    "compress", "decompress", "client_protocol_version", "http_headers_progress_interval_ms",
})
# fmt: on
_EXTERNAL_SUFFIXES = ("_format", "_types", "_structure")
_SETTING_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class ExternalTable:
    """A table sent along with a query; it lives as long as the query's session."""

    name: str
    columns: str
    format: str
    data: bytes


@dataclass(frozen=True)
class Request:
    """What a client asks, apart from its body."""

    user: User
    query: bytes
    query_id: str
    database: str
    default_format: str
    session_id: str
    session_seconds: float
    session_must_exist: bool
    session_ends: bool
    reads_only: bool
    waits_for_end: bool
    accepted_encodings: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    external_tables: tuple[ExternalTable, ...] = field(default=())


class Body(Protocol):
    """Unpacked bytes, until there are none."""

    async def read(self) -> bytes:
        """Some bytes, none at the end.

        Raises:
            ClickHouseError: the body is cut off.
        """
        ...


class NoBody:
    """A request whose statement came another way."""

    async def read(self) -> bytes:
        """Nothing."""
        return b""


class StreamedBody:
    """The body of a request, unpacked as it comes."""

    def __init__(self, request: web.Request) -> None:
        self._content = request.content
        self._decoder = Decoder(request.headers.get("Content-Encoding"))

    async def read(self) -> bytes:
        """Some bytes, none at the end.

        Raises:
            ClickHouseError: the body is cut off, on the way or inside a compressed frame.
        """
        while packed := await self._content.readany():
            if data := self._decoder.feed(packed):
                return data
        if not self._content.is_eof():
            raise refusal(210, "NETWORK_ERROR", "Request body is incomplete")
        self._decoder.end()
        return b""


async def read_request(raw: web.Request, user: User) -> tuple[Request, Body]:
    """Take a request apart; the body is left to be read, but for a form's, which is read whole.

    Raises:
        ClickHouseError: a setting's name is none, or an external table lacks its columns.
    """
    given: dict[str, str] = dict(raw.query)
    files: dict[str, bytes] = {}
    is_form = raw.content_type == "multipart/form-data"
    if is_form:
        form = await raw.multipart()
        while (part := await form.next()) is not None:
            if isinstance(part, BodyPartReader) and part.name:
                if part.filename:
                    files[part.name] = bytes(await part.read())
                else:
                    given[part.name] = await part.text()
    of_files = {name + suffix for name in files for suffix in _EXTERNAL_SUFFIXES}
    request = Request(
        user=user,
        query=given.get("query", "").encode(),
        query_id=given.get("query_id") or str(uuid.uuid4()),
        database=given.get("database", "") or raw.headers.get("X-ClickHouse-Database", ""),
        default_format=given.get("default_format") or raw.headers.get("X-ClickHouse-Format") or "TabSeparated",
        session_id=given.get("session_id", ""),
        session_seconds=_seconds(given.get("session_timeout", "60")),
        session_must_exist=given.get("session_check") == "1",
        session_ends=given.get("close_session") == "1",
        reads_only=raw.method in ("GET", "HEAD"),
        waits_for_end=given.get("wait_end_of_query") in ("1", "true"),
        accepted_encodings=raw.headers.get("Accept-Encoding", "") if _compresses(given) else "",
        settings=_settings(given, of_files),
        parameters={name[6:]: value for name, value in given.items() if name.startswith("param_")},
        external_tables=tuple(_external_table(name, data, given) for name, data in files.items()),
    )
    return request, NoBody() if is_form else StreamedBody(raw)


def _compresses(given: Mapping[str, str]) -> bool:
    return given.get("enable_http_compression") in ("1", "true")


def _seconds(text: str) -> float:
    try:
        return min(float(text), 3600.0)
    except ValueError:
        raise refusal(36, "BAD_ARGUMENTS", f"Invalid session timeout: {text!r}") from None


def _settings(given: Mapping[str, str], of_files: set[str]) -> dict[str, str]:
    settings = {
        name: value
        for name, value in given.items()
        if name not in _NOT_SETTINGS and name not in of_files and not name.startswith("param_")
    }
    for name in settings:
        if not _SETTING_NAME.fullmatch(name):
            raise refusal(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    return settings


def _external_table(name: str, data: bytes, given: Mapping[str, str]) -> ExternalTable:
    columns = given.get(name + "_structure", "")
    if not columns and (types := given.get(name + "_types", "")):
        columns = ", ".join(f"{identifier(f'_{number}')} {kind}" for number, kind in enumerate(types.split(","), 1))
    if not columns:
        raise refusal(36, "BAD_ARGUMENTS", f"External table {name} needs {name}_structure or {name}_types")
    return ExternalTable(name, columns, given.get(name + "_format", "TabSeparated"), data)
