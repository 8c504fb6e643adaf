"""Keyed BLAKE2b of many short messages, and BLAKE2s of many rows of 64 bytes, in the lanes of vectors.

The vectors are LLVM's own, not an instruction set's: any processor runs them, one with AVX-512 in one register each.
A key fills the first block, so its effect is computed once, by the same schedule over Python's integers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from pets.kernels.jit import U8Array, U32Array, U64Array, address, kernel, load64, store64, typed_intrinsic
from pets.secret import Secret

MAX_BYTES: Final = 64
DIGEST_BYTES: Final = 13
WIDE_BYTES: Final = 16
KEY_BYTES: Final = 16

_LANES: Final = 8
_TILE: Final = 1 << 10

ROW_LANES: Final = 16
"""Rows that ``hash_lanes`` takes at a time."""

ROW_DIGEST_BYTES: Final = 32
ROW_KEY_BYTES: Final = 32

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
    """Write the BLAKE2b of 13 or 16 bytes of each row under `key`. A row ends at its last byte that is not zero.

    Shapes:  rows (n, w) uint8, w <= 64, filled up with zero bytes; out (n, 13) or (n, 16) uint8; both contiguous.
    Raises:  ValueError on a wrong shape or key length, or if a row is empty.
    Source:  RFC 7693.
    """
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] > MAX_BYTES:
        raise ValueError("hashed rows have at most 64 bytes")
    if out.dtype != np.uint8 or out.ndim != 2 or len(out) != len(rows) or not out.flags.c_contiguous:
        raise ValueError("digests are a contiguous array of uint8, a row each")
    if out.shape[1] not in (DIGEST_BYTES, WIDE_BYTES):
        raise ValueError("digests have 13 or 16 bytes")
    state = _state_of_key(key, out.shape[1])
    tile = np.zeros((_TILE, MAX_BYTES), np.uint8)
    lanes = np.zeros((11, _LANES), np.uint64)
    for start in range(0, len(rows), _TILE):
        part = out[start : start + _TILE]
        tile[: len(part), : rows.shape[1]] = rows[start : start + _TILE]
        if not _hash_tile(state, tile, lanes, part):
            raise ValueError("an identifier is empty")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What BLAKE2b and BLAKE2s do not share: bits of a word, rounds, rotations, where both begin."""

    bits: int
    rounds: int
    rotations: tuple[int, int, int, int]
    start: tuple[int, ...]

    @property
    def mask(self) -> int:
        return (1 << self.bits) - 1


_B: Final = _Kind(64, 12, (32, 24, 16, 63), _IV)
_S: Final = _Kind(32, 10, (16, 12, 8, 7), tuple(word >> 32 for word in _IV))


