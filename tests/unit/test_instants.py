"""Instants are UTC microseconds; RFC 3339 with an offset and at most 6 decimals is read, nothing else is (R14a)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.instants import (
    MICROS_PER_SECOND,
    Instant,
    datetime_from_micros,
    format_instant,
    micros_from_datetime,
    parse_instant,
    parse_instant_quickly,
)

INSTANT: TypeAdapter[int] = TypeAdapter(Instant)
FIRST = parse_instant("0001-01-01T00:00:00Z")
LAST = parse_instant("9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000),  # a tenth, not a microsecond
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:30:00-05:30", 0),
        ("1970-01-01t00:00:01z", MICROS_PER_SECOND),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-02T00:00:00+23:59", 60 * MICROS_PER_SECOND),
    ],
)
def test_an_instant_is_read_to_the_microsecond(text: str, micros: int) -> None:
    assert parse_instant(text) == micros
    assert parse_instant_quickly(text) == micros


WRONG = [
    "",
    "Z",
    "now",
    "2026-01-01",
    "2026-01-01T00:00:00",  # no offset
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00Z",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00.0000001Z",  # 7 decimals
    "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:60Z",  # a leap second
    "2026-01-01T24:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+0100",
    "2026-01-01T00:00:00+01",
    "2026-01-01T00:00:00Z\n",
    " 2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00Z ",
    "+2026-01-01T00:00:00Z",
    "２０２６-01-01T00:00:00Z",
    "2026-01-01T00:00:0١Z",
    "2026-01-01T00:00:00.１Z",
    "2026-01-01T00:00:00.²Z",
    "2026-01-01T00:00:05Z5Z",
    "2026-01-01T00:00:05Z.5Z",
    "2026-01-01T00:00:00.5+00:00Z",
    "2026-W01-1T00:00:00Z",
    "20260101T000000Z",
    "1767225600",
]


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_no_instant_even_where_its_minute_is_known(text: str) -> None:
    parse_instant_quickly("2026-01-01T00:00:00Z")
    for read in (parse_instant, parse_instant_quickly):
        with pytest.raises(ValueError):  # noqa: PT011 (what it says differs with what is wrong)
            read(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_an_offset_may_not_lead_out_of_the_calendar(text: str) -> None:
    for read in (parse_instant, parse_instant_quickly):
        with pytest.raises(OverflowError):
            read(text)
    with pytest.raises(ValidationError, match="years 1 to 9999"):
        INSTANT.validate_python(text)


@pytest.mark.parametrize("value", [None, 1.5, True, b"1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)])
def test_an_instant_is_text_on_the_wire(value: Any) -> None:
    with pytest.raises(ValidationError):
        INSTANT.validate_python(value)


@given(st.integers(FIRST, LAST))
@example(FIRST)
@example(LAST)
def test_reading_what_was_written_gives_the_same_instant(micros: int) -> None:
    text = format_instant(micros)
    assert parse_instant(text) == micros
    assert parse_instant_quickly(text) == micros
    assert INSTANT.validate_python(INSTANT.dump_python(micros)) == micros
    assert micros_from_datetime(datetime_from_micros(micros)) == micros


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_000, "1970-01-01T00:00:00.001Z"), (1, "1970-01-01T00:00:00.000001Z")],
)
def test_an_instant_is_written_with_the_decimals_it_has(micros: int, text: str) -> None:
    assert format_instant(micros) == text


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 (the zone comes next)
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_an_instant_in_any_zone_is_what_the_standard_library_says(wall: datetime, offset_minutes: int) -> None:
    at = wall.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    assert parse_instant(at.isoformat()) == micros_from_datetime(at)


DIGITS_AND_MARKS = st.text("0123456789TtZz:.+- ٣１²Z", max_size=40)
NEARLY = st.builds(
    lambda text, at, with_what: text[:at] + with_what + text[at + 1 :],
    st.integers(FIRST, LAST).map(format_instant) | st.sampled_from(WRONG),
    st.integers(0, 30),
    st.text("0123456789TtZz:.+- ٣１²", max_size=3),
)
SAME_MINUTE = st.builds("2026-01-01T00:00:{}{}".format, st.text("0123456789Z.", max_size=9), st.sampled_from(["Z", ""]))


def _read(read: Any, text: str) -> int | type[Exception]:
    try:
        micros: int = read(text)
        return micros
    except (ValueError, OverflowError) as error:
        return type(error)


@given(DIGITS_AND_MARKS | NEARLY | SAME_MINUTE)
@example("2026-01-01T00:00:05Z5Z")
def test_the_quick_way_reads_what_the_plain_way_reads_and_nothing_else(text: str) -> None:
    parse_instant_quickly("2026-01-01T00:00:00Z")
    assert _read(parse_instant_quickly, text) == _read(parse_instant, text)
    assert _read(parse_instant_quickly, text) == _read(parse_instant, text)  # once more, its minute now known
