"""The log: what has happened at a party, append-only, each entry chained to the one before by its hash.

Kinds of entry and their fields are a closed list (``ENTRIES``): names, digests, dates, public sizes and codes. Nothing
computed from records can be logged, because no field is there for it. A chain shows that what is in it was not changed;
it cannot show what was never appended, or that its end was cut off. For that, heads are signed into receipts, and
``Chain.hold`` holds the log against them (``pets party log``).
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from pets.errors import InternalError, LogError
from pets.party.records import Records
from pets.party.state import Boundary, State
from pets.spec.canonical import canonical

GENESIS: Final = bytes(32)
"""What the first entry names as the one before it."""

ENTRIES: Final[Mapping[str, frozenset[str]]] = {
    "server.started": frozenset({"software", "party"}),
    "server.stopped": frozenset(),
    "spec.received": frozenset({"digest", "plan", "author", "caller"}),
    "spec.refused": frozenset({"digest", "caller", "code", "rules"}),
    "spec.covered": frozenset({"digest", "cover", "relation"}),
    "approval.recorded": frozenset({"digest", "approver", "envelope"}),
    "approval.refused": frozenset({"digest", "caller", "code"}),
    "approval.revoked": frozenset({"digest", "approver", "envelope"}),
    "snapshot.taken": frozenset({"digest", "dataset", "commitment"}),
    "snapshot.dropped": frozenset({"digest", "dataset", "commitment"}),
    "snapshot.refused": frozenset({"digest", "dataset", "code"}),
    "run.started": frozenset({"handle", "digest", "caller", "number", "cover", "envelopes"}),
    "run.refused": frozenset({"handle", "digest", "caller", "code"}),
    "run.agreed": frozenset({"handle", "run", "digest", "plan", "cards", "cover", "sets"}),
    "run.step": frozenset({"handle", "step"}),
    "run.sent": frozenset({"handle", "run", "receipt", "opening"}),
    "run.finished": frozenset({"handle", "run", "receipt", "opening"}),
    "run.aborted": frozenset({"handle", "code", "peer", "step", "refused", "reason"}),
    "run.stopped": frozenset({"handle", "caller"}),
    "run.declined": frozenset({"handle", "told"}),
    "run.withdrawn": frozenset({"handle", "told"}),
    "holder.declined": frozenset({"handle", "caller"}),
    "holder.withdrew": frozenset({"handle", "caller"}),
    "budget.reserved": frozenset({"handle", "charges"}),
    "budget.refused": frozenset({"handle", "dataset", "code"}),
    "budget.settled": frozenset({"handle"}),
}
"""The kinds of entry, each with the fields that it may have."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands: number and hash of its last entry. An empty log is at 0."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``body`` is canonical JSON, ``previous`` the hash of the entry before."""

    seq: int
    time: str
    kind: str
    body: bytes
    previous: bytes
    hash: bytes


def entry_hash(seq: int, time: str, kind: str, body: bytes, previous: bytes) -> bytes:
    """SHA-256 over all of an entry, each part with its length."""
    digest = sha256()
    for part in (b"pets/1 log", seq.to_bytes(8, "big"), time.encode(), kind.encode(), body, previous):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


class Chain:
    """The log in a state file, to look at."""

    def __init__(self, records: Records) -> None:
        self._records: Final = records

    def head(self) -> Head:
        """The last entry's number and hash, for a receipt."""
        with self._records.reading() as db:
            return _head(db)

    def entries(self) -> Iterator[Entry]:
        """All entries in order, unverified."""
        with self._records.reading() as db:
            for row in db.execute(f"SELECT {_COLUMNS} FROM log ORDER BY seq"):
                yield Entry(*row)

    def verify(self, at: Head | None = None) -> Head:
        """Recompute the whole chain, and hold it against a head that was signed earlier.

        Raises: LogError ``log.head`` if the log does not contain ``at``, or as ``hold`` does.
        """
        head, absent = self.hold(() if at is None else (at,))
        for signed, problem in absent.items():
            raise LogError("log.head", seq=signed.seq, problem=problem)
        return head

    def hold(self, heads: Iterable[Head]) -> tuple[Head, Mapping[Head, str]]:
        """Recompute the whole chain, and look for heads that were signed earlier.

        Returns: its own head, and of each head that it does not contain what is wrong there.
        Raises:  LogError ``log.entry`` that names the first bad entry; ``log.file`` if the entries are good and the
                 file around them is not.
        """
        signed = tuple(heads)
        with self._records.reading() as db:
            head, hashes = _chain(db, {each.seq for each in signed})
            try:
                problem = db.execute("PRAGMA integrity_check('log')").fetchone()[0]
            except sqlite3.Error as error:
                problem = str(error)
        if problem != "ok":
            raise LogError("log.file", problem="its pages are damaged, though every entry is as it was written")
        absent = [each for each in signed if hashes.get(each.seq) != each.hash]
        return head, {each: "has another hash" if each.seq in hashes else "is missing" for each in absent}


