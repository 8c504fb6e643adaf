import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from pets.errors import ApprovalError, InternalError, LinkError, PeerError, PetsError, RunError
from pets.ids import PartyId, PlanDigest, RunHandle, SpecDigest
from pets.party import hello, runs
from pets.party import server as server_module
from pets.party.service import Caller, Event, StartRequest
from pets.transport import frame, refusal
from pets.transport.calls import MAX_APPROVALS, MAX_ENVELOPE, MAX_HELLO, MAX_TEXT
from pets.transport.remote import Remote
from pets.wire import party_pb2 as wire
from tests.transport.grid import (
    ANALYST,
    CREDENTIALS,
    DIGEST,
    DIRECTORY,
    HANDLE,
    RUN,
    A,
    B,
    Grid,
    NotingNode,
    san,
)


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    made = Grid()
    yield made
    made.close()


@pytest.fixture
def node(grid: Grid) -> NotingNode:
    grid.nodes[A].calls.clear()
    return grid.nodes[A]


@pytest.fixture
def remote(grid: Grid) -> Remote:
    return Remote(grid.dialler(ANALYST), A)


WHO = Caller(san("analyst"), ANALYST)


def test_every_call_reaches_the_node_with_the_caller_of_the_certificate(node: NotingNode, remote: Remote) -> None:
    request = StartRequest(HANDLE, DIGEST, b"hello", (b"one", b"two"))
    assert remote.describe() == node.describe(WHO)
    assert remote.submit(b"toml", b"signed") == node.submit(WHO, b"toml", b"signed")
    assert remote.approve(b"signed") == node.approve(WHO, b"signed")
    assert remote.revoke(b"signed") == node.revoke(WHO, b"signed")
    assert remote.pending() == node.pending(WHO)
    assert remote.evidence(DIGEST) == node.evidence(WHO, DIGEST)
    assert remote.snapshot(DIGEST) == node.snapshot(WHO, DIGEST)
    assert remote.start(request) == node.start(WHO, request)
    assert list(remote.watch(HANDLE, 5)) == list(node.watch(WHO, HANDLE))
    assert remote.stop(HANDLE) == node.stop(WHO, HANDLE)  # type: ignore[func-returns-value]
    assert remote.receipt(HANDLE) == node.receipt(WHO, HANDLE)
    assert remote.hello(HANDLE, b"body") == node.hello(WHO, HANDLE, b"body")  # type: ignore[func-returns-value]
    assert remote.abort(RUN, "run.stopped") == node.abort(WHO, RUN, "run.stopped")  # type: ignore[func-returns-value]
    assert remote.conclude(HANDLE, 5.0) == node.conclude(WHO, HANDLE)  # type: ignore[func-returns-value]
    assert remote.announcement(HANDLE) == node.announcement(WHO, HANDLE)
    frames = list(frame.frames(RUN, frame.UPLOAD, memoryview(b"part")))
    assert remote.upload(HANDLE, RUN, b"part") == node.upload(WHO, HANDLE, iter(frames))
    assert len(node.calls) == 32
    assert node.calls[::2] == node.calls[1::2]  # over the network and by hand: the same call by the same caller


def test_every_call_of_the_proto_is_served(grid: Grid) -> None:
    served = {"Catalogue": grid.servers[A].catalogue(), "Approvals": grid.servers[A].approvals()}
    served |= {"Runs": grid.servers[A].runs(), "Exchange": grid.servers[A].exchange()}
    served |= {"Uploads": grid.servers[A].uploads()}
    declared = {
        name: {method.name for method in service.methods} for name, service in wire.DESCRIPTOR.services_by_name.items()
    }
    assert {name: set(calls) - {"Deliver", "Collect", "Upload"} for name, calls in served.items()} == declared


def test_a_refusal_arrives_as_the_same_typed_error(node: NotingNode, remote: Remote) -> None:
    with pytest.raises(ApprovalError) as caught:
        remote.approve(b"expired")
    with pytest.raises(ApprovalError) as local:
        node.approve(WHO, b"expired")
    assert caught.value.code == local.value.code
    assert (caught.value.text, caught.value.hint) == (local.value.text, local.value.hint)
    assert caught.value.fields["at"] == A


def test_a_bug_arrives_as_its_code_and_nothing_of_its_text(
    node: NotingNode, remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InternalError) as caught:
        remote.approve(b"bug")
    assert caught.value.code == "internal.bug"
    assert caught.value.fields == {"where": "Approve", "at": A}
    assert "Ann Smith" not in str(caught.value.fields)
    assert remote.pending()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda r: r.submit(bytes(MAX_TEXT + 1), b""), "link.too-large"),
        (lambda r: r.approve(bytes(MAX_ENVELOPE + 1)), "link.too-large"),
        (lambda r: r.hello(HANDLE, bytes(MAX_HELLO + 1)), "link.too-large"),
        (lambda r: r.start(StartRequest(HANDLE, DIGEST, b"", (b"",) * (MAX_APPROVALS + 1))), "link.too-large"),
        (lambda r: r.approve(bytes(8 << 20)), "link.busy"),  # beyond the server's limit: gRPC says no
        (lambda r: r.stop(RunHandle("0F" * 16)), "link.request"),
        (lambda r: r.stop(RunHandle("")), "link.request"),
        (lambda r: r.evidence(SpecDigest("1e" * 31)), "link.request"),
        (lambda r: r.abort(b"short", "run.stopped"), "link.request"),
    ],
)
def test_what_is_too_large_or_misshapen_does_not_reach_the_node(
    node: NotingNode, remote: Remote, call: object, code: str
) -> None:
    with pytest.raises(LinkError) as caught:
        call(remote)  # type: ignore[operator]
    assert caught.value.code == code
    assert node.calls == []


