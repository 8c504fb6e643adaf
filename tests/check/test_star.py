"""Three tables before both checkers: nobody in the model learns anything, and no planted leak gets past them."""

from collections.abc import Mapping
from functools import cache

import pytest

from pets.check import flow, knowledge
from pets.plan.lower import lower
from pets.spec.cards import Card, cards_folder, load_cards, parse_card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.query import Query
from pets.spec.sql import bind
from tests.oracles import planted
from tests.oracles.planted import Planted, all_of, copied_to, held_by, sends, sent_to, swap
from tests.test_several_tables import JOINED, asking, people

TEXT = (cards_folder() / "star_join" / "card.toml").read_text(encoding="utf-8")
SPEC = asking(
    "SELECT a.da, b.db, COUNT(*) AS n, SUM(b.xb) AS s, SUM(c.xc) AS t, SUM(a.xa) AS u "
    + JOINED
    + " GROUP BY a.da, b.db"
)
QUERY = bind(SPEC)
PLAN = lower(SPEC, QUERY)


JOINED_FIVE = "FROM stays a JOIN homes b ON a.id = b.id JOIN schools c ON a.id = c.id " + (
    "JOIN visits u ON b.id = u.id JOIN courts v ON a.id = v.id"
)


@cache
def five() -> tuple[Spec, Query, Plan]:
    """Five tables: of the last nothing is asked but who is in it."""
    text = "SELECT a.da, b.db, COUNT(*) AS n, SUM(b.xb) AS s, SUM(c.xc) AS t, SUM(a.xa) AS u, SUM(u.xu) AS w "
    spec = asking(text + JOINED_FIVE + " GROUP BY a.da, b.db", people(0, tables=5))
    query = bind(spec)
    return spec, query, lower(spec, query)


@cache
def card_with(edit: Planted) -> Mapping[str, Card]:
    card = parse_card(edit.edit(TEXT).encode(), file=edit.name)
    return {**load_cards(), card.id: card}


def test_they_agree_on_the_card_as_it_is() -> None:
    first, second = flow.judge(SPEC, QUERY, load_cards()), knowledge.judge(PLAN, SPEC, load_cards())
    assert first.accepted and second.accepted
    assert first.matrix.differences(second.matrix) == ()


def test_they_agree_on_five_tables() -> None:
    spec, query, plan = five()
    first, second = flow.judge(spec, query, load_cards()), knowledge.judge(plan, spec, load_cards())
    assert first.accepted and second.accepted
    assert first.matrix.differences(second.matrix) == ()
    pair = "board+council"  # a and b: two of the three that compute
    assert {first.matrix.mark(f"{t}.x{s}", pair) for t, s in (("schools", "c"), ("visits", "u"))} == {"V"}
    for one, other in (("trust", "visits.xu"), ("practice", "schools.xc"), ("ministry", "homes.xb")):
        assert first.matrix.mark(other, f"board+{one}") in ("H", "-"), "a with one of them nothing of another"
        assert first.matrix.mark(other, f"{one}+helper") in ("H", "-")
        assert first.matrix.mark("stays.id", f"{one}+helper") == "V"


LEAKS = (
    *(
        Planted(f"{label} goes to {receiver}", sent_to(label, receiver))
        for label, receiver in (
            ("T", "b"),
            ("Td", "d"),
            ("M8", "b"),
            ("P", "a"),
            ("Pc", "a"),
            ("Pd", "a"),
            ("Pdc", "a"),
            ("Mr", "b"),
            ("M6c", "a"),
            ("M7a", "helper"),
            ("M7c", "a"),
        )
    ),
    Planted(
        "b hears the tokens for d, too, and holds their key", all_of(copied_to(("Td", "b")), held_by("tag_d", *"abd"))
    ),
    Planted("one key for all three, which the helper has", held_by("tag_d", "a", "d", "helper")),
    Planted("the helper holds the key of a's tokens for b", held_by("tag", "a", "b", "helper")),
    Planted("Pd is masked for nobody but a and the helper", swap("mask(s_ad, r, gathered)", "mask(s_ac, r, gathered)")),
    Planted("Pdc has no mask", swap(" - mask(s_ad, rc, check)", "")),
    Planted("Pd has no mask", swap(" - mask(s_ad, r, gathered)", "")),
    Planted("the helper holds the keys of a and d", held_by("s_ad", "a", "d", "helper")),
    Planted("rho2 is known to the helper", swap("perm(s_ab, rho2)", "perm(s_ac, rho2)")),
    Planted("the helper adds no noise", swap(" + noise(helper, summed)", "")),
    Planted("no share of zero", all_of(swap(" - zero(s_ac, summed)", ""), swap(" + zero(s_ac, summed)", ""))),
    Planted(
        "d lists its persons, too",
        sends("d", "helper", "sort(tags(tag_d, keys(d), fillers(d)))", "d.key", columns="1", element="bytes[t]"),
    ),
    Planted(
        "a lists its persons under d's key for b",
        all_of(
            sends("a", "b", "sort(tags(tag_d, keys(a), fillers(a)))", "a.key", columns="1", element="bytes[t]"),
            held_by("tag_d", "a", "b", "d"),
        ),
    ),
    Planted(
        "the result party is sent a table of d",
        sends(
            "d", "result", "table(tag_d, keys(d), values(d, gathered))", "d.key", "d.values", "d.groups", columns="v_t"
        ),
    ),
)


