"""One picture of a ledger: a panel for each account, in which spending climbs towards its cap and falls at each period.

Every step is a run. What is spent is told in words beside the end of the line, the cap beside its own, and a day on
which the budget returned is written on the axis of days. Told apart by line and place and not by colour, so that it can
be printed in grey. Colours and type are those of chart.py.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Final

from matplotlib import dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pets.chart import INK, RULE, SOFT, Picture, fold

_FILL: Final = "#C9DCEA"
_LINE: Final = "#0B4F7D"
_OPEN: Final = "#8A6D1D"
_WIDTH: Final = 9.2
"""Inches; so are all lengths below."""
_LEFT: Final = 0.85
_RIGHT: Final = 1.95
_PANEL: Final = 2.05
_GAP: Final = 0.72
_LABEL: Final = 25
_LETTERS: Final = 0.16
"""Height of a line of a label."""
_ROOM: Final = 0.76
"""Part of the days after which the label of what is spent has no room within the panel."""

MAX_PANELS: Final = 6
MAX_RETURNS: Final = 40
"""Days on which the budget returned that are drawn, of periods so short that they are more than can be told apart."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was spent on one day, in the unit of the panel; ``settled``: and the runs are over."""

    day: dt.date
    amount: float
    settled: bool


@dataclass(frozen=True, slots=True)
class Stair:
    """One account: its steps in order, from ``first`` to ``today``; the days from which on all is new; its cap.

    ``before``: steps of the period of ``first`` before that day, on which the line begins.
    ``unit``: what is added up. ``cap_said``, ``spent_said``: in words, beside the lines.
    """

    head: str
    unit: str
    before: tuple[Step, ...]
    steps: tuple[Step, ...]
    returns: tuple[dt.date, ...]
    cap: float
    cap_said: str
    spent_said: str
    first: dt.date
    today: dt.date
    last: dt.date


def staircase(stairs: Sequence[Stair], *, title: str, note: str) -> Figure:
    """Draw accounts, one below the other, on one axis of days."""
    shown = list(stairs[:MAX_PANELS])
    if len(stairs) > len(shown):
        note += f" The first {len(shown)} of {len(stairs)} accounts are shown."
    titles, notes = wrap(title, int(_WIDTH / 0.115)) or [""], wrap(note, int(_WIDTH / 0.071))
    top, bottom = 0.55 + 0.24 * len(titles), 0.75 + 0.15 * len(notes)
    height = top + _PANEL * len(shown) + _GAP * (len(shown) - 1) + bottom
    figure = Picture(figsize=(_WIDTH, height), dpi=140, facecolor="white")
    FigureCanvasAgg(figure)
    axes: list[Any] = [figure.add_subplot(len(shown), 1, number + 1) for number in range(len(shown))]
    for axis, stair in zip(axes, shown, strict=True):
        _panel(axis, stair)
    axes[-1].set_xlabel("day on which budget was reserved (UTC)", fontsize=9, color=SOFT, labelpad=6)
    figure.text(0.15 / _WIDTH, 1 - 0.16 / height, "\n".join(titles), **_text(13, "bold"), va="top")
    figure.text(0.15 / _WIDTH, 0.12 / height, "\n".join(notes), fontsize=8, color=SOFT, va="bottom")
    figure.subplots_adjust(
        left=_LEFT / _WIDTH,
        right=1 - _RIGHT / _WIDTH,
        top=1 - top / height,
        bottom=bottom / height,
        hspace=_GAP / _PANEL,
    )
    return figure


@dataclass(frozen=True, slots=True)
class _Path:
    """Corners of the line, in order: what is spent up to each day."""

    days: list[float]
    spent: list[float]
    open: list[float]
    """Of it what belongs to runs that were never settled."""


def _path(stair: Stair) -> _Path:
    days, spent = [_number(stair.first)], [sum(step.amount for step in stair.before)]
    unsettled = [sum(step.amount for step in stair.before if not step.settled)]

    def corner(day: dt.date, whole: float, still: float) -> None:
        for height, rest in ((spent[-1], unsettled[-1]), (whole, still)):
            days.append(_number(day))
            spent.append(height)
            unsettled.append(rest)

    changes = [(day, 0, None) for day in stair.returns] + [(step.day, 1, step) for step in stair.steps]
    for day, _, step in sorted(changes, key=lambda change: change[:2]):
        if step is None:
            corner(day, 0.0, 0.0)
        else:
            corner(day, spent[-1] + step.amount, unsettled[-1] + (0.0 if step.settled else step.amount))
    days.append(_number(stair.today))
    spent.append(spent[-1])
    unsettled.append(unsettled[-1])
    return _Path(days, spent, unsettled)


