"""The audit of withheld cells: nothing is found in what the reference protects, and everything that is planted."""

import itertools
import json
import random
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pets
from pets.audit import audit
from pets.bounds import Known, closest, short_of
from pets.check.differencing import judge
from pets.check.releases import Entry, release_of
from pets.errors import AuditError
from pets.ids import MISSING
from pets.released import Cell, Released, Totals, read, read_totals
from pets.spec.control import Control, control_of
from pets.spec.query import Aggregate, Statistic
from pets.spec.sql import bind
from pets.spec.write import to_toml
from tests import forked
from tests.check.releases import TERMS, spec_of
from tests.oracles import control as reference
from tests.oracles.control import Row

Person = dict[str, Any]
"""One row after the join, by column."""

ROOT = Path(__file__).parents[1]
COUNT = "COUNT(*) AS n"
MINUTES = ("max_rows_per_person = 4", "max_rows_per_person = 1")
"""One row a person, so that people are rows."""


def made_up(draw: random.Random, size: int, **columns: Sequence[Any]) -> list[Person]:
    defaults: dict[str, Sequence[Any]] = {
        "sex": ["females", "males"],
        "age_band": ["0-15", "16-44", "16-44", "45-64", "65-84", "85+"],
        "department": ["1", "2", "other"],
        "code": ["A01", "B02"],
        "tenure": ["own", "rent"],
        "minutes": [None, 30, 60],
        "breach": [0, 0, 1],
    }
    return [
        {"id": f"p{n}"} | {name: draw.choice(values) for name, values in (defaults | columns).items()}
        for n in range(size)
    ]


def release(
    name: str,
    sql: str,
    people: Iterable[Person],
    control: str = "min_count = 10",
    *changes: tuple[str, str],
    where: Callable[[Person], bool] = lambda _: True,
    naive: bool = False,
) -> Released:
    """A table as the reference protects it; ``naive``: without a care for known totals."""
    spec = spec_of(sql, *changes, control=control)
    query = bind(spec)
    held = control_of(spec.release.disclosure_control)  # type: ignore[arg-type]
    used = held if not naive else Control(held.min_count, held.zeros, held.round_to, held.rounding, held.dominance)
    names = [ref.column for ref in query.group_by]
    rows = [Row(each["id"], tuple(each[name] or MISSING for name in names), each) for each in people if where(each)]
    table = Released(name, spec, query, held, {})
    outputs = {o.name: _reference(table, o.what) for o in query.outputs if isinstance(o.what, Aggregate)}
    shown = reference.protect(rows, table.dimensions, [*outputs.values()], used)
    cells: Mapping[Cell, Mapping[str, Fraction | int | None]] = {
        cell: {name: numbers[one] for name, one in outputs.items()} for cell, numbers in shown.items()
    }
    return Released(name, spec, query, held, cells)


def _reference(table: Released, what: Aggregate) -> reference.Statistic:
    column = what.columns[0].column if what.columns else ""
    required = bool(column) and table.spec.dataset(what.columns[0].dataset).columns[column].required
    needs = frozenset[str]() if required else None
    match what.statistic:
        case Statistic.COUNT_ROWS:
            return reference.Statistic("rows")
        case Statistic.COUNT_PEOPLE:
            return reference.Statistic("people")
        case Statistic.COUNT_VALUES:
            return reference.Statistic("values", column, needs)
    return reference.Statistic("flag" if table.kind(what) == "flags" else "sum", column, needs)


def true_totals(of: Released, people: Iterable[Person], *columns: str) -> Totals:
    numbers: dict[Cell, int] = dict.fromkeys(itertools.product(*(of.dimensions[each] for each in columns)), 0)
    for each in people:
        numbers[tuple(each[name.partition(".")[2]] or MISSING for name in columns)] += 1
    return Totals(of, columns, numbers)


# -- what is protected -------------------------------------------------------------------------------------------------


