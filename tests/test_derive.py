"""From noised sums to a table: exact values, ranges that hold what they promise, cells that cannot be told, speed."""

import math
import statistics
import time
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pets import derive
from pets.ids import MISSING, PartyId, SpecDigest
from pets.noise_law import NoiseLaw
from pets.spec.ir import (
    AddNoise,
    Derive,
    Derived,
    Dimension,
    Factor,
    HelperJoin,
    Moment,
    NoisedColumn,
    Open,
    Plan,
    Summed,
)
from pets.spec.query import ColumnRef

A, B, C = PartyId("a"), PartyId("b"), PartyId("c")
D = ColumnRef("t", "d")

MOMENTS = {
    "count_rows": ("n",),
    "sum": ("y",),
    "avg": ("y", "n"),
    "var_samp": ("yy", "y", "n"),
    "var_pop": ("yy", "y", "n"),
    "stddev_samp": ("yy", "y", "n"),
    "stddev_pop": ("yy", "y", "n"),
    "covar_samp": ("yx", "y", "x", "n"),
    "covar_pop": ("yx", "y", "x", "n"),
    "corr": ("yx", "y", "x", "yy", "xx", "n"),
    "regr_slope": ("yx", "y", "x", "xx", "n"),
    "regr_intercept": ("yx", "y", "x", "xx", "n"),
}
BOUNDS = {"n": 1, "y": 30, "x": 100, "yy": 900, "xx": 10_000, "yx": 3000}


def plan(cells: int, statistic: str, *, epsilon: Fraction = Fraction(2), places: int = 0) -> Plan:
    """A plan of one statistic over one grouping column; ``y`` and ``x`` have ``places``."""
    names = MOMENTS[statistic]
    dimension = Dimension(D, (*(f"l{i:06d}" for i in range(cells - 1)), MISSING))
    columns = tuple(
        NoisedColumn(
            Moment(name, Factor(), Factor(), False, Fraction(1, 10 ** (places * len(name.replace("n", ""))))),
            BOUNDS[name],
            epsilon / len(names),
        )
        for name in names
    )
    join = HelperJoin(
        "sums", "helper_join_a", "1", "a", "b", A, B, C, (), tuple(Summed(0, None) for _ in columns), (), (), (), False,
        Fraction(1), Fraction(1, 2**40), (),
    )  # fmt: skip
    outputs = (Derived("d", "dimension", D), Derived("v", statistic, None, tuple(range(len(names)))))
    steps = (
        join,
        AddNoise("noised", "sums", "release", "1", (A, B, C), columns),
        Open("opened", "noised", A),
        Derive("table", "opened", (dimension,), outputs),
    )
    return Plan(SpecDigest("0" * 64), steps)


def sums(y: list[int], x: list[int]) -> dict[str, int]:
    return {
        "n": len(y), "y": sum(y), "x": sum(x), "yy": sum(v * v for v in y), "xx": sum(v * v for v in x),
        "yx": sum(v * w for v, w in zip(y, x, strict=True)),
    }  # fmt: skip


def opened(statistic: str, *cells: dict[str, int]) -> np.ndarray:
    return np.array([[cell[name] for cell in cells] for name in MOMENTS[statistic]], np.int64)


Y, X = [1, 5, 2, 8, 3, 3, 9], [10, 3, 12, 0, 7, 6, 1]

TRUTH = {
    "count_rows": 7,
    "sum": sum(Y),
    "avg": statistics.mean(Y),
    "var_samp": statistics.variance(Y),
    "var_pop": statistics.pvariance(Y),
    "stddev_samp": statistics.stdev(Y),
    "stddev_pop": statistics.pstdev(Y),
    "covar_samp": statistics.covariance(Y, X),
    "covar_pop": statistics.covariance(Y, X) * 6 / 7,
    "corr": statistics.correlation(Y, X),
    "regr_slope": statistics.linear_regression(X, Y).slope,
    "regr_intercept": statistics.linear_regression(X, Y).intercept,
}


@pytest.mark.parametrize("statistic", list(MOMENTS))
def test_a_statistic_is_what_the_standard_library_says(statistic: str) -> None:
    found = derive.table(plan(1, statistic), opened(statistic, sums(Y, X)))["v"][0]
    assert float(found) == pytest.approx(float(TRUTH[statistic]), rel=1e-14)


