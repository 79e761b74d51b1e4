"""One ledger worker: the group gives it partitions, it runs a task for each, and stops when a task cannot go on."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from aiokafka.errors import KafkaError

from pipeline.engine.contract import MachineFactory
from pipeline.engine.disk_identities import DiskIdentities
from pipeline.engine.identity import IdentityStore, MemoryIdentities
from pipeline.engine.membership import Membership
from pipeline.engine.observer import Observer, describe
from pipeline.engine.ownership import Submit
from pipeline.engine.partition import Partition, Surroundings, WorkerFailed
from pipeline.engine.preflight import Cluster, cluster_when_ready
from pipeline.engine.settings import EngineSettings

_PULSE_SECONDS = 1.0
_RELEASE_SECONDS = 8.0
_CANCEL_SECONDS = 5.0


class Engine:
    """Runs the partitions that the group assigns to this worker.

    Attributes:
        partitions: those it has now, by number.
    """

    def __init__(
        self,
        settings: EngineSettings,
        new_machine: MachineFactory,
        submit: Submit,
        *,
        observer: Observer | None = None,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self._settings = settings
        self._new_machine = new_machine
        self._submit = submit
        self._observer = observer or Observer()
        self._surroundings: Surroundings | None = None
        self._membership: Membership | None = None
        loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._failure: asyncio.Future[None] = loop.create_future()

    async def run(self) -> None:
        """Work until stopped or cancelled.

        Raises:
            Refused, ClockRefused, WorkerFailed: with a sentence for the operator.
        """
        cluster = await cluster_when_ready(self._settings)
        self._membership = membership = Membership(self._settings, self._assigned, self._revoked)
        self._surroundings = Surroundings(
            self._settings,
            cluster.partitions,
            self._new_machine,
            partial(_new_identities, self._settings, cluster),
            self._submit,
            membership.ends,
            self._observer,
        )
        with _told_as_a_sentence(self._settings):
            await membership.start()
        pulse = asyncio.create_task(self._pulse(membership))
        try:
            await asyncio.wait({pulse, self._failure, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stopped.done():
                (self._failure if self._failure.done() else pulse).result()
        finally:
            pulse.cancel()
            # What it may say while it ends is about a membership that ends too.
            await asyncio.gather(pulse, return_exceptions=True)

    async def stop(self) -> None:
        """Finish the transactions in hand, then leave the group."""
        if not self._stopped.done():
            self._stopped.set_result(None)
        await self._revoked()
        if self._membership is not None:
            await self._membership.stop()
        self._failure.cancel()

    def _assigned(self, numbers: set[int]) -> None:
        # A rebalance can still finish while we are stopping: then nothing is begun.
        if self._stopped.done() or self._surroundings is None:
            return
        for number in sorted(numbers):
            partition = self.partitions[number] = Partition(number, self._surroundings)
            partition.task.add_done_callback(self._ended)

    async def _revoked(self) -> None:
        partitions, self.partitions = self.partitions, {}
        for partition in partitions.values():
            partition.stop()
        if not partitions:
            return
        _, late = await asyncio.wait([partition.task for partition in partitions.values()], timeout=_RELEASE_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    async def _pulse(self, membership: Membership) -> None:
        """Keep the membership, leave offsets now and then, and watch that every partition gets on."""
        offsets_left = time.monotonic()
        while True:
            await asyncio.sleep(_PULSE_SECONDS)
            with _told_as_a_sentence(self._settings):
                await membership.pulse()
            now = time.monotonic()
            for partition in self.partitions.values():
                if not partition.halted and now - partition.active_at > self._settings.stuck_seconds:
                    raise WorkerFailed(
                        f"partition {partition.number} has come to nothing for {now - partition.active_at:.0f} s; "
                        "the worker stops, so that another can take over"
                    )
            if now - offsets_left > self._settings.offsets_every_seconds:
                offsets_left = now
                positions = {number: p.positions for number, p in self.partitions.items()}
                await membership.leave_offsets({number: at for number, at in positions.items() if at})


def _new_identities(settings: EngineSettings, cluster: Cluster, number: int) -> IdentityStore:
    """A partition's identity store; each cluster and prefix has folders of its own."""
    if settings.identities_dir is None:
        return MemoryIdentities(settings.horizon_days)
    folder = settings.identities_dir / cluster.id / f"{settings.topic(settings.seen_ids)}-{number}"
    return DiskIdentities(folder, settings.horizon_days)


@contextmanager
def _told_as_a_sentence(settings: EngineSettings) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise WorkerFailed(
            f"no membership of the group {settings.group} at {settings.brokers}: {describe(error)}; the worker stops"
        ) from error
