"""CASE as a grouping column: what it means is what DuckDB says, and its columns are used as grouping columns are."""

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pets.approve.columns import Use, uses_of
from pets.check import flow
from pets.check.diff import compare
from pets.check.releases import release_of
from pets.errors import AuditError, SpecError
from pets.local import local_network
from pets.plan.review import review
from pets.released import read
from pets.spec import lines
from pets.spec.banded import Banded
from pets.spec.cards import load_cards
from pets.spec.ir import Read
from pets.spec.model import Spec
from pets.spec.moments import LEFT
from pets.spec.query import ColumnRef, Compare
from pets.spec.sql import bind
from pets.spec.write import to_toml
from tests.check.releases import asked, rules
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.test_queries import small_world
from tests.thinned import thinned


def case(draw: random.Random, alias: str, table: dict[str, Any], levels: list[str]) -> str:
    """A CASE over one table, with branches that overlap, that are unknown on NULL, and that are never true."""
    conditions = [drawn._condition(draw, alias, table, 2) for _ in range(draw.choice([1, 2, 3]))]
    parts = [f"WHEN {condition} THEN '{draw.choice(levels)}'" for condition in conditions]
    end = draw.choice(["", f" ELSE '{levels[0]}'"])
    return f"CASE {' '.join(parts)}{end} END"


def quoted(level: str) -> str:
    return level.replace("'", "''")


@pytest.mark.parametrize("seed", thinned(range(8), one_in=2))
def test_groups_are_those_of_the_author_s_sql(seed: int, tmp_path: Path) -> None:
    world = drawn.world(seed)
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, tmp_path)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    draw, ran, seen = random.Random(f"bands {seed}"), 0, set()
    for _ in range(30):
        first, levels = draw.choice([0, 1]), ["low", quoted("it's"), "中"]
        one = case(draw, "a", world.datasets[0], levels)
        other = case(draw, "b", world.datasets[1], levels[1:])
        dim = draw.choice([n for n, c in world.datasets[first]["columns"].items() if c["role"] == "dimension"])
        columns = draw.sample([f"{one} AS one", f"{other} AS other", f"{'ab'[first]}.{dim}"], draw.choice([1, 2, 3]))
        measures = [f"{a}.i{a}" for a in "ab"]
        by = ", ".join(draw.choice([str(i + 1), c.partition(" AS ")[0]]) for i, c in enumerate(columns))
        text = f"SELECT {', '.join(columns)}, COUNT(*) AS n, SUM({draw.choice(measures)}) AS s FROM stays a "
        join = draw.choice(["JOIN", "LEFT JOIN"])
        where = draw.choice(["", f" WHERE {drawn._condition(draw, 'a', world.datasets[0], 1)}"])
        text += f"{join} homes b ON a.{world.keys[0]} = b.{world.keys[1]}{where} GROUP BY {by}"
        spec = drawn.spec_of(world, text)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.outer-where", "sql.group"), text
            continue
        frame = direct.table(direct.opened(seed=seed))
        found = {
            tuple(str(row[o.name]) for o in direct.query.outputs[: len(columns)]): (int(row["n"]), float(row["s"]))
            for _, row in frame.iterrows()
        }
        wanted = {
            tuple("(missing)" if v is None else str(v) for v in row[: len(columns)]): (row[-2], float(row[-1] or 0))
            for row in sql.run_sql(spec, rows)
        }
        assert {cell: v for cell, v in found.items() if v != (0, 0.0) or cell in wanted} == wanted, text
        ran += 1
        seen |= {level for cell in wanted for level in cell}
    assert ran >= 8
    assert len(seen) > 2 or not (world.rows["stays"] and world.rows["homes"])


def small(query: str) -> Spec:
    return drawn.spec_of(drawn.world(3), query)


def keys() -> str:
    world = drawn.world(3)
    return f"FROM stays a JOIN homes b ON a.{world.keys[0]} = b.{world.keys[1]}"


AGES = "CASE WHEN a.ia < 0 THEN 'few' WHEN a.ia < 3 THEN 'some' ELSE 'many' END"