def _schedule(
    h: Sequence[Any],
    message: Sequence[Any],
    counter: Any,
    last: bool,
    constant: Callable[[int], Any],
    ops: "_Operations",
) -> list[Any]:
    """Compress once, over whatever `ops` computes with; message words that are None are zero. RFC 7693, 3.2."""
    kind = ops.kind
    v = [*h, *(constant(word) for word in kind.start)]
    v[12] = ops.xor(v[12], counter)
    if last:
        v[14] = ops.xor(v[14], constant(kind.mask))

    def mix(a: int, b: int, c: int, d: int, x: Any, y: Any) -> None:
        for word, first, second in ((x, *kind.rotations[:2]), (y, *kind.rotations[2:])):
            v[a] = ops.add(v[a], v[b])
            if word is not None:
                v[a] = ops.add(v[a], word)
            v[d] = ops.rotate(ops.xor(v[d], v[a]), first)
            v[c] = ops.add(v[c], v[d])
            v[b] = ops.rotate(ops.xor(v[b], v[c]), second)

    for number in range(kind.rounds):
        m = [message[int(digit, 16)] for digit in _SIGMA[number % 10]]
        for column in range(4):
            mix(column, 4 + column, 8 + column, 12 + column, m[2 * column], m[2 * column + 1])
        for column in range(4):
            places = (column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
            mix(*places, m[8 + 2 * column], m[9 + 2 * column])
    return [ops.xor(ops.xor(h[i], v[i]), v[i + 8]) for i in range(8)]


class _Operations:
    """The three operations of BLAKE2 over Python's integers."""

    def __init__(self, kind: _Kind) -> None:
        self.kind: Final = kind

    def add(self, a: Any, b: Any) -> Any:
        return (a + b) & self.kind.mask

    def xor(self, a: Any, b: Any) -> Any:
        return a ^ b

    def rotate(self, a: Any, by: int) -> Any:
        return (a >> by | a << (self.kind.bits - by)) & self.kind.mask


class _VectorOperations(_Operations):
    """The same, emitted as instructions on vectors."""

    def __init__(self, kind: _Kind, builder: Any, vector: ir.VectorType) -> None:
        super().__init__(kind)
        self._builder = builder
        self._vector = vector
        self._shift = builder.module.declare_intrinsic(
            f"llvm.fshr.v{vector.count}i{kind.bits}", fnty=ir.FunctionType(vector, [vector] * 3)
        )

    def add(self, a: Any, b: Any) -> Any:
        return self._builder.add(a, b)

    def xor(self, a: Any, b: Any) -> Any:
        return self._builder.xor(a, b)

    def rotate(self, a: Any, by: int) -> Any:
        return self._builder.call(self._shift, [a, a, ir.Constant(self._vector, [by] * self._vector.count)])


def _first_state(kind: _Kind, key: bytes, digest_bytes: int) -> list[int]:
    """The state after the block of the key."""
    size = kind.bits // 8
    block = key.ljust(16 * size, b"\0")
    message = [int.from_bytes(block[i : i + size], "little") for i in range(0, len(block), size)]
    h = [kind.start[0] ^ 0x01010000 ^ len(key) << 8 ^ digest_bytes, *kind.start[1:]]
    return _schedule(h, message, len(block), False, lambda word: word, _Operations(kind))


def _state_of_key(key: Secret[bytes], size: int) -> U64Array:
    value = key.expose("BLAKE2b key")
    if len(value) != KEY_BYTES:
        raise ValueError("a key of hashed identifiers has 16 bytes")
    return np.array(_first_state(_B, value, size), np.uint64)


def state_of_rows(key: Secret[bytes]) -> U32Array:
    """The state of BLAKE2s after a key of 32 bytes, for ``hash_lanes``: digests of 32 bytes. Shapes: (8,) uint32."""
    value = key.expose("BLAKE2s key")
    if len(value) != ROW_KEY_BYTES:
        raise ValueError("a key of hashed rows has 32 bytes")
    return np.array(_first_state(_S, value, ROW_DIGEST_BYTES), np.uint32)


class _Arrays:
    """Loads and stores of an intrinsic: bytes of its arguments, and constants in all lanes."""

    def __init__(self, vector: ir.VectorType, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self._vector: Final = vector
        self._given: Final = (context, builder, signature, arguments)
        self._builder: Final = builder

    def address(self, argument: int, offset: int, kind: Any) -> Any:
        context, builder, signature, arguments = self._given
        place = ir.Constant(ir.IntType(64), offset)
        return address(context, builder, signature.args[argument], arguments[argument], place, kind)

    def row(self, argument: int, number: int) -> Any:
        """Address of so many vectors into an argument."""
        vector = self._vector
        return self.address(argument, number * vector.count * vector.element.width // 8, vector)

    def load(self, argument: int, number: int) -> Any:
        return self._builder.load(self.row(argument, number), align=1)

    def store(self, value: Any, argument: int, number: int) -> None:
        self._builder.store(value, self.row(argument, number), align=1)

    def everywhere(self, argument: int, number: int) -> Any:
        """One word of an argument in all lanes."""
        word, half = self._vector.element, ir.IntType(32)
        undefined = ir.Constant(self._vector, ir.Undefined)
        single = self._builder.load(self.address(argument, number * word.width // 8, word), align=1)
        first = self._builder.insert_element(undefined, single, ir.Constant(half, 0))
        zeros = ir.Constant(ir.VectorType(half, self._vector.count), [0] * self._vector.count)
        return self._builder.shuffle_vector(first, undefined, zeros)

    def constant(self, value: int) -> Any:
        return ir.Constant(self._vector, [value] * self._vector.count)


@typed_intrinsic
def _compress_lanes(typing_context: Any, state: Any, lanes: Any) -> Any:
    """`_compress_lanes(state, lanes)`: rows 0..7 of `lanes` are message words, row 8 the bytes hashed so far.

    Writes the first two words of the final state to rows 9 and 10. Message words 8..15 are zero.
    """
    vector = ir.VectorType(ir.IntType(64), _LANES)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = _Arrays(vector, context, builder, signature, arguments)
        h = [arrays.everywhere(0, number) for number in range(8)]
        message = [*(arrays.load(1, number) for number in range(8)), *[None] * 8]
        ops = _VectorOperations(_B, builder, vector)
        final = _schedule(h, message, arrays.load(1, 8), True, arrays.constant, ops)
        for number in range(2):
            arrays.store(final[number], 1, 9 + number)
        return context.get_dummy_value()

    return types.void(state, lanes), emit


@typed_intrinsic
def hash_lanes(typing_context: Any, state: Any, lanes: Any) -> Any:
    """`hash_lanes(state, lanes)`: BLAKE2s of sixteen rows of 64 bytes; `state` as ``state_of_rows`` gives it.

    `lanes` is (16, 16) uint32: word w of row i at [w, i]. The eight words of each digest take the places of words
    0 to 7. Nothing checks the bounds.
    """
    vector = ir.VectorType(ir.IntType(32), ROW_LANES)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = _Arrays(vector, context, builder, signature, arguments)
        h = [arrays.everywhere(0, number) for number in range(8)]
        message = [arrays.load(1, number) for number in range(16)]
        ops = _VectorOperations(_S, builder, vector)
        final = _schedule(h, message, arrays.constant(128), True, arrays.constant, ops)
        for number in range(8):
            arrays.store(final[number], 1, number)
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
            size = out.shape[1]
            offset = size * (start + lane)
            store64(out, offset, lanes[9, lane])
            if size == 13:
                store64(out, offset + 5, lanes[9, lane] >> np.uint64(40) | lanes[10, lane] << np.uint64(24))
            else:
                store64(out, offset + 8, lanes[10, lane])
    return shortest > 0
