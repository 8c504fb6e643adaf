"""What a coalition works out from the messages that its members send and receive: rules K1 to K11 of docs/rules.

Every rule adds to a ``View`` until nothing new follows. What a view is worth to an approver is in knowledge.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pets.check import algebra
from pets.check.algebra import SECRETS, Monomial, Polynomial, Source
from pets.check.case import Case
from pets.check.labels import Mark
from pets.ids import PartyId
from pets.spec.cards import Message
from pets.spec.term import Call, Term, calls


@dataclass(slots=True)
class View:
    """A coalition and what it knows so far, by role: values row by row, persons, groups, its part of the noise."""

    case: Case
    parties: frozenset[PartyId]
    values: set[str] = field(default_factory=set)
    persons: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    noise: set[str] = field(default_factory=set)
    exact: set[str] = field(default_factory=set)
    noised: set[str] = field(default_factory=set)
    orders: set[tuple[str, ...]] = field(default_factory=set)
    """Permutations that it found out without holding their key."""
    tables: set[tuple[str, ...]] = field(default_factory=set)
    """Tables that nothing hides from it, by the key of their tokens and their role."""
    matched: set[str] = field(default_factory=set)
    """It knows which place of role a's list is which of these roles' lists."""
    placed: set[str] = field(default_factory=set)
    """Of these it knows whose places those are, or their order among the rows."""
    counts: dict[str, Mark] = field(default_factory=dict)
    """How many rows match, by the role whose table they match in."""

    roles: frozenset[str] = field(init=False)
    seen: tuple[Message, ...] = field(init=False)
    """Rule K3: what a member sends or receives."""
    keys: frozenset[str] = field(init=False)
    """Rule K2: a key, and all that is drawn from it, is known to those who hold it."""

    def __post_init__(self) -> None:
        join = self.case.join
        self.roles = frozenset(role for role, party in self.case.roles.items() if party in self.parties)
        self.seen = tuple(m for m in join.messages if {m.receiver, *_makers(m)} & self.roles)
        self.keys = frozenset(key.name for key in join.keys if self.roles & set(key.holders))

    @property
    def joint(self) -> bool:
        """It knows which place of the one list is which of every other."""
        return self.matched >= self.case.others

    def match_all(self) -> None:
        """Note that it is joint."""
        self.matched |= self.case.others

    def counted(self, role: str, mark: Mark) -> None:
        """Note a count of the rows that match in a role's table; one that tells less than another adds nothing."""
        self.counts[role] = max(self.counts.get(role, Mark.NEVER), mark, key=lambda each: each.rank)

    def count(self, roles: Iterable[str]) -> Mark:
        """What it knows of how many rows match in the table of these roles."""
        return max((self.counts.get(role, Mark.NEVER) for role in roles), key=lambda each: each.rank)

    def holds(self, key: str) -> bool:
        return key in self.keys

    def orders_by(self, order: tuple[str, ...]) -> bool:
        return self.holds(order[0]) or order in self.orders

    def reads_at(self, places: tuple[str, ...]) -> bool:
        """True if it can gather at these places: it saw them, or knows the match and their order."""
        what, *order = places
        if order and not self.orders_by(tuple(order)):
            return any(_places(self.case, message) == places for message in self.seen)
        known = self.joint if what == "match" else what.removeprefix("ends of ") in self.groups
        return known or any(_places(self.case, message) == places for message in self.seen)

    @property
    def size(self) -> int:
        """Grows with everything that is learned."""
        names = (self.values, self.persons, self.groups, self.noise, self.exact, self.noised)
        sets = len(self.orders) + len(self.tables)
        counts = sum(mark.rank for mark in self.counts.values())
        return sum(len(found) for found in names) + sets + len(self.matched) + len(self.placed) + counts


def _makers(message: Message) -> set[str]:
    """Rule K16: the sender knows what it sends, but for what is made of parts: that is whole at the receiver only."""
    return set() if any(call.head == "computed" for call in calls(message.meaning)) else {message.sender}


def view(case: Case, parties: frozenset[PartyId]) -> View:
    """All that a coalition can work out: the rules are applied until nothing new follows."""
    seen = View(case, parties)
    own = seen.roles & set(case.sides)  # K1
    for known in (seen.values, seen.persons, seen.groups):
        known |= own
    program = case.join.program
    if program is not None and program.takes and len(seen.roles & set(program.parties)) > 1:  # K17
        for known in (seen.values, seen.persons, seen.groups):
            known |= set(case.sides)
        seen.match_all()
    if case.computed and len(seen.roles & {"a", "b", "helper"}) > 1:  # K16: two of three have all parts
        seen.values.update(case.sides)
        seen.match_all()
    while True:
        _lists(seen)
        before = seen.size
        for granted in (True, False):
            _solve(seen, granted=granted)
        if seen.size == before:
            return seen


