"""Sums on polynomials go on without computing parties that are lost, as long as a quorum is there: three of four."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pets.errors import LinkError, PeerError, PetsError
from pets.ids import PartyId
from pets.party import contribute
from pets.party.pooling import PoolPlay
from pets.transport.link import Slot
from pets.transport.mailbox import Mailbox, ends_all
from pets.transport.memory import MemoryNetwork, Passing
from tests.party.by_hand import HandRun, sealed
from tests.party.loopback import LoopbackRun, LoopbackWorld
from tests.party.pool_world import PoolWorld, parts, toml_of
from tests.party.test_pooling import NORTH, ONE, SOUTH, SQL, SURE, THREE, TWO, left, vector
from tests.party.world import ANALYST

WEST = PartyId("west")
EAST = PartyId("east")
FOUR = (NORTH, SOUTH, WEST, EAST)


def of_polynomials(computing: int) -> str:
    return toml_of(3, computing, sql=SQL, protection=SURE, minimum=2, protocol="secure_sum_shamir", corrupt=1, runs=20)


TOML = of_polynomials(4)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contribute, "MINUTE_S", 20.0)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., HandRun]]:
    made: list[PoolWorld] = []

    def of(toml: str = TOML, **options: Any) -> HandRun:
        made.append(PoolWorld(tmp_path / f"world-{len(made)}", toml, parts(3), **options))
        return HandRun(made[-1], made[-1].prepared())

    yield of
    for world in made:
        world.close()


def uploaded(run: HandRun, *boards: PartyId) -> None:
    for number, board in enumerate((ONE, TWO, THREE), 1):
        if not boards or board in boards:
            run.upload(board, vector(run, number))


def crash(run: HandRun, party: PartyId) -> None:
    """A party's run ends, and it tells its peers; nobody meant to stop the others."""
    run.world.nodes[party].runs._runs[run.handle].session.stop(LinkError("link.cut", peer=party))
    assert run.ended(party) == "link.cut"


def test_nobody_is_lost(make: Callable[..., HandRun]) -> None:
    run = make()
    uploaded(run)
    found = run.result(run.announced_once.run_id)
    assert (found.sums[0, 0], found.noises) == (6, 4)
    assert [run.ended(party) for party in FOUR] == ["finished"] * 4


@pytest.mark.parametrize("gone", [NORTH, WEST])
def test_a_party_that_ends_while_uploads_are_taken_is_done_without(make: Callable[..., HandRun], gone: PartyId) -> None:
    run = make()
    uploaded(run, ONE, TWO)
    others = [party for party in FOUR if party != gone]
    last = sealed(run.reviewed, THREE, vector(run, 3), run.announced_once)
    crash(run, gone)
    for party in others:
        assert run.agreed(party)
        run.server(party, THREE).upload(run.handle, run.announced_once.run_id, last[party])
    found = run.result(run.announced_once.run_id)
    assert (found.sums[0, 0], found.noises) == (6, 3)
    assert [run.ended(party) for party in others] == ["finished"] * 3
    assert left(run, gone) == []


