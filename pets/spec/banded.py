"""Grouping columns that a query makes of columns: CASE with levels that the query declares.

Over columns of one table (``Banded``) its holder evaluates the branches on its own rows, before anything is sent. Over
columns of both (``BandedAcross``) the three computing parties do, on shares, and nobody learns which level a row has.
Its levels are the texts after THEN and ELSE, in order, so which of them occur tells nothing; rows on which no branch is
true have ELSE, or ``(missing)`` without one, as SQL's NULL.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pets.ids import MISSING
from pets.spec import crossing
from pets.spec.model import Spec
from pets.spec.predicate import columns_of, emit_where, on_nulls, quoted_text, worded
from pets.spec.query import Across, ColumnRef, Compare, Crossing, Own, Predicate, Value


@dataclass(frozen=True, slots=True)
class Banded(ColumnRef):
    """``CASE WHEN condition THEN level ... [ELSE otherwise] END`` over a dataset; ``column``: its name in a result."""

    branches: tuple[tuple[Predicate, str], ...]
    otherwise: str | None

    @property
    def levels(self) -> tuple[str, ...]:
        """Its declared levels: each once, in the order in which they are first written."""
        return _levels([level for _, level in self.branches], self.otherwise)

    def __str__(self) -> str:
        """What it is, whatever it is called."""
        return f"{self.dataset}.{_case([(worded(when), level) for when, level in self.branches], self.otherwise)}"

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


@dataclass(frozen=True, slots=True)
class Values(Banded):
    """Every value of a measure of whole numbers, each a level of its own: by these a regression's rows are counted.

    Rows without a value are at the last level, and whatever is counted so leaves them out (``Factor.present``).
    """

    @property
    def of(self) -> ColumnRef:
        """The measure."""
        (name,) = reads(self)
        return ColumnRef(self.dataset, name)

    def __str__(self) -> str:
        return f"{self.of} by value, {self.levels[0]} to {self.levels[-1]}"


def by_value(ref: ColumnRef, low: int, high: int) -> Values:
    """A measure from ``low`` to ``high``, of two values at least, by value."""
    below = tuple((Compare(ref.column, "<=", value), str(value)) for value in range(low, high))
    return Values(ref.dataset, f"{ref.column} by value", below, str(high))


@dataclass(frozen=True, slots=True)
class BandedAcross(ColumnRef):
    """``CASE`` over both tables of a query; ``dataset``: what stands for the two together.

    A branch is taken if it is the first whose condition is true, so conditions have negation at their leaves alone.
    """

    branches: tuple[tuple[Crossing, str], ...]
    otherwise: str | None

    @property
    def levels(self) -> tuple[str, ...]:
        """As of ``Banded``."""
        return _levels([level for _, level in self.branches], self.otherwise)

    def __str__(self) -> str:
        """What it is, whatever it is called."""
        return _case([(crossing.said(when), level) for when, level in self.branches], self.otherwise)

    @property
    def compared(self) -> frozenset[ColumnRef]:
        """Columns that are compared with one of the other table, and with nothing else."""
        leaves = [leaf for when, _ in self.branches for leaf in crossing.leaves(when)]
        pairs = {ref for leaf in leaves if isinstance(leaf, Across) for ref in (leaf.left, leaf.right)}
        alone = {ref for leaf in leaves if isinstance(leaf, Own) for ref in crossing.columns(leaf)}
        return frozenset(pairs - alone)


Case = Banded | BandedAcross
"""A grouping column whose levels the query declares."""


def _levels(ends: list[str], otherwise: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*ends, *([] if otherwise is None else [otherwise])]))


def _case(branches: list[tuple[str, str]], otherwise: str | None) -> str:
    parts = " ".join(f"WHEN {when} THEN {quoted_text(level)}" for when, level in branches)
    return f"(CASE {parts}{'' if otherwise is None else f' ELSE {quoted_text(otherwise)}'} END)"


def across(refs: Iterable[ColumnRef]) -> BandedAcross | None:
    """The CASE over both tables among grouping columns; there is one at most."""
    return next((ref for ref in refs if isinstance(ref, BandedAcross)), None)


def reads(ref: ColumnRef) -> tuple[str, ...]:
    """The columns of the dataset that a grouping column is made of: itself, or those that its branches look at."""
    if isinstance(ref, BandedAcross):
        return ()
    if not isinstance(ref, Banded):
        return (ref.column,)
    return tuple(dict.fromkeys(name for when, _ in ref.branches for name in columns_of(when)))


def origins(ref: ColumnRef) -> Iterator[ColumnRef]:
    """Every column of the specification that a grouping column is made of, of either table."""
    if isinstance(ref, BandedAcross):
        yield from dict.fromkeys(column for when, _ in ref.branches for column in crossing.columns(when))
        return
    yield from (ColumnRef(ref.dataset, name) for name in reads(ref))


def by_values(refs: Iterable[ColumnRef]) -> bool:
    """True if rows are counted by the values of measures, for a model, and not by groups."""
    return any(isinstance(ref, Values) for ref in refs)


def levels_of(spec: Spec, ref: ColumnRef) -> tuple[str, ...]:
    """All levels of a grouping column, ``(missing)`` last, unless every row that counts has a value."""
    if isinstance(ref, Values):
        return ref.levels
    own = ref.levels if isinstance(ref, Case) else spec.dataset(ref.dataset).columns[ref.column].levels
    return (*own, MISSING)
