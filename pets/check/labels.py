"""The words of the checker: marks, grades, facts, the disclosure matrix, findings.

A *fact* says that a set of parties, putting together all they see, learns an item in some grade. The *matrix* is what
an approver reads of the facts: a row for every value, a column for every party and coalition, a mark in each cell. A
checker is any function ``judge(spec, query, cards) -> Verdict``; two of them are compared on ``Matrix`` alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple, NoReturn

from pets.check.budget import Loss
from pets.errors import LeakError
from pets.ids import PartyId


class Mark(StrEnum):
    """One cell. ``V H -`` are those of Pleak; our ``A`` is "aggregate only", not Pleak's "accessible"."""

    VISIBLE = "V"
    PROGRAM = "P"
    MATCHED = "M"
    AGGREGATE = "A"
    SIZE = "S"
    NOISED = "N"
    HELD = "H"
    NEVER = "-"

    @property
    def rank(self) -> int:
        """How much it tells: exact counts (S) more than noised ones; what is held but protected tells nothing."""
        return _RANK[self]

    @property
    def meaning(self) -> str:
        return _MEANING[self]


_RANK: Final = {mark: rank for rank, mark in enumerate("-HNSAMPV")}
_MEANING: Final = {
    "V": "visible: each record's value",
    "P": "as far as what an approved program releases tells, exactly: it may be a record's value",
    "M": "visible of each person who is in both datasets, and of nobody else",
    "A": "only inside exact sums",
    "S": "only a size or an exact count",
    "N": "only inside sums or counts with noise",
    "H": "held, but protected: shares, masks or tags that tell this party nothing",
    "-": "never there",
}


class Grade(StrEnum):
    """What kind of thing is learned (the words of the cards)."""

    RECORD = "record"
    MEMBERSHIP = "membership"
    COUNT = "count"
    MATCHED = "matched"
    PROGRAM = "program"
    AGGREGATE = "aggregate"
    NOISED = "noised"
    SIZE = "size"
    NONE = "none"

    @property
    def mark(self) -> Mark:
        return _MARK_OF[self]


_MARK_OF: Final = {
    "record": Mark.VISIBLE,
    "membership": Mark.VISIBLE,
    "count": Mark.SIZE,
    "matched": Mark.MATCHED,
    "program": Mark.PROGRAM,
    "aggregate": Mark.AGGREGATE,
    "noised": Mark.NOISED,
    "size": Mark.SIZE,
    "none": Mark.HELD,
}


class Item(NamedTuple):
    """A value that may be learned: a row of the matrix."""

    kind: str
    value: str


MEMBERSHIP: Final = Item("membership", "which persons are in both tables")
MATCHES: Final = Item("count", "number of matched rows")


def meetings(datasets: Sequence[str]) -> tuple[tuple[Item, Item], ...]:
    """For each table that is joined to the first: who is in both, and how many rows match."""
    first, *others = datasets
    if len(others) == 1:
        return ((MEMBERSHIP, MATCHES),)
    return tuple(
        (
            Item("membership", f"which persons are in both {first} and {other}"),
            Item("count", f"number of rows of {first} that match in {other}"),
        )
        for other in others
    )


def column(ref: object) -> Item:
    """A column, as ``dataset.name``."""
    return Item("column", str(ref))


def tags(dataset: str, key: str) -> Item:
    return Item("tags", f"{dataset}.{key} as tags")


def shared_ids(ref: str) -> Item:
    """Identifiers of a table of many holders, in shares."""
    return Item("tags", f"{ref} in shares")


def size(dataset: str) -> Item:
    return Item("size", f"greatest number of rows of {dataset}")


def exact(name: str) -> Item:
    return Item("exact sum", name)


def noised(name: str) -> Item:
    return Item("noised sum", name)


def protected(name: str) -> Item:
    """A sum as disclosure control lets it pass: of every cell the rounded or whole value, or that there is none."""
    return Item("protected sum", name)


def released(name: str) -> Item:
    return Item("released", name)


@dataclass(frozen=True, slots=True)
class Fact:
    """``learner`` together learn ``item`` in ``grade``."""

    learner: frozenset[PartyId]
    item: "Item"
    grade: Grade


@dataclass(frozen=True, slots=True)
class Coalition:
    """A column of the matrix: parties that put together all they see. ``beyond_model``: more than the card allows."""

    parties: tuple[PartyId, ...]
    beyond_model: bool = False

    @property
    def label(self) -> str:
        return "+".join(self.parties)


