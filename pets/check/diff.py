"""Compare two specifications: does the new one let anyone learn what the old one did not?

``compare(old, new)`` is *equal*, *narrower*, *wider* or *incomparable*, with reasons. Narrower is a promise: whatever a
run of the new specification shows to any party or coalition can be computed, without the records, from what a run of
the old one on the same snapshot shows them (drop columns, add noise); and it runs within the old dates, no oftener, at
no greater cost. So any number of runs of any narrower specifications, together, show no more than as many runs of the
old one. That is what makes it safe for servers to let old approvals cover them (approve/cover.py, ADR 0013).

What follows from that and may surprise: a condition that selects fewer rows is not narrower, because the difference of
two populations is a third one; nor is a coarser grouping, because one noise on a sum is less than the sum of many; nor
is a table with a column less if its epsilon goes to the others.

    fields      every field of the model by its entry in check/decided.py, which knows no query
    query       the bound queries: tables, populations in normal form (spec/population.py), groups, columns
    noise       the noised columns: law, units, sensitivity and epsilon, or variance, of each
    withheld    under disclosure control, what is withheld for the sake of another column
    matrix      every cell of the disclosure matrix, coalitions beyond the model included
    losses      what a run charges to each dataset
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Final, NoReturn

from pets.check import flow, noised, pairs, pools, programs
from pets.check.budget import Loss, exact
from pets.check.decided import Pair, Reason, fields, turned
from pets.check.labels import Mark, Matrix, strongest
from pets.check.withheld import Relation, beside
from pets.errors import PetsError
from pets.ids import SpecDigest
from pets.spec import moments as taken_apart
from pets.spec.canonical import spec_digest
from pets.spec.cards import load_cards
from pets.spec.control import effective
from pets.spec.crossing import said
from pets.spec.ir import GaussianColumn, NoisedColumn, Noisy
from pets.spec.model import Dataset, Spec
from pets.spec.pairing import is_pairing, pairing_of
from pets.spec.pooled import Pooled, Statement
from pets.spec.population import Space, Undecided
from pets.spec.predicate import renamed, worded
from pets.spec.programmed import is_program, programmed_of
from pets.spec.query import Aggregate, ColumnRef, Output, Predicate, Statistic
from pets.spec.sql import bind

Cells = Mapping[tuple[str, str, frozenset[str]], Mark]
"""The matrix by kind and value of a row and the parties of a column, whatever columns of the table are called."""

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """What ``compare`` found: how ``new`` stands to ``old``, and every reason."""

    relation: Relation
    reasons: tuple[Reason, ...]
    old: SpecDigest
    new: SpecDigest

    @property
    def within(self) -> bool:
        """True if nobody can learn more from the new specification: its runs may count as runs of the old one."""
        return self.relation in ("equal", "narrower")

    def __bool__(self) -> NoReturn:
        raise TypeError("a difference has no truth value: ask within, or look at the relation")

    @property
    def text(self) -> str:
        """For people: the relation, what it means for approvals, then the reasons, those that decide first."""
        lines = [f"{self.relation}: {_MEANING[self.relation]}", f"old {self.old}", f"new {self.new}"]
        for direction in _ORDER:
            found = [reason for reason in self.reasons if reason.direction == direction]
            lines += ["", f"{direction}:"] if found else []
            lines += [f"  {reason.path}: {reason.sentence}" for reason in found]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, object]:
        return {
            "relation": self.relation,
            "old": self.old,
            "new": self.new,
            "reasons": [
                {"path": reason.path, "direction": reason.direction, "sentence": reason.sentence}
                for reason in self.reasons
            ],
        }


_ORDER: Final[tuple[Relation, ...]] = ("incomparable", "wider", "narrower", "equal")
_MEANING: Final[Mapping[Relation, str]] = {
    "equal": "the new specification asks for the same thing; approvals of the old one cover it",
    "narrower": "the new specification lets nobody learn more; approvals of the old one cover it",
    "wider": "the new specification lets somebody learn more; it needs approvals of its own",
    "incomparable": "the new specification is not within the old one; it needs approvals of its own",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a comparison looks at. ``refused``: why the check refuses the specification; then there is no more."""

    spec: Spec
    digest: SpecDigest
    refused: str = ""
    query: Statement | None = None
    roles: taken_apart.Roles | None = None
    populations: Mapping[str, object] | None = None
    columns: tuple[Noisy, ...] = ()
    cells: Cells | None = None
    losses: Mapping[str, Loss] | None = None


