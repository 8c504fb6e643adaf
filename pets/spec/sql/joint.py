"""FROM, JOIN, ON and WHERE: which tables meet, and which rows of each take part."""

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from pets.errors import SpecError
from pets.spec.crossing import all_of
from pets.spec.model import Dataset, Spec
from pets.spec.predicate import both, on_nulls
from pets.spec.query import Crossing, Predicate, Query
from pets.spec.sql.having import Having
from pets.spec.sql.names import Names, Side, columns_in, near
from pets.spec.sql.scan import find, refuse
from pets.spec.sql.select import Selected
from pets.spec.sql.tree import Tree
from pets.spec.sql.where import Conditions, Part, conjuncts


def joint_query(spec: Spec, tree: Tree) -> Query:
    """The query of a specification that joins tables. Raises SpecError ``sql.*``."""
    source, joins = _source_and_joins(tree, spec)
    sides = tuple(side_of(tree, spec, table) for table in (source, *(join.this for join in joins)))
    _distinct(tree, joins, sides)
    outer = _is_left(tree, joins, sides)
    names = Names(tree, spec, sides, _merged_key(tree, joins, sides))
    rows = _Rows(names, outer=outer)
    on, on_rows = rows.on(joins)
    where = tree.select.args.get("where")
    own, where_rows, note = rows.where(None if where is None else where.this)
    wheres = [both(first, second) for first, second in zip(on, own, strict=True)]
    selected = Selected(names)
    outputs = selected.outputs(tree.select)
    if outer and not note:
        selected.matched(outputs)
    named = tuple(output for output, _ in outputs)
    grouped = selected.group_by(tree.select, outputs)
    return Query(
        left=sides[0].dataset.name,
        right=sides[1].dataset.name,
        join="left" if outer and not note else "inner",
        outputs=named,
        group_by=grouped,
        where_left=wheres[0],
        where_right=wheres[1],
        rows=all_of([*on_rows, *where_rows]),
        notes=note,
        having=Having(names, named, selected.aggregate).condition(tree.select.args.get("having")),
        others=tuple(side.dataset.name for side in sides[2:]),
        where_others=tuple(wheres[2:]),
    )


MOST: Final = 8
"""Tables of a query."""


def _source_and_joins(tree: Tree, spec: Spec) -> tuple[exp.Expression, list[exp.Join]]:
    source, joins = tree.select.args.get("from_"), tree.select.args.get("joins") or []
    if source is None or not joins:
        start, construct = find(tree.tokens, "FROM") or 0, "SELECT" if source is None else "FROM"
        advice = "write FROM one JOIN other ON one.id = other.id"
        if source is not None and any(table.several for table in spec.datasets):
            advice += "; a query over one table of many holders is in a specification of that dataset alone"
        raise refuse("sql.tables", tree.text, start, construct, problem="a joint query has two tables", advice=advice)
    if len(joins) >= MOST:
        problem, advice = f"a joint query has up to {MOST} tables", "join fewer tables"
        raise tree.refuse("sql.tables", joins[MOST - 1], "one table more", problem=problem, advice=advice)
    return source.this, list(joins)


def side_of(tree: Tree, spec: Spec, table: exp.Expression) -> Side:
    """The table that FROM or JOIN names. Raises SpecError ``sql.*``."""
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


def _distinct(tree: Tree, joins: Sequence[exp.Join], sides: tuple[Side, ...]) -> None:
    for number, (join, own) in enumerate(zip(joins, sides[1:], strict=True), 1):
        for other in sides[:number]:
            if other.dataset.name == own.dataset.name:
                problem = "a table is not joined with itself"
                raise tree.refuse("sql.tables", join, own.dataset.name, problem=problem, advice="name two datasets")
            if other.alias.lower() == own.alias.lower():
                problem = "two tables have this name"
                raise tree.refuse("sql.tables", join, own.alias, problem=problem, advice="give one another name")


