"""Replay the vectors of kkrt_psi, as a stranger would read them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from pets.kernels import binned, cuckoo, oprf, prf
from pets.protocols import intersect, kkrt_psi
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import kkrt_psi_vectors as made
from tests.oracles.intersections import rows_of
from tests.oracles.kkrt_psi import CARD
from tests.oracles.make_vectors import text_of
from tests.oracles.play import play

FOLDER = cards_folder() / kkrt_psi.PROTOCOL / "vectors"


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def bound(vector: dict[str, Any]) -> Binding:
    return Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))


def shape_of(vector: dict[str, Any]) -> kkrt_psi.Shape:
    declared = {"n_r": vector["receiver"]["declared"], "n_s": vector["sender"]["declared"]}
    names = CARD.names(declared | {"p": len(vector["given"]), "both": vector["both"]})
    sizes = {each: names[each] for each in ("n_r", "n_s", "n_list_r", "n_list_s", "t", "p", "both")}
    return kkrt_psi.Shape(**sizes, fixed_ids=vector["width"] <= 13)


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(FOLDER.glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == text_of(content), path.name


@pytest.mark.parametrize("name", ["ok_small", "ok_text_ids", "ok_nobody", "ok_values"])
def test_ok_runs_send_these_bytes_and_find_these_places(name: str) -> None:
    (vector,) = entries(name)
    mine, theirs = ([bytes.fromhex(each) for each in vector[role]["ids"]] for role in ("receiver", "sender"))
    given = np.array(vector["given"], np.uint64).reshape(len(vector["given"]), len(theirs))
    own = {role: Secret(bytes.fromhex(vector[role]["entropy"])) for role in ("receiver", "sender")}
    how = shape_of(vector), bound(vector)
    ran = play(
        {
            "receiver": kkrt_psi.receiver(how[0], rows_of(mine, vector["width"]), how[1], own["receiver"]),
            "sender": kkrt_psi.sender(how[0], rows_of(theirs, vector["width"]), how[1], own["sender"], given),
        }
    )
    sent = {key[2]: hashlib.sha256(array.tobytes()).hexdigest() for key, array in ran.sent}
    assert vector["messages"] == dict.fromkeys(vector["messages"], hashlib.sha256().hexdigest()) | sent
    assert [row.tobytes().hex() for row in ran.array("K3")] == vector["outputs"]
    found, told = ran.outputs["receiver"], ran.outputs["sender"]
    at = {one: place for place, one in enumerate(theirs)}
    places = [place for place, one in enumerate(mine) if one in at]
    assert found.places.tolist() == vector["places"] == places
    values = [[column[at[mine[place]]] for place in places] for column in vector["given"]]
    assert [[str(word) for word in column] for column in found.values] == vector["values"] == values
    expected = sorted(at[mine[place]] for place in places) if vector["both"] else None
    assert (told if told is None else told.tolist()) == vector["told"] == expected


@pytest.mark.parametrize("vector", entries("bad_messages"), ids=lambda v: f"{v['step']}-{v['change']}")
def test_bad_messages_fail_at_their_step_with_their_code(vector: dict[str, str]) -> None:
    assert vector["code"], "a bad vector that nobody refuses"
    assert made.bad(vector["step"], vector["change"]) == vector


def test_step_values_are_those_of_the_code() -> None:
    (vector,), (whole,) = entries("step_bins"), entries("ok_small")
    shape, tied = shape_of(whole), bound(whole)
    own = kkrt_psi.Own(Secret(bytes.fromhex(whole["receiver"]["entropy"])))
    ids = rows_of([bytes.fromhex(each) for each in whole["receiver"]["ids"]], whole["width"])
    blocks = intersect.entries(ids, shape.n_r, kkrt_psi.Kind.PADDING_A, own.nobody, None)
    assert [row.tobytes().hex() for row in blocks] == vector["entries"]
    at = cuckoo.places(binned.hashed(blocks, kkrt_psi._key(tied, b"bins")), shape.size)
    assert at.tolist() == vector["bins"]
    assert cuckoo.placed(at, shape.size.bins).tolist() == vector["where"]
    public = kkrt_psi._public(shape, tied)
    assert oprf._coded(blocks[:1], public).tobytes().hex() == vector["code"]
    choice = prf.Stream(Secret(bytes.fromhex(whole["sender"]["entropy"])[:16])).words(8)
    assert choice.tobytes().hex() == vector["choice"]
    row, sent, code = (bytes.fromhex(vector[name]) for name in ("row_of_receiver", "sent", "code"))
    apart = bytes(a & b for a, b in zip(code, choice.tobytes(), strict=True))
    assert bytes(a ^ b for a, b in zip(row, apart, strict=True)).hex() == vector["row_of_sender"]
    under = public.hash.expose("a test")
    assert hashlib.blake2s(row, key=under).hexdigest() == vector["hash"]
    assert vector["hash"][: 2 * shape.t] in whole["outputs"], "the sender has that person, too"
    assert len(sent) == 64
