"""Order statistics of matched rows, cell by cell: a part of what three parties compute on rows before they are summed.

``statistics`` goes on where ``rows.filtered`` ends. A row knows its value, whether it counts, and role b's cell of it
by the columns that are summed; role a puts in its own cell. Each cell has one row more, which everybody knows, before
its values: so cells stand in one public order whoever is in them, and where nobody is there is a place to read, which
holds 0. Rows that do not count stand behind a last such row.

Nothing is opened. What comes out goes to disclosure control, and only what that lets pass is shown.

Source:  ``rep3/groups.py`` for the marks; the row more in each cell is our design (docs/adr/0025-order-statistics.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError
from pets.protocols.base import Role
from pets.protocols.rep3 import order, sharing
from pets.protocols.rep3.groups import Rank, counted, grouped, marked
from pets.protocols.rep3.rounding import quotient
from pets.protocols.rep3.sharing import Context, Words

U64 = npt.NDArray[np.uint64]

A = 0
"""The party that knows which of its cells a row is in."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """Values at ranks, by number, added and divided by ``divisor``, half up."""

    ranks: tuple[int, ...]
    divisor: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose values are put in order.

    ``values`` and ``count``: where, among what is summed, its values and ones begin, one column a cell of b. A value
    less ``base`` has ``bits`` bits and is above 0. Ranks are from the row that a cell has before its values.
    """

    values: int
    count: int
    base: int
    bits: int
    ranks: tuple[Rank, ...]
    statistics: tuple[Statistic, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """Public parameters. ``rows``: entries of a's list, as ``rows.Shape`` has them; cells: ``g`` of a, ``h`` of b."""

    rows: int
    g: int
    h: int
    columns: tuple[Column, ...]

    @property
    def cells(self) -> int:
        return self.g * self.h


def statistics(
    ctx: Context, shape: Shape, summed: Sequence[Words], cell: U64 | None, key: Words | None = None
) -> Role[list[Words]]:
    """Each statistic of each column: a number a cell, cells of b outermost, as ``control.protect`` has them.

    A cell of nobody has 0; else the values at the ranks less the base, added, divided.

    Shapes:  ``summed``: what ``rows.filtered`` gives, (rows,) each; ``cell`` at role a: its own cell of each entry of
             its list, (listed,), any where no row lies; or instead ``key``: the cell of each row, (rows,), where
             groups are told apart on shares. Results (cells,).
    Sizes:   a word a row from a, without ``key``; for each column ``mul``: a word a row, then ``sorted_by``,
             ``marked``, ``mul`` and ``grouped`` of cells + 1 rows more, and ``quotient`` of a cell for each statistic
             that is divided.
    Learned: nothing: only operations of rep3 that tell nothing.
    Raises:  PeerError peer.positions as they do.
    """
    if (cell is None) != (ctx.me != A or key is not None):
        raise InternalError("internal.bug", where="what parties bring to values in order")
    own = None
    if cell is not None:
        own = np.zeros(shape.rows, np.uint64)
        own[: cell.size] = cell
    cells = key
    if cells is None:
        cells = yield from sharing.given(ctx, A, own, shape.rows)
    found: list[Words] = []
    for column in shape.columns:
        found += yield from _of(ctx, shape, column, summed, cells)
    return found


def _of(ctx: Context, shape: Shape, column: Column, summed: Sequence[Words], cells: Words) -> Role[list[Words]]:
    """The statistics of one column."""
    there, value, cell = _added(summed, column.count, shape.h), _added(summed, column.values, shape.h), None
    for number in range(1, shape.h):  # a row counts in one cell of b at most, and its number times g is the cell's part
        part = summed[column.count + number].times(number * shape.g)
        cell = part if cell is None else cell + part
    beside = yield from sharing.multiply(ctx, there, cells)
    cell = beside if cell is None else cell + beside
    value = value - there.times(column.base)
    end, unit = (shape.cells << column.bits) + 1, 1 << column.bits
    key = cell.times(unit) + value + sharing.public(ctx, end, shape.rows) - there.times(end)
    marks = sharing.public(ctx, 1, shape.cells + 1)
    begins = sharing.joined(sharing.public(ctx, 0, shape.rows), marks)
    valid = sharing.joined(there, sharing.public(ctx, 1, shape.cells), sharing.public(ctx, 0, 1))
    values = sharing.joined(value, sharing.public(ctx, 0, shape.cells + 1))
    keys = sharing.joined(key, counted(ctx, shape.cells + 1).times(unit))
    _, (begins, valid, values) = yield from order.sorted_by(ctx, keys, end.bit_length(), [begins, valid, values])
    at = yield from marked(ctx, begins, valid, column.ranks, shape.cells)
    read = yield from sharing.multiply(ctx, sharing.joined(*at), sharing.joined(*[values] * len(at)))
    parts = [read[slice(n * values.rows, (n + 1) * values.rows)] for n in range(len(at))]
    _, chosen = yield from grouped(ctx, begins, valid, most=shape.cells, sums=parts)
    found = []
    for statistic in column.statistics:
        first, *others = (chosen[rank] for rank in statistic.ranks)
        for other in others:
            first = first + other
        if statistic.divisor > 1:
            half = sharing.public(ctx, statistic.divisor // 2, shape.cells)
            first = yield from quotient(ctx, first + half, statistic.divisor)
        found.append(first)
    return found


def _added(summed: Sequence[Words], first: int, count: int) -> Words:
    whole, *others = summed[first : first + count]
    for other in others:
        whole = whole + other
    return whole
