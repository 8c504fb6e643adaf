"""What a coalition works out of the messages of an intersection that it has.

It asks which lists (lists.py) lie under one function, whose places in them the coalition knows, and what it can
evaluate by itself; and what words tell of numbers (totals.py). docs/rules/intersections.md, rules I1 to I9 and I13 to
I20. What that is worth is in traced.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations

from pets.check import cheating, covered, totals
from pets.check.labels import Mark, strongest
from pets.check.lists import (
    BROUGHT,
    FIRST,
    SORTED,
    Listed,
    Order,
    added,
    listed,
    padded,
    transfers,
    vectors,
    written,
)
from pets.check.sides import Pair, Sent
from pets.check.totals import Word
from pets.ids import PartyId
from pets.spec.term import Call, Term, arguments, calls, names


@dataclass(slots=True)
class Trace:
    """A coalition, what it has, and what it works out."""

    pair: Pair
    parties: frozenset[PartyId]
    persons: set[str] = field(default_factory=set)
    """Roles whose persons it knows."""
    places: set[str] = field(default_factory=set)
    """Roles of whose persons in both it knows in which rows they are."""
    values: set[str] = field(default_factory=set)
    """Roles whose columns that come with persons it can read."""
    opened: set[str] = field(default_factory=set)
    """The same, but of persons in both alone."""
    groups: set[str] = field(default_factory=set)
    """Roles of whose persons it knows the groups."""
    met: set[str] = field(default_factory=set)
    """The same, but of persons in both alone."""
    beside: set[tuple[frozenset[str], bool, tuple[Order, ...]]] = field(default_factory=set)
    """How words lie that it can read."""
    words: list[Word] = field(default_factory=list)
    """What it knows of numbers."""
    matched: bool = False
    count: Mark = Mark.NEVER
    enough: Mark = Mark.NEVER
    sums: Mark = Mark.NEVER

    roles: frozenset[str] = field(init=False)
    seen: tuple[Sent, ...] = field(init=False)
    keys: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.roles = frozenset(role for role, party in self.pair.cast.items() if party in self.parties)
        made = [each for each in self.pair.messages if each.sender in self.roles]
        named = {name for each in made for name in names(each.own)}
        has = (each for each in self.pair.messages if {each.sender, each.receiver} & self.roles or each.label in named)
        self.seen = tuple(has)  # I3
        held = {key.name for key in self.pair.keys if self.roles & set(key.holders)}
        self.keys = frozenset(held.union(*(arguments(each.own, "key") for each in made)))  # I2
        self.keys |= cheating.bared(self.pair, self.seen) | cheating.unheld(self.pair, self.roles)
        self.persons |= {side.role for side in self.pair.sides if side.role in self.roles}  # I1
        makes = [call for each in made for call in calls(each.own)]
        self.persons |= {str(call.args[0]) for call in makes if call.head == "keys"}
        self.values |= {str(call.args[0]) for call in makes if call.head in BROUGHT}


def trace(pair: Pair, parties: frozenset[PartyId]) -> Trace:
    """All that a coalition works out, but for outcomes that it is handed. Raises: ValueError for a term of no rule."""
    seen = Trace(pair, parties)
    covered.alike(each.term for each in pair.messages)
    lists = [each for message in seen.seen for each in _lists(seen, message)]
    for found in lists:
        seen.persons |= found.persons(seen.keys)
        seen.groups |= found.persons(seen.keys) & found.tells
        seen.values |= set() if found.unknown(seen.keys) else found.brings
    _bare(seen)
    lists += [each for found in lists for each in _read_by_itself(seen, found)]
    loose = _loose(lists, seen.keys)
    for group in _together(lists, seen.keys):
        _compared(seen, group, loose)
    _numbers(seen)
    return seen


def _lists(seen: Trace, message: Sent) -> Iterator[Listed]:
    """The list that a message is, or says something of; what is to be had from others alone is noted at once."""
    match message.term:
        case Call("outcome", _):
            pass
        case Call("keys", (str(role),)):
            seen.persons.add(role)
        case Call("public", _):
            pass
        case Call("under", (str(secret), inner)):
            under = covered.summed(inner)
            seen.values |= {under.role} if secret in seen.keys else set()
            seen.beside |= {under.lies} if secret in seen.keys else set()
        case Call("covered", _) as term:
            yield from _of_sums(seen, covered.of(term))
        case Call("flags", (_, str(role), "match")):
            yield _marked(seen.pair, role)
        case Call("gather", (inner, "match")) if (words := padded(inner)) is not None:
            seen.opened |= _readable(seen, *words)
            yield _marked(seen.pair, FIRST)
        case term if (words := padded(term)) is not None:
            seen.values |= _readable(seen, *words)
        case term if (found := listed(term)) is not None:
            yield found
        case term if (number := totals.word(seen.pair, term, _dummies(seen.pair))) is not None:
            seen.words.append(number)
        case term if not added(term) and not transfers(term):
            raise ValueError(f"send what no rule is about, as {message.label}")


def _of_sums(seen: Trace, sums: covered.Covered) -> Iterator[Listed]:
    """I19: without their covers sums tell what was added up; whoever can open them has them with their covers."""
    if not sums.empty and sums.cover in seen.keys and any(each.term == sums.under for each in seen.seen):
        yield replace(sums.added, marks=sums.into.roles, tells=sums.into.tells)
    if sums.secret in seen.keys:
        seen.words.append(totals.opened(sums))


def _marked(pair: Pair, role: str) -> Listed:
    """What says of each entry of a role's list of tags whether it is in the other's."""
    tags = {found for each in pair.messages if (found := _of_tags(each.term)) is not None and found.roles == {role}}
    (only,) = tags
    return replace(only, marks=frozenset(side.role for side in pair.sides) - {role})


def _of_tags(term: Term) -> Listed | None:
    heads = {call.head for call in calls(term)}
    return listed(term) if "tags" in heads and "told" not in heads else None


def _dummies(pair: Pair) -> frozenset[str]:
    """Keys of the dummies that all lists of tags have."""
    found = [each.dummies for message in pair.messages if (each := _of_tags(message.term)) is not None]
    return frozenset.intersection(*found) if found else frozenset()


def _readable(seen: Trace, role: str, keys: tuple[str, ...]) -> set[str]:
    """I14: words are read by whoever holds all keys of their pads, or where a pad is there twice."""
    other = {words for each in seen.pair.messages if (words := padded(each.term)) is not None} - {(role, keys)}
    twice = {key for _, pads in other for key in pads} | {key for key in keys if keys.count(key) > 1}
    return {role} if set(keys) <= seen.keys | twice else set()


def _bare(seen: Trace) -> None:
    """I8: tables that no vector hides, or where two cancel, tell who is written in them: every identifier is tried."""
    sums = sorted({message.term for message in seen.seen if added(message.term)}, key=repr)
    for some in (each for count in range(len(sums)) for each in combinations(sums, count + 1)):
        if vectors(*some) <= seen.keys:
            seen.persons |= frozenset().union(*map(written, some))


def _read_by_itself(seen: Trace, found: Listed) -> Iterator[Listed]:
    """I7: who knows the vectors in a table reads those who are written in it, in their own order."""
    roles = written(found.function)
    if roles and vectors(found.function) <= seen.keys:
        seen.opened |= found.brings
        yield Listed(found.function, found.keys, found.cut, roles)


def _together(lists: Iterable[Listed], held: frozenset[str]) -> list[list[Listed]]:
    """I5: lists of which each can be compared with another of its group, or lies beside it."""
    groups: list[list[Listed]] = []
    for each in lists:
        near = [group for group in groups if any(each.equals(one, held) or each.beside(one) for one in group)]
        groups = [group for group in groups if group not in near] + [[each, *(one for group in near for one in group)]]
    return groups


def _loose(lists: Iterable[Listed], held: frozenset[str]) -> frozenset[Order]:
    """I6: orders that hide nothing: of a list that it evaluates, or of two that can be set against each other."""
    over: dict[Order, set[tuple[frozenset[str], bool, tuple[Order, ...]]]] = {}
    for each in lists:
        for place, order in enumerate(each.orders):
            over.setdefault(order, set()).add((each.roles, each.within, each.orders[:place]))
    found = {order for each in lists if not each.unknown(held) for order in each.orders}
    return frozenset(order for order, lain in over.items() if order in found or len(lain) > 1) - {SORTED}


def _compared(seen: Trace, group: list[Listed], loose: frozenset[Order]) -> None:
    """I5 and I6: what lists of both sides that can be compared tell."""
    if not frozenset().union(*(each.roles | each.marks for each in group)) >= {side.role for side in seen.pair.sides}:
        return
    seen.words.append(totals.matches(frozenset.intersection(*(each.dummies for each in group))))
    for each in group:
        if each.placed(seen.keys, loose) or not each.unknown(seen.keys):
            seen.matched = True
            seen.places |= each.roles
            seen.met |= frozenset().union(*(one.tells for one in group))
        if each.lies in seen.beside:
            seen.sums = Mark.AGGREGATE


def _numbers(seen: Trace) -> None:
    """I15 to I17, I20: what follows from the words that it has, and from what it counted."""
    words = [*seen.words, *totals.parts(seen.pair, seen.keys)]
    found = totals.numbers(seen.pair, words, seen.keys, seen.roles)
    seen.count, seen.enough, seen.sums = found.matches, found.enough, strongest([seen.sums, found.sums])
