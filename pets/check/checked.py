"""What a report is made from: a review of a specification, seen through the few questions that a report asks of it.

The review itself is made above this layer (plan/review.py); here is only what it must have.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, isqrt, prod
from typing import Final, Protocol

from pets.check import summed
from pets.check.blocks import listed
from pets.check.labels import Row, Verdict
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.spec.banded import by_values
from pets.spec.cards import Card
from pets.spec.handover import joined, placed, released_by
from pets.spec.ir import AddNoise, GaussianColumn, HelperJoin, Noisy, Plan, Pool, Protect
from pets.spec.joins import protocol_of
from pets.spec.model import Spec
from pets.spec.operations import Use
from pets.spec.pairing import Pairing
from pets.spec.pooled import Statement
from pets.spec.programmed import Programmed
from pets.spec.repeated import BESIDE, HOLDERS, counts_of, role_of, with_so_many

FEW: Final = 4
"""So many parties are named one by one."""

TAIL: Final = Fraction(3604, 1000)
"""The noise of three parties (NB(3/2) - NB(3/2)) stays within this many scales in 95 of 100 draws."""
NORMAL_TAIL: Final = Fraction(1960, 1000)
"""The noise of discrete Gaussian parts is within this many roots of their variances' sum in 95 of 100 draws."""
HELPER_TAIL: Final = Fraction(2996, 1000)
"""The same for the helper's count (discrete Laplace): ln 20."""


