"""What WHERE and grouping CASEs leave of a column's range, cell by cell: as narrow as the values that are added up."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Final

from pets.spec.banded import Banded, BandedAcross, origins, reads
from pets.spec.model import Column, Dataset, Spec
from pets.spec.pooled import Statement
from pets.spec.population import EVERY, NONE, Space, Undecided
from pets.spec.query import ColumnRef, Crossing, Every, Own, Predicate

MOST: Final = 4_096
"""Cells of CASEs over one table that are looked at."""


def spans(query: Statement, spec: Spec, ref: ColumnRef) -> Iterator[tuple[int, int]]:
    """The range of a measure in units of its last place, for each set of rows that CASEs make cells of.

    A condition on both tables counts for what it asks of this one in any case; a CASE over both for nothing.

    Raises: Undecided if the conditions are too many, or a CASE over both tables looks at the column.
    """
    table, space = spec.dataset(ref.dataset), Space()
    rows = space.of(query.where(ref.dataset), table)
    for own in _always(query.rows, ref.dataset):
        rows = space.both(rows, space.of(own, table))
    cells = [rows]
    for by in query.group_by:
        if isinstance(by, BandedAcross) and ref in set(origins(by)) - by.compared:
            raise Undecided
        if isinstance(by, Banded) and by.dataset == ref.dataset and ref.column in reads(by):
            levels = tuple(_levels(space, by, table))
            cells = list(dict.fromkeys(space.both(cell, level) for cell in cells for level in levels))
            if len(cells) > MOST:
                raise Undecided
    for cell in cells:
        if (hull := space.hull(cell, str(ref))) is not None:
            yield _within(table.columns[ref.column], *hull)


def _always(crossing: Crossing | None, dataset: str) -> Iterator[Predicate]:
    """What a condition on both tables asks of one of them, whatever the other's rows are."""
    if isinstance(crossing, Own) and crossing.dataset == dataset:
        yield crossing.predicate
    elif isinstance(crossing, Every):
        for part in crossing.parts:
            yield from _always(part, dataset)


def _levels(space: Space, by: Banded, table: Dataset) -> Iterator[int]:
    """The rows of each level of a CASE: the first branch that is true says which."""
    found: dict[str | None, int] = {}
    left = EVERY
    for when, level in by.branches:
        true = space.of(when, table)
        found[level] = space.either(found.get(level, NONE), space.both(left, true))
        left = space.without(left, true)
    found[by.otherwise] = space.either(found.get(by.otherwise, NONE), left)
    yield from found.values()


def _within(column: Column, low: Fraction | None, high: Fraction | None) -> tuple[int, int]:
    """Bounds in units of the last place; values beyond the declared range are moved to its ends, or are not there."""
    least, most = column.scaled_range
    scale = 10**column.places
    bottom = least if low is None else ceil(low * scale)
    top = most if high is None else ceil(high * scale) - 1
    return max(least, min(most, bottom)), max(least, min(most, top))
