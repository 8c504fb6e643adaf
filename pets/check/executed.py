"""Who learns what of a program for MPyC: read off the card, held against what is declared. The counterpart of flow.py.

Nothing here looks into the program. What it releases is whatever its text makes of the columns that go in, so whoever
gets its outputs may see of these columns what the outputs tell (mark P), and approvers read the text. What else anybody
learns is on the card: its ``learns``, its ``outputs``, and who holds shares. The second checker, which asks how many
shares a coalition sees and of which degree, is shares.py.

How a coalition's knowledge comes about, strongest first:

    own records                               V  of the columns that its members hold
    more parties that compute than t          V  of every column that goes in
    the outputs                               P  of the outputs, of columns that go in, of ids and columns that WHERE
                                                 looks at, since these decide which rows go in
    ``learns`` of everyone                    S  of the declared sizes
    a share, of who computes                  H  of the columns that go in, and of the outputs
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from pets.check.coalitions import matrix_of
from pets.check.labels import Coalition, Fact, Grade, Item, Mark, Matrix, column, released, size
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.ir import Open, Plan
from pets.spec.joins import PROGRAM
from pets.spec.model import Spec
from pets.spec.predicate import columns_of
from pets.spec.programmed import Programmed, words_of

FEW: Final = 4
"""Up to so many who compute, all sets of them have a column; of more, neighbours in their order stand for all."""

MEMBER: Final = "party"
"""The role of the card that all who compute play."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What one holder brings of a dataset. ``told``: columns that go in; ``chosen``: ids, and what WHERE looks at."""

    dataset: str
    holder: PartyId
    several: bool
    columns: tuple[str, ...]
    told: frozenset[str]
    chosen: frozenset[str]

    def items(self, names: Iterable[str]) -> Iterator[Item]:
        of = f" of {self.holder}" if self.several else ""
        wanted = frozenset(names)
        return (column(f"{self.dataset}.{name}{of}") for name in self.columns if name in wanted)

    @property
    def size(self) -> Item:
        return size(self.dataset)


@dataclass(frozen=True, slots=True)
class About:
    """All that the matrix depends on. ``numbers``: the card's public numbers."""

    parties: tuple[PartyId, ...]
    computing: tuple[PartyId, ...]
    result: PartyId
    brought: tuple[Brought, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, int]

    @property
    def released(self) -> tuple[Item, ...]:
        return tuple(map(released, self.outputs))

    def within(self, card: Card, coalition: frozenset[PartyId]) -> bool:
        """True if the card stands for its promise against this coalition."""
        return len(coalition & set(self.computing)) <= withstood(card, self.numbers)


def withstood(card: Card, numbers: Mapping[str, int]) -> int:
    """How many who compute may put together what they see."""
    threshold = card.adversary.threshold
    return card.adversary.corrupt if threshold is None else threshold.evaluate({MEMBER: numbers["m"]})


def about(spec: Spec, asked: Programmed) -> About:
    """Read it off a specification."""
    brought = []
    for name in asked.tables:
        table, where = spec.dataset(name), asked.where(name)
        told = frozenset(ref.column for _, ref in asked.columns if ref.dataset == name)
        chosen = frozenset({table.key, *(columns_of(where) if where is not None else ())})
        brought += [
            Brought(name, holder, table.several, tuple(table.columns), told, chosen) for holder in spec.holders(name)
        ]
    terms = asked.terms
    return About(
        tuple(PartyId(party.name) for party in spec.parties),
        terms.parties,
        spec.result_party,
        tuple(brought),
        tuple(each.name for each in terms.outputs),
        {"m": len(terms.parties), "w": words_of(terms)},
    )


def about_plan(plan: Plan, spec: Spec) -> About:
    """Read it off a plan; of the specification only the order of parties and columns."""
    step = plan.program
    assert step is not None
    brought = []
    for read in plan.reads:
        told = frozenset(name for _, of, name in step.columns if of == read.out)
        chosen = frozenset({read.columns[0], *(columns_of(read.where) if read.where is not None else ())})
        columns = tuple(spec.dataset(read.dataset).columns)
        brought += [
            Brought(read.dataset, holder, read.holders is not None, columns, told, chosen) for holder in read.parties
        ]
    return About(
        tuple(PartyId(party.name) for party in spec.parties),
        step.terms.parties,
        next(each.to for each in plan.steps if isinstance(each, Open)),
        tuple(brought),
        tuple(each.name for each in step.terms.outputs),
        {name: step.parameter(name) for name in ("m", "w")},
    )


# -- facts and knowledge ----------------------------------------------------------------------------------------------


