"""What a query asks for, taken apart: who plays which role, and the few sums that every statistic is made of.

Only *moments* are computed jointly: sums over the joined rows of a cell of one factor of each side. A mean is two
moments, a correlation six; moments that several columns of the table share are computed, noised and paid for once.
Sides are still ``left`` and ``right`` of the query here; ``roles`` says which side plays role a of the protocol.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Final

from pets.errors import SpecError
from pets.ids import PartyId
from pets.spec.banded import across, levels_of
from pets.spec.control import Control
from pets.spec.ir import Dimension, Factor
from pets.spec.joins import SHARED, protocol_of
from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Pooled, Statement
from pets.spec.predicate import worded
from pets.spec.query import FITTED, LINEAR, LOGISTIC, ORDER, Aggregate, ColumnRef, Output, Own, Query, Statistic
from pets.spec.repeated import BESIDE, role_of

Side = int
"""A table by its place in the query: that of FROM is 0."""

VALUED: Final = "counts the persons who have a value in a column that may be empty"
SEVERAL: Final = "joins more than two tables"
REMEDIES: Final = {VALUED: "declare the column required, if it is never empty, or leave its sums and means out"}
"""What to do about what shared_join does not do, where it is something else than to leave it out."""

MAX_B_CELLS: Final = 32
"""Cells of role b's own grouping columns that are one more gathered and summed column each (protocols.md 1.13).

If there are more, the three parties tell groups apart on shares (``keyed``)."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Who does what in a join of two tables, or of more, which are those of roles d1, d2 ...

    ``a``, ``b`` and ``helper`` compute: with a helper, a and b hold the first two tables; under shared_join nobody of
    the three holds any, and they are its first, third and second.
    """

    a_side: Side
    b_side: Side
    a: PartyId
    b: PartyId
    helper: PartyId
    result: PartyId
    d_sides: tuple[Side, ...] = ()
    ds: tuple[PartyId, ...] = ()
    shared: bool = False

    @property
    def sides(self) -> dict[str, Side]:
        """The side of the query that each holder's role has."""
        further = {role_of(BESIDE, number): side for number, side in enumerate(self.d_sides)}
        return {"a": self.a_side, "b": self.b_side, **further}


@dataclass(frozen=True, slots=True)
class SideMoment:
    """Sum over the joined rows of a cell of the product of ``factors``, in units of the columns' last places.

    ``factors`` are in the order of the query's tables.
    ``outer``: an unmatched row of the left side counts as joined to one row of NULLs on which the second factor is 1.
    It is false as soon as a moment asks for anything of the right side, because that is NULL there.
    ``name`` is the key of ``release.differential_privacy.weights``.
    """

    name: str
    factors: tuple[Factor, ...]
    outer: bool

    def of(self, side: Side) -> Factor:
        """The factor of a table of the query."""
        return self.factors[side]


LEFT: Final[Side] = 0
RIGHT: Final[Side] = 1


def table_of(query: Statement, side: Side) -> str:
    """The name of a table of the query."""
    return query.tables[side]


def dimensions(query: Statement, spec: Spec, side: Side) -> tuple[Dimension, ...]:
    """The grouping columns of one side in the order of GROUP BY, each with all its levels, ``(missing)`` last."""
    dataset = spec.dataset(table_of(query, side))
    return tuple(Dimension(ref, levels_of(spec, ref)) for ref in query.group_by if ref.dataset == dataset.name)


def cells(dims: tuple[Dimension, ...]) -> int:
    """Number of cells of these dimensions: 1 if there are none."""
    return prod(len(d.levels) for d in dims)


def on_shares(query: Query, spec: Spec) -> tuple[Dimension, ...]:
    """The grouping column over both tables, if there is one: it comes behind those of the sides."""
    found = across(query.group_by)
    return () if found is None else (Dimension(found, levels_of(spec, found)),)


def keyed(query: Query, spec: Spec, who: "Roles") -> bool:
    """True if role b's groups are too many to be a column each: rows are summed by a key that nobody knows.

    Levels of a CASE over both tables count with them. Of three tables or more those of all but role a together: then
    there is no other way, and it is refused.
    """
    others = (d for role, side in who.sides.items() if role != "a" for d in dimensions(query, spec, side))
    return cells((*others, *on_shares(query, spec))) > MAX_B_CELLS and not who.shared


