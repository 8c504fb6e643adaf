"""Runs and attacks over loopback gRPC with mutual TLS: both ends get a typed error, and the server goes on."""

import itertools
import resource
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from pets.errors import LinkError, PeerError, PetsError
from pets.ids import PartyId
from pets.party.identity import make_credentials
from pets.transport import frame
from pets.transport import grpc as grpc_module
from pets.transport.calls import server_name
from pets.transport.frame import CHUNK
from pets.transport.grpc import COLLECT, DELIVER, Dialler, GrpcLink, ResultLink, _Sender, translate
from pets.transport.link import Slot
from pets.transport.mailbox import Mailbox
from pets.transport.remote import Remote
from pets.wire import party_pb2 as wire
from tests.transport.grid import ANALYST, AUTHORITY, CREDENTIALS, HELPER, NOW, OTHER, RUN, STRANGER, A, B, Grid, san

M1, M2 = Slot(1, 0), Slot(2, 0)
BODY = bytes(range(256)) * 12_000  # three chunks
RESULT = PartyId("analyst:result")


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    made = Grid()
    yield made
    made.close()


@pytest.fixture
def run() -> bytes:
    return next(_RUNS)


_RUNS = (number.to_bytes(32, "big") for number in range(1, 10_000))


def still_works(grid: Grid) -> None:
    """The helper's server carries a whole run between honest parties."""
    run = next(_RUNS)
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    helper.expect(A, M1, len(BODY))
    helper.open()
    a.send(HELPER, M1, memoryview(BODY))
    assert helper.receive(A, M1, 60) == BODY
    a.flush(60)
    a.close()
    helper.close()


# -- honest runs ------------------------------------------------------------------------------------------------------


def test_three_parties_and_a_collecting_client_complete_a_run(grid: Grid, run: bytes) -> None:
    links = {party: grid.link(party, run) for party in (A, B, HELPER)}
    result = grid.result_link(run)
    for party, link in links.items():
        for peer in links:
            if peer != party:
                for column in range(5):
                    link.expect(peer, Slot(1, column), len(BODY) + column)
        result.expect(party, M2, 8)
    done: list[PartyId] = []

    def play(party: PartyId, link: GrpcLink) -> None:
        peers = [peer for peer in links if peer != party]
        link.open()
        for column in range(5):
            for peer in peers:
                link.send(peer, Slot(1, column), memoryview(BODY + bytes(column)))
        for peer in peers:
            for column in range(5):
                assert link.receive(peer, Slot(1, column), 10) == BODY + bytes(column)
        link.send(RESULT, M2, memoryview(party.encode().ljust(8)))
        link.flush(10)
        link.close()
        done.append(party)

    threads = [threading.Thread(target=play, args=each) for each in links.items()]
    for thread in threads:
        thread.start()
    shares = [bytes(result.receive(party, M2, 10)) for party in links]
    result.close()
    for thread in threads:
        thread.join(10)
    assert sorted(done) == [A, B, HELPER]
    assert shares == [b"a       ", b"b       ", b"helper  "]
    assert links[A].received == {B: 5 * len(BODY) + 10, HELPER: 5 * len(BODY) + 10}


