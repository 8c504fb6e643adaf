"""Peers that misbehave, races of stops, and one cause of every end: hostile runs over a network in memory."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pets import client
from pets.approve.approvals import Count
from pets.errors import LinkError, PeerError, PetsError, RunError
from pets.ids import PartyId, RunHandle
from pets.party import hello
from pets.party.node import PartyNode
from pets.party.runs import LiveRun
from pets.party.state import RunState
from pets.protocols import helper_join
from pets.protocols.base import Array, Send
from pets.spec.canonical import canonical
from pets.transport import frame, memory
from pets.transport.calls import Caller, Event
from pets.transport.link import Slot
from pets.transport.memory import Passing, Tap
from tests.party.world import (
    ANALYST,
    BOARD,
    COMPUTING,
    COUNCIL,
    FINAL,
    HELPER,
    NUMBER,
    SPEC,
    STRANGER,
    World,
    altered,
    reviewed_of,
)

Make = Callable[..., World]
LONG_S = 60.0
"""A deadline that no test waits for: a party that is not told would wait for it and the test fail."""

RESULT = PartyId("statistics:result")
WAYS = {
    "M1": (BOARD, HELPER),
    "M2": (COUNCIL, HELPER),
    "M3": (COUNCIL, BOARD),
    "Me": (BOARD, HELPER),
    "M8": (BOARD, HELPER),
    "M4": (HELPER, BOARD),
    "Mf": (HELPER, BOARD),
    "M5": (HELPER, COUNCIL),
    "M6": (COUNCIL, HELPER),
    "Mn": (COUNCIL, HELPER),
    "M7a": (BOARD, RESULT),
    "M7c": (HELPER, RESULT),
}
MESSAGES = {label: (sender, receiver, NUMBER[label]) for label, (sender, receiver) in WAYS.items()}


@pytest.fixture
def world(make_world: Make) -> World:
    return make_world(deadline_s=LONG_S)


@pytest.fixture
def hasty(make_world: Make) -> World:
    """For peers that say nothing: only the deadline ends those runs."""
    return make_world(deadline_s=0.5)


def on(label: str, act: Callable[[Passing], Iterable[bytes]]) -> Tap:
    sender, to, number = MESSAGES[label]
    return memory.on(sender, to, Slot(number, 0), act)


def ended(world: World, handle: RunHandle | None = None) -> None:
    """The run is over at every party, nothing was opened, and what it cost stays spent."""
    world.settle()
    assert not world.opened()
    for party in COMPUTING:
        runs = world.states[party].runs()
        assert all(run.state in (RunState.ABORTED, RunState.FINISHED) for run in runs)


def fails(world: World, **options: Any) -> PetsError:
    with pytest.raises(PetsError) as caught:
        world.run(**options)
    ended(world)
    return caught.value


def rewritten(
    passing: Passing, *, number: int = 0, total: int = -1, column: int = -1, body: bytes | None = None
) -> bytes:
    """The frame under another header."""
    head = passing.head
    slot = Slot(number or head.slot.message, head.slot.column if column < 0 else column)
    payload = frame.read(passing.data)[1].tobytes() if body is None else body
    size = len(payload) if total < 0 else total
    data = bytearray(next(iter(frame.frames(head.run_id, slot, memoryview(payload)))))
    at = data.index(len(payload).to_bytes(8, "little"), 32) if total >= 0 else 0
    if total >= 0:
        data[at : at + 8] = size.to_bytes(8, "little")
    return bytes(data)


# -- peers that send something else -----------------------------------------------------------------------------------

IN_THE_RUN = [label for label in MESSAGES if not label.startswith("M7")]
SOME = ["M1", "M3", "M5", "M6"]
"""One message on each way between two parties that carries records."""


@pytest.mark.parametrize("label", IN_THE_RUN)
def test_a_message_of_a_wrong_length_ends_the_run_at_its_receiver(world: World, label: str) -> None:
    sender, receiver, _ = MESSAGES[label]
    world.hooks.taps.append(on(label, lambda p: [rewritten(p, body=frame.read(p.data)[1].tobytes() + b"extra")]))
    world.ready()
    error = fails(world)
    assert "peer.bad-length" in error.text
    assert world.codes(receiver) == ["peer.bad-length"]
    assert sender in "\n".join(world.consoles[receiver])


@pytest.mark.parametrize("label", ["M1", "M4", "M6"])
def test_a_message_one_byte_short_ends_the_run(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, lambda p: [rewritten(p, body=frame.read(p.data)[1].tobytes()[:-1])]))
    world.ready()
    assert "peer.bad-length" in fails(world).text


def test_a_message_of_half_as_many_wider_words_ends_the_run(world: World) -> None:
    """The element type is the card's and never on the wire: another type with the same count is another length."""

    def half(passing: Passing) -> Iterable[bytes]:
        words = np.frombuffer(frame.read(passing.data)[1], "<u8")
        return [rewritten(passing, body=words.astype("<u4").tobytes())]

    world.hooks.taps.append(on("M5", half))
    world.ready()
    assert "peer.bad-length" in fails(world).text


