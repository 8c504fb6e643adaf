"""What a plan is about, for the second checker: parties and roles, tables, sums, and the columns of every message.

Read off the plan and its cards. Of the specification only the order of parties and of columns is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Final, TypeVar

from pets.check.algebra import Binding, Monomial, Words
from pets.check.labels import Item, column, meetings, noised, protected, shared_ids, size, tags
from pets.ids import PartyId
from pets.spec.banded import reads
from pets.spec.cards import Card
from pets.spec.handover import joined, placed, released_by
from pets.spec.ir import AddNoise, Derive, Factor, GaussianColumn, HelperJoin, Moment, Open, Plan, Protect, Read
from pets.spec.model import Spec
from pets.spec.predicate import columns_of
from pets.spec.repeated import BESIDE, many, own_of, role_of, shown, with_so_many
from pets.spec.term import OWN_COLUMNS

CELLS: Final = 2
"""Cells of role b's grouping that are expanded: all are alike, and two show whatever is used twice."""

Kind = TypeVar("Kind")


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
    crossed: frozenset[str] = frozenset()
    """Columns of a condition across tables: they travel masked, and decide only after the matching."""
    shared: bool = False
    """It is ``holder``'s part of a table of many holders."""

    @property
    def part(self) -> str:
        return f" of {self.holder}" if self.shared else ""

    @property
    def ids(self) -> Item:
        """Its identifiers in the form in which they travel."""
        return shared_ids(f"{self.dataset}.{self.key}{self.part}") if self.shared else tags(self.dataset, self.key)

    @property
    def size(self) -> Item:
        return size(f"{self.dataset}{self.part}")

    @property
    def masked(self) -> frozenset[str]:
        own = self.summed | self.crossed
        return own | self.groups | {self.key} if self.counted else own

    def items(self, names: Iterable[str]) -> Iterator[Item]:
        return (column(f"{self.dataset}.{name}{self.part}") for name in names)


@dataclass(frozen=True, slots=True)
class Meeting:
    """A table, with role a's: who is in both, and how many rows match. Its ``roles`` bring it."""

    roles: frozenset[str]
    sides: tuple[Side, ...]
    who: Item
    count: Item


@dataclass(frozen=True)
class Case:
    """A plan, taken apart: parties, roles, tables by role, sums by name with their columns, the table's columns."""

    parties: tuple[PartyId, ...]
    roles: Mapping[str, PartyId]
    sides: Mapping[str, Side]
    sums: Mapping[str, frozenset[Item]]
    outputs: Mapping[str, tuple[str, ...]]
    leaving: Mapping[str, Item]
    """What becomes of the sums that leave, with noise or under disclosure control, by their names."""
    ordered: Mapping[str, tuple[str, frozenset[Item]]]
    """Order statistics and models by name: a sum whose summands they are made of, and their columns."""
    by_cell: bool
    """What three parties compute on rows they compute cell by cell of both tables."""
    controlled: bool
    computed: bool
    """Three parties compute on rows before these are summed."""
    keyed: bool
    """They tell groups apart as well, and sum by cell."""
    join: Card
    release: Card
    words: Words
    columns: Mapping[str, tuple[Binding, ...]]
    """The columns of the plan, by the formulas that count them on the card."""
    names: Mapping[int, str]
    """The sum that a summed column belongs to."""
    shared: bool = False
    """Tables have any number of holders, of whom some stand for all."""
    enough: int = 0
    """Of Gaussian noise: how many parts of it cost no more than the plan says; of another law it is the card's word."""

    @property
    def three(self) -> tuple[str, ...]:
        """The roles that compute together."""
        return ("first", "second", "third") if self.shared else ("a", "b", "helper")

    @property
    def grouped(self) -> frozenset[str]:
        """The roles whose own cells the sums are made by."""
        return frozenset(role for role in self.sides if role == "a" or (self.shared and role.startswith("left")))

    @cached_property
    def meetings(self) -> tuple[Meeting, ...]:
        """Each table that is joined to the first, with what there is to learn of the two."""
        if self.shared:  # whatever matches is between all parts of both
            ((who, count),) = meetings(list(dict.fromkeys(side.dataset for side in self.sides.values())))
            return (Meeting(self.others, tuple(self.sides.values()), who, count),)
        found = meetings([side.dataset for side in self.sides.values()])
        first = self.sides["a"]
        return tuple(
            Meeting(frozenset({role}), (first, self.sides[role]), who, count)
            for role, (who, count) in zip((role for role in self.sides if role != "a"), found, strict=True)
        )

    @property
    def others(self) -> frozenset[str]:
        """The roles whose tables are joined to role a's."""
        return frozenset(self.sides) - {"a"}

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
        return self.enough or len(self.release.adversary.among) - self.release.adversary.corrupt


