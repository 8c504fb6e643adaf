"""Moments against SQL itself: every statistic and both joins on random small tables, compared with DuckDB."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pytest

from pets.errors import SpecError
from pets.spec.ir import Factor
from pets.spec.model import Spec
from pets.spec.moments import LEFT, RIGHT, SideMoment, cells, dimensions, helpers, moments, roles, statistics
from pets.spec.parse import parse_toml
from pets.spec.query import Aggregate, Query
from pets.spec.sql import bind

DEMO = (Path(__file__).parent.parent / "check" / "should_pass" / "correlation_across_tables.toml").read_text()
BASE = DEMO.replace("rent = {", 'arrears = { role = "measure", type = "integer", min = -9, max = 9 }\nrent = {')
SQL = BASE[BASE.index("SELECT") : BASE.index('"""\n\n[release]')]

Row = Mapping[str, str | int | None]

SELECTS = (
    "COUNT(*)",
    "COUNT(a.minutes)",
    "COUNT(h.rent)",
    "COUNT(DISTINCT a.nhs_number)",
    "COUNT(DISTINCT h.nhs_number)",
    "SUM(a.minutes)",
    "SUM(h.rent)",
    "AVG(a.minutes)",
    "AVG(h.rent)",
    "VAR_SAMP(a.minutes)",
    "VAR_POP(h.rent)",
    "STDDEV(h.rent)",
    "STDDEV_POP(a.minutes)",
    "CORR(h.rent, a.minutes)",
    "CORR(h.rent, h.arrears)",
    "COVAR_SAMP(a.minutes, h.rent)",
    "COVAR_POP(h.arrears, h.rent)",
    "REGR_SLOPE(h.rent, a.minutes)",
    "REGR_INTERCEPT(a.minutes, h.rent)",
)


def spec_of(select: str, join: str = "JOIN", group: str = "", required: bool = False, rows: int = 4) -> Spec:
    sql = f"SELECT {group + ', ' if group else ''}{select} AS x\n"
    sql += f"FROM attendances a {join} housing h ON a.nhs_number = h.nhs_number\n"
    sql += f"GROUP BY {group}\n" if group else ""
    text = BASE.replace(SQL, sql).replace("max_rows_per_person = 4", f"max_rows_per_person = {rows}")
    text = text.replace("max_rows_per_person = 1\n", f"max_rows_per_person = {max(1, rows // 2)}\n")
    if required:
        text = text.replace("clamp = true }", "clamp = true, required = true }")
        text = text.replace('unit = "GBP" }', 'unit = "GBP", required = true }')
    return parse_toml(text)


def tables(seed: int, required: bool, one_row: bool) -> tuple[list[Row], list[Row]]:
    """A dozen rows over six persons; ids of NULL never match, dimensions and measures may be NULL."""
    draw = random.Random(seed)

    def maybe(value: int) -> int | None:
        return value if required or draw.random() < 0.8 else None

    def ids() -> list[str]:
        return draw.sample("uvwxyz", 4) if one_row else draw.choices("uvwxyz", k=7)

    left = [
        {"nhs_number": p, "age_band": draw.choice(["16-24", "65+", None]), "minutes": maybe(draw.randrange(0, 40))}
        for p in ids()
    ]
    right = [
        {
            "nhs_number": p,
            "tenure": draw.choice(["owner", None]),
            "rent": maybe(draw.randrange(0, 90)),
            "arrears": draw.choice([None, -9, 0, 4]),
        }
        for p in ids()
    ]
    return left, right


def weight(factor: Factor, row: Row) -> int:
    if any(row[column] is None for column in factor.present):
        return 0
    return math.prod(int(row[column] or 0) for column in factor.values)


def moment(m: SideMoment, left: list[Row], right: list[Row], keys: tuple[str, ...]) -> dict[tuple[object, ...], int]:
    """The sum of every cell from the definition in spec/moments.py, with loops."""
    nulls: Row = {"nhs_number": None, "tenure": None, "rent": None, "arrears": None}
    joined = [(x, y) for x in left for y in right if x["nhs_number"] == y["nhs_number"]]
    if m.outer:
        matched = {y["nhs_number"] for y in right}
        joined += [(x, nulls) for x in left if x["nhs_number"] not in matched]
    out: dict[tuple[object, ...], int] = {}
    people: set[tuple[object, ...]] = set()
    for x, y in joined:
        cell = tuple({**x, **{k: v for k, v in y.items() if k != "nhs_number"}}[key] for key in keys)
        if m.factors[0].people:
            if (*cell, x["nhs_number"]) not in people:
                people.add((*cell, x["nhs_number"]))
                out[cell] = out.get(cell, 0) + 1
        else:
            right_weight = 1 if y is nulls else weight(m.factors[1], y)
            out[cell] = out.get(cell, 0) + weight(m.factors[0], x) * right_weight
    return out


def derive(statistic: str, parts: list[int]) -> float | None:
    """SQL's statistic from its moments, in the order that ``statistics`` gives them."""
    name = statistic.split("_")[0]
    if name in ("count", "sum") or statistic.startswith("count"):
        return parts[0]
    n = parts[-1]
    if n == 0:
        return None
    if name == "avg":
        return parts[0] / n
    free = n - 1 if statistic.endswith("samp") else n
    if name in ("var", "stddev"):
        if free == 0:
            return None
        value = (parts[0] - parts[1] ** 2 / n) / free
        return math.sqrt(max(value, 0.0)) if name == "stddev" else value
    yx, y, x = parts[:3]
    across = yx - y * x / n
    if name == "covar":
        return across / free if free else None
    if name == "corr":
        yy, xx = parts[3] - y * y / n, parts[4] - x * x / n
        return across / math.sqrt(yy * xx) if yy > 1e-9 and xx > 1e-9 else None
    xx = parts[3] - x * x / n
    slope = across / xx if xx > 1e-9 else None
    if statistic == "regr_slope" or slope is None:
        return slope
    return y / n - slope * x / n


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as db:
        yield db