def facts(spec: Spec) -> Facts:
    """Derive what a comparison needs. Never raises on what an author wrote."""
    digest = spec_digest(spec)
    if is_pairing(spec) or is_program(spec):
        return _facts_of_exact(spec, digest)
    try:
        query = bind(spec)
        if isinstance(query, Pooled):
            verdict = pools.judge(spec, query, load_cards())
        else:
            verdict = flow.judge(spec, query, load_cards())
        if verdict.errors:
            first = verdict.errors[0]
            return Facts(spec, digest, f"{first.rule} at {first.path}: {first.message}")
        roles = None if isinstance(query, Pooled) else taken_apart.roles(spec, query)
        columns = noised.columns_of(spec, query) if effective(spec) is None else ()
    except PetsError as error:
        return Facts(spec, digest, error.text)
    rows = {table: population(where, spec.dataset(table)) for table, where in query.conditions}
    if (
        query.rows is not None
    ):  # a condition on both tables selects rows of their join, and is compared as it is written
        rows |= {"both tables": query.rows}
    return Facts(spec, digest, "", query, roles, rows, columns, cells(verdict.matrix, query), verdict.losses)


def _facts_of_exact(spec: Spec, digest: SpecDigest) -> Facts:
    """The same of an intersection or a program, whose whole meaning is in its fields and in the matrix."""
    try:
        if is_program(spec):
            verdict = programs.judge(spec, programmed_of(spec), load_cards())
        else:
            verdict = pairs.judge(spec, pairing_of(spec), load_cards())
    except PetsError as error:
        return Facts(spec, digest, error.text)
    if verdict.errors:
        first = verdict.errors[0]
        return Facts(spec, digest, f"{first.rule} at {first.path}: {first.message}")
    return Facts(spec, digest, cells=_cells(verdict.matrix), losses=verdict.losses)


def population(where: Predicate | None, dataset: Dataset) -> object:
    """What equals that of another condition if both select the same rows; of one too long to tell, its own words."""
    space = Space()
    try:
        return space.write(space.of(where, dataset))
    except Undecided:
        return where


def cells(matrix: Matrix, query: Statement) -> Cells:
    """The cells of a matrix, released columns under what they are instead of what they are called."""
    return _cells(matrix, {output.name: asked(output) for output in query.outputs})


def _cells(matrix: Matrix, called: Mapping[str, str] = MappingProxyType({})) -> Cells:
    found: dict[tuple[str, str, frozenset[str]], Mark] = {}
    for row in matrix.rows:
        value = called.get(row.value, row.value) if row.kind == "released" else row.value
        for column in matrix.columns:
            key = (row.kind, value, frozenset(column.parties))
            found[key] = strongest((found.get(key, Mark.NEVER), row.cells[column.label]))
    return found


def compare(old: Spec, new: Spec) -> Difference:
    """How the new specification stands to the old one. Pure: any party, and any auditor, gets the same answer."""
    return compare_facts(facts(old), facts(new))


def compare_facts(old: Facts, new: Facts) -> Difference:
    """``compare``, for those who compare one specification with many."""
    if old.digest == new.digest:
        return Difference("equal", (), old.digest, new.digest)
    reasons = tuple(dict.fromkeys(_reasons(old, new)))
    return Difference(_relation(reason.direction for reason in reasons), reasons, old.digest, new.digest)


def _relation(directions: Iterable[Relation]) -> Relation:
    ways = set(directions) - {"equal"}
    if not ways:
        return "equal"
    return next(iter(ways)) if len(ways) == 1 else "incomparable"


