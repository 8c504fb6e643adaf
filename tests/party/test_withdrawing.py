"""Uploads that are taken back: by hand and by a revocation, in memory and over real servers, in time and too late."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pets.approve.envelope import claimed
from pets.errors import LinkError, RunError
from pets.ids import PartyId, RunHandle
from pets.party.node import PartyNode
from pets.party.state import State
from pets.result import Result
from pets.transport.calls import Evidence
from tests.party.by_hand import HandRun
from tests.party.loopback import LoopbackRun, LoopbackWorld
from tests.party.pool_world import PoolWorld, hasten, parts, toml_of, worlds
from tests.party.test_declining import reasons, same_counts
from tests.party.test_pooled_runs import exact, verified, without  # noqa: F401
from tests.party.test_pooling import NORTH, ONE, SOUTH, SQL, SURE, THREE, TWO, left, refused, vector
from tests.party.world import ANALYST, STRANGER, reviewed_of

HANDLE = RunHandle("7e" * 16)
SURER = SURE.replace('"100"', '"50"')
"""Less of the budget: what has approvals with SURE needs none of its own."""
KINDS = {
    "secure_sum": (2, {}),
    "secure_sum_shamir": (3, {"protocol": "secure_sum_shamir"}),
    "checked_sum": (2, {"protocol": "checked_sum"}),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch, minute_s=40.0)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PoolWorld]]:
    with worlds(tmp_path) as made:

        def of(toml: str, holders: int = 3, **options: Any) -> PoolWorld:
            world = made(parts(holders), toml, **options)
            world.prepared()
            return world

        yield of


@pytest.fixture
def by_hand(make: Callable[..., PoolWorld]) -> Callable[..., HandRun]:
    def of(computing: int = 2, **spec: Any) -> HandRun:
        toml = toml_of(3, computing, sql=SQL, **{"protection": SURE, "minimum": 2} | spec)
        return HandRun(make(toml), reviewed_of(toml))

    return of


# -- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["secure_sum", pytest.param("secure_sum_shamir", marks=pytest.mark.long)])
def test_what_is_taken_back_is_in_no_sum(by_hand: Callable[..., HandRun], kind: str) -> None:
    computing, spec = KINDS[kind]
    run = by_hand(computing, **spec)
    run.upload(TWO, vector(run, 1000))
    run.withdraw(TWO)
    assert all(left(run, party) == [] for party in run.reviewed.spec.computing)
    run.withdraw(TWO)
    refused(lambda: run.upload(TWO, vector(run, 2)), "peer.declined")
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    found = run.result(run.announced_once.run_id)
    assert found.sums[0, 0] == 5 and found.holders == (ONE, THREE)
    for party in run.reviewed.spec.computing:
        assert run.ended(party) == "finished"
        receipt = claimed(run.world.states[party].run(run.handle).receipt or b"")["predicate"]
        assert receipt["contributors"] == [ONE, THREE] and receipt["declined"] == [TWO]
        kinds = run.world.kinds(party)
        assert kinds.count("holder.withdrew") == 1 and "holder.declined" not in kinds


@pytest.mark.long
def test_what_one_computing_party_has_given_back_counts_nowhere(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.upload(TWO, vector(run, 1000))
    run.withdraw(TWO, to=(NORTH,))
    for number, board in ((1, ONE), (4, THREE)):
        run.upload(board, vector(run, number))
    assert run.result(run.announced_once.run_id).sums[0, 0] == 5


def test_too_late_is_said_and_changes_nothing(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    for number, board in enumerate((ONE, TWO, THREE), 1):
        run.upload(board, vector(run, number))
    error = refused(lambda: run.withdraw(TWO), "peer.withdraw-late")
    assert "pets stop" in error.hint
    assert run.result(run.announced_once.run_id).sums[0, 0] == 6
    run.ended(NORTH)
    refused(lambda: run.withdraw(TWO), "peer.withdraw-late")


@pytest.mark.long
def test_nobody_takes_back_the_upload_of_another(by_hand: Callable[..., HandRun]) -> None:
    run = by_hand()
    run.upload(TWO, vector(run, 2))
    for who, code in ((SOUTH, "peer.upload-holder"), (ANALYST, "peer.upload-holder"), (STRANGER, "run.unknown")):
        refused(lambda who=who: run.withdraw(who, to=(NORTH,)), code)  # type: ignore[misc]
    server, digest = run.server(NORTH, TWO), run.reviewed.digest
    refused(lambda: server.withdraw(run.handle, type(digest)("0f" * 32)), "run.unknown")
    run.withdraw(ONE)
    assert len(left(run, NORTH)) == 1, "it has withdrawn itself alone"


@pytest.mark.long
def test_a_stored_upload_that_cannot_be_read_again_ends_the_run(by_hand: Callable[..., HandRun]) -> None:
    """What is left of the sum of who has the words is worth nothing then."""
    run = by_hand()
    run.upload(TWO, vector(run, 2))
    (path,) = left(run, SOUTH)
    body = path.read_bytes()
    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    refused(lambda: run.withdraw(TWO, to=(SOUTH,)), "peer.upload-sealed")
    assert run.ended(SOUTH) == "peer.upload-sealed" and run.ended(NORTH) == "peer.aborted"


# -- whole runs -------------------------------------------------------------------------------------------------------


class Revoking:
    """A run in which one board revokes when its upload is everywhere, before another one has uploaded."""

    def __init__(self, world: PoolWorld, one: PartyId = TWO) -> None:
        self.world, self.one, self.go_on = world, one, threading.Event()
        self.arrived: list[PartyId] = []
        self.fetched = threading.Event()
        node, evidence = world.nodes[one], world.nodes[one].evidence

        def fetch(*asked: Any) -> Evidence:
            files = evidence(*asked)
            self.fetched.set()
            return files

        node.evidence = fetch  # type: ignore[method-assign]
        world.hooks.announcement = self.waits
        world.hooks.uploaded = self.uploaded

    def waits(self, sender: PartyId, to: PartyId) -> None:
        if sender == THREE:
            self.go_on.wait(20)

    def uploaded(self, sender: PartyId, to: PartyId) -> None:
        if sender == self.one:
            self.arrived.append(to)

    def revoke(self) -> None:
        world, reviewed = self.world, reviewed_of(self.world.toml)
        world.wait_for(lambda: world.ends(self.one) == ["sent"])
        world.nodes[self.one].revoke(world.caller(self.one), world.revocation(reviewed, self.one))

    def restart(self) -> PartyNode:
        """Its server goes and comes back, once the client has all that it asks of a holder that has sent."""
        self.world.wait_for(lambda: self.world.ends(self.one) == ["sent"])
        assert self.fetched.wait(20)
        self.world.nodes[self.one].close()
        return self.world.open(self.one)

    def run(self, act: Callable[[], None] | None = None) -> Result:
        def then() -> None:
            try:
                (act or self.revoke)()
                self.world.wait_for(lambda: "run.withdrawn" in self.world.kinds(self.one))
            finally:
                self.go_on.set()

        thread = threading.Thread(target=then)
        thread.start()
        try:
            return self.world.run(self.world.toml, handle=HANDLE)
        finally:
            thread.join()


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    "kind", ["secure_sum", *(pytest.param(kind, marks=pytest.mark.long) for kind in list(KINDS)[1:])]
)
def test_a_revocation_takes_an_upload_back(make: Callable[..., PoolWorld], tmp_path: Path, kind: str) -> None:
    computing, spec = KINDS[kind]
    world = make(toml_of(4, computing, sql=SQL, **{"minimum": 3} | spec), 4)
    run = Revoking(world)
    found = run.run()
    same_counts(found, without(parts(4), TWO))
    assert found.participation is not None and TWO not in found.participation.counted
    assert reasons(found) == {TWO: "declined"}
    assert world.spent(TWO, "visits") == world.spent(ONE, "visits"), "what left counts as spent"
    told = [body["told"] for entry, body in world.log(TWO) if entry == "run.withdrawn"]
    assert told == [list(world.spec.computing)]
    assert any("say that they have taken its upload off again" in line for line in world.consoles[TWO])
    line = f"{TWO}: it uploaded, and is not in the table: it declined"
    assert line in verified(world, found, tmp_path / "evidence")


@pytest.mark.long
def test_where_all_have_to_count_a_revocation_ends_the_run_at_once(make: Callable[..., PoolWorld]) -> None:
    """Without noise all holders have to: the two who take uploads end it, and so it ends for the third."""
    control = "[release.disclosure_control]\nmin_count = 10\n"
    world = make(toml_of(3, 3, sql=SQL, protection=control, minimum=3, runs=1))
    with pytest.raises(RunError) as caught:
        Revoking(world).run()
    assert caught.value.code == "run.contributors"
    told = [body["told"] for entry, body in world.log(TWO) if entry == "run.withdrawn"]
    assert told and set(told[0]) <= {NORTH, SOUTH} and told[0]


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_server_that_was_restarted_takes_its_upload_back_by_its_journal(make: Callable[..., PoolWorld]) -> None:
    world = make(toml_of(3, 2, sql=SQL, minimum=2), durable=True)
    run = Revoking(world)

    def restarts() -> None:
        run.restart()
        run.revoke()

    found = run.run(restarts)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)


@pytest.mark.parametrize("restarts", [False, True])
def test_revoking_what_covers_a_run_takes_its_upload_back(make: Callable[..., PoolWorld], restarts: bool) -> None:
    """The journal has the run under the specification that it is of, which nobody has signed."""
    world = make(toml_of(3, 2, sql=SQL, minimum=2, protection=SURE), durable=True)
    signed, world.toml = reviewed_of(world.toml), toml_of(3, 2, sql=SQL, minimum=2, protection=SURER)
    world.submit(world.toml)
    run = Revoking(world)

    def revokes() -> None:
        world.wait_for(lambda: world.ends(TWO) == ["sent"])
        if restarts:
            run.restart()
        world.nodes[TWO].revoke(world.caller(TWO), world.revocation(signed, TWO))

    found = run.run(revokes)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)
    state = world.states[TWO]
    (journalled,) = state.runs(signed.digest)
    assert (journalled.digest, journalled.cover) == (reviewed_of(world.toml).digest, signed.digest)


@pytest.mark.usefixtures("exact")
def test_its_own_people_stop_a_run_from_before_a_restart(make: Callable[..., PoolWorld]) -> None:
    world = make(toml_of(3, 2, sql=SQL, minimum=2), durable=True)

    run = Revoking(world)

    def stops() -> None:
        node = run.restart()
        refused(lambda: node.stop(world.caller(ONE), HANDLE), "run.unknown")
        refused(lambda: node.stop(world.caller(TWO), RunHandle("0f" * 16)), "run.unknown")
        assert "run.withdrawn" not in world.kinds(TWO)
        assert "is sent" in refused(lambda: node.stop(world.caller(TWO), HANDLE), "run.order").text

    found = run.run(stops)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("restarts", [False, pytest.param(True, marks=pytest.mark.long)])
def test_an_upload_comes_back_that_one_computing_party_said_was_for_nothing(
    make: Callable[..., PoolWorld], restarts: bool
) -> None:
    """It tells the holder that the run is over, when it has the upload, and goes on: a revocation has to reach it."""
    world = make(toml_of(3, 2, sql=SQL, minimum=2), durable=True)
    run, node = Revoking(world), world.nodes[TWO]

    def lies(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        if (sender, to) == (TWO, SOUTH):
            world.wait_for(lambda: NORTH in run.arrived)
            node.abort(world.caller(NORTH), node.runs._runs[HANDLE].run_id, "run.stopped")
        return part

    def revokes() -> None:
        world.wait_for(lambda: world.ends(TWO) == ["peer.aborted"])
        assert run.arrived == [NORTH, SOUTH] and "run.withdrawn" not in world.kinds(TWO)
        if restarts:
            node.close()
            world.open(TWO)
        world.nodes[TWO].revoke(world.caller(TWO), world.revocation(reviewed_of(world.toml), TWO))

    world.hooks.upload = lies
    found = run.run(revokes)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)


@pytest.mark.usefixtures("exact")
def test_an_upload_comes_back_that_is_on_its_way_when_the_run_is_said_to_be_over(
    make: Callable[..., PoolWorld],
) -> None:
    """The revocation comes when the holder has heard so, and before its part has ended."""
    world = make(toml_of(3, 2, sql=SQL, minimum=2))
    run, node = Revoking(world), world.nodes[TWO]

    def lies(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        if (sender, to) == (TWO, SOUTH):
            world.wait_for(lambda: NORTH in run.arrived)
            node.abort(world.caller(NORTH), node.runs._runs[HANDLE].run_id, "run.stopped")
            node.revoke(world.caller(TWO), world.revocation(reviewed_of(world.toml), TWO))
        return part

    world.hooks.upload = lies
    found = run.run(lambda: None)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)
    assert world.ends(TWO) == ["approval.revoked"]


@pytest.mark.usefixtures("exact")
def test_who_never_uploaded_takes_nothing_back(make: Callable[..., PoolWorld], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its journal has the run as one that had agreed and that others ended; it knows better as long as it runs."""
    hasten(monkeypatch, minute_s=4.0)
    world = make(toml_of(3, 2, sql=SQL, minimum=2))
    node = world.nodes[TWO]
    agrees = node.runs._agreed

    def agreed(run: Any, *given: Any) -> None:
        agrees(run, *given)
        node.abort(world.caller(NORTH), run.run_id, "run.stopped")

    monkeypatch.setattr(node.runs, "_agreed", agreed)
    found = world.run(world.toml, handle=HANDLE)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)
    assert world.ends(TWO) == ["peer.aborted"]
    node.revoke(world.caller(TWO), world.revocation(reviewed_of(world.toml), TWO))
    node.runs.close()
    assert "run.withdrawn" not in world.kinds(TWO)


