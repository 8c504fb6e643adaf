"""Cards of intersections with planted leaks: edits of what messages are made of, who gets them and who holds keys."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from pets.check import traced
from pets.check.labels import Verdict
from pets.plan.match import lower
from pets.spec.cards import Card, Key, load_cards
from pets.spec.formula import parse_formula
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.pairing import pairing_of
from pets.spec.parse import parse_toml
from pets.spec.term import parse_term

TEXT = (Path(__file__).parent / "should_pass" / "ae_by_tenure.toml").read_text()
DH, VOLE, KKRT = "dh_psi_cardinality", "vole_psi", "kkrt_psi"
OUTCOME = {DH: "cardinality", VOLE: "intersection", KKRT: "intersection", "vole_psi_malicious": "intersection"}
VALUES = 'columns = ["housing.tenure"]\n'
WHERE = "where = \"attendances.arrival >= DATE '2026-01-01' AND housing.tenure = 'owner'\"\n"


@cache
def planned(card: str, asked: str = "", to: tuple[str, ...] = ("board",)) -> tuple[Spec, Plan]:
    """The demonstration's two datasets in an intersection for these parties. It has a helper with nothing to do."""
    head, rest = TEXT.split("[computation]")
    rest = rest[rest.index("[release]") :].replace('["statistics"]', str(list(to))).replace("helper_join_a", card)
    privacy, leakage = rest.index("[release.differential_privacy]"), rest.index("[security]")
    rest = rest[:privacy] + rest[leakage:]
    first, second = (rest.index(f'[[security.leakage]]\nlearner = "{who}"') for who in ("helper", "everyone"))
    rest = rest[:first] + rest[second:]
    head = head.replace('roles = ["input", "computing"]', 'roles = ["input", "computing", "result"]')
    head = head.replace("max_rows_per_person = 4", "max_rows_per_person = 1")
    spec = parse_toml(f'{head}[computation]\npsi = "{OUTCOME[card]}"\nasks = "attendances"\n{asked}\n{rest}')
    plan = lower(spec, pairing_of(spec))
    assert plan.match is not None
    helped = replace(plan.match, roles=(*plan.match.roles, ("helper", "helper")))  # type: ignore[arg-type]
    return spec, replace(plan, steps=tuple(helped if step is plan.match else step for step in plan.steps))


def cards_with(card: Card) -> Mapping[str, Card]:
    return {**load_cards(), card.id: card}


def helped(name: str) -> Card:
    """A card with a helper that gets nothing, and may be corrupt as the others; less what is not sent."""
    card = load_cards()[name]
    _, plan = planned(name)
    assert plan.match is not None
    numbers = card.names(dict(plan.match.public))
    card = replace(card, messages=tuple(each for each in card.messages if each.columns.evaluate(numbers)))
    among = replace(card.adversary, among=(*card.adversary.among, "helper"))
    return replace(card, roles={**card.roles, "helper": "computing"}, adversary=among)


def judged(card: Card) -> Verdict:
    spec, plan = planned(card.id)
    return traced.judge(plan, spec, cards_with(card))


def refused(card: Card) -> set[str]:
    """Parties of which a finding says that they learn what is not declared."""
    return {found.path.split(" <- ")[1] for found in judged(card).errors}


Edit = Callable[[Card], Card]


def says(label: str, term: str) -> Edit:
    """A message is made of something else."""

    def edit(card: Card) -> Card:
        assert any(each.label == label for each in card.messages)
        changed = (replace(m, term=term, meaning=parse_term(term)) if m.label == label else m for m in card.messages)
        return replace(card, messages=tuple(changed))

    return edit


def rewritten(label: str, old: str, new: str) -> Edit:
    """Part of a term is something else; where it is not there any more, nothing is changed."""

    def edit(card: Card) -> Card:
        term = next(each.term for each in card.messages if each.label == label)
        return says(label, term.replace(old, new))(card)

    return edit


def sends(label: str, sender: str, receiver: str, term: str) -> Edit:
    """A message more, before those of the result."""

    def edit(card: Card) -> Card:
        last = card.messages[-1]
        more = replace(
            last,
            number=last.number + 1,
            label=label,
            sender=sender,
            receiver=receiver,
            term=term,
            meaning=parse_term(term),
            columns=parse_formula("1"),
            count=parse_formula("1"),
        )
        return replace(card, messages=(*card.messages, more))

    return edit


