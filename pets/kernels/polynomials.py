"""Polynomials over the fields of `pets.kernels.prime`, by their values at roots of one.

A polynomial of degree below n is its values at the n powers of a root of one of order n, a power of two, from 1 up.
Values are plain; roots, and what is made of them, are scaled. Arrays are of either field, whose shape tells which.

Source: Cooley, Tukey, 1965 (transforms); Berrut, Trefethen, "Barycentric Lagrange interpolation", SIAM Review 2004.
"""

from typing import Final

import numpy as np

from pets.kernels.jit import Number, U64Array, inlined, kernel
from pets.kernels.prime import Element, Prime, add, inverse, is_zero, load, multiply, store, sub

ARITHMETIC: Final = "69732b9c19cc20b8d9d4bb0997bd4951110fdd15a8db89bbc79ee128e3f679eb"
"""SHA-256 of prime.py: numba keeps machine code by this file alone, so it changes with that one."""


class Nodes:
    """What kernels need of the roots of one order: powers of the root, and 1 / order. All scaled.

    Fields:  order; roots (order), from 1 up; back (order), the same with the other sign of the power; share, 1 / order;
             one. `twist` (order): powers of the root of order 2 * order, if the field has it.
    """

    def __init__(self, prime: Prime, order: int) -> None:
        self.prime: Final = prime
        self.order: Final = order
        self.roots: Final = prime.roots(order)
        self.back: Final = np.ascontiguousarray(np.concatenate([self.roots[:1], self.roots[:0:-1]]))
        self.share: Final = prime.array([pow(order, -1, prime.modulus)], scaled=True)
        self.one: Final = prime.array([1], scaled=True)
        self.twist: Final = np.ascontiguousarray(prime.roots(2 * order)[:order])


def evaluations(nodes: Nodes, coefficients: U64Array) -> U64Array:
    """The values at the nodes of the polynomial with these coefficients, the constant one first: the NTT.

    Shapes:  coefficients (order) elements; result the same.
    """
    out = coefficients.copy()
    transform(out, 0, nodes.order, nodes.roots)
    return out


def coefficients(nodes: Nodes, values: U64Array) -> U64Array:
    """The coefficients of the polynomial with these values at the nodes: the inverse NTT."""
    out = values.copy()
    transform(out, 0, nodes.order, nodes.back)
    _times(out, nodes.share)
    return out


def between(nodes: Nodes, values: U64Array) -> U64Array:
    """The values of the same polynomial at the roots of twice the order that are not among the nodes."""
    out = values.copy()
    shift(out, 0, nodes.order, nodes.roots, nodes.back, nodes.twist, nodes.share)
    return out


@kernel
def transform(values: U64Array, at: Number, order: Number, roots: U64Array) -> None:
    """`order` values from element `at` on, in place: sums over powers of the roots. Scales nothing."""
    j = 0
    for i in range(1, order):
        bit = order >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            kept = load(values, at + i)
            store(values, at + i, load(values, at + j))
            store(values, at + j, kept)
    half = 1
    while half < order:
        step = order // (2 * half)
        for start in range(at, at + order, 2 * half):
            for i in range(half):
                a, b = load(values, start + i), multiply(load(values, start + i + half), load(roots, i * step))
                store(values, start + i, add(a, b))
                store(values, start + i + half, sub(a, b))
        half *= 2


@kernel
def shift(
    values: U64Array, at: Number, order: Number, roots: U64Array, back: U64Array, twist: U64Array, share: U64Array
) -> None:
    """As ``between``, in place."""
    transform(values, at, order, back)
    part = load(share, 0)
    for i in range(order):
        store(values, at + i, multiply(load(values, at + i), multiply(load(twist, i), part)))
    transform(values, at, order, roots)


@kernel
def _times(values: U64Array, factor: U64Array) -> None:
    part = load(factor, 0)
    for i in range(values.shape[0]):
        store(values, i, multiply(load(values, i), part))


@inlined
def power_of_two(a: Element, order: Number) -> Element:
    """A scaled element to a power of two."""
    while order > 1:
        a = multiply(a, a)
        order >>= 1
    return a


@kernel
def lagrange(
    point: Element, order: Number, roots: U64Array, share: U64Array, one: U64Array, power: U64Array, out: U64Array
) -> Number:
    """Write what each value at the nodes weighs in the value at `point`, all scaled: sum out[i] f(root^i) = f(point).

    The weight of node w is (x^n - 1) / n * w / (x - w); where the point is a node, that one has all the weight. The
    second half of `out` is for the way there. Returns 1 if the point is a node, else 0. The point is public.

    Shapes:  roots (order or a multiple of it), of which every so-manieth is a node; out (2 * order or more).
    """
    step, unit = roots.shape[0] // order, load(one, 0)
    node = -1
    product = unit
    for i in range(order):
        apart = sub(point, load(roots, i * step))
        if is_zero(apart):
            node, apart = i, unit
        store(out, order + i, apart)
        store(out, i, product)
        product = multiply(product, apart)
    if node >= 0:
        for i in range(order):
            store(out, i, sub(unit, unit))
        store(out, node, unit)
        return 1
    whole = multiply(sub(power_of_two(point, order), unit), load(share, 0))
    rest = multiply(inverse(product, power, unit), whole)
    for i in range(order - 1, -1, -1):
        store(out, i, multiply(multiply(rest, load(out, i)), load(roots, i * step)))
        rest = multiply(rest, load(out, order + i))
    return 0


@kernel
def lagrange_twice(
    point: Element,
    order: Number,
    roots: U64Array,
    share: U64Array,
    double_share: U64Array,
    one: U64Array,
    power: U64Array,
    out: U64Array,
    double_out: U64Array,
) -> Number:
    """As ``lagrange`` for `order` nodes into `out`, and for twice as many into `double_out`, by one inversion.

    Shapes:  roots (2 * order), every second one a node of both; out (order), double_out (4 * order).
    """
    unit = load(one, 0)
    near = power_of_two(point, order)
    if is_zero(sub(multiply(near, near), unit)):  # the point is a node of one of the two, or of both
        lagrange(point, 2 * order, roots, double_share, one, power, double_out)
        work = double_out[2 * order :]
        bad = lagrange(point, order, roots, share, one, power, work)
        for i in range(order):
            store(out, i, load(work, i))
        return bad
    product = unit
    for i in range(2 * order):
        apart = sub(point, load(roots, i))
        store(double_out, 2 * order + i, apart)
        store(double_out, i, product)
        product = multiply(product, apart)
    rest = inverse(product, power, unit)
    whole = multiply(sub(near, unit), load(share, 0))
    double_whole = multiply(sub(multiply(near, near), unit), load(double_share, 0))
    for i in range(2 * order - 1, -1, -1):
        weight = multiply(multiply(rest, load(double_out, i)), load(roots, i))
        store(double_out, i, multiply(weight, double_whole))
        if i % 2 == 0:
            store(out, i // 2, multiply(weight, whole))
        rest = multiply(rest, load(double_out, 2 * order + i))
    return 0
