"""What dp-accounting says that compositions cost: the second opinion on ours, by two methods of its own.

by_orders  Renyi divergences of rho-zCDP and pure mechanisms at many orders. Our conversion takes the best order of
           all; between two of a grid it may be better than dp-accounting's by the grid's step.
by_laws    privacy loss distributions of Gaussian and Laplace mechanisms: the composition itself, and not a bound on
           its moments, so it is less than ours by what zCDP gives away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import dp_accounting
from dp_accounting import pld, rdp


@dataclass(frozen=True)
class Composed:
    """Mechanisms on the same records: each rho and each pure epsilon once."""

    rhos: tuple[Fraction, ...]
    epsilons: tuple[Fraction, ...]
    delta: Fraction


def drawn(draw: Random, *, most: float = 0.2) -> Composed:
    """A composition of one to eight mechanisms, exact in its parameters."""

    def some(low: float, high: float, least: int) -> tuple[Fraction, ...]:
        return tuple(Fraction(round(draw.uniform(low, high) * 2**20), 2**20) for _ in range(draw.randint(least, 4)))

    return Composed(some(1e-3, most, 1), some(0.01, 1.0, 0), Fraction(1, 2 ** draw.randint(20, 40)))


def by_orders(rhos: Sequence[Fraction], delta: Fraction) -> float:
    """Epsilon at ``delta`` of rho-zCDP mechanisms, over 160 orders about the best one."""
    whole = float(sum(rhos))
    best = math.sqrt(math.log(1 / delta) / whole)
    accountant = rdp.RdpAccountant(orders=[1 + best * (0.6 + step / 200) for step in range(160)])
    for rho in rhos:
        accountant.compose(dp_accounting.ZCDpEvent(float(rho)))
    return float(accountant.get_epsilon(float(delta)))


def by_laws(composed: Composed) -> float:
    """Epsilon at ``delta`` of a Gaussian mechanism for each rho and a Laplace mechanism for each epsilon."""
    accountant = pld.PLDAccountant()
    for rho in composed.rhos:
        accountant.compose(dp_accounting.GaussianDpEvent(math.sqrt(1 / (2 * float(rho)))))
    for epsilon in composed.epsilons:
        accountant.compose(dp_accounting.LaplaceDpEvent(1 / float(epsilon)))
    return float(accountant.get_epsilon(float(composed.delta)))