@pytest.mark.parametrize("label", ["M1", "M3", "M4"])
def test_a_claim_of_10_gb_ends_the_run_and_allocates_nothing(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, lambda p: [rewritten(p, total=10_000_000_000)]))
    world.ready()
    before = sum(len(sent.body) for sent in world.transcript)
    assert fails(world).code in ("run.ended", "peer.aborted")
    assert before == 0
    assert world.codes(MESSAGES[label][1])[0] in ("peer.bad-length", "peer.frame")


@pytest.mark.parametrize("label", SOME)
def test_a_message_under_a_wrong_label_ends_the_run(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, lambda p: [rewritten(p, number=40)]))
    world.ready()
    assert "peer.unexpected" in fails(world).text
    assert world.codes(MESSAGES[label][1]) == ["peer.unexpected"]


def test_a_message_of_another_column_ends_the_run(world: World) -> None:
    world.hooks.taps.append(on("M6", lambda p: [rewritten(p, column=7)]))
    world.ready()
    assert "peer.unexpected" in fails(world).text


@pytest.mark.parametrize("label", SOME)
def test_an_extra_message_ends_the_run(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, lambda p: [p.data, rewritten(p, number=41)]))
    world.ready()
    assert "peer.unexpected" in fails(world).text


@pytest.mark.parametrize("label", SOME)
def test_a_message_that_comes_twice_ends_the_run(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, memory.duplicate))
    world.ready()
    assert "peer.repeated" in fails(world).text


@pytest.mark.parametrize("label", ["M1", "M4", "M5", "M6"])
def test_a_frame_of_another_run_ends_the_run(world: World, label: str) -> None:
    def other(passing: Passing) -> Iterable[bytes]:
        body = frame.read(passing.data)[1]
        return frame.frames(bytes(32), passing.head.slot, body)

    world.hooks.taps.append(on(label, other))
    world.ready()
    assert "peer.other-run" in fails(world).text


@pytest.mark.parametrize("label", ["M1", "M4", "M6"])
def test_noise_instead_of_a_frame_ends_the_run(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, lambda p: [bytes(64) + b"noise"]))
    world.ready()
    assert "peer.frame" in fails(world).text


@pytest.mark.parametrize("label", [*SOME, "M7a", "M7c"])
def test_a_peer_that_stalls_ends_the_run_at_the_deadline(hasty: World, label: str) -> None:
    hasty.hooks.taps.append(silent_from(label))
    hasty.ready()
    if label in IN_THE_RUN:
        assert "link.deadline" in fails(hasty).text
        assert any("link.deadline" in hasty.codes(party) for party in COMPUTING)
        return
    with pytest.raises(LinkError, match=r"link\.deadline"):
        hasty.client(deadline_s=0.5).run(SPEC)
    hasty.settle()


def silent_from(label: str) -> Tap:
    """From this message on, nothing more on its way from its sender to its receiver."""
    sender, to, number = MESSAGES[label]
    silent = threading.Event()

    def tap(passing: Passing) -> Iterable[bytes]:
        if (passing.sender, passing.to) != (sender, to):
            return (passing.data,)
        if passing.head.slot.message == number:
            silent.set()
        return () if silent.is_set() else (passing.data,)

    return tap


@pytest.mark.parametrize("label", ["M3", "M5", "M6"])
def test_a_message_that_is_left_out_ends_the_run_when_the_next_one_comes(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, memory.drop))
    world.ready()
    assert "peer.order" in fails(world).text
    assert world.codes(MESSAGES[label][1]) == ["peer.order"]


@pytest.mark.parametrize("label", SOME)
def test_a_peer_that_disconnects_in_the_run_ends_it_everywhere(world: World, label: str) -> None:
    world.hooks.taps.append(on(label, memory.cut))
    world.ready()
    assert "link.cut" in fails(world).text


@pytest.mark.parametrize(("label", "code"), [("M4", "peer.positions"), ("M8", "peer.positions"), ("M2", "peer.tags")])
def test_positions_and_tags_that_no_honest_peer_sends_end_the_run(world: World, label: str, code: str) -> None:
    def equal(passing: Passing) -> Iterable[bytes]:
        return [rewritten(passing, body=bytes(len(frame.read(passing.data)[1])))]

    world.hooks.taps.append(on(label, equal))
    world.ready()
    assert code in fails(world).text
    assert world.codes(MESSAGES[label][1]) == [code]


