"""How much one person's rows change a sum at most, and the rounding units in which noise of that width can be drawn.

The neighbours are tables that differ in *one person's rows, added or removed, in either or both tables*, with padded
sizes. A moment over persons is a sum of independent contributions, so its sensitivity is the greatest norm of the
difference of two contributions of one person; tests/check/test_sensitivity.py enumerates them all on small domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Final

from pets.check import shared_noise
from pets.errors import LeakError
from pets.spec.ir import Factor

MAX_SCALE: Final = 2**20
"""Greatest sensitivity / epsilon of a noised column: 192 times that, and the sums, have room in 64 bits."""

MAX_VARIANCE: Final = Fraction(2**40)
"""Greatest variance of a part of Gaussian noise: its root is ``MAX_SCALE``."""

MAX_SQUARED: Final = 2**53 - 1
"""Greatest square of a sensitivity: a plan has its numbers in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a sensitivity depends on besides the factors.

    ``k_a``, ``k_b``: rows a person; ``g``, ``h``: cells of the grouping; ``b_grouped``: b has grouping columns.
    """

    k_a: int
    k_b: int
    g: int
    h: int
    b_grouped: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """A further table of a join: its factor of a moment, rows a person, cells of its grouping."""

    factor: Factor
    k: int
    h: int


def sensitivity(a: Factor, b: Factor, outer: bool, sizes: Sizes, beside: Sequence[Beside] = ()) -> int:
    """Greatest sum over all cells of the change that one person's rows make to the moment ``a`` times ``b``.

    Units:  multiples of ``a.unit * b.unit``.
    Why:    a person's contribution is (sums of a per cell) x (sums of b per cell), whose norm is the product of the two
            norms, and nothing if the person is absent on one side. Unmatched (``outer``) rows of a weigh 1 in the
            cell ``(missing)`` of b: a person who enters b takes them out there and puts them into levels instead, which
            moves ``k_b + 1`` (persons: at most all ``h`` cells); without grouping columns of b in and out is one cell.
            Of more tables it is the product of their norms.
    Bound:  attained whenever a row of the greatest absolute value may occur.
    """
    return _greatest_change(a, b, outer, sizes, beside, power=1)


def squared_sensitivity(a: Factor, b: Factor, outer: bool, sizes: Sizes, beside: Sequence[Beside] = ()) -> int:
    """Greatest sum over all cells of the squares of the changes that one person's rows make: the L2 norm, squared.

    Units:  as ``sensitivity``, squared.
    Why:    as there, a contribution is (sums of a per cell) x (sums of b per cell), and the L2 norm of such a product
            is the product of the two norms as well. Of k rows of at most ``bound`` the norm is greatest in one cell:
            there it is k times the bound, and by the triangle inequality it is never more, wherever the rows lie (a
            CASE over both tables, which tells pairs of rows apart, changes nothing of that). Persons count once in a
            cell, so they have a 1 in at most ``min(k, cells)`` of them, and that many is the square.
            Unmatched (``outer``) rows of a weigh 1 in the cell ``(missing)`` of b. A person who enters b takes that 1
            out and puts k_b rows into another cell, k_b^2 + 1 at most (spread out they are k_b + 1), or has a 1 in up
            to ``min(k_b, h - 1)`` other cells, with the one that is taken out ``min(k_b + 1, h)``. Without grouping
            columns of b in and out is one cell: k_b^2, or 1, when the person enters or leaves a.
    Bound:  attained whenever a row of the greatest absolute value may occur.
    """
    return _greatest_change(a, b, outer, sizes, beside, power=2)


def _greatest_change(a: Factor, b: Factor, outer: bool, sizes: Sizes, beside: Sequence[Beside], *, power: int) -> int:
    """The norm of a change to that power: of the sums (1) or of the squares (2) of what it moves in each cell."""
    if beside and outer:
        raise ValueError("more than two tables are joined where all match")
    others = _norm(a, sizes.k_a, sizes.g, power) * prod(_norm(each.factor, each.k, each.h, power) for each in beside)
    if not outer:
        return others * _norm(b, sizes.k_b, sizes.h, power)
    if b.narrowed:
        raise ValueError("an unmatched row has no values on the other side")
    if b.people:
        return others * (min(sizes.k_b + 1, sizes.h) if sizes.b_grouped else 1)
    entering: int = sizes.k_b**power + sizes.b_grouped
    return others * entering


def _norm(factor: Factor, k: int, cells: int, power: int) -> int:
    """The same of what one person's k rows of one table add up to in each cell."""
    summed: int = (k * factor.bound) ** power
    return min(k, cells) if factor.people else summed


