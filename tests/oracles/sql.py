"""Joint queries in the clear: DuckDB runs the author's own text on the bounded rows, and a loop over rows sums moments.

Two twins of the whole way from tables to result. ``expected`` gives the table that a run without noise must give, from
nothing but the author's SQL; it holds where nothing is rounded. ``moments`` sums what the plan says, row by row, with
the plan's rounding; it holds always. Neither knows shares, tags, cells in mixed radix or roles.

Rows are dicts of Python values: text, int, Decimal, date or None.
"""

import datetime as dt
import itertools
import math
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from pets.ids import MISSING
from pets.plan.cost import join_of
from pets.spec.banded import Case
from pets.spec.ir import AddNoise, Factor, Plan, Read
from pets.spec.model import Column, Dataset, Spec
from pets.spec.query import Aggregate as Asked
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Query, Statistic

Row = dict[str, Any]
Rows = list[Row]

_SUMS = (Statistic.COUNT_ROWS, Statistic.COUNT_VALUES, Statistic.COUNT_PEOPLE, Statistic.SUM)


# -- rows as a holder brings them, and as they count ------------------------------------------------------------------


def arrow(dataset: Dataset, rows: Rows) -> pa.Table:
    """The raw table of a holder."""
    return pa.table(
        {name: pa.array([row[name] for row in rows], _arrow_type(c)) for name, c in dataset.columns.items()}
    )


def _arrow_type(column: Column) -> pa.DataType:
    match column.type:
        case "integer":
            return pa.int64()
        case "decimal":
            return pa.decimal128(18, min(column.places + 2, 9))
        case "date":
            return pa.date32()
        case _:
            return pa.string()


def counted(spec: Spec, dataset: Dataset, rows: Rows) -> Rows:
    """Rows as they count: with an identifier, normalised; measures rounded to their places and clipped."""
    return [_counted(spec, dataset, row) for row in rows if row[dataset.key] is not None]


def is_space(character: str) -> bool:
    """What the step strip-spaces takes out."""
    return character in "\t\n\f\r " or unicodedata.category(character).startswith("Z")


def _counted(spec: Spec, dataset: Dataset, row: Row) -> Row:
    out = {name: row[name] for name in dataset.columns}
    steps = spec.linkage.normalise
    if "strip-spaces" in steps:
        out[dataset.key] = "".join(c for c in out[dataset.key] if not is_space(c))
    if "nfc" in steps:
        out[dataset.key] = unicodedata.normalize("NFC", out[dataset.key])
    for name, column in dataset.columns.items():
        value = out[name]
        if column.type == "decimal" and value is not None:
            out[name] = value = value.quantize(Decimal(1).scaleb(-column.places), ROUND_HALF_UP)
        if column.role == "measure" and value is not None:
            kind = int if column.type == "integer" else Decimal
            out[name] = min(max(value, kind(column.min)), kind(column.max))
    return out


# -- the author's own SQL ---------------------------------------------------------------------------------------------


def run_sql(spec: Spec, tables: Mapping[str, Rows]) -> list[tuple[Any, ...]]:
    """What DuckDB answers to the author's text on these rows."""
    cursor = _engine().cursor()
    try:
        for dataset in spec.datasets:
            cursor.register(dataset.name, arrow(dataset, tables[dataset.name]))
        return cursor.execute(spec.computation.sql).fetchall()
    finally:
        cursor.close()


@cache
def _engine() -> Any:
    return duckdb.connect(":memory:")


def expected(spec: Spec, query: Query, tables: Mapping[str, Rows]) -> dict[tuple[str, ...], list[Any]]:
    """Every cell of the full domain and its statistics in the order of SELECT; None where SQL has no value.

    ``tables``: rows as they count, nobody with more than counts. A cell without rows has zeros for counts and sums.
    """
    outputs = query.outputs
    levels = [
        (
            *(
                o.what.levels
                if isinstance(o.what, Case)
                else spec.dataset(o.what.dataset).columns[o.what.column].levels
            ),
            MISSING,
        )
        for o in outputs
        if not isinstance(o.what, Asked)
    ]
    empty = [0 if o.what.statistic in _SUMS else None for o in outputs if isinstance(o.what, Asked)]
    cells = {cell: list(empty) for cell in itertools.product(*levels)}
    for row in run_sql(spec, tables):
        cell = tuple(
            MISSING if value is None else str(value)
            for value, o in zip(row, outputs, strict=True)
            if not isinstance(o.what, Asked)
        )
        assert cell in cells, "a group outside the declared domain"
        cells[cell] = [
            _settled(value, o.what.statistic)
            for value, o in zip(row, outputs, strict=True)
            if isinstance(o.what, Asked)
        ]
    return cells


def _settled(value: Any, statistic: Statistic) -> Any:
    """SQL's sum of nothing is NULL, ours is 0; what is not finite is no value."""
    if statistic in _SUMS:
        return 0 if value is None else value
    return None if value is None or not math.isfinite(value) else float(value)


def differences(spec: Spec, query: Query, cells: Mapping[tuple[str, ...], list[Any]], frame: pd.DataFrame) -> list[str]:
    """Where a released table differs from the cells of ``expected``: sums exactly, the rest beyond 1e-9."""
    grouping = [o.name for o in query.outputs if not isinstance(o.what, Asked)]
    asked = [o for o in query.outputs if isinstance(o.what, Asked)]
    found = []
    got = {
        tuple(map(str, row[: len(grouping)])): row
        for row in frame[[*grouping, *(o.name for o in asked)]].to_numpy(object)
    }
    if len(frame) != len(cells) or set(got) != set(cells):
        return [f"cells {sorted(set(got) ^ set(cells))} of {len(frame)}"]
    for cell, values in cells.items():
        for place, (output, value) in enumerate(zip(asked, values, strict=True)):
            ours = got[cell][len(grouping) + place]
            if not _same(output.what, spec, value, ours):
                found.append(f"{output.name} at {cell}: {ours!r}, expected {value!r}")
    return found


