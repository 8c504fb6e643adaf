"""Queries of the language are bound as SQL means them; all others are refused by name and place."""

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pets.errors import SpecError
from pets.spec.model import Spec
from pets.spec.query import Aggregate, All, AnyOf, ColumnRef, Compare, In, IsNull, Not, Query, Statistic
from pets.spec.sql import bind, emit_where

from .conftest import Ask

JOIN = " FROM stays s JOIN homes h ON s.id = h.id "
LEFT = " FROM stays s LEFT JOIN homes h ON s.id = h.id "

STATISTICS = [
    ("COUNT(*)", Statistic.COUNT_ROWS, ""),
    ("count(nights)", Statistic.COUNT_VALUES, "stays.nights"),
    ("COUNT(DISTINCT s.id)", Statistic.COUNT_PEOPLE, "stays.id"),
    ("COUNT(DISTINCT h.id)", Statistic.COUNT_PEOPLE, "homes.id"),
    ("SUM(s.cost)", Statistic.SUM, "stays.cost"),
    ("AVG(rent)", Statistic.AVG, "homes.rent"),
    ("MEAN((rent))", Statistic.AVG, "homes.rent"),
    ("VAR(rent)", Statistic.VAR_SAMP, "homes.rent"),
    ("VARIANCE(rent)", Statistic.VAR_SAMP, "homes.rent"),
    ("VAR_SAMP(rent)", Statistic.VAR_SAMP, "homes.rent"),
    ("VAR_POP(rent)", Statistic.VAR_POP, "homes.rent"),
    ("STDDEV(nights)", Statistic.STDDEV_SAMP, "stays.nights"),
    ("STDDEV_SAMP(nights)", Statistic.STDDEV_SAMP, "stays.nights"),
    ("STDDEV_POP(nights)", Statistic.STDDEV_POP, "stays.nights"),
    ("CORR(nights, rent)", Statistic.CORR, "stays.nights homes.rent"),
    ("COVAR(rent, nights)", Statistic.COVAR_SAMP, "homes.rent stays.nights"),
    ("COVAR_SAMP(rent, cost)", Statistic.COVAR_SAMP, "homes.rent stays.cost"),
    ("COVAR_POP(rent, nights)", Statistic.COVAR_POP, "homes.rent stays.nights"),
    ("REGR_SLOPE(nights, rent)", Statistic.REGR_SLOPE, "stays.nights homes.rent"),
    ("REGR_INTERCEPT(nights, rent)", Statistic.REGR_INTERCEPT, "stays.nights homes.rent"),
]


@pytest.mark.parametrize(("text", "statistic", "columns"), STATISTICS)
def test_statistics(ask: Ask, text: str, statistic: Statistic, columns: str) -> None:
    (output,) = bind(ask(f"SELECT {text} AS x" + JOIN)).outputs
    refs = tuple(ColumnRef(*column.split(".")) for column in columns.split())
    assert (output.name, output.what) == ("x", Aggregate(statistic, refs))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ward, COUNT(*) AS n FROM stays JOIN homes ON stays.id = homes.id GROUP BY ward",
        "select WARD, count(*) n from STAYS as s inner join Homes h on h.ID = S.id group by 1;",
        'SELECT s."Ward" AS ward, COUNT(*) AS n FROM stays s JOIN homes h USING (id) GROUP BY s.ward',
        "-- a comment\nSELECT (ward), COUNT(*) n FROM (stays) s JOIN homes h ON ((s.id = h.id)) GROUP BY (ward)"
        .replace("(stays)", "stays"),
    ],
)  # fmt: skip
def test_spellings_of_one_query(ask: Ask, sql: str) -> None:
    query = bind(ask(sql))
    assert query.group_by == (ColumnRef("stays", "ward"),)
    assert [output.name.lower() for output in query.outputs] == ["ward", "n"]
    assert (query.left, query.right, query.join, query.where_left) == ("stays", "homes", "inner", None)


def test_names_of_the_result(ask: Ask) -> None:
    sql = "SELECT ward, COUNT(*), COUNT(DISTINCT s.id), COUNT(rent), SUM(rent), VAR(cost), CORR(cost, rent)"
    names = [output.name for output in bind(ask(sql + JOIN + "GROUP BY ward")).outputs]
    assert names == ["ward", "count", "people", "count_rent", "sum_rent", "var_samp_cost", "corr_cost_rent"]


