"""Discrete Laplace noise that is exact and shared by all: one party's part, of which any m - t are the whole.

Discrete Laplace DLap(p) has P(k) proportional to p^|k|, p = exp(-gamma), gamma = epsilon / sensitivity. It is a
difference of two Geo(p), and Geo(p) is the sum of n independent NB(1/n, p). With m computing parties of which at most t
are corrupt, each adds NB(1/n, p) - NB(1/n, p), n = m - t: the parts of any n parties, so those of the honest ones, add
up to DLap(p), and the others' are independent of them. With t = m - 1 each adds the whole.

One part comes from one geometric number and the cycles of a random permutation. Let k ~ Geo(p), and take the lengths of
the cycles of a uniform permutation of k things. Each cycle counts for +1 with chance 1/n, for -1 with chance 1/n, else
for nobody. This is a part, because the numbers of cycles of each length l are independent Poisson(p^l / l) (Shepp and
Lloyd, Trans. AMS 121, 1966). So +1 gets Poisson(p^l / (n l)) cycles of each length, -1 as many of its own, all
independent; and the sum over l of l times Poisson(r p^l / l) has the generating function
exp(sum of r ((p z)^l - p^l) / l) = ((1 - p) / (1 - p z))^r, that of NB(r, p). The cycle of the first of k things has a
length uniform in 1..k, and the rest is a uniform permutation of what is left: one bounded number a cycle, about log(k)
of them. Tests hold this against the definition in exact fractions.

The geometric number is exact too: its bits, in groups, are independent, and each group is looked up in its law to 384
bits (``laws.py``). Only whole numbers decide anything.

A sampler's running time tells of its result (divviup/libprio-rs#645). Draw in one batch before the run starts, and
never report how long it took (protocols.md 10.4). How many words are asked for depends on gamma, parts and count alone,
but for a chance below 2^-60 a tile. How many cycles there are depends on what is drawn, but only their sum over a batch
has a time, and a batch has 2^12 values at least: fewer are asked for, more are drawn and forgotten.
"""

import math
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np

from pets.kernels import laws
from pets.kernels.exponential import GUARD_BITS, exp_minus
from pets.kernels.jit import I64Array, kernel
from pets.kernels.laws import Law, Words, below

MAX_SCALE: Final = 2**20
"""Greatest 1 / gamma: wider noise needs inputs in a coarser unit, as the check plans it."""

MAX_TERM: Final = 2**52
"""Greatest numerator and denominator of gamma."""

MAX_PARTS: Final = 2**10

TILE: Final = 2**14
"""Values drawn at a time, so that their words are read where they were made, in the cache."""

LEAST: Final = 2**12
"""Values of a batch at least: the cycles of one, some log(1 / gamma), are lost in the spread of the cycles of all."""

_GROUP: Final = 8
_FINEST: Final = 4
_NEVER: Final = 512
"""exp(-512) is nothing in units of 2^-384, and so is what is less."""


def laplace_part(gamma: Fraction, parts: int, count: int, stream: Words) -> I64Array:
    """Draw ``count`` independent values of NB(1/n, p) - NB(1/n, p), p = exp(-gamma), n = ``parts``.

    Shapes:  result (count,) int64.
    Units:   gamma = epsilon / sensitivity, exact, at least 2^-20; values in the units of the sensitivity. ``parts``:
             how many parties are honest at least, m - t; the variance of each value is 2 p / (n (1 - p)^2).
    Learned: the values are this party's secret until they are added to a share.
    Stream:  the values are a function of the stream's words and nothing else.
    Raises:  OverflowError for a draw of probability below 2^-300.
    Source:  protocols.md 10.1; Harrison and Manurangsi, arXiv 2504.05202, for shares of other sizes than 1/2.
    """
    if gamma <= 0 or 1 / gamma > MAX_SCALE or max(gamma.numerator, gamma.denominator) > MAX_TERM:
        raise ValueError("gamma must be at least 2^-20, with terms of at most 2^52")
    if count < 0:
        raise ValueError("count must not be negative")
    if not 1 <= parts <= MAX_PARTS:
        raise ValueError("noise has 1 to 2^10 parts")
    out = np.empty(batch(count), np.int64)
    for start in range(0, out.size, TILE):
        tile = out[start : start + TILE]
        tile[:] = _geometric(gamma, tile.size, stream)
        if parts == 1:
            tile -= _geometric(gamma, tile.size, stream)
        else:
            _share_out(tile, gamma, parts, stream)
    return out[:count]