def lines_protected(draw: random.Random, tables: int) -> int:
    """Random tables of two dimensions with known totals of their lines, protected by the reference, in one system.

    Returns: how many cells are withheld. Fails if one of them is bounded more closely than its policy leaves open.
    """
    known: list[Known] = []
    asked: list[np.ndarray[Any, Any]] = []
    allowed: list[tuple[int, int]] = []
    size = 0
    for _ in range(tables):
        minimum, zeros = draw.choice([2, 5, 8, 10]), draw.choice(["shown", "hidden"])
        base, rounding = draw.choice([(1, "nearest"), (5, "nearest"), (6, "midpoint")])
        control = Control(minimum, zeros, base, rounding)  # type: ignore[arg-type]
        scale = draw.choice([3, 10, 40])
        for _ in range(draw.randint(1, 4)):
            line = [(str(n), MISSING if n == 0 else "") for n in range(draw.randint(2, 7))]
            counts = [draw.choice([0, draw.randint(0, minimum), draw.randint(0, scale)]) for _ in line]
            persons = {cell: (count,) for cell, count in zip(line, counts, strict=True)}
            small = {cell for cell, (count,) in persons.items() if not control.enough(count)}
            gone = reference.also_withheld(line, small, persons, control)
            places = np.arange(size, size + len(line))
            size += len(line)
            total = sum(counts)
            known.append(Known(places, total, total))
            for place, cell, count in zip(places, line, counts, strict=True):
                if cell in gone:
                    asked.append(np.array([place]))
                    allowed.append((min(int(zeros == "shown"), total), min(minimum - 1, total)))
                else:
                    known.append(Known(np.array([place]), *control.behind(control.rounded(count))))
    found = closest(size, known, asked, most=10_000)
    assert all(low <= least and high >= most for (low, high), (least, most) in zip(found, allowed, strict=True))
    return len(asked)


def test_nothing_that_the_reference_withholds_follows_from_known_totals() -> None:
    assert lines_protected(random.Random("500"), 500) > 1000


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_that_the_reference_withholds_follows_from_known_totals_of_ten_thousand_tables() -> None:
    draw = random.Random("10000")
    assert sum(lines_protected(draw, 1000) for _ in range(10)) > 20_000


STATISTICS = (
    f"{COUNT}",
    f"{COUNT}, COUNT(a.minutes) AS known, SUM(a.minutes) AS minutes, SUM(a.breach) AS breaches",
    "COUNT(DISTINCT a.nhs_number) AS people, SUM(a.minutes) AS minutes",
)


def whole_tables(draw: random.Random, tables: int) -> int:
    """Random tables from people, through specification, query and audit, with totals that recipients know."""
    seen = 0
    for number in range(tables):
        people = made_up(draw, draw.choice([20, 60, 200]), sex=[None, "females", "males", "males"])
        known = draw.choice([["attendances.sex"], []])
        chain = json.dumps([known, []] if known else [[]])
        extra = draw.choice(["", '\nzeros = "shown"', "\nround_to = 5", '\nround_to = 6\nrounding = "midpoint"'])
        sql = f"SELECT a.sex, a.age_band, {STATISTICS[number % 3]} GROUP BY a.sex, a.age_band"
        control = f"min_count = {draw.choice([3, 8, 10])}{extra}\nknown_totals = {chain}"
        table = release("one", sql, people, control, *([MINUTES] if number % 2 else []))
        found = audit([table], [true_totals(table, people, *known)]).require()
        seen += len(found.withheld)
    return seen


def test_whole_tables_pass_with_the_totals_that_they_declare_as_known() -> None:
    assert whole_tables(random.Random("whole"), 12) > 100


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_whole_tables_pass() -> None:
    assert whole_tables(random.Random("many"), 400) > 4000


def test_tables_that_tell_nothing_together_pass() -> None:
    """The same table twice; tables by other columns, rounded; a table of other people."""
    people = made_up(random.Random("twice"), 400)
    by_age = f"SELECT a.age_band, {COUNT} GROUP BY a.age_band"
    one, two = release("one", by_age, people), release("two", by_age, people)
    assert audit([one, two]).require().groups == 6
    rounded = [
        release(name, f"SELECT a.{name}, {COUNT} GROUP BY a.{name}", people, "min_count = 8\nround_to = 5")
        for name in ("age_band", "sex", "department")
    ]
    audit(rounded).require()
    girls = release(
        "girls",
        f"SELECT a.age_band, {COUNT} WHERE a.sex = 'females' GROUP BY a.age_band",
        people,
        where=lambda p: p["sex"] == "females",
    )
    boys = release(
        "boys",
        f"SELECT a.age_band, {COUNT} WHERE a.sex = 'males' GROUP BY a.age_band",
        people,
        where=lambda p: p["sex"] == "males",
    )
    audit([girls, boys]).require()


