"""The terms of dh_psi_cardinality are what its roles send, byte for byte; edits of them and of the code are noticed."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pets.errors import PetsError, SpecError
from pets.protocols import dh_psi
from pets.spec.cards import cards_folder, parse_card
from pets.spec.term import calls
from tests.oracles import dh_psi as oracle
from tests.oracles.dh_psi import CARD, Case, Reading, random_case, roles
from tests.oracles.mistaken import mistaken
from tests.oracles.play import play
from tests.protocols.test_terms import compared, made_by, terms_of

RICH = Case([b"1", b"22", b"3", b"22"], [b"3", b"22", b"9"], 4, 5, (3, 7))
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "label": ("order", "fresh"),
    "name": tuple(message.label for message in CARD.messages),
}


def sent_by(case: Case, seed: int, code: object = dh_psi) -> dict[str, bytes]:
    return {key[2]: array.tobytes() for key, array in play(roles(case, seed, code=code), seed=seed).sent}


@cache
def intact() -> tuple[Reading, dict[str, bytes]]:
    reading = Reading(RICH, 1)
    for message in CARD.messages:
        reading.message(message.label)
    return reading, sent_by(RICH, 1)


@pytest.mark.parametrize("case", [RICH, Case([], [], 0, 0), Case([], [b"7"], 2, 1), random_case(5)])
def test_every_message_is_its_term(case: Case) -> None:
    reading = Reading(case, 3)
    assert {m.label: b"".join(reading.message(m.label)) for m in CARD.messages} == sent_by(case, 3)


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    for message in CARD.messages:
        assert not list(made_by(message.sender, message.meaning, CARD))
        assert list(made_by(message.receiver, message.meaning, CARD)), message.label


EQUAL = {
    ("D1", "permute(perm(own_a, order), times(scalar_a, points(keys(a), fillers(a), agreed(b))))"),
    ("D3", "permute(perm(own_b, order), times(scalar_b, points(keys(b), fillers(b), agreed(a))))"),
}
"""Edits that change nothing that is sent: the entry that both bring is one."""


@pytest.mark.parametrize("place", terms_of(CARD))
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    whole, sent = intact()
    known = {label: each for label, each in whole._known.items() if label != place}
    unnoticed, differ = compared(
        CARD, place, OTHERS, lambda card: b"".join(Reading(RICH, 1, card, dict(known)).message(place)), sent[place]
    )
    assert unnoticed == {each for each in EQUAL if each[0] == place}
    assert differ > 2, "edits that say nothing prove little"


def test_scalars_in_either_order_give_the_same() -> None:
    """What docs/rules/terms.md says of ``times``, and what the count rests on."""
    reading, _ = intact()
    ours = set(reading.message("D2"))
    twice = next(call for call in calls(CARD.messages[2].meaning) if call.head == "times")
    both = replace(twice, head="times", args=("scalar_a", twice))
    assert len(ours & set(reading.value(replace(twice, head="cut", args=(both,))))) == RICH.oracle() + 1


# -- cards ------------------------------------------------------------------------------------------------------------

TEXT = (cards_folder() / dh_psi.PROTOCOL / "card.toml").read_text(encoding="utf-8")
MALFORMED = {
    "elements that are sent as tags": ('element = "point"', 'element = "bytes[32]"', "no vector of tags"),
    "tags that are sent as elements": ('element = "bytes[t]"', 'element = "point"', "no vector of points"),
    "elements of nobody's making": ("sort(cut(times(scalar_b, D1)))", "sort(cut(D1))", "no vector of tags"),
    "a list multiplied twice in one term": ("times(scalar_b, D1)", "times(scalar_b, times(scalar_b, D1))", "no vector"),
    "words that are multiplied": ("times(scalar_b, D1)", "times(scalar_b, match)", "no vector of tags"),
    "a scalar that gives an order, too": ("perm(own_a, order)", "perm(scalar_a, order)", "serves for"),
    "elements in two orders": (
        "permute(perm(own_a, order), times(",
        "permute(perm(own_a, order), permute(perm(own_a, order), times(",
        "expected )",
    ),
    "a key that is not on the card": ("times(scalar_b, D1)", "times(scalar_c, D1)", "no key"),
    "persons that are not said": ('carries = ["b.key"]', "carries = []", "carries nothing"),
    "an unknown kind of element": ('element = "point"', 'element = "points"', "pattern"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_card_that_contradicts_itself_is_refused(name: str) -> None:
    old, new, problem = MALFORMED[name]
    assert old in TEXT
    with pytest.raises(SpecError, match=problem.replace(")", r"\)")):
        parse_card(TEXT.replace(old, new, 1).encode(), file="card.toml")


# -- mistakes in the code that leave every count right ----------------------------------------------------------------

SOURCE = Path(dh_psi.__file__).read_text(encoding="utf-8")
MUTANTS = {
    "tags not sorted": ("return order, tags\n", "return order, out\n"),
    "list in the order of its persons": ("out[order[tile]] = ", "out[tile] = "),
    "no entries of nobody": ("if len(persons) > declared:", "declared = len(persons)\n    if len(persons) > declared:"),
    "the same entries of nobody in each run": ("prf.words(key_of_nobody,", "prf.words(Secret(bytes(16)),"),
    "one scalar for all runs": (
        "curve.new_scalar(Secret(value[: curve.UNIFORM_BYTES]))",
        "curve.new_scalar(Secret(bytes([7] * 64)))",
    ),
    "one order for all runs": ("permute.permutation(own.order,", "permute.permutation(Secret(bytes(16)),"),
    "a hash that is the same for all specifications": ("return _HASH + binding.digest", "return _HASH"),
    "tags that are the same for all runs": ("_TAGS + binding.run_id", "_TAGS"),
    "tags a byte shorter": ("whole[: len(points), :width]", "whole[: len(points), :width] & 254"),
    "no entry that both bring": ("padding, Kind.COMMON_DUMMY", "padding, Kind.SENTINEL"),
    "persons as often as they come": ("ids[each_once(ids, own.key_of_persons)]", "ids"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    old, new = MUTANTS[name]
    code = mistaken(SOURCE, "dh_psi", [(old, new, 1)])
    try:
        assert sent_by(RICH, 1, code) != intact()[1]
    except (PetsError, ValueError) as error:
        assert not isinstance(error, NameError)


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    assert sent_by(RICH, 1, mistaken(SOURCE, "dh_psi_whole", [])) == intact()[1]
    assert oracle.CARD.version == "1"
    assert np.frombuffer(intact()[1]["D1"], np.uint8).size == 32 * 5
