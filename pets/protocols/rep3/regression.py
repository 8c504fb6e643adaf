"""Regressions on columns that nobody knows: least squares and their standard errors; logistic.py has another model.

Columns are fixed point with |x| <= 1, which a plan sees to by declared ranges; one of ones is the intercept. Rows that
do not count hold 0 in every column, and in y. How many do is not told. Sums are divided by 2^k >= rows times columns
before anything is inverted, so that no eigenvalue is above 1; ``least`` says down to which one an inverse is good
(linear.py).

Source:  McCullagh, Nelder, Generalized Linear Models, 1989, section 2.5; docs/adr/0023-inverse-by-products.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pets.protocols.base import Role
from pets.protocols.rep3 import fixed
from pets.protocols.rep3.linear import inverted, turns
from pets.protocols.rep3.products import matrix_product
from pets.protocols.rep3.ratio import root
from pets.protocols.rep3.rounding import shifted
from pets.protocols.rep3.sharing import Context, Words, inner_product, joined, public


@dataclass(frozen=True, slots=True)
class Design:
    """Public numbers of a regression: rows, columns, bits after the point, and -log2 of the least eigenvalue."""

    rows: int
    columns: int
    fraction: int
    least: int

    def __post_init__(self) -> None:
        turns(self.columns, self.fraction, self.least)
        if not fixed.LEAST_FRACTION <= self.fraction <= fixed.GREATEST_FRACTION or self.rows < 1:
            raise ValueError("a fraction of 8 to 20 bits, and a row at least")
        if self.scale + 2 * self.fraction > 61:
            raise ValueError("sums of products leave the words: fewer rows, columns or bits after the point")

    @property
    def scale(self) -> int:
        """k: sums are divided by 2^k."""
        return (self.rows * self.columns - 1).bit_length()

    @property
    def extra(self) -> int:
        """Bits of a gradient beyond the last place: its product with an inverse stays below 2^60."""
        room = 59 - 2 * self.fraction - turns(self.columns, self.fraction, self.least)
        return min(room, self.fraction + self.scale - 1)

    @property
    def cut(self) -> int:
        """Bits of a gradient that are cut off: a public number of the card."""
        return self.fraction + self.scale - self.extra


def least_squares(ctx: Context, design: Design, columns: Sequence[Words], y: Words) -> Role[tuple[Words, Words]]:
    """Coefficients for |y| <= 1, and the inverse of X^T X / 2^k: both with ``fraction`` bits after the point.

    What is left over after a first solution is computed row by row, and solved for in turn.

    Shapes:  columns (rows,) each, y (rows,); coefficients (columns,), inverse (columns * columns,).
    Sizes:   three products of matrices, ``inverted``, ``inner_product`` and ``shifted`` of a row, and ``_ahead`` twice.
    Learned: nothing. Raises: ValueError on other shapes.
    """
    _check(design, columns, y)
    x = joined(*columns)
    inverse = yield from _inverse(ctx, design, x, x, 0)
    first = yield from _ahead(ctx, design, x, y, inverse, 0)
    fitted = yield from _scores(ctx, design, columns, first, 2 ** (design.fraction - 1))
    return first + (yield from _ahead(ctx, design, x, y - fitted, inverse, 0)), inverse


def deviations(ctx: Context, design: Design, inverse: Words, variance: int) -> Role[Words]:
    """Standard errors: roots of the diagonal of an inverse times 2^variance, rounded down to ``fraction`` bits.

    Shapes:  inverse (columns * columns,); result (columns,).
    Sizes:   those of ``ratio.root`` of 60 bits, and of ``shifted`` if ``fraction`` + variance < 0.
    Learned: nothing. Raises: ValueError on a variance for which a diagonal of 1 has no root in words.
    """
    diagonal = np.arange(design.columns) * (design.columns + 1)
    found = Words(inverse.own[diagonal], inverse.next[diagonal])
    places = design.fraction + variance
    if not -62 <= places < 60 - design.fraction:
        raise ValueError("a variance that leaves the words")
    if places < 0:
        found = yield from shifted(ctx, found, -places)
    return (yield from root(ctx, found.times(2 ** max(places, 0)), 60))


# -- parts ------------------------------------------------------------------------------------------------------------


def _scores(ctx: Context, design: Design, columns: Sequence[Words], coefficients: Words, more: int) -> Role[Words]:
    """x b row by row, rounded down after adding ``more`` in the last places."""
    pairs = [(each, _everywhere(coefficients[slice(at, at + 1)], design.rows)) for at, each in enumerate(columns)]
    whole = yield from inner_product(ctx, pairs)
    return (yield from shifted(ctx, whole + public(ctx, more, design.rows), design.fraction))


def _inverse(ctx: Context, design: Design, left: Words, x: Words, more: int) -> Role[Words]:
    """The inverse of 2^more left x^T / 2^k, a symmetric matrix."""
    square = yield from matrix_product(ctx, left, x, design.rows)
    cut = design.fraction + design.scale - more
    nearest = _mirrored(square, design.columns) + public(ctx, 2 ** (cut - 1), design.columns**2)
    a = yield from shifted(ctx, nearest, cut)
    return (yield from inverted(ctx, a, size=design.columns, fraction=design.fraction, least=design.least))


def _ahead(ctx: Context, design: Design, x: Words, residue: Words, inverse: Words, more: int) -> Role[Words]:
    """2^more times the inverse times x residue / 2^k: with as many more bits after the point as words have room for.

    Sizes:   two products of matrices, and ``shifted`` of ``columns`` rows twice.
    """
    slope = yield from matrix_product(ctx, x, residue, design.rows)
    b = yield from shifted(ctx, slope, design.cut)
    product = yield from matrix_product(ctx, inverse, b, design.columns)
    return (yield from shifted(ctx, product, design.fraction + design.extra - more))


def _mirrored(x: Words, size: int) -> Words:
    """A symmetric matrix from what stands on and above the diagonal."""
    rows, columns = np.indices((size, size))
    place = (np.minimum(rows, columns) * size + np.maximum(rows, columns)).reshape(-1)
    return Words(x.own[place], x.next[place])


def _everywhere(x: Words, rows: int) -> Words:
    return Words(np.repeat(x.own, rows), np.repeat(x.next, rows))


def _check(design: Design, columns: Sequence[Words], y: Words) -> None:
    if len(columns) != design.columns or any(each.rows != design.rows for each in (*columns, y)):
        raise ValueError("as many columns and rows as the design says")
