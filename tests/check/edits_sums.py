"""Cards of sums over an intersection with planted leaks, and specifications and plans to judge them by."""

import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache

from pets.check import traced
from pets.check.labels import Verdict
from pets.errors import InternalError
from pets.spec.cards import Card, load_cards
from pets.spec.ir import Dimension, Plan
from pets.spec.model import Leakage, Spec
from pets.spec.parse import parse_toml
from pets.spec.query import ColumnRef
from tests.check.edits import DH, TEXT, WHERE, Edit, cards_with, copied, held, planned, rewritten, says, sends

SUM = "psi_sum"
NOISE, CONTROL = "noise", "control"
RENT = 'rent = { role = "measure", type = "integer", min = 0, max = 9_000, unit = "GBP", clamp = true }\n'


@cache
def summed(
    kind: str, columns: tuple[str, ...] = ("rent",), to: str = "board", helper: bool = True
) -> tuple[Spec, Plan]:
    """Sums of the council's columns over the board's persons, by age; with a helper that has nothing to do."""
    spec, plan = planned(DH, WHERE, (to,))
    whole = parse_toml(TEXT.replace("tenure = {", f"{RENT}tenure = {{", 1))
    counted = Leakage.model_validate({"learner": "board", "item": "match_count", "as": "exact"})
    private = whole.release.differential_privacy if kind == NOISE else None
    leakage = (*spec.security.leakage, counted)
    spec = spec.model_copy(
        update={
            "datasets": (spec.datasets[0], spec.datasets[1].model_copy(update={"columns": whole.datasets[1].columns})),
            "security": spec.security.model_copy(update={"leakage": leakage}),
            "release": spec.release.model_copy(update={"differential_privacy": private}),
        }
    )
    assert plan.match is not None
    levels = spec.datasets[0].columns["age_band"].levels
    assert levels is not None
    asks, of = plan.reads
    match = replace(
        plan.match,
        card=SUM,
        outcome="sum",
        columns=columns,
        public=(("m_a", 1000), ("n_b", 2000), ("g", 5), ("v", len(columns)), ("primes", min(1, len(columns)))),
        epsilon=Fraction(1) if kind == NOISE else Fraction(0),
        min_count=0 if kind == NOISE else 10,
    )
    if not helper:
        match = replace(match, roles=match.roles[:2])
        left = tuple(party for party in spec.parties if party.name in ("board", "council", to))
        spec = spec.model_copy(update={"parties": left})
    grouped = replace(asks, dimensions=(Dimension(ColumnRef("attendances", "age_band"), tuple(levels)),))
    return spec, replace(plan, steps=(grouped, of, match, plan.steps[-1]))


def helped() -> Card:
    """The card with a helper that gets nothing."""
    card = load_cards()[SUM]
    return replace(card, roles={**card.roles, "helper": "computing"})


def judged(card: Card, kind: str) -> Verdict:
    spec, plan = summed(kind)
    return traced.judge(plan, spec, cards_with(card))


PARTIES = {"board": "a", "council": "b", "helper": "helper"}


def refused(card: Card, kind: str) -> set[str] | None:
    """Roles of which a finding says that they learn what is not declared; None if the card is refused outright."""
    try:
        found = judged(card, kind).errors
    except InternalError as error:
        assert error.code == "plan.terms"
        return None
    return {PARTIES[who] for each in found if "+" not in (who := each.path.split(" <- ")[1])}


def together(*edits: Edit) -> Edit:
    def edit(card: Card) -> Card:
        for each in edits:
            card = each(card)
        return card

    return edit


