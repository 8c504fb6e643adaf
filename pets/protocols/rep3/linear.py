"""Systems of linear equations in fixed point: the inverse of a positive definite matrix, and solutions, within a bound.

No pivot and no division: X is brought nearer the inverse of A by X (2 - A X), so often that the error is proven for
every A whose eigenvalues are from 2^-least to 1; how often is public. For a smaller eigenvalue the result is an inverse
of less, at most 2^(turns + 1): singular matrices do no harm, and tell nothing; a solution then means nothing.

Matrices are words, row after row, with ``fraction`` bits after the point. All steps truncate exactly (rounding.py), so
results are functions of the values alone.

Source:  Schulz, ZAMM 13, 1933; bounds: docs/adr/0023-inverse-by-products.md.
"""

from fractions import Fraction
from typing import Final

import numpy as np

from pets.protocols.base import Role
from pets.protocols.rep3.products import matrix_product
from pets.protocols.rep3.rounding import shifted
from pets.protocols.rep3.sharing import Context, Words, public

_SCALE: Final = 2**64
"""Bounds are whole numbers of this, rounded up."""

_WIDEST: Final = 59
"""Twice the fraction and the turns: X is at most 2^(turns + 1) even for a singular A, and 2 - A X at most 2."""


def turns(size: int, fraction: int, least: int) -> int:
    """How often X is brought nearer, so that |1 - A X| is at most 4 size 2^-fraction in the spectral norm.

    Raises: ValueError on a range in which that is not so however often, or in which products leave the words.
    """
    return len(_residues(size, fraction, least)) - 1


def error(size: int, fraction: int, least: int) -> tuple[Fraction, Fraction]:
    """How far an inverse (spectral norm), and a solution for |b| <= 1 (Euclidean norm), are off at the most."""
    residue = Fraction(_residues(size, fraction, least)[-1], _SCALE)
    unit, root = Fraction(1, 2**fraction), Fraction(size)  # a root of the size is at most the size
    first = residue * 2**least + root * unit
    left = Fraction(2 ** _cut(size, fraction, least), 2 ** (2 * fraction))
    return residue * 2**least, residue * 2**least * first + 2 * root * left * 2**least + root * unit


def inverted(ctx: Context, a: Words, *, size: int, fraction: int, least: int) -> Role[Words]:
    """The inverse of a symmetric A with eigenvalues from 2^-least to 1, off by ``error`` at the most.

    Shapes:  a and result (size * size,).
    Sizes:   ``turns`` times two products of matrices and their ``shifted``; 2 (5 + ceil(log2 fraction)) rounds each.
    Learned: nothing. Raises: ValueError on another shape or range.
    """
    return (yield from approached(ctx, a, size=size, fraction=fraction, turns=turns(size, fraction, least)))


def approached(ctx: Context, a: Words, *, size: int, fraction: int, turns: int) -> Role[Words]:
    """The same after so many turns, at most 2^(turns + 1) whatever A is.

    Raises: ValueError on another shape, or if products leave the words.
    """
    _check(a, size * size)
    if 2 * fraction + turns > _WIDEST:
        raise ValueError("products that leave the words: fewer bits after the point, or turns")
    twice = _unit(ctx, size, 2 ** (fraction + 1))
    x = twice - a
    for _ in range(turns):
        near = yield from _product(ctx, a, x, size, fraction)
        x = yield from _product(ctx, x, twice - near, size, fraction)
    return x


def solved(ctx: Context, a: Words, inverse: Words, b: Words, *, size: int, fraction: int, least: int) -> Role[Words]:
    """The solution of A x = b for |b| <= 1 in the Euclidean norm, with A's inverse as ``inverted`` gives it.

    What is left over after a first solution is computed without truncation, and solved for in turn.

    Shapes:  a, inverse (size * size,); b and result (size,).
    Sizes:   three products of a matrix and a vector, and two or three ``shifted`` of ``size`` rows.
    Learned: nothing. Raises: ValueError on another shape or range.
    """
    turns(size, fraction, least)
    for words, count in ((a, size * size), (inverse, size * size), (b, size)):
        _check(words, count)
    first = yield from shifted(ctx, (yield from matrix_product(ctx, inverse, b, size)), fraction)
    left = b.times(2**fraction) - (yield from matrix_product(ctx, a, first, size))
    cut = _cut(size, fraction, least)
    if cut:
        left = yield from shifted(ctx, left, cut)
    more = yield from matrix_product(ctx, inverse, left, size)
    return first + (yield from shifted(ctx, more, 2 * fraction - cut))


def transposed(x: Words, rows: int) -> Words:
    """Columns after each other instead of rows. Shapes: (rows * columns,)."""
    own, following = (np.ascontiguousarray(each.reshape(rows, -1).T).reshape(-1) for each in (x.own, x.next))
    return Words(own, following)


# -- parts ------------------------------------------------------------------------------------------------------------


def _residues(size: int, fraction: int, least: int) -> list[int]:
    """Bounds of |1 - A X| before each turn and after the last, in units of 2^-64."""
    if not 1 <= size <= 64 or not 8 <= fraction <= 28 or not 1 <= least <= 20:
        raise ValueError("size 1 to 64, fraction 8 to 28, least 1 to 20")
    noise = 3 * size * _SCALE // 2**fraction
    if 4 * noise > _SCALE >> least:
        raise ValueError("eigenvalues that truncation drowns: more bits after the point, or fewer of least")
    bounds = [_squared(_SCALE - (_SCALE >> least))]
    while bounds[-1] > 4 * size * _SCALE // 2**fraction:
        bounds.append(_squared(bounds[-1]) + noise)
    if 2 * fraction + len(bounds) - 1 > _WIDEST:
        raise ValueError("products that leave the words: fewer bits after the point, or of least")
    return bounds


def _squared(bound: int) -> int:
    return -(-bound * bound // _SCALE)


def _cut(size: int, fraction: int, least: int) -> int:
    """Bits of what is left over that are cut off, so that its product with the inverse stays below 2^61."""
    return max(0, 2 * fraction + 1 + least + ((4 * size << least) + size).bit_length() - 61)


def _check(words: Words, count: int) -> None:
    if words.rows != count:
        raise ValueError("a square matrix, and vectors of its size")


def _unit(ctx: Context, size: int, value: int) -> Words:
    """The unit matrix times a public number."""
    diagonal = np.eye(size, dtype=np.uint64).reshape(-1)
    whole = public(ctx, value, size * size)
    return Words(whole.own * diagonal, whole.next * diagonal)


def _product(ctx: Context, x: Words, y: Words, size: int, fraction: int) -> Role[Words]:
    product = yield from matrix_product(ctx, x, transposed(y, size), size)
    return (yield from shifted(ctx, product, fraction))
