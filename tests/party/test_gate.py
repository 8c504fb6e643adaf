"""The gate alone: its sequence is the card's, and nothing passes that is not next."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from blake3 import blake3

from pets.errors import InternalError, PeerError
from pets.ids import PartyId
from pets.party import gate
from pets.party.cast import roles_of
from pets.party.gate import Expected, Gate
from pets.plan.cost import join_of
from pets.protocols.base import Array, Receive, Send
from pets.secret import Secret
from pets.spec.cards import Card, load_cards
from pets.spec.joins import MODE_A
from tests.party.world import SPEC, altered, reviewed_of

CARD: Card = load_cards()[MODE_A]
REVIEWED = reviewed_of(SPEC)
PUBLIC = dict(join_of(REVIEWED.plan).public)
ROLES = roles_of(REVIEWED)
OPENING = Secret(bytes(32))
SPECS = {
    "inner": SPEC,
    "left": altered(("FROM stays s JOIN", "FROM stays s LEFT JOIN")),
    "count": altered((", SUM(s.minutes) AS minutes", "")),
    "one cell": altered(("SELECT s.band, h.tenure,", "SELECT"), ("\nGROUP BY s.band, h.tenure", "")),
}


def sequence(role: str, toml: str = SPEC) -> tuple[Expected, ...]:
    reviewed = reviewed_of(toml)
    return gate.project(CARD, dict(join_of(reviewed.plan).public), roles_of(reviewed), role)


def array_of(expected: Expected) -> Array:
    if expected.element.kind == "bytes":
        return np.zeros((expected.count, expected.element.width), np.uint8)
    return np.zeros(expected.count, {"word": np.uint64, "u32": np.uint32}[expected.element.kind])


def send_of(expected: Expected) -> Send:
    return Send(expected.role, expected.label, array_of(expected), expected.slot.column)


def pass_all(made: Gate, steps: tuple[Expected, ...]) -> None:
    for expected in steps:
        if expected.sending:
            made.pass_out(send_of(expected))
        else:
            made.pass_in(Receive(expected.role, expected.label, expected.slot.column))


@pytest.fixture
def board() -> Iterator[Gate]:
    made = Gate(sequence("a"), opening=OPENING)
    yield made
    made.close()


@pytest.mark.parametrize("toml", SPECS.values(), ids=SPECS)
def test_what_one_role_sends_another_expects_in_the_same_order_and_size(toml: str) -> None:
    """The four projections fit together: each way between two roles is the same list at both ends."""
    roles = ("a", "b", "helper", "result")
    names = roles_of(reviewed_of(toml))
    total = 0
    for sender in roles:
        for receiver in roles:
            out = [e for e in sequence(sender, toml) if e.sending and e.role == receiver]
            into = [e for e in sequence(receiver, toml) if not e.sending and e.role == sender]
            assert [(e.slot, e.size, e.label) for e in out] == [(e.slot, e.size, e.label) for e in into]
            assert all(e.peer == names[receiver] for e in out)
            total += sum(e.size for e in out)
    assert total == reviewed_of(toml).forecast.size


def test_the_result_role_sends_nothing() -> None:
    assert not any(expected.sending for expected in sequence("result"))


def test_a_party_outside_the_card_has_no_message() -> None:
    assert sequence("nobody") == ()


@pytest.mark.parametrize("role", ["a", "b", "helper"])
def test_the_whole_sequence_passes_and_nothing_after_it(role: str) -> None:
    steps = sequence(role)
    made = Gate(steps, opening=OPENING)
    pass_all(made, steps)
    sent = made.finish()
    assert [(s.label, s.column, s.to, s.size) for s in sent] == [
        (e.label, e.slot.column, e.peer, e.size) for e in steps if e.sending
    ]
    with pytest.raises(InternalError, match=r"internal\.gate"):
        made.pass_out(send_of(next(e for e in steps if e.sending)))
    with pytest.raises(InternalError, match=r"internal\.gate"):
        made.pass_in(Receive("helper", "M4"))


def test_every_other_message_than_the_next_is_refused() -> None:
    """At every place of the sequence, every message of the card that is not the one is refused there."""
    steps = sequence("a")
    every = [(e.sending, e.role, e.label, e.slot.column) for e in steps]
    for place in range(len(steps)):
        for sending, role, label, column in every:
            made = Gate(steps, opening=OPENING)
            pass_all(made, steps[:place])
            if (sending, role, label, column) == every[place]:
                continue
            with pytest.raises(InternalError, match=r"internal\.gate"):
                if sending:
                    made.pass_out(Send(role, label, np.zeros(1, np.uint64), column))
                else:
                    made.pass_in(Receive(role, label, column))
            made.close()


CHANGES: dict[str, Callable[[Send], Send]] = {
    "to somebody else": lambda s: Send("b", s.label, s.array, s.column),
    "to the result party": lambda s: Send("result", s.label, s.array, s.column),
    "under another label": lambda s: Send(s.to, "M9", s.array, s.column),
    "of another column": lambda s: Send(s.to, s.label, s.array, s.column + 1),
    "one row more": lambda s: Send(s.to, s.label, np.concatenate([s.array, s.array[:1]]), s.column),
    "one row less": lambda s: Send(s.to, s.label, s.array[1:], s.column),
    "no row": lambda s: Send(s.to, s.label, s.array[:0], s.column),
    "as floats": lambda s: Send(s.to, s.label, s.array.astype(np.float64), s.column),
    "as objects": lambda s: Send(s.to, s.label, s.array.astype(object), s.column),
    "as signed words": lambda s: Send(s.to, s.label, s.array.astype(np.int64), s.column),
    "with another axis": lambda s: Send(s.to, s.label, s.array[None], s.column),
    "as a masked array": lambda s: Send(s.to, s.label, np.ma.masked_array(s.array), s.column),
    "big-endian": lambda s: Send(s.to, s.label, s.array.astype(">u8"), s.column),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("label", ["M1", "Me", "M7a"])
def test_a_message_that_is_changed_in_any_way_is_not_sent(label: str, change: Callable[[Send], Send]) -> None:
    steps = sequence("a")
    place = next(i for i, e in enumerate(steps) if e.label == label)
    changed = change(send_of(steps[place]))
    if (
        type(changed.array) is np.ndarray
        and changed.to == steps[place].role
        and changed.array.dtype == array_of(steps[place]).dtype
        and (changed.array.shape == array_of(steps[place]).shape and changed.label == label)
        and changed.column == steps[place].slot.column
    ):
        return  # this change does not change this message
    made = Gate(steps, opening=OPENING)
    pass_all(made, steps[:place])
    with pytest.raises(InternalError):
        made.pass_out(changed)
    made.close()


def test_a_role_that_ends_early_is_no_good_end(board: Gate) -> None:
    pass_all(board, sequence("a")[:-1])
    with pytest.raises(InternalError, match="never reached"):
        board.finish()


def test_nothing_passes_a_closed_gate(board: Gate) -> None:
    board.close()
    with pytest.raises(InternalError, match=r"internal\.gate"):
        board.pass_out(send_of(sequence("a")[0]))


@pytest.mark.parametrize("change", [-8, -1, 1, 8])
def test_a_body_of_another_length_is_not_read(board: Gate, change: int) -> None:
    for expected in board.incoming:
        with pytest.raises(PeerError):
            board.read(expected, memoryview(bytes(expected.size + change)))
        assert board.read(expected, memoryview(bytes(expected.size))).shape[0] == expected.count


def test_digests_of_what_peers_get_are_hidden_and_those_of_final_shares_are_not() -> None:
    steps = sequence("a")
    made = Gate(steps, opening=OPENING)
    pass_all(made, steps)
    for sent in made.finish():
        plain = hashlib.sha256(bytes(sent.size)).hexdigest()
        assert (sent.sha256 == plain) == (sent.to == PartyId("statistics:result"))
        if sent.sha256 != plain:
            before = gate.opened_by(OPENING, sent.label, sent.column)
            assert sent.sha256 == hashlib.sha256(before + blake3(bytes(sent.size)).digest()).hexdigest()


def test_a_gate_that_sends_to_peers_needs_something_that_hides_its_digests() -> None:
    with pytest.raises(InternalError):
        Gate(sequence("a"))
    Gate(sequence("result")).close()


def test_a_gate_does_not_hide_two_messages_by_the_same_bytes() -> None:
    """Who is shown the bytes of one message could check guesses at the other."""
    (first, *_) = (expected for expected in sequence("a") if expected.sending)
    with pytest.raises(InternalError, match="same bytes"):
        Gate((first, replace(first, role="b", peer=PartyId("council"))), opening=OPENING)
