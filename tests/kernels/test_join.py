"""Sorting and matching tags against a dictionary, and against peers who send what no cipher would."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.kernels import join
from pets.kernels.join import UNMATCHED, match, sort_tags


def spread(rng: np.random.Generator, count: int, width: int) -> join.U8Array:
    """Distinct random tags in random order."""
    tags = np.unique(rng.integers(0, 256, (count, width), dtype=np.uint8), axis=0)
    rng.shuffle(tags)
    return tags


def slow_twin(unsorted: join.U8Array, ordered: join.U8Array) -> list[int]:
    where = {tag.tobytes(): position for position, tag in enumerate(ordered)}
    return [where.get(tag.tobytes(), UNMATCHED) for tag in unsorted]


def in_order(tags: join.U8Array) -> join.U8Array:
    return np.frombuffer(b"".join(sorted(map(bytes, tags))), np.uint8).reshape(tags.shape).copy()


@pytest.mark.parametrize("width", [3, 5, 7, 8, 9, 10, 11, 12, 13, 16])
@pytest.mark.parametrize(("own", "other", "common"), [(0, 0, 0), (0, 5, 0), (5, 0, 0), (1, 1, 1), (40, 60, 30)])
def test_small_lists_equal_a_dictionary(width: int, own: int, other: int, common: int) -> None:
    rng = np.random.default_rng(width)
    tags = spread(rng, own + other, width)
    unsorted = tags[:own]
    ordered = in_order(np.concatenate([tags[own : own + other - common], tags[:common]]))
    assert match(unsorted, ordered).tolist() == slow_twin(unsorted, ordered)


@pytest.mark.parametrize("width", [6, 8, 10, 11, 12, 14])
@pytest.mark.parametrize(
    ("own", "other", "common"), [(9000, 30_000, 0), (30_000, 9000, 9000), (50_000, 50_000, 25_000)]
)
def test_large_lists_equal_a_dictionary(width: int, own: int, other: int, common: int) -> None:
    rng = np.random.default_rng(own + width)
    tags = spread(rng, own + other, width)
    unsorted = tags[:own].copy()
    ordered = np.concatenate([tags[own : own + other - common], tags[:common]])
    ordered = ordered[sort_tags(ordered)[0]]
    result = match(unsorted, ordered)
    assert result.dtype == np.uint32
    assert result.tolist() == slow_twin(unsorted, ordered)
    positions = result[result != UNMATCHED]
    assert positions.size == common == np.unique(positions).size


@pytest.mark.parametrize("width", [1, 2, 4, 7, 8, 9, 10, 11, 12, 13, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 500, 20_000])
def test_order_equals_a_stable_sort(width: int, count: int) -> None:
    rng = np.random.default_rng(count + width)
    tags = rng.integers(0, 256, (count, width), dtype=np.uint8)
    if width > 4:
        tags[count // 2 :: 7] = tags[: len(tags[count // 2 :: 7])]  # some twice: these keep their order
    expected = np.argsort(tags.view(f"S{width}").ravel(), kind="stable")
    order, listed = sort_tags(tags)
    assert np.array_equal(order, expected)
    assert np.array_equal(listed, tags[expected])


@pytest.mark.parametrize("alike", [8, 11, 12, 15])
def test_tags_that_differ_late_are_told_apart(alike: int) -> None:
    """Pairs with a common beginning: sorting and matching must look at every byte."""
    rng = np.random.default_rng(alike)
    tags = spread(rng, 3000, 16)
    twin = tags.copy()
    twin[:, alike:] ^= 1
    both = np.concatenate([tags, twin])
    rng.shuffle(both)
    assert np.array_equal(both[sort_tags(both)[0]], in_order(both))
    assert match(both, in_order(tags)).tolist() == slow_twin(both, in_order(tags))
    assert match(tags, in_order(twin)).tolist() == [UNMATCHED] * len(tags)
    assert match(tags, in_order(both)).tolist() == slow_twin(tags, in_order(both))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_small_alphabets_equal_a_dictionary(data: st.DataObject) -> None:
    """Short tags over few values, as hostile as a few rows can be: right, or refused, never wrong."""
    width = data.draw(st.integers(1, 16))
    one = st.binary(min_size=width, max_size=width) | st.lists(
        st.sampled_from([0, 1, 255]), min_size=width, max_size=width
    ).map(bytes)
    unsorted = np.array([list(tag) for tag in data.draw(st.lists(one, max_size=40))], np.uint8).reshape(-1, width)
    ordered = np.array([list(tag) for tag in data.draw(st.lists(one, max_size=40))], np.uint8).reshape(-1, width)
    if data.draw(st.booleans()):
        ordered = in_order(ordered)
    as_bytes = [tag.tobytes() for tag in ordered]
    good = all(a < b for a, b in pairwise(as_bytes))
    good = good and len({tag.tobytes() for tag in unsorted}) == len(unsorted)
    if good:
        assert match(unsorted, ordered).tolist() == slow_twin(unsorted, ordered)
    else:
        with pytest.raises(ValueError, match=r"twice|increasing"):
            match(unsorted, ordered)
    assert [unsorted[i].tolist() for i in sort_tags(unsorted)[0]] == sorted(unsorted.tolist())


# -- what a peer may send ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [7, 8, 10, 12, 16])
def test_a_tag_twice_in_the_unsorted_list_is_refused(width: int) -> None:
    rng = np.random.default_rng(width)
    tags = spread(rng, 20_000, width)
    for first, second in ((0, 1), (0, 19_000), (9_000, 9_001)):
        doubled = tags.copy()
        doubled[second] = doubled[first]
        with pytest.raises(ValueError, match="twice"):
            match(doubled, in_order(tags[:10]))


@pytest.mark.parametrize("width", [7, 8, 10, 12, 16])
def test_a_sorted_list_that_repeats_or_is_not_sorted_is_refused(width: int) -> None:
    rng = np.random.default_rng(width)
    tags = spread(rng, 20_000, width)
    ordered = tags[sort_tags(tags)[0]]
    for place in (0, 1, 10_000, 19_000):
        swapped = ordered.copy()
        swapped[[place, place + 1]] = ordered[[place + 1, place]]
        doubled = ordered.copy()
        doubled[place + 1] = doubled[place]
        for wrong in (swapped, doubled):
            with pytest.raises(ValueError, match="increasing"):
                match(tags[:5000], wrong)
    with pytest.raises(ValueError, match="increasing"):
        match(tags, ordered[::-1].copy())
    with pytest.raises(ValueError, match="increasing"):
        match(tags[:3], np.zeros((2, width), np.uint8))


def test_all_zero_sorted_list_of_one_matches_a_zero_tag() -> None:
    zero = np.zeros((1, 10), np.uint8)
    assert match(zero, zero).tolist() == [0]


@pytest.mark.parametrize(
    ("shift", "spread_well"), [(0, False), (1, False), (2, False), (3, False), (7, False), (8, True)]
)
def test_counters_instead_of_tags_are_refused_or_right(shift: int, spread_well: bool) -> None:
    """Everything falls into one bucket or one slot, which took quadratic time if nothing stopped it."""
    count = 200_000
    tags = np.zeros((count, 12), np.uint8)
    tags.view(np.uint32)[:, 2] = np.arange(count, dtype=np.uint32)
    tags = np.roll(tags, -shift, axis=1)
    ordered = tags[sort_tags(tags)[0]]
    assert np.array_equal(ordered, in_order(tags))
    if spread_well:
        assert match(tags, ordered).tolist() == slow_twin(tags, ordered)
    else:
        with pytest.raises(ValueError, match="not spread"):
            match(tags, ordered)


def test_tags_that_share_a_slot_in_every_bucket_are_refused() -> None:
    """Evenly spread over the buckets, but inside each bucket all in one slot."""
    count = 250_000
    bits = count.bit_length() - join._BUCKET
    leading = np.arange(count, dtype=np.uint64) % np.uint64(1 << bits)
    head = (leading << np.uint64(64 - bits)) | (np.arange(count, dtype=np.uint64) >> np.uint64(bits))
    tags = np.zeros((count, 12), np.uint8)
    tags[:, :8] = head.astype(">u8").view(np.uint8).reshape(count, 8)
    with pytest.raises(ValueError, match="not spread"):
        match(tags, in_order(tags[:1]))
    assert np.array_equal(tags[sort_tags(tags)[0]], in_order(tags))


def test_hostile_sorted_list_costs_no_more_than_its_length() -> None:
    """All of it probes the longest run of slots that the unsorted list can make."""
    rng = np.random.default_rng(8)
    unsorted = np.zeros((500, 12), np.uint8)
    unsorted[:, 8:] = rng.permutation(500).astype(">u4").view(np.uint8).reshape(500, 4)
    ordered = np.zeros((300_000, 12), np.uint8)
    ordered[:, 8:] = np.arange(300_000).astype(">u4").view(np.uint8).reshape(-1, 4)
    assert match(unsorted, ordered).tolist() == slow_twin(unsorted, ordered)


def test_real_tags_pass() -> None:
    """Cipher output over lists of many sizes around the steps of the number of buckets is never called clustered."""
    for count in (255, 256, 1023, 1024, 1025, 2047, 2048, 4096, 65_536):
        tags = np.frombuffer(hashlib.shake_128(count.to_bytes(4, "big")).digest(11 * count), np.uint8)
        tags = tags.reshape(count, 11)
        ordered = tags[sort_tags(tags)[0]]
        result = match(tags, ordered)
        assert np.array_equal(ordered[result], tags)


def test_wrong_arrays_are_refused() -> None:
    good = np.zeros((2, 10), np.uint8)
    for wrong in (
        np.zeros((2, 17), np.uint8),
        np.zeros((2, 0), np.uint8),
        np.zeros(20, np.uint8),
        np.zeros((2, 10), np.int8),
        np.zeros((2, 20), np.uint8)[:, ::2],
    ):
        with pytest.raises(ValueError, match="contiguous"):
            sort_tags(wrong)[0]  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="contiguous"):
            match(wrong, good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two widths"):
        match(good, np.zeros((2, 11), np.uint8))


@pytest.mark.parametrize("width", [1, 3, 7, 8, 9, 11, 12, 13, 16])
def test_repeated_tags_are_found_and_order_is_told(width: int) -> None:
    rng = np.random.default_rng(width)
    for count in (0, 1, 2, 3, 40, 200):
        tags = in_order(spread(rng, count, width))
        assert join.increasing(tags) and join.repeated(tags).size == 0
        for place in range(1, min(len(tags), 60)):
            twice = tags.copy()
            twice[place] = twice[place - 1]
            assert not join.increasing(twice) and join.repeated(twice).tolist() == [place]
            swapped = tags.copy()
            swapped[[place - 1, place]] = swapped[[place, place - 1]]
            assert not join.increasing(swapped)
    three = np.full((3, width), 7, np.uint8)
    assert join.repeated(three).tolist() == [1, 2]
    for at in range(width):
        pair = np.zeros((2, width), np.uint8)
        pair[1, at] = 1
        assert join.increasing(pair) and not join.increasing(pair[::-1].copy())
    with pytest.raises(ValueError, match="contiguous"):
        join.increasing(np.zeros((4, width), np.uint8)[::2])
