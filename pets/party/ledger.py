"""The ledger: how much privacy each dataset has lost. Reserve before a run, settle after it.

Reserved counts as spent, so a crash between the two leaves the budget spent: what is recorded is never less than what
was lost. Nothing is ever given back. The lock is taken before the sum, or two runs could spend the same remainder.

A charge belongs to the day, in UTC and by this party's clock, on which it was reserved, and counts in the period of
that day for good, however late the run ends. Charges of later days count too: a clock that is put back frees nothing.
"""

import datetime as dt
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pets.check.budget import Loss
from pets.errors import BudgetError
from pets.ids import RunHandle
from pets.party.accounting import Account, Balance, Cap, fit, require
from pets.party.records import Records
from pets.party.state import Boundary, State


@dataclass(frozen=True, slots=True)
class Reservation:
    """What ``Ledger.reserve`` put aside for one run."""

    run: RunHandle
    charges: Mapping[Account, Loss]


@dataclass(frozen=True, slots=True)
class Charge:
    """One entry: what a run was charged, and on which day."""

    run: RunHandle
    account: Account
    loss: Loss
    day: dt.date
    settled: bool


class Book:
    """The charges in a state file, to look at."""

    def __init__(self, records: Records) -> None:
        self._records: Final = records

    def spent(self, account: Account, cap: Cap) -> Loss:
        """What an account has lost in the period of a cap, counted as the cap counts: settled and reserved together."""
        with self._records.reading() as db:
            return _spent(db, account, cap)

    def balance(self, account: Account, cap: Cap) -> Balance:
        """How an account stands in the period of a cap, in one look: a run that ends meanwhile is in it once."""
        with self._records.reading() as db:
            found = list(_losses(db, account, cap.since))
        settled, reserved = (
            cap.counted((loss, times) for loss, times, over in found if over is ended) for ended in (True, False)
        )
        return Balance(account, cap, settled, reserved, sum(times for _, times, _ in found))

    def accounts(self) -> tuple[Account, ...]:
        """All accounts that were ever charged."""
        with self._records.reading() as db:
            rows = db.execute("SELECT DISTINCT dataset, unit FROM charges ORDER BY dataset, unit")
            return tuple(Account(*row) for row in rows)

    def charges(self, since: dt.date = dt.date.min) -> tuple[Charge, ...]:
        """All charges from a day on, in the order in which they were reserved."""
        what = "run, dataset, unit, epsilon, delta, rho, day, state"
        text = f"SELECT {what} FROM charges WHERE day >= ? ORDER BY day, rowid"
        with self._records.reading() as db:
            return tuple(
                Charge(
                    RunHandle(run),
                    Account(dataset, unit),
                    Loss(Fraction(epsilon), Fraction(delta), Fraction(rho)),
                    dt.date.fromisoformat(day),
                    state == "settled",
                )
                for run, dataset, unit, epsilon, delta, rho, day, state in db.execute(text, (since.isoformat(),))
            )

    def unsettled(self) -> tuple[RunHandle, ...]:
        """Runs whose reservation was never settled: under way, or ended early."""
        with self._records.reading() as db:
            rows = db.execute("SELECT DISTINCT run FROM charges WHERE state = 'reserved' ORDER BY run")
            return tuple(RunHandle(run) for (run,) in rows)

    def check(
        self,
        charges: Mapping[Account, Loss],
        caps: Mapping[Account, Cap],
        beside: Sequence[Mapping[Account, Loss]] = (),
    ) -> None:
        """Say early that a run cannot be paid for; only ``reserve`` decides. Raises: BudgetError, as it does.

        ``beside``: what other runs, each for itself, are about to be charged.
        """
        with self._records.reading() as db:
            _require(db, charges, caps, beside)

    def fit(self, charges: Mapping[Account, Loss], caps: Mapping[Account, Cap]) -> int | None:
        """How many more runs that cost so much fit into this period; None if they cost nothing."""
        with self._records.reading() as db:
            rooms = [
                fit(_spent(db, account, caps[account]), caps[account].counted([(asked, 1)]), caps[account])
                for account, asked in charges.items()
            ]
        return min((room for room in rooms if room is not None), default=None)


class Ledger(Book):
    """The charges in a party's state file."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._state: Final = state

    def _locked(self) -> AbstractContextManager[sqlite3.Connection]:
        """Between the sum and the entry nobody else writes."""
        return self._state.transaction()

    def reserve(self, run: RunHandle, charges: Mapping[Account, Loss], caps: Mapping[Account, Cap]) -> Reservation:
        """Charge one run to its accounts, all or none. On disk when it returns.

        Raises: BudgetError ``budget.epsilon``, ``budget.delta`` or ``budget.rho`` that shows spent, requested and
                remaining apart; ``budget.no-cap`` for a dataset without a cap, ``budget.charged`` for a run that was
                charged before.
        """
        day = max(self._state.today(), *(cap.since for cap in caps.values())) if caps else self._state.today()
        with self._locked() as db:
            if db.execute("SELECT 1 FROM charges WHERE run = ?", (run,)).fetchone():
                raise BudgetError("budget.charged", run=run)
            _require(db, charges, caps)
            for (dataset, unit), asked in sorted(charges.items()):
                row = (run, dataset, str(asked.epsilon), str(asked.delta), day.isoformat(), unit, str(asked.rho))
                db.execute(
                    "INSERT INTO charges (run, dataset, epsilon, delta, day, state, unit, rho)"
                    " VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?)",
                    row,
                )
            self._state.at(Boundary.BEFORE_RESERVE)
        self._state.at(Boundary.AFTER_RESERVE)
        return Reservation(run, dict(charges))

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


def _require(
    db: sqlite3.Connection,
    charges: Mapping[Account, Loss],
    caps: Mapping[Account, Cap],
    beside: Sequence[Mapping[Account, Loss]] = (),
) -> None:
    for account, asked in sorted(charges.items()):
        if account not in caps:
            raise BudgetError("budget.no-cap", dataset=account.dataset)
        cap = caps[account]
        others = cap.counted((other[account], 1) for other in beside if account in other)
        require(account, _spent(db, account, cap) + others, cap.counted([(asked, 1)]), cap)


def _spent(db: sqlite3.Connection, account: Account, cap: Cap) -> Loss:
    return cap.counted((loss, times) for loss, times, _ in _losses(db, account, cap.since))


def _losses(db: sqlite3.Connection, account: Account, since: dt.date) -> Iterator[tuple[Loss, int, bool]]:
    """What runs were charged, how many of them so much, and whether these are settled.

    Runs of one specification cost the same, so there are few rows to add however many runs there were.
    """
    text = (
        "SELECT epsilon, delta, rho, count(*), state FROM charges WHERE dataset = ? AND unit = ? AND day >= ?"
        " GROUP BY epsilon, delta, rho, state"
    )
    for epsilon, delta, rho, runs, state in db.execute(text, (*account, since.isoformat())).fetchall():
        yield Loss(Fraction(epsilon), Fraction(delta), Fraction(rho)), runs, state == "settled"
