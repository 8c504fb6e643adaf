"""Groups of both sides told apart on shares: sums of every cell, from rows of which nobody knows the cell.

Where role b's own groups are too many to be one column each, b brings the number of a row's group as one column, and
role a puts in its own. Both together are a key below the number of cells, on shares; a row that does not count has 0 in
every column that is summed, and any key. ``sums`` goes on where ``rows.filtered`` ends.

Nothing is opened. What comes out is a share of each sum of each cell, in the order of the table.

Source:  ``rep3/tables.py``, ``summed_by``; docs/adr/0029-groups-of-both-sides.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pets.protocols.base import Role
from pets.protocols.rep3 import tables
from pets.protocols.rep3.sharing import Context, Words

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Shape:
    """Public parameters. ``a``, ``b``: cells of each side; ``levels`` of a CASE over both tables, 1 without.

    Cell i of a with cell j of b at level l is number (i * b + j) * levels + l.

    ``outer``: of which summed columns unmatched rows count as well, in the last cell of b (LEFT JOIN). Role a adds all
    its rows there, matched or not, so those that match are taken off.
    """

    a: int
    b: int
    levels: int = 1
    outer: tuple[int, ...] = ()

    @property
    def cells(self) -> int:
        return self.a * self.b * self.levels

    @property
    def bits(self) -> int:
        """Bits of a key."""
        return max(1, (self.cells - 1).bit_length())

    def key(self, of_a: Words, of_b: Words, levels: Sequence[Words] = ()) -> Words:
        """The number of each row's cell; ``levels``: 1 in rows at a level, for each but the first. No message."""
        whole = (of_a.times(self.b) + of_b).times(self.levels)
        for number, level in enumerate(levels, 1):
            whole = whole + level.times(number)
        return whole


def sums(ctx: Context, shape: Shape, key: Words, columns: Sequence[Words]) -> Role[list[Words]]:
    """The sum of each column over the rows of each cell.

    Shapes:  key, columns (rows,); results (cells,).
    Sizes:   those of ``tables.summed_by``. Learned: nothing. Raises: as it does.
    """
    found = yield from tables.summed_by(ctx, key, shape.bits, columns, shape.cells)
    for number in shape.outer:
        found[number] = Words(*(_without(shape, part) for part in (found[number].own, found[number].next)))
    return found


def _without(shape: Shape, part: U64) -> U64:
    """Less the sum over all cells of b, in the last of them."""
    out = part.reshape(shape.a, shape.b).copy()
    out[:, -1] -= out.sum(axis=1, dtype=np.uint64)
    return out.ravel()
