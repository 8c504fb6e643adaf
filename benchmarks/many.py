"""Tables that many holders have parts of, the whole way: ``shared_join`` on three servers that hold none.

    python -m benchmarks.many [--size ROWS] [--json] [--runs N] [--left N] [--right N] [--noise]

Three party servers as processes of their own; the 14 holders of the one table and the 32 of the other are servers in
one process more, each with its own keys, state and port (dozens of processes would not fit a small machine). Mutual TLS
over loopback gRPC, kernels warm. ``ROWS`` rows on each side in all, a row a person and holder, so that many people are
at several holders; 60 % of the people of one side may be on the other:

    SELECT a.area, COUNT(*) AS n, COUNT(DISTINCT a.nhs_number) AS people, SUM(b.amount) AS amount
    FROM a JOIN b ON a.nhs_number = b.nhs_number
    GROUP BY a.area

Under disclosure control, so that every number that comes out is held against the union of all parts in the clear, by
DuckDB in one process, which is the peer; ``--noise`` releases with noise instead. Clock, bytes and memory are those of
``benchmarks.join``: a run starts at the client's call and ends when the table is opened, and includes reading the
holders' Parquet, hello and uploads. ``cpu_s`` is processor time of one run, by computing party, and of all holders
together.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import join
from benchmarks.common import Case, arguments, show
from pets.demo.deploy import Deployment, Process, deploy, start, wait_ready
from pets.ids import PartyId
from pets.plan.review import Reviewed, review
from pets.result import Result
from pets.spec.parse import parse_toml

COMPUTING: Final = ("north", "south", "west")
HOLDERS: Final = PartyId("holders")
"""The process of all holders, as this benchmark calls it."""
LEFT: Final = 14
RIGHT: Final = 32
ROWS: Final = 100_000
RUNS: Final = 3
WARM: Final = 1
CONTROL: Final = "[release.disclosure_control]\nmin_count = 10\n"
SQL: Final = """
SELECT a.area, COUNT(*) AS n, COUNT(DISTINCT a.nhs_number) AS people, SUM(b.amount) AS amount
FROM a JOIN b ON a.nhs_number = b.nhs_number
GROUP BY a.area
"""

Rows = dict[str, tuple[int, int, int]]
"""By area: pairs of rows, people, the sum of amounts."""


def boards(count: int) -> list[str]:
    return [f"board-{number:02}" for number in range(1, count + 1)]


def councils(count: int) -> list[str]:
    return [f"council-{number:02}" for number in range(1, count + 1)]


def parts_of(rows: int, holders: int) -> list[int]:
    """How many rows each holder has: as equal as may be."""
    return [rows // holders + (number < rows % holders) for number in range(holders)]


def make_records(folder: Path, rows: int, left: int, right: int) -> dict[str, Path]:
    """Write each holder's part, a Parquet file; by "party/dataset"."""
    rng, both = np.random.default_rng(1), int(join.OVERLAP * rows)
    numbers = join.made_up_numbers(2 * rows - both)
    areas = pa.array([f"area {number:02}" for number in range(join.GROUPS)])
    files: dict[str, Path] = {}
    sides = (("a", boards(left), numbers[:rows]), ("b", councils(right), numbers[rows - both :]))
    for table, holders, people in sides:
        for party, count in zip(holders, parts_of(rows, len(holders)), strict=True):
            ids = join.as_text(rng.choice(people, count, replace=False))
            if table == "a":
                codes = rng.integers(0, join.GROUPS, count, dtype=np.int16)
                values = {"area": pa.DictionaryArray.from_arrays(codes, areas).cast(pa.string())}
            else:
                values = {"amount": pa.array(rng.integers(0, join.MAX_AMOUNT + 1, count))}
            files[f"{party}/{table}"] = folder / f"{party}.parquet"
            pq.write_table(pa.table({"nhs_number": ids, **values}), files[f"{party}/{table}"])
    return files


