"""Losses of privacy in exact arithmetic: who pays what, how wide the noise is, how many dummies the helper sees.

Everything here is a whole number or a ``Fraction``; the one transcendental, e^x in the dummy formula, is evaluated with
``decimal`` at a fixed precision (correctly rounded, so the same everywhere) and compared with a safety margin.

The neighbours are tables that differ in *one person's rows, added or removed, in either or both tables*, with padded
sizes. A moment over persons is a sum of independent contributions, so its sensitivity is the greatest L1 norm of the
difference of two contributions of one person; tests/check/test_budget.py enumerates them all on small domains.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import prod
from typing import Final

from pets.check import concentrated, shared_noise
from pets.errors import LeakError
from pets.spec.ir import Factor
from pets.spec.model import Spec, quantity

MAX_SCALE: Final = 2**20
"""Greatest sensitivity / epsilon of a noised column: 192 times that, and the sums, have room in 64 bits."""

MAX_VARIANCE: Final = Fraction(2**40)
"""Greatest variance of a part of Gaussian noise: its root is ``MAX_SCALE``."""

MAX_SQUARED: Final = 2**53 - 1
"""Greatest square of a sensitivity: a plan has its numbers in JSON."""

_DRAW_BITS: Final = 128
"""Bits of the draw that the number of dummies is taken from (kernels/dummy.py)."""

_MOST_EPSILON: Final = 1000

_CONTEXT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
_MARGIN: Final = Decimal(1) + Decimal(10) ** -60


@dataclass(frozen=True, slots=True)
class Loss:
    """What a mechanism of (epsilon, delta) and one of zero-concentrated ``rho`` cost. On the same records they add up.

    Each part is charged as it was proven: what epsilon is as rho, and rho as epsilon at a delta, is for the accountant
    to say (``party/accounting.py``).
    """

    epsilon: Fraction = Fraction(0)
    delta: Fraction = Fraction(0)
    rho: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if self.epsilon < 0 or self.delta < 0 or self.rho < 0:
            raise ValueError("a loss is not negative")

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(self.epsilon + other.epsilon, self.delta + other.delta, self.rho + other.rho)

    def __mul__(self, runs: int) -> "Loss":
        return Loss(self.epsilon * runs, self.delta * runs, self.rho * runs)

    def within(self, cap: "Loss") -> bool:
        """True if no part is above the cap."""
        return self.epsilon <= cap.epsilon and self.delta <= cap.delta and self.rho <= cap.rho


def total(losses: Iterable[Loss]) -> Loss:
    """Basic composition: losses on the same records add up."""
    return sum(losses, Loss())


def release_loss(spec: Spec) -> Loss:
    """What the released table costs: its epsilon or its rho, however many columns share it."""
    privacy = spec.release.differential_privacy
    if privacy is None:
        return Loss()
    return Loss(rho=privacy.loss) if privacy.gaussian else Loss(privacy.loss)


def helper_loss(spec: Spec) -> Loss:
    """What noisy counts seen by computing parties cost, as declared in ``security.leakage``."""
    return total(
        Loss(quantity(item.noised.epsilon), quantity(item.noised.delta))
        for item in spec.security.leakage
        if item.noised is not None
    )


def run_loss(spec: Spec) -> dict[str, Loss]:
    """What one run charges to each dataset: release and helper's count, because both are about the same persons."""
    loss = release_loss(spec) + helper_loss(spec)
    return {dataset.name: loss for dataset in spec.datasets}


def read_at(spec: Spec) -> Fraction:
    """The delta at which a rho of this specification is read as an epsilon."""
    privacy = spec.release.differential_privacy
    return concentrated.READ_AT if privacy is None or privacy.delta is None else quantity(privacy.delta)


def read(loss: Loss, spec: Spec) -> Fraction:
    """What a loss is as an epsilon: pure, and where there is a rho at the delta that goes with it, beside its own.

    For people to read, and rounded up: a ledger counts epsilon, delta and rho apart.
    """
    return loss.epsilon + concentrated.epsilon_at(loss.rho, read_at(spec))


def split_epsilon(epsilon: Fraction, names: Iterable[str], weights: Mapping[str, int]) -> dict[str, Fraction]:
    """Split epsilon, or rho, over the noised columns in proportion to their weights (1 where none is given). Exact.

    Raises: LeakError on a weight for a column that is not there: its author thinks that it changes something.
    """
    shares = {name: weights.get(name, 1) for name in names}
    if unknown := sorted(set(weights) - set(shares)):
        raise LeakError("dp.weights", unknown=", ".join(unknown), known=", ".join(shares))
    whole = sum(shares.values())
    return {name: epsilon * weight / whole for name, weight in shares.items()}