def _is_left(tree: Tree, joins: Sequence[exp.Join], sides: tuple[Side, ...]) -> bool:
    """True for a LEFT JOIN of two tables, False for inner ones; everything else is refused."""
    found = False
    for number, join in enumerate(joins, 1):
        said = " ".join(str(join.args[part]).upper() for part in ("method", "side", "kind") if join.args.get(part))
        if said not in ("", "INNER", "LEFT", "LEFT OUTER"):
            advice = "write JOIN or LEFT JOIN" + ("; exchange the two tables" if said.startswith("RIGHT") else "")
            place = find(tree.tokens, *said.split(" "))
            start = tree.at(join) if place is None else place
            raise refuse("sql.unsupported", tree.text, start, f"{said} JOIN", advice=advice)
        tree.only(join, "this", "on", "using", "method", "side", "kind")
        if not join.args.get("on") and not join.args.get("using"):
            problem, advice = "the tables are joined on nothing", f"write JOIN ... ON {_keys(sides, number)}"
            raise tree.refuse("sql.join", join, sides[number].alias, problem=problem, advice=advice)
        if said.startswith("LEFT") and len(joins) > 1:
            problem = "keeps rows without a match, and more than two tables are joined"
            raise tree.refuse("sql.tables", join, "LEFT JOIN", problem=problem, advice="write JOIN, or join two tables")
        found = found or said.startswith("LEFT")
    return found


def _merged_key(tree: Tree, joins: Sequence[exp.Join], sides: tuple[Side, ...]) -> str | None:
    """The key that USING makes one column of all tables: every join has it, or none."""
    merged: str | None = None
    for number, join in enumerate(joins, 1):
        using = join.args.get("using")
        if not using:
            continue
        merged = using[0].name.lower()
        if len(using) != 1 or any(side.dataset.key.lower() != merged for side in sides):
            problem, advice = "this is not the person id of all tables", f"write ON {_keys(sides, number)}"
            if len(sides) == 2:
                problem = "this is not the person id of both tables"
            raise tree.refuse("sql.join", using[0], "USING", problem=problem, advice=advice)
        if not all(other.args.get("using") for other in joins):
            problem, advice = "is in one join and not in the other", f"write ON {_keys(sides, number)}"
            raise tree.refuse("sql.join", using[0], "USING", problem=problem, advice=advice)
    return merged


def _keys(sides: tuple[Side, ...], number: int = 1) -> str:
    """The equality that a join is on: the first table's person id and that of its own."""
    return " = ".join(f"{side.alias}.{side.dataset.key}" for side in (sides[0], sides[number]))


def agree_with_linkage(spec: Spec, tables: Sequence[Dataset]) -> None:
    """Hold that [linkage] names the person ids of tables that are joined, and that these are of one scheme."""
    declared, keys = spec.linking.on, {table.name: table.key for table in tables}
    for name, key in keys.items():
        if (declared if isinstance(declared, str) else declared.get(name)) != key:
            pairs = ", ".join(f'{each} = "{own}"' for each, own in keys.items())
            on = f'"{key}"' if len(set(keys.values())) == 1 else f"{{ {pairs} }}"
            problem = f"does not name {key}, the person id of {name}"
            raise SpecError("spec.field", path="linkage.on", problem=problem, advice=f"write on = {on}")
    if len({table.columns[table.key].scheme for table in tables}) != 1:
        problem = "joins person ids of different schemes"
        raise SpecError("spec.field", path="linkage.on", problem=problem, advice="join ids of one scheme")


