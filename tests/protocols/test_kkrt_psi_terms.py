"""The terms of kkrt_psi are what its roles send, byte for byte; edits of them and of the code are noticed."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pets.errors import PetsError, SpecError
from pets.protocols import intersect, kkrt_psi
from pets.spec.cards import cards_folder, parse_card
from tests.oracles.intersections import people
from tests.oracles.kkrt_psi import CARD, Reading, roles
from tests.oracles.mistaken import mistaken
from tests.oracles.play import play
from tests.oracles.vole_psi import Case
from tests.protocols.test_terms import compared, made_by, terms_of

VALUES = (tuple(range(7, 47)), (2**64 - 1, *range(39)))
RICH = Case(people(*range(60)), people(*range(79, 39, -1)), 90, 42, values=VALUES, both=1)
"""Of those whom both have, some lie where another function than the first says."""
OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "name": tuple(message.label for message in CARD.messages),
}


def sent_by(case: Case, seed: int, code: Any = kkrt_psi) -> dict[str, bytes]:
    sent = {key[2]: array.tobytes() for key, array in play(roles(case, seed, code=code), seed=seed).sent}
    return dict.fromkeys((message.label for message in CARD.messages), b"") | sent


@cache
def intact() -> tuple[Reading, dict[str, bytes]]:
    reading = Reading(RICH, 1)
    for message in CARD.messages:
        reading.message(message.label)
    return reading, sent_by(RICH, 1)


@pytest.mark.parametrize(
    "case", [RICH, Case([], [], 0, 0), Case([b"x" * 40, b"a"], [b"x" * 40], 2, 1, (40, 41), ((3,),))]
)
def test_every_message_is_its_term(case: Case) -> None:
    reading = Reading(case, 1)
    assert {m.label: b"".join(reading.message(m.label)) for m in CARD.messages} == sent_by(case, 1)


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    for message in CARD.messages:
        assert not list(made_by(message.sender, message.meaning, CARD))
        assert list(made_by(message.receiver, message.meaning, CARD)), message.label


HERE, TOLD = "evaluated(own_s, K1r, K2, ", "told(K3, "
SAME = {
    "keys(sender), fillers(sender), agreed(receiver)",
    "fillers(sender), keys(sender), agreed(sender)",
    "keys(sender), agreed(sender), fillers(sender)",
}
EQUAL = {
    *(("K3", f"abreast(cut({HERE}{lists})))") for lists in SAME),
    *(("K3k", f"apart({HERE}{lists}))") for lists in SAME),
    *(("K3p", f"sealed({HERE}{lists}), payload(sender))") for lists in SAME),
    ("K2", "coded(own_r, K1s, keys(receiver), fillers(receiver), agreed(sender))"),
    ("K2", "coded(own_r, K1s, keys(receiver), agreed(receiver), fillers(receiver))"),
    ("K4", f"{TOLD}keys(receiver), agreed(sender))"),
    ("K4", f"{TOLD}agreed(receiver), keys(receiver))"),
}
"""Edits that change nothing that is sent: the entry that both bring is one; what is sorted has no order of entries,
and where one entry lies seldom depends on the next."""


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

TEXT = (cards_folder() / kkrt_psi.PROTOCOL / "card.toml").read_text(encoding="utf-8")
MALFORMED = {
    "a code that answers nothing": ("coded(own_r, K1s,", "coded(own_r, K2,", "no message before it"),
    "outputs of what is no code": (
        "abreast(cut(evaluated(own_s, K1r, K2,",
        "abreast(cut(evaluated(own_s, K1r, K1s,",
        "tags",
    ),
    "outputs, whole": ("abreast(cut(evaluated(", "abreast((evaluated(", "no vector of tags"),
    "outputs in no order": ("abreast(cut(", "sort(cut(", "no vector of tags"),
    "elements of what is no code": ("apart(evaluated(own_s, K1r, K2,", "apart(evaluated(own_s, K1r, K1s,", "elements"),
    "values under what is no element": (
        "sealed(evaluated(own_s, K1r, K2,",
        "sealed(evaluated(own_s, K1r, K1s,",
        "no vector of tags",
    ),
    "a key that is not on the card": ("choices(own_s)", "choices(own_t)", "no key"),
    "persons that are not said": (
        'agreed(sender)))"\ncarries = ["receiver.key", "sender.key"]\nelement = "field"',
        'agreed(sender)))"\ncarries = ["sender.key"]\nelement = "field"',
        "carries",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_card_that_contradicts_itself_is_refused(name: str) -> None:
    old, new, problem = MALFORMED[name]
    assert TEXT.count(old) == 1
    with pytest.raises(SpecError, match=problem):
        parse_card(TEXT.replace(old, new).encode(), file="card.toml")


# -- mistakes in the code that leave every answer right ---------------------------------------------------------------

SOURCE = Path(kkrt_psi.__file__).read_text(encoding="utf-8")
MUTANTS = {
    "outputs not sorted": ("[first, *(tags", "[hashed.outputs[0], *(tags"),
    "lists in an order of their own": (
        "*(tags.take(each, order) for each in hashed.outputs[1:])",
        "*(join.sort_tags(each)[1] for each in hashed.outputs[1:])",
    ),
    "lists in the order of persons": ("tags.take(each, order) for each", "each for each"),
    "one choice for all runs": ("choice = stream.words(oprf.WORDS)", "choice = stream.words(oprf.WORDS) * 0 + 7"),
    "bins that stay free without a code": ("prf.words(own.free, 2 * bins)", "np.zeros(2 * bins, np.uint64)"),
    "one hash for all runs": ("_PUBLIC + label + tied.digest + tied.run_id", "_PUBLIC + label"),
    "one key for all parts of a code": ('b"code" + bytes([part])', 'b"code"'),
    "one key for two purposes": ('_key(tied, b"code" + bytes([part]))', '_key(tied, b"bins")'),
    "elements that are sent as they are": ("[elements ^ each for each in others]", "others"),
    "values under other elements": (
        "intersect.told(ending, given, elements, order)",
        "intersect.told(ending, given, others[0], order)",
    ),
    "the keys of one side twice": ("keys[:, side]", "keys[:, 0]"),
}


def is_noticed(code: Any) -> bool:
    try:
        return sent_by(RICH, 1, code) != intact()[1]
    except (PetsError, ValueError, IndexError) as error:
        return not isinstance(error, NameError)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    assert is_noticed(mistaken(SOURCE, "kkrt_psi", [(*MUTANTS[name], 1)]))


OF_LISTS = {
    "no entries of nobody": ("if len(ids) > declared:", "declared = len(ids)\n    if len(ids) > declared:"),
    "no entry that both bring": ("padding, Kind.COMMON_DUMMY", "padding, padding"),
}


@pytest.mark.parametrize("name", OF_LISTS)
def test_a_mistake_in_lists_is_noticed(name: str) -> None:
    source = Path(intersect.__file__).read_text(encoding="utf-8")
    code = mistaken(source, "intersect", [(*OF_LISTS[name], 1)])
    assert is_noticed(mistaken(SOURCE, "kkrt_psi", [], intersect=code))


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    assert not is_noticed(mistaken(SOURCE, "kkrt_psi", []))
