"""State: what a method said is done survives kill -9, and what it did not say is gone as a whole."""

import datetime as dt
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pets.approve.approvals import Count
from pets.check.budget import Loss
from pets.errors import BudgetError, ConfigError, RunError
from pets.ids import RunHandle, SpecDigest
from pets.party import state as state_module
from pets.party.history import History
from pets.party.ledger import Book, Ledger
from pets.party.log import Log
from pets.party.records import Reader
from pets.party.state import MIGRATIONS, NEXT, Boundary, RunEvent, RunState, State, StoredSnapshot
from tests.party.crash_child import ACCOUNT, ASKED, CAP, COVERING, DIGEST, ENTRY, PASSING, SNAPSHOT, SPEC, act

ROOT = Path(__file__).parents[2]
OTHER = SpecDigest("ef" * 32)
H1, H2 = RunHandle("11" * 16), RunHandle("22" * 16)


def filled(path: Path | None = None) -> State:
    state = State(path or ":memory:", clock=lambda: dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
    state.add_spec(SPEC)
    return state


def killed_at(path: Path, boundary: Boundary, action: str) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.party.crash_child", str(path), boundary.value, action],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert "done" not in child.stdout


def counted(state: State) -> int:
    return state.runs_used(DIGEST)


def reserved(state: State) -> int:
    return int(Ledger(state).spent(ACCOUNT, CAP) == ASKED)


def settled(state: State) -> int:
    return 1 - len(Ledger(state).unsettled())


def remembered(state: State) -> int:
    return History(state).entries().count(ENTRY)


def dropped(state: State) -> int:
    return int(state.snapshot(DIGEST, "u") is None)


def marked(state: State) -> int:
    with state.reading() as db:
        return int(db.execute("SELECT count(*) FROM spent").fetchone()[0])


CRASHES: list[tuple[Boundary, list[str], str, Callable[[State], int], int]] = [
    (Boundary.SPEC_RECEIVED, [], "spec", lambda state: len(state.specs()), 0),
    (Boundary.SPEC_STORED, [], "spec", lambda state: len(state.specs()), 1),
    (Boundary.APPROVAL_VERIFIED, ["spec"], "envelope", lambda state: len(state.envelopes(DIGEST)), 0),
    (Boundary.APPROVAL_RECORDED, ["spec"], "envelope", lambda state: len(state.envelopes(DIGEST)), 1),
    (Boundary.SNAPSHOT_TAKEN, ["spec"], "snapshot", lambda state: int(state.snapshot(DIGEST, "t") is not None), 0),
    (Boundary.SNAPSHOT_RECORDED, ["spec"], "snapshot", lambda state: int(state.snapshot(DIGEST, "t") is not None), 1),
    (Boundary.SNAPSHOT_UNWANTED, ["spec", "passing"], "drop", dropped, 0),
    (Boundary.SNAPSHOT_DROPPED, ["spec", "passing"], "drop", dropped, 1),
    (Boundary.RUN_COUNT_RAISED, ["spec"], "count", counted, 0),
    (Boundary.RUN_COUNT_FLUSHED, ["spec"], "count", counted, 1),
    (Boundary.BEFORE_RESERVE, [], "reserve", reserved, 0),
    (Boundary.AFTER_RESERVE, [], "reserve", reserved, 1),
    (Boundary.BEFORE_SETTLE, ["reserve"], "settle", settled, 0),
    (Boundary.AFTER_SETTLE, ["reserve"], "settle", settled, 1),
    (Boundary.MARK_WRITTEN, [], "spend", marked, 0),
    (Boundary.MARK_FLUSHED, [], "spend", marked, 1),
    (Boundary.BEFORE_RELEASE_NOTED, [], "history", remembered, 0),
    (Boundary.AFTER_RELEASE_NOTED, [], "history", remembered, 1),
    (Boundary.LOG_APPENDED, [], "log", lambda state: Log(state).verify().seq, 0),
    (Boundary.LOG_FLUSHED, [], "log", lambda state: Log(state).verify().seq, 1),
]


@pytest.mark.parametrize(("boundary", "before", "action", "measure", "expected"), CRASHES, ids=[c[0] for c in CRASHES])
def test_killed_at_a_boundary(
    tmp_path: Path, boundary: Boundary, before: list[str], action: str, measure: Callable[[State], int], expected: int
) -> None:
    path = tmp_path / "state.db"
    with State(path) as state:
        for each in before:
            act(state, each)
    killed_at(path, boundary, action)
    with State(path) as state:
        assert measure(state) == expected
        if expected == 0:  # what did not happen can be done again
            act(state, action)
            assert measure(state) == 1
        elif action == "reserve":  # a crash leaves it spent, settled or not
            assert Ledger(state).unsettled() == ("r",)


@pytest.mark.parametrize(("boundary", "used"), [(Boundary.RUN_COUNT_RAISED, 0), (Boundary.RUN_COUNT_FLUSHED, 1)])
def test_a_run_that_counts_twice_is_counted_twice_or_not_at_all(tmp_path: Path, boundary: Boundary, used: int) -> None:
    """Killed between the count of the specification that runs and that of the one that covers it, or after both."""
    path = tmp_path / "state.db"
    with State(path) as state:
        act(state, "spec")
        act(state, "covering")
    killed_at(path, boundary, "count both")
    with State(path) as state:
        assert (state.runs_used(DIGEST), state.runs_used(COVERING.digest)) == (used, used)


@pytest.mark.parametrize(("boundary", "used"), [(Boundary.RUN_COUNT_RAISED, 0), (Boundary.RUN_COUNT_FLUSHED, 1)])
def test_a_run_is_counted_and_its_snapshot_kept_or_neither(tmp_path: Path, boundary: Boundary, used: int) -> None:
    path = tmp_path / "state.db"
    with State(path) as state:
        act(state, "spec")
        act(state, "passing")
        assert state.snapshots() == (PASSING,)
    killed_at(path, boundary, "keep")
    with State(path) as state:
        (found,) = state.snapshots()
        assert (state.runs_used(DIGEST), found.kept) == (used, bool(used))
        assert state.drop_snapshot(PASSING) != found.kept
        assert len(state.snapshots()) == used, "what a counted run read stays"


def test_a_run_that_one_of_two_counts_refuses_counts_nowhere() -> None:
    with filled() as state:
        state.add_spec(COVERING)
        state.count_run(Count(COVERING.digest, 1))
        with pytest.raises(BudgetError) as caught:
            state.count_run(Count(DIGEST, 3), Count(COVERING.digest, 1))
        assert caught.value.fields["digest"] == COVERING.digest
        assert (state.runs_used(DIGEST), state.runs_used(COVERING.digest)) == (0, 1)


def test_every_boundary_is_crashed_at() -> None:
    assert {crash[0] for crash in CRASHES} == set(Boundary)


def test_the_run_count_survives_being_killed_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    filled(path).close()
    for used in range(1, 4):
        killed_at(path, Boundary.RUN_COUNT_RAISED, "count")
        killed_at(path, Boundary.RUN_COUNT_FLUSHED, "count")
        with State(path) as state:
            assert counted(state) == used


def test_run_count_used_up(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with filled(path) as state:
        assert [state.count_run(Count(DIGEST, 3)) for _ in range(3)] == [1, 2, 3]
    with State(path) as state:
        with pytest.raises(BudgetError) as caught:
            state.count_run(Count(DIGEST, 3))
        assert caught.value.code == "budget.runs" and state.runs_used(DIGEST) == 3
        assert state.count_run(Count(DIGEST, 4)) == 4


def test_a_run_of_an_unknown_specification_is_not_counted() -> None:
    with filled() as state:
        with pytest.raises(sqlite3.IntegrityError):
            state.count_run(Count(OTHER, 3))
        with pytest.raises(RunError) as caught:
            state.start_run(H1, OTHER)
        assert caught.value.code == "run.no-spec"


def test_threads_share_the_runs_out_without_losing_one() -> None:
    with filled() as state:
        got: list[int] = []
        threads = [threading.Thread(target=lambda: got.append(state.count_run(Count(DIGEST, 100)))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == list(range(1, 17))


def test_a_specification_is_kept_as_it_came_and_the_first_submission_counts() -> None:
    with filled() as state:
        again = state.add_spec(SPEC.__class__(DIGEST, SPEC.plan, b"other", b"{}", b"other", "Eve", b"other"))
        assert not again and state.specs() == (state.spec(DIGEST),)
        assert (state.spec(DIGEST).author, state.spec(DIGEST).received) == ("Alex", "2027-01-02T03:04:05+00:00")
        with pytest.raises(RunError) as caught:
            state.spec(OTHER)
        assert caught.value.code == "run.no-spec"


def test_an_envelope_is_kept_once_with_its_specification() -> None:
    with filled() as state:
        assert state.add_envelope(DIGEST, "approval", "Ann", b"one")
        assert not state.add_envelope(DIGEST, "approval", "Ann", b"one")
        assert state.add_envelope(DIGEST, "revocation", "Bob", b"two")
        assert state.envelopes(DIGEST) == (b"one", b"two") and state.envelopes(OTHER) == ()
        with pytest.raises(RunError):
            state.add_envelope(OTHER, "approval", "Ann", b"three")


def test_the_latest_snapshot_is_found_and_its_salt_does_not_print() -> None:
    with filled() as state:
        assert state.snapshot(DIGEST, "t") is None
        state.add_snapshot(SNAPSHOT)
        later = StoredSnapshot(DIGEST, "t", "2027-02-01", "u.parquet", "00" * 32, "11" * 32, "22" * 32, b"s" * 32, 10)
        state.add_snapshot(later)
        assert state.snapshot(DIGEST, "t") == later
        assert "ssss" not in repr(later) and "1111" in repr(later)


def test_a_file_that_another_process_holds_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to restore a copy, which has forgotten what was spent, of a file that is well."""
    State(tmp_path / "state.db").close()
    monkeypatch.setattr(state_module, "BUSY_MS", 50)
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(
        ConfigError, match=r"config\.state: state file state\.db: SQLite says: database is locked"
    ) as held:
        State(tmp_path / "state.db")
    assert "restore" not in held.value.hint
    other.close()
    (tmp_path / "state.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(ConfigError, match="it is damaged"):
        State(tmp_path / "state.db")


def test_a_clock_that_is_put_back_brings_no_older_snapshot_back() -> None:
    """A holder takes out rows and freezes again, after a clock that was ahead was set right."""
    with filled() as state:
        ahead = replace(SNAPSHOT, taken="2028-03-01T09:00:00.000000+00:00", commitment="aa" * 32)
        right = replace(SNAPSHOT, taken="2027-02-01T09:00:00.000000+00:00", commitment="bb" * 32)
        state.add_snapshot(ahead)
        state.add_snapshot(right)
        assert state.snapshot(DIGEST, "t") == right


def test_the_journal_follows_its_table() -> None:
    """Every event in every state: those in NEXT move on, all others are refused and change nothing."""
    reach = {
        RunState.STARTED: (),
        RunState.RUNNING: (RunEvent.HELLO,),
        RunState.SENT: (RunEvent.HELLO, RunEvent.SEND),
        RunState.FINISHED: (RunEvent.HELLO, RunEvent.FINISH),
        RunState.ABORTED: (RunEvent.ABORT,),
    }

    def fire(state: State, event: RunEvent, run_id: str) -> None:
        match event:
            case RunEvent.HELLO:
                state.agree_run(H1, run_id)
            case RunEvent.FINISH | RunEvent.SEND:
                state.finish_run(H1, b"receipt", event)
            case RunEvent.ABORT:
                state.abort_run(H1, "peer.gap")

    for source, events in reach.items():
        for event in RunEvent:
            with filled() as state:
                state.start_run(H1, DIGEST)
                for each in events:
                    fire(state, each, "aa" * 32)
                assert state.run(H1).state is source
                before = state.run(H1)
                if (source, event) in NEXT:
                    fire(state, event, "bb" * 32)
                    assert state.run(H1).state is NEXT[source, event]
                else:
                    with pytest.raises(RunError) as caught:
                        fire(state, event, "bb" * 32)
                    assert caught.value.code == "run.order" and state.run(H1) == before


def test_a_finished_run_keeps_its_receipt_and_an_aborted_one_its_code() -> None:
    with filled() as state:
        state.start_run(H1, DIGEST)
        state.agree_run(H1, "aa" * 32)
        state.finish_run(H1, b"receipt")
        state.start_run(H2, DIGEST)
        state.abort_run(H2, "peer.gap")
        one, two = state.runs(DIGEST)
        assert (one.run_id, one.receipt, one.code) == ("aa" * 32, b"receipt", None)
        assert (two.run_id, two.receipt, two.code) == (None, None, "peer.gap") and two.ended
        assert state.runs(OTHER) == () and len(state.runs()) == 2


def test_a_handle_and_a_run_id_are_used_once() -> None:
    with filled() as state:
        state.start_run(H1, DIGEST)
        state.agree_run(H1, "aa" * 32)
        state.abort_run(H1, "peer.gap")
        with pytest.raises(RunError) as caught:
            state.start_run(H1, DIGEST)
        assert caught.value.code == "run.handle-used"
        state.start_run(H2, DIGEST)
        with pytest.raises(RunError) as caught:
            state.agree_run(H2, "aa" * 32)
        assert caught.value.code == "run.reused"
        with pytest.raises(RunError) as caught:
            state.run(RunHandle("33" * 16))
        assert caught.value.code == "run.unknown"


def test_runs_under_way_are_ended_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with filled(path) as state:
        state.start_run(H1, DIGEST)
        state.start_run(H2, DIGEST)
        state.agree_run(H2, "aa" * 32)
        state.finish_run(H2, b"receipt")
        state.count_run(Count(DIGEST, 2))
    with State(path) as state:
        assert [run.handle for run in state.recover()] == [H1]
        assert (state.run(H1).state, state.run(H1).code) == (RunState.ABORTED, "run.crashed")
        assert state.run(H2).state is RunState.FINISHED and state.recover() == ()
        assert state.runs_used(DIGEST) == 1, "nothing is given back"


def test_randomness_is_spent_once_in_all_lives_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with State(path) as state:
        state.use_once("nonce", b"n")
        state.use_once("index", b"n")
    with State(path) as state, pytest.raises(RunError) as caught:
        state.use_once("nonce", b"n")
    assert caught.value.code == "run.reused"
    assert b"nonce" in path.read_bytes()


def test_commits_are_flushed_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with State(path) as state, state.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (1,)  # the rest is the flusher's (test_flushing.py)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)
        state.use_once("nonce", b"n")
        for file in tmp_path.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file.name


def test_a_failed_transaction_leaves_nothing_behind() -> None:
    with filled() as state:
        with pytest.raises(ZeroDivisionError), state.transaction() as db:
            db.execute("INSERT INTO run_counts (digest, used) VALUES (?, 5)", (DIGEST,))
            raise ZeroDivisionError
        assert state.runs_used(DIGEST) == 0
        assert state.count_run(Count(DIGEST, 9)) == 1


def test_the_schema_has_a_version_and_a_later_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with State(path) as state, state.reading() as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigError) as caught:
        State(path)
    assert caught.value.code == "config.state" and "later version" in caught.value.text


BEFORE = """
INSERT INTO specs VALUES ('aa', 'p', x'00', x'00', x'00', 'Alex', x'00', '2027-01-01');
INSERT INTO specs VALUES ('bb', 'p', x'00', x'00', x'00', 'Alex', x'00', '2027-01-01');
INSERT INTO specs VALUES ('cc', 'p', x'00', x'00', x'00', 'Alex', x'00', '2027-01-01');
INSERT INTO charges VALUES ('r1', 't', '1/3', '1/1099511627776', '2027-01-02', 'settled');
INSERT INTO charges VALUES ('r2', 't', '1/2', '0', '2027-01-03', 'reserved');
INSERT INTO run_counts VALUES ('aa', 2), ('bb', 1), ('cc', 0);
INSERT INTO runs VALUES ('r1', 'aa', 'run1', 'finished', '2027-01-02T09:00:00+00:00', NULL, NULL, NULL);
INSERT INTO runs VALUES ('r3', 'bb', NULL, 'aborted', '2027-03-02T09:00:00+00:00', NULL, NULL, NULL);
INSERT INTO log VALUES (1, '2027-01-02T09:00:00+00:00', 'run.agreed', '{"digest":"aa"}', x'00', x'00');
INSERT INTO log VALUES (2, '2027-02-03T09:00:00+00:00', 'run.agreed', '{"cover":"bb","digest":"aa"}', x'00', x'00');
INSERT INTO log VALUES (3, '2027-04-03T09:00:00+00:00', 'run.started', '{"cover":"bb","digest":"aa"}', x'00', x'00');
"""
"""A file of the version before accounts had units: a run of aa, and one of aa that bb covers."""


def test_a_file_of_the_version_before_keeps_its_charges_and_knows_when_each_ran_last(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:2]:
            old.executescript(script)
        old.executescript(BEFORE.replace("'{", "CAST('{").replace("}'", "}' AS BLOB)") + "PRAGMA user_version = 2;")
    old.close()
    with pytest.raises(ConfigError, match="an earlier version"):
        Reader(path)
    for _ in range(2):  # once changed over it is left as it is
        with State(path) as state:
            ledger = Ledger(state)
            assert ledger.accounts() == (ACCOUNT,)
            assert ledger.spent(ACCOUNT, CAP) == Loss(Fraction(5, 6), Fraction(1, 2**40))
            assert ledger.unsettled() == ("r2",)
            days = [state.last_run(SpecDigest(digest)) for digest in ("aa", "bb", "cc")]
            assert days == [dt.date(2027, 2, 3), dt.date(2027, 2, 3), None]
            assert [state.runs_used(SpecDigest(digest)) for digest in ("aa", "bb", "cc")] == [2, 1, 0]


def test_what_was_frozen_before_snapshots_could_be_dropped_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:3]:
            old.executescript(script)
        row = "INSERT INTO specs VALUES (?, 'p', x'00', x'00', x'00', 'Alex', x'00', '2027-01-01')"
        old.execute(row, (SNAPSHOT.digest,))
        fields = [getattr(SNAPSHOT, name) for name in SNAPSHOT.__slots__ if name != "kept"]
        old.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fields)
        old.execute("PRAGMA user_version = 3")
    old.close()
    with State(path) as state:
        assert state.snapshots() == (SNAPSHOT,)
        assert not state.drop_snapshot(SNAPSHOT) and state.snapshot(DIGEST, "t") == SNAPSHOT


def test_a_file_of_the_version_before_learns_from_its_log_which_runs_were_covered(tmp_path: Path) -> None:
    path, logged = tmp_path / "state.db", "INSERT INTO log VALUES (?, '2027-01-02', 'run.started', ?, x'00', x'00')"
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:4]:
            old.executescript(script)
        old.executescript(BEFORE[: BEFORE.index("INSERT INTO charges")] + "PRAGMA user_version = 4;")
        for number, cover in enumerate(("bb", "dd", None)):  # one that is not held can be no cover
            old.execute(
                "INSERT INTO runs (handle, digest, state, started) VALUES (?, 'aa', 'sent', '')", (f"r{number}",)
            )
            body = {"handle": f"r{number}", "digest": "aa"} | ({} if cover is None else {"cover": cover})
            old.execute(logged, (number + 1, json.dumps(body).encode()))
    old.close()
    with State(path) as state:
        assert [(run.handle, run.cover) for run in state.runs()] == [("r0", "bb"), ("r1", None), ("r2", None)]
        assert [run.handle for run in state.runs(SpecDigest("bb"))] == ["r0"]
        assert len(state.runs(SpecDigest("aa"))) == 3


def test_a_reader_sees_what_a_server_writes_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with State(path) as state, Reader(path) as reader:
        act(state, "reserve")
        assert Book(reader).spent(ACCOUNT, CAP) == ASKED
        with state.transaction(), reader.reading() as db:  # while the server holds its lock
            assert db.execute("SELECT count(*) FROM charges").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"), reader.reading() as db:
            db.execute("DELETE FROM charges")


@pytest.mark.parametrize("what", ["nothing", "a folder", "another file", "a later version"])
def test_a_reader_opens_a_state_file_of_this_version_and_nothing_else(tmp_path: Path, what: str) -> None:
    path = tmp_path / "state.db"
    if what == "a folder":
        path.mkdir()
    elif what == "another file":
        path.write_bytes(b"this is no database at all, whatever its name says" * 100)
    elif what == "a later version":
        with State(path) as state, state.reading() as db:
            db.execute("PRAGMA user_version = 1000")
    with pytest.raises(ConfigError) as caught:
        Reader(path)
    assert caught.value.code == "config.state" and not (tmp_path / "state.db-journal").exists()
    assert what != "nothing" or not path.exists()


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database at all, whatever its name says" * 100)
    for wrong in (path, tmp_path / "none" / "state.db"):
        with pytest.raises(ConfigError) as caught:
            State(wrong)
        assert caught.value.code == "config.state"
