"""Rules on single contributions to sums, from tables to what is opened: what the reference in the clear withholds."""

import random
import struct
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets import controlled
from pets.errors import LeakError, SpecError
from pets.local import local_network
from pets.plan.lower import lower
from pets.plan.review import review
from pets.spec.control import Control, effective
from pets.spec.ir import Protect
from pets.spec.sql import bind
from tests import test_several_tables as three
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.control import dominated
from tests.oracles.direct import Direct, freeze, only
from tests.oracles.projected import as_planned
from tests.test_controlled import reference, spec_of

QUERIES = 4
APART = (3, 7, *range(100, 200, 5))
"""Worlds with so many groups at both holders that they are told apart on shares."""


def skewed(seed: int) -> drawn.World:
    """Two tables of values nowhere below zero: now and then one is far greater than the others, or all are 0."""
    draw = random.Random(f"skewed world {seed}")
    tables, rows = [], {}
    for name, party, side in (("stays", "board", "a"), ("homes", "council", "b")):
        most = draw.choice([1, 1, 3]) if side == "a" or seed not in APART else 1
        levels = ("n", "s", "w", *(f"rare {n}" for n in range(30 if seed in APART else 0)))
        columns: dict[str, Any] = {
            "id": {"role": "person id", "scheme": "text"},
            "d" + side: {"role": "dimension", "type": "category", "levels": levels},
            "x" + side: {"role": "measure", "type": "integer", "min": 0, "max": 1000},
            "y" + side: {"role": "measure", "type": "decimal", "places": 1, "min": "0", "max": "9.5"},
            "r" + side: {"role": "measure", "type": "integer", "min": 0, "max": 90, "required": True},
            "f" + side: {"role": "measure", "type": "integer", "min": 0, "max": 1},
        }
        own = []
        for person in range(30):
            for _ in range(draw.choice([0, *[1] * 5, most, most])):
                own.append(
                    {
                        "id": f"p{person}",
                        "d" + side: draw.choice(["n", "s", "s", "w", None]),
                        "x" + side: draw.choice([None, 0, 1, 9, 10, 11, 100, draw.choice([200, 1000])]),
                        "y" + side: draw.choice([None, Decimal(0), Decimal(draw.randint(0, 95)) / 10]),
                        "r" + side: draw.choice([0, 0, 1, 1, 10, draw.choice([2, 90])]),
                        "f" + side: draw.choice([None, 0, 1]),
                    }
                )
        rows[name] = own
        table = {"name": name, "party": party, "max_rows_per_person": most, "max_rows": 110, "truncate": False}
        tables.append({**table, "columns": columns})
    return drawn.World((tables[0], tables[1]), rows, ("id", "id"), (), "1")


def asked(draw: random.Random, *, apart: bool) -> tuple[str, dict[str, Any]]:
    by = ("a.da", "b.db") if apart else draw.choice([(), ("a.da",), ("b.db",), ("a.da", "b.db"), ("a.da", "b.db")])
    columns = ["a.xa", "a.ya", "a.ra", "b.xb", "b.yb", "b.rb"]
    some = draw.sample(columns, 2)
    statistics = draw.choice(
        [
            [f"SUM({some[0]})"],
            [f"SUM({some[0]})", f"AVG({some[1]})", "COUNT(*)"],
            [f"AVG({some[0]})", f"COUNT({some[0]})", "SUM(a.fa)"],
            [f"VAR_SAMP({some[0]})"],
            [f"CORR({some[0]}, {some[1]})"],
            [f"SUM({some[0]})", "COUNT(DISTINCT a.id)"],
        ]
    )
    names = [f"{text} AS s{number}" for number, text in enumerate(statistics)]
    join = draw.choice(["JOIN", "LEFT JOIN"] if apart else ["JOIN", "JOIN", "LEFT JOIN"])
    text = f"SELECT {', '.join([*by, *names])} FROM stays a {join} homes b ON a.id = b.id"
    if draw.random() < 0.4:
        text += draw.choice([" WHERE a.ra <= b.rb", " WHERE a.da = 'n'", " WHERE b.xb > 1"])
    control: dict[str, Any] = {"min_count": draw.choice([1, 2, 3])}
    kind = draw.choice(["acro", "share", "shares", "p", "both", "far"])
    if kind == "acro":
        control |= {"dominance": ({"largest": 2, "percent": 90},), "p_percent": 10}
    if kind in ("share", "both"):
        control |= {"dominance": ({"largest": 1, "percent": draw.choice([50, 75, 99])},)}
    if kind == "shares":
        control |= {"dominance": ({"largest": 1, "percent": 60}, {"largest": 3, "percent": 85})}
    if kind == "far":
        control |= {"dominance": ({"largest": 10, "percent": 99},)}
    if kind in ("p", "both"):
        control |= {"p_percent": draw.choice([1, 10, 33, 100])}
    if draw.random() < 0.5:
        control["zeros"] = "shown"
    if draw.random() < 0.25:
        own = {"party": draw.choice(["board", "council"]), "min_count": 2, "appetite": "local"}
        control["holder"] = ({**own, "dominance": ({"largest": 4, "percent": 95},)},)
    if draw.random() < 0.2 and "VAR" not in text and "CORR" not in text:
        control["round_to"] = 3
    return text + (f" GROUP BY {', '.join(by)}" if by else ""), control


