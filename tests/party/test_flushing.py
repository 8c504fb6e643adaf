"""Commits are on disk when they return, and share flushes."""

import os
import threading
import time
from pathlib import Path

import pytest

from pets.party import flushing
from pets.party.state import State


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of every file that is flushed, in order."""
    names: list[str] = []
    honest = os.fsync

    def fsync(file: int) -> None:
        honest(file)
        names.append(str(Path(f"/proc/self/fd/{file}").readlink()))

    monkeypatch.setattr(flushing.os, "fsync", fsync)
    return names


def test_each_commit_is_flushed_before_it_returns(tmp_path: Path, flushed: list[str]) -> None:
    path = tmp_path / "state.db"
    with State(path) as state:
        for number in range(3):
            before = flushed.count(f"{path}-wal")
            state.use_once("nonce", bytes([number]))
            assert flushed.count(f"{path}-wal") == before + 1
    assert flushed.count(str(tmp_path)) == 1, "the name of the file, once"


@pytest.mark.parametrize("left", [False, True])
def test_of_a_file_that_is_a_link_what_is_flushed_is_beside_the_file(
    tmp_path: Path, flushed: list[str], left: bool
) -> None:
    """SQLite writes beside the file itself. What an earlier life left beside the link is flushed in no place of it."""
    link = tmp_path / "state.db"
    (tmp_path / "other").mkdir()
    link.symlink_to(tmp_path / "other" / "moved.db")
    if left:
        (tmp_path / "state.db-wal").touch()
    with State(link) as state:
        before = len(flushed)
        state.use_once("nonce", b"1")
        assert flushed[before:] == [f"{tmp_path}/other/moved.db-wal"]


def test_what_is_read_needs_no_flush(tmp_path: Path, flushed: list[str]) -> None:
    with State(tmp_path / "state.db") as state:
        before = len(flushed)
        state.specs()
        assert len(flushed) == before


def test_a_transaction_that_fails_is_not_flushed(tmp_path: Path, flushed: list[str]) -> None:
    with State(tmp_path / "state.db") as state:
        before = len(flushed)
        with pytest.raises(ValueError, match="no"), state.transaction():
            raise ValueError("no")
        assert len(flushed) == before


def test_many_commits_share_flushes_and_each_waits_for_one_that_began_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, running, flushes = os.fsync, threading.Lock(), [0]
    began: list[int] = []
    state = State(tmp_path / "state.db")
    flusher = state._flusher
    assert flusher is not None

    def slow(file: int) -> None:
        with running:  # one at a time
            began.append(flusher._committed)
            time.sleep(0.02)
            honest(file)
            flushes[0] += 1

    monkeypatch.setattr(flushing.os, "fsync", slow)

    def commit(number: int) -> None:
        with state.transaction() as db:
            db.execute("INSERT INTO spent VALUES (?, ?)", ("nonce", bytes([number])))
            after = flusher._committed + 1
        assert any(each >= after for each in began), "a flush began once this was committed"

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert flushes[0] < 20
    with state.reading() as db:
        assert db.execute("SELECT count(*) FROM spent").fetchone() == (40,)
    state.close()


def test_a_state_in_memory_flushes_nothing(flushed: list[str]) -> None:
    with State(":memory:") as state:
        state.use_once("nonce", b"n")
    assert flushed == []


def test_after_a_flush_that_failed_nothing_is_said_to_be_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kernel could not write it may forget, so that the next flush succeeds without it."""
    honest = os.fsync

    def broken(file: int) -> None:
        raise OSError(5, "no such luck")

    state = State(tmp_path / "state.db")
    monkeypatch.setattr(flushing.os, "fsync", broken)
    with pytest.raises(OSError, match="no such luck"):
        state.use_once("nonce", b"1")
    monkeypatch.setattr(flushing.os, "fsync", honest)
    with pytest.raises(OSError, match="an earlier flush of the database failed"):
        state.use_once("nonce", b"2")
    state.close()
    with State(tmp_path / "state.db") as again:
        again.use_once("nonce", b"3")
