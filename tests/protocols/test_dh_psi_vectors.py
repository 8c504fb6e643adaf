"""Replay the vectors of dh_psi_cardinality, as a stranger would read them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from pets.kernels import curve
from pets.protocols import dh_psi
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import dh_psi_vectors as made
from tests.oracles.dh_psi import CARD
from tests.oracles.intersections import rows_of
from tests.oracles.make_vectors import text_of
from tests.oracles.play import play

FOLDER = cards_folder() / dh_psi.PROTOCOL / "vectors"


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(FOLDER.glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == text_of(content), path.name


@pytest.mark.parametrize("name", ["ok_small", "ok_text_ids", "ok_nobody"])
def test_ok_runs_send_these_bytes_and_count_this(name: str) -> None:
    (vector,) = entries(name)
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    names = CARD.names({"n_a": vector["a"]["declared"], "n_b": vector["b"]["declared"]})
    shape = dh_psi.Shape(**{each: names[each] for each in ("n_a", "n_b", "n_list_a", "n_list_b", "t")})
    parts = {}
    for role, party in (("a", dh_psi.party_a), ("b", dh_psi.party_b)):
        ids = [bytes.fromhex(each) for each in vector[role]["ids"]]
        rows = rows_of(ids, max(map(len, ids), default=1))
        parts[role] = party(shape, rows, tied, Secret(bytes.fromhex(vector[role]["entropy"])))
    ran = play(parts)
    for label, rows in vector["messages"].items():
        assert [row.tobytes().hex() for row in ran.array(label)] == rows
    sets = [set(vector[role]["ids"]) for role in ("a", "b")]
    assert ran.outputs["a"] == vector["count"] == len(sets[0] & sets[1])


@pytest.mark.parametrize("vector", entries("bad_messages"), ids=lambda v: f"{v['step']}-{v['change']}")
def test_bad_messages_fail_at_their_step_with_their_code(vector: dict[str, str]) -> None:
    assert vector["code"], "a bad vector that nobody refuses"
    assert made.bad(vector["step"], vector["change"]) == vector


def test_step_values_are_those_of_kernels_and_hashlib() -> None:
    (vector,) = entries("step_entries")
    (whole,) = entries("ok_small")
    strings = [bytes.fromhex(each["entry"]) for each in vector["entries"]]
    elements = curve.hash_to_group(strings, tag=bytes.fromhex(vector["hash_tag"]))
    assert [row.tobytes().hex() for row in elements] == [each["element"] for each in vector["entries"]]
    a, b = (Secret(bytes.fromhex(each)) for each in vector["scalars"])
    once = curve.multiply(elements, a)
    assert {row.tobytes().hex() for row in once} <= set(vector["D1"])
    listed = np.array([list(bytes.fromhex(each)) for each in vector["D1"]], np.uint8)
    key = bytes.fromhex(vector["tag_key"])
    tags = [hashlib.blake2b(row.tobytes() + b"\1", digest_size=13, key=key) for row in curve.multiply(listed, b)]
    assert sorted(tag.hexdigest()[: len(vector["D2"][0])] for tag in tags) == vector["D2"] == whole["messages"]["D2"]
