"""Reads back what earlier owners of a partition committed: state cells and identities, each topic to its end."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.engine.contract import InvariantBroken
from pipeline.engine.identity import IdentityStore, unpack
from pipeline.engine.inputs import Ends
from pipeline.engine.journal import ENGINE_CELL, EngineCell, JournalLine, decode_cell, decode_journal

log = logging.getLogger(__name__)

_BATCH_RECORDS = 2_000  # some milliseconds of the loop at a time
_LOOK_AGAIN_SECONDS = 0.2


async def check_all_ended(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition], ends: Ends, patience_seconds: float
) -> None:
    """Make sure, after the claim, that Kafka ended every transaction of earlier owners.

    A claim makes the brokers end whatever is open of ours. Some lose the marker that says so (KAFKA-20734): what they
    should have ended is not read back by us, and becomes visible with our next commit, a second time.

    Args:
        tps: what this partition alone writes to.

    Raises:
        InvariantBroken: something is still open after this many seconds.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        written = await ends(tps)  # before the stable ends: those may only be further
        stable = await consumer.end_offsets(tps)
        still_open = {f"{tp.topic}-{tp.partition}": stable[tp] for tp in tps if stable[tp] < written[tp]}
        if not still_open:
            return
        if time.monotonic() > deadline:
            listed = ", ".join(f"{name} from offset {offset}" for name, offset in still_open.items())
            raise InvariantBroken(
                f"records that no transaction ended, after a claim that ends all of ours: {listed}; the brokers lost a "
                "transaction's markers, or another program writes there. See docs/operations.md, hanging transactions"
            )
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def restore_cells(
    consumer: AIOKafkaConsumer, tp: TopicPartition, alive: Callable[[], None]
) -> tuple[EngineCell | None, dict[bytes, bytes]]:
    """The engine's own cell, if the partition was ever begun, and the live cells of the machine.

    To be called after the claim: then nothing of an earlier owner is open any more, and nothing of one can follow.
    """
    cells: dict[bytes, bytes] = {}
    async for records in _read_to_end(consumer, tp, 0, alive):
        for record in records:
            if record.value is None:
                cells.pop(record.key, None)
            else:
                cells[record.key] = record.value
    engine_cell = cells.pop(ENGINE_CELL, None)
    return (decode_cell(engine_cell) if engine_cell else None), cells


def taken_out(cells: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each cell; it is let go of as it is taken, so that none is in memory twice."""
    while cells:
        yield cells.popitem()


async def last_line(consumer: AIOKafkaConsumer, tp: TopicPartition) -> JournalLine | None:
    """The last line of the journal, looked for from its end; None if it has none."""
    first, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    back = 2  # a record, and the marker of its transaction
    begin = end
    while begin > first:
        begin, back = max(first, end - back), back * 10
        line = None
        async for records in _read_to_end(consumer, tp, begin, lambda: None):
            line = records[-1].value
        if line is not None:
            return decode_journal(line)
    return None


async def refill_identities(
    consumer: AIOKafkaConsumer, tp: TopicPartition, store: IdentityStore, alive: Callable[[], None]
) -> None:
    """Bring the store up to the end of `seen-ids`; if it was filled from another log than this, begin it anew."""
    if store.position and not await _is_filled_from(consumer, tp, store):
        log.warning("%s-%d is not what its identities were filled from; filling them anew", tp.topic, tp.partition)
        await asyncio.to_thread(store.begin_anew)
    async for records in _read_to_end(consumer, tp, store.position, alive):
        for record in records:
            now_micros, identities = unpack(record.value)
            store.add(identities, now_micros, record.offset + 1)
            await asyncio.sleep(0)
        await store.catch_up()


async def _is_filled_from(consumer: AIOKafkaConsumer, tp: TopicPartition, store: IdentityStore) -> bool:
    """Whether the record before the store's position is the one it took last.

    It is not where Kafka was restored to an earlier state, or the topic made anew, or where all that it took is gone.
    """
    last = store.position - 1
    consumer.assign([tp])
    first, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
    if not first <= last < end:
        return False
    consumer.seek(tp, last)
    while await consumer.position(tp) < end:
        for record in (await consumer.getmany(tp, timeout_ms=200, max_records=1)).get(tp, ()):
            if record.offset != last:
                return False
            now_micros, identities = unpack(record.value)
            known = list(store.look_up(list(identities)))
            return now_micros == store.position_micros and known == list(identities.values())
    return False


async def _read_to_end(
    consumer: AIOKafkaConsumer, tp: TopicPartition, position: int, alive: Callable[[], None]
) -> AsyncIterator[Sequence[Any]]:
    consumer.assign([tp])
    end = (await consumer.end_offsets([tp]))[tp]
    first = (await consumer.beginning_offsets([tp]))[tp]
    consumer.seek(tp, max(position, first))
    # The position, not the last record's offset: markers of transactions take offsets too.
    while await consumer.position(tp) < end:
        alive()
        if records := (await consumer.getmany(tp, timeout_ms=200, max_records=_BATCH_RECORDS)).get(tp):
            yield records
