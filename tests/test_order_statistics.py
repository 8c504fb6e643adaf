"""Medians, quantiles, least and greatest values: what DuckDB gives, rounded, where enough persons have one."""

import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets.local import local_network
from pets.plan.review import review
from pets.spec.control import effective
from pets.spec.ir import Derive
from pets.spec.model import Spec
from pets.spec.query import ORDER, Aggregate, Statistic
from pets.spec.sql import bind
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze, only
from tests.oracles.projected import as_planned
from tests.test_controlled import spec_of

QUERIES = 3
STEPS = {"x": (1, 2, 3, 5), "y": ("0.1", "0.5", "0.3"), "r": (1, 5)}
SHARES = ("0.25", "0.5", "0.75", "0.4", ".333", "0.6")


def people(seed: int) -> drawn.World:
    """Two tables with one row a person; few groups, gaps, ties and values below zero."""
    draw = random.Random(f"order world {seed}")
    tables, rows = [], {}
    for name, party, side in (("stays", "board", "a"), ("homes", "council", "b")):
        columns: dict[str, Any] = {
            "id": {"role": "person id", "scheme": "text"},
            "d" + side: {"role": "dimension", "type": "category", "levels": ("n", "s")},
            "x" + side: {"role": "measure", "type": "integer", "min": -7, "max": draw.choice([-2, 9, 40])},
            "y" + side: {"role": "measure", "type": "decimal", "places": 1, "min": "-1", "max": "2.5"},
            "r" + side: {"role": "measure", "type": "integer", "min": 2, "max": 50, "required": True},
        }
        rows[name] = [
            {
                "id": f"p{person}",
                "d" + side: draw.choice(["n", "s", "s", None]),
                "x" + side: draw.choice([None, *range(-7, columns["x" + side]["max"] + 1)]),
                "y" + side: draw.choice([None, None, *(Decimal(n) / 10 for n in range(-10, 26))]),
                "r" + side: draw.choice([2, 5, 5, 7, 50]),
            }
            for person in range(80)
            if draw.random() < 0.85
        ]
        table = {"name": name, "party": party, "max_rows_per_person": 1, "max_rows": 90, "truncate": False}
        tables.append({**table, "columns": columns})
    return drawn.World((tables[0], tables[1]), rows, ("id", "id"), (), "1")


def asked(draw: random.Random) -> tuple[str, dict[str, Any]]:
    """One to four order statistics of up to two columns, now and then beside others, and what is asked of them."""
    by = draw.choice([(), ("a.da",), ("b.db",), ("a.da", "b.db")])
    columns = draw.sample(["a.xa", "a.ya", "a.ra", "b.xb", "b.yb", "b.rb"], draw.choice([1, 1, 2]))
    some = [f"{kind}({c})" for c in columns for kind in ("MIN", "MAX", "MEDIAN")]
    some += [f"QUANTILE_DISC({c}, {share})" for c in columns for share in draw.sample(SHARES, 2)]
    statistics = draw.sample(some, draw.choice([1, 2, 3]))
    if draw.random() < 0.5:
        statistics += draw.sample(["COUNT(*)", f"SUM({columns[0]})", f"AVG({columns[0]})"], draw.choice([1, 2]))
    names = [f"{text} AS s{number}" for number, text in enumerate(statistics)]
    text = f"SELECT {', '.join([*by, *names])} FROM stays a JOIN homes b ON a.id = b.id"
    if draw.random() < 0.3:
        text += draw.choice([" WHERE a.xa > b.yb", " WHERE a.da = 'n'", " WHERE a.ra < b.rb OR b.xb IS NULL"])
    steps = {
        f"{'stays' if c[0] == 'a' else 'homes'}.{c[2:]}": draw.choice(STEPS[c[2]])  # type: ignore[arg-type]
        for c in columns
    }
    control: dict[str, Any] = {"min_count": draw.choice([5, 6]), "round_values_to": steps}
    if draw.random() < 0.3:
        control["zeros"] = "shown"
    return text + (f" GROUP BY {', '.join(by)}" if by else ""), control


def run_world(seed: int, folder: Path) -> Iterator[tuple[Direct, dict[str, sql.Rows]]]:
    found = people(seed)
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, found.rows, folder)
    tables = {d.name: sql.counted(whole, d, found.rows[d.name]) for d in whole.datasets}
    draw = random.Random(f"order {seed}")
    number = 0
    while number < QUERIES:
        text, control = asked(draw)
        spec = spec_of(found, text, control)
        if seed % 2:
            spec = in_mode_b(spec)
        reviewed = review(spec)
        if reviewed.verdict.errors:  # what else the rules have against a query: single values of sums, overlaps
            assert not [f for f in reviewed.verdict.errors if f.rule == "control.order"], text
            continue
        number += 1
        yield Direct.of(spec, frozen), tables


def rounded(value: Any, spec: Spec, what: Aggregate) -> Fraction:
    """To the nearest multiple of the declared step, half up."""
    control = effective(spec)
    assert control is not None
    step = dict(control.steps)[str(what.columns[0])]
    return (Fraction(str(value)) / step + Fraction(1, 2)) // 1 * step


