"""Columns against numpy, modulo 2^64, on empty, single and equal inputs."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pets.kernels import columns, prf
from pets.secret import Secret

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

sizes = st.integers(0, 100)
seeds = st.integers(0, 2**32)


def words(seed: int, n: int) -> U64:
    """Uniform words, or the greatest ones, so that sums wrap."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return np.full(n, 2**64 - 1, np.uint64)
    return rng.integers(0, 2**64, n, np.uint64)


def indices(seed: int, n: int, below: int) -> U32:
    """Indices with repetitions; all equal for some seeds."""
    rng = np.random.default_rng(seed + 1)
    if seed % 5 == 0:
        return np.full(n, below - 1, np.uint32)
    return rng.integers(0, below, n).astype(np.uint32)


def order(seed: int, n: int) -> U32:
    return np.random.default_rng(seed + 2).permutation(n).astype(np.uint32)


@settings(deadline=None)
@given(seeds, sizes, st.integers(1, 60))
@example(0, 0, 1)
@example(0, 1, 1)
@example(15, 60, 7)
def test_gather_and_scatter_are_those_of_numpy(seed: int, n: int, size: int) -> None:
    values, index, start = words(seed, size), indices(seed, n, size), words(seed + 1, n)
    assert np.array_equal(columns.gather(values, index), values[index])
    out = start.copy()
    columns.gather_into(out, values, index)
    assert np.array_equal(out, start + values[index])
    out = values.copy()
    columns.scatter_into(out, index, start)
    expected = values.copy()
    np.add.at(expected, index, start)
    assert np.array_equal(out, expected)


@settings(deadline=None)
@given(seeds, sizes, st.integers(1, 20))
@example(1, 0, 3)
@example(0, 40, 1)
def test_segment_sums_are_those_of_numpy(seed: int, n: int, groups: int) -> None:
    values, group = words(seed, n), indices(seed, n, groups)
    expected = np.zeros(groups, np.uint64)
    np.add.at(expected, group, values)
    found = columns.segment_sums(values, group, groups)
    assert found.dtype == np.uint64 and np.array_equal(found, expected)


@settings(deadline=None)
@given(seeds, sizes)
@example(0, 0)
@example(0, 1)
def test_prefix_scatter_is_cumsum_between_two_permutations(seed: int, n: int) -> None:
    values, q, rho2 = words(seed, n), order(seed, n), order(seed + 9, n)
    out = words(seed + 1, n)  # whatever was there is overwritten
    columns.prefix_scatter(values, q, rho2, out)
    expected = np.empty(n, np.uint64)
    expected[rho2] = np.cumsum(values[q], dtype=np.uint64)
    assert np.array_equal(out, expected)


@settings(deadline=None)
@given(seeds, sizes, st.integers(0, 40))
@example(0, 0, 0)
@example(1, 1, 0)
@example(1, 0, 1)
def test_compose_follows_matches_and_gives_unmatched_rows_slots_of_their_own(seed: int, n: int, n_b: int) -> None:
    rho = order(seed, n + n_b)
    rng = np.random.default_rng(seed)
    partners = np.concatenate([rng.permutation(n_b), np.full(n, -1)])
    sigma = rng.permutation(partners)[:n].astype(np.int64)
    expected = np.array([rho[s] if s >= 0 else rho[n_b + p] for p, s in enumerate(sigma)], np.uint32)
    assert np.array_equal(columns.compose(rho, sigma, n_b), expected)
    assert np.array_equal(columns.compose(rho, sigma.astype(np.uint32), n_b), expected)
    columns.check_injection(expected, n + n_b)


@settings(deadline=None)
@given(seeds, sizes, st.integers(0, 200))
def test_check_injection_agrees_with_a_set(seed: int, n: int, below: int) -> None:
    tau = np.random.default_rng(seed).integers(0, below + 1, n).astype(np.uint32)
    if len(set(tau.tolist())) == n and all(t < below for t in tau.tolist()):
        columns.check_injection(tau, below)
    else:
        with pytest.raises(ValueError, match="an index"):
            columns.check_injection(tau, below)