def oracle(
    db: duckdb.DuckDBPyConnection, spec: Spec, left: list[Row], right: list[Row]
) -> dict[tuple[object, ...], float | None]:
    for table, types, rows in (
        ("attendances", "age_band VARCHAR, minutes BIGINT", left),
        ("housing", "tenure VARCHAR, rent BIGINT, arrears BIGINT", right),
    ):
        db.execute(f"CREATE OR REPLACE TABLE {table} (nhs_number VARCHAR, {types})")
        places = ", ".join(f"({', '.join('?' * len(row))})" for row in rows)
        db.execute(f"INSERT INTO {table} VALUES {places}", [value for row in rows for value in row.values()])
    return {row[:-1]: row[-1] for row in db.execute(spec.computation.sql).fetchall()}


@pytest.mark.parametrize("select", SELECTS)
@pytest.mark.parametrize("join", ("JOIN", "LEFT JOIN"))
def test_moments_give_what_sql_gives(select: str, join: str, database: duckdb.DuckDBPyConnection) -> None:
    groups = ("", "a.age_band", "h.tenure, a.age_band")
    for seed, (group, required, one_row) in enumerate(itertools.product(groups, (False, True), (False, True))):
        spec = spec_of(select, join, group, required, rows=1 if one_row else 8)
        query = bind(spec)
        ((output, names),) = statistics(query, spec)
        assert isinstance(output.what, Aggregate)
        by_name = {m.name: m for m in moments(query, spec)}
        left, right = tables(seed, required, one_row)
        keys = tuple(ref.column for ref in query.group_by)
        sums = [moment(by_name[name], left, right, keys) for name in names]
        for cell, expected in oracle(database, spec, left, right).items():
            got = derive(output.what.statistic.value, [each.get(cell, 0) for each in sums])
            if expected is None or math.isnan(expected):
                assert got is None or (output.what.statistic.value == "sum" and got == 0), (group, cell)
            else:
                assert got == pytest.approx(expected, abs=1e-6), (group, cell)
        assert set(names) == set(by_name)


def names_of(select: str, **more: object) -> tuple[str, ...]:
    spec = spec_of(select, **more)  # type: ignore[arg-type]
    return tuple(m.name for m in moments(bind(spec), spec))


def test_names_are_readable_and_shared_moments_are_one() -> None:
    both = "AVG(a.minutes) AS m, SUM(a.minutes) AS s, COUNT(*) AS c, COUNT(a.minutes)"
    assert names_of(both) == ("sum(attendances.minutes)", "count(attendances.minutes)", "count(*)")
    assert names_of(both, required=True) == ("sum(attendances.minutes)", "count(*)")
    assert names_of("CORR(h.rent, a.minutes)") == (
        "sum(attendances.minutes*housing.rent)",
        "sum(housing.rent) where attendances.minutes present",
        "sum(attendances.minutes) where housing.rent present",
        "sum(housing.rent*housing.rent) where attendances.minutes present",
        "sum(attendances.minutes*attendances.minutes) where housing.rent present",
        "count(*) where attendances.minutes, housing.rent present",
    )
    assert names_of("AVG(h.rent)", join="LEFT JOIN", required=True) == ("sum(housing.rent)", "count(*) where matched")


def test_one_row_a_person_makes_persons_rows() -> None:
    assert names_of("COUNT(*) AS n, COUNT(DISTINCT a.nhs_number)") == ("count(*)", "people")
    assert names_of("COUNT(*) AS n, COUNT(DISTINCT a.nhs_number)", rows=1) == ("count(*)",)


def test_bounds_are_in_units_of_the_last_place() -> None:
    spec = spec_of("VAR_SAMP(h.rent)")
    square, plain, count = moments(bind(spec), spec)
    assert (square.factors[1].bound, plain.factors[1].bound, count.factors[1].bound) == (500_000**2, 500_000, 1)


def role_names(spec: Spec) -> tuple[str, str, str, str]:
    found = roles(spec, bind(spec))
    return found.a, found.b, found.helper, found.result


def test_role_a_is_preserved_or_larger_or_first() -> None:
    board_first = ("board", "council", "helper", "statistics")
    assert role_names(spec_of("COUNT(*)")) == board_first
    assert role_names(spec_of("COUNT(*)", group="a.age_band")) == board_first
    assert role_names(spec_of("COUNT(*)", group="h.tenure, a.age_band")) == board_first
    swapped = ("council", "board", "helper", "statistics")
    assert role_names(spec_of("COUNT(*)", group="h.tenure")) == swapped
    assert role_names(spec_of("COUNT(*)", "LEFT JOIN", group="h.tenure")) == board_first


def test_domains_have_missing_last() -> None:
    spec = spec_of("COUNT(*)", group="h.tenure")
    query = bind(spec)
    (tenure,) = dimensions(query, spec, RIGHT)
    assert tenure.levels == ("owner", "private rent", "social rent", "temporary", "(missing)")
    assert cells((tenure,)) == 5 and cells(dimensions(query, spec, LEFT)) == 1


def test_without_exactly_one_helper_there_are_no_roles() -> None:
    spec = spec_of("COUNT(*)")
    query: Query = bind(spec)
    assert helpers(spec, query) == ("helper",)
    alone = spec.model_copy(update={"parties": tuple(p for p in spec.parties if p.name != "helper")})
    with pytest.raises(SpecError, match=r"spec\.helper.*found none"):
        roles(alone, query)
