"""What a coalition can compare in an intersection: its messages as lists of entries under functions.

Of every list that a coalition has is asked under which function it lies, whose persons are in it, and in which orders
(docs/rules/intersections.md, rules I1 to I9). What that is worth is in traced.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

from pets.check import cheating, totals
from pets.check.labels import Mark
from pets.check.sides import Pair, Sent
from pets.check.totals import Word
from pets.ids import PartyId
from pets.spec.term import Call, Sum, Term, arguments, calls, names

Order = tuple[str, str]
"""Key and label of an order."""

SORTED: Final[Order] = ("", "sorted")
"""The order that no key gives back."""

FIRST: Final = "a"
"""The role whose list's entries ``match`` is about."""

BROUGHT: Final = ("payload", "values")
"""Heads of the columns that come with persons in both."""


# -- what messages are ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """Entries under a function, in a list (I3).

    ``function``: what they are hashed by, or read in; ``keys``: what else it takes, each as often as it is applied.
    ``cut``: no key can be applied to it any more, nor taken off. ``roles``: whose persons are in it. ``orders``: those
    that lie between it and the rows. ``dummies``: keys that the number of entries comes from that both lists have.
    ``brings``: roles of whose columns it has words under a pad for each entry. ``marks``: it is not the list itself,
    but says of each of its entries whether a person of these roles is the same.
    """

    function: Term
    keys: tuple[str, ...]
    cut: bool
    roles: frozenset[str]
    orders: tuple[Order, ...] = ()
    dummies: frozenset[str] = frozenset()
    brings: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()

    def unknown(self, held: frozenset[str]) -> tuple[str, ...]:
        """The keys that are not held."""
        return tuple(key for key in self.keys if key not in held)

    def equals(self, other: "Listed", held: frozenset[str]) -> bool:
        """I5: entries of both can be compared: they are, or can be made, values of one function."""
        if self.function != other.function:
            return False
        if self.cut and other.cut:
            return self.keys == other.keys
        return self.unknown(held) == other.unknown(held)

    def beside(self, other: "Listed") -> bool:
        """I5: one place in both is one entry: the same entries lie in the same order."""
        return SORTED not in self.orders and (self.roles, self.orders) == (other.roles, other.orders)

    def persons(self, held: frozenset[str]) -> frozenset[str]:
        """I4: whoever holds all its keys tries every identifier."""
        return frozenset() if self.marks or self.unknown(held) else self.roles

    def placed(self, held: frozenset[str], loose: frozenset[Order]) -> bool:
        """I6: whoever holds these keys, and finds these orders, knows which row lies where."""
        return all(order[0] in held or order in loose for order in self.orders)


def listed(term: Term) -> Listed | None:
    """The list that a term is, if it is one. Raises: ValueError for one that no rule is about."""
    match term:
        case Call("permute", (Call("perm", (str(key), str(label))), inner)):
            found = listed(inner)
            return None if found is None else replace(found, orders=(*found.orders, (key, label)))
        case Call("sort" | "abreast" | "apart", (inner,)):
            found = listed(inner)
            return None if found is None else replace(found, orders=(SORTED,))
        case Call("cut", (inner,)):
            found = listed(inner)
            return None if found is None else replace(found, cut=True)
        case Call("times", (str(key), inner)):
            found = listed(inner)
            if found is None or found.cut:
                raise ValueError("multiply what is no element")
            return replace(found, keys=tuple(sorted((*found.keys, key))))
        case Call("points", lists):
            return _entries(Call("points", ()), (), False, lists)
        case Call("tags", (str(key), *lists)):
            return _entries(Call("tags", ()), (key,), True, lists)
        case Call("read", (str(key), Call("seed", _), table, *lists)):
            return _entries(table, (key,), True, lists)
        case Call("evaluated", (str(key), Call("offers", (of,)), Call("coded", (asks, choices, *_)) as table, *lists)):
            if of != asks or choices != Call("choices", (key,)):
                raise ValueError("evaluate what was not coded for it")
            return _entries(table, (key,), True, lists)
        case Call("sealed", (Call("read" | "evaluated", _) as inner, Call("payload", (str(role),)))):
            found = listed(inner)
            return None if found is None else replace(found, orders=(SORTED,), brings=frozenset({role}))
        case Call("told", (inner, *lists)):
            found = listed(inner)
            return None if found is None else replace(found, brings=frozenset(), marks=_inside(lists)["keys"])
    return None


def _entries(function: Term, keys: tuple[str, ...], cut: bool, lists: Iterable[Term]) -> Listed:
    inside = _inside(lists)
    if inside["keys"] != inside["fillers"]:
        raise ValueError("list persons without entries of nobody, which tells how many they are")
    return Listed(function, keys, cut, inside["keys"], dummies=inside["dummies"])


def _inside(lists: Iterable[Term]) -> dict[str, frozenset[str]]:
    """Of each kind of entries the roles, or of dummies the keys."""
    inside: dict[str, frozenset[str]] = dict.fromkeys(("keys", "fillers", "agreed", "dummies"), frozenset())
    for each in lists:
        if not isinstance(each, Call) or each.head not in inside:
            raise ValueError("list what is no entry")
        inside[each.head] |= {str(each.args[0])}
    return inside


def _padded(term: Term) -> tuple[str, tuple[str, ...]] | None:
    """Words of a role's columns, for each entry of its list, and the keys of their pads; None if they are none."""
    parts = [part for _, part in term.parts] if isinstance(term, Sum) else [term]
    values = [part for part in parts if isinstance(part, Call) and part.head == "values"]
    pads = [part for part in parts if isinstance(part, Call) and part.head == "pads"]
    if len(values) != 1 or len(pads) != len(parts) - 1 or values[0].args[1] != "brought":
        return None
    if any(each.args[1:] != values[0].args for each in pads):
        return None
    return str(values[0].args[0]), tuple(str(each.args[0]) for each in pads)


