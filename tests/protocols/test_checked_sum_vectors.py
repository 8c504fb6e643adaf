"""Replay the vectors of checked_sum, as a stranger would read them."""

import json
from typing import Any

import pytest

from pets.kernels import prf
from pets.protocols import checked_sum as cs
from pets.protocols.base import Binding, Role
from pets.protocols.checked_inputs import circuit_of
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import checked_sum_vectors as made
from tests.oracles.play import play
from tests.oracles.secure_sum import losing, without, words_of

FOLDER = cards_folder() / cs.PROTOCOL / "vectors"


def entries(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert set(FOLDER.glob("*.json")) == set(written)
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name


def roles(vector: dict[str, Any]) -> dict[str, Role[Any]]:
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    public = vector["public"]
    circuit = circuit_of(length=public["l"], greatest=public["u"], chunk=public["c"], one_cell=bool(public["x"]))
    shape = cs.Shape(circuit, public["h"], public["m"], minimum=vector["minimum"], unproved=cs.Unproved.END)
    missing = {(holder, at) for holder, at in vector["missing"]}
    parts: dict[str, Role[Any]] = {"result": cs.result(shape)}
    for n in range(shape.holders):
        me = f"input{n + 1}"
        drawn = prf.Stream(Secret(bytes.fromhex(vector["entropy"][me])))
        own = cs.input_party(shape, n, words_of(vector["values"][n]), tied, drawn)
        parts[me] = losing(own, {shape.servers[at] for holder, at in missing if holder == n})

    def family(at: int) -> prf.KeyFamily:
        names = {"party_p": f"server{at + 1}", "party_q": "last"}
        secret = Secret(bytes.fromhex(vector["secrets"][f"server{at + 1}+last"]))
        return prf.KeyFamily(secret, run_id=tied.run_id, digest=tied.digest, protocol="secure_sum", **names)

    def computing(at: int) -> Role[Any]:
        uploads = yield from cs.heard_uploads(shape, at)
        noise = words_of(vector["noise"][at])
        if at == shape.seeded:
            return (yield from cs.last(shape, uploads, tied, [family(each) for each in range(at)], noise))
        return (yield from cs.server(shape, at, uploads, tied, family(at), noise))

    for at, name in enumerate(shape.servers):
        absent = {f"input{holder + 1}" for holder, there in missing if there == at}
        parts[name] = without(computing(at), absent)
    return parts


@pytest.mark.parametrize("name", made.CASES)
def test_ok_runs_send_these_messages_and_come_to_this(name: str) -> None:
    (vector,) = entries(f"ok_{name}")
    done = play(roles(vector), seed=3, lost=[f"input{n + 1}" for n in range(vector["public"]["h"])])
    assert {key[2]: made.of_array(array) for key, array in done.sent} == vector["messages"]
    found = done.outputs["result"]
    assert (list(found.total), found.present.tolist()) == (vector["total"], vector["present"])
    rows = [row for row, there in zip(vector["values"], vector["present"], strict=True) if there] + vector["noise"]
    assert vector["total"] == [sum(column) for column in zip(*rows, strict=True)]


def test_bad_messages_fail_with_their_code() -> None:
    listed = entries("bad_messages")
    assert {each["code"] for each in listed} >= {"peer.proof", "peer.lists", "peer.check"}
    for vector in listed:
        assert made.changed(vector["run"], vector["message"]) == vector["code"]