def test_groups_by_alias_place_and_name(ask: Ask) -> None:
    sql = "SELECT ward AS w, tenure, COUNT(*)" + JOIN + "GROUP BY "
    for grouping in ("w, tenure", "1, 2", "ward, h.tenure", "W, 2"):
        assert bind(ask(sql + grouping)).group_by == (ColumnRef("stays", "ward"), ColumnRef("homes", "tenure"))
    assert bind(ask(sql + "2, 1")).group_by[0] == ColumnRef("homes", "tenure")


def test_using_makes_one_key_of_two(ask: Ask) -> None:
    query = bind(ask("SELECT COUNT(DISTINCT id) FROM stays LEFT JOIN homes USING (id)"))
    assert query.outputs[0].what == Aggregate(Statistic.COUNT_PEOPLE, (ColumnRef("stays", "id"),))
    assert query.join == "left"


def test_literals_are_typed_and_conditions_go_to_their_table(ask: Ask) -> None:
    where = "WHERE day >= DATE '2026-01-31' AND (year IN (2019, 2020) AND cost < 12.50) AND '2026-12-31' > day"
    query = bind(ask("SELECT COUNT(*)" + JOIN + where))
    assert query.where_left == All(
        (
            Compare("day", ">=", dt.date(2026, 1, 31)),
            Compare("cost", "<", Fraction(25, 2)),
            Compare("day", "<", dt.date(2026, 12, 31)),
        )
    )
    assert query.where_right == In("year", (2019, 2020))


def test_conditions_of_on_go_to_their_table(ask: Ask) -> None:
    query = bind(ask("SELECT COUNT(*)" + JOIN + "AND tenure = 'rent' AND nights > 1 WHERE year = 2020"))
    assert query.where_left == Compare("nights", ">", 1)
    assert query.where_right == All((Compare("tenure", "=", "rent"), Compare("year", "=", 2020)))
    outer = bind(ask("SELECT COUNT(*)" + LEFT + "AND tenure = 'rent' WHERE nights > 1"))
    assert (outer.join, outer.notes) == ("left", ())
    assert outer.where_right == Compare("tenure", "=", "rent")


def test_negations(ask: Ask) -> None:
    query = bind(
        ask(
            "SELECT COUNT(*)"
            + JOIN
            + "WHERE NOT (nights NOT IN (1) OR note IS NOT NULL) AND nights NOT BETWEEN 1 AND 2"
        )
    )
    assert query.where_left == All(
        (
            Not(AnyOf((In("nights", (1,), negated=True), IsNull("note", negated=True)))),
            Not(All((Compare("nights", ">=", 1), Compare("nights", "<=", 2)))),
        )
    )


def test_a_left_join_that_loses_its_unmatched_rows_is_an_inner_join(ask: Ask) -> None:
    query = bind(ask("SELECT COUNT(*)" + LEFT + "WHERE tenure IS NULL AND year = 2020"))
    assert query.join == "inner"
    assert query.where_right == All((IsNull("tenure"), Compare("year", "=", 2020)))
    assert "LEFT JOIN is the same as JOIN" in query.notes[0]


