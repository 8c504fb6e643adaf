"""What a session plays: one party's own part in a run of one kind of plan, and what the session hands it.

A session does what all runs have in common: hellos, run id, keys, the gate, the end. What is of one kind of plan is a
``Play``: what is prepared beside hellos, what happens before the first message, and the role.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pets.ids import PartyId, SpecDigest
from pets.kernels import prf
from pets.party import hello
from pets.party.attendance import Attendance
from pets.party.drive import Tick
from pets.protocols.base import Binding, Role

U64 = npt.NDArray[np.uint64]

Entropy = Callable[[int], bytes]
"""Gives that many fresh bytes of the operating system."""


@dataclass(frozen=True, slots=True, repr=False)
class Begun:
    """A run that its participants are about to do. ``keys``: families of keys with peers, by their name on the card."""

    tied: Binding
    keys: Mapping[str, prf.KeyFamily]

    def __repr__(self) -> str:
        return f"Begun({self.tied.run_id.hex()})"


class Play(Protocol):
    """A party's part. Methods are called once each, in this order, by the thread of the run; ``close`` always."""

    @property
    def upload(self) -> bytes:
        """The public key that uploads are sealed to, for the hello; empty if the run has none."""
        ...

    @property
    def found(self) -> U64 | None:
        """Identifiers, in words, that an intersection tells this party; None before the role has ended."""
        ...

    @property
    def contributors(self) -> Attendance | None:
        """Which holders' uploads are in a sum, and which not, once the role has ended; None where none are taken."""
        ...

    def agreed(self, cover: SpecDigest | None) -> hello.Agreed:
        """What this party is about to run, for its hello."""
        ...

    def ahead(self, tick: Tick) -> None:
        """Beside peers' hellos: draw noise, then read own rows. How long that takes, no peer can see."""
        ...

    def begin(self, begun: Begun, may_act: Callable[[], None]) -> None:
        """All have agreed and frames may come in; nothing has been sent. Return when the first message may leave.

        ``may_act``: waits until the run is counted and charged, and raises if it has been ended. A part that depends
        on that calls it; the others leave it to the driver, which calls it before every act.
        """
        ...

    @property
    def spared(self) -> frozenset[PartyId]:
        """Peers without any of whom the run goes on, as long as enough others are there."""
        ...

    def patience(self, deadline_s: float, turn: int) -> float:
        """How long a message of round ``turn`` may be waited for from now on.

        ``deadline_s``: how long in runs that wait for nothing but messages.
        """
        ...

    def role(self, begun: Begun) -> Role[None]:
        """This party's role."""
        ...

    def close(self) -> None:
        """The run is over, however it ended: drop everything."""
        ...
