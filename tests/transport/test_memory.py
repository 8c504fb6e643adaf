import threading

import pytest

from pets.errors import LinkError, PeerError, PetsError
from pets.ids import PartyId
from pets.transport import memory
from pets.transport.frame import CHUNK
from pets.transport.link import Link, Slot
from pets.transport.memory import MemoryNetwork, Tap

A, B, HELPER = (PartyId(name) for name in ("a", "b", "helper"))
M1, M2 = Slot(1, 0), Slot(2, 0)
BODY = bytes(range(256)) * 8192  # two chunks


def network(*taps: Tap, record: bool = False) -> tuple[MemoryNetwork, Link, Link]:
    made = MemoryNetwork((A, B, HELPER), record=record)
    made.taps.extend(taps)
    a, helper = made.link(A), made.link(HELPER)
    helper.expect(A, M1, len(BODY))
    a.expect(HELPER, M2, 3)
    return made, a, helper


def test_messages_go_both_ways_and_into_the_transcript() -> None:
    made, a, helper = network(record=True)
    a.send(HELPER, M1, memoryview(BODY))
    assert helper.receive(A, M1, 0) == BODY
    helper.send(A, M2, memoryview(b"ok."))
    assert a.receive(HELPER, M2, 0) == b"ok."
    a.flush(0)
    assert [(s.sender, s.to, s.slot, len(s.body)) for s in made.transcript] == [
        (A, HELPER, M1, len(BODY)),
        (HELPER, A, M2, 3),
    ]
    assert "ok." not in repr(made.transcript)


def test_what_comes_before_the_link_opens_waits() -> None:
    made = MemoryNetwork((A, HELPER))
    made.link(A).send(HELPER, M1, memoryview(b"early"))
    helper = made.link(HELPER)
    helper.expect(A, M1, 5)
    helper.open()
    assert helper.receive(A, M1, 0) == b"early"


@pytest.mark.parametrize(
    ("act", "code", "sender_code"),
    [
        (memory.drop, "link.deadline", None),
        (memory.duplicate, "peer.repeated", "peer.aborted"),
        (memory.stall(1), "link.deadline", None),
        (memory.cut, "link.cut", "link.cut"),
    ],
)
def test_faults_are_typed_at_both_ends(act: object, code: str, sender_code: str | None) -> None:
    _, a, helper = network(memory.on(A, HELPER, M1, act))  # type: ignore[arg-type]
    helper.open()
    try:
        a.send(HELPER, M1, memoryview(BODY))
    except LinkError as error:
        assert error.code == sender_code
    with pytest.raises(PetsError) as caught:
        helper.receive(A, M1, 0.02)
    assert caught.value.code == code
    if sender_code:
        with pytest.raises(PetsError) as caught:
            a.flush(0)
        assert caught.value.code == sender_code


def test_a_flipped_bit_arrives_flipped() -> None:
    _, a, helper = network(memory.on(A, HELPER, M1, memory.corrupt))
    a.send(HELPER, M1, memoryview(BODY))
    got = helper.receive(A, M1, 0)
    assert [i for i, (x, y) in enumerate(zip(got, BODY, strict=True)) if x != y] == [CHUNK - 1, len(BODY) - 1]


def test_an_abort_reaches_everyone_who_waits_once() -> None:
    made, a, helper = network()
    threading.Timer(0.05, a.abort, ("run.stopped",)).start()
    with pytest.raises(PeerError) as caught:
        helper.receive(A, M1, 5)
    assert (caught.value.code, caught.value.fields["reason"]) == ("peer.aborted", "run.stopped")
    b = made.link(B)
    with pytest.raises(PeerError):
        b.send(A, M1, memoryview(b""))
    with pytest.raises(LinkError):
        a.send(HELPER, M1, memoryview(BODY))


def test_a_closed_link_tells_nobody() -> None:
    made, a, helper = network()
    a.close()
    a.abort("run.stopped")
    assert made.link(B).mailbox.error is None
    with pytest.raises(LinkError):
        helper.receive(A, M1, 0.01)


def test_an_abort_is_passed_on_with_its_first_cause() -> None:
    made, a, helper = network()
    made.link(B).mailbox.fail(PeerError("peer.aborted", peer=A, reason="run.stopped"))
    made.link(B).abort("peer.aborted")
    for link in (a, helper):
        with pytest.raises(PeerError) as caught:
            link.flush(0)
        assert (caught.value.fields["peer"], caught.value.fields["reason"]) == (B, "run.stopped")
