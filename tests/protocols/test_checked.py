"""Checks of columns and of trees: what fits passes, and what does not is refused but for guesses."""

import numpy as np
import pytest

from pets.errors import PeerError
from pets.kernels import gf128
from pets.protocols import checked
from tests.oracles.intersections import binding
from tests.oracles.play import words
from tests.oracles.vole_psi import times

TIED = binding(1)
COUNT = 5


def made(wrong: list[int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns of both sides, bits, values, points; in some columns the values are others."""
    columns, values, at = words(1, 128, COUNT + 2, 2), words(2, COUNT + 2, 2), checked.points(TIED, "V", words(3, 4))
    bits = np.random.default_rng(4).integers(0, 2, 128, dtype=np.uint8)
    used = np.tile(values, (128, 1, 1))
    for column in wrong or []:
        used[column, 1, 0] ^= np.uint64(1)
    return columns, columns ^ used * bits[:, None, None].astype(np.uint64), bits, values, at


def passes(shown: np.ndarray, theirs: np.ndarray, bits: np.ndarray, at: np.ndarray) -> bool:
    try:
        checked.require(theirs, bits, shown, at, label="V")
    except PeerError as error:
        assert (error.code, error.fields) == ("peer.check", {"label": "V"})
        return False
    return True


def test_what_was_made_with_one_value_passes() -> None:
    columns, theirs, bits, values, at = made()
    assert passes(checked.show(columns, values, at), theirs, bits, at)


def test_another_value_in_one_column_passes_for_one_of_two_bits() -> None:
    for column in range(128):
        columns, theirs, bits, values, at = made([column])
        assert passes(checked.show(columns, values, at), theirs, bits, at) == (bits[column] == 0)


def test_a_guess_can_be_answered_for_and_is_no_better_than_a_guess() -> None:
    """Who uses another value in a column can show what fits if the bit is 1: it does not if the bit is 0."""
    for column in range(32):
        columns, theirs, bits, values, at = made([column])
        other = values.copy()
        other[1, 0] ^= np.uint64(1)
        shown = checked.show(columns, values, at)
        difference = checked.show(columns, other, at)[:2] ^ shown[:2]
        shown[2 + 2 * column : 4 + 2 * column] ^= difference
        assert passes(shown, theirs, bits, at) == (bits[column] == 1)


@pytest.mark.parametrize("entry", range(COUNT + 2))
def test_every_entry_is_looked_at(entry: int) -> None:
    columns, theirs, bits, values, at = made()
    changed = theirs.copy()
    changed[int(np.argmax(bits)), entry, 1] ^= np.uint64(2)
    assert not passes(checked.show(columns, values, at), changed, bits, at)


def test_folds_are_those_of_whole_numbers() -> None:
    columns, _, _, values, at = made()
    shown = checked.show(columns, values, at)
    for number, column in enumerate([values, *columns[:2]]):
        entries = [int.from_bytes(row.tobytes(), "little") for row in column]
        for i in range(2):
            point = int.from_bytes(at[i].tobytes(), "little")
            total, power = entries[COUNT + i], point
            for entry in entries[:COUNT]:
                total, power = total ^ times(entry, power), times(power, point)
            assert shown[2 * number + i].tobytes() == total.to_bytes(16, "little")


def test_entries_of_their_own_hide_what_is_shown() -> None:
    """For any other values there are hiding entries with which the same is shown."""
    columns, _, _, values, at = made()
    other = words(9, COUNT + 2, 2)
    off = checked.show(columns, values, at)[:2] ^ checked.show(columns, other, at)[:2]
    other[COUNT:] ^= off
    assert np.array_equal(checked.show(columns, other, at)[:2], checked.show(columns, values, at)[:2])


@pytest.mark.parametrize("change", ["run", "label", "message", "order"])
def test_points_depend_on_all_that_was_said(change: str) -> None:
    one, two = words(1, 3), words(2, 3)
    right = checked.points(TIED, "V", one, two)
    other = {
        "run": checked.points(binding(2), "V", one, two),
        "label": checked.points(TIED, "W", one, two),
        "message": checked.points(TIED, "V", one, two ^ np.uint64(1)),
        "order": checked.points(TIED, "V", two, one),
    }[change]
    assert not (right == other).any()


# -- trees ------------------------------------------------------------------------------------------------------------


def grown(trees: int = 3, leaves: int = 8) -> dict[str, np.ndarray]:
    b, delta, values, masks = words(1, trees * leaves, 2), words(2, 1, 2), words(3, trees, 2), words(4, trees, 2)
    holes = np.array([0, 7, 4], np.int64)[:trees]
    c = b.copy()
    c[holes + leaves * np.arange(trees)] ^= gf128.multiply(values, delta)
    share = words(5, trees, 2)
    return {
        "b": b,
        "c": c,
        "delta": delta,
        "values": values,
        "holes": holes,
        "masks": masks,
        "share_b": share,
        "share_c": share ^ gf128.multiply(masks, delta),
        "weights": checked.weights_of(words(6, 1, 2), leaves),
    }


def agree(made: dict[str, np.ndarray]) -> bool:
    shown = checked.weighed(made["holes"], made["values"], made["masks"], made["weights"])
    folds = checked.sums(made["b"], made["weights"]) ^ made["share_b"] ^ gf128.multiply(shown, made["delta"])
    expected = checked.answer(checked.sums(made["c"], made["weights"]) ^ made["share_c"], TIED)
    return np.array_equal(checked.answer(folds, TIED), expected)


def test_trees_that_are_right_pass() -> None:
    assert agree(grown())


@pytest.mark.parametrize("name", ["b", "c", "values", "masks", "share_b", "share_c", "delta"])
def test_every_word_of_trees_and_products_is_looked_at(name: str) -> None:
    for place in range(grown()[name].size):
        made = grown()
        made[name].reshape(-1)[place] ^= np.uint64(1 << 40)
        assert not agree(made), place


def test_another_place_of_the_noise_is_noticed() -> None:
    made = grown()
    made["holes"] = np.array([0, 7, 5], np.int64)
    assert not agree(made)


def test_two_changes_do_not_cancel_but_for_who_knows_the_point() -> None:
    made = grown()
    made["b"][[0, 1], 0] ^= np.uint64(1)
    assert not agree(made)
