"""Discrete Gaussian noise from specification to released table: its law, its cost, its evidence."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import signal, stats

import pets
from pets.party import prepare
from pets.party.evidence import verify_evidence
from pets.result import Result, evidence_keys, recompute
from pets.spec.ir import AddNoise, GaussianColumn
from pets.spec.model import DifferentialPrivacy, Spec
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze, stream
from tests.oracles.many import councils, many_toml, nhs_numbers
from tests.test_queries import home, small_world, stay

NEIGHBOURS = "one person's rows added or removed"
ONCE = (("max_runs = 60", "max_runs = 1"), ('schedule = "monthly"\n', ""))
NEVER = 1e-9
"""A right sampler fails a comparison with a smaller chance than this."""


def in_rho(spec: Spec, rho: str) -> Spec:
    """The same specification with Gaussian noise."""
    privacy = DifferentialPrivacy(mechanism="discrete gaussian", rho=rho, neighbours=NEIGHBOURS)
    return spec.model_copy(update={"release": spec.release.model_copy(update={"differential_privacy": privacy})})


def many_cells(folder: Path, cells: int, protocol: str, rho: str = "1") -> tuple[Direct, np.ndarray]:
    """Many cells with some people in each, so that one run gives as many draws of the noise; and what they hide."""
    levels = tuple(f"w{n}" for n in range(cells - 1))
    draw = random.Random("gaussian")
    stays = [stay(f"p{n}", draw.choice(levels), draw.randrange(-2, 6)) for n in range(cells)]
    homes = [home(f"p{n}", None, draw.randrange(4)) for n in range(0, 2 * cells, 2)]
    world = small_world(stays, homes, k=(1, 1), required=True)
    world.datasets[0]["columns"]["ward"]["levels"] = levels
    text = "SELECT a.ward, COUNT(*) AS n, SUM(a.nights) AS s, SUM(b.rent) AS m FROM stays a JOIN homes b ON a.id = b.id"
    spec = in_rho(drawn.spec_of(world, text + " GROUP BY a.ward"), rho)
    security = {"protocol": protocol}
    if protocol == "helper_join_b":
        security["leakage"] = tuple(each for each in spec.security.leakage if each.item != "match_count")
    spec = spec.model_copy(update={"security": spec.security.model_copy(update=security)})
    direct = Direct.of(spec, freeze(spec, world.rows, folder))
    rows = {d.name: sql.counted(spec, d, world.rows[d.name]) for d in spec.datasets}
    return direct, sql.moments(spec, direct.plan, rows)


def likelihood(found: np.ndarray, variance: float, parties: int) -> float:
    """How likely such a sample is under the sum of so many parts, in some twenty classes of equal probability."""
    reach = int(14 * np.sqrt(variance)) + 6
    x = np.arange(-reach, reach + 1)
    one = np.exp(-(x**2) / (2 * variance))
    one /= one.sum()
    law = one
    for _ in range(parties - 1):
        law = np.maximum(signal.fftconvolve(law, one), 0)
    below = np.cumsum(law)
    cuts = sorted({int(np.searchsorted(below, level)) for level in np.linspace(0.05, 0.95, 19)})
    classes = np.searchsorted(np.array(cuts) - reach * parties, found.ravel(), side="left")
    expected = np.diff(np.concatenate([[0.0], below[cuts], [1.0]])) * found.size
    counts = np.bincount(classes, minlength=len(cuts) + 1)
    return float(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue)


def follows(direct: Direct, truth: np.ndarray, seeds: range) -> int:
    """Hold what was released, less the truth, against the law that the plan states; how many draws that were."""
    noise = direct.plan.protection
    assert isinstance(noise, AddNoise)
    released = np.concatenate([direct.opened(seed=seed, noise=True) - truth for seed in seeds], axis=1)
    for column, found in zip(noise.columns, released, strict=True):
        assert isinstance(column, GaussianColumn)
        variance = float(column.variance)
        assert abs(found.mean()) < 6.5 * np.sqrt(3 * variance / found.size), column.moment.name
        assert abs(found.var() / (3 * variance) - 1) < 6.5 * np.sqrt(2 / found.size), column.moment.name
        assert likelihood(found, variance, 3) > NEVER, column.moment.name
    return int(released.size)


@pytest.mark.parametrize(("protocol", "cells"), [("helper_join_a", 17_000), ("helper_join_b", 3_000)])
def test_released_sums_less_the_truth_follow_the_declared_law(protocol: str, cells: int, tmp_path: Path) -> None:
    direct, truth = many_cells(tmp_path, cells, protocol)
    assert follows(direct, truth, range(1, 3)) == 6 * cells


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("protocol", ["helper_join_a", "helper_join_b"])
def test_a_million_released_sums_less_the_truth_follow_the_declared_law(protocol: str, tmp_path: Path) -> None:
    direct, truth = many_cells(tmp_path, 34_000, protocol)
    assert follows(direct, truth, range(10, 20)) >= 10**6


@pytest.mark.parametrize("rho", ["1/2", "2^-20"])
def test_two_parties_noise_is_what_the_promise_rests_on(rho: str, tmp_path: Path) -> None:
    """Whoever of the three leaves its part out, or knows it, faces the parts of the two others: 100,000 sums."""
    direct, _ = many_cells(tmp_path, 12, "helper_join_a", rho)
    noise = direct.plan.protection
    assert isinstance(noise, AddNoise)
    for number, column in enumerate(noise.columns):
        assert isinstance(column, GaussianColumn)
        parts = [prepare.part_of(column, 2, 100_000, stream(number, f"party {party}")) for party in range(3)]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert likelihood(parts[first] + parts[second], float(column.variance), 2) > NEVER
        assert likelihood(parts[0] + parts[1], float(column.variance) * 1.1, 2) < 1e-12, "and the test would see it"


def test_released_ranges_hold_the_truth_in_95_of_100_cells(tmp_path: Path) -> None:
    direct, truth = many_cells(tmp_path, 3_000, "helper_join_a")
    exact, frame = direct.table(truth), direct.table(direct.opened(seed=3, noise=True))
    for name in ("n", "s", "m"):
        inside = ((frame[f"{name}_low"] <= exact[name]) & (exact[name] <= frame[f"{name}_high"])).mean()
        assert 0.93 < inside < 0.985


# -- the whole way in one process -------------------------------------------------------------------------------------


def verified(result: Result, folder: Path) -> list[str]:
    """What the saved evidence says once it is verified offline."""
    saved = result.save(folder / "out.csv")
    toml = (saved / "spec.toml").read_text(encoding="utf-8")
    return verify_evidence(saved, keys=evidence_keys(saved / "directory.toml"), recompute=recompute(toml))


def test_a_query_with_gaussian_noise_in_one_process(tmp_path: Path) -> None:
    """Drafted, approved, run, charged in rho, verified; the mean of a group is near the true one."""
    ids = [f"p{n}" for n in range(600)]
    stays = pd.DataFrame({"pid": ids, "band": ["old", "young"] * 300, "minutes": [30, 60] * 300})
    homes = pd.DataFrame({"pid": ids, "tenure": ["own", "own", "rent"] * 200})
    network = pets.local_network({"board": {"stays": stays}, "council": {"homes": homes}, "helper": {}})
    draft = network.draft(
        "SELECT s.band, COUNT(*) AS n, AVG(s.minutes) AS m FROM stays s JOIN homes h USING (pid) GROUP BY s.band",
        rho="2",
        max_runs=1,
    )
    result = network.run(draft)
    table = result.to_pandas().set_index("band")
    assert abs(table.loc["old", "m"] - 30) < 5 and abs(table.loc["young", "m"] - 60) < 5
    assert abs(table.loc["old", "n"] - 300) < 30 and table.loc["old", "n_low"] < 300 < table.loc["old", "n_high"]
    assert (result.epsilon, result.loss) == ("none", "rho 2") and "rho 2 a run" in result.note()
    assert "read as an epsilon at a delta of 0.000001" in " ".join(result.disclosure.split())
    told = verified(result, tmp_path)
    assert any("stays was charged epsilon 0.5, delta 2^-40, rho 2" in line for line in told)


def test_tables_of_many_holders_with_gaussian_noise(tmp_path: Path) -> None:
    """Three parties that hold nothing add the noise; what comes out, less the truth, has the law of three parts."""
    levels = [f"b{n:03}" for n in range(400)]
    people, rng = nhs_numbers(300), np.random.default_rng(3)
    text = (
        "SELECT a.age_band, COUNT(*) AS n, COUNT(DISTINCT a.nhs_number) AS people "
        "FROM attendances a JOIN housing h USING (nhs_number) GROUP BY a.age_band"
    )
    noise = f'[release.differential_privacy]\nmechanism = "discrete gaussian"\nrho = "4"\nneighbours = "{NEIGHBOURS}"\n'
    toml = many_toml(1, 2, sql=text, protection=noise, rows=(400, 200), truncate=False, edits=ONCE)
    declared = f'age_band = {{ role = "dimension", type = "category", levels = {json.dumps(levels)} }}'
    toml, changed = re.subn(r"(?m)^age_band *= .*$", declared, toml)
    assert changed == 1
    age = dict(zip(people, rng.choice(levels, len(people)), strict=True))
    board = pd.DataFrame({"nhs_number": people, "age_band": [age[one] for one in people], "minutes": 5})
    board["arrival"] = pd.to_datetime("2026-02-01")
    homed = {party: people[number::3] for number, party in enumerate(councils(2))}
    own = {name: {} for name in ("north", "south", "west")} | {"board-01": {"attendances": board}}
    for party, found in homed.items():
        own[party] = {"housing": pd.DataFrame({"nhs_number": found, "tenure": "owner"})}
    result = pets.local_network(own).run(toml)
    columns = result.plan.protection.columns  # type: ignore[union-attr]
    assert all(isinstance(column, GaussianColumn) and column.parts == 2 for column in columns)
    true = pd.Series([age[one] for found in homed.values() for one in found]).value_counts()
    table = result.to_pandas().set_index("age_band")
    for name, column in zip(("n", "people"), columns, strict=True):
        error = np.array([int(table.loc[level, name]) - int(true.get(level, 0)) for level in levels])
        assert likelihood(error, float(column.variance), 3) > NEVER
        assert abs(error).max() > 0
    assert set(result.receipts) == {"board-01", *councils(2), "north", "south", "west"}
    assert any("attendances was charged epsilon 0, delta 0, rho 4" in line for line in verified(result, tmp_path))
