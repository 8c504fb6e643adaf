"""Lines of a terminal: never wider than asked, nothing lost, columns straight."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.check.fold import columns, fold, pad, width

WORDS = st.text(st.characters(categories=("L", "N", "P", "Mn"), include_characters=" -/._"), max_size=80)


@pytest.mark.parametrize(
    ("text", "wide"),
    [("", 0), ("abc", 3), ("é", 1), ("e\u0301", 1), ("札幌", 4), ("ａ", 2), ("إيجار", 5), ("क्षि", 3), ("\u200d", 0)],
)
def test_width(text: str, wide: int) -> None:
    assert width(text) == wide


@given(WORDS, st.integers(24, 100))
def test_folding_loses_nothing_and_stays_inside(text: str, room: int) -> None:
    lines = fold(text, room, "  - ")
    assert all(width(line) <= room for line in lines)
    assert "".join(lines).removeprefix("  - ").replace(" ", "") == "".join(text.split())


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), st.integers(40, 100))
def test_columns_lose_nothing_and_stay_inside(rows: list[tuple[str, str, str]], room: int) -> None:
    found = columns(rows, room, numbers=(2,))
    assert len(found) == len(rows)
    for row, lines in zip(rows, found, strict=True):
        assert all(width(line) <= room for line in lines)
        assert sorted("".join(lines).replace(" ", "")) == sorted("".join("".join(row).split()))


def test_words_stay_whole_where_they_can() -> None:
    assert fold("one two-three four", 10) == ["one", "two-three", "four"]
    assert fold("https://health-board.example/how-we-use-data", 24) == [
        "https://health-board.",
        "example/how-we-use-data",
    ]
    assert fold("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert fold("", 10, "- ") == ["- "]


def test_columns_are_straight_also_with_wide_characters() -> None:
    rows = [("name", "place", "n"), ("札幌市役所", "a long way from here, and further", "1,000"), ("é", "near", "2")]
    lines = [line for row in columns(rows, 36, numbers=(2,)) for line in row]
    assert max(map(width, lines)) == 36
    assert lines[0].startswith("name        place") and width("札幌市役所") == 10
    assert re.search(r"札幌市役所  a long", lines[1])
    assert all(width(line) == 36 for line in lines if re.search(r"\d$", line))


def test_pad() -> None:
    assert pad("札幌", 6) == "札幌  " and pad("é", 3, right=True) == "  é" and pad("long", 2) == "long"
