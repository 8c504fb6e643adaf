"""Every fault at every step of the card: never on the wire, the run aborted at all parties, and the log names the step.

Real nodes over the network in memory, which notes every frame. One deployment serves all runs: what a fault leaves
behind must not be in the way of the next run, either.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from pets import client
from pets.errors import PetsError
from pets.ids import PartyId, RunHandle
from pets.party import consent, gate, session
from pets.party.gate import Expected
from pets.party.state import RunState
from pets.plan.review import Reviewed
from pets.protocols import helper_join
from pets.transport.memory import Passing, Sent
from tests.party import faults
from tests.party.conftest import _review, look_over
from tests.party.world import COMPUTING, World, altered, reviewed_of

TOML = altered(("max_runs = 3", "max_runs = 1000000"), ('schedule = "monthly"', ""))
REVIEWED: Reviewed = reviewed_of(TOML)
STEPS = list(faults.steps(REVIEWED))
ROWS = list(dict.fromkeys((role, step.label) for role, step in STEPS))
FIRST = [(role, min((s for r, s in STEPS if s.label == label), key=lambda s: s.slot)) for role, label in ROWS]
LAST = [(role, max((s for r, s in STEPS if s.label == label), key=lambda s: s.slot)) for role, label in ROWS]
PARTIES = faults.players(REVIEWED)
CODE = {"a": "party_a", "b": "party_b", "helper": "helper"}
RESULT = PARTIES["result"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consent, "review", _review)
        patch.setattr(client, "review", _review)
        patch.setattr(session, "TELL_S", 0.2)
        made = World(tmp_path_factory.mktemp("faults") / "world", cap="100000000", deadline_s=60.0)
        made.ready(TOML)
        yield made
        look_over(made)
        made.close()


NUMBERS = itertools.count(1)


def run_fails(world: World) -> tuple[PetsError, RunHandle, list[Passing]]:
    """A run that must fail: what the client was told, and every frame of every network that was opened for it."""
    handle, frames = RunHandle(f"{next(NUMBERS):032x}"), list[Passing]()
    before = set(world.networks)

    def note(passing: Passing) -> Iterable[bytes]:
        frames.append(passing)
        return (passing.data,)

    world.hooks.taps.insert(0, note)
    try:
        with pytest.raises(PetsError) as caught:
            world.run(TOML, handle=handle)
        world.settle()
    finally:
        world.hooks.taps.clear()
    sent = [each for run in set(world.networks) - before for each in world.networks[run].transcript]
    assert sorted(map(_place, sent)) == sorted(
        (each.sender, each.to, each.head.slot, each.head.total) for each in frames if each.head.index == 0
    )
    for run in set(world.networks) - before:  # a thousand runs need not stay in memory
        del world.networks[run]
    return caught.value, handle, frames


def _place(sent: Sent) -> tuple[str, str, object, int]:
    return sent.sender, sent.to, sent.slot, len(sent.body)


def aborted(world: World, party: str, handle: RunHandle) -> dict[str, Any]:
    """The run is aborted in the party's journal, without a receipt, and once in its log: that entry."""
    stored = world.states[PartyId(party)].run(handle)
    assert (stored.state, stored.receipt) == (RunState.ABORTED, None), party
    with world.states[PartyId(party)].reading() as db:  # the log of thousands of runs is not read for each
        kinds = db.execute("SELECT kind, body FROM log WHERE instr(body, ?) AND kind LIKE 'run.%'", (handle.encode(),))
        found = [(kind, json.loads(body)) for kind, body in kinds]
    assert "run.finished" not in [kind for kind, _ in found], party
    (entry,) = [body for kind, body in found if kind == "run.aborted"]
    return dict(entry)


def sent_by(frames: list[Passing], party: str) -> list[tuple[str, object, int]]:
    return [(each.to, each.head.slot, each.head.total) for each in frames if each.sender == party]


def only_the_plan(frames: list[Passing], role: str) -> None:
    """What a role's party has put on the wire begins as the plan says, and goes no further."""
    sent = sent_by(frames, PARTIES[role])
    assert sent == faults.sizes(faults.sends(REVIEWED, role))[: len(sent)]


LABELS = {message.label for message in faults.CARD.messages if message.columns.text != "v_c"}


def check_role_fault(world: World, role: str, step: Expected, fault: faults.Fault) -> None:
    party, own = PARTIES[role], faults.sends(REVIEWED, role)
    with pytest.MonkeyPatch.context() as patch:
        honest: Callable[..., Any] = getattr(helper_join, CODE[role])
        patch.setattr(helper_join, CODE[role], faults.faulty(honest, step, fault.commit))
        error, handle, frames = run_fails(world)
    place = own.index(step) + fault.sent
    assert sent_by(frames, party) == faults.sizes(own[:place]), fault.name
    for other in faults.COMPUTE:
        only_the_plan(frames, other)
    code = aborted(world, party, handle)["code"]
    assert code in ("internal.gate", "internal.wrong-array"), fault.name
    assert code in error.text
    whole = faults.projection(REVIEWED, role)
    due = whole[min(whole.index(step) + fault.sent, len(whole) - 1)].label
    entry = aborted(world, party, handle)
    assert (entry["step"], entry["refused"]) == (due, fault.refused), fault.name
    for other in faults.COMPUTE:
        if other != role:
            told = aborted(world, PARTIES[other], handle)
            assert (told["code"], told["reason"]) == ("peer.aborted", code), fault.name
            assert told["peer"] in COMPUTING or told["peer"] == RESULT
            assert told["step"] in LABELS | {"", "records", "hello"}


