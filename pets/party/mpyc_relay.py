"""A program's frames between its process and the other parties' servers, over the run's own link.

Servers know each other by certificate; a program's process knows nobody. What it sends to a peer goes into the stream
of messages to that peer, several frames in one; what comes out of a peer's stream goes to the process as that peer's,
whatever it says. The link holds each stream to its order, and to the bytes that the terms allow; this file holds it to
whole frames and to their number. A stream ends with an empty message: who has all of them knows that everybody's
program has come to its end.
"""

import hashlib
import queue
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from pets.errors import PeerError, PetsError, RunError
from pets.ids import PartyId
from pets.kernels.prf import KeyFamily
from pets.party.gate import Sent, opened_by
from pets.party.mpyc_process import (
    DONE,
    FRAME,
    KEY_BYTES,
    MEMORY,
    OUTPUT,
    Orders,
    ProgramProcess,
    Record,
    Subset,
    agreed_keys,
    read_numbers,
    subsets,
)
from pets.secret import Secret
from pets.spec.mpyc_program import terms_digest
from pets.spec.mpyc_source import check_source
from pets.spec.mpyc_terms import MAX_FRAME_BYTES, Terms
from pets.transport.link import Link, Slot

FRAME_HEAD: Final = struct.Struct("<qI")
"""Program counter, bytes of payload: as MPyC writes them."""

PRSS: Final = "prss"
"""Label of the key of shared randomness of a pair, in its family of keys of the run."""

LABEL: Final = "P1"
"""The stream on the card."""

KEYS: Final = Slot(1, 0)
"""Keys of shared randomness from the lowest member of each subset, where more than three compute."""

FIRST: Final = Slot(2, 0)
"""Where the stream of frames begins."""

MOST_BATCH: Final = 1 << 18
"""Bytes after which a message is full, but for the frame that fills it."""

_WAKE_S: Final = 0.5


def stream_bytes(terms: Terms) -> int:
    """Bytes of a peer's whole stream at most: payloads, and the head of each frame."""
    return terms.budget.bytes + FRAME_HEAD.size * terms.budget.frames


