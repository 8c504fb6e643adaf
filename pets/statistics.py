"""Chi-square tests, odds ratios, relative risks and survival, from the counts of a released table and nothing else.

Whatever is computed here rests on numbers that were released: noised, rounded, or shown because enough people are
behind them. A count that is needed and withheld ends in an error; it is never guessed from others. Where counts carry
noise, ranges are those of sampling and noise together: the noise is taken back at fixed draws of its law, and each draw
gets its own sampling error. Where counts are rounded, ranges hold whatever the true counts were. Equal tables give
equal numbers, also when the table comes from its files (``read``).
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, ndtri

from pets import derive
from pets.errors import StatisticsError
from pets.ids import MISSING, WITHHELD
from pets.noise_law import LEVEL, Law, law_of, parts_of, uniform
from pets.plan.review import review
from pets.spec.ir import AddNoise, Plan, Read
from pets.spec.parse import parse_toml
from pets.spec.query import Statistic

if TYPE_CHECKING:
    import pandas as pd

F64 = npt.NDArray[np.float64]

COUNTS: Final = (Statistic.COUNT_ROWS, Statistic.COUNT_VALUES, Statistic.COUNT_PEOPLE)
DRAWS: Final = 4000
SMALL: Final = 5
"""Below so many expected people in a cell, the law of chi-square is a poor guide to the statistic's."""

_Z: Final = float(ndtri((1 + LEVEL) / 2))


