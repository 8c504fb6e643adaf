"""Marks, the matrix and its two written forms."""

import json

import pytest

from pets.check.labels import Coalition, Finding, Grade, Mark, Matrix, Row, Verdict, strongest
from pets.errors import LeakError
from pets.ids import PartyId

A, B = PartyId("a"), PartyId("b")
COLUMNS = (Coalition((A,)), Coalition((B,)), Coalition((A, B), beyond_model=True))


def matrix(mark: Mark) -> Matrix:
    cells = {"a": Mark.VISIBLE, "b": mark, "a+b": Mark.VISIBLE}
    return Matrix(COLUMNS, (Row("t.x", "column", cells),))


def test_marks_are_ordered_by_what_they_tell() -> None:
    order = [Mark.NEVER, Mark.HELD, Mark.NOISED, Mark.SIZE, Mark.AGGREGATE, Mark.MATCHED, Mark.PROGRAM, Mark.VISIBLE]
    assert sorted(Mark, key=lambda mark: mark.rank) == order
    assert strongest([Mark.HELD, Mark.NOISED]) is Mark.NOISED and strongest([]) is Mark.NEVER


def test_every_grade_and_mark_has_its_words() -> None:
    assert {grade.mark for grade in Grade} == set(Mark) - {Mark.NEVER}
    assert all(mark.meaning for mark in Mark)


def test_text_puts_coalitions_beyond_the_model_behind_a_bar() -> None:
    assert matrix(Mark.HELD).text == (
        " 1  a\n 2  b\n 3  a+b  (beyond the model)\n\n              1   2  | 3\ncolumn  t.x   V   H  | V\n"
    )
    assert Matrix().text == ""


def test_json_has_every_cell() -> None:
    out = json.loads(json.dumps(matrix(Mark.HELD).to_json()))
    assert out["rows"] == [{"value": "t.x", "kind": "column", "cells": {"a": "V", "b": "H", "a+b": "V"}}]
    assert out["columns"][2] == {"label": "a+b", "parties": ["a", "b"], "beyond_model": True}


def test_a_difference_names_the_cell() -> None:
    assert matrix(Mark.HELD).differences(matrix(Mark.NOISED)) == ("column t.x, b: H / N",)
    assert matrix(Mark.HELD).differences(matrix(Mark.HELD)) == ()
    assert matrix(Mark.HELD).differences(Matrix(COLUMNS)) == ("column t.x: only in one",)
    assert len(matrix(Mark.HELD).differences(Matrix())) == 1


def test_a_mark_is_found_by_value_and_column() -> None:
    assert matrix(Mark.HELD).mark("t.x", "b") is Mark.HELD
    with pytest.raises(KeyError):
        matrix(Mark.HELD).mark("t.y", "b")


def test_only_errors_refuse() -> None:
    note = Finding("r.n", "note", "p", "m", "h")
    assert Verdict((note,), Matrix()).accepted
    with pytest.raises(LeakError) as refusal:
        Verdict((Finding("r.e", "error", "p", "no", "do"),), Matrix()).require()
    assert refusal.value.text == "leak.refused: 1 rule(s) refuse the specification, first r.e: no"
    assert refusal.value.hint == "do"
