"""Logistic regression across two tables: what statsmodels fits to the joined rows, where enough persons contribute."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pets import logistic
from pets.approve.columns import RULES, Use, allowed, uses_of
from pets.check import diff
from pets.check.releases import release_of
from pets.errors import PeerError, SpecError, StatisticsError
from pets.local import local_network
from pets.party import gate, prepare
from pets.plan.review import review
from pets.protocols import control
from pets.secret import Secret
from pets.spec import fitting
from pets.spec.ir import Protect, ShownFit
from pets.spec.query import FITTED, Aggregate, ColumnRef, Statistic
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze, only
from tests.oracles.projected import as_planned, roles_of
from tests.test_controlled import spec_of

FROM = "FROM stays a JOIN homes b ON a.id = b.id"
CONTROL: dict[str, Any] = {"min_count": 14}


def world(seed: int = 1, people: int = 400, *, rate: float = -1.0, damp: float = 0.3) -> drawn.World:
    """Two tables with one row a person: an outcome, numbers with and without a zero, values below it, gaps."""
    draw = random.Random(f"logistic {seed}")

    def value(x: Any) -> Any:
        return None if draw.random() < 0.08 else x

    stays, homes = [], []
    for n in range(people):
        age, rent, wet = draw.randint(16, 90), draw.randint(0, 40_000), int(draw.random() < damp)
        born, change = draw.randint(1930, 2010), draw.randint(-50, 30)
        score = rate + 0.03 * (age - 50) - rent / 20_000 + 0.9 * wet + 0.01 * change
        died = int(draw.random() < 1 / (1 + math.exp(-score)))
        if draw.random() < 0.95:
            own = {"id": f"p{n}", "ward": draw.choice(["n", "s"]), "died": value(died), "age": value(age)}
            stays.append(own | {"born": value(born)})
        if draw.random() < 0.95:
            homes.append({"id": f"p{n}", "rent": value(rent), "damp": value(wet), "change": change})
    key = {"role": "person id", "scheme": "text"}

    def number(low: int, high: int, **more: Any) -> dict[str, Any]:
        return {"role": "measure", "type": "integer", "min": low, "max": high, **more}

    base = {"max_rows_per_person": 1, "max_rows": people, "truncate": False}
    ward = {"role": "dimension", "type": "category", "levels": ("n", "s")}
    of_a = {"id": key, "ward": ward, "died": number(0, 1), "born": number(1930, 2010)}
    of_a["age"] = number(16, 90, unit="year")
    of_b = {"id": key, "rent": number(0, 40_000), "damp": number(0, 1), "change": number(-50, 30, required=True)}
    return drawn.World(
        (
            {"name": "stays", "party": "board", **base, "columns": of_a},
            {"name": "homes", "party": "council", **base, "columns": of_b},
        ),
        {"stays": stays, "homes": homes},
        ("id", "id"),
        (),
        "1",
    )  # fmt: skip


def joined(made: drawn.World, columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(made.rows["stays"]).merge(pd.DataFrame(made.rows["homes"]), on="id")
    return frame[columns].dropna().astype(float)


def direct_of(made: drawn.World, select: str, folder: Path, where: str = "", control: Any = None) -> Direct:
    spec = spec_of(made, f"SELECT {select} {FROM}{where}", control or CONTROL)
    assert review(spec).accepted, review(spec)
    return Direct.of(spec, freeze(spec, made.rows, folder))


def model_of(direct: Direct, *, seed: int = 1) -> tuple[pd.DataFrame, logistic.Model]:
    opened = direct.opened(seed=seed)
    frame = direct.table(opened)
    return frame, logistic.model(direct.plan, direct.spec, frame, opened.tolist(), None)


def compared(direct: Direct, own: pd.DataFrame, y: str, bases: dict[str, float]) -> logistic.Model:
    """Every number of the table, against statsmodels. ``bases``: what columns are counted from, where that is not 0."""
    frame, model = model_of(direct)
    xs = [name for name in own if name != y]
    wanted = sm.Logit(own[y], sm.add_constant(own[xs] - pd.Series(bases).reindex(xs).fillna(0))).fit(disp=0)
    row, tails = frame.iloc[0], wanted.conf_int()
    assert (row["fit_n"], row["fit_ones"]) == (len(own), own[y].sum())
    assert row["fit_step"] < logistic.SETTLED and model.state == "settled"
    for name, term in [("intercept", "const"), *((x, x) for x in xs)]:
        error = wanted.bse[term]
        assert abs(row[f"fit_{name}"] - wanted.params[term]) < 0.01 * error
        assert row[f"fit_{name}_se"] == pytest.approx(error, rel=2e-3)
        assert row[f"fit_{name}_z"] == pytest.approx(wanted.tvalues[term], rel=3e-3, abs=0.01)
        assert row[f"fit_{name}_p"] == pytest.approx(wanted.pvalues[term], rel=0.1, abs=0.01)
        assert row[f"fit_{name}_lower"] == pytest.approx(tails.loc[term, 0], abs=0.015 * error)
        assert row[f"fit_{name}_upper"] == pytest.approx(tails.loc[term, 1], abs=0.015 * error)
        assert math.log(row[f"fit_{name}_odds"]) == pytest.approx(row[f"fit_{name}"], abs=1e-5)
        assert row[f"fit_{name}_low"] == row[f"fit_{name}"] == row[f"fit_{name}_high"]
    return model


def test_a_joint_model_is_that_of_the_joined_rows(tmp_path: Path) -> None:
    """Columns of both holders, with gaps, beside a condition across tables; what is sent is what the forecast says."""
    made = world()
    where = " WHERE a.age > b.change"
    direct = direct_of(made, "LOGISTIC_REGRESSION(a.died, b.rent, a.age, b.damp) AS fit", tmp_path, where)
    own = joined(made, ["died", "rent", "age", "damp", "change"])
    model = compared(direct, own[own.age > own.change][["died", "rent", "age", "damp"]], "died", {})
    ratio, low, high = model.odds_ratio("age", per=10)
    assert low < ratio < high and ratio == pytest.approx(model.odds_ratio("stays.age")[0] ** 10, rel=1e-3)
    assert "for each year more" in model.explain() and "where it is 1 and not 0" in model.table.loc["homes.damp", "for"]
    with pytest.raises(StatisticsError):
        model.odds_ratio("tenure")


@pytest.mark.long
def test_values_far_from_zero_and_below_it(tmp_path: Path) -> None:
    """Years are counted from the first that is declared, so that they tell something; a range with 0 from 0."""
    made = world(2, 300)
    direct = direct_of(made, "LOGISTIC_REGRESSION(a.died, a.born, b.change, 6) AS fit", tmp_path)
    own = joined(made, ["died", "born", "change"])
    model = compared(direct, own, "died", {"born": 1930})
    assert model.bases == ("1930", "0") or model.bases == ("0", "1930")
    assert model.steps == 6


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 30))
def test_many_models(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    made = world(seed, draw.choice([500, 900, 2000]), rate=draw.choice([-1.0, 0.0, 0.5]), damp=0.4)
    names = draw.sample(["b.rent", "a.age", "b.damp", "a.born", "b.change"], draw.choice([1, 2, 3, 4, 5]))
    direct = direct_of(made, f"LOGISTIC_REGRESSION(a.died, {', '.join(names)}) AS fit", tmp_path, "", {"min_count": 16})
    compared(direct, joined(made, ["died", *(name[2:] for name in names)]), "died", {"born": 1930})


# -- what is kept back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        pytest.param({}, True, id="enough", marks=pytest.mark.long),
        pytest.param({"people": 20}, False, id="few persons", marks=pytest.mark.long),
        pytest.param({"rate": -9.0}, False, id="few ones", marks=pytest.mark.long),
        pytest.param({"rate": 9.0}, False, id="few zeros", marks=pytest.mark.long),
        pytest.param({"damp": 0.04}, False, id="few in a cell of two flags"),
    ],
)
def test_a_model_is_shown_whole_or_not_at_all(change: dict[str, Any], kept: bool, tmp_path: Path) -> None:
    """Persons, both outcomes, and both outcomes on both sides of a column of 0 and 1 reach the minimum."""
    made = world(**{"people": 250, "rate": 0.0, **change})
    control = {"min_count": 13}
    direct = direct_of(made, "LOGISTIC_REGRESSION(a.died, b.damp, a.age, 6) AS fit", tmp_path, "", control)
    safe = direct.plan.protection
    assert isinstance(safe, Protect)
    own = joined(made, ["died", "damp", "age"])
    least = min([len(own), *(len(own[(own.died == a) & (own.damp == b)]) for a in (0, 1) for b in (0, 1))])
    assert (least >= 13) == kept
    opened = direct.opened()
    frame = direct.table(opened)
    model = logistic.model(direct.plan, direct.spec, frame, opened.tolist(), "fit")
    numbers = [name for name in frame if not name.startswith(("fit_n", "fit_ones"))]
    assert frame[numbers].notna().all(axis=None) == kept
    if not kept:
        assert frame[numbers].isna().all(axis=None) and model.state == "withheld" and "Withheld" in model.explain()
        of_rows = opened[len(safe.shown) : len(safe.shown) + len(safe.rows)]
        assert not of_rows.any(), "nothing of it is opened"


def test_what_is_sent_is_what_gate_and_forecast_say_and_shows_nothing(tmp_path: Path) -> None:
    """Whoever is in the tables; words that travel are no values, fractions of ranges, or numbers that are found."""
    made = world(4, 120, rate=0.0)
    spec = spec_of(made, f"SELECT LOGISTIC_REGRESSION(a.died, b.rent, 6) AS fit {FROM}", {"min_count": 12})
    direct = Direct.of(spec, freeze(spec, made.rows, tmp_path))
    transcript, other, plan = direct.played(seed=1), direct.played(seed=2), direct.plan
    as_planned(plan, transcript)
    sequence = gate.project_plan(plan, roles_of(plan), "a")
    passage = gate.Gate(sequence, opening=Secret(bytes(32)))
    for expected in {each.label: each for each in passage.incoming}.values():
        for size in (expected.size - 1, expected.size + 8):
            with pytest.raises(PeerError):
                passage.read(expected, memoryview(bytes(size)))
    passage.close()
    nobody = direct.played(keep=dict.fromkeys("ab", _none))
    assert nobody.shape_of_traffic() == transcript.shape_of_traffic()
    (fit,) = plan.join.rows.fits  # type: ignore[union-attr]
    rents = {int(row["rent"]) for row in made.rows["homes"] if row["rent"] is not None}
    secret = {rent << (fit.numbers.fraction - fit.spans[0]) for rent in rents} | {
        rent for rent in rents if rent > 2**12
    }
    shape = prepare.control_shape(plan.protection)  # type: ignore[arg-type]
    opened = control.open_shown(shape, *transcript.outputs["result"])[0]
    assert np.abs(opened).max() > 2**12
    secret |= {int(word) % 2**64 for word in opened.reshape(-1) if abs(int(word)) > 2**12}
    sent = np.concatenate([a for k, a in transcript.sent if a.dtype == np.uint64])
    assert not secret & set(sent.tolist())
    both = [(one, two) for (_, one), (_, two) in zip(transcript.sent, other.sent, strict=True) if one.size > 8]
    assert not [one for one, two in both if one.dtype == np.uint64 and np.array_equal(one, two)], "other masks"


def _none(table: Any) -> Any:
    return only(table, np.zeros(table.rows, bool))


# -- the whole way ----------------------------------------------------------------------------------------------------


def test_a_whole_run_gives_the_model_and_says_what_it_means(tmp_path: Path) -> None:
    """Servers in memory, in mode B; policies that grant the use by name, sealed rows, a table computed again."""
    made = world(5, 220, rate=0.0)
    text = f"SELECT COUNT(*) AS n, LOGISTIC_REGRESSION(a.died, a.born, b.change) AS fit {FROM}"
    spec = spec_of(made, text, CONTROL)
    (_, *others) = spec.security.leakage  # in mode B, whose helper is told no count
    security = spec.security.model_copy(update={"protocol": "helper_join_b", "leakage": tuple(others)})
    spec = spec.model_copy(update={"security": security})
    raw = {d.name: sql.arrow(d, made.rows[d.name]) for d in spec.datasets}
    net = local_network({"board": {"stays": raw["stays"]}, "council": {"homes": raw["homes"]}, "helper": {}})
    result = net.run(spec)
    model, own = result.logistic(), joined(made, ["died", "born", "change"])
    own["born"] -= 1930  # years are counted from the first that is declared
    wanted = sm.Logit(own.died, sm.add_constant(own[["born", "change"]])).fit(disp=0)
    found = model.table["coefficient"]
    assert abs(found["intercept"] - wanted.params["const"]) < 0.01 * wanted.bse["const"]
    assert abs(found["stays.born"] - wanted.params["born"]) < 0.01 * wanted.bse["born"]
    assert abs(found["homes.change"] - wanted.params["change"]) < 0.01 * wanted.bse["change"]
    said = model.explain()
    assert f"{len(own)} persons contribute; for {int(own.died.sum())} of them stays.died is 1." in said
    assert "odds of the outcome are multiplied by" in said and "causes the other" in said
    assert not result.withheld.any(axis=None)
    assert "stays.born is 1930" in said
    assert "all or none, fitted to rows that nobody reads" in " ".join(result.disclosure.split())
    page = result._repr_html_()
    assert page.count("<table>") == 2 and "fit_intercept" not in page and "stays.born" in page
    assert [axis.get_title(loc="left") for axis in result.plot().axes] == ["n"], "the model has a picture of its own"
    assert model.plot(tmp_path / "model.png").axes and (tmp_path / "model.png").stat().st_size > 10_000
    with pytest.raises(StatisticsError):
        result.logistic("other")


def three_tables() -> tuple[dict[str, dict[str, pd.DataFrame]], str]:
    """An outcome and a column at one holder, a column at each of two others; some persons are in two tables only."""
    rng = np.random.default_rng(2)
    n = 300
    age, rent, income = rng.integers(16, 90, n), rng.integers(0, 4000, n), rng.integers(0, 500, n)
    score = 0.03 * (age - 50) - rent / 2000 + (income - 250) / 250
    died = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(int)
    ids = [f"p{number}" for number in range(n)]
    stays = pd.DataFrame({"id": ids, "died": died, "age": age}).iloc[:280]
    homes = pd.DataFrame({"id": ids, "rent": rent}).iloc[10:]
    pay = pd.DataFrame({"id": ids, "income": income}).iloc[:290]
    tables = {"nhs": {"stays": stays}, "council": {"homes": homes}, "tax": {"pay": pay}}
    join = "FROM stays JOIN homes USING (id) JOIN pay USING (id)"
    return tables, f"SELECT LOGISTIC_REGRESSION(died, age, rent, income, 6) AS fit {join}"


def test_a_model_of_three_tables_is_accepted_by_both_checkers() -> None:
    tables, text = three_tables()
    draft = local_network({**tables, "helper": {}}).draft(text, control=CONTROL)
    found = draft.check()  # raises where the two differ
    assert found.accepted and found.plan is not None and found.plan.join.card == "star_join"


@pytest.mark.long
def test_a_model_of_three_tables_is_that_of_the_joined_rows() -> None:
    tables, text = three_tables()
    net = local_network({**tables, "helper": {}})
    model = net.run(net.draft(text, control=CONTROL)).logistic()
    own = tables["nhs"]["stays"].merge(tables["council"]["homes"], on="id").merge(tables["tax"]["pay"], on="id")
    wanted = sm.Logit(own.died, sm.add_constant(own[["age", "rent", "income"]])).fit(disp=0)
    found = model.table["coefficient"]
    assert model.rows == len(own)
    for name, column in (("stays.age", "age"), ("homes.rent", "rent"), ("pay.income", "income")):
        assert abs(found[name] - wanted.params[column]) < 0.01 * wanted.bse[column]


# -- what is made of the numbers --------------------------------------------------------------------------------------

FIT = ShownFit("logistic", (ColumnRef("a", "y"), ColumnRef("b", "x")), 0, (0,), (4,))  # type: ignore[arg-type]
U = 2**fitting.STEP


@pytest.mark.parametrize(
    ("last", "b", "state"),
    [
        (0, 1, "settled"),
        (-3, 1, "settled"),
        (2**10, 1, "moving"),
        (2**fitting.MOST_GAIN, 1, "moving"),
        (2 ** (fitting.MOST_GAIN + 1), 1, "undetermined"),
        (0, 2**fitting.BOUND, "undetermined"),
        (0, -(2**fitting.BOUND), "undetermined"),
    ],
)
def test_states(last: int, b: int, state: str) -> None:
    found = logistic.estimates(FIT, [-U, b * U, U // 2, U // 4, last])
    assert found.state == state
    if state == "undetermined":
        assert all(math.isnan(found.number(kind, 1)) for kind in FITTED)
        return
    assert found.step == math.sqrt(max(last, 0) / 1024)
    assert (
        found.number(Statistic.LOGISTIC_COEFFICIENT, 1) == b / 4 and found.number(Statistic.LOGISTIC_ERROR, 1) == 1 / 16
    )
    assert found.number(Statistic.LOGISTIC_Z, 0) == -2
    assert found.number(Statistic.LOGISTIC_P, 0) == pytest.approx(0.0455003, abs=1e-7)
    assert found.number(Statistic.LOGISTIC_UPPER, 0) == pytest.approx(-1 + 1.959964 / 2, abs=1e-6)
    assert found.number(Statistic.LOGISTIC_ODDS, 0) == pytest.approx(math.exp(-1), rel=1e-5)


def test_what_has_not_settled_or_means_nothing_is_said_in_words() -> None:
    for last, word in ((2**12, "still moved"), (2**21, "do not determine"), (0, "are multiplied by")):
        found = logistic.estimates(FIT, [-U, U, U // 2, U // 4, last])
        model = logistic.Model(FIT.columns[0], found, ("", "for each unit more"), ("0",), 90, 40, 8)
        assert word in model.explain()
        assert ("Do not rely" in model.explain()) == (last == 2**12)


# -- what it means to others ------------------------------------------------------------------------------------------


def test_it_is_a_use_by_name_that_no_named_rule_leaves() -> None:
    spec = spec_of(world(people=5), f"SELECT LOGISTIC_REGRESSION(a.died, b.rent) AS fit {FROM}", CONTROL)
    uses = {str(ref): set(use) for ref, use in uses_of(bind(spec), spec).items()}
    assert uses["stays.died"] == uses["homes.rent"] == {Use.LOGISTIC}
    assert not any(Use.LOGISTIC in leaves for leaves in RULES.values())
    assert Use.LOGISTIC not in allowed(("any use",), "spiffe://x", "dpv:Y")


def test_tables_of_flags_are_held_against_the_minimum_cell_by_cell() -> None:
    """Each flag with the outcome; where there is nothing else, all together, or any two."""
    made = world(people=5)
    flags = {f"f{n}": {"role": "measure", "type": "integer", "min": 0, "max": 1} for n in range(4)}
    homes = {**made.datasets[1], "columns": {**made.datasets[1]["columns"], **flags}}
    more = drawn.World((made.datasets[0], homes), made.rows, made.keys, (), "1")

    def cells(columns: str) -> list[int]:
        spec = spec_of(more, f"SELECT LOGISTIC_REGRESSION(a.died, {columns}) AS fit {FROM}", {"min_count": 20})
        plan = review(spec).require().plan
        assert isinstance(plan.protection, Protect)
        (fit,) = plan.protection.fits
        counts = [plan.protection.counts[n] for n in plan.protection.sets[fit.rests_on]]
        found: dict[int, int] = {}
        for count in counts:
            flags = count.name.count(" is ")
            found[flags] = found.get(flags, 0) + 1
        return [found.get(size, 0) for size in range(1, 5)]

    assert cells("b.rent") == [2, 0, 0, 0], "those with the outcome and without"
    assert cells("b.rent, b.f0, b.f1") == [0, 8, 0, 0]
    assert cells("b.f0") == [0, 4, 0, 0]
    assert cells("b.f0, b.f1") == [0, 0, 8, 0]
    assert cells("b.f0, b.f1, b.damp") == [0, 0, 0, 16]
    assert cells("b.f0, b.f1, b.f2, b.f3") == [0, 0, 6 * 8, 0]


def test_what_it_opens_is_guarded_and_other_steps_are_another_statistic() -> None:
    made = world(people=5)
    one, other, same = (
        spec_of(made, f"SELECT LOGISTIC_REGRESSION({of}) AS fit {FROM}", CONTROL)
        for of in ("a.died, b.rent, a.age", "a.died, b.rent, a.age, 12", "a.died, a.age, b.rent, 8")
    )
    families = {part.family for part in release_of(one, bind(one)).parts}
    assert families == {"count", "value stays.died", "relation homes.rent stays.age stays.died"}
    assert {o.what for o in bind(one).outputs} == {o.what for o in bind(same).outputs}
    fitted = [o for o in bind(one).outputs if isinstance(o.what, Aggregate) and o.what.statistic in FITTED]
    assert "8 steps" in diff.asked(fitted[0]) and len(bind(one).fitted) == 1
    assert bind(other).fitted != bind(one).fitted


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("LOGISTIC_REGRESSION(a.died)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, 8)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, a.age, 5)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, a.age, 21)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, a.age, 8.5)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, 8, a.age)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, a.age, '8')", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, a.died)", "sql.argument"),
        ("LOGISTIC_REGRESSION(a.died, a.ward)", "sql.type"),
        ("LOGISTIC_REGRESSION()", "sql.argument"),
        ("AVG(LOGISTIC_REGRESSION(a.died, a.age))", "sql.argument"),
    ],
)
def test_what_is_no_model_is_refused_by_name(call: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        bind(spec_of(world(people=5), f"SELECT {call} {FROM}", CONTROL))
    assert caught.value.code == code


def test_rows_and_ranges_that_overflow_are_refused_with_the_bound() -> None:
    assert not refusals(2**24 + 5, 2**18)
    assert refusals(2**25, 9) == {"control.logistic: sums over 33554432 rows need words of more than 64 bits"}
    (wide,) = refusals(2**24 + 5, 2**18 + 1)
    assert wide.startswith("leak.fit-range: ") and "a range of more than 2^18 units" in wide
    assert not refusals(10**6, 2**20)
    (wide,) = refusals(10**6, 2**20 + 1)
    assert wide.startswith("control.logistic: ") and "2^20" in wide


def refusals(rows: int, most: int) -> set[str]:
    """What stands against a model of so many rows, with a column from 0 to ``most``."""
    made = world(people=5)
    one, two = ({**table, "max_rows": rows} for table in made.datasets)
    two["columns"] = {**two["columns"], "rent": {"role": "measure", "type": "integer", "min": 0, "max": most}}
    big = drawn.World((one, two), made.rows, made.keys, (), "1")
    spec = spec_of(big, f"SELECT LOGISTIC_REGRESSION(a.died, b.rent) AS fit {FROM}", {"min_count": 12})
    (count, *others) = spec.security.leakage
    told = count.model_copy(update={"noised": count.noised.model_copy(update={"delta": "2^-40"})})  # type: ignore[union-attr]
    security = spec.security.model_copy(update={"leakage": (told, *others)})
    errors = review(spec.model_copy(update={"security": security})).verdict.errors
    return {f"{found.rule}: {found.message}" for found in errors}
