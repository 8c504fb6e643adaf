"""Products of more than two numbers at a time: bits times words, and sums of products whatever their length.

Source: Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016 (products); Mohassel, Rindal, CCS 2018 (bit times word);
        protocols.md 4.2 and 4.5.
"""

import numpy as np

from pets.kernels.jit import U64Array
from pets.protocols.base import Role
from pets.protocols.rep3.compare import to_words
from pets.protocols.rep3.sharing import Bits, Context, Words, added_up, joined, multiply


def injected(ctx: Context, bits: Bits, x: Words) -> Role[Words]:
    """Each row of x where its bit is 1, else 0. With several planes, x has the rows of one after those of another.

    Sizes:   ``in``: a word a row and plane; ``mul``: two; 3 rounds. Learned: nothing.
    Raises:  ValueError if x has not as many rows as there are bits.
    """
    if x.rows != bits.bits * bits.rows:
        raise ValueError("a row for each bit")
    return (yield from multiply(ctx, joined(*(yield from to_words(ctx, bits))), x))


def chosen(ctx: Context, bits: Bits, x: Words, y: Words) -> Role[Words]:
    """x where the bit is 1, y where it is 0. Sizes and errors: those of ``injected``."""
    return y + (yield from injected(ctx, bits, x - y))


def inner_products(ctx: Context, x: Words, y: Words, length: int) -> Role[Words]:
    """Sum of x y over each ``length`` rows that stand together: one word an output, whatever the length.

    Shapes:  x and y (outputs * length,); result (outputs,).
    Sizes:   ``dot``: a word an output to the party before; 1 round. Learned: nothing.
    Raises:  ValueError if the rows are not so many times ``length``.
    """
    if length < 1 or x.rows != y.rows or x.rows % length:
        raise ValueError("two columns of whole vectors of one length")
    part = x.own * (y.own + y.next)
    part += x.next * y.own
    return (yield from added_up(ctx, part.reshape(-1, length).sum(axis=1, dtype=np.uint64)))


def matrix_product(ctx: Context, x: Words, y: Words, inner: int) -> Role[Words]:
    """Every vector of x with every vector of y: with x^T and y^T as columns after each other, the rows of x y^T.

    Shapes:  x (outer * inner,), y (across * inner,): vectors of length ``inner`` after each other, as ``joined`` puts
             columns; result (outer * across,), in the order of x, then of y.
    Sizes:   ``dot``: a word an output to the party before, outer * across; 1 round. Learned: nothing.
    Raises:  ValueError if either is no whole number of vectors.
    """
    if inner < 1 or x.rows % inner or y.rows % inner:
        raise ValueError("whole vectors of one length")
    a, b, c, d = (each.reshape(-1, inner) for each in (x.own, x.next, y.own, y.next))
    part = _crossed(a, c + d)
    part += _crossed(b, c)
    return (yield from added_up(ctx, part.reshape(-1)))


def _crossed(a: U64Array, b: U64Array) -> U64Array:
    """Sums of products of all pairs of rows: (p, n) and (q, n) give (p, q)."""
    out = np.empty((len(a), len(b)), np.uint64)
    for place, row in enumerate(a):
        out[place] = [np.dot(row, other) for other in b]
    return out
