"""Mode B before both checkers: the helper learns sizes only, they agree, and no planted leak gets past them."""

import random
from collections.abc import Mapping
from functools import cache

import pytest

from pets.check import flow, knowledge
from pets.check.disclosure import render
from pets.check.labels import MATCHES, Mark
from pets.errors import SpecError
from pets.plan.lower import lower
from pets.plan.review import review
from pets.spec.cards import Card, cards_folder, load_cards, parse_card
from pets.spec.joins import MODE_A, MODE_B, choice
from pets.spec.model import Spec
from pets.spec.sql import bind
from tests.check import corpus, test_agreement
from tests.oracles import planted
from tests.oracles.planted import Planted, held_by, sends, sent_to, swap
from tests.thinned import thinned

TEXT = (cards_folder() / MODE_B / "card.toml").read_text(encoding="utf-8")


def in_mode_b(spec: Spec, *, named: bool = True) -> Spec:
    """The specification without a count for the helper, under mode B, which is named or left to the planner."""
    left = tuple(item for item in spec.security.leakage if item.item != "match_count")
    security = spec.security.model_copy(update={"leakage": left, "protocol": MODE_B if named else None})
    tables = tuple(table.model_copy(update={"one_max_rows": min(table.max_rows, 10_000)}) for table in spec.datasets)
    return spec.model_copy(update={"security": security, "datasets": tables})


DEMO = in_mode_b(corpus.parse_toml((corpus.HERE / "should_pass" / "ae_by_tenure.toml").read_text()))


@cache
def card_with(edit: Planted) -> Mapping[str, Card]:
    card = parse_card(edit.edit(TEXT).encode(), file=edit.name)
    return {**load_cards(), card.id: card}


def both(spec: Spec, cards: Mapping[str, Card]) -> tuple[bool, bool, tuple[str, ...]]:
    """Who accepts, and where they differ."""
    query = bind(spec)
    first = flow.judge(spec, query, cards)
    second = knowledge.judge(lower(spec, query), spec, cards)
    return first.accepted, second.accepted, first.matrix.differences(second.matrix)


# -- what is told -----------------------------------------------------------------------------------------------------


OF_TWO = [
    file
    for file in corpus.PASS
    if file.stem not in ("three_tables", "three_tables_across", "five_tables") and "many_holders" not in file.stem
]
"""Those that a join of two tables with a helper can run."""


@pytest.mark.parametrize("file", thinned(OF_TWO, one_in=2), ids=lambda file: file.stem)
def test_every_accepted_specification_is_accepted_without_the_count(file: corpus.Path) -> None:
    """In mode B the matrix is that of mode A, but nobody in the model, and no holder with others, has the count."""
    spec = corpus.parse_toml(file.read_text())
    other = in_mode_b(spec)
    assert both(other, load_cards()) == (True, True, ())
    of_a, of_b = (flow.judge(each, bind(each), load_cards()).matrix for each in (spec, other))
    assert of_a.columns == of_b.columns
    allowed = {(Mark.NOISED, Mark.NEVER)}
    for one, two in zip(of_a.rows, of_b.rows, strict=True):
        changed = {(one.cells[c.label], two.cells[c.label]) for c in of_a.columns} - {(m, m) for m in Mark}
        if (one.kind, one.value) == (MATCHES.kind, MATCHES.value):
            assert changed == (allowed if choice(spec).protocol == MODE_A else set())
        else:
            assert all(new.rank <= old.rank or new is Mark.HELD for old, new in changed), (one.value, changed)


def test_the_helper_learns_sizes_only() -> None:
    matrix = flow.judge(DEMO, bind(DEMO), load_cards()).matrix
    seen = {row.value: row.cells["helper"] for row in matrix.rows}
    assert set(seen.values()) <= {Mark.NEVER, Mark.HELD, Mark.SIZE}
    assert {value for value, mark in seen.items() if mark is Mark.SIZE} == {
        "greatest number of rows of attendances",
        "greatest number of rows of housing",
    }


@pytest.mark.parametrize("block", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 40))])
def test_they_agree_on_random_plans(block: int) -> None:
    for seed in range(20 * block, 20 * (block + 1)):
        spec = in_mode_b(test_agreement.planned(seed)[0])
        query = bind(spec)
        case = knowledge.case_of(lower(spec, query), spec, load_cards())
        edits = [edit for edit in LEAKS if edit.leaks(case)]
        assert both(spec, load_cards()) == (True, True, ()), spec.computation.sql
        edit = random.Random(seed).choice(edits)
        assert both(spec, card_with(edit))[:2] == (False, False), (edit.name, spec.computation.sql)


# -- what is chosen ---------------------------------------------------------------------------------------------------


