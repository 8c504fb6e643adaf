"""Queries that nobody wrote, from tables to released table without noise, against DuckDB and a loop over rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pets.errors import LeakError, SpecError
from pets.spec.ir import AddNoise
from pets.spec.moments import roles
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze

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


def rounds(direct: Direct) -> bool:
    """True if the plan rounds values before it sums them: the author's SQL then means other rows."""
    noise = next(step for step in direct.plan.steps if isinstance(step, AddNoise))
    return any(c.moment.a.unit * c.moment.b.unit > 1 for c in noise.columns)


@pytest.mark.parametrize("seed", range(25))
def test_a_query_never_seen_before_gives_what_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 434))
def test_two_thousand_queries_give_what_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)
