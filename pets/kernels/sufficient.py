"""What one party brings to counts, sums, tables and regressions over the rows of many: whole numbers that add up.

Rows are split among parties (horizontally). A party works on its own rows alone; what leaves it are the lists below, in
a vector of ``pets.kernels.packed``, and only their sums over all parties are ever opened. Columns are whole numbers in
units of the specification: fixed point, so that sums are exact and bounds are known from the declared ranges.

Source: sums and products as in any textbook on least squares; Newton's method for logistic models by summed gradients
and Hessians, Wu, Jiang, Kim, Ohno-Machado, JAMIA 2012 (GLORE).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import I64Array
from pets.kernels.packed import Numbers, OutOfRangeError

F64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of whole numbers, each from ``low`` to ``high``, in units."""

    name: str
    low: int
    high: int

    @property
    def size(self) -> int:
        """The greatest size of a value."""
        return max(abs(self.low), abs(self.high))


def checked(column: Column, values: I64Array) -> I64Array:
    """The values, if all are in their range. Raises: OutOfRangeError with the place of the first that is not."""
    outside = np.flatnonzero((values < column.low) | (values > column.high))
    if outside.size:
        raise OutOfRangeError(column.name, int(outside[0]))
    return values


def in_units(column: Column, values: F64Array, *, per_unit: int) -> I64Array:
    """A column of measurements as whole units, rounded to the nearest, ties to even: ``per_unit`` units are 1.0.

    Raises: OutOfRangeError for what is no number, or outside the range.
    """
    scaled = np.rint(values * per_unit)
    wrong = np.flatnonzero(~(np.abs(scaled) < 2.0**62))
    if wrong.size:
        raise OutOfRangeError(column.name, int(wrong[0]))
    return checked(column, scaled.astype(np.int64))


# -- counts, tables, sums ---------------------------------------------------------------------------------------------


def counts(name: str, cells: int, *, rows: int) -> Numbers:
    """The list of a histogram, or of a contingency table by ``crossed``, over at most ``rows`` rows a party."""
    return Numbers(name, cells, 0, rows)


def counted(codes: npt.NDArray[np.integer], cells: int) -> I64Array:
    """How many rows lie in each cell: (cells,) int64. Raises: OutOfRangeError for a code that is no cell."""
    outside = np.flatnonzero((codes < 0) | (codes >= cells))
    if outside.size:
        raise OutOfRangeError("codes", int(outside[0]))
    return np.bincount(codes, minlength=cells).astype(np.int64)


def crossed(codes: Sequence[npt.NDArray[np.integer]], levels: Sequence[int]) -> npt.NDArray[np.int64]:
    """Cells of a contingency table as numbers: of the last factor those that follow each other. (rows,) int64."""
    found = np.zeros(len(codes[0]), np.int64)
    for own, count in zip(codes, levels, strict=True):
        outside = np.flatnonzero((own < 0) | (own >= count))
        if outside.size:
            raise OutOfRangeError("codes", int(outside[0]))
        found = found * count + own
    return found


def sums(name: str, column: Column, cells: int, *, rows: int) -> Numbers:
    """The list of sums of a column by cell."""
    return Numbers(name, cells, rows * min(column.low, 0), rows * max(column.high, 0))


def summed(column: Column, values: I64Array, codes: npt.NDArray[np.integer], cells: int) -> I64Array:
    """Sums of a column by cell: (cells,) int64, exact if the list of ``sums`` fits into words."""
    out = np.zeros(cells, np.int64)
    counted(codes, cells)
    np.add.at(out, codes, checked(column, values))
    return out


# -- sums of products: means, variances, covariances, least squares ---------------------------------------------------


def products(name: str, columns: Sequence[Column], *, rows: int) -> list[Numbers]:
    """Lists of the sums of all products of two of the columns, and of each with 1: what least squares needs.

    ``name.rows`` is how many rows there are, ``name.sums`` one sum a column, and ``name.i.j`` the sum of the products
    of columns i <= j: each has the range that follows from those of its columns.
    """
    found = [counts(f"{name}.rows", 1, rows=rows)]
    found += [sums(f"{name}.sum.{i}", column, 1, rows=rows) for i, column in enumerate(columns)]
    for i, j in _pairs(len(columns)):
        ends = [a * b for a in (columns[i].low, columns[i].high) for b in (columns[j].low, columns[j].high)]
        low = 0 if i == j else min(*ends, 0)
        found.append(Numbers(f"{name}.{i}.{j}", 1, rows * low, rows * max(*ends, 0)))
    return found


