"""A query over one table that many holders bring: ``spec/query.py`` has the nodes, and queries that join tables.

Every statistic of such a query is made of sums over the rows of all holders. Each holder makes those of its own rows,
and only their total leaves the computing parties. So there is nothing to link, and nothing to compare across tables.
"""

from dataclasses import dataclass
from typing import Literal

from pets.ids import PartyId
from pets.spec.model import Spec
from pets.spec.query import Aggregate, ColumnRef, Output, Predicate, Query


@dataclass(frozen=True, slots=True)
class Pooled:
    """``SELECT outputs FROM table WHERE condition GROUP BY group_by HAVING having``.

    ``condition`` and CASE run at each holder, ``having`` on what is released of each group.
    """

    table: str
    outputs: tuple[Output, ...]
    group_by: tuple[ColumnRef, ...] = ()
    condition: Predicate | None = None
    having: Predicate | None = None
    notes: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The one table, as queries that join have theirs."""
        return (self.table,)

    @property
    def conditions(self) -> tuple[tuple[str, Predicate | None], ...]:
        """The table, and which of its rows take part."""
        return ((self.table, self.condition),)

    def where(self, table: str) -> Predicate | None:
        """Which rows of a table take part; None for a table that is not the query's."""
        return dict(self.conditions).get(table)

    @property
    def join(self) -> Literal["none"]:
        """How tables meet: there is one."""
        return "none"

    @property
    def rows(self) -> None:
        """What WHERE says of several tables together: nothing."""
        return None

    @property
    def ordered(self) -> tuple[Aggregate, ...]:
        """Order statistics: values of all holders are never put in order together."""
        return ()

    @property
    def fitted(self) -> tuple[Aggregate, ...]:
        """Models that are fitted on shared rows: none are."""
        return ()


Statement = Query | Pooled
"""What SQL asks for: of joined tables, or of one table of many holders."""


def is_pooled(spec: Spec) -> bool:
    """True if the specification asks for sums over one table: it has no other, and no intersection has just one."""
    return spec.computation.sql is not None and len(spec.datasets) == 1


def takes_uploads(spec: Spec) -> tuple[PartyId, ...]:
    """Who takes uploads. Under disclosure control the third of those who compute gets nothing of any."""
    return spec.computing if spec.release.disclosure_control is None else spec.computing[:2]
