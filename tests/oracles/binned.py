"""The slow twin of kernels/binned.py: where a hash reads, in whole numbers, and what; bounds on failures, exactly."""

import math
from collections.abc import Sequence

from tests.oracles.gf128 import multiply

DENSE = 4


def places(hashed: int, bins: int, third: int) -> tuple[int, list[int]]:
    """The first dense slot, and the three slots: digits to mixed bases of a fraction of 72 bits."""
    left = (hashed & 2**64 - 1) << 8 | hashed >> 64 & 255
    digits = []
    for base in (bins, third, third, third):
        digit, left = divmod(left * base, 2**72)
        digits.append(digit)
    start = digits[0] * (3 * third + DENSE)
    return start + 3 * third, [start + part * third + digit for part, digit in enumerate(digits[1:])]


def read(table: Sequence[int], hashed: int, bins: int, third: int) -> int:
    dense, three = places(hashed, bins, third)
    total, power = 0, 1
    for slot in three:
        total ^= table[slot]
    for k in range(DENSE):
        power = multiply(power, hashed)
        total ^= multiply(power, table[dense + k])
    return total


def overflow_bits(keys: int, bins: int, capacity: int) -> float:
    """-log2 of a bound on the chance that one bin gets more keys: terms of the tail fall faster than geometrically."""
    chance = 1 / bins

    def log_of(count: int) -> float:
        ways = math.lgamma(keys + 1) - math.lgamma(count + 1) - math.lgamma(keys - count + 1)
        return ways + count * math.log(chance) + (keys - count) * math.log1p(-chance)

    first, ratio = log_of(capacity + 1), math.exp(log_of(capacity + 2) - log_of(capacity + 1))
    return -(first - math.log(1 - ratio)) / math.log(2)


def law(keys: int, bits: float) -> float:
    """Slots for so many keys of which more than a few are put aside with probability 2^-bits: eprint 2022/320."""
    w = math.log2(3)
    slope = 2 ** (0.555 * math.log2(keys) + 0.093 * w**3 - 1.010 * w**2 + 2.925 * w - 0.133)
    return ((bits + 9.2) / slope + 1.223) * keys


def alike_bits(keys: int, third: int) -> float:
    """-log2 of the chance that more than DENSE pairs of so many keys have the same three slots, pairs independent."""
    mean = keys * (keys - 1) / 2 / third**3
    return math.inf if mean == 0 else -math.log2(mean ** (DENSE + 1) / math.factorial(DENSE + 1))