def facts(told: About, card: Card) -> tuple[Fact, ...]:
    """What the card says that somebody learns by itself, and what its roles get out."""
    found: list[Fact] = []
    for entry in card.learns:
        if entry.who == (EVERYONE,) and entry.item == "row_count":
            sizes = dict.fromkeys(each.size for each in told.brought)
            found += (Fact(frozenset({party}), item, Grade(entry.grade)) for party in told.parties for item in sizes)
        elif not (entry.who == (MEMBER,) and entry.item == "inputs" and entry.beyond_model):
            raise ValueError(f"a card of programs speaks of {entry.item}, which is nothing that this checker knows")
    for output in card.outputs:
        if (output.role, output.item) != ("result", "outputs"):
            raise ValueError(f"a card of programs gives out {output.item}, which is nothing that this checker knows")
        found += (Fact(frozenset({told.result}), item, Grade.PROGRAM) for item in told.released)
    return tuple(found)


def declared(told: About, spec: Spec) -> tuple[Fact, ...]:
    """What the specification says that somebody learns: outputs for whom they are released to, the leakage it lists."""
    found = [
        Fact(frozenset({PartyId(name)}), item, Grade.PROGRAM) for name in spec.release.to for item in told.released
    ]
    for entry in spec.security.leakage:
        if entry.item == "row_count" and entry.extent == "exact":
            learners = told.parties if entry.learner == EVERYONE else (PartyId(entry.learner),)
            items = dict.fromkeys(each.size for each in told.brought if each.dataset in entry.of)
            found += (Fact(frozenset({learner}), item, Grade.SIZE) for learner in learners for item in items)
    return tuple(found)


def knowledge(told: About, card: Card, learned: tuple[Fact, ...], coalition: frozenset[PartyId]) -> dict[Item, Mark]:
    """What a coalition knows of every value, given ``learned``. Adding a party or a fact never lowers a mark."""
    marks: dict[Item, Mark] = {}

    def raise_to(items: Iterable[Item], mark: Mark) -> None:
        for item in items:
            if mark.rank > marks.get(item, Mark.NEVER).rank:
                marks[item] = mark

    together = any(entry.item == "inputs" and entry.who == (MEMBER,) for entry in card.learns)
    for each in told.brought:
        if card.streams and coalition & set(told.computing):
            raise_to(each.items(each.told), Mark.HELD)
        if together and not told.within(card, coalition):
            raise_to(each.items(each.told), Mark.VISIBLE)
        if each.holder in coalition:
            raise_to(each.items(each.columns), Mark.VISIBLE)
    if card.streams and coalition & set(told.computing):
        raise_to(told.released, Mark.HELD)
    for fact in learned:
        if fact.learner <= coalition:
            raise_to((fact.item,), fact.grade.mark)
    inputs = [item for each in told.brought for item in each.items(each.told)]
    if inputs and all(marks.get(item) is Mark.VISIBLE for item in inputs):  # then the program can be run on them
        raise_to(told.released, Mark.PROGRAM)
    if any(marks.get(item) is Mark.PROGRAM for item in told.released):
        for each in told.brought:
            raise_to(each.items(each.told | each.chosen), Mark.PROGRAM)
    return marks


# -- the matrix -------------------------------------------------------------------------------------------------------


def rows_of(told: About) -> Iterator[Item]:
    """The rows of the matrix."""
    for each in told.brought:
        yield from each.items(each.columns)
    yield from dict.fromkeys(each.size for each in told.brought)
    yield from told.released


def coalitions(told: About, card: Card) -> tuple[Coalition, ...]:
    """The columns: each party alone, larger sets within the model, and the smallest that are beyond it."""
    t = withstood(card, told.numbers)
    inside = [each for count in range(1, t + 1) for each in sets_of(told.computing, count, alone=count == t)]
    apart = () if told.result in told.computing else (told.result,)
    within = [(*each, *more) for each in inside for more in ((), apart) if len(each) + len(more) > 1]
    beyond = sets_of(told.computing, t + 1, alone=True)
    return (
        *(Coalition((party,)) for party in told.parties),
        *(Coalition(_sorted(each, told)) for each in dict.fromkeys(within)),
        *(Coalition(_sorted(each, told), beyond_model=True) for each in beyond),
    )


def sets_of(parties: Sequence[PartyId], count: int, *, alone: bool) -> list[tuple[PartyId, ...]]:
    """Sets of so many. Of more than a few parties neighbours in a ring stand for all, and only where ``alone``."""
    if len(parties) <= FEW:
        return list(combinations(parties, count))
    ring = (*parties, *parties)
    return [ring[at : at + count] for at in range(len(parties))] if alone else []


def _sorted(parties: Iterable[PartyId], told: About) -> tuple[PartyId, ...]:
    return tuple(sorted(parties, key=told.parties.index))


def disclosure(told: About, cards: Mapping[str, Card]) -> Matrix:
    """The disclosure matrix under the card of programs."""
    card = cards[PROGRAM]
    learned, columns = facts(told, card), coalitions(told, card)
    known = {each.label: knowledge(told, card, learned, frozenset(each.parties)) for each in columns}
    return matrix_of(columns, rows_of(told), known)
