"""One level of a tree of carries on shares, against its formula."""

import numpy as np
import pytest

from pets.kernels import shares


@pytest.mark.parametrize("planes", [2, 3, 4, 7, 21, 63])
@pytest.mark.parametrize("width", [1, 5, 40])
def test_a_level_of_a_tree_is_products_of_neighbours(planes: int, width: int) -> None:
    rng = np.random.default_rng([planes, width])
    generate = [rng.integers(0, 2**64, (planes, width), np.uint64) for _ in range(3)]
    above = [rng.integers(0, 2**64, (planes - 1, width), np.uint64) for _ in range(3)]
    parts = [shares.halved((generate[n], generate[(n + 1) % 3]), (above[n], above[(n + 1) % 3])) for n in range(3)]
    g, p = (each[0] ^ each[1] ^ each[2] for each in (generate, above))
    pairs = planes // 2
    made = [p[2 * k] & g[2 * k] for k in range(pairs)]
    passed = [p[2 * k] & p[2 * k - 1] for k in range(1, pairs)]
    assert np.array_equal(parts[0] ^ parts[1] ^ parts[2], np.array([*made, *passed]))


def test_planes_that_do_not_belong_together_are_refused() -> None:
    planes = np.zeros((3, 2), np.uint64)
    for above in (planes, planes[:1], np.zeros((2, 3), np.uint64)):
        with pytest.raises(ValueError, match="one fewer"):
            shares.halved((planes, planes), (above, above))
