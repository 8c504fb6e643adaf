"""What shared noise costs, against exact convolutions, Renyi divergences added up, and published bounds."""

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.check import shared_noise

SMALL = pytest.mark.parametrize("variance", [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(2)])
PARTS = pytest.mark.parametrize("parts", [2, 3, 4])

# -- the sum of parts, added up ----------------------------------------------------------------------------------------


@cache
def gaussian(variance: Fraction) -> dict[int, Decimal]:
    """P(x) of N_Z(0, variance) to 60 digits, far beyond what those digits show."""
    with localcontext(Context(prec=60)):
        reach = 1 + int(18 * math.sqrt(variance))
        rate = Decimal(variance.denominator) / (2 * variance.numerator)
        weights = {x: (-rate * x * x).exp() for x in range(-reach, reach + 1)}
        total = sum(weights.values())
        return {x: weight / total for x, weight in weights.items()}


@cache
def summed(variance: Fraction, parts: int) -> dict[int, Decimal]:
    with localcontext(Context(prec=60)):
        out = gaussian(variance)
        for _ in range(parts - 1):
            wider: dict[int, Decimal] = {}
            for x, p in out.items():
                for y, q in gaussian(variance).items():
                    wider[x + y] = wider.get(x + y, Decimal(0)) + p * q
            out = wider
        return out


@SMALL
@PARTS
def test_divergence_bounds_what_the_sum_of_parts_differs_by_and_is_near_it(variance: Fraction, parts: int) -> None:
    """Every two values within 8 roots: the exact difference is below tau, and for two parts hardly so."""
    tau = shared_noise.divergence(variance, parts)
    whole, single = summed(variance, parts), gaussian(variance * parts)
    reach = 2 + int(8 * math.sqrt(variance * parts))
    with localcontext(Context(prec=60)):
        logs = [(whole[x] / single[x]).ln() for x in range(-reach, reach + 1)]
        found = Fraction(max(logs) - min(logs))
    assert found <= tau
    assert parts > 2 or tau < Fraction(103, 100) * found


@SMALL
@PARTS
def test_divergence_is_below_that_of_kairouz_liu_and_steinke(variance: Fraction, parts: int) -> None:
    """Their tau (arXiv 2102.06387, theorem 1) is 10 times the sum of exp(-2 pi^2 v k / (k + 1)), v >= 1/4."""
    theirs = 10 * sum(math.exp(-2 * math.pi**2 * float(variance) * k / (k + 1)) for k in range(1, parts))
    assert 0.3 * theirs < shared_noise.divergence(variance, parts) < 0.45 * theirs


@SMALL
@PARTS
@pytest.mark.parametrize("moved", [1, 2, 3])
def test_renyi_divergence_of_neighbours_is_below_rho_times_alpha(variance: Fraction, parts: int, moved: int) -> None:
    """One cell, moved by a whole number: at orders 1.001 to 50 and at 1 (Kullback and Leibler), exactly added up."""
    whole = summed(variance, parts)
    rho = shared_noise.gaussian_rho(moved**2, variance, parts, 1)
    reach = int(14 * math.sqrt(variance * parts))
    values = [x for x in range(-reach, reach + 1) if x - moved in whole and x in whole]
    with localcontext(Context(prec=60)):
        logs = {x: (whole[x - moved] / whole[x]).ln() for x in values}
        assert Fraction(sum(whole[x - moved] * logs[x] for x in values)) <= rho
        for alpha in (Decimal("1.001"), Decimal("1.5"), Decimal(2), Decimal(8), Decimal(50)):
            moment = sum(whole[x - moved] * ((alpha - 1) * logs[x]).exp() for x in values)
            assert Fraction(moment.ln() / (alpha - 1) / alpha) <= rho


def test_correction_is_needed_at_small_variances() -> None:
    """A sum of two parts of variance 1/4, moved by 1: near order 1 it costs 11 % more than one part of 1/2."""
    whole, alpha = summed(Fraction(1, 4), 2), Decimal("1.001")
    with localcontext(Context(prec=60)):
        moment = sum(p * ((alpha - 1) * (p / whole[x + 1]).ln()).exp() for x, p in whole.items() if x + 1 in whole)
        costs = moment.ln() / (alpha - 1) / alpha
    assert Decimal("1.1") < costs < Decimal("1.12")
    assert shared_noise.gaussian_rho(1, Fraction(1, 2), 1, 1) == 1
    assert shared_noise.gaussian_rho(1, Fraction(1, 4), 2, 1) > Fraction(costs)


# -- the functions -----------------------------------------------------------------------------------------------------


