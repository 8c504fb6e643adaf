"""A program for MPyC as a promise: what it declares, and the terms of one run that approvers sign.

A program is two texts: its source (spec/mpyc_source.py), and a declaration that says what goes in, what comes out and
which numbers may be chosen. Terms are that, bound to parties: who brings which integers in which range, who receives
which numbers, and how much each server may tell each other one. Their digest covers the digest of the source, so a run
is of this program, with these parameters, for these receivers, and of nothing else.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pets.errors import SpecError
from pets.ids import PartyId
from pets.spec.canonical import MAX_INTEGER, digest
from pets.spec.cards import cards_folder
from pets.spec.formula import parse_formula
from pets.spec.mpyc_source import Source, check_source

CARD: Final = "mpyc_program"
"""The card of all programs."""

MIN_PARTIES, MAX_PARTIES = 3, 9
"""Shamir's sharing needs an honest majority; keys for shared randomness grow with the number of majorities."""

MIN_BITS, MAX_BITS = 8, 160

SECURITY: Final = 40
"""Bits: an opened masked value tells a coalition of at most ``threshold`` parties no more than 2^-40 of it."""

MAX_ROWS: Final = 10_000
MAX_OUTPUTS: Final = 10_000
MAX_FRAMES: Final = 10_000_000
MAX_FRAME_BYTES: Final = 1 << 26
MAX_BYTES: Final = 1 << 34

Number = int | tuple[int, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


_Whole = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]


class _Parameter(_Strict):
    says: str
    low: _Whole
    high: _Whole
    several: bool = False
    """Whether it is a list of numbers, one or more, each within the range."""


class _Input(_Strict):
    name: _Name
    says: str
    rows: str
    """How many numbers each holder brings, as a formula in the parameters and ``parties``."""
    low: _Whole = -MAX_INTEGER
    high: _Whole = MAX_INTEGER
    """The widest range that the program is right for."""


