"""Tables of events: one event or status per record in, one INSERT out; the mark is Kafka's own offset.

The event goes in as text and the table reads its columns out of it (migrations/0002, 0005 and 0009).
Source: docs/rules.md R24-R29, R34, R38-R40.
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
    columns: tuple[str, ...]
    stored: dict[int, Stored]

    def inserts(self, claim: Claim, records: Sequence[Record]) -> list[Insert]:
        """One insert for all of them: the table has one partition."""
        lines = [_line(claim, record, self.columns) for record in records]
        return [Insert(self._statement(claim), lines, len(lines))]

    def _statement(self, claim: Claim) -> str:
        partitions = numbers(claim.partitions)
        resume = numbers(self.stored[partition].resume for partition in claim.partitions)
        columns = ", ".join(self.columns)
        structure = "".join(f", {name} String" for name in self.columns)
        return (
            f"INSERT INTO {self.table} (log_id, log_partition, log_offset, {columns}) "
            f"SELECT {literal(claim.log_id)}, log_partition, log_offset, {columns} "
            f"FROM input('log_partition UInt32, log_offset UInt64{structure}') "
            f"WHERE {claim.fence()} AND log_offset >= transform(log_partition, {partitions}, {resume}, 0) "
            "FORMAT JSONEachRow"
        )


@dataclass(frozen=True, slots=True)
class EventTable:
    """A table with `log_id`, `log_partition`, `log_offset`, `event`, and columns read out of `event`.

    With `has_key` it keeps the records' keys too, in `key`.
    """

    name: str
    has_key: bool = False

    async def progress(self, clickhouse: ClickHouse, claim: Claim) -> EventProgress:
        """The offset behind the last one stored, per partition."""
        found = dict(
            await clickhouse.rows(
                f"SELECT log_partition, max(log_offset) + 1 FROM {self.name} "
                f"WHERE log_id = {literal(claim.log_id)} AND log_partition IN {numbers(claim.partitions)} "
                "GROUP BY log_id, log_partition"
            )
        )
        columns = ("key", "event") if self.has_key else ("event",)
        stored = {p: Stored(found.get(p, 0), found.get(p, 0)) for p in claim.partitions}
        return EventProgress(self.name, columns, stored)


def _line(claim: Claim, record: Record, columns: tuple[str, ...]) -> bytes:
    line: dict[str, int | str] = {"log_partition": record.partition, "log_offset": record.offset}
    try:
        line["event"] = (record.value or b"").decode()
        if "key" in columns:
            line["key"] = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise Broken(f"{claim.topic}[{record.partition}] offset {record.offset} is not UTF-8: {error}") from None
    return msgspec.json.encode(line) + b"\n"