@dataclass(frozen=True, slots=True)
class Test:
    """A test of independence: the statistic and p, each with what noise or rounding leaves open; how to read them."""

    statistic: float
    low: float
    high: float
    freedom: int
    p: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio and its 95 % confidence interval, widened by noise or rounding; how to read it."""

    value: float
    low: float
    high: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survival:
    """A survival curve: ``table`` has time, at_risk, events, survival, se, low and high (95 %), a row for each time."""

    table: "pd.DataFrame"
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """One column of counts of a released table, with one axis for each grouping column.

    ``axes``: levels by the name that the column has in the table. ``value``, ``low``, ``high``: arrays of that shape;
    NaN where a count is withheld or HAVING left its row out. ``law``: of the noise, if it carries any.
    """

    axes: Mapping[str, tuple[str, ...]]
    value: F64
    low: F64
    high: F64
    law: Law | None
    notes: tuple[str, ...] = ()

    def chi_square(
        self,
        rows: str,
        columns: str,
        *,
        levels: Mapping[str, Sequence[str]] | None = None,
        at: Mapping[str, str] | None = None,
    ) -> Test:
        """Pearson's test of independence of two grouping columns.

        ``levels``: those that take part, by column; all but ``(missing)`` if a column is not named. ``at``: the level
        of every other grouping column. With noise, p is the share of tables of independent columns, drawn with their
        sampling and noise, whose statistic is as great (Gaboardi and others, ICML 2016).
        Raises: StatisticsError statistics.column, .shape, .withheld, .undetermined.
        """
        own = self._part("a chi-square test", (rows, columns), levels, at)
        r, c = own.value.shape
        if min(r, c) < 2:
            raise StatisticsError(
                "statistics.shape", what="a chi-square test", wanted="two levels of each column", got=f"{r} by {c}"
            )
        statistic, expected = _pearson(own.value[None])
        if not np.isfinite(statistic[0]):
            problem = "a level has no people, or fewer than none by noise"
            raise StatisticsError("statistics.undetermined", what="a chi-square test", problem=problem)
        freedom = (r - 1) * (c - 1)
        notes = [*own.notes]
        if expected.min() < SMALL:
            notes.append(f"A cell has fewer than {SMALL} expected people: p is rough.")
        low, high = own._range(_pearson(own._possible())[0])
        if own.law is None and low < high:
            notes.append(
                f"low and high are the ends over {DRAWS:,} tables that are shown so, and p is of the shown one."
            )
        if own.law is None:
            p = float(chdtrc(freedom, statistic[0]))
        else:
            p = _as_great(float(statistic[0]), expected[0], own.law)
            notes.append("p is by simulation, with the noise in it.")
        return Test(float(statistic[0]), low, high, freedom, p, tuple(notes))

    def odds_ratio(
        self,
        rows: str,
        columns: str,
        *,
        levels: Mapping[str, Sequence[str]] | None = None,
        at: Mapping[str, str] | None = None,
    ) -> Ratio:
        """Odds of the first level of ``columns`` in the first level of ``rows``, over those in the second (Woolf)."""
        return self._ratio("an odds ratio", _log_odds, (rows, columns), levels, at)

    def relative_risk(
        self,
        rows: str,
        columns: str,
        *,
        levels: Mapping[str, Sequence[str]] | None = None,
        at: Mapping[str, str] | None = None,
    ) -> Ratio:
        """Share of the first level of ``columns`` in the first level of ``rows``, over that in the second (Katz)."""
        return self._ratio("a relative risk", _log_risk, (rows, columns), levels, at)

    def kaplan_meier(self, time: str, event: str, *, happened: str, at: Mapping[str, str] | None = None) -> Survival:
        """Survival by Kaplan and Meier from grouped times, with Greenwood's standard error and interval.

        ``time``: the grouping column whose levels are times in order; ``event``: the one that tells whether at that
        time the event happened (level ``happened``) or a person was last seen without it (every other level).
        Events of a time come before its last sightings. Who has ``(missing)`` in either column is left out.
        """
        import pandas as pd

        own = self._part("a survival curve", (time, event), None, at)
        if happened not in own.axes[event]:
            raise StatisticsError("statistics.column", name=happened, problem=f"is no level of {event}")
        place = own.axes[event].index(happened)
        events, leaving = own._split(place, own.value)
        survival, error, at_risk = _survival(events, leaving)
        if own.law is not None:
            drawn = own._possible()
            s, e, _ = _survival(*own._split(place, drawn))
            z = ndtri(uniform("survival", len(drawn)))[:, None]
            low, high = np.quantile(np.clip(s + z * e, 0, 1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        else:
            (least, leave_least), (most, leave_most) = (own._split(place, x) for x in (own.low, own.high))
            low, high = _survival_bounds(least, most, leave_least, leave_most)
        table = pd.DataFrame(
            {
                "time": list(own.axes[time]),
                "at_risk": at_risk,
                "events": events,
                "survival": survival,
                "se": error,
                "low": low,
                "high": high,
            }
        )
        return Survival(table, own.notes)

    # -- what of the table is needed -----------------------------------------------------------------------------------

    def _part(
        self,
        what: str,
        names: tuple[str, str],
        levels: Mapping[str, Sequence[str]] | None,
        at: Mapping[str, str] | None,
    ) -> "Counts":
        """The counts of two grouping columns, in that order, where every other one has the level ``at`` says."""
        levels, at = levels or {}, at or {}
        for name in (*names, *levels, *at):
            if name not in self.axes:
                known = ", ".join(self.axes) or "none"
                raise StatisticsError(
                    "statistics.column", name=name, problem=f"is no grouping column: they are {known}"
                )
        others = [name for name in self.axes if name not in names]
        if set(others) != set(at) or names[0] == names[1]:
            wanted = f"two grouping columns, with at= for {', '.join(others) or 'no other'}"
            raise StatisticsError(
                "statistics.shape", what=what, wanted=wanted, got=f"at= for {', '.join(at) or 'none'}"
            )
        chosen = {
            name: tuple(levels.get(name, [level for level in self.axes[name] if level != MISSING])) for name in names
        } | {name: (level,) for name, level in at.items()}
        for name, own in chosen.items():
            if unknown := next((level for level in own if level not in self.axes[name]), None):
                raise StatisticsError("statistics.column", name=unknown, problem=f"is no level of {name}")
        index = np.ix_(*([own.index(level) for level in chosen[name]] for name, own in self.axes.items()))
        order = [list(self.axes).index(name) for name in (*names, *others)]
        shape = tuple(len(chosen[name]) for name in names)
        parts = [np.transpose(each[index], order).reshape(shape) for each in (self.value, self.low, self.high)]
        axes = {name: chosen[name] for name in names}
        gone = [cell for cell, value in zip(product(*axes.values()), parts[0].ravel(), strict=True) if np.isnan(value)]
        if gone:
            cells = "; ".join(" and ".join(cell) for cell in gone[:3]) + ("; ..." if len(gone) > 3 else "")
            raise StatisticsError("statistics.withheld", what=what, count=len(gone), cells=cells)
        notes = [*self.notes]
        if any(MISSING not in chosen[name] for name in names):
            notes.append(f"People with {MISSING} are left out.")
        value, low, high = parts
        return Counts(axes, value, low, high, self.law, tuple(notes))

    def _ratio(
        self,
        what: str,
        log: Callable[[F64], tuple[F64, F64]],
        names: tuple[str, str],
        levels: Mapping[str, Sequence[str]] | None,
        at: Mapping[str, str] | None,
    ) -> Ratio:
        own = self._part(what, names, levels, at)
        if own.value.shape != (2, 2):
            got = " by ".join(map(str, own.value.shape))
            raise StatisticsError("statistics.shape", what=what, wanted="two levels of each column", got=got)
        if own.value.min() <= 0 or (own.low.min() <= 0 and own.law is None):
            raise StatisticsError(
                "statistics.undetermined", what=what, problem="a cell has no people, or may have none"
            )
        value, _ = log(own.value[None])
        if own.law is not None:
            at_random, spread = log(np.maximum(own._possible(), 0.5))
            z = ndtri(uniform("ratio", len(at_random)))
            low, high = np.quantile(at_random + z * spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        else:
            ends = np.stack([np.stack([own.low, own.high])[list(pick), _I, _J] for pick in product((0, 1), repeat=4)])
            end, spread = log(ends.reshape(-1, 2, 2))
            low, high = (end - _Z * spread).min(), (end + _Z * spread).max()
        return Ratio(float(np.exp(value[0])), float(np.exp(low)), float(np.exp(high)), own.notes)

    def _possible(self) -> F64:
        """Tables that may be behind this one, (draws, rows, columns): noise taken back, or counts of the same rounding.

        One table if the counts are exact. No count is below 0.
        """
        shape = self.value.shape
        u = uniform(f"tables {shape}", DRAWS * self.value.size).reshape(DRAWS, *shape)
        if self.law is not None:
            return np.maximum(self.value - self.law.quantile(u), 0)
        if (self.low == self.high).all():
            return self.value[None]
        return np.asarray(np.floor(self.low + u * (self.high - self.low + 1)), np.float64)

    def _range(self, drawn: F64) -> tuple[float, float]:
        """What of drawn values to tell: 95 of 100 under noise, all of them under rounding."""
        ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2] if self.law is not None else [0.0, 1.0]
        low, high = np.nanquantile(drawn, ends)
        return float(low), float(high)

    def _split(self, place: int, table: F64) -> tuple[F64, F64]:
        """Events and last sightings by time, of one table or of many."""
        return np.maximum(table[..., place], 0), np.maximum(np.delete(table, place, axis=-1), 0).sum(axis=-1)


_I, _J = [0, 0, 1, 1], [0, 1, 0, 1]


def counts(plan: Plan, frame: "pd.DataFrame", count: str | None = None) -> Counts:
    """One column of counts of the table that a plan releases; ``count`` may be left out if there is only one.

    Raises: StatisticsError statistics.column.
    """
    step, safe = derive.derive_step(plan), plan.protection
    found = {each.name: each for each in step.outputs if each.dimension is None and each.statistic in COUNTS}
    if count is None and len(found) == 1:
        (count,) = found
    if count not in found:
        known = ", ".join(found) or "none: ask for COUNT(*)"
        raise StatisticsError("statistics.column", name=str(count), problem=f"is no count: the counts are {known}")
    levels = {d.column: d.levels for d in step.dimensions}
    axes = {each.name: levels[each.dimension] for each in step.outputs if each.dimension is not None}
    shape = tuple(map(len, axes.values()))
    arrays = [np.full(shape, np.nan) for _ in range(3)]
    where = tuple(np.array([own.index(str(level)) for level in frame[name]], np.intp) for name, own in axes.items())
    for array, end in zip(arrays, ("", "_low", "_high"), strict=True):
        array[where] = frame[f"{count}{end}"].to_numpy(np.float64, na_value=np.nan)
    notes = []
    several = any(step.rows_per_person > 1 for step in plan.steps if isinstance(step, Read))
    if several and found[count].statistic != Statistic.COUNT_PEOPLE:
        notes.append("Rows of one person are taken as independent: ask for COUNT(DISTINCT id) to count people.")
    law: Law | None = None
    if isinstance(safe, AddNoise):
        column = safe.columns[found[count].moments[0]]
        law = law_of(column, len(safe.parties), parts_of(plan))
        notes.append("Counts carry noise: ranges are those of sampling and noise together.")
    elif (arrays[1] < arrays[2]).any():
        notes.append("Counts are rounded: ranges hold for every true count that is shown so.")
    return Counts(axes, arrays[0], arrays[1], arrays[2], law, tuple(notes))


def read(folder: Path, count: str | None = None) -> Counts:
    """One column of counts from a folder of evidence, or any with spec.toml and result.csv, as ``pets run`` wrote them.

    Raises: SpecError; StatisticsError statistics.column, statistics.file.
    """
    import pandas as pd

    plan = review(parse_toml((folder / "spec.toml").read_text(encoding="utf-8"), file="spec.toml")).settled().plan
    lines = list(csv.DictReader(StringIO((folder / "result.csv").read_text(encoding="utf-8"))))
    step = derive.derive_step(plan)
    numbers = [f"{o.name}{end}" for o in step.outputs if o.dimension is None for end in ("", "_low", "_high")]
    grouping = [o.name for o in step.outputs if o.dimension is not None]
    try:
        columns: dict[str, list[str] | list[float]] = {name: [line[name] for line in lines] for name in grouping}
        columns |= {name: [_number(line[name]) for line in lines] for name in numbers}
        return counts(plan, pd.DataFrame(columns), count)
    except (KeyError, ValueError, TypeError):
        raise StatisticsError("statistics.file", file=folder.name) from None


def _number(field: str) -> float:
    """A number of a table; NaN where there is none."""
    return float("nan") if field in ("", WITHHELD) else float(field)


# -- arithmetic, of many tables at once --------------------------------------------------------------------------------


def _pearson(tables: F64) -> tuple[F64, F64]:
    """Pearson's statistic of tables (many, r, c), NaN where a margin is not above 0, and the expected counts."""
    rows, columns, total = tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))
    settled = (rows > 0).all(axis=1) & (columns > 0).all(axis=1)
    expected = rows[:, :, None] * columns[:, None, :] / np.where(settled, total, 1)[:, None, None]
    parts = (tables - expected) ** 2 / np.where(settled[:, None, None], expected, 1)
    return np.where(settled, parts.sum(axis=(1, 2)), np.nan), expected


