"""Two queries of TPC-H between two organisations: ``make bench-tpch``, or

    python -m benchmarks.tpch [--size ORDERS] [--json] [--runs N] [--mode b]

The tables are those of TPC-H's generator (tpchgen, at scale factor 0.1: 15,000 customers, 150,000 orders). One
organisation holds the customers, the other their orders and the lines of these; a customer is a person. Each computes
on its own tables with its own engine first (DuckDB here, told as ``local_s``), as a holder's view would, and what both
tables are needed for runs on three party servers over loopback TLS, kernels warm, under disclosure control.

* ``Q13``: how many customers placed how many orders without a special request; customers without any are counted.
* ``Q3``: what customers of one segment owe on orders that are not shipped yet, and how many they are, by week of the
  order. (TPC-H asks for the ten greatest orders by number, which is a list of records and no statistic.)

Every released number is held against the same query on all tables at once, in the clear, which is the peer. ORQ has its
own figure for Q13 from larger machines (benchmarks/README.md); there all tables are shared between three servers.
"""

import datetime as dt
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from benchmarks import join
from benchmarks.common import Case, arguments, show
from pets.demo.deploy import deploy, servers
from pets.plan.review import review
from pets.result import Result
from pets.spec.parse import parse_toml

RUNS: Final = 5
WARM: Final = 2
UNIT: Final = 1_500_000
"""Orders of scale factor 1."""
ORDERS: Final = UNIT // 10
TABLES: Final = ("customer", "orders", "lineitem")
MIN_COUNT: Final = 10
CONTROL: Final = f"[release.disclosure_control]\nmin_count = {MIN_COUNT}\n"
DAY: Final = dt.date(1995, 3, 15)
"""The date of Q3 in TPC-H's validation run; so is its segment."""
SEGMENT: Final = "BUILDING"
MOST: Final = 60
"""Orders that a customer has placed at most (36 at scale 0.1); a file with more is refused."""
UNSHIPPED: Final = 10
"""Unshipped orders that a customer has at most (6 at scale 0.1); a file with more is refused."""
WEEKS: Final = 18
"""Before ``DAY`` from which orders may be unshipped: lines leave within 121 days."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query: the columns of its table, each holder's view, the tables as a specification has them, and all of it
    in the clear."""

    name: str
    names: tuple[str, ...]
    views: Mapping[str, str]
    datasets: Callable[[int, int], str]
    sql: str
    clear: str


def _dataset(name: str, party: str, rows: int, per_person: int, columns: str) -> str:
    return f"""
[[dataset]]
name = "{name}"
party = "{party}"
privacy_unit = "person"
max_rows_per_person = {per_person}
max_rows = {rows}
refresh = "frozen"
[dataset.columns]
custkey = {{ role = "person id", scheme = "text" }}
{columns}
"""


