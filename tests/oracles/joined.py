"""Joined rows of a query in the clear, for the reference of disclosure control, and what its statistics need.

Written from the SQL alone: who meets whom, in which cell, with which values, and what may be NULL. It knows nothing of
moments' counts of persons, sets or shares.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

from pets.ids import MISSING
from pets.spec import moments as taken_apart
from pets.spec.model import Spec
from pets.spec.query import Aggregate, ColumnRef, Query
from pets.spec.query import Statistic as Asked
from tests.oracles.control import Cell, Row, Statistic
from tests.oracles.sql import Rows, holds

MATCHED = "matched"


Meets = Callable[[Mapping[str, Any], Mapping[str, Any]], bool | None]
"""What a condition on both tables says of a row of the left and one of the right; NULL is None."""


def rows(
    spec: Spec, query: Query, tables: Mapping[str, Rows], dimensions: list[ColumnRef], meets: Meets | None = None
) -> list[Row]:
    """Every joined row. ``tables``: rows as they count; ``dimensions``: in the order of the cells."""
    left, right, *others = (_by_person(spec, name, where, tables[name]) for name, where in _sides(query))
    found = []
    for person, own in left.items():
        for one in own:
            for other in right.get(person, [None] if query.join == "left" else []):
                if meets is None or (other is not None and meets(one, other) is True):
                    for last in product(*(table.get(person, []) for table in others)):
                        found.append(_row(spec, query, person, one, other, dimensions, last))
    return found


def _sides(query: Query) -> list[tuple[str, object]]:
    both: list[tuple[str, object]] = [(query.left, query.where_left), (query.right, query.where_right)]
    return [*both, *zip(query.others, query.where_others, strict=True)]


def _by_person(spec: Spec, name: str, where: object, own: Rows) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in own:
        if holds(where, row) is True:  # type: ignore[arg-type]
            found.setdefault(row[spec.dataset(name).key], []).append(row)
    return found


def _row(
    spec: Spec,
    query: Query,
    person: str,
    one: dict[str, object],
    other: dict[str, object] | None,
    dimensions: list[ColumnRef],
    last: tuple[dict[str, object], ...] = (),
) -> Row:
    sides = {query.left: one, query.right: other or {}} | dict(zip(query.others, last, strict=True))
    cell: Cell = tuple(MISSING if (v := sides[d.dataset].get(d.column)) is None else str(v) for d in dimensions)
    values: dict[str, int | None] = {MATCHED: None if other is None else 1}
    for name, own in sides.items():
        for column, declared in spec.dataset(name).columns.items():
            if declared.role == "measure":
                value = own.get(column)
                values[f"{name}.{column}"] = None if value is None else int(Fraction(value) * 10**declared.places)  # type: ignore[call-overload]
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            for moment in taken_apart.moments_of(output.what, query, spec):
                factors = _factors(query, moment)
                own_values = [values[name] for name in factors]
                if factors and None not in own_values:
                    values["*".join(factors)] = prod(value for value in own_values if value is not None)
                elif factors:
                    values["*".join(factors)] = None
    parties = {spec.dataset(query.left).party} | ({spec.dataset(query.right).party} if other is not None else set())
    parties |= {spec.dataset(name).party for name in query.others}
    return Row(person, cell, values, frozenset(map(str, parties)))


def _factors(query: Query, moment: taken_apart.SideMoment) -> list[str]:
    both = [f"{query.left}.{c}" for c in moment.factors[0].values] + [
        f"{query.right}.{c}" for c in moment.factors[1].values
    ]
    further = zip(query.others, moment.factors[2:], strict=True)
    return [*both, *(f"{table}.{c}" for table, factor in further for c in factor.values)]


def statistics(spec: Spec, query: Query) -> dict[str, Statistic]:
    """What is shown, by the name of its moment: every sum that a statistic of the query is made of."""
    found: dict[str, Statistic] = {}
    for output in query.outputs:
        if not isinstance(output.what, Aggregate):
            continue
        needs = needs_of(spec, query, output.what.columns)
        for moment in taken_apart.moments_of(output.what, query, spec):
            factors = _factors(query, moment)
            if output.what.statistic is Asked.COUNT_PEOPLE:
                found.setdefault(moment.name, Statistic("people", needs=needs))
            elif not factors:
                found.setdefault(moment.name, Statistic("rows", needs=needs))
            else:
                kind = "flag" if len(factors) == 1 and is_flag(spec, factors[0]) else "sum"
                found.setdefault(moment.name, Statistic(kind, "*".join(factors), needs))  # type: ignore[arg-type]
    return found


def is_flag(spec: Spec, name: str) -> bool:
    table, column = name.split(".")
    return spec.dataset(table).columns[column].scaled_range == (0, 1)


def needs_of(spec: Spec, query: Query, columns: tuple[ColumnRef, ...]) -> frozenset[str]:
    names = set()
    for ref in columns:
        table = spec.dataset(ref.dataset)
        if ref.column != table.key and not table.columns[ref.column].required:
            names.add(str(ref))
        if query.join == "left" and ref.dataset == query.right:
            names.add(MATCHED)
    return frozenset(names)
