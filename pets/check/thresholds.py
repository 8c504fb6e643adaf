"""The rules on disclosure control: what can be held against a minimum and rounded, and what would undo it."""

from pets.check.rules import Asked, Found, rule
from pets.spec import moments as taken_apart
from pets.spec.protected import PLAIN, by_person, follows, is_count, is_flag, width
from pets.spec.query import Aggregate, ColumnRef


@rule("control.and-noise")
def and_noise(asked: Asked) -> Found:
    """Noise and thresholds in one release: which counts would be held against the minimum, the true or the noised?"""
    if asked.control is not None and asked.spec.release.differential_privacy is not None:
        yield (
            "release",
            "asks for noise and for disclosure control: a threshold on true counts would give away what noise hides",
            "take one of the two out; a noised table can be rounded by whoever publishes it",
        )


@rule("control.statistic")
def statistic(asked: Asked) -> Found:
    """A variance made with a rounded count can come out below zero: it is the small difference of large numbers."""
    if asked.control is None or asked.control.round_to == 1:
        return
    for output in asked.query.outputs:
        if isinstance(output.what, Aggregate) and output.what.statistic not in PLAIN:
            yield (
                f"computation.sql: {output.name}",
                f"{output.what.statistic.value} cannot be made with counts rounded to {asked.control.round_to}",
                "write round_to = 1, ask for COUNT, SUM and AVG only, or release with noise",
            )


@rule("control.dominance")
def dominance(asked: Asked) -> Found:
    """Who dominates a sum is seen in single contributions, and this protocol compares counts of persons only."""
    control = asked.control
    if control is None or not (control.dominance or control.p_percent is not None):
        return
    sums = [
        moment.name for moment in asked.moments if not (is_count(moment) or is_flag(moment, asked.query, asked.spec))
    ]
    if sums:
        yield (
            f"release.disclosure_control <- {', '.join(sums)}",
            f"a rule on dominance is asked for, and {asked.protocol} cannot compare single contributions to a sum",
            "ask for counts only, choose a preset without such a rule (ons-10), or release with noise",
        )


@rule("control.known-totals")
def known_totals(asked: Asked) -> Found:
    """Where totals are known, one withheld cell of a line follows from the others: more would have to be withheld."""
    control = asked.control
    if control is not None and control.known_totals:
        yield (
            "release.disclosure_control.known_totals",
            f"recipients know totals of this table, and {asked.protocol} withholds no further cells for that",
            "release with noise, or divide the rows so that no total of them is known",
        )


@rule("control.flag")
def flag(asked: Asked) -> Found:
    """A sum of a column with two values counts persons, whatever it is called, and has to be protected as a count."""
    if asked.control is None:
        return
    for output in asked.query.outputs:
        what = output.what
        if not isinstance(what, Aggregate) or not asked.measured:
            continue
        for ref in what.columns:
            if ref.column == asked.spec.dataset(ref.dataset).key or width((ref.dataset, ref.column), asked.spec) > 1:
                continue
            if problem := _no_count(asked, ref, what):
                yield (
                    f"computation.sql: {output.name} <- {ref}",
                    f"{ref} has two values at most, so that its sum counts persons, and {problem}",
                    "declare it from 0 to 1 with one row a person and ask for COUNT, SUM or AVG, or group by it",
                )


def _no_count(asked: Asked, ref: ColumnRef, what: Aggregate) -> str:
    """Why a column with two values cannot be protected as a count; "" if it can."""
    if asked.spec.dataset(ref.dataset).columns[ref.column].scaled_range != (0, 1):
        return "its range is not 0 to 1"
    if not by_person(asked.query, asked.spec):
        return "a person may have several rows"
    if what.statistic not in PLAIN:
        return f"{what.statistic.value} gives that count away"
    return ""


@rule("control.complement")
def complement(asked: Asked) -> Found:
    """From two counts of rows the difference follows, and whose rows those are cannot be counted where one has many."""
    control = asked.control
    if control is None or not asked.measured or by_person(asked.query, asked.spec) or not follows(control):
        return
    names = {
        taken_apart.contributors(asked.query, asked.spec, output.what.columns).name
        for output in asked.query.outputs
        if isinstance(output.what, Aggregate)
    }
    if len(names) > 1:
        yield (
            "release.disclosure_control.round_to",
            f"counts of {' and of '.join(sorted(names))} are both shown, and rows that are in one only would follow",
            f"write round_to = {-(-control.min_count // 2)} or more, or declare the columns required",
        )
