"""The benchmark of sums: what it draws fits into its words, and what it sends is the card's without uploads."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import aggregate
from benchmarks.peers import aggregates
from pets.spec.cards import load_cards
from pets.spec.repeated import with_so_many


def test_a_thousand_packed_vectors_stay_in_their_lanes() -> None:
    """The sum of two numbers a word, read back from the lower lane up, is that of the numbers."""
    words = [aggregate.values_of(number, 50, packed=True).view(np.int64) for number in range(20)]
    low = [(each << np.int64(32)) >> np.int64(32) for each in words]
    high = [(each - own) >> np.int64(32) for each, own in zip(words, low, strict=True)]
    assert max(int(np.abs(own).max()) for own in (*low, *high)) * 1000 <= 2**31
    total = np.sum(words, axis=0)
    lower = (total << np.int64(32)) >> np.int64(32)
    assert np.array_equal(lower, np.sum(low, axis=0))
    assert np.array_equal((total - lower) >> np.int64(32), np.sum(high, axis=0))


def test_plain_vectors_have_32_bits_and_differ() -> None:
    one, two = (aggregate.values_of(number, 50, packed=False).view(np.int64) for number in range(2))
    assert np.abs(one).max() < 2**31 + 1 and not np.array_equal(one, two)


def test_bytes_are_those_of_the_run_and_of_what_is_in_uploads() -> None:
    whole = with_so_many(load_cards()["secure_sum"], {"input": 5, "server": 1})
    without = aggregate.card_of(5)
    assert {message.label for message in whole.messages} - {message.label for message in without.messages} == {
        f"U{kind}{number}{'x1' if kind == 's' else ''}" for kind in "smw" for number in range(1, 6)
    }
    assert set(aggregate.public(5, 7)) == set(whole.public)


def test_sums_on_polynomials_have_their_own_card_and_come_to_the_same() -> None:
    way = aggregate.Shamir()
    card = aggregate.card_of(5, way)
    assert card.id == "secure_sum_shamir" and set(aggregate.public(5, 7, way)) == set(card.public)
    assert {*way.parties} <= {*card.roles} and not [m for m in card.messages if m.label[0] == "U"]
    shape = way.shape(5, 7)
    assert shape.servers == way.parties[:-1] and shape.computing == way.public["m"]


@pytest.mark.parametrize("ok", [True, False])
def test_peers_are_scaled_and_wrong_ones_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ok: bool) -> None:
    python = tmp_path / "python"
    told = [
        {"name": "sum", "vectors": 30, "values": 10_000, "seconds": [3.0, 3.0], "cpu": [6.0, 6.0], "ok": ok},
        {"name": "secagg+", "clients": 100, "values": 100_000, "server": 10.0, "client": 1.0, "ok": True},
    ]
    lines = "\n".join(f"echo '{json.dumps(each)}'" for each in told)
    python.write_text(f"#!/bin/sh\n{lines}\n")
    python.chmod(0o755)
    monkeypatch.setattr(aggregates, "ENVIRONMENT", python)
    monkeypatch.setattr(aggregates, "FLOWER_ENVIRONMENT", python)
    peers, facts, missing = aggregates.beside(1_000_000_000)
    assert peers == {aggregates.MPYC: 10_000.0, aggregates.FLOWER: 1_000.0}
    assert facts["mpyc"]["seconds"] == 3.0
    assert missing == ([] if ok else ["wrong result: mpyc"])


def test_a_peer_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENVIRONMENT", "FLOWER_ENVIRONMENT"):
        monkeypatch.setattr(aggregates, name, Path("/nowhere/python"))
    peers, _, missing = aggregates.beside(10)
    assert peers == {} and len(missing) == 2
