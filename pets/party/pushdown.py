"""The part of a WHERE that a PostgreSQL database may decide before a snapshot is taken, as SQL of its own.

A row that this SQL leaves out is one that the whole WHERE leaves out, if the row is valid. The reverse need not hold:
what cannot be said exactly in PostgreSQL is left out here, and a run applies the whole WHERE to the snapshot once more.
So nothing depends on two engines agreeing, except that PostgreSQL must not leave out too much: each comparison below is
of one type in both, text is compared byte by byte, and NULL means the same to both (docs/adr/0018).

SQL is written from our own nodes. Values are parameters; names are quoted.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from pets.party.sources import Kind, parameter, quoted
from pets.spec.model import Column, Dataset
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Value

OPERATORS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Held:
    """A column of the specification as the database has it."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Selection:
    """A condition with its values in order; ``%s`` stands for each, so a percent sign in a name is doubled."""

    sql: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """The condition for a person's eyes; a database gets the values by themselves."""
        plain = (
            self.sql.replace("::pg_catalog.text", "").replace(' COLLATE pg_catalog."C"', "").replace("pg_catalog.", "")
        )
        return plain % tuple(f"'{v}'" if isinstance(v, str | dt.date) else v for v in self.values)


def named(identifier: str) -> str:
    """A quoted identifier in a statement that has ``%s`` for its values."""
    return quoted(identifier).replace("%", "%%")


def selection(
    where: Predicate | None, dataset: Dataset, held: Mapping[str, Held], *, ascii_only: bool = False
) -> Selection | None:
    """What may be pushed down of ``where``; None if nothing may, or if it selects all rows.

    ``ascii_only``: the database may not know other characters, so values with them stay here.
    """
    if where is None:
        return None
    values: list[Any] = []
    sql = _Writer(dataset, held, values, ascii_only).at_least(where)
    return None if sql is None else Selection(sql, tuple(values))


@dataclass(frozen=True, slots=True)
class _Writer:
    dataset: Dataset
    held: Mapping[str, Held]
    values: list[Any]
    ascii_only: bool

    def at_least(self, where: Predicate) -> str | None:
        """True on every valid row on which ``where`` is true; None if only TRUE would do."""
        match where:
            case All(parts=parts):
                kept = [sql for part in parts if (sql := self.at_least(part)) is not None]
                return f"({' AND '.join(kept)})" if kept else None
            case AnyOf(parts=parts):
                return self._all_of(parts, " OR ", exact=False)
            case _:
                return self._exactly(where)

    def _exactly(self, where: Predicate) -> str | None:
        """What says the same as ``where`` of every valid row, unknown included; None if there is no such SQL."""
        match where:
            case Compare(column=column, op=op, value=value):
                return self._compared(column, op, (value,))
            case In(column=column, values=several, negated=negated):
                return self._compared(column, "NOT IN" if negated else "IN", several)
            case IsNull(column=column, negated=negated):
                it = self.held[column]
                if self.dataset.columns[column].type is None or it.kind == "other":
                    return None
                return f"{named(it.name)} IS {'NOT ' if negated else ''}NULL"
            case Not(part=part):
                inner = self._exactly(part)
                return None if inner is None else f"(NOT {inner})"
            case All(parts=parts):
                return self._all_of(parts, " AND ", exact=True)
            case AnyOf(parts=parts):
                return self._all_of(parts, " OR ", exact=True)
            case _:
                assert_never(where)

    def _all_of(self, parts: tuple[Predicate, ...], between: str, *, exact: bool) -> str | None:
        """All parts joined, or None if one of them cannot be written; no value of what was written stays behind."""
        before = len(self.values)
        written = [self._exactly(part) if exact else self.at_least(part) for part in parts]
        if None in written:
            del self.values[before:]
            return None
        return f"({between.join(sql for sql in written if sql is not None)})"

    def _compared(self, column: str, op: str, values: tuple[Value, ...]) -> str | None:
        if op not in OPERATORS and op not in ("IN", "NOT IN"):
            raise ValueError("not an operator of the language")
        it = _comparable(self.dataset.columns[column], self.held[column])
        if it is None or any(isinstance(value, str) and not self._sayable(value) for value in values):
            return None
        self.values.extend(map(parameter, values))
        places = ["%s::pg_catalog.text" if isinstance(value, str) else "%s" for value in values]
        return f"{it} {op} {places[0]}" if op in OPERATORS else f"{it} {op} ({', '.join(places)})"

    def _sayable(self, text: str) -> bool:
        """False for what the database may have no way to write."""
        return "\0" not in text and (not self.ascii_only or text.isascii())


def _comparable(column: Column, held: Held) -> str | None:
    """SQL whose value is the one that the snapshot will hold, if the row is valid; None where it need not be."""
    it = named(held.name)
    if column.role == "measure" and column.clamp:
        return None  # the snapshot holds the value after it was moved into its range
    match column.type, held.kind:
        case (("category" | "text"), ("text" | "boolean" | "integer")):
            return f'{it}::pg_catalog.text COLLATE pg_catalog."C"'
        case "integer", ("integer" | "decimal"):
            return it
        case (("integer" | "decimal"), "boolean"):
            return f"{it}::pg_catalog.int4"
        case "decimal", ("integer" | "decimal"):
            # Twice, as a snapshot does: numbers are read with 18 places, then rounded, both half away from zero.
            return f"pg_catalog.round(pg_catalog.round({it}::pg_catalog.numeric, 18), {column.places})"
        case "date", ("date" | "timestamp"):
            return f"{it}::pg_catalog.date"
        case _:
            return None
