"""What WHERE says, without SQL text: typed literals, three-valued logic on NULLs, and the SQL that a holder runs.

Nothing of the author's text is left here. A holder's engine gets SQL that ``emit_where`` writes from our nodes, with a
``?`` for every value.
"""

import datetime as dt
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, assert_never

from pets.spec import query
from pets.spec.canonical import MAX_INTEGER
from pets.spec.model import Column
from pets.spec.query import All, AnyOf, Compare, In, IsNull, Not, Predicate, Value

columns_of = query.columns_of
"""Every column a predicate reads, in order, with repetitions."""

MAX_TEXT: Final = 1_000
ORDERED: Final = ("integer", "decimal", "date")
"""Types of columns that < and > make sense for. Text has no order that all engines share."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,40}(\.\d{1,40})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Written:
    """A literal as the author wrote it: with quotes, as a number, or as ``DATE '...'``."""

    kind: Literal["string", "number", "date"]
    text: str

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 40 else self.text[:39] + "…"
        return shown if self.kind == "number" else f"'{shown}'" if self.kind == "string" else f"DATE '{shown}'"


class Misfit(ValueError):
    """A literal does not fit its column; ``advice`` says how to write it, ``level`` that a level is wrong."""

    def __init__(self, problem: str, advice: str, *, level: bool = False) -> None:
        super().__init__(problem)
        self.advice: Final = advice
        self.level: Final = level


def typed(column: Column, written: Written) -> Value:
    """The value of a literal in the type of its column. Raises ``Misfit``."""
    match column.type:
        case "category" | "text":
            return _text(column, written)
        case "integer" | "decimal":
            return _number(column, written)
        case "date":
            return _date(written)
        case None:
            raise Misfit("cannot be compared with a person id", "select rows by other columns")
        case _:
            assert_never(column.type)


def _text(column: Column, written: Written) -> str:
    if written.kind != "string":
        raise Misfit("is compared with text", "put it in single quotes")
    if len(written.text) > MAX_TEXT:
        raise Misfit("is too long", f"compare with at most {MAX_TEXT} characters")
    if column.levels and written.text not in column.levels:
        near = difflib.get_close_matches(written.text, column.levels, n=1, cutoff=0.6)
        few = ", ".join(f"'{level}'" for level in column.levels[:8]) + (", ..." if len(column.levels) > 8 else "")
        advice = f"did you mean '{near[0]}'?" if near else f"the levels are {few}"
        raise Misfit("is not a declared level", advice, level=True)
    return written.text


def number_of(written: Written) -> int | Fraction:
    """The number that a literal writes, whatever it is compared with. Raises ``Misfit``."""
    if written.kind != "number":
        raise Misfit("is compared with a number", "write the number without quotes")
    if not _NUMBER.fullmatch(written.text):
        raise Misfit("is not a plain number", "write digits and at most one point: 1500 or 12.5")
    value = Fraction(written.text)
    if abs(value) > MAX_INTEGER:
        raise Misfit("is too large", "compare with less than 2^53")
    return value if "." in written.text else int(value)


def _number(column: Column, written: Written) -> int | Fraction:
    value = Fraction(number_of(written))
    if column.type == "integer":
        if "." in written.text:
            raise Misfit("is compared with a whole number", "write it without a point")
    elif (value * 10**column.places).denominator != 1:
        raise Misfit(f"has more than the {column.places} places of its column", "round it")
    if abs(value * 10**column.places) > MAX_INTEGER:
        raise Misfit("is too large", "compare with less than 2^53 units of the last place")
    return int(value) if column.type == "integer" else value


def _date(written: Written) -> dt.date:
    advice = "write it as DATE '2026-01-31'"
    if written.kind == "number" or not _DATE.fullmatch(written.text):
        raise Misfit("is compared with a date", advice)
    try:
        return dt.date.fromisoformat(written.text)
    except ValueError as error:
        raise Misfit("is a day that does not exist", advice) from error


def on_nulls(predicate: Predicate) -> bool | None:
    """What a predicate says of a row of which every column is NULL; None is SQL's unknown."""
    match predicate:
        case Compare() | In():
            return None
        case IsNull(negated=negated):
            return not negated
        case Not(part=part):
            inner = on_nulls(part)
            return None if inner is None else not inner
        case All(parts=parts):
            said = [on_nulls(part) for part in parts]
            return False if False in said else None if None in said else True
        case AnyOf(parts=parts):
            said = [on_nulls(part) for part in parts]
            return True if True in said else None if None in said else False
        case _:
            assert_never(predicate)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction, flat; None stands for no condition."""
    parts = [part for whole in (first, second) if whole is not None
             for part in (whole.parts if isinstance(whole, All) else (whole,))]  # fmt: skip
    return None if not parts else parts[0] if len(parts) == 1 else All(tuple(parts))


def renamed(predicate: Predicate, names: Mapping[str, str]) -> Predicate:
    """A predicate with other names of its columns."""
    match predicate:
        case Compare(column=column) | In(column=column) | IsNull(column=column):
            return replace(predicate, column=names[column])
        case Not(part=part):
            return Not(renamed(part, names))
        case All(parts=parts):
            return All(tuple(renamed(part, names) for part in parts))
        case AnyOf(parts=parts):
            return AnyOf(tuple(renamed(part, names) for part in parts))
        case _:
            assert_never(predicate)


def worded(predicate: Predicate) -> str:
    """A predicate in the words of the language, for people."""
    match predicate:
        case Compare(column=column, op=op, value=value):
            return f"{column} {op} {_said(value)}"
        case In(column=column, values=several, negated=negated):
            return f"{column} {'NOT ' if negated else ''}IN ({', '.join(map(_said, several))})"
        case IsNull(column=column, negated=negated):
            return f"{column} IS {'NOT ' if negated else ''}NULL"
        case Not(part=part):
            return f"NOT ({worded(part)})"
        case All(parts=parts):
            return " AND ".join(f"({worded(p)})" if isinstance(p, AnyOf) else worded(p) for p in parts)
        case AnyOf(parts=parts):
            return " OR ".join(f"({worded(p)})" if isinstance(p, All) else worded(p) for p in parts)
        case _:
            assert_never(predicate)


def quoted_text(text: str) -> str:
    """A text in single quotes, as the language writes it."""
    return "'" + text.replace("'", "''") + "'"


def _said(value: Value) -> str:
    """A literal: text in quotes, a date, a whole number, or a decimal without an exponent."""
    if isinstance(value, str):
        return quoted_text(value)
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if not isinstance(value, Fraction) or value.denominator == 1:
        return str(value)
    places = next(places for places in range(1, 42) if (value * 10**places).denominator == 1)
    whole = int(abs(value) * 10**places)
    return f"{'-' if value < 0 else ''}{whole // 10**places}.{whole % 10**places:0{places}d}"


def emit_where(predicate: Predicate | None) -> tuple[str, tuple[Value, ...]]:
    """Write a predicate as DuckDB SQL: quoted column names, a ``?`` for each value, values in order.

    No predicate gives ``TRUE``. Fractions (of decimal columns) are for the caller to turn into ``decimal.Decimal``.
    """
    if predicate is None:
        return "TRUE", ()
    values: list[Value] = []
    return _emit(predicate, values), tuple(values)


def _emit(predicate: Predicate, values: list[Value]) -> str:
    match predicate:
        case Compare(column=column, op=op, value=value):
            if op not in ("=", "<>", "<", "<=", ">", ">="):
                raise ValueError("not an operator of the language")
            values.append(value)
            return f"{_quoted(column)} {op} ?"
        case In(column=column, values=several, negated=negated):
            values.extend(several)
            return f"{_quoted(column)} {'NOT ' if negated else ''}IN ({', '.join('?' * len(several))})"
        case IsNull(column=column, negated=negated):
            return f"{_quoted(column)} IS {'NOT ' if negated else ''}NULL"
        case Not(part=part):
            return f"(NOT {_emit(part, values)})"
        case All(parts=parts):
            return f"({' AND '.join(_emit(part, values) for part in parts)})"
        case AnyOf(parts=parts):
            return f"({' OR '.join(_emit(part, values) for part in parts)})"
        case _:
            assert_never(predicate)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
