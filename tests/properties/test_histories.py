"""Random histories against what must hold of any: a seed comes in; sums, order and variety are looked at."""

from collections import Counter, defaultdict
from functools import cache

import pytest

from tests.support.auditor import Auditor, Said
from tests.support.auditor.outputs import (
    Breach,
    Entry,
    InvoiceDrafted,
    InvoiceFinalized,
    Resume,
    Row,
    Threshold,
    Told,
)
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


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_burnt_is_invoiced_and_what_is_due_is_receivable(seed: int) -> None:
    """R39-R41, readings 43-53."""
    for org in organizations(seed):
        unbilled: Counter[str] = Counter()
        for entry in org.entries:
            unbilled[entry.charge_month] += entry.amount if entry.account == "unbilled" else 0
        assert {month for month, amount in unbilled.items() if amount} <= org.drafts.keys()
        numbers = [invoice.number for invoice in org.invoices if invoice.number is not None]
        assert numbers == list(range(1, len(numbers) + 1))
        for invoice in org.invoices:
            assert sum(line.amount for line in invoice.lines) == invoice.total + invoice.carried
            assert all(abs(line.amount - line.exact) < 10**10 for line in invoice.lines)
        due = sum(invoice.due for invoice in org.invoices) - sum(note.amount for note in org.credit_notes)
        due -= sum(payment.amount for payment in org.invoice_payments)
        assert org.sum_of("receivable") == due + (org.invoices[-1].carried if org.invoices else 0)
        closing = 0
        for statement in org.statements:
            assert statement.opening == closing
            closing = statement.closing


def test_the_histories_hold_what_they_are_for() -> None:
    kinds = Counter(type(one).__name__ for one in told())
    causes: dict[str, set[str]] = defaultdict(set)
    scopes: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for one in told():
        if isinstance(one, Breach | Resume):
            causes[type(one).__name__].add(one.cause)
            scopes[type(one).__name__].add((one.scope.kind, one.scope.seat_tier is not None))
    assert min(kinds.values()) >= 5, kinds
    assert len(kinds) == 20, kinds
    assert causes["Breach"] == {"usage", "correction", "limit_changed", "seat_changed", "plan_changed"}
    assert causes["Resume"] == {"correction", "limit_changed", "seat_changed", "plan_changed"}
    every = {("organization", False), ("tier", True), ("member", True), ("member", False)}
    assert scopes == {"Breach": every, "Resume": every}
    entries = {one.type for one in told() if isinstance(one, Entry)}
    assert entries == {"purchase", "grant", "refund", "adjust", "expiry", "invoice", "offset", "payment", "rounding"}
    rows = [one for one in told() if isinstance(one, Row)]
    assert {row.leg for row in rows} == {"usage", "reversal", "replacement"}
    assert 0.2 < sum(row.after_pause for row in rows) / len(rows) < 0.6
    assert sum(row.usage_month != row.charge_month for row in rows) > 100
    outcomes = {outcome for seed in SEEDS for outcome in history(seed)[1].outcomes}
    assert outcomes >= REASONS.keys()


def test_the_histories_bill_what_is_rare() -> None:
    invoices = [one for one in told() if isinstance(one, InvoiceFinalized)]
    assert {one.reason for one in invoices} == {"month_closed", "plan_changed", "organization_closed"}
    assert sum(one.part > 1 for one in invoices) >= 5
    assert sum(one.carried < 0 for one in invoices) >= 5
    assert sum(one.number is None for one in invoices) >= 5
    kinds = Counter(kind for one in invoices for kind in {line.kind for line in one.lines})
    assert kinds["usage"] > 100 > min(kinds["carried"], kinds["debt"]) >= 5
    assert sum(0 < one.offset < one.total for one in invoices) >= 5
    assert sum(any(line.usage_month not in (None, one.month) for line in one.lines) for one in invoices) > 50


def test_in_the_days_of_grace_drafts_grow_are_opened_and_are_finalised_by_another_plan() -> None:
    grown = opened = interim = 0
    for org in (org for seed in SEEDS for org in organizations(seed)):
        drafts = {(one.month, one.part): one for one in org.published if isinstance(one, InvoiceDrafted)}
        for invoice in org.invoices:
            draft = drafts.get((invoice.month, invoice.part))
            grown += draft is not None and draft.exact != invoice.exact
            opened += draft is None and invoice.reason == "month_closed"
            interim += draft is not None and invoice.reason == "plan_changed"
    assert min(grown, opened, interim) >= 5, (grown, opened, interim)