def helpers(spec: Spec, query: Query) -> tuple[PartyId, ...]:
    """Computing parties that hold no table of the query.

    A well-formed specification has exactly one, or three where nobody who computes is to hold any.
    """
    holders = {party for name in query.tables for party in spec.dataset(name).parties}
    return tuple(name for name in spec.computing if name not in holders)


def roles(spec: Spec, query: Query) -> Roles:
    """Say who plays which role.

    Role a is the preserved side of a LEFT JOIN; else the side with the larger group domain, because role b's cells
    multiply the columns on the wire; else the side named in FROM. Where rows are computed on before they are summed,
    for a condition across tables or because groups are many on both sides, role b has one row a person, if either has.

    Of three tables or more role a has the one with the largest group domain, or else that with most rows a person; b,
    d1, d2 ... have the others in the order of the query.

    Raises: SpecError unless as many computing parties as the protocol needs hold no table of the query
            (``check_query`` says it first).
    """
    found, shared = helpers(spec, query), protocol_of(spec) == SHARED
    if len(found) != (3 if shared else 1):
        raise SpecError("spec.helper", found=", ".join(found) or "none")
    if query.others and not shared:  # under shared_join it is refused
        return _several(spec, query, found[0])
    of_left, of_right = (cells(dimensions(query, spec, side)) for side in (LEFT, RIGHT))
    swap = query.join == "inner" and of_right > of_left
    by_rows = query.by_rows or (query.join == "inner" and min(of_left, of_right) > MAX_B_CELLS)
    if by_rows and spec.dataset(query.left if swap else query.right).max_rows_per_person > 1:
        swap = spec.dataset(query.right if swap else query.left).max_rows_per_person == 1 and not swap
    if shared:
        sides: tuple[Side, Side] = (RIGHT, LEFT) if swap else (LEFT, RIGHT)
        return Roles(*sides, found[0], found[2], found[1], spec.result_party, shared=True)
    left, right = spec.dataset(query.left).party, spec.dataset(query.right).party
    if swap:
        return Roles(RIGHT, LEFT, right, left, found[0], spec.result_party)
    return Roles(LEFT, RIGHT, left, right, found[0], spec.result_party)


def _several(spec: Spec, query: Query, helper: PartyId) -> Roles:
    def worth(side: Side) -> tuple[int, int]:
        most = spec.dataset(table_of(query, side)).max_rows_per_person
        domain = cells(dimensions(query, spec, side))
        return (most, domain) if query.ordered or query.compares else (domain, most)

    sides = range(len(query.tables))
    first = max(sides, key=worth)
    second, *further = (side for side in sides if side != first)
    a, b, *ds = (PartyId(spec.dataset(table_of(query, side)).party) for side in (first, second, *further))
    return Roles(first, second, a, b, helper, spec.result_party, tuple(further), tuple(ds))


def not_shared(query: Query, spec: Spec, who: "Roles", factors: Iterable[Factor], control: Control | None) -> str:
    """What a query asks for that shared_join does not do, in words; empty if there is nothing.

    ``control``: what its release is under.
    """
    used = tuple(factors)
    if query.others:
        return SEVERAL
    if query.join != "inner":
        return "keeps rows without a partner (LEFT JOIN)"
    if query.by_rows:
        return "compares columns of two tables, puts values in order or fits a model"
    if control is not None and control.on_contributions and any(factor.values for factor in used):
        return "holds sums to rules on single contributions (dominance or p_percent)"
    if control is not None and set(control.local) & {p for d in spec.datasets if d.several for p in d.parties}:
        return "holds the persons of one of several holders to the minimum by themselves (appetite local)"
    if any(factor.people and factor.present for factor in used):
        return VALUED
    if any(factor.people and factor.when for factor in used):
        return "counts the persons who meet a condition of a CASE inside a statistic"
    if (found := cells(dimensions(query, spec, who.b_side))) > MAX_B_CELLS:
        return f"groups both tables into more than {MAX_B_CELLS} cells, the one with fewer into {found}"
    return ""


