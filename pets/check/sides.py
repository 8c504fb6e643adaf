"""What the plan of an intersection is about, for its second checker: sides, parties, roles, messages with their terms.

Read off the plan and its card. Of the specification only the order of parties, and the columns of datasets, are read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pets.check.labels import MATCHES, MEMBERSHIP, Item, column, noised, protected, released, size, tags
from pets.check.matched import NAMES
from pets.ids import PartyId
from pets.spec.cards import Adversary, Card, Key, Message, Shared
from pets.spec.ir import Match, Open, Plan, Read
from pets.spec.model import Spec
from pets.spec.predicate import columns_of
from pets.spec.program import Program
from pets.spec.term import Call, Sum, Term, kinds_of

ENOUGH: Final = Item("enough", "whether enough persons are in both")
"""No row of the matrix: it is the outcome of a threshold."""

TOLD: Final[Mapping[str, Item]] = {
    "intersection": MEMBERSHIP,
    "cardinality": MATCHES,
    "threshold": ENOUGH,
    "sum": MATCHES,
}
"""What an outcome is made of; of sums by group the numbers of persons, beside the sums."""


@dataclass(frozen=True, slots=True)
class Side:
    """A dataset of the two, and who brings it, in which role. ``groups``: columns by which persons are in groups."""

    dataset: str
    role: str
    holder: PartyId
    key: str
    columns: tuple[str, ...]
    filters: frozenset[str]
    groups: tuple[str, ...] = ()

    @property
    def ids(self) -> Item:
        return tags(self.dataset, self.key)

    @property
    def size(self) -> Item:
        return size(self.dataset)

    @property
    def places(self) -> Item:
        """In which rows of it persons lie. No row of the matrix: nobody but its holder may know."""
        return Item("places", f"in which rows of {self.dataset} persons are")

    @property
    def own(self) -> tuple[Item, ...]:
        return (*self.items(self.columns), self.ids, self.places)

    @property
    def who(self) -> tuple[Item, ...]:
        """What who is in it, or is among some, tells of: its persons, and that they passed the filter."""
        return tuple(self.items(sorted({self.key, *self.filters})))

    @property
    def grouped(self) -> tuple[Item, ...]:
        """What the group that a person is in tells of."""
        return tuple(self.items(self.groups))

    def items(self, columns: Iterable[str]) -> Iterator[Item]:
        return (column(f"{self.dataset}.{name}") for name in columns)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the run. ``own``: its term as its sender makes it; ``term``: with what it names put in."""

    label: str
    sender: str
    receiver: str
    own: Term
    term: Term
    round: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A plan, taken apart: the asker's side and the other, who plays what, the messages, the keys, the outcome."""

    sides: tuple[Side, Side]
    parties: tuple[PartyId, ...]
    cast: Mapping[str, PartyId]
    messages: tuple[Sent, ...]
    keys: tuple[Key, ...]
    adversary: Adversary
    match: Match
    public: Mapping[str, int]
    shared: tuple[Shared, ...] = ()
    program: Program | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of each message how many entries it has."""

    @property
    def outcome(self) -> Item:
        return released(NAMES[self.match.outcome])

    @property
    def told(self) -> Item:
        return TOLD[self.match.outcome]

    @property
    def sums(self) -> Mapping[Item, Item]:
        """Of each sum the column that it is of; none where nothing is summed."""
        if self.match.outcome != "sum":
            return {}
        kind = noised if self.noisy else protected
        return {kind(f"sum({item.value})"): item for item in self.brought}

    @property
    def noisy(self) -> bool:
        """Whether parts of the noise are drawn, and not 0."""
        return self.match.outcome != "sum" or self.match.epsilon > 0

    @property
    def parts(self) -> int:
        """How many parts of the noise give the full guarantee."""
        return len(self.adversary.among) - self.adversary.corrupt

    @property
    def brought(self) -> tuple[Item, ...]:
        """The columns that come with each person in both, or are summed: of the other side."""
        return tuple(self.sides[1].items(self.match.columns))


def pair_of(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Pair:
    """Take a plan apart. Of the specification only the order of parties, and the columns of datasets, are read."""
    match = plan.match
    if match is None:
        raise ValueError("are of no intersection")
    card = cards[match.card]
    _tells_nothing(card.program, cards)
    roles = {party: role for role, party in match.roles}
    asks, of = plan.reads
    opened = next(step.to for step in plan.steps if isinstance(step, Open))
    public = card.names(dict(match.public))
    if match.outcome == "sum" and match.epsilon <= 0 and match.min_count < 1:
        raise ValueError("sum without noise, over however few persons")
    if match.outcome == "sum" and bool(public.get("v")) != bool(match.columns):
        raise ValueError("sum other columns than the plan")
    sent = tuple(_sent(card.messages, {}))
    none = {m.label for m in card.messages if m.count.evaluate(public) * m.columns.evaluate(public) == 0}
    handed = _sent(cards[match.handed_by].messages, {"asker": roles[_holder(asks)]}) if match.handed_by else ()
    return Pair(
        sides=(_side(asks, spec, roles, match), _side(of, spec, roles, match)),
        parties=tuple(PartyId(party.name) for party in spec.parties),
        cast=dict(match.roles) | {"result": opened},
        messages=(*(each for each in sent if each.label not in none), *handed),
        keys=card.keys,
        adversary=card.adversary,
        match=match,
        public=public,
        shared=card.shared,
        program=card.program,
        counts={each.label: each.count.evaluate(public) for each in card.messages},
    )


def _tells_nothing(program: Program | None, cards: Mapping[str, Card]) -> None:
    """I16: a program takes no message, and every operation of it tells nothing; tests of each hold that."""
    if program is not None:
        learns = {each.name: each.learns for each in cards[program.card].operations}
        if program.takes or any(learns[run.operation] != "nothing" for run in program.runs):
            raise ValueError("compute with what tells something")


def _holder(read: Read) -> PartyId:
    (holder,) = read.parties
    return holder


def _side(read: Read, spec: Spec, roles: Mapping[PartyId, str], match: Match) -> Side:
    holder, filters = _holder(read), frozenset(columns_of(read.where)) if read.where is not None else frozenset()
    groups = tuple(each.column.column for each in read.dimensions) if match.outcome == "sum" else ()
    columns = tuple(spec.dataset(read.dataset).columns)
    return Side(read.dataset, roles[holder], holder, read.columns[0], columns, filters, groups)


def _sent(messages: Iterable[Message], renamed: Mapping[str, str]) -> Iterator[Sent]:
    """The messages of a card, each with those before it put into its term, under these roles."""
    before: dict[str, Term] = {}
    for each in messages:
        own = _put(each.meaning, {}, renamed)
        before[each.label] = _put(own, before, {})
        sender, receiver = (renamed.get(role, role) for role in (each.sender, each.receiver))
        yield Sent(each.label, sender, receiver, own, before[each.label], each.round)


def _put(term: Term, before: Mapping[str, Term], renamed: Mapping[str, str]) -> Term:
    match term:
        case str():
            return before.get(term, term)
        case Sum(parts):
            return Sum(tuple((sign, _put(part, before, renamed)) for sign, part in parts))
        case Call(head, args):
            return Call(
                head, tuple(_argument(*each, before, renamed) for each in zip(kinds_of(term), args, strict=True))
            )
    raise ValueError("multiply what is no number")


def _argument(kind: str, arg: Term, before: Mapping[str, Term], renamed: Mapping[str, str]) -> Term:
    if kind in ("term", "list", "order"):
        return _put(arg, before, renamed)
    return renamed.get(arg, arg) if kind == "role" and isinstance(arg, str) else arg
