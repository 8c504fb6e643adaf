"""exp(-x) by whole numbers, against `decimal`."""

from decimal import Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.kernels.exponential import exp_minus


@settings(max_examples=100, deadline=None)
@given(st.fractions(min_value=0, max_value=2**20, max_denominator=10**9))
def test_exp_minus_is_exact_to_its_last_places(x: Fraction) -> None:
    with localcontext(Context(prec=200)):
        exact = (-Decimal(x.numerator) / Decimal(x.denominator)).exp() * 2**384
        assert abs(exact - exp_minus(x)) < 3


@pytest.mark.parametrize("x", [Fraction(0), Fraction(1, 2**60), Fraction(266), Fraction(267), Fraction(2**20)])
def test_exp_minus_at_its_ends(x: Fraction) -> None:
    with localcontext(Context(prec=200)):
        exact = (-Decimal(x.numerator) / Decimal(x.denominator)).exp() * 2**384
        assert abs(exact - exp_minus(x)) < 3


@pytest.mark.parametrize("x", [Fraction(-1, 2**70), Fraction(2**20) + Fraction(1, 3)])
def test_exp_minus_of_what_it_does_not_take_is_refused(x: Fraction) -> None:
    with pytest.raises(ValueError, match="exp_minus"):
        exp_minus(x)
