"""Operations on cards: the messages of one step of a computation whose steps a plan puts together.

A protocol such as rep3 has no list of messages of its own: what is sent follows from which operations a plan runs, on
how many rows. Its card lists the messages of each operation instead, with counts as formulas in public numbers, and
``expanded`` gives the exact sequence: what the gate can hold a party to, and what the code is tested against.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from pets.spec.formula import Formula, parse_formula

RING: Final = 3
"""Parties of a protocol with operations; they are numbered, and the one after the last is the first."""

Who = Literal[
    "each to the one before",
    "each to the one after",
    "p0 to p1",
    "p0 and p1 to each other",
    "p1 and p2 to each other",
    "p2 and p0 to each other",
]

_PAIRS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "each to the one before": ((0, 2), (1, 0), (2, 1)),
    "each to the one after": ((0, 1), (1, 2), (2, 0)),
    "p0 to p1": ((0, 1),),
    "p0 and p1 to each other": ((0, 1), (1, 0)),
    "p1 and p2 to each other": ((1, 2), (2, 1)),
    "p2 and p0 to each other": ((2, 0), (0, 2)),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One message of an operation: words, ``count`` from each sender. A count of zero is no message."""

    label: str
    who: str
    count: Formula


@dataclass(frozen=True, slots=True)
class Use:
    """Another operation of the card, ``times`` times after each other."""

    operation: str
    times: Formula


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation sends, in order; ``learns`` says what is opened by it, or "nothing"."""

    name: str
    title: str
    learns: str
    rounds: Formula
    parts: tuple[Step | Use, ...]

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return (self.rounds, *(part.count if isinstance(part, Step) else part.times for part in self.parts))


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of an expanded operation: ``count`` words from party ``sender`` to party ``receiver``."""

    label: str
    sender: int
    receiver: int
    count: int


def steps(operations: Sequence[Operation], name: str, names: Mapping[str, int]) -> Iterator[tuple[Sent, ...]]:
    """The messages of an operation, those of one step together, under the card's public and derived numbers.

    Raises: KeyError if the card has no such operation.
    """
    by_name = {each.name: each for each in operations}
    for part in by_name[name].parts:
        if isinstance(part, Use):
            for _ in range(part.times.evaluate(names)):
                yield from steps(operations, part.operation, names)
        elif count := part.count.evaluate(names):
            yield tuple(Sent(part.label, sender, receiver, count) for sender, receiver in _PAIRS[part.who])


def expanded(operations: Sequence[Operation], name: str, names: Mapping[str, int]) -> Iterator[Sent]:
    """Every message of an operation, in order."""
    for step in steps(operations, name, names):
        yield from step


def labels(operations: Sequence[Operation]) -> tuple[str, ...]:
    """The labels of all messages in the order of the card: a message's number on the wire is its place, from 1."""
    own = (part.label for each in operations for part in each.parts if isinstance(part, Step))
    return tuple(dict.fromkeys(own))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StepWritten(_Strict):
    label: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    who: Who
    count: str


class UseWritten(_Strict):
    operation: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    times: str


class OperationWritten(_Strict):
    """An operation as a card file has it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    title: str
    learns: str
    rounds: str
    step: list[StepWritten | UseWritten] = Field(min_length=1)


def parse_operation(written: OperationWritten) -> Operation:
    """Parse the formulas. Raises: SpecError card.formula."""
    return Operation(
        written.name,
        written.title,
        written.learns,
        parse_formula(written.rounds),
        tuple(
            Step(each.label, each.who, parse_formula(each.count))
            if isinstance(each, StepWritten)
            else Use(each.operation, parse_formula(each.times))
            for each in written.step
        ),
    )


def fault(operations: Sequence[Operation], roles: Sequence[str]) -> str | None:
    """What is wrong with the operations of a card, if anything: names, order, roles."""
    if operations and list(roles) != [f"p{number}" for number in range(RING)]:
        return "operations are for three numbered parties"
    known: set[str] = set()
    for each in operations:
        if each.name in known:
            return f"two operations are called {each.name}"
        for part in each.parts:
            if isinstance(part, Use) and part.operation not in known:
                return f"operation {each.name} uses {part.operation}, which is not listed before it"
        known.add(each.name)
    return None
