"""What a program released, as a person reads it: one row for each number.

Deterministic, so that ``pets verify`` makes the same bytes again from the shares that the parties sent.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pets.spec.ir import Execute

if TYPE_CHECKING:
    import pandas as pd

OUTPUT, PLACE, VALUE = "output", "place", "value"

DIGITS: Final = 12
"""Significant digits of a number that is not whole."""


def numbers(step: Execute, opened: Sequence[int]) -> dict[str, tuple[Fraction, ...]]:
    """What came out by output, exactly. ``opened``: output after output, in units of each one's last place."""
    found, at = {}, 0
    for output in step.terms.outputs:
        own = opened[at : at + output.count]
        found[output.name] = tuple(Fraction(int(value), 1 << output.fraction) for value in own)
        at += output.count
    return found


def table(step: Execute, opened: Sequence[int]) -> "pd.DataFrame":
    """One row for each number: its output, its place in it from 1, and the number, whole or to twelve digits."""
    import pandas as pd

    rows = [
        (name, place, _shown(value))
        for name, values in numbers(step, opened).items()
        for place, value in enumerate(values, 1)
    ]
    frame = pd.DataFrame(rows, columns=[OUTPUT, PLACE, VALUE])
    whole = all(isinstance(value, int) and abs(value) < 1 << 63 for _, _, value in rows)
    frame[VALUE] = frame[VALUE].astype("Int64" if whole else object)
    return frame


def _shown(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(f"{float(value):.{DIGITS}g}")


def note(step: Execute) -> str:
    """One line under the numbers: what they are."""
    what = "a program of the author's own" if step.terms.program == "own" else f"the program {step.terms.program}"
    return (
        f"Exact numbers, no noise: what {what} (source {step.terms.source[:16]}…) makes of the numbers of "
        f"{len(step.terms.parties)} parties."
    )


def plot(step: Execute, frame: "pd.DataFrame", title: str, path: "str | Path | None") -> Any:
    """Draw the numbers; write the picture to ``path`` if given."""
    from pets.chart import chart  # matplotlib takes a second to load

    value = frame[VALUE].astype("float64")
    named = frame[OUTPUT] if (frame[PLACE] == 1).all() else frame[OUTPUT] + " " + frame[PLACE].astype(str)
    drawn = frame[[]].assign(number=named, **{VALUE: value, f"{VALUE}_low": value, f"{VALUE}_high": value})
    figure = chart(drawn, title=title, note=note(step), grouping=["number"], statistics=(VALUE,))
    if path is not None:
        figure.savefig(path)
    return figure


def html(step: Execute, frame: "pd.DataFrame", *, title: str, notes: Sequence[str]) -> str:
    """The numbers for a notebook."""
    from pets.notebook import list_html

    return list_html(frame, title=title, notes=(note(step), *notes))
