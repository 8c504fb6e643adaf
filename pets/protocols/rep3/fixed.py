"""Fixed point on shared values: a word stands for itself divided by 2^f, where f, the fraction, is public.

Every result is a function of the values alone, the same in every run whatever the masks: products, quotients and roots
are the exact results rounded down, ``decay`` and ``sigmoid`` have an error that is proven. A value that is released
tells nothing more than that function of it.

Errors are in units of the last place, 2^-f. Ranges are of words, and a row out of range gives garbage: declared ranges
rule that out.

Source:  our design and its bounds: docs/adr/0022-division-by-secrets.md; Chebyshev interpolation: any text on
         numerical analysis.
"""

from typing import Final

import numpy as np

from pets.protocols.base import Role
from pets.protocols.rep3 import ratio
from pets.protocols.rep3.compare import all_of, negative, to_bits, to_words
from pets.protocols.rep3.ratio import FRACTION, inverted, reached
from pets.protocols.rep3.rounding import roughly, shifted
from pets.protocols.rep3.sharing import Bits, Context, Words, flipped, joined, multiply, public, stacked

LEAST_FRACTION: Final = 8
GREATEST_FRACTION: Final = 20
"""Fractions that ``decay`` and ``sigmoid`` take."""

_BEYOND: Final = 8
"""Bits above 16 that an exponent may have: it is less than 2^12."""

_POLYNOMIAL: Final = (1073741809, -1073738744, 536771909, -177837235, 39507955)
"""Of e^-l for 0 <= l <= 1/4, from the constant upwards, times 2^30: interpolated at the five Chebyshev points of that
interval, so off by at most 2 / (5! 16^5) < 2^-25.8."""

_POWERS: Final = (
    (1073741824, 836230973, 651257337, 507199724),
    (1073741824, 395007542, 145315154, 53458458),
    (1073741824, 19666268, 360200, 6597),
)
"""e^-(m a), times 2^30, for m from 0 to 3 and a of 1/4, 1 and 4."""


def product(ctx: Context, x: Words, y: Words, fraction: int) -> Role[Words]:
    """Floor of x y / 2^fraction, for -2^62 <= x y < 2^62 and a fraction of 1 to 62 bits: never probabilistic.

    Sizes:   those of ``multiply`` and ``shifted``. Learned: nothing. Raises: ValueError on a fraction out of range.
    """
    return (yield from shifted(ctx, (yield from multiply(ctx, x, y)), fraction))


def over(ctx: Context, x: Words, y: Words, *, fraction: int, bits: int, digits: int) -> Role[Words]:
    """Floor of 2^fraction x / y, exact, for |y| < 2^bits and |2^fraction x| < 2^(20 digits); 0 where y is 0.

    Public:  ``fraction`` from 0 to 59, ``bits`` from 1 to 30, ``digits`` from 1 to 3.
    Sizes:   ``negative``, ``to_words``, a product of 2 words a row, and ``ratio``; 10 rounds more than that.
    Learned: nothing. Raises: ValueError on public numbers out of range.
    """
    _check(fraction, 0, ratio.DIGIT * ratio.MOST_DIGITS - 1)
    (sign,) = yield from to_words(ctx, (yield from negative(ctx, y)))
    both = joined(x, y)
    turned = both - (yield from multiply(ctx, joined(sign, sign), both)).times(2)
    above, below = turned[slice(0, x.rows)], turned[slice(x.rows, None)]
    return (yield from ratio.ratio(ctx, above.times(2**fraction), below, bits=bits, digits=digits))


