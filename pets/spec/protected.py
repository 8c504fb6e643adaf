"""What a table under disclosure control rests on: which sums are shown, and which counts of persons have to be enough.

Every statistic rests on the persons who contribute to it, which are those whose values it uses are not NULL: their
number is one more sum of the join, if the query does not ask for it anyway. Where more counts follow from those that
are shown, they have to be enough, too: those on whom a 0/1 column is 0, those with a second row, and those who lack a
value.

Who lacks what: of each column, a person has a value or not, and a statistic counts those who have all that it uses. If
such sets are a forest (``_forest``), every count of persons that follows from theirs is a sum of differences of one and
the next larger one. Else it is a sum of *parts* (``_parts``), the persons of whom the query sees the same things.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Final

from pets.spec import moments as taken_apart
from pets.spec.control import Control
from pets.spec.ir import PersonCount, ShownMoment
from pets.spec.model import Spec
from pets.spec.moments import Needs, SideMoment
from pets.spec.pooled import Pooled, Statement
from pets.spec.population import EVERY, NONE, Space, Undecided
from pets.spec.predicate import worded
from pets.spec.query import FITTED, ORDER, Aggregate, ColumnRef, Own, Query, Statistic

PLAIN: Final = frozenset(
    {Statistic.COUNT_ROWS, Statistic.COUNT_VALUES, Statistic.COUNT_PEOPLE, Statistic.SUM, Statistic.AVG, *ORDER}
)
"""Statistics that rounded counts do not spoil: the others are differences of large numbers, made with the count."""

MATCHED: Final = "matched"

MAX_PARTS: Final = 15
"""Sets of values that have to be there, with all their unions, as long as each becomes a sum of the join."""


WHOLE_TABLE: Final = 3
"""Columns of 0 and 1, if a model has no other regressors, up to which each cell of them has to have enough persons."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """An order statistic: numbers of the moments of its values and of those who have one, and the set it rests on."""

    what: Aggregate
    values: int
    count: int
    rests_on: int


@dataclass(frozen=True, slots=True)
class Held:
    """A sum that is held against rules on contributions: its number, and that of the moment that counts persons.

    ``counted``: the number of that count among ``Protected.counts``.
    """

    moment: int
    support: int
    counted: int


@dataclass(frozen=True, slots=True)
class GuardedFit:
    """A logistic model: numbers of the moments of ones, of y and of each other column, and the set it rests on."""

    what: Aggregate
    count: int
    y: int
    xs: tuple[int, ...]
    rests_on: int


@dataclass(frozen=True, slots=True)
class Protected:
    """All that is summed, in order: what the query asks for, then what is only counted. Sets and counts of ``Protect``.

    ``held``: what is held against rules on contributions; in ``sets`` its numbers are behind those of the counts.
    """

    moments: tuple[SideMoment, ...]
    counts: tuple[PersonCount, ...]
    sets: tuple[tuple[int, ...], ...]
    shown: tuple[ShownMoment, ...]
    ordered: tuple[Guarded, ...]
    fits: tuple[GuardedFit, ...]
    held: tuple[Held, ...] = ()

    def name(self, number: int) -> str:
        """What has to be right for a set: a count of persons, or no few of them having most of a sum."""
        if number < len(self.counts):
            return self.counts[number].name
        return f"no dominance in {self.moments[self.held[number - len(self.counts)].moment].name}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One moment that is shown: the count that it rests on, and whose values have to be there for it.

    ``order``: the values of the moment are put in order, and it is not shown itself. ``fit``: a model of it is fitted,
    and likewise. ``held``: against rules on contributions.
    """

    moment: SideMoment
    support: SideMoment
    columns: Needs
    present: frozenset[str]
    flag: bool
    order: Aggregate | None = None
    held: bool = False
    fit: Aggregate | None = None

    @property
    def name(self) -> str:
        if self.fit is not None:
            return taken_apart.fit_name(self.fit)
        return self.moment.name if self.order is None else taken_apart.order_name(self.order)


def is_count(moment: SideMoment) -> bool:
    """True if a moment counts rows or persons, whatever has to be there for it."""
    return not any(factor.values for factor in moment.factors)


