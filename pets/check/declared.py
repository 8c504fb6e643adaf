"""Declared against computed, item by item: what the cards tell, and the line of the specification that says so.

The check itself refuses what is not covered (rule leak.undeclared); this is the same comparison as a list that an
approver can go through, and the number of cells of the matrix that follow from nothing else.
"""

from dataclasses import dataclass
from typing import Literal

from pets.check import flow, subject
from pets.check.checked import Checked
from pets.check.coalitions import bare, within_model
from pets.check.labels import Fact, Mark, strongest, weakest
from pets.ids import PartyId
from pets.spec.cards import EVERYONE, Card
from pets.spec.control import effective
from pets.spec.joins import protocol_of
from pets.spec.model import Spec
from pets.spec.pooled import Pooled


@dataclass(frozen=True, slots=True)
class Named:
    """One item that a learner learns. ``computed``: by the cards; ``declared``: by the places of the specification.

    ``terms``: how the specification puts it.
    ``whose`` is "protocol" or "release" for what is computed, "nobody" for what is declared and never told.
    """

    who: tuple[str, ...]
    item: str
    words: str
    whose: Literal["protocol", "release", "nobody"]
    computed: Mark
    declared: Mark
    places: tuple[str, ...]
    terms: str = ""

    @property
    def covered(self) -> bool:
        """True if as much is declared as is computed, or more."""
        return self.declared.rank >= self.computed.rank


@dataclass(frozen=True, slots=True)
class Declared:
    """``cells``: marks within the model; ``bare``: of these, those that the declarations do not explain."""

    items: tuple[Named, ...]
    cells: int
    bare: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """True if everything that is computed within the model is declared."""
        return not self.bare and all(each.covered for each in self.items)


def declared(review: Checked) -> Declared | None:
    """Hold what is computed against what is declared; None if the query, its roles or its protocol are not clear."""
    spec, query, matrix = review.spec, review.query, review.verdict.matrix
    protocol = protocol_of(spec)
    if query is None or isinstance(query, Pooled) or not matrix.columns or protocol not in review.cards:
        return None
    about = subject.of(spec, query)
    safe = review.cards[flow.CONTROL if about.controlled else flow.RELEASE]
    cards = subject.cards_of(subject.join_card(review.cards[protocol], about), safe)
    allowed = flow.declared(about, spec)
    items = [*_computed(about, cards, allowed, spec), *_for_nothing(about, cards, spec)]
    inside = [column for column in matrix.columns if not column.beyond_model]
    known = {each.label: flow.knowledge(about, cards, allowed, frozenset(each.parties)) for each in inside}
    return Declared(tuple(items), len(inside) * len(matrix.rows), tuple(bare(matrix, known)))


def _computed(about: subject.Subject, cards: tuple[Card, ...], allowed: tuple[Fact, ...], spec: Spec) -> list[Named]:
    """What the cards tell coalitions that the protocol has to withstand."""
    tables = {role: table.dataset for role, table in about.tables.items()}
    out = []
    for card in cards:
        for entry in card.learns:
            facts = [f for f in flow.facts_of(about, entry) if within_model(about, cards, f.learner)]
            if not facts:
                continue
            places = _places(about, spec, facts)
            known = {f.learner: flow.knowledge(about, cards, allowed, f.learner) for f in facts}
            out.append(
                Named(
                    (EVERYONE,) if EVERYONE in entry.who else tuple(about.roles[role] for role in entry.who),
                    entry.item,
                    entry.sentence.format_map(tables),
                    "release" if card.id in (flow.RELEASE, flow.CONTROL) else "protocol",
                    strongest(f.grade.mark for f in facts),
                    weakest(known[f.learner].get(f.item, Mark.NEVER) for f in facts),
                    tuple(places),
                    "; ".join(filter(None, places.values())),
                )
            )
    return out


def _places(about: subject.Subject, spec: Spec, facts: list[Fact]) -> dict[str, str]:
    """Where the specification speaks of any of these facts, and its terms."""
    asked = {(f.learner, f.item) for f in facts}
    places = {}
    if spec.release.differential_privacy is not None and any(
        learner == frozenset({PartyId(name)}) and item.kind == "noised sum"
        for name in spec.release.to
        for learner, item in asked
    ):
        places["release"] = spec.release.differential_privacy.cost
    control = effective(spec)
    if control is not None and any(item.kind == "protected sum" for _, item in asked):
        rounded = f", counts rounded to {control.round_to}" if control.round_to > 1 else ""
        places["release"] = f"from {control.min_count} persons on{rounded}"
    for place, entry in enumerate(spec.security.leakage):
        if any((f.learner, f.item) in asked for f in flow.declared_by(about, entry)):
            noised = f"epsilon {entry.noised.epsilon}, delta {entry.noised.delta}" if entry.noised else ""
            places[f"security.leakage[{place}]"] = noised or entry.extent or ""
    return places


def _for_nothing(about: subject.Subject, cards: tuple[Card, ...], spec: Spec) -> list[Named]:
    """Declared items of which the cards tell that learner nothing."""
    told = {(f.learner, f.item) for f in flow.facts(about, cards)}
    out = []
    for place, entry in enumerate(spec.security.leakage):
        facts = tuple(flow.declared_by(about, entry))
        if not any((f.learner, f.item) in told for f in facts):
            out.append(
                Named(
                    (entry.learner,),
                    entry.item,
                    "nothing: the protocol does not tell it",
                    "nobody",
                    Mark.NEVER,
                    strongest(f.grade.mark for f in facts),
                    (f"security.leakage[{place}]",),
                )
            )
    return out
