"""What a loss of zero-concentrated differential privacy is as an epsilon at a delta, for people to read.

Nothing is charged by it: a ledger counts rho as rho, and what it tells of epsilon it asks OpenDP
(``kernels/accountant.py``). This is the same formula, in decimals of a fixed precision: the same everywhere, and
without another library, which the promise does not load. tests/check/test_concentrated.py holds one against the other.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

READ_AT: Final = Fraction(1, 10**6)
"""The delta at which a rho is read where a specification says none."""

_CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_UP: Final = Context(prec=60, rounding=ROUND_CEILING)
_DOWN: Final = Context(prec=60, rounding=ROUND_FLOOR)
_GRID: Final = 10**9
_HALVINGS: Final = 80
_KEPT: Final = 256


@lru_cache(_KEPT)
def epsilon_at(rho: Fraction, delta: Fraction) -> Fraction:
    """The least epsilon that ``rho`` is known to be at ``delta``, rounded up to a multiple of 10^-9.

    Every order alpha > 1 gives an upper bound; taken is the one that is least, or as near to it as 80 halvings come.

    Raises:  ValueError on a rho below 0 or a delta that is not between 0 and 1.
    Source:  Canonne, Kamath and Steinke, arXiv 2004.00010, proposition 12 and corollary 13.
    """
    if rho < 0 or not 0 < delta < 1:
        raise ValueError("a loss is not negative, and a delta is between 0 and 1")
    if rho == 0:
        return Fraction(0)
    c, loss = _CONTEXT, _UP.divide(Decimal(rho.numerator), Decimal(rho.denominator))
    log_delta = c.ln(_DOWN.divide(Decimal(delta.numerator), Decimal(delta.denominator)))

    def beyond(over: Decimal) -> bool:
        """True if the bound no longer falls at the order 1 + ``over``: rho over^2 + ln(alpha delta) is its slope."""
        rise = c.multiply(loss, c.multiply(over, over))
        return c.add(rise, c.add(c.ln(c.add(1, over)), log_delta)) >= 0

    low, high = Decimal(0), Decimal(1)
    while not beyond(high):
        high = c.multiply(high, 2)
    for _ in range(_HALVINGS):
        middle = c.divide(c.add(low, high), 2)
        low, high = (low, middle) if beyond(middle) else (middle, high)
    over = high
    alpha = c.add(1, over)
    rest = c.divide(c.minus(c.add(c.ln(alpha), log_delta)), over)
    near = c.add(c.add(c.multiply(alpha, loss), c.ln(c.divide(over, alpha))), rest)
    return max(Fraction(-(-Fraction(near) * _GRID * (1 + Fraction(1, 10**30)) // 1), _GRID), Fraction(0))