def is_flag(moment: SideMoment, query: Statement, spec: Spec) -> bool:
    """True if a moment is the sum of one column that is 0 or 1: a count of those on whom it is 1."""
    factors = zip(query.tables, moment.factors, strict=True)
    values = [(table, name) for table, factor in factors for name in factor.values]
    return len(values) == 1 and width(values[0], spec) <= 1


def width(column: tuple[str, str], spec: Spec) -> int:
    """How far apart the ends of a measure's range are, in units of the last place."""
    low, high = spec.dataset(column[0]).columns[column[1]].scaled_range
    return high - low


def by_person(query: Statement, spec: Spec) -> bool:
    """True if nobody has two rows on either side: then counts of rows are counts of persons.

    Of one table of many holders, if nobody has two at one of them: the persons of each are counted.
    """
    return all(rows == 1 for rows in _rows_of_persons(query, spec))


def _rows_of_persons(query: Statement, spec: Spec) -> tuple[int, ...]:
    """Rows of one who is counted as a person, in each table."""
    tables = (spec.dataset(name) for name in query.tables)
    if isinstance(query, Pooled):
        return tuple(table.rows_per_person for table in tables)
    return tuple(table.max_rows_per_person for table in tables)


def protected(query: Statement, spec: Spec, control: Control) -> Protected:
    """Work out what is summed, what is shown, and what it rests on, in the order of the query."""
    asked = tuple(_added_up(each, query, spec, control) for each in _asked(query, spec))
    summed = {each.moment.name: each.moment for each in asked}
    for each in asked:
        summed.setdefault(each.support.name, each.support)
        for column in _regressors(each.fit):
            moment = taken_apart.products_of(each.fit, query, spec, (column,))  # type: ignore[arg-type]
            summed.setdefault(moment.name, moment)
    beside = _beside(asked, query, spec) if follows(control) else {}
    rests: dict[str, tuple[str, ...]] = {}
    found: dict[str, PersonCount] = {}
    if control.known_totals:  # blocks of cells have to have enough people, whatever is asked of them
        everybody = taken_apart.contributors(query, spec, ())
        summed.setdefault(everybody.name, everybody)
        place = list(summed).index(everybody.name)
        found[everybody.name] = PersonCount(everybody.name, ((place, 1),), control.zeros == "shown")
    for each in asked:
        linear = [
            *_of_itself(each, query, spec, control),
            *(_second_rows(each, asked, query, spec) if follows(control) else ()),
            *beside.get(each.present, ()),
        ]
        for one in linear:
            for moment, _ in one.terms:
                summed.setdefault(moment.name, moment)
        numbers = {name: number for number, name in enumerate(summed)}
        for one in linear:
            terms = tuple((numbers[moment.name], factor) for moment, factor in one.terms)
            found.setdefault(one.name, PersonCount(one.name, terms, control.zeros == "shown"))
        rests[each.name] = tuple(dict.fromkeys(one.name for one in linear))
    places = {name: number for number, name in enumerate(found)}
    sets = {name: tuple(sorted(places[count] for count in own)) for name, own in rests.items()}
    numbers = {name: number for number, name in enumerate(summed)}
    held = [each for each in asked if each.held]
    for number, each in enumerate(held, len(found)):
        sets[each.name] = (*sets[each.name], number)
    distinct = tuple(dict.fromkeys(sets.values()))
    shown = tuple(
        ShownMoment(numbers[each.moment.name], distinct.index(sets[each.name]), is_count(each.moment) or each.flag)
        for each in asked
        if each.order is None and each.fit is None
    )
    ordered = tuple(
        Guarded(each.order, numbers[each.moment.name], numbers[each.support.name], distinct.index(sets[each.name]))
        for each in asked
        if each.order is not None
    )
    fits = tuple(
        GuardedFit(
            each.fit,
            numbers[each.support.name],
            numbers[each.moment.name],
            tuple(numbers[taken_apart.products_of(each.fit, query, spec, (x,)).name] for x in _regressors(each.fit)),
            distinct.index(sets[each.name]),
        )
        for each in asked
        if each.fit is not None
    )
    against = tuple(
        Held(numbers[each.moment.name], numbers[each.support.name], places[each.support.name]) for each in held
    )
    return Protected(tuple(summed.values()), tuple(found.values()), distinct, shown, ordered, fits, against)


