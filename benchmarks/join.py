"""A joint query, the whole way on three servers.

    python -m benchmarks.join [--size ROWS] [--json] [--runs N] [--control | --dominance | --both] [--mode b]

Three party servers as processes of their own, mutual TLS over loopback gRPC, kernels warm. ``ROWS`` people on each
side, 60 % of them on both, one row each (K = 1); 20 groups at the one holder, the values at the other:

    SELECT a.area, COUNT(*), SUM(b.amount) FROM a JOIN b ON a.nhs_number = b.nhs_number GROUP BY a.area

Ids lie in Parquet as text of ten digits. The range of NHS numbers that is never issued has 909,091 valid ones, too few
here; so these are made up from the whole range (valid check digits, nobody's). Specification, approvals and snapshots
are there before. ``--mode b``: the helper learns sizes only (helper_join_b); else mode A. The clock starts at the
client's start call and ends when the table is opened: it includes reading Parquet (and its digest), hello, keys, noise,
four rounds and opening. The peer is DuckDB, which joins the two files in the clear in one process, in turn with our
runs.

``bytes`` are those of the loopback device, TCP headers included (the least of all runs: others may use it, too);
``bytes_by_formula`` is what the card forecasts. ``peak_rss_mb`` is the largest of the three servers' during the runs;
that of taking the snapshot is told apart. ``cpu_s`` is processor time of one run, by party and client: on a machine
that others use too it says more than the clock.

``--control`` asks for the same over 10,000 cells, by turns with noise and under disclosure control: fewer than 10
persons withheld, counts rounded to 5. ``more_s`` is the median of what a run takes longer than the one before it.
``--dominance`` does so with ACRO's rules on single contributions as well, (2, 90 %) and 10 %, of amounts of which few
are great.

``--both`` groups by columns of both holders, 100 areas by 2,000 wards with (missing), so that rows are summed by a key
that nobody knows: with noise, or under disclosure control with ``--both --control``.
"""

import datetime as dt
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import Case, arguments, show
from pets.approve import approvals
from pets.demo.deploy import Deployment, Process, deploy, servers
from pets.ids import PartyId, SpecDigest
from pets.kernels.digits import ten_digits
from pets.network import Network
from pets.party.config import read_client
from pets.plan.review import Reviewed, review
from pets.remote import connect, network
from pets.result import Result
from pets.spec.parse import parse_toml

I64 = npt.NDArray[np.int64]

GROUPS: Final = 20
CELLS: Final = 10_000
"""Of the table under disclosure control, the level (missing) included."""
NOISE: Final = """[release.differential_privacy]
epsilon = "1"
neighbours = "one person's rows added or removed"
"""
CONTROL: Final = """[release.disclosure_control]
min_count = 10
round_to = 5
"""
DOMINANCE: Final = f"""{CONTROL}dominance = [{{ largest = 2, percent = 90 }}]
p_percent = 10
"""
WARDS: Final = 1_999
AREAS: Final = 99
"""Groups of ``--both``, without (missing): 200,000 cells."""
OVERLAP: Final = 0.6
RUNS: Final = 9
WARM: Final = 2
MAX_AMOUNT: Final = 5_000
LOOPBACK: Final = Path("/sys/class/net/lo/statistics/tx_bytes")

SQL: Final = """
SELECT a.area, COUNT(*) AS people, SUM(b.amount) AS amount
FROM a JOIN b ON a.nhs_number = b.nhs_number
GROUP BY a.area
"""

BOTH: Final = """
SELECT a.area, b.ward, COUNT(*) AS people, SUM(b.amount) AS amount
FROM a JOIN b ON a.nhs_number = b.nhs_number
GROUP BY a.area, b.ward
"""


# -- records ----------------------------------------------------------------------------------------------------------


