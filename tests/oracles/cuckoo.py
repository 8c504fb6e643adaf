"""One entry in each bin, over Python's integers and lists: what ``pets/kernels/cuckoo.py`` does, and its bound.

``bound`` is the logarithm of the chance that some k entries have k - 1 bins or fewer, summed over all k: of the least
such k. Each of their bins is a bin of two of them at least, else one fewer would do. So with a, b, c bins in the three
thirds of m bins each, a + b + c = k - 1, k balls fall into a of m bins, each hit twice at least, and so for b and c:

    C(n, k) * prod over a, b, c of C(m, a) * W(k, a) / m^k

W counts ways to throw k balls so that each of a bins is hit twice: k! times a coefficient of (e^x - 1 - x)^a, which is
at most that of any x over x^k. For few balls it is counted.
"""

from collections.abc import Sequence
from functools import cache
from math import log

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]


def places(hashed: bytes, third: int) -> list[int]:
    """The bins of an entry: digits of its hash as a fraction of 128 bits, one in each third."""
    left, out = int.from_bytes(hashed, "little"), []
    for number in range(3):
        left *= third
        out.append(number * third + (left >> 128))
        left &= (1 << 128) - 1
    return out


def placed(at: Sequence[Sequence[int]]) -> list[int] | None:
    """The bin of each entry, or None: into its first free bin; else along a shortest way, of these the first found."""
    owner: dict[int, int] = {}
    for i, bins in enumerate(at):
        before = {place: place for place in bins}
        queue, free = list(bins), [place for place in bins if place not in owner]
        while queue and not free:
            place = queue.pop(0)
            for other in at[owner[place]]:
                if other in before:
                    continue
                before[other] = place
                queue.append(other)
                if other not in owner:
                    free = [other]
                    break
        if not free:
            return None
        place = free[0]
        while before[place] != place:
            owner[place] = owner[before[place]]
            place = before[place]
        owner[place] = i
    where = {i: place for place, i in owner.items()}
    return [where[i] for i in range(len(at))]


def choose(n: int | Floats, k: Floats) -> Floats:
    return np.asarray(gammaln(np.asarray(n) + 1.0) - gammaln(k + 1) - gammaln(n - k + 1))


def ways(k: Floats, a: Floats) -> Floats:
    """The logarithm of a bound of W, by the x at which it is least; k is at least 2 a."""
    low, high = np.full(k.shape, 1e-9), np.maximum(k / a, 1e-6)
    for _ in range(60):
        x = (low + high) / 2
        ratio = np.where(x < 1e-4, 2 + x / 3, x * np.expm1(x) / np.maximum(np.expm1(x) - x, 1e-300))
        low, high = np.where(ratio < k / a, x, low), np.where(ratio < k / a, high, x)
    x = (low + high) / 2
    power = np.where(x < 1e-3, 2 * np.log(x) + np.log(0.5 + x / 5), np.log(np.maximum(np.expm1(x) - x, 1e-300)))
    return np.asarray(gammaln(k + 1) + a * power - k * np.log(x))


@cache
def counted(k: int, a: int) -> int:
    """W: the last ball is in a bin that has two others, or makes the second of its bin."""
    if a == 0 or k < 2 * a:
        return int(k == a == 0)
    return a * (counted(k - 1, a) + (k - 1) * counted(k - 2, a - 1))


@cache
def logs(k: int) -> Floats:
    """Of W, by a from 1 on."""
    return np.array([log(counted(k, a)) for a in range(1, k // 2 + 1)])


def of_splits(k: int, third: int) -> float:
    """The logarithm of the sum over all a, b, c."""
    most = min(k // 2, third)
    a, b = (each.ravel() for each in np.meshgrid(*[np.arange(1.0, most + 1)] * 2))
    c = k - 1 - a - b
    fits = (c >= 1) & (c <= most)
    if not fits.any():
        return -np.inf
    bins = np.arange(1.0, most + 1)
    each = choose(third, bins) + logs(k)[:most]
    terms = sum((each[part[fits].astype(int) - 1] for part in (a, b, c)), np.zeros(int(fits.sum())))
    return float(np.logaddexp.reduce(terms)) - 3 * k * np.log(third)


def bound(n: int, third: int) -> float:
    """log2 of the chance for n entries. Above 48 entries all splits are taken for as likely as the even one, which is
    the likeliest; above 512 not every k is looked at, but 400 of them, each for all up to the next."""
    few = [of_splits(k, third) + choose(n, np.array([float(k)]))[0] for k in range(4, min(n, 48) + 1)]
    k = np.arange(49.0, min(n, 512) + 1)
    if n > 512:
        k = np.concatenate([k, np.unique(np.round(np.geomspace(513, n, 400)))])
    if k.size:
        a, gaps = (k - 1) / 3, np.append(np.diff(k), 1.0)
        k, a, gaps = (each[a <= third] for each in (k, a, gaps))
        each = choose(n, k) + 3 * (choose(third, a) + ways(k, a) - k * np.log(third)) + 2 * np.log(k) + np.log(gaps)
        few += list(each)
    return float(np.logaddexp.reduce(few)) / np.log(2)
