"""Replay the vectors of intersections with a helper, as a stranger would read them."""

import json
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pets.kernels import prf
from pets.protocols import tagged
from pets.secret import Secret
from pets.spec.cards import cards_folder
from tests.oracles import helper_psi_vectors as made
from tests.oracles.dh_psi import rows_of
from tests.oracles.helper_join import dummies
from tests.oracles.helper_psi import CARDS, CODE, COUNT, ENOUGH, WHICH
from tests.oracles.play import play

OK = [(which, name) for which in CARDS for name in ("ok_small", "ok_text_ids", "ok_nobody")]


def entries(which: str, name: str) -> list[dict[str, Any]]:
    path = cards_folder() / which / "vectors" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    there = [path for which in CARDS for path in (cards_folder() / which / "vectors").glob("*.json")]
    assert sorted(written) == sorted(there)
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name


def family(vector: dict[str, Any], which: str, pair: str) -> prf.KeyFamily:
    return prf.KeyFamily(
        Secret(bytes.fromhex(vector["shared"][pair])),
        run_id=bytes.fromhex(vector["run_id"]),
        digest=bytes.fromhex(vector["digest"]),
        protocol=which,
        party_p=pair[0].upper(),
        party_q=pair[1].upper(),
    )


@pytest.mark.parametrize(("which", "name"), OK)
def test_ok_runs_send_these_bytes_and_find_this(which: str, name: str) -> None:
    (vector,) = entries(which, name)
    code: Any = CODE[which]
    names = CARDS[which].names(vector["public"])
    own: dict[str, dict[str, Any]] = {
        WHICH: {"p_b": names.get("p_b"), "both": bool(names.get("both"))},
        COUNT: {"noised": names.get("r") == 1},
        ENOUGH: {
            "min_result": names.get("min_result"),
            "shown": bool(names.get("shown")),
            "noised": bool(names.get("noised")),
        },
    }
    sizes = {each: names[each] for each in ("n_a", "n_b", "s", "t", "n_list_a", "n_list_b")}
    shape = code.Shape(**sizes, **own[which], fixed_ids=vector["fixed_ids"], dummies=dummies(1, names["s"]))
    listed = [[bytes.fromhex(each) for each in vector[f"ids_{role}"]] for role in "ab"]
    ids = [rows_of(one, width) for one, width in zip(listed, vector["width"], strict=True)]

    def fresh(pair: str) -> prf.KeyFamily:
        return family(vector, which, pair)

    noise = [None if vector["noise"] is None else np.array([n % 2**64], np.uint64) for n in vector["noise"] or [0] * 3]
    if which == WHICH:
        columns = [np.array(column, np.int64) for column in vector["values_b"]]
        parts = {
            "a": code.party_a(shape, ids[0], fresh("ab"), fresh("ac")),
            "b": code.party_b(shape, ids[1], columns, fresh("ab"), fresh("bc")),
            "helper": code.helper(shape, fresh("ac"), fresh("bc")),
        }
    else:
        parts = {
            "a": code.party_a(shape, ids[0], fresh("ab"), fresh("ac"), noise[0]),
            "b": code.party_b(shape, ids[1], fresh("ab"), fresh("bc"), noise[1]),
            "helper": code.helper(shape, fresh("ac"), fresh("bc"), noise[2]),
            "result": code.result(shape) if which == COUNT else code.result(),
        }
    ran = play(parts)
    assert {made.name_of(key): made.rows_of(array) for key, array in ran.sent} == vector["messages"]
    if which == WHICH:
        places, values, of_b = vector["result"]
        assert ran.outputs["a"].places.tolist() == places
        assert [each.tolist() for each in ran.outputs["a"].values] == values
        assert (None if ran.outputs["b"] is None else ran.outputs["b"].tolist()) == of_b
        assert [vector["ids_a"][place] for place in places] == [
            each for each in vector["ids_a"] if each in vector["ids_b"]
        ]
        return
    assert code.open_shares(shape, ran.outputs["result"]) == vector["result"]
    number = len(set(vector["ids_a"]) & set(vector["ids_b"])) + sum(vector["noise"] or ())
    assert vector["result"] in (number, int(number >= vector["public"].get("min_result", 0)))


BAD = [(which, vector) for which in CARDS for vector in entries(which, "bad_messages")]


@pytest.mark.parametrize(
    ("which", "vector"), BAD, ids=lambda v: v if isinstance(v, str) else f"{v['step']}-{v['change']}"
)
def test_bad_messages_fail_at_their_step_with_their_code(which: str, vector: dict[str, str]) -> None:
    assert vector["code"], "a bad vector that nobody refuses"
    assert made.bad(which, vector["step"], vector["change"]) == vector


@pytest.mark.parametrize("which", CARDS)
def test_step_values_are_those_of_kernels_and_of_aes(which: str) -> None:
    (vector,) = entries(which, "step_entries")
    (whole,) = entries(which, "ok_small")
    for entry in vector["entries"]:
        block = bytes.fromhex(entry["block"])
        for key, text in (("tag_key", "tag"), ("pad_key", "pad")):
            if key in vector:
                cipher = Cipher(algorithms.AES128(bytes.fromhex(vector[key])), modes.ECB()).encryptor()
                assert cipher.update(block).hex().startswith(entry[text])
        assert entry["tag"] in whole["messages"]["b H1b.0"]
    ids = rows_of([bytes.fromhex(each) for each in whole["ids_b"]], 10)
    names = CARDS[which].names(whole["public"])
    sizes = tagged.Sizes(
        **{each: names[each] for each in ("n_a", "n_b", "s", "t", "n_list_a", "n_list_b")},
        fixed_ids=True,
        dummies=dummies(1, names["s"]),
    )
    mine = tagged.listed(sizes, "b", ids, family(whole, which, "ab"))
    assert mine.dummies == vector["dummies"]
    assert [row.tobytes().hex() for row in mine.tags] == whole["messages"]["b H1b.0"]
