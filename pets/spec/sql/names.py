"""Names in the query, bound to the datasets and columns of the specification."""

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from pets.errors import SpecError
from pets.spec.model import Column, Dataset, Spec
from pets.spec.query import ColumnRef
from pets.spec.sql.tree import Tree


@dataclass(frozen=True, slots=True)
class Side:
    """A table of the query under the name that its columns are written with."""

    alias: str
    dataset: Dataset

    def ref(self, name: str) -> ColumnRef | None:
        found = next((own for own in self.dataset.columns if own.lower() == name.lower()), None)
        return None if found is None else ColumnRef(self.dataset.name, found)


class Names:
    """What a name in the query stands for. ``merged`` is the key that USING makes one column of both tables."""

    def __init__(self, tree: Tree, spec: Spec, sides: tuple[Side, ...], merged: str | None) -> None:
        self.tree: Final = tree
        self.spec: Final = spec
        self.sides: Final = sides
        self.merged: Final = merged

    def column(self, ref: ColumnRef) -> Column:
        return self.spec.dataset(ref.dataset).columns[ref.column]

    def resolve(self, node: exp.Column) -> ColumnRef:
        """The column of the specification that a name stands for."""
        if type(node.this) is not exp.Identifier:
            raise self.tree.outside(node.this)
        self.tree.only(node, "this", "table")
        sides = self._sides_of(node)
        found = [ref for side in sides if (ref := side.ref(node.name))]
        if len(found) > 1 and self.merged != node.name.lower():
            raise self.tree.refuse("sql.ambiguous", node, node.name, meanings=" or ".join(map(str, found)))
        if not found:
            written = f"{node.table}.{node.name}" if node.table else node.name
            named = [f"{side.alias}.{name}" if node.table else name for side in sides for name in side.dataset.columns]
            known = list(dict.fromkeys(named))
            advice = "text stands in single quotes" if node.this.quoted else near(written, known, "the columns are {}")
            raise self.tree.refuse("sql.column", node, written[:64], advice=advice)
        return found[0]

    @contextlib.contextmanager
    def way(self, node: exp.Expression, place: str) -> Iterator[None]:
        """Give a refusal inside the way from ``place`` (an output, WHERE, ON, GROUP BY) to the columns of ``node``.

        Names that are no column are left out: the refusal says that they are none.
        """
        try:
            yield
        except SpecError as error:
            steps = [place]
            if error.code == "sql.function":
                steps.append(str(error.fields["construct"]))
            elif isinstance(node, exp.Func) and not isinstance(node, exp.Connector):
                steps.append(self.tree.called(node)[1])
            refs = []
            for part in columns_in(node):
                with contextlib.suppress(SpecError):
                    refs.append(str(self.resolve(part)))
            steps += [", ".join(dict.fromkeys(refs))] if refs else []
            raise SpecError(error.code, **{"path": f"computation.sql: {' <- '.join(steps)}", **error.fields}) from error

    def _sides_of(self, node: exp.Column) -> Sequence[Side]:
        """The table that a column is written with, or all."""
        if not node.table:
            return self.sides
        sides = [side for side in self.sides if side.alias.lower() == node.table.lower()]
        if not sides:
            renamed = [side.alias for side in self.sides if side.dataset.name.lower() == node.table.lower()]
            tables = near(node.table, [side.alias for side in self.sides], "the tables are {}")
            advice = f"it is called {renamed[0]} here" if renamed else tables
            raise self.tree.refuse("sql.table", node, node.table[:64], advice=advice)
        return sides


def columns_in(node: exp.Expression) -> Iterator[exp.Column]:
    """The columns in an expression, in order."""
    return (part for part in node.walk(bfs=False) if isinstance(part, exp.Column))


def near(name: str, known: Sequence[str], otherwise: str) -> str:
    """Advice for a name that is not known: the one that was perhaps meant, or all of them."""
    folded = {own.lower(): own for own in known}
    likely = difflib.get_close_matches(name.lower()[:128], folded, n=1, cutoff=0.6)
    if likely:
        return f"did you mean {folded[likely[0]]}?"
    return otherwise.format(", ".join(known[:12]) + (", ..." if len(known) > 12 else ""))
