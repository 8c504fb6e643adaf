"""Roles that many parties play: one card for all numbers of them, and the card of a run with so many.

Parties of one role are alike: each has its own messages, keys and shares, numbered from 1, and none has a key with
another of them. In a term of such a role's own message the role is whoever sends it; in a shared value it is each of
them, added up. Parties of two such roles may have messages and keys, one for each two of them, and those of one role
messages, one from each to each other: Us3x1 is from the third of the one to the first of the other. ``over`` and
``each`` in a term say where it is about all who play a role.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Final

from pets.ids import PartyId
from pets.spec.cards import ALL, Card, Key, Learns, Message, Shared
from pets.spec.formula import Formula, parse_formula
from pets.spec.ir import Plan
from pets.spec.term import OWN, OWN_COLUMNS, Call, Product, Sum, Term, arguments, calls, kinds_of

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")

HOLDERS: Final = ("left", "right")
"""Roles of those who hold the two tables of a join under which any number of parties may: of a's table, and of b's."""

BESIDE: Final = "d"
"""The role of those who hold the third table of a join and further ones."""

SHOWN: Final = 2
"""Parties of a role for which a checker draws its conclusions: one of whom others learn, and one of those others."""


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


def holding(table: int) -> str:
    """The role that brings a table of a join with a helper, by the number of the table: a, b, d1, d2 ..."""
    return "ab"[table] if table < 2 else role_of(BESIDE, table - 2)


def table_of(role: str) -> int:
    """The number of the table of such a role."""
    return "ab".index(role) if role in ("a", "b") else int(role.removeprefix(BESIDE)) + 1


def counts_of(plan: Plan) -> dict[str, int]:
    """How many parties play each role of a plan that many may."""
    several = {role: len(read.parties) for role, read in zip(HOLDERS, plan.reads, strict=False)}
    return several | {BESIDE: len(plan.join.beside)}


def own_of(name: str, role: str) -> str:
    """The number of one of these parties that a card calls ``own`` or by another name that follows from it."""
    return f"{name}_{role}"


def with_so_many(card: Card, counts: Mapping[str, int]) -> Card:
    """The card of a run in which so many parties play each role that many may: all others stay as they are."""
    return _with_so_many(_Itself(card), tuple(counts.items())) if many(card) else card


@dataclass(frozen=True, slots=True, eq=False)
class _Itself:
    """A card as a key: the same object, kept as long as the key."""

    card: Card

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.card is self.card

    def __hash__(self) -> int:
        return id(self.card)


@lru_cache(maxsize=32)  # a run asks half a dozen times, and with dozens of holders each takes tens of milliseconds
def _with_so_many(of: _Itself, numbers: tuple[tuple[str, int], ...]) -> Card:
    card, counts = of.card, dict(numbers)
    names = {role: tuple(role_of(role, number) for number in range(counts[role])) for role in many(card)}
    everybody = [party for parties in names.values() for party in parties]
    roles: dict[str, str] = {}
    for role, what in card.roles.items():
        roles |= dict.fromkeys(names.get(role, (role,)), what.replace(", many", ""))
    own = card.own_names
    derived: dict[str, Formula] = {}
    for name, formula in card.derived.items():
        copies = {own_of(name, role): _of(formula, role, own) for role in everybody}
        derived |= copies if name in own else {name: formula}
    messages = [each for message in card.messages for each in _messages(message, names, card, own)]
    program = card.program
    if program is not None:
        senders = {message.label: message.sender for message in card.messages}
        takes = (f"{label}{number + 1}" for label in program.takes for number in range(counts.get(senders[label], 0)))
        program = replace(program, takes=tuple(takes))
    asked = {name for message in messages for name in _asked(message)} | {n for f in derived.values() for n in f.names}
    given = {own_of(name, role): name for role in everybody for name in (OWN, OWN_COLUMNS)}
    who = card.adversary
    return replace(
        card,
        roles=roles,
        public=dict(card.public) | {name: what for name, what in given.items() if name in asked},
        derived=derived,
        adversary=replace(
            who,
            corrupt=who.corrupt if who.threshold is None else who.threshold.evaluate(counts),
            threshold=None,
            among=_all(who.among, names),
            with_result=_all(who.with_result, names),
        ),
        keys=tuple(each for key in card.keys for each in _keys(key, names)),
        messages=tuple(replace(message, number=place) for place, message in enumerate(messages, 1)),
        shared=tuple(_shared(each, names, card) for each in card.shared),
        learns=tuple(each for entry in card.learns for each in _learns(entry, names)),
        validity=None if (valid := card.validity) is None else replace(valid, needs=_all(valid.needs, names)),
        cost=replace(
            card.cost,
            bytes_of={
                each: _of(formula, each, own) for role, formula in card.cost.bytes_of.items() for each in names[role]
            },
        ),
        program=program,
    )


def _of_all(term: Term) -> bool:
    """A term that says where it is about all who play a role."""
    return any(call.head in ("over", "each") for call in calls(term))


def _asked(message: Message) -> frozenset[str]:
    return message.columns.names | message.count.names


def _all(roles: Iterable[str], names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The roles, with all who play it in the place of one that many may."""
    return tuple(each for role in roles for each in names.get(role, (role,)))


