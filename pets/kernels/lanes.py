"""ristretto255 on eight elements at a time: lists of them decoded, multiplied, mapped and encoded.

A list is cut into blocks of eight; what is missing from the last one is its last row again. Time depends on the length
of the list: nothing branches on an element or a scalar but whether an element is refused, which the caller tells.

Whoever calls has checked that the processor has the instructions (`pets.kernels.curve`).

Source: RFC 9496; Bernstein et al., "High-speed high-security signatures", 2011 (signed digits); protocols.md 6.
"""

from typing import Final

import numpy as np

from pets.kernels import ifma
from pets.kernels.field import LIMB_BITS
from pets.kernels.jit import Number, U8Array, U64Array, inlined, kernel, load64, store64

FORMULAS: Final = "9a45ce41b73ae5c599a9a069c5cdbe9eae44e714ed6a38d004a8c9417be88f7b"
"""SHA-256 of field.py, points.py and ifma.py: numba keeps machine code by this file alone, so it changes with them."""

LANES: Final = ifma.LANES
POINT_BYTES: Final = 32
UNIFORM_BYTES: Final = 64
DIGITS: Final = 64


def scratch() -> U64Array:
    """Scratch memory for the kernels below: of one block, at the beginning of a line of the cache."""
    words = ifma.SLOTS * ifma.SLOT_WORDS
    memory = np.zeros(words + LANES, np.uint64)
    skip = -memory.ctypes.data // 8 % LANES
    return memory[skip : skip + words]


@kernel
def _mul_at(work: U64Array, to: Number, a: Number, b: Number) -> None:
    ifma.mul(work, to, a, b)


@kernel
def _squares_at(work: U64Array, to: Number, a: Number, times: Number) -> None:
    ifma.squares(work, to, a, times)


@kernel
def _rooted(work: U64Array) -> None:
    """The root of what lies in the slots of u and v."""
    ifma.before_root(work)
    # to the power of 2^252 - 3; what A, B and C hold is said as its exponent
    _squares_at(work, ifma.A, ifma.POWER, 1)  # A: 2
    _squares_at(work, ifma.B, ifma.A, 2)  # B: 8
    _mul_at(work, ifma.B, ifma.POWER, ifma.B)  # B: 9
    _mul_at(work, ifma.A, ifma.A, ifma.B)  # A: 11
    _squares_at(work, ifma.A, ifma.A, 1)  # A: 22
    _mul_at(work, ifma.A, ifma.B, ifma.A)  # A: 2^5 - 1
    _squares_at(work, ifma.B, ifma.A, 5)
    _mul_at(work, ifma.A, ifma.B, ifma.A)  # A: 2^10 - 1
    _squares_at(work, ifma.B, ifma.A, 10)
    _mul_at(work, ifma.B, ifma.B, ifma.A)  # B: 2^20 - 1
    _squares_at(work, ifma.C, ifma.B, 20)
    _mul_at(work, ifma.B, ifma.C, ifma.B)  # B: 2^40 - 1
    _squares_at(work, ifma.B, ifma.B, 10)
    _mul_at(work, ifma.A, ifma.B, ifma.A)  # A: 2^50 - 1
    _squares_at(work, ifma.B, ifma.A, 50)
    _mul_at(work, ifma.B, ifma.B, ifma.A)  # B: 2^100 - 1
    _squares_at(work, ifma.C, ifma.B, 100)
    _mul_at(work, ifma.B, ifma.C, ifma.B)  # B: 2^200 - 1
    _squares_at(work, ifma.B, ifma.B, 50)
    _mul_at(work, ifma.A, ifma.B, ifma.A)  # A: 2^250 - 1
    _squares_at(work, ifma.A, ifma.A, 2)
    _mul_at(work, ifma.POWER, ifma.A, ifma.POWER)  # 2^252 - 3
    ifma.after_root(work)


@kernel
def _doubled(work: U64Array) -> None:
    ifma.double(work)


@kernel
def _doubled_with_t(work: U64Array) -> None:
    ifma.double_with_t(work)


@kernel
def _added(work: U64Array, addend: Number) -> None:
    ifma.add(work, addend)


@kernel
def _digit_added(work: U64Array, masks: U64Array, digit: Number) -> None:
    ifma.add_digit(work, masks, digit)


@kernel
def _multiplied(work: U64Array, masks: U64Array) -> None:
    """The point times the scalar whose digits the masks are."""
    ifma.as_addend(work, ifma.TABLE)
    for entry in range(1, 8):
        _added(work, ifma.TABLE)
        ifma.as_addend(work, ifma.TABLE + 4 * entry)
    ifma.identity(work)
    for turn in range(DIGITS):
        for _ in range(3):
            _doubled(work)
        _doubled_with_t(work)
        _digit_added(work, masks, DIGITS - 1 - turn)


