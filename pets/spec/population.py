"""Which rows a query's statistics are about, in a normal form that two texts of one meaning share.

A population is a set of rows, written as a decision diagram: one column after the other in the order of their names, at
each column the values that lead on. Columns with declared levels and free text branch on single values, ordered columns
on the points where the answer changes; NULL has a branch of its own, and WHERE keeps a row only where SQL's
three-valued logic says true. Diagrams are reduced and shared, so equal sets of rows have one form
(Bryant, "Graph-Based Algorithms for Boolean Function Manipulation", IEEE Trans. Computers C-35(8), 1986; branches on
intervals as in Strehl and Thiele's interval decision diagrams, 1998). No record is looked at.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Final, Literal, assert_never

from pets.spec.model import Column, Dataset
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Value

NONE: Final = 0
"""The population without rows."""
EVERY: Final = 1
"""All rows."""

MAX_NODES: Final = 20_000
"""A question that takes more is given to a person."""

Kind = Literal["set", "line"]
Point = str | Fraction

Written = list[list[Any]]
"""A population as JSON: its nodes, each after those that it leads to, the root last. [] is none, [[]] every row."""


class Undecided(Exception):
    """The conditions are too many to be compared."""


@dataclass(frozen=True, slots=True)
class _Node:
    """``null``: where NULL leads; ``rest``: where a value leads that is before or not among ``steps``."""

    column: str
    kind: Kind
    null: int
    rest: int
    steps: tuple[tuple[Point, int], ...]


class Space:
    """Populations that are compared with each other: numbers of shared nodes. Equal numbers are equal sets."""

    def __init__(self) -> None:
        self._nodes: list[_Node] = []
        self._known: dict[_Node, int] = {}
        self._done: dict[tuple[str, int, int], int] = {}

    # -- set operations -----------------------------------------------------------------------------------------------

    def both(self, one: int, two: int) -> int:
        """The rows that are in both."""
        if one == two or two == EVERY:
            return one
        if one == EVERY:
            return two
        if NONE in (one, two):
            return NONE
        return self._pairwise("both", min(one, two), max(one, two), self.both)

    def either(self, one: int, two: int) -> int:
        """The rows that are in at least one."""
        if one == two or two == NONE:
            return one
        if one == NONE:
            return two
        if EVERY in (one, two):
            return EVERY
        return self._pairwise("either", min(one, two), max(one, two), self.either)

    def without(self, one: int, two: int) -> int:
        """The rows of the first that are not in the second."""
        if one in (two, NONE) or two == EVERY:
            return NONE
        if two == NONE:
            return one
        return self._pairwise("without", one, two, self.without)

    def differ(self, one: int, two: int) -> int:
        """The rows that are in exactly one."""
        return self.either(self.without(one, two), self.without(two, one))

    def onto(self, one: int, columns: frozenset[str]) -> int:
        """The values of ``columns`` that some row has, whatever is in its other columns."""
        memo: dict[int, int] = {NONE: NONE, EVERY: EVERY}

        def shadow(number: int) -> int:
            if number not in memo:
                node = self._node(number)
                if node.column in columns:
                    steps = [(point, shadow(child)) for point, child in node.steps]
                    memo[number] = self._make(node.column, node.kind, shadow(node.null), shadow(node.rest), steps)
                else:
                    whole = NONE
                    for child in (node.null, node.rest, *(child for _, child in node.steps)):
                        whole = self.either(whole, shadow(child))
                    memo[number] = whole
            return memo[number]

        return shadow(one)

    def columns(self, one: int) -> frozenset[str]:
        """The columns on which it depends whether a row is in the population."""
        return frozenset(self._node(number).column for number in self._below(one))

    def hull(self, one: int, column: str) -> "tuple[Fraction | None, Fraction | None] | None":
        """From where to where an ordered column's values lie, the end not included; None where nothing bounds them.

        None for both if no row has a value.
        """
        shadow = self.onto(one, frozenset({column}))
        if shadow in (NONE, EVERY):
            return None if shadow == NONE else (None, None)
        node = self._node(shadow)
        parts: list[tuple[Fraction | None, int]] = [(None, node.rest)]
        parts += [(Fraction(point), child) for point, child in node.steps]
        there = [at for at, (_, child) in enumerate(parts) if child != NONE]
        if not there:
            return None
        return parts[there[0]][0], (parts[there[-1] + 1][0] if there[-1] + 1 < len(parts) else None)

    # -- making them --------------------------------------------------------------------------------------------------

    def of(self, predicate: Predicate | None, dataset: Dataset) -> int:
        """The rows of a dataset for which WHERE says true."""
        return EVERY if predicate is None else self._truth(predicate, dataset)[0]

    def present(self, dataset: Dataset, column: str) -> int:
        """The rows in which a column is not NULL: all, if the specification says that it never is."""
        return EVERY if dataset.columns[column].required else self._truth(IsNull(column, negated=True), dataset)[0]

    def named(self, column: str, value: str) -> int:
        """The rows that have one value in a column of free text."""
        return self._make(column, "set", NONE, NONE, [(value, EVERY)])

    def _truth(self, predicate: Predicate, dataset: Dataset) -> tuple[int, int]:
        """Where a predicate is true and where it is false; elsewhere SQL does not know."""
        match predicate:
            case Compare(column=name, op="=" | "<>" as op, value=value):
                yes, no = self._among(dataset, name, (value,))
                return (yes, no) if op == "=" else (no, yes)
            case Compare(column=name, op=op, value=value):
                return self._above_or_below(dataset, name, op, value)
            case In(column=name, values=values, negated=negated):
                yes, no = self._among(dataset, name, values)
                return (no, yes) if negated else (yes, no)
            case IsNull(column=name, negated=negated):
                null, known = self._null(dataset, name)
                return (known, null) if negated else (null, known)
            case Not(part=part):
                yes, no = self._truth(part, dataset)
                return no, yes
            case All(parts=parts):
                yes, no = EVERY, NONE
                for here, there in (self._truth(part, dataset) for part in parts):
                    yes, no = self.both(yes, here), self.either(no, there)
                return yes, no
            case AnyOf(parts=parts):
                yes, no = NONE, EVERY
                for here, there in (self._truth(part, dataset) for part in parts):
                    yes, no = self.either(yes, here), self.both(no, there)
                return yes, no
            case _:
                assert_never(predicate)

    def _null(self, dataset: Dataset, name: str) -> tuple[int, int]:
        column, full = dataset.columns[name], f"{dataset.name}.{name}"
        if column.required:
            return NONE, EVERY
        if column.levels:
            return (
                self._make(full, "set", EVERY, EVERY, [(level, NONE) for level in column.levels]),
                self._make(full, "set", NONE, NONE, [(level, EVERY) for level in column.levels]),
            )
        kind: Kind = "set" if column.type in ("category", "text") else "line"
        return self._make(full, kind, EVERY, NONE, []), self._make(full, kind, NONE, EVERY, [])

    def _among(self, dataset: Dataset, name: str, values: tuple[Value, ...]) -> tuple[int, int]:
        """Where a column has one of some values, and where it has another one."""
        column, full = dataset.columns[name], f"{dataset.name}.{name}"
        if column.levels:  # a value that is no level does not occur: it goes with NULL
            levels = [(level, level in values) for level in column.levels]
            return (
                self._make(full, "set", NONE, NONE, [(level, int(found)) for level, found in levels]),
                self._make(full, "set", NONE, NONE, [(level, int(not found)) for level, found in levels]),
            )
        if column.type in ("category", "text"):
            return (
                self._make(full, "set", NONE, NONE, [(str(value), EVERY) for value in values]),
                self._make(full, "set", NONE, EVERY, [(str(value), NONE) for value in values]),
            )
        step = Fraction(1, 10**column.places)
        found = {_number(value) for value in values}
        ends = {value + step for value in found} - found
        return self._line(full, column, False, dict.fromkeys(found, True) | dict.fromkeys(ends, False))

    def _above_or_below(self, dataset: Dataset, name: str, op: str, value: Value) -> tuple[int, int]:
        column, full = dataset.columns[name], f"{dataset.name}.{name}"
        end = _number(value) + (Fraction(1, 10**column.places) if op in ("<=", ">") else 0)
        below = op in ("<", "<=")
        return self._line(full, column, below, {end: not below})

    def _line(self, full: str, column: Column, first: bool, points: Mapping[Fraction, bool]) -> tuple[int, int]:
        """Where a condition on an ordered column is true and where false, within the range that its values have.

        ``first``: what it says below the first of ``points``, each of which says from where on it says what.
        """
        low = high = None
        if column.min is not None and column.max is not None and not column.clamp:  # else WHERE sees what is outside
            low, high = Fraction(column.min), Fraction(column.max)
        steps: list[tuple[Fraction, bool]] = []
        for point, says in sorted(points.items()):
            if low is not None and point <= low:
                first = says
            elif high is None or point <= high:
                steps.append((point, says))

        def where(is_true: bool) -> int:
            here = int(first == is_true)
            null = here if column.required else NONE  # there is none: it goes with the lowest values
            return self._make(full, "line", null, here, [(point, int(says == is_true)) for point, says in steps])

        return where(True), where(False)

    # -- to and from JSON ---------------------------------------------------------------------------------------------

    def write(self, one: int) -> Written:
        """A population as JSON: one set of rows has one text, in every process."""
        if one in (NONE, EVERY):
            return [[]] * one
        order = {number: place for place, number in enumerate(self._below(one), 2)} | {NONE: NONE, EVERY: EVERY}
        return [
            [node.column, node.kind, order[node.null], order[node.rest], [[str(p), order[c]] for p, c in node.steps]]
            for node in (self._node(number) for number in self._below(one))
        ]

    def read(self, written: Written) -> int:
        """What ``write`` wrote. Raises: ValueError if it is not that."""
        if written in ([], [[]]):
            return len(written)
        known = [NONE, EVERY]
        try:
            for column, kind, null, rest, steps in written:
                if not isinstance(column, str) or kind not in ("set", "line") or not isinstance(steps, list):
                    raise ValueError("not a population")
                read = Fraction if kind == "line" else str
                ends = [(read(point), known[child]) for point, child in steps]
                known.append(self._make(column, kind, known[null], known[rest], ends))
        except (TypeError, IndexError) as error:
            raise ValueError("not a population") from error
        return known[-1]

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _node(self, number: int) -> _Node:
        return self._nodes[number - 2]

    def _make(self, column: str, kind: Kind, null: int, rest: int, steps: Iterable[tuple[Point, int]]) -> int:
        kept: list[tuple[Point, int]] = []
        for point, child in sorted(steps):
            if child != (kept[-1][1] if kept and kind == "line" else rest):
                kept.append((point, child))
        if null == rest and not kept:
            return rest
        node = _Node(column, kind, null, rest, tuple(kept))
        if node not in self._known:
            if len(self._nodes) >= MAX_NODES:
                raise Undecided
            self._nodes.append(node)
            self._known[node] = len(self._nodes) + 1
        return self._known[node]

    def _pairwise(self, name: str, one: int, two: int, operation: Callable[[int, int], int]) -> int:
        """Apply an operation branch by branch. Two nodes of one column are of one kind, or cannot be compared."""
        key = (name, one, two)
        if key in self._done:
            return self._done[key]
        first, second = (None if n in (NONE, EVERY) else self._node(n) for n in (one, two))
        column = min(node.column for node in (first, second) if node is not None)
        ours = first if first is not None and first.column == column else None
        theirs = second if second is not None and second.column == column else None
        kinds = {node.kind for node in (ours, theirs) if node is not None}
        if len(kinds) != 1:
            raise Undecided
        kind = kinds.pop()
        points = sorted({point for node in (ours, theirs) if node is not None for point, _ in node.steps})
        steps = [(point, operation(_at(ours, one, kind, point), _at(theirs, two, kind, point))) for point in points]
        null = operation(ours.null if ours else one, theirs.null if theirs else two)
        rest = operation(ours.rest if ours else one, theirs.rest if theirs else two)
        self._done[key] = self._make(column, kind, null, rest, steps)
        return self._done[key]

    def _below(self, one: int) -> list[int]:
        """The nodes of a population, children first, in the order of the diagram: the same in every process."""
        seen: dict[int, None] = {}

        def visit(number: int) -> None:
            if number in (NONE, EVERY) or number in seen:
                return
            node = self._node(number)
            for child in (node.null, node.rest, *(child for _, child in node.steps)):
                visit(child)
            seen[number] = None

        visit(one)
        return list(seen)


def _number(value: Value) -> Fraction:
    """A value of an ordered column as a point on its line; days are counted."""
    if isinstance(value, str):
        raise Undecided
    return Fraction(value.toordinal()) if isinstance(value, date) else Fraction(value)


def _at(node: _Node | None, itself: int, kind: Kind, point: Point) -> int:
    """Where a value leads: of an ordered column, the last step that is not above it."""
    if node is None:
        return itself
    found = node.rest
    for step, child in node.steps:
        if step == point:
            return child
        if kind == "line" and step < point:  # type: ignore[operator]
            found = child
    return found
