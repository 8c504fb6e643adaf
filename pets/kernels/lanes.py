"""ristretto255 on eight elements at a time: the formulas of `pets.kernels.points`, emitted as AVX-512 instructions.

IFMA multiplies 52 bits by 52 in each of eight lanes and adds one half of the product to 64 bits. A *block* is eight
elements; a field element of a block is five registers, and lies in the scratch memory `work` at a slot. Each step below
reads slots and writes slots; kernels put steps and loops together. No step branches on anything, and no address depends
on anything but public numbers: what is secret is a mask, and masks come in as data.

Whoever calls has checked that the processor has the instructions (`pets.kernels.curve`).

Source: protocols.md 6, "Later kernel"; Bernstein et al., "High-speed high-security signatures", 2011 (signed digits).
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels import points
from pets.kernels.field import LIMB_BITS, LIMBS, Element, Field, Word
from pets.kernels.jit import Number, U8Array, U64Array, inlined, kernel, load64, store64, typed_intrinsic

FORMULAS: Final = ""
"""SHA-256 of field.py and points.py. numba's cache looks at the file of a kernel only: this line is what changes it."""

LANES: Final = 8
POINT_BYTES: Final = 32
UNIFORM_BYTES: Final = 64
_WORDS: Final = LIMBS * LANES
"""Words of a slot."""
DIGITS: Final = 64
_MASKS: Final = 10
"""Of each digit: is its size 0, ..., 8; is it negative?"""

# What lies where in a block's part of the scratch memory.
_S, _X, _Y, _Z, _T, _U1, _U2, _V, _U_OF_ROOT, _V_OF_ROOT, _UV3, _POWER, _ROOT, _GOOD, _FINE, _A, _B, _C = range(18)
_TABLE: Final = 18
_SLOTS: Final = _TABLE + 8 * 4


def scratch() -> U64Array:
    """Scratch memory for the kernels below: of two blocks, on a line of the cache."""
    words = 2 * _SLOTS * _WORDS
    memory = np.zeros(words + LANES, np.uint64)
    skip = -memory.ctypes.data // 8 % LANES
    return memory[skip : skip + words]


class _Registers:
    """A `Machine` that emits one instruction for each call, on a register of eight words."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.vector = ir.VectorType(ir.IntType(64), LANES)
        three = ir.FunctionType(self.vector, [self.vector] * 3)
        self._low = builder.module.declare_intrinsic("llvm.x86.avx512.vpmadd52l.uq.512", fnty=three)
        self._high = builder.module.declare_intrinsic("llvm.x86.avx512.vpmadd52h.uq.512", fnty=three)

    def constant(self, value: int) -> Word:
        return ir.Constant(self.vector, [value] * LANES)

    def add(self, a: Word, b: Word) -> Word:
        return self.builder.add(a, b)

    def sub(self, a: Word, b: Word) -> Word:
        return self.builder.sub(a, b)

    def left(self, a: Word, by: int) -> Word:
        return self.builder.shl(a, self.constant(by))

    def right(self, a: Word, by: int) -> Word:
        return self.builder.lshr(a, self.constant(by))

    def both(self, a: Word, b: Word) -> Word:
        return self.builder.and_(a, b)

    def either(self, a: Word, b: Word) -> Word:
        return self.builder.or_(a, b)

    def low(self, total: Word, a: Word, b: Word) -> Word:
        return self.builder.call(self._low, [total, a, b])

    def high(self, total: Word, a: Word, b: Word) -> Word:
        return self.builder.call(self._high, [total, a, b])

    def spread(self, bit: Word) -> Word:
        return self.builder.sub(self.constant(0), bit)

    def select(self, mask: Word, yes: Word, no: Word) -> Word:
        return self.builder.xor(no, self.builder.and_(self.builder.xor(yes, no), mask))


class _Cells:
    """The slots of one block, as a step sees them."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.machine = _Registers(builder)
        self.field = Field(self.machine)
        self.arguments = arguments
        self._builder = builder
        self._base = builder.bitcast(
            context.make_array(signature.args[0])(context, builder, arguments[0]).data, cgutils.voidptr_t
        )

    def place(self, slot: Any, limb: int) -> Any:
        """Address of a limb. A slot is a number, or one that the kernel computes; all are counted from argument 1."""
        word = ir.IntType(64)
        number = ir.Constant(word, slot) if isinstance(slot, int) else slot
        byte = self._builder.mul(self._builder.add(self.arguments[1], number), ir.Constant(word, 8 * _WORDS))
        byte = self._builder.add(byte, ir.Constant(word, 8 * LANES * limb))
        return self._builder.bitcast(self._builder.gep(self._base, [byte]), self.machine.vector.as_pointer())

    def get(self, *slots: Any) -> list[Element]:
        return [[self._builder.load(self.place(slot, limb), align=64) for limb in range(LIMBS)] for slot in slots]

    def put(self, slot: Any, *elements: Element) -> None:
        """Write to a slot and those that follow it."""
        for offset, element in enumerate(elements):
            at = slot + offset if isinstance(slot, int) else self._builder.add(slot, ir.Constant(ir.IntType(64), offset))
            for limb, word in enumerate(element):
                self._builder.store(word, self.place(at, limb), align=64)