class Log(Chain):
    """The log in a party's state file."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._state: Final = state

    def append(self, kind: str, **body: object) -> Head:
        """Append an entry; it is on disk when this returns.

        Raises: InternalError for a kind or a field that ``ENTRIES`` does not list.
        """
        if kind not in ENTRIES or not set(body) <= ENTRIES[kind]:
            raise InternalError("internal.bug", where=f"the log: no entry {kind} with {', '.join(sorted(body))}")
        text, time = canonical(body), self._state.now()
        with self._state.transaction() as db:
            head = _head(db)
            seq = head.seq + 1
            hashed = entry_hash(seq, time, kind, text, head.hash)
            db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", (seq, time, kind, text, head.hash, hashed))
            self._state.at(Boundary.LOG_APPENDED)
        self._state.at(Boundary.LOG_FLUSHED)
        return Head(seq, hashed)


_COLUMNS: Final = "seq, time, kind, body, previous, hash"


def _head(db: sqlite3.Connection) -> Head:
    row = db.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, GENESIS)


def _chain(db: sqlite3.Connection, numbers: Collection[int]) -> tuple[Head, dict[int, bytes]]:
    """The head of a chain that is whole, and of its entries with these numbers the hashes. An empty log ends at 0."""
    head = Head(0, GENESIS)
    hashes = {head.seq: head.hash}
    try:
        for row in db.execute(f"SELECT {_COLUMNS} FROM log ORDER BY seq"):
            head = _next(head, row)
            if head.seq in numbers:
                hashes[head.seq] = head.hash
    except (sqlite3.Error, OverflowError):
        raise LogError("log.entry", seq=_unreadable(db, head.seq), problem="it cannot be read") from None
    return head, hashes


def _next(head: Head, row: tuple[object, ...]) -> Head:
    """The head after one more entry, if the entry is good."""
    seq = head.seq + 1

    def bad(problem: str) -> LogError:
        return LogError("log.entry", seq=seq, problem=problem)

    number, time, kind, body, previous, hashed = row
    if number != seq or not isinstance(number, int):
        raise bad("it is missing, or its number was changed")
    if not (isinstance(time, str) and isinstance(kind, str) and isinstance(body, bytes)):
        raise bad("a field has the wrong type")
    if not (isinstance(previous, bytes) and isinstance(hashed, bytes)):
        raise bad("a field has the wrong type")
    if previous != head.hash:
        raise bad("it does not follow the entry before it")
    if entry_hash(seq, time, kind, body, previous) != hashed:
        raise bad("its hash does not fit its content")
    return Head(seq, hashed)


def _unreadable(db: sqlite3.Connection, good: int) -> int:
    """Which entry made the reader stumble, when ``good`` of them were read: it steps ahead by one."""
    try:
        rows = db.execute(f"SELECT {_COLUMNS} FROM log ORDER BY seq LIMIT ?", (good + 1,)).fetchall()
    except (sqlite3.Error, OverflowError):
        return good + 1
    try:
        _next_all(rows)
    except LogError as error:
        return int(str(error.fields["seq"]))
    return good + 2


def _next_all(rows: list[tuple[object, ...]]) -> Head:
    head = Head(0, GENESIS)
    for row in rows:
        head = _next(head, row)
    return head
