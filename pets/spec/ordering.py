"""Lower order statistics: which columns are put in order, at which places their values are read, what is shown of them.

A statistic of c values in ascending order reads one or two places, from 1: the least 1, the greatest c, a quantile p
ceil(p c), a median both of those in the middle. Every cell has one row more, before its values, so that a place is a
share of c + 1, and place 0 is there where a cell has no value: it holds 0, and stands for none.

Values are taken off a base that is a multiple of the step to which they are rounded, so that k stands for base + k step
and no value is 0. Of two places the values are added, and divided by twice the step.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from pets.errors import LeakError
from pets.spec import moments as taken_apart
from pets.spec.control import Control
from pets.spec.ir import Ordered, Place, ShownOrder, Sorted
from pets.spec.model import Spec
from pets.spec.protected import Protected
from pets.spec.query import Aggregate, ColumnRef, Statistic

PERSONS_A_PLACE = 3
"""Persons of the smallest group that is shown for each value of a single person that is shown of it."""

MAX_ORDERED = 2**40
"""What is put in order, beside the number of its cell, and is divided stays below this: all together below 2^62."""


def sorts(spec: Spec, guarded: Protected, control: Control) -> tuple[tuple[Sorted, ...], tuple[ShownOrder, ...]]:
    """The columns to put in order, each once, and what is shown of them, in the same order.

    Raises: LeakError leak.order-range if a column is too wide for its step.
    """
    columns = dict.fromkeys(each.what.columns[0] for each in guarded.ordered)
    found, shown = [], []
    for column in columns:
        own = [each for each in guarded.ordered if each.what.columns[0] == column]
        base, step, bits = _measured(spec, column, control)
        places = {each.what: reading(each.what) for each in own}
        whole = lcm(*(at.denominator for read in places.values() for pair in read for at in pair))
        distinct = tuple(dict.fromkeys(_place(at, whole) for read in places.values() for at in read))
        statistics = tuple(
            Ordered(tuple(distinct.index(_place(at, whole)) for at in read), step * len(read))
            for read in places.values()
        )
        found.append(Sorted(own[0].values, own[0].count, base, bits, whole, distinct, statistics))
        scale = Fraction(1, 10 ** spec.dataset(column.dataset).columns[column.column].places)
        shown += [
            ShownOrder(
                taken_apart.order_name(each.what),
                column,
                each.values,
                each.rests_on,
                len(places[each.what]),
                base,
                step,
                scale,
            )
            for each in own
        ]
    return tuple(found), tuple(shown)


def reading(what: Aggregate) -> Sequence[tuple[Fraction, Fraction]]:
    """The places that a statistic reads: floor(times (c + 1) + plus), as pairs of the two."""
    match what.statistic:
        case Statistic.MINIMUM:
            return ((Fraction(0), Fraction(1)),)
        case Statistic.MAXIMUM:
            return ((Fraction(1), Fraction(-1)),)
        case Statistic.MEDIAN:
            return ((Fraction(1, 2), Fraction(0)), (Fraction(1, 2), Fraction(1, 2)))
    at = what.at
    assert at is not None
    return ((at, 1 - at - Fraction(1, at.denominator)),)


def _place(at: tuple[Fraction, Fraction], whole: int) -> Place:
    times, plus = (int(each * whole) for each in at)
    return Place(times, plus)


def step_of(spec: Spec, column: ColumnRef, control: Control) -> int | None:
    """To which multiple a column is rounded, in units of its last place; None if nobody says, or it is none."""
    step = dict(control.steps).get(str(column))
    whole = None if step is None else step * 10 ** spec.dataset(column.dataset).columns[column.column].places
    return None if whole is None or whole.denominator != 1 else int(whole)


def _measured(spec: Spec, column: ColumnRef, control: Control) -> tuple[int, int, int]:
    """What a column is taken off, its step, and the bits of what remains."""
    step = step_of(spec, column, control)
    low, high = spec.dataset(column.dataset).columns[column.column].scaled_range
    if step is None or not fits(low, high, step):
        raise LeakError("leak.order-range", path="release.disclosure_control.round_values_to", column=str(column))
    base = low // step * step - step
    return base, step, (high - base).bit_length()


def fits(low: int, high: int, step: int) -> bool:
    """True if values of this range, and two of them together, are narrow enough to be put in order and divided."""
    return 2 * (high - low + 2 * step) + step < MAX_ORDERED
