import threading
import tracemalloc

import pytest

from pets.errors import InternalError, LinkError, PeerError, PetsError
from pets.ids import PartyId
from pets.transport import frame
from pets.transport.frame import CHUNK
from pets.transport.link import Slot
from pets.transport.mailbox import MAX_ENDED, MAX_WAITERS, WAITERS_OF_ONE, Exchange, Inlet, Mailbox, Outbox

RUN, OTHER_RUN = bytes(32), bytes([1] * 32)
A, B, HELPER, ANALYST = (PartyId(name) for name in ("a", "b", "helper", "analyst"))
M1 = Slot(1, 0)


def box(size: int = CHUNK + 5) -> Mailbox:
    made = Mailbox(RUN, (A, B))
    made.expect(A, M1, size)
    return made


def sent(body: bytes, slot: Slot = M1, run: bytes = RUN) -> list[bytes]:
    return list(frame.frames(run, slot, memoryview(body)))


def refused(mailbox: Mailbox, peer: PartyId, data: bytes) -> str:
    """The code of the refusal; it is final, and the same for whoever waits and for whatever comes later."""
    with pytest.raises(PeerError) as caught:
        mailbox.put(peer, data)
    assert caught.value.fields["peer"] == peer
    assert mailbox.error is caught.value
    with pytest.raises(PeerError) as again:
        mailbox.receive(A, M1, 0)
    assert again.value is caught.value
    with pytest.raises(PetsError):
        mailbox.put(A, sent(bytes(CHUNK + 5))[0])
    assert mailbox.error is caught.value
    return caught.value.code


def test_a_message_in_its_chunks_arrives_whole() -> None:
    mailbox, body = box(), bytes(range(256)) * 4097
    mailbox.expect(B, Slot(2, 3), len(body))
    for one, other in zip(sent(body[: CHUNK + 5]), sent(body, Slot(2, 3)), strict=True):
        mailbox.put(A, one)
        mailbox.put(B, other)
    assert mailbox.receive(A, M1, 0) == body[: CHUNK + 5]
    assert mailbox.receive(B, Slot(2, 3), 0) == body
    assert mailbox.received == {A: CHUNK + 5, B: len(body)}


def test_an_empty_message_arrives_too() -> None:
    mailbox = box(0)
    mailbox.put(A, sent(b"")[0])
    assert mailbox.receive(A, M1, 0) == b""


def test_receive_waits_for_the_last_chunk() -> None:
    mailbox, body = box(), bytes(CHUNK + 5)
    one, two = sent(body)
    mailbox.put(A, one)
    late = threading.Timer(0.05, mailbox.put, (A, two))
    late.start()
    assert mailbox.receive(A, M1, 5) == body


def test_a_frame_of_another_run_ends_the_run() -> None:
    assert refused(box(), A, sent(bytes(CHUNK + 5), run=OTHER_RUN)[0]) == "peer.other-run"


@pytest.mark.parametrize("slot", [Slot(2, 0), Slot(1, 1), Slot(0, 0)])
def test_a_wrong_label_or_an_extra_message_ends_the_run(slot: Slot) -> None:
    assert refused(box(), A, sent(bytes(CHUNK + 5), slot)[0]) == "peer.unexpected"


def test_the_right_message_from_the_wrong_peer_ends_the_run() -> None:
    assert refused(box(), B, sent(bytes(CHUNK + 5))[0]) == "peer.unexpected"


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 4, CHUNK + 6, 3 * CHUNK])
def test_a_wrong_length_ends_the_run_at_the_first_chunk(size: int) -> None:
    assert refused(box(), A, sent(bytes(size))[0]) == "peer.bad-length"


def test_a_claim_of_10_gb_allocates_nothing() -> None:
    mailbox = box()
    claim = frame.Head(RUN, M1, 10 * 2**30, 0).pack() + bytes(CHUNK)
    tracemalloc.start()
    assert refused(mailbox, A, claim) == "peer.bad-length"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * CHUNK


