"""AES-128 on whole buffers, through the instructions of the processor or through OpenSSL; all give the same bytes.

Three back ends: `vaes512` (four blocks an instruction), `aesni` (one) and `portable` (OpenSSL by the `cryptography`
package). The first two are numba kernels around LLVM intrinsics, and an instruction that the processor lacks would end
the process. So nothing is chosen by itself: `features()` says what the processor names, whoever starts a party runs
`self_test()` of each in a child process, and only then `select()` changes the back end of the process.
Round keys as (11, 8) words mean VAES, as (11, 2, 1) AES-NI: the type decides, so one source of each kernel serves both.

Source: FIPS 197; SP 800-38A (CTR, 128-bit big-endian counter from 0); protocols.md 0.5 and 11.1.
"""

from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels.jit import Backends, U8Array, U64Array, kernel, load64, store64, typed_intrinsic
from pets.secret import Secret

KEY_BYTES: Final = 16
BLOCK_BYTES: Final = 16

VAES512: Final = "vaes512"
AESNI: Final = "aesni"
PORTABLE: Final = "portable"

_NEEDS: Final = {
    VAES512: ("aes", "vaes", "avx512f", "avx512vl", "avx512bw"),
    AESNI: ("aes", "sse2", "ssse3"),
    PORTABLE: (),
}
"""Processor features, best back end first. The AVX-512 ones include what LLVM uses to move and swap the vectors."""

_STEP_BLOCKS: Final = 16
STEP_WORDS: Final = 2 * _STEP_BLOCKS
"""Words of a stream that ``ctr_step`` writes at a time."""
_TILE_BYTES: Final = 1 << 17
"""What the portable back end encrypts at a time: stays in the second-level cache."""

_backends: Final = Backends("AES", _NEEDS)
features, select, selected = _backends.features, _backends.select, _backends.selected


def self_test(backend: str) -> None:
    """Compare `backend` with known answers, at every lane, in the tail and from an odd word. Raises RuntimeError.

    Source: FIPS 197 appendix C.1; protocols.md 0.7 (first words of CTR).
    """
    key = Secret(bytes(range(16)))
    buffer = np.tile(np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), np.uint8), (_STEP_BLOCKS + 5, 1))
    _encrypt(backend, key, buffer)
    if any(row.tobytes().hex() != "69c4e0d86a7b0430d8cdb78070b4c55a" for row in buffer):
        raise RuntimeError(f"AES back end {backend} fails FIPS 197")
    counters = np.zeros((_STEP_BLOCKS * 2 + 3, 2), ">u8")
    counters[:, 1] = np.arange(len(counters))
    stream = counters.view(np.uint8)
    _encrypt(backend, key, stream)
    expected = stream.view("<u8").ravel()
    if [int(word) for word in expected[:4]] != [
        0x825B8F87373BA1C6,
        0x79D8C8A162814F6F,
        0x1EB4C09595134673,
        0x0A2DF465E3BD7B49,
    ]:
        raise RuntimeError(f"AES back end {backend} fails the known answer of the stream")
    for start in (0, 1):
        words = np.empty(len(expected) - start, np.uint64)
        _ctr(backend, key, start, words)
        if not np.array_equal(words, expected[start:]):
            raise RuntimeError(f"AES back end {backend} counts wrongly from word {start}")


def encrypt_blocks(key: Secret[bytes], buffer: U8Array) -> None:
    """Encrypt each row in place.

    Shapes:  buffer (n, 16) uint8, contiguous.
    Raises:  ValueError on a wrong shape, dtype or key length.
    """
    _encrypt(selected(), key, buffer)


def ctr_words(key: Secret[bytes], first_word: int, out: U64Array) -> None:
    """Fill `out` with words `first_word`, `first_word` + 1, ... of the AES-CTR stream of `key`.

    Shapes:  out (n,) uint64, contiguous. Word 2i and 2i + 1 are block i, low byte first.
    Raises:  ValueError on a wrong shape, dtype or key length, or a negative first word.
    """
    _ctr(selected(), key, first_word, out)


def expanded(key: Secret[bytes]) -> U64Array | None:
    """Round keys for ``ctr_step`` in a kernel of another module, or None where the back end has no such instruction.

    Shapes:  (11, 8) or (11, 2, 1) uint64; each is a type of its own, for which the caller's kernel is compiled.
    """
    return None if selected() == PORTABLE else _round_keys(selected(), key)


# -- choice of the back end --------------------------------------------------------------------------------------------


def _encrypt(backend: str, key: Secret[bytes], buffer: U8Array) -> None:
    if buffer.dtype != np.uint8 or buffer.ndim != 2 or buffer.shape[1] != BLOCK_BYTES or not buffer.flags.c_contiguous:
        raise ValueError("blocks are a contiguous (n, 16) array of uint8")
    flat = buffer.reshape(-1)
    if backend == PORTABLE:
        _encrypt_portable(key, flat)
    else:
        _encrypt_kernel(_round_keys(backend, key), flat, np.empty(STEP_WORDS, np.uint64))


