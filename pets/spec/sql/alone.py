"""Conditions without a query: which rows of each of several datasets take part, each dataset by itself."""

from typing import Final

from sqlglot import exp

from pets.errors import SpecError
from pets.spec.model import Spec
from pets.spec.predicate import both
from pets.spec.query import Predicate
from pets.spec.sql.names import Names, Side
from pets.spec.sql.scan import MAX_DEPTH, refuse
from pets.spec.sql.tree import Tree
from pets.spec.sql.where import Conditions, conjuncts

BEFORE: Final = 2
"""Lines that stand before a condition in the query that it is bound in."""

_ADVICE: Final = "join conditions with AND"


def conditions(spec: Spec, tables: tuple[str, ...]) -> tuple[tuple[str, Predicate | None], ...]:
    """The conditions of ``computation.where`` by dataset. Raises: SpecError sql.*, or spec.field if more is in it.

    The text is read as the WHERE of a query.
    """
    if spec.computation.where is None:
        return tuple((name, None) for name in tables)
    text = f'SELECT COUNT(*) AS n FROM "{tables[0]}"\nWHERE (\n{spec.computation.where}\n)'
    try:
        tree = Tree(text)
        where = tree.select.args.get("where")
        if where is None or any(tree.select.args.get(each) for each in ("joins", "group", "having")):
            raise _more()
        nodes = list(conjuncts(_inside(where.this)))
        sides = tuple(Side(name, spec.dataset(name)) for name in tables)
        parts, crossing = Conditions(Names(tree, spec, sides, None)).split(nodes, "WHERE")
    except RecursionError as error:
        raise refuse("sql.too-deep", text, 0, "the condition", limit=MAX_DEPTH) from error
    except SpecError as error:
        said = {name: _placed(name, value) for name, value in error.fields.items()}
        if error.code.startswith("sql."):
            said.setdefault("path", "computation.where")
        raise SpecError(error.code, **said) from error
    if crossing:
        problem = "has a condition on several datasets, which no holder could apply to its own rows"
        raise _field("computation.where", problem, f"{_ADVICE}, each on columns of one dataset")
    found: dict[str, Predicate | None] = dict.fromkeys(tables)
    for name, each in zip(tables, parts, strict=True):
        for _, predicate in each:
            found[name] = both(found[name], predicate)
    return tuple(found.items())


def _inside(node: exp.Expression) -> exp.Expression:
    """A condition without the parentheses that were put around it. Raises: SpecError if it has none: it ended early."""
    if type(node) is not exp.Paren:
        raise _more()
    inside: exp.Expression = node.this
    return inside


def _placed(name: str, value: object) -> object:
    """What is said of a query, as it is said of its condition alone."""
    if name == "line" and isinstance(value, int):
        return max(value - BEFORE, 1)
    if name == "advice" and str(value).startswith("write one SELECT"):
        return f"{_ADVICE}, and write nothing else"
    return value.replace("computation.sql", "computation.where") if isinstance(value, str) else value


def _more() -> SpecError:
    return _field("computation.where", "is more than conditions", f"{_ADVICE}, and write nothing else")


def _field(path: str, problem: str, advice: str) -> SpecError:
    return SpecError("spec.field", path=path, problem=problem, advice=advice)
