"""Replay every vector of protocols/, read as a stranger would read it: no field that nobody knows."""

import hashlib
import hmac
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pets.kernels import noise
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import make_vectors as made

FILES = sorted(cards_folder().glob("*/vectors/*.json"))
HEADER = ["card", "version", "source", "generator", "licence", "parameters", "entries", "valid"]
ENTRY = {
    "helper_join_a/ok": {"input", "noise", "messages", "sums"},
    "helper_join_a/step": {"input", "keys", "local", "messages"},
    "helper_join_a/bad": {"step", "change", "at", "code"},
    "release/ok_half_noise": {"gamma", "seed", "values"},
    "release/ok_dummies": {"epsilon", "delta", "k", "s", "digest", "draws"},
    "helper_join_b/ok": {"input", "noise", "messages", "sums"},
    "helper_join_b/step": {"tokens", "words", "third", "slots", "table"},
    "shared_join/ok": {
        "seed",
        "public",
        "left",
        "right",
        "once",
        "summed",
        "noise",
        "messages",
        "operations",
        "sums",
    },
    "dh_psi_cardinality/ok": {"digest", "run_id", "a", "b", "messages", "count"},
    "dh_psi_cardinality/step": {"hash_tag", "tag_key", "scalars", "entries", "D1", "D2"},
    "vole_psi/ok": {
        "digest",
        "run_id",
        "receiver",
        "sender",
        "width",
        "messages",
        "outputs",
        "given",
        "both",
        "places",
        "values",
        "told",
    },
    "vole_psi_malicious/ok": {
        "digest",
        "run_id",
        "receiver",
        "sender",
        "width",
        "messages",
        "outputs",
        "given",
        "both",
        "places",
        "values",
        "told",
    },
    "vole_psi/step": {"bases", "choices", "offered", "first_chosen", "first_keys", "last_keys", "pads"},
    "kkrt_psi/step": {
        "entries",
        "bins",
        "where",
        "choice",
        "code",
        "row_of_receiver",
        "sent",
        "row_of_sender",
        "hash",
    },
    "helper_psi/ok": {
        "seed",
        "run_id",
        "digest",
        "shared",
        "public",
        "fixed_ids",
        "width",
        "ids_a",
        "ids_b",
        "values_b",
        "noise",
        "messages",
        "result",
    },
    "helper_psi/step": {"tag_key", "pad_key", "dummies", "entries"},
    "psi_sum/ok": {"digest", "run_id", "public", "a", "b", "control", "messages", "slots", "flooding", "result"},
    "psi_sum/step": {
        "plain",
        "primes",
        "roots",
        "polynomial_of_the_mask",
        "ciphertext",
        "its_slots",
        "masked_and_covered",
        "drowned",
        "opened",
        "first_opened",
        "sum_of_slots",
        "sum_of_cover",
    },
    "disclosure_control/ok": {"case", "parameters", "sums", "tops", "sent", "shown", "enough"},
    "rep3/ok": {"program", "inputs", "sent", "shares"},
    "rep3/step": {"program", "keys", "inputs", "parts"},
    "rep3/bad": {"program", "step", "sender", "change", "code"},
    "release/bad_gamma": {"gamma", "error"},
    "secure_sum/step_split": {"holder", "mark", "seeds", "stream", "stream_key", "words"},
    "secure_sum/step_confirmation": {"confirmation", "last", "server1"},
    "secure_sum/ok_uploads": {"at", "change", "code", "now", "peer", "private", "upload"},
    "secure_sum/ok": {
        "digest",
        "entropy",
        "messages",
        "minimum",
        "missing",
        "noise",
        "present",
        "public",
        "run_id",
        "secrets",
        "total",
        "values",
    },
    "secure_sum/bad_messages": {"bit", "code", "message", "run"},
    "secure_sum_shamir/step": {"degree", "points", "value"},
}
ENTRY["secure_sum_held/ok"] = (ENTRY["secure_sum/ok"] - {"noise", "secrets", "total"}) | {"shares"}
ENTRY["checked_sum/ok"] = ENTRY["secure_sum/ok"]
ENTRY["checked_sum/bad"] = ENTRY["secure_sum/bad_messages"]
ENTRY["secure_sum_held/bad"] = ENTRY["secure_sum/bad_messages"]
ENTRY["secure_sum/bad_uploads"] = ENTRY["secure_sum/ok_uploads"]
ENTRY["secure_sum_shamir/ok"] = ENTRY["secure_sum/ok"]
ENTRY["secure_sum_shamir/bad"] = ENTRY["secure_sum/bad_messages"]
ENTRY["kkrt_psi/ok"] = ENTRY["vole_psi/ok"]
ENTRY["psi_sum_shares/ok"] = ENTRY["psi_sum/ok"] | {"zero"}
for name in ("helper_psi_cardinality", "helper_psi_threshold"):
    ENTRY[f"{name}/ok"] = ENTRY["helper_psi/ok"]
    ENTRY[f"{name}/step"] = ENTRY["helper_psi/step"] - {"pad_key"}