def held_sums(query: Statement, spec: Spec, control: Control) -> tuple[SideMoment, ...]:
    """The sums that are held against rules on what single persons add: all that are shown and count no persons."""
    found = (_added_up(each, query, spec, control) for each in _asked(query, spec))
    return tuple(each.moment for each in found if each.held)


def on_rows(query: Query, spec: Spec, control: Control | None) -> bool:
    """True if three parties compute on shared rows before they are summed: conditions, order, contributions."""
    return query.by_rows or (control is not None and bool(held_sums(query, spec, control)))


def _added_up(each: _Asked, query: Statement, spec: Spec, control: Control) -> _Asked:
    """Under rules on contributions, all that a person adds to a sum stands on one of its rows in each cell."""
    if (
        not control.on_contributions
        or each.order is not None
        or each.fit is not None
        or each.flag
        or is_count(each.moment)
    ):
        return each
    factors = tuple(
        replace(factor, together=spec.dataset(name).max_rows_per_person > 1)
        for name, factor in zip(query.tables, each.moment.factors, strict=True)
    )
    moment = replace(each.moment, factors=factors)
    return replace(each, moment=moment, held=True)


def _regressors(what: Aggregate | None) -> tuple[ColumnRef, ...]:
    return () if what is None else what.columns[1:]


def follows(control: Control) -> bool:
    """True if rounding is too fine to hide a small difference of two counts that are shown.

    Of two multiples of the base that are next to each other, the difference is anything from 1 to 2 base - 1: no closer
    than what a withheld cell tells, 1 to min_count - 1, as soon as twice the base reaches the minimum. Counts that are
    not rounded hide nothing.
    """
    return control.min_count > 1 and (control.round_to == 1 or 2 * control.round_to < control.min_count)


@dataclass(frozen=True, slots=True)
class _Linear:
    """A count of persons: moments, each times a factor, added."""

    name: str
    terms: tuple[tuple[SideMoment, int], ...]


def _of_itself(each: _Asked, query: Statement, spec: Spec, control: Control) -> Iterator[_Linear]:
    """Its contributors; those of a holder that asks for its own; of a 0/1 column, the ones and the others."""
    yield _Linear(each.support.name, ((each.support, 1),))
    if isinstance(query, Query) and each.support.outer and spec.dataset(query.right).parties & set(control.local):
        matched = taken_apart.contributors(query, spec, (*each.columns, _key(query, spec)))
        yield _Linear(matched.name, ((matched, 1),))
    if each.fit is not None:
        for columns in tables_of(each.fit, spec):
            yield from _cells(each.fit, columns, query, spec)
    if each.flag:
        yield _Linear(f"{each.moment.name}, those who are 1", ((each.moment, 1),))
        yield _Linear(f"{each.moment.name}, those who are 0", ((each.support, 1), (each.moment, -1)))


def tables_of(what: Aggregate, spec: Spec) -> tuple[tuple[ColumnRef, ...], ...]:
    """Of a logistic model: tables of y and columns of 0 and 1 that its numbers could give away, each by its columns.

    That of y and one such column follows if it is the only regressor; with others its odds are what a coefficient is
    about. Where there are no other regressors at all, up to three make a table whose cells are hardly more than the
    numbers that are shown: all of them count. Of more, those of y and any two.
    """
    y, *xs = what.columns
    flags = [x for x in xs if width((x.dataset, x.column), spec) <= 1]
    if len(flags) < len(xs):
        return tuple((y, x) for x in flags) or ((y,),)
    if len(flags) <= WHOLE_TABLE:
        return ((y, *flags),)
    return tuple((y, *pair) for pair in itertools.combinations(flags, 2))


def _cells(what: Aggregate, columns: tuple[ColumnRef, ...], query: Statement, spec: Spec) -> Iterator[_Linear]:
    """Persons in each cell of a table of columns of 0 and 1: sums of products, with those in more cells taken off."""
    for cell in itertools.product((1, 0), repeat=len(columns)):
        ones = tuple(column for column, value in zip(columns, cell, strict=True) if value)
        zeros = [column for column, value in zip(columns, cell, strict=True) if not value]
        terms = []
        for count in range(len(zeros) + 1):
            for more in itertools.combinations(zeros, count):
                terms.append((taken_apart.products_of(what, query, spec, (*ones, *more)), (-1) ** count))
        named = ", ".join(f"{column} is {value}" for column, value in zip(columns, cell, strict=True))
        yield _Linear(f"{named} in {taken_apart.fit_name(what)}", tuple(terms))


