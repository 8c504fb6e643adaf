"""A logistic regression on the columns of two organisations, the whole way on three servers.

    python -m benchmarks.logistic [--size ROWS] [--json] [--runs N] [--mode b]

``ROWS`` people on each side, 60 % of them on both, one row each; an outcome of 0 or 1 and an age at one holder, a
rent and a flag at the other; eight steps. Servers, clock and bytes are those of ``benchmarks.join``. What is released
is held against statsmodels on the joined rows, which is the peer: coefficients to a hundredth of their standard errors.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import statsmodels.api as sm

from benchmarks import join
from benchmarks.common import Case, arguments, show
from pets.demo.deploy import deploy, servers
from pets.plan.review import review
from pets.result import Result
from pets.spec.parse import parse_toml

F64 = npt.NDArray[np.float64]

RUNS: Final = 3
ROWS: Final = 100_000
OVERLAP: Final = 0.6
B: Final = (-1.0, 0.02, -0.0004, 0.6)
"""Of the intercept, age, rent and damp."""
SQL: Final = "SELECT LOGISTIC_REGRESSION(a.died, a.age, b.rent, b.damp) AS fit FROM a JOIN b USING (nhs_number)"
CONTROL: Final = "[release.disclosure_control]\nmin_count = 14\n"


def make_records(folder: Path, rows: int) -> tuple[Path, Path, F64, F64]:
    """Write ``a.parquet`` and ``b.parquet``; the joined columns and the outcome, for the peer."""
    both, rng = int(OVERLAP * rows), np.random.default_rng(1)
    numbers = join.made_up_numbers(2 * rows - both)
    age, rent, damp = rng.integers(0, 101, rows), rng.integers(0, 4001, rows), rng.integers(0, 2, rows)
    rent_of_a, damp_of_a = (np.concatenate([rng.permutation(column), column[:both]])[-rows:] for column in (rent, damp))
    score = B[0] + B[1] * age + B[2] * rent_of_a + B[3] * damp_of_a
    died = (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
    files = folder / "a.parquet", folder / "b.parquet"
    of_a, of_b = rng.permutation(rows), rng.permutation(rows)
    for file, held, order, values in (
        (files[0], numbers[:rows], of_a, {"died": died, "age": age}),
        (files[1], numbers[rows - both :], of_b, {"rent": rent, "damp": damp}),
    ):
        ids = pa.array([f"{number:010d}" for number in held[order].tolist()])
        pq.write_table(pa.table({"nhs_number": ids, **{name: column[order] for name, column in values.items()}}), file)
    x = np.column_stack([np.ones(both), age[-both:], rent[:both], damp[:both]]).astype(float)
    return files[0], files[1], x, died[-both:].astype(float)


def spec_toml(rows: int, mode: str = "a") -> str:
    """The specification of the benchmark."""
    number = '{{ role = "measure", type = "integer", min = 0, max = {}, required = true }}'
    datasets = "".join(
        f"""
[[dataset]]
name = "{name}"
party = "{party}"
privacy_unit = "person"
max_rows_per_person = 1
max_rows = {rows}
refresh = "frozen"
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
{"".join(f"{column} = {number.format(most)}" + chr(10) for column, most in columns.items())}"""
        for name, party, columns in (
            ("a", "first", {"died": 1, "age": 100}),
            ("b", "second", {"rent": 4000, "damp": 1}),
        )
    )
    linkage = 'on = "nhs_number"\nnormalise = ["strip-spaces", "check-digit"]'
    title, protocol = "Benchmark: a logistic regression", f"helper_join_{mode}"
    return join.written(title, datasets, linkage, SQL, CONTROL, protocol=protocol)


def check(result: Result, wanted: Any) -> None:
    """The released model is that of the joined rows."""
    table = result.logistic().table.loc[["intercept", "a.age", "b.rent", "b.damp"]]
    off = np.abs(table["coefficient"].to_numpy() - wanted.params) / wanted.bse
    errors = np.abs(table["standard error"].to_numpy() / wanted.bse - 1)
    if not off.max() < 0.01 or not errors.max() < 0.005 or result.logistic().state != "settled":
        raise SystemExit(f"coefficients are off by {off} of their errors, and those by {errors}")


def measure(rows: int, runs: int, mode: str = "a") -> Case:
    """Fit the model ``runs`` times on warm servers, and beside it statsmodels in the clear."""
    toml = spec_toml(rows, mode)
    reviewed = review(parse_toml(toml)).require()
    with tempfile.TemporaryDirectory(prefix="pets-logistic-") as name:
        folder = Path(name)
        first, second, x, y = make_records(folder, rows)
        found: dict[str, Any] = {}

        def fit() -> None:
            found["model"] = sm.Logit(y, x).fit(disp=0)

        clear = join.timed(fit)
        deployment = deploy(folder / "parties", reviewed.spec, {"a": first, "b": second})
        with servers(deployment) as running:
            ready = join.prepare(deployment, reviewed, toml, running)
            results, moved = [], []
            for _ in range(runs):
                before = join.loopback_bytes()
                results.append(ready.client.run(toml))
                moved.append(join.loopback_bytes() - before)
                check(results[-1], found["model"])
            rss = max(join.peak_rss_mb(process.child.pid) for process in running.values())
    seconds = [result.seconds for result in results]
    middle = min(results, key=lambda result: abs(result.seconds - statistics.median(seconds)))
    more = {"bytes_by_formula": reviewed.forecast.size, "forecast_s": reviewed.forecast.milliseconds() / 1000}
    return Case(
        name="logistic",
        size=rows,
        runs=seconds,
        bytes=min(moved),
        rounds=reviewed.forecast.rounds,
        peak_rss_mb=rss,
        steps=join.steps_of(middle),
        peers={"statsmodels, in the clear": clear},
        more=more,
    )


def main() -> None:
    parser = arguments(__doc__, size=ROWS, what="rows of each of the two tables")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs (default {RUNS})")
    parser.add_argument("--mode", choices=("a", "b"), default="a", help="of helper_join (default a)")
    asked = parser.parse_args()
    if not join.LOOPBACK.is_file():
        sys.exit("this benchmark reads sizes of processes and bytes of the loopback device from Linux")
    show(measure(asked.size, asked.runs, asked.mode), as_json=asked.json)


if __name__ == "__main__":
    main()