def spec_toml(rows: int, left: int = LEFT, right: int = RIGHT, release: str = CONTROL) -> str:
    """The specification of the benchmark."""
    levels = ", ".join(f'"area {number:02}"' for number in range(join.GROUPS))
    column = {
        "a": f'area = {{ role = "dimension", type = "category", levels = [{levels}] }}',
        "b": f'amount = {{ role = "measure", type = "integer", min = 0, max = {join.MAX_AMOUNT}, required = true }}',
    }
    held = {"a": boards(left), "b": councils(right)}
    datasets = "".join(
        f"""
[[dataset]]
name = "{table}"
privacy_unit = "person"
max_rows_per_person = 1
refresh = "frozen"
[dataset.holders]
{"".join(f"{party} = {count}" + chr(10) for party, count in zip(holders, parts_of(rows, len(holders)), strict=True))}
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
{column[table]}
"""
        for table, holders in held.items()
    )
    serving = [(party, ("input",)) for holders in held.values() for party in holders]
    return join.written(
        "Benchmark: amounts by area, of many holders",
        datasets,
        'on = "nhs_number"\nnormalise = ["strip-spaces", "check-digit"]',
        SQL,
        release,
        protocol="shared_join",
        serving=[*serving, *((party, ("computing",)) for party in COMPUTING)],
    )


@contextmanager
def servers(deployment: Deployment) -> Iterator[dict[PartyId, Process]]:
    """The three who compute, each a process, and all holders in one more. They are gone afterwards."""
    running: dict[PartyId, Process] = {}
    try:
        for party in COMPUTING:
            running[PartyId(party)] = start(deployment, PartyId(party))
        configs = [str(deployment.config(party)) for party in deployment.endpoints if party not in COMPUTING]
        (deployment.folder / HOLDERS).mkdir()
        console = (deployment.folder / HOLDERS / "console.log").open("ab")
        command = [sys.executable, "-m", "benchmarks.holders", *configs]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=console, stdin=subprocess.DEVNULL)
        running[HOLDERS] = Process(HOLDERS, child, console)
        for process in running.values():
            wait_ready(process, deployment)
        yield running
    finally:
        for process in running.values():
            process.end()
        for process in running.values():
            process.stop()


def in_the_clear(files: dict[str, Path]) -> Callable[[], Rows]:
    """DuckDB on the parts of all holders: UNION ALL of either table, joined."""
    connection = duckdb.connect(":memory:")
    sql = SQL
    for table in ("a", "b"):
        parts = ", ".join(f"'{file}'" for key, file in files.items() if key.endswith(f"/{table}"))
        sql = sql.replace(f"FROM {table}\n", f"FROM {table} ")
        sql = sql.replace(f" {table} ", f" read_parquet([{parts}]) {table} ", 1)

    def run() -> Rows:
        return {
            area: (int(n), int(people), int(amount)) for area, n, people, amount in connection.execute(sql).fetchall()
        }

    return run


def check(result: Result, expected: Rows, *, noise: bool) -> None:
    """Every number is the true one, or withheld below the minimum; or near it, with noise."""
    frame = result.to_pandas().set_index("area")
    for area in frame.index:
        true = expected.get(area, (0, 0, 0))
        got: Any = frame.loc[area]
        if noise:
            off = [abs(got[name] - value) for name, value in zip(("n", "people", "amount"), true, strict=True)]
            wrong = off[0] > 50_000 or off[1] > 5_000 or off[2] > 50_000 * join.MAX_AMOUNT
        else:
            shown = [None if pd.isna(got[name]) else int(got[name]) for name in ("n", "people", "amount")]
            wrong = shown != ([None] * 3 if true[1] < 10 else list(true))
        if wrong:
            raise SystemExit(f"{area}: released {tuple(got)}, in the clear {true}")


