"""From a source to a relation: the columns of one dataset, found in a CSV file, a Parquet file or a data frame.

Names are looked up whatever their capitals, after the holder's renaming. Nothing is guessed: a CSV file is
comma-separated UTF-8 text with a header, every value arrives as text, and a ragged row is an error. What the values are
worth is decided in ``fit.py``.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pets.errors import SourceError
from pets.party.sources import FileSource, FrameSource, Source, is_pattern, translated, unreadable
from pets.spec.model import Dataset

Kind = Literal["text", "integer", "decimal", "float", "boolean", "date", "timestamp", "blob", "other"]

Found = tuple[str, Kind, str]
"""A column of a source: its name in the relation, its kind, its name in the source."""

_INTEGERS: Final = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Relation:
    """A source as the engine sees it: a table expression with its parameters, and its columns of this specification.

    ``columns`` by their names in the specification.
    ``first_row``: number of the first record, as the holder counts: 2 under the header of a CSV file, else 1.
    """

    sql: str
    parameters: tuple[str, ...]
    columns: Mapping[str, Found]
    label: str
    first_row: int


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
    return Relation(sql, (str(source.path),), known, source.label, first_row=2)


def _typed(described: list[tuple[str, str]], places: dict[str, int], names: list[str]) -> dict[str, Found]:
    return {c: (described[i][0], _kind(described[i][1]), names[i]) for c, i in places.items()}


def _parquet(connection: Any, dataset: Dataset, source: FileSource) -> Relation:
    with translated(dataset.name, source.label):
        names = list(pq.read_schema(source.path).names)
        sql = "read_parquet(?, hive_partitioning = false, union_by_name = false)"
        path = str(source.path)
        described = [row[:2] for row in connection.execute(f"DESCRIBE SELECT * FROM {sql}", [path]).fetchall()]
    places = resolve(dataset, source, names)
    return Relation(sql, (path,), _typed(described, places, names), source.label, first_row=1)


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
    return Relation("source", (), known, source.label, first_row=1)


def files_of(source: Source) -> tuple[Path, ...]:
    """The files that an engine for ``source`` may open."""
    return (source.path,) if isinstance(source, FileSource) else ()


def relation(connection: Any, dataset: Dataset, source: Source) -> Relation:
    """Find the columns of ``dataset`` in ``source``; no record is validated yet.

    Raises: SourceError unreadable, column, column-twice, or type for a frame's column of mixed types.
    """
    if isinstance(source, FrameSource):
        return _frame(connection, dataset, source)
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
