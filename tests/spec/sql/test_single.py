"""Queries over one table of many holders: what binds, and what is refused with what to write instead."""

import pytest

from pets.errors import SpecError
from pets.spec import moments as taken_apart
from pets.spec.parse import parse_toml
from pets.spec.pooled import Pooled
from pets.spec.query import Compare
from pets.spec.sql import bind, bind_join
from tests.oracles.many import many
from tests.pooled import pooled, pooled_toml

EVERYTHING = """SELECT v.ward, CASE WHEN age < 18 THEN 'child' ELSE 'adult' END AS grown, COUNT(*) AS n,
  COUNT(age) AS aged, SUM(minutes) AS total, AVG(v.cost) AS cost, VAR_POP(age) AS var, STDDEV(age) AS dev,
  CORR(cost, age) AS corr, COVAR_SAMP(cost, age) AS covar, REGR_SLOPE(cost, age) AS slope,
  LINEAR_REGRESSION(cost, age, minutes) AS fit,
  SUM(CASE WHEN age >= 65 THEN minutes END) AS old
FROM visits v
WHERE arrival >= DATE '2026-01-01' AND (minutes > 5 OR died = 1)
GROUP BY v.ward, grown
HAVING COUNT(*) > 20"""


def test_a_query_over_one_table_binds_with_all_that_is_a_sum() -> None:
    spec = pooled(sql=EVERYTHING)
    query = bind(spec)
    assert isinstance(query, Pooled)
    assert query.tables == ("visits",) and len(query.group_by) == 2
    assert query.where("visits") is query.condition and query.where("other") is None
    assert query.having == Compare("n", ">", 20)
    assert all(len(moment.factors) == 1 for moment in taken_apart.moments(query, spec))


def test_moments_are_those_of_the_table_alone() -> None:
    spec = pooled(sql="SELECT AVG(age) AS a, VAR_POP(age) AS v, SUM(minutes) AS s, COUNT(*) AS n FROM visits")
    names = [moment.name for moment in taken_apart.moments(bind(spec), spec)]
    assert names == [
        "sum(visits.age)",
        "count(visits.age)",
        "sum(visits.age*visits.age)",
        "sum(visits.minutes)",
        "count(*)",
    ]


REFUSED = {
    "SELECT COUNT(DISTINCT nhs_number) AS n FROM visits": ("sql.argument", "COUNT(*)"),
    "SELECT COUNT(DISTINCT CASE WHEN age > 3 THEN nhs_number END) AS n FROM visits": ("sql.argument", "COUNT(*)"),
    "SELECT MEDIAN(age) AS m FROM visits": ("sql.argument", "by bands"),
    "SELECT MIN(age) AS m FROM visits": ("sql.argument", "by bands"),
    "SELECT QUANTILE_DISC(age, 0.9) AS m FROM visits": ("sql.argument", "by bands"),
    "SELECT COUNT(*) AS n FROM stays": ("sql.table", "visits"),
    "SELECT COUNT(*) AS n": ("sql.tables", "FROM"),
    "SELECT COUNT(*) AS n FROM visits a JOIN visits b ON a.nhs_number = b.nhs_number": ("sql.tables", "two datasets"),
    "SELECT nhs_number, COUNT(*) AS n FROM visits": ("sql.group", "GROUP BY"),
    "SELECT COUNT(*) AS n FROM visits WHERE height > 3": ("sql.column", "columns are"),
    "SELECT COUNT(*) AS n FROM visits WHERE minutes > age": ("sql.unsupported", "compare a column with a value"),
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_no_sum_of_one_table_is_refused(sql: str) -> None:
    with pytest.raises(SpecError) as caught:
        bind(pooled(sql=sql))
    code, advice = REFUSED[sql]
    assert caught.value.code == code
    assert advice in f"{caught.value.text} {caught.value.hint}"


def test_a_table_of_one_party_is_its_own_business() -> None:
    holders = pooled_toml(2).split("[dataset.holders]\n")[1].split("[dataset.columns]")[0]
    text = pooled_toml(2, edits=[("[dataset.holders]\n" + holders, "")])
    text = text.replace('name = "visits"\n', 'name = "visits"\nparty = "board-1"\nmax_rows = 10\n', 1)
    with pytest.raises(SpecError) as caught:
        bind(parse_toml(text))
    assert caught.value.code == "sql.tables"
    assert "holders = { board-1 = 10, ... }" in caught.value.hint


def test_beside_another_dataset_one_table_is_no_query() -> None:
    with pytest.raises(SpecError) as caught:
        bind(many(2, 2, sql="SELECT COUNT(*) AS n FROM attendances"))
    assert caught.value.code == "sql.tables"
    assert "in a specification of that dataset alone" in caught.value.hint


def test_terms_of_uploads_belong_to_one_table() -> None:
    with pytest.raises(SpecError) as caught:
        many(2, 2, edits=[("[computation]\n", "[computation]\nmin_contributors = 2\n")])
    assert "belong to one table" in caught.value.text


def test_linkage_may_be_left_out_of_one_table_alone() -> None:
    assert pooled().linkage is None and pooled().linking.on == "nhs_number"
    with_it = pooled(
        edits=[
            (
                "[computation]",
                '[linkage]\non = "nhs_number"\nnormalise = ["strip-spaces"]\nversion = "1"\n\n[computation]',
            )
        ]
    )
    assert with_it.linking.normalise == ("strip-spaces",)
    with pytest.raises(SpecError) as caught:
        many(1, 1, edits=[("[linkage]\n", "[legal.linked]\n")])
    assert caught.value.code.startswith("spec.")


def test_a_join_is_bound_as_before() -> None:
    assert bind_join(many(1, 1)).tables == ("attendances", "housing")
