"""From the SQL of a specification to a ``Query``: scan, parse, allow-list, bind. What is not listed is refused.

``scan`` cuts the text into known tokens before the parser sees it (length, depth, characters); ``tree`` parses and
refuses nodes that are not listed; ``names``, ``where``, ``select`` and ``joint`` bind what is left to the columns of
the specification, give literals the type of their column and conditions to the holder of their table. The result has
nothing of the text in it, and ``emit_where`` writes the SQL that a holder runs from the result alone.
"""

from pets.spec.model import Spec
from pets.spec.predicate import emit_where
from pets.spec.query import Query
from pets.spec.sql.joint import joint_query
from pets.spec.sql.scan import MAX_DEPTH, refuse

__all__ = ["bind", "emit_where"]


def bind(spec: Spec) -> Query:
    """Parse ``spec.computation.sql`` and bind it to the datasets of the specification.

    Raises: SpecError (``sql.*``) with ``construct``, ``line``, ``column`` and ``advice``, whatever the text.
    """
    try:
        return joint_query(spec)
    except RecursionError as error:
        raise refuse("sql.too-deep", spec.computation.query, 0, "the query", limit=MAX_DEPTH) from error