# -- what is planted ---------------------------------------------------------------------------------------------------


def small(count: int, **of: Any) -> list[Person]:
    """People who have all these in common."""
    draw = random.Random("small")
    return [person | of | {"id": f"s{n}"} for n, person in enumerate(made_up(draw, count))]


def test_180_of_183_leave_3() -> None:
    """gtsummary#1691: a cell is withheld, and a total of an earlier table gives it away."""
    people = [p | {"code": "A01"} for p in made_up(random.Random("180"), 180)] + small(3, code="B02")
    total = release("total", f"SELECT {COUNT}", people)
    control = 'min_count = 10\nzeros = "shown"'
    table = release("table", f"SELECT a.code, {COUNT} GROUP BY a.code", people, control)
    assert table.cells["B02",] == {"n": None} and table.cells["A01",] == {"n": 180}
    audit([table]).require()
    (found,) = audit([total, table]).close
    assert (found.table, found.cell, found.statistic, found.low, found.high) == ("table", ("B02",), "n", 3, 3)
    with pytest.raises(AuditError) as refused:
        audit([total, table]).require()
    assert refused.value.code == "audit.too-close" and "3" not in refused.value.text
    declared = release("table", f"SELECT a.code, {COUNT} GROUP BY a.code", people, control + "\nknown_totals = [[]]")
    audit([total, declared]).require()


def test_a_small_cell_that_is_alone_in_its_line() -> None:
    """Row-wise unique: each line has one withheld cell, and recipients know the lines' totals."""
    people = [
        *small(40, sex="females", department="1"),
        *[p | {"id": "t" + p["id"]} for p in small(4, sex="females", department="2")],
        *[p | {"id": "u" + p["id"]} for p in small(5, sex="males", department="1")],
        *[p | {"id": "v" + p["id"]} for p in small(40, sex="males", department="2")],
    ]
    sql = f"SELECT a.sex, a.department, {COUNT} GROUP BY a.sex, a.department"
    control = 'min_count = 10\nzeros = "shown"\nknown_totals = [["attendances.sex"]]'
    naive = release("naive", sql, people, control, naive=True)
    found = audit([naive], [true_totals(naive, people, "attendances.sex")])
    assert [(each.cell, each.low, each.high) for each in found.close] == [
        (("females", "2"), 4, 4),
        (("males", "1"), 5, 5),
    ]
    audit([naive]).require()
    protected = release("protected", sql, people, control)
    audit([protected], [true_totals(protected, people, "attendances.sex")]).require()


def test_a_margin_that_was_not_declared_as_known() -> None:
    """The block of a small cell is withheld in its own line; across, its neighbour of the other line is shown."""
    people = made_up(random.Random("margins"), 400) + small(4, sex="males", age_band="85+")
    people = [p for p in people if (p["sex"], p["age_band"]) != ("males", "85+") or p["id"].startswith("s")]
    sql = f"SELECT a.sex, a.age_band, {COUNT} GROUP BY a.sex, a.age_band"
    control = 'min_count = 10\nzeros = "shown"\nknown_totals = [["attendances.sex"]]'
    table = release("table", sql, people, control)
    by_sex, by_age = (true_totals(table, people, f"attendances.{name}") for name in ("sex", "age_band"))
    audit([table], [by_sex]).require()
    assert [(each.cell, each.low, each.high) for each in audit([table], [by_sex, by_age]).close][-1] == (
        ("males", "85+"),
        4,
        4,
    )


def test_two_tables_with_a_margin_in_common() -> None:
    """Linked tables (sdcTable#136, ACRO#137): what one withholds the other adds up to."""
    people = made_up(random.Random("linked"), 300, sex=["females"]) + small(4, sex="males")
    by_age = release("by age", f"SELECT a.sex, {COUNT} GROUP BY a.sex", people, 'min_count = 10\nzeros = "shown"')
    by_tenure = release(
        "by tenure", f"SELECT h.tenure, {COUNT} GROUP BY h.tenure", people, 'min_count = 10\nzeros = "shown"'
    )
    assert by_age.cells["males",] == {"n": None}
    (found,) = audit([by_age, by_tenure]).close
    assert (found.low, found.high) == (4, 4)


