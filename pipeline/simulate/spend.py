"""Priced rows go in; what was charged, by month, organisation, seat tier and member, comes out (R13, R18, R20)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import msgspec

_decode = msgspec.json.Decoder().decode


class Who(NamedTuple):
    """An organisation; one of its seat tiers, or one of its members, where that is set."""

    org_id: str
    seat_tier: str = ""
    user_id: str = ""

    @property
    def kind(self) -> str:
        return "member" if self.user_id else "tier" if self.seat_tier else "organization"


@dataclass(slots=True)
class Charged:
    """What one month comes to. `after_pause` is the part of spend that came while credits were paused or disabled."""

    spend_picousd: int = 0
    after_pause_picousd: int = 0
    prior_period_picousd: int = 0
    included_picousd: int = 0
    credits_events: int = 0
    included_events: int = 0

    def __sub__(self, other: "Charged") -> "Charged":
        return Charged(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))

    def add(self, row: Any) -> None:
        """One row; the reverse of a corrected event takes it away (R15)."""
        cost = int(row["cost_picousd"])
        is_reverse = bool(row.get("corrects")) and not row.get("leg")
        events = -1 if is_reverse else 1
        if row["funding"] == "included":
            self.included_picousd += cost
            self.included_events += events
            return
        self.credits_events += events
        if row["usage_month"] != row["charge_month"]:
            self.prior_period_picousd += cost
            return
        self.spend_picousd += cost
        if row.get("after_pause"):
            self.after_pause_picousd += cost


@dataclass(slots=True)
class Spend:
    """Months to date, by charge month and whose they are."""

    charged: dict[tuple[str, Who], Charged] = field(default_factory=dict)

    def add_lines(self, lines: bytes) -> None:
        """The rows of one record of `priced-usage`."""
        for line in lines.splitlines():
            row = _decode(line)
            month, org_id = row["charge_month"], row["org_id"]
            for who in (Who(org_id), Who(org_id, seat_tier=row["seat_tier"]), Who(org_id, user_id=row["user_id"])):
                self.charged.setdefault((month, who), Charged()).add(row)

    def of(self, month: str, who: Who) -> Charged:
        """Nothing where nothing was charged."""
        return self.charged.get((month, who)) or Charged()

    def whose(self) -> Iterator[tuple[str, Who]]:
        """By month and organisation: the organisation, then its tiers, then its members by what they spent."""
        order = ("organization", "tier", "member")
        yield from sorted(
            self.charged,
            key=lambda key: (
                key[0],
                key[1].org_id,
                order.index(key[1].kind),
                -self.charged[key].spend_picousd,
                key[1],
            ),
        )
