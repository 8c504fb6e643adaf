"""Every operation on shares through its gates; a message that is cut, too long, doubled or out of place ends it."""

import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from pets.errors import PeerError, PetsError
from pets.ids import PartyId
from pets.kernels.shares import Zeros
from pets.party import gate
from pets.party.drive import drive
from pets.protocols.rep3.sharing import PARTIES, Context, Words
from pets.spec.cards import load_cards
from pets.transport import frame
from pets.transport.frame import Slot
from pets.transport.memory import MemoryNetwork, Passing
from tests.oracles.rep3_operations import MADE
from tests.oracles.shared import KEYS

CARD = load_cards()["rep3"]
NAMES = {role: PartyId(f"party-{role}") for role in PARTIES}


def framed(passing: Passing, body: bytes, column: int) -> bytes:
    slot = Slot(passing.head.slot.message, column)
    return next(iter(frame.frames(passing.head.run_id, slot, memoryview(body))))


def altered(fault: str, passing: Passing) -> Iterable[bytes]:
    body, column = frame.read(passing.data)[1].tobytes(), passing.head.slot.column
    if fault == "cut":
        return [framed(passing, body[:-8], column)]
    if fault == "longer":
        return [framed(passing, body + bytes(8), column)]
    if fault == "twice":
        return [passing.data, passing.data]
    return [framed(passing, body, column + 1)]


def outcome(name: str, rows: int, public: Mapping[str, int], fault: str = "", at: int = 0) -> tuple[list[Any], Any]:
    """How an operation ended at each party when message ``at`` of p1's incoming ones is altered; whom it came from."""
    made, network = MADE[name], MemoryNetwork(NAMES.values())
    program = [(name, {"n": rows, "bits": 1, **public})]
    incoming = [each for each in gate.project_operations(CARD, program, NAMES, "p1") if not each.sending]
    target = incoming[at % len(incoming)] if fault else None

    def tap(passing: Passing) -> Iterable[bytes]:
        assert target is not None
        meant = (target.peer, NAMES["p1"], target.slot)
        return altered(fault, passing) if (passing.sender, passing.to, passing.head.slot) == meant else [passing.data]

    if fault:
        network.taps.append(tap)
    ends: list[Any] = [None] * 3

    def one(party: int) -> None:
        link = network.link(NAMES[PARTIES[party]])
        passage = gate.Gate(gate.project_operations(CARD, program, NAMES, PARTIES[party]), opening=KEYS[0])
        zero = np.zeros(rows, np.uint64)
        ctx = Context(party, Zeros(KEYS[party], KEYS[(party + 1) % 3]))
        try:
            role = made.act(ctx, *(Words(zero, zero) for _ in range(made.columns)), **public)
            ends[party] = drive(role, passage, link, deadline_s=20)
            passage.finish()
            ends[party] = "output"
        except PetsError as error:
            ends[party] = error
            link.abort(error.code)
        finally:
            passage.close()

    threads = [threading.Thread(target=partial(one, party)) for party in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ends, target and target.peer


@pytest.mark.parametrize("name", sorted(MADE))
def test_every_operation_passes_its_gates(name: str) -> None:
    """In the order of the card, at every party, to the last message."""
    for public in MADE[name].publics:
        assert outcome(name, max(MADE[name].rows), public)[0] == ["output"] * 3


@pytest.mark.parametrize("fault", ["cut", "longer", "twice", "out of place"])
@pytest.mark.parametrize("name", sorted(MADE))
def test_a_malformed_message_ends_the_operation_with_a_fault_of_the_peer(name: str, fault: str) -> None:
    made = MADE[name]
    public = made.publics[len(made.publics) // 2]
    rows = max(made.rows)
    listed = len(gate.project_operations(CARD, [(name, {"n": rows, "bits": 1, **public})], NAMES, "p1"))
    ends, sender = outcome(name, rows, public, fault, 0 if fault == "twice" else listed // 3)
    assert isinstance(ends[1], PeerError)
    assert ends[1].fields["peer"] == sender
    assert all(end == "output" or isinstance(end, PetsError) for end in ends)
    if listed > 6:  # the others still wait for something that rests on it
        assert "output" not in ends