def test_the_cheapest_protocol_that_tells_no_more_than_is_declared_is_taken() -> None:
    declared = corpus.parse_toml((corpus.HERE / "should_pass" / "ae_by_tenure.toml").read_text())
    declared = declared.model_copy(update={"datasets": DEMO.datasets})
    open_ = declared.model_copy(update={"security": declared.security.model_copy(update={"protocol": None})})
    for spec, card, word in (
        (declared, MODE_A, "names it"),
        (open_, MODE_A, "helper is declared to learn match_count"),
        (in_mode_b(declared, named=False), MODE_B, "nobody is declared"),
        (DEMO, MODE_B, "names it"),
    ):
        found = review(spec)
        assert found.accepted and found.plan is not None
        assert found.plan.join.card == card == choice(spec).protocol
        assert word in choice(spec).why
    cheaper, dearer = review(declared).forecast, review(DEMO).forecast
    assert cheaper is not None and dearer is not None and cheaper.size < dearer.size


def test_the_report_says_which_protocol_and_why() -> None:
    told = render(review(in_mode_b(DEMO, named=False)))
    assert MODE_B in told and "tells the helper match_count, which nobody is declared to learn" in " ".join(
        told.split()
    )
    assert "does not learn how many rows match" in " ".join(told.split())


def test_the_demonstration_has_a_specification_in_mode_b() -> None:
    spec = corpus.parse_toml((cards_folder().parent / "parties" / "demo" / "sizes_only.spec.toml").read_text())
    found = review(spec)
    assert found.accepted and found.plan is not None and found.plan.join.card == MODE_B
    assert not found.findings


def test_a_count_that_is_declared_and_not_told_is_said() -> None:
    declared = corpus.parse_toml((corpus.HERE / "should_pass" / "ae_by_tenure.toml").read_text())
    spec = declared.model_copy(update={"security": declared.security.model_copy(update={"protocol": MODE_B})})
    found = review(spec)
    assert found.accepted
    assert "leak.surplus" in {finding.rule for finding in found.findings}


def test_mode_a_without_the_count_is_refused_as_before() -> None:
    security = DEMO.security.model_copy(update={"protocol": MODE_A})
    found = review(DEMO.model_copy(update={"security": security}))
    assert [finding.rule for finding in found.verdict.errors] == ["leak.undeclared"]


def test_lists_too_long_for_its_chance_of_a_wrong_match_are_refused() -> None:
    tables = tuple(table.model_copy(update={"one_max_rows": 2**24}) for table in DEMO.datasets)
    found = review(DEMO.model_copy(update={"datasets": tables}))
    assert [finding.rule for finding in found.verdict.errors] == ["spec.rows"]


# -- what is planted --------------------------------------------------------------------------------------------------


def travels(case: knowledge.Case) -> bool:
    """Role b's table has more in it than who is there."""
    return bool(case.columns["v_t"])


def unmasked(label: str, mask: str, when: planted.When = planted.always) -> Planted:
    def edit(text: str) -> str:
        assert text.count(f' - {mask}"') == 1
        text = text.replace(f' - {mask}"', '"')
        return text.replace(f" + diff(gather({mask}, M8))", "")

    return Planted(f"{label} has no mask", edit, when)


LEAKS = (
    *(
        Planted(f"{label} goes to {receiver}", sent_to(label, receiver), when)
        for label, receiver, when in (
            ("T", "b", planted.always),
            ("M8", "b", planted.groups),
            ("P", "a", travels),
            ("Pc", "a", planted.always),
            ("M7a", "helper", planted.always),
            ("M7c", "a", planted.result_is_not_a),
        )
    ),
    unmasked("Pc", "mask(s_ab, rc, check)"),
    unmasked("P", "mask(s_ab, r, gathered)", travels),
    Planted("the helper holds the tag key", held_by("tag", "a", "b", "helper")),
    Planted(
        "P is masked for nobody but b and the helper",
        swap("mask(s_ab, r, gathered)", "mask(s_bc, r, gathered)"),
        travels,
    ),
    Planted(
        "P is masked for nobody but a and the helper",
        swap("mask(s_ab, r, gathered)", "mask(s_ac, r, gathered)"),
        travels,
    ),
    Planted("Pc is masked for nobody but b and the helper", swap("mask(s_ab, rc, check)", "mask(s_bc, rc, check)")),
    Planted(
        "the mask of P twice",
        swap("- mask(s_ab, r, gathered)", "- mask(s_ab, r, gathered) - mask(s_ab, r, gathered)"),
        travels,
    ),
    Planted("rho2 is known to the helper", swap("perm(s_ab, rho2)", "perm(s_ac, rho2)"), planted.groups),
    Planted("the helper adds no noise", swap(" + noise(helper, summed)", "")),
    Planted(
        "no share of zero",
        planted.all_of(swap(" - zero(s_ac, summed)", ""), swap(" + zero(s_ac, summed)", "")),
        planted.result_is_not_a,
    ),
    Planted(
        "b lists its persons, too",
        sends("b", "helper", "sort(tags(tag, keys(b), fillers(b)))", "b.key", columns="1", element="bytes[t]"),
    ),
    Planted(
        "b tells its part of the rows", sends("b", "a", "share(b, rows)", "a.values", "b.values", "b.groups", "match")
    ),
    Planted(
        "a tells its part of the rows",
        sends("a", "helper", "share(a, rows)", "a.values", "b.values", "b.groups", "match"),
    ),
    Planted(
        "the result party is sent a table",
        sends(
            "b", "result", "table(tag, keys(b), values(b, gathered))", "b.key", "b.values", "b.groups", columns="v_t"
        ),
        lambda case: travels(case) and planted.result_is_not_b(case),
    ),
)


