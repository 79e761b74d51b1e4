"""Where a difference lies: an equation that does not hold comes in; a sentence with topic and offset goes out.

A second reading, of one organisation. It names what can be seen: a row that comes twice, a number that nothing bears,
a row that is in one place and not in the other or says something else there, an entry that does not go on from the one
before it; or else the cell that differs from the rest.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from pipeline.proof.equation import CLICKHOUSE, Equation, Found
from pipeline.proof.locating_billing import BillingLocator
from pipeline.proof.published import Mark, Row, rows_of
from pipeline.proof.records import at, read
from pipeline.proof.stored import StoredRow, StoredRows
from pipeline.reading import Ends, Reader, places
from pipeline.settings import Settings
from pipeline.topics import (
    ACCOUNT_EVENTS,
    INVOICES,
    LEDGER_ENTRIES,
    LEDGER_STATE,
    LIMIT_BREACHES,
    NOTIFICATIONS,
    PRICED_USAGE,
    RELOAD_REQUESTS,
)

_NUMBERED = tuple(
    topic.name for topic in (LIMIT_BREACHES, ACCOUNT_EVENTS, LEDGER_ENTRIES, INVOICES, RELOAD_REQUESTS, NOTIFICATIONS)
)
"""What bears an `org_seq` beside rows, under the organisation's id as key."""

_BATCH_ROWS = 5_000


class _Published(NamedTuple):
    """A row in Kafka, and where it lies."""

    row: StoredRow
    place: str


class _Numbered(msgspec.Struct):
    org_seq: int


class _Envelope(msgspec.Struct):
    data: _Numbered


_decode_numbered: Any = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class Locator:
    """Looks closer at one partition, as of the ends at which the difference was found."""

    settings: Settings
    reader: Reader
    found: Found
    stored: StoredRows
    billing: BillingLocator
    ends: Ends

    async def locate(self, equation: Equation) -> str:
        """The first thing to look at."""
        values, org_id = equation.values, equation.org_id
        published, remembered = values.get(PRICED_USAGE.name), values.get(LEDGER_STATE.name)
        disorder = self.found.published.rows.disorder
        if org_id and published is not None:
            if org_id in disorder:
                return disorder[org_id]
            if published != remembered and (number := await self._number_amiss(org_id)):
                return number
            if published != values.get(CLICKHOUSE) and (row := await self._row_amiss(org_id)):
                return row
        elif billed := await self.billing.locate(equation):
            return billed
        return self._entry_amiss(equation) or self._cell(equation)

    # Numbers: every output of an organisation bears the next one (R29), so each belongs to something.

    async def _number_amiss(self, org_id: str) -> str | None:
        """A number that nothing bears, so that a row is missing; or a row with one that was never given out."""
        others = await self._numbers_of_others(org_id)
        if others is None:
            return None
        given = self.found.remembered.org_seqs.get(org_id, 0)
        before, place_before = 0, "its beginning"
        async for row, place in self._published(org_id):
            if row.org_seq > given:
                return f"{place}: org_seq {row.org_seq} of {org_id}, whose last number is {given}"
            if lost := _first_missing(before, row.org_seq, others):
                return f"org_seq {lost} of {org_id} is nowhere: a row is missing between {place_before} and {place}"
            before, place_before = row.org_seq, place
        if lost := _first_missing(before, given + 1, others):
            return f"org_seq {lost} of {org_id} is nowhere: a row is missing after {place_before}"
        return None

    async def _numbers_of_others(self, org_id: str) -> set[int] | None:
        """What is borne by anything but rows; None where not everything is kept any more."""
        topics = places(self.settings, _NUMBERED, [self.found.partition])
        if PRICED_USAGE.name in self.found.deleted or any((await self.reader.beginnings(topics)).values()):
            return None
        numbers = set()
        async for records in self.reader.from_beginning(await self.reader.stable_ends(topics)):
            for record in records:
                if record.key == org_id.encode():
                    numbers.add(read(_decode_numbered, record).data.org_seq)
        return numbers

    # Rows, one by one.

    async def _row_amiss(self, org_id: str) -> str | None:
        """The first row that Kafka and ClickHouse do not both have, once and alike."""
        last: Mark = (0, 0, 0)
        is_first = True
        async for batch in self._batches(org_id):
            begin = batch[0].row.mark if is_first and PRICED_USAGE.name in self.found.deleted else last
            stored = await self.stored.rows(org_id, begin, batch[-1].row.mark)
            if not is_first:
                stored = [row for row in stored if row.mark != last]  # looked at with the batch before
            if amiss := _first_difference(batch, stored):
                return amiss
            last, is_first = batch[-1].row.mark, False
        for row in await self.stored.rows(org_id, last, None):
            if is_first or row.mark != last:
                return f"{_in_clickhouse(row)} is not in {PRICED_USAGE.name}"
        return None

    async def _batches(self, org_id: str) -> AsyncIterator[list[_Published]]:
        batch: list[_Published] = []
        async for published in self._published(org_id):
            batch.append(published)
            if len(batch) >= _BATCH_ROWS and published.row.mark != batch[-2].row.mark:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _published(self, org_id: str) -> AsyncIterator[_Published]:
        (place,) = places(self.settings, [PRICED_USAGE.name], [self.found.partition])
        async for records in self.reader.from_beginning({place: self.ends[place]}):
            for record in records:
                for line, row in enumerate(rows_of(record), start=1):
                    if row.org_id == org_id:
                        yield _Published(_comparable(row), f"{at(record)}, line {line}")

    # Entries and cells.

    def _entry_amiss(self, equation: Equation) -> str | None:
        if LEDGER_ENTRIES.name not in equation.values:
            return None
        breaks = self.found.published.entries.breaks
        accounts = [account for account in breaks if account[0] == equation.org_id]
        named = [account for account in accounts if equation.name.endswith(account[1])]
        return breaks[(named or accounts)[0]] if accounts else None

    def _cell(self, equation: Equation) -> str:
        org_id, month = equation.org_id, equation.month
        key: tuple[str, ...]
        if equation.member:
            key = ("member_month", org_id, equation.member, month)
        elif equation.seat_tier:
            key = ("tier_month", org_id, month, equation.seat_tier)
        elif month:
            key = ("organization_month", org_id, month)
        elif org_id:
            key = ("organization" if equation.name.endswith("unbilled") else "wallet", org_id)
        else:
            key = ("counters",)
        offset = self.found.remembered.offset_of(*key)
        where = f"{self.settings.topic_prefix}{LEDGER_STATE.name}[{self.found.partition}]"
        return (
            f"{where} offset {offset}: cell {' '.join(key)}" if offset is not None else f"{where}: no {' '.join(key)}"
        )


