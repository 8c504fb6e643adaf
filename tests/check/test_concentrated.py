"""What a rho is as an epsilon, against OpenDP and against the bound at every order."""

import math
from decimal import getcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.check.budget import Loss, read, read_at
from pets.check.concentrated import READ_AT, epsilon_at
from pets.kernels import accountant
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from tests.check.corpus import HERE

RHOS = st.fractions(min_value=Fraction(1, 10**6), max_value=1000, max_denominator=10**6)
DELTAS = st.integers(4, 400).map(lambda bits: Fraction(1, 2**bits))


@settings(max_examples=60, deadline=None)
@given(RHOS, DELTAS)
def test_it_is_what_opendp_says(rho: Fraction, delta: Fraction) -> None:
    ours, theirs = epsilon_at(rho, delta), accountant.epsilon_of(rho, delta)
    assert abs(ours - theirs) <= Fraction(2, 10**9) + theirs / 10**9


@settings(max_examples=40, deadline=None)
@given(RHOS, DELTAS, st.floats(1.0001, 1e4))
def test_no_order_gives_less(rho: Fraction, delta: Fraction, alpha: float) -> None:
    """The bound of Canonne, Kamath and Steinke at one order, in floating point."""
    log_delta = math.log(delta.numerator) - math.log(delta.denominator)
    at = max(alpha * float(rho) + math.log1p(-1 / alpha) - (math.log(alpha) + log_delta) / (alpha - 1), 0.0)
    assert float(epsilon_at(rho, delta)) <= at * (1 + 1e-9) + 1e-8


def test_more_rho_or_less_delta_is_more_epsilon() -> None:
    rhos = [Fraction(n, 100) for n in range(1, 200, 20)]
    found = [epsilon_at(rho, READ_AT) for rho in rhos]
    assert found == sorted(found) and len(set(found)) == len(found)
    assert epsilon_at(rhos[0], Fraction(1, 2**40)) > found[0]
    assert epsilon_at(Fraction(0), READ_AT) == 0


def test_it_does_not_depend_on_the_surroundings() -> None:
    before, known = getcontext().prec, epsilon_at(Fraction(1, 7), READ_AT)
    epsilon_at.cache_clear()
    try:
        getcontext().prec = 3
        assert epsilon_at(Fraction(1, 7), READ_AT) == known
    finally:
        getcontext().prec = before


@pytest.mark.parametrize(
    ("rho", "delta"), [(Fraction(-1), READ_AT), (Fraction(1), Fraction(0)), (Fraction(1), Fraction(1))]
)
def test_nonsense_is_refused(rho: Fraction, delta: Fraction) -> None:
    with pytest.raises(ValueError, match="a loss is not negative"):
        epsilon_at(rho, delta)


def spec_of(name: str) -> Spec:
    return parse_toml((HERE / "should_pass" / f"{name}.toml").read_text())


def test_a_loss_is_read_at_the_delta_of_the_specification() -> None:
    gaussian, laplace = spec_of("gaussian_noise"), spec_of("ae_by_tenure")
    assert (read_at(gaussian), read_at(laplace)) == (Fraction(1, 2**30), READ_AT)
    loss = Loss(Fraction(1, 2), rho=Fraction(1, 10))
    assert read(loss, gaussian) == Fraction(1, 2) + epsilon_at(Fraction(1, 10), Fraction(1, 2**30))
    assert read(Loss(Fraction(3)), laplace) == 3, "a pure loss is read as it is"
