"""Operations of the card rep3 that are made of others: messages, rounds, and that what a party gets shows nothing."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from pets.protocols.rep3.sharing import PARTIES
from pets.spec.cards import load_cards
from pets.spec.operations import Use, expanded, steps
from tests.oracles.rep3_operations import MADE
from tests.oracles.shared import Played, run
from tests.protocols.test_rep3 import CARD, PLAIN, _operation

CASES = [
    pytest.param(name, rows, public, id=f"{name}-{rows}-{'-'.join(map(str, public.values()))}")
    for name, made in MADE.items()
    for public in made.publics
    for rows in made.rows
]


def played(name: str, rows: int, public: Mapping[str, int], *, value: int = 0) -> Played:
    made = MADE[name]
    filled = [np.full(rows, value or (made.values or (0,) * made.columns)[at]) for at in range(made.columns)]
    return run(partial(made.act, **public), *filled, seed=rows)


@pytest.mark.parametrize(("name", "rows", "public"), CASES)
def test_an_operation_sends_exactly_what_its_card_lists_in_so_many_rounds(
    name: str, rows: int, public: Mapping[str, int]
) -> None:
    done = played(name, rows, public)
    names = CARD.names({"n": rows, "bits": 1, **public})
    listed = list(expanded(CARD.operations, name, names))
    for party in range(3):
        assert done.sent_by(party) == [each for each in listed if each.sender == party]
    assert all(array.dtype == np.uint64 for _, array in done.transcript.sent)
    assert len(set(done.positions)) == 1, "the three count their streams alike"
    check_rounds(name, names, done)


def check_rounds(name: str, names: Mapping[str, int], done: Played) -> None:
    """The card's rounds are its steps, but that party 0 gives several inputs at once; no message waits for more.

    A step in which not all three speak may overlap with the one before: so many rounds fewer can be measured.
    """
    listed = [step[0].label if len(step) < 3 else "" for step in steps(CARD.operations, name, names)]
    at_once = sum(label == before == "in" for before, label in pairwise(listed))
    rounds = next(each for each in CARD.operations if each.name == name).rounds.evaluate(names)
    assert rounds == len(listed) - at_once, name
    assert rounds - sum(map(bool, listed)) <= done.rounds <= rounds


@pytest.mark.parametrize("bits", [2, 3, 31, 63, 64])
@pytest.mark.parametrize("name", PLAIN)
def test_rounds_of_a_plain_operation(name: str, bits: int) -> None:
    act, columns = _operation(name, bits)
    done = run(act, *(np.zeros(70, np.int64) for _ in range(columns)))
    check_rounds(name, CARD.names({"n": 70, "bits": bits}), done)


def test_where_a_card_uses_an_operation_on_other_rows_it_says_how_many_planes_they_take() -> None:
    """Derived numbers are not worked out again inside a use: both n and w, or w alone where n is not in it."""
    for operation in load_cards()["rep3"].operations:
        for part in operation.parts:
            if isinstance(part, Use) and "n" in part.using:
                assert "w" in part.using, operation.name
                assert f"({part.using['n'].text} + 63) // 64" == part.using["w"].text, operation.name


@pytest.mark.parametrize("name", sorted(MADE))
def test_what_a_party_gets_is_uniform_whatever_the_values(name: str) -> None:
    """Bits of all received words, but for permutations that are opened: each position is 1 about half the time.

    False alarm: 64 positions, 3 parties, some 30 operations at 6.5 standard deviations, below 1e-6.
    """
    made = MADE[name]
    done = played(name, 500 if len(made.rows) > 1 else made.rows[0], made.publics[-1], value=1)
    for party in PARTIES:
        got = [array for (_, to, label, _), array in done.transcript.sent if to == party and label != "open"]
        words = np.concatenate([np.empty(0, np.uint64), *got])
        if words.size:
            ones = (words[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).sum(axis=0)
            assert np.abs(ones - words.size / 2).max() < 6.5 * np.sqrt(words.size / 4)
            assert len(np.unique(words)) == words.size
