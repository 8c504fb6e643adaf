"""From a source to a relation: the columns of one dataset, found in a file, a data frame or a database.

Names are looked up whatever their capitals, after the holder's renaming. Nothing is guessed: a CSV file is
comma-separated UTF-8 text with a header, every value arrives as text, and a ragged row is an error. Of a database only
the columns of the specification are read, and only the rows that it can tell are selected. What the values are worth is
decided in ``fit.py``.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pets.errors import SourceError
from pets.party import postgres
from pets.party.database import PostgresSource
from pets.party.files import FileSource, FrameSource, Source, is_pattern
from pets.party.pushdown import Held, Selection, selection
from pets.party.sources import Kind, engine, quoted, reason, translated, unreadable
from pets.spec.model import Dataset
from pets.spec.query import Predicate

Found = tuple[str, Kind, str]
"""A column of a source: its name in the relation, its kind, its name in the source."""

_INTEGERS: Final = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_CHUNK: Final = 1 << 20


def _nothing(numbered: bool) -> None:
    """What can be read again as it is needs no preparation."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A source as the engine sees it: a table expression with its parameters, and its columns of this specification.

    ``columns`` by their names in the specification.
    ``every``:   of a file, all its columns in its order: name in the relation, name in the source.
    ``number``:  SQL for what the holder calls a row: in a file its number, counted as the holder counts (2 is the first
                 under the header of a CSV file); in a table of a database its place; NULL where a row has no name.
    ``told``:    such a number, as it is said.
    ``prepare``: called before each pass over ``sql``, with whether the pass asks for ``number``.
    ``why``:     what the engine's error means, where the source itself may know better.
    ``version``: a digest of the records, for who compares releases without noise; "" where the source cannot tell.
    ``asked``:   what of the source is read, where that is not all of it.
    """

    sql: str
    parameters: tuple[str, ...]
    columns: Mapping[str, Found]
    label: str
    number: str
    told: Callable[[int], str] = str
    prepare: Callable[[bool], None] = _nothing
    why: Callable[[Exception], str] = reason
    version: Callable[[], str] = field(default=lambda: "")
    asked: str = ""
    every: tuple[tuple[str, str], ...] = ()


def _kind(duck: str) -> Kind:
    if duck == "VARCHAR" or duck.startswith("ENUM"):
        return "text"
    if duck in _INTEGERS:
        return "integer"
    if duck.startswith("DECIMAL"):
        return "decimal"
    if duck in ("FLOAT", "DOUBLE"):
        return "float"
    if duck.startswith("TIMESTAMP") and "TIME ZONE" not in duck:
        return "timestamp"
    simple: dict[str, Kind] = {"BOOLEAN": "boolean", "DATE": "date", "BLOB": "blob"}
    return simple.get(duck, "other")


def _counted(first: int) -> str:
    return f"row_number() OVER () + {first - 1}"


def resolve(dataset: Dataset, source: Source, names: list[str]) -> dict[str, int]:
    """Place of each column of the specification among the ``names`` of a source: exact, else whatever its capitals."""
    places: dict[str, int] = {}
    for column in dataset.columns:
        wanted = source.columns.get(column, column)
        found = [i for i, name in enumerate(names) if name == wanted]
        found = found or [i for i, name in enumerate(names) if name.casefold() == wanted.casefold()]
        if not found:
            local = f"{source.label}: none of its {len(names)} columns is called {wanted}"
            raise SourceError("source.column", dataset=dataset.name, column=column, local=(local,))
        if len(found) > 1:
            local = f"{source.label}: {len(found)} columns are called {wanted}"
            raise SourceError("source.column-twice", dataset=dataset.name, column=column, local=(local,))
        places[column] = found[0]
    return places


def _header(dataset: str, path: Path) -> list[str]:
    """The names in the first row of a CSV file, after a look for NUL bytes through all of it."""
    line = 1
    with path.open("rb") as raw:
        while chunk := raw.read(_CHUNK):
            if (at := chunk.find(b"\0")) >= 0:
                line += chunk.count(b"\n", 0, at)
                raise unreadable(dataset, path.name, f"line {line}: there is a NUL byte; is it UTF-16 or no text?")
            line += chunk.count(b"\n")
    try:
        # The reader decodes more than the header: what is not UTF-8 below it is for the engine to find, with its line.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            names = next(csv.reader(text, strict=True), [])
        "".join(names).encode()
    except UnicodeEncodeError:
        raise unreadable(dataset, path.name, "line 1: the text is not UTF-8") from None
    except csv.Error:
        raise unreadable(dataset, path.name, "line 1: the header is not comma-separated text") from None
    if not any(names):
        raise unreadable(dataset, path.name, "there is no header row")
    return names


def _csv(dataset: Dataset, source: FileSource) -> Relation:
    names = _header(dataset.name, source.path)
    places = resolve(dataset, source, names)
    # Nothing is guessed: all columns are text, named by place, and a ragged row is an error.
    columns = ", ".join(f"'f{i}': 'VARCHAR'" for i in range(len(names)))
    sql = (
        f"read_csv(?, auto_detect = false, header = true, columns = {{{columns}}}, delim = ',', quote = '\"', "
        "escape = '\"', nullstr = '', strict_mode = true, null_padding = false, ignore_errors = false, "
        "compression = 'none')"
    )
    known: dict[str, Found] = {c: (f"f{i}", "text", names[i]) for c, i in places.items()}
    every = tuple((f"f{i}", name) for i, name in enumerate(names))
    return Relation(sql, (str(source.path),), known, source.label, _counted(2), every=every)


def _typed(described: list[tuple[str, str]], places: dict[str, int], names: list[str]) -> dict[str, Found]:
    return {c: (described[i][0], _kind(described[i][1]), names[i]) for c, i in places.items()}


def _parquet(connection: Any, dataset: Dataset, source: FileSource) -> Relation:
    with translated(dataset.name, source.label):
        names = list(pq.read_schema(source.path).names)
        sql = "read_parquet(?, hive_partitioning = false, union_by_name = false)"
        path = str(source.path)
        described = [row[:2] for row in connection.execute(f"DESCRIBE SELECT * FROM {sql}", [path]).fetchall()]
    places = resolve(dataset, source, names)
    every = tuple(zip((name for name, _ in described), names, strict=True))
    return Relation(sql, (path,), _typed(described, places, names), source.label, _counted(1), every=every)


def _frame(connection: Any, dataset: Dataset, source: FrameSource) -> Relation:
    frame = source.frame
    pandas = type(frame).__module__.partition(".")[0] == "pandas"
    if not pandas and not hasattr(frame, "__arrow_c_stream__"):
        problem = f"a {type(frame).__name__} is neither a pandas data frame nor an Arrow table"
        raise unreadable(dataset.name, source.label, problem)
    table: Any = frame if pandas else pa.table(frame)
    names = [str(name) for name in (table.columns if pandas else table.column_names)]
    places = resolve(dataset, source, names)
    arrays: dict[str, Any] = {}
    for column, at in places.items():
        try:
            array = pa.Array.from_pandas(table.iloc[:, at]) if pandas else table.column(at)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            local = f"{source.label}, column {names[at]}: its values are of several types, or of none that is known"
            raise SourceError("source.type", dataset=dataset.name, column=column, local=(local,)) from None
        arrays[f"f{at}"] = array.cast(pa.string()) if pa.types.is_null(array.type) else array
    with translated(dataset.name, source.label):
        connection.register("source", pa.table(arrays))
        described = [row[:2] for row in connection.execute("DESCRIBE SELECT * FROM source").fetchall()]
    kinds = {name: _kind(duck) for name, duck in described}
    known = {c: (f"f{i}", kinds[f"f{i}"], names[i]) for c, i in places.items()}
    return Relation("source", (), known, source.label, _counted(1))


# -- databases --------------------------------------------------------------------------------------------------------


def _postgres(
    connection: Any, dataset: Dataset, source: PostgresSource, database: postgres.Database, where: Predicate | None
) -> Relation:
    there = database.find()
    if there is None:
        raise postgres.refused(dataset.name, source, "there is no such table or view that its role can see")
    places = resolve(dataset, source, list(there.names))
    names = [there.names[at] for at in places.values()]
    held = {c: Held(name, kind) for c, name, kind in zip(places, names, database.kinds(names), strict=True)}
    selected = selection(where, dataset, held, ascii_only=database.encoding != "UTF8")
    known: dict[str, Found] = {c: (f"f{i}", database.told(it.kind), it.name) for i, (c, it) in enumerate(held.items())}
    reads = _Stream(connection, database, tuple(held.values()), selected, placed=there.placed)
    return Relation(
        sql=reads.sql,
        parameters=(),
        columns=known,
        label=source.label,
        number=quoted(postgres.PLACE) if there.placed else "NULL::BIGINT",
        told=_place,
        prepare=reads.prepare,
        why=reads.why,
        version=database.fingerprint,
        asked=f"{', '.join(names)} of {source.label}" + ("" if selected is None else f", rows with {selected}"),
    )


def _place(number: int) -> str:
    """A row's ``ctid`` as PostgreSQL writes it: SELECT ... WHERE ctid = '(12,7)' shows it, until it is changed."""
    return f"({number // 65536},{number % 65536})"


