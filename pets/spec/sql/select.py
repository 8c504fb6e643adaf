"""SELECT and GROUP BY: statistics, grouping columns, and the names that they have in the result."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from sqlglot import exp

from pets.errors import SpecError
from pets.spec.banded import Banded, BandedAcross, Case
from pets.spec.fitting import ITERATIONS, LEAST_ITERATIONS, MOST_ITERATIONS
from pets.spec.predicate import both, on_nulls
from pets.spec.query import FITTED, ORDER, Aggregate, ColumnRef, Output, Own, Predicate, Statistic
from pets.spec.sql.bands import banded
from pets.spec.sql.names import Names
from pets.spec.sql.scan import refuse
from pets.spec.sql.tree import Tree, bare
from pets.spec.sql.where import Conditions, conjuncts

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}", re.ASCII)

_ONE: Final[Mapping[type | str, Statistic]] = {
    exp.Sum: Statistic.SUM,
    exp.Avg: Statistic.AVG,
    exp.Variance: Statistic.VAR_SAMP,
    exp.VariancePop: Statistic.VAR_POP,
    exp.Stddev: Statistic.STDDEV_SAMP,
    exp.StddevSamp: Statistic.STDDEV_SAMP,
    exp.StddevPop: Statistic.STDDEV_POP,
    exp.Min: Statistic.MINIMUM,
    exp.Max: Statistic.MAXIMUM,
    exp.Median: Statistic.MEDIAN,
    "MEAN": Statistic.AVG,
    "VAR": Statistic.VAR_SAMP,
}
_TWO: Final[Mapping[type | str, Statistic]] = {
    exp.Corr: Statistic.CORR,
    exp.CovarSamp: Statistic.COVAR_SAMP,
    exp.CovarPop: Statistic.COVAR_POP,
    exp.RegrSlope: Statistic.REGR_SLOPE,
    exp.RegrIntercept: Statistic.REGR_INTERCEPT,
    "COVAR": Statistic.COVAR_SAMP,
}

MAX_REGRESSORS: Final = 8


@dataclass(frozen=True, slots=True)
class Regression:
    """What a regression gives, by the end of the column's name: of all its columns, and of each coefficient."""

    whole: Mapping[str, Statistic]
    each: Mapping[str, Statistic]


_REGRESSIONS: Final[Mapping[str, Regression]] = {
    "LINEAR_REGRESSION": Regression(
        {"n": Statistic.LINEAR_ROWS, "r2": Statistic.LINEAR_R2},
        {
            "": Statistic.LINEAR_COEFFICIENT,
            "_se": Statistic.LINEAR_ERROR,
            "_t": Statistic.LINEAR_T,
            "_p": Statistic.LINEAR_P,
        },
    ),
    "LOGISTIC_REGRESSION": Regression(
        {"n": Statistic.LOGISTIC_ROWS, "ones": Statistic.LOGISTIC_ONES, "step": Statistic.LOGISTIC_STEP},
        {
            "": Statistic.LOGISTIC_COEFFICIENT,
            "_se": Statistic.LOGISTIC_ERROR,
            "_z": Statistic.LOGISTIC_Z,
            "_p": Statistic.LOGISTIC_P,
            "_lower": Statistic.LOGISTIC_LOWER,
            "_upper": Statistic.LOGISTIC_UPPER,
            "_odds": Statistic.LOGISTIC_ODDS,
        },
    ),
}


def is_regression(node: exp.Expression) -> bool:
    """True for a call that makes several columns of the result."""
    return type(node) is exp.Anonymous and node.name.upper() in _REGRESSIONS


