"""How a result looks in a notebook: a table with each value and, beside it, the range that its noise leaves open.

A fragment that needs nothing beside it and runs nothing; its style reaches no other output of the notebook.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from math import floor, isfinite, log10
from typing import Any, Final

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
.pets-result .number{text-align:right;padding-left:1.1em}
.pets-result .range{opacity:.65;font-size:.88em;padding-left:.6em}
.pets-result .weak{opacity:.5}
.pets-result p{max-width:60em;font-size:.88em;opacity:.8;margin:.2em 0}
"""


def table_html(
    frame: Any, *, title: str, grouping: Sequence[str], statistics: Sequence[str], notes: Sequence[str]
) -> str:
    """A released table. ``frame`` has a row per cell and ``name``, ``name_low``, ``name_high`` for each statistic."""
    shown = frame.iloc[:MAX_ROWS]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in grouping)
    head += "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in statistics)
    columns = [[f'<th scope="row">{escape(str(value))}</th>' for value in shown[name]] for name in grouping]
    for name in statistics:
        texts = _values(shown[name], shown[f"{name}_low"], shown[f"{name}_high"])
        columns.append([f'<td class="number">{text}</td>' for text in texts])
    rows = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    cut = [f"The first {MAX_ROWS} of {len(frame):,} cells."] if len(frame) > MAX_ROWS else []
    below = "".join(f"<p>{escape(note)}</p>" for note in (*cut, *notes))
    return (
        f'<div class="pets-result"><style>{_STYLE}</style><table><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}</div>"
    )


def _values(values: Iterable[Any], lows: Iterable[Any], highs: Iterable[Any]) -> Iterator[str]:
    """Each value with as many places as its range gives a meaning to."""
    for value, low, high in zip(map(float, values), map(float, lows), map(float, highs), strict=True):
        if not isfinite(value):
            yield f'<span class="weak" title="the noise leaves no value">{UNDETERMINED}</span>'
        elif not (isfinite(low) and isfinite(high)):
            yield (
                f'<span class="weak" title="the noise may leave no value here">{_number(value, abs(value))}'
                '<span class="range">undetermined</span></span>'
            )
        else:
            width = high - low
            yield (f'{_number(value, width)}<span class="range">{_number(low, width)} to {_number(high, width)}</span>')


def _number(value: float, width: float) -> str:
    """Digits down to a hundredth of ``width``: more of them are noise."""
    places = 0 if width <= 0 else min(max(2 - floor(log10(width)) - 1, 0), 9)
    text = f"{value:,.{places}f}"
    return text.replace("-", "\u2212") if float(text.replace(",", "")) else f"{0:.{places}f}"
