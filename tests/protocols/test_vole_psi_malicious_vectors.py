"""Replay the vectors of vole_psi_malicious, as a stranger would read them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from pets.protocols import vole_psi, vole_psi_malicious
from pets.protocols.base import Binding
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import vole_psi_malicious_vectors as made
from tests.oracles.intersections import rows_of
from tests.oracles.make_vectors import text_of
from tests.oracles.play import play
from tests.oracles.vole_psi_malicious import CARD

FOLDER = cards_folder() / vole_psi_malicious.PROTOCOL / "vectors"


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(FOLDER.glob("*.json"))
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == text_of(content), path.name


@pytest.mark.parametrize("name", ["ok_small", "ok_text_ids", "ok_nobody", "ok_values"])
def test_ok_runs_send_these_bytes_and_find_these_places(name: str) -> None:
    (vector,) = entries(name)
    parties = {"receiver": vole_psi_malicious.receiver, "sender": vole_psi_malicious.sender}
    given = np.array(vector["given"], np.uint64).reshape(len(vector["given"]), len(vector["sender"]["ids"]))
    names = CARD.names(
        {"n_r": vector["receiver"]["declared"], "n_s": vector["sender"]["declared"], "p": len(given)}
        | {"both": vector["both"]}
    )
    sizes = {each: names[each] for each in ("n_r", "n_s", "n_list_r", "n_list_s", "t", "p", "both")}
    shape = vole_psi.Shape(**sizes, fixed_ids=vector["width"] <= 13)
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    parts: dict[str, Any] = {}
    for role, party in parties.items():
        ids = rows_of([bytes.fromhex(each) for each in vector[role]["ids"]], vector["width"])
        own = Secret(bytes.fromhex(vector[role]["entropy"]))
        parts[role] = party(shape, ids, tied, own, *((given,) if role == "sender" else ()))  # type: ignore[operator]
    ran = play(parts)
    sent = {key[2]: hashlib.sha256(array.tobytes()).hexdigest() for key, array in ran.sent}
    assert {label: digest for label, digest in vector["messages"].items() if label in sent} == sent
    assert {label for label in vector["messages"] if label not in sent} <= {"V6p", "V7"}
    ids_s, ids_r = vector["sender"]["ids"], vector["receiver"]["ids"]
    places = [place for place, one in enumerate(ids_r) if one in set(ids_s)]
    assert ran.outputs["receiver"].places.tolist() == vector["places"] == places
    values = [[int(column[ids_s.index(ids_r[place])]) for place in places] for column in vector["given"]]
    assert ran.outputs["receiver"].values.tolist() == values
    told = ran.outputs["sender"]
    assert (told if told is None else told.tolist()) == vector["told"]


def test_bad_messages_fail_at_their_step_with_their_code() -> None:
    """That each still does is what the generator is run for, above."""
    for vector in entries("bad_messages"):
        assert vector["code"], "a bad vector that nobody refuses"
        assert vector["code"] in ("peer.element", "peer.check", "peer.tags", "peer.other-set")