def inverse(ctx: Context, y: Words, *, fraction: int, bits: int) -> Role[Words]:
    """Floor of 2^(2 fraction) / y, exact, for 0 <= y < 2^bits; 0 where y is 0. A fraction of 1 to 29.

    Sizes and errors: those of ``ratio`` with as many digits of 20 bits as 2 fraction + 1 bits need.
    """
    _check(fraction, 1, 29)
    digits = -(-(2 * fraction + 1) // ratio.DIGIT)
    return (yield from ratio.ratio(ctx, public(ctx, 2 ** (2 * fraction), y.rows), y, bits=bits, digits=digits))


def root(ctx: Context, x: Words, *, fraction: int, bits: int) -> Role[Words]:
    """Floor of the square root of 2^fraction x, exact, for 0 <= 2^fraction x < 2^bits, ``bits`` even and up to 60.

    Sizes and errors: those of ``ratio.root``.
    """
    _check(fraction, 0, ratio.ROOT_BITS - 1)
    return (yield from ratio.root(ctx, x.times(2**fraction), bits))


def decay(ctx: Context, t: Words, fraction: int) -> Role[Words]:
    """e^-t for 0 <= t < 2^12, that is t < 2^(fraction + 12) as a word: off by less than 1.2 units of the last place.

    Public:  ``fraction`` from 8 to 20.
    Sizes:   about 44 words a row, and 76 from party 0; 50 + ceil(log2(fraction + 12)) rounds.
    Learned: nothing. Raises: ValueError on a fraction out of range.
    """
    _check(fraction, LEAST_FRACTION, GREATEST_FRACTION)
    planes = yield from to_bits(ctx, t, fraction + 4 + _BEYOND)
    clear = yield from all_of(ctx, flipped(ctx, planes[slice(fraction + 4, None)]))
    words = yield from to_words(ctx, stacked(clear, planes[slice(fraction - 2, fraction + 4)]))
    pairs = yield from _pairs(ctx, words[1:], [])
    scaled = yield from _decayed(ctx, t, words[1:], pairs, fraction, 2 * FRACTION - fraction)
    return (yield from multiply(ctx, scaled, words[0]))


def sigmoid(ctx: Context, x: Words, fraction: int) -> Role[Words]:
    """1 / (1 + e^-x) for -2^12 <= x < 2^12, in words below 2^(fraction + 12): off by less than 0.8 units.

    It is that of x and half a unit, to the nearest: for an x that was rounded down it is right on the average.

    Public:  ``fraction`` from 8 to 20. The result is from 0 to 2^fraction.
    Sizes:   about 65 words a row, and 117 from party 0; 74 + ceil(log2(fraction + 13)) rounds.
    Learned: nothing. Raises: ValueError on a fraction out of range.
    """
    _check(fraction, LEAST_FRACTION, GREATEST_FRACTION)
    rows, one = x.rows, public(ctx, 2 ** (FRACTION - 1), x.rows)
    planes = yield from to_bits(ctx, x, fraction + 5 + _BEYOND)
    top = planes[slice(planes.bits - 1, None)]
    spread = Bits(np.repeat(top.own, planes.bits - 1, 0), np.repeat(top.next, planes.bits - 1, 0), rows)
    size = planes[slice(0, planes.bits - 1)] ^ spread
    clear = yield from all_of(ctx, flipped(ctx, size[slice(fraction + 4, None)]))
    sign, kept, *words = yield from to_words(ctx, stacked(top, clear, size[slice(fraction - 2, fraction + 4)]))
    *pairs, turned = yield from _pairs(ctx, words, [(sign, x)])
    t = x - turned.times(2) - sign  # half a unit short of x + 1/2, or of its opposite
    e = yield from _decayed(ctx, t, words, pairs, fraction, FRACTION + 1, half=True)
    d = one + (yield from multiply(ctx, e, kept))
    shift = FRACTION + 1 - fraction
    found = yield from roughly(ctx, (yield from inverted(ctx, d)) - public(ctx, 2 ** (shift - 3), rows), shift)
    left = public(ctx, 2 ** (fraction + FRACTION), rows) + d - (yield from multiply(ctx, found, d)).times(2)
    found = found + (yield from reached(ctx, left, [d.times(2), d.times(4)]))  # to the nearest: floor(q + 1/2)
    other = public(ctx, 2**fraction, rows) - found.times(2)
    return found + (yield from multiply(ctx, sign, other))


# -- parts ------------------------------------------------------------------------------------------------------------


def _check(fraction: int, least: int, greatest: int) -> None:
    if not least <= fraction <= greatest:
        raise ValueError(f"a fraction here has {least} to {greatest} bits")


def _pairs(ctx: Context, words: list[Words], others: list[tuple[Words, Words]]) -> Role[list[Words]]:
    """Products of neighbours, and of other pairs, in one message."""
    both = [*zip(words[::2], words[1::2], strict=True), *others]
    found = yield from multiply(ctx, joined(*(x for x, _ in both)), joined(*(y for _, y in both)))
    return _parted(found, len(both))


def _parted(x: Words, count: int) -> list[Words]:
    rows = x.rows // count
    return [x[slice(at * rows, (at + 1) * rows)] for at in range(count)]


def _decayed(
    ctx: Context, t: Words, bits: list[Words], pairs: list[Words], fraction: int, shift: int, *, half: bool = False
) -> Role[Words]:
    """e^-t times 2^(60 - shift) for t < 16, from its bits of 1/4 to 8, and the products of neighbours among them.

    ``half``: of t and half a unit of its last place.

    Sizes:   ``mul``: 6 words a row; ``shifted`` by 30 bits of 6 words a row, and by ``shift`` of one; 35 +
             ceil(log2 shift) rounds.
    """
    rows, low = t.rows, t
    for at, bit in enumerate(bits):
        low = low - bit.times(2 ** (fraction - 2 + at))
    low = low.times(2 ** (FRACTION - fraction)) + public(ctx, half * 2 ** (FRACTION - fraction - 1), rows)
    powers = []
    for (none, first, second, third), a, b, both in zip(_POWERS, bits[::2], bits[1::2], pairs, strict=True):
        crossed = both.times(third - first - second + none)
        powers.append(public(ctx, none, rows) + a.times(first - none) + b.times(second - none) + crossed)
    square = yield from product(ctx, low, low, FRACTION)
    left, right = joined(square, square, powers[0]), joined(low, square, powers[1])
    cube, fourth, power = _parted((yield from product(ctx, left, right, FRACTION)), 3)
    constant, *factors = _POLYNOMIAL
    sum_ = public(ctx, constant * 2**FRACTION, rows)
    for factor, each in zip(factors, (low, square, cube, fourth), strict=True):
        sum_ = sum_ + each.times(factor)
    power = yield from multiply(ctx, power, powers[2])
    polynomial, power = _parted((yield from shifted(ctx, joined(sum_, power), FRACTION)), 2)
    return (yield from product(ctx, polynomial, power, shift))
