"""Numbers opened from shares of a polynomial over a prime field of any order, with all shares held to one polynomial.

For fields whose order a program chooses. Plain integers: what is opened are the few numbers that a program releases.
"""

from collections.abc import Sequence
from functools import reduce


def open_at_zero(shares: Sequence[int], *, degree: int, order: int) -> int:
    """The value at 0 of the polynomial of at most this degree through (1, shares[0]), (2, shares[1]) ...

    Units:   elements of the field of ``order``, in [0, order); there are more of them than ``degree``.
    Raises:  ValueError if a share is no element, the order no prime that tells the points apart, or not all shares lie
             on one such polynomial: with t of n > 2 t shares wrong, that is always seen.
    Source:  Shamir, "How to share a secret", CACM 1979.
    """
    points = range(1, len(shares) + 1)
    if not 0 <= degree < len(shares) or order <= len(shares) or not all(0 <= share < order for share in shares):
        raise ValueError("no shares of a polynomial of this degree over this field")
    first = [*zip(points, shares, strict=True)][: degree + 1]
    for x, share in [*zip(points, shares, strict=True)][degree + 1 :]:
        if _at(x, first, order) != share:
            raise ValueError("the shares do not lie on one polynomial of this degree")
    return _at(0, first, order)


def signed(value: int, order: int) -> int:
    """An element as the whole number nearest to zero that it stands for."""
    return value if value <= order // 2 else value - order


def _at(x: int, points: Sequence[tuple[int, int]], order: int) -> int:
    """The value at ``x`` of the polynomial through ``points`` (Lagrange)."""
    total = 0
    for at, share in points:
        others = [other for other, _ in points if other != at]
        over = reduce(lambda product, other: product * (x - other) % order, others, 1)
        under = reduce(lambda product, other: product * (at - other) % order, others, 1)
        total += share * over * pow(under, -1, order)  # ValueError if there is no inverse
    return total % order
