"""Protocols of sums over one table of many holders: what each can do, who plays which role, and which one is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pets.ids import PartyId
from pets.spec.ir import INPUT
from pets.spec.model import Spec
from pets.spec.repeated import role_of

SUM: Final = "secure_sum"
SHAMIR: Final = "secure_sum_shamir"
CHECKED: Final = "checked_sum"
HELD: Final = "secure_sum_held"

RING_BITS: Final = 64
FIELD_BITS: Final = 60
"""Bits of a word that lanes may take: of the ring, and of the field of 2^61 - 1, with the sign."""


MOST_COMPUTING: Final = 16
"""Computing parties of any of them: what coalitions of more could put together takes too long to check."""


@dataclass(frozen=True, slots=True)
class Summing:
    """What a protocol can do.

    ``least``, ``most``: computing parties. ``bits``: of a word, for lanes;
    ``packed``: several numbers share a word, else each has its own.
    ``controlled``: its sums go on to disclosure control, else they get noise. ``checked``: holders prove ranges.
    ``threshold``: it withstands fewer than half, as many as the specification says; else all but one.
    """

    least: int
    most: int = MOST_COMPUTING
    bits: int = RING_BITS
    packed: bool = True
    controlled: bool = False
    checked: bool = False
    threshold: bool = False

    def withstands(self, computing: int) -> int:
        """How many of so many computing parties may put together what they have."""
        if self.controlled:
            return 1
        return (computing - 1) // 2 if self.threshold else computing - 1

    def roles(self, computing: int, corrupt: int) -> tuple[str, ...]:
        """The computing roles of the card, in its order."""
        if self.controlled:
            return ("first", "second", "third")
        if self.threshold:
            seeded = tuple(role_of("seeded", number) for number in range(corrupt))
            return (*seeded, *(role_of("given", number) for number in range(computing - corrupt)))
        return (*(role_of("server", number) for number in range(computing - 1)), "last")


POOLS: Final[Mapping[str, Summing]] = {
    SUM: Summing(2),
    SHAMIR: Summing(3, bits=FIELD_BITS, threshold=True),
    CHECKED: Summing(2, packed=False, checked=True),
    HELD: Summing(3, 3, packed=False, controlled=True),
}
"""Protocols of sums, by card; of those that fit a release the first is taken where none is named."""


def pool_of(spec: Spec) -> str:
    """The protocol that is named, or the first that gives what the release asks for."""
    if spec.security.protocol is not None:
        return spec.security.protocol
    controlled = spec.release.disclosure_control is not None
    return next(name for name, way in POOLS.items() if way.controlled == controlled)


def cast_of(spec: Spec, protocol: str) -> dict[str, PartyId]:
    """Who plays which role of the card: holders as inputs in the order of the specification, then who computes.

    Raises: ValueError if there are not as many computing parties as the protocol has roles.
    """
    (table,) = spec.datasets
    holders = {role_of(INPUT, number): party for number, party in enumerate(spec.holders(table.name))}
    computing = spec.computing
    roles = POOLS[protocol].roles(len(computing), spec.security.corrupt)
    return holders | dict(zip(roles, computing, strict=True))
