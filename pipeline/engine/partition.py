"""The life of one assigned partition: claim, restore, work, until it is taken away; and what follows when that fails.

Memory is ahead of Kafka from the moment a chunk is computed until its transaction is committed. So whatever goes
wrong in between, there is one way on: drop the memory, and claim again.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalOperation,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)

from pipeline.engine.clients import close_consumer, start_client
from pipeline.engine.continuing import check_left, check_versions
from pipeline.engine.contract import EventFailed, InvariantBroken, MachineFactory, Place
from pipeline.engine.fetching import reader
from pipeline.engine.identity import IdentityStore
from pipeline.engine.inputs import Ends, Inputs
from pipeline.engine.journal import EngineCell, JournalLine
from pipeline.engine.observer import Observer, describe
from pipeline.engine.ownership import Ownership, Submit, machine_at_work
from pipeline.engine.preflight import Refused
from pipeline.engine.restore import check_all_ended, last_line, refill_identities, restore_cells, taken_out
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import Transactions

log = logging.getLogger(__name__)

# Kafka refuses what we wrote, or does not let us: trying again would change nothing. Input that is gone is an invariant
# broken (inputs.py); identities that retention takes while they are read back are not, and the next claim is past them.
_HALTING = (
    InvariantBroken,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
# aiokafka asserts the states of a transaction: a failed assertion there is a failed transaction.
_TRANSIENT = (KafkaError, ConsumerStoppedError, IllegalOperation, AssertionError, TimeoutError, OSError)
_RESTORING = {"max_partition_fetch_bytes": 8 << 20, "fetch_max_wait_ms": 10, "retry_backoff_ms": 20}
"""A claim reads several short topics to their end one after another: each wait in between is a standstill."""
_HOUR_SECONDS = 3_600
_HALTED_LOG_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all partitions of a worker share.

    Attributes:
        partitions: N, of every topic.
        new_identities: partition → its identity store, perhaps older than `seen-ids`; may read a lot, so in a thread.
        ends: asks for high watermarks.
    """

    settings: EngineSettings
    partitions: int
    new_machine: MachineFactory
    new_identities: Callable[[int], IdentityStore]
    submit: Submit
    ends: Ends
    observer: Observer


