"""One picture of released logistic regressions: a dot for each odds ratio, a line for its confidence interval.

To the left of 1 the odds fall, to the right they rise; each number is written out beside its line. Of a model that is
withheld, or that its columns do not determine, it says so. Colours and type are those of chart.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log2
from textwrap import wrap
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pets.chart import INK, RULE, SOFT, Picture, fold

_BLUE: Final = "#0072B2"
_WIDTH: Final = 8.6
"""Inches; so are all lengths below."""
_LEFT: Final = 2.7
_RIGHT: Final = 2.1
_PANEL: Final = _WIDTH - _LEFT - _RIGHT
_ROW: Final = 0.46
_LABEL: Final = 30
_TICKS: Final = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class Line:
    """One odds ratio: of ``name``, for what; its interval from ``low`` to ``high``. NaN where there is none.

    ``said``: all three in words.
    """

    name: str
    unit: str
    ratio: float
    low: float
    high: float
    said: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One model: what it is of and how it stands, and its lines."""

    head: str
    lines: tuple[Line, ...]


def forest(panels: Sequence[Panel], *, title: str, note: str) -> Figure:
    """Draw models, one below the other: a line a column, with the odds ratio of one unit of it."""
    titles = wrap(title, int(_WIDTH / 0.115)) or [""]
    notes = wrap(note, int(_WIDTH / 0.071))
    top, bottom = 0.25 + 0.24 * len(titles) + 0.05, 0.75 + 0.15 * len(notes)
    height = top + _ROW * sum(1 + len(panel.lines) for panel in panels) + bottom
    figure = Picture(figsize=(_WIDTH, height), dpi=140, facecolor="white")
    FigureCanvasAgg(figure)
    axis: Any = figure.subplots()
    place, ticks = 0, []
    drawn: list[tuple[int, Line]] = []
    for panel in panels:
        axis.text(-(_LEFT - 0.15) / _PANEL, place, panel.head, transform=_across(axis), **_text(weight="bold"))
        for line in panel.lines:
            place += 1
            ticks.append((place, "\n".join(fold(line.name, _LABEL)[:1] + fold(line.unit, _LABEL)[:1])))
            drawn.append((place, line))
        place += 1
    _dots(axis, drawn)
    axis.set_ylim(place - 0.4, -0.6)
    axis.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    axis.tick_params(length=0, labelsize=9, colors=INK)
    axis.set_xlabel("odds ratio: by what the odds are multiplied", fontsize=9, color=SOFT)
    figure.text(0.15 / _WIDTH, 1 - 0.16 / height, "\n".join(titles), va="top", **_text(13, "bold"))
    figure.text(0.15 / _WIDTH, 0.12 / height, "\n".join(notes), va="bottom", fontsize=8, color=SOFT)
    figure.subplots_adjust(left=_LEFT / _WIDTH, right=1 - _RIGHT / _WIDTH, top=1 - top / height, bottom=bottom / height)
    return figure


def _dots(axis: Any, drawn: Sequence[tuple[int, Line]]) -> None:
    axis.set_xscale("log", base=2)
    axis.axvline(1, color=SOFT, linewidth=1.0, zorder=0.9)
    known = []
    for place, line in drawn:
        if isfinite(line.ratio) and isfinite(line.high) and line.low > 0:
            known += [line.low, line.high]
            axis.hlines(place, line.low, line.high, color=_BLUE, linewidth=2.4, alpha=0.45)
            axis.plot([line.ratio], [place], "o", ms=6, color=_BLUE, mec="white", mew=0.7)
        axis.text(1.03, place, line.said, transform=_across(axis), **_text())
    far = max([abs(log2(end)) for end in known] + [log2(1.02)]) * 1.12
    axis.set_xlim(2**-far, 2**far)
    marks, last = [1.0], 0.0
    for tick in _TICKS:  # as many as have room for their numbers
        if last + far / 3.5 <= log2(tick) <= far:
            marks, last = [1 / tick, *marks, tick], log2(tick)
    axis.xaxis.set_major_locator(FixedLocator(marks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.2g}" if x < 1 else f"{x:g}"))
    axis.grid(axis="x", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    for side in axis.spines.values():
        side.set_visible(False)


def _across(axis: Any) -> Any:
    """Across the panel from 0 to 1, and down by rows."""
    return axis.get_yaxis_transform()


def _text(size: float = 9, weight: str = "normal") -> dict[str, Any]:
    return {"fontsize": size, "fontweight": weight, "color": INK, **({} if size > 9 else {"va": "center"})}
