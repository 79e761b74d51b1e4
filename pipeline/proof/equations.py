"""The equations of R41: what was found in the places goes in; what must be equal, by place, comes out.

Everything about an organisation lies in one partition, so each equation is of one partition.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.proof.published import Published
from pipeline.proof.remembered import Remembered
from pipeline.proof.sums import MonthSums, OrganizationMonth, ScopeMonth, Sums
from pipeline.topics import DEAD_LETTERS, LEDGER_ENTRIES, LEDGER_STATE, PRICED_USAGE, USAGE_EVENTS
from schemas.money import usd_from_picousd

CLICKHOUSE = "ClickHouse"
TIERS, MEMBERS = "its tiers", "its members"
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
        deleted: topics that do not keep all they ever had: they cannot say what a sum since the beginning is.
        first_whole_month: months before it began before the first row that `priced-usage` still keeps.
    """

    partition: int
    remembered: Remembered
    published: Published
    stored: Sums
    deleted: frozenset[str] = frozenset()
    first_whole_month: str = ""

    def is_dropped(self, month: str) -> bool:
        """ClickHouse has nothing of a month that is too old to be stored again: it was dropped there."""
        return month < self.first_whole_month and all(stored != month for _, stored in self.stored.months)


def equations(found: Found) -> Iterator[Equation]:
    """All of them, those of events first; what is left in one place alone is none."""
    remembered = found.remembered.sums()
    dropped = {month for month in {month for _, month in remembered.months} if found.is_dropped(month)}
    for equation in chain(
        _of_events(found, found.deleted | ({CLICKHOUSE} if dropped else set())),
        _of_months(found, remembered, dropped),
        _of_open_months(found, remembered),
        _of_balances(found),
    ):
        if len(equation.values) > 1:
            yield equation


def _of_events(found: Found, silent: Set[str]) -> Iterator[Equation]:
    """What became of every event read; places that do not have all since the beginning are silent."""
    counters, published = found.remembered.counters, found.published
    usage, letters, sums = published.usage, published.letters, published.rows.sums
    read = {
        LEDGER_STATE.name: counters.usage_events,
        "its outcomes": sum(getattr(counters, outcome) for outcome in OUTCOMES),
        USAGE_EVENTS.name: usage.events,
    }
    records = {LEDGER_STATE.name: counters.usage_records, USAGE_EVENTS.name: usage.records}
    accepted = {
        LEDGER_STATE.name: counters.accepted,
        PRICED_USAGE.name: sums.events,
        CLICKHOUSE: found.stored.events,
    }
    rows = {
        LEDGER_STATE.name: counters.rows,
        "accepted + corrections": counters.accepted + counters.corrections,
        PRICED_USAGE.name: sums.rows,
        CLICKHOUSE: found.stored.rows,
    }
    dead = {LEDGER_STATE.name: counters.dead_letters, DEAD_LETTERS.name: letters.usage}
    dead_commands = {LEDGER_STATE.name: counters.commands_unreadable, DEAD_LETTERS.name: letters.commands}
    for name, values in (
        ("records read", records),
        ("events read", read),
        ("dead letters", dead),
        ("dead letters, commands", dead_commands),
        ("events accepted", accepted),
        ("rows, a correction's two", rows),
    ):
        yield Equation(name, {place: value for place, value in values.items() if place not in silent})


