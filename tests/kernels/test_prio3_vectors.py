"""The official test vectors of the draft, step by step: every message of every party, byte for byte."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from pets.kernels.circuits import Circuit, Count, Histogram, Sum, SumVec
from pets.kernels.jit import U8Array
from pets.kernels.prio3 import Pending, Prio3
from pets.secret import Secret

FILE: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "prio3.json").read_text())
KEY: Final = Secret(bytes.fromhex(FILE["verify_key"]))
KNOWN: Final = {
    *("name", "commit", "shares", "reports", "extract", "agg_shares", "agg_result", "fails_at"),
    *("length", "chunk_length", "max_measurement"),
}
FIELDS: Final = {
    *("rand", "public_share", "input_shares", "verifier_shares", "measurement", "verifier_message", "out_shares"),
}


def row(data: str, times: int = 1) -> U8Array:
    return np.tile(np.frombuffer(bytes.fromhex(data), np.uint8), (times, 1))


def circuit(vector: dict[str, Any]) -> Circuit:
    match vector["name"].removeprefix("Prio3").split("_")[0]:
        case "Count":
            return Count()
        case "Sum":
            return Sum(vector["max_measurement"])
        case "SumVec":
            return SumVec(vector["length"], vector["chunk_length"], vector["max_measurement"])
        case "Histogram":
            return Histogram(vector["length"], vector["chunk_length"])
    raise AssertionError(vector["name"])


def named(vectors: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"argvalues": vectors, "ids": [vector["name"] for vector in vectors]}


GOOD: Final = [vector for vector in FILE["vectors"] if "fails_at" not in vector]
BAD: Final = [vector for vector in FILE["vectors"] if "fails_at" in vector]


def begun(prio: Prio3, report: dict[str, Any], parties: int) -> tuple[list[Pending], list[U8Array]]:
    """The first step of so many parties, held to the vector."""
    kept, sent = [], []
    for party in range(parties):
        share, public = row(report["input_shares"][party]), row(report["public_share"])
        pending, verifier = prio.verify_init(KEY, row(FILE["ctx"]), party, row(FILE["nonce"]), public, share)
        assert verifier.tobytes().hex() == report["verifier_shares"][party]
        assert not pending.refused.any()
        kept.append(pending)
        sent.append(verifier)
    return kept, sent


def test_the_file_says_what_it_has() -> None:
    assert (FILE["entries"], FILE["valid"]) == (len(FILE["vectors"]), len(GOOD)) == (17, 9)
    assert all(set(vector) <= KNOWN for vector in FILE["vectors"])
    assert all(set(report) <= FIELDS for vector in FILE["vectors"] for report in vector["reports"])


@pytest.mark.parametrize("vector", **named(GOOD))
def test_valid_vector_byte_for_byte(vector: dict[str, Any]) -> None:
    prio = Prio3(circuit(vector), vector["shares"])
    outputs: list[list[Any]] = [[] for _ in range(prio.parties)]
    for report in vector["reports"]:
        measurement = np.array([report["measurement"]])
        coins = row(report["rand"])
        public, shares = prio.shard(row(FILE["ctx"]), measurement, row(FILE["nonce"]), coins)
        assert public.tobytes().hex() == report["public_share"]
        assert [share.tobytes().hex() for share in shares] == report["input_shares"]
        kept, sent = begun(prio, report, prio.parties)
        message, good = prio.verifier_message(row(FILE["ctx"]), sent)
        assert message.tobytes().hex() == report["verifier_message"]
        assert good.tolist() == [1]
        for party, pending in enumerate(kept):
            assert prio.verify_next(pending, message).tolist() == [1]
            assert pending.outputs.tobytes().hex() == report["out_shares"][party]
            outputs[party].append(pending.outputs[0])
    totals = [prio.aggregate(np.stack(rows)) for rows in outputs]
    if "agg_shares" in vector:
        assert [total.tobytes().hex() for total in totals] == vector["agg_shares"]
    opened = prio.unshard(totals)
    expected = vector.get("agg_result", vector["reports"][0]["measurement"])
    assert opened == (expected if isinstance(expected, list) else [expected])


@pytest.mark.parametrize("vector", **named(BAD))
def test_bad_vector_fails_where_it_must(vector: dict[str, Any]) -> None:
    prio, report = Prio3(circuit(vector), vector["shares"]), vector["reports"][0]
    kept, sent = begun(prio, report, len(report["verifier_shares"]))
    if vector["fails_at"] == "verifier_shares_to_message":
        assert prio.verifier_message(row(FILE["ctx"]), sent)[1].tolist() == [0]
    else:
        assert vector["fails_at"] == "verify_next"
        assert prio.verify_next(kept[0], row(report["verifier_message"])).tolist() == [0]


@pytest.mark.parametrize("vector", **named(GOOD))
def test_a_batch_is_each_of_its_reports(vector: dict[str, Any]) -> None:
    """Eleven at a time, so that lanes are full and one block of them is not: the same bytes as alone."""
    prio, report = Prio3(circuit(vector), vector["shares"]), vector["reports"][0]
    contexts, nonces = row(FILE["ctx"], 11), row(FILE["nonce"], 11)
    measurements = np.array([report["measurement"]] * 11)
    public, shares = prio.shard(contexts, measurements, nonces, row(report["rand"], 11))
    assert {line.tobytes().hex() for line in public} == {report["public_share"]}
    for party, share in enumerate(shares):
        assert {line.tobytes().hex() for line in share} == {report["input_shares"][party]}
        _, verifiers = prio.verify_init(KEY, contexts, party, nonces, public, share)
        assert {line.tobytes().hex() for line in verifiers} == {report["verifier_shares"][party]}
