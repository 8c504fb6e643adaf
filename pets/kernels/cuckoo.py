"""One entry in each bin: every entry in one of three bins that its hash names, one in each third of them.

An entry whose bins are taken moves others to another bin of theirs, along a shortest way to a bin that is free. All
ways are tried: an entry is left over only if there is no way to place all, whatever the order. So the chance of that is
one of hashes alone, and can be worked out: ``Size``.

Source: Pagh, Rodler, J. Algorithms 51, 2004; Fotakis, Pagh, Sanders, Spirakis, Theory Comput. Syst. 38, 2005 (more than
        two bins, ways of least length); bound: docs/adr/0035.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pets.kernels.jit import I64Array, U32Array, U64Array, fetch, inlined, kernel, seen

MAX_ENTRIES: Final = 1 << 26

HASHES: Final = 3
"""Bins of an entry."""

FREE: Final = (1 << 32) - 1

_AHEAD: Final = 16
"""How many entries ahead the bins of one are asked for."""


class Unplaceable(Exception):
    """Some entries have fewer bins together than they are."""


@dataclass(frozen=True, slots=True)
class Size:
    """The bins for so many entries: a function of their number alone, in whole numbers, as the card has it.

    Entries cannot be placed with probability at most 2^-43 (docs/adr/0035): the chance, summed over all k, that some k
    of them have k - 1 bins or fewer. Few entries need bins beyond their share, since four that have the same three
    hashes are the likeliest way to fail; many need 1.3 bins each.
    """

    entries: int

    def __post_init__(self) -> None:
        if not 1 <= self.entries <= MAX_ENTRIES:
            raise ValueError("bins are for 1 to 2^26 entries")

    @property
    def third(self) -> int:
        return 434 * self.entries // 1000 + 128

    @property
    def bins(self) -> int:
        return HASHES * self.third


def places(hashes: U64Array, size: Size) -> U32Array:
    """The three bins of each entry. Shapes: hashes (n, 2) uint64; result (n, 3) uint32, one in each third."""
    if hashes.dtype != np.uint64 or hashes.ndim != 2 or hashes.shape[1] != 2:
        raise ValueError("hashes are an (n, 2) array of uint64")
    out = np.empty((len(hashes), HASHES), np.uint32)
    _places(seen(hashes), np.uint64(size.third), out)
    return out


def placed(at: U32Array, bins: int) -> U32Array:
    """The bin of each entry, no two the same. Time and memory accesses follow from the entries' hashes.

    Shapes:  at (n, 3) uint32, each less than ``bins``; result (n,) uint32.
    Raises:  Unplaceable if there is no way. Nothing is tried again: another hash would be chosen by what entries are.
    """
    if at.dtype != np.uint32 or at.ndim != 2 or at.shape[1] != HASHES or at.max(initial=0) >= max(bins, 1):
        raise ValueError("every entry has three bins that exist")
    owner = np.full(bins, FREE, np.uint32)
    before, queue = np.full(bins, FREE, np.uint32), np.empty(bins, np.uint32)
    if not _place(at, owner, before, queue):
        raise Unplaceable("some entries have fewer bins than they are")
    taken = np.flatnonzero(owner != FREE)
    out = np.empty(len(at), np.uint32)
    out[owner[taken]] = taken
    return out


def twice(at: U32Array, where: U32Array, bins: int) -> I64Array:
    """Entries of which another one has the same three bins: equal ones, or by a chance of 1 in the cube of a third."""
    owner = np.full(bins, FREE, np.uint32)
    owner[where] = np.arange(len(where), dtype=np.uint32)
    found = np.zeros(len(at), np.uint8)
    _find_twice(at, where, owner, np.zeros(bins, np.uint8), found)
    return np.flatnonzero(found)


# -- kernels ----------------------------------------------------------------------------------------------------------


@inlined
def _digit(low: Any, high: Any, third: Any) -> Any:
    """First digit to the base ``third`` of a fraction of 128 bits, and what is left of it. ``third`` is below 2^32."""
    half, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    carry = np.uint64(0)
    parts = (low & mask) * third
    first = parts & mask
    parts = (low >> half) * third + (parts >> half)
    rest_low = (parts << half) | first
    parts = (high & mask) * third + (parts >> half)
    first = parts & mask
    carry = (high >> half) * third + (parts >> half)
    return carry >> half, rest_low, (carry << half) | first


@kernel
def _places(hashes: Any, third: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        low, high = hashes[i, 0], hashes[i, 1]
        for number in range(HASHES):
            digit, low, high = _digit(low, high, third)
            out[i, number] = np.uint32(np.uint64(number) * third + digit)


@kernel
def _place(at: Any, owner: Any, before: Any, queue: Any) -> bool:
    """Fill ``owner``. False if an entry is left over. ``before``: all FREE, and so again for each entry."""
    free = np.uint32(FREE)
    for i in range(at.shape[0]):
        soon = min(i + _AHEAD, at.shape[0] - 1)
        for number in range(HASHES):
            fetch(owner, np.uint64(at[soon, number]))
        done = False
        for number in range(HASHES):
            if owner[at[i, number]] == free:
                owner[at[i, number]] = np.uint32(i)
                done = True
                break
        if not done and not _move(at, i, owner, before, queue):
            return False
    return True


@inlined
def _move(at: Any, i: int, owner: Any, before: Any, queue: Any) -> bool:
    """Place an entry whose bins are taken. ``before``: from which bin each one was reached; itself for the first."""
    free = np.uint32(FREE)
    count = 0
    for number in range(HASHES):
        queue[count] = at[i, number]
        before[at[i, number]] = at[i, number]
        count += 1
    done = False
    head = 0
    while head < count and not done:
        bin_ = queue[head]
        head += 1
        for number in range(HASHES):
            other = at[owner[bin_], number]
            if before[other] != free:
                continue
            before[other] = bin_
            queue[count] = other
            count += 1
            if owner[other] == free:
                while before[other] != other:
                    owner[other] = owner[before[other]]
                    other = before[other]
                owner[other] = np.uint32(i)
                done = True
                break
    for k in range(count):
        before[queue[k]] = free
    return done


@inlined
def _mark(at: Any, i: Any) -> Any:
    return np.uint8(at[i, 0] ^ at[i, 1] * np.uint32(3) ^ at[i, 2] * np.uint32(7))


@kernel
def _find_twice(at: Any, where: Any, owner: Any, marks: Any, found: Any) -> None:
    """``marks``: a byte of the bins of who lies in each, so that others need no look at all of them."""
    for i in range(at.shape[0]):
        marks[where[i]] = _mark(at, i)
    for i in range(at.shape[0]):
        mark = _mark(at, i)
        for number in range(HASHES):
            place = at[i, number]
            if marks[place] == mark and place != where[i] and owner[place] != np.uint32(FREE):
                other = owner[place]
                same = np.uint8(1)
                for k in range(HASHES):
                    same &= np.uint8(at[other, k] == at[i, k])
                found[i] |= same
