"""Exact releases of queries that nobody wrote, from tables to what is opened, against the reference in the clear."""

import random
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets import controlled
from pets.check import flow
from pets.errors import SpecError
from pets.spec.cards import load_cards
from pets.spec.control import Control, effective
from pets.spec.ir import Derive, Protect
from pets.spec.model import DisclosureControl, Spec
from pets.spec.query import Aggregate, Output
from pets.spec.query import Statistic as Asked
from pets.spec.sql import bind
from tests.oracles import joined, sql
from tests.oracles import random_queries as drawn
from tests.oracles.control import Statistic, Table, protect
from tests.oracles.direct import Direct, freeze

QUERIES = 5


def world(seed: int, people: int = 28) -> drawn.World:
    """Two tables with few groups, so that counts are around a minimum; every kind of measure, many of them NULL."""
    draw = random.Random(f"exact world {seed}")
    rows, tables = {}, []
    for name, party, side in (("stays", "board", "a"), ("homes", "council", "b")):
        most = draw.choice([1, 1, 1, 2])
        columns: dict[str, Any] = {
            "id": {"role": "person id", "scheme": "text"},
            "d" + side: {
                "role": "dimension",
                "type": "category",
                "levels": ("n", "s", "rare")[: draw.choice([1, 2, 3])],
            },
            "f" + side: {"role": "measure", "type": "integer", "min": 0, "max": 1},
            "x" + side: {"role": "measure", "type": "integer", "min": -3, "max": draw.choice([-2, 9, 40])},
            "y" + side: {"role": "measure", "type": "decimal", "places": 1, "min": "0", "max": "2.5"},
            "r" + side: {
                "role": "measure",
                "type": "integer",
                "min": draw.choice([0, 0, 2]),
                "max": 50,
                "required": True,
            },
        }
        own = []
        for person in range(people):
            for _ in range(draw.choice([0, *[most] * 4, 1])):
                row: dict[str, Any] = {"id": f"p{person}"}
                row["d" + side] = draw.choice(["n", *columns["d" + side]["levels"][:2], None, None])
                if "rare" in columns["d" + side]["levels"] and person == 0:
                    row["d" + side] = "rare"
                for column in ("f", "x", "y", "r"):
                    declared = columns[column + side]
                    low, high = (Fraction(declared[end]) * 10 for end in ("min", "max"))
                    value = Decimal(draw.randint(int(low), int(high))) / 10
                    whole = value if column == "y" else int(value.quantize(Decimal(1)))
                    row[column + side] = None if column != "r" and draw.random() < 0.2 else whole
                own.append(row)
        rows[name] = own
        tables.append(
            {
                "name": name,
                "party": party,
                "max_rows_per_person": most,
                "max_rows": 80,
                "truncate": False,
                "columns": columns,
            }
        )
    return drawn.World((tables[0], tables[1]), rows, ("id", "id"), (), "1")


def ask(draw: random.Random) -> str:
    """One to four statistics by up to two columns, over an inner or a left join."""
    by = draw.choice([(), ("a.da",), ("b.db",), ("a.da", "b.db"), ("a.da",)])
    measures = ["a.fa", "a.xa", "a.ya", "a.ra", "b.fb", "b.xb", "b.yb", "b.rb"]
    some = draw.sample(measures, 3)
    statistics = []
    for _ in range(draw.choice([1, 2, 3, 4])):
        kind = draw.choice(["rows", "people", "SUM", "AVG", "COUNT", "AVG", "VAR_SAMP", "CORR", "REGR_SLOPE"])
        match kind:
            case "rows":
                statistics.append("COUNT(*)")
            case "people":
                statistics.append(f"COUNT(DISTINCT {draw.choice(['a', 'b'])}.id)")
            case "CORR" | "REGR_SLOPE":
                statistics.append(f"{kind}({', '.join(draw.sample(some, 2))})")
            case _:
                statistics.append(f"{kind}({draw.choice(some)})")
    x, y = some[:2]
    statistics = draw.choice(
        [
            *[statistics] * 2,
            ["COUNT(*)", f"AVG({x})", f"AVG({y})", f"CORR({x}, {y})"],
            [f"CORR({x}, {y})", f"COUNT({x})", f"REGR_SLOPE({y}, {some[2]})", "COUNT(*)"],
            ["COUNT(*)", "COUNT(DISTINCT a.id)"],
            ["AVG(a.fa)", "SUM(b.fb)", "COUNT(*)"],
        ]
    )
    names = [f"{text} AS s{number}" for number, text in enumerate(dict.fromkeys(statistics))]
    text = f"SELECT {', '.join([*by, *names])} FROM stays a {draw.choice(['JOIN', 'LEFT JOIN'])} homes b ON a.id = b.id"
    return text + (f" GROUP BY {', '.join(by)}" if by else "")


