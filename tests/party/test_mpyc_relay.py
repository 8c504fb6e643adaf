"""A program between servers: over links in memory and over gRPC, and against peers that send what they should not."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from pets.errors import PeerError, RunError
from pets.ids import PartyId
from pets.party.gate import opened_by
from pets.party.mpyc_relay import FIRST, FRAME_HEAD, Relay
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_terms import Budget
from pets.transport import frame, memory
from pets.transport.link import Slot
from pets.transport.memory import MemoryNetwork, Passing
from tests.party.programs import OPENING, SUM, Ended, run_over, terms_of
from tests.transport.grid import HELPER, A, B, Grid

a, b, c = (PartyId(name) for name in "abc")


def over_memory(*, tap: memory.Tap | None = None, parties: str = "abc", **given: object) -> Ended:
    network = MemoryNetwork(map(PartyId, parties))
    if tap is not None:
        network.taps.append(tap)
    terms = terms_of(tuple(parties), **given)  # type: ignore[arg-type]
    return run_over(
        {name: network.link(name) for name in network.parties}, terms, [[3 + n] for n in range(len(parties))]
    )


def sent_by_a(change: Callable[[bytes], Iterable[bytes]], *, number: int = 1) -> memory.Tap:
    """Change the body of a's message of that number to b: what an attacker with a's certificate could send."""
    slot = Slot(FIRST.message, number)

    def act(passing: Passing) -> Iterable[bytes]:
        for body in change(passing.data[frame.HEADER_BYTES :]):
            yield from frame.frames(bytes(32), slot, memoryview(body))

    return memory.on(a, b, slot, act)


# -- honest runs -------------------------------------------------------------------------------------------------------


def test_three_parties_add_and_multiply_over_memory() -> None:
    ended = over_memory()
    assert ended.told == {name: {"total": (12,), "product": (60,)} for name in (a, b, c)}
    assert not ended.faults


@pytest.mark.long
def test_a_receipt_binds_everything_that_went_to_a_peer() -> None:
    network = MemoryNetwork((a, b, c), record=True)
    ended = run_over({name: network.link(name) for name in network.parties}, terms_of(), [[3], [4], [5]])
    for sender, lines in ended.receipts.items():
        assert {line.to for line in lines} == {a, b, c} - {sender}
        for line in lines:
            bodies = [each.body for each in network.transcript if (each.sender, each.to) == (sender, line.to)]
            plain = hashlib.sha256(b"".join(bodies)).digest()
            hidden_by = opened_by(OPENING, line.label, line.column)
            assert (line.size, line.sha256) == (sum(map(len, bodies)), hashlib.sha256(hidden_by + plain).hexdigest())


@pytest.mark.long
def test_only_those_whom_the_terms_name_receive() -> None:
    ended = over_memory(receivers=("b",))
    assert ended.told == {a: {}, b: {"total": (12,), "product": (60,)}, c: {}}


@pytest.mark.long
@pytest.mark.parametrize("parties", ["abcd", "abcde"])
def test_more_parties_share_keys_that_the_lowest_of_them_deals(parties: str) -> None:
    ended = over_memory(parties=parties)
    values = [3 + n for n in range(len(parties))]
    product = 1
    for value in values:
        product *= value
    assert not ended.faults
    assert set(map(str, ended.told.values())) == {str({"total": (sum(values),), "product": (product,)})}


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    made = Grid()
    yield made
    made.close()


def test_three_servers_over_grpc(grid: Grid) -> None:
    run = bytes([9]) * 32
    links = {party: grid.link(party, run) for party in (A, B, HELPER)}
    ended = run_over(links, terms_of((A, B, HELPER)), [[3], [-4], [5]])
    assert not ended.faults
    assert ended.told == {name: {"total": (4,), "product": (-60,)} for name in links}
    for link in links.values():
        link.close()


@pytest.mark.parametrize("changed", ["terms", "source"])
def test_nothing_starts_that_was_not_approved(changed: str) -> None:
    approved, link = terms_of(), MemoryNetwork((a, b, c)).link(a)
    at_hand = replace(approved, bits=40) if changed == "terms" else approved
    source = SUM + "\n" if changed == "source" else SUM
    with pytest.raises(RunError, match=r"run\.other-program"):
        Relay(
            at_hand,
            a,
            approved=terms_digest(approved),
            source=source,
            own={"x": [1]},
            link=link,
            families={},
            opening=OPENING,
            deadline_s=5,
        )


# -- hostile frames ----------------------------------------------------------------------------------------------------


class Bomb:
    """What pickle would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('a peer ran code')",))


def framed(payload: bytes, *, counter: bytes) -> bytes:
    return counter[:8] + len(payload).to_bytes(4, "little") + payload


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "pickle": lambda body: framed(pickle.dumps(Bomb()), counter=body),
    "pickle of an array's length": lambda body: framed(b"\x80\x04" + bytes(_size(body) - 2), counter=body),
    "huge integers": lambda body: framed(b"\x02" + b"\xff" * (_size(body) - 1), counter=body),
    "one element more": lambda body: framed(body[12 : 12 + _size(body)] + bytes(10), counter=body),
    "one byte less": lambda body: framed(body[12 : 11 + _size(body)], counter=body),
    "nothing": lambda body: framed(b"", counter=body),
    "a length beyond the message": lambda body: body[:8] + b"\xff\xff\xff\xff" + body[12:],
    "half a head": lambda body: body + b"\0\0\0",
    "the same frame twice": lambda body: body[: 12 + _size(body)] * 2,
}