def test_a_revocation_after_a_crash_takes_back_what_may_have_left(make: Callable[..., PoolWorld]) -> None:
    """Killed after its last part and before its journal says so, its upload counted, whatever it revoked after."""
    world = make(toml_of(3, 2, sql=SQL, minimum=2))
    digest, before, agreed = reviewed_of(world.toml).digest, RunHandle("1b" * 16), HANDLE
    for party in (TWO, NORTH):
        state = world.states[party]
        assert isinstance(state, State)
        for handle in (before, agreed):
            state.start_run(handle, digest)
        state.agree_run(agreed, "ab" * 32)
        state.recover()
    assert world.nodes[TWO].runs.sent(digest) == {agreed: digest}
    assert world.nodes[NORTH].runs.sent(digest) == {}, "it has no upload"
    assert world.nodes[TWO].runs.left(before) is None
    assert world.nodes[TWO].runs.left(agreed) is not None and world.nodes[NORTH].runs.left(agreed) is None


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_its_own_people_stop_a_run_that_has_their_upload(make: Callable[..., PoolWorld]) -> None:
    world = make(toml_of(3, 2, sql=SQL, minimum=2))
    run = Revoking(world)

    def stops() -> None:
        world.wait_for(lambda: world.ends(TWO) == ["sent"])
        refused(lambda: world.nodes[TWO].stop(world.caller(TWO), HANDLE), "run.order")

    found = run.run(stops)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_stop_while_parts_are_on_their_way_takes_back_what_has_arrived(make: Callable[..., PoolWorld]) -> None:
    world = make(toml_of(3, 2, sql=SQL, minimum=2))
    run = Revoking(world)

    def breaks(sender: PartyId, to: PartyId, part: bytes) -> bytes:
        if (sender, to) == (TWO, SOUTH):
            raise LinkError("link.cut", peer=to)
        return part

    world.hooks.upload = breaks

    def stops() -> None:
        world.wait_for(lambda: NORTH in run.arrived)
        world.nodes[TWO].stop(world.caller(TWO), HANDLE)

    found = run.run(stops)
    assert found.participation is not None and found.participation.counted == (ONE, THREE)
    assert world.ends(TWO) == ["run.stopped"] and "run.declined" not in world.kinds(TWO)
    assert world.spent(TWO, "visits") == "4", "a part had left"


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_revocation_that_is_too_late_says_so_on_the_console(make: Callable[..., PoolWorld]) -> None:
    world = make(toml_of(3, 2, sql=SQL, minimum=2))
    found = world.run(world.toml)
    reviewed = reviewed_of(world.toml)
    world.nodes[TWO].revoke(world.caller(TWO), world.revocation(reviewed, TWO))
    world.wait_for(lambda: "run.withdrawn" in world.kinds(TWO))
    assert [body["told"] for kind, body in world.log(TWO) if kind == "run.withdrawn"] == [[]]
    assert any("still in run" in line and "pets stop" in line for line in world.consoles[TWO])
    assert reasons(found) == {}


