"""Who owns which partitions: a member of the consumer group that never reads a record.

The group decides, partition tasks read on their own (`assign()`), so a rebalance can neither stall nor mix up a
fetch. This client also asks the brokers where partitions end, and leaves group offsets for lag monitors.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from pipeline.engine.clients import close_consumer, start_client
from pipeline.engine.observer import describe
from pipeline.engine.settings import EngineSettings

log = logging.getLogger(__name__)

OnAssigned = Callable[[set[int]], None]
OnRevoked = Callable[[], Awaitable[None]]


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Membership of the group, and what goes with it."""

    def __init__(self, settings: EngineSettings, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        self._settings = settings
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        session_ms = int(settings.session_timeout_seconds * 1_000)
        self._consumer = AIOKafkaConsumer(
            **settings.kafka,
            group_id=settings.group,
            enable_auto_commit=False,
            # Ends are to count records of open transactions too: what they hide is not drained.
            isolation_level="read_uncommitted",
            # Both inputs have as many partitions, so range gives a member the same numbers of each.
            partition_assignment_strategy=(RangePartitionAssignor,),
            auto_offset_reset="earliest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(100, session_ms // 10),
            rebalance_timeout_ms=max(30_000, session_ms),
            max_poll_interval_ms=300_000,
            max_partition_fetch_bytes=1_024,
        )

    async def start(self) -> None:
        self._consumer.subscribe(list(self._settings.inputs.values()), listener=self)
        await start_client(self._consumer)

    async def stop(self) -> None:
        """Leave the group, so that the others need not wait for a session to end."""
        await close_consumer(self._consumer, "the membership of the group")

    async def pulse(self) -> None:
        """Show aiokafka that this member is alive: it leaves the group silently where nobody fetches.

        Raises:
            KafkaError: the group has no use for this member, for example because it lacks a permission.
        """
        await self._consumer.getmany(timeout_ms=0)

    async def ends(self, tps: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermarks. This client has no fetch waiting at a broker that such a question would queue behind."""
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(tps)
        return ends

    async def leave_offsets(self, positions: Mapping[int, tuple[int, int]]) -> None:
        """Commit (usage, commands) positions for lag monitors; nothing reads them back, so a failure is no matter."""
        inputs = self._settings.inputs
        offsets = {TopicPartition(inputs["usage"], number): usage for number, (usage, _) in positions.items()}
        offsets |= {TopicPartition(inputs["commands"], number): commands for number, (_, commands) in positions.items()}
        assigned = self._consumer.assignment()
        try:
            if offsets := {tp: offset for tp, offset in offsets.items() if tp in assigned}:
                await self._consumer.commit(offsets)
        except KafkaError as error:
            log.debug("group offsets were not left: %s", describe(error))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._on_revoked()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if assigned:
            self._consumer.pause(*assigned)
        self._on_assigned({tp.partition for tp in assigned if tp.topic == self._settings.inputs["usage"]})
