"""Rules on single contributions to sums, on shares: the greatest of each cell, and whether they are too great.

``greatest`` goes on where ``rows.filtered`` ends. What a row adds to a sum is what one person adds to it in one cell, 0
if it adds nothing. Each cell has rows more, which everybody knows: one that stands before its contributions, and so
many of 0 that there are as many to read as are asked for. So all cells are there, in one public order, whoever is in
them. Contributions stand in descending order; what the greatest n come to is then a sum of the n rows behind the first.

``allowed`` compares that with the sums, before anything of them is opened. Nothing is opened in either.

Source:  the rules in the clear, tests/oracles/control.py; docs/adr/0027-dominance.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pets.errors import InternalError
from pets.kernels.shares import PLANE
from pets.protocols.base import Role
from pets.protocols.rep3 import order, sharing
from pets.protocols.rep3.groups import counted, fronted
from pets.protocols.rep3.sharing import Bits, Context, Words

U64 = npt.NDArray[np.uint64]

A = 0
"""The party that knows which of its cells a row is in."""


@dataclass(frozen=True, slots=True)
class Column:
    """A sum whose contributions are put in order: each is below 2^``bits`` - 1.

    ``values`` and ``count``: where, among what is summed, its values and ones begin, one column a cell of b. With
    ``spread`` each row stands once for every cell of b. ``own``: the factor of role a that its unmatched rows add, too,
    in the last cell of b; None if only matched rows count.
    """

    values: int
    count: int
    bits: int
    spread: bool
    own: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """Public parameters. ``rows``: entries of a's list, as ``rows.Shape`` has them; cells: ``g`` of a, ``h`` of b."""

    rows: int
    g: int
    h: int
    columns: tuple[Column, ...]
    tops: tuple[int, ...]
    last: int = 0
    """Where groups are told apart on shares: how far the last of b's cells is behind its first; h is 1 then."""

    @property
    def cells(self) -> int:
        return self.g * self.h

    @property
    def more(self) -> int:
        """Rows that everybody knows, a cell."""
        return max(self.tops)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is held against what. ``held``: a sum and the count of persons that it rests on, by number.

    ``shares``: (n, a, b): the greatest n may not be a / b of the sum. ``p``: (c, d): all but two may not be less than
    c / d of the greatest. ``tops``: of how many greatest there are the sums.
    """

    held: tuple[tuple[int, int], ...] = ()
    tops: tuple[int, ...] = ()
    shares: tuple[tuple[int, int, int], ...] = ()
    p: tuple[int, int] | None = None

    @property
    def zero(self) -> bool:
        """Whether a sum of 0 has to be found: rules of both kinds together find it without."""
        return not (self.shares and self.p)

    @property
    def comparisons(self) -> int:
        """Of each sum that is held."""
        return len(self.shares) + (self.p is not None) + self.zero


NONE = Rules()
"""No rule, and no sum that is held against one."""


@dataclass(frozen=True, slots=True, repr=False)
class Own:
    """What role a puts in, in the order of its list: its cell of each entry, (listed,), any where no row lies, or None
    where groups are told apart on shares; its factors, (listed,) each, 0 where no row lies. None at the others.
    """

    cell: U64 | None
    factors: Sequence[U64] | None

    def __repr__(self) -> str:
        return "Own(***)"


def greatest(
    ctx: Context, shape: Shape, summed: Sequence[Words], own: Own, key: Words | None = None
) -> Role[list[Words]]:
    """Of each sum, what the greatest n contributions come to in every cell, for each n of ``tops``.

    Shapes:  ``summed``: what ``rows.filtered`` gives, (rows,) each; ``key``: the cell of each row, (rows,), where
             groups are told apart on shares, of b's first where no row of b lies. Results (cells,), cells of b
             outermost, or in the order of keys, as ``control.protect`` has them.
    Sizes:   ``in``: a word a row but with ``key``, and one for each sum with ``own``; for each sum ``sorted_by`` with
             two columns and ``fronted`` of the rows, once or ``spread``, and ``more`` a cell.
    Learned: nothing: only operations of rep3 that tell nothing.
    Raises:  PeerError peer.positions as they do.
    """
    if (own.factors is None) != (ctx.me != A) or (own.cell is None) != (ctx.me != A or key is not None):
        raise InternalError("internal.bug", where="what parties bring to contributions")
    outer = [column.own for column in shape.columns if column.own is not None]
    words, mine = None, [] if own.cell is None else [own.cell]
    if own.factors is not None:
        mine += [own.factors[place] for place in outer]
        words = np.concatenate([np.zeros(0, np.uint64), *(_padded(each, shape.rows) for each in mine)])
    parts: list[Words] = []
    if many := len(outer) + (key is None):
        given = yield from sharing.given(ctx, A, words, many * shape.rows)
        parts = [given[slice(at * shape.rows, (at + 1) * shape.rows)] for at in range(many)]
    cells = parts.pop(0) if key is None else key
    found: list[Words] = []
    for column in shape.columns:
        local = parts.pop(0) if column.own is not None else None
        found += yield from _of(ctx, shape, column, summed, cells, local)
    return found


def _of(
    ctx: Context, shape: Shape, column: Column, summed: Sequence[Words], cells: Words, local: Words | None
) -> Role[list[Words]]:
    """The greatest contributions to one sum."""
    values = list(summed[column.values : column.values + shape.h])
    if local is not None and shape.last:  # all of a's rows: without a match they are in the last of b's cells
        there = summed[column.count]
        cells = cells + (sharing.public(ctx, 1, shape.rows) - there).times(shape.last)
        values = [local]
    elif local is not None:  # unmatched rows, too, are in the last cell of b; matched ones have it less there
        values[-1] = values[-1] + local
    if column.spread:
        starts = [sharing.public(ctx, number * shape.g, shape.rows) for number in range(shape.h)]
        value, cell = sharing.joined(*values), sharing.joined(*(cells + start for start in starts))
    else:  # a row adds to one cell of b at most, and its number times g is the cell's part
        value, cell = values[0], cells
        for number in range(1, shape.h):
            value = value + values[number]
            cell = cell + summed[column.count + number].times(number * shape.g)
    unit, last = 1 << column.bits, sharing.public(ctx, (1 << column.bits) - 1, value.rows)
    known = counted(ctx, shape.cells).times(unit)
    nothing = known + sharing.public(ctx, unit - 1, shape.cells)
    keys = sharing.joined(cell.times(unit) + last - value, known, *[nothing] * (shape.more - 1))
    marks = sharing.joined(sharing.public(ctx, 0, value.rows), sharing.public(ctx, 1, shape.cells))
    rest = shape.cells * (shape.more - 1)
    begins = sharing.joined(marks, sharing.public(ctx, 0, rest))
    contributed = sharing.joined(value, sharing.public(ctx, 0, shape.cells + rest))
    beyond = shape.last if local is not None else 0  # of rows that add nothing the cell may be none
    bits = (shape.cells + beyond << column.bits).bit_length()
    _, (begins, contributed) = yield from order.sorted_by(ctx, keys, bits, [begins, contributed])
    sums, behind = [], sharing.public(ctx, 0, contributed.rows)
    for place in range(1, shape.more + 1):
        behind = behind + _moved(ctx, contributed, place)
        if place in shape.tops:
            sums.append(behind)
    front = yield from fronted(ctx, begins, sums)
    return [each[slice(0, shape.cells)] for each in front]


def differences(rules: Rules, ctx: Context, sums: Sequence[Words], tops: Sequence[Words]) -> list[Words]:
    """What is compared with 0, sum after sum: rule after rule, then whether the sum is 0 where ``rules.zero``.

    Shapes:  ``sums`` and ``tops``, (rows,) each: those that are held, and what ``greatest`` gives of them, in order.
    """
    found: list[Words] = []
    for number, total in enumerate(sums):
        own = tops[number * len(rules.tops) : (number + 1) * len(rules.tops)]
        largest = dict(zip(rules.tops, own, strict=True))
        found += [largest[n].times(whole) - total.times(part) for n, part, whole in rules.shares]
        if rules.p is not None:
            part, whole = rules.p
            found.append((total - largest[2]).times(whole) - largest[1].times(part))
        if rules.zero:
            found.append(total - sharing.public(ctx, 1, total.rows))
    return found


def allowed(rules: Rules, ctx: Context, negative: Bits) -> Role[Bits]:
    """One bit a held sum and row, sum after sum: no rule withholds it. Where p % holds, not one of 0 either.

    Shapes:  ``negative``: which of the ``differences`` are below zero, (one plane, all rows after each other).
    Sizes:   ``and``: a bit a sum and row, for each rule but one, and for 0 where there is no rule (n, k).
    """
    many, width = len(rules.held), negative.own.shape[1] // (len(rules.held) * rules.comparisons)

    def part(place: int) -> Bits:
        at = [number * rules.comparisons + place for number in range(many)]
        own, following = (
            np.concatenate([plane[0, each * width : (each + 1) * width] for each in at])[None, :]
            for plane in (negative.own, negative.next)
        )
        return Bits(own, following, many * width * PLANE)

    right = [part(place) for place in range(len(rules.shares))]
    if rules.p is not None:
        right.append(sharing.flipped(ctx, part(len(rules.shares))))
    if rules.zero and rules.p is not None:
        right.append(sharing.flipped(ctx, part(rules.comparisons - 1)))
    whole, *others = right
    for other in others:
        whole = yield from sharing.conjoin(ctx, whole, other)
    if rules.p is None:  # of 0 nobody has a share, and no strict comparison lets it pass: the two bits add up
        whole = whole ^ part(rules.comparisons - 1)
    return whole


def _moved(ctx: Context, x: Words, places: int) -> Words:
    """Each row's ``places``-th behind it; 0 where there is none."""
    return sharing.joined(x[slice(places, None)], sharing.public(ctx, 0, min(places, x.rows)))


def _padded(column: U64, rows: int) -> U64:
    out = np.zeros(rows, np.uint64)
    out[: column.size] = column
    return out