@dataclass(frozen=True, slots=True)
class _Stream:
    """The engine's view of a table that another server reads out, once for each pass."""

    connection: Any
    database: postgres.Database
    columns: Sequence[Held]
    selected: Selection | None
    placed: bool

    @property
    def sql(self) -> str:
        return "source"

    def prepare(self, numbered: bool) -> None:
        reader, read = self.database.stream(self.columns, self.selected, placed=numbered and self.placed)
        self.connection.register("stream", reader)
        listed = [f"{read(f'f{i}')} AS f{i}" for i in range(len(self.columns))]
        if numbered and self.placed:
            listed.append(quoted(postgres.PLACE))
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW source AS SELECT {', '.join(listed)} FROM stream")

    def why(self, error: Exception) -> str:
        return reason(error) if self.database.failed is None else postgres.reason(self.database.failed)


# -- any of them ------------------------------------------------------------------------------------------------------


def files_of(source: Source) -> tuple[Path, ...]:
    """The files that an engine for ``source`` may open."""
    return (source.path,) if isinstance(source, FileSource) else ()


@contextmanager
def relation(connection: Any, dataset: Dataset, source: Source, where: Predicate | None = None) -> Iterator[Relation]:
    """Find the columns of ``dataset`` in ``source``; no record is validated yet.

    ``where``: what will be asked of the rows. A database leaves out those that it can tell are not selected.
    Raises: SourceError unreadable, database, column, column-twice, or type for a frame's column of mixed types.
    """
    if isinstance(source, PostgresSource):
        with postgres.opened(source, dataset=dataset.name) as database:
            yield _postgres(connection, dataset, source, database, where)
    else:
        yield (
            _frame(connection, dataset, source)
            if isinstance(source, FrameSource)
            else _file(connection, dataset, source)
        )