def _messages(message: Message, names: Mapping[str, Sequence[str]], card: Card, own: Set[str]) -> Iterator[Message]:
    """A message is there for each of many if one of them sends or receives it, or if each has a key that is in it."""
    if {message.sender, message.receiver} <= names.keys() or _of_all(message.meaning):
        yield from _among(message, names, card)
        return
    spoken = {key.name: role for key in card.keys for role in key.holders if role in names}
    by_keys = (spoken[key] for key in arguments(message.meaning, "key") if key in spoken)
    role = next((each for each in (message.sender, *by_keys, message.receiver) if each in names), None)
    meaning = _spread(message.meaning, names)
    if role is None or meaning != message.meaning:  # of rows of all tables
        every = (f"{each}{dot}{part}" for item in message.carries for each, dot, part in _parts_of(item, names))
        message = replace(message, meaning=meaning, term=text_of(meaning), carries=tuple(every))
    if role is None:
        yield message
        return
    for number, one in enumerate(names[role]):
        said = {role: one} | {key.name: f"{key.name}{number + 1}" for key in card.keys if role in key.holders}
        meaning = renamed(message.meaning, said)
        yield replace(
            message,
            label=f"{message.label}{number + 1}",
            sender=said.get(message.sender, message.sender),
            receiver=said.get(message.receiver, message.receiver),
            meaning=meaning,
            term=text_of(meaning),
            carries=tuple(_item(item, said) for item in message.carries),
            columns=_of(message.columns, one, own),
            count=_of(message.count, one, own),
        )


def _of(formula: Formula, role: str, own: Set[str]) -> Formula:
    """A formula about one of many, with that party's own numbers."""
    said = _NAME.sub(lambda found: own_of(found[0], role) if found[0] in own else found[0], formula.text)
    return formula if said == formula.text else parse_formula(said)


def _among(message: Message, names: Mapping[str, Sequence[str]], card: Card) -> Iterator[Message]:
    """A message from each to each of two roles of many, or of one, or one whose term speaks of all who play a role."""
    ends = (message.sender, message.receiver)
    for numbers in product(*(range(len(names[role])) if role in names else (None,) for role in ends)):
        at = {
            role: number for role, number in zip(reversed(ends), reversed(numbers), strict=True) if number is not None
        }
        said = tuple(number for number in numbers if number is not None)
        parties = [
            names[role][number] if number is not None else role for role, number in zip(ends, numbers, strict=True)
        ]
        if parties[0] == parties[1]:
            continue
        meaning = _placed(message.meaning, at, names, card)
        carries = [
            f"{one}{dot}{part}"
            for item in message.carries
            for one, dot, part in _parts_of(_item(item, {role: names[role][at[role]] for role in at}), names)
        ]
        yield replace(
            message,
            label=_numbered(message.label, said),
            sender=parties[0],
            receiver=parties[1],
            meaning=meaning,
            term=text_of(meaning),
            carries=tuple(carries),
        )


def _placed(term: Term, at: Mapping[str, int], names: Mapping[str, Sequence[str]], card: Card) -> Term:
    """A term of a run: ``at`` has the number of who plays each role of many that it speaks of as one."""
    match term:
        case str():
            return _name_of(term, at, names, card)
        case Call("over", (str(role), inner)):
            return Sum(
                tuple((1, _placed(inner, {**at, role: number}, names, card)) for number in range(len(names[role])))
            )
        case Call(head, args):
            found: list[Term] = []
            for kind, arg in zip(kinds_of(term), args, strict=True):
                if isinstance(arg, Call) and arg.head == "each":
                    role, inner = str(arg.args[0]), arg.args[1]
                    parties = range(len(names[role]))
                    found += [_placed(inner, {**at, role: number}, names, card) for number in parties]
                elif kind == "role" and arg in at:
                    found.append(names[str(arg)][at[str(arg)]])
                elif kind == "key":
                    found.append(_key_of(str(arg), at, card))
                else:
                    found.append(_placed(arg, at, names, card) if kind in ("term", "list", "order") else arg)
            return Call(head, tuple(found))
        case Product(factors):
            return Product(tuple(_placed(factor, at, names, card) for factor in factors))
        case Sum(parts):
            return Sum(tuple((sign, _placed(part, at, names, card)) for sign, part in parts))


def _name_of(name: str, at: Mapping[str, int], names: Mapping[str, Sequence[str]], card: Card) -> str:
    """The message of that name, with the numbers of who sends and receives it."""
    message = next((each for each in card.messages if each.label == name), None)
    if message is None:
        return name
    return _numbered(name, tuple(at[role] for role in (message.sender, message.receiver) if role in names))