def test_nothing_is_allocated_for_a_message_that_has_not_begun() -> None:
    tracemalloc.start()
    mailbox = Mailbox(RUN, (A,))
    mailbox.expect(A, M1, 2**33)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < CHUNK


def test_a_chunk_twice_ends_the_run() -> None:
    mailbox, (one, _) = box(), sent(bytes(CHUNK + 5))
    mailbox.put(A, one)
    assert refused(mailbox, A, one) == "peer.repeated"


def test_a_whole_message_twice_ends_the_run_even_after_it_was_taken() -> None:
    mailbox, frames = box(), sent(bytes(CHUNK + 5))
    for one in frames:
        mailbox.put(A, one)
    mailbox.receive(A, M1, 0)
    with pytest.raises(PeerError) as caught:
        mailbox.put(A, frames[0])
    assert caught.value.code == "peer.repeated"


def test_a_gap_ends_the_run() -> None:
    mailbox, frames = box(2 * CHUNK + 1), sent(bytes(2 * CHUNK + 1))
    mailbox.put(A, frames[0])
    assert refused(mailbox, A, frames[2]) == "peer.gap"


def test_a_first_chunk_that_is_not_first_is_a_gap() -> None:
    assert refused(box(), A, sent(bytes(CHUNK + 5))[1]) == "peer.gap"


def test_noise_ends_the_run() -> None:
    assert refused(box(), A, b"GET / HTTP/1.1") == "peer.frame"


def test_a_stall_ends_the_run_at_the_deadline() -> None:
    mailbox = box()
    mailbox.put(A, sent(bytes(CHUNK + 5))[0])
    with pytest.raises(LinkError) as caught:
        mailbox.receive(A, M1, 0.02)
    assert caught.value.code == "link.deadline"
    assert mailbox.error is caught.value


def test_a_stream_that_ends_in_mid_message_ends_the_run_and_one_that_ends_between_does_not() -> None:
    (one, two) = sent(bytes(CHUNK + 5))
    mailbox = Mailbox(RUN, (A,))
    mailbox.expect(A, Slot(2, 0), 3)
    mailbox.expect(A, M1, CHUNK + 5)
    first, second = Inlet(mailbox, A), Inlet(mailbox, A)
    first.put(sent(b"abc", Slot(2, 0))[0])
    second.put(one)
    first.end()  # while another stream of the same peer is in mid-message
    assert mailbox.error is None
    second.end()
    assert mailbox.error is not None and mailbox.error.code == "link.cut"
    with pytest.raises(LinkError):
        mailbox.put(A, two)


def test_a_failure_wakes_whoever_waits_and_tells_listeners_once() -> None:
    mailbox, heard = box(), []
    mailbox.on_fail(lambda error: heard.append(error.code))
    off = mailbox.on_fail(lambda error: heard.append("taken off"))
    off()
    late = threading.Timer(0.05, mailbox.fail, (PeerError("peer.aborted", peer=B, reason="run.stopped"),))
    late.start()
    with pytest.raises(PeerError) as caught:
        mailbox.receive(A, M1, 5)
    assert caught.value.code == "peer.aborted"
    mailbox.close()
    assert heard == ["peer.aborted"]


def test_expecting_twice_or_of_a_stranger_is_our_bug() -> None:
    for peer in (A, HELPER):
        with pytest.raises(InternalError):
            box().expect(peer, M1, 1)
    with pytest.raises(InternalError):
        box().receive(B, M1, 0)


# -- outbox -----------------------------------------------------------------------------------------------------------


def test_an_outbox_gives_its_frames_once_and_ends_when_it_is_closed() -> None:
    outbox = Outbox(RUN, ANALYST)
    outbox.put(M1, memoryview(b"share"))
    outbox.put(Slot(2, 0), memoryview(b"other"))
    outbox.close()
    assert list(outbox.collect()) == sent(b"share") + sent(b"other", Slot(2, 0))
    outbox.flush(0)
    with pytest.raises(PeerError) as caught:
        outbox.collect()
    assert caught.value.code == "peer.repeated"


