"""What a coalition can compare in an intersection: its messages as lists of entries under functions.

A plan is taken apart, every message gets the term that its card states, and of every list that a coalition has is asked
under which function it lies, whose persons are in it, and in which orders (docs/rules/intersections.md, rules I1 to
I9). What that is worth is in traced.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

from pets.check.labels import MATCHES, MEMBERSHIP, Item, Mark, column, released, size, tags
from pets.check.matched import NAMES
from pets.ids import PartyId
from pets.spec.cards import Adversary, Card, Key, Message
from pets.spec.ir import Match, Open, Plan, Read
from pets.spec.model import Spec
from pets.spec.predicate import columns_of
from pets.spec.term import Call, Sum, Term, arguments, calls, kinds_of, names

TOLD: Final[Mapping[str, Item]] = {"intersection": MEMBERSHIP, "cardinality": MATCHES}
"""What an outcome is made of."""

Order = tuple[str, str]
"""Key and label of an order."""

SORTED: Final[Order] = ("", "sorted")
"""The order that no key gives back."""


# -- what a plan is about ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """A dataset of the two, and who brings it, in which role."""

    dataset: str
    role: str
    holder: PartyId
    key: str
    columns: tuple[str, ...]
    filters: frozenset[str]

    @property
    def ids(self) -> Item:
        return tags(self.dataset, self.key)

    @property
    def size(self) -> Item:
        return size(self.dataset)

    @property
    def places(self) -> Item:
        """In which rows of it persons lie. No row of the matrix: nobody but its holder may know."""
        return Item("places", f"in which rows of {self.dataset} persons are")

    @property
    def own(self) -> tuple[Item, ...]:
        return (*self.items(self.columns), self.ids, self.places)

    @property
    def who(self) -> tuple[Item, ...]:
        """What who is in it, or is among some, tells of: its persons, and that they passed the filter."""
        return tuple(self.items(sorted({self.key, *self.filters})))

    def items(self, columns: Iterable[str]) -> Iterator[Item]:
        return (column(f"{self.dataset}.{name}") for name in columns)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the run. ``own``: its term as its sender makes it; ``term``: with what it names put in."""

    label: str
    sender: str
    receiver: str
    own: Term
    term: Term


@dataclass(frozen=True, slots=True)
class Pair:
    """A plan, taken apart: the asker's side and the other, who plays what, the messages, the keys, the outcome."""

    sides: tuple[Side, Side]
    parties: tuple[PartyId, ...]
    cast: Mapping[str, PartyId]
    messages: tuple[Sent, ...]
    keys: tuple[Key, ...]
    adversary: Adversary
    match: Match

    @property
    def outcome(self) -> Item:
        return released(NAMES[self.match.outcome])

    @property
    def told(self) -> Item:
        return TOLD[self.match.outcome]


