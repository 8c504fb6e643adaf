"""Comparison, equality and conversion between words and bits on replicated shares.

Values are signed: a word is negative if its highest bit is set. ``less_than`` is exact while |x - y| < 2^63, which is
for the caller to have ruled out by declared ranges.

Source:  Mohassel, Rindal, CCS 2018 (ABY3), section 5; Araki et al., CCS 2016; Sklansky 1960; protocols.md 4.5.
"""

import numpy as np

from pets.kernels import carries, shares
from pets.kernels.jit import U64Array
from pets.protocols.base import Role
from pets.protocols.rep3.sharing import (
    Bits,
    Context,
    Words,
    conjoin,
    flipped,
    given,
    given_planes,
    known_to_two,
    masked_planes,
    multiply,
    planes_from_two,
    planes_known_to_two,
    stacked,
)


def two_summands(ctx: Context, x: Words, bits: int = 64) -> Role[tuple[Bits, Bits]]:
    """The low bits of two numbers that add up to x: x_0 + x_1, which party 0 knows, and x_2, which the others know.

    Sizes:   ``in``: ``bits`` planes from party 0; 1 round.
    """
    known = shares.planes(x.own + x.next, bits) if ctx.me == 0 else None
    first = yield from given_planes(ctx, 0, known, bits, x.rows)
    third = _component_2(ctx, x)
    return first, planes_known_to_two(ctx, 2, None if third is None else shares.planes(third, bits), bits, x.rows)


def _component_2(ctx: Context, x: Words) -> U64Array | None:
    return {1: x.next, 2: x.own}.get(ctx.me)


def carry(ctx: Context, a: Bits, b: Bits) -> Role[Bits]:
    """Carry out of the sum of two numbers of ``a.bits`` bits: one plane.

    Sizes:   at most 3 planes of ``and`` a bit; 1 + ceil(log2 bits) rounds.
    """
    return (yield from carried(ctx, (yield from conjoin(ctx, a, b)), a ^ b))


def carried(ctx: Context, generate: Bits, spread: Bits) -> Role[Bits]:
    """The carry out, from where one begins (a AND b) and where one passes (a XOR b): ``carry`` without its first step.

    Sizes:   at most 2 planes of ``and`` a bit; ceil(log2 bits) rounds.
    """
    return (yield from folded(ctx, generate, spread[slice(1, None)]))


def folded(ctx: Context, generate: Bits, above: Bits) -> Role[Bits]:
    """``carried`` with the planes of what passes a carry on from the second up: the lowest has none to pass on."""
    while generate.bits > 1:
        generate, above = yield from _halved(ctx, generate, above)
    return generate


def _halved(ctx: Context, generate: Bits, above: Bits) -> Role[tuple[Bits, Bits]]:
    """Neighbouring groups of bits merged: g = g_high ^ p_high g_low, p = p_high p_low; the lowest needs no p."""
    pairs = generate.bits // 2
    part = shares.halved((generate.own, generate.next), (above.own, above.next))
    both = yield from masked_planes(ctx, part, generate.rows)
    merged = generate[slice(1, 2 * pairs, 2)] ^ both[slice(0, pairs)]
    through = both[slice(pairs, None)]
    if generate.bits % 2:
        return stacked(merged, generate[slice(-1, None)]), stacked(through, above[slice(-1, None)])
    return merged, through


def negative(ctx: Context, x: Words) -> Role[Bits]:
    """1 where x < 0: one plane.

    Party 0 knows one summand of x, the two others the other, and so digits of three bits are dealt with at once.

    Sizes:   148 planes of ``in``, 41 of ``two`` between parties 1 and 2, 35 of ``and``; 7 rounds.
    Source:  our design (protocols/rep3/README.md); a tree of carries as in ABY3.
    """
    known = carries.ones(x.own + x.next) if ctx.me == 0 else None
    digits = yield from given_planes(ctx, 0, known, carries.PLANES, x.rows)
    third = _component_2(ctx, x)
    part, top = None, None
    if third is not None:
        part, top = carries.carries(digits.own if ctx.me == 1 else digits.next, third, whole=ctx.me == 1)
    both = yield from planes_from_two(ctx, 1, part, carries.PARTS, x.rows)
    made, passed = both[slice(0, carries.DIGITS)], both[slice(carries.DIGITS, None)]
    signs = digits[slice(carries.PLANES - 1, None)] ^ planes_known_to_two(ctx, 2, top, 1, x.rows)
    return signs ^ (yield from folded(ctx, made, passed))


