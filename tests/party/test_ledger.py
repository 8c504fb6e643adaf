"""The ledger: a plain list as its model, races between processes, exact sums."""

import datetime as dt
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.check.budget import Loss
from pets.errors import BudgetError
from pets.ids import RunHandle
from pets.party.accounting import Account, Cap
from pets.party.ledger import Book, Ledger
from pets.party.records import Reader
from pets.party.state import State
from tests.party.ledger_race import ROOM

ROOT = Path(__file__).parents[2]
EVER = dt.date(2000, 1, 1)
T = Account("t")
ALL = Cap(Loss(), EVER)


def loss(epsilon: str, delta: str = "0") -> Loss:
    return Loss(Fraction(epsilon), Fraction(delta))


def cap(epsilon: str, delta: str = "1", since: dt.date = EVER) -> Cap:
    return Cap(loss(epsilon, delta), since)


def concentrated(rho: str, delta: str = "1/2") -> Cap:
    return Cap(Loss(delta=Fraction(delta), rho=Fraction(rho)), dt.date.min, None, Fraction(1, 2**30))


def refused(ledger: Ledger, run: str, charges: dict[Account, Loss], caps: dict[Account, Cap]) -> BudgetError:
    with pytest.raises(BudgetError) as caught:
        ledger.reserve(RunHandle(run), charges, caps)
    return caught.value


