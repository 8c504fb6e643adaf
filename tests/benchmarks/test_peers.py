"""The side-by-side with peers: what is compared, what is said when one is missing or wrong; nothing is run."""

import json
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import rep3
from benchmarks.common import Case
from benchmarks.peers import __main__ as peers
from pets.protocols.rep3.sharing import Bits, Words


def case(name: str, rows: int, *, right: bool = True) -> Case:
    return Case(f"rep3.{name}", rows, [0.5], 24 * rows, 1, 7, {}, {}, {"cpu": 0.7, "right": right})


@pytest.mark.parametrize("name", rep3.OPERATIONS)
def test_components_of_a_benchmark_add_up_to_its_values_and_a_wrong_share_is_found(name: str) -> None:
    operation = rep3.OPERATIONS[name]
    inputs = [rep3._value(column, 128, operation.below) for column in range(operation.columns)]
    for column, value in enumerate(inputs):
        parts = [rep3._component(column, number, 128, operation) for number in range(3)]
        whole = parts[0] ^ parts[1] ^ parts[2] if operation.xor else parts[0] + parts[1] + parts[2]
        assert np.array_equal(whole, value)
        assert len(np.unique(np.concatenate(parts))) == 3 * 128
    expected = operation.plain(*inputs)
    if operation.right is rep3._same:
        assert operation.right(inputs, expected, expected)
    assert not operation.right(inputs, [each + np.uint64(1) for each in inputs], expected)


def test_a_result_is_opened_from_the_components_of_all_three() -> None:
    words = [np.arange(64, dtype=np.uint64) * np.uint64(5 + n) for n in range(3)]
    columns = [Words(words[n], words[(n + 1) % 3]) for n in range(3)]
    assert np.array_equal(rep3._opened([[each] for each in columns])[0], np.arange(64, dtype=np.uint64) * np.uint64(18))
    planes = [np.array([[2**n]], np.uint64) for n in range(3)]
    bits = [Bits(planes[n], planes[(n + 1) % 3], 64) for n in range(3)]
    assert rep3._opened(bits)[0].tolist() == [1, 1, 1] + [0] * 61


def told(monkeypatch: pytest.MonkeyPatch, python: Path, *, right: bool = True) -> int:
    """Exit code of the whole, with made-up seconds of ours and ``python`` as the peers' interpreter."""

    def measure(sizes: Mapping[str, int]) -> list[Case]:
        return [case(name, rows, right=right) for name, rows in sizes.items()]

    monkeypatch.setattr(peers.rep3, "measure", measure)
    monkeypatch.setattr(peers, "ENVIRONMENT", python)
    monkeypatch.setattr(sys, "argv", ["peers", "--size", "1000", "--json"])
    with pytest.raises(SystemExit) as end:
        peers.main()
    return int(end.value.code or 0)


def stand_in(folder: Path, *, ok: bool) -> Path:
    """An executable that answers for both peers."""
    lines = [{"name": n, "rows": 100, "seconds": [5.0, 4.0, 6.0], "cpu": [1.0], "ok": ok} for n in ("multiply", "sort")]
    lines += [{"name": n, "rows": 100, "seconds": [5.0], "cpu": [1.0], "ok": True} for n in ("compare", "equality")]
    file = folder / "python"
    told = "\n".join(["[info] a log line", *map(json.dumps, lines)])
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{told}\nEND\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def test_a_peer_that_is_not_there_is_named_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(monkeypatch, tmp_path / "nothing") == 1
    printed = capsys.readouterr()
    assert "SPU 0.9.5 ABY3 is not installed" in printed.err and "MPyC 0.11 is not installed" in printed.err
    assert all(json.loads(line)["ratio"] is None for line in printed.out.splitlines())


def test_seconds_a_row_are_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(monkeypatch, stand_in(tmp_path, ok=True)) == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["operation"] for line in lines] == [pairing.ours for pairing in peers.PAIRINGS]
    assert all(line["ratio"] == 100.0 and line["bytes_a_row"] == 24.0 for line in lines)
    assert peers.table(lines).count("\n") == len(lines)


@pytest.mark.parametrize(("ok", "right"), [(False, True), (True, False)])
def test_a_wrong_result_of_anyone_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], ok: bool, right: bool
) -> None:
    assert told(monkeypatch, stand_in(tmp_path, ok=ok), right=right) == 1
    assert "wrong result: multiply beside SPU" in capsys.readouterr().err


def test_a_peer_that_ends_early_is_named(tmp_path: Path) -> None:
    file = tmp_path / "python"
    file.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 3\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    assert peers.asked_of(file, "SPU", []) == ({}, "SPU ended with 3: no such module")
