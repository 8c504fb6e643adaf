"""A logistic regression from what was released of it: coefficients in units of the columns, odds, what they mean.

Nothing here tells more than the released numbers do. Source of the formulas: McCullagh, Nelder, Generalized Linear
Models, 1989, section 4.4 (Wald's z and intervals); Hosmer, Lemeshow, Sturdivant, Applied Logistic Regression, 2013.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import exp, floor, inf, log10, nan, sqrt
from typing import TYPE_CHECKING, Any, Final, Literal

from scipy.special import ndtr, ndtri

from pets.errors import StatisticsError
from pets.ids import WITHHELD
from pets.spec.fitting import BOUND, GAIN, MOST_GAIN, STEP
from pets.spec.ir import Derive, Plan, Protect, ShownFit
from pets.spec.model import Spec
from pets.spec.query import ColumnRef, Statistic

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pets.forest import Panel

LEVEL: Final = 0.95
"""Of confidence intervals."""

SETTLED: Final = 1 / 32
"""A last step shorter than this, in standard errors, has come to the end."""

_MANY: Final = 10_000
"""Odds ratios from here on are written in powers of ten."""

State = Literal["settled", "moving", "undetermined", "withheld"]

_SAID: Final[Mapping[State, str]] = {
    "withheld": ": withheld",
    "undetermined": ": not determined by these columns",
    "moving": ": not settled, more steps would change it",
    "settled": "",
}
"""Behind the outcome, in a picture."""


@dataclass(frozen=True, slots=True)
class Term:
    """One coefficient, for one unit of its column: of the intercept, or of one more unit. Numbers may be NaN."""

    name: str
    coefficient: float
    error: float

    @property
    def z(self) -> float:
        return self.coefficient / self.error if self.error > 0 else nan

    @property
    def p(self) -> float:
        """Two-sided, to six digits, which are what every processor agrees on."""
        return _steady(2 * float(ndtr(-abs(self.z))))

    def bound(self, side: int, per: float = 1.0) -> float:
        """The lower (-1) or upper (1) end of the confidence interval of the coefficient of ``per`` units."""
        return per * self.coefficient + side * abs(per) * float(ndtri((1 + LEVEL) / 2)) * self.error

    def odds(self, per: float = 1.0) -> float:
        return _power(per * self.coefficient)


@dataclass(frozen=True, slots=True)
class Estimates:
    """What was released of a model, in units of its columns. ``step``: length of the last step, in standard errors."""

    terms: tuple[Term, ...]
    step: float
    state: State

    def number(self, statistic: Statistic, of: int) -> float:
        """One number of the table; NaN where the columns do not determine it."""
        if statistic is Statistic.LOGISTIC_STEP:
            return self.step
        term = self.terms[of]
        match statistic:
            case Statistic.LOGISTIC_COEFFICIENT:
                return term.coefficient
            case Statistic.LOGISTIC_ERROR:
                return term.error
            case Statistic.LOGISTIC_Z:
                return term.z
            case Statistic.LOGISTIC_P:
                return term.p
            case Statistic.LOGISTIC_LOWER:
                return _steady(term.bound(-1))
            case Statistic.LOGISTIC_UPPER:
                return _steady(term.bound(1))
        return term.odds()


def estimates(fit: ShownFit, released: Sequence[int], *, shown: bool = True) -> Estimates:
    """Read the 2 p + 1 numbers of a model. ``shown``: false if they are withheld, and all 0."""
    p = len(fit.columns)
    names = ("intercept", *map(str, fit.columns[1:]))
    last = released[2 * p]
    state: State = "settled"
    step = sqrt(max(last, 0) / 2**GAIN)
    if not shown:
        state = "withheld"
    elif last > 3 * 2 ** (MOST_GAIN - 1) or any(abs(b) >= 2 ** (BOUND + STEP) for b in released[:p]):
        state = "undetermined"
    elif step >= SETTLED:
        state = "moving"
    if state in ("withheld", "undetermined"):
        return Estimates(tuple(Term(name, nan, nan) for name in names), nan, state)
    terms = []
    for name, width, b, error in zip(names, (Fraction(1), *fit.widths), released[:p], released[p : 2 * p], strict=True):
        unit = Fraction(1, 2**STEP) / width
        terms.append(Term(name, float(b * unit), float(error * unit)))
    return Estimates(tuple(terms), step, state)


@dataclass(frozen=True)
class Model:
    """A released logistic regression: ``rows`` persons, of whom ``ones`` have the outcome; None where withheld."""

    outcome: ColumnRef
    estimates: Estimates
    units: tuple[str, ...]
    bases: tuple[str, ...]
    rows: int | None
    ones: int | None
    steps: int
    noised: bool = False
    """True of a model that is fitted to counts with noise, of rows: then errors are of the noise, too."""

    @property
    def state(self) -> State:
        """ "settled", "moving" (more steps would have changed it), "undetermined" or "withheld"."""
        return self.estimates.state

    @property
    def table(self) -> "pd.DataFrame":
        """A line for each coefficient: with its standard error, z, p, confidence interval and odds ratio."""
        import pandas as pd

        lines = [
            {
                "term": term.name,
                "for": unit,
                "coefficient": term.coefficient,
                "standard error": term.error,
                "z": term.z,
                "p": term.p,
                "lower": _steady(term.bound(-1)),
                "upper": _steady(term.bound(1)),
                "odds ratio": term.odds(),
                "odds lower": _power(term.bound(-1)),
                "odds upper": _power(term.bound(1)),
            }
            for term, unit in zip(self.estimates.terms, self.units, strict=True)
        ]
        return pd.DataFrame(lines).set_index("term")

    @property
    def panel(self) -> "Panel":
        """What a picture shows of it: odds ratios of its columns, with their intervals."""
        from pets.forest import Line, Panel

        lines = tuple(
            Line(name, unit, *self.odds_ratio(name), f"{odds} ({ends})" if ends else odds)
            for name, unit, odds, ends, *_ in list(self.written())[1:]
        )
        return Panel(f"odds of {self.outcome}{_SAID[self.state]}", lines)

    def written(self) -> Iterator[tuple[str, str, str, str, str, str, str]]:
        """Each term as text: name, what it is for, odds ratio, its interval, coefficient, standard error, p."""
        for term, unit in zip(self.estimates.terms, self.units, strict=True):
            if self.state in ("withheld", "undetermined"):
                open_ = WITHHELD if self.state == "withheld" else "–"
                yield term.name, unit, open_, "", open_, open_, open_
                continue
            ratio, low, high = (_power(each) for each in (term.coefficient, term.bound(-1), term.bound(1)))
            fine = places(0, term.error)
            odds, *ends = (
                f"{each:.3g}" if high >= _MANY else f"{each:.{places(low, high)}f}" for each in (ratio, low, high)
            )
            yield (
                term.name,
                unit,
                odds,
                " to ".join(ends),
                f"{term.coefficient:.{fine}f}".replace("-", "\u2212"),
                f"{term.error:.{fine}f}",
                "< 0.001" if term.p < 0.001 else f"{term.p:.3f}",
            )

    def plot(self, path: "str | Path | None" = None) -> Any:
        """Draw the odds ratios; write the picture to ``path`` if given. Returns the matplotlib figure."""
        from pets.forest import forest

        figure = forest([self.panel], title=f"Logistic regression of {self.outcome}", note=self.note())
        if path is not None:
            figure.savefig(path)
        return figure

    def note(self) -> str:
        """One line under a picture: how many contribute."""
        if self.rows is None or self.ones is None:
            return "Too few persons contribute, or too few with or without the outcome."
        if self.noised:
            return (
                f"About {self.rows:,} rows contribute; on about {self.ones:,} the outcome is 1. "
                f"Lines: {LEVEL:.0%} confidence intervals, of chance and of the noise together."
            )
        counted = f"{self.rows:,} persons contribute; for {self.ones:,} the outcome is 1."
        return f"{counted} Lines: {LEVEL:.0%} confidence intervals."

    def _repr_html_(self) -> str:
        from pets.notebook import model_html

        return model_html(self)

    def odds_ratio(self, term: str, per: float = 1.0) -> tuple[float, float, float]:
        """By what the odds are multiplied for ``per`` units more, and its confidence interval.

        ``term``: a column as ``dataset.column``, or its name alone. Raises: StatisticsError if there is none.
        """
        found = [each for each in self.estimates.terms if term in (each.name, each.name.rpartition(".")[2])]
        if len(found) != 1:
            known = ", ".join(each.name for each in self.estimates.terms)
            raise StatisticsError("statistics.column", name=term, problem=f"is no term of this model: {known}")
        return found[0].odds(per), _power(found[0].bound(-1, per)), _power(found[0].bound(1, per))

    def explain(self) -> str:
        """What the numbers say, for somebody who is no statistician."""
        what = f"Logistic regression of {self.outcome} on {', '.join(t.name for t in self.estimates.terms[1:])}."
        if self.state == "withheld":
            return f"{what}\nWithheld: too few persons, or too few with or without the outcome, contribute to it."
        lines = [what, f"{self.rows} persons contribute; for {self.ones} of them {self.outcome} is 1."]
        if self.noised:
            lines[1] = f"About {self.rows} rows contribute; on about {self.ones} of them {self.outcome} is 1."
        if self.state == "undetermined":
            lines.append(
                "These columns do not determine coefficients: one follows from others, hardly varies beside its "
                "distance from 0, or tells the outcome outright. Leave one out, or declare ranges that begin where "
                "values do."
            )
            if self.noised:
                lines.append("Or the noise is too much for so many combinations of values: take fewer, or bands.")
            return "\n".join(lines)
        if self.state == "moving":
            lines.append(
                f"Do not rely on it yet: the last of {self.steps} steps still moved the coefficients by up to "
                f"{self.estimates.step:.2g} standard errors. Where a column tells the outcome nearly always they move "
                "without end; where the outcome is rare more steps settle them."
            )
        for term, unit in zip(self.estimates.terms[1:], self.units[1:], strict=True):
            ratio, low, high = self.odds_ratio(term.name)
            sure = "" if term.p < 1 - LEVEL else " This may be chance."
            lines.append(
                f"{term.name}: {unit}, the odds of the outcome are multiplied by {ratio:.4g} "
                f"({low:.4g} to {high:.4g}), all other columns being equal.{sure}"
            )
        pairs = zip(self.estimates.terms[1:], self.bases, strict=True)
        at = ", ".join(f"{term.name} is {base}" for term, base in pairs)
        lines += [
            f"Where {at}, the odds are {self.estimates.terms[0].odds():.4g} to 1.",
            "Odds of 1 to 4 are a chance of 1 in 5. Ranges in brackets hold the true value 95 times in 100, as far as "
            "chance goes: not for wrong records or links, nor for what else persons differ in. None of it says that "
            "one thing causes the other.",
        ]
        if self.noised:
            lines.append("Ranges are of the noise of the release, too. Rows are taken as independent of each other.")
        return "\n".join(lines)


def model(plan: Plan, spec: Spec, frame: "pd.DataFrame", opened: Sequence[Sequence[int]], name: str | None) -> Model:
    """A released model by the name of its columns, ``fit`` of ``fit_rent``; None if there is one only.

    ``frame``: the table; ``opened``: what was opened, as ``controlled.moments_of`` takes it.
    Raises: StatisticsError statistics.column if there is none of this name, or several and no name.
    """
    safe = plan.protection
    derive = next(step for step in plan.steps if isinstance(step, Derive))
    fits = safe.fits if isinstance(safe, Protect) else ()
    named = {
        output.name.removesuffix("_step"): output
        for output in derive.outputs
        if output.statistic == Statistic.LOGISTIC_STEP.value
    }
    if (name is None and len(named) != 1) or (name is not None and name not in named):
        known = f"the table has {', '.join(named)}" if named else "the table has none"
        problem = f"is no logistic regression of the table: {known}"
        raise StatisticsError("statistics.column", name=name or "a name that is left out", problem=problem)
    name = next(iter(named)) if name is None else name
    number = named[name].fit
    assert number is not None and isinstance(safe, Protect) and plan.join.rows is not None
    fit = fits[number]
    first = len(safe.shown) + len(safe.ordered) + sum(each.numbers for each in fits[:number])
    shown = int(opened[len(safe.shown) + len(safe.rows) + fit.rests_on][0]) == 1
    found = estimates(fit, [int(row[0]) for row in opened[first : first + fit.numbers]], shown=shown)
    counts = [frame[f"{name}_{end}"].iloc[0] for end in ("n", "ones")]
    rows, ones = (int(count) if shown else None for count in counts)
    units = ("where all columns are at their bases", *(unit(spec, ref) for ref in fit.columns[1:]))
    bases = tuple(f"{float(base):g}" for base in fit.bases)
    return Model(fit.columns[0], found, units, bases, rows, ones, plan.join.rows.fits[number].iterations)


def places(low: float, high: float) -> int:
    """Decimal places of which two tell the ends of an interval apart: two at least, six at most."""
    width = high - low
    return max(2, min(6, 1 - floor(log10(width)))) if 0 < width < inf else 2


def unit(spec: Spec, ref: ColumnRef) -> str:
    """What a coefficient is for, in words."""
    column = spec.dataset(ref.dataset).columns[ref.column]
    if column.scaled_range == (0, 1):
        return "where it is 1 and not 0"
    return f"for each {column.unit or 'unit'} more"


def _power(value: float) -> float:
    """e to a power, to six digits; NaN where it leaves floats, or is of none."""
    return _steady(exp(value)) if value < 700 else nan


def _steady(value: float) -> float:
    """Six significant digits: what processors round differently must not make two tables of one release."""
    return float(f"{value:.6g}")
