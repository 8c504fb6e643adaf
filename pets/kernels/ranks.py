"""What a party computes by itself to put shared rows in order: parts of comparisons, and what opened ones say.

A row's sort key is cut into digits of four bits, each as one of sixteen bits of which one is set, four digits a word.
That makes "less" and "equal" of two digits sums of products of one bit of each: one part a digit leaves the party,
whatever the sums' length. Which of two rows is less is then opened; the order follows in the clear.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import Number, U8Array, U32Array, U64Array, fetch, inlined, kernel
from pets.kernels.shares import PLANE, transpose

DIGIT: Final = 4
"""Bits of a digit."""

MAX_DIGITS: Final = 32

_LINE: Final = 64
"""Bytes of a line of the cache."""

_USUAL: Final = 4
"""Words of keys of 49 to 64 bits: 32 bits and the number of one of a million rows."""

_AHEAD: Final = 24
"""How many comparisons ahead a row is brought into the cache."""


def table(rows: int, digits: int) -> U64Array:
    """Memory for the keys of all rows: (rows, 2 ceil(digits / 4)) uint64, own components before the following ones.

    A row of at most sixteen digits lies in one line of the cache, so that a comparison waits for memory once.
    """
    if not 1 <= digits <= MAX_DIGITS:
        raise ValueError("keys have one to 32 digits")
    width = 2 * -(-digits // 4)
    room = np.empty(rows * width + _LINE // 8, np.uint64)
    start = -room.ctypes.data % _LINE // 8
    return room[start : start + rows * width].reshape(rows, width)


def less_and_equal(keys: U64Array, left: U32Array, right: U32Array, digits: int) -> U64Array:
    """This party's parts of "digit of row left[i] less than that of row right[i]", and of "equal" but for the lowest.

    Shapes:  keys as ``table`` made it; left, right (c,) uint32, numbers of rows; result (2 digits - 1, ceil(c / 64))
             uint64: planes of less from the lowest digit up, then of equal from the second up. They add up with XOR
             and are not yet masked.
    """
    words = -(-digits // 4)
    if not 1 <= digits <= MAX_DIGITS or keys.ndim != 2 or keys.shape[1] != 2 * words or not keys.flags.c_contiguous:
        raise ValueError("rows of one to 32 digits, four a word, both components")
    if not left.size == right.size or max(left.max(initial=0), right.max(initial=0)) >= max(len(keys), 1):
        raise ValueError("two lists of rows that exist")
    out = np.empty((2 * digits - 1, -(-left.size // PLANE)), np.uint64)
    tile, square = np.zeros((4, PLANE * words), np.uint64), np.empty(PLANE, np.uint64)
    _parts(keys.reshape(-1), words, left, right, out, tile, square, square.view(np.uint8))
    return out


@inlined
def _spread(x: np.uint64) -> np.uint64:
    """In each field of 16 bits: bit j is the sum of bits 0 to j - 1, with XOR."""
    x ^= (x << np.uint64(1)) & np.uint64(0xFFFEFFFEFFFEFFFE)
    x ^= (x << np.uint64(2)) & np.uint64(0xFFFCFFFCFFFCFFFC)
    x ^= (x << np.uint64(4)) & np.uint64(0xFFF0FFF0FFF0FFF0)
    x ^= (x << np.uint64(8)) & np.uint64(0xFF00FF00FF00FF00)
    return (x << np.uint64(1)) & np.uint64(0xFFFEFFFEFFFEFFFE)


@inlined
def _both(less: np.uint64, equal: np.uint64) -> np.uint64:
    """Parity of each field of 16 bits: of ``equal`` in bits 0, 2, 4, 6, of ``less`` in bits 1, 3, 5, 7."""
    less ^= less >> np.uint64(8)
    equal ^= equal >> np.uint64(8)
    x = (equal & np.uint64(0x00FF00FF00FF00FF)) | ((less & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8))
    x ^= x >> np.uint64(4)
    x ^= x >> np.uint64(2)
    x ^= x >> np.uint64(1)
    return ((x & np.uint64(0x0101010101010101)) * np.uint64(0x0102040810204080)) >> np.uint64(56)


@inlined
def _bring(
    keys: U64Array,
    a: Number,
    b: Number,
    at: int,
    words: int,
    x: U64Array,
    x_next: U64Array,
    y: U64Array,
    both: U64Array,
) -> None:
    for w in range(words):
        x[at + w] = keys[a + w]
        x_next[at + w] = keys[a + words + w]
        y[at + w] = keys[b + w]
        both[at + w] = keys[b + w] ^ keys[b + words + w]


@kernel
def _parts(
    keys: U64Array,
    words: int,
    left: U32Array,
    right: U32Array,
    out: U64Array,
    tile: U64Array,
    square: U64Array,
    byte: U8Array,
) -> None:
    """``tile``: (4, 64 words), operands of 64 comparisons; ``byte``: the bytes of ``square``."""
    x, x_next, y, both = tile[0], tile[1], tile[2], tile[3]
    digits = (out.shape[0] + 1) // 2
    width = 2 * words
    for i in range(PLANE):
        square[i] = np.uint64(0)
    for block in range(out.shape[1]):
        first = PLANE * block
        count = min(PLANE, left.size - first)
        for i in range(count):
            ahead = np.uint64(right[min(first + i + _AHEAD, left.size - 1)])
            fetch(keys, ahead * np.uint64(width))
            a, b, at = np.int64(left[first + i]) * width, np.int64(right[first + i]) * width, i * words
            if words == _USUAL:  # a number that the compiler knows: two moves of 32 bytes each
                _bring(keys, a, b, at, _USUAL, x, x_next, y, both)
            else:
                _bring(keys, a, b, at, words, x, x_next, y, both)
        for k in range(PLANE * words):  # one after another in memory: so the compiler takes eight at a time
            equal = (x[k] & both[k]) ^ (x_next[k] & y[k])
            less = (_spread(x[k]) & both[k]) ^ (_spread(x_next[k]) & y[k])
            x[k] = _both(less, equal)
        for i in range(PLANE):
            for w in range(words):
                byte[8 * i + w] = np.uint8(x[i * words + w])
        if count < PLANE:
            for i in range(count, PLANE):
                for w in range(words):
                    byte[8 * i + w] = np.uint8(0)
        transpose(square)
        for d in range(digits):
            out[d, block] = square[2 * d + 1]
        for d in range(1, digits):
            out[digits + d - 1, block] = square[2 * d]
        for i in range(PLANE):
            square[i] = np.uint64(0)


# -- what opened comparisons say --------------------------------------------------------------------------------------


def pairs(place: U32Array, gaps: int, count: int) -> tuple[U32Array, U32Array, int]:
    """All pairs of rows that fall into one gap, by their numbers among the new rows, and how many there are.

    ``place``: the gap of each new row, below ``gaps``. What is left of ``count`` pairs is row 0 with itself.

    Shapes:  place (n,) uint32; two (count,) uint32.
    Raises:  ValueError if there are more.
    """
    starts, members = _gathered(place, gaps)
    left, right = np.zeros(count, np.uint32), np.zeros(count, np.uint32)
    sizes = np.diff(starts)
    total = int((sizes * (sizes - 1) // 2).sum())
    if total > count:
        raise ValueError("rows lie closer than chance puts them")
    _pairs_kernel(starts, members, left, right)
    return left, right, total


def merged(
    before: U32Array, first: int, place: U32Array, left: U32Array, right: U32Array, less: U8Array, total: int
) -> U32Array:
    """The order of the rows of ``before`` and of rows ``first``, ``first`` + 1, ... that fall into its gaps.

    ``less``: of each of the ``total`` pairs that ``pairs`` gave, 1 if the left row comes first.

    Shapes:  before (s,) uint32; place (n,) uint32; left, right, less (at least total,); result (s + n,) uint32.
    Raises:  ValueError if the pairs contradict each other.
    """
    starts, _ = _gathered(place, before.size + 1)
    out = np.empty(before.size + place.size, np.uint32)
    taken = np.zeros(out.size, np.uint8)
    _merge_kernel(before, np.uint32(first), place, starts, left, right, less, total, np.zeros_like(place), out, taken)
    if not taken.all():
        raise ValueError("comparisons contradict each other")
    return out


def _gathered(place: U32Array, gaps: int) -> tuple[npt.NDArray[np.int64], U32Array]:
    """Where the rows of each gap start, and their numbers, gap after gap in their own order."""
    starts = np.zeros(gaps + 1, np.int64)
    members = np.empty(place.size, np.uint32)
    if place.max(initial=0) >= gaps:
        raise ValueError("a gap that there is not")
    _gather_kernel(place, starts, np.empty(gaps, np.int64), members)
    return starts, members


@kernel
def _gather_kernel(
    place: U32Array, starts: npt.NDArray[np.int64], following: npt.NDArray[np.int64], members: U32Array
) -> None:
    for i in range(place.size):
        starts[np.int64(place[i]) + 1] += 1
    for gap in range(following.size):
        following[gap] = starts[gap]
        starts[gap + 1] += starts[gap]
    for i in range(place.size):
        own = np.int64(place[i])
        members[following[own]] = i
        following[own] += 1


@kernel
def _pairs_kernel(starts: npt.NDArray[np.int64], members: U32Array, left: U32Array, right: U32Array) -> None:
    at = 0
    for gap in range(starts.size - 1):
        for i in range(starts[gap], starts[gap + 1]):
            for j in range(i + 1, starts[gap + 1]):
                left[at] = members[i]
                right[at] = members[j]
                at += 1


@kernel
def _merge_kernel(
    before: U32Array,
    first: np.uint32,
    place: U32Array,
    starts: npt.NDArray[np.int64],
    left: U32Array,
    right: U32Array,
    less: U8Array,
    total: int,
    rank: U32Array,
    out: U32Array,
    taken: U8Array,
) -> None:
    for pair in range(total):
        loser = right[pair] if less[pair] else left[pair]
        rank[loser] += np.uint32(1)
    for i in range(before.size):
        old_place = i + starts[i + 1]
        out[old_place] = before[i]
        taken[old_place] = 1
    for i in range(place.size):
        gap = np.int64(place[i])
        new_place = gap + starts[gap] + np.int64(rank[i])
        out[new_place] = first + np.uint32(i)
        taken[new_place] = 1
