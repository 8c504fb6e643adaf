"""TurboSHAKE128 of many messages of one length, eight at a time in the lanes of vectors.

The vectors are LLVM's own, not an instruction set's: any processor runs them, one with AVX-512 in one register each.
Twelve rounds of Keccak-p make TurboSHAKE128; all twenty-four make SHAKE128, by which the tests hold this to hashlib.

No branch and no place in memory depends on a byte of a message, so seeds and shares may be hashed.

Source: RFC 9861, section 2 (TurboSHAKE); FIPS 202, section 3 (the permutation).
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels.jit import (
    Number,
    U8Array,
    U64Array,
    address,
    is_contiguous,
    kernel,
    load64,
    seen,
    store64,
    typed_intrinsic,
)

LANES: Final = 8
"""Messages that are hashed at a time."""

RATE: Final = 168
"""Bytes that one permutation takes in or gives."""

ROUNDS: Final = 12
ALL_ROUNDS: Final = 24

_RATE_WORDS: Final = RATE // 8
_STATE_WORDS: Final = 25


def _constants() -> tuple[int, ...]:
    """The round constants of Keccak, from the register that makes them (FIPS 202, 3.2.5)."""
    register, constants = 1, []
    for _ in range(ALL_ROUNDS):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << ((1 << j) - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _rotations() -> tuple[int, ...]:
    """By how many places word x + 5 y is turned (FIPS 202, 3.2.2)."""
    turns, x, y = [0] * _STATE_WORDS, 1, 0
    for t in range(24):
        turns[x + 5 * y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(turns)


_CONSTANTS: Final = np.array(_constants(), np.uint64)
_TURNS: Final = _rotations()


def turboshake128(prefixes: U8Array, bodies: U8Array, *, domain: int, size: int, rounds: int = ROUNDS) -> U8Array:
    """Hash the messages `prefixes[i]` followed by `bodies[i]` to `size` bytes each.

    Shapes:  prefixes (n, a) uint8, bodies (n, b) uint8, both contiguous, a and b may be 0; result (n, size) uint8.
    Units:   domain is the byte that separates uses, 1 to 127; rounds 12, or 24 in tests of the permutation.
    Raises:  ValueError on a wrong shape, dtype or domain: our bug.
    Source:  RFC 9861, section 2.2.
    """
    out = np.empty((len(prefixes), size), np.uint8)
    squeeze(prefixes, bodies, out, domain=domain, rounds=rounds)
    return out


def squeeze(
    prefixes: U8Array, bodies: U8Array, out: U8Array, *, domain: int, limit: int = 0, rounds: int = ROUNDS
) -> U8Array:
    """Hash as ``turboshake128`` does, into `out`, and tell which rows have a word that is not below `limit`.

    Shapes:  out (n, size) uint8, contiguous; result (n,) uint8: 1 where a whole word (8 bytes, little-endian) of the
             row is at least `limit`, 0 elsewhere and everywhere if `limit` is 0.
    """
    for array in (prefixes, bodies, out):
        if array.dtype != np.uint8 or array.ndim != 2 or not array.flags.c_contiguous or len(array) != len(out):
            raise ValueError("messages and outputs are contiguous (n, bytes) arrays of uint8, as many of each")
    if not 1 <= domain <= 127 or rounds not in (ROUNDS, ALL_ROUNDS):
        raise ValueError("a domain is 1 to 127, rounds are 12 or 24")
    above = np.zeros(len(out), np.uint8)
    if out.size:
        state, most = np.empty((_STATE_WORDS, LANES), np.uint64), np.empty(LANES, np.uint64)
        block = np.empty(RATE, np.uint8)
        shape = (prefixes.shape[1], bodies.shape[1])
        flat = (seen8(prefixes), seen8(bodies))
        _hash(*flat, *shape, domain, np.uint64(limit), rounds, seen(_CONSTANTS), state, block, most, out, above)
    return above


def seen8(array: U8Array) -> U8Array:
    """The same bytes, flat and read-only: one compilation serves what was made here and what a peer sent."""
    view = array.reshape(-1).view()
    view.flags.writeable = False
    return view


@typed_intrinsic
def _permute(typing_context: Any, state: Any, constants: Any, first: Any) -> Any:
    """`_permute(state, constants, first)`: rounds `first` to 23 on eight states; word w of lane i at `state[w, i]`."""
    if not is_contiguous(state, constants) or not isinstance(first, types.Integer):
        return None
    vector = ir.VectorType(ir.IntType(64), LANES)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = ir.IntType(64)

        def place(argument: int, offset: Any, kind: Any) -> Any:
            return address(context, builder, signature.args[argument], arguments[argument], offset, kind)

        def row(number: int) -> Any:
            return place(0, index(8 * LANES * number), vector)

        turn = builder.module.declare_intrinsic("llvm.fshl.v8i64", fnty=ir.FunctionType(vector, [vector] * 3))
        slots: list[Any] = [cgutils.alloca_once(builder, vector) for _ in range(_STATE_WORDS)]  # type: ignore[no-untyped-call]
        for number, slot in enumerate(slots):
            builder.store(builder.load(row(number), align=8), slot)
        with cgutils.for_range(builder, index(ALL_ROUNDS), start=arguments[2]) as loop:
            words = [builder.load(slot) for slot in slots]
            constant = builder.load(place(1, builder.mul(loop.index, index(8)), index), align=8)
            lane = builder.insert_element(ir.Constant(vector, ir.Undefined), constant, ir.Constant(ir.IntType(32), 0))
            spread = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            constants_everywhere = builder.shuffle_vector(lane, ir.Constant(vector, ir.Undefined), spread)
            for slot, word in zip(slots, _round(builder, turn, vector, words, constants_everywhere), strict=True):
                builder.store(word, slot)
        for number, slot in enumerate(slots):
            builder.store(builder.load(slot), row(number), align=8)
        return context.get_dummy_value()

    return types.void(state, constants, types.intp), emit


def _round(builder: Any, turn: Any, vector: Any, words: list[Any], constant: Any) -> list[Any]:
    """One round: theta, rho, pi, chi, iota."""

    def turned(word: Any, by: int) -> Any:
        return builder.call(turn, [word, word, ir.Constant(vector, [by] * LANES)]) if by else word

    def xor(*parts: Any) -> Any:
        total = parts[0]
        for part in parts[1:]:
            total = builder.xor(total, part)
        return total

    columns = [xor(*(words[x + 5 * y] for y in range(5))) for x in range(5)]
    theta = [xor(columns[(x + 4) % 5], turned(columns[(x + 1) % 5], 1)) for x in range(5)]
    moved: list[Any] = [None] * _STATE_WORDS
    for x in range(5):
        for y in range(5):
            moved[y + 5 * ((2 * x + 3 * y) % 5)] = turned(xor(words[x + 5 * y], theta[x]), _TURNS[x + 5 * y])
    out = []
    for at in range(_STATE_WORDS):
        x, row = at % 5, at - at % 5
        out.append(xor(moved[at], builder.and_(builder.not_(moved[row + (x + 1) % 5]), moved[row + (x + 2) % 5])))
    out[0] = xor(out[0], constant)
    return out


@typed_intrinsic
def _put(typing_context: Any, state: Any, out: Any, offset: Any, stride: Any, most: Any) -> Any:
    """`_put(state, out, offset, stride, most)`: write the rate of eight states, one `stride` bytes after another.

    `most` (8) keeps the greatest word of each lane. Nothing checks the bounds.
    """
    if not is_contiguous(state, out, most):
        return None
    vector, word = ir.VectorType(ir.IntType(64), LANES), ir.IntType(64)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def place(argument: int, byte: Any, kind: Any) -> Any:
            return address(context, builder, signature.args[argument], arguments[argument], byte, kind)

        def exchanged(rows: list[Any], by: int) -> list[Any]:
            """Rows i and i + by change places in the lanes whose number has, and has not, the bit `by`."""
            made = list(rows)
            for i in range(LANES):
                if i & by:
                    continue
                first = [lane if not lane & by else LANES + lane - by for lane in range(LANES)]
                second = [lane + by if not lane & by else LANES + lane for lane in range(LANES)]
                for at, picked in ((i, first), (i + by, second)):
                    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), picked)
                    made[at] = builder.shuffle_vector(rows[i], rows[i + by], lanes)
            return made

        words = [builder.load(place(0, word(8 * LANES * row), vector), align=8) for row in range(_RATE_WORDS)]
        greatest = builder.load(place(4, word(0), vector), align=8)
        for row in words:
            greatest = builder.select(builder.icmp_unsigned(">", row, greatest), row, greatest)
        builder.store(greatest, place(4, word(0), vector), align=8)
        for start in range(0, _RATE_WORDS, LANES):
            part = words[start : start + LANES]
            rows = part + [ir.Constant(vector, ir.Undefined)] * (LANES - len(part))
            for by in (1, 2, 4):
                rows = exchanged(rows, by)
            narrow = ir.VectorType(ir.IntType(64), len(part))
            kept = ir.Constant(ir.VectorType(ir.IntType(32), len(part)), list(range(len(part))))
            for lane, row in enumerate(rows):
                byte = builder.add(arguments[2], builder.mul(arguments[3], word(lane)))
                cut = row if len(part) == LANES else builder.shuffle_vector(row, row, kept)
                builder.store(cut, place(1, builder.add(byte, word(8 * start)), narrow), align=1)
        return context.get_dummy_value()

    return types.void(state, out, types.intp, types.intp, most), emit


@kernel
def _hash(
    prefixes: U8Array,
    bodies: U8Array,
    before: Number,
    after: Number,
    domain: Number,
    limit: Number,
    rounds: Number,
    constants: U64Array,
    state: U64Array,
    block: U8Array,
    most: U64Array,
    out: U8Array,
    above: U8Array,
) -> None:
    """`before` and `after`: bytes of a prefix and of a body. The last block may be one of padding alone."""
    total, size, first = before + after, out.shape[1], np.intp(24) - np.intp(rounds)
    for start in range(0, out.shape[0], LANES):
        count = min(LANES, out.shape[0] - start)
        state[:], most[:] = np.uint64(0), np.uint64(0)
        for at in range(0, total + 1, RATE):
            for lane in range(count):
                offset = (start + lane) * after + at - before
                if at >= before and at + RATE <= total:
                    for word in range(_RATE_WORDS):
                        state[word, lane] ^= load64(bodies, offset + 8 * word)
                else:
                    for i in range(RATE):
                        if at + i < before:
                            block[i] = prefixes[(start + lane) * before + at + i]
                        elif at + i < total:
                            block[i] = bodies[offset + i]
                        else:
                            block[i] = domain if at + i == total else 0
                    if at + RATE > total:
                        block[RATE - 1] ^= 0x80
                    for word in range(_RATE_WORDS):
                        state[word, lane] ^= load64(block, 8 * word)
            _permute(state, constants, first)
        for at in range(0, size, RATE):
            if at:
                _permute(state, constants, first)
            words = min(_RATE_WORDS, (size - at) // 8)
            if count == LANES and words == _RATE_WORDS:
                _put(state, out, start * size + at, size, most)
                continue
            for lane in range(count):
                for word in range(words):
                    value = state[word, lane]
                    most[lane] = max(most[lane], value)
                    store64(out, (start + lane) * size + at + 8 * word, value)
                for i in range(8 * words, min(RATE, size - at)):
                    out[start + lane, at + i] = np.uint8(state[i // 8, lane] >> np.uint64(8 * (i % 8)))
        for lane in range(count):
            if limit > np.uint64(0) and most[lane] >= limit:
                above[start + lane] = 1
