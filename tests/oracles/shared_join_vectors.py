"""Write the vectors of shared_join: ``python -m tests.oracles.shared_join_vectors``; look at the difference.

``ok_*`` hold the rows of every holder, the SHA-256 of every message of the card itself and of all that each computing
party sends in operations, and the sums. A change of any byte is a change of the protocol: raise the card's version.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pets.protocols import helper_join
from pets.protocols.shared_join import PARTIES
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import shared_join as oracle
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import play, words

CARD = "shared_join"
CASES = {"numbers": 3, "holder_without_rows": 11, "text_ids": 20}
"""Seeds of random cases."""


def ok(seed: int) -> dict[str, Any]:
    case = oracle.random_case(seed, most=5, holders=2)
    noise = words(seed, 3, len(case.summed), case.cells)
    ran = play(oracle.roles(case, seed, noise_words=noise), seed=seed)
    sums = helper_join.open_shares(*ran.outputs["result"])
    assert np.array_equal(sums, case.oracle() + noise.view(np.int64).sum(axis=0))
    own, operations = [], {party: hashlib.sha256() for party in PARTIES}
    for (sender, to, label, column), array in ran.sent:
        if label[0] == "j":
            continue
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        own.append(
            {"from": sender, "to": to, "label": label, "column": column, "bytes": array.nbytes, "sha256": digest}
        )
    for party, digest_of in operations.items():
        for (sender, _, label, _), array in ran.sent:
            if sender == party and label[0] == "j":
                digest_of.update(array.tobytes())

    def listed(holders: list[list[oracle.Row]]) -> list[list[dict[str, Any]]]:
        return [[{"id": one.decode(), "cell": cell, "values": list(v)} for one, cell, v in rows] for rows in holders]

    return {
        "seed": seed,
        "public": oracle.public(case),
        "left": listed(case.left),
        "right": listed(case.right),
        "once": sorted(case.once),
        "summed": [[each.gathered, each.factor, each.once] for each in case.summed],
        "noise": noise.view(np.int64).tolist(),
        "messages": sorted(own, key=lambda each: (each["from"], each["to"], each["label"], each["column"])),
        "operations": {party: digest.hexdigest() for party, digest in operations.items()},
        "sums": sums.tolist(),
    }


def files() -> dict[Path, dict[str, Any]]:
    made: dict[Path, dict[str, Any]] = {}
    for name, seed in CASES.items():
        header = {
            "card": CARD,
            "version": load_cards()[CARD].version,
            "source": "this implementation; the sums by the plaintext twin",
            "generator": "tests/oracles/shared_join_vectors.py",
            "licence": LICENCE,
            "parameters": f"keys of a pair from the seed, as tests/oracles/shared_join.py makes them; {name}",
            "entries": 1,
            "valid": 1,
        }
        made[cards_folder() / CARD / "vectors" / f"ok_{name}.json"] = {"header": header, "entries": [ok(seed)]}
    return made


if __name__ == "__main__":
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")
