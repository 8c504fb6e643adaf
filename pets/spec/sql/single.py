"""SELECT FROM one table that many holders bring: each computes on its own rows, and only totals leave."""

from typing import Final

from sqlglot import exp

from pets.spec.model import Dataset, Spec
from pets.spec.pooled import Pooled
from pets.spec.predicate import both
from pets.spec.query import ORDER, Aggregate, Output, Predicate, Statistic
from pets.spec.sql.having import Having
from pets.spec.sql.joint import side_of
from pets.spec.sql.modelled import counted_by
from pets.spec.sql.names import Names
from pets.spec.sql.select import Selected
from pets.spec.sql.tree import Tree
from pets.spec.sql.where import Conditions, conjuncts


def single_query(spec: Spec, tree: Tree, source: exp.Expression) -> Pooled:
    """The query over one table. Raises SpecError ``sql.*``."""
    side = side_of(tree, spec, source)
    if not side.dataset.several:
        party, rows = side.dataset.party, side.dataset.max_rows
        raise tree.refuse(
            "sql.tables",
            source,
            side.dataset.name,
            problem="is a table of one party, which can compute this by itself",
            advice=f"name all who bring a part: holders = {{ {party} = {rows}, ... }} in the place of party and "
            "max_rows; or join it with another party's table",
        )
    names = Names(tree, spec, (side,), None)
    selected = Selected(names)
    outputs = selected.outputs(tree.select)
    for output, node in outputs:
        with names.way(node, f"output {output.name}"):
            _additive(tree, output, node, side.dataset)
    named = tuple(output for output, _ in outputs)
    counted = counted_by(names, tree.select, outputs)
    return Pooled(
        table=side.dataset.name,
        outputs=named,
        group_by=counted or selected.group_by(tree.select, outputs),
        condition=_where(names, tree.select.args.get("where")),
        having=Having(names, named, selected.aggregate).condition(tree.select.args.get("having")),
    )


def _where(names: Names, node: exp.Expression | None) -> Predicate | None:
    """Which rows take part: every condition is on the one table."""
    ((own), crossing) = Conditions(names).split(list(conjuncts(None if node is None else node.this)), "WHERE")
    assert not crossing
    whole: Predicate | None = None
    for _, predicate in own[0]:
        whole = both(whole, predicate)
    return whole


_BANDS: Final = "count rows by bands, grouped by a CASE, or have a program compute it"


def _additive(tree: Tree, output: Output, node: exp.Expression, table: Dataset) -> None:
    """Refuse what is no sum over all holders of what each makes of its own rows."""
    what = output.what
    if not isinstance(what, Aggregate):
        return
    if what.statistic is Statistic.COUNT_PEOPLE and table.most_holders > 1:
        problem = f"counts persons, and nobody can tell whether two holders have rows of one {table.key}"
        advice = "write COUNT(*), or, if everybody is at one holder, max_holders_per_person = 1"
        raise tree.refuse("sql.argument", node, "COUNT(DISTINCT ...)", problem=problem, advice=advice)
    if what.statistic in ORDER:
        problem = "is found by putting the values of all holders in order, which a sum does not do"
        raise tree.refuse("sql.argument", node, what.statistic.name, problem=problem, advice=_BANDS)