def test_an_outbox_that_nobody_collects_does_not_flush() -> None:
    outbox = Outbox(RUN, ANALYST)
    outbox.flush(0)
    outbox.put(M1, memoryview(b"share"))
    with pytest.raises(LinkError) as caught:
        outbox.flush(0.01)
    assert caught.value.code == "link.deadline"


def test_a_collector_who_leaves_in_mid_message_ends_the_run() -> None:
    lost: list[PetsError] = []
    outbox = Outbox(RUN, ANALYST, lost=lost.append)
    outbox.put(M1, memoryview(bytes(2 * CHUNK)))
    frames = iter(outbox.collect())
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert [error.code for error in lost] == ["link.cut"]
    with pytest.raises(LinkError):
        outbox.flush(0)


def test_an_outbox_of_a_run_that_failed_gives_nothing_more() -> None:
    outbox = Outbox(RUN, ANALYST)
    outbox.put(M1, memoryview(bytes(2 * CHUNK)))
    frames = iter(outbox.collect())
    next(frames)
    outbox.fail(PeerError("peer.aborted", peer=A, reason="run.stopped"))
    with pytest.raises(PeerError):
        next(frames)
    with pytest.raises(PeerError):
        outbox.put(M1, memoryview(b""))


@pytest.mark.parametrize("keeps", [False, True])
def test_a_collector_who_leaves_before_it_has_anything_may_come_back_where_that_is_kept(keeps: bool) -> None:
    outbox = Outbox(RUN, ANALYST, keeps=keeps)
    outbox.collect().gone()
    if not keeps:
        with pytest.raises(LinkError) as left:
            outbox.put(M1, memoryview(b"share"))
        assert left.value.code == "link.cut"
        return
    outbox.put(M1, memoryview(b"share"))
    outbox.close()
    assert list(outbox.collect()) == sent(b"share")
    outbox.flush(0)


def test_a_later_collection_takes_the_place_of_one_that_is_dead() -> None:
    """The network may tell of a broken connection long after its other end has called again."""
    outbox = Outbox(RUN, ANALYST, keeps=True)
    first = outbox.collect()
    got: list[bytes] = []
    dead = threading.Thread(target=lambda: got.extend(first))
    dead.start()
    second = outbox.collect()
    dead.join(10)
    assert not dead.is_alive() and got == []
    first.gone()
    outbox.put(M1, memoryview(bytes(2 * CHUNK)))
    frames = iter(second)
    assert next(frames) == sent(bytes(2 * CHUNK))[0]
    second.gone()
    with pytest.raises(LinkError) as late:
        outbox.flush(0)
    assert late.value.code == "link.deadline"
    outbox.close()
    assert list(outbox.collect()) == sent(bytes(2 * CHUNK)), "from the first frame, whatever was pulled"
    outbox.flush(0)


# -- exchange ---------------------------------------------------------------------------------------------------------


def test_no_such_run_and_not_your_run_are_one_refusal() -> None:
    exchange = Exchange(wait_s=0.01)
    exchange.open(box(), {PartyId("analyst:result"): Outbox(RUN, ANALYST)})
    assert exchange.mailbox(RUN, A).run_id == RUN
    assert exchange.outbox(RUN, ANALYST).peer == ANALYST
    texts = []
    for run, peer in ((RUN, HELPER), (RUN, ANALYST), (OTHER_RUN, A)):
        with pytest.raises(LinkError) as caught:
            exchange.mailbox(run, peer)
        texts.append(str(caught.value))
    with pytest.raises(LinkError) as caught:
        exchange.outbox(RUN, A)
    assert {*texts, str(caught.value)} == {texts[0]}


