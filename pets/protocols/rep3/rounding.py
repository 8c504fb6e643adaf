"""Whole division of shared values by public numbers, and what is made of it: shifts, remainders, rounding.

A value is x = u + v - 2^64 wraps, where u = x_0 + x_1 is known to party 0 and v = x_2 to the two others. Each divides
its own summand; what is left to compute together is a carry over as many bits as the divisor has. Results are exact
and depend on the value alone, but for ``roughly``, which says what it is for.

Ranges:  ``LEAST`` <= x < ``END`` unless a function says otherwise. A row out of range gives garbage without a sign of
         it: declared ranges rule that out. A public number out of range is a ValueError, the plan's doing.
Source:  our design (docs/adr/0016-exact-quotients.md); protocols.md 4.6 for the shift.
"""

from typing import Final

import numpy as np

from pets.kernels import shares
from pets.kernels.jit import U64Array
from pets.protocols.base import Role
from pets.protocols.rep3.compare import carried, is_zero, to_words
from pets.protocols.rep3.sharing import (
    Bits,
    Context,
    Words,
    conjoin,
    flipped,
    given,
    given_planes,
    known_to_two,
    multiply,
    planes_known_to_two,
    public,
    stacked,
)

LEAST: Final = -(2**61)
END: Final = 2**62
"""Values that ``quotient`` and all that is made of it take: LEAST <= x < END."""

GREATEST_DIVISOR: Final = 2**61

_TOP: Final = np.uint64(63)


