"""Inverses and solutions in fixed point, against doubles and their proven bounds."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pets.protocols.rep3 import linear
from tests.oracles.shared import I64, run

RANGES = [(1, 22, 10), (2, 26, 2), (3, 22, 10), (5, 20, 12), (8, 24, 7)]


def matrix(rng: np.random.Generator, size: int, fraction: int, values: npt.NDArray[np.float64]) -> I64:
    """A symmetric matrix with these eigenvalues, up to its last bit."""
    turned, _ = np.linalg.qr(rng.normal(size=(size, size)))
    words = np.round((turned * values) @ turned.T * 2.0**fraction).astype(np.int64)
    return np.triu(words) + np.triu(words, 1).T


def spectra(rng: np.random.Generator, size: int, least: int) -> list[npt.NDArray[np.float64]]:
    """Eigenvalues all least, all greatest, one of each beside others, and spread."""
    low, high = 2.0**-least * 1.001, 0.999
    spread = 2.0 ** -(least * rng.random(size))
    spread[0], spread[-1] = low, high
    some = [spread, np.full(size, low), np.where(np.arange(size) == 0, low, high)]
    return [np.clip(each, low, high) for each in some]


@pytest.mark.parametrize(("size", "fraction", "least"), RANGES)
def test_inverses_and_solutions_are_within_their_bounds(size: int, fraction: int, least: int) -> None:
    rng, unit = np.random.default_rng(size), 2.0**fraction
    allowed = [float(bound) for bound in linear.error(size, fraction, least)]
    for values in spectra(rng, size, least):
        a = matrix(rng, size, fraction, values)
        b = rng.normal(size=size)
        b = np.trunc(b / np.linalg.norm(b) * unit).astype(np.int64)
        public = {"size": size, "fraction": fraction, "least": least}
        found = run(lambda ctx, a, public=public: linear.inverted(ctx, a, **public), a.reshape(-1))
        off = found.signed.reshape(size, size) / unit - np.linalg.inv(a / unit)
        assert np.linalg.norm(off, 2) <= allowed[0]
        got = run(lambda c, a, x, b, public=public: linear.solved(c, a, x, b, **public), a.reshape(-1), found.value, b)
        assert np.linalg.norm(got.signed / unit - np.linalg.solve(a / unit, b / unit)) <= allowed[1]


def test_an_inverse_is_a_function_of_the_matrix_alone() -> None:
    a = matrix(np.random.default_rng(1), 3, 20, np.array([0.9, 0.1, 0.02])).reshape(-1)
    found = [run(lambda c, a: linear.inverted(c, a, size=3, fraction=20, least=6), a, seed=s).value for s in (0, 1)]
    assert np.array_equal(*found)


def test_bounds_are_small_where_it_matters() -> None:
    """Five columns, eigenvalues over a range of 256: a solution to 20 units, so to 2^-15."""
    inverse, solution = linear.error(5, 20, 8)
    assert inverse < 2**-8
    assert solution * 2**20 < 20
    assert linear.turns(5, 20, 8) == 11


def test_a_singular_matrix_gives_an_inverse_of_less() -> None:
    """Two equal columns: bounded, right where the matrix is not zero, and of a size that shows in standard errors."""
    fraction, least = 20, 8
    half = 2 ** (fraction - 1)
    a = np.array([half, half, 0, half, half, 0, 0, 0, 2**fraction // 3])
    found = run(lambda ctx, a: linear.inverted(ctx, a, size=3, fraction=fraction, least=least), a)
    x = found.signed.reshape(3, 3) / 2.0**fraction
    turns = linear.turns(3, fraction, least)
    assert np.abs(x).max() <= 2 ** (turns + 1)
    assert abs((x[0] + x[1])[:2].sum() / 2 - 1) < 2**-5
    assert x[0, 0] - x[0, 1] > 2**turns
    assert abs(x[2, 2] - 3) < 2**-10


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_columns_instead_of_rows(rows: int) -> None:
    x = np.arange(6)
    if 6 % rows == 0:

        def act(ctx: Any, x: Any) -> Any:
            return linear.transposed(x, rows)
            yield

        assert np.array_equal(run(act, x).signed, x.reshape(rows, -1).T.reshape(-1))


@pytest.mark.parametrize(
    ("size", "fraction", "least"),
    [(0, 20, 5), (65, 20, 5), (2, 7, 2), (2, 29, 2), (2, 20, 0), (2, 20, 21), (64, 20, 16), (5, 26, 10), (4, 20, 17)],
)
def test_ranges_without_a_bound_are_refused(size: int, fraction: int, least: int) -> None:
    with pytest.raises(ValueError, match=r"size|eigenvalues|words"):
        linear.turns(size, fraction, least)
    with pytest.raises(ValueError, match=r"size|eigenvalues|words"):
        linear.error(size, fraction, least)


def test_shapes_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    public = {"size": 2, "fraction": 20, "least": 5}
    with pytest.raises(ValueError, match="square"):
        run(lambda ctx, a: linear.inverted(ctx, a, **public), np.zeros(6, np.int64))
    with pytest.raises(ValueError, match="square"):
        run(lambda ctx, a, b: linear.solved(ctx, a, a, b, **public), np.zeros(4, np.int64), np.zeros(3, np.int64))
