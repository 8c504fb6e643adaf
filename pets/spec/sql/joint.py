"""FROM, JOIN, ON and WHERE: which two tables meet, and which rows of each take part."""

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from pets.errors import SpecError
from pets.spec.crossing import all_of
from pets.spec.model import Spec
from pets.spec.predicate import both, on_nulls
from pets.spec.query import Crossing, Predicate, Query
from pets.spec.sql.having import Having
from pets.spec.sql.names import Names, Side, near
from pets.spec.sql.scan import find, refuse
from pets.spec.sql.select import Selected
from pets.spec.sql.tree import Tree
from pets.spec.sql.where import Conditions, Part, conjuncts


def joint_query(spec: Spec) -> Query:
    """The query of a specification. Raises SpecError ``sql.*``."""
    tree = Tree(spec.computation.sql)
    source, join = _source_and_join(tree)
    sides = (_side(tree, spec, source), _side(tree, spec, join.this))
    _two_tables(tree, join, sides)
    outer = _is_left(tree, join, sides)
    names = Names(tree, spec, sides, _merged_key(tree, join, sides))
    rows = _Rows(names, outer=outer)
    on_left, on_right, on_rows = rows.on(join)
    where = tree.select.args.get("where")
    where_left, where_right, where_rows, note = rows.where(None if where is None else where.this)
    selected = Selected(names)
    outputs = selected.outputs(tree.select)
    if outer and not note:
        selected.matched(outputs)
    named = tuple(output for output, _ in outputs)
    return Query(
        left=sides[0].dataset.name,
        right=sides[1].dataset.name,
        join="left" if outer and not note else "inner",
        outputs=named,
        group_by=selected.group_by(tree.select, outputs),
        where_left=both(on_left, where_left),
        where_right=both(on_right, where_right),
        rows=all_of([*on_rows, *where_rows]),
        notes=note,
        having=Having(names, named, selected.aggregate).condition(tree.select.args.get("having")),
    )


def _source_and_join(tree: Tree) -> tuple[exp.Expression, exp.Join]:
    source, joins = tree.select.args.get("from_"), tree.select.args.get("joins") or []
    if source is None or not joins:
        start, construct = find(tree.tokens, "FROM") or 0, "SELECT" if source is None else "FROM"
        advice = "write FROM one JOIN other ON one.id = other.id"
        raise refuse("sql.tables", tree.text, start, construct, problem="a joint query has two tables", advice=advice)
    if len(joins) > 1:
        problem = "a joint query has two tables"
        raise tree.refuse("sql.tables", joins[1], "a third table", problem=problem, advice="join two tables")
    return source.this, joins[0]


def _side(tree: Tree, spec: Spec, table: exp.Expression) -> Side:
    if type(table) is not exp.Table:
        raise tree.outside(table)
    if type(table.this) is not exp.Identifier:
        advice = "name a dataset of the specification after FROM and JOIN"
        raise tree.refuse("sql.table", table, "a function", advice=advice)
    tree.only(table, "this", "alias")
    name, alias = table.this.this, table.args.get("alias")
    dataset = next((own for own in spec.datasets if own.name.lower() == name.lower()), None)
    if dataset is None:
        advice = near(name, [own.name for own in spec.datasets], "the datasets are {}")
        raise tree.refuse("sql.table", table.this, name[:64], advice=advice)
    if alias is None:
        return Side(dataset.name, dataset)
    tree.only(alias, "this")
    return Side(alias.this.this, dataset)


def _two_tables(tree: Tree, join: exp.Join, sides: tuple[Side, Side]) -> None:
    left, right = sides
    if left.dataset.name == right.dataset.name:
        problem = "a table is not joined with itself"
        raise tree.refuse("sql.tables", join, right.dataset.name, problem=problem, advice="name two datasets")
    if left.alias.lower() == right.alias.lower():
        problem = "both tables have this name"
        raise tree.refuse("sql.tables", join, right.alias, problem=problem, advice="give one another name")


def _is_left(tree: Tree, join: exp.Join, sides: tuple[Side, Side]) -> bool:
    """True for a LEFT JOIN, False for an inner one; everything else is refused."""
    said = " ".join(str(join.args[part]).upper() for part in ("method", "side", "kind") if join.args.get(part))
    if said not in ("", "INNER", "LEFT", "LEFT OUTER"):
        advice = "write JOIN or LEFT JOIN" + ("; exchange the two tables" if said.startswith("RIGHT") else "")
        found = find(tree.tokens, *said.split(" "))
        start = tree.at(join) if found is None else found
        raise refuse("sql.unsupported", tree.text, start, f"{said} JOIN", advice=advice)
    tree.only(join, "this", "on", "using", "method", "side", "kind")
    if not join.args.get("on") and not join.args.get("using"):
        problem, advice = "the tables are joined on nothing", f"write JOIN ... ON {_keys(sides)}"
        raise tree.refuse("sql.join", join, sides[1].alias, problem=problem, advice=advice)
    return said.startswith("LEFT")


