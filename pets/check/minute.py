"""In one minute: the box at the top of the report. Ten questions that an approver asks first, each with its answer.

Who sees what is read off the matrix, sizes and noise off the plan, dates off the specification. What is refused has a
shorter box, which says so.
"""

from collections.abc import Iterator
from typing import Final

from pets.check import budget, execution, intersected, legal, uploaded
from pets.check.blocks import about, day, grouped, listed, odds, plural
from pets.check.checked import (
    Checked,
    cells_of,
    full_name,
    helper_name,
    helper_width,
    holders_of,
    join_of,
    many_holders,
    people,
    place_of,
    pool_of,
    protect_of,
    several,
)
from pets.check.computed import described
from pets.check.labels import Coalition, Mark, Row
from pets.check.uploaded import how_many
from pets.spec.banded import Values
from pets.spec.model import Spec
from pets.spec.query import Aggregate

_FEW: Final = 6
"""Columns of the table that are named in the box; all are in the section Safe outputs."""


def minute(review: Checked, accepted: bool) -> tuple[tuple[str, str], ...]:
    """Questions and answers, in the order in which people ask.

    What has a plan and is refused for its legal ground, or by a party's own policy, is told in full as well.
    """
    if accepted:
        return tuple(_whole(review))
    if review.plan is None:
        return tuple(_refused(review))
    rest = [(question, answer) for question, answer in _whole(review) if question not in (SIGN, REFUSE)]
    return (*_why(review), *rest, (SIGN, _nothing_to_sign(review)))


SIGN: Final = "What do I sign?"
REFUSE: Final = "What if I refuse?"


def _whole(review: Checked) -> Iterator[tuple[str, str]]:
    if review.pairing is not None:
        yield from intersected.minute(review)
        yield "Until when, how often?", validity(review.spec)
        yield "At what cost in privacy?", intersected.price(review)
        yield SIGN, _SIGN.format(grouped(review.digest))
        yield REFUSE, _REFUSE.format("", listed(_signers(review.spec)))
        return
    if review.program is not None:
        yield from execution.minute(review)
        yield "Until when, how often?", validity(review.spec)
        yield "At what cost in privacy?", execution.price(review)
        yield SIGN, _SIGN.format(grouped(review.digest))
        yield REFUSE, _REFUSE.format("", listed(_signers(review.spec)))
        return
    spec, join = review.spec, join_of(review)
    yield "What is computed?", _computed(review)
    yield "Who brings what?", f"{_brings(spec)} No record leaves its holder in readable form."
    gets = f"{full_name(spec, spec.result_party)}: that table, {_how(review)}. Nobody else gets a result."
    yield "Who gets what?", f"{gets}{_nothing(review)}"
    if (pool := pool_of(review)) is not None:
        yield from uploaded.minute(review, pool)
    elif join is not None and join.shared:
        three = listed(full_name(spec, party) for party in (join.role_a, join.helper, join.role_b))
        yield "What do those who compute see?", f"{three}: random numbers. Nobody learns how many rows match."
    elif join is not None:
        sees = "sees codes for person ids, and masked numbers. It can read neither"
        learns = "It does not learn how many rows match."
        if join.helper_epsilon:
            learns = f"It learns how many rows match, give or take {about(helper_width(join))}."
        yield "What does the helper see?", f"{full_name(spec, join.helper)} {sees}. {learns}"
    if pool is None:
        yield "Who could cheat?", _cheats(review)
    yield "What is not protected?", _UNPROTECTED if protect_of(review) is None else _UNPROTECTED_EXACT
    yield "Until when, how often?", validity(spec)
    yield "At what cost in privacy?", _price(review)
    yield SIGN, _SIGN.format(grouped(review.digest))
    yield REFUSE, _REFUSE.format("" if pool is None else " of yours", _needed(review))


def _how(review: Checked) -> str:
    """What protects the table, in a few words."""
    control = protect_of(review)
    if control is None:
        return "with noise in every number"
    rounded = f", counts rounded to {control.round_to}" if control.round_to > 1 else ""
    few = " and sums that few persons make up" if control.dominance is not None else ""
    return f"without groups of fewer than {people(control.min_count)}{few}{rounded}"


def _signers(spec: Spec) -> tuple[str, ...]:
    """Parties without whose approval no run starts: all but those that only receive the result."""
    return tuple(p.name for p in spec.parties if set(p.roles) != {"result"})


def _needed(review: Checked) -> str:
    """Whose approvals a run of SQL needs. Of sums over one table, holders who do not approve are missing in them."""
    spec, pool = review.spec, pool_of(review)
    if pool is not None:
        return f"{listed(spec.computing)}, and of the holders {how_many(pool)},"
    return several(_signers(spec)) if _many(review) else listed(_signers(spec))


