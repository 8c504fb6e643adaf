"""One party's whole check: refusals are findings, what is accepted has everything, and nothing else can be run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pets.check import knowledge
from pets.check.labels import Finding, Mark, Matrix, Verdict
from pets.errors import InternalError, LeakError, SpecError
from pets.plan.review import finding_of, review
from pets.spec.cards import Card, load_cards, parse_card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.parse import parse_toml
from tests.oracles import random_queries as drawn
from tests.oracles.planted import TEXT

CHECK = Path(__file__).parents[1] / "check"
PASS = sorted((CHECK / "should_pass").glob("*.toml"))
FAIL = sorted((CHECK / "should_fail").glob("*.toml"))


def short(file: Path) -> str:
    return file.stem


@pytest.mark.parametrize("file", PASS, ids=short)
def test_what_is_accepted_has_a_plan_a_forecast_and_a_matrix(file: Path) -> None:
    found = review(parse_toml(file.read_text()))
    assert found.accepted
    reviewed = found.require()
    assert reviewed.plan == found.plan
    assert reviewed.verdict.matrix.rows
    assert len(reviewed.cards) == 64


@pytest.mark.parametrize("file", FAIL, ids=short)
def test_what_is_refused_has_a_reason_and_cannot_be_run(file: Path) -> None:
    try:
        spec = parse_toml(file.read_text())
    except SpecError as error:
        assert error.code == "spec.field"  # refused even earlier, by the format
        return
    found = review(spec)
    assert not found.accepted
    assert found.verdict.errors
    with pytest.raises(LeakError) as caught:
        found.require()
    assert caught.value.code == "leak.refused"


def test_a_review_at_a_prompt_says_what_is_wrong_and_where() -> None:
    refused = CHECK / "should_fail" / "two_corrupt.toml"
    good, bad = review(parse_toml(PASS[0].read_text())), review(parse_toml(refused.read_text()))
    assert repr(good).splitlines()[0].endswith("accepted)")
    first = bad.verdict.errors[0]
    assert f"error {first.rule} at {first.path}: {first.message}" in repr(bad)


def test_a_review_in_a_notebook_stands_in_a_frame_that_runs_nothing() -> None:
    html = review(parse_toml(PASS[0].read_text()))._repr_html_()
    assert html.startswith("<iframe ") and " sandbox " in html and html.endswith("</iframe>")
    assert html.count("<") == 2  # the page inside is all escaped


@pytest.mark.parametrize("epsilon", ["0.123456789012345678", "0.000000000000000001", "999999999"])
@pytest.mark.parametrize("noised", [("0.5", "2^-40"), ("0.000000001", "2^-40"), ("0.5", "2^-999"), ("99999", "1/3")])
def test_no_declared_quantity_makes_the_check_raise(epsilon: str, noised: tuple[str, str]) -> None:
    text = PASS[0].read_text().replace('epsilon = "1"', f'epsilon = "{epsilon}"')
    text = text.replace('"0.5", delta = "2^-40"', f'"{noised[0]}", delta = "{noised[1]}"')
    found = review(parse_toml(text))
    assert found.accepted or found.verdict.errors


@pytest.mark.parametrize("seed", range(12))
def test_a_random_specification_is_accepted_or_refused_never_a_crash(seed: int) -> None:
    world = drawn.world(seed)
    text = drawn.ask(seed, world)
    found = review(drawn.spec_of(world, text, only=drawn.touched(world, text)))
    assert found.accepted == (not found.verdict.errors)


def test_an_error_becomes_a_finding_with_its_place_once() -> None:
    error = LeakError("dp.digits", column="count(*)")
    found = finding_of(error)
    assert (found.rule, found.path, found.severity) == ("dp.digits", "count(*)", "error")
    assert not found.message.startswith(("dp.digits", "count(*)"))
    assert found.hint == error.hint


# -- the two checkers -------------------------------------------------------------------------------------------------


def test_a_specification_on_which_the_checkers_differ_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of them is wrong, nothing runs: a mark that only one has, and a leak that only one finds."""
    spec = parse_toml(PASS[0].read_text())
    honest = knowledge.judge

    def other_mark(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
        found = honest(plan, spec, cards)
        row = found.matrix.rows[0]
        changed = replace(row, cells={**row.cells, "helper": Mark.VISIBLE})
        return Verdict((), Matrix(found.matrix.columns, (changed, *found.matrix.rows[1:])))

    def one_leak(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Verdict:
        finding = Finding("leak.undeclared", "error", "x", "helper can work out a value", "x")
        return Verdict((finding,), honest(plan, spec, cards).matrix)

    for wrong, told in ((other_mark, "helper"), (one_leak, "helper can work out a value")):
        monkeypatch.setattr(knowledge, "judge", wrong)
        with pytest.raises(InternalError) as caught:
            review(spec)
        assert caught.value.code == "plan.checkers-differ"
        assert told in caught.value.text


def test_a_card_that_leaks_past_the_first_checker_is_refused_by_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first checker believes what a card says that a message carries; the second looks into the message.

    A card that says too little is not even loaded (tests/spec/test_cards.py), so this one is made without its file.
    """
    spec = parse_toml(PASS[0].read_text())
    honest = parse_card(TEXT.replace("perm(s_ab, rho2)", "perm(s_ac, rho2)").encode(), file="card.toml")
    silent = tuple(replace(m, carries=() if m.label == "M8" else m.carries) for m in honest.messages)
    card = replace(honest, messages=silent)
    monkeypatch.setattr("pets.plan.review.load_cards", lambda: {**load_cards(), card.id: card})
    with pytest.raises(InternalError) as caught:
        review(spec)
    assert caught.value.code == "plan.checkers-differ"
    assert (
        "attendances.age_band, helper: H / V" in caught.value.text
        or "can work out attendances.age_band" in caught.value.text
    )