@dataclass(frozen=True, slots=True)
class Beside:
    """A further table of a join: its factor of a moment, rows a person, cells of its grouping."""

    factor: Factor
    k: int
    h: int

    @property
    def norm(self) -> int:
        """What one person's rows add up to at most, over all cells."""
        return min(self.k, self.h) if self.factor.people else self.k * self.factor.bound

    @property
    def squared_norm(self) -> int:
        """The greatest sum of squares over all cells of what one person's rows add up to in each."""
        return _squared(self.factor, self.k, self.h)


def sensitivity(
    a: Factor,
    b: Factor,
    outer: bool,
    *,
    k_a: int,
    k_b: int,
    g: int,
    h: int,
    b_grouped: bool,
    beside: Sequence[Beside] = (),
) -> int:
    """Greatest sum over all cells of the change that one person's rows make to the moment ``a`` times ``b``.

    Units:  multiples of ``a.unit * b.unit``; ``k_a``, ``k_b`` rows a person, ``g``, ``h`` cells of the grouping.
    Why:    a person's contribution is (sums of a per cell) x (sums of b per cell), whose norm is the product of the two
            norms, and nothing if the person is absent on one side. Unmatched (``outer``) rows of a weigh 1 in the
            cell ``(missing)`` of b: a person who enters b takes them out there and puts them into levels instead, which
            moves ``k_b + 1`` (persons: at most all ``h`` cells); without grouping columns of b in and out is one cell.
            Of more tables it is the product of their norms.
    Bound:  attained whenever a row of the greatest absolute value may occur.
    """
    norm_a = min(k_a, g) if a.people else k_a * a.bound
    if beside and outer:
        raise ValueError("more than two tables are joined where all match")
    norm_a *= prod(each.norm for each in beside)
    if not outer:
        return norm_a * (min(k_b, h) if b.people else k_b * b.bound)
    if b.narrowed:
        raise ValueError("an unmatched row has no values on the other side")
    if b.people:
        return norm_a * (min(k_b + 1, h) if b_grouped else 1)
    return norm_a * (k_b + 1 if b_grouped else k_b)


def squared_sensitivity(
    a: Factor,
    b: Factor,
    outer: bool,
    *,
    k_a: int,
    k_b: int,
    g: int,
    h: int,
    b_grouped: bool,
    beside: Sequence[Beside] = (),
) -> int:
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
    norm_a = _squared(a, k_a, g)
    if beside and outer:
        raise ValueError("more than two tables are joined where all match")
    norm_a *= prod(each.squared_norm for each in beside)
    if not outer:
        return norm_a * _squared(b, k_b, h)
    if b.narrowed:
        raise ValueError("an unmatched row has no values on the other side")
    if b.people:
        return norm_a * (min(k_b + 1, h) if b_grouped else 1)
    return norm_a * (k_b**2 + 1 if b_grouped else k_b**2)


def _squared(factor: Factor, k: int, cells: int) -> int:
    return min(k, cells) if factor.people else (k * factor.bound) ** 2


