"""Keyed BLAKE2b of many short messages, eight at a time in the lanes of vectors.

The vectors are LLVM's own, not an instruction set's: any processor runs them, one with AVX-512 in one register each.
A key fills the first block of BLAKE2b, so its effect is computed once, by the same schedule over Python's integers.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels.jit import U8Array, U64Array, kernel, load64, store64, typed_intrinsic
from pets.secret import Secret

MAX_BYTES: Final = 64
DIGEST_BYTES: Final = 13
KEY_BYTES: Final = 16

_LANES: Final = 8
_TILE: Final = 1 << 10
_BLOCK_BYTES: Final = 128
_MASK: Final = (1 << 64) - 1
_IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA: Final = (
    "0123456789abcdef",
    "ea489fd61c02b753",
    "b8c052fdae367194",
    "7931dcbe265a40f8",
    "905724afe1bc683d",
    "2c6a0b834d75fe19",
    "c51fed4a0763928b",
    "db7ec13950f4862a",
    "6fe9b308c2d714a5",
    "a2847615fb9e3cd0",
)


def hash_rows(key: Secret[bytes], rows: U8Array, out: U8Array) -> None:
    """Write the 13-byte BLAKE2b of each row under `key`. A row ends at its last byte that is not zero.

    Shapes:  rows (n, w) uint8, w <= 64, filled up with zero bytes; out (n, 13) uint8; both contiguous.
    Raises:  ValueError on a wrong shape or key length, or if a row is empty.
    Source:  RFC 7693.
    """
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] > MAX_BYTES:
        raise ValueError("hashed rows have at most 64 bytes")
    if out.dtype != np.uint8 or out.shape != (len(rows), DIGEST_BYTES) or not out.flags.c_contiguous:
        raise ValueError("digests are a contiguous (n, 13) array of uint8")
    state = _state_of_key(key)
    tile = np.zeros((_TILE, MAX_BYTES), np.uint8)
    lanes = np.zeros((11, _LANES), np.uint64)
    for start in range(0, len(rows), _TILE):
        part = out[start : start + _TILE]
        tile[: len(part), : rows.shape[1]] = rows[start : start + _TILE]
        if not _hash_tile(state, tile, lanes, part):
            raise ValueError("an identifier is empty")


def _schedule(
    h: Sequence[Any],
    message: Sequence[Any],
    counter: Any,
    last: bool,
    constant: Callable[[int], Any],
    ops: "_Operations",
) -> list[Any]:
    """Compress once, over whatever `ops` computes with; message words that are None are zero. RFC 7693, 3.2."""
    v = [*h, *(constant(word) for word in _IV)]
    v[12] = ops.xor(v[12], counter)
    if last:
        v[14] = ops.xor(v[14], constant(_MASK))

    def mix(a: int, b: int, c: int, d: int, x: Any, y: Any) -> None:
        for word, first, second in ((x, 32, 24), (y, 16, 63)):
            v[a] = ops.add(v[a], v[b])
            if word is not None:
                v[a] = ops.add(v[a], word)
            v[d] = ops.rotate(ops.xor(v[d], v[a]), first)
            v[c] = ops.add(v[c], v[d])
            v[b] = ops.rotate(ops.xor(v[b], v[c]), second)

    for number in range(12):
        m = [message[int(digit, 16)] for digit in _SIGMA[number % 10]]
        for column in range(4):
            mix(column, 4 + column, 8 + column, 12 + column, m[2 * column], m[2 * column + 1])
        for column in range(4):
            places = (column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
            mix(*places, m[8 + 2 * column], m[9 + 2 * column])
    return [ops.xor(ops.xor(h[i], v[i]), v[i + 8]) for i in range(8)]


class _Operations:
    """The three operations of BLAKE2b over Python's integers."""

    def add(self, a: Any, b: Any) -> Any:
        return (a + b) & _MASK

    def xor(self, a: Any, b: Any) -> Any:
        return a ^ b

    def rotate(self, a: Any, by: int) -> Any:
        return (a >> by | a << (64 - by)) & _MASK