def measure(rows: int, runs: int, left: int, right: int, *, noise: bool) -> Case:
    """Run the query ``runs`` times on warm servers, in turn with DuckDB."""
    toml = spec_toml(rows, left, right, join.NOISE if noise else CONTROL)
    reviewed = review(parse_toml(toml)).require()
    with tempfile.TemporaryDirectory(prefix="pets-many-") as name:
        folder = Path(name)
        files = make_records(folder, rows, left, right)
        deployment = deploy(folder / "parties", reviewed.spec, files)
        clear = in_the_clear(files)
        expected = clear()
        with servers(deployment) as running:
            ready = join.prepare(deployment, reviewed, toml, running)
            results, moved, took = [], [], []
            pids = {party: process.child.pid for party, process in running.items()} | {"client": os.getpid()}
            used = dict.fromkeys(pids, 0.0)
            for number in range(WARM + runs):
                if number == WARM:
                    for process in running.values():
                        join.forget_peak(process.child.pid)
                cpu = {one: join.cpu_s(pid) for one, pid in pids.items()}
                before = join.loopback_bytes()
                result = ready.client.run(toml)
                after = join.loopback_bytes()
                cpu = {one: join.cpu_s(pid) - cpu[one] for one, pid in pids.items()}
                check(result, expected, noise=noise)
                peer = join.timed(clear)
                if number >= WARM:
                    results.append(result)
                    moved.append(after - before)
                    took.append(peer)
                    used = {one: used[one] + cpu[one] / runs for one in pids}
            rss = {party: join.peak_rss_mb(process.child.pid) for party, process in running.items()}
    return _case(rows, reviewed, results, moved, took, more={"cpu_s": used, "peak_rss_mb_by_process": rss})


def steps_of(result: Result) -> dict[str, float]:
    """Seconds of each party that computes by message, waiting included; all that second gets of holders together."""
    steps: dict[str, float] = {}
    for step, seconds in join.steps_of(result).items():
        party, label = step.split(" ", 1)
        if party in COMPUTING:
            name = f"{party} uploads" if label[0] in "LR" else step
            steps[name] = steps.get(name, 0.0) + seconds
    return steps


def _case(
    rows: int, reviewed: Reviewed, results: list[Result], moved: list[int], took: list[float], more: dict[str, Any]
) -> Case:
    forecast = reviewed.forecast
    seconds = [result.seconds for result in results]
    uploads = sum(m.size for m in forecast.messages if m.sender not in COMPUTING)
    middle = min(results, key=lambda result: abs(result.seconds - statistics.median(seconds)))
    rss = more["peak_rss_mb_by_process"]
    return Case(
        name="many holders",
        size=rows,
        runs=seconds,
        bytes=min(moved),
        rounds=forecast.rounds,
        peak_rss_mb=max(rss[PartyId(party)] for party in COMPUTING),
        steps=steps_of(middle),
        peers={"DuckDB, in the clear": statistics.median(took)},
        more={
            "holders": [len(table.parties) for table in reviewed.spec.datasets],
            "bytes_by_formula": forecast.size,
            "bytes_over_formula": round(min(moved) / forecast.size - 1, 4),
            "bytes_uploaded_by_formula": uploads,
            "forecast_s": forecast.milliseconds() / 1000,
            "cpu_s": {one: round(value, 3) for one, value in more["cpu_s"].items()},
            "peak_rss_mb_by_process": rss,
        },
    )


def main() -> None:
    parser = arguments(__doc__, size=ROWS, what="rows of each of the two tables, of all holders together")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs after {WARM} that warms up (default {RUNS})")
    parser.add_argument("--left", type=int, default=LEFT, help=f"holders of the one table (default {LEFT})")
    parser.add_argument("--right", type=int, default=RIGHT, help=f"holders of the other (default {RIGHT})")
    parser.add_argument("--noise", action="store_true", help="released with noise, not under disclosure control")
    asked = parser.parse_args()
    if not join.LOOPBACK.is_file():
        sys.exit("this benchmark reads sizes of processes and bytes of the loopback device from Linux")
    show(measure(asked.size, asked.runs, asked.left, asked.right, noise=asked.noise), as_json=asked.json)


if __name__ == "__main__":
    main()
