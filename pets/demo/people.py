"""Two organisations' records for the demonstration: nobody in them exists.

A health board's A&E attendances and a council's housing register, with some of the people in both. What is real is the
shape: when people come and to which kind of department, and how many of them wait beyond four hours, are the shares of
the table that NHS England publishes (``ae_attendances.csv``); areas are the council areas of Scotland
(``gb_areas.csv``). NHS numbers are from the range 999 000 0000 to 999 999 9999, which is never issued, with valid check
digits. One effect is put in, for the query to find: people in temporary accommodation attend more often.

As in real records, some identifiers and some dimensions are missing, and some people have more rows than the
specification of the demonstration lets count. Equal seeds give equal files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pets.demo.data import data_file
from pets.kernels.digits import ten_digits

I64Array = npt.NDArray[np.int64]
F64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Progress = Callable[[str, float], None]
"""Called with what is being made and the share of all work that is done."""

AGE_BANDS: Final = ("16-24", "25-44", "45-64", "65+")
TENURES: Final = ("owner", "private rent", "social rent", "temporary")
DEPARTMENTS: Final = {"1": "major", "2": "single specialty", "other": "minor injuries"}

FIRST_DAY: Final = np.datetime64("2025-10-01")
"""Attendances are of the twelve months from here."""

_AGE_SHARES: Final = (0.14, 0.33, 0.31, 0.22)
_TENURE_BY_AGE: Final = (
    (0.34, 0.41, 0.20, 0.05),
    (0.46, 0.30, 0.19, 0.05),
    (0.68, 0.12, 0.17, 0.03),
    (0.77, 0.06, 0.16, 0.01),
)
_TEMPORARY_IF_ATTENDING: Final = 2.5  # how much likelier temporary accommodation is among those who attend at all
_MORE_BY_TENURE: Final = (0.45, 0.60, 0.90, 1.90)  # attendances beyond the first, on average
_MORE_BY_AGE: Final = (1.0, 0.8, 0.9, 1.3)
_MEDIAN_MINUTES: Final = {"1": 150.0, "2": 95.0, "other": 70.0}
_FOUR_HOURS: Final = 240.0
_HOME_SHARE: Final = 0.7
_MISSING: Final = 0.004
_ONE_WITHOUT_ID: Final = 5_000  # one row in so many

_SERIAL: Final = 999_000_000
_SERIALS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """The two files, and how many people are in each and in both."""

    health: Path
    council: Path
    people: int
    both: int


@dataclass(frozen=True, slots=True)
class Departments:
    """What the published table says: ``shares[month, department]`` sum to 1; ``breaches``: share beyond four hours."""

    shares: F64Array
    breaches: F64Array


def published() -> Departments:
    """Attendances by month of the year and department type, over all providers and years of the table."""
    table = pa_csv.read_csv(data_file("ae_attendances.csv"))
    month = table["period"].to_numpy().astype("datetime64[M]").astype(np.int64) % 12
    kind = np.searchsorted(np.array(list(DEPARTMENTS)), table["type"].to_numpy(zero_copy_only=False).astype(str))
    cell = month * len(DEPARTMENTS) + kind
    sums = [
        np.bincount(cell, table[name].to_numpy(), 12 * len(DEPARTMENTS)).reshape(12, len(DEPARTMENTS))
        for name in ("attendances", "breaches")
    ]
    return Departments(sums[0] / sums[0].sum(), sums[1] / sums[0])


def nhs_numbers(count: int, rng: np.random.Generator) -> I64Array:
    """Distinct valid NHS numbers of the range that is never issued, in random order.

    Raises: ValueError if the range has fewer.
    """
    serials = rng.permutation(_SERIAL + np.arange(_SERIALS, dtype=np.int64))
    weighed = sum((serials // 10 ** (8 - i)) % 10 * (10 - i) for i in range(9))
    check = (11 - weighed % 11) % 11
    valid = check < 10
    numbers: I64Array = (serials * 10 + check)[valid]
    if count > numbers.size:
        raise ValueError(f"there are {numbers.size:,} NHS numbers for made-up people, {count:,} were asked for")
    return numbers[:count]


def make_people(
    folder: Path,
    *,
    people: int = 100_000,
    overlap: float = 0.6,
    seed: int,
    form: Literal["csv", "parquet"] = "csv",
    progress: Progress | None = None,
) -> DemoFiles:
    """Write ``health.csv`` and ``council.csv`` (or .parquet) to ``folder``: ``people`` people in each file.

    Raises: ValueError if there are too few NHS numbers for ``people`` and ``overlap``, or these make no sense.
    """
    if people < 1 or not 0 <= overlap <= 1:
        raise ValueError("people is at least 1, overlap between 0 and 1")
    tell: Progress = progress or (lambda what, share: None)
    rng = np.random.default_rng(seed)
    both = round(people * overlap)
    everyone = 2 * people - both

    tell("people", 0.0)
    number = nhs_numbers(everyone, rng)
    attends = np.arange(everyone) < people
    registered = np.arange(everyone) >= people - both
    age = rng.choice(len(AGE_BANDS), everyone, p=_AGE_SHARES)
    tenure = _tenures(age, attends, rng)
    area, names = _areas(everyone, rng)

    tell("attendances", 0.25)
    health = _attendances(number[:people], age[:people], tenure[:people], area[:people], names, rng)
    tell("housing register", 0.5)
    council = _housing(number[registered], tenure[registered], area[registered], names, rng)

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for share, name, table in ((0.6, "health", health), (0.85, "council", council)):
        file = folder / f"{name}.{form}"
        tell(f"writing {file.name}", share)
        if form == "csv":
            pa_csv.write_csv(table, file)
        else:
            pq.write_table(table, file)
        files.append(file)
    tell("done", 1.0)
    return DemoFiles(files[0], files[1], people, both)


def _tenures(age: I64Array, attends: BoolArray, rng: np.random.Generator) -> I64Array:
    """Tenure by age; people in temporary accommodation are more of those who attend, and less of the others."""
    shares = np.array(_TENURE_BY_AGE)[age]
    shares[attends, TENURES.index("temporary")] *= _TEMPORARY_IF_ATTENDING
    reached = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    drawn: I64Array = np.minimum((rng.random(age.size)[:, None] >= reached).sum(axis=1), len(TENURES) - 1)
    return drawn


def _areas(count: int, rng: np.random.Generator) -> tuple[I64Array, list[str]]:
    """Council areas of Scotland: most people live in the council's own, Edinburgh, the others anywhere."""
    table = pa_csv.read_csv(data_file("gb_areas.csv")).to_pylist()
    names = [row["name"] for row in table if row["category"] == "Council area"]
    home = next(i for i, name in enumerate(names) if name.startswith("Edinburgh"))
    elsewhere = rng.integers(0, len(names), count)
    return np.where(rng.random(count) < _HOME_SHARE, home, elsewhere), names


