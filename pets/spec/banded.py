"""Grouping columns that a query makes of the columns of one table: CASE with levels that the query declares.

The holder of the table evaluates the branches on its own rows, before anything is sent. Its levels are the texts after
THEN and ELSE, in order, so which of them occur tells nothing; rows on which no branch is true have ELSE, or
``(missing)`` without one, as SQL's NULL.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pets.ids import MISSING
from pets.spec.model import Spec
from pets.spec.predicate import columns_of, emit_where, on_nulls, quoted_text, worded
from pets.spec.query import ColumnRef, Predicate, Value


@dataclass(frozen=True, slots=True)
class Banded(ColumnRef):
    """``CASE WHEN condition THEN level ... [ELSE otherwise] END`` over a dataset; ``column``: its name in a result."""

    branches: tuple[tuple[Predicate, str], ...]
    otherwise: str | None

    @property
    def levels(self) -> tuple[str, ...]:
        """Its declared levels: each once, in the order in which they are first written."""
        ends = [level for _, level in self.branches] + ([] if self.otherwise is None else [self.otherwise])
        return tuple(dict.fromkeys(ends))

    def __str__(self) -> str:
        """What it is, whatever it is called."""
        parts = " ".join(f"WHEN {worded(when)} THEN {quoted_text(level)}" for when, level in self.branches)
        end = "" if self.otherwise is None else f" ELSE {quoted_text(self.otherwise)}"
        return f"{self.dataset}.(CASE {parts}{end} END)"

    def of_nulls(self) -> str | None:
        """The level of a row of which every column is NULL; None for ``(missing)``."""
        return next((level for when, level in self.branches if on_nulls(when) is True), self.otherwise)

    def emit(self) -> tuple[str, tuple[Value, ...]]:
        """DuckDB SQL that gives the place of the level, ``(missing)`` being the last; with a ``?`` for each value."""
        texts: list[str] = []
        values: list[Value] = []
        for when, level in self.branches:
            text, own = emit_where(when)
            texts.append(f"WHEN {text} THEN {self.levels.index(level)}")
            values += own
        last = len(self.levels) if self.otherwise is None else self.levels.index(self.otherwise)
        return f"CASE {' '.join(texts)} ELSE {last} END", tuple(values)


def reads(ref: ColumnRef) -> tuple[str, ...]:
    """The columns of the dataset that a grouping column is made of: itself, or those that its branches look at."""
    if not isinstance(ref, Banded):
        return (ref.column,)
    return tuple(dict.fromkeys(name for when, _ in ref.branches for name in columns_of(when)))


def origins(ref: ColumnRef) -> Iterator[ColumnRef]:
    """``reads``, as columns of the specification."""
    yield from (ColumnRef(ref.dataset, name) for name in reads(ref))


def levels_of(spec: Spec, ref: ColumnRef) -> tuple[str, ...]:
    """All levels of a grouping column, ``(missing)`` last."""
    own = ref.levels if isinstance(ref, Banded) else spec.dataset(ref.dataset).columns[ref.column].levels
    return (*own, MISSING)
