"""What must be equal, by place: the shape of an equation, and of all that was found of a partition."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.proof.published import Published
from pipeline.proof.remembered import Remembered
from pipeline.proof.stored_billing import BilledSums
from pipeline.proof.sums import Sums
from schemas.money import usd_from_picousd

CLICKHOUSE = "ClickHouse"
OUTCOMES = ("accepted", "duplicates", "dead_letters", "forwarded")


@dataclass(frozen=True, slots=True)
class Equation:
    """Something that must be equal wherever it is found.

    Attributes:
        name: what is compared, the same for all of its kind.
        values: by where it was found; picodollars if `is_money`, else a count.
        org_id, month, member, seat_tier: whose it is, as far as it is somebody's.
    """

    name: str
    values: dict[str, int]
    is_money: bool = False
    org_id: str = ""
    month: str = ""
    member: str = ""
    seat_tier: str = ""

    @property
    def agrees(self) -> bool:
        return len(set(self.values.values())) == 1

    @property
    def is_of_a_part(self) -> bool:
        """Of a member or a tier, a part of an organisation."""
        return bool(self.member or self.seat_tier)

    @property
    def what(self) -> str:
        """Name and owner, such as `spend of acme, 2026-02`."""
        owners = [self.member, self.seat_tier and f"seat tier {self.seat_tier}", self.org_id]
        owner = " of ".join(filter(None, owners))
        return f"{self.name}{' of ' * bool(owner)}{owner}{', ' * bool(self.month)}{self.month}"

    def amount(self, value: int) -> str:
        """A value, as it is shown."""
        return shown(value, is_money=self.is_money)

    def json(self) -> dict[str, Any]:
        """Money as exact dollars."""
        values = {place: usd_from_picousd(v) if self.is_money else v for place, v in self.values.items()}
        return {"what": self.what, "values": values, "agrees": self.agrees}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one partition, all as of the same transaction.

    Attributes:
        billed: ledger entries and invoices, as ClickHouse holds them.
        deleted: topics that do not keep all they ever had: they cannot say what a sum since the beginning is.
        first_whole_month: months before it began before the first row that `priced-usage` still keeps.
    """

    partition: int
    remembered: Remembered
    published: Published
    stored: Sums
    billed: BilledSums = field(default_factory=BilledSums)
    deleted: frozenset[str] = frozenset()
    first_whole_month: str = ""

    def is_dropped(self, month: str) -> bool:
        """ClickHouse has nothing of a month that is too old to be stored again: it was dropped there."""
        return month < self.first_whole_month and all(stored != month for _, stored in self.stored.months)


def shown(value: int, *, is_money: bool) -> str:
    """A count, or picodollars as exact dollars, for people."""
    sign = "-" if value < 0 else ""
    return f"{sign}${usd_from_picousd(abs(value))}" if is_money else f"{value:,}"