def pair_of(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Pair:
    """Take a plan apart. Of the specification only the order of parties, and the columns of datasets, are read."""
    match = plan.match
    if match is None or match.outcome not in TOLD:
        raise ValueError("tell what no rule is about")
    card = cards[match.card]
    roles = {party: role for role, party in match.roles}
    asks, of = plan.reads
    opened = next(step.to for step in plan.steps if isinstance(step, Open))
    public = card.names(dict(match.public))
    sent = tuple(_sent(card.messages, {}))
    none = {m.label for m in card.messages if m.count.evaluate(public) * m.columns.evaluate(public) == 0}
    handed = _sent(cards[match.handed_by].messages, {"asker": roles[_holder(asks)]}) if match.handed_by else ()
    return Pair(
        sides=(_side(asks, spec, roles), _side(of, spec, roles)),
        parties=tuple(PartyId(party.name) for party in spec.parties),
        cast=dict(match.roles) | {"result": opened},
        messages=(*(each for each in sent if each.label not in none), *handed),
        keys=card.keys,
        adversary=card.adversary,
        match=match,
    )


def _holder(read: Read) -> PartyId:
    (holder,) = read.parties
    return holder


def _side(read: Read, spec: Spec, roles: Mapping[PartyId, str]) -> Side:
    holder, filters = _holder(read), frozenset(columns_of(read.where)) if read.where is not None else frozenset()
    return Side(
        read.dataset, roles[holder], holder, read.columns[0], tuple(spec.dataset(read.dataset).columns), filters
    )


def _sent(messages: Iterable[Message], renamed: Mapping[str, str]) -> Iterator[Sent]:
    """The messages of a card, each with those before it put into its term, under these roles."""
    before: dict[str, Term] = {}
    for each in messages:
        own = _put(each.meaning, {}, renamed)
        before[each.label] = _put(own, before, {})
        sender, receiver = (renamed.get(role, role) for role in (each.sender, each.receiver))
        yield Sent(each.label, sender, receiver, own, before[each.label])


def _put(term: Term, before: Mapping[str, Term], renamed: Mapping[str, str]) -> Term:
    match term:
        case str():
            return before.get(term, term)
        case Sum(parts):
            return Sum(tuple((sign, _put(part, before, renamed)) for sign, part in parts))
        case Call(head, args):
            return Call(
                head, tuple(_argument(*each, before, renamed) for each in zip(kinds_of(term), args, strict=True))
            )
    raise ValueError("multiply what is no number")


def _argument(kind: str, arg: Term, before: Mapping[str, Term], renamed: Mapping[str, str]) -> Term:
    if kind in ("term", "list", "order"):
        return _put(arg, before, renamed)
    return renamed.get(arg, arg) if kind == "role" and isinstance(arg, str) else arg


# -- what messages are ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """Entries under a function, in a list (I3).

    ``function``: what they are hashed by, or read in; ``keys``: what else it takes, each as often as it is applied.
    ``cut``: no key can be applied to it any more, nor taken off. ``roles``: whose persons are in it. ``orders``: those
    that lie between it and the rows. ``dummies``: keys that the number of entries comes from that both lists have.
    """

    function: Term
    keys: tuple[str, ...]
    cut: bool
    roles: frozenset[str]
    orders: tuple[Order, ...] = ()
    dummies: frozenset[str] = frozenset()

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

    def placed(self, held: frozenset[str], loose: frozenset[Order]) -> bool:
        """I6: whoever holds these keys, and finds these orders, knows which row lies where."""
        return all(order[0] in held or order in loose for order in self.orders)


def listed(term: Term) -> Listed | None:
    """The list that a term is, if it is one. Raises: ValueError for one that no rule is about."""
    match term:
        case Call("permute", (Call("perm", (str(key), str(label))), inner)):
            found = listed(inner)
            return None if found is None else replace(found, orders=(*found.orders, (key, label)))
        case Call("sort", (inner,)):
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
    return None


def _entries(function: Term, keys: tuple[str, ...], cut: bool, lists: Iterable[Term]) -> Listed:
    inside: dict[str, set[str]] = {"keys": set(), "fillers": set(), "agreed": set(), "dummies": set()}
    for each in lists:
        if not isinstance(each, Call) or each.head not in inside:
            raise ValueError("list what is no entry")
        inside[each.head].add(str(each.args[0]))
    if inside["keys"] != inside["fillers"]:
        raise ValueError("list persons without entries of nobody, which tells how many they are")
    return Listed(function, keys, cut, frozenset(inside["keys"]), dummies=frozenset(inside["dummies"]))


def _added(term: Term) -> tuple[Call, ...]:
    """The tables and vectors that a message of elements is the sum of; none if it is no such message (I8)."""
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
    matched: bool = False
    count: Mark = Mark.NEVER

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
        self.persons |= {side.role for side in self.pair.sides if side.role in self.roles}  # I1
        self.persons |= {str(c.args[0]) for each in made for c in calls(each.own) if c.head == "keys"}


def trace(pair: Pair, parties: frozenset[PartyId]) -> Trace:
    """All that a coalition works out, but for outcomes that it is handed. Raises: ValueError for a term of no rule."""
    seen = Trace(pair, parties)
    lists = []
    for message in seen.seen:
        match message.term:
            case Call("outcome", _):
                continue
            case Call("keys", (str(role),)):
                seen.persons.add(role)
            case term if (found := listed(term)) is not None:
                lists.append(found)
            case term if not _added(term) and not _transfers(term):
                raise ValueError(f"send what no rule is about, as {message.label}")
    for found in lists:
        if not found.unknown(seen.keys):  # I4: every identifier is tried
            seen.persons |= found.roles
    _bare(seen)
    lists += [each for found in lists for each in _read_by_itself(seen, found)]
    loose = _loose(lists, seen.keys)
    for group in _together(lists, seen.keys):
        _compared(seen, group, loose)
    return seen


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
    if not frozenset().union(*(each.roles for each in group)) >= {side.role for side in seen.pair.sides}:
        return
    padded = frozenset.intersection(*(each.dummies for each in group)) - seen.keys
    seen.count = max(seen.count, Mark.NOISED if padded else Mark.SIZE, key=lambda mark: mark.rank)
    for each in group:
        if each.placed(seen.keys, loose) or not each.unknown(seen.keys):
            seen.matched = True
            seen.places |= each.roles
