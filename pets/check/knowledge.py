"""The second checker: what every coalition can work out from the messages themselves.

Written from docs/rules alone, beside ``check/flow.py``, with which it shares the words of ``labels.py`` and no rule.
``flow`` reads off the cards what is learned and how messages are protected. This one believes no ``learns`` and no
``carries``: it expands the plan into its messages, gives each the term that its card states, and lets every coalition
put together what its members hold, send and receive until nothing new follows (rules K1 to K12). Both must come to the
same matrix; ``plan/review.py`` refuses a specification on which they do not.

What is taken for granted: AES and HKDF are a pseudorandom function, X25519 keys are known to the two that agree on
them, every party follows the protocol, and identifiers can be guessed: who holds a tag key and tags has the persons.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from typing import Final, TypeVar

from pets.check import algebra
from pets.check.algebra import SECRETS, Binding, Monomial, Polynomial, Source, Words
from pets.check.labels import (
    MATCHES,
    MEMBERSHIP,
    Coalition,
    Finding,
    Item,
    Mark,
    Matrix,
    Row,
    Verdict,
    column,
    exact,
    noised,
    released,
    size,
    tags,
)
from pets.errors import InternalError
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card, Message
from pets.spec.ir import AddNoise, Derive, HelperJoin, Open, Plan, Read
from pets.spec.model import Leakage, Spec
from pets.spec.predicate import columns_of
from pets.spec.term import Call, Product, Sum, Term

CELLS: Final = 2
"""Cells of role b's grouping that are expanded: all are alike, and two show whatever is used twice."""

Marks = dict[Item, Mark]
Kind = TypeVar("Kind")


# -- what the plan is about -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """One table of the join, read off its step of the plan: names of columns."""

    dataset: str
    holder: PartyId
    key: str
    columns: tuple[str, ...]
    summed: frozenset[str]
    groups: frozenset[str]
    filters: frozenset[str]
    counted: bool
    """Persons are told apart by a product: what is masked as values depends on the person and on the groups."""

    @property
    def masked(self) -> frozenset[str]:
        return self.summed | self.groups | {self.key} if self.counted else self.summed

    def items(self, names: Iterable[str]) -> Iterator[Item]:
        return (column(f"{self.dataset}.{name}") for name in names)


@dataclass(frozen=True)
class Case:
    """A plan, taken apart: parties, roles, tables by role, sums by name with their columns, the table's columns."""

    parties: tuple[PartyId, ...]
    roles: Mapping[str, PartyId]
    sides: Mapping[str, Side]
    sums: Mapping[str, frozenset[Item]]
    outputs: Mapping[str, tuple[str, ...]]
    join: Card
    release: Card
    words: Words
    columns: Mapping[str, tuple[Binding, ...]]
    """The columns of the plan, by the formulas that count them on the card."""
    names: Mapping[int, str]
    """The sum that a summed column belongs to."""

    @cached_property
    def monomials(self) -> Mapping[Monomial, set[str]]:
        """The monomials of which the sums are made, with the names of those that they belong to."""
        found: dict[Monomial, set[str]] = {}
        for at in self.columns["v"]:
            for monomial in self.words.expand("sums", at):
                found.setdefault(monomial, set()).add(self.names[at.index("summed")])
        return found

    @property
    def parts(self) -> int:
        """How many parts of the noise give the full guarantee."""
        return len(self.release.adversary.among) - self.release.adversary.corrupt


