"""What the tests of the sink's SQL stand on: rows and events in, a database that holds them out, without Kafka."""

from collections.abc import Sequence

import msgspec

from schemas.events import LedgerEvent, envelope
from schemas.priced import PricedUsage as PricedRow
from sinks.claims import Claim, take_over
from sinks.clickhouse import ClickHouse
from sinks.event_table import EventTable
from sinks.priced_usage import PricedUsage
from sinks.tables import Insert, Table
from tests.support.sink_world import KafkaRecord, json_lines

TOPIC = "priced-usage"


async def claim_of(database: ClickHouse, *partitions: int, topic: str = TOPIC, log_id: str = "log-1") -> Claim:
    """Claim partitions of a topic."""
    return await take_over(database, log_id, topic, partitions)


async def store(database: ClickHouse, claim: Claim, *records: KafkaRecord, table: Table | None = None) -> list[int]:
    """Read the marks, insert, and say how many rows each insert wrote."""
    progress = await (table or PricedUsage()).progress(database, claim)
    return [await send(database, claim, insert) for insert in progress.inserts(claim, records)]


async def send(database: ClickHouse, claim: Claim, insert: Insert) -> int:
    """How many rows one insert wrote."""
    return await database.insert(insert.statement, insert.body, log_comment=claim.name)


async def store_rows(database: ClickHouse, *rows: PricedRow) -> None:
    """One record of rows at rising positions of partition 0."""
    placed = [row.model_copy(update={"input_offset": offset}) for offset, row in enumerate(rows)]
    await store(database, await claim_of(database, 0), KafkaRecord(0, json_lines(placed)))


async def store_events(database: ClickHouse, table: str, claim: Claim, events: Sequence[LedgerEvent]) -> int:
    """Each a record, from offset 0 on; how many were written."""
    records = [KafkaRecord(n, msgspec.json.encode(envelope(event))) for n, event in enumerate(events)]
    (written,) = await store(database, claim, *records, table=EventTable(table))
    return written


async def projections(database: ClickHouse, query: str) -> list[str]:
    """What the query reads: names of projections, or of the table where none serves."""
    plan = [line for (line,) in await database.rows(f"EXPLAIN {query}")]
    return [line.split("(")[1].rstrip(")") for line in plan if "ReadFromMergeTree" in line]
