"""Whole runs of logistic models over one table of many holders, against statsmodels on all rows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pets import result
from pets.party.evidence import PartyKeys, verify_evidence
from tests.party.pool_world import PoolWorld, hasten, parts, pooled, toml_of, without_noise

SQL = "SELECT LOGISTIC_REGRESSION(died, age) AS fit FROM visits WHERE minutes > 50"
GAUSSIAN = """[release.differential_privacy]
mechanism = "discrete gaussian"
rho = "0.5"
neighbours = "one person's rows added or removed"
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PoolWorld]]:
    made: list[PoolWorld] = []

    def of(frames: Any, toml: str) -> PoolWorld:
        made.append(PoolWorld(tmp_path / f"world-{len(made)}", toml, frames))
        return made[-1]

    yield of
    for world in made:
        world.close()


@pytest.mark.parametrize(
    ("computing", "options"),
    [
        (2, {}),
        pytest.param(3, {"protocol": "secure_sum_shamir"}, marks=pytest.mark.long),
        pytest.param(2, {"protocol": "checked_sum"}, marks=pytest.mark.long),
        pytest.param(2, {"protection": GAUSSIAN}, marks=pytest.mark.long),
    ],
    ids=["additive", "shamir", "checked", "gaussian"],
)
def test_a_model_is_that_of_all_rows_and_its_evidence_holds(
    make: Callable[..., PoolWorld], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, computing: int, options: Any
) -> None:
    """Without noise holders' vectors come to the counts of all rows that have values, and the model is theirs."""
    without_noise(monkeypatch)
    frames = parts(4, rows=90)
    world = make(frames, toml_of(4, computing, sql=SQL, **options))
    world.prepared()
    found = world.run(world.toml)
    rows = pooled(frames).query("minutes > 50").dropna(subset=["age"]).astype({"age": int})
    assert 200 < len(rows) < len(pooled(frames).query("minutes > 50")), "some rows lack a value"
    counts = np.zeros((2, 111), np.int64)
    np.add.at(counts, (rows.died, rows.age), 1)
    np.testing.assert_array_equal(found.opened, counts.reshape(1, -1))
    wanted = sm.Logit(rows.died, sm.add_constant(rows[["age"]])).fit(disp=0)
    row = found.to_pandas().iloc[0]
    assert (row.fit_n, row.fit_ones) == (len(rows), rows.died.sum())
    assert row.fit_age == pytest.approx(wanted.params["age"], rel=1e-4)
    assert row.fit_intercept == pytest.approx(wanted.params["const"], rel=1e-4)
    assert row.fit_age_se > wanted.bse["age"]
    model = found.logistic()
    assert isinstance(model.table, pd.DataFrame) and model.noised
    found.plot(tmp_path / "odds.png")
    assert (tmp_path / "odds.png").stat().st_size > 5000
    assert "odds ratio" in found._repr_html_() and "1 cell" in repr(found)
    signing = world.directory.signing_keys()
    keys = {party: PartyKeys(signing[party], world.directory.approver_keys(party)) for party in world.servers}
    again, who = result.recompute(world.toml), result.counted(world.toml)
    lines = verify_evidence(found.save(tmp_path / "table.csv"), keys=keys, recompute=again, counted=who)
    assert "4 of 4 holders took part, 4 are the least; who, all signed that took uploads" in lines
