"""One picture of a released table: a panel for each statistic, a dot for each cell, a line for its noise or rounding.

Drawn with matplotlib's object interface: no global state, no display. Colours are told apart without colour vision (the
Okabe-Ito palette), every dot has its label in the legend or on the axis, and a cell that the noise leaves open says so.
The table itself is the text alternative.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from textwrap import wrap
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pets.ids import MISSING, WITHHELD

_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A00")
_GREY: Final = "#9AA3AD"
SOFT: Final = "#52606D"
INK: Final = "#1F2933"
RULE: Final = "#E3E7EB"
_ZERO: Final = "#9AA3AD"

MAX_PANELS: Final = 4
MAX_ROWS: Final = 60
"""A chart of more rows of dots than this shows the first ones and says so."""
UNDETERMINED: Final = "not determined"
EMPTY: Final = "no row is kept"

_PANEL: Final = 3.3
"""Inches; so are all lengths below."""
_LETTER: Final = 0.083
_LINE: Final = 0.17
_LABEL_WIDTH: Final = 28
_TITLE_WIDTH: Final = 34
_LABEL_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the cells of the shown rows stand: the row of each, its colour, and their names in order."""

    row: list[int]
    rows: list[str]
    colour: list[int]
    colours: list[str]
    shown: int

    @property
    def height(self) -> float:
        """Inches of one row."""
        return max(0.3 + 0.13 * (len(self.colours) - 1), _LINE * max(len(r.split("\n")) for r in self.rows) + 0.08)


