"""Priced usage: records of JSON lines in, one INSERT per charge month out, each line handed on as it came.

A row's mark is (input_offset, input_index, leg): in `priced-usage` they only rise within a partition, so in each
charge month of a partition what is stored is a beginning of it, and the largest mark says how long that is.
Source: docs/rules.md R13, R18-R19, R42; docs/decisions/0005-positions-and-fence.md.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sinks.claims import Claim
from sinks.clickhouse import ClickHouse, literal, numbers
from sinks.errors import Broken
from sinks.tables import Insert, Record, Stored, count_lines

Mark = tuple[int, int, int]
"""(input_offset, input_index, leg)"""

# The last place of a Decimal(38, 12): an integer times it keeps every digit, and too many digits are an error.
_PICOUSD = "toDecimal128('0.000000000001', 12)"

# Column of a line → its type there, and what is inserted (None: the column itself). An omitted field is its type's
# zero, so a default other than that is put in here.
_COLUMNS: Mapping[str, tuple[str, str | None]] = {
    "org_id": ("String", None),
    "org_seq": ("UInt64", None),
    "user_id": ("String", None),
    "seat_tier": ("String", None),
    "event_id": ("String", None),
    "source": ("String", None),
    "product": ("String", None),
    "model": ("String", None),
    "price_id": ("String", None),
    "rates_picousd": ("Array(Decimal(38, 0))", None),
    "occurred_at": ("DateTime64(6, 'UTC')", None),
    "arrived_at": ("DateTime64(6, 'UTC')", None),
    "usage_month": ("String", None),
    "charge_month": ("String", None),
    "funding": ("String", None),
    "after_pause": ("Bool", None),
    "processing": ("String", "if(processing = '', 'standard', processing)"),
    "speed": ("String", "if(speed = '', 'standard', speed)"),
    "inference_geo": ("String", None),
    "input_tokens": ("Int64", None),
    "output_tokens": ("Int64", None),
    "cache_read_tokens": ("Int64", None),
    "cache_write_5m_tokens": ("Int64", None),
    "cache_write_1h_tokens": ("Int64", None),
    "web_search_requests": ("Int64", None),
    "cost_picousd": ("Decimal(38, 0)", f"cost_picousd * {_PICOUSD}"),
    "corrects": ("String", None),
    "leg": ("UInt8", None),
    "input_partition": ("UInt32", None),
    "input_offset": ("UInt64", None),
    "input_index": ("UInt32", None),
    # Where the event first lay is left out where it is where it was processed (R43).
    "origin_topic": ("Nullable(String)", "ifNull(origin_topic, 'usage-events')"),
    "origin_partition": ("Nullable(UInt32)", "ifNull(origin_partition, input_partition)"),
    "origin_offset": ("Nullable(UInt64)", "ifNull(origin_offset, input_offset)"),
    "origin_index": ("Nullable(UInt32)", "ifNull(origin_index, input_index)"),
}
LINE_COLUMNS = tuple(_COLUMNS)

# What each kind cost is quantity times rate, and their sum is checked (R12).
_KINDS = {
    "input_usd": "input_tokens",
    "output_usd": "output_tokens",
    "cache_read_usd": "cache_read_tokens",
    "cache_write_5m_usd": "cache_write_5m_tokens",
    "cache_write_1h_usd": "cache_write_1h_tokens",
    "web_search_usd": "web_search_requests",
}
_PARTS = {usd: f"{quantity} * rates_picousd[{at}]" for at, (usd, quantity) in enumerate(_KINDS.items(), start=1)}
_ADDS_UP = f"throwIf({' + '.join(_PARTS.values())} != cost_picousd, 'a row costs other than its parts') = 0"

_STRUCTURE = ", ".join(f"{name} {kind}" for name, (kind, _) in _COLUMNS.items())
_STORED = {name: value or name for name, (_, value) in _COLUMNS.items() if name != "rates_picousd"}
_SELECTED = _STORED | {"model": "splitByChar('@', price_id)[1]", "model_as_sent": "model"}
_SELECTED |= {usd: f"({part}) * {_PICOUSD}" for usd, part in _PARTS.items()}
_TARGETS = ", ".join(name.replace("_picousd", "_usd") for name in _SELECTED)
_VALUES = ", ".join(_SELECTED.values())

# In a JSON string the quotes would be escaped, so this is found in the field alone.
_CHARGE_MONTH = re.compile(rb'"charge_month":"(\d{4}-\d\d)"')


@dataclass(frozen=True, slots=True)
class PricedUsageProgress:
    """The marks: per partition and charge month the largest one stored."""

    marks: dict[tuple[int, str], Mark]
    stored: dict[int, Stored]

    def inserts(self, claim: Claim, records: Sequence[Record]) -> list[Insert]:
        """One insert per charge month among the records, the earliest month first."""
        bodies: dict[str, list[bytes]] = defaultdict(list)
        rows: dict[str, int] = defaultdict(int)
        ranges: dict[int, tuple[int, int]] = {}
        for record in records:
            first, _ = ranges.get(record.partition, (record.offset, 0))
            ranges[record.partition] = (first, record.offset + 1)
            for month, (lines, count) in split_by_month(record).items():
                bodies[month].append(lines)
                rows[month] += count
        return [Insert(self._statement(claim, month, ranges), bodies[month], rows[month]) for month in sorted(bodies)]

    def _statement(self, claim: Claim, month: str, ranges: Mapping[int, tuple[int, int]]) -> str:
        partitions = numbers(ranges)
        block_from = f"transform(input_partition, {partitions}, {numbers(start for start, _ in ranges.values())}, 0)"
        block_to = f"transform(input_partition, {partitions}, {numbers(end for _, end in ranges.values())}, 0)"
        elsewhere = f"input_partition NOT IN {partitions} OR charge_month != {literal(month)}"
        return (
            f"INSERT INTO priced_usage ({_TARGETS}, events, log_id, block_from, block_to) "
            f"SELECT {_VALUES}, if(leg = 0 AND corrects != '', -1, 1), "
            f"{literal(claim.log_id)}, {block_from}, {block_to} "
            f"FROM input({literal(_STRUCTURE)}) "
            f"WHERE {claim.fence()} "
            f"AND throwIf({elsewhere}, 'a row lies in a partition or a month that is not its own') = 0 "
            f"AND {_ADDS_UP} "
            f"AND {self._beyond(month, ranges)} "
            "FORMAT JSONEachRow"
        )

    def _beyond(self, month: str, partitions: Mapping[int, object]) -> str:
        """Whether a row lies beyond the mark of its partition; all do where nothing of the month is stored."""
        cases = "".join(
            f"input_partition = {partition}, (input_offset, input_index, leg) > {self.marks[partition, month]}, "
            for partition in partitions
            if (partition, month) in self.marks
        )
        return f"multiIf({cases}true)" if cases else "true"


class PricedUsage:
    """The table `priced_usage`."""

    name = "priced_usage"

    async def progress(self, clickhouse: ClickHouse, claim: Claim) -> PricedUsageProgress:
        """Read from the projection `marks`; a few rows, whatever the table's size."""
        found = await clickhouse.rows(
            "SELECT input_partition, charge_month, "
            "max((input_offset, input_index, leg)), max(block_from), max(block_to) "
            f"FROM priced_usage WHERE log_id = {literal(claim.log_id)} "
            f"AND input_partition IN {numbers(claim.partitions)} GROUP BY log_id, input_partition, charge_month"
        )
        marks: dict[tuple[int, str], Mark] = {}
        stored = {partition: Stored() for partition in claim.partitions}
        for partition, month, mark, block_from, block_to in found:
            marks[partition, month] = tuple(mark)
            # Blocks of a partition follow each other, and the next begins when all months of the last are stored.
            # So before the latest block of which anything is stored, everything is.
            so_far = stored[partition]
            stored[partition] = Stored(max(so_far.resume, block_from), max(so_far.seen_to, block_to))
        return PricedUsageProgress(marks, stored)


def split_by_month(record: Record) -> dict[str, tuple[bytes, int]]:
    """The lines of a record by charge month, each with how many they are, in their order.

    Nearly always there is one month, and then no line is touched: two searches through the bytes show it.

    Raises:
        Broken: a line without a charge month.
    """
    value = record.value or b""
    count = count_lines(value)
    first = _CHARGE_MONTH.search(value)
    if first is not None and value.count(first[0]) == count:
        return {first[1].decode(): (value if value.endswith(b"\n") else value + b"\n", count)}
    lines: dict[str, list[bytes]] = defaultdict(list)
    for line in value.splitlines(keepends=True):
        month = _CHARGE_MONTH.search(line)
        if month is None:
            raise Broken(
                f"priced-usage[{record.partition}] offset {record.offset} holds a line without a charge_month; "
                "only the ledger may write this topic"
            )
        lines[month[1].decode()].append(line if line.endswith(b"\n") else line + b"\n")
    return {month: (b"".join(of_month), len(of_month)) for month, of_month in lines.items()}