def _lists(seen: View) -> None:
    """Rules K4 to K7: tags, matches and ends of cells."""
    lists: dict[str, dict[str, bool]] = {}
    dummies: dict[str, list[set[str]]] = {}
    for message in seen.seen:
        core, hidden = _unordered(seen, _resolved(seen.case, message.meaning))
        match core:
            case Call("tags", (str(key), *inside)):
                for role in _inside(inside, "keys"):
                    if seen.holds(key):
                        seen.persons.add(role)  # K4: every identifier is tried
                    lists.setdefault(key, {})[role] = hidden
                filled = _inside(inside, "fillers") == _inside(inside, "keys") != set()
                # without fillers the length of the list would tell the dummies; those of another list are in both;
                # a list of nobody shows which they are
                dummies.setdefault(key, []).append(_inside(inside, "dummies") if filled else set())
            case "match" if not hidden:
                seen.match_all()  # K6
            case Call("ends", (Call("groups", (str(role),)),)) if not hidden:
                seen.groups.add(role)  # K7
    for key, role in seen.tables:  # K14: tokens that read nothing but zeros, or nothing that fits, are in no table
        if seen.holds(key):
            seen.persons.add(role)
        lists.setdefault(key, {})[role] = False
        dummies.setdefault(key, []).append(set())
    for key, found in lists.items():
        for role in (set(found) - {"a"}) if len(found) > 1 else ():  # K5
            seen.matched.add(role)
            if not all(found.values()):
                seen.placed.add(role)
            padded = any(not seen.holds(each) for each in set.intersection(*dummies[key]))
            seen.counted(role, Mark.NOISED if padded else Mark.SIZE)
    for role in seen.matched:
        if seen.values:
            seen.counted(role, Mark.SIZE)  # K5: dummies have no value
        if seen.roles & set(seen.case.sides):
            seen.placed.add(role)


def _resolved(case: Case, term: Term) -> Term:
    """A message that is passed on is what it was when it came."""
    passed = {message.label: message.meaning for message in case.join.messages}
    while isinstance(term, str) and term in passed:
        term = passed[term]
    return term


def _inside(lists: Iterable[Term], head: str) -> set[str]:
    return {str(each.args[0]) for each in lists if isinstance(each, Call) and each.head == head}


def _unordered(seen: View, term: Term) -> tuple[Term, bool]:
    """What is inside an order, and whether that hides it: sorted by tag, or permuted by what the coalition lacks."""
    match term:
        case Call("sort", (inner,)):
            return inner, True
        case Call("permute", (Call("perm", (str(key), str(label))), inner)):
            return inner, not seen.orders_by((key, label))
    return term, False


def _places(case: Case, message: Message) -> tuple[str, ...] | None:
    """The places that a message says, if it says any."""
    return case.words.places(message.label) if message.element == "u32" else None


def _rows(seen: View, *, granted: bool) -> Iterator[tuple[Polynomial, Source]]:
    """Rules K3 and K8: the words that were seen, and what the protocol's linear maps make of them.

    Each comes with its source.

    ``granted``: orders and the ends of cells are given to everyone for this; else only those who know them use them.
    """
    words = seen.case.words
    cells = granted or seen.groups >= seen.case.grouped
    yield from _parts(seen, granted=granted, cells=cells)  # first: the masks of parts are there for nothing else
    said = {p for m in seen.case.join.messages if (p := _places(seen.case, m)) is not None}
    matches = sorted(p for p in said if p[0] == "match" and seen.reads_at(p))
    ends = sorted(p for p in said if p[0] != "match" and (granted or seen.reads_at(p)))
    for message in seen.seen:
        own = bool(_makers(message) & seen.roles)
        source = Source.MADE if own else Source.FOLLOWS
        for at in words.columns(message.label) if message.element == "word" else ():
            yield words.message(message.label, at), Source.MADE if own else Source.HEARD
            if "n" in message.count.names:
                for each in matches:
                    yield from ((row, source) for row in words.made(message.label, at, "gather", each))
                    if cells:
                        yield from ((row, source) for row in words.made(message.label, at, "gather, sum_cells", each))
            elif "n_list_a" in message.count.names:
                if cells:
                    yield from ((row, source) for row in words.made(message.label, at, "sum_cells"))
                for each in ends:
                    yield from ((row, source) for row in words.made(message.label, at, "gather, diff", each))
                if granted:
                    yield from ((row, source) for row in words.made(message.label, at, "running sums"))


def _parts(seen: View, *, granted: bool, cells: bool) -> Iterator[tuple[Polynomial, Source]]:
    """Rule K15: what a program leaves with a member, and what linear maps make of it."""
    words, program = seen.case.words, seen.case.join.program
    if program is None or seen.case.keyed:  # then it makes nothing
        return
    for at in seen.case.columns["v"]:
        for key in program.keys:
            if seen.holds(key):
                row = words.part(key, program.makes, at, at.index("summed"))
                yield row, Source.HEARD
                if cells:
                    yield words.sum_cells(row), Source.FOLLOWS
                if granted:
                    yield from ((each, Source.FOLLOWS) for each in words.running(row))