def batch(count: int) -> int:
    """How many values are drawn for ``count`` of them."""
    return max(count, LEAST) if count else 0


def half_noise(gamma: Fraction, count: int, stream: Words) -> I64Array:
    """``laplace_part`` of three parties of which one may be corrupt: half of DLap(p)."""
    return laplace_part(gamma, 2, count, stream)


def warm_up() -> None:
    """Compile every kernel of this module."""
    laws.warm_up()
    _cycles(np.zeros(1, np.uint64), np.uint64(2), 0, 0, np.zeros(1, np.int64))


def _geometric(gamma: Fraction, count: int, stream: Words) -> I64Array:
    """k with P(k) proportional to exp(-gamma k): (count,) int64, from ``count`` words for each group of its bits."""
    out = np.zeros(count, np.int64)
    for place, law in _groups(gamma):
        out += laws.draw(law, stream.words(count), stream) << place
    return out


@lru_cache(64)
def _groups(gamma: Fraction) -> tuple[tuple[int, Law], ...]:
    """The laws of the bits of a geometric number: groups of at most eight from the lowest on, then all that is above.

    Bits a to b - 1 of k are independent of all others, because exp(-gamma k) is a product over the bits of k; their
    number j has a probability proportional to exp(-gamma 2^a j), j < 2^(b - a). All that is above has a ratio of 15/16
    to 31/32, or p itself: at most 8,600 outcomes down to 2^-384.
    """
    above = max(0, int(1 / gamma).bit_length() - 1 - _FINEST)
    places = [*range(0, above, _GROUP), above]
    groups = []
    for place, upper in zip(places, [*places[1:], None], strict=True):
        ratio, power = exp_minus(min(gamma * 2**place, Fraction(_NEVER))), 1 << GUARD_BITS
        weights: list[int] = []
        while power and (upper is None or len(weights) < 2 ** (upper - place)):
            weights.append(power)
            power = power * ratio >> GUARD_BITS
        groups.append((place, laws.of_weights(weights)))
    return tuple(groups)


def _share_out(values: I64Array, gamma: Fraction, parts: int, stream: Words) -> None:
    """Put in the place of each k what its cycles count for."""
    asked = _cycle_words(gamma, values.size)
    words, done, at = stream.words(asked), 0, 0
    while True:
        done, at = _cycles(words, np.uint64(parts), done, at, values)
        if done == values.size:
            return
        words, at = np.concatenate([words[at:], stream.words(asked)]), 0


def _cycle_words(gamma: Fraction, count: int) -> int:
    """More words than the cycles of ``count`` numbers take, but for a chance below 2^-60.

    The cycles of all numbers together are Poisson, and pass their mean by 10 roots of it + 60 with a chance below
    exp(-50) (Bernstein: exp(-x^2 / 2 (mean + x / 3))). A word is refused with a chance below 2^-30.
    """
    mean = math.ceil(_cycles_mean(gamma) * count)
    return mean + 10 * (math.isqrt(mean) + 1) + 64


@lru_cache(64)
def _cycles_mean(gamma: Fraction) -> Fraction:
    """-ln(1 - exp(-gamma)), and a little more: how many cycles a number has on average."""
    context = Context(prec=40, rounding=ROUND_CEILING)
    p = context.exp(context.divide(Decimal(-gamma.numerator), Decimal(gamma.denominator)))
    return Fraction(context.ln(context.subtract(Decimal(1), p)).copy_negate()) + Fraction(1, 2**20)


@kernel
def _cycles(words: Any, parts: Any, done: Any, at: Any, values: Any) -> Any:
    """Count cycles for values[done:] as far as the words go. Returns how many are done now and the words used."""
    twice = np.uint64(2)
    while done < values.size:
        k = np.uint64(values[done])
        behind = at
        total = np.int64(0)
        while k:
            drawn, behind = below(parts * k, words, behind)
            if behind > words.size:
                return done, at
            if drawn >= twice * k:  # nobody's: in blocks of k after that of +1 and that of -1
                k -= drawn % k + np.uint64(1)
                continue
            minus = np.uint64(drawn >= k)
            length = drawn - minus * k + np.uint64(1)
            k -= length
            total += np.int64((length ^ (np.uint64(0) - minus)) + minus)
        values[done] = total
        at = behind
        done += 1
    return done, at