def test_bytes_that_are_no_message_are_refused(node: NotingNode, grid: Grid) -> None:
    stub = grid.dialler(ANALYST).channel(A).unary_unary("/pets.v1.Runs/Stop", bytes, bytes)
    with pytest.raises(grpc.RpcError) as caught:
        stub(b"\xff\xff\xff", timeout=2)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert node.calls == []


def test_a_call_without_a_deadline_is_refused(node: NotingNode, grid: Grid) -> None:
    stub = grid.dialler(ANALYST).channel(A).unary_unary("/pets.v1.Catalogue/Describe", bytes, bytes)
    with pytest.raises(grpc.RpcError) as caught:
        stub(b"")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert node.calls == []


def test_an_abort_code_that_is_none_of_ours_is_not_passed_on(node: NotingNode, remote: Remote) -> None:
    remote.abort(RUN, "\x1b[2J")
    assert node.calls[-1][2] == (RUN, "internal.bug")


def test_one_caller_cannot_take_all_calls(node: NotingNode, grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CALLER_CALLS", 2)
    release = threading.Event()
    entered = threading.Semaphore(0)

    def watch(caller: Caller, handle: RunHandle) -> Iterator[Event]:
        entered.release()
        release.wait(10)
        yield Event("end", "ended", 0)

    monkeypatch.setattr(node, "watch", watch)
    remote = Remote(grid.dialler(ANALYST), A)
    threads = [threading.Thread(target=lambda: list(remote.watch(HANDLE, 10))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert entered.acquire(timeout=5)
    with pytest.raises(LinkError) as caught:
        remote.describe()
    assert caught.value.code == "link.busy"
    assert Remote(grid.dialler(B), A).describe()
    release.set()
    for thread in threads:
        thread.join(5)
    assert remote.describe()


def test_a_server_takes_what_a_run_of_dozens_of_holders_brings() -> None:
    """Two runs at once of 14 and 32 holders, three approvers each, with the longest names: keys, approvals, calls."""
    names = [PartyId(f"p{number:03}".ljust(63, "x")) for number in range(14 + 32 + 3)]
    agreed = hello.Agreed(DIGEST, PlanDigest("ab" * 32), "ab" * 32, "ab" * 32, cover=DIGEST)
    assert len(hello.make(agreed, bytes(16), {name: bytes(32) for name in names[1:]}).body) <= MAX_HELLO
    assert 3 * len(names) <= MAX_APPROVALS
    assert MAX_HELLO <= hello.MAX_BYTES
    uploads, ends, watches = len(names) - 3, 2, 2
    assert 2 * (uploads + ends + watches) <= server_module.MAX_CALLS
    assert 2 * len(names) <= runs.EARLY_HELLOS


def test_an_address_in_use_is_a_clear_refusal(grid: Grid) -> None:
    again = server_module.Server(NotingNode(), DIRECTORY, CREDENTIALS[A], grid.addresses[A].endpoint)
    with pytest.raises(LinkError) as caught:
        again.start()
    assert caught.value.code == "link.listen"


# -- refusals on the wire ---------------------------------------------------------------------------------------------


def test_a_refusal_survives_the_wire() -> None:
    error = PeerError("peer.bad-length", peer="a", message="M1.0", got=5, expected=7)
    again = refusal.unpack(refusal.pack(error), at="b")
    assert type(again) is PeerError and again.text == error.text


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"code": 1, "fields": {}}', b'{"code": "x", "fields": {"a": []}}', bytes(5000)]
)
def test_a_refusal_that_cannot_be_read_is_the_peers_fault(data: bytes) -> None:
    assert refusal.unpack(data, at="b").code == "peer.answer"


def test_a_code_of_another_version_and_control_characters_do_no_harm() -> None:
    newer = refusal.unpack(b'{"code": "new.\\u001b[2Jcode", "fields": {}}', at="b")
    assert newer.code == "peer.refused" and newer.text.isprintable()
    hostile = refusal.unpack(b'{"code": "peer.other-run", "fields": {"peer": "\\u001b[2J"}}', at="b")
    assert hostile.text.isprintable()


def test_a_long_field_is_cut_and_many_are_left_out() -> None:
    error = RunError("run.stopped", **{f"f{i}": "x" * 5000 for i in range(20)})
    packed = refusal.pack(error)
    assert len(packed) <= refusal.MAX_BYTES
    assert refusal.unpack(packed, at="b").code == "run.stopped"


# -- a server of its own process --------------------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from types import SimpleNamespace
from pets.party.server import serve
from tests.transport.grid import CREDENTIALS, DIRECTORY, A, NotingNode

class Node(NotingNode):
    def close(self):
        print("closed", flush=True)

config = SimpleNamespace(name=A, directory=DIRECTORY, credentials=CREDENTIALS[A], listen="127.0.0.1:0")
serve(config, Node())
print("served", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_says_when_it_is_ready_and_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GRPC_VERBOSITY": "ERROR"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("pets: a ready on 127.0.0.1:")
        process.send_signal(number)
        assert process.stdout.read().split() == ["closed", "served"]
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_the_same_error_class_is_found_for_every_code() -> None:
    from pets.errors import CODES

    for code in CODES:
        assert isinstance(refusal.unpack(refusal.pack(PetsError(code)), at="b"), PetsError)
