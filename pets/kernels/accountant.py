"""OpenDP as the accountant: what noise costs, what epsilon is as rho, and what rho is at a delta.

What noise costs are OpenDP's own maps from a sensitivity to a loss: a second opinion. Losses are added as exact
fractions elsewhere.

The other two are OpenDP's combinators over a measurement that has nothing but a cost. It is made with
``make_user_measurement``, a feature that OpenDP calls "honest-but-curious" because nobody can check what such a
function does. Here it does nothing: it is never invoked, and the cost that it names is the number that was asked about.

Rounding: arguments are rounded up to a float, and OpenDP rounds upwards, so what comes out is never too little. Floats
are exact fractions, and come out as such.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

_KEPT: Final = 4096
"""Answers that are kept: specifications cost the same in every run."""


@lru_cache(_KEPT)
def accounted_epsilon(sensitivity: int, epsilon: Fraction) -> float:
    """What OpenDP says that a column costs whose noise has ratio exp(-epsilon / sensitivity).

    Units:   sensitivity as an L1 norm over all cells, in units of the column. Rounded upwards: at least epsilon, and
             beyond it by a few units of a float's last place.
    """
    if sensitivity < 1 or epsilon <= 0:
        raise ValueError("a column has a sensitivity of at least 1 and an epsilon above 0")
    column: Any = _laplace(sensitivity / epsilon)
    return float(column.map(sensitivity))


def accounted_total(epsilons: Sequence[Fraction]) -> float:
    """What OpenDP says that several columns of one release cost together. A cross-check of the exact sum.

    Units:   each column in units of its own sensitivity, so that one person's rows move each column by at most 1.
    """
    if not epsilons:
        return 0.0
    if min(epsilons) <= 0:
        raise ValueError("a column has an epsilon above 0")
    from opendp.combinators import make_composition

    whole: Any = make_composition([_laplace(1 / epsilon) for epsilon in epsilons])
    return float(whole.map(1))


@lru_cache(_KEPT)
def accounted_rho(squared: Fraction | int, variance: Fraction) -> float:
    """What OpenDP says that discrete Gaussian noise N_Z(0, variance) on every cell costs, as rho of zCDP.

    Units:   ``squared``: square of the L2 norm of the greatest change by one person over all cells. Rounded upwards.
    """
    if squared <= 0 or variance <= 0:
        raise ValueError("a release has a sensitivity and a variance above 0")
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    scale, moved = math.sqrt(variance), math.sqrt(squared)
    while Fraction(scale) ** 2 > variance:
        scale = math.nextafter(scale, 0.0)
    while Fraction(moved) ** 2 < squared:
        moved = math.nextafter(moved, math.inf)
    column: Any = make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale=scale)
    return float(column.map(moved))


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


def _laplace(scale: Fraction) -> Any:
    """OpenDP's discrete Laplace on vectors of integers, of at most this scale."""
    from opendp.domains import atom_domain, vector_domain  # half a second to import, and needed only here
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    at_most = float(scale)
    if Fraction(at_most) > scale:
        at_most = math.nextafter(at_most, 0.0)
    return make_laplace(vector_domain(atom_domain(T="i64")), l1_distance(T="i64"), scale=at_most)