def test_a_case_is_a_grouping_column_with_levels_of_its_own() -> None:
    spec = small(f"SELECT {AGES} AS much, COUNT(*) AS n {keys()} GROUP BY much")
    query = bind(spec)
    (band,) = query.group_by
    assert isinstance(band, Banded) and band == query.outputs[0].what
    assert (band.dataset, band.column, band.levels) == ("stays", "much", ("few", "some", "many"))
    assert band.branches[1] == (Compare("ia", "<", 3), "some")
    assert str(band) == "stays.(CASE WHEN ia < 0 THEN 'few' WHEN ia < 3 THEN 'some' ELSE 'many' END)"
    for by in ("1", AGES, AGES.replace("a.ia", "IA").replace("CASE", "case")):
        assert bind(small(f"SELECT {AGES} AS much, COUNT(*) AS n {keys()} GROUP BY {by}")) == query
    reviewed = review(spec).settled()
    own = next(step for step in reviewed.plan.steps if isinstance(step, Read) and step.dataset == "stays")
    assert "ia" in own.columns and own.dimensions[0].levels == ("few", "some", "many", "(missing)")


def test_its_columns_are_used_for_grouping_and_what_filters_only_is_in_nothing_released() -> None:
    spec = small(f"SELECT {AGES} AS much, COUNT(*) AS n {keys()} GROUP BY much")
    assert set(uses_of(bind(spec), spec)[ColumnRef("stays", "ia")]) == {Use.GROUP}
    hidden = small(f"SELECT CASE WHEN a.na > 0 THEN 'x' END AS much, COUNT(*) AS n {keys()} GROUP BY much")
    errors = flow.judge(hidden, bind(hidden), load_cards()).errors
    assert {e.rule for e in errors} == {"leak.filter-only"} and "stays.na" in errors[0].path
    assert not flow.judge(spec, bind(spec), load_cards()).errors


def test_another_case_under_the_same_name_is_another_column() -> None:
    text = f"SELECT {AGES} AS much, COUNT(*) AS n {keys()} GROUP BY much"
    one, other = small(text), small(text.replace("< 3", "< 2"))
    assert compare(one, other).relation == "incomparable"
    assert release_of(one, bind(one)).dimensions != release_of(other, bind(other)).dimensions


def test_the_audit_says_that_it_cannot_hold_it_against_other_tables(tmp_path: Path) -> None:
    text = to_toml(small(f"SELECT {AGES} AS much, COUNT(*) AS n {keys()} GROUP BY much"))
    text = re.sub(r"^differential_privacy = .*$", "disclosure_control = { min_count = 10 }", text, flags=re.MULTILINE)
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(AuditError) as caught:
        read(tmp_path)
    assert caught.value.code == "audit.table" and "CASE" in str(caught.value.fields["problem"])


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("CASE WHEN a.ia + b.ib > 1 THEN 'x' END", "sql.unsupported"),
        ("CASE WHEN a.KEY = b.KEY THEN 'x' END", "sql.person-id"),
        ("CASE WHEN a.ia > b.ib THEN 1 END", "sql.unsupported"),
        ("CASE a.ia WHEN 1 THEN 'x' END", "sql.unsupported"),
        ("CASE WHEN a.ia > 0 THEN 1 END", "sql.unsupported"),
        ("CASE WHEN a.ia > 0 THEN NULL ELSE 'x' END", "sql.unsupported"),
        ("CASE WHEN a.ia > 0 THEN a.ia END", "sql.unsupported"),
        ("CASE WHEN a.ia > 0 THEN '' END", "sql.literal"),
        ("CASE WHEN a.ia > 0 THEN '(missing)' END", "sql.literal"),
        ("CASE WHEN 1 = 1 THEN 'x' END", "sql.unsupported"),
        ("CASE WHEN a.KEY = 'p' THEN 'x' END", "sql.person-id"),
        ("CASE WHEN a.ia + 1 > 0 THEN 'x' END", "sql.unsupported"),
        ("CASE WHEN SUM(a.ia) > 0 THEN 'x' END", "sql.unsupported"),
        ("CASE WHEN a.zz > 0 THEN 'x' END", "sql.column"),
        ("CASE WHEN CASE WHEN a.ia > 0 THEN 'x' END = 'x' THEN 'y' END", "sql.unsupported"),
    ],
)
def test_what_is_no_grouping_column_is_refused_by_name(case: str, code: str) -> None:
    text = case.replace("KEY", drawn.world(3).keys[0])
    with pytest.raises(SpecError) as caught:
        bind(small(f"SELECT {text} AS much, COUNT(*) AS n {keys()} GROUP BY much"))
    assert caught.value.code == code


