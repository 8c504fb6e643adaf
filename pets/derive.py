"""From opened, noised sums to the table a person reads: statistics, and what the noise alone may have moved.

Everything here is post-processing at the result party and tells nothing that the sums do not. Point values are exact
rational arithmetic, rounded once. An interval holds 95 % of the values that the true sums may give under the noise
whose law the plan states; it says nothing of sampling or of the records' own errors. Deterministic, so that a receipt
can be checked by computing the table again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pets import controlled, figures, having, logistic_counts, matches, regression
from pets.formulas import FORMULAS, ROOT_OF, ROOTS, Ratio, ratio, worth
from pets.noise_law import LEVEL, Law, law_of, parts_of
from pets.plan.cost import handed_rows
from pets.spec.ir import AddNoise, Derive, Derived, Noisy, Plan
from pets.spec.query import LINEAR, Statistic

if TYPE_CHECKING:
    import pandas as pd

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_DRAWS = 1000
_DRAWS_OF_MANY = 400
_MANY_CELLS = 10_000
_CELLS_AT_ONCE = 128
_PRIMES = (2, *(n for n in range(3, 258, 2) if all(n % d for d in range(3, 17, 2) if d < n)))
"""One for each moment of the widest regression, 55."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Opened moments: ``sums[m]`` is (cells,) int64 in units of the moment, cells in the order of the plan's domain."""

    columns: tuple[Noisy, ...]
    sums: tuple[I64, ...]
    parties: int = 3
    parts: int = 2
    """How many parties add noise, and how many parts are the whole of it."""

    def unit(self, number: int) -> int:
        """What one unit of the sum is in last places of the multiplied columns."""
        return prod(factor.unit for factor in self.columns[number].moment.factors)

    def worth(self, number: int) -> Fraction:
        return worth(self.columns[number].moment)

    def exact(self, number: int) -> npt.NDArray[np.object_]:
        return self.sums[number].astype(object) * self.unit(number)

    def law(self, number: int) -> Law:
        return law_of(self.columns[number], self.parties, self.parts)


def moments_of(plan: Plan, noise: AddNoise, opened: I64) -> Moments:
    """Sort the opened words (v, g) into moments: b-cell h of moment m is column m * H + h; cells are a's times b's.

    Sums over one table have one row a moment.
    """
    if plan.pool is not None:
        return Moments(noise.columns, tuple(opened), len(noise.parties), parts_of(plan))
    b_cells = len(opened) // len(plan.join.summed)
    sums = tuple(
        np.ascontiguousarray(opened[m * b_cells : (m + 1) * b_cells].T).reshape(-1) for m in range(len(noise.columns))
    )
    return Moments(noise.columns, sums, len(noise.parties), parts_of(plan))


def table(plan: Plan, opened: I64) -> "pd.DataFrame":
    """The result table: one row per cell of the full domain, a value and two bounds for each statistic.

    Shapes:  opened as ``party.opening.opened`` gives it; prod(levels) rows, less those that HAVING leaves
             out, in the order of the SELECT's grouping columns; statistic ``n`` gives columns ``n``, ``n_low``,
             ``n_high``.
    Missing: a statistic that the sums do not determine (a mean over a count at or below zero), or that disclosure
             control withholds, is NaN, or NA in a column of whole numbers.
    """
    if plan.match is not None:
        return matches.table(plan, plan.match, opened)
    if plan.program is not None:
        return figures.table(plan.program, opened.tolist())
    frame, gone = _whole(plan, opened)
    return frame.drop(columns=[*gone.values()])


def withheld(plan: Plan, opened: I64) -> "pd.DataFrame":
    """Which numbers of the table disclosure control withholds: its rows, and True or False for each statistic."""
    if plan.match is not None:
        return matches.table(plan, plan.match, opened)[[]]
    if plan.program is not None:
        return figures.table(plan.program, opened.tolist())[[]]
    frame, gone = _whole(plan, opened)
    return frame[[*gone.values()]].set_axis([*gone], axis=1)


