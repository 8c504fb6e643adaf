"""The terms of mode B's card are what its roles send, byte for byte; every edit of one, and of the code, is noticed.

What the program of the card makes is taken from the run; that its parts add up to what the card says is tested here,
and that they say nothing alone by the card of the operations (test_rep3.py).
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pets.errors import PetsError
from pets.spec.cards import Card, load_cards
from pets.spec.term import HEADS, INDEX, calls, parse_term
from tests.oracles import helper_join_b as oracle
from tests.oracles import hiding
from tests.oracles.mutants_b import CHANGES, mutant
from tests.oracles.play import Transcript, play, words
from tests.oracles.terms import Meaningless, Reading, Run
from tests.protocols import test_terms as mode_a
from tests.protocols.test_terms import edits, made_by, terms_of, text_of, with_term

CARD = load_cards()["helper_join_b"]
CASES = mode_a.CASES
SAMPLE = ("rich", "no rows", "nobody in b", "no match", "nothing summed", "spread 3", "public 4", "small 5", "small 7")
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "label": (
        *sorted({str(c.args[1]) for t in terms_of(CARD).values() for c in calls(t) if c.head in ("mask", "perm")}),
        "zero",
        "fresh",
    ),
    "index": tuple(dict.fromkeys(INDEX.values())),
    "shared": ("rows", "sums"),
    "name": (*(message.label for message in CARD.messages), "match", "rows", "sums"),
}


def run_of(name: str) -> tuple[Run, Transcript]:
    """A case with any words for noise and for a's own sums, played; the parts of what the program made are kept."""
    case, seed = CASES[name], 1 + list(CASES).index(name)
    noise, local = words(seed, 3, len(case.summed), case.g), words(seed + 1000, len(case.summed), case.g)
    parts: dict[tuple[str, int], np.ndarray] = {}
    roles = oracle.roles(case, seed, noise_words=noise, local=local, code=oracle.recording(parts))
    played = play(roles, seed=seed)
    names = CARD.names(oracle.public(case))
    return Run(case, seed, noise, local, names, oracle.hj.PROTOCOL, oracle.ones(case), parts), played


@cache
def intact(name: str) -> tuple[Run, Reading, dict[tuple[str, int], bytes]]:
    run, played = run_of(name)
    own = {message.label for message in CARD.messages}
    sent = {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in played.sent if key[2] in own}
    return run, Reading(CARD, run), sent


@pytest.mark.parametrize("name", SAMPLE)
def test_every_message_is_its_term(name: str) -> None:
    _, reading, sent = intact(name)
    left = dict(sent)
    for message in CARD.messages:
        for column, expected in enumerate(reading.sent(message)):
            assert left.pop((message.label, column)) == expected, (message.label, column)
    assert not left


@pytest.mark.parametrize("name", SAMPLE)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    run, reading, _ = intact(name)
    plain = run.case.oracle().view(np.uint64) + run.local
    for at in reading.of_formula("v"):
        for shared in ("rows", "sums"):
            value, total = reading.opened(shared, at)
            assert np.array_equal(value, total), (shared, at)
        assert np.array_equal(reading.opened("sums", at)[0], plain[at.summed]), "the sums are other sums"


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    for message in (m for m in CARD.messages if m.label not in mode_a.PARTS):
        assert not list(made_by(message.sender, message.meaning, CARD))
        others = [role for role in CARD.roles if role != message.sender]
        assert not [role for role in others if not list(made_by(role, message.meaning, CARD))], message.label
    for shared in CARD.shared:
        for role, term in shared.shares.items():
            assert not list(made_by(role, term, CARD))


def notices(card: Card, place: str, name: str) -> str:
    run, whole, sent = intact(name)
    edited = [message for message in card.messages if message.label == place]
    reading = Reading(card, run, {key: value for key, value in whole._known.items() if edited and key[0] != place})
    try:
        if not edited:
            for at in reading.of_formula("v"):
                for shared in ("rows", "sums"):
                    if not np.array_equal(*reading.opened(shared, at)):
                        return "differs"
        for message in edited or card.messages:
            if any(sent[message.label, column] != got for column, got in enumerate(reading.sent(message))):
                return "differs"
    except (Meaningless, RecursionError):
        return "meaningless"
    return ""


