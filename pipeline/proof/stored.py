"""What ClickHouse holds of one partition up to a position: sums, marks, and single rows to find one that differs."""

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.proof.published import Mark
from pipeline.proof.sums import Sums
from sinks.clickhouse import ClickHouse, literal

# Dollars with twelve decimals, as the whole number that they are inside.
_PICOUSD = "toString(reinterpret({}, 'Int128'))"
_MARK = "(input_offset, input_index, leg)"


class StoredRow(NamedTuple):
    """A row as it is compared with that in Kafka."""

    mark: Mark
    org_seq: int
    user_id: str
    seat_tier: str
    usage_month: str
    charge_month: str
    funding: str
    cost_picousd: int


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The rows of one partition of one Kafka log, of usage before an offset of `usage-events`."""

    clickhouse: ClickHouse
    database: str
    log_id: str
    partition: int
    before_offset: int

    async def exist(self) -> bool:
        """Whether the sink has made its table yet."""
        ((tables,),) = await self.clickhouse.rows(
            f"SELECT count() FROM system.tables WHERE database = {literal(self.database)} AND name = 'priced_usage'"
        )
        return bool(tables)

    async def marks(self) -> dict[str, Mark]:
        """How far each charge month is stored: the sink inserts it in order, so all before its mark is (decision 5)."""
        found = await self.clickhouse.rows(
            f"SELECT charge_month, max({_MARK}) FROM {self._table} WHERE log_id = {literal(self.log_id)} "
            f"AND input_partition = {self.partition} GROUP BY log_id, input_partition, charge_month"
        )
        return {month: (mark[0], mark[1], mark[2]) for month, mark in found}

    async def sums(self, closed_through: str) -> Sums:
        """What the rows add up to; of tiers and members in months after `closed_through`."""
        sums = Sums()
        for org_id, month, funding, is_own, rows, events, cost in await self.clickhouse.rows(
            "SELECT org_id, charge_month, funding, usage_month = charge_month AS is_own, count(), countIf(leg = 0), "
            f"{_PICOUSD.format('sum(cost_usd)')} FROM {self._table} WHERE {self._mine} "
            "GROUP BY org_id, charge_month, funding, is_own"
        ):
            found = sums.months[org_id, month]
            sums.rows += rows
            sums.events += events
            found.rows += rows
            if funding != "credits":
                found.included_picousd += int(cost)
            elif is_own:
                found.spend_picousd += int(cost)
            else:
                found.prior_period_picousd += int(cost)
        for org_id, month, tier, user_id, cost in await self.clickhouse.rows(
            f"SELECT org_id, charge_month, seat_tier, user_id, {_PICOUSD.format('sum(cost_usd)')} FROM {self._table} "
            f"WHERE {self._mine} AND funding = 'credits' AND usage_month = charge_month "
            f"AND charge_month > {literal(closed_through)} GROUP BY org_id, charge_month, seat_tier, user_id"
        ):
            sums.tiers[org_id, month, tier] += int(cost)
            sums.members[org_id, month, user_id] += int(cost)
        return sums

    async def rows(self, org_id: str, first: Mark, last: Mark | None) -> list[StoredRow]:
        """One organisation's rows from one mark to another or to the end, both included, in order."""
        until = f"AND {_MARK} <= {last}" if last else ""
        found = await self.clickhouse.rows(
            f"SELECT {_MARK}, org_seq, user_id, seat_tier, usage_month, charge_month, funding, "
            f"{_PICOUSD.format('cost_usd')} FROM {self._table} "
            f"WHERE {self._mine} AND org_id = {literal(org_id)} AND {_MARK} >= {first} {until} ORDER BY {_MARK}"
        )
        return [StoredRow._make((tuple(mark), *fields, int(cost))) for mark, *fields, cost in found]

    @property
    def _table(self) -> str:
        return f"`{self.database}`.priced_usage"

    @property
    def _mine(self) -> str:
        return (
            f"log_id = {literal(self.log_id)} AND input_partition = {self.partition} "
            f"AND input_offset < {self.before_offset}"
        )
