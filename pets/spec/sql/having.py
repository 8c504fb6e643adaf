"""HAVING: which groups of the released table are kept, by what is released of them.

It is applied to the table by the result party, after noise or disclosure control. So a condition names statistics that
SELECT names too: nothing else is there to be looked at, and nothing is computed for HAVING alone.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from sqlglot import exp

from pets.spec.predicate import Misfit, number_of
from pets.spec.query import Aggregate, All, AnyOf, Compare, In, Not, Output, Predicate
from pets.spec.sql.names import Names, near
from pets.spec.sql.select import is_regression
from pets.spec.sql.tree import Tree, bare
from pets.spec.sql.where import OPS, Conditions, chain

_ADVICE: Final = "write HAVING COUNT(*) >= 10, with a statistic that is in SELECT too"


class Having:
    """The condition on groups, with the columns of the table in the place of columns of records."""

    def __init__(
        self, names: Names, outputs: Sequence[Output], aggregate: Callable[[exp.Expression], Aggregate]
    ) -> None:
        self.names: Final = names
        self.tree: Final[Tree] = names.tree
        self.outputs: Final = outputs
        self.aggregate: Final = aggregate
        self.conditions: Final = Conditions(names)

    def condition(self, having: exp.Expression | None) -> Predicate | None:
        """The condition, over names of columns of the table; None if there is none."""
        if having is None:
            return None
        self.tree.only(having, "this")
        with self.names.way(having.this, "HAVING"):
            return self.predicate(having.this)

    def predicate(self, node: exp.Expression) -> Predicate:
        kind = type(node)
        if kind is exp.Paren:
            return self.predicate(node.this)
        if kind in (exp.And, exp.Or):
            parts = tuple(self.predicate(part) for part in chain(node))
            return All(parts) if kind is exp.And else AnyOf(parts)
        if kind is exp.Not:
            return Not(self.predicate(node.this))
        if kind in OPS:
            return self.compare(node)
        if kind is exp.Between:
            self.tree.only(node, "this", "low", "high")
            name = self.statistic(node.this)
            low, high = (self.number(node.args[bound]) for bound in ("low", "high"))
            return All((Compare(name, ">=", low), Compare(name, "<=", high)))
        if kind is exp.In and node.expressions:
            self.tree.only(node, "this", "expressions")
            return In(self.statistic(node.this), tuple(self.number(item) for item in node.expressions))
        if kind is exp.Is:
            problem = "asks whether a number is shown; what is withheld satisfies no condition"
            raise self.tree.refuse("sql.group", node, "IS NULL", problem=problem, advice="compare with a number")
        problem = "is no condition on a group"
        raise self.tree.refuse("sql.group", node, "HAVING", problem=problem, advice=_ADVICE)

    def compare(self, node: exp.Expression) -> Compare:
        op, flipped = OPS[type(node)]
        left, right = bare(node.this), bare(node.expression)
        if _is_number(left):
            return Compare(self.statistic(right), flipped, self.number(left))
        return Compare(self.statistic(left), op, self.number(right))

    def number(self, node: exp.Expression) -> int | Fraction:
        written = self.conditions.literal(bare(node))
        try:
            return number_of(written)
        except Misfit as misfit:
            raise self.tree.refuse(
                "sql.literal", node, str(written), problem=str(misfit), advice=misfit.advice
            ) from misfit

    def statistic(self, node: exp.Expression) -> str:
        """The column of the table that is meant: a statistic as SELECT writes it, or by the name it has there."""
        inner = bare(node)
        if not isinstance(inner, exp.Column):
            if is_regression(inner):
                problem = "gives several numbers, of which a condition needs one"
                advice = "write the name that it has in the result: fit_r2 > 0.5"
                raise self.tree.refuse("sql.group", inner, self.tree.called(inner)[1], problem=problem, advice=advice)
            what = self.aggregate(inner)
            found = next((output.name for output in self.outputs if output.what == what), None)
            if found is None:
                problem = "is in HAVING and not in SELECT, and groups are judged by what is released of them"
                advice = "select it too: then the result party gets it for every group"
                raise self.tree.refuse("sql.group", inner, self.tree.called(inner)[1], problem=problem, advice=advice)
            return found
        own = [ref for side in self.names.sides if (ref := side.ref(inner.name))]
        named = [] if inner.table else [output for output in self.outputs if output.name.lower() == inner.name.lower()]
        statistics = [output for output in named if isinstance(output.what, Aggregate)]
        if not statistics:
            if not own:
                known = [output.name for output in self.outputs if isinstance(output.what, Aggregate)]
                advice = near(inner.name, known, "the statistics are {}")
                raise self.tree.refuse("sql.column", inner, inner.name[:64], advice=advice)
            problem = "is a column of records, and HAVING is on statistics of groups"
            raise self.tree.refuse("sql.group", inner, str(own[0]), problem=problem, advice="write it into WHERE")
        if own:
            problem = f"is a column of {own[0].dataset} and a statistic of the result"
            raise self.tree.refuse(
                "sql.group", inner, inner.name[:64], problem=problem, advice="give the statistic another name with AS"
            )
        return statistics[0].name


def _is_number(node: exp.Expression) -> bool:
    return type(node) is exp.Literal or (type(node) is exp.Neg and type(node.this) is exp.Literal)