def test_a_role_that_sends_what_is_not_next_is_stopped_by_its_own_gate(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def early(*_: object) -> Any:
        yield Send("result", "M7a", np.zeros(9, np.uint64))

    monkeypatch.setattr(helper_join, "party_a", early)
    world.ready()
    assert "internal.gate" in fails(world).text
    assert not [sent for sent in world.transcript if sent.sender == BOARD]


def test_a_role_that_sends_another_type_is_stopped_by_its_own_gate(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    party_a = helper_join.party_a

    def floats(*given: Any) -> Any:
        role = party_a(*given)
        answer: Array | None = None
        while True:
            act = role.send(answer)
            if isinstance(act, Send) and act.label == "Me":
                act = Send(act.to, act.label, act.array.astype(np.float64), act.column)
            answer = yield act

    monkeypatch.setattr(helper_join, "party_a", floats)
    world.ready()
    assert "internal.wrong-array" in fails(world).text
    assert {sent.slot.message for sent in world.transcript if sent.sender == BOARD} == {1}


# -- hellos -----------------------------------------------------------------------------------------------------------


def lie(world: World, party: PartyId, **fields: object) -> None:
    """Let a party be about to run something else than its files say, in all it says and compares."""
    node = world.nodes[party]
    begin = node.runs._begin

    def other(*given: Any) -> LiveRun:
        run = begin(*given)
        made = run.session
        made._own_agreed = replace(made._own_agreed, **fields)  # type: ignore[misc]
        own = json.loads(made._own_hello.body)
        keys = {peer: bytes.fromhex(key) for peer, key in own["keys"].items()}
        made._own_hello = hello.make(made._own_agreed, bytes.fromhex(own["random"]), keys)  # type: ignore[misc]
        return run

    node.runs._begin = other  # type: ignore[method-assign]


def with_field(name: str, value: object, sender: PartyId = COUNCIL, to: PartyId | None = None) -> Any:
    def change(who: PartyId, whom: PartyId, body: bytes) -> bytes:
        if who != sender or (to is not None and whom != to):
            return body
        return canonical({**json.loads(body), name: value})

    return change


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("spec", "ab" * 32, "run.other-spec"),
        ("plan", "ab" * 32, "run.other-plan"),
        ("cards", "ab" * 32, "run.other-cards"),
        ("dummies", "ab" * 32, "run.other-dummies"),
        ("software", "0.0.1", "run.other-software"),
    ],
)
@pytest.mark.parametrize("party", COMPUTING)
def test_a_party_about_to_run_something_else_ends_the_run_before_anything_is_sent(
    world: World, name: str, value: object, code: str, party: PartyId
) -> None:
    lie(world, party, **{name: value})
    reviewed = world.ready()
    assert code in fails(world).text
    assert world.transcript == []
    for each in COMPUTING:
        assert world.states[each].runs_used(reviewed.digest) == 0
        assert "run.agreed" not in world.kinds(each)
    assert world.spent(BOARD, "stays") == world.spent(COUNCIL, "homes") == "0"


