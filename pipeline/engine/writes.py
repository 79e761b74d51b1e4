"""What a transaction writes: effects and positions go in, records by topic and partition come out."""

from collections.abc import Mapping, Set

from aiokafka import TopicPartition

from pipeline.engine.contract import Effects, Forward, InvariantBroken, Place
from pipeline.engine.identity import pack
from pipeline.engine.journal import ENGINE_CELL, EngineCell, Kind, encode_cell, encode_journal
from pipeline.engine.partitioning import partition_of
from pipeline.engine.records import arrival_micros, forward_headers
from pipeline.engine.settings import EngineSettings
from pipeline.engine.transaction import Write


def writes_of(
    settings: EngineSettings,
    partition: int,
    kind: Kind,
    effects: Effects,
    before: EngineCell,
    after: EngineCell,
    quarantined: Set[Place],
    versions: Mapping[str, str | int],
) -> dict[TopicPartition, list[Write]]:
    """Everything of one transaction; all goes to this partition's number but the forwards.

    Args:
        quarantined: the places among the records read that were set aside.

    Raises:
        InvariantBroken: a cell under the engine's own key, or a forward that is not one.
    """

    def here(topic: str) -> TopicPartition:
        return TopicPartition(settings.topic(topic), partition)

    writes = {
        here(topic): [Write(key, value, list(headers)) for key, value, headers in records]
        for topic, records in effects.outputs.items()
        if records
    }
    if any(key.startswith(b"\x00") for key in effects.cells):
        raise InvariantBroken("a cell's key begins with a zero byte; those are the engine's")
    writes[here(settings.ledger_state)] = [
        *(Write(key, value) for key, value in effects.cells.items()),
        Write(ENGINE_CELL, encode_cell(after)),
    ]
    line = encode_journal(kind, before, after, quarantined, versions)
    writes[here(settings.ledger_journal)] = [Write(None, line)]
    if effects.identities:
        packed = pack(effects.identities, after.identified_micros)
        writes[here(settings.seen_ids)] = [Write(None, value) for value in packed]
    for forward in effects.forwards:
        tp, write = _forwarded(settings, partition, after.partitions, forward)
        writes.setdefault(tp, []).append(write)
    return writes


def _forwarded(
    settings: EngineSettings, partition: int, partitions: int, forward: Forward
) -> tuple[TopicPartition, Write]:
    topic = settings.inputs[forward.input]
    target = partition_of(forward.key, partitions)
    if target == partition:
        raise InvariantBroken(f"{topic}: key {forward.key!r} is at home in partition {partition}, yet was forwarded")
    # Without the prefix, as the ledger and the sink name it: where it lay does not depend on what a cluster is called.
    name = settings.usage_events if forward.input == "usage" else settings.account_commands
    headers = forward_headers(forward, name, partition)
    # Where producers set the time (replay), the copy bears the first arrival too.
    return TopicPartition(topic, target), Write(
        forward.key, forward.value, headers, arrival_micros(forward.source) // 1_000
    )