def _step(emit: Callable[[_Cells], None], others: int = 0) -> Callable[..., Any]:
    """What a kernel calls as `step(work, block)`, block being the first slot of one, with `others` more numbers."""

    def typed(typing_context: Any, work: Any, block: Any, *more: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit(_Cells(context, builder, signature, arguments))
            return context.get_dummy_value()

        return types.void(work, types.intp, *[types.intp] * len(more)), generate

    if others == 0:
        return typed_intrinsic(lambda typing_context, work, block: typed(typing_context, work, block))
    if others == 1:
        return typed_intrinsic(lambda typing_context, work, block, a: typed(typing_context, work, block, a))
    return typed_intrinsic(lambda typing_context, work, block, a, b, c: typed(typing_context, work, block, a, b, c))


# -- steps -------------------------------------------------------------------------------------------------------------


def _emit_mul(c: _Cells) -> None:
    a, b = c.get(*c.arguments[3:5])
    c.put(c.arguments[2], c.field.mul(a, b))


def _emit_squares(c: _Cells) -> None:
    """Arguments: where to, where from, how often (at least once)."""
    builder = c.machine.builder
    (a,) = c.get(c.arguments[3])
    places = [cgutils.alloca_once_value(builder, limb) for limb in a]
    with cgutils.for_range(builder, c.arguments[4]):
        squared = c.field.square([builder.load(place) for place in places])
        for place, limb in zip(places, squared, strict=True):
            builder.store(limb, place)
    c.put(c.arguments[2], [builder.load(place) for place in places])


def _emit_before_root(c: _Cells) -> None:
    c.put(_UV3, *points.before_root(c.field, *c.get(_U_OF_ROOT, _V_OF_ROOT)))


def _emit_after_root(c: _Cells) -> None:
    root, good = points.after_root(c.field, *c.get(_U_OF_ROOT, _V_OF_ROOT, _UV3, _POWER))
    c.put(_ROOT, root, [good] * LIMBS)


def _emit_before_decode(c: _Cells) -> None:
    c.put(_U1, *points.before_decode(c.field, *c.get(_S)))


def _emit_after_decode(c: _Cells) -> None:
    s, u1, u2, v, root, square, fine = c.get(_S, _U1, _U2, _V, _ROOT, _GOOD, _FINE)
    point, good = points.after_decode(c.field, s, u1, u2, v, root, square[0])
    c.put(_X, *point)
    c.put(_FINE, [c.machine.both(fine[0], good)] * LIMBS)


def _emit_before_encode(c: _Cells) -> None:
    u1, u2, u, v = points.before_encode(c.field, *c.get(_X, _Y, _Z))
    c.put(_U1, u1, u2)
    c.put(_U_OF_ROOT, u, v)


def _emit_after_encode(c: _Cells) -> None:
    c.put(_S, points.after_encode(c.field, c.get(_X, _Y, _Z, _T), *c.get(_U1, _U2, _ROOT)))


def _emit_before_map(c: _Cells) -> None:
    r, u, v = points.before_map(c.field, *c.get(_S))
    c.put(_U1, r)
    c.put(_U_OF_ROOT, u, v)


def _emit_after_map(c: _Cells) -> None:
    t, r, v, root, square = c.get(_S, _U1, _V_OF_ROOT, _ROOT, _GOOD)
    c.put(_X, *points.after_map(c.field, t, r, v, root, square[0]))


def _emit_identity(c: _Cells) -> None:
    c.put(_X, *points.identity(c.field))


def _emit_double(c: _Cells) -> None:
    c.put(_X, *points.double(c.field, *c.get(_X, _Y, _Z), with_t=False))


def _emit_double_with_t(c: _Cells) -> None:
    c.put(_X, *points.double(c.field, *c.get(_X, _Y, _Z), with_t=True))


def _emit_as_addend(c: _Cells) -> None:
    """Argument: the slot of the four elements that are written."""
    c.put(c.arguments[2], *points.as_addend(c.field, c.get(_X, _Y, _Z, _T)))


def _emit_add(c: _Cells) -> None:
    """Argument: the slot of the addend."""
    builder, first = c.machine.builder, c.arguments[2]
    addend = c.get(*(builder.add(first, ir.Constant(ir.IntType(64), i)) for i in range(4)))
    c.put(_X, *points.add(c.field, c.get(_X, _Y, _Z, _T), addend))


_mul, _squares = _step(_emit_mul, 3), _step(_emit_squares, 3)
_before_root, _after_root = _step(_emit_before_root), _step(_emit_after_root)
_before_decode, _after_decode = _step(_emit_before_decode), _step(_emit_after_decode)
_before_encode, _after_encode = _step(_emit_before_encode), _step(_emit_after_encode)
_before_map, _after_map = _step(_emit_before_map), _step(_emit_after_map)
_identity, _double, _double_with_t = _step(_emit_identity), _step(_emit_double), _step(_emit_double_with_t)
_as_addend, _add = _step(_emit_as_addend, 1), _step(_emit_add, 1)


@typed_intrinsic
def _add_digit(typing_context: Any, work: Any, block: Any, masks: Any, digit: Any) -> Any:
    """`_add_digit(work, block, masks, digit)`: add the entry of the table that the masks of a digit choose.

    Every entry is read, whichever it is. Nothing in here knows that a row of masks is one that is set and others that
    are not: they are words that the compiler cannot see through.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        c = _Cells(context, builder, signature, arguments)
        m, word = c.machine, ir.IntType(64)
        data = context.make_array(signature.args[2])(context, builder, arguments[2]).data
        row = builder.mul(arguments[3], ir.Constant(word, _MASKS))
        undefined, zeros = ir.Constant(m.vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        wide = []
        for number in range(_MASKS):
            single = builder.load(builder.gep(data, [builder.add(row, ir.Constant(word, number))]))
            first = builder.insert_element(undefined, single, ir.Constant(ir.IntType(32), 0))
            wide.append(builder.shuffle_vector(first, undefined, zeros))
        addend = []
        for element, none in enumerate(points.addend_of_identity(c.field)):
            chosen = [m.both(wide[0], limb) for limb in none]
            for entry in range(8):
                (multiple,) = c.get(_TABLE + 4 * entry + element)
                chosen = [m.either(x, m.both(wide[1 + entry], y)) for x, y in zip(chosen, multiple, strict=True)]
            addend.append(chosen)
        c.put(_X, *points.add(c.field, c.get(_X, _Y, _Z, _T), points.signed(c.field, wide[9], addend)))
        return context.get_dummy_value()

    return types.void(work, types.intp, masks, types.intp), generate


# -- kernels -----------------------------------------------------------------------------------------------------------


@kernel
def _mul_at(work: U64Array, block: Number, to: Number, a: Number, b: Number) -> None:
    _mul(work, block, to, a, b)


@kernel
def _squares_at(work: U64Array, block: Number, to: Number, a: Number, times: Number) -> None:
    _squares(work, block, to, a, times)


@kernel
def _rooted(work: U64Array, block: Number) -> None:
    """The root of what lies in the slots of u and v."""
    _before_root(work, block)
    # to the power of 2^252 - 3; what A, B and C hold is said as its exponent
    _squares_at(work, block, _A, _POWER, 1)  # A: 2
    _squares_at(work, block, _B, _A, 2)  # B: 8
    _mul_at(work, block, _B, _POWER, _B)  # B: 9
    _mul_at(work, block, _A, _A, _B)  # A: 11
    _squares_at(work, block, _A, _A, 1)  # A: 22
    _mul_at(work, block, _A, _B, _A)  # A: 2^5 - 1
    _squares_at(work, block, _B, _A, 5)
    _mul_at(work, block, _A, _B, _A)  # A: 2^10 - 1
    _squares_at(work, block, _B, _A, 10)
    _mul_at(work, block, _B, _B, _A)  # B: 2^20 - 1
    _squares_at(work, block, _C, _B, 20)
    _mul_at(work, block, _B, _C, _B)  # B: 2^40 - 1
    _squares_at(work, block, _B, _B, 10)
    _mul_at(work, block, _A, _B, _A)  # A: 2^50 - 1
    _squares_at(work, block, _B, _A, 50)
    _mul_at(work, block, _B, _B, _A)  # B: 2^100 - 1
    _squares_at(work, block, _C, _B, 100)
    _mul_at(work, block, _B, _C, _B)  # B: 2^200 - 1
    _squares_at(work, block, _B, _B, 50)
    _mul_at(work, block, _A, _B, _A)  # A: 2^250 - 1
    _squares_at(work, block, _A, _A, 2)
    _mul_at(work, block, _POWER, _A, _POWER)  # 2^252 - 3
    _after_root(work, block)


@kernel
def _doubled(work: U64Array, block: Number) -> None:
    _double(work, block)


@kernel
def _doubled_with_t(work: U64Array, block: Number) -> None:
    _double_with_t(work, block)


@kernel
def _added(work: U64Array, block: Number, addend: Number) -> None:
    _add(work, block, addend)


@kernel
def _multiplied(work: U64Array, block: Number, masks: U64Array) -> None:
    """The point times the scalar whose digits the masks are."""
    _as_addend(work, block, _TABLE)
    for entry in range(1, 8):
        _added(work, block, _TABLE)
        _as_addend(work, block, _TABLE + 4 * entry)
    _identity(work, block)
    for turn in range(DIGITS):
        for _ in range(3):
            _doubled(work, block)
        _doubled_with_t(work, block)
        _add_digit(work, block, masks, DIGITS - 1 - turn)


@inlined
def _limbs_in(work: U64Array, slot: Number, lane: Number, data: U8Array, offset: Number) -> Number:
    """32 bytes to limbs, without their highest bit. Returns whether they are a canonical, even element: 1 or 0."""
    mask = np.uint64((1 << LIMB_BITS) - 1)
    a, b = load64(data, offset), load64(data, offset + 8)
    c, d = load64(data, offset + 16), load64(data, offset + 24)
    at = slot * _WORDS + lane
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
    at = slot * _WORDS + lane
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
def _encoded(work: U64Array, block: Number, out: U8Array, start: Number, count: Number) -> Number:
    """Encode the points of a block into rows. Returns the first lane that is not good or the identity, or `count`."""
    _before_encode(work, block)
    _rooted(work, block)
    _after_encode(work, block)
    first = count
    for lane in range(count):
        some = _limbs_out(work, block + _S, lane, out, POINT_BYTES * (start + lane))
        if some & work[(block + _FINE) * _WORDS + lane] == np.uint64(0):
            first = min(first, lane)
    return first


@kernel
def _multiply_all(points: U8Array, masks: U64Array, out: U8Array, work: U64Array) -> Number:
    n = points.shape[0]
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        for lane in range(LANES):
            fine = _limbs_in(work, _S, lane, points, POINT_BYTES * (start + min(lane, count - 1)))
            work[_FINE * _WORDS + lane] = np.uint64(0) - fine
        _before_decode(work, 0)
        _rooted(work, 0)
        _after_decode(work, 0)
        _multiplied(work, 0, masks)
        first = _encoded(work, 0, out, start, count)
        if first < count:
            return start + first
    return n


@kernel
def _map_half(uniform: U8Array, work: U64Array, start: Number, count: Number, offset: Number) -> None:
    for lane in range(LANES):
        _limbs_in(work, _S, lane, uniform, UNIFORM_BYTES * (start + min(lane, count - 1)) + offset)
    _before_map(work, 0)
    _rooted(work, 0)
    _after_map(work, 0)


@kernel
def _map_all(uniform: U8Array, out: U8Array, work: U64Array) -> Number:
    n = uniform.shape[0]
    work[_FINE * _WORDS : (_FINE + 1) * _WORDS] = ~np.uint64(0)
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        _map_half(uniform, work, start, count, 0)
        _as_addend(work, 0, _TABLE)
        _map_half(uniform, work, start, count, 32)
        _added(work, 0, _TABLE)
        first = _encoded(work, 0, out, start, count)
        if first < count:
            return start + first
    return n


def multiply(points: U8Array, scalar: U8Array, out: U8Array) -> int:
    """As `pets.kernels.sodium.multiply`: the place of the first element that is refused, or their number."""
    masks = np.empty((DIGITS, _MASKS), np.uint64)
    _masks_of(scalar, masks)
    return int(_multiply_all(points, masks, out, scratch()))


def from_uniform(uniform: U8Array, out: U8Array) -> int:
    """As `pets.kernels.sodium.from_uniform`: the place of the first identity, or the number of rows."""
    return int(_map_all(uniform, out, scratch()))
