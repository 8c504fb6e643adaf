"""LOGISTIC_REGRESSION over one table: counts by value, what is refused, and what of it costs how much privacy."""

from itertools import combinations_with_replacement
from math import prod

import duckdb
import numpy as np
import pytest

from pets.approve.columns import Use, uses_of
from pets.check.noised import pooled_columns
from pets.errors import SpecError
from pets.plan import pooling
from pets.spec import moments as taken_apart
from pets.spec.banded import Values, by_value, levels_of
from pets.spec.ir import GaussianColumn, NoisedColumn
from pets.spec.query import ColumnRef
from pets.spec.sql import bind, bind_pooled
from tests.pooled import CONTROL, pooled

COLUMNS = """nhs_number = { role = "person id", scheme = "nhs-number" }
ward = { role = "dimension", type = "category", levels = ["medical", "surgical"], sensitivity = "personal" }
died = { role = "measure", type = "integer", min = 0, max = 1, sensitivity = "personal", required = true }
state = { role = "measure", type = "integer", min = 1, max = 2, sensitivity = "personal", required = true }
care = { role = "measure", type = "integer", min = -1, max = 2, sensitivity = "personal" }
flag = { role = "measure", type = "integer", min = 0, max = 1, sensitivity = "personal" }
one = { role = "measure", type = "integer", min = 3, max = 3, sensitivity = "personal" }
wide = { role = "measure", type = "integer", min = 0, max = 256, sensitivity = "personal" }
day = { role = "measure", type = "integer", min = 0, max = 255, sensitivity = "personal" }
hour = { role = "measure", type = "integer", min = 0, max = 128, sensitivity = "personal" }
half = { role = "measure", type = "integer", min = 0, max = 127, sensitivity = "personal" }
cost = { role = "measure", type = "decimal", min = "0", max = "2", places = 1, sensitivity = "personal" }
secret = { role = "filter only", type = "integer", sensitivity = "personal" }
"""
MODEL = "SELECT LOGISTIC_REGRESSION(died, flag, care) AS fit FROM visits"
GAUSSIAN = """[release.differential_privacy]
mechanism = "discrete gaussian"
rho = "0.5"
neighbours = "one person's rows added or removed"
"""


def test_a_model_is_one_sum_of_every_combination_of_values() -> None:
    spec = pooled(sql=MODEL, columns=COLUMNS)
    query = bind_pooled(spec)
    y, *xs = query.group_by
    assert all(isinstance(ref, Values) for ref in query.group_by)
    assert [levels_of(spec, ref) for ref in (y, *xs)] == [("0", "1"), ("-1", "0", "1", "2"), ("0", "1")]
    assert [str(ref) for ref in (y, *xs)] == [
        "visits.died by value, 0 to 1",
        "visits.care by value, -1 to 2",
        "visits.flag by value, 0 to 1",
    ]
    (moment,) = taken_apart.moments(query, spec)
    assert moment.name == "count(*) where visits.care, visits.flag present"
    assert moment.factors[0].present == ("care", "flag"), "rows without a value are counted nowhere"
    plan = pooling.lower(spec, query)
    assert plan.pool is not None and len(plan.pool.moments) == 1
    assert prod(len(each.levels) for each in plan.reads[0].dimensions) == 16


REFUSED = {
    "SELECT LOGISTIC_REGRESSION(died, flag) AS fit, COUNT(*) AS n FROM visits": "of its own",
    "SELECT LOGISTIC_REGRESSION(died, flag) AS a, LOGISTIC_REGRESSION(died, care) AS b FROM visits": "of its own",
    "SELECT ward, LOGISTIC_REGRESSION(died, flag) AS fit FROM visits GROUP BY ward": "take GROUP BY out",
    "SELECT LOGISTIC_REGRESSION(died, flag, 12) AS fit FROM visits": "leave the number of steps out",
    "SELECT LOGISTIC_REGRESSION(state, flag) AS fit FROM visits": "min = 0 and max = 1",
    "SELECT LOGISTIC_REGRESSION(died, one) AS fit FROM visits": "one value",
    "SELECT LOGISTIC_REGRESSION(died, wide) AS fit FROM visits": "in few bands",
    "SELECT LOGISTIC_REGRESSION(died, cost) AS fit FROM visits": "in few bands",
    "SELECT LOGISTIC_REGRESSION(died, day, hour) AS fit FROM visits": "take fewer regressors",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_counts_are_not_made_of_is_refused(sql: str) -> None:
    with pytest.raises(SpecError) as caught:
        bind(pooled(sql=sql, columns=COLUMNS))
    assert caught.value.code == "sql.argument"
    assert REFUSED[sql] in f"{caught.value.text} {caught.value.hint}"


def test_a_holder_finds_the_place_of_each_value_and_of_what_is_beyond_the_range_that_of_its_end() -> None:
    text, values = by_value(ColumnRef("visits", "care"), -1, 2).emit()
    rows = "(VALUES (-9), (-1), (0), (1), (2), (9)) t(care)"
    assert duckdb.execute(f"SELECT {text} FROM {rows}", list(values)).fetchall() == [(p,) for p in (0, 0, 1, 2, 3, 3)]


def test_as_many_values_as_there_may_be_are_counted() -> None:
    spec = pooled(sql="SELECT LOGISTIC_REGRESSION(died, day, half) AS fit FROM visits", columns=COLUMNS)
    assert prod(len(ref.levels) for ref in bind_pooled(spec).group_by if isinstance(ref, Values)) == 2**16


def test_exact_counts_are_refused_with_the_reason() -> None:
    with pytest.raises(SpecError) as caught:
        bind(pooled(sql=MODEL, columns=COLUMNS, protection=CONTROL))
    assert "disclosure control would withhold" in caught.value.text


def test_a_column_that_is_no_measure_is_left_to_the_rule_on_it() -> None:
    spec = pooled(sql="SELECT LOGISTIC_REGRESSION(died, secret) AS fit FROM visits", columns=COLUMNS)
    assert bind_pooled(spec).group_by == ()


def test_holders_grant_a_model_by_name_and_the_groups_that_it_counts() -> None:
    spec = pooled(sql=MODEL, columns=COLUMNS)
    found = uses_of(bind_pooled(spec), spec)
    for name in ("died", "flag", "care"):
        assert set(found[ColumnRef("visits", name)]) == {Use.LOGISTIC, Use.GROUP}


@pytest.mark.parametrize("protection", [None, GAUSSIAN], ids=["laplace", "gaussian"])
@pytest.mark.parametrize(("per_person", "holders"), [(1, 3), (2, 2)])
def test_sensitivity_is_the_most_that_any_rows_of_one_person_move(
    protection: str | None, per_person: int, holders: int
) -> None:
    """Every way in which rows at every holder can be in cells, or not count: the norms of what they add, by hand."""
    more = {} if protection is None else {"protection": protection}
    spec = pooled(holders, sql=MODEL, columns=COLUMNS, per_person=per_person, **more)
    (column,) = pooled_columns(spec, bind_pooled(spec))
    cells, rows = 16, per_person * holders
    moved = np.array(
        [
            [where.count(cell) for cell in range(cells)]
            for where in combinations_with_replacement(range(cells + 1), rows)
        ]
    )
    if isinstance(column, GaussianColumn):
        assert column.squared == (moved**2).sum(axis=1).max()
    else:
        assert isinstance(column, NoisedColumn)
        assert column.sensitivity == np.abs(moved).sum(axis=1).max()
