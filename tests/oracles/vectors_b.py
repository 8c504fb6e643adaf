"""Write the vectors of mode B: ``python -m tests.oracles.vectors_b``; look at the difference, then commit.

``ok_*`` hold the inputs, the digests of the card's own messages that do not depend on operations on shares, and the
sums; what operations send is in the vectors of rep3. ``step_table`` holds tokens, the slots that they read, and the
table that is written for them. A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pets.kernels import okvs
from pets.protocols import helper_join as mode_a
from pets.spec.cards import cards_folder, load_cards
from tests.oracles import helper_join_b as oracle
from tests.oracles import okvs as twin
from tests.oracles.helper_join import Case
from tests.oracles.make_vectors import CASES, LICENCE, case_json, noise_of, text_of
from tests.oracles.play import Transcript, play

CARD = "helper_join_b"
OWN = ("T", "M8", "Pc", "P", "Mn")


def run(case: Case, seed: int) -> Transcript:
    return play(oracle.roles(case, seed, noise_words=noise_of(case, seed)))


def ok(case: Case, seed: int) -> dict[str, Any]:
    ran = run(case, seed)
    sums = mode_a.open_shares(*ran.outputs["result"])
    total = noise_of(case, seed).view(np.int64).sum(axis=0)
    assert np.array_equal(sums, case.oracle() + total)
    sent = [((OWN.index(key[2]), key[3]), array) for key, array in ran.sent if key[2] in OWN]
    messages = [
        {
            "label": OWN[at],
            "column": column,
            "bytes": array.nbytes,
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        }
        for (at, column), array in sorted(sent, key=lambda each: each[0])
    ]
    noise = noise_of(case, seed).view(np.int64).tolist()
    return {"input": case_json(case, seed), "noise": noise, "messages": messages, "sums": sums.tolist()}


def step(keys: int) -> dict[str, Any]:
    """Tokens made of digests, two of them with the same three slots; the table that the slow twin writes."""
    tokens = [hashlib.sha256(b"token %d" % number).digest()[:16] for number in range(keys)]
    tokens[1] = tokens[0][:9] + tokens[1][9:]
    words = [int.from_bytes(hashlib.sha256(b"word %d" % number).digest()[:8], "little") for number in range(keys)]
    third = okvs.third_of(keys)
    table = twin.write(tokens, words, third)
    assert table is not None
    return {
        "tokens": [token.hex() for token in tokens],
        "words": words,
        "third": third,
        "slots": [twin.slots(token, third)[0] for token in tokens],
        "table": {str(slot): word for slot, word in enumerate(table) if word},
    }


def files() -> dict[Path, dict[str, Any]]:
    made: dict[Path, dict[str, Any]] = {}
    entries = {f"ok_{name}": ("a run", ok(case, seed)) for name, (case, seed) in CASES.items()}
    entries["step_table"] = ("a table of 16 keys, of which one is put aside", step(16))
    for name, (parameters, entry) in entries.items():
        header = {
            "card": CARD,
            "version": load_cards()[CARD].version,
            "source": "this implementation; the sums by the plaintext twin, the table by its slow twin",
            "generator": "tests/oracles/vectors_b.py",
            "licence": LICENCE,
            "parameters": parameters,
            "entries": 1,
            "valid": 1,
        }
        made[cards_folder() / CARD / "vectors" / f"{name}.json"] = {"header": header, "entries": [entry]}
    return made


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
