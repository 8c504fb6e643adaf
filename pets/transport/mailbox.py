"""Where a run's messages wait at one party: what is expected may come in once and in order, all else ends the run.

Pure of networks: the in-memory carriage and gRPC put frames in, the session takes whole bodies out. Nothing is
allocated before the first chunk of an expected message of exactly the expected size is in hand, so memory is bounded by
the plan, whatever the peers do. The first failure wins, reaches every waiting thread, and is final (protocols.md 0.10).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from pets.errors import InternalError, LinkError, PeerError, PetsError
from pets.ids import PartyId
from pets.transport import frame
from pets.transport.link import Slot

RUN_WAIT_S: Final = 10.0
"""How long a call for a run that is not open here may wait, because its caller may be the faster one."""

MAX_WAITERS: Final = 32
"""How many calls may wait for runs at one time, over all peers; more are refused at once."""

WAITERS_OF_ONE: Final = 8
"""How many of them may be of one peer."""

MAX_ENDED: Final = 64
"""How many runs that peers ended before they opened here are remembered."""

ENDED_BY_ONE: Final = 16
"""How many of them may one peer have ended."""


@dataclass(slots=True)
class _Parcel:
    """One expected message: its size, and once its first chunk came its buffer and the next chunk index."""

    size: int
    body: memoryview | None = None
    next: int = 0
    taken: bool = False

    @property
    def complete(self) -> bool:
        return self.next == frame.chunks(self.size)


@dataclass(slots=True)
class _Stream:
    """Messages of one peer whose sizes it chooses: the place of the next, what is left of its bytes, what has come."""

    first: Slot
    next: Slot | None
    most: int
    left: int
    total: int
    ready: deque[memoryview]


class Mailbox:
    """Incoming messages of one run at one party, from ``peers`` alone. Safe for threads."""

    def __init__(self, run_id: bytes, peers: Iterable[PartyId]) -> None:
        self.run_id: Final = frame.check_run_id(run_id)
        self.peers: Final = frozenset(peers)
        self._parcels: dict[tuple[PartyId, Slot], _Parcel] = {}
        self._due: dict[PartyId, deque[Slot]] = {peer: deque() for peer in self.peers}
        self._streams: dict[PartyId, _Stream] = {}
        self._changed = threading.Condition()
        self._error: PetsError | None = None
        self._listeners: list[Callable[[PetsError], None]] = []
        self._spared: frozenset[PartyId] = frozenset()
        self._lost: dict[PartyId, PetsError] = {}
        self.received: Final[dict[PartyId, int]] = dict.fromkeys(sorted(self.peers), 0)
        """Bytes of body that arrived, by peer."""

    @property
    def error(self) -> PetsError | None:
        """Why the run has ended here, or None."""
        return self._error

    def root(self, code: str) -> str:
        """The code to pass on when this party ends the run for ``code``: the first cause, not the news of it."""
        known = self._error
        return str(known.fields["reason"]) if known and code == known.code == "peer.aborted" else code

    def expect(self, peer: PartyId, slot: Slot, size: int) -> None:
        """Allow ``peer`` to send exactly ``size`` bytes for ``slot``, once, after all it was allowed to send before."""
        if peer not in self.peers or size < 0 or (peer, slot) in self._parcels:
            raise InternalError(
                "internal.bug", where=f"expect {slot} of {peer}: unknown peer, bad size or expected twice"
            )
        with self._changed:
            self._parcels[peer, slot] = _Parcel(size)
            self._due[peer].append(slot)

    def expect_stream(self, peer: PartyId, first: Slot, *, most: int, total: int) -> None:
        """Allow ``peer``, after all that, messages on from ``first`` of sizes that it chooses, until an empty one."""
        if peer not in self.peers or most < 1 or total < 0 or peer in self._streams:
            raise InternalError("internal.bug", where=f"a stream of {peer}: unknown peer, bad size or expected twice")
        with self._changed:
            self._streams[peer] = _Stream(first, first, most, total, total, deque())

    def put(self, peer: PartyId, data: bytes) -> tuple[Slot, bool]:
        """Take one frame from ``peer``, who is authenticated; copies its body to where it belongs.

        Returns: the message it belongs to, and whether that is complete now.
        Raises:  PeerError peer.frame, peer.other-run, peer.unexpected, peer.bad-length, peer.repeated, peer.gap,
                 peer.order; the run has then ended here too. The run's own error if it ended before.
        """
        try:
            return self._put(peer, data)
        except PeerError as error:
            raise self.lose(peer, PeerError(error.code, **{**error.fields, "peer": peer})) from None

    def _put(self, peer: PartyId, data: bytes) -> tuple[Slot, bool]:
        head, body = frame.read(data)
        where = head.slot
        with self._changed:
            if self._error:
                raise self._error
            if peer in self._lost:
                raise LinkError("link.no-run")
            if head.run_id != self.run_id:
                raise PeerError("peer.other-run")
            parcel = self._parcels.get((peer, head.slot)) or self._of_stream(peer, head)
            if parcel is None:
                raise PeerError("peer.unexpected", message=where)
            if head.total != parcel.size:
                raise PeerError("peer.bad-length", message=where, got=head.total, expected=parcel.size)
            if head.index < parcel.next:
                raise PeerError("peer.repeated", message=where)
            if head.index > parcel.next:
                raise PeerError("peer.gap", message=where, got=head.index, expected=parcel.next)
            if self._due[peer][0] != head.slot:
                raise PeerError("peer.order", message=where, due=self._due[peer][0])
            if parcel.body is None:
                parcel.body = np.empty(parcel.size, np.uint8).data
            target = parcel.body
        start, stop = head.span
        target[start:stop] = body  # outside the lock: chunks of one message come from one stream, in order
        with self._changed:
            if peer in self._lost:
                raise LinkError("link.no-run")
            if parcel.next != head.index:  # the same chunk on two streams at once
                raise PeerError("peer.repeated", message=where)
            parcel.next += 1
            self.received[peer] += stop - start
            if parcel.complete:
                self._due[peer].popleft()
                self._file(peer, head.slot, parcel)
                self._changed.notify_all()
            return head.slot, parcel.complete

    def _of_stream(self, peer: PartyId, head: frame.Head) -> _Parcel | None:
        """With the lock: room for the next message of a stream, as its first chunk says it; None if it is of none."""
        stream = self._streams.get(peer)
        if stream is None or stream.next is None or not stream.first <= head.slot <= stream.next:
            return None
        if head.slot < stream.next:
            raise PeerError("peer.repeated", message=head.slot)
        if self._due[peer]:
            raise PeerError("peer.order", message=head.slot, due=self._due[peer][0])
        if head.total > stream.most:
            raise PeerError("peer.bad-length", message=head.slot, got=head.total, expected=f"at most {stream.most}")
        if head.total > stream.left:
            raise PeerError("peer.budget", limit=stream.total)
        if head.index:
            raise PeerError("peer.gap", message=head.slot, got=head.index, expected=0)
        stream.left -= head.total
        parcel = self._parcels[peer, head.slot] = _Parcel(head.total)
        self._due[peer].append(head.slot)
        return parcel

    def _file(self, peer: PartyId, slot: Slot, parcel: _Parcel) -> None:
        """With the lock: a message is whole. If it is of a stream it waits in its order, and the next may come."""
        stream = self._streams.get(peer)
        if stream is None or slot != stream.next or parcel.body is None:
            return
        stream.ready.append(parcel.body)
        stream.next = slot.following if parcel.size else None
        del self._parcels[peer, slot]

    def receive_next(self, peer: PartyId, deadline_s: float) -> memoryview:
        """Wait for the next whole message of a stream and hand it over; an empty one is the last."""
        with self._changed:
            stream = self._streams.get(peer)
            if stream is None:
                raise InternalError("internal.bug", where=f"receive from {peer}, of whom no stream is expected")
            self._changed.wait_for(lambda: self._error is not None or bool(stream.ready), deadline_s)
            if self._error:
                raise self._error
            if not stream.ready:
                raise self._fail(LinkError("link.deadline", peer=peer, seconds=deadline_s, step="the program's frames"))
            return stream.ready.popleft()

    def receive(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview:
        """Wait for the whole body of an expected slot and hand it over; the mailbox keeps nothing of it."""
        with self._changed:
            parcel = self._parcels.get((peer, slot))
            if parcel is None or parcel.taken:
                raise InternalError("internal.bug", where=f"receive {slot} of {peer}: not expected or taken before")
            self._changed.wait_for(lambda: self._error is not None or parcel.complete, deadline_s)
            if self._error:
                raise self._error
            if not parcel.complete or parcel.body is None:
                error = LinkError("link.deadline", peer=peer, seconds=deadline_s, step=slot)
                raise self._fail(error)
            body, parcel.body, parcel.taken = parcel.body, None, True
            return body

    def hear(self, peer: PartyId, slot: Slot, deadline_s: float) -> memoryview | None:
        """The same, but None of a spared peer that is lost, or is lost now because nothing came."""
        with self._changed:
            parcel = self._parcels.get((peer, slot))
            if peer not in self._spared or parcel is None or parcel.taken:
                return self.receive(peer, slot, deadline_s)
            self._changed.wait_for(lambda: self._error is not None or parcel.complete or peer in self._lost, deadline_s)
            if self._error:
                raise self._error
            if peer in self._lost or not parcel.complete or parcel.body is None:
                self._lose(peer, LinkError("link.deadline", peer=peer, seconds=deadline_s, step=slot))
                return None
            body, parcel.body, parcel.taken = parcel.body, None, True
            return body

    def spare(self, peers: Iterable[PartyId]) -> None:
        """Let the run go on without any of these peers."""
        with self._changed:
            self._spared |= frozenset(peers) & self.peers

    @property
    def lost(self) -> frozenset[PartyId]:
        """The peers that are lost."""
        return frozenset(self._lost)

    def lose(self, peer: PartyId, error: PetsError) -> PetsError:
        """``peer`` is lost for ``error``; if it was not spared, the run ends here. Returns: the error that counts."""
        with self._changed:
            return self._lose(peer, error)

    def _lose(self, peer: PartyId, error: PetsError) -> PetsError:
        if peer not in self._spared:
            return self._fail(error)
        if peer not in self._lost:
            self._lost[peer] = error
            for key in [key for key in self._parcels if key[0] == peer]:
                self._parcels[key].body = None
            self._changed.notify_all()
        return self._error or error

    def aborted(self, peer: PartyId, code: str) -> None:
        """``peer`` has ended the run, for ``code``: for itself alone if it is spared and nobody meant to stop it."""
        error = PeerError("peer.aborted", peer=peer, reason=code)
        if ends_all(code):
            self.fail(error)
        else:
            self.lose(peer, error)

    def fail(self, error: PetsError) -> PetsError:
        """End the run here for ``error``, unless it ended before; returns the error that counts."""
        with self._changed:
            return self._fail(error)

    def _fail(self, error: PetsError) -> PetsError:
        if self._error is not None:
            return self._error
        self._error = error
        self._parcels = {key: _Parcel(p.size, taken=p.taken) for key, p in self._parcels.items()}  # drop all buffers
        for stream in self._streams.values():
            stream.ready.clear()
        self._changed.notify_all()
        for listener in self._listeners:
            listener(error)
        return error

    def on_fail(self, listener: Callable[[PetsError], None]) -> Callable[[], None]:
        """Call ``listener`` once when the run ends here; it must not block. Returns what takes it off again."""
        with self._changed:
            if self._error is not None:
                listener(self._error)
                return lambda: None
            self._listeners.append(listener)

        def remove() -> None:
            with self._changed:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return remove

    def close(self) -> None:
        """End without a fault; what arrives later is refused."""
        self.fail(LinkError("link.closed"))


def ends_all(code: str) -> bool:
    """Whether a peer that ends a run for this reason means that nobody goes on with it."""
    return code == "run.stopped" or code.startswith("approval.")


class Inlet:
    """One stream of ``peer`` into a mailbox. If it ends in mid-message the run ends: nothing is resumed."""

    def __init__(self, mailbox: Mailbox, peer: PartyId) -> None:
        self._mailbox = mailbox
        self._peer = peer
        self._begun: set[Slot] = set()

    def put(self, data: bytes) -> None:
        slot, complete = self._mailbox.put(self._peer, data)
        (self._begun.discard if complete else self._begun.add)(slot)

    def end(self) -> None:
        if self._begun:
            self._mailbox.lose(self._peer, LinkError("link.cut", peer=self._peer))


class Outbox:
    """What waits here for a peer without a server, until it collects it. Frames are made as they are pulled.

    ``keeps``: a collection that breaks off may begin anew, from the first frame. So what was pulled is kept to the end.
    """

    def __init__(
        self,
        run_id: bytes,
        peer: PartyId,
        *,
        lost: Callable[[PetsError], object] = lambda _: None,
        keeps: bool = False,
    ) -> None:
        self.run_id: Final = frame.check_run_id(run_id)
        self.peer: Final = peer
        """The caller who may collect."""
        self._lost = lost
        self._keeps = keeps
        self._bodies: list[tuple[Slot, memoryview]] = []
        self._changed = threading.Condition()
        self._collections = 0
        self._begun = self._pulled = 0
        """How many bodies the latest collection has begun, and has pulled whole."""
        self._closed = False
        self._error: PetsError | None = None

    @property
    def _pending(self) -> bool:
        return self._pulled < len(self._bodies)

    def put(self, slot: Slot, body: memoryview) -> None:
        with self._changed:
            if self._error or self._closed:
                raise self._error or LinkError("link.cut", peer=self.peer)
            self._bodies.append((slot, body))
            self._changed.notify_all()

    def collect(self) -> "Collection":
        """All frames, as they become ready; ends when the run does. One for each run, unless it is kept.

        Then it takes the place of the one before, of which the network may not have told yet that it is dead.
        """
        with self._changed:
            if self._collections and not self._keeps:
                raise PeerError("peer.repeated", peer=self.peer, message="collection")
            self._collections += 1
            self._begun = self._pulled = 0
            self._changed.notify_all()
            return Collection(self, self._collections)

    def frames(self, number: int) -> Iterator[bytes]:
        """Of the collection of this number."""
        try:
            while (found := self._next(number)) is not None:
                slot, body = found
                for data in frame.frames(self.run_id, slot, body):
                    if self._error:
                        raise self._error
                    yield data
        finally:
            self.gone(number)

    def _next(self, number: int) -> tuple[Slot, memoryview] | None:
        """The body that comes next in a collection, which has pulled all before; None at its end."""

        def ready() -> bool:
            return self._begun < len(self._bodies) or self._closed or self._error is not None

        with self._changed:
            if number == self._collections:
                self._pulled = self._begun
                self._changed.notify_all()
            self._changed.wait_for(lambda: number != self._collections or ready())
            if self._error:
                raise self._error
            if number != self._collections or self._begun == len(self._bodies):
                return None
            self._begun += 1
            found = self._bodies[self._begun - 1]
            if not self._keeps:
                self._bodies[self._begun - 1] = (found[0], memoryview(b""))
            return found

    def gone(self, number: int) -> None:
        """A collection has ended, for whatever reason; in mid-message that ends the run, unless it is kept."""
        with self._changed:
            if number != self._collections or (self._keeps and not self._closed):
                return
            cut = self._pending and self._error is None
            if cut:
                self._error = LinkError("link.cut", peer=self.peer)
            self._closed = True
            self._changed.notify_all()
        if cut and self._error:
            self._lost(self._error)

    def flush(self, deadline_s: float) -> None:
        """Wait until the peer has pulled everything."""
        with self._changed:
            idle = self._changed.wait_for(lambda: self._error is not None or not self._pending, timeout=deadline_s)
            if self._error:
                raise self._error
            if not idle:
                raise LinkError("link.deadline", peer=self.peer, seconds=deadline_s, step="collection")

    def fail(self, error: PetsError) -> None:
        with self._changed:
            self._error = self._error or error
            self._bodies.clear()
            self._begun = self._pulled = 0
            self._changed.notify_all()

    def close(self) -> None:
        """Let the collection end after what is queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Collection:
    """One stream of what waits in an ``Outbox``."""

    def __init__(self, outbox: Outbox, number: int) -> None:
        self._outbox, self._number = outbox, number
        self._frames = outbox.frames(number)

    def __iter__(self) -> Iterator[bytes]:
        return self._frames

    def gone(self) -> None:
        """Whoever collects has gone, or has all."""
        self._outbox.gone(self._number)


