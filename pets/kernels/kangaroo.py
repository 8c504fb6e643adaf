"""KangarooTwelve: a digest of long messages, whose chunks of 8 KiB are hashed eight at a time in the lanes of vectors.

The vectors are LLVM's own, not an instruction set's: any processor runs them, one with AVX-512 in one register each.
It is some times as fast as SHA-256 with instructions of its own, and as hard to find two messages for (128 bits).
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels.jit import U8Array, U64Array, kernel, load64, typed_intrinsic

DIGEST_BYTES: Final = 32
CHUNK: Final = 8192

_LANES: Final = 8
_RATE: Final = 168
_RATE_WORDS: Final = _RATE // 8
_FULL: Final = CHUNK // _RATE
"""Whole blocks of a chunk."""
_REST_WORDS: Final = (CHUNK - _FULL * _RATE) // 8
"""Words of a chunk in its last block."""

_ONE, _FINAL, _INNER = 0x07, 0x06, 0x0B
"""Last bytes of a message in one node, of the last node of several, of the nodes before it."""

_ROUNDS: Final = (
    0x000000008000808B,
    0x800000000000008B,
    0x8000000000008089,
    0x8000000000008003,
    0x8000000000008002,
    0x8000000000000080,
    0x000000000000800A,
    0x800000008000000A,
    0x8000000080008081,
    0x8000000000008080,
    0x0000000080000001,
    0x8000000080008008,
)
_TURNS: Final = (0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14)
"""By how many bits word x + 5 y turns."""


def digest(body: U8Array) -> bytes:
    """The 32-byte KT128 digest of a message, with no customisation.

    Shapes:  body (n,) uint8, contiguous.
    Source:  RFC 9861, sections 2.2 and 3.2.
    """
    if body.dtype != np.uint8 or body.ndim != 1 or not body.flags.c_contiguous:
        raise ValueError("a message is a contiguous (n,) array of uint8")
    if body.size < CHUNK:
        return _sponge(np.append(body, np.uint8(0)), _ONE)
    whole = body.size // CHUNK  # what is left, with the length of no customisation, is one more chunk
    found = np.empty((whole - 1, DIGEST_BYTES // 8), np.uint64)
    _chunks(body, found, np.empty(25 * _LANES, np.uint64))
    last = _sponge(np.append(body[whole * CHUNK :], np.uint8(0)), _INNER)
    node = b"".join((body[:CHUNK].tobytes(), b"\3" + bytes(7), found.tobytes(), last, _length(whole), b"\xff\xff"))
    return _sponge(np.frombuffer(node, np.uint8), _FINAL)


def warm_up() -> None:
    """Compile, for messages that can be written to and for those that cannot."""
    message = np.zeros(3 * CHUNK, np.uint8)
    digest(message)
    message.flags.writeable = False
    digest(message)


def _length(value: int) -> bytes:
    """length_encode of RFC 9861: the number, shortest first-byte-highest, then how many bytes that took."""
    size = (value.bit_length() + 7) // 8
    return value.to_bytes(size, "big") + bytes([size])


def _sponge(message: U8Array, last: int) -> bytes:
    """TurboSHAKE128: 32 bytes of a message of any length, domain ``last``."""
    blocks = message.size // _RATE + 1
    padded = np.zeros(blocks * _RATE, np.uint8)
    padded[: message.size] = message
    padded[message.size] ^= np.uint8(last)
    padded[-1] ^= np.uint8(0x80)
    out = np.empty(DIGEST_BYTES // 8, np.uint64)
    _absorb(padded.view(np.uint64), out, np.empty(25 * _LANES, np.uint64))
    return out.tobytes()


@kernel
def _absorb(padded: U64Array, out: U64Array, state: U64Array) -> None:
    """One message in the first lane."""
    state[:] = np.uint64(0)
    for start in range(0, padded.size, _RATE_WORDS):
        for word in range(_RATE_WORDS):
            state[_LANES * word] ^= padded[start + word]
        _permute(state)
    for word in range(out.size):
        out[word] = state[_LANES * word]


@kernel
def _chunks(body: U8Array, out: U64Array, state: U64Array) -> None:
    """Digests of whole chunks from the second on. Lanes beyond the last chunk repeat it."""
    for first in range(0, out.shape[0], _LANES):
        state[:] = np.uint64(0)
        count = min(_LANES, out.shape[0] - first)
        for block in range(_FULL + 1):
            words = _RATE_WORDS if block < _FULL else _REST_WORDS
            for lane in range(_LANES):
                start = CHUNK * (1 + first + min(lane, count - 1)) + _RATE * block
                for word in range(words):
                    state[_LANES * word + lane] ^= load64(body, start + 8 * word)
            if block == _FULL:
                for lane in range(_LANES):
                    state[_LANES * _REST_WORDS + lane] ^= np.uint64(_INNER)
                    state[_LANES * (_RATE_WORDS - 1) + lane] ^= np.uint64(0x8000000000000000)
            _permute(state)
        for lane in range(count):
            for word in range(out.shape[1]):
                out[first + lane, word] = state[_LANES * word + lane]


@typed_intrinsic
def _permute(typing_context: Any, state: Any) -> Any:
    """`_permute(state)`: twelve rounds of Keccak-f[1600] in eight lanes; word w of lane l is element 8 w + l."""
    vector = ir.VectorType(ir.IntType(64), _LANES)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        base = builder.bitcast(data, cgutils.voidptr_t)
        three = ir.FunctionType(vector, [vector] * 3)
        funnel = builder.module.declare_intrinsic(f"llvm.fshl.v{_LANES}i64", fnty=three)

        def constant(value: int) -> ir.Constant:
            return ir.Constant(vector, [value] * _LANES)

        def turned(value: Any, bits: int) -> Any:
            return builder.call(funnel, [value, value, constant(bits)]) if bits else value

        places = [
            builder.bitcast(builder.gep(base, [ir.Constant(ir.IntType(64), 64 * w)]), vector.as_pointer())
            for w in range(25)
        ]
        a = [builder.load(place, align=8) for place in places]
        for number in _ROUNDS:
            c = []
            for x in range(5):
                total = a[x]
                for y in range(1, 5):
                    total = builder.xor(total, a[x + 5 * y])
                c.append(total)
            d = [builder.xor(c[(x + 4) % 5], turned(c[(x + 1) % 5], 1)) for x in range(5)]
            b: list[Any] = [None] * 25
            for x in range(5):
                for y in range(5):
                    b[y + 5 * ((2 * x + 3 * y) % 5)] = turned(builder.xor(a[x + 5 * y], d[x]), _TURNS[x + 5 * y])
            a = [
                builder.xor(b[x + 5 * y], builder.and_(builder.not_(b[(x + 1) % 5 + 5 * y]), b[(x + 2) % 5 + 5 * y]))
                for y in range(5)
                for x in range(5)
            ]
            a[0] = builder.xor(a[0], constant(number))
        for place, value in zip(places, a, strict=True):
            builder.store(value, place, align=8)
        return context.get_dummy_value()

    return types.void(state), emit