def _whole(plan: Plan, opened: I64) -> "tuple[pd.DataFrame, dict[str, str]]":
    """The table with one more column for each statistic, and their names: where it is withheld."""
    import pandas as pd

    derive, safe = derive_step(plan), plan.protection
    statistic: Callable[[Derived], tuple[Any, Any, Any]]
    kept: Callable[[Derived], Any]
    if isinstance(safe, AddNoise):
        statistic = partial(_statistic, moments=moments_of(plan, safe, opened))
        kept = _all_shown
    else:
        shown = controlled.moments_of(safe, opened)
        statistic, kept = partial(controlled.statistic, moments=shown), partial(controlled.there, moments=shown)
    if logistic_counts.is_model(derive):
        statistic = logistic_counts.of_release(plan, opened).number
    levels = [] if logistic_counts.is_model(derive) else [d.levels for d in derive.dimensions]
    codes = np.indices([len(names) for names in levels]).reshape(len(levels), -1) if levels else np.empty((0, 1), int)
    found: dict[str, Any] = {}
    gone: dict[str, str] = {}
    for output in derive.outputs:
        if output.dimension is not None:
            place = [d.column for d in derive.dimensions].index(output.dimension)
            names = list(levels[place])
            found[output.name] = pd.Categorical.from_codes(
                codes[place].tolist(), dtype=pd.CategoricalDtype(names, ordered=True)
            )
        else:
            value, low, high = statistic(output)
            gone[output.name] = f"{output.name} withheld"  # no name of SQL has a blank in it
            found |= {output.name: value, f"{output.name}_low": low, f"{output.name}_high": high}
            found[gone[output.name]] = ~np.broadcast_to(np.asarray(kept(output), bool), len(value))
    frame = pd.DataFrame(found)
    grouping = [o.name for o in derive.outputs if o.dimension is not None]
    frame = frame.sort_values(grouping, kind="stable", ignore_index=True) if grouping else frame
    frame = frame if derive.having is None else frame[having.kept(frame, derive.having)].reset_index(drop=True)
    return frame, gone


def _all_shown(_: Derived) -> bool:
    return True


def cells(plan: Plan) -> int:
    """Number of cells of the released table, before HAVING; of an intersection, of its greatest number of rows."""
    if plan.match is not None:
        return handed_rows(plan.match)
    if plan.program is not None:
        return len(plan.program.terms.outputs)
    if logistic_counts.is_model(derive_step(plan)):
        return 1
    return prod(len(d.levels) for d in derive_step(plan).dimensions)


def derive_step(plan: Plan) -> Derive:
    """The last step of a plan: what the table consists of."""
    return next(step for step in plan.steps if isinstance(step, Derive))


def _statistic(output: Derived, moments: Moments) -> tuple[Any, Any, Any]:
    kind = Statistic(output.statistic)
    if len(output.moments) == 1:
        return _sum(output.moments[0], moments)
    if kind in LINEAR:
        return _linear(output, kind, moments)
    formula, unit_of = FORMULAS[kind]
    numbers = output.moments
    factor = unit_of([moments.worth(n) for n in numbers])
    exact = ratio(formula([moments.exact(n) for n in numbers]), factor, root=kind in ROOTS)
    low, high = _simulated(ROOT_OF.get(kind, formula), numbers, moments, float(factor))
    if kind in ROOTS:
        low, high = _signed_root(low), _signed_root(high)
    if kind in ROOT_OF:  # a variance below zero has no root, but its range above zero has
        low, high = np.maximum(low, 0), np.where(high < 0, np.nan, high)
    if kind is Statistic.CORR:  # whatever the noise, this much is certain
        known = ~np.isnan(exact)
        low, high = np.where(known, np.fmax(low, -1), np.nan), np.where(known, np.fmin(high, 1), np.nan)
    return exact, _steady(low), _steady(high)


