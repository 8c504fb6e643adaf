"""Uniform permutations from a key: two parties draw the same one without a message.

Rao and Sandelius: one byte of the stream throws each index into one of 256 buckets, which are concatenated and then
shuffled one by one (Fisher and Yates), each small enough for the cache. Bounded integers are drawn with rejection, so
the only bias is that of the stream. How many words are used depends on the key only.
"""

from typing import Final

import numpy as np

from pets.kernels import aes
from pets.kernels.jit import U8Array, U32Array, U64Array, fetch, kernel
from pets.secret import Secret

MAX_LENGTH: Final = (1 << 32) - 1

_BUCKETS: Final = 256
_TILE_WORDS: Final = 1 << 15
_AHEAD: Final = 16
"""How many entries ahead the memory of each bucket is asked for: 256 places are too many for the cache to foresee."""


def permutation(key: Secret[bytes], length: int) -> U32Array:
    """Draw a uniform permutation of `range(length)`: index i goes to place `result[i]`.

    Words:   the first ceil(length / 8) words of the stream give the buckets, byte i for index i; then each bucket in
             order is shuffled from its last entry down, entry e swapped with entry j of 0..e, where j is the high half
             of (e + 1) * x for the next 32-bit half word x, low half first, unless the low half is below
             2**32 mod (e + 1), when x is dropped and the next one taken. No bucket skips a half word.
    Shapes:  (length,) uint32.
    Raises:  ValueError if length is negative or does not fit 32 bits.
    Source:  Rao, Sankhya A 23 (1961); Sandelius, JRSS B 24 (1962); Lemire, TOMACS 29 (2019), for the bounded draw.
    """
    buckets, starts = _buckets(key, length)
    out = np.empty(length, np.uint32)
    _throw(buckets, starts[:-1].copy(), out)
    _shuffle_all(key, starts, out)
    return out


def in_two_steps(key: Secret[bytes], length: int) -> tuple[U8Array, U64Array, U32Array]:
    """Draw the same permutation as two steps that each stay in the cache, for values larger than an index.

    First index i goes to bucket ``buckets[i]``, behind those that are there; bucket b begins at ``starts[b]``. Then
    place p takes what lies at place ``order[p]`` of the same bucket. Together: place p has value ``permutation[p]``.

    Shapes:  buckets (length,) uint8; starts (257,) uint64; order (length,) uint32.
    """
    buckets, starts = _buckets(key, length)
    order = np.arange(length, dtype=np.uint32)
    _shuffle_all(key, starts, order)
    return buckets, starts, order


def _buckets(key: Secret[bytes], length: int) -> tuple[U8Array, U64Array]:
    """The bucket of each index, and where buckets begin. Raises ValueError as ``permutation`` does."""
    if not 0 <= length <= MAX_LENGTH:
        raise ValueError("a permutation has 0 to 2**32 - 1 entries")
    words = np.empty(_byte_words(length), np.uint64)
    aes.ctr_words(key, 0, words)
    buckets = words.view(np.uint8)[:length]
    starts = np.zeros(_BUCKETS + 1, np.uint64)
    _count(buckets, starts)
    return buckets, starts


def _byte_words(length: int) -> int:
    return (length + 7) // 8


def _shuffle_all(key: Secret[bytes], starts: U64Array, out: U32Array) -> None:
    """Shuffle each bucket by itself, with the words of the stream that follow those of the buckets."""
    tile = np.empty(min(_TILE_WORDS, out.size // 2 + 2), np.uint64)
    halves = tile.view(np.uint32)
    state = np.zeros(2, np.uint64)
    position = _byte_words(out.size)
    while state[0] < _BUCKETS:
        aes.ctr_words(key, position, tile)
        position += tile.size
        _shuffle(halves, starts, state, out)


@kernel
def _count(byte: U8Array, starts: U64Array) -> None:
    """Where each bucket begins: the number of indices in those before."""
    one = np.uint64(1)
    for i in range(byte.size):
        starts[np.uint64(byte[i]) + one] += one
    for each in range(np.uint64(_BUCKETS)):
        starts[each + one] += starts[each]


@kernel
def _throw(byte: U8Array, following: U64Array, out: U32Array) -> None:
    """Counting sort of the indices by their byte, stable. ``following`` begins as where buckets begin."""
    one = np.uint64(1)
    for i in range(out.size):
        bucket = np.uint64(byte[i])
        place = following[bucket]
        following[bucket] = place + one
        fetch(out, place + np.uint64(_AHEAD))
        out[place] = np.uint32(i)


@kernel
def _shuffle(halves: U32Array, starts: U64Array, state: U64Array, out: U32Array) -> None:
    """Go on from `state`, bucket and entries of it that are left (0: not begun), until done or out of half words."""
    one, low_half = np.uint64(1), np.uint64(0xFFFFFFFF)
    bucket = state[0]
    left = state[1]
    used = np.uint64(0)
    while bucket < np.uint64(_BUCKETS):
        start = starts[bucket]
        if left == np.uint64(0):
            left = starts[bucket + one] - start
        while left > one:
            if used == np.uint64(halves.size):
                state[0] = bucket
                state[1] = left
                return
            product = np.uint64(halves[used]) * left
            used += one
            low = product & low_half
            if low < left and low < (low_half + one) % left:
                continue
            left -= one
            other = start + (product >> np.uint64(32))
            kept = out[start + left]
            out[start + left] = out[other]
            out[other] = kept
        bucket += one
        left = np.uint64(0)
    state[0] = bucket