def test_a_group_that_no_table_shows() -> None:
    """D03: all people less all but a few. Nothing is withheld in either table."""
    people = made_up(random.Random("few"), 300, code=["A01"]) + small(4, code="Z99")
    every = release("every", f"SELECT {COUNT}", people)
    most = release("most", f"SELECT {COUNT} WHERE a.code <> 'Z99'", people, where=lambda p: p["code"] != "Z99")
    found = audit([every, most])
    assert found.withheld == () and [(g.inside, g.outside, g.high) for g in found.implied] == [
        (("every",), ("most",), 4)
    ]
    with pytest.raises(AuditError, match="follows from every, most"):
        found.require()
    rounded = [
        release(t.name, t_sql, people, "min_count = 5\nround_to = 5", where=where)
        for t, t_sql, where in (
            (every, f"SELECT {COUNT}", lambda _: True),
            (most, f"SELECT {COUNT} WHERE a.code <> 'Z99'", lambda p: p["code"] != "Z99"),
        )
    ]
    audit(rounded).require()


def test_a_condition_on_a_column_that_no_table_divides_by() -> None:
    """The age band 85+ has three people of a nursing home: tables by sex with and without them."""
    people = made_up(random.Random("home"), 300, age_band=["0-15", "16-44"]) + small(3, age_band="85+", sex="males")
    by_sex = f"SELECT a.sex, {COUNT} GROUP BY a.sex"
    every = release("every", by_sex, people)
    young = release(
        "young",
        f"SELECT a.sex, {COUNT} WHERE a.age_band IN ('0-15', '16-44') GROUP BY a.sex",
        people,
        where=lambda p: p["age_band"] != "85+",
    )
    found = {(group.cell, group.high) for group in audit([every, young]).implied}
    assert found == {(("males",), 3), (("females",), 0)}


def test_people_are_no_more_than_their_rows_and_no_fewer_than_in_a_part() -> None:
    people = small(30, code="A01") + [p | {"id": f"x{p['id']}"} for p in small(4, code="B02")]
    control = 'min_count = 10\nzeros = "shown"'
    distinct = "COUNT(DISTINCT a.nhs_number) AS people"
    by_code = release("by code", f"SELECT a.code, {distinct} GROUP BY a.code", people, control)
    rows = release("rows", f"SELECT {COUNT}", people, control)
    assert by_code.cells["B02",] == {"people": None}
    found = {each.cell: (each.low, each.high) for each in audit([by_code, rows]).withheld}
    assert found["B02",] == (0, 4), "34 rows, of which 30 are of other people or more"
    total = release("total", f"SELECT {distinct}", people, control)
    assert {e.cell: (e.low, e.high) for e in audit([by_code, total]).withheld}["B02",] == (4, 34)


def test_a_sum_bounds_the_rows_it_is_of() -> None:
    """A tool that withholds COUNT(x) for the few who have no value, and shows the sum: it is of at most 1440 each."""
    people = made_up(random.Random("sum"), 40, minutes=[1440]) + small(2, minutes=None)
    sql = f"SELECT {COUNT}, COUNT(a.minutes) AS known, SUM(a.minutes) AS minutes"
    ours = release("sums", sql, people, 'min_count = 10\nzeros = "shown"')
    assert ours.cells[()] == {"n": 42, "known": None, "minutes": None}
    theirs = Released("theirs", ours.spec, ours.query, ours.control, {(): {"n": 42, "known": None, "minutes": 57_600}})
    (found,) = audit([theirs]).close
    assert (found.statistic, found.low, found.high) == ("known", 40, 42)


def test_those_without_a_value_follow_from_two_counts() -> None:
    """COUNT(*) less COUNT(x), where a tool shows both. Ours withholds the second, unless nobody is left."""
    people = made_up(random.Random("missing"), 40, minutes=[30]) + small(2, minutes=None)
    sql = f"SELECT {COUNT}, COUNT(a.minutes) AS known"
    for control, most in (("min_count = 10", 2), ('min_count = 10\nzeros = "shown"', 2)):
        ours = release("ours", sql, people, control)
        assert ours.cells[()] == {"n": 42, "known": None}
        audit([ours]).require()
        theirs = Released("theirs", ours.spec, ours.query, ours.control, {(): {"n": 42, "known": 40}})
        (found,) = audit([theirs]).implied
        assert (found.inside, found.outside, found.high) == (("theirs",), (), most)
        audit([release("full", sql, people[:40], control)]).require()
    audit([release("rounded", sql, people, "min_count = 8\nround_to = 5")]).require()


