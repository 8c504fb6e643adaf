"""CASE over both tables as a group: each row at the level that the author's SQL gives it, and nobody learns which."""

import random
import re
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pets
from pets.approve.columns import Use, uses_of
from pets.check.diff import compare
from pets.check.releases import release_of
from pets.errors import AuditError, SpecError
from pets.plan import wiring
from pets.plan.review import review
from pets.released import read
from pets.spec import moments
from pets.spec.banded import BandedAcross, across
from pets.spec.model import Spec
from pets.spec.query import ColumnRef
from pets.spec.sql import bind
from pets.spec.write import to_toml
from tests import test_controlled as controlled
from tests import test_crossing as crossing
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.oracles.projected import as_planned
from tests.spec.sql.test_bands import keys
from tests.test_keyed import one_row
from tests.test_queries import agrees

QUERIES = 3


def asked(seed: int, world: drawn.World) -> str:
    """A query of the language with a CASE over both tables among its groups."""
    draw = random.Random(f"case {seed}")
    while True:
        text = drawn.ask(draw.randrange(10**9), world)
        lines = text.split("\n")
        if " LEFT " not in f" {lines[2]}" and "DISTINCT" not in text and "HAVING" not in text and "CASE" not in text:
            break
    shown = [lines[1].removeprefix("FROM "), lines[2].split("JOIN ")[1].split(" ON ")[0].split(" USING ")[0]]
    aliases = (shown[0].split()[-1], shown[1].split()[-1])
    first = 0 if shown[0].split()[0] == world.datasets[0]["name"] else 1
    conditions = [
        crossing.condition(draw, aliases, world, first, draw.choice([0, 1])) for _ in range(draw.choice([1, 2, 3]))
    ]
    levels = draw.sample(["before", "after", "it's", "same"], 2)
    branches = " ".join(
        f"WHEN {each} THEN '{draw.choice(levels).replace(chr(39), chr(39) * 2)}'" for each in conditions
    )
    end = draw.choice(["", " ELSE 'after'", " ELSE 'other'"])
    lines[0] = lines[0].replace("SELECT ", f"SELECT CASE {branches}{end} END AS level, ", 1)
    group = next((at for at, line in enumerate(lines) if line.startswith("GROUP BY ")), None)
    if group is None:
        lines.append("GROUP BY level")
    else:
        lines[group] += ", level"
    if draw.random() < 0.3:
        extra = crossing.condition(draw, aliases, world, first, 1)
        where = next((at for at, line in enumerate(lines) if line.startswith("WHERE ")), None)
        if where is not None:
            lines[where] += f" AND {extra}"
        else:
            lines.insert(3, f"WHERE {extra}")
    return "\n".join(lines)


def run_world(seed: int, folder: Path) -> list[Direct]:
    """Hold queries of one world against DuckDB; every other in mode B."""
    draw = random.Random(f"case world {seed}")
    world = one_row(drawn.world(seed), draw)
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, folder)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    ran: list[Direct] = []
    for number in range(20 * QUERIES):
        text = asked(1000 * seed + number, world)
        spec = drawn.spec_of(world, text)
        if len(ran) % 2:
            spec = in_mode_b(spec)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in ("spec.b-cells", "sql.group", "sql.ambiguous", "sql.cross-table", "sql.name"), (
                f"{text}\n{error}"
            )
            continue
        if across(direct.query.group_by) is None:
            continue
        ran.append(direct)
        agrees(direct, rows, number)
        if len(ran) == QUERIES:
            break
    return ran


@pytest.mark.parametrize("seed", range(8))
def test_rows_are_at_the_level_that_the_author_s_sql_gives(seed: int, tmp_path: Path) -> None:
    assert run_world(seed, tmp_path)


