"""What a disclosure is about: who plays which role, what each table brings and for what, what is summed and released.

A ``Subject`` is all that the first checker's matrix depends on. ``of`` reads it off a specification and its query;
``plan/recheck.py`` makes one of a plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pets.check import labels, rules
from pets.check.labels import Item, column, noised, protected
from pets.ids import PartyId
from pets.spec import moments as taken_apart
from pets.spec.banded import reads
from pets.spec.cards import Card
from pets.spec.control import effective
from pets.spec.handover import joined, placed, released_by
from pets.spec.ir import Factor
from pets.spec.model import Spec
from pets.spec.protected import held_sums
from pets.spec.protected import protected as guarded
from pets.spec.query import FITTED, ORDER, Aggregate, ColumnRef, Query
from pets.spec.repeated import BESIDE, many, role_of, shown, with_so_many

SHARED_ROLES: Final = ("first", "second", "third")
"""Who computes where tables have any number of holders."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one side brings. ``columns`` in the order of the specification, the others are subsets of it.

    ``counted``: which of a person's rows is the first of its cell is multiplied: key and groups travel masked, too.
    ``crossed``: columns in a condition across tables: they travel masked, and decide only after the matching.
    """

    dataset: str
    party: PartyId
    key: str
    columns: tuple[str, ...]
    values: frozenset[str]
    groups: frozenset[str]
    filters: frozenset[str]
    counted: bool
    crossed: frozenset[str] = frozenset()
    shared: bool = False
    """A part of a table of many holders: ``party``'s own."""

    @property
    def part(self) -> str:
        """What tells the parts of a table of many holders apart."""
        return f" of {self.party}" if self.shared else ""

    def item(self, name: str) -> Item:
        return column(f"{ColumnRef(self.dataset, name)}{self.part}")

    @property
    def masked(self) -> frozenset[str]:
        """Columns that are in what travels masked as this side's values."""
        own = self.values | self.crossed
        return own | self.groups | {self.key} if self.counted else own

    def items(self, names: frozenset[str]) -> Iterator[Item]:
        return (self.item(name) for name in self.columns if name in names)

    @property
    def tags(self) -> Item:
        if self.shared:
            return labels.shared_ids(f"{self.dataset}.{self.key}{self.part}")
        return labels.tags(self.dataset, self.key)

    @property
    def size(self) -> Item:
        return labels.size(f"{self.dataset}{self.part}")


@dataclass(frozen=True, slots=True)
class Sum:
    """A moment: its name and the measures in it. ``shown``: it leaves; else it is only held against a minimum.

    ``ordered``: no moment but an order statistic or a model, and the name of the moment whose summands are put in order
    or fitted for it: who has that moment exactly, which nobody in the model has, has had all its summands.
    """

    name: str
    columns: frozenset[ColumnRef]
    shown: bool = True
    ordered: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """A column of the table: the moments it is derived from, or none for a grouping column."""

    name: str
    sums: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """All that the matrix depends on. ``parties`` in party order; ``roles`` of the join's card; ``tables`` by role.

    ``products``: a sum needs more of role a's rows than their number, so that something of it is multiplied.
    ``controlled``: sums leave under disclosure control; else with noise. ``computed``: rows are computed on by three
    parties, because a condition needs both tables, or cell by cell (``by_cell``), because values are put in order.
    ``keyed``: they tell groups apart, role a's too, and sum by cell.
    """

    parties: tuple[PartyId, ...]
    roles: Mapping[str, PartyId]
    tables: Mapping[str, Table]
    sums: tuple[Sum, ...]
    released: tuple[Released, ...]
    products: bool
    controlled: bool = False
    computed: bool = False
    keyed: bool = False
    by_cell: bool = False
    shared: bool = False
    """The tables have any number of holders, of whom some stand for all, and the three that compute hold nothing."""

    @property
    def three(self) -> tuple[PartyId, ...]:
        """Those who compute together."""
        return tuple(self.roles[role] for role in (SHARED_ROLES if self.shared else ("a", "b", "helper")))

    @property
    def meetings(self) -> tuple[tuple[tuple[Table, ...], Item, Item], ...]:
        """Role a's table with each other one: who is in both, and how many rows match."""
        tables = tuple(self.tables.values())
        found = labels.meetings(list(dict.fromkeys(table.dataset for table in tables)))
        if self.shared:
            return tuple((tables, *items) for items in found)
        return tuple(((tables[0], other), *items) for other, items in zip(tables[1:], found, strict=True))

    @property
    def absent(self) -> frozenset[str]:
        """Numbers of columns on the join's card that are zero: messages that are not sent."""
        if self.shared:
            return frozenset() if self.products else frozenset({"x"})
        if self.computed:
            return frozenset({"x", "z", "p", "v_m", "v_c" if self.keyed else "v_k"})
        return frozenset({"v_c", "v_k"}) if self.products else frozenset({"x", "z", "p", "v_c", "v_k"})

    @property
    def moments(self) -> tuple[Sum, ...]:
        """The sums that are sums: not what is computed on rows."""
        return tuple(each for each in self.sums if not each.ordered)

    @property
    def leaving(self) -> tuple[tuple[str, Item], ...]:
        """What leaves: the name of each sum that does, and the item that it is then."""
        make = protected if self.controlled else noised
        return tuple((each.name, make(each.name)) for each in self.sums if each.shown)


