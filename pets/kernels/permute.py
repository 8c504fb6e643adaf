"""Uniform permutations from a key: two parties draw the same one without a message.

Rao and Sandelius: one byte of the stream throws each index into one of 256 buckets, which are concatenated and then
shuffled one by one (Fisher and Yates), each small enough for the cache. Bounded integers are drawn with rejection, so
the only bias is that of the stream. How many words are used depends on the key only.
"""

from typing import Final

import numpy as np

from pets.kernels import aes
from pets.kernels.jit import I64Array, U8Array, U32Array, kernel
from pets.secret import Secret

MAX_LENGTH: Final = (1 << 32) - 1

_BUCKETS: Final = 256
_TILE_WORDS: Final = 1 << 15


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
    if not 0 <= length <= MAX_LENGTH:
        raise ValueError("a permutation has 0 to 2**32 - 1 entries")
    out = np.empty(length, np.uint32)
    byte_words = (length + 7) // 8
    buckets = np.empty(byte_words, np.uint64)
    aes.ctr_words(key, 0, buckets)
    starts = np.zeros(_BUCKETS + 1, np.int64)
    _throw(buckets.view(np.uint8), starts, np.empty(_BUCKETS, np.int64), out)
    tile = np.empty(min(_TILE_WORDS, length // 2 + 2), np.uint64)
    halves = tile.view(np.uint32)
    state = np.array([0, -1], np.int64)
    position = byte_words
    while state[0] < _BUCKETS:
        aes.ctr_words(key, position, tile)
        position += tile.size
        _shuffle(halves, starts, state, out)
    return out


@kernel
def _throw(byte: U8Array, starts: I64Array, following: I64Array, out: U32Array) -> None:
    """Counting sort of the indices by their byte, stable."""
    for i in range(out.size):
        starts[np.intp(byte[i]) + 1] += 1
    for each in range(256):
        following[each] = starts[each]
        starts[each + 1] += starts[each]
    for i in range(out.size):
        bucket = np.intp(byte[i])
        out[following[bucket]] = np.uint32(i)
        following[bucket] += 1


@kernel
def _shuffle(halves: U32Array, starts: I64Array, state: I64Array, out: U32Array) -> None:
    """Go on from `state`, bucket and last unshuffled entry (-1: not begun), until done or out of half words."""
    bucket = state[0]
    entry = state[1]
    used = 0
    while bucket < 256:
        start = starts[bucket]
        if entry < 0:
            entry = starts[bucket + 1] - start - 1
        while entry > 0:
            if used == halves.size:
                state[0] = bucket
                state[1] = entry
                return
            bound = np.uint64(entry + 1)
            product = np.uint64(halves[used]) * bound
            used += 1
            low = product & np.uint64(0xFFFFFFFF)
            if low < bound and low < np.uint64(1 << 32) % bound:
                continue
            other = start + np.intp(product >> np.uint64(32))
            kept = out[start + entry]
            out[start + entry] = out[other]
            out[other] = kept
            entry -= 1
        bucket += 1
        entry = -1
    state[0] = bucket
