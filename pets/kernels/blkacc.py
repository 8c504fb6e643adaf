"""The code BlkAcc3x32 over GF(2^128): from twice as many values, few of them not 0, to values that look random.

Twice: sums of all values so far; each sum times a public factor of its own; a public permutation. Then blocks: value i
of the first half, plus those of the 32 values of the second half in its block that 32 public bits choose. The map is
linear and public. Whether its outputs look random to whoever knows few of its inputs' places is an assumption, *dual
LPN with regular noise*; what it rests on, and why each sum has a factor, is in docs/adr/0032: without the factors all
coefficients are 0 or 1, and places and values of 128 noises are found from the outputs by linear algebra, in seconds.

Everything public comes from AES under the first bits of pi, so nobody chose it. Bytes of other libraries are not ours.

Source: "Block-Diagonal Codes: Accelerated Linear Codes for Pseudorandom Correlation Generators" (BlkAccCode in
        osu-crypto/libOTe), depth 3, blocks of 32; factors as in its RegularEcFieldCode, protocols.md 5.4.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from pets.kernels import aes, gf128, permute
from pets.kernels.gf128 import TOGETHER, multiply_step
from pets.kernels.jit import (
    U8Array,
    U32Array,
    U64Array,
    add16,
    address,
    copy16,
    fetch,
    is_contiguous,
    kernel,
    typed_intrinsic,
)
from pets.secret import Secret

BLOCK: Final = 32
ROUNDS: Final = 2

MAX_WIDTH: Final = 1 << 30
"""Places of twice as many values are numbers of 32 bits."""

_PI: Final = Secret(bytes.fromhex("243f6a8885a308d313198a2e03707344"))
"""The first 128 bits of the fraction of pi: public, and the only key in this file."""

_FACTORS, _PERMUTATION, _CHOICES = 0, 1, 2
_TILE: Final = 1 << 15
"""Values whose factors are drawn at a time: half of the second-level cache."""

_AHEAD: Final = 8
"""How many values ahead a place in a bucket is asked for."""


class Code:
    """The code of one width. Its tables, 10 bytes a value, are drawn once and kept as long as this object.

    Raises:  ValueError if the width is no multiple of 32, or too large: our bug, for callers round it up.
    """

    def __init__(self, width: int) -> None:
        if width % BLOCK or not 0 < width <= MAX_WIDTH:
            raise ValueError("a code has a width of some blocks of 32, at most 2^30")
        self.width: Final = width
        self._rounds: Final = [permute.in_two_steps(self._key(_PERMUTATION, r), 2 * width) for r in range(ROUNDS)]

    def encode(self, values: U64Array) -> U64Array:
        """The code word of twice as many values. **The values are overwritten**: at 2^24 rows they are 730 MB.

        Shapes:  values (2 width, 2) uint64, contiguous and writeable; result (width, 2) uint64, half of the memory that
                 was taken for it. Values may be secret.
        """
        if values.dtype != np.uint64 or values.shape != (2 * self.width, 2) or not values.flags.c_contiguous:
            raise ValueError("a code takes twice as many elements as its width, contiguous")
        source, target = values, np.empty_like(values)
        in_order = np.empty(0, np.uint32)
        for number, (buckets, starts, order) in enumerate(self._rounds):
            self._round(number, source, in_order, buckets, starts, target)
            source, target, in_order = target, source, order
        return self._blocks(source, in_order, target[: self.width])

    def _round(
        self, number: int, source: U64Array, order: U32Array, buckets: U8Array, starts: U64Array, target: U64Array
    ) -> None:
        key, following, state = self._key(_FACTORS, number), starts.copy(), np.zeros(2, np.uint64)
        factors, scratch = np.empty(2 * _TILE, np.uint64), np.zeros((2, 2 * TOGETHER), np.uint64)
        for first in range(0, 2 * self.width, _TILE):
            count = min(_TILE, 2 * self.width - first)
            part = factors[: 2 * count]
            aes.ctr_words(key, 2 * first, part)
            _round_kernel(gf128.how(), first, source, order, part, buckets, following, target, state, scratch)

    def _blocks(self, source: U64Array, order: U32Array, out: U64Array) -> U64Array:
        choices, table = np.empty(_TILE // 2, np.uint64), np.zeros((8, 32), np.uint64)
        for first in range(0, self.width, _TILE):
            count = min(_TILE, self.width - first)
            part = choices[: count // 2]
            aes.ctr_words(self._key(_CHOICES, 0), first // 2, part)
            _blocks_kernel(first, source, order, part.view(np.uint32), out, table)
        return out

    def _key(self, purpose: int, number: int) -> Secret[bytes]:
        """A key for what ``purpose`` says: AES of it, the round and the width, under pi."""
        block = np.zeros((1, 16), np.uint8)
        block.view(np.uint64)[:] = purpose << 8 | number, self.width
        aes.encrypt_blocks(_PI, block)
        return Secret(block.tobytes())

    def __repr__(self) -> str:
        return f"Code({self.width})"


# -- kernels ----------------------------------------------------------------------------------------------------------

_PAIR: Final = ir.VectorType(ir.IntType(64), 2)


@typed_intrinsic
def _chosen16(typing_context: Any, out: Any, at_out: Any, a: Any, at_a: Any, table: Any, choice: Any) -> Any:
    """`_chosen16(out, at_out, a, at_a, table, choice)`: the XOR of 16 bytes and what 32 bits choose of a table.

    ``table``: 8 groups of 16 elements, one taken of each. Nothing checks the bounds.
    """
    if not is_contiguous(out, a, table):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        to, source = (
            address(context, builder, signature.args[i], arguments[i], arguments[i + 1], _PAIR) for i in (0, 2)
        )
        total = builder.load(source, align=1)
        for group in range(BLOCK // 4):
            part = builder.lshr(arguments[5], word(4 * group))
            byte = builder.add(builder.shl(builder.and_(part, word(15)), word(4)), word(256 * group))
            place = address(context, builder, signature.args[4], arguments[4], byte, _PAIR)
            total = builder.xor(total, builder.load(place, align=1))
        builder.store(total, to, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, a, types.intp, table, types.uint64), emit


@kernel
def _round_kernel(
    how: U64Array,
    first: int,
    source: U64Array,
    order: U32Array,
    factors: U64Array,
    buckets: U8Array,
    following: U64Array,
    target: U64Array,
    state: U64Array,
    scratch: U64Array,
) -> None:
    """Sums, factors and the first step of the permutation, for as many values as there are factors.

    ``order``: where each value lies, the second step of the permutation before; empty where they lie in order.
    ``state``: the sum of all values before ``first``; ``following``: the place of each bucket's next value.
    """
    low, high = state[0], state[1]
    bucket_size = source.shape[0] // 256
    for i in range(0, factors.size // 2, TOGETHER):
        fetch(source, np.uint64(2 * (first + i + bucket_size)))
        for j in range(TOGETHER):
            place = np.int64(first + i + j)
            if order.size > 0:
                place = np.int64(order[place])
            low ^= source[place, 0]
            high ^= source[place, 1]
            scratch[0, 2 * j] = low
            scratch[0, 2 * j + 1] = high
        multiply_step(how, scratch, 0, factors, 16 * i, scratch, 16 * TOGETHER)
        for j in range(TOGETHER):
            bucket = buckets[first + i + j]
            free = np.int64(following[bucket])
            following[bucket] = np.uint64(free + 1)
            fetch(target, np.uint64(2 * (free + _AHEAD)))
            copy16(target, 16 * free, scratch, 16 * TOGETHER + 16 * j)
    state[0], state[1] = low, high


@kernel
def _blocks_kernel(
    first: int, source: U64Array, order: U32Array, choices: U32Array, out: U64Array, table: U64Array
) -> None:
    """Value of the first half, plus what the choice takes of its block: by tables of 16 sums for each 4 values."""
    width = out.shape[0]
    bucket_size = source.shape[0] // 256
    for start in range(0, choices.size, BLOCK):
        for group in range(BLOCK // 4):
            base = 256 * group
            for bit in range(4):
                place = first + start + 4 * group + bit
                if bit == 0:
                    fetch(source, np.uint64(2 * (place + bucket_size)))
                    fetch(source, np.uint64(2 * (width + place + bucket_size)))
                value = np.int64(order[width + place])
                for choice in range(1 << bit):
                    add16(table, base + 16 * ((1 << bit) + choice), table, base + 16 * choice, source, 16 * value)
        for i in range(BLOCK):
            row = first + start + i
            _chosen16(out, 16 * row, source, 16 * np.int64(order[row]), table, np.uint64(choices[start + i]))
