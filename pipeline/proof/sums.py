"""What rows add up to: one shape, whether they were found in `priced-usage`, in ClickHouse or in `ledger-state`."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

OrganizationMonth = tuple[str, str]
"""org_id, charge month."""

ScopeMonth = tuple[str, str, str]
"""org_id, charge month, and the seat tier or member."""


@dataclass(slots=True)
class MonthSums:
    """One organisation in one charge month (R8, R19): spend, usage of months that were closed, usage not charged."""

    rows: int = 0
    spend_picousd: int = 0
    prior_period_picousd: int = 0
    included_picousd: int = 0

    @property
    def charged_picousd(self) -> int:
        """What the ledger has to burn for it (R38a)."""
        return self.spend_picousd + self.prior_period_picousd


@dataclass(slots=True)
class Sums:
    """All rows of one partition; of tiers and members the spend, in months that are not closed.

    Attributes:
        rows: how many.
        events: how many were accepted: a correction is one event in two rows (R15).
    """

    rows: int = 0
    events: int = 0
    months: defaultdict[OrganizationMonth, MonthSums] = field(default_factory=lambda: defaultdict(MonthSums))
    tiers: Counter[ScopeMonth] = field(default_factory=Counter)
    members: Counter[ScopeMonth] = field(default_factory=Counter)
