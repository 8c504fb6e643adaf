"""The approximations of ratio.py on values in the clear, with truncations that lose what a test says.

In the protocol the masks decide whether a rough truncation is the floor or one less. Here each loses what ``lose``
gives, so that the worst can be tried. Whole numbers without end: a value that would not fit its word is an assertion.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pets.protocols.rep3 import ratio

Whole = npt.NDArray[Any]
Lose = Callable[[int], Whole]
"""How much each row of the next truncation loses, 0 or 1, for so many rows."""


class Plain:
    """``ratio`` and ``root`` step by step; ``lose`` is asked at every truncation."""

    def __init__(self, lose: Lose) -> None:
        self.lose = lose

    def roughly(self, x: Whole, bits: int) -> Whole:
        assert np.abs(x).max() < 2**62, "a truncation of a value that is out of its range"
        return (x >> bits) - self.lose(len(x))

    def inverted(self, d: Whole) -> Whole:
        w = ratio._START - 2 * d
        e = 2**30 - self.roughly(d * w, 30)
        for _ in range(2):
            w, e = w + self.roughly(w * e, 30), self.roughly(e * e, 30)
        return w + self.roughly(w * e, 30)

    def ratio(self, x: Whole, y: Whole, bits: int, digits: int) -> Whole:
        """Floor of x / y for y above 0; what is left over is asserted to be what the correction can repair."""
        scale = np.array([2 ** (30 - int(each).bit_length()) for each in y], object)
        inverse, whole, left = self.inverted(y * scale), 0 * x, x
        for place in range(20 * (digits - 1), -1, -20):
            part = self.roughly(left, place) if place else left
            part = self.roughly(part * scale, 23)
            part = self.roughly(part * inverse - (2**37 >> ratio._MARGIN), 37)
            if place + bits > ratio.MOST_AT:
                part = np.where(y < 2 ** (ratio.MOST_AT - place), part, 0)
            whole, left = whole + part * 2**place, left - part * y * 2**place
            assert np.abs(left).max() < 2**62
        assert (left >= 0).all() and (left < 3 * y).all()
        return whole + (left >= y) + (left >= 2 * y)

    def root(self, x: Whole, bits: int) -> Whole:
        """Floor of the root of x above 0; what is found before the comparison is asserted to be no more."""
        pair = np.array([(bits // 2 - (int(each).bit_length() + 1) // 2) for each in x], object)
        d = x * 2 ** (60 - bits + 2 * pair)
        short = self.roughly(d, 32)
        k = ratio._ROOT_START - 5 * short
        g = self.roughly(short * k, 28)
        for _ in range(3):
            r = 2**29 - self.roughly(g * k, 31)
            g, k = g + self.roughly(g * r, 30), k + self.roughly(k * r, 30)
        g = g + self.roughly(self.roughly(d - g * g, 9) * k - (2**52 >> ratio._ROOT_MARGIN), 52)
        found = self.roughly(g * 2 ** (bits // 2 - pair), 30)
        assert (found * found <= x).all()
        steps = [(found + step) ** 2 <= x for step in range(1, ratio._ROOT_SHORT + 1)]
        return found + sum(step.astype(object) for step in steps)
