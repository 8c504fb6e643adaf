"""OpenDP's word on what noise costs, against ours."""

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.check import shared_noise
from pets.kernels import accountant


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**40), st.fractions(min_value=Fraction(1, 1000), max_value=20, max_denominator=10**6))
def test_opendp_accounts_for_a_column_what_we_say(sensitivity: int, epsilon: Fraction) -> None:
    theirs = Fraction(accountant.accounted_epsilon(sensitivity, epsilon))
    assert epsilon <= theirs <= epsilon * (1 + Fraction(1, 10**12))


def test_opendp_composes_three_columns_as_the_hand_does() -> None:
    parts = [Fraction(1, 10), Fraction(1, 3), Fraction(7, 30)]
    theirs = Fraction(accountant.accounted_total(parts))
    assert Fraction(2, 3) <= theirs <= Fraction(2, 3) * (1 + Fraction(1, 10**12))
    assert accountant.accounted_total([]) == 0


def test_accountant_refuses_what_is_no_column() -> None:
    for sensitivity, epsilon in ((0, Fraction(1)), (1, Fraction(0)), (1, Fraction(-1))):
        with pytest.raises(ValueError, match="a column has"):
            accountant.accounted_epsilon(sensitivity, epsilon)
    with pytest.raises(ValueError, match="a column has"):
        accountant.accounted_total([Fraction(1), Fraction(0)])


def test_importing_kernels_does_not_import_opendp() -> None:
    program = "import sys, pets.kernels.accountant; sys.exit('opendp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 2**40),
    st.fractions(min_value=Fraction(1, 4), max_value=2**40, max_denominator=10**6),
    st.integers(1, 1000),
)
def test_opendp_accounts_for_gaussian_noise_what_we_say_of_one_part(
    squared: int, variance: Fraction, cells: int
) -> None:
    ours = shared_noise.gaussian_rho(squared, variance, 1, cells)
    assert ours <= Fraction(accountant.accounted_rho(squared, variance)) <= ours * (1 + Fraction(1, 10**12))


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_opendp_accounts_for_the_sum_of_wide_parts_what_we_say(parts: int) -> None:
    """From a variance of 8 on what the sum adds is less than a float shows."""
    ours = shared_noise.gaussian_rho(9, Fraction(8), parts, 1_000_000)
    theirs = Fraction(accountant.accounted_rho(9, Fraction(8) * parts))
    assert abs(theirs / ours - 1) < Fraction(1, 10**12)


def test_opendp_is_not_asked_about_what_is_no_release() -> None:
    for squared, variance in ((0, Fraction(1)), (1, Fraction(0))):
        with pytest.raises(ValueError, match="a release has"):
            accountant.accounted_rho(squared, variance)