def _sum(number: int, moments: Moments) -> tuple[Any, Any, Any]:
    """A released moment itself. Whole numbers stay whole; the bounds are those of its own noise."""
    scale, width = moments.columns[number].moment.scale, moments.law(number).half_width
    values = moments.sums[number]
    triple = (values, values - width, values + width)
    if scale.denominator == 1:
        return tuple(v * scale.numerator for v in triple)  # type: ignore[return-value]
    return tuple(np.array([int(x) * scale.numerator / scale.denominator for x in v], np.float64) for v in triple)  # type: ignore[return-value]


def _linear(output: Derived, kind: Statistic, moments: Moments) -> tuple[Any, Any, Any]:
    """One number of a linear regression."""
    worths, of = [moments.worth(n) for n in output.moments], output.of or 0
    value = regression.exact([moments.exact(n) for n in output.moments], worths, kind, of)
    drawn: Callable[[Sequence[Any]], F64] = lambda m: regression.simulated(regression.fit(m), worths, kind, of)  # noqa: E731
    low, high = _ranges(drawn, output.moments, moments)
    least, most = regression.LIMITS.get(kind, (-np.inf, np.inf))
    return value, _steady(np.maximum(low, least)), _steady(np.minimum(high, most))


def _simulated(
    formula: Callable[[Sequence[Any]], Ratio], numbers: tuple[int, ...], moments: Moments, factor: float
) -> tuple[F64, F64]:
    """Bounds of a ratio. NaN if any of the noise leaves no value."""

    def drawn(values: Sequence[Any]) -> F64:
        over, under = formula(values)
        settled = under != 0
        return np.where(settled, over / np.where(settled, under, 1) * factor, np.nan)

    return _ranges(drawn, numbers, moments)


def _ranges(statistic: Callable[[Sequence[Any]], F64], numbers: tuple[int, ...], moments: Moments) -> tuple[F64, F64]:
    """Bounds by taking back noise at fixed, evenly spread quantiles of its law. NaN if any of it leaves no value."""
    total = len(moments.sums[numbers[0]])
    draws = _DRAWS if total <= _MANY_CELLS else _DRAWS_OF_MANY
    distinct = list(dict.fromkeys(numbers))
    noise = {n: moments.law(n).quantile(_points(i, draws)) * moments.unit(n) for i, n in enumerate(distinct)}
    low, high = np.full(total, np.nan), np.full(total, np.nan)
    tail = (1 - LEVEL) / 2
    for start in range(0, total, _CELLS_AT_ONCE):
        part = slice(start, start + _CELLS_AT_ONCE)
        values = [moments.sums[n][part, None].astype(np.float64) * moments.unit(n) - noise[n] for n in numbers]
        found = statistic(values)
        settled = np.isfinite(found).all(axis=1)
        drawn = found[settled]
        drawn.sort(axis=1)
        low[part][settled], high[part][settled] = (_between(drawn, level) for level in (tail, 1 - tail))
    return low, high


def _signed_root(values: F64) -> F64:
    return np.asarray(np.copysign(np.sqrt(np.abs(values)), values), np.float64)


def _between(ordered: F64, level: float) -> F64:
    """The quantile of each row of ordered values, between its two neighbours."""
    place = level * (ordered.shape[1] - 1)
    below = int(place)
    return np.asarray(ordered[:, below] + (place - below) * (ordered[:, below + 1] - ordered[:, below]), np.float64)


def _steady(bounds: F64) -> F64:
    """Six significant digits: what processors round differently must not make two tables of one release."""
    return np.array([float(f"{bound:.6g}") for bound in bounds.tolist()], np.float64)


def _points(dimension: int, draws: int) -> F64:
    """Evenly spread points of (0, 1), a Kronecker sequence: independent of any generator's version."""
    step = sqrt(_PRIMES[dimension]) % 1
    return np.asarray((np.arange(draws) * step + 0.5) % 1 * (1 - 1e-9) + 5e-10, np.float64)
