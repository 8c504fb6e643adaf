"""What a plan is about, for the second checker: parties and roles, tables, sums, and the columns of every message.

Read off the plan and its cards. Of the specification only the order of parties and of columns is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Final, TypeVar

from pets.check.algebra import Binding, Monomial, Words
from pets.check.labels import Item, column, meetings, noised, protected
from pets.ids import PartyId
from pets.spec.banded import reads
from pets.spec.cards import Card
from pets.spec.handover import joined, placed
from pets.spec.ir import Derive, HelperJoin, Open, Plan, Protect, Read
from pets.spec.model import Spec
from pets.spec.predicate import columns_of

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

    @property
    def masked(self) -> frozenset[str]:
        own = self.summed | self.crossed
        return own | self.groups | {self.key} if self.counted else own

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

    @cached_property
    def meetings(self) -> Mapping[str, tuple[Item, Item]]:
        """For each role whose table is joined to role a's: who is in both, and how many rows match."""
        others = [role for role in self.sides if role != "a"]
        found = meetings([side.dataset for side in self.sides.values()])
        return dict(zip(others, found, strict=True))

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
    join, safe = _step(plan, HelperJoin), plan.protection
    opened, derive = _step(plan, Open), _step(plan, Derive)
    moments = safe.moments
    made, release = cards[join.card], cards[safe.card]
    if isinstance(safe, Protect):  # the shares go on: one list of messages, under one set of names
        made, release = joined(made, release), placed(made, release)
    of_a = [reads[join.a].factors[number] for number in join.factors_a]
    persons = any(factor.people or factor.together for factor in of_a)
    sides = {"a": _side(reads[join.a], spec, persons), "b": _side(reads[join.b], spec, False)}
    roles = {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": opened.to}
    if join.third is not None:
        sides["d"], roles["d"] = _side(reads[join.third.read], spec, False), join.third.role
    bindings = _bindings(join) | ({"r": ()} if isinstance(safe, Protect) else {})
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
        parties=tuple(PartyId(party.name) for party in spec.parties),
        roles=roles,
        sides=sides,
        sums={
            moment.name: frozenset(
                item
                for side, factor in zip(sides.values(), moment.factors, strict=True)
                for item in side.items(factor.touches)
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
    )


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
    return Side(read.dataset, read.party, key, names, summed, groups, filters, counted, crossed)


def _cells(join: HelperJoin) -> tuple[int, int]:
    """Cells of role b, and of role d, that are expanded."""
    return min(CELLS, join.brought_cells), min(CELLS, join.d_cells)


def _bindings(join: HelperJoin) -> dict[str, tuple[Binding, ...]]:
    """The columns of the plan, by the formulas that count them on the card."""
    cells, of_d = _cells(join)
    more = join.parameter("v_g") - len(join.gathered) * join.brought_cells
    third = join.third
    summed: list[Binding] = []
    for each, cell, _ in product(join.summed, range(cells), range(of_d)):
        factor = None if each.a is None else each.a
        place = None if each.a is None else sum(at.product is not None for at in summed)
        summed.append(Binding(each.gathered * cells + cell, factor, place, len(summed)))
    products = tuple(at for at in summed if at.product is not None)
    return {
        "1": (Binding(),),
        "v_g": tuple(Binding(gathered=number) for number in range(len(join.gathered) * cells + more)),
        "x": tuple(Binding(factor=number) for number in range(len(join.factors_a))),
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
        "d_t": tuple(
            Binding(gathered=number * of_d + cell)
            for number in range(0 if third is None else len(third.gathered))
            if third is not None and number not in third.ones
            for cell in range(of_d)
        ),
        "checks": (Binding(check=0),),
        "v_m": tuple(summed),
        "v_c": tuple(summed),
        "v_k": tuple(summed),
    }
