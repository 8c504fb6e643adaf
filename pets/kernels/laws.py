"""Draws from a law on 0, 1, 2, ... by one word each, exactly: by its distribution function to 384 bits, bit by bit.

An endless row of fair bits is a uniform number U, and X = the number of j with P(X <= j) <= U has the law. Bits are
looked at only until they decide: the 63 upper ones of a word do so unless they equal the first 63 bits of some
P(X <= j), which happens to one draw in 2^63 / outcomes. Then 384 further bits are asked for, and whole numbers of 384
bits are compared. Should those be too near as well (a chance below 2^-300), there is no draw, but an error: no draw is
ever the wrong one.

So every draw takes one word, and the same number of words whatever is drawn; the place in the table that is read
depends on the draw.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Protocol

import numpy as np

from pets.kernels.exponential import GUARD_BITS, SLACK
from pets.kernels.jit import I64Array, U16Array, U64Array, inlined, kernel, multiply_high

DRAW_BITS: Final = 63
"""Bits of a word that a draw is made from. The lowest bit is left to its user: a sign."""

MAX_OUTCOMES: Final = 2**16

_LAST: Final = 2**DRAW_BITS - 1
_MORE: Final = GUARD_BITS // 64


class Words(Protocol):
    """Uniform words of the party's own, never used for anything else: ``prf.Stream``."""

    def words(self, n: int, /) -> U64Array:
        """The next n words."""


@dataclass(frozen=True, slots=True)
class Law:
    """P(X <= j) for j = 0, 1, ...

    ``exact``: in units of 2^-384, off by less than ``SLACK``; the last one is 2^384.
    ``words``: (n,) uint64, their first 63 bits as far as they are not all ones, then all ones.
    ``guide``: (2^bits,) uint16, where to begin to look in ``words`` by the first bits of a draw; ``shift``: 63 - bits.
    """

    exact: tuple[int, ...] = field(repr=False)
    words: U64Array = field(repr=False)
    guide: U16Array = field(repr=False)
    shift: int


def of_weights(weights: Iterable[int]) -> Law:
    """The law that gives outcome j a probability proportional to the j-th weight.

    Units:   weights in units of 2^-384, at most 2^386, the first at least 2^384, each less than 2^44 units off; at most
             2^16 of them (what is beyond them weighs less than 2^60 units in all).
    Raises:  ValueError if a law is not of this form, or has a probability so near a multiple of 2^-63 that the rounding
             of weights might move it across.
    """
    sums = list(accumulate(weights))
    if not sums or len(sums) > MAX_OUTCOMES or sums[0] < 1 << GUARD_BITS:
        raise ValueError("a law has 1 to 2^16 outcomes, and the first weighs 1 or more")
    total = sums[-1]
    exact = tuple((each << GUARD_BITS) // total for each in sums)
    below, words = GUARD_BITS - DRAW_BITS, []
    for each in exact:
        first, again = (each - SLACK) >> below, (each + SLACK) >> below
        if first >= _LAST:
            break
        if first != again:
            raise ValueError("a probability too near a multiple of 2^-63")
        words.append(first)
    words.append(_LAST)
    bits = min(14, len(words).bit_length() + 1)
    listed, shift = np.array(words, np.uint64), DRAW_BITS - bits
    starts = np.arange(2**bits, dtype=np.uint64) << np.uint64(shift)
    return Law(exact, listed, np.searchsorted(listed, starts).astype(np.uint16), shift)


def draw(law: Law, words: U64Array, stream: Words) -> I64Array:
    """One draw a word: (n,) int64 for (n,) uint64. The stream gives what a word leaves undecided.

    Raises: OverflowError if bits of a chance below 2^-300 do not decide either.
    """
    out = np.empty(words.size, np.int64)
    at = 0
    while (at := _draw(words, law.words, law.guide, law.shift, at, out)) < words.size:
        out[at] = settle(law, int(words[at]), stream.words(_MORE))
        at += 1
    return out


def settle(law: Law, word: int, more: U64Array) -> int:
    """The draw that ``word`` begins and ``more`` (six words, the first bits in the first) goes on."""
    value = word >> 1
    for each in more:
        value = value << 64 | int(each)
    value >>= DRAW_BITS  # to 384 bits: the rest would matter to draws that are refused
    found = bisect_right(law.exact, value)
    for near in law.exact[max(0, found - 1) : found + 1]:
        if abs(near - value) <= SLACK:
            raise OverflowError("a draw of probability below 2^-300")
    return found


def warm_up() -> None:
    """Compile every kernel of this module."""
    one = np.zeros(1, np.uint64)
    _draw(one, one, one.astype(np.uint16), 49, 0, one.astype(np.int64))


@inlined
def below(bound: Any, words: Any, at: int) -> Any:
    """A uniform number below ``bound``, at most 2^63, and the next place (Lemire, arXiv 1805.10941, section 3).

    A place beyond the end of the words says that they ran out; it stays so in whatever is drawn next.
    """
    while at < words.size:
        word = words[at]
        at += 1
        low = word * bound
        if low >= bound or low >= (np.uint64(0) - bound) % bound:
            return multiply_high(word, bound), at
    return np.uint64(0), words.size + 1


@kernel
def _draw(words: Any, law: Any, guide: Any, shift: Any, at: Any, out: Any) -> Any:
    """Fill out[at:] up to a word that decides nothing. Returns its place, or the number of words."""
    for i in range(at, words.size):
        value = words[i] >> np.uint64(1)
        j = np.int64(guide[value >> np.uint64(shift)])
        while value > law[j]:
            j += 1
        if value == law[j]:
            return i
        out[i] = j
    return words.size
