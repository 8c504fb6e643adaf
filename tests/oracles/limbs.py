"""Machines for `pets.kernels.field`: one computes with integers, one knows only how large each word can be.

Both refuse what would go wrong in a register: a factor of 52 bits that has more, a sum beyond 64 bits, a difference
below zero, a mask that is none.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL = 2**64 - 1
FACTOR = 2**52


class Exact:
    """One lane. Words are integers."""

    def constant(self, value: int) -> int:
        return self._word(value)

    def add(self, a: int, b: int) -> int:
        return self._word(a + b)

    def sub(self, a: int, b: int) -> int:
        return self._word(a - b)

    def left(self, a: int, by: int) -> int:
        return self._word(a << by)

    def right(self, a: int, by: int) -> int:
        return a >> by

    def both(self, a: int, b: int) -> int:
        return a & b

    def either(self, a: int, b: int) -> int:
        return a | b

    def low(self, total: int, a: int, b: int) -> int:
        return self._word(total + self._product(a, b) % FACTOR)

    def high(self, total: int, a: int, b: int) -> int:
        return self._word(total + self._product(a, b) // FACTOR)

    def spread(self, bit: int) -> int:
        assert bit in (0, 1)
        return ALL * bit

    def select(self, mask: int, yes: int, no: int) -> int:
        assert mask in (0, ALL)
        return yes if mask else no

    def _word(self, value: int) -> int:
        assert 0 <= value <= ALL, "a word overflows"
        return value

    def _product(self, a: int, b: int) -> int:
        assert a < FACTOR and b < FACTOR, "a factor has more than 52 bits"
        return a * b


@dataclass(frozen=True, slots=True)
class Range:
    """All that a word can be: from least to most. A mask has both its values, 0 and all bits, and nothing between."""

    least: int
    most: int
    mask: bool = False

    def __post_init__(self) -> None:
        assert 0 <= self.least <= self.most <= ALL, "a word overflows, or goes below zero"


class Ranges:
    """Words are ranges: what goes through here without a refusal overflows for no input within them."""

    def __init__(self) -> None:
        self.greatest_sum = 0

    def constant(self, value: int) -> Range:
        return Range(value, value)

    def add(self, a: Range, b: Range) -> Range:
        return self._sum(a.least + b.least, a.most + b.most)

    def sub(self, a: Range, b: Range) -> Range:
        return Range(a.least - b.most, a.most - b.least)

    def left(self, a: Range, by: int) -> Range:
        return self._sum(a.least << by, a.most << by)

    def right(self, a: Range, by: int) -> Range:
        return Range(a.least >> by, a.most >> by)

    def both(self, a: Range, b: Range) -> Range:
        return Range(0, min(a.most, b.most), a.mask and b.mask)

    def either(self, a: Range, b: Range) -> Range:
        bits = max(a.most, b.most).bit_length()
        return Range(max(a.least, b.least), (1 << bits) - 1, a.mask and b.mask)

    def low(self, total: Range, a: Range, b: Range) -> Range:
        _, most = self._product(a, b)
        return self._sum(total.least, total.most + min(most, FACTOR - 1))

    def high(self, total: Range, a: Range, b: Range) -> Range:
        least, most = self._product(a, b)
        return self._sum(total.least + least // FACTOR, total.most + most // FACTOR)

    def spread(self, bit: Range) -> Range:
        assert bit.most <= 1, "what is spread is more than a bit"
        return Range(0, ALL, True)

    def select(self, mask: Range, yes: Range, no: Range) -> Range:
        assert mask.mask or mask.most == 0, "what selects is no mask"
        both = mask.mask and yes.mask | (yes.most == 0) and no.mask | (no.most == 0)
        return Range(min(yes.least, no.least), max(yes.most, no.most), bool(both))

    def _sum(self, least: int, most: int) -> Range:
        self.greatest_sum = max(self.greatest_sum, most)
        return Range(least, most)

    def _product(self, a: Range, b: Range) -> tuple[int, int]:
        assert a.most < FACTOR and b.most < FACTOR, "a factor has more than 52 bits"
        return a.least * b.least, a.most * b.most
