"""Messages as polynomials over words, and what a set of them gives away: the arithmetic of the second checker.

A card's term is expanded, column by column, into a sum of monomials over *atoms*: columns of values, masks, noise, and
linear maps (a permutation, a gather, a running sum, sums by cell) of a monomial. Every vector is treated entry by entry
as one unknown, so that a mask hides what it is added to, and cancels only against itself.

Whoever knows an atom can put its value in: it becomes a number of the field (taken at random, but the same in every
process, from SHA-256 of its place), and what is left is linear algebra modulo 2^61 - 1. A combination of messages in
which every unknown mask cancels is *bare*: what it says about values and noise is known. A cancellation by chance has
probability below 2^-40 for any plan that fits a specification (Schwartz, JACM 1980; Zippel, EUROSAM 1979).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Final, NamedTuple

from pets.spec.cards import Card, Shared
from pets.spec.term import Call, Product, Sum, Term, calls

PRIME: Final = 2**61 - 1

Monomial = tuple[int, ...]
"""Numbers of atoms, in order; the empty one is a constant."""

Polynomial = dict[Monomial, int]
"""Coefficients by monomial, none zero."""


class Atom(NamedTuple):
    """One unknown. ``kind``: values, local, computed, noise, mask, or a map; ``inner``: what it is applied to."""

    kind: str
    of: tuple[str, ...]
    """Role of values, local and noise; key and label of masks (of a share of zero: zero) and of orders; places; key and
    role of words of check and of tables; role and lists of numbers."""
    column: int = 0
    inner: Monomial = ()


MAPS: Final = frozenset({"permute", "order", "gather", "prefix", "sum_cells", "diff", "table"})
SECRETS: Final = frozenset({"values", "local"})


@dataclass(frozen=True, slots=True)
class Binding:
    """What the indices of a term stand for in one column; None where the column has no such index."""

    gathered: int | None = None
    factor: int | None = None
    product: int | None = None
    summed: int | None = None
    check: int | None = None
    word: int | None = None
    end: int | None = None

    def index(self, name: str) -> int:
        """The number of the column that an index says; 0 where a message has one column only."""
        found: int | None = getattr(self, name) if name else 0
        if found is None:
            raise ValueError(f"speak of {name} where a column has none")
        return found


class Words:
    """The words of a card's messages, expanded for the columns of one plan."""

    def __init__(
        self, card: Card, columns: Mapping[str, tuple[Binding, ...]], *, computed: bool = False, keyed: bool = False
    ) -> None:
        self._computed: Final = computed
        self._keyed: Final = keyed
        self._messages: Final = {message.label: message for message in card.messages}
        self._shared: Final = card.shared
        self._program: Final = card.program
        self._bindings: Final = {
            message.label: {at.index(message.index): at for at in columns[message.columns.text]}
            for message in card.messages
        }
        self._numbers: dict[Atom, int] = {}
        self._expanded: dict[tuple[str, int], Polynomial] = {}
        self._made: dict[tuple[str, int, str, tuple[str, ...]], tuple[Polynomial, ...]] = {}
        self._running: Final = tuple(dict.fromkeys(w for m in card.messages for w in _running(m.meaning)))
        self.atoms: Final[list[Atom]] = []
        """Inner ones before those that are made of them."""

    def columns(self, label: str) -> tuple[Binding, ...]:
        """The columns of a message."""
        return tuple(self._bindings[label].values())

    def message(self, label: str, at: Binding) -> Polynomial:
        """One column of a message of words: the one that ``at`` speaks of."""
        message = self._messages[label]
        column = at.index(message.index)
        if (label, column) not in self._expanded:
            self._expanded[label, column] = self.expand(message.meaning, self._bindings[label][column])
        return self._expanded[label, column]

    def expand(self, term: Term, at: Binding) -> Polynomial:
        """A term of words as a polynomial. ValueError if it is none."""
        match term:
            case Sum(parts):
                return _sum((sign, self.expand(part, at)) for sign, part in parts)
            case Product(factors):
                whole: Polynomial = {(): 1}
                for factor in factors:
                    whole = _product(whole, self.expand(factor, at))
                return whole
            case str():
                if term in self._messages:
                    return self.message(term, at)
                return self.expand(self.shared(term, at).value, at)
            case Call("values" | "local" | "noise" as kind, (str(role), str(index))):
                return self._one(Atom(kind, (role,), at.index(index)))
            case Call("computed", (str(index), *_)):
                return self._one(Atom("computed", (), at.index(index)))
            case Call("mask", (str(key), str(label), str(index))):
                return self._one(Atom("mask", (key, label), at.index(index)))
            case Call("zero", (str(key), str(index))):
                return self._one(Atom("mask", (key, "zero"), at.index(index)))
            case Call("checks", (str(key), str(role))):
                return self._one(Atom("checks", (key, role)))
            case Call("numbers", (str(index), *lists)):
                return self._one(Atom("numbers", _lists(lists), at.index(index)))
            case Call("table", (str(key), Call("keys", (str(role),)), inner)):
                return self._map("table", (key, role), self.expand(inner, at))
            case Call("part", (str(key), str(name), str(index))):
                return self.part(key, name, at, at.index(index))
            case Call("share", (str(role), str(name))):
                return self.expand(self.shared(name, at).shares[role], at)
            case Call("permute" | "order" as kind, (Call("perm", (str(key), str(label))), inner)):
                return self._map(kind, (key, label), self.expand(inner, at))
            case Call("gather", (inner, places)):
                return self.gather(self.expand(inner, at), self.places(places))
            case Call("prefix" | "sum_cells" as kind, (inner,)):
                return self._map(kind, (), self.expand(inner, at))
            case Call("diff", (inner,)):
                return self.diff(self.expand(inner, at))
        raise ValueError(f"are no words: {term}")

    def part(self, key: str, name: str, at: Binding, column: int) -> Polynomial:
        """What a program leaves with the holders of a family: a fresh mask each for two, with the third the rest."""
        if self._program is None:
            raise ValueError(f"speak of a part of {name}, which no program makes")
        *others, last = (Atom("mask", (family, f"part of {name}"), column) for family in self._program.keys)
        if key != last.of[0]:
            return self._one(next(mask for mask in others if mask.of[0] == key))
        value = self.expand(self.shared(name, at).value, at)
        return _sum(((1, value), *((-1, self._one(mask)) for mask in others)))

    def shared(self, name: str, at: Binding) -> Shared:
        """The shared value of that name, as it is for this column."""
        kind = "plain" if at.factor is None else "product"
        on_rows = "keyed" if self._keyed else "computed"
        whens = (on_rows, "always") if self._computed else (kind, "joined", "always")
        for each in self._shared:
            if each.name == name and each.when in whens:
                return each
        raise ValueError(f"speak of {name} where there is none")

    def shared_or_none(self, name: str, at: Binding) -> Shared | None:
        """``shared``, or None where there is none."""
        try:
            return self.shared(name, at)
        except ValueError:
            return None

    def places(self, term: Term) -> tuple[str, ...]:
        """The places that a gather reads: what they are, and the key and label of the order that they are in."""
        match term:
            case "match":
                return ("match",)
            case Call("ends", (Call("groups", (str(role),)),)):
                return (f"ends of {role}",)
            case str():
                return self.places(self._messages[term].meaning)
            case Call("permute", (Call("perm", (str(key), str(label))), inner)):
                return (*self.places(inner), key, label)
        raise ValueError(f"are no places: {term}")

    def gather(self, words: Polynomial, places: tuple[str, ...]) -> Polynomial:
        """Read words at places. What lies in the same order as the places is read without it."""

        def one(inner: Monomial) -> Atom:
            atom = self.atoms[inner[0]] if len(inner) == 1 else None
            if atom is not None and atom.kind == "permute" and atom.of == places[1:]:
                return Atom("gather", places[:1], inner=atom.inner)
            return Atom("gather", places, inner=inner)

        return self._each(words, one)

    def running(self, words: Polynomial) -> Iterator[Polynomial]:
        """The ordered running sums of words, in every way in which some message is made of such sums."""
        for after, before in self._running:
            ordered = self._map("prefix", (), self._map("order", before, words))
            yield self._map("permute", after, ordered)

    def made(self, label: str, at: Binding, how: str, of: tuple[str, ...] = ()) -> tuple[Polynomial, ...]:
        """What a linear map makes of one column of a message; worked out once, whoever asks."""
        key = (label, at.index(self._messages[label].index), how, of)
        if key not in self._made:
            row = self.message(label, at)
            match how:
                case "gather":
                    found: tuple[Polynomial, ...] = (self.gather(row, of),)
                case "gather, sum_cells":
                    found = (self.sum_cells(self.gather(row, of)),)
                case "sum_cells":
                    found = (self.sum_cells(row),)
                case "gather, diff":
                    found = (self.diff(self.gather(row, of)),)
                case _:
                    found = tuple(self.running(row))
            self._made[key] = found
        return self._made[key]

    def sum_cells(self, words: Polynomial) -> Polynomial:
        return self._map("sum_cells", (), words)

    def diff(self, words: Polynomial) -> Polynomial:
        """Differences. Of running sums in cell order, read at the ends of cells, they are the sums by cell."""

        def one(inner: Monomial) -> Atom:
            at = inner
            for kind in ("gather", "prefix", "order"):
                atom = self.atoms[at[0]] if len(at) == 1 else None
                if atom is None or atom.kind != kind or (kind == "gather" and atom.of[0] == "match"):
                    return Atom("diff", (), inner=inner)
                at = atom.inner
            return Atom("sum_cells", (), inner=at)

        return self._each(words, one)

    def number(self, atom: Atom) -> int:
        """The number of an atom; a new one if it was never seen."""
        if atom not in self._numbers:
            self._numbers[atom] = len(self.atoms)
            self.atoms.append(atom)
        return self._numbers[atom]

    def _one(self, atom: Atom) -> Polynomial:
        return {(self.number(atom),): 1}

    def _map(self, kind: str, of: tuple[str, ...], words: Polynomial) -> Polynomial:
        return self._each(words, lambda inner: Atom(kind, of, inner=inner))

    def _each(self, words: Polynomial, one: Callable[[Monomial], Atom]) -> Polynomial:
        return _sum((c, self._one(one(inner))) for inner, c in words.items())