REFUSED = [
    # what is asked for
    ("SELECT *" + JOIN, "sql.unsupported", "*", 8),
    ("SELECT s.*" + JOIN, "sql.unsupported", "*", 10),
    ("SELECT ward" + JOIN + "GROUP BY ward", "sql.group", "SELECT", 8),
    ("SELECT ward, COUNT(*)" + JOIN, "sql.group", "stays.ward", 8),
    ("SELECT COUNT(*)" + JOIN + "GROUP BY ward", "sql.group", "stays.ward", 67),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY ward, 1", "sql.group", "stays.ward", 79),
    ("SELECT ward, COUNT(*) n" + JOIN + "GROUP BY n", "sql.group", "n", 75),
    ("SELECT ward, COUNT(*) n" + JOIN + "GROUP BY 2", "sql.group", "2", 75),
    ("SELECT ward, COUNT(*) n" + JOIN + "GROUP BY 0", "sql.group", "0", 75),
    ("SELECT ward AS tenure, COUNT(*) n" + JOIN + "GROUP BY tenure", "sql.ambiguous", "tenure", 85),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY ALL", "sql.unsupported", "GROUP BY ALL", 64),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY ROLLUP(ward)", "sql.unsupported", "ROLLUP", 73),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY CUBE(ward)", "sql.unsupported", "CUBE", 73),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY GROUPING SETS (ward)", "sql.unsupported", "GROUPING SETS", 73),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY (ward, tenure)", "sql.unsupported", "a row in parentheses", 74),
    ("SELECT ward, COUNT(*)" + JOIN + "GROUP BY nights + 1", "sql.unsupported", "an expression", 73),
    ("SELECT DISTINCT ward, COUNT(*)" + JOIN + "GROUP BY ward", "sql.unsupported", "DISTINCT", 8),
    ("SELECT nights + 1, COUNT(*)" + JOIN, "sql.unsupported", "an expression", 8),
    ("SELECT 1, COUNT(*)" + JOIN, "sql.unsupported", "a value on its own", 8),
    ("SELECT COUNT(*), COUNT(*)" + JOIN, "sql.name", "count", 18),
    ("SELECT COUNT(*) AS n, SUM(rent) AS N" + JOIN, "sql.name", "N", 23),
    ('SELECT COUNT(*) AS "a b"' + JOIN, "sql.name", "a b", 20),
    ("SELECT COUNT(*) AS _n" + JOIN, "sql.name", "_n", 20),
    # statistics
    ("SELECT MODE(rent)" + JOIN, "sql.function", "MODE", 8),
    ("SELECT first(rent)" + JOIN, "sql.function", "first", 8),
    ("SELECT MAX(DISTINCT rent)" + JOIN, "sql.unsupported", "DISTINCT in MAX", 8),
    ("SELECT MEDIAN(tenure)" + JOIN, "sql.type", "homes.tenure", 15),
    ("SELECT QUANTILE_DISC(rent, 0)" + JOIN, "sql.argument", "QUANTILE_DISC", 8),
    ("SELECT QUANTILE_DISC(rent, 1.5)" + JOIN, "sql.argument", "QUANTILE_DISC", 8),
    ("SELECT QUANTILE_DISC(rent, rent)" + JOIN, "sql.argument", "QUANTILE_DISC", 8),
    ("SELECT QUANTILE_DISC(rent, 0.0001)" + JOIN, "sql.argument", "QUANTILE_DISC", 8),
    ("SELECT PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY rent)" + JOIN, "sql.function", "PERCENTILE_DISC", 8),
    ("SELECT QUANTILE_CONT(rent, 0.5)" + JOIN, "sql.function", "QUANTILE_CONT", 8),
    ("SELECT REGR_R2(rent, nights)" + JOIN, "sql.function", "REGR_R2", 8),
    ("SELECT STRING_AGG(note)" + JOIN, "sql.function", "STRING_AGG", 8),
    ("SELECT no_such(rent)" + JOIN, "sql.function", "no_such", 8),
    ("SELECT COALESCE(SUM(rent), 0)" + JOIN, "sql.function", "COALESCE", 8),
    ("SELECT SUM(rent) + 1" + JOIN, "sql.unsupported", "an expression", 8),
    ("SELECT SUM(rent + 1)" + JOIN, "sql.argument", "SUM", 8),
    ("SELECT SUM(rent * nights)" + JOIN, "sql.argument", "SUM", 8),
    ("SELECT SUM(*)" + JOIN, "sql.argument", "SUM", 8),
    ("SELECT SUM(1)" + JOIN, "sql.argument", "SUM", 8),
    ("SELECT SUM(SUM(rent))" + JOIN, "sql.argument", "SUM", 8),
    ("SELECT SUM(DISTINCT rent)" + JOIN, "sql.unsupported", "DISTINCT in SUM", 8),
    ("SELECT SUM(rent, cost)" + JOIN, "sql.syntax", ")", 22),
    ("SELECT VAR(rent, cost)" + JOIN, "sql.argument", "VAR", 8),
    ("SELECT COVAR(rent)" + JOIN, "sql.argument", "COVAR", 8),
    ("SELECT CORR(rent)" + JOIN, "sql.syntax", ")", 17),
    ("SELECT CORR(rent, rent)" + JOIN, "sql.argument", "CORR", 8),
    ("SELECT REGR_SLOPE(rent)" + JOIN, "sql.argument", "REGR_SLOPE", 8),
    ("SELECT SUM(tenure)" + JOIN, "sql.type", "homes.tenure", 12),
    ("SELECT SUM(day)" + JOIN, "sql.type", "stays.day", 12),
    ("SELECT AVG(s.id)" + JOIN, "sql.type", "stays.id", 12),
    ("SELECT COUNT(tenure)" + JOIN, "sql.type", "homes.tenure", 14),
    ("SELECT COUNT(1)" + JOIN, "sql.argument", "COUNT", 8),
    ("SELECT COUNT()" + JOIN, "sql.argument", "COUNT", 8),
    ("SELECT COUNT(rent, cost)" + JOIN, "sql.argument", "COUNT", 8),
    ("SELECT COUNT(DISTINCT tenure)" + JOIN, "sql.argument", "COUNT(DISTINCT ...)", 8),
    ("SELECT COUNT(DISTINCT s.id, h.id)" + JOIN, "sql.argument", "COUNT(DISTINCT ...)", 8),
    ("SELECT COUNT(*) FILTER (WHERE rent > 1)" + JOIN, "sql.unsupported", "FILTER", 8),
    ("SELECT COUNT(*) OVER ()" + JOIN, "sql.unsupported", "OVER", 8),
    ("SELECT SUM(rent ORDER BY rent)" + JOIN, "sql.unsupported", "ORDER BY", 17),
    # tables
    ("SELECT COUNT(*)", "sql.tables", "SELECT", 1),
    ("SELECT COUNT(*) FROM stays", "sql.tables", "FROM", 17),
    ("SELECT COUNT(*)" + JOIN + "JOIN stays t ON t.id = h.id", "sql.tables", "stays", 63),
    ("SELECT COUNT(*) FROM stays JOIN stays t USING (id)", "sql.tables", "stays", 33),
    ("SELECT COUNT(*) FROM stays h JOIN homes h USING (id)", "sql.tables", "h", 35),
    ("SELECT COUNT(*) FROM stayz JOIN homes USING (id)", "sql.table", "stayz", 22),
    ("SELECT COUNT(*) FROM main.stays JOIN homes USING (id)", "sql.unsupported", "a schema before a table", 22),
    ("SELECT COUNT(*) FROM read_csv('x') JOIN homes USING (id)", "sql.table", "a function", 22),
    ("SELECT COUNT(*) FROM 'secret.csv' JOIN homes USING (id)", "sql.table", "secret.csv", 22),
    ("SELECT COUNT(*) FROM stays s (a, b) JOIN homes USING (id)", "sql.unsupported", "COLUMNS", 31),
    ("SELECT COUNT(*) FROM stays TABLESAMPLE 10 JOIN homes USING (id)", "sql.unsupported", "TABLESAMPLE", 28),
    ("SELECT COUNT(*) FROM (stays JOIN homes USING (id))", "sql.tables", "FROM", 17),
    ("SELECT COUNT(*) FROM stays JOIN (SELECT 1) h ON s.id = h.id", "sql.unsupported", "a subquery", 34),
    # joins
    ("SELECT COUNT(*) FROM stays, homes", "sql.join", "homes", 29),
    ("SELECT COUNT(*) FROM stays JOIN homes", "sql.join", "homes", 33),
    ("SELECT COUNT(*) FROM stays RIGHT JOIN homes USING (id)", "sql.unsupported", "RIGHT JOIN", 28),
    ("SELECT COUNT(*) FROM stays FULL JOIN homes USING (id)", "sql.unsupported", "FULL JOIN", 28),
    ("SELECT COUNT(*) FROM stays CROSS JOIN homes", "sql.unsupported", "CROSS JOIN", 28),
    ("SELECT COUNT(*) FROM stays NATURAL JOIN homes", "sql.unsupported", "NATURAL JOIN", 28),
    ("SELECT COUNT(*) FROM stays ANTI JOIN homes USING (id)", "sql.unsupported", "ANTI JOIN", 28),
    ("SELECT COUNT(*) FROM stays ASOF JOIN homes USING (id)", "sql.unsupported", "ASOF JOIN", 28),
    ("SELECT COUNT(*) FROM stays JOIN homes USING (ward)", "sql.join", "USING", 46),
    ("SELECT COUNT(*) FROM stays JOIN homes USING (id, ward)", "sql.join", "USING", 46),
    ("SELECT COUNT(*) FROM stays s JOIN homes h ON s.nights = h.rent", "sql.join", "stays.nights", 46),
    ("SELECT COUNT(*) FROM stays s JOIN homes h ON s.id = s.id", "sql.join", "ON", 46),
    ("SELECT COUNT(*) FROM stays s JOIN homes h ON nights > 1", "sql.join", "ON", 46),
    ("SELECT COUNT(*) FROM stays s JOIN homes h ON s.id <> h.id", "sql.join", "ON", 46),
    ("SELECT COUNT(*)" + JOIN + "OR TRUE", "sql.join", "ON", 46),
    ("SELECT COUNT(*)" + JOIN + "AND h.id = s.id", "sql.join", "ON", 46),
    ("SELECT COUNT(*)" + LEFT + "AND nights > 1", "sql.outer-on", "s", 67),
    ("SELECT COUNT(*)" + LEFT + "WHERE tenure IS NULL", "sql.outer-where", "h", 69),
    ("SELECT COUNT(*)" + LEFT + "WHERE tenure = 'rent' OR tenure IS NULL", "sql.outer-where", "h", 69),
]


