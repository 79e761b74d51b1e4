"""Instants as UTC microseconds since 1970: RFC 3339 text in, integers inside, RFC 3339 text out.

Source: docs/rules.md R14a.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

MICROS_PER_SECOND = 1_000_000
MICROS_PER_MINUTE = 60 * MICROS_PER_SECOND
MICROS_PER_HOUR = 60 * MICROS_PER_MINUTE
MICROS_PER_DAY = 24 * MICROS_PER_HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)


def micros_from_datetime(at: datetime) -> int:
    """UTC microseconds of an aware datetime."""
    return (at - _EPOCH) // _MICROSECOND


def datetime_from_micros(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def parse_instant(text: str) -> int:
    """UTC microseconds of an RFC 3339 instant with an offset and at most 6 decimals.

    Raises:
        ValueError: anything else, or a leap second.
        OverflowError: an instant outside the years 1 to 9999.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 instant with an offset and at most 6 decimals")
    day, clock, fraction, sign, hours, minutes = match.groups()
    micros = micros_from_datetime(datetime.fromisoformat(f"{day}T{clock}+00:00")) + int((fraction or "").ljust(6, "0"))
    if sign:
        offset = int(hours) * MICROS_PER_HOUR + int(minutes) * MICROS_PER_MINUTE
        micros += -offset if sign == "+" else offset
        datetime_from_micros(micros)  # raises where the offset leads out of the calendar
    return micros


_SECONDS: dict[str, int] = {}
"""Micros of texts like `2026-01-31T23:59:59` that parse_instant took: usage comes in order, nearly."""

# Small tables stay in the processor's cache; fractions of six digits are too many to be listed.
_FRACTIONS = {"Z": 0} | {f".{milli:03d}Z": milli * 1_000 for milli in range(1, 1_000)}


def parse_canonical(text: str) -> int | None:
    """The instant of a text exactly as format_instant would write it; None where it might be another text."""
    second = _SECONDS.get(text[:19])
    if second is None:
        return None
    fraction = _FRACTIONS.get(text[19:])
    if fraction is None:
        digits = text[20:26]
        if len(text) != 27 or text[19] != "." or text[26] != "Z" or text[23:26] == "000":
            return None
        if not (digits.isascii() and digits.isdigit()):
            return None
        fraction = int(digits)
    return second + fraction


def parse_instant_quickly(text: str) -> int:
    """What parse_instant says, faster: of a canonical text the second is remembered, the fraction is looked up."""
    micros = parse_canonical(text)
    if micros is None:
        micros = parse_instant(text)
        if text[-1] == "Z" and text[10] == "T":
            if len(_SECONDS) >= 200_000:
                _SECONDS.clear()
            _SECONDS[text[:19]] = micros - micros % MICROS_PER_SECOND
    return micros


@lru_cache(maxsize=8192)
def _format_second(second: int) -> str:
    return datetime_from_micros(second * MICROS_PER_SECOND).replace(tzinfo=None).isoformat()


_MILLIS = [f".{milli:03d}Z" for milli in range(1000)]


def format_instant(micros: int) -> str:
    """RFC 3339 in UTC, with as many decimals as the instant has: none, 3 or 6."""
    second, fraction = divmod(micros, MICROS_PER_SECOND)
    if not fraction:
        return _format_second(second) + "Z"
    milli, rest = divmod(fraction, 1000)
    return _format_second(second) + (f".{fraction:06d}Z" if rest else _MILLIS[milli])


def _instant(value: object) -> int:
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise ValueError("an instant is RFC 3339 text")
    try:
        return parse_instant(value)
    except OverflowError as error:
        raise ValueError(f"{value!r} lies outside the years 1 to 9999") from error


Instant = Annotated[
    int,
    BeforeValidator(_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""UTC microseconds inside, RFC 3339 on the wire."""
