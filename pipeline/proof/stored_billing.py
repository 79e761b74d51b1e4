"""Ledger entries and invoices as ClickHouse holds them, of one partition up to the cut: sums, and single records."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.proof.sums import OrganizationMonth
from pipeline.topics import INVOICES, LEDGER_ENTRIES
from sinks.clickhouse import ClickHouse, literal

TABLES = {LEDGER_ENTRIES.name: ("ledger_entries", "amount"), INVOICES.name: ("billing_events", "exact")}
"""Where a topic's records are stored, and the amount by which two of them are compared."""

_DOUBLE_ENTRY = "double_entry"

# Dollars with twelve decimals, as the whole number that they are inside.
_PICOUSD = "toString(reinterpret({}, 'Int128'))"


@dataclass(slots=True)
class BilledSums:
    """What it adds up to.

    Attributes:
        counts: records by topic.
        balances: by organisation and account.
        exact, sums: of finalised invoices: what their usage costs; total and what is carried.
        debits, credits: of the double entry.
    """

    counts: Counter[str] = field(default_factory=Counter)
    balances: Counter[tuple[str, str]] = field(default_factory=Counter)
    exact: Counter[OrganizationMonth] = field(default_factory=Counter)
    sums: Counter[OrganizationMonth] = field(default_factory=Counter)
    debits: Counter[OrganizationMonth] = field(default_factory=Counter)
    credits: Counter[OrganizationMonth] = field(default_factory=Counter)


class StoredEvent(NamedTuple):
    """A record, as it is compared with that in Kafka."""

    offset: int
    id: str
    amount_picousd: int


@dataclass(frozen=True, slots=True)
class StoredBilling:
    """The records of one partition of one Kafka log, before an offset of each topic."""

    clickhouse: ClickHouse
    database: str
    log_id: str
    partition: int
    before: Mapping[str, int]

    async def exist(self) -> bool:
        """Whether the sink has made the tables, and the view over them, yet."""
        names = [_DOUBLE_ENTRY, *(table for table, _ in TABLES.values())]
        ((made,),) = await self.clickhouse.rows(
            f"SELECT count() FROM system.tables WHERE database = {literal(self.database)} "
            f"AND name IN ({', '.join(map(literal, names))})"
        )
        return bool(made == len(names))

    async def last_offset(self, topic: str) -> int:
        """Of the last record stored; -1 if there is none. All before it are stored (decision 5)."""
        found = await self.clickhouse.rows(
            f"SELECT max(log_offset) FROM {self._table(topic)} WHERE {self._mine} GROUP BY log_id, log_partition"
        )
        return int(found[0][0]) if found else -1

    async def sums(self) -> BilledSums:
        """What the records add up to."""
        sums = BilledSums()
        entries, events = self._of(LEDGER_ENTRIES.name), self._of(INVOICES.name)
        rows = self.clickhouse.rows
        for topic in TABLES:
            ((sums.counts[topic],),) = await rows(f"SELECT count() FROM {self._of(topic)}")
        for org_id, account, usd in await rows(
            f"SELECT org_id, account, {_PICOUSD.format('sum(amount_usd)')} FROM {entries} GROUP BY org_id, account"
        ):
            sums.balances[org_id, account] = int(usd)
        for org_id, month, exact, total in await rows(
            f"SELECT org_id, month, {_PICOUSD.format('sum(exact_usd)')}, "
            f"{_PICOUSD.format('sum(total_usd + carried_usd)')} FROM {events} "
            "AND type = 'usage-credits.invoice.finalized' GROUP BY org_id, month"
        ):
            sums.exact[org_id, month], sums.sums[org_id, month] = int(exact), int(total)
        for org_id, month, debit, credit in await rows(
            f"SELECT org_id, charge_month, {_PICOUSD.format('sum(debit_usd)')}, {_PICOUSD.format('sum(credit_usd)')} "
            f"FROM `{self.database}`.{_DOUBLE_ENTRY} WHERE (org_id, entry_id) IN (SELECT org_id, id FROM {entries}) "
            "GROUP BY org_id, charge_month"
        ):
            sums.debits[org_id, month], sums.credits[org_id, month] = int(debit), int(credit)
        return sums

    async def events(self, topic: str, org_id: str, first: int, last: int) -> list[StoredEvent]:
        """The records of one organisation, or of all, from one offset to another, both included, in order."""
        amount = _PICOUSD.format(f"{TABLES[topic][1]}_usd")
        of_organization = f"AND org_id = {literal(org_id)}" if org_id else ""
        found = await self.clickhouse.rows(
            f"SELECT log_offset, id, {amount} FROM {self._of(topic)} {of_organization} "
            f"AND log_offset BETWEEN {first} AND {last} ORDER BY log_offset"
        )
        return [StoredEvent(offset, id_, int(usd)) for offset, id_, usd in found]

    def _table(self, topic: str) -> str:
        return f"`{self.database}`.{TABLES[topic][0]}"

    @property
    def _mine(self) -> str:
        return f"log_id = {literal(self.log_id)} AND log_partition = {self.partition}"

    def _of(self, topic: str) -> str:
        """Table and condition."""
        return f"{self._table(topic)} WHERE {self._mine} AND log_offset < {self.before[topic]}"