def _panel(axis: Any, stair: Stair) -> None:
    path = _path(stair)
    ceiling = max(stair.cap, *path.spent) * 1.16 or 1.0
    settled = [whole - still for whole, still in zip(path.spent, path.open, strict=True)]
    axis.fill_between(path.days, settled, color=_FILL, linewidth=0)
    if any(path.open):
        axis.fill_between(path.days, settled, path.spent, facecolor="white", edgecolor=_OPEN, hatch="////", linewidth=0)
    axis.plot(path.days, path.spent, color=_LINE, linewidth=1.8, solid_joinstyle="miter")
    axis.plot(path.days[-1:], path.spent[-1:], "o", ms=5.5, color=_LINE, mec="white", mew=0.8, clip_on=False)
    axis.axhline(stair.cap, color=INK, linewidth=1.3, dashes=(5, 3))
    for day in stair.returns[-MAX_RETURNS:]:
        axis.axvline(_number(day), color=SOFT, linewidth=0.8, dashes=(1, 2))
    axis.set_xlim(_number(stair.first), _number(stair.last))
    axis.set_ylim(0, ceiling)
    _words(axis, stair, path.spent[-1], ceiling)
    _axes(axis, stair)


def _words(axis: Any, stair: Stair, spent: float, ceiling: float) -> None:
    """The labels: the cap's beside its line, what is spent beside its dot where there is room, and the last return."""
    axis.set_title(stair.head, loc="left", pad=7, **_text(10.5, "bold"))
    begins, ends, now = (_number(day) for day in (stair.first, stair.last, stair.today))
    cap_said, spent_said = (_folded(text) for text in (stair.cap_said, stair.spent_said))
    upper, lower = stair.cap / ceiling, spent / ceiling
    tall = {text: (text.count("\n") + 1) * _LETTERS / _PANEL for text in (cap_said, spent_said)}
    blue = {**_text(9, "bold"), "color": _LINE}
    if now - begins < _ROOM * (ends - begins):
        half = tall[spent_said] / 2 + 0.02
        place = min(max(lower, half), 1 - half)
        if abs(place - upper) < half:  # off the line of the cap
            place = upper - half if lower <= upper else upper + half
        axis.annotate(
            spent_said,
            (now, place),
            (9, 0),
            xycoords=axis.get_xaxis_transform(),
            textcoords="offset points",
            va="center",
            **blue,
        )
    else:
        apart = (tall[cap_said] + tall[spent_said]) / 2 + 0.03
        if abs(upper - lower) < apart:
            middle = min(max((upper + lower) / 2, apart / 2 + 0.1), 1 - apart / 2)
            sign = 1 if upper >= lower else -1
            upper, lower = middle + sign * apart / 2, middle - sign * apart / 2
        axis.text(1.012, lower, spent_said, transform=axis.transAxes, va="center", **blue)
    axis.text(1.012, upper, cap_said, transform=axis.transAxes, va="center", **_text(9))
    if stair.returns:
        day, place = stair.returns[-1], _number(stair.returns[-1])
        left = place - begins > 0.7 * (ends - begins)
        axis.annotate(
            f"budget returned on {day.day} {day:%B %Y}",
            (place, ceiling * 0.985),
            (-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
            fontsize=7.5,
            color=SOFT,
        )


def _axes(axis: Any, stair: Stair) -> None:
    axis.set_ylabel(stair.unit, fontsize=9, color=SOFT)
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if abs(y) >= 10 or y == 0 else f"{y:g}"))
    locator: Any = dates.AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.xaxis.get_offset_text().set(fontsize=8.5, color=SOFT)
    axis.tick_params(length=0, labelsize=9, colors=INK)
    axis.tick_params(axis="x", pad=6)
    axis.grid(axis="y", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    for name, side in axis.spines.items():
        side.set_visible(name == "bottom")
        side.set_color(SOFT)


def _folded(text: str) -> str:
    return "\n".join("\n".join(fold(line, _LABEL)) for line in text.split("\n"))


def _number(day: dt.date) -> float:
    return float(dates.date2num(day))  # type: ignore[no-untyped-call]


def _text(size: float, weight: str = "normal") -> dict[str, Any]:
    return {"fontsize": size, "fontweight": weight, "color": INK}
