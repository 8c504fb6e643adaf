"""Processes that race for one budget, started together by a barrier in every round.

Run as a script: ``ledger_race.py FILE KIND PROCESSES ROUNDS``. Prints a JSON list: how many got their share, by round.
Every round has a dataset of its own with room for three, in turn under a cap in epsilon and under one in rho. The
mutants, which the test must catch, are the ledger with its lock removed (``unlocked``) and with its lock taken after
the sum (``late``); ``slow`` is the true one there.
"""

import datetime as dt
import json
import multiprocessing
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from multiprocessing.synchronize import Barrier
from pathlib import Path

from pets.check.budget import Loss
from pets.errors import BudgetError
from pets.ids import RunHandle
from pets.party.accounting import Account, Cap
from pets.party.ledger import Ledger
from pets.party.state import State

SHARE = Loss(Fraction(1, 3), Fraction(1, 2**40))
DAY = dt.date(2000, 1, 1)
CAPS = (
    Cap(Loss(Fraction(1), Fraction(1)), DAY),
    Cap(Loss(delta=Fraction(1), rho=Fraction(1, 5)), DAY, told_at=Fraction(1, 2**30)),
)
ROOM = 3


def asked(turn: int) -> tuple[Account, Cap]:
    return Account(f"t{turn}"), CAPS[turn % len(CAPS)]


class Unlocked(Ledger):
    """The mutant: sums and enters without a lock."""

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._state.reading() as db:
            yield _Slow(db)  # type: ignore[misc]


class Late(Ledger):
    """The mutant: sums first, and locks before it enters."""

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._state.reading() as db:
            yield _Slow(db, lock=True)  # type: ignore[misc]
            if db.in_transaction:
                db.execute("COMMIT")


class _Slow:
    """A connection that takes a moment before each write, as a busy disk does; ``lock`` at the first write."""

    def __init__(self, db: sqlite3.Connection, *, lock: bool = False) -> None:
        self._db = db
        self._lock = lock

    def execute(self, text: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        if text.startswith("INSERT"):
            time.sleep(0.001)
            if self._lock and not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(text, values)


class Slow(Ledger):
    """The true ledger on the same slow disk: the delay is not what breaks it."""

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with super()._locked() as db:
            yield _Slow(db)  # type: ignore[misc]


LEDGERS = {"true": Ledger, "slow": Slow, "unlocked": Unlocked, "late": Late}


def race(file: str, kind: str, rounds: int, barrier: Barrier, number: int) -> None:
    with State(Path(file)) as state:
        ledger = LEDGERS[kind](state)
        for turn in range(rounds):
            barrier.wait()
            try:
                account, cap = asked(turn)
                ledger.reserve(RunHandle(f"{turn}-{number}"), {account: SHARE}, {account: cap})
            except BudgetError as error:
                assert error.code == ("budget.rho" if turn % 2 else "budget.epsilon")


def main(file: str, kind: str, processes: int, rounds: int) -> None:
    State(Path(file)).close()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes, timeout=60)
    runners = [context.Process(target=race, args=(file, kind, rounds, barrier, n)) for n in range(processes)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert all(runner.exitcode == 0 for runner in runners)
    with State(Path(file)) as state:
        print(json.dumps([Ledger(state).balance(*asked(turn)).runs for turn in range(rounds)]))


if __name__ == "__main__":
    assert threading.active_count() == 1 and os.name == "posix"
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