def whole(source: PostgresSource) -> pa.Table:
    """All rows of a table of a database, of the columns that can be read: for who writes a first specification.

    Raises: SourceError source.database.
    """
    with engine() as connection, postgres.opened(source, dataset=source.table) as database:
        there = database.find()
        if there is None:
            raise postgres.refused(source.table, source, "there is no such table or view that its role can see")
        kinds = zip(there.names, database.kinds(there.names), strict=True)
        held = [Held(name, kind) for name, kind in kinds if kind != "other"]
        given = {place: name for name, place in source.columns.items()}
        reads = _Stream(connection, database, held, None, placed=False)
        with translated(source.table, source.label, reads.why):
            reads.prepare(False)
            listed = (
                (f"TRY_CAST(f{i} AS DOUBLE)" if database.told(it.kind) == "numeral" else f"f{i}")
                + f" AS {quoted(given.get(it.name, it.name))}"
                for i, it in enumerate(held)
            )
            return connection.execute(f"SELECT {', '.join(listed)} FROM source").fetch_arrow_table()


def _file(connection: Any, dataset: Dataset, source: FileSource) -> Relation:
    if source.kind is None:
        raise unreadable(dataset.name, source.label, "the name ends neither in .csv nor in .parquet: state the format")
    if is_pattern(source.path):
        raise unreadable(dataset.name, source.label, "its path has one of the characters * ? [: rename it")
    if not source.path.is_file():
        raise unreadable(dataset.name, source.label, "no such file")
    try:
        return _csv(dataset, source) if source.kind == "csv" else _parquet(connection, dataset, source)
    except OSError as error:
        raise unreadable(dataset.name, source.label, error.strerror or "the file cannot be read") from None
