"""Places in lists: kernels against one line of numpy."""

import numpy as np
import pytest

from pets.kernels import lists


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 5000])
def test_list_positions_follow_the_cells(rows: int) -> None:
    rng = np.random.default_rng(rows)
    cell = rng.integers(0, 7, rows, dtype=np.uint32)
    first = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=7))[:-1]]).astype(np.int64)
    q = rng.permutation(rows).astype(np.uint32)
    at = lists.list_positions(cell, first, q)
    assert np.array_equal(at[np.argsort(cell, kind="stable")], q)


@pytest.mark.parametrize("sizes", [[1], [5, 1, 40], [100, 1, 1, 300], [3000, 2000]])
def test_cells_by_position_say_which_cell_a_place_has(sizes: list[int]) -> None:
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    q = np.random.default_rng(1).permutation(int(bounds[-1])).astype(np.uint32)
    expected = np.empty(q.size, np.uint32)
    expected[q] = np.repeat(np.arange(len(sizes)), sizes)
    assert np.array_equal(lists.cells_by_position(bounds, q), expected)


@pytest.mark.parametrize(("entries", "count"), [(0, 0), (1, 1), (40, 0), (40, 33), (5000, 5000), (5000, 1200)])
def test_follow_is_the_inverse_order_and_then_the_permutation(entries: int, count: int) -> None:
    rng = np.random.default_rng(entries + count)
    order = rng.permutation(entries).astype(np.uint32)
    rho = rng.permutation(entries + 17).astype(np.uint32)
    assert np.array_equal(lists.follow(order, rho, count), rho[np.argsort(order)[:count]])


def test_follow_refuses_a_permutation_that_is_too_short() -> None:
    order = np.arange(5, dtype=np.uint32)
    with pytest.raises(ValueError, match="rho covers the list"):
        lists.follow(order, order[:4], 2)
    with pytest.raises(ValueError, match="rho covers the list"):
        lists.follow(order, order, 6)
