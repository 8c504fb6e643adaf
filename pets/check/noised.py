"""The noised columns of a query: what is opened, in which units, for which sensitivity, with which part of epsilon.

The plan is made with them, and two specifications are compared on them: a release is these columns and nothing else.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Final

from pets.check import budget
from pets.errors import LeakError, SpecError
from pets.spec import moments as taken_apart
from pets.spec.ir import Factor, Moment, NoisedColumn
from pets.spec.model import Dataset, Spec, quantity
from pets.spec.query import Query

MAX_TERM: Final = 2**52
"""Epsilon / sensitivity of a column as a fraction has at most such terms: the sampler compares them in 64 bits."""


def noised_columns(spec: Spec, query: Query, roles: taken_apart.Roles) -> tuple[NoisedColumn, ...]:
    """One noised column a moment: its share of epsilon, its rounding units, its sensitivity.

    Raises: SpecError spec.no-noise or spec.no-aggregate; LeakError dp.weights, dp.scale or dp.digits.
    """
    privacy = spec.release.differential_privacy
    if privacy is None:
        raise SpecError("spec.no-noise")
    found = taken_apart.moments(query, spec)
    if not found:
        raise SpecError("spec.no-aggregate")
    left, right = spec.dataset(query.left), spec.dataset(query.right)
    left_is_a = roles.a_side == "left"
    table_a, table_b = (left, right) if left_is_a else (right, left)
    dims_b = taken_apart.dimensions(query, spec, roles.b_side)
    g, h = taken_apart.cells(taken_apart.dimensions(query, spec, roles.a_side)), taken_apart.cells(dims_b)
    shares = budget.split_epsilon(quantity(privacy.epsilon), [m.name for m in found], privacy.weights)
    columns = []
    for moment in found:
        plain_a, plain_b = (moment.left, moment.right) if left_is_a else (moment.right, moment.left)
        a, b, sensitivity = budget.coarse(
            _one_row(plain_a, table_a),
            _one_row(plain_b, table_b),
            moment.outer,
            k_a=table_a.max_rows_per_person,
            k_b=table_b.max_rows_per_person,
            g=g,
            h=h,
            b_grouped=bool(dims_b),
            epsilon=shares[moment.name],
            name=moment.name,
        )
        ratio = shares[moment.name] / sensitivity
        if max(ratio.numerator, ratio.denominator) > MAX_TERM:
            raise LeakError("dp.digits", path="release.differential_privacy.epsilon", column=moment.name)
        summed = Moment(moment.name, a, b, moment.outer, _scale(table_a, a, table_b, b))
        columns.append(NoisedColumn(summed, sensitivity, shares[moment.name]))
    return tuple(columns)


def plain(
    spec: Spec, query: Query, roles: taken_apart.Roles, found: tuple[taken_apart.SideMoment, ...]
) -> tuple[Moment, ...]:
    """The moments of a table without noise, in units of the last place: nothing is made coarser."""
    left, right = spec.dataset(query.left), spec.dataset(query.right)
    swapped = roles.a_side != "left"
    table_a, table_b = (right, left) if swapped else (left, right)
    moments = []
    for moment in found:
        of_a, of_b = (moment.right, moment.left) if swapped else (moment.left, moment.right)
        a, b = _one_row(of_a, table_a), replace(_one_row(of_b, table_b), together=False)  # b adds up by person anyway
        moments.append(Moment(moment.name, a, b, moment.outer, _scale(table_a, a, table_b, b)))
    return tuple(moments)


def _scale(table_a: Dataset, a: Factor, table_b: Dataset, b: Factor) -> Fraction:
    return Fraction(a.unit * b.unit, _places(table_a, a) * _places(table_b, b))


def _one_row(factor: Factor, table: Dataset) -> Factor:
    """Where nobody has two rows, persons and rows are the same, and rows need no product."""
    return replace(factor, people=False) if factor.people and table.max_rows_per_person == 1 else factor


def _places(table: Dataset, factor: Factor) -> int:
    """What the last places of the multiplied columns are worth together: 100 for one column with two places."""
    scale = 1
    for column in factor.values:
        scale *= 10 ** table.columns[column].places
    return scale
