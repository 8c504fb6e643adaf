"""Operations on cards: uses with other numbers, defaults of public numbers, and what is refused."""

import pytest

from pets.errors import SpecError
from pets.spec.cards import Card, cards_folder, parse_card
from pets.spec.operations import expanded

TEXT = (cards_folder() / "rep3" / "card.toml").read_text(encoding="utf-8")
START = (
    TEXT[: TEXT.index("[public]")]
    + """
[public]
n = "rows"
bits = "planes"

[derived]
w = "(n + 63) // 64"

[cost]
rounds = "0"
hello_rounds = "0"
bytes = "0"
wrong_result = "0"
abort = "0"
"""
)
ONE = """
[[operation]]
name = "one"
title = "planes"
learns = "nothing"
rounds = "1"
step = [{ label = "and", who = "each to the one before", count = "bits * w" }]
"""
OTHER = """
[[operation]]
name = "other"
title = "one, on other rows"
learns = "nothing"
rounds = "2"
step = [{ operation = "one", using = { bits = "bits + 1", w = "3 * w" } }, { operation = "one", times = "2" }]
"""


def card(text: str) -> Card:
    return parse_card(text.encode(), file="card.toml")


def test_a_use_has_its_own_numbers_and_leaves_those_of_its_user_alone() -> None:
    made = card(START + ONE + OTHER)
    counts = [each.count for each in expanded(made.operations, "other", made.names({"n": 65, "bits": 4}))]
    assert counts == [5 * 6] * 3 + [4 * 2] * 6


def test_a_public_number_with_a_default_may_be_left_out() -> None:
    made = card(START.replace("[derived]", 'more = "columns"\n\n[defaults]\nmore = "7"\n\n[derived]', 1) + ONE)
    assert made.names({"n": 1, "bits": 2})["more"] == 7
    assert made.names({"n": 1, "bits": 2, "more": 3})["more"] == 3
    for wrong in ({"n": 1, "more": 3}, {"n": 1, "bits": 2, "less": 3}, {"bits": 2}):
        with pytest.raises(SpecError, match=r"card\.parameters"):
            made.names(wrong)


@pytest.mark.parametrize("value", ["n", "less", "2 *"])
def test_a_default_is_a_number_of_its_own(value: str) -> None:
    wrong = START.replace("[derived]", f'more = "columns"\n\n[defaults]\nmore = "{value}"\n\n[derived]', 1)
    with pytest.raises(SpecError, match=r"card\."):
        card(wrong + ONE)


def test_a_default_of_what_is_no_public_number_is_refused() -> None:
    with pytest.raises(SpecError, match="other"):
        card(START.replace("[derived]", '[defaults]\nother = "1"\n\n[derived]', 1) + ONE)


@pytest.mark.parametrize("using", ['bits = "other"', 'bits = "2 *"'])
def test_a_use_with_numbers_that_nobody_knows_is_refused(using: str) -> None:
    with pytest.raises(SpecError, match=r"card\."):
        card(START + ONE + OTHER.replace('bits = "bits + 1"', using))