@pytest.mark.parametrize("place", terms_of(CARD))
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    found = {}
    for term in edits(terms_of(CARD)[place], OTHERS):
        card = with_term(CARD, place, term)
        found[text_of(term)] = next((how for name in ("rich", "spread 3") if (how := notices(card, place, name))), "")
    assert not [text for text, how in found.items() if not how]
    assert "differs" in found.values(), "edits that say nothing prove little"


def test_the_card_as_it_is_is_not_told_from_what_is_sent() -> None:
    for place in terms_of(CARD):
        assert not notices(CARD, place, "rich")


@pytest.mark.parametrize("swapped", [("plain", "product"), ("product", "plain"), ("plain", "always")])
def test_another_kind_of_column_is_noticed(swapped: tuple[str, str]) -> None:
    shared = tuple(replace(s, when=swapped[1]) if s.when == swapped[0] else s for s in CARD.shared)  # type: ignore[arg-type]
    assert notices(replace(CARD, shared=shared), "0 rows", "rich")


@pytest.mark.parametrize("name", CHANGES)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    """Most leave every sum right: the roles send something else than the terms and the card's numbers say, or fail."""
    for case in ("rich", "spread 3"):
        run, _, _ = intact(case)
        parts: dict[tuple[str, int], np.ndarray] = {}
        code = oracle.recording(parts, mutant(name))
        try:
            roles = oracle.roles(run.case, run.seed, noise_words=run.noise, local=run.local, code=code)
            played = play(roles, seed=run.seed)
            reading = Reading(CARD, replace(run, parts=parts, _kept={}))
            expected = {(m.label, column): sent for m in CARD.messages for column, sent in enumerate(reading.sent(m))}
            own = {m.label for m in CARD.messages}
            sent = {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in played.sent if key[2] in own}
            if sent != expected or played.bytes() != CARD.cost.bytes.evaluate(run.names):
                return
            for at in reading.of_formula("v"):
                if not np.array_equal(*reading.opened("rows", at)):
                    return
        except (PetsError, ValueError, AssertionError):
            return
    pytest.fail("the terms are still what is sent")


# -- what is seen is uniform but for the sums (protocols/helper_join_b/README.md) -------------------------------------

ALONE = (("a",), ("b",), ("helper",))
WITH_RESULT = (("result",), ("result", "a"), ("result", "b"), ("result", "helper"))
MASKS = ("r", "rc", "r2", "noise", "zero")


def told(name: str, coalition: tuple[str, ...], **planted: str) -> int:
    """Combinations of words known bare, beyond the sums, by who knows all parts that the program makes besides."""
    run, _, _ = intact(name)
    sums = len(run.case.summed) * run.case.g if "result" in coalition else 0
    return hiding.bare(hiding.received(CARD, run, coalition, **planted)) - sums


@pytest.mark.parametrize("coalition", [*ALONE, *WITH_RESULT], ids="+".join)
@pytest.mark.parametrize("name", ["rich", "no rows", "spread 3", "small 5"])
def test_words_are_uniform_but_for_the_sums(name: str, coalition: tuple[str, ...]) -> None:
    assert told(name, coalition) == 0


def test_collusion_with_the_helper_tells_words() -> None:
    assert told("rich", ("a", "helper")) > 0


@pytest.mark.parametrize("label", MASKS)
def test_every_mask_is_needed_anew_for_each_column(label: str) -> None:
    assert any(told("rich", coalition, told=label) > 0 for coalition in (*ALONE, *WITH_RESULT))
    if label != "rc":  # there is one column of check
        assert any(told("rich", coalition, once=label) > 0 for coalition in (*ALONE, *WITH_RESULT))


def test_every_head_and_mask_of_the_card_is_in_this_test() -> None:
    terms = list(terms_of(CARD).values())
    assert {call.head for term in terms for call in calls(term)} <= set(HEADS)
    found = {str(call.args[1]) for term in terms for call in calls(term) if call.head == "mask"}
    assert set(MASKS) == {*found, "zero"}
    assert parse_term(CARD.messages[0].term) == CARD.messages[0].meaning
