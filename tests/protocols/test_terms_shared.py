"""The terms of shared_join's card are what its roles send, byte for byte; edits of them and of the code are noticed.

What the program of the card makes is taken from the run; that its parts add up to what the card says is tested here,
and that they say nothing alone by the card of the operations (test_rep3.py) and by test_shared_join.py.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pets.errors import PetsError
from pets.protocols import shared_join as sj
from pets.protocols import upload
from pets.spec.cards import Card
from pets.spec.term import INDEX, calls
from tests.oracles import hiding
from tests.oracles import shared_join as oracle
from tests.oracles.mistaken import Change, mistaken
from tests.oracles.play import Transcript, play
from tests.oracles.shared_join import Case, Row, random_case
from tests.oracles.terms import Meaningless
from tests.oracles.terms_shared import Run, SharedReading, SharedSeen, noise_of, read, recording
from tests.protocols.test_terms import edits, made_by, terms_of, text_of, with_term

Summed = sj.Summed
PEOPLE = [f"person {number}".encode() for number in range(7)]


def table(columns: int, *rows: tuple[int, int]) -> list[Row]:
    """Rows of (person, cell), with values that no two rows have in common."""
    return [
        (PEOPLE[one], cell, tuple(1000 * one + 10 * at + cell + 7 ** (column + 2) for column in range(columns)))
        for at, (one, cell) in enumerate(rows)
    ]


RICH = Case(
    left=[table(2, (0, 3), (1, 0), (0, 3), (2, 1), (5, 3)), table(2, (0, 1), (3, 3), (0, 3))],
    right=[table(3, (0, 0), (1, 1), (0, 0)), table(3, (0, 0), (4, 1)), table(3, (2, 1), (0, 1), (3, 0), (1, 1))],
    most_left=[90, 4],
    most_right=[3, 80, 5],
    cells=4,
    right_cells=2,
    x=2,
    v_g=3,
    once=frozenset({1}),
    summed=[Summed(2, 1), Summed(0), Summed(1, 0), Summed(1, None, True), Summed(0, 1), Summed(2)],
)
"""Keys of two words; persons at several holders of both sides and twice at one; nobody in cell 2; no index agrees."""

CASES: dict[str, Case] = {
    "rich": RICH,
    "numbers": replace(
        random_case(4),
        fixed=True,
        left=[[(b"9999999999", 0, (5,)), (b"0000000000", 1, (-6,))], []],
        right=[[(b"9999999999", 0, (7,))], [(b"0000000000", 1, (8,))]],
        most_left=[3, 2],
        most_right=[2, 1],
        cells=3,
        right_cells=2,
        x=1,
        v_g=1,
        once=frozenset(),
        summed=[Summed(0, 0), Summed(0)],
    ),
    **{f"random {seed}": random_case(seed) for seed in range(25)},
}


def played(case: Case, seed: int, parts: dict[tuple[str, int], np.ndarray], code: types.ModuleType = sj) -> Transcript:
    """All roles; what the program leaves goes to ``parts``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(code.__dict__, "_joined", recording(parts, code.__dict__["_joined"], case.cells))
        patch.setattr(oracle, "sj", code)
        return play(oracle.roles(case, seed, noise_words=noise_of(case, seed)), seed=seed)


@cache
def intact(name: str) -> tuple[Card, Run, dict[tuple[str, int], bytes]]:
    case, seed = CASES[name], 1 + list(CASES).index(name)
    card, parts = oracle.card(case), dict[tuple[str, int], np.ndarray]()
    sent = sent_of(card, played(case, seed, parts))
    return card, Run(case, seed, noise_of(case, seed), dict(card.names(oracle.public(case))), parts), sent


def sent_of(card: Card, transcript: Transcript) -> dict[tuple[str, int], bytes]:
    """The card's own messages: by label and column."""
    own = {message.label for message in card.messages}
    return {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in transcript.sent if key[2] in own}


# -- the terms are what is sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str) -> None:
    card, run, sent = intact(name)
    assert read(card, run) == sent
    assert {label for label, _ in sent} >= {"Lk1", "Le1", "Rk1", "Rv1", "Mn", "Fa", "Fb"}


@pytest.mark.parametrize("name", CASES)
def test_shares_add_up_to_what_is_shared(name: str) -> None:
    card, run, _ = intact(name)
    reading, plain = SharedReading(card, run), run.case.oracle().view(np.uint64)
    for at in reading.of_formula("v"):
        value, total = reading.opened("sums", at)
        assert np.array_equal(value, total), at
        assert np.array_equal(value, plain[at.summed]), "the sums are other sums"


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    card = intact("rich")[0]
    for message in card.messages:
        able = [role for role in card.roles if not list(made_by(role, message.meaning, card))]
        assert able == [message.sender], message.label
    for shared in card.shared:
        for role, term in shared.shares.items():
            assert not list(made_by(role, term, card))


