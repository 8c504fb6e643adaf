"""A holder's PostgreSQL database: read in one transaction that writes nothing, as a stream of Arrow batches.

The one home of psycopg. All that is read for one snapshot is read in one REPEATABLE READ, READ ONLY transaction: every
pass sees the same rows, and a replica will do. Rows come through ``COPY ... TO STDOUT`` in blocks of some megabytes:
however large the table, no more is held here.

PostgreSQL quotes records in its messages (DETAIL, CONTEXT, and the text itself), so once a connection stands, none of
its words are passed on: ``reason`` goes by SQLSTATE. What libpq says of a connection that it could not make is passed
on, to the holder's own console: no record has been read by then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pyarrow as pa
import pyarrow.csv as pc
from psycopg.conninfo import make_conninfo

from pets.errors import SourceError
from pets.party.database import Postgres, PostgresSource
from pets.party.pushdown import Held, Selection, named
from pets.party.sources import Kind

BLOCK_BYTES: Final = 1 << 22
"""How much of a table is in memory as text at one time."""

PLACE: Final = "#place"
"""Name of the column that says where a row lies."""

CONNECT_S: Final = 10
LOCK_S: Final = 30

_KINDS: Final[Mapping[int, Kind]] = {
    16: "boolean",
    **dict.fromkeys((20, 21, 23), "integer"),
    **dict.fromkeys((700, 701), "float"),
    1700: "decimal",
    1082: "date",
    1114: "timestamp",
    17: "blob",
    **dict.fromkeys((18, 19, 25, 1042, 1043, 2950), "text"),  # "char", name, text, char(n), varchar, uuid
}
"""Kinds by the OID of the type: those of PostgreSQL itself never change. A domain counts as what it is made of."""

_FETCHED: Final[Mapping[Kind, str]] = {
    "text": "{x}::pg_catalog.text",
    "blob": "pg_catalog.encode({x}, 'hex')",
    "other": "NULL::pg_catalog.text",
}
"""How a column is written into the stream; as it is, where nothing is said."""

_TYPES: Final = {"boolean": pa.bool_(), "integer": pa.int64(), "float": pa.float64()}
"""As what the stream's text is read at once; the others stay text until the engine has them."""

_READ: Final[Mapping[Kind, str]] = {
    "date": r"CASE WHEN regexp_full_match({x}, '\d{{4}}-\d\d-\d\d') THEN {x}::DATE "
    "WHEN {x} IS NOT NULL THEN 'infinity'::DATE END",
    "timestamp": r"CASE WHEN regexp_full_match({x}, '\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d([.]\d+)?') THEN {x}::TIMESTAMP "
    "WHEN {x} IS NOT NULL THEN 'infinity'::TIMESTAMP END",
    "blob": "unhex({x})",
}
"""How the engine reads it again. What is before year 1 or after 9999 is as little a date as infinity is."""

_SETTINGS: Final = {
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "extra_float_digits": "1",
    "lock_timeout": f"{LOCK_S}s",
}

"""For the one transaction and not the session: whoever gets the connection next, from a pool, finds it as it was."""

