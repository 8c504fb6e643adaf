"""A deployment in which faults are committed, run by run, and what has to hold after each of them.

Real nodes over the network in memory, which notes every frame. One deployment serves all runs: what a fault leaves
behind must not be in the way of the next run, either.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pets import network
from pets.errors import PetsError
from pets.ids import PartyId, RunHandle
from pets.party import consent, session
from pets.party.gate import Expected
from pets.party.joining import JoinPlay
from pets.party.receipts import verify_receipt
from pets.party.state import RunState
from pets.protocols.base import Role
from pets.transport.memory import Passing, Sent
from tests.party import faults
from tests.party.conftest import _review, look_over
from tests.party.world import World, reviewed_of


@contextmanager
def deployed(folder: Path, toml: str, tables: Mapping[str, Any] | None = None, **options: Any) -> Iterator["Trials"]:
    """Servers that run ``toml`` as often as asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consent, "review", _review)
        patch.setattr(network, "review", _review)
        patch.setattr(session, "TELL_S", 0.2)
        made = World(folder, tables, **{"cap": "100000000", "deadline_s": 60.0, **options})
        made.ready(toml)
        yield Trials(made, toml)
        look_over(made)
        made.close()


class Trials:
    """Runs of one specification, each with a fault."""

    def __init__(self, world: World, toml: str) -> None:
        self.world, self.toml = world, toml
        self.subject = faults.Subject(reviewed_of(toml))
        self.numbers = itertools.count(1)

    @property
    def parties(self) -> Mapping[str, PartyId]:
        return self.subject.players

    def run(self) -> set[PartyId]:
        """A run without a fault: whose receipts came."""
        return set(self.world.run(self.toml).receipts)

    def fails(self) -> tuple[PetsError, RunHandle, list[Passing]]:
        """A run that must fail: what the client was told, and every frame of every network that was opened for it."""
        world, handle, frames = self.world, RunHandle(f"{next(self.numbers):032x}"), list[Passing]()
        before = set(world.networks)

        def note(passing: Passing) -> Iterable[bytes]:
            frames.append(passing)
            return (passing.data,)

        world.hooks.taps.insert(0, note)
        try:
            with pytest.raises(PetsError) as caught:
                world.run(self.toml, handle=handle)
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

    def left(self, role: str, handle: RunHandle) -> bool:
        """True of who only brings rows if all of it had arrived: its receipt says so, and not that the run finished."""
        stored = self.world.states[self.parties[role]].run(handle)
        if role not in self.subject.bringing or stored.state is not RunState.SENT:
            return False
        assert stored.receipt is not None
        assert verify_receipt(stored.receipt, self.keys, party=self.parties[role]).outcome == "sent"
        return True

    @property
    def keys(self) -> dict[str, bytes]:
        return {party: key.public for party, key in self.world.signing.items()}

    def aborted(self, party: str, handle: RunHandle) -> dict[str, Any]:
        """The run is aborted in the party's journal, without a receipt, and once in its log: that entry."""
        state = self.world.states[PartyId(party)]
        stored = state.run(handle)
        assert (stored.state, stored.receipt) == (RunState.ABORTED, None), party
        with state.reading() as db:  # the log of thousands of runs is not read for each
            kinds = db.execute(
                "SELECT kind, body FROM log WHERE instr(body, ?) AND kind LIKE 'run.%'", (handle.encode(),)
            )
            found = [(kind, json.loads(body)) for kind, body in kinds]
        assert "run.finished" not in [kind for kind, _ in found], party
        (entry,) = [body for kind, body in found if kind == "run.aborted"]
        return dict(entry)

    def only_the_plan(self, frames: list[Passing], role: str) -> None:
        """What a role's party has put on the wire begins as the plan says, and goes no further."""
        sent = _sent_by(frames, self.parties[role])
        assert sent == faults.sizes(self.subject.sends(role))[: len(sent)]

    # -- inside a party -----------------------------------------------------------------------------------------------

    def of_role(self, role: str, step: Expected, fault: faults.Fault) -> None:
        """Commit a fault of a role: it stays behind its gate, and everybody's log says what happened."""
        party, own = self.parties[role], self.subject.sends(role)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(JoinPlay, "role", _at(role, step, fault.commit))
            error, handle, frames = self.fails()
        place = own.index(step) + fault.sent
        assert _sent_by(frames, party) == faults.sizes(own[:place]), fault.name
        for other in self.subject.servers:
            self.only_the_plan(frames, other)
        entry = self.aborted(party, handle)
        code = entry["code"]
        assert code in ("internal.gate", "internal.wrong-array"), fault.name
        assert code in error.text
        whole = self.subject.projection(role)
        due = whole[min(whole.index(step) + fault.sent, len(whole) - 1)].label
        assert (entry["step"], entry["refused"]) == (due, fault.refused), fault.name
        for other in self.subject.servers:
            if other != role and not self.left(other, handle):
                told = self.aborted(self.parties[other], handle)
                assert (told["code"], told["reason"]) == ("peer.aborted", code), fault.name
                assert told["peer"] in self.parties.values()
                assert told["step"] in self.subject.used | {"", "records", "hello"}

    # -- on the way ---------------------------------------------------------------------------------------------------

    def on_the_way(self, role: str, step: Expected, bent: faults.Bent) -> None:
        """Commit a fault behind the gate of ``role``: whoever receives it meets it, and everybody's log says so."""
        world, result, labels = self.world, self.parties["result"], self.subject.used

        def deliver(run_id: bytes, to: str, data: bytes) -> None:
            world.networks[run_id].link(self.parties[to]).deliver(self.parties[role], data)

        def with_client(passing: Passing) -> Iterable[bytes]:
            """What goes to the client is met when it has opened its link; it opens it before the last round."""
            if "result" in (bent.met[0][0], step.role):
                link = world.networks[passing.head.run_id].link(result)
                world.wait_for(lambda: link._open)
            return (passing.data,)

        world.hooks.taps += [with_client, faults.tap_of(step, self.parties[role], bent, deliver)]
        error, handle, frames = self.fails()
        for each in self.subject.servers:
            self.only_the_plan(frames, each)
        there = [each for each in self.subject.servers if not self.left(each, handle)]
        entries = {each: self.aborted(self.parties[each], handle) for each in there}
        met = [(at, code, label) for at, code, label in bent.met if at != "result" and entries[at]["code"] == code]
        if not met:  # the client has met it, and may have stopped the parties before they heard its reason
            (at, code, label) = next(each for each in bent.met if each[0] == "result")
            assert code in error.text, bent.name
            assert (label if label in labels else "message 999") in error.text, bent.name
            assert {entry["code"] for entry in entries.values()} <= {"peer.aborted", "run.stopped"}
            entries = {at: entry for at, entry in entries.items() if entry["code"] == "peer.aborted"}
        else:
            at, code, label = met[0]
            entry = entries.pop(at)
            assert (entry["refused"], entry["peer"]) == (label, self.parties[role]), bent.name
            assert entry["step"] in labels
            assert any(code in error.text for _, code, _ in bent.met)
        for entry in entries.values():  # two receivers may each have met it on their own
            said = entry["reason"] if entry["code"] == "peer.aborted" else entry["code"]
            assert said in {code for _, code, _ in bent.met}, bent.name


def _at(role: str, step: Expected, commit: faults.Commit) -> Callable[..., Role[None]]:
    """What a session plays: as ever, but ``role`` commits a fault where it would send ``step``."""
    honest = JoinPlay.role

    def play(self: JoinPlay, *given: Any) -> Role[None]:
        return (faults.faulty(honest, step, commit) if self._role == role else honest)(self, *given)

    return play


def _place(sent: Sent) -> tuple[str, str, object, int]:
    return sent.sender, sent.to, sent.slot, len(sent.body)


def _sent_by(frames: list[Passing], party: str) -> list[tuple[str, object, int]]:
    return [(each.to, each.head.slot, each.head.total) for each in frames if each.sender == party]
