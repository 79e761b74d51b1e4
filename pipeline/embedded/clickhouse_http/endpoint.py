"""The HTTP handler: an aiohttp request in, ClickHouse's answer out.

What it must do and why: ../README.md; docs/decisions/0004-embedded-parts.md.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from pipeline.embedded.clickhouse_http.answers import Summary
from pipeline.embedded.clickhouse_http.calls import Calls
from pipeline.embedded.clickhouse_http.errors import ClickHouseError, as_clickhouse_error, refusal
from pipeline.embedded.clickhouse_http.inserts import insert_gathered, insert_streamed
from pipeline.embedded.clickhouse_http.request import Body, Request, read_request
from pipeline.embedded.clickhouse_http.selects import answer
from pipeline.embedded.clickhouse_http.sessions import Engine
from pipeline.embedded.clickhouse_http.statements import (
    Insert,
    Undecided,
    only_reads,
    refuse_unopenable_engines,
    split_insert,
    with_query_id_as,
)
from pipeline.embedded.clickhouse_http.users import User, authenticate

_ALIVE_PATHS = frozenset({"/ping", "/replicas_status"})
_THREADS = 64


class Endpoint:
    """One engine, its users, and the threads that its blocking calls run in."""

    def __init__(self, engine: Engine, users: Mapping[str, User]) -> None:
        self._engine = engine
        self._users = users
        self._executor = ThreadPoolExecutor(_THREADS)

    def application(self) -> web.Application:
        """An aiohttp application that answers as ClickHouse's HTTP port does."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        application.on_cleanup.append(self._close)
        return application

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        """Answer one request; every failure is an answer too."""
        headers = {"X-ClickHouse-Server-Display-Name": "usage-credits", "X-ClickHouse-Timezone": self._engine.timezone}
        try:
            if raw.path in _ALIVE_PATHS or (raw.path == "/" and raw.method == "GET" and "query" not in raw.query):
                return web.Response(text="Ok.\n", headers=headers)
            if raw.path != "/":
                raise web.HTTPNotFound(text=f"There is no handle {raw.path}\n", headers=headers)
            user = authenticate(raw.query, raw.headers, self._users)
            request, body = await read_request(raw, user)
            headers["X-ClickHouse-Query-Id"] = request.query_id
            return await self._run(raw, request, body, headers)
        except web.HTTPException:
            raise
        except Exception as error:
            return self._failure(as_clickhouse_error(error), headers)

    async def _run(
        self, raw: web.Request, request: Request, body: Body, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        with self._engine.numbered(request.query_id) as number:
            calls = Calls(self._engine, self._executor, number)
            async with self._handle(request, number, calls) as handle:
                sql, plan = await _read_statement(request, body)
                self._refuse(request, sql)
                if plan is None:
                    sql = with_query_id_as(sql, self._engine.query_id_expression())
                    return await answer(raw, handle, request, sql, headers, calls, self._engine.version)
                summary = await self._insert(handle, plan, sql[plan.data_at :], body, calls)
                return web.Response(headers={**headers, "X-ClickHouse-Format": plan.format, **summary.header()})

    async def _insert(self, handle: Any, plan: Insert, first: bytes, body: Body, calls: Calls) -> Summary:
        if plan.input_span is None:
            return await insert_streamed(handle, plan, first, body, calls)
        return await insert_gathered(handle, plan, first, body, calls)

    @asynccontextmanager
    async def _handle(self, request: Request, number: int, calls: Calls) -> AsyncIterator[Any]:
        handle = await calls(self._engine.open, request, number)
        try:
            yield handle
        finally:
            await calls(self._engine.release, handle, request)

    def _refuse(self, request: Request, sql: bytes) -> None:
        refuse_unopenable_engines(sql)
        if only_reads(sql):
            return
        if not request.user.may_write:
            raise refusal(164, "READONLY", f"Cannot execute query in readonly mode: {request.user.name} only reads")
        if request.reads_only:
            raise refusal(164, "READONLY", "Cannot execute query in readonly mode: GET only reads, send it by POST")

    def _failure(self, error: ClickHouseError, headers: Mapping[str, str]) -> web.Response:
        text = f"{error} (version {self._engine.version})\n"
        told = {**headers, "X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(status=error.status, text=text, headers=told)

    async def _close(self, _application: web.Application) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._engine.close)
        self._executor.shutdown(wait=False)


async def _read_statement(request: Request, body: Body) -> tuple[bytes, Insert | None]:
    """The statement's text and, for an INSERT that brings rows along, where they begin: the rest of the body is theirs.

    The text is `query`, a line break, and the body.
    """
    sql = request.query + b"\n" if request.query.strip() else b""
    tried_at = -1
    while True:
        # Twice as much before looking again: a long statement is not read from its beginning at every chunk.
        if len(sql) > 2 * tried_at:
            tried_at = len(sql)
            try:
                if (plan := split_insert(sql, complete=False)) is not None:
                    return sql, plan
            except Undecided:
                pass
        data = await body.read()
        if not data:
            return sql, split_insert(sql, complete=True)
        sql += data