def _reasons(old: Facts, new: Facts) -> Iterator[Reason]:
    for which, each in (("old", old), ("new", new)):
        if each.refused:
            yield Reason(which, "incomparable", f"the check refuses the {which} specification: {each.refused}")
    yield from fields(old.spec, new.spec, "", Pair(old.spec, new.spec))
    if old.query is None or new.query is None:
        if any(kind(old.spec) and kind(new.spec) for kind in (is_pairing, is_program)):
            yield from _matrix(old.cells or {}, new.cells or {})
            yield from _losses(old.losses or {}, new.losses or {})
        return
    found = [*_population(old, new), *_outputs(old.query, new.query), *_having(old.query, new.query)]
    if old.spec.computation.sql != new.spec.computation.sql and not found:
        found.append(Reason("computation.sql", "equal", "the same query in other words"))
    yield from found
    yield from _withheld(old, new)
    yield from _noise(old, new)
    yield from _matrix(old.cells or {}, new.cells or {})
    yield from _losses(old.losses or {}, new.losses or {})


# -- the query --------------------------------------------------------------------------------------------------------


def _population(old: Facts, new: Facts) -> Iterator[Reason]:
    """Which rows are asked about, how they meet, in which cells, and who plays which role. None of it has an order."""
    assert old.query is not None and new.query is not None
    before, after = old.populations or {}, new.populations or {}
    if before.keys() != after.keys():
        told = f"joins {_and(after)} instead of {_and(before)}"
        yield Reason("computation.sql: FROM", "incomparable", told)
        return
    if old.query.join != new.query.join or (new.query.join == "left" and old.query.tables[0] != new.query.tables[0]):
        told = f"a join of another kind: {_join(new.query)} instead of {_join(old.query)}"
        yield Reason("computation.sql: FROM", "incomparable", told)
    for table in before:
        if before[table] != after[table]:
            told = f"other rows of {table} are asked about; the difference of two populations tells of a third"
            yield Reason("computation.sql: WHERE", "incomparable", told)
    groups = [{str(ref) for ref in query.group_by} for query in (old.query, new.query)]
    if groups[0] != groups[1]:
        was, now = (_and(group) or "nothing" for group in groups)
        told = f"grouped by {now} instead of {was}; a cell has one noise, so cells of one are not made from the other"
        yield Reason("computation.sql: GROUP BY", "incomparable", told)
    if old.roles is not None and new.roles is not None and _cast(old.roles) != _cast(new.roles):
        told = f"{new.roles.a} plays role a and {new.roles.b} role b of the protocol, which was the other way"
        if len(new.query.tables) > 2:
            told = "the holders play other roles of the protocol than before"
        yield Reason("computation.sql: FROM", "incomparable", told)


def _cast(roles: taken_apart.Roles) -> tuple[str, ...]:
    return roles.a, roles.b, *roles.ds, roles.helper


def _join(query: Statement) -> str:
    if isinstance(query, Pooled):
        return f"{query.table} alone"
    return f"{query.left} {'JOIN' if query.join == 'inner' else 'LEFT JOIN'} {query.right}"


def _outputs(old: Statement, new: Statement) -> Iterator[Reason]:
    """Columns of the table, by what they are and what readers of the table are told that they are. Their order tells
    nothing. A heading tells nobody a number, but it was signed with the rest, and another one may say what is not so.
    """
    before, after = _headings(old), _headings(new)
    for what in before:
        if what not in after:
            yield Reason("computation.sql: SELECT", "narrower", f"{what} is released no more")
    for what, names in after.items():
        if what not in before:
            yield Reason("computation.sql: SELECT", "wider", f"{what} is released as well")
            continue
        for name in sorted(before[what] - names):
            yield Reason("computation.sql: SELECT", "narrower", f"{what} is no longer headed {name}")
        for name in sorted(names - before[what]):
            yield Reason("computation.sql: SELECT", "wider", f"{what} is headed {name}, which nobody has signed")


