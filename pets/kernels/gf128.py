"""The field of 2^128 elements: polynomials over GF(2) modulo x^128 + x^7 + x^2 + x + 1. A sum is an XOR.

An element is two words, bit i of the low word the coefficient of x^i: a row of an (n, 2) array. Three back ends with
the same bytes: `clmul512` (four carry-less products an instruction), `clmul` (one) and `portable`, which multiplies
whole numbers with gaps between their bits, so that no carry reaches the next one; no branch and no place in memory
depends on an element. As with AES nothing is chosen by itself: whoever starts a party runs `self_test()` of each in a
child process, and only then `select()` changes the back end of the process.

Source: Gueron, Kounavis, "Intel Carry-Less Multiplication Instruction", 2010 (the product; not its reflected bits);
        Pornin, "Constant-Time Mul" in BearSSL (portable); protocols.md 5.1 and 11.1.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from pets.kernels.jit import Backends, U64Array, address, copy16, is_contiguous, kernel, seen, typed_intrinsic

TOGETHER: Final = 4
"""Elements that ``multiply_step`` multiplies at a time."""

CLMUL512: Final = "clmul512"
CLMUL: Final = "clmul"
PORTABLE: Final = "portable"

_NEEDS: Final = {
    CLMUL512: ("pclmul", "vpclmulqdq", "avx512f", "avx512vl", "avx512bw", "avx512dq"),
    CLMUL: ("pclmul", "sse2", "ssse3"),
    PORTABLE: (),
}
_DIMENSIONS: Final = {PORTABLE: 1, CLMUL: 2, CLMUL512: 3}
"""The type of the first argument of a kernel names its back end, so one source of each kernel serves all three."""

_POLYNOMIAL: Final = 0x87

_backends: Final = Backends("GF(2^128)", _NEEDS)
features, select, selected = _backends.features, _backends.select, _backends.selected


def self_test(backend: str) -> None:
    """Compare `backend` with known answers, in every lane and in the tail. Raises RuntimeError.

    Source: x^127 x = x^7 + x^2 + x + 1; a^(2^128) = a for all a, by 128 squares; NIST SP 800-38D's example product,
            bits in the other order.
    """
    how = _how(backend)
    many = np.zeros((2 * TOGETHER + 3, 2), np.uint64)
    many[:, 1] = np.uint64(1 << 63)
    if any(tuple(row) != (_POLYNOMIAL, 0) for row in _multiplied(how, many, _row(2)).tolist()):
        raise RuntimeError(f"back end {backend} reduces wrongly")
    one, other = _row(0x66E94BD4EF8A2C3B884CFA59CA342B2E, mirrored=True), _row(1 << 128 - 1, mirrored=True)
    if _multiplied(how, one, other).tolist() != one.tolist():
        raise RuntimeError(f"back end {backend} has another one")
    a, b = (_row(n, mirrored=True) for n in (0x0388DACE60B6A392F328C2B971B2FE78, 0x66E94BD4EF8A2C3B884CFA59CA342B2E))
    if _multiplied(how, a, b).tolist() != _row(0x5E2EC746917062882C85B0685353DEB7, mirrored=True).tolist():
        raise RuntimeError(f"back end {backend} fails the known product")
    power = a
    for _ in range(128):
        power = _multiplied(how, power, power)
    if power.tolist() != a.tolist():
        raise RuntimeError(f"back end {backend} squares wrongly")


def how() -> U64Array:
    """What tells ``multiply_step`` in a kernel of another module the back end in use."""
    return _how(selected())


def multiply(a: U64Array, b: U64Array) -> U64Array:
    """Products of elements, one by one, or of all of `a` by the one element of `b`.

    Shapes:  a (n, 2) uint64, b (n, 2) or (1, 2); result (n, 2). Elements may be secret.
    Raises:  ValueError on a wrong shape or dtype.
    """
    return _multiplied(how(), a, b)


def dot(a: U64Array, b: U64Array) -> U64Array:
    """The sum of products. Shapes: a and b (n, 2) uint64; result (1, 2)."""
    if a.shape != b.shape:
        raise ValueError("a sum of products is of as many elements on both sides")
    return total(multiply(a, b))


def total(a: U64Array) -> U64Array:
    """The sum of all elements. Shapes: a (n, 2) uint64; result (1, 2)."""
    _check(a)
    return np.bitwise_xor.reduce(a, axis=0, keepdims=True)


def powers(a: U64Array, count: int) -> U64Array:
    """The first `count` powers of one element, from 1 up. Shapes: a (1, 2) uint64; result (count, 2)."""
    if a.shape != (1, 2) or count < 1:
        raise ValueError("at least one power, of one element")
    out = np.zeros((count, 2), np.uint64)
    out[0, 0] = 1
    known, step = 1, a
    while known < count:  # twice as many each time: the next ones are those known, times a^known
        more = min(known, count - known)
        out[known : known + more] = multiply(out[:more], step)
        known, step = known + more, multiply(step, step)
    return out


def inverse(a: U64Array) -> U64Array:
    """1 / a for each element that is not 0, and 0 for 0: a^(2^128 - 2). Shapes: a (n, 2) uint64; result (n, 2)."""
    square = multiply(a, a)
    out = square
    for _ in range(126):
        square = multiply(square, square)
        out = multiply(out, square)
    return out


def _row(number: int, *, mirrored: bool = False) -> U64Array:
    """An element from a whole number; ``mirrored``: the highest of its 128 bits is the coefficient of 1, as in GCM."""
    if mirrored:
        number = int(f"{number:0128b}"[::-1], 2)
    return np.array([[number & (1 << 64) - 1, number >> 64]], np.uint64)


def _how(backend: str) -> U64Array:
    return np.zeros((1,) * _DIMENSIONS[backend], np.uint64)


def _check(*arrays: U64Array) -> None:
    for array in arrays:
        if array.dtype != np.uint64 or array.ndim != 2 or array.shape[1] != 2:
            raise ValueError("elements are an (n, 2) array of uint64")


def _multiplied(how: U64Array, a: U64Array, b: U64Array) -> U64Array:
    _check(a, b)
    if len(b) not in (1, len(a)):
        raise ValueError("as many factors on both sides, or one")
    out = np.empty((len(a), 2), np.uint64)
    scratch = np.zeros((3, 2 * TOGETHER), np.uint64)
    along = int(len(b) == len(a))
    if not along:
        b = np.tile(b, (TOGETHER, 1))
    _multiply_kernel(how, seen(a), seen(b), along, out, scratch)
    return out


# -- kernels ----------------------------------------------------------------------------------------------------------


@kernel
def _multiply_kernel(how: U64Array, a: U64Array, b: U64Array, along: int, out: U64Array, scratch: U64Array) -> None:
    """``along``: 1 if there is a b for each a, 0 if four copies of one b are there for all."""
    whole = a.shape[0] // TOGETHER * TOGETHER
    for i in range(0, whole, TOGETHER):
        multiply_step(how, a, 16 * i, b, 16 * i * along, out, 16 * i)
    left = a.shape[0] - whole
    if left > 0:
        for i in range(left):
            copy16(scratch, 16 * i, a, 16 * (whole + i))
            copy16(scratch, 16 * (TOGETHER + i), b, 16 * (whole * along + i))
        multiply_step(how, scratch, 0, scratch, 16 * TOGETHER, scratch, 32 * TOGETHER)
        for i in range(left):
            copy16(out, 16 * (whole + i), scratch, 16 * (2 * TOGETHER + i))


Places = list[Callable[[int, ir.Type], Any]]
"""Where elements lie: called with bytes further on and a type, each gives an address of that type."""

_I64: Final = ir.IntType(64)
_PAIR: Final = ir.VectorType(_I64, 2)
_FOUR: Final = ir.VectorType(_I64, 4)
_WIDE: Final = ir.VectorType(_I64, 8)
_INDEX: Final = ir.IntType(32)


@typed_intrinsic
def multiply_step(typing_context: Any, how: Any, a: Any, at_a: Any, b: Any, at_b: Any, out: Any, at_out: Any) -> Any:
    """`multiply_step(how, a, at_a, b, at_b, out, at_out)`: four products, of the 64 bytes from each byte offset.

    All is read before anything is written. Nothing checks the bounds.
    """
    if not is_contiguous(how, a, b, out) or not all(isinstance(at, types.Integer) for at in (at_a, at_b, at_out)):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        field = Field(builder, how.ndim)
        factors = [field.load(in_a_row(context, builder, signature, arguments, i)) for i in (1, 3)]
        field.store(field.product(*factors), in_a_row(context, builder, signature, arguments, 5))
        return context.get_dummy_value()

    return types.void(how, a, types.intp, b, types.intp, out, types.intp), emit


def in_a_row(context: Any, builder: Any, signature: Any, arguments: Any, argument: int) -> Places:
    """Places of four elements in a row: of the array that is this argument, from the byte that is the next one."""
    return [
        place_of(context, builder, signature, arguments, argument, arguments[argument + 1], 16 * i)
        for i in range(TOGETHER)
    ]


def place_of(
    context: Any, builder: Any, signature: Any, arguments: Any, argument: int, offset: Any, more: int = 0
) -> Callable[[int, ir.Type], Any]:
    """The place of one element: of the array that is this argument, at byte ``offset`` and ``more``."""

    def at(further: int, kind: ir.Type) -> Any:
        byte = builder.add(offset, ir.Constant(_I64, more + further))
        return address(context, builder, signature.args[argument], arguments[argument], byte, kind)

    return at


class Field:
    """Emits arithmetic on four elements at a time, in as many registers as the back end takes for them.

    ``dimensions``: of the kernel's first argument, see ``how``. Elements are a list: of one register with all four, of
    four with one each, or, portable, of one with the four low words and one with the high ones.
    """

    def __init__(self, builder: Any, dimensions: int) -> None:
        self._builder: Final = builder
        self._narrow: Final = dimensions == _DIMENSIONS[CLMUL]
        self._portable: Final = dimensions == _DIMENSIONS[PORTABLE]
        self._kind: Final = {_DIMENSIONS[CLMUL512]: _WIDE, _DIMENSIONS[CLMUL]: _PAIR}.get(dimensions, _FOUR)

    def load(self, places: Places, *, in_a_row: bool = True) -> list[Any]:
        """Four elements, from places that follow each other or from any."""
        if self._narrow:
            return [self._builder.load(place(0, _PAIR), align=1) for place in places]
        if in_a_row:
            whole = self._builder.load(places[0](0, _WIDE), align=1)
        else:
            pairs = [self._builder.load(place(0, _PAIR), align=1) for place in places]
            halves = [self._shuffled(pairs[i], pairs[i + 1], range(4)) for i in (0, 2)]
            whole = self._shuffled(halves[0], halves[1], range(8))
        return [self._shuffled(whole, whole, range(i, 8, 2)) for i in range(2)] if self._portable else [whole]

    def store(self, values: list[Any], places: Places) -> None:
        """Write four elements to places that follow each other."""
        if self._portable:
            values = [self._shuffled(values[0], values[1], (0, 4, 1, 5, 2, 6, 3, 7))]
        for value, place in zip(values, places, strict=False):
            self._builder.store(value, place(0, value.type), align=1)

    def sum(self, a: list[Any], b: list[Any]) -> list[Any]:
        return [self._builder.xor(x, y) for x, y in zip(a, b, strict=True)]

    def product(self, a: list[Any], b: list[Any]) -> list[Any]:
        if self._portable:
            return self._portable_product(a, b)
        return [self._carryless_product(x, y) for x, y in zip(a, b, strict=True)]

    def _shuffled(self, a: Any, b: Any, words: Iterable[int]) -> Any:
        """The words of two registers that have these numbers."""
        order = [_INDEX(word) for word in words]
        return self._builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, len(order)), order))

    def _carryless_product(self, a: Any, b: Any) -> Any:
        """Products of the elements in two registers, reduced: 4 + 2 instructions of that kind."""
        builder, vector, count = self._builder, self._kind, self._kind.count
        name = "llvm.x86.pclmulqdq" + ("" if self._narrow else ".512")
        clmul = builder.module.declare_intrinsic(name, fnty=ir.FunctionType(vector, [vector, vector, ir.IntType(8)]))
        zero, fold = (ir.Constant(vector, [value] * count) for value in (0, _POLYNOMIAL))

        def times(x: Any, y: Any, halves: int) -> Any:
            return builder.call(clmul, [x, y, ir.IntType(8)(halves)])

        def up(x: Any) -> Any:
            """The low word of each element as its high one, 0 below."""
            return self._shuffled(x, zero, (i - 1 if i % 2 else count for i in range(count)))

        def down(x: Any) -> Any:
            """The high word of each element as its low one, 0 above."""
            return self._shuffled(x, zero, (count if i % 2 else i + 1 for i in range(count)))

        middle = builder.xor(times(a, b, 0x01), times(a, b, 0x10))
        low, high = builder.xor(times(a, b, 0x00), up(middle)), builder.xor(times(a, b, 0x11), down(middle))
        top = times(high, fold, 0x01)
        low, high = builder.xor(low, up(top)), builder.xor(high, down(top))
        return builder.xor(low, times(high, fold, 0x00))

    def _portable_product(self, a: list[Any], b: list[Any]) -> list[Any]:
        """The low and the high words of products, by multiplications of whole numbers."""
        builder = self._builder
        reverse = builder.module.declare_intrinsic("llvm.bitreverse.v4i64", fnty=ir.FunctionType(_FOUR, [_FOUR]))

        def constant(value: int) -> Any:
            return ir.Constant(_FOUR, [value] * 4)

        def xor(*values: Any) -> Any:
            return reduce(builder.xor, values)

        def low_half(x: Any, y: Any) -> Any:
            """The low 64 bits of a carry-less product: every fourth bit at a time, so sums of 16 bits stay apart."""
            masks = [constant(0x1111111111111111 << i) for i in range(4)]
            xs, ys = ([builder.and_(value, mask) for mask in masks] for value in (x, y))
            out = constant(0)
            for i in range(4):
                part = xor(*(builder.mul(xs[j], ys[(i - j) % 4]) for j in range(4)))
                out = builder.or_(out, builder.and_(part, masks[i]))
            return out

        def times(x: Any, y: Any) -> tuple[Any, Any]:
            other = low_half(builder.call(reverse, [x]), builder.call(reverse, [y]))
            return low_half(x, y), builder.lshr(builder.call(reverse, [other]), constant(1))

        low, high, both = times(a[0], b[0]), times(a[1], b[1]), times(xor(*a), xor(*b))
        middle = [xor(both[i], low[i], high[i]) for i in range(2)]
        words = [low[0], xor(low[1], middle[0]), xor(high[0], middle[1]), high[1]]
        for i in (3, 2):  # x^128 = x^7 + x^2 + x + 1
            for shift in (0, 1, 2, 7):
                words[i - 2] = xor(words[i - 2], builder.shl(words[i], constant(shift)))
                if shift:
                    words[i - 1] = xor(words[i - 1], builder.lshr(words[i], constant(64 - shift)))
        return words[:2]