def asking(draw: random.Random) -> dict[str, Any]:
    """Any small minimum, rounding and zeros; now and then a holder that asks for its own persons."""
    control: dict[str, Any] = {"min_count": draw.choice([1, 2, 3, 4, 5]), "zeros": draw.choice(["shown", "hidden"])}
    if draw.random() < 0.4:
        control |= {"round_to": draw.choice([2, 3, 5]), "rounding": draw.choice(["nearest", "midpoint"])}
    if draw.random() < 0.3:
        control["holder"] = ({"party": draw.choice(["board", "council"]), "min_count": 2, "appetite": "local"},)
    return control


def known(draw: random.Random, text: str) -> dict[str, Any]:
    """Now and then, totals of the table that recipients know."""
    groups = [name for alias, name in (("a.da", "stays.da"), ("b.db", "homes.db")) if alias in text.split("FROM")[0]]
    if draw.random() < 0.5:
        return {}
    return {"known_totals": draw.choice([((),), *[((), (name,)) for name in groups], tuple((n,) for n in groups[:1])])}


def spec_of(found: drawn.World, text: str, control: dict[str, Any]) -> Spec:
    spec = drawn.spec_of(found, text)
    asked = DisclosureControl.model_validate(control)
    release = spec.release.model_copy(update={"disclosure_control": asked, "differential_privacy": None})
    return spec.model_copy(update={"release": release})


def reference(
    direct: Direct, tables: dict[str, sql.Rows], control: Control, meets: joined.Meets | None = None
) -> tuple[dict[str, Statistic], Table]:
    derive = next(step for step in direct.plan.steps if isinstance(step, Derive))
    dimensions = {str(d.column): d.levels for d in derive.dimensions}
    statistics = joined.statistics(direct.spec, direct.query)
    rows = joined.rows(direct.spec, direct.query, tables, [d.column for d in derive.dimensions], meets)
    most = 1
    for name in direct.query.tables:
        most *= direct.spec.dataset(name).max_rows_per_person
    return statistics, protect(rows, dimensions, list(dict.fromkeys(statistics.values())), control, most_rows=most)


def compared(direct: Direct, tables: dict[str, sql.Rows], seed: int, meets: joined.Meets | None = None) -> Counter[str]:
    """Hold what is opened, and the table, against the reference; how often what was seen."""
    safe, control = direct.plan.protection, effective(direct.spec)
    assert isinstance(safe, Protect) and control is not None
    opened = direct.opened(seed=seed)
    statistics, table = reference(direct, tables, control, meets)
    seen = held(direct, opened, statistics, table)
    frame = direct.table(opened)
    for output in direct.query.outputs:
        if isinstance(output.what, Aggregate) and output.what.statistic is Asked.AVG:
            seen["mean"] += _means(direct, frame, output, table)
    seen["parts"] += any("nothing more" in count.name for count in safe.counts)
    seen["second rows"] += any("times" in count.name for count in safe.counts)
    seen["flag"] += any("who are 0" in count.name for count in safe.counts)
    seen["local"] += bool(control.local)
    seen["rounded"] += control.round_to > 1
    seen["known totals"] += bool(safe.lines)
    seen[direct.query.join] += 1
    return seen


