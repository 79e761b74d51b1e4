"""Where a difference in billing lies: an equation that does not hold comes in; a sentence goes out.

Named are: a record that is in Kafka or ClickHouse alone, twice, or says something else there; an invoice or statement
that does not go on from those before it, or is not what its lines are; an entry whose invoice is nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.proof.closing import OWED
from pipeline.proof.equation import CLICKHOUSE, Equation, Found
from pipeline.proof.records import at, read
from pipeline.proof.stored_billing import TABLES, StoredBilling, StoredEvent
from pipeline.reading import Ends, Reader, Record, places
from pipeline.settings import Settings
from pipeline.topics import INVOICES, LEDGER_ENTRIES


class _Data(msgspec.Struct):
    org_id: str
    amount_picousd: str = "0"
    exact_picousd: str = "0"


class _Envelope(msgspec.Struct):
    id: str
    data: _Data


_decode: Any = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class BillingLocator:
    """Looks closer at what was billed in one partition, as of the ends at which the difference was found."""

    settings: Settings
    reader: Reader
    found: Found
    stored: StoredBilling
    ends: Ends

    async def locate(self, equation: Equation) -> str | None:
        """The first thing to look at; None if that is not in billing."""
        values, org_id = equation.values, equation.org_id
        for topic in TABLES:
            is_stored_otherwise = values.get(topic, 0) != values.get(CLICKHOUSE, values.get(topic, 0))
            if is_stored_otherwise and (amiss := await self._record_amiss(topic, org_id)):
                return amiss
        if "debits" in values and (amiss := await self._record_amiss(LEDGER_ENTRIES.name, org_id)):
            return amiss
        billing = self.found.published.billing
        if "the statement" in values:
            return billing.breaks.get(org_id) or billing.statements[org_id, equation.month].place
        if OWED in values:
            missing = f"{INVOICES.name}: nothing of {org_id} closes {equation.month}"
            return self._invoice_amiss(org_id) or billing.breaks.get(org_id) or missing
        if INVOICES.name in values or "invoices + drafts" in values:
            return self._invoice_amiss(org_id) or billing.breaks.get(org_id)
        return None

    def _invoice_amiss(self, org_id: str) -> str | None:
        """An entry that clears the burn of an invoice which is not there."""
        invoices = self.found.published.billing.invoices
        for invoice, place in self.found.published.entries.invoices.items():
            if invoice[0] == org_id and invoice not in invoices:
                return f"{place}: its invoice {invoice[1]} is not in {INVOICES.name}"
        return None

    async def _record_amiss(self, topic: str, org_id: str) -> str | None:
        """The first record, of one organisation or of all, that Kafka and ClickHouse do not have alike."""
        (place,) = places(self.settings, [topic], [self.found.partition])
        begin = 0
        async for records in self.reader.from_beginning({place: self.ends[place]}):
            stored = await self.stored.events(topic, org_id, begin, records[-1].offset)
            if amiss := _first_difference(topic, org_id, records, stored):
                return amiss
            begin = records[-1].offset + 1
        beyond = await self.stored.events(topic, org_id, begin, self.ends[place])
        return f"{_in_clickhouse(beyond[0])} is not in {topic}" if beyond else None


def _first_difference(topic: str, org_id: str, records: Sequence[Record], stored: Sequence[StoredEvent]) -> str | None:
    """Both in the order of their offsets."""
    rest, last = iter(stored), -1
    for record in records:
        envelope: _Envelope = read(_decode, record)
        if org_id not in ("", envelope.data.org_id):
            continue
        twin = next(rest, None)
        if twin is not None and twin.offset == last:
            return f"{_in_clickhouse(twin)} is there twice"
        if twin is None or twin.offset > record.offset:
            return f"{at(record)}: {envelope.id} is not in {CLICKHOUSE}"
        if twin.offset < record.offset:
            return f"{_in_clickhouse(twin)} is not in {topic}"
        amount = TABLES[topic][1]
        ours = StoredEvent(record.offset, envelope.id, int(getattr(envelope.data, f"{amount}_picousd")))
        if ours != twin:
            return f"{at(record)}: {_shown(ours)} is {_shown(twin)} in {CLICKHOUSE}"
        last = twin.offset
    extra = next(rest, None)
    if extra is None:
        return None
    return f"{_in_clickhouse(extra)} is {'there twice' if extra.offset == last else f'not in {topic}'}"


def _shown(event: StoredEvent) -> str:
    return f"{event.id} of {event.amount_picousd} picodollars"


def _in_clickhouse(event: StoredEvent) -> str:
    return f"{CLICKHOUSE}: {event.id} (log_offset {event.offset})"
