"""The TPC-H benchmark asks what TPC-H asks, of views that each need one holder's tables; no server is started here."""

import datetime as dt
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from benchmarks import join, tpch
from pets.plan.review import review
from pets.spec.parse import parse_toml

OF_HOLDER = {"Q13": {"a": ["customer"], "b": ["orders"]}, "Q3": {"a": ["orders", "lineitem"], "b": ["customer"]}}


def made_up(tables: tuple[str, ...] = tpch.TABLES) -> duckdb.DuckDBPyConnection:
    """200 customers, of whom a third has no order; some orders are special, some shipped."""
    rng = np.random.default_rng(11)
    customers, orders, lines = 200, 1_500, 4_000
    day = np.datetime64(tpch.DAY)
    ordered = day + rng.integers(-150, 50, orders)
    of = rng.integers(1, orders + 1, lines)
    found = {
        "customer": pd.DataFrame(
            {
                "c_custkey": range(1, customers + 1),
                "c_mktsegment": rng.choice([tpch.SEGMENT, "MACHINERY"], customers),
            }
        ),
        "orders": pd.DataFrame(
            {
                "o_orderkey": range(1, orders + 1),
                "o_custkey": rng.integers(1, 2 * customers // 3, orders),
                "o_orderdate": ordered.astype("datetime64[s]"),
                "o_comment": rng.choice(["quick", "special pending requests", "requests special"], orders),
            }
        ),
        "lineitem": pd.DataFrame(
            {
                "l_orderkey": of,
                "l_shipdate": (ordered[of - 1] + rng.integers(1, 122, lines)).astype("datetime64[s]"),
                "l_extendedprice": rng.integers(100, 10_000_000, lines) / 100,
                "l_discount": rng.integers(0, 11, lines) / 100,
            }
        ),
    }
    connection = duckdb.connect(":memory:")
    for name in tables:
        connection.register(f"{name}_", found[name])
        exact = (
            ""
            if name != "lineitem"
            else " REPLACE (l_extendedprice::DECIMAL(15,2) AS l_extendedprice, "
            + ("l_discount::DECIMAL(15,2) AS l_discount)")
        )
        connection.execute(f"CREATE TABLE {name} AS SELECT *{exact} FROM {name}_")
    return connection


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in connection.execute(sql).fetchall()}


@pytest.mark.parametrize("query", tpch.QUERIES, ids=lambda query: query.name)
def test_views_of_each_holder_and_the_joint_query_give_what_the_whole_query_gives(query: tpch.Query) -> None:
    everything, joint = made_up(), duckdb.connect(":memory:")
    for name, view in query.views.items():
        own = made_up(tuple(OF_HOLDER[query.name][name]))  # a view that looked at another holder's table would fail
        joint.register(f"{name}_", own.execute(view).fetch_arrow_table())
        joint.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_")
    expected = rows(everything, query.clear)
    found = {key if key is not None else "(missing)": row for key, row in rows(joint, query.sql).items()}
    assert found == expected
    assert len(expected) > 5


@pytest.mark.parametrize("query", tpch.QUERIES, ids=lambda query: query.name)
@pytest.mark.parametrize("mode", ["a", "b"])
def test_its_specifications_are_accepted(query: tpch.Query, mode: str) -> None:
    protocol = f"helper_join_{mode}"
    text = join.written(
        query.name, query.datasets(15_000, 150_000), 'on = "custkey"', query.sql, tpch.CONTROL, protocol=protocol
    )
    reviewed = review(parse_toml(text)).require()
    assert reviewed.plan.join.card == f"helper_join_{mode}"


class Table:
    """What a run gives, as far as the check looks at it."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def to_pandas(self) -> pd.DataFrame:
        return self.frame


def test_a_wrong_number_one_too_many_and_a_missing_group_are_found() -> None:
    (query,) = (query for query in tpch.QUERIES if query.name == "Q13")
    right = pd.DataFrame({"placed": ["1", "2", "(missing)"], "customers": pd.array([12, None, 40], dtype="Int64")})
    clear = [("1", 12), ("2", 9), ("(missing)", 40)]
    assert tpch.check(query, Table(right), clear) == 2  # type: ignore[arg-type]
    for at, value in ((0, 13), (1, 9), (2, None)):
        wrong = right.copy()
        wrong.loc[at, "customers"] = value
        with pytest.raises(SystemExit, match="Q13"):
            tpch.check(query, Table(wrong), clear)  # type: ignore[arg-type]
    with pytest.raises(SystemExit, match="lacks"):
        tpch.check(query, Table(right), [*clear, ("3", 11)])  # type: ignore[arg-type]


def test_weeks_of_unshipped_orders_fit_the_levels() -> None:
    first = tpch.DAY - dt.timedelta(121)
    assert (tpch.DAY - first).days // 7 < tpch.WEEKS
