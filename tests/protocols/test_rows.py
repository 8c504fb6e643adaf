"""Rows computed on by three: what comes out is the value, and the last messages are what the card's terms say."""

from typing import Any

import numpy as np
import pytest

from pets.errors import InternalError
from pets.kernels import permute, prf
from pets.party import prepare
from pets.protocols import helper_join, rows
from pets.protocols.control import context
from pets.protocols.rep3.sharing import Words
from pets.spec.cards import load_cards
from pets.spec.joins import JOINS, MODE_B
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles.direct import Direct, freeze
from tests.oracles.helper_join import families

SQL = """SELECT a.d, COUNT(*) AS n, SUM(b.y) AS y, SUM(a.x) AS x
FROM stays a JOIN homes b ON a.id = b.id
WHERE (a.x < b.y OR a.x = 7) AND NOT (b.y >= 90 AND a.x > 2)
GROUP BY a.d"""
DIMENSION = {"role": "dimension", "type": "category", "levels": ("p", "q")}
MEASURE = {"role": "measure", "type": "integer", "min": -100, "max": 100}
KEY = {"role": "person id", "scheme": "text"}


def world() -> drawn.World:
    """Two rows a person at one side, gaps in both, a person at one side only."""
    stays = [
        {"id": f"p{i % 11}", "d": "pq"[i % 2] if i % 5 else None, "x": None if i % 7 == 3 else (i * 37) % 100 - 50}
        for i in range(22)
    ]
    homes = [{"id": f"p{i}", "y": None if i == 4 else (i * 53) % 190 - 90} for i in range(2, 14)]
    both = (
        {"name": "stays", "party": "board", "columns": {"id": KEY, "d": DIMENSION, "x": MEASURE}},
        {"name": "homes", "party": "council", "columns": {"id": KEY, "y": MEASURE}},
    )
    sizes = ({"max_rows_per_person": 2, "max_rows": 25}, {"max_rows_per_person": 1, "max_rows": 14})
    datasets = tuple({**table, **size, "truncate": False} for table, size in zip(both, sizes, strict=True))
    return drawn.World(datasets, {"stays": stays, "homes": homes}, ("id", "id"), (), "10")  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=JOINS)
def direct(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Direct:
    made = world()
    spec = drawn.spec_of(made, SQL)
    if request.param == MODE_B:
        spec = in_mode_b(spec)
    return Direct.of(spec, freeze(spec, made.rows, tmp_path_factory.mktemp("rows")))


@pytest.fixture
def run(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[int, list[Words]]]:
    """All messages of a run, and what each party has of the computed rows, by its number."""
    kept: dict[int, list[Words]] = {}
    real = rows.filtered

    def noting(ctx: Any, *args: Any) -> Any:
        kept[ctx.me] = yield from real(ctx, *args)
        return kept[ctx.me]

    monkeypatch.setattr(helper_join.rows, "filtered", noting)
    return direct.played(seed=5), kept


def is_true(x: int, y: int | None) -> bool:
    """The condition, by hand: with y unknown, NOT (y >= 90 AND x > 2) is true only where x > 2 is false."""
    if y is None:
        return x == 7 and x <= 2
    return (x < y or x == 7) and not (y >= 90 and x > 2)


def listed(direct: Direct) -> int:
    return load_cards()[direct.plan.join.card].names(dict(direct.plan.join.public))["n_list_a"]


def test_what_is_computed_is_the_product_where_the_condition_is_true(
    direct: Direct, run: tuple[Any, dict[int, list[Words]]]
) -> None:
    """Row by row in role a's list: as many rows of each value as SQL gives, and zeros elsewhere."""
    _, kept = run
    made = world()
    homes = {row["id"]: row["y"] for row in made.rows["homes"]}
    rows_of = [(row["x"], homes[row["id"]]) for row in made.rows["stays"] if row["id"] in homes]
    met = [(x, y) for x, y in rows_of if x is not None and is_true(x, y)]
    names = [moment.name for moment in direct.plan.protection.moments]
    n = listed(direct)
    for column, name in enumerate(names):
        own, third = kept[0][column], kept[1][column]
        value = (own.own + own.next + third.next)[:n].view(np.int64)
        expected = {
            "count(*)": [1 for _ in met],
            "sum(homes.y)": [y for _, y in met if y is not None],
            "sum(stays.x)": [x for x, _ in met],
        }[name]
        assert sorted(value[value != 0].tolist()) == sorted(v for v in expected if v != 0)


def test_the_messages_that_end_it_are_their_terms(direct: Direct, run: tuple[Any, dict[int, list[Words]]]) -> None:
    """Mr with what a has is computed - mask(s_bc, rows); M6c is made of that mask, in b's orders, under r2."""
    transcript, kept = run
    keys, n = families(5), listed(direct)
    q = permute.permutation(keys["ab@a"].key("q", purpose="permutation"), n)
    rho2 = permute.permutation(keys["ab@a"].key("rho2", purpose="permutation"), n)
    for column in range(len(direct.plan.join.summed)):
        mask = prf.words(keys["bc@c"].key("rows", column), n)
        own, third = kept[0][column], kept[1][column]
        computed = (own.own + own.next + third.next)[:n]
        whole = own.own[:n] + own.next[:n] + transcript.array("Mr", column)
        assert np.array_equal(whole, computed - mask)
        running = np.cumsum(mask[q], dtype=np.uint64)
        placed = np.empty_like(running)
        placed[rho2] = running
        assert np.array_equal(transcript.array("M6c", column), placed - prf.words(keys["ab@b"].key("r2", column), n))


def test_a_part_of_a_row_is_no_value_to_who_sends_it(run: tuple[Any, dict[int, list[Words]]]) -> None:
    """The helper's part of every column is as good as random: no entry of it is small, as the values are."""
    _, kept = run
    for column in kept[1]:
        assert not np.any(column.next < np.uint64(2**40)), "a part shows a value"
        assert not np.any(column.own < np.uint64(2**40)), "a part shows a value"


def test_nobody_may_bring_what_is_not_theirs(direct: Direct) -> None:
    shape = prepare.rows_shape(direct.plan.join)
    assert shape is not None
    keys = families(1)
    ctx = context(2, keys["bc@b"], keys["ab@b"], ("a", "helper", "b"))
    with pytest.raises(InternalError):
        next(rows.filtered(ctx, shape, [np.zeros(1, np.uint64)], None))
