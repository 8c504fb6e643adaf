"""A role behind its gate, without a network: what the gate refuses, it refuses here too."""

from collections.abc import Generator
from typing import Any

from pets.ids import PartyId
from pets.party import gate
from pets.protocols import codec
from pets.protocols.base import Act, Array, Role, Send
from pets.secret import Secret
from pets.spec.cards import Card, load_cards

CARD = load_cards()["helper_join_a"]
PARTIES = {role: PartyId(role) for role in CARD.roles}
OPENING = Secret(bytes(range(32)))


def gate_of(role: str, public: dict[str, int], card: Card = CARD) -> gate.Gate:
    """The gate of one role under these public parameters."""
    return gate.Gate(gate.project(card, public, PARTIES, role), opening=OPENING)


def gated(role: Role[Any], passage: gate.Gate) -> Generator[Act, Array | None, tuple[Any, tuple[gate.Sent, ...]]]:
    """Play ``role`` through ``passage``: out as bytes and in as bytes. Returns its output and what left."""
    answer: Array | None = None
    try:
        while True:
            try:
                act = role.send(answer)
            except StopIteration as end:
                return end.value, passage.finish()
            if isinstance(act, Send):
                passage.pass_out(act)
                answer = yield act
            else:
                expected = passage.pass_in(act)
                array = yield act
                assert array is not None
                element = expected.element
                count = len(array)  # what the peer sent, whatever that is: the gate decides
                body = codec.encode(array, kind=element.kind, width=element.width, count=count)
                answer = passage.read(expected, body)
    finally:
        passage.close()
        role.close()