def _size(body: bytes) -> int:
    return int(FRAME_HEAD.unpack_from(body)[1])


@pytest.mark.parametrize(
    "name", [*list(HOSTILE)[:1], *(pytest.param(n, marks=pytest.mark.long) for n in list(HOSTILE)[1:])]
)
def test_a_hostile_frame_ends_the_run_and_names_who_sent_it(name: str) -> None:
    ended = over_memory(tap=sent_by_a(lambda body: [HOSTILE[name](body)]))
    assert not ended.told
    assert (ended.faults[b].code, ended.faults[b].fields["peer"]) == ("peer.program", a)
    assert ended.codes <= {"peer.program", "peer.aborted"}


@pytest.mark.long
def test_a_share_that_is_changed_within_the_field_is_not_noticed_and_spoils_the_result() -> None:
    """What semi-honest means, and README says: a wrong element is an element."""
    ended = over_memory(tap=sent_by_a(lambda body: [body[:13] + bytes([body[13] ^ 1]) + body[14:]]))
    assert not ended.faults and ended.told[b] != {"total": (12,), "product": (60,)}


@pytest.mark.long
def test_a_frame_that_nothing_asks_for_leaves_no_output() -> None:
    stray = (77).to_bytes(8, "little") + (3).to_bytes(4, "little") + b"abc"
    ended = over_memory(tap=sent_by_a(lambda body: [body + stray]))
    assert b not in ended.told and ended.faults[b].code == "run.program"
    assert "left" in str(ended.faults[b])


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (memory.duplicate, "peer.repeated"),
        pytest.param(memory.cut, "link.cut", marks=pytest.mark.long),
    ],
)
def test_a_message_that_comes_twice_or_breaks_ends_the_run(
    act: Callable[[Passing], Iterable[bytes]], code: str
) -> None:
    ended = over_memory(tap=memory.on(a, b, FIRST, act))
    assert b not in ended.told
    assert code in ended.codes


@pytest.mark.long
def test_a_lost_message_is_seen_at_the_next_or_by_the_clock() -> None:
    """How many frames a message has is a matter of time: if all that b waits for was in it, a waits for b, too."""
    ended = over_memory(tap=memory.on(a, b, FIRST, memory.drop))
    assert not ended.told and ended.faults[b].code in ("peer.unexpected", "link.deadline")


@pytest.mark.long
def test_frames_of_one_message_may_come_in_any_order() -> None:
    """Counters, not places, say what a frame is for: reordered frames are the same run."""

    def turned(body: bytes) -> Iterable[bytes]:
        parts, at = [], 0
        while at < len(body):
            size = 12 + int(FRAME_HEAD.unpack_from(body, at)[1])
            parts.append(body[at : at + size])
            at += size
        yield b"".join(reversed(parts))

    ended = over_memory(tap=sent_by_a(turned, number=0))
    assert not ended.faults and ended.told[b]["product"] == (60,)


def test_a_stranger_and_another_run_get_nothing_in() -> None:
    for sender, run, code in ((PartyId("mallory"), bytes(32), "peer.unexpected"), (a, b"\1" * 32, "peer.other-run")):
        link = MemoryNetwork((a, b, c)).link(b)
        link.expect_stream(a, FIRST, most=100, total=100)
        link.open()
        with pytest.raises(PeerError) as caught:
            for stray in frame.frames(run, FIRST, memoryview(b"abc")):
                link.mailbox.put(sender, stray)
        assert caught.value.code == code


def test_more_frames_than_the_terms_allow_end_the_run() -> None:
    ended = over_memory(budget=Budget(3, 10_000))
    assert not ended.told
    assert ended.codes <= {"run.program", "peer.program", "peer.aborted", "peer.budget"}


@pytest.mark.long
def test_a_peer_with_another_program_ends_the_run() -> None:
    other = SUM.replace("mpc.prod(values)", "mpc.prod(values[:2])")
    network = MemoryNetwork((a, b, c))
    terms = terms_of()
    ended = run_over({n: network.link(n) for n in (a, b, c)}, terms, [[1], [2], [3]], sources={b: other}, deadline_s=8)
    assert ended.faults


@pytest.mark.long
def test_a_process_that_is_killed_ends_the_run() -> None:
    endless = SUM.replace("    mpc.release", "    while True:\n        pass\n    mpc.release", 1)
    network = MemoryNetwork((a, b, c))
    terms = terms_of(source=endless)
    ended = run_over({n: network.link(n) for n in (a, b, c)}, terms, [[1], [2], [3]], source=endless, deadline_s=2)
    assert not ended.told and ended.faults
