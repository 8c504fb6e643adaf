"""Runs that take uploads over real connections: what a certificate says counts, and what is refused says why."""

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from pets.errors import LinkError, PetsError
from pets.ids import PartyId
from pets.party import contribute
from pets.party import server as server_module
from pets.party.uploads import MOST_REFUSED
from pets.transport import frame
from pets.transport.calls import UPLOAD_S
from pets.transport.grpc import translate
from pets.wire import party_pb2 as wire
from tests.party.by_hand import sealed
from tests.party.loopback import LoopbackRun, LoopbackWorld
from tests.party.pool_world import parts, toml_of
from tests.party.test_pooling import NORTH, ONE, SOUTH, SQL, SURE, THREE, TWO, left, refused, vector
from tests.party.world import ANALYST, STRANGER

PATH = "/pets.v1.Uploads/Upload"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackWorld]:
    toml = toml_of(3, 2, sql=SQL, protection=SURE, minimum=2, runs=20)
    made = LoopbackWorld(tmp_path_factory.mktemp("loopback") / "world", toml, parts(3))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contribute, "MINUTE_S", 20.0)


@pytest.fixture
def run(world: LoopbackWorld) -> Iterator[LoopbackRun]:
    made = LoopbackRun(world, world.prepared())
    yield made
    for party in (NORTH, SOUTH):
        if not world.nodes[party].runs._runs[made.handle].events.ended:
            try:
                world.remote(party, ANALYST).stop(made.handle)
            except PetsError as error:
                assert error.code == "run.order"  # the other party has told it to stop meanwhile
        made.ended(party)


def test_a_sum_of_uploads_over_the_network(run: LoopbackRun) -> None:
    for number, board in enumerate((ONE, TWO, THREE), 1):
        run.upload(board, vector(run, number, 2 * number))
    found = run.result(run.announced_once.run_id)
    assert found.sums[0, :2].tolist() == [6, 12]
    assert [run.ended(party) for party in (NORTH, SOUTH)] == ["finished"] * 2
    assert left(run, NORTH) == left(run, SOUTH) == []


def test_each_refusal_arrives_with_its_code(run: LoopbackRun) -> None:
    mine = run.announced_once
    good = sealed(run.reviewed, ONE, vector(run, 7), mine)[NORTH]

    def handed(by: PartyId, body: bytes, run_id: bytes = mine.run_id) -> Callable[[], object]:
        return lambda: run.server(NORTH, by).upload(run.handle, run_id, body)

    refused(handed(ONE, good + b"x"), "peer.bad-length")
    refused(handed(ONE, good, bytes(32)), "peer.upload-run")
    refused(handed(TWO, good), "peer.upload-holder")
    refused(handed(SOUTH, good), "peer.upload-holder")
    refused(handed(STRANGER, good), "link.stranger")
    refused(handed(ONE, good[:-1] + bytes([good[-1] ^ 1])), "peer.upload-sealed")
    refused(lambda: run.world.remote(NORTH, STRANGER).announcement(run.handle), "link.stranger")
    assert left(run, NORTH) == []
    handed(ONE, good)()
    refused(handed(ONE, good), "peer.repeated")
    assert len(left(run, NORTH)) == 1
    for _ in range(MOST_REFUSED - 1):  # one was before
        refused(handed(TWO, good), "peer.upload-holder")
    refused(handed(TWO, good), "peer.upload-refused")


def sent(run: LoopbackRun, messages: Any, timeout: float | None = 20.0) -> bytes:
    stub = run.world.diallers[ONE].channel(NORTH).stream_unary(PATH, bytes, bytes)
    try:
        answer: bytes = stub(iter(messages), timeout=timeout)
    except grpc.RpcError as error:
        raise translate(error, NORTH, step="an upload", seconds=0.0) from None
    return answer


def test_a_stream_that_is_no_upload_is_refused(run: LoopbackRun) -> None:
    mine = run.announced_once
    handle = wire.Handle(handle=run.handle).SerializeToString()
    body = sealed(run.reviewed, ONE, vector(run, 7), mine)[NORTH]
    frames = list(frame.frames(mine.run_id, frame.UPLOAD, memoryview(body)))
    refused(lambda: sent(run, []), "link.request")
    refused(lambda: sent(run, [b"\xff\xff"]), "link.request")
    refused(lambda: sent(run, [wire.Handle(handle="0f" * 16).SerializeToString(), *frames]), "run.unknown")
    refused(lambda: sent(run, [handle]), "link.cut")
    refused(lambda: sent(run, [handle, b"frame"]), "peer.frame")
    refused(lambda: sent(run, [handle, *frames, frames[-1]]), "peer.gap")
    refused(lambda: sent(run, [handle, *frames], timeout=None), "link.request")
    refused(lambda: sent(run, [handle, *frames], timeout=UPLOAD_S + 120), "link.request")
    assert left(run, NORTH) == []
    assert sent(run, [handle, *frames])