def moments(query: Statement, spec: Spec) -> tuple[SideMoment, ...]:
    """The distinct moments of a query, in the order in which its columns first need them."""
    found: dict[str, SideMoment] = {}
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            for moment in moments_of(output.what, query, spec):
                found.setdefault(moment.name, moment)
    return tuple(found.values())


def statistics(query: Statement, spec: Spec) -> tuple[tuple[Output, tuple[str, ...]], ...]:
    """For each aggregate the names of its moments, in the order in which ``ir.Derived`` takes them."""
    return tuple(
        (output, tuple(moment.name for moment in moments_of(output.what, query, spec)))
        for output in query.outputs
        if isinstance(output.what, Aggregate)
    )


_ONE_COLUMN: Final = {
    Statistic.COUNT_VALUES: ("n",),
    Statistic.SUM: ("x",),
    Statistic.AVG: ("x", "n"),
    Statistic.VAR_SAMP: ("xx", "x", "n"),
    Statistic.VAR_POP: ("xx", "x", "n"),
    Statistic.STDDEV_SAMP: ("xx", "x", "n"),
    Statistic.STDDEV_POP: ("xx", "x", "n"),
}
_TWO_COLUMNS: Final = {
    Statistic.COVAR_SAMP: ("yx", "y", "x", "n"),
    Statistic.COVAR_POP: ("yx", "y", "x", "n"),
    Statistic.CORR: ("yx", "y", "x", "yy", "xx", "n"),
    Statistic.REGR_SLOPE: ("yx", "y", "x", "xx", "n"),
    Statistic.REGR_INTERCEPT: ("yx", "y", "x", "xx", "n"),
}


def moments_of(what: Aggregate, query: Statement, spec: Spec) -> tuple[SideMoment, ...]:
    """Moments of one aggregate. A statistic of several columns ignores rows on which one is NULL, as SQL does."""
    if what.statistic in LOGISTIC and isinstance(query, Pooled):
        return (_moment(query, spec, (), what.columns),)  # counts of every combination of values
    if what.statistic in ORDER | FITTED:
        return ()  # made of rows, not of sums
    if what.statistic is Statistic.LOGISTIC_ROWS:
        return (_moment(query, spec, (), what.columns),)
    if what.statistic is Statistic.LOGISTIC_ONES:
        return (products_of(what, query, spec, what.columns[:1]),)
    if what.statistic is Statistic.COUNT_ROWS:
        return (_moment(query, spec, (), what.when),)
    if what.statistic is Statistic.COUNT_PEOPLE:
        return (_people(query, spec, what),)
    if what.statistic in _ONE_COLUMN:
        (x,) = what.columns
        return tuple(_moment(query, spec, (x,) * part.count("x"), what.needs) for part in _ONE_COLUMN[what.statistic])
    if what.statistic is Statistic.LINEAR_ROWS:
        return (_moment(query, spec, (), what.columns),)
    if what.statistic in LINEAR:
        pairs = itertools.combinations_with_replacement(what.columns, 2)
        parts = [(), *((column,) for column in what.columns), *pairs]
        return tuple(_moment(query, spec, part, what.columns) for part in parts)
    y, x = what.columns
    return tuple(
        _moment(query, spec, (y,) * part.count("y") + (x,) * part.count("x"), (y, x))
        for part in _TWO_COLUMNS[what.statistic]
    )


def values_of(what: Aggregate, query: Statement, spec: Spec) -> SideMoment:
    """Of an order statistic: the moment whose summands are the values that are put in order."""
    return _moment(query, spec, what.columns, what.columns)


def products_of(what: Aggregate, query: Statement, spec: Spec, columns: tuple[ColumnRef, ...]) -> SideMoment:
    """Of a logistic model: the sum of the product of some of its columns, over the rows that it is fitted to."""
    return _moment(query, spec, columns, what.columns)


def fit_name(what: Aggregate) -> str:
    """What a logistic model is called where moments are: ``logistic(stays.died; homes.rent, stays.age)``."""
    y, *xs = what.columns
    return f"logistic({y}; {', '.join(map(str, xs))}; {what.iterations} steps)"


