"""What a party of a card sees, counted out: the slow twin of the second checker of intersections.

``Counted`` plays a card on all small inputs and in all orders, with functions of unknown keys as labels, and says that
a party learns something if what it sees is distributed otherwise for two inputs on which its outcome is the same. It
knows nothing of lists that can be compared.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations, product

from pets.spec.cards import Card, Message
from pets.spec.term import Call, Sum, Term
from tests.check.edits import OUTCOME, planned

Entry = tuple[str, int]
PEOPLE, SIZE = 3, 2
INPUTS = [rows for count in range(SIZE + 1) for rows in permutations([("person", n) for n in range(PEOPLE)], count)]
"""Rows of a table, in every order. The entry that both bring is the same in all, and left out."""


@dataclass(frozen=True)
class Values:
    """A list in a run: of each entry the value of a function that takes these keys; ``whole``: an element still."""

    function: object
    keys: tuple[str, ...]
    entries: tuple[Entry, ...]
    whole: bool = False
    shuffled: bool = False
    told: frozenset[Entry] | None = None
    """It is not the list itself, but says which of its entries are among these."""
    of: str = ""
    """The message that is the list itself."""


@dataclass
class Counted:
    """A party of a card, by its roles, and all that it sees in all small runs."""

    card: Card
    roles: frozenset[str]
    sides: tuple[str, str]
    seen: list[Message] = field(init=False)
    held: set[str] = field(init=False)

    def __post_init__(self) -> None:
        own = [each for each in self.card.messages if each.sender in self.roles]
        text = " ".join(each.term for each in own)
        keys = {str(c.args[0]) for m in self.card.messages for c in _calls(m.meaning) if c.head in KEYED}
        self.held = {key.name for key in self.card.keys if self.roles & set(key.holders)}
        self.held |= {key for key in keys if f"({key}," in text or f"({key})" in text}
        self.seen = [m for m in self.card.messages if {m.sender, m.receiver} & self.roles or m.label in _words(text)]

    def learns(self) -> bool:
        """What it sees tells inputs apart that differ neither in its own rows nor in its outcome."""
        lain = (each for message in self.seen for each in _orders(message.meaning, self.card))
        orders = sorted({each for each in lain if each[0] not in self.held})
        seen: dict[object, object] = {}
        for rows in product(INPUTS, repeat=2):
            inputs = dict(zip(self.sides, rows, strict=True))
            of_each = Counter(
                self.view(inputs, dict(zip(orders, chosen, strict=True)))
                for chosen in product(permutations(range(SIZE)), repeat=len(orders))
            )
            own = tuple(inputs[role] for role in self.sides if role in self.roles)
            may = (own, outcome(self.card, inputs) if self.sides[0] in self.roles else None)
            if seen.setdefault(may, of_each) != of_each:
                return True
        return False

    def view(
        self, inputs: Mapping[str, tuple[Entry, ...]], orders: Mapping[tuple[str, str], tuple[int, ...]]
    ) -> object:
        """What it sees in one run, up to a renaming of values of functions that it cannot compute."""
        run = Run(self.card, inputs, orders)
        values = {message.label: run.of(message.meaning) for message in self.seen}
        lists = {label: each for label, each in values.items() if isinstance(each, Values)}
        itself = {each.label for each in self.seen}
        whole = {
            self._element(each, entry)
            for each in lists.values()
            if each.whole and each.told is None
            for entry in each.entries
        }
        plain: list[object] = []
        places: dict[object, list[object]] = {}
        for label, each in lists.items():
            for number, entry in enumerate(each.entries):
                at: object = (label, -1 if each.shuffled else number)
                if each.told is not None:
                    at = (at, entry in each.told)
                if each.told is not None and each.of not in itself:
                    plain.append((at, "unseen"))
                elif self._computes(each, entry) and (entry[0] == "person" or entry[0] in self.roles):
                    plain.append((at, entry))
                else:
                    element = self._element(each, entry)
                    value = element if element in whole else (each.function, each.keys, entry)
                    places.setdefault(value, []).append(at)
        for label, value in values.items():
            if isinstance(value, tuple):
                plain.append((label, value))
        patterns = Counter(tuple(sorted(map(repr, each))) for each in places.values())
        tables = [each for each in values.values() if isinstance(each, frozenset)]
        return tuple(sorted(map(repr, plain))), frozenset(patterns.items()), self._tables(tables)

    def _element(self, values: Values, entry: Entry) -> object:
        """The element of the group, less the scalars that it has."""
        return values.function, tuple(key for key in values.keys if key not in self.held), entry

    def _computes(self, values: Values, entry: Entry) -> bool:
        if set(values.keys) <= self.held:
            return True
        if not isinstance(values.function, frozenset):
            return False
        vectors = {each for each in values.function if isinstance(each, str)}
        return vectors <= self.held and any(entry in each for each in values.function if isinstance(each, tuple))

    def _tables(self, sums: list[frozenset[object]]) -> object:
        """Persons written in what is left of tables where every vector that it lacks cancels."""
        found = set()
        for count in range(1, len(sums) + 1):
            for chosen in combinations(sums, count):
                left: frozenset[object] = frozenset()
                for each in chosen:
                    left ^= each
                if not {each for each in left if isinstance(each, str)} - self.held:
                    found |= {
                        entry for each in left if isinstance(each, tuple) for entry in each if entry[0] == "person"
                    }
        return frozenset(found)


KEYED = (
    "times",
    "tags",
    "read",
    "vector",
    "perm",
    "offers",
    "choices",
    "seed",
    "asked",
    "products",
    "levels",
    "leaves",
)


def _calls(term: Term) -> Iterator[Call]:
    if isinstance(term, Call):
        yield term
        for each in term.args:
            yield from _calls(each)
    if isinstance(term, Sum):
        for _, each in term.parts:
            yield from _calls(each)


def _words(text: str) -> set[str]:
    return set(text.replace("(", " ").replace(")", " ").replace(",", " ").split())


def _orders(term: Term, card: Card) -> Iterator[tuple[str, str]]:
    """The orders in a message, and in those that it names."""
    named = {each.label: each.meaning for each in card.messages}
    if isinstance(term, str) and term in named:
        yield from _orders(named[term], card)
    if isinstance(term, Sum):
        for _, each in term.parts:
            yield from _orders(each, card)
    if isinstance(term, Call):
        if term.head == "perm":
            yield (str(term.args[0]), str(term.args[1]))
        for each in term.args:
            yield from _orders(each, card)


def outcome(card: Card, inputs: Mapping[str, tuple[Entry, ...]]) -> object:
    first, second = inputs.values()
    return frozenset(first) & frozenset(second) if OUTCOME[card.id] == "intersection" else len({*first} & {*second})


@dataclass(frozen=True)
class Run:
    """One run of a card: what its messages are. An order that is not listed is as the rows are."""

    card: Card
    inputs: Mapping[str, tuple[Entry, ...]]
    orders: Mapping[tuple[str, str], tuple[int, ...]]

    def of(self, term: Term) -> object:
        match term:
            case str():
                return self.of(next(each.meaning for each in self.card.messages if each.label == term))
            case Sum(parts):
                total: frozenset[object] = frozenset()
                for _, part in parts:
                    total ^= self._table(part)
                return total
            case Call("permute", (Call("perm", (str(key), str(label))), inner)):
                values = self._list(inner)
                order = self.orders.get((key, label), range(len(values.entries)))
                return replace(values, entries=tuple(values.entries[place] for place in order))
            case Call("sort", (inner,)) | Call("sealed", (inner, _)):
                return replace(self._list(inner), shuffled=True)
            case Call("told", (str(of), *lists)):
                return replace(self._list(of), told=frozenset(self._entries(lists)), of=of)
            case Call("cut", (inner,)):
                return replace(self._list(inner), whole=False)
            case Call("times", (str(key), inner)):
                values = self._list(inner)
                return replace(values, keys=tuple(sorted((*values.keys, key))))
            case Call("points", lists):
                return Values("points", (), self._entries(lists), whole=True)
            case Call("tags", (str(key), *lists)):
                return Values("tags", (key,), self._entries(lists))
            case Call("read", (str(key), _, table, *lists)):
                return Values(self._table(table), (key,), self._entries(lists))
            case Call("written" | "vector", _):
                return self._table(term)
            case Call("keys", (str(role),)):
                return self.inputs[role]
            case Call("outcome", _):
                return ("outcome", outcome(self.card, self.inputs))
        return None

    def _list(self, term: Term) -> Values:
        values = self.of(term)
        assert isinstance(values, Values), term
        return values

    def _table(self, term: Term) -> frozenset[object]:
        match term:
            case Call("vector", (str(key),)):
                return frozenset({key})
            case Call("written", (_, *lists)):
                return frozenset({self._entries(lists)})
        table = self.of(term)
        assert isinstance(table, frozenset), term
        return table

    def _entries(self, lists: Iterable[Term]) -> tuple[Entry, ...]:
        found: list[Entry] = []
        for each in lists:
            assert isinstance(each, Call)
            role = str(each.args[0])
            if each.head == "keys":
                found += self.inputs[role]
            elif each.head == "fillers":
                found += [(role, number) for number in range(SIZE - len(self.inputs[role]))]
        return tuple(found)


def learners(card: Card) -> set[str]:
    """Parties that learn more than their outcome, counted out."""
    _, plan = planned(card.id)
    assert plan.match is not None
    asker, other, _ = roles = dict(plan.match.roles)
    found = set()
    for role, party in roles.items():
        own = frozenset({role, "result"} if role == asker else {role})
        if Counted(card, own, (asker, other)).learns():
            found.add(str(party))
    return found