_REASONS: Final = {
    "42501": "the role may not read it: GRANT SELECT on it, and USAGE on its schema",
    "57014": "it took longer than timeout_s of its database in party.toml allows, or somebody cancelled it",
    "55P03": f"somebody else has had it locked for {LOCK_S} s: try again later",
    "40001": "the server took the transaction back, as a replica may that falls behind: try again",
    "42P01": "no such table or view",
    "22P05": "there is text that cannot be written as UTF-8",
    "22021": "there is text that is not in the encoding of its own database",
    "55000": "it cannot be read as it is: a materialised view that was never filled, or a broken foreign table",
}
_CLASSES: Final = {
    "08": "the connection was lost: try again",
    "53": "the server has no room for it: memory, disk or connections are used up",
    "57": "the server was stopped while it read: try again",
    "XX": "the server has found its own files damaged: look at its log",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A table or view: its names of columns in order; ``placed`` if a row of it has a place that can be told."""

    names: tuple[str, ...]
    placed: bool


def reason(error: psycopg.Error) -> str:
    """What went wrong with a statement, in our words: PostgreSQL's own may quote a record."""
    state = error.sqlstate
    if state is None:
        return _CLASSES["08"]
    return _REASONS.get(state) or _CLASSES.get(state[:2]) or f"the server says SQLSTATE {state}: look at its log"


class Database:
    """One transaction on one database, for one dataset."""

    def __init__(self, connection: psycopg.Connection[Any], source: PostgresSource) -> None:
        self._connection = connection
        self._source = source
        self.failed: psycopg.Error | None = None
        """What ended a stream. The engine that was reading it knows only that it ended."""
        self.encoding: str = self._one("SELECT pg_catalog.current_setting('server_encoding')")[0]

    # -- what there is ------------------------------------------------------------------------------------------------

    def find(self) -> Found | None:
        """The table or view; None if there is none of that name. The role need not be allowed to read it."""
        there = self._run(
            "SELECT c.relkind IN ('r', 'm') AND NOT c.relhassubclass "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            (self._source.schema, self._source.table),
        ).fetchone()
        if there is None:
            return None
        rows = self._run(
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s "
            "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (self._source.schema, self._source.table),
        )
        return Found(tuple(row[0] for row in rows.fetchall()), placed=there[0])

    def readable(self) -> bool:
        """True if the role may read at least one column of it."""
        allowed = self._one(
            "SELECT bool_or(has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
            (self._source.schema, self._source.table),
        )
        return bool(allowed[0])

    def kinds(self, names: Sequence[str]) -> list[Kind]:
        """The kind of each column."""
        listed = ", ".join(map(named, names))
        codes = [
            column.type_code for column in self._run(f"SELECT {listed} FROM {self._from} LIMIT 0").description or ()
        ]
        own = self._run(
            "SELECT oid::int8, typtype::text, typname FROM pg_type WHERE oid = ANY(%s)", (codes,)
        ).fetchall()
        texts = {oid for oid, sort, name in own if sort == "e" or name == "citext"}
        return [_KINDS.get(code, "text" if code in texts else "other") for code in codes]

    # -- rows ---------------------------------------------------------------------------------------------------------

    def stream(
        self, columns: Sequence[Held], selection: Selection | None, *, placed: bool
    ) -> tuple[pa.RecordBatchReader, Callable[[str], str]]:
        """Rows as batches of columns f0, f1, ..., and SQL that reads a name of them as what it is.

        ``placed``: with a column more, that says where a row lies in its table.
        """
        types: dict[str, pa.DataType] = {}
        listed = []
        for i, held in enumerate(columns):
            listed.append(self._fetched(held))
            types[f"f{i}"] = _TYPES.get(held.kind, pa.string())
        if placed:
            point = "ctid::pg_catalog.text::pg_catalog.point"
            listed.append(f"({point})[0]::pg_catalog.int8 * 65536 + ({point})[1]::pg_catalog.int8")
            types[PLACE] = pa.int64()
        where = "" if selection is None else f" WHERE {selection.sql}"
        values = () if selection is None else selection.values
        sql = f"COPY (SELECT {', '.join(listed)} FROM {self._from}{where}) TO STDOUT (FORMAT csv)"
        reader = pa.RecordBatchReader.from_batches(pa.schema(types), self._batches(sql, values, types))
        kinds = {f"f{i}": self.told(held.kind) for i, held in enumerate(columns)}
        return reader, lambda name: _READ.get(kinds[name], "{x}").format(x=name)

    def _batches(self, sql: str, values: tuple[Any, ...], types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        try:
            with self._connection.cursor() as cursor, cursor.copy(sql if values else sql % (), values) as rows:
                block = bytearray()
                for row in rows:
                    block += row
                    if len(block) >= BLOCK_BYTES:
                        yield from _parsed(block, types)
                        block = bytearray()
                yield from _parsed(block, types)
        except psycopg.Error as error:
            self.failed = error
            raise

    def told(self, kind: Kind) -> Kind:
        """The kind that a column comes as: numerals, and bytes to look at from a database that promises no encoding."""
        if kind == "text" and self.encoding == "SQL_ASCII":
            return "blob"
        return "numeral" if kind == "decimal" else kind

    def _fetched(self, held: Held) -> str:
        raw = "pg_catalog.encode(pg_catalog.convert_to({x}::pg_catalog.text, 'SQL_ASCII'), 'hex')"
        how = raw if held.kind == "text" and self.encoding == "SQL_ASCII" else _FETCHED.get(held.kind, "{x}")
        return how.format(x=named(held.name))

    def fingerprint(self) -> str:
        """A digest of all rows and columns of the table, in whatever order they lie; "" if the role may not see them.

        The database computes it. It tells whether records have changed, between two reads of one holder's own table.
        """
        hashes = ", ".join(
            f'coalesce(sum(pg_catalog.hashtextextended(ROW("#all".*)::pg_catalog.text, {seed})::pg_catalog.numeric), 0)'
            for seed in (0, 1)
        )
        try:
            with self._connection.transaction():
                found = self._run(f'SELECT count(*), {hashes} FROM {self._from} AS "#all"').fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return ""
        return "-".join(map(str, found or ()))

    @property
    def _from(self) -> str:
        return f"{named(self._source.schema)}.{named(self._source.table)}"

    def _run(self, sql: str, values: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        return self._connection.execute(sql, values)

    def _one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._run(sql, values).fetchone() or (None,)
        return found


def _parsed(block: bytearray, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    """Whole rows of COPY's CSV: NULL is nothing, an empty text is two quotes."""
    if not block:
        return
    table = pc.read_csv(
        pa.BufferReader(block),
        pc.ReadOptions(column_names=list(types), block_size=len(block) + 1),
        pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pc.ConvertOptions(
            column_types=dict(types),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
            check_utf8=True,
        ),
    )
    yield from table.to_batches()


# -- connections ------------------------------------------------------------------------------------------------------


@contextmanager
def opened(source: PostgresSource, *, dataset: str) -> Iterator[Database]:
    """Connect, and begin the one transaction that all is read in; it is given up at the end, whatever happened.

    Raises: SourceError source.database, with the reason on the holder's own console.
    """
    try:
        with _connected(source.database) as connection:
            yield Database(connection, source)
    except psycopg.Error as error:
        raise refused(dataset, source, reason(error)) from None
    except _NoConnection as error:
        raise SourceError(
            "source.database", dataset=dataset, local=(f"database {source.database.name}: {error}",)
        ) from None


def refused(dataset: str, source: PostgresSource, problem: str) -> SourceError:
    """A SourceError about a table of a database."""
    return SourceError(
        "source.database", dataset=dataset, local=(f"database {source.database.name}, {source.label}: {problem}",)
    )


class _NoConnection(Exception):
    """What libpq says of a connection that it could not make."""


@contextmanager
def _connected(database: Postgres) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = psycopg.connect(make_conninfo("", **_KEPT_ALIVE, **database.keywords()))
    except (psycopg.Error, ValueError) as error:
        raise _NoConnection(_one_line(str(error))) from None
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.prepare_threshold = None
        limits = dict.fromkeys(("statement_timeout", "idle_in_transaction_session_timeout"), f"{database.timeout_s}s")
        for name, value in (_SETTINGS | limits).items():
            connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, value))
        yield connection
    finally:
        connection.close()


_KEPT_ALIVE: Final = {
    "connect_timeout": str(CONNECT_S),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


def _one_line(text: str) -> str:
    said = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return said if len(said) <= 400 else said[:399] + "…"


def look(database: Postgres, sources: Mapping[str, PostgresSource]) -> tuple[str, ...]:
    """What an operator should know before anyone needs a database: lines for the console; none if all is well.

    ``sources`` are the datasets that lie in it. The role should be able to read them and to change nothing.
    """
    said: list[str] = []
    try:
        with _connected(database) as connection:
            for dataset, source in sources.items():
                said += [f"{dataset}: {problem}" for problem in _table(Database(connection, source), source)]
            role, *found = connection.execute(_ROLE).fetchone() or ("", *[False] * len(_TOO_MUCH))
            may = [what for what, is_so in zip(_TOO_MUCH, found, strict=True) if is_so]
            if may:
                said.append(f"the role {role} {', '.join(may)}: give pets a role that has SELECT and nothing else")
    except psycopg.Error as error:
        said.append(reason(error))
    except _NoConnection as error:
        said.append(str(error))
    return tuple(f"database {database.name}: {line}" for line in said)


_TOO_MUCH: Final = (
    "is a superuser",
    "may make roles",
    "may run programs or write files on the server",
    "may change tables",
    "may make tables",
)
_OWN: Final = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
_ROLE: Final = f"""
    SELECT current_user::text, rolsuper, NOT rolsuper AND rolcreaterole,
    NOT rolsuper AND (
        pg_has_role('pg_execute_server_program', 'MEMBER') OR pg_has_role('pg_write_server_files', 'MEMBER')),
    NOT rolsuper AND EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'f') AND {_OWN} AND (
            has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
            OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))),
    NOT rolsuper AND (has_database_privilege(current_database(), 'CREATE') OR EXISTS (
        SELECT FROM pg_namespace n WHERE {_OWN} AND has_schema_privilege(n.oid, 'CREATE')))
    FROM pg_roles WHERE rolname = current_user
"""
"""Of the role: its name, and for each of ``_TOO_MUCH`` whether it is so."""


def _table(database: Database, source: PostgresSource) -> Iterator[str]:
    if database.find() is None:
        yield f"there is no table or view {source.label} that its role can see"
    elif not database.readable():
        yield f"{source.label}: {_REASONS['42501']}"
