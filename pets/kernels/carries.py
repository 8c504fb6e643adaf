"""Where a sum carries, three bits at a time, if one party knows one summand and two others know the other.

The low 63 bits of a word are 21 digits of three bits. The one who knows u shares each digit as seven bits, of which at
most one is set: whether it is 1, 2, ... 7. Whether digits of u and v make a carry, and whether they pass one on, are
sums of those bits times bits of v alone: each holder of a component of u's bits works out a part without a message.
"""

from typing import Final

import numpy as np

from pets.kernels.jit import U64Array, kernel
from pets.kernels.shares import PLANE, TOGETHER, scratch, turned

DIGITS: Final = 21
BITS: Final = 3
ONES: Final = 2**BITS - 1
"""Planes of one digit."""

PLANES: Final = DIGITS * ONES + 1
"""Planes of a word: its digits, and its highest bit."""

PARTS: Final = 2 * DIGITS - 1


def ones(words: U64Array) -> U64Array:
    """Digits of words as planes: plane 7 d + j - 1 is whether digit d is j, the last plane the highest bit.

    Shapes:  words (n,) uint64; result (148, ceil(n / 64)) uint64, zero beyond row n.
    """
    out = np.empty((PLANES, -(-words.size // PLANE)), np.uint64)
    _ones_kernel(np.ascontiguousarray(words), out, *scratch())
    return out


def carries(shared: U64Array, words: U64Array, *, whole: bool) -> tuple[U64Array, U64Array]:
    """This party's part of where digits of u and v make a carry, and of where they pass one on but for the lowest.

    ``shared``: its component of u's ``ones``; ``words``: v, which it knows. ``whole``: add what is v's alone, as one of
    the two who know v does.

    Shapes:  shared (148, ceil(n / 64)), words (n,), all uint64; result (41, ceil(n / 64)) uint64: 21 planes of carries
             made, then 20 of carries passed on, from the lowest up, which add up with XOR and are not masked; and
             (1, ceil(n / 64)): the highest bits of v.
    """
    width = -(-words.size // PLANE)
    if shared.shape != (PLANES, width):
        raise ValueError("planes of digits of as many rows")
    out = np.empty((PARTS + 1, width), np.uint64)
    all_ones = np.uint64(2**64 - 1) if whole else np.uint64(0)
    _carries_kernel(np.ascontiguousarray(shared), np.ascontiguousarray(words), all_ones, out, *scratch())
    return out[:PARTS], out[PARTS:]


@kernel
def _ones_kernel(words: U64Array, out: U64Array, square: U64Array, tile: U64Array) -> None:
    for group in range(0, out.shape[1], TOGETHER):
        count = min(TOGETHER, out.shape[1] - group)
        turned(words, PLANE * group, count, square, tile)
        for d in range(DIGITS):
            first = ONES * d
            for k in range(count):
                a, b, c = tile[3 * d, k], tile[3 * d + 1, k], tile[3 * d + 2, k]
                at = group + k
                out[first, at] = a & ~b & ~c
                out[first + 1, at] = ~a & b & ~c
                out[first + 2, at] = a & b & ~c
                out[first + 3, at] = ~a & ~b & c
                out[first + 4, at] = a & ~b & c
                out[first + 5, at] = ~a & b & c
                out[first + 6, at] = a & b & c
        for k in range(count):
            out[PLANES - 1, group + k] = tile[63, k]


@kernel
def _carries_kernel(
    shared: U64Array, words: U64Array, whole: np.uint64, out: U64Array, square: U64Array, tile: U64Array
) -> None:
    for group in range(0, out.shape[1], TOGETHER):
        count = min(TOGETHER, out.shape[1] - group)
        turned(words, PLANE * group, count, square, tile)
        for d in range(DIGITS):
            first = ONES * d
            for k in range(count):
                a, b, c = tile[3 * d, k], tile[3 * d + 1, k], tile[3 * d + 2, k]
                at = group + k
                u1, u2, u3 = shared[first, at], shared[first + 1, at], shared[first + 2, at]
                u4, u5, u6 = shared[first + 3, at], shared[first + 4, at], shared[first + 5, at]
                u7 = shared[first + 6, at]
                made = (u1 & (a & b & c)) ^ (u2 & (b & c)) ^ (u3 & (c & (a | b))) ^ (u4 & c)
                out[d, at] = made ^ (u5 & (c | (a & b))) ^ (u6 & (b | c)) ^ (u7 & (a | b | c))
                if d > 0:  # digit j of u goes with 7 - j of v; 0 of u with 7 of v
                    passed = (u1 & (b & c & ~a)) ^ (u2 & (a & c & ~b)) ^ (u3 & (c & ~a & ~b)) ^ (u4 & (a & b & ~c))
                    passed ^= (u5 & (b & ~a & ~c)) ^ (u6 & (a & ~b & ~c)) ^ (u7 & ~(a | b | c))
                    some = u1 ^ u2 ^ u3 ^ u4 ^ u5 ^ u6 ^ u7
                    out[DIGITS + d - 1, at] = passed ^ (a & b & c & (some ^ whole))
        for k in range(count):
            out[PARTS, group + k] = tile[63, k]
