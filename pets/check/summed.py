"""Who learns what of sums over one table of many holders: read off the card. The counterpart of flow.py and matched.py.

Of the holders some stand for all (``repeated.shown``): one of whom others learn, and one of these others. What a holder
uploads is a vector of its *own sums*: those of its rows alone, which are a row of the matrix each. Nothing here
computes with messages; the second checker, which does, is apart from this.

How a coalition's knowledge comes about, strongest first:

    own rows                               V  of the columns of its members' parts; A of their own sums
    more computing parties than withstood  A  of every holder's own sums
    own sums of all holders                A  of the exact sums
    exact, noised or protected sums        A or N, as a card's ``learns`` says; and of all that they are made of
    the same less the own sums of all others  A or N  of the one holder's own sums that are left
    a declared size                        S
    a message that ``carries`` it          H  for sender and receiver
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pets.check.coalitions import matrix_of
from pets.check.labels import (
    Coalition,
    Fact,
    Grade,
    Item,
    Mark,
    Matrix,
    exact,
    noised,
    protected,
    released,
    strongest,
    weakest,
)
from pets.check.subject import Released, Sum, Table
from pets.ids import PartyId
from pets.spec import moments as taken_apart
from pets.spec.banded import reads
from pets.spec.cards import EVERYONE, Card, Learns
from pets.spec.control import effective
from pets.spec.handover import joined, placed
from pets.spec.ir import INPUT, Derive, Open, Plan, Protect, Read
from pets.spec.model import Spec
from pets.spec.pooled import Pooled
from pets.spec.pools import POOLS, cast_of, pool_of
from pets.spec.predicate import columns_of
from pets.spec.protected import protected as guarded
from pets.spec.query import Aggregate, ColumnRef
from pets.spec.repeated import many, role_of, shown, with_so_many

CONTROL: Final = "disclosure_control"

VALIDITY: Final = "input_validity"
"""What cards call it that everybody learns whether what a holder hands in is within its bounds."""


@dataclass(frozen=True, slots=True)
class About:
    """All that the matrix depends on. ``roles`` of the card and "result"; ``tables``: the parts of those who are shown.

    ``computing``: who computes, in the order of the card. ``sums``: those that are ``shown`` leave.
    """

    parties: tuple[PartyId, ...]
    roles: Mapping[str, PartyId]
    tables: Mapping[str, Table]
    computing: tuple[PartyId, ...]
    sums: tuple[Sum, ...]
    released: tuple[Released, ...]
    protocol: str
    controlled: bool

    @property
    def leaving(self) -> tuple[tuple[str, Item], ...]:
        """What leaves: the name of each sum that does, and the item that it is then."""
        make = protected if self.controlled else noised
        return tuple((each.name, make(each.name)) for each in self.sums if each.shown)

    def own(self, table: Table) -> tuple[tuple[str, Item], ...]:
        """The own sums of a holder, by the name of the sum that they are a part of."""
        return tuple((each.name, exact(f"{each.name}{table.part}")) for each in self.sums)


# -- what it is about -------------------------------------------------------------------------------------------------


def about(spec: Spec, query: Pooled) -> About:
    """Read it off a specification. Raises: ValueError if nobody can say who plays which role."""
    protocol, control = pool_of(spec), effective(spec)
    asked = taken_apart.moments(query, spec)
    parts = asked if control is None else guarded(query, spec, control).moments
    named = {moment.name for moment in asked}
    sums = tuple(
        Sum(m.name, frozenset(ColumnRef(query.table, name) for name in m.factors[0].touches), m.name in named)
        for m in parts
    )
    groups = frozenset(name for ref in query.group_by for name in reads(ref))
    filters = frozenset(() if query.condition is None else columns_of(query.condition))
    names = {output.name: moments for output, moments in taken_apart.statistics(query, spec)}
    outputs = tuple(
        Released(each.name, names[each.name] if isinstance(each.what, Aggregate) else ()) for each in query.outputs
    )
    holders = spec.holders(query.table)
    cast = {role: party for role, party in cast_of(spec, protocol).items() if not role.startswith(INPUT)}
    return _made(spec, query.table, holders, cast, sums, groups, filters, outputs, protocol, control is not None)


def about_plan(plan: Plan, spec: Spec) -> About:
    """Read it off a plan; of the specification only the order of parties and columns."""
    pool, safe = plan.pool, plan.protection
    assert pool is not None
    (read,) = plan.reads
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    visible = {each.moment for each in safe.shown} if isinstance(safe, Protect) else set(range(len(safe.moments)))
    sums = tuple(
        Sum(moment.name, frozenset(ColumnRef(read.dataset, name) for name in moment.a.touches), number in visible)
        for number, moment in enumerate(safe.moments)
    )
    names = [moment.name for moment in safe.moments]
    outputs = tuple(Released(each.name, tuple(names[at] for at in each.moments)) for each in derive.outputs)
    to = next(step.to for step in plan.steps if isinstance(step, Open))
    found = _made(
        spec, read.dataset, read.parties, dict(pool.computing), sums, _groups(read), _filters(read), outputs,
        pool.card, isinstance(safe, Protect),
    )  # fmt: skip
    return replace(found, roles={**found.roles, "result": to})


def _groups(read: Read) -> frozenset[str]:
    return frozenset(name for each in read.dimensions for name in reads(each.column))


def _filters(read: Read) -> frozenset[str]:
    return frozenset(() if read.where is None else columns_of(read.where))


def _made(
    spec: Spec,
    dataset: str,
    holders: Sequence[PartyId],
    computing: Mapping[str, PartyId],
    sums: tuple[Sum, ...],
    groups: frozenset[str],
    filters: frozenset[str],
    outputs: tuple[Released, ...],
    protocol: str,
    controlled: bool,
) -> About:
    table, to = spec.dataset(dataset), spec.result_party
    values = frozenset(ref.column for each in sums for ref in each.columns)
    used = {table.key, *values, *groups, *filters}
    columns = tuple(name for name in table.columns if name in used)
    one = Table(dataset, PartyId(""), table.key, columns, values, groups, filters, False, shared=True)
    tables = {role_of(INPUT, at): replace(one, party=party) for at, party in enumerate(shown(holders, to))}
    cast = {role: part.party for role, part in tables.items()} | dict(computing) | {"result": to}
    return About(
        parties=tuple(PartyId(party.name) for party in spec.parties if party.name in cast.values()),
        roles=cast,
        tables=tables,
        computing=tuple(computing.values()),
        sums=sums,
        released=outputs,
        protocol=protocol,
        controlled=controlled,
    )


def cards_of(told: About, cards: Mapping[str, Card]) -> tuple[Card, ...]:
    """The cards of a run with as many holders as are shown; with disclosure control in the roles of the first."""
    card = cards[told.protocol]
    counts = {role: sum(name.startswith(role) and name != role for name in told.roles) for role in many(card)}
    pool = with_so_many(card, counts)
    if not told.controlled:
        return (pool,)
    return joined(pool, cards[CONTROL]), placed(pool, cards[CONTROL])


# -- facts ------------------------------------------------------------------------------------------------------------


def facts(told: About, cards: tuple[Card, ...]) -> tuple[Fact, ...]:
    """What the cards say that somebody learns, with parties in the place of roles."""
    entries = (each for card in cards for each in card.learns)
    return tuple(dict.fromkeys(fact for entry in entries for fact in facts_of(told, entry)))


def facts_of(told: About, entry: Learns) -> Iterator[Fact]:
    """What one entry of a card says that somebody learns."""
    learners = [frozenset(told.roles[role] for role in entry.who if role != EVERYONE)]
    if EVERYONE in entry.who:
        learners = [frozenset({party}) for party in told.parties]
    for learner in learners:
        yield from (Fact(learner, item, of) for item, of in _items(told, entry.item, Grade(entry.grade)))


def _items(told: About, item: str, grade: Grade) -> Iterator[tuple[Item, Grade]]:
    """The rows that a card's word stands for. A holder's vector is its own sums: no single row is in it."""
    role, _, part = item.partition(".")
    if item == VALIDITY:
        return  # about no value: that it is declared is for a rule to say
    if item == "row_count":
        yield from ((table.size, grade) for table in told.tables.values())
    elif item == "sums":
        make = noised if grade is Grade.NOISED else exact
        yield from ((make(each.name), grade) for each in told.sums)
    elif item == "table":
        yield from ((leaves, grade) for _, leaves in told.leaving)
    elif role in told.tables and part == "values":
        yield from ((own, Grade.AGGREGATE) for _, own in told.own(told.tables[role]))
    else:
        raise ValueError(f"a card speaks of {item}, which is nothing that this checker knows")


def declared(told: About, spec: Spec) -> tuple[Fact, ...]:
    """What the specification says that somebody learns: the release, and the leakage it lists."""
    grade = Grade.AGGREGATE if told.controlled else Grade.NOISED
    protects = told.controlled or spec.release.differential_privacy is not None
    to = [frozenset({PartyId(name)}) for name in spec.release.to if protects]
    found = [Fact(learner, leaves, grade) for learner in to for _, leaves in told.leaving]
    for entry in spec.security.leakage:
        learners = told.parties if entry.learner == EVERYONE else (PartyId(entry.learner),)
        said = entry.of if entry.item == "row_count" else ()
        items = [table.size for table in told.tables.values() if table.dataset in said]
        found += (Fact(frozenset({who}), item, Grade.SIZE) for who in learners for item in items)
    return tuple(found)


# -- knowledge --------------------------------------------------------------------------------------------------------


class _Marks(dict[Item, Mark]):
    """Marks of values, which are only ever raised."""

    def raise_to(self, items: Iterator[Item] | Sequence[Item], mark: Mark) -> None:
        for item in items:
            if mark.rank > self.get(item, Mark.NEVER).rank:
                self[item] = mark

    def of(self, item: Item) -> Mark:
        return self.get(item, Mark.NEVER)


def knowledge(
    told: About, cards: tuple[Card, ...], learned: tuple[Fact, ...], coalition: frozenset[PartyId]
) -> dict[Item, Mark]:
    """What a coalition knows of every value, given ``learned``. Adding a party or a fact never lowers a mark."""
    marks = _Marks()
    for card in cards:
        for message in card.messages:
            if coalition & {told.roles[message.sender], told.roles[message.receiver]}:
                for name in message.carries:
                    marks.raise_to(_carried(told, name), Mark.HELD)
    if told.controlled and coalition & set(told.computing):
        marks.raise_to(_carried(told, "sums"), Mark.HELD)
    opened = not told.controlled and len(coalition & set(told.computing)) > cards[0].adversary.corrupt
    for table in told.tables.values():
        if table.party in coalition:
            marks.raise_to(tuple(table.items(frozenset(table.columns))), Mark.VISIBLE)
        if table.party in coalition or opened:
            marks.raise_to([own for _, own in told.own(table)], Mark.AGGREGATE)
    for fact in learned:
        if fact.learner <= coalition:
            marks.raise_to((fact.item,), fact.grade.mark)
    if told.roles["result"] in coalition:
        marks.raise_to([released(each.name) for each in told.released if not each.sums], Mark.VISIBLE)
    _close(told, marks)
    return marks


def _carried(told: About, item: str) -> Sequence[Item]:
    """The rows that travel, protected, in a message that carries this item."""
    if item == "sums":
        return [exact(each.name) for each in told.sums]
    role, _, part = item.partition(".")
    if role in told.tables and part == "values":
        table = told.tables[role]
        return [*(own for _, own in told.own(table)), *table.items(table.values)]
    return [leaves for _, leaves in told.leaving]


def _close(told: About, marks: _Marks) -> None:
    """Whatever follows from what is known: upwards to sums, from them to a holder's own, and down to columns.

    One holder who is shown stands for all who are not the first, in the column of this one alone, too.
    """
    tables, leaving = tuple(told.tables.values()), dict(told.leaving)
    own = {(table.party, name): item for table in tables for name, item in told.own(table)}
    for each in told.sums:
        parts = [own[table.party, each.name] for table in tables]
        if all(marks.of(part) is Mark.AGGREGATE for part in parts):
            marks.raise_to((exact(each.name),), Mark.AGGREGATE)
        leaves = leaving.get(each.name, exact(each.name))
        if marks.of(exact(each.name)) is Mark.AGGREGATE:
            marks.raise_to((leaves,), Mark.AGGREGATE)
        seen = strongest((marks.of(exact(each.name)), marks.of(leaves)))
        if seen.rank <= Mark.HELD.rank:
            continue
        for part in parts:
            if all(marks.of(other) is Mark.AGGREGATE for other in parts if other != part):
                marks.raise_to((part,), seen)
        for table in tables:
            marks.raise_to(_inside(told, table, each.name), seen)
    for table in tables:
        for name, item in told.own(table):
            if (seen := marks.of(item)).rank > Mark.HELD.rank:
                marks.raise_to(_inside(told, table, name), seen)
    for output in told.released:
        if output.sums:
            marks.raise_to((released(output.name),), weakest(marks.of(leaving[name]) for name in output.sums))


def _inside(told: About, table: Table, name: str) -> Sequence[Item]:
    """The columns of a part that a sum depends on: those in it, groups, conditions, and whose rows they are."""
    columns = next({ref.column for ref in each.columns} for each in told.sums if each.name == name)
    return tuple(table.items(frozenset(columns) | table.groups | table.filters | {table.key}))


# -- the matrix -------------------------------------------------------------------------------------------------------


def columns_of_matrix(told: About, cards: tuple[Card, ...]) -> tuple[Coalition, ...]:
    """The columns: each party that is shown; the most who may put together what they have, with the result party and
    all holders but the one of whom they could learn; and one computing party more, which is beyond the model.

    Of computing parties those who follow each other in the order of the card stand for all as many.
    """
    others = {table.party for role, table in told.tables.items() if role != role_of(INPUT, 0)} | {told.roles["result"]}
    most = cards[0].adversary.corrupt

    def ordered(parties: set[PartyId]) -> tuple[PartyId, ...]:
        return tuple(party for party in told.parties if party in parties)

    inside = [ordered(others | each) for each in neighbours(told.computing, most)]
    outside = [ordered(each) for each in neighbours(told.computing, most + 1)]
    return (
        *(Coalition((party,)) for party in told.parties),
        *(Coalition(group) for group in dict.fromkeys(inside) if len(group) > 1),
        *(Coalition(group, beyond_model=True) for group in dict.fromkeys(outside)),
    )


def neighbours(parties: tuple[PartyId, ...], count: int) -> Iterator[set[PartyId]]:
    """So many parties that follow each other, the first after the last; all of them once."""
    if count >= len(parties):
        yield set(parties)
        return
    for start in range(len(parties)):
        yield {parties[(start + step) % len(parties)] for step in range(count)}


def rows_of(told: About) -> Iterator[Item]:
    """The rows of the matrix."""
    tables = tuple(told.tables.values())
    for table in tables:
        yield from table.items(frozenset(table.columns))
    yield from (table.size for table in tables)
    for table in tables:
        yield from (own for _, own in told.own(table))
    yield from (exact(each.name) for each in told.sums)
    yield from (leaves for _, leaves in told.leaving)
    yield from (released(each.name) for each in told.released)


def disclosure(told: About, cards: Mapping[str, Card]) -> Matrix:
    """The disclosure matrix under the card of the protocol, and that of disclosure control if it takes over."""
    used = cards_of(told, cards)
    learned = facts(told, used)
    columns = columns_of_matrix(told, used)
    known = {each.label: knowledge(told, used, learned, frozenset(each.parties)) for each in columns}
    return matrix_of(columns, rows_of(told), known)


def clear(spec: Spec, cards: Mapping[str, Card]) -> bool:
    """True if it can be said who plays which role of a card that this installation has."""
    protocol = pool_of(spec)
    if protocol not in POOLS or protocol not in cards:
        return False
    way, computing = POOLS[protocol], len(spec.computing)
    return (
        way.least <= computing <= way.most
        and spec.security.corrupt <= way.withstands(computing)
        and way.controlled == (effective(spec) is not None)
    )