def _same(what: Asked, spec: Spec, value: Any, ours: Any) -> bool:
    if what.statistic in _SUMS:
        return float(Fraction(value)) == float(ours) and (not isinstance(value, int) or int(ours) == value)
    if value is None:
        return bool(pd.isna(ours))
    return not pd.isna(ours) and math.isclose(value, ours, rel_tol=1e-9, abs_tol=1e-12 * _size(what, spec))


def _size(what: Asked, spec: Spec) -> float:
    """How large a statistic may be: what DuckDB's own rounding is relative to where differences cancel."""
    sizes = [
        float(max(abs(Fraction(c.min)), abs(Fraction(c.max)), 1))
        for c in (spec.dataset(ref.dataset).columns[ref.column] for ref in what.columns)
    ]
    return math.prod(sizes) * max(sizes)


# -- the plan's moments, row by row -----------------------------------------------------------------------------------


def holds(predicate: Predicate | None, row: Row) -> bool | None:
    """SQL's three-valued answer of a condition; None is unknown."""
    match predicate:
        case None:
            return True
        case Compare(column, op, value):
            own = row[column]
            if own is None:
                return None
            known: dict[str, bool] = {"=": own == value, "<>": own != value}
            if op in known:
                return known[op]
            own, value = _number(own), _number(value)
            return {"<": own < value, "<=": own <= value, ">": own > value, ">=": own >= value}[op]
        case In(column, values, negated):
            return None if row[column] is None else (row[column] in values) != negated
        case IsNull(column, negated):
            return (row[column] is None) != negated
        case Not(part):
            inner = holds(part, row)
            return None if inner is None else not inner
        case All(parts):
            said = [holds(part, row) for part in parts]
            return False if False in said else None if None in said else True
        case AnyOf(parts):
            said = [holds(part, row) for part in parts]
            return True if True in said else None if None in said else False
    raise AssertionError(predicate)


def _number(value: Any) -> Any:
    return value if isinstance(value, dt.date) else Fraction(value)


def moments(spec: Spec, plan: Plan, tables: Mapping[str, Rows]) -> np.ndarray:
    """What the join must open without noise: (v, g) int64, b-cell h of moment m being row m * H + h."""
    join = join_of(plan)
    reads = {step.out: step for step in plan.steps if isinstance(step, Read)}
    read_a, read_b = reads[join.a], reads[join.b]
    noise = next(step for step in plan.steps if isinstance(step, AddNoise))
    g, h = (math.prod(len(d.levels) for d in read.dimensions) for read in (read_a, read_b))
    of_a, of_b = (_people(spec, read, tables[read.dataset]) for read in (read_a, read_b))
    out = np.zeros((len(noise.columns) * h, g), object)
    for number, column in enumerate(noise.columns):
        moment = column.moment
        for who, rows in of_a.items():
            partners = of_b.get(who)
            b_side = list(_terms(spec, read_b, moment.b, partners)) if partners else []
            if not partners and moment.outer:
                b_side = [(h - 1, 1)]
            for cell_a, value_a in _terms(spec, read_a, moment.a, rows):
                for cell_b, value_b in b_side:
                    out[number * h + cell_b, cell_a] += value_a * value_b
    return out.astype(np.int64)


def _people(spec: Spec, read: Read, rows: Rows) -> dict[str, Rows]:
    people: dict[str, Rows] = {}
    for row in rows:
        if holds(read.where, row) is True:
            people.setdefault(row[spec.dataset(read.dataset).key], []).append(row)
    return people


def _terms(spec: Spec, read: Read, factor: Factor, rows: Rows) -> Iterator[tuple[int, int]]:
    """(cell, value) of each row of one person, or of each cell once if persons are counted."""
    if factor.people:
        yield from ((cell, 1) for cell in {_cell(read, row) for row in rows})
        return
    columns = spec.dataset(read.dataset).columns
    for row in rows:
        if any(row[name] is None for name in factor.present):
            continue
        product = math.prod(int(Fraction(row[name]) * 10 ** columns[name].places) for name in factor.values)
        yield _cell(read, row), (product + factor.unit // 2) // factor.unit


def _cell(read: Read, row: Row) -> int:
    cell = 0
    for dimension in read.dimensions:
        value = row[dimension.column.column]
        cell = cell * len(dimension.levels) + dimension.levels.index(MISSING if value is None else value)
    return cell


# -- truncation -------------------------------------------------------------------------------------------------------


def truncations(dataset: Dataset, rows: Rows, where: Predicate | None) -> Iterator[Rows]:
    """Every table that may be left when each person keeps ``max_rows_per_person`` of the rows that pass WHERE."""
    people: dict[str, Rows] = {}
    for row in rows:
        if holds(where, row) is True:
            people.setdefault(row[dataset.key], []).append(row)
    most = dataset.max_rows_per_person
    kept = [list(itertools.combinations(own, min(most, len(own)))) for own in people.values()]
    for choice in itertools.product(*kept):
        yield [row for own in choice for row in own]
