"""Logistic models on shares, against statsmodels on the pooled columns, and where there is nothing to find."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm

from pets.protocols.rep3 import linear, logistic
from pets.protocols.rep3.logistic import Design
from pets.protocols.rep3.ratio import scale_of
from pets.protocols.rep3.sharing import public
from pets.spec import fitting
from pets.spec.cards import load_cards
from pets.spec.ir import Fit
from pets.spec.operations import expanded
from tests.oracles.shared import Played, run

F64 = npt.NDArray[np.float64]
UNDETERMINED = 2 * 2**20


def fitted(x: Any, y: Any, spans: tuple[int, ...], rows: int, iterations: int = 8) -> Played:
    """Fit on ``rows`` entries, of which as many count as x has: values are whole numbers up to 2^span."""
    table = np.zeros((rows, 2 + len(spans)), np.int64)
    places = np.random.default_rng(rows).permutation(rows)[: len(x)]
    table[places] = np.column_stack([np.ones(len(x), np.int64), y, x])
    numbers = dataclasses.asdict(fitting.numbers_of(rows, 1 + len(spans)))
    design = Design(rows, spans, iterations, **numbers)
    return run(lambda ctx, there, y, *xs: logistic.fitted(ctx, design, there, y, xs), *table.T)


def read(done: Played, p: int) -> tuple[F64, F64, int]:
    found = done.signed
    return found[:p] / 2.0**16, found[p:-1] / 2.0**16, int(found[-1])


def drawn(seed: int, n: int, spans: tuple[int, ...], b: list[float]) -> tuple[Any, Any, F64]:
    """Whole numbers of these spans, 0 or 1 for a span of 0; an outcome; and the columns as fractions."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.integers(0, 2**span + (span == 0), n, endpoint=span > 0) for span in spans])
    real = sm.add_constant(x / 2.0 ** np.array(spans), has_constant="add")
    return x, (rng.random(n) < 1 / (1 + np.exp(-real @ b))).astype(np.int64), real


@pytest.mark.parametrize(
    ("n", "rows", "spans", "b"),
    [
        pytest.param(400, 448, (0, 7), [-0.5, 1.0, 1.5], id="most of the rows", marks=pytest.mark.long),
        pytest.param(900, 1024 * 16, (0, 7, 18), [-4.0, 1.0, 2.0, -1.0], id="few of many rows, a rare outcome"),
    ],
)
def test_a_model_is_that_of_statsmodels(n: int, rows: int, spans: tuple[int, ...], b: list[float]) -> None:
    """Coefficients within a hundredth of their standard errors, which are within a thousandth; the end is reached."""
    x, y, real = drawn(1, n, spans, b)
    found, errors, step = read(fitted(x, y, spans, rows), len(b))
    model = sm.Logit(y, real).fit(disp=0)
    assert np.abs((found - model.params) / model.bse).max() < 0.01
    assert np.abs(errors / model.bse - 1).max() < 1e-3
    assert step <= 1


def test_the_last_step_says_how_far_it_went() -> None:
    """Six steps do not settle a rare outcome: their length is that of Newton's sixth, in standard errors."""
    x, y, real = drawn(3, 900, (7,), [-6.0, 2.0])
    found, _, step = read(fitted(x, y, (7,), 960, 6), 2)
    b = np.zeros(2)
    for _ in range(6):
        mean = 1 / (1 + np.exp(-real @ b))
        gradient, weight = real.T @ (y - mean), (real * (mean * (1 - mean))[:, None]).T @ real
        moved = np.linalg.solve(weight, gradient)
        b, length = b + moved, float(gradient @ moved)
    assert np.abs(found - b).max() < 1e-3
    assert length > 1 / 1024
    assert step / 1024 == pytest.approx(length, rel=0.02, abs=1 / 512)


@pytest.mark.parametrize(
    "kind",
    [
        "one follows from another",
        "nobody",
        pytest.param("separated", marks=pytest.mark.long),
        pytest.param("a constant", marks=pytest.mark.long),
        pytest.param("far out", marks=pytest.mark.long),
    ],
)
def test_where_the_columns_determine_nothing_the_step_says_so(kind: str) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 128, (200, 2)), rng.integers(0, 2, 200)
    iterations = 2
    if kind == "one follows from another":
        x[:, 1] = x[:, 0]
    elif kind == "a constant":
        x[:, 1] = 128
    elif kind == "nobody":
        x, y = x[:0], y[:0]
    elif kind == "separated":
        y, iterations = (x[:, 0] >= 64).astype(np.int64), 8
    else:
        x[:, 0], y = 128, np.ones(200, np.int64)
    found, _, step = read(fitted(x, y, (7, 7), 256, iterations), 3)
    assert step >= UNDETERMINED - 2**19 or np.abs(found).max() == 2**8
    assert np.abs(found).max() <= 2**8


@pytest.mark.long
def test_of_one_outcome_alone_coefficients_keep_moving() -> None:
    rng = np.random.default_rng(1)
    found, errors, step = read(fitted(rng.integers(0, 128, (200, 1)), np.ones(200, np.int64), (7,), 256), 2)
    assert step > 10
    assert 8 < found[0] < 10 and errors[0] > 5


