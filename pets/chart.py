"""One picture of a released table: a panel for each statistic, a dot for each cell, a line for what noise may have done.

Drawn with matplotlib's object interface: no global state, no display. Colours are told apart without colour vision (the
Okabe-Ito palette), and every dot has its label in the legend or on the axis; the table itself is the text alternative.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pets.ids import MISSING

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A00")
_GREY = "#8C8C8C"
_INK = "#1F2933"
_RULE = "#D9DEE3"
MAX_PANELS = 4
MAX_ROWS = 60
"""A chart of more cells than this shows the first ones and says so."""


def chart(
    frame: pd.DataFrame,
    *,
    title: str,
    note: str,
    grouping: Sequence[str],
    statistics: Sequence[str],
) -> Figure:
    """Draw the table. ``frame`` has a row per cell and ``name``, ``name_low``, ``name_high`` for each statistic.

    The first grouping column makes rows, the second one colours; further ones are joined to the first.
    """
    if len(grouping) == 2 and frame[grouping[0]].nunique() < frame[grouping[1]].nunique():
        grouping = (grouping[1], grouping[0])
    rows_by, colour_by = _split(grouping)
    shown = frame.iloc[:MAX_ROWS] if len(frame) > MAX_ROWS else frame
    labels = _labels(shown, rows_by)
    rows = list(dict.fromkeys(labels))
    colours = list(dict.fromkeys(shown[colour_by].astype(str))) if colour_by else [""]
    panels = list(statistics)[:MAX_PANELS]
    height = 1.9 + max(2, len(rows)) * (0.22 + 0.16 * len(colours))
    figure = Figure(figsize=(3.2 + 3.1 * len(panels), min(height, 22)), dpi=140, facecolor="white")
    FigureCanvasAgg(figure)
    axes: list[Any] = list(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)))
    for axis, name in zip(axes, panels, strict=True):
        _panel(axis, shown, name, labels, rows, colour_by, colours)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle(title, x=0.012, y=0.985, ha="left", va="top", fontsize=13, fontweight="bold", color=_INK)
    handles, names = axes[0].get_legend_handles_labels()
    if colour_by:
        figure.legend(
            handles, names, loc="upper left", bbox_to_anchor=(0.008, 0.985 - 0.36 / figure.get_figheight()),
            ncols=min(len(names), 8), frameon=False, fontsize=9, title=None, handletextpad=0.3, columnspacing=1.4,
        )
    cut = f" First {MAX_ROWS} of {len(frame)} cells." if len(frame) > MAX_ROWS else ""
    figure.text(0.012, 0.012, note + cut, fontsize=8, color="#52606D", ha="left", va="bottom")
    figure.subplots_adjust(
        left=min(0.3, 0.035 + 0.0085 * max(map(len, rows)) * 10 / (3.2 + 3.1 * len(panels)) + 0.02),
        right=0.985,
        top=1 - 1.0 / figure.get_figheight(),
        bottom=0.62 / figure.get_figheight(),
        wspace=0.08,
    )
    return figure


def _split(grouping: Sequence[str]) -> tuple[list[str], str | None]:
    if len(grouping) < 2:
        return list(grouping), None
    return [*grouping[:1], *grouping[2:]], grouping[1]


def _labels(frame: pd.DataFrame, rows_by: Sequence[str]) -> list[str]:
    if not rows_by:
        return ["all"] * len(frame)
    return [" · ".join(map(str, values)) for values in zip(*(frame[name] for name in rows_by), strict=True)]


def _panel(
    axis: Any,
    frame: pd.DataFrame,
    name: str,
    labels: list[str],
    rows: list[str],
    colour_by: str | None,
    colours: list[str],
) -> None:
    place = {row: number for number, row in enumerate(rows)}
    step = 0.74 / len(colours)
    for number, colour in enumerate(colours):
        mine = frame[colour_by].astype(str).eq(colour).to_numpy() if colour_by else np.ones(len(frame), bool)
        y = np.array([place[label] for label in labels])[mine] + (number - (len(colours) - 1) / 2) * step
        low, high = (frame[f"{name}_{end}"].to_numpy(float)[mine] for end in ("low", "high"))
        value = np.where(np.isfinite(low) & np.isfinite(high), frame[name].to_numpy(float)[mine], np.nan)
        paint = _GREY if colour == MISSING else _COLOURS[number % len(_COLOURS)]
        axis.hlines(y, low, high, color=paint, linewidth=1.8, alpha=0.45)
        axis.plot(value, y, "o", markersize=4.6, color=paint, markeredgecolor="white", markeredgewidth=0.6, label=colour)
    for number in range(1, len(rows)):
        axis.axhline(number - 0.5, color=_RULE, linewidth=0.7)
    _frame_in(axis, frame, name)


def _frame_in(axis: Any, frame: pd.DataFrame, name: str) -> None:
    """Keep the axis on the values: a cell whose interval dwarfs all values must not squash the others."""
    settled = frame[[f"{name}_low", f"{name}_high"]].notna().all(axis=1).to_numpy()
    value = frame[name].to_numpy(float)[settled]
    ends = np.concatenate([frame[f"{name}_{end}"].to_numpy(float) for end in ("low", "high")])
    value, ends = value[np.isfinite(value)], ends[np.isfinite(ends)]
    if value.size:
        reach = 1.6 * (value.max() - value.min() or abs(value[0]) or 1)
        low = max(min([value.min(), *ends]), value.min() - reach * 0.35)
        high = min(max([value.max(), *ends]), value.max() + reach * 0.35)
        margin = 0.04 * (high - low or 1)
        axis.set_xlim(low - margin, high + margin)
    axis.set_title(name, loc="left", fontsize=10.5, color=_INK, pad=6)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if abs(x) >= 10 or x == 0 else f"{x:g}"))
    axis.tick_params(length=0, labelsize=9, colors=_INK)
    axis.grid(axis="x", color=_RULE, linewidth=0.7)
    axis.set_axisbelow(True)
    for side in axis.spines.values():
        side.set_visible(False)