def test_check_injection_names_the_fault_and_not_the_index() -> None:
    columns.check_injection(np.array([], np.uint32), 0)
    columns.check_injection(order(1, 129), 129)
    with pytest.raises(ValueError, match=r"^an index is out of range$"):
        columns.check_injection(np.array([0, 128], np.uint32), 128)
    with pytest.raises(ValueError, match=r"^an index is out of range$"):
        columns.check_injection(np.array([2**32 - 1], np.uint32), 2**20)
    with pytest.raises(ValueError, match=r"^an index occurs twice$"):
        columns.check_injection(np.array([7, 64, 7], np.uint32), 128)


@settings(deadline=None)
@given(seeds, sizes)
@example(0, 0)
def test_products_are_those_of_words(seed: int, n: int) -> None:
    x, y, z = words(seed, n), words(seed + 1, n), words(seed + 2, n)
    out = z.copy()
    columns.multiply_into(out, x, y)
    assert np.array_equal(out, z + x * y)
    share = z.copy()
    columns.product_share_a(share, x, y)
    assert np.array_equal(share, x * (z + y))


@settings(deadline=None)
@given(seeds, sizes)
def test_shares_of_a_product_add_up(seed: int, n: int) -> None:
    """Steps Me, Mw and Mf of helper_join: the dealer knows u, v, w; the shares of z go to a and the helper."""
    x, z_a, z_c, u, v, w = (words(seed + i, n) for i in range(6))
    e, f, dealt = x - u, z_c - v, u * v - w
    of_a = z_a.copy()
    columns.product_share_a(of_a, x, f)
    of_a += w
    of_c = dealt.copy()
    columns.multiply_into(of_c, e, v)
    assert np.array_equal(of_a + of_c, x * (z_a + z_c))


def test_minus_words_is_a_pad_in_a_new_array() -> None:
    key, values = Secret(bytes(range(16))), words(1, 33)
    padded = columns.minus_words(values, key)
    assert np.array_equal(padded + prf.words(key, 33), values)
    assert np.array_equal(values, words(1, 33))


def test_inputs_nobody_may_write_to_are_read_and_outputs_refused() -> None:
    values = np.frombuffer(words(1, 8).tobytes(), np.uint64)
    index = np.frombuffer(order(1, 8).tobytes(), np.uint32)
    assert np.array_equal(columns.gather(values, index), values[index])
    with pytest.raises(ValueError, match="write to"):
        columns.gather_into(values, values, index)


def test_strided_inputs_are_read() -> None:
    values, index = words(1, 16)[::2], order(1, 16)[::2] // np.uint32(2)
    assert np.array_equal(columns.gather(values, index), values[index])


def test_wrong_types_lengths_and_indices_never_reach_a_kernel() -> None:
    values, index, out = words(1, 4), order(1, 4), words(2, 4)
    high = np.array([0, 1, 2, 4], np.uint32)
    for wrong in (
        lambda: columns.gather(values.view(np.int64), index),
        lambda: columns.gather(values, index.astype(np.int64)),
        lambda: columns.gather(values, high),
        lambda: columns.gather_into(out, values, high),
        lambda: columns.gather_into(out[:3].copy(), values, index),
        lambda: columns.scatter_into(out, high, values),
        lambda: columns.scatter_into(out, index, values[:3]),
        lambda: columns.scatter_into(out[::2], index, values),
        lambda: columns.segment_sums(values, high, 4),
        lambda: columns.segment_sums(values, index[:3], 4),
        lambda: columns.prefix_scatter(values, high, index, out),
        lambda: columns.prefix_scatter(values, index, high, out),
        lambda: columns.prefix_scatter(values, index[:3], index, out),
        lambda: columns.prefix_scatter(values, index, index, out[:3].copy()),
        lambda: columns.prefix_scatter(values, index, index, values),
        lambda: columns.compose(index, np.zeros(2, np.int64), 3),
        lambda: columns.compose(index, np.zeros(2, np.int32), 2),
        lambda: columns.check_injection(index.astype(np.uint64), 4),
        lambda: columns.multiply_into(out, values, values[:3]),
        lambda: columns.product_share_a(out, values[:3], values),
    ):
        with pytest.raises(ValueError, match=r"."):
            wrong()