def test_a_connection_that_breaks_leaves_nothing_and_the_part_may_come_again(run: LoopbackRun) -> None:
    mine = run.announced_once
    body = sealed(run.reviewed, ONE, vector(run, 7), mine)[NORTH]
    handle = wire.Handle(handle=run.handle).SerializeToString()
    begun, go = threading.Event(), threading.Event()

    def stalls() -> Iterator[bytes]:
        yield handle
        begun.set()
        go.wait(20)

    call = run.world.diallers[ONE].channel(NORTH).stream_unary(PATH, bytes, bytes).future(stalls(), timeout=20)
    assert begun.wait(10)
    run.world.wait_for(lambda: len(left(run, NORTH)) == 1)
    refused(lambda: run.server(NORTH, ONE).upload(run.handle, mine.run_id, body), "peer.upload-twice")
    call.cancel()
    go.set()
    run.world.wait_for(lambda: left(run, NORTH) == [])
    assert run.server(NORTH, ONE).upload(run.handle, mine.run_id, body)


def test_uploads_leave_threads_for_everything_else(run: LoopbackRun, monkeypatch: pytest.MonkeyPatch) -> None:
    server = run.world.listening[NORTH]
    monkeypatch.setattr(server, "_uploads", threading.BoundedSemaphore(1))
    mine = run.announced_once
    body = sealed(run.reviewed, ONE, vector(run, 7), mine)[NORTH]
    assert server._uploads.acquire(blocking=False)
    refused(lambda: run.server(NORTH, ONE).upload(run.handle, mine.run_id, body), "link.busy")
    assert run.server(NORTH, ONE).announcement(run.handle)
    server._uploads.release()
    assert run.server(NORTH, ONE).upload(run.handle, mine.run_id, body)
    assert server_module.UPLOADS < server_module.MAX_CALLS


def test_one_caller_who_begins_uploads_and_says_nothing_leaves_room_for_others(
    run: LoopbackRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is in the directory may call; a stream that says nothing waits for many minutes."""
    monkeypatch.setattr(server_module, "UPLOADS_OF_ONE", 2)
    server = run.world.listening[NORTH]
    monkeypatch.setattr(server, "_uploads", threading.BoundedSemaphore(2))
    mine, go, begun = run.announced_once, threading.Event(), threading.Semaphore(0)
    body = sealed(run.reviewed, ONE, vector(run, 7), mine)[NORTH]

    def silent() -> Iterator[bytes]:
        begun.release()
        go.wait(20)
        yield from ()

    stub = run.world.diallers[TWO].channel(NORTH).stream_unary(PATH, bytes, bytes)
    calls = [stub.future(silent(), timeout=20) for _ in range(2)]
    assert all(begun.acquire(timeout=10) for _ in calls)
    run.world.wait_for(lambda: server._under_way.get(TWO, 0) == 2)
    try:
        refused(lambda: run.server(NORTH, TWO).upload(run.handle, mine.run_id, body), "link.busy")
        assert run.server(NORTH, ONE).upload(run.handle, mine.run_id, body)
    finally:
        for call in calls:
            call.cancel()
        go.set()
    run.world.wait_for(lambda: server._uploading[TWO] == 0)
    assert server_module.UPLOADS_OF_ONE * 8 < server_module.UPLOADS


def test_a_stop_over_the_network_ends_uploads_at_all(run: LoopbackRun) -> None:
    mine = run.announced_once
    run.upload(ONE, vector(run, 1))
    run.world.remote(NORTH, TWO).stop(run.handle)
    assert run.ended(NORTH) == "run.stopped"
    assert run.ended(SOUTH) == "peer.aborted"
    assert left(run, NORTH) == left(run, SOUTH) == []
    body = sealed(run.reviewed, TWO, vector(run, 7), mine)[SOUTH]
    refused(lambda: run.server(SOUTH, TWO).upload(run.handle, mine.run_id, body), "peer.upload-late")


def test_a_peer_that_is_gone_at_the_end_of_uploads_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = toml_of(3, 2, sql=SQL, protection=SURE, minimum=2)
    world = LoopbackWorld(tmp_path / "world", toml, parts(3), deadline_s=1.0)
    run = LoopbackRun(world, world.prepared())
    mine = run.announced_once
    for number, board in enumerate((ONE, TWO), 1):
        run.upload(board, vector(run, number))
    last = sealed(run.reviewed, THREE, vector(run, 3), mine)
    world.listening[SOUTH].stop(0.0)
    run.server(NORTH, THREE).upload(run.handle, mine.run_id, last[NORTH])
    try:
        assert run.ended(NORTH) in ("link.unreachable", "link.cut")
        assert left(run, NORTH) == []
    finally:
        world.nodes[SOUTH].stop(world.caller(ANALYST), run.handle)
        world.close()


def test_hundreds_of_frames_are_no_larger_than_a_part(run: LoopbackRun) -> None:
    """A holder that goes on and on is cut off after the bytes of its part."""
    mine = run.announced_once
    body = sealed(run.reviewed, ONE, vector(run, 7), mine)[NORTH]
    handle = wire.Handle(handle=run.handle).SerializeToString()
    (one,) = frame.frames(mine.run_id, frame.UPLOAD, memoryview(body))
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        while len(taken) < 10_000:
            taken.append(len(one))
            yield one

    with pytest.raises(PetsError) as caught:
        sent(run, chain((handle,), endless()))
    assert caught.value.code in ("peer.gap", "link.cut") and not isinstance(caught.value, LinkError)
    assert left(run, NORTH) == []
    assert np.size(taken) < 10_000