def test_contradictions_and_tables_that_cannot_be_held_together_are_refused() -> None:
    people = made_up(random.Random("other"), 100)
    total, other = release("total", f"SELECT {COUNT}", people), release("other", f"SELECT {COUNT}", people[:-20])
    with pytest.raises(AuditError, match="no records have all of these tables"):
        audit([total, other])
    by_code = f"SELECT a.code, {COUNT} GROUP BY a.code"
    levels = json.dumps(["A01", "B02", "C03", "Z99"])
    more = (levels, levels.replace("Z99", "D04"))
    grown = release("grown", by_code, people, "min_count = 10", more)
    with pytest.raises(AuditError, match="has other levels"):
        audit([release("code", by_code, people), grown])
    wrong = Released(total.name, total.spec, total.query, total.control, {(): {"n": 4}})
    with pytest.raises(AuditError, match="does not show"):
        audit([wrong])


def test_the_bounds_of_unknowns() -> None:
    pair = np.array([0, 1])
    assert closest(2, [Known(pair, 10, 12)], [pair, np.array([1])], most=100) == [(10, 12), (0, 12)]
    assert closest(2, [], [np.array([0])], most=100) == [(0, 100)]
    assert closest(1, [], [], most=100) == []
    assert short_of(2, [Known(pair, 5, 5)], [np.array([0]), np.array([1])], [5, 6], most=9) == {1: 5}
    with pytest.raises(AuditError, match="at most"):
        closest(10**6, [], [pair], most=1)
    with pytest.raises(AuditError, match="no records"):
        closest(2, [Known(pair, 3, 3), Known(np.array([0]), 4, 9)], [pair], most=100)


def test_bounds_agree_with_trying_every_table() -> None:
    """Against brute force, on small systems with marginals of two kinds."""
    draw, seen = random.Random("brute"), 0
    cells = [(r, c) for r in range(2) for c in range(3)]
    for _ in range(25):
        counts = {cell: draw.randint(0, 3) for cell in cells}
        hidden = draw.sample(cells, draw.randint(2, 5))
        index = {cell: place for place, cell in enumerate(cells)}
        known = [Known(np.array([index[c]]), counts[c], counts[c]) for c in cells if c not in hidden]
        groups = [[c for c in cells if c[0] == r] for r in range(2)] + [
            [c for c in cells if c[1] == k] for k in range(3)
        ]
        kept = draw.sample(groups, draw.randint(1, 5))
        for group in kept:
            total = sum(counts[c] for c in group)
            known.append(Known(np.array([index[c] for c in group]), total, total))
        found = closest(6, known, [np.array([index[c]]) for c in hidden], most=9)
        free = [dict(zip(hidden, numbers, strict=True)) for numbers in itertools.product(range(10), repeat=len(hidden))]
        fit = [
            each
            for each in free
            if all(sum((counts | each)[c] for c in group) == sum(counts[c] for c in group) for group in kept)
        ]
        for cell, (low, high) in zip(hidden, found, strict=True):
            numbers = [each[cell] for each in fit]
            assert (min(numbers), max(numbers)) == (low, high)
            seen += 1
    assert seen > 50


# -- the guard ---------------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, Callable[[Person], bool]] = {
    "": lambda _: True,
    " WHERE a.sex = 'females'": lambda p: p["sex"] == "females",
    " WHERE a.sex = 'males'": lambda p: p["sex"] == "males",
    " WHERE a.code = 'A01'": lambda p: p["code"] == "A01",
    " WHERE a.age_band IN ('16-44', '45-64')": lambda p: p["age_band"] in ("16-44", "45-64"),
}
GROUPINGS = ((), ("a.sex",), ("a.sex", "a.age_band"), ("a.age_band",), ("h.tenure", "a.sex"), ("a.department",))


