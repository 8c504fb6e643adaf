"""Vectors with c = a delta + b over GF(2^128), of which one party knows a and c, the other delta and b: local parts.

The party that knows delta is the *sender*, as of trees and oblivious transfers; the *receiver* chooses where its noise
is. First a product of 256 noise values with delta is shared, by one oblivious transfer a bit of delta (Gilboa). Then a
tree for each noise gives both the same random leaves but one, where the receiver gets its share of the product on top;
so over all leaves c = a delta + b with a that is the noise and 0 elsewhere. The code makes a look random. All of this
is linear, and nothing here sends anything: arrays in, arrays out.

Source: Boyle, Couteau, Gilboa, Ishai, Kohl, Scholl, CRYPTO 2019 and CCS 2019 (eprint 2019/1159); Gilboa, CRYPTO 1999;
        protocols.md 5.3 and 5.4; how many noises and why: docs/adr/0032.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.kernels import gf128, ggm
from pets.kernels.blkacc import Code
from pets.kernels.jit import I64Array, U64Array
from pets.kernels.prf import Stream

NOISES: Final = 256
"""One in each block of as many places. What finds them has to guess free places in all blocks at once: the best known
way needs 188 bits (0.74 each), and 131 bits would be left if code words of relative weight 0.3 could be found."""

BITS: Final = 128
"""Oblivious transfers of one product with delta: one for each of its bits."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes for so many outputs: functions of their number alone."""

    outputs: int

    def __post_init__(self) -> None:
        if self.outputs < 1:
            raise ValueError("at least one output")

    @property
    def leaves(self) -> int:
        """Places of each noise."""
        return max(4, -(-2 * self.outputs // NOISES))

    @property
    def width(self) -> int:
        """Outputs of the code: those beyond ``outputs`` are dropped."""
        return NOISES * self.leaves // 2

    @property
    def depth(self) -> int:
        return ggm.depth_of(self.leaves)

    @property
    def transfers(self) -> int:
        """Oblivious transfers of sums of levels."""
        return NOISES * self.depth


def draw_holes(shape: Shape, stream: Stream) -> I64Array:
    """Where the noise of each block is: uniform, drawn with rejection. How many words are used tells nothing of it.

    Shapes:  result (256,) int64, each from 0 to leaves - 1.
    """
    mask, found = np.uint64((1 << shape.depth) - 1), np.empty(0, np.uint64)
    while found.size < NOISES:
        drawn = stream.words(NOISES) & mask
        found = np.concatenate([found, drawn[drawn < shape.leaves]])
    return found[:NOISES].astype(np.int64)


def offer(values: U64Array, first: U64Array, second: U64Array) -> tuple[U64Array, U64Array]:
    """The receiver's part of products of its values with delta: what it sends, and its shares c.

    ``first`` and ``second``: what it can send by transfer i, drawn from the two keys of that transfer, for each value.

    Shapes:  values (n, 2) uint64; first and second (128, n, 2); result (128, n, 2) and (n, 2).
    """
    if not first.shape == second.shape == (BITS, len(values), 2):
        raise ValueError("two pads for each bit of delta and each value")
    x = gf128.powers(np.array([[2, 0]], np.uint64), BITS)
    shifted = gf128.multiply(np.tile(values, (BITS, 1)), np.repeat(x, len(values), axis=0))
    message: U64Array = first ^ second ^ shifted.reshape(BITS, -1, 2)
    return message, np.bitwise_xor.reduce(first, axis=0)


def take(delta: U64Array, pads: U64Array, message: U64Array) -> U64Array:
    """The sender's shares b: c = value delta + b. ``pads``: of each transfer the one that this bit of delta chose.

    Shapes:  delta (1, 2) uint64; pads and message (128, n, 2); result (n, 2).
    """
    out: U64Array = np.bitwise_xor.reduce(parts(delta, pads, message), axis=0)
    return out


def parts(delta: U64Array, pads: U64Array, message: U64Array) -> U64Array:
    """What shares b are the sums of, one of each transfer: with bit i of delta, first_i + bit x^i value.

    Shapes:  as in ``take``; result (128, n, 2).
    """
    if delta.shape != (1, 2) or pads.shape != message.shape or pads.shape[0] != BITS:
        raise ValueError("a pad and a message for each bit of delta")
    bit = delta[0].repeat(64) >> np.tile(np.arange(64, dtype=np.uint64), 2) & np.uint64(1)
    out: U64Array = pads ^ message * bit[:, None, None]
    return out


def scaled(rows: U64Array) -> U64Array:
    """Row i of those of 128 transfers over x^i: what is chosen with bit i is the same in all of them then.

    Shapes:  (128, n, 2) uint64.
    """
    count = rows.shape[1]
    x = gf128.powers(gf128.inverse(np.array([[2, 0]], np.uint64)), BITS)
    return gf128.multiply(rows.reshape(-1, 2), np.repeat(x, count, axis=0)).reshape(BITS, count, 2)


def send(shape: Shape, code: Code, seeds: U64Array, keys: ggm.Keys) -> tuple[U64Array, U64Array, U64Array]:
    """The sender's b, and what the receiver needs: two sums of each level, one of them by transfer; sums of leaves.

    The receiver gets the last plus the sender's share of the product, from ``take``. Nothing here waits for that.
    ``seeds``: fresh, one for each tree.

    Shapes:  seeds (256, 2) uint64; result (outputs, 2); (256, depth, 2, 2): level, side, word; (256, 2).
    """
    _check(shape, code, seeds)
    leaves, sums, total = ggm.expand(seeds, shape.leaves, keys)
    return code.encode(leaves)[: shape.outputs], sums, total


def receive(
    shape: Shape,
    code: Code,
    holes: I64Array,
    shares: U64Array,
    asked: U64Array,
    corrections: U64Array,
    keys: ggm.Keys,
) -> U64Array:
    """The receiver's c. ``holes``: where in each block its noise is; ``shares``: its part of the products.

    Shapes:  holes (256,) int64; shares and corrections (256, 2) uint64; asked (256, depth, 2), the sums on the
             ``ggm.sides`` of the holes; result (outputs, 2).
    """
    _check(shape, code, shares, corrections)
    leaves, total = ggm.expand_but(holes, asked, shape.leaves, keys)
    leaves[places(shape, holes)] = total ^ corrections ^ shares
    return code.encode(leaves)[: shape.outputs]


def noise(shape: Shape, code: Code, holes: I64Array, values: U64Array) -> U64Array:
    """The receiver's a, for which it needs nothing of the sender.

    Shapes:  holes (256,) int64; values (256, 2) uint64; result (outputs, 2).
    """
    _check(shape, code, values)
    sparse = np.zeros((2 * shape.width, 2), np.uint64)
    sparse[places(shape, holes)] = values
    return code.encode(sparse)[: shape.outputs]


def places(shape: Shape, holes: I64Array) -> I64Array:
    """Where the noise of each block is among all inputs of the code."""
    if holes.shape != (NOISES,) or not 0 <= holes.min() <= holes.max() < shape.leaves:
        raise ValueError("one place in each block")
    return holes + shape.leaves * np.arange(NOISES)


def _check(shape: Shape, code: Code, *elements: U64Array) -> None:
    if code.width != shape.width:
        raise ValueError("a code of another width")
    if any(array.dtype != np.uint64 or array.shape != (NOISES, 2) for array in elements):
        raise ValueError("one element for each noise")