@pytest.mark.parametrize(("role", "step"), FIRST, ids=lambda value: getattr(value, "label", value))
def test_no_fault_of_a_role_passes_its_gate(world: World, role: str, step: Expected) -> None:
    for fault in faults.faults_of(REVIEWED, role, step):
        check_role_fault(world, role, step, fault)


@pytest.mark.long
@pytest.mark.parametrize(
    ("role", "step"), [each for each in STEPS if each not in FIRST], ids=lambda value: getattr(value, "label", value)
)
def test_no_fault_of_a_role_passes_its_gate_in_the_last_column(world: World, role: str, step: Expected) -> None:
    for fault in faults.faults_of(REVIEWED, role, step):
        check_role_fault(world, role, step, fault)


def check_bent(world: World, role: str, step: Expected, bent: faults.Bent) -> None:
    def deliver(run_id: bytes, to: str, data: bytes) -> None:
        world.networks[run_id].link(PARTIES[to]).deliver(PARTIES[role], data)

    def with_client(passing: Passing) -> Iterable[bytes]:
        """What goes to the client is met when it has opened its link; it opens it before the last round."""
        if "result" in (bent.met[0][0], step.role):
            link = world.networks[passing.head.run_id].link(RESULT)
            world.wait_for(lambda: link._open)
        return (passing.data,)

    world.hooks.taps += [with_client, faults.tap_of(step, PARTIES[role], bent, deliver)]
    error, handle, frames = run_fails(world)
    for each in faults.COMPUTE:
        only_the_plan(frames, each)
    entries = {each: aborted(world, PARTIES[each], handle) for each in faults.COMPUTE}
    met = [(at, code, label) for at, code, label in bent.met if at != "result" and entries[at]["code"] == code]
    if not met:  # the client has met it, and may have stopped the parties before they heard its reason
        (at, code, label) = next(each for each in bent.met if each[0] == "result")
        assert code in error.text, bent.name
        assert (label if label in LABELS else "message 999") in error.text, bent.name
        assert {entry["code"] for entry in entries.values()} <= {"peer.aborted", "run.stopped"}
        entries = {at: entry for at, entry in entries.items() if entry["code"] == "peer.aborted"}
    else:
        at, code, label = met[0]
        entry = entries.pop(at)
        assert (entry["refused"], entry["peer"]) == (label, PARTIES[role]), bent.name
        assert entry["step"] in LABELS
        assert any(code in error.text for _, code, _ in bent.met)
    for entry in entries.values():  # two receivers may each have met it on their own
        said = entry["reason"] if entry["code"] == "peer.aborted" else entry["code"]
        assert said in {code for _, code, _ in bent.met}, bent.name


@pytest.mark.parametrize(("role", "step"), LAST, ids=lambda value: getattr(value, "label", value))
def test_no_fault_on_the_way_passes_the_receiver(world: World, role: str, step: Expected) -> None:
    for bent in faults.bends_of(REVIEWED, role, step):
        check_bent(world, role, step, bent)


@pytest.mark.long
@pytest.mark.parametrize(
    ("role", "step"), [each for each in STEPS if each not in LAST], ids=lambda value: getattr(value, "label", value)
)
def test_no_fault_on_the_way_passes_the_receiver_in_the_first_column(world: World, role: str, step: Expected) -> None:
    for bent in faults.bends_of(REVIEWED, role, step):
        check_bent(world, role, step, bent)


def test_faults_are_made_for_every_message_of_the_card() -> None:
    assert {step.label for _, step in STEPS} == LABELS
    assert {role for role, _ in STEPS} == set(faults.COMPUTE)
    assert any(step.slot.column > 0 for _, step in STEPS)
    for role, step in STEPS:
        names = [fault.name for fault in faults.faults_of(REVIEWED, role, step)]
        assert len(set(names)) == len(names) >= 12


def test_without_a_fault_the_same_deployment_still_runs(world: World) -> None:
    """Last: nothing that the faulty runs left behind is in the way, and the wrapper itself is no fault."""
    role, step = STEPS[0]
    with pytest.MonkeyPatch.context() as patch:
        honest = helper_join.party_a
        patch.setattr(helper_join, "party_a", faults.faulty(honest, step, faults._instead(lambda act: act)))
        assert world.run(TOML).receipts.keys() == set(COMPUTING)
    assert role == "a"


def test_a_refused_label_that_no_card_has_is_not_repeated() -> None:
    from pets.errors import InternalError

    labels = {message.number: message.label for message in faults.CARD.messages}
    assert gate.refused(InternalError("internal.gate", label="M1", problem="x"), labels) == "M1"
    assert (
        gate.refused(InternalError("internal.gate", label="IDENTITY-ann", problem="x"), labels) == gate.NOT_ON_THE_CARD
    )
    assert gate.refused(InternalError("internal.bug", where="M1"), labels) == ""
