"""Runs of sums over one table at computing parties, with holders that a test plays by hand."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import PeerError, PetsError, RunError
from pets.ids import PartyId, RunHandle
from pets.kernels import noise
from pets.kernels.sealed import SpoiltError
from pets.party import contribute, pooling, uploads
from pets.party.pooling import PoolPlay, PoolSession
from pets.protocols import inbox
from pets.protocols.base import Send
from pets.transport import frame
from tests.party.by_hand import HandRun, announced, sealed
from tests.party.pool_world import PoolWorld, parts, toml_of
from tests.party.world import ANALYST, STRANGER, reviewed_of

SQL = "SELECT ward, COUNT(*) AS n FROM visits GROUP BY ward"
SURE = """[release.differential_privacy]
epsilon = "100"
neighbours = "one person's rows added or removed"
"""
"""Of one count: noise that is not 0 with a chance below 2^-140 a cell."""

ONE, TWO, THREE = (PartyId(f"board-{number}") for number in (1, 2, 3))
NORTH, SOUTH = PartyId("north"), PartyId("south")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute of uploads is 20 seconds, and a test that waits for its end makes it shorter."""
    monkeypatch.setattr(contribute, "MINUTE_S", 20.0)


def short(monkeypatch: pytest.MonkeyPatch, seconds: float = 1.0) -> None:
    monkeypatch.setattr(contribute, "MINUTE_S", seconds)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., PoolWorld]]:
    """Worlds by their specification: runs of one do not know of each other."""
    made: list[PoolWorld] = []
    known: dict[str, PoolWorld] = {}

    def of(toml: str, holders: int, options: Any) -> PoolWorld:
        if options is None and toml in known:
            return known[toml]
        folder = tmp_path_factory.mktemp("pooling") / "world"
        made.append(PoolWorld(folder, toml, parts(holders), **(options or {})))
        made[-1].prepared()
        if options is None:
            known[toml] = made[-1]
        return made[-1]

    yield of
    for world in made:
        world.close()


@pytest.fixture
def make(worlds: Callable[..., PoolWorld]) -> Callable[..., HandRun]:
    """Start a run. ``options``: of a world of its own, which is not used again."""

    def of(holders: int = 3, computing: int = 2, *, options: Any = None, **spec: Any) -> HandRun:
        toml = toml_of(holders, computing, sql=SQL, **{"protection": SURE, "minimum": 2, "runs": 50} | spec)
        world = worlds(toml, holders, options)
        return HandRun(world, reviewed_of(toml))

    return of