@pytest.mark.parametrize("edit", LEAKS, ids=lambda edit: edit.name)
def test_each_checker_finds_each_planted_leak(edit: Planted) -> None:
    query = bind(DEMO)
    plan = lower(DEMO, query)
    assert edit.leaks(knowledge.case_of(plan, DEMO, load_cards()))
    assert "leak.undeclared" in {f.rule for f in flow.judge(DEMO, query, card_with(edit)).errors}
    assert "leak.undeclared" in {f.rule for f in knowledge.judge(plan, DEMO, card_with(edit)).errors}


SWEEP = planted.sweep(TEXT)


@pytest.mark.parametrize("block", range(2))
def test_no_edit_of_the_card_leaks_past_both_checkers(block: int) -> None:
    """What the second finds the first refuses, too; what neither refuses is listed with the reason, or they differ."""

    def asked(card: Card) -> planted.Asked:
        spec = in_mode_b(test_agreement.swept_by(card)[0])
        query = bind(spec)
        return spec, query, lower(spec, query)

    for name in list(SWEEP)[block::2]:
        if found := planted.judged(name, SWEEP[name], asked):
            assert planted.passes(found) == (name in TELLS_NOBODY), (name, [f.message for f in found[1].errors])


TELLS_NOBODY = {
    "M7a to b, too": "one share of the sums, which a share of zero hides from b; the result party has it anyway",
    "M7c to b, too": "the same of the other share",
    "tag held by result": "it sees no tokens, and whoever may be corrupt with it sees none but its own",
    "check held by helper": "every word of check that it is sent is under a mask of a and b",
    "check held by result": "it is sent none",
    "mask(s_ab, noise, summed) from s_ac": "the helper hears b's noise, and sees no sum to take it from",
    "mask(s_ab, noise, summed) from s_bc": "the same",
    "permute(perm(s_ab, q), tags(tag, keys(a), fillers(a))) without, fillers(a)": "the list has its declared length "
    "all the same, so that the term is not what is sent (test_terms_b.py)",
}
"""Edits after which nobody within the model learns more; both checkers say so, and agree on everybody beyond it."""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('parties = ["a", "helper", "b"]', 'parties = ["a", "b", "helper"]', "is not held by parties"),
        ('parties = ["a", "helper", "b"]', 'parties = ["a", "a", "b"]', "plays two"),
        ('parties = ["a", "helper", "b"]', 'parties = ["a", "z", "b"]', "is not a role"),
        ('makes = "rows"', 'makes = "columns"', "no shared value"),
        ("part(s_bc, rows, summed)", "part(s_bc, sums, summed)", "a part that it does not make"),
        (
            'operation = "is_zero", n = "alone * n_list_a"',
            'operation = "is_zero", n = "alone * n_list_c"',
            "not a parameter",
        ),
        ('mark = "j"', 'mark = "J"', "pattern"),
        ("checks(check, b)", "checks(s_ab, b)", "serves for"),
        ("table(tag, keys(b), checks(check, b))", "table(tag, keys(b), noise(b, summed))", "no vector of words"),
    ],
)
def test_a_program_that_does_not_fit_its_card_is_refused(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    with pytest.raises(SpecError) as caught:
        parse_card(TEXT.replace(old, new).encode(), file="card.toml")
    assert caught.value.code == "card.field" and problem in str(caught.value)


def test_operations_that_no_card_lists_are_refused() -> None:
    from pets.spec.cards import _check_operations

    card = parse_card(TEXT.replace('operation = "is_zero"', 'operation = "is_one"').encode(), file="card.toml")
    with pytest.raises(SpecError, match="is no operation"):
        _check_operations(card, load_cards())
    card = parse_card(TEXT.replace('card = "rep3"', 'card = "release"').encode(), file="card.toml")
    with pytest.raises(SpecError, match="no card of operations"):
        _check_operations(card, load_cards())
