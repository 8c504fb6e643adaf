"""What a party must not forget: one SQLite file, whose commits are on disk before anything follows from them.

Specifications, envelopes, snapshots, the journal of runs, counts of used-up runs and spent randomness are kept here;
ledger.py, history.py and log.py keep their tables in the same file. Whatever a method says is done is on disk when it
returns, and what was under way when the process died is gone as a whole. Numbers only go up: a restart finds runs that
were under way, ends them, and gives nothing back.

Each durable boundary has a name (``Boundary``, after threats-and-tests.md 4.2), at which a test can stop the process.
One connection serves all threads of a process, one at a time; other processes wait for the lock of the file.
"""

import datetime as dt
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, Self

from pets.approve.approvals import REVOCATION, Count
from pets.errors import BudgetError, ConfigError, RunError
from pets.ids import PlanDigest, RunHandle, SpecDigest
from pets.party.flushing import Flusher

BUSY_MS: Final = 30_000
"""How long a process waits for another one that is writing."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE specs (
        digest TEXT PRIMARY KEY, plan TEXT NOT NULL, toml BLOB NOT NULL, canonical BLOB NOT NULL,
        submission BLOB NOT NULL, author TEXT NOT NULL, author_key BLOB NOT NULL, received TEXT NOT NULL
    ) STRICT;
    CREATE TABLE envelopes (
        sha256 TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES specs, kind TEXT NOT NULL, approver TEXT NOT NULL,
        body BLOB NOT NULL, received TEXT NOT NULL
    ) STRICT;
    CREATE INDEX envelopes_of ON envelopes (digest);
    CREATE TABLE snapshots (
        digest TEXT NOT NULL REFERENCES specs, dataset TEXT NOT NULL, taken TEXT NOT NULL, file TEXT NOT NULL,
        sha256 TEXT NOT NULL, commitment TEXT NOT NULL, schema TEXT NOT NULL, salt BLOB NOT NULL,
        width INTEGER NOT NULL,
        PRIMARY KEY (digest, dataset, taken)
    ) STRICT;
    CREATE TABLE runs (
        handle TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES specs, run_id TEXT UNIQUE, state TEXT NOT NULL,
        started TEXT NOT NULL, ended TEXT, code TEXT, receipt BLOB
    ) STRICT;
    CREATE TABLE run_counts (digest TEXT PRIMARY KEY REFERENCES specs, used INTEGER NOT NULL) STRICT;
    CREATE TABLE spent (what TEXT NOT NULL, sha256 BLOB NOT NULL, PRIMARY KEY (what, sha256)) STRICT;
    CREATE TABLE charges (
        run TEXT NOT NULL, dataset TEXT NOT NULL, epsilon TEXT NOT NULL, delta TEXT NOT NULL, day TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('reserved', 'settled')), PRIMARY KEY (run, dataset)
    ) STRICT;
    CREATE INDEX charges_of ON charges (dataset, day);
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, previous BLOB NOT NULL,
        hash BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER log_keeps BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
    CREATE TRIGGER log_stays BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
    """,
    """
    ALTER TABLE snapshots ADD COLUMN version TEXT NOT NULL DEFAULT '';
    CREATE TABLE history (
        handle TEXT PRIMARY KEY, digest TEXT NOT NULL, release TEXT NOT NULL, versions TEXT NOT NULL, day TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE charges ADD COLUMN unit TEXT NOT NULL DEFAULT 'person';
    ALTER TABLE charges ADD COLUMN rho TEXT NOT NULL DEFAULT '0';
    ALTER TABLE run_counts ADD COLUMN last TEXT;
    UPDATE run_counts SET last = nullif(max(
        coalesce((
            SELECT max(substr(time, 1, 10)) FROM log WHERE kind = 'run.agreed' AND run_counts.digest IN (
                json_extract(CAST(body AS TEXT), '$.digest'), json_extract(CAST(body AS TEXT), '$.cover')
            )
        ), ''),
        coalesce((
            SELECT max(substr(started, 1, 10)) FROM runs WHERE run_id IS NOT NULL AND digest = run_counts.digest
        ), '')
    ), '');
    """,
    "ALTER TABLE snapshots ADD COLUMN kept INTEGER NOT NULL DEFAULT 1;",
    """
    ALTER TABLE runs ADD COLUMN cover TEXT REFERENCES specs;
    UPDATE runs SET cover = logged.cover FROM (
        SELECT json_extract(CAST(body AS TEXT), '$.handle') AS handle,
            json_extract(CAST(body AS TEXT), '$.cover') AS cover
        FROM log WHERE kind = 'run.started'
    ) AS logged WHERE logged.handle = runs.handle AND logged.cover IN (SELECT digest FROM specs);
    """,
)
"""Schema changes in order; PRAGMA user_version counts those that were made. A released one is never edited."""


