"""The terms of psi_sum and psi_sum_shares are what roles send, byte for byte; edits of them and of code are noticed."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pets.errors import PetsError, SpecError
from pets.protocols import psi_sum
from pets.spec.cards import Card, cards_folder, parse_card
from tests.oracles.mistaken import mistaken
from tests.oracles.play import play
from tests.oracles.psi_sum import CARD, SHARES, Case, random_case, roles
from tests.oracles.psi_sum_terms import Reading
from tests.oracles.terms import Meaningless
from tests.protocols.test_terms import edits, made_by, terms_of, text_of, with_term

RICH = Case(
    {b"1": 1, b"22": 0, b"3": 1},
    {b"3": (5, -6), b"22": (70, 2**45), b"9": (1, 1)},
    2,
    2,
    3,
    4,
    2,
    (3, 7),
    noise_a=((3, -1), (10, 20), (-5, 2**41)),
    noise_b=((7, 8), (9, -10)),
)
WITHHELD = Case(
    RICH.people_a,
    RICH.people_b,
    2,
    2,
    3,
    4,
    2,
    control=psi_sum.Control(minimum=2, base=2, empty=False),
    noise_a=((0, 0),) * 3,
    noise_b=((0, 0),) * 2,
)
CASES = {
    "rich": RICH,
    "withheld": WITHHELD,
    "no columns": Case({b"1": 0}, {b"1": ()}, 1, 0, 2, 1, 0, noise_a=((4,),)),
    "nobody": Case({}, {}, 2, 1, 1, 0, 1, noise_a=((0, 0),) * 2, noise_b=((0, 0),)),
}
CARDS = {False: CARD, True: SHARES}
BOTH = pytest.mark.parametrize("shares", CARDS)


def sent_by(case: Case, seed: int, shares: bool, code: object = psi_sum) -> dict[tuple[str, int], bytes]:
    ran = play(roles(case, seed, shares=shares, code=code), seed=seed)
    return {key[2:]: np.ascontiguousarray(array).tobytes() for key, array in ran.sent}


@cache
def intact(shares: bool) -> tuple[Reading, dict[tuple[str, int], bytes]]:
    reading, sent = Reading(RICH, 1, CARDS[shares]), sent_by(RICH, 1, shares)
    for label, column in sent:
        reading.message(label, column)
    return reading, sent


@BOTH
@pytest.mark.parametrize("name", CASES)
def test_every_message_is_its_term(name: str, shares: bool) -> None:
    case = CASES[name]
    reading, card = Reading(case, 3, CARDS[shares]), CARDS[shares]
    sent = sent_by(case, 3, shares)
    assert set(sent) == {
        (m.label, column) for m in card.messages for column in range(m.columns.evaluate(reading.names))
    }
    for (label, column), found in sent.items():
        assert reading.sent(label, column) == found, (label, column)


@BOTH
def test_a_sender_can_compute_its_message_and_nobody_else_can(shares: bool) -> None:
    card = CARDS[shares]
    for message in card.messages:
        for role in card.roles:
            assert bool(list(made_by(role, message.meaning, card))) is (role != message.sender), (message.label, role)


def test_both_cards_say_the_same_of_what_a_and_b_send_each_other() -> None:
    first, second = (
        [(m.label, m.round, m.sender, m.receiver, m.term, m.carries, m.element, m.count.text) for m in card.messages]
        for card in CARDS.values()
    )
    assert first[:6] == second[:6]
    assert (CARD.public, CARD.derived) == (SHARES.public, SHARES.derived)


EQUAL = {
    ("D1", "permute_within(perm(own_a, order), times(scalar_a, points(keys(a), groups(a), fillers(a), agreed(b))))"),
    ("D3", "permute(perm(own_b, order), times(scalar_b, points(keys(b), fillers(b), agreed(a))))"),
}
"""Edits that change nothing that is sent: the entry that both bring is one."""


def others(card: Card) -> dict[str, tuple[str, ...]]:
    return {
        "role": ("a", "b"),
        "key": tuple(key.name for key in card.keys),
        "label": ("order", "fresh"),
        "index": ("summed", "gathered"),
        "name": tuple(message.label for message in card.messages),
    }


@pytest.mark.parametrize("place", terms_of(SHARES) | terms_of(CARD))
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    shares = place not in terms_of(CARD)
    (whole, sent), card = intact(shares), CARDS[shares]
    unnoticed, differ = set(), 0
    for term in edits(terms_of(card)[place], others(card)):
        known = {key: value for key, value in whole._known.items() if key[0] != place}
        reading = Reading(RICH, 1, with_term(card, place, term), known)
        try:
            if reading.sent(place) == sent[place, 0]:
                unnoticed.add((place, text_of(term)))
            else:
                differ += 1
        except (Meaningless, RecursionError, IndexError):
            differ += 1
    assert unnoticed == {each for each in EQUAL if each[0] == place}
    assert differ > 2, "edits that say nothing prove little"


# -- cards ------------------------------------------------------------------------------------------------------------

TEXT = (cards_folder() / psi_sum.SHARES / "card.toml").read_text(encoding="utf-8")
MALFORMED = {
    "sums that are sent as words": (
        'element = "residue"\ncolumns = "residues"\ncount = "g"',
        None,
        "no vector of words",
    ),
    "values that are not under a key": (
        "under(secret_b, permute(perm(own_b, order), values(b, summed)))",
        "permute(perm(own_b, order), values(b, summed))",
        "no vector of residues",
    ),
    "sums over places of nobody's making": (
        "covered(cover_a, K, Y, times(scalar_a, D3), D2)",
        "covered(cover_a, K, Y, D3, D1)",
        "no vector of residues",
    ),
    "tags that are taken for ciphertexts": ("opened(secret_b, S)", "opened(secret_b, D2)", "no vector of residues"),
    "a key of ciphertexts that is not on the card": ("public(secret_b)", "public(secret_c)", "no key"),
    "own randomness that gives an order, too": ("perm(own_b, order)", "perm(secret_b, order)", "serves for"),
    "groups that are not said": ('carries = ["a.key", "a.groups"]', 'carries = ["a.key"]', "carries a.key"),
    "residues that are multiplied": (
        "covers(cover_a) +",
        "covers(cover_a) * covers(cover_a) +",
        "no vector of residues",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_card_that_contradicts_itself_is_refused(name: str) -> None:
    old, new, problem = MALFORMED[name]
    assert old in TEXT
    with pytest.raises(SpecError, match=problem):
        parse_card(TEXT.replace(old, new or old.replace("residue", "word", 1), 1).encode(), file="card.toml")


# -- mistakes in the code that leave every result right ----------------------------------------------------------------

SOURCE = Path(psi_sum.__file__).read_text(encoding="utf-8")
MUTANTS = {
    "sums that are not drowned": ("slots.drown(cipher, flood)", "cipher", 1),
    "every sum drowned in the same": ("slots.drown(cipher, flood)", "slots.drown(cipher, prf.Stream(rest[1]))", 1),
    "covers and flooding from one key": ("in rest)", "in (rest[0], rest[0]))", 1),
    "every sum covered by the same": ("slots.cover(stream,", "slots.cover(prf.Stream(Secret(bytes(16))),", 1),
    "no zero share": ("found.view(np.int64) - zero", "found.view(np.int64)", 1),
    "no noise of a": ("own - cover + zero", "zero - cover", 1),
    "no noise of b": ("+ added[column]) % plain", ") % plain", 1),
    "counts without noise": (
        "found.counts.view(np.uint64) + noise[0] * found.shown.view(np.uint64)",
        "found.counts.view(np.uint64)",
        1,
    ),
    "tags in the order of the list": (
        'tags[np.argsort(order // max(1, shape.m_a), kind="stable")]',
        "tags[np.argsort(order)]",
        1,
    ),
    "tags sorted as a whole": (
        'tags[np.argsort(order // max(1, shape.m_a), kind="stable")]',
        "np.concatenate([tags[order != len(order) - 1], tags[order == len(order) - 1]])",
        1,
    ),
    "groups in the order of their persons": ("order[within] =", "order[:size] =", 1),
    "values in the order of persons": ("placed[order[: len(persons)]] =", "placed[: len(persons)] =", 1),
    "one hash for all specifications": ("_HASH + binding.digest", "_HASH", 2),
    "tags that are the same for all runs": ("_TAGS + binding.run_id", "_TAGS", 1),
    "an order that lists share": (
        "order = permute.permutation(own.order,",
        "order = permute.permutation(own.key_of_nobody,",
        1,
    ),
}
"""By name what is replaced, by what, and how often it stands there."""
WITHHELD_MUTANTS = {
    "a withheld group is summed": ("shown[cells[cells >= 0]] == 1", "shown[cells[cells >= 0]] >= 0", 1),
    "counts that are not rounded": ("control.rounded(counts) * shown", "counts * shown", 1),
    "counts of withheld groups": ("control.rounded(counts) * shown", "control.rounded(counts)", 1),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    code = mistaken(SOURCE, "psi_sum", [MUTANTS[name]])
    try:
        assert sent_by(RICH, 1, True, code) != intact(True)[1]
    except (PetsError, ValueError) as error:
        assert not isinstance(error, NameError)


@pytest.mark.parametrize("name", WITHHELD_MUTANTS)
def test_a_mistake_under_disclosure_control_is_noticed(name: str) -> None:
    people_a, people_b = {**RICH.people_a, b"9": 1}, {**RICH.people_b, b"1": (2, 2)}
    control = psi_sum.Control(minimum=2, base=2, empty=False)
    mixed = Case(people_a, people_b, 2, 2, 3, 4, 2, control=control)
    assert mixed.counts() == [1, 3]
    code = mistaken(SOURCE, "psi_sum", [WITHHELD_MUTANTS[name]])
    assert sent_by(mixed, 1, True, code) != sent_by(mixed, 1, True)


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    for shares in CARDS:
        assert sent_by(RICH, 1, shares, mistaken(SOURCE, "psi_sum_whole", [])) == intact(shares)[1]
    assert (CARD.version, SHARES.version) == ("1", "1")


@pytest.mark.long
@BOTH
@pytest.mark.parametrize("seed", [6, 13, 15, 20, 21])
def test_random_runs_are_their_terms(seed: int, shares: bool) -> None:
    case = random_case(seed)
    reading = Reading(case, seed, CARDS[shares])
    for (label, column), found in sent_by(case, seed, shares).items():
        if label not in ("R", "Fa", "Fb", "N"):  # whose noise a case need not have
            assert reading.sent(label, column) == found, (label, column)
