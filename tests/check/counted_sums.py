"""What a party of a card of sums sees, counted out, as counted.py does for persons and numbers.

Two persons at most on each side; role a's are in two groups, filled up to two each, and role b's have a value each.
Noise, and what covers sums, hides as a number drawn at random does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import NamedTuple

from pets.spec.cards import Card, Message
from pets.spec.term import Call, Sum, Term, calls, names

Entry = tuple[str, int]
GROUPS, IN_GROUP, PEOPLE = 2, 2, 2
ROWS = [rows for count in range(PEOPLE + 1) for rows in permutations([("person", n) for n in range(PEOPLE)], count)]
ASKED = [(some, more) for some in ROWS for more in ROWS if not set(some) & set(more)]
"""Role a's rows, group by group."""
THERE = [tuple(zip(rows, values, strict=True)) for rows in ROWS for values in product((1, 2), repeat=len(rows))]
"""Role b's rows, each with its value."""


class Lies(NamedTuple):
    """Entries as values of a function of these keys. ``whole``: an element; ``shuffled``: sorted, or within groups."""

    keys: tuple[str, ...]
    entries: tuple[Entry, ...]
    grouped: bool
    whole: bool = True
    shuffled: bool = False


class Under(NamedTuple):
    key: str
    words: tuple[int, ...]


class Sums(NamedTuple):
    """``taken``: of each entry the group that its word is added to, if any."""

    cover: str
    key: str
    taken: tuple[int | None, ...]
    numbers: tuple[int, ...]


