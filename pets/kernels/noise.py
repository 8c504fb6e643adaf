"""Noise that is exact: each party's half of discrete Laplace noise, the dummies of 1.10, and OpenDP as the accountant.

Discrete Laplace DLap(p) has P(k) proportional to p^|k|, p = exp(-gamma), gamma = epsilon / sensitivity. It is a
difference of two Geo(p), and Geo(p) is the sum of two independent NB(1/2, p). So each of three parties adds
NB(1/2, p) - NB(1/2, p): any two of them add up to DLap(p), and the third is independent of both.

One party's half comes from one geometric and one fair walk: k ~ Geo(p); 2j = the last zero of a walk of 2k fair steps,
which has the arcsine law C(2j, j) C(2k - 2j, k - j) / 4^k; then j and k - j are two independent NB(1/2, p), and
2j - k is the half. The geometric is that of Canonne, Kamath and Steinke (arXiv 2004.00010), from Bernoullis of
rational probability. Only whole numbers decide anything; a float is only ever reported, by the accountant.

A sampler's running time tells its result (divviup/libprio-rs#645). Draw in one batch before the run starts, and never
report how long it took (protocols.md 10.4).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from numba import types

from pets.kernels.jit import U64Array, inlined, kernel, typed_intrinsic

I64Array = npt.NDArray[np.int64]

MAX_SCALE: Final = 2**20
"""Greatest 1 / gamma: the walk takes 2k steps, k about 1 / gamma. Wider noise needs inputs in a coarser unit."""

MAX_TERM: Final = 2**52
"""Greatest numerator and denominator of gamma: U + d * V stays below 2^63 for every V below _MAX_BLOCKS."""

_MAX_BLOCKS: Final = 2**11 - 1
_FAR: Final = -1
_BLOCK: Final = 8
_BATCH_WORDS: Final = 2**17
"""Words asked for at a time: 1 MiB, so that they are read where they were made, in the cache."""

DRAW_BITS: Final = 128
WEIGHT_BITS: Final = 192
MAX_SLOTS: Final = 2**20

_GUARD_BITS: Final = 384
_EXTRA_BITS: Final = 64
_SLACK: Final = 1 << 64
"""More than all rounding errors of ``exp_minus``, in units of its last place."""


class Words(Protocol):
    """Uniform words of the party's own, never used for anything else: ``prf.Stream``."""

    def words(self, n: int, /) -> U64Array:
        """The next n words."""


def half_noise(gamma: Fraction, count: int, stream: Words) -> I64Array:
    """Draw ``count`` independent values of NB(1/2, p) - NB(1/2, p), p = exp(-gamma): half of DLap(p).

    Shapes:  result (count,) int64.
    Units:   gamma = epsilon / sensitivity, exact, at least 2^-20; values in the units of the sensitivity.
    Learned: the values are this party's secret until they are added to a share.
    Stream:  the values are a function of the stream's words and nothing else. A draw that runs out of words is made
             again from the same words with more behind them: throwing them away would favour small values.
    Source:  protocols.md 10.1 (a).
    """
    if gamma <= 0 or 1 / gamma > MAX_SCALE or max(gamma.numerator, gamma.denominator) > MAX_TERM:
        raise ValueError("gamma must be at least 2^-20, with terms of at most 2^52")
    if count < 0:
        raise ValueError("count must not be negative")
    out = np.empty(count, np.int64)
    n, d = np.uint64(gamma.numerator), np.uint64(gamma.denominator)
    a_draw = 64 + int(2 / gamma) // 64
    done, words = 0, np.empty(0, np.uint64)
    while done < count:
        more = max(min(a_draw * (count - done), _BATCH_WORDS), words.size)
        words = np.concatenate([words, stream.words(more)])
        done, used = _half_noise(words, n, d, np.int64(done), out)
        if done < 0:
            raise OverflowError("a geometric draw of probability below 2^-2900")
        words = words[used:]
    return out


@dataclass(frozen=True, slots=True)
class DummyTable:
    """The law of the number of dummies D in 0..2s: discrete Laplace around s, cut to that range.

    ``thresholds``: D is the number of thresholds that a 128-bit draw reaches; ``weights``: fixed point of 192 bits.
    ``digest``: SHA-256 over the parameters and weights, compared in the hello round.
    """

    epsilon: Fraction
    delta: Fraction
    k: int
    s: int
    weights: tuple[int, ...] = field(repr=False)
    thresholds: tuple[int, ...] = field(repr=False)
    digest: str


