"""Queries that nobody wrote, from tables to released table without noise, against DuckDB and a loop over rows."""

import itertools
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pets.errors import SpecError
from pets.party import prepare
from pets.plan.cost import join_of
from pets.plan.lower import lower
from pets.spec.ir import AddNoise
from pets.spec.moments import roles
from pets.spec.query import LINEAR, LOGISTIC, ORDER, Aggregate, Statistic
from pets.spec.sql import bind
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze, stream, without
from tests.thinned import thinned

QUERIES = 6
"""Queries a world: taking its snapshots costs more than running a query over them."""

REFUSED = ("sql.outer-where", "spec.b-cells", "sql.cross-table")


def run_world(seed: int, folder: Path) -> list[Direct]:
    """Hold every query of one world against both oracles; the queries that ran."""
    world = drawn.world(seed)
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, folder)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    ran: list[Direct] = []
    number = 0
    while len(ran) < QUERIES:
        number += 1
        text = drawn.ask(1000 * seed + number, world)
        spec = drawn.spec_of(world, text)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in REFUSED, text
            assert number < 10 * QUERIES
            continue
        ran.append(direct)
        opened = direct.opened(seed=number)
        assert np.array_equal(opened, sql.moments(spec, direct.plan, rows)), text
        if not rounds(direct):
            wrong = sql.differences(spec, direct.query, sql.expected(spec, direct.query, rows), direct.table(opened))
            assert not wrong, f"{text}\n{wrong}"
    return ran


def agrees(direct: Direct, tables: dict[str, sql.Rows], seed: int) -> None:
    """What is opened, but for noise, is what DuckDB gives; where values are rounded it need not be."""
    if not rounds(direct):
        expected = sql.expected(direct.spec, direct.query, tables)
        wrong = sql.differences(direct.spec, direct.query, expected, direct.table(direct.opened(seed=seed)))
        assert not wrong, f"{direct.spec.computation.sql}\n{wrong}"


def rounds(direct: Direct) -> bool:
    """True if the plan rounds values before it sums them: the author's SQL then means other rows."""
    noise = next(step for step in direct.plan.steps if isinstance(step, AddNoise))
    return any(factor.unit > 1 for c in noise.columns for factor in c.moment.factors)


@pytest.mark.parametrize("seed", thinned(range(25), one_in=2))
def test_a_query_never_seen_before_gives_what_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 434))
def test_two_thousand_queries_give_what_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)


def test_the_queries_drawn_use_every_construct() -> None:
    seen: Counter[str] = Counter()
    for seed in range(25):
        world = drawn.world(seed)
        for number in range(QUERIES):
            spec = drawn.spec_of(world, drawn.ask(1000 * seed + number, world))
            try:
                query = bind(spec)
                plan = lower(spec, query)
            except SpecError as error:
                seen[error.code] += 1
                continue
            noise = next(step for step in plan.steps if isinstance(step, AddNoise))
            rows = {d.name: sql.counted(spec, d, world.rows[d.name]) for d in spec.datasets}
            sides = len({ref.dataset for ref in query.group_by})
            seen.update(
                [
                    query.join,
                    f"grouped by {sides}",
                    f"role a is {roles(spec, query).a_side}",
                    *(output.what.statistic for output in query.outputs if isinstance(output.what, Aggregate)),
                    *["where left"] * (query.where_left is not None),
                    *["where right"] * (query.where_right is not None),
                    *["inner by WHERE"] * bool(query.notes),
                    *["rounded"] * any(c.moment.a.unit * c.moment.b.unit > 1 for c in noise.columns),
                    *["persons"] * any(c.moment.a.people for c in noise.columns),
                    *["some rows"] * any(len(row) and set(row) - {0, None} for row in sql.run_sql(spec, rows)),
                ]
            )
    wanted = {"inner", "left", "role a is 0", "role a is 1", "where left", "where right", "inner by WHERE"}
    wanted |= {"rounded", "persons", *(f"grouped by {n}" for n in range(3)), *Statistic}
    wanted -= LINEAR | ORDER | LOGISTIC  # test_regression.py, test_order_statistics.py, test_logistic.py
    assert not wanted - seen.keys()
    assert seen["some rows"] > 25 * QUERIES // 2


