"""Statistics from released counts are those of scipy and statsmodels, and say what noise and rounding leave open."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.contingency_tables import Table2x2

from pets.errors import StatisticsError
from pets.local import local_network
from pets.noise_law import NoiseLaw
from pets.statistics import Counts, read

TABLE = np.array([[30.0, 12.0, 8.0], [14.0, 25.0, 21.0]])
TWO = np.array([[30.0, 12.0], [14.0, 25.0]])


def made(value: Any, *, low: Any = None, high: Any = None, law: NoiseLaw | None = None) -> Counts:
    value = np.array(value, float)
    axes = {
        name: tuple(f"{name}{i}" for i in range(size)) for name, size in zip(("r", "c", "s"), value.shape, strict=False)
    }
    return Counts(axes, value, value if low is None else low, value if high is None else high, law)


def test_chi_square_is_that_of_scipy() -> None:
    found, oracle = made(TABLE).chi_square("r", "c"), stats.chi2_contingency(TABLE, correction=False)
    assert (found.statistic, found.p) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-12)
    assert found.freedom == oracle.dof and found.low == found.high == found.statistic
    turned = made(TABLE).chi_square("c", "r")
    assert (turned.statistic, turned.freedom) == pytest.approx((found.statistic, found.freedom))


def test_levels_and_other_columns_are_chosen() -> None:
    three = np.stack([TABLE, TABLE[::-1] * 2], axis=2)
    oracle = stats.chi2_contingency(TABLE[:, :2] * 1.0, correction=False)
    found = made(three).chi_square("r", "c", levels={"c": ["c0", "c1"]}, at={"s": "s0"})
    assert found.statistic == pytest.approx(oracle.statistic)
    ratio = made(three).odds_ratio("r", "c", levels={"r": ["r1", "r0"], "c": ["c2", "c0"]}, at={"s": "s1"})
    assert ratio.value == pytest.approx((8 / 30) / (21 / 14))


def test_two_by_two_is_that_of_statsmodels() -> None:
    oracle = Table2x2(TWO)
    odds, risk = made(TWO).odds_ratio("r", "c"), made(TWO).relative_risk("r", "c")
    assert (odds.value, odds.low, odds.high) == pytest.approx((oracle.oddsratio, *oracle.oddsratio_confint()))
    assert (risk.value, risk.low, risk.high) == pytest.approx((oracle.riskratio, *oracle.riskratio_confint()))


@pytest.mark.parametrize("seed", range(3))
def test_survival_is_that_of_statsmodels(seed: int) -> None:
    draw = np.random.default_rng(seed)
    table = draw.integers(1, 40, (8, 2)).astype(float)
    found = made(table).kaplan_meier("r", "c", happened="c0").table
    times = [t for t in range(8) for column in (0, 1) for _ in range(int(table[t, column]))]
    status = [1 - column for t in range(8) for column in (0, 1) for _ in range(int(table[t, column]))]
    oracle = SurvfuncRight(np.array(times), np.array(status))
    assert found.survival.tolist() == pytest.approx(oracle.surv_prob.tolist())
    assert found.se.tolist() == pytest.approx(oracle.surv_prob_se.tolist())
    assert found.at_risk.tolist() == oracle.n_risk.tolist() and found.events.tolist() == oracle.n_events.tolist()
    wanted = np.clip(oracle.surv_prob - stats.norm.ppf(0.975) * oracle.surv_prob_se, 0, 1)
    assert found.low.tolist() == pytest.approx(wanted.tolist())


def test_all_have_the_event_in_the_end() -> None:
    found = made([[5, 0], [5, 0]]).kaplan_meier("r", "c", happened="c0").table
    assert found.survival.tolist() == [0.5, 0.0] and found.se.tolist() == pytest.approx([0.158113883, 0.0])
    nobody = made([[5, 0], [5, 0], [0, 0]]).kaplan_meier("r", "c", happened="c0").table
    assert nobody.survival.tolist() == [0.5, 0.0, 0.0] and nobody.at_risk.tolist() == [10, 5, 0]


# -- what is withheld or was never there ------------------------------------------------------------------------------


def refused(call: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(StatisticsError) as caught:
        call()
    return caught.value.code, dict(caught.value.fields)


def test_a_count_that_is_withheld_is_needed_or_left_out() -> None:
    gone = TABLE.copy()
    gone[1, 2] = np.nan
    table = made(gone)
    code, fields = refused(lambda: table.chi_square("r", "c"))
    assert (code, fields["count"], fields["cells"]) == ("statistics.withheld", 1, "r1 and c2")
    assert refused(lambda: table.kaplan_meier("c", "r", happened="r0"))[0] == "statistics.withheld"
    assert table.chi_square("r", "c", levels={"c": ["c0", "c1"]}).statistic > 0
    assert table.odds_ratio("r", "c", levels={"c": ["c0", "c1"]}).value > 0


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda t: t.chi_square("r", "x"), "statistics.column"),
        (lambda t: t.chi_square("r", "r"), "statistics.shape"),
        (lambda t: t.chi_square("r", "c", at={"c": "c0"}), "statistics.shape"),
        (lambda t: t.chi_square("r", "c", levels={"c": ["c0"]}), "statistics.shape"),
        (lambda t: t.chi_square("r", "c", levels={"c": ["c0", "zz"]}), "statistics.column"),
        (lambda t: t.odds_ratio("r", "c"), "statistics.shape"),
        (lambda t: t.kaplan_meier("c", "r", happened="zz"), "statistics.column"),
    ],
)
def test_what_is_no_part_of_the_table_is_named(call: Any, code: str) -> None:
    assert refused(lambda: call(made(TABLE)))[0] == code


def test_a_cell_without_people_leaves_a_ratio_open() -> None:
    assert refused(lambda: made([[0, 3], [4, 5]]).odds_ratio("r", "c"))[0] == "statistics.undetermined"
    assert refused(lambda: made([[-2, 3], [4, 5]], law=NoiseLaw(1.0)).relative_risk("r", "c"))[0] == (
        "statistics.undetermined"
    )
    assert refused(lambda: made([[0, 0], [4, 5]]).chi_square("r", "c"))[0] == "statistics.undetermined"


# -- rounding and noise -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["odds_ratio", "relative_risk"])
def test_ranges_hold_every_table_that_is_rounded_so(method: str) -> None:
    low, high = TWO - 2, TWO + 2
    rounded = getattr(made(TWO, low=low, high=high), method)("r", "c")
    ends = []
    for pick in np.ndindex(5, 5, 5, 5):
        one = getattr(made(low + np.array(pick).reshape(2, 2)), method)("r", "c")
        ends.append((one.low, one.high))
    widest = min(low for low, _ in ends), max(high for _, high in ends)
    assert (rounded.low, rounded.high) == pytest.approx(widest)


def test_survival_ranges_hold_every_table_that_is_rounded_so() -> None:
    value = np.array([[10.0, 5.0], [5.0, 10.0], [15.0, 5.0]])
    found = made(value, low=value - 2, high=value + 2).kaplan_meier("r", "c", happened="c0").table
    draw = np.random.default_rng(1)
    for _ in range(200):
        one = made(value + draw.integers(-2, 3, value.shape)).kaplan_meier("r", "c", happened="c0").table
        assert (found.low <= one.low + 1e-12).all() and (one.high <= found.high + 1e-12).all()


def test_noise_makes_ranges_wider_and_they_hold_the_truth() -> None:
    """The truth is a population from which people and then noise are drawn: in some 95 of 100 the range holds it."""
    draw, law, share = np.random.default_rng(11), NoiseLaw(12.0), np.array([[0.3, 0.2], [0.15, 0.35]])
    p = float(np.exp(-1 / 12))
    odds, risk = 0.3 * 0.35 / (0.2 * 0.15), 0.6 / 0.3
    inside, tries = {"odds": 0, "risk": 0}, 200
    for _ in range(tries):
        noise = draw.negative_binomial(1.5, 1 - p, 4) - draw.negative_binomial(1.5, 1 - p, 4)
        value = draw.multinomial(2000, share.ravel()).reshape(2, 2) + noise.reshape(2, 2)
        own, plain = made(value, law=law), made(value)
        o, r = own.odds_ratio("r", "c"), own.relative_risk("r", "c")
        assert o.low < plain.odds_ratio("r", "c").low and plain.odds_ratio("r", "c").high < o.high
        inside["odds"] += o.low <= odds <= o.high
        inside["risk"] += r.low <= risk <= r.high
    assert all(0.9 * tries <= count <= 0.995 * tries for count in inside.values()), inside


def test_noise_alone_does_not_look_like_dependence() -> None:
    """Independent columns under much noise: the p of scipy is below 0.05 half the time, ours as often as it says."""
    draw, law = np.random.default_rng(12), NoiseLaw(15.0)
    p, ours, theirs, tries = float(np.exp(-1 / 15)), 0, 0, 150
    expected = np.outer([0.5, 0.5], [0.3, 0.3, 0.4]) * 1500
    for _ in range(tries):
        noise = draw.negative_binomial(1.5, 1 - p, (2, 2, 3))
        value = draw.poisson(expected) + noise[0] - noise[1]
        ours += made(value, law=law).chi_square("r", "c").p < 0.05
        theirs += stats.chi2_contingency(value, correction=False).pvalue < 0.05
    assert theirs > 0.25 * tries and ours <= 0.11 * tries
    assert made(TABLE * 20, law=law).chi_square("r", "c").p < 0.001


# -- the whole way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [None, {"min_count": 5, "round_to": 5}])
def test_a_released_table_and_its_files_give_the_same(control: dict[str, Any] | None, tmp_path: Path) -> None:
    draw = random.Random("statistics")
    stays = pd.DataFrame({"id": [f"p{n}" for n in range(400)]})
    stays["ill"] = [draw.choice(["no", "yes"]) for _ in range(400)]
    homes = pd.DataFrame({"id": stays["id"]})
    homes["damp"] = [draw.choice(["damp", "dry"] if ill == "yes" else ["dry", "dry", "damp"]) for ill in stays["ill"]]
    net = local_network({"nhs": {"stays": stays}, "council": {"homes": homes}, "helper": {}})
    text = "SELECT damp, ill, COUNT(*) AS n FROM stays JOIN homes USING (id) GROUP BY damp, ill"
    result = net.run(net.draft(text, **({"epsilon": "20"} if control is None else {"control": control})))
    found = result.counts()
    result.save(tmp_path / "out" / "table.csv")
    again = read(tmp_path / "out" / "table.evidence")
    for each in (found, again):
        assert each.axes == {"damp": ("damp", "dry", "(missing)"), "ill": ("no", "yes", "(missing)")}
    both = [t.odds_ratio("damp", "ill", levels={"ill": ["yes", "no"]}) for t in (found, again)]
    tests = [t.chi_square("damp", "ill") for t in (found, again)]
    assert both[0] == both[1] and tests[0] == tests[1]
    frame = pd.crosstab(homes["damp"], stays["ill"])
    truth = Table2x2(frame[["yes", "no"]].to_numpy())
    assert both[0].low < truth.oddsratio < both[0].high
    assert ("noise" if control is None else "rounded") in " ".join(both[0].notes)
    assert any("(missing)" in note for note in both[0].notes)


def test_files_of_another_table_are_refused(tmp_path: Path) -> None:
    stays = pd.DataFrame({"id": ["a", "b"], "ill": ["no", "yes"]})
    net = local_network({"nhs": {"stays": stays}, "council": {"homes": stays[["id"]]}, "helper": {}})
    text = "SELECT ill, COUNT(*) AS n, COUNT(DISTINCT id) AS p FROM stays JOIN homes USING (id) GROUP BY ill"
    (tmp_path / "spec.toml").write_text(net.draft(text, epsilon="1").toml)
    (tmp_path / "result.csv").write_text("ill,n\nno,3\n")
    assert refused(lambda: read(tmp_path, "n"))[0] == "statistics.file"
    (tmp_path / "result.csv").write_text("ill,n,n_low,n_high,p,p_low,p_high\nno,3,1,5,3,1,5\n")
    assert refused(lambda: read(tmp_path))[0] == "statistics.column"
    assert np.isnan(read(tmp_path, "n").value).tolist() == [False, True, True]