def _first_missing(before: int, until: int, others: set[int]) -> int | None:
    return next((number for number in range(before + 1, until) if number not in others), None)


def _first_difference(published: Sequence[_Published], stored: Sequence[StoredRow]) -> str | None:
    """Both in the order of their marks."""
    rest = iter(stored)
    before: StoredRow | None = None
    for row, place in published:
        twin = next(rest, None)
        if twin is None or twin.mark > row.mark:
            return f"{place}: org_seq {row.org_seq} of the organisation is not in {CLICKHOUSE}"
        if twin.mark < row.mark:
            return _one_too_many(twin, before)
        for name, ours, theirs in zip(StoredRow._fields, row, twin, strict=True):
            if ours != theirs:
                return f"{place}: org_seq {row.org_seq}: {name} is {ours} there and {theirs} in {CLICKHOUSE}"
        before = twin
    extra = next(rest, None)
    return _one_too_many(extra, before) if extra is not None else None


def _one_too_many(row: StoredRow, before: StoredRow | None) -> str:
    if before is not None and row.mark == before.mark:
        return f"{_in_clickhouse(row)} is there twice"
    return f"{_in_clickhouse(row)} is not in {PRICED_USAGE.name}"


def _in_clickhouse(row: StoredRow) -> str:
    offset, index, leg = row.mark
    return f"{CLICKHOUSE}: org_seq {row.org_seq} (input_offset {offset}, input_index {index}, leg {leg})"


def _comparable(row: Row) -> StoredRow:
    return StoredRow(
        row.mark,
        row.org_seq,
        row.user_id,
        row.seat_tier,
        row.usage_month,
        row.charge_month,
        row.funding,
        int(row.cost_picousd),
    )
