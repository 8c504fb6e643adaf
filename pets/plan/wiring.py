"""Hold every field of a plan against the specification: the part of the recheck that is about how steps hang together.

``lower`` goes from the query to the steps; this goes from the steps back to the query, by the text of the specification
and the cards. What the sizes and the noise must be is in ``recheck``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final

from pets.check.labels import Matrix
from pets.errors import InternalError, PetsError
from pets.ids import PartyId
from pets.plan.crossed import meant_of, said
from pets.spec import dominance, rowwise
from pets.spec import moments as taken_apart
from pets.spec.banded import across, levels_of, reads
from pets.spec.canonical import spec_digest
from pets.spec.cards import Card
from pets.spec.control import Control, effective
from pets.spec.fitting import fits
from pets.spec.ir import (
    AddNoise,
    Beside,
    Derive,
    Factor,
    Gathered,
    HelperJoin,
    Moment,
    Open,
    Plan,
    Protect,
    Read,
    RowFilter,
    Summed,
)
from pets.spec.lines import lines
from pets.spec.model import Spec
from pets.spec.moments import SideMoment
from pets.spec.ordering import sorts
from pets.spec.pooled import Statement
from pets.spec.protected import Protected, on_rows, protected
from pets.spec.query import FITTED, LINEAR, ORDER, Aggregate, Query
from pets.spec.repeated import holding
from pets.spec.rowwise import leaves
from pets.spec.sql import bind_join

MAX_B_CELLS: Final = 32
"""Cells of role b that are a column each; more are told apart on shares."""

Check = tuple[str, Any, Any]
"""What is compared, what the plan says, what the specification says."""

_LAST: Final = ((HelperJoin, AddNoise, Open, Derive), (HelperJoin, Protect, Open, Derive))
"""The steps of a plan behind its reads, of which there are at least two."""


def hold(checks: Iterable[Check]) -> None:
    """Raises: InternalError plan.wiring with the first field that does not follow from the specification.

    Checks that come to no end because a plan's parts do not fit together are refused likewise.
    """
    try:
        for field, got, expected in checks:
            if got != expected:
                raise InternalError("plan.wiring", field=field)
    except InternalError:
        raise
    except (AttributeError, IndexError, KeyError, PetsError, StopIteration, TypeError, ValueError) as error:
        raise InternalError("plan.wiring", field=f"a reference ({type(error).__name__})") from error


def hold_matrix(found: Matrix, approved: Matrix) -> None:
    """Hold the matrix of a plan against the one that approvers saw. Raises: InternalError plan.matrix-differs."""
    if differences := found.differences(approved):
        raise InternalError("plan.matrix-differs", cells="; ".join(differences))


def check_wiring(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> None:
    """Raises: InternalError plan.wiring with the first field that does not follow from the specification."""
    kinds = tuple(type(step) for step in plan.steps)
    if kinds[-4:] not in _LAST or len(kinds) < 6 or set(kinds[:-4]) != {Read}:
        raise InternalError("plan.wiring", field="steps")
    hold(_checks(plan, spec, cards))


def _checks(plan: Plan, spec: Spec, cards: Mapping[str, Card]) -> Iterator[Check]:
    query = bind_join(spec)
    a, b, *further, join, safe, opened, derive = plan.steps
    assert isinstance(a, Read) and isinstance(b, Read) and isinstance(join, HelperJoin)
    others = tuple(read for read in further if isinstance(read, Read))
    reads = (a, b, *others)
    assert isinstance(safe, AddNoise | Protect) and isinstance(opened, Open) and isinstance(derive, Derive)
    control = effective(spec)
    yield "format", plan.format, 1
    yield "spec", plan.spec, spec_digest(spec)
    yield "of", (join.a, join.b, safe.of, opened.of, derive.of), (a.out, b.out, join.out, safe.out, opened.out)
    first = ("rows_a", "rows_b" if join.shared else "people_b", *(f"people_d{n}" for n, _ in enumerate(others, 1)))
    last = ("sums", "protected" if isinstance(safe, Protect) else "noised", "opened", "table")
    yield "out", tuple(step.out for step in plan.steps), (*first, *last)
    yield "protection", isinstance(safe, Protect), control is not None
    yield "per_person", tuple(read.per_person for read in reads), (False, *(not join.shared for _ in reads[1:]))
    yield "tables", sorted(read.dataset for read in reads), sorted(query.tables)
    yield "further tables", [(each.read, each.role) for each in join.beside], [(r.out, r.party) for r in others]
    if query.join == "left":
        yield "preserved side", a.dataset, query.left
    moments = safe.moments
    yield from _cards(spec, join, safe, cards)
    yield from _parties(spec, reads, join, safe, opened)
    for read in reads:
        yield from read_as_said(spec, query, read)
    if isinstance(safe, Protect) and control is not None:
        wanted = protected(query, spec, control)
        yield from _columns(spec, query, reads, moments, wanted.moments)
        yield from control_as_said(safe, wanted, control)
        yield "lines", safe.lines, lines(query, spec, control)
        in_order, statistics = sorts(spec, wanted, control)
        yield "values in order", () if join.rows is None else join.rows.ordered, in_order
        yield "order statistics", safe.ordered, statistics
        against = dominance.rules(wanted, control)
        yield "dominance", safe.dominance, against
        found, tops = ((), ()) if join.rows is None else (join.rows.contributions, join.rows.tops)
        held = dominance.contributions(wanted, moments, _sizes(spec, query, reads))
        yield "contributions", (found, tops), (held, () if against is None else against.tops)
        yield "parameters", {name for name, _ in join.public}, set(cards[join.card].public)
        listed = cards[join.card].names(dict(join.public))["n_l" if join.shared else "n_list_a"]
        fitted, models = fits(spec, wanted, rowwise.rows_of(listed))
        yield "models", () if join.rows is None else join.rows.fits, fitted
        yield "numbers of models", safe.fits, models
    else:
        yield from _columns(spec, query, reads, moments, taken_apart.moments(query, spec))
    case = across(query.group_by)
    levels = 1 if case is None else len(case.levels) + 1
    cells = levels * prod(len(each.levels) for read in reads[1:] for each in read.dimensions)
    told_apart = not others and cells > MAX_B_CELLS
    yield "cells of b", told_apart or cells <= MAX_B_CELLS, True
    yield "rows", join.rows is None, not (on_rows(query, spec, control) or told_apart)
    yield from _join(spec, a, b, join, moments)
    yield (
        "factors of others",
        {len(each.others) for each in join.summed} | {len(each.others) for each in moments},
        {len(others)},
    )
    for place, (read, beside) in enumerate(zip(others, join.beside, strict=True)):
        yield from _further(spec, read, join, beside, moments, place)
    sides = tuple(prod(len(each.levels) for each in read.dimensions) for read in (a, b))
    keyed = None if join.keyed is None else (join.keyed.a, join.keyed.b, join.keyed.levels)
    yield "keyed", keyed, (*sides, levels) if told_apart else None
    if told_apart:
        yield "one row a person of role b", spec.dataset(b.dataset).max_rows_per_person, 1
    if join.rows is not None:
        yield "rows card", (join.rows.card, join.rows.card_version), ("rep3", cards["rep3"].version)
        yield "condition or none", join.rows.condition is None, query.rows is None
    if join.rows is not None and not query.compares:
        asked = [*join.rows.pairs, *(each for read in reads for each in (*read.compared, *read.tests))]
        yield "nothing compared", asked, []
    if join.rows is not None:
        yield "condition", said(join.rows, reads), meant_of(query, spec, reads)
        yield from _compared(join.rows, reads)
    yield from table_as_said(spec, query, reads, safe, derive)


def _sizes(spec: Spec, query: Query, reads: Sequence[Read]) -> dominance.Sizes:
    g, *others = (prod(len(levels_of(spec, d.column)) for d in read.dimensions) for read in reads)
    h = prod(others)
    case = across(query.group_by)
    h *= 1 if case is None else len(levels_of(spec, case))
    if h > MAX_B_CELLS:  # told apart on shares
        g, h = g * h, 1
    return dominance.Sizes(g, h, tuple(spec.dataset(read.dataset).max_rows_per_person for read in reads))


def control_as_said(safe: Protect, wanted: Protected, control: Control) -> Iterator[Check]:
    """What is shown, and what it rests on, is what the specification asks for, to the letter."""
    yield "unit", {factor.unit for moment in safe.moments for factor in moment.factors}, {1}
    yield "counts", safe.counts, wanted.counts
    yield "sets", safe.sets, wanted.sets
    yield "shown", safe.shown, wanted.shown
    yield "min_count", safe.min_count, control.min_count
    yield "rounding", (safe.round_to, safe.rounding), (control.round_to, control.rounding)


def _cards(spec: Spec, join: HelperJoin, safe: AddNoise | Protect, cards: Mapping[str, Card]) -> Iterator[Check]:
    holders = {party for table in spec.datasets for party in table.parties}
    told = [each for each in spec.security.leakage if each.item == "match_count" and each.learner not in holders]
    counted = any(each.noised is not None for each in told)
    among = any(table.holders is not None for table in spec.datasets)
    joined = spec.security.protocol or ("shared_join" if among else "helper_join_a" if counted else "helper_join_b")
    wanted = "disclosure_control" if isinstance(safe, Protect) else "release"
    yield "cards", (join.card, safe.card), (joined, wanted)
    for step in (join, safe):
        yield "card_version", step.card_version, cards[step.card].version


def _parties(
    spec: Spec, reads: tuple[Read, ...], join: HelperJoin, safe: AddNoise | Protect, opened: Open
) -> Iterator[Check]:
    for read in reads:
        wanted = [(PartyId(p.name), spec.dataset(read.dataset)) for p in spec.parties] if join.shared else []
        said = tuple((party, table.rows_of(party)) for party, table in wanted if party in table.parties)
        yield "holders", read.holders, said if join.shared else None
    if join.shared:
        held = {party for read in reads for party in read.parties}
        others = [party for party in spec.computing if party not in held]
        yield "three that hold nothing", [join.role_a, join.helper, join.role_b], others
        yield "party", tuple(read.party for read in reads), (None, None)
    else:
        roles = (join.role_a, join.role_b, *(each.role for each in join.beside))
        for read, role in zip(reads, roles, strict=True):
            yield "party", (read.party, role), (spec.dataset(read.dataset).party,) * 2
        yield "holders", len(set(roles)), len(roles)
        yield "helper", [join.helper], [party for party in spec.computing if party not in roles]
    order = (join.role_a, join.helper, join.role_b) if isinstance(safe, Protect) else None
    yield "parties", safe.parties, order or (join.role_a, join.role_b, join.helper)
    yield "to", [opened.to], [PartyId(name) for name in spec.release.to]


def read_as_said(spec: Spec, query: Statement, read: Read) -> Iterator[Check]:
    """Which rows and columns of a table are read, in which cells."""
    table = spec.dataset(read.dataset)
    yield "where", read.where, query.where(read.dataset)
    yield "dimensions", [d.column for d in read.dimensions], [r for r in query.group_by if r.dataset == read.dataset]
    for dimension in read.dimensions:
        yield "levels", dimension.levels, levels_of(spec, dimension.column)
    yield "max_rows", read.max_rows, table.max_rows
    yield "rows_per_person", read.rows_per_person, table.rows_per_person
    yield "truncate", read.truncate, table.truncate
    used = {name for d in read.dimensions for name in reads(d.column)} | {
        name for f in read.factors for name in f.touches
    }
    used |= {compared.column for compared in read.compared}
    yield "columns", (read.columns[0], sorted(read.columns[1:])), (table.key, sorted(used))
    yield "distinct factors", len(set(read.factors)), len(read.factors)


def _columns(
    spec: Spec, query: Query, reads: tuple[Read, ...], moments: tuple[Moment, ...], parts: tuple[SideMoment, ...]
) -> Iterator[Check]:
    """Each column is one moment of the query, in its order, whatever unit it is rounded to."""
    yield "summed columns", [moment.name for moment in moments], [part.name for part in parts]
    for place, read in enumerate(reads):
        yield "factors", set(read.factors), {moment.factors[place] for moment in moments}
    for moment, part in zip(moments, parts, strict=True):
        factors = dict(zip(query.tables, part.factors, strict=True))
        scale = 1
        for read, factor in zip(reads, moment.factors, strict=True):
            yield "factor", meaning(factor), _expected(spec, read, factors[read.dataset])
            yield "unit", factor.unit >= 1 and (factor.unit == 1 or bool(factor.values)), True
            scale *= prod(10 ** spec.dataset(read.dataset).columns[name].places for name in factor.values)
        yield "outer", moment.outer, part.outer
        yield "scale", moment.scale * scale, prod(factor.unit for factor in moment.factors)


def meaning(factor: Factor) -> tuple[Any, ...]:
    """What a factor is, whatever unit it is rounded to."""
    return factor.values, factor.present, factor.people, factor.together, factor.when


def _expected(spec: Spec, read: Read, factor: Factor) -> tuple[Any, ...]:
    several = spec.dataset(read.dataset).max_rows_per_person > 1
    together = factor.together and several and not read.per_person
    return factor.values, factor.present, factor.people and several, together, factor.when


def _compared(rows: RowFilter, reads: Sequence[Read]) -> Iterator[Check]:
    """Whatever is compared or tested is used, and listed once."""
    branches = () if rows.cased is None else (when for when, _ in rows.cased.branches)
    found = tuple(leaf for condition in (rows.condition, *branches) for leaf in leaves(condition))
    used: dict[str, set[int]] = {kind: set() for kind in ("pair", *map(holding, range(len(reads))))}
    for leaf in found:
        used[leaf.kind].add(leaf.number)
    yield "every pair", used["pair"], set(range(len(rows.pairs)))
    yield "pairs once", len(set(rows.pairs)), len(rows.pairs)
    yield "pairs in order", [pair.tables for pair in rows.pairs if pair.tables[0] >= pair.tables[1]], []
    for table, read in enumerate(reads):
        yield "every test", used[holding(table)], set(range(len(read.tests)))
        yield "tests once", len({*map(repr, read.tests)}), len(read.tests)
        ends = [end for pair in rows.pairs for end in zip(pair.tables, (pair.a, pair.b), strict=True)]
        compared = {number for of, number in ends if of == table}
        yield "every column compared", compared, set(range(len(read.compared)))
        yield "compared once", len(set(read.compared)), len(read.compared)


def _join(spec: Spec, a: Read, b: Read, join: HelperJoin, moments: tuple[Moment, ...]) -> Iterator[Check]:
    yield "summed", len(join.summed), len(moments)
    for summed, moment in zip(join.summed, moments, strict=True):
        yield from _sum(a, b, join, summed, moment)
    yield "gathered", len(set(join.gathered)), len(join.gathered)
    yield "every gathered", {summed.gathered for summed in join.summed}, set(range(len(join.gathered)))
    yield "factors_a", len(set(join.factors_a)), len(join.factors_a)
    yield "every factor", {s.a for s in join.summed} - {None}, set(range(len(join.factors_a)))
    outer = [(n, a.factors.index(m.a)) for n, m in enumerate(moments) if m.outer]
    yield "local_a", list(join.local_a), outer
    yield "ones", set(join.ones), _ones(spec, b, join, join.gathered)
    key = spec.dataset(a.dataset).columns[spec.dataset(a.dataset).key]
    yield "fixed_ids", join.fixed_ids, key.scheme == "nhs-number"


def _further(
    spec: Spec, d: Read, join: HelperJoin, beside: Beside, moments: tuple[Moment, ...], place: int
) -> Iterator[Check]:
    """What a further table brings: each of its columns once, and each sum is multiplied with the one that it means."""
    yield "cells of d", beside.cells, prod(len(levels_of(spec, dimension.column)) for dimension in d.dimensions)
    more = len(d.compared) + len(d.tests)
    yield "columns of d", beside.brought, len(beside.gathered) * beside.cells + more
    yield "gathered of d", len(set(beside.gathered)), len(beside.gathered)
    used = [summed.others[place] for summed in join.summed]
    yield "every gathered of d", set(used), set(range(len(beside.gathered)))
    for number, moment in zip(used, moments, strict=True):
        of_d = beside.gathered[number]
        yield "factor of d", (d.factors[of_d.factor], of_d.outer), (moment.others[place], False)
    yield "ones of d", list(beside.ones), sorted(_ones(spec, d, join, beside.gathered))


def _ones(spec: Spec, b: Read, join: HelperJoin, gathered: tuple[Gathered, ...]) -> set[int]:
    """Columns of b, or of a further table, that need not travel: nothing is in them but that the person is there."""
    if join.card not in ("helper_join_b", "star_join") or (b.dimensions and join.keyed is None):
        return set()
    alone = spec.dataset(b.dataset).max_rows_per_person == 1
    factors = [(number, b.factors[each.factor]) for number, each in enumerate(gathered) if not each.outer]
    return {number for number, f in factors if (f.people or alone) and (f.values, f.present, f.when) == ((), (), ())}


def _sum(a: Read, b: Read, join: HelperJoin, summed: Summed, moment: Moment) -> Iterator[Check]:
    gathered = join.gathered[summed.gathered]
    yield "gathered factor", gathered.factor, b.factors.index(moment.b)
    yield "gathered outer", gathered.outer, moment.outer
    yield "product", summed.a is None, moment.a.is_one
    if summed.a is not None:
        yield "multiplied factor", join.factors_a[summed.a], a.factors.index(moment.a)


def table_as_said(
    spec: Spec, query: Statement, reads: tuple[Read, ...], safe: AddNoise | Protect, derive: Derive
) -> Iterator[Check]:
    """What the result party makes of what is opened is what the query names."""
    own = tuple(dimension for read in reads for dimension in read.dimensions)
    yield "domain", derive.dimensions[: len(own)], own
    behind = [(each.column, each.levels) for each in derive.dimensions[len(own) :]]
    case = across(query.group_by)
    yield "CASE over both", behind, [] if case is None else [(case, levels_of(spec, case))]
    names = [moment.name for moment in safe.moments]
    in_order = [each.name for each in safe.ordered] if isinstance(safe, Protect) else []
    models = [each.name for each in safe.fits] if isinstance(safe, Protect) else []
    of = {output.name: parts for output, parts in taken_apart.statistics(query, spec)}
    by_rows = isinstance(query, Query)  # of one table a model is made of counts
    said = [(o.name, o.statistic, o.dimension, o.moments, o.of, o.ordered, o.fit) for o in derive.outputs]
    meant = [
        (
            o.name,
            o.what.statistic.value,
            None,
            tuple(names.index(name) for name in of[o.name]),
            o.what.of if o.what.statistic in LINEAR | FITTED else None,
            in_order.index(taken_apart.order_name(o.what)) if o.what.statistic in ORDER else None,
            models.index(taken_apart.fit_name(o.what)) if o.what.statistic in FITTED and by_rows else None,
        )
        if isinstance(o.what, Aggregate)
        else (o.name, "dimension", o.what, (), None, None, None)
        for o in query.outputs
    ]
    yield "outputs", said, meant
    yield "having", derive.having, query.having