class _VectorOperations(_Operations):
    """The same, emitted as instructions on vectors."""

    def __init__(self, builder: Any, vector: ir.VectorType) -> None:
        self._builder = builder
        self._vector = vector
        self._shift = builder.module.declare_intrinsic(
            f"llvm.fshr.v{vector.count}i64", fnty=ir.FunctionType(vector, [vector] * 3)
        )

    def add(self, a: Any, b: Any) -> Any:
        return self._builder.add(a, b)

    def xor(self, a: Any, b: Any) -> Any:
        return self._builder.xor(a, b)

    def rotate(self, a: Any, by: int) -> Any:
        return self._builder.call(self._shift, [a, a, ir.Constant(self._vector, [by] * self._vector.count)])


def _state_of_key(key: Secret[bytes]) -> U64Array:
    """The state after the block of the key."""
    value = key.expose("BLAKE2b key")
    if len(value) != KEY_BYTES:
        raise ValueError("a key of hashed identifiers has 16 bytes")
    block = value.ljust(_BLOCK_BYTES, b"\0")
    message = [int.from_bytes(block[i : i + 8], "little") for i in range(0, _BLOCK_BYTES, 8)]
    h = [_IV[0] ^ 0x01010000 ^ KEY_BYTES << 8 ^ DIGEST_BYTES, *_IV[1:]]
    return np.array(_schedule(h, message, _BLOCK_BYTES, False, lambda word: word, _Operations()), np.uint64)


@typed_intrinsic
def _compress_lanes(typing_context: Any, state: Any, lanes: Any) -> Any:
    """`_compress_lanes(state, lanes)`: rows 0..7 of `lanes` are message words, row 8 the bytes hashed so far.

    Writes the first two words of the final state to rows 9 and 10. Message words 8..15 are zero.
    """
    word = ir.IntType(64)
    vector = ir.VectorType(word, _LANES)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def address(argument: int, offset: int, kind: Any) -> Any:
            data = context.make_array(signature.args[argument])(context, builder, arguments[argument]).data
            base = builder.bitcast(data, cgutils.voidptr_t)
            return builder.bitcast(builder.gep(base, [ir.Constant(word, offset)]), kind.as_pointer())

        def row(number: int) -> Any:
            return address(1, number * _LANES * 8, vector)

        def constant(value: int) -> Any:
            return ir.Constant(vector, [value] * _LANES)

        undefined = ir.Constant(vector, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
        h = []
        for number in range(8):
            single = builder.load(address(0, 8 * number, word), align=1)
            first = builder.insert_element(undefined, single, ir.Constant(ir.IntType(32), 0))
            h.append(builder.shuffle_vector(first, undefined, zeros))
        message = [*(builder.load(row(number), align=1) for number in range(8)), *[None] * 8]
        counter = builder.load(row(8), align=1)
        final = _schedule(h, message, counter, True, constant, _VectorOperations(builder, vector))
        builder.store(final[0], row(9), align=1)
        builder.store(final[1], row(10), align=1)
        return context.get_dummy_value()

    return types.void(state, lanes), emit


@kernel
def _hash_tile(state: U64Array, rows: U8Array, lanes: U64Array, out: U8Array) -> bool:
    """Hash the first `len(out)` rows of 64 bytes; False if one is empty. Branches on no byte of a row."""
    shortest = 64
    for start in range(0, out.shape[0], 8):
        count = min(8, out.shape[0] - start)
        for lane in range(count):
            length = 0
            for byte in range(64):
                length = max(length, (byte + 1) * (rows[start + lane, byte] != 0))
            shortest = min(shortest, length)
            lanes[8, lane] = np.uint64(128 + length)
            for word in range(8):
                lanes[word, lane] = load64(rows, 64 * (start + lane) + 8 * word)
        _compress_lanes(state, lanes)
        for lane in range(count):
            offset = 13 * (start + lane)
            store64(out, offset, lanes[9, lane])
            store64(out, offset + 5, lanes[9, lane] >> np.uint64(40) | lanes[10, lane] << np.uint64(24))
    return shortest > 0
