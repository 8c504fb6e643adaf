"""Replay the vectors of vole_psi, as a stranger would read them."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pets.kernels import aes, curve, gf128, prf
from pets.protocols import transfers, vole_psi
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import vole_psi_vectors as made
from tests.oracles.dh_psi import rows_of
from tests.oracles.play import play
from tests.oracles.vole_psi import CARD

FOLDER = cards_folder() / vole_psi.PROTOCOL / "vectors"


@pytest.fixture(autouse=True, scope="module")
def fastest() -> Iterator[None]:
    for module in (aes, gf128, curve):
        module.select(module.features()[0])
    yield
    for module in (aes, gf128, curve):
        module.select(module.features()[-1])


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(FOLDER.glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name


@pytest.mark.parametrize("name", ["ok_small", "ok_text_ids", "ok_nobody"])
def test_ok_runs_send_these_bytes_and_find_these_places(name: str) -> None:
    (vector,) = entries(name)
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    names = CARD.names({"n_r": vector["receiver"]["declared"], "n_s": vector["sender"]["declared"]})
    sizes = {each: names[each] for each in ("n_r", "n_s", "n_list_r", "n_list_s", "t")}
    shape = vole_psi.Shape(**sizes, fixed_ids=vector["width"] <= 13)
    parts = {}
    for role, party in (("receiver", vole_psi.receiver), ("sender", vole_psi.sender)):
        rows = rows_of([bytes.fromhex(each) for each in vector[role]["ids"]], vector["width"])
        parts[role] = party(shape, rows, tied, Secret(bytes.fromhex(vector[role]["entropy"])))
    ran = play(parts)  # type: ignore[arg-type]
    for label, expected in vector["messages"].items():
        assert hashlib.sha256(ran.array(label).tobytes()).hexdigest() == expected, label
    assert [row.tobytes().hex() for row in ran.array("V6")] == vector["outputs"]
    theirs = set(vector["sender"]["ids"])
    places = [place for place, one in enumerate(vector["receiver"]["ids"]) if one in theirs]
    assert ran.outputs["receiver"].tolist() == vector["places"] == places


@pytest.mark.parametrize("vector", entries("bad_messages"), ids=lambda v: f"{v['step']}-{v['change']}")
def test_bad_messages_fail_at_their_step_with_their_code(vector: dict[str, str]) -> None:
    assert vector["code"], "a bad vector that nobody refuses"
    assert made.bad(vector["step"], vector["change"]) == vector


def test_step_values_are_those_of_the_code() -> None:
    (vector,) = entries("step_transfers")
    (whole,) = entries("ok_small")
    tied = Binding(digest=bytes.fromhex(whole["digest"]), run_id=bytes.fromhex(whole["run_id"]))
    own = [prf.Stream(Secret(bytes.fromhex(whole[role]["entropy"])[:16])) for role in ("receiver", "sender")]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(vector["choices"]), np.uint8), bitorder="little")
    assert own[1].words(2).tobytes() == bytes.fromhex(vector["choices"])[:16]
    offer, choice = transfers.Offer(tied, own[0]), transfers.Choice(tied, bits, own[1])
    assert [row.tobytes().hex() for row in transfers._bases(tied)] == vector["bases"]
    assert [row.tobytes().hex() for row in offer.points] == vector["offered"]
    assert [row.tobytes().hex() for row in choice.points[:3]] == vector["first_chosen"]
    both, one = offer.keys(choice.points, label="V1s"), choice.keys(offer.points, label="V1r")
    assert [[row.tobytes().hex() for row in pair] for pair in both[:3]] == vector["first_keys"]
    assert [row.tobytes().hex() for row in both[255]] == vector["last_keys"]
    assert [row.tobytes().hex() for row in one[:3]] == [vector["first_keys"][j][bits[j]] for j in range(3)]
    rows = np.array([[5, 0]] * 3, np.uint64)
    assert [row.tobytes().hex() for row in transfers._pads(rows, tied)] == vector["pads"]
