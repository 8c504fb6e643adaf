"""Which groups of a released table HAVING keeps: conditions on released numbers, with SQL's three values.

A number that is withheld, or that the noise leaves undetermined, is NULL: it satisfies no condition, and neither does
what is denied of it. Only post-processing: equal tables keep equal rows.
"""

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, assert_never

import numpy as np
import numpy.typing as npt

from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Value

if TYPE_CHECKING:
    import pandas as pd

Flags = npt.NDArray[np.bool_]

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def kept(frame: "pd.DataFrame", having: Predicate) -> Flags:
    """One flag for each row of a table: true where the condition is true."""
    return _said(frame, having)[0]


def _said(frame: "pd.DataFrame", predicate: Predicate) -> tuple[Flags, Flags]:
    """Where a condition is true, and where it is false; it is unknown elsewhere."""
    match predicate:
        case Compare(column=column, op=op, value=value):
            return _compared(frame[column], op, value)
        case In(column=column, values=values, negated=negated):
            parts = [_compared(frame[column], "=", value) for value in values]
            true, false = np.logical_or.reduce([t for t, _ in parts]), np.logical_and.reduce([f for _, f in parts])
            return (false, true) if negated else (true, false)
        case IsNull(column=column, negated=negated):
            null: Flags = frame[column].isna().to_numpy(bool)
            return (~null, null) if negated else (null, ~null)
        case Not(part=part):
            true, false = _said(frame, part)
            return false, true
        case All(parts=parts):
            both = [_said(frame, part) for part in parts]
            return np.logical_and.reduce([t for t, _ in both]), np.logical_or.reduce([f for _, f in both])
        case AnyOf(parts=parts):
            both = [_said(frame, part) for part in parts]
            return np.logical_or.reduce([t for t, _ in both]), np.logical_and.reduce([f for _, f in both])
        case _:
            assert_never(predicate)


def _compared(column: "pd.Series[float]", op: str, value: Value) -> tuple[Flags, Flags]:
    """Whole numbers are compared exactly; what was rounded to a float is compared with the float of the literal."""
    assert isinstance(value, int | Fraction)
    there: Flags = column.notna().to_numpy(bool)
    whole = column.dtype.kind in "iu"
    own = [int(x) if whole else float(x) for x in column[there]]
    other = value if whole else float(value)
    true = np.zeros(len(column), np.bool_)
    true[there] = [_COMPARE[op](x, other) for x in own]
    return true, there & ~true
