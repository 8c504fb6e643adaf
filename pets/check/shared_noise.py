"""What a release costs whose noise is shared by all computing parties, exactly or rounded up: epsilon, or rho of zCDP.

The promise is against the result party together with any t of m computing parties: they know their own parts and take
them off, and what is left has at least n = m - t parts that they know nothing of. Each part is drawn so that n are
enough. Parts of further honest parties are independent of all that, so they change nothing but the accuracy.

* Discrete Laplace: n parts are exactly the noise, and the cost is pure epsilon (``laplace_loss``).
* Discrete Gaussian: n parts N_Z(0, v) are nearly N_Z(0, n v). Let tau be an upper bound of the difference between any
  two values of log P(x) / Q(x), P the law of the sum, Q that of N_Z(0, n v). A person who moves the sums by d (all of
  it whole numbers) costs at most alpha |d|^2 / 2 n v + tau |{i : d_i not 0}| at any Renyi order alpha > 1, because

      P(x - d) / P(x) <= exp(tau) Q(x - d) / Q(x) = exp(tau + (2 x d - d^2) / 2 n v), and with x = d + N, N of law P,
      E exp((alpha - 1) d N / n v) <= exp((alpha - 1)^2 d^2 / 2 n v), as N_Z(0, v) and so their sum are subgaussian.

  That is rho = |d|^2 / 2 n v + tau |{i : d_i not 0}| of zCDP (``gaussian_rho``). And tau: in a sum of k parts and one
  more, of N_Z(0, k v) and N_Z(0, v), P(z) / Q(z) is a constant times the sum over x of exp(-(x - c z)^2 / 2 s),
  s = v k / (k + 1). By Poisson's summation that is a constant times 1 + r(z), |r| <= u := 2 sum over y >= 1 of
  exp(-2 pi^2 s y^2). That the k parts are only nearly N_Z(0, k v) comes on top: one more part averages what they
  differ by, and makes no two values differ more. So tau = sum over k < n of log((1 + u) / (1 - u)) (``divergence``).

Kairouz, Liu and Steinke (arXiv 2102.06387, proposition 14) have a bound of this form, with 10 exp(-2 pi^2 s) where we
have log((1 + u) / (1 - u)), which is about 4 exp(-2 pi^2 s). Both ask for parts of standard deviation 1/2 or more.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Final

MIN_VARIANCE: Final = Fraction(1, 4)
"""Least variance parameter of a part that these bounds are made for."""

_TWO_PI_SQUARED: Final = Fraction(1973920880217871723, 10**17)
"""2 pi^2 is 19.73920880217871723766...: this is less."""

_CONTEXT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UPWARDS: Final = 1 + Fraction(1, 10**60)
_FAR: Final = 200
_GRID: Final = 2**128
_VARIANCE_GRID: Final = 2**20


def honest_parts(parties: int, corrupt: int) -> int:
    """n = m - t: how many parts are unknown to the result party and ``corrupt`` of the computing parties, at least.

    Raises: ValueError unless at least one party is left.
    """
    if not 0 <= corrupt < parties:
        raise ValueError("of the computing parties at least one is honest")
    return parties - corrupt


def laplace_loss(columns: Iterable[tuple[int, Fraction]]) -> Fraction:
    """The pure epsilon of columns with discrete Laplace noise: the sum of sensitivity times ratio.

    Units:   for each column the L1 norm of the greatest change by one person over all cells, in units of the column,
             and gamma, where the noise has P(k) proportional to exp(-gamma |k|).
    Raises:  ValueError on a sensitivity below 1 or a ratio that is not positive.
    """
    loss = Fraction(0)
    for sensitivity, gamma in columns:
        if sensitivity < 1 or gamma <= 0:
            raise ValueError("a column has a sensitivity of at least 1 and a ratio above 0")
        loss += sensitivity * gamma
    return loss


def gaussian_rho(squared: Fraction | int, variance: Fraction, parts: int, cells: int) -> Fraction:
    """The rho of cells with ``parts`` discrete Gaussian parts N_Z(0, variance) each, rounded up: zCDP, no delta.

    Units:   ``squared``: square of the L2 norm of the greatest change by one person over all cells, in units of the
             cells, which are whole numbers; so no more than ``squared`` of the ``cells`` change.
    Raises:  ValueError on a variance below 1/4, or what is no release.
    """
    if variance < MIN_VARIANCE:
        raise ValueError("a part of discrete Gaussian noise has a variance of at least 1/4")
    if squared < 1 or parts < 1 or cells < 1:
        raise ValueError("a release has a sensitivity of at least 1, parts and cells")
    moved = min(cells, int(squared))
    return Fraction(squared) / (2 * parts * variance) + moved * divergence(variance, parts)


def divergence(variance: Fraction, parts: int) -> Fraction:
    """tau: how much log P(x) / Q(x) varies at most, P the sum of parts N_Z(0, variance), Q = N_Z(0, parts * variance).

    Rounded up to a multiple of 2^-128; 0 for one part.
    Raises:  ValueError on a variance below 1/4.
    """
    if variance < MIN_VARIANCE or parts < 1:
        raise ValueError("a part of discrete Gaussian noise has a variance of at least 1/4")
    tau = Fraction(0)
    for k in range(1, parts):
        q = _exp_minus_up(_TWO_PI_SQUARED * variance * k / (k + 1))
        u = 2 * (q + q**4 / (1 - q))  # exp(-a y^2), y >= 2, are at most q^4, q^5, ...
        tau += 2 * u / (1 - u * u)  # log((1 + u) / (1 - u)) = 2 (u + u^3 / 3 + ...)
    return Fraction(-(-tau * _GRID // 1), _GRID)


def part_variance(rho: Fraction, squared: Fraction | int, parts: int, cells: int) -> Fraction:
    """The least multiple of 2^-20, at least 1/4, that ``gaussian_rho`` puts at ``rho`` or less: a part's variance.

    Raises:  ValueError on a rho that is not positive, or what is no release.
    """
    if rho <= 0:
        raise ValueError("a rho is positive")

    def enough(steps: int) -> bool:
        return gaussian_rho(squared, Fraction(steps, _VARIANCE_GRID), parts, cells) <= rho

    least = high = int(MIN_VARIANCE * _VARIANCE_GRID)
    while not enough(high):
        high *= 2
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return Fraction(low, _VARIANCE_GRID)


def _exp_minus_up(x: Fraction) -> Fraction:
    """No less than exp(-x)."""
    capped = min(x, Fraction(_FAR))
    near = _CONTEXT.exp(_CONTEXT.divide(Decimal(-capped.numerator), Decimal(capped.denominator)))
    return Fraction(near) * _UPWARDS
