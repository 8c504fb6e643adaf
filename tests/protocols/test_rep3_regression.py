"""Regressions on shares, against the same in doubles on the pooled columns."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pets.protocols.base import Role
from pets.protocols.rep3 import regression
from pets.protocols.rep3.regression import Design
from pets.protocols.rep3.sharing import Context, Words
from tests.oracles.shared import run

F64 = npt.NDArray[np.float64]

DESIGN = Design(rows=600, columns=4, fraction=18, least=8)
UNIT = 2.0**DESIGN.fraction


def pooled(seed: int) -> tuple[F64, npt.NDArray[np.bool_]]:
    """An intercept, a number, a flag, another number; one row in ten does not count."""
    rng = np.random.default_rng(seed)
    rows = DESIGN.rows
    columns = [np.ones(rows), rng.uniform(-1, 1, rows), rng.random(rows) < 0.3, rng.normal(size=rows) / 4]
    valid = rng.random(rows) < 0.9
    return np.clip(np.column_stack(columns), -1, 1) * valid[:, None], valid


def words(x: F64) -> Any:
    return np.round(x * UNIT).astype(np.int64)


def test_least_squares_and_their_inverse() -> None:
    """Coefficients to 8 units of 2^-18 in each of three draws; the inverse to a thousandth."""
    for seed in range(3):
        x, valid = pooled(seed)
        rng = np.random.default_rng(seed)
        y = (x @ [0.1, 0.2, -0.1, 0.3] + rng.normal(size=DESIGN.rows) / 20) * valid
        x, y = words(x) / UNIT, words(np.clip(y, -1, 1)) / UNIT

        def act(ctx: Context, y: Words, *columns: Words) -> Role[list[Words]]:
            return [*(yield from regression.least_squares(ctx, DESIGN, columns, y))]

        got = run(act, words(y), *words(x).T).signed / UNIT
        assert np.abs(got[:4] - np.linalg.lstsq(x, y, rcond=None)[0]).max() * UNIT < 8
        exact = np.linalg.inv(x.T @ x)
        assert np.abs(got[4:].reshape(4, 4) / 2**DESIGN.scale - exact).max() < 1e-3 * np.abs(exact).max()


def test_a_column_that_repeats_another_shows_in_standard_errors_only() -> None:
    """Equal columns: no fault, fitted values as without the second, and deviations beyond any that mean something."""
    design = Design(rows=300, columns=3, fraction=18, least=6)
    rng = np.random.default_rng(1)
    number = words(rng.uniform(-1, 1, 300))
    y = words(0.25 + 0.5 * number / UNIT + rng.normal(size=300) / 50)
    ones = np.full(300, 2**18)

    def act(ctx: Context, y: Words, *columns: Words) -> Role[list[Words]]:
        found, inverse = yield from regression.least_squares(ctx, design, columns, y)
        return [found, (yield from regression.deviations(ctx, design, inverse, -design.scale))]

    got = run(act, y, ones, number, number).signed.reshape(2, 3) / UNIT
    assert abs(got[0][0] - 0.25) < 0.02
    assert abs(got[0][1] + got[0][2] - 0.5) < 0.02
    assert got[1][1] > 10 * got[1][0]


@pytest.mark.parametrize(
    "numbers", [(0, 1, 18, 6), (2**22, 4, 20, 6), (10, 2, 21, 3), (10, 2, 7, 3), (10, 0, 18, 3), (10, 4, 20, 17)]
)
def test_designs_whose_sums_could_overflow_are_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"bits|size|eigenvalues|words"):
        Design(*numbers)


@pytest.mark.parametrize("variance", [-81, 24])
def test_a_variance_out_of_range_is_refused(variance: int) -> None:
    with pytest.raises(ValueError, match="variance"):
        run(lambda c, x: regression.deviations(c, Design(10, 2, 18, 3), x, variance), np.zeros(4, np.int64))


def test_other_shapes_are_refused_before_anything_is_sent() -> None:
    design = Design(10, 2, 18, 3)
    column, short = np.zeros(10, np.int64), np.zeros(9, np.int64)
    for columns in ([column], [column, short]):
        with pytest.raises(ValueError, match="design"):
            run(lambda c, y, *x: regression.least_squares(c, design, x, y), column, *columns)
