"""OpenDP's second opinion on what noise costs: its own maps from a sensitivity to a loss, rounded upwards.

Nothing here decides: losses are added as exact fractions elsewhere, and this is another library's word on them.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any


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
