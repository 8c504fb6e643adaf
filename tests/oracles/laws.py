"""Laws of noise in floats, and samples held against them: what statistical tests of noise share.

Seeds are fixed, so a test passes or fails for good. A right sampler would have failed under its seed with a chance
below ``RARE`` a comparison; some 100 of them stay below 10^-6 together.
"""

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy import stats

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

RARE = 1e-8
SURE = 1e-12
"""A planted fault is seen if it is less likely than this."""


class Philox:
    """Words for tests: the same on every machine, and as many as asked for. ``asks``: how many each time."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(seed)
        self.asks: list[int] = []

    def words(self, n: int, /) -> npt.NDArray[np.uint64]:
        self.asks.append(n)
        return np.asarray(self._bits.random_raw(n), np.uint64).reshape(n)


class Said:
    """Words that a test has made up, and then no more."""

    def __init__(self, *parts: npt.ArrayLike) -> None:
        self._words = np.concatenate([np.atleast_1d(np.asarray(part, np.uint64)) for part in parts])

    def words(self, n: int, /) -> npt.NDArray[np.uint64]:
        out, self._words = self._words[:n], self._words[n:]
        assert out.size == n, "a word was asked for that was not made up"
        return out


def discrete_laplace(gamma: Fraction, reach: int) -> F64:
    """P(k) for k = -reach .. reach, and what is beyond on either side at the ends."""
    p = math.exp(-float(gamma))
    side = -math.expm1(-float(gamma)) / (1 + p) * p ** np.arange(reach + 1)
    side[-1] /= -math.expm1(-float(gamma))
    return np.concatenate([side[:0:-1], side])


def laplace_part(gamma: Fraction, parts: int, reach: int) -> F64:
    """The same of NB(1/parts, p) - NB(1/parts, p)."""
    n = 4 * reach + int(60 / float(gamma))
    one = stats.nbinom(1 / parts, -math.expm1(-float(gamma))).pmf(np.arange(n))
    return _ends(np.correlate(one, one, "full"), n - 1, reach)


def gaussian_sum(variance: Fraction, parts: int, reach: int) -> F64:
    """The same of a sum of N_Z(0, variance)."""
    n = int(40 * math.sqrt(variance)) + 8
    one = np.exp(-(np.arange(-n, n + 1) ** 2) / (2 * float(variance)))
    one /= one.sum()
    whole = one
    for _ in range(parts - 1):
        whole = np.convolve(whole, one)
    return _ends(whole, n * parts, reach)


def _ends(whole: F64, middle: int, reach: int) -> F64:
    out = whole[middle - reach : middle + reach + 1].copy()
    out[0] += whole[: middle - reach].sum()
    out[-1] += whole[middle + reach + 1 :].sum()
    return out


def fits(values: I64, law: F64, least: int = 50) -> float:
    """Chi-square: how likely samples are at least as far from a law on -reach .. reach, ends included, as these are.

    Neighbouring values are put together until ``least`` are expected of each.
    """
    reach = law.size // 2
    seen = np.bincount(np.clip(values, -reach, reach) + reach, minlength=law.size)
    expected = law * values.size
    group = (np.cumsum(expected) / least).astype(np.int64)
    group = np.minimum(group, group[-1] - 1)
    counts, means = np.bincount(group, seen), np.bincount(group, expected)
    kept = means > 0
    return float(stats.chisquare(counts[kept], means[kept] * (values.size / means.sum())).pvalue)


def counted(values: I64, law: F64) -> float:
    """The least likely count of one value, as an exact binomial tail, times the number of values looked at."""
    reach = law.size // 2
    tails = []
    for value in range(-reach + 1, reach):
        seen, chance = int((values == value).sum()), law[value + reach]
        whole = stats.binom(values.size, chance)
        tails.append(2 * min(float(whole.cdf(seen)), float(whole.sf(seen - 1))))
    return min(tails) * len(tails)


def alike(a: I64, b: I64) -> float:
    """Chi-square of two samples: how likely they differ at least so much if they are of one law."""
    edges = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0.02, 0.98, 41)).astype(np.int64))
    table = [np.bincount(np.searchsorted(edges, each, side="right"), minlength=edges.size + 1) for each in (a, b)]
    return float(stats.chi2_contingency(np.array(table)[:, np.sum(table, axis=0) > 0]).pvalue)


def independent(a: I64, b: I64) -> float:
    """Chi-square of fifths against fifths: how likely they go together at least so much if they are independent."""

    def fifths(values: I64) -> npt.NDArray[np.intp]:
        return np.searchsorted(np.unique(np.quantile(values, [0.2, 0.4, 0.6, 0.8])), values, side="right")

    table = np.zeros((5, 5))
    np.add.at(table, (fifths(a), fifths(b)), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return float(stats.chi2_contingency(table).pvalue)