def test_masks_change_nothing() -> None:
    """What is found is a function of the values: other masks, the same numbers to the last place."""
    x, y, _ = drawn(2, 60, (0, 13), [0.5, -1.0, 1.0])
    numbers = dataclasses.asdict(fitting.numbers_of(64, 3))
    design = Design(64, (0, 13), 2, **numbers)
    table = np.zeros((64, 4), np.int64)
    table[:60] = np.column_stack([np.ones(60, np.int64), y, x])
    one, other = (
        run(lambda c, there, y, *xs: logistic.fitted(c, design, there, y, xs), *table.T, seed=seed).signed
        for seed in (1, 2)
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize("spans", [(0,), (12, 13), (18, 0, 5)])
def test_what_is_sent_is_what_the_plan_lists(spans: tuple[int, ...]) -> None:
    """Operation by operation, from the public numbers alone."""
    x = np.zeros((100, len(spans)), np.int64)
    done = fitted(x, np.zeros(100, np.int64), spans, 128, 2)
    fit = Fit(0, 1, (), (), spans, 2, fitting.numbers_of(128, 1 + len(spans)))
    card = load_cards()["rep3"]
    listed = [
        each
        for name, public_numbers in fitting.operations(fit, 128)
        for each in expanded(card.operations, name, card.names(public_numbers))
    ]
    for party in range(3):
        assert done.sent_by(party) == [each for each in listed if each.sender == party]


@pytest.mark.parametrize("columns", range(2, 10))
def test_numbers_leave_no_word(columns: int) -> None:
    """Every product and sum stays below 2^62 by the ranges of the ADR, for every number of rows; turns are enough."""
    p = (columns - 1).bit_length()
    for bits in range(1, 26):
        at = fitting.numbers_of(2 ** (bits - 1), columns)
        k, f, q = bits, at.fraction, at.pairs
        gradient, gain, step = 2 * f - at.slope, 2 * f - at.slope - at.gain, f + at.onto
        ahead = step + at.step - f
        unit = 2 * q + p - 26
        sizes = {
            "sums of squares": k + 24,
            "gradient": k + 2 * f,
            "matrix": at.weight + 2 * q - 2,
            "scaled gradient": k + gradient + q - 1,
            "gradient of the weights": k - q + 25 - p + ahead + at.closer + 10,
            "step": p + 15 + 3 + f + ahead,
            "scaled step": 9 + q - 1 + step,
            "length": k + gain + f + 9 + p,
            "variance": f + 15 + 1 + 10 + at.lift,
            "error": 30 + q - 1,
            "score": 8 + (columns - 1).bit_length() + 2 * f,
        }
        assert {name: size for name, size in sizes.items() if size > 61} == {}, (bits, columns)
        assert k + 24 <= 2 * q and 18 <= f <= 20 and columns * 2**8 < 2**12
        assert f + unit + at.lift == 2 * (at.left + 16), "a root of what is doubled"
        assert linear.turns(columns, f, at.least) <= logistic.TURNS
        assert 2 * f + logistic.TURNS <= 59
        Design(2 ** (bits - 1), (f,) * (columns - 1), 6, **dataclasses.asdict(at))


def test_both_towers_mean_the_same_numbers() -> None:
    for name in ("COARSE", "BOUND", "SPREAD", "TURNS", "STEP", "GAIN", "MOST_GAIN"):
        assert getattr(logistic, name) == getattr(fitting, name)


def test_scales_are_powers_of_two_by_the_first_pair_of_bits() -> None:
    values = np.array([0, 1, 2, 3, 4, 15, 16, 2**38, 2**40 - 1])
    once = run(lambda c, x: scale_of(c, x, 40, 1), values).signed
    assert once.tolist() == [0, 2**19, 2**19, 2**19, 2**18, 2**18, 2**17, 1, 1]
    assert run(lambda c, x: scale_of(c, x, 40, 2), values).signed.tolist() == [int(v) ** 2 for v in once]
    for bits in (0, 3, 66):
        with pytest.raises(ValueError, match="pairs"):
            run(lambda c, x, bits=bits: scale_of(c, x, bits, 1), values)


def test_what_is_beyond_a_limit_is_its_end() -> None:
    values = np.array([0, 1, -1, 999, 1000, 1001, -999, -1000, -1001, 2**61, -(2**61)])
    assert (
        run(lambda c, x: logistic.limited(c, x, 1000), values).signed.tolist() == np.clip(values, -1000, 1000).tolist()
    )


def test_what_does_not_fit_together_is_refused() -> None:
    numbers = dataclasses.asdict(fitting.numbers_of(64, 2))
    for spans, iterations, change in [((21,), 8, {}), ((), 8, {}), ((1,), 0, {}), ((1,), 8, {"onto": 0})]:
        with pytest.raises(ValueError, match=r"columns|fit together"):
            Design(64, spans, iterations, **{**numbers, **change})
    design = Design(64, (1,), 6, **numbers)
    short = np.zeros(63, np.int64)
    with pytest.raises(ValueError, match="design"):
        run(lambda c, x: logistic.fitted(c, design, x, x, [public(c, 0, 64)]), short)
    with pytest.raises(ValueError, match="words"):
        run(lambda c, x: linear.approached(c, x, size=2, fraction=20, turns=20), np.zeros(4, np.int64))
