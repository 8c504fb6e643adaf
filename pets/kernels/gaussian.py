"""Discrete Gaussian noise that is exact, one party's part: N_Z(0, v), with P(x) proportional to exp(-x^2 / 2 v).

The parts of n parties do not add up to a discrete Gaussian, but to something so near that the cost of a release can be
bounded exactly (``check/shared_noise.py``). So with m computing parties of which at most t are corrupt, each adds
N_Z(0, sigma^2 / (m - t)).

A part whose root of v is below 2^11 is one word: a sign, and |x| by its law to 384 bits (``laws.py``). A wider one is
made from steps of 2^b: step h >= 0 has a weight of exp(-(2^b h)^2 / 2 v), a uniform l below 2^b goes on top, and
2^b h + l is taken with chance exp(-(2^(b+1) h l + l^2) / 2 v), 0.999 on average, by coins of rational probability
(Canonne, Kamath and Steinke, arXiv 2004.00010, algorithm 1). Zero is taken with one of the two signs only. A little
more is drawn than is needed, and the first that are taken are the noise. Whole numbers decide everything.

OpenDP's sampler has the same law and takes some 10 microseconds a value, so it is what tests compare with. What
``noise.py`` says of time is true of this as well.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np

from pets.kernels import laws
from pets.kernels.exponential import GUARD_BITS, exp_minus
from pets.kernels.jit import I64Array, inlined, kernel
from pets.kernels.laws import Law, Words, below
from pets.kernels.noise import MAX_TERM, TILE, batch

MIN_VARIANCE: Final = Fraction(1, 4)
"""Least variance parameter of a part: below it, sums of parts are no longer near to a discrete Gaussian."""

MAX_VARIANCE: Final = 2**40

_MAX_NUMERATOR: Final = 2**62
_STEPS_BITS: Final = 11


def gaussian_part(variance: Fraction, count: int, stream: Words) -> I64Array:
    """Draw ``count`` independent values of the discrete Gaussian with P(x) proportional to exp(-x^2 / 2 variance).

    Shapes:  result (count,) int64.
    Units:   ``variance`` of this part, sigma^2 / (m - t), exact, 1/4 to 2^40; values in the units of its root. Theirs
             is a little less (arXiv 2004.00010).
    Learned: the values are this party's secret until they are added to a share.
    Stream:  the values are a function of the stream's words and nothing else.
    Raises:  OverflowError for a draw of probability below 2^-300.
    """
    if not MIN_VARIANCE <= variance <= MAX_VARIANCE:
        raise ValueError("the variance of a part is 1/4 to 2^40")
    if variance.numerator > _MAX_NUMERATOR or variance.denominator > MAX_TERM:
        raise ValueError("the variance of a part has a numerator of at most 2^62 and a denominator of at most 2^52")
    if count < 0:
        raise ValueError("count must not be negative")
    out = np.empty(batch(count), np.int64)
    step_bits, law = _law(variance)
    for start in range(0, out.size, TILE):
        tile = out[start : start + TILE]
        if step_bits:
            _fill(tile, variance, step_bits, law, stream)
        else:
            words = stream.words(tile.size)
            tile[:] = laws.draw(law, words, stream)
            _sign(words, tile)
    return out[:count]


def warm_up() -> None:
    """Compile every kernel of this module."""
    laws.warm_up()
    one, drawn = np.ones(1, np.uint64), np.zeros(1, np.int64)
    _sign(one, drawn)
    _take(drawn, one, one, one, 1, np.uint64(1), np.uint64(2), 0, 0, 0, drawn)


@lru_cache(4)
def _law(variance: Fraction) -> tuple[int, Law]:
    """How many bits a step has, and the law of |x| or of the number of steps.

    Each weight is the one before times a factor, and each factor the one before times exp(-2 c), c = 2^(2b) / 2 v: some
    48,000 of them, so that all are less than 2^40 units of the last place off.
    """
    root = math.isqrt(int(variance))
    step_bits = max(0, root.bit_length() - _STEPS_BITS)
    c = Fraction(4**step_bits) / (2 * variance)
    factor, ratio, weight, weights = exp_minus(c), exp_minus(2 * c), 1 << GUARD_BITS, []
    while weight:
        weights.append(weight)
        weight = weight * factor >> GUARD_BITS
        factor = factor * ratio >> GUARD_BITS
    if not step_bits:
        weights[1:] = [2 * each for each in weights[1:]]  # both signs
    return step_bits, laws.of_weights(weights)


def _fill(out: I64Array, variance: Fraction, step_bits: int, law: Law, stream: Words) -> None:
    """Fill ``out`` with values made of steps. About 1 in 1,000 is not taken, and 1 in 64 more are drawn, and 256."""
    numerator, denominator = np.uint64(2 * variance.numerator), np.uint64(variance.denominator)
    asked = out.size + out.size // 64 + 256
    done = 0
    while done < out.size:
        heads, tails, coins = (stream.words(asked) for _ in range(3))
        steps = laws.draw(law, heads, stream)
        looked = at = 0
        while done < out.size and looked < asked:
            done, looked, at = _take(
                steps, heads, tails, coins, step_bits, denominator, numerator, done, looked, at, out
            )
            if done < out.size and looked < asked:
                coins, at = np.concatenate([coins[at:], stream.words(asked)]), 0


@inlined
def _bernoulli_exp(u: Any, d: Any, words: Any, at: int) -> Any:
    """True with probability exp(-u / d), for u <= d (Canonne, Kamath and Steinke, algorithm 1).

    Counts successes of Bernoulli(u / (d * i)), i = 1, 2, ...; true if the first failure is at an odd i. Each is a
    Bernoulli(u / d) and an independent Bernoulli(1 / i), because d * i might pass a word.
    """
    i = np.uint64(1)
    while at <= words.size:
        value, at = below(d, words, at)
        if value >= u:
            break
        if i > np.uint64(1):
            value, at = below(i, words, at)
            if value != np.uint64(0):
                break
        i += np.uint64(1)
    return (i & np.uint64(1)) == np.uint64(1), at


@kernel
def _sign(words: Any, values: Any) -> None:
    """Negate each value whose word is odd."""
    for i in range(values.size):
        minus = np.int64(words[i] & np.uint64(1))
        values[i] = (values[i] ^ -minus) + minus


@kernel
def _take(
    steps: Any,
    heads: Any,
    tails: Any,
    coins: Any,
    step_bits: Any,
    denominator: Any,
    numerator: Any,
    done: Any,
    looked: Any,
    at: Any,
    out: Any,
) -> Any:
    """Fill out[done:] with what is taken of steps[looked:], as far as the coins go.

    Returns how many are done, how many were looked at, and the coins used. A value whose coins run out is looked at
    again, from the same coins on.
    """
    while looked < steps.size and done < out.size:
        h = np.uint64(steps[looked])
        low = tails[looked] >> np.uint64(64 - step_bits)
        exponent = low * ((h << np.uint64(step_bits + 1)) + low) * denominator
        taken, behind = True, at
        if exponent:
            taken, behind = _bernoulli_exp(exponent, numerator, coins, at)
            if behind > coins.size:
                return done, looked, at
        value = np.int64((h << np.uint64(step_bits)) + low)
        minus = np.int64(heads[looked] & np.uint64(1))
        at = behind
        looked += 1
        if taken and (value or not minus):
            out[done] = (value ^ -minus) + minus
            done += 1
    return done, looked, at