def _as_great(statistic: float, expected: F64, law: Law) -> float:
    """The share of tables of independent columns, with noise, whose statistic is at least this."""
    shape = (DRAWS, *expected.shape)
    sampling = ndtri(uniform(f"sampling {expected.shape}", DRAWS * expected.size).reshape(shape))
    noise = law.quantile(uniform(f"noise {expected.shape}", DRAWS * expected.size).reshape(shape))
    found, _ = _pearson(expected + np.sqrt(expected) * sampling + noise)
    return (1 + int((np.nan_to_num(found, nan=np.inf) >= statistic).sum())) / (1 + DRAWS)


def _log_odds(t: F64) -> tuple[F64, F64]:
    logs = np.log(t[:, 0, 0] * t[:, 1, 1] / (t[:, 0, 1] * t[:, 1, 0]))
    return logs, np.sqrt((1 / t).sum(axis=(1, 2)))


def _log_risk(t: F64) -> tuple[F64, F64]:
    of = t.sum(axis=2)
    logs = np.log(t[:, 0, 0] / of[:, 0] * of[:, 1] / t[:, 1, 0])
    return logs, np.sqrt(1 / t[:, 0, 0] - 1 / of[:, 0] + 1 / t[:, 1, 0] - 1 / of[:, 1])


def _after(values: F64) -> F64:
    """Of each time the sum from it on."""
    return np.flip(np.cumsum(np.flip(values, axis=-1), axis=-1), axis=-1)


