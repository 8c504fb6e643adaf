"""The law of the noise on an opened number, against plain convolutions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from pets.noise_law import GaussianLaw, NoiseLaw, law_of
from pets.spec.ir import Factor, GaussianColumn, Moment, NoisedColumn

MOMENT = Moment("n", Factor(), Factor(), False, Fraction(1))
LEVELS = (0.01, 0.025, 0.3, 0.5, 0.9, 0.975, 0.999)


def gaussian(variance: float, parties: int) -> tuple[np.ndarray, np.ndarray]:
    """Support and probabilities of a sum of discrete Gaussian draws, one after another."""
    reach = int(12 * math.sqrt(variance)) + 6
    x = np.arange(-reach, reach + 1)
    one = np.exp(-(x**2) / (2 * variance))
    one /= one.sum()
    mass = one
    for _ in range(parties - 1):
        mass = np.convolve(mass, one)
    return np.arange(-reach * parties, reach * parties + 1), mass


@pytest.mark.parametrize("variance", [0.25, 1.0, 7.5, 120.0])
@pytest.mark.parametrize("parties", [1, 2, 3, 7])
def test_gaussian_quantiles_are_those_of_the_law(variance: float, parties: int) -> None:
    support, mass = gaussian(variance, parties)
    below, law = np.cumsum(mass), GaussianLaw(variance, parties)
    exact = variance * parties < 400
    for level in LEVELS:
        expected = support[np.searchsorted(below, level)]
        assert abs(law.quantile(np.array([level]))[0] - expected) <= (0 if exact else 1)


@pytest.mark.parametrize("variance", [0.25, 1.0, 7.5, 120.0, 5000.0])
def test_the_half_width_holds_95_percent(variance: float) -> None:
    support, mass = gaussian(variance, 3)
    width = GaussianLaw(variance).half_width
    assert mass[np.abs(support) <= width].sum() >= 0.95 - 1e-9
    assert mass[np.abs(support) <= width - 2].sum() < 0.95


@pytest.mark.parametrize("times", [Fraction(1), Fraction(3, 2), Fraction(2), Fraction(5)])
def test_laplace_parts_of_other_numbers_of_parties_have_their_law(times: Fraction) -> None:
    size, scale = 2000, 12.0
    mass = stats.nbinom.pmf(np.arange(size), float(times), 1 - math.exp(-1 / scale))
    below = np.cumsum(np.convolve(mass, mass[::-1]))
    for level in LEVELS:
        found = NoiseLaw(scale, times).quantile(np.array([level]))[0]
        assert found == np.searchsorted(below, level) - (size - 1)


def test_a_column_has_the_law_that_it_says() -> None:
    assert law_of(NoisedColumn(MOMENT, 4, Fraction(1, 2)), 3, 2) == NoiseLaw(8.0, Fraction(3, 2))
    assert law_of(NoisedColumn(MOMENT, 4, Fraction(1, 2)), 5, 1) == NoiseLaw(8.0, Fraction(5))
    column = GaussianColumn(MOMENT, 16, Fraction(1, 30), Fraction(240, 2), 2)
    assert law_of(column, 3, 2) == GaussianLaw(120.0, 3)


@pytest.mark.parametrize(
    "law", [NoiseLaw(0.3, Fraction(1)), NoiseLaw(5.0, Fraction(2)), NoiseLaw(40.0), GaussianLaw(30.0, 3)]
)
def test_the_variance_is_that_of_the_law(law: NoiseLaw | GaussianLaw) -> None:
    drawn = law.quantile((np.arange(400_000) + 0.5) / 400_000)
    assert law.squared == pytest.approx(float((drawn**2).mean()), rel=0.01)
