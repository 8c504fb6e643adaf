"""One card that goes on where another ends: what both list, in the roles and keys of the first.

A join ends with shares of sums (``hands_over``). The card of disclosure control takes them over (``takes_over``),
whichever join made them; here the two become one, so that gate and checkers see every message of a run under one set of
names.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pets.errors import InternalError
from pets.spec.cards import Adversary, Card, Key, Learns, Message, load_cards
from pets.spec.operations import Operation
from pets.spec.term import parse_term

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Cards:
    """The installation's cards as a library of operations (``operations.Library``)."""

    def operations(self, card: str) -> tuple[Operation, ...]:
        return load_cards()[card].operations

    def names(self, card: str, public: Mapping[str, int]) -> dict[str, int]:
        return load_cards()[card].names(public)


def joined(join: Card, after: Card) -> Card:
    """The join without the messages that ``after`` replaces, and then the messages of ``after``.

    Raises: InternalError internal.bug if the two do not fit together: cards of one installation do.
    """
    over, taken = join.hands_over, after.takes_over
    if over is None or taken is None or over.shared != taken.shared:
        raise InternalError("internal.bug", where=f"{after.id} does not go on where {join.id} ends")
    kept = tuple(message for message in join.messages if message.columns.text != over.instead)
    first = max(message.number for message in join.messages) + 1
    names = {**over.roles, **over.keys}
    more = tuple(
        replace(
            _in_place(message, over.roles, names),
            number=first + place,
            round=message.round + max(each.round for each in kept),
        )
        for place, message in enumerate(after.messages)
    )
    return replace(join, messages=(*kept, *more))


def placed(join: Card, after: Card) -> Card:
    """``after`` in the roles and keys of the join. Raises: InternalError internal.bug if the two do not fit."""
    over = join.hands_over
    if over is None or after.takes_over is None:
        raise InternalError("internal.bug", where=f"{after.id} does not go on where {join.id} ends")
    roles, names = over.roles, {**over.roles, **over.keys}
    keys = tuple(
        Key(names[key.name], tuple(roles.get(role, role) for role in key.holders), key.lifetime) for key in after.keys
    )
    return replace(
        _in_roles(after, roles),
        keys=keys,
        messages=tuple(_in_place(message, roles, names) for message in after.messages),
    )


def _in_roles(card: Card, roles: Mapping[str, str]) -> Card:
    """A card's roles, adversary and what is learned under other names of roles; keys and messages as they are."""

    def of(found: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(roles.get(role, role) for role in found)

    who = card.adversary
    return replace(
        card,
        roles={roles.get(role, role): what for role, what in card.roles.items()},
        adversary=Adversary(who.behaviour, who.corrupt, of(who.among), of(who.with_result), who.forbidden),
        learns=tuple(
            Learns(of(each.who), each.item, each.grade, each.beyond_model, _said(each.sentence, roles))
            for each in card.learns
        ),
    )


COMPUTERS: Final = {"a": "first", "helper": "second", "b": "third"}
"""What the roles of a join with a helper are called under shared_join, where those who play them hold nothing."""


def released_by(join: Card, release: Card) -> Card:
    """The card of noise in the roles of the join whose sums it is added to."""
    return _in_roles(release, COMPUTERS) if set(COMPUTERS.values()) <= set(join.roles) else release


def numbers(join: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """All parameters of two cards that go on after each other.

    Raises: InternalError internal.bug if a name that both have is two numbers: their formulas would mean two things.
    """
    if differing := sorted(name for name in set(join) & set(after) if join[name] != after[name]):
        raise InternalError("internal.bug", where=f"two cards mean two things by {', '.join(differing)}")
    return {**join, **after}


def _in_place(message: Message, roles: Mapping[str, str], names: Mapping[str, str]) -> Message:
    term = _NAME.sub(lambda found: names.get(found[0], found[0]), message.term)
    return replace(
        message,
        sender=roles.get(message.sender, message.sender),
        receiver=roles.get(message.receiver, message.receiver),
        term=term,
        meaning=parse_term(term),
    )


def _said(sentence: str, roles: Mapping[str, str]) -> str:
    for own, role in roles.items():
        sentence = sentence.replace(f"{{{own}}}", f"{{{role}}}")
    return sentence
