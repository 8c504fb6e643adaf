"""The proof of protocols/helper_join_a/README.md, word by word: what a coalition sees is uniform but for the sums."""

from collections.abc import Collection

import pytest

from pets.spec.cards import load_cards
from pets.spec.term import calls
from tests.oracles import hiding
from tests.oracles.terms import Run
from tests.protocols.test_terms import CASES, run_of, terms_of

CARD = load_cards()["helper_join_a"]
ALONE = (("a",), ("b",), ("helper",))
WITH_RESULT = (("result",), ("result", "a"), ("result", "b"), ("result", "helper"))
MASKS = ("u", "v", "w", "r", "r1", "r2", "noise", "zero")
SAMPLE = ("rich", "no rows", "nobody in b", "no match", "spread 3", "spread 7", "public 4", "small 5")


def told(run: Run, coalition: Collection[str], **planted: str) -> int:
    """Combinations of words that a coalition knows bare, beyond the sums where the result party is in it."""
    sums = len(run.case.summed) * run.case.g if "result" in coalition else 0
    return hiding.bare(hiding.received(CARD, run, coalition, **planted)) - sums


@pytest.mark.parametrize("coalition", [*ALONE, *WITH_RESULT], ids="+".join)
@pytest.mark.parametrize("name", SAMPLE)
def test_words_are_uniform_but_for_the_sums(name: str, coalition: tuple[str, ...]) -> None:
    """Received words are independent; with the result party, one dependence a cell: the final shares add up."""
    assert told(run_of(name), coalition) == 0


@pytest.mark.parametrize("coalition", [("a", "helper"), ("b", "helper")], ids="+".join)
def test_collusion_with_the_helper_tells_words(coalition: tuple[str, ...]) -> None:
    """The same count shows what the card declares beyond the model: so it can count."""
    assert told(run_of("rich"), coalition) > 0


@pytest.mark.parametrize("label", MASKS)
def test_every_mask_is_needed(label: str) -> None:
    run = run_of("rich")
    assert any(told(run, coalition, told=label) > 0 for coalition in (*ALONE, *WITH_RESULT))


@pytest.mark.parametrize("label", MASKS)
def test_every_mask_is_needed_anew_for_each_column(label: str) -> None:
    run = run_of("rich")
    assert any(told(run, coalition, once=label) > 0 for coalition in (*ALONE, *WITH_RESULT))


def test_the_sample_has_cases_of_every_kind() -> None:
    assert set(SAMPLE) <= set(CASES)
    assert any(of_a is None for name in SAMPLE for _, of_a in CASES[name].summed)
    assert any(of_a is not None for name in SAMPLE for _, of_a in CASES[name].summed)
    found = {str(call.args[1]) for term in terms_of(CARD).values() for call in calls(term) if call.head == "mask"}
    assert set(MASKS) == {*found, "zero"}