# -- every edit is noticed --------------------------------------------------------------------------------------------

CARD = oracle.card(RICH)
TERMS = terms_of(CARD)
MASKS = tuple(sorted({str(c.args[1]) for term in TERMS.values() for c in calls(term) if c.head == "mask"}))
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "label": (*MASKS, "zero", "fresh"),
    "index": tuple(dict.fromkeys(INDEX.values())),
    "shared": ("sums",),
    "name": (*(message.label for message in CARD.messages), "match", "sums"),
}


def notices(card: Card, place: str) -> str:
    """Whether a run tells this card from what is sent: "differs", "meaningless", or "" if it does not."""
    _, run, sent = intact("rich")
    edited = [message for message in card.messages if message.label == place]
    reading = SharedReading(card, run)
    try:
        if not edited:
            for at in reading.of_formula("v"):
                if not np.array_equal(*reading.opened("sums", at)):
                    return "differs"
        for message in edited or [m for m in card.messages if m.label in ("Fa", "Fb")]:
            if any(sent[message.label, column] != got for column, got in enumerate(reading.sent(message))):
                return "differs"
    except (Meaningless, RecursionError):
        return "meaningless"
    return ""


@pytest.mark.parametrize("place", TERMS)
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    """But that lists are named in another order: what they say of an entry is one number."""
    found = {text_of(term): notices(with_term(CARD, place, term), place) for term in edits(TERMS[place], OTHERS)}
    unnoticed = [text for text, how in found.items() if not how]
    turned = [text for text in found if text.startswith(f"numbers(word, groups({place_of(place)}), keys(")]
    assert unnoticed == turned
    assert len(turned) == (place[1:2] == "k")
    assert "differs" in found.values(), "edits that say nothing prove little"


def place_of(label: str) -> str:
    """Who sends Lk1, Rv2, ..."""
    return {"L": "left", "R": "right"}.get(label[0], "") + label[2:]


def test_the_card_as_it_is_is_not_told_from_what_is_sent() -> None:
    assert not [place for place in TERMS if notices(CARD, place)]


@pytest.mark.parametrize("swapped", [("plain", "product"), ("product", "plain"), ("plain", "always")])
def test_another_kind_of_column_is_noticed(swapped: tuple[str, str]) -> None:
    shared = tuple(replace(s, when=swapped[1]) if s.when == swapped[0] else s for s in CARD.shared)  # type: ignore[arg-type]
    assert notices(replace(CARD, shared=shared), "0 sums")


# -- every mistake is noticed -----------------------------------------------------------------------------------------

