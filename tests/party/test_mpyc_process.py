"""The process of a program: what it has given up, what ends it, and that it is not believed."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pets.errors import PetsError, RunError
from pets.party import mpyc_process
from pets.party.mpyc_process import (
    DONE,
    HEAD,
    Orders,
    ProgramProcess,
    check_own,
    pack_numbers,
    pack_orders,
    read_numbers,
    read_orders,
)
from tests.party.programs import SUM, terms_of

LOOP = SUM.replace("    mpc.release", "    while True:\n        pass\n    mpc.release", 1)
HUNGRY = SUM.replace("    mpc.release", "    x = [0] * 10**10\n    mpc.release", 1)


def orders(source: str = SUM, *, design: bool = False, **given: Any) -> Orders:
    keys = {subset: bytes(16) for subset in itertools.combinations(range(3), 2) if 0 in subset}
    return Orders(0, terms_of(source=source, **given), source, keys, {"x": [5]}, design)


def ended(process: ProgramProcess) -> PetsError:
    """The error that the process ends with."""
    while not isinstance(said := process.records.get(timeout=30), PetsError):
        assert said.kind != DONE
    return said


@pytest.fixture(scope="module")
def waiting() -> Iterator[ProgramProcess]:
    """A program on records that waits for its peers."""
    os.environ["PETS_SECRET_OF_THE_SERVER"] = "1"
    with ProgramProcess(orders(), deadline_s=60) as process:
        while process.records.get(timeout=30).kind != mpyc_process.IDLE:  # type: ignore[union-attr]
            pass
        yield process
    del os.environ["PETS_SECRET_OF_THE_SERVER"]


def test_a_program_has_no_network_and_limits(waiting: ProgramProcess) -> None:
    proc = Path(f"/proc/{waiting.process_id}")
    said = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    assert (said["Seccomp"], said["NoNewPrivs"], said["Threads"]) == ("2", "1", "1")
    limits = (proc / "limits").read_text()
    (space,) = (line.split()[3] for line in limits.splitlines() if line.startswith("Max address space"))
    assert int(space) < 4 * 2**30
    assert b"PETS_SECRET" not in (proc / "environ").read_bytes()


def test_a_program_is_told_nothing_of_other_parties(waiting: ProgramProcess) -> None:
    assert set(waiting.orders.own) == {"x"}
    assert all(0 in subset for subset in waiting.orders.keys)


@pytest.mark.parametrize(
    ("source", "deadline_s", "said"),
    [(LOOP, 1.0, "took too long"), pytest.param(HUNGRY, 30.0, "failed at line 7", marks=pytest.mark.long)],
)
def test_a_program_that_takes_too_much_is_ended(source: str, deadline_s: float, said: str) -> None:
    begun = time.monotonic()
    with ProgramProcess(orders(source), deadline_s=deadline_s) as process:
        error = ended(process)
    assert (error.code, time.monotonic() - begun < 20) == ("run.program", True)
    assert said in str(error)


@pytest.mark.long
def test_a_process_that_the_system_kills_ends_the_run() -> None:
    with ProgramProcess(orders(), deadline_s=30) as process:
        process.wait_until_begun()
        os.kill(process.process_id, signal.SIGKILL)
        assert "ended too early" in str(ended(process))
        process.put_frame(1, 5, b"too late")  # nobody is there, and that is no fault of its own


@pytest.mark.long
def test_what_went_wrong_on_records_is_said_without_its_text() -> None:
    source = SUM.replace("    mpc.release", "    x = {'a': 1}['a record']\n    mpc.release", 1)
    with ProgramProcess(orders(source), deadline_s=30) as process:
        error = ended(process)
    assert "failed at line 7 of the program" in str(error) and "record" not in str(error)


@pytest.mark.long
def test_another_source_than_the_terms_name_is_not_run() -> None:
    told = orders()
    other = Orders(0, told.terms, SUM + "\n", told.keys, told.own, False)
    with ProgramProcess(other, deadline_s=30) as process:
        assert "another source" in str(ended(process))


@pytest.mark.parametrize("own", [{}, {"y": [1]}, {"x": [1, 2]}, {"x": [1001]}, {"x": [True]}, {"x": ["5"]}])
def test_numbers_that_the_terms_do_not_have_do_not_start(own: dict[str, Any]) -> None:
    terms = terms_of()
    with pytest.raises(RunError) as caught:
        check_own(terms, terms.parties[0], own)
    assert "1001" not in str(caught.value)


def test_orders_come_through_a_pipe(tmp_path: Path) -> None:
    told = orders()
    (tmp_path / "orders").write_bytes(pack_orders(told))
    source = os.open(tmp_path / "orders", os.O_RDONLY)
    try:
        assert read_orders(source) == told
    finally:
        os.close(source)


def test_an_output_is_read_as_it_was_written_or_refused() -> None:
    body = pack_numbers("total", [0, -1, 2**200])
    assert read_numbers(body) == ("total", [0, -1, 2**200])
    for cut in range(6, len(body)):
        try:
            name, values = read_numbers(body[:cut])
        except PetsError:
            continue
        assert name == "total" and values == [0, -1, 2**200][: len(values)]
    with pytest.raises(PetsError):
        read_numbers(body + b"\xff")


RECORDS = {
    "another kind": HEAD.pack(9, 255, 0, 0),
    "a frame to itself": HEAD.pack(mpyc_process.FRAME, 0, 0, 0),
    "a frame to nobody": HEAD.pack(mpyc_process.FRAME, 7, 0, 0),
    "a frame without end": HEAD.pack(mpyc_process.FRAME, 1, 0, 2**31),
    "an end with a body": HEAD.pack(DONE, 255, 0, 5),
    "outputs without end": 20 * (HEAD.pack(mpyc_process.OUTPUT, 255, 0, 381) + pack_numbers("other", 125 * [0])),
    "that it took what nobody gave": HEAD.pack(mpyc_process.IDLE, 255, 1, 0),
    "that it took less than before": HEAD.pack(mpyc_process.IDLE, 255, 0, 0) + HEAD.pack(mpyc_process.IDLE, 255, -1, 0),
    "half a record": b"\1\1",
}


@pytest.mark.parametrize("said", RECORDS)
def test_a_process_that_was_taken_over_is_not_believed(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the worker, a process that says what it likes."""
    line = f"import sys; sys.stdout.buffer.write(b'\\x07' + {RECORDS[said]!r}); sys.stdout.flush(); sys.stdin.read()"
    if said == "half a record":
        line = line.replace("sys.stdin.read()", "")
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **named: popen([sys.executable, "-c", line], **named))
    with ProgramProcess(orders(), deadline_s=30) as process:
        assert ended(process).code == "run.program"
        assert process.records.empty()