def case_of(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Case:
    """Take a plan apart. Of the specification only the order of parties and of columns is read."""
    reads = {step.out: step for step in plan.steps if isinstance(step, Read)}
    join = _step(plan, HelperJoin)
    noise, opened, derive = _step(plan, AddNoise), _step(plan, Open), _step(plan, Derive)
    moments = [each.moment for each in noise.columns]
    persons = any(reads[join.a].factors[number].people for number in join.factors_a)
    sides = {"a": _side(reads[join.a], spec, persons), "b": _side(reads[join.b], spec, False)}
    bindings = _bindings(join)
    return Case(
        parties=tuple(PartyId(party.name) for party in spec.parties),
        roles={"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": opened.to},
        sides=sides,
        sums={
            moment.name: frozenset((*sides["a"].items(moment.a.present), *sides["b"].items(moment.b.present)))
            for moment in moments
        },
        outputs={each.name: tuple(moments[number].name for number in each.moments) for each in derive.outputs},
        join=cards[join.card],
        release=cards[noise.card],
        words=Words(cards[join.card], bindings),
        columns=bindings,
        names={at.index("summed"): moments[at.index("summed") // _cells(join)].name for at in bindings["v"]},
    )


def _step(plan: Plan, kind: type[Kind]) -> Kind:
    return next(step for step in plan.steps if isinstance(step, kind))


def _side(read: Read, spec: Spec, counted: bool) -> Side:
    key = read.columns[0]
    summed = frozenset(name for factor in read.factors for name in factor.present)
    groups = frozenset(dimension.column.column for dimension in read.dimensions)
    filters = frozenset(columns_of(read.where)) if read.where is not None else frozenset()
    used = {key, *summed, *groups, *filters}
    names = tuple(name for name in spec.dataset(read.dataset).columns if name in used)
    return Side(read.dataset, read.party, key, names, summed, groups, filters, counted)


def _cells(join: HelperJoin) -> int:
    return min(CELLS, join.parameter("v_g") // max(1, len(join.gathered)))


def _bindings(join: HelperJoin) -> dict[str, tuple[Binding, ...]]:
    """The columns of the plan, by the formulas that count them on the card."""
    cells = _cells(join)
    summed: list[Binding] = []
    for each, cell in product(join.summed, range(cells)):
        factor = None if each.a is None else each.a
        place = None if each.a is None else sum(at.product is not None for at in summed)
        summed.append(Binding(each.gathered * cells + cell, factor, place, len(summed)))
    products = tuple(at for at in summed if at.product is not None)
    return {
        "1": (Binding(),),
        "v_g": tuple(Binding(gathered=number) for number in range(len(join.gathered) * cells)),
        "x": tuple(Binding(factor=number) for number in range(len(join.factors_a))),
        "z": tuple(Binding(gathered=number) for number in sorted({at.index("gathered") for at in products})),
        "p": products,
        "v": tuple(summed),
    }


# -- what a coalition works out ---------------------------------------------------------------------------------------


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
    joint: bool = False
    """It knows which place of the one list is which of the other."""
    placed: bool = False
    """It knows whose places those are, or their order among the rows."""
    count: Mark = Mark.NEVER

    roles: frozenset[str] = field(init=False)
    seen: tuple[Message, ...] = field(init=False)
    """Rule K3: what a member sends or receives."""
    keys: frozenset[str] = field(init=False)
    """Rule K2: a key, and all that is drawn from it, is known to those who hold it."""

    def __post_init__(self) -> None:
        join = self.case.join
        self.roles = frozenset(role for role, party in self.case.roles.items() if party in self.parties)
        self.seen = tuple(m for m in join.messages if {m.sender, m.receiver} & self.roles)
        self.keys = frozenset(key.name for key in join.keys if self.roles & set(key.holders))

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
        return sum(len(found) for found in names) + len(self.orders) + self.joint + self.placed + self.count.rank


def view(case: Case, parties: frozenset[PartyId]) -> View:
    """All that a coalition can work out: the rules are applied until nothing new follows."""
    seen = View(case, parties)
    own = seen.roles & set(case.sides)  # K1
    for known in (seen.values, seen.persons, seen.groups):
        known |= own
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
                seen.joint = True  # K6
            case Call("ends", (Call("groups", (str(role),)),)) if not hidden:
                seen.groups.add(role)  # K7
    for key, found in lists.items():
        if len(found) > 1:  # K5
            seen.joint = True
            seen.placed = seen.placed or not all(found.values())
            padded = any(not seen.holds(each) for each in set.intersection(*dummies[key]))
            seen.count = max(seen.count, Mark.NOISED if padded else Mark.SIZE, key=lambda mark: mark.rank)
    if seen.joint and seen.values:
        seen.count = max(seen.count, Mark.SIZE, key=lambda mark: mark.rank)  # K5: dummies have no value
    seen.placed = seen.placed or (seen.joint and bool(seen.roles & set(seen.case.sides)))


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
    cells = granted or "a" in seen.groups
    said = {p for m in seen.case.join.messages if (p := _places(seen.case, m)) is not None}
    matches = sorted(p for p in said if p[0] == "match" and seen.reads_at(p))
    ends = sorted(p for p in said if p[0] != "match" and (granted or seen.reads_at(p)))
    for message in seen.seen:
        own = message.sender in seen.roles
        source = Source.MADE if own else Source.FOLLOWS
        for at in words.columns(message.label) if message.element == "word" else ():
            yield words.message(message.label, at), Source.MADE if own else Source.HEARD
            if "n" in message.count.names:
                for each in matches:
                    yield from ((row, source) for row in words.made(message.label, at, "gather", each))
                    if cells:
                        yield from ((row, source) for row in words.made(message.label, at, "gather, sum_cells", each))
            elif "g" not in message.count.names:
                if cells:
                    yield from ((row, source) for row in words.made(message.label, at, "sum_cells"))
                for each in ends:
                    yield from ((row, source) for row in words.made(message.label, at, "gather, diff", each))
                if granted:
                    yield from ((row, source) for row in words.made(message.label, at, "running sums"))


def _solve(seen: View, *, granted: bool) -> None:
    """Rules K9 to K11: what is left of messages where every unknown mask cancels."""
    case, atoms = seen.case, seen.case.words.atoms
    sums = case.monomials
    rows = list(_rows(seen, granted=granted))
    cells = granted or "a" in seen.groups
    known: list[bool] = []
    plain: list[bool] = []
    """All that is in it is known, whatever of its order or places is not."""
    hides: list[bool] = []
    bases: list[int | None] = []
    """The mask that hides, if it is one, or a map of one alone."""
    for atom in atoms:
        inner = all(plain[number] for number in atom.inner)
        if atom.kind == "mask":
            own = seen.holds(atom.of[0])
        elif atom.kind in SECRETS:
            own = atom.of[0] in seen.values
        elif atom.kind == "noise":
            own = atom.of[0] in seen.roles or atom.of[0] in seen.noise
        elif atom.kind in ("permute", "order"):
            own = granted or seen.orders_by(atom.of)
        elif atom.kind == "gather":
            own = (granted and atom.of[0] != "match") or seen.reads_at(atom.of)
        else:
            own = cells or atom.kind != "sum_cells"
        base = atom.kind not in algebra.MAPS
        plain.append(own if base else inner)
        known.append(own if base else own and all(known[number] for number in atom.inner))
        masked = (
            bool(atom.inner) and all(hides[n] or plain[n] for n in atom.inner) and any(hides[n] for n in atom.inner)
        )
        hides.append(not known[-1] and (atom.kind == "mask" or masked))
        inside = len(bases) if base else bases[atom.inner[0]] if len(atom.inner) == 1 else None
        bases.append(inside if hides[-1] else None)

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


def _opened(seen: View, number: int, plain: list[bool]) -> None:
    """Rule K11: an atom that nothing hides. Its values are known; if they were before, its order or places are now."""
    atom = seen.case.words.atoms[number]
    if not plain[number] and atom.kind in SECRETS:
        seen.values.add(atom.of[0])
    elif atom.kind == "noise":  # under a map, or in a product, that nothing hides
        seen.noise.add(atom.of[0])
    elif plain[number] and atom.kind in ("permute", "order"):
        seen.orders.add(atom.of)
    elif plain[number] and atom.kind == "gather" and atom.of[0] == "match":
        seen.joint = True
    elif plain[number] and atom.kind in ("gather", "sum_cells"):
        seen.groups.add("a")
    for each in atom.inner:
        _opened(seen, each, plain)


def _is_noise(case: Case, monomial: Monomial) -> bool:
    return len(monomial) == 1 and case.words.atoms[monomial[0]].kind == "noise"


# -- from knowledge to marks ------------------------------------------------------------------------------------------


def marks_of(seen: View) -> Marks:
    """Rule K12 and the closure: a mark for every item that a coalition has to do with."""
    case, marks = seen.case, _held(seen)
    for role, side in case.sides.items():
        if role in seen.persons:
            _raise(marks, (*side.items({side.key, *side.filters}), tags(side.dataset, side.key)), Mark.VISIBLE)
        if role in seen.values:
            _raise(marks, side.items(side.masked | side.groups | side.filters), Mark.VISIBLE)
        if role in seen.groups:
            _raise(marks, side.items(side.groups), Mark.VISIBLE)
        if side.holder in seen.parties:
            _raise(marks, (*side.items(side.columns), tags(side.dataset, side.key)), Mark.VISIBLE)
        _raise(marks, [size(side.dataset)], Mark.SIZE)
    if seen.joint and seen.placed:
        _raise(marks, [MEMBERSHIP], Mark.VISIBLE)
    if seen.count is not Mark.NEVER:
        _raise(marks, [MATCHES], seen.count)
    _raise(marks, map(exact, seen.exact), Mark.AGGREGATE)
    _raise(marks, map(noised, seen.noised), Mark.NOISED)
    if case.roles["result"] in seen.parties:
        _raise(marks, (released(name) for name, sums in case.outputs.items() if not sums), Mark.VISIBLE)
    close(case, marks)
    return marks


def close(case: Case, marks: Marks) -> None:
    """The closure rules C1 to C6 of docs/rules: what follows from marks, whoever has them."""
    sides = tuple(case.sides.values())
    if all(marks.get(item) is Mark.VISIBLE for side in sides for item in side.items([side.key])):
        _raise(marks, [MEMBERSHIP], Mark.VISIBLE)
        _raise(marks, [MATCHES], Mark.SIZE)
    if all(marks.get(item) is Mark.VISIBLE for side in sides for item in side.items(side.columns)):
        _raise(marks, map(exact, case.sums), Mark.AGGREGATE)
    for name in case.sums:
        if marks.get(exact(name)) is Mark.AGGREGATE:
            _raise(marks, [noised(name)], Mark.AGGREGATE)
    for name, sums in case.outputs.items():
        if sums:
            _raise(marks, [released(name)], min((_mark(marks, noised(each)) for each in sums), key=lambda m: m.rank))
    told = {name: mark for name in case.sums if (mark := _mark(marks, noised(name))).rank > Mark.HELD.rank}
    for name, mark in told.items():
        _raise(marks, case.sums[name], mark)
        for side in sides:
            _raise(marks, side.items(side.groups | side.filters | {side.key}), mark)
    if _mark(marks, MATCHES).rank > Mark.HELD.rank:
        for side in sides:
            _raise(marks, side.items(side.filters | {side.key}), _mark(marks, MATCHES))


def _held(seen: View) -> Marks:
    """Rule K12: whoever sends or receives a message has what its term depends on, if only in protected form."""
    marks: Marks = {}
    for message in seen.seen:
        for role, what in sorted(depends(seen.case, message.meaning)):
            side = seen.case.sides.get(role)
            if what == "sums":
                _raise(marks, map(exact, seen.case.sums), Mark.HELD)
            elif what == "match":
                _raise(marks, [MEMBERSHIP], Mark.HELD)
            elif side is not None and what == "keys":
                _raise(marks, [tags(side.dataset, side.key)], Mark.HELD)
            elif side is not None:
                _raise(marks, side.items(side.masked if what == "values" else side.groups), Mark.HELD)
    return marks


def depends(case: Case, term: Term) -> frozenset[tuple[str, str]]:
    """(role, kind) of all that a term is made of: keys, values and groups of a role; the match; the sums."""
    match term:
        case "match":
            return frozenset({("", "match")})
        case str():
            return _of_name(case, term)
        case Sum(parts):
            return frozenset().union(*(depends(case, part) for _, part in parts))
        case Product(factors):
            return frozenset().union(*(depends(case, factor) for factor in factors))
        case Call("values", (str(role), "gathered")):  # one column for each cell of that role's own grouping
            return frozenset({(role, "values"), (role, "groups")})
        case Call("local", (str(role), _)):
            return frozenset({(role, "values")})
        case Call("values" | "keys" | "groups" as what, (str(role), *_)):
            return frozenset({(role, what)})
        case Call("share", (str(), "sums")):
            return frozenset({("", "sums")})
        case Call("share", (str(), str(name))):
            return _of_name(case, name)
        case Call(_, args):
            inner = (depends(case, arg) for arg in args if not isinstance(arg, str) or arg in _labels(case))
            return frozenset().union(*inner)


def _of_name(case: Case, name: str) -> frozenset[tuple[str, str]]:
    if name in _labels(case):
        return depends(case, next(m.meaning for m in case.join.messages if m.label == name))
    products = {at.factor is not None for at in case.columns["v"]}
    used = [s for s in case.join.shared if s.name == name and (s.when == "always" or (s.when == "product") in products)]
    return frozenset().union(*(depends(case, each.value) for each in used))


def _labels(case: Case) -> frozenset[str]:
    return frozenset({"match", *(message.label for message in case.join.messages)})


def _mark(marks: Marks, item: Item) -> Mark:
    return marks.get(item, Mark.NEVER)


def _raise(marks: Marks, items: Iterable[Item], mark: Mark) -> None:
    for item in items:
        if mark.rank > _mark(marks, item).rank:
            marks[item] = mark


# -- the judgement ----------------------------------------------------------------------------------------------------


def judge(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
    """Judge a plan: its matrix, and a finding for everything that a coalition works out and nobody declared.

    Raises: InternalError plan.terms if a card's terms are none of the protocol's, or its shares do not add up.
    """
    case = case_of(plan, spec, cards)
    try:
        _shares_add_up(case)
        columns = tuple(_coalitions(case))
        known = {each.label: marks_of(view(case, frozenset(each.parties))) for each in columns}
    except (ValueError, KeyError, StopIteration) as error:
        raise InternalError(
            "plan.terms", card=case.join.id, problem=str(error) or "speak of what is not there"
        ) from error
    rows = tuple(
        Row(item.value, item.kind, {label: _mark(marks, item) for label, marks in known.items()})
        for item in _items(case)
    )
    found = tuple(
        Finding(
            "leak.undeclared",
            "error",
            f"security.leakage <- {each.label} <- {item.value}",
            f"{each.label} can work out {item.value} ({_mark(known[each.label], item).meaning}), "
            "and that is not declared",
            "declare it under [[security.leakage]], or choose another protocol",
        )
        for each in columns
        if not each.beyond_model
        for item in _undeclared(case, spec, each, known[each.label])
    )
    return Verdict(found, Matrix(columns, rows))


def _shares_add_up(case: Case) -> None:
    """A card that states shares which do not add up to their value says nothing about its protocol."""
    for each in case.join.shared:
        for at in case.columns["v"]:
            if each.when in ("always", "plain" if at.factor is None else "product"):
                total = Sum(tuple((1, share) for share in each.shares.values()))
                if case.words.expand(total, at) != case.words.expand(each.value, at):
                    raise ValueError(f"give shares of {each.name} that do not add up to it")


def _undeclared(case: Case, spec: Spec, who: Coalition, found: Marks) -> Iterator[Item]:
    allowed = _allowed(case, spec, frozenset(who.parties))
    for item, mark in found.items():
        if mark.rank > max(_mark(allowed, item).rank, Mark.HELD.rank):
            yield item


def _allowed(case: Case, spec: Spec, parties: frozenset[PartyId]) -> Marks:
    """What a coalition may know: its own rows, the release to it, what is declared to it, and what follows."""
    marks: Marks = {}
    for side in case.sides.values():
        if side.holder in parties:
            _raise(marks, (*side.items(side.columns), tags(side.dataset, side.key)), Mark.VISIBLE)
    if parties & {PartyId(name) for name in spec.release.to} and spec.release.differential_privacy is not None:
        _raise(marks, map(noised, case.sums), Mark.NOISED)
        _raise(marks, (released(name) for name, sums in case.outputs.items() if not sums), Mark.VISIBLE)
    for entry in spec.security.leakage:
        if entry.learner == EVERYONE or PartyId(entry.learner) in parties:
            _raise(marks, _named(case, entry), Mark.NOISED if entry.noised is not None else Mark.SIZE)
    close(case, marks)
    return marks


def _named(case: Case, entry: Leakage) -> Iterator[Item]:
    if entry.item == "match_count":
        yield MATCHES
    else:
        yield from (size(side.dataset) for side in case.sides.values() if side.dataset in entry.of)


def _coalitions(case: Case) -> Iterator[Coalition]:
    """The columns of the matrix: single parties, larger sets within the model, pairs beyond it."""
    yield from (Coalition((party,)) for party in case.parties)
    active = [party for party in case.parties if party in case.roles.values()]
    larger = [each for count in range(2, len(active) + 1) for each in combinations(active, count)]
    yield from (Coalition(each) for each in larger if _within(case, each))
    yield from (Coalition(each, beyond_model=True) for each in larger if len(each) == 2 and not _within(case, each))


def _within(case: Case, parties: tuple[PartyId, ...]) -> bool:
    """True if both cards promise to withstand these parties together."""
    for adversary in (case.join.adversary, case.release.adversary):
        corrupt = {role for role in adversary.among if case.roles[role] in parties}
        if len(corrupt) > adversary.corrupt:
            return False
        if case.roles["result"] in parties and not corrupt <= set(adversary.with_result):
            return False
    return True


def _items(case: Case) -> Iterator[Item]:
    """The rows of the matrix."""
    sides = tuple(case.sides.values())
    for side in sides:
        yield from side.items(side.columns)
    yield from (tags(side.dataset, side.key) for side in sides)
    yield MEMBERSHIP
    yield MATCHES
    yield from (size(side.dataset) for side in sides)
    yield from map(exact, case.sums)
    yield from map(noised, case.sums)
    yield from map(released, case.outputs)
