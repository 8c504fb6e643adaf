"""What a report is made from: a review of a specification, seen through the few questions that a report asks of it.

The review itself is made above this layer (plan/review.py); here is only what it must have.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, Protocol

from pets.check.labels import Verdict
from pets.ids import PartyId, PlanDigest, SpecDigest
from pets.spec.cards import Card
from pets.spec.handover import joined, placed
from pets.spec.ir import AddNoise, HelperJoin, NoisedColumn, Plan, Protect
from pets.spec.joins import protocol_of
from pets.spec.model import Spec
from pets.spec.operations import Use
from pets.spec.query import Query

TAIL: Final = Fraction(3604, 1000)
"""The noise of three parties (NB(3/2) - NB(3/2)) stays within this many scales in 95 of 100 draws."""
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
    def query(self) -> Query | None: ...
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


def noise_of(review: Checked) -> tuple[NoisedColumn, ...]:
    return next((s.columns for s in review.plan.steps if isinstance(s, AddNoise)), ()) if review.plan else ()


def protect_of(review: Checked) -> Protect | None:
    """The step of disclosure control, if the release is under it."""
    return next((s for s in review.plan.steps if isinstance(s, Protect)), None) if review.plan else None


def cards_of(review: Checked) -> tuple[Card, ...]:
    """The cards of the join and of what protects the release, in one set of roles; the join's alone without a plan."""
    join = review.cards.get(protocol_of(review.spec))
    if join is None or review.plan is None:
        return () if join is None else (join,)
    safe = review.cards[review.plan.protection.card]
    return (join, safe) if safe.takes_over is None else (joined(join, safe), placed(join, safe))


def card_ids(review: Checked) -> tuple[str, ...]:
    """The cards that an approval is of: of join and release, and those whose operations they use."""
    named = [protocol_of(review.spec)]
    if (plan := review.plan) is not None:
        named += [*([plan.join.rows.card] if plan.join.rows is not None else []), plan.protection.card]
    own = [review.cards[name] for name in named if name in review.cards]
    used = [part.card for card in own for each in card.operations for part in each.parts if isinstance(part, Use)]
    used += [card.program.card for card in own if card.program is not None]
    return tuple(name for name in dict.fromkeys([*named, *used]) if name in review.cards)


def people(number: int) -> str:
    """A number of persons in prose."""
    return f"{number} person{'' if number == 1 else 's'}"


def roles_of(review: Checked, join: HelperJoin) -> dict[str, PartyId]:
    roles = {"a": join.role_a, "b": join.role_b, "helper": join.helper, "result": review.spec.result_party}
    return roles if join.third is None else {**roles, "d": join.third.role}


def helper_width(join: HelperJoin) -> Fraction:
    """95 of 100 draws of the helper's noise are within this."""
    return Fraction(-(-HELPER_TAIL * join.parameter("k") / join.helper_epsilon // 1))


def cells_of(review: Checked) -> int:
    join = join_of(review)
    return join.parameter("g") * join.b_cells if join else 0


def helper_name(review: Checked) -> PartyId | None:
    """The computing party without records, if there is exactly one: the helper, also of what is refused."""
    spec = review.spec
    found = [p.name for p in spec.parties if "computing" in p.roles and "input" not in p.roles]
    return PartyId(found[0]) if len(found) == 1 else None