for name in (
    "dh_psi_cardinality",
    "vole_psi_malicious",
    "vole_psi",
    "kkrt_psi",
    "helper_psi",
    "helper_psi_cardinality",
    "helper_psi_threshold",
    "psi_sum",
):
    ENTRY[f"{name}/bad"] = {"step", "change", "at", "code", "text"}
MAX_BYTES = 20_000


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    check(content, path)
    return content


def fields_of(path: Path) -> set[str]:
    name = f"{path.parent.parent.name}/{path.stem}"
    return next(fields for start, fields in ENTRY.items() if name.startswith(start))


def check(content: dict[str, Any], path: Path) -> None:
    """Refuse a file with an unknown or missing field, or a header that does not say what is in it."""
    assert list(content) == ["header", "entries"], path
    header, entries = content["header"], content["entries"]
    assert list(header) == HEADER, path
    assert header["card"] == path.parent.parent.name
    assert header["version"] == load_cards()[header["card"]].version, "regenerate the vectors of another version"
    assert header["entries"] == len(entries) > 0
    assert header["valid"] == (0 if path.stem.startswith("bad_") else len(entries))
    for entry in entries:
        assert set(entry) == fields_of(path), path


def entries(card: str, start: str) -> list[dict[str, Any]]:
    paths = [path for path in FILES if path.parent.parent.name == card and path.stem.startswith(start)]
    assert paths, (card, start)
    return [entry for path in paths for entry in load(path)["entries"]]


def test_the_generator_writes_these_files_and_no_others() -> None:
    """The golden transcripts: a byte that differs is another protocol, and needs another version."""
    written = made.files()
    # test_rep3_vectors, test_vectors_b, test_control_vectors, test_shared_join, test_dh_psi_vectors,
    # test_vole_psi_vectors, test_kkrt_psi_vectors, test_helper_psi_vectors, test_psi_sum_vectors,
    # test_secure_sum_vectors, test_checked_sum_vectors
    pairs = ("dh_psi_cardinality", "vole_psi", "vole_psi_malicious", "kkrt_psi", "psi_sum", "psi_sum_shares")
    helped = ("helper_psi", "helper_psi_cardinality", "helper_psi_threshold")
    sums = ("secure_sum", "secure_sum_shamir", "secure_sum_held", "checked_sum")
    elsewhere = ("rep3", "helper_join_b", "disclosure_control", "shared_join", *pairs, *helped, *sums)
    assert sorted(written) == [path for path in FILES if path.parent.parent.name not in elsewhere]
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name
        assert path.stat().st_size < MAX_BYTES, path.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_an_unknown_or_missing_field_fails(path: Path) -> None:
    load(path)
    for spoil in (
        lambda c: c.update(more=1),
        lambda c: c.pop("entries"),
        lambda c: c["header"].update(more=1),
        lambda c: c["header"].pop("licence"),
        lambda c: c["header"].update(entries=99),
        lambda c: c["header"].update(valid=99),
        lambda c: c["header"].update(version="0"),
        lambda c: c["entries"][0].update(more=1),
        lambda c: c["entries"][-1].popitem(),
        lambda c: c["entries"].clear(),
    ):
        content = load(path)
        spoil(content)
        with pytest.raises((AssertionError, KeyError)):
            check(content, path)


