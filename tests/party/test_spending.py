"""Budgets of a deployment: caps by period and by kind, and what a refusal tells the one who asked."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import pytest

from pets.check.budget import Loss
from pets.errors import BudgetError, LeakError
from pets.ids import PartyId
from pets.party.accounting import Account, Cap, cap_of
from pets.party.ledger import Ledger
from pets.party.state import Boundary, State
from pets.transport.memory import Passing
from tests.party.release_child import RELEASED
from tests.party.world import BOARD, COUNCIL, FINAL, HELPER, World, altered

Make = Callable[..., World]
ROOT = Path(__file__).parents[2]
STAYS = Account("stays")
IN_RHO = {"max_epsilon_per_dataset": None, "rho_at_delta": "2^-30"}


def at(year: int, month: int, day: int, hour: int, minute: int = 0, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    return dt.datetime(year, month, day, hour, minute, tzinfo=zone)


@pytest.mark.parametrize(
    ("period", "last", "first"),
    [
        ("day", at(2027, 2, 10, 23, 59), at(2027, 2, 11, 0)),
        ("month", at(2027, 2, 28, 23, 59), at(2027, 3, 1, 0)),
        ("quarter", at(2027, 6, 30, 23, 59), at(2027, 7, 1, 0)),
        ("year", at(2026, 12, 31, 23, 59), at(2027, 1, 1, 0)),
    ],
)
def test_budget_returns_with_the_first_minute_of_a_period_and_not_before(
    make_world: Make, period: str, last: dt.datetime, first: dt.datetime
) -> None:
    """Each run costs 1.5 and the cap is 1.5: one in each period, however close they are."""
    world = make_world(cap="1.5", limits={"period": period})
    world.now = last
    world.ready()
    world.run()
    with pytest.raises(BudgetError) as caught:
        world.run()
    assert caught.value.code == "budget.epsilon" and first.date().isoformat() in caught.value.hint
    world.now = first
    world.run()
    with pytest.raises(BudgetError, match=f"since {first.date()}"):
        world.run()


def test_without_a_period_nothing_returns(make_world: Make) -> None:
    world = make_world(cap="1.5", limits={"period": "none"})
    world.ready()
    world.run()
    world.now = at(2027, 10, 31, 12)
    with pytest.raises(BudgetError) as caught:
        world.run()
    assert caught.value.hint == "ask for less: the cap has no period, so what was spent does not return"


def test_days_are_those_of_utc_wherever_the_clock_stands(make_world: Make) -> None:
    """At half past midnight in British summer it is still the evening before."""
    world = make_world(cap="1.5", limits={"period": "month"})
    world.ready()
    world.now = at(2027, 6, 30, 12)
    world.run()
    world.now = at(2027, 7, 1, 0, 30, dt.timezone(dt.timedelta(hours=1)))
    with pytest.raises(BudgetError, match="since 2027-06-01"):
        world.run()
    world.now = at(2027, 7, 1, 1, 0, dt.timezone(dt.timedelta(hours=1)))
    world.run()


def test_a_clock_that_is_put_back_frees_nothing(make_world: Make) -> None:
    world = make_world(cap="1.5", limits={"period": "month"})
    world.ready()
    world.now = at(2027, 3, 1, 9)
    world.run()
    world.now = at(2027, 2, 28, 9)
    with pytest.raises(BudgetError, match="since 2027-02-01"):
        world.run()


def test_a_run_that_ends_in_the_next_period_stays_in_the_one_in_which_it_was_reserved(make_world: Make) -> None:
    world = make_world(cap="1.5", limits={"period": "month"})
    world.ready()
    world.now = at(2027, 2, 28, 23, 59)

    def midnight(passing: Passing) -> Iterable[bytes]:
        if passing.head.slot.message in FINAL:  # all have reserved by then
            world.now = at(2027, 3, 1, 0, 1)
        return (passing.data,)

    world.hooks.taps.append(midnight)
    world.run()
    ledger, limits = Ledger(world.states[BOARD]), world.policy(BOARD).limits
    february, march = (cap_of(limits, day) for day in (dt.date(2027, 2, 28), dt.date(2027, 3, 1)))
    assert ledger.spent(STAYS, march) == Loss() and ledger.spent(STAYS, february).epsilon == Fraction(3, 2)
    world.hooks.taps.clear()
    world.run()


def test_a_cap_in_rho_counts_pure_runs_as_rho_and_refuses_the_one_that_is_too_much(make_world: Make) -> None:
    """A run costs epsilon 1.5, which is rho 1.125."""
    world = make_world(limits=IN_RHO | {"max_rho_per_dataset": "2.5"})
    world.ready()
    world.run()
    world.run()
    with pytest.raises(BudgetError) as caught:
        world.run()
    assert caught.value.text == (
        "budget.rho: homes, per person: rho spent 2.25, requested 1.125, remaining 0.25 of 2.5, since 2027-01-01"
    ).replace("homes", str(caught.value.fields["dataset"]))
    ledger = Ledger(world.states[BOARD])
    assert ledger.spent(STAYS, cap_of(world.policy(BOARD).limits, world.now.date())).rho == Fraction(9, 4)
    assert {charge.loss.epsilon for charge in ledger.charges()} == {Fraction(3, 2)}, "kept as they were proven"


GAUSSIAN = ('epsilon = "1"', 'mechanism = "discrete gaussian"\nrho = "0.5"')


def test_a_run_with_gaussian_noise_is_charged_in_rho_and_its_helper_s_count_in_epsilon(make_world: Make) -> None:
    """A run costs rho 0.5, and epsilon 0.5 for the count, which is rho 0.125: two runs are 1.25."""
    world = make_world(limits=IN_RHO | {"max_rho_per_dataset": "1.25", "max_rho_per_run": "0.5"})
    toml = altered(GAUSSIAN)
    world.ready(toml)
    for _ in range(2):
        result = world.run(toml)
    assert "rho 0.5 a run" in result.note()
    with pytest.raises(BudgetError) as caught:
        world.run(toml)
    assert caught.value.code == "budget.rho"
    ledger = Ledger(world.states[BOARD])
    assert ledger.spent(STAYS, cap_of(world.policy(BOARD).limits, world.now.date())).rho == Fraction(5, 4)
    assert {charge.loss for charge in ledger.charges()} == {Loss(Fraction(1, 2), Fraction(1, 2**40), Fraction(1, 2))}, (
        "kept as they were proven"
    )


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({}, "no max_rho_per_run"),
        ({"max_rho_per_run": "1"}, "cap is in epsilon, which has no room for it"),
        (IN_RHO | {"max_rho_per_dataset": "2"}, "no max_rho_per_run"),
        (IN_RHO | {"max_rho_per_dataset": "2", "max_rho_per_run": "0.4"}, r"costs rho 0\.5, board allows 0\.4"),
        (IN_RHO | {"max_rho_per_dataset": "0.6", "max_rho_per_run": "1"}, r"rho 0\.625, a year allows 0\.6"),
    ],
)
def test_a_policy_that_does_not_say_rho_refuses_gaussian_noise(
    make_world: Make, limits: dict[str, str | None], problem: str
) -> None:
    world = make_world(limits=limits)
    with pytest.raises(LeakError, match=problem):
        world.submit(altered(GAUSSIAN))


def test_a_cap_in_rho_takes_both_kinds_of_noise_together(make_world: Make) -> None:
    """Epsilon 1.5 is rho 1.125; with 0.625 of a run with Gaussian noise that is 1.75 of 2."""
    world = make_world(limits=IN_RHO | {"max_rho_per_dataset": "2", "max_rho_per_run": "1"})
    toml = altered(GAUSSIAN)
    world.ready()
    world.run()
    world.ready(toml)
    world.run(toml)
    with pytest.raises(BudgetError, match=r"rho spent 1\.75, requested 0\.625, remaining 0\.25 of 2"):
        world.run(toml)


def test_a_specification_whose_one_run_is_above_a_cap_in_rho_is_not_kept(make_world: Make) -> None:
    world = make_world(limits=IN_RHO | {"max_rho_per_dataset": "1"})
    with pytest.raises(LeakError, match=r"rho 1\.125, a year allows 1"):
        world.submit()


def test_a_stricter_cap_in_the_other_kind_counts_all_that_was_spent_before(make_world: Make) -> None:
    """A holder that turns from epsilon to rho loses no charge by it."""
    world = make_world(durable=True, cap="100")
    world.ready()
    world.run()
    world.nodes[BOARD].close()
    world.limits = IN_RHO | {"max_rho_per_dataset": "2"}
    world.open(BOARD)
    with pytest.raises(BudgetError, match=r"rho spent 1\.125, requested 1\.125, remaining 0\.875 of 2"):
        world.run()


def stopped(folder: Path, party: PartyId, *, every: int, first: int) -> list[tuple[Path, str, bool]]:
    command = [sys.executable, "-m", "tests.party.release_child", str(folder), party, str(every), str(first)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [(folder / place, boundary, killed) for place, boundary, killed in json.loads(done.stdout)]


def recorded_what_was_released(folder: Path, party: PartyId, *, every: int, first: int = 0) -> set[str]:
    """Kill a run at steps of one party; after each, whoever holds records has charged what may have been released."""
    seen, released = set(), 0
    for place, boundary, killed in stopped(folder, party, every=every, first=first):
        assert killed, (place, boundary)
        seen.add(boundary)
        opened = any(place.glob(f"{RELEASED}-*"))
        released += opened
        for holder, dataset in ((BOARD, "stays"), (COUNCIL, "homes")):
            with State(place / f"{holder}.sqlite") as state:
                spent = Ledger(state).spent(Account(dataset), Cap(Loss(), dt.date.min))
                (stored,) = state.specs()
                assert spent.epsilon in (0, Fraction(3, 2))
                if opened:
                    assert (spent.epsilon, state.runs_used(stored.digest)) == (Fraction(3, 2), 1), (place, boundary)
    assert released, "some were killed after a share had left"
    return seen


def test_killed_at_steps_of_a_run_no_party_has_recorded_less_than_was_released(tmp_path: Path) -> None:
    recorded_what_was_released(tmp_path, BOARD, every=6, first=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("party", [BOARD, COUNCIL, HELPER])
def test_killed_at_every_step_of_a_run_no_party_has_recorded_less_than_was_released(
    tmp_path: Path, party: PartyId
) -> None:
    seen = recorded_what_was_released(tmp_path, party, every=1)
    budget = {Boundary.BEFORE_RESERVE, Boundary.AFTER_RESERVE, Boundary.BEFORE_SETTLE, Boundary.AFTER_SETTLE}
    assert seen >= {Boundary.RUN_COUNT_RAISED, Boundary.RUN_COUNT_FLUSHED, Boundary.LOG_FLUSHED}
    assert (seen >= budget) == (party != HELPER)
