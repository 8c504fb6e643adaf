"""The prime fields of Prio3 in kernels: Field64, p = 2^64 - 2^32 + 1, and Field128, p = 2^128 - 7 * 2^66 + 1.

An element lies in an array as its canonical encoding, little-endian: in Field64 a word of an (n,) array, in Field128
two words, the low one first, a row of an (n, 2) array. The shape says the field, so one source of each kernel serves
both: what `load` gives, `add`, `sub` and `multiply` take, and `store` writes.

`multiply(a, b)` is a * b / R, with R = 1 in Field64 and R = 2^128 in Field128 (Montgomery's product). A *scaled*
element is one times R: plain times scaled is plain, scaled times scaled is scaled. Constants and weights are scaled,
what came from somebody or goes to them is plain.

Both primes make reduction cheap: in Field64, 2^64 is 2^32 - 1 and 2^96 is -1; in Field128, p is 1 modulo 2^64.
No branch depends on an element.

Source: draft-irtf-cfrg-vdaf-20, 6.1.3 (parameters); Montgomery, "Modular multiplication without trial division", 1985.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from pets.kernels.jit import (
    I64Array,
    Number,
    U8Array,
    U64Array,
    address,
    inlined,
    is_contiguous,
    kernel,
    typed_intrinsic,
)

Element = Any
"""An element inside a kernel: a word, or a pair of words."""


@dataclass(frozen=True, slots=True)
class Prime:
    """One field: its modulus, how many words an element has, and how large its group of roots of one is."""

    name: str
    modulus: int
    words: int
    two_adicity: int
    scale: int

    @property
    def bytes(self) -> int:
        """Bytes of an encoded element."""
        return 8 * self.words

    @property
    def limit(self) -> int:
        """Words of random bytes below this cannot make an element that is not below the modulus."""
        return self.modulus >> 64 * (self.words - 1)

    def empty(self, count: int) -> U64Array:
        """An array for so many elements."""
        return np.empty(count if self.words == 1 else (count, self.words), np.uint64)

    def zeros(self, count: int) -> U64Array:
        """So many zeros."""
        return np.zeros(count if self.words == 1 else (count, self.words), np.uint64)

    def array(self, numbers: Iterable[int], *, scaled: bool = False) -> U64Array:
        """Elements from integers of either sign, modulo p."""
        factor = self.scale if scaled else 1
        canonical = b"".join((n * factor % self.modulus).to_bytes(self.bytes, "little") for n in numbers)
        return self.shaped(np.frombuffer(bytearray(canonical), np.uint64))

    def signed(self, numbers: I64Array) -> U64Array:
        """Elements from whole numbers of either sign, modulo p. Shapes: numbers (n,) int64."""
        words, negative = numbers.view(np.uint64), numbers < 0
        if self.words == 1:
            return np.where(negative, words + np.uint64(self.modulus), words)
        out = self.zeros(len(numbers))  # the low word of p is 1: less than -1 takes one from the high word
        out[:, 0] = words + negative.astype(np.uint64)
        out[:, 1] = np.where(negative, np.uint64(self.limit), np.uint64(0)) - (numbers < -1).astype(np.uint64)
        return out

    def integers(self, elements: U64Array) -> list[int]:
        """The integers, 0 to p - 1, that elements stand for; whoever calls may know them."""
        data = np.ascontiguousarray(elements).tobytes()
        return [int.from_bytes(data[i : i + self.bytes], "little") for i in range(0, len(data), self.bytes)]

    def shaped(self, words: U64Array) -> U64Array:
        """Words in a row as an array of elements."""
        return words if self.words == 1 else words.reshape(-1, self.words)

    def root(self, order: int) -> int:
        """The root of one of this order, a power of two, that the draft's generator gives."""
        if order < 1 or order & order - 1 or order > 1 << self.two_adicity:
            raise ValueError(f"{self.name} has no root of one of order {order}")
        return pow(7, (self.modulus - 1) // order, self.modulus)

    def roots(self, order: int) -> U64Array:
        """All powers of that root, from 1 up, scaled. Shapes: as `empty(order)`."""
        root, powers, power = self.root(order), [], 1
        for _ in range(order):
            powers.append(power)
            power = power * root % self.modulus
        return self.array(powers, scaled=True)


FIELD64: Final = Prime("Field64", 2**32 * 4294967295 + 1, 1, 32, 1)
FIELD128: Final = Prime("Field128", 2**66 * 4611686018427387897 + 1, 2, 66, 2**128)

_P64: Final = FIELD64.modulus
_P128: Final = FIELD128.modulus
_PAIR: Final[Any] = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]
_TRIPLE: Final[Any] = types.UniTuple(types.uint64, 3)  # type: ignore[no-untyped-call]
_WORD, _DOUBLE = ir.IntType(64), ir.IntType(128)


