"""LOGISTIC_REGRESSION over one table of many holders: counts of every combination of values, which nothing more is of.

The counts of y and all regressors together are sufficient for the fit (McCullagh, Nelder, Generalized Linear Models,
1989, section 4.4). So they are the cells of the query's one sum, and the model is fitted to what is released of them.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Final

from sqlglot import exp

from pets.errors import SpecError
from pets.spec.banded import Values, by_value
from pets.spec.control import effective
from pets.spec.fitting import ITERATIONS
from pets.spec.query import FITTED, LOGISTIC, Aggregate, ColumnRef, Output
from pets.spec.sql.names import Names

Asked = Sequence[tuple[Output, exp.Expression]]
"""Columns of the result, each with the node that it comes from."""

NAME: Final = "LOGISTIC_REGRESSION"

MOST_VALUES: Final = 256
"""Values that one regressor may have."""

MOST_CELLS: Final = 2**16
"""Combinations of values of y and all regressors: each is a number that every holder hands in, with its own noise."""


def counted_by(names: Names, select: exp.Select, outputs: Asked) -> tuple[Values, ...]:
    """The values by which rows are counted for the model that is asked for: y's, then each regressor's.

    Empty without a model, and for a column that is no measure, which another rule refuses (``leak.filter-only``).
    Raises: SpecError sql.argument if the model is not one that counts can be made for.
    """
    models = [
        (output.what, node)
        for output, node in outputs
        if isinstance(output.what, Aggregate) and output.what.statistic in LOGISTIC
    ]
    if not models:
        return ()
    what, node = models[0]
    with names.way(node, f"output {outputs[0][0].name}"):
        for problem, advice in _against(names, select, outputs, what):
            raise names.tree.refuse("sql.argument", node, NAME, problem=problem, advice=advice)
        columns = [(ref, names.column(ref)) for ref in what.columns]
        if any(column.role != "measure" for _, column in columns):
            return ()
        for (ref, column), outcome in zip(columns, (True, *(False for _ in columns[1:])), strict=True):
            low, high = column.scaled_range
            if outcome and (column.places or (low, high) != (0, 1)):
                problem = f"is of an outcome that is 0 or 1, and {ref} is not declared so"
                raise _refusal(names, node, problem, "declare it as an integer with min = 0 and max = 1")
            if column.places:
                problem = f"counts rows by every value of {ref}, which has {column.places} decimal places"
                raise _refusal(names, node, problem, _BANDS)
            if low == high:
                raise _refusal(names, node, f"cannot tell what {ref} does, which has one value", "leave it out")
            if high - low >= MOST_VALUES:
                problem = f"counts rows by every value, at most {MOST_VALUES} of one column, and {ref} has more"
                raise _refusal(names, node, problem, _BANDS)
        found = tuple(by_value(ref, *column.scaled_range) for ref, column in columns)
        if prod(len(each.levels) for each in found) > MOST_CELLS:
            problem = f"counts rows by every combination of values, and these columns have more than {MOST_CELLS:,}"
            raise _refusal(names, node, problem, f"take fewer regressors; {_BANDS}")
        return found


_BANDS: Final = "have holders bring it in few bands, as whole numbers from 0 on, and declare that range"


def _refusal(names: Names, node: exp.Expression, problem: str, advice: str) -> SpecError:
    return names.tree.refuse("sql.argument", node, NAME, problem=problem, advice=advice)


def _against(names: Names, select: exp.Select, outputs: Asked, what: Aggregate) -> Iterator[tuple[str, str]]:
    """What stands against a model, whatever its columns are: (problem, advice)."""
    if effective(names.spec) is not None:
        yield (
            "is fitted to counts of every combination of values, most of which disclosure control would withhold",
            "release with noise: [release.differential_privacy]",
        )
    if select.args.get("group") is not None or any(isinstance(output.what, ColumnRef) for output, _ in outputs):
        yield (
            "is fitted to all rows at once, and the query has groups",
            "take GROUP BY out, and ask for one group at a time in WHERE or take the groups in as columns",
        )
    asked = [output.what for output, _ in outputs if isinstance(output.what, Aggregate)]
    if any(each.statistic not in LOGISTIC or each.columns != what.columns for each in asked):
        yield (
            "over one table of many holders is fitted to counts that are the whole of what is added up",
            "ask for everything else in a specification of its own",
        )
    if any(each.iterations != ITERATIONS for each in asked if each.statistic in FITTED):
        yield (
            "over one table of many holders takes as many steps as it needs, at whoever gets the result",
            "leave the number of steps out",
        )
