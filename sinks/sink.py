"""The sink service: priced usage and limit events from Kafka in, rows in ClickHouse out, each exactly once.

What it knows it reads back from ClickHouse whenever it is given partitions and whenever anything failed; group
offsets are committed for lag monitors only. Source: docs/decisions/0005-positions-and-fence.md.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError

from sinks import metrics
from sinks.clickhouse import ClickHouse, literal
from sinks.errors import Away, Broken, Fenced
from sinks.event_table import EventTable
from sinks.feed import Feed
from sinks.list_prices import ListPrices, store_prices
from sinks.migrate import migrate
from sinks.priced_usage import PricedUsage
from sinks.tables import Stored, Table

logger = logging.getLogger(__name__)

TABLES: Mapping[str, Table] = {
    "priced-usage": PricedUsage(),
    "limit-breaches": EventTable("limit_events"),
    "ledger-entries": EventTable("ledger_entries"),
    "invoices": EventTable("billing_events"),
    "account-events": EventTable("account_events"),
    "credit-status": EventTable("credit_status", has_key=True),
    "dead-letters": EventTable("dead_letters"),
    "dead-letter-decisions": EventTable("dead_letter_decisions"),
}
"""What flows where, by the topic's name without its prefix."""

_POLL_SECONDS = 0.25
"""How long a poll waits for records: bounds how late a stop is noticed."""

_TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """What the composition root tells the sink.

    Attributes:
        kafka: what every aiokafka client takes to reach the brokers.
        log_id: id of the Kafka log, made when its topics were made.
        clickhouse_url: with user and password.
        prices: what the price book says, for views to reckon with.
        block_rows, block_seconds: a block is inserted when it reaches either.
        longest_wait_seconds: between two tries while something is away.
        answer_seconds: how long ClickHouse may take over an insert; far less than a poll interval.
    """

    kafka: Mapping[str, Any]
    topic_prefix: str
    group_id: str
    clickhouse_url: str
    database: str
    log_id: str
    prices: ListPrices = field(default_factory=ListPrices)
    block_rows: int = 50_000
    block_seconds: float = 1.0
    session_timeout_ms: int = 10_000
    longest_wait_seconds: float = 30.0
    answer_seconds: float = 60.0


async def run_sink(config: SinkConfig, stop: asyncio.Event) -> None:
    """Run until `stop` is set; what is in hand is stored before it returns.

    Raises:
        Broken: an invariant does not hold; the text says which, and what to do.
    """
    clickhouse = ClickHouse(config.clickhouse_url, config.database, answer_seconds=config.answer_seconds)
    try:
        sink = _Sink(config, clickhouse)
        if await sink.start(stop):
            await sink.run(stop)
    finally:
        await clickhouse.close()


