"""What a session needs of a network: opaque buffers to and from named parties, by message number.

Who sent a buffer is what the certificate of the connection says, never what the buffer says. A link belongs to one run
at one party. Sizes are given by the receiver, from the plan, before anything is allocated.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from pets.errors import PetsError
from pets.ids import PartyId

MOST_NUMBERED: Final = 0xFFFF
"""The greatest number of a message, and of a column, that a header holds."""


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A place in the plan's message list: message number of the card (1, 2, ...) and column."""

    message: int
    column: int

    def __str__(self) -> str:
        return f"message {self.message}, column {self.column}"

    @property
    def following(self) -> "Slot | None":
        """The next place: columns of one message first. None after the last."""
        if self.column < MOST_NUMBERED:
            return Slot(self.message, self.column + 1)
        return Slot(self.message + 1, 0) if self.message < MOST_NUMBERED else None


class Link(Protocol):
    """The network of one run as one party sees it. All methods raise LinkError or PeerError."""

    @property
    def error(self) -> PetsError | None:
        """Why the run has ended here, or None: the first fault that was met, whoever has heard of it since."""
        ...

    def send(self, peer: PartyId, slot: Slot, body: memoryview) -> None:
        """Queue ``body`` for ``peer``; returns at once, back-pressure excepted. The buffer must not change after."""
        ...

    def expect(self, peer: PartyId, slot: Slot, size: int) -> None:
        """Allow ``peer`` to deliver exactly ``size`` bytes for ``slot``, once, after what it was allowed before.

        Anything not allowed ends the run.
        """
        ...

    def expect_stream(self, peer: PartyId, first: Slot, *, most: int, total: int) -> None:
        """Allow ``peer`` to deliver, after what it was allowed before, messages whose sizes it chooses.

        They are numbered on from ``first``, without a gap; each has at most ``most`` bytes, all together at most
        ``total``. An empty one ends the stream. For programs, whose messages no card can list.
        """
        ...

    def open(self) -> None:
        """Let the peers in: every ``expect`` has been said. Idempotent; the first send or receive opens too.

        Open as soon as the run id is known, before any long work: a peer that is faster waits only 2 s.
        """
        ...

    def receive(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview:
        """Wait for the whole body of an expected slot."""
        ...

    def spare(self, peers: Iterable[PartyId]) -> None:
        """Let the run go on without any of these peers: one that breaks off, or breaks the protocol, is lost.

        What a lost peer sends is refused, what is sent to it is dropped. A peer that says that a run was stopped, or
        that its approval has ended, still ends the run.
        """
        ...

    @property
    def lost(self) -> frozenset[PartyId]:
        """The spared peers that are lost. None of them comes back."""
        ...

    def lose(self, peer: PartyId, error: PetsError) -> None:
        """Give a peer up for ``error``; if the run cannot do without it, the run ends here."""
        ...

    def hear(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview | None:
        """As ``receive``, but of a spared peer that is lost, or sends nothing by then, None: it is lost then."""
        ...

    def receive_next(self, peer: PartyId, deadline_s: float) -> memoryview:
        """Wait for the next whole body of a peer's stream; empty at its end."""
        ...

    def flush(self, deadline_s: float) -> None:
        """Wait until everything queued has been taken by the peers."""
        ...

    def abort(self, code: str) -> None:
        """Tell the peers that the run has ended, with a public code; drop all buffers. Idempotent."""
        ...

    def close(self) -> None:
        """Drop all buffers without telling anyone."""
        ...


Progress = Callable[[str, int], None]
"""Called with a step's name and the bytes it moved."""
