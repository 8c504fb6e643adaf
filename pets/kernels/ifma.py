"""The formulas of `pets.kernels.points`, emitted as AVX-512 IFMA instructions for eight elements at a time.

IFMA multiplies 52 bits by 52 in each of eight lanes and adds one half of the product to 64 bits. A *block* is eight
elements; a field element of a block is five registers, and lies in the scratch memory `work` at a slot. A step reads
slots and writes slots; `pets.kernels.lanes` puts steps and loops together. No step branches on anything, and no address
depends on anything but public numbers: what is secret is a mask, and masks come in as data.

Source: protocols.md 6, "Later kernel".
"""

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels import points
from pets.kernels.field import LIMBS, Element, Field, Word
from pets.kernels.jit import typed_intrinsic

LANES: Final = 8
SLOT_WORDS: Final = LIMBS * LANES
"""Words of a slot."""
MASKS: Final = 10
"""Of each digit: is its size 0, ..., 8; is it negative?"""

# What lies where in a block's part of the scratch memory.
S, X, Y, Z, T, U1, U2, V, U_OF_ROOT, V_OF_ROOT, UV3, POWER, ROOT, GOOD, FINE, A, B, C = range(18)
TABLE: Final = 18
SLOTS: Final = TABLE + 8 * 4


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

    def variable(self, value: Word) -> Any:
        """Memory of the function, which the compiler puts into a register."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(self.vector)
        self.builder.store(value, place)
        return place

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
        builder.function.attributes.add("noinline")  # a kernel of steps is compiled once, and is long enough
        self._builder = builder
        self._base = builder.bitcast(
            context.make_array(signature.args[0])(context, builder, arguments[0]).data, cgutils.voidptr_t
        )

    def place(self, slot: Any, limb: int) -> Any:
        """Address of a limb. A slot is a number, or one that the kernel computes."""
        word = ir.IntType(64)
        number = ir.Constant(word, slot) if isinstance(slot, int) else slot
        byte = self._builder.mul(number, ir.Constant(word, 8 * SLOT_WORDS))
        byte = self._builder.add(byte, ir.Constant(word, 8 * LANES * limb))
        return self._builder.bitcast(self._builder.gep(self._base, [byte]), self.machine.vector.as_pointer())

    def get(self, *slots: Any) -> list[Element]:
        return [[self._builder.load(self.place(slot, limb), align=64) for limb in range(LIMBS)] for slot in slots]

    def put(self, slot: Any, *elements: Element) -> None:
        """Write to a slot and those that follow it."""
        for offset, element in enumerate(elements):
            at = (
                slot + offset if isinstance(slot, int) else self._builder.add(slot, ir.Constant(ir.IntType(64), offset))
            )
            for limb, word in enumerate(element):
                self._builder.store(word, self.place(at, limb), align=64)


def _step(emit: Callable[[_Cells], None], numbers: int = 0) -> Callable[..., Any]:
    """What a kernel calls as `step(work)`, or with one or three `numbers`, which the docstring of `emit` names."""

    def typed(work: Any, *more: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit(_Cells(context, builder, signature, arguments))
            return context.get_dummy_value()

        return types.void(work, *[types.intp] * len(more)), generate

    if numbers == 0:
        return typed_intrinsic(lambda typing_context, work: typed(work))
    if numbers == 1:
        return typed_intrinsic(lambda typing_context, work, a: typed(work, a))
    return typed_intrinsic(lambda typing_context, work, a, b, c: typed(work, a, b, c))


# -- steps -------------------------------------------------------------------------------------------------------------


def _emit_mul(c: _Cells) -> None:
    """Numbers: the slot that is written, those of both factors."""
    a, b = c.get(*c.arguments[2:4])
    c.put(c.arguments[1], c.field.mul(a, b))


def _emit_squares(c: _Cells) -> None:
    """Numbers: the slot that is written, that which is read, how often it is squared."""
    builder = c.machine.builder
    (a,) = c.get(c.arguments[2])
    places = [c.machine.variable(limb) for limb in a]
    with cgutils.for_range(builder, c.arguments[3]):
        squared = c.field.square([builder.load(place) for place in places])
        for place, limb in zip(places, squared, strict=True):
            builder.store(limb, place)
    c.put(c.arguments[1], [builder.load(place) for place in places])


def _emit_before_root(c: _Cells) -> None:
    c.put(UV3, *points.before_root(c.field, *c.get(U_OF_ROOT, V_OF_ROOT)))


def _emit_after_root(c: _Cells) -> None:
    root, good = points.after_root(c.field, *c.get(U_OF_ROOT, V_OF_ROOT, UV3, POWER))
    c.put(ROOT, root, [good] * LIMBS)


def _emit_before_decode(c: _Cells) -> None:
    c.put(U1, *points.before_decode(c.field, *c.get(S)))


def _emit_after_decode(c: _Cells) -> None:
    s, u1, u2, v, root, square, fine = c.get(S, U1, U2, V, ROOT, GOOD, FINE)
    point, good = points.after_decode(c.field, s, u1, u2, v, root, square[0])
    c.put(X, *point)
    c.put(FINE, [c.machine.both(fine[0], good)] * LIMBS)


def _emit_before_encode(c: _Cells) -> None:
    u1, u2, u, v = points.before_encode(c.field, *c.get(X, Y, Z))
    c.put(U1, u1, u2)
    c.put(U_OF_ROOT, u, v)


def _emit_after_encode(c: _Cells) -> None:
    c.put(S, points.after_encode(c.field, c.get(X, Y, Z, T), *c.get(U1, U2, ROOT)))


def _emit_before_map(c: _Cells) -> None:
    r, u, v = points.before_map(c.field, *c.get(S))
    c.put(U1, r)
    c.put(U_OF_ROOT, u, v)


def _emit_after_map(c: _Cells) -> None:
    t, r, v, root, square = c.get(S, U1, V_OF_ROOT, ROOT, GOOD)
    c.put(X, *points.after_map(c.field, t, r, v, root, square[0]))


def _emit_identity(c: _Cells) -> None:
    c.put(X, *points.identity(c.field))


def _emit_double(c: _Cells) -> None:
    c.put(X, *points.double(c.field, *c.get(X, Y, Z), with_t=False))


def _emit_double_with_t(c: _Cells) -> None:
    c.put(X, *points.double(c.field, *c.get(X, Y, Z), with_t=True))


def _emit_as_addend(c: _Cells) -> None:
    """Number: the first of the four slots that are written."""
    c.put(c.arguments[1], *points.as_addend(c.field, c.get(X, Y, Z, T)))


def _emit_add(c: _Cells) -> None:
    """Number: the first of the four slots of the addend."""
    builder, first = c.machine.builder, c.arguments[1]
    addend = c.get(*(builder.add(first, ir.Constant(ir.IntType(64), i)) for i in range(4)))
    c.put(X, *points.add(c.field, c.get(X, Y, Z, T), addend))


mul, squares = _step(_emit_mul, 3), _step(_emit_squares, 3)
before_root, after_root = _step(_emit_before_root), _step(_emit_after_root)
before_decode, after_decode = _step(_emit_before_decode), _step(_emit_after_decode)
before_encode, after_encode = _step(_emit_before_encode), _step(_emit_after_encode)
before_map, after_map = _step(_emit_before_map), _step(_emit_after_map)
identity, double, double_with_t = _step(_emit_identity), _step(_emit_double), _step(_emit_double_with_t)
as_addend, add = _step(_emit_as_addend, 1), _step(_emit_add, 1)


@typed_intrinsic
def add_digit(typing_context: Any, work: Any, masks: Any, digit: Any) -> Any:
    """`add_digit(work, masks, digit)`: add the entry of the table that the masks of a digit choose.

    Masks have two axes, digit and size, if all lanes have the same digits, else a third: the lane.

    Every entry is read, whichever it is. Nothing in here knows that a row of masks is one that is set and others that
    are not: they are words that the compiler cannot see through.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        c = _Cells(context, builder, signature, arguments)
        m, word = c.machine, ir.IntType(64)
        data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        row = builder.mul(arguments[2], ir.Constant(word, MASKS))
        if masks.ndim == 3:
            data = builder.bitcast(data, m.vector.as_pointer())
        undefined, zeros = ir.Constant(m.vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        wide = []
        for number in range(MASKS):
            at = builder.gep(data, [builder.add(row, ir.Constant(word, number))])
            if masks.ndim == 3:
                wide.append(builder.load(at, align=8))
                continue
            single = builder.load(at)
            first = builder.insert_element(undefined, single, ir.Constant(ir.IntType(32), 0))
            wide.append(builder.shuffle_vector(first, undefined, zeros))
        addend = []
        for element, none in enumerate(points.addend_of_identity(c.field)):
            chosen = [m.both(wide[0], limb) for limb in none]
            for entry in range(8):
                (multiple,) = c.get(TABLE + 4 * entry + element)
                chosen = [m.either(x, m.both(wide[1 + entry], y)) for x, y in zip(chosen, multiple, strict=True)]
            addend.append(chosen)
        c.put(X, *points.add(c.field, c.get(X, Y, Z, T), points.signed(c.field, wide[9], addend)))
        return context.get_dummy_value()

    return types.void(work, masks, types.intp), generate