def _having(old: Statement, new: Statement) -> Iterator[Reason]:
    """Which rows of the table are kept. All of them are opened to the result party; who reads the table sees fewer."""
    before, after = _kept(old), _kept(new)
    if before == after:
        return
    relation: Relation = "narrower" if not before else "wider" if not after else "incomparable"
    told = f"rows are kept where {after}" if after else "all rows are kept"
    yield Reason("computation.sql: HAVING", relation, f"{told}{f' instead of where {before}' if before else ''}")


def _kept(query: Statement) -> str:
    """HAVING with statistics by what they are, whatever they are called; empty if there is none."""
    return "" if query.having is None else worded(renamed(query.having, {o.name: asked(o) for o in query.outputs}))


def _headings(query: Statement) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for output in query.outputs:
        found.setdefault(asked(output), set()).add(output.name)
    return found


def asked(output: Output) -> str:
    """What a column of the table is, whatever it is called: ``AVG(stays.minutes)``, ``COUNT(*)``, ``homes.tenure``."""
    if isinstance(output.what, ColumnRef):
        return str(output.what)
    if output.what.when:
        plain = asked(replace(output, what=replace(output.what, when=())))
        return f"{plain} where {' and '.join(map(said, output.what.when))}"
    name, arguments = output.what.statistic.value.upper(), ", ".join(map(str, _arguments(output.what)))
    match output.what.statistic:
        case Statistic.COUNT_ROWS:
            return "COUNT(*)"
        case Statistic.COUNT_VALUES:
            return f"COUNT({arguments})"
        case Statistic.COUNT_PEOPLE:
            return f"COUNT(DISTINCT {arguments})"
        case Statistic.QUANTILE:
            return f"{name}({arguments}, {output.what.at})"
    if output.what.iterations:
        arguments += f", {output.what.iterations} steps"
    if output.what.of:
        return f"{name}({arguments}) of {output.what.columns[output.what.of]}"
    return f"{name}({arguments})"


def _arguments(what: Aggregate) -> tuple[ColumnRef, ...]:
    """The columns of an aggregate. Those of a statistic that is the same either way are sorted."""
    either_way = what.statistic.value.startswith(("corr", "covar"))
    return tuple(sorted(what.columns)) if either_way else what.columns


def _withheld(old: Facts, new: Facts) -> Iterator[Reason]:
    """Exact tables: what is withheld for the sake of another column of the table."""
    assert old.query is not None and new.query is not None
    if why := beside((old.spec, old.query), (new.spec, new.query)):
        yield Reason("release.disclosure_control", "incomparable", why)


# -- noise, matrix, losses --------------------------------------------------------------------------------------------


def _noise(old: Facts, new: Facts) -> Iterator[Reason]:
    """Each noised column that is in both: more noise of the same law can be added by whoever has less."""
    before, after = ({_key(column): column for column in each.columns} for each in (old, new))
    less: list[str] = []
    more: list[str] = []
    other: list[str] = []
    near: list[str] = []
    laws: list[str] = []
    for key, column in after.items():
        known = before.get(key)
        if known is None:
            yield Reason("computation.sql: SELECT", "wider", f"the noised sum {column.moment.name} is opened as well")
        elif type(column) is not type(known):
            laws.append(column.moment.name)
        elif (_units(known), _width(known)) != (_units(column), _width(column)):
            other.append(column.moment.name)
        elif isinstance(column, GaussianColumn) and isinstance(known, GaussianColumn):
            told = f"{column.moment.name} rho {exact(column.rho)} instead of {exact(known.rho)}"
            if column.variance < known.variance:
                less.append(told)
            elif _made_from(known.variance, column.variance):
                more += [told] if column.variance > known.variance else []
            else:
                near.append(column.moment.name)
        elif isinstance(column, NoisedColumn) and isinstance(known, NoisedColumn) and column.epsilon != known.epsilon:
            told = f"{column.moment.name} epsilon {exact(column.epsilon)} instead of {exact(known.epsilon)}"
            (less if column.epsilon > known.epsilon else more).append(told)
    for key, column in before.items():
        if key not in after:
            yield Reason("computation.sql: SELECT", "narrower", f"the noised sum {column.moment.name} is not opened")
    if other:
        told = f"{', '.join(other)}: rounded to other units or noised for another sensitivity"
        yield Reason(_EPSILON, "incomparable", told)
    if laws:
        yield Reason(_EPSILON, "incomparable", f"{', '.join(laws)}: noised by another law")
    if near:
        told = f"{', '.join(near)}: so little more noise that one law is not made from the other"
        yield Reason(_EPSILON, "incomparable", told)
    if less:
        yield Reason(_EPSILON, "wider", f"less noise: {'; '.join(less)}")
    if more:
        yield Reason(_EPSILON, "narrower", f"more noise: {'; '.join(more)}")
    if old.spec.release.differential_privacy != new.spec.release.differential_privacy and not (
        other + near + laws + less + more
    ):
        privacy = new.spec.release.differential_privacy
        stated = "epsilon" if privacy is None else privacy.stated_in
        yield Reason(_EPSILON, "equal", f"the same {stated} for every noised column that is in both")


