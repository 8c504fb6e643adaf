"""Programs for MPyC, tried on made-up data: `run_program`.

The same processes, codec and checks as between servers, with every party on this machine. What is missing is what keeps
organisations apart: certificates, approvals, and records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from pets.check import disclosure, programmed
from pets.errors import SpecError
from pets.ids import PartyId
from pets.party.mpyc_local import Played, play
from pets.spec.mpyc_program import BUILT_IN, Program, built_in
from pets.spec.mpyc_source import Source, check_source
from pets.spec.mpyc_terms import MOST, Input, Output, Terms

Numbers = Mapping[str, Mapping[str, Sequence[int]]]
"""By party and input, whole numbers."""


@dataclass(frozen=True, slots=True, repr=False)
class ProgramResult:
    """What a program gave on made-up data, and what it takes. ``outputs``: by name, what its receivers got.

    ``rounds``: how often everybody waits for everybody. ``frames``, ``bytes``: what a server sends another, at most.
    ``source``: SHA-256 of the program's text, which approvals name.
    """

    outputs: Mapping[str, tuple[Fraction, ...]]
    terms: Terms
    played: Played
    text: str
    program: Program | None = None

    @property
    def rounds(self) -> int:
        return self.played.rounds

    @property
    def frames(self) -> int:
        return max(frames for frames, _ in self.played.sent.values())

    @property
    def bytes(self) -> int:
        return max(size for _, size in self.played.sent.values())

    @property
    def source(self) -> str:
        return self.terms.source

    @property
    def budget(self) -> str:
        """What a specification says of it, as TOML: the digest of the text, and how much may be sent."""
        allowed = self.played.budget
        budget = f"budget = {{ frames = {allowed.frames}, bytes = {allowed.bytes}, rounds = {self.rounds} }}"
        return f'sha256 = "{self.source}"\n{budget}\n'

    def report(self) -> str:
        """What approvers would read of it, with the budget that it needs, as text."""
        terms = replace(self.terms, budget=self.played.budget)
        sections = programmed.sections(terms, self.text, program=self.program, rounds=self.rounds)
        return disclosure.render_sections(sections)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} = {_shown(values)}" for name, values in self.outputs.items())
        return (
            f"ProgramResult({told}; {self.rounds} rounds, {self.frames:,} frames and {self.bytes:,} bytes from each to "
            f"each; source {self.source[:12]}...)"
        )


def run_program(
    source: str | Path,
    *,
    inputs: Numbers,
    outputs: Mapping[str, int | tuple[int, int]] | None = None,
    receivers: Iterable[str] | None = None,
    parameters: Mapping[str, int | Iterable[int]] | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    bits: int = 64,
    deadline_s: float = 300.0,
) -> ProgramResult:
    """Run a program on made-up data, with all parties on this machine.

    ``source``:     the name of a program that comes with pets, a file's name, or the text itself.
    ``inputs``:     by party and input, whole numbers: three parties or more, all of whom compute. Never records.
    ``outputs``:    of a program of one's own, by name, how many numbers, or (how many, binary places).
    ``receivers``:  who gets every output; everybody if it is not said.
    ``ranges``:     by input, least and greatest number; those of the data if it is not said.
    ``bits``:       of a program of one's own, the width of its numbers.
    Raises: SpecError spec.program where the source says what it may not; RunError run.program where it fails.
    """
    parties = tuple(map(PartyId, inputs))
    told = tuple(map(PartyId, receivers if receivers is not None else parties))
    spans = {**_spans(inputs), **(ranges or {})}
    if (known := known_of(source)) is not None:
        holders = {name: [party for party in parties if name in inputs[party]] for name in spans}
        text = known.source
        terms = known.bind(parties=parties, receivers=told, ranges=spans, parameters=parameters, holders=holders)
    else:
        text = _own(source)
        terms = Terms(
            program="own",
            source=text.sha256,
            parties=parties,
            bits=bits,
            parameters={name: v if isinstance(v, int) else tuple(v) for name, v in (parameters or {}).items()},
            inputs=tuple(_input(name, parties, inputs, span) for name, span in spans.items()),
            outputs=tuple(
                Output(name, told, *(wanted if isinstance(wanted, tuple) else (wanted,)))
                for name, wanted in (outputs or {}).items()
            ),
            budget=MOST,
        )
    played = play(terms, text.text, {PartyId(p): own for p, own in inputs.items()}, deadline_s=deadline_s)
    found = {
        each.name: tuple(Fraction(value, 1 << each.fraction) for value in played.outputs[each.receivers[0]][each.name])
        for each in terms.outputs
    }
    return ProgramResult(found, terms, played, text.text, known)


def source_of(source: str | Path) -> Source:
    """The checked text of a program that comes along, of a file, or of a text of several lines. SpecError spec.*"""
    known = known_of(source)
    return _own(source) if known is None else known.source


def known_of(source: str | Path) -> Program | None:
    """The program that comes along under this name, if there is one."""
    return built_in(source) if isinstance(source, str) and source in BUILT_IN else None


def _own(source: str | Path) -> Source:
    if isinstance(source, str) and "\n" in source:
        return check_source(source.encode())
    path = Path(source)
    try:
        return check_source(path.read_bytes(), file=path.name)
    except OSError as error:
        problem = error.strerror or "no such file"
        raise SpecError("spec.unreadable", file=str(path), problem=problem) from None


def _spans(inputs: Numbers) -> dict[str, tuple[int, int]]:
    every: dict[str, list[int]] = {}
    for brought in inputs.values():
        for name, values in brought.items():
            every.setdefault(name, []).extend(values)
    return {name: (min(values), max(values)) for name, values in every.items() if values}


def _input(name: str, parties: tuple[PartyId, ...], inputs: Numbers, span: tuple[int, int]) -> Input:
    holders = tuple(party for party in parties if name in inputs[party])
    rows = max((len(inputs[party][name]) for party in holders), default=0)
    return Input(name, holders, rows, *span)


def _shown(values: tuple[Fraction, ...]) -> str:
    shown = [str(value) if value.denominator == 1 else f"{float(value):.6g}" for value in values]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
