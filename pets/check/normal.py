"""The normal form of a query: two texts that ask for the same thing have one, whatever words they use.

Two-valued laws that fail for NULL are not used: what is rewritten here is equal in the three-valued logic of SQL.
"""

import datetime as dt
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from pets.spec.query import (
    Aggregate,
    All,
    AnyOf,
    ColumnRef,
    Compare,
    In,
    IsNull,
    Not,
    Output,
    Predicate,
    Query,
    Statistic,
    Value,
)

Normal = tuple[object, ...]
"""A condition in normal form: nested tuples that compare by value."""

Literal = tuple[str, str]
"""A literal as its kind and its text."""

_NOT: Final = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def population(query: Query) -> dict[str, Normal]:
    """For each table the condition that its rows must meet; the empty tuple where there is none."""
    return {
        query.left: _top(query.where_left),
        query.right: _top(query.where_right),
    }


def _top(where: Predicate | None) -> Normal:
    return () if where is None else condition(where)


def condition(predicate: Predicate, *, negated: bool = False) -> Normal:
    """The normal form of a condition: NOT pushed inwards, = and <> as lists, parts flat, sorted, each once."""
    match predicate:
        case Not(part):
            return condition(part, negated=not negated)
        case IsNull(column, own):
            return ("null", column, own != negated)
        case In(column, values, own):
            return _listed(column, values, own != negated)
        case Compare(column, op, value):
            op = _NOT[op] if negated else op  # type: ignore[assignment]
            return (
                _listed(column, (value,), op == "<>") if op in ("=", "<>") else ("compare", column, op, _value(value))
            )
        case All(parts):
            return _joined("any" if negated else "all", (condition(part, negated=negated) for part in parts))
        case AnyOf(parts):
            return _joined("all" if negated else "any", (condition(part, negated=negated) for part in parts))


def _listed(column: str, values: Iterable[Value], negated: bool) -> Normal:
    return ("in", column, negated, tuple(sorted({_value(value) for value in values})))


def _joined(word: str, parts: Iterable[Normal]) -> Normal:
    """AND or OR of parts. Lists of one column that mean one longer list become that list."""
    flat: list[Normal] = []
    lists: dict[str, set[Literal]] = {}
    for part in parts:
        for inner in part[1:] if part[0] == word else (part,):
            match inner:
                case ("in", str(column), bool(negated), tuple(values)) if negated is (word == "all"):
                    lists.setdefault(column, set()).update(values)
                case tuple():
                    flat.append(inner)
    flat += [("in", column, word == "all", tuple(sorted(values))) for column, values in lists.items()]
    once = sorted(set(flat), key=repr)
    return once[0] if len(once) == 1 else (word, *once)


def _value(value: Value) -> Literal:
    """A literal as its kind and its text: 5 and 5.0 are one number, a date is not its text."""
    if isinstance(value, dt.date):
        return ("date", value.isoformat())
    return ("text", value) if isinstance(value, str) else ("number", str(Fraction(value)))


def asked(output: Output) -> str:
    """What a column of the table is, whatever it is called: ``AVG(stays.minutes)``, ``COUNT(*)``, ``homes.tenure``."""
    if isinstance(output.what, ColumnRef):
        return str(output.what)
    name, arguments = output.what.statistic.value.upper(), ", ".join(map(str, _arguments(output.what)))
    match output.what.statistic:
        case Statistic.COUNT_ROWS:
            return "COUNT(*)"
        case Statistic.COUNT_VALUES:
            return f"COUNT({arguments})"
        case Statistic.COUNT_PEOPLE:
            return f"COUNT(DISTINCT {arguments})"
    return f"{name}({arguments})"


def _arguments(what: Aggregate) -> tuple[ColumnRef, ...]:
    """The columns of an aggregate. Those of a statistic that is the same either way are sorted."""
    either_way = what.statistic.value.startswith(("corr", "covar"))
    return tuple(sorted(what.columns)) if either_way else what.columns
