"""Tables of events: one CloudEvent per record in, one INSERT out; the mark is Kafka's own offset.

The event goes in as text and the table reads its columns out of it (migrations/0002 and 0005).
Source: docs/rules.md R24-R29, R38-R40.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sinks.claims import Claim
from sinks.clickhouse import ClickHouse, literal, numbers
from sinks.errors import Broken
from sinks.tables import Insert, Record, Stored


@dataclass(frozen=True, slots=True)
class EventProgress:
    """Records before `stored[partition].resume` are in the table, and no others."""

    table: str
    stored: dict[int, Stored]

    def inserts(self, claim: Claim, records: Sequence[Record]) -> list[Insert]:
        """One insert for all of them: the table has one partition."""
        lines = [_line(claim, record) for record in records]
        return [Insert(self._statement(claim), lines, len(lines))]

    def _statement(self, claim: Claim) -> str:
        partitions = numbers(claim.partitions)
        resume = numbers(self.stored[partition].resume for partition in claim.partitions)
        return (
            f"INSERT INTO {self.table} (log_id, log_partition, log_offset, event) "
            f"SELECT {literal(claim.log_id)}, log_partition, log_offset, event "
            "FROM input('log_partition UInt32, log_offset UInt64, event String') "
            f"WHERE {claim.fence()} AND log_offset >= transform(log_partition, {partitions}, {resume}, 0) "
            "FORMAT JSONEachRow"
        )


@dataclass(frozen=True, slots=True)
class EventTable:
    """A table with `log_id`, `log_partition`, `log_offset`, `event`, and columns read out of `event`."""

    name: str

    async def progress(self, clickhouse: ClickHouse, claim: Claim) -> EventProgress:
        """The offset behind the last one stored, per partition."""
        found = dict(
            await clickhouse.rows(
                f"SELECT log_partition, max(log_offset) + 1 FROM {self.name} "
                f"WHERE log_id = {literal(claim.log_id)} AND log_partition IN {numbers(claim.partitions)} "
                "GROUP BY log_id, log_partition"
            )
        )
        return EventProgress(self.name, {p: Stored(found.get(p, 0), found.get(p, 0)) for p in claim.partitions})


def _line(claim: Claim, record: Record) -> bytes:
    try:
        event = (record.value or b"").decode()
    except UnicodeDecodeError as error:
        raise Broken(f"{claim.topic}[{record.partition}] offset {record.offset} is not UTF-8: {error}") from None
    return msgspec.json.encode({"log_partition": record.partition, "log_offset": record.offset, "event": event}) + b"\n"