def test_a_call_that_is_early_waits_for_its_run() -> None:
    exchange = Exchange(wait_s=5)
    threading.Timer(0.05, exchange.open, (box(), {})).start()
    assert exchange.mailbox(RUN, A).run_id == RUN


def test_only_so_many_calls_wait() -> None:
    exchange = Exchange(wait_s=0.5)
    codes: list[str] = []

    def call(peer: PartyId) -> None:
        try:
            exchange.mailbox(RUN, peer)
        except LinkError as error:
            codes.append(error.code)

    peers = [PartyId(f"peer{number}") for number in range(5)]
    threads = [threading.Thread(target=call, args=(peer,)) for peer in peers for _ in range(WAITERS_OF_ONE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count("link.busy") == 5 * WAITERS_OF_ONE - MAX_WAITERS
    assert codes.count("link.no-run") == MAX_WAITERS


def test_one_peer_cannot_keep_the_others_waiting_calls_out() -> None:
    exchange = Exchange(wait_s=0.5)
    codes: list[str] = []

    def call(peer: PartyId) -> None:
        with pytest.raises(LinkError) as caught:
            exchange.mailbox(RUN, peer)
        codes.append(caught.value.code)

    threads = [threading.Thread(target=call, args=(peer,)) for peer in [A] * (MAX_WAITERS + 3) + [B]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count("link.busy") == MAX_WAITERS + 3 - WAITERS_OF_ONE
    assert codes.count("link.no-run") == WAITERS_OF_ONE + 1


def test_one_peer_cannot_crowd_out_what_another_has_ended() -> None:
    exchange = Exchange(wait_s=0)
    exchange.abort(RUN, B, "run.stopped")
    exchange.abort(RUN, A, "budget.runs")  # of the same run, and no word of B's is lost by it
    for number in range(3 * MAX_ENDED):
        exchange.abort(number.to_bytes(32, "big"), HELPER, "run.stopped")
    mailbox = Mailbox(RUN, (B,))
    exchange.open(mailbox, {})
    assert mailbox.error is not None and mailbox.error.fields["reason"] == "run.stopped"


def test_messages_of_one_peer_come_in_their_order() -> None:
    mailbox = box(3)
    mailbox.expect(A, Slot(2, 0), 3)
    mailbox.expect(B, Slot(3, 0), 3)
    mailbox.put(B, sent(b"any", Slot(3, 0))[0])  # between two peers there is no order
    with pytest.raises(PeerError) as caught:
        mailbox.put(A, sent(b"two", Slot(2, 0))[0])
    assert caught.value.code == "peer.order"
    assert "message 1, column 0 was next" in caught.value.text


def test_an_abort_reaches_a_run_that_opens_later_but_only_from_one_of_its_parties() -> None:
    exchange = Exchange(wait_s=0)
    exchange.abort(RUN, A, "run.stopped")
    mailbox = box()
    exchange.open(mailbox, {})
    assert mailbox.error is not None and mailbox.error.fields["reason"] == "run.stopped"

    exchange, mailbox = Exchange(wait_s=0), box()
    exchange.abort(RUN, HELPER, "run.stopped")
    exchange.open(mailbox, {})
    exchange.abort(RUN, HELPER, "run.stopped")
    assert mailbox.error is None
    exchange.abort(RUN, B, "run.stopped")
    assert mailbox.error is not None


def test_a_run_id_is_opened_once_and_is_gone_when_closed() -> None:
    exchange = Exchange(wait_s=0)
    exchange.open(box(), {})
    with pytest.raises(InternalError):
        exchange.open(box(), {})
    exchange.close(RUN)
    with pytest.raises(LinkError):
        exchange.mailbox(RUN, A)


# -- streams: messages whose sizes the peer chooses --------------------------------------------------------------------

S1, S2, S3 = Slot(2, 0), Slot(2, 1), Slot(2, 2)


def streaming(*, most: int = 100, total: int = 250) -> Mailbox:
    made = Mailbox(RUN, (A, B))
    made.expect_stream(A, S1, most=most, total=total)
    return made


def streamed(mailbox: Mailbox, *bodies: bytes) -> None:
    slot: Slot | None = S1
    for body in bodies:
        assert slot is not None
        for data in sent(body, slot):
            mailbox.put(A, data)
        slot = slot.following


def test_a_stream_arrives_in_its_order_until_its_end() -> None:
    mailbox = streaming(most=CHUNK + 7, total=2 * CHUNK)
    streamed(mailbox, b"first", bytes(CHUNK + 7), b"")
    assert [mailbox.receive_next(A, 0) for _ in range(3)] == [b"first", bytes(CHUNK + 7), b""]
    assert mailbox.received[A] == CHUNK + 12


def test_a_stream_comes_after_what_was_expected_before() -> None:
    mailbox = streaming()
    mailbox.expect(A, M1, 3)
    with pytest.raises(PeerError, match=r"peer\.order"):
        streamed(mailbox, b"early")


STREAMS = {
    "peer.bad-length": (bytes(101),),
    "peer.budget": (bytes(100), bytes(100), bytes(51)),
    "peer.unexpected": (b"", b"after the end"),
}


@pytest.mark.parametrize("code", STREAMS)
def test_a_stream_that_leaves_its_bounds_ends_the_run(code: str) -> None:
    mailbox = streaming()
    with pytest.raises(PeerError) as caught:
        streamed(mailbox, *STREAMS[code])
    assert caught.value.code == code and mailbox.error is caught.value
    with pytest.raises(PeerError):
        mailbox.receive_next(A, 0)


@pytest.mark.parametrize(
    ("peer", "slot", "run", "code"),
    [
        (A, S1, RUN, "peer.repeated"),
        (A, S3, RUN, "peer.unexpected"),
        (A, M1, RUN, "peer.unexpected"),
        (A, S2, OTHER_RUN, "peer.other-run"),
        (B, S2, RUN, "peer.unexpected"),
    ],
)
def test_a_message_out_of_a_streams_order_ends_the_run(peer: PartyId, slot: Slot, run: bytes, code: str) -> None:
    mailbox = streaming()
    streamed(mailbox, b"first")
    with pytest.raises(PeerError) as caught:
        mailbox.put(peer, sent(b"x", slot, run)[0])
    assert caught.value.code == code


def test_a_chunk_in_the_middle_begins_no_message_of_a_stream() -> None:
    mailbox = streaming(most=3 * CHUNK, total=3 * CHUNK)
    with pytest.raises(PeerError, match=r"peer\.gap"):
        mailbox.put(A, sent(bytes(2 * CHUNK), S1)[1])


def test_a_stream_takes_no_memory_for_what_is_only_announced() -> None:
    mailbox = streaming(most=1 << 30, total=1 << 30)
    tracemalloc.start()
    with pytest.raises(PeerError):
        mailbox.put(A, sent(b"x", S2)[0])
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_who_waits_for_a_stream_hears_of_the_end_of_the_run_and_of_its_deadline() -> None:
    mailbox = streaming()
    with pytest.raises(LinkError, match=r"link\.deadline"):
        mailbox.receive_next(A, 0.01)
    streamed_to = streaming()
    threading.Timer(0.05, streamed_to.close).start()
    with pytest.raises(LinkError, match=r"link\.closed"):
        streamed_to.receive_next(A, 5)


def test_a_stream_is_expected_once_of_a_peer_of_the_run() -> None:
    mailbox = streaming()
    for peer, most in ((A, 100), (HELPER, 100), (B, 0)):
        with pytest.raises(InternalError):
            mailbox.expect_stream(peer, S1, most=most, total=100)
    with pytest.raises(InternalError):
        mailbox.receive_next(B, 0)


def test_places_of_a_stream_end_with_the_last_that_a_header_holds() -> None:
    assert Slot(2, 0xFFFF).following == Slot(3, 0)
    assert Slot(0xFFFF, 0xFFFF).following is None
