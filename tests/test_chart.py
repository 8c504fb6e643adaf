"""The picture of a table, read back from the figure: every cell is drawn or said to be open, and nothing is cut off."""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pets.chart import MAX_PANELS, MAX_ROWS, UNDETERMINED, chart
from pets.ids import MISSING

TENURE = ["owner", "private rent", MISSING]
AGE = ["16-24", "25-44", "65+", MISSING]
LONG = [f"a very long description of a reason for attendance that nobody shortened {i}" for i in range(3)]


def table(levels: Mapping[str, Sequence[str]], statistics: Sequence[str], *, open_cells: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    cells = list(itertools.product(*levels.values()))
    frame = pd.DataFrame(
        {name: pd.Categorical([c[i] for c in cells], list(levels[name])) for i, name in enumerate(levels)},
        index=range(len(cells)),
    )
    for name in statistics:
        value, half = rng.normal(0, 1000, len(cells)), rng.uniform(20, 80, len(cells))
        gone = rng.random(len(cells)) < open_cells
        frame[name] = value
        frame[f"{name}_low"] = np.where(gone, np.nan, value - half)
        frame[f"{name}_high"] = np.where(gone, np.nan, value + half)
    return frame


def draw(levels: Mapping[str, Sequence[str]], statistics: Sequence[str], **more: Any) -> tuple[pd.DataFrame, Figure]:
    frame = table(levels, statistics, **more)
    figure = chart(frame, title="A title", note="A note.", grouping=list(levels), statistics=statistics)
    return frame, figure


def dots(axis: Any) -> list[float]:
    return sorted(float(x) for line in axis.lines if line.get_marker() == "o" for x in line.get_xdata())


SHAPES = {
    "no grouping": ({}, ["n", "mean"]),
    "one": ({"tenure": TENURE}, ["n"]),
    "two": ({"tenure": TENURE, "age": AGE}, ["n", "people", "mean"]),
    "three": ({"tenure": TENURE, "age": AGE, "sex": ["f", "m"]}, ["n"]),
    "long labels": ({"reason": LONG}, ["a_statistic_with_a_very_long_name_indeed_for_testing", "n"]),
    "many colours": ({"area": list("ABCDEFGHIJK"), "month": [f"2026-{m:02d}" for m in range(1, 13)]}, ["n"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_cell_is_drawn_at_its_value(shape: str) -> None:
    levels, statistics = SHAPES[shape]
    frame, figure = draw(levels, statistics)
    for axis, name in zip(figure.axes, statistics, strict=True):
        # Of more rows than there is room for, the first are drawn; their order is that of the table.
        expected = frame[name] if shape != "many colours" else frame[name].head(MAX_ROWS)
        assert dots(axis) == pytest.approx(sorted(expected))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_word_leaves_the_picture_and_no_panel_covers_another(shape: str) -> None:
    _, figure = draw(*SHAPES[shape])
    figure.canvas.draw()
    paper = figure.bbox
    words = [axis._left_title for axis in figure.axes]
    for axis in figure.axes:
        low, high = axis.get_xlim()
        words += [tick.label1 for tick in axis.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    words += [*figure.axes[0].get_yticklabels(), *figure.texts]
    words += [t for legend in figure.legends for t in legend.get_texts()]
    for word in words:
        if word.get_text() and word.get_visible():
            box = word.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= paper.x1 + 1, word.get_text()
            assert box.y0 >= 0 and box.y1 <= paper.y1 + 1, word.get_text()
    for left, right in itertools.pairwise(figure.axes):
        assert left._left_title.get_window_extent().x1 <= right._left_title.get_window_extent().x0
    labels = [t.get_window_extent() for t in figure.axes[0].get_yticklabels()]
    for above, below in itertools.pairwise(labels):
        assert below.y1 <= above.y0 + 1, "two labels touch"


def test_what_the_noise_leaves_open_is_said_and_has_no_dot() -> None:
    frame, figure = draw({"tenure": TENURE, "age": AGE}, ["n"], open_cells=0.5)
    opened = int(frame["n_low"].isna().sum())
    assert 0 < opened < len(frame)
    said = [t.get_text() for t in figure.axes[0].texts]
    assert said == [UNDETERMINED] * opened
    assert len(dots(figure.axes[0])) == len(frame) - opened


def test_a_table_that_is_all_open_has_words_and_no_numbers() -> None:
    frame, figure = draw({"tenure": TENURE}, ["n"], open_cells=1.1)
    assert [t.get_text() for t in figure.axes[0].texts] == [UNDETERMINED] * len(frame)
    assert list(figure.axes[0].get_xticks()) == []


def test_one_wide_interval_does_not_squash_the_others() -> None:
    frame = table({"tenure": TENURE}, ["n"])
    frame["n"], frame["n_low"], frame["n_high"] = [100, 110, 5000], [95, 105, -90_000], [105, 115, 99_000]
    figure = chart(frame, title="t", note="n", grouping=["tenure"], statistics=["n"])
    low, high = figure.axes[0].get_xlim()
    assert 80 < low < 95
    assert 115 < high < 130


def test_colours_are_the_column_of_fewest_levels_and_never_more_than_can_be_told_apart() -> None:
    _, figure = draw({"age": AGE, "sex": ["f", "m"]}, ["n"])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["f", "m"]
    _, figure = draw(*SHAPES["many colours"])
    assert figure.legends == []


def test_what_is_not_shown_is_said() -> None:
    statistics = [f"s{i}" for i in range(MAX_PANELS + 2)]
    frame, figure = draw({"area": [f"a{i}" for i in range(100)]}, statistics)
    note = " ".join(t.get_text().replace("\n", " ") for t in figure.texts)
    assert f"The first {MAX_ROWS} of {len(frame)} cells" in note
    assert f"The first {MAX_PANELS} of {len(statistics)} statistics" in note


def test_the_same_table_gives_the_same_png() -> None:
    images = []
    for _ in range(2):
        _, figure = draw({"tenure": TENURE}, ["n"])
        file = io.BytesIO()
        figure.savefig(file, format="png")
        images.append(file.getvalue())
    assert images[0] == images[1]
    assert images[0].startswith(b"\x89PNG")
