"""The outcome of an intersection as a person reads it: a list of persons, a number, or an answer.

Deterministic, so that ``pets verify`` makes the same bytes again from what the asker's server handed over.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pets.party.pairing import ABSENT, ids_of
from pets.spec.ir import Match, Plan, Read

if TYPE_CHECKING:
    import pandas as pd

I64 = npt.NDArray[np.int64]

COUNT: Final = "persons_in_both"
ANSWER: Final = "enough_in_both"
PERSONS: Final = "persons"
TAIL: Final = Fraction(2996, 1000)
"""95 of 100 draws of discrete Laplace noise stay within so many scales: ln 20."""


def table(plan: Plan, match: Match, opened: I64) -> "pd.DataFrame":
    """One row for each person in both, with what comes along; or one row with a number, or with an answer.

    Shapes:  opened (rows, words) int64, as ``party.opening.opened`` gives it.
    Missing: a value that its holder does not have is NA.
    """
    import pandas as pd

    if match.outcome == "cardinality":
        number = int(opened[0, 0])
        few = bool(match.min_result) and number == 0
        return pd.DataFrame({COUNT: pd.array([pd.NA if few else number], dtype="Int64")})
    if match.outcome == "threshold":
        return pd.DataFrame({ANSWER: [bool(opened[0, 0])]})
    asks, other = plan.reads
    if match.outcome == "sum":
        return _sums(match, asks, opened)
    ids = ids_of(np.ascontiguousarray(opened[:, : match.id_words]).view(np.uint64))
    found: dict[str, Any] = {asks.columns[0]: ids}
    brought = opened[: len(ids), match.id_words :]
    found |= _values(other, match.places, brought)
    return pd.DataFrame(found, columns=[asks.columns[0], *match.columns])


def _sums(match: Match, asks: Read, opened: I64) -> "pd.DataFrame":
    """One row for each group: how many persons, and of each column the sum and the mean; NA where it is withheld.

    With noise a sum has bounds, which hold 95 % of what the true sum may be under it.
    """
    import pandas as pd

    levels = [list(each.levels) for each in asks.dimensions]
    codes = np.indices([len(each) for each in levels]).reshape(len(levels), -1) if levels else np.empty((0, 1), int)
    found: dict[str, Any] = {}
    for each, code in zip(asks.dimensions, codes, strict=True):
        kind = pd.CategoricalDtype(list(each.levels), ordered=True)
        found[each.column.column] = pd.Categorical.from_codes(code.tolist(), dtype=kind)
    gone = opened[:, 0] == 0
    found[PERSONS] = pd.array(np.where(gone, 0, opened[:, 1]), dtype="Int64")
    found[PERSONS][gone] = pd.NA
    for number, (name, places) in enumerate(zip(match.columns, match.places, strict=True)):
        exact, units = opened[:, 2 + number], 10**places
        width = int(-(-TAIL * match.noised[number][0] / match.noised[number][1] // 1)) if match.noised else 0
        for end, by in (("", 0), ("_low", -width), ("_high", width)) if match.noised else (("", 0),):
            whole = pd.array(np.where(gone, 0, exact + by), dtype="Int64")
            found[f"sum_{name}{end}"] = whole if places == 0 else whole / units
            found[f"sum_{name}{end}"][gone] = pd.NA
        few = gone | (opened[:, 1] == 0)
        mean = np.where(few, np.nan, exact / np.where(few, 1, opened[:, 1]) / units)
        found[f"mean_{name}"] = pd.array([float(f"{each:.12g}") for each in mean.tolist()], dtype="Float64")
        found[f"mean_{name}"][few] = pd.NA
    return pd.DataFrame(found)


def _values(read: Read, places: tuple[int, ...], brought: I64) -> dict[str, Any]:
    """What came along, by column: measures in units of the last place, then levels of the dimensions together."""
    import pandas as pd

    out: dict[str, Any] = {}
    for number, (factor, after_point) in enumerate(zip(read.factors, places, strict=True)):
        (name,) = factor.values
        values = brought[:, number]
        whole = pd.array(np.where(values == ABSENT, 0, values), dtype="Int64")
        out[name] = whole if after_point == 0 else whole / 10**after_point
        out[name][values == ABSENT] = pd.NA
    cell = brought[:, len(read.factors)].copy() if read.dimensions else None
    for dimension in reversed(read.dimensions):
        assert cell is not None
        levels = list(dimension.levels)
        codes = cell % len(levels)
        cell //= len(levels)
        kind = pd.CategoricalDtype(levels, ordered=True)
        out[dimension.column.column] = pd.Categorical.from_codes(codes.tolist(), dtype=kind)
    return out


def note(plan: Plan, match: Match) -> str:
    """One line under a list or a number: that it is exact, and of whom."""
    asks, other = (read.dataset for read in plan.reads)
    if match.outcome == "cardinality" and match.min_result:
        return (
            f"The exact number of persons of {asks} who are in {other}, too, if there are at least "
            f"{match.min_result:,}; nothing is told of fewer."
        )
    if match.outcome == "cardinality" and match.epsilon:
        return f"The number of persons of {asks} who are in {other}, too, with noise (epsilon {match.epsilon} a run)."
    if match.outcome == "cardinality":
        return f"The exact number of persons of {asks} who are in {other}, too. No noise; which persons is not told."
    if match.outcome == "sum" and match.min_count:
        return f"Exact numbers, no noise. Withheld: groups of fewer than {match.min_count} persons in both."
    if match.outcome == "sum":
        return (
            f"Sums carry noise (epsilon {match.epsilon} a run), which hides the values of a person; numbers of persons "
            "are exact. Columns _low and _high: 95% range of that noise alone. Means are of sums with noise."
        )
    if match.outcome == "threshold":
        return f"Whether at least {match.at_least:,} persons of {asks} are in {other}, too. How many is not told."
    brought = f", with {', '.join(match.columns)} as {other} has it" if match.columns else ""
    return f"Persons of {asks} who are in {other}, too{brought}. Exact, and about single persons."


def plot(plan: Plan, match: Match, frame: "pd.DataFrame", title: str, path: "str | Path | None") -> Any:
    """Draw how many are in both, by the levels of what comes along, if there are few; write it to ``path`` if given."""
    from pets.chart import chart  # matplotlib takes a second to load

    of = [dimension.column.column for dimension in plan.reads[1].dimensions]
    if match.outcome == "sum":
        return _plot_sums(plan, match, frame, title, path)
    counted, name = frame, "answer" if match.outcome == "threshold" else "persons"
    if match.outcome == "intersection":
        by = frame.groupby(of, observed=False).size() if of else None
        counted = by.reset_index(name=name) if by is not None else frame.head(1)[[]].assign(**{name: len(frame)})
    else:
        counted = frame.set_axis([name], axis=1).fillna(0).astype("int64")
    counted = counted.assign(**{f"{name}_low": counted[name], f"{name}_high": counted[name]})
    figure = chart(counted, title=title, note=note(plan, match), grouping=of, statistics=(name,))
    if path is not None:
        figure.savefig(path)
    return figure


def _plot_sums(plan: Plan, match: Match, frame: "pd.DataFrame", title: str, path: "str | Path | None") -> Any:
    from pets.chart import chart

    names = [PERSONS, *(f"sum_{name}" for name in match.columns)]
    gone = frame[[PERSONS]].isna()
    drawn = frame.astype(dict.fromkeys([n for n in frame.columns if n.startswith(("sum_", "persons"))], "Float64"))
    for name in names:
        for end in ("_low", "_high"):
            if name + end not in drawn:
                drawn[name + end] = drawn[name]
    drawn = drawn.astype({n: "float64" for n in drawn.columns if n.startswith(("sum_", "persons"))})
    withheld = frame[[]].assign(**dict.fromkeys(names, gone[PERSONS]))
    of = [each.column.column for each in plan.reads[0].dimensions]
    figure = chart(drawn, title=title, note=note(plan, match), grouping=of, statistics=names, withheld=withheld)
    if path is not None:
        figure.savefig(path)
    return figure


def html(plan: Plan, match: Match, frame: "pd.DataFrame", *, title: str, notes: Sequence[str]) -> str:
    """The list of persons for a notebook, or the number; of a long list the first lines."""
    from pets.notebook import list_html

    return list_html(frame, title=title, notes=(note(plan, match), *notes))
