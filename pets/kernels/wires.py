"""The sums that checking chunks of elements consists of: each wire at a test point, of a share of a measurement.

For each place j of a chunk, over all calls k: the elements at that place, times what call k weighs and power j + 1 of
its joint randomness (the even wire), and times the weight alone (the odd one). Two back ends with the same elements:
`ifma` takes eight elements at a time, as three limbs of 52 bits, and adds up whole products before it reduces any;
`portable` goes element by element. Nothing is chosen by itself: whoever starts a party runs `self_test()` of each in a
child process, and only then `select()` changes the back end of the process.

Limbs: the lower two of an element have 52 bits, the third the 24 that are left. A product of two is six columns, none
of which gets more than five halves below 2^52, so 64 bits hold the columns of `_TOGETHER` products. Powers are
multiplied as Montgomery does, with 2^156: with m = T / p modulo 2^156, (T - m p) / 2^156 lies above -p and below 2^101,
as T is below 2^257; p more makes it positive. As p is 1 - 28 * 2^64 + 2^128, each limb of m is the lowest limb of what
is left, and m p is m less 28 * 2^12 times it one limb up, and 2^24 times it two limbs up. Columns may be negative in
between.

Source: draft-irtf-cfrg-vdaf-20, 7.3.4 and appendix A.3; Gueron, Krasnov, "Accelerating big integer arithmetic using
        Intel IFMA extensions", ARITH 2016 (columns of halves).
"""

from typing import Any, Final, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pets.kernels.jit import Backends, Number, U64Array, address, inlined, is_contiguous, kernel, typed_intrinsic
from pets.kernels.prime import FIELD128, add, load, multiply, store

ARITHMETIC: Final = "69732b9c19cc20b8d9d4bb0997bd4951110fdd15a8db89bbc79ee128e3f679eb"
"""SHA-256 of prime.py: numba keeps machine code by this file alone, so it changes with that one."""

IFMA: Final = "ifma"
PORTABLE: Final = "portable"

LANES: Final = 8

_LIMB: Final = 52
_MASK: Final = 2**_LIMB - 1
_TOGETHER: Final = 512
"""Calls whose products are added up before they are reduced: 512 * 5 * 2^52 is below 2^64."""

_CALL_WORDS: Final = 6
"""Words of a call: the limbs of the eighth power of its randomness, times 2^156, and of its weight."""
_COLUMNS: Final = 12

_backends: Final = Backends("sums of wires", {IFMA: ("avx512f", "avx512ifma", "avx512vl", "avx512dq"), PORTABLE: ()})
features, select, selected = _backends.features, _backends.select, _backends.selected

_CONSTANTS: Final = FIELD128.array([1 << 156, 1])
"""What makes the eighth power one for `ifma`, and a scaled element plain."""
_SHIFTS: Final = FIELD128.array([1 << 2 * _LIMB, 1 << 4 * _LIMB], scaled=True)


class Scratch(NamedTuple):
    """Memory for the sums of one circuit, used for one submission after another, and which back end is in use."""

    fast: bool
    random: U64Array
    powers: U64Array
    per_call: U64Array
    columns: U64Array
    mask: U64Array
    tail: U64Array
    constants: U64Array
    shifts: U64Array


def scratch(calls: int) -> Scratch:
    """Make it. ``random`` has room for the joint randomness of so many calls, scaled: whoever sums writes it."""
    fast = selected() == IFMA
    size = calls if fast else 0
    return Scratch(
        fast=fast,
        random=FIELD128.empty(calls),
        powers=np.empty((size, 3 * LANES), np.uint64),
        per_call=np.empty((size, _CALL_WORDS), np.uint64),
        columns=np.empty((_COLUMNS, LANES), np.uint64),
        mask=np.empty(LANES, np.uint64),
        tail=FIELD128.empty(LANES),
        constants=_CONSTANTS,
        shifts=_SHIFTS,
    )