def _attendances(
    number: I64Array, age: I64Array, tenure: I64Array, area: I64Array, names: list[str], rng: np.random.Generator
) -> pa.Table:
    """One row an attendance, in the order of arrival; everyone has at least one."""
    more = np.array(_MORE_BY_TENURE)[tenure] * np.array(_MORE_BY_AGE)[age]
    person = np.repeat(np.arange(number.size), rng.geometric(1 / (1 + more)))
    rows = person.size
    table = published()
    drawn = rng.choice(table.shares.size, rows, p=table.shares.ravel())
    month, kind = np.divmod(drawn, len(DEPARTMENTS))
    arrival = _day_in(month, rng)
    minutes = _minutes(table.breaches[month, kind], kind, rng)
    order = np.argsort(arrival, kind="stable")
    person, arrival, minutes, kind = person[order], arrival[order], minutes[order], kind[order]
    blank = partial(_blank, rng=rng)
    # What is missing of a person is missing in all of the person's rows.
    unknown = rng.random(number.size) < _MISSING
    return pa.table(
        {
            "nhs_number": _identifiers(number[person], rng),
            "age_band": _labels(age[person], AGE_BANDS, unknown[person]),
            "area": _labels(area[person], names, blank(rows)),
            "department": _labels(kind, list(DEPARTMENTS.values()), np.zeros(rows, np.bool_)),
            "arrival": pa.array(arrival),
            "minutes": pa.array(minutes),
        }
    )


def _housing(
    number: I64Array, tenure: I64Array, area: I64Array, names: list[str], rng: np.random.Generator
) -> pa.Table:
    """One row a person, in no order."""
    order = rng.permutation(number.size)
    return pa.table(
        {
            "nhs_number": _identifiers(number[order], rng),
            "tenure": _labels(tenure[order], TENURES, _blank(number.size, rng=rng)),
            "area": _labels(area[order], names, np.zeros(number.size, np.bool_)),
        }
    )


def _day_in(month: I64Array, rng: np.random.Generator) -> npt.NDArray[np.datetime64]:
    """A day of that month of the year (0 is January) within the twelve months from ``FIRST_DAY``."""
    first = FIRST_DAY.astype("datetime64[M]")
    start = first + (month - first.astype(np.int64) % 12) % 12
    days = (start + 1).astype("datetime64[D]") - start.astype("datetime64[D]")
    within = (rng.random(month.size) * days.astype(np.int64)).astype(np.int64)
    arrived: npt.NDArray[np.datetime64] = start.astype("datetime64[D]") + within
    return arrived


def _minutes(breaches: F64Array, kind: I64Array, rng: np.random.Generator) -> I64Array:
    """Log-normal waits, of which the published share lasts beyond four hours; a few last longer than a day."""
    medians = np.array([_MEDIAN_MINUTES[k] for k in DEPARTMENTS])
    shares, place = np.unique(breaches, return_inverse=True)
    tails = np.array([NormalDist().inv_cdf(1 - float(np.clip(share, 1e-4, 0.49))) for share in shares])[place]
    spread = np.log(_FOUR_HOURS / medians[kind]) / tails
    waited: I64Array = np.rint(medians[kind] * np.exp(spread * rng.standard_normal(kind.size))).astype(np.int64)
    return waited


def _blank(count: int, *, rng: np.random.Generator) -> BoolArray:
    return rng.random(count) < _MISSING


def _identifiers(number: I64Array, rng: np.random.Generator) -> pa.Array:
    """Ten digits as text; a few are missing."""
    missing = np.zeros(number.size, np.bool_)
    missing[rng.choice(number.size, max(1, number.size // _ONE_WITHOUT_ID), replace=False)] = number.size > 1
    text = ten_digits(number).reshape(-1).view("S10").astype("U10")
    return pa.array(text, mask=missing)


def _labels(codes: I64Array, labels: list[str] | tuple[str, ...], missing: BoolArray) -> pa.Array:
    dictionary = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=missing), list(labels))
    return dictionary.cast(pa.string())
