"""What is shrunk still disagrees, in the same thing, and none of it is left out for want of trying."""

import itertools
from collections.abc import Callable

import pytest

from pipeline.domain.state import Limited
from pipeline.domain.wallet_state import Lot, Wallet
from tests.support.audit import Audit
from tests.support.auditor import Said, clock
from tests.support.auditor.comparison import Disagreement, Way, compare
from tests.support.shrinking import disagreement_of, report_of, shortest

NEVER = itertools.repeat(False).__next__


@pytest.mark.parametrize("needed", [{0}, {99}, {3, 50, 51}, {0, 1, 98, 99}, set(range(0, 100, 9))])
def test_what_is_needed_is_left_and_nothing_else(needed: set[int]) -> None:
    left, is_smallest = shortest(list(range(100)), lambda items: needed <= set(items), NEVER)
    assert (left, is_smallest) == (sorted(needed), True)


def test_what_depends_on_something_left_out_is_tried_again() -> None:
    """7 may only be dropped once 60 is gone."""

    def still_fails(items: list[int]) -> bool:
        return 3 in items and (60 not in items or 7 in items)

    assert shortest(list(range(100)), still_fails, NEVER) == ([3], True)


def test_when_time_is_over_what_is_left_still_fails() -> None:
    tries = itertools.count()
    left, is_smallest = shortest(list(range(100)), lambda items: {3, 50} <= set(items), lambda: next(tries) > 12)
    assert {3, 50} <= set(left)
    assert len(left) < 100
    assert not is_smallest


# Defects planted in the ledger, and one in the auditor.


def what_never_expires_first(lot: Lot) -> tuple[object, ...]:
    """R38b has it the other way round."""
    return (lot.expires_at_micros or 0, lot.kind != "promotional", lot.added_seq, lot.lot_id)


def without_raises(limited: Limited, month: str) -> int | None:
    """R23: in its month the raise stands in."""
    return limited.limit_picousd


def stumbling(*_: object) -> None:
    raise RuntimeError("no such case was thought of")


DEFECTS: list[tuple[object, str, Callable[..., object]]] = [
    (Lot, "burns", what_never_expires_first),  # takes: registered, paid, granted, used
    (Limited, "limit_in", without_raises),  # takes: registered, a limit, used up to it, raised for the month
    (Wallet, "unburnt_picousd", stumbling),
    (clock, "fail", stumbling),  # the auditor's own; takes: registered, auto-reload on, a day
]
SEEDS = range(3, 100)
"""In the months of some earlier ones it takes many events to reach a limit."""


@pytest.mark.parametrize(("owner", "name", "defect"), DEFECTS, ids=[name for _, name, _ in DEFECTS])
def test_a_planted_defect_is_shrunk_to_a_few_records_that_can_be_copied(
    owner: object, name: str, defect: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(owner, name, defect)
        seed = next(seed for seed in SEEDS if disagreement_of(seed) is not None)
        report = report_of(seed, seconds=60)
        assert report is not None
        assert report.is_smallest
        assert len(report.history) <= 10 < 50 < report.length, report
        code = str(report).split("\n\n", 1)[1]
        with pytest.raises(Disagreement) as again:
            exec(code, {"Said": Said, "Way": Way, "compare": compare})
        assert str(again.value) == str(report.disagreement)
    compare(report.history, report.way)  # and without the defect both sides agree


def test_where_both_sides_agree_there_is_nothing_to_report() -> None:
    assert report_of(0, seconds=60) is None


# The long run.


def test_an_audit_cut_short_says_what_it_covered_and_how_to_go_on() -> None:
    audit = Audit(first=100, seeds=50, done={*range(100, 120), *range(130, 140)}, wrong={107: "acme, org_seq 8"})
    first, *rest = audit.summary().splitlines()
    assert first.startswith("30 months compared in 0:00:00, 1 disagree")
    assert rest == [
        "covered are all 20 before seed 120, and 10 after it",
        "go on with: make audit FIRST=120 SEEDS=30",
        "  seed 107: acme, org_seq 8",
    ]


def test_an_audit_that_is_through_says_just_how_many() -> None:
    audit = Audit(first=100, seeds=50, done=set(range(100, 150)))
    assert audit.summary() == "50 months compared in 0:00:00, 0 disagree"
