"""The noised columns of a query: what is opened, in which units, for which sensitivity, with which part of the loss.

The plan is made with them, and two specifications are compared on them: a release is these columns and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, isqrt, prod
from typing import Final

from pets.check import budget, shared_noise
from pets.check.sensitivity import Beside, Sizes, coarse, coarse_squared
from pets.errors import LeakError, SpecError
from pets.spec import moments as taken_apart
from pets.spec.ir import Dimension, Factor, GaussianColumn, Moment, NoisedColumn, Noisy
from pets.spec.model import Dataset, DifferentialPrivacy, Spec
from pets.spec.pooled import Pooled, Statement
from pets.spec.query import Query

MAX_TERM: Final = 2**52
"""Epsilon / sensitivity of a column as a fraction has at most such terms: the sampler compares them in 64 bits."""


NOISE_TAIL: Final = 64
"""A part of discrete Laplace noise is within this many scales but for a chance of 2^-91."""

GAUSSIAN_TAIL: Final = 16
"""A part of discrete Gaussian noise is within this many roots of its variance but for a chance of 2^-183.

Its law is subgaussian: 2 exp(-16^2 / 2). So of 2^119 parts all are, but for a chance of 2^-64.
"""

JOINED: Final = shared_noise.honest_parts(3, 1)
"""Parts of the noise of three computing parties, one of whom may be corrupt, that whoever reads does not know."""

POOLED: Final = 1
"""The same under sums over one table of many holders: each party's part is the whole of the noise."""


def sizes_of(tables: Mapping[str, Dataset], dims: Mapping[str, tuple[Dimension, ...]]) -> Sizes:
    """Rows a person and cells of the tables of roles a and b."""
    return Sizes(
        k_a=tables["a"].max_rows_per_person,
        k_b=tables["b"].max_rows_per_person,
        g=taken_apart.cells(dims["a"]),
        h=taken_apart.cells(dims["b"]),
        b_grouped=bool(dims["b"]),
    )


def columns_of(spec: Spec, query: Statement) -> tuple[Noisy, ...]:
    """The noised columns of whatever SQL asks for. Raises: as ``noised_columns``."""
    if isinstance(query, Pooled):
        return pooled_columns(spec, query)
    return noised_columns(spec, query, taken_apart.roles(spec, query))


def noised_columns(spec: Spec, query: Query, roles: taken_apart.Roles) -> tuple[Noisy, ...]:
    """One noised column a moment: its share of the loss, its rounding units, its sensitivity.

    Raises: SpecError spec.no-noise or spec.no-aggregate; LeakError dp.weights, dp.scale or dp.digits.
    """
    privacy, found, shares = _shares(spec, query)
    tables = {role: spec.dataset(taken_apart.table_of(query, side)) for role, side in roles.sides.items()}
    dims = {role: taken_apart.dimensions(query, spec, side) for role, side in roles.sides.items()}
    sizes, columns = sizes_of(tables, dims), []
    for moment in found:
        own = {role: _one_row(moment.of(side), tables[role]) for role, side in roles.sides.items()}
        further = tuple(beside(own[role], tables[role], dims[role]) for role in own if role not in ("a", "b"))
        pair, share, of = (own["a"], own["b"]), shares[moment.name], tuple(tables.values())
        columns.append(column_of(privacy, moment, pair, share, sizes, of, parts=JOINED, further=further))
    return tuple(columns)


def pooled_columns(spec: Spec, query: Pooled, *, parts: int = POOLED) -> tuple[Noisy, ...]:
    """The same of sums over one table: a person's rows are those at all of its holders together.

    ``parts``: how many computing parties' parts are the whole of the noise.

    Raises: as ``noised_columns``.
    """
    privacy, found, shares = _shares(spec, query)
    table = spec.dataset(query.table)
    cells = taken_apart.cells(taken_apart.dimensions(query, spec, taken_apart.LEFT))
    sizes = Sizes(k_a=table.max_rows_per_person, k_b=1, g=cells, h=1, b_grouped=False)
    columns = []
    for moment in found:
        (factor,) = moment.factors
        share = shares[moment.name]
        columns.append(column_of(privacy, moment, (factor, Factor()), share, sizes, (table,), parts=parts))
    return tuple(columns)


def _shares(
    spec: Spec, query: Statement
) -> tuple[DifferentialPrivacy, tuple[taken_apart.SideMoment, ...], dict[str, Fraction]]:
    """How the release is protected, the moments that are noised, and what each has of epsilon or rho."""
    privacy = spec.release.differential_privacy
    if privacy is None:
        raise SpecError("spec.no-noise")
    found = taken_apart.moments(query, spec)
    if not found:
        raise SpecError("spec.no-aggregate")
    return privacy, found, budget.split_epsilon(privacy.loss, [m.name for m in found], privacy.weights)


def column_of(
    privacy: DifferentialPrivacy,
    moment: taken_apart.SideMoment,
    pair: tuple[Factor, Factor],
    share: Fraction,
    sizes: Sizes,
    tables: Sequence[Dataset],
    *,
    parts: int,
    further: Sequence[Beside] = (),
) -> Noisy:
    """One moment under noise, with its share of epsilon or rho.

    ``pair``: its factors of roles a and b; of sums over one table the second is one. ``tables``: those of the factors.

    Raises: LeakError dp.scale or dp.digits.
    """
    (a, b), name = pair, moment.name
    if privacy.gaussian:
        factors, squared = coarse_squared(a, b, moment.outer, sizes, rho=share, parts=parts, name=name, beside=further)
        return GaussianColumn(_moment(moment, factors, tables), squared, share, _variance(share, squared, parts), parts)
    factors, sensitivity = coarse(a, b, moment.outer, sizes, epsilon=share, name=name, beside=further)
    ratio = share / sensitivity
    if max(ratio.numerator, ratio.denominator) > MAX_TERM:
        raise LeakError("dp.digits", path="release.differential_privacy.epsilon", column=name)
    return NoisedColumn(_moment(moment, factors, tables), sensitivity, share)


def _variance(rho: Fraction, squared: int, parts: int) -> Fraction:
    """Of each part: the least that costs no more, whatever cells a person's rows are in."""
    return shared_noise.part_variance(rho, squared, parts, squared)


def greatest(column: Noisy, parties: int) -> Fraction:
    """What the noise of so many parties on one number is never beyond, but for a chance below 2^-64 over all numbers.

    Units: of the moment.
    """
    if isinstance(column, GaussianColumn):
        return Fraction(parties * GAUSSIAN_TAIL * (isqrt(ceil(column.variance)) + 1))
    return parties * NOISE_TAIL * (column.sensitivity / column.epsilon)


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


def beside(factor: Factor, table: Dataset, dims: tuple[Dimension, ...]) -> Beside:
    """What the sensitivity depends on of a further table."""
    return Beside(factor, table.max_rows_per_person, taken_apart.cells(dims))


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