def dummy_table(epsilon: Fraction, delta: Fraction, k: int, s: int) -> DummyTable:
    """Make the table for neighbours whose counts differ by at most ``k``, and prove its (epsilon, delta).

    Units:   ``s`` is half the number of slots, from ``check.budget.dummy_slots``.
    Raises:  ValueError if the table as it will be drawn from, rounding included, has a greater delta.
    Source:  protocols.md 1.10.
    """
    if epsilon <= 0 or not 0 < delta < 1 or k < 1 or not k <= s <= MAX_SLOTS:
        raise ValueError("dummies need epsilon > 0, 0 < delta < 1, k >= 1 and k <= s <= 2^20")
    ratio = exp_minus(epsilon / k)
    side, power = [], 1 << _GUARD_BITS
    for _ in range(s + 1):
        side.append(power >> (_GUARD_BITS - WEIGHT_BITS))
        power = power * ratio >> _GUARD_BITS
    weights = (*reversed(side[1:]), *side)
    total, reached, thresholds = sum(weights), 0, []
    for weight in weights[:-1]:
        reached += weight
        thresholds.append(-((-reached << DRAW_BITS) // total))
    hasher = hashlib.sha256(b"pets/1 dummies\0" + f"{epsilon} {delta} {k} {s}\0".encode())
    for weight in weights:
        hasher.update(weight.to_bytes(WEIGHT_BITS // 8 + 1, "big"))
    table = DummyTable(epsilon, delta, k, s, weights, tuple(thresholds), hasher.hexdigest())
    if helper_delta(table) > delta:
        raise ValueError(f"{2 * s} slots are too few for this epsilon and delta")
    return table


def draw_dummies(table: DummyTable, draw: int) -> int:
    """The number of dummies for one uniform draw of 128 bits; every threshold is compared, whatever the draw."""
    if not 0 <= draw < 1 << DRAW_BITS:
        raise ValueError("a draw has 128 bits")
    return sum([draw >= threshold for threshold in table.thresholds])


def helper_delta(table: DummyTable) -> Fraction:
    """Greatest delta at the table's epsilon between counts that differ by k: exact, but for rounding upwards of e^eps.

    Sums, over all numbers m of tags that the helper might see, what P(m) has above e^epsilon P'(m); both directions.
    The 2^128 draws are counted one for one, so the rounding of weights and thresholds is in it. Fewer than k rows of
    difference give less: the sum is over a shorter end of the table.
    """
    edges = (0, *table.thresholds, 1 << DRAW_BITS)
    draws = [above - below for below, above in pairwise(edges)]
    apart = [0] * table.k
    at_most = (1 << 2 * _GUARD_BITS) // (exp_minus(table.epsilon) + _SLACK)  # e^epsilon, rounded down
    worst = 0
    for mine, other in ((draws + apart, apart + draws), (apart + draws, draws + apart)):
        excess = sum(max(0, (p << _GUARD_BITS) - at_most * q) for p, q in zip(mine, other, strict=True))
        worst = max(worst, excess)
    return Fraction(worst, 1 << (_GUARD_BITS + DRAW_BITS))


def exp_minus(x: Fraction) -> int:
    """floor of exp(-x) times 2^384, less a few units: Taylor at x / 2^m <= 1/2, squared m times. Whole numbers only."""
    if not 0 <= x <= 2**20:
        raise ValueError("exp_minus takes 0 to 2^20")
    halvings = max(0, (2 * x.numerator // x.denominator).bit_length())
    one = 1 << (_GUARD_BITS + _EXTRA_BITS)
    small = x / (1 << halvings)
    term, total, index = one, 0, 0
    while term:
        total += -term if index & 1 else term
        index += 1
        term = term * small.numerator // (small.denominator * index)
    for _ in range(halvings):
        total = total * total // one
    return total >> _EXTRA_BITS


def accounted_epsilon(sensitivity: int, epsilon: Fraction) -> float:
    """What OpenDP says that a column costs whose noise has ratio exp(-epsilon / sensitivity).

    Units:   sensitivity as an L1 norm over all cells, in units of the column. Rounded upwards: at least epsilon, and
             beyond it by a few units of a float's last place.
    """
    if sensitivity < 1 or epsilon <= 0:
        raise ValueError("a column has a sensitivity of at least 1 and an epsilon above 0")
    column: Any = _laplace(sensitivity / epsilon)
    return float(column.map(sensitivity))


def accounted_total(epsilons: Sequence[Fraction]) -> float:
    """What OpenDP says that several columns of one release cost together. A cross-check of the exact sum.

    Units:   each column in units of its own sensitivity, so that one person's rows move each column by at most 1.
    """
    if not epsilons:
        return 0.0
    if min(epsilons) <= 0:
        raise ValueError("a column has an epsilon above 0")
    from opendp.combinators import make_composition

    whole: Any = make_composition([_laplace(1 / epsilon) for epsilon in epsilons])
    return float(whole.map(1))


def _laplace(scale: Fraction) -> Any:
    """OpenDP's discrete Laplace on vectors of integers, of at most this scale."""
    from opendp.domains import atom_domain, vector_domain  # half a second to import, and needed only here
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    at_most = float(scale)
    if Fraction(at_most) > scale:
        at_most = math.nextafter(at_most, 0.0)
    return make_laplace(vector_domain(atom_domain(T="i64")), l1_distance(T="i64"), scale=at_most)


def warm_up() -> None:
    """Compile every kernel of this module."""
    _half_noise(np.zeros(64, np.uint64), np.uint64(1), np.uint64(1), np.int64(0), np.empty(1, np.int64))
    last_zero(np.zeros(1, np.uint64), 1)


@typed_intrinsic
def _popcount(typing_context: Any, word: Any) -> Any:
    """`_popcount(word)`: how many of the 64 bits are set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit


@inlined
def _below(bound: Any, words: Any, at: int) -> Any:
    """A uniform number below `bound` and the next place: the first word whose low bits are below it.

    A place beyond the end of the words says that they ran out; it stays so in whatever is drawn next.
    """
    mask = bound - np.uint64(1)
    for shift in (1, 2, 4, 8, 16, 32):
        mask |= mask >> np.uint64(shift)
    while at < words.size:
        value = words[at] & mask
        at += 1
        if value < bound:
            return value, at
    return np.uint64(0), words.size + 1


@inlined
def _bernoulli_exp(u: Any, d: Any, words: Any, at: int) -> Any:
    """True with probability exp(-u / d), for u <= d (Canonne, Kamath and Steinke, algorithm 1).

    Counts successes of Bernoulli(u / (d * i)), i = 1, 2, ...; true if the first failure is at an odd i. Each is a
    Bernoulli(u / d) and an independent Bernoulli(1 / i), because d * i might pass a word.
    """
    i = np.uint64(1)
    while at <= words.size:
        if u < d:
            value, at = _below(d, words, at)
            if value >= u:
                break
        if i > np.uint64(1):
            value, at = _below(i, words, at)
            if value != np.uint64(0):
                break
        i += np.uint64(1)
    return (i & np.uint64(1)) == np.uint64(1), at


@inlined
def _geometric(n: Any, d: Any, words: Any, at: int) -> Any:
    """k with P(k) proportional to exp(-k * n / d) (same, algorithm 2): floor((u + d * v) / n); _FAR if v is absurd."""
    accepted, u, v = False, np.uint64(0), np.uint64(0)
    while not accepted and at <= words.size:
        u, at = _below(d, words, at)
        accepted, at = _bernoulli_exp(u, d, words, at)
    more = True
    while more and at <= words.size:
        more, at = _bernoulli_exp(np.uint64(1), np.uint64(1), words, at)
        if more:
            v += np.uint64(1)
            if v > np.uint64(_MAX_BLOCKS):
                return _FAR, at
    return np.int64((u + d * v) // n), at


@inlined
def _climb(word: Any, steps: int) -> Any:
    """How far the walk climbs in the first `steps` steps of a word."""
    kept = word if steps == 64 else word & ((np.uint64(1) << np.uint64(steps)) - np.uint64(1))
    return 2 * np.int64(_popcount(kept)) - steps


@inlined
def _look_into(word: Any, steps: int, height: Any) -> Any:
    """Go back from `height` through the word's steps: the height before them, and the last step at zero or -1."""
    if height == 0:
        return height, steps
    for bit in range(steps - 1, -1, -1):
        height += 1 - 2 * np.int64((word >> np.uint64(bit)) & np.uint64(1))
        if height == 0:
            return height, bit
    return height, -1


@inlined
def _last_zero(words: Any, at: int, steps: int) -> Any:
    """Where the walk of the bits from words[at], low bit first, set for up, is at zero for the last time.

    From its end backwards: a word, or block of words, is looked into only if the walk might reach zero within.
    """
    full, rest = steps // 64, steps % 64
    walk = words[at : at + full]
    ups = np.uint64(0)
    for w in range(walk.size):
        ups += _popcount(walk[w])
    height = 2 * np.int64(ups) - 64 * full
    if rest:
        height, zero = _look_into(words[at + full], rest, height + _climb(words[at + full], rest))
        if zero >= 0:
            return 64 * full + zero
    w = full
    while w > 0:
        if w >= _BLOCK and abs(height) > 64 * _BLOCK:
            block = walk[w - _BLOCK : w]
            ups = np.uint64(0)
            for i in range(_BLOCK):
                ups += _popcount(block[i])
            height -= 2 * np.int64(ups) - 64 * _BLOCK
            w -= _BLOCK
            continue
        w -= 1
        if abs(height) > 64:
            height -= _climb(walk[w], 64)
        else:
            height, zero = _look_into(walk[w], 64, height)
            if zero >= 0:
                return 64 * w + zero
    return 0


@kernel
def last_zero(words: Any, steps: int) -> Any:
    """Last return to zero of the walk of ``steps`` fair steps whose ups are the set bits of the words, low bit first.

    Shapes:  words (at least ceil(steps / 64),) uint64, not checked; the result is even, 0 to ``steps``.
    """
    return _last_zero(words, 0, steps)


@kernel
def _half_noise(words: Any, n: Any, d: Any, done: Any, out: Any) -> Any:
    """Fill out[done:] as far as the words go. Returns how many are done now (_FAR: see there) and the words used."""
    at = 0
    while done < out.size:
        k, behind = _geometric(n, d, words, at)
        if k == _FAR:
            return np.int64(_FAR), at
        length = (2 * k + 63) // 64
        if behind + length > words.size:
            break
        out[done] = _last_zero(words, behind, 2 * k) - k
        at = behind + length
        done += 1
    return done, at
