"""Two checkers, written apart: the same matrix on plans nobody wrote, and no planted leak that one of them misses."""

import itertools
import random
from collections.abc import Mapping
from functools import cache

import pytest

from pets.check import flow, knowledge
from pets.errors import LeakError, SpecError
from pets.plan.lower import lower
from pets.spec.cards import Card, Message, load_cards, parse_card
from pets.spec.ir import Plan
from pets.spec.model import Spec
from pets.spec.query import Query
from pets.spec.sql import bind
from tests.check import corpus
from tests.oracles import planted
from tests.oracles import random_queries as drawn
from tests.thinned import thinned

Planned = tuple[Spec, Query, Plan]


@cache
def card_with(edit: planted.Planted) -> Mapping[str, Card]:
    card = parse_card(edit.edit(planted.TEXT).encode(), file=edit.name)
    return {**load_cards(), card.id: card}


def planned(seed: int) -> Planned:
    """A specification that is accepted as far as its query goes, with a query drawn from a seed."""
    draw = random.Random(f"agreement {seed}")
    world = drawn.world(seed)
    for number in itertools.count(1000 * seed):
        spec = drawn.spec_of(
            world, drawn.ask(number, world), result=draw.choice(["office", "office", "board", "council"])
        )
        try:
            query = bind(spec)
            return spec, query, lower(spec, query)
        except (SpecError, LeakError):
            continue
    raise AssertionError


def agree(seed: int) -> None:
    """Both on the plan as it is and with one leak: the same matrix, the same verdict, no leak missed."""
    spec, query, plan = planned(seed)
    case = knowledge.case_of(plan, spec, load_cards())
    edits = [edit for edit in planted.LEAKS if edit.leaks(case)]
    for edit in (random.Random(seed).choice(planted.HARMLESS), edits[seed % len(edits)]):
        hold((spec, query, plan), edit)


def hold(judged: Planned, edit: planted.Planted) -> None:
    """One plan under one edit of the card."""
    spec, query, plan = judged
    cards = card_with(edit)
    first, second = flow.judge(spec, query, cards), knowledge.judge(plan, spec, cards)
    leaks = edit in planted.LEAKS
    assert (not first.accepted, not second.accepted) == (leaks, leaks), (edit.name, spec.computation.sql)
    if not leaks:
        assert first.matrix.differences(second.matrix) == (), (edit.name, spec.computation.sql)


@pytest.mark.parametrize("block", thinned(range(5), one_in=2))
def test_they_agree_on_random_plans(block: int) -> None:
    for seed in range(40 * block, 40 * block + 16):
        agree(seed)


def test_they_agree_where_role_b_brings_no_column() -> None:
    """Values of b then only say which rows are somebody's: with the matches, their exact number."""
    spec, query, plan = planned(5086)
    assert not knowledge.case_of(plan, spec, load_cards()).sides["b"].summed
    cards = card_with(next(edit for edit in planted.LEAKS if edit.name == "M3 goes to helper"))
    assert not flow.judge(spec, query, cards).accepted
    assert not knowledge.judge(plan, spec, cards).accepted


@pytest.mark.long
@pytest.mark.parametrize("block", range(40))
def test_they_agree_on_ten_thousand_random_plans(block: int) -> None:
    for seed in range(1000 + 250 * block, 1000 + 250 * (block + 1)):
        agree(seed)


@pytest.mark.parametrize("file", thinned(corpus.PASS, one_in=3), ids=lambda file: file.stem)
def test_they_agree_on_every_accepted_specification(file: corpus.Path) -> None:
    spec, query, plan = of_corpus(file.stem)
    first, second = flow.judge(spec, query, load_cards()), knowledge.judge(plan, spec, load_cards())
    assert second.findings == ()
    assert first.matrix.differences(second.matrix) == ()


@pytest.mark.parametrize("edit", planted.LEAKS, ids=lambda edit: edit.name)
def test_each_checker_finds_each_planted_leak(edit: planted.Planted) -> None:
    """On the demonstration's kind of query, which has products, plain sums, and groups on both sides."""
    spec, query, plan = of_corpus("ae_by_tenure")
    assert edit.leaks(knowledge.case_of(plan, spec, load_cards()))
    assert "leak.undeclared" in {f.rule for f in flow.judge(spec, query, card_with(edit)).errors}
    assert "leak.undeclared" in {f.rule for f in knowledge.judge(plan, spec, card_with(edit)).errors}


@pytest.mark.parametrize("edit", planted.HARMLESS, ids=lambda edit: edit.name)
def test_what_tells_nobody_anything_is_not_refused(edit: planted.Planted) -> None:
    spec, query, plan = of_corpus("ae_by_tenure")
    first = flow.judge(spec, query, card_with(edit))
    second = knowledge.judge(plan, spec, card_with(edit))
    assert first.accepted and second.accepted
    assert first.matrix.differences(second.matrix) == ()


@pytest.mark.parametrize("seed", [1256, 4013, 5086])
def test_they_agree_where_they_once_did_not(seed: int) -> None:
    """Role b brings no column; role a multiplies nothing but which of a person's rows is the first."""
    judged = planned(seed)
    case = knowledge.case_of(judged[2], judged[0], load_cards())
    for edit in (each for each in planted.LEAKS if each.leaks(case)):
        hold(judged, edit)


# -- every small edit of the card -------------------------------------------------------------------------------------

SWEEP = planted.sweep()


def swept_by(card: Card) -> Planned:
    """A specification whose run has the messages that were edited: of a condition across tables, if no others were."""
    honest = load_cards()[card.id]
    before = {repr(part) for part in (*honest.messages, *honest.shared)}
    edited = [part for part in (*card.messages, *card.shared) if repr(part) not in before]
    only = {
        part.columns.text if isinstance(part, Message) else {"computed": "v_c", "keyed": "v_k"}.get(part.when, "")
        for part in edited
    }
    used = {"v_c": "condition_across_tables", "v_k": "groups_on_both_sides"}
    name = used.get(next(iter(only)), "ae_by_tenure") if len(only) == 1 else "ae_by_tenure"
    return of_corpus(name)


@cache
def of_corpus(name: str) -> Planned:
    spec = corpus.parse_toml((corpus.HERE / "should_pass" / f"{name}.toml").read_text())
    query = bind(spec)
    return spec, query, lower(spec, query)


@pytest.mark.parametrize("block", range(6))
def test_no_edit_of_the_card_leaks_past_both_checkers(block: int) -> None:
    """What the second finds the first refuses, too; what neither refuses tells nobody anything, or they differ on it.

    A specification on which they differ is refused (tests/plan/test_review.py), and so is a card whose shares do not
    add up or that does not load.
    """
    for name in list(SWEEP)[block::6]:
        if found := planted.judged(name, SWEEP[name], swept_by):
            assert planted.passes(found) == (name in planted.TELLS_NOBODY), name


def test_the_sweep_has_every_kind_of_edit() -> None:
    assert set(planted.TELLS_NOBODY) <= set(SWEEP)
    assert len(SWEEP) >= 100 and len(set(SWEEP.values())) == len(SWEEP)