@pytest.mark.long
@pytest.mark.usefixtures("exact")
def test_a_run_of_long_ago_is_left_alone_by_a_revocation(make: Callable[..., PoolWorld]) -> None:
    world = make(toml_of(3, 2, sql=SQL, minimum=2), durable=True)
    world.run(world.toml)
    world.nodes[TWO].close()
    node, state = world.open(TWO), world.states[TWO]
    assert isinstance(state, State)
    digest = reviewed_of(world.toml).digest
    assert set(node.runs.sent(digest)) == {run.handle for run in state.runs(digest)}
    world.now = world.now.replace(month=world.now.month + 1)
    assert node.runs.sent(digest) == {}


# -- over real servers ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_an_upload_is_taken_back_over_the_network(tmp_path: Path) -> None:
    toml = toml_of(3, 2, sql=SQL, protection=SURE, minimum=2)
    world = LoopbackWorld(tmp_path / "loopback", toml, parts(3))
    try:
        run = LoopbackRun(world, world.prepared())
        run.upload(TWO, vector(run, 1000))
        refused(lambda: run.withdraw(STRANGER, to=(NORTH,)), "link.stranger")
        run.withdraw(TWO)
        for number, board in ((1, ONE), (4, THREE)):
            run.upload(board, vector(run, number))
        refused(lambda: run.withdraw(ONE), "peer.withdraw-late")
        found = run.result(run.announced_once.run_id)
        assert found.sums[0, 0] == 5 and found.holders == (ONE, THREE)
        assert [run.ended(party) for party in (NORTH, SOUTH)] == ["finished"] * 2
    finally:
        world.close()
