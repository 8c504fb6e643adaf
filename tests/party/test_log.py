"""The log: appended, chained, and its first bad entry is named whatever byte was changed."""

import datetime as dt
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pets.errors import InternalError, LogError
from pets.party.log import ENTRIES, GENESIS, Entry, Head, Log, entry_hash
from pets.party.state import State

NAMES = ["Ann", "Bob", "Cat", "Dan", "Eve"]


def clock() -> dt.datetime:
    return dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def filled(path: Path, names: list[str] = NAMES) -> tuple[list[Entry], Head]:
    with State(path, clock=clock) as state:
        log = Log(state)
        for name in names:
            log.append("approval.recorded", digest="ab" * 32, approver=name, envelope="cd" * 32)
        return list(log.entries()), log.verify()


def first_bad(path: Path, at: Head | None = None) -> str:
    with State(path) as state, pytest.raises(LogError) as caught:
        Log(state).verify(at)
    return f"{caught.value.code} {caught.value.fields.get('seq', '')}".strip()


def as_owner(path: Path, text: str, *values: object) -> None:
    """Change the file as somebody who has it can: past the triggers."""
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER log_keeps")
        db.execute("DROP TRIGGER log_stays")
        db.execute(text, values)
    db.close()


def test_entries_are_chained_and_verify(tmp_path: Path) -> None:
    entries, head = filled(tmp_path / "state.db")
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.previous for entry in entries] == [GENESIS, *(entry.hash for entry in entries[:-1])]
    assert head == Head(5, entries[-1].hash)
    assert json.loads(entries[1].body) == {"approver": "Bob", "digest": "ab" * 32, "envelope": "cd" * 32}
    assert entries[0].time == "2027-01-02T03:04:05+00:00"


def test_the_hash_of_an_entry_is_fixed() -> None:
    """A known answer, so that a log written today verifies in later versions."""
    value = entry_hash(1, "2027-01-02T03:04:05+00:00", "server.stopped", b"{}", GENESIS)
    assert value.hex() == "3bdf0f18fce2c032d5c72a02ad06c1a479977e8793c7d1590108e05c80eba99b"


def test_the_lengths_of_the_parts_are_hashed_too() -> None:
    assert entry_hash(1, "ab", "c", b"", GENESIS) != entry_hash(1, "a", "bc", b"", GENESIS)


def test_an_empty_log_verifies() -> None:
    with State(":memory:") as state:
        assert Log(state).verify() == Log(state).head() == Head(0, GENESIS)


def test_entries_cannot_be_changed_or_removed() -> None:
    with State(":memory:") as state:
        Log(state).append("server.stopped")
        for text in ("UPDATE log SET kind = 'x'", "DELETE FROM log"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"), state.reading() as db:
                db.execute(text)
        assert Log(state).verify().seq == 1


@pytest.mark.parametrize(
    ("text", "values", "bad"),
    [
        ("UPDATE log SET body = ? WHERE seq = 3", [b"{}"], 3),
        ("UPDATE log SET kind = 'server.stopped' WHERE seq = 2", [], 2),
        ("UPDATE log SET time = '2027-01-02T03:04:06+00:00' WHERE seq = 5", [], 5),
        ("UPDATE log SET previous = ? WHERE seq = 4", [bytes(32)], 4),
        ("UPDATE log SET hash = ? WHERE seq = 1", [bytes(32)], 1),
        ("UPDATE log SET seq = 9 WHERE seq = 2", [], 2),
        ("UPDATE log SET seq = 0 WHERE seq = 4", [], 1),
        ("DELETE FROM log WHERE seq = 1", [], 1),
        ("DELETE FROM log WHERE seq = 3", [], 3),
    ],
)
def test_an_altered_log_names_its_first_bad_entry(tmp_path: Path, text: str, values: list[object], bad: int) -> None:
    path = tmp_path / "state.db"
    filled(path)
    as_owner(path, text, *values)
    assert first_bad(path) == f"log.entry {bad}"


def test_an_entry_that_was_rehashed_breaks_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    entries, _ = filled(path)
    e = entries[2]
    body = e.body.replace(b"Cat", b"Mia")
    as_owner(
        path, "UPDATE log SET body = ?, hash = ? WHERE seq = 3", body, entry_hash(3, e.time, e.kind, body, e.previous)
    )
    assert first_bad(path) == "log.entry 4"


def test_a_cut_or_rewritten_log_does_not_contain_the_head_that_was_signed(tmp_path: Path) -> None:
    path, other = tmp_path / "state.db", tmp_path / "other.db"
    _, head = filled(path)
    filled(other, [*NAMES[:-1], "Mia"])
    assert first_bad(other, head) == "log.head 5"
    as_owner(path, "DELETE FROM log WHERE seq = 5")
    with State(path) as state:
        assert Log(state).verify().seq == 4, "the chain alone cannot tell"
    assert first_bad(path, head) == "log.head 5"


def test_a_log_that_went_on_still_contains_an_earlier_head(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    _, head = filled(path)
    with State(path) as state:
        Log(state).append("server.stopped")
        assert Log(state).verify(head).seq == 6
        assert Log(state).verify(Head(0, GENESIS)).seq == 6


def rows_in_file(data: bytes, entries: list[Entry]) -> Iterator[tuple[int, int, int]]:
    """Where the values of each entry are in the file: they lie together, from the time to the hash."""
    for entry in entries:
        values = entry.time.encode() + entry.kind.encode() + entry.body + entry.previous + entry.hash
        (found,) = re.finditer(re.escape(values), data)
        yield entry.seq, found.start(), found.end()


def test_any_changed_byte_of_a_row_names_that_entry(tmp_path: Path) -> None:
    """Every byte of the values of every row, each with one bit flipped in turn, in the file of SQLite itself."""
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    entries, _ = filled(path)
    data = path.read_bytes()
    for seq, start, end in rows_in_file(data, entries):
        for place in range(start, end):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            copy.write_bytes(changed)
            assert first_bad(copy) == f"log.entry {seq}", place


def test_any_changed_bit_of_a_row_header_is_found(tmp_path: Path) -> None:
    """The bytes before say length, types and number (no byte for 1). The file may still read, but never as good."""
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    entries, _ = filled(path)
    data = path.read_bytes()
    for seq, start, _ in rows_in_file(data, entries):
        for place in range(start - (10 if seq == 1 else 11), start):
            for bit in range(8):
                changed = bytearray(data)
                changed[place] ^= 1 << bit
                copy.write_bytes(changed)
                assert first_bad(copy) in {f"log.entry {seq}", f"log.entry {seq + 1}", "log.file"}, (seq, place, bit)


def test_a_kind_or_field_that_is_not_listed_is_a_bug() -> None:
    """There is no field for a number that was computed from records."""
    with State(":memory:") as state:
        for kind, body in (
            ("run.rows", {}),
            ("run.finished", {"matches": 7}),
            ("snapshot.taken", {"dataset": "t", "rows": 7}),
        ):
            with pytest.raises(InternalError):
                Log(state).append(kind, **body)
        assert Log(state).head().seq == 0
    fields = set().union(*ENTRIES.values())
    assert not fields & {"rows", "count", "matches", "size", "values", "clipped", "dropped", "sum"}


def test_floats_cannot_be_logged() -> None:
    with State(":memory:") as state, pytest.raises(TypeError):
        Log(state).append("run.step", handle="h", step=0.5)
