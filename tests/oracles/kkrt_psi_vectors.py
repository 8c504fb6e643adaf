"""Write the vectors of kkrt_psi: ``python -m tests.oracles.kkrt_psi_vectors``; look at the difference.

``ok_*`` hold the inputs, digests of all messages, places and values; ``step_bins`` where entries lie, a code, rows and
hashes of one bin; ``bad_messages`` what is changed in a run, who notices, and the code.
A change of any byte is a change of the protocol: raise the version of the card.
"""

import hashlib
from pathlib import Path
from typing import Any

from pets.kernels import curve
from pets.spec.term import Call
from tests.oracles import cuckoo, intersections
from tests.oracles.intersections import binding, people, refused
from tests.oracles.kkrt_psi import CARD, Reading, both, columns, entropy, in_bytes, roles
from tests.oracles.play import Transcript, play
from tests.oracles.vole_psi import Case, xor
from tests.oracles.vole_psi_vectors import CASES as SMALL
from tests.oracles.vole_psi_vectors import digest

SOURCE = "this implementation; messages by a second reading of the terms of the card, places by sets"
VALUES = (tuple(range(40)), (2**64 - 1,) * 40)
CASES = SMALL | {"values": (Case(people(*range(40)), people(*range(50, 10, -1)), 40, 41, values=VALUES, both=1), 2)}
"""Of forty, some lie where another function than the first says."""
LABELS = [message.label for message in CARD.messages]


def run(case: Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


def ok(case: Case, seed: int) -> dict[str, Any]:
    ran, reading = run(case, seed), Reading(case, seed)
    messages = {label: digest(reading.message(label)) for label in LABELS}
    sent = {key[2]: digest([array.tobytes()]) for key, array in ran.sent}
    assert messages == {label: digest([]) for label in LABELS} | sent
    found, places = ran.outputs["receiver"], ran.outputs["sender"]
    assert (found.places.tolist(), found.values.tolist()) == (case.oracle(), case.given())
    assert (None if places is None else places.tolist()) == case.told()
    tied = binding(seed)

    def side(role: str, declared: int, ids: list[bytes]) -> dict[str, Any]:
        drawn = entropy(seed, role).expose("write it into a vector").hex()
        return {"declared": declared, "ids": [each.hex() for each in ids], "entropy": drawn}

    return {
        "digest": tied.digest.hex(),
        "run_id": tied.run_id.hex(),
        "receiver": side("receiver", case.n_r, case.ids_r),
        "sender": side("sender", case.n_s, case.ids_s),
        "width": max(case.width),
        "messages": messages,
        "outputs": [row.hex() for row in reading.message("K3")],
        "given": [[str(word) for word in column] for column in case.values],
        "both": case.both,
        "places": case.oracle(),
        "values": [[str(word) for word in column] for column in case.given()],
        "told": case.told(),
    }


def step() -> dict[str, Any]:
    """Of the first person of the receiver, whom the sender has, too."""
    case, seed = CASES["small"]
    reading = Reading(case, seed)
    lists = [Call(head, ("receiver",)) for head in ("keys", "fillers", "agreed")]
    entries = [row.tobytes() for row in reading.entries(lists)]
    at = [reading.bins_of(entry) for entry in entries]
    where = cuckoo.placed(at)
    assert where is not None
    pairs, bins = reading.both_keys("own_r", reading.message("K1s")), reading.names["bins"]
    row, sent = in_bytes(columns([one for one, _ in pairs], bins))[where[0]], reading.message("K2")
    choice, code = reading.bits("own_s").to_bytes(64, "little"), reading.code(entries[0])
    under = hashlib.sha256(b"pets/1-kkrt-psi-hash" + reading.tied.digest + reading.tied.run_id).digest()
    return {
        "entries": [entry.hex() for entry in entries],
        "bins": at,
        "where": where,
        "choice": choice.hex(),
        "code": code.hex(),
        "row_of_receiver": row.hex(),
        "sent": b"".join(sent[4 * where[0] : 4 * where[0] + 4]).hex(),
        "row_of_sender": xor(row, both(code, choice)).hex(),
        "hash": hashlib.blake2s(row, key=under).hexdigest(),
    }


def of(label: str) -> tuple[Case, int]:
    """The run in which a message is changed: one that has it."""
    return CASES["values" if label in ("K3k", "K3p", "K4") else "small"]


def bad(label: str, change: str) -> dict[str, Any]:
    place = 1 if label == "K3" else -1
    alter = intersections.changed(label, change, place=place, other=lambda: run(of(label)[0], 9))
    return refused(CARD, label, change, ("peer.other-set",), lambda: run(*of(label), alter))


BAD = [
    *((label, change) for label in ("K1r", "K1s") for change in intersections.CHANGES),
    *((label, "other run") for label in LABELS),
    *((label, "flip") for label in ("K2", "K3k", "K3p", "K4")),
    *(("K3", change) for change in ("repeat", "swap")),
]


def files() -> dict[Path, dict[str, Any]]:
    listed: dict[str, tuple[str, list[dict[str, Any]]]] = {
        f"ok_{name}": (
            "a run: inputs, what each side draws, SHA-256 of each message, K3 itself, places and values of the "
            "receiver's persons, places of the sender's",
            [ok(case, seed)],
        )
        for name, (case, seed) in CASES.items()
    }
    listed["step_bins"] = (
        "the run of ok_small: the receiver's entries, their bins, where they lie; of the first: its code, t and what "
        "is sent of its bin, q plus what the choice takes of the code, the hash of t",
        [step()],
    )
    listed["bad_messages"] = (
        "the run of ok_small, for K3k, K3p and K4 that of ok_values, with one message changed. repeat: row 1 becomes "
        "row 0; swap: rows 0 and 1 change places; flip: the lowest bit of each byte; other run: the message of "
        "another run; else the last row becomes bytes that encode no element",
        [bad(label, change) for label, change in BAD],
    )
    return intersections.in_files(CARD, SOURCE, "tests/oracles/kkrt_psi_vectors.py", listed)


def main() -> None:
    curve.select(curve.features()[0])
    intersections.write(files())


if __name__ == "__main__":
    main()
