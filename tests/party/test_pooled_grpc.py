"""Whole runs of sums over one table over real connections: holders, computing parties and the client apart."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pets import client as clients
from pets import gathering
from pets.ids import PartyId
from pets.network import Analyst, Network
from pets.party import contribute, holder
from pets.party.config import directory_toml
from pets.party.pooling import OPENED
from pets.plan.review import Reviewed
from pets.transport import grpc as transport
from pets.transport.calls import Event
from pets.transport.grpc import ResultLink
from pets.transport.link import Link
from tests.party.loopback import LoopbackWorld
from tests.party.pool_world import parts, toml_of, without_noise
from tests.party.test_pooled_runs import SQL, reasons, same, verified
from tests.party.world import ANALYST

FRAMES = parts(3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackWorld]:
    made = LoopbackWorld(
        tmp_path_factory.mktemp("loopback") / "world", toml_of(3, 2, sql=SQL, minimum=2, runs=4), FRAMES
    )
    made.prepared()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contribute, "MINUTE_S", 20.0)
    monkeypatch.setattr(clients, "END_S", 5.0)
    for module in (holder, gathering):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.02)
        monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.1)
    without_noise(monkeypatch)


def network(world: LoopbackWorld) -> Network:
    def link(run_id: bytes, senders: Sequence[PartyId], reviewed: Reviewed) -> Link:
        return ResultLink(ANALYST, run_id, senders, world.diallers[ANALYST], 60.0, away_s=10.0)

    servers = {party: world.remote(party, ANALYST) for party in world.servers}
    return Network(
        servers,
        Analyst(ANALYST, world.signing[ANALYST]),
        link,
        directory_toml=directory_toml(world.directory.parties),
        deadline_s=30.0,
    )


def test_a_table_over_the_network_is_that_of_all_rows(world: LoopbackWorld, tmp_path: Path) -> None:
    found = network(world).run(world.toml)
    same(found.to_pandas(), FRAMES)
    assert reasons(found) == {} and set(found.receipts) == set(world.servers)
    assert verified(world, found, tmp_path)
    lengths = {sent["bytes"] for receipt in found.receipts.values() for sent in _sent(receipt)}
    assert lengths, "receipts say what was sent"


def _sent(receipt: bytes) -> list[dict[str, int]]:
    from pets.approve.envelope import claimed

    found: list[dict[str, int]] = claimed(receipt)["predicate"]["sent"]
    return found


def test_a_client_whose_connections_break_while_uploads_are_taken_gets_its_table(
    world: LoopbackWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, at the moment when the first holder has uploaded: events, final shares, and holders' own."""
    monkeypatch.setattr(clients, "AGAIN_S", 0.05)
    monkeypatch.setattr(transport, "AGAIN_S", 0.05)
    cut = threading.Event()

    def breaks(party: PartyId, event: Event) -> None:
        if event.kind == "step" and event.name == OPENED and not cut.is_set():
            cut.set()
            threading.Thread(target=world.diallers[ANALYST].close).start()

    found = network(world).run(world.toml, progress=breaks)
    assert cut.is_set()
    same(found.to_pandas(), FRAMES)
    assert reasons(found) == {} and set(found.receipts) == set(world.servers)
    assert verified(world, found, tmp_path)
    labels = [(step.party, step.step) for step in found.steps]
    assert len(labels) == len(set(labels)), "no step is counted twice"


def test_a_server_that_is_gone_after_its_upload_changes_nothing(world: LoopbackWorld, tmp_path: Path) -> None:
    """The first holder's server stops once it has sent; the last one uploads only after that."""
    first, last = world.boards[0], world.boards[2]
    gone, real = threading.Event(), world.carriers[last].inner

    class Waits:
        def __getattr__(self, name: str) -> object:
            if name == "announcement":
                gone.wait(15)
            return getattr(real, name)

    world.carriers[last].inner = Waits()  # type: ignore[assignment]

    def leave(party: PartyId, event: Event) -> None:
        if party == first and event.kind == "end" and not gone.is_set():
            threading.Timer(0.5, lambda: (world.listening[first].stop(0.0), gone.set())).start()

    try:
        found = network(world).run(world.toml, progress=leave)
    finally:
        world.carriers[last].inner = real
    assert gone.is_set()
    same(found.to_pandas(), FRAMES)
    assert first in found.receipts and verified(world, found, tmp_path)


def test_a_holder_whose_server_is_down_is_missing(world: LoopbackWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the test before: the first server listens no more."""
    monkeypatch.setattr(contribute, "MINUTE_S", 3.0)
    world.listening[world.boards[0]].stop(0.0)
    found = network(world).run(world.toml)
    same(found.to_pandas(), {party: frame for party, frame in FRAMES.items() if party != world.boards[0]})
    assert reasons(found) == {world.boards[0]: "could not be reached"}
