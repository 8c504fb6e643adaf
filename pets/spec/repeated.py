"""Roles that many parties play: one card for all numbers of them, and the card of a run with so many.

Parties of one role are alike: each has its own messages, keys and shares, numbered from 1, and none has a key with
another of them. In a term of such a role's own message the role is whoever sends it; in a shared value it is each of
them, added up.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

from pets.ids import PartyId
from pets.spec.cards import Card, Key, Learns, Message, Shared
from pets.spec.formula import Formula, parse_formula
from pets.spec.term import Call, Product, Sum, Term

HOLDERS: Final = ("left", "right")
"""Roles of those who hold the two tables of a join under which any number of parties may: of a's table, and of b's."""

SHOWN: Final = 2
"""Parties of a role for which a checker draws its conclusions: one of whom others learn, and one of those others."""

OWN: Final = "own"
"""In a count of a message of such a role: how many rows its sender brings at most."""


def many(card: Card) -> tuple[str, ...]:
    """The roles of a card that many parties may play."""
    return tuple(role for role, what in card.roles.items() if "many" in what.split(", "))


def shown(parties: Sequence[PartyId], result: PartyId) -> tuple[PartyId, ...]:
    """Those of the parties of a role that stand for all: of the first others learn; the result party is an other."""
    others = [party for party in parties if party != result]
    if result in parties:
        return (*others[: SHOWN - 1], result)
    return tuple(others[:SHOWN])


def role_of(role: str, number: int) -> str:
    """What the parties of one role are called, from number 0: left1, left2, ..."""
    return f"{role}{number + 1}"


def own_of(role: str) -> str:
    """The public number that says how many rows one of these parties brings at most."""
    return f"{OWN}_{role}"


def with_so_many(card: Card, counts: Mapping[str, int]) -> Card:
    """The card of a run in which so many parties play each role that many may: all others stay as they are."""
    if not many(card):
        return card
    names = {role: tuple(role_of(role, number) for number in range(counts[role])) for role in many(card)}
    roles: dict[str, str] = {}
    for role, what in card.roles.items():
        roles |= dict.fromkeys(names.get(role, (role,)), what.replace(", many", ""))
    messages = [each for message in card.messages for each in _messages(message, names, card)]
    program = card.program
    if program is not None:
        senders = {message.label: message.sender for message in card.messages}
        takes = (f"{label}{number + 1}" for label in program.takes for number in range(counts.get(senders[label], 0)))
        program = replace(program, takes=tuple(takes))
    return replace(
        card,
        roles=roles,
        public=dict(card.public) | {own_of(role): OWN for each in names.values() for role in each},
        keys=tuple(each for key in card.keys for each in _keys(key, names)),
        messages=tuple(replace(message, number=place) for place, message in enumerate(messages, 1)),
        shared=tuple(_shared(each, names, card) for each in card.shared),
        learns=tuple(each for entry in card.learns for each in _learns(entry, names)),
        program=program,
    )


def _messages(message: Message, names: Mapping[str, Sequence[str]], card: Card) -> Iterator[Message]:
    role = message.sender
    if role not in names:
        yield message
        return
    for number, own in enumerate(names[role]):
        said = {role: own} | {key.name: f"{key.name}{number + 1}" for key in card.keys if role in key.holders}
        yield replace(
            message,
            label=f"{message.label}{number + 1}",
            sender=own,
            meaning=renamed(message.meaning, said),
            term=text_of(renamed(message.meaning, said)),
            carries=tuple(_item(item, said) for item in message.carries),
            columns=message.columns,
            count=_own(message.count, own),
        )


def _own(count: Formula, role: str) -> Formula:
    words = (own_of(role) if word == OWN else word for word in count.text.split(" "))
    return parse_formula(" ".join(words))


def _keys(key: Key, names: Mapping[str, Sequence[str]]) -> Iterator[Key]:
    role = next((holder for holder in key.holders if holder in names), None)
    if role is None:
        yield key
        return
    for number, own in enumerate(names[role]):
        holders = tuple(own if holder == role else holder for holder in key.holders)
        yield Key(f"{key.name}{number + 1}", holders, key.lifetime)


def _shared(each: Shared, names: Mapping[str, Sequence[str]], card: Card) -> Shared:
    """A value that is a sum over all parties of the roles that it speaks of."""
    spoken = [role for role in names if role in _words(each.value)]
    terms = [renamed(each.value, dict(zip(spoken, chosen, strict=True))) for chosen in product(*map(names.get, spoken))]  # type: ignore[arg-type]
    value = terms[0] if len(terms) == 1 else Sum(tuple((1, term) for term in terms))
    return replace(each, value=value)


def _learns(entry: Learns, names: Mapping[str, Sequence[str]]) -> Iterator[Learns]:
    """An entry on what such a role brings is one on what each of them brings."""
    role, dot, part = entry.item.partition(".")
    for own in names.get(role, (role,)):
        sentence = entry.sentence
        for each, parties in names.items():
            sentence = sentence.replace(f"{{{each}}}", f"{{{parties[0]}}}")
        yield replace(entry, item=own + dot + part, sentence=sentence)


def _item(item: str, said: Mapping[str, str]) -> str:
    role, dot, part = item.partition(".")
    return said.get(role, role) + dot + part


def renamed(term: Term, said: Mapping[str, str]) -> Term:
    """A term with other names in the place of some."""
    match term:
        case str():
            return said.get(term, term)
        case Call(head, args):
            return Call(head, tuple(renamed(arg, said) for arg in args))
        case Product(factors):
            return Product(tuple(renamed(factor, said) for factor in factors))
        case Sum(parts):
            return Sum(tuple((sign, renamed(part, said)) for sign, part in parts))


def _words(term: Term) -> set[str]:
    match term:
        case str():
            return {term}
        case Call(_, args) | Product(args):
            return set().union(*map(_words, args))
        case Sum(parts):
            return set().union(*(_words(part) for _, part in parts))


def text_of(term: Term) -> str:
    """A term as it is written on a card."""
    match term:
        case str():
            return term
        case Call(head, args):
            return f"{head}({', '.join(map(text_of, args))})"
        case Product(factors):
            return " * ".join(_in_brackets(factor, Sum) for factor in factors)
        case Sum(parts):
            signs = ("-" if sign < 0 else "+" for sign, _ in parts)
            whole = " ".join(f"{sign} {_in_brackets(part, Sum)}" for sign, (_, part) in zip(signs, parts, strict=True))
            return whole.removeprefix("+ ")


def _in_brackets(term: Term, kind: type[Sum]) -> str:
    return f"({text_of(term)})" if isinstance(term, kind) else text_of(term)


def numbers_of(sizes: Mapping[str, Iterable[int]]) -> dict[str, int]:
    """The public numbers of a run that say how many rows each party of a role brings at most."""
    return {own_of(role_of(role, number)): rows for role, each in sizes.items() for number, rows in enumerate(each)}