def multiplied(name: str, columns: Sequence[Column], values: Sequence[I64Array], *, rows: int) -> dict[str, I64Array]:
    """These sums over one party's rows. Raises: OutOfRangeError, also for more rows than declared."""
    brought = len(values[0]) if values else 0
    if brought > rows:
        raise OutOfRangeError(f"{name}.rows", rows)
    for column, own in zip(columns, values, strict=True):
        checked(column, own)
    found = {f"{name}.rows": _one(brought)}
    found |= {f"{name}.sum.{i}": _one(int(own.sum())) for i, own in enumerate(values)}
    found |= {f"{name}.{i}.{j}": _one(int(np.dot(values[i], values[j]))) for i, j in _pairs(len(columns))}
    return found


def gram(name: str, count: int, opened: dict[str, I64Array]) -> list[list[int]]:
    """From opened sums the matrix of all products with 1 and of the columns with each other: exact, rows first.

    With the last column for y it has X'X and X'y of a regression with intercept, and y'y.
    """
    matrix = [[0] * (count + 1) for _ in range(count + 1)]
    matrix[0][0] = int(opened[f"{name}.rows"][0])
    for i in range(count):
        matrix[0][i + 1] = matrix[i + 1][0] = int(opened[f"{name}.sum.{i}"][0])
    for i, j in _pairs(count):
        matrix[i + 1][j + 1] = matrix[j + 1][i + 1] = int(opened[f"{name}.{i}.{j}"][0])
    return matrix


# -- one round of a logistic model ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Logistic:
    """A round of Newton's method: columns with an intercept before them, and units in which gradients are rounded.

    ``per_unit``: units of 1.0 in the sums that leave a party. Each party rounds once, so a sum is off by half a unit a
    party at most. Columns are whole numbers; a party scales them by ``scales``, one a column, to be near 1 in size.
    """

    columns: tuple[Column, ...]
    scales: tuple[int, ...]
    per_unit: int
    rows: int

    def _size(self, i: int) -> float:
        return 1.0 if i == 0 else self.columns[i - 1].size / self.scales[i - 1]

    def lists(self) -> list[Numbers]:
        """``gradient.i``, ``hessian.i.j`` and ``loss``: a residual is at most 1 and a weight 1/4 in size."""
        count = len(self.columns) + 1

        def bound(size: float) -> int:
            return int(self.rows * size * self.per_unit) + 1

        found = []
        for i in range(count):
            found.append(Numbers(f"gradient.{i}", 1, -bound(self._size(i)), bound(self._size(i))))
        for i, j in _pairs(count):
            size = bound(self._size(i) * self._size(j) / 4)
            found.append(Numbers(f"hessian.{i}.{j}", 1, 0 if i == j else -size, size))
        return found

    def brought(self, values: Sequence[I64Array], outcome: I64Array, at: F64Array) -> dict[str, I64Array]:
        """One party's part of gradient and Hessian of the log-likelihood at public coefficients, in units.

        Shapes:  values, a column of (n,) each; outcome (n,) of 0 and 1; ``at`` (columns + 1,), the intercept first.
        Raises:  OutOfRangeError for a value, an outcome, or a number of rows outside what is declared.
        """
        if len(outcome) > self.rows:
            raise OutOfRangeError("rows", self.rows)
        checked(Column("outcome", 0, 1), outcome)
        scaled = zip(self.columns, values, self.scales, strict=True)
        x = np.column_stack([np.ones(len(outcome)), *(checked(column, own) / scale for column, own, scale in scaled)])
        fitted = 1 / (1 + np.exp(-np.clip(x @ at, -700, 700)))
        gradient, weights = x.T @ (outcome - fitted), fitted * (1 - fitted)
        hessian = x.T @ (weights[:, None] * x)
        found = {f"gradient.{i}": self._units(gradient[i]) for i in range(len(at))}
        return found | {f"hessian.{i}.{j}": self._units(hessian[i, j]) for i, j in _pairs(len(at))}

    def _units(self, value: float) -> I64Array:
        return _one(int(np.rint(value * self.per_unit)))

    def step(self, opened: dict[str, I64Array], at: F64Array) -> F64Array:
        """The coefficients after this round, from opened sums: whoever opens them computes it."""
        count = len(at)
        gradient = np.array([float(opened[f"gradient.{i}"][0]) for i in range(count)])
        hessian = np.zeros((count, count))
        for i, j in _pairs(count):
            hessian[i, j] = hessian[j, i] = float(opened[f"hessian.{i}.{j}"][0])
        found: F64Array = at + np.linalg.solve(hessian, gradient)
        return found


def _pairs(count: int) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(range(count), 2))


def _one(value: int) -> I64Array:
    return np.array([value], np.int64)
