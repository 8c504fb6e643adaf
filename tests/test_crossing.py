"""Conditions across tables: what three parties compute on shared rows is what the author's SQL gives."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pets.errors import SpecError
from pets.party import prepare
from pets.plan.review import review
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.oracles.projected import as_planned
from tests.test_queries import agrees

QUERIES = 4
OPS = ("=", "<>", "<", "<=", ">", ">=")


def condition(draw: random.Random, aliases: tuple[str, str], world: drawn.World, first: int, depth: int) -> str:
    """A condition on both tables: comparisons, and conditions on one, under AND, OR, NOT and BETWEEN."""
    tables = (world.datasets[first], world.datasets[1 - first])
    if depth and draw.random() < 0.6:
        parts = [
            condition(draw, aliases, world, first, depth - 1)
            if draw.random() < 0.7
            else drawn._condition(draw, aliases[side := draw.choice([0, 1])], tables[side], 1)
            for _ in range(2)
        ]
        return draw.choice([f"({parts[0]} OR {parts[1]})", f"({parts[0]} AND {parts[1]})", f"NOT ({parts[0]})"])
    of_type = {
        kind: [
            [f"{alias}.{n}" for n, c in table["columns"].items() if kind(c)]
            for alias, table in zip(aliases, tables, strict=True)
        ]
        for kind in (_is_measure, _is_date)
    }
    left, right = draw.choice([pair for pair in of_type.values() if all(pair)])
    one, two = draw.choice(left), draw.choice(right)
    if draw.random() < 0.15:
        return f"{one} {draw.choice(['', 'NOT '])}BETWEEN {draw.choice(right)} AND {two}"
    return draw.choice([f"{one} {draw.choice(OPS)} {two}", f"{two} {draw.choice(OPS)} {one}"])


def _is_measure(column: dict[str, Any]) -> bool:
    return column["role"] == "measure"


def _is_date(column: dict[str, Any]) -> bool:
    return column["type" if "type" in column else "role"] == "date"


def asked(seed: int, world: drawn.World) -> str:
    """A query of the language with a condition across its tables."""
    draw = random.Random(f"crossing {seed}")
    while True:
        text = drawn.ask(draw.randrange(10**9), world)
        lines = text.split("\n")
        if " LEFT " not in f" {lines[2]}" and "DISTINCT" not in text:
            break
    shown = [lines[1].removeprefix("FROM "), lines[2].split("JOIN ")[1].split(" ON ")[0].split(" USING ")[0]]
    aliases = (shown[0].split()[-1], shown[1].split()[-1])
    first = 0 if shown[0].split()[0] == world.datasets[0]["name"] else 1
    extra = condition(draw, aliases, world, first, 2)
    where = next((at for at, line in enumerate(lines) if line.startswith("WHERE ")), None)
    if where is not None:
        lines[where] += f" AND {extra}"
    else:
        lines.insert(3, f"WHERE {extra}")
    return "\n".join(lines)


def run_world(seed: int, folder: Path) -> list[Direct]:
    """Hold every query of one world against DuckDB; those whose condition needs both tables. Every other in mode B."""
    world = drawn.world(seed)
    random.Random(seed).choice(world.datasets)["max_rows_per_person"] = 1
    for dataset in world.datasets:
        if dataset["max_rows_per_person"] == 1:
            seen: set[Any] = set()
            key = drawn._key(dataset)
            rows = world.rows[dataset["name"]]
            rows[:] = [r for r in rows if r[key] is None or (r[key] not in seen and not seen.add(r[key]))]  # type: ignore[func-returns-value]
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, folder)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    ran: list[Direct] = []
    for number in range(12 * QUERIES):
        text = asked(1000 * seed + number, world)
        spec = drawn.spec_of(world, text)
        if (seed + number) % 2:
            spec = in_mode_b(spec)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.outer-across", "sql.cross-table"), text
            continue
        if direct.query.rows is None:
            continue
        ran.append(direct)
        agrees(direct, rows, number)
        if len(ran) == QUERIES:
            break
    return ran


@pytest.mark.parametrize("seed", range(12))
def test_a_condition_across_tables_gives_what_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    assert run_world(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 250))
def test_many_conditions_across_tables(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)


def test_what_is_sent_is_what_gate_and_forecast_say(tmp_path: Path) -> None:
    """Operation by operation and byte by byte, from the plan alone."""
    for direct in run_world(3, tmp_path):
        transcript = direct.played(seed=1)
        plan = direct.plan
        as_planned(plan, transcript)


def test_traffic_does_not_depend_on_who_meets_the_condition(tmp_path: Path) -> None:
    direct = run_world(5, tmp_path)[0]
    nobody = {name: column[:0] for name, column in direct.tables["rows_a"].values.items()}
    assert nobody is not None
    full = direct.played(seed=1).shape_of_traffic()
    empty = direct.played(seed=1, keep={"a": _none, "b": _none}).shape_of_traffic()
    assert full == empty


def _none(table: Any) -> Any:
    from tests.oracles.direct import only

    return only(table, np.zeros(table.rows, bool))


def test_both_checkers_agree_on_conditions_across_tables() -> None:
    """And an accepted one says who holds what: rows are computed on, not seen."""
    seen = 0
    for seed in range(40):
        world = drawn.world(seed)
        random.Random(seed).choice(world.datasets)["max_rows_per_person"] = 1
        spec = drawn.spec_of(world, asked(seed, world))
        if seed % 2:
            spec = in_mode_b(spec)
        found = review(spec)  # raises plan.checkers-differ where they do not
        if found.plan is not None and found.query is not None and found.query.rows is not None:
            seen += 1
            join = found.plan.join
            assert prepare.rows_shape(join) is not None
    assert seen > 8
