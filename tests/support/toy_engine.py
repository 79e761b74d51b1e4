"""The toy ledger on the real engine in this process, without Faust: started, observed, stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from pipeline.engine.engine import Engine
from pipeline.engine.observer import Committed, Observer
from pipeline.engine.settings import EngineSettings
from pipeline.engine.work import answer
from tests.support.engine_cluster import PARTITIONS, PATIENCE_SECONDS
from tests.support.toy_ledger import Toy


class Noted(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.commits: list[Committed] = []
        self.halts: dict[int, BaseException] = {}
        self.failures: list[BaseException] = []

    def committed(self, committed: Committed) -> None:
        self.commits.append(committed)

    def halted(self, partition: int, reason: BaseException) -> None:
        self.halts[partition] = reason

    def failed(self, partition: int, error: BaseException, in_a_row: int) -> None:
        self.failures.append(error)


@asynccontextmanager
async def running(
    settings: EngineSettings, observer: Observer | None = None, machine: type[Toy] = Toy, **toy: Any
) -> AsyncIterator[Engine]:
    engine = Engine(
        settings, lambda number, ids: machine(number, ids, PARTITIONS, **toy), answer, observer=observer or Noted()
    )
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        await engine.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # nobody signals what observers are told
            await asyncio.sleep(0.02)