class Relay:
    """One program at one party, from keys to outputs.

    ``approved``: the digest of terms that approvers have signed: of other terms, or of another source than they name,
    nothing starts (RunError run.other-program). ``families``: by peer, the keys that the two have agreed on for this
    run; of three parties, who need no others. ``opening``: 32 fresh bytes that hide the digests of what was sent
    (party/gate.py). ``run`` is called once. Raises: PeerError, LinkError or RunError, the
    first that is met; the caller tells the peers (``Link.abort``).
    """

    def __init__(
        self,
        terms: Terms,
        party: PartyId,
        *,
        approved: str,
        source: str,
        own: Mapping[str, Sequence[int]],
        link: Link,
        families: Mapping[PartyId, KeyFamily] | None = None,
        opening: Secret[bytes],
        deadline_s: float,
        memory: int = MEMORY,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if terms_digest(terms) != approved or check_source(source.encode()).sha256 != terms.source:
            raise RunError("run.other-program", program=terms.program)
        self._terms, self._link, self._source, self._own = terms, link, source, dict(own)
        self._me = terms.parties.index(party)
        self._peers = {place: name for place, name in enumerate(terms.parties) if place != self._me}
        self._families, self._opening = dict(families or {}), opening
        self._deadline_s, self._memory, self._check = deadline_s, memory, check
        self._allowed = False
        self._fault: PetsError | None = None
        self._lock = threading.Lock()
        self.sent: dict[PartyId, tuple[int, int]] = {}
        """By peer, the frames and the bytes of payload that this party's program has sent."""
        self.receipt: tuple[Sent, ...] = ()
        """What a receipt says of it: a line for each peer, of all that went there, under the label of the card."""
        self.seconds: dict[str, float] = {}
        """How long the process took to start, and the program to run."""

    def run(self) -> dict[str, tuple[int, ...]]:
        """Run the program; what it released to this party, by name, in units of each output's last place."""
        self.expect()
        self._link.open()
        begun = time.monotonic()
        orders = Orders(self._me, self._terms, self._source, self._keys(), self._own, design=False)
        with ProgramProcess(orders, deadline_s=self._deadline_s, memory=self._memory) as process:
            arriving = [
                threading.Thread(target=self._arrive, args=(place, process), daemon=True) for place in self._peers
            ]
            for thread in arriving:
                thread.start()
            process.wait_until_begun()
            self.seconds["start"] = time.monotonic() - begun
            told = self._leave(process)
            for place, name in self._peers.items():
                self._out[place].end()
                frames, size = process.sent[place]
                self.sent[name] = (frames, size)
            self.receipt = tuple(self._receipt(place) for place in self._peers)
            for thread in arriving:
                while thread.is_alive():
                    thread.join(_WAKE_S)
                    self._check()
            if self._fault is not None:
                raise self._fault
            outputs = process.outputs(told)
            self.seconds["run"] = time.monotonic() - begun - self.seconds["start"]
        self._link.flush(self._deadline_s)
        return outputs

    def _receipt(self, place: int) -> Sent:
        out = self._out[place]
        hidden_by = opened_by(self._opening, LABEL, place)
        digest = hashlib.sha256(hidden_by + out.digest.digest()).hexdigest()
        return Sent(LABEL, place, self._peers[place], out.total, digest)

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _dealt(self, dealer: int, to: int) -> list[Subset]:
        """Subsets whose key ``dealer`` gives to ``to``: it is the lowest of their members."""
        every = subsets(len(self._terms.parties), self._terms.threshold)
        return [each for each in every if each[0] == dealer and to in each and to != dealer]

    def expect(self) -> None:
        """Allow peers their streams, before the link lets anybody in. Only the first call does anything."""
        if self._allowed:
            return
        self._allowed = True
        self._out = {place: _Outgoing(self._link, name) for place, name in self._peers.items()}
        for place, name in self._peers.items():
            if self._deals and (dealt := self._dealt(place, self._me)):
                self._link.expect(name, KEYS, KEY_BYTES * len(dealt))
            self._link.expect_stream(
                name, FIRST, most=MOST_BATCH + FRAME_HEAD.size + MAX_FRAME_BYTES, total=stream_bytes(self._terms)
            )

    @property
    def _deals(self) -> bool:
        return len(self._terms.parties) > 3

    def _keys(self) -> dict[Subset, bytes]:
        if not self._deals:
            pairs = {place: self._families[name].key(PRSS, purpose=PRSS) for place, name in self._peers.items()}
            return agreed_keys(self._terms, self._me, pairs)
        every = subsets(len(self._terms.parties), self._terms.threshold)
        keys = {each: secrets.token_bytes(KEY_BYTES) for each in every if each[0] == self._me}
        for place, name in self._peers.items():
            if dealt := self._dealt(self._me, place):
                self._link.send(name, KEYS, memoryview(b"".join(keys[each] for each in dealt)))
        for place, name in self._peers.items():
            if dealt := self._dealt(place, self._me):
                body = bytes(self._link.receive(name, KEYS, self._deadline_s))
                keys |= {each: body[KEY_BYTES * at : KEY_BYTES * (at + 1)] for at, each in enumerate(dealt)}
        return keys

    # -- frames --------------------------------------------------------------------------------------------------------

    def _leave(self, process: ProgramProcess) -> dict[str, list[int]]:
        """Send on what the program says, until it is done; its outputs."""
        told: dict[str, list[int]] = {}
        while True:
            for record in self._said(process):
                if record.kind == FRAME:
                    self._out[record.peer].add(record)
                elif record.kind == OUTPUT:
                    name, values = read_numbers(record.body)
                    told[name] = values
                elif record.kind == DONE:
                    return told
            for outgoing in self._out.values():
                outgoing.flush()

    def _said(self, process: ProgramProcess) -> Iterator[Record]:
        """What is there: waits for one record, and takes along those behind it."""
        first: Record | PetsError | None = None
        while first is None:
            self._check()
            if self._fault is not None:
                raise self._fault
            try:
                first = process.records.get(timeout=_WAKE_S)
            except queue.Empty:
                if self._link.error is not None:
                    raise self._link.error from None
        waiting: Record | PetsError | None = first
        while waiting is not None:
            if isinstance(waiting, PetsError):
                raise self._fault or waiting
            yield waiting
            try:
                waiting = process.records.get_nowait()
            except queue.Empty:
                waiting = None

    def _arrive(self, place: int, process: ProgramProcess) -> None:
        """The thread of one peer: hand its frames to the program, until its stream ends."""
        name, frames, size = self._peers[place], 0, 0
        budget = self._terms.budget
        try:
            while body := self._link.receive_next(name, self._deadline_s):
                for counter, payload in read_frames(body):
                    frames, size = frames + 1, size + len(payload)
                    if frames > budget.frames or size > budget.bytes:
                        raise PeerError("peer.program", problem=f"more than {budget.frames} frames, or their bytes")
                    process.put_frame(place, counter, payload)
        except PetsError as error:
            met = PeerError(error.code, **{**error.fields, "peer": name}) if error.code == "peer.program" else error
            with self._lock:
                self._fault = self._fault or met
            process.records.put(met)


class _Outgoing:
    """The stream of messages to one peer: frames are put together until they are sent."""

    def __init__(self, link: Link, peer: PartyId) -> None:
        self._link, self._peer = link, peer
        self._slot: Slot | None = FIRST
        self._parts: list[bytes] = []
        self._size = 0
        self.total = 0
        self.digest = hashlib.sha256()

    def add(self, record: Record) -> None:
        self._parts += (FRAME_HEAD.pack(record.number, len(record.body)), record.body)
        self._size += FRAME_HEAD.size + len(record.body)
        if self._size >= MOST_BATCH:
            self.flush()

    def flush(self) -> None:
        if self._parts:
            self._send(b"".join(self._parts))
            self._parts, self._size = [], 0

    def end(self) -> None:
        self.flush()
        self._send(b"")

    def _send(self, body: bytes) -> None:
        if self._slot is None:
            raise RunError("run.program", problem="sends more messages than there are numbers for")
        self._link.send(self._peer, self._slot, memoryview(body))
        self._slot = self._slot.following
        self.total += len(body)
        self.digest.update(body)


def read_frames(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Program counters and payloads of the frames in one message. Raises: PeerError peer.program if they do not fit.

    Nothing is copied, and a length that a peer made up reaches no further than its own message.
    """
    at = 0
    while at < len(body):
        if len(body) - at < FRAME_HEAD.size:
            raise PeerError("peer.program", problem="a part of a frame's head")
        counter, size = FRAME_HEAD.unpack_from(body, at)
        at += FRAME_HEAD.size
        if size > MAX_FRAME_BYTES or len(body) - at < size:
            raise PeerError("peer.program", problem="a frame that is longer than its message")
        yield counter, body[at : at + size]
        at += size
