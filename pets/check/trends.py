"""The rules on regressions: enough degrees of freedom, and what a logistic one is fitted to."""

from typing import Final

from pets.check.rules import Asked, Found, Selecting, rule, selecting_rule
from pets.spec.fitting import MAX_ROWS, MOST_BITS, measure
from pets.spec.protected import by_person, width
from pets.spec.query import LINEAR, LOGISTIC, Aggregate, ColumnRef, Statistic

FREEDOM: Final = 10
"""Least degrees of freedom of a regression: rows less coefficients."""

_LINES: Final = frozenset({Statistic.CORR, Statistic.REGR_SLOPE, Statistic.REGR_INTERCEPT})
"""What says of two columns how near a line their values are: a regression with two coefficients."""

_FITTED: Final = LINEAR | LOGISTIC | _LINES


@selecting_rule("control.freedom")
def freedom(asked: Selecting) -> Found:
    """A regression with few degrees of freedom nearly shows the records that it fits (ACRO 1.0.2: at least 10)."""
    if asked.control is None:
        return
    seen = set()
    for output in asked.query.outputs:
        what = output.what
        if not isinstance(what, Aggregate) or what.statistic not in _FITTED or what.columns in seen:
            continue
        seen.add(what.columns)
        many, least = len(what.columns) - 1, len(what.columns) + FREEDOM
        if asked.control.min_count < least:
            yield (
                f"computation.sql: {output.name}",
                f"a regression of {asked.control.min_count} persons on {many} column{'s' * (many > 1)} would have "
                f"{max(0, asked.control.min_count - len(what.columns))} degrees of freedom, and at least {FREEDOM} are "
                "needed",
                f"write min_count = {least}" + (", or fewer regressors" if what.statistic not in _LINES else ""),
            )


@rule("control.logistic")
def logistic(asked: Asked) -> Found:
    """A logistic regression is fitted to rows by three parties, of an outcome that is 0 or 1, under thresholds only.

    Each person has one row, so that coefficients are of persons; counts of the outcome that follow from them are held
    against the minimum. That a column's holder lets it be fitted is for the holder's policy to say, by name.
    """
    for what in asked.query.fitted:
        name = next(
            output.name
            for output in asked.query.outputs
            if isinstance(output.what, Aggregate) and (output.what.columns, output.what.statistic) == _step(what)
        ).removesuffix("_step")
        path = f"computation.sql: {name}"
        for where, problem, advice in _of_model(asked, what):
            yield where or path, problem, advice


def _step(what: Aggregate) -> tuple[tuple[ColumnRef, ...], Statistic]:
    return what.columns, Statistic.LOGISTIC_STEP


def _of_model(asked: Asked, what: Aggregate) -> Found:
    """What stands against one model: (path or "", problem, advice)."""
    control = asked.control
    if control is None or asked.spec.release.differential_privacy is not None:
        problem = "a logistic regression is fitted to rows and not to sums, which noise could be added to"
        yield "", problem, "ask for LINEAR_REGRESSION, or release exactly with [release.disclosure_control]"
        return
    if asked.query.join == "left":
        yield "", "a logistic regression is of rows that are matched, and a LEFT JOIN has others", "write JOIN"
    if asked.query.group_by:
        problem = "a logistic regression is fitted to all rows at once, and the query has groups"
        yield (
            "",
            problem,
            "take GROUP BY out, and ask for one group at a time in WHERE or take the groups in as columns",
        )
    if control.round_to > 1:
        problem = f"a logistic regression is exact, so that counts that are rounded to {control.round_to} would follow"
        yield "", problem, "write round_to = 1, or ask for COUNT, SUM and AVG only"
    if not by_person(asked.query, asked.spec):
        problem = "a logistic regression takes rows as independent persons, and somebody can have several"
        yield "", problem, "prepare one row a person in both tables, and write max_rows_per_person = 1"
    rows = max(table.max_rows for table in asked.tables)
    if rows >= MAX_ROWS:
        problem = f"sums over {rows} rows need words of more than 64 bits"
        yield "", problem, f"declare fewer than {MAX_ROWS} rows"
    if not asked.measured:
        return
    y, *xs = what.columns
    if asked.spec.dataset(y.dataset).columns[y.column].scaled_range != (0, 1):
        yield (
            f"computation.sql: {y}",
            "is the outcome of a logistic regression, and not declared from 0 to 1",
            ("declare it as an integer with min = 0 and max = 1"),
        )
    for x in xs:
        yield from _of_regressor(asked, x)
    yield from _beside(asked, what)


def _of_regressor(asked: Asked, x: ColumnRef) -> Found:
    column, values = asked.spec.dataset(x.dataset).columns[x.column], width((x.dataset, x.column), asked.spec) + 1
    path = f"computation.sql: {x}"
    if values <= 2 and column.scaled_range != (0, 1):
        problem = "has two values at most, so that its sum counts persons, and its range is not 0 to 1"
        yield path, problem, "declare it from 0 to 1"
    elif values == 3:
        problem = "has three values, so that a regression can tell how many persons have each"
        yield path, problem, "make two columns of 0 and 1 of it, or leave it out"
    elif measure(asked.spec, x)[1] > MOST_BITS:
        problem = f"has a range of more than 2^{MOST_BITS} units of its last place, and sums of its products overflow"
        yield path, problem, "declare a narrower range, or fewer places"


def _beside(asked: Asked, what: Aggregate) -> Found:
    """Another statistic of a column of 0 and 1 over other persons: what lies between both counts persons, too."""
    y, *xs = what.columns
    flags = {y, *(x for x in xs if width((x.dataset, x.column), asked.spec) <= 1)}
    needed = _needed(asked, what)
    for output in asked.query.outputs:
        other = output.what
        if isinstance(other, Aggregate) and flags & set(other.columns) and _needed(asked, other) != needed:
            yield (
                f"computation.sql: {output.name} <- {', '.join(sorted(map(str, flags & set(other.columns))))}",
                "counts persons beside a logistic regression of others: their difference would be a count as well",
                "ask for it in a specification of its own, or declare the columns required",
            )
            return


def _needed(asked: Asked, what: Aggregate) -> frozenset[ColumnRef]:
    """The columns that have to be there for a row to count."""
    return frozenset(ref for ref in what.columns if not asked.spec.dataset(ref.dataset).columns[ref.column].required)
