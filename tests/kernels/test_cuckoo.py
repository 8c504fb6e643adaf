"""Bins of entries against the slow ones of tests/oracles, and the chance that entries cannot be placed."""

import random
from itertools import product

import numpy as np
import pytest

from pets.kernels import cuckoo
from tests.oracles import cuckoo as slow


def hashes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)


def within(count: int, third: int, seed: int) -> np.ndarray:
    """Bins of entries, one in each third of so many."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, third, (count, 3)) + third * np.arange(3)).astype(np.uint32)


@pytest.mark.parametrize("count", [1, 2, 1000, 2**26])
def test_bins_are_digits_of_the_hash(count: int) -> None:
    size, some = cuckoo.Size(count), hashes(50, count)
    some[0], some[1] = 0, 2**64 - 1
    assert cuckoo.places(some, size).tolist() == [slow.places(row.tobytes(), size.third) for row in some]
    assert cuckoo.places(some[:2], size).tolist() == [
        [0, size.third, 2 * size.third],
        [size.third - 1, 2 * size.third - 1, 3 * size.third - 1],
    ]


@pytest.mark.parametrize(("count", "third"), [(1, 1), (3, 1), (9, 4), (60, 24), (60, 21), (400, 150), (400, 140)])
def test_entries_are_placed_as_the_slow_way_places_them(count: int, third: int) -> None:
    """So full that most seeds need long ways, and some have none."""
    none = 0
    for seed in range(40):
        at = within(count, third, seed)
        expected = slow.placed(at.tolist())
        none += expected is None
        if expected is None:
            with pytest.raises(cuckoo.Unplaceable):
                cuckoo.placed(at, 3 * third)
        else:
            assert cuckoo.placed(at, 3 * third).tolist() == expected
            assert len(set(expected)) == count and all(one in bins for one, bins in zip(expected, at, strict=True))
    assert third != 21 or 0 < none < 40, none


def test_nothing_is_left_over_if_there_is_any_way() -> None:
    """All lists of four entries in two bins a third, against all ways to place them."""
    lists = list(product(*[[(a, 2 + b, 4 + c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]] * 4))
    chosen = [lists[number] for number in random.Random(1).sample(range(len(lists)), 400)]
    left = 0
    for at in [*chosen, lists[0], lists[-1]]:
        if any(len(set(bins)) == 4 for bins in product(*at)):
            assert len(set(cuckoo.placed(np.array(at, np.uint32), 6).tolist())) == 4
            continue
        left += 1
        with pytest.raises(cuckoo.Unplaceable):
            cuckoo.placed(np.array(at, np.uint32), 6)
    assert left >= 2


def test_equal_bins_are_found_wherever_they_are() -> None:
    at = within(200, 500, 1)
    bins = 1500
    assert not cuckoo.twice(at, cuckoo.placed(at, bins), bins).size
    at[150] = at[3]
    assert cuckoo.twice(at, cuckoo.placed(at, bins), bins).tolist() == [3, 150]
    at[77] = at[3]
    assert cuckoo.twice(at, cuckoo.placed(at, bins), bins).tolist() == [3, 77, 150]
    at[78, :2] = at[3, :2]
    assert cuckoo.twice(at, cuckoo.placed(at, bins), bins).tolist() == [3, 77, 150]


def test_nobody_has_no_bins() -> None:
    none = np.empty((0, 3), np.uint32)
    assert not cuckoo.placed(none, 3).size and not cuckoo.twice(none, np.empty(0, np.uint32), 3).size


def test_wrong_shapes_and_sizes_are_refused() -> None:
    size = cuckoo.Size(5)
    for wrong in (
        lambda: cuckoo.Size(0),
        lambda: cuckoo.Size(2**26 + 1),
        lambda: cuckoo.places(hashes(5, 1)[:, :1], size),
        lambda: cuckoo.places(hashes(5, 1).astype(np.int64), size),
        lambda: cuckoo.placed(within(5, 10, 1), 20),
        lambda: cuckoo.placed(within(5, 10, 1).astype(np.int64), 30),
    ):
        with pytest.raises(ValueError):
            wrong()


# -- how often they cannot be placed ----------------------------------------------------------------------------------

SIZES = [*range(4, 60), *range(60, 2000, 60), 4096, 2**14, 2**16, 2**18, 10**6, 2**20, 10**7, 2**24, 2**26]


def test_sizes_keep_the_chance_below_what_is_said() -> None:
    """Three entries always fit: none of their bins are the same."""
    worst = max((slow.bound(n, cuckoo.Size(n).third), n) for n in SIZES)
    assert -43.6 > worst[0] > -44, worst
    assert slow.bound(2**20, cuckoo.Size(2**20).third) < -80


def test_the_bound_needs_what_sizes_have() -> None:
    """With the usual 1.27 bins an entry it says nothing, and few entries need bins beyond their share."""
    assert slow.bound(2**20, 127 * 2**20 // 300) > 0
    assert slow.bound(100, 434 * 100 // 1000) > -20
    assert slow.bound(100, 434 * 100 // 1000 + 64) > -40


def left_over(count: int, third: int, tries: int) -> int:
    """How many of so many lists cannot be placed."""
    rng, left = np.random.default_rng(count + third), 0
    for _ in range(tries):
        at = (rng.integers(0, third, (count, 3)) + third * np.arange(3)).astype(np.uint32)
        try:
            cuckoo.placed(at, 3 * third)
        except cuckoo.Unplaceable:
            left += 1
    return left


@pytest.mark.parametrize(("count", "third"), [(4, 2), (4, 3), (6, 4), (9, 6), (14, 9)])
def test_the_bound_is_one_where_it_can_be_seen(count: int, third: int) -> None:
    """Fails if more are left over than the bound lets be, plus five standard deviations; and it is no empty bound."""
    tries, said = 4000, 2 ** slow.bound(count, third)
    left = left_over(count, third, tries)
    assert left <= tries * said + 5 * (tries * said) ** 0.5 + 1
    assert said > 0.5 or said < 6 * (left + 3) / tries, (left, said)


@pytest.mark.long
@pytest.mark.parametrize("bits", [3, 5, 8, 11])
@pytest.mark.parametrize("count", [20, 50, 100, 300, 1000, 4000, 2**14])
def test_fewer_bins_fail_as_rarely_as_the_bound_says(count: int, bits: int) -> None:
    """At reduced strength: the fewest bins for which the bound says so many bits, in at most 2^16 lists."""
    low, high = count // 4, 4 * count + 64
    while high - low > 1:
        third = (low + high) // 2
        low, high = (low, third) if slow.bound(count, third) <= -bits else (third, high)
    tries = min(1 << 16, (1 << 25) // count)
    expected = tries * 2 ** slow.bound(count, high)
    assert left_over(count, high, tries) <= expected + 5 * expected**0.5 + 1
