"""The life of a partition without Kafka: what it does when it is taken away at an awkward moment."""

import asyncio
from typing import Any

from pipeline.engine.contract import InvariantBroken
from pipeline.engine.observer import Observer
from pipeline.engine.partition import Partition, Surroundings
from pipeline.engine.settings import EngineSettings


def nothing(*_: Any) -> Any:
    raise AssertionError("nobody asks for this")


AROUND = Surroundings(EngineSettings(kafka={}), 1, nothing, nothing, nothing, nothing, Observer())


class Damaged(Partition):
    """Its claim ended with a broken invariant; it closes what it had open for as long as the test likes."""

    async def _own(self) -> None:
        self.closed = asyncio.Event()
        self._closing = True
        await self.closed.wait()
        self._closing = False
        raise InvariantBroken("something that cannot be true is")


async def test_one_that_is_taken_away_while_it_closes_does_not_halt_after_that() -> None:
    """It would keep the whole group waiting, since nobody tells it to stop once more."""
    partition = Damaged(0, AROUND)
    await asyncio.sleep(0)
    partition.stop()
    partition.closed.set()
    await asyncio.wait_for(partition.task, 5)


async def test_one_that_is_taken_away_when_it_has_halted_ends_at_once() -> None:
    partition = Damaged(0, AROUND)
    await asyncio.sleep(0)
    partition.closed.set()
    while not partition.halted:  # noqa: ASYNC110  # nobody signals it
        await asyncio.sleep(0)
    partition.stop()
    await asyncio.wait({partition.task}, timeout=5)
    assert partition.task.cancelled()
