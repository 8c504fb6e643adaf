"""What a release is about, without a word of data: which rows, divided by what, and what is counted or added up.

A holder keeps one ``Entry`` for each run that released, in its own state file; differencing.py holds a new release
against them. Two texts of one meaning have one ``Release``: aliases, the order of conditions and of columns, and every
other way to write a predicate are gone (spec/population.py).
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from pets.spec.banded import levels_of
from pets.spec.canonical import canonical, plain
from pets.spec.control import effective
from pets.spec.model import Dataset, Model, Spec
from pets.spec.moments import moments_of, values_of
from pets.spec.pairing import Pairing
from pets.spec.pooled import Pooled, Statement
from pets.spec.population import EVERY, Space, Undecided
from pets.spec.programmed import Programmed
from pets.spec.query import Aggregate, ColumnRef

VALUE: Final = "value "
"""How the family of what is told of one column begins."""
COUNTED: Final = "count"
"""The family of counts; sums and means of a column are a family, and so are relations of two columns."""

JOINED: Final = "joined "
ACROSS: Final = f"{JOINED}where "
"""Begins what stands for a condition on both tables: like who is matched, nobody but the records knows it."""
"""How the columns begin that stand for being matched: two tables by name follow."""

UNKNOWN: Final = "unknown"
"""In the place of a population that is beyond comparing."""


class Part(Model):
    """What a release tells of one family: of which rows. ``population`` is canonical JSON: equal texts, equal rows.

    ``prepared``: digest of what decides which numbers are added up besides the records: ranges and clamping.
    """

    family: str
    population: str
    prepared: str


class Records(Model):
    """A table that a release reads. ``prepared``: digest of what decides which rows there are besides the query.

    ``drawn``: of people with many rows, some are drawn anew in each run. ``party``: its holder, or all with "+".
    """

    dataset: str
    party: str
    refresh: str
    prepared: str
    drawn: bool

    @property
    def parties(self) -> frozenset[str]:
        return frozenset(self.party.split("+"))


class Release(Model):
    """What a release is about, in a form that two texts of one meaning share. No data, no author, no recipient."""

    records: tuple[Records, ...]
    dimensions: tuple[tuple[str, str], ...]
    """Grouping columns in order of their names, each with a digest of its levels."""
    parts: tuple[Part, ...]
    exact: bool
    min_count: int
    round_to: int
    runs: int
    withholds: str = ""
    """Digest of all of disclosure control but the base of rounding; empty without."""
    singles: tuple[tuple[str, str], ...] = ()
    """Families of columns of which values of single persons are shown, each with the place of one in order."""

    @property
    def groups(self) -> frozenset[str]:
        return frozenset(column for column, _ in self.dimensions)

    def of(self, dataset: str) -> Records | None:
        return next((table for table in self.records if table.dataset == dataset), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run in a holder's history, or one that is asked for.

    ``versions``: of the holder's own datasets, as far as known, a digest that changes with the records; ``day``: when.
    """

    digest: str
    release: Release
    versions: Mapping[str, str]
    day: dt.date | None = None


def release_of(spec: Spec, query: Statement) -> Release:
    """Read off a specification and its query what its releases are about."""
    space, terms = Space(), spec.release
    tables = {name: spec.dataset(name) for name in query.tables}
    try:
        whole = _rows(space, query, tables)
    except Undecided:
        whole = None
    parts = {
        part
        for output in query.outputs
        if isinstance(output.what, Aggregate)
        for part in _parts(space, whole, output.what, query, spec)
    }
    groups = {*query.group_by, *(o.what for o in query.outputs if isinstance(o.what, ColumnRef))}
    control = effective(spec)
    return Release(
        records=_records(spec, tables),
        dimensions=tuple((str(ref), _digest(sorted(levels_of(spec, ref)[:-1]))) for ref in sorted(groups, key=str)),
        parts=tuple(sorted(parts, key=lambda part: (part.family, part.population))),
        exact=terms.differential_privacy is None,
        min_count=control.min_count if control else 1,
        round_to=control.round_to if control else 1,
        runs=spec.validity.max_runs,
        withholds=_digest(replace(control, round_to=1, rounding="nearest")) + control.rounding if control else "",
        singles=tuple(
            sorted(
                {
                    (f"{VALUE}{what.columns[0]}", f"{what.statistic.value} {what.at or ''}".strip())
                    for what in query.ordered
                }
            )
        ),
    )


def release_of_pairing(spec: Spec, pairing: Pairing) -> Release:
    """The same of an intersection: whoever gets it, or its number, knows how many are in both, exactly."""
    space, tables = Space(), {name: spec.dataset(name) for name in pairing.tables}
    try:
        rows: int | None = space.both(
            space.both(space.of(pairing.where_asks, tables[pairing.asks]), _matched(space, tables)),
            space.of(pairing.where_other, tables[pairing.other]),
        )
    except Undecided:
        rows = None
    there = _text(space, rows)
    exact = pairing.columns if pairing.outcome == "sum" and spec.release.differential_privacy is None else ()
    values = [Part(family=f"{VALUE}{ref}", population=there, prepared=_digest([_range(tables, ref)])) for ref in exact]
    return Release(
        records=_records(spec, tables),
        dimensions=tuple((str(r), _digest(sorted(levels_of(spec, r)[:-1]))) for r in sorted(pairing.by, key=str)),
        parts=(Part(family=COUNTED, population=there, prepared=""), *sorted(values, key=lambda part: part.family)),
        exact=True,
        min_count=max(1, pairing.min_result),
        round_to=1,
        runs=spec.validity.max_runs,
    )


