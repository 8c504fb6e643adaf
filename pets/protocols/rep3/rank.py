"""The order of shuffled rows, found by comparing them and opening which of two is less.

Rows were shuffled before and no two keys are equal, so the order that comes out is uniform whatever the keys are, and
every comparison's outcome follows from that order: opening outcomes tells nothing else. How many comparisons there are,
in which step, follows from the number of rows alone.

The first 1,023 rows are compared each with each. Then sixteen times as many are found their gap among those that are in
order, by halving, and rows that fall into one gap are compared each with each.

Source:  Hamada, Kikuchi, Ikarashi, Chida, Takahashi, ICISC 2012 (shuffle, compare, open); the steps of fixed size are
         our design (docs/adr/0020-sort-by-opened-comparisons.md).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from pets.errors import PeerError
from pets.kernels import ranks, shares
from pets.kernels.jit import U8Array, U32Array, U64Array
from pets.kernels.ranks import DIGIT
from pets.protocols.base import Role
from pets.protocols.rep3.compare import folded
from pets.protocols.rep3.sharing import Bits, Context, conjoin, flipped, masked_planes, opened_flags, stacked

FIRST: Final = 10
"""Two to this, less one, rows are compared each with each."""

GROWTH: Final = 4
"""A step takes in rows until there are two to this as many gaps."""

SLACK: Final = 1 << 19
"""Pairs in common gaps beyond a sixteenth more than are expected: more are met with a chance below 2^-60."""


def stages(rows: int) -> Iterator[tuple[int, int, int]]:
    """How many rows are in order, how many are after the step, and the pairs that it compares, last step last."""
    before, gaps = 0, 1
    while before < rows:
        gaps = 1 << FIRST if gaps == 1 else gaps << GROWTH
        after = min(rows, gaps - 1)
        fresh = after - before
        yield before, after, min(fresh * (fresh - 1) // 2, 17 * fresh**2 // (16 * (before + 1)) + SLACK)
        before = after


def ranked(ctx: Context, keys: Bits) -> Role[U32Array]:
    """The order of rows by their keys, all different, which must have been shuffled: (rows,) row numbers, least first.

    Sizes:   for d digits: ``and``: 11 planes a digit once; then 2 d - 1 planes and a tree of fewer than 2 d, ``open`` a
             plane, of so many rows as each step compares. 2 rounds, and 2 + ceil(log2 d) a step.
    Learned: the order, which is uniform.
    Raises:  PeerError peer.positions if comparisons contradict each other, or if so many rows lie in common gaps as
             chance does not put there (2^-60).
    """
    table = yield from _digits(ctx, keys)
    order = np.empty(0, np.uint32)
    try:
        for before, after, count in stages(keys.rows):
            fresh = np.arange(before, after, dtype=np.uint32)
            place = np.zeros(fresh.size, np.uint32)
            for step in reversed(range((before + 1).bit_length() - 1)):
                half = np.uint32(1 << step)
                less = yield from table.compared(ctx, fresh, order.take(place + (half - np.uint32(1))))
                place += half * (np.uint32(1) - less)
            left, right, total = ranks.pairs(place, before + 1, count)
            first = np.uint32(before)
            less = yield from table.compared(ctx, left + first, right + first)
            order = ranks.merged(order, before, place, left, right, less, total)
    except ValueError as error:
        raise PeerError("peer.positions", label="open") from error
    return order


class _Table:
    """Keys of all rows as digits, each one of sixteen bits, under sharing."""

    def __init__(self, keys: U64Array, digits: int) -> None:
        self._keys: Final = keys
        self._digits: Final = digits

    def compared(self, ctx: Context, left: U32Array, right: U32Array) -> Role[U8Array]:
        """1 where row left[i] is less than row right[i]: opened."""
        if not left.size:
            return np.empty(0, np.uint8)
        part = ranks.less_and_equal(self._keys, left, right, self._digits)
        found = yield from masked_planes(ctx, part, left.size)
        less, equal = found[slice(0, self._digits)], found[slice(self._digits, None)]
        return (yield from opened_flags(ctx, (yield from folded(ctx, less, equal))))


def _digits(ctx: Context, keys: Bits) -> Role[_Table]:
    """Each digit as one of sixteen bits. Sizes: ``and``: 2 planes a digit, then 9; 2 rounds."""
    digits = -(-keys.bits // DIGIT)
    missing = np.zeros((digits * DIGIT - keys.bits, keys.own.shape[1]), np.uint64)
    whole = stacked(keys, Bits(missing, missing, keys.rows))
    low, second, third, high = (whole[slice(bit, None, DIGIT)] for bit in range(DIGIT))
    both = yield from conjoin(ctx, stacked(high, second), stacked(third, low))
    upper = _one_of_four(ctx, third, high, both[slice(0, digits)])
    lower = _one_of_four(ctx, low, second, both[slice(digits, None)])
    left = stacked(*(upper[i] for i in range(1, 4) for _ in range(1, 4)))
    products = yield from conjoin(ctx, left, stacked(*(lower[j] for _ in range(1, 4) for j in range(1, 4))))
    ones: list[list[Bits]] = [[products[slice(0, 0)]] * 4 for _ in range(4)]
    for i in range(1, 4):
        for j in range(1, 4):
            at = 3 * (i - 1) + j - 1
            ones[i][j] = products[slice(digits * at, digits * (at + 1))]
    for i in range(1, 4):
        ones[i][0] = upper[i] ^ ones[i][1] ^ ones[i][2] ^ ones[i][3]
    for j in range(4):
        ones[0][j] = lower[j] ^ ones[1][j] ^ ones[2][j] ^ ones[3][j]
    flat = [each for row in ones for each in row]
    table = ranks.table(keys.rows, digits)
    half = table.shape[1] // 2
    _fill(table[:, :half], [each.own for each in flat])
    _fill(table[:, half:], [each.next for each in flat])
    return _Table(table, digits)


def _one_of_four(ctx: Context, low: Bits, high: Bits, both: Bits) -> list[Bits]:
    """Two bits and their product as one of four bits."""
    return [flipped(ctx, low ^ high ^ both), low ^ both, high ^ both, both]


def _fill(component: U64Array, values: list[U64Array]) -> None:
    """Sixteen planes of each digit into rows of words, four digits a word: (rows, words) uint64."""
    digits, width = values[0].shape
    rows, words = component.shape
    planes = np.zeros((4 * words, len(values), width), np.uint64)
    for value, each in enumerate(values):
        planes[:digits, value] = each
    for word in range(words):
        component[:, word] = shares.unplanes(planes[4 * word : 4 * (word + 1)].reshape(64, width), rows)
