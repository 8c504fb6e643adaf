"""What a table under disclosure control rests on: which sums are shown, and which counts of persons have to be enough.

Every statistic rests on the persons who contribute to it, which are those whose values it uses are not NULL: their
number is one more sum of the join, if the query does not ask for it anyway. Where one more count follows from two that
are shown, it has to be enough, too: the persons without a value, or those on whom a 0/1 column is 0.
"""

from dataclasses import dataclass
from typing import Final

from pets.spec import moments as taken_apart
from pets.spec.control import Control
from pets.spec.ir import PersonCount, ShownMoment
from pets.spec.model import Spec
from pets.spec.moments import SideMoment
from pets.spec.query import Aggregate, ColumnRef, Query, Statistic

PLAIN: Final = frozenset(
    {Statistic.COUNT_ROWS, Statistic.COUNT_VALUES, Statistic.COUNT_PEOPLE, Statistic.SUM, Statistic.AVG}
)
"""Statistics that rounded counts do not spoil: the others are differences of large numbers, made with the count."""

MATCHED: Final = "matched"


@dataclass(frozen=True, slots=True)
class Protected:
    """All that is summed, in order: what the query asks for, then what is only counted. Sets and counts of ``Protect``.

    ``names``: for each output of the query that is a statistic, the moments that it is derived from.
    """

    moments: tuple[SideMoment, ...]
    counts: tuple[PersonCount, ...]
    sets: tuple[tuple[int, ...], ...]
    shown: tuple[ShownMoment, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One moment that is shown: the count that it rests on, and whose values have to be there for it."""

    moment: SideMoment
    support: SideMoment
    present: frozenset[str]
    flag: bool


def is_count(moment: SideMoment) -> bool:
    """True if a moment counts rows or persons, whatever has to be there for it."""
    return not (moment.left.values or moment.right.values)


def is_flag(moment: SideMoment, query: Query, spec: Spec) -> bool:
    """True if a moment is the sum of one column that is 0 or 1: a count of those on whom it is 1."""
    values = [(query.left, name) for name in moment.left.values] + [(query.right, name) for name in moment.right.values]
    return len(values) == 1 and width(values[0], spec) <= 1


def width(column: tuple[str, str], spec: Spec) -> int:
    """How far apart the ends of a measure's range are, in units of the last place."""
    low, high = spec.dataset(column[0]).columns[column[1]].scaled_range
    return high - low


def by_person(query: Query, spec: Spec) -> bool:
    """True if nobody has two rows on either side: then counts of rows are counts of persons."""
    return all(spec.dataset(name).max_rows_per_person == 1 for name in (query.left, query.right))


def protected(query: Query, spec: Spec, control: Control) -> Protected:
    """Work out what is summed, what is shown, and what it rests on, in the order of the query."""
    asked = tuple(_asked(query, spec))
    moments = {each.moment.name: each.moment for each in asked}
    for each in asked:
        moments.setdefault(each.support.name, each.support)
    numbers = {name: number for number, name in enumerate(moments)}
    found: dict[str, PersonCount] = {}
    rests: dict[str, tuple[str, ...]] = {}
    zeros = control.zeros == "shown"
    for each in asked:
        own = [PersonCount(each.support.name, ((numbers[each.support.name], 1),), zeros)]
        if each.flag:
            ones, all_of_them = numbers[each.moment.name], numbers[each.support.name]
            own.append(PersonCount(f"{each.moment.name}, those who are 1", ((ones, 1),), zeros))
            own.append(PersonCount(f"{each.moment.name}, those who are 0", ((all_of_them, 1), (ones, -1)), zeros))
        if follows(control):
            own += [
                PersonCount(
                    f"{other.support.name} less {each.support.name}",
                    ((numbers[other.support.name], 1), (numbers[each.support.name], -1)),
                    True,
                )
                for other in asked
                if each.present > other.present
            ]
        own = list(dict.fromkeys(own))
        found.update((count.name, count) for count in own)
        rests[each.moment.name] = tuple(dict.fromkeys(count.name for count in own))
    counts = tuple(sorted(found.values(), key=lambda count: not count.may_be_empty))
    places = {count.name: number for number, count in enumerate(counts)}
    sets = {name: tuple(sorted(places[count] for count in own)) for name, own in rests.items()}
    distinct = tuple(dict.fromkeys(sets.values()))
    shown = tuple(
        ShownMoment(
            numbers[each.moment.name], distinct.index(sets[each.moment.name]), is_count(each.moment) or each.flag
        )
        for each in {each.moment.name: each for each in asked}.values()
    )
    return Protected(tuple(moments.values()), counts, distinct, shown)


def follows(control: Control) -> bool:
    """True if rounding is too fine to hide a small difference of two counts that are shown.

    From two multiples of the base, a difference follows that lies between 1 and 2 base - 1. That is no closer than what
    a withheld cell tells, 1 to min_count - 1, as soon as twice the base reaches the minimum.
    """
    return 2 * control.round_to < control.min_count


def _asked(query: Query, spec: Spec) -> list[_Asked]:
    found: dict[str, _Asked] = {}
    for output in query.outputs:
        if isinstance(output.what, Aggregate):
            for moment in taken_apart.moments_of(output.what, query, spec):
                columns = output.what.columns
                support = taken_apart.contributors(query, spec, columns)
                one = _Asked(moment, support, _present(query, columns, support), is_flag(moment, query, spec))
                found.setdefault(moment.name, one)
    return list(found.values())


def _present(query: Query, columns: tuple[ColumnRef, ...], support: SideMoment) -> frozenset[str]:
    """What has to be there for a row to count: values that may be NULL, and a match where rows without one count."""
    names = {f"{query.left}.{name}" for name in support.left.present}
    names |= {f"{query.right}.{name}" for name in support.right.present}
    return frozenset(names | ({MATCHED} if query.join == "left" and not support.outer else set()))
