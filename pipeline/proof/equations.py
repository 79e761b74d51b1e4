"""The equations of R41: what was found in the places goes in; what must be equal, by place, comes out.

Everything about an organisation lies in one partition, so each equation is of one partition.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from itertools import chain

from pipeline.proof.billing_equations import of_billing
from pipeline.proof.equation import CLICKHOUSE, OUTCOMES, Equation, Found
from pipeline.proof.sums import MonthSums, OrganizationMonth, ScopeMonth, Sums
from pipeline.topics import DEAD_LETTERS, INVOICES, LEDGER_ENTRIES, LEDGER_STATE, PRICED_USAGE, USAGE_EVENTS

TIERS, MEMBERS = "its tiers", "its members"


def equations(found: Found) -> Iterator[Equation]:
    """All of them, those of events first; what is left in one place alone is none."""
    remembered = found.remembered.sums()
    dropped = {month for month in {month for _, month in remembered.months} if found.is_dropped(month)}
    for equation in chain(
        _of_events(found, found.deleted | ({CLICKHOUSE} if dropped else set())),
        _of_months(found, remembered, dropped),
        _of_open_months(found, remembered),
        _of_balances(found),
        of_billing(found),
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
    burns = found.published.entries.burnt()
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
    entries, stored = found.published.entries.balances, found.billed.balances
    for key in sorted(balances.keys() | entries.keys() | stored.keys()):
        org_id, account = key
        values = {
            LEDGER_STATE.name: balances.get(key, 0),
            LEDGER_ENTRIES.name: entries.get(key, 0),
            CLICKHOUSE: stored[key],
        }
        if account == "receivable":
            values[INVOICES.name] = found.published.billing.receivable(org_id)
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


def _by_month(scopes: Mapping[ScopeMonth, int]) -> Counter[OrganizationMonth]:
    totals: Counter[OrganizationMonth] = Counter()
    for (org_id, month, _), spend_picousd in scopes.items():
        totals[org_id, month] += spend_picousd
    return totals
