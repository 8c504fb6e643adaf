"""How well the forecast of a run's time holds: ``python -m benchmarks.forecast [--size ROWS] [--json] [--runs N]``.

Specifications of several kinds on three server processes over loopback, kernels warm: what approvers are told a run
takes (``plan/cost.py``), beside the median of what it took. A ratio between 0.5 and 2 is what the report promises.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import join
from benchmarks.common import Case, arguments, show
from pets.demo.deploy import deploy, servers
from pets.plan.review import review
from pets.spec.parse import parse_toml

RUNS: Final = 5
WARM: Final = 2
NOISE: Final = '[release.differential_privacy]\nepsilon = "1"\nneighbours = "one person\'s rows added or removed"\n'
CONTROL: Final = "[release.disclosure_control]\nmin_count = 10\nround_to = 5\n"
LIMIT: Final = 'limit = { role = "measure", type = "integer", min = 0, max = 5000, required = true }\n'
ACROSS: Final = """
SELECT a.area, COUNT(*) AS people, SUM(b.amount) AS amount
FROM a JOIN b ON a.nhs_number = b.nhs_number
WHERE b.amount > a.limit
GROUP BY a.area
"""


def texts(rows: int) -> dict[str, str]:
    """The specifications: small and large, noised and exact, with and without a condition across tables."""

    def of(count: int, *, control: bool = False, across: bool = False, groups: int = join.GROUPS) -> str:
        text = join.spec_toml(count, groups)
        if NOISE not in text:
            raise SystemExit("the specification of benchmarks/join.py has another release")
        text = text.replace(NOISE, CONTROL) if control else text
        area = next(line for line in text.splitlines(keepends=True) if line.startswith("area = "))
        text = text.replace(area, area + LIMIT, 1)
        return text.replace(join.SQL, ACROSS) if across else text

    few = max(1, rows // 100)
    return {
        f"noise, {few:,} rows": of(few),
        f"noise, {rows:,} rows": of(rows),
        f"exact, {few:,} rows, 2,000 groups": of(few, control=True, groups=2_000),
        f"condition across tables, {few:,} rows": of(few, across=True),
        f"condition across tables, {rows:,} rows": of(rows, across=True),
        f"exact, with such a condition, {rows:,} rows": of(rows, control=True, across=True),
    }


def measure(name: str, toml: str, runs: int) -> Case:
    """Median seconds of ``runs`` runs of one specification, beside its forecast."""
    reviewed = review(parse_toml(toml)).require()
    rows = reviewed.spec.datasets[0].max_rows
    groups = len(reviewed.spec.dataset("a").columns["area"].levels)
    with tempfile.TemporaryDirectory(prefix="pets-forecast-") as place:
        folder = Path(place)
        files = join.make_records(folder, rows, groups)
        table = pq.read_table(files[0])
        limit = np.random.default_rng(2).integers(0, 5_001, table.num_rows)
        pq.write_table(table.append_column("limit", pa.array(limit)), files[0])
        deployment = deploy(folder / "parties", reviewed.spec, {"a": files[0], "b": files[1]})
        took = []
        with servers(deployment) as running:
            ready = join.prepare(deployment, reviewed, toml, running)
            for _ in range(WARM + runs):
                began = time.perf_counter()
                ready.client.run(toml)
                took.append(time.perf_counter() - began)
    forecast = reviewed.forecast
    told = forecast.milliseconds() / 1000
    median = statistics.median(took[WARM:])
    return Case(
        name=name,
        size=rows,
        runs=took[WARM:],
        bytes=forecast.size,
        rounds=forecast.rounds,
        peak_rss_mb=0,
        steps={},
        peers={},
        more={"forecast_s": told, "measured_over_forecast": round(median / told, 2)},
    )


def main() -> None:
    parser = arguments(__doc__, size=1_000_000, what="rows of each of the two tables, where they are many")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs after {WARM} that warm up (default {RUNS})")
    asked = parser.parse_args()
    for name, toml in texts(asked.size).items():
        show(measure(name, toml, asked.runs), as_json=asked.json)


if __name__ == "__main__":
    main()