_EPSILON: Final = "release.differential_privacy"


_FAR: Final = 4
"""Least variance by which two discrete Gaussian parts have to be apart, in the sense of ``_made_from``."""


def _made_from(less: Fraction, more: Fraction) -> bool:
    """Whether a part of variance ``more`` is as good as made from one of ``less`` by adding noise of the difference.

    The two laws are as far apart as exp(-2 pi^2 s) says, s = less (more - less) / more (check/shared_noise.py): from
    s = 4 on a number tells them apart with a chance below 2^-110, so all numbers of all runs do with one below 2^-40.
    """
    return more == less or (more > less and less * (more - less) >= _FAR * more)


def _width(column: Noisy) -> tuple[int, int]:
    """For which change by one person a column is noised, and of Gaussian noise, how many parts of it are enough."""
    return (column.squared, column.parts) if isinstance(column, GaussianColumn) else (column.sensitivity, 0)


def _key(column: Noisy) -> tuple[object, ...]:
    moment = column.moment
    return (moment.name, moment.outer, *((f.values, f.present, f.people, f.when) for f in moment.factors))


def _units(column: Noisy) -> tuple[object, ...]:
    moment = column.moment
    return (moment.scale, *((f.unit, f.bound) for f in moment.factors))


def _matrix(old: Cells, new: Cells) -> Iterator[Reason]:
    """The checker's own order: narrower only if no cell tells more. A row or column that is not there tells nothing."""
    less: list[str] = []
    more: list[str] = []
    for key in sorted({*old, *new}, key=lambda key: (key[0], key[1], sorted(key[2]))):
        kind, value, parties = key
        a, b = old.get(key, Mark.NEVER), new.get(key, Mark.NEVER)
        if a.rank != b.rank:
            told = f"{'+'.join(sorted(parties))} of {kind} {value}: {b.value} instead of {a.value}"
            (more if b.rank > a.rank else less).append(told)
    if more:
        yield Reason("matrix", "wider", _some(more, "cell tells more", "cells tell more"))
    if less:
        yield Reason("matrix", "narrower", _some(less, "cell tells less", "cells tell less"))


def _losses(old: Mapping[str, Loss], new: Mapping[str, Loss]) -> Iterator[Reason]:
    for dataset in sorted({*old, *new}):
        a, b = old.get(dataset, Loss()), new.get(dataset, Loss())
        for name, was, now in (("epsilon", a.epsilon, b.epsilon), ("delta", a.delta, b.delta), ("rho", a.rho, b.rho)):
            if was != now:
                told = f"a run costs {dataset} {name} {exact(now)} instead of {exact(was)}"
                yield Reason("losses", turned(now < was), told)


def _some(lines: list[str], one: str, many: str) -> str:
    rest = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return f"{len(lines)} {one if len(lines) == 1 else many}: {'; '.join(lines[:_SHOWN])}{rest}"


def _and(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))