class _Output(_Strict):
    name: _Name
    says: str
    count: str
    fraction: Annotated[int, Field(ge=0, le=MAX_BITS // 2)] = 0
    """Binary places after the point; 0 for whole numbers."""


class _Written(_Strict):
    program: Literal[1]
    id: _Name
    version: str
    title: str
    source: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}\.py$")]
    functionality: str
    bits: Annotated[int, Field(ge=MIN_BITS, le=MAX_BITS)]
    parameters: dict[_Name, _Parameter] = {}
    input: list[_Input] = Field(min_length=1)
    output: list[_Output] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Input:
    """Integers that each of ``holders`` brings: ``rows`` of them, in [low, high]."""

    name: str
    holders: tuple[PartyId, ...]
    rows: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Output:
    """``count`` numbers that ``receivers`` get, and nobody else; integers in units of 2^-fraction."""

    name: str
    receivers: tuple[PartyId, ...]
    count: int
    fraction: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What one server may send one other in a run: frames, and bytes of their payloads."""

    frames: int
    bytes: int


MOST: Final = Budget(MAX_FRAMES, MAX_BYTES)
"""For made-up data: how a program's own budget is found."""


@dataclass(frozen=True)
class Terms:
    """One program, bound to a run. Valid by construction: SpecError spec.program-terms says what is not.

    ``source``: SHA-256 of the source; ``bits``: width of the integers that are computed with, the sign included.
    """

    program: str
    source: str
    parties: tuple[PartyId, ...]
    bits: int
    parameters: Mapping[str, Number]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    budget: Budget

    def __post_init__(self) -> None:
        for path, wrong, problem in self._faults():
            if wrong:
                raise self.refused(path, problem)

    @property
    def threshold(self) -> int:
        """How many parties may put together what they see and learn nothing but their outputs: less than half."""
        return (len(self.parties) - 1) // 2

    @property
    def sec_param(self) -> int:
        """MPyC's ``sec_param``: SECURITY, and what its masks are narrower by.

        A mask is a sum of one part for each majority of the parties, and a coalition knows all but one of them; parts
        are as wide as the mask divided by their number, rounded down to a power of two (mpyc 0.11, runtime._randoms).
        """
        return SECURITY + 1 + (math.comb(len(self.parties), self.threshold) - 1).bit_length()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form: what is compared before a run, and what approvals cover."""
        return digest(self)

    def refused(self, path: str, problem: str) -> SpecError:
        advice = "write what the program declares: see its page, and docs/guide-for-analysts.md"
        return SpecError("spec.program-terms", program=self.program, path=path, problem=problem, advice=advice)

    def _faults(self) -> Iterable[tuple[str, bool, str]]:
        parties, half = self.parties, 1 << (self.bits - 1)
        some = f"from {MIN_PARTIES} to {MAX_PARTIES}"
        yield "parties", not MIN_PARTIES <= len(parties) <= MAX_PARTIES, f"are {len(parties)} parties, not {some}"
        yield "parties", len(set(parties)) != len(parties), "names a party twice"
        yield "bits", not MIN_BITS <= self.bits <= MAX_BITS, f"is {self.bits}, not from {MIN_BITS} to {MAX_BITS}"
        for kind, names in (("inputs", [i.name for i in self.inputs]), ("outputs", [o.name for o in self.outputs])):
            yield kind, not names, "are none"
            yield kind, len(set(names)) != len(names), "have one name twice"
        for given in self.inputs:
            path = f"inputs.{given.name}"
            yield path, not given.holders or not set(given.holders) <= set(parties), "has holders who take no part"
            yield path, len(set(given.holders)) != len(given.holders), "names a holder twice"
            yield path, not 1 <= given.rows <= MAX_ROWS, f"has {given.rows} rows, not from 1 to {MAX_ROWS}"
            yield path, given.low > given.high, "has a range that ends before it begins"
            yield path, not -half <= given.low <= given.high < half, f"leaves the range of {self.bits} bits"
            wide = max(-given.low, given.high) > MAX_INTEGER
            yield path, wide, "has bounds beyond 2^53 - 1"
        for told in self.outputs:
            path = f"outputs.{told.name}"
            yield path, not told.receivers or not set(told.receivers) <= set(parties), "has receivers who take no part"
            yield path, len(set(told.receivers)) != len(told.receivers), "names a receiver twice"
            yield path, not 1 <= told.count <= MAX_OUTPUTS, f"has {told.count} numbers, not from 1 to {MAX_OUTPUTS}"
            yield path, not 0 <= told.fraction < self.bits, "has more places after the point than there are bits"
        yield "budget.frames", not 1 <= self.budget.frames <= MAX_FRAMES, f"is not from 1 to {MAX_FRAMES}"
        yield "budget.bytes", not 1 <= self.budget.bytes <= MAX_BYTES, f"is not from 1 to {MAX_BYTES}"


@dataclass(frozen=True)
class Program:
    """A program that was read and checked: its source, and what it declares."""

    source: Source
    written: _Written

    @property
    def id(self) -> str:
        return self.written.id

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the declaration and the digest of the source, in canonical form."""
        return digest({"declared": self.written, "source": self.source.sha256})

    def bind(
        self,
        *,
        parties: Iterable[str],
        receivers: Iterable[str],
        ranges: Mapping[str, tuple[int, int]],
        parameters: Mapping[str, int | Iterable[int]] | None = None,
        holders: Mapping[str, Iterable[str]] | None = None,
        budget: Budget = MOST,
    ) -> Terms:
        """The terms of a run of this program.

        ``ranges``: by input, the least and the greatest number. ``holders``: by input, who brings it; all parties if it
        is not said. ``receivers``: who gets every output.
        Raises: SpecError spec.program-terms.
        """
        everyone = tuple(map(PartyId, parties))
        given = {name: value if isinstance(value, int) else tuple(value) for name, value in (parameters or {}).items()}
        numbers = self._numbers(given) | {"parties": len(everyone)}
        brought = {name: tuple(map(PartyId, each)) for name, each in (holders or {}).items()}
        if unknown := sorted((set(ranges) | set(brought)) - {each.name for each in self.written.input}):
            raise self._refused(f"inputs.{unknown[0]}", "is no input of the program")
        if missing := sorted({each.name for each in self.written.input} - set(ranges)):
            raise self._refused(f"inputs.{missing[0]}", "has no range")
        for each in self.written.input:
            if not each.low <= ranges[each.name][0] <= ranges[each.name][1] <= each.high:
                raise self._refused(f"inputs.{each.name}", f"has a range that is not within {each.low} and {each.high}")
        return Terms(
            program=self.id,
            source=self.source.sha256,
            parties=everyone,
            bits=self.written.bits,
            parameters=given,
            inputs=tuple(
                Input(
                    each.name,
                    brought.get(each.name, everyone),
                    parse_formula(each.rows).evaluate(numbers),
                    *ranges[each.name],
                )
                for each in self.written.input
            ),
            outputs=tuple(
                Output(
                    each.name,
                    tuple(map(PartyId, receivers)),
                    parse_formula(each.count).evaluate(numbers),
                    each.fraction,
                )
                for each in self.written.output
            ),
            budget=budget,
        )

    def _numbers(self, given: Mapping[str, Number]) -> dict[str, int]:
        """Parameters as formulas name them: a list by its length."""
        declared = self.written.parameters
        if wrong := sorted(set(given) ^ set(declared)):
            raise self._refused(f"parameters.{wrong[0]}", "is missing" if wrong[0] in declared else "is not declared")
        for name, value in given.items():
            low, high, several = declared[name].low, declared[name].high, declared[name].several
            if several != isinstance(value, tuple) or value == ():
                raise self._refused(f"parameters.{name}", "is a list of numbers" if several else "is one number")
            if not all(type(each) is int and low <= each <= high for each in ((value,) if not several else value)):  # type: ignore[union-attr]
                raise self._refused(f"parameters.{name}", f"is not within {low} and {high}")
        return {name: len(value) if isinstance(value, tuple) else value for name, value in given.items()}

    def _refused(self, path: str, problem: str) -> SpecError:
        advice = f"the program declares: {', '.join([*self.written.parameters, *(i.name for i in self.written.input)])}"
        return SpecError("spec.program-terms", program=self.id, path=path, problem=problem, advice=advice)


def read_program(declaration: bytes, source: bytes, *, file: str = "program.toml") -> Program:
    """Read a program from its two texts.

    Raises: SpecError spec.toml, spec.field, spec.program: with the place of what is wrong.
    """
    try:
        written = _Written.model_validate(tomllib.loads(declaration.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError("spec.toml", file=file, problem=str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        advice = "see protocols/mpyc_program/README.md, what a declaration says"
        raise SpecError("spec.field", path=f"{file}: {path}", problem=first["msg"], advice=advice) from None
    known = set(written.parameters) | {"parties"}
    formulas = [(f"input.{each.name}.rows", each.rows) for each in written.input]
    formulas += [(f"output.{each.name}.count", each.count) for each in written.output]
    for place, text in formulas:
        if unknown := sorted(parse_formula(text).names - known):
            problem = f"{unknown[0]} is no parameter of the program"
            raise SpecError("spec.field", path=f"{file}: {place}", problem=problem, advice="declare it, or mend it")
    return Program(check_source(source, file=written.source), written)


def programs_folder() -> Path:
    """Where the programs are that come with this installation."""
    return cards_folder() / CARD / "programs"


def built_in(name: str) -> Program:
    """A program that comes with this installation. Raises: SpecError spec.program-terms if there is none of the name.

    What is on the list below is all there is: a file that lies beside them is none of them.
    """
    if name not in BUILT_IN:
        raise SpecError(
            "spec.program-terms",
            program=name,
            path="program",
            problem="does not come with this installation",
            advice=f"name one of {', '.join(BUILT_IN)}, or bring its source",
        )
    folder = programs_folder()
    declaration = (folder / f"{name}.toml").read_bytes()
    return read_program(declaration, (folder / f"{name}.py").read_bytes(), file=f"{name}.toml")


BUILT_IN: Final = ("quantiles", "secure_maximum", "survival_test")
"""Programs that come with this installation, and that a specification may name."""
