"""Losses of privacy in exact arithmetic: who pays what, and how many dummies the helper sees.

Everything here is a whole number or a ``Fraction``; the one transcendental, e^x in the dummy formula, is evaluated with
``decimal`` at a fixed precision (correctly rounded, so the same everywhere) and compared with a safety margin.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Final

from pets.check import concentrated
from pets.errors import LeakError
from pets.spec.model import Spec, quantity

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
