"""The ledger: how much privacy each dataset has lost. Reserve before a run, settle after it.

Reserved counts as spent, so a crash between the two leaves the budget spent: what is recorded is never less than what
was lost. Nothing is ever given back. The lock is taken before the sum, or two runs could spend the same remainder.
"""

import datetime as dt
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pets.check.budget import Loss, exact, total
from pets.errors import BudgetError
from pets.ids import RunHandle
from pets.party.state import Boundary, State


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that a dataset may lose from the day ``since`` on."""

    most: Loss
    since: dt.date


@dataclass(frozen=True, slots=True)
class Reservation:
    """What ``Ledger.reserve`` put aside for one run."""

    run: RunHandle
    charges: Mapping[str, Loss]


class Ledger:
    """The charges in a party's state file."""

    def __init__(self, state: State) -> None:
        self._state: Final = state

    def _locked(self) -> AbstractContextManager[sqlite3.Connection]:
        """Between the sum and the entry nobody else writes."""
        return self._state.transaction()

    def reserve(self, run: RunHandle, charges: Mapping[str, Loss], caps: Mapping[str, Cap]) -> Reservation:
        """Charge one run to its datasets, all or none. On disk when it returns.

        Raises: BudgetError ``budget.epsilon`` or ``budget.delta`` that shows spent, asked and left apart;
                ``budget.no-cap`` for a dataset without a cap, ``budget.charged`` for a run that was charged before.
        """
        today = self._state.clock().date()
        with self._locked() as db:
            if db.execute("SELECT 1 FROM charges WHERE run = ?", (run,)).fetchone():
                raise BudgetError("budget.charged", run=run)
            for dataset, asked in sorted(charges.items()):
                if dataset not in caps:
                    raise BudgetError("budget.no-cap", dataset=dataset)
                _check(dataset, _spent(db, dataset, caps[dataset].since), asked, caps[dataset].most)
            for dataset, asked in sorted(charges.items()):
                row = (run, dataset, str(asked.epsilon), str(asked.delta), today.isoformat())
                db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, 'reserved')", row)
            self._state.at(Boundary.BEFORE_RESERVE)
        self._state.at(Boundary.AFTER_RESERVE)
        return Reservation(run, dict(charges))

    def check(self, charges: Mapping[str, Loss], caps: Mapping[str, Cap]) -> None:
        """Say early that a run cannot be paid for; only ``reserve`` decides. Raises: BudgetError, as it does."""
        with self._state.reading() as db:
            for dataset, asked in sorted(charges.items()):
                if dataset not in caps:
                    raise BudgetError("budget.no-cap", dataset=dataset)
                _check(dataset, _spent(db, dataset, caps[dataset].since), asked, caps[dataset].most)

    def settle(self, run: RunHandle) -> None:
        """Note that the run of a reservation has ended. What it cost does not change.

        Raises: BudgetError ``budget.no-reservation`` if nothing was reserved, or all of it is settled.
        """
        self._state.at(Boundary.BEFORE_SETTLE)
        with self._state.transaction() as db:
            text = "UPDATE charges SET state = 'settled' WHERE run = ? AND state = 'reserved'"
            if db.execute(text, (run,)).rowcount == 0:
                raise BudgetError("budget.no-reservation", run=run)
        self._state.at(Boundary.AFTER_SETTLE)

    def spent(self, dataset: str, since: dt.date) -> Loss:
        """What a dataset has lost from a day on: settled and reserved together."""
        with self._state.reading() as db:
            return _spent(db, dataset, since)

    def unsettled(self) -> tuple[RunHandle, ...]:
        """Runs whose reservation was never settled: under way, or ended by a crash."""
        with self._state.reading() as db:
            rows = db.execute("SELECT DISTINCT run FROM charges WHERE state = 'reserved' ORDER BY run")
            return tuple(RunHandle(run) for (run,) in rows)


def _spent(db: sqlite3.Connection, dataset: str, since: dt.date) -> Loss:
    """Runs of one specification cost the same, so there are few rows to add however many runs there were."""
    text = "SELECT epsilon, delta, count(*) FROM charges WHERE dataset = ? AND day >= ? GROUP BY epsilon, delta"
    rows = db.execute(text, (dataset, since.isoformat())).fetchall()
    return total(Loss(runs * Fraction(epsilon), runs * Fraction(delta)) for epsilon, delta, runs in rows)


def _check(dataset: str, spent: Loss, asked: Loss, most: Loss) -> None:
    quantities = (
        ("budget.epsilon", spent.epsilon, asked.epsilon, most.epsilon),
        ("budget.delta", spent.delta, asked.delta, most.delta),
    )
    for code, gone, wanted, cap in quantities:
        if gone + wanted > cap:
            left = exact(max(cap - gone, Fraction(0)))
            raise BudgetError(code, dataset=dataset, spent=exact(gone), asked=exact(wanted), left=left, cap=exact(cap))
