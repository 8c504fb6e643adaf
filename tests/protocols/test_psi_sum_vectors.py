"""Replay the vectors of psi_sum and psi_sum_shares, as a stranger would read them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from pets.protocols import base, psi_sum
from pets.secret import Secret
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import psi_sum_vectors as made
from tests.oracles.dh_psi import rows_of
from tests.oracles.play import play
from tests.oracles.psi_sum import NAMES, SECOND, InClear, family

IDS = (psi_sum.PROTOCOL, psi_sum.SHARES)
SEEDS = {name: seed for name, (_, seed) in made.CASES.items()}


def entries(card: str, name: str) -> list[dict[str, Any]]:
    path = cards_folder() / card / "vectors" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["entries"]  # type: ignore[no-any-return]


def test_the_generator_writes_these_files_and_no_others() -> None:
    written = made.files()
    assert sorted(written) == sorted(
        path for card in IDS for path in (cards_folder() / card / "vectors").glob("*.json")
    )
    for path, content in written.items():
        assert path.read_text(encoding="utf-8") == made.text_of(content), path.name


@pytest.mark.parametrize("name", made.CASES)
@pytest.mark.parametrize("card", IDS)
def test_ok_runs_send_these_bytes_and_come_to_this(card: str, name: str) -> None:
    (vector,) = entries(card, f"ok_{name}")
    tied = base.Binding(digest=bytes.fromhex(vector["digest"]), run_id=bytes.fromhex(vector["run_id"]))
    names = load_cards()[card].names(vector["public"])
    shape = psi_sum.Shape(**{each: names[each] for each in NAMES})
    ids = {role: [bytes.fromhex(each) for each in vector[role]["ids"]] for role in "ab"}
    rows = {role: rows_of(each, max(map(len, each), default=1)) for role, each in ids.items()}
    drawn = {role: Secret(bytes.fromhex(vector[role]["entropy"])) for role in "ab"}
    people_a = psi_sum.PeopleOfA(rows["a"], np.array(vector["a"]["groups"], np.uint32))
    columns = [np.array([row[k] for row in vector["b"]["values"]], np.int64) for k in range(shape.v)]
    people_b = psi_sum.PeopleOfB(rows["b"], columns)
    control = None if vector["control"] is None else psi_sum.Control(**vector["control"])
    noise = np.array(vector["b"]["noise"], np.int64).reshape(shape.v, shape.g).view(np.uint64)
    if card == psi_sum.PROTOCOL:
        parts = {
            "a": psi_sum.party_a(shape, people_a, tied, InClear(), drawn["a"], control=control),
            "b": psi_sum.party_b(shape, people_b, tied, InClear(), drawn["b"], noise),
        }
    else:
        of_a = np.array(vector["a"]["noise"], np.int64).view(np.uint64)
        keys = [family(SEEDS[name]) for _ in range(2)]
        parts = {
            "a": psi_sum.share_of_a(shape, people_a, tied, InClear(), drawn["a"], of_a, keys[0], control=control),
            "b": psi_sum.share_of_b(shape, people_b, tied, InClear(), drawn["b"], noise, keys[1]),
            "result": psi_sum.result(shape),
        }
    ran = play(parts)
    for label, columns_of in vector["messages"].items():
        for column, expected in enumerate(columns_of):
            array = ran.array(label, column)
            assert (array.tolist() if array.ndim == 1 else [row.tobytes().hex() for row in array]) == expected
    for label, listed in vector["slots"].items():
        for column, digests in enumerate(listed):
            ciphers = ran.array(label, column).reshape(len(digests), names["cipher"])
            assert [hashlib.sha256(each[SECOND].tobytes()).hexdigest() for each in ciphers] == digests
    found = ran.outputs["a" if card == psi_sum.PROTOCOL else "result"]
    assert [list(found.shown), list(found.counts), [list(row) for row in found.sums]] == list(vector["result"].values())


@pytest.mark.parametrize(
    "vector", entries(psi_sum.PROTOCOL, "bad_messages"), ids=lambda v: f"{v['step']}-{v['change']}"
)
def test_bad_messages_fail_at_their_step_with_their_code(vector: dict[str, str]) -> None:
    assert vector["code"], "a bad vector that nobody refuses"
    assert made.bad(vector["step"], vector["change"]) == vector


def test_the_results_are_those_of_dictionaries() -> None:
    for card in IDS:
        (vector,) = entries(card, "ok_small")
        both, people = card == psi_sum.SHARES, dict(zip(vector["b"]["ids"], vector["b"]["values"], strict=True))
        for group in range(2):
            mine = [
                one
                for one, of in zip(vector["a"]["ids"], vector["a"]["groups"], strict=True)
                if of == group and one in people
            ]
            for k in range(2):
                noise = vector["b"]["noise"][k][group] + (vector["a"]["noise"][1 + k][group] if both else 0)
                assert vector["result"]["sums"][k][group] == sum(people[one][k] for one in mine) + noise
            extra = vector["a"]["noise"][0][group] if both else 0
            assert vector["result"]["counts"][group] == len(mine) + extra