def _ctr(backend: str, key: Secret[bytes], first_word: int, out: U64Array) -> None:
    if out.dtype != np.uint64 or out.ndim != 1 or not out.flags.c_contiguous:
        raise ValueError("a stream of words fills a contiguous (n,) array of uint64")
    if not 0 <= first_word < 1 << 63:
        raise ValueError("the first word of a stream is not negative and below 2**63")
    if backend == PORTABLE:
        _ctr_portable(key, first_word, out)
    else:
        _ctr_kernel(_round_keys(backend, key), np.uint64(first_word), out, np.empty(STEP_WORDS, np.uint64))


def _key_bytes(key: Secret[bytes]) -> bytes:
    value = key.expose("AES key")
    if len(value) != KEY_BYTES:
        raise ValueError("an AES-128 key has 16 bytes")
    return value


# -- portable ----------------------------------------------------------------------------------------------------------


def _encrypt_portable(key: Secret[bytes], flat: U8Array) -> None:
    context: CipherContext = Cipher(algorithms.AES128(_key_bytes(key)), modes.ECB()).encryptor()  # noqa: S305 blocks of a PRF, no text
    tile = np.empty(_TILE_BYTES + BLOCK_BYTES, np.uint8)
    for start in range(0, flat.size, _TILE_BYTES):
        part = flat[start : start + _TILE_BYTES]
        context.update_into(part.data, tile.data)
        part[:] = tile[: part.size]


def _ctr_portable(key: Secret[bytes], first_word: int, out: U64Array) -> None:
    block, odd = divmod(first_word, 2)
    counter = modes.CTR(block.to_bytes(BLOCK_BYTES, "big"))
    context: CipherContext = Cipher(algorithms.AES128(_key_bytes(key)), counter).encryptor()
    context.update(bytes(8 * odd))
    zeros = np.zeros(min(_TILE_BYTES, out.nbytes), np.uint8)
    target = out.view(np.uint8)
    for start in range(0, target.size, _TILE_BYTES):
        part = target[start : start + _TILE_BYTES]
        context.update_into(zeros[: part.size].data, part.data)


# -- the processor's instructions --------------------------------------------------------------------------------------


def _round_keys(backend: str, key: Secret[bytes]) -> U64Array:
    """Expand the key; the shape names the back end (see the module's docstring)."""
    keys = np.empty((11, 2), np.uint64)
    _expand(np.frombuffer(_key_bytes(key), np.uint64).copy(), keys)
    if backend == AESNI:
        return keys.reshape(11, 2, 1)
    wide = np.empty((11, 4, 2), np.uint64)
    wide[:] = keys[:, None, :]
    return wide.reshape(11, 8)


@kernel
def _expand(key: U64Array, keys: U64Array) -> None:
    _expand_key(key, keys)


@kernel
def _encrypt_kernel(keys: U64Array, data: U8Array, scratch: U64Array) -> None:
    position = 0
    while data.size - position >= 256:
        encrypt_step(keys, data, position)
        position += 256
    left = data.size - position
    if left > 0:
        for offset in range(0, left, 8):
            store64(scratch, offset, load64(data, position + offset))
        encrypt_step(keys, scratch, 0)
        for offset in range(0, left, 8):
            store64(data, position + offset, load64(scratch, offset))


@kernel
def _ctr_kernel(keys: U64Array, first_word: np.uint64, out: U64Array, scratch: U64Array) -> None:
    block = first_word >> np.uint64(1)
    position = 0
    if out.size > 0 and first_word & np.uint64(1) == np.uint64(1):
        ctr_step(keys, scratch, 0, block)
        out[0] = scratch[1]
        position = 1
        block += np.uint64(1)
    while out.size - position >= 32:
        ctr_step(keys, out, 8 * position, block)
        position += 32
        block += np.uint64(16)
    if position < out.size:
        ctr_step(keys, scratch, 0, block)
        for i in range(out.size - position):
            out[position + i] = scratch[i]


_I64: Final = ir.IntType(64)
_LANES: Final = {2: 8, 3: 2}
"""Words of one vector register, by the number of dimensions of the round keys."""
_REGISTERS: Final = {8: 4, 2: 8}
"""Registers in flight by words of a register: 16 blocks with VAES; 8, twice, with the 16 registers of AES-NI."""
_SUFFIX: Final = {8: ".512", 2: ""}


def _address(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return builder.bitcast(context.make_array(array_type)(context, builder, array).data, cgutils.voidptr_t)


def _vector_at(builder: Any, base: Any, offset: Any, vector: ir.VectorType) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())


def _emit_rounds(builder: Any, keys: Any, states: list[Any], vector: ir.VectorType) -> list[Any]:
    """Ten rounds on all states, interleaved to hide the latency of each instruction."""
    binary = ir.FunctionType(vector, [vector, vector])
    suffix = _SUFFIX[vector.count]
    middle = builder.module.declare_intrinsic("llvm.x86.aesni.aesenc" + suffix, fnty=binary)
    last = builder.module.declare_intrinsic("llvm.x86.aesni.aesenclast" + suffix, fnty=binary)
    for number in range(11):
        offset = ir.Constant(_I64, number * vector.count * 8)
        round_key = builder.load(_vector_at(builder, keys, offset, vector), align=1)
        if number == 0:
            states = [builder.xor(state, round_key) for state in states]
        else:
            states = [builder.call(middle if number < 10 else last, [state, round_key]) for state in states]
    return states


