"""Blocking calls of one request, made in threads: a function in, its result out, off the event loop.

A client that goes away cancels its request: the query is killed, and the thread is waited for before anything else
touches the handle.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from pipeline.embedded.clickhouse_http.sessions import Engine


class Calls:
    """The calls of one request, by whose number what they run can be killed."""

    def __init__(self, engine: Engine, executor: Executor, number: int) -> None:
        self._engine = engine
        self._executor = executor
        self._number = number

    async def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result.

        Raises:
            CancelledError: the client is gone; the call has ended by then.
        """
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._executor, function, *arguments)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.shield(self._end(call))
            raise

    async def _end(self, call: "asyncio.Future[Any]") -> None:
        loop = asyncio.get_running_loop()
        while not call.done():
            # Again and again: it may not have begun when it was killed first.
            await loop.run_in_executor(self._executor, self._engine.kill, self._number)
            await asyncio.wait([call], timeout=0.2)
        with suppress(Exception):
            call.result()