@pytest.mark.parametrize("edit", LEAKS, ids=lambda edit: edit.name)
def test_each_checker_finds_each_planted_leak(edit: Planted) -> None:
    assert "leak.undeclared" in {f.rule for f in flow.judge(SPEC, QUERY, card_with(edit)).errors}
    assert "leak.undeclared" in {f.rule for f in knowledge.judge(PLAN, SPEC, card_with(edit)).errors}


@pytest.mark.parametrize("edit", LEAKS[1::5], ids=lambda edit: edit.name)
def test_each_checker_finds_some_in_five_tables(edit: Planted) -> None:
    found_in_five(edit)


@pytest.mark.long
@pytest.mark.parametrize("edit", LEAKS, ids=lambda edit: edit.name)
def test_each_checker_finds_each_in_five_tables(edit: Planted) -> None:
    found_in_five(edit)


def found_in_five(edit: Planted) -> None:
    spec, query, plan = five()
    assert "leak.undeclared" in {f.rule for f in flow.judge(spec, query, card_with(edit)).errors}
    assert "leak.undeclared" in {f.rule for f in knowledge.judge(plan, spec, card_with(edit)).errors}


SWEEP = planted.sweep(TEXT)
BLOCKS = 8


@pytest.mark.parametrize("block", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, BLOCKS))])
def test_no_edit_of_the_card_leaks_past_both_checkers(block: int) -> None:
    """What the second finds the first refuses, too; what neither refuses is listed with the reason, or they differ."""
    for name in list(SWEEP)[block::BLOCKS]:
        if found := planted.judged(name, SWEEP[name], lambda card: (SPEC, QUERY, PLAN)):
            assert planted.passes(found) == (name in TELLS_NOBODY), (name, [f.message for f in found[1].errors])


@pytest.mark.long
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_edit_of_the_card_leaks_past_both_checkers_in_five_tables(block: int) -> None:
    """None passes that does not in three: with more tables there are more who learn of an edit."""
    for name in list(SWEEP)[block::BLOCKS]:
        if found := planted.judged(name, SWEEP[name], lambda card: five()):
            assert not planted.passes(found) or name in TELLS_NOBODY, name


TELLS_NOBODY = {
    **dict.fromkeys(
        ("M8 to d, too", "M6c to d", "M6c to d, too", "Mn to d", "Mn to d, too", "Pc to d", "Pc to d, too", "P to d"),
        "d has none of the keys that hide it, and neither has anybody who may be corrupt with it",
    ),
    **dict.fromkeys(("Pdc to b", "Pdc to b, too", "Pd to b", "Pd to b, too"), "b has no key of a and d"),
    "M7a to b, too": "one share of the sums, which a share of zero hides from b; the result party has it anyway",
    "M7c to b, too": "the same of the other share",
    "M7a to d, too": "the same for d",
    "M7c to d, too": "the same for d",
    **dict.fromkeys(
        ("tag held by d", "tag held by result", "tag_d held by b", "tag_d held by result"),
        "it sees no tokens of that key, and whoever may be corrupt with it sees none but its own",
    ),
    "check held by d": "it is sent no word of check",
    "check held by helper": "every word of check that it is sent is under a mask of a and b",
    "check held by result": "it is sent none",
    "check_d held by b": "it is sent none",
    "check_d held by helper": "every one is under a mask of a and d",
    "check_d held by result": "it is sent none",
    "s_bc held by d": "it receives nothing that these keys hide",
    "mask(s_ab, noise, summed) from s_ac": "the helper hears b's noise, and sees no sum to take it from",
    "mask(s_ab, noise, summed) from s_ad": "nobody but a and d has the mask: b could not make it, and nobody reads it",
    "mask(s_ab, noise, summed) from s_bc": "as for s_ac",
    "perm(s_ab, rho2) from s_ad": "an order that the helper lacks all the same; b could not make its message",
    **dict.fromkeys(
        (
            "permute(perm(s_ab, q), tags(tag, keys(a), fillers(a))) without, fillers(a)",
            "permute(perm(s_ab, q), tags(tag_d, keys(a), fillers(a))) without, fillers(a)",
        ),
        "the list has its declared length all the same, so that the term is not what is sent",
    ),
}
"""Edits after which nobody within the model learns more; both checkers say so, and agree on everybody beyond it."""