@inlined
def _limbs_in(work: U64Array, slot: Number, lane: Number, data: U8Array, offset: Number) -> Number:
    """32 bytes to limbs, without their highest bit. Returns whether they are a canonical, even element: 1 or 0."""
    mask = np.uint64((1 << LIMB_BITS) - 1)
    a, b = load64(data, offset), load64(data, offset + 8)
    c, d = load64(data, offset + 16), load64(data, offset + 24)
    at = slot * ifma.SLOT_WORDS + lane
    work[at] = a & mask
    work[at + 8] = (a >> np.uint64(51) | b << np.uint64(13)) & mask
    work[at + 16] = (b >> np.uint64(38) | c << np.uint64(26)) & mask
    work[at + 24] = (c >> np.uint64(25) | d << np.uint64(39)) & mask
    work[at + 32] = d >> np.uint64(12) & mask
    # plus 19, an element that is not below p reaches 2^255; the sum is in limbs, as in Field.canonical
    over = (work[at] + np.uint64(19)) >> np.uint64(51)
    for limb in range(1, 5):
        over = (work[at + 8 * limb] + over) >> np.uint64(51)
    return (over | d >> np.uint64(63) | a & np.uint64(1)) ^ np.uint64(1)


@inlined
def _limbs_out(work: U64Array, slot: Number, lane: Number, data: U8Array, offset: Number) -> Number:
    """Canonical limbs to 32 bytes. Returns a word that is 0 if all are."""
    at = slot * ifma.SLOT_WORDS + lane
    a, b, c, d, e = work[at], work[at + 8], work[at + 16], work[at + 24], work[at + 32]
    store64(data, offset, a | b << np.uint64(51))
    store64(data, offset + 8, b >> np.uint64(13) | c << np.uint64(38))
    store64(data, offset + 16, c >> np.uint64(26) | d << np.uint64(25))
    store64(data, offset + 24, d >> np.uint64(39) | e << np.uint64(12))
    return a | b | c | d | e


@kernel
def _masks_of(scalar: U8Array, masks: U64Array) -> None:
    """Signed digits of a scalar below 2^253, base 16, from -8 to 7, each as masks: size 0, ..., size 8, negative."""
    carry = np.int64(0)
    for i in range(DIGITS):
        byte = np.int64(scalar[i >> 1])
        digit = (byte >> np.int64(4 * (i & 1)) & np.int64(15)) + carry
        carry = (digit + np.int64(8)) >> np.int64(4)
        digit -= carry << np.int64(4)
        negative = digit >> np.int64(63)
        size = (digit ^ negative) - negative
        for k in range(9):
            masks[i, k] = np.uint64(((size ^ np.int64(k)) - np.int64(1)) >> np.int64(63))
        masks[i, 9] = np.uint64(negative)


@kernel
def _masks_of_each(scalars: U8Array, start: Number, single: U64Array, masks: U64Array) -> None:
    """The same of eight scalars, one for each lane, from a row on; the last one again where there are no more."""
    for lane in range(LANES):
        _masks_of(scalars[min(start + lane, scalars.shape[0] - 1)], single)
        for i in range(DIGITS):
            for k in range(ifma.MASKS):
                masks[i, k, lane] = single[i, k]


@kernel
def _encoded(work: U64Array, out: U8Array, start: Number, count: Number) -> Number:
    """Encode the points of a block into rows. Returns the first lane that is not good or the identity, or `count`."""
    ifma.before_encode(work)
    _rooted(work)
    ifma.after_encode(work)
    first = count
    for lane in range(count):
        some = _limbs_out(work, ifma.S, lane, out, POINT_BYTES * (start + lane))
        if some & work[ifma.FINE * ifma.SLOT_WORDS + lane] == np.uint64(0):
            first = min(first, lane)
    return first


@kernel
def _encoded_any(work: U64Array, out: U8Array, start: Number, count: Number) -> Number:
    """The same, where the identity is as good as any."""
    ifma.before_encode(work)
    _rooted(work)
    ifma.after_encode(work)
    first = count
    for lane in range(count):
        _limbs_out(work, ifma.S, lane, out, POINT_BYTES * (start + lane))
        if work[ifma.FINE * ifma.SLOT_WORDS + lane] == np.uint64(0):
            first = min(first, lane)
    return first


@kernel
def _decoded(work: U64Array) -> None:
    """The field elements of a block to points. The mask of what is fine loses the lanes that are no points."""
    ifma.before_decode(work)
    _rooted(work)
    ifma.after_decode(work)


@kernel
def _mapped(work: U64Array) -> None:
    """The field elements of a block, each to a point."""
    ifma.before_map(work)
    _rooted(work)
    ifma.after_map(work)