def _key_of(name: str, at: Mapping[str, int], card: Card) -> str:
    """The key of that name, with the numbers of who of many holds it."""
    holders = next(key.holders for key in card.keys if key.name == name)
    return _numbered(name, tuple(at[role] for role in holders if role in many(card)))


def _numbered(name: str, numbers: Sequence[int]) -> str:
    return name + "x".join(str(number + 1) for number in numbers)


def _keys(key: Key, names: Mapping[str, Sequence[str]]) -> Iterator[Key]:
    several = [holder for holder in key.holders if holder in names]
    if len(several) > 1:
        for numbers in product(*(range(len(names[role])) for role in several)):
            at = {role: names[role][number] for role, number in zip(several, numbers, strict=True)}
            yield Key(_numbered(key.name, numbers), tuple(at.get(role, role) for role in key.holders), key.lifetime)
        return
    role = next(iter(several), None)
    if role is None:
        yield key
        return
    for number, own in enumerate(names[role]):
        holders = tuple(own if holder == role else holder for holder in key.holders)
        yield Key(f"{key.name}{number + 1}", holders, key.lifetime)


def _shared(each: Shared, names: Mapping[str, Sequence[str]], card: Card) -> Shared:
    """A value of rows of all tables, or one that is a sum over all parties of the roles that it speaks of."""
    if _of_all(each.value):
        shares = {
            party: _placed(term, {role: number} if role in names else {}, names, card)
            for role, term in each.shares.items()
            for number, party in enumerate(names.get(role, (role,)))
        }
        return replace(each, value=_placed(each.value, {}, names, card), shares=shares)
    value = _spread(each.value, names)
    spoken = [role for role in names if role in _words(value)]
    terms = [renamed(value, dict(zip(spoken, chosen, strict=True))) for chosen in product(*map(names.get, spoken))]  # type: ignore[arg-type]
    return replace(each, value=terms[0] if len(terms) == 1 else Sum(tuple((1, term) for term in terms)))


def _spread(term: Term, names: Mapping[str, Sequence[str]]) -> Term:
    """A term in which what is computed on rows is made of what all who play a role bring."""
    match term:
        case str():
            return term
        case Call("computed", (index, *roles)):
            return Call("computed", (index, *_all(map(str, roles), names)))
        case Call(head, args):
            return Call(head, tuple(_spread(arg, names) for arg in args))
        case Product(factors):
            return Product(tuple(_spread(factor, names) for factor in factors))
        case Sum(parts):
            return Sum(tuple((sign, _spread(part, names)) for sign, part in parts))


def _learns(entry: Learns, names: Mapping[str, Sequence[str]]) -> Iterator[Learns]:
    """An entry on what such a role brings, or learns, is one for each of them."""
    together = [names[role.removeprefix(ALL)] for role in entry.who if role.startswith(ALL)]
    alone = [names.get(role, (role,)) for role in entry.who if not role.startswith(ALL)]
    for apart in product(*alone):
        chosen = (*(party for parties in together for party in parties), *apart)
        for one, dot, part in _parts_of(entry.item, names):
            sentence = entry.sentence
            for role, parties in names.items():
                sentence = sentence.replace(f"{{{role}}}", f"{{{one if one in parties else parties[0]}}}")
            yield replace(entry, who=chosen, item=one + dot + part, sentence=sentence)


def _parts_of(item: str, names: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    """The items of each who plays the role that an item is of: who, a dot, and what."""
    role, dot, part = item.partition(".")
    yield from ((each, dot, part) for each in names.get(role, (role,)))


def _item(item: str, said: Mapping[str, str]) -> str:
    role, dot, part = item.partition(".")
    return said.get(role, role) + dot + part


def renamed(term: Term, said: Mapping[str, str]) -> Term:
    """A term with other roles and keys in the place of some."""
    match term:
        case str():
            return term
        case Call(head, args):
            kinds = zip(kinds_of(term), args, strict=True)
            return Call(head, tuple(_argument(kind, arg, said) for kind, arg in kinds))
        case Product(factors):
            return Product(tuple(renamed(factor, said) for factor in factors))
        case Sum(parts):
            return Sum(tuple((sign, renamed(part, said)) for sign, part in parts))


def _argument(kind: str, arg: Term, said: Mapping[str, str]) -> Term:
    """An argument of a call: what is called like a role or a key may be something else."""
    if isinstance(arg, str):
        return said.get(arg, arg) if kind in ("role", "key") else arg
    return renamed(arg, said)


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


def numbers_of(role: str, parties: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The public numbers of a run about each party of a role, by their names on the card."""
    found = ((number, name, value) for number, each in enumerate(parties) for name, value in each.items())
    return {own_of(name, role_of(role, number)): value for number, name, value in found}
