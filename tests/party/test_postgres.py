"""A holder's records in PostgreSQL, on a real server: types, edges, faults, and what no message of it may tell."""

import datetime as dt
import itertools
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pets
from pets.errors import SourceError
from pets.ids import PartyId, SpecDigest
from pets.party import postgres, relation
from pets.party.database import Postgres, PostgresSource, is_local
from pets.party.files import FrameSource, Source
from pets.party.freezer import Freezer
from pets.party.log import Log
from pets.party.snapshot import take
from pets.party.sources import Snapshot
from pets.party.state import State
from pets.spec.model import Column, Dataset, Linkage
from tests.party.cluster import PASSWORD, Cluster
from tests.party.test_sources import declared, frame
from tests.party.world import SPEC, World, reviewed_of, without_noise

NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
ID = Column(role="person id", scheme="text")
NUMBERS = itertools.count()


@pytest.fixture
def table(database: Cluster) -> Iterator[str]:
    """The name of a table that is not there yet."""
    name = f"t{next(NUMBERS)}"
    yield name
    database.run(f"DROP TABLE IF EXISTS {name} CASCADE")


def source(running: Cluster, table: str, **changes: Any) -> PostgresSource:
    return replace(PostgresSource(Postgres("records", running.socket), table), **changes)


def dataset(*, most: int = 4, rows: int = 1000, **columns: Column) -> Dataset:
    return Dataset(
        name="visits",
        party="board",
        max_rows_per_person=most,
        max_rows=rows,
        columns={"id": ID} | columns,
    )


def snap(folder: Path, of: Source, about: Dataset, **options: Any) -> Snapshot:
    linkage = Linkage(on=about.key, version="1")
    return take(of, about, linkage, folder / "state", salt=bytes(32), now=NOW, **options)


def kept(snapshot: Snapshot) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = pq.read_table(snapshot.file).to_pydict()
    return {name: values for name, values in columns.items() if name != "person"}