class Exchange:
    """The runs that are open for peers at one server. A run that is not open looks like one that is not yours."""

    def __init__(self, *, wait_s: float = RUN_WAIT_S) -> None:
        self._wait_s = wait_s
        self._runs: dict[bytes, tuple[Mailbox, Mapping[PartyId, Outbox]]] = {}
        self._ended: dict[tuple[bytes, PartyId], str] = {}
        self._changed = threading.Condition()
        self._waiters: list[PartyId] = []

    def abort(self, run_id: bytes, peer: PartyId, code: str) -> None:
        """``peer`` ended a run. If that run is about to open, it will meet this when it does."""
        with self._changed:
            run = self._runs.get(run_id)
            if run is None:
                own = [key for key in self._ended if key[1] == peer]
                if len(own) >= ENDED_BY_ONE:
                    del self._ended[own[0]]
                elif len(self._ended) >= MAX_ENDED:
                    del self._ended[next(iter(self._ended))]
                self._ended[run_id, peer] = code
        if run is not None and peer in run[0].peers:
            run[0].aborted(peer, code)

    def open(self, mailbox: Mailbox, outboxes: Mapping[PartyId, Outbox]) -> None:
        """Let the peers of a run in; everything it expects has been said."""
        with self._changed:
            if mailbox.run_id in self._runs:
                raise InternalError("internal.bug", where="a run id was opened twice")
            self._runs[mailbox.run_id] = (mailbox, outboxes)
            self._changed.notify_all()
            told = {peer: self._ended.pop((run, peer)) for run, peer in tuple(self._ended) if run == mailbox.run_id}
        for peer in sorted(told.keys() & mailbox.peers):
            mailbox.aborted(peer, told[peer])

    def close(self, run_id: bytes) -> None:
        with self._changed:
            self._runs.pop(run_id, None)
            self._changed.notify_all()

    def mailbox(self, run_id: bytes, peer: PartyId) -> Mailbox:
        """The mailbox of a run to which ``peer`` belongs; waits a moment for a run that is about to open."""
        mailbox = self._find(run_id, peer)[0]
        if peer not in mailbox.peers:
            raise LinkError("link.no-run")
        return mailbox

    def outbox(self, run_id: bytes, peer: PartyId) -> Outbox:
        """What waits for ``peer``, and nobody else."""
        for outbox in self._find(run_id, peer)[1].values():
            if outbox.peer == peer:
                return outbox
        raise LinkError("link.no-run")

    def _find(self, run_id: bytes, peer: PartyId) -> tuple[Mailbox, Mapping[PartyId, Outbox]]:
        with self._changed:
            if run_id not in self._runs:
                with self._waiting(peer):
                    until = time.monotonic() + self._wait_s
                    while run_id not in self._runs and (left := until - time.monotonic()) > 0:
                        self._changed.wait(left)
            if run_id not in self._runs:
                raise LinkError("link.no-run")
            return self._runs[run_id]

    @contextmanager
    def _waiting(self, peer: PartyId) -> Iterator[None]:
        """Both bounds: one peer with many calls for runs that never open must not keep the others out."""
        if len(self._waiters) >= MAX_WAITERS or self._waiters.count(peer) >= WAITERS_OF_ONE:
            raise LinkError("link.busy")
        self._waiters.append(peer)
        try:
            yield
        finally:
            self._waiters.remove(peer)
