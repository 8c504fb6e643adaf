"""Column rules: what a query may do with a holder's columns, towards whom and for what.

A rule leaves some uses allowed. It is one of the names in ``RULES``, or a list of uses by name; and it may be limited
to recipients and purposes. All rules on a column that apply to a release are taken together, and only what every one of
them leaves is allowed: the order does not matter, the strictest wins, and a rule beside others never allows more. Where
no rule applies nothing is allowed: a column without rules, a recipient or a purpose that no rule is for.

Minimum, maximum and quantiles show a value of one person, and a logistic model rests on everybody's. An intersection
reveals single persons, or how many there are however few; a program may release anything of a column that goes into it.
No named rule leaves these; only a list that names them does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag

from pets.spec.banded import origins
from pets.spec.crossing import columns
from pets.spec.model import Model, San, Spec, Text
from pets.spec.pairing import Pairing
from pets.spec.pooled import Statement
from pets.spec.predicate import columns_of
from pets.spec.programmed import Programmed
from pets.spec.query import COUNTED, FITTED, LINEAR, Aggregate, ColumnRef, Statistic


class Use(StrEnum):
    """What a query can do with a column."""

    JOIN = "join"
    FILTER = "filter"
    GROUP = "group by"
    COUNT_PEOPLE = "count people"
    COUNT = "count"
    SUM = "sum"
    MEAN = "average"
    SPREAD = "variance"
    RELATION = "relation"
    MINIMUM = "min"
    MAXIMUM = "max"
    QUANTILE = "quantile"
    LOGISTIC = "logistic"
    REVEAL = "reveal"
    EXACT = "exact count"
    PROGRAM = "program"


BY_NAME: Final = frozenset({Use.MINIMUM, Use.MAXIMUM, Use.QUANTILE, Use.LOGISTIC, Use.REVEAL, Use.EXACT, Use.PROGRAM})
"""What nothing allows but a list that names it."""

_ALL: Final = frozenset(Use) - BY_NAME
_AGGREGATES: Final = frozenset({Use.COUNT, Use.SUM, Use.MEAN, Use.SPREAD, Use.RELATION})

RuleName = Literal[
    "any use",
    "join key",
    "filter only",
    "aggregate column",
    "dimension column",
    "never output",
    "no group by",
    "no filter",
    "no relation",
    "only count",
    "only sums",
]
RULES: Final[Mapping[str, frozenset[Use]]] = {
    "any use": _ALL,
    "join key": frozenset({Use.JOIN, Use.COUNT_PEOPLE}),
    "filter only": frozenset({Use.FILTER}),
    "aggregate column": _AGGREGATES,
    "dimension column": frozenset({Use.GROUP, Use.FILTER}),
    "never output": frozenset({Use.JOIN, Use.FILTER, Use.COUNT_PEOPLE}),
    "no group by": _ALL - {Use.GROUP},
    "no filter": _ALL - {Use.FILTER},
    "no relation": _ALL - {Use.RELATION},
    "only count": frozenset({Use.COUNT, Use.COUNT_PEOPLE}),
    "only sums": frozenset({Use.COUNT, Use.SUM, Use.MEAN}),
}
"""What each named rule leaves allowed."""

UseName = Literal[
    "join",
    "filter",
    "group by",
    "count people",
    "count",
    "sum",
    "average",
    "variance",
    "relation",
    "min",
    "max",
    "quantile",
    "logistic",
    "reveal",
    "exact count",
    "program",
]


class ColumnRule(Model):
    """A rule with a scope: ``rule`` is a name of ``RULES``, ``allow`` a list of uses; both together leave what both do.

    ``recipients`` and ``purposes``: what the rule applies to; without them, to every one.
    """

    rule: RuleName | None = None
    allow: tuple[UseName, ...] | None = None
    recipients: Annotated[tuple[San, ...], Field(min_length=1)] | None = None
    purposes: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None

    @property
    def leaves(self) -> frozenset[Use]:
        """The uses that it leaves allowed: none, if it says nothing."""
        parts = [RULES[self.rule]] if self.rule is not None else []
        parts += [frozenset(map(Use, self.allow))] if self.allow is not None else []
        return frozenset.intersection(*parts) if parts else frozenset()

    def applies(self, recipient: str, purpose: str) -> bool:
        return (self.recipients is None or recipient in self.recipients) and (
            self.purposes is None or purpose in self.purposes
        )

    def __str__(self) -> str:
        parts = [f'"{self.rule}"'] if self.rule is not None else []
        parts += [f"only {', '.join(self.allow) or 'nothing'}"] if self.allow is not None else []
        return " and ".join(parts) or "a rule that allows nothing"


NAMED, WRITTEN = "(name)", "(table)"
"""The two forms of a rule, where pydantic names them in a path."""


def _form(value: object) -> str:
    return NAMED if isinstance(value, str) else WRITTEN


Rule = Annotated[Annotated[RuleName, Tag(NAMED)] | Annotated[ColumnRule, Tag(WRITTEN)], Discriminator(_form)]
"""A rule by name, or as a table in TOML."""


def rule_of(rule: Rule) -> ColumnRule:
    """A rule in its long form."""
    return rule if isinstance(rule, ColumnRule) else ColumnRule(rule=rule)


def allowed(rules: Iterable[Rule], recipient: str, purpose: str) -> frozenset[Use]:
    """What a column may be used for towards one recipient and for one purpose; nothing where no rule applies."""
    leaves = [each.leaves for each in map(rule_of, rules) if each.applies(recipient, purpose)]
    return frozenset.intersection(*leaves) if leaves else frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A use that rules do not leave: towards whom, for what, and which rules took it away (none applied, if none)."""

    use: Use
    recipient: str
    purpose: str
    rules: tuple[ColumnRule, ...]


