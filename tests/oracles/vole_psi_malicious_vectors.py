"""Write the vectors of vole_psi_malicious: ``python -m tests.oracles.vole_psi_malicious_vectors``.

``ok_*`` hold the inputs, digests of all messages and the results, as those of vole_psi; ``bad_messages`` what is
changed in the run of ok_values, who notices, and the code. That messages are the terms of the card is tested beside.
"""

from functools import cache
from pathlib import Path
from typing import Any

from tests.oracles import intersections, vole_psi_vectors
from tests.oracles.intersections import refused
from tests.oracles.play import Transcript, play
from tests.oracles.vole_psi import Case
from tests.oracles.vole_psi_malicious import CARD, entropy, roles

SOURCE = "this implementation; places and values by sets"
CASES = vole_psi_vectors.CASES
LABELS = [message.label for message in CARD.messages]
WRITTEN = "tests/oracles/vole_psi_malicious_vectors.py"
POINTS = ("V1r", "V1s")


def run(case: Case, seed: int, alter: Any = lambda key, array: array) -> Transcript:
    return play(roles(case, seed), seed=seed, alter=alter)


def ok(case: Case, seed: int) -> dict[str, Any]:
    ran, none = run(case, seed), vole_psi_vectors.digest([])
    messages = dict.fromkeys(LABELS, none)
    messages |= {key[2]: vole_psi_vectors.digest([array.tobytes()]) for key, array in ran.sent}
    return vole_psi_vectors.entry(ran, case, seed, messages, entropy)


@cache
def other() -> Transcript:
    """Another run of the same persons."""
    return run(CASES["values"][0], 9)


def bad(label: str, change: str) -> dict[str, Any]:
    case, seed = CASES["values"]
    alter = intersections.changed(label, change, place=-1, other=other)
    return refused(CARD, label, change, ("peer.other-set",), lambda: run(case, seed, alter))


BAD = [
    *((label, change) for label in POINTS for change in intersections.CHANGES),
    *((label, "other run") for label in LABELS),
    *((label, "flip") for label in LABELS if label not in (*POINTS, "V6")),
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
    listed["bad_messages"] = (
        "the run of ok_values with one message changed. repeat: the last row becomes row 0; swap: rows 0 and 1 change "
        "places; flip: the lowest bit of each byte; other run: the message of another run; else the last row becomes "
        "bytes that encode no element",
        [bad(label, change) for label, change in BAD],
    )
    return intersections.in_files(CARD, SOURCE, WRITTEN, listed)


def main() -> None:
    intersections.write(files())


if __name__ == "__main__":
    main()