@pytest.mark.long
@pytest.mark.parametrize("gone", [NORTH, WEST])
def test_a_party_that_falls_silent_is_waited_for_and_done_without(
    make: Callable[..., HandRun], gone: PartyId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its messages are held back, as if its machine had stopped: none of them is met again."""
    monkeypatch.setattr(contribute, "MINUTE_S", 1.0)
    run = make(deadline_s=0.3)

    def silent(passing: Passing) -> Iterable[bytes]:
        return () if passing.sender == gone else (passing.data,)

    run.world.hooks.taps.append(silent)
    for network in run.world.networks.values():
        network.taps.append(silent)
    uploaded(run)
    found = run.result(run.announced_once.run_id)
    assert (found.sums[0, 0], found.noises) == (6, 3)


@pytest.mark.parametrize(("computing", "gone"), [(3, (WEST,)), (4, (NORTH, SOUTH))])
def test_without_a_quorum_the_run_ends_at_once_and_nothing_is_opened(
    make: Callable[..., HandRun], monkeypatch: pytest.MonkeyPatch, computing: int, gone: tuple[PartyId, ...]
) -> None:
    """Of three none may be lost, of four one. Uploads would be taken for an hour."""
    monkeypatch.setattr(contribute, "MINUTE_S", 3600.0)
    run = make(of_polynomials(computing))
    uploaded(run, ONE, TWO)
    for party in gone:
        crash(run, party)
    left_over = [party for party in FOUR[:computing] if party not in gone]
    assert {run.ended(party) for party in left_over} == {"run.quorum"}
    assert not [sent for sent in run.world.transcript if sent.to.endswith(":result")]


@pytest.mark.parametrize("who", [WEST])
def test_a_stop_at_one_party_is_one_for_all(make: Callable[..., HandRun], who: PartyId) -> None:
    run = make()
    uploaded(run, ONE)
    run.world.nodes[who].stop(run.world.caller(ANALYST), run.handle)
    ends = {party: run.ended(party) for party in FOUR}
    assert ends.pop(who) == "run.stopped"
    assert set(ends.values()) == {"peer.aborted"}


def test_a_revocation_at_one_party_is_one_for_all(make: Callable[..., HandRun]) -> None:
    run = make()
    uploaded(run, ONE)
    run.world.nodes[SOUTH].revoke(run.world.caller(SOUTH), run.world.revocation(run.reviewed, SOUTH))
    assert [run.ended(party) for party in (SOUTH, NORTH, WEST, EAST)] == ["approval.revoked", *["peer.aborted"] * 3]


@pytest.mark.long
def test_a_party_that_breaks_the_protocol_is_lost_and_ends_nothing(make: Callable[..., HandRun]) -> None:
    run = make()

    def broken(passing: Passing) -> Iterable[bytes]:
        return (passing.data[:-1],) if passing.sender == NORTH and passing.to in FOUR else (passing.data,)

    uploaded(run, ONE, TWO)
    for network in run.world.networks.values():
        network.taps.append(broken)
    uploaded(run, THREE)
    found = run.result(run.announced_once.run_id)
    assert (found.sums[0, 0], found.noises) == (6, 3)
    assert [run.ended(party) for party in (SOUTH, WEST, EAST)] == ["finished"] * 3


@pytest.mark.long
def test_over_the_network_a_server_that_is_gone_is_done_without(tmp_path: Path) -> None:
    world = LoopbackWorld(tmp_path / "world", TOML, parts(3), deadline_s=1.0)
    run = LoopbackRun(world, world.prepared())
    try:
        uploaded(run, ONE, TWO)
        last = sealed(run.reviewed, THREE, vector(run, 3), run.announced_once)
        world.listening[SOUTH].stop(0.0)
        for party in (NORTH, WEST, EAST):
            run.server(party, THREE).upload(run.handle, run.announced_once.run_id, last[party])
        found = run.result(run.announced_once.run_id)
        assert (found.sums[0, 0], found.noises) == (6, 3)
        assert [run.ended(party) for party in (NORTH, WEST, EAST)] == ["finished"] * 3
    finally:
        world.nodes[SOUTH].stop(world.caller(ANALYST), run.handle)
        world.close()


@pytest.mark.long
@pytest.mark.parametrize("gone", [NORTH, WEST])
def test_a_client_gets_the_table_without_a_party_that_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: PartyId
) -> None:
    """The whole way: real holders, and one of four computing parties breaks off as soon as uploads are in."""
    honest = PoolPlay.role

    def breaks(self: PoolPlay, begun: Any) -> Any:
        if self._party == gone:
            raise LinkError("link.cut", peer=gone)
        return honest(self, begun)

    monkeypatch.setattr(PoolPlay, "role", breaks)
    world = PoolWorld(tmp_path / "world", TOML, parts(3))
    world.prepared()
    with pytest.warns(UserWarning, match=f"no receipt of {gone}"):
        found = world.run(world.toml)
    assert found.to_pandas().n.sum() == sum(map(len, parts(3).values()))
    assert gone not in found.receipts
    assert world.ends(gone) == ["link.cut"]
    world.close()


@pytest.mark.long
def test_a_client_is_told_that_three_computing_parties_cannot_do_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = PoolPlay.role

    def breaks(self: PoolPlay, begun: Any) -> Any:
        if self._party == WEST:
            raise LinkError("link.cut", peer=WEST)
        return honest(self, begun)

    monkeypatch.setattr(PoolPlay, "role", breaks)
    world = PoolWorld(tmp_path / "world", of_polynomials(3), parts(3))
    world.prepared()
    with pytest.raises(PetsError) as caught:
        world.run(world.toml)
    assert caught.value.code == "run.quorum"
    assert {party: world.ends(party) for party in (NORTH, SOUTH)} == {NORTH: ["run.quorum"], SOUTH: ["run.quorum"]}
    world.close()


# -- the mailbox ------------------------------------------------------------------------------------------------------

A, B = PartyId("a"), PartyId("b")
SLOT = Slot(1, 0)


def mailbox(*spared: PartyId) -> Mailbox:
    made = Mailbox(bytes(32), (A, B))
    made.spare(spared)
    made.expect(A, SLOT, 8)
    made.expect(B, SLOT, 8)
    return made


def test_who_is_not_spared_ends_the_run_by_its_silence() -> None:
    made = mailbox(B)
    with pytest.raises(LinkError, match=r"link\.deadline"):
        made.hear(A, SLOT, 0.0)
    assert made.error is not None


def test_who_is_spared_is_lost_by_its_silence_for_good() -> None:
    made, net = mailbox(A), MemoryNetwork((A, B), bytes(32))
    assert made.hear(A, SLOT, 0.0) is None
    assert made.lost == {A} and made.error is None
    frames: list[bytes] = []
    net.taps.append(lambda passing: frames.append(passing.data) or ())
    net.link(A).send(B, SLOT, memoryview(bytes(8)))
    with pytest.raises(LinkError, match=r"link\.no-run"):
        made.put(A, frames[0])
    assert made.hear(A, SLOT, 10.0) is None, "at once"
    assert made.error is None


@pytest.mark.parametrize(
    ("code", "all_"), [("run.stopped", True), ("approval.revoked", True), ("link.cut", False), ("run.crashed", False)]
)
def test_a_spared_peer_ends_the_run_only_if_it_was_meant(code: str, all_: bool) -> None:
    made = mailbox(A)
    made.aborted(A, code)
    assert ends_all(code) == all_ == (made.error is not None)
    with pytest.raises(PeerError):
        raise made.fail(PeerError("peer.aborted", peer=B, reason="link.cut"))


def test_an_error_after_a_loss_still_ends_the_run() -> None:
    made = mailbox(A)
    made.lose(A, LinkError("link.cut", peer=A))
    met: list[PetsError] = []
    made.on_fail(met.append)
    made.lose(B, LinkError("link.cut", peer=B))
    assert [error.fields["peer"] for error in met] == [B]
    with pytest.raises(LinkError):
        made.hear(A, SLOT, 0.0)
