"""Where sums carry, three bits at a time, against whole numbers."""

import numpy as np
import numpy.typing as npt
import pytest

from pets.kernels import carries
from pets.kernels.shares import unplanes

U64 = npt.NDArray[np.uint64]
EDGES = [0, 1, 6, 7, 8, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 8, 2**64 - 1]


def columns(rows: int) -> tuple[U64, U64]:
    rng = np.random.default_rng(rows)
    u, v = rng.integers(0, 2**64, (2, rows), np.uint64)
    u[::3] = ~v[::3]  # all digits pass a carry on
    pairs = np.array([(a, b) for a in EDGES for b in EDGES], np.uint64)
    return np.concatenate([pairs[:, 0], u])[:rows], np.concatenate([pairs[:, 1], v])[:rows]


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 513, 700])
def test_a_word_s_digits_are_each_one_of_eight(rows: int) -> None:
    u, _ = columns(rows)
    planes = carries.ones(u)
    assert planes.shape == (carries.PLANES, -(-rows // 64))
    for digit in range(carries.DIGITS):
        found = (u >> np.uint64(3 * digit)) & np.uint64(7)
        for value in range(1, 8):
            plane = planes[7 * digit + value - 1 :][:1]
            assert np.array_equal(unplanes(plane, rows), (found == value).astype(np.uint64))
    assert np.array_equal(unplanes(planes[-1:], rows), u >> np.uint64(63))
    if rows % 64:
        assert not np.any(planes[:, -1] >> np.uint64(rows % 64)), "nothing lies beyond the last row"


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 513, 700])
def test_two_parts_add_up_to_where_digits_carry(rows: int) -> None:
    u, v = columns(rows)
    mask = np.random.default_rng(9).integers(0, 2**64, (carries.PLANES, -(-rows // 64)), np.uint64)
    one, top = carries.carries(mask, v, whole=True)
    other, same = carries.carries(carries.ones(u) ^ mask, v, whole=False)
    assert np.array_equal(unplanes(top, rows), v >> np.uint64(63)) and np.array_equal(top, same)
    both = one ^ other
    for digit in range(carries.DIGITS):
        total = (u >> np.uint64(3 * digit) & np.uint64(7)) + (v >> np.uint64(3 * digit) & np.uint64(7))
        assert np.array_equal(unplanes(both[digit : digit + 1], rows), (total >= 8).astype(np.uint64))
        if digit:
            at = carries.DIGITS + digit - 1
            assert np.array_equal(unplanes(both[at : at + 1], rows), (total == 7).astype(np.uint64))


def test_planes_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows"):
        carries.carries(np.zeros((carries.PLANES, 2), np.uint64), np.zeros(3, np.uint64), whole=False)
