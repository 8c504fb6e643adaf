"""The fence before the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.errors import SpecError
from pets.spec.sql.scan import MAX_BYTES, MAX_DEPTH, find, scan


def test_tokens_are_cut_with_their_places() -> None:
    text = "SELECT a.\"x\", 'it''s' -- no; (\n FROM t WHERE DATE'2026-01-01' <= 1.5"
    tokens = scan(text)
    assert [token.text for token in tokens] == [
        "SELECT", "a", ".", '"x"', ",", "'it''s'", "FROM", "t", "WHERE", "DATE", "'2026-01-01'", "<=", "1.5",
    ]  # fmt: skip
    assert all(text[token.start :].startswith(token.text) for token in tokens)
    assert find(tokens, "WHERE", "DATE") == text.index("WHERE")
    assert find(tokens, "HAVING") is None


@pytest.mark.parametrize("opening", ["(", "NOT ", "- ", "(NOT ", "f("])
def test_ten_thousand_levels_are_refused_at_the_level_that_is_too_deep(opening: str) -> None:
    with pytest.raises(SpecError) as caught:
        scan(("SELECT " + opening * 10_000)[:MAX_BYTES])
    assert caught.value.code == "sql.too-deep"
    assert caught.value.fields["column"] <= 8 + len(opening) * (MAX_DEPTH + 1)  # type: ignore[operator]


def test_length_is_capped_in_bytes_and_in_words() -> None:
    with pytest.raises(SpecError, match=r"sql\.too-long: the query has 16385 bytes"):
        scan("SELECT " + "x" * (MAX_BYTES - 6))
    with pytest.raises(SpecError, match=r"sql\.too-long: the query has 16386 bytes"):
        scan("SELECT '" + "é" * ((MAX_BYTES - 8) // 2) + "''")
    with pytest.raises(SpecError, match=r"sql\.too-long: .* words and marks"):
        scan("SELECT " + "1," * 2_001)


@pytest.mark.parametrize(
    ("text", "code", "construct", "column"),
    [
        ("SELECT a / b", "sql.character", '"/"', 10),
        ("SELECT /* x */ a", "sql.character", "/*", 8),
        ("SELECT $$x$$", "sql.character", '"$"', 8),
        ("SELECT x::int", "sql.character", '":"', 9),
        ("SELECT ?", "sql.character", '"?"', 8),
        ("SELECT x[1]", "sql.character", '"["', 9),
        ("SELECT 'abc", "sql.character", '"\'"', 8),
        ('SELECT "abc', "sql.character", "a quotation mark", 8),
        ("SELECT 'a\nb'", "sql.character", '"\'"', 8),
        ("SELECT 'a\u202eb'", "sql.character", "the hidden character U+202E", 10),
        ("SELECT a\u200b", "sql.character", "the hidden character U+200B", 9),
        ("SELECT \x00", "sql.character", "the hidden character U+0000", 8),
        ("SELECT \u0455", "sql.character", '"\u0455"', 8),
        ("SELECT E'x'", "sql.literal", "E'...'", 8),
        ("SELECT x'00'", "sql.literal", "x'...'", 8),
        ("SELECT 1e3", "sql.literal", "1e3", 8),
        ("SELECT 0x1F", "sql.literal", "0x1F", 8),
        ("SELECT 1_000", "sql.literal", "1_000", 8),
        ("SELECT )", "sql.syntax", ")", 8),
        ("DELETE FROM t", "sql.syntax", "DELETE", 1),
        ("", "sql.syntax", "its start", 1),
        ("-- SELECT", "sql.syntax", "its start", 1),
        ("SELECT 1; SELECT 2", "sql.unsupported", "a second statement", 11),
        ("SELECT 1;;", "sql.unsupported", "a second statement", 10),
        ("SELECT (SELECT 1)", "sql.unsupported", "a subquery", 9),
        ("SELECT 1 UNION ALL SELECT 2", "sql.unsupported", "UNION", 10),
        ("SELECT 1 INTO x", "sql.unsupported", "INTO", 10),
    ],
)
def test_what_has_no_place_in_a_query_is_named(text: str, code: str, construct: str, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        scan(text)
    assert caught.value.code == code
    assert caught.value.fields["construct"] == construct
    assert (caught.value.fields["line"], caught.value.fields["column"]) == (1, column)
    assert caught.value.hint
    assert "<" not in caught.value.hint


def test_lines_are_counted() -> None:
    with pytest.raises(SpecError, match="line 3, column 3: LIMIT"):
        scan("SELECT a\nFROM t\n  LIMIT 3")


def test_reserved_words_may_name_columns_where_they_must() -> None:
    words = [token.text for token in scan('SELECT a.limit AS order, "having" FROM t')]
    assert words == ["SELECT", "a", ".", "limit", "AS", "order", ",", '"having"', "FROM", "t"]


@given(st.text(max_size=300))
def test_any_text_gives_tokens_or_a_typed_refusal(text: str) -> None:
    try:
        tokens = scan("SELECT " + text)
    except SpecError as error:
        assert error.code.startswith("sql.")
        return
    assert tokens[0].text == "SELECT"
