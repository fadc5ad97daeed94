"""Money: exact in and out, and clear about what is no money."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.money import NANOS_PER_USD, ceil_div, format_usd, parse_usd, round_div

AMOUNTS = [
    ("0", 0, "0.00"),
    ("200.00", 200 * NANOS_PER_USD, "200.00"),
    ("5", 5 * NANOS_PER_USD, "5.00"),
    ("0.000000001", 1, "0.000000001"),
    ("171.2", 171_200_000_000, "171.20"),
    ("999999999999.999999999", 10**21 - 1, "999999999999.999999999"),
    ("007.50", 7_500_000_000, "7.50"),
]


@pytest.mark.parametrize(("text", "nanos", "back"), AMOUNTS)
def test_amounts(text, nanos, back):
    """A decimal string is that many nano-USD, and is written back without losing any."""
    assert parse_usd(text) == nanos
    assert format_usd(nanos) == back


@given(st.integers(-(10**21), 10**21))
def test_every_amount_is_written_exactly(nanos):
    """Writing loses nothing, whatever the amount and its sign."""
    text = format_usd(nanos)
    assert Fraction(text) * NANOS_PER_USD == nanos
    assert len(text.partition(".")[2]) >= 2
    if 0 <= nanos < 10**21:
        assert parse_usd(text) == nanos


NO_AMOUNTS = [
    (200.0, 'such as "200.0"'),
    (5, 'such as "5"'),
    (-3, 'such as "3"'),
    (1e-05, 'such as "0.00"'),
    (True, "true is not an amount"),
    (float("nan"), "nan is not an amount"),
    (float("inf"), "inf is not an amount"),
    (10**400, "is not an amount"),
    (None, "None is not an amount"),
    ("-1", "without sign"),
    ("+1", "without sign"),
    ("1e3", "'1e3' is not an amount"),
    ("1,000", "'1,000' is not an amount"),
    ("$5", "'$5' is not an amount"),
    ("", "'' is not an amount"),
    (" 5", "' 5' is not an amount"),
    ("5\n", "is not an amount"),
    (".5", "'.5' is not an amount"),
    ("5.", "'5.' is not an amount"),
    ("\u0665", "is not an amount"),
    ("0.0000000001", "9 after the point"),
    ("1000000000000", "at most 12 digits"),
    (["5"], "is not an amount"),
]


@pytest.mark.parametrize(("value", "message"), NO_AMOUNTS)
def test_no_amounts(value, message):
    """What is no amount is refused with its value and what to write instead."""
    with pytest.raises(ValueError) as caught:
        parse_usd(value)
    assert message in str(caught.value)
    assert "quoted decimal string" in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.integers(0, 10**24), st.integers(1, 10**9))
def test_rounding(numerator, denominator):
    """Worst cases round up and real costs half up, exactly, for numbers beyond what a float holds."""
    exact = Fraction(numerator, denominator)
    assert 0 <= ceil_div(numerator, denominator) - exact < 1
    assert -Fraction(1, 2) < round_div(numerator, denominator) - exact <= Fraction(1, 2)