def _lists(lists: Iterable[Term]) -> tuple[str, ...]:
    """What stands in words that hold lists: the role, and of it keys or groups."""
    found = [(str(each.args[0]), each.head) for each in lists if isinstance(each, Call) and each.args]
    roles = {role for role, _ in found}
    if len(roles) != 1 or not {head for _, head in found} <= {"keys", "groups"}:
        raise ValueError("hold lists of no role, or of two")
    return (*roles, *(head for _, head in found))


def _running(term: Term) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """The orders after and before a running sum in a term, each by key and label."""
    for call in calls(term):
        match call:
            case Call("permute", (Call("perm", (str(k), str(n))), Call("prefix", (Call("order", (Call() as of, _)),)))):
                yield (k, n), (str(of.args[0]), str(of.args[1]))


def _sum(parts: Iterable[tuple[int, Polynomial]]) -> Polynomial:
    whole: Polynomial = {}
    for sign, part in parts:
        for monomial, c in part.items():
            whole[monomial] = (whole.get(monomial, 0) + sign * c) % PRIME
    return {monomial: c for monomial, c in whole.items() if c}


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    return _sum((1, {tuple(sorted(a + b)): c * d % PRIME}) for a, c in left.items() for b, d in right.items())


# -- what follows from some of them -----------------------------------------------------------------------------------


