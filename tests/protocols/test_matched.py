"""Values that only who has an entry can read, and a word to the sender that nobody else can say."""

import random

import numpy as np
import pytest

from pets.errors import PeerError
from pets.protocols import matched
from tests.oracles.intersections import binding
from tests.oracles.play import words

TIED = binding(1)


def sealed(words_each: int, count: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    elements, values = words(1, count, 2), words(2, count, words_each)
    return elements, values, matched.seal(elements, values, TIED, "some")


@pytest.mark.parametrize("words_each", range(1, 6))
def test_what_is_sealed_is_opened_with_the_same_elements(words_each: int) -> None:
    elements, values, rows = sealed(words_each)
    assert rows.shape == (5, 8 * words_each + matched.CHECK_BYTES)
    some = [3, 0]
    assert np.array_equal(matched.unseal(elements[some], rows[some], TIED, "some", label="V"), values[some])
    signed = matched.seal(elements, values.view(np.int64), TIED, "some")
    assert np.array_equal(signed, rows)


@pytest.mark.parametrize("words_each", [1, 2, 3])
def test_no_bit_flips_unseen(words_each: int) -> None:
    elements, _, rows = sealed(words_each, 1)
    for bit in range(8 * rows.size):
        changed = rows.copy()
        changed[0, bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerError) as caught:
            matched.unseal(elements, changed, TIED, "some", label="V")
        assert (caught.value.code, caught.value.fields) == ("peer.check", {"label": "V"})


@pytest.mark.parametrize("what", ["rows exchanged", "another element", "another run", "another protocol", "all zero"])
def test_rows_of_others_are_refused(what: str) -> None:
    elements, _, rows = sealed(2)
    tied, protocol = (binding(2) if what == "another run" else TIED), "other" if what == "another protocol" else "some"
    if what == "rows exchanged":
        rows = rows[[1, 0, 2, 3, 4]]
    elif what == "another element":
        elements = elements ^ np.array([1, 0], np.uint64)
    elif what == "all zero":
        rows = np.zeros_like(rows)
    with pytest.raises(PeerError, match="V contradicts"):
        matched.unseal(elements, rows, tied, protocol, label="V")


def test_equal_values_give_no_equal_bytes() -> None:
    rows = matched.seal(words(1, 200, 2), np.zeros((200, 3), np.uint64), TIED, "some").view(np.uint64)
    assert len({int(word) for word in rows.reshape(-1)}) == rows.size


def test_nobody_brings_nothing() -> None:
    none = np.empty((0, 2), np.uint64)
    rows = matched.seal(none, np.empty((0, 2), np.uint64), TIED, "some")
    assert matched.unseal(none, rows, TIED, "some", label="V").shape == (0, 2)


def test_values_of_other_shapes_are_our_bug() -> None:
    with pytest.raises(ValueError):
        matched.seal(words(1, 4, 2), words(2, 3, 2), TIED, "some")


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100])
def test_who_was_found_is_told(count: int) -> None:
    rng, elements = random.Random(count), words(3, count, 2)
    for chance in (0, 0.5, 1):
        found = np.array([rng.random() < chance for _ in range(count)], np.bool_)
        said = matched.tell(found, elements[found], TIED, "some")
        assert said.shape == (-(-count // 8) + matched.PROOF_BYTES, 1)
        assert np.array_equal(matched.told(said, elements, TIED, "some", label="V"), found)


def test_no_bit_of_the_word_flips_unseen() -> None:
    elements, found = words(3, 11, 2), np.arange(11) % 3 == 0
    said = matched.tell(found, elements[found], TIED, "some")
    for bit in range(8 * said.size):
        changed = said.copy()
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerError) as caught:
            matched.told(changed, elements, TIED, "some", label="V")
        assert caught.value.code == "peer.check"


def test_who_has_not_found_an_entry_cannot_name_it() -> None:
    """Not with the elements of others, nor with those in another order, nor with those of another run."""
    elements, found = words(3, 6, 2), np.array([1, 1, 0, 0, 0, 0], np.bool_)
    more = np.array([1, 1, 1, 0, 0, 0], np.bool_)
    for said in (
        matched.tell(more, elements[[0, 1, 3]], TIED, "some"),
        matched.tell(found, elements[[1, 0]], TIED, "some"),
        matched.tell(found, elements[[0, 1]], binding(2), "some"),
        matched.tell(found, elements[[0, 1]], TIED, "other"),
    ):
        with pytest.raises(PeerError):
            matched.told(said, elements, TIED, "some", label="V")


def test_words_of_other_lengths_are_our_bug() -> None:
    """The gate lets none in."""
    elements, found = words(3, 6, 2), np.ones(6, np.bool_)
    said = matched.tell(found, elements, TIED, "some")
    for wrong in (said[1:], np.concatenate([said[:1], said])):
        with pytest.raises(ValueError):
            matched.told(wrong, elements, TIED, "some", label="V")
    with pytest.raises(ValueError):
        matched.tell(found, elements[1:], TIED, "some")
