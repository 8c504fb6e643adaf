"""Terms of intersections with a helper are what roles send, byte for byte; edits of them and of the code are noticed.

What the program of helper_psi_threshold makes is taken from the run; that its parts add up to what the card says is
tested here, and that they say nothing alone by the card of the operations (test_rep3.py).
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pets.errors import PetsError, SpecError
from pets.kernels import aes
from pets.protocols import helper_psi, helper_psi_cardinality, helper_psi_threshold, tagged
from pets.protocols.base import Role
from pets.spec.cards import Card, cards_folder, parse_card
from pets.spec.term import INDEX
from tests.oracles.helper_psi import CARDS, COUNT, ENOUGH, WHICH, Case, Reading, S, found, random_case, roles
from tests.oracles.mistaken import mistaken
from tests.oracles.play import play
from tests.oracles.terms import Meaningless
from tests.protocols.test_terms import edits, made_by, terms_of, text_of, with_term

RICH = Case(
    [b"1", b"22", b"3", b"5"],
    [b"3", b"22", b"9"],
    6,
    5,
    (3, 7),
    y=[[7, -8, 9], [2**62, 11, -(2**63)]],
    both=True,
    min_result=2,
    shown=True,
)
NOISED = replace(RICH, noise=(5, -3, 1000), min_result=900)
FEW = replace(RICH, min_result=3, fixed=True, both=False)
CASES = {"rich": RICH, "noised": NOISED, "too few": FEW, "nobody": Case([], [], 0, 0), "one": Case([], [b"7"], 2, 1)}
FAMILY = {0: "s_ab", 1: "s_ac", 2: "s_bc"}
"""Which family holds the component that party i of the program sends."""


def _telling(which: str) -> int:
    """A seed with which no two families give the same number of dummies, and none the middle one."""
    for seed in range(1, 100):
        run = Reading(which, RICH, seed, CARDS[which]).run
        if len({S, *(run.number_of_dummies(key) for key in FAMILY.values())}) == 4:
            return seed
    raise AssertionError("no seed tells")


SEEDS = {which: _telling(which) for which in CARDS}

SOURCES = {
    code.__name__.rpartition(".")[2]: Path(str(code.__file__)).read_text(encoding="utf-8")
    for code in (tagged, helper_psi, helper_psi_cardinality, helper_psi_threshold)
}


@pytest.fixture(autouse=True, scope="module")
def fastest() -> Iterator[None]:
    aes.select(aes.features()[0])
    yield
    aes.select(aes.features()[-1])


def code_of(which: str, module: str = "", changes: Any = (), parts: dict[str, int] | None = None) -> ModuleType:
    """The code of a protocol, with a mistake in one of its modules; ``parts`` takes what its program makes."""
    others = {module: mistaken(SOURCES[module], module, changes)} if module and module != which else {}
    own = changes if module == which else ()
    code = mistaken(SOURCES[which], f"{which} {module}", own)
    if which == ENOUGH and "helper_psi_cardinality" in others:
        vars(code).update({name: vars(others[COUNT])[name] for name in ("counted", "part", "total", "zeroed")})
    elif others:
        vars(code).update(others)
        if which == ENOUGH and module == "tagged":
            vars(code)["counted"] = mistaken(SOURCES[COUNT], "count", (), **others).counted
    if parts is not None and which == ENOUGH:
        inner = code._compared

        def compared(sizes: Any, me: int, *rest: Any) -> Role[Any]:
            words = yield from inner(sizes, me, *rest)
            parts[FAMILY[me]] = int(words[0])
            return words

        vars(code)["_compared"] = compared
    return code


def sent_by(
    which: str, case: Case, seed: int, code: Any = None
) -> tuple[dict[tuple[str, int], bytes], dict[str, int], Any]:
    """What leaves by messages of the card, what the program made, and what came out."""
    parts: dict[str, int] = {}
    code = code_of(which, parts=parts) if code is None else code(parts)
    done = play(roles(which, case, seed, code=code), seed=seed)
    own = {message.label for message in CARDS[which].messages}
    sent = {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in done.sent if key[2] in own}
    return sent, parts, found(which, case, done.outputs, code)


@cache
def intact(which: str, name: str) -> tuple[Reading, dict[tuple[str, int], bytes]]:
    sent, parts, _ = sent_by(which, CASES[name], SEEDS[which])
    reading = Reading(which, CASES[name], SEEDS[which], CARDS[which], parts)
    assert dict(reading.sent()) == sent
    return reading, sent


@pytest.mark.parametrize("which", CARDS)
@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(which: str, name: str) -> None:
    reading, sent = intact(which, name)
    assert dict(reading.sent()) == sent


@pytest.mark.parametrize("which", CARDS)
@pytest.mark.parametrize("seed", range(12))
def test_every_message_of_random_tables_is_its_term(which: str, seed: int) -> None:
    case = random_case(seed, which)
    sent, parts, _ = sent_by(which, case, seed)
    assert dict(Reading(which, case, seed, CARDS[which], parts).sent()) == sent


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    for which in (COUNT, ENOUGH):
        reading, _ = intact(which, name)
        value, total = reading.opened()
        assert value == total
        right = replace(CASES[name], noise=None).oracle(which) if which == COUNT else CASES[name].oracle(which)
        assert value == right, "the number is another number"


@pytest.mark.parametrize("which", CARDS)
def test_a_sender_can_compute_its_message_and_nobody_else_can(which: str) -> None:
    card = CARDS[which]
    for message in card.messages:
        assert not list(made_by(message.sender, message.meaning, card)), message.label
        others = [role for role in card.roles if role != message.sender]
        assert not [role for role in others if not list(made_by(role, message.meaning, card))], message.label
    for shared in card.shared:
        for role, term in shared.shares.items():
            assert not list(made_by(role, term, card))


EQUAL = {
    f"H1{role}": {
        f"sort(tags(tag, dummies(s_ab), keys({role}), fillers({role})))",
        f"sort(tags(tag, keys({role}), fillers({role}), dummies(s_ab)))",
    }
    for role in "ab"
}
"""Edits that change nothing that is sent: of a list that is sorted the order before does not matter."""


def notices(which: str, card: Card, place: str) -> str:
    """Whether a card is told from what is sent, in some case that has the message; and from the shares of its value."""
    told = ""
    for name in ("rich", "noised", "too few"):
        whole, sent = intact(which, name)
        label = place if any(m.label == place for m in card.messages) else ""
        known = {key: value for key, value in whole.known.items() if label and key[0] != label}
        reading = Reading(which, CASES[name], SEEDS[which], card, whole.parts, known)
        try:
            if not label and len(set(reading.opened())) > 1:
                return "differs"
            for key in (key for key in sent if key[0] == label or not label):
                if reading.as_bytes(*key) != sent[key]:
                    return "differs"
        except (Meaningless, RecursionError, TypeError):
            told = "meaningless"
    return told


PLACES = [(which, place) for which, card in CARDS.items() for place in terms_of(card)]


@pytest.mark.parametrize(("which", "place"), PLACES)
def test_every_edit_of_a_term_is_noticed(which: str, place: str) -> None:
    card = CARDS[which]
    others = {
        "role": tuple(card.roles),
        "key": tuple(key.name for key in card.keys),
        "label": ("zero", "fresh"),
        "index": tuple(dict.fromkeys(INDEX.values())),
        "shared": ("sums",),
        "name": (*(message.label for message in card.messages), "match"),
    }
    found = {
        text_of(term): notices(which, with_term(card, place, term), place)
        for term in edits(terms_of(card)[place], others)
    }
    unnoticed = {text for text, how in found.items() if not how}
    assert unnoticed == {text for text in found if place in EQUAL and text in EQUAL[place]}
    if place in (message.label for message in card.messages):
        assert "differs" in found.values(), "edits that say nothing prove little"


@pytest.mark.parametrize(("which", "place"), PLACES)
def test_the_card_as_it_is_is_not_told_from_what_is_sent(which: str, place: str) -> None:
    assert not notices(which, CARDS[which], place)


# -- cards ------------------------------------------------------------------------------------------------------------

MALFORMED = {
    "bits of what is no match": (WHICH, "flags(s_ac, a, match)", "flags(s_ac, a, H1v)", "no vector of words"),
    "bits as places": (WHICH, "flags(s_ac, a, match)", "match", "no vector of words"),
    "a pad from a family": (WHICH, "pads(pad, b, brought)", "pads(tag, b, brought)", "serves for"),
    "a pad that makes tags": (WHICH, "tags(tag, keys(b)", "tags(pad, keys(b)", "serves for"),
    "a count of words": (COUNT, "noise(b, summed) + zero", "count(H1b) + zero", "no vector of words"),
    "a number of what is no dummy": (COUNT, "noise(b, summed) + zero", "number(keys(b)) + zero", "no vector of words"),
    "a share that is not said": (COUNT, 'carries = ["sums"]', "carries = []", "carries nothing"),
    "values that are not said": (WHICH, 'carries = ["b.values", "match"]', 'carries = ["match"]', "carries"),
    "a part that nothing makes": (ENOUGH, "part(s_ab, sums, summed)", "part(tag, sums, summed)", "part"),
    "a program of two": (ENOUGH, 'parties = ["a", "helper", "b"]', 'parties = ["a", "helper", "a"]', "two of its"),
    "noise that is not drawn": (COUNT, "noise(b, summed)", "noise(b, brought)", "drawn for each summed"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_card_that_contradicts_itself_is_refused(name: str) -> None:
    which, old, new, problem = MALFORMED[name]
    text = (cards_folder() / which / "card.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(SpecError, match=problem):
        parse_card(text.replace(old, new, 1).encode(), file="card.toml")


# -- mistakes in the code, most of which leave every result right ------------------------------------------------------

MUTANTS = {
    "lists backwards": ("tagged", "Listed(side, ordered, order,", "Listed(side, ordered[::-1].copy(), order[::-1],"),
    "dummies that the helper can work out": (
        "tagged",
        "dummy.draw_dummies(sizes.dummies, low | (high << 64))",
        "sizes.s",
    ),
    "lists as long as the tables": ("tagged", "max(0, sizes.declared(side) - persons)", "0"),
    "fillers that both have": (
        "tagged",
        '"a": Kind.FILLER_A, "b": Kind.FILLER_B',
        '"a": Kind.FILLER_A, "b": Kind.FILLER_A',
    ),
    "padding that both have": (
        "tagged",
        '"a": Kind.PADDING_A, "b": Kind.PADDING_B',
        '"a": Kind.PADDING_A, "b": Kind.PADDING_A',
    ),
    "tags under the key of hashes": ("tagged", 'ab.key("tag", purpose="tags")', 'ab.key("tags", purpose="tags")'),
    "one pad for all columns": ("tagged", 'ab.key("pad", column,', 'ab.key("pad", 0,'),
    "pads of other entries": ("tagged", "return words[mine.order]", "return words"),
    "unmatched values passed on": (
        WHICH,
        "passed_on = np.zeros(shape.n_list_a, np.uint64)",
        "passed_on = np.resize(words, shape.n_list_a)",
    ),
    "values without pads": (WHICH, "words - tagged.pads(shape, mine, ab, column)", "words"),
    "bits that nobody checks": (WHICH, "_check(bits, family)])", "np.zeros(CHECK_WORDS, np.uint64)])"),
    "bits of the other list": (WHICH, "of_b[there] = True", "of_b[:] = flags[: of_b.size]"),
    "b told without being asked": (WHICH, "    if shape.both:\n        of_b", "    if True:\n        of_b"),
    "shares as they are": (COUNT, 'prf.add_words(plus.key("zero", 0), share)', "pass"),
    "shares that one other can read": (COUNT, 'prf.sub_words(minus.key("zero", 0), share)', "pass"),
    "dummies that are counted": (COUNT, "-mine.dummies", "0"),
    "noise left out": (COUNT, "own + noise.reshape(1)", "own"),
    "the number always": (
        ENOUGH,
        "return (yield from multiply(ctx, enough, number))",
        "yield from multiply(ctx, enough, number)\n    return number",
    ),
    "one more than asked": (ENOUGH, "public(ctx, shape.min_result, 1)", "public(ctx, shape.min_result + 1, 1)"),
    "streams of one key": (ENOUGH, "after.key(MATCHING, purpose=purpose)", "before.key(MATCHING, purpose=purpose)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    module, old, new = MUTANTS[name]
    for which in CARDS if module == "tagged" else [module]:
        for case in ("rich", "noised", "too few"):
            try:
                changes = [(old, new, 1)]
                sent, parts, out = sent_by(
                    which, CASES[case], SEEDS[which], lambda p, w=which, c=changes: code_of(w, module, c, p)
                )
                reading = Reading(which, CASES[case], SEEDS[which], CARDS[which], parts)
                shares = reading.opened() if which != WHICH else (0, 0)
                right = shares[0] == shares[1] and out == CASES[case].oracle(which)
                if dict(reading.sent()) != sent or not right:
                    return
            except (PetsError, ValueError, IndexError, AssertionError) as error:
                assert "times" not in str(error), error
                return
    pytest.fail("nobody notices")


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    for which in CARDS:
        for module in ("tagged", which):
            sent, _, out = sent_by(which, RICH, SEEDS[which], lambda p, w=which, m=module: code_of(w, m, (), p))
            assert sent == intact(which, "rich")[1] and out == RICH.oracle(which)
        assert CARDS[which].version == "1"
