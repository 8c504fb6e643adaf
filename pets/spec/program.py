"""A program on a card: operations of another card, one after another, between the messages of its own.

A protocol that needs operations on shares does not list their messages again: its card names the operations, in order,
with formulas for how many rows each has, and which of its roles are their parties. What comes out is a shared value of
the card; ``part`` in a term is what the two holders of a family of keys have of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pets.spec import operations
from pets.spec.formula import Formula, parse_formula
from pets.spec.operations import RING, Operation, Sent


@dataclass(frozen=True, slots=True)
class Run:
    """One operation: ``n`` rows, keys or summands of ``bits`` bits. None of its messages is sent for no rows."""

    operation: str
    n: Formula
    bits: Formula
    more: Mapping[str, Formula] = field(default_factory=dict)
    """Other public numbers of the operation."""


@dataclass(frozen=True, slots=True)
class Program:
    """Operations of card ``card`` by roles ``parties``, after all messages of round ``after``; they make ``makes``.

    ``mark``: what their labels begin with in a run, so that they are no other program's.
    ``keys``: the families of the three pairs, the parties 0 and 2 first, then 0 and 1, then 1 and 2. ``takes``:
    messages whose content goes in: any two parties have two of three parts of it.
    """

    card: str
    parties: tuple[str, ...]
    keys: tuple[str, ...]
    after: int
    makes: str
    mark: str
    runs: tuple[Run, ...]
    takes: tuple[str, ...] = ()
    apart: bool = False
    """The cost of the card is that of its own messages; what the program sends comes on top."""

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return tuple(formula for run in self.runs for formula in (run.n, run.bits, *run.more.values()))


class Listing(Protocol):
    """The card that lists the operations: those, and all its numbers from its public ones."""

    @property
    def operations(self) -> tuple[Operation, ...]: ...
    def names(self, public: Mapping[str, int]) -> Mapping[str, int]: ...


def steps(program: Program, of: Listing, names: Mapping[str, int]) -> Iterator[tuple[Sent, ...]]:
    """Every step of a program under the numbers of the card that has it; parties are the program's, by number."""
    for run in program.runs:
        public = {"n": run.n.evaluate(names), "bits": run.bits.evaluate(names)}
        public |= {name: formula.evaluate(names) for name, formula in run.more.items()}
        for step in operations.steps(of.operations, run.operation, of.names(public)):
            yield tuple(replace(each, label=program.mark + each.label) for each in step)


def messages(program: Program, of: Listing, names: Mapping[str, int]) -> Iterator[tuple[Sent, int]]:
    """What a program sends in all, and in how many messages: by label and way, in the order of the first of each."""
    total: dict[tuple[str, int, int], tuple[Sent, int]] = {}
    for each in (each for step in steps(program, of, names) for each in step):
        key = (each.label, each.sender, each.receiver)
        before, times = total.get(key, (replace(each, count=0), 0))
        total[key] = replace(each, count=before.count + each.count), times + 1
    yield from total.values()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Run(_Strict):
    operation: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    n: str
    bits: str = "1"
    using: dict[str, str] = {}


class ProgramWritten(_Strict):
    """A program as a card file has it."""

    card: str
    parties: Annotated[list[str], Field(min_length=RING, max_length=RING)]
    keys: Annotated[list[str], Field(min_length=RING, max_length=RING)]
    after: Annotated[int, Field(ge=0)]
    makes: str
    mark: Annotated[str, Field(pattern=r"^[a-z]{1,4}$")]
    takes: list[str] = []
    apart: bool = False
    step: list[_Run] = Field(min_length=1)


def parse_program(written: ProgramWritten) -> Program:
    """Parse the formulas. Raises: SpecError card.formula."""
    return Program(
        written.card,
        tuple(written.parties),
        tuple(written.keys),
        written.after,
        written.makes,
        written.mark,
        tuple(
            Run(
                each.operation,
                parse_formula(each.n),
                parse_formula(each.bits),
                {name: parse_formula(text) for name, text in each.using.items()},
            )
            for each in written.step
        ),
        tuple(written.takes),
        written.apart,
    )


def fault(
    program: Program, roles: Sequence[str], holders: Mapping[str, Sequence[str]], shared: Sequence[str]
) -> str | None:
    """What is wrong with a program of a card, if anything: its roles, the holders of its keys, what it makes."""
    if wrong := sorted(set(program.parties) - set(roles)):
        return f"{wrong[0]} is not a role of the card"
    if len(set(program.parties)) != RING:
        return "one role plays two of its parties"
    for key, pair in zip(program.keys, ((2, 0), (0, 1), (1, 2)), strict=True):
        if set(holders.get(key, ())) != {program.parties[number] for number in pair}:
            return f"{key} is not held by parties {min(pair)} and {max(pair)} alone"
    if program.makes not in shared:
        return f"makes {program.makes}, which is no shared value of the card"
    return None