def _solve(seen: View, *, granted: bool) -> None:
    """Rules K9 to K11: what is left of messages where every unknown mask cancels."""
    case, atoms = seen.case, seen.case.words.atoms
    sums = case.monomials
    rows = list(_rows(seen, granted=granted))
    cells = granted or seen.groups >= case.grouped
    known: dict[int, bool] = {}
    plain: dict[int, bool] = {}
    """All that is in it is known, whatever of its order or places is not."""
    hides: dict[int, bool] = {}
    bases: dict[int, int | None] = {}
    """The mask that hides, if it is one, or a map of one alone."""
    for number in algebra.within(atoms, (row for row, _ in rows)):
        atom = atoms[number]
        inner = all(plain[each] for each in atom.inner)
        if atom.kind == "mask":
            own = seen.holds(atom.of[0])
        elif atom.kind in SECRETS:
            own = atom.of[0] in seen.values
        elif atom.kind == "numbers":  # of what stands in them
            role, *lists = atom.of
            own = all(role in {"keys": seen.persons, "groups": seen.groups}[each] for each in lists)
        elif atom.kind in ("checks", "table"):
            own = seen.holds(atom.of[0]) and atom.of[1] in seen.persons
        elif atom.kind == "computed":  # of both sides' values, beside each other
            own = seen.values >= set(case.sides) and seen.joint
        elif atom.kind == "noise":
            own = atom.of[0] in seen.roles or atom.of[0] in seen.noise
        elif atom.kind in ("permute", "order"):
            own = granted or seen.orders_by(atom.of)
        elif atom.kind == "gather":
            own = (granted and atom.of[0] != "match") or seen.reads_at(atom.of)
        else:
            own = cells or atom.kind != "sum_cells"
        base = atom.kind not in algebra.MAPS
        plain[number] = own if base else inner
        known[number] = own if base else own and all(known[each] for each in atom.inner)
        masked = (
            bool(atom.inner)
            and all(hides[each] or plain[each] for each in atom.inner)
            and any(hides[each] for each in atom.inner)
        )
        hides[number] = not known[number] and (atom.kind == "mask" or masked)
        inside = number if base else bases[atom.inner[0]] if len(atom.inner) == 1 else None
        bases[number] = inside if hides[number] else None

    def rank(monomial: Monomial) -> int:
        return 2 if _is_noise(case, monomial) else 1 if monomial in sums else 0

    bare = algebra.Bare(known.__getitem__, hides.__getitem__, bases.__getitem__).of(rows)
    for row in algebra.reduce(bare, rank):
        noise = [monomial for monomial in row if _is_noise(case, monomial)]
        secret = [monomial for monomial in row if not _is_noise(case, monomial)]
        if not secret:
            seen.noise |= {atoms[monomial[0]].of[0] for monomial in noise}  # K9
        elif all(monomial in sums for monomial in secret):
            found = set().union(*(sums[monomial] for monomial in secret))
            once = all(algebra.is_unit(row[monomial]) for monomial in secret)
            parts = {atoms[monomial[0]].of[0] for monomial in noise if once and algebra.is_unit(row[monomial])}
            (seen.noised if len(parts) >= case.parts else seen.exact).update(found)  # K10
        else:
            for number in (number for monomial in secret for number in monomial):
                _opened(seen, number, plain)


def _opened(seen: View, number: int, plain: Mapping[int, bool]) -> None:
    """Rule K11: an atom that nothing hides. Its values are known; if they were before, its order or places are now."""
    atom = seen.case.words.atoms[number]
    if not plain[number] and atom.kind in SECRETS:
        seen.values.add(atom.of[0])
    elif atom.kind == "numbers":
        role, *lists = atom.of
        seen.persons |= {role} if "keys" in lists else set()
        seen.groups |= {role} if "groups" in lists else set()
    elif atom.kind == "table":
        seen.tables.add(atom.of)
    elif not plain[number] and atom.kind == "computed":
        seen.values.update(seen.case.sides)
        seen.match_all()
    elif atom.kind == "noise":  # under a map, or in a product, that nothing hides
        seen.noise.add(atom.of[0])
    elif plain[number] and atom.kind in ("permute", "order"):
        seen.orders.add(atom.of)
    elif plain[number] and atom.kind == "gather" and atom.of[0] == "match":
        seen.match_all()
    elif plain[number] and atom.kind in ("gather", "sum_cells"):
        seen.groups.update(seen.case.grouped)
    for each in atom.inner:
        _opened(seen, each, plain)


def _is_noise(case: Case, monomial: Monomial) -> bool:
    return len(monomial) == 1 and case.words.atoms[monomial[0]].kind == "noise"
