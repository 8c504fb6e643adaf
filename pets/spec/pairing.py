"""A private set intersection as a specification asks for it: whose persons, in what, which rows, by which protocol.

The counterpart of ``spec/query.py`` and ``spec/sql`` for computations that are no query.
"""

from dataclasses import dataclass

from pets.errors import SpecError
from pets.ids import PartyId
from pets.spec.model import Dataset, PsiOutcome, Spec
from pets.spec.query import ColumnRef, Predicate
from pets.spec.sql.alone import conditions
from pets.spec.sql.joint import agree_with_linkage
from pets.spec.ways import NHS_WORDS, TEXT_WORDS, Way


@dataclass(frozen=True, slots=True)
class Pairing:
    """An intersection, bound to its specification.

    ``columns``: of ``other``, what comes with each person in both, or is added up over these. ``by``: of ``asks``, the
    groups of a sum, of ``max_group`` persons at most.
    """

    outcome: PsiOutcome
    asks: str
    other: str
    where_asks: Predicate | None
    where_other: Predicate | None
    columns: tuple[ColumnRef, ...]
    both: bool
    at_least: int
    min_result: int
    by: tuple[ColumnRef, ...] = ()
    max_group: int = 0

    @property
    def tables(self) -> tuple[str, str]:
        return self.asks, self.other

    def where(self, dataset: str) -> Predicate | None:
        return self.where_asks if dataset == self.asks else self.where_other


def is_pairing(spec: Spec) -> bool:
    """True if the specification asks for an intersection and not for a query."""
    return spec.computation.psi is not None


def pairing_of(spec: Spec) -> Pairing:
    """Bind an intersection to the datasets of its specification.

    Raises: SpecError spec.field, or sql.* for ``where``, with the path of what is wrong.
    """
    asked = spec.computation
    if asked.psi is None or asked.asks is None:
        raise ValueError("the specification asks for a query")
    names = [dataset.name for dataset in spec.datasets]
    if asked.asks not in names:
        raise _field("computation.asks", f"there is no dataset {asked.asks}", f"name one of {', '.join(names)}")
    if len(names) != 2:
        raise _field(
            "dataset", f"an intersection is of two datasets, and there are {len(names)}", "leave out all but two"
        )
    first, second = spec.dataset(asked.asks), next(each for each in spec.datasets if each.name != asked.asks)
    for each in (first, second):
        if each.several:
            problem = "brings parts of several holders, and an intersection is of two holders"
            raise _field(f"dataset.{each.name}.holders", problem, "name one party that brings it")
    agree_with_linkage(spec, (first, second))
    where = dict(conditions(spec, (first.name, second.name)))
    return Pairing(
        outcome=asked.psi,
        asks=first.name,
        other=second.name,
        where_asks=where[first.name],
        where_other=where[second.name],
        columns=tuple(_column(name, "columns", place, second) for place, name in enumerate(asked.columns or ())),
        both=second.party in spec.release.to and asked.psi == "intersection",
        at_least=asked.at_least or 0,
        min_result=asked.min_result or 0,
        by=tuple(_column(name, "by", place, first) for place, name in enumerate(asked.by or ())),
        max_group=min(asked.max_group or first.max_rows, first.max_rows),
    )


def cast_of(spec: Spec, pairing: Pairing, way: Way) -> dict[str, PartyId]:
    """Who plays which role of the card. Raises: ValueError if nobody, or more than one, is left for the helper."""
    asker, other = (spec.dataset(name).party for name in pairing.tables)
    cast = {way.asker: asker, way.other: other}
    if way.helper:
        (helper,) = (party for party in spec.computing if party not in (asker, other))
        cast[way.helper] = helper
    return cast


def payload_words(spec: Spec, pairing: Pairing) -> int:
    """Words of what comes with a person: one for each measure, and one for all dimensions together."""
    columns = spec.dataset(pairing.other).columns
    roles = [columns[ref.column].role for ref in pairing.columns]
    return roles.count("measure") + ("dimension" in roles)


def id_words(spec: Spec, pairing: Pairing) -> int:
    """Words of an identifier in the result; 0 where none is in it."""
    if pairing.outcome != "intersection":
        return 0
    table = spec.dataset(pairing.asks)
    return NHS_WORDS if table.columns[table.key].scheme == "nhs-number" else TEXT_WORDS


def _column(name: str, field: str, place: int, table: Dataset) -> ColumnRef:
    dataset, _, column = name.partition(".")
    if dataset != table.name or column not in table.columns:
        known = ", ".join(f"{table.name}.{each}" for each in table.columns)
        problem = f"{name} is no column of {table.name}"
        raise _field(f"computation.{field}.{place}", problem, f"name columns of {table.name}: {known}")
    return ColumnRef(dataset, column)


def _field(path: str, problem: str, advice: str) -> SpecError:
    return SpecError("spec.field", path=path, problem=problem, advice=advice)