class Number(NamedTuple):
    """A number for each group, plus what hides it."""

    hidden: Mapping[tuple[str, str], int]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One run of a card: what its messages are. An order that is not listed is as the rows are."""

    card: Card
    asked: tuple[tuple[Entry, ...], tuple[Entry, ...]]
    there: tuple[tuple[Entry, int], ...]
    orders: Mapping[tuple[str, str], tuple[int, ...]]
    made: dict[str, object] = field(default_factory=dict)

    def of(self, term: Term) -> object:
        match term:
            case str():
                if term not in self.made:
                    self.made[term] = self.of(meaning(self.card, term))
                return self.made[term]
            case Call("points", lists):
                return self._points(lists)
            case Call("keys", _):
                return self.asked
            case Call("outcome", _):
                sums = self.of("S")
                assert isinstance(sums, Sums)
                return tuple(sums.taken.count(group) for group in range(GROUPS)), sums.numbers
            case Call("times", (str(key), inner)):
                found = self._lies(inner)
                return found._replace(keys=tuple(sorted((*found.keys, key))))
            case Call("cut", (inner,)):
                return self._lies(inner)._replace(whole=False)
            case Call("sort_within", (inner,)):
                return self._lies(inner)._replace(shuffled=True)
            case Call("sort", (inner,)):
                return self._lies(inner)._replace(shuffled=True, grouped=False)
            case Call("permute" | "permute_within", (Call("perm", (str(key), str(label))), inner)):
                found = self.of(inner)
                if isinstance(found, Lies):
                    order = self.orders.get((key, label), range(len(found.entries)))
                    return found._replace(entries=tuple(found.entries[place] for place in order))
                assert isinstance(found, tuple)
                return tuple(found[place] for place in self.orders.get((key, label), range(len(found))))
            case Call("values", _):
                return tuple(value for _, value in self.there) + (0,) * (PEOPLE - len(self.there))
            case Call("under", (str(key), inner)):
                words = self.of(inner)
                assert isinstance(words, tuple)
                return Under(key, words)
            case Call("covered", (str(cover), _, words, every, some)):
                return self._covered(cover, words, self._lies(every), self._lies(some))
            case Call("covers", (str(key),)):
                return Number({("covers", key): 1}, (0,) * GROUPS)
            case Call("noise", (str(role), _)):
                return Number({("noise", role): 1}, (0,) * GROUPS)
            case Call("opened", (_, inner)):
                sums = self.of(inner)
                assert isinstance(sums, Sums)
                return Number({("covers", sums.cover): 1}, sums.numbers)
            case Sum(parts):
                return total((sign, self._number(part)) for sign, part in parts)
        return None

    def counts(self) -> tuple[int, ...]:
        there = {person for person, _ in self.there}
        return tuple(len(there & set(group)) for group in self.asked)

    def sums(self) -> tuple[int, ...]:
        return tuple(sum(value for person, value in self.there if person in group) for group in self.asked)

    def _points(self, lists: Iterable[Term]) -> Lies:
        if ("keys", ("a",)) in {(each.head, each.args) for each in lists if isinstance(each, Call)}:
            filled = (
                (*group, *(("a", 10 * at + number) for number in range(IN_GROUP - len(group))))
                for at, group in enumerate(self.asked)
            )
            return Lies((), tuple(entry for group in filled for entry in group), grouped=True)
        people = tuple(person for person, _ in self.there)
        return Lies((), (*people, *(("b", number) for number in range(PEOPLE - len(people)))), grouped=False)

    def _covered(self, cover: str, words: Term, every: Lies, some: Lies) -> Sums:
        under = self.of(words)
        assert isinstance(under, Under)
        groups = {entry: place // IN_GROUP for place, entry in enumerate(some.entries)} if some.grouped else {}
        alike = every.keys == some.keys
        taken = tuple(groups.get(entry) if alike else None for entry in every.entries)
        numbers = [0] * GROUPS
        for word, group in zip(under.words, taken, strict=True):
            if group is not None:
                numbers[group] += word
        return Sums(cover, under.key, taken, tuple(numbers))

    def _lies(self, term: Term) -> Lies:
        found = self.of(term)
        assert isinstance(found, Lies), term
        return found

    def _number(self, term: Term) -> Number:
        found = self.of(term)
        assert isinstance(found, Number), term
        return found


def meaning(card: Card, label: str) -> Term:
    return next(each.meaning for each in card.messages if each.label == label)


def orders(card: Card, term: Term) -> Iterator[tuple[tuple[str, str], str]]:
    """The orders that are over what a term is made of, and what it is that they order."""
    for name in names(term):
        yield from orders(card, meaning(card, name))
    for each in calls(term):
        if each.head in ("permute", "permute_within"):
            yield from (((str(call.args[0]), str(call.args[1])), each.head) for call in calls(each.args[0]))


def total(parts: Iterable[tuple[int, Number]]) -> Number:
    hidden: Counter[tuple[str, str]] = Counter()
    numbers = (0,) * GROUPS
    for sign, each in parts:
        for what, times in each.hidden.items():
            hidden[what] += sign * times
        numbers = tuple(some + sign * more for some, more in zip(numbers, each.numbers, strict=True))
    return Number({what: times for what, times in hidden.items() if times}, numbers)


@dataclass
class Counted:
    """A party of a card, by its role, and all that it sees in all small runs. ``noisy``: the noise is not 0."""

    card: Card
    role: str
    noisy: bool
    seen: list[Message] = field(init=False)
    held: set[str] = field(init=False)

    def __post_init__(self) -> None:
        own = [each for each in self.card.messages if each.sender == self.role]
        text = " ".join(each.term for each in own)
        self.held = {key.name for key in self.card.keys if self.role in key.holders}
        keyed = {str(each.args[0]) for m in self.card.messages for each in calls(m.meaning) if each.head in KEYED}
        self.held |= {key for key in keyed if f"({key}," in text or f"({key})" in text}
        named = {name for each in own for name in names(each.meaning)}
        self.seen = [m for m in self.card.messages if self.role in (m.sender, m.receiver) or m.label in named]

    def learns(self) -> bool:
        """What it sees tells inputs apart that differ neither in its own rows nor in its outcome."""
        if not self.seen:
            return False
        lain = dict(each for message in self.seen for each in orders(self.card, message.meaning))
        unknown = {order: head for order, head in lain.items() if order[0] not in self.held}
        drawn = [list(permutations(range(PEOPLE))) if head == "permute" else WITHIN for head in unknown.values()]
        seen: dict[object, object] = {}
        for asked, there in product(ASKED, THERE):
            runs = [Run(self.card, asked, there, dict(zip(unknown, each, strict=True))) for each in product(*drawn)]
            of_each = Counter(map(self.view, runs))
            own = {"a": asked, "b": there}.get(self.role)
            outcome = (runs[0].counts(), None if self.noisy else runs[0].sums()) if self.role == "a" else None
            if seen.setdefault((own, outcome), of_each) != of_each:
                return True
        return False

    def view(self, run: Run) -> object:
        """What it sees in one run, up to a renaming of values of functions that it cannot compute."""
        plain: list[object] = []
        values = {message.label: run.of(message.label) for message in self.seen}
        whole = {
            self._element(each, entry)
            for each in values.values()
            if isinstance(each, Lies) and each.whole
            for entry in each.entries
        }
        places: dict[object, list[object]] = {}
        numbers: list[Number] = []
        itself = {message.label for message in self.seen if message.sender == self.role}
        for label, each in values.items():
            match each:
                case Lies():
                    for number, entry in enumerate(each.entries):
                        at: object = (label, number)
                        if each.shuffled:
                            at = (label, number // IN_GROUP if each.grouped else -1)
                        if set(each.keys) <= self.held and entry[0] in ("person", self.role):
                            plain.append((at, entry))
                        else:
                            element = self._element(each, entry)
                            value = element if element in whole else (each.keys, entry)
                            places.setdefault(value, []).append(at)
                case Under(key, words):
                    plain += [(label, words)] if key in self.held else []
                case Sums():
                    if each.cover in self.held and any(isinstance(one, Under) for one in values.values()):
                        plain.append((label, each.taken))
                    if each.key in self.held:
                        numbers.append(Number({("covers", each.cover): 1}, each.numbers))
                case Number():
                    numbers.append(each)
                case tuple() if self.role != "a" or label not in itself:
                    plain.append((label, each))
        patterns = Counter(tuple(sorted(map(repr, each))) for each in places.values())
        return tuple(sorted(map(repr, plain))), frozenset(patterns.items()), self._open(numbers)

    def _open(self, numbers: list[Number]) -> object:
        """What is left of numbers, their sums and differences, where nothing that it lacks hides them."""
        found = []
        for signs in product((-1, 0, 1), repeat=len(numbers)):
            left = total(zip(signs, numbers, strict=True))
            if all(self._knows(*what) for what in left.hidden):
                found.append((signs, left.numbers))
        return tuple(found)

    def _knows(self, kind: str, of: str) -> bool:
        """Noise hides from role a alone, who may have sums with it; from others nothing that noise alone is on."""
        return of in self.held if kind == "covers" else not self.noisy or self.role != "a" or of == "a"

    def _element(self, lies: Lies, entry: Entry) -> object:
        """The element of the group, less the scalars that it has."""
        return tuple(key for key in lies.keys if key not in self.held), entry


WITHIN = [
    (*first, *(IN_GROUP + place for place in second))
    for first, second in product(permutations(range(IN_GROUP)), repeat=GROUPS)
]
"""Orders of role a's list within each group."""
KEYED = ("times", "perm", "public", "under", "covered", "covers", "opened")


def learners(card: Card) -> tuple[set[str], set[str]]:
    """Roles that learn more than their outcome, counted out: with noise, and without."""
    others = {role for role in card.roles if role not in ("a", "result") and Counted(card, role, noisy=True).learns()}
    noised, exact = ({"a"} if Counted(card, "a", noisy).learns() else set() for noisy in (True, False))
    return others | noised, others | exact