def _nothing(review: Checked) -> str:
    """Holders who learn nothing of the other's records, by their columns of the matrix, and what all know anyway."""
    spec, matrix = review.spec, review.verdict.matrix
    kept = [
        holder
        for holder in _shown(review)
        if all(
            row.cells[holder].rank <= Mark.HELD.rank
            for row in matrix.rows
            if row.kind in ("column", "tags", "membership", "count") and not _own(row, holder, spec)
        )
    ]
    whose, s = ("each other's", "") if len(kept) > 1 else ("the other's", "s")
    names = "the holders" if len(kept) == len(_shown(review)) and _many(review) else listed(kept)
    nothing = f" Of {whose} records, {names} learn{s} nothing." if kept else ""
    return nothing + " All know the declared sizes." * any(row.kind == "size" for row in matrix.rows)


def _own(row: Row, holder: str, spec: Spec) -> bool:
    """True for a column of the holder's own table, also as codes."""
    return row.kind in ("column", "tags") and place_of(spec, row)[2] == holder


def _many(review: Checked) -> bool:
    """True if the tables may have any number of holders."""
    return many_holders(review)


def _shown(review: Checked) -> tuple[str, ...]:
    """The holders that the matrix has columns of."""
    spec, columns = review.spec, {column.label for column in review.verdict.matrix.columns}
    every = dict.fromkeys(party for d in spec.datasets for party in spec.holders(d.name))
    return tuple(party for party in every if party in columns or not _many(review))


_UNPROTECTED: Final = (
    "The question, the declared sizes, the times of messages. False records. What is true of a whole group. See "
    "“What could still go wrong”."
)
_UNPROTECTED_EXACT: Final = (
    "The question, the declared sizes, the times of messages. False records. What is true of a whole group. Someone "
    "who knows all but one person of a group may learn about the last one. See “What could still go wrong”."
)
_SIGN: Final = (
    "This specification and its plan, for your own organisation. The digest is {}. A later text that asks for no more "
    "may run under it; any other needs a new signature."
)
_REFUSE: Final = (
    "Then no records{} are used, unless an older text you signed covers it. A run needs {} to approve. You "
    "may also allow fewer runs or less time, or withdraw later."
)


def _refused(review: Checked) -> Iterator[tuple[str, str]]:
    spec = review.spec
    yield "What is asked?", _computed(review)
    yield "Who would bring what?", _brings(spec)
    yield "Who would get it?", f"{listed(full_name(spec, name) for name in spec.release.to)}."
    helper = None if spec.computation.is_program else helper_name(review)
    if helper is not None:
        yield "Who would help?", f"{full_name(spec, helper)}, without records of its own."
    yield "Until when, how often?", validity(spec)
    yield from _why(review)
    yield SIGN, _nothing_to_sign(review)


def _why(review: Checked) -> Iterator[tuple[str, str]]:
    one = len(review.verdict.errors) == 1
    reasons = "There is one reason. It stands" if one else f"There are {len(review.verdict.errors)} reasons. They stand"
    yield "Why is it refused?", f"{reasons} below, with the smallest change that would help."


def _nothing_to_sign(review: Checked) -> str:
    if all(f.rule in legal.RULES for f in review.verdict.errors):
        return (
            "Nothing, as it stands. The author may mend the legal ground and ask again. Or the policy of your own "
            "server lowers a legal rule that no competent person has signed."
        )
    return "Nothing. No server takes a signature for it. The author may change it and ask again."


def _computed(review: Checked) -> str:
    query, spec = review.query, review.spec
    if review.pairing is not None:
        return intersected.computed(review)
    if review.program is not None:
        return execution.computed(review)
    if query is None and spec.computation.is_program:
        return f"What a program makes of {listed(d.name for d in spec.datasets)}. It cannot be used as it is written."
    if query is None:
        return f"A table from {listed(d.name for d in spec.datasets)}. The query cannot be used as it is written."
    of = [str(ref.column) for ref in query.group_by if not isinstance(ref, Values)]
    count = cells_of(review)
    most = "" if query.having is None else "at most "
    rows = f"of {most}{plural(count, 'row')}" if count else ""
    groups = f", one for every {listed(of)}" if of else ""
    told = [f"{o.name} ({described(o.what)})" for o in query.outputs if isinstance(o.what, Aggregate)]
    more = len(told) - _FEW
    shown = listed([*told[:_FEW], f"{more} more columns"] if more > 1 else told)
    return f"One table{' ' * bool(rows)}{rows}{groups}. It tells: {shown}."


def _brings(spec: Spec) -> str:
    return " ".join(
        f"{holders_of(spec, d.name)}: {d.name}, up to {plural(d.max_rows, 'row')} with "
        f"{plural(len(d.columns), 'column')}."
        for d in spec.datasets
    )