def made_up_numbers(count: int) -> I64:
    """Distinct ten-digit numbers with a valid NHS check digit, spread over the whole range, the same in every run."""
    serials = (np.arange(count * 5 // 4 + 100, dtype=np.int64) * 387_420_489 + 271_828_182) % 1_000_000_000
    weighed = sum((serials // 10 ** (8 - i)) % 10 * (10 - i) for i in range(9))
    check = (11 - weighed % 11) % 11
    numbers: I64 = (serials * 10 + check)[check < 10]
    return numbers[:count]


def make_records(
    folder: Path, rows: int, groups: int = GROUPS, wards: int = 0, *, skewed: bool = False
) -> tuple[Path, Path]:
    """Write ``a.parquet`` (id, area) and ``b.parquet`` (id, amount, ward), each in an order of its own."""
    both = int(OVERLAP * rows)
    numbers = made_up_numbers(2 * rows - both)
    rng = np.random.default_rng(1)
    files = folder / "a.parquet", folder / "b.parquet"
    areas = pa.array([f"area {i:02}" for i in range(groups)])
    area = pa.DictionaryArray.from_arrays(rng.integers(0, groups, rows, dtype=np.int16), areas).cast(pa.string())
    amount = rng.integers(0, MAX_AMOUNT + 1, rows)
    if skewed:
        amount = (MAX_AMOUNT * (amount / MAX_AMOUNT) ** 60).astype(np.int64)
    of_b: dict[str, Any] = {"amount": pa.array(amount)}
    if wards:
        names = pa.array([f"ward {i:04}" for i in range(wards)])
        numbers_of = rng.integers(0, wards, rows, dtype=np.int16)
        of_b["ward"] = pa.DictionaryArray.from_arrays(numbers_of, names).cast(pa.string())
    for file, held, values in ((files[0], numbers[:rows], {"area": area}), (files[1], numbers[rows - both :], of_b)):
        pq.write_table(pa.table({"nhs_number": as_text(rng.permutation(held)), **values}), file)
    return files


def as_text(numbers: I64) -> pa.Array:
    """Numbers as text of ten digits."""
    starts = np.arange(0, 10 * numbers.size + 10, 10, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), numbers.size, [None, pa.py_buffer(starts), pa.py_buffer(ten_digits(numbers))]
    )


COUNT: Final = """
[[security.leakage]]
learner = "helper"
item = "match_count"
noised = { epsilon = "0.5", delta = "2^-40" }
"""


# -- specification ----------------------------------------------------------------------------------------------------


def spec_toml(rows: int, groups: int = GROUPS, release: str = NOISE, mode: str = "a", wards: int = 0) -> str:
    """The specification of the benchmark: all that differs from a real one is that nobody is in the records."""
    levels = ", ".join(f'"area {i:02}"' for i in range(groups))
    ward_levels = ", ".join(f'"ward {i:04}"' for i in range(wards))
    ward = f'ward = {{ role = "dimension", type = "category", levels = [{ward_levels}] }}\n' if wards else ""
    datasets = f"""
[[dataset]]
name = "a"
party = "first"
privacy_unit = "person"
max_rows_per_person = 1
max_rows = {rows}
refresh = "frozen"
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
area = {{ role = "dimension", type = "category", levels = [{levels}] }}
[[dataset]]
name = "b"
party = "second"
privacy_unit = "person"
max_rows_per_person = 1
max_rows = {rows}
refresh = "frozen"
[dataset.columns]
nhs_number = {{ role = "person id", scheme = "nhs-number" }}
amount = {{ role = "measure", type = "integer", min = 0, max = {MAX_AMOUNT}, required = true }}
{ward}"""
    linkage = 'on = "nhs_number"\nnormalise = ["strip-spaces", "check-digit"]'
    sql = BOTH if wards else SQL
    return written("Benchmark: amounts by area", datasets, linkage, sql, release, protocol=f"helper_join_{mode}")


TWO: Final = (("first", ("input", "computing")), ("second", ("input", "computing")), ("helper", ("computing",)))
"""Who serves: two holders and a helper."""


def written(
    title: str,
    datasets: str,
    linkage: str,
    sql: str,
    release: str,
    *,
    protocol: str,
    tables: Sequence[str] = ("a", "b"),
    serving: Sequence[tuple[str, Sequence[str]]] = TWO,
) -> str:
    """A specification of ``tables``, whose ``datasets`` name holders among ``serving``, as a benchmark runs it."""
    parties = "".join(
        f"""
[[party]]
name = "{name}"
organisation = "{name} of the benchmark"
roles = [{", ".join(f'"{role}"' for role in roles)}]
san = "spiffe://benchmark.example/{name}"
"""
        for name, roles in (*serving, ("analyst", ("result",)))
    )
    legal = "".join(
        f"""
[legal.{name}]
controller = "{name} of the benchmark"
law = "legal-gb:law-GDPR"
jurisdiction = "loc:GB-SCT"
article6 = "eu-gdpr:A6-1-e-public-interest"
dpia = {{ id = "benchmark", outcome = "eu-gdpr:DPIAOutcomeRisksMitigated" }}
retention = "nothing is kept"
notice = "https://benchmark.example/notice"
"""
        for name, roles in serving
        if "input" in roles
    )
    return f"""pets = 1
title = "{title}"
[purpose]
statement = "How long does a joint query take?"
dpv = ["dpv:ProvideOfficialStatistics"]
public_benefit = "Knowing what it costs."
author = "analyst@benchmark.example"
{parties}{datasets}{legal}
[linkage]
{linkage}
version = "1"
[computation]
sql = \"\"\"{sql}\"\"\"
[release]
to = ["analyst"]
{release}[security]
adversary = "semi-honest"
corrupt = 1
protocol = "{protocol}"
{COUNT if protocol == "helper_join_a" else ""}
[[security.leakage]]
learner = "everyone"
item = "row_count"
of = [{", ".join(f'"{table}"' for table in tables)}]
as = "declared maximum"
[validity]
not_before = {dt.date.today() - dt.timedelta(1)}
not_after = {dt.date.today() + dt.timedelta(30)}
max_runs = 1000
"""


# -- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """Servers with an approved specification and snapshots, and the client that runs it."""

    client: Network
    toml: str
    reviewed: Reviewed
    running: dict[PartyId, Process]
    snapshot_s: dict[str, float]
    snapshot_rss_mb: dict[PartyId, int]


def prepare(deployment: Deployment, reviewed: Reviewed, toml: str, running: dict[PartyId, Process]) -> Ready:
    """Submit, approve, freeze."""
    client = connect(deployment.directory)
    digest = client.submit(toml)
    for party, people in deployment.approvers.items():
        person, key = next(iter(people.items()))
        envelope = approvals.approve(
            digest=digest,
            plan_digest=reviewed.plan_digest,
            party=party,
            approver=person,
            key=key,
            not_before=reviewed.spec.validity.not_before,
            not_after=reviewed.spec.validity.not_after,
            max_runs=reviewed.spec.validity.max_runs,
        )
        _own(deployment, party).server(party).approve(envelope)
    holders = [PartyId(party) for dataset in reviewed.spec.datasets for party in sorted(dataset.parties)]
    took: dict[str, float] = {party: _freeze(deployment, party, digest) for party in holders}
    rss = {party: peak_rss_mb(process.child.pid) for party, process in running.items()}
    return Ready(client, toml, reviewed, running, took, rss)


def _freeze(deployment: Deployment, party: PartyId, digest: SpecDigest) -> float:
    began = time.perf_counter()
    _own(deployment, party).server(party).snapshot(digest)
    return time.perf_counter() - began


def _own(deployment: Deployment, party: PartyId) -> Network:
    config = deployment.config(party)
    return network(read_client(config, directory=config.parent / "directory.toml", now=dt.datetime.now(dt.UTC)))


def peak_rss_mb(pid: int) -> int:
    """The most memory that a process has had since it began, or since ``forget_peak``."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def forget_peak(pid: int) -> None:
    """Let the peak of a process begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, in user and in system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def loopback_bytes() -> int:
    """Bytes that the loopback device has sent."""
    return int(LOOPBACK.read_text(encoding="ascii"))


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def in_the_clear(files: tuple[Path, Path]) -> Callable[[], dict[str, tuple[int, int]]]:
    """DuckDB on both files at once: what nobody may do with such records."""
    connection = duckdb.connect(":memory:")
    first, second = (f"read_parquet('{file}')" for file in files)
    sql = SQL.replace("FROM a", f"FROM {first} a").replace("JOIN b", f"JOIN {second} b")

    def join() -> dict[str, tuple[int, int]]:
        return {area: (int(people), int(amount)) for area, people, amount in connection.execute(sql).fetchall()}

    return join


def check(result: Result, expected: dict[str, tuple[int, int]]) -> None:
    """The released table is the true one but for its noise; a benchmark of wrong results would be worth nothing."""
    frame = result.to_pandas().set_index("area")
    for area, (people, amount) in expected.items():
        row: Any = frame.loc[area]
        if abs(row["people"] - people) > 200 or abs(row["amount"] - amount) > 200 * MAX_AMOUNT:
            raise SystemExit(f"{area}: released {tuple(row)}, in the clear {people}, {amount}")


def steps_of(result: Result) -> dict[str, float]:
    """Seconds by party and message, waiting included: what a party does between two messages."""
    steps: dict[str, float] = {}
    for step in result.steps:
        name = f"{step.party} {step.step}"
        steps[name] = steps.get(name, 0.0) + step.seconds
    return steps


def measure(rows: int, runs: int, mode: str = "a") -> Case:
    """Run the query ``runs`` times on warm servers, in turn with DuckDB."""
    toml = spec_toml(rows, mode=mode)
    reviewed = review(parse_toml(toml)).require()
    with tempfile.TemporaryDirectory(prefix="pets-join-") as name:
        folder = Path(name)
        files = make_records(folder, rows)
        deployment = deploy(folder / "parties", reviewed.spec, {"a": files[0], "b": files[1]})
        join = in_the_clear(files)
        expected = join()
        with servers(deployment) as running:
            ready = prepare(deployment, reviewed, toml, running)
            return _measured(ready, join, expected, rows, runs)


def _measured(
    ready: Ready,
    join: Callable[[], dict[str, tuple[int, int]]],
    expected: dict[str, tuple[int, int]],
    rows: int,
    runs: int,
) -> Case:
    results: list[Result] = []
    moved: list[int] = []
    clear: list[float] = []
    pids = {party: process.child.pid for party, process in ready.running.items()} | {"client": os.getpid()}
    used = dict.fromkeys(pids, 0.0)
    for number in range(WARM + runs):
        if number == WARM:
            for process in ready.running.values():
                forget_peak(process.child.pid)
        cpu = {name: cpu_s(pid) for name, pid in pids.items()}
        before = loopback_bytes()
        result = ready.client.run(ready.toml)
        after = loopback_bytes()
        cpu = {name: cpu_s(pid) - cpu[name] for name, pid in pids.items()}
        check(result, expected)
        peer = timed(join)
        if number >= WARM:
            results.append(result)
            moved.append(after - before)
            clear.append(peer)
            used = {name: used[name] + cpu[name] / runs for name in pids}
    seconds = [result.seconds for result in results]
    middle = min(results, key=lambda result: abs(result.seconds - statistics.median(seconds)))
    rss = {party: peak_rss_mb(process.child.pid) for party, process in ready.running.items()}
    forecast = ready.reviewed.forecast
    return Case(
        name="join",
        size=rows,
        runs=seconds,
        bytes=min(moved),
        rounds=forecast.rounds,
        peak_rss_mb=max(rss.values()),
        steps=steps_of(middle),
        peers={"DuckDB, in the clear": statistics.median(clear)},
        more={
            "bytes_by_formula": forecast.size,
            "bytes_over_formula": round(min(moved) / forecast.size - 1, 4),
            "cpu_s": {name: round(seconds, 3) for name, seconds in used.items()},
            "peak_rss_mb_by_party": rss,
            "snapshot_seconds": {party: round(took, 2) for party, took in ready.snapshot_s.items()},
            "peak_rss_mb_of_snapshot": ready.snapshot_rss_mb,
        },
    )


def measure_control(rows: int, runs: int, mode: str = "a", *, dominance: bool = False) -> Case:
    """Run the query over many cells by turns with noise and under disclosure control, on warm servers."""
    releases = (NOISE, DOMINANCE if dominance else CONTROL)
    tomls = [spec_toml(rows, CELLS - 1, release, mode) for release in releases]
    reviews = [review(parse_toml(toml)).require() for toml in tomls]
    with tempfile.TemporaryDirectory(prefix="pets-join-") as name:
        folder = Path(name)
        files = make_records(folder, rows, CELLS - 1, skewed=dominance)
        deployment = deploy(folder / "parties", reviews[1].spec, {"a": files[0], "b": files[1]})
        expected = in_the_clear(files)()
        gone = dominated(files) if dominance else frozenset[str]()
        with servers(deployment) as running:
            noised, exact = (prepare(deployment, r, toml, running) for r, toml in zip(reviews, tomls, strict=True))
            results: list[tuple[Result, Result]] = []
            for number in range(WARM + runs):
                pair = noised.client.run(noised.toml), exact.client.run(exact.toml)
                check_control(pair[1], expected, gone)
                if number >= WARM:
                    results.append(pair)
            rss = max(peak_rss_mb(process.child.pid) for process in running.values())
    forecast = reviews[1].forecast
    more = [after.seconds - before.seconds for before, after in results]
    middle = min(results, key=lambda pair: abs(pair[1].seconds - pair[0].seconds - statistics.median(more)))[1]
    return Case(
        name="dominance" if dominance else "control",
        size=rows,
        runs=[after.seconds for _, after in results],
        bytes=forecast.size,
        rounds=forecast.rounds,
        peak_rss_mb=rss,
        steps=steps_of(middle),
        peers={"the same table, with noise": statistics.median(before.seconds for before, _ in results)},
        more={
            "cells": CELLS,
            "more_s": round(statistics.median(more), 3),
            "bytes_with_noise": reviews[0].forecast.size,
            "rounds_with_noise": reviews[0].forecast.rounds,
            "forecast_s": forecast.milliseconds() / 1000,
            "sums_withheld_for_dominance": sum(people >= 10 for area, (people, _) in expected.items() if area in gone),
        },
    )


def measure_both(rows: int, runs: int, mode: str = "a", *, control: bool = False) -> Case:
    """Run the query over 200,000 cells of both holders' groups on warm servers."""
    toml = spec_toml(rows, AREAS, CONTROL if control else NOISE, mode, WARDS)
    reviewed = review(parse_toml(toml)).require()
    with tempfile.TemporaryDirectory(prefix="pets-join-") as name:
        folder = Path(name)
        files = make_records(folder, rows, AREAS, WARDS)
        deployment = deploy(folder / "parties", reviewed.spec, {"a": files[0], "b": files[1]})
        connection = duckdb.connect(":memory:")
        first, second = (f"read_parquet('{file}')" for file in files)
        clear = BOTH.replace("FROM a", f"FROM {first} a").replace("JOIN b", f"JOIN {second} b")
        expected = {(area, ward): (n, s) for area, ward, n, s in connection.execute(clear).fetchall()}
        results: list[Result] = []
        moved: list[int] = []
        took: list[float] = []
        with servers(deployment) as running:
            ready = prepare(deployment, reviewed, toml, running)
            for number in range(1 + runs):
                before = loopback_bytes()
                result = ready.client.run(ready.toml)
                after = loopback_bytes()
                took.append(timed(result.to_pandas))
                check_both(result, expected, control=control)
                if number:
                    results.append(result)
                    moved.append(after - before)
            rss = max(peak_rss_mb(process.child.pid) for process in running.values())
    middle = min(results, key=lambda each: abs(each.seconds - statistics.median(r.seconds for r in results)))
    return Case(
        name="groups of both sides" + (", exact" if control else ""),
        size=rows,
        runs=[result.seconds for result in results],
        bytes=min(moved),
        rounds=reviewed.forecast.rounds,
        peak_rss_mb=rss,
        steps=steps_of(middle),
        peers={},
        more={
            "cells": len(result.to_pandas()),
            "bytes_by_formula": reviewed.forecast.size,
            "forecast_s": reviewed.forecast.milliseconds() / 1_000,
            "table_s": round(statistics.median(took), 3),
        },
    )


def check_both(result: Result, expected: dict[tuple[str, str], tuple[int, int]], *, control: bool) -> None:
    """Every cell: exact where it is shown and withheld below the minimum, or the true one but for its noise."""
    frame = result.to_pandas()
    keys = zip(frame["area"].astype(str), frame["ward"].astype(str), strict=True)
    true = np.array([expected.get(key, (0, 0)) for key in keys], np.int64)
    if not control:
        off = np.abs(frame["people"].to_numpy(np.int64) - true[:, 0]).max()
        wrong = off > 500
    else:
        shown = frame["people"].notna().to_numpy()
        got = frame["people"].fillna(0).to_numpy(np.int64)
        right = np.where(true[:, 0] >= 10, (true[:, 0] + 2) // 5 * 5, 0)
        wrong = bool((shown != (true[:, 0] >= 10)).any() or (got[shown] != right[shown]).any())
        wrong = wrong or bool((frame["amount"].fillna(0).to_numpy(np.int64)[shown] != true[shown, 1]).any())
    if wrong or len(frame) != (AREAS + 1) * (WARDS + 1):
        raise SystemExit("released another table than there is in the clear")


def dominated(files: tuple[Path, Path]) -> frozenset[str]:
    """The areas of which the sum is withheld for what single persons add to it, by DuckDB in the clear."""
    first, second = (f"read_parquet('{file}')" for file in files)
    found = duckdb.sql(f"""
        SELECT area FROM (
            SELECT a.area, b.amount, row_number() OVER (PARTITION BY a.area ORDER BY b.amount DESC) AS place
            FROM {first} a JOIN {second} b ON a.nhs_number = b.nhs_number)
        GROUP BY area
        HAVING 10 * sum(amount) FILTER (place <= 2) >= 9 * sum(amount)
            OR 10 * coalesce(sum(amount) FILTER (place > 2), 0) < max(amount)
    """).fetchall()
    return frozenset(area for (area,) in found)


def check_control(result: Result, expected: dict[str, tuple[int, int]], gone: frozenset[str]) -> None:
    """Every cell is withheld or rounded as it has to be, and every sum that is shown is the true one."""
    frame = result.to_pandas().set_index("area")
    counts, amounts = frame["people"], frame["amount"]
    for area in frame.index:
        people, amount = expected.get(area, (0, 0))
        shown = None if people < 10 else (people + 2) // 5 * 5
        got = None if counts.isna()[area] else int(counts[area])
        sums = None if amounts.isna()[area] else int(amounts[area])
        if got != shown or sums != (None if shown is None or area in gone else amount):
            raise SystemExit(f"{area}: released {got}, in the clear {people}")


def main() -> None:
    parser = arguments(__doc__, size=1_000_000, what="rows of each of the two tables")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs after {WARM} that warm up (default {RUNS})")
    parser.add_argument("--control", action="store_true", help=f"{CELLS:,} cells, exact, beside the same with noise")
    parser.add_argument("--both", action="store_true", help="200,000 cells, of groups of both holders")
    parser.add_argument("--dominance", action="store_true", help="with rules on single contributions, too")
    parser.add_argument("--mode", choices=("a", "b"), default="a", help="of helper_join (default a)")
    asked = parser.parse_args()
    if not LOOPBACK.is_file():
        sys.exit("this benchmark reads sizes of processes and bytes of the loopback device from Linux")
    if asked.both:
        case = measure_both(asked.size, asked.runs, asked.mode, control=asked.control)
    elif asked.control or asked.dominance:
        case = measure_control(asked.size, asked.runs, asked.mode, dominance=asked.dominance)
    else:
        case = measure(asked.size, asked.runs, asked.mode)
    show(case, as_json=asked.json)


if __name__ == "__main__":
    main()
