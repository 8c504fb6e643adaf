"""Several lists of whole numbers as one vector of words, whose sum over many parties cannot overflow.

Every number that one party brings has a declared range; so the range of its sum over so many parties, with noise, is
known, and with it the bits that the sum takes with its sign. As many numbers as fit lie in one word, each in a lane of
its own: a sum of words is then the sum of each lane, because no lane outgrows its bits; what is below zero is borrowed
from the lane above, and given back where lanes are read from the lowest one upwards. All of it is exact.

Words are modulo 2^64 (``RING_BITS``), or elements of the field of 2^61 - 1 (``FIELD_BITS``), whose sums with their sign
are below 2^60 in size.

Source: packing as in batch encodings for additive schemes; the ranges are arithmetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import I64Array, U64Array

RING_BITS: Final = 64
FIELD_BITS: Final = 60


class OutOfRangeError(ValueError):
    """A number outside the range that is declared for its list: which list, and where in it; never the number."""

    def __init__(self, name: str, place: int) -> None:
        super().__init__(f"number {place} of {name} is outside its declared range")
        self.name: Final = name
        self.place: Final = place


@dataclass(frozen=True, slots=True)
class Numbers:
    """A list of ``count`` whole numbers of one party, each from ``low`` to ``high``, in units that a reader knows."""

    name: str
    count: int
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.count < 0 or self.low > self.high:
            raise ValueError("a list has a range, and no fewer than no numbers")


class Layout:
    """Where each number of some lists lies in a vector, for a sum over at most ``parties`` parties.

    ``noise``: the greatest size of all noise together on one number; beyond it a sum would be read wrongly, so it is
    chosen such that noise is larger with a chance that nobody minds (protocols.md 10.4).
    Raises: ValueError if sums of a list do not fit into a word, or two lists have one name.
    """

    def __init__(self, lists: Sequence[Numbers], *, parties: int, noise: int = 0, bits: int = RING_BITS) -> None:
        if parties < 1 or noise < 0 or bits not in (RING_BITS, FIELD_BITS):
            raise ValueError("a layout is for one party at least, and for words of the ring or the field")
        if len({each.name for each in lists}) != len(lists):
            raise ValueError("two lists have one name")
        self.lists: Final = tuple(lists)
        self.parties: Final = parties
        self.noise: Final = noise
        self._bits: Final = bits
        self._lanes: Final = tuple(self._lane(each) for each in lists)
        self._starts: Final = tuple(int(n) for n in np.cumsum([0, *map(self._size, lists, self._lanes)]))

    def _lane(self, each: Numbers) -> int:
        """Bits of a lane: sums from -2^(bits - 1) to below 2^(bits - 1) have room in it."""
        low, high = self.range_of(each)
        lane = 1 + max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0)
        if lane > self._bits:
            raise ValueError(f"sums of {each.name} take {lane} bits, and a word has room for {self._bits}")
        return lane

    def range_of(self, each: Numbers) -> tuple[int, int]:
        """The least and the greatest sum of a number of this list, with noise; parties may be missing."""
        return self.parties * min(each.low, 0) - self.noise, self.parties * max(each.high, 0) + self.noise

    def _size(self, each: Numbers, lane: int) -> int:
        return -(-each.count // (self._bits // lane))

    @property
    def words(self) -> int:
        """Words of the vector."""
        return self._starts[-1]

    def lane_of(self, name: str) -> int:
        """Bits of a lane of this list."""
        return self._lanes[[each.name for each in self.lists].index(name)]

    def packed(self, values: Mapping[str, npt.ArrayLike]) -> I64Array:
        """The vector of one party: (words,) int64. For the ring seen as uint64; for the field by ``field_of``.

        Shapes:  by name of each list, its ``count`` whole numbers, int64 or Python's.
        Raises:  OutOfRangeError; ValueError if a list is missing, unknown, or of another length.
        """
        out = np.zeros(self.words, np.int64)
        for each, part in self._each(values, out):
            found = _whole(values[each.name], each)
            outside = np.flatnonzero((found < each.low) | (found > each.high))
            if outside.size:
                raise OutOfRangeError(each.name, int(outside[0]))
            self._put(part, found.astype(np.int64), self.lane_of(each.name))
        return out

    def noised(self, noise: Mapping[str, npt.ArrayLike]) -> I64Array:
        """Noise of one party as a vector that is added to sums: each number up to the layout's bound in size."""
        out = np.zeros(self.words, np.int64)
        for each, part in self._each(noise, out):
            found = _whole(noise[each.name], each)
            outside = np.flatnonzero((found < -self.noise) | (found > self.noise))
            if outside.size:
                raise OutOfRangeError(each.name, int(outside[0]))
            self._put(part, found.astype(np.int64), self.lane_of(each.name))
        return out

    def unpacked(self, total: I64Array | U64Array) -> dict[str, I64Array]:
        """The sums of each list, by name: (count,) int64. ``total``: the summed vector, (words,), with its sign."""
        if total.shape != (self.words,) or total.dtype not in (np.int64, np.uint64):
            raise ValueError("a sum has as many words as the layout")
        found, left = {}, total.view(np.int64)
        for each, start, stop in zip(self.lists, self._starts, self._starts[1:], strict=False):
            lane = self.lane_of(each.name)
            found[each.name] = _taken(left[start:stop], lane, self._bits // lane)[: each.count]
        return found

    def _each(self, values: Mapping[str, npt.ArrayLike], out: I64Array) -> list[tuple[Numbers, I64Array]]:
        if set(values) != {each.name for each in self.lists}:
            raise ValueError("a vector has each list of its layout, and no other")
        bounds = zip(self.lists, self._starts, self._starts[1:], strict=False)
        return [(each, out[start:stop]) for each, start, stop in bounds]

    def _put(self, part: I64Array, numbers: I64Array, lane: int) -> None:
        """Add numbers to words: the first to the lowest lane of the first word, the next to the next lane."""
        per = self._bits // lane
        with np.errstate(over="ignore"):
            for at in range(per):
                own = numbers[at::per]
                part[: own.size] += own << np.int64(lane * at)


def _whole(values: npt.ArrayLike, each: Numbers) -> npt.NDArray[np.int64]:
    found = np.asarray(values)
    if found.shape != (each.count,) or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"{each.name} has {each.count} whole numbers")
    if found.dtype == np.uint64 and np.any(found > np.uint64(2**63 - 1)):
        raise OutOfRangeError(each.name, int(np.flatnonzero(found > np.uint64(2**63 - 1))[0]))
    return found.astype(np.int64)


def _taken(words: I64Array, lane: int, per: int) -> I64Array:
    """The numbers in the lanes of words: the lowest with its sign, then what is left of the word, and so on."""
    out, left, shift = np.empty((words.size, per), np.int64), words.copy(), np.int64(64 - lane)
    with np.errstate(over="ignore"):
        for at in range(per):
            out[:, at] = (left << shift) >> shift
            left -= out[:, at]
            left = left >> np.int64(lane) if lane < RING_BITS else left
    return out.ravel()
