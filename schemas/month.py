"""The calendar month, UTC, half open: an instant in, the one month that holds it out. Source: docs/rules.md R18."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from schemas.instants import datetime_from_micros, micros_from_datetime

_TEXT = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)


class Month(NamedTuple):
    """A month of the calendar; months compare and sort by time."""

    year: int
    number: int

    @classmethod
    def containing(cls, micros: int) -> "Month":
        """The month that holds an instant; its first instant is its own, its last one's successor is not."""
        at = datetime_from_micros(micros)
        return cls(at.year, at.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """The month written `2026-01`.

        Raises:
            ValueError: anything else.
        """
        return _parsed(text)

    @property
    def start_micros(self) -> int:
        """Its first instant."""
        return _start_micros(self)

    @property
    def end_micros(self) -> int:
        """The first instant after it."""
        return _start_micros(self.next())

    def next(self) -> "Month":
        """The month after it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def previous(self) -> "Month":
        """The month before it."""
        return Month(self.year, self.number - 1) if self.number > 1 else Month(self.year - 1, 12)

    def __str__(self) -> str:
        return _text(self)


# Remembered, since every line of every invoice asks.


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Month:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:16]!r} is not a month like 2026-01")
    return Month(int(match[1]), int(match[2]))


@lru_cache(maxsize=4096)
def _text(month: Month) -> str:
    return f"{month.year:04d}-{month.number:02d}"


@lru_cache(maxsize=4096)
def _start_micros(month: Month) -> int:
    return micros_from_datetime(datetime(month.year, month.number, 1, tzinfo=UTC))


def _month(value: object) -> Month:
    if isinstance(value, Month):
        return value
    if not isinstance(value, str):
        raise ValueError("a month is text like 2026-01")
    return Month.parse(value)


MonthText = Annotated[
    Month,
    BeforeValidator(_month),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-(0[1-9]|1[0-2])$"}),
]
"""A Month inside, `2026-01` on the wire."""
