"""The part of a WHERE that a PostgreSQL server decides: never too few rows, and as many fewer as it can tell."""

import datetime as dt
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from pets.ids import SpecDigest
from pets.party import postgres
from pets.party.database import Postgres, PostgresSource
from pets.party.freezer import asked_of
from pets.party.pushdown import Held, selection
from pets.party.sources import Kind, read
from pets.spec.ir import Factor, Plan
from pets.spec.model import Column
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate
from tests.party.cluster import Cluster
from tests.party.test_postgres import VISITS, dataset, fill, kept, snap, source
from tests.party.test_sources import COST, LEVELS, MINUTES, PREDICATES, declared, frame, plain, rows_of, step, truth

CLAMPED = Column(role="measure", type="integer", min=0, max=10, clamp=True)
PUSHED = {"native": 18, "as others store it": 15, "all text": 7}
"""Of the conditions of ``PREDICATES``, how many leave rows in the database, by how it stores them."""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return frame(500, seed=5)


@pytest.fixture(scope="module", params=VISITS)
def visits(request: pytest.FixtureRequest, database: Cluster, data: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The same records as each of ``VISITS`` stores them: what that is called, and the table's name."""
    name = "visits_" + request.param.replace(" ", "_")
    database.run(f"CREATE TABLE {name} ({VISITS[request.param]})")
    fill(database, name, data)
    yield request.param, name
    database.run(f"DROP TABLE {name}")


def test_a_run_reads_the_same_rows_wherever_the_condition_was_decided(
    database: Cluster, visits: tuple[str, str], data: pd.DataFrame, tmp_path: Path
) -> None:
    stored, name = visits
    people, fewer = int(data["who"].notna().sum()), 0
    for where in PREDICATES:
        taken = snap(tmp_path, source(database, name), declared(), where=where)
        table = read(taken, step(MINUTES, COST, where=where, dimensions=("tenure", "band")), declared())
        assert rows_of(table) == plain(data, where), where
        assert taken.report.rows >= table.rows
        fewer += taken.report.rows < people
    assert fewer == PUSHED[stored]


# -- random conditions, decided by the server alone ------------------------------------------------------------------


def literal(rng: random.Random, column: str) -> Any:
    match column:
        case "tenure" | "band":
            return rng.choice(LEVELS[column])
        case "ward":
            return rng.choice(["north", "NORTH", "o'south", "?", '"', "%s", "\\", "", "é"])
        case "minutes":
            return rng.choice([0, 1, 300, 999])
        case "n":
            return rng.choice([-1, 0, 2**40, 2**53 - 1])
        case "day":
            return dt.date(2026, 1, 1) + dt.timedelta(days=rng.randrange(60))
        case _:
            return Fraction(rng.randrange(-200, 200), 100)


def condition(rng: random.Random, depth: int) -> Predicate:
    if depth and rng.random() < 0.7:
        parts = tuple(condition(rng, depth - 1) for _ in range(rng.randrange(2, 4)))
        return rng.choice([All(parts), AnyOf(parts), Not(parts[0])])
    column = rng.choice(["tenure", "band", "ward", "minutes", "cost", "fee", "n", "day"])
    if rng.random() < 0.25:
        return IsNull(column, negated=rng.random() < 0.5)
    if rng.random() < 0.35:
        several = tuple({literal(rng, column): 0 for _ in range(3)})
        return In(column, several, negated=rng.random() < 0.5)
    ops = ["=", "<>"] if column in ("tenure", "band", "ward") else ["=", "<>", "<", "<=", ">", ">="]
    return Compare(column, rng.choice(ops), literal(rng, column))  # type: ignore[arg-type]


def records(data: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for raw in data.to_dict("records"):
        row: dict[str, Any] = {str(k): None if pd.isna(v) else v for k, v in raw.items()}
        for decimal in ("cost", "fee"):
            row[decimal] = None if row[decimal] is None else Fraction(round(float(row[decimal]) * 100), 100)
        rows.append(row)
    return rows


def test_random_conditions_leave_out_nothing_that_is_asked_for(
    database: Cluster, visits: tuple[str, str], data: pd.DataFrame
) -> None:
    stored, name = visits
    rng, rows, pushed = random.Random(17), records(data), 0
    kinds, number = kinds_of(database, name), places(database, name)
    for _ in range(300):
        where = condition(rng, 3)
        asked = {i for i, row in enumerate(rows) if truth(where, row) is True}
        selected = selection(where, declared(), kinds)
        if selected is None:
            continue
        pushed += 1
        sql = f"SELECT (ctid::text::point)[0] * 1000 + (ctid::text::point)[1] FROM {name} WHERE {selected.sql}"
        found = {number[at] for (at,) in database.admin.execute(sql, selected.values).fetchall()}  # type: ignore[arg-type]
        assert asked <= found, where
        if stored == "native" and "cost" not in str(where):
            assert asked == found, where
    assert pushed > 60


def places(database: Cluster, name: str) -> dict[float, int]:
    """Number of the record by where it lies; rows lie in the order in which they came."""
    sql = f"SELECT (ctid::text::point)[0] * 1000 + (ctid::text::point)[1] AS at FROM {name} ORDER BY at"
    return {at: i for i, (at,) in enumerate(database.admin.execute(sql).fetchall())}  # type: ignore[arg-type]


def kinds_of(database: Cluster, name: str) -> dict[str, Held]:
    with postgres.opened(source(database, name), dataset="visits") as opened:
        names = list(declared().columns)
        return {c: Held(c, kind) for c, kind in zip(names, opened.kinds(names), strict=True)}


# -- where two engines could differ ----------------------------------------------------------------------------------


def test_text_is_compared_byte_by_byte_whatever_its_collation(database: Cluster, tmp_path: Path) -> None:
    database.run(
        "CREATE COLLATION nobody_cares (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        "CREATE TABLE collated (id text, x text COLLATE nobody_cares)",
        "INSERT INTO collated VALUES ('a', 'rent'), ('b', 'RENT'), ('c', 'rént'), ('d', NULL)",
    )
    try:
        about = dataset(x=Column(role="filter only", type="text"))
        for where, ids in (
            (Compare("x", "=", "rent"), [b"a"]),
            (Compare("x", "<>", "rent"), [b"b", b"c"]),
            (In("x", ("rent", "rént")), [b"a", b"c"]),
            (In("x", ("rent",), negated=True), [b"b", b"c"]),
        ):
            assert kept(snap(tmp_path, source(database, "collated"), about, where=where))["id"] == ids, where
    finally:
        database.run("DROP TABLE collated", "DROP COLLATION nobody_cares")


TEXT, DAY, NUMBER = (Column(role="filter only", type=t) for t in ("text", "date", "integer"))  # type: ignore[arg-type]
TENTHS, PENCE = (Column(role="filter only", type="decimal", places=p) for p in (1, 2))


@pytest.mark.parametrize(
    ("type_", "value", "column", "where"),
    [
        ("char(9)", "'rent'", TEXT, Compare("x", "=", "rent")),
        ("text", "'rent '", TEXT, Compare("x", "<>", "rent")),
        ("numeric", "1.005", PENCE, Compare("x", "=", Fraction(101, 100))),
        ("numeric", "-0.0049999999999999999999", PENCE, Compare("x", "<", Fraction(0))),
        ("numeric", "7.000", NUMBER, Compare("x", "=", 7)),
        ("timestamp", "'2026-01-31 23:59:59.999999'", DAY, Compare("x", "=", dt.date(2026, 1, 31))),
        ("float8", "0.1", TENTHS, Compare("x", "=", Fraction(1, 10))),
        ("bigint", "99", CLAMPED, Compare("x", "=", 10)),
        ("boolean", "true", NUMBER, Compare("x", "=", 1)),
        ("boolean", "true", TEXT, Compare("x", "=", "true")),
        ("text", "' 7 '", NUMBER, Compare("x", ">=", 7)),
    ],
)
def test_a_value_that_the_snapshot_changes_is_not_lost_before(
    database: Cluster, tmp_path: Path, type_: str, value: str, column: Column, where: Predicate
) -> None:
    database.run(f"CREATE TABLE changed AS SELECT 'a' AS id, {value}::{type_} AS x")
    try:
        about = dataset(x=column)
        taken = snap(tmp_path, source(database, "changed"), about, where=where)
        assert read(taken, step(Factor(), where=where), about).rows == taken.report.rows == 1
    finally:
        database.run("DROP TABLE changed")


def test_rows_that_are_not_asked_for_are_neither_judged_nor_counted(database: Cluster, tmp_path: Path) -> None:
    database.run(
        "CREATE TABLE judged AS SELECT * FROM (VALUES ('a', 5, DATE '2026-02-01'), ('b', 500, DATE '2026-01-01'), "
        "('b', 500, NULL), ('b', 0, DATE '2026-01-01')) v (id, n, day)"
    )
    try:
        about = dataset(
            most=1,
            rows=1,
            n=Column(role="measure", type="integer", min=0, max=9),
            day=Column(role="filter only", type="date"),
        )
        taken = snap(tmp_path, source(database, "judged"), about, where=Compare("day", ">=", dt.date(2026, 2, 1)))
        assert (taken.report.rows, kept(taken)["m_n"]) == (1, [5])
        assert taken.report.lines()[0] == "read id, n, day of public.judged, rows with \"day\"::date >= '2026-02-01'"
    finally:
        database.run("DROP TABLE judged")


def test_a_value_that_another_encoding_may_not_have_stays_here(database: Cluster, tmp_path: Path) -> None:
    database.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        parameters = {**database.socket, "dbname": "latin"}
        with psycopg.connect(**parameters | {"user": "admin"}, client_encoding="UTF8") as admin:  # type: ignore[arg-type]
            admin.execute("CREATE TABLE t AS SELECT 'a' AS id, 'é' AS x")
            admin.execute("GRANT SELECT ON t TO pets")
        where = In("x", ("é", "漢"))
        about = dataset(x=Column(role="filter only", type="text"))
        taken = snap(tmp_path, PostgresSource(Postgres("latin", parameters), "t"), about, where=where)
        assert read(taken, step(Factor(), where=where), about).rows == 1
    finally:
        database.run("DROP DATABASE latin")


# -- what is written --------------------------------------------------------------------------------------------------


def written(where: Predicate, *kinds: Kind) -> str | None:
    """SQL for columns x (text), d (date) and n (integer), of these kinds in the database."""
    held = dict(zip(("x", "d", "n", "id"), (*(kinds or ("text", "date", "integer")), "text"), strict=True))
    made = selection(where, dataset(x=TEXT, d=DAY, n=NUMBER), {c: Held(f"{c} %", kind) for c, kind in held.items()})
    if made is None:
        return None
    assert made.sql.replace("%%", "").count("%s") == len(made.values)
    return str(made)


YES, NO = Compare("n", "=", 1), Compare("id", "=", "a")


@pytest.mark.parametrize(
    ("where", "sql"),
    [
        (YES, '"n %" = 1'),
        (NO, None),
        (All((YES, NO, YES)), '("n %" = 1 AND "n %" = 1)'),
        (All((NO, NO)), None),
        (AnyOf((YES, NO)), None),
        (AnyOf((YES, All((NO, YES)))), '("n %" = 1 OR ("n %" = 1))'),
        (Not(YES), '(NOT "n %" = 1)'),
        (Not(All((YES, NO))), None),
        (Not(AnyOf((YES, YES))), '(NOT ("n %" = 1 OR "n %" = 1))'),
        (All((Not(All((YES, NO))), Compare("n", "<", 3))), '("n %" < 3)'),
        (In("x", ("a", "b"), negated=True), "\"x %\" NOT IN ('a', 'b')"),
        (IsNull("d", negated=True), '"d %" IS NOT NULL'),
        (IsNull("id"), None),
        (Compare("x", "=", "a\0"), None),
        (Compare("d", "<=", dt.date(2026, 1, 2)), "\"d %\"::date <= '2026-01-02'"),
    ],
)
def test_what_can_be_said_exactly_is_said_and_the_rest_selects_more(where: Predicate, sql: str | None) -> None:
    assert written(where) == sql


@pytest.mark.parametrize("kind", ["float", "text", "blob", "timestamp", "other"])
def test_kinds_that_would_have_to_be_read_first_stay_here(kind: Kind) -> None:
    assert written(YES, "text", "date", kind) is None


def test_an_operator_that_is_none_is_our_bug() -> None:
    with pytest.raises(ValueError, match="operator"):
        written(Compare("n", "; DROP TABLE x; --", 1))  # type: ignore[arg-type]


def test_of_several_steps_that_read_a_table_each_keeps_its_rows() -> None:
    def plan(*wheres: Predicate | None) -> Plan:
        steps = (*(step(where=where) for where in wheres), step(where=YES, dataset="other"))
        return Plan(SpecDigest("0" * 64), steps)

    other = Compare("n", "=", 2)
    assert asked_of(plan(YES), "visits") == YES
    assert asked_of(plan(YES, other, YES), "visits") == AnyOf((YES, other))
    assert asked_of(plan(YES, None), "visits") is None
    assert asked_of(plan(), "visits") is None
    assert asked_of(None, "visits") is None
