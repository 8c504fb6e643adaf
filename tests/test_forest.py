"""A logistic regression as a picture and in a notebook: odds ratios at their places and written out, states said."""

import re
from dataclasses import replace
from math import exp, nan
from typing import Any

import pytest
from matplotlib.figure import Figure

from pets.forest import forest
from pets.logistic import Estimates, Model, State, Term, places
from pets.notebook import model_html
from pets.spec.query import ColumnRef


def model(*terms: tuple[str, float, float], state: State = "settled") -> Model:
    found = tuple(Term(name, b, error) for name, b, error in terms)
    if state in ("withheld", "undetermined"):
        found = tuple(Term(term.name, nan, nan) for term in found)
    units = ("where all columns are at their bases", *("for each unit more" for _ in terms[1:]))
    step = {"settled": 0.001, "moving": 0.4}.get(state, nan)
    rows = None if state == "withheld" else 1234
    ones = None if state == "withheld" else 321
    return Model(ColumnRef("a", "died"), Estimates(found, step, state), units, ("0",) * len(terms[1:]), rows, ones, 8)


TERMS = (("intercept", -2.0, 0.1), ("a.age", 0.0123, 0.0021), ("b.damp", 0.8, 0.2), ("b.rent", -3.5, 1.5))


def drawn(figure: Figure) -> tuple[list[float], list[tuple[float, float]], list[str]]:
    """Dots, lines, and all text of a picture."""
    (axis,) = figure.axes
    dots = [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "o"]  # type: ignore[index]
    lines = [
        (float(path.vertices[0][0]), float(path.vertices[1][0]))
        for group in axis.collections
        for path in group.get_paths()
    ]
    figure.canvas.draw()
    said = [each.get_text() for each in (*axis.texts, *axis.get_yticklabels(), *axis.get_xticklabels(), *figure.texts)]
    return dots, lines, said


def test_every_odds_ratio_is_at_its_place_and_written_out() -> None:
    what = model(*TERMS)
    dots, lines, said = drawn(forest([what.panel], title="Who dies", note="A note."))
    assert dots == pytest.approx([exp(b) for _, b, _ in TERMS[1:]], rel=1e-5)
    for ends, (name, _, _) in zip(lines, TERMS[1:], strict=True):
        assert ends == pytest.approx(what.odds_ratio(name)[1:], rel=1e-5)
    assert {"1.0124 (1.0082 to 1.0166)", "2.23 (1.50 to 3.29)", "0.03 (0.00 to 0.57)"} <= set(said)
    assert "1" in said, "the line of no difference has its number"
    assert not any("intercept" in each for each in said)


@pytest.mark.parametrize(
    ("state", "words"),
    [("withheld", "withheld"), ("undetermined", "not determined by these columns"), ("moving", "not settled")],
)
def test_what_is_not_there_or_not_to_be_relied_on_is_said(state: State, words: str) -> None:
    what = model(*TERMS, state=state)
    dots, _, said = drawn(forest([what.panel], title="Who dies", note=what.note()))
    assert any(words in each for each in said)
    assert len(dots) == (3 if state == "moving" else 0)
    page = model_html(what)
    assert (page.count("withheld") >= 4) == (state == "withheld")
    assert ("Do not rely on it yet" in page) == (state == "moving")
    assert ("do not determine coefficients" in page) == (state == "undetermined")
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower()


def test_two_models_are_one_below_the_other() -> None:
    other = replace(model(*TERMS), outcome=ColumnRef("b", "moved"))
    dots, _, said = drawn(forest([model(*TERMS).panel, other.panel], title="Both", note=""))
    assert len(dots) == 6
    assert {"odds of a.died", "odds of b.moved"} <= set(said)


def test_nothing_is_cut_off_and_no_words_lie_on_others() -> None:
    long = ("a.a_column_with_a_very_long_name_that_somebody_liked", 12.0, 4.0)
    figure = forest([model(*TERMS, long).panel], title="A long title " * 12, note="A long note. " * 30)
    figure.canvas.draw()
    (axis,) = figure.axes
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [t.get_window_extent(renderer) for t in (*axis.texts, *axis.get_yticklabels(), *figure.texts)]
    width, height = figure.canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height
    for number, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[number + 1 :])


def test_a_notebook_shows_terms_as_lines_with_names_escaped() -> None:
    page = model_html(model(("intercept", 0.0, 1.0), ("a.<b>", 0.5, 0.1)), title="A & B", notes=("foot",))
    assert page.count("<tr>") == 3
    assert "a.&lt;b&gt;" in page and "A &amp; B" in page and "<p>foot</p>" in page
    assert "1.65" in page and "1.36 to 2.01" in page and "&lt; 0.001" in page


@pytest.mark.parametrize(("low", "high", "digits"), [(0.99, 1.01, 3), (1.0, 4.0, 2), (0.999, 1.001, 4), (1, 1, 2)])
def test_as_many_digits_as_the_interval_has(low: float, high: float, digits: int) -> None:
    assert places(low, high) == digits
