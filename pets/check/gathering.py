"""What a plan of sums over one table of many holders is about, for its second checker: parties, messages, sums.

Read off the plan and its card. Of the specification only the order of parties, and of a table's columns, is read.

Two holders stand for all (``repeated.shown``). On a card all holders are alike, and no two of them have a key: what is
said of one with all is a sum over them. So of n holders whose vectors a coalition lacks it knows forms that stay the
same under every exchange of them: none, their sum, all their differences, or all. Two holders tell these apart. Of
holders in the coalition, one stands for all, who take off what they brought.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, permutations
from typing import Final

from pets.check.labels import Item, column, exact, noised, protected, size
from pets.check.spread import MODULUS, Forms, numbers
from pets.ids import PartyId
from pets.spec.banded import reads
from pets.spec.cards import Card, Key, Message
from pets.spec.handover import joined, placed
from pets.spec.ir import INPUT, AddNoise, Derive, Open, Plan, Pool, Protect, Read
from pets.spec.model import Spec
from pets.spec.predicate import columns_of
from pets.spec.repeated import many, role_of, shown, with_so_many
from pets.spec.term import Call, arguments, calls

BROUGHT: Final = frozenset({"values", "proved"})
"""Heads of what a holder brings."""

PROOFS: Final = frozenset({"verifying", "verifier", "verified"})

ABOUT_UPLOADS: Final = frozenset({"handed", "marked", "heard", "confirmed", "present"}) | PROOFS
"""Heads of messages that are no numbers: secrets of streams, whose uploads are there, and whether they are valid."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One of those who bring a part of the table, with the columns that the plan reads.

    ``moved``: columns of its rows' persons, groups and filters, which decide what is added up where.
    """

    role: str
    party: PartyId
    dataset: str
    columns: tuple[str, ...]
    moved: frozenset[str]

    @property
    def size(self) -> Item:
        return size(f"{self.dataset} of {self.party}")

    def items(self, names: Iterable[str]) -> Iterator[Item]:
        return (column(f"{self.dataset}.{name} of {self.party}") for name in names)

    def own(self, name: str) -> Item:
        """Its own part of a sum: of its rows alone. Its vector has all of these."""
        return exact(f"{name} of {self.party}")


@dataclass(frozen=True)
class Gathering:
    """A plan, taken apart. ``cast``: who plays which role, the two holders' and the result party's among them."""

    parties: tuple[PartyId, ...]
    cast: Mapping[str, PartyId]
    holders: tuple[Holder, ...]
    computing: tuple[str, ...]
    card: Card
    forms: Forms
    pool: Pool
    controlled: bool
    three: frozenset[str]
    """The roles that disclosure control is computed by; nobody where there is noise."""
    sums: Mapping[str, frozenset[str]]
    """Of each sum the columns that are in it."""
    leaving: Mapping[str, Item]
    outputs: Mapping[str, tuple[str, ...]]
    """Of each column of the table the sums that it is made of; of a group none."""
    certain: int
    """Of how many computing parties noise is in the sums for certain."""

    @cached_property
    def modulus(self) -> int:
        """What all numbers of the run are added modulo."""
        (only,) = {MODULUS[message.element] for message in self.card.messages if numbers(message)}
        return only

    def roles_of(self, parties: frozenset[PartyId]) -> frozenset[str]:
        return frozenset(role for role, party in self.cast.items() if party in parties)


def gathering_of(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Gathering:
    """Take a plan apart. Raises: ValueError, KeyError or StopIteration if it is not made as rules are about."""
    pool, safe = plan.pool, plan.protection
    if pool is None:
        raise ValueError("are of no sums of many holders")
    (read,) = plan.reads
    opened = next(step.to for step in plan.steps if isinstance(step, Open))
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    moments = pool.moments
    if safe.moments != moments or read.parties != pool.holders:
        raise ValueError("protect or add up other sums than holders bring")
    if safe.parties != tuple(party for _, party in pool.computing):
        raise ValueError("have others add noise, or control what is disclosed, than those who compute")
    computing = tuple(role for role, _ in pool.computing)
    stand = shown(pool.holders, opened)
    card = _card(cards, pool, safe, len(stand))
    holders = tuple(_holder(role_of(INPUT, number), party, read, spec) for number, party in enumerate(stand))
    cast = {each.role: each.party for each in holders} | dict(pool.computing) | {"result": opened}
    degree = card.adversary.corrupt
    dealt = any(call.head == "dealt" for message in card.messages for call in calls(message.meaning))
    visible = {each.moment for each in safe.shown} if isinstance(safe, Protect) else set(range(len(moments)))
    leaves = protected if isinstance(safe, Protect) else noised
    found = Gathering(
        parties=tuple(PartyId(party.name) for party in spec.parties if party.name in cast.values()),
        cast=cast,
        holders=holders,
        computing=computing,
        card=card,
        forms=Forms(card, computing, degree),
        pool=pool,
        controlled=isinstance(safe, Protect),
        three=frozenset(computing) if isinstance(safe, Protect) else frozenset(),
        sums={moment.name: frozenset(moment.a.touches) for moment in moments},
        leaving={moment.name: leaves(moment.name) for number, moment in enumerate(moments) if number in visible},
        outputs={each.name: tuple(moments[number].name for number in each.moments) for each in derive.outputs},
        certain=degree + 1 if dealt else len(computing),
    )
    _enough_holders(found, opened)
    _keys_of_two(found, placed(card, cards[safe.card]).keys if isinstance(safe, Protect) else ())
    _agreed(found)
    _verified(found)
    _adds_up(found)
    return found


def _card(cards: Mapping[str, Card], pool: Pool, safe: AddNoise | Protect, holders: int) -> Card:
    """The card of the run: so many holders, as many computing parties as there are, and what takes the sums over."""
    card = cards[pool.card]
    counts = {role: sum(own.startswith(role) for own, _ in pool.computing) for role in many(card) if role != INPUT}
    made = with_so_many(card, {INPUT: holders, **counts})
    return joined(made, cards[safe.card]) if isinstance(safe, Protect) else made


def _holder(role: str, party: PartyId, read: Read, spec: Spec) -> Holder:
    key = read.columns[0]
    summed = {name for factor in read.factors for name in factor.touches}
    groups = {name for dimension in read.dimensions for name in reads(dimension.column)}
    filters = set(columns_of(read.where)) if read.where is not None else set()
    used = {key, *summed, *groups, *filters}
    columns = tuple(name for name in spec.dataset(read.dataset).columns if name in used)
    return Holder(role, party, read.dataset, columns, frozenset({key, *groups, *filters}))


# -- what a card has to be --------------------------------------------------------------------------------------------


def _enough_holders(about: Gathering, to: PartyId) -> None:
    """Rule G8: a sum of two is one vector to whoever brought the other."""
    needed = 3 if to in about.pool.holders else 2
    if about.pool.minimum < needed:
        raise ValueError(f"give the sum of fewer than {needed} holders")


def _keys_of_two(about: Gathering, families: tuple[Key, ...]) -> None:
    """Rule G2: a term names keys that the card lists; and what three compute together rests on keys of two each."""
    own = {key.name: frozenset(key.holders) for key in about.card.keys}
    named = {name for message in about.card.messages for name in arguments(message.meaning, "key")}
    shares = [share for each in about.card.shared for share in (each.value, *each.shares.values())]
    if loose := sorted((named | {name for share in shares for name in arguments(share, "key")}) - own.keys()):
        raise ValueError(f"name keys that nobody is said to hold: {', '.join(loose)}")
    for family in families:
        if own.get(family.name) != frozenset(family.holders):
            raise ValueError(f"let others hold {family.name}, which two have to compute by")


def _agreed(about: Gathering) -> None:
    """Rule G7: nobody sends a sum before all who have uploads have said whose, and then that they saw the same."""
    uploads = [message for message in about.card.messages if message.sender in {each.role for each in about.holders}]
    pairs = set(permutations({message.receiver for message in uploads} & set(about.computing), 2))
    heard, confirmed = (_rounds(about, head) for head in ("heard", "confirmed"))
    sums = [message for message in about.card.messages if message.sender in about.computing and _is_sum(message)]
    if pairs - heard.keys() or pairs - confirmed.keys():
        raise ValueError("add up without having agreed whose uploads count")
    turns = (
        [each.round for each in uploads],
        [heard[pair] for pair in pairs],
        [confirmed[pair] for pair in pairs],
        [each.round for each in sums],
    )
    for before, after in pairwise(turns):
        if after and max(before) >= min(after):
            raise ValueError("add up before all have agreed whose uploads count")


def _verified(about: Gathering) -> None:
    """Rule G11: a proof is looked at once, by a key that no holder has; all say what they saw; then sums go."""
    sent = [message for message in about.card.messages if any(call.head in PROOFS for call in calls(message.meaning))]
    proved = [m for m in about.card.messages if any(call.head == "proved" for call in calls(m.meaning))]
    if not sent and not proved:
        return
    looks = _rounds(about, "verifier")
    keys, said = _rounds(about, "verifying"), _rounds(about, "verified")
    computing = set(about.computing)
    told = {party for ends in (*looks, *keys, *said) for party in ends}
    if len(looks) + len(keys) + len(said) != len(sent) or not told <= computing:
        raise ValueError("look at a proof more than once, or tell it to others than who computes")
    sums = [m.round for m in about.card.messages if m.sender in about.computing and _is_sum(m)]
    keyed = {sender for sender, _ in keys}
    if (
        looks.keys() != set(permutations(computing, 2))
        or said.keys() != looks.keys()
        or len(keyed) != 1
        or {receiver for _, receiver in keys} != computing - keyed
        or max(m.round for m in about.card.messages if m.sender not in computing) >= min(keys.values())
        or max(keys.values()) >= min(looks.values())
        or max(looks.values()) >= min(said.values())
        or max(said.values()) >= min(sums)
    ):
        raise ValueError("open sums of what has not been verified by all who compute")


def _rounds(about: Gathering, head: str) -> dict[tuple[str, str], int]:
    """In which round who sends whom what such a term says of holders."""
    return {
        (message.sender, message.receiver): message.round
        for message in about.card.messages
        if isinstance(message.meaning, Call) and message.meaning.head == head
    }


def _is_sum(message: Message) -> bool:
    return numbers(message) and not any(call.head == "dealt" for call in calls(message.meaning))


def _adds_up(about: Gathering) -> None:
    """Shares that a card names come to their value."""
    for each in about.card.shared:
        value, total = about.forms.shares(each.name, about.modulus)
        if value != total:
            raise ValueError(f"give shares of {each.name} that do not add up to it")
