"""How a result looks in a notebook: a table with each value and, beside it, the range that its noise leaves open.

A fragment that needs nothing beside it and runs nothing; its style reaches no other output of the notebook.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any, Final

from pets.ids import WITHHELD

if TYPE_CHECKING:
    from pets.logistic import Model

MAX_ROWS: Final = 50
"""A longer table shows its first rows and says how many there are."""

UNDETERMINED: Final = "–"

_STYLE: Final = """
.pets-result{font-family:system-ui,sans-serif;line-height:1.35;margin:.4em 0 1em}
.pets-result table{border-collapse:collapse;margin:.6em 0;font-size:.95em;font-variant-numeric:tabular-nums}
.pets-result caption{caption-side:top;text-align:left;font-weight:600;font-size:1.1em;padding:0 0 .5em}
.pets-result th,.pets-result td{padding:.3em 1.1em .3em .2em;text-align:left;border:0;background:none;
border-bottom:1px solid rgba(128,128,128,.25);vertical-align:baseline;white-space:nowrap}
.pets-result thead th{border-bottom:2px solid rgba(128,128,128,.6);font-weight:600}
.pets-result tbody th{font-weight:400}
.pets-result .number{text-align:right;padding-left:1.4em;padding-right:.6em}
.pets-result thead .number{text-align:center}
.pets-result .range{opacity:.65;font-size:.88em}
.pets-result .weak{opacity:.5}
.pets-result p{max-width:60em;font-size:.88em;opacity:.8;margin:.2em 0}
"""


def table_html(
    frame: Any,
    *,
    title: str,
    grouping: Sequence[str],
    statistics: Sequence[str],
    notes: Sequence[str],
    withheld: Any = None,
) -> str:
    """A released table. ``frame`` has a row per cell and ``name``, ``name_low``, ``name_high`` for each statistic.

    ``withheld``: the same rows, and for each statistic whether it is withheld there.
    """
    shown = frame.iloc[:MAX_ROWS]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in grouping)
    head += "".join(f'<th scope="colgroup" colspan="2" class="number">{escape(name)}</th>' for name in statistics)
    columns = [[f'<th scope="row">{escape(str(value))}</th>' for value in shown[name]] for name in grouping]
    for name in statistics:
        gone = [False] * len(shown) if withheld is None else withheld[name].iloc[:MAX_ROWS]
        value, low, high = (shown[f"{name}{end}"].astype(float) for end in ("", "_low", "_high"))
        columns.append(list(_column(value, low, high, gone)))
    rows = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    cut = [f"The first {MAX_ROWS} of {len(frame):,} cells."] if len(frame) > MAX_ROWS else []
    below = "".join(f"<p>{escape(note)}</p>" for note in (*cut, *notes))
    return (
        f'<div class="pets-result"><style>{_STYLE}</style><table><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}</div>"
    )


def list_html(frame: Any, *, title: str, notes: Sequence[str]) -> str:
    """A list of persons with what comes with each, or a table of one number; of a long one the first lines."""
    shown = frame.iloc[:MAX_ROWS]
    number = [str(kind).startswith(("Int", "Float", "int", "float")) for kind in frame.dtypes]
    cells = [' class="number"' if each else "" for each in number]
    head = "".join(f'<th scope="col"{cell}>{escape(str(n))}</th>' for n, cell in zip(frame.columns, cells, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{cell}>{_told(v)}</td>" for v, cell in zip(row, cells, strict=True)) + "</tr>"
        for row in shown.itertuples(index=False)
    )
    cut = [f"The first {MAX_ROWS} of {len(frame):,} persons."] if len(frame) > MAX_ROWS else []
    below = "".join(f"<p>{escape(note)}</p>" for note in (*cut, *notes))
    return (
        f'<div class="pets-result"><style>{_STYLE}</style><table><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}</div>"
    )


def _told(value: Any) -> str:
    """A cell of a list; what its holder does not have is a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    said = str(value)
    return UNDETERMINED if said in ("<NA>", "nan", "None") else escape(said)


def model_html(model: "Model", *, title: str = "", notes: Sequence[str] = ()) -> str:
    """A logistic regression: a line for each term, and below what the numbers say."""
    head = "".join(
        f'<th scope="{scope}"{span} class="number">{name}</th>'
        for name, scope, span in (
            ("odds ratio", "colgroup", ' colspan="2"'),
            ("coefficient", "col", ""),
            ("standard error", "col", ""),
            ("p", "col", ""),
        )
    )
    rows = []
    for name, unit, odds, ends, coefficient, error, p in model.written():
        beside = f'<span class="range">{escape(unit)}</span>'
        numbers = "".join(f'<td class="number">{escape(each)}</td>' for each in (coefficient, error, p))
        rows.append(f'<tr><th scope="row">{escape(name)} {beside}</th>{_pair(odds, ends)}{numbers}</tr>')
    first, *said = model.explain().split("\n")
    below = "".join(f"<p>{escape(note)}</p>" for note in (*said, *notes))
    return (
        f'<div class="pets-result"><style>{_STYLE}</style><table><caption>{escape(title or first)}</caption>'
        f'<thead><tr><th scope="col"></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f"{f'<p>{escape(first)}</p>' if title else ''}{below}</div>"
    )


def _column(
    values: Iterable[float], lows: Iterable[float], highs: Iterable[float], withheld: Iterable[bool]
) -> Iterator[str]:
    """Two cells for each value: itself, and its range. As many places as the ranges of the column give a meaning to.

    One that is withheld says so; a column that is exact has no ranges.
    """
    rows = list(zip(values, lows, highs, strict=True))
    exact = all(low == high for _, low, high in rows if isfinite(low) and isfinite(high))
    widths = sorted(high - low for _, low, high in rows if isfinite(low) and isfinite(high) and high > low)
    whole = all(number.is_integer() for row in rows for number in map(float, row) if isfinite(number))
    typical = max(1 - floor(log10(widths[len(widths) // 2])), 0) if widths else _places(values)
    places = 0 if whole else min(typical, 9)
    for (value, low, high), gone in zip(rows, withheld, strict=True):
        if gone:
            yield _pair(WITHHELD, "", weak=True)
        elif not isfinite(value):
            yield _pair(UNDETERMINED, "not determined", weak=True)
        elif not (isfinite(low) and isfinite(high)):
            yield _pair(_number(value, places), "not determined", weak=True)
        elif exact:
            yield _pair(_number(value, places), "")
        else:
            yield _pair(_number(value, places), f"{_number(low, places)} to {_number(high, places)}")


def _places(values: Iterable[float]) -> int:
    """Of exact numbers: none for whole ones."""
    return 0 if all(float(value).is_integer() for value in values if isfinite(value)) else 4


def _pair(value: str, beside: str, *, weak: bool = False) -> str:
    return f'<td class="number{" weak" if weak else ""}">{value}</td><td class="range">{beside}</td>'


def _number(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:,.{places}f}".replace("-", "\u2212")