# -- elements in registers ---------------------------------------------------------------------------------------------


def _kind(*elements: Any) -> Any:
    """The type of an element, if all are of one field."""
    return elements[0] if elements[0] in (types.uint64, _PAIR) and all(e == elements[0] for e in elements) else None


def _joined(builder: Any, pair: Any) -> Any:
    low, high = (builder.zext(builder.extract_value(pair, i), _DOUBLE) for i in range(2))
    return builder.or_(low, builder.shl(high, _DOUBLE(64)))


def _parted(builder: Any, number: Any) -> Any:
    low, high = builder.trunc(number, _WORD), builder.trunc(builder.lshr(number, _DOUBLE(64)), _WORD)
    empty = ir.Constant(ir.ArrayType(_WORD, 2), ir.Undefined)
    return builder.insert_value(builder.insert_value(empty, low, 0), high, 1)


@typed_intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """`load(array, index)`: element `index`. Nothing checks the bounds."""
    if not is_contiguous(array) or array.ndim not in (1, 2) or not isinstance(index, types.Integer):
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        return (
            builder.load(place, align=8)
            if array.ndim == 1
            else _parted(builder, builder.load(builder.bitcast(place, _DOUBLE.as_pointer()), align=8))
        )

    return (types.uint64 if array.ndim == 1 else _PAIR)(array, types.intp), emit


@typed_intrinsic
def store(typing_context: Any, array: Any, index: Any, element: Any) -> Any:
    """`store(array, index, element)`. Nothing checks the bounds."""
    if not is_contiguous(array) or not isinstance(index, types.Integer) or _kind(element) is None:
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        if element == types.uint64:
            builder.store(arguments[2], place, align=8)
        else:
            wide = builder.bitcast(place, _DOUBLE.as_pointer())
            builder.store(_joined(builder, arguments[2]), wide, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, element), emit


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = signature.args[0]
    offset = builder.shl(arguments[1], arguments[1].type(3 if array.ndim == 1 else 4))
    return address(context, builder, array, arguments[0], offset, _WORD)


def _sum(builder: Any, a: Any, b: Any, modulus: int) -> Any:
    """a + b modulo p, of integers of one width: a - (p - b), and p more if that went below zero."""
    return _difference(builder, a, builder.sub(a.type(modulus), b), modulus)


def _difference(builder: Any, a: Any, b: Any, modulus: int) -> Any:
    wrapped = builder.icmp_unsigned("<", a, b)
    back = builder.select(wrapped, a.type(modulus), a.type(0))
    return builder.add(builder.sub(a, b), back)


def _on_both(element: Any, operation: Any) -> Any:
    """An emitter that applies `operation(builder, a, b, modulus)` in the field of `element`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if element == types.uint64:
            return operation(builder, *arguments, _P64)
        return _parted(builder, operation(builder, *(_joined(builder, pair) for pair in arguments), _P128))

    return emit


@typed_intrinsic
def add(typing_context: Any, a: Any, b: Any) -> Any:
    """`add(a, b)`: the sum of two elements."""
    kind = _kind(a, b)
    return None if kind is None else (kind(kind, kind), _on_both(kind, _sum))


@typed_intrinsic
def sub(typing_context: Any, a: Any, b: Any) -> Any:
    """`sub(a, b)`: the difference of two elements."""
    kind = _kind(a, b)
    return None if kind is None else (kind(kind, kind), _on_both(kind, _difference))


@typed_intrinsic
def multiply(typing_context: Any, a: Any, b: Any) -> Any:
    """`multiply(a, b)`: a * b / R, see above."""
    kind = _kind(a, b)
    return None if kind is None else (kind(kind, kind), _on_both(kind, _product))


@typed_intrinsic
def doubled_and(typing_context: Any, total: Any, b: Any) -> Any:
    """`doubled_and(total, b)`: twice three words and an element of Field128, without reduction."""
    if total != _TRIPLE or b != _PAIR:
        return None

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(192)
        words = [builder.zext(builder.extract_value(arguments[0], i), wide) for i in range(3)]
        number = builder.or_(words[0], builder.shl(words[1], wide(64)))
        number = builder.shl(builder.or_(number, builder.shl(words[2], wide(128))), wide(1))
        number = builder.add(number, builder.zext(_joined(builder, arguments[1]), wide))
        out = ir.Constant(ir.ArrayType(_WORD, 3), ir.Undefined)
        for i in range(3):
            out = builder.insert_value(out, builder.trunc(builder.lshr(number, wide(64 * i)), _WORD), i)
        return out

    return _TRIPLE(_TRIPLE, _PAIR), emit


@typed_intrinsic
def is_zero(typing_context: Any, a: Any) -> Any:
    """`is_zero(a)`: whether an element, which must be public, is 0."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = arguments[0] if a == types.uint64 else _joined(builder, arguments[0])
        return builder.icmp_unsigned("==", number, number.type(0))

    return None if _kind(a) is None else (types.boolean(a), emit)