def _added(term: Term) -> tuple[Call, ...]:
    """The tables and vectors that a message of elements is the sum of; none if it is no such message (I8).

    What lies coded in bins is a table, and the streams on it are a vector of the own randomness.
    """
    match term:
        case Call("coded", (str(key), Call("choices", (other,)), *lists)) if other != key:
            return Call("written", (key, *lists)), Call("vector", (key,))
    parts = tuple(part for _, part in term.parts) if isinstance(term, Sum) else (term,)
    found = tuple(part for part in parts if isinstance(part, Call) and part.head in ("written", "vector"))
    return found if len(found) == len(parts) else ()


def _written(term: Term) -> frozenset[str]:
    """Whose persons are written into a table, or a sum of tables."""
    of = (_entries(part, (), True, part.args[1:]).roles for part in _added(term) if part.head == "written")
    return frozenset().union(*of)


def _vectors(*terms: Term) -> frozenset[str]:
    """The keys of vectors that are left in a sum of these: what is added twice is not there."""
    drawn = [str(part.args[0]) for term in terms for part in _added(term) if part.head == "vector"]
    return frozenset(key for key in drawn if drawn.count(key) % 2)


def _transfers(term: Term) -> bool:
    """I9: a message of transfers, which tells nothing to who has the key of one side alone.

    What is asked for, and given, is so only under the other side's choices and offers.
    """
    match term:
        case Call("offers" | "choices" | "seed", _):
            return True
        case _ if cheating.transfers(term):
            return True
        case Call("asked" | "products", (own, Call("choices", (other,)))):
            return own != other
        case Call("levels", (own, Call("offers", (other,)), Call("asked", (asks, _)) as inner)):
            return other == asks and inner == Call("asked", (asks, Call("choices", (own,)))) and _transfers(inner)
        case Call("leaves", (own, Call("offers", (other,)), Call("products", (asks, _)) as inner)):
            return other == asks and inner == Call("products", (asks, Call("choices", (own,)))) and _transfers(inner)
    return False


# -- what a coalition works out ---------------------------------------------------------------------------------------


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
    words: list[Word] = field(default_factory=list)
    """What it knows of numbers."""
    matched: bool = False
    count: Mark = Mark.NEVER
    enough: Mark = Mark.NEVER

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
    lists = [each for message in seen.seen for each in _lists(seen, message)]
    for found in lists:
        seen.persons |= found.persons(seen.keys)
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
        case Call("flags", (_, str(role), "match")):
            yield _marked(seen.pair, role)
        case Call("gather", (inner, "match")) if (words := _padded(inner)) is not None:
            seen.opened |= _readable(seen, *words)
            yield _marked(seen.pair, FIRST)
        case term if (words := _padded(term)) is not None:
            seen.values |= _readable(seen, *words)
        case term if (found := listed(term)) is not None:
            yield found
        case term if (number := totals.word(seen.pair, term, _dummies(seen.pair))) is not None:
            seen.words.append(number)
        case term if not _added(term) and not _transfers(term):
            raise ValueError(f"send what no rule is about, as {message.label}")


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
    other = {words for each in seen.pair.messages if (words := _padded(each.term)) is not None} - {(role, keys)}
    twice = {key for _, pads in other for key in pads} | {key for key in keys if keys.count(key) > 1}
    return {role} if set(keys) <= seen.keys | twice else set()


def _bare(seen: Trace) -> None:
    """I8: tables that no vector hides, or where two cancel, tell who is written in them: every identifier is tried."""
    sums = sorted({message.term for message in seen.seen if _added(message.term)}, key=repr)
    for some in (each for count in range(len(sums)) for each in combinations(sums, count + 1)):
        if _vectors(*some) <= seen.keys:
            seen.persons |= frozenset().union(*map(_written, some))


def _read_by_itself(seen: Trace, found: Listed) -> Iterator[Listed]:
    """I7: who knows the vectors in a table reads those who are written in it, in their own order."""
    roles = _written(found.function)
    if roles and _vectors(found.function) <= seen.keys:
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
    over: dict[Order, set[tuple[frozenset[str], tuple[Order, ...]]]] = {}
    for each in lists:
        for place, order in enumerate(each.orders):
            over.setdefault(order, set()).add((each.roles, each.orders[:place]))
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


def _numbers(seen: Trace) -> None:
    """I15 to I17: what follows from the words that it has, and from what it counted."""
    parts = totals.parts(seen.pair, seen.keys)
    seen.count, seen.enough = totals.numbers(seen.pair, [*seen.words, *parts], seen.keys, seen.roles)
