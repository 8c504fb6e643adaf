"""exp(-x) for a fraction x, to 384 bits, by whole numbers alone: what every exact law of noise starts from."""

from fractions import Fraction
from typing import Final

GUARD_BITS: Final = 384
SLACK: Final = 1 << 64
"""More than all rounding errors of ``exp_minus``, in units of its last place."""

_EXTRA_BITS: Final = 64


def exp_minus(x: Fraction) -> int:
    """exp(-x) times 2^384, off by at most 3: Taylor at x / 2^m <= 1/2, squared m times. Whole numbers only.

    Why: it is computed in units of 2^-448. Some 90 terms round by less than one each; a squaring doubles the error and
    adds one, and there are at most 22: less than 2^30 of those units.
    """
    if not 0 <= x <= 2**20:
        raise ValueError("exp_minus takes 0 to 2^20")
    halvings = max(0, (2 * x.numerator // x.denominator).bit_length())
    one = 1 << (GUARD_BITS + _EXTRA_BITS)
    small = x / (1 << halvings)
    term, total, index = one, 0, 0
    while term:
        total += -term if index & 1 else term
        index += 1
        term = term * small.numerator // (small.denominator * index)
    for _ in range(halvings):
        total = total * total // one
    return total >> _EXTRA_BITS