def test_rows_without_a_match_have_no_level_and_else_would_give_them_one() -> None:
    text = f"SELECT CASE WHEN b.ib < 3 THEN 'few' ELSE 'many' END AS much, COUNT(*) AS n {keys()} GROUP BY much"
    left = text.replace(" JOIN ", " LEFT JOIN ")
    assert bind(small(text)).join == "inner"
    for case in (left, left.replace(" ELSE 'many'", " WHEN b.ib IS NULL THEN 'none'")):
        with pytest.raises(SpecError) as caught:
            bind(small(case))
        assert (caught.value.code, caught.value.fields["construct"]) == ("sql.group", "CASE")
    assert bind(small(left.replace(" ELSE 'many'", ""))).join == "left"


def test_tables_by_shifted_limits_are_a_difference() -> None:
    """One person changes side between two tables: the guard sees two divisions of the same people (threat D01)."""
    ages = "SELECT CASE WHEN a.age < {} THEN 'young' ELSE 'old' END AS who, COUNT(*) AS n GROUP BY who"
    first, second = asked(ages.format(50)), asked(ages.format(51))
    assert rules([first], second) == {"linked"}
    assert not rules([first], asked(ages.format(50).replace("who", "whom")))


@pytest.mark.parametrize("where", ["", "WHERE nights > rent"])
def test_a_run_gives_the_groups_of_the_pooled_records(where: str) -> None:
    stays = pd.DataFrame({"id": [f"p{n}" for n in range(60)], "nights": [n * 7 % 40 for n in range(60)]})
    homes = pd.DataFrame({"id": stays["id"], "rent": [n * 11 % 37 for n in range(60)]})
    case = "CASE WHEN nights BETWEEN 10 AND 19 THEN 'some' WHEN nights < 10 THEN 'few' ELSE 'many' END"
    homes_case = "CASE WHEN rent < 20 THEN 'low' END"
    select = f"SELECT {case} AS much, {homes_case} AS rents, COUNT(*) AS n"
    text = f"{select} FROM stays JOIN homes USING (id) {where} GROUP BY 1, 2"
    net = local_network({"nhs": {"stays": stays}, "council": {"homes": homes}, "helper": {}})
    frame = net.run(net.draft(text, control={"min_count": 2, "zeros": "shown"})).to_pandas()
    pooled = stays.merge(homes, on="id")
    pooled = pooled[pooled.nights > pooled.rent] if where else pooled
    much = np.select([pooled.nights.between(10, 19), pooled.nights < 10], ["some", "few"], "many")
    truth = pooled.groupby([much, np.where(pooled.rent < 20, "low", "(missing)")]).size().to_dict()
    found = {(str(r["much"]), str(r["rents"])): r["n"] for _, r in frame.iterrows()}
    assert len(found) == 8
    for cell, n in found.items():
        wanted = truth.get(cell, 0)
        assert pd.isna(n) if wanted == 1 else n == wanted, cell


@pytest.mark.parametrize(
    ("where", "end", "possible"),
    [
        ("", " ELSE 'many'", {"few", "some", "many"}),
        ("", "", {"few", "some", "(missing)"}),
        (" WHERE a.nights > 3", " ELSE 'many'", {"many"}),
        (" WHERE a.nights > 3", "", {"(missing)"}),
        (" WHERE a.nights BETWEEN -1 AND 2", "", {"few", "some"}),
        (" WHERE a.nights < 0", " ELSE 'some'", {"few"}),
        (" WHERE a.nights IS NULL", " ELSE 'few'", {"few"}),
    ],
)
def test_levels_that_conditions_leave_empty_hide_nothing(where: str, end: str, possible: set[str]) -> None:
    """Where totals are known, a cell that everybody can see to be empty is in no block that hides another."""
    case = f"CASE WHEN a.nights < 0 THEN 'few' WHEN a.nights < 3 THEN 'some'{end} END"
    text = f"SELECT {case} AS much, COUNT(*) AS n FROM stays a JOIN homes b ON a.id = b.id{where} GROUP BY much"
    spec = drawn.spec_of(small_world([], []), text)
    _, found = lines._possible(bind(spec), spec, LEFT)
    assert found == {(level,) for level in possible}
