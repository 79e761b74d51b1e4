"""Months turn and close when ledger time gets there, one thing at a time (R18, R19, R44)."""

import pytest

from pipeline.domain import calendar
from pipeline.domain.rules import Rules
from pipeline.domain.state import State
from tests.support.builders import event, later, micros
from tests.support.ledger import LedgerInMemory, acme

RULES = Rules()
JUNE = "2026-06-01T00:00:00Z"
MAY_CLOSES = "2026-06-04T00:00:00Z"


def advanced(to: str, start: str = "2026-05-10T12:00:00Z", rules: Rules = RULES) -> State:
    state = State()
    for now in (start, to):
        while calendar.advance(state, rules, micros(now)) is not None:
            pass
    return state


def standing(state: State) -> tuple[str, str]:
    return state.calendar.month, state.calendar.closed_through


@pytest.mark.parametrize(
    ("first", "stands"),
    [
        ("2026-05-03T23:59:59.999999Z", ("2026-05", "2026-03")),  # April's grace is not over
        ("2026-05-04T00:00:00Z", ("2026-05", "2026-04")),
        ("2026-05-31T23:59:59.999999Z", ("2026-05", "2026-04")),
        ("2026-01-01T00:00:00Z", ("2026-01", "2025-11")),
    ],
)
def test_a_calendar_opens_at_the_first_ledger_time_there_is(first: str, stands: tuple[str, str]) -> None:
    assert standing(advanced(first, start=first)) == stands


@pytest.mark.parametrize(
    ("now", "stands"),
    [
        (later(JUNE, micros=-1), ("2026-05", "2026-04")),
        (JUNE, ("2026-06", "2026-04")),
        (later(MAY_CLOSES, micros=-1), ("2026-06", "2026-04")),
        (MAY_CLOSES, ("2026-06", "2026-05")),
        ("2027-01-04T00:00:00Z", ("2027-01", "2026-12")),  # after a long time away
    ],
)
def test_months_turn_and_close_at_their_instants(now: str, stands: tuple[str, str]) -> None:
    assert standing(advanced(now)) == stands


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-05-10T12:00:00Z", "2026-05-11T08:00:00Z"),  # the digests of the day
        ("2026-05-31T08:00:00Z", JUNE),
        (JUNE, "2026-06-01T08:00:00Z"),
        ("2026-06-03T08:00:00Z", MAY_CLOSES),
    ],
)
def test_the_next_due_instant_is_the_next_digest_month_end_or_close(now: str, due: str) -> None:
    assert calendar.next_due_micros(advanced(now), RULES) == micros(due)


def test_without_grace_a_month_closes_when_it_ends_and_never_before() -> None:
    rules = Rules(grace_hours=0)
    assert standing(advanced(later(JUNE, micros=-1), rules=rules)) == ("2026-05", "2026-04")
    assert standing(advanced(JUNE, rules=rules)) == ("2026-06", "2026-05")


def test_a_grace_period_longer_than_a_month_leaves_two_months_open() -> None:
    rules = Rules(grace_hours=24 * 40)
    assert standing(advanced("2026-07-10T00:00:00Z", rules=rules)) == ("2026-07", "2026-04")
    assert standing(advanced("2026-07-11T00:00:00Z", rules=rules)) == ("2026-07", "2026-05")


def test_nothing_is_due_twice() -> None:
    state = advanced(MAY_CLOSES)
    assert calendar.advance(state, RULES, micros(MAY_CLOSES)) is None


def test_a_calendar_that_starts_early_comes_to_the_same() -> None:
    assert standing(advanced("2026-05-10T00:00:00Z", start="2020-01-31T00:00:00Z")) == standing(
        advanced("2026-05-10T00:00:00Z", start="2026-05-10T00:00:00Z")
    )


def test_a_few_things_at_a_time_come_to_the_same_and_say_that_more_is_due() -> None:
    ledger = acme()
    effects = ledger.machine.advance(micros("2026-12-24T00:00:00Z"), budget=1)
    assert b'["calendar"]' in effects.cells
    due_micros = ledger.machine.next_due_micros()
    assert due_micros is not None
    assert due_micros <= micros("2026-12-24T00:00:00Z")
    ledger.wait_until("2026-12-24T00:00:00Z")
    stands = ledger.cell("calendar")
    assert (stands["month"], stands["closed_through"]) == ("2026-12", "2026-11")


def test_a_first_chunk_does_not_run_past_the_end_of_its_first_month() -> None:
    """What lies preloaded over months is cut where months end, the very first time too."""
    ledger = LedgerInMemory()
    days = ["2026-04-30T23:59:59Z", "2026-05-01T00:00:00Z", "2026-05-31T00:00:00Z", "2026-06-01T00:00:00Z"]
    ledger.process([ledger.record("usage", event(occurred_at=day), micros(day)) for day in days])
    # May begins; on the 31st April has closed and digests are over; June begins.
    assert ledger.chunks == 4
    assert ledger.cell("calendar")["month"] == "2026-06"
