"""The query as our own closed set of nodes: what spec/sql.py parses to, and all that later passes know of SQL.

Nodes are frozen. Columns are resolved (every ``ColumnRef`` names a dataset and a column of the specification), literals
have the type of their column, and a predicate touches one dataset only.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final, Literal, assert_never

Value = int | Fraction | str | dt.date
"""A literal: whole number, exact decimal, text or date. There are no floats."""


BOTH: Final = "both tables"
"""In the place of a dataset, of what is made of the columns of both; no dataset is called so."""


@dataclass(frozen=True, slots=True, order=True)
class ColumnRef:
    dataset: str
    column: str

    def __str__(self) -> str:
        return f"{self.dataset}.{self.column}"


@dataclass(frozen=True, slots=True)
class Compare:
    """``column op value``; NULL makes it unknown, as in SQL."""

    column: str
    op: Literal["=", "<>", "<", "<=", ">", ">="]
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    """``column [NOT] IN (values)``."""

    column: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """``column IS [NOT] NULL``."""

    column: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    part: "Predicate"


@dataclass(frozen=True, slots=True)
class All:
    """Conjunction of two or more parts."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Disjunction of two or more parts."""

    parts: tuple["Predicate", ...]


Predicate = Compare | In | IsNull | Not | All | AnyOf


