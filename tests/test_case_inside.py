"""CASE inside statistics: what DuckDB gives, of the rows that meet the condition; who they are is guarded."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pets
from pets.approve.columns import Use, uses_of
from pets.check.diff import compare
from pets.check.releases import release_of
from pets.errors import AuditError, SpecError
from pets.plan.review import review
from pets.released import read
from pets.spec import moments
from pets.spec.control import effective
from pets.spec.model import Spec
from pets.spec.protected import protected
from pets.spec.query import Aggregate, ColumnRef, Statistic
from pets.spec.sql import bind
from pets.spec.write import to_toml
from tests import test_controlled as controlled
from tests.check.test_mode_b import in_mode_b
from tests.oracles import random_queries as drawn
from tests.oracles import sql
from tests.oracles.direct import Direct, freeze
from tests.spec.sql.test_bands import keys
from tests.test_keyed import one_row
from tests.test_queries import agrees

QUERIES = 4
ONE = re.compile(
    r"\b(SUM|AVG|COUNT|VAR_POP|VAR_SAMP|STDDEV_SAMP|STDDEV_POP|VARIANCE|STDDEV)\((\w+\.\w+)\)", re.IGNORECASE
)
REFUSED = ("spec.b-cells", "sql.outer-where", "sql.cross-table")


def asked(seed: int, world: drawn.World) -> str:
    """A query of the language in which some statistics are of rows that meet a condition, on either table or both."""
    draw = random.Random(f"inside {seed}")
    lines = drawn.ask(draw.randrange(10**9), world).split("\n")
    shown = [lines[1].removeprefix("FROM "), lines[2].split("JOIN ")[1].split(" ON ")[0].split(" USING ")[0]]
    aliases = (shown[0].split()[-1], shown[1].split()[-1])
    first = 0 if shown[0].split()[0] == world.datasets[0]["name"] else 1
    tables = (world.datasets[first], world.datasets[1 - first])

    def when() -> str:
        sides = draw.choice([(0,), (1,), (0, 1)])
        return " AND ".join(drawn._condition(draw, aliases[side], tables[side], 1) for side in sides)

    def one(found: re.Match[str]) -> str:
        name, column = found.groups()
        if draw.random() < 0.2:
            return found[0]
        end = draw.choice(["", " ELSE NULL", " ELSE 0"]) if name.upper() == "SUM" else draw.choice(["", " ELSE NULL"])
        return f"{name}(CASE WHEN {when()} THEN {column}{end} END)"

    head = ONE.sub(one, lines[0])
    head = re.sub(r"COUNT\(DISTINCT ([\w.]+)\)", lambda m: f"COUNT(DISTINCT CASE WHEN {when()} THEN {m[1]} END)", head)
    rows = ["COUNT(CASE WHEN {} THEN 1 END)", "SUM(CASE WHEN {} THEN 1 ELSE 0 END)", "COUNT(*)"]
    lines[0] = re.sub(r"COUNT\(\*\)", lambda _: draw.choice(rows).format(when()), head)
    return "\n".join(lines)


def run_world(seed: int, folder: Path, *, single: bool = False) -> Iterator[Direct]:
    """Hold queries of one world against DuckDB; every other in mode B."""
    world = drawn.world(seed)
    if single:
        world = one_row(world, random.Random(seed))
    whole = drawn.spec_of(world, "SELECT COUNT(*) FROM stays a JOIN homes b ON a.x = b.x")
    frozen = freeze(whole, world.rows, folder)
    rows = {d.name: sql.counted(whole, d, world.rows[d.name]) for d in whole.datasets}
    ran = 0
    for number in range(20 * QUERIES):
        text = asked(1000 * seed + number, world)
        spec = drawn.spec_of(world, text)
        if ran % 2:
            spec = in_mode_b(spec)
        try:
            direct = Direct.of(spec, frozen)
        except SpecError as error:
            assert error.code in REFUSED, f"{text}\n{error}"
            continue
        if not any(isinstance(o.what, Aggregate) and o.what.when for o in direct.query.outputs):
            continue
        agrees(direct, rows, number)
        yield direct
        ran += 1
        if ran == QUERIES:
            break


@pytest.mark.parametrize("seed", range(8))
def test_only_rows_count_that_meet_the_condition(seed: int, tmp_path: Path) -> None:
    assert list(run_world(seed, tmp_path))


@pytest.mark.parametrize("seed", range(4))
def test_the_same_where_groups_are_told_apart_on_shares(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "MAX_B_CELLS", 1)
    assert list(run_world(seed, tmp_path, single=True))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 220))
def test_many_conditions_inside_statistics(seed: int, tmp_path: Path) -> None:
    list(run_world(seed, tmp_path))


def test_both_checkers_agree_and_the_plan_is_wired() -> None:
    seen = 0
    for seed in range(60):
        world = drawn.world(seed)
        spec = drawn.spec_of(world, asked(seed, world))
        for each in (spec, in_mode_b(spec)):
            found = review(each)  # raises plan.checkers-differ where they do not
            seen += found.plan is not None
    assert seen > 30


# -- what it is -------------------------------------------------------------------------------------------------------


def small(statistic: str, *, join: str = "JOIN") -> Spec:
    return drawn.spec_of(drawn.world(3), f"SELECT {statistic} AS n {keys().replace('JOIN', join)}")


def what(statistic: str) -> Aggregate:
    (output,) = bind(small(statistic)).outputs
    assert isinstance(output.what, Aggregate)
    return output.what


def test_what_is_written_in_two_ways_is_one_statistic() -> None:
    rows = what("COUNT(CASE WHEN a.ia > 0 THEN 1 END)")
    assert rows.statistic is Statistic.COUNT_ROWS and rows.columns == ()
    assert (
        rows
        == what("SUM(CASE WHEN a.ia > 0 THEN 1 ELSE 0 END)")
        == what("COUNT(CASE WHEN (0 < a.ia) THEN 1 ELSE NULL END)")
    )
    total = what("SUM(CASE WHEN a.ia > 0 AND b.ib = 1 THEN b.ib ELSE 0 END)")
    assert total == what("SUM(CASE WHEN b.ib = 1 AND a.ia > 0 THEN b.ib END)")
    assert [own.dataset for own in total.when] == ["stays", "homes"]


@pytest.mark.parametrize(
    ("statistic", "join", "code"),
    [
        ("SUM(CASE WHEN a.ia > b.ib THEN a.ia END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN a.ia > 0 OR b.ib > 0 THEN a.ia END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN a.ia > 0 THEN a.ia WHEN a.ia < 0 THEN b.ib END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN a.ia > 0 THEN a.ia ELSE b.ib END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN a.ia > 0 THEN a.ia ELSE 1 END)", "JOIN", "sql.unsupported"),
        ("AVG(CASE WHEN a.ia > 0 THEN a.ia ELSE 0 END)", "JOIN", "sql.unsupported"),
        ("AVG(CASE WHEN a.ia > 0 THEN 1 END)", "JOIN", "sql.unsupported"),
        ("COUNT(CASE WHEN a.ia > 0 THEN 1 ELSE 0 END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN a.ia > 0 THEN 2 END)", "JOIN", "sql.argument"),
        ("MEDIAN(CASE WHEN a.ia > 0 THEN a.ia END)", "JOIN", "sql.unsupported"),
        ("CORR(CASE WHEN a.ia > 0 THEN a.ia END, b.ib)", "JOIN", "sql.unsupported"),
        ("SUM(CASE a.ia WHEN 1 THEN a.ia END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN 1 = 1 THEN a.ia END)", "JOIN", "sql.unsupported"),
        ("SUM(CASE WHEN b.ib IS NULL THEN a.ia END)", "LEFT JOIN", "sql.outer-where"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_what_to_write_instead(
    statistic: str, join: str, code: str
) -> None:
    with pytest.raises(SpecError) as caught:
        bind(small(statistic, join=join))
    assert caught.value.code == code, caught.value.text


def test_two_conditions_are_two_statistics_to_everyone_who_compares() -> None:
    one = small("SUM(CASE WHEN a.ia > 0 THEN b.ib END)")
    for changed in ("a.ia > 1", "a.ia >= 0", "b.ib > 0"):
        other = small(f"SUM(CASE WHEN {changed} THEN b.ib END)")
        assert compare(one, other).relation == "incomparable", changed
        assert release_of(one, bind(one)).parts != release_of(other, bind(other)).parts
    filtered = drawn.spec_of(drawn.world(3), f"SELECT SUM(b.ib) AS n {keys()} WHERE a.ia > 0")
    assert release_of(one, bind(one)).parts == release_of(filtered, bind(filtered)).parts, "the same rows as by WHERE"
    assert {Use.GROUP, Use.SUM} & set(uses_of(bind(one), one)[ColumnRef("stays", "ia")]) == {Use.GROUP}
    text = re.sub(r"^differential_privacy = .*$", "disclosure_control = { min_count = 10 }", to_toml(one), flags=re.M)
    assert "disclosure_control" in text


def test_the_audit_refuses_a_table_with_one(tmp_path: Path) -> None:
    exact = "disclosure_control = { min_count = 10 }"
    text = re.sub(
        r"^differential_privacy = .*$", exact, to_toml(small("COUNT(CASE WHEN a.ia > 0 THEN 1 END)")), flags=re.M
    )
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(AuditError) as caught:
        read(tmp_path)
    assert caught.value.code == "audit.table" and "CASE" in str(caught.value.fields["problem"])


# -- under disclosure control -----------------------------------------------------------------------------------------


def counts(statistics: str, **control: Any) -> list[str]:
    """The counts of persons that a table rests on."""
    world = controlled.world(1)
    text = f"SELECT {statistics} FROM stays a JOIN homes b ON a.id = b.id"
    for table in world.datasets:
        table["max_rows_per_person"] = 1
    spec = controlled.spec_of(world, text, {"min_count": 5, "zeros": "hidden", **control})
    made = effective(spec)
    assert made is not None
    return [count.name for count in protected(bind(spec), spec, made).counts]


def test_counts_of_persons_that_follow_are_held_against_the_minimum() -> None:
    """Those who meet a condition and those who do not; of two that exclude each other, those who meet neither."""
    beside = counts("COUNT(*) AS n, COUNT(CASE WHEN a.xa > 3 THEN 1 END) AS some")
    assert {"count(*) where stays.(xa > 3)", "count(*), and nothing more"} < set(beside)
    neither = counts(
        "COUNT(*) AS n, COUNT(CASE WHEN a.xa > 3 THEN 1 END) AS m, COUNT(CASE WHEN a.xa < 2 THEN 1 END) AS l"
    )
    assert not any("xa > 3" in name and "xa < 2" in name for name in neither), "nobody can be in both"
    assert any(name.startswith("count(*), and nothing more") for name in neither)
    inside = counts("COUNT(CASE WHEN a.xa > 3 THEN 1 END) AS m, COUNT(CASE WHEN a.xa > 1 THEN 1 END) AS l")
    assert any("xa > 1" in name and "nothing more" in name and "xa > 3" not in name for name in inside)


def test_a_condition_on_what_is_summed_would_undo_rounding() -> None:
    """Of values from 99 to 101 an exact sum tells how many there are."""
    text = "SELECT {}(CASE WHEN a.xa > 3 THEN {} END) AS n FROM stays a JOIN homes b ON a.id = b.id"
    for statistic, column, wanted in (("SUM", "a.xa", True), ("COUNT", "a.xa", False), ("SUM", "b.xb", False)):
        spec = controlled.spec_of(controlled.world(1), text.format(statistic, column), {"min_count": 10, "round_to": 5})
        said = [f for f in review(spec).verdict.errors if f.rule == "control.range" and "<- CASE <-" in f.path]
        assert bool(said) is wanted, (statistic, column)


def test_an_exact_table_shows_who_meets_a_condition_only_if_enough_do_and_enough_do_not() -> None:
    people = [f"p{number}" for number in range(120)]
    left = pd.DataFrame({"id": people, "ward": ["n"] * 60 + ["s"] * 60, "cost": range(120)})
    right = pd.DataFrame({"id": people, "rent": [1] * 30 + [9] * 30 + [1] * 57 + [9] * 3})
    net = pets.local_network({"board": {"a": left}, "council": {"h": right}, "helper": {}})
    text = (
        "SELECT ward, COUNT(*) AS n, COUNT(CASE WHEN rent > 5 THEN 1 END) AS dear, "
        "SUM(CASE WHEN rent > 5 THEN cost ELSE 0 END) AS cost FROM a JOIN h USING (id) GROUP BY ward"
    )
    frame = net.run(net.draft(text, control={"min_count": 5})).to_pandas().set_index("ward")
    assert frame.loc["n", ["n", "dear", "cost"]].tolist() == [60, 30, sum(range(30, 60))]
    assert frame.loc["s", "n"] == 60 and frame.loc["s", ["dear", "cost"]].isna().all()
    few = text.replace("rent > 5", "rent < 5")
    frame = net.run(net.draft(few, control={"min_count": 5})).to_pandas().set_index("ward")
    assert frame.loc["s", "n"] == 60 and frame.loc["s", ["dear", "cost"]].isna().all(), "57 of 60: the others are 3"