def _product(builder: Any, a: Any, b: Any, modulus: int) -> Any:
    return _product64(builder, a, b) if modulus == _P64 else _product128(builder, a, b)


def _product64(builder: Any, a: Any, b: Any) -> Any:
    """Low word, less the upper half of the high one (2^96 is -1), and 2^32 - 1 times the lower half (2^64)."""
    wide = builder.mul(builder.zext(a, _DOUBLE), builder.zext(b, _DOUBLE))
    low, high = builder.trunc(wide, _WORD), builder.trunc(builder.lshr(wide, _DOUBLE(64)), _WORD)
    upper, lower = builder.lshr(high, _WORD(32)), builder.and_(high, _WORD(2**32 - 1))
    # the low word may be p or more: the difference is below p, or in [0, 2^64), and is made canonical at the end
    wrapped = builder.icmp_unsigned("<", low, upper)
    first = builder.sub(builder.sub(low, upper), builder.select(wrapped, _WORD(2**32 - 1), _WORD(0)))
    times = builder.sub(builder.shl(lower, _WORD(32)), lower)
    total = builder.add(first, times)
    over = builder.icmp_unsigned("<", total, times)
    second = builder.add(total, builder.select(over, _WORD(2**32 - 1), _WORD(0)))
    above = builder.icmp_unsigned(">=", second, _WORD(_P64))
    return builder.sub(second, builder.select(above, _WORD(_P64), _WORD(0)))


def _product128(builder: Any, a: Any, b: Any) -> Any:
    """With T = a * b and m = T / p modulo 2^128, the product is (T - m p) / 2^128, which lies above -p and below p.

    As p is 1 - 28 * 2^64 + 2^128, the low word of m is that of T, t0; the high one, m1, is the low word of t1 + 28 t0.
    What is left of T - m p above 2^128 is its upper half, 28 m1, and what t1 + 28 t0 carries, at most 28, less m. One
    factor is below p and the other below 2^128: the upper half is at most p - 2, what is added to it at most 28 * 2^64,
    and nothing overflows.
    """

    def halves(number: Any) -> list[Any]:
        return [builder.and_(number, _DOUBLE(2**64 - 1)), builder.lshr(number, _DOUBLE(64))]

    (a0, a1), (b0, b1) = halves(a), halves(b)
    (t0, carry), (low1, high1), (low2, high2) = (halves(builder.mul(*pair)) for pair in ((a0, b0), (a0, b1), (a1, b0)))
    t1, over = halves(builder.add(builder.add(carry, low1), low2))
    upper = builder.add(builder.add(builder.mul(a1, b1), over), builder.add(high1, high2))
    m1, rest = halves(builder.add(t1, builder.mul(t0, _DOUBLE(28))))
    positive = builder.add(builder.add(upper, rest), builder.mul(m1, _DOUBLE(28)))
    m = builder.or_(t0, builder.shl(m1, _DOUBLE(64)))
    return _difference(builder, positive, m, _P128)


# -- arrays of elements ------------------------------------------------------------------------------------------------


def added(a: U64Array, b: U64Array) -> U64Array:
    """Sums, one by one. Shapes: equal, of either field."""
    return _apart(a, b, 0)


