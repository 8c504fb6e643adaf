"""The rules on disclosure control: what can be held against a minimum and rounded, and what would undo it."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from math import prod
from typing import Final

from pets.check.budget import exact
from pets.check.narrowed import spans
from pets.check.rules import Asked, Found, Selecting, conditions, rule, selecting_rule
from pets.spec import moments as taken_apart
from pets.spec.banded import across
from pets.spec.control import Control
from pets.spec.dominance import below_zero
from pets.spec.lines import MAX_LINED
from pets.spec.ordering import PERSONS_A_PLACE, fits
from pets.spec.population import Undecided
from pets.spec.protected import MAX_PARTS, PLAIN, by_person, follows, held_sums, overlapping, width
from pets.spec.query import LOGISTIC, ORDER, Aggregate, ColumnRef, Statistic


@selecting_rule("control.and-noise")
def and_noise(asked: Selecting) -> Found:
    """Noise and thresholds in one release: which counts would be held against the minimum, the true or the noised?"""
    if asked.control is not None and asked.spec.release.differential_privacy is not None:
        yield (
            "release",
            "asks for noise and for disclosure control: a threshold on true counts would give away what noise hides",
            "take one of the two out; a noised table can be rounded by whoever publishes it",
        )


@selecting_rule("control.statistic")
def statistic(asked: Selecting) -> Found:
    """A variance made with a rounded count can come out below zero: it is the small difference of large numbers."""
    if asked.control is None or asked.control.round_to == 1:
        return
    for output in asked.query.outputs:
        if isinstance(output.what, Aggregate) and output.what.statistic not in PLAIN | LOGISTIC:
            yield (
                f"computation.sql: {output.name}",
                f"{output.what.statistic.value} cannot be made with counts rounded to {asked.control.round_to}",
                "write round_to = 1, ask for COUNT, SUM and AVG only, or release with noise",
            )


@rule("control.dominance")
def dominance(asked: Asked) -> Found:
    """A share of a sum is one only of parts that are nowhere below zero, and protects only a sum that no other tells.

    With negative parts the greatest can be more than the whole. With known totals the sum over cells that are withheld
    follows from those that are shown, and of two sums of one column over other persons so does the difference; of
    neither anybody compares contributions (ADR 0027).
    """
    control = asked.control
    if control is None or not asked.measured:
        return
    held = held_sums(asked.query, asked.spec, control)
    for moment in held:
        for name in below_zero(moment, asked.query, asked.spec):
            yield (
                f"release.disclosure_control <- {moment.name} <- {name}",
                f"{name} may be below zero, and of a sum with negative parts nobody can say who has most of it",
                "declare its range from 0, ask for counts only, or choose a preset without such a rule (ons-10)",
            )
    for one, other in itertools.combinations(held, 2):
        if [factor.values for factor in one.factors] == [factor.values for factor in other.factors]:
            yield (
                f"release.disclosure_control <- {one.name}, {other.name}",
                "one sum less the other is a sum over other persons or rows, and of it nobody compares contributions",
                "ask for one of the two, or declare the columns that may lack values required",
            )
    if held and control.known_totals:
        yield (
            f"release.disclosure_control.known_totals <- {', '.join(moment.name for moment in held)}",
            "who knows totals of a sum knows what groups that are withheld come to together, and whose most of that is",
            "leave known_totals or the sums out, or choose a preset without rules on dominance (ons-10)",
        )


@rule("control.known-totals")
def known_totals(asked: Asked) -> Found:
    """Known totals are of grouping columns of the table, whose cells are all listed in the plan."""
    control = asked.control
    if control is None or not control.known_totals:
        return
    path = "release.disclosure_control.known_totals"
    if across(asked.query.group_by) is not None:
        yield path, "totals of a table that is grouped by a CASE over both tables are not protected", "leave one out"
    grouped = {str(ref) for ref in asked.query.group_by}
    for column in sorted({name for names in control.known_totals for name in names} - grouped):
        yield path, f"{column} does not divide this table", "name grouping columns of the query, as dataset.column"
    sides = range(len(asked.query.tables))
    cells = prod(taken_apart.cells(taken_apart.dimensions(asked.query, asked.spec, side)) for side in sides)
    if cells > MAX_LINED:
        yield path, f"the table has {cells} cells, and at most {MAX_LINED} can be in lines", "group by less"


@selecting_rule("control.band")
def band(asked: Selecting) -> Found:
    """Rounding hides a count among those that are shown alike; a minimum in the middle of them leaves fewer."""
    control = asked.control
    if control is None or control.round_to == 1:
        return
    alike = _shown_alike(control, control.min_count)
    if 2 * alike < control.round_to:
        enough = next(
            least
            for least in range(control.min_count, control.min_count + control.round_to)
            if 2 * _shown_alike(control, least) >= control.round_to
        )
        yield (
            "release.disclosure_control.round_to",
            f"of the counts that are rounded to {control.rounded(control.min_count)}, all but {alike} are below the "
            f"minimum of {control.min_count}, so that the number shown gives the count away",
            f"write min_count = {enough}",
        )


def _shown_alike(control: Control, least: int) -> int:
    """How many counts, from a minimum on, are shown as it is."""
    return sum(control.rounded(count) == control.rounded(least) for count in range(least, least + control.round_to))


@selecting_rule("control.range")
def far_from_zero(asked: Selecting) -> Found:
    """An exact sum of values that are all far from zero, divided by them, gives the count that rounding is to hide.

    Far from zero as declared, or because WHERE or a CASE leaves no others.

    Refused if, of as few as the minimum with a mean in the middle of the range, it leaves less open than rounding does.
    """
    if asked.control is None or asked.control.round_to == 1 or not asked.measured:
        return
    for ref in _measures(asked):
        column = asked.spec.dataset(ref.dataset).columns[ref.column]
        told = f"its sum, which is exact, divided by that gives the count that is rounded to {asked.control.round_to}"
        try:
            narrow = next((span for span in spans(asked.query, asked.spec, ref) if _tells(span, asked.control)), None)
        except Undecided:
            yield (
                f"computation.sql: SUM <- {ref}",
                f"the conditions on {ref} are too many to say where they leave it: if near one value, {told}",
                "ask with fewer conditions on it, or write round_to = 1",
            )
            continue
        if narrow == column.scaled_range:
            yield (
                f"computation.sql: SUM <- {ref}",
                f"{ref} is from {column.min} to {column.max}: {told}",
                "take a typical value off it, so that its range has 0 in it, group by it, or write round_to = 1",
            )
        elif narrow is not None:
            low, high = (exact(Fraction(end, 10**column.places)) for end in narrow)
            yield (
                f"computation.sql: SUM <- {ref}",
                f"WHERE or a CASE leaves {ref} from {low} to {high}: {told}",
                "leave more of its range, count only, or write round_to = 1",
            )
    for output in asked.query.outputs:
        what = output.what
        if isinstance(what, Aggregate) and what.statistic not in _COUNTS:
            for ref in dict.fromkeys(each for each in conditions(what) if each in what.columns):
                yield (
                    f"computation.sql: {output.name} <- CASE <- {ref}",
                    f"its condition says how large {ref} is, and its sum, which is exact, divided by that may give the "
                    f"count that is rounded to {asked.control.round_to}",
                    "take a condition on another column, group by a CASE, or write round_to = 1",
                )


def _tells(span: tuple[int, int], control: Control) -> bool:
    """True if a sum of values of this range tells their number more closely than rounding does."""
    low, high = sorted(map(abs, span))
    return span[0] * span[1] > 0 and control.min_count * (high**2 - low**2) < 2 * low * high * control.round_to


_COUNTS: Final = frozenset({Statistic.COUNT_ROWS, Statistic.COUNT_VALUES, Statistic.COUNT_PEOPLE})


def _measures(asked: Selecting) -> Iterator[ColumnRef]:
    """The measures that are summed, each once."""
    found = {
        ref: None
        for output in asked.query.outputs
        if isinstance(output.what, Aggregate)
        if output.what.statistic not in ORDER
        for ref in output.what.columns
        if asked.spec.dataset(ref.dataset).columns[ref.column].role == "measure"
    }
    yield from found


@selecting_rule("control.flag")
def flag(asked: Selecting) -> Found:
    """Sums of a column with two values, or sums and squares of three, count persons: they are protected as counts."""
    if asked.control is None or not asked.measured:
        return
    for output in asked.query.outputs:
        what = output.what
        if not isinstance(what, Aggregate) or what.statistic in ORDER | LOGISTIC:  # control.logistic
            continue
        for ref in what.columns:
            if ref.column == asked.spec.dataset(ref.dataset).key:
                continue
            if problem := _no_count(asked, ref, what):
                yield (
                    f"computation.sql: {output.name} <- {ref}",
                    problem,
                    "declare it from 0 to 1 with one row a person and ask for COUNT, SUM or AVG, or group by it",
                )


def _no_count(asked: Selecting, ref: ColumnRef, what: Aggregate) -> str:
    """Why what is summed of a column counts persons and cannot be protected as a count; "" if it does not, or can."""
    values = width((ref.dataset, ref.column), asked.spec) + 1
    if values == 3 and what.statistic not in PLAIN:
        return f"{ref} has three values at most, and {what.statistic.value} tells how many persons have each"
    if values > 2:
        return ""
    counts = f"{ref} has two values at most, so that its sum counts persons, and"
    if asked.spec.dataset(ref.dataset).columns[ref.column].scaled_range != (0, 1):
        return f"{counts} its range is not 0 to 1"
    if not by_person(asked.query, asked.spec):
        return f"{counts} a person may have several rows"
    if what.statistic not in PLAIN:
        return f"{counts} {what.statistic.value} gives that count away"
    return ""


@selecting_rule("control.overlap")
def overlap(asked: Selecting) -> Found:
    """Statistics of many pairs of columns divide persons by what they lack into more parts than can all be counted."""
    control = asked.control
    if control is None or not asked.measured or not follows(control):
        return
    if overlapping(asked.query, asked.spec) > MAX_PARTS:
        yield (
            "computation.sql: SELECT",
            f"what these statistics need overlaps in more than {MAX_PARTS} ways, and who lacks some of it follows",
            "ask for fewer pairs of columns at once, or declare the columns required",
        )


@selecting_rule("control.complement")
def complement(asked: Selecting) -> Found:
    """From two counts of rows the difference follows, and whose rows those are cannot be counted where one has many."""
    control = asked.control
    if control is None or not asked.measured or by_person(asked.query, asked.spec) or not follows(control):
        return
    names = {
        taken_apart.contributors(asked.query, asked.spec, output.what.needs).name
        for output in asked.query.outputs
        if isinstance(output.what, Aggregate)
    }
    if len(names) > 1:
        yield (
            "release.disclosure_control.round_to",
            f"counts of {' and of '.join(sorted(names))} are both shown, and rows that are in one only would follow",
            f"write round_to = {max(2, -(-control.min_count // 2))} or more, or declare the columns required",
        )


@rule("control.order")
def order(asked: Asked) -> Found:
    """A median, a quantile, a least or greatest value is the value of one person, or lies between those of two.

    Shown under thresholds only, rounded to a step that somebody declares, where every row is another person and no row
    is without a match. That its holder lets it be used so is for the holder's policy to say, by name.
    """
    for output in asked.query.outputs:
        what = output.what
        if isinstance(what, Aggregate) and what.statistic in ORDER:
            (ref,) = what.columns
            for path, problem, advice in _of_order(asked, what, ref):
                where = path or f"computation.sql: {output.name} <- {ref}"
                yield where, f"{what.statistic.value} of {ref} {problem}", advice


@rule("control.places")
def places(asked: Asked) -> Found:
    """Many quantiles of one column list nearly everybody's value in a group that is just large enough."""
    control = asked.control
    if control is None:
        return
    asked_of: dict[ColumnRef, set[object]] = {}
    for output in asked.query.outputs:
        if isinstance(output.what, Aggregate) and output.what.statistic in ORDER:
            asked_of.setdefault(output.what.columns[0], set()).add((output.what.statistic, output.what.at))
    for ref, found in asked_of.items():
        if len(found) > (most := max(1, control.min_count // PERSONS_A_PLACE)):
            yield (
                f"computation.sql: SELECT <- {ref}",
                f"{len(found)} values of single persons are shown of {ref}, in groups from {control.min_count} on",
                f"ask for {most} or fewer, or write min_count = {PERSONS_A_PLACE * len(found)}",
            )


def _of_order(asked: Asked, what: Aggregate, ref: ColumnRef) -> Found:
    """What stands against one order statistic: (path or "", problem, advice)."""
    control, column = asked.control, asked.spec.dataset(ref.dataset).columns[ref.column]
    if control is None or asked.spec.release.differential_privacy is not None:
        problem = "is the value of one person, and no noise that hides it leaves it of use"
        yield "", problem, "ask for AVG, or release exactly with [release.disclosure_control]"
        return
    if asked.query.join == "left":
        yield "", "is of rows that are matched, and a LEFT JOIN has others", "write JOIN"
    if not by_person(asked.query, asked.spec):
        problem = "could be the value of a person who has most of the rows of a group"
        yield "", problem, "prepare one row a person in both tables, and write max_rows_per_person = 1"
    if not asked.measured or column.role != "measure":
        return
    low, high = column.scaled_range
    if high - low <= 1:
        yield "", "says which of two values most persons have", "group by it, or ask for SUM"
        return
    knob = "release.disclosure_control.round_values_to"
    step = dict(control.steps).get(str(ref))
    whole = Fraction(1) if step is None else step * 10**column.places
    if step is None:
        problem = "is the value of one person, and nobody says to what it is rounded"
        yield knob, problem, f'give "{ref}" a step in round_values_to: 5, say; 1 is not at all'
    elif whole.denominator != 1:
        problem = f"is rounded to {exact(step)}, which has more places than the column"
        yield knob, problem, "round to a multiple of its last place"
    elif not fits(low, high, int(whole)):
        problem = f"has 2^30 steps of {exact(step)} or more between {column.min} and {column.max}"
        yield knob, problem, "round to more, or declare a narrower range"
    if control.min_count < (least := _enough_for(what)):
        problem = f"in a group of {control.min_count} is that of the person with the least or the greatest value"
        yield "release.disclosure_control.min_count", problem, f"write min_count = {least}, or ask for MEDIAN"
    if control.on_contributions:
        problem = "shows single contributions, from which a rule on dominance or p % keeps recipients"
        yield "release.disclosure_control", problem, "leave it out, or choose a preset without such a rule (ons-10)"


def _enough_for(what: Aggregate) -> int:
    """The fewest persons of whom a statistic is not that of the first or the last; 1 if it is meant to be."""
    if what.statistic is Statistic.MEDIAN:
        return 3
    if what.at is None:
        return 1
    return 1 + max(int(1 / what.at), int(1 / (1 - what.at)))