def columns_of(predicate: Predicate) -> Iterator[str]:
    """Every column a predicate reads, in order, with repetitions."""
    match predicate:
        case Compare(column=column) | In(column=column) | IsNull(column=column):
            yield column
        case Not(part=part):
            yield from columns_of(part)
        case All(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from columns_of(part)
        case _:
            assert_never(predicate)


@dataclass(frozen=True, slots=True)
class Across:
    """``left op right`` for columns of two tables, of one type with an order; NULL makes it unknown, as in SQL."""

    left: ColumnRef
    op: Literal["=", "<>", "<", "<=", ">", ">="]
    right: ColumnRef


@dataclass(frozen=True, slots=True)
class Own:
    """A condition on one table alone, inside a condition on both."""

    dataset: str
    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Every:
    """Conjunction of two or more parts."""

    parts: tuple["Crossing", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Disjunction of two or more parts."""

    parts: tuple["Crossing", ...]


Crossing = Across | Own | Every | Some
"""A condition that needs columns of both tables. There is no negation: it has been moved to the leaves, which is the
same where only rows count of which a condition is true."""


class Statistic(StrEnum):
    """The aggregates of the language. Two-column statistics take (y, x) in the order of SQL: ``CORR(y, x)``."""

    COUNT_ROWS = "count_rows"
    COUNT_VALUES = "count_values"
    COUNT_PEOPLE = "count_people"
    SUM = "sum"
    AVG = "avg"
    VAR_SAMP = "var_samp"
    VAR_POP = "var_pop"
    STDDEV_SAMP = "stddev_samp"
    STDDEV_POP = "stddev_pop"
    CORR = "corr"
    COVAR_SAMP = "covar_samp"
    COVAR_POP = "covar_pop"
    REGR_SLOPE = "regr_slope"
    REGR_INTERCEPT = "regr_intercept"
    LINEAR_ROWS = "linear_rows"
    LINEAR_R2 = "linear_r2"
    LINEAR_COEFFICIENT = "linear_coefficient"
    LINEAR_ERROR = "linear_error"
    LINEAR_T = "linear_t"
    LINEAR_P = "linear_p"
    LOGISTIC_ROWS = "logistic_rows"
    LOGISTIC_ONES = "logistic_ones"
    LOGISTIC_STEP = "logistic_step"
    LOGISTIC_COEFFICIENT = "logistic_coefficient"
    LOGISTIC_ERROR = "logistic_error"
    LOGISTIC_Z = "logistic_z"
    LOGISTIC_P = "logistic_p"
    LOGISTIC_LOWER = "logistic_lower"
    LOGISTIC_UPPER = "logistic_upper"
    LOGISTIC_ODDS = "logistic_odds"
    MINIMUM = "min"
    MAXIMUM = "max"
    MEDIAN = "median"
    QUANTILE = "quantile_disc"


LINEAR: Final = frozenset(
    {
        Statistic.LINEAR_ROWS,
        Statistic.LINEAR_R2,
        Statistic.LINEAR_COEFFICIENT,
        Statistic.LINEAR_ERROR,
        Statistic.LINEAR_T,
        Statistic.LINEAR_P,
    }
)
"""What one LINEAR_REGRESSION(y, x1, x2, ...) gives: rows, R squared, and four numbers for each coefficient."""


COUNTED: Final = frozenset({Statistic.LOGISTIC_ROWS, Statistic.LOGISTIC_ONES})
"""What one LOGISTIC_REGRESSION(y, x1, x2, ...) counts: rows, and those on which y is 1."""

FITTED: Final = frozenset(
    {
        Statistic.LOGISTIC_STEP,
        Statistic.LOGISTIC_COEFFICIENT,
        Statistic.LOGISTIC_ERROR,
        Statistic.LOGISTIC_Z,
        Statistic.LOGISTIC_P,
        Statistic.LOGISTIC_LOWER,
        Statistic.LOGISTIC_UPPER,
        Statistic.LOGISTIC_ODDS,
    }
)
"""What it fits on rows: how far the last step went, and seven numbers for each coefficient."""


LOGISTIC: Final = COUNTED | FITTED
"""What one LOGISTIC_REGRESSION(y, x1, x2, ...) gives."""


ORDER: Final = frozenset({Statistic.MINIMUM, Statistic.MAXIMUM, Statistic.MEDIAN, Statistic.QUANTILE})
"""Order statistics: each is the value of one person, or between those of two."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate. ``columns``: none for COUNT(*), the person id for COUNT_PEOPLE, else one or two measures.

    Of a regression y, then all regressors in the order of their names; ``of`` is the one whose coefficient it is, from
    1, or 0 for the intercept and for what is of all of them.
    ``at``: of a quantile, the share of values that it is not below; between 0 and 1. ``iterations``: of what a logistic
    regression fits, its steps.
    ``when``: only rows count of which these conditions are true, each on one table, at most one of each: what CASE says
    inside a statistic.
    """

    statistic: Statistic
    columns: tuple[ColumnRef, ...] = ()
    of: int = 0
    at: Fraction | None = None
    iterations: int = 0
    when: tuple[Own, ...] = ()

    @property
    def needs(self) -> "tuple[ColumnRef | Own, ...]":
        """What has to hold of a row for it to count: columns that are not NULL, conditions that are true."""
        return (*self.columns, *self.when)


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the result: a grouping column or an aggregate, under the name the author gave it."""

    name: str
    what: ColumnRef | Aggregate


@dataclass(frozen=True, slots=True)
class Query:
    """``SELECT outputs FROM left JOIN right ON keys WHERE ... GROUP BY group_by HAVING having``.

    ``left`` is the preserved side if ``join`` is "left". A LEFT JOIN whose WHERE refuses unmatched rows is an inner
    join; the parser makes it one and says so in ``notes``. ``where_left`` and ``where_right`` run at the holders,
    before the join. ``rows`` is what WHERE says of both tables together: computed on shared rows after the join.
    ``having`` names outputs, and is applied to what is released of each group.
    ``others``: further tables, joined on the same persons; then the join is inner.
    """

    left: str
    right: str
    join: Literal["inner", "left"]
    outputs: tuple[Output, ...]
    group_by: tuple[ColumnRef, ...] = ()
    where_left: Predicate | None = None
    where_right: Predicate | None = None
    rows: Crossing | None = None
    notes: tuple[str, ...] = ()
    having: Predicate | None = None
    others: tuple[str, ...] = ()
    where_others: tuple[Predicate | None, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables by name, in the order of FROM and JOIN."""
        return (self.left, self.right, *self.others)

    @property
    def conditions(self) -> tuple[tuple[str, Predicate | None], ...]:
        """Each table, and which of its rows take part."""
        wheres = (self.where_left, self.where_right, *self.where_others)
        return tuple(zip(self.tables, wheres, strict=True))

    def where(self, table: str) -> Predicate | None:
        """Which rows of a table take part; None for a table that is none of the query's."""
        return dict(self.conditions).get(table)

    @property
    def ordered(self) -> tuple[Aggregate, ...]:
        """The order statistics that are asked for, each once."""
        asked = (output.what for output in self.outputs if isinstance(output.what, Aggregate))
        return tuple(dict.fromkeys(what for what in asked if what.statistic in ORDER))

    @property
    def fitted(self) -> tuple[Aggregate, ...]:
        """The logistic models that are asked for, each once: as its last step."""
        asked = (output.what for output in self.outputs if isinstance(output.what, Aggregate))
        models = (replace(what, statistic=Statistic.LOGISTIC_STEP, of=0) for what in asked if what.statistic in FITTED)
        return tuple(dict.fromkeys(models))

    @property
    def compares(self) -> bool:
        """True if columns of both tables are held against each other: in WHERE, or in a grouping CASE."""
        return self.rows is not None or any(ref.dataset == BOTH for ref in self.group_by)

    @property
    def by_rows(self) -> bool:
        """True if something is computed on shared rows before they are summed.

        A condition on several tables, values in order, a model, or what columns of more than two tables come to.
        """
        return self.compares or bool(self.others) or bool(self.ordered) or bool(self.fitted)
