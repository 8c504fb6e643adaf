"""A logistic regression from counts of every combination of values, which carry noise: sums of many holders.

Counts of y and all regressors together are all that the maximum-likelihood fit needs: each combination is one row that
weighs as much as its count. Noised counts are taken as they are, also below 0: the equations are linear in them, so
noise of mean 0 leaves their mean where it was, while counts that are cut at 0 would add rows to every empty
combination. Sources: McCullagh, Nelder, Generalized Linear Models, 1989, sections 2.5 and 4.4 (iteratively reweighted
least squares, Wald's intervals); White, Econometrica 50, 1982, section 3 (the variance of what solves noised
equations). Everything here is post-processing at whoever gets the result.

Standard errors are of sampling and noise together: I^-1 + I^-1 M I^-1, of which I is the information and M the variance
that noise gives the equations. The bounds of every number are those of the noise alone, as of any other statistic: the
model is fitted again with noise taken back at fixed draws of its law.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr, ndtri

from pets.errors import StatisticsError
from pets.logistic import LEVEL, Estimates, Model, Term, unit
from pets.noise_law import LEVEL as RANGE
from pets.noise_law import Law, law_of, parts_of, uniform
from pets.spec.banded import Values, by_values
from pets.spec.fitting import BOUND
from pets.spec.ir import AddNoise, Derive, Derived, Plan
from pets.spec.model import Spec
from pets.spec.query import ColumnRef, Statistic

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

DRAWS: Final = 1000
FEWEST: Final = 200
AT_ONCE: Final = 2**22
"""Numbers that are drawn, or computed on, at once; of more cells there are fewer draws, down to the fewest."""

STEPS: Final = 40
NEAR: Final = 1e-9
"""A step that is so short, in standard errors, is the last."""

LONGEST: Final = 4.0
"""No step changes a coefficient of a column from -1 to 1 by more."""

THIN: Final = 1e-9
"""Of the least and the greatest eigenvalue of the information: what columns of the same content come to."""


@dataclass(frozen=True, slots=True)
class Solved:
    """Models of one design, (draws, ...) each, in units of scaled columns: coefficients, and squares of their errors.

    ``settled``: false where the counts do not determine coefficients. ``step``: the last one, in standard errors.
    """

    coefficients: F64
    squares: F64
    settled: npt.NDArray[np.bool_]
    step: F64


def solve(design: F64, rows: F64, ones: F64, noise: float) -> Solved:
    """Fit. ``design``: (c, p), columns from -1 to 1; ``rows``, ``ones``: (draws, c), counts of each line of the design.

    ``noise``: variance of the noise on the count of either value of y.
    """
    draws, p = len(rows), design.shape[1]
    pairs = (design[:, :, None] * design[:, None, :]).reshape(len(design), p * p)
    coefficients, step = np.zeros((draws, p)), np.full(draws, np.inf)
    settled = np.ones(draws, bool)
    squares = np.full((draws, p), np.nan)
    for turn in range(STEPS):
        chance = expit(coefficients @ design.T)
        information = ((rows * chance * (1 - chance)) @ pairs).reshape(draws, p, p)
        values, vectors = np.linalg.eigh(information)
        fine = (values[:, 0] > THIN * values[:, -1]) & (values[:, -1] > 0)
        settled &= fine
        inverse = (vectors / np.where(fine[:, None], values, 1)[:, None, :]) @ vectors.transpose(0, 2, 1)
        moves = (inverse @ ((ones - rows * chance) @ design)[:, :, None])[:, :, 0]
        moves[~settled] = 0
        longest = np.abs(moves).max(axis=1)
        own = np.maximum(np.diagonal(inverse, axis1=1, axis2=2), 0)
        step = np.max(np.abs(moves) / np.sqrt(np.where(own > 0, own, 1)), axis=1)
        if (done := step < NEAR).all() or turn == STEPS - 1:
            spread = (noise * (chance**2 + (1 - chance) ** 2)) @ pairs
            squares = own + np.diagonal(inverse @ spread.reshape(draws, p, p) @ inverse, axis1=1, axis2=2)
            break
        coefficients += moves * np.minimum(1, LONGEST / np.maximum(longest, LONGEST))[:, None]
        settled &= (np.abs(coefficients) < 2**BOUND).all(axis=1) | done
    return Solved(coefficients, squares, settled & (step < NEAR), step)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The model of a release. ``draws``: the same with noise taken back. Coefficients and errors by column, (.., p).

    ``rows``, ``ones``: the count of all rows, and of those on which y is 1, with the ends of their ranges.
    """

    columns: tuple[ColumnRef, ...]
    bases: tuple[int, ...]
    coefficients: F64
    errors: F64
    drawn: F64
    drawn_errors: F64
    step: float
    rows: tuple[int, int, int]
    ones: tuple[int, int, int]

    @property
    def settled(self) -> bool:
        return bool(np.isfinite(self.coefficients).all())

    @property
    def estimates(self) -> Estimates:
        """As of any logistic regression."""
        names = ("intercept", *map(str, self.columns[1:]))
        parts = zip(names, self.coefficients.tolist(), self.errors.tolist(), strict=True)
        terms = tuple(Term(name, *(_steady(each) for each in numbers)) for name, *numbers in parts)
        return Estimates(terms, self.step, "settled" if self.settled else "undetermined")

    def number(self, output: Derived) -> tuple[Any, Any, Any]:
        """One number of the table and its range: (1,) each."""
        kind = Statistic(output.statistic)
        if kind in (Statistic.LOGISTIC_ROWS, Statistic.LOGISTIC_ONES):
            value, low, high = self.rows if kind is Statistic.LOGISTIC_ROWS else self.ones
            return np.array([value]), np.array([low]), np.array([high])
        found = self.estimates.number(kind, output.of or 0) if self.settled else nan
        if kind is Statistic.LOGISTIC_STEP:
            ends = (found, found)
        else:
            of = output.of or 0
            drawn = _drawn(kind, self.drawn[:, of], self.drawn_errors[:, of])
            tails = [(1 - RANGE) / 2, (1 + RANGE) / 2]
            finite = self.settled and bool(np.isfinite(drawn).all())
            least, most = np.quantile(drawn, tails) if finite else (nan, nan)
            ends = (_steady(float(least)), _steady(float(most)))
        return np.array([found]), np.array([ends[0]]), np.array([ends[1]])


