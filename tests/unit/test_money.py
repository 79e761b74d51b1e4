"""Money is whole picodollars; text is read exactly or not at all, and rounded only to be looked at (R13)."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.money import (
    PICOUSD_PER_USD,
    Picousd,
    Searches,
    Tokens,
    UsdAmount,
    headroom_for_people,
    picousd_from_usd,
    spend_for_people,
    usd_from_picousd,
)

AMOUNT: TypeAdapter[int] = TypeAdapter(UsdAmount)
PICOUSD: TypeAdapter[int] = TypeAdapter(Picousd)
CENT = 10**10


@pytest.mark.parametrize(
    ("usd", "picousd"),
    [
        ("0", 0),
        ("1", 10**12),
        ("12.50", 12 * 10**12 + 5 * 10**11),
        ("0.000000000001", 1),
        ("-0.000000000001", -1),
        ("0.1", 10**11),
        ("90071992547409.93", 9_007_199_254_740_993 * CENT),  # cents beyond 2**53
    ],
)
def test_a_decimal_string_is_exact_picodollars(usd: str, picousd: int) -> None:
    assert picousd_from_usd(usd) == picousd


@pytest.mark.parametrize(
    "usd", ["", ".5", "5.", "+1", "1e3", "1,000", " 1", "1\n", "NaN", "--1", "0.0000000000001", "１"]
)
def test_what_is_no_plain_decimal_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="is not a plain decimal"):
        picousd_from_usd(usd)


@given(st.integers(-(10**30), 10**30))
def test_reading_what_was_written_gives_the_same_picodollars(picousd: int) -> None:
    usd = usd_from_picousd(picousd)
    assert picousd_from_usd(usd) == picousd
    assert Fraction(usd) * PICOUSD_PER_USD == picousd


@pytest.mark.parametrize(
    ("picousd", "usd"),
    [(0, "0.00"), (1, "0.000000000001"), (-1, "-0.000000000001"), (5 * 10**11, "0.50"), (-(10**12), "-1.00")],
)
def test_dollars_have_two_decimals_at_least_and_no_trailing_zeros_beyond(picousd: int, usd: str) -> None:
    assert usd_from_picousd(picousd) == usd


@pytest.mark.parametrize(
    ("picousd", "shown"),
    [
        (CENT // 2 - 1, "$0.00"),
        (CENT // 2, "$0.01"),
        (123_456_789 * CENT, "$1,234,567.89"),
        (-CENT, "-$0.01"),
        (-CENT // 2, "$0.00"),  # half up: towards more
        (-CENT // 2 - 1, "-$0.01"),
    ],
)
def test_spend_is_shown_rounded_half_up(picousd: int, shown: str) -> None:
    assert spend_for_people(picousd) == shown


@pytest.mark.parametrize(
    ("picousd", "shown"),
    [(CENT - 1, "$0.00"), (CENT, "$0.01"), (0, "$0.00"), (-1, "-$0.01"), (-CENT, "-$0.01"), (-CENT - 1, "-$0.02")],
)
def test_headroom_is_shown_rounded_down(picousd: int, shown: str) -> None:
    assert headroom_for_people(picousd) == shown


@pytest.mark.parametrize(
    ("usd", "picousd"), [("0", 0), ("0.00", 0), ("250", 250 * 10**12), ("999999999.99", 99_999_999_999 * CENT)]
)
def test_an_amount_people_enter_has_at_most_two_decimals(usd: str, picousd: int) -> None:
    assert AMOUNT.validate_python(usd) == picousd


@pytest.mark.parametrize(
    "usd", ["1000000000", "0.001", "-1", "-0", "1e2", "", " 1", "1\n", "１２", "٣", 5, 5.0, True, None, Decimal(1)]
)
def test_any_other_amount_is_refused(usd: Any) -> None:
    with pytest.raises(ValidationError):
        AMOUNT.validate_python(usd)


@given(st.integers(0, 99_999_999_999))
def test_an_amount_is_written_as_it_can_be_entered(cents: int) -> None:
    written = AMOUNT.dump_python(cents * CENT)
    assert AMOUNT.validate_python(written) == cents * CENT


@given(st.integers(-(10**37), 10**37))
def test_picodollars_go_over_the_wire_as_digits(picousd: int) -> None:
    assert PICOUSD.dump_python(picousd) == str(picousd)
    assert PICOUSD.validate_python(str(picousd)) == picousd


@pytest.mark.parametrize("text", ["", "+1", "01", "1.0", "1e3", "٣", "１", "1\n", "-", "--1", 1.0, True, None])
def test_anything_but_digits_is_no_picodollars(text: Any) -> None:
    with pytest.raises(ValidationError):
        PICOUSD.validate_python(text)


@pytest.mark.parametrize(("count", "most"), [(Tokens, 100_000_000), (Searches, 100_000)])
def test_a_count_goes_from_nothing_to_its_bound(count: Any, most: int) -> None:
    counts: TypeAdapter[int] = TypeAdapter(count)
    assert counts.validate_python(0, strict=True) == 0
    assert counts.validate_python(most, strict=True) == most
    for absurd in (-1, most + 1, 1.0, "1", True, 2**53 + 1):
        with pytest.raises(ValidationError):
            counts.validate_python(absurd, strict=True)