def compared(direct: Direct, tables: dict[str, sql.Rows], seed: int) -> Counter[str]:
    spec, query, control = direct.spec, direct.query, effective(direct.spec)
    assert control is not None
    frame = direct.table(direct.opened(seed=seed))
    derive = next(step for step in direct.plan.steps if isinstance(step, Derive))
    by = [o.name for o in query.outputs if not isinstance(o.what, Aggregate)]
    values = sql.expected(spec, query, tables)
    head, _, tail = spec.computation.sql.partition(" FROM ")
    aliases = {"stays": "a", "homes": "b"}
    order = [o for o in query.outputs if isinstance(o.what, Aggregate)]
    numbers = [
        f"COUNT({aliases[o.what.columns[0].dataset]}.{o.what.columns[0].column})"  # type: ignore[union-attr]
        if o.what.columns  # type: ignore[union-attr]
        else "COUNT(*)"
        for o in order
    ]
    names = [f"{text} AS s{number}" for number, text in enumerate(numbers)]
    select = ", ".join([*(f"{aliases[r.dataset]}.{r.column}" for r in query.group_by), *names])
    counting = spec.model_copy(
        update={"computation": spec.computation.model_copy(update={"sql": f"SELECT {select} FROM {tail}"})}
    )
    counted = sql.expected(counting, bind(counting), tables)
    got = {tuple(map(str, row[by])) if by else (): row for _, row in frame.iterrows()}
    assert set(got) == set(values) and head and derive.outputs
    seen: Counter[str] = Counter()
    alone = len({o.what.columns for o in order}) == 1  # type: ignore[union-attr]
    for cell, expected in values.items():
        for place, output in enumerate(order):
            what, n = output.what, counted[cell][place]
            assert isinstance(what, Aggregate)
            if what.statistic not in ORDER:
                continue
            ours = got[cell][output.name]
            if pd.isna(ours):
                assert n < control.min_count or not alone, f"{spec.computation.sql} {cell} {n}"
                seen["empty" if n == 0 else "withheld"] += 1
                continue
            assert n >= control.min_count
            value = rounded(expected[place], spec, what)
            assert Fraction(str(ours)) == value, f"{spec.computation.sql}\n{cell}: {ours}, {expected[place]}"
            assert got[cell][f"{output.name}_low"] <= expected[place] <= got[cell][f"{output.name}_high"]
            seen[what.statistic.value] += 1
            seen["below zero"] += value < 0
            seen["between two"] += what.statistic is Statistic.MEDIAN and expected[place] != value
    seen["condition"] += query.rows is not None
    return seen


def test_what_is_opened_is_what_duckdb_gives_rounded(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(12):
        (tmp_path / str(seed)).mkdir()
        for number, (direct, tables) in enumerate(run_world(seed, tmp_path / str(seed))):
            seen += compared(direct, tables, number)
    for kind in (
        "min",
        "max",
        "median",
        "quantile_disc",
        "withheld",
        "empty",
        "below zero",
        "between two",
        "condition",
    ):
        assert seen[kind], f"{kind}: {seen}"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_order_statistics(seed: int, tmp_path: Path) -> None:
    for number, (direct, tables) in enumerate(run_world(seed, tmp_path)):
        compared(direct, tables, number)


def test_what_is_sent_is_what_gate_and_forecast_say(tmp_path: Path) -> None:
    """Operation by operation and byte by byte, from the plan alone, whoever is in the tables."""
    for direct, _ in run_world(11, tmp_path):
        transcript = direct.played(seed=1)
        plan = direct.plan
        as_planned(plan, transcript)
        nobody = direct.played(seed=1, keep={"a": _none, "b": _none})
        assert nobody.shape_of_traffic() == transcript.shape_of_traffic()


def _none(table: Any) -> Any:
    return only(table, np.zeros(table.rows, bool))


def test_a_whole_run_gives_the_table(tmp_path: Path) -> None:
    """Servers in memory, policies that grant the uses by name, sealed rows: what the roles alone give."""
    found = people(2)
    text = "SELECT b.db, MEDIAN(a.xa) AS m, QUANTILE_DISC(b.yb, 0.25) AS low FROM stays a JOIN homes b ON a.id = b.id"
    steps = {"stays.xa": 2, "homes.yb": "0.5"}
    spec = spec_of(found, f"{text} GROUP BY b.db", {"min_count": 5, "round_values_to": steps})
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    direct = Direct.of(spec, freeze(whole, found.rows, tmp_path))
    raw = {d.name: sql.arrow(d, found.rows[d.name]) for d in spec.datasets}
    net = local_network({"board": {"stays": raw["stays"]}, "council": {"homes": raw["homes"]}, "helper": {}})
    table = net.run(spec).to_pandas()
    expected = direct.table(direct.opened(seed=1))
    assert table[["m", "low"]].notna().any().all()
    pd.testing.assert_frame_equal(table[list(expected)], expected, check_dtype=False, check_categorical=False)
