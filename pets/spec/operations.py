"""Operations on cards: the messages of one step of a computation whose steps a plan puts together.

A protocol such as rep3 has no list of messages of its own: what is sent follows from which operations a plan runs, on
how many rows. Its card lists the messages of each operation instead, with counts as formulas in public numbers, and
``expanded`` gives the exact sequence: what the gate can hold a party to, and what the code is tested against.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, Protocol

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
    "each to the result",
]

_PAIRS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "each to the one before": ((0, 2), (1, 0), (2, 1)),
    "each to the one after": ((0, 1), (1, 2), (2, 0)),
    "p0 to p1": ((0, 1),),
    "p0 and p1 to each other": ((0, 1), (1, 0)),
    "p1 and p2 to each other": ((1, 2), (2, 1)),
    "p2 and p0 to each other": ((2, 0), (0, 2)),
    "each to the result": ((0, 3), (1, 3), (2, 3)),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One message of an operation: words, ``count`` from each sender. A count of zero is no message."""

    label: str
    who: str
    count: Formula


@dataclass(frozen=True, slots=True)
class Use:
    """Another operation, ``times`` times after each other.

    ``card``: the card that has it, "" for this one; ``using``: its public numbers as formulas in those of this card,
    which the operation of another card needs, and one of this card may do without: then they stay what they are.
    """

    operation: str
    times: Formula
    card: str = ""
    using: Mapping[str, Formula] = field(default_factory=dict)


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
        found = [self.rounds]
        for part in self.parts:
            found += [part.count] if isinstance(part, Step) else [part.times, *part.using.values()]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of an expanded operation: ``count`` words from party ``sender`` to party ``receiver``."""

    label: str
    sender: int
    receiver: int
    count: int


class Library(Protocol):
    """The cards whose operations others use: what one has, and all its numbers from its public ones."""

    def operations(self, card: str) -> Sequence[Operation]: ...
    def names(self, card: str, public: Mapping[str, int]) -> Mapping[str, int]: ...


def steps(
    operations: Sequence[Operation], name: str, names: Mapping[str, int], library: Library | None = None
) -> Iterator[tuple[Sent, ...]]:
    """The messages of an operation, those of one step together, under the card's public and derived numbers.

    Raises: KeyError if the card has no such operation; ValueError if it needs another card and there is no library.
    """
    by_name = {each.name: each for each in operations}
    for part in by_name[name].parts:
        if isinstance(part, Use):
            inner, numbers = _used(part, operations, names, library)
            for _ in range(part.times.evaluate(names)):
                yield from steps(inner, part.operation, numbers, library)
        elif count := part.count.evaluate(names):
            yield tuple(Sent(part.label, sender, receiver, count) for sender, receiver in _PAIRS[part.who])


def _used(
    part: Use, operations: Sequence[Operation], names: Mapping[str, int], library: Library | None
) -> tuple[Sequence[Operation], Mapping[str, int]]:
    """The operations among which a used one is found, and the numbers that it is used with."""
    public = {key: formula.evaluate(names) for key, formula in part.using.items()}
    if not part.card:
        return operations, {**names, **public}
    if library is None:
        raise ValueError(f"{part.operation} is an operation of {part.card}")
    return library.operations(part.card), library.names(part.card, public)


def expanded(
    operations: Sequence[Operation], name: str, names: Mapping[str, int], library: Library | None = None
) -> Iterator[Sent]:
    """Every message of an operation, in order."""
    for step in steps(operations, name, names, library):
        yield from step


def labels(operations: Sequence[Operation], library: Library | None = None) -> tuple[str, ...]:
    """The labels of all messages in the order of the card, then those of cards that it uses.

    A message's number on the wire is its place, from 1 where the operations stand alone.
    """
    own = [part.label for each in operations for part in each.parts if isinstance(part, Step)]
    used = dict.fromkeys(p.card for each in operations for p in each.parts if isinstance(p, Use) and p.card)
    for card in used:
        if library is None:
            raise ValueError(f"these operations use those of {card}")
        own += labels(library.operations(card), library)
    return tuple(dict.fromkeys(own))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StepWritten(_Strict):
    label: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    who: Who
    count: str


class UseWritten(_Strict):
    operation: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    times: str = "1"
    card: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = ""
    using: dict[str, str] = {}


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
            else Use(
                each.operation,
                parse_formula(each.times),
                each.card,
                {name: parse_formula(text) for name, text in each.using.items()},
            )
            for each in written.step
        ),
    )


def fault(operations: Sequence[Operation], roles: Sequence[str]) -> str | None:
    """What is wrong with the operations of a card, if anything: names, order, roles."""
    if operations and len(roles) not in (RING, RING + 1):
        return "operations are for three parties, and a result party after them"
    known: set[str] = set()
    for each in operations:
        if each.name in known:
            return f"two operations are called {each.name}"
        for part in each.parts:
            if isinstance(part, Use) and not part.card and part.operation not in known:
                return f"operation {each.name} uses {part.operation}, which is not listed before it"
            if isinstance(part, Step) and len(roles) == RING and part.who == "each to the result":
                return f"operation {each.name} shows something to a result party, which the card does not have"
        known.add(each.name)
    return None