def test_the_oracle_tells_a_wrong_table_from_a_right_one(tmp_path: Path) -> None:
    direct, rows = small(tmp_path)
    opened = direct.opened()
    cells = sql.expected(direct.spec, direct.query, rows)
    assert not sql.differences(direct.spec, direct.query, cells, direct.table(opened))
    for place in np.ndindex(*opened.shape):
        wrong = opened.copy()
        wrong[place] += 1
        assert sql.differences(direct.spec, direct.query, cells, direct.table(wrong)), place


SMALL = """
SELECT a.ward, b.tenure, COUNT(*) AS n, COUNT(b.rent) AS k, SUM(a.nights) AS s
FROM stays a LEFT JOIN homes b ON a.id = b.id GROUP BY a.ward, b.tenure
"""


def small_world(
    stays: sql.Rows, homes: sql.Rows, *, k: tuple[int, int] = (2, 1), required: bool = False
) -> drawn.World:
    """Two tables that a test fills by hand: wards and nights, tenures and rents."""
    ward = {"role": "dimension", "type": "category", "levels": ("n", "s")}
    nights = {"role": "measure", "type": "integer", "min": -2, "max": 5, "required": required}
    tenure = {"role": "dimension", "type": "category", "levels": ("own", "rent")}
    rent = {"role": "measure", "type": "integer", "min": 0, "max": 3, "required": required}
    key = {"role": "person id", "scheme": "text"}
    tables = (
        ("stays", "board", {"id": key, "ward": ward, "nights": nights}, stays, k[0]),
        ("homes", "council", {"id": key, "tenure": tenure, "rent": rent}, homes, k[1]),
    )
    datasets = [
        {
            "name": name, "party": party, "columns": columns, "truncate": True,
            "max_rows_per_person": most, "max_rows": max(1, len(rows)),
        }
        for name, party, columns, rows, most in tables
    ]  # fmt: skip
    return drawn.World((datasets[0], datasets[1]), {"stays": stays, "homes": homes}, ("id", "id"), (), "1")


def stay(who: str | None, ward: str | None, nights: int | None) -> sql.Row:
    return {"id": who, "ward": ward, "nights": nights}


def home(who: str | None, tenure: str | None, rent: int | None) -> sql.Row:
    return {"id": who, "tenure": tenure, "rent": rent}


STAYS = [stay("p", "n", 5), stay("p", "s", None), stay("q", None, -2), stay("r", "n", 0), stay(None, "n", 5)]
HOMES = [home("p", "own", 3), home("q", None, None), home("z", "rent", 1), home(None, "rent", 1)]


def small(folder: Path, text: str = SMALL) -> tuple[Direct, dict[str, sql.Rows]]:
    world = small_world(STAYS, HOMES)
    spec = drawn.spec_of(world, text)
    rows = {d.name: sql.counted(spec, d, world.rows[d.name]) for d in spec.datasets}
    return Direct.of(spec, freeze(spec, world.rows, folder)), rows


def test_a_known_left_join_by_hand(tmp_path: Path) -> None:
    direct, _ = small(tmp_path)
    table = direct.table(direct.opened()).set_index(["ward", "tenure"])
    assert len(table) == 9
    found = {cell: tuple(table.loc[cell, ["n", "k", "s"]].astype(int)) for cell in table.index if table.loc[cell, "n"]}
    assert found == {
        ("n", "own"): (1, 1, 5),
        ("s", "own"): (1, 1, 0),
        ("(missing)", "(missing)"): (1, 0, -2),
        ("n", "(missing)"): (1, 0, 0),
    }