def _least(one: Any, other: Any) -> bool:
    """The one condition across tables, of columns that are never NULL."""
    return bool(one["ra"] <= other["rb"])


def compared(direct: Direct, tables: dict[str, sql.Rows], control: Control, seed: int) -> Counter[str]:
    """What is opened is what the reference shows; how often which rule withheld what the counts alone would show."""
    safe = direct.plan.protection
    assert isinstance(safe, Protect) and safe.dominance is not None
    moments = controlled.moments_of(safe, direct.opened(seed=seed))
    meets = _least if direct.query.rows is not None else None
    statistics, table = reference(direct, tables, control, meets)
    loose = replace(control, dominance=(), p_percent=None)
    _, without = reference(direct, tables, loose, meets)
    seen: Counter[str] = Counter()
    for each in safe.shown:
        name = safe.moments[each.moment].name
        expected = [numbers[statistics[name]] for numbers in table.values()]
        value, *_ = moments.values[each.moment]
        there = moments.there[each.moment].tolist()
        got = [int(v) if shown else None for v, shown in zip(value, there, strict=True)]
        assert got == expected, f"{direct.spec.computation.sql}\n{control}\n{name}: {got}, expected {expected}"
        for cell, number in zip(table, expected, strict=True):
            loosely = without[cell][statistics[name]]
            seen["dominated" if number is None and loosely is not None else "few" if number is None else "shown"] += 1
            seen["empty"] += number == 0
    seen["spread"] += any(each.spread for each in direct.plan.join.rows.contributions)  # type: ignore[union-attr]
    seen["together"] += any(moment.a.together for moment in safe.moments)
    seen["outer"] += bool({number for number, _ in direct.plan.join.local_a} & {n for n, _ in safe.dominance.held})
    seen["told apart"] += direct.plan.join.keyed is not None
    seen["told apart, outer"] += direct.plan.join.keyed is not None and bool(direct.plan.join.local_a)
    seen["mode B"] += direct.plan.join.card == "helper_join_b"
    seen["condition"] += direct.query.rows is not None
    seen["p alone"] += not safe.dominance.shares
    seen["shares alone"] += safe.dominance.p is None
    seen["squares"] += any(len(moment.a.values) + len(moment.b.values) == 2 for moment in safe.moments)
    return seen


def run_world(seed: int, folder: Path) -> Counter[str]:
    found = skewed(seed)
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, found.rows, folder)
    tables = {d.name: sql.counted(whole, d, found.rows[d.name]) for d in whole.datasets}
    draw, seen = random.Random(f"dominance {seed}"), Counter[str]()
    number = 0
    while seen["run"] < QUERIES and number < 20 * QUERIES:
        number += 1
        text, wanted = asked(draw, apart=seed in APART)
        try:
            spec = spec_of(found, text, wanted)
            if draw.random() < 0.4:
                spec = in_mode_b(spec)
            errors = [f for f in review(spec).verdict.errors if not f.rule.startswith(("legal", "gb"))]
        except SpecError as error:
            seen[error.code] += 1
            continue
        if errors:
            seen[errors[0].rule] += 1
            continue
        seen["run"] += 1
        control = effective(spec)
        assert control is not None
        seen += compared(Direct.of(spec, frozen), tables, control, number)
    return seen