class Partition:
    """Owns one partition for as long as its task runs.

    Attributes:
        active_at: when it last got anywhere (monotonic seconds).
        halted: it waits for an operator; nothing of it is processed.
    """

    def __init__(self, number: int, around: Surroundings) -> None:
        self.number = number
        self.active_at = time.monotonic()
        self.halted = False
        self._around = around
        self._settings = around.settings
        self._ownership: Ownership | None = None
        self._quarantined: frozenset[Place] = frozenset()
        self._quarantine_times: deque[float] = deque()
        self._failures = 0
        self._stopping = False
        self._closing = False
        self.task = asyncio.create_task(self._run(), name=f"partition-{number}")

    @property
    def positions(self) -> tuple[int, int] | None:
        """The next offsets to read of (usage, commands), once known."""
        return (self._ownership.cell.usage, self._ownership.cell.commands) if self._ownership else None

    def stop(self) -> None:
        """Finish the transaction or the closing in hand; what else is under way has written nothing and is dropped."""
        self._stopping = True
        if not (self._closing or (self._ownership and self._ownership.in_transaction)):
            self.task.cancel()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._own()
            except asyncio.CancelledError as error:
                if self.task.cancelling():
                    raise
                # Somebody else's: an agent that ended, a task inside aiokafka.
                await self._after_failure(error)
            except EventFailed as error:
                await self._set_aside(error)
            except Refused:
                raise
            except _HALTING as error:
                await self._halt(error)
            except _TRANSIENT as error:
                await self._after_failure(error)
            except Exception as error:
                # A bug of ours: it would follow the partition from worker to worker, and stop them all.
                await self._halt(error)

    async def _own(self) -> None:
        started = time.monotonic()
        identities = await self._open_identities()
        transactions = Transactions(self._settings, self.number)
        inputs_reader = self._consumer({"max_partition_fetch_bytes": self._settings.fetch_bytes})
        try:
            await transactions.claim()
            cell, cells, last = await self._restore(identities)
            machine = self._around.new_machine(self.number, identities)
            check_versions(last, machine.versions)
            restored = len(cells)
            with machine_at_work():
                for _ in machine.restore(taken_out(cells)):
                    self._is_alive()
                    await asyncio.sleep(0)
            await start_client(inputs_reader)
            inputs = Inputs(self._settings, self.number, inputs_reader, self._around.ends)
            await inputs.open(cell)
            self._around.observer.claimed(self.number, restored, time.monotonic() - started)
            cell = cell or self._first_cell(inputs)
            self._quarantined = frozenset(p for p in self._quarantined if p.offset >= getattr(cell, p.input))
            self._ownership = ownership = Ownership(
                self.number,
                self._settings,
                transactions,
                inputs,
                identities,
                machine,
                cell,
                self._quarantined,
                self._around.submit,
                self._around.observer,
            )
            while not self._stopping:
                await ownership.step()
                if ownership.cell.seq > cell.seq:  # a quiet partition commits too, and ticks alone are no success
                    self._failures = 0
                self.active_at = time.monotonic()
        finally:
            self._closing = True
            self._ownership = None
            # It goes on in its thread even if we are cancelled meanwhile: the next claim needs the folder.
            closing = asyncio.get_running_loop().run_in_executor(None, identities.close)
            await close_consumer(inputs_reader, f"partition {self.number}: its reader")
            await transactions.close()
            await closing
            self._around.observer.released(self.number)
            self._closing = False

    async def _open_identities(self) -> IdentityStore:
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, self._around.new_identities, self.number)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: close what it opens, or nobody else could.
            opening.add_done_callback(_close_what_was_opened)
            raise

    async def _restore(
        self, identities: IdentityStore
    ) -> tuple[EngineCell | None, dict[bytes, bytes], JournalLine | None]:
        consumer = self._consumer(_RESTORING)
        try:
            await start_client(consumer)
            ours = [TopicPartition(topic, self.number) for topic in self._settings.written_topics]
            await check_all_ended(consumer, ours, self._around.ends, self._settings.transaction_timeout_seconds)
            state, journal, seen = (
                TopicPartition(self._settings.topic(topic), self.number)
                for topic in (self._settings.ledger_state, self._settings.ledger_journal, self._settings.seen_ids)
            )
            cell, cells = await restore_cells(consumer, state, self._is_alive)
            last = await last_line(consumer, journal)
            seen_to = (await consumer.end_offsets([seen]))[seen]
            check_left(cell, last, seen_to, self._settings, self._around.partitions)
            await refill_identities(consumer, seen, identities, self._is_alive)
        finally:
            await close_consumer(consumer, f"partition {self.number}: its restore")
        return cell, cells, last

    def _consumer(self, fetching: Mapping[str, int]) -> AIOKafkaConsumer:
        return reader(
            **self._settings.kafka,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            # Never skip silently what retention took away before we read it.
            auto_offset_reset="none",
            **{"fetch_max_wait_ms": 100, **fetching},
        )

    def _first_cell(self, inputs: Inputs) -> EngineCell:
        return EngineCell(
            mode=self._settings.mode,
            partitions=self._around.partitions,
            usage=inputs.usage.position,
            commands=inputs.commands.position,
        )

    def _is_alive(self) -> None:
        self.active_at = time.monotonic()

    async def _set_aside(self, error: EventFailed) -> None:
        """Nothing was committed; the next claim runs the chunk again, with the culprit named."""
        now = time.monotonic()
        times = self._quarantine_times
        times.append(now)
        while times[0] < now - _HOUR_SECONDS:
            times.popleft()
        self._around.observer.quarantined(self.number, error.place, error)
        if error.place in self._quarantined or len(times) > self._settings.quarantines_per_hour:
            await self._halt(error)
        self._quarantined |= {error.place}

    async def _halt(self, error: BaseException) -> None:
        """Keep the partition, process nothing, say so every minute, until the worker stops or the partition moves."""
        self.halted = True
        log.error("partition %d: %s", self.number, describe(error), exc_info=error)
        try:
            while not self._stopping:  # it may have been told so while it closed
                self._around.observer.halted(self.number, error)
                await asyncio.sleep(_HALTED_LOG_SECONDS)
        finally:
            self._around.observer.released(self.number)

    async def _after_failure(self, error: BaseException) -> None:
        """Wait until a zombie would have been told by its heartbeat, lest it fence the rightful owner; then go on."""
        if isinstance(error, KafkaConnectionError):
            # Whoever waits here keeps the partition from a worker that would be let in.
            if self._settings.why_refused and (sentence := await self._settings.why_refused()):
                raise WorkerFailed(f"partition {self.number}: {sentence}") from error
            log.warning(
                "partition %d: no Kafka at %s (KAFKA_BOOTSTRAP_SERVERS); waiting for it",
                self.number,
                self._settings.brokers,
            )
        else:
            self._failures += 1
            self._around.observer.failed(self.number, error, self._failures)
            if self._failures >= self._settings.max_failures:
                raise WorkerFailed(
                    f"partition {self.number}: {self._failures} transactions failed in a row, the last with "
                    f"{describe(error)}; the worker stops"
                ) from error
        if not self._stopping:
            wait_seconds = self._settings.session_timeout_seconds
            self.active_at = time.monotonic() + wait_seconds
            await asyncio.sleep(wait_seconds)


def _close_what_was_opened(opening: asyncio.Future[IdentityStore]) -> None:
    if opening.exception() is None:
        opening.result().close()


class WorkerFailed(Refused):
    """This worker cannot go on, another may."""