def held(direct: Direct, opened: np.ndarray, statistics: dict[str, Statistic], table: Table) -> Counter[str]:
    """Every number that is opened is that of the reference, and nothing else is; how many were shown."""
    safe = direct.plan.protection
    assert isinstance(safe, Protect)
    moments, cells = controlled.moments_of(safe, opened), list(table)
    assert {safe.moments[each.moment].name for each in safe.shown} == set(statistics)
    seen: Counter[str] = Counter()
    for each in safe.shown:
        name = safe.moments[each.moment].name
        expected = [table[cell][statistics[name]] for cell in cells]
        value, *_ = moments.values[each.moment]
        there = moments.there[each.moment].tolist()
        got = [int(v) if shown else None for v, shown in zip(value, there, strict=True)]
        asked = f"{direct.spec.computation.sql}\n{direct.spec.release.disclosure_control}"
        assert got == expected, f"{asked}\n{name}: {got}, expected {expected}"
        seen.update("withheld" if number is None else "empty" if number == 0 else "shown" for number in expected)
    return seen


def _means(direct: Direct, frame: pd.DataFrame, output: Output, table: Table) -> int:
    """A mean is made of what is shown of its sum and its count; missing where one of them is."""
    assert isinstance(output.what, Aggregate)
    (ref,) = output.what.columns
    needs = joined.needs_of(direct.spec, direct.query, (ref,))
    total = Statistic("flag" if joined.is_flag(direct.spec, str(ref)) else "sum", str(ref), needs)
    count, persons = (Statistic(kind, needs=needs) for kind in ("rows", "people"))  # one moment where rows are persons
    derive = next(step for step in direct.plan.steps if isinstance(step, Derive))
    by = {o.dimension: o.name for o in derive.outputs if o.dimension is not None}
    columns = [by[d.column] for d in derive.dimensions if d.column in by]
    if len(columns) != len(derive.dimensions):  # a grouping column that is not in the table
        return 0
    unit = 10 ** direct.spec.dataset(ref.dataset).columns[ref.column].places
    found = dict(zip(map(tuple, frame[columns].to_numpy(object).tolist()), frame[output.name], strict=True))
    for cell, numbers in table.items():
        added, n = numbers[total], numbers.get(count, numbers.get(persons))
        if added is None or not n:
            assert pd.isna(found[cell])
        else:
            assert isclose(found[cell], Fraction(added, n * unit), rel_tol=1e-12)
    return 1


def run_world(seed: int, folder: Path) -> Counter[str]:
    found = world(seed)
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, found.rows, folder)
    tables = {d.name: sql.counted(whole, d, found.rows[d.name]) for d in whole.datasets}
    seen: Counter[str] = Counter()
    draw = random.Random(f"control {seed}")
    number = 0
    while seen["run"] < QUERIES and number < 20 * QUERIES:
        number += 1
        text = ask(draw)
        spec = spec_of(found, text, asking(draw) | known(draw, text))
        try:
            query = bind(spec)
            beside = ("legal", "gb", "control.freedom")  # which asks for more persons than there are here
            refused = [f for f in flow.judge(spec, query, load_cards()).errors if not f.rule.startswith(beside)]
            if refused:
                seen[refused[0].rule] += 1
                continue
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            seen[error.code] += 1
            continue
        seen["run"] += 1
        seen += compared(direct, tables, number)
    return seen


def test_an_exact_release_is_what_the_reference_shows(tmp_path: Path) -> None:
    """Same cells withheld, same numbers, whatever is asked; and every rule has something to do."""
    seen: Counter[str] = Counter()
    for seed in range(12):
        seen += run_world(seed, tmp_path / str(seed))
    assert seen["run"] == 12 * QUERIES
    assert min(seen["shown"], seen["withheld"]) > 100
    asked = {"parts", "second rows", "flag", "local", "rounded", "left", "inner", "mean", "empty", "known totals"}
    assert not asked - seen.keys(), asked - seen.keys()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_five_hundred_exact_releases_are_what_the_reference_shows(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)