@pytest.mark.parametrize(("sql", "code", "construct", "column"), REFUSED)
def test_what_is_outside_the_language_is_named(ask: Ask, sql: str, code: str, construct: str, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        bind(ask(sql))
    error = caught.value
    assert (error.code, error.fields["construct"], error.fields["line"]) == (code, construct, 1)
    assert error.fields["column"] == column
    assert error.hint
    assert "<advice>" not in error.hint


CONDITIONS = [
    ("nights", "sql.type", "stays.nights"),
    ("TRUE", "sql.unsupported", "TRUE or FALSE"),
    ("1 = 1", "sql.unsupported", "a value on its own"),
    ("nights = cost", "sql.unsupported", "a comparison of two columns"),
    ("nights BETWEEN 1 AND cost", "sql.unsupported", "a comparison of two columns"),
    ("s.id = h.id", "sql.person-id", "stays.id"),
    ("nights = tenure", "sql.cross-type", "homes.tenure"),
    ("day > rent", "sql.cross-type", "stays.day"),
    ("nights IN (rent, 1)", "sql.cross-table", "stays.nights"),
    ("nights + rent > 1", "sql.unsupported", "an expression"),
    ("s.id = 'x'", "sql.person-id", "stays.id"),
    ("h.id IN ('x')", "sql.person-id", "homes.id"),
    ("s.id IS NOT NULL", "sql.person-id", "stays.id"),
    ("id = 'x'", "sql.ambiguous", "id"),
    ("nigths > 1", "sql.column", "nigths"),
    ("x.nights > 1", "sql.table", "x"),
    ("stays.nights > 1", "sql.table", "stays"),
    ("a.b.nights > 1", "sql.unsupported", "a schema before a table"),
    ('tenure = "owner"', "sql.column", "owner"),
    ('tenure = "rent"', "sql.unsupported", "a comparison of two columns"),
    ("rowid > 1", "sql.column", "rowid"),
    ("nights > '1'", "sql.literal", "'1'"),
    ("nights > 1.5", "sql.literal", "1.5"),
    ("cost > 1.005", "sql.literal", "1.005"),
    ("cost > 99999999999999999999", "sql.literal", "99999999999999999999"),
    ("day > 20260101", "sql.literal", "20260101"),
    ("day > '01/02/2026'", "sql.literal", "'01/02/2026'"),
    ("day > DATE '2026-02-30'", "sql.literal", "DATE '2026-02-30'"),
    ("tenure = 'Rent'", "sql.level", "'Rent'"),
    ("tenure IN ('rent', 'x')", "sql.level", "'x'"),
    ("tenure > 'owner'", "sql.type", "> on homes.tenure"),
    ("note BETWEEN 'a' AND 'b'", "sql.type", "BETWEEN on stays.note"),
    ("note LIKE 'a%'", "sql.unsupported", "LIKE"),
    ("note = 'a' 'b'", "sql.unsupported", "text after text"),
    ("nights = NULL", "sql.unsupported", "NULL"),
    ("nights IN (1, NULL)", "sql.unsupported", "NULL"),
    ("nights IN ()", "sql.literal", "IN ()"),
    ("nights IN (SELECT 1)", "sql.unsupported", "a subquery"),
    ("(nights, rent) IN ((1, 2))", "sql.cross-table", "stays.nights"),
    ("nights IS TRUE", "sql.unsupported", "IS"),
    ("nights IS NOT DISTINCT FROM 1", "sql.unsupported", "IS NOT DISTINCT FROM"),
    ("nights BETWEEN SYMMETRIC 2 AND 1", "sql.unsupported", "SYMMETRIC"),
    ("nights + 1 > 2", "sql.unsupported", "an expression"),
    ("2 < nights + 1", "sql.unsupported", "an expression"),
    ("nights > 1 + 1", "sql.unsupported", "an expression"),
    ("- nights > 1", "sql.unsupported", "an expression"),
    ("nights > - - 1", "sql.unsupported", "an expression"),
    ("abs(nights) > 1", "sql.unsupported", "abs"),
    ("day > current_date", "sql.unsupported", "CURRENT_DATE"),
    ("day > CAST('2026-01-01' AS TIMESTAMP)", "sql.unsupported", "CAST"),
    ("day > TRY_CAST('2026-01-01' AS DATE)", "sql.unsupported", "TRY_CAST"),
    ("EXISTS (SELECT 1)", "sql.unsupported", "a subquery"),
    ("nights = ANY (1)", "sql.unsupported", "an expression"),
    ("(nights = 1) IS NULL", "sql.unsupported", "an expression"),
    ("nights = 1 = 1", "sql.unsupported", "an expression"),
    ("CASE WHEN nights > 1 THEN 1 END = 1", "sql.unsupported", "CASE"),
    ("nights >", "sql.syntax", ">"),
    ("nights > 1 nights", "sql.syntax", "nights"),
    ("(nights > 1", "sql.syntax", "1"),
]


@pytest.mark.parametrize(("condition", "code", "construct"), CONDITIONS)
def test_conditions_outside_the_language_are_named(ask: Ask, condition: str, code: str, construct: str) -> None:
    with pytest.raises(SpecError) as caught:
        bind(ask("SELECT COUNT(*)\n" + JOIN + "\nWHERE " + condition))
    assert (caught.value.code, caught.value.fields["construct"]) == (code, construct)
    assert caught.value.fields["line"] == 3


def test_messages_read_like_help(ask: Ask) -> None:
    """A few whole messages, as a statistician sees them."""
    said = {}
    for sql in (
        "SELECT tenur, COUNT(*)" + JOIN,
        "SELECT COUNT(*)" + JOIN + "WHERE tenure = 'ownr'",
        "SELECT MODE(rent)" + JOIN,
        "SELECT COUNT(DISTINCT id)" + JOIN,
    ):
        with pytest.raises(SpecError) as caught:
            bind(ask(sql))
        said[caught.value.text] = caught.value.hint
    assert said == {
        "sql.column: line 1, column 8: tenur is not a column that the specification declares": "did you mean tenure?",
        "sql.level: line 1, column 73: 'ownr' is not a declared level of homes.tenure": "did you mean 'owner'?",
        "sql.function: line 1, column 8: MODE is not a statistic of the language": (
            "take AVG in its place, or MEDIAN or QUANTILE_DISC(x, 0.25) where the holders grant them"
        ),
        "sql.ambiguous: line 1, column 23: id can mean stays.id or homes.id": (
            "say which: write the table's name and a dot before it"
        ),
    }


def test_linkage_names_what_the_query_joins_on(spec: Spec, ask: Ask) -> None:
    asked = ask("SELECT COUNT(*)" + JOIN)
    for on, fits in (("id", True), ({"stays": "id", "homes": "id"}, True), ("ward", False), ({"stays": "id"}, False)):
        linked = asked.model_copy(update={"linkage": spec.linkage.model_copy(update={"on": on})})
        if fits:
            assert bind(linked).left == "stays"
        else:
            with pytest.raises(SpecError, match=r"spec\.field: linkage\.on: does not name id"):
                bind(linked)


HOSTILE = [
    "'; DROP TABLE stays; --",
    "' OR 1=1 --",
    "'' UNION SELECT * FROM information_schema.tables",
    "x'); COPY stays TO 'out.csv'; --",
    "\\'; SELECT 1 --",
    '" OR "1"="1',
    "$$; ATTACH 'x'; $$",
    "%27%20OR%201=1",
    "é 漢字 🙂",
    "?",
]


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_stays_a_value(ask: Ask, payload: str) -> None:
    quoted = "'" + payload.replace("'", "''") + "'"
    query = bind(ask("SELECT COUNT(*)" + JOIN + f"WHERE note = {quoted} OR note IN ({quoted}, 'b')"))
    text, values = emit_where(query.where_left)
    assert text == '("note" = ? OR "note" IN (?, ?))'
    assert values == (payload, payload, "b")
    connection = duckdb.connect()
    connection.execute("CREATE TABLE stays (note VARCHAR)")
    connection.execute("INSERT INTO stays VALUES (?), ('other'), (NULL)", [payload])
    assert connection.execute(f"SELECT count(*) FROM stays WHERE {text}", list(values)).fetchone() == (1,)


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_as_sql_is_refused(ask: Ask, payload: str) -> None:
    for sql in (payload, "SELECT COUNT(*)" + JOIN + "WHERE note = " + payload, f"SELECT COUNT(*){JOIN} {payload}"):
        with pytest.raises(SpecError, match=r"^sql\."):
            bind(ask(sql))


def test_long_chains_are_bound_without_recursion(ask: Ask) -> None:
    chain = " OR ".join(f"nights = {n}" for n in range(900))
    predicate = bind(ask("SELECT COUNT(*)" + JOIN + "WHERE " + chain)).where_left
    assert isinstance(predicate, AnyOf)
    assert len(predicate.parts) == 900
    text, values = emit_where(predicate)
    rows = duckdb.execute(f"SELECT count(*) FROM (SELECT unnest(range(1000)) AS nights) WHERE {text}", list(values))
    assert rows.fetchone() == (900,)


@pytest.mark.parametrize(
    "condition",
    ["NOT " * 3_000 + "nights = 1", "(" * 5_000 + "nights = 1" + ")" * 5_000, "nights " + "IS NULL " * 1_000],
)
def test_depth_is_refused_with_a_type(ask: Ask, condition: str) -> None:
    with pytest.raises(SpecError, match=r"^sql\."):
        bind(ask("SELECT COUNT(*)" + JOIN + "WHERE " + condition))


WORDS = [
    "SELECT", "FROM", "JOIN", "LEFT", "INNER", "OUTER", "ON", "USING", "WHERE", "GROUP", "BY", "AND", "OR", "NOT",
    "IN", "IS", "NULL", "BETWEEN", "DISTINCT", "AS", "DATE", "COUNT", "SUM", "CORR", "VAR", "MAX", "stays", "homes",
    "s", "h", "id", "ward", "tenure", "nights", "rent", "cost", "day", "note", "(", ")", "(", ")", ",", ",", ".",
    "=", "<>", "<", ">=", "*", "-", "1", "2.5", "'owner'", "'north'", "'2026-01-01'", '"ward"', ";", "HAVING",
    "OVER", "CASE", "TRUE", "CAST", "FILTER", "INTERVAL", "ALL", "ANY", "LATERAL", "VALUES",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=25), st.booleans())