def rounded(factor: Factor, unit: int) -> Factor:
    """The factor in multiples of ``unit``, starting from one in units of the last place."""
    if factor.unit != 1:
        raise ValueError("a factor is rounded once")
    return replace(factor, unit=unit, bound=(factor.bound + unit // 2) // unit)


def coarse(
    a: Factor,
    b: Factor,
    outer: bool,
    *,
    k_a: int,
    k_b: int,
    g: int,
    h: int,
    b_grouped: bool,
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

    def width(own: Factor, other: Factor, further: Sequence[Beside]) -> int:
        return sensitivity(own, other, outer, k_a=k_a, k_b=k_b, g=g, h=h, b_grouped=b_grouped, beside=further)

    return _coarser((a, b), beside, width, lambda found: Fraction(found) <= MAX_SCALE * epsilon, name)


def coarse_squared(
    a: Factor,
    b: Factor,
    outer: bool,
    *,
    k_a: int,
    k_b: int,
    g: int,
    h: int,
    b_grouped: bool,
    rho: Fraction,
    parts: int,
    name: str,
    beside: Sequence[Beside] = (),
) -> tuple[tuple[Factor, ...], int]:
    """The same for Gaussian noise of ``parts`` parts: the finest units that keep the variance of each at most 2^40.

    Returns: the factors of a, b and further tables, and the squared sensitivity in the new units.
    Raises:  LeakError ``dp.scale`` if no unit helps.
    """

    def width(own: Factor, other: Factor, further: Sequence[Beside]) -> int:
        return squared_sensitivity(own, other, outer, k_a=k_a, k_b=k_b, g=g, h=h, b_grouped=b_grouped, beside=further)

    def fits(squared: int) -> bool:
        return squared <= MAX_SQUARED and shared_noise.gaussian_rho(squared, MAX_VARIANCE, parts, squared) <= rho

    return _coarser((a, b), beside, width, fits, name)


def _coarser(
    own: tuple[Factor, Factor],
    beside: Sequence[Beside],
    width: Callable[[Factor, Factor, Sequence[Beside]], int],
    fits: Callable[[int], bool],
    name: str,
) -> tuple[tuple[Factor, ...], int]:
    plain = (*own, *(each.factor for each in beside))
    units = [1] * len(plain)
    while True:
        now = [rounded(factor, unit) for factor, unit in zip(plain, units, strict=True)]
        further = [replace(each, factor=factor) for each, factor in zip(beside, now[2:], strict=True)]
        found = width(now[0], now[1], further)
        if fits(found):
            return tuple(now), found
        side = max(range(len(plain)), key=lambda i: (now[i].bound if now[i].values else 0, -i))
        if not plain[side].values or now[side].bound <= 1:
            raise LeakError("dp.scale", column=name)
        units[side] = _next_unit(units[side])


def _next_unit(unit: int) -> int:
    lead = int(str(unit)[0])
    return unit // lead * {1: 2, 2: 5, 5: 10}[lead]


def dummy_delta(epsilon: Fraction, k: int, s: int) -> Decimal:
    """Delta of a count of sensitivity ``k`` under discrete Laplace noise of ``epsilon`` conditioned on [-s, s].

    Source: protocols.md 1.10, the mass of the last k values of one tail. To 80 digits, deterministic.
    """
    if s < k:
        raise ValueError("the range of the noise must hold one person")
    c = _CONTEXT
    alpha = _exp_minus(epsilon / k)
    top = c.multiply(c.power(alpha, s - k + 1), c.subtract(Decimal(1), c.power(alpha, k)))
    low = c.subtract(c.add(Decimal(1), alpha), c.multiply(Decimal(2), c.power(alpha, s + 1)))
    return c.divide(top, low)


def dummy_slots(epsilon: Fraction, delta: Fraction, k: int) -> int:
    """The smallest s whose ``dummy_delta`` is at most ``delta``: the helper sees 2 s dummy slots, s of them on average.

    Raises: ValueError if epsilon, delta or k is out of range, or s would be 2^31 or more: this epsilon is too small for
            this delta, or one of them is finer than the 128 bits of a draw.
    """
    if not 0 < epsilon <= _MOST_EPSILON or not 0 < delta < 1 or k < 1:
        raise ValueError("epsilon and k are positive and not huge, delta is between 0 and 1")
    limit = _CONTEXT.divide(Decimal(delta.numerator), Decimal(delta.denominator))

    def enough(s: int) -> bool:
        exact = _CONTEXT.multiply(dummy_delta(epsilon, k, s), _MARGIN)
        return _CONTEXT.add(exact, _rounding(epsilon, k, s)) <= limit

    high = k
    while not enough(high):
        high *= 2
        if high >= 2**31:
            raise ValueError("epsilon is too small for this delta")
    low = max(k, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _rounding(epsilon: Fraction, k: int, s: int) -> Decimal:
    """At most what a table of 128-bit thresholds adds to delta: two draws on either side for each number of tags."""
    grown = _CONTEXT.add(Decimal(1), _exp_minus(-epsilon))
    return _CONTEXT.divide(_CONTEXT.multiply(Decimal(2 * (2 * s + 1 + k)), grown), Decimal(2**_DRAW_BITS))


def _exp_minus(x: Fraction) -> Decimal:
    return _CONTEXT.exp(_CONTEXT.minus(_CONTEXT.divide(Decimal(x.numerator), Decimal(x.denominator))))


def exact(value: Fraction) -> str:
    """An exact quantity for people: ``1.5`` where it is a short decimal, ``2^-40`` or ``1/3`` where it is not."""
    power = value.denominator.bit_length() - 1
    if value.numerator == 1 and power > 6 and value.denominator == 2**power:
        return f"2^-{power}"
    for places in range(7):
        scaled = value * 10**places
        if scaled.denominator == 1:
            whole, part = divmod(int(scaled), 10**places)
            return f"{whole}.{part:0{places}d}" if places else str(whole)
    return str(value)


_SHORT: Final = 12
"""Letters of an exact quantity that a person still compares at a glance."""

_SIX: Final = {up: Context(prec=6, rounding=ROUND_CEILING if up else ROUND_FLOOR) for up in (True, False)}


def bounded(value: Fraction, *, up: bool) -> str:
    """A quantity for people: exact where it is short, else six digits, rounded up or down.

    What was spent is rounded up and what remains is rounded down.
    """
    text = exact(value)
    if len(text) <= _SHORT:
        return text
    decimal = _SIX[up].divide(Decimal(value.numerator), Decimal(value.denominator)).normalize()
    return f"{decimal:f}" if decimal.adjusted() >= -4 else f"{decimal}".lower()