UPLOAD = Path(upload.__file__).read_text(encoding="utf-8")
SOURCE = Path(sj.__file__).read_text(encoding="utf-8")
IDS = ("found[0][at] = low << np.uint64(shift) | below", "found[0][at] = below")
MISTAKES: Mapping[str, tuple[Sequence[Change], Sequence[Change]]] = {
    # -- of what is uploaded: every sum stays right
    "no mask": (
        (
            ("column ^ words if xor else column - words", "column", 1),
            ("prf.words(family.key(mask, at), rows)", "np.zeros(rows, np.uint64)", 1),
        ),
        (),
    ),
    "one mask for all columns": (
        (("family.key(mask, number)", "family.key(mask, 0)", 1), ("family.key(mask, at)", "family.key(mask, 0)", 1)),
        (),
    ),
    "values under the mask of keys": ((), (('"uv"', '"uk"', 4),)),
    "ends under the mask of values": ((), (('"ue"', '"uv"', 2),)),
    "uploads to first": ((("yield Send(SECOND, label", "yield Send(FIRST, label", 1),), ()),
    "a list of true size": ((), (("listed = shape.right[number]", "listed = brought.cell.size", 1),)),
    "rows in another order": (
        (),
        (('np.argsort(brought.cell, kind="stable")', "np.lexsort((brought.values[0], brought.cell))", 1),),
    ),
    "nobody's entries are persons": ((), (("np.uint64(1 << nobody % WORD)", "np.uint64(0)", 1),)),
    "identifiers that are left out": ((), ((*IDS, 1),)),
    "identifiers hashed under nothing": ((), (("key=Secret(hashed_by)", "key=Secret(bytes(16))", 1),)),
    "cells in keys that need none": ((), (("if shape.persons:\n        below", "if True:\n        below", 1),)),
    "right tables behind left ones": ((), (("at, listed, table=0", "at, listed, table=1", 1),)),
    "entries of cells from 0": ((), (("number * shape.cells + 1)", "number * shape.cells)", 1),)),
    # -- of what ends it
    "no mask of noise": (
        (),
        (
            ('prf.add_words(s_13.key("noise", column), words)', "pass", 1),
            ('prf.sub_words(s_13.key("noise", column), hidden)', "pass", 1),
        ),
    ),
    "one mask for all noise": ((), (('s_13.key("noise", column)', 's_13.key("noise", 0)', 2),)),
    "no share of zero": (
        (),
        (
            ('prf.add_words(s_12.key("zero", column), words)', "pass", 1),
            ('prf.sub_words(s_12.key("zero", column), words)', "pass", 1),
        ),
    ),
    "one share of zero": ((), (('s_12.key("zero", column)', 's_12.key("zero", 0)', 2),)),
    "no noise of first": ((), (("        words += noise[column]\n        prf", "        prf", 1),)),
    "no noise of second": ((), (("words += noise[column] + hidden[column]", "words += hidden[column]", 1),)),
    "no noise of third": ((), (("hidden = noise[column].copy()", "hidden = np.zeros_like(noise[column])", 1),)),
    "third tells first": ((), (('yield Send(SECOND, "Mn"', 'yield Send(FIRST, "Mn"', 1),)),
    "a part alone": ((), (("share = sums.own + sums.next", "share = sums.own.copy()", 1),)),
    "three parts": ((), (("share = sums.next.reshape(", "share = (sums.own + sums.next).reshape(", 1),)),
    # -- of what is computed
    "persons who go on": ((), (("flags = [flipped(ctx, same)]", "flags = [same]", 1),)),
    "sums of one list alone": ((), (("shape.cells), axis=1, prepend", "shape.cells)[:1], axis=1, prepend", 1),)),
    "sums that run on": ((), (("np.split(words, ends)", "[words]", 1),)),
    "columns back in another order": (
        (),
        (("put_back(ctx, way, there, n_left)", "put_back(ctx, way, there[::-1], n_left)", 1),),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    """Most leave every sum right: the roles send something else than the terms say, or fail."""
    of_upload, of_join = MISTAKES[name]
    code = mistaken(SOURCE, f"shared_{name}", of_join)
    code.__dict__["upload"] = mistaken(UPLOAD, f"upload_{name}", of_upload)
    for case in ("rich", "numbers"):
        card, run, _ = intact(case)
        parts: dict[tuple[str, int], np.ndarray] = {}
        try:
            transcript = played(run.case, run.seed, parts, code)
        except (PetsError, ValueError, AssertionError, IndexError):
            return
        now = replace(run, parts=parts, _kept={})
        if sent_of(card, transcript) != read(card, now):
            return
        reading = SharedReading(card, now)
        if not all(np.array_equal(*reading.opened("sums", at)) for at in reading.of_formula("v")):
            return
    pytest.fail("the terms are still what is sent")


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    """What the mistakes fail is what the code passes, changed in nothing."""
    code = mistaken(SOURCE, "shared_none", ())
    code.__dict__["upload"] = mistaken(UPLOAD, "upload_none", ())
    card, run, sent = intact("rich")
    parts: dict[tuple[str, int], np.ndarray] = {}
    assert sent_of(card, played(run.case, run.seed, parts, code)) == sent
    assert all(np.array_equal(parts[at], run.parts[at]) for at in run.parts)


# -- what is seen is uniform but for the sums (protocols/shared_join/README.md) ---------------------------------------

HOLDERS = ("left1", "right2", "right3")
ALONE = (("first",), ("second",), ("third",))
WITH_HOLDERS = tuple((*one, *HOLDERS) for one in ALONE)
WITH_RESULT = (("result",), *(("result", *one, *HOLDERS) for one in ALONE))


def told(name: str, coalition: tuple[str, ...], **planted: str) -> int:
    """Combinations of words known bare, beyond the sums, by who knows all parts that the program makes besides."""
    card, run, _ = intact(name)
    sums = len(run.case.summed) * run.case.cells if "result" in coalition else 0
    return hiding.bare(hiding.received(card, run, coalition, SharedSeen, **planted)) - sums


@pytest.mark.parametrize("coalition", [*ALONE, *WITH_HOLDERS, *WITH_RESULT], ids="+".join)
@pytest.mark.parametrize("name", ["rich", "random 3"])
def test_words_are_uniform_but_for_the_sums(name: str, coalition: tuple[str, ...]) -> None:
    coalition = tuple(role for role in coalition if role in intact(name)[0].roles)
    assert told(name, coalition) == 0


def test_two_of_the_three_see_what_first_and_second_have_of_every_row() -> None:
    card, run, _ = intact("rich")
    reading, uploads = SharedReading(card, run), [message for message in card.messages if message.label[0] in "LR"]
    uploaded = sum(reading.size(message) * len(reading.columns(message)) for message in uploads)
    assert told("rich", ("first", "second")) >= uploaded


@pytest.mark.parametrize("label", [*MASKS, "zero"])
def test_every_mask_is_needed_anew_for_each_column(label: str) -> None:
    coalitions = (*ALONE, *WITH_RESULT)
    assert any(told("rich", each, told=label) > 0 for each in coalitions)
    if label != "ue":  # of ends there is one column
        assert any(told("rich", each, once=label) > 0 for each in coalitions)