def test_what_is_opened_is_what_the_rules_let_pass(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(12):
        seen += run_world(seed, tmp_path / str(seed))
    assert seen["run"] == 12 * QUERIES, seen
    assert min(seen[kind] for kind in ("dominated", "few", "shown")) > 20, seen
    kinds = (
        "spread",
        "together",
        "outer",
        "condition",
        "p alone",
        "shares alone",
        "squares",
        "empty",
        "mode B",
        "told apart",
        "told apart, outer",
    )
    assert all(seen[kind] for kind in kinds), seen


def test_what_is_sent_is_what_gate_and_forecast_say_whoever_dominates(tmp_path: Path) -> None:
    """Operation by operation and byte by byte, from the plan alone."""
    found = skewed(1)
    text = "SELECT a.da, b.db, SUM(a.xa) AS s, AVG(a.xa) AS m FROM stays a LEFT JOIN homes b ON a.id = b.id"
    spec = spec_of(found, f"{text} GROUP BY a.da, b.db", {"preset": "acro-default"})
    assert review(spec).accepted
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    direct = Direct.of(spec, freeze(whole, found.rows, tmp_path))
    transcript = direct.played(seed=1)
    as_planned(direct.plan, transcript)
    nobody = direct.played(seed=1, keep=dict.fromkeys("ab", _none))
    assert nobody.shape_of_traffic() == transcript.shape_of_traffic()


@pytest.mark.parametrize("by", ["a.da, b.db", "a.da"])
@pytest.mark.parametrize("mode_b", [False, True], ids=["mode A", "mode B"])
def test_groups_that_both_tables_decide_have_greatest_of_their_own(by: str, mode_b: bool, tmp_path: Path) -> None:
    """A CASE over both, whose levels are columns of their own, against the clear rules."""
    seed = next(n for n in range(50) if {table["max_rows_per_person"] for table in skewed(n).datasets} == {1})
    found = skewed(seed)
    case = "CASE WHEN a.ra <= b.rb THEN 'low' WHEN a.ra > 10 THEN 'high' ELSE 'other' END AS level"
    text = f"SELECT {case}, {by}, SUM(a.xa) AS s FROM stays a JOIN homes b ON a.id = b.id GROUP BY level, {by}"
    spec = spec_of(found, text, {"min_count": 1, "dominance": ({"largest": 1, "percent": 80},), "zeros": "shown"})
    spec, control = in_mode_b(spec) if mode_b else spec, effective(spec)
    assert control is not None and review(spec).accepted
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    direct = Direct.of(spec, freeze(whole, found.rows, tmp_path))
    added: dict[tuple[str, ...], list[int]] = {}
    homes = {row["id"]: row for row in found.rows["homes"]}
    for a in found.rows["stays"]:
        if (b := homes.get(a["id"])) is not None and a["xa"] is not None:
            level = "low" if a["ra"] <= b["rb"] else "high" if a["ra"] > 10 else "other"
            groups = (a["da"], b["db"])[: 1 + by.count(",")]
            added.setdefault((level, *(str(one or "(missing)") for one in groups)), []).append(a["xa"])
    frame, seen = direct.table(direct.opened(seed=1)), Counter[bool]()
    for _, row in frame.iterrows():
        own = sorted(added.get(tuple(map(str, row.iloc[: 2 + by.count(",")])), []), reverse=True)
        gone = dominated(own, control)
        assert pd.isna(row["s"]) if gone else row["s"] == sum(own)
        seen[gone] += bool(own)
    assert seen[True] and seen[False], seen


def by_person(text: str, rows: dict[str, sql.Rows]) -> dict[tuple[str, ...], Counter[str]]:
    """What each person adds to SUM(a.xa * ...) in each cell of da, db and dc: the product of what its rows come to."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for a in rows["stays"]:
        for b in rows["homes"]:
            for c in rows["schools"]:
                if a["id"] == b["id"] == c["id"] and a["xa"] is not None:
                    cell = tuple(str(one or "(missing)") for one in (a["da"], b["db"], c["dc"]))
                    found.setdefault(cell, Counter())[a["id"]] += a["xa"]
    return found


@pytest.mark.parametrize("several", ["stays", "homes", "schools"])
def test_few_persons_who_have_most_of_a_sum_of_three_tables_withhold_it(several: str, tmp_path: Path) -> None:
    """Also where a person has several rows in one of them, so that it is in several cells, or several times in one."""
    found, draw = three.people(7), random.Random(several)
    rows = {name: [dict(row) for row in own] for name, own in found.rows.items()}
    for row in rows["stays"]:
        row["xa"] = draw.choice([None, 0, 1, 2, draw.choice([3, 40])])
    side = {"stays": "a", "homes": "b", "schools": "c"}[several]
    rows[several] += [{**row, "d" + side: draw.choice(["n", "s"])} for row in rows[several] if draw.random() < 0.6]
    tables = []
    for table in found.datasets:
        columns = {n: {**c, "min": 0} if n[0] == "x" else c for n, c in table["columns"].items()}
        many = {"max_rows_per_person": 2, "max_rows": 180} if table["name"] == several else {}
        rows[table["name"]] = [{n: 0 if n in ("xb", "xc") else v for n, v in r.items()} for r in rows[table["name"]]]
        tables.append({**table, "columns": columns, **many})
    world = drawn.World(tuple(tables), rows, ("id", "id", "id"), (), "1")
    rules = {"dominance": ({"largest": 2, "percent": 70},), "p_percent": 10}
    text = f"SELECT a.da, b.db, c.dc, SUM(a.xa) AS s {three.JOINED} GROUP BY a.da, b.db, c.dc"
    spec = spec_of(world, text, {"min_count": 3, **rules})
    assert review(spec).accepted, [f.text for f in review(spec).verdict.errors]
    snapshots, counted = three.frozen(world, tmp_path)
    direct = Direct.of(spec, snapshots)
    frame, held = direct.table(direct.opened(seed=3)), effective(spec)
    assert held is not None
    expected, seen = by_person(text, counted), Counter[str]()
    for _, row in frame.iterrows():
        added = sorted(expected.get(tuple(map(str, row[["da", "db", "dc"]])), Counter()).values(), reverse=True)
        few, most = len(added) < 3, dominated(added, held)
        assert pd.isna(row["s"]) == (few or most)
        assert few or most or row["s"] == sum(added)
        seen["few" if few else "dominated" if most else "shown"] += 1
    assert min(seen[kind] for kind in ("few", "dominated", "shown")) > 0, seen


@pytest.mark.parametrize("condition", ["a.ra > 0", "b.rb > 0"])
@pytest.mark.parametrize("several", [1, 3], ids=["one row a person", "several"])
def test_a_person_adds_what_its_rows_add_that_meet_the_condition(condition: str, several: int, tmp_path: Path) -> None:
    """A CASE inside a sum, of either holder: its rows that meet it stand on one of them."""
    most = (several, 1)
    worlds = map(skewed, range(90))
    found = next(one for one in worlds if tuple(table["max_rows_per_person"] for table in one.datasets) == most)
    text = f"SELECT a.da, b.db, SUM(CASE WHEN {condition} THEN a.xa END) AS s FROM stays a JOIN homes b ON a.id = b.id"
    spec = spec_of(
        found, f"{text} GROUP BY a.da, b.db", {"min_count": 1, "dominance": ({"largest": 1, "percent": 80},)}
    )
    control = effective(spec)
    assert control is not None and review(spec).accepted, [f.text for f in review(spec).verdict.errors]
    whole = drawn.spec_of(found, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    direct = Direct.of(spec, freeze(whole, found.rows, tmp_path))
    added: dict[tuple[str, ...], Counter[str]] = {}
    homes = {row["id"]: row for row in found.rows["homes"]}
    for a in found.rows["stays"]:
        b = homes.get(a["id"])
        if b is not None and a["xa"] is not None and (a["ra"] if "a." in condition else b["rb"]) > 0:
            cell = tuple(str(one or "(missing)") for one in (a["da"], b["db"]))
            added.setdefault(cell, Counter())[a["id"]] += a["xa"]
    frame, seen = direct.table(direct.opened(seed=1)), Counter[bool]()
    for _, row in frame.iterrows():
        own = sorted(added.get((str(row["da"]), str(row["db"])), Counter()).values(), reverse=True)
        gone = not own or dominated(own, control)
        assert pd.isna(row["s"]) if gone else row["s"] == sum(own)
        seen[gone] += bool(own)
    assert seen[True] and seen[False], seen


def _none(table: Any) -> Any:
    return only(table, np.zeros(table.rows, bool))


PEOPLE = 240


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two rows a person at the left; in ward a nobody dominates, in b one does, in c two do, in d all have 0."""
    draw = np.random.default_rng(3)
    left = pd.DataFrame({"id": [f"PERSON-{n // 2}" for n in range(2 * PEOPLE)]})
    left["ward"] = np.repeat(draw.permutation(np.repeat(list("abcd"), PEOPLE // 4)), 2)
    left["cost"] = draw.integers(10**6, 2 * 10**6, 2 * PEOPLE)
    first = {ward: int(left.index[left["ward"] == ward][0]) for ward in "bc"}
    left.loc[[first["b"], first["b"] + 1], "cost"] = 5 * 10**9  # neither row by itself is half of the sum
    left.loc[[first["c"], first["c"] + 2], "cost"] = 2 * 10**9
    left.loc[left["ward"] == "d", "cost"] = 0
    return left, pd.DataFrame({"id": [f"PERSON-{n}" for n in range(PEOPLE)], "tenure": "rent"})


def test_a_whole_run_withholds_sums_and_means_by_the_preset_of_acro() -> None:
    """Servers in memory, from data frames to a table; nothing in the transcript is a value or a sum."""
    left, right = frames()
    net = local_network({"board": {"a": left}, "council": {"h": right}, "helper": {}})
    sql = "SELECT ward, COUNT(DISTINCT id) AS n, SUM(cost) AS cost, AVG(cost) AS mean FROM a JOIN h USING (id)"
    own = {"a": {"cost": {"role": "measure", "type": "integer", "min": 0, "max": 10**10, "required": True}}}
    spec = net.draft(f"{sql} GROUP BY ward", control={"preset": "acro-default"}, columns=own)
    result = net.run(spec, record=True)
    table, gone = result.to_pandas().set_index("ward"), result.withheld
    assert table["n"].loc[list("abcd")].tolist() == [PEOPLE // 4] * 4
    assert table["cost"].loc[list("bcd")].isna().all() and table["mean"].loc[list("bcd")].isna().all()
    assert table["cost"]["a"] == left["cost"][left["ward"] == "a"].sum()
    assert gone["cost"].sum() >= 3
    assert "few persons" in result.note()
    numbers = {int(n) for n in left["cost"] if n} | {int(n) for n in left.groupby("ward")["cost"].sum() if n}
    words = {struct.pack(order, number) for number in numbers for order in ("<Q", ">Q")}
    for message in result.transcript:
        body = bytes(message.body)
        assert b"PERSON-" not in body
        if len(body) % 8 == 0:
            assert not words & {body[place : place + 8] for place in range(0, len(body), 8)}


@pytest.mark.parametrize(
    ("most", "rows", "each", "what"),
    [
        (2**46, 2**10, 1, "100 times its greatest possible sum"),
        (2**50, 2**10, 200, "what one person adds, beside its group,"),
    ],
)
def test_a_range_in_which_comparisons_could_wrap_is_refused(most: int, rows: int, each: int, what: str) -> None:
    """Before anything runs, with the bound that is exceeded; a smaller one passes."""
    found = skewed(0)
    for limit, fine in ((most, False), (most // 2**28, True)):
        tables = [dict(table) for table in found.datasets]
        for table in tables:
            columns = dict(table["columns"])
            for name in [name for name in columns if name[0] == "x"]:
                columns[name] = {**columns[name], "max": limit}
            table |= {"columns": columns, "max_rows": rows, "max_rows_per_person": each}
        world = drawn.World((tables[0], tables[1]), found.rows, found.keys, found.normalise, found.epsilon)
        text = "SELECT a.da, b.db, SUM(a.xa) AS s FROM stays a JOIN homes b ON a.id = b.id GROUP BY a.da, b.db"
        share = {"min_count": 2, "dominance": ({"largest": 1, "percent": 99},)}
        spec = spec_of(world, text, share)
        if fine:
            assert lower(spec, bind(spec)).join.rows is not None
        else:
            with pytest.raises(LeakError, match=what):
                lower(spec, bind(spec))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_tables_under_rules_on_dominance(seed: int, tmp_path: Path) -> None:
    run_world(seed, tmp_path)