@pytest.mark.parametrize("statistic", list(MOMENTS))
def test_places_of_decimals_are_put_back(statistic: str) -> None:
    found = derive.table(plan(1, statistic, places=2), opened(statistic, sums(Y, X)))["v"][0]
    power = {"count_rows": 0, "corr": 0, "regr_slope": 0, "var_samp": 2, "var_pop": 2, "covar_samp": 2, "covar_pop": 2}
    assert float(found) == pytest.approx(float(TRUTH[statistic]) / 100 ** power.get(statistic, 1), rel=1e-14)


def test_values_are_exact_where_floats_would_cancel() -> None:
    """Numbers near 2^30 whose variance is 1/4: a float of the sum of squares has no quarter left."""
    y = [2**30, 2**30 + 1] * 2
    found = derive.table(plan(1, "var_pop"), opened("var_pop", sums(y, y)))["v"][0]
    assert found == 0.25


def test_sums_stay_whole_numbers_and_rounding_units_are_multiplied_back() -> None:
    whole = derive.table(plan(1, "count_rows"), np.array([[2**60 + 1]]))
    assert whole["v"].dtype == np.int64 and whole["v"][0] == 2**60 + 1
    steps = list(plan(1, "sum").steps)
    noise = steps[1]
    assert isinstance(noise, AddNoise)
    coarse = NoisedColumn(Moment("y", Factor(("y",), ("y",), unit=50), Factor(), False, Fraction(50)), 1, Fraction(1))
    steps[1] = AddNoise("noised", "sums", "release", "1", (A, B, C), (coarse,))
    frame = derive.table(Plan(SpecDigest("0" * 64), tuple(steps)), np.array([[7]]))
    assert frame["v"][0] == 350
    assert (frame["v_high"][0] - 350) % 50 == 0 == (350 - frame["v_low"][0]) % 50


@pytest.mark.parametrize("statistic", [name for name, parts in MOMENTS.items() if len(parts) > 1])
@pytest.mark.parametrize("count", [-3, 0])
def test_a_statistic_of_nobody_is_not_a_number(statistic: str, count: int) -> None:
    cell = sums(Y, X) | {"n": count}
    row = derive.table(plan(1, statistic), opened(statistic, cell)).iloc[0]
    assert math.isnan(row["v"])


def test_one_row_has_no_sample_variance_and_a_constant_no_slope() -> None:
    one = opened("var_samp", sums([4], [4]))
    assert math.isnan(derive.table(plan(1, "var_samp"), one)["v"][0])
    assert derive.table(plan(1, "var_pop"), opened("var_pop", sums([4], [4])))["v"][0] == 0
    flat = opened("regr_slope", sums([1, 2, 3], [5, 5, 5]))
    assert math.isnan(derive.table(plan(1, "regr_slope"), flat)["v"][0])
    assert math.isnan(derive.table(plan(1, "corr"), opened("corr", sums([1, 2, 3], [5, 5, 5])))["v"][0])


def test_the_range_of_a_root_is_known_even_where_noise_left_no_root() -> None:
    negative = {"n": 1000, "y": 3000, "yy": 8990, "x": 0, "xx": 0, "yx": 0}
    row = derive.table(plan(1, "stddev_pop"), opened("stddev_pop", negative)).iloc[0]
    assert math.isnan(row["v"])
    assert row["v_low"] == 0 < row["v_high"] < 10


def test_correlations_stay_between_minus_one_and_one() -> None:
    y = list(range(50))
    row = derive.table(plan(1, "corr", epsilon=Fraction(1, 10)), opened("corr", sums(y, y))).iloc[0]
    assert (row["v"], row["v_low"], row["v_high"]) == (1.0, -1.0, 1.0)


# -- the law and its ranges -------------------------------------------------------------------------------------------


