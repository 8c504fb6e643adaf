"""Saying that one takes no part: to whom, how often, of which refusals, and that nothing else happens of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from pets.errors import (
    ApprovalError,
    BudgetError,
    InternalError,
    LinkError,
    PeerError,
    PetsError,
    RunError,
    SourceError,
)
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party import contribute, leaving
from pets.party.leaving import Leaving
from pets.spec.parse import parse_toml
from tests.pooled import CONTROL, pooled_toml

HANDLE = RunHandle("1" * 32)
DIGEST = SpecDigest("2" * 64)
SPEC = parse_toml(pooled_toml(4, 3))
NORTH, SOUTH, WEST = (PartyId(name) for name in ("north", "south", "west"))
BOARD = PartyId("board-1")
ANALYST = PartyId("statistics")


@dataclass
class Offices:
    """Computing parties. ``answers``: how each call ends, by party, the last one from then on; "" is yes."""

    answers: dict[PartyId, list[str]] = field(default_factory=dict)
    asked: Counter[PartyId] = field(default_factory=Counter)
    said: list[tuple[RunHandle, Sequence[PartyId]]] = field(default_factory=list)
    hold: threading.Event | None = None
    backs: list[PartyId] = field(default_factory=list)

    def take_back(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        self.backs.append(peer)
        self.decline(peer, handle, digest)

    def decline(self, peer: PartyId, handle: RunHandle, digest: SpecDigest) -> None:
        assert digest == DIGEST
        self.asked[peer] += 1
        if self.hold is not None:
            self.hold.wait(10)
        answers = self.answers.get(peer, [""])
        code = answers.pop(0) if len(answers) > 1 else answers[0]
        if code.startswith("link."):
            raise LinkError(code, peer=peer, seconds=1, step="a call")
        if code.startswith("run."):
            raise RunError(code, handle=handle)
        if code:
            raise PeerError(code, peer=peer)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(leaving, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(contribute, "MINUTE_S", 1.0)


@pytest.fixture
def offices() -> Offices:
    return Offices()


@pytest.fixture
def leaves(offices: Offices) -> Iterator[Leaving]:
    made = Leaving(offices, lambda handle, told, missed, back: offices.said.append((handle, told)))
    yield made
    made.close(5.0)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_all_who_take_uploads_are_told_once(offices: Offices, leaves: Leaving) -> None:
    leaves.decline(SPEC, HANDLE, DIGEST)
    until(lambda: bool(offices.said))
    assert offices.said == [(HANDLE, [NORTH, SOUTH, WEST])]
    assert offices.asked == {NORTH: 1, SOUTH: 1, WEST: 1}


def test_an_upload_is_taken_back_from_all_who_take_uploads(offices: Offices, leaves: Leaving) -> None:
    leaves.take_back(SPEC, HANDLE, DIGEST)
    until(lambda: bool(offices.said))
    assert sorted(offices.backs) == [NORTH, SOUTH, WEST] and offices.said == [(HANDLE, [NORTH, SOUTH, WEST])]


def test_the_console_says_whether_an_upload_is_back() -> None:
    assert "not in run" in leaving.line(HANDLE, [NORTH], [SOUTH], back=False)
    assert "say that they have taken its upload off" in leaving.line(HANDLE, [NORTH, SOUTH], [], back=True)
    some = leaving.line(HANDLE, [NORTH], [SOUTH], back=True)
    assert "unless it goes on without north" in some and "south did not" in some
    assert "still in run" in leaving.line(HANDLE, [], [NORTH, SOUTH], back=True)


def test_the_third_under_disclosure_control_takes_none_and_is_not_told(offices: Offices, leaves: Leaving) -> None:
    spec = parse_toml(pooled_toml(4, 3, sql="SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward", protection=CONTROL))
    leaves.decline(spec, HANDLE, DIGEST)
    until(lambda: bool(offices.said))
    assert set(offices.asked) == {NORTH, SOUTH}


def test_who_is_away_is_told_later_and_who_refuses_is_not_asked_again(offices: Offices, leaves: Leaving) -> None:
    offices.answers = {
        NORTH: ["link.unreachable", "run.unknown", "peer.upload-twice", ""],
        SOUTH: ["peer.uploaded"],
        WEST: ["peer.upload-late"],
    }
    leaves.decline(SPEC, HANDLE, DIGEST)
    until(lambda: bool(offices.said))
    assert offices.said == [(HANDLE, [NORTH])]
    assert offices.asked == {NORTH: 4, SOUTH: 1, WEST: 1}


def test_a_run_that_stays_unknown_and_a_peer_that_stays_away_are_left_alone_in_the_end(
    offices: Offices, leaves: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "UNKNOWN_S", 0.1)
    monkeypatch.setattr(contribute, "MINUTE_S", 0.3 / 60)
    offices.answers = {NORTH: ["run.unknown"], SOUTH: ["link.unreachable"]}
    leaves.decline(SPEC, HANDLE, DIGEST)
    until(lambda: bool(offices.said))
    assert offices.said == [(HANDLE, [WEST])]
    assert 1 < offices.asked[NORTH] < offices.asked[SOUTH]


def test_who_starts_runs_at_will_is_not_echoed_at_will(
    offices: Offices, leaves: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "MOST", 3)
    offices.hold = threading.Event()
    for number in range(10):
        leaves.decline(SPEC, RunHandle(f"{number:032x}"), DIGEST)
    leaves.decline(SPEC, RunHandle(f"{0:032x}"), DIGEST)
    until(lambda: offices.asked[NORTH] == 3)
    offices.hold.set()
    until(lambda: len(offices.said) == 3)
    assert offices.asked == {NORTH: 3, SOUTH: 3, WEST: 3}
    leaves.decline(SPEC, HANDLE, DIGEST)
    until(lambda: len(offices.said) == 4)


def test_declines_keep_no_upload_from_coming_back(
    offices: Offices, leaves: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "MOST", 1)
    offices.hold = threading.Event()
    leaves.decline(SPEC, RunHandle(f"{0:032x}"), DIGEST)
    until(lambda: offices.asked[NORTH] == 1)
    leaves.take_back(SPEC, HANDLE, DIGEST)
    leaves.decline(SPEC, RunHandle(f"{1:032x}"), DIGEST)
    until(lambda: offices.backs == [NORTH])
    offices.hold.set()
    until(lambda: len(offices.said) == 2)
    assert offices.backs == [NORTH, SOUTH, WEST]


def test_a_server_that_shuts_down_tries_nobody_again(offices: Offices) -> None:
    made = Leaving(offices, lambda handle, told, missed, back: offices.said.append((handle, told)))
    offices.answers = {NORTH: ["link.unreachable"]}
    made.decline(SPEC, HANDLE, DIGEST)
    until(lambda: offices.asked[NORTH] > 1)
    made.close(5.0)
    assert offices.said == [(HANDLE, [SOUTH, WEST])]
    made.decline(SPEC, RunHandle("3" * 32), DIGEST)
    assert len(offices.said) == 1


def test_who_comes_back_after_the_server_has_closed_says_nothing(offices: Offices) -> None:
    offices.hold = threading.Event()
    made = Leaving(offices, lambda handle, told, missed, back: offices.said.append((handle, told)))
    made.decline(SPEC, HANDLE, DIGEST)
    until(lambda: offices.asked[NORTH] == 1)
    thread = next(iter(made._going.values()))
    made.close(0.0)
    offices.hold.set()
    thread.join(5)
    assert not thread.is_alive() and offices.said == []


@pytest.mark.parametrize(
    "error",
    [
        ApprovalError("approval.too-few", party=BOARD, have=0, need=1),
        BudgetError("budget.runs", digest=DIGEST, used=1, most=1),
        SourceError("source.not-ready", party=BOARD),
        RunError("run.no-spec", digest=DIGEST),
        InternalError("internal.bug", where="here"),
    ],
    ids=lambda error: error.code,
)
def test_what_a_holder_refuses_it_declines(error: PetsError) -> None:
    assert leaving.refused(SPEC, BOARD, ANALYST, error)
    assert not leaving.refused(SPEC, BOARD, PartyId("board-2"), error), "who is not to start it decides nothing"
    assert not leaving.refused(SPEC, NORTH, ANALYST, error), "who computes has nothing to upload"
    assert leaving.ended(BOARD, error)


@pytest.mark.parametrize("code", ["run.busy", "run.handle-used", "run.not-yours"])
def test_a_refusal_that_decides_nothing_is_not_declined(code: str) -> None:
    error = RunError(code, party=BOARD, handle=HANDLE)
    assert not leaving.refused(SPEC, BOARD, ANALYST, error)
    assert not leaving.refused(SPEC, BOARD, ANALYST, LinkError("link.busy"))


def test_what_others_have_ended_is_not_declined() -> None:
    assert leaving.ended(BOARD, RunError("run.stopped", by=BOARD))
    assert not leaving.ended(BOARD, RunError("run.stopped", by=ANALYST))
    assert not leaving.ended(BOARD, PeerError("peer.aborted", peer=NORTH, reason="run.quorum"))
    assert not leaving.ended(BOARD, PeerError("peer.upload-late", peer=BOARD))