@kernel
def _read_block(points: U8Array, start: Number, count: Number, work: U64Array) -> None:
    """The points that rows encode, and the mask of lanes where they do."""
    for lane in range(LANES):
        fine = _limbs_in(work, ifma.S, lane, points, POINT_BYTES * (start + min(lane, count - 1)))
        work[ifma.FINE * ifma.SLOT_WORDS + lane] = np.uint64(0) - fine
    _decoded(work)


@kernel
def _multiply_block(
    points: U8Array, start: Number, count: Number, masks: U64Array, out: U8Array, work: U64Array
) -> Number:
    """Returns the first lane that is refused, or `count`."""
    _read_block(points, start, count, work)
    _multiplied(work, masks)
    return _encoded(work, out, start, count)


@kernel
def _multiply_all(points: U8Array, masks: U64Array, out: U8Array, work: U64Array) -> Number:
    n = points.shape[0]
    bad = n
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        first = _multiply_block(points, start, count, masks, out, work)
        bad = min(bad, start + first if first < count else n)
    return bad


@kernel
def _multiply_each(
    points: U8Array, scalars: U8Array, single: U64Array, masks: U64Array, out: U8Array, work: U64Array
) -> Number:
    n = points.shape[0]
    bad = n
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        _masks_of_each(scalars, start, single, masks)
        first = _multiply_block(points, start, count, masks, out, work)
        bad = min(bad, start + first if first < count else n)
    return bad


@kernel
def _map_all(uniform: U8Array, out: U8Array, work: U64Array) -> Number:
    n = uniform.shape[0]
    bad = n
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        for half in range(2):
            for lane in range(LANES):
                row = start + min(lane, count - 1)
                _limbs_in(work, ifma.S, lane, uniform, UNIFORM_BYTES * row + UNIFORM_BYTES // 2 * half)
                work[ifma.FINE * ifma.SLOT_WORDS + lane] = ~np.uint64(0)
            _mapped(work)
            if half == 0:
                ifma.as_addend(work, ifma.TABLE)
        _added(work, ifma.TABLE)
        first = _encoded(work, out, start, count)
        bad = min(bad, start + first if first < count else n)
    return bad


@kernel
def _combine_all(first: U8Array, second: U8Array, masks: U64Array, out: U8Array, work: U64Array) -> Number:
    """`masks`: of one digit, 1 or -1, by which the second point is multiplied before it is added."""
    n = first.shape[0]
    bad = n
    fine = np.empty(LANES, np.uint64)
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        _read_block(second, start, count, work)
        ifma.as_addend(work, ifma.TABLE)
        for lane in range(LANES):
            fine[lane] = work[ifma.FINE * ifma.SLOT_WORDS + lane]
        _read_block(first, start, count, work)
        for lane in range(LANES):
            work[ifma.FINE * ifma.SLOT_WORDS + lane] &= fine[lane]
        _digit_added(work, masks, 0)
        refused = _encoded_any(work, out, start, count)
        bad = min(bad, start + refused if refused < count else n)
    return bad


def multiply(points: U8Array, scalar: U8Array, out: U8Array) -> int:
    """As `pets.kernels.sodium.multiply`: the place of the first element that is refused, or their number."""
    masks = np.empty((DIGITS, ifma.MASKS), np.uint64)
    work = scratch()
    _masks_of(scalar, masks)
    place = int(_multiply_all(points, masks, out, work))
    masks.fill(0)
    work.fill(0)
    return place


def multiply_each(points: U8Array, scalars: U8Array, out: U8Array) -> int:
    """As `pets.kernels.sodium.multiply_each`: the place of the first element that is refused, or their number."""
    single = np.empty((DIGITS, ifma.MASKS), np.uint64)
    masks = np.empty((DIGITS, ifma.MASKS, LANES), np.uint64)
    work = scratch()
    place = int(_multiply_each(points, scalars, single, masks, out, work))
    for secret in (single, masks, work):
        secret.fill(0)
    return place


def combined(first: U8Array, second: U8Array, out: U8Array, *, less: bool) -> int:
    """As `pets.kernels.sodium.combined`: the place of the first that is refused, or their number."""
    masks = np.zeros((1, ifma.MASKS), np.uint64)
    masks[0, 1] = ~np.uint64(0)
    masks[0, 9] = ~np.uint64(0) if less else np.uint64(0)
    return int(_combine_all(first, second, masks, out, scratch()))


def from_uniform(uniform: U8Array, out: U8Array) -> int:
    """As `pets.kernels.sodium.from_uniform`: the place of the first identity, or the number of rows."""
    return int(_map_all(uniform, out, scratch()))
