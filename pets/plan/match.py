"""Lower an intersection to its plan, and derive the plan's promise again: the counterparts of lower.py and recheck.py.

Whatever decides what is sent (sizes, protocol, words of a payload) is in the plan.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import prod

from pets.check import budget, matched
from pets.check.labels import Matrix
from pets.errors import SpecError
from pets.plan.lower import MAX_DUMMIES
from pets.plan.wiring import Check, hold, hold_matrix
from pets.spec.banded import levels_of, reads
from pets.spec.canonical import spec_digest
from pets.spec.cards import load_cards
from pets.spec.control import effective
from pets.spec.ir import Dimension, Factor, Match, Open, Plan, Read
from pets.spec.model import Dataset, Spec, quantity
from pets.spec.pairing import Pairing, cast_of, id_words
from pets.spec.query import ColumnRef
from pets.spec.ways import HANDED, WAYS, way_of


def lower(spec: Spec, pairing: Pairing) -> Plan:
    """The plan of an intersection that its rules have let pass. Deterministic: every party gets the same digest."""
    name = way_of(spec)
    way, cards = WAYS[name], load_cards()
    read_asks = _read(spec, pairing, pairing.asks, pairing.by, "persons_asked")
    read_of = _read(spec, pairing, pairing.other, pairing.columns, "persons_there")
    handed, control = None if way.opens else cards[HANDED], effective(spec)
    helper_epsilon, helper_delta, slots = matched.dummies(spec) if way.helper else (Fraction(0), Fraction(0), 0)
    if slots > MAX_DUMMIES:
        raise SpecError("spec.dummies", path="security.leakage", slots=2 * slots, most=2 * MAX_DUMMIES)
    match = Match(
        out="matched",
        card=name,
        card_version=cards[name].version,
        outcome=pairing.outcome,
        asks=read_asks.out,
        of=read_of.out,
        roles=tuple(cast_of(spec, pairing, way).items()),
        columns=tuple(ref.column for ref in pairing.columns),
        places=tuple(
            spec.dataset(pairing.other).columns[name].places for factor in read_of.factors for name in factor.values
        ),
        both=pairing.both,
        at_least=pairing.at_least,
        min_result=pairing.min_result,
        fixed_ids=spec.dataset(pairing.asks).columns[spec.dataset(pairing.asks).key].scheme == "nhs-number",
        id_words=id_words(spec, pairing),
        public=tuple(matched.public_of(spec, pairing, way).items()),
        handed_by="" if handed is None else handed.id,
        handed_version="" if handed is None else handed.version,
        helper_epsilon=helper_epsilon,
        helper_delta=helper_delta,
        epsilon=budget.release_loss(spec).epsilon,
        noised=matched.noised(spec, pairing),
        min_count=0 if control is None else control.min_count,
        round_to=1 if control is None else control.round_to,
        empty=control is not None and control.zeros == "shown",
    )
    return Plan(
        spec=spec_digest(spec),
        steps=(read_asks, read_of, match, Open(out="opened", of=match.out, to=spec.result_party)),
    )


def _read(spec: Spec, pairing: Pairing, name: str, columns: tuple[ColumnRef, ...], out: str) -> Read:
    table = spec.dataset(name)
    dimensions = tuple(
        Dimension(ref, levels_of(spec, ref)) for ref in columns if table.columns[ref.column].role == "dimension"
    )
    measures = [ref.column for ref in columns if table.columns[ref.column].role == "measure"]
    return Read(
        out=out,
        party=table.party,
        dataset=name,
        columns=(table.key, *(ref.column for ref in columns)),
        where=pairing.where(name),
        dimensions=dimensions,
        factors=tuple(Factor(values=(each,), present=(each,)) for each in measures),
        max_rows=table.max_rows,
        rows_per_person=table.rows_per_person,
        truncate=table.truncate,
        per_person=True,
    )


def recheck(plan: Plan, approved: Matrix, spec: Spec, pairing: Pairing) -> None:
    """Hold the plan against the specification and the matrix that the approvers saw.

    Raises: InternalError plan.wiring or plan.matrix-differs: a bug of ours, which no author can cause.
    """
    hold(_wiring(plan, spec, pairing))
    hold_matrix(matched.disclosure(matched.about_plan(plan, spec), load_cards()), approved)


def _wiring(plan: Plan, spec: Spec, pairing: Pairing) -> Iterator[Check]:
    """(what, as it is, as it has to be), read off the specification anew."""
    match, cards = plan.match, load_cards()
    yield "steps", [type(step).__name__ for step in plan.steps], ["Read", "Read", "Match", "Open"]
    assert match is not None
    opened = next(step for step in plan.steps if isinstance(step, Open))
    asked = spec.computation
    yield "specification", plan.spec, spec_digest(spec)
    yield "outcome", match.outcome, asked.psi
    yield "protocol", match.card, spec.security.protocol or match.card
    yield "card", (match.card, match.card_version), (match.card, cards[match.card].version)
    way = WAYS[match.card]
    yield "what the protocol does", asked.psi in way.outcomes, True
    yield "datasets", [read.dataset for read in plan.reads], [asked.asks, *_others(spec)]
    tables = [spec.dataset(read.dataset) for read in plan.reads]
    yield "holders", [read.party for read in plan.reads], [table.party for table in tables]
    yield "asker", match.party(way.asker), tables[0].party
    yield "other", match.party(way.other), tables[1].party
    helpers = [party for party in spec.computing if party not in (tables[0].party, tables[1].party)]
    yield "helper", [match.party(way.helper)] if way.helper else [], helpers
    sizes = [(match.parameter(name), table.max_rows) for name, table in zip(way.sizes, tables, strict=True) if name]
    yield "sizes", [said for said, _ in sizes], [meant for _, meant in sizes]
    yield "parameters", set(dict(match.public)), set(cards[match.card].public)
    yield "to", [opened.to, opened.of], [spec.result_party, match.out]
    yield "both", match.both, tables[1].party in spec.release.to and asked.psi == "intersection"
    yield from _of_sums(match, spec, plan)
    yield "columns", [f"{tables[1].name}.{name}" for name in match.columns], list(asked.columns or ())
    measures = [name for factor in plan.reads[1].factors for name in factor.values]
    yield "places", list(match.places), [tables[1].columns[name].places for name in measures]
    yield "threshold", (match.at_least, match.min_result), (asked.at_least or 0, asked.min_result or 0)
    yield "handed", (match.handed_by, match.handed_version), ("", "") if way.opens else (HANDED, cards[HANDED].version)
    yield "identifiers", match.fixed_ids, tables[0].columns[tables[0].key].scheme == "nhs-number"
    yield "words", match.id_words, id_words(spec, pairing)
    if way.columns:
        told = plan.reads[1]
        yield "payload", match.parameter(way.columns), len(told.factors) + bool(told.dimensions)
    if way.least:
        yield "least", match.parameter("min_result"), asked.at_least or asked.min_result or 0
        yield "shown", match.parameter("shown"), int(asked.psi == "cardinality")
        yield "number with noise", match.parameter("noised"), 0
    noised = [item.noised for item in spec.security.leakage if item.noised is not None]
    if way.helper:
        yield "helper's noise", len(noised), 1
        epsilon, delta = quantity(noised[0].epsilon), quantity(noised[0].delta)
        yield "helper's epsilon", (match.helper_epsilon, match.helper_delta), (epsilon, delta)
        s = match.parameter("s")
        yield "dummies", budget.dummy_delta(epsilon, 1, s) <= float(delta) * (1 + 1e-9), True
    else:
        yield "no helper", (match.helper_epsilon, match.helper_delta), (0, 0)
    privacy = spec.release.differential_privacy
    yield "law of the noise", privacy is not None and privacy.gaussian, False
    yield "epsilon", match.epsilon, privacy.loss if privacy is not None else 0
    if way.noise and match.outcome != "sum":
        yield "noised", match.parameter("r"), int(privacy is not None)
    if "both" in dict(match.public):
        yield "told both", match.parameter("both"), int(match.both)
    for read, table in zip(plan.reads, tables, strict=True):
        own = match.columns if read is plan.reads[1] else tuple(ref.column for ref in pairing.by)
        yield from _of_read(read, table, spec, pairing, own)


def _of_sums(match: Match, spec: Spec, plan: Plan) -> Iterator[Check]:
    """What only sums have: groups, noise on each column, what is withheld."""
    asked, control, (asks, of) = spec.computation, effective(spec), plan.reads
    yield "groups", [str(each.column) for each in asks.dimensions], list(asked.by or ())
    held = (0, 1, False) if control is None else (control.min_count, control.round_to, control.zeros == "shown")
    yield "withheld", (match.min_count, match.round_to, match.empty), held
    privacy = spec.release.differential_privacy
    wanted = len(match.columns) if match.outcome == "sum" and privacy is not None else 0
    yield "columns with noise", len(match.noised), wanted
    if wanted:
        yield "all of epsilon", sum(part for _, part in match.noised), match.epsilon
    for (sensitivity, _), name in zip(match.noised, match.columns, strict=wanted != 0):
        low, high = spec.dataset(of.dataset).columns[name].scaled_range
        yield "covers a person", sensitivity >= max(abs(low), abs(high), high - low), True
    if match.outcome != "sum":
        return
    most = spec.dataset(asks.dataset).max_rows
    yield "greatest group", match.parameter("m_a"), min(asked.max_group or most, most)
    yield "cells", match.parameter("g"), prod(len(each.levels) for each in asks.dimensions)
    yield "summed", match.parameter("v"), len(match.columns)
    persons = min(match.parameter("m_a"), match.parameter("n_b"))
    greatest = [persons * max(map(abs, spec.dataset(of.dataset).columns[name].scaled_range)) for name in match.columns]
    primes = match.parameter("primes")
    yield "primes for columns", bool(primes), bool(greatest)
    yield "primes tell sums apart", max(greatest, default=0) < 2 ** (40 * primes - 1) or not greatest, True


def _others(spec: Spec) -> list[str]:
    return [table.name for table in spec.datasets if table.name != spec.computation.asks]


def _of_read(read: Read, table: Dataset, spec: Spec, pairing: Pairing, columns: tuple[str, ...]) -> Iterator[Check]:
    yield (
        "rows",
        (read.max_rows, read.rows_per_person, read.truncate),
        (table.max_rows, table.rows_per_person, table.truncate),
    )
    yield "where", read.where, pairing.where(table.name)
    told = {name for factor in read.factors for name in factor.touches}
    told |= {name for dimension in read.dimensions for name in reads(dimension.column)}
    yield "columns that are told", sorted(told), sorted(columns)
    yield "columns that are read", sorted(read.columns), sorted({table.key, *columns})
    for dimension in read.dimensions:
        yield "levels", dimension.levels, levels_of(spec, dimension.column)