def _merged_key(tree: Tree, join: exp.Join, sides: tuple[Side, Side]) -> str | None:
    using = join.args.get("using")
    if not using:
        return None
    named: str = using[0].name.lower()
    if len(using) != 1 or any(side.dataset.key.lower() != named for side in sides):
        problem, advice = "this is not the person id of both tables", f"write ON {_keys(sides)}"
        raise tree.refuse("sql.join", using[0], "USING", problem=problem, advice=advice)
    return named


def _keys(sides: tuple[Side, Side]) -> str:
    return " = ".join(f"{side.alias}.{side.dataset.key}" for side in sides)


def _linked(sides: tuple[Side, Side]) -> str:
    """The value of ``linkage.on`` that names the person ids of both tables, as TOML."""
    keys = {side.dataset.name: side.dataset.key for side in sides}
    if len(set(keys.values())) == 1:
        return f'"{sides[0].dataset.key}"'
    pairs = ", ".join(f'{name} = "{key}"' for name, key in keys.items())
    return f"{{ {pairs} }}"


class _Rows:
    """Which rows meet: the equality of person ids, and conditions that each holder runs on its own table."""

    def __init__(self, names: Names, *, outer: bool) -> None:
        self.names: Final = names
        self.tree: Final = names.tree
        self.outer: Final = outer
        self.conditions: Final = Conditions(names)

    def on(self, join: exp.Join) -> tuple[Predicate | None, Predicate | None, list[Crossing]]:
        """Hold that the join is on the person ids; give the further conditions of ON by table."""
        parts, others = list(conjuncts(join.args.get("on"))), []
        for node in parts:
            with self.names.way(node, "ON"):
                if not self._is_key_equality(node):
                    others.append(node)
        if len(parts) - len(others) + bool(join.args.get("using")) != 1:
            problem, advice = "tables are joined on their person ids, once", f"write ON {_keys(self.names.sides)}"
            where = {"problem": problem, "advice": advice, "path": "computation.sql: ON"}
            raise self.tree.refuse("sql.join", join.args.get("on"), "ON", **where)
        self._agrees_with_linkage()
        left, right, crossing = self.conditions.split(others, "ON")
        if self.outer and left:
            raise self.tree.refuse("sql.outer-on", left[0][0], self.names.sides[0].alias)
        if self.outer and crossing:
            raise self.tree.refuse("sql.outer-across", crossing[0][0], "ON")
        return _conjunction(left), _conjunction(right), [condition for _, condition in crossing]

    def _is_key_equality(self, node: exp.Expression) -> bool:
        """True for ``a.id = b.id``; two other columns of two tables are refused, anything else is a condition."""
        if type(node) is not exp.EQ or not (type(node.this) is type(node.expression) is exp.Column):
            return False
        columns = (node.this, node.expression)
        refs = [self.names.resolve(column) for column in columns]
        if refs[0].dataset == refs[1].dataset:
            return False
        for ref, column in zip(refs, columns, strict=True):
            if self.names.column(ref).role != "person id":
                problem, advice = "tables are joined on their person ids only", f"write ON {_keys(self.names.sides)}"
                raise self.tree.refuse("sql.join", column, str(ref), problem=problem, advice=advice)
        return True

    def _agrees_with_linkage(self) -> None:
        """Hold that [linkage] names the columns that the query joins on."""
        declared = self.names.spec.linkage.on
        for side in self.names.sides:
            key = declared if isinstance(declared, str) else declared.get(side.dataset.name)
            if key != side.dataset.key:
                problem = f"does not name {side.dataset.key}, the person id of {side.dataset.name}"
                advice = f"write on = {_linked(self.names.sides)}"
                raise SpecError("spec.field", path="linkage.on", problem=problem, advice=advice)
        if len({side.dataset.columns[side.dataset.key].scheme for side in self.names.sides}) != 1:
            problem = "joins person ids of different schemes"
            raise SpecError("spec.field", path="linkage.on", problem=problem, advice="join ids of one scheme")

    def where(
        self, node: exp.Expression | None
    ) -> tuple[Predicate | None, Predicate | None, list[Crossing], tuple[str, ...]]:
        """Conditions by table, those on both, and a note if they make a LEFT JOIN an inner one.

        A condition on the right table after a LEFT JOIN also judges unmatched rows, whose columns are all NULL. If it
        refuses them the join is inner. If it keeps them it cannot be run at the holder, and is refused.
        """
        left, right, crossing = self.conditions.split(list(conjuncts(node)), "WHERE")
        note: tuple[str, ...] = ()
        if self.outer and crossing and not right:
            raise self.tree.refuse("sql.outer-across", crossing[0][0], "WHERE")
        if self.outer and right:
            table = self.names.sides[1].alias
            if all(on_nulls(predicate) is True for _, predicate in right):
                raise self.tree.refuse("sql.outer-where", right[0][0], table)
            note = (
                f"WHERE has a condition on {table} that no unmatched row meets: LEFT JOIN is the same as JOIN here",
            )
        return _conjunction(left), _conjunction(right), [condition for _, condition in crossing], note


def _conjunction(parts: Sequence[Part]) -> Predicate | None:
    whole: Predicate | None = None
    for _, predicate in parts:
        whole = both(whole, predicate)
    return whole