def test_one_part_needs_no_correction_and_wide_parts_hardly_any() -> None:
    assert shared_noise.gaussian_rho(9, Fraction(50), 1, 10**6) == Fraction(9, 100)
    assert shared_noise.divergence(Fraction(1, 4), 1) == 0
    for variance in (Fraction(8), Fraction(2**40)):
        assert 0 < shared_noise.divergence(variance, 2) <= Fraction(1, 2**110)


def test_rho_counts_cells_that_move_and_no_others() -> None:
    """A person who moves the sums by 3 in L2 moves at most 9 of them, and at most those that there are."""
    tau = shared_noise.divergence(Fraction(1), 2)
    assert shared_noise.gaussian_rho(9, Fraction(1), 2, 10**6) == Fraction(9, 4) + 9 * tau
    assert shared_noise.gaussian_rho(9, Fraction(1), 2, 4) == Fraction(9, 4) + 4 * tau
    assert shared_noise.gaussian_rho(Fraction(19, 2), Fraction(1), 2, 100) == Fraction(19, 8) + 9 * tau


@settings(max_examples=15, deadline=None)
@given(
    st.fractions(min_value=Fraction(1, 10**6), max_value=3, max_denominator=10**6),
    st.integers(1, 10**6),
    st.integers(1, 5),
    st.integers(1, 10**6),
)
def test_variance_for_a_rho_is_the_least_on_its_grid(rho: Fraction, squared: int, parts: int, cells: int) -> None:
    found = shared_noise.part_variance(rho, squared, parts, cells)
    assert (found * 2**20).denominator == 1
    assert shared_noise.gaussian_rho(squared, found, parts, cells) <= rho
    if found > shared_noise.MIN_VARIANCE:
        assert shared_noise.gaussian_rho(squared, found - Fraction(1, 2**20), parts, cells) > rho


def test_divergence_falls_with_the_variance_and_grows_with_the_parts() -> None:
    steps = [shared_noise.divergence(Fraction(n, 16), 3) for n in range(4, 40)]
    assert steps == sorted(steps, reverse=True)
    steps = [shared_noise.divergence(Fraction(1, 4), parts) for parts in range(1, 10)]
    assert steps == sorted(steps) and len(set(steps)) == 9


def test_two_pi_squared_is_less_than_it_is() -> None:
    """Machin's formula, in whole numbers."""

    def arctan_inverse(n: int) -> int:
        one = 10**60
        return sum((-1) ** k * one // ((2 * k + 1) * n ** (2 * k + 1)) for k in range(50))

    pi = Fraction(16 * arctan_inverse(5) - 4 * arctan_inverse(239), 10**60)
    assert 0 < 2 * pi**2 - shared_noise._TWO_PI_SQUARED < Fraction(1, 10**16)


def test_laplace_loss_adds_what_each_column_costs() -> None:
    columns = [(1, Fraction(1, 10)), (5, Fraction(1, 15)), (40, Fraction(7, 1200))]
    assert shared_noise.laplace_loss(columns) == Fraction(1, 10) + Fraction(1, 3) + Fraction(7, 30)
    assert shared_noise.laplace_loss([]) == 0


@pytest.mark.parametrize(("m", "t", "n"), [(2, 1, 1), (3, 1, 2), (3, 2, 1), (5, 2, 3), (3, 0, 3)])
def test_honest_parts(m: int, t: int, n: int) -> None:
    assert shared_noise.honest_parts(m, t) == n


@pytest.mark.parametrize(("m", "t"), [(2, 2), (2, -1), (0, 0), (1, 3)])
def test_nobody_honest_is_refused(m: int, t: int) -> None:
    with pytest.raises(ValueError, match="honest"):
        shared_noise.honest_parts(m, t)


@pytest.mark.parametrize(
    ("squared", "variance", "parts", "cells", "match"),
    [
        (0, Fraction(1), 2, 1, "release"),
        (1, Fraction(1), 0, 1, "release"),
        (1, Fraction(1), 2, 0, "release"),
        (1, Fraction(249, 1000), 1, 1, "1/4"),
        (1, Fraction(0), 1, 1, "1/4"),
    ],
)
def test_what_is_no_gaussian_release_is_refused(
    squared: int, variance: Fraction, parts: int, cells: int, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        shared_noise.gaussian_rho(squared, variance, parts, cells)


def test_what_is_no_loss_is_refused() -> None:
    for column in ((0, Fraction(1)), (1, Fraction(0)), (1, Fraction(-1))):
        with pytest.raises(ValueError, match="a column has"):
            shared_noise.laplace_loss([column])
    with pytest.raises(ValueError, match="rho"):
        shared_noise.part_variance(Fraction(0), 1, 1, 1)
    with pytest.raises(ValueError, match="release"):
        shared_noise.part_variance(Fraction(1), 0, 1, 1)
