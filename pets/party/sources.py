"""A holder's own records: where they lie, the engine that reads them, and what a run reads of a snapshot.

The one home of DuckDB. An engine is opened for named files only: no other file, no network, no extension, no view of
the interpreter's variables, and a locked configuration. Every statement is written here or in ``snapshot.py`` from
identifiers that are quoted and values that are parameters; the WHERE of a query comes from ``spec/predicate.py``, which
writes it from our own nodes, never from the author's text.

DuckDB quotes records in its messages, so none of its text is passed on: ``reason`` keeps the line number and the kind.
"""

import datetime as dt
import decimal
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pets.errors import SourceError
from pets.kernels.digits import ten_digits
from pets.spec import ir
from pets.spec.banded import Banded, reads
from pets.spec.model import Column, Dataset
from pets.spec.predicate import columns_of, emit_where
from pets.spec.query import Predicate, Value

U8Array = npt.NDArray[np.uint8]
U32Array = npt.NDArray[np.uint32]
I64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MEMORY: Final = "1500MB"
"""What the engine may hold at once; above it, it spills to the scratch folder it is given, or refuses."""

MAX_ID_BYTES: Final = 64


# -- where records lie ------------------------------------------------------------------------------------------------


Kind = Literal["text", "integer", "decimal", "numeral", "float", "boolean", "date", "timestamp", "blob", "other"]
"""What the values of a source's column are; a numeral is a number of any size and precision, as text."""


def quoted(identifier: str) -> str:
    """An SQL identifier, whatever characters it has."""
    return '"' + identifier.replace('"', '""') + '"'


# -- the engine -------------------------------------------------------------------------------------------------------


SMALL: Final = 50_000
"""Rows of a frame up to which one thread is faster than several, which have to be started first."""


