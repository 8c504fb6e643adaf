"""ristretto255 as formulas over the field: decode, encode, the one-way map, and points in extended coordinates.

Formulas that need a root are in two halves: what comes before the exponentiation that takes most of the time, and what
comes after it. All are written as RFC 9496 writes them, without branches, over any `Field`.

Source: RFC 9496, 4.2 and 4.3; Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves Revisited", 2008 (addition and
doubling for a = -1, complete on this curve).
"""

from collections.abc import Sequence
from typing import Final

from pets.kernels.field import SQRT_M1, Element, Field, P, Word

Elements = list[Element]

D: Final = -121665 * pow(121666, -1, P) % P
SQRT_AD_MINUS_ONE: Final = 25063068953384623474111414158702152701244531502492656460079210482610430750235
INVSQRT_A_MINUS_D: Final = 54469307008909316920995813868745141605393597292927456921205312896311721017578
ONE_MINUS_D_SQ: Final = (1 - D * D) % P
D_MINUS_ONE_SQ: Final = (D - 1) ** 2 % P


# -- SQRT_RATIO_M1, 4.2 ------------------------------------------------------------------------------------------------


def before_root(f: Field, u: Element, v: Element) -> Elements:
    """u v^3, and u v^7, which is then raised to 2^252 - 3."""
    v3 = f.mul(f.square(v), v)
    v7 = f.mul(f.square(v3), v)
    return [f.mul(u, v3), f.mul(u, v7)]


def after_root(f: Field, u: Element, v: Element, uv3: Element, power: Element) -> tuple[Element, Word]:
    """The root of u/v that is not negative and a mask that is set, or the root of sqrt(-1) u/v and one that is not."""
    sqrt_m1 = f.constant(SQRT_M1)
    r = f.mul(uv3, power)
    check = f.mul(v, f.square(r))
    correct, flipped = f.equal(check, u), f.is_zero(f.add(check, u))
    flipped_i = f.is_zero(f.add(check, f.mul(u, sqrt_m1)))
    r = f.select(f.machine.either(flipped, flipped_i), f.mul(r, sqrt_m1), r)
    return f.magnitude(r), f.machine.either(correct, flipped)


# -- decode, 4.3.1 -----------------------------------------------------------------------------------------------------


def before_decode(f: Field, s: Element) -> Elements:
    """u1, u2, v, and u and v of the root."""
    one = f.constant(1)
    ss = f.square(s)
    u1, u2 = f.sub(one, ss), f.add(one, ss)
    u2_square = f.square(u2)
    v = f.negate(f.add(f.mul(f.constant(D), f.square(u1)), u2_square))
    return [u1, u2, v, one, f.mul(v, u2_square)]


def after_decode(
    f: Field, s: Element, u1: Element, u2: Element, v: Element, inverse: Element, was_square: Word
) -> tuple[Elements, Word]:
    """A point, and a mask of the lanes where it is one: the caller has checked that s is canonical and even."""
    den_x = f.mul(inverse, u2)
    den_y = f.mul(f.mul(inverse, den_x), v)
    x = f.magnitude(f.mul(f.add(s, s), den_x))
    y = f.mul(u1, den_y)
    t = f.mul(x, y)
    none = f.machine.constant(0)
    good = f.machine.select(f.machine.either(f.is_negative(t), f.is_zero(y)), none, was_square)
    return [x, y, f.constant(1), t], good


# -- encode, 4.3.2 -----------------------------------------------------------------------------------------------------


def before_encode(f: Field, x: Element, y: Element, z: Element) -> Elements:
    """u1, u2, and u and v of the root."""
    u1, u2 = f.mul(f.add(z, y), f.sub(z, y)), f.mul(x, y)
    return [u1, u2, f.constant(1), f.mul(u1, f.square(u2))]


