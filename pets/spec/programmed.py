"""A program for MPyC as a specification asks for it: which text, on whose columns, which rows, within what.

The counterpart of ``spec/query.py`` and ``spec/pairing.py`` for computations that are a program. Terms
(``mpyc_terms.py``) are all that a run needs; here is how they follow from the signed text.
"""

from dataclasses import dataclass
from typing import Final

from pets.errors import SpecError
from pets.ids import PartyId
from pets.spec.model import Column, Computation, Spec
from pets.spec.mpyc_program import Program, built_in
from pets.spec.mpyc_source import Source, check_source
from pets.spec.mpyc_terms import Budget, Input, Number, Output, Terms
from pets.spec.query import ColumnRef, Predicate
from pets.spec.sql.alone import conditions

OWN: Final = "own"
"""What a program of one's own is called in terms and reports."""

BITS: Final = 64
"""Of the numbers of a program of one's own that says nothing else."""

WORDS: Final = 4
"""Words of 64 bits of a share, and of the order of its field: that has at most 256 bits (party/mpyc_process.py)."""


@dataclass(frozen=True, slots=True)
class Programmed:
    """A program, bound to its specification.

    ``columns``: by input, the column that it is of. ``wheres``: by dataset that is read, which of its rows are. Both in
    the order of names: the order in which somebody wrote them down means nothing.
    """

    source: Source
    declared: Program | None
    terms: Terms
    columns: tuple[tuple[str, ColumnRef], ...]
    wheres: tuple[tuple[str, Predicate | None], ...]
    rounds: int

    @property
    def name(self) -> str:
        """What it is called: of one's own, ``own``."""
        return self.terms.program

    @property
    def tables(self) -> tuple[str, ...]:
        """The datasets that are read."""
        return tuple(name for name, _ in self.wheres)

    @property
    def brought(self) -> tuple[tuple[Input, ColumnRef], ...]:
        """Every input with its column, in the order of the terms."""
        of = dict(self.columns)
        return tuple((each, of[each.name]) for each in self.terms.inputs)

    def where(self, dataset: str) -> Predicate | None:
        return dict(self.wheres)[dataset]


def is_program(spec: Spec) -> bool:
    """True if the specification asks for a program and not for a query or an intersection."""
    return spec.computation.is_program


def programmed_of(spec: Spec) -> Programmed:
    """Bind a program to the parties and datasets of its specification.

    Raises: SpecError spec.program, spec.program-terms, spec.field, or sql.* for ``where``, with what is wrong.
    """
    asked = spec.computation
    if not asked.is_program or asked.inputs is None or asked.budget is None:
        raise ValueError("the specification asks for no program")
    declared = None if asked.program is None else built_in(asked.program)
    source = declared.source if declared is not None else check_source((asked.source or "").encode(), file="source")
    if source.sha256 != asked.sha256:
        problem = f"the text has SHA-256 {source.sha256}, and another is named"
        advice = "read the text, and name the digest that pets program show prints"
        raise _field("computation.sha256", problem, advice)
    columns = tuple((name, _column(spec, name, written)) for name, written in sorted(asked.inputs.items()))
    wheres = conditions(spec, tuple(sorted({ref.dataset for _, ref in columns})))
    budget = Budget(asked.budget.frames, asked.budget.bytes)
    terms = _declared(spec, declared, columns, budget) if declared is not None else _own(spec, source, columns, budget)
    return Programmed(source, declared, terms, columns, wheres, asked.budget.rounds)


def client_of(spec: Spec) -> str:
    """Who opens what a program releases: the client of the result party, apart from a server that it may have."""
    return f"{spec.result_party}:result"


def words_of(terms: Terms) -> int:
    """Words that each party sends the client: of every output the order of its field, and its shares."""
    return WORDS * sum(1 + output.count for output in terms.outputs)


def _declared(spec: Spec, declared: Program, columns: tuple[tuple[str, ColumnRef], ...], budget: Budget) -> Terms:
    """Terms of a program that declares its inputs and outputs."""
    return declared.bind(
        parties=spec.computing,
        client=client_of(spec),
        ranges={name: _range(spec, ref) for name, ref in columns},
        parameters=_parameters(spec.computation),
        holders={name: spec.holders(ref.dataset) for name, ref in columns},
        budget=budget,
    )


def _own(spec: Spec, source: Source, columns: tuple[tuple[str, ColumnRef], ...], budget: Budget) -> Terms:
    """Terms of a program of one's own, of which the specification says all."""
    asked = spec.computation
    if unknown := sorted(set(asked.rows or {}) - {name for name, _ in columns}):
        raise _field(f"computation.rows.{unknown[0]}", "is no input", "name inputs, or leave it out")
    return Terms(
        program=OWN,
        source=source.sha256,
        parties=spec.computing,
        bits=asked.bits or BITS,
        parameters=_parameters(asked),
        inputs=tuple(
            Input(name, spec.holders(ref.dataset), _rows(spec, name, ref), *_range(spec, ref)) for name, ref in columns
        ),
        outputs=tuple(
            Output(name, (), told.count, told.fraction, client_of(spec))
            for name, told in sorted((asked.outputs or {}).items())
        ),
        budget=budget,
    )


def _parameters(asked: Computation) -> dict[str, Number]:
    return dict(asked.parameters or {})


def _rows(spec: Spec, name: str, ref: ColumnRef) -> int:
    """How many numbers each holder brings: what is said, or the declared size of everybody's part."""
    table = spec.dataset(ref.dataset)
    return (spec.computation.rows or {}).get(name) or min(table.rows_of(party) for party in table.parties)


def measure(column: Column) -> bool:
    """True if a column has whole numbers in a declared range, in units of its last place."""
    return column.role == "measure"


def _range(spec: Spec, ref: ColumnRef) -> tuple[int, int]:
    return spec.dataset(ref.dataset).columns[ref.column].scaled_range


def _column(spec: Spec, name: str, written: str) -> ColumnRef:
    path = f"computation.inputs.{name}"
    dataset, _, column = written.partition(".")
    table = next((each for each in spec.datasets if each.name == dataset), None)
    if table is None or column not in table.columns:
        known = (f"{each.name}.{of}" for each in spec.datasets for of, own in each.columns.items() if measure(own))
        raise _field(path, f"{written} is no column", f"name one of {', '.join(known)}")
    if not measure(table.columns[column]):
        problem = f'{written} has the role "{table.columns[column].role}", and a program takes numbers in a range'
        raise _field(path, problem, "name a measure")
    return ColumnRef(dataset, column)


def _field(path: str, problem: str, advice: str) -> SpecError:
    return SpecError("spec.field", path=path, problem=problem, advice=advice)


def own_numbers(terms: Terms, party: PartyId) -> tuple[Input, ...]:
    """The inputs that a party brings."""
    return tuple(each for each in terms.inputs if party in each.holders)