def _locked(setting: str, paths: list[str], *, scratch: Path | None, memory: str, threads: int | None = None) -> Any:
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": "" if scratch is None else str(scratch),
            "memory_limit": memory,
            **({} if threads is None else {"threads": str(threads)}),
        },
    )
    # The names of allowed files are the one thing that SET takes as a literal only.
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    connection.execute(f"SET {setting} = [{listed}]")
    # A bar would draw on the server's console. DuckDB has one on in a terminal and in a notebook only, and refuses
    # every word about it in a notebook that lacks the widgets it is drawn with: there, none is drawn.
    with suppress(duckdb.InvalidInputException):
        connection.execute("SET enable_progress_bar = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


@contextmanager
def engine(
    *files: Path, scratch: Path | None = None, memory: str = MEMORY, threads: int | None = None
) -> Iterator[Any]:
    """Open DuckDB for ``files`` and nothing else; ``scratch`` is a private folder it may spill to.

    ``threads``: as many as the machine has processors, if it is left out.
    """
    connection = _locked(
        "allowed_paths", [str(path) for path in files], scratch=scratch, memory=memory, threads=threads
    )
    try:
        yield connection
    finally:
        connection.close()


class Shared:
    """One engine for many parties in one process, whom nothing keeps apart: opening it takes longer than a small frame.

    It reads and writes below ``folder`` and nothing else, in one thread. What one user makes in it is temporary, and
    no other one's. A party's server never has one.
    """

    def __init__(self, folder: Path) -> None:
        self._open = _locked("allowed_directories", [f"{folder}/"], scratch=None, memory=MEMORY, threads=1)

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A connection of its own to the engine."""
        connection = self._open.cursor()
        try:
            yield connection
        finally:
            connection.close()

    def close(self) -> None:
        self._open.close()


@lru_cache(maxsize=8)
def warm(folder: Path) -> Any:
    """The engine that reads the snapshots of ``folder``. Opened once: that costs more than reading a million rows."""
    return _locked("allowed_directories", [f"{folder}/"], scratch=None, memory="4GB")


def reason(error: Exception, *, line: int | None = None) -> str:
    """What DuckDB or Arrow could not do, in our words: its own message may quote a record."""
    text = str(error)
    if line is None and (found := re.search(r"CSV Error on Line: (\d+)", text)):
        line = int(found[1])
    where = "" if line is None else f"line {line}: "
    if found := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text):
        return f"{where}the row has {found[2]} values, the header has {found[1]}"
    known = {
        "unterminated quote": "a quoted value does not end where it should",
        "invalid unicode": "the text is not UTF-8",
        "invalid string encoding": "a text value is not UTF-8",
        "state machine": "line ends or quotes are mixed in a way that RFC 4180 does not know",
        "maximum line size": "a line is longer than 2 MB",
        "out of memory": "the records need more memory than the engine may use",
        "no such file": "no such file",
        "no files found": "no such file",
        "no magic bytes": "not a Parquet file",
        "too small to be a parquet": "not a Parquet file",
    }
    for mark, words in known.items():
        if mark in text.lower():
            return where + words
    return where + "the file cannot be read" if where else f"the file cannot be read ({type(error).__name__})"


def unreadable(dataset: str, label: str, problem: str) -> SourceError:
    return SourceError("source.unreadable", dataset=dataset, local=(f"{label}: {problem}",))


@contextmanager
def translated(dataset: str, label: str, why: Callable[[Exception], str] = reason) -> Iterator[None]:
    """Turn what the engine raises into a SourceError without a word of its own; ``why`` says what it means."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise unreadable(dataset, label, why(error)) from None


# -- what a run reads -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """What validation found, for the holder's own console and nobody else.

    ``rows`` are in the snapshot, of ``people`` people; ``without_id`` were dropped for want of an identifier;
    ``clipped`` and ``missing`` count values by column: moved into the declared range, and NULL.
    ``asked``: what a database was asked for, where the rest of it was left unread.
    """

    rows: int
    people: int
    without_id: int
    clipped: Mapping[str, int]
    missing: Mapping[str, int]
    asked: str = ""

    def lines(self) -> tuple[str, ...]:
        """Sentences for the console."""
        said = [f"read {self.asked}"] if self.asked else []
        said.append(f"{self.rows:,} rows of {self.people:,} people")
        if self.without_id:
            said.append(f"{self.without_id:,} rows without an identifier left out")
        said += [f"{column}: {count:,} values moved into the declared range" for column, count in self.clipped.items()]
        said += [f"{column}: {count:,} values missing" for column, count in self.missing.items()]
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen, validated table of one dataset. ``sha256`` and ``commitment`` are 64 hex digits.

    ``width``: bytes of an id in the file; 10 for NHS numbers, else those of the longest. ``report`` stays at home.
    ``version``: a digest of the records as their database has them, if it was asked for.
    """

    dataset: str
    file: Path
    sha256: str
    commitment: str
    schema_digest: str
    taken: dt.datetime
    width: int
    report: Report
    version: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """What a role works on: n rows, those of one person adjacent. All arrays are contiguous and may be written to.

    ids       (n, w) uint8: normalised identifiers, zero-padded on the right (no identifier holds a zero byte)
    fixed     True if the scheme's ids have one width of at most 13 bytes, so that they enter blocks as they are
    person    (n,) uint32: equal for rows of one person, ascending, with gaps where WHERE left nobody
    cell      (n,) uint32: mixed radix of the levels of the dimensions, the first one most significant
    values    (n,) int64 in units of the last place, by column; 0 where NULL
    present   (n,) bool, by column
    compared  (n,) int64 for each compared column of the step, times its factor; 0 where NULL
    tests     (n,) bool for each test of the step: where its condition is true
    chosen    (n,) bool for each condition of a factor: where it is true
    """

    ids: U8Array
    fixed: bool
    person: U32Array
    cell: U32Array
    values: Mapping[str, I64Array]
    present: Mapping[str, BoolArray]
    compared: tuple[I64Array, ...] = ()
    tests: tuple[BoolArray, ...] = ()
    chosen: Mapping[Predicate, BoolArray] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return int(self.person.size)

    def __repr__(self) -> str:
        return "Table(***)"


def read(snapshot: Snapshot, what: ir.Read, dataset: Dataset) -> Table:
    """Read the rows of a snapshot that a step of the plan asks for.

    Sizes:   as many rows as pass WHERE; nothing is truncated yet, that is random and belongs to the run.
    Order:   by identifier, so that a person's rows are adjacent; equal files give equal tables.
    Raises:  SourceError source.snapshot if the file is not the one that was committed to.
    """
    found: list[str | None] = [None]
    hashing = threading.Thread(target=_hash_into, args=(snapshot.file, found), daemon=True)
    hashing.start()  # next to the engine: both release the interpreter lock
    broken: Exception | None = None
    try:
        table = _fetch(snapshot, what, dataset)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        broken = error
    finally:
        hashing.join()
    if found[0] != snapshot.sha256 or broken is not None:
        local = f"{snapshot.file.name}: {'changed or gone since it was taken' if broken is None else reason(broken)}"
        raise SourceError("source.snapshot", dataset=snapshot.dataset, local=(local,))
    return _arrays(table, snapshot, what, dataset)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _hash_into(path: Path, found: list[str | None]) -> None:
    try:
        found[0] = sha256_file(path)
    except OSError:
        found[0] = None


def _touched(what: ir.Read) -> tuple[list[str], list[str]]:
    """Measures whose values, and whose presence, the factors of a step use; each once, in order."""
    values = dict.fromkeys(c for factor in what.factors for c in factor.values)
    present = dict.fromkeys(c for factor in what.factors for c in factor.present)
    return list(values), list(present)


def _chosen(what: ir.Read) -> list[Predicate]:
    """The conditions of factors, each once, in order."""
    return list(dict.fromkeys(each for factor in what.factors for each in factor.when))


def _fetch(snapshot: Snapshot, what: ir.Read, dataset: Dataset) -> Any:
    """The file's columns that a step needs, as they are stored, of the rows that pass WHERE."""
    file = snapshot.file.parent.resolve() / snapshot.file.name
    stored = _stored(what)
    bands = {i: d.column for i, d in enumerate(what.dimensions) if isinstance(d.column, Banded)}
    tests = [*what.tests, *_chosen(what)]
    if what.where is None and not (what.compared or tests or bands):
        # the engine would take twice as long over what it need not look at
        with pq.ParquetFile(file) as opened:
            return opened.read(columns=stored)
    # Inside, the file's columns under names that no specification can give; beside them those that WHERE names.
    inner = [f'{quoted(name)} AS "#{i}"' for i, name in enumerate(stored)]
    conditions = [*tests, *([] if what.where is None else [what.where])]
    looked_at = [*(c for condition in conditions for c in columns_of(condition)), *chain(*map(reads, bands.values()))]
    named = dict.fromkeys(looked_at)
    inner += [f"{original(c, dataset.columns[c])} AS {quoted(c)}" for c in named]
    inner += [f'{_number(c, dataset.columns[c.column])} AS "x{i}"' for i, c in enumerate(what.compared)]
    listed = [f'"#{i}" AS {quoted(name)}' for i, name in enumerate(stored)]
    listed += [f'"x{i}"' for i in range(len(what.compared))]
    literals: list[Value] = []
    for i, test in enumerate(tests):
        text, values = emit_where(test)
        listed.append(f'CASE WHEN {text} THEN 1 ELSE 0 END::UTINYINT AS "t{i}"')
        literals += values
    for i, band in bands.items():
        text, values = band.emit()
        listed.append(f'({text})::UINTEGER AS "g{i}"')
        literals += values
    where, values = emit_where(what.where)
    sql = f"SELECT {', '.join(listed)} FROM (SELECT {', '.join(inner)} FROM read_parquet(?)) WHERE {where}"
    cursor = warm(file.parent).cursor()
    try:
        arguments = [*map(parameter, literals), str(file), *map(parameter, values)]
        return cursor.execute(sql, arguments).fetch_arrow_table()
    finally:
        cursor.close()


def _stored(what: ir.Read) -> list[str]:
    """Names, in the snapshot's file, of the columns that a step needs."""
    values, present = _touched(what)
    groups = [f"d_{d.column.column}" for d in what.dimensions if not isinstance(d.column, Banded)]
    named = ["id", "person", *groups, *(f"m_{c}" for c in values + present)]
    return list(dict.fromkeys(named))


def original(name: str, column: Column) -> str:
    """A column of a snapshot file as WHERE means it: text, number or date, not level codes or scaled integers."""
    if column.role == "person id":
        return "lpad(id::VARCHAR, 10, '0')" if column.scheme == "nhs-number" else "rtrim(decode(id), chr(0))"
    if column.role != "measure":
        return quoted("c_" + name)
    stored = quoted("m_" + name)
    if column.type == "integer":
        return stored
    return f"{stored}::DECIMAL(18, 0) * {decimal.Decimal(1).scaleb(-column.places):f}"


def _number(compared: ir.Compared, column: Column) -> str:
    """A compared column as a whole number: in units of the last place, or days since 1970, times its factor."""
    plain = (
        f"date_diff('day', DATE '1970-01-01', {quoted('c_' + compared.column)})"
        if column.type == "date"
        else quoted("m_" + compared.column)
    )
    return f"coalesce({plain} * {compared.factor}::BIGINT, 0)::BIGINT"


def parameter(value: Value) -> object:
    """A literal as DuckDB takes it. Fractions of decimal columns are finite decimals."""
    if not isinstance(value, Fraction):
        return value
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
        if digits > 18:
            raise ValueError("the literal of a decimal column has a finite decimal form")
    return decimal.Decimal(int(value * 10**digits)).scaleb(-digits)


def _arrays(table: Any, snapshot: Snapshot, what: ir.Read, dataset: Dataset) -> Table:
    values, present = _touched(what)
    fixed = dataset.columns[dataset.key].scheme == "nhs-number"
    first = table["id"]
    cell = np.zeros(table.num_rows, np.uint32)
    for i, dimension in enumerate(what.dimensions):
        cell *= np.uint32(len(dimension.levels))
        name = f"g{i}" if isinstance(dimension.column, Banded) else f"d_{dimension.column.column}"
        cell += _numbers(table[name], np.dtype(np.uint32))
    return Table(
        ids=ten_digits(_numbers(first, np.dtype(np.int64))) if fixed else _bytes(first, snapshot.width),
        fixed=fixed,
        person=_numbers(table["person"], np.dtype(np.uint32)),
        cell=cell,
        values={c: _numbers(table[f"m_{c}"], np.dtype(np.int64)) for c in values},
        present={c: _is_there(table[f"m_{c}"]) for c in present},
        compared=tuple(_numbers(table[f"x{i}"], np.dtype(np.int64)) for i in range(len(what.compared))),
        tests=tuple(_true(table, i) for i in range(len(what.tests))),
        chosen={each: _true(table, i) for i, each in enumerate(_chosen(what), len(what.tests))},
    )


def _true(table: Any, test: int) -> BoolArray:
    flags: BoolArray = _numbers(table[f"t{test}"], np.dtype(np.uint8)) == 1
    return flags


def _numbers(column: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values, 0 where NULL.

    A copy on purpose: Arrow's own buffers are read-only, for which kernels would be compiled a second time.
    """
    if column.null_count:
        column = column.fill_null(0)
    chunks = [chunk.to_numpy(zero_copy_only=True) for chunk in column.chunks]
    return np.concatenate(chunks, dtype=dtype) if chunks else np.empty(0, dtype)


def _is_there(column: Any) -> BoolArray:
    """Which values are not NULL."""
    if not column.null_count:
        return np.ones(len(column), np.bool_)
    there: BoolArray = column.is_valid().to_numpy()
    return there


def _bytes(column: Any, width: int) -> U8Array:
    """Values of ``width`` bytes each, as the rows of a matrix."""
    out = np.empty((len(column), width), np.uint8)
    at = 0
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        start = int(np.frombuffer(offsets, np.int32)[chunk.offset])
        rows = len(chunk)
        out[at : at + rows] = np.frombuffer(data, np.uint8)[start : start + rows * width].reshape(rows, width)
        at += rows
    return out
