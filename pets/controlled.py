"""From what disclosure control lets pass to the statistics of a table, with what rounding may have moved.

Means are made of protected counts, never of the true ones: a mean over the true count beside a rounded one would give
the true one away. Nothing here tells more than what was opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pets import logistic, regression
from pets.formulas import FORMULAS, ROOTS, ratio, worth
from pets.spec.control import Control
from pets.spec.ir import Derived, Moment, Protect, ShownFit, ShownOrder
from pets.spec.query import LINEAR, Statistic

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shown:
    """Opened moments by number: value and bounds (cells,) int64, and where they are shown; cells as in the plan."""

    moments: tuple[Moment, ...]
    values: dict[int, tuple[I64, I64, I64]]
    there: dict[int, Flags]
    ordered: tuple[tuple[ShownOrder, I64, Flags], ...]
    """Order statistics: the number of steps above the base, 0 where there is no value, and where it is shown."""
    fits: tuple[tuple[ShownFit, I64, Flags], ...] = ()
    """Logistic models: their numbers (2 p + 1, cells), and where they are shown."""


def moments_of(safe: Protect, opened: I64) -> Shown:
    """Sort what was opened (o + q, h * g) into moments, and turn bands back into counts with their bounds."""
    h, g = safe.parameter("h"), safe.parameter("g")
    rows = np.ascontiguousarray(opened.reshape(-1, h, g).transpose(0, 2, 1)).reshape(len(opened), -1)
    values, there = {}, {}
    control = Control(safe.min_count, "hidden", safe.round_to, safe.rounding)
    first = len(safe.shown) + len(safe.rows)
    for place, each in enumerate(safe.shown):
        own = rows[place]
        there[each.moment] = rows[first + each.rests_on] == 1
        values[each.moment] = _counts(own, control) if each.rounded and safe.round_to > 1 else (own, own, own)
    ordered = tuple(
        (each, rows[len(safe.shown) + place], rows[first + each.rests_on] == 1)
        for place, each in enumerate(safe.ordered)
    )
    fits, begin = [], len(safe.shown) + len(safe.ordered)
    for fit in safe.fits:
        fits.append((fit, rows[begin : begin + fit.numbers], rows[first + fit.rests_on] == 1))
        begin += fit.numbers
    return Shown(safe.moments, values, there, ordered, tuple(fits))


def _counts(bands: I64, control: Control) -> tuple[I64, I64, I64]:
    """Numbers of bands as rounded counts, and the least and greatest count that can be behind each.

    What is shown is at least the minimum, or nobody at all.
    """
    base, least, whole = control.round_to, control.min_count, bands * control.round_to
    if control.rounding == "midpoint":
        value, low, high = whole - base // 2, whole - base + 1, whole
        nobody = 0
    else:
        value, low, high = whole, whole - base // 2, whole + (base - 1) // 2
        nobody = (base - 1) // 2 if (base - 1) // 2 >= least else 0
    some = bands > 0
    return np.where(some, value, 0), np.where(some, np.maximum(low, least), 0), np.where(some, high, nobody)


def statistic(output: Derived, moments: Shown) -> tuple[Any, Any, Any]:
    """One column of the table, with the bounds that rounding leaves; missing wherever anything of it is withheld."""
    if output.ordered is not None:
        return _order(*moments.ordered[output.ordered])
    if output.fit is not None:
        return (_fitted(output, *moments.fits[output.fit]),) * 3
    shown = there(output, moments)
    kind = Statistic(output.statistic)
    if len(output.moments) == 1:
        found = _sum(moments.moments[output.moments[0]], moments.values[output.moments[0]])
    elif kind is Statistic.AVG:
        found = _mean(output.moments, moments)
    elif kind in LINEAR:
        sums = [moments.values[number][0].astype(object) for number in output.moments]
        worths = [worth(moments.moments[number]) for number in output.moments]
        found = (regression.exact(sums, worths, kind, output.of or 0),) * 3
    else:
        found = (_ratio(kind, output.moments, moments),) * 3
    value, low, high = found
    return _masked(value, shown), _masked(low, shown), _masked(high, shown)


def there(output: Derived, moments: Shown) -> Flags:
    """Where a column of the table is shown: in the cells in which everything that it is made of is."""
    if output.ordered is not None:
        return moments.ordered[output.ordered][2]
    if output.fit is not None:
        return moments.fits[output.fit][2]
    return np.asarray(np.logical_and.reduce([moments.there[number] for number in output.moments]))


def _sum(moment: Moment, values: tuple[I64, I64, I64]) -> tuple[Any, Any, Any]:
    scale = moment.scale
    if scale.denominator == 1:
        return tuple(column * scale.numerator for column in values)  # type: ignore[return-value]
    return tuple(np.array([int(x) * scale.numerator / scale.denominator for x in column]) for column in values)  # type: ignore[return-value]


def _order(of: ShownOrder, steps: I64, there: Flags) -> tuple[Any, Any, Any]:
    """An order statistic with the least and greatest value that is rounded to it, half up.

    Missing where there is no value, too. A median can be half a unit of the last place.
    """
    known, parts, step = there & (steps > 0), of.parts, of.step * of.parts
    value = (of.base + steps * of.step) * parts
    low, high = value - step // 2, value + (step - 1) // 2
    scale = of.scale / parts
    columns: tuple[Any, ...] = (value, low, high)
    if scale != 1:
        columns = tuple(np.array([int(x) * scale.numerator / scale.denominator for x in each]) for each in columns)
    return _masked(columns[0], known), _masked(columns[1], known), _masked(columns[2], known)


def _fitted(output: Derived, fit: ShownFit, numbers: I64, there: Flags) -> npt.NDArray[np.float64]:
    """One number of a logistic model, cell by cell; missing where withheld, or where columns do not determine it."""
    kind, cells = Statistic(output.statistic), zip(numbers.T.tolist(), there.tolist(), strict=True)
    found = [logistic.estimates(fit, own, shown=shown).number(kind, output.of or 0) for own, shown in cells]
    return np.array(found, np.float64)


def _mean(numbers: Sequence[int], moments: Shown) -> tuple[Any, Any, Any]:
    total, count = (moments.values[number] for number in numbers)
    unit = worth(moments.moments[numbers[0]])
    value, other, another = (_quotient(total[0], each, unit) for each in count)
    return value, np.minimum(other, another), np.maximum(other, another)


def _quotient(total: I64, count: I64, unit: Fraction) -> npt.NDArray[np.float64]:
    return ratio((total.astype(object), count.astype(object)), unit, root=False)


def _ratio(kind: Statistic, numbers: Sequence[int], moments: Shown) -> npt.NDArray[np.float64]:
    """Any other statistic: of sums that nothing has moved."""
    formula, unit_of = FORMULAS[kind]
    factor = unit_of([worth(moments.moments[number]) for number in numbers])
    exact = formula([moments.values[number][0].astype(object) for number in numbers])
    return ratio(exact, factor, root=kind in ROOTS)


def _masked(column: Any, there: Flags) -> Any:
    """Whole numbers as a column that can have gaps, also where it has none: its type does not depend on the data."""
    import pandas as pd

    if column.dtype == np.int64:
        return pd.arrays.IntegerArray(np.where(there, column, 0), ~there)
    return np.where(there, column, np.nan)