def release_of_program(spec: Spec, asked: Programmed) -> Release:
    """The same of a program: whatever it is, it is taken for exact numbers about each column that goes in."""
    space, tables = Space(), {name: spec.dataset(name) for name in asked.tables}
    parts = []
    for _, ref in asked.columns:
        try:
            there: int | None = space.of(asked.where(ref.dataset), tables[ref.dataset])
        except Undecided:
            there = None
        parts.append(Part(family=COUNTED, population=_text(space, there), prepared=""))
        prepared = _digest([_range(tables, ref)])
        parts.append(Part(family=f"{VALUE}{ref}", population=_text(space, there), prepared=prepared))
    return Release(
        records=_records(spec, tables),
        dimensions=(),
        parts=tuple(sorted(set(parts), key=lambda part: (part.family, part.population))),
        exact=True,
        min_count=1,
        round_to=1,
        runs=spec.validity.max_runs,
    )


def _records(spec: Spec, tables: Mapping[str, Dataset]) -> tuple[Records, ...]:
    return tuple(
        Records(
            dataset=name,
            party="+".join(sorted(table.parties)),
            refresh=table.refresh,
            prepared=_digest(_prepared(spec, table)),
            drawn=table.truncate,
        )
        for name, table in sorted(tables.items())
    )


def populations(spec: Spec, query: Statement) -> tuple[str, Mapping[str, str]]:
    """The rows that a table is about, and those of each of its aggregates by the name of the column.

    Texts as in ``Part.population``: those of two tables are equal if they are about the same rows.
    """
    space = Space()
    tables = {name: spec.dataset(name) for name in query.tables}
    try:
        whole = _rows(space, query, tables)
    except Undecided:
        whole = None
    return _text(space, whole), {
        output.name: _text(space, _there(space, whole, output.what, query, tables))
        for output in query.outputs
        if isinstance(output.what, Aggregate)
    }


def _rows(space: Space, query: Statement, tables: Mapping[str, Dataset]) -> int:
    """The rows after the join; or those of one table."""
    if isinstance(query, Pooled):
        return space.of(query.condition, tables[query.table])
    left, *others = (space.of(where, tables[name]) for name, where in query.conditions)
    pair = _matched(space, tables)
    if query.rows is not None:  # whom it selects only the records know: one more column that says so
        pair = space.both(pair, space.named(f"{ACROSS}{_digest(plain(query.rows))}", "yes"))
    if query.join == "inner":
        whole = space.both(left, pair)
        for other in others:
            whole = space.both(whole, other)
        return whole
    return space.both(left, space.either(space.without(EVERY, pair), others[0]))


def _parts(space: Space, rows: int | None, what: Aggregate, query: Statement, spec: Spec) -> Iterator[Part]:
    """What is opened for one aggregate: a mean opens its count as well, a correlation six sums of the same rows.

    A median or another value of one person is of the rows that its column's sum would be of, and a logistic model of
    those that a sum of the product of its columns would be of. Whatever is told of rows tells how many they are, more
    or less: a sum of zeros and ones, or of rows that WHERE or clamping leaves one value, is a count. So each is about
    a count, too.
    """
    tables = {name: spec.dataset(name) for name in query.tables}
    there = _text(space, _there(space, rows, what, query, tables))
    yield Part(family=COUNTED, population=there, prepared="")
    for moment in moments_of(what, query, spec) or (values_of(what, query, spec),):
        columns = sorted(
            {ColumnRef(name, c) for name, f in zip(query.tables, moment.factors, strict=True) for c in f.values}
        )
        kind = ("relation " if len(columns) > 1 else VALUE) + " ".join(map(str, columns)) if columns else COUNTED
        prepared = _digest([_range(tables, ref) for ref in columns]) if columns else ""
        yield Part(family=kind, population=there, prepared=prepared)


def _there(
    space: Space, rows: int | None, what: Aggregate, query: Statement, tables: Mapping[str, Dataset]
) -> int | None:
    """The rows that count for an aggregate: none of its columns is NULL, as all of the right are without a match."""
    if rows is None:
        return None
    for ref in what.columns:
        if query.join == "left" and ref.dataset == query.tables[1]:
            rows = space.both(rows, _matched(space, tables))
        if ref.column != tables[ref.dataset].key:
            rows = space.both(rows, space.present(tables[ref.dataset], ref.column))
    for own in what.when:
        if query.join == "left" and own.dataset == query.tables[1]:
            rows = space.both(rows, _matched(space, tables))
        rows = space.both(rows, space.of(own.predicate, tables[own.dataset]))
    return rows


def _matched(space: Space, tables: Mapping[str, Dataset]) -> int:
    """Rows with a match: who is matched stands as a value of a column, since only the records know it."""
    return space.named(f"{JOINED}{'+'.join(sorted(tables))}", "yes")


def _prepared(spec: Spec, table: Dataset) -> list[object]:
    """What changes the rows without a word in the query: truncation and linkage."""
    link = spec.linking
    on = link.on if isinstance(link.on, str) else dict(link.on)
    return [table.max_rows_per_person if table.truncate else None, on, list(link.normalise), link.version]


def _range(tables: Mapping[str, Dataset], ref: ColumnRef) -> list[object]:
    """What changes the numbers of a measure without a word in the query."""
    column = tables[ref.dataset].columns[ref.column]
    return [str(ref), str(column.min), str(column.max), column.places, column.clamp]


def _text(space: Space, rows: int | None) -> str:
    return UNKNOWN if rows is None else json.dumps(space.write(rows), separators=(",", ":"))


def _digest(value: object) -> str:
    return sha256(canonical(value)).hexdigest()[:16]