@kernel
def add_wires(
    measurements: U64Array,
    first: Number,
    encoded: Number,
    chunk: Number,
    calls: Number,
    weights: U64Array,
    scratch: Scratch,
    out: U64Array,
    place: Number,
) -> None:
    """Add to element `place + 2 j` of `out` the even wire at place j of a chunk, and to the next one the odd wire.

    `scratch.random` and `weights`: of each call, scaled. Elements `first` to `first + encoded - 1` of `measurements`
    are plain.
    """
    random, powers, per_call, columns = scratch.random, scratch.powers, scratch.per_call, scratch.columns
    mask, tail, shifts = scratch.mask, scratch.tail, scratch.shifts
    if not scratch.fast:
        for call in range(calls):
            weight, r = load(weights, call), load(random, call)
            rising = weight
            for j in range(min(chunk, encoded - call * chunk)):
                rising = multiply(rising, r)
                element = load(measurements, first + call * chunk + j)
                at = place + 2 * j
                store(out, at, add(load(out, at), multiply(element, rising)))
                store(out, at + 1, add(load(out, at + 1), multiply(element, weight)))
        return
    for call in range(calls):
        _prepare(load(random, call), load(weights, call), scratch.constants, powers, per_call, call)
    for j in range(0, chunk, LANES):
        count = min(LANES, chunk - j)
        for lane in range(LANES):
            mask[lane] = ~np.uint64(0) if lane < count else np.uint64(0)
        for start in range(0, calls, _TOGETHER):
            columns[:] = np.uint64(0)
            stop = min(calls, start + _TOGETHER)
            # calls all of whose eight lanes lie inside the measurement
            whole = max(start, min(stop, (encoded - j - LANES) // chunk + 1 if encoded >= j + LANES else 0))
            _fold(measurements, first + start * chunk + j, chunk, powers, start, whole - start, per_call, mask, columns)
            for call in range(whole, stop):
                left = min(count, encoded - call * chunk - j)
                for lane in range(LANES):
                    tail[lane, 0] = tail[lane, 1] = np.uint64(0)
                    if lane < left:
                        store(tail, lane, load(measurements, first + call * chunk + j + lane))
                _fold(tail, 0, 0, powers, call, 1, per_call, mask, columns)
            for lane in range(count):
                at = place + 2 * (j + lane)
                store(out, at, add(load(out, at), _reduced(columns, 0, lane, shifts)))
                store(out, at + 1, add(load(out, at + 1), _reduced(columns, 6, lane, shifts)))


@inlined
def _prepare(r: Any, weight: Any, constants: U64Array, powers: U64Array, per_call: U64Array, call: Number) -> None:
    """The limbs of one call: powers 1 to 8 of its randomness times its weight, a lane each, and what `_fold` needs."""
    value = multiply(weight, load(constants, 1))
    _limbs(value, per_call, call, 3, 1)
    for lane in range(LANES):
        value = multiply(value, r)
        _limbs(value, powers, call, lane, LANES)
    square = multiply(r, r)
    fourth = multiply(square, square)
    _limbs(multiply(multiply(fourth, fourth), load(constants, 0)), per_call, call, 0, 1)


@inlined
def _limbs(element: Any, out: U64Array, row: Number, at: Number, step: Number) -> None:
    low, high = element
    mask = np.uint64(_MASK)
    out[row, at] = low & mask
    out[row, at + step] = (low >> np.uint64(52) | high << np.uint64(12)) & mask
    out[row, at + 2 * step] = high >> np.uint64(40)


@inlined
def _reduced(columns: U64Array, at: Number, lane: Number, shifts: U64Array) -> Any:
    """The element that six columns add up to."""
    low = _two(columns[at, lane], columns[at + 1, lane])
    middle = _two(columns[at + 2, lane], columns[at + 3, lane])
    high = _two(columns[at + 4, lane], columns[at + 5, lane])
    return add(low, add(multiply(middle, load(shifts, 0)), multiply(high, load(shifts, 1))))


@inlined
def _two(low: Number, high: Number) -> Any:
    """Two columns as an element: below 2^117."""
    total = low + (high << np.uint64(52))
    carry = np.uint64(1) if total < low else np.uint64(0)
    return total, (high >> np.uint64(12)) + carry


@typed_intrinsic
def _fold(
    typing_context: Any,
    measurements: Any,
    first: Any,
    step: Any,
    powers: Any,
    start: Any,
    count: Any,
    per_call: Any,
    mask: Any,
    columns: Any,
) -> Any:
    """Add to `columns` the products of eight elements each of `count` calls from `start` on, and raise their powers.

    The elements of a call begin `step` after those of the one before, first at element `first`; those whose `mask` is 0
    are none, but must be readable. Rows 0 to 5 of `columns` are for even wires, 6 to 11 for odd ones.
    """
    if not is_contiguous(measurements, powers, per_call, mask, columns):
        return None
    vector, word = ir.VectorType(ir.IntType(64), LANES), ir.IntType(64)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        three = ir.FunctionType(vector, [vector] * 3)
        low_half = builder.module.declare_intrinsic("llvm.x86.avx512.vpmadd52l.uq.512", fnty=three)
        high_half = builder.module.declare_intrinsic("llvm.x86.avx512.vpmadd52h.uq.512", fnty=three)

        def constant(value: int) -> Any:
            return ir.Constant(vector, [value] * LANES)

        def place(argument: int, byte: Any, kind: Any) -> Any:
            return address(context, builder, signature.args[argument], arguments[argument], byte, kind)

        def everywhere(byte: Any) -> Any:
            single = builder.load(place(6, byte, word), align=8)
            undefined = ir.Constant(vector, ir.Undefined)
            lane = builder.insert_element(undefined, single, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(lane, undefined, _picked([0] * LANES))

        def products(totals: list[Any], a: list[Any], b: list[Any]) -> None:
            for i in range(3):
                for k in range(3):
                    totals[i + k] = builder.call(low_half, [totals[i + k], a[i], b[k]])
                    totals[i + k + 1] = builder.call(high_half, [totals[i + k + 1], a[i], b[k]])

        def carried(totals: list[Any], at: int) -> Any:
            """The limb of a column, whose rest goes to the next one."""
            totals[at + 1] = builder.add(totals[at + 1], builder.ashr(totals[at], constant(_LIMB)))
            return builder.and_(totals[at], constant(_MASK))

        slots: list[Any] = [
            cgutils.alloca_once(builder, vector)  # type: ignore[no-untyped-call]
            for _ in range(_COLUMNS)
        ]
        for row, slot in enumerate(slots):
            builder.store(builder.load(place(8, word(64 * row), vector), align=8), slot)
        kept = builder.load(place(7, word(0), vector), align=8)
        with cgutils.for_range(builder, arguments[5]) as loop:
            call = builder.add(arguments[4], loop.index)
            element = builder.add(arguments[1], builder.mul(arguments[2], loop.index))
            byte = builder.shl(element, word(4))
            halves = [builder.load(place(0, builder.add(byte, word(64 * half)), vector), align=8) for half in range(2)]
            low, high = (
                builder.and_(builder.shuffle_vector(*halves, _picked(range(odd, 16, 2))), kept) for odd in range(2)
            )
            middle = builder.or_(builder.lshr(low, constant(52)), builder.shl(high, constant(12)))
            limbs = [
                builder.and_(low, constant(_MASK)),
                builder.and_(middle, constant(_MASK)),
                builder.lshr(high, constant(40)),
            ]
            row = builder.mul(call, word(8 * 3 * LANES))
            places = [place(3, builder.add(row, word(8 * LANES * limb)), vector) for limb in range(3)]
            power = [builder.load(where, align=8) for where in places]
            given = builder.mul(call, word(8 * _CALL_WORDS))
            known = [everywhere(builder.add(given, word(8 * number))) for number in range(_CALL_WORDS)]
            even = [builder.load(slot) for slot in slots[:6]]
            odd = [builder.load(slot) for slot in slots[6:]]
            products(even, limbs, power)
            products(odd, limbs, known[3:])
            for slot, total in zip(slots, even + odd, strict=True):
                builder.store(total, slot)
            raised = [constant(0)] * 6
            products(raised, power, known[:3])
            for at in range(3):
                m = carried(raised, at)
                raised[at + 1] = builder.call(low_half, [raised[at + 1], m, constant(28 << 12)])
                raised[at + 2] = builder.call(high_half, [raised[at + 2], m, constant(28 << 12)])
                upper = builder.and_(builder.shl(m, constant(24)), constant(_MASK))
                raised[at + 2] = builder.sub(raised[at + 2], upper)
                raised[at + 3] = builder.sub(raised[at + 3], builder.lshr(m, constant(28)))
            for limb in range(3):
                part = FIELD128.modulus >> _LIMB * limb & (_MASK if limb < 2 else 2**64 - 1)
                raised[3 + limb] = builder.add(raised[3 + limb], constant(part))
            for limb in range(2):
                raised[3 + limb] = carried(raised, 3 + limb)
            for where, limb in zip(places, raised[3:], strict=True):
                builder.store(limb, where, align=8)
        for row, slot in enumerate(slots):
            builder.store(builder.load(slot), place(8, word(64 * row), vector), align=8)
        return context.get_dummy_value()

    arguments = (measurements, types.intp, types.intp, powers, types.intp, types.intp, per_call, mask, columns)
    return types.void(*arguments), emit


def _picked(lanes: Any) -> Any:
    chosen = list(lanes)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen)


def self_test(backend: str) -> None:
    """Compare `backend` with sums of integers, over full and partial lanes. Raises RuntimeError."""
    p = FIELD128.modulus
    for chunk, calls, encoded in ((8, 1, 8), (3, 5, 13), (17, 3, 50), (8, 2, 9)):
        numbers = [pow(7, i + 1, p) if i % 3 else p - 1 - i for i in range(encoded)]
        r, weights = [pow(5, 9 * k + 1, p) for k in range(calls)], [p - 1 - k for k in range(calls)]
        got = FIELD128.integers(_added(backend, chunk, numbers, r, weights))
        for j in range(chunk):
            here = [(k, numbers[k * chunk + j]) for k in range(calls) if k * chunk + j < encoded]
            even = sum(x * weights[k] * pow(r[k], j + 1, p) for k, x in here) % p
            if got[2 * j : 2 * j + 2] != [even, sum(x * weights[k] for k, x in here) % p]:
                raise RuntimeError(f"back end {backend} adds up wires wrongly")


def _added(backend: str, chunk: int, numbers: list[int], r: list[int], weights: list[int]) -> U64Array:
    """The sums of both wires of each place, by one back end: for tests."""
    if backend not in features():
        raise ValueError(f"no sums of wires by {backend} on this processor")
    before = selected()
    select(backend)
    made = scratch(len(r))
    select(before)
    made.random[:] = FIELD128.array(r, scaled=True)
    out, weighed = FIELD128.zeros(2 * chunk), FIELD128.array(weights, scaled=True)
    add_wires(FIELD128.array(numbers), 0, len(numbers), chunk, len(r), weighed, made, out, 0)
    return out