def quotient(ctx: Context, x: Words, divisor: int) -> Role[Words]:
    """Floor of x / divisor, also of negative x: exact. The divisor is public, 1 to 2^61.

    Sizes:   with s = ceil(log2 divisor) + 1: ``in``: s + 1 planes and 4 words a row; ``and``: at most 9 s + 3 planes;
             ``mul``: 3 words a row; 5 + ceil(log2 s) rounds.
    Learned: nothing. Raises: ValueError on a divisor out of range.
    """
    _check_divisor(divisor)
    lift = -(LEAST // divisor)
    u, v = _summands(ctx, x + public(ctx, lift * divisor, x.rows))
    d, width = np.uint64(divisor), (divisor - 1).bit_length() + 1
    whole, rest = divmod(2**64, divisor)
    own = None if u is None else u % d | (u >> _TOP) << np.uint64(width)
    left = yield from given_planes(ctx, 0, None if own is None else shares.planes(own, width + 1), width + 1, x.rows)
    outer = yield from given(ctx, 0, None if u is None else u // d, x.rows)
    right = _beside(*(_reaching(ctx, v, divisor, limit, width, x.rows) for limit in (divisor, rest, divisor + rest)))
    low, top = left[slice(0, width)], slice(width, None)
    below = right[slice(0, width)]
    addend = _beside(low, low, low)
    generate, both = yield from _conjoined(ctx, addend, below, left[top], _top(ctx, v, x.rows))
    reached = _apart((yield from carried(ctx, generate, addend ^ below)) ^ right[top], x.rows)
    wraps = left[top] ^ _top(ctx, v, x.rows) ^ both
    once, ever, twice = reached
    chosen = yield from conjoin(ctx, stacked(wraps, wraps), stacked(once ^ twice, flipped(ctx, ever)))
    wrap, more, less = yield from to_words(ctx, stacked(wraps, once ^ chosen[slice(0, 1)], chosen[slice(1, None)]))
    inner = known_to_two(ctx, 2, None if v is None else v // d, x.rows)
    return outer + inner + more - less - wrap.times(whole) - public(ctx, lift, x.rows)


def _reaching(ctx: Context, v: U64Array | None, divisor: int, limit: int, width: int, rows: int) -> Bits:
    """What to add to a remainder of u, so that bit ``width`` of the sum says that both remainders reach ``limit``."""
    bias = np.uint64(2**width - limit)
    known = None if v is None else shares.planes(v % np.uint64(divisor) + bias, width + 1)
    return planes_known_to_two(ctx, 2, known, width + 1, rows)


def remainder(ctx: Context, x: Words, divisor: int) -> Role[Words]:
    """x modulo a public divisor, 0 to divisor - 1 also for negative x. Sizes and errors: those of ``quotient``."""
    return x - (yield from quotient(ctx, x, divisor)).times(divisor)


def nearest(ctx: Context, x: Words, base: int) -> Role[Words]:
    """The multiple of a public base that is nearest to x, the higher of two. For x + base // 2 < ``END``.

    Sizes and errors: those of ``quotient``.
    """
    _check_divisor(base)
    return (yield from quotient(ctx, x + public(ctx, base // 2, x.rows), base)).times(base)


def midpoint(ctx: Context, x: Words, base: int) -> Role[Words]:
    """The middle of the band that x >= 0 is in: 0 stays 0, else base * ceil(x / base) - base // 2.

    For x + base <= ``END``. Sizes and errors: those of ``quotient``, ``is_zero`` and ``to_words`` of one plane.
    """
    _check_divisor(base)
    bands = yield from quotient(ctx, x + public(ctx, base - 1, x.rows), base)
    (none,) = yield from to_words(ctx, (yield from is_zero(ctx, bands)))
    return bands.times(base) - (public(ctx, 1, x.rows) - none).times(base // 2)


def shifted(ctx: Context, x: Words, bits: int) -> Role[Words]:
    """Floor of x / 2^bits, exact, for -2^62 <= x < 2^62 and public ``bits`` from 1 to 62.

    Sizes:   ``in``: bits + 1 planes and 3 words a row; ``and``: at most 3 bits + 1 planes; ``mul``: 2 words a row;
             4 + ceil(log2 bits) rounds.
    Learned: nothing. Raises: ValueError on ``bits`` out of range.
    """
    _check_shift(bits)
    u, v = _summands(ctx, x + public(ctx, 2**62, x.rows))
    shift, mask = np.uint64(bits), np.uint64(2**bits - 1)
    own = None if u is None else u & mask | (u >> _TOP) << shift
    left = yield from given_planes(ctx, 0, None if own is None else shares.planes(own, bits + 1), bits + 1, x.rows)
    outer = yield from given(ctx, 0, None if u is None else u >> shift, x.rows)
    right = planes_known_to_two(ctx, 2, None if v is None else shares.planes(v, bits), bits, x.rows)
    low, sign = left[slice(0, bits)], left[slice(bits, None)]
    generate, both = yield from _conjoined(ctx, low, right, sign, _top(ctx, v, x.rows))
    carry = yield from carried(ctx, generate, low ^ right)
    more, wrap = yield from to_words(ctx, stacked(carry, sign ^ _top(ctx, v, x.rows) ^ both))
    inner = known_to_two(ctx, 2, None if v is None else v >> shift, x.rows)
    return outer + inner + more - wrap.times(2 ** (64 - bits)) - public(ctx, 2 ** (62 - bits), x.rows)


def roughly(ctx: Context, x: Words, bits: int) -> Role[Words]:
    """Floor of x / 2^bits or one less, for -2^62 <= x < 2^62: a step on the way to something that is made exact.

    Which of the two depends on the masks, so no such value is ever released or compared as it is.

    Sizes:   ``in``: 2 words a row; ``mul``: a word a row; 2 rounds. Learned: nothing. Raises: as ``shifted``.
    """
    _check_shift(bits)
    u, v = _summands(ctx, x + public(ctx, 2**62, x.rows))
    shift, unit = np.uint64(bits), 2 ** (64 - bits)
    both = yield from given(ctx, 0, None if u is None else np.concatenate([u >> shift, u >> _TOP]), 2 * x.rows)
    outer, sign = both[slice(0, x.rows)], both[slice(x.rows, None)]
    inner = known_to_two(ctx, 2, None if v is None else v >> shift, x.rows)
    top = known_to_two(ctx, 2, None if v is None else v >> _TOP, x.rows)
    wrap = sign + top - (yield from multiply(ctx, sign, top))
    return outer + inner - wrap.times(unit) - public(ctx, 2 ** (62 - bits), x.rows)


# -- parts ------------------------------------------------------------------------------------------------------------


def _check_divisor(divisor: int) -> None:
    if not 1 <= divisor <= GREATEST_DIVISOR:
        raise ValueError("a public divisor or base is 1 to 2^61")


def _check_shift(bits: int) -> None:
    if not 1 <= bits <= 62:
        raise ValueError("a shift is by 1 to 62 bits")


def _summands(ctx: Context, x: Words) -> tuple[U64Array | None, U64Array | None]:
    """The two summands of 0 <= x < 2^63, as far as this party knows them. They wrap just if either has its top bit."""
    return x.own + x.next if ctx.me == 0 else None, {1: x.next, 2: x.own}.get(ctx.me)


def _top(ctx: Context, v: U64Array | None, rows: int) -> Bits:
    return planes_known_to_two(ctx, 2, None if v is None else shares.planes(v >> _TOP, 1), 1, rows)


def _beside(*parts: Bits) -> Bits:
    """Planes of several values next to each other: each value's rows begin at a word of their own."""
    rows = 64 * sum(part.own.shape[1] for part in parts)
    return Bits(np.concatenate([p.own for p in parts], 1), np.concatenate([p.next for p in parts], 1), rows)


def _apart(bits: Bits, rows: int) -> list[Bits]:
    """What ``_beside`` put together."""
    width = -(-rows // 64)
    starts = range(0, bits.own.shape[1], width)
    return [Bits(bits.own[:, at : at + width], bits.next[:, at : at + width], rows) for at in starts]


def _conjoined(ctx: Context, a: Bits, b: Bits, c: Bits, d: Bits) -> Role[tuple[Bits, Bits]]:
    """a AND b, and c AND d, of other shapes, in one message."""
    left, right = _flat(a, c), _flat(b, d)
    found = yield from conjoin(ctx, left, right)
    cut = a.own.size
    own, following = found.own[0], found.next[0]
    shape = (a.own.shape, c.own.shape)
    return (
        Bits(own[:cut].reshape(shape[0]), following[:cut].reshape(shape[0]), a.rows),
        Bits(own[cut:].reshape(shape[1]), following[cut:].reshape(shape[1]), c.rows),
    )


def _flat(*parts: Bits) -> Bits:
    own = np.concatenate([part.own.reshape(-1) for part in parts])[None, :]
    following = np.concatenate([part.next.reshape(-1) for part in parts])[None, :]
    return Bits(own, following, 64 * own.size)