class Message(Protocol):
    """One message of the forecast: plan/cost.py."""

    @property
    def label(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def sender(self) -> PartyId: ...
    @property
    def receiver(self) -> PartyId: ...
    @property
    def size(self) -> int: ...


class Forecast(Protocol):
    @property
    def messages(self) -> Sequence[Message]: ...
    @property
    def size(self) -> int: ...
    @property
    def rounds(self) -> int: ...
    @property
    def times(self) -> Sequence[tuple[str, int]]: ...


class Checked(Protocol):
    """A review of a specification (plan/review.py). What was refused early has no query, no plan, no forecast."""

    @property
    def spec(self) -> Spec: ...
    @property
    def digest(self) -> SpecDigest: ...
    @property
    def query(self) -> Statement | None: ...
    @property
    def pairing(self) -> Pairing | None: ...
    @property
    def program(self) -> Programmed | None: ...
    @property
    def plan(self) -> Plan | None: ...
    @property
    def plan_digest(self) -> PlanDigest | None: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def cards(self) -> Mapping[str, Card]: ...
    @property
    def forecast(self) -> Forecast | None: ...
    @property
    def checkers(self) -> Sequence[str]: ...


def full_name(spec: Spec, party: str) -> str:
    """A party in prose: its organisation, and its name in the specification."""
    return f"{spec.party(party).organisation} ({party})"


def join_of(review: Checked) -> HelperJoin | None:
    return next((s for s in review.plan.steps if isinstance(s, HelperJoin)), None) if review.plan else None


def pool_of(review: Checked) -> Pool | None:
    """The sums over one table of many holders, if the plan is of these."""
    return None if review.plan is None else review.plan.pool


def many_holders(review: Checked) -> bool:
    """True if tables may have any number of holders, of whom the matrix shows some that stand for all."""
    return review.plan is not None and (review.plan.shared or review.plan.pool is not None)


def tail(review: Checked) -> Fraction:
    """How many scales the noise of a sum stays within in 95 of 100 draws, all parties' parts together.

    Where each of m parties adds all of it, 2.1 times the root of 2 m is never less (2.06 for two, 1.98 for ten).
    """
    pool = pool_of(review)
    return TAIL if pool is None else Fraction(isqrt(2 * len(pool.computing) * 2_100**2), 1_000)


def noise_of(review: Checked) -> tuple[Noisy, ...]:
    return next((s.columns for s in review.plan.steps if isinstance(s, AddNoise)), ()) if review.plan else ()


def moved(column: Noisy) -> Fraction:
    """By how much one person moves a sum at most, all its cells together: an L1 norm, or an L2 norm rounded up."""
    return _root(Fraction(column.squared)) if isinstance(column, GaussianColumn) else Fraction(column.sensitivity)


def noise_width(review: Checked, column: Noisy) -> Fraction:
    """The noise of all parties is within this in 95 of 100 draws, in units of the sum."""
    if isinstance(column, GaussianColumn):
        added = next((s for s in review.plan.steps if isinstance(s, AddNoise)), None) if review.plan else None
        return NORMAL_TAIL * _root(column.variance * (len(added.parties) if added is not None else 1))
    return tail(review) * column.sensitivity / column.epsilon


def _root(value: Fraction) -> Fraction:
    """A square root, rounded up to a multiple of 10^-6."""
    scaled = ceil(value * 10**12)
    near = isqrt(scaled)
    return Fraction(near + (near * near < scaled), 10**6)


def protect_of(review: Checked) -> Protect | None:
    """The step of disclosure control, if the release is under it."""
    return next((s for s in review.plan.steps if isinstance(s, Protect)), None) if review.plan else None


def cards_of(review: Checked) -> tuple[Card, ...]:
    """The cards of the join and of what protects the release, in one set of roles; the join's alone without a plan."""
    join = review.cards.get(protocol_of(review.spec))
    if review.program is not None:
        return () if join is None else (join,)
    if review.pairing is not None and review.plan is not None:
        match = review.plan.match
        return () if match is None else tuple(review.cards[n] for n in (match.card, match.handed_by) if n)
    if join is None or review.plan is None:
        return () if join is None else (join,)
    if review.plan.pool is not None:
        return summed.cards_of(summed.about_plan(review.plan, review.spec), review.cards)
    safe = review.cards[review.plan.protection.card]
    join = with_so_many(join, counts_of(review.plan))
    return (join, released_by(join, safe)) if safe.takes_over is None else (joined(join, safe), placed(join, safe))


def card_ids(review: Checked) -> tuple[str, ...]:
    """The cards that an approval is of: of join and release, and those whose operations they use."""
    named = [protocol_of(review.spec)]
    if review.program is not None:
        return tuple(name for name in named if name in review.cards)
    if (plan := review.plan) is not None and plan.match is not None:
        named.append(plan.match.handed_by)
    elif plan is not None and plan.pool is not None:
        named.append(plan.protection.card)
    elif plan is not None:
        named += [*([plan.join.rows.card] if plan.join.rows is not None else []), plan.protection.card]
    own = [review.cards[name] for name in named if name in review.cards]
    used = [part.card for card in own for each in card.operations for part in each.parts if isinstance(part, Use)]
    used += [card.program.card for card in own if card.program is not None]
    return tuple(name for name in dict.fromkeys([*named, *used]) if name in review.cards)


def people(number: int) -> str:
    """A number of persons in prose."""
    return f"{number} person{'' if number == 1 else 's'}"


def roles_of(review: Checked, join: HelperJoin) -> dict[str, PartyId]:
    if not join.shared:
        roles = {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": review.spec.result_party}
        return roles | {role_of(BESIDE, number): each.role for number, each in enumerate(join.beside)}
    held = zip(HOLDERS, review.plan.reads, strict=True) if review.plan else ()
    roles = {role_of(role, number): party for role, read in held for number, party in enumerate(read.parties)}
    three = {"first": join.role_a, "second": join.helper, "third": join.role_b}
    return roles | three | {"result": review.spec.result_party}


def several(parties: Sequence[str], what: str = "parties") -> str:
    """Parties in prose: all of a few, of many how many and the first and the last."""
    if len(parties) <= FEW:
        return listed(parties)
    some = f"{parties[0]}, {parties[1]} ... {parties[-1]}"
    return f"{len(parties)} {what} ({some})" if what else some


def holders_of(spec: Spec, dataset: str) -> str:
    """Who brings a table, in prose."""
    parties = spec.holders(dataset)
    return full_name(spec, parties[0]) if len(parties) == 1 else several(parties)


def place_of(spec: Spec, row: Row) -> tuple[str, str, PartyId]:
    """Of a row of the matrix about a column: its table, its name, and who holds what the row is about."""
    dataset, _, rest = row.value.partition(".")
    name, _, holder = rest.removesuffix(" as tags").removesuffix(" in shares").partition(" of ")
    return dataset, name, PartyId(holder) if holder else spec.dataset(dataset).party


def alike(review: Checked, party: str) -> str:
    """Whom a party stands for in the matrix, in brackets; empty if for nobody else."""
    for dataset in review.spec.datasets if many_holders(review) else ():
        others = len(dataset.parties) - 1
        if party in dataset.parties and others:
            return f" (and each of {others} more who hold {dataset.name})"
    return ""


def helper_width(join: HelperJoin) -> Fraction:
    """95 of 100 draws of the helper's noise are within this."""
    return Fraction(-(-HELPER_TAIL * join.parameter("k") / join.helper_epsilon // 1))


def cells_of(review: Checked) -> int:
    """Rows of the released table, before HAVING: cells of the groups, or one of a model that is fitted to counts."""
    if (plan := review.plan) is not None and plan.pool is not None:
        if by_values(each.column for read in plan.reads for each in read.dimensions):
            return 1
        return prod(len(each.levels) for read in plan.reads for each in read.dimensions)
    join = join_of(review)
    return join.parameter("g") * join.b_cells if join else 0


def helper_name(review: Checked) -> PartyId | None:
    """The computing party without records, if there is exactly one: the helper, also of what is refused."""
    spec = review.spec
    found = [p.name for p in spec.parties if "computing" in p.roles and "input" not in p.roles]
    return PartyId(found[0]) if len(found) == 1 else None
