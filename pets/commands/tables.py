"""A released table and the price of its run, as a terminal shows them: no word is broken, whatever the width."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pets.check.blocks import size
from pets.ids import MISSING, WITHHELD

if TYPE_CHECKING:
    from pets.result import Result

UNDETERMINED: Final = "not determined"
"""What a statistic is that the noise leaves open: a mean over a count that may be zero."""

GAP: Final = 2
LONGEST_LABEL: Final = 32


@dataclass(frozen=True, slots=True)
class Cell:
    """A value and the bounds of what noise alone may have done to it."""

    value: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        return isfinite(self.value) and isfinite(self.low) and isfinite(self.high)

    @property
    def even(self) -> bool:
        """The bounds lie equally far from the value: one number says both."""
        return abs((self.high - self.value) - (self.value - self.low)) <= 1e-6 * max(1.0, self.high - self.low)


def released(result: "Result", width: int, *, most: int) -> list[Table]:
    """The table, ``most`` rows of it at most; in parts with the same rows where its columns do not fit beside another.

    Rows of a missing level are dim: they are there for completeness, and mostly noise.
    """
    frame = result.to_pandas().head(most)
    labels = [[_short(str(value)) for value in frame[name]] for name in result.grouping]
    gone = result.withheld.head(most)
    values = [statistic(_cells(frame, name), list(gone[name])) for name in result.statistics]
    dim = [MISSING in row for row in zip(*labels, strict=True)] if labels else [False] * len(frame)
    fixed = sum(_wide(name, map(cell_len, column)) for name, column in zip(result.grouping, labels, strict=True))
    widths = [_wide(n, map(_length, column)) for n, column in zip(result.statistics, values, strict=True)]
    tables = []
    for part in _parts(widths, width - fixed):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP, 0, 0), show_edge=False)
        for name in result.grouping:
            table.add_column(escape(_short(name)), no_wrap=True)
        for number in part:
            table.add_column(escape(_short(result.statistics[number])), no_wrap=True, justify="right")
        for row in range(len(frame)):
            cells = [escape(text) for text in _once(labels, row)]
            cells += [values[number][row] for number in part]
            table.add_row(*cells, style="dim" if dim[row] else None)
        tables.append(table)
    return tables


def statistic(cells: Sequence[Cell], withheld: Sequence[bool] | None = None) -> list[str]:
    """The cells of one statistic as text: ``2,798 ± 44``, or ``138 [116 to 160]`` where the bounds are uneven.

    Only ``2,798`` where all are exact. ``withheld``: in which disclosure control keeps the number back.
    """
    gone = withheld or [False] * len(cells)
    words = [f"[dim]{WITHHELD if one else UNDETERMINED}[/]" for one in gone]
    known = [cell for cell in cells if cell.determined]
    if not known:
        return words
    places = _places(known)

    def text(number: float) -> str:
        return f"{number + 0.0:,.{places}f}"

    spread: dict[int, str]
    if all(cell.low == cell.high for cell in known):
        spread = {id(cell): "" for cell in known}
    elif all(cell.even for cell in known):
        widest = max(len(text(cell.high - cell.value)) for cell in known)
        spread = {id(cell): f"± {text(cell.high - cell.value):>{widest}}" for cell in known}
    else:
        low, high = (max(len(text(getattr(cell, end))) for cell in known) for end in ("low", "high"))
        spread = {id(cell): escape(f"[{text(cell.low):>{low}} to {text(cell.high):>{high}}]") for cell in known}
    return [
        f"{text(cell.value)} [dim]{spread[id(cell)]}[/]".replace(" [dim][/]", "") if cell.determined else word
        for cell, word in zip(cells, words, strict=True)
    ]


def price(result: "Result") -> Table:
    """Seconds at each party and bytes, by step. A party's seconds include its waiting for what the step needs."""
    spent: dict[tuple[str, str], float] = {}
    for one in result.steps:
        spent[one.step, one.party] = spent.get((one.step, one.party), 0.0) + one.seconds
    forecast = result.review.settled().forecast
    holders = frozenset() if result.plan.pool is None else frozenset(result.plan.pool.holders)
    parties = [party for party in result.review.spec.servers if party not in holders]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP, 0, 0), show_edge=False)
    table.add_column("step", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("to", no_wrap=True)
    table.add_column("bytes", no_wrap=True, justify="right")
    for party in parties:
        table.add_column(f"{escape(party)}, s", no_wrap=True, justify="right")

    def add(step: str, sender: str = "", receiver: str = "", amount: str = "") -> None:
        seconds = [f"{spent[step, party]:.2f}" if (step, party) in spent else "" for party in parties]
        table.add_row(escape(step), escape(sender), escape(receiver), amount, *seconds)

    add("records")
    add("hello")
    if holders:
        add("uploads", "holders", "", size(sum(each.size for each in forecast.messages if each.sender in holders)))
    for message in forecast.messages:
        if message.size and message.sender not in holders:
            add(message.label, message.sender, message.receiver, size(message.size))
    totals = [sum(seconds for (_, who), seconds in spent.items() if who == party) for party in parties]
    table.add_section()
    table.add_row("total", "", "", size(forecast.size), *(f"{total:.2f}" for total in totals), style="bold")
    return table


def _cells(frame: Any, name: str) -> list[Cell]:
    columns = (frame[f"{name}{end}"].astype(float) for end in ("", "_low", "_high"))
    return [Cell(*row) for row in zip(*columns, strict=True)]


def _places(known: Sequence[Cell]) -> int:
    """Decimal places that the noise leaves meaning to: two digits of half a typical interval."""
    half = median((cell.high - cell.low) / 2 for cell in known)
    if all(float(number).is_integer() for cell in known for number in (cell.value, cell.low, cell.high)):
        return 0
    return 4 if half <= 0 else max(0, min(6, 1 - floor(log10(half))))


def _once(labels: Sequence[Sequence[str]], row: int) -> Iterator[str]:
    """The labels of a row; one that the row above has too, with all before it, is not said again."""
    same = row > 0
    for number, column in enumerate(labels):
        same = same and column[row] == column[row - 1] and number < len(labels) - 1
        yield "" if same else column[row]


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of the columns of each part: as many as fit, one at least."""
    parts: list[list[int]] = []
    left = 0
    for number, width in enumerate(widths):
        if not parts or width > left:
            parts.append([])
            left = room
        parts[-1].append(number)
        left -= width
    return parts


def _wide(name: str, lengths: Iterable[int]) -> int:
    return max(cell_len(_short(name)), *lengths) + GAP


def _length(markup: str) -> int:
    return Text.from_markup(markup).cell_len


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