def order_name(what: Aggregate) -> str:
    """What an order statistic is called where moments are: ``median(stays.minutes)``."""
    share = "" if what.at is None else f", {float(what.at):g}"
    return f"{what.statistic.value}({what.columns[0]}{share})"


Needs = tuple[ColumnRef | Own, ...]
"""What has to hold of a row for it to count: columns that are not NULL, conditions that are true."""


def _moment(query: Statement, spec: Spec, values: tuple[ColumnRef, ...], present: Needs) -> SideMoment:
    made = tuple(_factor(spec.dataset(name), values, present) for name in query.tables)
    outer = query.join == "left" and all(ref.dataset == query.tables[0] for ref in present)
    factors = tuple(zip(query.tables, made, strict=True))
    names = [f"{table}.{column}" for table, factor in factors for column in factor.values]
    others = [
        f"{table}.{column}" for table, factor in factors for column in factor.present if column not in factor.values
    ]
    if names or len(others) != 1:
        name = f"sum({'*'.join(names)})" if names else "count(*)"
        if others:
            name += f" where {', '.join(others)} present"
    else:
        name, others = f"count({others[0]})", []
    if conditions := _said(factors):
        name += f"{', ' if others else ' where '}{conditions}"
    if query.join == "left" and not outer and made[1].is_one:
        name += " where matched"
    return SideMoment(name, made, outer)


def _said(factors: tuple[tuple[str, Factor], ...]) -> str:
    """The conditions of factors in words; empty if there are none."""
    return ", ".join(f"{table}.({worded(each)})" for table, factor in factors for each in factor.when)


def contributors(query: Statement, spec: Spec, columns: Needs) -> SideMoment:
    """The persons of a cell on whom none of these columns is NULL, and who meet the conditions among them.

    They contribute to a statistic that needs so much.

    Where neither side has two rows of one person that is a count of rows, and summed once. Of one table of many holders
    they are the persons of each holder: nobody can tell whether two holders have rows of one person.
    """
    pooled = isinstance(query, Pooled)
    tables = [spec.dataset(name) for name in query.tables]
    if all((table.rows_per_person if pooled else table.max_rows_per_person) == 1 for table in tables):
        return _moment(query, spec, (), columns)
    made = [_factor(table, (), columns) for table in tables]
    outer = query.join == "left" and all(ref.dataset == query.tables[0] for ref in columns)
    name = "people where matched" if query.join == "left" and not outer else "people"
    name += " at each holder" if pooled and tables[0].most_holders > 1 else ""
    present = [f"{table}.{c}" for table, f in zip(query.tables, made, strict=True) for c in f.present]
    name += f", {', '.join(present)} present" if present else ""
    if conditions := _said(tuple(zip(query.tables, made, strict=True))):
        name += f" where {conditions}"
    return SideMoment(name, tuple(replace(factor, people=True) for factor in made), outer)


def _people(query: Statement, spec: Spec, what: Aggregate) -> SideMoment:
    """Persons of a cell."""
    (who,) = what.columns
    return contributors(query, spec, (*((who,) if who.dataset in query.tables[1:2] else ()), *what.when))


def _factor(dataset: Dataset, values: tuple[ColumnRef, ...], present: Needs) -> Factor:
    """The factor of one side. Required columns and joined ids have no NULLs and need no place in ``present``."""
    own = tuple(sorted(ref.column for ref in values if ref.dataset == dataset.name))
    mine = [each for each in present if each.dataset == dataset.name]
    need = {each.column for each in mine if isinstance(each, ColumnRef) and _may_be_null(dataset, each.column)}
    when = tuple(dict.fromkeys(each.predicate for each in mine if isinstance(each, Own)))
    bound = prod(max(1, *map(abs, dataset.columns[column].scaled_range)) for column in own)  # noise of scale 0 is none
    return Factor(values=own, present=tuple(sorted(need | set(own))), bound=bound, when=when)


def _may_be_null(dataset: Dataset, column: str) -> bool:
    return column != dataset.key and not dataset.columns[column].required
