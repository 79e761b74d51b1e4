"""`python -m benchmarks recovery`: workers killed and told to end; how long partitions stood still comes out.

Usage arrives all the time, in every partition. A standstill is the longest time in which a partition committed nothing,
from half a second before the fault on, as one sees it who follows the journal.
"""

import asyncio
import itertools
import re
import signal
import statistics
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from benchmarks.job import Job
from benchmarks.stand import Worker, produce
from pipeline.reading import consumer, places
from pipeline.settings import Settings
from pipeline.topics import ACCOUNT_COMMANDS, LEDGER_JOURNAL, USAGE_EVENTS
from pipeline.topics_admin import create_topics

_EVENTS_AT_ONCE = 40
_PAUSE_SECONDS = 0.1
_BEFORE_SECONDS = 0.5
_CLAIM_SECONDS = 60.0
_SAID = re.compile(r"partition (\d+): (claimed|released)")


class Standstill(NamedTuple):
    """Seconds, the longest of any partition."""

    own: float
    others: float


class Logged:
    """A worker, and which partitions it says it has."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._log = settings.data_dir / f"{name}.log"
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir / name})
        self.start()

    def start(self) -> None:
        self._log.unlink(missing_ok=True)  # what it said in an earlier life holds no more
        self._worker = Worker(self._settings, self._log)

    def end(self, how: signal.Signals) -> None:
        self._worker.process.send_signal(how)
        self._worker.process.wait(30)

    @property
    def partitions(self) -> set[int]:
        latest = dict(_SAID.findall(self._log.read_text()))
        return {int(number) for number, what in latest.items() if what == "claimed"}


async def measure(settings: Settings, rounds: int) -> None:
    """Print a line for each kind of fault."""
    job = Job(10_000_000, now_micros=time.time_ns() // 1_000)
    await create_topics(settings)
    await produce(settings, ACCOUNT_COMMANDS.name, job.commands())
    print(f"session timeout {settings.session_timeout_ms / 1_000:g} s; median and longest of {rounds}")
    async with _usage_goes_on(settings, job.records()), _followed(settings) as commits:
        first = Logged(settings, "first")
        second = Logged(settings, "second")
        workers = [first, second]
        try:
            for what, how, again in (
                ("one of two workers killed", signal.SIGKILL, False),
                ("one of two workers told to end", signal.SIGTERM, False),
            ):
                found = []
                for _ in range(rounds):
                    await _until_all_is_claimed(settings, workers, 2)
                    found.append(await _standstill(settings, commits, first, how, again))
                    first.start()
                _print(what, found)
            second.end(signal.SIGTERM)
            workers = [first]
            for what, how, again in (
                ("the only worker killed and started again", signal.SIGKILL, True),
                ("the only worker told to end and started again", signal.SIGTERM, True),
            ):
                found = []
                for _ in range(rounds):
                    await _until_all_is_claimed(settings, workers, settings.partitions)
                    found.append(await _standstill(settings, commits, first, how, again))
                _print(what, found)
        finally:
            for worker in workers:
                worker.end(signal.SIGKILL)


async def _standstill(
    settings: Settings, commits: dict[int, list[float]], victim: Logged, how: signal.Signals, again: bool
) -> Standstill:
    """End it, and see how long nothing came."""
    own = victim.partitions
    since = time.monotonic() - _BEFORE_SECONDS
    await asyncio.to_thread(victim.end, how)
    if again:
        victim.start()
    await asyncio.sleep(settings.session_timeout_ms / 1_000 + 10.0)
    longest = {
        number: max(later - sooner for sooner, later in itertools.pairwise(time_ for time_ in times if time_ > since))
        for number, times in commits.items()
    }
    others = longest.keys() - own
    return Standstill(max(longest[number] for number in own), max((longest[n] for n in others), default=0.0))


async def _until_all_is_claimed(settings: Settings, workers: list[Logged], each: int) -> None:
    """And for a moment longer."""
    async with asyncio.timeout(_CLAIM_SECONDS):
        while any(len(worker.partitions) != each for worker in workers):  # noqa: ASYNC110  # their logs tell
            await asyncio.sleep(0.1)
    await asyncio.sleep(3.0)


@asynccontextmanager
async def _usage_goes_on(settings: Settings, records: Iterable[tuple[str, bytes]]) -> AsyncIterator[None]:
    async def send() -> None:
        left = iter(records)
        while True:
            await produce(settings, USAGE_EVENTS.name, itertools.islice(left, _EVENTS_AT_ONCE))
            await asyncio.sleep(_PAUSE_SECONDS)

    async with _meanwhile(send()):
        yield


@asynccontextmanager
async def _followed(settings: Settings) -> AsyncIterator[dict[int, list[float]]]:
    """When each partition committed, by our clock."""
    commits: dict[int, list[float]] = {number: [] for number in range(settings.partitions)}

    async def follow() -> None:
        async with consumer(settings, "read_committed") as journal:
            journal.assign(places(settings, [LEDGER_JOURNAL.name], commits))
            while True:
                for place in await journal.getmany(timeout_ms=100):
                    commits[place.partition].append(time.monotonic())

    async with _meanwhile(follow()):
        yield commits


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _print(what: str, found: list[Standstill]) -> None:
    own, others = [one.own for one in found], [one.others for one in found]
    print(
        f"{what:46} its partitions {statistics.median(own):5.1f} s, {max(own):5.1f} s   "
        f"the others {statistics.median(others):5.1f} s, {max(others):5.1f} s",
        flush=True,
    )