@pytest.mark.parametrize(
    ("stays", "homes"), [([], []), (STAYS, []), ([], HOMES), ([STAYS[0]], [HOMES[0]]), ([STAYS[4]], [HOMES[3]])]
)
@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN"])
def test_empty_tables_and_single_rows(stays: sql.Rows, homes: sql.Rows, join: str, tmp_path: Path) -> None:
    world = small_world(stays, homes)
    spec = drawn.spec_of(world, SMALL.replace("LEFT JOIN", join))
    rows = {d.name: sql.counted(spec, d, world.rows[d.name]) for d in spec.datasets}
    direct = Direct.of(spec, freeze(spec, world.rows, tmp_path))
    found = direct.table(direct.opened())
    assert not sql.differences(spec, direct.query, sql.expected(spec, direct.query, rows), found)


# -- people with more rows than count ---------------------------------------------------------------------------------


@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN"])
@pytest.mark.parametrize("k", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_truncation_gives_a_table_that_some_choice_of_rows_gives(k: tuple[int, int], join: str, tmp_path: Path) -> None:
    stays = [stay("p", "n", 1), stay("p", "s", 2), stay("p", "n", 4), stay("q", "n", 5), stay("x", None, -1)]
    homes = [home("p", "own", 1), home("p", "rent", 2), home("p", None, 3), home("q", "own", 0)]
    world = small_world(stays, homes, k=k)
    text = SMALL.replace("LEFT JOIN", join).replace("COUNT(b.rent) AS k", "SUM(b.rent) AS k")
    spec = drawn.spec_of(world, text)
    direct = Direct.of(spec, freeze(spec, world.rows, tmp_path))
    possible = set()
    for left in sql.truncations(spec.dataset("stays"), stays, direct.query.where_left):
        for right in sql.truncations(spec.dataset("homes"), homes, direct.query.where_right):
            opened = sql.moments(spec, direct.plan, {"stays": left, "homes": right})
            possible.add(opened.tobytes())
    found = [direct.opened(seed=seed).tobytes() for seed in range(40)]
    assert set(found) <= possible
    assert len(set(found)) > 1


@pytest.mark.parametrize("k", [1, 2, 3])
def test_truncation_keeps_exactly_the_declared_number_of_rows_at_random(k: int, tmp_path: Path) -> None:
    stays = [stay(who, "ns"[place % 2], place) for who in "pqr" for place in range(5)] + [stay("s", "n", 0)]
    world = small_world(stays, [home(who, "own", 1) for who in "pqrs"], k=(k, 1))
    spec = drawn.spec_of(world, "SELECT COUNT(*) AS n, SUM(a.nights) AS s FROM stays a JOIN homes b ON a.id = b.id")
    direct = Direct.of(spec, freeze(spec, world.rows, tmp_path))
    sums: Counter[int] = Counter()
    for seed in range(150):
        n, s = (int(row[0]) for row in direct.opened(seed=seed))
        assert n == 3 * k + 1
        sums[s] += 1
    mean = sum(value * times for value, times in sums.items()) / 150
    assert len(sums) > 4 * k
    assert abs(mean - 3 * k * 2) < 6 * (3 * k * 2 / 150) ** 0.5  # each row kept with equal chance: mean 2, variance 2


def test_where_is_before_truncation(tmp_path: Path) -> None:
    stays = [stay("p", "n", place) for place in range(5)] + [stay("p", "s", 5)]
    world = small_world(stays, [home("p", "own", 1)], k=(1, 1))
    text = "SELECT SUM(a.nights) AS s FROM stays a JOIN homes b ON a.id = b.id WHERE a.ward = 's'"
    spec = drawn.spec_of(world, text)
    direct = Direct.of(spec, freeze(spec, world.rows, tmp_path))
    assert {int(direct.opened(seed=seed)[0, 0]) for seed in range(30)} == {5}


# -- sensitivity ------------------------------------------------------------------------------------------------------

QUESTIONS = """COUNT(*) AS n, COUNT(DISTINCT a.id) AS i, COUNT(DISTINCT b.id) AS j,
CORR(a.nights, b.rent) AS r, SUM(a.nights) AS s"""


@pytest.mark.parametrize(
    ("group", "join", "k"),
    thinned(
        itertools.product(
            ["", "a.ward", "b.tenure", "a.ward, b.tenure"], ["JOIN", "LEFT JOIN"], [(1, 1), (2, 1), (1, 2), (3, 2)]
        ),
        one_in=3,
    ),
)
def test_one_person_moves_no_noised_column_by_more_than_its_sensitivity(
    group: str, join: str, k: tuple[int, int], tmp_path: Path
) -> None:
    reached: dict[str, float] = {}
    for seed in range(2):
        world = extreme_world(seed, k)
        text = f"SELECT {group + ', ' if group else ''}{QUESTIONS} FROM stays a {join} homes b ON a.id = b.id"
        spec = drawn.spec_of(world, text + (f" GROUP BY {group}" if group else ""))
        direct = Direct.of(spec, freeze(spec, world.rows, tmp_path / str(seed)))
        for name, share in most_moved(direct).items():
            reached[name] = max(share, reached.get(name, 0.0))
    assert max(reached.values()) <= 1
    assert sum(share == 1 for share in reached.values()) >= len(reached) * 2 // 3, reached


def extreme_world(seed: int, k: tuple[int, int]) -> drawn.World:
    """Few people, all with as many rows as count and with values at the ends of their ranges."""
    draw = random.Random(f"extreme {seed}")
    homes = [home(p, draw.choice(["own", "rent", None]), draw.choice([3, 3, 3, 0])) for p in "pqr" for _ in range(k[1])]
    stays = [stay(p, draw.choice(["n", "s", None]), draw.choice([5, 5, 5, -2])) for p in "pqs" for _ in range(k[0])]
    if seed == 0:  # someone who is in every level at once
        for place, row in enumerate(homes[: k[1]]):
            row |= {"tenure": ["own", "rent"][place], "rent": 3}
        for place, row in enumerate(stays[: k[0]]):
            row |= {"ward": ["n", "s", None][place], "nights": 5}
    return small_world(stays, homes, k=k)


def most_moved(direct: Direct) -> dict[str, float]:
    """For each noised column the greatest L1 change that one person in or out makes, as a share of its sensitivity."""
    noise = next(step for step in direct.plan.steps if isinstance(step, AddNoise))
    b_cells = len(direct.opened()) // len(noise.columns)
    base = direct.opened()
    join = join_of(direct.plan)
    of_a, of_b = direct.tables[join.a], direct.tables[join.b]
    people = {bytes(row).rstrip(b"\0") for table in (of_a, of_b) for row in table.ids}
    out = dict.fromkeys((c.moment.name for c in noise.columns), 0.0)
    for who in sorted(people):
        number = {
            role: next((int(p) for p, row in zip(t.person, t.ids, strict=True) if bytes(row).rstrip(b"\0") == who), -1)
            for role, t in (("a", of_a), ("b", of_b))
        }
        for gone in ("a", "b", "ab"):
            other = direct.opened(keep={role: without(number[role]) for role in gone})
            moved = np.abs(other - base).sum(axis=1).reshape(len(noise.columns), b_cells).sum(axis=1)
            for column, change in zip(noise.columns, moved, strict=True):
                out[column.moment.name] = max(out[column.moment.name], float(change) / column.sensitivity)
    return out


# -- with noise -------------------------------------------------------------------------------------------------------


def wide_domain(folder: Path, cells: int) -> tuple[Direct, np.ndarray]:
    """Many cells with some people in each: one run gives as many draws of the noise; and what they hide."""
    levels = tuple(f"w{n}" for n in range(cells - 1))
    draw = random.Random("wide")
    stays = [stay(f"p{n}", draw.choice(levels), draw.randrange(-2, 6)) for n in range(3 * cells)]
    homes = [home(f"p{n}", None, draw.randrange(4)) for n in range(0, 6 * cells, 2)]
    world = small_world(stays, homes, k=(1, 1), required=True)
    world.datasets[0]["columns"]["ward"]["levels"] = levels
    text = "SELECT a.ward, COUNT(*) AS n, SUM(a.nights) AS s, AVG(b.rent) AS m"
    spec = drawn.spec_of(world, text + " FROM stays a JOIN homes b ON a.id = b.id GROUP BY a.ward")
    direct = Direct.of(spec, freeze(spec, world.rows, folder))
    rows = {d.name: sql.counted(spec, d, world.rows[d.name]) for d in spec.datasets}
    return direct, sql.moments(spec, direct.plan, rows)


def test_released_sums_less_the_truth_follow_the_declared_law(tmp_path: Path) -> None:
    direct, truth = wide_domain(tmp_path, 1500)
    noise = next(step for step in direct.plan.steps if isinstance(step, AddNoise))
    drawn_noise = np.concatenate([direct.opened(seed=seed, noise=True) - truth for seed in (1, 2)], axis=1)
    for column, found in zip(noise.columns, drawn_noise, strict=True):
        p = math.exp(-float(column.epsilon / column.sensitivity))
        variance = 3 * p / (1 - p) ** 2
        kurtosis = 3 + float(stats.nbinom.stats(1.5, 1 - p, moments="k")) / 2
        assert abs(found.mean()) < 5 * math.sqrt(variance / found.size), column.moment.name
        assert abs(found.var() / variance - 1) < 5 * math.sqrt(kurtosis / found.size), column.moment.name
        assert chi_square(found, p) > 1e-6, column.moment.name


def chi_square(found: np.ndarray, p: float) -> float:
    """How likely such a sample is under NB(3/2, p) - NB(3/2, p), in some twenty classes of equal probability."""
    size = int(60 / (1 - p)) + 20
    mass = stats.nbinom.pmf(np.arange(size), 1.5, 1 - p)
    law = np.convolve(mass, mass[::-1])
    below = np.cumsum(law)
    cuts = sorted({int(np.searchsorted(below, level)) for level in np.linspace(0.05, 0.95, 19)})
    classes = np.searchsorted(np.array(cuts) - (size - 1), found, side="left")
    edges = np.concatenate([[0.0], below[cuts], [1.0]])
    expected = np.diff(edges) * found.size
    counts = np.bincount(classes, minlength=len(cuts) + 1)
    return float(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue)


def test_two_parties_noise_is_discrete_laplace(tmp_path: Path) -> None:
    """Whoever of the three leaves its part out, or knows it, faces the full declared noise of the two others."""
    direct, _ = wide_domain(tmp_path, 800)
    step = next(step for step in direct.plan.steps if isinstance(step, AddNoise))
    shape = prepare.shape_of(direct.plan)
    parts = [
        np.concatenate([prepare.noise_of(step, shape, stream(seed, f"noise {party}")) for seed in range(3)], axis=1)
        for party in range(3)
    ]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = (parts[first] + parts[second]).view(np.int64)
        for column, found in zip(step.columns, both, strict=True):
            p = math.exp(-float(column.epsilon / column.sensitivity))
            found_below = np.array([(found <= k).mean() for k in range(-3, 4)])
            expected = np.array([stats.dlaplace.cdf(k, -math.log(p)) for k in range(-3, 4)])
            assert np.abs(found_below - expected).max() < 5 * 0.5 / math.sqrt(found.size)


def test_released_ranges_hold_the_truth_in_95_of_100_cells(tmp_path: Path) -> None:
    direct, truth = wide_domain(tmp_path, 1500)
    exact = direct.table(truth)
    inside = []
    for seed in (3, 4):
        frame = direct.table(direct.opened(seed=seed, noise=True))
        for name in ("n", "s"):
            inside.append(((frame[f"{name}_low"] <= exact[name]) & (exact[name] <= frame[f"{name}_high"])).mean())
    assert 0.93 < np.mean(inside) < 0.985
