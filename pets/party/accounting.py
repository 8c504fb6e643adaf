"""What charges come to under a cap, and when they are too much.

A cap is stated in one of two ways, and every charge is counted in the way of the cap that it meets:

    pure          epsilon and delta are added, exactly. A charge of rho has no epsilon of its own, so under such a cap
                  there is room for none.
    concentrated  rho and delta are added. A charge of epsilon counts as the rho that OpenDP says it is
                  (kernels/accountant.py), rounded up. One of (epsilon, delta) is, but for an event of probability
                  delta, one of epsilon; so its delta is added beside (approximate zCDP: Bun and Steinke, Concentrated
                  Differential Privacy, TCC 2016-B, section 8).

Sums and comparisons are of exact fractions; nothing is ever rounded down.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from pets.approve.policy import Limits
from pets.check.budget import Loss, bounded, total
from pets.errors import BudgetError
from pets.kernels import accountant
from pets.spec.model import Dataset

Quantity = Literal["epsilon", "delta", "rho"]

PURE: Final[tuple[Quantity, ...]] = ("epsilon", "delta", "rho")
CONCENTRATED: Final[tuple[Quantity, ...]] = ("rho", "delta")

CODE: Final[dict[Quantity, str]] = {"epsilon": "budget.epsilon", "delta": "budget.delta", "rho": "budget.rho"}


class Account(NamedTuple):
    """What is charged: a dataset of this party, for the unit whose privacy is meant."""

    dataset: str
    unit: str = "person"

    def __str__(self) -> str:
        return f"{self.dataset}, per {self.unit}"


def account_of(dataset: Dataset) -> Account:
    """The account that a run charges for one of its datasets."""
    return Account(dataset.name, dataset.privacy_unit)


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that an account may lose from the day ``since`` on; from the day ``returns`` on all of it again.

    ``told_at``: of a cap in rho, the delta at which it is also told as an epsilon. None: the cap is pure.
    """

    most: Loss
    since: dt.date
    returns: dt.date | None = None
    told_at: Fraction | None = None

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is added and compared under this cap."""
        return PURE if self.told_at is None else CONCENTRATED

    def counted(self, losses: Iterable[tuple[Loss, int]]) -> Loss:
        """What losses come to, each so many times, in the quantities of this cap."""
        if self.told_at is None:
            return total(loss * times for loss, times in losses)
        return total(
            Loss(delta=loss.delta, rho=loss.rho + accountant.rho_of(loss.epsilon)) * times for loss, times in losses
        )


def cap_of(limits: Limits, today: dt.date) -> Cap:
    """The cap of a policy on each of its datasets, in the period of a day."""
    return Cap(limits.cap, limits.since(today), limits.returns(today), limits.told_at)


def require(account: Account, spent: Loss, asked: Loss, cap: Cap) -> None:
    """Hold that a charge fits beside what was spent; both counted under the cap.

    Raises: BudgetError ``budget.epsilon``, ``budget.delta`` or ``budget.rho``, with spent, requested and remaining.
    """
    for name in cap.quantities:
        gone, wanted, most = (getattr(each, name) for each in (spent, asked, cap.most))
        if gone + wanted > most:
            raise BudgetError(
                CODE[name],
                dataset=account.dataset,
                unit=account.unit,
                spent=bounded(gone, up=True),
                requested=bounded(wanted, up=True),
                remaining=bounded(max(most - gone, Fraction(0)), up=False),
                cap=bounded(most, up=False),
                period=_period(cap),
                advice=_advice(name, cap, wanted),
            )


def fit(spent: Loss, asked: Loss, cap: Cap) -> int | None:
    """How many times a charge fits beside what was spent; None if it costs nothing."""
    rooms = [_room(getattr(spent, name), getattr(asked, name), getattr(cap.most, name)) for name in cap.quantities]
    return min((room for room in rooms if room is not None), default=None)


def _room(gone: Fraction, wanted: Fraction, most: Fraction) -> int | None:
    if gone > most:
        return 0
    return None if wanted == 0 else (most - gone) // wanted


def _period(cap: Cap) -> str:
    return "" if cap.since == dt.date.min else f", since {cap.since.isoformat()}"


def _advice(name: Quantity, cap: Cap, wanted: Fraction) -> str:
    if name == "rho" and cap.told_at is None:
        return "let the holder state its cap as rho (max_rho_per_dataset): an epsilon has no room for a charge of rho"
    if wanted > getattr(cap.most, name):
        return "ask for less: no period has room for it"
    if cap.returns is None:
        return "ask for less: the cap has no period, so what was spent does not return"
    return f"ask for less, or wait for {cap.returns.isoformat()}, when the next period begins"


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity of a balance: all in it is in the same quantity."""

    quantity: str
    cap: Fraction
    settled: Fraction
    reserved: Fraction

    @property
    def spent(self) -> Fraction:
        return self.settled + self.reserved

    @property
    def remaining(self) -> Fraction:
        return max(self.cap - self.spent, Fraction(0))


@dataclass(frozen=True, slots=True)
class Balance:
    """How an account stands in the period of its cap. ``runs`` were charged in it."""

    account: Account
    cap: Cap
    settled: Loss
    reserved: Loss
    runs: int

    def lines(self) -> Iterator[Line]:
        """What the cap is on, quantity by quantity. Of a pure cap rho is left out where there is none, as is meant."""
        for name in self.cap.quantities:
            line = Line(name, *(getattr(each, name) for each in (self.cap.most, self.settled, self.reserved)))
            if line.cap or line.spent:
                yield line

    @property
    def told(self) -> tuple[Fraction, Fraction, Fraction] | None:
        """Of a cap in rho: epsilon of the cap and of what was spent, and the delta of it; None beyond all use."""
        if self.cap.told_at is None:
            return None
        try:
            most, gone = (
                accountant.epsilon_of(rho, self.cap.told_at)
                for rho in (self.cap.most.rho, self.settled.rho + self.reserved.rho)
            )
        except OverflowError:
            return None
        return most, gone, self.cap.told_at
