"""Money as whole picodollars: decimal strings in, exact integers inside, exact decimal strings out.

A picodollar is 10**-12 USD. Every API rate is a whole number of them per token after every variant, so sums of
prices are exact, in any order. No float ever holds money. Source: docs/rules.md R13.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

PICOUSD_PER_USD = 10**12
PICOUSD_PER_CENT = 10**10

_DECIMAL = re.compile(r"(-?)(\d{1,26})(?:\.(\d{1,12}))?", re.ASCII)
_AMOUNT = re.compile(r"\d{1,9}(?:\.\d{1,2})?", re.ASCII)
_DIGITS = re.compile(r"-?(?:0|[1-9]\d{0,37})", re.ASCII)


def picousd_from_usd(usd: str) -> int:
    """Exact picodollars of a decimal string of dollars.

    Raises:
        ValueError: not a plain decimal, or finer than a picodollar.
    """
    match = _DECIMAL.fullmatch(usd)
    if match is None:
        raise ValueError(f"{usd!r} is not a plain decimal number of dollars with at most 12 decimals")
    sign, whole, fraction = match.groups()
    picousd = int(whole) * PICOUSD_PER_USD + int((fraction or "").ljust(12, "0"))
    return -picousd if sign else picousd


def usd_from_picousd(picousd: int) -> str:
    """The exact dollars, with at least two decimals and no trailing zeros beyond them: `12.50`, `0.000000000001`."""
    whole, fraction = divmod(abs(picousd), PICOUSD_PER_USD)
    decimals = f"{fraction:012d}".rstrip("0").ljust(2, "0")
    return f"{'-' if picousd < 0 else ''}{whole}.{decimals}"


def spend_for_people(picousd: int) -> str:
    """Dollars and cents, rounded half up: how spend is shown (R13)."""
    return _cents(picousd + PICOUSD_PER_CENT // 2)


def headroom_for_people(picousd: int) -> str:
    """Dollars and cents, rounded down: how headroom and balances are shown (R13)."""
    return _cents(picousd)


def exact_for_people(amounts_picousd: Iterable[int]) -> list[str]:
    """Exact dollars for one column: all with as many decimals as one of them needs, at least two, at most twelve."""
    amounts = list(amounts_picousd)
    fractions = [f"{abs(amount) % PICOUSD_PER_USD:012d}" for amount in amounts]
    decimals = max((len(fraction.rstrip("0")) for fraction in fractions), default=2)
    return [
        f"{'-' if amount < 0 else ''}${abs(amount) // PICOUSD_PER_USD:,}.{fraction[: max(decimals, 2)]}"
        for amount, fraction in zip(amounts, fractions, strict=True)
    ]


def _cents(picousd: int) -> str:
    cents = picousd // PICOUSD_PER_CENT
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def _amount(value: object) -> int:
    if not isinstance(value, str) or _AMOUNT.fullmatch(value) is None:
        raise ValueError("an amount is a string of dollars from 0 to 999999999.99 with at most 2 decimals")
    return picousd_from_usd(value)


def _digits(value: object) -> int:
    if not isinstance(value, str) or _DIGITS.fullmatch(value) is None:
        raise ValueError("picodollars are a string of digits")
    return int(value)


UsdAmount = Annotated[
    int,
    BeforeValidator(_amount),
    PlainSerializer(lambda picousd: str(Decimal(usd_from_picousd(picousd)).quantize(Decimal("0.01"))), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(\.\d{1,2})?$", "description": "US dollars"}),
]
"""What a person entered: picodollars inside, dollars with at most 2 decimals on the wire (R13)."""

Picousd = Annotated[
    int,
    BeforeValidator(lambda value: value if type(value) is int else _digits(value)),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?(0|[1-9]\d*)$", "description": "10**-12 US dollars"}),
]
"""Exact money: an integer inside, a string of digits on the wire, since JSON numbers end at 2**53 (R13)."""

Tokens = Annotated[int, Field(ge=0, le=100_000_000)]
"""Tokens of one kind in one event; more is absurd (R17)."""

Searches = Annotated[int, Field(ge=0, le=100_000)]
