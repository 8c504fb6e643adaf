"""The accountant of rho, with dp-accounting as the second opinion: never less than what it says, and not much more."""

import math
from fractions import Fraction
from random import Random

import pytest

from pets.kernels.accountant import epsilon_of, rho_of, upwards
from tests.oracles.accountants import Composed, by_laws, by_orders, drawn

GRID = 1e-5
"""Between two orders of the second opinion's grid the best one may be better by so much."""

GAUSSIAN, MIXED = 1.15, 8
"""How many times the true epsilon ours may be, of Gaussian mechanisms alone and beside pure ones.

A pure epsilon alone comes back from rho = epsilon^2 / 2 as about epsilon * sqrt(2 ln(1 / delta)), 7.5 times at 2^-40: a
cap in rho is for many releases, or for those that have Gaussian noise.
"""


def ours(composed: Composed) -> Fraction:
    rho = sum(composed.rhos, Fraction(0)) + sum(map(rho_of, composed.epsilons), Fraction(0))
    return epsilon_of(rho, composed.delta)


def as_by_orders(seed: str, rounds: int) -> None:
    draw = Random(seed)
    for _ in range(rounds):
        composed = drawn(draw)
        rhos = (*composed.rhos, *map(rho_of, composed.epsilons))
        mine, theirs = float(ours(composed)), by_orders(rhos, composed.delta)
        assert theirs * (1 - GRID) <= mine <= theirs * (1 + GRID), composed


def test_compositions_cost_what_the_second_opinion_finds_by_orders() -> None:
    as_by_orders("orders", 100)


@pytest.mark.long
def test_a_thousand_compositions_cost_what_the_second_opinion_finds_by_orders() -> None:
    as_by_orders("more orders", 1000)


def never_less_than_the_law(seed: str, rounds: int) -> None:
    draw = Random(seed)
    for _ in range(rounds):
        composed = drawn(draw)
        mine, theirs = float(ours(composed)), by_laws(composed)
        assert theirs <= mine <= theirs * (MIXED if composed.epsilons else GAUSSIAN), composed


def test_compositions_cost_no_less_than_the_second_opinion_s_laws() -> None:
    never_less_than_the_law("laws", 6)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_compositions_cost_no_less_than_the_second_opinion_s_laws() -> None:
    never_less_than_the_law("more laws", 1000)


def test_a_sum_of_pure_losses_is_the_second_opinion_s() -> None:
    """The ledger adds them exactly. At a delta that is next to nothing so does the law, on a grid of 1e-4 for each."""
    draw = Random("pure")
    for _ in range(4):
        epsilons = tuple(Fraction(draw.randint(1, 64), 64) for _ in range(draw.randint(1, 5)))
        theirs = by_laws(Composed((), epsilons, Fraction(1, 10**12)))
        assert abs(theirs - float(sum(epsilons))) <= 1e-4 * len(epsilons)


@pytest.mark.parametrize("epsilon", [Fraction(1, 3), Fraction(7, 10), Fraction(1), Fraction(3, 7), Fraction(1, 10**9)])
def test_the_rho_of_an_epsilon_is_rounded_up_and_by_next_to_nothing(epsilon: Fraction) -> None:
    exact = epsilon**2 / 2
    assert exact <= rho_of(epsilon) <= exact * (1 + Fraction(1, 2**50))


def test_nothing_costs_nothing() -> None:
    assert rho_of(Fraction(0)) == epsilon_of(Fraction(0), Fraction(1, 2)) == 0


def test_more_rho_and_less_delta_are_more_epsilon() -> None:
    found = [epsilon_of(Fraction(rho, 100), Fraction(1, 2**30)) for rho in range(1, 40)]
    assert found == sorted(set(found))
    found = [epsilon_of(Fraction(1, 8), Fraction(1, 2**bits)) for bits in range(1, 60)]
    assert found == sorted(found)


def test_the_delta_of_a_conversion_is_rounded_down() -> None:
    """1/3 is no float: the next smaller one is meant, at which there is no less to pay."""
    below = Fraction(math.nextafter(1 / 3, 0.0))
    assert epsilon_of(Fraction(2), Fraction(1, 3)) >= epsilon_of(Fraction(2), Fraction(1 / 3))
    assert Fraction(1 / 3) < Fraction(1, 3) and below < Fraction(1 / 3)


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(2, 3), Fraction(1, 10), Fraction(2**53 + 1), Fraction(0)])
def test_upwards_is_the_next_float_that_is_not_less(value: Fraction) -> None:
    found = Fraction(upwards(value))
    assert found >= value > (Fraction(math.nextafter(float(found), -math.inf)) if value else Fraction(-1))


def test_a_loss_beyond_all_use_has_no_epsilon() -> None:
    with pytest.raises(OverflowError):
        epsilon_of(Fraction(10**9), Fraction(1, 2**30))


@pytest.mark.parametrize("delta", [Fraction(0), Fraction(1), Fraction(-1, 2)])
def test_a_delta_is_between_nothing_and_one(delta: Fraction) -> None:
    with pytest.raises(ValueError, match="delta"):
        epsilon_of(Fraction(1), delta)


def test_a_loss_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        rho_of(Fraction(-1))
