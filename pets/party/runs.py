"""Runs as a node keeps them in memory: their events for those who watch, and hellos that came early."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pets.approve.approvals import Count
from pets.check.budget import Loss
from pets.check.releases import Entry
from pets.errors import PeerError, PetsError
from pets.ids import PartyId, RunHandle, SpecDigest
from pets.party.accounting import Account
from pets.party.holder import HolderSession
from pets.party.session import Session
from pets.party.state import StoredSnapshot
from pets.transport.calls import Event

Console = Callable[[str], None]
"""Where lines for a party's own people go; they may hold row numbers, and never leave the host."""

EARLY_HELLOS: Final = 1024
EARLY_OF_ONE: Final = 256
EARLY_S: Final = 30.0
ALIVE_S: Final = 0.5


class Events:
    """The progress of one run: kept from its beginning, followed by any number of watchers."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self.ended = False
        self.last_step = ""

    def step(self, label: str, size: int, seconds: float) -> None:
        """A message has passed: ``size`` bytes, ``seconds`` since the one before."""
        self.last_step = label
        self._add(Event("step", label, self._now(), size))

    def end(self, code: str, by: str = "") -> None:
        """The run is over; with a code it was no good end, and ``by`` says who stopped it."""
        self._add(Event("end", by or ("finished" if not code else "aborted"), self._now(), 0, code), last=True)

    def follow(self) -> Iterator[Event]:
        """All events so far and to come; a sign of life where nothing happens."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._events) > seen, ALIVE_S)  # noqa: B023
                fresh, ended = self._events[seen:], self.ended
            seen += len(fresh)
            yield from fresh or (Event("state", "alive", self._now()),)
            if ended and seen == len(self._events):
                return

    def _now(self) -> int:
        return int((time.monotonic() - self._began) * 1000)

    def _add(self, event: Event, *, last: bool = False) -> None:
        with self._changed:
            self._events.append(event)
            self.ended = self.ended or last
            self._changed.notify_all()


@dataclass(slots=True, repr=False)
class LiveRun:
    """A run of this process: its session, the thread that plays it, and who may ask about it."""

    handle: RunHandle
    digest: SpecDigest
    parties: frozenset[PartyId]
    charges: Mapping[Account, Loss]
    counts: tuple[Count, ...]
    """The specifications that it uses up a run of: its own, and one whose approvals cover it."""
    events: Events = field(default_factory=Events)
    session: Session | HolderSession = field(init=False)
    frozen: Mapping[str, StoredSnapshot] = field(default_factory=dict)
    """What this party brings to it."""
    thread: threading.Thread | None = None
    run_id: bytes = b""
    about: Entry | None = None
    """What it would release of this party's records, for the history; None for a party that brings none."""
    ends: frozenset[PartyId] = frozenset()
    """Whose word ends it, beside that of this party's peers: those who compute, and who asked."""
    pooled: bool = False
    """It adds up uploads of many holders, or this party is one of them: it waits most of its time."""
    charged: bool = False
    """Its run is counted and its charges are reserved, so that the state knows of them."""

    @property
    def digests(self) -> frozenset[SpecDigest]:
        """The specifications that it uses up a run of."""
        return frozenset(count.digest for count in self.counts)

    def withdraw(self, error: PetsError) -> bool:
        """End it. Returns: whether this party is a holder whose upload may be left, and is not taken back by that."""
        if isinstance(self.session, HolderSession):
            return self.session.withdraw(error)
        self.session.withdraw(error)
        return False

    def __repr__(self) -> str:
        return f"LiveRun({self.handle})"


class Hellos:
    """Hellos that came before the local start: at most 1,024, and 256 of one peer, for 30 seconds, one each a run."""

    def __init__(self) -> None:
        self._kept: dict[tuple[RunHandle, PartyId], tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def keep(self, handle: RunHandle, peer: PartyId, body: bytes) -> None:
        """Keep a hello. Raises: PeerError peer.hello if the peer said it before, or too many wait."""
        with self._lock:
            now = time.monotonic()
            self._kept = {key: entry for key, entry in self._kept.items() if now - entry[0] < EARLY_S}
            of_peer = sum(key[1] == peer for key in self._kept)
            if (handle, peer) in self._kept or of_peer >= EARLY_OF_ONE or len(self._kept) >= EARLY_HELLOS:
                raise PeerError("peer.hello", peer=peer)
            self._kept[handle, peer] = (now, body)

    def take(self, handle: RunHandle) -> list[tuple[PartyId, bytes]]:
        """Take out the hellos of one run."""
        with self._lock:
            mine = [key for key in self._kept if key[0] == handle]
            return [(key[1], self._kept.pop(key)[1]) for key in mine]
