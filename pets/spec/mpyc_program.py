"""A program for MPyC as a promise: what it declares, and the terms of one run that approvers sign.

A program is two texts: its source (spec/mpyc_source.py), and a declaration that says what goes in, what comes out and
which numbers may be chosen. Terms are that, bound to parties: who brings which integers in which range, who receives
which numbers, and how much each server may tell each other one. Their digest covers the digest of the source, so a run
is of this program, with these parameters, for these receivers, and of nothing else.
"""

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
from pets.spec.mpyc_terms import MAX_BITS, MIN_BITS, MOST, Budget, Input, Number, Output, Terms

CARD: Final = "mpyc_program"
"""The card of all programs."""


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
        receivers: Iterable[str] = (),
        client: str = "",
        ranges: Mapping[str, tuple[int, int]],
        parameters: Mapping[str, int | Iterable[int]] | None = None,
        holders: Mapping[str, Iterable[str]] | None = None,
        budget: Budget = MOST,
    ) -> Terms:
        """The terms of a run of this program.

        ``ranges``: by input, the least and the greatest number. ``holders``: by input, who brings it; all parties if it
        is not said. ``receivers``: who gets every output; or ``client``, who takes no part and gets shares of it.
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
                    client,
                )
                for each in self.written.output
            ),
            budget=budget,
        )

    def rows_of(self, parameters: Mapping[str, int | Iterable[int]], parties: int) -> dict[str, int]:
        """By input, how many numbers each holder brings. Raises: SpecError spec.program-terms."""
        given = {name: value if isinstance(value, int) else tuple(value) for name, value in parameters.items()}
        numbers = self._numbers(given) | {"parties": parties}
        return {each.name: parse_formula(each.rows).evaluate(numbers) for each in self.written.input}

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


def terms_digest(terms: Terms) -> str:
    """SHA-256 of the canonical form of terms: what approvals cover, and what servers compare before a run."""
    return digest(terms)


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
