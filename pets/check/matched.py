"""Who learns what of an intersection: read off the card, held against what is declared. The counterpart of flow.py.

Nothing here computes with messages: what a message carries, and what a role gets out, is taken from the card. The
second checker, which works out from the messages what can be concluded, is traced.py.

How a coalition's knowledge comes about, strongest first:

    own records                            V  of the columns that its members hold
    the outcome "match"                    V  of who is in both; M of person ids, and of columns that WHERE looks at
    the outcome "columns"                  M  of the columns that come with a person
    the outcome "match_count"              S  of how many are in both, person ids, and columns that WHERE looks at
    a card's ``learns``                    its grade
    a message that ``carries`` it          H  for sender and receiver: tags, masked values
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from math import prod

from pets.check import budget
from pets.check.coalitions import coalitions, matrix_of
from pets.check.labels import (
    MATCHES,
    MEMBERSHIP,
    Fact,
    Grade,
    Item,
    Mark,
    Matrix,
    column,
    protected,
    released,
    size,
    tags,
)
from pets.check.labels import noised as noised_sum
from pets.check.noised import NOISE_TAIL
from pets.errors import LeakError
from pets.ids import PartyId
from pets.spec.banded import levels_of, reads
from pets.spec.cards import EVERYONE, Card
from pets.spec.ir import Open, Plan, Read
from pets.spec.model import Spec, quantity
from pets.spec.pairing import Pairing, cast_of, payload_words
from pets.spec.predicate import columns_of
from pets.spec.query import ColumnRef
from pets.spec.ways import WAYS, Way, way_of

ONE_PRIME = 2**39
"""Below it one of the two primes of psi_sum tells a sum with its noise; both tell what is below 2^79."""

ITEMS: Mapping[str, str] = {
    "intersection": "match",
    "cardinality": "match_count",
    "threshold": "at_least",
    "sum": "sums",
}
"""What cards call an outcome."""

NAMES: Mapping[str, str] = {
    "intersection": "which persons are in both",
    "cardinality": "how many persons are in both",
    "threshold": "whether enough persons are in both",
    "sum": "sums of persons in both, by group",
}
"""How an outcome is called where it is released."""


@dataclass(frozen=True, slots=True)
class Set:
    """One of the two datasets. ``told``: columns that come with a person, or are summed; ``groups``: that form groups.

    ``filters``: columns that WHERE looks at.
    """

    dataset: str
    party: PartyId
    key: str
    columns: tuple[str, ...]
    told: frozenset[str]
    filters: frozenset[str]
    groups: frozenset[str] = frozenset()

    def item(self, name: str) -> Item:
        return column(f"{self.dataset}.{name}")

    def items(self, names: frozenset[str]) -> Iterator[Item]:
        return (self.item(name) for name in self.columns if name in names)

    @property
    def tags(self) -> Item:
        return tags(self.dataset, self.key)

    @property
    def size(self) -> Item:
        return size(self.dataset)


@dataclass(frozen=True, slots=True)
class About:
    """All that the matrix depends on. ``sets`` by role, the asker's first; ``roles`` of the card and "result".

    ``numbers``: the card's public numbers.
    """

    parties: tuple[PartyId, ...]
    roles: Mapping[str, PartyId]
    sets: Mapping[str, Set]
    outcome: str
    protocol: str
    numbers: Mapping[str, int]
    handed: bool
    noised: bool = False
    order: tuple[str, ...] = ()
    """Columns of the other dataset in the order in which they are asked for."""

    @property
    def sums(self) -> tuple[tuple[Item, Item], ...]:
        """Of a sum, each column that is added up and what becomes of it."""
        if self.outcome != "sum":
            return ()
        make, (_, other) = noised_sum if self.noised else protected, self.sets.values()
        return tuple((other.item(name), make(f"sum({other.dataset}.{name})")) for name in self.order)

    @property
    def released(self) -> Item:
        return released(NAMES[self.outcome])


def about(spec: Spec, pairing: Pairing) -> About:
    """Read it off a specification. Raises: ValueError if nobody can say who plays which role."""
    name = way_of(spec)
    way = WAYS[name]
    tables = (spec.dataset(each) for each in pairing.tables)
    told = frozenset(ref.column for ref in pairing.columns)
    sets = {
        role: Set(
            table.name,
            table.party,
            table.key,
            tuple(table.columns),
            told if table.name == pairing.other else frozenset(),
            frozenset(columns_of(where) if (where := pairing.where(table.name)) is not None else ()),
            frozenset(ref.column for ref in pairing.by) if table.name == pairing.asks else frozenset(),
        )
        for role, table in zip((way.asker, way.other), tables, strict=True)
    }
    return About(
        tuple(PartyId(party.name) for party in spec.parties),
        cast_of(spec, pairing, way) | {"result": spec.result_party},
        sets,
        pairing.outcome,
        name,
        public_of(spec, pairing, way),
        not way.opens,
        spec.release.differential_privacy is not None,
        tuple(ref.column for ref in pairing.columns),
    )


def about_plan(plan: Plan, spec: Spec) -> About:
    """Read it off a plan; of the specification only the order of parties and columns."""
    match = plan.match
    assert match is not None
    way = WAYS[match.card]
    to = next(step.to for step in plan.steps if isinstance(step, Open))
    return About(
        tuple(PartyId(party.name) for party in spec.parties),
        dict(match.roles) | {"result": to},
        {
            role: _set_of(read, spec, frozenset(match.columns) if read.out == match.of else frozenset())
            for role, read in zip((way.asker, way.other), plan.reads, strict=True)
        },
        match.outcome,
        match.card,
        dict(match.public),
        bool(match.handed_by),
        bool(match.epsilon),
        match.columns,
    )


def _set_of(read: Read, spec: Spec, told: frozenset[str]) -> Set:
    assert read.party is not None
    filters = frozenset(columns_of(read.where) if read.where is not None else ())
    groups = frozenset(name for each in read.dimensions for name in reads(each.column)) - told
    columns = tuple(spec.dataset(read.dataset).columns)
    return Set(read.dataset, read.party, read.columns[0], columns, told, filters, groups)


def public_of(spec: Spec, pairing: Pairing, way: Way) -> dict[str, int]:
    """The public numbers of the card: declared sizes, and what it is asked to do besides.

    Raises: LeakError dp.match-count if no number of dummies gives the helper's count the declared noise.
    """
    sizes = (spec.dataset(name).max_rows for name in pairing.tables)
    public = {name: size for name, size in zip(way.sizes, sizes, strict=True) if name}
    if way.helper:
        public["s"] = dummies(spec)[2]
    if way.columns:
        public[way.columns] = payload_words(spec, pairing)
    if way.both:
        public["both"] = int(pairing.both)
    if pairing.outcome == "sum":
        return public | _numbers_of_sums(spec, pairing)
    if way.noise:
        public["r"] = int(spec.release.differential_privacy is not None)
    if way.least:
        public["min_result"] = max(pairing.at_least, pairing.min_result)
        public["shown"] = int(pairing.outcome == "cardinality")
        public["noised"] = 0
    return public


def _numbers_of_sums(spec: Spec, pairing: Pairing) -> dict[str, int]:
    """Greatest group, groups, columns, and modulo how many primes sums have to be known."""
    cells = prod(len(levels_of(spec, ref)) for ref in pairing.by)
    persons = min(pairing.max_group, spec.dataset(pairing.other).max_rows)
    greatest = [persons * bound(spec, ref) for ref in pairing.columns]
    tails = [NOISE_TAIL * sensitivity / epsilon for sensitivity, epsilon in noised(spec, pairing)]
    most = max((sum(each) for each in zip_longest(greatest, tails, fillvalue=0)), default=0)
    primes = 0 if not greatest else 1 if most < ONE_PRIME else 2
    return {"m_a": pairing.max_group, "g": cells, "v": len(greatest), "primes": primes}


def bound(spec: Spec, ref: ColumnRef) -> int:
    """The greatest absolute value of a measure, in units of its last place."""
    return max(abs(each) for each in spec.dataset(ref.dataset).columns[ref.column].scaled_range)


def noised(spec: Spec, pairing: Pairing) -> tuple[tuple[int, Fraction], ...]:
    """Of each summed column the greatest change that one person makes, and its share of epsilon; empty without noise.

    A person is added or removed, or has another value in the range.

    Raises: LeakError dp.law for Gaussian noise, which no protocol of an intersection adds.
    """
    privacy = spec.release.differential_privacy
    if privacy is not None and privacy.gaussian:
        raise LeakError("dp.law", path="release.differential_privacy.mechanism")
    if privacy is None or not pairing.columns or pairing.outcome != "sum":
        return ()
    names = [f"sum({ref})" for ref in pairing.columns]
    shares = budget.split_epsilon(privacy.loss, names, privacy.weights)
    ranges = [spec.dataset(ref.dataset).columns[ref.column].scaled_range for ref in pairing.columns]
    return tuple(
        (max(abs(low), abs(high), high - low, 1), shares[name]) for name, (low, high) in zip(names, ranges, strict=True)
    )


def dummies(spec: Spec) -> tuple[Fraction, Fraction, int]:
    """Epsilon and delta of the helper's count, and half the number of slots for dummies, each person being one entry.

    Nothing declared: (0, 0, 1), which rule psi.undeclared refuses. Raises: LeakError dp.match-count.
    """
    noised = next((item.noised for item in spec.security.leakage if item.noised is not None), None)
    if noised is None:
        return Fraction(0), Fraction(0), 1
    epsilon, delta = quantity(noised.epsilon), quantity(noised.delta)
    try:
        return epsilon, delta, budget.dummy_slots(epsilon, delta, 1)
    except ValueError as error:
        said = {"epsilon": budget.exact(epsilon), "delta": budget.exact(delta)}
        raise LeakError("dp.match-count", path="security.leakage", **said) from error


# -- facts ------------------------------------------------------------------------------------------------------------


def facts(told: About, card: Card) -> tuple[Fact, ...]:
    """What the card says that somebody learns, and what its roles get out, with parties in the place of roles."""
    found: list[Fact] = []
    numbers = card.names(told.numbers)
    for entry in card.learns:
        grade = Grade(entry.grade)
        learners = [frozenset(told.roles[role] for role in entry.who if role != EVERYONE)]
        if EVERYONE in entry.who:
            learners = [frozenset({party}) for party in told.parties]
        for learner in learners:
            found += (Fact(learner, item, grade) for item in _items(told, entry.item))
    for output in card.outputs:
        if output.when and not numbers.get(output.when, 0):
            continue
        learner = frozenset({told.roles[output.role]})
        noised = Grade.NOISED if output.item == "match_count" and told.numbers.get("r") else None
        found += of_outcome(told, learner, output.item, noised)
    return tuple(dict.fromkeys(found))


def of_outcome(told: About, learner: frozenset[PartyId], item: str, grade: Grade | None = None) -> Iterator[Fact]:
    """What who gets an outcome learns. ``grade``: of a number, if it is not exact."""
    match item:
        case "match":
            yield Fact(learner, MEMBERSHIP, Grade.MEMBERSHIP)
        case "match_count":
            yield Fact(learner, MATCHES, grade or Grade.COUNT)
        case "columns":
            for each in told.sets.values():
                yield from (Fact(learner, of, Grade.MATCHED) for of in each.items(each.told))
        case "at_least":
            yield Fact(learner, told.released, Grade.COUNT)
        case "sums":
            yield from (Fact(learner, of, Grade.NOISED if told.noised else Grade.AGGREGATE) for _, of in told.sums)
        case _:
            raise ValueError(f"a card gives out {item}, which is nothing that this checker knows")


def _items(told: About, item: str) -> tuple[Item, ...]:
    if item == "row_count":
        return tuple(each.size for each in told.sets.values())
    if item == "match_count":
        return (MATCHES,)
    if item == "match":
        return (MEMBERSHIP,)
    if item == "columns":
        return tuple(of for each in told.sets.values() for of in each.items(each.told))
    role, _, part = item.partition(".")
    if role in told.sets and part == "values":
        return tuple(told.sets[role].items(told.sets[role].told))
    if role in told.sets and part == "key":
        each = told.sets[role]  # listed are those whom WHERE lets pass
        return (*each.items(each.filters | {each.key}), each.tags)
    raise ValueError(f"a card speaks of {item}, which is nothing that this checker knows")


def declared(told: About, spec: Spec) -> tuple[Fact, ...]:
    """What the specification says that somebody learns: the outcome for whom it is released to, the leakage it lists.

    The asker runs the protocol, so it learns the outcome where no other card opens it to somebody else.
    """
    asked, found = spec.computation, list[Fact]()
    for place, name in enumerate(spec.release.to):
        learner = frozenset({PartyId(name)})
        items = [ITEMS[asked.psi or ""]]
        if place == 0 and asked.columns and asked.psi == "intersection":
            items.append("columns")
        grade = Grade.NOISED if spec.release.differential_privacy is not None else None
        found += (fact for item in items for fact in of_outcome(told, learner, item, grade))
    for entry in spec.security.leakage:
        learners = told.parties if entry.learner == EVERYONE else (PartyId(entry.learner),)
        items_of: tuple[Item, ...] = ()
        grade = Grade.SIZE
        if entry.item == "row_count":
            items_of = tuple(each.size for each in told.sets.values() if each.dataset in entry.of)
        elif entry.item == "match_count":
            items_of, grade = (MATCHES,), Grade.NOISED if entry.noised is not None else Grade.COUNT
        found += (Fact(frozenset({learner}), item, grade) for learner in learners for item in items_of)
    return tuple(found)


# -- knowledge --------------------------------------------------------------------------------------------------------


def knowledge(told: About, card: Card, learned: tuple[Fact, ...], coalition: frozenset[PartyId]) -> dict[Item, Mark]:
    """What a coalition knows of every value, given ``learned``. Adding a party or a fact never lowers a mark."""
    marks: dict[Item, Mark] = {}

    def raise_to(items: Iterator[Item] | tuple[Item, ...], mark: Mark) -> None:
        for item in items:
            if mark.rank > marks.get(item, Mark.NEVER).rank:
                marks[item] = mark

    numbers = card.names(told.numbers)
    for message in card.messages:
        if not message.columns.evaluate(numbers):
            continue
        if coalition & {told.roles[message.sender], told.roles[message.receiver]}:
            for name in message.carries:
                raise_to(_carried(told, name), Mark.HELD)
    for each in told.sets.values():
        if each.party in coalition:
            raise_to((*each.items(frozenset(each.columns)), each.tags), Mark.VISIBLE)
    for fact in learned:
        if fact.learner <= coalition:
            raise_to((fact.item,), fact.grade.mark)
    if told.handed and told.roles["result"] in coalition:
        asker = frozenset({told.roles[next(iter(told.sets))]})
        for fact in learned:
            if fact.learner == asker:
                raise_to((fact.item,), fact.grade.mark)
    keys = tuple(each.item(each.key) for each in told.sets.values())
    if all(marks.get(key) is Mark.VISIBLE for key in keys):
        raise_to((MEMBERSHIP,), Mark.VISIBLE)
    if marks.get(MEMBERSHIP) is Mark.VISIBLE:
        raise_to((MATCHES,), Mark.SIZE)
        for each in told.sets.values():
            raise_to(each.items(each.filters | {each.key}), Mark.MATCHED)
    if (counted := marks.get(MATCHES, Mark.NEVER)).rank > Mark.HELD.rank:
        for each in told.sets.values():
            raise_to(each.items(each.filters | {each.key}), counted)
        if told.outcome == "threshold":
            raise_to((told.released,), counted)
    for inside, of_it in told.sums:
        if marks.get(MEMBERSHIP) is marks.get(inside) is Mark.VISIBLE:
            raise_to((of_it,), Mark.AGGREGATE)
        if (seen := marks.get(of_it, Mark.NEVER)).rank > Mark.HELD.rank:
            raise_to((inside,), seen)
    if told.outcome == "sum":
        least = min(
            (marks.get(of_it, Mark.NEVER) for _, of_it in told.sums), key=lambda mark: mark.rank, default=counted
        )
        raise_to((told.released,), least)
    elif told.outcome != "threshold":
        of = marks.get(MEMBERSHIP if told.outcome == "intersection" else MATCHES, Mark.NEVER)
        raise_to((told.released,), of)
    elif (answered := marks.get(told.released, Mark.NEVER)).rank > Mark.HELD.rank:
        for each in told.sets.values():
            raise_to(each.items(each.filters | {each.key}), answered)
    return marks


def _carried(told: About, item: str) -> tuple[Item, ...]:
    """The rows that travel, protected, in a message that carries this item."""
    if item == "match":
        return (MEMBERSHIP,)
    if item == "sums":  # a number, or what follows from it
        return (MATCHES, told.released)
    role, _, part = item.partition(".")
    each = told.sets[role]
    if part == "groups":
        return tuple(each.items(each.groups))
    own = tuple(each.items(each.told))
    return (each.tags,) if part == "key" else (*own, *(of_it for inside, of_it in told.sums if inside in own))


# -- the matrix -------------------------------------------------------------------------------------------------------


def rows_of(told: About) -> Iterator[Item]:
    """The rows of the matrix."""
    for each in told.sets.values():
        yield from each.items(frozenset(each.columns))
    yield from (each.tags for each in told.sets.values())
    yield MEMBERSHIP
    yield MATCHES
    yield from (each.size for each in told.sets.values())
    yield from (of_it for _, of_it in told.sums)
    yield told.released


def disclosure(told: About, cards: Mapping[str, Card]) -> Matrix:
    """The disclosure matrix under the card of the protocol."""
    card = cards[told.protocol]
    learned = facts(told, card)
    columns = coalitions(told, (card,))
    known = {each.label: knowledge(told, card, learned, frozenset(each.parties)) for each in columns}
    return matrix_of(columns, rows_of(told), known)
