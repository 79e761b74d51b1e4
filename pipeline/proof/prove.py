"""`prove` (R41): settings in; every equation looked at, as of one transaction in each partition, on data that moves.

1. Read `ledger-state` to its end: that is long, and tells nothing yet.
2. Find a moment at which no transaction of the partition is open: the ends of its topics at that moment are the cut.
3. Read `ledger-state` on to the cut: the engine's cell says which transaction that is.
4. Read what was published up to the cut, and the usage up to where the ledger had read.
5. Wait for ClickHouse, add up what it holds of usage before that place, and compare.

Partition by partition, since each stands for itself. Source: docs/decisions/0011-prove.md
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import TopicPartition

from pipeline.engine.journal import EngineCell
from pipeline.proof.equation import Equation, Found
from pipeline.proof.equations import equations
from pipeline.proof.locating import Locator
from pipeline.proof.locating_billing import BillingLocator
from pipeline.proof.outcome import AsOf, PartitionProof, Proof
from pipeline.proof.published import PricedRows, Published
from pipeline.proof.remembered import Remembered
from pipeline.proof.stored import StoredRows
from pipeline.proof.stored_billing import BilledSums, StoredBilling
from pipeline.proof.sums import Sums
from pipeline.reading import Ends, Reader, open_reader, places
from pipeline.settings import Settings
from pipeline.topics import (
    ACCOUNT_EVENTS,
    DEAD_LETTERS,
    INVOICES,
    LEDGER_ENTRIES,
    LEDGER_STATE,
    PRICED_USAGE,
    USAGE_EVENTS,
)
from pipeline.topics_admin import check_topics
from schemas.instants import MICROS_PER_MINUTE
from schemas.month import Month
from sinks.clickhouse import ClickHouse

_CUT = (
    LEDGER_STATE.name,
    PRICED_USAGE.name,
    LEDGER_ENTRIES.name,
    INVOICES.name,
    ACCOUNT_EVENTS.name,
    DEAD_LETTERS.name,
)
_LOOK_AGAIN_SECONDS = 0.2

_NEVER_BEGUN = EngineCell(mode="live", partitions=0, usage=0, commands=0)

# Usage may be ahead of time by 5 minutes, and so counted in a month that has not begun (R17, R19).
_AHEAD_MICROS = 5 * MICROS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Prover:
    """What a proof needs.

    Attributes:
        wait_seconds: how long ClickHouse may take to come to the cut; then it is compared as it is.
        say: hears what is waited for, again and again while it is; may raise, to give up.
        look: hears every equation.
    """

    settings: Settings
    wait_seconds: float = 60.0
    say: Callable[[str], None] = lambda _: None
    look: Callable[[Equation], None] = lambda _: None

    async def prove(self) -> Proof:
        """Look at everything once.

        Raises:
            Mendable, SinkError, KafkaError: it cannot be looked at.
        """
        log_id = await check_topics(self.settings)
        clickhouse = ClickHouse(self.settings.clickhouse_url, "system")  # ours is there once the sink has run
        try:
            async with open_reader(self.settings) as reader:
                return Proof(
                    [
                        await self._partition(reader, clickhouse, log_id, number)
                        for number in range(self.settings.partitions)
                    ]
                )
        finally:
            await clickhouse.close()

    async def _partition(self, reader: Reader, clickhouse: ClickHouse, log_id: str, number: int) -> PartitionProof:
        remembered, ends = await self._remembered(reader, number)
        engine = remembered.engine or _NEVER_BEGUN
        (usage_events,) = places(self.settings, [USAGE_EVENTS.name], [number])
        ends[usage_events] = engine.usage
        published, deleted = await self._published(reader, remembered, ends)
        stored = StoredRows(clickhouse, self.settings.clickhouse_database, log_id, number, engine.usage)
        before = {self._name(place.topic): end for place, end in ends.items()}
        billed = StoredBilling(clickhouse, self.settings.clickhouse_database, log_id, number, before)
        found = Found(
            partition=number,
            remembered=remembered,
            published=published,
            stored=await self._stored(stored, published.rows),
            billed=await self._billed(billed, published),
            deleted=deleted,
            first_whole_month=_first_whole_month(published) if PRICED_USAGE.name in deleted else "",
        )
        as_of = AsOf(number, engine.seq, engine.usage, engine.commands, engine.now_micros)
        proof = PartitionProof.of(found, as_of, equations(found), self.look)
        if proof.first is not None:
            billing = BillingLocator(self.settings, reader, found, billed, ends)
            locator = Locator(self.settings, reader, found, stored, billing, ends)
            proof.where = await locator.locate(proof.first)
        return proof

    async def _remembered(self, reader: Reader, number: int) -> tuple[Remembered, dict[TopicPartition, int]]:
        """The memory at a moment between two transactions, and the ends of the topics at that moment."""
        cut = places(self.settings, _CUT, [number])
        (state,) = places(self.settings, [LEDGER_STATE.name], [number])
        remembered = Remembered()
        async for records in reader.from_beginning(await reader.stable_ends([state])):
            remembered.take(records)
        # Only now: what was compacted away while that was read has its successor before this moment.
        self.say(f"partition {number}: looking for a moment between two transactions")
        ends = await reader.still_ends(cut)
        async for records in reader.further({state: ends[state]}):
            remembered.take(records)
        return remembered, ends

    async def _published(self, reader: Reader, remembered: Remembered, ends: Ends) -> tuple[Published, frozenset[str]]:
        """What was published up to the ends, and the topics that do not keep their beginning any more."""
        published = Published(remembered.closed_through)
        wanted = {place: end for place, end in ends.items() if self._name(place.topic) != LEDGER_STATE.name}
        async for records in reader.from_beginning(wanted):
            published.take(self._name(records[0].topic), records)
        # Asked behind the reading: what is deleted meanwhile must not pass for all there ever was.
        beginnings = await reader.beginnings(list(wanted))
        return published, frozenset(self._name(place.topic) for place, first in beginnings.items() if first)

    def _name(self, topic: str) -> str:
        return topic.removeprefix(self.settings.topic_prefix)

    async def _stored(self, stored: StoredRows, priced: PricedRows) -> Sums:
        """The rows in ClickHouse, once it has come to the cut, or has been waited for long enough."""
        deadline = time.monotonic() + self.wait_seconds
        while True:
            exists = await stored.exist()
            marks = await stored.marks() if exists else {}
            behind = [month for month, mark in priced.marks.items() if marks.get(month, (-1, 0, 0)) < mark]
            if not behind or time.monotonic() > deadline:
                return await stored.sums(priced.closed_through) if exists else Sums()
            self.say(f"partition {stored.partition}: waiting for the sink to store {', '.join(sorted(behind))}")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _billed(self, stored: StoredBilling, published: Published) -> BilledSums:
        """Entries and invoices in ClickHouse, likewise."""
        deadline = time.monotonic() + self.wait_seconds
        last = {LEDGER_ENTRIES.name: published.entries.last_offset, INVOICES.name: published.billing.last_offset}
        while True:
            exist = await stored.exist()
            behind = [topic for topic in last if not exist or await stored.last_offset(topic) < last[topic]]
            if not behind or time.monotonic() > deadline:
                return await stored.sums() if exist else BilledSums()
            self.say(f"partition {stored.partition}: waiting for the sink to store {', '.join(behind)}")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def _first_whole_month(published: Published) -> str:
    """The first month of which every row is kept; of a topic that has none at all, a month that never comes."""
    if published.first_kept_millis is None:
        return "9999-12"
    return str(Month.containing(published.first_kept_millis * 1_000 + _AHEAD_MICROS).next())
