"""A list of persons brought back to the file they are from: its own rows, in its own order.

The outcome of an intersection has identifiers as the specification normalises them, each once, sorted. The person who
asked has a file with rows in some order, identifiers as they were typed, and other columns. ``in_order`` finds these
rows by the same statement that froze them (``snapshot.py``, ``fit.py``), so that an identifier means here what it meant
in the run.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pets.party.files import FileSource
from pets.party.relation import Relation, files_of, relation
from pets.party.snapshot import Taking
from pets.party.sources import engine, original, parameter, quoted, translated
from pets.spec.model import Dataset, Linkage
from pets.spec.predicate import columns_of, emit_where
from pets.spec.query import Predicate

_NUMBER: Final = '"#number"'
_PERSON: Final = '"#person"'
_BATCH: Final = 65_536


@dataclass(frozen=True, slots=True, repr=False)
class Ordered:
    """Rows of a file, in its order, under its own names; ``persons``: of how many of the list there are rows."""

    table: pa.Table
    persons: int

    def write(self, file: Path) -> None:
        """Write the rows as CSV, UTF-8, LF line ends; texts are as the file has them, what is missing is empty."""
        with file.open("w", encoding="utf-8", newline="") as opened:
            rows = csv.writer(opened, lineterminator="\n")
            rows.writerow(self.table.column_names)
            for batch in self.table.to_batches(max_chunksize=_BATCH):
                rows.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))

    def __repr__(self) -> str:
        return "Ordered(***)"


def in_order(
    source: FileSource, dataset: Dataset, linkage: Linkage, found: Any, *, where: Predicate | None = None
) -> Ordered:
    """The rows of a file that belong to the persons of a list, all their columns, then what came with each person.

    ``found``: a pandas or Arrow table: the first column has normalised identifiers, each once; the others came with
               them. One that is called like a column of the file gets a 2 behind its name.
    ``where``: the condition under which a row of the file counted.
    Learned:   nothing leaves here; the file and the list are both its reader's own.
    Raises:    SourceError, as ``snapshot.take`` does where the file cannot be read.
    """
    listing = found if isinstance(found, pa.Table) else pa.Table.from_pandas(found, preserve_index=False)
    key, *brought = listing.column_names
    with _opened(source, dataset) as (connection, read):
        connection.register("found", listing)
        rows, values = _chosen(Taking(connection, read, dataset, linkage), dataset, where)
        names = _apart([name for _, name in read.every], brought)
        listed = [f"own.{quoted(column)} AS {quoted(f'#{i}')}" for i, (column, _) in enumerate(read.every)]
        listed += [f"found.{quoted(name)} AS {quoted(f'#{i}')}" for i, name in enumerate(brought, len(listed))]
        sql = (
            f"SELECT {', '.join(listed)}, chosen.{_PERSON} FROM "
            f"(SELECT *, {read.number} AS {_NUMBER} FROM {read.sql}) AS own "
            f"JOIN ({rows}) AS chosen ON own.{_NUMBER} = chosen.{_NUMBER} "
            f"JOIN found ON found.{quoted(key)} = chosen.{_PERSON} ORDER BY own.{_NUMBER}"
        )
        joined = connection.execute(sql, [*read.parameters, *values]).fetch_arrow_table()
    persons = len(joined.column(joined.num_columns - 1).unique())
    return Ordered(joined.select(range(joined.num_columns - 1)).rename_columns(names), persons)


def persons_of(source: FileSource, dataset: Dataset, linkage: Linkage) -> tuple[int, int]:
    """How many persons a file has, and the most rows of one of them.

    Raises: SourceError, as ``in_order`` does.
    """
    with _opened(source, dataset) as (connection, read):
        rows, values = _chosen(Taking(connection, read, dataset, linkage), dataset, None)
        counted = f"SELECT count(*) AS n FROM ({rows}) GROUP BY {_PERSON}"
        found = connection.execute(f"SELECT count(*), coalesce(max(n), 0) FROM ({counted})", values).fetchone()
    return int(found[0]), int(found[1])


@contextmanager
def _opened(source: FileSource, dataset: Dataset) -> Iterator[tuple[Any, Relation]]:
    """The engine with a file as a relation. What it raises comes out as a SourceError."""
    with (
        engine(*files_of(source)) as connection,
        relation(connection, dataset, source) as read,
        translated(dataset.name, source.label, read.why),
    ):
        yield connection, read


def _chosen(taking: Taking, dataset: Dataset, where: Predicate | None) -> tuple[str, list[Any]]:
    """SQL for the rows with an identifier on which ``where`` is true: their numbers and persons; and its parameters."""
    read: Relation = taking.relation
    stored = [f"{sql} AS {quoted(name)}" for one in taking.fits for name, sql in one.stored if name != "id"]
    (identifier,) = [sql for one in taking.fits for name, sql in one.stored if name == "id"]
    person = f"lpad(({identifier})::VARCHAR, 10, '0')" if taking.fixed else identifier
    inner = ['"#row"', f"{person} AS {_PERSON}", *stored]
    named = dict.fromkeys(columns_of(where)) if where is not None else ()
    outer = [f'"#row" AS {_NUMBER}', _PERSON, *(f"{original(c, dataset.columns[c])} AS {quoted(c)}" for c in named)]
    text, values = emit_where(where)
    sql = (
        f"SELECT {_NUMBER}, {_PERSON} FROM (SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} "
        f"FROM ({taking.rows(numbered=True)}) WHERE {taking.key_raw} IS NOT NULL)) WHERE {text}"
    )
    return sql, [*read.parameters, *map(parameter, values)]


def _apart(own: list[str], brought: list[str]) -> list[str]:
    """Names of the columns together, none twice."""
    names = list(own)
    for name in brought:
        names.append(name if name not in names else f"{name}2")
    return names