def _levels(values: list[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _distribution(customers: int, orders: int) -> str:
    placed = _levels([str(n) for n in range(1, MOST + 1)])
    return _dataset("a", "first", customers, 1, "") + _dataset(
        "b", "second", customers, 1, f'placed = {{ role = "dimension", type = "category", levels = {placed} }}'
    )


def _unshipped(customers: int, orders: int) -> str:
    weeks = _levels([f"week {n:02}" for n in range(WEEKS)])
    segments = _levels(["AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"])
    of_orders = f"""week = {{ role = "dimension", type = "category", levels = {weeks} }}
revenue = {{ role = "measure", type = "decimal", places = 4, min = 0, max = 1_000_000, required = true }}"""
    return _dataset("a", "first", orders, UNSHIPPED, of_orders) + _dataset(
        "b", "second", customers, 1, f'segment = {{ role = "filter only", type = "category", levels = {segments} }}'
    )


WEEK: Final = f"least(date_diff('day', o_orderdate, DATE '{DAY}') // 7, {WEEKS - 1})"
QUERIES: Final = (
    Query(
        "Q13",
        ("placed", "customers"),
        {
            "a": "SELECT 'C' || c_custkey AS custkey FROM customer",
            "b": """SELECT 'C' || o_custkey AS custkey, CAST(COUNT(*) AS VARCHAR) AS placed FROM orders
                    WHERE o_comment NOT LIKE '%special%requests%' GROUP BY o_custkey""",
        },
        _distribution,
        """
SELECT b.placed, COUNT(*) AS customers
FROM a LEFT JOIN b ON a.custkey = b.custkey
GROUP BY b.placed
""",
        """SELECT CASE n WHEN 0 THEN '(missing)' ELSE CAST(n AS VARCHAR) END, COUNT(*) FROM (
             SELECT c_custkey, COUNT(o_orderkey) AS n FROM customer LEFT JOIN orders
             ON c_custkey = o_custkey AND o_comment NOT LIKE '%special%requests%' GROUP BY c_custkey) GROUP BY n""",
    ),
    Query(
        "Q3",
        ("week", "customers", "revenue"),
        {
            "a": f"""SELECT 'C' || o_custkey AS custkey, format('week {{:02}}', {WEEK}) AS week,
                     CAST(SUM(l_extendedprice * (1 - l_discount)) AS DECIMAL(18, 4)) AS revenue
                     FROM orders JOIN lineitem ON l_orderkey = o_orderkey
                     WHERE o_orderdate < DATE '{DAY}' AND l_shipdate > DATE '{DAY}'
                     GROUP BY o_orderkey, o_custkey, o_orderdate""",
            "b": "SELECT 'C' || c_custkey AS custkey, c_mktsegment AS segment FROM customer",
        },
        _unshipped,
        f"""
SELECT a.week, COUNT(DISTINCT a.custkey) AS customers, SUM(a.revenue) AS revenue
FROM a JOIN b ON a.custkey = b.custkey
WHERE b.segment = '{SEGMENT}'
GROUP BY a.week
""",
        f"""SELECT format('week {{:02}}', {WEEK}), COUNT(DISTINCT c_custkey),
            CAST(SUM(l_extendedprice * (1 - l_discount)) AS DECIMAL(18, 4))
            FROM customer JOIN orders ON c_custkey = o_custkey JOIN lineitem ON l_orderkey = o_orderkey
            WHERE o_orderdate < DATE '{DAY}' AND l_shipdate > DATE '{DAY}' AND c_mktsegment = '{SEGMENT}'
            GROUP BY 1""",
    ),
)


def generate(scale: float, folder: Path) -> None:
    """TPC-H's tables as Parquet, by the generator of the environment that runs this."""
    beside = Path(sys.executable).with_name("tpchgen-cli")
    found = str(beside) if beside.is_file() else shutil.which("tpchgen-cli")
    if found is None:
        sys.exit("this benchmark needs the generator of TPC-H: run it as make bench-tpch")
    asked = ["parquet", "-s", str(scale), f"--tables={','.join(TABLES)}", f"--output-dir={folder}"]
    subprocess.run([found, *asked], check=True, stdout=subprocess.DEVNULL)


def opened(folder: Path) -> duckdb.DuckDBPyConnection:
    """The tables of ``generate``, in the clear."""
    connection = duckdb.connect(":memory:")
    for table in TABLES:
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{folder / table}.parquet')")
    return connection


def check(query: Query, result: Result, clear: list[tuple[Any, ...]]) -> int:
    """Every cell is exact or withheld as it has to be; how many are shown. Exit 1 if not."""
    frame = result.to_pandas()
    frame, columns = frame.set_index(query.names[0]), query.names[1:]
    expected = {row[0]: row[1:] for row in clear}
    if unknown := set(expected) - set(frame.index):
        raise SystemExit(f"{query.name}: groups that the release lacks: {sorted(unknown)}")
    for cell in frame.index:
        true = expected.get(cell)
        for number, column in enumerate(columns):
            got = None if frame[column].isna()[cell] else frame[column][cell]
            want = None if true is None or true[0] < MIN_COUNT else true[number]
            if (got is None) != (want is None) or (want is not None and abs(float(got) - float(want)) > 1e-4):
                raise SystemExit(f"{query.name}, {cell}: released {got}, in the clear {want}")
    return int((~frame[columns[0]].isna()).sum())


def measure(query: Query, folder: Path, runs: int, mode: str) -> Case:
    """Run one query ``runs`` times on warm servers, each time beside DuckDB on all tables in the clear."""
    connection = opened(folder)
    customers, orders = (
        int(connection.execute(f"SELECT COUNT(*) FROM {t}").fetchall()[0][0]) for t in ("customer", "orders")
    )
    text = 'on = "custkey"'
    title, datasets, protocol = f"TPC-H {query.name}", query.datasets(customers, orders), f"helper_join_{mode}"
    toml = join.written(title, datasets, text, query.sql, CONTROL, protocol=protocol)
    reviewed = review(parse_toml(toml)).require()
    with tempfile.TemporaryDirectory(prefix="pets-tpch-") as place:
        files = {name: Path(place) / f"{name}.parquet" for name in query.views}
        local = {
            name: join.timed(lambda name=name: connection.execute(f"COPY ({query.views[name]}) TO '{files[name]}'"))
            for name in files
        }
        deployment = deploy(Path(place) / "parties", reviewed.spec, files)
        with servers(deployment) as running:
            ready = join.prepare(deployment, reviewed, toml, running)
            clear = connection.execute(query.clear).fetchall()
            took, peer, shown = [], [], 0
            for number in range(WARM + runs):
                result = ready.client.run(ready.toml)
                shown = check(query, result, clear)
                seconds = join.timed(lambda: connection.execute(query.clear).fetchall())
                if number >= WARM:
                    took.append(result)
                    peer.append(seconds)
            rss = max(join.peak_rss_mb(process.child.pid) for process in running.values())
    middle = sorted(took, key=lambda result: result.seconds)[len(took) // 2]
    return Case(
        name=query.name,
        size=orders,
        runs=[result.seconds for result in took],
        bytes=reviewed.forecast.size,
        rounds=reviewed.forecast.rounds,
        peak_rss_mb=rss,
        steps=join.steps_of(middle),
        peers={"DuckDB, in the clear": statistics.median(peer)},
        more={
            "customers": customers,
            "cells_shown": shown,
            "local_s": {name: round(seconds, 3) for name, seconds in local.items()},
            "snapshot_s": {name: round(seconds, 2) for name, seconds in ready.snapshot_s.items()},
        },
    )


def main() -> None:
    parser = arguments(__doc__, size=ORDERS, what=f"orders: TPC-H's scale factor is so many over {UNIT:,}")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs after {WARM} that warm up (default {RUNS})")
    parser.add_argument("--mode", choices=("a", "b"), default="a", help="of helper_join (default a)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pets-tpch-") as folder:
        generate(asked.size / UNIT, Path(folder))
        for query in QUERIES:
            show(measure(query, Path(folder), asked.runs, asked.mode), as_json=asked.json)


if __name__ == "__main__":
    main()
