"""Write the vectors of dh_psi_cardinality: ``python -m tests.oracles.dh_psi_vectors``; look at the difference.

``ok_*`` hold the inputs, all messages and the count; ``step_entries`` how entries become elements and tags, worked out
by the slow group of tests/oracles; ``bad_messages`` what is changed in the run of ok_small, who notices, and the code.
A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.protocols import dh_psi
from pets.protocols.base import Array
from pets.spec.cards import cards_folder
from tests.oracles import ristretto
from tests.oracles.dh_psi import CARD, Case, Reading, binding, entropy, hashed, roles
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Key, Transcript, play

SOURCE = "this implementation; messages by the terms of the card over Python's integers, the count by sets"
CASES: dict[str, tuple[Case, int]] = {
    "small": (Case([b"9434765919", b"9434765870", b"9434765919"], [b"9876543210", b"9434765919"], 3, 4), 1),
    "text_ids": (Case([b"a", "Zoë".encode(), b"x" * 40], ["Zoë".encode(), b"x" * 39], 3, 2, (40, 40)), 2),
    "nobody": (Case([], [], 0, 0), 3),
}
CHANGES = {
    "identity": bytes(32),
    "a 256th bit": (2**255 + 4).to_bytes(32, "little"),
    "not below p": (2**255 - 19 + 2).to_bytes(32, "little"),
    "odd": (1).to_bytes(32, "little"),
    "no square": bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
    "negative xy": bytes.fromhex("3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e"),
    "y is 0": bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
}


def run(case: Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


def ok(case: Case, seed: int) -> dict[str, Any]:
    ran, reading = run(case, seed), Reading(case, seed)
    messages = {message.label: [each.hex() for each in reading.message(message.label)] for message in CARD.messages}
    for label, rows in messages.items():
        assert [row.tobytes().hex() for row in ran.array(label)] == rows, label
    assert ran.outputs["a"] == case.oracle()
    tied = binding(seed)
    return {
        "digest": tied.digest.hex(),
        "run_id": tied.run_id.hex(),
        "a": {"declared": case.n_a, "ids": [each.hex() for each in case.ids_a], "entropy": _drawn(seed, "a")},
        "b": {"declared": case.n_b, "ids": [each.hex() for each in case.ids_b], "entropy": _drawn(seed, "b")},
        "messages": messages,
        "count": case.oracle(),
    }


def _drawn(seed: int, role: str) -> str:
    return entropy(seed, role).expose("write it into a vector").hex()


def step(seed: int = 1) -> dict[str, Any]:
    reading = Reading(*CASES["small"])
    tied = binding(seed)
    tag = b"pets/1-dhpsi-" + tied.digest
    entries = [bytes([1]) + b"9434765919", bytes([2])]
    both = [reading.value("D1"), reading.value("D2")]
    return {
        "hash_tag": tag.hex(),
        "tag_key": hashlib.sha256(b"pets/1-dhpsi-tags-" + tied.run_id).digest()[:16].hex(),
        "scalars": [
            (int.from_bytes(entropy(seed, role).expose("a vector")[:64], "little") % ristretto.ORDER)
            .to_bytes(32, "little")
            .hex()
            for role in ("a", "b")
        ],
        "entries": [{"entry": entry.hex(), "element": hashed(entry, tag).encode().hex()} for entry in entries],
        "D1": [each.hex() for each in both[0]],
        "D2": [each.hex() for each in both[1]],
    }


def changed(label: str, change: str) -> Any:
    """What alters one message: row 1 becomes the bytes of a change, or row 0; or a row is missing or doubled."""

    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        out = array.copy()
        if change == "repeat":
            out[1] = out[0]
        elif change == "swap":
            out[[0, 1]] = out[[1, 0]]
        elif change == "other run":
            out = run(*CASES["small"][:1], 9).array(label)
        else:
            out[1] = np.frombuffer(CHANGES[change], np.uint8)
        return out

    return alter


def bad(label: str, change: str) -> dict[str, Any]:
    at = "b" if label == "D1" else "a"
    try:
        run(*CASES["small"], changed(label, change))
    except PetsError as error:
        seen_at = "a" if error.code == "peer.other-set" else at
        return {"step": label, "change": change, "at": seen_at, "code": error.code, "text": error.text}
    return {"step": label, "change": change, "at": at, "code": "", "text": ""}


BAD = [
    *((label, change) for label in ("D1", "D3") for change in (*CHANGES, "repeat", "other run")),
    *(("D2", change) for change in ("repeat", "swap", "other run")),
]


def files() -> dict[Path, dict[str, Any]]:
    listed: dict[str, tuple[str, list[dict[str, Any]]]] = {
        f"ok_{name}": ("a run: inputs, what each side draws, all messages", [ok(case, seed)])
        for name, (case, seed) in CASES.items()
    }
    listed["step_entries"] = ("the run of ok_small: entries to elements, scalars, tags", [step()])
    listed["bad_messages"] = (
        "the run of ok_small with one message changed. repeat: row 1 becomes row 0; swap: rows 0 and 1 change places; "
        "other run: the message of another run; else row 1 becomes bytes that encode no element",
        [bad(label, change) for label, change in BAD],
    )
    made: dict[Path, dict[str, Any]] = {}
    for name, (parameters, entries) in listed.items():
        header = {
            "card": dh_psi.PROTOCOL,
            "version": CARD.version,
            "source": SOURCE,
            "generator": "tests/oracles/dh_psi_vectors.py",
            "licence": LICENCE,
            "parameters": parameters,
            "entries": len(entries),
            "valid": 0 if name.startswith("bad_") else len(entries),
        }
        made[cards_folder() / dh_psi.PROTOCOL / "vectors" / f"{name}.json"] = {"header": header, "entries": entries}
    return made


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