def rounded(factor: Factor, unit: int) -> Factor:
    """The factor in multiples of ``unit``, starting from one in units of the last place."""
    if factor.unit != 1:
        raise ValueError("a factor is rounded once")
    return replace(factor, unit=unit, bound=(factor.bound + unit // 2) // unit)


def coarse(
    a: Factor,
    b: Factor,
    outer: bool,
    sizes: Sizes,
    *,
    epsilon: Fraction,
    name: str,
    beside: Sequence[Beside] = (),
) -> tuple[tuple[Factor, ...], int]:
    """Give the factors the finest rounding units (1, 2, 5, 10, 20 ...) that keep sensitivity / epsilon at most 2^20.

    The values are rounded before the join, row by row; noise in multiples of a unit on finer sums would publish the sum
    modulo the unit exactly. The factor with more steps left is the next to be made coarser.

    Returns: the factors of a, b and further tables, and the sensitivity in the new units.
    Raises:  LeakError ``dp.scale`` if no unit helps.
    """

    def fits(found: int) -> bool:
        return found <= MAX_SCALE * epsilon

    return _coarser(a, b, outer, sizes, beside, sensitivity, fits, name)


def coarse_squared(
    a: Factor,
    b: Factor,
    outer: bool,
    sizes: Sizes,
    *,
    rho: Fraction,
    parts: int,
    name: str,
    beside: Sequence[Beside] = (),
) -> tuple[tuple[Factor, ...], int]:
    """The same for Gaussian noise of ``parts`` parts: the finest units that keep the variance of each at most 2^40.

    Returns: the factors of a, b and further tables, and the squared sensitivity in the new units.
    Raises:  LeakError ``dp.scale`` if no unit helps.
    """

    def fits(squared: int) -> bool:
        return squared <= MAX_SQUARED and shared_noise.gaussian_rho(squared, MAX_VARIANCE, parts, squared) <= rho

    return _coarser(a, b, outer, sizes, beside, squared_sensitivity, fits, name)


def _coarser(
    a: Factor,
    b: Factor,
    outer: bool,
    sizes: Sizes,
    beside: Sequence[Beside],
    measure: Callable[[Factor, Factor, bool, Sizes, Sequence[Beside]], int],
    fits: Callable[[int], bool],
    name: str,
) -> tuple[tuple[Factor, ...], int]:
    plain = (a, b, *(each.factor for each in beside))
    units = [1] * len(plain)
    while True:
        now = [rounded(factor, unit) for factor, unit in zip(plain, units, strict=True)]
        further = [replace(each, factor=factor) for each, factor in zip(beside, now[2:], strict=True)]
        found = measure(now[0], now[1], outer, sizes, further)
        if fits(found):
            return tuple(now), found
        side = max(range(len(plain)), key=lambda i: (now[i].bound if now[i].values else 0, -i))
        if not plain[side].values or now[side].bound <= 1:
            raise LeakError("dp.scale", column=name)
        units[side] = _next_unit(units[side])


def _next_unit(unit: int) -> int:
    lead = int(str(unit)[0])
    return unit // lead * {1: 2, 2: 5, 5: 10}[lead]
