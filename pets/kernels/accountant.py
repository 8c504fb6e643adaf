"""OpenDP as the accountant of zero-concentrated differential privacy: what epsilon is as rho, and rho at a delta.

Both are OpenDP's own combinators over a measurement that has nothing but a cost. It is made with
``make_user_measurement``, a feature that OpenDP calls "honest-but-curious" because nobody can check what such a
function does. Here it does nothing: it is never invoked, and the cost that it names is the number that was asked about.

Rounding: arguments are rounded up to a float, and OpenDP rounds upwards, so what comes out is never too little. Floats
are exact fractions, and come out as such.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

_KEPT: Final = 4096
"""Answers that are kept: specifications cost the same in every run."""


@lru_cache(_KEPT)
def rho_of(epsilon: Fraction) -> Fraction:
    """The rho of a mechanism of pure ``epsilon``, an upper bound.

    Source: Bun and Steinke, Concentrated Differential Privacy, TCC 2016-B, proposition 1.4; ``make_pureDP_to_zCDP``.
    """
    if epsilon < 0:
        raise ValueError("a loss is not negative")
    if epsilon == 0:
        return Fraction(0)
    from opendp.combinators import make_pureDP_to_zCDP
    from opendp.measures import max_divergence

    whole: Any = make_pureDP_to_zCDP(_costing(max_divergence(), upwards(epsilon)))
    return _exactly(whole.map(1))


@lru_cache(_KEPT)
def epsilon_of(rho: Fraction, delta: Fraction) -> Fraction:
    """The epsilon that ``rho`` is at ``delta``, an upper bound. Raises: OverflowError for one beyond all use.

    Source: Canonne, Kamath and Steinke, arXiv 2004.00010, proposition 12; ``make_zCDP_to_approxDP``.
    """
    if rho < 0 or not 0 < delta < 1:
        raise ValueError("a loss is not negative, and a delta is between 0 and 1")
    if rho == 0:
        return Fraction(0)
    from opendp.combinators import make_fix_delta, make_zCDP_to_approxDP
    from opendp.measures import zero_concentrated_divergence
    from opendp.mod import OpenDPException

    at_most = float(delta)
    if Fraction(at_most) > delta:
        at_most = math.nextafter(at_most, 0.0)
    whole: Any = make_fix_delta(make_zCDP_to_approxDP(_costing(zero_concentrated_divergence(), upwards(rho))), at_most)
    try:
        return _exactly(whole.map(1)[0])
    except OpenDPException as error:
        raise OverflowError("the loss is too large for a float") from error


def upwards(value: Fraction) -> float:
    """The smallest float that is not less than an exact number."""
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)


def _costing(measure: Any, cost: float) -> Any:
    """A measurement with a cost and no output."""
    from opendp.domains import atom_domain
    from opendp.measurements import make_user_measurement
    from opendp.metrics import discrete_distance
    from opendp.mod import enable_features

    enable_features("contrib", "honest-but-curious")
    return make_user_measurement(
        atom_domain(T=bool), discrete_distance(), measure, function=lambda _: None, privacy_map=lambda _: cost
    )


def _exactly(found: float) -> Fraction:
    if not math.isfinite(found):
        raise OverflowError("the loss is too large for a float")
    return Fraction(found)
