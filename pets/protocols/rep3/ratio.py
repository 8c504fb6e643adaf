"""Quotients and roots of values that nobody knows: exact, rounded down, by an approximation and then a comparison.

The divisor is scaled to 30 bits by a power of two that stays secret, its reciprocal approached by products, and digits
of 20 bits taken from the top. On the way truncations are rough (rounding.py): they may be one less than the floor, as
the masks have it. What is left over is exact all the same, so that a comparison with the divisor finds the true
quotient: the result is a function of the values alone, the same in every run.

Source:  Goldschmidt 1964; Markstein, RNC 2004 (coupled iterations for roots); our design and its bounds:
         docs/adr/0022-division-by-secrets.md.
"""

from typing import Final

from pets.protocols.base import Role
from pets.protocols.rep3.compare import negative, to_bits, to_words
from pets.protocols.rep3.rounding import roughly
from pets.protocols.rep3.sharing import Bits, Context, Words, conjoin, flipped, joined, multiply, public

FRACTION: Final = 30
"""Bits after the point of scaled divisors and of reciprocals."""

DIGIT: Final = 20
"""Bits of the quotient that are found at a time."""

MOST_DIGITS: Final = 3

MOST_BITS: Final = 30
"""Bits of a divisor, at the most."""

MOST_AT: Final = 59
"""A digit at 2^place is found for divisors below 2^(59 - place) only, so that what is left over stays below 2^62. It is
0 for greater ones: then it would have been 0 or 1, and the next digit has room for that."""

ROOT_BITS: Final = 60
"""Bits of what a root is taken of, at the most."""

_SLACK: Final = 3
"""What is left over after a digit is less than 2^3 times the divisor in that place: ADR 0022."""

_MARGIN: Final = 3
"""A digit is taken 2^-3 of a unit lower, so that an inverse that is too great makes none too great."""

_ROOT_MARGIN: Final = 8
"""A root is taken 2^-8 of a unit lower, for what its last step leaves."""

_ROOT_SHORT: Final = 3
"""How much a root may lack when it is compared."""

_START: Final = round((48**0.5 - 4) * 2**FRACTION)
"""c of the first approximation c - 2 d of 1 / d for 1/2 <= d <= 1: off by less than 0.072 of it."""

_ROOT_START: Final = round(2.155 * 2**FRACTION)
"""a of the first approximation a - 5/4 d of 1 / sqrt(d) for 1/4 <= d < 1: off by less than 0.1 of it."""


def ratio(ctx: Context, x: Words, y: Words, *, bits: int, digits: int) -> Role[Words]:
    """Floor of x / y for -2^(20 digits) < x < 2^(20 digits) and 0 <= y < 2^bits, exact; 0 where y is 0.

    Public:  ``bits`` from 1 to 30, ``digits`` from 1 to 3.
    Sizes:   for 20 bits and 2 digits 52 words a row, and 99 from party 0; 34 + 2 ceil(log2 bits) + 9 (digits - 1)
             rounds, or one more.
    Learned: nothing. Raises: ValueError on public numbers out of range. A row out of range gives garbage.
    """
    if not 1 <= bits <= MOST_BITS or not 1 <= digits <= MOST_DIGITS:
        raise ValueError("a secret divisor has 1 to 30 bits, a quotient 1 to 3 digits")
    none_above = yield from _leading(ctx, y, bits)
    scale = _weighted(ctx, none_above, [FRACTION - bits + at for at in range(bits)])
    inverse = yield from inverted(ctx, (yield from multiply(ctx, y, scale)))
    whole, left = public(ctx, 0, x.rows), x
    for place in range(DIGIT * (digits - 1), -1, -DIGIT):
        digit = yield from _digit(ctx, left, scale, inverse, place)
        if place + bits > MOST_AT:
            digit = yield from multiply(ctx, digit, none_above[bits - 1 - (MOST_AT - place)])
        whole = whole + digit.times(2**place)
        left = left - (yield from multiply(ctx, digit, y)).times(2**place)
    found = whole + (yield from reached(ctx, left, [y, y.times(2)]))
    return (yield from multiply(ctx, found, public(ctx, 1, x.rows) - none_above[-1]))


def _digit(ctx: Context, left: Words, scale: Words, inverse: Words, place: int) -> Role[Words]:
    """About left / (y 2^place), rounded down: in the last place no more, and less by 2.3 at the most."""
    if place:
        left = yield from roughly(ctx, left, place)
    scaled = yield from roughly(ctx, (yield from multiply(ctx, left, scale)), DIGIT + _SLACK)
    product = yield from multiply(ctx, scaled, inverse)
    shift = 2 * FRACTION - DIGIT - _SLACK
    return (yield from roughly(ctx, product - public(ctx, 2**shift >> _MARGIN, left.rows), shift))


def inverted(ctx: Context, d: Words) -> Role[Words]:
    """About 2^60 / d for 2^29 <= d <= 2^30: at most 16 less and 5 more, as the masks have it.

    Sizes:   ``mul`` and ``roughly`` of 6 words a row in all; 12 rounds. Learned: nothing.
    """
    one, rows = public(ctx, 2**FRACTION, d.rows), d.rows
    w = public(ctx, _START, rows) - d.times(2)
    e = one - (yield from _product(ctx, d, w))
    for _ in range(2):
        both = yield from _product(ctx, joined(w, e), joined(e, e))
        w, e = w + both[slice(0, rows)], both[slice(rows, None)]
    return w + (yield from _product(ctx, w, e))