ORDER = "permute(perm(own_b, order), "
D1 = "times(scalar_a, points(keys(a), groups(a), fillers(a), agreed(a)))"
EDITS: Mapping[str, Edit] = {
    "D1 unpermuted": rewritten("D1", "permute_within(perm(own_a, order), times", "(times"),
    "D1 in two orders": says("D1", f"permute_within(perm(own_a, order2), permute_within(perm(own_a, order), {D1}))"),
    "D1 without a scalar": rewritten("D1", "times(scalar_a, points", "(points"),
    "D3 and Y unpermuted": together(rewritten("D3", ORDER, "("), rewritten("Y", ORDER, "(")),
    "D3 without a scalar": rewritten("D3", "times(scalar_b, points", "(points"),
    "D3 by D1's scalar": rewritten("D3", "times(scalar_b", "times(scalar_a"),
    "D2 unsorted": rewritten("D2", "sort_within(cut", "(cut"),
    "D2 uncut": rewritten("D2", "cut(times", "(times"),
    "D2 in an order of b": says("D2", "permute_within(perm(own_b, order2), cut(times(scalar_b, D1)))"),
    "D2 without a scalar": rewritten("D2", "times(scalar_b, D1)", "D1"),
    "scalar_a is b's, too": held("scalar_a", "b"),
    "scalar_b is a's, too": held("scalar_b", "a"),
    "own_a is b's, too": held("own_a", "b"),
    "own_b is a's, too": held("own_b", "a"),
    "secret_b is a's, too": held("secret_b", "a"),
    "cover_a is b's, too": held("cover_a", "b"),
    "scalar_a is the helper's, too": held("scalar_a", "helper"),
    "scalar_b is the helper's, too": held("scalar_b", "helper"),
    "own_a is the helper's, too": held("own_a", "helper"),
    "own_b is the helper's, too": held("own_b", "helper"),
    "secret_b is the helper's, too": held("secret_b", "helper"),
    "cover_a is the helper's, too": held("cover_a", "helper"),
    "S covered by b's own": rewritten("S", "cover_a", "own_b"),
    "R without noise": rewritten("R", " + noise(b, summed)", ""),
    "a gets the noise": sends("X1", "b", "a", "noise(b, summed)"),
    "a gets R with the noise taken off": sends("X2", "b", "a", "opened(secret_b, S) - noise(b, summed)"),
    "a gets R again": sends("X3", "b", "a", "opened(secret_b, S) + noise(b, summed)"),
    "b gets the covers": sends("X4", "a", "b", "covers(cover_a)"),
    "b gets the covers under noise of a": sends("X5", "a", "b", "noise(a, summed) - covers(cover_a)"),
    "the helper gets the covers": sends("X6", "a", "helper", "covers(cover_a)"),
    "the helper gets the covers under noise of a": sends("X7", "a", "helper", "noise(a, summed) - covers(cover_a)"),
    "the helper gets D1": copied("D1", "a"),
    "the helper gets D2": copied("D2", "b"),
    "the helper gets D3": copied("D3", "b"),
    "the helper gets Y": copied("Y", "b"),
    "the helper gets S": copied("S", "a"),
    "the helper gets R": copied("R", "b"),
    "the helper gets D3 again": sends("X8", "a", "helper", "sort(times(scalar_a, D3))"),
    "the helper gets D3 again, cut": sends("X9", "a", "helper", "cut(times(scalar_a, D3))"),
    "b gets D3 again": sends("X10", "a", "b", "cut(times(scalar_a, D3))"),
    "b gets D3 again, sorted": sends("X11", "a", "b", "sort(cut(times(scalar_a, D3)))"),
    "a gets D1 again": sends("X12", "b", "a", "times(scalar_b, D1)"),
    "b gets keys": sends("X13", "a", "b", "keys(a)"),
    "the helper gets the outcome": sends("X14", "a", "helper", "outcome(a)"),
}


def edits_of(seed: int) -> tuple[tuple[str, ...], Card]:
    """One to six edits, drawn from a seed. What a hands on as the outcome is one only if a has it by the protocol."""
    draw = random.Random(f"sums {seed}")
    chosen = draw.sample(sorted(EDITS.keys() - {"the helper gets the outcome"}), draw.choice([1, 2, 3, 4, 5, 6]))
    return tuple(chosen), together(*(EDITS[each] for each in chosen))(helped())
