"""Losses and dummies against known values."""

from decimal import Decimal, getcontext, localcontext
from fractions import Fraction

import pytest

from pets.check.budget import (
    Loss,
    dummy_delta,
    dummy_slots,
    exact,
    split_epsilon,
    total,
)
from pets.errors import LeakError

# -- losses --


def test_epsilon_is_split_exactly_and_completely() -> None:
    names = ("count(*)", "people", "sum(a.x)")
    parts = split_epsilon(Fraction(1), names, {"sum(a.x)": 2})
    assert parts == {"count(*)": Fraction(1, 4), "people": Fraction(1, 4), "sum(a.x)": Fraction(1, 2)}
    assert sum(split_epsilon(Fraction(1, 7), names, {}).values()) == Fraction(1, 7)


def test_a_weight_for_a_column_that_is_not_noised_is_refused() -> None:
    with pytest.raises(LeakError) as refusal:
        split_epsilon(Fraction(1), ("count(*)",), {"sum(a.z)": 2})
    assert refusal.value.text == (
        "dp.weights: release.differential_privacy.weights names sum(a.z), which the query does not noise"
    )


def test_losses_add_without_rounding() -> None:
    tenth = Loss(Fraction(1, 10), Fraction(1, 2**40))
    assert total([tenth] * 10) == tenth * 10 == Loss(Fraction(1), Fraction(10, 2**40))
    assert tenth.within(tenth) and not (tenth + tenth).within(tenth)
    with pytest.raises(ValueError, match="negative"):
        Loss(Fraction(-1))


# -- the helper's count (protocols.md 1.10) --

TABLE = {
    ("1/10", 1): 248,
    ("1/10", 5): 1239,
    ("1/10", 10): 2478,
    ("1/2", 1): 53,
    ("1/2", 5): 266,
    ("1/2", 10): 532,
    ("1", 1): 27,
    ("1", 5): 138,
    ("1", 10): 276,
}


@pytest.mark.parametrize(("epsilon", "k"), TABLE)
def test_dummy_slots_are_the_table_of_the_design(epsilon: str, k: int) -> None:
    assert dummy_slots(Fraction(epsilon), Fraction(1, 2**40), k) == TABLE[epsilon, k]


@pytest.mark.parametrize("k", (1, 2, 3))
def test_dummy_delta_is_the_mass_outside_the_common_support(k: int) -> None:
    """Against the definition: the conditioned law summed up, and its hockey-stick divergence from its shift by k."""
    epsilon, s = Fraction(1, 2), 9
    with localcontext() as context:
        context.prec = 60
        alpha = (Decimal(-1) / (2 * k)).exp()
        weights = {i: alpha ** abs(i) for i in range(-s, s + 1)}
        whole = sum(weights.values())
        law = {i: w / whole for i, w in weights.items()}
        bound = Decimal("0.5").exp()
        for shift in range(1, k + 1):
            excess = sum(max(p - bound * law.get(i + shift, Decimal(0)), Decimal(0)) for i, p in law.items())
            other = sum(max(p - bound * law.get(i - shift, Decimal(0)), Decimal(0)) for i, p in law.items())
            claimed = dummy_delta(epsilon, k, s)
            assert max(excess, other) <= claimed * (1 + Decimal(10) ** -40)
            if shift == k:
                assert abs(excess - claimed) < Decimal(10) ** -40


def test_dummy_slots_do_not_depend_on_the_surroundings() -> None:
    before = getcontext().prec
    try:
        getcontext().prec = 3
        assert dummy_slots(Fraction(1, 10), Fraction(1, 2**40), 10) == 2478
    finally:
        getcontext().prec = before


def test_dummy_slots_refuse_nonsense() -> None:
    for epsilon, delta, k in ((0, Fraction(1, 2), 1), (1, Fraction(1), 1), (1, Fraction(1, 2), 0)):
        with pytest.raises(ValueError, match="positive"):
            dummy_slots(Fraction(epsilon), delta, k)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3, 2), "1.5"),
        (Fraction(0), "0"),
        (Fraction(20), "20"),
        (Fraction(1, 3), "1/3"),
        (Fraction(1, 2**40), "2^-40"),
        (Fraction(1, 64), "0.015625"),
        (Fraction(5, 100), "0.05"),
    ],
)
def test_exact_quantities_are_written_exactly(value: Fraction, text: str) -> None:
    assert exact(value) == text