@pytest.mark.parametrize("seed", range(20, 24))
def test_the_same_where_levels_are_part_of_a_key(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (moments, wiring):
        monkeypatch.setattr(module, "MAX_B_CELLS", 1)
    assert all(direct.plan.join.keyed is not None for direct in run_world(seed, tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 220))
def test_many_cases_over_both_tables(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(moments, "MAX_B_CELLS", 1)
    run_world(seed, tmp_path)


def test_what_is_sent_is_what_gate_and_forecast_say(tmp_path: Path) -> None:
    """Operation by operation and byte by byte, from the plan alone."""
    for direct in [*run_world(3, tmp_path / "3"), *run_world(4, tmp_path / "4")]:
        transcript = direct.played(seed=1)
        as_planned(direct.plan, transcript)
        empty = direct.played(seed=1, keep={"a": crossing._none, "b": crossing._none})
        assert transcript.shape_of_traffic() == empty.shape_of_traffic()


def test_both_checkers_agree_and_the_plan_is_wired() -> None:
    seen = 0
    for seed in range(40):
        world = one_row(drawn.world(seed), random.Random(seed))
        spec = drawn.spec_of(world, asked(seed, world))
        for each in (spec, in_mode_b(spec)):
            found = review(each)  # raises plan.checkers-differ where they do not
            seen += (
                found.plan is not None and found.plan.join.rows is not None and found.plan.join.rows.cased is not None
            )
    assert seen > 16


# -- a whole run ------------------------------------------------------------------------------------------------------


def registers() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days of two registers, with gaps on both sides, and values that would be found in a transcript."""
    rng = np.random.default_rng(3)
    people = [f"PERSON-{number}" for number in range(400)]
    left = pd.DataFrame({"id": people, "cost": rng.integers(10**9, 2 * 10**9, 400)})
    left["arrived"] = pd.array(rng.integers(1, 60, 400), "Int64")
    right = pd.DataFrame({"id": people[:330], "moved": pd.array(rng.integers(1, 60, 330), "Int64"), "tenure": "own"})
    right.loc[::3, "tenure"] = "rent"
    right.loc[::17, "moved"] = pd.NA
    return left, right


SQL = """SELECT tenure, CASE WHEN arrived < moved THEN 'before' WHEN arrived >= moved AND tenure = 'rent' THEN 'renting'
WHEN arrived >= moved THEN 'after' END AS stood, COUNT(*) AS n, SUM(cost) AS cost, MEDIAN(cost) AS middle
FROM a JOIN h USING (id) GROUP BY tenure, stood"""


@pytest.mark.parametrize("many", [False, True], ids=["bits", "key"])
def test_an_exact_table_by_levels(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of nobody and small ones alike are withheld, sums under a rule on contributions, medians rounded."""
    for module in (moments, wiring):
        monkeypatch.setattr(module, "MAX_B_CELLS", 1 if many else 32)
    control = {"min_count": 9, "zeros": "hidden", "round_values_to": {"a.cost": 1000}}
    left, right = registers()
    net = pets.local_network({"board": {"a": left}, "council": {"h": right}, "helper": {}})
    result = net.run(net.draft(SQL, control=control), record=True)
    frame = result.to_pandas()
    assert len(frame) == 3 * 4
    rows = left.merge(right, on="id")
    before = (rows["arrived"] < rows["moved"]).fillna(False)
    after = (rows["arrived"] >= rows["moved"]).fillna(False)
    first = np.select([before, after & (rows["tenure"] == "rent"), after], ["before", "renting", "after"], "(missing)")
    true = rows.assign(stood=first).groupby(["tenure", "stood"])["cost"].agg(["count", "sum", "median"])
    shown = frame[frame["n"].notna()].set_index(["tenure", "stood"])
    wanted = true[true["count"] >= 9]
    assert {*shown.index} == {*wanted.index} and 3 < len(wanted) < len(true) + 1
    for cell in wanted.index:
        assert (shown.loc[cell, "n"], shown.loc[cell, "cost"]) == (wanted.loc[cell, "count"], wanted.loc[cell, "sum"])
        assert abs(shown.loc[cell, "middle"] - wanted.loc[cell, "median"]) <= 500
    numbers = {*map(int, rows["cost"]), *map(int, true["sum"])}
    words = {struct.pack("<Q", number) for number in numbers}
    for message in result.transcript:
        body = bytes(message.body)
        assert b"PERSON-" not in body
        assert len(body) % 8 or not words & {body[at : at + 8] for at in range(0, len(body), 8)}


# -- what stands for it elsewhere -------------------------------------------------------------------------------------


def small(case: str) -> Spec:
    return drawn.spec_of(drawn.world(3), f"SELECT {case} AS much, COUNT(*) AS n {keys()} GROUP BY much")


MORE = "CASE WHEN a.ia < b.ib THEN 'less' WHEN a.ia >= b.ib AND a.ia > 2 THEN 'more' END"


def test_it_is_what_its_branches_say_whatever_it_is_called() -> None:
    one = small(MORE)
    (band,) = bind(one).group_by
    said = "WHEN stays.ia < homes.ib THEN 'less' WHEN stays.ia >= homes.ib AND stays.ia > 2 THEN 'more'"
    assert isinstance(band, BandedAcross) and str(band) == f"(CASE {said} END)"
    assert band.levels == ("less", "more") and {ref.column for ref in band.compared} == {"ib"}
    called = drawn.spec_of(drawn.world(3), one.computation.sql.replace("much", "other"))
    assert release_of(one, bind(one)).dimensions == release_of(called, bind(called)).dimensions
    turned = small(MORE.replace("a.ia < b.ib", "b.ib > a.ia"))
    assert compare(one, turned).relation == "incomparable"  # read as it is written: other words, other branches
    for changed in (MORE.replace("'more'", "'much'"), MORE.replace("> 2", "> 3"), MORE.replace("<", "<=")):
        other = small(changed)
        assert compare(one, other).relation == "incomparable", changed
        assert release_of(one, bind(one)).dimensions != release_of(other, bind(other)).dimensions


def test_every_column_that_a_branch_looks_at_is_used_as_a_grouping_column() -> None:
    spec = small(MORE)
    uses = uses_of(bind(spec), spec)
    assert {Use.GROUP in uses[ColumnRef(table, name)] for table, name in (("stays", "ia"), ("homes", "ib"))} == {True}


def test_the_audit_refuses_a_table_with_one(tmp_path: Path) -> None:
    exact = "disclosure_control = { min_count = 10 }"
    text = re.sub(r"^differential_privacy = .*$", exact, to_toml(small(MORE)), flags=re.MULTILINE)
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(AuditError) as caught:
        read(tmp_path)
    assert caught.value.code == "audit.table" and "CASE" in str(caught.value.fields["problem"])


def test_known_totals_beside_one_are_refused() -> None:
    text = MORE.replace("a.ia > 2", "b.ib > 2")
    totals = {"min_count": 5, "known_totals": ((),)}
    found = review(controlled.spec_of(drawn.world(3), small(text).computation.sql, totals))
    assert "control.known-totals" in {finding.rule for finding in found.verdict.errors}