def _drawn(kind: Statistic, coefficients: F64, errors: F64) -> F64:
    """A number of the table, of many models."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        match kind:
            case Statistic.LOGISTIC_COEFFICIENT:
                return coefficients
            case Statistic.LOGISTIC_ERROR:
                return errors
            case Statistic.LOGISTIC_Z:
                return coefficients / errors
            case Statistic.LOGISTIC_P:
                return np.asarray(2 * ndtr(-np.abs(coefficients / errors)), np.float64)
            case Statistic.LOGISTIC_ODDS:
                return np.asarray(np.exp(coefficients), np.float64)
        side = -1 if kind is Statistic.LOGISTIC_LOWER else 1
        return np.asarray(coefficients + side * float(ndtri((1 + LEVEL) / 2)) * errors, np.float64)


def is_model(derive: Derive) -> bool:
    """True if the table is a model that is fitted to counts: then it has one row, whatever cells there are."""
    return by_values(each.column for each in derive.dimensions)


def of_release(plan: Plan, opened: I64) -> Fitted:
    """Fit the model that a plan releases. ``opened``: (1, cells) noised counts. Computed once for equal counts."""
    (counts,) = opened
    return _of_release(plan, np.ascontiguousarray(counts, np.int64).tobytes())


@lru_cache(maxsize=2)
def _of_release(plan: Plan, counts: bytes) -> Fitted:
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    safe = plan.protection
    assert isinstance(safe, AddNoise)
    (column,) = safe.columns
    law = law_of(column, len(safe.parties), parts_of(plan))
    values = [np.array([int(level) for level in each.levels]) for each in derive.dimensions]
    columns = tuple(_column(each.column) for each in derive.dimensions)
    return fitted(columns, values[1:], np.frombuffer(counts, np.int64).reshape(2, -1), law)


def model(plan: Plan, spec: Spec, opened: I64, name: str | None) -> Model:
    """The released model, by the name of its columns: ``fit`` of ``fit_age``; None as there is one only.

    Raises: StatisticsError statistics.column if it has another name.
    """
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    own = next(each.name for each in derive.outputs if each.statistic == Statistic.LOGISTIC_STEP.value)
    own = own.removesuffix("_step")
    if name not in (None, own):
        problem = f"is no logistic regression of the table: the table has {own}"
        raise StatisticsError("statistics.column", name=str(name), problem=problem)
    found = of_release(plan, opened)
    return Model(
        outcome=found.columns[0],
        estimates=found.estimates,
        units=("where all columns are at their bases", *(unit(spec, ref) for ref in found.columns[1:])),
        bases=tuple(map(str, found.bases)),
        rows=found.rows[0],
        ones=found.ones[0],
        steps=STEPS,
        noised=True,
    )


def fitted(columns: tuple[ColumnRef, ...], values: list[npt.NDArray[Any]], counts: I64, law: Law) -> Fitted:
    """Fit noised counts. ``values``: of each regressor, in order; ``counts``: (2, combinations), of y = 0 and y = 1."""
    bases = [_base(int(own[0]), int(own[-1])) for own in values]
    widths = np.array([1.0, *(max(own[-1] - base, base - own[0]) for own, base in zip(values, bases, strict=True))])
    grid = np.meshgrid(*(own - base for own, base in zip(values, bases, strict=True)), indexing="ij")
    design = np.stack([np.ones(counts.shape[1]), *(each.ravel() for each in grid)], axis=1) / widths
    found = solve(design, counts.sum(axis=0, dtype=np.float64)[None], counts[1:].astype(np.float64), law.squared)
    parts, totals = [], []
    for noise in _noise(counts.shape, law):
        drawn = counts - noise
        totals.append(drawn.sum(axis=2))
        parts.append(solve(design, drawn.sum(axis=1), drawn[:, 1], law.squared))
    told = np.concatenate(totals)
    return Fitted(
        columns=columns,
        bases=tuple(bases),
        coefficients=_known(found, found.coefficients)[0] / widths,
        errors=_known(found, np.sqrt(found.squares))[0] / widths,
        drawn=np.concatenate([_known(each, each.coefficients) for each in parts]) / widths,
        drawn_errors=np.concatenate([_known(each, np.sqrt(each.squares)) for each in parts]) / widths,
        step=round(float(found.step[0]) * 2**20) / 2**20 if found.settled[0] else nan,
        rows=_count(int(counts.sum()), told.sum(axis=1)),
        ones=_count(int(counts[1].sum()), told[:, 1]),
    )


def _noise(shape: tuple[int, ...], law: Law) -> Iterator[F64]:
    """Noise on all counts at fixed draws of its law, (draws, *shape), as many at a time as there is room for."""
    cells = int(np.prod(shape))
    draws = min(DRAWS, max(FEWEST, AT_ONCE // cells))
    chunk = max(1, min(draws, AT_ONCE // cells))
    for start in range(0, draws, chunk):
        many = min(chunk, draws - start)
        yield law.quantile(uniform(f"model {shape} from {start}", many * cells)).reshape(many, *shape)


def _known(found: Solved, numbers: F64) -> F64:
    return np.where(found.settled[:, None], numbers, np.nan)


def _count(value: int, drawn: F64) -> tuple[int, int, int]:
    """A count of all rows, and what noise leaves open of it."""
    low, high = np.quantile(drawn, [(1 - RANGE) / 2, (1 + RANGE) / 2])
    return value, int(np.floor(low)), int(np.ceil(high))


def _base(low: int, high: int) -> int:
    """Where a column stands for nothing: as of models that are fitted on shared rows (``spec.fitting.measure``)."""
    if low > 0 and 3 * low > high:
        return low
    return high if high < 0 and 3 * high < low else 0


def _column(ref: ColumnRef) -> ColumnRef:
    assert isinstance(ref, Values)
    return ref.of


def _steady(value: float) -> float:
    return float(f"{value:.6g}")