def law(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Support and probabilities of NB(3/2) - NB(3/2), by scipy and a plain convolution."""
    size = int(80 * scale) + 20
    mass = stats.nbinom.pmf(np.arange(size), 1.5, 1 - math.exp(-1 / scale))
    return np.arange(-size + 1, size), np.convolve(mass, mass[::-1])


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 7.5, 40.0])
def test_quantiles_are_those_of_the_law(scale: float) -> None:
    support, mass = law(scale)
    below = np.cumsum(mass)
    for level in (0.01, 0.025, 0.3, 0.5, 0.9, 0.975, 0.999):
        assert NoiseLaw(scale).quantile(np.array([level]))[0] == support[np.searchsorted(below, level)]


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 7.5, 40.0])
def test_the_half_width_is_the_smallest_that_holds_95_percent(scale: float) -> None:
    support, mass = law(scale)
    width = NoiseLaw(scale).half_width
    assert mass[np.abs(support) <= width].sum() >= 0.95 - 1e-9
    assert width == 0 or mass[np.abs(support) <= width - 1].sum() < 0.95


def test_beyond_the_table_the_law_is_stretched() -> None:
    wide, table = NoiseLaw(1_000_000.0), NoiseLaw(2000.0)
    assert wide.half_width == pytest.approx(500 * table.half_width, rel=1e-3)


def noised(statistic: str, cell: dict[str, int], cells: int, epsilon: Fraction, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    names = MOMENTS[statistic]
    rows = []
    for name in names:
        p = math.exp(-float(epsilon / len(names)) / BOUNDS[name])
        drawn = rng.negative_binomial(1.5, 1 - p, (2, cells))
        rows.append(cell[name] + drawn[0] - drawn[1])
    return np.array(rows, np.int64)


@pytest.mark.parametrize("statistic", list(MOMENTS))
@pytest.mark.parametrize("people", [300, 5000])
def test_ranges_hold_the_truth_in_95_of_100_runs(statistic: str, people: int) -> None:
    rng = np.random.default_rng(people)
    x = [int(v) for v in rng.choice([0, 25, 50, 95, 100], people)]
    y = [int(v) for v in rng.poisson(3 + np.array(x) / 20)]
    cell, cells = sums(y, x), 3000
    truth = derive.table(plan(1, statistic), opened(statistic, cell))["v"][0]
    frame = derive.table(plan(cells, statistic), noised(statistic, cell, cells, Fraction(2), 1))
    shown = frame["v_low"].notna()
    assert shown.mean() > 0.5
    inside = ((frame["v_low"] <= truth) & (truth <= frame["v_high"]))[shown].mean()
    assert inside >= 0.93, inside
    if statistic not in ("corr", "count_rows"):  # a range may be all there is; whole numbers are steps
        assert inside <= 0.97, inside


# -- shape, order, speed ----------------------------------------------------------------------------------------------


def test_the_table_is_the_full_domain_in_the_order_of_its_levels() -> None:
    frame = derive.table(plan(3, "count_rows"), np.array([[5, 6, 7]]))
    assert frame["d"].astype(str).tolist() == ["l000000", "l000001", MISSING]
    assert frame["v"].tolist() == [5, 6, 7]
    assert isinstance(frame["d"].dtype, pd.CategoricalDtype) and frame["d"].cat.ordered


def test_equal_sums_give_equal_bytes() -> None:
    words = noised("corr", sums(Y, X), 50, Fraction(2), 3)
    first, second = (derive.table(plan(50, "corr"), words).to_csv(index=False) for _ in range(2))
    assert first == second


def test_bounds_have_six_digits_so_that_processors_agree() -> None:
    frame = derive.table(plan(40, "avg"), noised("avg", sums([3] * 400, [1] * 400), 40, Fraction(2), 4))
    bounds = pd.concat([frame["v_low"], frame["v_high"]])
    assert bounds.notna().all()
    assert all(float(f"{bound:.6g}") == bound for bound in bounds)


@pytest.mark.parametrize("statistic", ["count_rows", "avg", "corr"])
def test_a_hundred_thousand_cells_take_seconds_of_work(statistic: str) -> None:
    """Work, not wall time: the processor's own count, with room for a slow machine."""
    cells = 100_000
    words = noised(statistic, sums(Y * 200, X * 200), cells, Fraction(2), 5)
    before = time.process_time()
    frame = derive.table(plan(cells, statistic), words)
    assert len(frame) == cells
    assert time.process_time() - before < 20


@pytest.mark.parametrize(
    ("times", "scale"), [(Fraction(1), 3.0), (Fraction(2), 3.0), (Fraction(5, 2), 40.0), (Fraction(7), 500.0)]
)
def test_noise_of_any_number_of_parties_has_the_variance_of_its_parts(times: Fraction, scale: float) -> None:
    """NB(r) - NB(r) has variance 2 r p / (1 - p)^2; its quantiles are those of drawn sums of parts."""
    p, rng = math.exp(-1 / scale), np.random.default_rng(7)
    law = NoiseLaw(scale, times)
    drawn = rng.negative_binomial(float(times), 1 - p, 400_000) - rng.negative_binomial(float(times), 1 - p, 400_000)
    points = law.quantile((np.arange(20_000) + 0.5) / 20_000)
    assert np.var(points) == pytest.approx(2 * float(times) * p / (1 - p) ** 2, rel=0.02)
    for level in (0.025, 0.2, 0.5, 0.9, 0.975):
        assert law.quantile(np.array([level]))[0] == pytest.approx(
            np.quantile(drawn, level), abs=0.02 * np.std(drawn) + 1
        )