def less_than(ctx: Context, x: Words, y: Words) -> Role[Bits]:
    """1 where x < y, for |x - y| < 2^63."""
    return (yield from negative(ctx, x - y))


def is_zero(ctx: Context, x: Words) -> Role[Bits]:
    """1 where x = 0: one plane. Sizes: 64 planes of ``in``, 63 of ``and``; 1 + 6 rounds."""
    known = shares.planes(x.own + x.next, 64) if ctx.me == 0 else None
    first = yield from given_planes(ctx, 0, known, 64, x.rows)
    third = _component_2(ctx, x)
    minus = None if third is None else shares.planes(np.zeros_like(third) - third, 64)
    same = flipped(ctx, first ^ planes_known_to_two(ctx, 2, minus, 64, x.rows))
    while same.bits > 1:
        half = same.bits // 2
        same = yield from conjoin(ctx, same[slice(0, half)], same[slice(half, None)])
    return same


def all_of(ctx: Context, planes: Bits) -> Role[Bits]:
    """AND of all planes: one plane. Sizes: ``and``: a plane less than there are; ceil(log2 bits) rounds."""
    while planes.bits > 1:
        half = planes.bits // 2
        both = yield from conjoin(ctx, planes[slice(0, half)], planes[slice(half, 2 * half)])
        left = planes[slice(2 * half, None)]
        planes = Bits(np.concatenate([both.own, left.own]), np.concatenate([both.next, left.next]), planes.rows)
    return planes


def equal(ctx: Context, x: Words, y: Words) -> Role[Bits]:
    """1 where x = y."""
    return (yield from is_zero(ctx, x - y))


def to_bits(ctx: Context, x: Words, bits: int = 64) -> Role[Bits]:
    """All low bits of x, by a prefix adder. Sizes: ``bits`` planes of ``in``, about bits log2 bits of ``and``."""
    a, b = yield from two_summands(ctx, x, bits)
    spread = a ^ b
    generate, through = (yield from conjoin(ctx, a, b)), spread
    step = 1
    while step < bits:
        generate, through = yield from _spread(ctx, generate, through, step)
        step *= 2
    own, following = spread.own.copy(), spread.next.copy()
    own[1:] ^= generate.own[:-1]
    following[1:] ^= generate.next[:-1]
    return Bits(own, following, x.rows)


def _spread(ctx: Context, generate: Bits, through: Bits, step: int) -> Role[tuple[Bits, Bits]]:
    """One level of Sklansky's adder: the upper half of each block of 2 step bits takes in the block below it."""
    places = [at for at in range(generate.bits) if at & step]
    if not places:
        return generate, through
    below = [(at & ~(step - 1)) - 1 for at in places]
    take = _picked(through, places)
    both = yield from conjoin(ctx, stacked(take, take), stacked(_picked(generate, below), _picked(through, below)))
    count = len(places)
    return (
        _replaced(generate, places, _picked(generate, places) ^ both[slice(0, count)]),
        _replaced(through, places, both[slice(count, None)]),
    )


def _picked(bits: Bits, places: list[int]) -> Bits:
    return Bits(bits.own[places], bits.next[places], bits.rows)


def _replaced(bits: Bits, places: list[int], by: Bits) -> Bits:
    own, following = bits.own.copy(), bits.next.copy()
    own[places], following[places] = by.own, by.next
    return Bits(own, following, bits.rows)


def to_words(ctx: Context, bits: Bits) -> Role[list[Words]]:
    """Each plane as a column of 0 and 1 under addition. Sizes: ``in`` and ``mul``, a word a row and plane; 2 rounds."""
    rows, planes = bits.rows, bits.bits
    known = _rows_of(bits.own ^ bits.next, rows) if ctx.me == 0 else None
    first = yield from given(ctx, 0, known, rows * planes)
    third = {1: bits.next, 2: bits.own}.get(ctx.me)
    second = known_to_two(ctx, 2, None if third is None else _rows_of(third, rows), rows * planes)
    whole = first + second - (yield from multiply(ctx, first, second)).times(2)
    return [whole[slice(rows * plane, rows * (plane + 1))] for plane in range(planes)]


def _rows_of(planes: U64Array, rows: int) -> U64Array:
    """Planes (b, w) as 0 or 1 in words, plane after plane: (b * rows,)."""
    return np.concatenate([shares.unplanes(plane[None, :], rows) for plane in planes])


def select(ctx: Context, chosen: Words, x: Words, y: Words) -> Role[Words]:
    """x where ``chosen`` is 1, y where it is 0. Sizes: ``mul``: a word a row; 1 round."""
    return y + (yield from multiply(ctx, chosen, x - y))