def _of_months(found: Found, remembered: Sums, dropped: Set[str]) -> Iterator[Equation]:
    """Per organisation and charge month: rows and money, as published, stored, remembered and burnt."""
    burns = found.published.entries.burnt
    sums = {PRICED_USAGE.name: found.published.rows.sums, CLICKHOUSE: found.stored, LEDGER_STATE.name: remembered}
    tiers, members = _by_month(remembered.tiers), _by_month(remembered.members)
    nothing = MonthSums()
    for key in sorted({key for each in sums.values() for key in each.months} | burns.keys()):
        org_id, month = key
        places = {place: each.months.get(key, nothing) for place, each in sums.items()}
        if month < found.first_whole_month:
            del places[PRICED_USAGE.name]
        if month in dropped:
            del places[CLICKHOUSE]
        spend = {place: each.spend_picousd for place, each in places.items()}
        if month > found.remembered.closed_through:
            spend[TIERS] = tiers[key]
            spend[MEMBERS] = members[key]
        charged = {place: each.charged_picousd for place, each in places.items()}
        # Once there are invoices, their exact lines and the entries that clear the burn join these (R39, R41).
        burnt = charged | {LEDGER_ENTRIES.name: burns[key]}
        prior_period = {place: each.prior_period_picousd for place, each in places.items()}
        included = {place: each.included_picousd for place, each in places.items()}
        rows = {place: each.rows for place, each in places.items()}
        yield Equation("rows by month", rows, org_id=org_id, month=month)
        for name, values in (
            ("spend", spend),
            ("usage of closed months", prior_period),
            ("burnt for usage", burnt),
            ("included usage", included),
        ):
            if any(values.values()):
                yield Equation(name, values, is_money=True, org_id=org_id, month=month)


def _of_open_months(found: Found, remembered: Sums) -> Iterator[Equation]:
    """Per tier and member, in months that are not closed: what they spent, each alone."""
    sums = {PRICED_USAGE.name: found.published.rows.sums, CLICKHOUSE: found.stored, LEDGER_STATE.name: remembered}

    def values(scopes: Mapping[str, Counter[ScopeMonth]], scope: ScopeMonth) -> dict[str, int]:
        is_kept = scope[1] >= found.first_whole_month
        return {place: each[scope] for place, each in scopes.items() if is_kept or place != PRICED_USAGE.name}

    tiers = {place: each.tiers for place, each in sums.items()}
    members = {place: each.members for place, each in sums.items()}
    for scope in sorted({scope for each in tiers.values() for scope in each}):
        org_id, month, tier = scope
        found_of_tier = values(tiers, scope)
        yield Equation("tier's spend", found_of_tier, is_money=True, org_id=org_id, month=month, seat_tier=tier)
    for scope in sorted({scope for each in members.values() for scope in each}):
        org_id, month, member = scope
        found_of_member = values(members, scope)
        yield Equation("member's spend", found_of_member, is_money=True, org_id=org_id, month=month, member=member)


def _of_balances(found: Found) -> Iterator[Equation]:
    """Per organisation: a balance is the sum of its account's entries, and what lots hold is the balance (R38)."""
    balances, unburnt = found.remembered.balances, found.remembered.unburnt
    entries = found.published.entries.balances
    for key in sorted(balances.keys() | entries.keys()):
        org_id, account = key
        values = {LEDGER_STATE.name: balances.get(key, 0), LEDGER_ENTRIES.name: entries.get(key, 0)}
        if any(values.values()):
            yield Equation(f"account {account}", values, is_money=True, org_id=org_id)
    for org_id in sorted({org_id for org_id, account in balances if account == "wallet"} | unburnt.keys()):
        balance = balances.get((org_id, "wallet"), 0)
        yield Equation(
            "unburnt credits",
            {"its lots": unburnt[org_id], "its balance above 0": max(balance, 0)},
            is_money=True,
            org_id=org_id,
        )


def shown(value: int, *, is_money: bool) -> str:
    """A count, or picodollars as exact dollars, for people."""
    sign = "-" if value < 0 else ""
    return f"{sign}${usd_from_picousd(abs(value))}" if is_money else f"{value:,}"


def _by_month(scopes: Mapping[ScopeMonth, int]) -> Counter[OrganizationMonth]:
    totals: Counter[OrganizationMonth] = Counter()
    for (org_id, month, _), spend_picousd in scopes.items():
        totals[org_id, month] += spend_picousd
    return totals