def refused(folder: Path, of: Source, about: Dataset, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        snap(folder, of, about, **options)
    assert not [f for f in (folder / "state").glob("*") if f.suffix != ".parquet"], "nothing is left of a refusal"
    said = [str(caught.value), repr(caught.value.fields), *caught.value.local, repr(caught.value.__cause__)]
    assert "CANARY" not in " ".join(said) and PASSWORD not in " ".join(said)
    return caught.value


def fill(database: Cluster, table: str, data: pd.DataFrame) -> None:
    with database.admin.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as rows:
        for row in data.itertuples(index=False):
            rows.write_row([None if pd.isna(value) else value for value in row])


# -- the same records in a database and in a file ---------------------------------------------------------------------

VISITS = {
    "native": "who text, tenure text, band varchar(9), minutes int, cost numeric(10, 2), day date, ward text, "
    "fee numeric(9, 2), n bigint",
    "as others store it": "who varchar, tenure char(12), band text, minutes smallint, cost float8, day timestamp, "
    "ward varchar(40), fee numeric, n numeric(20, 0)",
    "all text": "who text, tenure text, band text, minutes text, cost text, day text, ward text, fee text, n text",
}


@pytest.mark.parametrize("columns", VISITS.values(), ids=VISITS.keys())
def test_equal_records_give_one_snapshot_whether_in_a_database_or_not(
    database: Cluster, table: str, tmp_path: Path, columns: str
) -> None:
    data = frame(700, seed=11)
    database.run(f"CREATE TABLE {table} ({columns})")
    fill(database, table, data)
    of_file, of_database = (snap(tmp_path, one, declared()) for one in (FrameSource(data), source(database, table)))
    assert of_database.sha256 == of_file.sha256
    assert of_database.report == replace(of_file.report, asked=of_database.report.asked)
    assert of_database.report.asked.startswith("who, tenure, band, minutes, cost, day, ward, fee, n of public.t")


def test_nhs_numbers_and_their_steps(database: Cluster, table: str, tmp_path: Path) -> None:
    about = dataset(id=Column(role="person id", scheme="nhs-number"))
    linkage = Linkage(on="id", version="1", normalise=("strip-spaces", "check-digit"))
    digests = set()
    forms = {"text": "'999 000-0018'", "char(12)": "'9990000018'", "bigint": "9990000018", "numeric": "9990000018"}
    for of, written in forms.items():
        database.run(f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} AS SELECT {written}::{of} AS id")
        taken = take(source(database, table), about, linkage, tmp_path / "s", salt=bytes(32), now=NOW)
        digests.add(taken.sha256)
    assert len(digests) == 1


def test_text_of_any_kind_comes_as_it_is(database: Cluster, table: str, tmp_path: Path) -> None:
    texts = ["", None, '"', '""', ",", "a,b", "a\nb", "a\r\nb", "\\.", "\\N", "NULL", "é漢🏳️", " x ", "\t", "'", "\\"]
    database.run(f"CREATE TABLE {table} (id text, t text)")
    fill(database, table, pd.DataFrame({"id": [f"{i:02}" for i in range(len(texts))], "t": texts}))
    taken = snap(tmp_path, source(database, table), dataset(t=Column(role="filter only", type="text")))
    assert kept(taken)["c_t"] == texts


def test_a_value_may_be_longer_than_a_block(
    database: Cluster, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "BLOCK_BYTES", 1000)
    database.run(
        f"CREATE TABLE {table} AS SELECT 'p' || g AS id, repeat('é\n', g * 100) AS t FROM generate_series(1, 99) g"
    )
    taken = snap(tmp_path, source(database, table), dataset(t=Column(role="filter only", type="text")))
    assert sorted(map(len, kept(taken)["c_t"])) == [200 * (i + 1) for i in range(99)]


def test_a_table_of_one_column_keeps_its_nulls(database: Cluster, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT unnest(ARRAY['a', NULL, 'b', NULL, NULL]) AS id")
    report = snap(tmp_path, source(database, table), dataset()).report
    assert (report.rows, report.without_id) == (2, 3)


def test_a_person_without_any_row(database: Cluster, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} (id text, n int)")
    taken = snap(tmp_path, source(database, table), dataset(n=Column(role="measure", type="integer", min=0, max=1)))
    assert (taken.report.rows, taken.report.people) == (0, 0)


# -- types and their edges --------------------------------------------------------------------------------------------

INTEGER, DECIMAL, DATE = (
    Column(role="filter only", type="integer"),
    Column(role="filter only", type="decimal", places=2),
    Column(role="filter only", type="date"),
)
TEXT = Column(role="filter only", type="text")
CATEGORY = Column(role="dimension", type="category", levels=("rent", "own"))
MEASURE = Column(role="measure", type="decimal", min="0", max="10", places=1)

GOOD = [
    (TEXT, "'rent  '::char(8)", "rent"),
    (TEXT, "'x'::name", "x"),
    (TEXT, "'a'::\"char\"", "a"),
    (TEXT, "'7d8c5d8e-0000-4000-8000-000000000000'::uuid", "7d8c5d8e-0000-4000-8000-000000000000"),
    (TEXT, "true", "true"),
    (TEXT, "1.50::numeric(4, 2)", "1.50"),
    (TEXT, "3.0::float8", "3"),
    (TEXT, "0.1::float4", "0.1"),
    (TEXT, "DATE '2026-01-31'", "2026-01-31"),
    (TEXT, "TIMESTAMP '2026-01-31 10:20:30.5'", "2026-01-31 10:20:30.5"),
    (TEXT, "convert_to('né', 'UTF8')", "né"),
    (INTEGER, "9223372036854775807::bigint", 2**63 - 1),
    (INTEGER, "(-32768)::smallint", -(2**15)),
    (INTEGER, "5.000::numeric", 5),
    (INTEGER, "5e3::float8", 5000),
    (INTEGER, "true", 1),
    (DECIMAL, "1.005::numeric", Decimal("1.01")),
    (DECIMAL, "-1.005::numeric", Decimal("-1.01")),
    (DECIMAL, "1.005::float8", Decimal("1.01")),
    (DECIMAL, "0.1::float4", Decimal("0.10")),
    (DECIMAL, "1e-20::numeric", Decimal("0.00")),
    (DECIMAL, "' 2.5 '::text", Decimal("2.50")),
    (DATE, "DATE '0001-01-01'", dt.date(1, 1, 1)),
    (DATE, "DATE '9999-12-31'", dt.date(9999, 12, 31)),
    (DATE, "TIMESTAMP '2026-02-28 23:59:59.999999'", dt.date(2026, 2, 28)),
    (DATE, "'2026-02-28T01:02'::text", dt.date(2026, 2, 28)),
]


@pytest.mark.parametrize(("column", "sql", "value"), GOOD, ids=[f"{c.type} {s}" for c, s, _ in GOOD])
def test_values_that_fit(database: Cluster, table: str, tmp_path: Path, column: Column, sql: str, value: Any) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id, {sql} AS x UNION ALL SELECT 'b', NULL")
    assert kept(snap(tmp_path, source(database, table), dataset(x=column)))["c_x"] == [value, None]


BAD = [
    (INTEGER, "'NaN'::numeric", "no whole number"),
    (INTEGER, "'Infinity'::float8", "no whole number"),
    (INTEGER, "5.5::numeric", "no whole number"),
    (INTEGER, "1e30::numeric", "no whole number"),
    (DECIMAL, "'NaN'::numeric", "no number"),
    (DECIMAL, "'NaN'::float8", "no number"),
    (DECIMAL, "'-Infinity'::numeric", "no number"),
    (DECIMAL, "1e30::numeric", "no number"),
    (DECIMAL, "'CANARY'::text", "no number"),
    (MEASURE, "'NaN'::numeric", "no number"),
    (MEASURE, "10.05::numeric", "outside 0 to 10"),
    (DATE, "'infinity'::date", "no date like 2026-12-31"),
    (DATE, "'-infinity'::timestamp", "no date like 2026-12-31"),
    (DATE, "'0044-03-15 BC'::date", "no date like 2026-12-31"),
    (DATE, "'0044-03-15 12:00 BC'::timestamp", "no date like 2026-12-31"),
    (DATE, "'10000-01-01'::date", "no date like 2026-12-31"),
    (DATE, "'CANARY'::text", "no date like 2026-12-31"),
    (CATEGORY, "'CANARY'::text", "no declared level"),
    (CATEGORY, "' rent'::text", "no declared level"),
    (TEXT, "'\\xff'::bytea", "not UTF-8"),
]


@pytest.mark.parametrize(("column", "sql", "what"), BAD, ids=[f"{c.type} {s}" for c, s, _ in BAD])
def test_values_that_do_not_fit_are_told_by_their_place(
    database: Cluster, table: str, tmp_path: Path, column: Column, sql: str, what: str
) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id, NULL AS x UNION ALL SELECT 'b', {sql}")
    error = refused(tmp_path, source(database, table), dataset(x=column))
    assert error.local == (f"public.{table}, column x: {what} in 1 row: (0,2)",)
    found = database.admin.execute(f"SELECT id FROM {table} WHERE ctid = '(0,2)'").fetchall()  # type: ignore[arg-type]
    assert found == [("b",)]


UNKNOWN = ("ARRAY[1]", "'{}'::jsonb", "'1 day'::interval", "now()", "'1'::money")
NEVER = [
    *((column, sql) for column in (INTEGER, DATE, TEXT) for sql in UNKNOWN),
    (INTEGER, "DATE '2026-01-01'"),
    (DATE, "1"),
    (DATE, "true"),
    (DECIMAL, "TIMESTAMP '2026-01-01'"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "sql"), NEVER, ids=[f"{c.type} {s}" for c, s in NEVER])
def test_types_that_never_fit_are_refused_before_a_row_is_read(
    database: Cluster, table: str, tmp_path: Path, column: Column, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(postgres.Database, "stream")
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id, {sql} AS x")
    error = refused(tmp_path, source(database, table), dataset(x=column))
    assert error.code == "source.type"
    assert error.local[0].endswith(f"column x: its type in the source cannot be read as {column.type}")


@pytest.mark.parametrize("sql", ["DATE '2026-01-01'", "true", "now()", "TIMESTAMP '2026-01-01'", "ARRAY['a']"])
def test_what_can_be_no_identifier(database: Cluster, table: str, tmp_path: Path, sql: str) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT {sql} AS id")
    assert refused(tmp_path, source(database, table), dataset()).code == "source.id"


def test_enumerations_and_domains_are_what_they_are_made_of(database: Cluster, table: str, tmp_path: Path) -> None:
    database.run(
        "CREATE TYPE tenure AS ENUM ('own', 'rent')",
        "CREATE DOMAIN age AS int CHECK (VALUE < 200)",
        "CREATE DOMAIN old AS age CHECK (VALUE > 64)",
        f"CREATE TABLE {table} AS SELECT 'a' AS id, 'rent'::tenure AS x, 70::old AS y",
    )
    try:
        taken = snap(tmp_path, source(database, table), dataset(x=CATEGORY, y=INTEGER))
    finally:
        database.run(f"DROP TABLE {table}", "DROP TYPE tenure", "DROP DOMAIN old", "DROP DOMAIN age")
    assert (kept(taken)["c_x"], kept(taken)["c_y"]) == (["rent"], [70])


# -- tables, views, names ---------------------------------------------------------------------------------------------


def test_names_are_quoted_whatever_they_are(database: Cluster, tmp_path: Path) -> None:
    schema, name, column = 'Ac"cident; --', '100%s "visits" \'', 'rate_%s "é"'
    twice = {text: '"' + text.replace('"', '""') + '"' for text in (schema, name, column)}
    where = f"{twice[schema]}.{twice[name]}"
    database.run(
        f"CREATE SCHEMA {twice[schema]}",
        f"GRANT USAGE ON SCHEMA {twice[schema]} TO pets",
        f"CREATE TABLE {where} AS SELECT 'a' AS \"ID\", 'x%y' AS {twice[column]}",
    )
    try:
        about = dataset(x=TEXT)
        taken = snap(tmp_path, source(database, name, schema=schema, columns={"x": column}), about)
        assert (kept(taken)["c_x"], kept(taken)["id"]) == (["x%y"], [b"a"])
        with pytest.raises(SourceError) as caught:
            snap(tmp_path, source(database, name.upper(), schema=schema), about)
        assert "no such table or view" in caught.value.local[0]
    finally:
        database.run(f"DROP SCHEMA {twice[schema]} CASCADE")


SHAPES = {
    "view": "CREATE VIEW {t} AS SELECT * FROM {t}_base",
    "materialised": "CREATE MATERIALIZED VIEW {t} AS SELECT * FROM {t}_base",
    "inherited": "CREATE TABLE {t} (id text, x text); CREATE TABLE {t}_child () INHERITS ({t}); "
    "INSERT INTO {t}_child SELECT * FROM {t}_base",
    "partitioned": "CREATE TABLE {t} (id text, x text) PARTITION BY HASH (id); CREATE TABLE {t}_one PARTITION OF {t} "
    "FOR VALUES WITH (MODULUS 1, REMAINDER 0); INSERT INTO {t} SELECT * FROM {t}_base",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_can_be_selected_from_is_read(database: Cluster, tmp_path: Path, shape: str) -> None:
    name = f"shape_{shape}"
    database.run(f"CREATE TABLE {name}_base AS SELECT 'a' AS id, 'rent' AS x UNION ALL SELECT 'b', 'CANARY'")
    try:
        database.run(SHAPES[shape].format(t=name))
        assert snap(tmp_path, source(database, name), dataset(x=TEXT)).report.rows == 2
        error = refused(tmp_path, source(database, name), dataset(x=CATEGORY))
        place = ": (0,2)" if shape == "materialised" else ""  # rows of the others have no place in what is named
        assert error.local == (f"public.{name}, column x: no declared level in 1 row{place}",)
        error = refused(tmp_path, source(database, name, columns={"id": "x", "x": "id"}), dataset(x=TEXT, rows=1))
        assert error.code == "source.max-rows"
    finally:
        database.run(f"DROP TABLE {name}_base CASCADE", f"DROP TABLE IF EXISTS {name} CASCADE")


def test_people_with_too_many_rows_are_told_by_the_place_of_their_first(
    database: Cluster, table: str, tmp_path: Path
) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT unnest(ARRAY['x', 'CANARY', 'CANARY', 'CANARY', 'y']) AS id")
    error = refused(tmp_path, source(database, table), dataset(most=2))
    assert error.local == (f"public.{table}, column id: 1 person has more than 2 rows, beginning at row (0,2)",)
    database.run(f"CREATE VIEW {table}_view AS SELECT * FROM {table}")
    error = refused(tmp_path, source(database, f"{table}_view"), dataset(most=2))
    assert error.local == (f"public.{table}_view, column id: 1 person has more than 2 rows",)


def test_columns_that_are_missing_or_not_asked_for(database: Cluster, table: str, tmp_path: Path) -> None:
    database.run(f'CREATE TABLE {table} AS SELECT \'a\' AS id, 1 AS "N", 2 AS "No", ARRAY[1] AS other')
    assert kept(snap(tmp_path, source(database, table), dataset(n=INTEGER)))["c_n"] == [1]
    error = refused(tmp_path, source(database, table), dataset(m=INTEGER))
    assert (error.code, error.local) == ("source.column", (f"public.{table}: none of its 4 columns is called m",))
    database.run(f"ALTER TABLE {table} DROP COLUMN other", f'ALTER TABLE {table} RENAME COLUMN "No" TO n')
    assert kept(snap(tmp_path, source(database, table), dataset(n=INTEGER)))["c_n"] == [2], "exact capitals win"
    assert (
        refused(tmp_path, source(database, table), dataset(x=INTEGER))
        .local[0]
        .endswith("none of its 3 columns is called x")
    )


def test_a_role_that_may_read_only_what_is_asked_for_is_enough(database: Cluster, table: str, tmp_path: Path) -> None:
    database.run(
        f"CREATE TABLE {table} AS SELECT 'a' AS id, 1 AS n, 'CANARY' AS diagnosis",
        f"REVOKE ALL ON {table} FROM pets",
        f"GRANT SELECT (id, n) ON {table} TO pets",
    )
    about = dataset(n=INTEGER)
    taken = snap(tmp_path, source(database, table), about, exact=True)
    assert (kept(taken)["c_n"], taken.version) == ([1], ""), "a version is of whole rows, and those it may not see"
    assert postgres.look(Postgres("records", database.socket), {"visits": source(database, table)}) == ()
    database.run(f"REVOKE ALL (id, n) ON {table} FROM pets")
    error = refused(tmp_path, source(database, table), about)
    assert error.code == "source.database" and "GRANT SELECT" in error.local[0]


# -- one transaction, which writes nothing ----------------------------------------------------------------------------


def test_every_pass_sees_the_same_rows(
    database: Cluster, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id, 'bad' AS x")
    first = relation._Stream.prepare

    def and_then(self: Any, numbered: bool) -> None:
        database.run(f"INSERT INTO {table} VALUES ('b', 'bad')", f"DELETE FROM {table} WHERE id = 'a'")
        first(self, numbered)

    monkeypatch.setattr(relation._Stream, "prepare", and_then)
    error = refused(tmp_path, source(database, table), dataset(x=CATEGORY))
    assert error.local == (f"public.{table}, column x: no declared level in 1 row: (0,1)",)


WRITES = {
    "insert": "INSERT INTO {t} VALUES ('CANARY')",
    "sequence": "PERFORM nextval('{t}_seq')",
    "role": "SET LOCAL transaction_read_only = off; INSERT INTO {t} VALUES ('CANARY')",
}


@pytest.mark.parametrize("what", WRITES)
def test_nothing_is_written_even_by_a_view_that_would(database: Cluster, table: str, tmp_path: Path, what: str) -> None:
    body = WRITES[what].format(t=f"public.{table}").replace("public.", "public.")
    database.run(
        f"CREATE TABLE {table} (id text)",
        f"CREATE SEQUENCE IF NOT EXISTS {table}_seq OWNED BY {table}.id",
        f"GRANT ALL ON {table}, {table}_seq TO writer",
        f"CREATE FUNCTION {table}_f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN 'CANARY'; END $$",
        f"CREATE VIEW {table}_v AS SELECT {table}_f() AS id",
        f"GRANT SELECT ON {table}_v TO writer",
        "ALTER ROLE writer SET default_transaction_read_only = off",
    )
    as_writer = Postgres("records", {**database.socket, "user": "writer"})
    try:
        error = refused(tmp_path, source(database, f"{table}_v", database=as_writer), dataset())
        assert error.code in ("source.unreadable", "source.database")
        assert database.admin.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # type: ignore[arg-type]
    finally:
        database.run(f"DROP VIEW {table}_v", f"DROP FUNCTION {table}_f")


# -- what goes wrong on the way, and what is not told -----------------------------------------------------------------

BROKEN = {
    "division": ("SELECT 'a' AS id, 1 / (length(v) - 6) AS x FROM {t}", "SQLSTATE 22012"),
    "cast": ("SELECT 'a' AS id, v::int AS x FROM {t}", "SQLSTATE 22P02"),
    "raised": ("SELECT 'a' AS id, {t}_raise(v) AS x FROM {t}", "SQLSTATE P0001"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_server_that_quotes_records_is_not_quoted(database: Cluster, table: str, tmp_path: Path, how: str) -> None:
    sql, said = BROKEN[how]
    database.run(
        f"CREATE TABLE {table} AS SELECT 'CANARY' AS v",
        f"CREATE FUNCTION {table}_raise(v text) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no % here', v USING DETAIL = v, HINT = v; END $$",
        f"CREATE VIEW {table}_v AS {sql.format(t=table)}",
    )
    try:
        error = refused(tmp_path, source(database, f"{table}_v"), dataset(x=INTEGER))
        assert error.local == (f"public.{table}_v: the server says {said}: look at its log",)
    finally:
        database.run(f"DROP VIEW {table}_v", f"DROP FUNCTION {table}_raise")


def test_a_statement_ends_when_its_time_is_up(database: Cluster, tmp_path: Path) -> None:
    database.run("CREATE VIEW slow AS SELECT g::text AS id FROM generate_series(1, 60) g WHERE pg_sleep(1) IS NOT NULL")
    try:
        where = PostgresSource(Postgres("records", database.socket, timeout_s=1), "slow")
        assert "timeout_s" in refused(tmp_path, where, dataset()).local[0]
    finally:
        database.run("DROP VIEW slow")


def test_a_lock_is_not_waited_for_longer_than_said(
    database: Cluster, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SETTINGS, "lock_timeout", "100ms")
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id")
    with psycopg.connect(**database.socket | {"user": "admin"}) as other:  # type: ignore[arg-type]
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        assert "locked" in refused(tmp_path, source(database, table), dataset()).local[0]


def test_a_connection_that_breaks_in_the_middle(
    database: Cluster, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT 'CANARY' || g AS id FROM generate_series(1, 200000) g")
    whole = postgres._parsed

    def cut(block: bytearray, types: Any) -> Iterator[pa.RecordBatch]:
        database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pets'")
        yield from whole(block, types)

    monkeypatch.setattr(postgres, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(postgres, "_parsed", cut)
    error = refused(tmp_path, source(database, table), dataset(rows=10**6))
    assert "the server was stopped" in error.local[0] or "connection was lost" in error.local[0]


def test_rows_are_read_as_they_are_needed(database: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows of a table without end are here before the last ones, and leaving off ends the statement."""
    monkeypatch.setattr(postgres, "BLOCK_BYTES", 1 << 18)
    database.run("CREATE VIEW endless AS SELECT generate_series(1, 4000000000000)::text AS id")
    try:
        where = PostgresSource(Postgres("records", database.socket), "endless")
        before = pa.total_allocated_bytes()
        with postgres.opened(where, dataset="visits") as opened:
            assert opened.find() is not None
            reader, _ = opened.stream([relation.Held("id", "text")], None, placed=False)
            sizes = [reader.read_next_batch().num_rows for _ in range(4)]
            assert pa.total_allocated_bytes() - before < 64 << 20
        assert min(sizes) > 10_000
        busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'pets' AND state = 'active'"
        for _ in range(1200):  # a server that is busy ends it some time after it was asked to
            if database.admin.execute(busy).fetchone() == (0,):
                return
            time.sleep(0.05)
        pytest.fail("the statement goes on")
    finally:
        database.run("DROP VIEW endless")


def test_text_in_other_encodings(database: Cluster, tmp_path: Path) -> None:
    """LATIN1 is turned into UTF-8 by the server; SQL_ASCII promises nothing, so every value is looked at."""
    database.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    database.run("CREATE DATABASE raw ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        for name in ("latin", "raw"):
            parameters = {**database.socket, "dbname": name}
            with psycopg.connect(**parameters | {"user": "admin", "client_encoding": "UTF8"}) as admin:  # type: ignore[arg-type]
                admin.execute("CREATE TABLE t AS SELECT 'ré' AS id, 'é' AS x")
                admin.execute("GRANT SELECT ON t TO pets")
            where = PostgresSource(Postgres(name, parameters), "t")
            taken = snap(tmp_path, where, dataset(x=TEXT))
            assert (kept(taken)["id"], kept(taken)["c_x"]) == (["ré".encode()], ["é"])
        with psycopg.connect(**parameters | {"user": "admin"}) as admin:  # type: ignore[arg-type]
            admin.execute("INSERT INTO t VALUES (E'\\xff', 'CANARY'), ('b', E'\\xe9')")
        error = refused(tmp_path, where, dataset(x=TEXT))
        assert error.local == (
            "public.t, column id: not UTF-8 in 1 row: (0,2)",
            "public.t, column x: not UTF-8 in 1 row: (0,3)",
        )
    finally:
        database.run("DROP DATABASE latin", "DROP DATABASE raw")


# -- versions of the records ------------------------------------------------------------------------------------------


def test_a_version_is_of_the_rows_and_not_of_their_order(database: Cluster, table: str, tmp_path: Path) -> None:
    def version() -> str:
        return snap(tmp_path, source(database, table), dataset(n=INTEGER), exact=True).version

    database.run(f"CREATE TABLE {table} AS SELECT g::text AS id, g AS n, 'x' AS unread FROM generate_series(1, 9) g")
    first = version()
    database.run(f"CREATE TABLE {table}_new AS SELECT * FROM {table} ORDER BY n DESC", f"DROP TABLE {table}")
    database.run(f"ALTER TABLE {table}_new RENAME TO {table}")
    assert version() == first != ""
    changes = (
        "UPDATE {t} SET unread = 'y' WHERE n = 3",
        "DELETE FROM {t} WHERE n = 1",
        "INSERT INTO {t} VALUES ('9', 9, 'x')",
    )
    seen = {first}
    for change in changes:
        database.run(change.format(t=table))
        seen.add(version())
    assert len(seen) == 4


# -- who may connect, and how -----------------------------------------------------------------------------------------


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say where the name on the certificate is."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")


def reached(database: Cluster, tmp_path: Path, **changes: str) -> str:
    """ "", or why a database over the network cannot be read."""
    where = PostgresSource(Postgres("records", {**database.network, **changes}), "t")
    error = refused(tmp_path, where, dataset())
    return "" if "no such table" in error.local[0] else error.local[0]


@pytest.mark.usefixtures("at")
def test_over_a_network_the_certificate_and_the_name_on_it_are_verified(
    database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reached(database, tmp_path) == ""
    assert "verify failed" in reached(database, tmp_path, sslrootcert=str(database.folder / "other-ca.pem"))
    assert "does not match host name" in reached(database, tmp_path, host="database.council.example")
    assert reached(database, tmp_path, host="database.council.example", sslmode="verify-ca") == ""
    for variable, weaker in (("PGSSLMODE", "disable"), ("PGSSLMODE", "prefer"), ("PGGSSENCMODE", "prefer")):
        monkeypatch.setenv(variable, weaker)
        assert reached(database, tmp_path) == ""
        assert "verify failed" in reached(database, tmp_path, sslrootcert=str(database.folder / "other-ca.pem"))
    database.run("ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()")
    try:
        for _ in range(100):
            if said := reached(database, tmp_path):
                break
        assert "server does not support SSL" in said
    finally:
        database.run("ALTER SYSTEM RESET ssl", "SELECT pg_reload_conf()")


@pytest.mark.usefixtures("at")
def test_a_service_file_says_where_and_takes_nothing_away(
    database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pg_service.conf"
    lines = {**database.network, "sslmode": "disable"}
    file.write_text("[warehouse]\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    named = PostgresSource(Postgres("records", {"service": "warehouse"}), "t")
    assert "no such table" in refused(tmp_path, named, dataset()).local[0]
    file.write_text(file.read_text().replace("/ca.pem", "/other-ca.pem"))
    assert "verify failed" in refused(tmp_path, named, dataset()).local[0]


def test_what_the_environment_of_libpq_says_counts(
    database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOST": "host", "PORT": "port", "USER": "user", "DATABASE": "dbname"}.items():
        monkeypatch.setenv(f"PG{name}", database.socket[value])
    assert "no such table" in refused(tmp_path, PostgresSource(Postgres("records"), "t"), dataset()).local[0]


def test_an_address_from_elsewhere_does_not_lead_a_local_connection_away(
    database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """192.0.2.1 is nobody's (RFC 5737): who goes there waits in vain."""
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setattr(postgres, "_KEPT_ALIVE", {"connect_timeout": "2"})
    assert reached(database, tmp_path, host="localhost") == ""
    assert reached(database, tmp_path, host="127.0.0.1") == ""
    assert reached(database, tmp_path, host=str(database.folder)) == ""


def test_this_machine_needs_no_tls(database: Cluster, tmp_path: Path) -> None:
    assert reached(database, tmp_path, host="127.0.0.1", sslrootcert="", user="insecure") == ""


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("/run/postgresql", True),
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("localhost,db.example", False),
        ("/run/postgresql,db.example", False),
        ("127.0.0.1,10.0.0.1", False),
        ("0.0.0.0", False),
        ("@abstract", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert is_local(host) == local
    assert Postgres("x", {"host": host}).keywords()["sslmode"] == ("prefer" if local else "verify-full")


def test_a_wrong_password_is_named_and_not_shown(database: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "passfile"
    other.write_text("*:*:*:*:CANARY\n")
    other.chmod(stat.S_IRUSR)
    said = reached(database, tmp_path, host="127.0.0.1", passfile=str(other))
    assert 'password authentication failed for user "pets"' in said and said.startswith("database records: ")
    assert "\n" not in said


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    nowhere = PostgresSource(Postgres("records", {"host": str(tmp_path)}), "t")
    error = refused(tmp_path, nowhere, dataset())
    assert error.code == "source.database" and "No such file" in error.local[0]
    assert str(error) == "source.database: dataset visits: its database cannot be read"


# -- what an operator is told before anyone needs it ------------------------------------------------------------------


def test_a_role_that_may_do_more_than_read_is_pointed_out(database: Cluster, table: str) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id")
    here = source(database, table)

    def said(user: str) -> tuple[str, ...]:
        return postgres.look(Postgres("records", {**database.socket, "user": user}), {"visits": here})

    assert said("pets") == ()
    assert said("admin") == (
        "database records: the role admin is a superuser: give pets a role that has SELECT and nothing else",
    )
    changes = {
        f"GRANT UPDATE ON {table} TO writer": "may change tables",
        f"GRANT INSERT (id) ON {table} TO writer": "may change tables",
        "GRANT CREATE ON SCHEMA public TO writer": "may make tables",
        "GRANT pg_execute_server_program TO writer": "may run programs or write files on the server",
        "ALTER ROLE writer CREATEROLE": "may make roles",
        "GRANT pg_write_all_data TO writer": "may change tables",
    }
    database.run(f"GRANT SELECT ON {table} TO writer")
    assert said("writer") == ()
    for change, expected in changes.items():
        database.run(change)
        assert expected in said("writer")[0], change
        undo = change.replace("GRANT", "REVOKE").replace(" TO ", " FROM ").replace(" CREATEROLE", " NOCREATEROLE")
        database.run(undo)
        assert said("writer") == (), undo


def test_what_is_missing_is_pointed_out(database: Cluster, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} AS SELECT 'a' AS id", f"REVOKE ALL ON {table} FROM pets")
    held = {"one": source(database, "nowhere"), "two": source(database, table)}
    assert postgres.look(Postgres("records", database.socket), held) == (
        "database records: one: there is no table or view public.nowhere that its role can see",
        f"database records: two: public.{table}: the role may not read it: GRANT SELECT on it, and USAGE on its schema",
    )
    (line,) = postgres.look(Postgres("records", {"host": str(tmp_path)}), held)
    assert line.startswith("database records: ") and "No such file" in line


# -- a run ------------------------------------------------------------------------------------------------------------


def test_a_joint_run_of_a_database_and_a_data_frame(
    database: Cluster, make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_noise(monkeypatch)
    database.run(
        "CREATE TABLE stays (pid text, band char(9), minutes int, arrival timestamp, diagnosis text)",
        "INSERT INTO stays VALUES ('IDENTITY-ann', 'young', 10, '2026-05-01', 'CANARY'), "
        "('IDENTITY-ann', 'old', 20, '2026-05-01', 'CANARY'), ('IDENTITY-bob', 'old', 40, '2026-05-01', NULL), "
        "('IDENTITY-eve', 'nonsense', 99999, '2019-12-31 23:59:59', 'before what is asked for'), "
        "(NULL, 'old', 1, NULL, NULL)",
    )
    try:
        world: World = make_world({"stays": source(database, "stays")})
        world.ready()
        found = world.run().to_pandas().set_index(["band", "tenure"])["n"]
        assert dict(found[found != 0]) == {("young", "own"): 1, ("old", "own"): 1, ("old", "rent"): 1}
        columns = "pid, band, minutes, arrival of public.stays"
        asked = f"stays: read {columns}, rows with \"arrival\"::date >= '2020-01-01'"
        assert asked in world.consoles[PartyId("board")]
    finally:
        database.run("DROP TABLE stays")


def test_a_database_that_cannot_be_read_ends_a_start_with_one_code(make_world: Any, tmp_path: Path) -> None:
    world: World = make_world({"stays": PostgresSource(Postgres("records", {"host": str(tmp_path)}), "stays")})
    world.ready()
    with pytest.raises(SourceError) as caught:
        world.run()
    assert caught.value.code == "source.not-ready"
    assert any("No such file" in line for line in world.consoles[PartyId("board")])


def test_a_first_specification_is_drafted_from_a_database_and_run_on_it(
    database: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_noise(monkeypatch)
    database.run(
        "CREATE TABLE visits AS SELECT 'p' || g AS person, (ARRAY['young', 'old'])[1 + g % 2] AS band, "
        "(g % 7) / 2.0 AS hours, DATE '2026-01-01' + g AS day, g % 3 = 0 AS urgent, '{}'::jsonb AS unread "
        "FROM generate_series(1, 60) g"
    )
    homes = pd.DataFrame({"id": [f"p{i}" for i in range(1, 61)], "tenure": ["own", "rent"] * 30})
    visits = source(database, "visits", columns={"id": "person"})
    try:
        net = pets.local_network({"nhs": {"visits": visits}, "council": {"housing": homes}, "helper": {}})
        sql = (
            "SELECT band, tenure, COUNT(*) AS n, SUM(hours) AS hours FROM visits JOIN housing USING (id) "
            "WHERE urgent = 'true' AND day < DATE '2026-02-01' GROUP BY band, tenure"
        )
        spec = net.draft(sql, epsilon="1")
        found = net.run(spec).to_pandas().groupby("tenure", observed=True)["n"].sum()
    finally:
        database.run("DROP TABLE visits")
    assert round(found["own"]) == 5 and round(found["rent"]) == 5
    columns = spec.spec.dataset("visits").columns
    assert columns["hours"].type == "decimal" and columns["day"].type == "date" and "unread" not in columns


# -- versions, as the guard of releases without noise asks for them ---------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_a_release_without_noise_knows_the_version_of_its_records(
    database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    database.run(
        "CREATE TABLE stays (pid text, band text, minutes int, arrival date, diagnosis text)",
        "INSERT INTO stays VALUES ('IDENTITY-ann', 'young', 10, '2026-05-01', 'CANARY')",
    )
    spec = reviewed_of(SPEC)
    if exact:
        release = spec.spec.release.model_copy(update={"differential_privacy": None})
        spec = replace(spec, spec=spec.spec.model_copy(update={"release": release}))

    def version(digest: str) -> str:
        made = replace(spec, digest=SpecDigest(digest * 64))
        (stored,) = freezer.freeze_all(made, again=False).values()
        return stored.version

    state = State(":memory:")
    monkeypatch.setattr(
        state, "add_snapshot", lambda stored: None
    )  # it would ask for the specification, which is made up
    holder = {"stays": source(database, "stays")}
    freezer = Freezer(PartyId("board"), holder, tmp_path / "s", state, Log(state), os.urandom, list[str]().append)
    try:
        if not exact:
            assert version("0") == ""
            return
        first = version("0")
        assert version("1") == first, "another specification, the same records"
        database.run("UPDATE stays SET diagnosis = 'x'")
        second = version("2")
        assert second not in (first, "")
        database.run("REVOKE SELECT ON stays FROM pets", "GRANT SELECT (pid, band, minutes, arrival) ON stays TO pets")
        assert version("3") not in (first, second, ""), "the role sees less than whole rows"
    finally:
        database.run("DROP TABLE stays")
        state.close()