class Boundary(StrEnum):
    """Points around durable writes. Before: nothing happened; after: it survives kill -9."""

    SPEC_RECEIVED = "C01 spec received"
    SPEC_STORED = "C02 spec stored"
    APPROVAL_VERIFIED = "C03 approval verified"
    APPROVAL_RECORDED = "C04 approval recorded"
    RUN_COUNT_RAISED = "C05 run count raised"
    RUN_COUNT_FLUSHED = "C06 run count flushed"
    SNAPSHOT_TAKEN = "C07 dataset committed"
    SNAPSHOT_RECORDED = "C08 commitment logged"
    SNAPSHOT_UNWANTED = "C07 before the row of a snapshot is gone"
    SNAPSHOT_DROPPED = "C08 before its file is gone"
    BEFORE_RESERVE = "C09 before reserve commits"
    AFTER_RESERVE = "C10 after reserve commits"
    MARK_WRITTEN = "C11 mark written"
    MARK_FLUSHED = "C12 mark flushed"
    BEFORE_RELEASE_NOTED = "C09 before the release is noted"
    AFTER_RELEASE_NOTED = "C10 after the release is noted"
    LOG_APPENDED = "C28 appended"
    LOG_FLUSHED = "C29 flushed"
    BEFORE_SETTLE = "C34 released"
    AFTER_SETTLE = "C35 settled"


class RunState(StrEnum):
    """Where a run is. Nothing leads out of SENT, FINISHED and ABORTED.

    SENT: of a party that only brings rows, when all of them have arrived. It need not stay to see what comes of it.
    """

    STARTED = "started"
    RUNNING = "running"
    SENT = "sent"
    FINISHED = "finished"
    ABORTED = "aborted"


class RunEvent(StrEnum):
    """What moves a run on."""

    HELLO = "agree on a run id"
    SEND = "have sent"
    FINISH = "finish"
    ABORT = "be aborted"


NEXT: Final[dict[tuple[RunState, RunEvent], RunState]] = {
    (RunState.STARTED, RunEvent.HELLO): RunState.RUNNING,
    (RunState.STARTED, RunEvent.ABORT): RunState.ABORTED,
    (RunState.RUNNING, RunEvent.SEND): RunState.SENT,
    (RunState.RUNNING, RunEvent.FINISH): RunState.FINISHED,
    (RunState.RUNNING, RunEvent.ABORT): RunState.ABORTED,
}
"""What may follow what. A missing key is the refusal."""