def raced(path: Path, kind: str, processes: int, rounds: int) -> list[int]:
    command = [sys.executable, "-m", "tests.party.ledger_race", str(path), kind, str(processes), str(rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    taken: list[int] = json.loads(done.stdout)
    return taken


def test_many_processes_never_spend_one_remainder_twice(tmp_path: Path) -> None:
    assert raced(tmp_path / "state.db", "true", 24, 8) == [ROOM] * 8


@pytest.mark.parametrize("mutant", ["unlocked", "late"])
def test_the_race_catches_a_ledger_whose_lock_is_removed_or_taken_too_late(tmp_path: Path, mutant: str) -> None:
    """The mutant overspends on a disk on which the true ledger does not."""
    assert max(raced(tmp_path / "mutant.db", mutant, 8, 10)) > ROOM
    assert raced(tmp_path / "true.db", "slow", 8, 10) == [ROOM] * 10


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_processes_never_spend_one_remainder_twice_in_a_thousand_rounds(tmp_path: Path) -> None:
    assert raced(tmp_path / "state.db", "true", 24, 1000) == [ROOM] * 1000


def test_what_is_reserved_counts_as_spent_and_settling_gives_nothing_back() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        ledger.reserve(RunHandle("r1"), {T: loss("1/3", "1/8")}, {T: cap("1")})
        assert ledger.spent(T, ALL) == loss("1/3", "1/8") and ledger.unsettled() == ("r1",)
        ledger.settle(RunHandle("r1"))
        assert ledger.spent(T, ALL) == loss("1/3", "1/8") and ledger.unsettled() == ()


def test_a_run_that_is_settled_while_somebody_looks_is_in_the_balance_once(tmp_path: Path) -> None:
    """Who looks has a connection of its own, as ``pets ledger`` has: after each statement it sees what is new."""
    with State(tmp_path / "state.db") as state, Reader(tmp_path / "state.db") as reader:
        ledger = Ledger(state)
        ledger.reserve(RunHandle("r1"), {T: loss("1/3")}, {T: cap("1")})
        meanwhile = iter([lambda: ledger.settle(RunHandle("r1"))])

        class Slow:
            def execute(self, *asked: Any) -> sqlite3.Cursor:
                found = db.execute(*asked)
                next(meanwhile, lambda: None)()
                return found

        class Looking:
            @contextmanager
            def reading(self) -> Iterator[sqlite3.Connection]:
                yield cast("sqlite3.Connection", Slow())

        with reader.reading() as db:
            found = Book(Looking()).balance(T, cap("1"))
        assert found.settled + found.reserved == loss("1/3") and found.runs == 1


def test_the_cap_itself_can_be_spent_and_not_a_hair_more() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        for run in range(3):
            ledger.reserve(RunHandle(f"r{run}"), {T: loss("1/3")}, {T: cap("1")})
        error = refused(ledger, "r4", {T: loss("1/1000000000000")}, {T: cap("1")})
        assert (error.code, ledger.spent(T, ALL)) == ("budget.epsilon", loss("1"))


def test_the_refusal_shows_spent_requested_and_remaining_apart() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        limit = replace(cap("2", "1/8", dt.date(2027, 1, 1)), returns=dt.date(2028, 1, 1))
        ledger.reserve(RunHandle("r1"), {T: Loss(Fraction(3, 2), Fraction(1, 2**40))}, {T: limit})
        for asked, code, text, hint in (
            (
                loss("0.75"),
                "budget.epsilon",
                "t, per person: epsilon spent 1.5, requested 0.75, remaining 0.5 of 2, since 2027-01-01",
                "ask for less, or wait for 2028-01-01, when the next period begins",
            ),
            (
                loss("0.5", "1/8"),
                "budget.delta",
                "t, per person: delta spent 2^-40, requested 0.125, remaining 0.124999 of 0.125, since 2027-01-01",
                "ask for less, or wait for 2028-01-01, when the next period begins",
            ),
            (
                Loss(rho=Fraction(1, 100)),
                "budget.rho",
                "t, per person: rho spent 0, requested 0.01, remaining 0 of 0, since 2027-01-01",
                "let the holder state its cap as rho (max_rho_per_dataset): an epsilon has no room for a charge of rho",
            ),
            (
                loss("3"),
                "budget.epsilon",
                "t, per person: epsilon spent 1.5, requested 3, remaining 0.5 of 2, since 2027-01-01",
                "ask for less: no period has room for it",
            ),
        ):
            error = refused(ledger, "r2", {T: asked}, {T: limit})
            assert (error.code, error.text, error.hint) == (code, f"{code}: {text}", hint)


def test_a_cap_without_a_period_says_that_nothing_returns() -> None:
    with State(":memory:") as state:
        ledger, limit = Ledger(state), cap("2", since=dt.date.min)
        ledger.reserve(RunHandle("r1"), {T: loss("1.5")}, {T: limit})
        error = refused(ledger, "r2", {T: loss("1")}, {T: limit})
        assert error.text == "budget.epsilon: t, per person: epsilon spent 1.5, requested 1, remaining 0.5 of 2"
        assert error.hint == "ask for less: the cap has no period, so what was spent does not return"


def test_a_cap_in_rho_shows_spent_requested_and_remaining_in_rho() -> None:
    """A pure epsilon of 1/2 is a rho of 1/8; what is left is rounded down, and what was spent up."""
    with State(":memory:") as state:
        ledger, limit = Ledger(state), concentrated("1/5")
        ledger.reserve(RunHandle("r1"), {T: Loss(Fraction(1, 2), rho=Fraction(1, 1000))}, {T: limit})
        error = refused(ledger, "r2", {T: loss("0.4")}, {T: limit})
        assert error.text == "budget.rho: t, per person: rho spent 0.126, requested 0.0800001, remaining 0.074 of 0.2"


def test_one_dataset_has_an_account_for_each_privacy_unit() -> None:
    household, limit = Account("t", "household"), cap("1")
    with State(":memory:") as state:
        ledger = Ledger(state)
        ledger.reserve(RunHandle("r1"), {T: loss("1")}, {T: limit})
        ledger.reserve(RunHandle("r2"), {household: loss("3/4")}, {household: limit})
        assert ledger.accounts() == (household, T)
        assert (ledger.spent(T, ALL), ledger.spent(household, ALL)) == (loss("1"), loss("3/4"))
        assert refused(ledger, "r3", {household: loss("1/2")}, {household: limit}).fields["unit"] == "household"


def test_a_lowered_cap_leaves_nothing_and_never_less() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        ledger.reserve(RunHandle("r1"), {T: loss("2")}, {T: cap("2")})
        assert "remaining 0 of 1" in refused(ledger, "r2", {T: loss("1")}, {T: cap("1")}).text


def test_all_datasets_are_charged_or_none() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        caps = {Account("a"): cap("5"), Account("b"): cap("1"), Account("c"): cap("5")}
        charges = dict.fromkeys(caps, loss("2"))
        assert refused(ledger, "r1", charges, caps).fields["dataset"] == "b"
        assert [ledger.spent(Account(name), ALL) for name in "abc"] == [Loss()] * 3


def test_no_cap_means_no() -> None:
    with State(":memory:") as state:
        assert refused(Ledger(state), "r1", {T: loss("0")}, {}).code == "budget.no-cap"


def test_a_run_is_charged_once_and_settled_once() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        ledger.reserve(RunHandle("r1"), {T: loss("1")}, {T: cap("9")})
        assert refused(ledger, "r1", {T: loss("1")}, {T: cap("9")}).code == "budget.charged"
        ledger.settle(RunHandle("r1"))
        for run in ("r1", "r2"):
            with pytest.raises(BudgetError) as caught:
                ledger.settle(RunHandle(run))
            assert caught.value.code == "budget.no-reservation"


def test_spend_before_the_period_does_not_count_in_it() -> None:
    today = dt.date(2027, 12, 31)
    with State(":memory:", clock=lambda: dt.datetime.combine(today, dt.time(23, 59), dt.UTC)) as state:
        ledger = Ledger(state)
        ledger.reserve(RunHandle("r1"), {T: loss("1")}, {T: cap("1", since=dt.date(2027, 1, 1))})
        assert refused(ledger, "r2", {T: loss("1")}, {T: cap("1", since=dt.date(2027, 12, 31))})
        today = dt.date(2028, 1, 1)
        ledger.reserve(RunHandle("r2"), {T: loss("1")}, {T: cap("1", since=dt.date(2028, 1, 1))})
        assert (ledger.spent(T, ALL), ledger.spent(T, Cap(loss("1"), today))) == (loss("2"), loss("1"))


def test_an_early_check_says_what_reserving_would_and_spends_nothing() -> None:
    with State(":memory:") as state:
        ledger = Ledger(state)
        ledger.check({T: loss("1")}, {T: cap("1")})
        assert ledger.spent(T, ALL) == Loss()
        for charges, caps, code in (
            ({T: loss("2")}, {T: cap("1")}, "budget.epsilon"),
            ({T: loss("1", "1")}, {T: cap("1", "1/2")}, "budget.delta"),
            ({T: loss("1")}, {}, "budget.no-cap"),
        ):
            with pytest.raises(BudgetError) as caught:
                ledger.check(charges, caps)
            assert caught.value.code == code


def test_what_one_connection_reserved_another_one_sees(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with State(path) as one, State(path) as two:
        Ledger(one).reserve(RunHandle("r1"), {T: loss("1")}, {T: cap("1")})
        assert refused(Ledger(two), "r2", {T: loss("1")}, {T: cap("1")}).code == "budget.epsilon"


quantities = st.fractions(min_value=0, max_value=3, max_denominator=50)
steps = st.lists(st.tuples(st.sampled_from("ab"), quantities, quantities, st.booleans()), max_size=30)


@settings(max_examples=60, deadline=None)
@given(steps, quantities, quantities)
def test_against_a_plain_list(
    asked: list[tuple[str, Fraction, Fraction, bool]], epsilon: Fraction, delta: Fraction
) -> None:
    """The model: a list of what was accepted. The order of the sums does not matter, fractions are exact."""
    model: list[tuple[str, Fraction, Fraction]] = []
    with State(":memory:") as state:
        ledger = Ledger(state)
        limit = Cap(Loss(epsilon, delta), EVER)
        for number, (name, e, d, settle) in enumerate(asked):
            fits = (
                sum((x for n, x, _ in model if n == name), e) <= epsilon
                and sum((y for n, _, y in model if n == name), d) <= delta
            )
            try:
                ledger.reserve(RunHandle(f"r{number}"), {Account(name): Loss(e, d)}, {Account(name): limit})
            except BudgetError:
                assert not fits
                continue
            assert fits
            model.append((name, e, d))
            if settle:
                ledger.settle(RunHandle(f"r{number}"))
        for name in "ab":
            expected = Loss(
                sum((x for n, x, _ in model if n == name), Fraction(0)),
                sum((y for n, _, y in model if n == name), Fraction(0)),
            )
            assert ledger.spent(Account(name), ALL) == expected
