"""Write the vectors of intersections with a helper: ``python -m tests.oracles.helper_psi_vectors``; see the difference.

``ok_*`` hold the inputs, the secrets that pairs share, all messages and the result; ``step_entries`` how entries become
tags and pads, by single AES blocks; ``bad_messages`` what is changed in the run of ok_small, who notices,
and the code. A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pets.errors import PetsError
from pets.protocols.base import Array
from pets.spec.cards import cards_folder
from tests.oracles import terms
from tests.oracles.helper_join import DELTA, EPSILON
from tests.oracles.helper_psi import CARDS, COUNT, ENOUGH, WHICH, Case, Reading, found, roles
from tests.oracles.make_vectors import LICENCE, text_of
from tests.oracles.play import Key, Transcript, play

SOURCE = "this implementation; messages by the terms of the card over Python's integers, results by sets"
SMALL = Case(
    [b"9434765919", b"9434765870", b"9876543210"],
    [b"9876543210", b"9434765919"],
    3,
    4,
    fixed=True,
    y=[[-1, 2**40]],
    both=True,
    min_result=2,
)
TEXT = Case(
    [b"a", "Zoë".encode(), b"x" * 40],
    ["Zoë".encode(), b"x" * 39],
    3,
    2,
    (40, 40),
    noise=(3, -1, 2),
    min_result=6,
    shown=True,
)
CASES: dict[str, tuple[Case, int]] = {"small": (SMALL, 1), "text_ids": (TEXT, 2), "nobody": (Case([], [], 0, 0), 3)}

BAD: dict[str, list[tuple[str, str]]] = {
    WHICH: [
        *((label, change) for label in ("H1a", "H1b") for change in ("repeat", "swap", "other run")),
        *((label, change) for label in ("H2", "H2b") for change in ("bit", "other run")),
    ],
    COUNT: [
        *((label, change) for label in ("H1a", "H1b") for change in ("repeat", "swap", "other run")),
        *((label, "other run") for label in ("Ea", "Eb", "Ec")),
    ],
    ENOUGH: [
        *((label, change) for label in ("H1a", "H1b") for change in ("repeat", "swap")),
        *((label, "other run") for label in ("Ra", "Rb", "Rc")),
    ],
}


def run(which: str, case: Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(which, case, seed), seed=seed, alter=alter)


def rows_of(array: Array) -> list[str]:
    """One text for each tag or word, as bytes."""
    return [row.tobytes().hex() for row in (array if array.ndim == 2 else array.reshape(-1, 1))]


def name_of(key: Key) -> str:
    """Sender, label and column of a message."""
    return f"{key[0]} {key[2]}.{key[3]}"


def ok(which: str, case: Case, seed: int) -> dict[str, Any]:
    ran = run(which, case, seed)
    messages = {name_of(key): rows_of(array) for key, array in sorted(ran.sent, key=lambda sent: sent[0])}
    if which != ENOUGH:  # what its program makes, no term says
        sender = {message.label: message.sender for message in CARDS[which].messages}
        for (label, column), content in Reading(which, case, seed, CARDS[which]).sent():
            assert "".join(messages[name_of((sender[label], "", label, column))]) == content.hex(), label
    result = found(which, case, ran.outputs)
    assert result == case.oracle(which)
    return {
        "seed": seed,
        "run_id": hashlib.sha256(f"run {seed}".encode()).hexdigest(),
        "digest": bytes(32).hex(),
        "shared": {pair: hashlib.sha256(f"{seed} {pair}".encode()).hexdigest() for pair in ("ab", "ac", "bc")},
        "public": case.public(which),
        "fixed_ids": case.fixed,
        "width": case.width,
        "ids_a": [each.hex() for each in case.ids_a],
        "ids_b": [each.hex() for each in case.ids_b],
        "values_b": case.y if which == WHICH else [],
        "noise": case.noise if which != WHICH else None,
        "messages": messages,
        "result": result,
    }


def step(which: str) -> dict[str, Any]:
    reading = Reading(which, *CASES["small"], CARDS[which])
    blocks = reading.listed("b")[:4]
    key, pad = reading.run.key("s_ab", "tag"), reading.run.key("s_ab", "pad", 0)
    entries = [{"block": block.hex(), "tag": terms.aes(key, block)[: reading.names["t"]].hex()} for block in blocks]
    if which == WHICH:
        for entry, block in zip(entries, blocks, strict=True):
            entry["pad"] = terms.aes(pad, block)[:8].hex()
    return {
        "tag_key": key.hex(),
        **({"pad_key": pad.hex()} if which == WHICH else {}),
        "dummies": reading.run.number_of_dummies("s_ab"),
        "entries": entries,
    }


def changed(which: str, label: str, change: str) -> Any:
    """What alters one message: row 1 becomes row 0, rows 0 and 1 change places, a bit flips; or it is another run's."""

    def alter(key: Key, array: Array) -> Array:
        if key[2] != label:
            return array
        out = array.copy()
        if change == "repeat":
            out[1] = out[0]
        elif change == "swap":
            out[[0, 1]] = out[[1, 0]]
        elif change == "bit":
            out[0] ^= np.uint64(1)
        else:
            out = run(which, CASES["small"][0], 9).array(label)
        return out

    return alter


def bad(which: str, label: str, change: str) -> dict[str, Any]:
    case, seed = CASES["small"]
    at = {"H2": "a", "H2b": "b"}.get(label, "helper" if label.startswith("H1") else "result")
    if change == "other run" and label.startswith("H1"):
        at = "a and b" if which == WHICH else "result"
    try:
        found(which, case, run(which, case, seed, changed(which, label, change)).outputs)
    except PetsError as error:
        return {"step": label, "change": change, "at": at, "code": error.code, "text": error.text}
    return {"step": label, "change": change, "at": at, "code": "", "text": ""}


def files() -> dict[Path, dict[str, Any]]:
    made: dict[Path, dict[str, Any]] = {}
    law = f"helper's count: epsilon {EPSILON}, delta 1/{DELTA.denominator}"
    for which, card in CARDS.items():
        listed: dict[str, tuple[str, list[dict[str, Any]]]] = {
            f"ok_{name}": (f"a run: inputs, secrets of pairs, all messages; {law}", [ok(which, case, seed)])
            for name, (case, seed) in CASES.items()
        }
        listed["step_entries"] = ("the run of ok_small: the first entries of b to tags and pads", [step(which)])
        listed["bad_messages"] = (
            "the run of ok_small with one message changed. repeat: row 1 becomes row 0; swap: rows 0 and 1 change "
            "places; bit: the lowest bit of word 0; other run: the message of another run",
            [bad(which, label, change) for label, change in BAD[which]],
        )
        for name, (parameters, entries) in listed.items():
            header = {
                "card": which,
                "version": card.version,
                "source": SOURCE,
                "generator": "tests/oracles/helper_psi_vectors.py",
                "licence": LICENCE,
                "parameters": parameters,
                "entries": len(entries),
                "valid": 0 if name.startswith("bad_") else len(entries),
            }
            made[cards_folder() / which / "vectors" / f"{name}.json"] = {"header": header, "entries": entries}
    return made


def main() -> None:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(content), encoding="utf-8")
        print(f"{path.relative_to(cards_folder())}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
