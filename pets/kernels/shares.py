"""What one of three parties computes by itself on replicated shares: arrays in, arrays out, no round.

A value x is x_0 + x_1 + x_2 modulo 2^64, or with XOR, bit by bit; party i holds components i and i + 1. Sums and
constants are free. A product is turned into one of three additive parts by every party, which ``Zeros`` re-randomises
with a share of zero before it is sent: each part alone is uniform to whoever lacks one of its two keys.

Bits lie in planes: plane j is bit j of 64 rows a word, so that one AND of words is 64 ANDs.

Source: Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016, sections 2 and 3; protocols.md 4.1, 4.2 and 4.11.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from pets.kernels import aes
from pets.kernels.aes import STEP_WORDS, ctr_step
from pets.kernels.jit import U64Array, inlined, kernel
from pets.secret import Secret

TILE: Final = 1 << 14
"""Words of a step of the portable path: operands, two streams and the result stay in the second-level cache."""

_FUSED: Final = 16 * STEP_WORDS
"""Words that a kernel masks at a time: they stay in the first-level cache, and loops over them are long enough for
vectors."""

TOGETHER: Final = 8
"""Words of a plane that are worked on at a time: a line of the cache, a register of the widest processors."""

PLANE: Final = 64
"""Rows of one word of a plane."""


class Zeros:
    """Shares of zero from two keys: one that the party before holds, too, and one that the party after holds.

    The three parties' parts of one call add up to zero (``xor``: XOR to zero). Each word of a stream serves once; both
    holders of a key count alike, because every call takes a whole number of steps, whatever it is for.
    """

    def __init__(self, before: Secret[bytes], after: Secret[bytes]) -> None:
        self._keys: Final = (before, after)
        self._position = 0

    @property
    def position(self) -> int:
        """Words of each stream that are used up: equal at all three parties, or one of them has gone astray."""
        return self._position

    def take(self, count: int) -> int:
        """Reserve ``count`` words of both streams; the place of the first."""
        first = self._position
        self._position += -(-count // STEP_WORDS) * STEP_WORDS
        return first

    def before(self, count: int) -> U64Array:
        """Words that the party before draws, too, and nobody else. Shapes: (count,) uint64."""
        return self._stream(0, count, self.take(count))

    def after(self, count: int) -> U64Array:
        """Words that the party after draws, too, and nobody else. Shapes: (count,) uint64."""
        return self._stream(1, count, self.take(count))

    def both(self, count: int) -> tuple[U64Array, U64Array]:
        """``before`` and ``after`` of one place: what masks the two ends of an exchange."""
        first = self.take(count)
        return self._stream(0, count, first), self._stream(1, count, first)

    def _stream(self, which: int, count: int, first: int) -> U64Array:
        out = np.empty(count, np.uint64)
        aes.ctr_words(self._keys[which], first, out)
        return out

    # -- local parts of products ---------------------------------------------------------------------------------------

    def multiply(self, x: "Pair", y: "Pair") -> U64Array:
        """This party's part of x y, word by word modulo 2^64.

        Shapes:  all (n,) uint64, contiguous.
        Learned: nothing leaves here; the part is uniform to a party that lacks one of the keys.
        """
        return self._fused(_multiply_kernel, _multiply_plain, x, y)

    def conjoin(self, x: "Pair", y: "Pair") -> U64Array:
        """This party's part of x AND y, bit by bit. Shapes: all (n,) uint64, contiguous."""
        return self._fused(_conjoin_kernel, _conjoin_plain, x, y)

    def add(self, parts: U64Array) -> U64Array:
        """Re-randomise parts that add up: of an inner product, once an output, whatever its length. In place."""
        before, after = self.both(parts.size)
        parts += before
        parts -= after
        return parts

    def xor(self, parts: U64Array) -> U64Array:
        """Re-randomise parts that XOR. In place."""
        before, after = self.both(parts.size)
        parts ^= before
        parts ^= after
        return parts

    def _fused(self, fast: Callable[..., None], plain: Callable[..., None], x: "Pair", y: "Pair") -> U64Array:
        (x0, x1), (y0, y1) = map(_words, x), map(_words, y)
        count = x0.size
        if not x1.size == y0.size == y1.size == count:
            raise ValueError("the two components of both operands have one length")
        out = np.empty(count, np.uint64)
        first = self.take(count)
        keys = [aes.expanded(key) for key in self._keys]
        if keys[0] is not None and keys[1] is not None:
            scratch = np.empty((2, _FUSED), np.uint64)
            fast(keys[0], keys[1], np.uint64(first // 2), x0, x1, y0, y1, out, scratch[0], scratch[1])
            return out
        masks = np.empty((2, min(TILE, count)), np.uint64)
        for start in range(0, count, TILE):
            part = slice(start, min(start + TILE, count))
            size = part.stop - start
            for key, mask in zip(self._keys, masks, strict=True):
                aes.ctr_words(key, first + start, mask[:size])
            plain(x0[part], x1[part], y0[part], y1[part], masks[0, :size], masks[1, :size], out[part])
        return out

    def __repr__(self) -> str:
        return f"Zeros(at {self._position})"


Pair = tuple[U64Array, U64Array]
"""Components i and i + 1 of a value, as party i holds them."""


def _words(array: U64Array) -> U64Array:
    if array.dtype != np.uint64 or array.ndim != 1 or not array.flags.c_contiguous:
        raise ValueError("a component of a share is a contiguous (n,) array of uint64")
    return array


def _multiply_plain(
    x0: U64Array, x1: U64Array, y0: U64Array, y1: U64Array, before: U64Array, after: U64Array, out: U64Array
) -> None:
    np.add(y0, y1, out=out)
    out *= x0
    out += x1 * y0
    out += before
    out -= after


def _conjoin_plain(
    x0: U64Array, x1: U64Array, y0: U64Array, y1: U64Array, before: U64Array, after: U64Array, out: U64Array
) -> None:
    np.bitwise_xor(y0, y1, out=out)
    out &= x0
    out ^= x1 & y0
    out ^= before
    out ^= after


@inlined
def _masks(keys: U64Array, block: np.uint64, count: int, out: U64Array) -> None:
    """At least ``count`` words of a stream from ``block`` on, in whole steps."""
    for at in range(0, count, STEP_WORDS):
        ctr_step(keys, out, 8 * at, block)
        block += np.uint64(STEP_WORDS // 2)


@kernel
def _multiply_kernel(
    keys_before: U64Array,
    keys_after: U64Array,
    block: np.uint64,
    x0: U64Array,
    x1: U64Array,
    y0: U64Array,
    y1: U64Array,
    out: U64Array,
    before: U64Array,
    after: U64Array,
) -> None:
    for start in range(0, out.size, _FUSED):
        count = min(_FUSED, out.size - start)
        _masks(keys_before, block, count, before)
        _masks(keys_after, block, count, after)
        block += np.uint64(_FUSED // 2)
        for i in range(count):
            at = start + i
            out[at] = x0[at] * (y0[at] + y1[at]) + x1[at] * y0[at] + before[i] - after[i]


@kernel
def _conjoin_kernel(
    keys_before: U64Array,
    keys_after: U64Array,
    block: np.uint64,
    x0: U64Array,
    x1: U64Array,
    y0: U64Array,
    y1: U64Array,
    out: U64Array,
    before: U64Array,
    after: U64Array,
) -> None:
    for start in range(0, out.size, _FUSED):
        count = min(_FUSED, out.size - start)
        _masks(keys_before, block, count, before)
        _masks(keys_after, block, count, after)
        block += np.uint64(_FUSED // 2)
        for i in range(count):
            at = start + i
            out[at] = (x0[at] & (y0[at] ^ y1[at])) ^ (x1[at] & y0[at]) ^ before[i] ^ after[i]


def halved(generate: Pair, above: Pair) -> U64Array:
    """This party's parts of one level of a tree of carries, bit by bit: of p_high g_low, then of p_high p_low.

    Planes 2 k and 2 k + 1 of ``generate`` are the low and the high one of a pair; ``above`` holds the planes of p from
    the second up. No p is made for the lowest pair. Not masked yet.

    Shapes:  generate (b, w), above (b - 1, w), both components, b from 2; result (2 (b // 2) - 1, w) uint64.
    """
    (g0, g1), (p0, p1) = (tuple(map(np.ascontiguousarray, pair)) for pair in (generate, above))
    if not (g0.ndim == 2 and g0.shape == g1.shape and p0.shape == p1.shape == (len(g0) - 1, g0.shape[1])):
        raise ValueError("planes of carries, and one fewer of what passes them on")
    out = np.empty((2 * (len(g0) // 2) - 1, g0.shape[1]), np.uint64)
    _halved_kernel(g0, g1, p0, p1, out)
    return out


@kernel
def _halved_kernel(g0: U64Array, g1: U64Array, p0: U64Array, p1: U64Array, out: U64Array) -> None:
    pairs = (out.shape[0] + 1) // 2
    for k in range(pairs):
        for i in range(out.shape[1]):
            low = g0[2 * k, i]
            out[k, i] = (p0[2 * k, i] & (low ^ g1[2 * k, i])) ^ (p1[2 * k, i] & low)
    for k in range(1, pairs):
        for i in range(out.shape[1]):
            low = p0[2 * k - 1, i]
            out[pairs + k - 1, i] = (p0[2 * k, i] & (low ^ p1[2 * k - 1, i])) ^ (p1[2 * k, i] & low)


# -- bits -------------------------------------------------------------------------------------------------------------


def planes(words: U64Array, bits: int) -> U64Array:
    """Turn words into planes of their low ``bits``: bit r of word w of plane j is bit j of row 64 w + r.

    Shapes:  words (n,) uint64; result (bits, ceil(n / 64)) uint64, zero beyond row n.
    """
    if not 1 <= bits <= 64:
        raise ValueError("a word has 1 to 64 bits")
    width = -(-words.size // PLANE)
    out = np.empty((bits, width), np.uint64)
    _planes_kernel(_words(words), out, *scratch())
    return out


def unplanes(bits: U64Array, count: int) -> U64Array:
    """Turn planes back into ``count`` words. Shapes: bits (b, ceil(count / 64)) uint64; result (count,) uint64."""
    if bits.ndim != 2 or bits.shape[1] != -(-count // PLANE) or not 1 <= len(bits) <= 64:
        raise ValueError("planes of that many rows")
    out = np.empty(count, np.uint64)
    _unplanes_kernel(np.ascontiguousarray(bits), out, *scratch())
    return out


@kernel
def transpose(square: U64Array) -> None:
    """Transpose 64 words of 64 bits in place. Source: Warren, Hacker's Delight, section 7-3."""
    width = 32
    mask = np.uint64(0x00000000FFFFFFFF)
    while width:
        shift = np.uint64(width)
        for k in range(64):
            if not k & width:
                moved = ((square[k] >> shift) ^ square[k + width]) & mask
                square[k + width] ^= moved
                square[k] ^= moved << shift
        width >>= 1
        mask ^= mask << np.uint64(width)


@kernel
def _planes_kernel(words: U64Array, out: U64Array, square: U64Array, tile: U64Array) -> None:
    for first in range(0, out.shape[1], TOGETHER):
        count = min(TOGETHER, out.shape[1] - first)
        turned(words, PLANE * first, count, square, tile)
        for j in range(out.shape[0]):
            for k in range(count):
                out[j, first + k] = tile[j, k]


@inlined
def turned(words: U64Array, start: int, count: int, square: U64Array, tile: U64Array) -> None:
    """Bits of 64 ``count`` rows from row ``start`` on: tile[bit, k] is that bit of the k-th 64 of them."""
    for k in range(count):
        for i in range(PLANE):
            at = start + PLANE * k + i
            square[i] = words[at] if at < words.size else np.uint64(0)
        transpose(square)
        for bit in range(PLANE):
            tile[bit, k] = square[bit]


@kernel
def _unplanes_kernel(bits: U64Array, out: U64Array, square: U64Array, tile: U64Array) -> None:
    for first in range(0, bits.shape[1], TOGETHER):
        count = min(TOGETHER, bits.shape[1] - first)
        for j in range(PLANE):
            for k in range(count):
                tile[j, k] = bits[j, first + k] if j < bits.shape[0] else np.uint64(0)
        for k in range(count):
            for j in range(PLANE):
                square[j] = tile[j, k]
            transpose(square)
            start = PLANE * (first + k)
            for i in range(min(PLANE, out.size - start)):
                out[start + i] = square[i]


def scratch() -> tuple[U64Array, U64Array]:
    """What ``turned`` works in: one square of bits, and the lines of eight."""
    return np.empty(PLANE, np.uint64), np.empty((PLANE, TOGETHER), np.uint64)
