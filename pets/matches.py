"""The outcome of an intersection as a person reads it: a list of persons, a number, or an answer.

Deterministic, so that ``pets verify`` makes the same bytes again from what the asker's server handed over.
"""

from collections.abc import Sequence
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
    ids = ids_of(np.ascontiguousarray(opened[:, : match.id_words]).view(np.uint64))
    found: dict[str, Any] = {asks.columns[0]: ids}
    brought = opened[: len(ids), match.id_words :]
    found |= _values(other, match.places, brought)
    return pd.DataFrame(found, columns=[asks.columns[0], *match.columns])


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
    if match.outcome == "threshold":
        return f"Whether at least {match.at_least:,} persons of {asks} are in {other}, too. How many is not told."
    brought = f", with {', '.join(match.columns)} as {other} has it" if match.columns else ""
    return f"Persons of {asks} who are in {other}, too{brought}. Exact, and about single persons."


def plot(plan: Plan, match: Match, frame: "pd.DataFrame", title: str, path: "str | Path | None") -> Any:
    """Draw how many are in both, by the levels of what comes along, if there are few; write it to ``path`` if given."""
    from pets.chart import chart  # matplotlib takes a second to load

    of = [dimension.column.column for dimension in plan.reads[1].dimensions]
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


def html(plan: Plan, match: Match, frame: "pd.DataFrame", *, title: str, notes: Sequence[str]) -> str:
    """The list of persons for a notebook, or the number; of a long list the first lines."""
    from pets.notebook import list_html

    return list_html(frame, title=title, notes=(note(plan, match), *notes))
