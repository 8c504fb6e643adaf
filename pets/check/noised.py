"""The noised columns of a query: what is opened, in which units, for which sensitivity, with which part of epsilon.

The plan is made with them, and two specifications are compared on them: a release is these columns and nothing else.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Final

from pets.check import budget
from pets.errors import LeakError, SpecError
from pets.spec import moments as taken_apart
from pets.spec.ir import Dimension, Factor, Moment, NoisedColumn
from pets.spec.model import Dataset, Spec, quantity
from pets.spec.pooled import Pooled, Statement
from pets.spec.query import Query

MAX_TERM: Final = 2**52
"""Epsilon / sensitivity of a column as a fraction has at most such terms: the sampler compares them in 64 bits."""


def columns_of(spec: Spec, query: Statement) -> tuple[NoisedColumn, ...]:
    """The noised columns of whatever SQL asks for. Raises: as ``noised_columns``."""
    if isinstance(query, Pooled):
        return pooled_columns(spec, query)
    return noised_columns(spec, query, taken_apart.roles(spec, query))


def noised_columns(spec: Spec, query: Query, roles: taken_apart.Roles) -> tuple[NoisedColumn, ...]:
    """One noised column a moment: its share of epsilon, its rounding units, its sensitivity.

    Raises: SpecError spec.no-noise or spec.no-aggregate; LeakError dp.weights, dp.scale or dp.digits.
    """
    found, shares = _shares(spec, query)
    tables = {role: spec.dataset(taken_apart.table_of(query, side)) for role, side in roles.sides.items()}
    dims = {role: taken_apart.dimensions(query, spec, side) for role, side in roles.sides.items()}
    columns = []
    for moment in found:
        own = {role: _one_row(moment.of(side), tables[role]) for role, side in roles.sides.items()}
        factors, sensitivity = budget.coarse(
            own["a"],
            own["b"],
            moment.outer,
            k_a=tables["a"].max_rows_per_person,
            k_b=tables["b"].max_rows_per_person,
            g=taken_apart.cells(dims["a"]),
            h=taken_apart.cells(dims["b"]),
            b_grouped=bool(dims["b"]),
            epsilon=shares[moment.name],
            name=moment.name,
            beside=tuple(beside(own[role], tables[role], dims[role]) for role in own if role not in ("a", "b")),
        )
        columns.append(_column(moment, factors, sensitivity, shares[moment.name], tuple(tables.values())))
    return tuple(columns)


def pooled_columns(spec: Spec, query: Pooled) -> tuple[NoisedColumn, ...]:
    """The same of sums over one table: a person's rows are those at all of its holders together.

    Raises: as ``noised_columns``.
    """
    found, shares = _shares(spec, query)
    table = spec.dataset(query.table)
    columns = []
    for moment in found:
        (factor,) = moment.factors
        factors, sensitivity = budget.coarse(
            factor,
            Factor(),
            False,
            k_a=table.max_rows_per_person,
            k_b=1,
            g=taken_apart.cells(taken_apart.dimensions(query, spec, taken_apart.LEFT)),
            h=1,
            b_grouped=False,
            epsilon=shares[moment.name],
            name=moment.name,
        )
        columns.append(_column(moment, factors, sensitivity, shares[moment.name], (table,)))
    return tuple(columns)


def _shares(spec: Spec, query: Statement) -> tuple[tuple[taken_apart.SideMoment, ...], dict[str, Fraction]]:
    """The moments that are noised, and what each has of epsilon."""
    privacy = spec.release.differential_privacy
    if privacy is None:
        raise SpecError("spec.no-noise")
    found = taken_apart.moments(query, spec)
    if not found:
        raise SpecError("spec.no-aggregate")
    return found, budget.split_epsilon(quantity(privacy.epsilon), [m.name for m in found], privacy.weights)


def _column(
    moment: taken_apart.SideMoment,
    factors: tuple[Factor, ...],
    sensitivity: int,
    share: Fraction,
    tables: tuple[Dataset, ...],
) -> NoisedColumn:
    ratio = share / sensitivity
    if max(ratio.numerator, ratio.denominator) > MAX_TERM:
        raise LeakError("dp.digits", path="release.differential_privacy.epsilon", column=moment.name)
    return NoisedColumn(_moment(moment, factors, tables), sensitivity, share)


def pooled_plain(spec: Spec, query: Pooled, found: tuple[taken_apart.SideMoment, ...]) -> tuple[Moment, ...]:
    """The moments of sums over one table without noise: nothing is made coarser."""
    table = spec.dataset(query.table)
    return tuple(_moment(moment, (*moment.factors, Factor()), (table,)) for moment in found)


def plain(
    spec: Spec, query: Query, roles: taken_apart.Roles, found: tuple[taken_apart.SideMoment, ...]
) -> tuple[Moment, ...]:
    """The moments of a table without noise, in units of the last place: nothing is made coarser."""
    tables = {role: spec.dataset(taken_apart.table_of(query, side)) for role, side in roles.sides.items()}
    moments = []
    for moment in found:
        a, *others = (_one_row(moment.of(side), tables[role]) for role, side in roles.sides.items())
        factors = (a, *(replace(other, together=False) for other in others))  # they add up by person anyway
        moments.append(_moment(moment, factors, tuple(tables.values())))
    return tuple(moments)


def beside(factor: Factor, table: Dataset, dims: tuple[Dimension, ...]) -> budget.Beside:
    """What the sensitivity depends on of a further table."""
    return budget.Beside(factor, table.max_rows_per_person, taken_apart.cells(dims))


def _moment(moment: taken_apart.SideMoment, factors: Sequence[Factor], tables: Sequence[Dataset]) -> Moment:
    """A moment by roles: a, b and those of further tables. Of one table b is one, and of no table."""
    a, b, *others = factors
    places = prod(_places(table, factor) for table, factor in zip(tables, factors, strict=False))
    scale = Fraction(prod(factor.unit for factor in factors), places)
    return Moment(moment.name, a, b, moment.outer, scale, tuple(others))


def _one_row(factor: Factor, table: Dataset) -> Factor:
    """Where nobody has two rows, persons and rows are the same, and rows need no product."""
    return replace(factor, people=False) if factor.people and table.max_rows_per_person == 1 else factor


def _places(table: Dataset, factor: Factor) -> int:
    """What the last places of the multiplied columns are worth together: 100 for one column with two places."""
    scale = 1
    for column in factor.values:
        scale *= 10 ** table.columns[column].places
    return scale
