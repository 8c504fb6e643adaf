"""Numbers as text: the ten ASCII digits of an NHS number, a million rows in a few milliseconds."""

from typing import Final

import numpy as np
import numpy.typing as npt

from pets.kernels.jit import U8Array, U16Array, U64Array, kernel

DIGITS: Final = 10

_FORM: Final = np.dtype([("high", "<u2"), ("low", "<u8")])
u = np.uint64


@kernel
def _write(numbers: npt.NDArray[np.int64], high: U16Array, low: U64Array) -> None:
    # Two digits in 16 bits and eight in 64: the words of a lane are halved until each byte holds one digit. The
    # reciprocals (10486 / 2^20, 103 / 2^10) are exact for the four and two digits they meet.
    for i in range(numbers.size):
        n = u(numbers[i])
        top = n // u(100_000_000)
        rest = n - top * u(100_000_000)
        q = rest // u(10_000)
        x = q | (rest - q * u(10_000)) << u(32)
        q = ((x * u(10_486)) >> u(20)) & u(0x0000_007F_0000_007F)
        x = q | (x - q * u(100)) << u(16)
        q = ((x * u(103)) >> u(10)) & u(0x000F_000F_000F_000F)
        low[i] = (q | (x - q * u(10)) << u(8)) + u(0x3030_3030_3030_3030)
        q = (top * u(103)) >> u(10)
        high[i] = (q | (top - q * u(10)) << u(8)) + u(0x3030)


def ten_digits(numbers: npt.NDArray[np.int64]) -> U8Array:
    """Write each number with ten ASCII digits, leading zeros included.

    Shapes:  (n,) int64, each in [0, 10^10); (n, 10) uint8, same order.
    Raises:  ValueError on another type or shape: our bug. A number out of range gives ten bytes that mean nothing.
    """
    if numbers.dtype != np.int64 or numbers.ndim != 1:
        raise ValueError("numbers are one row of int64")
    out = np.empty((numbers.size, DIGITS), np.uint8)
    lanes = out.view(_FORM).reshape(-1)
    _write(numbers, lanes["high"], lanes["low"])
    return out