class Selected:
    """What SELECT asks for, and the groups it is asked for."""

    def __init__(self, names: Names) -> None:
        self.names: Final = names
        self.tree: Final[Tree] = names.tree

    def outputs(self, select: exp.Select) -> list[tuple[Output, exp.Expression]]:
        """The columns of the result, each with the node it comes from."""
        outputs: list[tuple[Output, exp.Expression]] = []
        taken: set[str] = set()
        for node in select.expressions:
            whole, given = (node.this, node.args["alias"]) if type(node) is exp.Alias else (node, None)
            inner = bare(whole)
            with self.names.way(inner, f"output {given.name if given is not None else len(outputs) + 1}"):
                found = list(self.item(inner, None if given is None else given.name))
            for name, what in found:
                if not _NAME.fullmatch(name):
                    problem = "cannot name a column of the result"
                    advice = "use a letter, then letters, digits and underscores, at most 63 in all"
                    at = node if given is None else given
                    raise self.tree.refuse("sql.name", at, name[:64] or "a name", problem=problem, advice=advice)
                if name.lower() in taken:
                    problem = "is the name of two columns of the result"
                    raise self.tree.refuse("sql.name", node, name, problem=problem, advice="write AS and another name")
                taken.add(name.lower())
                outputs.append((Output(name, what), node))
        if not any(isinstance(output.what, Aggregate) for output, _ in outputs):
            problem = "asks for no statistic"
            raise self.tree.refuse("sql.group", select, "SELECT", problem=problem, advice="add COUNT(*)")
        return outputs

    def item(self, node: exp.Expression, given: str | None) -> Iterator[tuple[str, ColumnRef | Aggregate]]:
        """What one item of SELECT makes of columns of the result: one, or those of a regression."""
        if is_regression(node):
            for end, part in self.regression(node):
                yield f"{given or 'fit'}_{end}", part
            return
        if type(node) is exp.Case:
            yield given or "band", banded(self.names, node, given or "band")
            return
        what = self.names.resolve(node) if isinstance(node, exp.Column) else self.aggregate(node)
        yield _default_name(what) if given is None else given, what

    def regression(self, node: exp.Expression) -> Iterator[tuple[str, Aggregate]]:
        """``LINEAR_REGRESSION(y, x1, x2, ...)`` or ``LOGISTIC_REGRESSION(y, x1, x2, ... [, steps])``: the columns that
        it makes, by the end of their names, in order.
        """
        self.tree.only(node, "this", "expressions")
        (_, name), arguments = self.tree.called(node), list(node.expressions)
        made, iterations = _REGRESSIONS[node.name.upper()], 0
        if made.whole["n"] is Statistic.LOGISTIC_ROWS:
            iterations = self.steps(node, arguments)
        if not 2 <= len(arguments) <= 1 + MAX_REGRESSORS:
            problem = f"takes a column and 1 to {MAX_REGRESSORS} regressors, not {len(arguments)} columns"
            raise self.tree.refuse("sql.argument", node, name, problem=problem, advice=f"write {name}(y, x1, x2)")
        y, *xs = (self.measure(argument, node, name) for argument in arguments)
        if len({y, *xs}) != len(arguments):
            raise self.tree.refuse("sql.argument", node, name, problem="has one column twice", advice="leave it out")
        columns = (y, *sorted(xs))
        for end, statistic in made.whole.items():
            yield end, Aggregate(statistic, columns, iterations=iterations if statistic in FITTED else 0)
        alike = Counter(ref.column.lower() for ref in xs)
        for ref in (None, *xs):
            own = "intercept" if ref is None else ref.column
            if ref is not None and alike[own.lower()] > 1:
                own = f"{ref.dataset}_{own}"
            for end, statistic in made.each.items():
                of = columns.index(ref) if ref is not None else 0
                yield own + end, Aggregate(statistic, columns, of, iterations=iterations)

    def steps(self, node: exp.Expression, arguments: list[exp.Expression]) -> int:
        """The steps of a logistic regression: the last argument, if it is a number, which is taken off."""
        last = bare(arguments[-1]) if arguments else node
        if type(last) is not exp.Literal or last.is_string:
            return ITERATIONS
        arguments.pop()
        steps = int(last.this) if re.fullmatch(r"[1-9]\d?", last.this, re.ASCII) else 0
        if not LEAST_ITERATIONS <= steps <= MOST_ITERATIONS:
            problem = f"takes {LEAST_ITERATIONS} to {MOST_ITERATIONS} steps"
            advice = f"leave the number out: then it takes {ITERATIONS}"
            raise self.tree.refuse("sql.argument", node, self.tree.called(node)[1], problem=problem, advice=advice)
        return steps

    def aggregate(self, node: exp.Expression) -> Aggregate:
        """A statistic: its class or, where the parser has none, its name is listed."""
        kind: type | str = node.name.upper() if type(node) is exp.Anonymous else type(node)
        if kind is exp.Count:
            return self.count(node)
        if kind is exp.PercentileDisc and self.tree.called(node)[1].upper() == "QUANTILE_DISC":
            return self.quantile(node)
        if kind not in _ONE and kind not in _TWO:
            raise self.tree.outside(node)
        if kind in _ONE and _ONE[kind] not in ORDER and type(node) is not exp.Anonymous:
            case = bare(node.this)
            if type(case) is exp.Case:
                return self.conditional(node, case, _ONE[kind])
        (_, name), wanted = self.tree.called(node), 1 if kind in _ONE else 2
        if type(node) is exp.Anonymous:
            self.tree.only(node, "this", "expressions")
            arguments = list(node.expressions)
        else:
            self.tree.only(node, "this", "expression")
            arguments = [part for part in (node.this, node.args.get("expression")) if part is not None]
        if len(arguments) != wanted:
            problem = f"takes {wanted} column{'s' * (wanted - 1)}, not {len(arguments)}"
            advice = f"write {name}({'y, x' if wanted == 2 else 'x'})"
            raise self.tree.refuse("sql.argument", node, name, problem=problem, advice=advice)
        columns = tuple(self.measure(argument, node, name) for argument in arguments)
        if wanted == 2 and columns[0] == columns[1]:
            raise self.tree.refuse(
                "sql.argument", node, name, problem="has one column twice", advice="name two columns"
            )
        return Aggregate(_ONE[kind] if kind in _ONE else _TWO[kind], columns)

    def count(self, node: exp.Expression) -> Aggregate:
        """``COUNT(*)``, ``COUNT(measure)`` or ``COUNT(DISTINCT person id)``."""
        self.tree.only(node, "this", "expressions", "big_int")
        inner = node.this
        if inner is None or node.expressions or type(inner) is exp.Literal:
            advice = "write COUNT(*), COUNT(measure) or COUNT(DISTINCT person id)"
            problem = "counts rows, values of a measure, or people"
            raise self.tree.refuse("sql.argument", node, "COUNT", problem=problem, advice=advice)
        if type(inner) is exp.Star:
            self.tree.only(inner)
            return Aggregate(Statistic.COUNT_ROWS)
        if type(inner) is exp.Distinct:
            self.tree.only(inner, "expressions")
            columns = [bare(part) for part in inner.expressions]
            when: tuple[Own, ...] = ()
            if len(columns) == 1 and isinstance(columns[0], exp.Case):
                when, then = self.condition(columns[0], Statistic.COUNT_PEOPLE)
                columns = [bare(then)]
            counted = [self.names.resolve(column) for column in columns if isinstance(column, exp.Column)]
            if len(inner.expressions) != 1 or not counted or self.names.column(counted[0]).role != "person id":
                side = self.names.sides[0]
                advice = f"name the person id: COUNT(DISTINCT {side.alias}.{side.dataset.key})"
                raise self.tree.refuse(
                    "sql.argument", node, "COUNT(DISTINCT ...)", problem="counts people", advice=advice
                )
            return Aggregate(Statistic.COUNT_PEOPLE, (counted[0],), when=when)
        case = bare(inner)
        if isinstance(case, exp.Case):
            return self.conditional(node, case, Statistic.COUNT_VALUES)
        return Aggregate(Statistic.COUNT_VALUES, (self.measure(inner, node, "COUNT"),))

    def conditional(self, node: exp.Expression, case: exp.Case, statistic: Statistic) -> Aggregate:
        """A statistic of ``CASE WHEN condition THEN measure END``: of the rows of which the condition is true.

        With 1 after THEN, COUNT and SUM count rows; a SUM is the same with ELSE 0.
        """
        when, then = self.condition(case, statistic)
        one = bare(then)
        if isinstance(one, exp.Literal) and not one.is_string and one.this == "1":
            if statistic not in (Statistic.COUNT_VALUES, Statistic.SUM):
                raise self._inside(case, "of a number", "take COUNT or SUM of it, or name a measure after THEN")
            return Aggregate(Statistic.COUNT_ROWS, when=when)
        return Aggregate(statistic, (self.measure(then, node, self.tree.called(node)[1]),), when=when)

    def condition(self, case: exp.Case, statistic: Statistic) -> tuple[tuple[Own, ...], exp.Expression]:
        """The conditions of a CASE inside a statistic, by table, and what stands after THEN."""
        self.tree.only(case, "ifs", "default")
        branches, default = case.args["ifs"], case.args.get("default")
        if len(branches) != 1:
            raise self._inside(case, "with several WHEN", "write one WHEN, with AND and OR, or group by a CASE")
        zero = isinstance(default, exp.Literal) and not default.is_string and default.this == "0"
        if not (default is None or isinstance(default, exp.Null) or (zero and statistic is Statistic.SUM)):
            advice = "leave ELSE out: rows that do not meet the condition do not count"
            raise self._inside(case, "with ELSE", f"{advice}; a SUM may have ELSE 0")
        (branch,) = branches
        self.tree.only(branch, "this", "true")
        by_side, crossing = Conditions(self.names).split(list(conjuncts(branch.this)), "CASE")
        if crossing:
            advice = "group by a CASE over both tables, and take the statistic of each group"
            raise self._inside(case, "over columns of several tables", advice)
        found = []
        for side, parts in zip(self.names.sides, by_side, strict=True):
            whole: Predicate | None = None
            for _, predicate in parts:
                whole = both(whole, predicate)
            if whole is not None:
                found.append(Own(side.dataset.name, whole))
        return tuple(found), branch.args["true"]

    def _inside(self, case: exp.Case, what: str, advice: str) -> SpecError:
        return self.tree.refuse("sql.unsupported", case, f"CASE {what} inside a statistic", advice=advice)

    def quantile(self, node: exp.Expression) -> Aggregate:
        """``QUANTILE_DISC(measure, 0.25)``: the least value that a share of all do not exceed."""
        self.tree.only(node, "this", "expression")
        (start, name), share = self.tree.called(node), bare(node.args.get("expression") or node)
        text = share.this if type(share) is exp.Literal and not share.is_string else ""
        if not re.fullmatch(r"0?\.\d{1,3}", text, re.ASCII) or not Fraction(text):
            problem = "takes a share between 0 and 1, with three digits at most"
            advice = "write QUANTILE_DISC(x, 0.25); for the ends there are MIN and MAX"
            raise refuse("sql.argument", self.tree.text, start, name, problem=problem, advice=advice)
        return Aggregate(Statistic.QUANTILE, (self.measure(node.this, node, name),), at=Fraction(text))

    def measure(self, node: exp.Expression, whole: exp.Expression, name: str) -> ColumnRef:
        """The one column that a statistic is of, which must be a number."""
        inner = bare(node)
        if type(inner) is exp.Case:
            raise self.tree.outside(inner)
        if type(inner) is exp.Distinct:
            raise self.tree.refuse("sql.unsupported", whole, f"DISTINCT in {name}", advice="leave it out")
        if not isinstance(inner, exp.Column) or type(inner.this) is exp.Star:
            problem, advice = (
                "takes a column, not an expression",
                "name a measure; prepare anything else in the dataset",
            )
            raise self.tree.refuse("sql.argument", whole, name, problem=problem, advice=advice)
        ref = self.names.resolve(inner)
        column = self.names.column(ref)
        if column.type not in ("integer", "decimal"):
            count = name == "COUNT"
            advice = "write COUNT(*) or COUNT(DISTINCT person id)" if count else "name a measure"
            problem = (
                f"is a {column.type or 'person id'}, and {name.upper()} is of {'measures' if count else 'numbers'}"
            )
            raise self.tree.refuse("sql.type", inner, str(ref), problem=problem, advice=advice)
        return ref

    def group_by(self, select: exp.Select, outputs: Sequence[tuple[Output, exp.Expression]]) -> tuple[ColumnRef, ...]:
        """The grouping columns: those of GROUP BY, which are exactly the columns that SELECT names."""
        group = select.args.get("group")
        named = [output for output, _ in outputs]
        grouped: list[ColumnRef] = []
        if group is not None:
            self.tree.only(group, "expressions")
        for node in group.expressions if group is not None else ():
            with self.names.way(node, "GROUP BY"):
                ref = self.grouped(bare(node), named)
            if ref in grouped:
                problem = "is in GROUP BY twice"
                raise self.tree.refuse("sql.group", node, str(ref), problem=problem, advice="name it once")
            if all(output.what != ref for output in named):
                problem, advice = "is in GROUP BY and not in SELECT", "name it in SELECT too, to tell the groups apart"
                path = f"computation.sql: GROUP BY <- {ref}"
                raise self.tree.refuse("sql.group", node, str(ref), problem=problem, advice=advice, path=path)
            grouped.append(ref)
        for output, node in outputs:
            if isinstance(output.what, ColumnRef) and output.what not in grouped:
                problem, advice = "is in SELECT and not in GROUP BY", "add it to GROUP BY, or take a statistic of it"
                path = f"computation.sql: output {output.name} <- {output.what}"
                raise self.tree.refuse("sql.group", node, str(output.what), problem=problem, advice=advice, path=path)
        over_both = [(o, node) for o, node in outputs if isinstance(o.what, BandedAcross)]
        if len(over_both) > 1:
            construct, advice = "a second CASE over both tables", "write one CASE with a level for each combination"
            raise self.tree.refuse("sql.unsupported", over_both[1][1], construct, advice=advice)
        return tuple(grouped)

    def matched(self, outputs: Sequence[tuple[Output, exp.Expression]]) -> None:
        """Refuse a CASE over the right table of a LEFT JOIN that gives a level to rows without a match.

        SQL evaluates it on their NULLs after the join; the holder, who evaluates it, never sees them.
        """
        right = self.names.sides[1].dataset.name
        for output, node in outputs:
            for own in output.what.when if isinstance(output.what, Aggregate) else ():
                if own.dataset == right and on_nulls(own.predicate) is True:
                    raise self.tree.refuse("sql.outer-where", node, self.names.sides[1].alias)
            if isinstance(output.what, BandedAcross):
                raise self.tree.refuse("sql.outer-across", node, "SELECT")
            if isinstance(output.what, Banded) and output.what.dataset == right and output.what.of_nulls() is not None:
                problem = f"gives a level to rows without a match in {right}, which its holder does not see"
                advice = "leave ELSE and IS NULL out: such rows are at (missing)"
                raise self.tree.refuse("sql.group", node, "CASE", problem=problem, advice=advice)

    def grouped(self, node: exp.Expression, outputs: Sequence[Output]) -> ColumnRef:
        """A grouping column by its name, by the name it has in the result, or by its place there."""
        if type(node) is exp.Literal and not node.is_string:
            place = int(node.this) if re.fullmatch(r"[1-9]\d{0,4}", node.this, re.ASCII) else 0
            what = outputs[place - 1].what if 1 <= place <= len(outputs) else None
            if not isinstance(what, ColumnRef):
                problem = "is not the place of a column"
                raise self.tree.refuse("sql.group", node, node.this[:20], problem=problem, advice="name the column")
            return what
        if type(node) is exp.Case:
            wanted = banded(self.names, node, "")
            same = (output.what for output in outputs if isinstance(output.what, Case))
            return next((band for band in same if replace(band, column="") == wanted), replace(wanted, column="band"))
        if not isinstance(node, exp.Column):
            raise self.tree.outside(node)
        renamed = [output.what for output in outputs if output.name.lower() == node.name.lower()]
        if node.table or not renamed:
            return self.names.resolve(node)
        own = [ref for side in self.names.sides if (ref := side.ref(node.name))]
        if own and renamed[0] not in own:
            name = str(renamed[0]) if isinstance(renamed[0], ColumnRef) else "a statistic"
            meanings = " or ".join([*map(str, own), name])
            raise self.tree.refuse("sql.ambiguous", node, node.name, meanings=meanings)
        if not isinstance(renamed[0], ColumnRef):
            raise self.tree.refuse("sql.group", node, node.name, problem="is a statistic", advice="group by columns")
        return renamed[0]


def _default_name(what: ColumnRef | Aggregate) -> str:
    """The name of a column of the result that the author gave none."""
    if isinstance(what, ColumnRef):
        return what.column
    counts = {Statistic.COUNT_ROWS: "count", Statistic.COUNT_PEOPLE: "people"}
    if what.statistic in counts:
        return counts[what.statistic]
    start = "count" if what.statistic is Statistic.COUNT_VALUES else what.statistic.value
    if what.at is not None:
        start = f"quantile_{str(float(what.at)).removeprefix('0.')}"
    return "_".join([start, *(ref.column for ref in what.columns)])[:63]
