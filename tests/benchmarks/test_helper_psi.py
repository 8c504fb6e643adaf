"""The benchmark of intersections with a helper: its modes, what counts as right, and small runs (long)."""

import numpy as np
import pytest

from benchmarks import helper_psi, psi
from benchmarks.peers.made_up import shared_by
from pets.protocols.helper_psi import Found
from pets.spec.cards import load_cards


def test_every_mode_is_asked_for_by_its_name() -> None:
    assert set(psi.HELPED) == set(helper_psi.MODES)
    for what, card in helper_psi.MODES.items():
        assert load_cards()[card].names(helper_psi.public(what, 9))["n_a"] == 9


def test_a_wrong_result_is_noticed() -> None:
    which, values = "helper.which", "helper.which.values"
    right = Found(np.arange(5, 10), [np.arange(5)])
    assert shared_by(10) == 5
    assert helper_psi.is_right(which, None, Found(right.places, []), 10) and helper_psi.is_right(
        values, None, right, 10
    )
    assert not helper_psi.is_right(which, None, Found(right.places[1:], []), 10)
    assert not helper_psi.is_right(values, None, Found(right.places, [np.arange(1, 6)]), 10)
    for what in ("helper.count", "helper.enough"):
        card = load_cards()[helper_psi.MODES[what]]
        shape = helper_psi._shape(what, card, 10)
        words = [np.array([n], np.uint64) for n in (7, 2**64 - 4, 2)]
        assert helper_psi.is_right(what, shape, words, 10)
        assert not helper_psi.is_right(what, shape, [*words, np.array([1], np.uint64)], 10)


@pytest.mark.long
def test_small_runs_find_the_right_ones_and_send_what_the_card_says() -> None:
    for case in helper_psi.measure([(what, 500) for what in helper_psi.MODES], 1):
        assert case.more["right"] is True
        assert case.bytes == case.more["formula"] > 8 * 1000
        assert case.rounds == (13 if case.name == "helper.enough" else 2)
