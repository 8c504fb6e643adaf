"""The terms of vole_psi are what its roles send, byte for byte; edits of them and of the code are noticed."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pets.errors import PetsError, SpecError
from pets.protocols import intersect, matched, transfers, vole_psi
from pets.spec.cards import cards_folder, parse_card
from tests.oracles.intersections import people
from tests.oracles.mistaken import mistaken
from tests.oracles.play import play
from tests.oracles.vole_psi import CARD, Case, Reading, roles
from tests.protocols.test_terms import compared, made_by, terms_of

RICH = Case(people(1, 22, 3), people(3, 22, 9, 5), 4, 6, values=((5, 6, 7, 8), (2**64 - 1, 0, 9, 1)), both=1)
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "name": tuple(message.label for message in CARD.messages),
}


def sent_by(case: Case, seed: int, code: Any = vole_psi) -> dict[str, bytes]:
    sent = {key[2]: array.tobytes() for key, array in play(roles(case, seed, code=code), seed=seed).sent}
    return dict.fromkeys((message.label for message in CARD.messages), b"") | sent


@cache
def intact() -> tuple[Reading, dict[str, bytes]]:
    reading = Reading(RICH, 1)
    for message in CARD.messages:
        reading.message(message.label)
    return reading, sent_by(RICH, 1)


@pytest.mark.parametrize("case", [RICH, Case([], [], 0, 0), Case([b"x" * 40, b"a"], [b"x" * 40], 2, 1, (40, 41))])
def test_every_message_is_its_term(case: Case) -> None:
    reading = Reading(case, 1)
    assert {m.label: b"".join(reading.message(m.label)) for m in CARD.messages} == sent_by(case, 1)


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    for message in CARD.messages:
        assert not list(made_by(message.sender, message.meaning, CARD))
        assert list(made_by(message.receiver, message.meaning, CARD)), message.label


EQUAL = {
    ("V5", "written(V5r, keys(receiver), fillers(receiver), agreed(sender)) + vector(own_r)"),
    ("V6", "sort(cut(read(own_s, V5r, V5, keys(sender), fillers(sender), agreed(receiver))))"),
    ("V6", "sort(cut(read(own_s, V5r, V5, fillers(sender), keys(sender), agreed(sender))))"),
    ("V6", "sort(cut(read(own_s, V5r, V5, keys(sender), agreed(sender), fillers(sender))))"),
    ("V5", "written(V5r, fillers(receiver), keys(receiver), agreed(receiver)) + vector(own_r)"),
    ("V5", "written(V5r, keys(receiver), agreed(receiver), fillers(receiver)) + vector(own_r)"),
    ("V6p", "sealed(read(own_s, V5r, V5, keys(sender), fillers(sender), agreed(receiver)), payload(sender))"),
    ("V6p", "sealed(read(own_s, V5r, V5, fillers(sender), keys(sender), agreed(sender)), payload(sender))"),
    ("V6p", "sealed(read(own_s, V5r, V5, keys(sender), agreed(sender), fillers(sender)), payload(sender))"),
    ("V7", "told(V6, keys(receiver), agreed(sender))"),
    ("V7", "told(V6, agreed(receiver), keys(receiver))"),
}
"""Edits that change nothing that is sent: the entry that both bring is one; a small table, and what is sorted, has no
order of entries."""


@pytest.mark.parametrize("place", terms_of(CARD))
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    whole, sent = intact()
    known = {label: each for label, each in whole._known.items() if label != place}
    unnoticed, differ = compared(
        CARD, place, OTHERS, lambda card: b"".join(Reading(RICH, 1, card, dict(known)).message(place)), sent[place]
    )
    assert unnoticed == {each for each in EQUAL if each[0] == place}
    assert differ > 0, "edits that say nothing prove little"


# -- cards ------------------------------------------------------------------------------------------------------------

TEXT = (cards_folder() / vole_psi.PROTOCOL / "card.toml").read_text(encoding="utf-8")
MALFORMED = {
    "elements that are sent as words": (
        'term = "seed(own_r)"\ncarries = []\nelement = "field"',
        "word",
        "vector of words",
    ),
    "a table without its seed": ("written(V5r, keys", "written(V1r, keys", "no vector of elements"),
    "a table and points": ("+ vector(own_r)", "+ offers(own_r)", "no vector of elements"),
    "a table less a vector": ("+ vector(own_r)", "- vector(own_r)", "no vector of elements"),
    "a table times a vector": ("+ vector(own_r)", "* vector(own_r)", "no vector of elements"),
    "choices that answer nothing": ("asked(own_r, V1s)", "asked(own_r, V5)", "no vector of elements"),
    "sums that answer points": ("levels(own_s, V1r, V2)", "levels(own_s, V1r, V1s)", "no vector of elements"),
    "what is read, whole": ("sort(cut(read(", "sort((read(", "no vector of tags"),
    "what is read of points": ("cut(read(own_s, V5r, V5,", "cut(read(own_s, V5r, V1r,", "no vector of tags"),
    "a key that is not on the card": ("choices(own_s)", "choices(own_t)", "no key"),
    "persons that are not said": (
        'told(V6, keys(receiver), agreed(receiver))"\ncarries = ["receiver.key", "sender.key"]',
        'told(V6, keys(receiver), agreed(receiver))"\ncarries = ["sender.key"]',
        "carries",
    ),
    "values that are not said": (', "sender.values"]', "]", "carries"),
    "values under what is no element": (
        "sealed(read(own_s, V5r, V5,",
        "sealed(read(own_s, V5r, V1r,",
        "no vector of tags",
    ),
    "values that are no values": ("payload(sender))", "keys(sender))", "no vector of tags"),
    "a word of what is no list of tags": ("told(V6,", "told(V5,", "no vector of tags"),
    "a message before it is there": ("asked(own_r, V1s)", "asked(own_r, V4)", "no message before it"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_card_that_contradicts_itself_is_refused(name: str) -> None:
    old, new, problem = MALFORMED[name]
    assert TEXT.count(old) == 1
    text = TEXT.replace(old, old.replace("field", new) if new == "word" else new)
    with pytest.raises(SpecError, match=problem):
        parse_card(text.encode(), file="card.toml")


# -- mistakes in the code that leave every answer right ---------------------------------------------------------------

SOURCE = Path(vole_psi.__file__).read_text(encoding="utf-8")
MUTANTS = {
    "outputs not sorted": ('yield Send("receiver", "V6", listed)', 'yield Send("receiver", "V6", listed[::-1].copy())'),
    "one seed for all tables": (
        "seed = Secret(fill.words(2).tobytes())",
        "seed = Secret(bytes(16) + fill.words(0).tobytes())",
    ),
    "one delta for all runs": ("delta = drawn.words(2).reshape(1, 2)", "delta = drawn.words(2).reshape(1, 2) * 0 + 7"),
    "no vector on the table": ("table ^= vole.noise(shape.vector, code, holes, values)", "pass"),
    "slots that no key needs left at 0": ("prf.Stream(own.table)\n", "_Zeros(own.table)\n"),
    "one hash for all runs": ("_PUBLIC + label + tied.digest + tied.run_id", "_PUBLIC + label"),
    "one hash for two purposes": ('public_key(tied, b"output")', 'public_key(tied, b"read")'),
    "sums of both sides without pads": ("sums.reshape(-1, 2, 2) ^ pads)", "sums.reshape(-1, 2, 2))"),
    "values of another person": ("given, read[order], order", "given, read[order][::-1].copy(), order"),
    "outputs that are not hashed": ('binned.hashed(read, public_key(tied, b"output"))', "read"),
}
ZEROS = "class _Zeros(prf.Stream):\n    def words(self, count):\n        return super().words(count) * (count == 2)\n"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    old, new = MUTANTS[name]
    changes = [(old, new, 1), ("class Own:", ZEROS + "\n\nclass Own:", 1)]
    code = mistaken(SOURCE, "vole_psi", changes)
    try:
        assert sent_by(RICH, 1, code) != intact()[1]
    except (PetsError, ValueError) as error:
        assert not isinstance(error, NameError)


OF_LISTS = {
    "no entries of nobody": ("if len(ids) > declared:", "declared = len(ids)\n    if len(ids) > declared:"),
    "the same entries of nobody in each run": ("prf.words(nobody,", "prf.words(Secret(bytes(16)),"),
    "no entry that both bring": ("padding, Kind.COMMON_DUMMY", "padding, padding"),
    "values in the order of persons": ("given[order], tied", "given, tied"),
}


@pytest.mark.parametrize("name", OF_LISTS)
def test_a_mistake_in_lists_is_noticed(name: str) -> None:
    source = Path(intersect.__file__).read_text(encoding="utf-8")
    code = mistaken(source, "intersect", [(*OF_LISTS[name], 1)])
    try:
        assert sent_by(RICH, 1, mistaken(SOURCE, "vole_psi", [], intersect=code)) != intact()[1]
    except (PetsError, ValueError) as error:
        assert not isinstance(error, NameError)


OF_MATCHED = {
    "values without pads": (
        "    return np.ascontiguousarray(out",
        "    out[:, : words - 1] = 0\n    return np.copy(out",
    ),
    "one pad for all words": ("np.array([block, 0], np.uint64), key)", "np.array([0, 0], np.uint64), key)"),
    "a check that is not hidden": (
        "    return np.ascontiguousarray(out",
        "    out[:, words - 1] = 0\n    return np.copy(out",
    ),
    "a point that is the pad": ('_key(tied, protocol, b"check")', '_key(tied, protocol, b"pad")'),
    "a proof of nothing": ("state.update(np.ascontiguousarray(elements).tobytes())", "pass"),
    "one key for all runs": ("+ label + tied.digest + tied.run_id", "+ label"),
    "one key for all protocols": ("protocol.encode()", 'b""'),
}


@pytest.mark.parametrize("name", OF_MATCHED)
def test_a_mistake_in_what_is_given_and_told_is_noticed(name: str) -> None:
    source = Path(matched.__file__).read_text(encoding="utf-8")
    code = mistaken(source, "matched", [(*OF_MATCHED[name], 1)])
    lists = mistaken(Path(intersect.__file__).read_text(encoding="utf-8"), "intersect", [], matched=code)
    assert sent_by(RICH, 1, mistaken(SOURCE, "vole_psi", [], intersect=lists)) != intact()[1]


OF_TRANSFERS = {
    "no number in the hash of rows": ("twice[:, 0] ^= np.arange(len(rows), dtype=np.uint64)", "pass"),
    "rows that are not hashed": ("return once ^ twice", "return rows"),
    "keys of another place": ('number.to_bytes(4, "big")', 'b"\\0" * 4'),
    "keys that do not say the run": ("hashlib.sha256(_KEYS + tied.digest + tied.run_id +", "hashlib.sha256(_KEYS +"),
    "bases that are the same in all runs": ("tag=_BASES + tied.digest + tied.run_id", "tag=_BASES"),
}


@pytest.mark.parametrize("name", OF_TRANSFERS)
def test_a_mistake_in_transfers_is_noticed(name: str) -> None:
    source = Path(transfers.__file__).read_text(encoding="utf-8")
    old, new = OF_TRANSFERS[name]
    assert (
        sent_by(RICH, 1, mistaken(SOURCE, "vole_psi", [], transfers=mistaken(source, "transfers", [(old, new, 1)])))
        != (intact()[1])
    )


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    assert sent_by(RICH, 1, mistaken(SOURCE, "vole_psi_whole", [])) == intact()[1]
