"""The terms of vole_psi_malicious are what its roles send, byte for byte; edits of them are noticed, and mistakes."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pets.errors import PetsError
from pets.protocols import checked, endemic, vole_psi_malicious
from tests.oracles.intersections import people
from tests.oracles.mistaken import mistaken
from tests.oracles.play import play
from tests.oracles.vole_psi import Case
from tests.oracles.vole_psi_malicious import CARD, Reading, roles
from tests.protocols.test_terms import compared, made_by
from tests.protocols.test_vole_psi_terms import EQUAL, RICH

OTHERS = {
    "role": tuple(CARD.roles),
    "key": tuple(key.name for key in CARD.keys),
    "name": tuple(message.label for message in CARD.messages),
}


def sent_by(case: Case, seed: int, code: Any = vole_psi_malicious) -> dict[str, bytes]:
    ran = play(roles(case, seed, receiver=code, sender=code), seed=seed)
    none = dict.fromkeys((message.label for message in CARD.messages), b"")
    return none | {key[2]: array.tobytes() for key, array in ran.sent}


SLOW = ("V1r", "V1s", "V2", "V2x", "V3", "V3x", "V4", "V4c", "V4x")
"""What takes hundreds of products in the slow group, or in the field over whole numbers."""

PLACES = [pytest.param(m.label, marks=pytest.mark.long) if m.label in SLOW else m.label for m in CARD.messages]


@cache
def intact() -> tuple[dict[str, list[bytes]], dict[str, bytes]]:
    """What is sent: rows, and all bytes of each message."""
    ran = play(roles(RICH, 1), seed=1)
    rows = {key[2]: [row.tobytes() for row in array] for key, array in ran.sent}
    return rows, {label: b"".join(each) for label, each in rows.items()}


@pytest.mark.parametrize("place", PLACES)
def test_every_message_is_its_term(place: str) -> None:
    """Given those that it speaks of, as they were sent."""
    rows, sent = intact()
    reading = Reading(RICH, 1, CARD, {label: each for label, each in rows.items() if label != place})
    assert b"".join(reading.message(place)) == sent[place]


@pytest.mark.long
@pytest.mark.parametrize("case", [Case(people(*range(7)), [], 200, 0), Case([b"xy" * 20], [b"x" * 40], 2, 1, (40, 41))])
def test_messages_of_other_sizes_are_their_terms(case: Case) -> None:
    """Trees with fewer leaves than their depth has; identifiers that are hashed."""
    reading, sent = Reading(case, 1, CARD), sent_by(case, 1)
    for label in ("V5", "V4", "V4c", "V6"):
        assert b"".join(reading.message(label)) == sent[label], label


def test_a_sender_can_compute_its_message_and_nobody_else_can() -> None:
    for message in CARD.messages:
        assert not list(made_by(message.sender, message.meaning, CARD))
        assert list(made_by(message.receiver, message.meaning, CARD)), message.label


UNSEEN = EQUAL | {
    ("V6", "sort(read(own_s, V5r, V5, keys(sender), fillers(sender), agreed(sender)))"),
    ("V6", "sort(sort(read(own_s, V5r, V5, keys(sender), fillers(sender), agreed(sender))))"),
}
"""Also: hashes are as long as tags, so nothing is cut."""


@pytest.mark.parametrize("place", PLACES)
def test_every_edit_of_a_term_is_noticed(place: str) -> None:
    rows, sent = intact()
    known = {label: each for label, each in rows.items() if label != place}
    unnoticed, differ = compared(
        CARD, place, OTHERS, lambda card: b"".join(Reading(RICH, 1, card, dict(known)).message(place)), sent[place]
    )
    assert unnoticed == {each for each in UNSEEN if each[0] == place}
    assert differ > 0, "edits that say nothing prove little"


# -- mistakes in the code that leave every answer right ---------------------------------------------------------------

SOURCE = Path(vole_psi_malicious.__file__).read_text(encoding="utf-8")
MUTANTS = {
    "no coin in outputs of the sender": ("read ^= coin ^ theirs\n", "pass\n"),
    "one coin for all runs": (
        "delta, coin = drawn.words(2).reshape(1, 2), own_coin.words(2)",
        "delta, coin = drawn.words(2).reshape(1, 2), own_coin.words(2) * 0",
    ),
    "outputs without the entry": ("rows[:, aes.BLOCK_BYTES : -1] = blocks.view(np.uint8)", "pass"),
    "one hash for two purposes": ('tied, b"element").view', 'tied, b"output").view'),
    "one hash for all runs": ("_PUBLIC + label + tied.digest + tied.run_id", "_PUBLIC + label"),
    "trees without the leaves beyond": ("return 1 << shape.vector.depth", "return shape.vector.leaves"),
    "a commitment that is the coin": (
        '_PUBLIC + b"coin" + tied.digest + tied.run_id + coin).digest()',
        "coin).digest()",
    ),
    "noises that do not hide what is weighed": ("values[hidden], weights", "values[hidden] * 0, weights"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_in_the_code_is_noticed(name: str) -> None:
    """In a case with trees that are not whole by themselves."""
    case = Case(people(1, 22, 3), people(3, 22, 9, 5), 200, 6, values=((5, 6, 7, 8),), both=1)
    code = mistaken(SOURCE, "vole_psi_malicious", [(*MUTANTS[name], 1)])
    try:
        assert sent_by(case, 1, code) != sent_by(case, 1)
    except (PetsError, ValueError) as error:
        assert not isinstance(error, NameError)


OF_PARTS = {
    "keys of another place": (endemic, 'number.to_bytes(4, "big") + row', 'b"\\0" * 4 + row'),
    "masks that are the same for both sides": (endemic, "_MASKS + bytes([side])", "_MASKS"),
    "masks that are the same in all runs": (endemic, "bytes([side]) + tied.digest + tied.run_id", "bytes([side])"),
    "keys that do not say the run": (endemic, "_KEYS + tied.digest + tied.run_id", "_KEYS"),
    "points that are known before": (checked, "    for each in said:\n", "    for each in said[:0]:\n"),
    "points for two purposes": (checked, 'label.encode() + b"\\0"', 'b""'),
    "nothing hides what is shown": (checked, "columns[:, count:].copy()", "columns[:, count:] * np.uint64(0)"),
    "an answer of another run": (checked, "_ANSWER + tied.digest + tied.run_id", "_ANSWER"),
}


@pytest.mark.parametrize("name", OF_PARTS)
def test_a_mistake_in_transfers_or_checks_is_noticed(name: str) -> None:
    module, old, new = OF_PARTS[name]
    text, short = Path(module.__file__ or "").read_text(encoding="utf-8"), module.__name__.rpartition(".")[2]
    code = mistaken(SOURCE, "vole_psi_malicious", [], **{short: mistaken(text, short, [(old, new, 1)])})
    assert sent_by(RICH, 1, code) != intact()[1]


def test_the_code_without_a_mistake_is_not_noticed() -> None:
    assert sent_by(RICH, 1, mistaken(SOURCE, "vole_psi_malicious_whole", [])) == intact()[1]
