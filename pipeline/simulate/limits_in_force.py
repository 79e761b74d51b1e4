"""The ledger in memory goes in; the limit of every organisation, seat tier and member that holds now comes out.

It is read from `credit-status`, as products read it (R34).
"""

from dataclasses import dataclass, field

from pipeline.replay import LedgerInMemory
from pipeline.simulate.spend import Who
from pipeline.topics import CREDIT_STATUS
from schemas.month import Month
from schemas.status import LimitedStatus, MemberStatus, OrganizationStatus, TierStatus, read_status


@dataclass(frozen=True, slots=True)
class LimitInForce:
    """A limit; `applies_to` says how it is meant: pooled by everybody, by the tier, or for each member alone."""

    limit_picousd: int
    applies_to: str


@dataclass(slots=True)
class LimitsInForce:
    """Limits by whose they are; who is not in it has none."""

    by_who: dict[Who, LimitInForce] = field(default_factory=dict)
    seats: dict[Who, str] = field(default_factory=dict)

    def of(self, who: Who) -> LimitInForce | None:
        """The limit of an organisation, a tier, or a member: their own, else that of each member of their tier."""
        own = self.by_who.get(who)
        if own is not None or not who.user_id:
            return own
        tier = self.by_who.get(Who(who.org_id, seat_tier=self.seats.get(who, "")))
        return tier if tier is not None and tier.applies_to == "each_member" else None


def limits_in_force(ledger: LedgerInMemory) -> LimitsInForce:
    """Those that hold at the ledger's time; one for this month only counts in its month."""
    month = str(Month.containing(ledger.now_micros))
    found = LimitsInForce()
    latest = ledger.latest.get(CREDIT_STATUS.name, {})
    statuses = [read_status(key, value) for key, value in latest.items()]
    on_team = {each.org_id for each in statuses if isinstance(each, OrganizationStatus) and each.plan == "team"}
    for status in statuses:
        if not isinstance(status, LimitedStatus):
            continue
        if isinstance(status, TierStatus) and status.org_id in on_team:
            continue  # inert there (R7)
        who, applies_to = _who(status), "own"
        if isinstance(status, MemberStatus):
            found.seats[who] = status.seat_tier
        elif isinstance(status, TierStatus):
            applies_to = status.basis
        limit_picousd = status.raise_picousd if status.raise_month == month else status.limit_picousd
        if limit_picousd is not None:
            found.by_who[who] = LimitInForce(limit_picousd, applies_to)
    return found


def _who(status: LimitedStatus) -> Who:
    if isinstance(status, TierStatus):
        return Who(status.org_id, seat_tier=status.seat_tier)
    return Who(status.org_id, user_id=status.user_id if isinstance(status, MemberStatus) else "")
