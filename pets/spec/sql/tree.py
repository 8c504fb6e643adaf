"""The parsed query: where its nodes stand in the text, and the refusal of every node that is not listed.

The only module that calls the parser. Its tree is believed in nothing: who walks it names the classes and arguments of
nodes that it takes, and ``only`` and ``outside`` refuse the rest by the author's own words.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pets.errors import SpecError
from pets.spec.sql.scan import Token, find, refuse, scan

STATISTICS: Final = (
    "COUNT, SUM, AVG, VAR, STDDEV, CORR, COVAR, REGR_SLOPE, REGR_INTERCEPT, LINEAR_REGRESSION, LOGISTIC_REGRESSION, "
    "MEDIAN, QUANTILE_DISC, MIN and MAX"
)

_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "distinct": ("DISTINCT", "leave it out: groups are distinct already"),
    "db": ("a schema before a table", "write the name of the dataset alone"),
    "sample": ("TABLESAMPLE", "leave it out: a statistic is of all rows"),
    "joins": ("a join inside a join", "join two tables"),
    "using": ("USING", "write USING (id) or ON a.id = b.id, not both"),
    "symmetric": ("SYMMETRIC", "write the smaller bound first"),
    "all": ("GROUP BY ALL", "name the columns"),
    "rollup": ("ROLLUP", "name the columns"),
    "cube": ("CUBE", "name the columns"),
    "grouping_sets": ("GROUPING SETS", "name the columns"),
}
"""Arguments of listed nodes that are not listed: what to call them, what to do."""

_NODES: Final[Mapping[type, tuple[str, str]]] = {
    exp.Star: ("*", "select statistics, for example COUNT(*): all columns would be the records"),
    exp.Window: ("OVER", "leave it out: the language has sums per group only"),
    exp.Filter: ("FILTER", "move the condition into WHERE"),
    exp.Subquery: ("a table in parentheses", "name the two tables after FROM and JOIN directly"),
    exp.Table: ("a table", "name a column"),
    exp.Null: ("NULL", "write IS NULL or IS NOT NULL"),
    exp.Boolean: ("TRUE or FALSE", "compare a column with a value"),
    exp.NullSafeEQ: ("IS NOT DISTINCT FROM", "compare a column with a value"),
    exp.NullSafeNEQ: ("IS DISTINCT FROM", "compare a column with a value"),
    exp.Lateral: ("LATERAL", "name the two tables after FROM and JOIN directly"),
    exp.Tuple: ("a row in parentheses", "name one column at a time"),
    exp.Literal: ("a value on its own", "leave it out, or compare a column with it"),
    exp.TryCast: ("TRY_CAST", "write DATE '2026-01-31' for a date"),
    exp.Cast: ("CAST", "write DATE '2026-01-31' for a date; other casts are not in the language"),
    exp.Case: (
        "CASE",
        "group by it, as CASE WHEN ... THEN 'level' ... END AS name, or write it inside SUM",
    ),
    exp.Concat: ("text after text", "write one text in single quotes"),
}


_ONE_PERSONS: Final = (
    *("MODE", "QUANTILE", "QUANTILE_CONT", "PERCENTILE_CONT", "PERCENTILE_DISC"),
    *("APPROX_QUANTILE", "FIRST", "FIRST_VALUE", "LAST", "LAST_VALUE", "NTH_VALUE", "ANY_VALUE", "ARBITRARY"),
    *("ARG_MIN", "ARG_MAX", "MIN_BY", "MAX_BY"),
)
"""Functions of many values that give back one of them."""


class Tree:
    """One query: its text, its tokens and its parsed ``select``."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.tokens: Final[Sequence[Token]] = scan(text)
        self.select: Final = self.parse()

    def parse(self) -> exp.Select:
        try:
            trees = [tree for tree in sqlglot.parse(self.text, dialect="duckdb") if tree is not None]
        except SqlglotError as error:
            raise self.syntax(error) from error
        if len(trees) != 1 or type(trees[0]) is not exp.Select:
            raise refuse("sql.unsupported", self.text, 0, "this statement", advice="write one SELECT")
        self.only(trees[0], "expressions", "from_", "joins", "where", "group", "having")
        return trees[0]

    def syntax(self, error: SqlglotError) -> SpecError:
        """What the parser says, at the place it says, without its colours."""
        details = (getattr(error, "errors", None) or [{}])[0]
        near, said = str(details.get("highlight") or "its end")[:40], str(details.get("description"))
        lines = self.text.split("\n")
        line, column = int(details.get("line") or len(lines)), int(details.get("col") or len(lines[-1]))
        offset = sum(len(own) + 1 for own in lines[: line - 1]) + max(column - len(near), 0)
        if "arguments" in said or "keyword" in said:
            problem, advice = "an argument is missing, or there is one too many", "write SUM(x), CORR(y, x)"
        else:
            problem = "a word is missing, or one is out of place"
            advice = "the order is SELECT ... FROM ... JOIN ... ON ... WHERE ... GROUP BY ... HAVING ..."
        return refuse("sql.syntax", self.text, offset, near, problem=problem, advice=advice)

    def at(self, node: object) -> int:
        """Offset of the first token of a node or of what it is in: the parser places names, literals and calls."""
        while isinstance(node, exp.Expression):
            starts = [int(part.meta["start"]) for part in node.walk() if "start" in part.meta]
            word = None if starts else find(self.tokens, _word(node))
            if starts or word is not None:
                return min(starts) if word is None else word
            node = node.parent
        return self.tokens[0].start

    def refuse(self, code: str, node: object, construct: str, **fields: object) -> SpecError:
        return refuse(code, self.text, self.at(node), construct, **fields)

    def outside(self, node: exp.Expression, *, condition: bool = False) -> SpecError:
        """The refusal of a node that is not listed where it stands."""
        if type(node) in (exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls):
            node = node.this
        default = ("an expression", "name a column alone; prepare anything else in the dataset")
        if node.find(exp.AggFunc):
            default = ("an expression", "select each statistic by itself, and compute with the released table")
        construct, advice = _NODES.get(type(node), default)
        if type(node) is exp.Case:
            return refuse("sql.unsupported", self.text, find(self.tokens, "CASE") or 0, construct, advice=advice)
        if isinstance(node, exp.Func) and type(node) not in _NODES:
            if not condition:
                return self.function(node)
            offset, construct = self.called(node)
            advice = "compare a column with a value: no functions in conditions"
            return refuse("sql.unsupported", self.text, offset, construct, advice=advice)
        return self.refuse("sql.unsupported", node, construct, advice=advice)

    def function(self, node: exp.Expression) -> SpecError:
        offset, name = self.called(node)
        if name.upper() in _ONE_PERSONS:
            advice = "take AVG in its place, or MEDIAN or QUANTILE_DISC(x, 0.25) where the holders grant them"
        else:
            advice = f"the statistics are {STATISTICS}"
        return refuse("sql.function", self.text, offset, name, advice=advice)

    def only(self, node: exp.Expression, *listed: str) -> None:
        """Refuse every argument of a node that is not listed."""
        for name, value in node.args.items():
            if value in (None, False, [], "") or name in listed:
                continue
            construct, advice = _PARTS.get(name, (name.strip("_").replace("_", " ").upper(), "leave it out"))
            inner = value[0] if isinstance(value, list) else value
            words = find(self.tokens, *construct.split(" ")) if construct.isupper() else None
            offset = self.at(inner if isinstance(inner, exp.Expression) else node) if words is None else words
            raise refuse("sql.unsupported", self.text, offset, construct, advice=advice)

    def called(self, node: exp.Expression) -> tuple[int, str]:
        """Where a call stands, and the author's own spelling of the function's name."""
        start, end = node.meta.get("start"), node.meta.get("end")
        if isinstance(start, int) and isinstance(end, int):
            return start, self.text[start : end + 1][:64]
        place = self.at(node)
        number = next((number for number, token in enumerate(self.tokens) if token.start == place), 0)
        if number >= 2 and self.tokens[number - 1].text == "(" and self.tokens[number - 2].kind == "word":
            name = self.tokens[number - 2]
            return name.start, name.text[:64]
        return place, _word(node)


def _word(node: exp.Expression) -> str:
    """The keyword of a node that the parser gives no place and that has no parts: TRUE, CURRENT_DATE."""
    named = isinstance(node, exp.Boolean | exp.Null) or (
        isinstance(node, exp.Func) and not any(node.iter_expressions())
    )
    return node.sql(dialect="duckdb").upper()[:64] if named else node.key.upper()


def bare(node: exp.Expression) -> exp.Expression:
    """A node without the parentheses around it."""
    while type(node) is exp.Paren:
        node = node.this
    return node
