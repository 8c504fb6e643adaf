"""A private set intersection as a specification asks for it: whose persons, in what, which rows, by which protocol.

The counterpart of ``spec/query.py`` and ``spec/sql`` for computations that are no query.
"""

from dataclasses import dataclass
from typing import Final

from pets.errors import SpecError
from pets.ids import PartyId
from pets.spec.model import Computation, Dataset, PsiOutcome, Spec
from pets.spec.query import ColumnRef, Predicate
from pets.spec.sql import bind
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
    where = _where(spec, first, second)
    return Pairing(
        outcome=asked.psi,
        asks=first.name,
        other=second.name,
        where_asks=where[0],
        where_other=where[1],
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


def _where(spec: Spec, first: Dataset, second: Dataset) -> tuple[Predicate | None, Predicate | None]:
    """The conditions by table. The text is bound as the WHERE of a query over the two; nothing else may be in it."""
    text = f'SELECT COUNT(*) AS n FROM "{first.name}" JOIN "{second.name}"'
    text += f' ON "{first.name}"."{first.key}" = "{second.name}"."{second.key}"'
    if spec.computation.where is not None:
        text += f"\nWHERE (\n{spec.computation.where}\n)"
    try:
        query = bind(spec.model_copy(update={"computation": Computation(sql=text)}))
    except SpecError as error:
        if error.code == "sql.group":  # a condition groups nothing
            raise _more() from error
        said = {name: _placed(name, value) for name, value in error.fields.items()}
        if error.code.startswith("sql."):
            said.setdefault("path", "computation.where")
        raise SpecError(error.code, **said) from error
    if query.group_by or query.having is not None or len(query.outputs) != 1:
        raise _more()
    if query.rows is not None:
        problem = "has a condition on both datasets, which neither holder could apply to its own rows"
        raise _field("computation.where", problem, f"{_ADVICE}, each on columns of one of the datasets")
    return query.where(first.name), query.where(second.name)


BEFORE: Final = 2
"""Lines that stand before a condition in the query that it is bound as."""

_ADVICE: Final = "join conditions with AND"


def _placed(name: str, value: object) -> object:
    """What is said of a query, as it is said of its condition alone."""
    if name == "line" and isinstance(value, int):
        return max(value - BEFORE, 1)
    if name == "advice" and str(value).startswith("write one SELECT"):
        return f"{_ADVICE}, and write nothing else"
    return value.replace("computation.sql", "computation.where") if isinstance(value, str) else value


def _more() -> SpecError:
    return _field("computation.where", "is more than conditions", f"{_ADVICE}, and write nothing else")


def _field(path: str, problem: str, advice: str) -> SpecError:
    return SpecError("spec.field", path=path, problem=problem, advice=advice)