def vector(run: HandRun, *numbers: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A holder's vector of these counts; the level that nobody has is 0."""
    plan = run.reviewed.plan
    cells = np.zeros(contribute.cells_of(plan), np.int64)
    cells[: len(numbers)] = numbers
    return contribute.layout_of(plan).packed({"0": cells})


def left(run: HandRun, party: PartyId) -> list[Path]:
    """What is on a party's disk of this run's uploads."""
    folder = run.world.folder / uploads.FOLDER / party / run.handle
    return sorted(folder.iterdir()) if folder.exists() else []


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("computing", [2, 3])
def test_a_run_goes_on_as_soon_as_all_uploads_are_here(make: Callable[..., HandRun], computing: int) -> None:
    run = make(3, computing)
    began = time.monotonic()
    for number, board in enumerate((ONE, TWO, THREE), 1):
        run.upload(board, vector(run, number, 10 * number))
    found = run.result(run_id := run.announced_once.run_id)
    assert time.monotonic() - began < 15, "nobody waited for the end of uploads"
    assert found.sums[0, :2].tolist() == [6, 60]
    assert found.holders == (ONE, TWO, THREE)
    assert [run.ended(party) for party in run.reviewed.spec.computing] == ["finished"] * computing
    assert run_id in run.world.networks
    for party in run.reviewed.spec.computing:
        assert left(run, party) == []
        assert run.world.kinds(party).count("budget.reserved") == 0, "who computes brings nothing and pays nothing"


def test_a_sum_that_is_spoilt_ends_the_run(make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch) -> None:
    def spoils(*given: object, **more: object) -> None:
        raise SpoiltError

    run = make()
    run.upload(ONE, vector(run, 1))
    with monkeypatch.context() as patch:
        patch.setattr(inbox.Inbox, "add", spoils)
        with pytest.raises(RunError, match=r"run\.no-room"):
            run.upload(TWO, vector(run, 2), to=(SOUTH,))
    assert (run.ended(SOUTH), run.ended(NORTH)) == ("internal.bug", "peer.aborted")


def test_who_is_missing_at_the_deadline_is_left_out(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch)
    run = make()
    run.upload(ONE, vector(run, 1))
    run.upload(THREE, vector(run, 4))
    found = run.result(run.announced_once.run_id)
    assert found.sums[0, 0] == 5
    assert found.holders == (ONE, THREE)


def test_whose_upload_only_one_computing_party_has_is_left_out(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch)
    run = make()
    run.upload(ONE, vector(run, 1))
    run.upload(TWO, vector(run, 1000), to=(SOUTH,))
    run.upload(THREE, vector(run, 4))
    assert run.result(run.announced_once.run_id).sums[0, 0] == 5


def test_a_run_may_ask_that_all_have_the_same_uploads(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch)
    run = make(partial="end the run")
    for board in (ONE, THREE):
        run.upload(board, vector(run, 1))
    run.upload(TWO, vector(run, 2), to=(NORTH,))
    assert {run.ended(NORTH), run.ended(SOUTH)} <= {"peer.lists", "peer.aborted"}
    assert not run.world.opened()


def test_too_few_end_the_run_everywhere_and_nothing_leaves(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch)
    run = make(minimum=3)
    run.upload(ONE, vector(run, 1))
    run.upload(TWO, vector(run, 2))
    assert {run.ended(NORTH), run.ended(SOUTH)} <= {"run.contributors", "peer.aborted"}
    assert "run.contributors" in {*run.world.codes(NORTH), *run.world.codes(SOUTH)}
    assert all(sent.to in (NORTH, SOUTH) for sent in run.world.transcript), "no sum was sent"
    assert left(run, NORTH) == left(run, SOUTH) == []


# -- what is refused --------------------------------------------------------------------------------------------------


def refused(act: Callable[[], object], code: str) -> PetsError:
    with pytest.raises(PetsError) as caught:
        act()
    assert caught.value.code == code
    return caught.value


def test_each_bad_upload_is_refused_and_the_others_count(make: Callable[..., HandRun]) -> None:
    run, other = make(), make()
    for each in (run, other):
        each.announced(ONE)
    mine, theirs = run.announced_once, other.announced_once
    good = sealed(run.reviewed, ONE, vector(run, 7), mine)
    north = run.server(NORTH, ONE)

    def handed(party: PartyId, body: bytes, run_id: bytes = mine.run_id) -> Callable[[], object]:
        return lambda: run.server(NORTH, party).upload(run.handle, run_id, body)

    assert len(good[NORTH]) != len(good[SOUTH])
    refused(handed(ONE, good[SOUTH]), "peer.bad-length")
    refused(handed(ONE, good[NORTH] + bytes(8)), "peer.bad-length")
    refused(handed(ONE, sealed(other.reviewed, ONE, vector(other, 7), theirs)[NORTH]), "peer.upload-run")
    refused(handed(ONE, good[NORTH], theirs.run_id), "peer.upload-run")
    refused(handed(TWO, good[NORTH]), "peer.upload-holder")
    refused(handed(SOUTH, good[NORTH]), "peer.upload-holder")
    refused(handed(ANALYST, good[NORTH]), "peer.upload-holder")
    refused(handed(STRANGER, good[NORTH]), "run.unknown")
    refused(handed(ONE, good[NORTH][:-1] + bytes([good[NORTH][-1] ^ 1])), "peer.upload-sealed")
    refused(lambda: north.upload(other.handle, mine.run_id, good[NORTH]), "peer.upload-run")
    refused(lambda: north.upload(RunHandle("0f" * 16), mine.run_id, good[NORTH]), "run.unknown")
    assert left(run, NORTH) == []
    for number, board in enumerate((ONE, TWO, THREE), 1):
        run.upload(board, vector(run, number))
    assert run.result(mine.run_id).sums[0, 0] == 6


def test_the_same_holder_twice_is_refused_and_the_first_counts(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(monkeypatch)
    run = make()
    run.upload(ONE, vector(run, 1))
    for board in (ONE,):
        refused(lambda board=board: run.upload(board, vector(run, 50)), "peer.repeated")  # type: ignore[misc]
    run.upload(TWO, vector(run, 2))
    assert run.result(run.announced_once.run_id).sums[0, 0] == 3


def test_an_upload_after_the_deadline_is_late(make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch) -> None:
    short(monkeypatch, 0.5)
    run = make()
    made = run.announced(THREE)
    for number, board in enumerate((ONE, TWO), 1):
        run.upload(board, vector(run, number))
    parts_ = sealed(run.reviewed, THREE, vector(run, 100), made)
    run.world.wait_for(lambda: not run.agreed(NORTH))
    refused(lambda: run.server(NORTH, THREE).upload(run.handle, made.run_id, parts_[NORTH]), "peer.upload-late")
    assert run.result(made.run_id).sums[0, 0] == 3
    run.ended(NORTH)
    refused(lambda: run.server(NORTH, THREE).upload(run.handle, made.run_id, parts_[NORTH]), "peer.upload-late")


def test_before_agreement_no_run_is_known_and_no_upload_is_taken(make: Callable[..., HandRun]) -> None:
    run = make()
    run.announced(ONE)
    session = run.world.nodes[NORTH].runs._runs[run.handle].session
    assert isinstance(session, PoolSession)
    later = replace_play(session)
    refused(lambda: run.server(NORTH, ONE).announcement(run.handle), "run.unknown")
    refused(lambda: run.server(NORTH, ONE).upload(run.handle, bytes(32), b"part"), "run.unknown")
    session._play = later


def replace_play(session: PoolSession) -> PoolPlay:
    """Put in the place of what a session plays the same before it has agreed; what was there."""
    before = session._play
    session._play = PoolPlay(session.reviewed, session.party, lambda n: bytes(n), Path("nowhere"))
    return before


def test_a_table_with_two_holders_of_other_kind_takes_no_uploads(world: Any) -> None:
    """A run of a join has nothing to announce."""
    reviewed = world.ready()
    seen: list[str] = []

    def look(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        for handle, run in world.nodes[to].runs._runs.items():
            if not seen and not run.events.ended:
                with pytest.raises(RunError) as caught:
                    world.nodes[to].announcement(world.caller(sender), handle)
                seen.append(caught.value.code)
        return body

    world.hooks.hello = look
    world.run()
    assert seen in ([], ["run.no-uploads"]) and reviewed


def test_what_is_announced_is_the_same_everywhere_and_for_every_party(make: Callable[..., HandRun]) -> None:
    run = make()
    found = [run.announced(party) for party in (ONE, TWO, ANALYST, SOUTH)]
    assert len({each.run_id for each in found}) == 1
    assert not any(each.closed for each in found)
    servers = {party: run.server(party, STRANGER) for party in run.reviewed.spec.computing}
    refused(lambda: announced(run.reviewed, servers, run.handle), "run.unknown")


# -- how runs end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [ANALYST, THREE, SOUTH])
def test_anybody_of_a_run_may_stop_it_while_uploads_are_taken(make: Callable[..., HandRun], who: PartyId) -> None:
    run = make()
    run.upload(ONE, vector(run, 1))
    assert len(left(run, NORTH)) == 1
    began = time.monotonic()
    run.world.nodes[NORTH].stop(run.world.caller(who), run.handle)
    assert run.ended(NORTH) == "run.stopped"
    assert run.ended(SOUTH) in ("peer.aborted", "run.stopped")
    assert time.monotonic() - began < 3
    assert left(run, NORTH) == left(run, SOUTH) == []
    error = refused(lambda: run.server(NORTH, TWO).announcement(run.handle), "run.order")
    assert "aborted" in error.text


def test_a_revocation_while_uploads_are_taken_ends_the_run(make: Callable[..., HandRun]) -> None:
    run = make(options={})
    run.upload(ONE, vector(run, 1))
    node = run.world.nodes[SOUTH]
    node.revoke(run.world.caller(SOUTH), run.world.revocation(run.reviewed, SOUTH))
    assert run.ended(SOUTH) == "approval.revoked"
    assert run.ended(NORTH) == "peer.aborted"
    assert left(run, NORTH) == left(run, SOUTH) == []


def test_an_approval_that_runs_out_while_uploads_are_taken_ends_the_run(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "PAUSE_S", 0.05)
    run = make(options={})
    run.upload(ONE, vector(run, 1))
    run.world.now = run.world.now.replace(year=2028)
    ends = {run.ended(NORTH), run.ended(SOUTH)}
    assert "approval.spec-expired" in ends and ends <= {"approval.spec-expired", "peer.aborted"}


def test_a_server_that_was_restarted_has_ended_the_run_and_its_peers_find_out(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "LOOK_S", 0.1)
    monkeypatch.setattr(pooling, "PAUSE_S", 0.05)
    run = make(options={"durable": True})
    world = run.world
    run.upload(ONE, vector(run, 1))
    session = world.nodes[NORTH].runs._runs[run.handle].session
    assert isinstance(session, PoolSession)
    world.wait_for(lambda: SOUTH in session._known)
    killed = world.nodes[SOUTH]
    monkeypatch.setattr(world.states[SOUTH], "abort_run", lambda *_: None)  # it is gone before it can write anything
    (stored,) = left(run, SOUTH)
    world.open(SOUTH)
    assert not stored.exists(), "what a crash has left is deleted"
    assert world.codes(SOUTH) == ["run.crashed"]
    assert run.ended(NORTH) == "peer.aborted"
    assert left(run, NORTH) == []
    refused(lambda: run.server(SOUTH, TWO).announcement(run.handle), "run.unknown")
    for each in killed.runs._runs.values():
        each.session.stop(RunError("run.stopped", by="a test"))
    killed.runs._runs[run.handle].session.run  # noqa: B018
    world.wait_for(lambda: killed.runs._runs[run.handle].events.ended)


def test_closing_a_server_ends_its_runs_and_leaves_nothing(make: Callable[..., HandRun]) -> None:
    run = make(options={})
    run.upload(ONE, vector(run, 1))
    run.world.nodes[SOUTH].close()
    assert run.ended(NORTH) == "peer.aborted"
    assert left(run, NORTH) == left(run, SOUTH) == []
    run.world.open(SOUTH)


def test_runs_that_wait_for_uploads_take_no_place_of_others(make: Callable[..., HandRun]) -> None:
    run = make(options={"max_live": 1})
    more = HandRun(run.world, run.reviewed)
    assert run.announced(ONE).run_id != more.announced(ONE).run_id
    node = run.world.nodes[NORTH]
    node.runs._settings = replace(node.runs._settings, max_open=2)
    refused(lambda: HandRun(run.world, run.reviewed), "run.busy")
    for each in (run, more):
        for party in (NORTH, SOUTH):
            each.world.nodes[party].stop(each.world.caller(ANALYST), each.handle)


# -- order ------------------------------------------------------------------------------------------------------------


def test_noise_is_drawn_before_any_upload_may_come(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    honest, opened = noise.laplace_part, uploads.Uploads.__init__

    def drawn(*given: Any) -> Any:
        order.append("noise")
        return honest(*given)

    def begun(self: Any, *given: Any, **named: Any) -> None:
        order.append("uploads")
        opened(self, *given, **named)

    monkeypatch.setattr(noise, "laplace_part", drawn)
    monkeypatch.setattr(uploads.Uploads, "__init__", begun)
    run = make()
    run.announced(ONE)
    assert order.count("uploads") == 2 and order[0] == "noise"
    assert all(order[:place].count("noise") >= order[: place + 1].count("uploads") for place in range(len(order)))


def test_a_run_is_counted_before_it_is_announced(make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    opened = uploads.Uploads.__init__

    def begun(self: Any, *given: Any, **named: Any) -> None:
        order.append("uploads")
        opened(self, *given, **named)

    monkeypatch.setattr(uploads.Uploads, "__init__", begun)
    run = make(options={})
    run.announced(ONE)
    for party in (NORTH, SOUTH):
        assert "run.agreed" in run.world.kinds(party)
        assert run.world.states[party].runs_used(run.reviewed.digest) == 1


def test_a_list_that_comes_early_waits_for_the_end_of_uploads(make: Callable[..., HandRun]) -> None:
    """One computing party has all uploads, and says so by its list; the other takes some still."""
    run = make()
    for board in (ONE, TWO):
        run.upload(board, vector(run, 1))
    last = sealed(run.reviewed, THREE, vector(run, 5), run.announced_once)
    run.server(NORTH, THREE).upload(run.handle, run.announced_once.run_id, last[NORTH])
    network = run.world.networks[run.announced_once.run_id]
    run.world.wait_for(lambda: any(sent.sender == NORTH for sent in network.transcript))
    assert run.agreed(SOUTH) and not run.agreed(NORTH)
    run.server(SOUTH, THREE).upload(run.handle, run.announced_once.run_id, last[SOUTH])
    assert run.result(run.announced_once.run_id).sums[0, 0] == 7


def test_frames_that_stall_end_with_the_run(make: Callable[..., HandRun]) -> None:
    run = make()
    mine = run.announced(ONE)
    body = sealed(run.reviewed, ONE, vector(run, 1), mine)[SOUTH]
    begun, go = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        begun.set()
        go.wait(20)
        yield from frame.frames(mine.run_id, frame.UPLOAD, memoryview(body))

    met: list[PetsError] = []

    def send() -> None:
        try:
            run.server(SOUTH, ONE).frames(run.handle, slow())
        except PeerError as error:
            met.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    assert begun.wait(10)
    run.world.nodes[SOUTH].stop(run.world.caller(ANALYST), run.handle)
    run.ended(SOUTH)
    go.set()
    sending.join(10)
    assert [error.code for error in met] == ["peer.upload-late"]
    assert left(run, SOUTH) == []


# -- what role code does ----------------------------------------------------------------------------------------------


def test_what_a_computing_party_sends_besides_lists_is_one_sum(make: Callable[..., HandRun]) -> None:
    run = make(3, 3)
    for board in (ONE, TWO, THREE):
        run.upload(board, vector(run, 1))
    run.result(run.announced_once.run_id)
    for party in run.reviewed.spec.computing:
        run.ended(party)
        words = contribute.layout_of(run.reviewed.plan).words
        sums = [
            s
            for s in run.world.networks[run.announced_once.run_id].transcript
            if s.sender == party and s.to.endswith(":result")
        ]
        assert sorted(len(s.body) for s in sums) == sorted([1, 8 * words])


def test_an_upload_is_no_message_that_a_gate_lets_pass(make: Callable[..., HandRun]) -> None:
    from pets.errors import InternalError
    from pets.party import gate
    from pets.party.cast import role_of, roles_of
    from pets.secret import Secret

    run = make()
    plan, roles = run.reviewed.plan, roles_of(run.reviewed)
    listed = {each.label for role in roles for each in gate.project_plan(plan, roles, role)}
    assert listed and not any(label.startswith("U") for label in listed)
    passage = gate.Gate(gate.project_plan(plan, roles, role_of(run.reviewed, NORTH)), opening=Secret(bytes(32)))
    with pytest.raises(InternalError, match=r"internal\.gate"):
        passage.pass_out(Send("last", "Us1x1", np.zeros((1, 48), np.uint8)))
    passage.close()
