"""Write the vectors of vole_psi: ``python -m tests.oracles.vole_psi_vectors``; look at the difference.

``ok_*`` hold the inputs, digests of all messages and the places; ``step_transfers`` what first transfers come to,
worked out by the slow group of tests/oracles; ``bad_messages`` what is changed in the run of ok_small, who notices, and
the code.
A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.protocols import vole_psi
from pets.protocols.base import Array
from pets.spec.cards import cards_folder
from pets.spec.term import Call
from tests.oracles.dh_psi import binding
from tests.oracles.dh_psi_vectors import CHANGES
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Key, Transcript, play
from tests.oracles.vole_psi import CARD, Case, Reading, entropy, roles

SOURCE = "this implementation; messages by a second reading of the terms of the card, places by sets"
CASES: dict[str, tuple[Case, int]] = {
    "small": (Case([b"9434765919", b"9434765870"], [b"9876543210", b"9434765919"], 3, 4), 1),
    "text_ids": (Case([b"a", "Zoë".encode(), b"x" * 40], ["Zoë".encode(), b"x" * 39], 3, 2, (40, 40)), 2),
    "nobody": (Case([], [], 0, 0), 1),
}
LABELS = [message.label for message in CARD.messages]


def run(case: Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


def digest(rows: list[bytes]) -> str:
    return hashlib.sha256(b"".join(rows)).hexdigest()


def ok(case: Case, seed: int) -> dict[str, Any]:
    ran, reading = run(case, seed), Reading(case, seed)
    messages = {label: digest(reading.message(label)) for label in LABELS}
    for label, expected in messages.items():
        assert digest([ran.array(label).tobytes()]) == expected, label
    assert ran.outputs["receiver"].tolist() == case.oracle()
    tied = binding(seed)
    return {
        "digest": tied.digest.hex(),
        "run_id": tied.run_id.hex(),
        "receiver": {
            "declared": case.n_r,
            "ids": [each.hex() for each in case.ids_r],
            "entropy": _drawn(seed, "receiver"),
        },
        "sender": {"declared": case.n_s, "ids": [each.hex() for each in case.ids_s], "entropy": _drawn(seed, "sender")},
        "width": max(case.width),
        "messages": messages,
        "outputs": [row.hex() for row in reading.message("V6")],
        "places": case.oracle(),
    }


def _drawn(seed: int, role: str) -> str:
    return entropy(seed, role).expose("write it into a vector").hex()


def step() -> dict[str, Any]:
    reading = Reading(*CASES["small"])
    chosen, offered = (reading.value(Call(head, (key,))) for head, key in (("choices", "own_s"), ("offers", "own_r")))
    both = reading.both_keys("own_r", chosen)
    return {
        "bases": [each.hex() for each in reading.bases()],
        "choices": reading.bits("own_s").to_bytes(32, "little").hex(),
        "offered": [each.hex() for each in offered],
        "first_chosen": [each.hex() for each in chosen[:3]],
        "first_keys": [[each.hex() for each in pair] for pair in both[:3]],
        "last_keys": [each.hex() for each in both[255]],
        "pads": [reading.pad(number, 5).hex() for number in range(3)],
    }


def changed(label: str, change: str) -> Any:
    """What alters one message: its last row becomes the bytes of a change, or is altered otherwise."""

    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        out = array.copy()
        if change == "repeat":
            out[-1] = out[0]
        elif change == "swap":
            out[[0, 1]] = out[[1, 0]]
        elif change == "flip":
            out ^= np.uint8(1)
        elif change == "other run":
            out = run(CASES["small"][0], 9).array(label)
        else:
            out[-1] = np.frombuffer(CHANGES[change], np.uint8)
        return out

    return alter


def bad(label: str, change: str) -> dict[str, Any]:
    receiver = {message.label: message.receiver for message in CARD.messages}[label]
    code, text = "", ""
    try:
        run(*CASES["small"], changed(label, change))
    except PetsError as error:
        code, text = error.code, error.text
    return {
        "step": label,
        "change": change,
        "at": "receiver" if code == "peer.other-set" else receiver,
        "code": code,
        "text": text,
    }


BAD = [
    *((label, change) for label in ("V1r", "V1s") for change in CHANGES),
    *((label, "other run") for label in LABELS),
    *((label, "flip") for label in LABELS if label not in ("V1r", "V1s", "V6")),
    *(("V6", change) for change in ("repeat", "swap")),
]


def files() -> dict[Path, dict[str, Any]]:
    listed: dict[str, tuple[str, list[dict[str, Any]]]] = {
        f"ok_{name}": (
            "a run: inputs, what each side draws, SHA-256 of each message, V6 itself, places of the receiver's persons",
            [ok(case, seed)],
        )
        for name, (case, seed) in CASES.items()
    }
    listed["step_transfers"] = (
        "the run of ok_small: bases, choices (low bit first), elements and keys of first transfers; pads of row 5",
        [step()],
    )
    listed["bad_messages"] = (
        "the run of ok_small with one message changed. repeat: the last row becomes row 0; swap: rows 0 and 1 change "
        "places; flip: the lowest bit of each byte; other run: the message of another run; else the last row becomes "
        "bytes that encode no element",
        [bad(label, change) for label, change in BAD],
    )
    made: dict[Path, dict[str, Any]] = {}
    for name, (parameters, entries) in listed.items():
        header = {
            "card": vole_psi.PROTOCOL,
            "version": CARD.version,
            "source": SOURCE,
            "generator": "tests/oracles/vole_psi_vectors.py",
            "licence": LICENCE,
            "parameters": parameters,
            "entries": len(entries),
            "valid": 0 if name.startswith("bad_") else len(entries),
        }
        made[cards_folder() / vole_psi.PROTOCOL / "vectors" / f"{name}.json"] = {"header": header, "entries": entries}
    return made


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