def _survival(events: F64, leaving: F64) -> tuple[F64, F64, F64]:
    """Survival after each time, Greenwood's standard error of it, and how many were at risk. 0 once nobody is left."""
    at_risk = _after(events + leaving)
    rest = at_risk - events
    some = np.where(at_risk > 0, at_risk, 1)
    survival = np.asarray(np.cumprod(np.where(at_risk > 0, rest / some, 1.0), axis=-1), np.float64)
    parts = np.where(rest > 0, events / (some * np.where(rest > 0, rest, 1)), 0)
    return survival, survival * np.sqrt(np.cumsum(parts, axis=-1)), at_risk


def _survival_bounds(least: F64, most: F64, leave_least: F64, leave_most: F64) -> tuple[F64, F64]:
    """The widest interval over all counts between the bounds: each factor by itself at its least and its greatest.

    ``least``, ``most``: events; ``leave_*``: last sightings.
    """
    rest = [_after(a + b) - a for a, b in ((least, leave_least), (most, leave_most))]
    worst = np.cumprod(rest[0] / np.maximum(rest[0] + most, 1))
    best = np.cumprod(np.where(rest[1] + least > 0, rest[1] / np.maximum(rest[1] + least, 1), 1))
    parts = np.where(rest[0] > 0, most / np.maximum((rest[0] + most) * rest[0], 1), 0)
    error = _Z * np.sqrt(np.cumsum(parts))
    return np.clip(worst * np.maximum(1 - error, 0), 0, 1), np.clip(best * (1 + error), 0, 1)