def case_of(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Case:
    """Take a plan apart. Of the specification only the order of parties and of columns is read."""
    reads = {step.out: step for step in plan.steps if isinstance(step, Read)}
    join, safe = _step(plan, HelperJoin), plan.protection
    opened, derive = _step(plan, Open), _step(plan, Derive)
    moments = safe.moments
    made, release = cards[join.card], cards[safe.card]
    held = _held(plan, opened.to)
    further = {role_of(BESIDE, number): each for number, each in enumerate(join.beside)}
    made = with_so_many(made, {role: sum(name.startswith(role) for name in (*held, *further)) for role in many(made)})
    if isinstance(safe, Protect):  # the shares go on: one list of messages, under one set of names
        made, release = joined(made, release), placed(made, release)
    else:
        release = released_by(made, release)
    of_a = [reads[join.a].factors[number] for number in join.factors_a]
    persons = any(factor.people or factor.together for factor in of_a)
    if held:
        sides = {role: replace(_side(read, spec, False), holder=who, shared=True) for role, (read, who) in held.items()}
        cast = dict(zip(("first", "second", "third"), (join.role_a, join.helper, join.role_b), strict=True))
        cast = {role: side.holder for role, side in sides.items()} | cast | {"result": opened.to}
    else:
        sides = {"a": _side(reads[join.a], spec, persons), "b": _side(reads[join.b], spec, False)}
        cast = {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": opened.to}
    for role, beside in further.items():
        sides[role], cast[role] = _side(reads[beside.read], spec, False), beside.role
    counted = [reads[join.a].factors[number].people for number in join.factors_a] if held else None
    bindings = _bindings(join, counted) | ({"r": ()} if isinstance(safe, Protect) else {})
    if join.rows is not None:
        bindings |= {"x": (), "z": (), "p": (), "v_m": (), "v_c" if join.keyed is not None else "v_k": ()}
    else:
        bindings |= {"v_c": (), "v_k": ()}
    in_order = safe.ordered if isinstance(safe, Protect) else ()
    models = safe.fits if isinstance(safe, Protect) else ()
    fitted = () if join.rows is None else join.rows.fits
    on_rows = {each.name: (moments[each.values].name, frozenset({column(str(each.column))})) for each in in_order}
    for each, fit in zip(models, fitted, strict=True):
        on_rows[each.name] = (moments[fit.y].name, frozenset(column(str(ref)) for ref in each.columns))
    shown = {each.moment for each in safe.shown} if isinstance(safe, Protect) else set(range(len(moments)))
    leaves = protected if isinstance(safe, Protect) else noised
    return Case(
        parties=tuple(PartyId(party.name) for party in spec.parties if not held or party.name in cast.values()),
        roles=cast,
        sides=sides,
        sums={
            moment.name: frozenset(
                item for role, side in sides.items() for item in side.items(_factor(moment, role).touches)
            )
            for moment in moments
        },
        outputs={
            each.name: (in_order[each.ordered].name,)
            if each.ordered is not None
            else (models[each.fit].name,)
            if each.fit is not None
            else tuple(moments[number].name for number in each.moments)
            for each in derive.outputs
        },
        leaving={moment.name: leaves(moment.name) for number, moment in enumerate(moments) if number in shown}
        | {name: leaves(name) for name in on_rows},
        ordered=on_rows,
        by_cell=bool(in_order or (join.rows is not None and join.rows.contributions)),
        controlled=isinstance(safe, Protect),
        computed=join.rows is not None,
        keyed=join.keyed is not None,
        join=made,
        release=release,
        words=Words(made, bindings, computed=join.rows is not None, keyed=join.keyed is not None),
        columns=bindings,
        names={at.index("summed"): moments[at.index("summed") // prod(_cells(join))].name for at in bindings["v"]},
        shared=bool(held),
        enough=_enough(safe),
    )


def _enough(safe: AddNoise | Protect) -> int:
    """How many parts of Gaussian noise are enough for every column; 0 if there is none."""
    columns = safe.columns if isinstance(safe, AddNoise) else ()
    return max((column.parts for column in columns if isinstance(column, GaussianColumn)), default=0)


def _factor(moment: Moment, role: str) -> Factor:
    """A role's factor of a sum; every holder of a part of a table has the table's."""
    if role.startswith(BESIDE):
        return moment.others[int(role.removeprefix(BESIDE)) - 1]
    return moment.a if role == "a" or role.startswith("left") else moment.b


def _held(plan: Plan, to: PartyId) -> dict[str, tuple[Read, PartyId]]:
    """Of tables of any number of holders: those who stand for all of them, by role, and what they read."""
    return {
        role_of(role, number): (read, party)
        for role, read in zip(("left", "right"), plan.reads, strict=False)
        if read.holders is not None
        for number, party in enumerate(shown(read.parties, to))
    }


def _step(plan: Plan, kind: type[Kind]) -> Kind:
    return next(step for step in plan.steps if isinstance(step, kind))


def _side(read: Read, spec: Spec, counted: bool) -> Side:
    key = read.columns[0]
    summed = frozenset(name for factor in read.factors for name in factor.touches)
    crossed = frozenset((*(c.column for c in read.compared), *(n for test in read.tests for n in columns_of(test))))
    groups = frozenset(name for dimension in read.dimensions for name in reads(dimension.column))
    filters = frozenset(columns_of(read.where)) if read.where is not None else frozenset()
    used = {key, *summed, *groups, *filters, *crossed}
    names = tuple(name for name in spec.dataset(read.dataset).columns if name in used)
    return Side(read.dataset, read.parties[0], key, names, summed, groups, filters, counted, crossed)


def _cells(join: HelperJoin) -> tuple[int, ...]:
    """Cells of role b, and of each further one, that are expanded."""
    return min(CELLS, join.brought_cells), *(min(CELLS, each.cells) for each in join.beside)


def _bindings(join: HelperJoin, counted: Sequence[bool] | None = None) -> dict[str, tuple[Binding, ...]]:
    """The columns of the plan, by the formulas that count them on the card.

    ``counted``: under shared_join, for each factor of a whether it tells a person's first row, which no values do.
    """
    cells, *of_others = _cells(join)
    more = join.parameter("v_g") - len(join.gathered) * join.brought_cells
    summed: list[Binding] = []
    copies = cells * prod(of_others)
    for each, number in product(join.summed, range(copies)):
        cell = number // prod(of_others)
        factor = None if each.a is None or (counted is not None and counted[each.a]) else each.a
        place = None if factor is None else sum(at.product is not None for at in summed)
        summed.append(Binding(each.gathered * cells + cell, factor, place, len(summed)))
    products = tuple(at for at in summed if at.product is not None)
    return {
        "1": (Binding(),),
        "v_g": tuple(Binding(gathered=number) for number in range(len(join.gathered) * cells + more)),
        "x": tuple(
            Binding(factor=number) for number in range(len(join.factors_a)) if counted is None or not counted[number]
        ),
        "words": tuple(Binding(word=number) for number in range(2)),
        "ends": (Binding(end=0),),
        "z": tuple(Binding(gathered=number) for number in sorted({at.index("gathered") for at in products})),
        "p": products,
        "v": tuple(summed),
        "r": tuple(summed),
        "v_t": tuple(
            Binding(gathered=number * cells + cell)
            for number in range(len(join.gathered))
            if number not in join.ones
            for cell in range(cells)
        )
        + tuple(Binding(gathered=len(join.gathered) * cells + number) for number in range(more)),
        "checks": (Binding(check=0),),
        "v_m": tuple(summed),
        "v_c": tuple(summed),
        "v_k": tuple(summed),
    } | {
        own_of(OWN_COLUMNS, role_of(BESIDE, place)): tuple(
            Binding(gathered=number * of_d + cell)
            for number in range(len(each.gathered))
            if number not in each.ones
            for cell in range(of_d)
        )
        + tuple(
            Binding(gathered=len(each.gathered) * of_d + number)
            for number in range(each.brought - len(each.gathered) * each.cells)
        )
        for place, (each, of_d) in enumerate(zip(join.beside, of_others, strict=True))
    }