@dataclass(frozen=True, slots=True)
class Row:
    """A value and its mark for every column of the matrix. (``kind``, ``value``) is unique."""

    value: str
    kind: str
    cells: Mapping[str, Mark]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who learns what. ``columns``: each party alone, coalitions within the model, then those beyond it."""

    columns: tuple[Coalition, ...] = ()
    rows: tuple[Row, ...] = ()

    def mark(self, value: str, label: str, *, kind: str | None = None) -> Mark:
        """The mark of one cell; KeyError if there is no such row or column."""
        for row in self.rows:
            if row.value == value and kind in (None, row.kind):
                return row.cells[label]
        raise KeyError(value)

    def to_json(self) -> dict[str, object]:
        return {
            "marks": {mark.value: mark.meaning for mark in legend(self)},
            "columns": [
                {"label": c.label, "parties": list(c.parties), "beyond_model": c.beyond_model} for c in self.columns
            ],
            "rows": [
                {"value": r.value, "kind": r.kind, "cells": {c.label: r.cells[c.label].value for c in self.columns}}
                for r in self.rows
            ],
        }

    @property
    def text(self) -> str:
        """A table with numbered columns, which stays narrow; those beyond the model stand behind a bar."""
        if not self.columns:
            return ""
        width = max(len(f"{row.kind}  {row.value}") for row in self.rows)
        bar = next((i for i, column in enumerate(self.columns) if column.beyond_model), len(self.columns))

        def line(head: str, cells: list[str]) -> str:
            text = "  ".join(f"{cell:>2}" for cell in cells[:bar])
            more = "  ".join(f"{cell:>2}" for cell in cells[bar:])
            return f"{head:<{width}}  {text}" + (f"  |{more}" if more else "")

        lines = [
            f"{i:>2}  {c.label}{'  (beyond the model)' if c.beyond_model else ''}"
            for i, c in enumerate(self.columns, 1)
        ]
        lines += ["", line("", [str(i) for i in range(1, len(self.columns) + 1)])]
        lines += [
            line(f"{row.kind}  {row.value}", [row.cells[column.label].value for column in self.columns])
            for row in self.rows
        ]
        return "\n".join(lines) + "\n"

    def differences(self, other: "Matrix") -> tuple[str, ...]:
        """What is not the same in another matrix, one line each; empty if they are equal."""
        if self.columns != other.columns:
            return (
                f"columns: {', '.join(c.label for c in self.columns)} / {', '.join(c.label for c in other.columns)}",
            )
        mine, theirs = ({(r.kind, r.value): r.cells for r in m.rows} for m in (self, other))
        out = [f"{kind} {value}: only in one" for kind, value in sorted(mine.keys() ^ theirs.keys())]
        for row in sorted(mine.keys() & theirs.keys()):
            out += [
                f"{row[0]} {row[1]}, {column.label}: {mine[row][column.label]} / {theirs[row][column.label]}"
                for column in self.columns
                if mine[row][column.label] is not theirs[row][column.label]
            ]
        return tuple(out)


Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says. ``path``: the place in the specification, or the way from the refused output to its column.

    ``citation`` and ``standing`` are those of a legal rule: what it rests on, whether a competent person has signed it,
    and whose policy made it milder.
    """

    rule: str
    severity: Severity
    path: str
    message: str
    hint: str
    citation: str = ""
    standing: str = ""

    @property
    def grade(self) -> str:
        """The severity as it is shown: ``error``, ``error (unreviewed)``."""
        return f"{self.severity} ({self.standing})" if self.standing else self.severity

    @property
    def source(self) -> str:
        """The rule as a report names it, with what it rests on."""
        about = "; ".join(filter(None, (self.standing, self.citation)))
        return f"{self.rule}, {about}" if about else self.rule

    def to_json(self) -> dict[str, str]:
        """For ``--json``; the keys of a legal rule are there only for one."""
        more = {"citation": self.citation, "standing": self.standing}
        return {
            "rule": self.rule,
            "severity": self.severity,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
            **{key: text for key, text in more.items() if text},
        }

    @property
    def text(self) -> str:
        return f"{self.rule}: {self.message}\n  at {self.path}\n  {self.hint}\n"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a checker says of one specification. ``losses``: what one run charges to each dataset."""

    findings: tuple[Finding, ...]
    matrix: Matrix
    losses: Mapping[str, Loss] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def accepted(self) -> bool:
        return not self.errors

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict has no truth value: ask accepted, or call require()")

    def require(self) -> "Verdict":
        """Return self if nothing refuses. Raises: LeakError with the first refusal and the number of all."""
        if self.errors:
            first = self.errors[0]
            raise LeakError(
                "leak.refused", rule=first.rule, problem=first.message, advice=first.hint, refusals=len(self.errors)
            )
        return self


def legend(matrix: Matrix) -> tuple[Mark, ...]:
    """The marks that a reader of a matrix meets: all, but what only intersections or programs tell."""
    met = {mark for row in matrix.rows for mark in row.cells.values()}
    return tuple(mark for mark in Mark if mark not in (Mark.MATCHED, Mark.PROGRAM) or mark in met)


def strongest(marks: Iterable[Mark]) -> Mark:
    """The mark that tells most; NEVER of none."""
    return max(marks, key=lambda mark: mark.rank, default=Mark.NEVER)


def weakest(marks: Iterable[Mark]) -> Mark:
    """The mark that tells least. Raises: ValueError of none."""
    return min(marks, key=lambda mark: mark.rank)
