"""The terms of one run of a program: who brings what, who receives what, and how much may be sent.

Nothing but plain values: the process of a program (party/mpyc_worker.py) reads them, and loads no more than it must.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pets.errors import SpecError
from pets.ids import PartyId

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

MAX_BOUND: Final = 2**53 - 1
"""Of ranges and parameters: what every reader of JSON keeps exactly (spec/canonical.py)."""

Number = int | tuple[int, ...]


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
    """``count`` numbers that ``receivers`` get, and nobody else; integers in units of 2^-fraction.

    ``client``: in the place of receivers, who takes no part and gets a fresh share of every number from each party.
    """

    name: str
    receivers: tuple[PartyId, ...]
    count: int
    fraction: int = 0
    client: str = ""


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

    def refused(self, path: str, problem: str) -> SpecError:
        advice = "write what the program declares: see protocols/mpyc_program/README.md"
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
            wide = max(-given.low, given.high) > MAX_BOUND
            yield path, wide, "has bounds beyond 2^53 - 1"
        for told in self.outputs:
            path = f"outputs.{told.name}"
            nobody = not told.receivers and not told.client
            yield path, nobody or not set(told.receivers) <= set(parties), "has receivers who take no part"
            both = bool(told.client) and (bool(told.receivers) or told.client in parties)
            yield path, both, "goes to a client that takes part, or beside one"
            yield path, len(set(told.receivers)) != len(told.receivers), "names a receiver twice"
            yield path, not 1 <= told.count <= MAX_OUTPUTS, f"has {told.count} numbers, not from 1 to {MAX_OUTPUTS}"
            yield path, not 0 <= told.fraction < self.bits, "has more places after the point than there are bits"
        yield "budget.frames", not 1 <= self.budget.frames <= MAX_FRAMES, f"is not from 1 to {MAX_FRAMES}"
        yield "budget.bytes", not 1 <= self.budget.bytes <= MAX_BYTES, f"is not from 1 to {MAX_BYTES}"
