"""Write the vectors of checked_sum: ``python -m tests.oracles.checked_sum_vectors``; look at the difference.

``ok_*`` hold vectors, what each party draws, all messages and the sum, one run of each kind of vector. ``bad_messages``
has one bit of each message of such runs changed, and the code of the first refusal. What the proofs themselves are is
held by the vectors of the draft's authors (tests/kernels/prio3.json). A change of any byte is a change of the protocol:
raise the version of the card.
"""

import random
from pathlib import Path
from typing import Any

from pets.errors import PetsError
from pets.protocols import checked_sum as cs
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import checked_sum as oracle
from tests.oracles.checked_sum import Case
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Array, Key, play
from tests.oracles.secure_sum import TIED
from tests.oracles.secure_sum_vectors import entropy, of_array

SOURCE = "this implementation; messages by the terms of the card over a slow Prio3 of integers, sums by integers"
CASES: dict[str, Case] = {
    "count": Case([[1], [0], [1]], [[-4], [1]]),
    "vector": Case([[5, 0], [2, 9], [1, 1]], [[1, 0], [0, -12]], 9, missing=frozenset({(2, 0)})),
    "cells": Case([[0, 1, 0], [1, 0, 0]], [[0, 2, 0], [0, 0, -1], [0, 0, 0]], one_cell=True),
}


def ok(name: str) -> dict[str, Any]:
    """One run: what goes in, all messages, what comes out."""
    case, inputs = CASES[name], [f"input{n + 1}" for n in range(len(CASES[name].values))]
    done = play(oracle.roles(case), seed=1, lost=inputs)
    found = done.outputs["result"]
    pairs = [[role, "last"] for role in case.shape.servers[:-1]]
    return {
        "digest": TIED.digest.hex(),
        "run_id": TIED.run_id.hex(),
        "public": case.public(),
        "minimum": case.minimum,
        "missing": sorted(map(list, case.missing)),
        "values": case.values,
        "noise": case.noise,
        "entropy": {who: entropy(1, who) for who in inputs},
        "secrets": {"+".join(pair): random.Random(f"1 {pair}").randbytes(32).hex() for pair in pairs},
        "messages": {key[2]: of_array(array) for key, array in sorted(done.sent, key=lambda each: each[0][2])},
        "total": list(found.total),
        "present": found.present.tolist(),
    }


def bad() -> list[dict[str, Any]]:
    entries = []
    for name in ("count", "cells"):
        for label in sorted(ok(name)["messages"]):
            entries.append({"run": name, "message": label, "bit": 0, "code": changed(name, label)})
    return [each for each in entries if each["code"]]


def changed(name: str, label: str) -> str:
    """The first refusal of a run in which the lowest bit of the last byte or word of a message is another."""

    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        other = array.copy()
        other.reshape(-1)[-1] ^= other.dtype.type(1)
        return other

    try:
        play(oracle.roles(CASES[name]), seed=1, alter=alter)
    except PetsError as error:
        return error.code
    return ""


def files() -> dict[Path, dict[str, Any]]:
    folder = cards_folder() / cs.PROTOCOL / "vectors"
    found = {folder / f"ok_{name}.json": _file([ok(name)], "one whole run", valid=1) for name in CASES}
    return found | {folder / "bad_messages.json": _file(bad(), "one bit of a message changed", valid=0)}


def _file(entries: list[dict[str, Any]], parameters: str, *, valid: int) -> dict[str, Any]:
    return {
        "header": {
            "card": cs.PROTOCOL,
            "version": load_cards()[cs.PROTOCOL].version,
            "source": SOURCE,
            "generator": "tests/oracles/checked_sum_vectors.py",
            "licence": LICENCE,
            "parameters": parameters,
            "entries": len(entries),
            "valid": valid,
        },
        "entries": entries,
    }


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