@dataclass(frozen=True, slots=True)
class StoredSpec:
    """A specification as it was submitted. ``plan``: digest of the plan that this server lowered it to."""

    digest: SpecDigest
    plan: PlanDigest
    toml: bytes
    canonical: bytes
    submission: bytes
    author: str
    author_key: bytes
    received: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class StoredSnapshot:
    """A frozen dataset. ``salt`` never leaves this party: with it a guess of the table can be tested."""

    digest: SpecDigest
    dataset: str
    taken: str
    file: str
    sha256: str
    commitment: str
    schema: str
    salt: bytes
    width: int
    """Bytes of an id in the file."""
    version: str = ""
    """Digest of the source that it was taken from: equal ones have the same records, whatever was asked of them."""
    kept: bool = True
    """False of one that was taken for a single run, as long as that run is not counted: it goes with the run."""

    def __repr__(self) -> str:
        return f"StoredSnapshot({self.dataset}, {self.commitment})"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One line of the journal."""

    handle: RunHandle
    digest: SpecDigest
    run_id: str | None
    state: RunState
    started: str
    ended: str | None
    code: str | None
    receipt: bytes | None
    cover: SpecDigest | None = None
    """The specification whose approvals it runs under, if they are not those of its own."""


def utc_now() -> dt.datetime:
    """The clock of a server. Tests give their own."""
    return dt.datetime.now(dt.UTC)


def nothing(_: Boundary) -> None:
    """What happens at a boundary outside tests."""


class State:
    """The state file of one party; ``":memory:"`` for experiments, which forgets everything."""

    def __init__(
        self,
        path: Path | Literal[":memory:"],
        *,
        clock: Callable[[], dt.datetime] = utc_now,
        at: Callable[[Boundary], None] = nothing,
    ) -> None:
        self._lock = threading.RLock()
        self.at: Final = at
        self.clock: Final = clock
        self._name: Final = path if isinstance(path, str) else path.name
        self._flusher: Final = Flusher(path) if isinstance(path, Path) else None
        try:
            if isinstance(path, Path):
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(
                path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._prepare()
        except OSError as error:
            problem = error.strerror or "it cannot be opened"
            raise ConfigError("config.state", file=self._name, problem=problem, advice="check the folder") from None
        except sqlite3.OperationalError as error:  # it is held, or cannot be written: nothing is known against it
            advice = "end what else holds it, and see whose it is and what lies beside it, and whether the disk is full"
            raise ConfigError("config.state", file=self._name, problem=f"SQLite says: {error}", advice=advice) from None
        except sqlite3.Error:
            advice = "keep the file, restore a copy and hold its log against receipts (pets party log)"
            raise ConfigError("config.state", file=self._name, problem="it is damaged", advice=advice) from None

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA trusted_schema = OFF")
        with self.transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                advice = "run the version of this software that wrote it, or a later one"
                raise ConfigError("config.state", file=self._name, problem="it is of a later version", advice=advice)
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in _statements(script):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
        if self._flusher is not None:  # from here on commits are flushed by us, several at a time
            self._db.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside happens as a whole or not at all, and no other process writes in between.

        It is on disk when this returns; threads that commit at about the same time wait for one flush together.
        The lock is taken before the first read (BEGIN IMMEDIATE), so that nothing that was read can be out of date.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            number = 0 if self._flusher is None else self._flusher.committed()
        if self._flusher is not None:
            self._flusher.flush(number)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For single reads: the connection, while no other thread uses it."""
        with self._lock:
            yield self._db

    def close(self) -> None:
        with self._lock:
            self._db.close()
        if self._flusher is not None:
            self._flusher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def now(self) -> str:
        """Time as it is stored: ISO 8601, UTC, seconds."""
        return self.clock().astimezone(dt.UTC).isoformat(timespec="seconds")

    def today(self) -> dt.date:
        """The day, in UTC: what dates of approvals, periods of budgets and schedules are held against."""
        return self.clock().astimezone(dt.UTC).date()

    # -- specifications and envelopes ---------------------------------------------------------------------------------

    def add_spec(self, spec: StoredSpec) -> bool:
        """Keep a specification. False if it is already here; the first submission stays the one that counts."""
        self.at(Boundary.SPEC_RECEIVED)
        row = (spec.digest, spec.plan, spec.toml, spec.canonical, spec.submission, spec.author, spec.author_key)
        with self.transaction() as db:
            done = db.execute("INSERT OR IGNORE INTO specs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, self.now()))
            added = done.rowcount == 1
        self.at(Boundary.SPEC_STORED)
        return added

    def spec(self, digest: SpecDigest) -> StoredSpec:
        """Raises RunError ``run.no-spec``."""
        with self.reading() as db:
            row = db.execute(f"SELECT {_SPEC} FROM specs WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise RunError("run.no-spec", digest=digest)
        return StoredSpec(*row)

    def specs(self) -> tuple[StoredSpec, ...]:
        """All specifications, in the order of their arrival."""
        with self.reading() as db:
            return tuple(StoredSpec(*row) for row in db.execute(f"SELECT {_SPEC} FROM specs ORDER BY rowid"))

    def signed(self) -> tuple[SpecDigest, ...]:
        """The specifications that somebody signed an approval or revocation of, in the order of their arrival."""
        text = "SELECT digest FROM specs WHERE digest IN (SELECT digest FROM envelopes) ORDER BY rowid"
        with self.reading() as db:
            return tuple(digest for (digest,) in db.execute(text))

    def add_envelope(self, digest: SpecDigest, kind: str, approver: str, body: bytes) -> bool:
        """Keep a verified approval or revocation. False if the very same one is already here."""
        self.at(Boundary.APPROVAL_VERIFIED)
        row = (sha256(body).hexdigest(), digest, kind, approver, body)
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM specs WHERE digest = ?", (digest,)).fetchone() is None:
                raise RunError("run.no-spec", digest=digest)
            done = db.execute("INSERT OR IGNORE INTO envelopes VALUES (?, ?, ?, ?, ?, ?)", (*row, self.now()))
            added = done.rowcount == 1
        self.at(Boundary.APPROVAL_RECORDED)
        return added

    def envelopes(self, digest: SpecDigest) -> tuple[bytes, ...]:
        """All approvals and revocations of a specification, together: what ``verify_approvals`` takes."""
        with self.reading() as db:
            rows = db.execute("SELECT body FROM envelopes WHERE digest = ? ORDER BY rowid", (digest,))
            return tuple(body for (body,) in rows)

    def withdrawn_by(self, digest: SpecDigest) -> str | None:
        """Who withdrew a specification first, an approver when that came; None if nobody did."""
        text = "SELECT approver FROM envelopes WHERE digest = ? AND kind = ? ORDER BY rowid LIMIT 1"
        with self.reading() as db:
            row = db.execute(text, (digest, REVOCATION)).fetchone()
        return str(row[0]) if row else None

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def add_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep what is needed to open a snapshot again and to prove its commitment."""
        self.at(Boundary.SNAPSHOT_TAKEN)
        s = snapshot
        row = (s.digest, s.dataset, s.taken, s.file, s.sha256, s.commitment, s.schema, s.salt, s.width, s.version)
        with self.transaction() as db:
            db.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, s.kept))
        self.at(Boundary.SNAPSHOT_RECORDED)

    def snapshot(self, digest: SpecDigest, dataset: str) -> StoredSnapshot | None:
        """The latest snapshot of a dataset for a specification: the last one taken, whatever the clock said then."""
        text = "SELECT * FROM snapshots WHERE digest = ? AND dataset = ? ORDER BY rowid DESC LIMIT 1"
        with self.reading() as db:
            row = db.execute(text, (digest, dataset)).fetchone()
        return _snapshot(row) if row else None

    def drop_snapshot(self, snapshot: StoredSnapshot) -> bool:
        """Forget a snapshot whose run was not counted. False if it is kept: then its file stays, too."""
        self.at(Boundary.SNAPSHOT_UNWANTED)
        with self.transaction() as db:
            done = db.execute(f"DELETE FROM snapshots WHERE {_ONE} AND NOT kept", _one(snapshot))
            dropped = done.rowcount == 1
        self.at(Boundary.SNAPSHOT_DROPPED)
        return dropped

    def snapshots(self) -> tuple[StoredSnapshot, ...]:
        """All snapshots, in the order in which they were taken."""
        with self.reading() as db:
            return tuple(_snapshot(row) for row in db.execute("SELECT * FROM snapshots ORDER BY rowid"))

    # -- runs ---------------------------------------------------------------------------------------------------------

    def count_run(self, *counts: Count, keep: Iterable[StoredSnapshot] = ()) -> int:
        """Use up one run of each specification, and keep the snapshots that it reads: all of that or nothing.

        On disk when it returns, so a crash after it cannot give a run back.
        Returns: the number of this run of the first one, from 1.
        Raises:  BudgetError, as ``check_count`` does.
        """
        numbers, today = [], self.today()
        with self.transaction() as db:
            for count in counts:
                used, last = _counted(db, count)
                day = max(day for day in (today, last, count.turn and count.turn.since) if day is not None)
                row = (count.digest, used + 1, day.isoformat())
                db.execute("INSERT OR REPLACE INTO run_counts (digest, used, last) VALUES (?, ?, ?)", row)
                numbers.append(used + 1)
                self.at(Boundary.RUN_COUNT_RAISED)
            for snapshot in keep:
                db.execute(f"UPDATE snapshots SET kept = 1 WHERE {_ONE}", _one(snapshot))
        self.at(Boundary.RUN_COUNT_FLUSHED)
        return numbers[0]

    def check_count(self, *counts: Count) -> None:
        """Say early that a run could not be counted.

        Raises: BudgetError ``budget.runs`` if all are used up, ``budget.not-due`` before the next one is due.
        """
        with self.reading() as db:
            for count in counts:
                _counted(db, count)

    def runs_used(self, digest: SpecDigest) -> int:
        with self.reading() as db:
            row = db.execute("SELECT used FROM run_counts WHERE digest = ?", (digest,)).fetchone()
        return int(row[0]) if row else 0

    def last_run(self, digest: SpecDigest) -> dt.date | None:
        """The day of the last run that was counted; None if none was."""
        with self.reading() as db:
            row = db.execute("SELECT last FROM run_counts WHERE digest = ?", (digest,)).fetchone()
        return dt.date.fromisoformat(row[0]) if row and row[0] else None

    def start_run(self, handle: RunHandle, digest: SpecDigest, cover: SpecDigest | None = None) -> None:
        """Enter a run into the journal. Raises RunError ``run.handle-used``: a handle names one run, for ever."""
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM runs WHERE handle = ?", (handle,)).fetchone():
                raise RunError("run.handle-used", handle=handle)
            if db.execute("SELECT 1 FROM specs WHERE digest = ?", (digest,)).fetchone() is None:
                raise RunError("run.no-spec", digest=digest)
            row = (handle, digest, RunState.STARTED, self.now(), cover)
            db.execute("INSERT INTO runs (handle, digest, state, started, cover) VALUES (?, ?, ?, ?, ?)", row)

    def agree_run(self, handle: RunHandle, run_id: str) -> None:
        """Note the run id of a run. Raises RunError ``run.reused`` for a run id that was seen before."""
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).fetchone():
                raise RunError("run.reused", what="the run id")
            state = _move(db, handle, RunEvent.HELLO)
            db.execute("UPDATE runs SET run_id = ?, state = ? WHERE handle = ?", (run_id, state, handle))

    def finish_run(self, handle: RunHandle, receipt: bytes, event: RunEvent = RunEvent.FINISH) -> None:
        """Note that a run ended well, or that all of this party's part was sent, and keep the receipt."""
        with self.transaction() as db:
            row = (_move(db, handle, event), self.now(), receipt, handle)
            db.execute("UPDATE runs SET state = ?, ended = ?, receipt = ? WHERE handle = ?", row)

    def abort_run(self, handle: RunHandle, code: str, receipt: bytes | None = None) -> None:
        """Note that a run ended early, why, and its receipt if there is one."""
        with self.transaction() as db:
            row = (_move(db, handle, RunEvent.ABORT), self.now(), code, receipt, handle)
            db.execute("UPDATE runs SET state = ?, ended = ?, code = ?, receipt = ? WHERE handle = ?", row)

    def recover(self) -> tuple[StoredRun, ...]:
        """At start-up: end the runs that were under way when the process died. What they used up stays used up."""
        left = tuple(run for run in self.runs() if (run.state, RunEvent.ABORT) in NEXT)
        for run in left:
            self.abort_run(run.handle, "run.crashed")
        return left

    def run(self, handle: RunHandle) -> StoredRun:
        """Raises RunError ``run.unknown``."""
        with self.reading() as db:
            row = db.execute(f"SELECT {_RUN} FROM runs WHERE handle = ?", (handle,)).fetchone()
        if row is None:
            raise RunError("run.unknown", handle=handle)
        return _run(row)

    def knows_run(self, handle: RunHandle) -> bool:
        """Whether a run was ever started under this handle."""
        with self.reading() as db:
            return db.execute("SELECT 1 FROM runs WHERE handle = ?", (handle,)).fetchone() is not None

    def runs(self, digest: SpecDigest | None = None) -> tuple[StoredRun, ...]:
        """Runs in the order of their start: all, or those of one specification and those under its approvals."""
        text = f"SELECT {_RUN} FROM runs WHERE ?1 IS NULL OR digest = ?1 OR cover = ?1 ORDER BY rowid"
        with self.reading() as db:
            return tuple(_run(row) for row in db.execute(text, (digest,)))

    # -- spent randomness ---------------------------------------------------------------------------------------------

    def use_once(self, what: str, value: bytes) -> None:
        """Mark a value (nonce, public key, index of a pool) as spent, on disk before it is used.

        Only its SHA-256 is kept, so ``value`` must be public or of high entropy.
        Raises: RunError ``run.reused`` if it was marked before, in this or any earlier life of the process.
        """
        mark = sha256(value).digest()
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM spent WHERE what = ? AND sha256 = ?", (what, mark)).fetchone():
                raise RunError("run.reused", what=what)
            db.execute("INSERT INTO spent VALUES (?, ?)", (what, mark))
            self.at(Boundary.MARK_WRITTEN)
        self.at(Boundary.MARK_FLUSHED)


_SPEC: Final = "digest, plan, toml, canonical, submission, author, author_key, received"
_ONE: Final = "digest = ? AND dataset = ? AND taken = ?"
_RUN: Final = "handle, digest, run_id, state, started, ended, code, receipt, cover"


def _one(snapshot: StoredSnapshot) -> tuple[str, str, str]:
    return snapshot.digest, snapshot.dataset, snapshot.taken


def _snapshot(row: tuple[Any, ...]) -> StoredSnapshot:
    return StoredSnapshot(*(*row[:-1], bool(row[-1])))


def _run(row: tuple[Any, ...]) -> StoredRun:
    handle, digest, run_id, state, *rest = row
    return StoredRun(handle, digest, run_id, RunState(state), *rest)


def _counted(db: sqlite3.Connection, count: Count) -> tuple[int, dt.date | None]:
    """How many runs were counted and on which day the last one, if another may be; raises BudgetError if none may."""
    row = db.execute("SELECT used, last FROM run_counts WHERE digest = ?", (count.digest,)).fetchone()
    used, last = (int(row[0]), dt.date.fromisoformat(row[1]) if row[1] else None) if row else (0, None)
    if used >= count.most:
        raise BudgetError("budget.runs", allowed=count.most, digest=count.digest)
    if count.turn is not None and last is not None and last >= count.turn.since:
        schedule, _, due = count.turn
        told = f"on {due.isoformat()}" if due is not None else "never: it ends before that"
        raise BudgetError("budget.not-due", digest=count.digest, schedule=schedule, last=last.isoformat(), due=told)
    return used, last


def _move(db: sqlite3.Connection, handle: RunHandle, event: RunEvent) -> RunState:
    """The state that follows; the caller holds the transaction."""
    row = db.execute("SELECT state FROM runs WHERE handle = ?", (handle,)).fetchone()
    if row is None:
        raise RunError("run.unknown", handle=handle)
    following = NEXT.get((RunState(row[0]), event))
    if following is None:
        raise RunError("run.order", handle=handle, state=row[0], event=event.value)
    return following


def _statements(script: str) -> Iterator[str]:
    """Split a script where SQLite says that a statement is complete (a trigger has semicolons inside)."""
    text = ""
    for part in script.split(";"):
        text += part + ";"
        if sqlite3.complete_statement(text):
            yield text
            text = ""
