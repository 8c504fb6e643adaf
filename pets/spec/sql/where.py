"""Conditions: from nodes of the tree to predicates that each use one table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from sqlglot import exp

from pets.spec.crossing import opposite, without_not
from pets.spec.model import Column
from pets.spec.predicate import ORDERED, Misfit, Written, typed
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
    Value,
)
from pets.spec.sql.names import Names, columns_in
from pets.spec.sql.tree import Tree, bare

Op = Literal["=", "<>", "<", "<=", ">", ">="]

OPS: Final[Mapping[type, tuple[Op, Op]]] = {
    exp.EQ: ("=", "="),
    exp.NEQ: ("<>", "<>"),
    exp.LT: ("<", ">"),
    exp.LTE: ("<=", ">="),
    exp.GT: (">", "<"),
    exp.GTE: (">=", "<="),
}
"""Comparison, and the same with its sides exchanged."""

_COMPARISONS: Final[Mapping[Op, type[exp.Binary]]] = {op: kind for kind, (op, _) in OPS.items()}

_TWO_COLUMNS: Final = "compare a column with a value; text stands in single quotes"

Part = tuple[exp.Expression, Predicate]
"""A condition and where it stands."""


class Conditions:
    """The conditions of ON and WHERE, typed by the columns they compare."""

    def __init__(self, names: Names) -> None:
        self.names: Final = names
        self.tree: Final[Tree] = names.tree

    def split(
        self, conditions: Sequence[exp.Expression], place: str
    ) -> tuple[tuple[list[Part], ...], list[tuple[exp.Expression, Crossing]]]:
        """Conditions by table, and those that touch several. ``place``: WHERE or ON, for the way in a refusal."""
        parts: dict[str, list[Part]] = {side.dataset.name: [] for side in self.names.sides}
        crossing: list[tuple[exp.Expression, Crossing]] = []
        for node in conditions:
            with self.names.way(node, place):
                refs = [self.names.resolve(column) for column in columns_in(node)]
                if any(ref.dataset != refs[0].dataset for ref in refs):
                    crossing.append((node, self.across(node)))
                    continue
                predicate = self.predicate(node)  # refuses a condition without a column
            parts[refs[0].dataset].append((node, predicate))
        return tuple(parts.values()), crossing

    def across(self, node: exp.Expression) -> Crossing:
        """A condition on both tables: comparisons of their columns, and conditions on one of them, in any order."""
        kind = type(node)
        if kind is exp.Paren:
            return self.across(node.this)
        tables = {self.names.resolve(column).dataset for column in columns_in(node)}
        if len(tables) < 2:
            predicate = without_not(self.predicate(node))  # refuses a condition without a column
            return Own(next(iter(tables)), predicate)
        if kind in (exp.And, exp.Or):
            parts = tuple(self.across(part) for part in chain(node))
            return Every(parts) if kind is exp.And else Some(parts)
        if kind is exp.Not:
            return opposite(self.across(node.this))
        if kind is exp.Between:
            low, high = node.args["low"], node.args["high"]
            return Every((self.pair(node, node.this, ">=", low), self.pair(node, node.this, "<=", high)))
        if kind in OPS:
            return self.pair(node, node.this, OPS[kind][0], node.expression)
        first, other = (str(self.names.resolve(column)) for column in list(columns_in(node))[:2])
        raise self.tree.refuse("sql.cross-table", node, first, other=other)

    def pair(self, whole: exp.Expression, left: exp.Expression, op: Op, right: exp.Expression) -> Crossing:
        """``left op right``, of which one may be a value: then it is a condition on one table."""
        sides = (bare(left), bare(right))
        if not all(type(side) is exp.Column for side in sides):
            compared = _COMPARISONS[op](this=left.copy(), expression=right.copy())
            refs = [self.names.resolve(side) for side in sides if type(side) is exp.Column]
            if len(refs) != 1:
                raise self.tree.outside(whole, condition=True)
            ref, column = self.compared(next(side for side in sides if type(side) is exp.Column))
            literal, sign = (sides[1], op) if type(sides[0]) is exp.Column else (sides[0], OPS[type(compared)][1])
            self.ordered(whole, column, ref, op)
            return Own(ref.dataset, Compare(ref.column, sign, self.value(ref, column, literal)))
        (one, of_one), (two, of_two) = (self.compared(side) for side in sides)
        if one.dataset == two.dataset:
            raise self.tree.refuse("sql.unsupported", whole, "a comparison of two columns", advice=_TWO_COLUMNS)
        for ref, column in ((one, of_one), (two, of_two)):
            if not (column.type == "date" or (column.role == "measure" and column.type in ("integer", "decimal"))):
                raise self.tree.refuse("sql.cross-type", whole, str(ref), type=f"{column.role} {column.type}")
        if (of_one.type == "date") != (of_two.type == "date"):
            raise self.tree.refuse("sql.cross-type", whole, str(one), type=f"{of_one.type} beside a {of_two.type}")
        return Across(one, op, two)

    def predicate(self, node: exp.Expression) -> Predicate:
        kind = type(node)
        if kind is exp.Paren:
            return self.predicate(node.this)
        if kind in (exp.And, exp.Or):
            parts = tuple(self.predicate(part) for part in chain(node))
            return All(parts) if kind is exp.And else AnyOf(parts)
        if kind is exp.Not:
            return _negated(self.predicate(node.this))
        if kind in OPS:
            return self.compare(node)
        if kind is exp.Between:
            self.tree.only(node, "this", "low", "high")
            ref, column = self.compared(node.this)
            self.ordered(node, column, ref, "BETWEEN")
            low, high = (self.value(ref, column, node.args[bound]) for bound in ("low", "high"))
            return All((Compare(ref.column, ">=", low), Compare(ref.column, "<=", high)))
        if kind is exp.In:
            self.tree.only(node, "this", "expressions")
            ref, column = self.compared(node.this)
            if not node.expressions:
                raise self.tree.refuse(
                    "sql.literal", node, "IN ()", problem="has no values", advice="list at least one value"
                )
            return In(ref.column, tuple(self.value(ref, column, item) for item in node.expressions))
        if kind is exp.Is and type(node.expression) is exp.Null:
            ref, _ = self.compared(node.this)
            return IsNull(ref.column)
        if kind is exp.Is:
            raise self.tree.refuse("sql.unsupported", node, "IS", advice="write IS NULL or IS NOT NULL")
        if isinstance(node, exp.Column):
            problem, advice = "is a column, not a condition", "compare it with a value"
            raise self.tree.refuse("sql.type", node, str(self.names.resolve(node)), problem=problem, advice=advice)
        raise self.tree.outside(node, condition=True)

    def compare(self, node: exp.Expression) -> Compare:
        op, flipped = OPS[type(node)]
        sides = (bare(node.this), bare(node.expression))
        columns = [side for side in sides if type(side) is exp.Column]
        if not columns:  # name the more complicated side: an author who writes x + 1 > 2 means that one
            raise self.tree.outside(max(sides, key=lambda side: type(side) is not exp.Literal), condition=True)
        if len(columns) == 2:
            raise self.tree.refuse("sql.unsupported", node, "a comparison of two columns", advice=_TWO_COLUMNS)
        literal = sides[1]
        if type(sides[0]) is not exp.Column:
            literal, op = sides[0], flipped
        ref, column = self.compared(columns[0])
        if op not in ("=", "<>"):
            self.ordered(node, column, ref, op)
        return Compare(ref.column, op, self.value(ref, column, literal))

    def compared(self, node: exp.Expression) -> tuple[ColumnRef, Column]:
        """The column of a condition, which must stand there alone and not be a person id."""
        inner = bare(node)
        if not isinstance(inner, exp.Column):
            raise self.tree.outside(inner, condition=True)
        ref = self.names.resolve(inner)
        column = self.names.column(ref)
        if column.role == "person id":
            raise self.tree.refuse("sql.person-id", inner, str(ref))
        return ref, column

    def ordered(self, node: exp.Expression, column: Column, ref: ColumnRef, op: str) -> None:
        if column.type not in ORDERED:
            advice = "list the values: column IN ('a', 'b')"
            raise self.tree.refuse("sql.type", node, f"{op} on {ref}", problem=f"orders a {column.type}", advice=advice)

    def value(self, ref: ColumnRef, column: Column, node: exp.Expression) -> Value:
        if type(bare(node)) is exp.Column:
            raise self.tree.refuse("sql.unsupported", node, "a comparison of two columns", advice=_TWO_COLUMNS)
        written = self.literal(bare(node))
        try:
            return typed(column, written)
        except Misfit as misfit:
            code = "sql.level" if misfit.level else "sql.literal"
            fields = {"of": ref, "problem": str(misfit), "advice": misfit.advice}
            raise self.tree.refuse(code, node, str(written), **fields) from misfit

    def literal(self, node: exp.Expression) -> Written:
        if type(node) is exp.Literal:
            return Written("string" if node.is_string else "number", node.this)
        if type(node) is exp.Neg and type(node.this) is exp.Literal and not node.this.is_string:
            return Written("number", "-" + node.this.this)
        if type(node) is exp.Cast and type(node.this) is exp.Literal and node.this.is_string:
            self.tree.only(node, "this", "to")
            if type(node.to) is exp.DataType and node.to.this is exp.DType.DATE:
                return Written("date", node.this.this)
        raise self.tree.outside(node, condition=True)


def conjuncts(node: exp.Expression | None) -> Iterator[exp.Expression]:
    """The parts of a conjunction, in order, through parentheses; a long chain is deep on its left."""
    waiting = [] if node is None else [node]
    while waiting:
        part = waiting.pop()
        if type(part) is exp.And:
            waiting += [part.expression, part.this]
        elif type(part) is exp.Paren:
            waiting.append(part.this)
        else:
            yield part


def _negated(predicate: Predicate) -> Predicate:
    if isinstance(predicate, In):
        return In(predicate.column, predicate.values, not predicate.negated)
    if isinstance(predicate, IsNull):
        return IsNull(predicate.column, not predicate.negated)
    return Not(predicate)


def chain(node: exp.Expression) -> list[exp.Expression]:
    """The parts of ``p AND q AND r`` (or OR), in order, without recursion."""
    kind, parts = type(node), []
    while type(node) is kind:
        parts.append(node.expression)
        node = node.this
    return [node, *reversed(parts)]