class _Rows:
    """Which rows meet: the equality of person ids, and conditions that each holder runs on its own table."""

    def __init__(self, names: Names, *, outer: bool) -> None:
        self.names: Final = names
        self.tree: Final = names.tree
        self.outer: Final = outer
        self.conditions: Final = Conditions(names)

    def on(self, joins: Sequence[exp.Join]) -> tuple[list[Predicate | None], list[Crossing]]:
        """Hold that every join is on the person ids; give the further conditions of ON by table."""
        others: list[exp.Expression] = []
        for number, join in enumerate(joins, 1):
            others += self._others(join, number)
        agree_with_linkage(self.names.spec, [side.dataset for side in self.names.sides])
        parts, crossing = self.conditions.split(others, "ON")
        if self.outer and parts[0]:
            raise self.tree.refuse("sql.outer-on", parts[0][0][0], self.names.sides[0].alias)
        if self.outer and crossing:
            raise self.tree.refuse("sql.outer-across", crossing[0][0], "ON")
        return [_conjunction(each) for each in parts], [condition for _, condition in crossing]

    def _others(self, join: exp.Join, number: int) -> list[exp.Expression]:
        """The conditions of ON beside one equality of the person ids of this join's table and of one before it."""
        parts, others = list(conjuncts(join.args.get("on"))), []
        for node in parts:
            with self.names.way(node, "ON"):
                if not self._is_key_equality(node, number):
                    others.append(node)
        if len(parts) - len(others) + bool(join.args.get("using")) != 1:
            problem, advice = (
                "tables are joined on their person ids, once",
                f"write ON {_keys(self.names.sides, number)}",
            )
            where = {"problem": problem, "advice": advice, "path": "computation.sql: ON"}
            raise self.tree.refuse("sql.join", join.args.get("on"), "ON", **where)
        return others

    def _is_key_equality(self, node: exp.Expression, number: int) -> bool:
        """True for ``a.id = b.id``; two other columns of two tables are refused, anything else is a condition."""
        earlier = [side.dataset.name for side in self.names.sides[:number]]
        own = self.names.sides[number].dataset.name
        for column in columns_in(node):
            if (ref := self.names.resolve(column)).dataset not in (*earlier, own):
                problem, advice = "is of a table that is joined later", "write it into WHERE"
                raise self.tree.refuse("sql.join", column, str(ref), problem=problem, advice=advice)
        if type(node) is not exp.EQ or not (type(node.this) is type(node.expression) is exp.Column):
            return False
        columns = (node.this, node.expression)
        refs = [self.names.resolve(column) for column in columns]
        if refs[0].dataset == refs[1].dataset:
            return False
        for ref, column in zip(refs, columns, strict=True):
            if self.names.column(ref).role != "person id":
                problem, advice = (
                    "tables are joined on their person ids only",
                    f"write ON {_keys(self.names.sides, number)}",
                )
                raise self.tree.refuse("sql.join", column, str(ref), problem=problem, advice=advice)
        if own not in (refs[0].dataset, refs[1].dataset):
            problem, advice = "does not join this table", f"write ON {_keys(self.names.sides, number)}"
            raise self.tree.refuse("sql.join", node, str(refs[0]), problem=problem, advice=advice)
        return True

    def where(self, node: exp.Expression | None) -> tuple[list[Predicate | None], list[Crossing], tuple[str, ...]]:
        """Conditions by table, those on several, and a note if they make a LEFT JOIN an inner one.

        A condition on the right table after a LEFT JOIN also judges unmatched rows, whose columns are all NULL. If it
        refuses them the join is inner. If it keeps them it cannot be run at the holder, and is refused.
        """
        parts, crossing = self.conditions.split(list(conjuncts(node)), "WHERE")
        note: tuple[str, ...] = ()
        right = parts[1]
        if self.outer and crossing and not right:
            raise self.tree.refuse("sql.outer-across", crossing[0][0], "WHERE")
        if self.outer and right:
            table = self.names.sides[1].alias
            if all(on_nulls(predicate) is True for _, predicate in right):
                raise self.tree.refuse("sql.outer-where", right[0][0], table)
            note = (
                f"WHERE has a condition on {table} that no unmatched row meets: LEFT JOIN is the same as JOIN here",
            )
        return [_conjunction(each) for each in parts], [condition for _, condition in crossing], note


def _conjunction(parts: Sequence[Part]) -> Predicate | None:
    whole: Predicate | None = None
    for _, predicate in parts:
        whole = both(whole, predicate)
    return whole
