"""The real ledger on a real Kafka: settings come in; workers, each a process, and what they wrote go out.

A worker here is `usage-credits ledger` with chunks of a few records, and identities on disk after a few more. It may be
told to kill itself at a commit, and its clock may be off:

    python -m tests.support.ledger_cluster '{"commit": 40, "moment": "before", "clock_off_seconds": 3600}'
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.demo.reading import Record, ledger_has_read_everything, read_topics
from pipeline.demo.system import environment
from pipeline.engine.contract import Effects
from pipeline.publisher import Outgoing, publish
from pipeline.settings import Settings
from pipeline.topics import CREDIT_STATUS, LEDGER_OUTPUTS, LEDGER_STATE
from pipeline.topics_admin import create_topics
from schemas.month import Month
from schemas.status import ClockStatus, read_status
from tests.support.wrong_clock import set_the_clock

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0

MOST_RECORDS = 4
MOST_BYTES = 3_000
MOST_ADDS = 3


WRITTEN = (*LEDGER_OUTPUTS, LEDGER_STATE)


class Death(NamedTuple):
    """A worker kills itself (-9) at its n-th commit: before it, all is written; after it, only Kafka knows.

    With `billing` only commits of partitions count that then have organisations left to bill: for a month that ended,
    or for one whose days of grace did.
    """

    commit: int
    moment: Literal["before", "after"]
    billing: Literal["", "month_ended", "month_closed"] = ""


class Worker:
    """One ledger process."""

    def __init__(self, settings: Settings, log: Path, death: Death | None) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.ledger_cluster", json.dumps(death._asdict() if death else {})],
                cwd=ROOT,
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def dies(self) -> None:
        """Wait until it has killed itself."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)
        code = self.process.returncode
        assert code == -signal.SIGKILL, f"it ended with {code}:\n{self.last_words()}"

    def check(self) -> None:
        """Nothing, while it runs."""
        assert self.process.poll() is None, f"the worker ended:\n{self.last_words()}"

    def last_words(self) -> str:
        return self.log.read_text()[-4_000:]


@contextmanager
def worker(settings: Settings, death: Death | None = None) -> Iterator[Worker]:
    """A worker that is gone when the block is left."""
    log = settings.data_dir / f"worker-{len(list(settings.data_dir.glob('worker-*')))}.log"
    started = Worker(settings, log, death)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


class Watched(Protocol):
    """What has to run on while it is waited for."""

    def check(self) -> None: ...

    def last_words(self) -> str: ...


async def written_through(
    deaths: Sequence[Death], settings: Settings, records: Sequence[Outgoing], end_micros: int
) -> dict[str, list[Record]]:
    """All that workers wrote of these records until then, each of which dies its death, and a last one that lives."""
    await create_topics(settings)
    await publish(settings, records, ticks_at_micros=end_micros)
    for death in deaths:
        with worker(settings, death) as victim:
            await victim.dies()
    with worker(settings) as last:
        return await everything_at(end_micros, settings, last)


async def everything_at(end_micros: int, settings: Settings, running: Watched) -> dict[str, list[Record]]:
    """Wait until the ledger has read all there is and told how things stand at the end; then all it ever wrote."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ledger_has_read_everything(settings, lambda _read, _there: None, running.check)
            while await _clocks(settings) != dict.fromkeys(range(settings.partitions), end_micros):
                running.check()
                await asyncio.sleep(0.1)
            # A commit is acknowledged, and seen in one topic, a little before it is seen in all.
            while await _ends(settings, "read_committed") != await _ends(settings, "read_uncommitted"):
                running.check()
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"it did not come to the end:\n{running.last_words()}") from None
    return await read_topics(settings, WRITTEN)


async def _clocks(settings: Settings) -> dict[int, int]:
    """How far each partition says it is."""
    records = (await read_topics(settings, [CREDIT_STATUS]))[CREDIT_STATUS.name]
    told = [read_status(record.key, record.value) for record in records]
    return {status.partition: status.as_of_micros for status in told if isinstance(status, ClockStatus)}


async def _ends(settings: Settings, isolation_level: str) -> Any:
    """Where what the ledger wrote ends, with or without what is still open."""
    consumer = AIOKafkaConsumer(**settings.kafka(), isolation_level=isolation_level, enable_auto_commit=False)
    await consumer.start()
    try:
        topics = [settings.topic_prefix + topic.name for topic in WRITTEN]
        places = [TopicPartition(topic, number) for topic in topics for number in range(settings.partitions)]
        return await consumer.end_offsets(places)
    finally:
        await consumer.stop()


# In the worker.


def make_chunks_small() -> None:
    """A chunk ends with the slice that makes it full, so both are cut down."""
    from pipeline.agents import ledger_machine
    from pipeline.engine import work
    from pipeline.engine.disk_identities import store

    work.SLICE_RECORDS["usage"] = MOST_RECORDS
    ledger_machine.MAX_CHUNK_BYTES = ledger_machine.MAX_ADVANCE_BYTES = MOST_BYTES
    store.SEAL_ADDS = MOST_ADDS


def die_at(death: Death) -> None:
    """Replace the commit by one that may be the last."""
    commit = AIOKafkaProducer.commit_transaction
    commits = count(1)
    billing = watch_billing()

    async def commit_and_die(producer: Any) -> None:
        counts = not death.billing or billing.get(partition_written_by(producer)) == death.billing
        is_last = counts and next(commits) == death.commit
        if is_last and death.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await commit(producer)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    AIOKafkaProducer.commit_transaction = commit_and_die


def watch_billing() -> dict[int, str]:
    """Partition → what it still has organisations to bill for, as of its last chunk."""
    from pipeline.agents.ledger_machine import LedgerMachine

    finish = LedgerMachine.finish
    billing: dict[int, str] = {}

    def watched(machine: LedgerMachine) -> Effects:
        effects = finish(machine)
        calendar = machine.state.calendar
        has_closed = calendar.month and Month.parse(calendar.closed_through).next() == Month.parse(calendar.month)
        billing[machine.partition] = machine.is_behind * ("month_closed" if has_closed else "month_ended")
        return effects

    LedgerMachine.finish = watched  # type: ignore[method-assign]
    return billing


def partition_written_by(producer: Any) -> int:
    """Each partition has a transactional id of its own, which ends with its number."""
    return int(producer._txn_manager.transactional_id.rpartition("-")[2])


def main(clock_off_seconds: float = 0.0, **death: Any) -> None:
    if clock_off_seconds:
        set_the_clock(clock_off_seconds)

    from pipeline.processes import run_ledger

    make_chunks_small()
    if death:
        die_at(Death(**death))
    run_ledger()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
