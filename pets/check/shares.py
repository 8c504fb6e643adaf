"""The second checker of programs: what any coalition can conclude from the shares that its members see.

Written from docs/rules/programs.md alone, beside the first (``check/executed.py``), with which it shares the words of
``labels.py`` and no rule. The first believes what the card says that somebody ``learns``, who is corrupt and what comes
out. This one believes none of it: it takes the card's streams, which say what every frame is made of, counts how many
shares of one number a coalition sees, and asks whether so many points determine a polynomial of the degree that the
card states (rules G1 to G7). Both must come to the same matrix; ``plan/review.py`` refuses a specification on which
they do not.

What is taken for granted: shares are of fresh polynomials over a prime field, every party follows the protocol, and the
program's process sends nothing but what its runtime sends (party/mpyc_runtime.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from pets.check.concluded import Marks, concluded, terms_of
from pets.check.labels import Coalition, Item, Mark, Verdict, column, released, size
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.ir import Open, Plan, Read
from pets.spec.model import Spec
from pets.spec.predicate import columns_of
from pets.spec.streams import Stream

SHOWN: Final = 4
"""With more who compute, neighbours in their order stand for all sets of a size (G7)."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The plan of a program, as this checker looks at it. ``among``: sharings between those who compute; ``out``: those
    that the client of ``to`` gets shares of, one from each of them.
    """

    parties: tuple[PartyId, ...]
    members: tuple[PartyId, ...]
    to: PartyId
    among: tuple[int, ...]
    out: tuple[int, ...]
    brought: Mapping[Item, PartyId]
    """Columns that go in, and who holds them: one or more."""
    deciding: Mapping[Item, PartyId]
    """Columns that only decide which rows go in."""
    kept: Mapping[Item, PartyId]
    sizes: tuple[Item, ...]
    results: tuple[Item, ...]

    @property
    def least(self) -> int:
        """The degree of the weakest sharing."""
        return min((*self.among, *self.out))


def ring_of(plan: Plan, spec: Spec, card: Card) -> Ring:
    """Raises: ValueError if a stream of the card is none that a rule is about, or no column goes in."""
    step = plan.program
    if step is None:
        raise ValueError("no program")
    numbers = card.names(dict(step.public))
    members = tuple(party for _, party in step.roles)
    many = {role for role, what in card.roles.items() if "many" in what.split(", ")}
    degrees: dict[bool, list[int]] = {True: [], False: []}
    for stream in card.streams:
        degrees[bool(stream.to)].append(_degree(stream, many, numbers))
    if not degrees[False] or not degrees[True] or card.messages or card.operations:
        raise ValueError("a program's card has streams among those who compute, one to the result party, and no more")
    brought: dict[Item, PartyId] = {}
    deciding: dict[Item, PartyId] = {}
    kept: dict[Item, PartyId] = {}
    for read in plan.reads:
        looked = {read.columns[0], *(columns_of(read.where) if read.where is not None else ())}
        inside = {name for _, of, name in step.columns if of == read.out}
        for item, holder, name in _columns(read, spec):
            group = brought if name in inside else deciding if name in looked else kept
            group[item] = holder
    if not brought:  # whoever has all of nothing would have what the program gives
        raise ValueError("a program of no column")
    to = next(each.to for each in plan.steps if isinstance(each, Open))
    return Ring(
        tuple(PartyId(party.name) for party in spec.parties),
        members,
        to,
        tuple(degrees[False]),
        tuple(degrees[True]),
        brought,
        deciding,
        kept,
        tuple(dict.fromkeys(size(read.dataset) for read in plan.reads)),
        tuple(released(each.name) for each in step.terms.outputs),
    )


def _degree(stream: Stream, many: set[str], numbers: Mapping[str, int]) -> int:
    if stream.element != "share" or stream.among not in many:
        raise ValueError(f"{stream.label} is no stream of shares among many")
    return stream.degree.evaluate(numbers)


def _columns(read: Read, spec: Spec) -> Iterator[tuple[Item, PartyId, str]]:
    for holder in read.parties:
        for name in spec.dataset(read.dataset).columns:
            of = "" if read.holders is None else f" of {holder}"
            yield column(f"{read.dataset}.{name}{of}"), holder, name


# -- from shares to marks ---------------------------------------------------------------------------------------------


def marks_of(ring: Ring, coalition: frozenset[PartyId]) -> Marks:
    """Rules G1 to G6: a mark for every item that a coalition has to do with."""
    seen = len(coalition & set(ring.members))
    marks: Marks = dict.fromkeys(ring.sizes, Mark.SIZE)  # G1
    if seen:  # G2
        marks |= dict.fromkeys((*ring.brought, *ring.results), Mark.HELD)
    if any(seen > degree for degree in ring.among):  # G3: also all parts of every mask, which so many have keys of
        marks |= dict.fromkeys(ring.brought, Mark.VISIBLE)
    for group in (ring.brought, ring.deciding, ring.kept):  # G4
        marks |= {item: Mark.VISIBLE for item, holder in group.items() if holder in coalition}
    opens = [len(ring.members) > degree for degree in ring.out]  # G5: the client has a share from each of them
    handed = ring.to in coalition and all(opens)
    rebuilt = any(seen > degree for degree in ring.out)
    computed = all(marks.get(item) is Mark.VISIBLE for item in ring.brought)
    if handed or rebuilt or computed:
        told = (*ring.results, *(item for item in (*ring.brought, *ring.deciding)))  # G6
        marks |= {item: Mark.PROGRAM for item in told if marks.get(item, Mark.NEVER).rank < Mark.PROGRAM.rank}
    return marks


def columns_of_matrix(ring: Ring) -> Iterator[Coalition]:
    """G7: each party, sets of those who compute that no sharing gives in to, alone and with the result party, and the
    smallest that one gives in to.
    """
    yield from (Coalition((party,)) for party in ring.parties)
    larger: dict[tuple[PartyId, ...], None] = {}
    for count in range(1, ring.least + 1):
        for each in _sets(ring.members, count, last=count == ring.least):
            for joined in (each, each if ring.to in ring.members else (*each, ring.to)):
                larger |= {joined: None} if len(joined) > 1 else {}
    yield from (Coalition(_ordered(ring, each)) for each in larger)
    for each in _sets(ring.members, ring.least + 1, last=True):
        yield Coalition(_ordered(ring, each), beyond_model=True)


def _sets(members: Sequence[PartyId], count: int, *, last: bool) -> Iterator[tuple[PartyId, ...]]:
    if len(members) <= SHOWN:
        yield from combinations(members, count)
    elif last:
        for first in range(len(members)):
            yield tuple(members[(first + step) % len(members)] for step in range(count))


def _ordered(ring: Ring, parties: tuple[PartyId, ...]) -> tuple[PartyId, ...]:
    return tuple(party for party in ring.parties if party in parties)


# -- the judgement ----------------------------------------------------------------------------------------------------


def judge(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
    """Judge the plan of a program: its matrix, and a finding for all that a coalition works out undeclared.

    Raises: InternalError plan.terms if a card's streams are none that a rule is about.
    """
    step = plan.program
    with terms_of("none" if step is None else step.card):
        if step is None:
            raise ValueError("no program")
        ring = ring_of(plan, spec, cards[step.card])
    known = {each: marks_of(ring, frozenset(each.parties)) for each in columns_of_matrix(ring)}
    items = _items(ring, plan, spec)
    return concluded(
        known, items, lambda parties: _allowed(ring, spec, parties), otherwise="name fewer corrupt parties"
    )


def _items(ring: Ring, plan: Plan, spec: Spec) -> Iterator[Item]:
    """The rows of the matrix."""
    for read in plan.reads:
        yield from (item for item, _, _ in _columns(read, spec))
    yield from ring.sizes
    yield from ring.results


def _allowed(ring: Ring, spec: Spec, parties: frozenset[PartyId]) -> Marks:
    """What a coalition may know: its own columns, the release to it with what that tells, what is declared to it."""
    allowed: Marks = {}
    for group in (ring.brought, ring.deciding, ring.kept):
        allowed |= {item: Mark.VISIBLE for item, holder in group.items() if holder in parties}
    if parties & set(map(PartyId, spec.release.to)) or all(allowed.get(item) for item in ring.brought):
        told = (*ring.results, *ring.brought, *ring.deciding)
        allowed |= {item: Mark.PROGRAM for item in told if item not in allowed}
    for entry in spec.security.leakage:
        if entry.item == "row_count" and (entry.learner == EVERYONE or PartyId(entry.learner) in parties):
            allowed |= {size(name): Mark.SIZE for name in entry.of}
    return allowed
