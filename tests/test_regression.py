"""Multiple linear regression from sums is what statsmodels fits to the joined rows, and what noise leaves of it."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pets.approve.columns import Use, uses_of
from pets.check.releases import release_of
from pets.errors import SpecError
from pets.local import local_network
from pets.plan.review import review
from pets.regression import exact, fit, place, regressors
from pets.spec.ir import AddNoise
from pets.spec.query import LINEAR, Aggregate, Statistic
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles.direct import Direct, freeze

ONE = [Fraction(1)] * 60


def moments(y: Any, xs: list[Any]) -> list[list[int]]:
    """Rows, sums and sums of products of one cell, in the order of the plan."""
    columns = [list(map(int, y)), *(list(map(int, x)) for x in xs)]
    found = [len(columns[0]), *map(sum, columns)]
    for i, one in enumerate(columns):
        found += [sum(a * b for a, b in zip(one, other, strict=True)) for other in columns[i:]]
    return [[value] for value in found]


@pytest.mark.parametrize("k", range(1, 9))
def test_moments_have_their_place(k: int) -> None:
    size = (k + 2) * (k + 3) // 2
    assert regressors(size) == k
    places = [place(i, j, k) for i in range(k + 1) for j in range(i, k + 1)]
    assert places == list(range(k + 2, size))


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_a_fit_is_that_of_statsmodels(k: int) -> None:
    draw = np.random.default_rng(k)
    xs = draw.integers(-30, 100, (k, 60))
    y = (xs * np.arange(1, k + 1)[:, None]).sum(axis=0) + draw.integers(-200, 200, 60) + 7
    model = sm.OLS(y, sm.add_constant(xs.T.astype(float))).fit()
    sums = [np.array(column, object) for column in moments(y, list(xs))]
    assert exact(sums, ONE, Statistic.LINEAR_R2, 0)[0] == pytest.approx(model.rsquared, rel=1e-12)
    for of in range(k + 1):
        for statistic, wanted, digits in (
            (Statistic.LINEAR_COEFFICIENT, model.params[of], 1e-9),
            (Statistic.LINEAR_ERROR, model.bse[of], 1e-9),
            (Statistic.LINEAR_T, model.tvalues[of], 1e-9),
            (Statistic.LINEAR_P, model.pvalues[of], 1e-5),
        ):
            assert exact(sums, ONE, statistic, of)[0] == pytest.approx(wanted, rel=digits, abs=1e-300), statistic


def test_what_the_columns_do_not_determine_is_no_number() -> None:
    def given(y: list[int], *xs: list[int]) -> list[float]:
        sums = [np.array(column, object) for column in moments(y, list(xs))]
        return [exact(sums, ONE, s, 1)[0] for s in sorted(LINEAR - {Statistic.LINEAR_ROWS})]

    nothing = [float("nan")] * 5
    assert given([1, 2, 3, 5], [1, 2, 3, 4], [2, 4, 6, 8]) == pytest.approx(nothing, nan_ok=True), "one follows"
    assert given([1, 2, 3], [1, 2, 4], [1, 0, 5]) == pytest.approx(nothing, nan_ok=True), "no freedom"
    assert given([1, 2, 3, 5], [7, 7, 7, 7]) == pytest.approx(nothing, nan_ok=True), "a constant"
    assert given([], []) == pytest.approx(nothing, nan_ok=True)
    told = dict(zip(sorted(LINEAR - {Statistic.LINEAR_ROWS}), given([3, 5, 7, 9], [1, 2, 3, 4]), strict=True))
    assert told[Statistic.LINEAR_COEFFICIENT] == 2 and told[Statistic.LINEAR_R2] == 1
    assert told[Statistic.LINEAR_ERROR] == 0
    assert np.isnan(told[Statistic.LINEAR_T]) and np.isnan(told[Statistic.LINEAR_P]), "nothing is left to judge it by"


def test_exact_sums_do_not_cancel() -> None:
    """Values of a hundred million that differ by a few: floats of the sums of squares would have lost them."""
    x, z, y = ([10**8 + v for v in part] for part in ([1, 2, 3, 4, 6], [3, 1, 4, 1, 5], [2, 7, 1, 8, 3]))
    small = sm.OLS(np.array(y) - 1e8, sm.add_constant(np.array([x, z]).T - 1e8)).fit()
    sums = [np.array(column, object) for column in moments(y, [x, z])]
    assert exact(sums, ONE, Statistic.LINEAR_COEFFICIENT, 1)[0] == pytest.approx(small.params[1], rel=1e-9)
    assert exact(sums, ONE, Statistic.LINEAR_ERROR, 2)[0] == pytest.approx(small.bse[2], rel=1e-9)


def test_floats_follow_the_same_formulas() -> None:
    draw = np.random.default_rng(3)
    sums = moments(draw.integers(0, 50, 40), list(draw.integers(0, 50, (3, 40))))
    one = fit([np.array(column, float) for column in sums])
    other = fit([np.array([Fraction(v) for v in column], object) for column in sums])
    assert one.settled.all() and other.settled.all()
    for a, b in zip(one.slopes, other.slopes, strict=True):
        assert a[0] == pytest.approx(float(b[0]), rel=1e-9)


# -- the whole way ----------------------------------------------------------------------------------------------------


def world(people: int = 400, missing: float = 0.1) -> drawn.World:
    draw = random.Random("regression")

    def value(x: int, low: int, high: int) -> int | None:
        return None if draw.random() < missing else min(max(x, low), high)

    stays, homes = [], []
    for n in range(people):
        age, rent = draw.randint(0, 90), draw.randint(0, 40)
        nights = age // 3 - rent // 2 + draw.randint(0, 20)
        stays += [
            {"id": f"p{n}", "ward": draw.choice(["n", "s"]), "nights": value(nights, -50, 90), "age": value(age, 0, 90)}
        ]
        homes += [{"id": f"p{n}", "rent": value(rent, 0, 40)}]
    key = {"role": "person id", "scheme": "text"}
    ward = {"role": "dimension", "type": "category", "levels": ("n", "s")}
    measure = {"role": "measure", "type": "integer", "min": -50, "max": 90}
    cost = {"role": "measure", "type": "integer", "min": 0, "max": 40}
    datasets = (
        {
            "name": "stays", "party": "board", "max_rows_per_person": 1, "max_rows": people, "truncate": True,
            "columns": {"id": key, "ward": ward, "nights": measure, "age": measure | {"min": 0}},
        },
        {
            "name": "homes", "party": "council", "max_rows_per_person": 1, "max_rows": people, "truncate": True,
            "columns": {"id": key, "rent": cost},
        },
    )  # fmt: skip
    return drawn.World(datasets, {"stays": stays, "homes": homes}, ("id", "id"), (), "10")


TEXT = """
SELECT a.ward, COUNT(*) AS n, LINEAR_REGRESSION(a.nights, b.rent, a.age) AS fit
FROM stays a JOIN homes b ON a.id = b.id GROUP BY a.ward
"""


def test_a_joint_regression_is_that_of_the_joined_rows(tmp_path: Path) -> None:
    made = world()
    spec = drawn.spec_of(made, TEXT)
    direct = Direct.of(spec, freeze(spec, made.rows, tmp_path))
    frame = direct.table(direct.opened()).set_index("ward")
    joined = pd.DataFrame(made.rows["stays"]).merge(pd.DataFrame(made.rows["homes"]), on="id")
    for ward in ("n", "s"):
        own = joined[joined.ward == ward].dropna()
        model = sm.OLS(own.nights.astype(float), sm.add_constant(own[["rent", "age"]].astype(float))).fit()
        row = frame.loc[ward]
        assert row["fit_n"] == len(own) and row["fit_r2"] == pytest.approx(model.rsquared, rel=1e-9)
        for name, own_name in (("intercept", "const"), ("rent", "rent"), ("age", "age")):
            assert row[f"fit_{name}"] == pytest.approx(model.params[own_name], rel=1e-9)
            assert row[f"fit_{name}_se"] == pytest.approx(model.bse[own_name], rel=1e-9)
            assert row[f"fit_{name}_t"] == pytest.approx(model.tvalues[own_name], rel=1e-9)
            assert row[f"fit_{name}_p"] == pytest.approx(model.pvalues[own_name], rel=1e-5)
    assert np.isnan(frame.loc["(missing)", "fit_rent"])


def test_ranges_hold_what_the_records_say(tmp_path: Path) -> None:
    """The noise is taken back at fixed quantiles: in 95 of 100 releases a range holds the value without noise."""
    made = world(people=1500)
    spec = drawn.spec_of(made, TEXT.replace("a.ward, COUNT(*) AS n, ", "").replace(" GROUP BY a.ward", ""))
    direct = Direct.of(spec, freeze(spec, made.rows, tmp_path))
    plain = direct.opened()
    truth = direct.table(plain).iloc[0]
    laws = [float(c.sensitivity / c.epsilon) for c in direct.plan.protection.columns]  # type: ignore[union-attr]
    draw, inside, tries = np.random.default_rng(5), {"fit_rent": 0, "fit_age_se": 0, "fit_r2": 0}, 60
    for _ in range(tries):
        noise = [int(np.diff(draw.negative_binomial(1.5, 1 - np.exp(-1 / scale), 2))[0]) for scale in laws]
        row = direct.table(plain + np.array(noise)[:, None]).iloc[0]
        for name in inside:
            inside[name] += row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"]
    assert all(0.85 * tries <= count <= tries for count in inside.values()), inside


def test_a_controlled_regression_needs_degrees_of_freedom_and_exact_counts(tmp_path: Path) -> None:
    stays = pd.DataFrame({"id": [f"p{n}" for n in range(90)], "nights": [n * n % 41 for n in range(90)]})
    homes = pd.DataFrame({"id": [f"p{n}" for n in range(90)], "rent": [n * 7 % 31 for n in range(90)]})
    homes["age"] = [n * 13 % 67 for n in range(90)]
    net = local_network({"nhs": {"stays": stays}, "council": {"homes": homes}, "helper": {}})
    text = "SELECT LINEAR_REGRESSION(nights, rent, age) AS fit FROM stays JOIN homes USING (id)"
    few, rounded = (
        net.draft(text, control=control).check().verdict.errors
        for control in ({"min_count": 12}, {"min_count": 20, "round_to": 5})
    )
    assert {(f.rule, f.hint) for f in few} == {("control.freedom", "write min_count = 13, or fewer regressors")}
    assert "control.statistic" in {f.rule for f in rounded}
    result = net.run(net.draft(text, control={"min_count": 13}))
    row = result.to_pandas().iloc[0]
    model = sm.OLS(stays.nights, sm.add_constant(homes[["rent", "age"]])).fit()
    assert row["fit_n"] == 90
    assert row[["fit_intercept", "fit_rent", "fit_age"]].tolist() == pytest.approx(model.params.tolist(), rel=1e-9)
    assert row[["fit_rent_p", "fit_age_p"]].tolist() == pytest.approx(model.pvalues.tolist()[1:], rel=1e-5)
    assert row["fit_rent_low"] == row["fit_rent"] == row["fit_rent_high"]


# -- what it means to others ------------------------------------------------------------------------------------------


def test_columns_of_a_regression_are_used_for_relations_and_what_it_opens_is_guarded(tmp_path: Path) -> None:
    made = world(people=5)
    spec = drawn.spec_of(made, TEXT)
    query = bind(spec)
    uses = {str(ref): set(use) for ref, use in uses_of(query, spec).items()}
    assert uses["stays.nights"] == uses["stays.age"] == uses["homes.rent"] == {Use.RELATION}
    families = {part.family for part in release_of(spec, query).parts}
    assert {"count", "value stays.nights", "value homes.rent", "relation homes.rent stays.nights"} <= families
    names = [m.moment.name for m in review(spec).settled().plan.protection.columns]  # type: ignore[union-attr]
    assert len(names) == 11 and len(set(names)) == 11
    assert isinstance(review(spec).settled().plan.protection, AddNoise)


def test_the_order_of_regressors_makes_no_other_statistic(tmp_path: Path) -> None:
    made = world(people=5)
    one, other = (
        {o.what for o in bind(drawn.spec_of(made, text)).outputs if isinstance(o.what, Aggregate)}
        for text in (TEXT, TEXT.replace("b.rent, a.age", "a.age, b.rent"))
    )
    assert one == other


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("LINEAR_REGRESSION(a.nights)", "sql.argument"),
        ("LINEAR_REGRESSION(a.nights, a.nights)", "sql.argument"),
        ("LINEAR_REGRESSION(a.nights, b.rent, b.rent)", "sql.argument"),
        ("LINEAR_REGRESSION(a.nights, b.rent + 1)", "sql.argument"),
        ("LINEAR_REGRESSION(a.nights, a.ward)", "sql.type"),
        ("LINEAR_REGRESSION(a.nights, *)", "sql.argument"),
        ("LINEAR_REGRESSION(DISTINCT a.nights, b.rent)", "sql.argument"),
        ("LINEAR_REGRESSION()", "sql.argument"),
        ("COUNT(*) AS fit_n, LINEAR_REGRESSION(a.nights, b.rent)", "sql.name"),
        ("LINEAR_REGRESSION(a.nights, b.rent) OVER ()", "sql.unsupported"),
        ("COUNT(*) AS n, AVG(LINEAR_REGRESSION(a.nights, b.rent))", "sql.argument"),
    ],
)
def test_what_is_no_regression_is_refused_by_name(call: str, code: str, tmp_path: Path) -> None:
    made = world(people=5)
    with pytest.raises(SpecError) as caught:
        bind(drawn.spec_of(made, f"SELECT {call} FROM stays a JOIN homes b ON a.id = b.id"))
    assert caught.value.code == code


def test_groups_are_kept_by_one_number_of_a_regression(tmp_path: Path) -> None:
    made = world()
    spec = drawn.spec_of(made, TEXT + " HAVING fit_r2 > 0.2 AND fit_rent_p < 0.01")
    direct = Direct.of(spec, freeze(spec, made.rows, tmp_path))
    assert direct.table(direct.opened())["ward"].tolist() == ["n", "s"]
    with pytest.raises(SpecError) as caught:
        bind(drawn.spec_of(made, TEXT + " HAVING LINEAR_REGRESSION(a.nights, b.rent, a.age) > 1"))
    assert caught.value.code == "sql.group"
