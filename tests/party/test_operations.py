"""Operations on shares behind their gates: what a program may send is projected from the card; nothing else passes."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError, PetsError
from pets.ids import PartyId
from pets.kernels.shares import Zeros
from pets.party import gate
from pets.party.drive import drive
from pets.protocols.base import Role, Send
from pets.protocols.rep3 import compare, order, products, rounding, sharing
from pets.protocols.rep3.sharing import PARTIES, Context, Words
from pets.secret import Secret
from pets.spec.cards import load_cards
from pets.spec.operations import labels
from pets.transport.memory import MemoryNetwork

CARD = load_cards()["rep3"]
NAMES = {role: PartyId(f"party-{role}") for role in PARTIES}
KEYS = [Secret(bytes([number + 9] * 16)) for number in range(3)]
ROWS = 70
PROGRAM = [
    ("from_two", {"n": ROWS, "bits": 1}),
    ("negative", {"n": ROWS, "bits": 1}),
    ("to_words", {"n": ROWS, "bits": 1}),
    ("select", {"n": ROWS, "bits": 1}),
    ("quotient", {"n": ROWS, "bits": 5}),
    ("sorted_by", {"n": ROWS, "bits": 4}),
    ("midpoint", {"n": ROWS, "bits": 5}),
    ("inner_products", {"n": 1, "bits": 1}),
    ("shifted", {"n": 1, "bits": 3}),
    ("is_zero", {"n": ROWS, "bits": 1}),
    ("injected", {"n": ROWS, "bits": 1}),
    ("opened", {"n": ROWS, "bits": 1}),
]
"""Counts below ten become zero, the others are divided by five and put in order: all that suppression needs. Then each
is put in the middle of its band, and where that is nothing stands an eighth of the sum of their squares instead."""


def program(ctx: Context, value: np.ndarray[Any, Any]) -> Role[Any]:
    part = {0: value - np.uint64(77), 1: np.full(ROWS, 77, np.uint64)}.get(ctx.me)
    counts = yield from sharing.from_two(ctx, 0, part, ROWS)
    small = yield from compare.negative(ctx, counts - sharing.public(ctx, 10, ROWS))
    (low,) = yield from compare.to_words(ctx, small)
    kept = yield from compare.select(ctx, low, sharing.public(ctx, 0, ROWS), counts)
    fifths = yield from rounding.quotient(ctx, kept, 5)
    ordered, _ = yield from order.sorted_by(ctx, fifths, 4, [counts])
    middles = yield from rounding.midpoint(ctx, ordered, 5)
    squares = yield from products.inner_products(ctx, ordered, ordered, ROWS)
    eighth = yield from rounding.shifted(ctx, squares, 3)
    everywhere = Words(np.repeat(eighth.own, ROWS), np.repeat(eighth.next, ROWS))
    nothing = yield from compare.is_zero(ctx, middles)
    return (yield from sharing.opened(ctx, middles + (yield from products.injected(ctx, nothing, everywhere))))


def play(change: Callable[[int, Role[Any]], Role[Any]] = lambda party, role: role) -> tuple[list[Any], MemoryNetwork]:
    """Three threads over the in-memory network; each party's result, or what ended it."""
    network = MemoryNetwork(NAMES.values(), record=True)
    counts = np.arange(ROWS, dtype=np.uint64)
    ends: list[Any] = [None] * 3

    def one(party: int) -> None:
        link = network.link(NAMES[PARTIES[party]])
        sequence = gate.project_operations(CARD, PROGRAM, NAMES, PARTIES[party])
        passage = gate.Gate(sequence, opening=Secret(bytes(32)))
        role = change(party, program(Context(party, Zeros(KEYS[party], KEYS[(party + 1) % 3])), counts))
        try:
            ends[party] = drive(role, passage, link, deadline_s=20)
            passage.finish()
        except PetsError as error:
            ends[party] = error
            link.abort(error.code)
        finally:
            passage.close()

    threads = [threading.Thread(target=one, args=(party,)) for party in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ends, network


def test_a_program_of_operations_passes_its_gates_and_nothing_else_is_sent() -> None:
    ends, network = play()
    counts = np.arange(ROWS, dtype=np.uint64)
    ordered = np.sort(np.where(counts < 10, 0, counts) // 5)
    expected = np.where(ordered == 0, (ordered * ordered).sum() // 8, (ordered + 4) // 5 * 5 - 2)
    assert all(np.array_equal(end, expected) for end in ends)
    sent = {(s.sender, s.to, s.slot, len(s.body)) for s in network.transcript}
    projected = {
        (NAMES[role], each.peer, each.slot, each.size)
        for role in PARTIES
        for each in gate.project_operations(CARD, PROGRAM, NAMES, role)
        if each.sending
    }
    assert sent == projected and len(network.transcript) == len(projected)


def test_both_ends_of_every_message_are_projected_alike() -> None:
    ways = {
        sending: {
            (NAMES[role] if sending else each.peer, each.peer if sending else NAMES[role], each.slot, each.size)
            for role in PARTIES
            for each in gate.project_operations(CARD, PROGRAM, NAMES, role)
            if each.sending is sending
        }
        for sending in (True, False)
    }
    assert ways[True] == ways[False]


@pytest.mark.parametrize("fault", ["once more", "to the other", "longer", "left out"])
@pytest.mark.parametrize("step", [0, 3, 17])
def test_a_party_whose_code_leaves_the_program_sends_nothing_of_it(fault: str, step: int) -> None:
    def faulty(party: int, role: Role[Any]) -> Role[Any]:
        return _altered(role, fault, step) if party == 1 else role

    honest = len([s for s in play()[1].transcript if s.sender == NAMES["p1"]])
    ends, network = play(faulty)
    assert isinstance(ends[1], InternalError)
    assert all(isinstance(end, PetsError) for end in ends)
    own = [s for s in network.transcript if s.sender == NAMES["p1"]]
    allowed = [e for e in gate.project_operations(CARD, PROGRAM, NAMES, "p1") if e.sending]
    assert len(own) < honest
    assert [(s.to, s.slot, len(s.body)) for s in own] == [(e.peer, e.slot, e.size) for e in allowed][: len(own)]


def _altered(role: Role[Any], fault: str, step: int) -> Role[Any]:
    """The role with one of its messages altered."""
    answer, sends = None, 0
    while True:
        try:
            act = role.send(answer)
        except StopIteration as end:
            return end.value
        if not isinstance(act, Send):
            answer = yield act
            continue
        if sends == step:
            if fault == "once more":
                yield act
            elif fault == "to the other":
                act = Send({"p0": "p2", "p2": "p0"}[act.to], act.label, act.array, act.column)
            elif fault == "longer":
                act = Send(act.to, act.label, np.append(act.array, act.array[:1]), act.column)
        sends += 1
        answer = None
        if not (fault == "left out" and sends == step + 1):
            yield act


def test_words_of_the_transcript_show_none_of_the_counts() -> None:
    """No opened or masked word of the run is a count, but for the result that the program opens."""
    _, network = play()
    opened = {s.slot for s in network.transcript if s.slot.message == 1 + labels(CARD.operations).index("open")}
    last = max(opened, key=lambda slot: slot.column)
    for each in network.transcript:
        if each.slot.message != last.message:
            assert not np.any(np.frombuffer(each.body, np.uint64) < np.uint64(2**32)), each
