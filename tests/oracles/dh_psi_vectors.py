"""Write the vectors of dh_psi_cardinality: ``python -m tests.oracles.dh_psi_vectors``; look at the difference.

``ok_*`` hold the inputs, all messages and the count; ``step_entries`` how entries become elements and tags, worked out
by the slow group of tests/oracles; ``bad_messages`` what is changed in the run of ok_small, who notices, and the code.
A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

from tests.oracles import intersections, ristretto
from tests.oracles.dh_psi import CARD, Case, Reading, entropy, roles
from tests.oracles.intersections import binding, hashed, refused
from tests.oracles.play import Transcript, play

SOURCE = "this implementation; messages by the terms of the card over Python's integers, the count by sets"
CASES: dict[str, tuple[Case, int]] = {
    "small": (Case([b"9434765919", b"9434765870", b"9434765919"], [b"9876543210", b"9434765919"], 3, 4), 1),
    "text_ids": (Case([b"a", "Zoë".encode(), b"x" * 40], ["Zoë".encode(), b"x" * 39], 3, 2, (40, 40)), 2),
    "nobody": (Case([], [], 0, 0), 3),
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


def bad(label: str, change: str) -> dict[str, Any]:
    alter = intersections.changed(label, change, place=1, other=lambda: run(CASES["small"][0], 9))
    return refused(CARD, label, change, ("peer.other-set",), lambda: run(*CASES["small"], alter))


BAD = [
    *((label, change) for label in ("D1", "D3") for change in (*intersections.CHANGES, "repeat", "other run")),
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
    return intersections.in_files(CARD, SOURCE, "tests/oracles/dh_psi_vectors.py", listed)


def main() -> None:
    intersections.write(files())


if __name__ == "__main__":
    main()