def root(ctx: Context, x: Words, bits: int) -> Role[Words]:
    """Floor of the square root of 0 <= x < 2^bits, exact.

    Public:  ``bits`` from 2 to 60, even.
    Sizes:   for 60 bits 73 words a row, and 140 from party 0; 48 + ceil(log2 bits) + ceil(log2(bits / 2)) rounds.
    Learned: nothing. Raises: ValueError on ``bits`` out of range. A row out of range gives garbage.
    """
    if not 2 <= bits <= ROOT_BITS or bits % 2:
        raise ValueError("a root is of 2 to 60 bits, and an even number of them")
    rows, half = x.rows, bits // 2
    none_above = yield from _leading_pairs(ctx, x, bits)
    scale = _weighted(ctx, none_above, [ROOT_BITS - bits + 2 * at for at in range(half)])
    back = _weighted(ctx, none_above, [half - at for at in range(half)])
    d = yield from multiply(ctx, x, scale)
    short = yield from roughly(ctx, d, FRACTION + 2)
    k = public(ctx, _ROOT_START, rows) - short.times(5)
    g = yield from _product(ctx, short, k, FRACTION - 2)
    for _ in range(3):
        r = public(ctx, 2 ** (FRACTION - 1), rows) - (yield from _product(ctx, g, k, FRACTION + 1))
        both = yield from _product(ctx, joined(g, k), joined(r, r))
        g, k = g + both[slice(0, rows)], k + both[slice(rows, None)]
    off = yield from roughly(ctx, d - (yield from multiply(ctx, g, g)), 9)
    product = yield from multiply(ctx, off, k)
    g = g + (yield from roughly(ctx, product - public(ctx, 2**52 >> _ROOT_MARGIN, rows), 52))
    found = yield from _product(ctx, g, back)
    square = yield from multiply(ctx, found, found)
    steps = [found.times(2 * step) + public(ctx, step * step, rows) for step in range(1, _ROOT_SHORT + 1)]
    return found + (yield from reached(ctx, x - square, steps))


def scale_of(ctx: Context, x: Words, bits: int, power: int) -> Role[Words]:
    """2^(power e) for the e with which x 4^e is from 2^(bits - 2) to below 2^bits; 0 where x is 0. 0 <= x < 2^bits.

    Public:  ``bits`` from 2 to 64, even; ``power``, which changes nothing that is sent.
    Sizes:   ``to_bits``, half a plane of ``and`` a bit, ``all_before`` and ``to_words`` of half as many planes; 5 +
             ceil(log2 bits) + ceil(log2(bits / 2)) rounds.
    Learned: nothing. Raises: ValueError on ``bits`` out of range. A row out of range gives garbage.
    """
    if not 2 <= bits <= 64 or bits % 2:
        raise ValueError("pairs of bits, 1 to 32 of them")
    none_above = yield from _leading_pairs(ctx, x, bits)
    return _weighted(ctx, none_above, [power * at for at in range(bits // 2)])


def reached(ctx: Context, x: Words, marks: list[Words]) -> Role[Words]:
    """How many of the marks x is not below. Sizes: ``negative`` and ``to_words`` of a row a mark; 9 rounds."""
    below = yield from negative(ctx, joined(*(x - mark for mark in marks)))
    (words,) = yield from to_words(ctx, flipped(ctx, below))
    total = words[slice(0, x.rows)]
    for at in range(1, len(marks)):
        total = total + words[slice(at * x.rows, (at + 1) * x.rows)]
    return total


# -- parts ------------------------------------------------------------------------------------------------------------


def _product(ctx: Context, x: Words, y: Words, shift: int = FRACTION) -> Role[Words]:
    return (yield from roughly(ctx, (yield from multiply(ctx, x, y)), shift))


def _leading(ctx: Context, y: Words, bits: int) -> Role[list[Words]]:
    """For each of the low bits, from the highest down: 1 while neither it nor one above it is set."""
    planes = yield from to_bits(ctx, y, bits)
    clear = flipped(ctx, Bits(planes.own[::-1], planes.next[::-1], y.rows))
    return (yield from to_words(ctx, (yield from all_before(ctx, clear))))


def _leading_pairs(ctx: Context, x: Words, bits: int) -> Role[list[Words]]:
    """The same for pairs of bits."""
    planes = yield from to_bits(ctx, x, bits)
    clear = flipped(ctx, Bits(planes.own[::-1], planes.next[::-1], x.rows))
    pairs = yield from conjoin(ctx, clear[slice(0, None, 2)], clear[slice(1, None, 2)])
    return (yield from to_words(ctx, (yield from all_before(ctx, pairs))))


def all_before(ctx: Context, planes: Bits) -> Role[Bits]:
    """Each plane AND all before it. Sizes: at most half a plane of ``and`` a bit and round; ceil(log2 bits) rounds."""
    own, following = planes.own.copy(), planes.next.copy()
    step = 1
    while step < len(own):
        places = [at for at in range(len(own)) if at & step]
        below = [(at & ~(step - 1)) - 1 for at in places]
        both = yield from conjoin(
            ctx,
            Bits(own[places], following[places], planes.rows),
            Bits(own[below], following[below], planes.rows),
        )
        own[places], following[places] = both.own, both.next
        step *= 2
    return Bits(own, following, planes.rows)


def _weighted(ctx: Context, none_above: list[Words], exponents: list[int]) -> Words:
    """2^e for the exponent of the highest place that is set, 0 where none is."""
    total, before = public(ctx, 0, none_above[0].rows), public(ctx, 1, none_above[0].rows)
    for each, exponent in zip(none_above, exponents, strict=True):
        total = total + (before - each).times(2**exponent)
        before = each
    return total