def test_a_process_that_waits_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, done = HEAD.pack(mpyc_process.IDLE, 255, 0, 0), HEAD.pack(DONE, 255, 0, 0)
    line = f"import sys; sys.stdout.buffer.write(b'\\x07' + 1000 * {idle!r} + {done!r}); sys.stdout.flush()"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **named: popen([sys.executable, "-c", line], **named))
    with ProgramProcess(orders(), deadline_s=30) as process:
        kinds = [process.records.get(timeout=30).kind for _ in range(2)]  # type: ignore[union-attr]
        assert kinds == [mpyc_process.IDLE, DONE] and process.records.empty()


def test_a_process_that_says_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = HEAD.pack(mpyc_process.FRAME, 1, 0, 4) + b"abcd"
    line = f"import sys; sys.stdout.buffer.write(b'\\x07' + 20 * {frame!r}); sys.stdout.flush(); sys.stdin.read()"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **named: popen([sys.executable, "-c", line], **named))
    told = orders(budget=mpyc_process.Budget(10, 1000))
    with ProgramProcess(told, deadline_s=30) as process:
        assert "more than 10 frames" in str(ended(process))


@pytest.mark.parametrize(
    ("told", "design", "refused"),
    [
        (b"\1", False, True),
        (b"\3", False, True),
        (b"\5", False, True),
        (b"\7", False, False),
        (b"\1", True, False),
        (b"\0", True, True),
    ],
)
def test_a_kernel_that_cannot_confine_runs_made_up_data_at_most(
    told: bytes, design: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = HEAD.pack(DONE, 255, 0, 0)
    line = f"import sys; sys.stdout.buffer.write({told!r} + {done!r}); sys.stdout.flush(); sys.stdin.read()"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **named: popen([sys.executable, "-c", line], **named))
    with ProgramProcess(orders(design=design), deadline_s=30) as process:
        said = process.records.get(timeout=30)
    assert isinstance(said, RunError) == refused
    if refused:
        assert "confined" in str(said)