# -- helper_join_a ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(entries("helper_join_a", "ok_"))))
def test_ok_runs_give_these_bytes_and_sums(number: int) -> None:
    vector = entries("helper_join_a", "ok_")[number]
    case, seed = made.case_of(vector["input"])
    ran = made.run(case, seed)
    assert made.noise_of(case, seed).view(np.int64).tolist() == vector["noise"]
    assert made.digests(ran) == vector["messages"]
    assert made.sums_of(ran) == vector["sums"]
    plain = case.oracle() + np.array(vector["noise"], np.int64).sum(axis=0)
    assert plain.tolist() == vector["sums"], "the vector itself is wrong"


def test_an_unknown_field_of_an_input_fails() -> None:
    data = entries("helper_join_a", "ok_")[0]["input"]
    for wrong in (data | {"more": 1}, {name: value for name, value in data.items() if name != "g"}):
        with pytest.raises(ValueError, match="fields"):
            made.case_of(wrong)


@pytest.mark.parametrize("vector", entries("helper_join_a", "bad_"), ids=lambda v: f"{v['step']}-{v['change']}")
def test_bad_messages_fail_at_their_step_with_their_code(vector: dict[str, str]) -> None:
    assert vector["code"], "a bad vector that nobody refuses"
    assert made.bad(*made.CASES["small"], vector["step"], vector["change"]) == vector


@pytest.fixture(scope="module")
def step() -> dict[str, Any]:
    (vector,) = entries("helper_join_a", "step_")
    return vector


def test_step_values_are_those_of_the_code(step: dict[str, Any]) -> None:
    case, seed = made.case_of(step["input"])
    assert made.step_keys(seed) == step["keys"]
    assert made.step_local(case, seed) == step["local"]
    assert made.step_messages(case, seed) == step["messages"]


# A second, plain implementation of the steps that fit on a page: hmac and one AES block at a time.


def aes(key: str, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(bytes.fromhex(key)), modes.ECB()).encryptor()
    return encryptor.update(block)


