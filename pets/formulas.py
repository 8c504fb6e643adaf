"""Statistics as ratios of moments, in exact arithmetic: what ``derive`` and ``controlled`` make their tables with."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from pets.spec.ir import Moment
from pets.spec.query import Statistic

F64 = npt.NDArray[np.float64]

Ratio = tuple[Any, Any]
"""Numerator and denominator, as arrays of Python integers (exact) or of floats (simulated)."""


def worth(moment: Moment) -> Fraction:
    """What one last place of the product of the columns of a moment is worth."""
    return moment.scale / prod(factor.unit for factor in moment.factors)


def _avg(m: Sequence[Any]) -> Ratio:
    s, n = m
    return s, n * (n > 0)


def _var(m: Sequence[Any], less: int) -> Ratio:
    q, s, n = m
    return q * n - s * s, n * (n - less) * (n > less)


def _spread(m: Sequence[Any], less: int) -> Ratio:
    """As ``_var``, but a variance below zero has no root."""
    over, under = _var(m, less)
    return over, under * (over >= 0)


def _covar(m: Sequence[Any], less: int) -> Ratio:
    yx, y, x, n = m
    return yx * n - y * x, n * (n - less) * (n > less)


def _slope(m: Sequence[Any]) -> Ratio:
    yx, y, x, xx, n = m
    spread = xx * n - x * x
    return yx * n - y * x, spread * (spread > 0) * (n > 0)


def _intercept(m: Sequence[Any]) -> Ratio:
    yx, y, x, xx, n = m
    spread = xx * n - x * x
    return y * xx - x * yx, spread * (spread > 0) * (n > 0)


def _corr(m: Sequence[Any]) -> Ratio:
    """Signed square of the correlation, so that it is a ratio: sign(c) c^2 / (v_y v_x)."""
    yx, y, x, yy, xx, n = m
    c, v_y, v_x = yx * n - y * x, yy * n - y * y, xx * n - x * x
    return c * abs(c), v_y * v_x * (v_y > 0) * (v_x > 0) * (n > 0)


ROOTS = (Statistic.STDDEV_SAMP, Statistic.STDDEV_POP, Statistic.CORR)
ROOT_OF: dict[Statistic, Callable[[Sequence[Any]], Ratio]] = {
    Statistic.STDDEV_SAMP: lambda m: _var(m, 1),
    Statistic.STDDEV_POP: lambda m: _var(m, 0),
}
"""Statistics whose range is the root of another one's: judged by that, they are not only told when noise made them."""

_ONE: Callable[[list[Fraction]], Fraction] = lambda w: Fraction(1)  # noqa: E731
FORMULAS: dict[Statistic, tuple[Callable[[Sequence[Any]], Ratio], Callable[[list[Fraction]], Fraction]]] = {
    Statistic.AVG: (_avg, lambda w: w[0]),
    Statistic.VAR_SAMP: (lambda m: _var(m, 1), lambda w: w[0]),
    Statistic.VAR_POP: (lambda m: _var(m, 0), lambda w: w[0]),
    Statistic.STDDEV_SAMP: (lambda m: _spread(m, 1), lambda w: w[0]),
    Statistic.STDDEV_POP: (lambda m: _spread(m, 0), lambda w: w[0]),
    Statistic.COVAR_SAMP: (lambda m: _covar(m, 1), lambda w: w[0]),
    Statistic.COVAR_POP: (lambda m: _covar(m, 0), lambda w: w[0]),
    Statistic.REGR_SLOPE: (_slope, lambda w: w[0] / w[3]),
    Statistic.REGR_INTERCEPT: (_intercept, lambda w: w[1]),
    Statistic.CORR: (_corr, _ONE),
}
"""For each statistic its ratio in last places, and what one unit of that ratio is worth, from the moments' worths."""


def ratio(parts: Ratio, factor: Fraction, *, root: bool) -> F64:
    """Divide exactly and round once; no value where the denominator is 0; signed root if ``root``."""
    over, under = parts
    out = np.full(len(over), np.nan)
    for i, (top, bottom) in enumerate(zip(over, under, strict=True)):
        if bottom:
            value = int(top) * factor.numerator / (int(bottom) * factor.denominator)
            out[i] = value if not root else (sqrt(value) if value >= 0 else -sqrt(-value))
    return out
