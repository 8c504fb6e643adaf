"""Write the vectors of vole_psi: ``python -m tests.oracles.vole_psi_vectors``; look at the difference.

``ok_*`` hold the inputs, digests of all messages and the places; ``step_transfers`` what first transfers come to,
worked out by the slow group of tests/oracles; ``bad_messages`` what is changed in the run of ok_small, who notices, and
the code.
A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

from pets.spec.term import Call
from tests.oracles import intersections
from tests.oracles.intersections import binding, refused
from tests.oracles.play import Transcript, play
from tests.oracles.vole_psi import CARD, Case, Reading, entropy, roles

SOURCE = "this implementation; messages by a second reading of the terms of the card, places by sets"
CASES: dict[str, tuple[Case, int]] = {
    "small": (Case([b"9434765919", b"9434765870"], [b"9876543210", b"9434765919"], 3, 4), 1),
    "text_ids": (Case([b"a", "Zoë".encode(), b"x" * 40], ["Zoë".encode(), b"x" * 39], 3, 2, (40, 40)), 2),
    "nobody": (Case([], [], 0, 0), 1),
    "values": (Case([b"1", b"2", b"3"], [b"3", b"4", b"1"], 3, 5, (10, 10), ((7, 8, 2**64 - 1), (0, 1, 2**63)), 1), 2),
}
LABELS = [message.label for message in CARD.messages]


def run(case: Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


def digest(rows: list[bytes]) -> str:
    return hashlib.sha256(b"".join(rows)).hexdigest()


def ok(case: Case, seed: int) -> dict[str, Any]:
    ran, reading = run(case, seed), Reading(case, seed)
    messages = {label: digest(reading.message(label)) for label in LABELS}
    sent = {key[2]: digest([array.tobytes()]) for key, array in ran.sent}
    assert messages == {label: digest([]) for label in LABELS} | sent
    return entry(ran, case, seed, messages, entropy)


def entry(ran: Transcript, case: Case, seed: int, messages: dict[str, str], entropy: Any) -> dict[str, Any]:
    """A run as it is written down; its results are those of sets."""
    found, places = ran.outputs["receiver"], ran.outputs["sender"]
    assert (found.places.tolist(), found.values.tolist()) == (case.oracle(), case.given())
    assert (None if places is None else places.tolist()) == case.told()
    tied = binding(seed)
    drawn = {role: entropy(seed, role).expose("write it into a vector").hex() for role in ("receiver", "sender")}
    return {
        "digest": tied.digest.hex(),
        "run_id": tied.run_id.hex(),
        "receiver": {
            "declared": case.n_r,
            "ids": [each.hex() for each in case.ids_r],
            "entropy": drawn["receiver"],
        },
        "sender": {"declared": case.n_s, "ids": [each.hex() for each in case.ids_s], "entropy": drawn["sender"]},
        "width": max(case.width),
        "messages": messages,
        "outputs": [row.tobytes().hex() for row in ran.array("V6")],
        "given": [[str(word) for word in column] for column in case.values],
        "both": case.both,
        "places": case.oracle(),
        "values": [[str(word) for word in column] for column in case.given()],
        "told": case.told(),
    }


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


def of(label: str) -> tuple[Case, int]:
    """The run in which a message is changed: one that has it."""
    return CASES["values" if label in ("V6p", "V7") else "small"]


def bad(label: str, change: str) -> dict[str, Any]:
    alter = intersections.changed(label, change, place=-1, other=lambda: run(of(label)[0], 9))
    return refused(CARD, label, change, ("peer.other-set",), lambda: run(*of(label), alter))


BAD = [
    *((label, change) for label in ("V1r", "V1s") for change in intersections.CHANGES),
    *((label, "other run") for label in LABELS),
    *((label, "flip") for label in LABELS if label not in ("V1r", "V1s", "V6")),
    *(("V6", change) for change in ("repeat", "swap")),
]


def files() -> dict[Path, dict[str, Any]]:
    listed: dict[str, tuple[str, list[dict[str, Any]]]] = {
        f"ok_{name}": (
            "a run: inputs, what each side draws, SHA-256 of each message, V6 itself, places and values of the "
            "receiver's persons, places of the sender's",
            [ok(case, seed)],
        )
        for name, (case, seed) in CASES.items()
    }
    listed["step_transfers"] = (
        "the run of ok_small: bases, choices (low bit first), elements and keys of first transfers; pads of row 5",
        [step()],
    )
    listed["bad_messages"] = (
        "the run of ok_small, for V6p and V7 that of ok_values, with one message changed. repeat: the last row becomes "
        "row 0; swap: rows 0 and 1 change "
        "places; flip: the lowest bit of each byte; other run: the message of another run; else the last row becomes "
        "bytes that encode no element",
        [bad(label, change) for label, change in BAD],
    )
    return intersections.in_files(CARD, SOURCE, "tests/oracles/vole_psi_vectors.py", listed)


def main() -> None:
    intersections.write(files())


if __name__ == "__main__":
    main()
