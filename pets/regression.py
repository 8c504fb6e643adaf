"""Multiple linear regression from sums: coefficients, standard errors, t, p and R squared, by least squares.

All of it follows from the number of rows, the sum of each column and the sum of each product of two columns, which are
moments of one factor of each side of a join. Point values are exact rational arithmetic, rounded once; the same
formulas take arrays of floats, with which ``derive`` takes the noise back. Source of the formulas: Draper and Smith,
Applied Regression Analysis (1998), chapter 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt, sqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from pets.spec.query import LINEAR, Statistic

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """A regression of y on k columns, for many cells at once, in units of the columns' last places.

    Each array has the shape of the moments. Where ``settled`` is not true the columns do not determine coefficients
    (too few rows, or one follows from others), and where ``residual`` is below 0, by noise, there are no errors.
    Arrays are of floats, or of fractions for exact results. ``squares``: squared standard errors.
    """

    settled: npt.NDArray[np.bool_]
    freedom: Any
    intercept: Any
    slopes: list[Any]
    intercept_square: Any
    slope_squares: list[Any]
    residual: Any
    total: Any


def regressors(moments: int) -> int:
    """The number of regressors whose regression takes so many moments: (k + 2)(k + 3) / 2 of them."""
    return (isqrt(8 * moments + 1) - 5) // 2


def place(i: int, j: int, k: int) -> int:
    """Where the sum of the product of columns i and j stands among the moments; y is column 0."""
    i, j = min(i, j), max(i, j)
    return k + 2 + i * (k + 1) - i * (i - 1) // 2 + j - i


def fit(m: Sequence[Any]) -> Fit:
    """Solve the normal equations. ``m``: rows, then sums of y, x1 .. xk, then of yy, yx1 .. , x1x1, x1x2 .. xkxk.

    Centred and scaled by the number of rows (n sum(xy) - sum(x) sum(y)), and eliminated without pivots, which are
    positive if and only if the columns determine the coefficients.
    """
    k = regressors(len(m))
    n, sums = m[0], m[1 : k + 2]
    scatter = [[n * m[place(i, j, k)] - sums[i] * sums[j] for j in range(k + 1)] for i in range(k + 1)]
    settled = np.asarray(n > k + 1, bool)
    rows = [[*scatter[i][1:], scatter[i][0], sums[i], *(n * 0 + (i == j) for j in range(1, k + 1))] for i in _x(k)]
    for own in range(k):
        positive = np.asarray(rows[own][own] > 0, bool)
        settled = settled & positive
        pivot = np.where(positive, rows[own][own], 1)
        rows[own] = [value / pivot for value in rows[own]]
        for other in range(k):
            if other != own:
                times = rows[other][own]
                rows[other] = [a - times * b for a, b in zip(rows[other], rows[own], strict=True)]
    slopes = [row[k] for row in rows]
    spread = sum((sums[j] * rows[j - 1][k + 1] for j in _x(k)), n * 0)
    explained = sum((slopes[j - 1] * scatter[j][0] for j in _x(k)), n * 0)
    freedom, some = n - (k + 1), np.where(np.asarray(n > 0, bool), n, 1)
    residual = scatter[0][0] - explained
    share = residual / np.where(np.asarray(freedom > 0, bool), freedom, 1)
    return Fit(
        settled=settled,
        freedom=freedom,
        intercept=(sums[0] - sum((slopes[j - 1] * sums[j] for j in _x(k)), n * 0)) / some,
        slopes=slopes,
        intercept_square=share * (1 + spread) / (some * some),
        slope_squares=[share * rows[j][k + 2 + j] for j in range(k)],
        residual=residual,
        total=scatter[0][0],
    )


def _x(k: int) -> range:
    return range(1, k + 1)


def exact(sums: Sequence[Any], worths: Sequence[Fraction], statistic: Statistic, of: int) -> F64:
    """Point values of one statistic, each rounded once: to a float, and p to six digits, which are what is certain.

    ``sums``: arrays of Python integers in last places; ``of``: the regressor, from 1; ``worths``: of the moments.
    """
    found = _fitted(tuple(tuple(map(int, column)) for column in sums))
    return np.array([_point(found, c, worths, statistic, of) for c in range(len(sums[0]))], np.float64)


@lru_cache(maxsize=2)
def _fitted(sums: tuple[tuple[int, ...], ...]) -> Fit:
    """The exact fit of every cell, once for all numbers of one regression."""
    return fit([np.array([*map(Fraction, column)], object) for column in sums])


def _point(found: Fit, c: int, worths: Sequence[Fraction], statistic: Statistic, of: int) -> float:
    if not found.settled[c]:
        return float("nan")
    unit, value, square = _term(found, worths, of)
    if statistic is Statistic.LINEAR_COEFFICIENT:
        return float(value[c] * unit)
    if statistic is Statistic.LINEAR_R2:
        return float(1 - found.residual[c] / found.total[c]) if found.total[c] > 0 else float("nan")
    if found.residual[c] < 0:
        return float("nan")
    if statistic is Statistic.LINEAR_ERROR:
        return sqrt(square[c] * unit * unit)
    if square[c] == 0:
        return float("nan")
    t = sqrt(value[c] * value[c] / square[c]) * (-1 if value[c] < 0 else 1)
    return t if statistic is Statistic.LINEAR_T else float(f"{2 * stdtr(float(found.freedom[c]), -abs(t)):.6g}")


def _term(found: Fit, worths: Sequence[Fraction], of: int) -> tuple[Fraction, Any, Any]:
    """What one unit of a coefficient is worth, the coefficient, and the square of its error; 0 is the intercept."""
    if of == 0:
        return worths[1], found.intercept, found.intercept_square
    k = regressors(len(worths))
    return worths[place(0, of, k)] / worths[place(of, of, k)], found.slopes[of - 1], found.slope_squares[of - 1]


def simulated(found: Fit, worths: Sequence[Fraction], statistic: Statistic, of: int) -> F64:
    """The same statistic of drawn moments, floats; NaN where they do not determine it.

    Where noise alone makes the residuals negative the standard error is 0, so that its range is still told.
    """
    unit, value, square = _term(found, worths, of)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(np.where(found.residual >= 0, square, 0), 0))
        if statistic is Statistic.LINEAR_COEFFICIENT:
            out = value * float(unit)
        elif statistic is Statistic.LINEAR_R2:
            out = np.where(found.total > 0, 1 - found.residual / found.total, np.nan)
        elif statistic is Statistic.LINEAR_ERROR:
            out = root * float(unit)
        else:
            out = np.where(root > 0, value / root, np.nan)
            if statistic is Statistic.LINEAR_P:
                out = 2 * stdtr(np.maximum(found.freedom, 1.0), -np.abs(out))
    return np.asarray(np.where(found.settled, out, np.nan), np.float64)


LIMITS: Final = {Statistic.LINEAR_R2: (0.0, 1.0), Statistic.LINEAR_P: (0.0, 1.0), Statistic.LINEAR_ERROR: (0.0, np.inf)}
"""What is certain of a statistic whatever the noise."""

assert set(LIMITS) < LINEAR
