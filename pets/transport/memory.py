"""The network of tests and notebooks: the same frames and mailboxes as over gRPC, inside one process.

Delivery is immediate and in the sender's thread, so one thread can play all parties in turn. What goes to a party that
has not opened its link waits. ``taps`` see every frame on its way and may drop, double, alter or cut it: hooks for
tests; ``record`` keeps a transcript.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pets.errors import LinkError, PeerError, PetsError
from pets.ids import RUN_ID_BYTES, PartyId
from pets.transport import frame
from pets.transport.link import Slot
from pets.transport.mailbox import Mailbox


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """One whole message of the transcript."""

    sender: PartyId
    to: PartyId
    slot: Slot
    body: bytes

    def __repr__(self) -> str:
        return f"Sent({self.sender} to {self.to}, M{self.slot.message}.{self.slot.column}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class Passing:
    """One frame on its way, as a tap sees it."""

    sender: PartyId
    to: PartyId
    head: frame.Head
    data: bytes


Tap = Callable[[Passing], Iterable[bytes]]
"""Returns the frames that go on instead; raises LinkError to cut the connection of the two parties."""


class MemoryNetwork:
    """Connects ``parties`` for one run."""

    def __init__(
        self, parties: Iterable[PartyId], run_id: bytes = bytes(RUN_ID_BYTES), *, record: bool = False
    ) -> None:
        self.run_id: Final = frame.check_run_id(run_id)
        self.parties: Final = tuple(parties)
        self.taps: Final[list[Tap]] = []
        self.transcript: Final[list[Sent]] = []
        self.record: Final = record
        self._lock = threading.RLock()
        self._links = {party: MemoryLink(self, party) for party in self.parties}

    def link(self, party: PartyId) -> "MemoryLink":
        """The one link of ``party``."""
        return self._links[party]

    def carry(self, sender: PartyId, to: PartyId, slot: Slot, body: memoryview) -> None:
        """Bring a message to ``to``, frame by frame, through the taps."""
        if self.record:
            with self._lock:
                self.transcript.append(Sent(sender, to, slot, bytes(body)))
        target = self._links[to]
        for data in frame.frames(self.run_id, slot, body):
            for passed in self._tapped(sender, to, data):
                target.deliver(sender, passed)

    def _tapped(self, sender: PartyId, to: PartyId, data: bytes) -> Iterator[bytes]:
        passing = [data]
        for tap in self.taps:
            try:
                passing = [out for one in passing for out in tap(Passing(sender, to, frame.read(one)[0], one))]
            except LinkError:
                self._links[to].mailbox.lose(sender, LinkError("link.cut", peer=sender))
                raise self._links[sender].mailbox.lose(to, LinkError("link.cut", peer=to)) from None
        return iter(passing)

    def ended(self, sender: PartyId, code: str) -> None:
        for party, link in self._links.items():
            if party != sender:
                link.mailbox.aborted(sender, code)


class MemoryLink:
    """The network as one party of a ``MemoryNetwork`` sees it: a ``pets.transport.link.Link``."""

    def __init__(self, network: MemoryNetwork, party: PartyId) -> None:
        self._network = network
        self._party = party
        self._lock = threading.RLock()
        self._early: list[tuple[PartyId, bytes]] = []
        self._open = False
        self._ended = False
        self.mailbox: Final = Mailbox(network.run_id, (p for p in network.parties if p != party))

    @property
    def error(self) -> PetsError | None:
        return self.mailbox.error

    def expect(self, peer: PartyId, slot: Slot, size: int) -> None:
        self.mailbox.expect(peer, slot, size)

    def expect_stream(self, peer: PartyId, first: Slot, *, most: int, total: int) -> None:
        self.mailbox.expect_stream(peer, first, most=most, total=total)

    def open(self) -> None:
        with self._lock:
            early, self._early, self._open = self._early, [], True
            for peer, data in early:
                self._put(peer, data)

    def deliver(self, peer: PartyId, data: bytes) -> None:
        with self._lock:
            if not self._open:
                self._early.append((peer, data))
                return
        self._put(peer, data)

    def _put(self, peer: PartyId, data: bytes) -> None:
        try:
            self.mailbox.put(peer, data)
        except PetsError as error:
            # the sender hears of it as over a network: when it next uses its link
            if error.code != "link.closed":
                reason = self.mailbox.root(error.code)
                mailbox = self._network.link(peer).mailbox
                mailbox.lose(self._party, PeerError("peer.aborted", peer=self._party, reason=reason))

    def send(self, peer: PartyId, slot: Slot, body: memoryview) -> None:
        self.open()
        if self.mailbox.error:
            raise self.mailbox.error
        try:
            if peer not in self.lost:
                self._network.carry(self._party, peer, slot, body)
        except LinkError:
            if peer not in self.lost:
                raise

    def receive(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview:
        self.open()
        return self.mailbox.receive(peer, slot, deadline_s)

    def spare(self, peers: Iterable[PartyId]) -> None:
        self.mailbox.spare(peers)

    @property
    def lost(self) -> frozenset[PartyId]:
        return self.mailbox.lost

    def lose(self, peer: PartyId, error: PetsError) -> None:
        self.mailbox.lose(peer, error)

    def hear(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview | None:
        self.open()
        return self.mailbox.hear(peer, slot, deadline_s)

    def receive_next(self, peer: PartyId, deadline_s: float) -> memoryview:
        self.open()
        return self.mailbox.receive_next(peer, deadline_s)

    def flush(self, deadline_s: float) -> None:
        if self.mailbox.error:
            raise self.mailbox.error

    def abort(self, code: str) -> None:
        if not self._ended:
            code = self.mailbox.root(code)
            self.close()
            self._network.ended(self._party, code)

    def close(self) -> None:
        self._ended = True
        self.mailbox.close()


# -- taps for tests ---------------------------------------------------------------------------------------------------


def on(sender: PartyId, to: PartyId, slot: Slot, act: Callable[[Passing], Iterable[bytes]]) -> Tap:
    """Apply ``act`` to the frames of one message and let the others pass."""

    def tap(passing: Passing) -> Iterable[bytes]:
        if (passing.sender, passing.to, passing.head.slot) == (sender, to, slot):
            return act(passing)
        return (passing.data,)

    return tap


def drop(passing: Passing) -> Iterable[bytes]:
    """Lose the frame: the receiver meets a gap or its deadline."""
    return ()


def duplicate(passing: Passing) -> Iterable[bytes]:
    """Deliver the frame twice."""
    return (passing.data, passing.data)


def corrupt(passing: Passing) -> Iterable[bytes]:
    """Flip the last bit of the body."""
    return (passing.data[:-1] + bytes([passing.data[-1] ^ 1]),)


def cut(passing: Passing) -> Iterable[bytes]:
    """Lose the connection."""
    raise LinkError("link.cut", peer=passing.to)


def stall(after: int) -> Callable[[Passing], Iterable[bytes]]:
    """Let ``after`` frames pass and hold back all later ones for ever."""
    return lambda passing: (passing.data,) if passing.head.index < after else ()
