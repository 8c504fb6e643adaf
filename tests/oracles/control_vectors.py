"""Vectors of disclosure_control: ``python -m tests.oracles.control_vectors`` writes them; the tests replay them."""

import hashlib
import json
from typing import Any, Final

import numpy as np

from pets.protocols import control
from pets.protocols.control import Count, Shape, Shown
from pets.protocols.dominance import Rules
from pets.spec.cards import cards_folder, load_cards
from tests.oracles.play import Transcript
from tests.protocols.test_control import ROLES, run

SEED: Final = 7
COUNTS: Final = [0, 3, 9, 10, 12, 31]
"""Persons in each cell; of all but one of each a value is known, and its sum is 100 times their number."""

_PEOPLE, _KNOWN = ((0, 1),), ((1, 1),)


RULES: Final = Rules(((2, 1),), (1, 2), ((2, 9, 10),), (1, 10))
"""(2, 90 %) and 10 %, held against the sum, which rests on those of whom a value is known."""

TOPS: Final = [[0, 100, 400, 100, 500, 2900], [0, 200, 700, 200, 990, 2950]]
"""The greatest contribution to the sum of each cell, and the greatest two: of 0, 200, 800, 900, 1100 and 3000."""


def shape_of(*, zeros: bool, band: int, upwards: bool, lines: bool, against: bool = False) -> Shape:
    cut = (((0, 1), (2, 3), (4, 5)),) if lines else ()
    counts = (Count(_PEOPLE, zeros), Count(_KNOWN, zeros))
    shown = (Shown(0, 0, True), Shown(1, 1, True), Shown(2, 1, False))
    if not against:
        return Shape(6, 1, 3, counts, ((0,), (0, 1)), shown, 10, band, upwards, cut)
    shown = (Shown(0, 0, True), Shown(1, 1, True), Shown(2, 2, False))
    return Shape(6, 1, 3, counts, ((0,), (0, 1), (0, 1, 2)), shown, 10, band, upwards, cut, against=RULES)


CASES: Final = {
    "exact counts, zeros hidden": {"zeros": False, "band": 1, "upwards": False, "lines": False},
    "to the nearest five, zeros shown": {"zeros": True, "band": 5, "upwards": False, "lines": False},
    "midpoints of six": {"zeros": False, "band": 6, "upwards": True, "lines": False},
    "one known total, zeros hidden": {"zeros": False, "band": 5, "upwards": False, "lines": True},
    "ten, (2, 90 %) and 10 %, zeros shown": {
        "zeros": True,
        "band": 1,
        "upwards": False,
        "lines": False,
        "against": True,
    },
    "one known total, zeros shown": {"zeros": True, "band": 1, "upwards": False, "lines": True},
}


def sums() -> Any:
    known = [max(0, count - 1) for count in COUNTS]
    return np.array([COUNTS, known, [100 * count for count in known]], np.int64)


def entry(name: str) -> dict[str, Any]:
    shape = shape_of(**CASES[name])
    tops = [np.array(each, np.int64) for each in TOPS] if shape.against.held else []
    done = run(shape, sums(), SEED, tops)
    shown, enough = control.open_shown(shape, *done.outputs["result"])
    return {
        "case": name,
        "parameters": CASES[name],
        "sums": sums().tolist(),
        "tops": [each.tolist() for each in tops],
        "sent": {role: digest_of(done, role) for role in ROLES},
        "shown": shown.tolist(),
        "enough": enough.astype(int).tolist(),
    }


def digest_of(done: Transcript, role: str) -> str:
    """SHA-256 of all that a role sends, message after message."""
    whole = hashlib.sha256()
    for key, array in done.sent:
        if key[0] == role:
            whole.update(f"{key[1]} {key[2]} {key[3]}\n".encode() + array.tobytes())
    return whole.hexdigest()


def file() -> dict[str, Any]:
    made = [entry(name) for name in CASES]
    header = {
        "card": "disclosure_control",
        "version": load_cards()["disclosure_control"].version,
        "source": "this implementation; what is shown is checked against whole numbers",
        "generator": "tests/oracles/control_vectors.py",
        "licence": "Apache-2.0",
        "parameters": f"keys and first shares of tests/protocols/test_control.py, seed {SEED}; minimum 10",
        "entries": len(made),
        "valid": len(made),
    }
    return {"header": header, "entries": made}


if __name__ == "__main__":
    folder = cards_folder() / "disclosure_control" / "vectors"
    folder.mkdir(exist_ok=True)
    (folder / "ok_cases.json").write_text(json.dumps(file(), indent=1) + "\n", encoding="utf-8")
