"""Random histories against what must hold of any: a seed comes in; sums, order and variety are looked at."""

from collections import Counter, defaultdict
from functools import cache

import pytest

from tests.support.auditor import Auditor, Said
from tests.support.auditor.outputs import Breach, Entry, Resume, Row, Threshold, Told
from tests.support.auditor.refusals import REASONS
from tests.support.auditor.state import Organization
from tests.support.histories import Histories

SEEDS = range(100)


@cache
def history(seed: int) -> tuple[tuple[Said, ...], Auditor]:
    histories = Histories(seed)
    return tuple(histories), histories.auditor


def organizations(seed: int) -> list[Organization]:
    return list(history(seed)[1].organizations.values())


def told() -> list[Told]:
    return [told for seed in SEEDS for org in organizations(seed) for told in org.published]


@pytest.mark.parametrize("seed", SEEDS[:5])
def test_the_seed_is_all_it_takes(seed: int) -> None:
    said, auditor = history(seed)
    again = Auditor().take_all(said)
    assert tuple(Histories(seed)) == said
    assert again.organizations == auditor.organizations
    assert (again.outcomes, again.dead) == (auditor.outcomes, auditor.dead)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_charged_is_burnt_and_balances_are_what_lots_hold(seed: int) -> None:
    """R38, R41."""
    for org in organizations(seed):
        sums: Counter[str] = Counter()
        for row in org.rows:
            sums[row.charge_month] += row.cost if row.funding == "credits" else 0
        for entry in org.entries:
            sums[entry.charge_month] += entry.amount if entry.type == "burn" else 0
        assert not any(sums.values())
        assert sum(lot.rest for lot in org.lots) == max(0, org.balance)
        for user_id in org.members:
            decision = history(seed)[1].decision(org.org_id, user_id)
            assert decision.allowed == (not decision.reasons)
            assert decision.allowed <= (decision.headroom is None or decision.headroom > 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_breach_and_threshold_is_told_once_and_every_resume_ends_a_breach(seed: int) -> None:
    """R29, R29a."""
    for org in organizations(seed):
        breaches = [
            (one.scope, one.month, one.version, one.episode) for one in org.published if isinstance(one, Breach)
        ]
        thresholds = [
            (one.scope, one.month, one.version, one.percent) for one in org.published if isinstance(one, Threshold)
        ]
        assert len(set(breaches)) == len(breaches)
        assert len(set(thresholds)) == len(thresholds)
        standing: dict[object, Breach] = {}
        for one in org.published:
            if isinstance(one, Breach):
                assert one.spend >= one.limit
                standing[one.scope, one.month] = one
            elif isinstance(one, Resume):
                assert one.episode == standing.pop((one.scope, one.month)).episode
                assert one.limit is None or one.spend < one.limit


def test_the_histories_hold_what_they_are_for() -> None:
    kinds = Counter(type(one).__name__ for one in told())
    causes: dict[str, set[str]] = defaultdict(set)
    scopes: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for one in told():
        if isinstance(one, Breach | Resume):
            causes[type(one).__name__].add(one.cause)
            scopes[type(one).__name__].add((one.scope.kind, one.scope.seat_tier is not None))
    assert min(kinds.values()) >= 5, kinds
    assert len(kinds) == 15, kinds
    assert causes["Breach"] == {"usage", "correction", "limit_changed", "seat_changed", "plan_changed"}
    assert causes["Resume"] == {"correction", "limit_changed", "seat_changed", "plan_changed"}
    every = {("organization", False), ("tier", True), ("member", True), ("member", False)}
    assert scopes == {"Breach": every, "Resume": every}
    entries = {one.type for one in told() if isinstance(one, Entry)}
    assert entries == {"purchase", "grant", "refund", "adjust", "expiry"}
    rows = [one for one in told() if isinstance(one, Row)]
    assert {row.leg for row in rows} == {"usage", "reversal", "replacement"}
    assert 0.2 < sum(row.after_pause for row in rows) / len(rows) < 0.6
    assert sum(row.usage_month != row.charge_month for row in rows) > 100
    outcomes = {outcome for seed in SEEDS for outcome in history(seed)[1].outcomes}
    assert outcomes >= REASONS.keys()
