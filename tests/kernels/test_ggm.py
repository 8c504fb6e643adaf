"""Trees of seeds with a hole: every position of it, against the slow twin and against the sender."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pets.kernels import aes, ggm
from pets.secret import Secret
from tests.oracles import ggm as twin

KEYS = (Secret(b"left, for a test"), Secret(b"right, for a tes"))


@pytest.fixture(autouse=True)
def portable_again() -> Iterator[None]:
    yield
    aes.select(aes.PORTABLE)


def some(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)


def asked_for(sums: np.ndarray, holes: np.ndarray, leaves: int) -> np.ndarray:
    """What oblivious transfer gives: of each level the sum on the side asked for."""
    side = ggm.sides(holes, leaves).astype(np.intp)[:, :, None, None]
    return np.take_along_axis(sums, side, axis=2)[:, :, 0]


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("leaves", [2, 3, 4, 5, 8, 11, 16, 17, 31, 64, 100])
def test_trees_are_those_of_the_slow_twin(leaves: int, backend: str) -> None:
    aes.select(backend)
    seeds = some(leaves, 3)
    out, sums, total = ggm.expand(seeds, leaves, KEYS)
    for tree, seed in enumerate(seeds):
        levels = twin.levels(seed.tobytes(), leaves, [key.expose("test") for key in KEYS])
        assert [row.tobytes() for row in out.reshape(3, leaves, 2)[tree]] == levels[-1]
        assert total[tree].tobytes() == twin.added(levels[-1])
        expected = [[twin.added(level[side::2]) for side in range(2)] for level in levels]
        assert [[sums[tree, level, side].tobytes() for side in range(2)] for level in range(len(levels))] == expected


@pytest.mark.parametrize("backend", aes.features())
@pytest.mark.parametrize("leaves", [2, 3, 5, 8, 13, 16, 33, 50])
def test_all_leaves_but_one_agree_wherever_the_hole_is(leaves: int, backend: str) -> None:
    aes.select(backend)
    holes = np.arange(leaves)
    out, sums, total = ggm.expand(some(leaves, leaves), leaves, KEYS)
    found, rest = ggm.expand_but(holes, asked_for(sums, holes, leaves), leaves, KEYS)
    expected = out.reshape(leaves, leaves, 2).copy()
    missing = expected[holes, holes].copy()
    expected[holes, holes] = 0
    assert np.array_equal(found.reshape(leaves, leaves, 2), expected)
    assert np.array_equal(rest ^ missing, total)
    assert missing.any(axis=1).all()


@pytest.mark.parametrize("backend", aes.features())
def test_large_trees_too(backend: str) -> None:
    aes.select(backend)
    leaves, holes = 5000, np.array([0, 4999, 1, 2048, 4096, 777])
    out, sums, total = ggm.expand(some(1, 6), leaves, KEYS)
    found, rest = ggm.expand_but(holes, asked_for(sums, holes, leaves), leaves, KEYS)
    differ = np.flatnonzero((out != found).any(axis=1))
    assert np.array_equal(differ, np.sort(np.arange(6) * leaves + holes))
    assert np.array_equal(rest ^ out[np.arange(6) * leaves + holes], total)


def test_the_other_sums_would_tell_the_leaf_of_the_hole() -> None:
    """Why one of two is asked for: who has the sums on its path's own side, too, knows all."""
    out, sums, _ = ggm.expand(some(1, 1), 16, KEYS)
    holes = np.array([5])
    found, _ = ggm.expand_but(holes, asked_for(sums, holes, 16), 16, KEYS)
    last_level_of_the_path = sums[0, 3, 5 & 1]
    known = np.bitwise_xor.reduce(found[1::2], axis=0)
    assert np.array_equal(last_level_of_the_path ^ known, out[5])


def test_wrong_sums_spoil_the_leaves_and_nothing_else() -> None:
    out, sums, _ = ggm.expand(some(1, 2), 50, KEYS)
    holes = np.array([5, 20])
    asked = asked_for(sums, holes, 50)
    asked[0, 2, 0] ^= np.uint64(1)
    found, _ = ggm.expand_but(holes, asked, 50, KEYS)
    differ = np.flatnonzero((out != found).any(axis=1))
    assert {5, 70} < set(differ.tolist())
    assert (differ < 50).sum() > 5
    assert (differ >= 50).sum() == 1


def test_leaves_depend_on_both_keys() -> None:
    seeds = some(1, 1)
    first, _, _ = ggm.expand(seeds, 8, KEYS)
    for other in ((KEYS[0], Secret(bytes(16))), (Secret(bytes(16)), KEYS[1])):
        second, _, _ = ggm.expand(seeds, 8, other)
        assert not (first == second).all(axis=1)[1:-1].any()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ggm.depth_of(1),
        lambda: ggm.expand(np.zeros((2, 3), np.uint64), 8, KEYS),
        lambda: ggm.sides(np.array([8]), 8),
        lambda: ggm.sides(np.array([-1]), 8),
        lambda: ggm.sides(np.array([1], np.int32), 8),  # type: ignore[arg-type]
        lambda: ggm.expand_but(np.array([1]), np.zeros((1, 2, 2), np.uint64), 8, KEYS),
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"leaves|seeds|level"):
        call()
