"""Conditions: from nodes of the tree to predicates that each use one table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from sqlglot import exp

from pets.spec.model import Column
from pets.spec.predicate import ORDERED, Misfit, Written, typed
from pets.spec.query import All, AnyOf, ColumnRef, Compare, In, IsNull, Not, Predicate, Value
from pets.spec.sql.names import Names, columns_in
from pets.spec.sql.tree import Tree, bare

Op = Literal["=", "<>", "<", "<=", ">", ">="]

_OPS: Final[Mapping[type, tuple[Op, Op]]] = {
    exp.EQ: ("=", "="),
    exp.NEQ: ("<>", "<>"),
    exp.LT: ("<", ">"),
    exp.LTE: ("<=", ">="),
    exp.GT: (">", "<"),
    exp.GTE: (">=", "<="),
}
"""Comparison, and the same with its sides exchanged."""

_TWO_COLUMNS: Final = "compare a column with a value; text stands in single quotes"

Part = tuple[exp.Expression, Predicate]
"""A condition and where it stands."""


class Conditions:
    """The conditions of ON and WHERE, typed by the columns they compare."""

    def __init__(self, names: Names) -> None:
        self.names: Final = names
        self.tree: Final[Tree] = names.tree

    def split(self, conditions: Sequence[exp.Expression], place: str) -> tuple[list[Part], list[Part]]:
        """Conditions by table. One that touches both is refused. ``place``: WHERE or ON, for the way in a refusal."""
        parts: tuple[list[Part], list[Part]] = ([], [])
        for node in conditions:
            with self.names.way(node, place):
                refs = [self.names.resolve(column) for column in columns_in(node)]
                other = next((ref for ref in refs if ref.dataset != refs[0].dataset), None)
                if other is not None:
                    raise self.tree.refuse("sql.cross-table", node, str(refs[0]), other=str(other))
                predicate = self.predicate(node)  # refuses a condition without a column
            parts[refs[0].dataset != self.names.sides[0].dataset.name].append((node, predicate))
        return parts

    def predicate(self, node: exp.Expression) -> Predicate:
        kind = type(node)
        if kind is exp.Paren:
            return self.predicate(node.this)
        if kind in (exp.And, exp.Or):
            parts = tuple(self.predicate(part) for part in _chain(node))
            return All(parts) if kind is exp.And else AnyOf(parts)
        if kind is exp.Not:
            return _negated(self.predicate(node.this))
        if kind in _OPS:
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
        op, flipped = _OPS[type(node)]
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


def _chain(node: exp.Expression) -> list[exp.Expression]:
    """The parts of ``p AND q AND r`` (or OR), in order, without recursion."""
    kind, parts = type(node), []
    while type(node) is kind:
        parts.append(node.expression)
        node = node.this
    return [node, *reversed(parts)]
