"""Greatest and least of columns, and values at ranks that nobody knows: medians and other quantiles of one column.

A released order statistic is one person's value: whether it may be released is the promise's to say, not this module's.

Source:  protocols.md 4.10; tournament: any text on parallel algorithms.
"""

from collections.abc import Sequence

import numpy as np

from pets.kernels import shares
from pets.kernels.jit import U64Array
from pets.kernels.shares import PLANE
from pets.protocols.base import Role
from pets.protocols.rep3.compare import all_of, negative, to_bits, to_words
from pets.protocols.rep3.groups import Rank, check_ranks
from pets.protocols.rep3.products import inner_products
from pets.protocols.rep3.rounding import quotient
from pets.protocols.rep3.sharing import Bits, Context, Words, joined, multiply, public


def greater(ctx: Context, x: Words, y: Words) -> Role[Words]:
    """The greater of x and y, row by row, for |x - y| < 2^63.

    Sizes:   ``negative``, ``to_words`` and ``mul`` of a row; 10 rounds. Learned: nothing.
    """
    (below,) = yield from to_words(ctx, (yield from negative(ctx, x - y)))
    return x + (yield from multiply(ctx, below, y - x))


def greatest(ctx: Context, x: Words, columns: int = 1) -> Role[Words]:
    """The greatest value of each of so many columns of one length, which stand after each other; |x| < 2^62.

    Sizes:   ``greater`` of half the rows of all columns, then a quarter, and so on; 10 ceil(log2 rows) rounds.
    Learned: nothing. Raises: ValueError if the rows are not so many whole columns, or none.
    """
    if columns < 1 or x.rows < columns or x.rows % columns:
        raise ValueError("whole columns of at least one row")
    own, following = x.own.reshape(columns, -1), x.next.reshape(columns, -1)
    while own.shape[1] > 1:
        half = own.shape[1] // 2
        one, other = (_cut(own, following, slice(at, at + half)) for at in (0, half))
        best = yield from greater(ctx, one, other)
        own = np.concatenate([best.own.reshape(columns, half), own[:, 2 * half :]], axis=1)
        following = np.concatenate([best.next.reshape(columns, half), following[:, 2 * half :]], axis=1)
    return Words(own.reshape(-1), following.reshape(-1))


def least(ctx: Context, x: Words, columns: int = 1) -> Role[Words]:
    """The least value of each column. Sizes and errors: those of ``greatest``."""
    return (yield from greatest(ctx, x.times(-1), columns)).times(-1)


def at_ranks(ctx: Context, x: Words, ranks: Words) -> Role[Words]:
    """The value of x in each of some rows that nobody knows, from 0; 0 for a rank of -1 and for one beyond the last.

    Shapes:  x (n,), ranks (p,), each -1 <= rank < 2^ceil(log2(n + 1)) - 1; result (p,).
    Sizes:   with b = ceil(log2(n + 1)): ``to_bits`` of p rows and b bits; ``and``: p (b - 1) planes of n rows;
             ``to_words`` of p planes, ``dot``: p words; 5 + 2 ceil(log2 b) rounds, without rank -1 as with it.
    Learned: nothing.
    """
    bits, width, points = x.rows.bit_length(), -(-x.rows // PLANE), ranks.rows
    secret = yield from to_bits(ctx, ranks, bits)
    spread = Bits(_spread(secret.own, points, width), _spread(secret.next, points, width), points * width * PLANE)
    places = np.tile(~shares.planes(np.arange(width * PLANE, dtype=np.uint64), bits), points)
    zero = np.zeros_like(places)
    same = spread ^ Bits(places if ctx.me == 0 else zero, places if ctx.me == 2 else zero, spread.rows)
    (chosen,) = yield from to_words(ctx, (yield from all_of(ctx, same)))
    rest = public(ctx, 0, width * PLANE - x.rows)
    column = joined(x, rest)
    return (yield from inner_products(ctx, chosen, joined(*([column] * points)), width * PLANE))


def quantiles(ctx: Context, x: Words, count: Words, ranks: Sequence[Rank]) -> Role[Words]:
    """Values of x at ranks among its first ``count`` rows, which stand in ascending order; 0 for a rank below 0.

    Where ``count`` is 0 a rank may be 0: rows beyond the count hold 0, or the result is taken for nothing.

    Shapes:  x (n,), count (1,) with 0 <= count <= n; result (ranks,).
    Sizes:   those of ``quotient`` of as many rows as ranks, and of ``at_ranks``.
    Learned: nothing. Raises: ValueError on ranks out of range.
    """
    divisor = check_ranks(ranks, x.rows)
    asked = joined(*(count.times(rank.times) + public(ctx, rank.plus, 1) for rank in ranks))
    found = yield from quotient(ctx, asked, divisor)
    return (yield from at_ranks(ctx, x, found + joined(*(public(ctx, rank.shift, 1) for rank in ranks))))


def _cut(own: U64Array, following: U64Array, rows: slice) -> Words:
    return Words(own[:, rows].reshape(-1), following[:, rows].reshape(-1))


def _spread(planes: U64Array, rows: int, width: int) -> U64Array:
    """Each row's bit of a plane as a plane of its own, all 0 or all 1: (b, ceil(rows / 64)) gives (b, rows width)."""
    words = np.stack([shares.unplanes(plane[None, :], rows) for plane in planes])
    return np.repeat(np.zeros_like(words) - words, width, axis=1)