def refusals(rules: tuple[Rule, ...], uses: Iterable[Use], spec: Spec) -> tuple[Refusal, ...]:
    """The uses that are not allowed towards some recipient of the release for some purpose of it; the first of each."""
    found: dict[Use, Refusal] = {}
    for name in spec.release.to:
        recipient = spec.party(name).san
        for purpose in spec.purpose.dpv:
            applying = [each for each in map(rule_of, rules) if each.applies(recipient, purpose)]
            for use in sorted(set(uses) - allowed(rules, recipient, purpose)):
                against = tuple(each for each in applying if use not in each.leaves)
                found.setdefault(use, Refusal(use, recipient, purpose, against))
    return tuple(found[use] for use in sorted(found))


_STATISTIC_USE: Final[Mapping[Statistic, Use]] = {
    Statistic.COUNT_ROWS: Use.COUNT,
    Statistic.COUNT_VALUES: Use.COUNT,
    Statistic.COUNT_PEOPLE: Use.COUNT_PEOPLE,
    Statistic.SUM: Use.SUM,
    Statistic.AVG: Use.MEAN,
    Statistic.VAR_SAMP: Use.SPREAD,
    Statistic.VAR_POP: Use.SPREAD,
    Statistic.STDDEV_SAMP: Use.SPREAD,
    Statistic.STDDEV_POP: Use.SPREAD,
    Statistic.CORR: Use.RELATION,
    Statistic.COVAR_SAMP: Use.RELATION,
    Statistic.COVAR_POP: Use.RELATION,
    Statistic.REGR_SLOPE: Use.RELATION,
    Statistic.REGR_INTERCEPT: Use.RELATION,
    **dict.fromkeys(LINEAR, Use.RELATION),
    **dict.fromkeys(COUNTED | FITTED, Use.LOGISTIC),
    Statistic.MINIMUM: Use.MINIMUM,
    Statistic.MAXIMUM: Use.MAXIMUM,
    Statistic.MEDIAN: Use.QUANTILE,
    Statistic.QUANTILE: Use.QUANTILE,
}


def uses_of(query: Statement | Pairing | Programmed, spec: Spec) -> dict[ColumnRef, dict[Use, str]]:
    """Every column that is touched, what is done with it, and the first place where it is."""
    if isinstance(query, Pairing):
        return _uses_of_pairing(query, spec)
    if isinstance(query, Programmed):
        return _uses_of_program(query)
    uses: dict[ColumnRef, dict[Use, str]] = {}

    def note(column: ColumnRef, use: Use, place: str) -> None:
        uses.setdefault(column, {}).setdefault(use, f"{place} <- {column}")

    for dataset, where in query.conditions:
        place = "JOIN" if len(query.tables) > 1 else "max_rows_per_person"
        note(ColumnRef(dataset, spec.dataset(dataset).key), Use.JOIN, place)
        for name in columns_of(where) if where is not None else ():
            note(ColumnRef(dataset, name), Use.FILTER, "WHERE")
    for column in columns(query.rows):
        note(column, Use.FILTER, "WHERE")
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            for column in output.what.columns:
                statistic = output.what.statistic
                note(column, _STATISTIC_USE[statistic], f"output {output.name} <- {statistic.value}")
            for own in output.what.when:
                for name in columns_of(own.predicate):
                    note(ColumnRef(own.dataset, name), Use.GROUP, f"output {output.name} <- CASE")
        else:
            for column in origins(output.what):
                note(column, Use.GROUP, f"output {output.name}")
    for group in query.group_by:
        for column in origins(group):
            note(column, Use.GROUP, "GROUP BY")
    return uses


