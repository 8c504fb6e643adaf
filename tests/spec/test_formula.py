"""Formulas on cards: the closed grammar, exact values, and no way out of it."""

import ast
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.errors import SpecError
from pets.spec.formula import parse_formula

NAMES = {"n": 7, "k": 3, "v_g": 2, "zero": 0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("n", 7),
        ("n + k*2", 13),
        ("(n + k) * 2", 20),
        ("n - k - 1", 3),
        ("n // k", 2),
        ("2*n//k", 4),
        ("max(n, k * v_g)", 7),
        ("ceil_log2(1)", 0),
        ("ceil_log2(2)", 1),
        ("ceil_log2(n)", 3),
        ("ceil_log2(8)", 3),
        ("ceil_log2(9)", 4),
        ("max(ceil_log2(n), zero) * (k)", 9),
        ("n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n*n", 7**24),
    ],
)
def test_value(text: str, value: int) -> None:
    assert parse_formula(text).evaluate(NAMES) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "n +", "+ n", "n k", "n ** 2", "n / 2", "2n", "(n", "n)", "max(n)", "max(n, k, 1)", "ceil_log2()",
        "min(n, k)", "N", "n.real", "n[0]", "n if k else 1", "lambda: 1", "__import__('os')", "0x10", "1.5", "1e3",
        "n, k", "n; k", "-n", "é", "n\x00", "'a'", "n == k", "_n", "١",
    ],
)  # fmt: skip
def test_what_is_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_formula(text).evaluate(NAMES)
    assert caught.value.code == "card.formula"


@pytest.mark.parametrize("text", ["unknown", "n // zero", "k - n", "ceil_log2(zero)", "n + k - 11"])
def test_what_has_no_value_is_refused(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_formula(text).evaluate(NAMES)
    assert caught.value.code == "card.formula"


def test_length_and_depth_are_bounded() -> None:
    assert parse_formula("+".join(["n"] * 150)).evaluate(NAMES) == 7 * 150
    for text in ("+".join(["n"] * 151), "(" * 22 + "n" + ")" * 22, "(" * 10_000):
        with pytest.raises(SpecError):
            parse_formula(text)


def test_names_are_those_mentioned() -> None:
    assert parse_formula("max(n, k*2) + ceil_log2(v_g) - n").names == {"n", "k", "v_g"}
    assert parse_formula("1 + 2").names == frozenset()


expressions = st.recursive(
    st.integers(0, 99).map(str) | st.sampled_from(sorted(NAMES)),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        | st.tuples(inner, inner).map(lambda p: f"max({p[0]}, {p[1]})")
    ),
    max_leaves=12,
)


@given(expressions)
def test_values_agree_with_python_s_own_reading(text: str) -> None:
    if len(text) > 300:
        return
    try:
        expected = _python(ast.parse(text, mode="eval").body)
    except ZeroDivisionError:
        expected = -1
    if expected < 0:
        with pytest.raises(SpecError):
            parse_formula(text).evaluate(NAMES)
    else:
        assert parse_formula(text).evaluate(NAMES) == expected


def _python(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name(id=name):
            return NAMES[name]
        case ast.Call(args=[left, right]):
            return max(_python(left), _python(right))
        case ast.BinOp(left=left, op=op, right=right):
            known = {
                ast.Add: operator.add,
                ast.Sub: operator.sub,
                ast.Mult: operator.mul,
                ast.FloorDiv: operator.floordiv,
            }
            value: int = known[type(op)](_python(left), _python(right))
            return value
    raise AssertionError(ast.dump(node))