class Source(Enum):
    """Where a row comes from."""

    HEARD = 1
    FOLLOWS = 2
    """A linear map of a row that was heard."""
    MADE = 3
    """A message of the coalition's own, or a map of one."""


class Bare:
    """Combinations of rows that no unknown mask hides, in the unknowns that are left.

    A mask hides a row that was heard if it is there by itself, with an odd coefficient, and hides no other row, under
    whatever map. Twice a mask leaves the last bit, and a mask times a number that may be even leaves more: modulo 2^64
    only odd numbers can be divided by. Other rows say nothing new. They may say how masks under a map, or products,
    cancel in what was heard.

    ``known`` and ``hides`` are asked of the numbers of atoms; ``base`` gives the mask that an atom is, or is a map of
    and of nothing else, or None.
    """

    def __init__(
        self, known: Callable[[int], bool], hides: Callable[[int], bool], base: Callable[[int], int | None]
    ) -> None:
        self._known: Final = known
        self._hides: Final = hides
        self._base: Final = base
        self._pivots: Final[dict[Monomial, Polynomial]] = {}
        self._spent: Final[set[int]] = set()
        self._rest: Final[list[Polynomial]] = []

    def of(self, rows: Iterable[tuple[Polynomial, Source]]) -> list[Polynomial]:
        """What is bare in rows, each with its source."""
        sorted_ = sorted(((_put_in(row, self._known), source) for row, source in rows), key=lambda each: each[1].value)
        late = [left for row, source in sorted_ if (left := self._reduced(row)) and not self._taken(left, source)]
        for row in late:
            left = self._reduced(row)
            if not self._taken(left, Source.HEARD):
                self._rest.append({monomial: c for monomial, c in left.items() if not self._mask(monomial)})
        return [row for row in self._rest if row]

    def _reduced(self, left: Polynomial) -> Polynomial:
        while used := next((monomial for monomial in left if monomial in self._pivots), None):
            left = _less(left, self._pivots[used], left[used])
        return left

    def _taken(self, left: Polynomial, source: Source) -> bool:
        """Use a mask up, or keep what no mask hides. False if it was heard, and there are masks, and none hides it."""
        masks = [monomial for monomial in left if self._mask(monomial)]
        if not masks:
            self._rest.append(left)
            return True
        match source:
            case Source.HEARD:
                fit = [monomial for monomial in masks if self._fresh(monomial) and _odd(left[monomial])]
            case Source.FOLLOWS:
                fit = masks
            case Source.MADE:
                fit = [monomial for monomial in masks if self._single(monomial) is None]
        if fit:
            lead = min(fit, key=lambda monomial: (self._single(monomial) not in monomial, monomial))
            self._pivots[lead] = _scaled(left, lead)
            if source is Source.HEARD and (base := self._single(lead)) is not None:
                self._spent.add(base)
        return bool(fit) or source is not Source.HEARD

    def _mask(self, monomial: Monomial) -> bool:
        return all(map(self._hides, monomial))

    def _fresh(self, monomial: Monomial) -> bool:
        return (base := self._single(monomial)) is not None and base not in self._spent

    def _single(self, monomial: Monomial) -> int | None:
        return self._base(monomial[0]) if len(monomial) == 1 else None


