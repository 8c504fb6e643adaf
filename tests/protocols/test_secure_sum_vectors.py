"""Replay the vectors of secure_sum and its kin, as a stranger would read them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from pets.kernels import mersenne, prf
from pets.protocols import contributions
from pets.protocols import secure_sum as ss
from pets.protocols import secure_sum_held as held
from pets.protocols import secure_sum_shamir as sh
from pets.protocols.base import Binding, Role
from pets.secret import Secret
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import hpke
from tests.oracles import secure_sum_vectors as made
from tests.oracles.play import play
from tests.oracles.secure_sum import TIED, losing, without, words_of
from tests.oracles.secure_sum_shamir import P

IDS = (ss.PROTOCOL, sh.PROTOCOL, held.PROTOCOL)


def entries(card: str, name: str) -> list[dict[str, Any]]:
    path = cards_folder() / card / "vectors" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    there = {path for card in IDS for path in (cards_folder() / card / "vectors").glob("*.json")}
    assert there == {*written, made.TAKEN, made.REFUSED}
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name


@pytest.mark.parametrize("card", IDS)
def test_headers_say_what_is_there(card: str) -> None:
    for path in (cards_folder() / card / "vectors").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        header, listed = content["header"], content["entries"]
        assert (header["card"], header["version"]) == (card, load_cards()[card].version)
        assert header["entries"] == len(listed) > 0
        assert header["valid"] == sum(not each.get("code", "") for each in listed)


def drawing(vector: dict[str, Any], who: str) -> prf.Stream:
    return prf.Stream(Secret(bytes.fromhex(vector["entropy"][who])))


def additive(vector: dict[str, Any]) -> dict[str, Role[Any]]:
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    h, m, size = (vector["public"][name] for name in "hml")
    shape = ss.Shape(holders=h, computing=m, words=size, minimum=vector["minimum"])
    missing = {(holder, at) for holder, at in vector["missing"]}
    parts: dict[str, Role[Any]] = {"result": ss.result(shape)}
    for n in range(h):
        me = f"input{n + 1}"
        own = ss.input_party(shape, n, words_of(vector["values"][n]), tied, drawing(vector, me))
        parts[me] = losing(own, {shape.servers[at] for holder, at in missing if holder == n})

    def family(at: int) -> prf.KeyFamily:
        secret = Secret(bytes.fromhex(vector["secrets"][f"server{at + 1}+last"]))
        names = {"party_p": f"server{at + 1}", "party_q": "last"}
        return prf.KeyFamily(secret, run_id=tied.run_id, digest=tied.digest, protocol=ss.PROTOCOL, **names)

    def server(at: int) -> Role[Any]:
        uploads = yield from ss.heard_seeds(shape, at, tied)
        return (yield from ss.server(shape, at, uploads, tied, family(at), words_of(vector["noise"][at])))

    def last() -> Role[Any]:
        uploads = yield from ss.heard_words(shape)
        families = [family(at) for at in range(m - 1)]
        return (yield from ss.last(shape, uploads, tied, families, words_of(vector["noise"][-1])))

    for at, role in enumerate([*(server(at) for at in range(m - 1)), last()]):
        parts[shape.servers[at]] = without(role, {f"input{holder + 1}" for holder, there in missing if there == at})
    return parts


def on_polynomials(vector: dict[str, Any]) -> dict[str, Role[Any]]:
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    h, m, t, size = (vector["public"][name] for name in "hmtl")
    quorum = (m + t) // 2 + 1
    shape = sh.Shape(holders=h, computing=m, degree=t, words=size, minimum=vector["minimum"], quorum=quorum)
    parts: dict[str, Role[Any]] = {"result": sh.result(shape)}
    for n in range(h):
        values = sh.field_of(np.array(vector["values"][n]))
        parts[f"input{n + 1}"] = sh.input_party(shape, n, values, tied, drawing(vector, f"input{n + 1}"))

    def computing(at: int) -> Role[Any]:
        uploads = yield from sh.heard(shape, at, tied)
        noise = sh.field_of(np.array(vector["noise"][at]))
        return (yield from sh.computing(shape, at, uploads, tied, noise, drawing(vector, shape.servers[at])))

    return parts | {name: computing(at) for at, name in enumerate(shape.servers)}


RUNS = [*((ss.PROTOCOL, name) for name in made.ADDITIVE), *((sh.PROTOCOL, name) for name in made.SHAMIR)]


@pytest.mark.parametrize(("card", "name"), RUNS)
def test_ok_runs_send_these_messages_and_come_to_this(card: str, name: str) -> None:
    (vector,) = entries(card, f"ok_{name}")
    parts = additive(vector) if card == ss.PROTOCOL else on_polynomials(vector)
    done = play(parts, seed=3, lost=[f"input{n + 1}" for n in range(vector["public"]["h"])])
    assert {key[2]: made.of_array(array) for key, array in done.sent} == vector["messages"]
    found = done.outputs["result"]
    assert (found.total.tolist(), found.present.tolist()) == (vector["total"], vector["present"])
    modulo = 2**64 if card == ss.PROTOCOL else P
    rows = [row for row, there in zip(vector["values"], vector["present"], strict=True) if there] + vector["noise"]
    assert vector["total"] == [sum(column) % modulo for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", made.HELD)
def test_ok_runs_for_disclosure_control_come_to_these_shares(name: str) -> None:
    (vector,) = entries(held.PROTOCOL, f"ok_{name}")
    tied = Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    h, g, v = (vector["public"][each] for each in ("h_i", "g", "v"))
    shape = held.Shape(holders=h, cells=g, moments=v, minimum=vector["minimum"])
    missing = {(holder, at) for holder, at in vector["missing"]}
    parts: dict[str, Role[Any]] = {"result": held.result(shape)}
    for n in range(h):
        me = f"input{n + 1}"
        own = held.input_party(shape, n, words_of(vector["values"][n]), tied, drawing(vector, me))
        parts[me] = losing(own, {shape.servers[at] for holder, at in missing if holder == n})

    def first() -> Role[Any]:
        return (yield from held.first(shape, (yield from held.heard_seeds(shape, tied)), tied))

    def second() -> Role[Any]:
        return (yield from held.second(shape, (yield from held.heard_words(shape)), tied))

    for at, role in enumerate((first(), second())):
        parts[shape.servers[at]] = without(role, {f"input{holder + 1}" for holder, there in missing if there == at})
    done = play(parts, seed=3, lost=[f"input{n + 1}" for n in range(h)])
    assert {f"{key[2]}.{key[3]}": made.of_array(array) for key, array in done.sent} == vector["messages"]
    shares = {role: done.outputs[role][1] for role in ("first", "second")}
    assert {role: share.tolist() for role, share in shares.items()} == vector["shares"]
    assert done.outputs["result"].tolist() == vector["present"]
    rows = [row for row, there in zip(vector["values"], vector["present"], strict=True) if there]
    sums = [sum(column) % 2**64 for column in zip(*rows, strict=True)]
    assert (shares["first"] + shares["second"]).ravel().tolist() == sums


def test_steps_of_a_split() -> None:
    (split,), (lists,) = (entries(ss.PROTOCOL, name) for name in ("step_split", "step_confirmation"))
    of = made.ADDITIVE["two"].shape.delivery
    (key,) = of.keys(Secret(bytes.fromhex(split["seeds"][0])), TIED, split["holder"], 0)
    assert key.expose("compare").hex() == split["stream_key"]
    assert prf.words(key, 4).tolist() == split["stream"]
    values = made.ADDITIVE["two"].values[split["holder"]]
    assert [(a + b) % 2**64 for a, b in zip(split["words"], split["stream"], strict=False)] == [
        v % 2**64 for v in values
    ]
    marks = {role: np.frombuffer(bytes.fromhex(lists[role]), np.uint8).reshape(4, 16) for role in ("server1", "last")}
    assert contributions.confirmation(TIED, marks).tobytes().hex() == lists["confirmation"]
    text = b"pets/1 contributors" + TIED.run_id + TIED.digest
    for role in ("last", "server1"):
        for part in (role.encode(), bytes.fromhex(lists[role])):
            text += len(part).to_bytes(4, "big") + part
    assert hashlib.sha256(text).hexdigest() == lists["confirmation"]


def test_any_three_points_open_the_vector() -> None:
    (step,) = entries(sh.PROTOCOL, "step_points")
    points = {int(at): np.array(vector, np.uint64) for at, vector in step["points"].items()}
    for three in ((1, 2, 3), (3, 4, 5), (1, 3, 5)):
        opened = sh.opened({at: points[at] for at in three}, step["degree"])
        assert sh.signed(opened).tolist() == step["value"]
    assert mersenne.interpolated([1], [points[1]]).tolist() == step["points"]["1"]


UPLOADS = [*entries(ss.PROTOCOL, "ok_uploads"), *entries(ss.PROTOCOL, "bad_uploads")]


@pytest.mark.parametrize("vector", UPLOADS, ids=lambda each: f"{each['at']}-{each['change']}")
def test_uploads_are_taken_or_refused_with_their_code(vector: dict[str, Any]) -> None:
    shape = ss.Shape(holders=3, computing=3, words=3, minimum=2)
    at, part = shape.servers.index(vector["at"]), bytes.fromhex(vector["upload"])
    assert made.judged(shape, at, vector["peer"], part, vector["now"]) == vector["code"]
    if not vector["code"]:
        to = shape.delivery.address(TIED, 0, at)
        sealed = part[len(to.plain) : len(to.plain) + to.sealed_head]
        assert len(hpke.opened(bytes.fromhex(vector["private"]), sealed, to.info)) == (32 if at == 2 else 48)


def test_every_kind_of_refusal_of_uploads_has_a_vector() -> None:
    codes = {each["code"] for each in UPLOADS}
    refused = {"peer.upload-late", "peer.upload-run", "peer.upload-holder", "peer.upload-sealed", "peer.bad-length"}
    assert codes == {"", *refused}


@pytest.mark.parametrize("card", IDS)
def test_bad_messages_fail_with_their_code(card: str) -> None:
    listed = entries(card, "bad_messages")
    assert listed
    for vector in listed:
        assert made.changed(card, vector["run"], vector["message"]) == vector["code"]
