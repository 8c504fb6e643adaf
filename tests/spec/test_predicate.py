"""Typed literals, NULLs, and the SQL that a holder runs."""

import datetime as dt
from fractions import Fraction

import pytest

from pets.spec.model import Column, Spec
from pets.spec.predicate import Misfit, Written, both, columns_of, emit_where, on_nulls, typed
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Value

ONE = Compare("nights", ">", 3)
TWO = In("ward", ("north", "it's"), negated=True)
NONE = IsNull("day")


@pytest.fixture(scope="module")
def columns(spec: Spec) -> dict[str, Column]:
    return {name: column for dataset in spec.datasets for name, column in dataset.columns.items()}


@pytest.mark.parametrize(
    ("name", "kind", "text", "value"),
    [
        ("ward", "string", "it's", "it's"),
        ("note", "string", "", ""),
        ("nights", "number", "-12", -12),
        ("nights", "number", "007", 7),
        ("nights", "number", str(2**53 - 1), 2**53 - 1),
        ("cost", "number", "12.5", Fraction(25, 2)),
        ("cost", "number", "12.500", Fraction(25, 2)),
        ("day", "date", "2024-02-29", dt.date(2024, 2, 29)),
        ("day", "string", "2024-02-29", dt.date(2024, 2, 29)),
    ],
)
def test_literals_get_the_type_of_their_column(
    columns: dict[str, Column], name: str, kind: str, text: str, value: Value
) -> None:
    found = typed(columns[name], Written(kind, text))  # type: ignore[arg-type]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "kind", "text", "problem"),
    [
        ("ward", "number", "1", "text"),
        ("ward", "string", "East", "level"),
        ("note", "string", "x" * 1001, "too long"),
        ("nights", "string", "1", "number"),
        ("nights", "number", "1.0", "whole number"),
        ("nights", "number", "1e3", "plain number"),
        ("nights", "number", "\u0661", "plain number"),
        ("nights", "number", str(2**53), "too large"),
        ("nights", "number", "9" * 5_000, "plain number"),
        ("cost", "number", "1.005", "2 places"),
        ("cost", "number", str(2**53), "too large"),
        ("day", "number", "20240229", "date"),
        ("day", "date", "2023-02-29", "does not exist"),
        ("day", "string", "29/02/2024", "date"),
        ("id", "string", "x", "person id"),
    ],
)
def test_literals_that_do_not_fit_are_refused(
    columns: dict[str, Column], name: str, kind: str, text: str, problem: str
) -> None:
    with pytest.raises(Misfit, match=problem):
        typed(columns[name], Written(kind, text))  # type: ignore[arg-type]


def test_a_wrong_level_suggests_the_right_one(columns: dict[str, Column]) -> None:
    with pytest.raises(Misfit) as caught:
        typed(columns["ward"], Written("string", "nort"))
    assert caught.value.level
    assert caught.value.advice == "did you mean 'north'?"


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        (ONE, None),
        (TWO, None),
        (NONE, True),
        (IsNull("day", negated=True), False),
        (Not(ONE), None),
        (Not(NONE), False),
        (All((ONE, Not(NONE))), False),
        (All((ONE, NONE)), None),
        (All((NONE, NONE)), True),
        (AnyOf((ONE, NONE)), True),
        (AnyOf((ONE, Not(NONE))), None),
        (AnyOf((Not(NONE), Not(NONE))), False),
    ],
)
def test_nulls_are_unknown_as_in_sql(predicate: Predicate, said: bool | None) -> None:
    assert on_nulls(predicate) is said


def test_emitted_sql_has_values_in_its_parameters_only() -> None:
    text, values = emit_where(All((ONE, AnyOf((TWO, Not(NONE))))))
    assert text == '("nights" > ? AND ("ward" NOT IN (?, ?) OR (NOT "day" IS NULL)))'
    assert values == (3, "north", "it's")
    assert emit_where(None) == ("TRUE", ())


def test_a_name_cannot_leave_its_quotation_marks() -> None:
    assert emit_where(IsNull('x" OR TRUE --')) == ('"x"" OR TRUE --" IS NULL', ())


def test_an_operator_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="operator"):
        emit_where(Compare("x", "= 1 OR", 1))  # type: ignore[arg-type]


def test_conjunctions_are_flat_and_columns_are_listed() -> None:
    assert both(None, None) is None
    assert both(ONE, None) == both(None, ONE) == ONE
    assert both(All((ONE, TWO)), NONE) == All((ONE, TWO, NONE))
    assert list(columns_of(All((ONE, Not(AnyOf((TWO, NONE))))))) == ["nights", "ward", "day"]
