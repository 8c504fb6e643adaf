"""The number of dummies against its formula, the checker's, and the draws counted one for one."""

import hashlib
import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pets.check.budget import dummy_slots
from pets.kernels import dummy
from tests.oracles.laws import Philox

DELTA = Fraction(1, 2**40)

SLOTS = {
    (Fraction(1, 10), 1): 248,
    (Fraction(1, 10), 5): 1239,
    (Fraction(1, 10), 10): 2478,
    (Fraction(1, 2), 1): 53,
    (Fraction(1, 2), 5): 266,
    (Fraction(1, 2), 10): 532,
    (Fraction(1), 1): 27,
    (Fraction(1), 5): 138,
    (Fraction(1), 10): 276,
}


@pytest.mark.parametrize(("epsilon", "k"), SLOTS)
def test_slots_of_the_design_are_enough_and_one_less_is_not(epsilon: Fraction, k: int) -> None:
    s = SLOTS[epsilon, k]
    table = dummy.dummy_table(epsilon, DELTA, k, s)
    with localcontext(Context(prec=60)):
        alpha = (-Decimal(epsilon.numerator) / (Decimal(epsilon.denominator) * k)).exp()
        formula = alpha ** (s - k + 1) * (1 - alpha**k) / (1 + alpha - 2 * alpha ** (s + 1))
        found = dummy.helper_delta(table)
        assert abs(Decimal(found.numerator) / Decimal(found.denominator) / formula - 1) < Decimal(2) ** -60
    with pytest.raises(ValueError, match="too few"):
        dummy.dummy_table(epsilon, DELTA, k, s - 1)


@pytest.mark.parametrize("bits", [20, 40, 80])
@pytest.mark.parametrize(("epsilon", "k"), [(Fraction(7, 3), 1), (Fraction(1, 3), 2), (Fraction(3, 10), 20)])
def test_slots_that_the_checker_finds_are_the_fewest_that_the_table_allows(
    epsilon: Fraction, k: int, bits: int
) -> None:
    """Two computations of one delta: decimal from the formula there, the 2^128 draws counted one for one here."""
    delta = Fraction(1, 2**bits)
    s = dummy_slots(epsilon, delta, k)
    assert dummy.helper_delta(dummy.dummy_table(epsilon, delta, k, s)) <= delta
    with pytest.raises(ValueError, match="too few"):
        dummy.dummy_table(epsilon, delta, k, s - 1)


def test_fewer_rows_of_difference_give_a_smaller_delta() -> None:
    table = dummy.dummy_table(Fraction(1, 2), DELTA, 5, 266)
    edges = (0, *table.thresholds, 2**128)
    draws = [b - a for a, b in pairwise(edges)]
    bound = Fraction(math.exp(0.5)) * (1 - Fraction(1, 2**50))
    deltas = []
    for shift in range(1, 6):
        pairs = zip(draws + [0] * shift, [0] * shift + draws, strict=True)
        deltas.append(sum(max(Fraction(0), p - bound * q) for p, q in pairs) / 2**128)
    assert deltas == sorted(deltas) and deltas[-1] <= DELTA * (1 + Fraction(1, 2**20))


def test_weights_and_digest_are_those_of_the_discrete_laplace_to_the_last_place() -> None:
    """Both parties compare digests, so every machine must find these very integers; here they come from `decimal`."""
    table = dummy.dummy_table(Fraction(1, 2), DELTA, 5, 266)
    with localcontext(Context(prec=200)):
        side = [int((Decimal(-distance) / 10).exp() * 2**192) for distance in range(267)]
    assert list(table.weights) == [*side[:0:-1], *side]
    body = b"pets/1 dummies\0" + b"1/2 1/1099511627776 5 266\0" + b"".join(w.to_bytes(25, "big") for w in table.weights)
    assert table.digest == hashlib.sha256(body).hexdigest()


def test_thresholds_give_each_outcome_its_share_of_the_draws() -> None:
    table = dummy.dummy_table(Fraction(1), DELTA, 1, 27)
    total = sum(table.weights)
    shares = [b - a for a, b in pairwise((0, *table.thresholds, 2**128))]
    for weight, share in zip(table.weights, shares, strict=True):
        assert abs(share - Fraction(weight * 2**128, total)) < 1


def test_draw_is_the_number_of_thresholds_reached() -> None:
    table = dummy.dummy_table(Fraction(1), DELTA, 1, 27)
    assert dummy.draw_dummies(table, 0) == 0
    assert dummy.draw_dummies(table, 2**128 - 1) == 54
    for outcome, threshold in enumerate(table.thresholds):
        assert dummy.draw_dummies(table, threshold - 1) == outcome
        assert dummy.draw_dummies(table, threshold) == outcome + 1
    for draw in (-1, 2**128):
        with pytest.raises(ValueError, match="128"):
            dummy.draw_dummies(table, draw)


def test_drawn_dummies_have_the_law_of_the_table() -> None:
    table = dummy.dummy_table(Fraction(1, 2), DELTA, 1, 53)
    words = [int(word) for word in Philox(51).words(40_000)]
    drawn = [dummy.draw_dummies(table, words[i] | words[i + 1] << 64) for i in range(0, len(words), 2)]
    low, high = 53 - 8, 53 + 8
    expected = np.array([float(Fraction(weight, sum(table.weights))) for weight in table.weights]) * len(drawn)
    seen = np.bincount(drawn, minlength=107).astype(float)

    def ends_merged(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.array([counts[:low].sum(), *counts[low:high], counts[high:].sum()])

    assert stats.chisquare(ends_merged(seen), ends_merged(expected)).pvalue > 1e-4


def test_digest_binds_every_parameter() -> None:
    digests = {
        dummy.dummy_table(*parameters).digest
        for parameters in [
            (Fraction(1), DELTA, 1, 27),
            (Fraction(1), DELTA, 1, 28),
            (Fraction(1), DELTA * 2, 1, 27),
            (Fraction(11, 10), DELTA, 1, 27),
            (Fraction(5), DELTA, 5, 40),
        ]
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("epsilon", "delta", "k", "s"),
    [
        (Fraction(0), DELTA, 1, 27),
        (Fraction(1), Fraction(0), 1, 27),
        (Fraction(1), Fraction(1), 1, 27),
        (Fraction(1), DELTA, 0, 27),
        (Fraction(1), DELTA, 5, 4),
        (Fraction(1), DELTA, 1, 2**20 + 1),
    ],
)
def test_table_without_meaning_is_refused(epsilon: Fraction, delta: Fraction, k: int, s: int) -> None:
    with pytest.raises(ValueError, match="dummies need"):
        dummy.dummy_table(epsilon, delta, k, s)
