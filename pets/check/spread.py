"""Messages as sums of unknown words: what the terms of sums over one table of many holders come to.

A message is one vector, and every entry of it is made alike; so an entry stands for the vector. A *form* is a sum of
unknowns with whole coefficients: a holder's value, a computing party's noise, the words of a stream, and coefficients
that are drawn for a polynomial. Forms are modulo 2^64 where a message is of words, and modulo 2^61 - 1 where it is of
residues (or any other prime). What proofs of bounds add to a vector goes with it: ``proved`` is its value, and
``truncated`` is linear. docs/rules/pools.md, rules G3 to G5, has what each head comes to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pets.spec.cards import Card, Message
from pets.spec.term import Call, Sum, Term

WORDS: Final = 1 << 64
RESIDUES: Final = (1 << 61) - 1
MODULUS: Final = {"word": WORDS, "residue": RESIDUES}
"""What numbers are added modulo, by the element of a message."""


@dataclass(frozen=True, slots=True, order=True)
class Unknown:
    """Something that a message is made of.

    ``kind``: "value" of a holder, "noise" of a computing party, "stream" of a key, "drawn" by who deals. ``of``: the
    role, or the key. ``part``: of a stream its label, of what is drawn the power of the point that it is multiplied by.
    """

    kind: str
    of: str
    part: str = ""

    @property
    def uniform(self) -> bool:
        """True for what is drawn uniformly, and so hides what it is added to."""
        return self.kind in ("stream", "drawn")


Form = dict[Unknown, int]
"""Coefficients by unknown, none of them zero."""


def plus(modulus: int, parts: Iterable[tuple[int, Form]]) -> Form:
    """The sum of forms, each so many times."""
    whole: Form = {}
    for times, part in parts:
        for unknown, c in part.items():
            whole[unknown] = (whole.get(unknown, 0) + times * c) % modulus
    return {unknown: c for unknown, c in whole.items() if c}


@dataclass(frozen=True)
class Forms:
    """The forms of a card's messages. ``card``: that of a run with so many of each role."""

    card: Card
    computing: tuple[str, ...]
    """Computing roles in the order of their points: 1, 2, ..."""
    degree: int
    """Of the polynomials by which noise is dealt."""
    _sent: Mapping[str, Message] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sent", {message.label: message for message in self.card.messages})

    def of(self, message: Message) -> Form:
        """What a message of numbers is made of. Raises: ValueError if its term is of no such form."""
        modulus = MODULUS.get(message.element)
        if modulus is None:
            raise ValueError(f"send {message.element} as {message.label}, which are no numbers")
        return self.term(message.meaning, modulus, message.receiver)

    def term(self, term: Term, modulus: int, receiver: str) -> Form:
        """A term for who receives it."""
        match term:
            case Sum(parts):
                return plus(modulus, ((sign, self.term(part, modulus, receiver)) for sign, part in parts))
            case str():
                return self._named(term, modulus)
            case Call("values" | "proved", (str(role), _)) if role not in self.computing:
                return {Unknown("value", role): 1}
            case Call("noise", (str(role), _)) if role in self.computing:
                return {Unknown("noise", role): 1}
            case Call("mask", (str(key), str(label), _)):
                return {Unknown("stream", key, label): 1}
            case Call("zero", (str(key), _)):
                return {Unknown("stream", key, "zero"): 1}
            case Call("truncated", (inner,)):
                return self.term(inner, modulus, receiver)
            case Call("share", (str(role), str(name))):
                (shared,) = (each for each in self.card.shared if each.name == name)
                return self.term(shared.shares[role], modulus, receiver)
            case Call("curve", (value, *others)) if modulus == RESIDUES:
                return self._curve([self.term(each, modulus, receiver) for each in (value, *others)], receiver)
            case Call("dealt", (inner,)) if modulus == RESIDUES:
                return self._dealt(self.term(inner, modulus, receiver), receiver)
            case Call("dealings", (str(role),)) if modulus == RESIDUES:
                return self._dealings(role)
        raise ValueError(f"are of no form that a rule is about: {term}")

    def shares(self, name: str, modulus: int) -> tuple[Form, Form]:
        """A shared value, and what its shares come to."""
        (shared,) = (each for each in self.card.shared if each.name == name)
        total = plus(modulus, ((1, self.term(share, modulus, role)) for role, share in shared.shares.items()))
        return self.term(shared.value, modulus, ""), total

    def _named(self, label: str, modulus: int) -> Form:
        message = self._sent.get(label)
        if message is None and any(each.name == label for each in self.card.shared):
            return self.shares(label, modulus)[0]
        if message is None or MODULUS.get(message.element) != modulus:
            raise ValueError(f"speak of {label}, which is no message of such numbers")
        return self.of(message)

    def _curve(self, known: list[Form], receiver: str) -> Form:
        """At the receiver's point the polynomial of least degree that is ``known`` at 0, 1, 2 ... (Lagrange)."""
        point, places = self._point(receiver), range(len(known))
        weights = []
        for own in places:
            above, below = 1, 1
            for other in places:
                if other != own:
                    above, below = above * (point - other), below * (own - other)
            weights.append(above * pow(below, -1, RESIDUES) % RESIDUES)
        return plus(RESIDUES, zip(weights, known, strict=True))

    def _dealt(self, value: Form, receiver: str) -> Form:
        """At the receiver's point a polynomial that is the value at 0, its other coefficients drawn for it."""
        if len(value) != 1:
            raise ValueError("deal what is no noise")
        (of,) = value
        if of.kind != "noise" or value[of] != 1:
            raise ValueError("deal what is no noise")
        point = self._point(receiver)
        drawn = ((pow(point, k, RESIDUES), Unknown("drawn", of.of, f"{k:03}")) for k in range(1, self.degree + 1))
        return value | {unknown: power for power, unknown in drawn}

    def _dealings(self, role: str) -> Form:
        """The sum of what all deal to a role, its own to itself too: of what there is a message of."""
        found = [self._dealt({Unknown("noise", role): 1}, role)]
        for message in self.card.messages:
            match message.meaning:
                case Call("dealt", _) if message.receiver == role:
                    found.append(self.of(message))
        return plus(RESIDUES, ((1, each) for each in found))

    def _point(self, role: str) -> int:
        if role not in self.computing:
            raise ValueError(f"give a point to {role}, which computes nothing")
        return self.computing.index(role) + 1


def numbers(message: Message) -> bool:
    """True for a message of numbers, which has a form."""
    return message.element in MODULUS