def test_any_sequence_of_words_is_a_query_or_a_typed_refusal(ask: Ask, words: list[str], whole: bool) -> None:
    start = "SELECT COUNT(*) FROM stays s JOIN homes h ON s.id = h.id " if whole else "SELECT "
    try:
        query = bind(ask(start + " ".join(words)))
    except SpecError as error:
        assert error.code.startswith("sql.")
        assert "<" not in error.hint.replace("<>", "")
        assert "<construct>" not in error.text
    else:
        assert isinstance(query, Query)


# -- what SQL means, by DuckDB ----------------------------------------------------------------------------------------

NUMBERS = {"nights": ["0", "1", "2", "30", "-5"], "cost": ["0", "0.5", "12.50", "-1.5"], "rent": ["0", "700", "900"]}
OTHERS = {
    "ward": ["'north'", "'south'", "'it''s'"],
    "note": ["''", "'a'", "'A'"],
    "tenure": ["'owner'", "'rent'"],
    "day": ["DATE '2026-01-01'", "'2026-06-30'", "DATE '2027-01-01'"],
    "year": ["2019", "2020"],
}
LEFT_COLUMNS = ("nights", "cost", "ward", "note", "day")
RIGHT_COLUMNS = ("rent", "tenure", "year")


@st.composite
def atom(draw: st.DrawFn, columns: tuple[str, ...]) -> str:
    column = draw(st.sampled_from(columns))
    values = NUMBERS.get(column) or OTHERS[column]
    value, other = draw(st.sampled_from(values)), draw(st.sampled_from(values))
    ordered = column in NUMBERS or column in ("day", "year")
    forms = [f"{column} = {value}", f"{value} <> {column}", f"{column} != {value}", f"{column} IS NULL"]
    forms += [f"{column} IS NOT NULL", f"{column} IN ({value}, {other})", f"{column} NOT IN ({value})"]
    if ordered:
        operator = draw(st.sampled_from(["<", "<=", ">", ">="]))
        forms += [f"{column} {operator} {value}", f"{value} {operator} {column}"]
        forms += [f"{column} BETWEEN {value} AND {other}", f"{column} NOT BETWEEN {value} AND {other}"]
    return draw(st.sampled_from(forms))


