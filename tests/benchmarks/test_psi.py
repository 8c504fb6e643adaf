"""The benchmark of intersections without a helper: its sets, what is said of peers, and small runs (long)."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import psi
from benchmarks.common import Case
from benchmarks.peers.made_up import ids_of, shared_by
from pets.protocols.psi_sum import Grouped


@pytest.mark.parametrize("items", [0, 1, 2, 999, 10_000])
def test_made_up_sets_are_distinct_and_have_half_in_common(items: int) -> None:
    sets = [set(ids_of(rank, items)) for rank in range(2)]
    assert [len(each) for each in sets] == [items, items]
    assert len(sets[0] & sets[1]) == shared_by(items)
    assert {len(one) for each in sets for one in each} <= {10}


def beside(python: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[dict[str, object]], list[str]]:
    """What is said of peers, and what is missing, with ``python`` as their interpreter."""
    monkeypatch.setattr(psi, "ENVIRONMENT", python)
    said = list(psi.beside(Case(psi.CARDINALITY, 1000, [2.0], 1, 2, 1, {}, {}, {"best": 2.0, "cpu": 4.0}), 1))
    return [each for each in said if isinstance(each, dict)], [each for each in said if isinstance(each, str)]


def test_ratios_are_of_seconds_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"name": "x", "items": 100, "seconds": [9.0, 3.0, 5.0], "cpu": [6.0, 2.0, 4.0], "ok": False}
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    python.chmod(0o700)
    lines, missing = beside(python, monkeypatch)
    assert not missing and [line["peer"] for line in lines] == [*psi.SHARE[psi.CARDINALITY]]
    assert {(line["ratio"], line["cpu_ratio"], line["median"], line["right"]) for line in lines} == {
        (15.0, 5.0, 5.0, False)
    }


def test_a_peer_that_is_missing_or_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, missing = beside(tmp_path / "nothing", monkeypatch)
    assert (
        not lines
        and len(missing) == len(psi.SHARE[psi.CARDINALITY])
        and all("not installed" in each for each in missing)
    )
    lines, missing = beside(Path("/bin/false"), monkeypatch)
    assert not lines and all("ended with 1" in each for each in missing)


@pytest.mark.long
def test_a_small_run_counts_right_and_sends_what_the_card_says() -> None:
    (case,) = psi.measure([(psi.CARDINALITY, 500)], 1)
    assert case.more["right"] is True
    assert case.bytes == case.more["formula"] > 64 * 500
    assert case.rounds == 2


@pytest.mark.long
def test_small_runs_find_the_right_ones_and_send_what_the_card_says() -> None:
    for case in psi.measure([(psi.INTERSECTION, 500), (psi.FILES, 501)], 1):
        assert case.more["right"] is True
        assert case.bytes == case.more["formula"] > 16 * 128 * 256
        assert case.rounds == 3
    for case in psi.measure([(psi.TRANSFERS, 500), (psi.TRANSFERS_FILES, 501)], 1):
        assert case.more["right"] is True and case.rounds == 3
        assert case.bytes == case.more["formula"] > 64 * 1000


@pytest.mark.long
def test_a_small_run_sums_right_and_sends_what_the_card_says() -> None:
    (case,) = psi.measure([(psi.SUM, 500)], 1)
    assert case.more["right"] is True
    assert case.bytes == case.more["formula"] > 8 * 49_152 * 9
    assert case.rounds == 4


def test_ids_come_out_of_files_as_they_went_in(tmp_path: Path) -> None:
    ids = np.frombuffer("".join(ids_of(0, 1000)).encode(), np.uint8).reshape(-1, 10)
    psi._write(tmp_path / "in.csv", ids)
    assert (tmp_path / "in.csv").read_text().splitlines() == ["id", *ids_of(0, 1000)]
    assert np.array_equal(psi._read(tmp_path / "in.csv"), ids)
    (tmp_path / "in.csv").write_text("id\n1\n")
    with pytest.raises(ValueError, match="ten digits"):
        psi._read(tmp_path / "in.csv")


def test_a_wrong_result_is_noticed() -> None:
    right, short, other = (
        SimpleNamespace(places=each) for each in (np.arange(5, 10), np.arange(6, 10), np.arange(4, 9))
    )
    assert psi._is_right(psi.INTERSECTION, right, 10) and psi._is_right(psi.CARDINALITY, 5, 10)
    assert not psi._is_right(psi.INTERSECTION, short, 10) and not psi._is_right(psi.INTERSECTION, other, 10)
    assert not psi._is_right(psi.CARDINALITY, 4, 10)
    shared = {cell: number - 300 for number in range(5) for cell in [(5 + number) % 8]}
    sums = tuple(shared.get(cell, 0) for cell in range(8))
    counts = tuple(int(cell in shared) for cell in range(8))
    assert psi._is_right(psi.SUM, Grouped((True,) * 8, counts, (sums,)), 10)
    assert not psi._is_right(psi.SUM, Grouped((True,) * 8, counts, (sums[1:] + sums[:1],)), 10)
    assert not psi._is_right(psi.SUM, Grouped((True,) * 8, counts[1:] + counts[:1], (sums,)), 10)