def subtracted(a: U64Array, b: U64Array) -> U64Array:
    """Differences, one by one. Shapes: equal, of either field."""
    return _apart(a, b, 1)


def multiplied(a: U64Array, b: U64Array) -> U64Array:
    """Products a * b / R, one by one. Shapes: equal, of either field."""
    return _apart(a, b, 2)


def encodes(prime: Prime, rows: U64Array, count: int) -> U8Array:
    """Which rows of words begin with `count` encodings of elements: 1, else 0. Shapes: rows (n, words) uint64; (n,)."""
    out = np.ones(len(rows), np.uint8)
    top, bottom = np.uint64(prime.limit), np.uint64(prime.modulus & 2**64 - 1)
    _below(np.ascontiguousarray(rows), count, prime.words, top, bottom, out)
    return out


def totals(a: U64Array, width: int) -> U64Array:
    """The sums of rows of `width` elements, place by place. Shapes: a (n * width) elements, result (width)."""
    out = np.zeros((width, *a.shape[1:]), np.uint64)
    _add_rows(np.ascontiguousarray(a), out)
    return out


def inverses(prime: Prime, a: U64Array) -> U64Array:
    """1 / a of each, scaled to scaled; 0 for all if one is 0, so that no branch depends on an element."""
    out = np.empty_like(a)
    invert_all(np.ascontiguousarray(a), exponent(prime), prime.array([1], scaled=True), out)
    return out


def exponent(prime: Prime) -> U64Array:
    """The power p - 2 as words, for ``inverse`` in kernels."""
    return np.array([(prime.modulus - 2) >> 64 * i & 2**64 - 1 for i in range(prime.words)], np.uint64)


def _apart(a: U64Array, b: U64Array, operation: int) -> U64Array:
    if a.dtype != np.uint64 or a.dtype != b.dtype or a.shape != b.shape or a.shape[1:] not in ((), (2,)):
        raise ValueError("elements are (n,) or (n, 2) arrays of uint64, as many on both sides")
    out = np.empty(a.shape, np.uint64)
    _each(np.ascontiguousarray(a), np.ascontiguousarray(b), operation, out)
    return out


@kernel
def _each(a: U64Array, b: U64Array, operation: int, out: U64Array) -> None:
    if operation == 0:
        for i in range(out.shape[0]):
            store(out, i, add(load(a, i), load(b, i)))
    elif operation == 1:
        for i in range(out.shape[0]):
            store(out, i, sub(load(a, i), load(b, i)))
    else:
        for i in range(out.shape[0]):
            store(out, i, multiply(load(a, i), load(b, i)))


@inlined
def _is_below(high: Number, low: Number, top: Number, bottom: Number) -> Number:
    return high < top or (high == top and low < bottom)


@kernel
def _below(words: U64Array, count: Number, width: Number, top: Number, bottom: Number, out: U8Array) -> None:
    for row in range(out.shape[0]):
        good = True
        for i in range(count):
            high = words[row, i * width + width - 1]
            good &= _is_below(high, words[row, i * width] if width > 1 else high, top, bottom)
        out[row] = 1 if good else 0


@kernel
def _add_rows(a: U64Array, out: U64Array) -> None:
    width = out.shape[0]
    for start in range(0, a.shape[0], width):
        for i in range(width):
            store(out, i, add(load(out, i), load(a, start + i)))


@inlined
def inverse(a: Element, power: U64Array, one: Element) -> Element:
    """`inverse(a, exponent, one)`: 1 / a, scaled to scaled, and 0 for 0: the power p - 2, by all its bits."""
    result = one
    for i in range(64 * power.shape[0] - 1, -1, -1):
        result = multiply(result, result)
        if power[i >> 6] >> np.uint64(i & 63) & np.uint64(1):
            result = multiply(result, a)
    return result


@kernel
def invert_all(a: U64Array, power: U64Array, one: U64Array, out: U64Array) -> None:
    """As ``inverses``, into `out`, which is not `a`: one inversion and three products an element."""
    unit = load(one, 0)
    product = unit
    for i in range(out.shape[0]):
        store(out, i, product)
        product = multiply(product, load(a, i))
    rest = inverse(product, power, unit)
    for i in range(out.shape[0] - 1, -1, -1):
        store(out, i, multiply(rest, load(out, i)))
        rest = multiply(rest, load(a, i))
