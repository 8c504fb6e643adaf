"""Replay the vectors of vole_psi, as a stranger would read them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from pets.kernels import prf
from pets.protocols import transfers, vole_psi
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import vole_psi_vectors as made
from tests.oracles.intersections import rows_of
from tests.oracles.make_vectors import text_of
from tests.oracles.play import play
from tests.oracles.vole_psi import CARD

FOLDER = cards_folder() / vole_psi.PROTOCOL / "vectors"


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


@pytest.mark.long
def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(FOLDER.glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == text_of(content), path.name


@pytest.mark.parametrize("name", ["ok_small", "ok_text_ids", "ok_nobody", "ok_values"])
def test_ok_runs_send_these_bytes_and_find_these_places(name: str) -> None:
    (vector,) = entries(name)
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    given = np.array(vector["given"], np.uint64).reshape(len(vector["given"]), len(vector["sender"]["ids"]))
    declared = {"n_r": vector["receiver"]["declared"], "n_s": vector["sender"]["declared"]}
    names = CARD.names(declared | {"p": len(given), "both": vector["both"]})
    sizes = {each: names[each] for each in ("n_r", "n_s", "n_list_r", "n_list_s", "t", "p", "both")}
    shape = vole_psi.Shape(**sizes, fixed_ids=vector["width"] <= 13)
    parts = {}
    for role, party in (("receiver", vole_psi.receiver), ("sender", vole_psi.sender)):
        rows = rows_of([bytes.fromhex(each) for each in vector[role]["ids"]], vector["width"])
        more = (given,) if role == "sender" else ()
        parts[role] = party(shape, rows, tied, Secret(bytes.fromhex(vector[role]["entropy"])), *more)
    ran = play(parts)  # type: ignore[arg-type]
    sent = {key[2]: array.tobytes() for key, array in ran.sent}
    for label, expected in vector["messages"].items():
        assert hashlib.sha256(sent.pop(label, b"")).hexdigest() == expected, label
    assert not sent
    assert [row.tobytes().hex() for row in ran.array("V6")] == vector["outputs"]
    theirs = set(vector["sender"]["ids"])
    places = [place for place, one in enumerate(vector["receiver"]["ids"]) if one in theirs]
    assert ran.outputs["receiver"].places.tolist() == vector["places"] == places
    at = [vector["sender"]["ids"].index(vector["receiver"]["ids"][place]) for place in places]
    values = [[column[place] for place in at] for column in vector["given"]]
    assert [[str(word) for word in column] for column in ran.outputs["receiver"].values] == vector["values"] == values
    told = ran.outputs["sender"]
    assert (told if told is None else told.tolist()) == vector["told"] == (sorted(at) if vector["both"] else None)


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