def _second_rows(each: _Asked, asked: Iterable[_Asked], query: Statement, spec: Spec) -> Iterator[_Linear]:
    """Of a count of rows beside that of their persons: second rows, and those missing to the greatest number.

    Few second rows are of few persons, and so are few that are missing. With two at most each is a count of persons.
    """
    if is_count(each.moment) and each.moment != each.support and any(o.moment == each.support for o in asked):
        most = prod(_rows_of_persons(query, spec))
        yield _Linear(f"{each.moment.name} less {each.support.name}", ((each.moment, 1), (each.support, -1)))
        name = f"{most} times {each.support.name} less {each.moment.name}"
        yield _Linear(name, ((each.support, most), (each.moment, -1)))


def _key(query: Query, spec: Spec) -> ColumnRef:
    """The identifier of the right side: never NULL where there is a match."""
    return ColumnRef(query.right, spec.dataset(query.right).key)


# -- who lacks what -------------------------------------------------------------------------------------------------


def _beside(asked: Iterable[_Asked], query: Statement, spec: Spec) -> dict[frozenset[str], tuple[_Linear, ...]]:
    """By what has to be there for a statistic: the counts that follow from its own and those of the others."""
    supports = {each.present: (each.support, each.columns) for each in asked}
    found: dict[frozenset[str], tuple[_Linear, ...]] = {}
    for group, forest in _groups({own: needs for own, (_, needs) in supports.items()}):
        if forest:
            for own in group:
                found[own] = tuple(
                    _Linear(f"{wide.name} less {supports[own][0].name}", ((wide, 1), (supports[own][0], -1)))
                    for other, (wide, _) in supports.items()
                    if other < own
                )
        else:
            nobody_lacks = [frozenset[str]()] if frozenset() in supports else []
            counted = dict(_unions({own: supports[own][1] for own in group}))
            counts = {own: taken_apart.contributors(query, spec, columns) for own, columns in counted.items()}
            counts |= {none: supports[none][0] for none in nobody_lacks}
            never = _Never(query, spec, counted)
            found |= dict.fromkeys(group, tuple(_parts(counts, never)))
    return found


def _groups(supports: Mapping[frozenset[str], Needs]) -> Iterator[tuple[tuple[frozenset[str], ...], bool]]:
    """The sets that have to do with each other, and whether they are a forest.

    Conditions may exclude or imply each other and what columns lack, whatever columns they are of: with one among them
    all sets go together, and by parts.
    """
    sets = tuple(filter(None, supports))
    if any(isinstance(each, Own) for needs in supports.values() for each in needs):
        yield sets, False
        return
    yield from ((group, _forest(group)) for group in _connected(sets))


class _Never:
    """Parts of the persons that nobody is in by what the conditions say: their count, 0, is known to all."""

    def __init__(self, query: Statement, spec: Spec, needs: Mapping[frozenset[str], Needs]) -> None:
        self._query, self._spec, self._space = query, spec, Space()
        self._needs: Final = needs

    def __call__(self, own: frozenset[str], larger: Iterable[frozenset[str]]) -> bool:
        """True if no row can have all of a set and of none of the larger ones all."""
        try:
            rows = self._rows(self._needs.get(own, ()))
            for other in larger:
                rows = self._space.without(rows, self._rows(self._needs.get(other, ())))
        except Undecided:
            return False
        return rows == NONE

    def _rows(self, needs: Needs) -> int:
        space, query = self._space, self._query
        rows = EVERY
        for name, where in query.conditions:
            if name == query.tables[0] or query.join != "left":
                rows = space.both(rows, space.of(where, self._spec.dataset(name)))
        for each in needs:
            table = self._spec.dataset(each.dataset)
            if query.join == "left" and each.dataset == query.tables[1]:  # which rows match nobody knows beforehand
                rows = space.both(rows, space.named(MATCHED, "yes"))
            if isinstance(each, Own):
                rows = space.both(rows, space.of(each.predicate, table))
            elif each.column != table.key and not table.columns[each.column].required:
                rows = space.both(rows, space.present(table, each.column))
        return rows