def of(spec: Spec, query: Query) -> Subject:
    """Read the subject off a specification. Raises: SpecError if nobody can say who is the helper."""
    roles = taken_apart.roles(spec, query)
    control, asked = effective(spec), taken_apart.moments(query, spec)
    parts = asked if control is None else guarded(query, spec, control).moments
    sums = tuple(
        Sum(
            m.name,
            frozenset(
                ColumnRef(table, name)
                for table, factor in zip(query.tables, m.factors, strict=True)
                for name in factor.touches
            ),
            m.name in {each.name for each in asked},
        )
        for m in parts
    )
    sums += tuple(
        Sum(
            taken_apart.order_name(what),
            frozenset(what.columns),
            ordered=taken_apart.values_of(what, query, spec).name,
        )
        for what in query.ordered
    )
    sums += tuple(
        Sum(
            taken_apart.fit_name(what),
            frozenset(what.columns),
            ordered=taken_apart.products_of(what, query, spec, what.columns[:1]).name,
        )
        for what in query.fitted
    )
    held = control is not None and bool(held_sums(query, spec, control))
    of_a = [moment.of(roles.a_side) for moment in parts]
    if roles.shared:
        return _shared_subject(spec, query, roles, sums, of_a)
    sides = {role: taken_apart.table_of(query, side) for role, side in roles.sides.items()}
    by_person = any(factor.people or factor.together for factor in of_a)
    counted = spec.dataset(sides["a"]).max_rows_per_person > 1 and by_person
    tables = {role: _table(spec, query, name, sums, role == "a" and counted) for role, name in sides.items()}
    names = {output.name: moments for output, moments in taken_apart.statistics(query, spec)}
    return Subject(
        parties=tuple(PartyId(party.name) for party in spec.parties),
        roles={"a": roles.a, "b": roles.b, "helper": roles.helper, "result": roles.result}
        | {role_of(BESIDE, number): party for number, party in enumerate(roles.ds)},
        tables=tables,
        sums=sums,
        released=_released(query, names),
        products=counted or any(factor.narrowed for factor in of_a),
        controlled=control is not None,
        computed=query.by_rows or held or taken_apart.keyed(query, spec, roles),
        keyed=taken_apart.keyed(query, spec, roles),
        by_cell=bool(query.ordered) or held,
    )


def _released(query: Query, names: Mapping[str, tuple[str, ...]]) -> tuple[Released, ...]:
    return tuple(
        Released(output.name, _made_of(output.what, names[output.name]) if isinstance(output.what, Aggregate) else ())
        for output in query.outputs
    )


def _shared_subject(
    spec: Spec, query: Query, roles: taken_apart.Roles, sums: tuple[Sum, ...], of_a: list[Factor]
) -> Subject:
    """The subject of a join of tables of any number of holders: of each table some stand for all."""
    sides = {"left": roles.a_side, "right": roles.b_side}
    tables: dict[str, Table] = {}
    for role, side in sides.items():
        name = taken_apart.table_of(query, side)
        one = _table(spec, query, name, sums, False)
        for number, party in enumerate(shown(spec.holders(name), roles.result)):
            tables[role_of(role, number)] = replace(one, party=party, shared=True)
    cast = {role: table.party for role, table in tables.items()}
    cast |= dict(zip(SHARED_ROLES, (roles.a, roles.helper, roles.b), strict=True)) | {"result": roles.result}
    return Subject(
        parties=tuple(PartyId(party.name) for party in spec.parties if party.name in cast.values()),
        roles=cast,
        tables=tables,
        sums=sums,
        released=_released(query, {output.name: m for output, m in taken_apart.statistics(query, spec)}),
        products=any(not factor.people and factor.narrowed for factor in of_a),
        controlled=effective(spec) is not None,
        shared=True,
    )


def join_card(card: Card, about: Subject) -> Card:
    """The card of the join with as many parties of each role as the subject has."""
    return with_so_many(card, {role: sum(name.startswith(role) for name in about.tables) for role in many(card)})


def cards_of(join: Card, safe: Card) -> tuple[Card, Card]:
    """The cards of a run in one set of roles: where disclosure control takes over, the join ends with its messages."""
    if safe.takes_over is None:
        return join, released_by(join, safe)
    return joined(join, safe), placed(join, safe)


def _made_of(what: Aggregate, moments: tuple[str, ...]) -> tuple[str, ...]:
    """What a statistic of the table is derived from: sums, an order statistic as it is, or a model."""
    if what.statistic in FITTED:
        return (taken_apart.fit_name(what),)
    return (taken_apart.order_name(what),) if what.statistic in ORDER else moments


def _table(spec: Spec, query: Query, dataset: str, sums: tuple[Sum, ...], counted: bool) -> Table:
    table = spec.dataset(dataset)
    party = min(table.parties) if table.several else table.party
    values = frozenset(ref.column for each in sums for ref in each.columns if ref.dataset == dataset)
    groups = frozenset(name for ref in query.group_by if ref.dataset == dataset for name in reads(ref))
    filters, crossed = rules.filters(query, dataset, alone=True), rules.crossed(query, dataset)
    used = {table.key, *values, *groups, *filters, *crossed}
    return Table(
        dataset=dataset,
        party=party,
        key=table.key,
        columns=tuple(name for name in table.columns if name in used),
        values=values,
        groups=groups,
        filters=filters,
        counted=counted,
        crossed=crossed,
    )
