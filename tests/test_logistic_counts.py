"""A logistic regression from noised counts, against statsmodels on the rows, and against noise that is drawn again."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm

from pets import derive, logistic_counts
from pets.logistic_counts import Fitted, fitted, solve
from pets.noise_law import GaussianLaw, Law, NoiseLaw
from pets.plan.review import review
from pets.spec.query import ColumnRef
from tests.pooled import pooled

COLUMNS = tuple(ColumnRef("visits", name) for name in ("died", "age", "care"))
AGES, CARE = np.arange(40, 101), np.arange(-1, 3)
NEXT_TO_NONE = NoiseLaw(0.02, Fraction(2))


def rows(count: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, care = rng.integers(40, 101, count), rng.integers(-1, 3, count)
    chance = 1 / (1 + np.exp(2 - 0.04 * (age - 40) - 0.5 * care))
    return pd.DataFrame({"died": (rng.random(count) < chance).astype(int), "age": age, "care": care})


def counted(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    counts = np.zeros((2, len(AGES), len(CARE)), np.int64)
    np.add.at(counts, (frame.died, frame.age - 40, frame.care + 1), 1)
    return counts.reshape(2, -1)


def fit(counts: npt.NDArray[np.int64], law: Law = NEXT_TO_NONE) -> Fitted:
    return fitted(COLUMNS, [AGES, CARE], counts, law)


def by_rows(frame: pd.DataFrame) -> Any:
    return sm.Logit(frame.died, sm.add_constant(frame.assign(age=frame.age - 40)[["age", "care"]])).fit(
        disp=0, tol=1e-12
    )


@pytest.mark.parametrize("count", [300, 20_000])
def test_without_noise_it_is_the_model_of_the_rows(count: int) -> None:
    frame = rows(count)
    found, wanted = fit(counted(frame)), by_rows(frame)
    assert found.bases == (40, 0) and found.settled and found.step == 0
    np.testing.assert_allclose(found.coefficients, wanted.params, rtol=1e-8)
    np.testing.assert_allclose(found.errors, wanted.bse, rtol=1e-6)
    for number, term in enumerate(found.estimates.terms):
        assert term.p == pytest.approx(wanted.pvalues.iloc[number], rel=1e-4)
        low, high = wanted.conf_int().iloc[number]
        assert (term.bound(-1), term.bound(1)) == pytest.approx((low, high), rel=1e-4)
    assert found.rows == (count,) * 3 and found.ones == (int(frame.died.sum()),) * 3


@pytest.mark.parametrize("law", [NoiseLaw(3.0, Fraction(2)), GaussianLaw(9.0, 3)], ids=["laplace", "gaussian"])
def test_errors_are_of_sampling_and_noise_together_and_noise_moves_no_mean(law: Law) -> None:
    """Rows are drawn again, and noise as well: coefficients scatter as their errors say, about the true ones."""
    rng, draws, true = np.random.default_rng(7), 600, np.array([-2.0, 2.4, 1.0])
    grid = np.meshgrid((AGES - 40) / 60, CARE / 2, indexing="ij")
    design = np.stack([np.ones(grid[0].size), *(each.ravel() for each in grid)], axis=1)
    people = rng.multinomial(8000, np.full(len(design), 1 / len(design)), draws)
    ones = rng.binomial(people, 1 / (1 + np.exp(-design @ true)))
    noise = np.round(law.quantile(rng.random((2, draws, len(design)))))
    found = solve(design, people + noise.sum(axis=0), ones + noise[1], law.squared)
    assert found.settled.all()
    errors = np.sqrt(found.squares)
    scatter, own = found.coefficients.std(axis=0), errors.mean(axis=0)
    np.testing.assert_allclose(scatter, own, rtol=0.12)
    assert (np.abs(found.coefficients.mean(axis=0) - true) < 0.2 * own).all()
    covered = (np.abs(found.coefficients - true) < 1.96 * errors).mean(axis=0)
    assert (covered > 0.92).all() and (covered < 0.98).all()
    sampling = np.sqrt(solve(design, people[:1].astype(float), ones[:1].astype(float), 0.0).squares[0])
    assert (own > 1.3 * sampling).all(), "the noise is most of it"


def test_ranges_of_numbers_are_those_of_the_noise() -> None:
    """By draws of the law on the one hand, by the variance that errors have of noise on the other."""
    frame, law = rows(20_000), NoiseLaw(3.0, Fraction(2))
    found, sampling = fit(counted(frame), law), by_rows(frame).bse.to_numpy()
    of_noise = np.sqrt(found.errors**2 - sampling**2)
    np.testing.assert_allclose(found.drawn.std(axis=0), of_noise, rtol=0.1)
    width = law.squared * counted(frame).size
    assert found.rows[2] - found.rows[1] == pytest.approx(2 * 1.96 * np.sqrt(width), rel=0.1)
    np.testing.assert_array_equal(found.drawn, fit(counted(frame), law).drawn, "whoever draws again has the same")


UNDETERMINED = {
    "no rows": np.zeros((2, 244), np.int64),
    "fewer than none": np.full((2, 244), -3, np.int64),
    "everybody": np.stack([np.zeros(244, np.int64), np.full(244, 9)]),
}


@pytest.mark.parametrize("name", UNDETERMINED)
def test_what_counts_do_not_determine_has_no_numbers(name: str) -> None:
    found = fit(UNDETERMINED[name], NoiseLaw(1.0, Fraction(2)))
    assert not found.settled and found.estimates.state == "undetermined"
    assert np.isnan(found.coefficients).all() and np.isnan(found.errors).all()


def test_an_outcome_that_a_column_tells_outright_has_no_numbers() -> None:
    frame = rows(2000)
    assert not fit(counted(frame.assign(died=(frame.care > 0).astype(int)))).settled


# -- the table --------------------------------------------------------------------------------------------------------

FEW = """nhs_number = { role = "person id", scheme = "nhs-number" }
died = { role = "measure", type = "integer", min = 0, max = 1, sensitivity = "personal", required = true }
age = { role = "measure", type = "integer", min = 40, max = 100, unit = "year", sensitivity = "personal" }
care = { role = "measure", type = "integer", min = -1, max = 2, sensitivity = "personal", required = true }
"""


def test_a_table_has_one_row_with_every_number_and_its_range() -> None:
    spec = pooled(sql="SELECT LOGISTIC_REGRESSION(died, care, age) AS m FROM visits", columns=FEW)
    plan, frame = review(spec).settled().plan, rows(9000)
    opened = counted(frame).reshape(1, -1)
    table, wanted = derive.table(plan, opened), by_rows(frame)
    assert len(table) == 1 == derive.cells(plan)
    row = table.iloc[0]
    assert (row.m_n, row.m_ones, row.m_step) == (9000, frame.died.sum(), 0)
    for name, term in (("intercept", "const"), ("age", "age"), ("care", "care")):
        assert row[f"m_{name}"] == pytest.approx(wanted.params[term], rel=1e-5)
        assert row[f"m_{name}_se"] > wanted.bse[term]
        assert row[f"m_{name}_z"] == pytest.approx(row[f"m_{name}"] / row[f"m_{name}_se"], rel=1e-5)
        assert row[f"m_{name}_odds"] == pytest.approx(np.exp(wanted.params[term]), rel=1e-4)
        assert row[f"m_{name}_lower"] < row[f"m_{name}_low"] < row[f"m_{name}"]
        assert row[f"m_{name}"] < row[f"m_{name}_high"] < row[f"m_{name}_upper"]
        for end in ("_se", "_z", "_p", "_odds", "_lower", "_upper"):
            assert row[f"m_{name}{end}_low"] <= row[f"m_{name}{end}_high"]
    model = logistic_counts.model(plan, spec, opened, "m")
    assert (
        list(model.table.index) == ["intercept", "visits.age", "visits.care"] and model.units[1] == "for each year more"
    )
    assert "About 9000 rows contribute" in model.explain() and "noise" in model.note() + model.explain()
    with pytest.raises(Exception, match="the table has m"):
        logistic_counts.model(plan, spec, opened, "other")


def test_having_keeps_the_row_or_leaves_it_out() -> None:
    sql = "SELECT LOGISTIC_REGRESSION(died, care, age) AS m FROM visits HAVING m_n > {}"
    opened = counted(rows(2000)).reshape(1, -1)
    kept = []
    for least in (1999, 2000):
        plan = review(pooled(sql=sql.format(least), columns=FEW)).settled().plan
        kept.append(len(derive.table(plan, opened)))
    assert kept == [1, 0]