class _Sink:
    def __init__(self, config: SinkConfig, clickhouse: ClickHouse) -> None:
        tables = {config.topic_prefix + name: table for name, table in TABLES.items()}
        self._config = config
        self._clickhouse = clickhouse
        self._feeds = {
            topic: Feed(
                topic,
                table,
                log_id=config.log_id,
                block_rows=config.block_rows,
                block_seconds=config.block_seconds,
            )
            for topic, table in tables.items()
        }
        self._consumer: AIOKafkaConsumer = None
        self._failures = 0
        self._rebalances = 0
        self._assigned = False
        self._holding = False
        self._told_at = 0.0
        self._told: set[TopicPartition] = set()
        self._left: dict[TopicPartition, int] = {}  # the group's offsets, as last committed

    async def start(self, stop: asyncio.Event) -> bool:
        """Wait for both stores, migrate, join the group; False if stopped before that."""
        while not stop.is_set():
            try:
                for migration in await migrate(self._clickhouse):
                    logger.info("database %s: applied %s", self._clickhouse.database, migration.name)
                await store_prices(self._clickhouse, self._config.prices)
                await accept_log(self._clickhouse, self._config.log_id)
                await self._join()
                return True
            except (Away, KafkaError) as error:
                text = str(error) if isinstance(error, Away) else f"{error!r} (KAFKA_BOOTSTRAP_SERVERS)"
                seconds = self._next_wait()
                logger.warning("the sink cannot start: %s; trying again in %g s", text, seconds)
                await _sleep(seconds, stop)
        return False

    async def run(self, stop: asyncio.Event) -> None:
        """Store what comes, until stopped."""
        try:
            while not stop.is_set():
                try:
                    # Not while the group still decides: what is assigned then may be another's already.
                    if self._assigned and not self._holding:
                        await self._take_over()
                    await self._take()
                    await self._tell()
                except (Away, Fenced, KafkaError) as error:
                    await self._back_off(error, stop)
            await self._flush_rest()
            await self._leave_offsets()
        finally:
            try:
                await self._consumer.stop()
            except (KafkaError, asyncio.CancelledError) as error:
                # The broker it would have told is away: the group finds out by itself. Where a fetch waits to be tried
                # again, aiokafka ends this as if we were cancelled.
                logger.warning("the group was not told that this sink ends: %r", error)

    async def _join(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._config.kafka,
            group_id=self._config.group_id,
            enable_auto_commit=False,
            # Rows of aborted transactions must not be seen.
            isolation_level="read_committed",
            # Where a log is made anew or loses its end, to begin again would store rows twice: a claim finds that out.
            auto_offset_reset="none",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=self._config.session_timeout_ms,
            heartbeat_interval_ms=min(1_000, self._config.session_timeout_ms // 3),
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        consumer.subscribe(list(self._feeds), listener=_Rebalances(self))

    def on_revoked(self) -> None:
        """The partitions may be another's from now on: forget what is in hand."""
        self._rebalances += 1
        self._assigned = self._holding = False
        for feed in self._feeds.values():
            feed.let_go()

    def on_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Nothing is read before it is claimed."""
        self._rebalances += 1
        self._assigned, self._holding = bool(assigned), False
        self._consumer.pause(*assigned)

    async def _take_over(self) -> None:
        """Claim all that is assigned, read how far it is stored, and go on from there."""
        rebalances, assigned = self._rebalances, self._consumer.assignment()
        self._consumer.pause(*assigned)
        stored: dict[TopicPartition, Stored] = {}
        for topic, feed in self._feeds.items():
            partitions = [at.partition for at in assigned if at.topic == topic]
            if partitions:
                found = await feed.take_over(self._clickhouse, partitions)
                stored |= {TopicPartition(topic, partition): place for partition, place in found.items()}
        # Asked after the marks: until then an earlier claim may have stored what came since.
        beginnings = await self._consumer.beginning_offsets(assigned)
        ends = await self._consumer.end_offsets(assigned)
        offsets = {
            at: resume_offset(at, place, beginnings[at], ends[at], await self._consumer.committed(at))
            for at, place in stored.items()
        }
        if rebalances != self._rebalances:
            return  # no longer what is assigned; the next round claims that
        try:
            for at, offset in offsets.items():
                self._consumer.seek(at, offset)
            self._consumer.resume(*assigned)
        except IllegalStateError:
            return
        self._holding = True
        logger.info("holding %s", ", ".join(f"{t}[{p}] from {o}" for (t, p), o in sorted(offsets.items())))

    async def _take(self) -> None:
        """Put what has arrived into blocks, and insert those that are due."""
        wait = min([_POLL_SECONDS, *(feed.seconds_until_due for feed in self._feeds.values())])
        try:
            arrived = await self._consumer.getmany(timeout_ms=int(wait * 1000))
        except NoOffsetForPartitionError:
            return  # it was just assigned; where to read on, the claim will say
        if not self._holding:
            return  # read under a claim that is gone; the next one seeks back
        for at, records in arrived.items():
            feed = self._feeds[at.topic]
            for record in records:
                feed.add(record)
                if feed.seconds_until_due == 0 and not await self._flush(feed):
                    return
        for feed in self._feeds.values():
            if feed.seconds_until_due == 0 and not await self._flush(feed):
                return

    async def _tell(self) -> None:
        """About once a second, how far behind it is; no broker is asked for that."""
        now = asyncio.get_running_loop().time()
        if now < self._told_at + _TELL_SECONDS:
            return
        self._told_at = now
        metrics.HOLDING.set(self._holding)
        held = set(self._consumer.assignment()) if self._holding else set()
        for at in self._told - held:  # another's by now
            metrics.LAG_RECORDS.remove(at.topic, str(at.partition))
        self._told = held
        for at, stored in (await self._leave_offsets()).items():
            end = self._consumer.last_stable_offset(at) if at in self._consumer.assignment() else None
            metrics.LAG_RECORDS.labels(at.topic, at.partition).set(max(0, (end or 0) - stored))

    async def _leave_offsets(self) -> Mapping[TopicPartition, int]:
        """Commit up to where all is stored; the positions, since behind the last record lies its transaction's marker.

        For lag monitors; nothing is read back from it but after Kafka deleted records (resume_offset).
        """
        rebalances = self._rebalances
        try:
            stored = {at: await self._stored_to(at) for at in self._consumer.assignment() if self._holding}
            if rebalances != self._rebalances:
                return {}
            if stored and stored != self._left:
                await self._consumer.commit(stored)
                self._left = stored
        except (KafkaError, AssertionError) as error:  # or a rebalance came between
            logger.debug("group offsets not committed: %r", error)
            return {}
        return stored

    async def _stored_to(self, at: TopicPartition) -> int:
        first_left = self._feeds[at.topic].first_offsets.get(at.partition)
        return first_left if first_left is not None else int(await self._consumer.position(at))

    async def _flush(self, feed: Feed) -> bool:
        """Insert the block of a feed; False if the partitions were taken away meanwhile."""
        await feed.flush(self._clickhouse)
        self._failures = 0
        return self._holding

    async def _flush_rest(self) -> None:
        for feed in self._feeds.values():
            try:
                await self._flush(feed)
            except (Away, Fenced) as error:
                logger.warning("%s; whoever takes over stores them", error)

    async def _back_off(self, error: Exception, stop: asyncio.Event) -> None:
        """Wait, still a member of the group, and forget everything: the next round reads it from ClickHouse."""
        self._holding = False
        metrics.HOLDING.set(0)
        metrics.FAILURES.labels("Kafka" if isinstance(error, KafkaError) else type(error).__name__).inc()
        for feed in self._feeds.values():
            feed.let_go()
        seconds = self._next_wait()
        text = str(error) if not isinstance(error, KafkaError) else f"Kafka: {error!r} (KAFKA_BOOTSTRAP_SERVERS)"
        logger.warning("%s; trying again in %g s", text, seconds)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not stop.is_set() and (left := end - loop.time()) > 0:
            # Paused: no records come, but the group sees us alive, and a sink that was replaced learns it here.
            self._consumer.pause(*self._consumer.assignment())
            try:
                await self._consumer.getmany(timeout_ms=int(min(left, _POLL_SECONDS) * 1000) + 1)
            except KafkaError as again:  # one of its brokers may be away for longer
                logger.debug("while waiting: %r", again)
                await _sleep(min(left, _POLL_SECONDS), stop)

    def _next_wait(self) -> float:
        seconds = min(2.0**self._failures, self._config.longest_wait_seconds)
        self._failures = min(self._failures + 1, 16)
        return seconds


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, sink: _Sink) -> None:
        self._sink = sink

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._sink.on_revoked()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._sink.on_assigned(assigned)


async def accept_log(clickhouse: ClickHouse, log_id: str) -> None:
    """See that this database stores this Kafka log, and no other.

    Raises:
        Broken: it holds rows of another log, whose positions do not compare with this one's.
    """
    known = {row[0] for row in await clickhouse.rows("SELECT DISTINCT log_id FROM kafka_logs")}
    if log_id in known:
        return
    if known:
        raise Broken(
            f"database {clickhouse.database} stores the Kafka log {', '.join(sorted(known))}, but this Kafka is "
            f"{log_id}: it was made anew. Name another CLICKHOUSE_DATABASE, or, to add the new log's rows to those of "
            f"the old one: INSERT INTO {clickhouse.database}.kafka_logs (log_id) VALUES ({literal(log_id)})"
        )
    await clickhouse.run(f"INSERT INTO kafka_logs (log_id) SELECT {literal(log_id)}")


def resume_offset(at: TopicPartition, stored: Stored, beginning: int, end: int, committed: int | None) -> int:
    """The offset to read on from: what ClickHouse says, if Kafka still has it.

    Args:
        beginning, end: the offsets that Kafka has now; end is the last stable one.
        committed: the group's offset; all before it is stored.

    Raises:
        Broken: ClickHouse is ahead of Kafka, or Kafka deleted records that may not be stored.
    """
    name = f"{at.topic}[{at.partition}]"
    if stored.seen_to > end:
        raise Broken(
            f"ClickHouse is ahead of Kafka: it stores {name} up to offset {stored.seen_to}, but Kafka ends at {end}. "
            "Kafka lost its end (a restore, a loss of power); rebuild the database from Kafka: name an empty "
            "CLICKHOUSE_DATABASE"
        )
    if stored == Stored() and beginning:
        logger.warning(
            "%s begins at offset %d: what was before is in Kafka no more, nor in ClickHouse", name, beginning
        )
        return beginning
    if stored.resume >= beginning or (committed or 0) >= beginning:
        return max(stored.resume, beginning)
    raise Broken(
        f"Kafka deleted {name} offsets {stored.resume}-{beginning - 1}, not all of which are known to be stored. To go "
        f"on without them, set the group's offset of {name} to {beginning}"
    )


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
