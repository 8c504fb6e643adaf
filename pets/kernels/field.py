"""The field modulo p = 2^255 - 19, in five limbs of 51 bits, over whatever machine multiplies 52 bits by 52.

A formula is written once, over a `Machine`: one emits vector instructions (`pets.kernels.lanes`), one of the tests
computes with integers and refuses to overflow, and one knows only how large each number can be, which proves the bounds
below for all inputs.

A limb is *reduced* below 2^51 + 2^14, and every operation here takes and gives elements whose limbs are reduced, or
canonical ones; a product takes all below 2^52. Why nothing overflows:

- products: both factors are below 2^52, so each half of a product is, too. Column k adds at most 5 low halves and twice
  5 high halves, 15 * 2^52 < 2^56; with 19 times what lies 5 columns on, less than 267 * 2^52 < 2^61 in all (column 0:
  1 low; 19 times 4 low and twice 5 high).
- a carry of columns below 2^61 is below 2^10: less than 534 to the next limb, and 19 * 534 = 10146 < 2^14 to the first.
- sums: below 2^53. Differences: a + 2p - b limb by limb; each limb of 2p is at least 2^52 - 38, above any reduced limb,
  so none is negative, and none above 2^53. A carry of those is at most 3, and 19 * 3 < 2^14.
- an element of reduced limbs is below 2^255 + 2^219 < 2p, so one subtraction of p makes it canonical.

Source: the radix and the halves after the IFMA notes of curve25519-dalek; addition chain of 2^252 - 3 after ref10.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

P: Final = 2**255 - 19
LIMBS: Final = 5
LIMB_BITS: Final = 51
MASK: Final = (1 << LIMB_BITS) - 1
REDUCED: Final = (1 << 51) + (1 << 14)
"""Reduced limbs are below this."""

SQRT_M1: Final = pow(2, (P - 1) // 4, P)

Word = Any
"""What the machine computes with: 64 bits, in each lane."""
Element = Sequence[Word]
"""Five words, the lowest limb first."""


class Machine(Protocol):
    """Words of 64 bits. `low` and `high` take factors below 2^52; nothing may overflow or go below zero."""

    def constant(self, value: int) -> Word: ...
    def add(self, a: Word, b: Word) -> Word: ...
    def sub(self, a: Word, b: Word) -> Word: ...
    def left(self, a: Word, by: int) -> Word: ...
    def right(self, a: Word, by: int) -> Word: ...
    def both(self, a: Word, b: Word) -> Word: ...
    def either(self, a: Word, b: Word) -> Word: ...
    def low(self, total: Word, a: Word, b: Word) -> Word:
        """`total` and the lower 52 bits of a * b."""

    def high(self, total: Word, a: Word, b: Word) -> Word:
        """`total` and a * b / 2^52, rounded down."""

    def spread(self, bit: Word) -> Word:
        """A mask: all bits of the word are `bit`."""

    def select(self, mask: Word, yes: Word, no: Word) -> Word:
        """`yes` where the mask is set, `no` elsewhere, without a branch."""


class Field:
    """Operations on elements. Each comes in with reduced limbs and leaves with them, but where it says otherwise."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def constant(self, value: int) -> Element:
        return [self.machine.constant(value % P >> LIMB_BITS * i & MASK) for i in range(LIMBS)]

    def add(self, a: Element, b: Element) -> Element:
        return self._carried([self.machine.add(x, y) for x, y in zip(a, b, strict=True)])

    def sub(self, a: Element, b: Element) -> Element:
        return self._carried([self.machine.add(x, y) for x, y in zip(a, self.opposite(b), strict=True)])

    def opposite(self, a: Element) -> Element:
        """2p - a, limb by limb: below 2^52 and not reduced, so for a product or a sum only."""
        double = [2 * (MASK - 18), *[2 * MASK] * (LIMBS - 1)]
        return [self.machine.sub(self.machine.constant(limb), x) for limb, x in zip(double, a, strict=True)]

    def negate(self, a: Element) -> Element:
        return self._carried(self.opposite(a))

    def mul(self, a: Element, b: Element) -> Element:
        """Takes limbs below 2^52. High halves count twice: 52 bits are one more than a limb has."""
        m = self.machine
        columns = []
        for k in range(10):
            total = m.constant(0)
            for i in range(max(0, k - LIMBS), min(LIMBS, k)):
                total = m.high(total, a[i], b[k - 1 - i])
            total = m.left(total, 1)
            for i in range(max(0, k - LIMBS + 1), min(LIMBS, k + 1)):
                total = m.low(total, a[i], b[k - i])
            columns.append(total)
        return self._folded(columns)

    def square(self, a: Element) -> Element:
        """Takes limbs below 2^52. As `mul`, but each product of two different limbs is made once and counts twice."""
        m = self.machine
        columns = []
        for k in range(10):
            total = m.constant(0)
            for i in range(max(0, k - LIMBS), k // 2):
                total = m.high(total, a[i], a[k - 1 - i])
            total = m.left(total, 1)
            for i in range(max(0, k - LIMBS + 1), (k + 1) // 2):
                total = m.low(total, a[i], a[k - i])
            if k % 2:  # the high half of a square has weight two, as a mixed product has
                columns.append(m.left(m.high(total, a[k // 2], a[k // 2]), 1))
            else:
                columns.append(m.low(m.left(total, 1), a[k // 2], a[k // 2]))
        return self._folded(columns)

    def select(self, mask: Word, yes: Element, no: Element) -> Element:
        return [self.machine.select(mask, x, y) for x, y in zip(yes, no, strict=True)]

    def canonical(self, a: Element) -> Element:
        """The one form whose value is below p and whose limbs are below 2^51."""
        m, mask = self.machine, self.machine.constant(MASK)
        over = m.right(m.add(a[0], m.constant(19)), LIMB_BITS)
        for limb in a[1:]:
            over = m.right(m.add(limb, over), LIMB_BITS)
        result = []
        carry = m.low(m.constant(0), over, m.constant(19))
        for limb in a:
            total = m.add(limb, carry)
            result.append(m.both(total, mask))
            carry = m.right(total, LIMB_BITS)
        return result  # the last carry is 2^255 where p was subtracted: it is dropped

    def is_negative(self, a: Element) -> Word:
        """A mask: is the canonical form odd? RFC 9496, 4.1 (IS_NEGATIVE)."""
        return self.machine.spread(self.machine.both(self.canonical(a)[0], self.machine.constant(1)))

    def is_zero(self, a: Element) -> Word:
        """A mask."""
        m, limbs = self.machine, self.canonical(a)
        some = limbs[0]
        for limb in limbs[1:]:
            some = m.either(some, limb)
        none = m.right(m.sub(m.constant(1 << 63), some), 63)  # 2^63 - x keeps its top bit for x = 0 alone
        return m.spread(none)

    def equal(self, a: Element, b: Element) -> Word:
        return self.is_zero(self.sub(a, b))

    def magnitude(self, a: Element) -> Element:
        """RFC 9496, 4.1 (CT_ABS)."""
        return self.select(self.is_negative(a), self.negate(a), a)

    def _folded(self, columns: Element) -> Element:
        """Ten columns below 2^56 to five limbs: 2^255 is 19."""
        m = self.machine
        folded = []
        for near, far in zip(columns[:LIMBS], columns[LIMBS:], strict=True):
            nineteen = m.add(m.add(far, m.left(far, 1)), m.left(far, 4))
            folded.append(m.add(near, nineteen))
        return self._carried(folded)

    def _carried(self, a: Element) -> Element:
        """Limbs below 2^61 to reduced ones: each carries once, all at a time."""
        m, mask = self.machine, self.machine.constant(MASK)
        kept = [m.both(limb, mask) for limb in a]
        carries = [m.right(limb, LIMB_BITS) for limb in a]
        first = m.low(kept[0], carries[-1], m.constant(19))
        return [first, *(m.add(limb, carry) for limb, carry in zip(kept[1:], carries, strict=False))]
