"""Every instant lies in one calendar month, UTC; the first instant of a month is its own (R18)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.instants import parse_instant
from schemas.month import Month, MonthText

MONTH: TypeAdapter[Month] = TypeAdapter(MonthText)
YEAR_2000 = parse_instant("2000-01-01T00:00:00Z")
YEAR_2100 = parse_instant("2100-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("at", "month"),
    [
        ("2026-01-31T23:59:59.999999Z", Month(2026, 1)),
        ("2026-02-01T00:00:00Z", Month(2026, 2)),
        ("2024-02-29T23:59:59.999999Z", Month(2024, 2)),
        ("2024-03-01T00:00:00Z", Month(2024, 3)),
        ("2025-12-31T23:59:59.999999Z", Month(2025, 12)),
        ("2026-01-01T00:00:00Z", Month(2026, 1)),
        ("2026-01-01T00:30:00+01:00", Month(2025, 12)),  # half past eleven in the evening, UTC
        ("2025-12-31T23:30:00-01:00", Month(2026, 1)),
    ],
)
def test_an_instant_belongs_to_its_month_in_utc(at: str, month: Month) -> None:
    assert Month.containing(parse_instant(at)) == month


@given(st.integers(YEAR_2000, YEAR_2100))
def test_every_instant_lies_in_exactly_one_month(at_micros: int) -> None:
    month = Month.containing(at_micros)
    assert month.start_micros <= at_micros < month.end_micros
    assert Month.containing(month.start_micros) == month
    assert Month.containing(month.end_micros - 1) == month
    assert Month.containing(month.end_micros) == month.next()


@given(st.builds(Month, st.integers(2000, 2100), st.integers(1, 12)))
def test_months_follow_each_other_without_a_gap(month: Month) -> None:
    assert month.next().previous() == month
    assert month.previous().next() == month
    assert month.end_micros == month.next().start_micros
    assert month < month.next()
    assert str(month) < str(month.next())  # also as text, which is how cells name them


@given(st.builds(Month, st.integers(2000, 2100), st.integers(1, 12)))
def test_reading_what_was_written_gives_the_same_month(month: Month) -> None:
    assert Month.parse(str(month)) == month
    assert MONTH.validate_python(MONTH.dump_python(month)) == month


@pytest.mark.parametrize(
    "text", ["2026-00", "2026-13", "2026-1", "26-01", "2026-01-01", "2026-01\n", "٢٠٢٦-01", "", 202601, None]
)
def test_anything_else_is_no_month(text: Any) -> None:
    with pytest.raises(ValidationError):
        MONTH.validate_python(text)