def copied(label: str, sender: str) -> Edit:
    """The helper gets a message, too."""
    return sends(f"{label}h", sender, "helper", label)


def held(name: str, role: str) -> Edit:
    """A key is in one hand more."""

    def edit(card: Card) -> Card:
        more = (Key(k.name, (*k.holders, role), k.lifetime) if k.name == name else k for k in card.keys)
        return replace(card, keys=tuple(more))

    return edit


D1 = "times(scalar_a, points(keys(a), fillers(a), agreed(a)))"
D3 = "times(scalar_b, points(keys(b), fillers(b), agreed(b)))"
READ = "read(own_s, V5r, V5, keys(sender), fillers(sender), agreed(sender))"
V6 = f"cut({READ})"
EVALUATED = "evaluated(own_s, K1r, K2, keys(sender), fillers(sender), agreed(sender))"
K8 = "coded(own_r, K1s, fillers(receiver), keys(receiver))"
V8 = "written(V5r, fillers(receiver), keys(receiver)) + vector(own_r)"
EDITS: Mapping[str, Mapping[str, Edit]] = {
    DH: {
        "D1 unpermuted": rewritten("D1", "permute(perm(own_a, order), times", "(times"),
        "D3 unpermuted": rewritten("D3", "permute(perm(own_b, order), times", "(times"),
        "D3 sorted": says("D3", f"sort({D3})"),
        "D2 unsorted": rewritten("D2", "sort(cut", "(cut"),
        "D2 uncut": rewritten("D2", "cut(times", "(times"),
        "D2 in an order of b": says("D2", "permute(perm(own_b, order2), cut(times(scalar_b, D1)))"),
        "D2 in b's own order": says("D2", "permute(perm(own_b, order), cut(times(scalar_b, D1)))"),
        "D2 without a scalar": rewritten("D2", "times(scalar_b, D1)", "D1"),
        "D1 without a scalar": rewritten("D1", "times(scalar_a, points", "(points"),
        "D3 without a scalar": rewritten("D3", "times(scalar_b, points", "(points"),
        "D3 by D1's scalar": rewritten("D3", "times(scalar_b", "times(scalar_a"),
        "D3 in D1's order": rewritten("D3", "own_b", "own_a"),
        "D1 with two scalars": rewritten("D1", D1, f"times(scalar_a2, {D1})"),
        "D1 in two orders": says("D1", f"permute(perm(own_a, order2), permute(perm(own_a, order), {D1}))"),
        "scalar_a is b's, too": held("scalar_a", "b"),
        "scalar_b is a's, too": held("scalar_b", "a"),
        "own_a is b's, too": held("own_a", "b"),
        "own_b is a's, too": held("own_b", "a"),
        "scalar_a is the helper's, too": held("scalar_a", "helper"),
        "scalar_b is the helper's, too": held("scalar_b", "helper"),
        "own_a is the helper's, too": held("own_a", "helper"),
        "own_b is the helper's, too": held("own_b", "helper"),
        "the helper gets D1": copied("D1", "a"),
        "the helper gets D2": copied("D2", "b"),
        "the helper gets D3": copied("D3", "b"),
        "the helper gets D3 again": sends("D4h", "a", "helper", "sort(times(scalar_a, D3))"),
        "the helper gets D3 again, cut": sends("D5h", "a", "helper", "cut(times(scalar_a, D3))"),
        "the helper gets a's rows": sends("D6h", "a", "helper", D1),
        "the helper gets b's rows": sends("D7h", "b", "helper", D3),
        "b gets D3 again": sends("D8", "a", "b", "cut(times(scalar_a, D3))"),
        "b gets D3 again, sorted": sends("D9", "a", "b", "sort(cut(times(scalar_a, D3)))"),
        "a gets D1 again": sends("D10", "b", "a", "times(scalar_b, D1)"),
        "b gets keys": sends("D11", "a", "b", "keys(a)"),
        "a gets D1 again in D3's order": sends("D12", "b", "a", "permute(perm(own_b, order), times(scalar_b, D1))"),
        "a gets its points in D3's order": sends("D13", "b", "a", "permute(perm(own_b, order), D1)"),
        "the helper gets tags of a": sends("T1h", "a", "helper", "sort(tags(s_ab, keys(a), fillers(a)))"),
        "the helper gets tags of b": sends("T2h", "b", "helper", "sort(tags(s_ab, keys(b), fillers(b)))"),
        "the helper gets tags of b's rows": sends("T3h", "b", "helper", "tags(s_ab, keys(b), fillers(b))"),
        "b gets tags of a": sends("T4", "a", "b", "sort(tags(s_a, keys(a), fillers(a)))"),
    },
    VOLE: {
        "V5 without a vector": rewritten("V5", " + vector(own_r)", ""),
        "V5 with a vector twice": rewritten("V5", " + vector(own_r)", " + vector(own_r) + vector(own_r)"),
        "V5 with two vectors": rewritten("V5", " + vector(own_r)", " + vector(own_r) + vector(own_r2)"),
        "V5 with the sender's vector": rewritten("V5", "vector(own_r)", "vector(own_s)"),
        "the vector goes alone": sends("V7", "receiver", "sender", "vector(own_r)"),
        "a second table under the vector": sends("V8", "receiver", "sender", V8),
        "V6 unsorted": rewritten("V6", "sort(cut", "(cut"),
        "V6 uncut": rewritten("V6", "cut(read", "(read"),
        "V6 in an order of the sender": says("V6", f"permute(perm(own_s, order), {V6})"),
        "V6 again": sends("V9", "sender", "receiver", V6),
        "own_s is the receiver's, too": held("own_s", "receiver"),
        "own_r is the sender's, too": held("own_r", "sender"),
        "own_s is the helper's, too": held("own_s", "helper"),
        "own_r is the helper's, too": held("own_r", "helper"),
        "the helper gets V5": copied("V5", "receiver"),
        "the helper gets V6": copied("V6", "sender"),
        "the helper gets V2": copied("V2", "receiver"),
        "the receiver passes V6 on": copied("V6", "receiver"),
        "the sender is told": sends("V10", "receiver", "sender", "told(V6, keys(receiver), agreed(receiver))"),
        "the helper is told": sends("V11h", "receiver", "helper", "told(V6, keys(receiver), agreed(receiver))"),
        "values come": sends("V12", "sender", "receiver", f"sealed({READ}, payload(sender))"),
        "values go to the helper": sends("V13h", "sender", "helper", f"sealed({READ}, payload(sender))"),
        "the helper gets the outcome": sends("R2", "receiver", "helper", "outcome(receiver)"),
    },
    KKRT: {
        "K3 unsorted": says("K3", f"cut({EVALUATED})"),
        "K3 in an order of the sender": says("K3", f"permute(perm(own_s, order), cut({EVALUATED}))"),
        "K3 again": sends("K5", "sender", "receiver", f"cut({EVALUATED})"),
        "K3 comes apart, too": sends("K6", "sender", "receiver", f"apart({EVALUATED})"),
        "values come": sends("K7", "sender", "receiver", f"sealed({EVALUATED}, payload(sender))"),
        "a second table under the same streams": sends("K8", "receiver", "sender", K8),
        "own_s is the receiver's, too": held("own_s", "receiver"),
        "own_r is the sender's, too": held("own_r", "sender"),
        "own_s is the helper's, too": held("own_s", "helper"),
        "own_r is the helper's, too": held("own_r", "helper"),
        "the helper gets K2": copied("K2", "receiver"),
        "the helper gets K3": copied("K3", "sender"),
        "the receiver passes K3 on": sends("K10h", "receiver", "helper", "K3"),
        "the sender is told": sends("K11", "receiver", "sender", "told(K3, keys(receiver), agreed(receiver))"),
        "the helper is told": sends("K12h", "receiver", "helper", "told(K3, keys(receiver), agreed(receiver))"),
        "values go to the helper": sends("K13h", "sender", "helper", f"sealed({EVALUATED}, payload(sender))"),
    },
}  # fmt: skip


def edits_of(name: str, seed: int) -> tuple[tuple[str, ...], Card]:
    """One to six edits, drawn from a seed, of a card with a helper."""
    draw = random.Random(f"traced {name} {seed}")
    chosen = draw.sample(sorted(EDITS[name]), draw.choice([1, 2, 3, 4, 5, 6]))
    card = helped(name)
    for each in chosen:
        card = EDITS[name][each](card)
    return tuple(chosen), card
