"""Lines of a table whose totals are known, and the blocks of cells into which each is cut (ADR 0017).

Cells are numbered in the order of the table, the grouping columns of role a first. Nothing here depends on records.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

from pets.ids import MISSING
from pets.spec import moments as taken_apart
from pets.spec.banded import Banded
from pets.spec.control import Control
from pets.spec.ir import Dimension
from pets.spec.model import Dataset, Spec
from pets.spec.moments import Side
from pets.spec.population import EVERY, NONE, Space, Undecided
from pets.spec.query import Compare, IsNull, Predicate, Query

Lines = tuple[tuple[tuple[int, ...], ...], ...]

MAX_LINED: Final = 2**14
"""Cells of a table whose totals are known: each is listed in the plan."""


def lines(query: Query, spec: Spec, control: Control) -> Lines:
    """The cells of each total of the finest known grouping, cut into blocks, all in the order of the table.

    Coarser totals are sums of these. Cells that the conditions leave empty, as everybody can read in them, are in none:
    they would hide nothing. None where no totals are known.
    """
    if not control.known_totals:
        return ()
    roles = taken_apart.roles(spec, query)
    dims = [d for side in roles.sides.values() for d in taken_apart.dimensions(query, spec, side)]
    finest = [place for place, d in enumerate(dims) if str(d.column) in control.known_totals[-1]]
    possible = {side: _possible(query, spec, side) for side in roles.sides.values()}
    found: dict[tuple[str, ...], list[tuple[int, bool]]] = {}
    for number, levels in enumerate(product(*(d.levels for d in dims))):
        cell = dict(zip(dims, levels, strict=True))
        if all(tuple(cell[d] for d in own) in some for own, some in possible.values()):
            line = tuple(levels[place] for place in finest)
            found.setdefault(line, []).append((number, MISSING in levels))
    return tuple(tuple(_blocks(line)) for line in found.values())


def _blocks(line: list[tuple[int, bool]]) -> Iterator[tuple[int, ...]]:
    """Pairs of neighbours, the last of three if their number is odd; cells of a level ``(missing)`` are one block."""
    known = [number for number, missing in line if not missing]
    cuts = [tuple(known[place : place + 2]) for place in range(0, len(known), 2)]
    if len(cuts) > 1 and len(cuts[-1]) == 1:
        cuts[-2:] = [cuts[-2] + cuts[-1]]
    yield from cuts
    if rest := tuple(number for number, missing in line if missing):
        yield rest


def _possible(query: Query, spec: Spec, side: Side) -> tuple[tuple[Dimension, ...], frozenset[tuple[str, ...]]]:
    """The grouping columns of a side, and the levels of them that a row can have together.

    On the right of a LEFT JOIN they can all be missing, whatever its conditions. Conditions that are too many to be
    compared leave everything possible.
    """
    dims = taken_apart.dimensions(query, spec, side)
    name = taken_apart.table_of(query, side)
    dataset, where = spec.dataset(name), query.where(name)
    unmatched = (MISSING,) * len(dims) if side == taken_apart.RIGHT and query.join == "left" else None
    found = set()
    space = Space()
    for levels in product(*(d.levels for d in dims)):
        never = any(
            level == MISSING and not isinstance(d.column, Banded) and dataset.columns[d.column.column].required
            for d, level in zip(dims, levels, strict=True)
        )
        try:
            rows = space.of(where, dataset)
            for d, level in zip(dims, levels, strict=True):
                rows = space.both(rows, _rows(space, dataset, d, level))
            some = not never and rows != NONE
        except Undecided:
            some = True
        if some or levels == unmatched:
            found.add(levels)
    return dims, frozenset(found)


def _rows(space: Space, dataset: Dataset, dimension: Dimension, level: str) -> int:
    """The rows at a level: of a CASE those on which a branch of it is the first that is true."""
    band = dimension.column
    if not isinstance(band, Banded):
        return space.of(_level(dimension, level), dataset)
    found, earlier = NONE, NONE
    for when, own in band.branches:
        true = space.of(when, dataset)
        if own == level:
            found = space.either(found, space.without(true, earlier))
        earlier = space.either(earlier, true)
    rest = level == (MISSING if band.otherwise is None else band.otherwise)
    return space.either(found, space.without(EVERY, earlier)) if rest else found


def _level(dimension: Dimension, level: str) -> Predicate:
    name = dimension.column.column
    return IsNull(name, negated=False) if level == MISSING else Compare(name, "=", level)