def guarded(draw: random.Random, histories: int) -> tuple[int, int]:
    """Releases in a row, as a server lets them pass that holds each against those before; then the audit of them all.

    Returns: how many passed after others, and how many histories the audit had something to say of that was not asked.
    """
    passed = stopped = 0
    for number in range(histories):
        people = made_up(draw, draw.choice([15, 40, 90]))
        let: list[Released] = []
        entries: list[Entry] = []
        asked = [
            (draw.choice(GROUPINGS), draw.choice(list(CONDITIONS)), draw.choice(["shown", "shown", "hidden"]))
            for _ in range(5)
        ]
        tables = []
        for place, (groups, where, zeros) in enumerate(asked):
            names = ", ".join(groups)
            sql = f"SELECT {names + ', ' if names else ''}{COUNT}{where}{' GROUP BY ' + names if names else ''}"
            control = f'min_count = 10\nzeros = "{zeros}"'
            table = release(f"{number}.{place}", sql, people, control, MINUTES, where=CONDITIONS[where])
            tables.append(table)
            entry = Entry(str(place), release_of(table.spec, table.query), {"attendances": "1", "housing": "1"}, None)
            if not judge(entries, entry, TERMS):
                let.append(table)
                entries.append(entry)
        audit(let).require()
        passed += len(let) - 1
        found = audit(tables)
        stopped += bool(found.close or found.implied)
    return passed, stopped


def test_what_the_guard_lets_pass_together_passes_the_audit() -> None:
    passed, stopped = guarded(random.Random("guard"), 8)
    assert passed > 2 and stopped > 2


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_the_guard_lets_pass_together_passes_the_audit_in_many_histories() -> None:
    passed, stopped = guarded(random.Random("guard, long"), 400)
    assert passed > 100 and stopped > 200


# -- the command -------------------------------------------------------------------------------------------------------


def write(table: Released, folder: Path) -> Path:
    """A folder of evidence as far as the audit reads it."""
    folder.mkdir()
    (folder / "spec.toml").write_text(to_toml(table.spec))
    names = [output.name for output in table.query.outputs]
    lines = [",".join(names)]
    for cell, numbers in table.cells.items():
        levels = iter(cell)
        lines.append(
            ",".join(
                ("" if (number := numbers[o.name]) is None else str(number))
                if isinstance(o.what, Aggregate)
                else next(levels)
                for o in table.query.outputs
            )
        )
    (folder / "result.csv").write_text("\n".join(lines) + "\n")
    return folder


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return forked.pets("audit", *map(str, arguments), seconds=60)


def test_what_an_output_checker_sees(tmp_path: Path) -> None:
    people = [p | {"code": "A01"} for p in made_up(random.Random("180"), 180)] + small(3, code="B02")
    control = 'min_count = 10\nzeros = "shown"'
    table = write(release("t", f"SELECT a.code, {COUNT} GROUP BY a.code", people, control), tmp_path / "table")
    total = write(release("t", f"SELECT {COUNT}", people, control), tmp_path / "total")
    alone = command(table)
    assert alone.returncode == 0 and "table: 1 numbers withheld, 0 too close" in alone.stdout
    assert "B02" in alone.stdout and "0 or more" in alone.stdout
    both = command(total, table)
    assert both.returncode == 2 and "3 to 3" in both.stdout and "too close" in both.stdout
    assert "withheld cells of table follow more closely" in both.stderr
    (tmp_path / "known.csv").write_text("rows\n183\n")
    known = command(table, "--known", tmp_path / "known.csv")
    assert known.returncode == 2 and "3 to 3" in known.stdout
    (tmp_path / "known.csv").write_text("attendances.code,rows\nA01,180\nB02,many\n")
    assert "no whole number" in command(table, "--known", tmp_path / "known.csv").stderr


def test_a_table_is_read_back_as_it_was_released(tmp_path: Path) -> None:
    people = made_up(random.Random("read"), 60, sex=[None, "females"])
    sql = f"SELECT a.sex, {STATISTICS[1]}, a.age_band GROUP BY a.sex, a.age_band"
    one = release("folder", sql, people)
    again = read(write(one, tmp_path / "folder"))
    assert again.cells == one.cells and again.control == one.control and again.name == "folder"
    totals = read_totals(_file(tmp_path / "k.csv", "attendances.sex,rows\nfemales,30\n"), again)
    assert totals.numbers == {("females",): 30}


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("sex,", "six,"), "its columns are not those of its query"),
        (lambda text: text + text.splitlines()[1] + "\n", "a row is there twice"),
        (lambda text: text.replace("females", "woman", 1), "a level that is none"),
        (lambda text: text + '"', "is no CSV"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, change: Callable[[str], str], says: str) -> None:
    people = made_up(random.Random("read"), 60)
    folder = write(release("x", f"SELECT a.sex, {COUNT} GROUP BY a.sex", people), tmp_path / "x")
    (folder / "result.csv").write_text(change((folder / "result.csv").read_text()))
    with pytest.raises(AuditError, match=says):
        read(folder)