@pytest.mark.parametrize("party", COMPUTING)
def test_the_parties_find_it_without_the_client(world: World, monkeypatch: pytest.MonkeyPatch, party: PartyId) -> None:
    """A client that compares nothing, or is of one mind with the party, changes nothing for the others."""
    compare = hello.compare

    def only_at_servers(own: hello.Agreed, other: hello.Agreed, *, peer: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            compare(own, other, peer=peer)

    monkeypatch.setattr(hello, "compare", only_at_servers)
    lie(world, party, plan="ab" * 32)
    world.ready()
    with pytest.raises(PetsError):
        world.run()
    ended(world)
    assert world.transcript == []
    assert sum("run.other-plan" in world.codes(each) + world.codes(each, "run.refused") for each in COMPUTING) >= 1


@pytest.mark.parametrize(("name", "value"), [("random", "ab"), ("keys", {}), ("pets", 2), ("more", 1)])
def test_a_hello_that_is_none_ends_the_run_before_anything_is_sent(world: World, name: str, value: object) -> None:
    world.hooks.hello = with_field(name, value, HELPER)
    reviewed = world.ready()
    assert "peer.hello" in fails(world).text
    assert world.transcript == []
    assert world.states[BOARD].runs_used(reviewed.digest) == world.states[COUNCIL].runs_used(reviewed.digest) == 0


def test_a_specification_altered_by_one_byte_in_one_partys_file_starts_nothing(world: World) -> None:
    reviewed = world.ready()
    other = altered(("max_rows = 40", "max_rows = 41"))
    with world.states[COUNCIL].transaction() as db:
        db.execute("UPDATE specs SET toml = ?", (other.encode(),))
    world.nodes[COUNCIL]._consent._reviews.clear()
    with pytest.raises(RunError, match=r"run\.other-spec"):
        world.run()
    assert world.transcript == []
    assert world.spent(BOARD, "stays") == "0"
    assert "run.agreed" not in world.kinds(BOARD)
    assert reviewed.digest


@pytest.mark.parametrize("party", COMPUTING)
def test_a_party_that_runs_a_specification_altered_by_one_byte_is_found_at_the_hello(
    world: World, party: PartyId
) -> None:
    """Its server looks up the approved digest and runs something else: its hellos give it away."""
    reviewed = world.ready()
    other = reviewed_of(altered(("max_rows = 40", "max_rows = 41")))
    node = world.nodes[party]
    begin = node.runs._begin
    node.runs._begin = lambda stored, _, *rest: begin(stored, other, *rest)  # type: ignore[method-assign]
    assert "run.other-" in fails(world).text
    assert world.transcript == []
    assert all(world.states[each].runs_used(reviewed.digest) == 0 for each in COMPUTING)


def test_a_client_that_holds_another_specification_starts_nothing(world: World) -> None:
    reviewed = world.ready()
    other = reviewed_of(altered(("max_rows = 40", "max_rows = 41")))
    body = canonical(
        {
            "pets": 1,
            "spec": other.digest,
            "plan": reviewed.plan_digest,
            "cards": reviewed.cards,
            "cover": "",
            "dummies": "",
            "sets": {},
            "software": "0.1.0",
            "random": "00" * 16,
            "keys": {},
            "upload": "",
        }
    )
    with pytest.raises(RunError, match=r"run\.other-"):
        world.nodes[BOARD].start(world.caller(ANALYST), world.request(reviewed, body))
    assert world.codes(BOARD, "run.refused")[0].startswith("run.other-")


def test_a_hello_that_comes_twice_ends_the_run(world: World) -> None:
    seen: list[bytes] = []

    def twice(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) == (COUNCIL, BOARD) and not seen:
            seen.append(body)
            world.nodes[BOARD].hello(world.caller(COUNCIL), handle, body)
        return body

    handle = RunHandle("ab" * 16)
    world.hooks.hello = twice
    world.ready()
    assert "peer.hello" in fails(world, handle=handle).text
    assert world.transcript == []


def test_a_hello_of_an_earlier_run_opens_nothing(make_world: Make) -> None:
    hasty, earlier = make_world(deadline_s=2.0), list[bytes]()  # the first run has to be through by then

    def replay(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) != (COUNCIL, BOARD):
            return body
        earlier.append(body)
        return earlier[0]

    hasty.hooks.hello = replay
    hasty.ready()
    assert hasty.run().receipts
    first = set(hasty.networks)
    with pytest.raises(PetsError):
        hasty.run()
    hasty.settle()
    second = [sent for run, network in hasty.networks.items() if run not in first for sent in network.transcript]
    assert {sent.slot.message for sent in second} & FINAL == set()
    assert len(set(hasty.networks) - first) > 1  # the board stands alone under a run id of its own


@pytest.mark.parametrize("who", [ANALYST, STRANGER, BOARD])
def test_a_hello_of_somebody_who_does_not_compute_does_nothing_to_the_run(world: World, who: PartyId) -> None:
    def intrude(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) == (COUNCIL, BOARD):
            world.wait_for(lambda: handle in world.nodes[BOARD].runs._runs)
            with pytest.raises(RunError, match=r"run\.unknown"):
                world.nodes[BOARD].hello(world.caller(who), handle, body)
        return body

    handle = RunHandle("ab" * 16)
    world.hooks.hello = intrude
    world.ready()
    assert world.run(handle=handle).receipts.keys() == set(COMPUTING)


def test_an_early_hello_that_is_none_ends_the_run_and_leaves_no_run_behind(world: World) -> None:
    handle = RunHandle("ab" * 16)
    world.ready()
    world.nodes[BOARD].hello(world.caller(COUNCIL), handle, b"rubbish")
    assert "peer.hello" in fails(world, handle=handle).text
    assert world.nodes[BOARD].runs.live() == []
    assert world.run().receipts


def test_an_early_hello_is_as_good_as_a_late_one(world: World) -> None:
    def late_start(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        return body

    world.hooks.hello = late_start
    world.ready()
    start = world.nodes[BOARD].start

    def slow(*given: Any) -> bytes:
        world.wait_for(lambda: len(world.nodes[BOARD].runs._hellos._kept) == 2)
        return start(*given)

    world.nodes[BOARD].start = slow  # type: ignore[method-assign]
    assert world.run().receipts.keys() == set(COMPUTING)


def test_a_key_that_agrees_on_nothing_ends_the_run_at_all_parties(world: World) -> None:
    def zero(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if sender != COUNCIL:
            return body
        fields = json.loads(body)
        return canonical({**fields, "keys": {**fields["keys"], "board": "00" * 32}})

    world.hooks.hello = zero
    reviewed = world.ready()
    assert "peer.hello" in fails(world).text
    assert not [sent for sent in world.transcript if sent.sender == BOARD]
    assert world.states[BOARD].runs_used(reviewed.digest) == 0


def test_a_peer_that_cannot_be_reached_ends_the_run_everywhere(world: World) -> None:
    def away(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) == (BOARD, HELPER):
            raise LinkError("link.unreachable", peer=to)
        return body

    world.hooks.hello = away
    world.ready()
    error = fails(world)
    assert dict(error.fields) == {"party": BOARD, "reason": "link.unreachable"}
    assert {sent.sender for sent in world.transcript} <= {COUNCIL}  # who met everybody, and could not know


def test_a_bug_while_saying_hello_ends_the_run_everywhere(world: World) -> None:
    def broken(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if (sender, to) == (HELPER, BOARD):
            raise OSError("no")
        return body

    world.hooks.hello = broken
    world.ready()
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        assert "internal.bug" in fails(world).text
    finally:
        threading.excepthook = hook
    assert {sent.sender for sent in world.transcript} <= {COUNCIL}  # who met everybody, and could not know


def test_a_peer_that_never_says_hello_ends_the_run_at_the_deadline(hasty: World) -> None:
    gone = threading.Event()

    def silent(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if sender == HELPER:
            gone.wait(20)
        return body

    hasty.hooks.hello = silent
    hasty.ready()
    with pytest.raises(PetsError):
        hasty.run()
    gone.set()
    ended(hasty)
    assert any("link.deadline" in hasty.codes(party) for party in COMPUTING)
    assert hasty.transcript == []


# -- stops ------------------------------------------------------------------------------------------------------------


def stop(world: World, party: PartyId, handle: RunHandle) -> None:
    try:
        world.nodes[party].stop(world.caller(party), handle)
    except RunError as error:
        assert error.code == "run.order"


@pytest.mark.parametrize("party", [*COMPUTING, ANALYST])
@pytest.mark.parametrize("label", ["M1", "M4", "M6"])
def test_a_stop_by_any_party_at_any_step_opens_nothing(world: World, party: PartyId, label: str) -> None:
    """Each stops at its own server and tells no other; the result party, which has none, at the helper's."""
    handle = RunHandle("ab" * 16)

    def now(passing: Passing) -> Iterable[bytes]:
        at = HELPER if party == ANALYST else party
        with_stop = world.nodes[at].stop
        try:
            with_stop(world.caller(party), handle)
        except RunError as error:
            assert error.code == "run.order"
        return (passing.data,)

    world.hooks.taps.append(on(label, now))
    world.ready()
    assert "run.stopped" in fails(world, handle=handle).text
    sent = {each.slot.message for each in world.transcript}
    assert NUMBER["M7c"] not in sent


@pytest.mark.parametrize("party", COMPUTING)
def test_a_stop_between_hello_and_link_sends_nothing_and_costs_nothing(world: World, party: PartyId) -> None:
    handle = RunHandle("ab" * 16)

    def stop_now(at: PartyId) -> None:
        if at == party:
            world.nodes[party].stop(world.caller(party), handle)

    world.hooks.link = stop_now
    reviewed = world.ready()
    assert "run.stopped" in fails(world, handle=handle).text
    assert [sent for sent in world.transcript if sent.sender == party] == []
    assert world.states[party].runs_used(reviewed.digest) == 0


@pytest.mark.parametrize("party", COMPUTING)
def test_a_stop_before_the_hellos_are_complete_sends_nothing(world: World, party: PartyId) -> None:
    handle = RunHandle("ab" * 16)
    first, stopped = threading.Lock(), threading.Event()

    def hold(sender: PartyId, to: PartyId, body: bytes) -> bytes:
        if sender == party and first.acquire(blocking=False):
            for each in COMPUTING:
                world.wait_for(lambda each=each: handle in world.nodes[each].runs._runs)
            world.nodes[party].stop(world.caller(party), handle)
            stopped.set()
        elif to == party:  # or it could have all hellos, and go on, before it is stopped
            assert stopped.wait(60)
        return body

    world.hooks.hello = hold
    world.ready()
    assert "run.stopped" in fails(world, handle=handle).text
    assert [sent for sent in world.transcript if sent.sender == party] == []


def test_stopping_a_run_that_is_over_is_refused_and_takes_nothing_back(world: World) -> None:
    handle = RunHandle("ab" * 16)
    world.ready()
    result = world.run(handle=handle)
    world.settle()
    for party in COMPUTING:
        with pytest.raises(RunError, match=r"run\.order"):
            world.nodes[party].stop(world.caller(BOARD), handle)
        assert world.nodes[party].receipt(world.caller(ANALYST), handle) == result.receipts[party]
        assert "run.aborted" not in world.kinds(party)
    with pytest.raises(RunError, match=r"run\.order"):
        world.client().stop(handle)


def test_a_stop_reaches_the_other_parties_when_one_does_not_know_the_run(world: World) -> None:
    handle = RunHandle("ab" * 16)
    world.ready()

    def now(passing: Passing) -> Iterable[bytes]:
        world.nodes[BOARD].runs._runs.pop(handle)  # as if its server had been restarted
        world.client(COUNCIL).stop(handle)
        return (passing.data,)

    world.hooks.taps.append(on("M4", now))
    with pytest.raises(PetsError):
        world.run(handle=handle)
    world.settle()
    assert not world.opened()


def test_stopping_what_nobody_knows_is_said(world: World) -> None:
    with pytest.raises(RunError, match=r"run\.unknown"):
        world.client().stop(RunHandle("ab" * 16))


def test_many_stops_at_once_end_a_run_once(world: World) -> None:
    handle = RunHandle("ab" * 16)

    def now(passing: Passing) -> Iterable[bytes]:
        threads = [threading.Thread(target=stop, args=(world, p, handle)) for p in COMPUTING for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return (passing.data,)

    world.hooks.taps.append(on("M4", now))
    world.ready()
    fails(world, handle=handle)
    assert [len(world.codes(party)) for party in COMPUTING] == [1, 1, 1]


# -- the cause --------------------------------------------------------------------------------------------------------


def test_the_first_cause_is_logged_at_its_place_and_the_reason_at_the_others(world: World) -> None:
    world.hooks.taps.append(on("M6", lambda p: [rewritten(p, number=40)]))
    world.ready()
    error = fails(world)
    assert isinstance(error, RunError)
    assert dict(error.fields) == {"party": HELPER, "reason": "peer.unexpected"}
    assert world.codes(HELPER) == ["peer.unexpected"]
    assert world.codes(COUNCIL) == ["peer.aborted"]
    assert "peer.unexpected" in "\n".join(world.consoles[COUNCIL])


def test_the_echo_of_an_abort_does_not_hide_what_a_party_met_itself(world: World) -> None:
    """A peer that hears of a fault before the thread of the run does sends its abort back."""
    world.ready()

    def meet(passing: Passing) -> Iterable[bytes]:
        mailbox = world.networks[passing.head.run_id].link(BOARD).mailbox
        mailbox.fail(PeerError("peer.gap", peer=COUNCIL, message="M3.0", got=2, expected=1))
        world.nodes[BOARD].abort(world.caller(COUNCIL), passing.head.run_id, "peer.gap")
        return (passing.data,)

    world.hooks.taps.append(on("M3", meet))
    assert "peer.gap" in fails(world).text
    assert world.codes(BOARD) == ["peer.gap"]


def test_a_cut_connection_is_explained_by_the_abort_that_follows(world: World) -> None:
    """A peer that stops cuts its streams and says why on another one, which may be the slower."""
    world.ready()

    def cut(passing: Passing) -> Iterable[bytes]:
        def explain() -> None:
            world.nodes[BOARD].abort(world.caller(COUNCIL), passing.head.run_id, "approval.revoked")

        threading.Timer(0.1, explain).start()
        raise LinkError("link.cut", peer=BOARD)

    world.hooks.taps.append(on("M3", cut))
    fails(world)
    assert "approval.revoked" in "\n".join(world.consoles[BOARD])
    assert world.codes(BOARD) == ["peer.aborted"]


@pytest.mark.parametrize("who", [ANALYST, STRANGER, BOARD])
def test_the_end_of_a_party_is_told_to_its_computing_peers_alone(world: World, who: PartyId) -> None:
    handle = RunHandle("ab" * 16)
    world.ready()
    world.run(handle=handle)
    with pytest.raises(RunError, match=r"run\.unknown"):
        world.nodes[BOARD].conclude(world.caller(who), handle)
    world.nodes[BOARD].conclude(world.caller(HELPER), handle)


@pytest.mark.parametrize("party", COMPUTING)
def test_a_party_that_does_not_tell_its_end_leaves_the_run_aborted_everywhere(
    world: World, monkeypatch: pytest.MonkeyPatch, party: PartyId
) -> None:
    """Both shares are out, but the run has no good end: no receipt, and the client does not open them."""
    handle = RunHandle("ab" * 16)

    def broken(*_: object) -> None:
        raise LinkError("link.cut", peer=party)

    def answers_late(node: PartyNode) -> Callable[[Caller, RunHandle], None]:
        """One that was told before the others asked would finish alone: no protocol closes that gap (ADR 0015)."""
        honest = node.conclude

        def conclude(caller: Caller, asked: RunHandle) -> None:
            if caller.party == party:
                world.wait_for(lambda: node.runs._runs[asked].session._stopped is not None)
            honest(caller, asked)

        return conclude

    for each in COMPUTING:
        made = broken if each == party else answers_late(world.nodes[each])
        monkeypatch.setattr(world.nodes[each], "conclude", made)
    world.ready()
    with pytest.raises(RunError, match=r"run\.ended"):
        world.run(handle=handle)
    world.settle()
    for each in COMPUTING:
        assert world.states[each].run(handle).state == RunState.ABORTED
        assert world.states[each].run(handle).receipt is None


@pytest.mark.parametrize("party", COMPUTING)
def test_a_table_is_not_opened_before_every_party_stands_by_it(
    make_world: Make, monkeypatch: pytest.MonkeyPatch, party: PartyId
) -> None:
    """A party sends all that is its part, and then leaves its peers without an answer: they would abort in the end."""
    monkeypatch.setattr(client, "END_S", 0.3)
    handle, over = RunHandle("ab" * 16), threading.Event()
    world = make_world(deadline_s=LONG_S, run_s=LONG_S)

    def stalls(*_: object) -> None:
        over.wait(LONG_S)
        raise LinkError("link.cut", peer=party)

    monkeypatch.setattr(world.nodes[party], "conclude", stalls)
    world.ready()
    with pytest.raises(PetsError):
        world.run(handle=handle)
    over.set()
    world.settle()
    assert world.opened(), "both shares had left"
    assert {world.states[each].run(handle).state for each in COMPUTING if each != party} == {RunState.ABORTED}


def test_a_receipt_stands_for_an_end_that_was_not_heard_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "END_S", 5.0)
    world.ready()
    network = world.client()

    class Helper:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.server(HELPER), name)

        def watch(self, handle: RunHandle, deadline_s: float) -> Iterator[Event]:
            for event in world.server(HELPER).watch(handle, deadline_s):
                if event.kind == "end":
                    raise LinkError("link.cut", peer=HELPER)
                yield event

    network.servers[HELPER] = Helper()  # type: ignore[assignment]
    assert network.run(SPEC).receipts.keys() == set(COMPUTING)


def test_an_abort_by_somebody_outside_the_run_does_nothing(world: World) -> None:
    world.ready()

    def outside(passing: Passing) -> Iterable[bytes]:
        world.nodes[BOARD].abort(world.caller(STRANGER), passing.head.run_id, "run.stopped")
        world.nodes[BOARD].abort(world.caller(COUNCIL), bytes(32), "run.stopped")
        return (passing.data,)

    world.hooks.taps.append(on("M3", outside))
    assert world.run().receipts.keys() == set(COMPUTING)


def test_an_abort_that_comes_before_the_run_has_agreed_is_met_when_it_opens(world: World) -> None:
    world.nodes[BOARD].abort(world.caller(COUNCIL), b"r" * 32, "budget.epsilon")
    assert world.nodes[BOARD].exchange._ended == {(b"r" * 32, COUNCIL): "budget.epsilon"}


@pytest.mark.parametrize("party", COMPUTING)
def test_a_refusal_at_the_last_moment_is_told_to_all(make_world: Make, party: PartyId) -> None:
    """Another specification of the same dataset has taken the budget, or the count is gone, after the start checked."""
    world = make_world(deadline_s=LONG_S)
    reviewed = world.ready()

    def take(at: PartyId) -> None:
        if at == party:
            for _ in range(3):
                world.states[party].count_run(Count(reviewed.digest, 3))

    world.hooks.link = take
    error = fails(world)
    assert dict(error.fields) == {"party": party, "reason": "budget.runs"}
    assert not [sent for sent in world.transcript if sent.sender == party]


def test_the_whole_run_has_a_deadline_beside_that_of_each_message(make_world: Make) -> None:
    world = make_world(deadline_s=LONG_S, run_s=0.3)

    def slow(passing: Passing) -> Iterable[bytes]:
        time.sleep(0.2)
        return (passing.data,)

    world.hooks.taps.append(slow)
    world.ready()
    assert "link.deadline" in fails(world).text


# -- the client -------------------------------------------------------------------------------------------------------


def test_a_client_that_is_interrupted_while_it_waits_stops_the_run_at_all_parties(world: World) -> None:
    reviewed = world.ready()
    client = world.client()
    make_link = client.link
    reached = threading.Event()

    def hold(passing: Passing) -> Iterable[bytes]:
        reached.set()
        world.wait_for(lambda: bool(world.nodes[HELPER].runs._runs[handle].session._stopped))
        return (passing.data,)

    def link(*given: Any) -> Any:
        made = make_link(*given)

        def receive(*_: object) -> Any:
            assert reached.wait(20)
            raise KeyboardInterrupt

        made.receive = receive  # type: ignore[method-assign]
        return made

    handle = RunHandle("ab" * 16)
    world.hooks.taps.append(on("M4", hold))
    client.link = link
    with pytest.raises(KeyboardInterrupt):
        client.run(SPEC, handle=handle)
    ended(world)
    for party in COMPUTING:
        assert world.states[party].run(handle).state == RunState.ABORTED
        assert world.states[party].runs_used(reviewed.digest) == 1


def test_a_client_that_is_interrupted_while_it_starts_stops_the_run_where_it_starts_later(world: World) -> None:
    world.ready()
    client = world.client()
    slow = threading.Event()
    start = world.nodes[HELPER].start

    def late(*given: Any) -> bytes:
        assert slow.wait(20)
        return start(*given)

    world.nodes[HELPER].start = late  # type: ignore[method-assign]

    class Board:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.server(BOARD), name)

        def start(self, *_: object) -> bytes:
            slow.set()
            raise KeyboardInterrupt

    client.servers[BOARD] = Board()  # type: ignore[assignment]
    handle = RunHandle("ab" * 16)
    with pytest.raises(KeyboardInterrupt):
        client.run(SPEC, handle=handle)
    ended(world)
    assert world.states[HELPER].run(handle).state == RunState.ABORTED
    assert world.transcript == []


def test_a_client_does_not_wait_for_shares_of_a_run_that_has_ended(make_world: Make) -> None:
    """The client's own deadline is an hour: it hears of the end from the party, not from its clock."""
    world = make_world(deadline_s=LONG_S)
    world.ready()
    world.hooks.hello = with_field("plan", "ab" * 32)
    with pytest.raises(PetsError, match=r"run\.other-plan"):
        world.client(deadline_s=3600.0).run(SPEC)
    ended(world)


def test_a_broken_progress_display_does_not_cost_the_table(world: World) -> None:
    world.ready()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.warns(UserWarning, match="progress"):
        result = world.run(progress=broken)
    assert result.receipts.keys() == set(COMPUTING)


def test_a_receipt_that_cannot_be_fetched_does_not_cost_the_table(world: World) -> None:
    world.ready()
    client = world.client()

    class Helper:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.server(HELPER), name)

        def receipt(self, *_: object) -> bytes:
            raise LinkError("link.unreachable", peer=HELPER)

    client.servers[HELPER] = Helper()  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="no receipt of helper"):
        result = client.run(SPEC)
    assert result.receipts.keys() == {BOARD, COUNCIL}
    assert len(result.to_pandas()) == 9


# -- what stays secret ------------------------------------------------------------------------------------------------


def test_two_runs_of_one_specification_share_no_word(world: World) -> None:
    """Fresh keys in every run: no eight bytes of one run's masked messages come again in the other's."""
    world.ready()
    world.run()
    world.run()
    first, second = (
        {
            word
            for s in n.transcript
            if s.slot.message not in (NUMBER["M8"], NUMBER["M4"])
            for word in np.frombuffer(s.body[: len(s.body) // 8 * 8], "<u8")
        }
        for n in world.networks.values()
    )
    assert len(first) > 1000
    assert len(first & second) == 0


def test_sizes_on_the_wire_do_not_depend_on_the_records(make_world: Make) -> None:
    from tests.party.world import homes, stays

    shapes = []
    for tables in (
        {"stays": stays(), "homes": homes()},
        {"stays": stays(*((f"IDENTITY-{i}", "old", i) for i in range(40))), "homes": homes(("IDENTITY-1", "own"))},
        {},
    ):
        world = make_world(tables)
        world.ready()
        world.run()
        shapes.append(sorted((s.sender, s.to, s.slot, len(s.body)) for s in world.transcript))
    assert shapes[0] == shapes[1] == shapes[2]


def test_keys_and_seeds_are_gone_when_a_run_has_ended(world: World) -> None:
    handle = RunHandle("ab" * 16)
    world.ready()
    world.run(handle=handle)
    world.settle()
    for party in COMPUTING:
        assert world.nodes[party].runs._runs[handle].session._private == {}
