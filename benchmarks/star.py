"""A star join of three tables or more, each at a server of its own.

    python -m benchmarks.star [--size ROWS] [--tables N] [--json] [--runs N] [--control]

One party server for each table and one for the helper, all processes of this machine, mutual TLS over loopback gRPC,
kernels warm. ``ROWS`` people in each table, one row each, 60 % of the first in each other one, independently; 20 groups
at the first holder, values at the second and the third:

    SELECT a.area, COUNT(*), SUM(b.amount), SUM(c.amount) FROM a JOIN b ON ... JOIN c ON ... GROUP BY a.area

With ``--control`` the table is exact: fewer than 10 persons withheld, counts rounded to 5. The peer is DuckDB, which
joins the files in the clear in one process; what is released must be its table but for noise or rounding. ``bytes`` are
those of the loopback device.
"""

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import join
from benchmarks.common import Case, arguments, show
from pets.demo.deploy import deploy, servers
from pets.kernels.digits import ten_digits
from pets.plan.review import review
from pets.result import Result
from pets.spec.parse import parse_toml
from pets.spec.sql.joint import MOST

TABLES: Final = "abcdefgh"
RUNS: Final = 5

Expected = Mapping[str, tuple[int, int, int]]
"""By area: people and the two sums."""


def sql_of(tables: int) -> str:
    """The query over so many tables."""
    joins = "".join(f"\nJOIN {name} ON a.nhs_number = {name}.nhs_number" for name in TABLES[1:tables])
    return (
        "\nSELECT a.area, COUNT(*) AS people, SUM(b.amount) AS of_b, SUM(c.amount) AS of_c"
        f"\nFROM a{joins}\nGROUP BY a.area\n"
    )


def spec_toml(rows: int, tables: int, release: str = join.NOISE) -> str:
    """The specification of the benchmark."""
    levels = ", ".join(f'"area {i:02}"' for i in range(join.GROUPS))
    area = f'area = {{ role = "dimension", type = "category", levels = [{levels}] }}'
    amount = f'amount = {{ role = "measure", type = "integer", min = 0, max = {join.MAX_AMOUNT}, required = true }}'
    own = {"a": area, "b": amount, "c": amount}
    datasets = "".join(
        f"""
[[dataset]]
name = "{name}"
party = "holder-{name}"
max_rows_per_person = 1
max_rows = {rows}
refresh = "frozen"
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
{own.get(name, "")}
"""
        for name in TABLES[:tables]
    )
    names = TABLES[:tables]
    serving = (*((f"holder-{name}", ("input", "computing")) for name in names), ("helper", ("computing",)))
    linkage = 'on = "nhs_number"\nnormalise = ["strip-spaces", "check-digit"]'
    title, sql = f"Benchmark: {tables} tables", sql_of(tables)
    return join.written(title, datasets, linkage, sql, release, protocol="star_join", tables=names, serving=serving)


def make_records(folder: Path, rows: int, tables: int) -> dict[str, Path]:
    """Write a Parquet file for each table, each in an order of its own."""
    numbers = join.made_up_numbers(2 * rows)
    rng = np.random.default_rng(2)
    both = int(join.OVERLAP * rows)
    files = {}
    for name in TABLES[:tables]:
        held = numbers[:rows]
        if name != "a":
            of_both = ((held, both), (numbers[rows:], rows - both))
            held = np.concatenate([rng.permutation(part)[:count] for part, count in of_both])
        values: dict[str, pa.Array] = {}
        if name == "a":
            areas = pa.array([f"area {i:02}" for i in range(join.GROUPS)])
            which = rng.integers(0, join.GROUPS, rows, dtype=np.int16)
            values = {"area": pa.DictionaryArray.from_arrays(which, areas).cast(pa.string())}
        elif name in "bc":
            values = {"amount": pa.array(rng.integers(0, join.MAX_AMOUNT + 1, rows))}
        ends = pa.py_buffer(np.arange(0, 10 * rows + 10, 10, dtype=np.int32))
        text = pa.Array.from_buffers(pa.string(), rows, [None, ends, pa.py_buffer(ten_digits(rng.permutation(held)))])
        files[name] = folder / f"{name}.parquet"
        pq.write_table(pa.table({"nhs_number": text, **values}), files[name])
    return files


def check(result: Result, expected: Expected, *, exact: bool) -> None:
    """The released table is the true one but for its noise, or its rounding."""
    frame = result.to_pandas().set_index("area")
    for area, true in expected.items():
        got = tuple(frame.loc[area, ["people", "of_b", "of_c"]])
        if exact:
            wrong = true[0] >= 10 and got != ((true[0] + 2) // 5 * 5, *true[1:])
        else:
            most = (300, 300 * join.MAX_AMOUNT, 300 * join.MAX_AMOUNT)
            wrong = any(abs(g - t) > m for g, t, m in zip(got, true, most, strict=True))
        if wrong:
            raise SystemExit(f"{area}: released {got}, in the clear {true}")


def measure(rows: int, tables: int, runs: int, *, control: bool = False) -> Case:
    """Run the query ``runs`` times on warm servers, in turn with DuckDB."""
    toml = spec_toml(rows, tables, join.CONTROL if control else join.NOISE)
    reviewed = review(parse_toml(toml)).require()
    with tempfile.TemporaryDirectory(prefix="pets-star-") as name:
        folder = Path(name)
        files = make_records(folder, rows, tables)
        deployment = deploy(folder / "parties", reviewed.spec, files)
        connection = duckdb.connect(":memory:")
        for table, file in files.items():
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{file}')")
        expected: dict[str, tuple[int, int, int]] = {}

        def in_the_clear() -> None:
            for area, *found in connection.execute(sql_of(tables)).fetchall():
                expected[area] = (int(found[0]), int(found[1]), int(found[2]))

        results: list[Result] = []
        moved: list[int] = []
        clear: list[float] = []
        with servers(deployment) as running:
            ready = join.prepare(deployment, reviewed, toml, running)
            for number in range(join.WARM + runs):
                before = join.loopback_bytes()
                result = ready.client.run(ready.toml)
                after = join.loopback_bytes()
                clear.append(join.timed(in_the_clear))
                check(result, expected, exact=control)
                if number >= join.WARM:
                    results.append(result)
                    moved.append(after - before)
            rss = max(join.peak_rss_mb(process.child.pid) for process in running.values())
    seconds = statistics.median(result.seconds for result in results)
    middle = min(results, key=lambda each: abs(each.seconds - seconds))
    return Case(
        name=f"star join of {tables} tables" + (", exact" if control else ""),
        size=rows,
        runs=[result.seconds for result in results],
        bytes=min(moved),
        rounds=reviewed.forecast.rounds,
        peak_rss_mb=rss,
        steps=join.steps_of(middle),
        peers={"DuckDB, in the clear": statistics.median(clear[join.WARM :])},
        more={
            "bytes_by_formula": reviewed.forecast.size,
            "forecast_s": reviewed.forecast.milliseconds() / 1_000,
            "matched": sum(people for people, *_ in expected.values()),
        },
    )


def main() -> None:
    parser = arguments(__doc__, size=1_000_000, what="rows of each table")
    parser.add_argument("--tables", type=int, default=3, choices=range(3, MOST + 1), help="how many (default 3)")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs after {join.WARM} that warm up (default {RUNS})")
    parser.add_argument("--control", action="store_true", help="an exact table, under disclosure control")
    args = parser.parse_args()
    show(measure(args.size, args.tables, args.runs, control=args.control), as_json=args.json)


if __name__ == "__main__":
    main()