def overlapping(query: Statement, spec: Spec) -> int:
    """Into how many parts a query divides the persons whose values it uses; 0 where it need not divide them."""
    supports = {each.present: each.columns for each in _asked(query, spec)}
    groups = [group for group, forest in _groups(supports) if not forest]
    return max((len(dict(_unions({own: supports[own] for own in group}))) for group in groups), default=0)


def _connected(sets: tuple[frozenset[str], ...]) -> list[tuple[frozenset[str], ...]]:
    """Divide sets so that those of different groups have nothing in common."""
    groups: list[tuple[frozenset[str], ...]] = []
    for one in sets:
        touching = [group for group in groups if any(one & other for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append((*(other for group in touching for other in group), one))
    return groups


def _forest(sets: tuple[frozenset[str], ...]) -> bool:
    """True if each set has something that no other has but those that contain it, and those in it are a chain.

    Whoever has what a set needs may then have or lack what each next larger one needs besides, in any combination.
    """
    return all(
        own - frozenset().union(*(other for other in sets if not own <= other))
        and all(a <= b or b <= a for a in sets if a < own for b in sets if b < own)
        for own in sets
    )


def _unions(
    sets: Mapping[frozenset[str], Needs],
) -> Iterator[tuple[frozenset[str], Needs]]:
    """All unions of these sets with their columns, up to ``MAX_PARTS`` and one more."""
    found = dict(sets)
    waiting = list(sets)
    while waiting and len(found) <= MAX_PARTS:
        one = waiting.pop()
        for other in sets:
            if one | other not in found:
                found[one | other] = tuple(dict.fromkeys((*found[one], *sets[other])))
                waiting.append(one | other)
    yield from found.items()


def _parts(counts: Mapping[frozenset[str], SideMoment], never: "_Never") -> Iterator[_Linear]:
    """The persons who have all of one set and not all of any larger one: its count less those of the larger parts.

    Any count that follows from those of the sets is a sum of these: they are the finest that can be told apart.
    """
    own: dict[frozenset[str], dict[str, int]] = {}
    moments = {moment.name: moment for moment in counts.values()}
    for present in sorted(counts, key=lambda each: (-len(each), sorted(each))):
        terms = {counts[present].name: 1}
        for larger, inner in own.items():
            if present < larger:
                for name, factor in inner.items():
                    terms[name] = terms.get(name, 0) - factor
        own[present] = {name: factor for name, factor in terms.items() if factor}
        if never(present, [larger for larger in counts if present < larger]):
            continue
        yield _Linear(
            f"{counts[present].name}, and nothing more", tuple((moments[n], f) for n, f in own[present].items())
        )


def _asked(query: Statement, spec: Spec) -> list[_Asked]:
    found: dict[str, _Asked] = {}
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            if output.what.statistic in ORDER:
                columns = output.what.needs
                support = taken_apart.contributors(query, spec, columns)
                values = taken_apart.values_of(output.what, query, spec)
                one = _Asked(values, support, columns, _present(query, support), False, output.what)
                found.setdefault(one.name, one)
            if output.what.statistic in FITTED:
                (what,) = (each for each in query.fitted if of_one_model(each, output.what))
                support = taken_apart.contributors(query, spec, what.columns)
                y = taken_apart.products_of(what, query, spec, what.columns[:1])
                one = _Asked(y, support, what.columns, _present(query, support), False, fit=what)
                found.setdefault(one.name, one)
            for moment in taken_apart.moments_of(output.what, query, spec):
                columns = output.what.needs
                support = taken_apart.contributors(query, spec, columns)
                present = _present(query, support)
                one = _Asked(moment, support, columns, present, is_flag(moment, query, spec))
                found.setdefault(moment.name, one)
    return list(found.values())


def of_one_model(one: Aggregate, other: Aggregate) -> bool:
    """True if two numbers are those of one logistic model."""
    return (one.columns, one.iterations) == (other.columns, other.iterations)


def _present(query: Statement, support: SideMoment) -> frozenset[str]:
    """What has to be there for a row to count: values that may be NULL, and a match where rows without one count."""
    factors = tuple(zip(query.tables, support.factors, strict=True))
    names = {f"{table}.{name}" for table, factor in factors for name in factor.present}
    names |= {f"{table}.({worded(each)})" for table, factor in factors for each in factor.when}
    return frozenset(names | ({MATCHED} if query.join == "left" and not support.outer else set()))
