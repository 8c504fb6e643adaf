"""Lower a condition across tables: what each side reads for it, which pairs are compared, and what the bits come to."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pets.ids import MISSING
from pets.spec.banded import BandedAcross, across
from pets.spec.cards import load_cards
from pets.spec.crossing import leaves
from pets.spec.ir import AllLeaves, AnyLeaves, Cased, Compared, Condition, Leaf, Pair, Read, RowFilter
from pets.spec.model import Spec
from pets.spec.query import Across, ColumnRef, Crossing, Every, IsNull, Own, Predicate, Query, Some
from pets.spec.repeated import holding

ROWS_CARD = "rep3"

_MIRRORED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def filtered(
    spec: Spec, condition: Crossing | None, case: BandedAcross | None, reads: Sequence[Read]
) -> tuple[tuple[Read, ...], RowFilter]:
    """The reads with what the condition, and a CASE over several, need of them, and both over numbers.

    A comparison is true only where neither side is NULL, so it comes with a test of each column that may be.
    """
    made = _Made(spec, reads)
    tree = None if condition is None else made.of(condition)
    cased = None
    if case is not None:
        branches = tuple((made.of(when), case.levels.index(level)) for when, level in case.branches)
        cased = Cased(branches, _otherwise(case), len(case.levels) + 1)
    filter_ = RowFilter(ROWS_CARD, load_cards()[ROWS_CARD].version, tuple(made.pairs), tree, cased=cased)
    return tuple(made.reads(read, table) for table, read in enumerate(reads)), filter_


def _otherwise(case: BandedAcross) -> int:
    """The level of rows on which no branch is true: the last is ``(missing)``."""
    return len(case.levels) if case.otherwise is None else case.levels.index(case.otherwise)


class _Made:
    """Compared columns and tests of each table, each once, in the order in which the condition names them."""

    def __init__(self, spec: Spec, reads: Sequence[Read]) -> None:
        self._spec = spec
        self._tables = [read.dataset for read in reads]
        self._compared: list[list[Compared]] = [[] for _ in reads]
        self._tests: list[list[Predicate]] = [[] for _ in reads]
        self.pairs: list[Pair] = []

    def of(self, condition: Crossing) -> Condition:
        match condition:
            case Own(dataset, predicate):
                return self._test(self._tables.index(dataset), predicate)
            case Across(left, op, right):
                if self._tables.index(left.dataset) > self._tables.index(right.dataset):
                    left, right, op = right, left, _MIRRORED[op]  # type: ignore[assignment]
                return self._pair(left, op, right)
            case Every(parts):
                return AllLeaves(_flat(AllLeaves, tuple(self.of(part) for part in parts)))
            case Some(parts):
                return AnyLeaves(_flat(AnyLeaves, tuple(self.of(part) for part in parts)))

    def reads(self, read: Read, table: int) -> Read:
        used = [c.column for c in self._compared[table]]
        columns = tuple(dict.fromkeys((*read.columns, *used)))
        return replace(read, columns=columns, compared=tuple(self._compared[table]), tests=tuple(self._tests[table]))

    def _test(self, table: int, predicate: Predicate) -> Leaf:
        return Leaf(holding(table), _place(self._tests[table], predicate))

    def _pair(self, a: ColumnRef, op: str, b: ColumnRef) -> Condition:
        places = [self._spec.dataset(ref.dataset).columns[ref.column].places for ref in (a, b)]
        most = max(places)
        tables = [self._tables.index(ref.dataset) for ref in (a, b)]
        numbers = [
            _place(self._compared[table], Compared(ref.column, 10 ** (most - own)))
            for table, ref, own in zip(tables, (a, b), places, strict=True)
        ]
        compared = Pair(numbers[0], op, numbers[1], (tables[0], tables[1]))  # type: ignore[arg-type]
        pair = Leaf("pair", _place(self.pairs, compared))
        there = [
            self._test(table, IsNull(ref.column, negated=True))
            for table, ref in zip(tables, (a, b), strict=True)
            if not self._spec.dataset(ref.dataset).columns[ref.column].required
        ]
        return AllLeaves((pair, *there)) if there else pair


def _place(found: list[Any], one: Any) -> int:
    if one not in found:
        found.append(one)
    return found.index(one)


def _flat(kind: type[AllLeaves] | type[AnyLeaves], parts: tuple[Condition, ...]) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for part in parts:
        found += part.parts if isinstance(part, kind) else [part]
    return tuple(found)


def greatest(spec: Spec, conditions: Iterable[Crossing]) -> int:
    """The greatest absolute value that is compared: days of dates stay below 2^32."""
    most = 2**32
    for leaf in (leaf for condition in conditions for leaf in leaves(condition)):
        if isinstance(leaf, Across):
            columns = [spec.dataset(ref.dataset).columns[ref.column] for ref in (leaf.left, leaf.right)]
            places = max(column.places for column in columns)
            for column in columns:
                if column.role == "measure":
                    scaled = max(abs(end) for end in column.scaled_range) * 10 ** (places - column.places)
                    most = max(most, scaled)
    return most


# -- the way back: what a plan's condition says, and what the query means ---------------------------------------------

Said = tuple[object, ...]
"""A condition in one form: all or any of parts, a test of a dataset, a pair of columns with their scales."""


def said(rows: RowFilter, reads: Sequence[Read]) -> Said:
    """What the numbers of a plan's condition and CASE stand for. Raises: IndexError, KeyError where they stand for
    nothing.
    """

    def of(condition: Condition) -> Said:
        match condition:
            case Leaf("pair", number):
                pair = rows.pairs[number]
                a, b = (reads[table] for table in pair.tables)
                left, right = a.compared[pair.a], b.compared[pair.b]
                return ("pair", a.dataset, left.column, left.factor, pair.op, b.dataset, right.column, right.factor)
            case Leaf(kind, number):
                read = {holding(table): each for table, each in enumerate(reads)}[kind]
                return ("test", read.dataset, read.tests[number])
            case AllLeaves(parts):
                return ("all", *map(of, parts))
            case AnyLeaves(parts):
                return ("any", *map(of, parts))

    condition = None if rows.condition is None else of(rows.condition)
    if rows.cased is None:
        return condition, None
    branches = tuple((of(when), level) for when, level in rows.cased.branches)
    return condition, (branches, rows.cased.otherwise, rows.cased.levels)


def meant_of(query: Query, spec: Spec, reads: Sequence[Read]) -> Said:
    """The same of a query: its condition across tables and its CASE over several; reads in the order of roles."""
    tables = [read.dataset for read in reads]
    condition = None if query.rows is None else meant(query.rows, spec, tables)
    case = across(query.group_by)
    if case is None:
        return condition, None
    levels = (*case.levels, MISSING)
    branches = tuple((meant(when, spec, tables), levels.index(level)) for when, level in case.branches)
    return condition, (branches, levels.index(MISSING if case.otherwise is None else case.otherwise), len(levels))


def meant(condition: Crossing, spec: Spec, tables: Sequence[str]) -> Said:
    """The same of one condition: both columns of a comparison in one unit, and not NULL."""
    match condition:
        case Own(dataset, predicate):
            return ("test", dataset, predicate)
        case Across(left, op, right):
            in_order = tables.index(left.dataset) < tables.index(right.dataset)
            first, second, sign = (left, right, op) if in_order else (right, left, _MIRRORED[op])
            columns = [spec.dataset(ref.dataset).columns[ref.column] for ref in (first, second)]
            units = [10 ** max(0, columns[1 - side].places - columns[side].places) for side in (0, 1)]
            pair = ("pair", first.dataset, first.column, units[0], sign, second.dataset, second.column, units[1])
            gaps = [
                ("test", ref.dataset, IsNull(ref.column, negated=True))
                for ref, column in zip((first, second), columns, strict=True)
                if not column.required
            ]
            return ("all", pair, *gaps) if gaps else pair
        case Every(parts):
            return ("all", *_spread("all", parts, spec, tables))
        case Some(parts):
            return ("any", *_spread("any", parts, spec, tables))


def _spread(kind: str, parts: tuple[Crossing, ...], spec: Spec, tables: Sequence[str]) -> list[Said]:
    """Parts of one kind inside another of it, side by side."""
    found: list[Said] = []
    for part in parts:
        one = meant(part, spec, tables)
        found += one[1:] if one[0] == kind else [one]  # type: ignore[arg-type]
    return found