def _is_keys(keys: Any) -> bool:
    return isinstance(keys, types.Array) and keys.layout == "C" and keys.dtype == types.uint64 and keys.ndim in _LANES


@typed_intrinsic
def encrypt_step(typing_context: Any, keys: Any, data: Any, offset: Any) -> Any:
    """`encrypt_step(keys, data, offset)`: encrypt the 256 bytes at byte `offset` in place."""
    if not _is_keys(keys) or not isinstance(data, types.Array):
        return None
    lanes = _LANES[keys.ndim]
    vector = ir.VectorType(_I64, lanes)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = _address(context, builder, signature.args[0], arguments[0])
        target = _address(context, builder, signature.args[1], arguments[1])
        group_bytes = _REGISTERS[lanes] * lanes * 8
        for group in range(0, 256, group_bytes):
            places = [
                _vector_at(builder, target, builder.add(arguments[2], ir.Constant(_I64, at)), vector)
                for at in range(group, group + group_bytes, lanes * 8)
            ]
            states = _emit_rounds(builder, base, [builder.load(place, align=1) for place in places], vector)
            for place, state in zip(places, states, strict=True):
                builder.store(state, place, align=1)
        return context.get_dummy_value()

    return types.void(keys, data, types.intp), emit


@typed_intrinsic
def ctr_step(typing_context: Any, keys: Any, out: Any, offset: Any, block: Any) -> Any:
    """`ctr_step(keys, out, offset, block)`: write the encrypted counters `block` ... + 15 at byte `offset`."""
    if not _is_keys(keys) or not isinstance(out, types.Array):
        return None
    lanes = _LANES[keys.ndim]
    vector = ir.VectorType(_I64, lanes)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = _address(context, builder, signature.args[0], arguments[0])
        target = _address(context, builder, signature.args[1], arguments[1])
        swap = builder.module.declare_intrinsic(f"llvm.bswap.v{lanes}i64", fnty=ir.FunctionType(vector, [vector]))
        undefined = ir.Constant(vector, ir.Undefined)
        single = builder.insert_element(undefined, arguments[3], ir.Constant(ir.IntType(32), 0))
        same = builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))
        low_half = ir.Constant(vector, [0, (1 << 64) - 1] * (lanes // 2))
        per_register = lanes // 2
        registers = _REGISTERS[lanes]
        for group in range(0, _STEP_BLOCKS, registers * per_register):
            states = []
            for register in range(registers):
                first = group + register * per_register
                steps = [step for lane in range(per_register) for step in (0, first + lane)]
                counter = builder.call(swap, [builder.add(same, ir.Constant(vector, steps))])
                states.append(builder.and_(counter, low_half))
            for register, state in enumerate(_emit_rounds(builder, base, states, vector)):
                at = (group + register * per_register) * BLOCK_BYTES
                place = _vector_at(builder, target, builder.add(arguments[2], ir.Constant(_I64, at)), vector)
                builder.store(state, place, align=1)
        return context.get_dummy_value()

    return types.void(keys, out, types.intp, types.uint64), emit


@typed_intrinsic
def _expand_key(typing_context: Any, key: Any, keys: Any) -> Any:
    """`_expand_key(key, keys)`: the key schedule of FIPS 197 without tables; (2,) words to (11, 2)."""
    vector = ir.VectorType(_I64, 2)
    quarters = ir.VectorType(ir.IntType(32), 4)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = _address(context, builder, signature.args[0], arguments[0])
        target = _address(context, builder, signature.args[1], arguments[1])
        assist = builder.module.declare_intrinsic(
            "llvm.x86.aesni.aeskeygenassist", fnty=ir.FunctionType(vector, [vector, ir.IntType(8)])
        )
        zero = ir.Constant(quarters, [0] * 4)

        def pick(value: Any, lanes: list[int]) -> Any:
            return builder.shuffle_vector(value, zero, ir.Constant(quarters, lanes))

        state = builder.load(_vector_at(builder, source, ir.Constant(_I64, 0), vector), align=1)
        for number, constant in enumerate((0, 1, 2, 4, 8, 16, 32, 64, 128, 27, 54)):
            if number > 0:
                word = builder.call(assist, [state, ir.Constant(ir.IntType(8), constant)])
                words = builder.bitcast(state, quarters)
                once = builder.xor(words, pick(words, [4, 0, 1, 2]))
                twice = builder.xor(once, pick(once, [4, 4, 0, 1]))
                mixed = builder.xor(twice, pick(builder.bitcast(word, quarters), [3, 3, 3, 3]))
                state = builder.bitcast(mixed, vector)
            builder.store(state, _vector_at(builder, target, ir.Constant(_I64, 16 * number), vector), align=1)
        return context.get_dummy_value()

    return types.void(key, keys), emit