def test_messages_with_pauses_between_them_arrive_in_their_order(
    grid: Grid, run: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pause ends a stream; the next one starts when the peer has taken all of the one before."""
    pause = 0.002
    monkeypatch.setattr("pets.transport.grpc.LINGER_S", pause)
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    for column in range(60):
        helper.expect(A, Slot(1, column), 4)
    helper.open()
    for column in range(60):
        a.send(HELPER, Slot(1, column), memoryview(column.to_bytes(4, "little")))
        time.sleep(column % 3 * pause)
    a.flush(10)
    got = [int.from_bytes(helper.receive(A, Slot(1, column), 10), "little") for column in range(60)]
    assert got == list(range(60))


def test_messages_out_of_their_order_end_the_run(grid: Grid, run: bytes) -> None:
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    for column in range(2):
        helper.expect(A, Slot(1, column), 4)
    helper.open()
    a.send(HELPER, Slot(1, 1), memoryview(b"next"))
    with pytest.raises(PeerError, match=r"peer\.order"):
        a.flush(10)
    assert helper.error is not None and helper.error.code == "peer.order"


def test_a_faster_peer_waits_for_the_run_to_open(grid: Grid, run: bytes) -> None:
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    a.send(HELPER, M1, memoryview(b"early"))
    time.sleep(0.05)
    helper.expect(A, M1, 5)
    assert helper.receive(A, M1, 5) == b"early"
    a.flush(5)


def test_an_empty_message_and_one_of_exactly_a_chunk_arrive(grid: Grid, run: bytes) -> None:
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    helper.expect(A, M1, 0)
    helper.expect(A, M2, CHUNK)
    helper.open()
    a.send(HELPER, M1, memoryview(b""))
    a.send(HELPER, M2, memoryview(bytes(CHUNK)))
    assert helper.receive(A, M1, 5) == b""
    assert helper.receive(A, M2, 5) == bytes(CHUNK)


def test_messages_sent_with_pauses_use_streams_one_after_another(grid: Grid, run: bytes) -> None:
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    for column in range(4):
        helper.expect(A, Slot(1, column), 3)
    helper.open()
    for column in range(4):
        a.send(HELPER, Slot(1, column), memoryview(b"abc"))
        assert helper.receive(A, Slot(1, column), 5) == b"abc"
        a.flush(5)


def test_a_run_that_ends_at_one_side_first_is_no_fault_at_the_other(grid: Grid, run: bytes) -> None:
    a, helper = grid.link(A, run), grid.link(HELPER, run)
    helper.expect(A, M1, 3)
    helper.open()
    a.send(HELPER, M1, memoryview(b"abc"))
    helper.receive(A, M1, 5)
    helper.close()
    a.flush(5)
    a.close()


# -- identities -------------------------------------------------------------------------------------------------------


def test_a_caller_with_a_certificate_of_another_ca_is_not_let_in(grid: Grid) -> None:
    forged = make_credentials(OTHER, "a", san("a"), now=NOW)
    dialler = grid.dialler(A, type(forged)(forged.certificate, forged.key, AUTHORITY.certificate))
    with pytest.raises(LinkError) as caught:
        Remote(dialler, HELPER).describe()
    assert caught.value.code == "link.unreachable"
    still_works(grid)


def test_a_caller_without_a_certificate_is_not_let_in(grid: Grid) -> None:
    channel = grpc.secure_channel(
        grid.addresses[HELPER].endpoint,
        grpc.ssl_channel_credentials(AUTHORITY.certificate),
        options=[("grpc.ssl_target_name_override", server_name(san("helper")))],
    )
    with pytest.raises(grpc.RpcError), channel:
        channel.unary_unary("/pets.v1.Catalogue/Describe")(b"", timeout=2)
    still_works(grid)


@pytest.mark.parametrize("call", ["describe", "pending", "deliver", "collect"])
def test_a_caller_of_the_right_ca_whom_the_directory_does_not_list_is_refused(grid: Grid, call: str) -> None:
    dialler = grid.dialler(STRANGER)
    with pytest.raises(PetsError) as caught:
        if call == "deliver":
            raw_deliver(dialler, HELPER, frames_of(bytes(32), b"abc"))
        elif call == "collect":
            raw_collect(dialler, HELPER, bytes(32))
        else:
            getattr(Remote(dialler, HELPER), call)()
    assert caught.value.code == "link.stranger"
    assert not [c for c in grid.nodes[HELPER].calls if c[1].party == STRANGER]


def test_a_server_with_another_name_of_the_right_ca_is_not_spoken_to() -> None:
    impostor = Grid(credentials={HELPER: CREDENTIALS[STRANGER]})
    try:
        with pytest.raises(LinkError) as caught:
            Remote(impostor.dialler(A), HELPER).describe()
        assert caught.value.code == "link.unreachable"
        assert impostor.nodes[HELPER].calls == []
        assert Remote(impostor.dialler(A), B).describe().organisation == "Board A"
    finally:
        impostor.close()


def test_a_server_with_a_certificate_of_another_ca_is_not_spoken_to() -> None:
    forged = make_credentials(OTHER, "helper", san("helper"), now=NOW)
    impostor = Grid(credentials={HELPER: type(forged)(forged.certificate, forged.key, AUTHORITY.certificate)})
    try:
        with pytest.raises(LinkError) as caught:
            Remote(impostor.dialler(A), HELPER).describe()
        assert caught.value.code == "link.unreachable"
    finally:
        impostor.close()


def test_nobody_listens(grid: Grid) -> None:
    dialler = Dialler(CREDENTIALS[A], {})
    with pytest.raises(LinkError) as caught:
        dialler.channel(HELPER)
    assert caught.value.code == "link.unreachable"


# -- a peer that breaks the protocol ----------------------------------------------------------------------------------


def frames_of(run: bytes, body: bytes, slot: Slot = M1) -> list[bytes]:
    return list(frame.frames(run, slot, memoryview(body)))


def raw_deliver(dialler: Dialler, to: PartyId, frames: Any, timeout: float = 5) -> bytes:
    """Send any bytes at all as a peer."""
    stub = dialler.channel(to).stream_unary(DELIVER, bytes, bytes)
    try:
        return stub(iter(frames), timeout=timeout)
    except grpc.RpcError as error:
        raise translate(error, to, step="delivery", seconds=timeout, moved=True) from None


def raw_collect(dialler: Dialler, at: PartyId, run: bytes) -> list[bytes]:
    request = wire.CollectRequest(run_id=run).SerializeToString()
    try:
        return list(dialler.channel(at).unary_stream(COLLECT, bytes, bytes)(request, timeout=2))
    except grpc.RpcError as error:
        raise translate(error, at, step="collection", seconds=2) from None


def wrong_length(run: bytes) -> list[bytes]:
    return frames_of(run, BODY + b"x")


def wrong_label(run: bytes) -> list[bytes]:
    return frames_of(run, BODY, M2)


def wrong_column(run: bytes) -> list[bytes]:
    return frames_of(run, BODY, Slot(1, 1))


def extra_message(run: bytes) -> list[bytes]:
    return frames_of(run, BODY) + frames_of(run, b"more", Slot(9, 0))


def twice(run: bytes) -> list[bytes]:
    return frames_of(run, BODY) * 2


def chunk_twice(run: bytes) -> list[bytes]:
    return [frames_of(run, BODY)[i] for i in (0, 1, 1, 2)]


def gap(run: bytes) -> list[bytes]:
    return [frames_of(run, BODY)[i] for i in (0, 2)]


def other_run_in_the_stream(run: bytes) -> list[bytes]:
    return [frames_of(run, BODY)[0], frames_of(bytes(32), BODY)[1]]


def ten_gigabytes(run: bytes) -> list[bytes]:
    return [frame.Head(run, M1, 10 * 2**30, index).pack() + bytes(CHUNK) for index in range(3)]


def noise(run: bytes) -> list[bytes]:
    return [frames_of(run, BODY)[0], b"\xff" * 1000]


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (wrong_length, "peer.bad-length"),
        (wrong_label, "peer.unexpected"),
        (wrong_column, "peer.unexpected"),
        (extra_message, "peer.unexpected"),
        (twice, "peer.repeated"),
        (chunk_twice, "peer.repeated"),
        (gap, "peer.gap"),
        (other_run_in_the_stream, "peer.other-run"),
        (ten_gigabytes, "peer.bad-length"),
        (noise, "peer.frame"),
    ],
)
def test_a_breach_has_the_same_code_at_both_ends_and_the_server_goes_on(
    grid: Grid, run: bytes, attack: Callable[[bytes], list[bytes]], code: str
) -> None:
    helper = grid.link(HELPER, run)
    helper.expect(A, M1, len(BODY))
    helper.expect(B, M1, len(BODY))
    helper.open()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PetsError) as at_sender:
        raw_deliver(grid.dialler(A), HELPER, attack(run))
    with pytest.raises(PetsError) as at_receiver:
        helper.receive(B, M1, 5)
    assert (at_sender.value.code, at_receiver.value.code) == (code, code)
    assert at_receiver.value.fields["peer"] == A
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024  # kB
    helper.abort(code)
    still_works(grid)


def test_a_frame_larger_than_a_chunk_is_refused(grid: Grid, run: bytes) -> None:
    helper = grid.link(HELPER, run)
    helper.expect(A, M1, 2 * CHUNK)
    helper.open()
    large = frame.Head(run, M1, 2 * CHUNK, 0).pack() + bytes(2 * CHUNK)
    with pytest.raises(PeerError) as caught:
        raw_deliver(grid.dialler(A), HELPER, [large])
    assert caught.value.code == "peer.frame"
    with pytest.raises(LinkError) as busy:  # beyond the server's own limit: gRPC says no before we see it
        raw_deliver(grid.dialler(A), HELPER, [bytes(6 * CHUNK)])
    assert busy.value.code == "link.busy"
    still_works(grid)


def test_a_foreign_run_id_is_not_found_and_harms_no_run(grid: Grid, run: bytes) -> None:
    helper = grid.link(HELPER, run)
    helper.expect(A, M1, 3)
    helper.open()
    with pytest.raises(LinkError) as unknown:
        raw_deliver(grid.dialler(A), HELPER, frames_of(b"\xee" * 32, b"abc"))
    with pytest.raises(LinkError) as foreign:  # a run of others: the same words
        raw_deliver(grid.dialler(ANALYST), HELPER, frames_of(run, b"abc"))
    assert unknown.value.code == foreign.value.code == "link.no-run"
    assert str(unknown.value) == str(foreign.value)
    raw_deliver(grid.dialler(A), HELPER, frames_of(run, b"abc"))
    assert helper.receive(A, M1, 5) == b"abc"


def test_a_peer_that_stalls_ends_the_run_at_the_deadline_and_its_stream_with_it(grid: Grid, run: bytes) -> None:
    helper = grid.link(HELPER, run)
    helper.expect(A, M1, len(BODY))
    helper.open()
    release = threading.Event()
    heard: list[str] = []

    def stalling() -> Iterator[bytes]:
        yield frames_of(run, BODY)[0]
        release.wait(10)

    def send() -> None:
        try:
            raw_deliver(grid.dialler(A), HELPER, stalling(), timeout=8)
        except PetsError as error:
            heard.append(error.code)
        release.set()

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(LinkError) as caught:
        helper.receive(A, M1, 0.5)
    assert caught.value.code == "link.deadline"
    helper.abort(caught.value.code)
    assert release.wait(5)  # its stream was ended by the server, long before its own deadline
    sender.join(5)
    assert heard == ["link.cut"]
    still_works(grid)


def test_a_peer_that_disconnects_in_mid_message_ends_the_run(grid: Grid, run: bytes) -> None:
    helper = grid.link(HELPER, run)
    helper.expect(A, M1, len(BODY))
    helper.open()
    dialler = grid.dialler(A)
    arrived = threading.Event()

    def half() -> Iterator[bytes]:
        yield frames_of(run, BODY)[0]
        arrived.wait(5)

    call = dialler.channel(HELPER).stream_unary(DELIVER, bytes, bytes).future(half(), timeout=5)
    while not helper.received[A]:
        time.sleep(0.01)
    dialler.close()
    with pytest.raises(LinkError) as caught:
        helper.receive(A, M1, 5)
    assert caught.value.code == "link.cut"
    arrived.set()
    assert call.code() == grpc.StatusCode.CANCELLED
    still_works(grid)


def test_a_server_that_goes_away_in_mid_run_is_a_typed_error_for_sender_and_collector(run: bytes) -> None:
    grid = Grid()
    try:
        a, helper, result = grid.link(A, run), grid.link(HELPER, run), grid.result_link(run)
        helper.expect(A, M1, len(BODY))
        helper.open()
        result.expect(HELPER, M2, 8)
        result.open()
        for party in (A, B):
            grid.link(party, run).open() if party == B else a.open()
        a.send(HELPER, M1, memoryview(BODY))
        a.flush(5)
        grid.servers[HELPER].stop(0.0)
        with pytest.raises(PetsError) as collector:
            result.receive(HELPER, M2, 5)
        assert collector.value.code in ("link.cut", "link.unreachable")
        with pytest.raises(LinkError) as sender:
            a.send(HELPER, M2, memoryview(BODY))
            a.flush(5)
        assert sender.value.code in ("link.cut", "link.unreachable")
    finally:
        grid.close()


def collecting(link: ResultLink, count: int) -> None:
    """Wait until so many of its collections are under way."""
    until = time.monotonic() + 10
    while len(link._calls) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("cuts", [1, 3])
def test_a_collector_whose_connections_break_comes_back_where_that_is_kept(
    grid: Grid, run: bytes, cuts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_module, "AGAIN_S", 0.02)
    links = {party: grid.link(party, run, keeps=True) for party in (A, B, HELPER)}
    result = grid.result_link(run, away_s=10)
    for party, link in links.items():
        link.open()
        result.expect(party, M2, 8)
    result.open()
    for _ in range(cuts):
        collecting(result, len(links))
        before = tuple(result._calls)
        result._dialler.close()
        while any(call in result._calls for call in before):
            time.sleep(0.01)
    for party, link in links.items():
        link.send(RESULT, M2, memoryview(party.encode().ljust(8)))
    assert [bytes(result.receive(party, M2, 10)) for party in links] == [b"a       ", b"b       ", b"helper  "]
    for link in links.values():
        link.flush(5)
        link.close()
    result.close()


def test_a_collector_gives_a_server_up_that_does_not_come_back(run: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_module, "AGAIN_S", 0.02)
    grid = Grid()
    try:
        for party in (A, B, HELPER):
            grid.link(party, run, keeps=True).open()
        result = grid.result_link(run, away_s=0.3)
        result.expect(HELPER, M2, 8)
        result.open()
        collecting(result, 3)
        grid.servers[HELPER].stop(0.0)
        with pytest.raises(PetsError) as caught:
            result.receive(HELPER, M2, 10)
        assert caught.value.code in ("link.cut", "link.unreachable")
        assert not result._over.is_set() or result.error is not None
    finally:
        grid.close()


def test_a_collector_does_not_ask_again_once_something_has_come(grid: Grid, run: bytes) -> None:
    """What was pulled is gone from the server: a second collection would begin in mid-message."""
    links = {party: grid.link(party, run, keeps=True) for party in (A, B, HELPER)}
    for link in links.values():
        link.open()
    result = grid.result_link(run, away_s=10)
    result.expect(HELPER, M2, 8)
    result.expect(HELPER, Slot(3, 0), 8)
    result.open()
    links[HELPER].send(RESULT, M2, memoryview(b"helper  "))
    assert bytes(result.receive(HELPER, M2, 10)) == b"helper  "
    result._dialler.close()
    with pytest.raises(PetsError) as caught:
        result.receive(HELPER, Slot(3, 0), 10)
    assert caught.value.code == "link.cut"
    for link in links.values():
        link.abort("link.cut")


# -- ends -------------------------------------------------------------------------------------------------------------


def test_an_abort_reaches_peers_and_the_collector_with_its_code(grid: Grid, run: bytes) -> None:
    a, b, helper, result = grid.link(A, run), grid.link(B, run), grid.link(HELPER, run), grid.result_link(run)
    for link in (a, b):
        link.expect(HELPER, M1, 3)
        link.open()
    helper.open()
    result.expect(HELPER, M2, 3)
    result.open()
    helper.abort("run.stopped")
    helper.abort("run.stopped")
    for link in (a, b):
        with pytest.raises(PeerError) as caught:
            link.receive(HELPER, M1, 5)
        assert (caught.value.code, caught.value.fields["reason"]) == ("peer.aborted", "run.stopped")
        with pytest.raises(PeerError):
            link.send(HELPER, M1, memoryview(b"abc"))
        link.abort("peer.aborted")
    with pytest.raises(PetsError) as caught:
        result.receive(HELPER, M2, 5)
    assert caught.value.code in ("peer.aborted", "link.no-run")
    result.abort("peer.aborted")


def test_what_waits_for_the_result_party_is_for_its_certificate_alone(grid: Grid, run: bytes) -> None:
    helper = grid.link(HELPER, run)
    helper.open()
    helper.send(RESULT, M2, memoryview(b"share"))
    for caller in (A, B):
        with pytest.raises(LinkError) as caught:
            raw_collect(grid.dialler(caller), HELPER, run)
        assert caught.value.code == "link.no-run"
    collected: list[bytes] = []
    puller = threading.Thread(target=lambda: collected.extend(raw_collect(grid.dialler(ANALYST), HELPER, run)))
    puller.start()
    helper.flush(5)
    helper.close()
    puller.join(5)
    assert collected == frames_of(run, b"share", M2)


class Held:
    """Stands for the stub of Deliver, and for its call: keeps the frames that it was given until they are pulled."""

    def __init__(self) -> None:
        self.frames: list[Iterator[bytes]] = []
        self.code = lambda: grpc.StatusCode.OK
        self.cancelled = 0

    def future(self, frames: Iterator[bytes], timeout: float) -> "Held":
        self.frames.append(frames)
        return self

    def add_done_callback(self, callback: Callable[["Held"], None]) -> None:
        self.done = callback

    def cancel(self) -> None:
        self.cancelled += 1


def test_a_sender_blocks_while_too_much_waits_and_goes_on_when_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pets.transport.grpc.QUEUE_BYTES", CHUNK)
    monkeypatch.setattr("pets.transport.grpc.LINGER_S", 1.0)
    stub, sent = Held(), threading.Semaphore(0)
    sender = _Sender(stub, Mailbox(RUN, (HELPER,)), HELPER, 5)

    def put() -> None:
        for column in range(3):
            sender.put(Slot(1, column), memoryview(BODY))
            sent.release()

    putting = threading.Thread(target=put)
    putting.start()
    assert sent.acquire(timeout=5)
    assert not sent.acquire(timeout=0.1)  # the first body is larger than the queue may be
    first = [len(one) - frame.HEADER_BYTES for one in itertools.islice(stub.frames[0], 4)]
    assert first == [CHUNK, CHUNK, len(BODY) - 2 * CHUNK, CHUNK]
    assert sent.acquire(timeout=5)
    assert len(list(stub.frames[0])) == 5
    putting.join(5)
    assert len(stub.frames) == 1
    stub.done(stub)
    sender.flush(1)


def test_a_sender_whose_peer_takes_nothing_meets_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pets.transport.grpc.QUEUE_BYTES", 1)
    stub = Held()
    sender = _Sender(stub, Mailbox(RUN, (HELPER,)), HELPER, 0.05)
    sender.put(M1, memoryview(BODY))
    for late in (lambda: sender.put(M2, memoryview(BODY)), lambda: sender.flush(0.01)):
        with pytest.raises(LinkError) as caught:
            late()
        assert caught.value.code == "link.deadline"
    sender.stop()
    assert stub.cancelled == 1
    assert list(stub.frames[0]) == []


def test_sending_to_someone_without_a_part_is_our_bug(grid: Grid) -> None:
    with pytest.raises(PetsError) as caught:
        grid.link(A, RUN).send(ANALYST, M1, memoryview(b"abc"))
    assert caught.value.code == "internal.bug"