def _cheats(review: Checked) -> str:
    """Whoever sees another holder's records, alone or in pairs beyond the model, by the matrix."""
    spec, matrix = review.spec, review.verdict.matrix
    holders = list(dict.fromkeys(party for d in spec.datasets for party in spec.holders(d.name)))
    alone, pairs = [], []
    for column in matrix.columns:
        tables = _strange(review, column)
        if tables and len(column.parties) == 1:
            alone.append(f"{column.label} could see every record of {listed(tables)}")
        elif tables:
            if _many(review):
                pairs.append(f"any two who compute all of {listed(tables)}")
            else:  # of more than two tables a minute has no room for how much each pair sees
                how = f" {_how_much(review, column, tables)}" if len(spec.datasets) == 2 else ""
                pairs.append(f"{' with '.join(column.parties)}{how}")
    told = ". ".join(alone) or "No party alone can read another's records"
    pairs = list(dict.fromkeys(pairs))
    who = "all holders" if _many(review) else " with ".join(holders)
    spoil = "" if spec.security.adversary == "malicious" else " One party alone can spoil the result, unnoticed."
    if len(spec.datasets) > 2 and not _many(review):
        return f"{told}. Two together can see records of others: {', '.join(pairs)}. All holders see all tables.{spoil}"
    pairs.append(f"{who} {'both' if len(spec.datasets) == 2 else 'all'} tables")
    return f"{told}. Together they can see more: {', '.join(pairs)}.{spoil}"


def _strange(review: Checked, column: Coalition) -> tuple[str, ...]:
    """Tables of which a coalition sees records, and that none of its members holds."""
    rows = [row for row in review.verdict.matrix.rows if row.kind == "column"]
    seen = (place_of(review.spec, row) for row in rows if row.cells[column.label] is Mark.VISIBLE)
    return tuple(dict.fromkeys(name for name, _, holder in seen if holder not in column.parties))


def _how_much(review: Checked, column: Coalition, tables: tuple[str, ...]) -> str:
    """All of tables, only who is in them, or only what they say of people who are found."""
    of: dict[str, list[str]] = {}
    for name in tables:
        rows = [row for row in review.verdict.matrix.rows if row.kind == "column" and row.value.startswith(f"{name}.")]
        seen = {row.value for row in rows if row.cells[column.label] is Mark.VISIBLE}
        key = f"{name}.{review.spec.dataset(name).key}" in seen
        how = "all of" if key and len(seen) == len(rows) else "who is in" if key else "records of people found in"
        of.setdefault(how, []).append(name)
    return " and ".join(f"{how} {listed(names)}" for how, names in of.items())


def validity(spec: Spec) -> str:
    """From when, until when, how often."""
    v = spec.validity
    runs = "One run" if v.max_runs == 1 else f"At most {v.max_runs:,} runs"
    return f"From {day(v.not_before)} to {day(v.not_after)}. {runs}{f', {v.schedule}' if v.schedule else ''}."


def _price(review: Checked) -> str:
    spec = review.spec
    loss = budget.total((budget.release_loss(spec), budget.helper_loss(spec)))
    runs = spec.validity.max_runs
    if protect_of(review) is not None:
        exact = "The table has no noise, so no factor bounds what it tells about one person: small groups are withheld"
        if pool_of(review) is not None:
            return f"{exact} instead."
        return f"{exact} instead. The helper's count alone costs epsilon {budget.exact(loss.epsilon)} a run."
    if loss.rho:
        return _price_in_rho(spec, loss)
    delta = f", delta {budget.exact(loss.delta)}" if loss.delta else ""
    told = (
        f"One run can change the odds of any guess about one person by a factor of {odds(loss.epsilon)} at most "
        f"(epsilon {budget.exact(loss.epsilon)}{delta})."
    )
    if runs == 1:
        return told
    every = loss * runs
    return f"{told} All {runs:,} runs together: {odds(every.epsilon)} (epsilon {budget.exact(every.epsilon)})."


def _price_in_rho(spec: Spec, loss: budget.Loss) -> str:
    """What a rho means to a reader: as the epsilon that it is at a delta."""
    runs, beside = spec.validity.max_runs, f" and epsilon {budget.exact(loss.epsilon)}" if loss.epsilon else ""
    epsilon, delta = budget.read(loss, spec), budget.read_at(spec) + loss.delta
    told = (
        f"One run costs rho {budget.exact(loss.rho)}{beside}. It can change the odds of any guess about one person by "
        f"a factor of {odds(epsilon)} at most (epsilon {budget.bounded(epsilon, up=True)}), but for a chance of "
        f"{budget.bounded(delta, up=True)} (delta)."
    )
    if runs == 1:
        return told
    every = loss * runs
    whole = budget.read(every, spec)
    return (
        f"{told} All {runs:,} runs together: {odds(whole)} (rho {budget.exact(every.rho)}, read as epsilon "
        f"{budget.bounded(whole, up=True)})."
    )
