"""How long a holder's own engine takes to freeze records and to read them for a run, and how much memory it needs.

    python -m benchmarks.freeze [--size N] [--source parquet|csv|postgres] [--json]

``freeze``    validating, sorting and writing N rows; ``freeze, one month`` where the specification asks for a twelfth.
``read``      what a run reads of such a snapshot. ``sums``: what role b then does, a sum per person, cell and factor.

Each is measured in a process of its own, so that its peak of memory is its own. A database leaves out what is not asked
for, a file does not. ``postgres`` starts a server of its own and takes it away; its memory is not counted.
"""

import datetime as dt
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.common import Case, arguments, show
from pets.ids import PartyId
from pets.kernels import rows as kernel
from pets.kernels.prf import Stream
from pets.party.database import Postgres, PostgresSource
from pets.party.files import FileSource, Source
from pets.party.snapshot import take
from pets.party.sources import Report, Snapshot, read
from pets.party.warm import prepare_kernels
from pets.secret import Secret
from pets.spec import ir
from pets.spec.model import Column, Dataset, Linkage
from pets.spec.query import ColumnRef, Compare, Predicate
from tests.party.cluster import Cluster, cluster

BANDS = ("16-24", "25-44", "45-64", "65+")
DAY = dt.date(2026, 12, 1)
COLUMNS = {
    "nhs_number": Column(role="person id", scheme="nhs-number"),
    "band": Column(role="dimension", type="category", levels=BANDS),
    "minutes": Column(role="measure", type="integer", min=0, max=1440),
    "cost": Column(role="measure", type="decimal", min="0", max="1000", places=2),
    "day": Column(role="filter only", type="date"),
}
MADE = """
    SELECT lpad((({i} * 7919) % 3333333 * 3001 % 10000000000)::VARCHAR, 10, '0') AS nhs_number,
    CASE ({i} * 31 % 4)::INTEGER WHEN 0 THEN '16-24' WHEN 1 THEN '25-44' WHEN 2 THEN '45-64' ELSE '65+' END AS band,
    ({i} * 37 % 1440)::INTEGER AS minutes, (({i} * 101 % 100000) / 100.0)::NUMERIC(10, 2) AS cost,
    DATE '2026-01-01' + ({i} * 17 % 365)::INTEGER AS day, 'a free text that nobody asks for ' || {i} AS note
"""
WHERE: dict[str, Predicate | None] = {"": None, ", one month": Compare("day", ">=", DAY)}


def dataset(rows: int) -> Dataset:
    return Dataset(name="visits", party="board", max_rows_per_person=1000, max_rows=rows, columns=COLUMNS)


def step(rows: int, where: Predicate | None) -> ir.Read:
    return ir.Read(
        out="rows_a",
        party=PartyId("board"),
        dataset="visits",
        columns=tuple(COLUMNS),
        where=where,
        dimensions=(ir.Dimension(ColumnRef("visits", "band"), (*BANDS, "(missing)")),),
        factors=(ir.Factor(values=("minutes",), present=("minutes",)), ir.Factor(values=("cost",), present=("cost",))),
        max_rows=rows,
        rows_per_person=1000,
        truncate=False,
        per_person=True,
    )


def freeze(source: Source, rows: int, folder: Path, where: Predicate | None) -> dict[str, Any]:
    began = time.perf_counter()
    taken = take(
        source,
        dataset(rows),
        Linkage(on="nhs_number", version="1"),
        folder,
        salt=bytes(32),
        now=dt.datetime.now(dt.UTC),
        where=where,
    )
    seconds = time.perf_counter() - began
    kept = asdict(taken) | {"file": str(taken.file), "taken": taken.taken.isoformat()}
    return {"seconds": seconds, "rows": taken.report.rows, "taken": kept}


def load(kept: dict[str, Any], rows: int, where: Predicate | None) -> dict[str, Any]:
    snapshot = Snapshot(**kept | {"file": Path(kept["file"]), "taken": None, "report": Report(0, 0, 0, {}, {})})
    what = step(rows, where)
    read(snapshot, what, dataset(rows))  # the engine is opened once in the life of a server
    began = time.perf_counter()
    table = read(snapshot, what, dataset(rows))
    return {"seconds": time.perf_counter() - began, "rows": table.rows}


def aggregate(kept: dict[str, Any], rows: int, where: Predicate | None) -> dict[str, Any]:
    """What role b does with its rows: a sum per person, cell and factor."""
    snapshot = Snapshot(**kept | {"file": Path(kept["file"]), "taken": None, "report": Report(0, 0, 0, {}, {})})
    prepare_kernels()
    table = read(snapshot, step(rows, where), dataset(rows))
    began = time.perf_counter()
    occurrence = kernel.number_rows(table.person, 1000, Stream(Secret(bytes(16))))
    for name in ("minutes", "cost"):
        factor = kernel.factor_rows([table.values[name]], [table.present[name]], 1, table.rows)
        kernel.per_person_sums(table.person, table.cell, len(BANDS) + 1, factor, occurrence)
    return {"seconds": time.perf_counter() - began, "rows": table.rows}


def _alone(pipe: Any, work: Any, given: tuple[Any, ...]) -> None:
    pipe.send(work(*given) | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})


def alone(work: Any, *given: Any) -> dict[str, Any]:
    """What ``work`` says, and the peak of memory of a process that does nothing else, in MB."""
    fresh = multiprocessing.get_context("spawn")
    ours, theirs = fresh.Pipe(duplex=False)
    child = fresh.Process(target=_alone, args=(theirs, work, given))
    child.start()
    theirs.close()
    try:
        found: dict[str, Any] = ours.recv()
    finally:
        child.join()
    return found


@contextmanager
def made(kind: str, rows: int, folder: Path) -> Iterator[Source]:
    """The records, in a file or in a database."""
    if kind == "postgres":
        with cluster() as running:
            yield in_database(running, rows)
        return
    file = folder / f"visits.{kind}"
    options = "FORMAT parquet" if kind == "parquet" else "FORMAT csv, HEADER"
    sql = f"COPY ({MADE.format(i='i')} FROM range(1, {rows + 1}) t(i)) TO '{file}' ({options})"
    duckdb.connect().execute(sql)
    yield FileSource(file)


def in_database(running: Cluster, rows: int) -> PostgresSource:
    made_there = MADE.format(i="i::bigint").replace("VARCHAR", "TEXT")
    running.run(f"CREATE TABLE visits AS {made_there} FROM generate_series(1, {rows}) t(i)", "ANALYZE visits")
    return PostgresSource(Postgres("records", running.socket), "visits")


def measured(kind: str, rows: int) -> Iterator[Case]:
    def case(name: str, found: dict[str, Any]) -> Case:
        more = {"rows": found["rows"], "source": kind}
        return Case(name, rows, [found["seconds"]], 0, 0, found["peak"], {}, {}, more)

    with tempfile.TemporaryDirectory() as name, made(kind, rows, Path(name)) as source:
        for asked, where in WHERE.items():
            frozen = alone(freeze, source, rows, Path(name) / "state", where)
            yield case(f"freeze{asked}", frozen)
            yield case(f"read{asked}", alone(load, frozen["taken"], rows, where))
            if where is None:
                yield case("sums", alone(aggregate, frozen["taken"], rows, where))


def main() -> None:
    parser = arguments(__doc__, size=1_000_000, what="rows of the table")
    parser.add_argument("--source", choices=("parquet", "csv", "postgres"), default="parquet")
    given = parser.parse_args()
    for case in measured(given.source, given.size):
        show(case, as_json=given.json)


if __name__ == "__main__":
    main()
