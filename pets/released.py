"""A table that was released under disclosure control, and true totals that are known besides, from their files."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from io import StringIO
from itertools import product
from math import prod
from pathlib import Path
from typing import Final, Literal

from pets.errors import AuditError
from pets.ids import MISSING, WITHHELD
from pets.spec.banded import Case
from pets.spec.control import Control, effective
from pets.spec.model import Spec
from pets.spec.parse import read_spec
from pets.spec.pooled import Pooled, Statement
from pets.spec.query import Aggregate, ColumnRef, Statistic
from pets.spec.sql import bind

Cell = tuple[str, ...]
"""Levels, in the order of the grouping columns."""

Number = Fraction | int | None
"""What is shown; None: withheld."""

Kind = Literal["rows", "flags", "people", "sum"]

SPEC: Final = "spec.toml"
TABLE: Final = "result.csv"
ROWS: Final = "rows"


@dataclass(frozen=True, slots=True)
class Released:
    """A table as it was released. ``cells``: by levels in the order of GROUP BY, then by name of the column.

    A cell that is not there is withheld.
    """

    name: str
    spec: Spec
    query: Statement
    control: Control
    cells: Mapping[Cell, Mapping[str, Number]]

    @property
    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """The levels of each grouping column ("dataset.column"), ``(missing)`` last."""
        return {
            str(ref): (*self.spec.dataset(ref.dataset).columns[ref.column].levels, MISSING)
            for ref in self.query.group_by
        }

    @property
    def rows_of_one(self) -> int:
        """The most rows after the join that one person may have; of one table, at all its holders together."""
        tables = [self.spec.dataset(name) for name in self.query.tables]
        holders = len(tables[0].parties) if isinstance(self.query, Pooled) else 1
        return holders * prod(table.max_rows_per_person for table in tables)

    @property
    def records(self) -> frozenset[str]:
        """What records it is of: of one table, those of these holders."""
        if not isinstance(self.query, Pooled):
            return frozenset(self.query.tables)
        return frozenset(f"{self.query.table} of {party}" for party in self.spec.dataset(self.query.table).parties)

    def numbers(self, name: str) -> dict[Cell, Number]:
        """One column of the table, for every cell that its levels make."""
        return {cell: self.cells.get(cell, {}).get(name) for cell in product(*self.dimensions.values())}

    def kind(self, what: Aggregate) -> Kind | None:
        """What a statistic counts or adds up; None for one that says nothing of counts by itself."""
        match what.statistic:
            case Statistic.COUNT_ROWS | Statistic.COUNT_VALUES | Statistic.LINEAR_ROWS | Statistic.LOGISTIC_ROWS:
                return "rows"
            case Statistic.COUNT_PEOPLE:
                return "people" if self.rows_of_one > 1 else "rows"
            case Statistic.SUM:
                low, high = self.range_of(what)
                return "flags" if low == 0 and high == 1 else "sum"
        return None

    def range_of(self, what: Aggregate) -> tuple[Fraction, Fraction]:
        """The least and the greatest value of the measure that a sum is of."""
        (ref,) = what.columns
        column = self.spec.dataset(ref.dataset).columns[ref.column]
        low, high = column.scaled_range
        return Fraction(low, 10**column.places), Fraction(high, 10**column.places)


@dataclass(frozen=True, slots=True)
class Totals:
    """True numbers of the rows that a table is about, by some of its grouping columns, that recipients know besides."""

    of: Released
    columns: tuple[str, ...]
    numbers: Mapping[Cell, int]


def read(folder: Path) -> Released:
    """A table from a folder of evidence, or any with spec.toml and result.csv. An empty field is withheld, too.

    Raises: SpecError; AuditError audit.noised, audit.having, audit.table.
    """
    spec = read_spec(folder / SPEC)
    query, control = bind(spec), effective(spec)
    if control is None or spec.release.differential_privacy is not None:
        raise AuditError("audit.noised", file=folder.name)
    if query.having is not None:
        raise AuditError("audit.having", file=folder.name)
    path = folder / TABLE
    if any(isinstance(ref, Case) for ref in query.group_by):
        problem = "it is grouped by CASE, whose levels the audit cannot hold against columns of other tables"
        raise AuditError("audit.table", file=folder.name, problem=problem)
    if any(isinstance(output.what, Aggregate) and output.what.when for output in query.outputs):
        problem = "it has CASE inside a statistic, whose rows the audit cannot hold against those of other tables"
        raise AuditError("audit.table", file=folder.name, problem=problem)
    grouping = _grouping(query, path)
    statistics = [output.name for output in query.outputs if isinstance(output.what, Aggregate)]
    cells: dict[Cell, dict[str, Number]] = {}
    found = Released(folder.name, spec, query, control, cells)
    known = set(product(*found.dimensions.values()))
    for line in _lines(path):
        try:
            cell = tuple(line[name] for name in grouping)
            numbers = {name: None if line[name] in ("", WITHHELD) else Fraction(line[name]) for name in statistics}
        except (KeyError, ValueError, TypeError):
            raise AuditError("audit.table", file=str(path), problem="its columns are not those of its query") from None
        if cell not in known or cell in cells:
            raise AuditError("audit.table", file=str(path), problem="a row is there twice, or has a level that is none")
        cells[cell] = dict(numbers)
    return found


def read_totals(path: Path, of: Released) -> Totals:
    """Known totals from a CSV file: a column for each grouping ("dataset.column"), then ``rows``.

    Raises: AuditError audit.known, audit.table.
    """
    lines = _lines(path)
    *columns, last = list(lines[0]) if lines else [""]
    if last != ROWS or not set(columns) <= set(of.dimensions):
        problem = f"its columns are not grouping columns of {of.name}, and then {ROWS}"
        raise AuditError("audit.known", file=str(path), problem=problem)
    try:
        numbers = {tuple(line[name] for name in columns): int(line[ROWS]) for line in lines}
    except (ValueError, TypeError):
        raise AuditError("audit.known", file=str(path), problem="a total is no whole number") from None
    return Totals(of, tuple(columns), numbers)


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(StringIO(path.read_text(encoding="utf-8")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise AuditError("audit.table", file=str(path), problem="it is not there, or is no CSV in UTF-8") from None


def _grouping(query: Statement, path: Path) -> list[str]:
    """The names of the grouping columns in the table, in the order of GROUP BY."""
    named = {output.what: output.name for output in query.outputs if isinstance(output.what, ColumnRef)}
    if set(named) != set(query.group_by):
        raise AuditError("audit.table", file=str(path), problem="it does not show all its grouping columns")
    return [named[ref] for ref in query.group_by]