def condition(columns: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Conditions on one table, with and without parentheses: precedence is part of what is tested."""
    return st.recursive(
        atom(columns),
        lambda inner: st.one_of(
            st.builds("NOT {}".format, inner),
            st.builds("({})".format, inner),
            st.builds("{} AND {}".format, inner, inner),
            st.builds("{} OR {}".format, inner, inner),
            st.builds("NOT ({})".format, inner),
        ),
        max_leaves=5,
    )


@pytest.fixture(scope="module")
def tables() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE stays AS SELECT i % 29 AS id, [NULL, 'north', 'south', 'it''s'][i % 4 + 1] AS ward, "
        "[NULL, 0, 1, 2, 30, -5][i % 6 + 1]::BIGINT AS nights, "
        "[NULL, 0, 0.5, 12.5, -1.5][i % 5 + 1]::DECIMAL(18, 2) AS cost, "
        "[NULL, DATE '2026-01-01', DATE '2026-06-30', DATE '2027-01-01'][i // 7 % 4 + 1] AS day, "
        "[NULL, '', 'a', 'A'][i // 3 % 4 + 1] AS note FROM range(200) t(i)"
    )
    connection.execute(
        "CREATE TABLE homes AS SELECT i AS id, [NULL, 'owner', 'rent'][i % 3 + 1] AS tenure, "
        "[NULL, 0, 700, 900][i % 4 + 1]::BIGINT AS rent, [NULL, 2019, 2020][i // 5 % 3 + 1]::BIGINT AS year "
        "FROM range(15, 45) t(i)"
    )
    return connection


def rows(connection: duckdb.DuckDBPyConnection, sql: str, values: list[object]) -> list[tuple[object, ...]]:
    return connection.execute(sql + " ORDER BY ALL", values).fetchall()


@settings(max_examples=300)
@given(left=st.none() | condition(LEFT_COLUMNS), right=st.none() | condition(RIGHT_COLUMNS), data=st.data())
def test_split_typed_and_emitted_conditions_mean_what_the_text_meant(
    ask: Ask, tables: duckdb.DuckDBPyConnection, left: str | None, right: str | None, data: st.DataObject
) -> None:
    """Filter each table by the emitted SQL, then join: the same groups as DuckDB finds for the author's own text."""
    join = data.draw(st.sampled_from(["JOIN", "LEFT JOIN"]))
    on = data.draw(st.none() | condition(RIGHT_COLUMNS))
    where = " AND ".join(f"({part})" for part in (left, right) if part is not None)
    body = (
        "SELECT ward, tenure, COUNT(*) AS n, SUM(nights) AS x, SUM(rent) AS y "
        f"FROM stays s {join} homes h ON s.id = h.id {f'AND ({on})' if on else ''} "
        f"{f'WHERE {where}' if where else ''} GROUP BY ward, tenure"
    )
    try:
        query = bind(ask(body))
    except SpecError as error:
        assert (error.code, join) == ("sql.outer-where", "LEFT JOIN")
        return
    texts = [emit_where(predicate) for predicate in (query.where_left, query.where_right)]
    assert all(re.fullmatch(r'(TRUE|[()?, ]|"[a-z]+"|[<>=]+|AND|OR|NOT|IN|IS|NULL)+', text) for text, _ in texts)
    parameters: list[object] = [
        Decimal(value.numerator) / value.denominator if isinstance(value, Fraction) else value
        for _, values in texts
        for value in values
    ]
    rebuilt = (
        "SELECT ward, tenure, COUNT(*) AS n, SUM(nights) AS x, SUM(rent) AS y "
        f"FROM (SELECT * FROM stays WHERE {texts[0][0]}) s "
        f"{'LEFT JOIN' if query.join == 'left' else 'JOIN'} (SELECT * FROM homes WHERE {texts[1][0]}) h "
        "ON s.id = h.id GROUP BY ward, tenure"
    )
    assert rows(tables, rebuilt, parameters) == rows(tables, body, [])
