"""Numbers in lanes of words: sums over any number of parties are those of integers, up to the ends of every range."""

import random

import numpy as np
import pytest

from pets.kernels.packed import FIELD_BITS, RING_BITS, Layout, Numbers, OutOfRangeError
from pets.protocols.secure_sum_shamir import field_of, signed

P = 2**61 - 1


def added(layout: Layout, vectors: list[np.ndarray], bits: int) -> np.ndarray:
    """As the protocols add: words modulo 2^64, or elements of the field."""
    if bits == RING_BITS:
        return np.sum([each.view(np.uint64) for each in vectors], axis=0, dtype=np.uint64)  # type: ignore[no-any-return]
    total = np.zeros(layout.words, object)
    for each in vectors:
        total += field_of(each).astype(object)
    return signed((total % P).astype(np.uint64))


def some_lists(rng: random.Random, parties: int, noise: int, bits: int) -> list[Numbers]:
    found = []
    for at in range(rng.randint(1, 5)):
        most = (2 ** rng.randint(1, bits - 1) - 1 - noise) // parties
        low, high = sorted((rng.choice([0, -most, -rng.randint(0, max(most, 0)), most]), rng.choice([0, most, -1])))
        low, high = max(low, -most) if most > 0 else 0, min(high, most) if most > 0 else 0
        found.append(Numbers(f"list {at}", rng.choice([0, 1, 2, 5, 64, 65]), min(low, high), high))
    return found


@pytest.mark.parametrize("bits", [RING_BITS, FIELD_BITS])
@pytest.mark.parametrize("seed", range(40))
def test_sums_are_those_of_integers(seed: int, bits: int) -> None:
    rng = random.Random(f"{seed} {bits}")
    parties, noise = rng.choice([1, 2, 3, 1000]), rng.choice([0, 0, 1, 1000])
    lists = some_lists(rng, parties, noise, bits)
    layout = Layout(lists, parties=parties, noise=noise, bits=bits)
    there = min(parties, rng.randint(1, 6))
    totals = {each.name: [0] * each.count for each in lists}
    vectors = []
    for _ in range(there):
        values = {
            e.name: [rng.choice([e.low, e.high, rng.randint(e.low, e.high)]) for _ in range(e.count)] for e in lists
        }
        vectors.append(layout.packed({name: np.array(own, np.int64) for name, own in values.items()}))
        totals = {name: [a + b for a, b in zip(totals[name], values[name], strict=True)] for name in totals}
    added_noise = {e.name: [rng.choice([-noise, noise, 0]) for _ in range(e.count)] for e in lists}
    vectors.append(layout.noised({name: np.array(own, np.int64) for name, own in added_noise.items()}))
    opened = layout.unpacked(added(layout, vectors, bits))
    for name, own in opened.items():
        assert own.tolist() == [a + b for a, b in zip(totals[name], added_noise[name], strict=True)]


@pytest.mark.parametrize("bits", [RING_BITS, FIELD_BITS])
@pytest.mark.parametrize("low", [True, False])
def test_every_number_at_its_end_at_every_party(bits: int, low: bool) -> None:
    lists = [Numbers("flags", 70, 0, 1), Numbers("signs", 33, -1, 1), Numbers("one", 2, -(2**40), 2**40)]
    layout = Layout(lists, parties=1000, noise=7, bits=bits)
    ends = {each.name: np.full(each.count, each.low if low else each.high) for each in lists}
    noise = {each.name: np.full(each.count, -7 if low else 7) for each in lists}
    opened = layout.unpacked(added(layout, [layout.packed(ends)] * 1000 + [layout.noised(noise)], bits))
    for each in lists:
        own = (each.low if low else each.high) * 1000 + (-7 if low else 7)
        assert opened[each.name].tolist() == [own] * each.count


def test_as_many_numbers_share_a_word_as_fit() -> None:
    layout = Layout([Numbers("a", 1_000_000, -(2**21), 2**21 - 1)], parties=1000)
    assert (layout.lane_of("a"), layout.words) == (32, 500_000)
    assert Layout([Numbers("a", 10, 0, 1)], parties=1000).words == 2
    assert Layout([Numbers("a", 4, -(2**53), 2**53)], parties=1000).lane_of("a") == 64


@pytest.mark.parametrize("bits", [RING_BITS, FIELD_BITS])
def test_a_sum_that_has_no_room_is_refused(bits: int) -> None:
    Layout([Numbers("a", 1, 0, 2 ** (bits - 1) - 1)], parties=1, bits=bits)
    for wrong in (
        {"lists": [Numbers("a", 1, 0, 2 ** (bits - 1))], "parties": 1},
        {"lists": [Numbers("a", 1, 0, 2 ** (bits - 2))], "parties": 2},
        {"lists": [Numbers("a", 1, 0, 2 ** (bits - 1) - 1)], "parties": 1, "noise": 1},
        {"lists": [Numbers("a", 1, -(2 ** (bits - 1)) - 1, 0)], "parties": 1},
    ):
        with pytest.raises(ValueError, match="bits"):
            Layout(**wrong, bits=bits)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-4, 6, 2**63 - 1, -(2**63)])
def test_a_number_outside_its_range_is_refused_and_not_named(value: int) -> None:
    layout = Layout([Numbers("a", 3, -3, 5)], parties=4, noise=2)
    with pytest.raises(OutOfRangeError) as caught:
        layout.packed({"a": np.array([0, value, 0])})
    assert (caught.value.name, caught.value.place) == ("a", 1)
    assert str(value) not in str(caught.value)
    with pytest.raises(OutOfRangeError):
        layout.noised({"a": np.array([0, 0, 3])})


@pytest.mark.parametrize(
    "wrong",
    [{}, {"a": [1]}, {"a": [1, 2, 3], "b": [1]}, {"a": [1.0, 2.0, 3.0]}, {"a": [[1, 2, 3]]}, {"a": [True] * 3}],
)
def test_a_vector_has_the_lists_of_its_layout(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"numbers|each list"):
        Layout([Numbers("a", 3, -3, 5)], parties=4).packed(wrong)  # type: ignore[arg-type]


def test_words_beyond_int64_are_outside() -> None:
    with pytest.raises(OutOfRangeError):
        Layout([Numbers("a", 1, -1, 1)], parties=1).packed({"a": np.array([2**64 - 1], np.uint64)})


def test_layouts_that_make_no_sense_are_refused() -> None:
    for wrong in ({"parties": 0}, {"parties": 1, "noise": -1}, {"parties": 1, "bits": 63}):
        with pytest.raises(ValueError, match="layout"):
            Layout([], **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name"):
        Layout([Numbers("a", 1, 0, 1)] * 2, parties=1)
    with pytest.raises(ValueError, match="range"):
        Numbers("a", 1, 2, 1)
    with pytest.raises(ValueError, match="as many words"):
        Layout([Numbers("a", 1, 0, 1)], parties=1).unpacked(np.zeros(2, np.int64))