def after_encode(f: Field, point: Sequence[Element], u1: Element, u2: Element, inverse: Element) -> Element:
    """The canonical s of a point."""
    x0, y0, z0, t0 = point
    den1, den2 = f.mul(inverse, u1), f.mul(inverse, u2)
    z_inv = f.mul(f.mul(den1, den2), t0)
    rotate = f.is_negative(f.mul(t0, z_inv))
    sqrt_m1 = f.constant(SQRT_M1)
    x = f.select(rotate, f.mul(y0, sqrt_m1), x0)
    y = f.select(rotate, f.mul(x0, sqrt_m1), y0)
    den_inv = f.select(rotate, f.mul(den1, f.constant(INVSQRT_A_MINUS_D)), den2)
    y = f.select(f.is_negative(f.mul(x, z_inv)), f.negate(y), y)
    return f.canonical(f.magnitude(f.mul(den_inv, f.sub(z0, y))))


# -- MAP, 4.3.4 --------------------------------------------------------------------------------------------------------


def before_map(f: Field, t: Element) -> Elements:
    """r, and u and v of the root."""
    one, d = f.constant(1), f.constant(D)
    r = f.mul(f.constant(SQRT_M1), f.square(t))
    u = f.mul(f.add(r, one), f.constant(ONE_MINUS_D_SQ))
    v = f.mul(f.negate(f.add(one, f.mul(r, d))), f.add(r, d))
    return [r, u, v]


def after_map(f: Field, t: Element, r: Element, v: Element, root: Element, was_square: Word) -> Elements:
    """A point."""
    one = f.constant(1)
    s = f.select(was_square, root, f.negate(f.magnitude(f.mul(root, t))))
    c = f.select(was_square, f.constant(-1), r)
    n = f.sub(f.mul(f.mul(c, f.sub(r, one)), f.constant(D_MINUS_ONE_SQ)), v)
    ss = f.square(s)
    sv = f.mul(s, v)
    w0, w1 = f.add(sv, sv), f.mul(n, f.constant(SQRT_AD_MINUS_ONE))
    w2, w3 = f.sub(one, ss), f.add(one, ss)
    return [f.mul(w0, w3), f.mul(w2, w1), f.mul(w1, w3), f.mul(w0, w2)]


# -- points ------------------------------------------------------------------------------------------------------------


def identity(f: Field) -> Elements:
    return [f.constant(0), f.constant(1), f.constant(1), f.constant(0)]


def as_addend(f: Field, point: Sequence[Element]) -> Elements:
    """Y + X, Y - X, 2Z, 2dT: what an addition takes of its second point."""
    x, y, z, t = point
    return [f.add(y, x), f.sub(y, x), f.add(z, z), f.mul(t, f.constant(2 * D))]


def addend_of_identity(f: Field) -> Elements:
    return [f.constant(1), f.constant(1), f.constant(2), f.constant(0)]


def signed(f: Field, negative: Word, addend: Sequence[Element]) -> Elements:
    """The addend, or where the mask is set that of the negative point; the last element is then below 2^52."""
    plus, minus, z2, t2d = addend
    return [
        f.select(negative, minus, plus),
        f.select(negative, plus, minus),
        z2,
        f.select(negative, f.opposite(t2d), t2d),
    ]


def add(f: Field, point: Sequence[Element], addend: Sequence[Element]) -> Elements:
    """The sum of any two points."""
    x, y, z, t = point
    plus, minus, z2, t2d = addend
    a, b = f.mul(f.sub(y, x), minus), f.mul(f.add(y, x), plus)
    c, d = f.mul(t, t2d), f.mul(z, z2)
    e, g, h = f.sub(b, a), f.add(d, c), f.add(b, a)
    k = f.sub(d, c)
    return [f.mul(e, k), f.mul(g, h), f.mul(k, g), f.mul(e, h)]


def double(f: Field, x: Element, y: Element, z: Element, *, with_t: bool) -> Elements:
    """Twice the point; T, which only an addition needs, if asked for."""
    xx, yy, zz = f.square(x), f.square(y), f.square(z)
    h, g = f.add(yy, xx), f.sub(yy, xx)
    e = f.sub(f.square(f.add(x, y)), h)
    k = f.sub(f.add(zz, zz), g)
    return [f.mul(e, k), f.mul(g, h), f.mul(k, g), *([f.mul(e, h)] if with_t else [])]