def _odd(c: int) -> bool:
    """True for an odd number that signs and sums of a term come to; what is known and put in is never so small."""
    size = min(c, PRIME - c)
    return size < 2**16 and size % 2 == 1


def is_unit(c: int) -> bool:
    """True for 1 and -1: what is added or taken off once."""
    return c in (1, PRIME - 1)


def reduce(rows: Iterable[Polynomial], rank: Callable[[Monomial], int]) -> list[Polynomial]:
    """Reduced row echelon form; a row leads with its monomial of the least ``rank``."""
    done: dict[Monomial, Polynomial] = {}
    for row in rows:
        left = dict(row)
        for lead, pivot in done.items():
            if lead in left:
                left = _less(left, pivot, left[lead])
        if not left:
            continue
        lead = min(left, key=lambda monomial: (rank(monomial), monomial))
        left = _scaled(left, lead)
        for other, pivot in done.items():
            if lead in pivot:
                done[other] = _less(pivot, left, pivot[lead])
        done[lead] = left
    return list(done.values())


def _put_in(row: Polynomial, known: Callable[[int], bool]) -> Polynomial:
    left: Polynomial = {}
    for monomial, c in row.items():
        unknown = []
        for atom in monomial:
            if known(atom):
                c = c * _value(atom) % PRIME
            else:
                unknown.append(atom)
        if unknown:
            key = tuple(unknown)
            left[key] = (left.get(key, 0) + c) % PRIME
    return {monomial: c for monomial, c in left.items() if c}


@cache
def _value(atom: int) -> int:
    return int.from_bytes(sha256(b"pets/1 atom %d" % atom).digest()[:16], "little") % PRIME


def _scaled(row: Polynomial, lead: Monomial) -> Polynomial:
    inverse = pow(row[lead], -1, PRIME)
    return {monomial: c * inverse % PRIME for monomial, c in row.items()}


def _less(row: Polynomial, pivot: Polynomial, times: int) -> Polynomial:
    left = dict(row)
    for monomial, c in pivot.items():
        new = (left.get(monomial, 0) - times * c) % PRIME
        if new:
            left[monomial] = new
        else:
            left.pop(monomial, None)
    return left


def within(atoms: Sequence[Atom], rows: Iterable[Polynomial]) -> list[int]:
    """Numbers of the atoms that are in rows, at whatever depth: inner ones before those that are made of them."""
    found: set[int] = set()
    left = {number for row in rows for monomial in row for number in monomial}
    while left:
        found |= left
        left = {inner for number in left for inner in atoms[number].inner} - found
    return sorted(found)


def bases(atoms: list[Atom], monomial: Monomial) -> Iterator[Atom]:
    """The atoms that are no maps, inside a monomial."""
    for number in monomial:
        atom = atoms[number]
        if atom.kind in MAPS:
            yield from bases(atoms, atom.inner)
        else:
            yield atom
