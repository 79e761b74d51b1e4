"""The calendar of a partition: ledger time in; which month runs and which are closed, and the next due instant, out.

Months turn and close only when ledger time reaches the instant, between chunks, never while events are charged.
Source: docs/rules.md R18, R19, R44.
"""

from pipeline.domain.charging import Rules
from pipeline.domain.state import State
from schemas.month import Month

UNOPENED_MICROS = 1
"""A calendar not opened yet is due at any time, before anything else: a first chunk must not run past a month end."""


def next_due_micros(state: State, rules: Rules) -> int:
    """The next month end or month close."""
    if not state.calendar.month:
        return UNOPENED_MICROS
    return min(_turns_micros(state), _closes_micros(state, rules))


def advance(state: State, rules: Rules, now_micros: int) -> bool:
    """Do the next thing due at or before now; False when nothing is."""
    due = next_due_micros(state, rules)
    if due > now_micros:
        return False
    calendar = state.calendar
    if not calendar.month:
        _open(state, rules, now_micros)
    elif _turns_micros(state) <= due:
        calendar.month = str(Month.parse(calendar.month).next())
    else:
        calendar.closed_through = str(Month.parse(calendar.closed_through).next())
    state.touch(calendar)
    return True


def _open(state: State, rules: Rules, now_micros: int) -> None:
    """Open the calendar at the first ledger time ever seen; months whose grace is over by then are closed."""
    closed = Month.containing(now_micros).previous()
    while closed.end_micros + rules.grace_micros > now_micros:
        closed = closed.previous()
    state.calendar.month = str(Month.containing(now_micros))
    state.calendar.closed_through = str(closed)


def _turns_micros(state: State) -> int:
    return Month.parse(state.calendar.month).end_micros


def _closes_micros(state: State, rules: Rules) -> int:
    return Month.parse(state.calendar.closed_through).next().end_micros + rules.grace_micros