def test_a_table_with_noise_is_not_audited(tmp_path: Path) -> None:
    folder = write(release("x", f"SELECT {COUNT}", []), tmp_path / "x")
    (folder / "spec.toml").write_text(to_toml(spec_of(f"SELECT {COUNT}", noise=True)))
    with pytest.raises(AuditError, match="a release with noise"):
        read(folder)


def test_known_totals_of_something_else_are_refused(tmp_path: Path) -> None:
    table = release("x", f"SELECT {COUNT}", [])
    with pytest.raises(AuditError, match="not grouping columns of x"):
        read_totals(_file(tmp_path / "k.csv", "attendances.sex,rows\nfemales,30\n"), table)


# -- a real run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "control",
    [
        {"min_count": 10},
        {"preset": "nes-1-to-9"},
        {"preset": "opensafely-7-5"},
        {"min_count": 8, "zeros": "shown", "round_to": 6, "rounding": "midpoint"},
    ],
    ids=str,
)
def test_what_three_parties_release_is_what_the_reference_shows(control: dict[str, Any], tmp_path: Path) -> None:
    """The same people, in a network of parties and in the clear; what was run is read back and audited."""
    people = made_up(random.Random(str(control)), 160, sex=["f", "f", "f", "m", None], code=[*"aaaaabbbccdd", "e"])
    left = pd.DataFrame([{name: each[name] for name in ("id", "sex", "code", "minutes")} for each in people])
    left["minutes"] = left["minutes"].astype("Int64")
    right = pd.DataFrame([{name: each[name] for name in ("id", "breach", "tenure")} for each in people])
    net = pets.local_network({"board": {"a": left}, "council": {"h": right}, "helper": {}})
    whole = ", ".join(["COUNT(*) AS n", "COUNT(minutes) AS known", "SUM(minutes) AS total", "SUM(breach) AS breaches"])
    for number, names in enumerate((("code", "tenure"), ())):
        groups = ", ".join(names)
        sql = f"SELECT {groups + ', ' if groups else ''}{whole} FROM a JOIN h USING (id)"
        result = net.run(net.draft(sql + (f" GROUP BY {groups}" if groups else ""), control=control))
        result.save(tmp_path / f"{number}.csv")
        table = read(tmp_path / f"{number}.evidence")
        rows = [Row(each["id"], tuple(each[name] or MISSING for name in names), each) for each in people]
        outputs = {o.name: _reference(table, o.what) for o in table.query.outputs if isinstance(o.what, Aggregate)}
        shown = reference.protect(rows, table.dimensions, [*outputs.values()], table.control)
        assert table.cells == {
            cell: {name: numbers[one] for name, one in outputs.items()} for cell, numbers in shown.items()
        }
        assert number == 1 or any(None in numbers.values() for numbers in shown.values())
        audit([table]).require()


def test_what_is_said_to_be_withheld_is_read_as_withheld(tmp_path: Path) -> None:
    """The word that a result writes in the place of a number: an audit of its own files takes it for one."""
    stays = pd.DataFrame({"id": [f"p{n}" for n in range(40)], "ward": ["n"] * 36 + ["s"] * 4})
    net = pets.local_network({"nhs": {"stays": stays}, "council": {"homes": stays[["id"]]}, "helper": {}})
    text = "SELECT ward, COUNT(*) AS n FROM stays JOIN homes USING (id) GROUP BY ward"
    net.run(net.draft(text, control={"min_count": 10})).save(tmp_path / "t.csv")
    assert b"s,withheld,," in (tmp_path / "t.csv").read_bytes()
    assert read(tmp_path / "t.evidence").numbers("n") == {("n",): 36, ("s",): None, ("(missing)",): None}
