"""Lower a program for MPyC to its plan, and derive its promise again: the counterparts of lower.py and recheck.py.

Whatever decides what is sent (the text by its digest, parameters, parties, budget) is in the plan.
"""

import hashlib
from collections.abc import Iterator

from pets.check import executed
from pets.check.labels import Matrix
from pets.plan.wiring import Check, hold, hold_matrix
from pets.spec.canonical import spec_digest
from pets.spec.cards import load_cards
from pets.spec.ir import Execute, Factor, Open, Plan, Read
from pets.spec.joins import PROGRAM
from pets.spec.model import Dataset, Spec
from pets.spec.mpyc_program import built_in
from pets.spec.programmed import BITS, OWN, Programmed, words_of


def lower(spec: Spec, asked: Programmed) -> Plan:
    """The plan of a program that its rules have let pass. Deterministic: every party gets the same digest."""
    card = load_cards()[PROGRAM]
    reads = {name: _read(spec, asked, name, place) for place, name in enumerate(asked.tables, 1)}
    step = Execute(
        out="released",
        card=card.id,
        card_version=card.version,
        terms=asked.terms,
        columns=tuple((name, reads[ref.dataset].out, ref.column) for name, ref in asked.columns),
        public=tuple(public_of(asked).items()),
    )
    opened = Open(out="opened", of=step.out, to=spec.result_party)
    return Plan(spec=spec_digest(spec), steps=(*reads.values(), step, opened))


def public_of(asked: Programmed) -> dict[str, int]:
    """The public numbers of the card."""
    terms = asked.terms
    return {
        "m": len(terms.parties),
        "frames": terms.budget.frames,
        "bytes": terms.budget.bytes,
        "rounds": asked.rounds,
        "b": terms.bits,
        "w": words_of(terms),
    }


def _read(spec: Spec, asked: Programmed, name: str, place: int) -> Read:
    table = spec.dataset(name)
    columns = tuple(dict.fromkeys(ref.column for _, ref in asked.columns if ref.dataset == name))
    holders = spec.holders(name)
    return Read(
        out=f"rows_{place}",
        party=None if table.several else table.party,
        dataset=name,
        columns=(table.key, *columns),
        where=asked.where(name),
        dimensions=(),
        factors=tuple(Factor(values=(each,), present=(each,)) for each in columns),
        max_rows=table.max_rows,
        rows_per_person=table.rows_per_person,
        truncate=table.truncate,
        per_person=False,
        holders=tuple((party, table.rows_of(party)) for party in holders) if table.several else None,
    )


def recheck(plan: Plan, approved: Matrix, spec: Spec, asked: Programmed) -> None:
    """Hold the plan against the specification and the matrix that the approvers saw.

    Raises: InternalError plan.wiring or plan.matrix-differs: a bug of ours, which no author can cause.
    """
    hold(_wiring(plan, spec, asked))
    hold_matrix(executed.disclosure(executed.about_plan(plan, spec), load_cards()), approved)


def _wiring(plan: Plan, spec: Spec, asked: Programmed) -> Iterator[Check]:
    """(what, as it is, as it has to be), read off the specification anew."""
    step, said, card = plan.program, spec.computation, load_cards()[PROGRAM]
    kinds = [type(each).__name__ for each in plan.steps]
    yield "steps", kinds, ["Read"] * (len(kinds) - 2) + ["Execute", "Open"]
    assert step is not None
    opened = next(each for each in plan.steps if isinstance(each, Open))
    yield "specification", plan.spec, spec_digest(spec)
    yield "to", (opened.to, opened.of), (spec.result_party, step.out)
    yield "card", (step.card, step.card_version), (card.id, card.version)
    yield "protocol", step.card, spec.security.protocol or step.card
    yield from _of_text(step, spec)
    terms = step.terms
    yield "parties", list(terms.parties), [p.name for p in spec.parties if "computing" in p.roles]
    yield "withstands", terms.threshold >= spec.security.corrupt, True
    budget = said.budget
    assert budget is not None
    yield "budget", (terms.budget.frames, terms.budget.bytes), (budget.frames, budget.bytes)
    yield "parameters", dict(terms.parameters), dict(said.parameters or {})
    numbers = {"m": len(terms.parties), "b": terms.bits, "frames": budget.frames, "bytes": budget.bytes}
    released = sum(each.count + 1 for each in terms.outputs)
    yield "public numbers", dict(step.public), {**numbers, "rounds": budget.rounds, "w": 4 * released}
    yield "opened to", {(o.receivers, o.client) for o in terms.outputs}, {((), f"{spec.release.to[0]}:result")}
    yield from _of_inputs(plan, step, spec)
    for read in plan.reads:
        yield "where", read.where, asked.where(read.dataset)


def _of_text(step: Execute, spec: Spec) -> Iterator[Check]:
    """Which text runs, and what it declares."""
    said, terms = spec.computation, step.terms
    if said.program is not None:
        program = built_in(said.program)
        text, bits = program.source.text, program.written.bits
        declared = {(each.name, each.fraction) for each in program.written.output}
        yield "inputs", {each.name for each in terms.inputs}, {each.name for each in program.written.input}
        yield "outputs", {(each.name, each.fraction) for each in terms.outputs}, declared
    else:
        text, bits = said.source or "", said.bits or BITS
        wanted = {(name, each.count, each.fraction) for name, each in (said.outputs or {}).items()}
        yield "outputs", {(each.name, each.count, each.fraction) for each in terms.outputs}, wanted
    digest = hashlib.sha256(text.encode()).hexdigest()
    yield "text", (terms.program, terms.source, said.sha256), (said.program or OWN, digest, digest)
    yield "bits", terms.bits, bits


def _of_inputs(plan: Plan, step: Execute, spec: Spec) -> Iterator[Check]:
    """Whose columns go in, how many numbers of each, in which range."""
    said, reads = spec.computation, {read.out: read for read in plan.reads}
    columns = {name: f"{reads[of].dataset}.{column}" for name, of, column in step.columns}
    yield "columns", columns, dict(said.inputs or {})
    yield "inputs that are read", {each.name for each in step.terms.inputs}, set(columns)
    for each in step.terms.inputs:
        dataset, _, column = columns[each.name].partition(".")
        table = spec.dataset(dataset)
        yield "holders", set(each.holders), set(table.parties)
        yield "range", (each.low, each.high), table.columns[column].scaled_range
        yield "rows", each.rows <= min(table.rows_of(party) for party in table.parties), True
        if (rows := (said.rows or {}).get(each.name)) is not None:
            yield "rows that are said", each.rows, rows
    for read in plan.reads:
        yield from _of_read(read, spec.dataset(read.dataset), {c for _, of, c in step.columns if of == read.out})


def _of_read(read: Read, table: Dataset, used: set[str]) -> Iterator[Check]:
    yield "readers", set(read.parties), set(table.parties)
    sizes = (table.max_rows, table.rows_per_person, table.truncate)
    yield "sizes", (read.max_rows, read.rows_per_person, read.truncate), sizes
    yield "columns that are read", set(read.columns), {table.key, *used}
    yield "columns that leave", {name for factor in read.factors for name in factor.values}, used
    yield "nothing else", (read.dimensions, read.compared, read.tests), ((), (), ())
