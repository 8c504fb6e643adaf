"""CASE as a grouping column: conditions on one table or on both, and the levels that they give."""

from sqlglot import exp

from pets.ids import MISSING
from pets.spec.banded import Banded, BandedAcross, Case
from pets.spec.query import BOTH
from pets.spec.sql.names import Names, columns_in
from pets.spec.sql.where import Conditions

_WRITE = "write CASE WHEN age < 18 THEN 'child' ELSE 'adult' END"
MAX_LEVEL = 200
"""Letters of a level, as of one that is declared."""


def banded(names: Names, node: exp.Case, name: str) -> Case:
    """Bind ``CASE WHEN condition THEN 'level' ... [ELSE 'level'] END``; ``name``: what it is called in the result.

    Raises: SpecError sql.unsupported, sql.literal, and what a condition of WHERE raises.
    """
    tree = names.tree
    tree.only(node, "ifs", "default")
    refs = [(column, names.resolve(column)) for column in columns_in(node)]
    if not refs:
        raise tree.refuse("sql.unsupported", node, "CASE without a column", advice=_WRITE)
    conditions, branches = Conditions(names), node.args["ifs"]
    for branch in branches:
        tree.only(branch, "this", "true")
    levels = [_level(names, branch.args["true"]) for branch in branches]
    default = node.args.get("default")
    otherwise = None if default is None or type(default) is exp.Null else _level(names, default)
    if any(ref.dataset != refs[0][1].dataset for _, ref in refs):
        across = [conditions.across(branch.this) for branch in branches]
        return BandedAcross(BOTH, name, tuple(zip(across, levels, strict=True)), otherwise)
    own = [conditions.predicate(branch.this) for branch in branches]
    return Banded(refs[0][1].dataset, name, tuple(zip(own, levels, strict=True)), otherwise)


def _level(names: Names, node: exp.Expression) -> str:
    """A level: text in single quotes."""
    tree = names.tree
    if type(node) is not exp.Literal or not node.is_string:
        raise tree.refuse("sql.unsupported", node, "a level that is no text", advice=_WRITE)
    if not 1 <= len(node.this) <= MAX_LEVEL:
        problem = f"is not of 1 to {MAX_LEVEL} letters"
        raise tree.refuse("sql.literal", node, f"'{node.this[:40]}'", problem=problem, advice="shorten it, or say more")
    if node.this == MISSING:
        problem = "is the level of rows without one"
        raise tree.refuse("sql.literal", node, f"'{MISSING}'", problem=problem, advice="leave ELSE out")
    return str(node.this)
