"""Conditions across tables: their leaves, what a table's holder evaluates by itself, and what is compared under shares.

Source:  three-valued logic as in SQL (ISO/IEC 9075-2, 6.39): of NOT (p AND q) the rows of which it is true are those of
         (NOT p) OR (NOT q), and a comparison is true only where neither side is NULL.
"""

from collections.abc import Iterator

from pets.spec.predicate import columns_of, renamed, worded
from pets.spec.query import (
    Across,
    All,
    AnyOf,
    ColumnRef,
    Compare,
    Crossing,
    Every,
    In,
    IsNull,
    Not,
    Own,
    Predicate,
    Some,
)

_NOT = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def leaves(condition: Crossing) -> Iterator[Across | Own]:
    """Every leaf, in order, with repetitions."""
    match condition:
        case Every(parts) | Some(parts):
            for part in parts:
                yield from leaves(part)
        case _:
            yield condition


def columns(condition: Crossing | None) -> Iterator[ColumnRef]:
    """Every column that a condition reads, in order, with repetitions."""
    for leaf in leaves(condition) if condition is not None else ():
        match leaf:
            case Across(left, _, right):
                yield from (left, right)
            case Own(dataset, predicate):
                yield from (ColumnRef(dataset, name) for name in columns_of(predicate))


def opposite(condition: Crossing) -> Crossing:
    """What is true exactly where a condition is false: not where it is unknown."""
    match condition:
        case Across(left, op, right):
            return Across(left, _NOT[op], right)  # type: ignore[arg-type]
        case Own(dataset, predicate):
            return Own(dataset, without_not(Not(predicate)))
        case Every(parts):
            return Some(tuple(opposite(part) for part in parts))
        case Some(parts):
            return Every(tuple(opposite(part) for part in parts))


def without_not(predicate: Predicate) -> Predicate:
    """A condition on one table that is true on the same rows, with negation at the leaves alone."""
    match predicate:
        case Not(Not(part)):
            return without_not(part)
        case Not(All(parts)):
            return AnyOf(tuple(without_not(Not(part)) for part in parts))
        case Not(AnyOf(parts)):
            return All(tuple(without_not(Not(part)) for part in parts))
        case Not(Compare(column, op, value)):
            return Compare(column, _NOT[op], value)  # type: ignore[arg-type]
        case Not(In(column, values, negated)):
            return In(column, values, not negated)
        case Not(IsNull(column, negated)):
            return IsNull(column, not negated)
        case All(parts):
            return All(tuple(without_not(part) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(without_not(part) for part in parts))
        case _:
            return predicate


def said(condition: Crossing) -> str:
    """A condition in the words of the language, every column with its dataset."""
    match condition:
        case Across(left, op, right):
            return f"{left} {op} {right}"
        case Own(dataset, predicate):
            return worded(renamed(predicate, {name: f"{dataset}.{name}" for name in columns_of(predicate)}))
        case Every(parts):
            return " AND ".join(f"({said(part)})" if _loose(part, Some) else said(part) for part in parts)
        case Some(parts):
            return " OR ".join(f"({said(part)})" if _loose(part, Every) else said(part) for part in parts)


def _loose(part: Crossing, kind: type[Every] | type[Some]) -> bool:
    """True if a part may hold an AND or OR that others do not bind to."""
    return isinstance(part, kind) or (isinstance(part, Own) and isinstance(part.predicate, All | AnyOf))


def all_of(parts: list[Crossing]) -> Crossing | None:
    """The conjunction of any number of conditions, flat."""
    flat = [part for whole in parts for part in (whole.parts if isinstance(whole, Every) else (whole,))]
    return None if not flat else flat[0] if len(flat) == 1 else Every(tuple(flat))