def _uses_of_pairing(pairing: Pairing, spec: Spec) -> dict[ColumnRef, dict[Use, str]]:
    """The same of an intersection: it reveals persons, or counts them, with a least number or without."""
    uses: dict[ColumnRef, dict[Use, str]] = {}
    least = max(pairing.min_result, pairing.at_least)
    for dataset in pairing.tables:
        key = ColumnRef(dataset, spec.dataset(dataset).key)
        found = uses.setdefault(key, {Use.JOIN: f"{pairing.outcome} <- {key}"})
        if pairing.outcome == "intersection" and (dataset == pairing.other or pairing.both):
            found[Use.REVEAL] = f"intersection <- {key}"
        elif pairing.outcome != "intersection":
            found[Use.COUNT_PEOPLE if least > 1 else Use.EXACT] = f"{pairing.outcome} <- {key}"
        where = pairing.where(dataset)
        for name in columns_of(where) if where is not None else ():
            uses.setdefault(ColumnRef(dataset, name), {})[Use.FILTER] = f"where <- {dataset}.{name}"
    for ref in pairing.by:
        uses.setdefault(ref, {})[Use.GROUP] = f"by <- {ref}"
    told = Use.SUM if pairing.outcome == "sum" else Use.REVEAL
    for ref in pairing.columns:
        uses.setdefault(ref, {})[told] = f"columns <- {ref}"
    return uses


def _uses_of_program(program: Programmed) -> dict[ColumnRef, dict[Use, str]]:
    """The same of a program: what goes in may come out in any form. Ids are not joined; they only order rows."""
    uses: dict[ColumnRef, dict[Use, str]] = {}
    for name, ref in program.columns:
        uses.setdefault(ref, {}).setdefault(Use.PROGRAM, f"input {name} <- {ref}")
    for dataset, where in program.wheres:
        for name in columns_of(where) if where is not None else ():
            uses.setdefault(ColumnRef(dataset, name), {})[Use.FILTER] = f"where <- {dataset}.{name}"
    return uses


def needed(query: Statement | Pairing | Programmed, spec: Spec, party: str) -> dict[str, dict[str, tuple[Rule, ...]]]:
    """The narrowest rules of a party that allow a query: what its author has to ask the party for.

    One list of uses for each column, limited to the recipients and purposes of the specification.
    """
    rules: dict[str, dict[str, tuple[Rule, ...]]] = {}
    for column, uses in sorted(uses_of(query, spec).items()):
        if party in spec.dataset(column.dataset).parties:
            rule = ColumnRule(
                allow=tuple(use.value for use in Use if use in uses),
                recipients=tuple(spec.party(name).san for name in spec.release.to),
                purposes=tuple(dict.fromkeys(spec.purpose.dpv)),
            )
            rules.setdefault(column.dataset, {})[column.column] = (rule,)
    return rules


def remedy(column: ColumnRef, refusal: Refusal, place: str, rules: tuple[Rule, ...], party: str) -> str:
    """The smallest change that would pass."""
    if not refusal.rules:
        known = sorted({r for each in map(rule_of, rules) for r in (each.recipients or ())})
        advice = f"release to {' or '.join(known)}, or ask" if known and refusal.recipient not in known else "ask"
        return f"{advice} {party} for a rule that applies to this recipient and purpose"
    if refusal.use is Use.FILTER:
        return f"take {column} out of WHERE"
    if refusal.use is Use.REVEAL and place.startswith("columns"):
        return f"take {column} out of computation.columns"
    if refusal.use in (Use.REVEAL, Use.EXACT):
        return f'ask {party} for a rule that allows "{refusal.use.value}" by name, or ask for a protected table'
    if refusal.use is Use.GROUP:
        return f"take {column} out of SELECT and GROUP BY"
    if refusal.use is Use.JOIN:
        return f"a query joins on its person ids: ask {party} for a rule that allows it"
    output = place.split(" <- ", 1)[0]
    others = sorted(allowed(rules, refusal.recipient, refusal.purpose) & _AGGREGATES)
    return f"leave {output} out" + (f", or make it one of: {', '.join(others)}" if others else "")
