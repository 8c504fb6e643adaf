"""Streams on cards: what parties of one role send each other where the messages are a program's and no card lists them.

A message on a card has a count, and the gate lets nothing else out. What a program sends follows from its source, its
parameters and the number of parties, which a formula cannot say; running it on made-up data can. So a card says of a
stream what its frames are made of, and that public numbers bound them: the budget, which approvers sign.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pets.spec.formula import Formula, parse_formula


@dataclass(frozen=True, slots=True)
class Stream:
    """What each party of role ``among`` sends each other one: at most ``frames`` frames, of ``bytes`` bytes together.

    With ``to``, what each of them sends that role: exactly so many messages, of exactly so many bytes each.
    ``element``: what frames are made of, "share": elements of the program's prime fields, shares of a sharing of degree
    ``degree`` or, where products are shared anew, of its double.
    """

    label: str
    among: str
    element: str
    degree: Formula
    frames: Formula
    bytes: Formula
    to: str = ""


class StreamWritten(BaseModel):
    """A stream as a card's file has it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    label: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,15}$")]
    among: str
    element: Annotated[str, Field(pattern=r"^share$")]
    degree: str
    frames: str
    bytes: str
    to: str = ""


def parse_stream(written: StreamWritten) -> Stream:
    """Parse the formulas of a stream; SpecError card.formula."""
    return Stream(
        written.label,
        written.among,
        written.element,
        parse_formula(written.degree),
        parse_formula(written.frames),
        parse_formula(written.bytes),
        written.to,
    )


def fault(streams: tuple[Stream, ...], roles: Mapping[str, str], labels: set[str], known: set[str]) -> str | None:
    """What is wrong with the streams of a card; None if nothing is."""
    for stream in streams:
        if "many" not in roles.get(stream.among, "").split(", "):
            return f"{stream.among} is no role that many parties play"
        if stream.to and stream.to not in roles:
            return f"{stream.to} is not a role of the card"
        if stream.label in labels:
            return f"{stream.label} is the label of a message, or of another stream"
        labels = labels | {stream.label}
        for formula in (stream.degree, stream.frames, stream.bytes):
            if unknown := sorted(formula.names - known):
                return f"{unknown[0]} is no parameter of the card"
    return None
