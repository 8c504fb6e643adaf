"""From the SQL of a specification to a ``Query`` or ``Pooled``: scan, parse, allow-list, bind. The rest is refused.

``scan`` cuts the text into known tokens before the parser sees it (length, depth, characters); ``tree`` parses and
refuses nodes that are not listed; ``names``, ``where``, ``select`` and ``joint`` (of one table: ``single``) bind what
is left to the columns of the specification, give literals the type of their column and conditions to the holder of
their table. The result has nothing of the text in it, and ``emit_where`` writes the SQL that a holder runs from the
result alone.
"""

from pets.errors import InternalError
from pets.spec.model import Spec
from pets.spec.pooled import Pooled, Statement, is_pooled
from pets.spec.predicate import emit_where
from pets.spec.query import Query
from pets.spec.sql.joint import joint_query
from pets.spec.sql.scan import MAX_DEPTH, refuse
from pets.spec.sql.single import single_query
from pets.spec.sql.tree import Tree

__all__ = ["bind", "bind_join", "bind_pooled", "emit_where"]


def bind(spec: Spec) -> Statement:
    """Parse ``spec.computation.sql`` and bind it to the datasets of the specification.

    It is one table's only in a specification of one dataset; else it joins.
    Raises: SpecError (``sql.*``) with ``construct``, ``line``, ``column`` and ``advice``, whatever the text.
    """
    try:
        tree = Tree(spec.computation.query)
        source = tree.select.args.get("from_")
        if is_pooled(spec) and source is not None and not tree.select.args.get("joins"):
            return single_query(spec, tree, source.this)
        return joint_query(spec, tree)
    except RecursionError as error:
        raise refuse("sql.too-deep", spec.computation.query, 0, "the query", limit=MAX_DEPTH) from error


def bind_join(spec: Spec) -> Query:
    """The same where it is known to join tables. Raises: InternalError internal.bug if it does not."""
    query = bind(spec)
    if not isinstance(query, Query):
        raise InternalError("internal.bug", where="a query over one table in the place of a join")
    return query


def bind_pooled(spec: Spec) -> Pooled:
    """The same where it is known to be of one table. Raises: InternalError internal.bug if it is not."""
    query = bind(spec)
    if not isinstance(query, Pooled):
        raise InternalError("internal.bug", where="a join in the place of a query over one table")
    return query