def stream(key: str, count: int) -> list[int]:
    data = b"".join(aes(key, counter.to_bytes(16, "big")) for counter in range((count + 1) // 2))
    return [int.from_bytes(data[8 * i : 8 * i + 8], "little") for i in range(count)]


def words(text: str) -> list[int]:
    return np.frombuffer(bytes.fromhex(text), "<u8").tolist()  # type: ignore[no-any-return]


def places(text: str) -> list[int]:
    return np.frombuffer(bytes.fromhex(text), "<u4").tolist()  # type: ignore[no-any-return]


def test_step_keys_follow_from_hkdf(step: dict[str, Any]) -> None:
    """protocols.md 0.5 with nothing but hmac."""
    seed = step["input"]["seed"]
    run_id = hashlib.sha256(f"run {seed}".encode()).digest()
    names = {"ab": ("A", "B"), "ac": ("A", "C"), "bc": ("B", "C")}
    for pair, keys in step["keys"].items():
        shared = hashlib.sha256(f"{seed} {pair}".encode()).digest()
        prk = hmac.digest(run_id, shared, "sha256")
        for label, expected in keys.items():
            parts = [b"pets/1", bytes(32), run_id, b"helper_join_a", *(n.encode() for n in names[pair]), label.encode()]
            info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
            assert hmac.digest(prk, info + b"\x01", "sha256")[:16].hex() == expected, (pair, label)


def test_step_tags_of_a_are_placed_by_q(step: dict[str, Any]) -> None:
    """M1 from the identifiers, one block at a time: rows, dummies, fillers, padding, sentinels (0.7, 1.7)."""
    given, local = step["input"], step["local"]
    width = local["t"]

    def tag(kind: int, occurrence: int, tail: bytes) -> bytes:
        block = bytes([kind]) + occurrence.to_bytes(2, "big") + tail.ljust(13, b"\0")
        return aes(step["keys"]["ab"]["tag"], block)[:width]

    def indexed(kind: int, index: int) -> bytes:
        return tag(kind, 0, index.to_bytes(13, "big"))

    rows: list[list[bytes]] = [[] for _ in range(given["g"])]
    seen: dict[str, int] = {}
    for one, cell in zip(given["ids_a"], given["cell"], strict=True):
        seen[one] = seen.get(one, 0) + 1
        rows[cell].append(tag(1, seen[one], bytes.fromhex(one)))
    slots = 2 * local["s"]
    rows[0] += [indexed(2, i) for i in range(local["dummies"])]
    rows[0] += [indexed(3, i) for i in range(slots - local["dummies"])]
    rows[0] += [indexed(6, i) for i in range(given["n_a"] - len(given["ids_a"]))]
    for cell, of_cell in enumerate(rows):
        of_cell.append(indexed(5, cell))
    in_order = [one for of_cell in rows for one in of_cell]
    assert len(in_order) == local["n_list_a"]
    assert [sum(map(len, rows[: cell + 1])) - 1 for cell in range(given["g"])] == local["ends"]
    placed = [b""] * len(in_order)
    for place, one in zip(places(local["q"]), in_order, strict=True):
        placed[place] = one
    assert b"".join(placed[:16]).hex() == step["messages"]["M1.0"]


def test_step_masks_are_streams_of_their_keys(step: dict[str, Any]) -> None:
    """M8 from rho2, Mn from the noise and its mask, Me is -u where no row lies: plain formulas of the card."""
    given, local, sent = step["input"], step["local"], step["messages"]
    rho2 = places(local["rho2"])
    assert places(sent["M8.0"]) == [rho2[end] for end in local["ends"]]
    case, seed = made.case_of(given)
    of_b = made.noise_of(case, seed)[1, 0].tolist()
    mask = stream(step["keys"]["ab"]["noise.0"], given["g"])
    assert words(sent["Mn.0"]) == [(value - word) % 2**64 for value, word in zip(of_b, mask, strict=True)]
    u = stream(step["keys"]["ab"]["u.0"], 16)
    x = [(word + mask) % 2**64 for word, mask in zip(words(sent["Me.0"]), u, strict=True)]
    allowed = {value % 2**64 for value in (*given["x"][0], 0)}
    assert set(x) <= allowed
    assert len(set(places(sent["M4.0"]))) == 16


# -- release ----------------------------------------------------------------------------------------------------------


def test_half_noise_is_that_of_the_vectors() -> None:
    for vector in entries("release", "ok_half_noise"):
        assert made.half(vector["gamma"], vector["seed"], len(vector["values"])) == vector["values"]


def test_dummies_are_those_of_the_vectors() -> None:
    for vector in entries("release", "ok_dummies"):
        assert made.table(*(vector[name] for name in ("epsilon", "delta", "k", "s"))) == vector
        assert all(0 <= dummies <= 2 * vector["s"] for _, dummies in vector["draws"])
        assert vector["draws"][0][1] == 0
        assert vector["draws"][-1][1] == 2 * vector["s"]


def test_bad_ratios_are_refused() -> None:
    for vector in entries("release", "bad_gamma"):
        assert vector["error"] == "ValueError"
        with pytest.raises(ValueError, match="gamma"):
            noise.half_noise(Fraction(vector["gamma"]), 1, made.prf.Stream(made.Secret(bytes(16))))
