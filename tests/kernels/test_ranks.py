"""Comparing rows digit by digit, and putting together what was found, against slow twins."""

import numpy as np
import numpy.typing as npt
import pytest

from pets.kernels import ranks
from pets.kernels.shares import unplanes

U64 = npt.NDArray[np.uint64]


def slow(keys: U64, left: int, right: int, digits: int) -> list[int]:
    """Own parts of one comparison: less from the lowest digit up, then equal from the second up."""
    words = -(-digits // 4)

    def bits(row: int, component: int, digit: int) -> list[int]:
        word = int(keys[row, component * words + digit // 4])
        return [word >> (16 * (digit % 4) + value) & 1 for value in range(16)]

    less, equal = [], []
    for digit in range(digits):
        x, x_next, y, y_next = (bits(row, component, digit) for row in (left, right) for component in (0, 1))
        terms = {(i, j): x[i] & (y[j] ^ y_next[j]) ^ x_next[i] & y[j] for i in range(16) for j in range(16) if i <= j}
        less.append(sum(term for (i, j), term in terms.items() if i < j) % 2)
        equal.append(sum(term for (i, j), term in terms.items() if i == j) % 2)
    return [*less, *equal[1:]]


@pytest.mark.parametrize("digits", [1, 2, 4, 5, 13, 21, 32])
@pytest.mark.parametrize("count", [1, 64, 130])
def test_parts_of_comparisons_are_sums_of_products(digits: int, count: int) -> None:
    rng = np.random.default_rng([digits, count])
    keys = ranks.table(40, digits)
    keys[:] = rng.integers(0, 2**64, keys.shape, np.uint64)
    left, right = (rng.integers(0, 40, count).astype(np.uint32) for _ in range(2))
    got = ranks.less_and_equal(keys, left, right, digits)
    expected = np.array([slow(keys, a, b, digits) for a, b in zip(left.tolist(), right.tolist(), strict=True)])
    assert got.shape == (2 * digits - 1, -(-count // 64))
    for plane in range(2 * digits - 1):
        assert np.array_equal(unplanes(got[plane : plane + 1], count), expected[:, plane].astype(np.uint64))
    if count % 64:
        assert not np.any(got[:, -1] >> np.uint64(count % 64)), "nothing lies beyond the last comparison"


def test_a_table_begins_at_a_line_of_the_cache() -> None:
    for rows in (0, 1, 3, 1000):
        table = ranks.table(rows, 13)
        assert table.shape == (rows, 8) and (rows == 0 or table.ctypes.data % 64 == 0)


@pytest.mark.parametrize("digits", [0, 33])
def test_digits_out_of_range_are_refused(digits: int) -> None:
    with pytest.raises(ValueError, match="32 digits"):
        ranks.table(3, digits)
    with pytest.raises(ValueError, match="32 digits"):
        ranks.less_and_equal(np.zeros((3, 2), np.uint64), np.zeros(1, np.uint32), np.zeros(1, np.uint32), digits)


def test_rows_that_there_are_not_are_refused() -> None:
    keys = ranks.table(3, 2)
    for left, right in (([0], [3]), ([3], [0]), ([0, 1], [0])):
        with pytest.raises(ValueError, match="rows that exist"):
            ranks.less_and_equal(keys, np.array(left, np.uint32), np.array(right, np.uint32), 2)


@pytest.mark.parametrize(("before", "fresh"), [(0, 1), (0, 20), (7, 0), (7, 1), (31, 100)])
def test_rows_are_merged_as_they_compare(before: int, fresh: int) -> None:
    rng = np.random.default_rng([before, fresh])
    key = rng.permutation(before + fresh)
    order = np.argsort(key[:before]).astype(np.uint32)
    place = np.searchsorted(np.sort(key[:before]), key[before:]).astype(np.uint32)
    left, right, total = ranks.pairs(place, before + 1, fresh * fresh)
    assert total == sum(place[i] == place[j] for i in range(fresh) for j in range(i))
    assert not left[total:].any() and not right[total:].any()
    less = (key[before:][left] < key[before:][right]).astype(np.uint8) if fresh else left.astype(np.uint8)
    merged = ranks.merged(order, before, place, left, right, less, total)
    assert np.array_equal(merged, np.argsort(key))


def test_what_cannot_be_an_order_is_refused() -> None:
    place = np.zeros(3, np.uint32)
    left, right, total = ranks.pairs(place, 1, 3)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    with pytest.raises(ValueError, match="contradict"):
        ranks.merged(np.empty(0, np.uint32), 0, place, left, right, np.array([1, 0, 1], np.uint8), total)
    with pytest.raises(ValueError, match="closer"):
        ranks.pairs(place, 1, 2)
    with pytest.raises(ValueError, match="gap"):
        ranks.pairs(np.array([1], np.uint32), 1, 2)
