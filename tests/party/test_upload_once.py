"""One upload for each run and holder, ever, and no less on record than what has left: killed, restarted, replayed."""

import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pets.check.budget import Loss
from pets.errors import BudgetError, PetsError
from pets.ids import PartyId, RunHandle
from pets.party import contribute, holder
from pets.party.accounting import Account, Cap
from pets.party.history import History
from pets.party.ledger import Ledger
from pets.party.state import Boundary, RunState, State
from pets.transport.calls import StartRequest
from tests.party.pool_world import PoolWorld, parts, toml_of
from tests.party.upload_child import LEFT

ROOT = Path(__file__).parents[2]
ONE = PartyId("board-2")


def stopped(folder: Path) -> list[tuple[Path, str, bool]]:
    command = [sys.executable, "-m", "tests.party.upload_child", str(folder), ONE, "1", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [(folder / place, boundary, killed) for place, boundary, killed in json.loads(done.stdout)]


def recorded_what_left(folder: Path) -> set[str]:
    """Kill a holder at durable steps of a run; after each, it has charged and counted what may have left it."""
    seen, left, kept = set(), 0, 0
    for place, boundary, killed in stopped(folder):
        assert killed, (place, boundary)
        seen.add(boundary)
        gone = any(place.glob(f"{LEFT}-*"))
        left += gone
        with State(place / f"{ONE}.sqlite") as state:
            spent = Ledger(state).spent(Account("visits"), Cap(Loss(), dt.date.min)).epsilon
            (stored,) = state.specs()
            used = state.runs_used(stored.digest)
            assert spent in (0, Fraction(4))
            kept += not gone and not spent
            if gone:
                assert (spent, used) == (4, 1), (place, boundary)
                assert len(History(state).entries()) == 1
            for run in state.recover():
                assert state.run(run.handle).state is RunState.ABORTED, "a restart resumes nothing"
    assert left and kept, "some were killed before a part had left, and some after"
    return seen


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_at_every_step_a_holder_has_recorded_no_less_than_has_left_it(tmp_path: Path) -> None:
    seen = recorded_what_left(tmp_path)
    assert seen >= {
        Boundary.RUN_COUNT_RAISED,
        Boundary.RUN_COUNT_FLUSHED,
        Boundary.BEFORE_RESERVE,
        Boundary.AFTER_RESERVE,
        Boundary.BEFORE_RELEASE_NOTED,
        Boundary.AFTER_RELEASE_NOTED,
        Boundary.LOG_FLUSHED,
        Boundary.BEFORE_SETTLE,
        Boundary.AFTER_SETTLE,
    }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(contribute, "MINUTE_S", 1.0)
    monkeypatch.setattr(holder, "FIRST_PAUSE_S", 0.01)
    made = PoolWorld(tmp_path / "world", toml_of(3, 2, minimum=2), parts(3, rows=8), durable=True)
    made.prepared()
    yield made
    made.close()


def test_a_run_id_is_uploaded_for_once_also_after_a_restart_and_under_another_handle(world: PoolWorld) -> None:
    """Whoever replays what computing parties announced gets no second vector: its difference would be the seeds'."""
    said: dict[PartyId, bytes] = {}
    started: list[StartRequest] = []
    client = world.client()
    real = client.servers[ONE]

    class Noting:
        def __getattr__(self, name: str) -> Any:
            def start(request: StartRequest) -> bytes:
                started.append(request)
                return real.start(request)

            return start if name == "start" else getattr(real, name)

    def notes(sender: PartyId, to: PartyId) -> None:
        if sender == ONE:
            try:
                said[to] = world.nodes[to].announcement(world.caller(ONE), started[0].handle)
            except PetsError:
                return

    client.servers[ONE] = Noting()  # type: ignore[assignment]
    world.hooks.announcement = notes
    client.run(world.toml)
    world.hooks.announcement = lambda sender, to: None
    assert set(said) == set(world.spec.computing) and world.ends(ONE) == ["sent"]
    world.nodes[ONE].close()
    node = world.open(ONE)
    left: list[bytes] = []
    world.hooks.upload = lambda sender, to, part: left.append(part) or part
    for party in world.spec.computing:
        world.nodes[party].announcement = lambda caller, handle, party=party: said[party]  # type: ignore[method-assign]
    caller = world.caller(world.asks)
    with pytest.raises(PetsError, match=r"run\.handle-used"):
        node.start(caller, started[0])
    again = replace(started[0], handle=RunHandle(os.urandom(16).hex()))
    node.start(caller, again)
    world.settle()
    assert world.ends(ONE) == ["sent", "run.handle-used", "run.reused"]
    assert left == [] and world.spent(ONE, "visits") == "4"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_holder_killed_after_its_upload_counts_and_its_receipt_is_missing(world: PoolWorld) -> None:
    """Its process ends between the last part and its own journal: the table has its numbers all the same."""

    def dies(party: PartyId, boundary: Boundary) -> None:
        if party == ONE and boundary is Boundary.BEFORE_SETTLE:
            raise SystemExit

    world.hooks.at = dies
    found = world.run(world.toml)
    world.hooks.at = lambda party, boundary: None
    told = found.participation
    assert told is not None and ONE in told.counted and ONE not in found.receipts
    assert world.spent(ONE, "visits") == "4"
    world.nodes[ONE].close()
    world.open(ONE)
    assert world.ends(ONE) == ["run.crashed"]


def test_runs_are_counted_at_a_holder_too(world: PoolWorld) -> None:
    for _ in range(3):
        world.run(world.toml)
    assert world.spent(ONE, "visits") == "12"
    with pytest.raises(BudgetError, match=r"budget\.runs"):
        world.run(world.toml)