class Picture(Figure):
    """A figure that shows itself in a notebook, whether or not one has turned pyplot on there."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png")
        return out.getvalue()


def chart(
    frame: pd.DataFrame,
    *,
    title: str,
    note: str,
    grouping: Sequence[str],
    statistics: Sequence[str],
    withheld: pd.DataFrame | None = None,
) -> Figure:
    """Draw the table. ``frame`` has a row per cell and ``name``, ``name_low``, ``name_high`` for each statistic.

    ``withheld``: the same rows, and for each statistic whether it is withheld there.
    One grouping column becomes colours, if it has few levels and there is another; the others make rows.
    """
    places = _places(frame, grouping)
    panels = list(statistics)[:MAX_PANELS]
    heads = ["\n".join(fold(name, _TITLE_WIDTH)) for name in panels]
    left = 0.35 + _LETTER * max(len(line) for row in places.rows for line in row.split("\n"))
    width = max(left + _PANEL * len(panels) + 0.2, 6.4)
    legend_columns = max(1, int((width - 0.3) / (_LETTER * (max(map(len, places.colours)) + 5))))
    legend = 0.26 * ceil(len(places.colours) / legend_columns) if len(places.colours) > 1 else 0.0
    titles = wrap(title, int(width / 0.115)) or [""]
    notes = wrap(note + _cut(frame, places, statistics), int(width / 0.071))
    top = 0.2 + 0.24 * len(titles) + legend + 0.14 + 0.19 * max(head.count("\n") + 1 for head in heads)
    bottom = 0.5 + 0.15 * len(notes)
    height = top + places.height * max(len(places.rows), 2) + bottom

    figure = Picture(figsize=(width, height), dpi=140, facecolor="white")
    FigureCanvasAgg(figure)
    axes: list[Any] = list(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)))
    for axis, name, head in zip(axes, panels, heads, strict=True):
        gone = np.zeros(len(frame), bool) if withheld is None else withheld[name].to_numpy(bool)
        _panel(axis, frame, name, places, gone)
        axis.set_title(head, loc="left", fontsize=10.5, color=INK, pad=6)
    axes[0].set_yticks(range(len(places.rows)), places.rows)
    for label, row in zip(axes[0].get_yticklabels(), places.rows, strict=True):
        label.set_color(_GREY if MISSING in row else INK)
    axes[0].set_ylim(len(places.rows) - 0.5, -0.5)

    figure.text(0.15 / width, 1 - 0.16 / height, "\n".join(titles), fontsize=13, fontweight="bold", color=INK, va="top")
    if legend:
        figure.legend(
            *axes[0].get_legend_handles_labels(),
            loc="upper left",
            bbox_to_anchor=(0.05 / width, 1 - (0.2 + 0.24 * len(titles)) / height),
            ncols=legend_columns,
            frameon=False,
            fontsize=9,
            labelcolor=INK,
            handletextpad=0.2,
            columnspacing=1.2,
            borderaxespad=0.2,
        )
    figure.text(0.15 / width, 0.12 / height, "\n".join(notes), fontsize=8, color=SOFT, va="bottom")
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.25 / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.1,
    )
    return figure


def _places(frame: pd.DataFrame, grouping: Sequence[str]) -> _Places:
    """Rows and colours: the grouping column of fewest levels makes colours, if they can be told apart."""
    levels = {name: int(frame[name].nunique()) for name in grouping}
    by = min(grouping, key=lambda name: (levels[name], -list(grouping).index(name)), default=None)
    if len(grouping) < 2 or by is None or levels[by] - 1 > len(_COLOURS):
        by = None
    rest = [name for name in grouping if name != by]
    if rest:
        labels = [" · ".join(map(str, values)) for values in zip(*(frame[name] for name in rest), strict=True)]
    else:
        labels = ["all records"] * len(frame)
    rows = list(dict.fromkeys(labels))[:MAX_ROWS] or [EMPTY]
    number = {row: i for i, row in enumerate(rows)}
    tints = frame[by].astype(str).tolist() if by else [""] * len(frame)
    colours = list(dict.fromkeys(tints)) or [""]
    return _Places(
        row=[number.get(label, -1) for label in labels],
        rows=["\n".join(fold(row, _LABEL_WIDTH)) for row in rows],
        colour=[colours.index(tint) for tint in tints],
        colours=colours,
        shown=sum(label in number for label in labels),
    )


def _cut(frame: pd.DataFrame, places: _Places, statistics: Sequence[str]) -> str:
    parts = []
    if places.shown < len(frame):
        parts.append(f" The first {places.shown:,} of {len(frame):,} cells are shown.")
    if len(statistics) > MAX_PANELS:
        parts.append(f" The first {MAX_PANELS} of {len(statistics)} statistics are shown.")
    return "".join(parts)


def fold(text: str, width: int) -> list[str]:
    """Three lines at most, of ``width`` letters: folded at blanks and underscores, broken where there are none."""
    lines: list[str] = []
    for word in text.replace("_", "_\0").replace(" ", " \0").split("\0"):
        if not lines or len(lines[-1] + word.rstrip()) > width:
            lines += [word[i : i + width] for i in range(0, len(word), width)] or [""]
        else:
            lines[-1] += word
    kept = [line.rstrip() for line in lines[:_LABEL_LINES]]
    if len(lines) > _LABEL_LINES:
        kept[-1] = kept[-1][: width - 1] + "…"
    return kept


def _panel(axis: Any, frame: pd.DataFrame, name: str, places: _Places, withheld: Any) -> None:
    """Dots and lines of one statistic; where the noise leaves it open, or it is withheld, words in its place."""
    row, colour = np.array(places.row, int), np.array(places.colour, int)
    value, low, high = (frame[f"{name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
    known = np.isfinite(value) & np.isfinite(low) & np.isfinite(high)
    step = 0.72 / len(places.colours)
    y = row + (colour - (len(places.colours) - 1) / 2) * step
    lost = np.array([MISSING in label for label in places.rows])[row]
    for number, label in enumerate(places.colours):
        mine = (colour == number) & (row >= 0)
        paint = _GREY if label == MISSING else _COLOURS[number % len(_COLOURS)]
        for part, alpha in ((mine & known & ~lost, 1.0), (mine & known & lost, 0.45)):
            axis.hlines(y[part], low[part], high[part], color=paint, linewidth=2.2, alpha=0.4 * alpha)
            axis.plot(value[part], y[part], "o", ms=5, color=paint, alpha=alpha, mec="white", mew=0.6)
        axis.plot([], [], "o", ms=5, color=paint, label="\n".join(fold(label, _LABEL_WIDTH)))
    for number in range(1, len(places.rows)):
        axis.axhline(number - 0.5, color=RULE, linewidth=0.8)
    _scale(axis, value[known & (row >= 0)], low[known & (row >= 0)], high[known & (row >= 0)])
    start = axis.get_xlim()[0]
    for place, gone in zip(y[~known & (row >= 0)], withheld[~known & (row >= 0)], strict=True):
        word = WITHHELD if gone else UNDETERMINED
        axis.annotate(word, (start, place), (3, 0), textcoords="offset points", va="center", fontsize=6.5, color=_GREY)


def _scale(axis: Any, value: Any, low: Any, high: Any) -> None:
    """Keep the axis on the values: a cell whose interval dwarfs all values must not squash the others."""
    axis.tick_params(length=0, labelsize=9, colors=INK)
    axis.grid(axis="x", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    for side in axis.spines.values():
        side.set_visible(False)
    if not value.size:
        axis.set_xlim(0, 1)
        axis.set_xticks([])
        return
    half = float(np.median(high - low)) / 2
    narrow = (high - low) / 2 <= 6 * half
    first, last = float(np.min(low[narrow])), float(np.max(high[narrow]))
    margin = 0.05 * (last - first or abs(first) or 1.0)
    axis.set_xlim(first - margin, last + margin)
    axis.xaxis.set_major_locator(MaxNLocator(5, prune="both" if first * last > 0 else None))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if abs(x) >= 10 or x == 0 else f"{x:g}"))
    if first < 0 < last:
        axis.axvline(0, color=_ZERO, linewidth=1.0, zorder=0.9)
