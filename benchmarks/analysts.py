"""`python -m benchmarks analysts`: how long each view takes on many rows; sizes in, a table out, no Kafka.

Rows are made inside ClickHouse, shaped like real ones: July to noon of 18 September 2026, some organisations and
members far busier than others, most tokens read from a cache, one row in a hundred late, some after a pause. Each view
is asked for a middling organisation, for the busiest and for all of them, in the running month where it has months; all
columns of all rows, which ClickHouse computes and throws away. Printed is the median of the runs.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import clickhouse_connect

from pipeline.embedded.clickhouse import EmbeddedClickHouse
from pipeline.list_prices import list_prices
from sinks.clickhouse import ClickHouse
from sinks.list_prices import store_prices
from sinks.migrate import Migration, migrate
from sinks.sink import accept_log

MONTHS = {"2026-07": 31, "2026-08": 31, "2026-09": 18}
_SQL = Path(__file__).with_name("analysts_rows.sql")
DAYS = sum(MONTHS.values())
ROWS_AT_ONCE = 2_000_000
HIDDEN = {"made_members", "made_organizations", "ledger_time", "charged_usage", "invoice_line_events", "double_entry"}
"""Not asked as a whole: ours; one row; or a row for each of a table's, meant for one organisation's month or line."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is; the busiest organisation has the square root's share of one in so many."""

    rows: int
    organizations: int
    members: int


def main(size: Size, runs: int, folder: Path | None) -> None:
    """Make the rows (in `folder`, where they may lie already), ask, print."""
    with TemporaryDirectory() as temporary, EmbeddedClickHouse(folder or Path(temporary)) as engine:
        client = clickhouse_connect.get_client(dsn=engine.url, send_receive_timeout=3_600)
        if not client.command("EXISTS DATABASE benchmark"):
            began = time.monotonic()
            asyncio.run(_prepare(engine.url))
            client.database = "benchmark"
            _fill(client, size)
            print(f"{size.rows:,} rows made in {time.monotonic() - began:,.0f} s", flush=True)
        client.database = "benchmark"
        _describe(client)
        _measure(client, size, runs)
        client.close()


async def _prepare(url: str) -> None:
    database = ClickHouse(url, "benchmark")
    await migrate(database)
    await store_prices(database, list_prices())
    await accept_log(database, "log")
    await database.close()


def _fill(client: Any, size: Size) -> None:
    rows, *beside = Migration(0, _SQL.stem, _SQL.read_text(encoding="utf-8")).statements
    start = 0
    for month, days in MONTHS.items():
        left = size.rows * days // DAYS
        while left > 0:
            count = min(left, ROWS_AT_ONCE)
            _run(client, rows, size, month=month, days=days, start=start, count=count)
            start, left = start + count, left - count
    for statement in beside:
        _run(client, statement, size)
    while int(client.command("SELECT count() FROM system.merges")):
        time.sleep(1)


def _run(client: Any, statement: str, size: Size, **values: Any) -> None:
    sizes = {"rows": size.rows, "organizations": size.organizations, "members": size.members, "burns": size.rows // 50}
    client.command(Template(statement).substitute(sizes | values), settings={"max_insert_block_size": ROWS_AT_ONCE})


def _describe(client: Any) -> None:
    for table, rows, size, parts in client.query(
        "SELECT table, sum(rows), formatReadableSize(sum(bytes_on_disk)), count() FROM system.parts "
        "WHERE active AND database = 'benchmark' GROUP BY table HAVING sum(rows) > 1000 ORDER BY sum(rows) DESC"
    ).result_rows:
        print(f"  {table:20} {rows:13,} rows  {size:>12}  {parts:4} parts")
    for name, rows, size in client.query(
        "SELECT name, sum(rows), formatReadableSize(sum(bytes_on_disk)) FROM system.projection_parts "
        "WHERE active AND database = 'benchmark' GROUP BY name ORDER BY name"
    ).result_rows:
        print(f"    projection {name:14} {rows:9,} rows  {size:>12}", flush=True)


def _measure(client: Any, size: Size, runs: int) -> None:
    views = [
        name
        for (name,) in client.query(
            "SELECT name FROM system.tables WHERE database = 'benchmark' AND engine = 'View' ORDER BY name"
        ).result_rows
        if name not in HIDDEN
    ]
    columns = {
        (table, name)
        for table, name in client.query(
            "SELECT table, name FROM system.columns WHERE database = 'benchmark'"
        ).result_rows
    }
    middling = f"org-{size.organizations // 4:05d}"
    print(f"{'ms':28} {middling:>12} {'org-00000':>12} {'all':>12}")
    for view in views:
        month = "month = '2026-09'" if (view, "month") in columns and view not in _BILLED else ""
        month = month or ("month = '2026-08'" if (view, "month") in columns else "")
        asked = [
            " AND ".join(filter(None, (f"org_id = '{org_id}'" if org_id else "", month)))
            for org_id in (middling, "org-00000", "")
        ]
        times = [_median_ms(client, view, condition, runs) for condition in asked]
        print(f"{view:28} " + " ".join(f"{ms:12,.0f}" for ms in times), flush=True)


_BILLED = {"invoices", "invoice_lines", "credit_notes", "statements"}


def _median_ms(client: Any, view: str, condition: str, runs: int) -> float:
    query = f"SELECT * FROM {view}{' WHERE ' + condition if condition else ''}"
    measured: Sequence[float] = [_once_ms(client, query) for _ in range(runs)]
    return statistics.median(measured)


def _once_ms(client: Any, query: str) -> float:
    began = time.perf_counter()
    client.raw_query(query, fmt="Null")
    return (time.perf_counter() - began) * 1_000
